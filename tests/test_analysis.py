from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import axon
import axon.units
from axon import analysis
from axon.analysis import (
    action_potential,
    arrival_times,
    conduction_velocity,
    impulses,
    latencies,
    velocity_profile,
)
from axon.errors import GeometryError, NoSpikeError, StimulusError, UnitError
from axon.runs import Run

X = np.arange(50.0, 10_000.0, 100.0)  # µm: 100 compartments of 100 µm


def recorded(arrival, *, x=X, interval=0.1, rows=400, threshold=-20.0, spikes=True):
    """A run whose potential rises by 100 mV/ms through -20 mV when it is time at each site."""
    time = np.arange(rows) * interval
    v = np.clip(-20.0 + 100.0 * (time[:, None] - arrival), -65.0, 30.0)
    reached = np.flatnonzero(np.isfinite(arrival)) if spikes else np.zeros(0, np.int64)
    reached = reached[np.argsort(arrival[reached], kind="stable")]
    return Run.in_memory(
        header={
            "axon_version": "0",
            "simulation": {"spike_threshold": threshold, "dt": interval, "duration": time[-1]},
        },
        x=x,
        compartments=np.arange(len(x)),
        axon_x=x,
        interval=interval,
        v=np.where(np.isnan(v), -65.0, v),
        spike_compartment=reached,
        spike_time=arrival[reached],
    )


def test_the_velocity_of_an_impulse_that_travels_evenly():
    velocity = conduction_velocity(recorded(5.0 + X / 500.0), 2000.0, 8000.0)
    # 500 µm/ms; twelve digits, for times and positions are known to sixteen.
    assert velocity.value == pytest.approx(0.5, rel=1e-12)
    assert velocity.stderr < 1e-12
    assert velocity.n_sites == 60


def test_towards_the_origin_the_velocity_is_negative():
    velocity = conduction_velocity(recorded(25.0 - X / 500.0), 2000.0, 8000.0)
    assert velocity.value == pytest.approx(-0.5, rel=1e-12)


def test_the_standard_error_is_that_of_a_straight_fit():
    noise = np.random.default_rng(1).normal(0.0, 0.05, len(X))
    arrival = 5.0 + X / 500.0 + noise
    velocity = conduction_velocity(recorded(arrival), 0.0, 10_000.0)
    (slowness, _), covariance = np.polyfit(X, arrival, 1, cov=True)
    assert velocity.value == pytest.approx(1e-3 / slowness, rel=1e-9)
    # d(1/s) = ds / s²
    expected = 1e-3 * np.sqrt(covariance[0, 0]) / slowness**2
    assert velocity.stderr == pytest.approx(expected, rel=1e-9)


def test_an_hour_into_a_run_no_digit_is_lost():
    hour = 3.6e6
    run = recorded(hour + X / 500.0, spikes=True)
    # Times near 3.6e6 ms are spaced by 5e-10 ms, 1e-10 of the 6 ms that the fit spans.
    assert conduction_velocity(run, 2000.0, 8000.0).value == pytest.approx(0.5, rel=1e-9)


def test_two_sites_have_no_standard_error():
    velocity = conduction_velocity(recorded(5.0 + X / 500.0), 2000.0, 2200.0)
    assert velocity.n_sites == 2
    assert np.isnan(velocity.stderr)
    assert str(velocity) == "0.5 m/s (2 sites)"


def test_an_impulse_that_is_everywhere_at_once():
    assert conduction_velocity(recorded(np.full(len(X), 5.0)), 0.0, 5000.0).value == np.inf


def test_how_a_velocity_reads():
    assert str(analysis.Velocity(12.32054, 0.00021, 500)) == "12.32 m/s (± 0.0002, 500 sites)"


def test_the_ends_may_have_units():
    run = recorded(5.0 + X / 500.0)
    assert conduction_velocity(run, "2 mm", "8 mm") == conduction_velocity(run, 2000.0, 8000.0)
    with pytest.raises(UnitError, match="stop = '8 ms'"):
        conduction_velocity(run, "2 mm", "8 ms")


def test_where_no_impulse_came_there_is_no_velocity():
    arrival = np.where(X < 3000.0, 5.0 + X / 500.0, np.nan)
    with pytest.raises(NoSpikeError, match="reached 0 sites between 4000 um and 6000 um"):
        conduction_velocity(recorded(arrival), 4000.0, 6000.0)
    with pytest.raises(NoSpikeError, match="reached 1 sites"):
        conduction_velocity(recorded(arrival), 2900.0, 6000.0)


@pytest.mark.parametrize("threshold", [-20.0, -10.0])
def test_ends_the_wrong_way_round_are_refused(threshold):
    with pytest.raises(GeometryError, match="start = 8000 µm is not before stop = 2000 µm"):
        conduction_velocity(recorded(X / 500.0), 8000.0, 2000.0, threshold=threshold)


def test_spikes_are_taken_at_the_threshold_of_their_detection():
    run = recorded(5.0 + X / 500.0, threshold=-20.0)
    assert arrival_times(run).time == pytest.approx(5.0 + X / 500.0, abs=1e-15)
    # Without them nothing has arrived, whatever the field says.
    assert len(arrival_times(recorded(5.0 + X / 500.0, spikes=False)).x) == 0


def test_at_another_threshold_the_field_is_interpolated():
    run = recorded(5.03 + X / 500.0, spikes=False)
    arrivals = arrival_times(run, "-10 mV")
    assert np.array_equal(arrivals.x, X)
    # -10 mV is reached 0.1 ms after -20 mV on a straight line, which interpolation meets exactly.
    assert arrivals.time == pytest.approx(5.13 + X / 500.0, abs=1e-12)


def test_only_the_first_impulse_counts():
    first = 5.0 + X / 500.0
    run = recorded(first)
    again = Run.in_memory(
        header=run.header,
        x=X,
        compartments=np.arange(len(X)),
        axon_x=X,
        interval=0.1,
        v=np.concatenate([run.v[:], run.v[:]]),
        spike_compartment=np.tile(np.arange(len(X)), 2),
        spike_time=np.concatenate([first, first + 40.0]),
    )
    assert np.array_equal(arrival_times(again).time, first)
    assert np.array_equal(arrival_times(again, -10.0).time, arrival_times(run, -10.0).time)


@pytest.mark.parametrize("values_at_once", [1, 250, 1000, 39_900])
def test_the_field_may_be_read_in_pieces_of_any_size(monkeypatch, values_at_once):
    run = recorded(5.03 + X / 500.0)
    whole = arrival_times(run, -10.0)
    monkeypatch.setattr(analysis, "_VALUES_AT_ONCE", values_at_once)
    pieces = arrival_times(run, -10.0)
    assert np.array_equal(pieces.x, whole.x)
    assert np.array_equal(pieces.time, whole.time)


def test_a_site_that_starts_above_the_threshold_has_not_been_reached():
    arrival = np.where(X < 1000.0, -1.0, 5.0 + X / 500.0)
    arrivals = arrival_times(recorded(arrival, spikes=False), -10.0)
    assert np.array_equal(arrivals.x, X[X >= 1000.0])


# Impulses


def travelled(spikes, n=20, waveforms=(), lasts=20.0):
    """A run of these spikes, (compartment, time) each, in compartments of 10 µm."""
    stimuli = [axon.CurrentClamp(0.0, waveform).to_dict() for waveform in waveforms]
    x = 5.0 + 10.0 * np.arange(n)
    spikes = sorted(spikes, key=lambda spike: spike[1])
    compartment, time = zip(*spikes, strict=True) if spikes else ((), ())
    return Run.in_memory(
        header={"simulation": {"spike_threshold": -20.0, "dt": 0.01}, "stimuli": stimuli},
        x=[],
        compartments=[],
        axon_x=x,
        interval=lasts,
        v=np.zeros((2, 0)),
        spike_compartment=np.array(compartment, int),
        spike_time=np.array(time, float),
    )


def there(start, stop, begin, speed=10.0):
    """Spikes from compartment `start` to `stop`, so many compartments a ms."""
    step = 1 if stop >= start else -1
    places = range(start, stop + step, step)
    return [(k, begin + abs(k - start) / speed) for k in places]


def test_no_spikes_no_impulses():
    assert impulses(travelled([])) == []


def test_an_impulse_from_one_end_to_the_other():
    (impulse,) = impulses(travelled(there(19, 0, 1.0)))
    assert (impulse.start, impulse.ends, impulse.collided) == (195.0, (5.0,), False)
    np.testing.assert_allclose(impulse.time, 1.0 + (19 - np.arange(20)) / 10)
    assert repr(impulse) == "<Impulse from 195 um at 1 ms to 5 um>"


def test_an_impulse_that_sets_out_in_both_directions():
    (impulse,) = impulses(travelled(there(8, 19, 1.0) + there(8, 0, 1.0)[1:]))
    assert (impulse.start, impulse.ends) == (85.0, (5.0, 195.0))


def test_two_that_meet():
    shock = axon.pulse(1.0, start=0.5, duration=0.5)
    spikes = there(0, 10, 1.0) + there(19, 11, 1.05)
    first, second = impulses(travelled(spikes, waveforms=[shock]))
    assert first.collided and second.collided
    assert {*first.ends, *second.ends} == {105.0, 115.0}
    assert "where it met another" in repr(first)


def test_one_that_fails_on_the_way_and_one_that_is_excited_again_beyond():
    spikes = there(0, 7, 1.0) + there(12, 19, 5.0)
    first, second = impulses(travelled(spikes))
    assert (first.ends, first.collided) == ((75.0,), False)
    assert (second.start, second.ends) == (125.0, (195.0,))


def test_one_after_another_on_the_same_way():
    spikes = [spike for begin in (0.0, 5.0, 9.0) for spike in there(0, 19, begin)]
    assert [impulse.time.min() for impulse in impulses(travelled(spikes))] == [0.0, 5.0, 9.0]


def test_a_slow_stretch_is_bridged_as_long_as_it_is_told():
    late = [(k, t + (3.0 if k > 9 else 0.0)) for k, t in there(0, 19, 1.0)]
    assert len(impulses(travelled(late))) == 2
    assert len(impulses(travelled(late), gap="3.5 ms")) == 1
    with pytest.raises(UnitError, match="gap"):
        impulses(travelled(late), gap="3 mV")


@pytest.fixture(scope="module")
def met():
    """Impulses from both ends of a fibre that meet in the middle."""
    fibre = axon.Axon.cylinder("4 mm", diameter=1.0, dx=20.0)
    pulse = axon.pulse(0.3, start=1.0, duration=0.5)
    both = [axon.CurrentClamp(0.0, pulse), axon.CurrentClamp(4000.0, pulse)]
    return axon.Simulation(fibre, axon.models.sundt(), both, dt=0.01).run(10.0, every=0.01)


def test_what_meets_in_a_fibre_is_gone(met):
    left, right = impulses(met)
    assert left.collided and right.collided
    assert left.start == pytest.approx(4000.0 - right.start)
    assert abs(left.ends[0] - 2000.0) <= 20.0
    assert left.fates == right.fates == ("collided",)
    assert not left.reexcited and not right.reexcited
    assert len(left.x) + len(right.x) == 200


def test_what_became_of_an_impulse_is_told_for_each_of_its_ends():
    # Sets out at 8; towards the origin it fails, at the other side it meets one from the far end.
    spikes = there(8, 12, 1.0) + there(8, 5, 1.0)[1:] + there(19, 13, 0.8)
    far, both = impulses(travelled(spikes, waveforms=[axon.pulse(1.0, start=0.5, duration=0.5)]))
    assert (both.start, both.ends, both.fates) == (85.0, (55.0, 125.0), ("failed", "collided"))
    assert both.failed and both.collided
    assert (far.ends, far.fates, far.failed) == ((135.0,), ("collided",), False)
    assert repr(both) == (
        "<Impulse from 85 um at 1 ms to 55 um, where it failed and to 125 um, where it met another>"
    )


def test_an_impulse_that_the_end_of_the_run_cut_short_has_not_failed():
    spikes = there(0, 12, 1.0)  # there at 2.2 ms
    (going,) = impulses(travelled(spikes, lasts=4.0))
    assert going.fates == ("on its way",) and not going.failed
    assert repr(going) == "<Impulse from 5 um at 1 ms to 125 um, and on>"
    (failed,) = impulses(travelled(spikes, lasts=5.0))
    assert failed.fates == ("failed",)
    (arrived,) = impulses(travelled(there(0, 19, 1.0), lasts=3.0))
    assert arrived.fates == ("arrived",)


def test_a_spike_that_nothing_follows_is_an_impulse_that_failed():
    (impulse,) = impulses(travelled([(7, 1.0)]))
    assert (impulse.start, impulse.ends, impulse.fates) == (75.0, (75.0,), ("failed",))
    # Also at the axon's end, as one that a stimulus forces upon it; but not if that is all of it.
    assert impulses(travelled([(0, 1.0)]))[0].failed
    assert impulses(travelled([(19, 1.0)]))[0].failed
    assert impulses(travelled([(0, 1.0)], n=1))[0].fates == ("arrived",)
    shock = axon.pulse(1.0, start=1.0, duration=0.1)
    spikes = [(12, 1.05), *there(0, 11, 0.0)]
    (met, _) = impulses(travelled(spikes, waveforms=[shock]))[::-1]
    assert (met.ends, met.fates) == ((125.0,), ("collided",))


def test_an_impulse_goes_on_beyond_a_place_that_rises_later():
    """As where an axon widens: the far side is the first to rise again."""
    spikes = [*there(0, 11, 0.0), *((k, t + 0.5) for k, t in there(13, 19, 1.3)), (12, 1.85)]
    (impulse,) = impulses(travelled(spikes))
    assert (impulse.ends, impulse.fates) == ((195.0,), ("arrived",))
    assert len(impulse.x) == 20


FAILS, BEYOND, BACK = there(0, 7, 1.0), there(12, 19, 5.0), there(7, 0, 5.0)


@pytest.mark.parametrize(
    ("spikes", "waveforms", "reexcited"),
    [
        (FAILS + BEYOND, [], [False, True]),
        (FAILS + BACK, [], [False, True]),  # reflected
        (FAILS + BEYOND, [axon.pulse(1.0, 0.5, 0.5)], [False, True]),  # which began the first
        (FAILS + BEYOND, [axon.pulse(1.0, 4.5, 0.5)], [False, False]),
        (FAILS + BEYOND, [axon.sine(1.0, 1000.0, start=3.0, duration=1.0)], [False, False]),
        (FAILS + BEYOND, [axon.constant(1.0)], [False, False]),
        (there(0, 19, 1.0) + there(0, 19, 9.0), [axon.train(1.0, 0.9, 0.2, 8.0, 2)], [False] * 2),
        (there(0, 19, 1.0) + there(0, 19, 9.0), [axon.pulse(1.0, 0.8, 0.1)], [False, True]),
        # One that was still under way explains no other one, nor does one that went elsewhere.
        (there(19, 12, 1.0) + there(0, 3, 1.5), [], [False, False]),
        (BEYOND + there(3, 0, 9.0), [], [False, False]),
    ],
)
def test_an_impulse_without_a_stimulus_is_re_excited(spikes, waveforms, reexcited):
    found = impulses(travelled(spikes, waveforms=waveforms))
    assert [impulse.reexcited for impulse in found] == reexcited
    assert all(("re-excited" in repr(impulse)) == impulse.reexcited for impulse in found)


CLAMP = axon.CurrentClamp(0.0, axon.pulse(0.3, start=0.5, duration=0.5))


def blocked(width):
    """Impulses in a fibre that has no sodium channels for so many µm from 2 mm on."""
    fibre = axon.Axon.cylinder("4 mm", diameter=1.0, dx=20.0)
    membrane = axon.models.sundt().scaled(na=lambda x: abs(x - 2000 - width / 2) > width / 2)
    sim = axon.Simulation(fibre, membrane, [CLAMP], dt=0.01)
    return impulses(sim.run(14.0, every=1.0, record=[]))


def test_an_impulse_fails_where_there_are_no_sodium_channels():
    (impulse,) = blocked(400.0)
    assert impulse.failed and not impulse.reexcited
    assert 2000.0 < impulse.ends[0] < 2100.0


def test_a_short_block_is_leapt_over_and_the_axon_is_re_excited_beyond():
    first, second = blocked(100.0)
    assert first.failed and not first.reexcited
    assert second.reexcited and second.start > 2100.0
    assert second.ends[1] == 3990.0 and second.fates[1] == "arrived"


def test_where_an_axon_widens_an_impulse_is_reflected():
    """For few ratios of the diameters: S. S. Goldstein, W. Rall, Biophys. J. 14, 731-757 (1974)."""
    fibre = axon.Axon.stepped(["2 mm", "2 mm"], [1.0, 2.795], dx=20.0)
    run = axon.Simulation(fibre, axon.models.sundt(), [CLAMP], dt=0.01).run(20.0, record=[])
    first, second = impulses(run)
    assert first.failed and first.ends[0] < 2000.0
    assert second.reexcited and second.ends == (10.0, 3990.0)
    again = axon.latencies(run, 500.0)
    assert len(again) == 2 and again[1] > again[0] + 5.0


# Velocity from place to place


@given(seed=st.integers(0, 2**32 - 1), window=st.sampled_from([250.0, 1000.0, "3 mm"]))
def test_the_velocity_at_a_place_is_that_of_the_stretch_around_it(seed, window):
    arrival = 5.0 + X / 500.0 + np.random.default_rng(seed).normal(0.0, 0.05, len(X))
    run = recorded(arrival)
    half = axon.units.quantity(window, "um", "window") / 2
    profile = velocity_profile(run, window)
    np.testing.assert_array_equal(profile.x, X[(X - half >= X[0]) & (X + half <= X[-1])])
    for k in (0, len(profile.x) // 2, -1):
        x = profile.x[k]
        velocity = conduction_velocity(run, x - half, x + half)
        assert (profile.value[k], profile.stderr[k]) == (velocity.value, velocity.stderr)


def test_an_impulse_that_slows_down():
    """Its slowness grows evenly, and a straight fit to a parabola has the slope of its middle."""
    arrival = X / 1000.0 + X**2 / 2e7
    profile = velocity_profile(recorded(arrival), 1000.0)
    # To the rounding of times near 10 ms.
    np.testing.assert_allclose(profile.value, 1e-3 / (1e-3 + profile.x / 1e7), rtol=1e-11)
    assert profile.stderr.min() > 0


def test_where_no_stretch_was_passed_there_is_no_profile():
    run = recorded(np.where(X < 3000.0, 5.0 + X / 500.0, np.nan))
    assert velocity_profile(run, 1000.0).x[-1] == 2450.0
    for window in (100.0, 4000.0):
        with pytest.raises(NoSpikeError, match="of 30 sites that an impulse reached none"):
            velocity_profile(run, window)
    with pytest.raises(NoSpikeError, match="of 0 sites"):
        velocity_profile(travelled([]), 1000.0)


def test_the_velocity_has_a_corner_where_two_meet(met):
    profile = velocity_profile(met, "400 um")
    speed = profile.value[np.searchsorted(profile.x, 1000.0)]
    assert 0.1 < speed < 2.0
    mirrored = np.interp(4000.0 - profile.x, profile.x, profile.value)
    away = np.abs(profile.x - 2000.0) > 300.0
    np.testing.assert_allclose(mirrored[away], -profile.value[away], rtol=1e-6)
    assert profile.x[np.argmax(profile.stderr)] == pytest.approx(2000.0, abs=200.0)


# Latencies


def test_latencies_count_from_the_stimulus_that_began_an_impulse():
    # The second stimulus comes at 3.5 ms, before the first impulse does.
    spikes = there(0, 19, 1.1, speed=5.0) + there(0, 19, 3.7, speed=5.0)
    pulses = [axon.train(1.0, start=1.0, duration=0.2, interval=2.5, count=2)]
    run = travelled(spikes, waveforms=pulses)
    np.testing.assert_allclose(latencies(run, 195.0), [3.9, 4.0])
    np.testing.assert_allclose(latencies(run, "0.1 mm"), [1.9, 2.0])
    np.testing.assert_allclose(latencies(run, 195.0, since=[3.5, 1.1]), [3.8, 4.0])
    np.testing.assert_allclose(latencies(run, 195.0, since="3.5 ms"), [np.nan, 4.0])


@pytest.mark.parametrize(
    ("waveform", "begins"),
    [
        (axon.pulse(1.0, 3.0, 50.0), [3.0]),
        (axon.ramp(1.0, 3.0, 5.0), [3.0]),
        (axon.sine(1.0, 100.0, start=3.0, duration=10.0), [3.0]),
        (axon.biphasic(1.0, 3.0, 0.2, gap=0.1), [3.0]),
        (axon.train(1.0, 3.0, 0.1, 10.0, 3), [3.0, 13.0, 23.0]),
        (axon.train_of(axon.train(1.0, 0.0, 0.1, 1.0, 5), 20.0, 2, start=3.0), [3.0, 23.0]),
        (axon.train(1.0, 3.0, 0.1, 1.0, 10_000), [3.0]),  # a thousand a second
    ],
)
def test_when_a_stimulus_begins(waveform, begins):
    """Spikes at one place, 1 ms after each of these, and nowhere else."""
    run = travelled([(0, begin + 1.0) for begin in begins], waveforms=[waveform])
    np.testing.assert_allclose(latencies(run, 0.0), 1.0)


def test_the_end_of_a_stimulus_is_no_beginning():
    run = travelled([(0, 4.0), (0, 10.0)], waveforms=[axon.pulse(1.0, 3.0, 5.0)])
    np.testing.assert_allclose(latencies(run, 0.0), [1.0, 7.0])


def test_latencies_need_a_stimulus():
    with pytest.raises(StimulusError, match="since: the run has no stimulus"):
        latencies(travelled(there(0, 19, 1.0)), 100.0)
    assert latencies(travelled([], waveforms=[axon.pulse(1.0, 0.0, 1.0)]), 100.0).shape == (0,)


def test_latencies_of_a_fibre(met):
    """Impulses from both ends come to each quarter after the same time."""
    (first,), (second,) = latencies(met, 1010.0), latencies(met, "2.99 mm")
    assert first == pytest.approx(second, rel=1e-9)
    spike = met.spikes["time"][met.spikes["x"] == 1010.0]
    assert first == pytest.approx(spike[0] - 1.0, rel=1e-12)


# The shape of an impulse


def shaped(v, interval=0.01):
    """A run of one compartment with this course, whose spikes are where it rises through -20."""
    rises = np.flatnonzero((v[:-1] < -20.0) & (v[1:] >= -20.0))
    share = (-20.0 - v[rises]) / (v[rises + 1] - v[rises])
    return Run.in_memory(
        header={"simulation": {"spike_threshold": -20.0}},
        x=[5.0],
        compartments=[0],
        axon_x=[5.0],
        interval=interval,
        v=v[:, np.newaxis],
        spike_compartment=np.zeros(len(rises), int),
        spike_time=(rises + share) * interval,
    )


def course(t):
    """A triangle from -70 to 40 and back within 1 + 2 ms, then 10 mV below rest, then 5 above."""
    return np.interp(
        t, [0, 10, 11, 13, 13.5, 15, 17, 20, 60], [-70, -70, 40, -70, -80, -80, -65, -70, -70]
    )


def test_the_shape_of_a_triangle():
    shape = action_potential(shaped(course(np.arange(0.0, 60.0, 0.01))), 5.0)
    assert shape.time == pytest.approx(10 + 50 / 110, abs=1e-9)
    assert (shape.rest, shape.x) == (-70.0, 5.0)
    assert shape.peak == pytest.approx(40.0, abs=0.03)  # of a parabola through a corner
    assert shape.amplitude == pytest.approx(110.0, abs=0.03)
    assert shape.peak_time == pytest.approx(11.0, abs=0.01)
    assert shape.half_width == pytest.approx(1.5, abs=1e-3)
    assert shape.rise == pytest.approx(110.0, rel=1e-9)
    assert shape.fall == pytest.approx(-55.0, rel=1e-9)
    assert shape.threshold == pytest.approx(-70.0, abs=0.6)  # a corner, between two rows
    assert shape.afterhyperpolarisation == pytest.approx(10.0, abs=1e-9)
    assert shape.afterdepolarisation == pytest.approx(5.0, abs=1e-9)


def test_impulses_at_a_place_are_counted_from_either_end():
    v = course(np.arange(0.0, 60.0, 0.01))
    run = shaped(np.concatenate([v[:3000], v]))
    first, second = (action_potential(run, 0.0, k) for k in (0, 1))
    assert second.time == pytest.approx(first.time + 30.0)
    assert action_potential(run, 0.0, -1) == second
    assert second.rest == -70.0
    with pytest.raises(NoSpikeError, match="there are 2 spikes at 5 um"):
        action_potential(run, 0.0, 2)


def test_of_a_run_of_a_single_row_there_is_no_shape():
    fibre = axon.Axon.cylinder("5 mm", diameter=476.0, Ra=35.4, compartments=20)
    pulse = axon.CurrentClamp(0.0, axon.pulse("10 uA", start=0.1, duration=0.5))
    sim = axon.Simulation(fibre, axon.models.hodgkin_huxley(), [pulse], dt=0.01)
    run = sim.run(10.0, every=1e3)
    assert len(run.v) == 1 and len(run.spikes)
    with pytest.raises(NoSpikeError, match="no peak around"):
        action_potential(run, "3 mm")


def test_the_slope_of_an_action_potential_may_have_a_unit():
    run = shaped(course(np.arange(0.0, 60.0, 0.01)))
    steep = action_potential(run, 5.0, slope=20.0)
    assert steep == action_potential(run, 5.0, slope="20 V/s")
    with pytest.raises(UnitError, match="slope"):
        action_potential(run, 5.0, slope="20 mV")


def test_the_next_impulse_is_no_part_of_one():
    t = np.arange(0.0, 30.0, 0.01)
    run = shaped(np.maximum(course(t), course(t - 4.0)))  # before the first has come to rest
    first = action_potential(run, 0.0)
    assert first.half_width == pytest.approx(1.5, abs=1e-3)
    assert first.afterdepolarisation == 0.0


def test_a_peak_that_was_not_recorded():
    run = shaped(course(np.arange(0.0, 10.9, 0.01)))
    with pytest.raises(NoSpikeError, match="no peak"):
        action_potential(run, 0.0)
    with pytest.raises(NoSpikeError, match="no place is recorded"):
        action_potential(travelled([(0, 1.0)]), 0.0)


def test_the_squids_impulse():
    """Hodgkin and Huxley (1952), figures 15 and 17: about 100 mV at 6.3 °C, some 1.5 ms wide."""
    shape = action_potential(axon.run("squid"), "50 mm")
    assert 95.0 < shape.amplitude < 108.0
    assert shape.peak == pytest.approx(38.0, abs=0.5)
    assert 1.4 < shape.half_width < 1.8
    assert shape.rest == pytest.approx(-64.99, abs=0.01)
    assert -64.0 < shape.threshold < -55.0
    assert 9.0 < shape.afterhyperpolarisation < 12.0  # the positive phase


def test_the_shape_does_not_depend_on_how_often_it_is_recorded(met):
    fine = action_potential(met, 1000.0)
    fibre = axon.Axon.cylinder("4 mm", diameter=1.0, dx=20.0)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.3, start=1.0, duration=0.5))
    sim = axon.Simulation(fibre, axon.models.sundt(), [clamp], dt=0.01)
    coarse = action_potential(sim.run(10.0, every=0.05), 1000.0)
    assert coarse.peak == pytest.approx(fine.peak, abs=1.0)
    assert coarse.half_width == pytest.approx(fine.half_width, rel=0.03)
    assert coarse.threshold == pytest.approx(fine.threshold, abs=1.0)
