"""What the tests of the physics measure, and the axon that most of them measure it on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from reference import rallpack

import axon

Array = npt.NDArray[np.float64]
Value = TypeVar("Value", float, Array)


def rallpack_axon(compartments: int) -> axon.Axon:
    """The cable of the Rallpacks, in any cut."""
    return axon.Axon.cylinder(
        rallpack.LENGTH,
        rallpack.DIAMETER,
        Ra=rallpack.RA,
        cm=rallpack.CM,
        compartments=compartments,
    )


def squid(
    dt: float,
    compartments: int,
    *,
    celsius: float = 6.3,
    length: float = 100e3,
    v_init: float | None = -65.0,
    amplitude: float = 10e3,
    method: str = "crank-nicolson",
) -> axon.Simulation:
    """The giant axon of the squid, stimulated at its origin from 1 to 2 ms.

    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952): diameter 476 µm and Ra
    35.4 Ω·cm from p. 528. Units as everywhere: ms, °C, µm, mV, nA.
    """
    return axon.Simulation(
        axon.Axon.cylinder(length, 476.0, Ra=35.4, cm=1.0, compartments=compartments),
        axon.models.hodgkin_huxley(),
        [axon.CurrentClamp(0.0, axon.pulse(amplitude, start=1.0, duration=1.0))],
        celsius=celsius,
        dt=dt,
        v_init=v_init,
        method=method,
        spike_threshold=0.0,
    )


def arrivals(simulation: axon.Simulation, duration: float) -> Array:
    """When the first impulse reaches each compartment (ms), (n,); NaN where none does."""
    spikes = simulation.run(duration, record=()).spikes
    reached, first = np.unique(spikes["compartment"], return_index=True)
    times = np.full(simulation.axon.n, np.nan)
    times[reached] = spikes["time"][first]
    return times


def at_faces(values: Array, fractions: Sequence[float] | Array) -> Array:
    """Values, given for equal compartments, at faces that lie at fractions of the length.

    A face lies half way between two centres, wherever the cut puts these; the mean of both is off
    by the square of their distance.
    """
    faces = np.multiply(fractions, len(values))
    left = np.round(faces).astype(int)
    np.testing.assert_allclose(left, faces, atol=1e-6)
    mean: Array = (values[left - 1] + values[left]) / 2
    return mean


def orders(values: Sequence[float] | Array) -> Array:
    """Order of convergence, again and again, of values found with steps that are halved.

    Successive differences of what is off by C h^p fall by 2^p. Three values give one order.
    """
    change = np.diff(values)
    return np.log2(change[:-1] / change[1:])


def extrapolated(coarse: Value, fine: Value) -> Value:
    """Limit of two values whose errors are of second order, the second with half the step."""
    return fine + (fine - coarse) / 3


def _around(t: Array, v: Array, sample: int, reach: int) -> np.polynomial.Polynomial:
    """The polynomial through the samples within `reach` of one."""
    near = slice(sample - reach, sample + reach + 1)
    return np.polynomial.Polynomial.fit(t[near], v[near], deg=2 * reach)


def _nearest_root(polynomial: np.polynomial.Polynomial, t: float) -> float:
    roots = polynomial.roots()
    real = roots[np.abs(roots.imag) < 1e-9].real
    return float(real[np.argmin(np.abs(real - t))])


def extreme(t: Array, v: Array, sample: int) -> tuple[float, float]:
    """Time and value of the extreme near a sample, by the polynomial through seven samples."""
    curve = _around(t, v, sample, 3)
    time = _nearest_root(curve.deriv(), t[sample])
    return time, float(curve(time))


def crossings(t: Array, v: Array, level: float) -> tuple[float, float]:
    """When `v` first rises through a level and then falls through it, by the same polynomial."""
    above = v >= level
    rise = int(np.argmax(above))
    fall = rise + int(np.argmin(above[rise:]))
    first, second = (_nearest_root(_around(t, v, k, 3) - level, t[k]) for k in (rise, fall))
    return first, second
