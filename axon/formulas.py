"""Functions written down: what a rate computes, as text.

A function is called with a `Formula` in place of each quantity, which notes what is done to it.
The text is NumPy without its ``np.``; put behind ``lambda v:`` it computes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from math import isfinite
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from axon.rates import Rate, arguments, call

LONGEST = 4000
"""Characters of a formula that somebody may still want to read."""

_ENDLESS = 10 * LONGEST  # characters, at which a function is not called to its end

# How tightly Python's operators bind.
_COMPARISON, _OR, _XOR, _AND, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(9)

_OPERATORS = {
    np.less: ("<", _COMPARISON),
    np.less_equal: ("<=", _COMPARISON),
    np.equal: ("==", _COMPARISON),
    np.not_equal: ("!=", _COMPARISON),
    np.greater: (">", _COMPARISON),
    np.greater_equal: (">=", _COMPARISON),
    np.bitwise_or: ("|", _OR),
    np.bitwise_xor: ("^", _XOR),
    np.bitwise_and: ("&", _AND),
    np.add: ("+", _SUM),
    np.subtract: ("-", _SUM),
    np.multiply: ("*", _PRODUCT),
    np.divide: ("/", _PRODUCT),
    np.floor_divide: ("//", _PRODUCT),
    np.remainder: ("%", _PRODUCT),
    np.negative: ("-", _SIGN),
    np.invert: ("~", _SIGN),
    np.power: ("**", _POWER),
}

Function = TypeVar("Function", bound=Callable[..., Any])


class Formula(NDArrayOperatorsMixin):
    """Text that grows by what is done to it: arithmetic, comparisons, functions of NumPy's.

    Parameters
    ----------
    text : str
    binding : int, optional
        How tightly its outermost operation binds; that of a name if not given.

    Raises
    ------
    ValueError
        If the text is much longer than anybody would read.
    TypeError
        Where Python wants a number or a truth, as ``math.exp`` and ``if`` do.

    Examples
    --------
    >>> v = Formula("v")
    >>> print(0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)))
    0.1 * (v + 40) / (1 - exp(-(v + 40) / 10))
    """

    __slots__ = ("binding", "text")

    def __init__(self, text: str, binding: int = _ATOM) -> None:
        if len(text) > _ENDLESS:
            raise ValueError(f"a formula of more than {_ENDLESS} characters")
        self.text, self.binding = text, binding

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"

    def __bool__(self) -> bool:
        raise TypeError(f"{self.text} is neither true nor false; use numpy.where, not if")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(f"{self.text} is no array")

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        if method != "__call__" or kwargs or ufunc.nout != 1:
            return NotImplemented
        new = _applied(ufunc, [formula_of(value) for value in inputs])
        if out is None:
            return new
        (changed,) = out  # in place, as in v += 1
        if not isinstance(changed, Formula):
            return NotImplemented
        changed.text, changed.binding = new.text, new.binding
        return changed

    def __array_function__(
        self, function: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if "out" in kwargs:
            return NotImplemented
        return _mention(function.__name__, args, kwargs)


def formula(function: Rate, names: Sequence[str] | None = None) -> Formula:
    """What a function computes.

    Parameters
    ----------
    function : callable
    names : sequence of str, optional
        What to hand it, in this order. If not given, it gets what it asks for by name.

    Returns
    -------
    Formula
        Constants are good to a part in 1e14. Of a function that accepts no formulas, since it
        decides by numbers what to do, or that makes more than `LONGEST` characters of them, only
        its name and arguments.
    """
    known = arguments(function) if names is None else names
    symbols = {name: Formula(name) for name in known}
    try:
        found = call(function, symbols) if names is None else function(*symbols.values())
        written = formula_of(found)
        if len(written.text) <= LONGEST:
            return written
    except Exception:  # the function is somebody else's, and may raise what it likes
        pass
    return Formula(f"{_name(function)}({', '.join(known)})")


def formula_of(value: Any) -> Formula:
    """A value as it stands in a formula.

    Raises
    ------
    TypeError
        If it has no place in one.
    """
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return Formula(f"array({formula_of(value.tolist())})")
    if isinstance(value, np.generic | np.ndarray):
        value = value.item()
    if isinstance(value, Formula):
        return value
    if value is None or isinstance(value, bool | str):
        return Formula(repr(value))
    if isinstance(value, list | tuple):
        return Formula(f"[{', '.join(formula_of(item).text for item in value)}]")
    if isinstance(value, Real):
        text = number(value)
        binding = _PRODUCT if "/" in text else _SIGN if text.startswith("-") else _ATOM
        return Formula(text, binding)
    raise TypeError(f"{value!r} has no place in a formula")


def number(value: Real | float) -> str:
    """A number, as short as it can be: 12 digits if it is as good as these, else all.

    Examples
    --------
    >>> number(0.1 + 0.2), number(1e-7), number(96485.33212331), number(1 / 3)
    ('0.3', '1e-7', '96485.33212331', '1 / 3')
    """
    if isinstance(value, Integral):
        return str(int(value))
    value = float(value)
    text = f"{value:.12g}"
    if not isfinite(value):
        return text
    if abs(float(text) - value) > 1e-14 * abs(value):
        from fractions import Fraction

        p, q = Fraction(value).limit_denominator(99).as_integer_ratio()
        if q > 1 and abs(p) < 1000 and p / q == value:
            return f"{p} / {q}"
        text = repr(value).removesuffix(".0")
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def named(function: Function) -> Function:
    """The function, which formulas mention by its name instead of by what it computes."""

    @wraps(function)
    def mentioned(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Formula) for value in (*args, *kwargs.values())):
            return _mention(function.__name__, args, kwargs)
        return function(*args, **kwargs)

    return cast(Function, mentioned)


def _applied(ufunc: np.ufunc, operands: Sequence[Formula]) -> Formula:
    if ufunc not in _OPERATORS:
        return _mention("abs" if ufunc is np.absolute else ufunc.__name__, operands, {})
    sign, binding = _OPERATORS[ufunc]
    if len(operands) == 1:
        return Formula(sign + _enclosed(operands[0], binding + 1), binding)
    left, right = operands
    if binding == _SUM and right.binding == _SIGN and right.text.startswith("-"):
        # v - -70 is v + 70, to the last bit.
        sign = "-" if sign == "+" else "+"
        right = Formula(right.text[1:])
    if binding == _POWER:
        text = _enclosed(left, _ATOM) + sign + _enclosed(right, _SIGN)
    else:
        least = binding + 1 if binding == _COMPARISON else binding
        text = f"{_enclosed(left, least)} {sign} {_enclosed(right, binding + 1)}"
    return Formula(text, binding)


def _enclosed(part: Formula, least: int) -> str:
    """In parentheses, unless it binds so tightly."""
    return part.text if part.binding >= least else f"({part.text})"


def _mention(name: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Formula:
    given = [formula_of(value).text for value in args]
    given += [f"{key}={formula_of(value)}" for key, value in kwargs.items()]
    return Formula(f"{name}({', '.join(given)})")


def _name(function: Rate) -> str:
    name = str(getattr(function, "__name__", ""))
    return name if name.isidentifier() else "function"
