"""Distributions of fibre diameters: made, published, and drawn from.

Every distribution is a table: how large a share of the fibres is at most so thick, at some
diameters, with straight lines between them. So one inversion draws from all of them, by additions,
multiplications and comparisons alone.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from axon import portable
from axon.errors import GeometryError
from axon.records import Record
from axon.units import FloatArray, QuantitiesLike, QuantityLike, is_whole, quantities, quantity

MAX_COUNT = 100_000_000
_CELLS = 4096  # of a formula's table
_TAIL = 8.0  # standard deviations; beyond them is less than one fibre in 1e15
_DRAWING = 1  # which of the streams of a seed; noise has the first one, 0


class Diameters(Record):
    """A distribution of fibre diameters.

    It is made by `lognormal`, `gamma`, `normal`, `histogram` or `values`, or is one that was
    `published`.

    Parameters
    ----------
    edges : ndarray of float64, shape (k,)
        Diameters, µm, never decreasing. Two that are equal hold a share that is exactly so thick.
    shares : ndarray of float64, shape (k,)
        Share of the fibres that are at most so thick, from 0 to 1, never decreasing; linear in
        between.
    reference : str, optional
        Where the numbers are from.

    Raises
    ------
    GeometryError
        If the arrays are none of that kind.
    """

    edges: FloatArray
    shares: FloatArray
    reference: str = ""

    def __post_init__(self) -> None:
        edges = quantities(self.edges, "um", "edges", error=GeometryError, minimum=0.0)
        shares = quantities(self.shares, "", "shares", error=GeometryError)
        if edges.ndim != 1 or edges.shape != shares.shape or edges.size < 2:
            raise GeometryError(
                f"edges has the shape {edges.shape} and shares {shares.shape}; give as many of "
                "each, and at least 2"
            )
        if (np.diff(edges) < 0).any() or (np.diff(shares) < 0).any():
            raise GeometryError("edges and shares must not decrease")
        if shares[0] != 0.0 or shares[-1] != 1.0:
            raise GeometryError(
                f"shares go from {shares[0]:g} to {shares[-1]:g}; they must go from 0 to 1"
            )
        for name, array in (("edges", edges), ("shares", shares)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def mean(self) -> float:
        """µm."""
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        return math.fsum(np.diff(self.shares) * middles)

    def cumulative(self, diameter: QuantitiesLike) -> FloatArray:
        """Share of the fibres that are at most so thick.

        Parameters
        ----------
        diameter : array_like of float or quantity
            µm.

        Returns
        -------
        ndarray of float64
            Of the same shape, from 0 to 1.
        """
        at = quantities(diameter, "um", "diameter", error=GeometryError)
        k = np.searchsorted(self.edges, at, side="right")
        return _between(at, self.edges, self.shares, k)

    def quantile(self, share: QuantitiesLike) -> FloatArray:
        """The diameter that so large a share of the fibres doesn't exceed.

        Parameters
        ----------
        share : array_like of float
            From 0 to 1; 0.5 for the median.

        Returns
        -------
        ndarray of float64
            Of the same shape, µm.
        """
        part = quantities(share, "", "share", error=GeometryError, minimum=0.0)
        if (part > 1.0).any():
            raise GeometryError(f"share = {part.max():g} is more than 1; write 0.5 for the median")
        k = np.searchsorted(self.shares, part, side="left")
        return _between(part, self.shares, self.edges, np.maximum(k, 1))

    def draw(self, count: int, seed: int) -> FloatArray:
        """Diameters of so many fibres.

        Parameters
        ----------
        count : int
            How many.
        seed : int
            From 0 to 2**64 - 1. The same one gives the same diameters, on every machine; more of
            them begin with the fewer.

        Returns
        -------
        ndarray of float64, shape (count,)
            µm.

        Raises
        ------
        GeometryError
            If `count` or `seed` is no such number.

        Examples
        --------
        >>> from axon import populations
        >>> populations.published("ochoa_mair_1969").draw(3, seed=1).round(2)
        array([0.71, 2.52, 2.29])
        """
        number = whole(count, "count", 1, MAX_COUNT)
        return self.quantile(uniform(seed, _DRAWING)(number))

    def __repr__(self) -> str:
        low, high = self.quantile([0.0, 1.0])
        source = f"; {self.reference}" if self.reference else ""
        return f"<Diameters: {low:.3g} to {high:.3g} um, mean {self.mean:.3g} um{source}>"


def _between(at: FloatArray, x: FloatArray, y: FloatArray, k: np.ndarray) -> FloatArray:
    """On the straight line from point k - 1 to point k; beyond the ends, what is there."""
    k = np.clip(k, 1, x.size - 1)
    width = x[k] - x[k - 1]
    jumped = np.where(at >= x[k - 1], 1.0, 0.0)
    part = np.divide(at - x[k - 1], width, out=jumped, where=width > 0)
    value: FloatArray = y[k - 1] + np.clip(part, 0.0, 1.0) * (y[k] - y[k - 1])
    return value


def whole(value: object, name: str, low: int, high: int) -> int:
    """A whole number between limits.

    Raises
    ------
    GeometryError
        If it is none.
    """
    if not is_whole(value):
        raise GeometryError(f"{name} = {reprlib.repr(value)} is no whole number")
    if not low <= value <= high:
        raise GeometryError(f"{name} = {value} must be from {low} to {high}")
    return int(value)


def uniform(seed: int, stream: int) -> Callable[[int], FloatArray]:
    """Random numbers above 0 and below 1, so many at a call; streams of one seed differ.

    They are whole numbers of Philox (J. K. Salmon et al., Proc. SC11 (2011),
    doi:10.1145/2063384.2063405), of which NumPy promises that they stay.
    """
    number = whole(seed, "seed", 0, 2**64 - 1)
    source = np.random.Philox(key=(stream << 64) + number)

    def numbers(count: int) -> FloatArray:
        upper = (source.random_raw(count) >> np.uint64(11)).astype(np.float64)
        return upper * 2.0**-53 + 2.0**-54

    return numbers


# Formulas


def lognormal(
    median: QuantityLike,
    sigma: QuantityLike,
    low: QuantityLike | None = None,
    high: QuantityLike | None = None,
    *,
    reference: str = "",
) -> Diameters:
    """Diameters whose logarithm is normally distributed.

    Parameters
    ----------
    median : float or quantity
        µm, of all that is not cut off.
    sigma : float
        Standard deviation of the natural logarithm.
    low, high : float or quantity, optional
        µm; what would lie beyond is cut off, and the rest fills its place.
    reference : str, optional
        Where the numbers are from.

    Returns
    -------
    Diameters

    Raises
    ------
    GeometryError
        If an argument will not do.

    Examples
    --------
    >>> from axon import populations
    >>> populations.lognormal(0.8, 0.4, low=0.2, high=3.0)
    <Diameters: 0.2 to 3 um, mean 0.866 um>
    """
    middle = _diameter(median, "median")
    spread = quantity(sigma, "", "sigma", error=GeometryError, positive=True)
    # What is tabulated over is z, of which the diameter is median exp(sigma z).
    begin, end = (
        None if d is None else float(portable.log(d / middle)) / spread for d in _limits(low, high)
    )
    return _formula(
        lambda z: -z * z / 2.0,
        lambda z: middle * portable.exp(spread * z),
        (-_TAIL, _TAIL),
        (begin, end),
        reference,
    )


def gamma(
    mean: QuantityLike,
    sd: QuantityLike,
    low: QuantityLike | None = None,
    high: QuantityLike | None = None,
    *,
    reference: str = "",
) -> Diameters:
    """Diameters that follow a gamma distribution.

    Parameters
    ----------
    mean, sd : float or quantity
        Mean and standard deviation, µm, of all that is not cut off: the shape is (mean/sd)², the
        scale sd²/mean.
    low, high, reference
        As for `lognormal`.

    Returns
    -------
    Diameters

    Raises
    ------
    GeometryError
        If an argument will not do.
    """
    middle, spread = _diameter(mean, "mean"), _diameter(sd, "sd")
    if spread > middle:  # then the thinnest would be the most frequent, without bounds
        raise GeometryError(f"sd = {spread:g} um must be at most the mean, {middle:g} um")
    shape = (middle / spread) ** 2
    # What is tabulated over is z, of which the diameter is mean exp(z): there the density has its
    # peak at 0, and is as far below it where this ends as a normal one where its table ends.
    wide, deep = _TAIL / math.sqrt(shape), _TAIL**2 / 2.0 / shape
    ends = -wide - deep, float(portable.log(1.0 + wide + deep))
    begin, end = (
        None if d is None else float(portable.log(d / middle)) for d in _limits(low, high)
    )
    return _formula(
        lambda z: shape * (z - portable.exp(z)),
        lambda z: middle * portable.exp(z),
        ends,
        (begin, end),
        reference,
    )


def normal(
    mean: QuantityLike,
    sd: QuantityLike,
    low: QuantityLike,
    high: QuantityLike,
    *,
    reference: str = "",
) -> Diameters:
    """Diameters that are normally distributed, between limits.

    Parameters
    ----------
    mean, sd : float or quantity
        Mean and standard deviation, µm, of all that is not cut off.
    low, high : float or quantity
        µm; what would lie beyond is cut off, and the rest fills its place.
    reference : str, optional
        Where the numbers are from.

    Returns
    -------
    Diameters

    Raises
    ------
    GeometryError
        If an argument will not do.
    """
    middle, spread = _diameter(mean, "mean"), _diameter(sd, "sd")
    begin, end = ((d - middle) / spread for d in map(_diameter, (low, high), ("low", "high")))
    _limits(low, high)
    return _formula(
        lambda z: -z * z / 2.0,
        lambda z: middle + spread * z,
        (-_TAIL, _TAIL),
        (begin, end),
        reference,
    )


def _diameter(value: QuantityLike, name: str) -> float:
    return quantity(value, "um", name, error=GeometryError, positive=True)


def _limits(
    low: QuantityLike | None, high: QuantityLike | None
) -> tuple[float | None, float | None]:
    begin = None if low is None else _diameter(low, "low")
    end = None if high is None else _diameter(high, "high")
    if begin is not None and end is not None and begin >= end:
        raise GeometryError(f"low = {begin:g} um must be less than high = {end:g} um")
    return begin, end


def _formula(
    logarithm: Callable[[FloatArray], FloatArray],
    diameter: Callable[[FloatArray], FloatArray],
    ends: tuple[float, float],
    limits: tuple[float | None, float | None],
    reference: str,
) -> Diameters:
    """A table of what has, over z, a density of this logarithm but for a constant.

    Each cell is integrated by Simpson's rule.
    """
    low = ends[0] if limits[0] is None else max(ends[0], limits[0])
    high = ends[1] if limits[1] is None else min(ends[1], limits[1])
    if low >= high:
        raise GeometryError(
            "hardly any fibre of that distribution lies between low and high; move them, or leave "
            "them out"
        )
    z = low + (high - low) * (np.arange(2 * _CELLS + 1) / (2 * _CELLS))
    height = logarithm(z)
    density = portable.exp(height - height.max())
    mass = np.cumsum(density[:-2:2] + 4.0 * density[1::2] + density[2::2])
    return Diameters(diameter(z[::2]), np.append(0.0, mass / mass[-1]), reference)


# Samples


def histogram(edges: QuantitiesLike, counts: QuantitiesLike, *, reference: str = "") -> Diameters:
    """Diameters as a histogram has them, evenly within each of its bins.

    Parameters
    ----------
    edges : array_like of float or quantity, shape (k + 1,)
        Where bins begin and end, µm, increasing.
    counts : array_like of float, shape (k,)
        Fibres in each bin, or anything in proportion to them, such as per cent.
    reference : str, optional
        Where the numbers are from.

    Returns
    -------
    Diameters

    Raises
    ------
    GeometryError
        If the arrays are no histogram.
    """
    borders = quantities(edges, "um", "edges", error=GeometryError, minimum=0.0)
    heights = quantities(counts, "", "counts", error=GeometryError, minimum=0.0)
    if borders.ndim != 1 or heights.ndim != 1 or borders.size != heights.size + 1:
        raise GeometryError(
            f"edges has the shape {borders.shape} and counts {heights.shape}; give one edge more "
            "than bins"
        )
    if not heights.any() or (np.diff(borders) <= 0).any():
        raise GeometryError("edges must increase, and some count be above 0")
    filled = np.flatnonzero(heights)
    used = slice(filled[0], filled[-1] + 1)
    total = np.cumsum(heights[used])
    shares = np.append(0.0, total / total[-1])
    return Diameters(borders[used.start : used.stop + 1], shares, reference)


def values(diameters: QuantitiesLike, *, reference: str = "") -> Diameters:
    """Diameters of a sample: each drawn is one of these, and all are equally likely.

    Parameters
    ----------
    diameters : array_like of float or quantity, shape (n,)
        As they were measured, µm.
    reference : str, optional
        Where they are from.

    Returns
    -------
    Diameters

    Raises
    ------
    GeometryError
        If they are none.
    """
    sample = quantities(diameters, "um", "diameters", error=GeometryError, positive=True)
    if sample.ndim != 1 or not sample.size:
        raise GeometryError(f"diameters has the shape {sample.shape}; give a list of them")
    reached = np.arange(sample.size + 1) / sample.size
    return Diameters(np.repeat(np.sort(sample), 2), np.repeat(reached, 2)[1:-1], reference)


# Published


class _Histogram(NamedTuple):
    """Of equal bins."""

    begin: int  # tenths of a µm
    width: int  # tenths of a µm
    counts: tuple[float, ...]  # or in proportion to them
    reference: str


_NRV = (
    "as digitised in NRV (T. Couppey and others, PLoS Comput. Biol. 20, e1011826 (2024), "
    "doi:10.1371/journal.pcbi.1011826), nrv/_misc/stats/{}.csv"
)
# Its users' guide names this paper; its page on scientific foundations, "Ochoa 1978".
_OCHOA_MAIR = (
    "J. Ochoa, W. G. P. Mair, Acta Neuropathol. 13, 197-216 (1969), doi:10.1007/BF00690642, "
    f"histogram of unmyelinated fibres, {_NRV.format('Ochoa_U')}"
)
_JACOBS_LOVE = (
    "J. M. Jacobs, S. Love, Brain 108, 897-924 (1985), doi:10.1093/brain/108.4.897, figure 11 {0}, "
    f"{_NRV.format('Jacobs_11_{0}')}"
)
_EIBER = (
    "C. D. Eiber and others, J. Neural Eng. 18 (2021), doi:10.1088/1741-2552/ac36e2: smallest "
    "Feret diameters of 5184 axons of one rat (sub-401), in the files that come with the paper's "
    "program ViNERS, source-data/axons/rat-pelvic-nerve"
)

# NRV has shares; times 441, 251, 507, 501 and 513 they are these numbers.
_PUBLISHED = {
    "eiber_2021": _Histogram(
        1, 1, (18, 286, 821, 1016, 984, 751, 548, 365, 195, 107, 49, 25, 12, 4, 1, 1, 1), _EIBER
    ),
    "jacobs_love_1985_a": _Histogram(
        2, 2, (12, 36, 42, 75.5, 57, 16.5, 10, 2), _JACOBS_LOVE.format("A")
    ),
    "jacobs_love_1985_b": _Histogram(
        2, 2, (48, 147, 142, 110, 44, 16), _JACOBS_LOVE.format("B")
    ),
    "jacobs_love_1985_c": _Histogram(
        2, 2, (22, 90, 98, 94, 96, 60, 23, 14, 4), _JACOBS_LOVE.format("C")
    ),
    "jacobs_love_1985_d": _Histogram(
        2, 2, (36, 60, 48, 80, 96, 122, 44, 19, 6, 2), _JACOBS_LOVE.format("D")
    ),
    "ochoa_mair_1969": _Histogram(
        2, 2, (3, 13, 31, 46, 53, 60, 62, 56, 43, 41, 21, 8, 3, 1), _OCHOA_MAIR
    ),
}  # fmt: skip


def names() -> list[str]:
    """The published distributions there are, in alphabetical order."""
    return sorted(_PUBLISHED)


def published(name: str) -> Diameters:
    """Diameters of unmyelinated fibres as they were published.

    Parameters
    ----------
    name : str
        ``"ochoa_mair_1969"``: sural nerve, people of 15 to 59 years.
        ``"jacobs_love_1985_a"`` to ``"jacobs_love_1985_d"``: sural nerve, people of different
        ages; which they are is to be read in the paper.
        ``"eiber_2021"``: pelvic nerve of a rat.

    Returns
    -------
    Diameters
        Its `reference` says where the numbers are from, and through whose hands they went.

    Raises
    ------
    GeometryError
        If there is none of that name.

    Examples
    --------
    >>> from axon import populations
    >>> populations.published("eiber_2021")
    <Diameters: 0.1 to 1.8 um, mean 0.575 um; C. D. Eiber and others, ...
    """
    found = _PUBLISHED.get(name) if isinstance(name, str) else None
    if found is None:
        raise GeometryError(f"name = {reprlib.repr(name)}; there are {', '.join(names())}")
    edges = (found.begin + found.width * np.arange(len(found.counts) + 1)) / 10.0
    return histogram(edges, found.counts, reference=found.reference)
