"""The error falls by the square of the time step and of the compartments' length."""

from __future__ import annotations

import numpy as np
import pytest
from physics.measure import Array, arrivals, at_faces, orders, rallpack_axon, squid
from reference import rallpack

import axon

# Halved again and again, errors of second order show 2; what is of higher order makes them a
# little less on the coarse side, interpolation of spikes scatters them on the fine side.
SECOND = pytest.approx(2.0, abs=0.05)

PLACES = np.linspace(0.25, 0.75, 11)  # of the length; faces in each of the cuts below


def test_arrival_in_dt() -> None:
    """Crank-Nicolson with staggered gates is second order in dt for an impulse.

    M. Hines, Int. J. Bio-Med. Comput. 15, 69-76 (1984). The time is the mean over many
    compartments: at one of them, where in a step the crossing falls changes how far the straight
    line through two steps is off, by a multiple of dt² that isn't the same for every dt.
    """
    mean = [arrivals(squid(0.02 / 2**k, 200), 6.0)[20:100].mean() for k in range(7)]
    assert orders(mean).tolist() == [SECOND] * 5


def test_arrival_in_dx() -> None:
    """The compartments of an axon that conducts converge with the square of their length.

    M. V. Mascagni, A. S. Sherman, "Numerical methods for neuronal modeling", in C. Koch,
    I. Segev, Methods in Neuronal Modeling, 2nd ed. (1998). From 1000 to 16 µm, at one dt.
    """
    mean = [at_faces(arrivals(squid(0.0025, 100 * 2**k), 8.0), PLACES).mean() for k in range(7)]
    assert orders(mean).tolist() == [SECOND] * 5


def tapered(dt: float, compartments: int) -> axon.Simulation:
    """An axon that narrows to half its diameter while its sodium channels get fewer."""
    return axon.Simulation(
        axon.Axon.tapered(50e3, 476.0, 238.0, Ra=35.4, cm=1.0, compartments=compartments),
        axon.models.hodgkin_huxley(g_na=lambda x: 0.12 - 0.03 * x / 50e3),
        [axon.CurrentClamp(0.0, axon.pulse(10e3, start=0.5, duration=0.5))],
        dt=dt,
        v_init=-65.0,
        spike_threshold=0.0,
    )


def test_arrival_in_dx_where_shape_and_channels_vary() -> None:
    """So do those of one whose diameter and channels change along its length.

    Because areas and axial resistances are integrals along the true profile, and a density is
    taken at the compartment's centre, which is its mean to the second order.
    """
    mean = [at_faces(arrivals(tapered(0.0025, 100 * 2**k), 6.0), PLACES).mean() for k in range(6)]
    assert orders(mean).tolist() == [SECOND] * 4


def test_backward_euler_is_of_first_order() -> None:
    """The alternative method is worth its name too."""
    mean = [
        arrivals(squid(0.0025 / 2**k, 200, method="backward-euler"), 6.0)[20:100].mean()
        for k in range(6)
    ]
    assert orders(mean).tolist() == [pytest.approx(1.0, abs=0.02)] * 4


def cable(dt: float, compartments: int, start: float = 0.0) -> axon.Simulation:
    """The passive cable of Rallpack 1, in any cut, with the current from `start` on (ms)."""
    return axon.Simulation(
        rallpack_axon(compartments),
        axon.models.passive(g=rallpack.G_LEAK, e=rallpack.E_LEAK),
        [axon.CurrentClamp(0.0, axon.constant(rallpack.CURRENT, start=start))],
        dt=dt,
        v_init=rallpack.E_LEAK,
    )


@pytest.mark.parametrize("start", [0.0, 0.3, 0.5, 0.9])
def test_potential_in_dt(start: float) -> None:
    """A passive cable is second order in dt, wherever within a step its current begins.

    Because the steps with a jump are damped: R. Rannacher, Numer. Math. 43, 309-327 (1984).
    Against the exact solution of the system of compartments, from 10 ms on: at the jump itself no
    step is short enough for an asymptotic order.
    """
    n, errors = 100, []
    for k in range(6):
        dt = 0.2 / 2**k
        run = cable(dt, n, start * dt).run(50.0, every=0.4, record=[0.0, 999.0], dtype="float64")
        late = run.time >= 10.0
        since = run.time[late] - start * dt
        exact = np.transpose([rallpack.exact(since, end, n=n) for end in (0, n - 1)])
        errors.append(np.abs(run.v[late] - exact).max(axis=0))
    measured = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(measured, 2.0, atol=0.05)


def continuous(t: Array, x: float) -> Array:
    """Rallpack 1 without compartments: potential (mV) at times `t` (ms) and a place `x` (µm).

    By the eigenfunctions of a sealed cable: W. Rall, Biophys. J. 9, 1483-1508 (1969).
    """
    resistance = 1 / rallpack.G_LEAK  # Ω·cm²
    d, length = rallpack.DIAMETER * 1e-4, rallpack.LENGTH * 1e-4  # cm
    space = np.sqrt(d / 4 * resistance / rallpack.RA)  # cm
    tau = resistance * rallpack.CM * 1e-3  # ms
    # nA through Ω is 1e-6 mV.
    scale = rallpack.CURRENT * 1e-6 * 2 / np.pi * np.sqrt(resistance * rallpack.RA) * d**-1.5
    at, end = x * 1e-4 / space, length / space
    k = np.arange(1, 100)  # from 40 ms on, the third term is 1e-40 of the first
    decay = 1 + (k * np.pi / end) ** 2
    waves = np.cos(k * np.pi * at / end) * np.exp(-np.multiply.outer(t / tau, decay)) / decay
    still = np.cosh(end - at) / np.sinh(end)
    v: Array = rallpack.E_LEAK + scale * (still - (np.exp(-t / tau) + 2 * waves.sum(axis=1)) / end)
    return v


def test_potential_in_dx() -> None:
    """A passive cable is second order in dx, against the cable that has no compartments.

    At the far end, where the sealed cable is level, and at the middle, which is a face; errors of
    0.03 to 0.0001 mV beside which those of dt, 1e-7 mV, are nothing.
    """
    errors = []
    for n in 20 * 2 ** np.arange(6):
        run = cable(0.0125, n).run(100.0, every=1.0, dtype="float64")
        late = run.time >= 40.0
        v = run.v[late]
        found = np.transpose([v[:, n // 2 - 1 : n // 2 + 1].mean(axis=1), v[:, -1]])
        exact = np.transpose([continuous(run.time[late], x) for x in (500.0, 1000.0)])
        errors.append(np.abs(found - exact).max(axis=0))
    measured = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(measured, 2.0, atol=0.05)
