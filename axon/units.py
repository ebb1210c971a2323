"""The edge at which quantities become plain numbers.

Inside, every number is in the unit that the documentation names. At the edge a plain
number is taken to be in that unit, while a string such as ``"10 mm"`` or a pint quantity
is converted to it. Pint is imported when the first of these arrives: it is slow to import.
"""

from __future__ import annotations

import numbers
import re
import reprlib
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from axon.errors import AxonError, UnitError

if TYPE_CHECKING:
    from decimal import Decimal

    import pint

__all__ = [
    "FloatArray",
    "Position",
    "PositionLike",
    "QuantitiesLike",
    "QuantityLike",
    "as_written",
    "distance",
    "position",
    "position_text",
    "quantities",
    "quantity",
]


class HasUnit(Protocol):
    """What is used of a pint quantity, whichever registry it is from."""

    @property
    def magnitude(self) -> Any: ...

    def to(self, unit: str, /) -> Any: ...


FloatArray: TypeAlias = npt.NDArray[np.float64]
QuantityLike: TypeAlias = float | str | HasUnit
QuantitiesLike: TypeAlias = npt.ArrayLike | HasUnit | Iterable[QuantityLike]
PositionLike: TypeAlias = QuantityLike | tuple[int | str, QuantityLike]
"""On an axon: its distance from the origin, or a branch, by number or name, and that along it."""
Position: TypeAlias = float | tuple[int | str, float]
"""The same in µm."""

# A number, then names of units that are multiplied or divided, each with at most one power
# of one digit. Pint reads more than this, and would evaluate "m**9**9**9" for hours.
_NAME = r"(?:°?[^\W\d]+|%)(?:\s*(?:\^|\*\*)\s*-?\d)?"
_WITH_UNIT = re.compile(
    rf"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*({_NAME}(?:(?:\s*[*/·]\s*|\s+){_NAME})*)\s*"
)

# Numbers that make sense in an error message's example.
_EXAMPLE = {
    "mV": -65, "ms": 0.5, "um": 10, "ohm*cm": 100, "S/cm^2": 0.12, "mM": 5, "degC": 37, "": 0.1
}  # fmt: skip


ABSOLUTE_ZERO = -273.15
"""°C; no temperature is lower."""


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, of Python's or NumPy's."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def has_unit(value: object) -> bool:
    """Whether a quantity, or any of several, was given with a unit, and not as a number."""
    if isinstance(value, str) or hasattr(value, "magnitude"):
        return True
    return isinstance(value, list | tuple) and any(map(has_unit, value))


def quantity(
    value: QuantityLike,
    unit: str,
    name: str,
    *,
    error: type[AxonError] = UnitError,
    positive: bool = False,
    minimum: float | None = None,
    finite: bool = True,
) -> float:
    """A quantity as a plain number in `unit`.

    Parameters
    ----------
    value : float, str or pint.Quantity
        A number in `unit`, or a quantity of the same dimension such as ``"10 mm"``.
        Strings are converted in decimal, so ``"0.1 m"`` is 100000 µm exactly.
    unit : str
        Unit of the result as pint writes it; ``""`` for a number without dimension.
    name : str
        What the caller calls the quantity; appears in the error.
    error : type of AxonError, optional
        Raised if `value` will not do.
    positive : bool, optional
        Refuse zero and negative values.
    minimum : float, optional
        Refuse values below it, in `unit`; of temperatures absolute zero, if not given.
    finite : bool, optional
        Refuse infinity. NaN is refused in any case.

    Returns
    -------
    float
        The number, in `unit`.

    Raises
    ------
    UnitError
        Or `error`, if `value` is no number, has no unit or one of another dimension,
        or lies outside of the limits.

    Examples
    --------
    >>> quantity("10 mm", "um", "length")
    10000.0
    >>> quantity(3, "um", "length")
    3.0
    """
    number = _plain(value, unit, name, error)
    if unit == "degC" and minimum is None:
        minimum = ABSOLUTE_ZERO
    if number != number:
        why = "is not a number"
    elif finite and number in (np.inf, -np.inf):
        why = "is not finite"
    elif positive and not number > 0:
        why = "must be greater than 0"
    elif minimum is not None and number < minimum:
        why = f"must be at least {minimum:g}" + f" {unit}".rstrip()
    else:
        return number
    raise _refusal(value, unit, name, error, why)


def position(value: PositionLike, name: str, *, error: type[AxonError] = UnitError) -> Position:
    """A position on an axon, in µm.

    Parameters
    ----------
    value : float, str, pint.Quantity or pair
        A distance from the axon's origin; or of an axon that branches a branch, by number or name,
        and the distance from where that begins.
    name, error
        As for `quantity`.

    Raises
    ------
    UnitError
        Or `error`, if it is neither, or negative.

    Examples
    --------
    >>> position(("b", "1 mm"), "at")
    ('b', 1000.0)
    """
    if not isinstance(value, tuple | list):
        return quantity(value, "um", name, error=error, minimum=0.0)
    kinds = int | np.integer | str
    if len(value) != 2 or not isinstance(value[0], kinds) or isinstance(value[0], bool):
        raise error(
            f"{name} = {reprlib.repr(value)} is no position; write a distance, or on an axon that "
            "branches a branch and the distance along it, such as (3, 100.0)"
        )
    along = quantity(value[1], "um", f"{name}[1]", error=error, minimum=0.0)
    return value[0] if isinstance(value[0], str) else int(value[0]), along


def distance(value: PositionLike, name: str, *, error: type[AxonError] = UnitError) -> float:
    """A position on an axon that doesn't branch, in µm: anywhere, also beyond it.

    Raises
    ------
    UnitError
        Or `error`, if it is none, or on a branch.
    """
    if isinstance(value, tuple | list):
        raise error(f"{name} = {value!r} is on a branch, and this axon has none; write a number")
    return quantity(value, "um", name, error=error)


def position_text(place: Position) -> str:
    """A position as messages have it."""
    if isinstance(place, tuple):
        return f"{place[1]:g} um on branch {place[0]!r}"
    return f"{place:g} um"


def quantities(
    value: QuantitiesLike,
    unit: str,
    name: str,
    *,
    error: type[AxonError] = UnitError,
    positive: bool = False,
    minimum: float | None = None,
    finite: bool = True,
) -> FloatArray:
    """Quantities as an array of plain numbers in `unit`.

    Parameters
    ----------
    value : float, str, pint.Quantity, array, or sequence of any of the first three
        Numbers in `unit`, an array with a unit, or quantities such as ``["1 mm", 200.0]``.
    unit, name, error, positive, minimum, finite
        As for `quantity`; they hold for every element, and the error names the first
        element that fails by its index.

    Returns
    -------
    ndarray of float64
        A new array of the shape of `value`, in `unit`; of shape ``()`` for a single number.

    Raises
    ------
    UnitError
        Or `error`, as for `quantity`.

    Examples
    --------
    >>> quantities(["1 mm", 200], "um", "x")
    array([1000.,  200.])
    """
    limits: dict[str, Any] = {
        "error": error, "positive": positive, "minimum": minimum, "finite": finite
    }  # fmt: skip
    if isinstance(value, str):
        return np.array(quantity(value, unit, name, **limits))
    if hasattr(value, "magnitude"):
        value = _convert(value, unit, name, error)
    # NumPy would turn [1, "2"] into strings, and quantities into numbers without a unit.
    elif isinstance(value, list | tuple) and not all(map(_is_number, value)):
        each: list[Any] = [
            (quantities if isinstance(v, list | tuple) else quantity)(
                v, unit, f"{name}[{i}]", **limits
            )
            for i, v in enumerate(value)
        ]
        value = each
    try:
        array = np.asarray(value)
    except ValueError:
        raise _refusal(value, unit, name, error, "is ragged") from None
    if array.dtype.kind == "U":
        return quantities(array.tolist(), unit, name, **limits)
    if array.dtype.kind not in "iuf":
        raise _refusal(value, unit, name, error, "is not made of numbers")
    array = array.astype(np.float64)
    if unit == "degC" and minimum is None:
        minimum = ABSOLUTE_ZERO
    good = np.isfinite(array) if finite else ~np.isnan(array)
    if positive:
        good &= array > 0
    if minimum is not None:
        good &= array >= minimum
    if not good.all():
        first = tuple(int(i) for i in np.argwhere(~good)[0])
        quantity(float(array[first]), unit, name + "".join(f"[{i}]" for i in first), **limits)
    return array


def as_written(
    value: float | str, name: str, *, error: type[AxonError] = UnitError
) -> tuple[Decimal, str]:
    """A number with the digits with which it is written, and its unit, which may be any.

    Parameters
    ----------
    value : float or str
        A number, or text such as ``"10 mm"``.
    name : str
        What the caller calls it; appears in the error.
    error : type of AxonError, optional
        Raised if `value` will not do.

    Returns
    -------
    number : Decimal
    unit : str
        As it is written; ``""`` of a plain number.

    Raises
    ------
    UnitError
        Or `error`, if `value` is no number, or no finite one.

    Examples
    --------
    >>> as_written("0.20 um", "start")
    (Decimal('0.20'), 'um')
    """
    from decimal import Decimal

    match = _WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    number, unit = match.groups() if match else (value, "")
    if match is None and not _is_number(value):
        raise error(f'{name} = {reprlib.repr(value)} is no number; write 10 or "10 um"')
    try:
        exact = Decimal(repr(float(number)) if isinstance(number, float) else str(number))
        good = exact.is_finite() and (exact == 0 or abs(exact.adjusted()) <= 300)
    except (ArithmeticError, ValueError):  # such as an exponent of too many digits
        good = False
    if not good:
        raise error(f"{name} = {reprlib.repr(value)} is not finite, or too near 0; write another")
    return exact, unit


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_decimal(value: object) -> bool:
    from decimal import Decimal

    return isinstance(value, Decimal)


def _plain(value: Any, unit: str, name: str, error: type[AxonError]) -> float:
    """The number in `unit`, whatever its size."""
    if isinstance(value, str) or hasattr(value, "magnitude"):
        value = _convert(value, unit, name, error)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not (_is_number(value) or _is_decimal(value)):
        raise _refusal(value, unit, name, error, "is not a number")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _convert(value: Any, unit: str, name: str, error: type[AxonError]) -> Any:
    """The magnitude in `unit` of text or of a pint quantity."""
    if isinstance(value, str):
        match = _WITH_UNIT.fullmatch(value)
        if match is None:
            raise _refusal(value, unit, name, error, "is no number with a unit")
        number, of = match.groups()
        _registry()  # if it can't be had, that is not the value's fault
    try:
        return _converted(number, of, unit) if isinstance(value, str) else value.to(unit).magnitude
    # Whatever it is: besides its own errors, pint fails by KeyError ("m^0"), by
    # AssertionError ("dBm^2"), TypeError, ValueError, and ArithmeticError from decimal.
    except Exception as why:
        refusal = _refusal(value, unit, name, error, f"cannot be converted to {unit}")
        raise refusal from why


@lru_cache(maxsize=4096)  # pint takes longer than all else that a sweep does at a point
def _converted(number: str, of: str, unit: str) -> Any:
    from decimal import Decimal

    return _registry().Quantity(Decimal(number), of).to(unit).magnitude


@cache
def _registry() -> pint.UnitRegistry[Any]:
    from decimal import Decimal

    import pint

    return pint.UnitRegistry(non_int_type=Decimal)


def _refusal(value: Any, unit: str, name: str, error: type[AxonError], why: str) -> AxonError:
    example = _EXAMPLE.get(unit, 1)
    wanted = f'a number in {unit}, or "{example} {unit}"' if unit else f"a number such as {example}"
    return error(f"{name} = {reprlib.repr(value)} {why}; write {wanted}")
