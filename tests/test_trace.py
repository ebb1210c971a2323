"""Recorded expressions: run as instructions by the kernel they are what NumPy says they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from expressions import TREES, Function, V, W, build, computed, exact, lowered, record
from hypothesis import given, settings

from axon import _kernel
from axon.errors import MembraneError
from axon.trace import Recorder


def operations(function: Function) -> list[str]:
    return [op for op, *_ in lowered(*record(function))[0]]


def evaluate(function: Function, v: Any = V, w: Any = W) -> np.ndarray:
    """What the instructions of a function compute."""
    return computed(*record(function), v, w)


def assert_as_numpy(function: Function, rtol: float = 1e-15, atol: float = 0.0) -> None:
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(function(V, W), V.shape).astype(float)
    np.testing.assert_allclose(evaluate(function), expected, rtol=rtol, atol=atol)


# ---- what can be written -----------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda v, w: v + w,
        lambda v, w: 2.0 + v,
        lambda v, w: v - w,
        lambda v, w: 2 - v,
        lambda v, w: v * w,
        lambda v, w: np.float64(3.0) * v,
        lambda v, w: np.array(3.0) * v,
        lambda v, w: v / 8.0,
        lambda v, w: -v,
        lambda v, w: +v,
        lambda v, w: abs(v),
        lambda v, w: np.sqrt(v),
        lambda v, w: np.fabs(v),
        lambda v, w: np.minimum(v, w),
        lambda v, w: np.maximum(v, 0.5),
        lambda v, w: np.clip(v, -1.0, w),
        lambda v, w: np.square(v),
        lambda v, w: np.reciprocal(w),
        lambda v, w: v < w,
        lambda v, w: v <= w,
        lambda v, w: v > 1.0,
        lambda v, w: v >= 1.0,
        lambda v, w: 0.0 < v,  # noqa: SIM300
        lambda v, w: v == w,
        lambda v, w: v != w,
        lambda v, w: v == 0.0,
        lambda v, w: (v > -1.0) & (v < 1.0),
        lambda v, w: (v < -1.0) | (w > 1.0),
        lambda v, w: ~(v < -1.0),
        lambda v, w: np.logical_and(v, w),
        lambda v, w: np.logical_or(v < 0, w < 0),
        lambda v, w: np.logical_not(v),
        lambda v, w: np.where(v < w, v, w),
        lambda v, w: np.where(v == 0.0, 1.0, 1.0 / v),
        lambda v, w: np.where(v > 0, 1, 0),
        lambda v, w: np.where(True, v, w),
        lambda v, w: v**0,
        lambda v, w: v**1,
        lambda v, w: v**2,
        lambda v, w: v**0.5,
        lambda v, w: 1.0,
        lambda v, w: v,
    ],
)
def test_exact_operations_are_exact(function: Function) -> None:
    assert_as_numpy(function, rtol=0.0)


@pytest.mark.parametrize(
    ("function", "rtol"),
    [
        # A reciprocal and a product: half an ulp each.
        (lambda v, w: v / w, 3e-16),
        (lambda v, w: 3 / v, 3e-16),
        (lambda v, w: v / 3.0, 3e-16),
        (lambda v, w: v / (3.0 * w), 5e-16),
        # A few ulp each; more where a result is composed of several operations.
        (lambda v, w: np.exp(v), 1e-15),
        (lambda v, w: np.expm1(v), 1e-15),
        (lambda v, w: np.log(abs(v)), 1e-15),
        (lambda v, w: np.tanh(v), 1e-15),
        (lambda v, w: np.log10(abs(v) + 2.0), 2e-15),
        (lambda v, w: np.log2(abs(v) + 2.0), 2e-15),
        (lambda v, w: np.exp2(v), 2e-15),
        (lambda v, w: np.cosh(v), 2e-15),
        (lambda v, w: np.sinh(v), 2e-15),
        (lambda v, w: np.log1p(abs(v)), 2e-15),
        (lambda v, w: v**3, 1e-15),
        (lambda v, w: v**-2, 1e-15),
        (lambda v, w: v**7, 3e-15),
        (lambda v, w: abs(v) ** 2.5, 4e-15),
        (lambda v, w: (abs(v) + 1) ** w, 4e-15),
        (lambda v, w: 3.0 ** ((w - 6.3) / 10), 4e-15),
        (lambda v, w: np.power(2.0, w), 4e-15),
        (lambda v, w: np.float_power(abs(v) + 1, w), 4e-15),
    ],
)
def test_functions_are_good_to_a_few_ulp(function: Function, rtol: float) -> None:
    assert_as_numpy(function, rtol)


@settings(deadline=None, max_examples=400)
@given(tree=TREES)
def test_any_expression_is_what_numpy_computes(tree: Any) -> None:
    expected, off = exact(tree)
    found = evaluate(lambda v, w: build(tree, v, w))
    np.testing.assert_allclose(found, expected, rtol=0, atol=off)


# ---- equal expressions are one, constants are folded -------------------------------------


def test_equal_expressions_are_computed_once() -> None:
    def function(v: Any, w: Any) -> Any:
        return np.exp(v + w) * np.tanh(w + v) + np.exp(v + w)

    assert sorted(operations(function)) == ["ADD", "EXP", "FMA", "TANH"]
    assert operations(lambda v, w: v * w - w * v) == ["MUL", "SUB"]
    assert operations(lambda v, w: (v - w) / (v - w)) == ["SUB", "DIV"]
    assert operations(lambda v, w: (v - w) * (w - v)) == ["SUB", "MUL", "NEG"]


def test_constants_are_folded() -> None:
    code, consts, n_temps, _ = lowered(
        *record(lambda v, w: v * (2.0 * 3.0 + np.exp(np.float64(0.0))))
    )
    assert (code, consts, n_temps) == ([("MUL", 3, 0, 2, -1)], [7.0], 1)

    def all_constant(v: Any, w: Any) -> Any:
        one = v**0  # a constant that came from a symbol
        return np.where(np.exp(v - v * one) < 2.0, 5.0, one)

    assert operations(lambda v, w: np.sqrt(w**0 * 4.0) + v) == ["ADD"]
    assert evaluate(all_constant)[0] == 5.0


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda v, w: v + 0.0, []),
        (lambda v, w: 0 + v, []),
        (lambda v, w: v - 0.0, []),
        (lambda v, w: 1.0 * v, []),
        (lambda v, w: v / 1.0, []),
        (lambda v, w: np.negative(-v), []),
        (lambda v, w: v / 4.0, ["MUL"]),
        # One rounding more than a division, in a tenth of its time.
        (lambda v, w: v / 3.0, ["MUL"]),
        (lambda v, w: v / w + 1.0 / w, ["RECIPROCAL", "FMA"]),  # 1 / w is shared
        (lambda v, w: v / (2.0 * w) + 1.0 / w, ["RECIPROCAL", "MUL", "FMA"]),
        (lambda v, w: v / (1.0 / w), ["MUL"]),
        (lambda v, w: 1.0 / w, ["RECIPROCAL"]),
        # A quotient within a divisor costs no division of its own.
        (lambda v, w: 1.0 / (1.0 + 2.0 / w), ["ADD", "DIV"]),
        (lambda v, w: 1.0 / (1.0 + (2.0 / w) ** 2), ["MUL", "ADD", "DIV"]),
        (lambda v, w: v / (1.0 - v / (2.0 + v / w)), ["FMA", "FNMA", "RECIPROCAL", "MUL3"]),
        (lambda v, w: 1.0 / (1.0 / v + 1.0 / w), ["RECIPROCAL_ADD", "MUL3"]),
        (lambda v, w: 1.0 / (1.0 + np.sqrt(1.0 / w)), ["RECIPROCAL", "SQRT", "RECIPROCAL_ADD"]),
        (lambda v, w: 1.0 / (1.0 + 1.0 / np.exp(v)), ["EXP", "RECIPROCAL", "RECIPROCAL_ADD"]),
        (lambda v, w: -(2.0 * v), ["MUL"]),
        (lambda v, w: v * 0.0, ["MUL"]),  # NaN and infinity times zero are NaN
        (lambda v, w: 1.0 - np.exp(v), ["EXPM1", "NEG"]),
        (lambda v, w: np.exp(v) - 1.0, ["EXPM1"]),
        (lambda v, w: -1 + np.exp(v), ["EXPM1"]),
    ],
)
def test_what_is_simplified(function: Function, expected: list[str]) -> None:
    assert operations(function) == expected


def test_quotients_within_a_divisor_keep_their_limits() -> None:
    def hill(v: Any, w: Any) -> Any:
        return 1.0 / (1.0 + (2.0 / w) ** 3)

    np.testing.assert_allclose(evaluate(hill, 0.0, [0.0, 2.0, 6.0]), [0.0, 0.5, 27.0 / 28.0])
    # Were it e^v / (e^v + 1), it would be no number where e^v is infinite.
    high = evaluate(lambda v, w: 1.0 / (1.0 + 1.0 / np.exp(v)), [-800.0, 0.0, 800.0], 0.0)
    np.testing.assert_array_equal(high, [0.0, 0.5, 1.0])


def test_one_less_an_exponential_keeps_its_digits() -> None:
    small = np.array([1e-3, 1e-9, -1e-12, 3e-16])
    for function in (lambda v, w: 1 - np.exp(v), lambda v, w: -(np.exp(v) - 1)):
        np.testing.assert_allclose(
            evaluate(function, small, 0.0), -np.expm1(small), rtol=4e-16, atol=0
        )


def test_temporaries_are_used_again() -> None:
    def chain(v: Any, w: Any) -> Any:
        for k in range(200):
            v = np.tanh(v + w * k)
        return v

    code, _, n_temps, _ = lowered(*record(chain))
    assert len(code) == 400  # a multiply-add and a tanh each time
    assert n_temps <= 3


def test_long_expressions_need_no_recursion() -> None:
    def long(v: Any, w: Any) -> Any:
        total = v
        for _ in range(20_000):
            total = total * w + v
        return total

    assert operations(long) == ["FMA"] * 20_000


def test_a_sum_takes_up_a_product_that_nobody_else_reads() -> None:
    assert operations(lambda v, w: v * w + w) == ["FMA"]
    assert operations(lambda v, w: w + v * w) == ["FMA"]
    # One of two products; one that is read twice; one that is the result too; a square's double.
    assert operations(lambda v, w: v * w + v * v) == ["MUL", "FMA"]
    assert operations(lambda v, w: (v * w + 1.0) * (v * w)) == ["MUL", "ADD", "MUL"]
    assert operations(lambda v, w: v * w + v * w) == ["MUL", "ADD"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda v, w: np.exp(v * w + 2.0), ["EXP_FMA"]),
        (lambda v, w: 1.0 / (1.0 + np.exp(v * w + 2.0)), ["EXP_FMA", "RECIPROCAL_ADD"]),
        (lambda v, w: np.exp(v + w), ["ADD", "EXP"]),
        (lambda v, w: np.exp(v * w), ["EXP_MUL"]),
        (lambda v, w: np.exp(v * w) + v * w, ["MUL", "EXP", "ADD"]),
        (lambda v, w: np.exp(v * w * w), ["MUL", "EXP_MUL"]),
        (lambda v, w: np.exp(v * w - 2.0 * v), ["MUL", "FMS", "EXP"]),
        (lambda v, w: np.exp(v * w + 2.0) + v * w, ["MUL", "ADD", "EXP", "ADD"]),
        (lambda v, w: np.exp(v * w + 2.0) * (v * w + 2.0), ["FMA", "EXP", "MUL"]),
        (lambda v, w: 1.0 / (v * w + v), ["RECIPROCAL_FMA"]),
        (lambda v, w: 1.0 / (v * w - v), ["FMS", "RECIPROCAL"]),
        (lambda v, w: 1.0 / (v * w + v) + (v * w + v), ["FMA", "RECIPROCAL", "ADD"]),
        (lambda v, w: w / (v * w + v), ["FMA", "DIV"]),
        (lambda v, w: v / (v + w), ["ADD", "DIV"]),
        (lambda v, w: 1.0 / (v + w) + (v + w), ["ADD", "RECIPROCAL", "ADD"]),
        # A part of the way from one to another.
        (lambda v, w: w + np.tanh(v) * (v - w), ["TANH", "LERP"]),
        (lambda v, w: (v - w) * np.tanh(v) + w, ["TANH", "LERP"]),
        (lambda v, w: w + np.tanh(v) * (w - v), ["TANH", "SUB", "FMA"]),
        (lambda v, w: v + np.tanh(v) * (v - w), ["TANH", "SUB", "FMA"]),
        (lambda v, w: (w + np.tanh(v) * (v - w)) * (v - w), ["SUB", "TANH", "FMA", "MUL"]),
        (lambda v, w: w - np.tanh(v) * (v - w), ["TANH", "SUB", "FNMA"]),
        (lambda v, w: w + np.tanh(v) * (v * w - w), ["TANH", "FMS", "FMA"]),
    ],
)
def test_what_takes_one_instruction(function: Function, expected: list[str]) -> None:
    assert operations(function) == expected
    assert_as_numpy(function, 1e-14)


def test_results_go_where_they_belong() -> None:
    recorder = Recorder()
    x, y = recorder.input("x"), recorder.input("y")
    # Slots 0 and 1 are read and written: nothing is stored before all is read. The last result
    # reads the first, which must stay until then; what is kept, nobody overwrites.
    results = {0: x + y, 1: np.exp(y)}
    kept = [(x + y) * 2.0 - y, x * y, x]
    constants = recorder.constants([*results.values(), *kept], ())
    known = {node: 2 + i for i, node in enumerate(constants)}
    code, n_temps, placed = recorder.emit(results, kept, {"x": 0, "y": 1}, known, 2 + len(known))
    memory: dict[int, Any] = {0: 0.25, 1: 0.5} | {slot: c.value for c, slot in known.items()}
    for op, out, *operands in code:
        args = [memory[slot] for slot in operands if slot >= 0]
        memory[out] = float(_kernel.apply(None, op, *args)[0])
    assert memory[0] == 0.75
    assert memory[1] == pytest.approx(math.exp(0.5), rel=4e-16)
    assert (memory[placed[kept[0]]], memory[placed[kept[1]]]) == (1.0, 0.125)
    assert placed[x] == 0
    assert [(op, out) for op, out, *_ in code[-2:]] == [("COPY", 0), ("COPY", 1)]
    assert max(out for _, out, *_ in code) < 2 + len(known) + n_temps


def test_what_is_known_is_not_computed() -> None:
    recorder = Recorder()
    v, w = recorder.input("v"), recorder.input("w")
    known = np.exp(v)
    result = known * w + known
    assert recorder.constants([result], {known}) == []
    code, _, placed = recorder.emit({}, [result, known], {"v": 0, "w": 1}, {known: 7}, 8)
    assert code == [("FMA", 8, 7, 1, 7)] or code == [("FMA", 8, 1, 7, 7)]
    assert placed[known] == 7


def test_parts_of_one_input_are_found_whole() -> None:
    """The largest that depend on v alone, where computing takes longer than looking up."""
    recorder = Recorder()
    v, w = recorder.input("v"), recorder.input("w")
    rate = np.exp(v / 10.0) / (1.0 + np.exp(v / 10.0))
    shared = np.tanh(v)
    results = [rate * w, shared + w, shared * shared, v * v * w, np.exp(w)]
    found = recorder.of_one_input(results, v)
    assert set(found) == {rate, shared, shared * shared}
    assert recorder.of_one_input(results, w) == [np.exp(w)]


@settings(deadline=None)
@given(tree=TREES)
def test_evaluating_is_what_the_instructions_do(tree: Any) -> None:
    recorder, result = record(lambda v, w: build(tree, v, w))
    with np.errstate(all="ignore"):
        found = np.broadcast_to(recorder.evaluate(result, {"v": V, "w": W}), V.shape)
    largest = max(1.0, np.abs(found).max())
    np.testing.assert_allclose(
        computed(recorder, result, V, W), found, rtol=0, atol=1e-13 * (2 + largest) ** 2
    )


def test_the_same_function_gives_the_same_instructions() -> None:
    def function(v: Any, w: Any) -> Any:
        parts = [np.exp(v * k) * np.tanh(w + k) for k in range(1, 20)]
        return sum(p * q for p, q in zip(parts, reversed(parts), strict=True))

    codes, kept = [], []
    for k in range(20):
        codes.append(lowered(*record(function)))
        kept.append([object() for _ in range(97 * k)])  # so that nodes lie elsewhere each time
        kept[::2] = [None] * len(kept[::2])
    assert all(code == codes[0] for code in codes)


# ---- singular rates ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "at", "limit"),
    [
        (lambda v, w: v / (np.exp(v) - 1), 0.0, 1.0),
        (lambda v, w: v / np.expm1(v), 0.0, 1.0),
        (lambda v, w: v / (1 - np.exp(-v)), 0.0, 1.0),
        (lambda v, w: 0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)), -40.0, 1.0),
        (lambda v, w: 0.1 * (v + 40) / (1 - np.exp(-0.1 * (v + 40))), -40.0, 1.0),
        (lambda v, w: (v + 40) / 10 / (1 - np.exp((-40 - v) / 10)), -40.0, 1.0),
        (lambda v, w: (v + 40) / (1 - np.exp(-(v + 40) / 10)) / 10, -40.0, 1.0),
        (lambda v, w: -0.1 * (v + 40) / (np.exp(-(v + 40) / 10) - 1), -40.0, 1.0),
        (lambda v, w: 0.01 * (10 - (v + 65)) / (np.exp((10 - (v + 65)) / 10) - 1), -55.0, 0.1),
        (lambda v, w: 0.32 * (13.1 - v) / (np.exp((13.1 - v) / 4) - 1), 13.1, 1.28),
        (lambda v, w: (2 * v + 80) / (1 - np.exp(-v / 10 - 4)), -40.0, 20.0),
        (lambda v, w: -(v + 35.1) * 0.182 / np.expm1(-(v + 35.1) / 9), -35.1, 1.638),
    ],
)
def test_singular_rates_take_their_limit(function: Function, at: float, limit: float) -> None:
    assert "EXPREL" in operations(function)
    np.testing.assert_allclose(evaluate(function, [at], 0.0), limit, rtol=1e-14)
    v = at + np.concatenate([-np.logspace(-14, 2, 50), np.logspace(-14, 2, 50)])
    found = evaluate(function, v, 0.0)
    far = np.abs(v - at) > 0.1
    # Where the formula itself keeps 14 digits; nearer it is the limit, but for its slope.
    np.testing.assert_allclose(found[far], function(v[far], 0.0), rtol=1e-13)
    near = np.abs(v - at) < 1e-6
    np.testing.assert_allclose(found[near], limit, rtol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda v, w: (v + 40) / (1 - np.exp(-(v + 41) / 10)),  # a true pole
        lambda v, w: w / (1 - np.exp(-v)),
        lambda v, w: v * w / np.expm1(v),
        lambda v, w: 2.0 / np.expm1(v),
    ],
)
def test_what_has_no_limit_is_left_alone(function: Function) -> None:
    assert "EXPREL" not in operations(function)
    v = np.array([0.5, -2.0, 7.0])
    np.testing.assert_allclose(evaluate(function, v, 1.5), function(v, 1.5), rtol=1e-13)


# ---- what cannot be recorded -------------------------------------------------------------


def by_if(v: Any, w: Any) -> Any:
    return 1.0 if v > 0 else w


def by_and(v: Any, w: Any) -> Any:
    return np.where(v > 0 and w > 0, v, w)


@pytest.mark.parametrize(
    "function", [by_if, by_and, lambda v, w: max(v, w), lambda v, w: not v, lambda v, w: 0 < v < 1]
)
def test_decisions_of_python_are_refused_with_advice(function: Function) -> None:
    with pytest.raises(MembraneError, match=r"`if`.*use numpy\.where"):
        record(function)


@pytest.mark.parametrize("function", [lambda v, w: math.exp(v), lambda v, w: float(v) + w])
def test_functions_of_math_are_refused_with_advice(function: Function) -> None:
    with pytest.raises(MembraneError, match="use numpy functions, not those of math"):
        record(function)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda v, w: np.sin(v), "sin"),
        (lambda v, w: np.heaviside(v, 0.5), "heaviside"),
        (lambda v, w: np.floor_divide(v, w), "floor_divide"),
        (lambda v, w: np.sum(v), "sum"),
        (lambda v, w: np.interp(v, [0, 1], [2, 3]), "interp"),
        (lambda v, w: np.where(v), "where"),
    ],
)
def test_functions_that_the_kernel_lacks_are_refused_by_name(function: Function, name: str) -> None:
    with pytest.raises(MembraneError, match=rf"numpy\.{name} is not available"):
        record(function)


def test_arrays_are_refused() -> None:
    with pytest.raises(MembraneError, match=r"shape \(3,\).*parameter of the membrane"):
        record(lambda v, w: v * np.arange(3.0))


def test_symbols_of_two_recordings_do_not_mix() -> None:
    foreign = Recorder().input("v")
    with pytest.raises(MembraneError, match="two recordings"):
        record(lambda v, w: v + foreign)


def test_an_expression_can_be_read() -> None:
    assert (
        repr(record(lambda v, w: np.exp(v + 2.5) / w)[1]) == "mul(exp(add(v, 2.5)), reciprocal(w))"
    )
