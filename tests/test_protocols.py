"""Searches: against scans, published thresholds, and what can't be found."""

from __future__ import annotations

import numpy as np
import pytest

import axon
from axon import NoThresholdError, SimulationError

ELECTRODE = axon.PointSource("1 mm", 0.0, 100.0, sigma=0.3)


def fibre(**options):
    return axon.Axon.cylinder("2 mm", diameter=1.0, dx=20.0, **options)


def inside(amplitude=0.1, **options):
    clamp = axon.CurrentClamp(0.0, axon.pulse(amplitude, start=0.5, duration=0.5))
    return axon.Simulation(fibre(), axon.models.sundt(), [clamp], dt=0.01, **options)


def outside(amplitude, membrane=None):
    stimulus = axon.Extracellular(ELECTRODE, axon.pulse(amplitude, start=0.5, duration=0.2))
    return axon.Simulation(fibre(), membrane or axon.models.sundt(), [stimulus], dt=0.01)


@pytest.mark.parametrize("simulation", [inside(), outside(-0.05), outside(0.05)])
def test_a_scan_finds_the_same(simulation):
    """Every factor below does not activate, every one from there on does."""
    found = axon.threshold(simulation, 10.0, tolerance=0.02)
    assert found.error <= 0.02 and found.monotone
    place = simulation.axon.index("1.8 mm")
    for factor in np.linspace(0.2, 1.6, 15) * found.value:
        if found.below < factor < found.value:
            continue
        stimulus = simulation.stimuli[0]
        options = {"waveform": stimulus.waveform.scaled(factor)}
        if isinstance(stimulus, axon.CurrentClamp):
            scaled = axon.CurrentClamp(stimulus.at, **options)
        else:
            scaled = axon.Extracellular(stimulus.source, **options)
        run = axon.Simulation(simulation.axon, simulation.membrane, [scaled], dt=0.01)
        spikes = run.run(10.0, record=()).spikes
        assert (place in spikes["compartment"]) == (factor >= found.value)


def test_the_answer_and_how_it_was_found():
    told = []
    found = axon.threshold(inside(), 10.0, tolerance=1e-4, guess=64.0, progress=told.append)
    assert found.below < found.value <= found.below * (1 + 1e-4)
    assert list(found.trials) == told
    assert told[0].factor == 0.0 and told[0].why == "there was no spike"
    assert "arrived at 1810 um" in told[1].why
    assert str(found).startswith(f"{found.value:.6g} (not {found.below:.6g}; {len(told)} runs)")
    (impulse,) = axon.impulses(found.run)
    assert impulse.start < 500.0 and 1990.0 in impulse.ends


def test_it_does_not_depend_on_where_the_search_begins():
    values = [axon.threshold(inside(), 10.0, tolerance=1e-6, guess=g).value for g in (0.01, 3.0)]
    assert values[0] == pytest.approx(values[1], rel=2e-6)


def test_strength_is_measured_in_what_the_stimulus_is():
    """Twice the current, half the factor; a charge at threshold does not depend on the scale."""
    first, second = (axon.threshold(inside(a), 10.0, tolerance=1e-6).value for a in (0.1, 0.2))
    assert first == pytest.approx(2 * second, rel=2e-6)


def test_a_cathode_needs_less_than_an_anode():
    assert axon.threshold(outside(-0.1), 10.0).value < axon.threshold(outside(0.1), 10.0).value / 2


def test_a_late_arrival_counts():
    """The impulse comes after 6 ms; who waits for less finds none."""
    found = axon.threshold(inside(), 20.0)
    assert found.value == axon.threshold(inside(), 10.0).value
    with pytest.raises(NoThresholdError, match=r"spikes from 10 to \d+ um, and none at 1810 um"):
        axon.threshold(inside(), 3.0, largest=8.0)


def test_where_an_impulse_must_arrive():
    near = axon.threshold(inside(), 10.0, at="0.1 mm", tolerance=1e-3)
    far = axon.threshold(inside(), 10.0, at="1.9 mm", tolerance=1e-3)
    assert near.value <= far.value
    with pytest.raises(axon.GeometryError):
        axon.threshold(inside(), 10.0, at="3 mm")


def test_it_begins_where_runs_begin():
    """Some ms after an impulse the axon is less excitable, or more, but not as it was."""
    resting = axon.threshold(inside(), 10.0, tolerance=1e-3).value
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.1, start=12.0, duration=0.5))
    sim = inside(1.0)
    sim.run(11.5)
    later = axon.Simulation(fibre(), axon.models.sundt(), [clamp], dt=0.01)
    later.restore(sim.state())
    conditioned = axon.threshold(later, 10.0, tolerance=1e-3).value
    assert conditioned != pytest.approx(resting, rel=0.01)


@pytest.mark.parametrize(
    ("model", "published"),
    # PyFibers, tests/integration/test_intra_thresholds.py at 1a702b7, nA
    [("sundt", 0.16650390625), ("rattay_aberham", 0.18603515625)],
)
def test_thresholds_of_pyfibers(model, published):
    """131 active sections of 8.333 µm at 37 °C, 1 ms into the middle; both within 1 %."""
    membrane = getattr(axon.models, model)()
    cable = axon.Axon.cylinder(
        131 * 8.333, diameter=1.0, Ra=membrane.Ra, cm=membrane.cm, compartments=131
    )
    clamp = axon.CurrentClamp(cable.length / 2, axon.pulse(1.0, 0.0, 1.0))
    sim = axon.Simulation(cable, membrane, [clamp], celsius=37.0, spike_threshold=-30.0)
    found = axon.threshold(sim, 15.0, tolerance=0.005)
    assert found.value == pytest.approx(published, rel=0.01)


def test_a_strong_cathode_blocks_what_it_excites():
    """Its anodes beside: from a guess up there the search comes down."""
    found = axon.threshold(outside(-1.0), 10.0)
    assert not found.trials[1].activated and not found.monotone
    assert "some stronger stimuli did not activate" in str(found)
    gently = axon.threshold(outside(-1.0), 10.0, guess=0.01)
    assert gently.monotone and gently.value == pytest.approx(found.value, rel=0.02)


# What can't be found


def test_an_axon_that_is_active_by_itself():
    """An impulse is on its way already."""
    sim = inside(1.0)
    sim.run(2.0)
    sim.restore(sim.state())
    with pytest.raises(NoThresholdError, match=r"active without any stimulus: .* 1810 um"):
        axon.threshold(sim, 10.0)


def test_an_axon_without_sodium_channels():
    """Right beneath the electrode the potential follows it, and no farther."""
    membrane = axon.models.sundt().scaled(na=0.0)
    with pytest.raises(
        NoThresholdError, match="no factor up to 32 activates the axon: there were spikes"
    ):
        axon.threshold(outside(-0.01, membrane), 5.0, largest=40.0)


def test_what_runs_away_is_no_activation():
    with pytest.raises(NoThresholdError, match="ran away at x = "):
        axon.threshold(inside(1e6), 2.0, guess=1e3, at="1.9 mm", largest=1e3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": 0.0}, "tolerance"),
        ({"guess": -1.0}, "guess"),
        ({"largest": np.nan}, "largest"),
        ({"duration": "1 mV"}, "duration"),
        ({"duration": 0.0}, "duration"),
        ({"duration": 0.0151}, "whole number of steps"),
    ],
)
def test_arguments_that_make_no_sense(change, message):
    with pytest.raises(SimulationError, match=message):
        axon.threshold(inside(), **({"duration": 10.0} | change))


def test_no_stimulus_no_threshold():
    sim = axon.Simulation(fibre(), axon.models.sundt(), dt=0.01)
    with pytest.raises(SimulationError, match="needs a stimulus"):
        axon.threshold(sim, 10.0)
