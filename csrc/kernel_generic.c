/* The kernel in plain C: the x86-64 baseline, and every other machine. */
#define AX_ISA AX_ISA_GENERIC
#define AX_KERNEL_NAME ax_kernel_generic
#define AX_KERNEL_TEXT "generic"
#ifdef __FP_FAST_FMA
#define AX_KERNEL_FUSED 1
#else
#define AX_KERNEL_FUSED 0
#endif
#include "kernel.inc.h"
