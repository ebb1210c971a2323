"""Searches: against scans, published thresholds, and what can't be found."""

from __future__ import annotations

import math
from math import erf

import numpy as np
import pytest

import axon
from axon import NoThresholdError, SimulationError, protocols, trials

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


def test_the_largest_factor_may_be_less_than_the_first_guess():
    with pytest.raises(NoThresholdError, match=r"no factor up to 0\.01 "):
        axon.threshold(inside(), 10.0, largest=0.01)
    assert axon.threshold(inside(1e3), 10.0, largest=0.5).value == pytest.approx(
        axon.threshold(inside(1e3), 10.0).value, rel=0.02
    )


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
    assert "some stronger stimuli did not do it" in str(found)
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


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("tolerance", [1e-300, 1e-16, 1e-9, 1e-3, 0.01, 0.013, 0.5, 1.0, 3.0])
def test_the_first_bracket_is_cut_to_just_the_tolerance(tolerance, workers):
    """Or, where no number lies so near, as far as numbers go."""
    at, made = 0.312345, []

    def attempt(factor):
        made.append(factor)
        return protocols.Trial(factor, factor >= at, ""), None

    search = protocols._Search(attempt, 1.0, 1e6, tolerance, workers, None)
    search.trial(0.0)
    above, below = search.bracket("")
    assert below < at <= above
    least = max(tolerance, 1e-15)
    assert above <= below * (1 + least)
    sections = math.log(math.log(2.0) / math.log1p(least), workers + 1)
    assert len(made) <= 1 + 2 + 3 * workers * (2 + max(0.0, sections))


def test_an_axon_without_sodium_channels():
    """Right beneath the electrode the potential follows it, and no farther."""
    membrane = axon.models.sundt().scaled(na=0.0)
    with pytest.raises(
        NoThresholdError, match="no factor up to 40 activates the axon: there were spikes"
    ):
        axon.threshold(outside(-0.01, membrane), 5.0, largest=40.0)


def test_what_runs_away_is_no_activation():
    with pytest.raises(NoThresholdError, match="ran away at x = "):
        axon.threshold(inside(1e6), 2.0, guess=1e3, at="1.9 mm", largest=1e3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": 0.0}, "tolerance"),
        ({"guess": 0.0}, "guess"),
        ({"workers": 0}, "workers"),
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


# How it is searched


def test_a_negative_guess_searches_among_negative_factors():
    """A cathode upside down is an anode."""
    cathode, anode = outside(-0.05), outside(0.05)
    turned = axon.threshold(anode, 10.0, guess=-1.0, tolerance=1e-3)
    assert turned.value == pytest.approx(-axon.threshold(cathode, 10.0, tolerance=1e-3).value)
    assert turned.below > turned.value and turned.error <= 1e-3
    assert all(trial.factor <= 0.0 for trial in turned.trials)


@pytest.mark.parametrize("workers", [2, 5])
def test_several_trials_at_a_time_find_the_same(workers):
    alone = axon.threshold(outside(-0.05), 10.0, tolerance=1e-4)
    together = axon.threshold(outside(-0.05), 10.0, tolerance=1e-4, workers=workers)
    assert together.value == pytest.approx(alone.value, rel=1e-4) and together.error <= 1e-4
    again = axon.threshold(outside(-0.05), 10.0, tolerance=1e-4, workers=workers)
    assert [t.factor for t in again.trials] == [t.factor for t in together.trials]


@pytest.mark.parametrize("simulation", [inside(), outside(-0.05)])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999, 1.001, 1.5])
def test_nothing_comes_after_it_was_certain(simulation, share):
    """A trial that ended for being near rest has seen all that the whole run sees."""
    least = axon.threshold(simulation, 10.0, tolerance=1e-4).value
    bench = trials.Bench(simulation, 400.0)
    stimuli = trials.scaled(simulation.stimuli, share * least, [0])
    seen = bench.run(stimuli, arrivals=99)
    assert seen.end < 200.0
    run = simulation.with_stimuli(stimuli).run(400.0, record=())
    np.testing.assert_array_equal(seen.times, run.spikes["time"])


@pytest.mark.parametrize("start", [0.0, 0.004, 0.5, 3.0, 7.123, 50.0])
def test_what_trials_share_changes_none(start):
    """All begin where the first stimulus that is varied does, to the bit as from time zero."""
    sim = inside()
    stimuli = [
        axon.CurrentClamp(0.0, axon.pulse(0.5, start=0.5, duration=0.5)),
        axon.CurrentClamp("1 mm", axon.pulse(0.02, start=start, duration=1.0)),
    ]
    bench = trials.Bench(sim, 10.0)
    lead = bench.lead(stimuli[:1], start)
    whole, shared = bench.run(stimuli, arrivals=9), bench.run(stimuli, arrivals=9, begin=lead)
    np.testing.assert_array_equal(whole.times, shared.times)
    np.testing.assert_array_equal(whole.compartments, shared.compartments)
    np.testing.assert_array_equal(whole.arrivals, shared.arrivals)
    assert lead.state.time <= start and whole.told == shared.told


def test_an_axon_that_might_not_come_back_is_watched_to_the_end():
    sim = inside(v_init=-60.0)
    assert not sim.begins_at_rest
    assert trials.Bench(sim, 30.0).run([]).end == 30.0
    assert trials.Bench(inside(), 30.0).run([]).end < 30.0


def test_a_membrane_that_a_nudge_excites_is_watched_to_the_end():
    """Rest is stable, but 3 mV are enough to leave it."""
    from axon import Axon, Channel, Gate, Membrane

    steep = Gate("m", inf=lambda v: 1 / (1 + np.exp(-(v + 63.0) / 0.5)), tau=lambda v: 0 * v + 0.1)
    sodium = Channel("na", gates=[steep], gbar=0.01, reversal=50.0)
    membrane = Membrane([sodium, Channel("leak", gbar=1e-3, reversal=-65.0)], celsius=20.0)
    cable = Axon.cylinder("1 mm", diameter=1.0, dx=20.0)
    sim = axon.Simulation(cable, membrane, [], dt=0.01)
    assert sim.begins_at_rest
    assert trials.Bench(sim, 10.0).run([]).end == 10.0


def test_where_it_began_is_told():
    """A field that is the same everywhere acts at the ends; an anode on both sides of itself."""
    anode = axon.threshold(outside(0.05), 10.0)
    assert any(remark.startswith("impulses began at") for remark in anode.remarks)
    assert axon.threshold(outside(-0.05), 10.0).remarks == ()
    even = axon.PotentialAlong.from_function(lambda x: x, "2 mm")
    field = axon.Extracellular(even, axon.pulse(-1.0, start=0.5, duration=0.2))
    found = axon.threshold(inside().with_stimuli([field]), 10.0)
    assert any("one began near an end" in remark for remark in found.remarks)
    assert axon.threshold(inside(), 10.0).remarks == ()


def test_the_run_has_the_stimuli_that_it_had():
    found = axon.threshold(inside(0.1), 10.0)
    (stimulus,) = found.run.header["stimuli"]
    assert stimulus["waveform"]["amplitude"] == pytest.approx(0.1 * found.value, rel=1e-15)


def test_a_clamp_is_no_stimulus_that_is_varied():
    clamp = axon.VoltageClamp(0.0, axon.constant(-65.0), stop=0.1)
    with pytest.raises(SimulationError, match="needs a stimulus"):
        axon.threshold(inside().with_stimuli([clamp]), 10.0)


# Block


def blocked(amplitude=0.1, **options):
    """A long fibre whose impulse from one end must pass a constant current in the middle."""
    cable = axon.Axon.cylinder("4 mm", diameter=1.0, dx=20.0)
    test = axon.CurrentClamp(0.0, axon.pulse(0.5, start=20.0, duration=0.5))
    hold = axon.CurrentClamp("2 mm", axon.constant(amplitude))
    return axon.Simulation(cable, axon.models.sundt(), [test, hold], dt=0.01, **options)


def test_the_least_current_that_blocks():
    """A scan finds the same: less lets the impulse pass, more doesn't."""
    sim = blocked(-1.0)
    found = axon.block_threshold(sim, 40.0, tolerance=0.02)
    assert found.error <= 0.02
    goal = sim.axon.index("3.6 mm")
    for factor in np.array([0.3, 0.7, 0.95, 1.05, 1.5]) * found.value:
        run = sim.with_stimuli(trials.scaled(sim.stimuli, factor, [1])).run(40.0, record=())
        there = run.spikes["time"][run.spikes["compartment"] == goal]
        assert bool((there > 20.0).any()) == (factor < found.value)


def test_an_onset_response_does_not_count():
    """5 kHz excite as they begin, then block; weaker ones excite again and again."""
    khz = axon.Extracellular(axon.PointSource("2 mm", 0.0, 100.0), axon.sine(1.0, 5000.0))
    sim = blocked().with_stimuli([blocked().stimuli[0], khz])
    found = axon.block_threshold(sim, 40.0)
    there = found.run.spikes["compartment"] == sim.axon.index("3.6 mm")
    assert there.any() and (found.run.spikes["time"][there] < 20.0).all()
    assert found.remarks == (f"onset response: {there.sum()} spikes before 20 ms",)
    assert not found.trials[0].activated


def test_block_that_makes_no_sense():
    with pytest.raises(NoThresholdError, match="no test impulse arrives without the block"):
        axon.block_threshold(blocked(), 22.0)
    with pytest.raises(SimulationError, match="nothing tests the block"):
        axon.block_threshold(blocked(), 40.0, block=[0, 1])
    with pytest.raises(SimulationError, match=r"block=\[\]: nothing blocks"):
        axon.block_threshold(blocked(), 40.0, block=[])
    with pytest.raises(SimulationError, match="block=2: there are 2 stimuli"):
        axon.block_threshold(blocked(), 40.0, block=2)
    with pytest.raises(NoThresholdError, match=r"blocks the test impulse: .* arrived"):
        axon.block_threshold(blocked(-1e-6), 40.0, largest=4.0)


# Strength and duration


def patch(amplitude=1.0):
    """10 mV above rest count as excited; the time constant is 1 ms."""
    cable = axon.Axon.cylinder("100 um", diameter=10.0, cm=1.0, compartments=1)
    clamp = axon.CurrentClamp(50.0, axon.pulse(amplitude, start=0.0, duration=1.0))
    membrane = axon.models.passive(g=1e-3, e=-65.0)
    return axon.Simulation(cable, membrane, [clamp], dt=0.001, spike_threshold=-55.0)


def test_a_passive_patch_obeys_lapicque():
    """I = I_r / (1 - exp(-d / tau)), rheobase g A 10 mV, chronaxie tau ln 2."""
    durations = np.array([0.05, 0.1, 0.3, 1.0, 3.0])
    found = axon.strength_duration(patch(), durations, 10.0, tolerance=5e-6)
    rheobase = 10.0 * 1e-3 * np.pi * 10.0 * 100.0 * 1e-8 * 1e6
    expected = rheobase / (1 - np.exp(-durations / 1.0))
    np.testing.assert_allclose(found.thresholds, expected, rtol=1.5e-5)
    assert found.lapicque == pytest.approx((rheobase, np.log(2.0)), rel=1e-5)
    np.testing.assert_allclose(found.charges, expected * durations, rtol=1.5e-5)


def test_a_passive_cable_obeys_its_closed_form():
    """At the end of a long one, I = I_r / erf(sqrt(d / tau)); exact as compartments vanish."""
    durations = [0.3, 1.0, 3.0]

    def thresholds(dx):
        cable = axon.Axon.cylinder("1.6 mm", diameter=1.0, Ra=100.0, cm=1.0, dx=dx)
        clamp = axon.CurrentClamp(0.0, axon.pulse(0.01, start=0.0, duration=1.0))
        membrane = axon.models.passive(g=1e-3, e=-65.0)
        sim = axon.Simulation(cable, membrane, [clamp], dt=0.005, spike_threshold=-55.0)
        return axon.strength_duration(sim, durations, 8.0, at=0.0, tolerance=1e-5).thresholds

    converged = 2 * thresholds(2.0) - thresholds(
        4.0
    )  # half a compartment lies behind the electrode
    space = np.sqrt(1e-4 / (4 * 100.0 * 1e-3))  # cm
    resistance = 4 * 100.0 * space / (np.pi * 1e-8) * 1e-6  # MΩ
    expected = 10.0 / resistance / np.array([erf(np.sqrt(d)) for d in durations])
    np.testing.assert_allclose(converged, expected, rtol=1e-3)


def test_weiss():
    """Charges on a straight line give back its slope and where it ends."""
    durations = np.array([0.1, 0.2, 0.5, 1.0])
    found = axon.StrengthDuration(durations, 2.0 * (1 + 0.4 / durations), ())
    assert found.weiss == pytest.approx((2.0, 0.4))
    assert str(found) == "rheobase 2, chronaxie 0.4 ms (Weiss, 4 durations)"


def test_a_cathode_keeps_its_sign_and_its_start():
    sim = outside(-0.05)
    found = axon.strength_duration(sim, ["0.1 ms", "0.4 ms"], 10.0)
    assert (found.thresholds < 0).all() and found.thresholds[0] < found.thresholds[1]
    alone = axon.threshold(outside(-1.0), 10.0, guess=0.01).value  # of 0.2 ms
    assert -found.thresholds[1] < alone < -found.thresholds[0]
    (stimulus,) = found.details[0].run.header["stimuli"]
    assert stimulus["waveform"]["start"] == 0.5 and stimulus["waveform"]["duration"] == 0.1


def test_other_shapes_of_pulse():
    sim = inside().with_stimuli([axon.CurrentClamp(0.0, axon.sine(1.0, 100.0, 0.5, 5.0))])
    with pytest.raises(axon.StimulusError, match="no rectangular pulse; give waveform="):
        axon.strength_duration(sim, [0.1], 10.0)
    found = axon.strength_duration(
        sim, [0.2, 0.5], 10.0, waveform=lambda d: axon.biphasic(1.0, 0.5, d)
    )
    assert found.thresholds[0] > found.thresholds[1] > 0


@pytest.mark.parametrize("durations", [[], [[0.1]], [0.0], [-1.0], ["1 mV"], [np.nan]])
def test_durations_that_make_no_sense(durations):
    with pytest.raises(axon.AxonError, match="durations"):
        axon.strength_duration(patch(), durations, 10.0)


# Recovery, trains, velocities


def test_recovery_after_an_impulse():
    """First nothing excites, then much must, then what does at rest; brute force agrees."""
    found = axon.recovery_cycle(inside(), [1.5, 4.0, 8.0, 150.0], 12.0, tolerance=0.01)
    assert np.isinf(found.ratios[0]) and found.absolute == 1.5
    assert found.ratios[1] > found.ratios[2] > 1.02
    assert found.ratios[3] == pytest.approx(1.0, abs=0.011)
    assert [trials[-1].factor > 0 for trials in found.trials] == 4 * [True]
    assert not any(trial.activated for trial in found.trials[0])
    pulse, least = inside().stimuli[0].waveform, found.resting.value
    for ratio, arrives in ((found.ratios[1] * 0.97, 1), (found.ratios[1] * 1.01, 2)):
        both = pulse.scaled(1.5 * least) + pulse.scaled(ratio * least).delayed(4.0)
        run = inside().with_stimuli([axon.CurrentClamp(0.0, both)]).run(20.0, record=())
        assert (run.spikes["compartment"] == inside().axon.index("1.8 mm")).sum() == arrives


def test_what_a_recovery_cycle_tells():
    ratios = np.array([np.inf, np.inf, 1.5, 0.9, 1.1, 1.0])
    found = axon.RecoveryCycle(np.array([1.0, 2.0, 4.0, 8.0, 30.0, 90.0]), ratios, None, 10.0)
    assert found.absolute == 2.0
    assert found.relative == pytest.approx(4.0 + 4.0 * 0.5 / 0.6)
    assert found.supernormal == (8.0, 0.9) and found.subnormal == (30.0, 1.1)
    assert str(found) == (
        "absolutely refractory for 2 ms, relatively to 7.33 ms, "
        "lowest threshold 0.9 of that at rest, at 8 ms"
    )


def test_the_highest_frequency_that_is_followed():
    strong = inside(0.5)
    found = axon.following_frequency(strong, [400.0, 20.0, 100.0], 12.0, pulses=6)
    assert found.frequencies.tolist() == [20.0, 100.0, 400.0]
    assert found.followed[:2].tolist() == [6, 6] and found.followed[2] < 6
    assert found.highest == 100.0 and str(found) == "follows up to 100 Hz (6 pulses)"
    again = axon.following_frequency(strong, [400.0, 20.0, 100.0], 12.0, pulses=6, workers=3)
    np.testing.assert_array_equal(again.followed, found.followed)


def test_slowing():
    """Latencies of a train are those of its impulses; more of them slow the axon more."""
    found = axon.activity_slowing(inside(0.5), 100.0, 10)
    pulses = axon.train(0.5 * 1.0, 0.5, 0.5, 10.0, 10)
    run = inside().with_stimuli([axon.CurrentClamp(0.0, pulses)]).run(110.0, record=())
    arrived = run.spikes["time"][run.spikes["compartment"] == inside().axon.index("1.8 mm")]
    np.testing.assert_allclose(found.latencies, arrived - found.times)
    assert found.lost == 0 and 0.0 < found.slowing[-1] < 0.5
    assert str(found).endswith("latency after 10 stimuli at 100 Hz, 0 lost")


def test_latencies_where_impulses_were_lost():
    times = np.array([0.0, 5.0, 10.0, 15.0])
    latency = protocols._latencies(times, np.array([12.0, 22.1, 27.2]), 5.0)
    np.testing.assert_allclose(latency, [12.0, np.nan, 12.1, 12.2])
    assert np.isnan(protocols._latencies(times, np.zeros(0), 5.0)).all()


def test_velocity_over_a_parameter():
    """As the root of the diameter."""

    def make(diameter):
        cable = axon.Axon.cylinder("4 mm", diameter=diameter, dx=20.0)
        clamp = axon.CurrentClamp(0.0, axon.pulse(2.0, start=0.5, duration=0.5))
        return axon.Simulation(cable, axon.models.sundt(), [clamp], dt=0.01)

    found = axon.velocity_vs(make, [0.5, 1.0, 2.0], 14.0, "1 mm", "3 mm")
    values = np.array([velocity.value for velocity in found])
    np.testing.assert_allclose(values / np.sqrt([0.5, 1.0, 2.0]), values[1], rtol=0.02)
    assert axon.velocity_vs(make, [0.5, 1.0, 2.0], 14.0, "1 mm", "3 mm", workers=3) == found


# What makes no sense


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: axon.block_threshold(blocked(), 40.0, block="a"), "block='a' is no number of a"),
        (lambda: axon.block_threshold(blocked(), 40.0, block=[0.5]), "block=0.5 is no number"),
        (lambda: axon.recovery_cycle(inside(), [5.0], 10.0, conditioning="x"), "conditioning"),
        (lambda: axon.recovery_cycle(inside(), [], 10.0), "intervals"),
        (lambda: axon.following_frequency(inside(), [], 10.0), "frequencies is empty"),
        (lambda: axon.following_frequency(inside(), [1e4], 10.0), "is shorter than what is"),
        (lambda: axon.activity_slowing(inside(), 10.0, 0), "count = 0"),
        (lambda: axon.velocity_vs(lambda d: d, [1.0], 10.0, 0.0, 1.0), r"make\(1.0\) returned 1.0"),
        (lambda: axon.threshold("axon", 10.0), "simulation='axon' is none"),
    ],
)
def test_questions_that_make_no_sense(ask, told):
    with pytest.raises(axon.AxonError, match=told):
        ask()


def test_a_tolerance_may_have_a_unit():
    assert axon.threshold(inside(), 10.0, tolerance="5 %").error <= 0.05


def test_a_long_wait_costs_nothing_where_all_is_certain():
    assert axon.threshold(inside(), 1e8).value == axon.threshold(inside(), 10.0).value


def test_answers_without_an_answer():
    alone = axon.StrengthDuration(np.array([0.1]), np.array([0.2]), ())
    assert np.isnan(alone.weiss).all() and np.isnan(alone.lapicque).all()
    dead = axon.RecoveryCycle(np.array([1.0, 2.0]), np.array([np.inf, np.inf]), None, 10.0)
    assert str(dead) == (
        "absolutely refractory for 2 ms, nothing up to 10 times the threshold at rest excited again"
    )
    slow = axon.FollowingFrequency(np.array([50.0]), np.array([3]), 10)
    assert str(slow) == "does not follow 50 Hz (10 pulses)"
