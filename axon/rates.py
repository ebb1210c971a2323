"""Functions that a membrane is described by: rates by name, parameters along the axon."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from axon.errors import AxonError, MembraneError
from axon.portable import unwrapped, wrapped
from axon.units import has_unit

Rate = Callable[..., Any]
"""NumPy arithmetic on quantities that it names: ``v`` (mV), ``celsius``, ``cai``, ..."""

Profile = float | Sequence[float] | np.ndarray | Callable[[np.ndarray], Any]
"""A number, one value per compartment, or a function of position (µm): on an axon that branches
that is the distance from the root along the branches."""

_MOST_BYTES = 2**20
"""Of an array that a function reads, to be compared."""

_MAY_BE_COMPLEX = (np.ndarray, np.generic, complex, list, tuple)

Quantities = Mapping[str, Any]
"""What functions may ask for, by name: numbers, arrays, or symbols that record expressions."""


def resolve(profile: Profile, x: np.ndarray, name: str) -> np.ndarray:
    """Values of a parameter at the compartments' centres `x`, µm.

    Returns
    -------
    array
        One value if the parameter is uniform, else one per compartment.
    """
    try:
        value = profile(x) if callable(profile) else profile
        if has_unit(value):
            raise TypeError(f"{reprlib.repr(value)} are no numbers without a unit")
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MembraneError(f"{name} could not be computed along the axon: {error}") from error
    if callable(profile):
        array = np.broadcast_to(array, x.shape).copy() if array.ndim == 0 else array
    if array.ndim > 1 or (array.ndim == 1 and array.size != x.size):
        raise MembraneError(
            f"{name} has shape {array.shape}; give a number, one value for each of the "
            f"{x.size} compartments, or a function of position in µm"
        )
    if not np.all(np.isfinite(array)):
        raise MembraneError(f"{name} is not finite: {array[~np.isfinite(array)].flat[0]}")
    if array.ndim == 1 and np.all(array == array[0]):
        array = array[0]
    return np.atleast_1d(array)


def check_name(name: object, what: str) -> None:
    """Refuse what is no name."""
    if not isinstance(name, str) or not name.isidentifier():
        raise MembraneError(f"{what} name {name!r}: a name is letters, digits and underscores")


def all_are(items: object, kind: type | tuple[type, ...]) -> bool:
    """Whether `items` is a sequence of nothing but `kind`."""
    return isinstance(items, Sequence) and all(isinstance(item, kind) for item in items)


def arguments(function: Rate) -> tuple[str, ...]:
    """Names of the quantities that a function asks for."""
    if isinstance(function, np.ufunc):
        return ("v",)  # its own names are x1, x2
    if type(function) is FunctionType and not function.__defaults__ and not function.__dict__:
        code = function.__code__  # as most are: what `signature` says, in a tenth of its time
        if not function.__kwdefaults__:
            return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ("v",)  # a built-in
    return tuple(
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )


def check_function(function: object, what: str) -> None:
    """Refuse what is no function of named quantities."""
    if not callable(function):
        raise MembraneError(f"{what}={function!r} is no function")


def check_arguments(function: Rate, known: Sequence[str], what: str) -> None:
    """Refuse a function that asks for a quantity which there is not."""
    for name in arguments(function):
        if name not in known:
            raise MembraneError(
                f"{what} asks for {name!r}; a function takes its arguments by name, and there "
                f"are {', '.join(known)}"
            )


def call(function: Rate, quantities: Quantities) -> Any:
    """Evaluate a function, handing it what it asks for."""
    names = arguments(function)
    if names == ("v",):
        found = unwrapped(function(wrapped(quantities["v"])))
    else:
        found = unwrapped(function(**{name: wrapped(quantities[name]) for name in names}))
    if found is None or isinstance(found, str):
        raise MembraneError(
            f"a function of {', '.join(names) or 'nothing'} returned {found!r}, which is no "
            "number; does it lack a return?"
        )
    if isinstance(found, _MAY_BE_COMPLEX) and np.iscomplexobj(found):
        raise MembraneError(f"a function of {', '.join(names)} returned complex numbers")
    return found


@contextmanager
def in_words(owner: str, what: str) -> Iterator[None]:
    """Say whose function it was that could not be computed."""
    try:
        yield
    except MembraneError as error:
        raise MembraneError(f"{owner}: {error}") from error
    except AxonError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise MembraneError(
            f"{owner}: {what} could not be computed for many values at once ({error}); "
            "use numpy.exp, not math.exp, numpy.where, not if, and numpy.clip, not v.clip"
        ) from error


def warmth(q10: float, celsius: Any, reference: float) -> Any:
    """Factor by which rates grow from the temperature they are written for, both °C."""
    if q10 == 1.0:
        return 1.0
    exponent = (celsius - reference) / 10.0
    if isinstance(exponent, float):
        return _power(q10, exponent)
    return unwrapped(q10 ** wrapped(exponent))


@lru_cache(maxsize=256)
def _power(x: float, y: float) -> float:
    return float(unwrapped(wrapped(x) ** y))


class _OpaqueError(Exception):
    """There is something that may change without being seen."""


def likeness(value: Any) -> Hashable | None:
    """What tells whether something is still the same: all that it holds, and all that it reads.

    Of a function that is its code, its defaults, what it closes over, and the globals that it
    names, functions among them in the same way; of a class or a module of somebody's own what it
    names of that.

    Returns
    -------
    hashable or None
        Equal for what does the same. None where something could change without being seen, as an
        object of a class of somebody's own can.
    """
    try:
        return _likeness(value, (), ())
    except (_OpaqueError, RecursionError):
        return None


_STILL = {"builtins", "numpy", "math", "cmath", "scipy", "axon"}
"""Packages whose modules, classes and functions stay as they are."""

_ANYTHING = {"globals", "vars", "getattr", "eval", "exec", "__import__"}
"""Built-in functions by which code may read what it doesn't name."""


def _likeness(value: Any, within: tuple[Any, ...], names: tuple[str, ...]) -> Hashable:
    """`names` are all that the function names which reads it, and which it is `within`."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return type(value), value  # else 1 would be True
    if isinstance(value, np.ndarray | np.generic) and value.nbytes <= _MOST_BYTES:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple | list):
        return type(value), tuple(_likeness(each, within, names) for each in value)
    if isinstance(value, Mapping):
        return type(value), tuple(_likeness(pair, within, names) for pair in value.items())
    if isinstance(value, BuiltinFunctionType | np.ufunc):
        return value
    if isinstance(value, type | ModuleType):
        home = value.__module__ if isinstance(value, type) else value.__name__
        if home.partition(".")[0] in _STILL:
            return value
        held: Any = {name: getattr(value, name) for name in names if hasattr(value, name)}
        if not held:
            raise _OpaqueError  # which is called, or handed on
        return value, _likeness(held, (*within, value), names)
    if is_dataclass(value):
        held = tuple(_likeness(getattr(value, each.name), within, names) for each in fields(value))
        return type(value), held
    if type(value) is not FunctionType:
        raise _OpaqueError
    if not value.__closure__ and str(value.__module__).partition(".")[0] in _STILL:
        return value
    if value in within:
        return "itself"
    within = (*within, value)
    try:
        closed = [cell.cell_contents for cell in value.__closure__ or ()]
    except ValueError:  # it holds nothing yet
        raise _OpaqueError from None
    names = _names_in(value.__code__)
    if not _ANYTHING.isdisjoint(names):
        raise _OpaqueError
    of_globals = [name for name in names if name in value.__globals__]
    read = [value.__globals__[name] for name in of_globals]
    held = value.__defaults__, value.__kwdefaults__, closed, of_globals, read
    return value.__code__, _likeness(held, within, names)


@lru_cache(maxsize=1024)
def _names_in(code: CodeType) -> tuple[str, ...]:
    """All names that code may look up, that of functions within it too."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(n for each in inner for n in _names_in(each))]))
