/*
 * The kernel for AVX2 with FMA. The instruction set is asked for here, for this file's
 * functions alone: nothing outside may be compiled with it.
 */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define AX_ISA AX_ISA_AVX2
#define AX_KERNEL_NAME ax_kernel_avx2
#define AX_KERNEL_TEXT "avx2"
#define AX_KERNEL_FUSED 1
#include "kernel.inc.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int ax_not_this_machine; /* a translation unit may not be empty */
#endif
