"""Protocols asked of a study: as their functions answer, and refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

import axon
from axon import questions, study

SMALL = {"axon.compartments": 100, "simulation.dt": 0.025}


def ask(question, **arguments):
    return questions.ask("squid", question, arguments, SMALL)


def test_the_answer_is_that_of_the_function():
    """And the study's duration is how long it waits."""
    chosen = study.load("squid", SMALL)
    expected = axon.threshold(chosen.simulation, chosen.duration, tolerance=0.02)
    found = ask("threshold", tolerance=0.02)
    assert (found.value, found.trials) == (expected.value, expected.trials)
    with pytest.raises(axon.NoThresholdError, match="and none at"):
        ask("threshold", duration=5.0)


def test_every_question_has_an_answer_in_json():
    asked = {
        "threshold": {"tolerance": 0.1},
        "strength_duration": {"durations": [0.2, 1.0], "tolerance": 0.1},
        "recovery_cycle": {"intervals": [2.0, 9.0], "tolerance": 0.1},
        "following_frequency": {"frequencies": [40.0, 50.0], "pulses": 2},
        "activity_slowing": {"frequency_hz": 50.0, "pulses": 2},
        "velocity_vs": {"key": "simulation.celsius", "values": [6.3, 12.0], "start": "20 mm",
                        "stop": "70 mm"},
    }  # fmt: skip
    assert set(asked) | {"block_threshold"} == set(questions.QUESTIONS)
    for question, arguments in asked.items():
        facts = json.loads(json.dumps(questions.facts(ask(question, **arguments)), allow_nan=False))
        assert facts and "run" not in facts
    warm = [facts["value"] for facts in facts]
    assert warm[0] < warm[1]
    cycle = questions.facts(ask("recovery_cycle", **asked["recovery_cycle"]))
    assert cycle["ratios"][0] is None and cycle["absolute"] == 2.0
    assert cycle["resting"]["error"] <= 0.1


def test_velocity_is_measured_where_the_study_measures_it():
    at = study.load("squid").tables["measure"]["velocity"]
    found = questions.ask("squid", "velocity_vs", {"key": "simulation.celsius", "values": [6.3]})
    run = study.load("squid").run()
    assert found == [axon.conduction_velocity(run, at["start"], at["stop"])]


def test_a_study_asks_its_own_question():
    asks = {"ask": {"question": "threshold", "tolerance": 0.5, "at": "50 mm"}}
    chosen = study.load("squid", SMALL | asks)
    assert chosen.ask == asks["ask"]
    found = questions.answer(chosen)
    assert found.trials == ask("threshold", tolerance=0.5, at="50 mm").trials
    closer = questions.answer(chosen, arguments={"tolerance": 0.1})
    assert closer.trials == ask("threshold", tolerance=0.1, at="50 mm").trials
    other = questions.answer(chosen, "activity_slowing", {"frequency_hz": 50.0, "pulses": 2})
    assert isinstance(other, axon.ActivitySlowing)
    assert chosen.ask == asks["ask"]
    assert chosen.changed({"ask.tolerance": 0.1}).ask["tolerance"] == 0.1


def test_a_question_of_a_changed_study_is_of_what_it_is_now():
    changed = study.load("squid", SMALL).changed({"axon.Ra": 70.0})
    arguments = {"key": "simulation.celsius", "values": [6.3]}
    expected = questions.ask("squid", "velocity_vs", arguments, SMALL | {"axon.Ra": 70.0})
    assert questions.answer(changed, "velocity_vs", arguments) == expected
    assert expected != questions.ask("squid", "velocity_vs", arguments, SMALL)


@pytest.mark.parametrize(
    ("asks", "told"),
    [
        ({}, "squid: ask is missing; write [ask], or name a question"),
        (
            {"ask": {"question": "speed"}},
            "squid: ask: 'speed' is no question; ask one of threshold",
        ),
        (
            {"ask": {"question": "threshold", "tol": 1}},
            "squid: ask: tol is unknown; threshold takes",
        ),
        ({"ask": {"question": "strength_duration"}}, "squid: ask: durations is missing; strength"),
    ],
)
def test_a_question_is_checked_before_anything_runs(asks, told):
    chosen = study.load("squid", asks)
    for refuses in (questions.check, questions.answer):
        with pytest.raises(axon.StudyError) as caught:
            refuses(chosen)
        assert str(caught.value).startswith(told)
    questions.check(chosen, "threshold", {"tolerance": 0.1})


@pytest.mark.parametrize(
    ("question", "arguments", "told"),
    [
        ("speed", {}, "'speed' is no question; ask one of threshold, block_threshold"),
        ("threshold", {"simulation": 1}, "simulation is unknown; threshold takes duration, at"),
        ("strength_duration", {}, "durations is missing; strength_duration takes durations, wait"),
        ("velocity_vs", {"values": [1.0]}, "key is missing"),
        ("velocity_vs", {"key": 3, "values": [1.0]}, "key = 3 is none of a study's"),
        ("velocity_vs", {"key": "axon.size", "values": [1.0]}, "axon.size"),
        ("threshold", {"tolerance": "x"}, "tolerance = 'x'"),
        ("activity_slowing", {"frequency_hz": 10.0, "pulses": 0}, "count = 0"),
        ("following_frequency", {"frequencies": [10.0], "pulses": 2.5}, "count = 2.5"),
    ],
)
def test_what_makes_no_sense_is_refused(question, arguments, told):
    with pytest.raises(axon.AxonError, match=told):
        ask(question, **arguments)


def test_facts_hold_no_nan():
    cycle = axon.RecoveryCycle(np.array([1.0]), np.array([np.inf]), None, 10.0)
    facts = questions.facts(cycle)
    assert facts["ratios"] == [None] and facts["absolute"] == 1.0 and facts["relative"] is None
