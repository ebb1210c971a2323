"""How waveforms are written: functions with units, and descriptions."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon import waveforms
from axon.errors import StimulusError
from axon.timecourses import MAX_DEPTH, Waveform
from axon.waveforms import (
    MAX_SAMPLED,
    SHAPES,
    biphasic,
    carrier,
    chirp,
    constant,
    from_description,
    noise,
    pulse,
    ramp,
    sampled,
    samples,
    samples_from,
    sine,
    sum_of,
    train,
    train_of,
)


def test_plain_numbers_and_quantities():
    assert pulse("10 uA", "1 s", "200 us") == pulse(10_000.0, 1000.0, 0.2)
    assert sine(1.0, "10 kHz", phase="180 deg") == sine(1.0, 10_000.0, phase=math.pi)
    assert samples(["0 ms", "1 s"], [0.0, "1 uA"]) == samples([0.0, 1000.0], [0.0, 1000.0])
    assert train(1, 1, 1, "10 ms", np.int64(3)) == train(1.0, 1.0, 1.0, 10.0, 3)


@pytest.mark.parametrize("ratio", [1.0, 0.1, 0.3, 4.0])
def test_biphasic_is_balanced(ratio):
    waveform = biphasic(3.0, 1.0, 0.2, gap=0.1, ratio=ratio)
    assert abs(waveform.mean(0.0, 10.0) * 10.0) < 1e-15
    assert waveform(1.325) == -3.0 * ratio
    assert waveform(1.25) == 0.0
    assert waveform.span()[1] == pytest.approx(1.3 + 0.2 / ratio, rel=1e-15)


def test_trains_start_where_their_waveform_does():
    assert train(1.0, 5.0, 1.0, 10.0, 3) == train_of(pulse(1.0, 5.0, 1.0), 10.0, 3)
    assert train_of(pulse(1.0, 0.0, 1.0), 10.0, 3, start=5.0) == train(1.0, 5.0, 1.0, 10.0, 3)
    double = train_of(pulse(1.0, 5.0, 1.0) - pulse(2.0, 7.0, 1.0), "10 ms", 2)
    np.testing.assert_array_equal(double([5.5, 6.5, 7.5, 15.5, 17.5, 25.5]), [1, 0, -2, 1, -2, 0])


WRONG = [
    (pulse, (math.nan, 1, 1), "amplitude"),
    (pulse, ("1 ms", 1, 1), "amplitude"),
    (pulse, (True, 1, 1), "amplitude"),
    (pulse, (1e200, 1, 1), "amplitude"),
    (pulse, (1, math.inf, 1), "start"),
    (pulse, (1, 1e13, 1), "start"),
    (pulse, (1, 1, 0), "duration"),
    (pulse, (1, 1, -1), "duration"),
    (pulse, (1, 1, math.nan), "duration"),
    (pulse, (1, 1, 1e300), "duration"),
    (constant, (1, None), "start"),
    (ramp, (1, 1, math.inf), "duration"),
    (biphasic, (1, 1, math.inf), "duration"),
    (biphasic, (1, 1, 1, -1), "gap"),
    (biphasic, (1, 1, 1, 0, 0), "ratio"),
    (sine, (1, 0), "frequency_hz"),
    (sine, (1, "1 ms"), "frequency_hz"),
    (sine, (1, 1e300), "frequency_hz"),
    (sine, (1, 1, 0, math.nan), "duration"),
    (sine, (1, 1, 0, 1, math.inf), "phase"),
    (sine, (1, 1, 0, 1, 0, "1 ms"), "end_amplitude"),
    (sine, (1, 1, 0, math.inf, 0, 2), "duration"),
    (carrier, (1, 0, [0, 1], [0, 1]), "frequency_hz"),
    (carrier, (1, 1, [0, 1], [0, 1, 2]), "envelope"),
    (carrier, (1, 1, [0, 1], [0, "1 nA"]), r"envelope\[1\]"),
    (carrier, (1, 1, [1, 0], [0, 1]), r"t\[1\]"),
    (carrier, (1, 1, [0, 1e-5], [0, 1], 1e12), "start"),
    (chirp, (1, -1, 1, 0, 1), "start_hz"),
    (chirp, (1, 1, 1e8, 0, 1), "stop_hz"),
    (chirp, (1, 1, 1, 0, math.inf), "duration"),
    (chirp, (1, 1, 1, 0, 1, "1 ms"), "phase"),
    (noise, (1, 1e-5, 0), "interval"),
    (noise, (1, 1, -1), "seed"),
    (noise, (1, 1, 2**64), "seed"),
    (noise, (1, 1, 1.0), "seed"),
    (noise, (1, 1, True), "seed"),
    (sampled, (math.sin, 1, 1, 1), "stop"),
    (sampled, (math.sin, 0, 1, 0), "interval"),
    (sampled, (math.sin, 0, 1e6, 1e-3), "interval"),
    (sampled, (math.sin, 0, 1, 1, 0), "tolerance"),
    (sampled, (lambda t: t / t, 1, 2, 1, "1 ms"), "tolerance"),
    (sampled, (lambda t: "x", 0, 1, 1), "function"),
    (sampled, (lambda t: np.ones(3), 0, 1, 1), "function"),
    (sampled, (lambda t: math.nan, 0, 1, 1), "function"),
    (train, (1, 1, 2, 1, 5), "interval"),
    (train, (1, 1, 1, 0, 5), "interval"),
    (train, (1, 1, 1, 1, 0), "count"),
    (train, (1, 1, 1, 1, 2.0), "count"),
    (train, (1, 1, 1, 1, True), "count"),
    (train, (1, 1, 1, 1e6, 10**9), "count"),
    (train, (1, 1, math.inf, 1, 5), "waveform"),
    (train_of, (1.0, 1, 5), "waveform"),
    (sum_of, ([],), "terms"),
    (sum_of, ([1.0],), r"terms\[0\]"),
    (samples, ([0], [1]), "t"),
    (samples, ([[0, 1]], [[0, 1]]), "t"),
    (samples, ([0, 1], [1]), "values"),
    (samples, ([0, 2, 1], [1, 1, 1]), r"t\[2\]"),
    (samples, ([1, 1], [1, 1]), "t"),
    (samples, ([0, math.nan], [1, 1]), r"t\[1\]"),
    (samples, ([0, 1], [1, math.inf]), r"values\[1\]"),
    (samples, ([0, 1e13], [1, 1]), "t"),
    (samples, ([0, 1], [1, 1], "x"), "delay"),
    (samples, ([-1e12, 1], [1, 1], -1e12), "start"),
]


@pytest.mark.parametrize(("make", "arguments", "name"), WRONG)
def test_wrong_arguments_are_refused_by_name(make, arguments, name):
    with pytest.raises(StimulusError, match=rf"^{name}( |$)"):
        make(*arguments)


numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-3, 1e3)
simple = st.one_of(
    st.builds(pulse, numbers, numbers, positive | st.just(math.inf)),
    st.builds(constant, numbers, numbers),
    st.builds(ramp, numbers, numbers, positive),
    st.builds(biphasic, numbers, numbers, positive, positive, positive),
    st.builds(sine, numbers, positive, numbers, positive | st.just(math.inf), numbers),
    st.builds(sine, numbers, positive, numbers, positive, numbers, numbers),
    st.builds(
        lambda amplitude, frequency, factors, start, phase: carrier(
            amplitude, frequency, np.arange(len(factors)) / 3, factors, start, phase
        ),
        numbers,
        positive,
        st.lists(numbers, min_size=2),
        numbers,
        numbers,
    ),
    st.builds(chirp, numbers, positive, positive, numbers, positive, numbers),
    st.builds(
        noise,
        numbers,
        positive,
        st.integers(0, 2**64 - 1),
        numbers,
        positive | st.just(math.inf),
    ),
    st.builds(
        lambda values, delay: samples(np.arange(len(values)) / 3, values, delay),
        st.lists(numbers, min_size=2),
        numbers,
    ),
    st.builds(
        lambda amplitude, start, duration, count: train(
            amplitude, start, duration, 1.1 * duration, count
        ),
        numbers,
        numbers,
        positive,
        st.integers(1, 10**6),
    ),
)


def deeper(inner):
    finite = inner.filter(lambda w: w.span()[1] < math.inf)
    return st.builds(sum_of, st.lists(inner, min_size=1, max_size=4)) | st.builds(
        lambda w, n: train_of(w, 1.1 * (w.span()[1] - w.span()[0]), n), finite, st.integers(1, 10)
    )


@given(st.recursive(simple, deeper, max_leaves=6))
def test_descriptions_survive_json_to_the_bit(waveform):
    text = json.dumps(waveform.to_dict(), allow_nan=False)
    again = Waveform.from_dict(json.loads(text))
    assert again == waveform
    assert hash(again) == hash(waveform)
    assert json.dumps(again.to_dict()) == text


@pytest.mark.parametrize(
    "waveform",
    [
        pulse(0.1, 1 / 3, 0.5),
        constant(-1.0),
        ramp(1.0, 1.0, 2.0),
        sine(1.0, 50.0) - sine(1.0, 50.0, 1.0, 3.0, 0.5),
        chirp(1.0, 50.0, 0.0, 1.0, 3.0, 0.5) + noise(1.0, 0.1, 2**64 - 1, 1.0),
        train_of(biphasic(1.0, 1.0, 0.2) + pulse(1.0, 3.0, 1.0), 10.0, 5),
    ],
)
def test_a_repr_is_the_code_that_makes_it(waveform):
    assert eval(repr(waveform), vars(waveforms).copy()) == waveform


def test_descriptions_may_use_every_function_and_units():
    assert from_description(
        {"shape": "train", "amplitude": "1 uA", "start": 1, "duration": "200 us", "interval": 10,
         "count": 3}
    ) == train(1000.0, 1.0, 0.2, 10.0, 3)  # fmt: skip
    one = {"shape": "pulse", "amplitude": 1, "start": 1, "duration": 1}
    two = {"shape": "biphasic", "amplitude": 1, "start": 5, "duration": 1}
    assert from_description([one, two]) == pulse(1, 1, 1) + biphasic(1, 5, 1)
    assert from_description([one]) == pulse(1, 1, 1)


def test_amplitudes_with_units_become_milliamperes_outside():
    """And plain numbers are taken as such, in each of the shapes."""
    for unit, inside in (("", 1.0), (" mA", 1e6)):
        one, zero, both = f"1{unit}" if unit else 1.0, f"0{unit}" if unit else 0.0, [0.0, 1.0]
        for waveform in (
            sine(one, 100.0, 0.0, 4.0, end_amplitude=zero),
            carrier(one, 100.0, both, [0.0, 1.0]),
            chirp(one, 10.0, 20.0, 0.0, 4.0),
            noise(one, 0.1, seed=1),
            sampled(lambda t, one=one: one, 0.0, 1.0, 0.5),
        ):
            outside = waveform.in_milliamperes()
            np.testing.assert_allclose(outside(0.3) * inside, waveform(0.3), rtol=1e-15)


# Any function of time


def test_a_function_is_sampled_to_a_known_error():
    waveform = sampled(lambda t: t**2, 1.0, 3.0, 0.25)
    # a parabola's distance from its chord: (interval / 2)^2
    assert waveform.error == pytest.approx(0.125**2, rel=1e-12)
    assert waveform == samples(np.linspace(1.0, 3.0, 9), np.linspace(1.0, 3.0, 9) ** 2)
    assert hash(waveform) == hash(samples(waveform.t, waveform.values))
    assert repr(waveform) == "<samples: 9 from 1.0 to 3.0 ms, within 0.016>"
    assert waveform.scaled(-2.0).delayed(5.0).error == 2 * waveform.error
    assert Waveform.from_dict(waveform.to_dict()).error == 0.0


@pytest.mark.parametrize("tolerance", [0.1, 1e-3, 1e-6])
def test_the_interval_is_halved_until_the_error_will_do(tolerance):
    waveform = sampled(np.sin, 0.0, 7.0, 3.0, tolerance)
    assert tolerance / 5 < waveform.error <= tolerance
    np.testing.assert_array_equal(waveform.values, np.sin(waveform.t))
    at = np.linspace(0.0, 6.999, 10_000)
    assert np.abs(waveform(at) - np.sin(at)).max() < 1.01 * waveform.error


@pytest.mark.parametrize(
    "function",
    [
        math.cos,
        lambda t: math.cos(t),
        lambda t: np.cos(t),
        lambda t: 1.0 if t == 0 else math.cos(t),
    ],
)
def test_functions_may_take_arrays_or_numbers(function):
    assert sampled(function, 0.0, 3.0, 0.1) == sampled(math.cos, 0.0, 3.0, 0.1)


def test_a_function_may_be_constant_have_units_and_change_its_argument():
    assert sampled(lambda t: 2.0, 0.0, 1.0, 1.0) == samples([0.0, 1.0], [2.0, 2.0])
    assert sampled(lambda t: [f"{each} uA" for each in t], 0.0, 1.0, 1.0) == samples(
        [0.0, 1.0], [0.0, 1000.0]
    )

    def shifting(t):
        t -= 1.0
        return t

    assert sampled(shifting, 0.0, 2.0, 1.0) == samples([0.0, 1.0, 2.0], [-1.0, 0.0, 1.0])


def test_a_function_that_jumps_meets_no_tolerance():
    with pytest.raises(
        StimulusError, match=r"^tolerance = 0\.01 is not met by .*, 0\.5 is"
    ) as caught:
        sampled(lambda t: np.where(t < math.pi, 0.0, 1.0), 0.0, 10.0, 0.1, tolerance=0.01)
    count = int(str(caught.value).split(" by ")[1].split()[0])
    assert MAX_SAMPLED / 2 < count + 1 <= MAX_SAMPLED


def test_what_a_function_raises_is_told():
    with pytest.raises(ZeroDivisionError):
        sampled(lambda t: 1 / 0, 0.0, 1.0, 0.1)
    with pytest.raises(TypeError, match="'NoneType'"):
        sampled(lambda t: t + None, 0.0, 1.0, 0.1)


# From files


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("0,0\n0.5,1\n1,0\n", {}),
        ("time (s),I\n0,0\n0.0005,1\n0.001,0\n", {"t_unit": "s"}),
        ("# t v i\n0 9 0\n0.5 9 1\n1 9 0\n", {"t": "t", "values": "i"}),
        ("i;t\n0;0\n0.001;0.5\n0;1\n", {"t": "t", "values": "i", "unit": "uA"}),
        ("-5\t0\r\n-4.5\t1\r\n-4\t0\r\n", {"delay": "5 ms"}),
    ],
)
def test_samples_from_a_file(tmp_path, text, options):
    (tmp_path / "current.txt").write_bytes(text.encode())
    waveform = samples_from(tmp_path / "current.txt", **options)
    t = np.linspace(-1.0, 2.0, 50)
    expected = samples([0.0, 0.5, 1.0], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(waveform(t), expected(t), atol=1e-13)
    outside = expected.scaled(1e-6) if "unit" in options else expected
    np.testing.assert_allclose(waveform.in_milliamperes()(t), outside(t), atol=1e-13)
    assert from_description(waveform.to_dict()) == waveform


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("0,0\n1,1\n0.5,1\n", {}, r"current.txt: t\[2\] = 0.5 is before t\[1\] = 1.0"),
        ("0,0\n", {}, "2 to 10000000"),
        ("0,0\n1,1\n", {"unit": "mV"}, "unit = '1 mV'"),
        ("0,0\n1,1\n", {"t_unit": "m"}, "t_unit = '1 m'"),
        ("0,0\n1,x\n", {}, "current.txt, line 2: '1,x'"),
    ],
)
def test_files_that_hold_no_samples(tmp_path, text, options, message):
    (tmp_path / "current.txt").write_text(text)
    with pytest.raises(StimulusError, match=message):
        samples_from(tmp_path / "current.txt", **options)


# Descriptions that are none


PULSE = {"shape": "pulse", "amplitude": 1.0, "start": 1.0, "duration": 0.5}
HOSTILE = [
    (None, "waveform"),
    ("pulse", "waveform"),
    (3, "waveform"),
    ([], "terms"),
    ({}, "waveform.shape"),
    ({"shape": "eval"}, "waveform.shape"),
    ({"shape": "__class__"}, "waveform.shape"),
    ({"shape": ["pulse"]}, "waveform.shape"),
    ({"shape": "pulse", "amplitude": 1.0, "start": 0.0}, "waveform.duration"),
    (PULSE | {"durration": 1.0}, "durration"),
    (PULSE | {3: 1.0}, "3"),
    (PULSE | {"duration": "nan"}, "waveform.duration"),
    (PULSE | {"duration": "1e400 ms"}, "waveform.duration"),
    (PULSE | {"duration": -1}, "waveform.duration"),
    (PULSE | {"duration": {"x": 1}}, "waveform.duration"),
    (PULSE | {"duration": 10**400}, "waveform.duration"),
    (PULSE | {"amplitude": math.nan}, "waveform.amplitude"),
    (PULSE | {"amplitude": [1.0]}, "waveform.amplitude"),
    (PULSE | {"start": None}, "waveform.start"),
    ({"shape": "sum_of", "terms": PULSE}, "waveform.terms"),
    ({"shape": "sum_of", "terms": "pulse"}, "waveform.terms"),
    ({"shape": "sum_of", "terms": [PULSE, PULSE | {"start": "?"}]}, r"waveform.terms\[1\].start"),
    ([PULSE, [PULSE, 0]], r"waveform.terms\[1\].terms\[1\]"),
    ({"shape": "train_of", "waveform": 1, "interval": 1, "count": 1}, "waveform.waveform"),
    ({"shape": "train_of", "waveform": PULSE, "interval": 1, "count": "9"}, "waveform.count"),
    ({"shape": "train_of", "waveform": PULSE, "interval": 1, "count": 10**30}, "waveform.count"),
    ({"shape": "train_of", "waveform": PULSE, "interval": 0.1, "count": 1}, "waveform.interval"),
    ({"shape": "samples", "t": [0, 1], "values": [1, "x"]}, r"waveform.values\[1\]"),
    ({"shape": "samples_from", "path": "/etc/passwd"}, "waveform.shape"),
    ({"shape": "sampled", "function": "print"}, "waveform.shape"),
    ({"shape": "noise", "amplitude": 1, "interval": 1, "seed": "1"}, "waveform.seed"),
    ({"shape": "noise", "amplitude": 1, "interval": 1e-300, "seed": 1}, "waveform.interval"),
    ({"shape": "samples", "t": [0, [1]], "values": [1, 2]}, "waveform.t"),
    ({"shape": "samples", "t": {"a": 1}, "values": [1, 2]}, "waveform.t"),
]


@pytest.mark.parametrize(("description", "key"), HOSTILE)
def test_hostile_descriptions_are_refused_by_key(description, key):
    with pytest.raises(StimulusError, match=key) as refusal:
        Waveform.from_dict(description)
    assert len(str(refusal.value)) < 500


def test_depth_of_descriptions_is_limited():
    deep: object = PULSE
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert from_description(deep) == pulse(1.0, 1.0, 0.5)
    for more in (1, 100_000):
        for _ in range(more):
            deep = [deep]
        with pytest.raises(StimulusError, match=f"more than {MAX_DEPTH}"):
            from_description(deep)


keys = sorted({key for make in SHAPES.values() for key in inspect.signature(make).parameters})
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {"shape": st.sampled_from(sorted(SHAPES))}, optional=dict.fromkeys(keys, inner)
        )
    ),
    max_leaves=10,
)


@given(junk)
def test_any_junk_is_a_waveform_or_a_stimulus_error(description):
    try:
        waveform = from_description(description)
    except StimulusError:
        return
    assert np.isfinite(waveform.mean(0.0, 1.0))
    json.dumps(waveform.to_dict(), allow_nan=False)
