"""Voltage clamps: the potential is the command's, and the axon answers as it should."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon

HOLD_AND_STEP = axon.constant(-65.0) + axon.pulse(65.0, start=1.0, duration=5.0)


def passive(length, **options):
    fibre = axon.Axon.cylinder(length, diameter=1.0, Ra=100.0, cm=1.0, dx=1.0)
    membrane = axon.models.passive(g=1e-3, e=-65.0)
    return axon.Simulation(fibre, membrane, **{"dt": 0.01} | options)


def squid(stimulus, dt=0.01, **options):
    fibre = axon.Axon.cylinder("5 mm", diameter=50.0, Ra=35.4, compartments=50)
    return axon.Simulation(fibre, axon.models.hodgkin_huxley(), [stimulus], dt=dt, **options)


@pytest.mark.parametrize("method", ["crank-nicolson", "backward-euler"])
@pytest.mark.parametrize("at", [0.0, 2500.0, 5000.0])
def test_an_ideal_clamp_imposes_what_is_commanded(at, method):
    """At every step, also where it moves, but for the one within which it jumps."""
    command = HOLD_AND_STEP + axon.sine(3.0, 200.0, start=2.003, duration=5.0)
    command += axon.ramp(10.0, start=6.5, duration=1.2345)
    sim = squid(axon.VoltageClamp(at, command), method=method)
    run = sim.run(10.0, every=0.01, dtype="float64")
    v, time = np.asarray(run.v)[:, sim.axon.index(at)], run.time
    follows = (time > 0) & (np.abs(time - 7.74) > 1e-6)  # the step that the ramp's end has cut
    commanded = command(time - 1e-9)  # of a jump between two steps what was before it
    np.testing.assert_allclose(v[follows], commanded[follows], rtol=0, atol=1e-6)


def test_a_cable_held_at_its_end_takes_the_closed_form():
    """cosh((L - x) / lambda) / cosh(L / lambda), from the middle of what is held."""
    sim = passive("1 mm", stimuli=[axon.VoltageClamp(0.0, axon.constant(-55.0))])
    run = sim.run(40.0, every=40.0, dtype="float64")
    space = np.sqrt(1.0 * 1e-4 / (4 * 100.0 * 1e-3)) * 1e4  # µm
    x = sim.axon.x
    expected = 10.0 * np.cosh((1000.0 - x) / space) / np.cosh((1000.0 - x[0]) / space)
    np.testing.assert_allclose(run.v[-1] + 65.0, expected, rtol=2e-5)


def test_through_a_series_resistance_a_patch_charges_exponentially():
    """C dV/dt = (Vc - V) / R - g (V - E): one compartment, to the order of the step."""
    fibre = axon.Axon.cylinder("100 um", diameter=10.0, cm=1.0, compartments=1)
    area = np.pi * 10.0 * 100.0 * 1e-8  # cm²
    leak, charge, through = 1e-3 * area * 1e6, area * 1e3, 1 / 200.0  # µS, nF, µS
    errors = []
    for dt in (0.02, 0.01):
        clamp = axon.VoltageClamp(
            50.0, axon.constant(-25.0), resistance="200 Mohm", start=0.505, stop=4.0
        )
        sim = axon.Simulation(fibre, axon.models.passive(g=1e-3, e=-65.0), [clamp], dt=dt)
        run = sim.run(6.0, every=0.5, dtype="float64")
        tau, end = charge / (leak + through), 40.0 * through / (leak + through)
        rising = end * (1 - np.exp(-(np.clip(run.time, 0.505, 4.0) - 0.505) / tau))
        falling = np.exp(-(np.maximum(run.time, 4.0) - 4.0) * leak / charge)
        errors.append(np.abs(np.asarray(run.v)[:, 0] + 65.0 - rising * falling).max())
    assert errors[1] < 2e-4
    assert errors[0] / errors[1] > 3.0


@pytest.mark.parametrize("dt", [0.01, 0.005, 0.0025])
@pytest.mark.parametrize("resistance", ["1 kohm", "10 kohm", "100 kohm", "1 Mohm", "10 Mohm"])
def test_the_current_after_a_step_does_not_ring_however_stiff_the_clamp(resistance, dt):
    """From two time steps on after what charges the patch it is that of the steady leak."""
    fibre = axon.Axon.cylinder("10 um", diameter=10.0, cm=1.0, compartments=1)
    leak = 1e-3 * np.pi * 10.0 * 10.0 * 1e-8 * 1e6  # µS
    through = 1.0 / axon.VoltageClamp(0.0, axon.constant(0.0), resistance=resistance).resistance
    command = axon.constant(-80.0) + axon.pulse(80.0, start=1.0, duration=5.0)
    clamp = axon.VoltageClamp(0.0, command, resistance=resistance)
    sim = axon.Simulation(fibre, axon.models.passive(g=1e-3, e=-80.0), [clamp], dt=dt, v_init=-80.0)
    run = sim.run(3.0, every=0.1, dtype="float64")
    expected = 80.0 * leak * through / (leak + through)
    # 10 Mohm charge it with a time constant of 30 µs.
    np.testing.assert_allclose(axon.clamp_current(run)[14:], expected, rtol=1e-2)


def test_the_order_is_2_with_an_ideal_clamp_that_moves():
    def v(dt):
        clamp = axon.VoltageClamp(0.0, axon.constant(-65.0) + axon.sine(20.0, 150.0))
        return squid(clamp, dt).run(8.0, every=0.8, dtype="float64").v[:, 5:]

    exact = v(0.0025)
    coarse, fine = (np.abs(v(dt) - exact).max() for dt in (0.02, 0.01))
    assert 3.4 < coarse / fine < 5.0


def test_what_is_off_does_nothing():
    stimulus = axon.CurrentClamp(0.0, axon.pulse(1.0, 1.0, 0.5))
    off = axon.VoltageClamp(2500.0, axon.constant(0.0), start=50.0)
    fibre = axon.Axon.cylinder("5 mm", diameter=50.0, Ra=35.4, compartments=50)
    plain = axon.Simulation(fibre, axon.models.hodgkin_huxley(), [stimulus], dt=0.01)
    clamped = axon.Simulation(fibre, axon.models.hodgkin_huxley(), [stimulus, off], dt=0.01)
    a, b = (np.asarray(s.run(10.0, dtype="float64").v) for s in (plain, clamped))
    np.testing.assert_array_equal(a, b)


@given(
    start=st.floats(0.0, 0.1),
    resistance=st.sampled_from([None, 0.5, 50.0]),
    block=st.integers(1, 70),
)
@settings(max_examples=30, deadline=None)
def test_blocks_change_no_bit(start, resistance, block):
    command = HOLD_AND_STEP.delayed(start) + axon.sine(5.0, 300.0, start=2.0, duration=1.0)
    clamp = axon.VoltageClamp(0.0, command, resistance=resistance, start=start, stop=7.0 + start)
    equations = squid(clamp)._equations
    whole, damped = equations.stimulation(0, 900)
    for first in range(0, 900, block):
        count = min(block, 900 - first)
        part, part_damped = equations.stimulation(first, count)
        np.testing.assert_array_equal(part, whole[first : first + count])
        np.testing.assert_array_equal(part_damped, damped[first : first + count])


def test_it_goes_on_from_a_file(tmp_path):
    clamp = axon.VoltageClamp(0.0, HOLD_AND_STEP, stop=4.0)
    whole, cut = tmp_path / "whole.h5", tmp_path / "cut.h5"
    squid(clamp).run(8.0, output=whole)
    asked = iter(["", "enough"])
    with pytest.raises(axon.StoppedError):
        squid(clamp).run(8.0, output=cut, stop=lambda: next(asked))
    axon.resume(cut)
    assert whole.read_bytes() == cut.read_bytes()


def test_it_survives_json():
    for clamp in (
        axon.VoltageClamp("1 mm", HOLD_AND_STEP),
        axon.VoltageClamp(0.0, HOLD_AND_STEP, resistance=2.0, start=1.0, stop=3.0),
    ):
        description = json.loads(json.dumps(clamp.to_dict(), allow_nan=False))
        assert axon.VoltageClamp.from_dict(description) == clamp


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"waveform": axon.constant("1 nA")}, "plain numbers, in mV"),
        ({"waveform": 5.0}, "no waveform"),
        ({"resistance": 0.0}, "resistance = 0"),
        ({"resistance": "1 mV"}, "resistance"),
        ({"start": 2.0, "stop": 2.0}, "stop = 2 ms is not after start = 2 ms"),
        ({"stop": float("nan")}, "stop = nan"),
        ({"at": -1.0}, "at = -1"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, told):
    with pytest.raises(axon.StimulusError, match=told):
        axon.VoltageClamp(**{"at": 0.0, "waveform": HOLD_AND_STEP} | arguments)


@pytest.mark.parametrize("wrong", [{}, {"type": "voltage_clamp"}, {"resistance": 1.0}, []])
def test_hostile_descriptions_are_refused(wrong):
    with pytest.raises(axon.StimulusError):
        axon.VoltageClamp.from_dict(wrong)


# Its current


def test_the_current_of_a_clamp_that_steps_is_that_of_the_membrane():
    """A squid patch held at 0 mV: C dV/dt + the ionic current of Hodgkin and Huxley.

    One compartment, 100 ohm: what charges it is over at once, then the current is the membrane's
    alone, m³h and n⁴ on their way with the time constants of 0 mV.
    """
    fibre = axon.Axon.cylinder("100 um", diameter=50.0, compartments=1)
    area = np.pi * 50.0 * 100.0 * 1e-8  # cm²
    membrane = axon.models.hodgkin_huxley()
    command = axon.constant(-65.0) + axon.pulse(65.0, start=1.0, duration=5.0)
    clamp = axon.VoltageClamp(50.0, command, resistance="100 ohm")
    sim = axon.Simulation(fibre, membrane, [clamp], dt=0.0005, v_init=-65.0)
    run = sim.run(6.0, every=0.1, dtype="float64")
    current = axon.clamp_current(run)

    def gate(a, b, rest, t):
        steady, tau = a / (a + b), 1 / (a + b)  # at 6.3 degrees, as published
        return steady + (rest - steady) * np.exp(-t / tau)

    def alpha_beta(v):  # Hodgkin & Huxley (1952), with rest at -65 mV
        return (
            (0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)), 4 * np.exp(-(v + 65) / 18)),
            (0.07 * np.exp(-(v + 65) / 20), 1 / (1 + np.exp(-(v + 35) / 10))),
            (0.01 * (v + 55) / (1 - np.exp(-(v + 55) / 10)), 0.125 * np.exp(-(v + 65) / 80)),
        )

    later = (run.time > 1.05) & (run.time < 5.95)
    t = run.time[later] - 1.0
    (m, h, n) = (
        gate(*now, before[0] / sum(before), t)
        for now, before in zip(alpha_beta(0.0), alpha_beta(-65.0), strict=True)
    )
    density = 0.12 * m**3 * h * (0 - 50) + 0.036 * n**4 * (0 + 77) + 3e-4 * (0 + 54.3)
    expected = density * area * 1e6
    np.testing.assert_allclose(current[later], expected, atol=3e-3 * np.abs(expected).max())
    assert current[later].min() < 0 < current[later][-1]  # inward first, then outward


def test_slow_steps_do_not_ring_under_a_stiff_clamp():
    """What jumps with every fifth step alternates, as what Crank-Nicolson does not damp."""
    command = axon.constant(-60.0) + axon.pulse(60.0, start=1.0, duration=5.0)
    clamp = axon.VoltageClamp(0.0, command, resistance="1 Mohm")
    fibre = axon.Axon.cylinder("20 um", diameter=1.0, compartments=1)

    def current(dt, stride):
        sim = axon.Simulation(
            fibre, axon.models.tigerholm(), [clamp], dt=dt, v_init=-60.0, stride=stride
        )
        return axon.clamp_current(sim.run(8.0, every=0.05, dtype="float64"))

    exact = current(0.0003125, 1)
    jumps = np.isin(np.arange(exact.size), [20, 21, 120, 121])
    slow, fast = (np.abs(current(0.005, k) - exact)[~jumps] for k in (5, 1))
    assert 0.0 < slow.mean() < 1.15 * fast.mean()
    assert slow.max() < 1.05 * fast.max()


def test_currents_that_are_not_known():
    ideal = squid(axon.VoltageClamp(0.0, HOLD_AND_STEP)).run(2.0)
    with pytest.raises(axon.SimulationError, match="is ideal"):
        axon.clamp_current(ideal)
    with pytest.raises(axon.SimulationError, match="has 1 voltage clamps"):
        axon.clamp_current(ideal, 1)
    soft = squid(axon.VoltageClamp(0.0, HOLD_AND_STEP, resistance=1.0))
    with pytest.raises(axon.SimulationError, match="not recorded"):
        axon.clamp_current(soft.run(2.0, record=[2000.0]))


def test_what_a_clamp_passes_reaches_an_electrode_outside():
    """As if the same current came from a current clamp."""
    smooth = axon.constant(-65.0) + axon.sine(10.0, 250.0, start=1.0, duration=4.0)
    clamp = axon.VoltageClamp(2500.0, smooth, resistance=5.0)
    run = squid(clamp, v_init=-65.0).run(6.0, every=0.01, dtype="float64")
    passed = axon.CurrentClamp(2500.0, axon.samples(run.time, axon.clamp_current(run)))
    same = squid(passed, v_init=-65.0).run(6.0, every=0.01, dtype="float64")
    electrode = axon.PointSource(2500.0, 0.0, 300.0)
    first, second = (axon.extracellular_potential(r, electrode)[:-1] for r in (run, same))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-3 * np.abs(first).max())
