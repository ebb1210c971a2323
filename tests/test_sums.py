"""Sums that are put together again: of the same value, in fewer operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from expressions import TREES, Function, V, W, build, computed, exact, lowered, record
from hypothesis import given, settings

from axon.sums import regrouped
from axon.trace import Recorder, Symbol


def again(function: Function, of: str = "nothing") -> tuple[Recorder, Symbol]:
    """What a function of v and w returns, put together again."""
    recorder, result = record(function)
    return recorder, regrouped(recorder, [result], recorder.input(of))[result]


def operations(recorder: Recorder, result: Symbol) -> list[str]:
    return [op for op, *_ in lowered(recorder, result)[0]]


@settings(deadline=None, max_examples=400)
@given(tree=TREES)
def test_any_expression_keeps_its_value(tree: Any) -> None:
    expected, off = exact(tree)
    before = record(lambda v, w: build(tree, v, w))
    for of in ("v", "nothing"):
        after = again(lambda v, w: build(tree, v, w), of)
        np.testing.assert_allclose(computed(*after, V, W), expected, rtol=0, atol=off)
    # One more where v + v, which is read twice, becomes 2 v, and its square 4 v².
    assert len(operations(*after)) <= len(operations(*before)) + 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # A constant is what the sum begins with, wherever it is written.
        (lambda v, w: v * v + w * w + 3.0, ["FMA", "FMA"]),
        (lambda v, w: 1.0 - v * w, ["FNMA"]),
        (lambda v, w: v * w - 0.25 * v + 7.0, ["FMA", "FMA"]),
        # So is what is no product; what is subtracted comes after one.
        (lambda v, w: v * v + w * w + v, ["FMA", "FMA"]),
        (lambda v, w: v * w + w * w - v, ["FMS", "FMA"]),
        (lambda v, w: -v - w, ["ADD", "NEG"]),
        # Equal terms meet.
        (lambda v, w: 2.0 * v + w - 5.0 * v, ["FMA"]),
        (lambda v, w: (v + w) - v, []),
        (lambda v, w: (v + w) + (1.0 - v), ["ADD"]),
        # A sum's factor goes into its terms, and meets theirs.
        (lambda v, w: 0.5 * (3.0 * v + 8.0 * w) + 1.0, ["FMA", "FMA"]),
        (lambda v, w: 0.5 * (v + 1.0) - 0.5 * v, []),
        # Into a product it goes where a factor of that has room for it.
        (lambda v, w: 0.5 * (v * (w + 3.0)) + v, ["FMA", "FMA"]),
        (lambda v, w: np.exp(0.5 * (v * (w + 3.0) + 2.0)), ["FMA", "EXP_FMA"]),
        # But not where it would be one operation more.
        (lambda v, w: 0.5 * (v * w + 2.0), ["FMA", "MUL"]),
        (lambda v, w: np.tanh(v + w) + 0.5 * (v + w), ["ADD", "TANH", "FMA"]),
    ],
)
def test_how_sums_are_put_together(function: Function, expected: list[str]) -> None:
    after = again(function)
    assert operations(*after) == expected
    np.testing.assert_allclose(computed(*after, V, W), function(V, W), rtol=1e-14, atol=1e-14)


def test_what_is_looked_up_stays_together_and_takes_factors() -> None:
    def function(v: Any, w: Any) -> Any:
        return np.exp(v) + w + np.exp(-v) + 3.0 * (w * np.tanh(v)) + 1.0

    recorder, result = again(function, "v")
    v = recorder.input("v")
    looked_up = recorder.of_one_input([result], v)
    values = [recorder.evaluate(node, {"v": V}) for node in looked_up]
    expected = [np.exp(V) + np.exp(-V) + 1.0, 3.0 * np.tanh(V)]
    assert len(values) == 2
    for value in expected:
        assert any(np.allclose(found, value, rtol=1e-15, atol=0) for found in values)
    known = {node: 2 + i for i, node in enumerate(looked_up)}
    code, _, _ = recorder.emit({}, [result], {"v": 0, "w": 1}, known, 4)
    assert [op for op, *_ in code] == ["ADD", "FMA"]


def test_what_others_read_is_computed_once() -> None:
    recorder = Recorder()
    v, w = recorder.input("v"), recorder.input("w")
    total = v * w + 1.0
    results = [np.exp(total), 2.0 * total + w, total]
    after = regrouped(recorder, results, recorder.input("nothing"))
    assert after[total] is total
    assert after[results[0]] is results[0]
    assert recorder.evaluate(after[results[1]], {"v": 2.0, "w": 3.0}) == 17.0


def test_long_sums_need_no_recursion() -> None:
    def long(v: Any, w: Any) -> Any:
        for _ in range(5000):
            v = 0.5 * (v * w + (w * v + 2.0) * (v + w) - 1.0)
        return v

    def product(v: Any, w: Any) -> Any:
        total = v + 1.0
        for _ in range(5000):
            total = total * w
        return 0.5 * total

    assert len(operations(*again(long))) <= len(operations(*record(long)))
    assert operations(*again(product)).count("MUL") == 0


def test_what_several_sums_need_is_looked_up_once() -> None:
    """A gate's steady state with a factor: both of what is added and what is taken away."""

    def function(v: Any, w: Any) -> Any:
        steady = 0.07 * np.exp(v) / (1.0 + np.exp(v))
        return steady + np.tanh(w) * (w - steady)

    recorder, result = again(function, "v")
    assert len(recorder.of_one_input([result], recorder.input("v"))) == 1
    np.testing.assert_allclose(computed(recorder, result, V, W), function(V, W), rtol=1e-14)
