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
    SHAPES,
    biphasic,
    constant,
    from_description,
    pulse,
    ramp,
    samples,
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
