"""Elementary functions with the same bits on every machine that has fused multiply-adds.

NumPy's own depend, in the last bit, on the processor. Rate functions are written with NumPy's, so
they are given arrays of a kind that has the kernel do that work instead: the tables of rates and
the state at which a run begins are then the same everywhere, and the run with them.
The noise of stimuli is made with these functions too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from axon import _kernel

_CODES = {name: code for code, name in enumerate(_kernel.operations())}
_MOST_MULTIPLIED = 64

_ARCSINE = tuple(math.comb(2 * k, k) / (4**k * (2 * k + 1)) for k in range(12))
"""Its Taylor series, which up to an eighth of a right angle is exact to rounding."""


def exp(x: Any) -> Any:
    """e to the power of x."""
    return _apply("EXP", x)


def expm1(x: Any) -> Any:
    """exp(x) - 1."""
    return _apply("EXPM1", x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return _apply("LOG", x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _apply("TANH", x)


def exprel(x: Any) -> Any:
    """x / (exp(x) - 1); 1, its limit, at 0."""
    safe = np.where(x == 0.0, 1.0, x)
    return np.where(x == 0.0, 1.0, safe / expm1(safe))


def log1p(x: Any) -> npt.NDArray[np.float64]:
    """Logarithm of 1 + x."""
    above = 1.0 + x
    rounded = above - 1.0  # its logarithm times x / rounded is right to rounding
    with np.errstate(invalid="ignore"):
        found = log(above) * (x / np.where(rounded == 0.0, 1.0, rounded))
    return np.asarray(np.where(rounded == 0.0, x, np.where(np.isinf(above), above, found)))


def arcsin(x: Any) -> npt.NDArray[np.float64]:
    """Angle, -pi/2 to pi/2, whose sine is x."""
    for _ in range(3):  # sine of half the angle
        x = x / np.sqrt(2.0 + 2.0 * np.sqrt((1.0 - x) * (1.0 + x)))
    return 8.0 * odd_series(_ARCSINE, x)


def odd_series(coefficients: tuple[float, ...], x: Any) -> npt.NDArray[np.float64]:
    """The sum of coefficients[k] x^(2k + 1)."""
    square = x * x
    series: npt.NDArray[np.float64] = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        series = series * square + coefficient
    return np.asarray(series * x)


def power(x: Any, y: Any) -> Any:
    """x to the power of y: whole powers by multiplication, others by the logarithm."""
    exponent = float(y) if np.ndim(y) == 0 else np.nan
    if abs(exponent) <= _MOST_MULTIPLIED and exponent == int(exponent):
        result = np.ones_like(x, np.float64)
        for bit in bin(abs(int(exponent)))[2:]:
            result = result * result
            if bit == "1":
                result = result * x
        return 1.0 / result if exponent < 0 else result
    if not np.all(np.greater(x, 0.0)):
        return np.power(x, y)  # whose last bit is not worth the cases that there are
    return exp(np.asarray(y) * log(x))


def _apply(operation: str, x: Any) -> Any:
    return _kernel.elementary(_isa(os.environ.get("AXON_ISA")), _CODES[operation], x)


@lru_cache
def _isa(name: str | None) -> int:
    """Number of the instruction set that simulations use, too."""
    return list(_kernel.instruction_sets()).index(_kernel.chosen_isa(name or None))


_OURS: dict[np.ufunc, Callable[..., Any]] = {
    np.exp: exp,
    np.expm1: expm1,
    np.log: log,
    np.log1p: log1p,
    np.tanh: tanh,
    np.power: power,
    np.float_power: power,
    np.log10: lambda x: log(x) * (1.0 / log(10.0)),
    np.log2: lambda x: log(x) * (1.0 / log(2.0)),
    np.exp2: lambda x: exp(np.asarray(x) * log(2.0)),
    np.cosh: lambda x: 0.5 * (exp(x) + exp(-np.asarray(x))),
    np.sinh: lambda x: 0.5 * (expm1(x) - expm1(-np.asarray(x))),
}


class Portable(np.ndarray):
    """An array of doubles whose elementary functions are those of this module."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [unwrapped(x) for x in inputs]
        if not options and method == "__call__":
            return wrapped(_OURS.get(ufunc, ufunc)(*plain))
        if "out" in options:
            options["out"] = tuple(x.view(np.ndarray) for x in options["out"])
        return wrapped(getattr(ufunc, method)(*plain, **options))

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        return wrapped(super().__array_function__(function, types, arguments, options))


def wrapped(value: Any) -> Any:
    """A number or an array as a `Portable` one; anything else as it is."""
    if type(value) is np.ndarray:
        return value.view(Portable) if value.dtype == np.float64 else value
    if isinstance(value, float):
        return np.array(value).view(Portable)
    return value


def unwrapped(value: Any) -> Any:
    """What a function made of `wrapped` arguments: a plain array, or a number."""
    if type(value) is Portable:
        return value.view(np.ndarray) if value.ndim else value.item()
    return value


def least_squares(matrix: np.ndarray, right: np.ndarray, rcond: float) -> np.ndarray:
    """The shortest x for which matrix x comes nearest to `right`; for a handful of unknowns.

    By elimination, if it meets no pivot that tells of a matrix near a singular one. Otherwise by a
    singular value decomposition: rotations make the columns orthogonal (M. R. Hestenes,
    J. SIAM 6, 51-90 (1958)). Singular values below `rcond` times the largest count as none.
    """
    solution = _eliminated(matrix, right, 1e4 * rcond)  # far above what would count as none
    if solution is not None:
        return np.array(solution)
    n = len(right)
    columns = [list(map(float, matrix[:, j])) for j in range(n)]
    turned = [[float(i == j) for i in range(n)] for j in range(n)]
    for _ in range(60):
        rotated = False
        squares = [sum([x * x for x in column]) for column in columns]
        for p in range(n):
            for q in range(p + 1, n):
                gamma = sum([x * y for x, y in zip(columns[p], columns[q], strict=True)])
                if gamma * gamma <= 1e-32 * squares[p] * squares[q]:
                    continue
                rotated = True
                zeta = (squares[q] - squares[p]) / (2.0 * gamma)
                t = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + (1.0 + zeta * zeta) ** 0.5)
                squares[p] = max(squares[p] - t * gamma, 0.0)  # rounding may leave less
                squares[q] = max(squares[q] + t * gamma, 0.0)
                c = 1.0 / (1.0 + t * t) ** 0.5
                s = c * t
                for both in (columns, turned):
                    x, y = both[p], both[q]
                    both[p] = [c * u - s * v for u, v in zip(x, y, strict=True)]
                    both[q] = [s * u + c * v for u, v in zip(x, y, strict=True)]
        if not rotated:
            break
    squares = [sum(x * x for x in column) for column in columns]
    least = rcond * rcond * max(squares)
    x = [0.0] * n
    for column, direction, square in zip(columns, turned, squares, strict=True):
        if square > least:
            amount = sum(u * float(v) for u, v in zip(column, right, strict=True)) / square
            x = [u + amount * v for u, v in zip(x, direction, strict=True)]
    return np.array(x)


def _eliminated(matrix: np.ndarray, right: np.ndarray, least: float) -> list[float] | None:
    """The solution, unless a pivot is below `least` times the largest element."""
    rows = [[*row, b] for row, b in zip(matrix.tolist(), right.tolist(), strict=True)]
    n = len(rows)
    least *= float(np.abs(matrix).max(initial=0.0))
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        first = rows[k]
        if not abs(first[k]) > least:
            return None
        for i in range(k + 1, n):
            row = rows[i]
            factor = row[k] / first[k]
            if factor != 0.0:
                rows[i] = [a - factor * b for a, b in zip(row, first, strict=True)]
    x = [0.0] * n
    for k in reversed(range(n)):
        row = rows[k]
        x[k] = (row[n] - sum([row[j] * x[j] for j in range(k + 1, n)])) / row[k]
    return x


def distinct(values: np.ndarray) -> np.ndarray:
    """Values in their order, each once: what np.unique returns, which first loads numpy.ma."""
    ordered = np.sort(values)
    new = np.append(True, ordered[1:] != ordered[:-1])[: ordered.size]
    return np.asarray(ordered[new])
