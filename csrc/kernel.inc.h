/*
 * The kernel's body, compiled once per instruction set. The including file has
 * defined AX_ISA, AX_KERNEL_NAME, AX_KERNEL_TEXT and AX_KERNEL_FUSED.
 */
#include "sim.h"
#include "vmath.h"

/* Rows whose currents are held in registers together. */
#define AX_ROWS_TOGETHER (AX_ISA == AX_ISA_AVX512 ? 8 : 2)

#include "membrane.inc.h"
#include "solve.inc.h"

/*
 * V(t) to V(t + dt). Crank-Nicolson is a backward Euler step of dt/2,
 * extrapolated. It hardly damps stiff modes, so a step with a discontinuity
 * takes a second half step with the same matrix instead of extrapolating
 * (R. Rannacher, Numer. Math. 43, 309-327 (1984)): of its right-hand side only
 * charge times the first increment is left. One that is damped in part takes so
 * much of that half step, and extrapolates the rest.
 */
static int kernel_step(ax_sim *self, ax_drive *drive, double damped) {
    const int halved = self->step == 0; /* gates start on a whole step */
    if (self->backward_euler)
        return solve_all(self, FROM_MEMBRANE_INJECTED, ADDED, halved, drive);
    if (damped == 0.0) {
        if (self->injecting)
            return solve_all(self, FROM_MEMBRANE_INJECTED, EXTRAPOLATED, halved, drive);
        if (self->unit_area)
            return solve_all(self, FROM_MEMBRANE_UNIT, EXTRAPOLATED, halved, drive);
        return solve_all(self, FROM_MEMBRANE, EXTRAPOLATED, halved, drive);
    }
    self->damped = damped;
    solve_all(self, FROM_MEMBRANE_KEPT, INTO_DELTA, halved, drive);
    return solve_all(self, FROM_KEPT, ADDED_TO_DELTA, halved, drive);
}

static void kernel_solve(ax_sim *self) {
    solve_all(self, FROM_ARRAYS, INTO_DELTA, 0, NULL);
}

static void kernel_apply(int op, const double *a, const double *b, const double *c, int64_t n,
                         double *out) {
    operate(op, 0, out, a, b, c, (int32_t)(n / AX_LANES));
}

const ax_kernel AX_KERNEL_NAME = {
    .name = AX_KERNEL_TEXT,
    .fused = AX_KERNEL_FUSED,
    .step = kernel_step,
    .solve = kernel_solve,
    .apply = kernel_apply,
};
