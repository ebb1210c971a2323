"""Functions of named quantities, and parameters along the axon."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from axon.errors import MembraneError
from axon.rates import arguments, call, check_arguments, in_words, resolve, warmth

X = np.linspace(50.0, 950.0, 10)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, [2.0]),
        (np.float32(0.5), [0.5]),
        ([3.0] * 10, [3.0]),
        (list(range(10)), np.arange(10.0)),
        (np.arange(10), np.arange(10.0)),
        (lambda x: 7, [7.0]),
        (lambda x: x / 100.0, X / 100.0),
        (lambda x: np.where(x > 0, 4.0, 5.0), [4.0]),
    ],
)
def test_profiles_become_arrays(value: Any, expected: Any) -> None:
    found = resolve(value, X, "gbar")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ([1.0] * 9, r"gbar has shape \(9,\).*each of the 10 compartments"),
        (np.ones((10, 1)), r"gbar has shape \(10, 1\)"),
        (lambda x: x[:5], r"gbar has shape \(5,\)"),
        ([1.0] * 9 + [np.nan], "gbar is not finite: nan"),
        (lambda x: -np.inf, "gbar is not finite: -inf"),
        (lambda x: "much", "gbar could not be computed along the axon"),
        (lambda x: math.sqrt(x), "gbar could not be computed along the axon"),
        (["a"] * 10, "gbar could not be computed along the axon"),
        ({}, "gbar could not be computed along the axon"),
    ],
)
def test_profiles_that_do_not_fit_are_refused(value: Any, advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        resolve(value, X, "gbar")


def with_default(v: Any, *, slope: float = 9.0) -> Any:
    return v / slope


def of_any(cai: Any, *rest: Any, **more: Any) -> Any:
    return cai


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda: 1.0, ()),
        (lambda v: v, ("v",)),
        (lambda v, cai, eca: v, ("v", "cai", "eca")),
        (with_default, ("v",)),  # what has a default is the function's own
        (of_any, ("cai",)),
        (partial(lambda v, k: v * k, k=3.0), ("v",)),
        (np.exp, ("v",)),
    ],
)
def test_a_function_asks_by_the_names_of_its_arguments(
    function: Any, names: tuple[str, ...]
) -> None:
    assert arguments(function) == names
    quantities = {"v": 2.0, "cai": 3.0, "eca": 4.0, "celsius": 5.0}
    assert call(function, quantities) == function(*(quantities[name] for name in names))


def test_unknown_quantities_are_refused_with_those_that_there_are() -> None:
    check_arguments(lambda v, cai: v, ["v", "celsius", "cai"], "gate 'm': inf")
    with pytest.raises(
        MembraneError, match=r"gate 'm': inf asks for 'ca'; .* there are v, celsius, cai$"
    ):
        check_arguments(lambda v, ca: v, ["v", "celsius", "cai"], "gate 'm': inf")


@pytest.mark.parametrize(
    "error", [TypeError("only length-1 arrays"), ValueError("truth value is ambiguous")]
)
def test_what_python_says_is_put_in_words(error: Exception) -> None:
    words = r"gate 'm': its rates could not .*use numpy\.exp"
    with pytest.raises(MembraneError, match=words), in_words("gate 'm'", "its rates"):
        raise error


def test_what_is_in_words_gets_its_owner() -> None:
    words = r"^gate 'm': no such thing$"
    with pytest.raises(MembraneError, match=words), in_words("gate 'm'", "its rates"):
        raise MembraneError("no such thing")


def test_warmth_is_q10_for_ten_degrees() -> None:
    assert warmth(3.0, 16.3, 6.3) == pytest.approx(3.0, rel=1e-15)
    assert warmth(3.0, 6.3, 6.3) == 1.0
    assert warmth(1.0, 40.0, 6.3) == 1.0
    np.testing.assert_allclose(warmth(2.0, np.array([0.0, 20.0]), 10.0), [0.5, 2.0], rtol=1e-15)
