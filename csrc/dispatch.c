/* Which kernels are compiled in, and which this machine can run. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

extern const ax_kernel ax_kernel_generic;
#if defined(__x86_64__)
extern const ax_kernel ax_kernel_avx2, ax_kernel_avx512;
#endif

static const ax_kernel *const kernels[] = {
    &ax_kernel_generic,
#if defined(__x86_64__)
    &ax_kernel_avx2,
    &ax_kernel_avx512,
#endif
};

int ax_isa_count(void) { return (int)(sizeof kernels / sizeof kernels[0]); }

const ax_kernel *ax_kernel_at(int isa) {
    return isa >= 0 && isa < ax_isa_count() ? kernels[isa] : NULL;
}

const char *ax_isa_name(int isa) {
    const ax_kernel *kernel = ax_kernel_at(isa);
    return kernel ? kernel->name : "";
}

int ax_isa_fused(int isa) {
    const ax_kernel *kernel = ax_kernel_at(isa);
    return kernel && kernel->fused;
}

int ax_isa_supported(int isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == 2)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#endif
    return isa == 0;
}

int ax_apply(int isa, int op, const double *a, const double *b, const double *c, int64_t n,
             double *out) {
    const ax_kernel *kernel = ax_kernel_at(isa);
    if (kernel == NULL || !ax_isa_supported(isa))
        return AX_ERR_ISA;
    if (op < 0 || op >= AX_OP_COUNT || n < 0 || n % AX_LANES)
        return AX_ERR_ARGUMENT;
    kernel->apply(op, a, b, c, n, out);
    return AX_OK;
}

const char *ax_message(int status) {
    switch (status) {
    case AX_OK: return "done";
    case AX_STOP_FULL: return "a buffer is full";
    case AX_ERR_ARGUMENT: return "an argument is out of range";
    case AX_ERR_PROGRAM: return "the membrane program is malformed";
    case AX_ERR_TABLE: return "the gate table is malformed";
    case AX_ERR_ISA: return "this machine lacks the instruction set";
    case AX_ERR_MEMORY: return "out of memory";
    case AX_ERR_DIVERGED: return "the membrane potential left all bounds";
    default: return "unknown status";
    }
}

void *ax_alloc(int64_t count, size_t size) {
    if (count < 0 || (uint64_t)count > (SIZE_MAX - 64) / size)
        return NULL;
    const size_t bytes = ((size_t)count * size + 64) / 64 * 64; /* never zero */
    void *p = aligned_alloc(64, bytes);
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

void ax_release(void *p) { free(p); }
