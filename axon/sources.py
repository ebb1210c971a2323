"""Electrodes outside an axon: the potential that a current makes in the tissue around it.

The tissue is a conductor without bounds, the axon so thin that it changes nothing. A source gives
potentials for a current of 1 mA, in mV, at any place; sources add and scale, as potentials do.
"""

from __future__ import annotations

import math
import os
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from axon import portable
from axon.errors import AxonError, StimulusError
from axon.records import Record, Value
from axon.units import FloatArray, QuantityLike, quantities, quantity

__all__ = ["DiskSource", "LineSource", "PointSource", "PotentialAlong", "Source"]

Conductivity = QuantityLike | Sequence[QuantityLike]

# 1 mA / (1 S/m * 1 um) is 1e3 V.
_MILLIVOLT = 1e6
MAX_SAMPLES = 1_000_000


class Source(ABC):
    """Where a current enters the tissue."""

    @abstractmethod
    def potential(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Potential at these places (µm), in mV for 1 mA."""

    def on_axon(self, places: FloatArray, x: FloatArray) -> FloatArray:
        """Potential at the compartments of an axon, in mV for 1 mA, (n,).

        Parameters
        ----------
        places : array (n, 3)
            Where they lie in space, µm.
        x : array (n,)
            Where they lie along the axon, µm.

        Raises
        ------
        StimulusError
            If a compartment lies on the source itself, or beyond what is known.
        """
        values = self._on_axon(places, x)
        if not np.isfinite(values).all():
            at = x[np.argmin(np.isfinite(values))]
            raise StimulusError(
                f"the source lies on the axon itself, at x = {at:g} um, where its potential has "
                "no bounds; move it away"
            )
        return values

    def _on_axon(self, places: FloatArray, x: FloatArray) -> FloatArray:
        # Rows of one stretch of memory: a straight axon's potentials keep their last bits.
        return self.potential(*np.ascontiguousarray(places.T))

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Description in JSON's types, which `source_from` understands."""

    def __add__(self, other: Source) -> Source:
        if not isinstance(other, Source):
            return NotImplemented
        return Combined((*_terms(self), *_terms(other)))

    def __mul__(self, factor: float) -> Source:
        if isinstance(factor, bool) or not isinstance(factor, int | float | np.number):
            return NotImplemented
        share = quantity(float(factor), "", "factor", error=StimulusError)
        return Combined(tuple((source, part * share) for source, part in _terms(self)))

    __rmul__ = __mul__

    def __neg__(self) -> Source:
        return self * -1.0

    def __sub__(self, other: Source) -> Source:
        return self + -other


class Combined(Value, Source):
    """Several sources that share one waveform, each with its part of the current."""

    terms: tuple[tuple[Source, float], ...]

    def potential(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        total = np.zeros_like(x)
        for source, part in self.terms:
            total = total + part * source.potential(x, y, z)
        return total

    def _on_axon(self, places: FloatArray, x: FloatArray) -> FloatArray:
        total = np.zeros_like(x)
        for source, part in self.terms:
            total = total + part * source._on_axon(places, x)
        return total

    def to_dict(self) -> dict[str, Any]:
        terms = [{"part": part, "source": source.to_dict()} for source, part in self.terms]
        return {"shape": "combined", "terms": terms}


def _terms(source: Source) -> tuple[tuple[Source, float], ...]:
    return source.terms if isinstance(source, Combined) else ((source, 1.0),)


class PointSource(Value, Source):
    """A small electrode, far from the axon beside its own size.

    The potential at distance r is I / (4 pi sigma r). In tissue that conducts differently along x,
    y and z it is I / (4 pi sqrt(sy sz dx² + sx sz dy² + sx sy dz²)).

    Parameters
    ----------
    x, y, z : float or quantity
        Where, µm; a straight axon lies along x from the origin.
    sigma : float, quantity, or three of them, optional
        Conductivity, S/m, the same in all directions or along x, y and z.

    Raises
    ------
    StimulusError
        If an argument is no such quantity.

    References
    ----------
    R. Plonsey, R. C. Barr, Bioelectricity: A Quantitative Approach, 3rd ed., Springer (2007),
    equation (2.20); W. Rall's activating function is its second difference along the axon
    (F. Rattay, IEEE Trans. Biomed. Eng. 33, 974-977 (1986), doi:10.1109/TBME.1986.325670).
    """

    x: float
    y: float
    z: float
    sigma: tuple[float, float, float]

    def __init__(
        self, x: QuantityLike, y: QuantityLike, z: QuantityLike, *, sigma: Conductivity = 0.3
    ) -> None:
        _place(self, x=x, y=y, z=z)
        object.__setattr__(self, "sigma", _conductivity(sigma))

    def potential(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        sx, sy, sz = self.sigma
        across = sy * sz * (x - self.x) ** 2 + sx * sz * (y - self.y) ** 2
        square = across + sx * sy * (z - self.z) ** 2
        with np.errstate(divide="ignore"):  # on the electrode itself
            return _MILLIVOLT / (4.0 * np.pi * np.sqrt(square))

    def to_dict(self) -> dict[str, Any]:
        return {
            "shape": "point", "x": self.x, "y": self.y, "z": self.z, "sigma": list(self.sigma)
        }  # fmt: skip


class LineSource(Value, Source):
    """A thin wire that gives off its current evenly along its length.

    The potential is I / (4 pi sigma L) ln((r1 + r2 + L) / (r1 + r2 - L)), with the distances r1
    and r2 to its ends and its length L.

    Parameters
    ----------
    start, stop : three floats or quantities
        Its ends, (x, y, z) in µm.
    sigma : float or quantity, optional
        Conductivity, S/m, the same in all directions.

    Raises
    ------
    StimulusError
        If an argument is no such quantity, or both ends are one place.

    References
    ----------
    The integral of a point source along a line; G. R. Holt, C. Koch, J. Comput. Neurosci. 6,
    169-184 (1999), doi:10.1023/A:1008832702585, equation (3).
    """

    start: tuple[float, float, float]
    stop: tuple[float, float, float]
    sigma: float

    def __init__(
        self,
        start: Sequence[QuantityLike],
        stop: Sequence[QuantityLike],
        *,
        sigma: QuantityLike = 0.3,
    ) -> None:
        object.__setattr__(self, "start", _point(start, "start"))
        object.__setattr__(self, "stop", _point(stop, "stop"))
        object.__setattr__(self, "sigma", _one_conductivity(sigma))
        if self.start == self.stop:
            raise StimulusError(f"start and stop are both {self.start}: write a PointSource")

    def potential(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        length = math.dist(self.start, self.stop)
        both = _distance(self.start, x, y, z) + _distance(self.stop, x, y, z)
        with np.errstate(divide="ignore"):  # on the wire itself
            # log1p: far away the quotient is nearly 1
            logarithm = portable.log1p(2.0 * length / (both - length))
        return _MILLIVOLT / (4.0 * np.pi * self.sigma * length) * logarithm

    def to_dict(self) -> dict[str, Any]:
        return {
            "shape": "line",
            "start": list(self.start),
            "stop": list(self.stop),
            "sigma": self.sigma,
        }


class DiskSource(Value, Source):
    """A flat round electrode on the surface of the tissue, itself at one potential.

    The surface is the plane through `z` across the z axis, and an insulator beyond it. With the
    distance r from the disk's axis, the depth h and the radius a the potential is
    I / (2 pi sigma a) arcsin(2 a / (sqrt((r - a)² + h²) + sqrt((r + a)² + h²))).

    Parameters
    ----------
    x, y, z : float or quantity
        Its centre, µm.
    radius : float or quantity
        µm.
    sigma : float or quantity, optional
        Conductivity, S/m, the same in all directions.

    Raises
    ------
    StimulusError
        If an argument is no such quantity.

    References
    ----------
    J. Newman, J. Electrochem. Soc. 113, 501-502 (1966), doi:10.1149/1.2424003; J. T. Rubinstein,
    F. A. Spelman, M. Soma, M. F. Suesserman, IEEE Trans. Biomed. Eng. 34, 864-875 (1987),
    doi:10.1109/TBME.1987.326007.
    """

    x: float
    y: float
    z: float
    radius: float
    sigma: float

    def __init__(
        self,
        x: QuantityLike,
        y: QuantityLike,
        z: QuantityLike,
        *,
        radius: QuantityLike,
        sigma: QuantityLike = 0.3,
    ) -> None:
        _place(self, x=x, y=y, z=z)
        size = quantity(radius, "um", "radius", error=StimulusError, positive=True)
        object.__setattr__(self, "radius", size)
        object.__setattr__(self, "sigma", _one_conductivity(sigma))

    def potential(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        r, a = np.sqrt((x - self.x) ** 2 + (y - self.y) ** 2), self.radius
        square = (z - self.z) ** 2
        both = np.sqrt((r - a) ** 2 + square) + np.sqrt((r + a) ** 2 + square)
        angle = portable.arcsin(np.minimum(2.0 * a / both, 1.0))
        return _MILLIVOLT / (2.0 * np.pi * self.sigma * a) * angle

    def to_dict(self) -> dict[str, Any]:
        return {
            "shape": "disk", "x": self.x, "y": self.y, "z": self.z,
            "radius": self.radius, "sigma": self.sigma,
        }  # fmt: skip


class PotentialAlong(Record, Source):
    """Potentials along the axon from elsewhere, such as a finite-element solver.

    Between the given positions the potential is a cubic spline, as smooth as a potential is: what
    excites an axon is its second derivative. Positions are those along the axon, whichever way
    through space that takes.

    Parameters
    ----------
    x : sequence of floats or quantities
        Positions along the axon, µm, increasing; at least four.
    potential : sequence of floats or quantities
        mV for 1 mA, or for the amplitude 1 that the waveform then multiplies.

    Raises
    ------
    StimulusError
        If the arrays don't fit together, or when a place beyond them is asked for.
    """

    x: FloatArray
    values: FloatArray

    def __init__(self, x: Any, potential: Any) -> None:
        at = quantities(x, "um", "x", error=StimulusError)
        values = quantities(potential, "mV", "potential", error=StimulusError)
        if at.ndim != 1 or at.shape != values.shape or not 4 <= at.size <= MAX_SAMPLES:
            raise StimulusError(
                f"x has the shape {at.shape} and potential {values.shape}; give as many of each, "
                "and at least 4"
            )
        if not (np.diff(at) > 0).all():
            raise StimulusError("x must increase")
        for name, array in (("x", at), ("values", values)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def from_function(
        cls, function: Callable[[FloatArray], Any], stop: QuantityLike, n: int = 4001
    ) -> PotentialAlong:
        """Potentials as a function of the position along the axon, from 0 to `stop` (µm)."""
        x = np.linspace(0.0, quantity(stop, "um", "stop", error=StimulusError, positive=True), n)
        return cls(x, np.broadcast_to(function(x), x.shape))

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        x: int | str = 0,
        potential: int | str = 1,
        *,
        x_unit: str = "um",
        unit: str = "mV",
    ) -> PotentialAlong:
        """Potentials from a table, as finite-element programs export it along a line.

        Parameters
        ----------
        path : path-like
            A text file of at most 256 MiB: a row a line, columns divided by commas, semicolons,
            tabs or blanks. Lines that begin with ``%`` or ``#`` are comments; the last one of
            them, or a first line that holds no numbers, may name the columns.
        x, potential : int or str, optional
            Which columns: their numbers from 0, or their names.
        x_unit, unit : str, optional
            What the file is in.

        Raises
        ------
        StimulusError
            If it can't be read, or has no such column, or a row isn't finite numbers.
        """
        from axon.columns import columns

        at, values = columns(path, (x, potential), MAX_SAMPLES)
        factors = [
            quantity(f"1 {given}", wanted, name, error=StimulusError)
            for given, wanted, name in ((x_unit, "um", "x_unit"), (unit, "mV", "unit"))
        ]
        return cls(at * factors[0], values * factors[1])

    def potential(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        if len(x) and not self.x[0] <= x.min() <= x.max() <= self.x[-1]:
            raise StimulusError(
                f"potentials are known from {self.x[0]:g} to {self.x[-1]:g} µm, and the axon's "
                f"compartments lie from {x.min():g} to {x.max():g} µm; nothing is extrapolated"
            )
        return _spline(self.x, self.values, x)

    def _on_axon(self, places: FloatArray, x: FloatArray) -> FloatArray:
        return self.potential(x, x, x)

    def to_dict(self) -> dict[str, Any]:
        return {"shape": "along", "x": self.x.tolist(), "potential": self.values.tolist()}

    def __repr__(self) -> str:
        return f"<PotentialAlong: {self.x.size} from {self.x[0]:g} to {self.x[-1]:g} um>"


SHAPES: dict[str, Callable[..., Source]] = {
    "point": PointSource,
    "line": LineSource,
    "disk": DiskSource,
    "along": PotentialAlong,
}


def source_from(description: Any) -> Source:
    """The source that a description stands for, as `to_dict` gives it.

    Raises
    ------
    StimulusError
        If it is anything else.
    """
    if not isinstance(description, Mapping):
        raise StimulusError(f"source = {reprlib.repr(description)} is no table")
    arguments = dict(description)
    shape = arguments.pop("shape", None)
    try:
        if shape == "combined":
            terms = [(source_from(t["source"]), float(t["part"])) for t in arguments["terms"]]
            return Combined(tuple(terms))
        return SHAPES[shape](**arguments)
    except AxonError:
        raise
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise StimulusError(f"source of shape {reprlib.repr(shape)}: {error}") from None


def _place(source: Source, **where: QuantityLike) -> None:
    for name, value in where.items():
        object.__setattr__(source, name, quantity(value, "um", name, error=StimulusError))


def _point(values: Sequence[QuantityLike], name: str) -> tuple[float, float, float]:
    if isinstance(values, str) or len(values) != 3:
        raise StimulusError(f"{name} = {reprlib.repr(values)} is no place (x, y, z)")
    x, y, z = (quantity(value, "um", name, error=StimulusError) for value in values)
    return x, y, z


def _one_conductivity(sigma: QuantityLike) -> float:
    return quantity(sigma, "S/m", "sigma", error=StimulusError, positive=True)


def _conductivity(sigma: Conductivity) -> tuple[float, float, float]:
    if isinstance(sigma, list | tuple):
        if len(sigma) != 3:
            raise StimulusError(f"sigma = {sigma!r}: give one conductivity, or three")
        x, y, z = map(_one_conductivity, sigma)
        return x, y, z
    return (_one_conductivity(sigma),) * 3  # type: ignore[arg-type]


def _distance(
    place: tuple[float, float, float], x: FloatArray, y: FloatArray, z: FloatArray
) -> FloatArray:
    return np.sqrt((x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2)


def _spline(x: FloatArray, y: FloatArray, at: FloatArray) -> FloatArray:
    """The cubic spline through the points whose third derivative doesn't jump next to its ends.

    C. de Boor, A Practical Guide to Splines, Springer (1978), chapter IV, "not a knot". Solved
    for the second derivatives inside, from which those at the ends follow.
    """
    h, n = np.diff(x), x.size
    slope = np.diff(y) / h
    diagonal, right = 2.0 * (h[:-1] + h[1:]), 6.0 * np.diff(slope)
    below, above = h[1:-1].copy(), h[1:-1].copy()
    # m[0] = m[1] - (m[2] - m[1]) h[0] / h[1], and so at the other end.
    diagonal[0] += h[0] + h[0] ** 2 / h[1]
    above[:1] -= h[0] ** 2 / h[1]
    diagonal[-1] += h[-1] + h[-1] ** 2 / h[-2]
    below[-1:] -= h[-1] ** 2 / h[-2]
    inner = np.empty(n - 2)
    for k in range(1, n - 2):
        share = below[k - 1] / diagonal[k - 1]
        diagonal[k] -= share * above[k - 1]
        right[k] -= share * right[k - 1]
    inner[-1] = right[-1] / diagonal[-1]
    for k in range(n - 4, -1, -1):
        inner[k] = (right[k] - above[k] * inner[k + 1]) / diagonal[k]
    first = inner[0] - (inner[1] - inner[0]) * h[0] / h[1]
    last = inner[-1] + (inner[-1] - inner[-2]) * h[-1] / h[-2]
    bend = np.concatenate([[first], inner, [last]])

    bins = np.clip(np.searchsorted(x, at, side="right") - 1, 0, n - 2)
    a, b = (x[bins + 1] - at) / h[bins], (at - x[bins]) / h[bins]
    cubic = ((a**3 - a) * bend[bins] + (b**3 - b) * bend[bins + 1]) * h[bins] ** 2 / 6.0
    return np.asarray(a * y[bins] + b * y[bins + 1] + cubic)
