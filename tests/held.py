"""Kernels whose potential stays where it is put: what moves are gates and concentrations alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axon._kernel import Kernel
from axon.program import Program

Array = npt.NDArray[np.float64]


def held(program: Program, v: Array, x: Array, *, dt: float, isa: str | None = None) -> Kernel:
    """A row of compartments at `v` (mV), with states `x` (states, n), that hardly feel anything.

    Of a capacitance so large, no current moves the potential by a rounding; and hardly any flows
    from one compartment to the next.
    """
    n = v.size
    kernel = Kernel(
        area=np.full(n, 1e-6), capacitance=np.full(n, 1e12), axial=np.full(n - 1, 1e-300),
        program=program, sources=(0, [], [], []), dt=dt, backward_euler=False,
        spike_threshold=1e3, isa=isa, recorded=[], record_every=0, record_float=False,
    )  # fmt: skip
    kernel.set("v", v)
    kernel.set("state", x)
    return kernel


def advanced(
    program: Program,
    v: Array,
    x: Array,
    *,
    dt: float,
    steps: int = 1,
    first_step: bool = False,
    isa: str | None = None,
) -> Array:
    """States (states, n) after whole steps; the first is a half one if it is the very first."""
    kernel = held(program, v, x, dt=dt, isa=isa)
    kernel.set("step", 0 if first_step else 1)
    n = v.size
    status, taken, _, _ = kernel.advance(
        np.zeros((steps, 0)), np.zeros(steps), np.zeros((0, 0)),
        np.zeros(n, np.int64), np.zeros(n),
    )  # fmt: skip
    assert (status, taken) == ("done", steps)
    return kernel.get("state").reshape(-1, n)
