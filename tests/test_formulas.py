"""Functions written down: the text computes what the function does."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from axon import models
from axon.channels import Gate
from axon.formulas import LONGEST, Formula, formula, formula_of, named, number
from axon.ions import ghk, nernst
from axon.membranes import Membrane
from axon.rates import Rate, arguments, call


def computed(text: str, quantities: dict[str, Any]) -> Any:
    """What a formula's text computes: NumPy's names, axon's two, and the quantities."""
    names = vars(np) | {"nernst": nernst, "ghk": ghk} | quantities
    return eval(text, {"__builtins__": {}} | names)


def smooth(v: Any) -> Any:
    u = v + 40
    u /= 10
    return u


def own_out(v: Any) -> Any:
    u = v / 10
    np.exp(u, out=u)
    return 1 / (1 + u)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda v: v, "v"),
        (lambda v: 0.5, "0.5"),
        (lambda v, cai: cai * v, "cai * v"),
        (
            lambda v: 0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)),
            "0.1 * (v + 40) / (1 - exp(-(v + 40) / 10))",
        ),
        # Parentheses where they must be, and nowhere else.
        (lambda v: v - (v - 1), "v - (v - 1)"),
        (lambda v: (v - v) - 1, "v - v - 1"),
        (lambda v: v / (v * 2), "v / (v * 2)"),
        (lambda v: v / v * 2, "v / v * 2"),
        (lambda v: (v + 1) * 2, "(v + 1) * 2"),
        (lambda v: v + 1 * v, "v + 1 * v"),
        (lambda v: (-v) ** 2, "(-v)**2"),
        (lambda v: -(v**2), "-v**2"),
        (lambda v: np.negative(-v), "-(-v)"),
        (lambda v: (v**2) ** 3, "(v**2)**3"),
        (lambda v: v ** (v**3), "v**v**3"),
        (lambda v: 2**-v, "2**-v"),
        (lambda v: v ** (1 / 3), "v**(1 / 3)"),
        (lambda v: 2 * (v % 3) // 4, "2 * (v % 3) // 4"),
        # A negative number that is added or subtracted.
        (lambda v: v - -70.0, "v + 70"),
        (lambda v: v + -5.0, "v - 5"),
        (lambda v: -5.0 + v, "-5 + v"),
        (lambda v: v * -5.0, "v * -5"),
        (lambda v: (-40.0) ** np.ceil(v), "(-40)**ceil(v)"),
        # Comparisons and what is made of them.
        (lambda v: np.where(v < -31, 1, v), "where(v < -31, 1, v)"),
        (lambda v: np.where((v >= -9) & (v < 9), 1, 0), "where((v >= -9) & (v < 9), 1, 0)"),
        (lambda v: np.where(~(v == 0) | (v > 1), v, 2), "where(~(v == 0) | (v > 1), v, 2)"),
        (lambda v: (v < 1) != (v > 2), "(v < 1) != (v > 2)"),
        (lambda v: np.logical_not(v <= 3), "logical_not(v <= 3)"),
        # Functions of NumPy's, by its own names.
        (lambda v: np.minimum(20 * v, 0.01), "minimum(20 * v, 0.01)"),
        (lambda v: np.clip(v, 0, None), "clip(v, 0, None)"),
        (lambda v: np.clip(v, min=0.0, max=1.0), "clip(v, min=0, max=1)"),
        (lambda v: abs(v) + np.abs(v), "abs(v) + abs(v)"),
        (lambda v: np.power(v, 2) + np.square(v), "v**2 + square(v)"),
        (lambda v: np.interp(v, [-80.0, 0.0], [0, 1]), "interp(v, [-80, 0], [0, 1])"),
        (
            lambda v: np.interp(v, np.array([-80.0, 0.0]), (0, 1)),
            "interp(v, array([-80, 0]), [0, 1])",
        ),
        (
            lambda v: np.select([v < 0, v < 9], [v, 1.0], 2.0),
            "select([v < 0, v < 9], [v, 1], 2)",
        ),
        (lambda v: np.zeros_like(v) + 3, "zeros_like(v) + 3"),
        (np.exp, "exp(v)"),
        # Numbers of NumPy's, on either side.
        (lambda v: np.float64(0.1) * v + np.int64(3), "0.1 * v + 3"),
        (lambda v: np.array(2.0) - v, "2 - v"),
        # In place.
        (smooth, "(v + 40) / 10"),
        (own_out, "1 / (1 + exp(v / 10))"),
        (partial(lambda v, k: v * k, k=3.0), "v * 3"),
        # axon's own have names, too.
        (lambda cai, cao, celsius: nernst(cai, cao, 2, celsius), "nernst(cai, cao, 2, celsius)"),
        (lambda v, cai, g: g * ghk(v, cai, 2.0, 2, 37.0), "g * ghk(v, cai, 2, 2, 37)"),
    ],
)
def test_a_function_is_written_as_it_was(function: Rate, text: str) -> None:
    assert str(formula(function)) == text
    quantities = dict.fromkeys(arguments(function), np.array([0.75, 2.5]))
    np.testing.assert_allclose(computed(text, quantities), call(function, quantities), rtol=1e-15)


def test_arguments_may_be_given_in_order() -> None:
    assert str(formula(lambda position, slope=2: slope * position, ["x"])) == "2 * x"


def decides(v: Any) -> Any:
    return 1.0 if v > -40 else 2.0


def raises(v: Any) -> Any:
    raise RuntimeError("no")


def endless(v: Any) -> Any:
    for _ in range(99):
        v = v * v
    return v


def long(v: Any) -> Any:
    return sum((v + i for i in range(LONGEST // 4)), v)


def summed(v: Any) -> Any:
    return np.add.reduce(v)


def into(v: Any) -> Any:
    out = np.zeros(1)
    out += v
    return out


def parted(v: Any) -> Any:
    return np.modf(v)[0]


def lost(v: Any) -> Any:
    np.clip(v, 0, 1, out=v)
    return v


@pytest.mark.parametrize(
    "function",
    [decides, raises, endless, long, summed, into, parted, lost],
    ids=lambda function: function.__name__,
)
def test_what_cannot_be_written_is_named(function: Rate) -> None:
    assert str(formula(function)) == f"{function.__name__}(v)"


@pytest.mark.parametrize(
    "function",
    [
        lambda v, cai: math.exp(v),
        lambda v, cai: float(v),
        lambda v, cai: v.clip(0, 1),
        lambda v, cai: np.asarray(v),
        lambda v, cai: np.array([v, cai]),
        lambda v, cai: v[0],
        lambda v, cai: [x for x in v],  # noqa: C416
        lambda v, cai: {"v": v},
        lambda v, cai: np.exp(v, where=False),
        lambda v, cai: np.piecewise(v, [v < 0], [np.sin, np.cos]),
    ],
)
def test_what_has_no_name_is_called_a_function(function: Rate) -> None:
    assert str(formula(function)) == "function(v, cai)"


def test_symbols_say_why_they_are_refused() -> None:
    v = Formula("v")
    with pytest.raises(TypeError, match=r"v < 3 is neither true nor false; use numpy\.where"):
        bool(v < 3)
    with pytest.raises(TypeError, match="v is no array"):
        np.asarray(v)
    with pytest.raises(TypeError, match=r"\{\} has no place in a formula"):
        formula_of({})
    with pytest.raises(TypeError):
        hash(v)
    assert repr(v * 2) == "Formula('v * 2')"


def test_what_is_called_by_its_name_is_itself() -> None:
    @named
    def double(x: Any) -> Any:
        """Twice."""
        return 2 * x

    assert double(3) == 6
    assert double.__doc__ == "Twice."
    assert str(double(Formula("v"))) == "double(v)"
    assert str(double(x=Formula("v")) + 1) == "double(x=v) + 1"
    assert arguments(ghk) == ("v", "inside", "outside", "valence", "celsius")


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (3.0, "3"),
        (-70.0, "-70"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        (-20.35 + 20, "-0.35"),
        (0.123456789012 * (1 + 4e-15), "0.123456789012"),
        (1e-7, "1e-7"),
        (2.5e20, "2.5e20"),
        (1 / 3, "1 / 3"),
        (-2 / 7, "-2 / 7"),
        (8.31446261815324, "8.31446261815324"),
        (123456789012345.0, "123456789012345"),
        (1234567890123.5, "1234567890123.5"),
        (math.pi, "3.141592653589793"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (np.float64(0.5), "0.5"),
        (np.int64(5), "5"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False))
def test_numbers_are_good_to_a_part_in_1e14(value: float) -> None:
    assert computed(number(value), {}) == pytest.approx(value, rel=1e-14, abs=0.0)


@given(st.integers(-(10**12), 10**12), st.integers(-20, 20))
def test_numbers_of_twelve_digits_are_exact(digits: int, exponent: int) -> None:
    value = float(f"{digits}e{exponent}")
    assert float(number(value)) == value


# ---- random expressions --------------------------------------------------------------------------

UNARY: list[Callable[[Any], Any]] = [lambda x: -x, abs, np.exp, np.tanh, np.sqrt]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / y,
    lambda x, y: x // y,
    lambda x, y: x % y,
    lambda x, y: x**y,
    np.minimum,
]
CONDITIONS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x < y,
    lambda x, y: x >= y,
    lambda x, y: (x < y) & (x != 0),
    lambda x, y: ~(x > y) | (x == y),
    lambda x, y: (x < y) ^ (y < 1),
]
# Of two constants Python makes a third before there is a formula. These are written exactly.
LEAVES = st.sampled_from(["v", "w"])
CONSTANTS = st.sampled_from([-2.0, -0.5, 0.1, 1 / 3, 1.0, 2.0, 3, -70, 1e-9])
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(st.sampled_from(UNARY), inner)
        | st.tuples(st.sampled_from(BINARY), inner, inner | CONSTANTS)
        | st.tuples(st.sampled_from(BINARY), CONSTANTS, inner)
        | st.tuples(st.sampled_from(CONDITIONS), inner, inner | CONSTANTS, inner, inner)
    ),
    max_leaves=10,
)


def grown(tree: Any, quantities: dict[str, Any]) -> Any:
    if isinstance(tree, str):
        return quantities[tree]
    if not isinstance(tree, tuple):
        return tree
    operation, *parts = tree
    values = [grown(part, quantities) for part in parts]
    if operation in CONDITIONS:
        return np.where(operation(*values[:2]), *values[2:])
    return operation(*values)


@given(TREES, st.floats(-100.0, 100.0), st.floats(-3.0, 3.0))
def test_parentheses_are_where_they_must(tree: Any, v: float, w: float) -> None:
    numbers = {"v": np.float64(v), "w": np.float64(w)}
    text = str(grown(tree, {name: Formula(name) for name in numbers}))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(computed(text, numbers), grown(tree, numbers), text)


@given(TREES)
@example((operator.add, "v", (operator.neg, (operator.neg, "v"))))
def test_no_parentheses_are_too_many(tree: Any) -> None:
    """Without any pair of them, it is another expression, or none."""
    text = str(grown(tree, {"v": Formula("v"), "w": Formula("w")}))
    whole = ast.dump(ast.parse(text))
    for start, end in pairs(text):
        if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
            continue  # those of a call
        if text[:start].rstrip().endswith("-") and text[start + 1] == "-":
            continue  # for the eye: -(-v), and v - (-v)
        less = f"{text[:start]} {text[start + 1 : end]} {text[end + 1 :]}".strip()
        with suppress(SyntaxError):
            assert ast.dump(ast.parse(less)) != whole, text


def pairs(text: str) -> Iterator[tuple[int, int]]:
    opened = []
    for i, character in enumerate(text):
        if character == "(":
            opened.append(i)
        elif character == ")":
            yield opened.pop(), i


# ---- the published models ------------------------------------------------------------------------

V = np.random.default_rng(1).uniform(-110.0, 60.0, 200)
EXTRA = {"g": 0.3, "diameter": np.array([0.3, 1.0, 20.0])}


def functions(membrane: Membrane) -> Iterator[tuple[str, Rate]]:
    for channel in membrane.channels:
        for gate in channel.gates:
            roles = gate.functions if isinstance(gate, Gate) else gate.rates
            for role, function in roles.items():
                yield f"{channel.name}.{gate.name}: {role}", function
        if channel.open is not None:
            yield f"{channel.name}: open", channel.open
        if not channel.ohmic:
            for ion, share in channel.ion.items():
                if callable(share):
                    yield f"{channel.name}: {ion}", share
    for pump in membrane.pumps:
        yield pump.name, pump.current
    for ion in membrane.ions:
        if callable(ion.reversal):
            yield f"e{ion.name}", ion.reversal
    for pool in membrane.pools:
        if callable(pool.surface_to_volume):
            yield pool.concentration, pool.surface_to_volume


@pytest.mark.parametrize("name", models.names())
def test_every_function_of_every_model_is_written_down(name: str) -> None:
    membrane = getattr(models, name)()
    random = np.random.default_rng(2)
    gates = {gate.name: random.uniform(0.0, 1.0, V.size) for _, gate in membrane.gates}
    quantities = gates | membrane.quantities(V, 31.0) | EXTRA
    # Concentrations all over the place, those of calcium by decades.
    for ion in membrane.ions:
        for key in (f"{ion.name}i", f"{ion.name}o"):
            quantities[key] = quantities[key] * 10.0 ** random.uniform(-1.0, 1.0, V.size)
    for what, function in functions(membrane):
        with np.errstate(over="ignore"):
            found = computed(str(formula(function)), quantities)
            expected = call(function, quantities)
        # Numbers are good to 1e-14; exponents of up to 1e3 make that 1e-11.
        np.testing.assert_allclose(found, expected, rtol=1e-11, err_msg=f"{name}, {what}")


def test_all_functions_are_looked_at() -> None:
    count = {name: len(list(functions(getattr(models, name)()))) for name in models.names()}
    assert count["hodgkin_huxley"] == 6
    assert count["passive"] == 0
    assert count["tigerholm"] == 2 * 17 + 3 + 1  # gates, openings, pump
    assert count["thio_autonomic"] == 2 * 27 + 2 + 2 + 3 + 1  # shares of hcn; a pool, too
