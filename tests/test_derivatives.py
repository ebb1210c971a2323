"""Derivatives of recorded expressions against numeric differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from expressions import OPERATIONS, TREES, Function, build, computed, record
from hypothesis import given, settings

from axon.trace import _PARTIALS, Recorder

H = 2e-3  # of differences of order 4, off by 1e-10 of the fifth derivative


def difference(function: Function, v: np.ndarray, w: np.ndarray, h: float) -> np.ndarray:
    """d function / d v, from four values."""

    def at(k: int) -> Any:
        return np.broadcast_to(function(v + k * h, w), v.shape).astype(float)

    return np.asarray((8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12.0 * h))


def derived(function: Function, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The recorded derivative, as the kernel computes it."""
    recorder, result = record(function)
    return computed(recorder, recorder.derivative(result, recorder.input("v")), v, w)


def node(op: str) -> Function:
    """One operation, whatever the recorder would make of its usual spelling."""

    def function(v: Any, w: Any) -> Any:
        operands = {1: (v,), 2: (v, w), 3: (v, w, v * w)}[OPERATIONS[op]]
        return v.recorder.node(op, *operands)

    return function


PLAIN: dict[str, Function] = {
    "COPY": lambda v, w: v,
    "NEG": lambda v, w: -v,
    "ABS": lambda v, w: np.abs(v),
    "SQRT": lambda v, w: np.sqrt(v),
    "EXP": lambda v, w: np.exp(v),
    "EXPM1": lambda v, w: np.expm1(v),
    "LOG": lambda v, w: np.log(v),
    "TANH": lambda v, w: np.tanh(v),
    "EXPREL": lambda v, w: v / np.expm1(v),
    "ADD": lambda v, w: v + w,
    "SUB": lambda v, w: v - w,
    "MUL": lambda v, w: v * w,
    "RECIPROCAL": lambda v, w: 1.0 / v,
    "MIN": lambda v, w: np.minimum(v, w),
    "MAX": lambda v, w: np.maximum(v, w),
    "LT": lambda v, w: (v < w) * 1.0,
    "LE": lambda v, w: (v <= w) * 1.0,
    "EQ": lambda v, w: (v == w) * 1.0,
    "SELECT": lambda v, w: np.where(v != 0.0, w, v * w),
}
FUSED = {"FMA", "FMS", "FNMA", "DIV", "MUL3", "LERP", "EXP_MUL", "EXP_FMA"}
FUSED |= {"RECIPROCAL_ADD", "RECIPROCAL_FMA"}

# No two values within the reach of a difference, none at a pole.
rng = np.random.default_rng(0)
POINTS = np.concatenate([np.linspace(0.11, 3.0, 40), -np.linspace(0.13, 3.0, 40)])
OTHERS = rng.permutation(np.concatenate([np.linspace(0.21, 2.9, 40), -np.linspace(0.27, 2.9, 40)]))


def test_every_operation_has_a_plain_meaning_here() -> None:
    assert PLAIN.keys() == OPERATIONS.keys() - FUSED


@pytest.mark.parametrize("swapped", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("op", [op for op in PLAIN if op != "COPY"])
def test_every_operation(op: str, swapped: bool) -> None:
    """With regard to its first operand, and to its others."""

    def turned(function: Function) -> Function:
        return (lambda v, w: function(w, v)) if swapped else function

    v, w = POINTS, OTHERS
    if op in ("SQRT", "LOG"):
        v, w = np.abs(v), np.abs(w)
    near = np.abs(v - w) < 3 * H
    v, w = v[~near], w[~near]
    found = derived(turned(node(op)), v, w)
    expected = difference(turned(PLAIN[op]), v, w, H)
    # 1e-10 of the difference, of derivatives up to 1/v⁵ near the pole at 0.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_copies_and_fused_operations_are_made_by_the_emitter_alone() -> None:
    """So they have no derivative, and neither have comparisons, which are steps."""
    others = set(OPERATIONS) - FUSED - set(_PARTIALS)
    assert others == {"COPY", "LT", "LE", "EQ", "SELECT", "MIN", "MAX"}


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda v, w: v**3, lambda v, w: 3 * v**2),
        (lambda v, w: v**-2, lambda v, w: -2 * v**-3),
        (lambda v, w: abs(v) ** 2.5, lambda v, w: np.sign(v) * 2.5 * abs(v) ** 1.5),
        (lambda v, w: 3.0**v, lambda v, w: np.log(3.0) * 3.0**v),
        (lambda v, w: (w * w + 1) ** v, lambda v, w: np.log(w * w + 1) * (w * w + 1) ** v),
        (lambda v, w: np.cosh(v), lambda v, w: np.sinh(v)),
        (lambda v, w: np.sinh(v), lambda v, w: np.cosh(v)),
        (lambda v, w: np.log1p(v * v), lambda v, w: 2 * v / (1 + v * v)),
        (lambda v, w: np.clip(v, -1.0, 1.0), lambda v, w: (abs(v) < 1.0) * 1.0),
        (lambda v, w: np.where(v < 0, v * v, w), lambda v, w: np.where(v < 0, 2 * v, 0.0)),
        (lambda v, w: w * w + 3.0, lambda v, w: 0.0 * v),
        (lambda v, w: v, lambda v, w: 1.0 + 0.0 * v),
    ],
)
def test_what_is_composed(function: Function, slope: Function) -> None:
    expected = slope(POINTS, OTHERS)
    found = derived(function, POINTS, OTHERS)
    np.testing.assert_allclose(found, expected, rtol=3e-14, atol=1e-15)


def test_singular_rates_have_the_slope_of_their_limit() -> None:
    """x/(exp(x) - 1) = 1 - x/2 + x²/12 - x⁴/720 + ...; on both sides of where the series ends."""
    x = np.concatenate([[0.0], *(sign * np.geomspace(1e-12, 0.3, 200) for sign in (1.0, -1.0))])
    found = derived(lambda v, w: v / np.expm1(v), x, 0.0 * x)
    series = -0.5 + x / 6 - x**3 / 180 + x**5 / 5040 - x**7 / 151200 + x**9 / 4790016
    # 1 - x - y loses digits towards the series: 1e-16 of 1 in x/2, at x = 0.01.
    np.testing.assert_allclose(found, series, rtol=0, atol=5e-13)
    far = derived(lambda v, w: v / np.expm1(v), np.array([700.0, -700.0, -1e4]), np.zeros(3))
    np.testing.assert_allclose(far, [0.0, -1.0, -1.0], rtol=0, atol=1e-300)


def test_slope_of_a_goldman_current_at_zero() -> None:
    """The current is z F P (inside - outside + (inside + outside) u/2 + ...) with u = v/(RT/zF)."""

    def current(v: Any, w: Any) -> Any:
        u = v / 12.6
        e = u / np.expm1(u)
        return 2.0 * (u + e) - 3.0 * e

    np.testing.assert_allclose(
        derived(current, np.array([0.0, 1e-9]), np.zeros(2)), 2.5 / 12.6, rtol=1e-9
    )


@settings(deadline=None, max_examples=300)
@given(tree=TREES)
def test_any_expression(tree: Any) -> None:
    """Where its differences over two distances agree, no kink is near, and the slope is theirs."""

    def function(v: Any, w: Any) -> Any:
        return build(tree, v, w)

    v, w = POINTS[::2], OTHERS[::2]
    with np.errstate(all="ignore"):
        wide, narrow = difference(function, v, w, H), difference(function, v, w, H / 2)
    found = derived(function, v, w)
    assert np.all(np.isfinite(found))
    scale = 1.0 + np.abs(narrow)
    smooth = np.abs(wide - narrow) < 1e-7 * scale
    if np.all(np.isfinite(narrow)):
        np.testing.assert_allclose(found[smooth], narrow[smooth], rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(tree=TREES)
def test_of_two_inputs_each_has_its_own_slope(tree: Any) -> None:
    recorder = Recorder()
    v, w = recorder.input("v"), recorder.input("w")
    result = recorder.symbol(build(tree, v, w))
    third = recorder.input("third")
    assert recorder.derivative(result, third) is recorder.symbol(0.0)
    slopes = [recorder.derivative(result, by) for by in (v, w)]
    other = record(lambda w, v: build(tree, v, w))  # what was v is w
    swapped = other[0].derivative(other[1], other[0].input("v"))
    np.testing.assert_allclose(
        computed(other[0], swapped, OTHERS, POINTS),
        computed(recorder, slopes[1], POINTS, OTHERS),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda v, w: np.sqrt(np.maximum(v, 0.0)),
        lambda v, w: np.maximum(v, 0.0) ** 1.5,
        lambda v, w: np.maximum(v, 0.0) ** 0.5,
    ],
)
def test_what_is_clipped_does_not_rise(function: Function) -> None:
    v = np.array([-2.0, -0.5])
    np.testing.assert_array_equal(derived(function, v, v), 0.0)
