"""Waveforms against a slow engine that does everything in exact fractions."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from axon.errors import StimulusError
from axon.timecourses import MAX_DEPTH, Samples, Waveform
from axon.waveforms import (
    biphasic,
    carrier,
    chirp,
    constant,
    noise,
    pulse,
    ramp,
    sampled,
    samples,
    sine,
    sum_of,
    train,
    train_of,
)

LATE = 1e7  # ms, almost three hours


def area(shape, start, stop, positive=False):
    """Integral of a described waveform over [start, stop], exactly; or of its absolute terms."""
    get = {k: Fraction(v) for k, v in shape.items() if isinstance(v, int | float)}
    size = abs if positive else (lambda value: value)
    match shape["shape"]:
        case "pulse" | "ramp" as name:
            begin, end = get["start"], get["start"] + get["duration"]
            lo, hi = max(start, begin), min(stop, end)
            if lo >= hi:
                return Fraction(0)
            height = ((lo + hi) / 2 - begin) / get["duration"] if name == "ramp" else 1
            return size(get["amplitude"]) * height * (hi - lo)
        case "samples":
            t = [Fraction(value) + get["delay"] for value in shape["t"]]
            v = [size(Fraction(value)) for value in shape["values"]]
            total = Fraction(0)
            for k in range(len(t) - 1):
                lo, hi = max(start, t[k]), min(stop, t[k + 1])
                if lo < hi:
                    slope = (v[k + 1] - v[k]) / (t[k + 1] - t[k])
                    total += (hi - lo) * (v[k] + slope * ((lo + hi) / 2 - t[k]))
            return total
        case "train_of":
            begins = [get["start"] + k * get["interval"] for k in range(shape["count"])]
            return sum(area(shape["waveform"], start - t, stop - t, positive) for t in begins)
        case "sum_of":
            return sum(area(term, start, stop, positive) for term in shape["terms"])


amplitudes = st.floats(-10, 10).filter(lambda a: a == 0 or abs(a) > 1e-3)
lengths = st.floats(1e-3, 5)
starts = st.floats(0, 20) | st.sampled_from([0.1, 0.3, LATE, LATE + 0.1])


@st.composite
def drawn_samples(draw):
    # values of one sign, so that the absolute integral is that of the absolute values
    gaps = draw(st.lists(st.just(0.0) | lengths, min_size=1, max_size=6).filter(any))
    t = np.concatenate(([0.0], np.cumsum(gaps)))
    heights = draw(st.lists(amplitudes.map(abs), min_size=len(t), max_size=len(t)))
    return samples(t, heights, delay=draw(starts))


shapes = st.one_of(
    st.builds(pulse, amplitudes, starts, lengths),
    st.builds(ramp, amplitudes, starts, lengths),
    st.builds(biphasic, amplitudes, starts, lengths, st.just(0.0) | lengths, st.floats(0.1, 2)),
    drawn_samples(),
)


def repeated(inner):
    def repeat(waveform, pause, count):
        length = waveform.delayed(-waveform.span()[0]).span()[1]
        return train_of(waveform, length + pause, count)

    return st.builds(repeat, inner, st.just(0.0) | lengths, st.integers(1, 4))


def added(inner):
    return st.builds(sum_of, st.lists(inner, min_size=1, max_size=3))


waveforms = shapes | repeated(shapes) | added(shapes | repeated(added(shapes))) | repeated(
    repeated(shapes)
)  # fmt: skip


phases, frequencies = st.floats(-7, 7), st.floats(0.1, 20_000)
waves = st.one_of(
    st.builds(sine, amplitudes, frequencies, starts, lengths, phases, amplitudes),
    st.builds(
        lambda w, frequency, phase: carrier(1.0, frequency, w.t, w.values, w.delay, phase),
        drawn_samples(),
        frequencies,
        phases,
    ),
    st.builds(chirp, amplitudes, frequencies, frequencies, starts, lengths, phases),
    st.builds(noise, amplitudes, st.floats(1e-2, 1), st.integers(0, 9), starts, lengths),
)
all_waveforms = waveforms | waves | repeated(waves) | added(waves | shapes)


def cut(waveform, parts):
    """Points that cut a little more than the span into unequal steps."""
    first, last = waveform.span()
    reach = 0.01 + (last - first) * 0.1
    return np.unique(first - reach + (last - first + 2 * reach) * np.array([0.0, *parts, 1.0]))


@given(waveforms, st.lists(st.floats(0, 1), max_size=40))
@example(  # the rounded end of a copy lies before the end of its last pulse
    train_of(pulse(0.0, 0.0, 1.0) + pulse(1.0, LATE, 1.7717486191971545), 10000001.77174862, 1), []
)
def test_the_means_of_any_partition_add_up_to_the_integral(waveform, parts):
    t = cut(waveform, parts)
    charge = float(np.sum(waveform.mean(t[:-1], t[1:]) * np.diff(t)))
    shape = waveform.to_dict()
    ends = Fraction(float(t[0])), Fraction(float(t[-1]))
    # 1e-13: some hundred roundings of 1e-16, at 1e7 ms as at 0
    assert abs(charge - area(shape, *ends)) <= 1e-13 * area(shape, *ends, positive=True)


@given(waveforms, st.lists(st.floats(0, 1), max_size=10))
def test_every_mean_is_that_of_exact_fractions(waveform, parts):
    t = cut(waveform, parts)
    shape = waveform.to_dict()
    height = float(area(shape, *(Fraction(x) for x in waveform.span()), positive=True)) + 60
    for a, b, mean in zip(t[:-1], t[1:], waveform.mean(t[:-1], t[1:]), strict=True):
        exact = area(shape, Fraction(float(a)), Fraction(float(b))) / Fraction(float(b - a))
        # an edge is a float: where it lies may be off by a few units in the last place of t
        slack = 8 * np.spacing(abs(t[-1])) / (b - a)
        assert abs(mean - exact) <= height * (1e-13 + min(slack, 1.0))


@given(all_waveforms, st.lists(st.floats(0, 1), min_size=2, max_size=20), st.data())
def test_a_mean_has_the_same_bits_whichever_others_are_asked_for(waveform, parts, data):
    t = cut(waveform, parts)
    whole = waveform.mean(t[:-1], t[1:])
    k = data.draw(st.integers(0, len(whole) - 1))
    np.testing.assert_array_equal(waveform.mean(t[k : k + 1], t[k + 1 : k + 2]), whole[k : k + 1])


@given(all_waveforms, st.lists(st.floats(0, 1), max_size=10))
def test_touching_windows_report_every_edge_once(waveform, parts):
    t = cut(waveform, parts)
    windows = [waveform.edges(a, b) for a, b in pairwise(t)]
    edges = waveform.edges(-math.inf, math.inf)
    np.testing.assert_array_equal(np.concatenate(windows), edges)
    assert np.all(np.diff(edges) > 0)


@given(waveforms, st.lists(st.floats(0, 1), max_size=20))
def test_the_value_jumps_nowhere_but_at_edges(waveform, parts):
    edges = waveform.edges(-math.inf, math.inf)
    moment = 1e-7  # ms, above the rounding of the latest edges
    t = cut(waveform, parts)
    jump = np.abs(waveform(t + moment) - waveform(t - moment))
    far = np.abs(np.subtract.outer(t, edges)).min(axis=1, initial=1.0) > 2 * moment
    # the steepest that can be drawn: three ramps of 10 in 1e-3 ms
    assert np.all(jump[far] <= 3 * 10 / 1e-3 * 2 * moment)


@pytest.mark.parametrize("waveform", [pulse(1, 0.1, 0.2), ramp(1, 0.1, 0.2), biphasic(1, 0.1, 0.2)])
def test_at_an_edge_the_value_is_the_one_after_it(waveform):
    for edge in waveform.edges(0, 1):
        assert waveform(edge) == pytest.approx(float(waveform(edge + 1e-9)), abs=1e-7)
        assert abs(waveform(edge) - waveform(edge - 1e-9)) > 0.9


@pytest.mark.parametrize("start", [0.0, 0.1, 1234.5678, LATE, LATE + 0.123])
def test_a_step_within_a_pulse_has_exactly_its_amplitude(start):
    t = start + np.arange(0.01, 7.9, 0.005)
    for waveform in (
        pulse(0.7, start, 8.0),
        constant(0.7, start - 0.1),
        samples([0.0, 8.0], [0.7, 0.7], delay=start),
        train(0.7, start, 8.0, 10.0, 3),
        train(0.7, start - 1e6, 8.0, 10.0, 200_000),
    ):
        np.testing.assert_array_equal(waveform.mean(t[:-1], t[1:]), 0.7)


def test_a_window_with_too_many_edges():
    """Of one train, or of several together."""
    many = train(1.0, 0.0, 1e-6, 2e-6, 10**9)
    assert len(many.edges(0.0, 0.9 - 5e-7)) == 900_000
    with pytest.raises(StimulusError, match=r"interval = 2e-06 makes more than 1000000 edges"):
        many.edges(0.0, 1.1)
    with pytest.raises(StimulusError, match="terms make more than 1000000 edges"):
        (many + many.delayed(5e-7)).edges(0.0, 0.6)


def test_edges_within_a_step_count_by_their_part():
    # floats on a grid of powers of two: every operation is exact
    waveform = pulse(8.0, 1.125, 0.5)
    np.testing.assert_array_equal(
        waveform.mean([0.0, 1.0, 1.25, 1.5, 0.0], [1.0, 1.25, 1.5, 1.75, 4.0]),
        [0.0, 4.0, 8.0, 4.0, 1.0],
    )
    assert waveform.mean(0.0, 4.0).shape == ()
    assert waveform.mean(np.zeros((2, 1)), np.full((1, 3), 4.0)).shape == (2, 3)
    assert waveform.mean([], []).shape == (0,)


def test_a_pulse_shorter_than_a_step_keeps_its_charge():
    waveform = pulse(3.0, 0.3, 1e-6)
    for stop in (0.31, 1.0, LATE):
        assert float(waveform.mean(0.25, stop)) * (stop - 0.25) == pytest.approx(3e-6, rel=1e-15)


@pytest.mark.parametrize("start", [0.0, 0.3, LATE + 0.1])
def test_pulses_that_touch_are_one(start):
    # 0.1 is no binary fraction: ends and starts are rounded apart
    t = start + np.linspace(0.05, 0.95, 181)
    mean = train(2.0, start, 0.1, 0.1, 10).mean(t[:-1], t[1:])
    # two parts of a step add up to the step but for the rounding of where they meet
    np.testing.assert_allclose(mean, 2.0, rtol=1e-13 if start < 1 else 1e-6)
    assert np.sum(mean * np.diff(t)) == pytest.approx(2.0 * (t[-1] - t[0]), rel=1e-8)


def test_phases_that_touch_to_rounding_make_a_train():
    # 0.1 + 0.1 + 0.1 > 0.3
    waveform = train_of(biphasic(1.0, 0.0, 0.1, gap=0.1), 0.3, 5)
    assert abs(waveform.mean(0.0, 2.0)) < 1e-16
    assert waveform.mean(0.3, 0.4) == pytest.approx(1.0, rel=1e-14)


def test_copies_begin_exactly_at_their_edges():
    waveform = train(1.0, 0.1, 0.1, 1 / 3, 100_000)
    begins = waveform.edges(-math.inf, math.inf)[::2]
    np.testing.assert_array_equal(waveform(begins), 1.0)
    np.testing.assert_array_equal(waveform(np.nextafter(begins, 0.0)), 0.0)


def test_ramp_rises_and_falls_back():
    waveform = ramp(4.0, 1.0, 2.0)
    np.testing.assert_array_equal(waveform([0.0, 1.0, 2.0, 2.5, 3.0]), [0, 0, 2, 3, 0])
    np.testing.assert_array_equal(waveform.mean([1.0, 2.5], [3.0, 3.5]), [2.0, 1.75])
    np.testing.assert_array_equal(waveform.edges(0, 10), [3.0])


def test_samples_are_joined_by_lines():
    waveform = samples([0.0, 1.0, 1.0, 3.0], [0.0, 2.0, -1.0, 1.0])
    np.testing.assert_array_equal(waveform([-1, 0, 0.5, 1.0, 2.0, 3.0]), [0, 0, 1, -1, 0, 0])
    np.testing.assert_array_equal(waveform.mean([0, 0, -1], [1, 3, 3]), [1.0, 1 / 3, 0.25])
    np.testing.assert_array_equal(waveform.edges(0, 10), [1.0, 3.0])
    np.testing.assert_array_equal(waveform.delayed(5).edges(0, 10), [6.0, 8.0])


def test_means_of_long_recordings_lose_nothing_to_what_went_before():
    t = np.arange(100_001) * 0.1
    noise = np.random.default_rng(1).normal(size=t.shape)
    waveform = samples(t, noise + 1e6)
    middle = t[-2] + 0.05
    # a difference of running integrals would be off by 1e10 ms nA * 1e-16 / 0.01 ms = 1e-4
    assert waveform.mean(middle - 0.005, middle + 0.005) == pytest.approx(
        1e6 + (noise[-2] + noise[-1]) / 2, rel=0, abs=1e-8
    )


def turns(frequency, t):
    """Turns up to `t` ms, less all whole ones, exactly until the last step."""
    return float(Fraction(frequency) * Fraction(t) / 1000 % 1)


@given(
    st.floats(0.1, 20_000),
    st.sampled_from([0.0, 0.3, 12.7]),
    st.sampled_from([20.0, LATE, LATE + 0.1]),
    st.floats(1e-9, 0.5),
    st.floats(-7, 7),
)
def test_sine_means_are_exact_early_and_late(frequency, start, late, width, phase):
    a, b = late, late + width
    if b == a:
        return
    nodes, weights = np.polynomial.legendre.leggauss(60)
    # quadrature about the middle, whose phase is reduced in fractions
    begin = turns(frequency, Fraction(a) - Fraction(start))
    angle = 2 * np.pi * (begin + frequency / 1000 * (b - a) * (1 + nodes) / 2) + phase
    expected = 3.0 * np.sum(weights * np.sin(angle)) / 2
    mean = sine(3.0, frequency, start, phase=phase).mean(a, b)
    # 10 turns in the longest interval: angles up to 70, known to 1e-16 of that
    assert mean == pytest.approx(expected, rel=0, abs=1e-13)


def test_a_sine_mean_over_a_short_step_does_not_cancel():
    waveform = sine(1.0, 100.0)
    t, width = 1.0, 2.0**-30
    mean = waveform.mean(t, t + width)
    # a difference of cosines would leave 1e-16 / (0.6 * 1e-9) = 2e-7
    assert mean == pytest.approx(math.sin(0.2 * math.pi * (t + width / 2)), rel=1e-15)


def test_a_sine_jumps_only_where_it_is_not_zero():
    np.testing.assert_array_equal(sine(1.0, 1000.0, start=1.0, duration=3.0).edges(0, 9), [])
    np.testing.assert_array_equal(sine(1.0, 1000.0, 1.0, 3.25).edges(0, 9), [4.25])
    np.testing.assert_array_equal(sine(1.0, 1000.0, 1.0, phase=1.0).edges(0, 9), [1.0])
    assert sine(2.0, 250.0, start=1.0)(2.0) == pytest.approx(2.0, rel=1e-15)


QUADRATURE = np.polynomial.legendre.leggauss(60)


@given(
    st.floats(0.1, 20_000),
    st.floats(-2, 2),
    st.floats(-2, 2),
    st.sampled_from([0.0, 0.3, LATE + 0.1]),
    st.floats(0, 1),
    st.floats(1e-9, 0.5),
    st.floats(-7, 7),
)
def test_means_of_a_sine_that_grows_are_exact(frequency, peak, last, start, part, width, phase):
    waveform = sine(peak, frequency, start, 100.0, phase, end_amplitude=last)
    a = start + 99.4 * part
    b = a + width
    if b == a:
        return
    nodes, weights = QUADRATURE
    since = float(Fraction(a) - Fraction(start)) + (b - a) * (1 + nodes) / 2
    angle = 2 * np.pi * turns(frequency, Fraction(a) - Fraction(start)) + phase
    angle = angle + 2 * np.pi * frequency / 1000 * (b - a) * (1 + nodes) / 2
    expected = np.sum(weights * (peak + (last - peak) * since / 100.0) * np.sin(angle)) / 2
    # a late end is a float: the slope may be off by its rounding, 1e-9 in 100 ms
    assert waveform.mean(a, b) == pytest.approx(expected, abs=1e-13 if start < LATE else 1e-10)


@pytest.mark.parametrize("width", [2.0**-30, 2.0**-10, 0.0624, 0.0626, 0.25])
def test_where_a_growing_sine_is_zero_its_mean_keeps_its_digits(width):
    """Envelope and sine both cross zero in the middle: (s w u) u = s w u^2 for small u."""
    waveform = sine(-1.0, 8_000.0, 0.0, 16.0, end_amplitude=1.0)
    w, half = 2 * np.pi * 8.0, width / 2
    x = w * half
    # 1/2 s L j1(w L/2), j1 by its series
    j1 = sum(
        (-1) ** k * 2 * (k + 1) * x ** (2 * k + 1) / math.factorial(2 * k + 3) for k in range(40)
    )
    expected = 0.125 * half * j1
    assert waveform.mean(8.0 - half, 8.0 + half) == pytest.approx(expected, rel=1e-12)


ENVELOPE = {"t": [0.0, 3.1, 3.1, 7.0, 9.3], "envelope": [0.0, 1.0, 0.5, 1.5, 0.0]}


@given(st.lists(st.floats(-1, 11), min_size=2, max_size=30, unique=True), st.floats(-3, 3))
def test_a_carrier_is_sines_one_after_the_other(t, phase):
    waveform = carrier(2.0, 777.7, **ENVELOPE, start=0.25, phase=phase)
    times, factors = np.array(ENVELOPE["t"]) + 0.25, np.array(ENVELOPE["envelope"]) * 2.0
    each = sum_of(
        sine(
            factors[k], 777.7, times[k], times[k + 1] - times[k],
            phase + 2 * np.pi * turns(777.7, Fraction(times[k]) - Fraction(0.25)),
            end_amplitude=factors[k + 1],
        )
        for k in (0, 2, 3)
    )  # fmt: skip
    t = np.sort(t)
    t = t[np.append(True, np.diff(t) > 1e-9)]
    np.testing.assert_allclose(waveform.mean(t[:-1], t[1:]), each.mean(t[:-1], t[1:]), atol=1e-13)
    np.testing.assert_allclose(waveform(t), each(t), atol=1e-12)


def test_a_carrier_jumps_where_its_envelope_does():
    np.testing.assert_array_equal(carrier(1.0, 777.7, **ENVELOPE).edges(0, 20), [3.1])
    smooth = carrier(1.0, 1000.0, [0, 50, 480, 500], [0, 1, 1, 0], start=0.1)
    np.testing.assert_array_equal(smooth.edges(-math.inf, math.inf), [])
    # at full strength from the start, and at a maximum at the end
    sudden = carrier(1.0, 250.0, [0, 2, 5], [1, 1, 1])
    np.testing.assert_array_equal(sudden.edges(0, 20), [5.0])
    np.testing.assert_array_equal(sudden.scaled(-3.0).delayed(0.5).edges(0, 20), [5.5])


def test_a_flat_carrier_is_a_sine():
    t = np.arange(0, 200_100) * 0.005
    flat = carrier("1 uA", "10 kHz", [0.0, 1000.0], [1, 1], start=0.1)
    plain = sine("1 uA", "10 kHz", 0.1, 1000.0)
    found, expected = flat.mean(t[:-1], t[1:]), plain.mean(t[:-1], t[1:])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert flat != plain != samples([0.1, 1000.1], [1000.0, 1000.0]) != flat


@given(
    st.sampled_from([0.0, 20.0, 5_000.0, 20_000.0]),
    st.sampled_from([0.0, 300.0, 20_000.0]),
    st.sampled_from([1.0, 100.0, 1e5]),
    st.sampled_from([0.0, 0.3, LATE + 0.1]),
    st.floats(0, 1),
    st.floats(1e-9, 0.5),
    st.floats(-7, 7),
)
def test_chirp_means_are_exact_early_and_late(first, last, duration, start, part, width, phase):
    waveform = chirp(3.0, first, last, start, duration, phase)
    a = start + (duration - 0.51) * part
    b = a + width
    if b == a:
        return
    since = Fraction(a) - Fraction(start)
    bend = (Fraction(last) - Fraction(first)) / (2 * Fraction(duration))
    begin = turns(1, Fraction(first) * since + bend * since**2)
    rate = float(first + 2 * bend * since)
    nodes, weights = QUADRATURE
    u = (b - a) * (1 + nodes) / 2
    turned = begin + u * (rate + float(bend) * u) / 1000
    expected = 3.0 * np.sum(weights * np.sin(2 * np.pi * turned + phase)) / 2
    # 10 turns in the longest interval: angles up to 70, known to 1e-16 of that
    assert waveform.mean(a, b) == pytest.approx(expected, rel=0, abs=2e-13)


def test_a_chirp_runs_through_all_frequencies():
    waveform = chirp(1.0, 100.0, 300.0, 5.0, 1000.0)
    # 200 turns in all: 75 in the first half, at a mean of 150 Hz
    assert waveform(5.0) == 0.0
    assert waveform(505.0 + 1e-3) == pytest.approx(math.sin(2 * np.pi * 200e-6), rel=1e-3)
    np.testing.assert_array_equal(waveform.edges(0, 2000), [])
    np.testing.assert_array_equal(waveform.delayed(1.0)([5.9, 1006.0]), [0.0, 0.0])
    steady = chirp(1.0, 777.0, 777.0, 0.3, 100.0, 0.4), sine(1.0, 777.0, 0.3, 100.0, 0.4)
    t = np.linspace(0.0, 101.0, 500)
    np.testing.assert_allclose(
        steady[0].mean(t[:-1], t[1:]), steady[1].mean(t[:-1], t[1:]), atol=1e-14
    )


def test_long_means_of_a_chirp_take_little_memory():
    waveform = chirp(1.0, 0.0, 20_000.0, 0.3, 10_000.0)
    tracemalloc.start()
    whole = float(waveform.mean(0.0, 10_001.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # 100,000 turns: nodes in one array would take 13 MB
    t = np.linspace(0.0, 10_001.0, 20_001)
    charge = np.sum(waveform.mean(t[:-1], t[1:]) * np.diff(t))
    assert whole == pytest.approx(charge / 10_001.0, abs=1e-13)
    # Fresnel's integral of a chirp from 0 Hz: sqrt(D / (8 f)), less what the last turn leaves
    assert charge == pytest.approx(math.sqrt(10_000.0 / (8 * 20.0)), abs=1 / (2 * np.pi * 20.0))


@pytest.mark.parametrize(
    "waveform", [chirp(1.0, 1e7, 1e7, 0.0, 1e6), noise(1.0, 1e-4, seed=1, duration=1e6)]
)
def test_means_that_take_too_long_are_refused(waveform):
    with pytest.raises(StimulusError, match=r"start, stop: .* parts, more than 10000000"):
        waveform.mean(0.0, 1e5)
    # such a train is told from its ends, where nothing needs a whole copy
    many = train_of(waveform, 1e6, 10)
    assert many.mean(3e6, 3e6 + 2.0**-7) == waveform.mean(0.0, 2.0**-7)


NOISE = noise(2.0, interval=0.1, seed=7)


def test_noise_has_its_mean_and_deviation():
    knots = NOISE(0.1 * np.arange(100_000)) / 2.0
    # standard errors: 1/sqrt(n) = 0.0032 and 0.0022
    assert abs(np.mean(knots)) < 0.013
    assert np.std(knots) == pytest.approx(1.0, abs=0.009)


def test_noise_is_gaussian():
    """Kolmogorov's distance; 1.95/sqrt(n) is exceeded once in a thousand."""
    knots = np.sort(NOISE(0.1 * np.arange(100_000)) / 2.0)
    normal = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in knots])
    rank = np.arange(len(knots)) / len(knots)
    assert np.abs(normal - rank).max() < 1.95 / math.sqrt(len(knots))
    assert np.abs(knots).max() > 4.0


def test_knots_of_noise_are_independent():
    knots = NOISE(0.1 * np.arange(100_000)) / 2.0
    for lag in (1, 2, 3, 128, 256, 512):
        assert abs(np.mean(knots[lag:] * knots[:-lag])) < 4 / math.sqrt(len(knots))
    other = noise(1.0, 0.1, seed=8)(0.1 * np.arange(100_000))
    assert abs(np.mean(knots * other)) < 4 / math.sqrt(len(knots))
    assert len(np.unique(np.concatenate((knots, other)))) == 200_000


def test_noise_is_straight_lines():
    t = 0.1 * np.arange(1001)
    copy = samples(t, NOISE(t))
    at = np.linspace(0.0, 100.0, 7001)
    np.testing.assert_allclose(NOISE(at[:-1]), copy(at[:-1]), atol=1e-11)
    np.testing.assert_allclose(NOISE.mean(at[:-1], at[1:]), copy.mean(at[:-1], at[1:]), atol=1e-11)
    # many knots in one interval
    np.testing.assert_allclose(NOISE.mean(1.23, 98.7), copy.mean(1.23, 98.7), atol=1e-13)


@given(st.floats(0, 1e9), st.floats(1e-3, 50), st.integers(1, 40))
def test_noise_is_the_same_whichever_part_is_asked_for(a, width, n):
    waveform = noise(1.0, 0.3, seed=11, start=-5.5)
    t = a + np.linspace(0.0, width, n + 1)
    whole = waveform.mean(t[:-1], t[1:])
    alone = [waveform.mean(lo, hi) for lo, hi in pairwise(t)]
    np.testing.assert_array_equal(whole, alone)
    charge = np.sum(whole * np.diff(t))
    assert charge == pytest.approx(float(waveform.mean(t[0], t[-1]) * (t[-1] - t[0])), abs=1e-5)


def test_noise_costs_no_more_after_years():
    t = 1e11 + 0.005 * np.arange(2001)
    tracemalloc.start()
    noise(1.0, 0.01, seed=3).mean(t[:-1], t[1:])
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_noise_jumps_at_its_ends_alone():
    waveform = noise(1.0, 0.1, seed=1, start=2.0, duration=0.75)
    np.testing.assert_array_equal(waveform.edges(0, 10), [2.0, 2.75])
    np.testing.assert_array_equal(waveform([1.9, 2.75, 3.0]), [0.0, 0.0, 0.0])
    assert waveform(2.0) == noise(1.0, 0.1, seed=1)(0.0) != 0.0
    assert waveform.delayed(1.0)(3.0) == waveform(2.0) == -waveform.scaled(-1.0)(2.0)
    np.testing.assert_array_equal(noise(1.0, 0.1, seed=1, start=2.0).edges(0, 10), [2.0])


def test_noise_is_made_as_it_says():
    """Philox against its published test vector; its numbers by two to Gaussian ones, slowly."""
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    # NumPy counts up before the first number, and so from the last count to 0
    np.testing.assert_array_equal(np.random.Philox(key=0, counter=2**256 - 1).random_raw(4), known)
    raw = (int(x) >> 11 for x in np.random.Philox(key=2**63 + 9).random_raw(2000))
    slow = [
        math.sqrt(-2 * math.log((a + 0.5) / 2**53)) * math.sin(2 * math.pi * b / 2**53)
        for a, b in zip(raw, raw, strict=True)
    ]
    found = noise(1.0, 1.0, seed=2**63 + 9)(np.arange(1000.0))
    np.testing.assert_allclose(found, slow, rtol=1e-14, atol=1e-14)


def test_sampled_copies_agree_with_the_shapes_themselves():
    t = np.sort(np.random.default_rng(5).uniform(-1.0, 13.0, 500))
    rise, copy = ramp(3.0, 1.1, 10.0), sampled(lambda t: 0.3 * (t - 1.1), 1.1, 11.1, 0.5)
    assert copy.error < 1e-15
    np.testing.assert_allclose(copy.mean(t[:-1], t[1:]), rise.mean(t[:-1], t[1:]), atol=1e-14)
    wave = sine(3.0, 150.0, 1.1, 10.0)
    copy = sampled(lambda t: 3.0 * np.sin(0.3 * np.pi * (t - 1.1)), 1.1, 11.1, 0.5, tolerance=1e-6)
    # halfway between two samples a sine is farthest from the line but for terms of fourth order
    difference = np.abs(copy.mean(t[:-1], t[1:]) - wave.mean(t[:-1], t[1:])).max()
    assert 0.3 * copy.error < difference < 1.001 * copy.error < 1.001e-6


def test_edges_are_the_jumps():
    np.testing.assert_array_equal(pulse(1.0, 1.0, 0.5).edges(1.0, 1.5), [1.0])
    np.testing.assert_array_equal(pulse(1.0, 1.0, 0.5).edges(1.5, 2.0), [1.5])
    np.testing.assert_array_equal(constant(1.0, 2.0).edges(-math.inf, math.inf), [2.0])
    np.testing.assert_array_equal(train(1, 1, 0.5, 10, 3).edges(5, 21.5), [11, 11.5, 21])


@given(all_waveforms.filter(lambda w: w.span()[1] < LATE / 2), st.floats(-5, 5), amplitudes)
def test_combinations_are_linear_and_delays_shift(waveform, delay, factor):
    # powers of two: a delayed time is the same time, but for roundings of the delayed edges
    t = np.arange(-2.0, 40.0, 0.25)
    a, b = t[:-1], t[1:]
    plain, other = waveform.mean(a, b), pulse(1.0, 2.0, 3.0).mean(a, b)
    tolerance = {"rtol": 1e-12, "atol": 1e-11}
    np.testing.assert_allclose((factor * waveform).mean(a, b), factor * plain, **tolerance)
    np.testing.assert_allclose(
        (waveform - pulse(1.0, 2.0, 3.0)).mean(a, b), plain - other, **tolerance
    )
    moved = waveform.delayed(delay).mean(a + delay, b + delay)
    np.testing.assert_allclose(moved, plain, rtol=1e-9, atol=1e-9)


def test_operators():
    w = pulse(1.0, 1.0, 0.5)
    assert w.delayed("2 ms") == pulse(1.0, 3.0, 0.5)
    assert 2 * w == w * np.float64(2) == np.float64(2) * w == w.scaled(2) == pulse(2.0, 1.0, 0.5)
    assert -w == pulse(-1.0, 1.0, 0.5)
    assert sum([w, w, w]) == w + w + w == sum_of([w, w + w])
    assert (w - w).mean(0, 2) == 0
    for wrong in (lambda: w + 1.0, lambda: 1 + w, lambda: w - 1, lambda: sum([w, "w"])):
        with pytest.raises(TypeError):
            wrong()
    for wrong in (lambda: w * w, lambda: w * math.nan, lambda: w.delayed("1 mm")):
        with pytest.raises(StimulusError):
            wrong()


def test_waveforms_are_values():
    make = [
        lambda: pulse(1.0, 1.0, 0.5),
        lambda: sine(1.0, 50.0),
        lambda: samples([0.0, 1.0], [0.0, 1.0]),
        lambda: train(1.0, 0.0, 1.0, 2.0, 3) + ramp(1.0, 0.0, 1.0),
    ]
    for first in make:
        for second in make:
            assert (first() == second()) == (first is second)
        assert hash(first()) == hash(first())
    assert len({first() for first in make * 2}) == len(make)
    minus = samples([-0.0, 1.0], [-0.0, 1.0])
    assert minus == samples([0.0, 1.0], [0.0, 1.0])
    assert hash(minus) == hash(samples([0.0, 1.0], [0.0, 1.0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        pulse(1.0, 1.0, 0.5).start = 2.0


def test_samples_are_copied_and_read_only():
    t = np.array([0.0, 1.0])
    waveform = samples(t, t)
    t[0] = 0.5
    assert isinstance(waveform, Samples)
    assert waveform.t[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        waveform.values[0] = 1.0


def test_a_million_pulses_cost_as_little_as_one():
    waveform = train(1.0, 1.0, 0.1, 10.0, 1_000_000)
    t = 5e6 + np.arange(1001) * 0.01
    tracemalloc.start()
    mean, edges = waveform.mean(t[:-1], t[1:]), waveform.edges(t[0], t[-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a loop over all of them would make arrays of 8 MB
    assert peak < 1e6
    np.testing.assert_array_equal(edges, [5e6 + 1, 5e6 + 1.1])
    assert np.sum(mean * np.diff(t)) == pytest.approx(0.1, rel=1e-12)
    assert waveform.mean(0, 2e7) == pytest.approx(1e5 / 2e7, rel=1e-13)


def nested(levels):
    waveform = pulse(1.0, 0.0, 1.0)
    for _ in range(levels):
        waveform = train_of(waveform, waveform.span()[1] + 1.0, 2)
    return waveform


def test_trains_of_trains_cost_a_little_more_at_each_level():
    # asked of both ends at every level, this would take 2**30 questions
    waveform = nested(30)
    stop = waveform.span()[1]
    inside = waveform.mean(stop / 3, stop / 1.5)
    assert 0.0 < inside < 1.0
    assert waveform.mean(0.0, stop) * stop == 2.0**30


def test_depth_is_limited():
    waveform = pulse(1.0, 0.0, 1.0)
    for _ in range(MAX_DEPTH):
        waveform = train_of(waveform, 1.0, 1)
    assert waveform.mean(0.0, 2.0) == 0.5
    with pytest.raises(StimulusError, match=f"more than {MAX_DEPTH}"):
        train_of(waveform, 1.0, 1)


def test_what_cannot_be_asked_is_refused():
    w = pulse(1.0, 1.0, 0.5)
    for start, stop in [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)]:
        with pytest.raises(StimulusError, match="start, stop"):
            w.mean(start, stop)
    with pytest.raises(StimulusError, match="interval"):
        train(1.0, 0.0, 1e-6, 1e-6, 10**11).edges(0.0, 1e5)
    with pytest.raises(StimulusError, match="amplitude"):
        w.scaled(1e99).scaled(1e99)
    with pytest.raises(StimulusError, match="start"):
        w.delayed(1e12).delayed(1e12)


def test_repr_is_short():
    assert repr(pulse(1, 1, 0.5)) == "pulse(amplitude=1.0, start=1.0, duration=0.5)"
    assert repr(constant(2)) == "constant(amplitude=2.0, start=0.0)"
    assert repr(samples(np.arange(1000), np.ones(1000))) == "<samples: 1000 from 0.0 to 999.0 ms>"
    assert len(repr(sum_of(pulse(1, k, 0.5) for k in range(1000)))) < 300
    assert isinstance(pulse(1, 1, 1), Waveform)


@pytest.mark.parametrize(
    ("waveform", "period"),
    [
        (pulse(1.0, 1.0, 0.01), math.inf),
        (constant(1.0), math.inf),
        (ramp(1.0, 0.0, 0.01), math.inf),
        (biphasic(1.0, 0.0, 0.05), math.inf),
        (sine(1.0, 20e3), 0.05),
        (sine(1.0, 20e3).delayed(3.0).scaled(2.0), 0.05),
        (chirp(1.0, 100.0, 4e3, 0.0, 10.0), 0.25),
        (chirp(1.0, 4e3, 0.0, 0.0, 10.0), 0.25),
        (chirp(1.0, 0.0, 0.0, 0.0, 10.0), math.inf),
        (noise(1.0, 0.1, seed=1), 0.2),
        (samples([0.0, 1.0], [0.0, 1.0]), math.inf),
        (samples([0.0, 0.1, 0.3, 1.0], [0.0, 1.0, 2.0, 3.0]), 0.3),
        # A square wave, each jump of which is two samples.
        (samples([0.0, 0.1, 0.1, 0.2, 0.2, 0.3], [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]), 0.2),
        (carrier(1.0, 4e3, [0.0, 5.0, 10.0], [0.0, 1.0, 0.0]), 0.25),
        (carrier(1.0, 4e3, [0.0, 0.1, 0.2], [0.0, 1.0, 0.0]), 0.2),
        (train(1.0, 0.0, 0.01, 0.1, 3), 0.1),
        (train(1.0, 0.0, 0.01, 0.1, 2), math.inf),
        (train_of(biphasic(1.0, 0.0, 0.01), 0.1, 50), 0.1),
        (train_of(sine(1.0, 20e3, 0.0, 5.0), 10.0, 50), 0.05),
        (pulse(1.0, 0.0, 0.1) + pulse(1.0, 0.1, 0.1), math.inf),
        (sum_of([pulse(1.0, t, 0.01) for t in (0.4, 0.0, 0.1)]), 0.4),
        (sum_of([pulse(1.0, 0.0, 0.01)] * 5), math.inf),
        (pulse(1.0, 0.0, 0.1) + sine(1.0, 1e3), 1.0),
    ],
)
def test_how_soon_it_repeats(waveform: Waveform, period: float) -> None:
    assert waveform.period == pytest.approx(period)
