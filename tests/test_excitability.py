from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import axon
from axon.errors import NoSpikeError
from axon.excitability import PatchRecovery, patch_recovery

CELSIUS = 6.3


@cache
def squid(duration=60.0, pulses=1):
    cable = axon.Axon.cylinder("60 mm", 476.0, Ra=35.4, compartments=120)
    clamp = axon.CurrentClamp(0.0, axon.train(1e4, 1.0, 1.0, interval=25.0, count=pulses))
    sim = axon.Simulation(cable, axon.models.hodgkin_huxley(), [clamp], celsius=CELSIUS, dt=0.01)
    return sim.run(duration, every=0.02)


def peak_of_a_patch(v, m, h, n):
    """The largest V within 10 ms, by the classical Runge-Kutta method: no part of the engine."""
    gates = {gate.name: gate for _, gate in axon.models.hodgkin_huxley().gates}

    def changes(y):
        v, m, h, n = y
        out = [-1e3 * (0.12 * m**3 * h * (v - 50) + 0.036 * n**4 * (v + 77) + 3e-4 * (v + 54.3))]
        for x, gate in ((m, gates["m"]), (h, gates["h"]), (n, gates["n"])):
            alpha, beta = gate.alpha(v), gate.beta(v)
            out.append(alpha * (1 - x) - beta * x)
        return np.array(out)

    y, dt, highest = np.array([v, m, h, n]), 0.01, v
    for _ in range(1000):
        a = changes(y)
        b = changes(y + dt / 2 * a)
        c = changes(y + dt / 2 * b)
        d = changes(y + dt * c)
        y = y + dt / 6 * (a + 2 * b + 2 * c + d)
        highest = max(highest, y[0])
    return highest


@pytest.mark.parametrize("interval", [None, 7.5, 18.0])
def test_the_least_shock_is_that_of_the_equations(interval):
    run = squid()
    found, there = patch_recovery(run, "30 mm"), axon.membrane_at(run, "30 mm")
    shape = axon.action_potential(run, "30 mm")
    if interval is None:
        row, shock = int(np.searchsorted(there.time, shape.time - 5.0)), found.at_rest
    else:
        k = int(np.argmin(np.abs(found.interval - interval)))
        row = int(np.argmin(np.abs(there.time - shape.time - found.interval[k])))
        shock = found.shock[k]
    state = [there.states[name][row] for name in ("na.m", "na.h", "k.n")]
    level = shape.rest + 2 / 3 * shape.amplitude
    # Bracketed to 0.03 mV, a 1331st of the range.
    assert peak_of_a_patch(there.v[row] + shock + 0.05, *state) > level
    assert peak_of_a_patch(there.v[row] + shock - 0.08, *state) < level


def test_periods_of_the_squid_axon():
    found = patch_recovery(squid(), "30 mm")
    # A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952), figure 12: 7 mV do, 6 do not.
    assert 6.0 < found.at_rest < 7.0
    assert 4.0 < found.absolute < found.relative < 20.0
    refractory = found.interval <= found.absolute
    assert np.isinf(found.shock[refractory]).all()
    assert np.isfinite(found.shock[~refractory]).all()
    # Afterwards it is more excitable for a while, then as at rest.
    assert found.shock.min() < 0.95 * found.at_rest
    assert found.shock[-1] == pytest.approx(found.at_rest, rel=0.03)
    assert "refractory for" in str(found)


def test_what_is_seen_ends_with_the_next_impulse():
    run = squid(60.0, 2)
    times = run.spikes["time"][run.spikes["compartment"] == 60]
    found = patch_recovery(run, "30.1 mm")
    assert len(times) == 2 and found.interval[-1] < times[1] - times[0]
    assert patch_recovery(run, "30.1 mm", 1).interval[-1] > times[1] - times[0]


def test_periods_are_read_off_the_shocks():
    interval = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = PatchRecovery(0.0, 10.0, interval, np.array([np.inf, np.inf, 20.0, 10.6, 9.0]))
    assert (found.absolute, found.relative) == (2.0, 4.0)
    never = PatchRecovery(0.0, 10.0, interval, np.full(5, np.inf))
    assert np.isnan(never.absolute) and np.isnan(never.relative)
    at_once = PatchRecovery(0.0, 10.0, interval, np.full(5, 10.0))
    assert (at_once.absolute, at_once.relative) == (0.0, 0.0)


def test_a_run_that_ends_too_early():
    with pytest.raises(NoSpikeError, match="doesn't come back"):
        patch_recovery(squid(5.5), "30 mm")


def test_no_impulse():
    with pytest.raises(NoSpikeError, match="0 spikes"):
        patch_recovery(squid(1.5), "30 mm")


def test_a_patch_that_is_active_by_itself():
    """Depolarised by a current that the axon's other half carries away."""
    membrane = axon.Membrane(
        axon.models.hodgkin_huxley().channels,
        pumps=[axon.Pump("drive", lambda v: -0.02 + 0 * v, {"x": 1.0}, density=1.0)],
    ).scaled(drive=lambda x: np.where(x < 500.0, 1.0, -1.0))
    cable = axon.Axon.cylinder("1 mm", 476.0, Ra=35.4, compartments=20)
    clamp = axon.CurrentClamp(0.0, axon.pulse(1e3, 8.0, 0.5))
    run = axon.Simulation(cable, membrane, [clamp], v_init=-65.0, dt=0.01).run(40.0)
    with pytest.raises(NoSpikeError, match="is active by itself"):
        patch_recovery(run, "0.1 mm")
