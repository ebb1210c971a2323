from __future__ import annotations

import numpy as np
import pytest

from axon import analysis
from axon.analysis import arrival_times, conduction_velocity
from axon.errors import GeometryError, NoSpikeError, UnitError
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
    with pytest.raises(NoSpikeError, match="reached 0 sites between 4000 and 6000"):
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
