from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from axon.errors import StimulusError
from axon.stimuli import CurrentClamp, VoltageClamp
from axon.waveforms import constant, pulse, train


def test_current_clamp_is_a_value():
    clamp = CurrentClamp(at="1 mm", waveform=pulse(1.0, 1.0, 0.5))
    assert clamp == CurrentClamp(1000.0, pulse(1.0, 1.0, 0.5))
    assert clamp.at == 1000.0
    assert len({clamp, CurrentClamp(1000, pulse(1.0, 1.0, 0.5))}) == 1
    assert clamp != CurrentClamp(1000.0, pulse(1.0, 1.0, 0.6))
    assert repr(clamp) == (
        "CurrentClamp(at=1000.0, waveform=pulse(amplitude=1.0, start=1.0, duration=0.5))"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        clamp.at = 2.0


@pytest.mark.parametrize("at", [-1.0, math.nan, math.inf, "1 ms", "end", None, True, [0.0]])
def test_no_position(at):
    with pytest.raises(StimulusError, match=r"^at = "):
        CurrentClamp(at, constant(1.0))


@pytest.mark.parametrize("waveform", [1.0, None, "pulse", pulse])
def test_no_waveform(waveform):
    with pytest.raises(StimulusError, match=r"^waveform = "):
        CurrentClamp(0.0, waveform)


def test_description_survives_json():
    clamp = CurrentClamp(0.1, train(1.0, 0.1, 0.2, 0.7, 5) + constant(0.3))
    description = json.loads(json.dumps(clamp.to_dict(), allow_nan=False))
    assert CurrentClamp.from_dict(description) == clamp


@pytest.mark.parametrize("at", [(2, 0.1), ("left", "1 mm"), (np.int64(2), np.float64(0.1))])
@pytest.mark.parametrize("kind", [CurrentClamp, VoltageClamp])
def test_a_place_on_a_branch_survives_json(kind, at):
    """In JSON's types, which has no tuples: a run that goes on compares them."""
    clamp = kind(at, constant(1.0))
    description = json.loads(json.dumps(clamp.to_dict()))
    assert description == clamp.to_dict()
    assert kind.from_dict(description) == clamp
    assert hash(kind.from_dict(description)) == hash(clamp)


@pytest.mark.parametrize(
    "at", [(1,), (1, 2.0, 3.0), (1.5, 2.0), (True, 2.0), (None, 2.0), (1, -2.0)]
)
def test_no_place_on_a_branch(at):
    with pytest.raises(StimulusError, match=r"^at(\[1\])? = "):
        CurrentClamp(at, constant(1.0))


GOOD = CurrentClamp(0.0, constant(1.0)).to_dict()


@pytest.mark.parametrize(
    ("description", "key"),
    [
        (None, "stimulus"),
        ([GOOD], "stimulus"),
        ({}, "at"),
        ({"type": "current_clamp", "at": 0.0}, "waveform"),
        ({"at": 0.0, "waveform": {}}, "type"),
        (GOOD | {"type": "voltage_clamp"}, "type"),
        (GOOD | {"type": []}, "type"),
        (GOOD | {"where": 0.0}, "where"),
        (GOOD | {"at": "here"}, "at"),
        (GOOD | {"waveform": {"shape": "pulse"}}, "waveform.amplitude"),
    ],
)
def test_hostile_descriptions_are_refused_by_key(description, key):
    with pytest.raises(StimulusError, match=key):
        CurrentClamp.from_dict(description)
