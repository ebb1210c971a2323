"""Values over which a study is repeated: lists, ranges and random draws, and the grid they span.

The keys of one axis go together, and axes multiply. Nothing is computed before it is looked at:
every value follows from its place alone, so a grid of millions of points takes no memory.

Numbers are reckoned in decimal, from what is written, and rounded once, to the nearest float. So
the ends of a range are those that were given, 0.2 to 1.6 in 8 has 0.6 and not 0.6000000000000001,
and no value depends on the machine.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from fractions import Fraction
from statistics import NormalDist
from typing import Any, TypeVar, overload

import numpy as np

from axon.errors import StudyError
from axon.records import Value
from axon.units import as_written, is_whole

__all__ = [
    "Axis",
    "Draws",
    "Grid",
    "grid",
    "linear",
    "logarithmic",
    "lognormal",
    "loguniform",
    "normal",
    "read",
    "uniform",
]

T = TypeVar("T")

MAX_POINTS = 10**12  # more than anybody runs, and few enough for len()
MAX_SEED = 2**64 - 1
MAX_SIGMA = 10  # of a logarithm: a factor of 22,000 at one standard deviation
MIN_MASS = Decimal("1e-9")  # of a distribution between the bounds of its draws

# Far more digits than a float has: of what is lost, none of them shows.
_DIGITS = Context(
    prec=50,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
_ROOT_OF_2_PI = Decimal("2.50662827463100050241576528481104525300698674060993831663")


class _Lazy(Sequence[T]):
    """A sequence whose items are made when they are looked at, each from its number alone."""

    def _at(self, k: int) -> T:
        raise NotImplementedError

    @overload
    def __getitem__(self, k: int) -> T: ...
    @overload
    def __getitem__(self, k: slice) -> list[T]: ...
    def __getitem__(self, k: int | slice) -> T | list[T]:
        which = range(len(self))[k]
        return self._at(which) if isinstance(which, int) else [self._at(i) for i in which]


class Axis(Value):
    """Keys of a study whose values go together, from place to place."""

    keys: tuple[str, ...]
    values: Sequence[tuple[Any, ...]]
    """At each place those of all keys, in their order."""

    def __len__(self) -> int:
        return len(self.values)


class Grid(Value):
    """Points at which a study is run: every place of every axis with every one of the others.

    ``grid[k]`` are the changes of the k-th point, for `axon.study.load` or `Study.changed`; along
    the last axis they change from point to point. `grid` and `read` make it.
    """

    axes: tuple[Axis, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all axes, in their order."""
        return tuple(key for axis in self.axes for key in axis.keys)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many places each axis has."""
        return tuple(map(len, self.axes))

    def __len__(self) -> int:
        return math.prod(self.shape)

    def index(self, k: int) -> tuple[int, ...]:
        """Along each axis, the place of the k-th point; from the end if `k` is negative."""
        left = range(len(self))[k]
        places = []
        for length in reversed(self.shape):
            left, place = divmod(left, length)
            places.append(place)
        return tuple(reversed(places))

    @overload
    def __getitem__(self, k: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, k: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, k: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(k, slice):
            return [self[i] for i in range(len(self))[k]]
        return {
            key: value
            for axis, place in zip(self.axes, self.index(k), strict=True)
            for key, value in zip(axis.keys, axis.values[place], strict=True)
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[k] for k in range(len(self)))


def grid(axes: Mapping[Any, Any] | Sequence[Mapping[str, Any]], seed: int | None = None) -> Grid:
    """The grid that axes span.

    Parameters
    ----------
    axes : mapping, or sequence of mappings
        Either values by key, where each key is an axis of its own, and keys in a tuple go
        together, with a tuple of values for each place. Or a mapping for each axis, in which all
        keys go together, as in ``[[sweep.axes]]`` of a study; its ``count`` is that of draws
        that don't say their own. Values are a list or an array, or what `linear`, `logarithmic`,
        `uniform`, `loguniform`, `normal` and `lognormal` return.
    seed : int, optional
        From 0 to 2**64 - 1; needed where something is drawn at random. The k-th draw follows
        from `seed`, its key and k alone: other keys don't change it, and more draws go on where
        fewer ended. It has the same bits on every machine.

    Returns
    -------
    Grid

    Raises
    ------
    StudyError
        If there is nothing to repeat, a key stands in two places, what goes together differs in
        length, or a value is none that a study holds; one line for each problem.

    Examples
    --------
    >>> from axon import ranges
    >>> diameters = ranges.linear(0.2, 1.6, 8)
    >>> cables = [(70, 1.0), (99, 2.0)]
    >>> fibres = ranges.grid({"axon.diameter": diameters, ("axon.Ra", "axon.cm"): cables})
    >>> len(fibres), fibres[5]
    (16, {'axon.diameter': 0.6, 'axon.Ra': 99, 'axon.cm': 2.0})
    """
    return _grid(_by_key(axes) if isinstance(axes, Mapping) else axes, seed, "")


def read(table: Any, path: str = "sweep") -> Grid:
    """The grid that a study's ``[sweep]`` names.

    Parameters
    ----------
    table : dict
        With ``axes``, a list of tables as for `grid` in which tables may stand for ranges, such
        as ``{"start": 0.2, "stop": 1.6, "count": 8}`` or ``{"draw": "normal", ...}``; and with
        ``seed`` if anything is drawn.
    path : str, optional
        What errors call the table.

    Returns
    -------
    Grid

    Raises
    ------
    StudyError
        If something is wrong with it; one line for each problem.

    Examples
    --------
    >>> diameters = {"axon.diameter": {"start": "1 um", "stop": "4 um", "step": "0.5 um"}}
    >>> read({"axes": [diameters]})[3]
    {'axon.diameter': '2.5 um'}
    """
    if not isinstance(table, dict):
        raise StudyError(f"{path} = {reprlib.repr(table)} is no table; write [[{path}.axes]]")
    problems = _strange(table, ["seed", "axes"], f"{path}.", path)
    if "axes" not in table:
        problems.append(f"{path}.axes is missing; write [[{path}.axes]]")
    else:
        with _collecting(problems):
            found = _grid(table["axes"], table.get("seed"), f"{path}.")
    _refuse(problems)
    return found


# -- ranges ---------------------------------------------------------------------------------------


def linear(
    start: float | str,
    stop: float | str,
    count: int | None = None,
    *,
    step: float | str | None = None,
) -> Sequence[Any]:
    """Values at equal distances, both ends among them.

    Parameters
    ----------
    start, stop : float or str
        The ends. If these are quantities such as ``"0.2 um"``, in the same unit, so are all values.
    count : int, optional
        How many values, from 2 on.
    step : float or str, optional
        In place of `count`: from one value to the next. It must lead from `start` to `stop`.

    Returns
    -------
    sequence
        Of floats, or of texts with a unit. The numbers are int if all are whole, and written so.

    Raises
    ------
    StudyError
        If an argument is no number, or they don't fit together.

    Examples
    --------
    >>> linear(0.2, 1.6, 8)[:]
    [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6]
    >>> linear("3 nA", "1 nA", step="-1 nA")[:]
    ['3 nA', '2 nA', '1 nA']
    """
    problems: list[str] = []
    optional = {} if step is None else {"step": step}
    given, unit = _numbers(problems, start=start, stop=stop, **optional)
    if count is None and step is None:
        problems.append("count is missing; write it, or step in its place")
    if count is not None and step is not None:
        problems.append(f"{_said('step', step)} says how many, and so does count; leave one out")
    if count is not None:
        _check_whole(problems, count, "count", 2, MAX_POINTS)
    _refuse(problems)
    _check_apart(given, start, stop)
    a, b = Fraction(given["start"]), Fraction(given["stop"])
    steps = _steps(given, step, stop) if count is None else int(count) - 1
    written_whole = all(number.as_tuple().exponent == 0 for number in given.values())
    return _Linear(a, b, steps + 1, written_whole and (b - a) % steps == 0, unit)


def logarithmic(start: float | str, stop: float | str, count: int) -> Sequence[Any]:
    """Values at equal ratios, both ends among them.

    Parameters
    ----------
    start, stop : float or str
        The ends, both greater than 0 or both less. If these are quantities, so are all values.
    count : int
        How many values, from 2 on.

    Returns
    -------
    sequence
        Of floats, or of texts with a unit.

    Raises
    ------
    StudyError
        If an argument is no number, or the ends have no ratio.

    Examples
    --------
    >>> logarithmic(0.1, 100, 4)[:]
    [0.1, 1.0, 10.0, 100.0]
    """
    problems: list[str] = []
    given, unit = _numbers(problems, start=start, stop=stop)
    _check_whole(problems, count, "count", 2, MAX_POINTS)
    _refuse(problems)
    _check_apart(given, start, stop)
    a, b = given["start"], given["stop"]
    if not (min(a, b) > 0 or max(a, b) < 0):
        raise StudyError(
            f"{_said('start', start)} and {_said('stop', stop)} have no ratio; write two that are "
            "greater than 0, or two that are less, or a linear range"
        )
    return _Logarithmic(a, b, int(count), unit)


def _steps(given: Mapping[str, Decimal], step: object, stop: object) -> int:
    """How many steps go from start to stop."""
    way, each = Fraction(given["stop"]) - Fraction(given["start"]), Fraction(given["step"])
    said = _said("step", step)
    if each == 0 or way / each < 0:
        raise StudyError(f"{said} doesn't lead to {_said('stop', stop)}; turn its sign")
    steps = way / each
    if steps.denominator != 1:
        raise StudyError(
            f"{said} leads past {_said('stop', stop)}, and not to it; write another, or count"
        )
    if steps >= MAX_POINTS:
        raise StudyError(f"{said} makes more than {MAX_POINTS:,} values; write a longer one")
    return int(steps)


def _check_apart(given: Mapping[str, Decimal], start: object, stop: object) -> None:
    if given["start"] == given["stop"]:
        raise StudyError(
            f"{_said('stop', stop)} is where {_said('start', start)} is; write another, or a list"
        )


class _Linear(Value, _Lazy[Any]):
    start: Fraction
    stop: Fraction
    size: int
    whole: bool
    unit: str

    def __len__(self) -> int:
        return self.size

    def _at(self, k: int) -> Any:
        number = self.start + (self.stop - self.start) * k / (self.size - 1)
        return _with_unit(int(number) if self.whole else float(number), self.unit)


class _Logarithmic(Value, _Lazy[Any]):
    start: Decimal
    stop: Decimal
    size: int
    unit: str

    def __len__(self) -> int:
        return self.size

    def _at(self, k: int) -> Any:
        last = self.size - 1
        if k in (0, last):
            return _with_unit(float(self.stop if k else self.start), self.unit)
        with localcontext(_DIGITS):
            logs = abs(self.start).ln() * (last - k) + abs(self.stop).ln() * k
            size = float((logs / last).exp())
        return _with_unit(math.copysign(size, self.start), self.unit)


# -- random draws ---------------------------------------------------------------------------------


def uniform(low: float | str, high: float | str, count: int | None = None) -> Draws:
    """Draws of which each value between two is as likely as the others.

    Parameters
    ----------
    low, high : float or str
        Least and largest value. If these are quantities, in the same unit, so are the draws.
    count : int, optional
        How many; those of the other values of its axis if not given.

    Returns
    -------
    Draws
        For `grid`, which gives them a seed.

    Raises
    ------
    StudyError
        If an argument is no number, or `low` is not less than `high`.
    """
    given, unit = _parameters(count, low=low, high=high)
    return _draws(_Flat(given["low"], given["high"]), given, unit, count)


def loguniform(low: float | str, high: float | str, count: int | None = None) -> Draws:
    """Draws whose logarithm is `uniform`.

    Parameters
    ----------
    low, high, count
        As for `uniform`; `low` must be greater than 0.

    Returns
    -------
    Draws
        For `grid`, which gives them a seed.

    Raises
    ------
    StudyError
        As for `uniform`.
    """
    given, unit = _parameters(count, positive=("low", "high"), low=low, high=high)
    with localcontext(_DIGITS):
        law = _Flat(given["low"].ln(), given["high"].ln())
    return _draws(law, given, unit, count, logarithmic=True)


def normal(
    mean: float | str,
    sd: float | str,
    low: float | str | None = None,
    high: float | str | None = None,
    count: int | None = None,
) -> Draws:
    """Draws from a normal distribution, or from what lies of it between bounds.

    Parameters
    ----------
    mean, sd : float or str
        Mean and standard deviation, before it is bounded. If these are quantities, in the same
        unit, so are the draws.
    low, high : float or str, optional
        Bounds. Draws are spread over what lies between them, not moved to them.
    count : int, optional
        As for `uniform`.

    Returns
    -------
    Draws
        For `grid`, which gives them a seed.

    Raises
    ------
    StudyError
        If an argument is no number, `sd` is not greater than 0, or next to nothing of the
        distribution lies between the bounds.
    """
    given, unit = _parameters(
        count, positive=("sd",), optional=("low", "high"), mean=mean, sd=sd, low=low, high=high
    )
    with localcontext(_DIGITS):
        law = _bell(given["mean"], given["sd"], given.get("low"), given.get("high"))
    return _draws(law, given, unit, count)


def lognormal(
    median: float | str,
    sigma: float,
    low: float | str | None = None,
    high: float | str | None = None,
    count: int | None = None,
) -> Draws:
    """Draws whose logarithm is `normal`.

    Parameters
    ----------
    median : float or str
        Before it is bounded; greater than 0. If it is a quantity, so are the draws.
    sigma : float
        Standard deviation of the natural logarithm, from 0 to 10.
    low, high, count
        As for `normal`; bounds must be greater than 0.

    Returns
    -------
    Draws
        For `grid`, which gives them a seed.

    Raises
    ------
    StudyError
        As for `normal`.
    """
    given, unit = _parameters(
        count,
        positive=("median", "sigma", "low", "high"),
        optional=("low", "high"),
        median=median,
        sigma=sigma,
        low=low,
        high=high,
    )
    if given["sigma"] > MAX_SIGMA:
        raise StudyError(
            f"{_said('sigma', sigma)} is more than {MAX_SIGMA}; of a logarithm, 0.1 is some 10 %"
        )
    with localcontext(_DIGITS):
        logs = {name: value.ln() for name, value in given.items() if name != "sigma"}
        law = _bell(logs["median"], given["sigma"], logs.get("low"), logs.get("high"))
    return _draws(law, given, unit, count, logarithmic=True)


def _draws(
    law: _Flat | _Bell,
    given: Mapping[str, Decimal],
    unit: str,
    count: int | None,
    logarithmic: bool = False,
) -> Draws:
    return Draws(law, logarithmic, given.get("low"), given.get("high"), unit, count)


def _parameters(
    count: int | None,
    *,
    positive: Sequence[str] = (),
    optional: Sequence[str] = (),
    **given: float | str | None,
) -> tuple[dict[str, Decimal], str]:
    """Numbers of a distribution, and the unit of its draws."""
    problems: list[str] = []
    said = {name: v for name, v in given.items() if v is not None or name not in optional}
    numbers, unit = _numbers(problems, **said)
    for name in positive:
        if name in numbers and not numbers[name] > 0:
            problems.append(f"{_said(name, given[name])} is not greater than 0; write one that is")
    if numbers.keys() >= {"low", "high"} and not numbers["low"] < numbers["high"]:
        problems.append(
            f"{_said('low', given['low'])} is not below {_said('high', given['high'])}; swap them"
        )
    if count is not None:
        _check_whole(problems, count, "count", 1, MAX_POINTS)
    _refuse(problems)
    return numbers, unit


class _Flat(Value):
    """A distribution by the inverse of its cumulative function; as likely everywhere."""

    low: Decimal
    high: Decimal

    def at(self, u: Decimal) -> Decimal:
        return self.low + (self.high - self.low) * u


class _Bell(Value):
    """A normal distribution, of which `mass` is left above what lies `below` its lower bound."""

    mean: Decimal
    sd: Decimal
    below: Decimal
    mass: Decimal

    def at(self, u: Decimal) -> Decimal:
        return self.mean + self.sd * _quantile(self.below + self.mass * u)


def _bell(mean: Decimal, sd: Decimal, low: Decimal | None, high: Decimal | None) -> _Bell:
    below = Decimal(0) if low is None else _below((low - mean) / sd)
    mass = (Decimal(1) if high is None else _below((high - mean) / sd)) - below
    if mass < MIN_MASS:
        leave = (
            "high leaves" if low is None else "low leaves" if high is None else "low, high leave"
        )
        raise StudyError(
            f"{leave} less than a thousand-millionth of the distribution; write another"
        )
    return _Bell(mean, sd, below, mass)


def _below(z: Decimal) -> Decimal:
    """How much of the normal distribution lies below `z` standard deviations.

    By the series of M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions (1964),
    eq. 26.2.11, whose terms all have one sign.
    """
    if abs(z) > 15:  # where less than 1e-50 is left
        return Decimal(z > 0)
    term = total = z
    n = 1
    while abs(term) > abs(total) * Decimal("1e-52"):
        n += 2
        term *= z * z / n
        total += term
    return Decimal("0.5") + _density(z) * total


def _density(z: Decimal) -> Decimal:
    return (-z * z / 2).exp() / _ROOT_OF_2_PI


def _quantile(p: Decimal) -> Decimal:
    """The inverse of `_below`.

    A step of Newton's method squares the error of a value with a float's digits, so that none of
    the digits that the platform computes differently is left in the float that this becomes.
    """
    if p > Decimal("0.5"):
        return -_quantile(1 - p)  # there a float has no room for what is near 1
    z = Decimal(NormalDist().inv_cdf(float(p)))
    return z + (p - _below(z)) / _density(z)


class Draws(Value):
    """Values to be drawn at random; made by `uniform`, `loguniform`, `normal` and `lognormal`."""

    law: _Flat | _Bell
    logarithmic: bool
    """Whether the law is that of the logarithm."""
    low: Decimal | None
    high: Decimal | None
    unit: str
    count: int | None

    def value(self, u: Decimal) -> Any:
        """That below which a share `u` of the distribution lies."""
        with localcontext(_DIGITS):
            number = self.law.at(u)
            number = number.exp() if self.logarithmic else number
            # the last of many digits may be beyond
            number = number if self.low is None else max(number, self.low)
            number = number if self.high is None else min(number, self.high)
        return _with_unit(float(number), self.unit)


class _Drawn(Value, _Lazy[Any]):
    """Draws by number: a hash (M.-J. Saarinen, J.-P. Aumasson, RFC 7693 (2015)) tells them."""

    draws: Draws
    size: int
    seed: int
    key: str

    def __len__(self) -> int:
        return self.size

    def _at(self, k: int) -> Any:
        told = f"{self.seed} {self.key} {k}".encode(errors="surrogatepass")
        number = int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big")
        with localcontext(_DIGITS):
            u = (number + Decimal("0.5")) / 2**64
        return self.draws.value(u)


# -- grids ----------------------------------------------------------------------------------------


class _Places(Value, _Lazy[tuple[Any, ...]]):
    """Sequences of one length, place by place."""

    columns: tuple[Sequence[Any], ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def _at(self, k: int) -> tuple[Any, ...]:
        return tuple(column[k] for column in self.columns)


_Column = Sequence[Any] | Draws


def _grid(axes: Any, seed: Any, path: str) -> Grid:
    """The grid of axes as `grid` and `read` take them; `path` is what stands before names."""
    if not isinstance(axes, Sequence) or isinstance(axes, str):
        raise StudyError(
            f"{path}axes = {reprlib.repr(axes)} is no list of tables; write [[{path}axes]]"
        )
    problems: list[str] = []
    found: list[dict[str, _Column]] = []
    for n, axis in enumerate(axes):
        with _collecting(problems):
            found.append(_columns(axis, f"{path}axes[{n}]"))
    if not axes:
        problems.append(f"{path}axes = [] names no key; write at least one axis")
    problems += _clashes([key for columns in found for key in columns])
    drawn = [key for columns in found for key, c in columns.items() if isinstance(c, Draws)]
    if seed is not None:
        _check_whole(problems, seed, f"{path}seed", 0, MAX_SEED)
    elif drawn:
        problems.append(
            f"{path}seed is missing: {drawn[0]} is drawn at random; write for instance seed = 1"
        )
    _refuse(problems)
    made = Grid(
        tuple(
            Axis(
                tuple(columns),
                _Places(tuple(_seeded(column, seed, key) for key, column in columns.items())),
            )
            for columns in found
        )
    )
    if math.prod(made.shape) > MAX_POINTS:
        raise StudyError(f"{path}axes make more than {MAX_POINTS:,} points; write fewer values")
    return made


def _seeded(column: _Column, seed: int, key: str) -> Sequence[Any]:
    if not isinstance(column, Draws):
        return column
    assert column.count is not None  # or `_columns` would have said so
    return _Drawn(column, column.count, int(seed), key)


def _by_key(values: Mapping[Any, Any]) -> list[dict[Any, Any]]:
    """An axis for each key; a tuple of keys has tuples of values."""
    axes: list[dict[Any, Any]] = []
    for keys, places in values.items():
        if not isinstance(keys, tuple):
            axes.append({keys: places})
            continue
        each = list(places) if isinstance(places, Iterable) else [places]
        for place in each:
            if not isinstance(place, tuple | list) or len(place) != len(keys):
                raise StudyError(
                    f"{keys!r}: {reprlib.repr(place)} is not one value for each of the keys; "
                    f"write tuples of {len(keys)}"
                )
        if problems := _clashes(keys):
            raise StudyError(problems[0])
        axes.append({key: [place[n] for place in each] for n, key in enumerate(keys)})
    return axes


def _columns(axis: Any, path: str) -> dict[str, _Column]:
    """The values of each key of an axis, all of one length."""
    if not isinstance(axis, Mapping):
        raise StudyError(f"{path} = {reprlib.repr(axis)} is no table of keys and their values")
    problems: list[str] = []
    columns: dict[str, _Column] = {}
    for key, values in axis.items():
        if not isinstance(key, str):
            problems.append(f"{path}: {key!r} is no key; write for instance 'axon.diameter'")
        elif key == "count":
            _check_whole(problems, values, f"{path}.count", 1, MAX_POINTS)
        else:
            with _collecting(problems):
                columns[key] = _column(values, f'{path}."{key}"')
    if not columns and not problems:
        problems.append(f'{path} names no key; write for instance "axon.diameter" = [0.5, 1.0]')
    _refuse(problems)
    lengths = {
        f"{key} has": column.count if isinstance(column, Draws) else len(column)
        for key, column in columns.items()
    }
    lengths = {"count says": axis.get("count")} | lengths
    told = {key: n for key, n in lengths.items() if n is not None}
    if not told:
        raise StudyError(f"{path}.count is missing: nothing says how many are drawn; write it")
    if len(set(told.values())) > 1:
        raise StudyError(
            f"{path}: {', '.join(f'{key} {n}' for key, n in told.items())}; what is in one "
            "axis goes together: write as many of each, or an axis for each"
        )
    count = int(next(iter(told.values())))
    return {
        key: replace(column, count=count) if isinstance(column, Draws) else column
        for key, column in columns.items()
    }


def _column(values: Any, path: str) -> _Column:
    """The values of one key, where a table stands for a range."""
    if isinstance(values, Draws | _Lazy):
        return values
    if isinstance(values, Mapping):
        return _range(values, path)
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise StudyError(
            f"{path} = {reprlib.repr(values)} is no list and no range; write [..., ...], or "
            "{ start = ..., stop = ..., count = ... }"
        )
    if not values:
        raise StudyError(f"{path} = [] has no value; write at least one")
    _refuse(
        [
            f"{path}[{k}] = {reprlib.repr(value)} is nothing a study holds; write 10 or '10 mm'"
            for k, value in enumerate(values)
            if not isinstance(value, str | int | float | list | dict | np.generic)
        ]
    )
    return tuple(values)


def _range(table: Mapping[str, Any], path: str) -> _Column:
    """What a table describes: its key ``draw`` or ``scale`` names the function."""
    makers: Mapping[str, Callable[..., _Column]]
    choice, makers = ("draw", _DRAWS) if "draw" in table else ("scale", _SCALES)
    arguments = dict(table)
    chosen = arguments.pop(choice, "linear")
    maker = makers.get(chosen) if isinstance(chosen, str) else None
    if maker is None:
        raise StudyError(
            f"{path}.{choice} = {reprlib.repr(chosen)} is not one of {', '.join(makers)}"
        )
    parameters = inspect.signature(maker).parameters
    if choice == "scale" and not arguments.keys() & parameters.keys():
        raise StudyError(
            f"{path} = {reprlib.repr(dict(table))} is no range; write {', '.join(parameters)}, and "
            'keys with dots in quotes: "axon.diameter" = ...'
        )
    problems = _strange(arguments, list(parameters), f"{path}.", f"{path}")
    needed = [key for key, each in parameters.items() if each.default is each.empty]
    known = {key: arguments.get(key) for key in parameters if key in arguments or key in needed}
    with _collecting(problems, f"{path}."):
        made = maker(**known)
    _refuse(problems)
    return made


_SCALES: Mapping[str, Callable[..., Sequence[Any]]] = {"linear": linear, "log": logarithmic}
_DRAWS: Mapping[str, Callable[..., Draws]] = {
    law.__name__: law for law in (uniform, loguniform, normal, lognormal)
}


# -- what is wrong --------------------------------------------------------------------------------


def _clashes(keys: Sequence[str]) -> list[str]:
    """Problems with keys of which one would undo what another does."""
    problems = []
    seen: set[str] = set()
    within: dict[str, str] = {}  # what holds the place of a key, and that key
    for key in keys:
        if key in seen:
            problems.append(f"{key} stands twice among the axes; leave one out")
        elif key in within:
            problems.append(f"{key} comes after {within[key]}, which it replaces; write it before")
        seen.add(key)
        for step in re.finditer(r"[.\[]", key):
            within.setdefault(key[: step.start()], key)
    return problems


def _numbers(problems: list[str], **given: Any) -> tuple[dict[str, Decimal], str]:
    """Numbers that share a unit, or have none; a standard deviation `sigma` never has one."""
    numbers: dict[str, Decimal] = {}
    of: dict[str, str] = {}
    for name, value in given.items():
        if value is None:
            problems.append(f"{name} is missing; write a number, or one with a unit")
            continue
        with _collecting(problems):
            numbers[name], of[name] = as_written(value, name, error=StudyError)
    if of.pop("sigma", ""):
        problems.append(f"{_said('sigma', given['sigma'])} has a unit; write a number alone")
    if len(set(of.values())) > 1:
        said = ", ".join(_said(name, given[name]) for name in of)
        problems.append(f"{said} are not in one unit; write all of them in the same")
    return numbers, next(iter(of.values()), "")


def _said(name: str, value: object) -> str:
    return f"{name} = {reprlib.repr(value)}"


def _with_unit(number: float, unit: str) -> Any:
    return f"{number!r} {unit}" if unit else number


def _check_whole(problems: list[str], value: object, name: str, least: int, most: int) -> None:
    if value is None:
        problems.append(f"{name} is missing; write for instance 10")
    elif not is_whole(value):
        problems.append(f"{name} = {reprlib.repr(value)} is no whole number; write for instance 10")
    elif not least <= value <= most:
        problems.append(f"{name} = {value} is not from {least} to {most}; write for instance 10")


def _strange(table: Mapping[str, Any], known: Sequence[str], prefix: str, whole: str) -> list[str]:
    """A line for each key that is none."""
    problems = []
    for key in (key for key in table if key not in known):
        close = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"{whole} takes {', '.join(known)}"
        problems.append(f"{prefix}{key} = {reprlib.repr(table[key])}: unknown key; {hint}")
    return problems


@contextmanager
def _collecting(problems: list[str], prefix: str = "") -> Iterator[None]:
    """Note what is wrong, and go on."""
    try:
        yield
    except StudyError as error:
        problems += [prefix + line for line in str(error).splitlines()]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise StudyError("\n".join(problems))
