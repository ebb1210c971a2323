"""Rallpacks 1 and 3: a passive and an active cable against their exact and converged solutions.

U. S. Bhalla, D. H. Bilitch, J. M. Bower, Trends Neurosci. 15, 453-458 (1992).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from physics.measure import Array, extreme, rallpack_axon
from reference import rallpack

import axon

DATA = Path(__file__).parents[1] / "reference" / "data"
RALLPACK3 = json.loads((DATA / "rallpack3.json").read_text())
SPIKES = [np.array(RALLPACK3[end]) for end in ("first", "last")]
PEAKS = [np.array(RALLPACK3[f"{end}_peaks"]) for end in ("first", "last")]

ENDS = [0, rallpack.COMPARTMENTS - 1]


def simulation(membrane: axon.Membrane, dt: float, start: float = 0.0) -> axon.Simulation:
    return axon.Simulation(
        rallpack_axon(rallpack.COMPARTMENTS),
        membrane,
        [axon.CurrentClamp(0.0, axon.constant(rallpack.CURRENT, start=start))],
        celsius=6.3,
        dt=dt,
        v_init=rallpack.E_LEAK,
        spike_threshold=0.0,
    )


@cache
def passive(dt: float, start: float = 0.0, duration: float = 250.0) -> tuple[Array, Array, Array]:
    """Times since the current began (ms), the potentials at both ends, and their errors (mV)."""
    membrane = axon.models.passive(g=rallpack.G_LEAK, e=rallpack.E_LEAK)
    run = simulation(membrane, dt, start).run(
        start + duration if start == 0.0 else duration,
        every=dt,
        record=[0.0, rallpack.LENGTH],
        dtype="float64",
    )
    since = run.time - start
    t, v = since[since >= 0.0], run.v[since >= 0.0]
    return t, v, v - np.transpose([rallpack.exact(t, end) for end in ENDS])


def test_passive_cable() -> None:
    """Rallpack 1 at a time step of 0.05 ms, against the exact solution of its compartments.

    Nearly all of the error is in the first steps: the potential begins as the root of time.
    """
    _, _, error = passive(0.05)
    near, far = np.sqrt(np.mean(error**2, axis=0))
    assert near < 0.005  # 0.0044 mV
    assert far < 0.00005  # 0.000031 mV


def test_passive_cable_does_not_ring() -> None:
    """Crank-Nicolson's ringing is damped: R. Rannacher, Numer. Math. 43, 309-327 (1984).

    The exact solution rises ever more slowly, so no second difference may be positive; undamped,
    they alternate with 0.2 mV where the curvature makes 0.01 mV and, in the end, 1e-6 mV.
    """
    _, v, error = passive(0.05)
    assert np.diff(v[:, 0], n=2).max() < 0
    assert np.abs(error[20:]).max() < 0.002  # 0.0018 mV, after the first ms


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_passive_cable_does_not_ring_after_an_edge_within_a_step(fraction: float) -> None:
    """Wherever in a step the current begins, both steps whose mean current jumps are damped."""
    dt = 0.05
    _, v, error = passive(dt, start=1.0 + fraction * dt, duration=6.0)
    assert np.diff(v[2:, 0], n=2).max() < 0
    assert np.abs(error[20:]).max() < 0.006  # damped in one step only: 0.05 to 0.18 mV


def test_passive_cable_in_dt() -> None:
    """Rallpack 1 is second order in dt: everywhere at the far end, from 1 ms on at the near one."""
    errors = []
    for dt in (0.2, 0.1, 0.05, 0.025, 0.0125):
        t, _, error = passive(dt)
        after = t > 1.0 - dt / 2
        errors.append([np.abs(error[after, 0]).max(), np.sqrt(np.mean(error[:, 1] ** 2))])
    measured = np.log2(np.divide(errors[:-1], errors[1:]))
    assert measured.min() >= 1.95
    # From 0.2 to 0.1 ms there are still five undamped steps within the first ms: 2.4.
    np.testing.assert_allclose(measured[1:], 2.0, atol=0.05)


def active(dt: float) -> axon.Simulation:
    return simulation(
        axon.models.hodgkin_huxley(g_leak=rallpack.G_LEAK, e_leak=rallpack.E_LEAK), dt
    )


@cache
def spike_errors(dt: float) -> list[Array]:
    """How much later than they should spikes rise through 0 mV at either end, in ms."""
    spikes = active(dt).run(rallpack.DURATION, record=()).spikes
    found = [spikes["time"][spikes["compartment"] == end] for end in ENDS]
    assert [len(times) for times in found] == [18, 17]
    return [times - wanted for times, wanted in zip(found, SPIKES, strict=True)]


def test_active_cable() -> None:
    """Rallpack 3: 18 spikes go in, 17 arrive, all at the times of the converged solution."""
    first, last = spike_errors(0.005)
    assert np.abs(first).max() < 0.002  # 0.0018 ms for the last, which has had 248 ms to stray
    assert np.abs(last).max() < 0.002


def test_active_cable_peaks() -> None:
    """Rallpack 3: the potential at the top of every spike."""
    dt = 0.005
    run = active(dt).run(
        rallpack.DURATION, every=dt, record=[0.0, rallpack.LENGTH], dtype="float64"
    )
    for v, wanted in zip(np.transpose(run.v), PEAKS, strict=True):
        tops = np.flatnonzero((v[1:-1] > v[:-2]) & (v[1:-1] >= v[2:]) & (v[1:-1] > 0.0)) + 1
        found = [extreme(run.time, v, top)[1] for top in tops]
        np.testing.assert_allclose(found, wanted, atol=0.003)  # 0.0011 and 0.0024 mV


def test_active_cable_in_dt() -> None:
    """Rallpack 3 is second order in dt, over the whole train of spikes."""
    dts = [0.02, 0.01, 0.005, 0.0025, 0.00125]
    every = [[np.sqrt(np.mean(error**2)) for error in spike_errors(dt)] for dt in dts]
    measured = np.log2(np.divide(every[:-1], every[1:]))
    np.testing.assert_allclose(measured, 2.0, atol=0.05)
