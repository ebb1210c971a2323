"""What is still, put together in expressions: of the same value, and less is left that moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from expressions import TREES, Function, V, W, build, computed, exact, record
from hypothesis import given, settings
from hypothesis import strategies as st

from axon.still import gathered, straightened
from axon.trace import Recorder, Symbol

# ---- exponents that are straight lines -----------------------------------------------------------


def parts(again: Any, function: Function, of: str = "v") -> tuple[list[str], list[str], Any]:
    """Operations of an expression of v, which moves, and w, which is still: those of what is still,
    and the others; and its values."""
    recorder, result = record(function)
    (after,) = again(recorder, [result], recorder.input(of), {"w"}).values()
    follows = recorder.follows([after], {"w"})
    read = [part for node in follows if not follows[node] for part in node.operands]
    still = [part for part in dict.fromkeys(read) if follows[part] and part.operands]
    known = {"v": 0, "w": 1}
    constants = {c: 2 + k for k, c in enumerate(recorder.constants([after], ()))}
    first = 2 + len(constants)
    slots = {node: first + k for k, node in enumerate(still)}
    before, _, _ = recorder.emit({s: n for n, s in slots.items()}, [], known, constants, 90)
    code, _, _ = recorder.emit({}, [after], known, constants | slots, 90)
    return [op for op, *_ in before], [op for op, *_ in code], computed(recorder, after, V, W)


@pytest.mark.parametrize(
    ("function", "still", "moving"),
    [
        (lambda v, w: np.exp((v - w) / (w + 7)), ["NEG", "RECIPROCAL_ADD", "MUL"], ["EXP_FMA"]),
        (lambda v, w: np.exp(-(v + w) * w), ["NEG", "MUL", "NEG"], ["EXP_FMA"]),
        # Of one that follows V by a constant slope the rest is an exponential of its own.
        (lambda v, w: np.exp(v * 0.5 + w * w), ["EXP_MUL"], ["EXP_MUL", "MUL"]),
        (lambda v, w: np.exp(w - v), ["EXP"], ["NEG", "EXP", "MUL"]),
        (lambda v, w: np.exp(w - 3.0 * v), [], ["EXP_FMA"]),  # unless it is too steep for tables
        # What no line is, or follows from one of the two alone, stays as it is.
        (lambda v, w: np.exp(v * v + w), [], ["EXP_FMA"]),
        (lambda v, w: np.exp(np.tanh(v) + w), [], ["TANH", "ADD", "EXP"]),
        (lambda v, w: np.exp(0.5 * v + 1.0), [], ["EXP_FMA"]),
        (lambda v, w: np.exp(w * w) + v, ["EXP_MUL"], ["ADD"]),
        (lambda v, w: np.tanh((v - w) * w), [], ["SUB", "MUL", "TANH"]),
    ],
)
def test_exponents_are_straight_lines(
    function: Function, still: list[str], moving: list[str]
) -> None:
    before, code, values = parts(straightened, function)
    assert (sorted(before), code) == (sorted(still), moving)
    np.testing.assert_allclose(values, function(V, W), rtol=1e-13, atol=1e-14)


STILL: dict[str, Function] = {
    "w": lambda v, w: w,
    "tanh": lambda v, w: np.tanh(w),
    "square": lambda v, w: w * w,
    "constant": lambda v, w: 0.75,
}
STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda line, still: line + still,
    "subtract": lambda line, still: line - still,
    "from": lambda line, still: still - line,
    "times": lambda line, still: still * line,
    "over": lambda line, still: line / (1.0 + still * still),
    "twice": lambda line, still: line + 0.5 * line,
}


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(list(STEPS)), st.sampled_from(list(STILL))), max_size=6),
)
def test_any_straight_exponent_keeps_its_value(steps: list[tuple[str, str]]) -> None:
    def exponent(v: Any, w: Any) -> Any:
        line = 0.25 * v
        for step, still in steps:
            line = STEPS[step](line, STILL[still](v, w))
        return line

    size = 0.25 * np.abs(V)  # of all that is added, whatever cancels
    for step, still in steps:
        other = np.abs(STILL[still](V, W))
        grown = {"add": size + other, "subtract": size + other, "from": size + other}
        size = grown.get(step, np.abs(STEPS[step](size, other)))
    _, code, values = parts(straightened, lambda v, w: np.exp(exponent(v, w)))
    if any(step != "twice" and still not in ("constant", "w") for step, still in steps):
        assert len(code) <= 3
        assert sum("EXP" in op for op in code) == 1
    within = size < 300.0
    expected = np.exp(exponent(V[within], W[within]))
    np.testing.assert_allclose(values[within], expected, rtol=3e-15 * (1.0 + size[within].max()))


# ---- factors that are still ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "still", "moving"),
    [
        # Of a product all that is still is one factor.
        (lambda v, w: v * w * (v + 1) * np.tanh(w), ["TANH", "MUL"], ["ADD", "MUL3"]),
        (lambda v, w: w * v * 3.0 * (w + 1.0), ["ADD", "MUL3"], ["MUL"]),
        (lambda v, w: (v * w) / (1.0 + w * w), ["FMA", "DIV"], ["MUL"]),
        # It goes into a sum whose terms have one, and that into the sum which it is part of.
        (lambda v, w: (v * w + 2.0 * v * v) * w, ["MUL", "MUL"], ["MUL3", "FMA"]),
        (lambda v, w: v + (v * v * w - w) * w, ["MUL", "NEG"], ["MUL", "ADD", "FMA"]),
        (lambda v, w: v * v - (w - v * w) * w, ["MUL", "NEG"], ["FMA", "FMA"]),
        # Not where a term has none, or somebody else needs the sum.
        (lambda v, w: (v * w + v * v) * w, [], ["MUL", "FMA", "MUL"]),
        (lambda v, w: np.tanh(v * w + w) + (v * w + w) * w, [], ["FMA", "TANH", "FMA"]),
        # A product that several multiply by what is still is part of each.
        (
            lambda v, w: np.tanh(v * v * w * 3.0) + np.exp(v * v * w * np.tanh(w)),
            ["MUL", "TANH", "MUL"],
            ["MUL", "MUL", "TANH", "EXP_MUL", "ADD"],
        ),
        # What does not move, or has nothing still, stays as it is.
        (lambda v, w: np.tanh(w) * w + v, ["TANH", "MUL"], ["ADD"]),
        (lambda v, w: v * v * (v + 1.0), [], ["ADD", "MUL3"]),
    ],
)
def test_what_is_still_is_one_factor(
    function: Function, still: list[str], moving: list[str]
) -> None:
    before, code, values = parts(gathered, function, "nothing")
    assert (sorted(before), sorted(code)) == (sorted(still), sorted(moving))
    np.testing.assert_allclose(values, function(V, W), rtol=1e-13, atol=1e-13)


def test_what_is_looked_up_stays_as_it_is() -> None:
    recorder, result = record(lambda v, w: np.tanh(2.0 * v) * 3.0 * w * np.tanh(w))
    v = recorder.input("v")
    (looked_up,) = recorder.of_one_input([result], v)
    (after,) = gathered(recorder, [result], v, {"w"}).values()
    assert recorder.of_one_input([after], v) == [looked_up]


@settings(deadline=None, max_examples=400)
@given(tree=TREES)
def test_any_expression_keeps_its_value(tree: Any) -> None:
    expected, off = exact(tree)

    def untouched(
        recorder: Recorder, results: list[Symbol], of: Symbol, still: Any
    ) -> dict[Symbol, Symbol]:
        return {result: result for result in results}

    for of in ("v", "nothing"):
        _, before, _ = parts(untouched, lambda v, w: build(tree, v, w), of)
        _, code, values = parts(gathered, lambda v, w: build(tree, v, w), of)
        np.testing.assert_allclose(values, expected, rtol=0, atol=off)
        assert len(code) <= len(before)


def test_long_expressions_need_no_recursion() -> None:
    def long(v: Any, w: Any) -> Any:
        for _ in range(3000):
            v = (v * np.tanh(w) + (0.5 * w - v * 0.125) * np.tanh(w)) * 0.5
        return v

    _, code, values = parts(gathered, long, "nothing")
    assert len(code) < 9000
    np.testing.assert_allclose(values, long(V, W), rtol=1e-9, atol=1e-12)
