"""Shape of an axon, and its cut into compartments.

The shape is a profile: knots (position, diameter) with straight lines between them, so that
the axon is a chain of frusta. Membrane areas and axial resistances are integrals along that
profile and are taken in closed form, piece by piece.

Positions inside are counted in half compartments. There every edge and every centre is a
whole number, so the pieces into which the knots cut a half compartment add up to exactly
one, and those of a uniform axon are the same to the last bit, however far from the origin.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from axon.errors import GeometryError
from axon.machine import lacking
from axon.portable import distinct
from axon.records import Record
from axon.units import (
    FloatArray,
    Position,
    PositionLike,
    QuantitiesLike,
    QuantityLike,
    distance,
    is_whole,
    quantities,
    quantity,
)

if TYPE_CHECKING:
    from axon.trees import Tree

__all__ = ["MAX_COMPARTMENTS", "Axon", "Shape", "Varying"]

MAX_COMPARTMENTS = 100_000_000

IntArray: TypeAlias = npt.NDArray[np.int64]
Varying: TypeAlias = QuantitiesLike | Callable[[FloatArray], QuantitiesLike]
"""One value, an array of one per compartment, or a function of position (µm)."""

_LONGEST = 1e12  # µm; keeps products of positions and numbers far from overflow
_CLOSEST = 1e-12  # of the length; knots that are closer might not survive being reversed
_CUTTING = 270  # bytes a compartment, at most, while an axon is cut
_SHORT = 1e-9  # of the length, by which a path may be short of it: long sums are rounded
_LAMBDA_FREQUENCY = 100.0  # Hz; Hines and Carnevale (2001)
_LAMBDA_CELLS = 1000  # where an Ra or cm that varies has a say in the cut, it is sampled so often


class Shape:
    """What an axon is to a simulation, be it one cable or a tree of such: its compartments.

    `Axon` and `Tree` say what the attributes are.
    """

    n: int
    length: float
    x: FloatArray
    area: FloatArray
    volume: FloatArray
    diameter: FloatArray
    cm: FloatArray
    axial_conductance: FloatArray
    passage: FloatArray
    parent: IntArray

    @property
    def places(self) -> FloatArray:
        """Where the centres of the compartments lie in space, µm, (n, 3)."""
        raise NotImplementedError

    def index(self, position: PositionLike) -> int:
        """The compartment that holds a position."""
        raise NotImplementedError

    def place(self, compartment: int) -> Position:
        """Where a compartment's centre is: its distance from the origin, or a branch and that."""
        raise NotImplementedError

    def part_way(self, share: float) -> int:
        """The compartment at a share, from 0 to 1, of the way from the origin to the far end."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """A description that JSON and TOML can hold."""
        raise NotImplementedError

    def axial_inflow(self, potential: FloatArray) -> FloatArray:
        """The current that comes to each compartment from its neighbours.

        Parameters
        ----------
        potential : ndarray of float64, shape (n,)
            Of the inside of each compartment, in mV.

        Returns
        -------
        ndarray of float64, shape (n,)
            sum_j G_ij (V_j - V_i), in nA.
        """
        into_parent = self.axial_conductance * (potential[1:] - potential[self.parent[1:]])
        return self.at_both_ends(into_parent, -into_parent)  # µS mV, which is nA

    def _take(self, made: Mapping[str, np.ndarray]) -> None:
        """Hold these arrays, read-only, if they are such as an axon can have."""
        for name in ("area", "axial_conductance", "passage", "volume"):
            if not ((made[name] > 0) & np.isfinite(made[name])).all():
                raise GeometryError(
                    f"the {name} of some compartment is too small or too large to be computed; "
                    "write length, diameter and Ra of a size that axons have"
                )
        for name, values in made.items():
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def at_both_ends(self, parent: FloatArray, child: FloatArray) -> FloatArray:
        """The sum over each compartment's joints of what these do to it.

        Parameters
        ----------
        parent, child : ndarray of float64, shape (n - 1,)
            Of the joint between compartment i + 1 and its parent, to that and to i + 1.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        total = np.bincount(self.parent[1:], parent, minlength=self.n).astype(np.float64)
        total[1:] += child
        return total


class Axon(Record, Shape):
    """An unbranched axon, cut into compartments of equal length.

    It describes shape and passive parameters only, and never changes. It is built by
    `cylinder`, `tapered`, `stepped`, `varicose` or, for any other shape, `from_profile`. Each
    of these takes at most one of three arguments that say how the axon is cut:

    ``compartments``
        The number of compartments.
    ``dx``
        The largest length of a compartment, in µm.
    ``d_lambda``
        The largest length of a compartment, as a fraction of the space constant at 100 Hz
        [1]_; the number is odd, so that a centre lies at the middle. If nothing is said, 0.1.

    They also take ``Ra`` and ``cm``, each one value, an array of one value per compartment,
    or a function that is given an array of positions (centres of compartments, in µm) and
    returns as many values.

    Parameters
    ----------
    profile_x : ndarray of float64, shape (k,)
        Positions of the profile's knots, in µm; from 0, never decreasing. Two knots at one
        position are a step.
    profile_diameter : ndarray of float64, shape (k,)
        Diameters at the knots, in µm. Knots inside a stretch of one diameter are dropped.
    Ra : ndarray of float64, shape (n,)
        Axial resistivity of each compartment, in Ω·cm.
    cm : ndarray of float64, shape (n,)
        Specific membrane capacitance of each compartment, in µF/cm².
    path : ndarray of float64, shape (k, 3), optional
        The line through space on which the axon lies, in µm; see `along`. Without one the axon is
        straight, and lies along x from the origin.

    Attributes
    ----------
    length : float
        In µm.
    n : int
        Number of compartments.
    edges : ndarray of float64, shape (n + 1,)
        Where compartments begin and end, in µm from the origin.
    x : ndarray of float64, shape (n,)
        Centres of the compartments, in µm.
    places : ndarray of float64, shape (n, 3)
        Where these centres lie in space, in µm.
    area : ndarray of float64, shape (n,)
        Membrane of each compartment: lateral surface of its frusta, in µm². The annulus at
        a step is no membrane.
    volume : ndarray of float64, shape (n,)
        Volume of each compartment: that of its frusta, in µm³.
    diameter : ndarray of float64, shape (n,)
        Diameter of the cylinder of the compartment's length and area, in µm.
    axial_conductance : ndarray of float64, shape (n - 1,)
        Between the centres of compartment i + 1 and its parent, compartment i, in µS.
    passage : ndarray of float64, shape (n - 1,)
        Cross-section over distance between the same centres, in µm: what diffuses goes through it.
    parent : ndarray of int64, shape (n,)
        The neighbour nearer the origin; -1 for the first compartment.

    Raises
    ------
    GeometryError
        If the shape, the cut, `Ra` or `cm` is impossible.

    Notes
    -----
    A frustum of length l whose diameter goes from a to b has the lateral surface
    π/2 (a + b) √(l² + (a - b)²/4) and the axial resistance ∫ 4 Ra/(π d²) dx = 4 Ra l/(π a b).

    All arrays are read-only.

    References
    ----------
    .. [1] M. L. Hines, N. T. Carnevale, Neuroscientist 7, 123-135 (2001).

    Examples
    --------
    >>> Axon.cylinder("1 mm", diameter=2.0, dx=10.0)
    Axon(length=1000 um, diameter=2 um, n=100)
    """

    profile_x: FloatArray
    profile_diameter: FloatArray
    Ra: FloatArray
    cm: FloatArray
    path: FloatArray | None = None
    length: float = field(init=False)
    n: int = field(init=False)
    edges: FloatArray = field(init=False)
    x: FloatArray = field(init=False)
    area: FloatArray = field(init=False)
    volume: FloatArray = field(init=False)
    diameter: FloatArray = field(init=False)
    axial_conductance: FloatArray = field(init=False)
    passage: FloatArray = field(init=False)
    parent: IntArray = field(init=False)

    def __post_init__(self) -> None:
        knots, diameters = _checked_profile(self.profile_x, self.profile_diameter)
        length = float(knots[-1])
        n = _checked_number(np.size(self.Ra))
        x = _centres(length, n)
        edges = np.arange(n + 1) * length / n
        edges[-1] = length
        Ra = _each(self.Ra, n, "ohm*cm", "Ra")
        cm = _each(self.cm, n, "uF/cm^2", "cm")
        with np.errstate(all="ignore"):  # what comes of it is looked at below
            both = halves(knots, diameters, 2 * n)
            diameter = both.lateral.reshape(n, 2).mean(axis=1)
            area = math.pi * diameter * (length / n)
            volume = both.section.reshape(n, 2).sum(axis=1) * both.length
            # From the centre to the left and to the right edge.
            left, right = both.through.reshape(n, 2).T
            # Ω·cm is 1e4 Ω·µm, S is 1e6 µS.
            conductance = 100 * math.pi / 4 / (Ra[:-1] * right[:-1] + Ra[1:] * left[1:])
            passage = math.pi / 4 / (right[:-1] + left[1:])
        made = {
            "profile_x": knots,
            "profile_diameter": diameters,
            "Ra": Ra,
            "cm": cm,
            "edges": edges,
            "x": x,
            "area": area,
            "volume": volume,
            "diameter": diameter,
            "axial_conductance": conductance,
            "passage": passage,
            "parent": np.arange(-1, n - 1, dtype=np.int64),
        }
        if self.path is not None:
            made["path"] = _checked_path(self.path, length)
        self._take(made)
        object.__setattr__(self, "length", length)
        object.__setattr__(self, "n", n)

    @classmethod
    def cylinder(
        cls,
        length: QuantityLike,
        diameter: QuantityLike,
        *,
        Ra: Varying = 100.0,
        cm: Varying = 1.0,
        dx: QuantityLike | None = None,
        compartments: int | None = None,
        d_lambda: float | None = None,
    ) -> Axon:
        """An axon of one diameter.

        Parameters
        ----------
        length, diameter : float or quantity
            In µm.
        Ra, cm : float, quantity, array of shape (n,) or callable, optional
            Axial resistivity in Ω·cm, specific capacitance in µF/cm²; see `Axon`.
        dx, compartments, d_lambda : optional
            How to cut it; see `Axon`.

        Returns
        -------
        Axon

        Raises
        ------
        GeometryError
            If an argument will not do.
        """
        end = _length(length, "length")
        d = _length(diameter, "diameter")
        return cls.from_profile(
            [0.0, end], [d, d], Ra=Ra, cm=cm, dx=dx, compartments=compartments, d_lambda=d_lambda
        )

    @classmethod
    def tapered(
        cls,
        length: QuantityLike,
        diameter: QuantityLike,
        end_diameter: QuantityLike,
        *,
        Ra: Varying = 100.0,
        cm: Varying = 1.0,
        dx: QuantityLike | None = None,
        compartments: int | None = None,
        d_lambda: float | None = None,
    ) -> Axon:
        """An axon whose diameter changes linearly from one end to the other.

        Parameters
        ----------
        length : float or quantity
            In µm.
        diameter, end_diameter : float or quantity
            At the origin and at the far end, in µm.
        Ra, cm, dx, compartments, d_lambda
            As for `cylinder`.

        Returns
        -------
        Axon

        Raises
        ------
        GeometryError
            If an argument will not do.
        """
        end = _length(length, "length")
        d = [_length(diameter, "diameter"), _length(end_diameter, "end_diameter")]
        return cls.from_profile(
            [0.0, end], d, Ra=Ra, cm=cm, dx=dx, compartments=compartments, d_lambda=d_lambda
        )

    @classmethod
    def stepped(
        cls,
        lengths: QuantitiesLike,
        diameters: QuantitiesLike,
        *,
        Ra: Varying = 100.0,
        cm: Varying = 1.0,
        dx: QuantityLike | None = None,
        compartments: int | None = None,
        d_lambda: float | None = None,
    ) -> Axon:
        """Cylinders one after the other.

        Parameters
        ----------
        lengths, diameters : array_like of float or quantity, shape (k,)
            Of each cylinder, from the origin on, in µm.
        Ra, cm, dx, compartments, d_lambda
            As for `cylinder`.

        Returns
        -------
        Axon

        Raises
        ------
        GeometryError
            If an argument will not do.
        """
        each = quantities(lengths, "um", "lengths", error=GeometryError, positive=True)
        d = quantities(diameters, "um", "diameters", error=GeometryError, positive=True)
        if each.ndim != 1 or each.shape != d.shape or each.size == 0:
            raise GeometryError(
                f"lengths and diameters have shapes {each.shape} and {d.shape}; "
                "give two lists with one entry for each cylinder"
            )
        knots = np.repeat(np.append(0.0, np.cumsum(each)), 2)[1:-1]
        return cls.from_profile(
            knots,
            np.repeat(d, 2),
            Ra=Ra,
            cm=cm,
            dx=dx,
            compartments=compartments,
            d_lambda=d_lambda,
        )

    @classmethod
    def varicose(
        cls,
        length: QuantityLike,
        diameter: QuantityLike,
        varicosity_diameter: QuantityLike,
        varicosity_length: QuantityLike,
        spacing: QuantityLike,
        *,
        Ra: Varying = 100.0,
        cm: Varying = 1.0,
        dx: QuantityLike | None = None,
        compartments: int | None = None,
        d_lambda: float | None = None,
    ) -> Axon:
        """An axon with varicosities at regular intervals, like beads on a string.

        A varicosity is a spindle: the diameter grows linearly to `varicosity_diameter` and
        falls back as it came. There are as many as whole `spacing` fit into `length`, and
        they lie symmetrically about the middle. For any other form use `from_profile`.

        Parameters
        ----------
        length, diameter : float or quantity
            Of the axon, and between the varicosities, in µm.
        varicosity_diameter, varicosity_length : float or quantity
            Diameter at the widest place, and length of one, in µm.
        spacing : float or quantity
            From the middle of one varicosity to that of the next, in µm; more than
            `varicosity_length`, at most `length`.
        Ra, cm, dx, compartments, d_lambda
            As for `cylinder`.

        Returns
        -------
        Axon

        Raises
        ------
        GeometryError
            If an argument will not do.
        """
        end = _length(length, "length")
        thin = _length(diameter, "diameter")
        wide = _length(varicosity_diameter, "varicosity_diameter")
        long = _length(varicosity_length, "varicosity_length")
        apart = _length(spacing, "spacing")
        if not long < apart <= end:
            raise GeometryError(
                f"spacing = {apart:g} um must be greater than varicosity_length = {long:g} um "
                f"and at most length = {end:g} um"
            )
        count = math.floor(_ratio(end, apart, "varicosities"))
        middles = end / 2 + (np.arange(count) - (count - 1) / 2) * apart
        beads = np.stack((middles - long / 2, middles, middles + long / 2), axis=1).ravel()
        knots = np.concatenate(([0.0], beads, [end]))
        d = np.concatenate(([thin], np.tile([thin, wide, thin], count), [thin]))
        return cls.from_profile(
            knots, d, Ra=Ra, cm=cm, dx=dx, compartments=compartments, d_lambda=d_lambda
        )

    @classmethod
    def from_profile(
        cls,
        x: QuantitiesLike,
        diameter: QuantitiesLike,
        *,
        Ra: Varying = 100.0,
        cm: Varying = 1.0,
        dx: QuantityLike | None = None,
        compartments: int | None = None,
        d_lambda: float | None = None,
    ) -> Axon:
        """An axon whose diameter is given at some positions, and linear in between.

        Parameters
        ----------
        x : array_like of float or quantity, shape (k,)
            Positions in µm, increasing from 0 to the axon's length. One that is given twice
            is a step from the first diameter to the second.
        diameter : array_like of float or quantity, shape (k,)
            Diameters there, in µm.
        Ra, cm, dx, compartments, d_lambda
            As for `cylinder`.

        Returns
        -------
        Axon

        Raises
        ------
        GeometryError
            If an argument will not do.

        Examples
        --------
        >>> Axon.from_profile([0, 500, 500, 1000], [1, 1, 3, 2], compartments=100)
        Axon(length=1000 um, diameter=1 to 3 um, n=100)
        """
        knots, diameters = _checked_profile(x, diameter)
        gaps = np.diff(knots)
        close = np.flatnonzero((gaps > 0) & (gaps < _CLOSEST * knots[-1]))
        if close.size:
            k = int(close[0])
            raise GeometryError(
                f"x has knots at {float(knots[k])!r} and {float(knots[k + 1])!r} um, which is too "
                "close to tell them apart; give the same position twice for a step"
            )
        n = number_of_compartments(knots, diameters, Ra, cm, dx, compartments, d_lambda)
        check_room(n)
        centres = _centres(float(knots[-1]), n)
        return cls(
            knots,
            diameters,
            _each(_at(Ra, centres), n, "ohm*cm", "Ra"),
            _each(_at(cm, centres), n, "uF/cm^2", "cm"),
        )

    @staticmethod
    def from_swc(
        path: str | os.PathLike[str],
        *,
        Ra: QuantityLike = 100.0,
        cm: QuantityLike = 1.0,
        dx: QuantityLike | None = None,
        d_lambda: float | None = None,
        types: Collection[int] | None = None,
        root: int | None = None,
    ) -> Tree:
        """A branching axon from an SWC file.

        Parameters
        ----------
        path, Ra, cm, dx, d_lambda, types, root
            As for `axon.swc.read_swc`, which says what such a file means.

        Returns
        -------
        Tree
            Each stretch between branch points, tips and the edge of the soma is a branch; its name
            is the number of its last point.

        Raises
        ------
        GeometryError
            If the file can't be read, or isn't one tree that can have a membrane; the message
            names the line.
        """
        from axon.swc import read_swc

        return read_swc(path, Ra=Ra, cm=cm, dx=dx, d_lambda=d_lambda, types=types, root=root)

    def branch(self, child: Axon | Tree, at: PositionLike, name: str = "") -> Tree:
        """This axon, with another one that begins on it.

        Parameters
        ----------
        child : Axon or Tree
            Its origin comes to lie at `at`.
        at : float or quantity
            How far along this axon, in µm.
        name : str, optional
            Of the new branch, to find it by.

        Returns
        -------
        Tree
            Which can be branched in turn.

        Raises
        ------
        GeometryError
            If there is no such place.
        """
        from axon.trees import Branch, Tree

        return Tree((Branch(self),)).branch(child, at, name)

    def along(self, path: QuantitiesLike) -> Axon:
        """The same axon on a line through space.

        Parameters
        ----------
        path : array_like of float or quantity, shape (k, 3)
            Places (x, y, z) in µm, with straight lines between them. A position on the axon is the
            distance from the first point, along the line; of a line that is longer than the axon
            the rest doesn't matter.

        Returns
        -------
        Axon

        Raises
        ------
        GeometryError
            If `path` is no such list, stands still somewhere, or is shorter than the axon.

        Examples
        --------
        >>> bent = Axon.cylinder("1 mm", diameter=1.0, dx=10.0).along(
        ...     [(0, 0, 0), (600, 0, 0), (600, 0, "1 mm")]
        ... )
        >>> bent.places[-1]
        array([600.,   0., 395.])
        """
        return Axon(
            self.profile_x,
            self.profile_diameter,
            self.Ra,
            self.cm,
            _checked_path(path, self.length),
        )

    @cached_property
    def places(self) -> FloatArray:
        """Where the centres of the compartments lie in space, µm, (n, 3)."""
        if self.path is None:
            places = np.stack((self.x, np.zeros(self.n), np.zeros(self.n)), axis=1)
        else:
            places = places_along(self.path, self.x)
        places.flags.writeable = False
        return places

    def index(self, position: PositionLike) -> int:
        """The compartment that holds a position.

        Parameters
        ----------
        position : float or quantity
            In µm from the origin. An edge belongs to the compartment that begins there, the
            axon's far end to the last one.

        Returns
        -------
        int
            From 0 to n - 1.

        Raises
        ------
        GeometryError
            If `position` does not lie on the axon.
        """
        where = distance(position, "position", error=GeometryError)
        if not 0 <= where <= self.length:
            raise GeometryError(
                f"position = {where!r} um is not on the axon; "
                f"write a number from 0 to its length, {self.length!r} um"
            )
        return min(int(np.searchsorted(self.edges, where, side="right")) - 1, self.n - 1)

    def place(self, compartment: int) -> float:
        """Where a compartment's centre is, µm from the origin."""
        return float(self.x[compartment])

    def part_way(self, share: float) -> int:
        """The compartment at a share, from 0 to 1, of the way from the origin to the far end."""
        return self.index(share * self.length)

    def reversed(self) -> Axon:
        """The same axon, with its origin at the other end.

        Returns
        -------
        Axon
        """
        path = None
        if self.path is not None:
            reached = _distances(self.path)
            before = reached < self.length * (1 - _SHORT)
            end = [np.interp(self.length, reached, coordinate) for coordinate in self.path.T]
            path = np.concatenate(([end], self.path[before][::-1]))
        return Axon(
            self.length - self.profile_x[::-1],
            self.profile_diameter[::-1],
            self.Ra[::-1],
            self.cm[::-1],
            path,
        )

    def to_dict(self) -> dict[str, Any]:
        """A description that JSON and TOML can hold, and `from_dict` understands.

        Returns
        -------
        dict
            ``shape`` (always ``"profile"``) and the arguments of `from_profile`: ``x`` and
            ``diameter`` (lists, µm), ``Ra`` (Ω·cm) and ``cm`` (µF/cm²; each a number, or a
            list if it varies), ``compartments``; and ``path`` (list of points, µm) if it has one.
        """
        description = {
            "shape": "profile",
            "x": self.profile_x.tolist(),
            "diameter": self.profile_diameter.tolist(),
            "Ra": brief(self.Ra),
            "cm": brief(self.cm),
            "compartments": self.n,
        }
        return description if self.path is None else description | {"path": self.path.tolist()}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Axon:
        """The axon that `to_dict` described.

        Parameters
        ----------
        description : mapping
            As `to_dict` returns it.

        Returns
        -------
        Axon
            Equal to the one described, its arrays to the last bit.

        Raises
        ------
        GeometryError
            If `description` is not of that form.
        """
        wanted = {"shape", "x", "diameter", "Ra", "cm", "compartments"}
        if not isinstance(description, Mapping) or set(description) - {"path"} != wanted:
            keys = sorted(map(str, description)) if isinstance(description, Mapping) else None
            raise GeometryError(
                f"an axon's description has keys {keys}; it needs exactly {sorted(wanted)}, "
                "and may have a path"
            )
        if description["shape"] != "profile":
            raise GeometryError(
                f"shape = {description['shape']!r} in an axon's description; it must be 'profile'"
            )
        n = _checked_number(description["compartments"])
        return cls(
            description["x"],
            description["diameter"],
            _each(description["Ra"], n, "ohm*cm", "Ra"),
            _each(description["cm"], n, "uF/cm^2", "cm"),
            description.get("path"),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Axon):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("profile_x", "profile_diameter", "Ra", "cm", "path")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle forgets that arrays are read-only, so they are made anew.
        return Axon, (self.profile_x, self.profile_diameter, self.Ra, self.cm, self.path)

    def __repr__(self) -> str:
        thin, wide = self.profile_diameter.min(), self.profile_diameter.max()
        diameter = f"{thin:g}" if thin == wide else f"{thin:g} to {wide:g}"
        return f"Axon(length={self.length:g} um, diameter={diameter} um, n={self.n})"


class Halves(NamedTuple):
    """A profile in half compartments of equal length."""

    length: float
    """Of one, µm."""
    lateral: FloatArray
    """Its membrane over π times its length, µm."""
    section: FloatArray
    """Its volume over its length, µm²."""
    through: FloatArray
    """∫ dx/d² along it, 1/µm: its resistance is 4 Ra/π times that."""


def halves(knots: FloatArray, diameters: FloatArray, number: int) -> Halves:
    """A profile cut into so many."""
    length = float(knots[-1]) / number
    pieces = _pieces(knots, diameters, number)
    part, a, b = pieces.part, pieces.start_diameter, pieces.stop_diameter
    slant = np.sqrt(part**2 + (pieces.rise / (2 * length)) ** 2)
    return Halves(
        length,
        lateral=pieces.sum((a + b) / 2 * slant),
        section=math.pi / 12 * pieces.sum((a**2 + a * b + b**2) * part),
        through=pieces.sum(part / (a * b)) * length,
    )


def stretch_of(
    knots: FloatArray, diameters: FloatArray, begin: float, end: float
) -> tuple[FloatArray, FloatArray]:
    """A profile's part from `begin` to `end`: of a step there, what lies inside."""
    inside = (knots > begin) & (knots < end)
    first = int(np.searchsorted(knots, begin, side="right")) - 1
    last = int(np.searchsorted(knots, end, side="left"))
    ends = [
        np.interp(at, knots[k : k + 2], diameters[k : k + 2])
        for at, k in ((begin, min(first, knots.size - 2)), (end, max(last - 1, 0)))
    ]
    return (
        np.concatenate(([0.0], knots[inside] - begin, [end - begin])),
        np.concatenate((ends[:1], diameters[inside], ends[1:])),
    )


def places_along(path: FloatArray, x: FloatArray) -> FloatArray:
    """Where positions on an axon lie in space, µm, (k, 3)."""
    reached = _distances(path)
    return np.stack([np.interp(x, reached, coordinate) for coordinate in path.T], axis=1)


class _Pieces(NamedTuple):
    """A profile cut at its knots and into cells of equal length, seen piece by piece."""

    cells: int
    cell: IntArray  # in which it lies
    part: FloatArray  # that it makes up of the cell, above 0 and up to 1
    start_diameter: FloatArray  # µm
    stop_diameter: FloatArray  # µm
    rise: FloatArray  # from one to the other, in µm, without the cancellation of a difference

    def sum(self, values: FloatArray) -> FloatArray:
        """Sum over each cell of what has these `values` in the pieces, shape (cells,)."""
        return np.bincount(self.cell, values, minlength=self.cells).astype(np.float64, copy=False)


def _pieces(knots: FloatArray, diameters: FloatArray, cells: int) -> _Pieces:
    # Counted in cells. Multiplied before divided: a knot that lies on an edge by the numbers
    # the user wrote then does so here.
    u: FloatArray = np.minimum(knots * cells / knots[-1], float(cells))
    u[-1] = cells
    points = distinct(np.concatenate((np.arange(cells + 1.0), u)))
    start, stop = points[:-1], points[1:]
    k = np.searchsorted(u, start, side="right") - 1
    u0, u1, d0, d1 = u[k], u[k + 1], diameters[k], diameters[k + 1]

    def diameter(at: FloatArray) -> FloatArray:
        # From the nearer knot: meets both knots exactly, and the same from either side.
        t = (at - u0) / (u1 - u0)
        return np.where(t < 0.5, d0 + (d1 - d0) * t, d1 - (d1 - d0) * (1 - t))

    return _Pieces(
        cells=cells,
        cell=start.astype(np.int64),
        part=stop - start,
        start_diameter=diameter(start),
        stop_diameter=diameter(stop),
        rise=(d1 - d0) * ((stop - start) / (u1 - u0)),
    )


def _checked_profile(x: QuantitiesLike, diameter: QuantitiesLike) -> tuple[FloatArray, FloatArray]:
    """Knots and their diameters in µm, less the knots inside a stretch of one diameter."""
    knots = quantities(x, "um", "x", error=GeometryError)
    d = quantities(diameter, "um", "diameter", error=GeometryError, positive=True)
    if knots.ndim != 1 or knots.shape != d.shape or knots.size < 2:
        raise GeometryError(
            f"x and diameter have shapes {knots.shape} and {d.shape}; "
            "give two lists of the same length, with at least two points"
        )
    if knots[0] != 0:
        raise GeometryError(f"x[0] = {float(knots[0])!r} um must be 0, the axon's origin")
    back = np.flatnonzero(np.diff(knots) < 0)
    if back.size:
        k = int(back[0]) + 1
        raise GeometryError(
            f"x[{k}] = {float(knots[k])!r} um lies before x[{k - 1}] = {float(knots[k - 1])!r} um; "
            "positions must not decrease"
        )
    if knots[-1] == 0:
        raise GeometryError("x[-1] = 0.0 um, the axon's length, must be greater than 0")
    if knots[-1] > _LONGEST:
        raise GeometryError(f"the length, {knots[-1]:g} um, must be at most {_LONGEST:g} um")
    again = np.flatnonzero(np.diff(knots) == 0)
    for k in again[[0, -1]] if again.size else ():
        if k in (0, knots.size - 2):
            raise GeometryError(
                f"x[{k}] and x[{k + 1}] are a step at the axon's end, at {float(knots[k])!r} um; "
                "leave one of them out"
            )
    thrice = again[1:][np.diff(again) == 1]
    if thrice.size:
        raise GeometryError(
            f"x has more than two points at {float(knots[thrice[0]])!r} um; a step takes two"
        )
    corner = np.ones(knots.size, dtype=bool)
    corner[1:-1] = (d[1:-1] != d[:-2]) | (d[1:-1] != d[2:])
    return knots[corner], d[corner]


def _checked_path(path: QuantitiesLike, length: float) -> FloatArray:
    """Points in space, µm, (k, 3), far enough along for the axon."""
    points = quantities(path, "um", "path", error=GeometryError)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 2:
        raise GeometryError(f"path has the shape {points.shape}; give two places (x, y, z) or more")
    farthest = np.abs(points).max()
    if farthest > _LONGEST:
        raise GeometryError(f"path reaches {farthest:g} um; it may reach {_LONGEST:g} um")
    reached = _distances(points)
    again = np.flatnonzero(np.diff(reached) == 0)
    if again.size:
        k = int(again[0])
        raise GeometryError(
            f"path[{k}] and path[{k + 1}] are one place, {tuple(points[k].tolist())} um; "
            "leave one of them out"
        )
    if reached[-1] < length * (1 - _SHORT):
        raise GeometryError(
            f"path is {reached[-1]:g} um long, and the axon {length:g} um; give more of it"
        )
    return points


def _distances(points: FloatArray) -> FloatArray:
    """How far each of these points is from the first one on the way through all of them, µm."""
    steps = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    return np.append(0.0, np.cumsum(steps))


def check_room(n: int) -> None:
    """Refuse more compartments than memory holds while an axon is cut into them."""
    too_much = lacking(n * _CUTTING)
    if too_much is not None:
        raise GeometryError(f"{n} compartments {too_much}; cut the axon into fewer")


def number_of_compartments(
    knots: FloatArray,
    diameters: FloatArray,
    Ra: Varying,
    cm: Varying,
    dx: QuantityLike | None,
    compartments: int | None,
    d_lambda: float | None,
) -> int:
    """Into how many a profile is cut; see `Axon`."""
    cuts = {"dx": dx, "compartments": compartments, "d_lambda": d_lambda}
    given = [name for name, value in cuts.items() if value is not None]
    if len(given) > 1:
        raise GeometryError(f"{' and '.join(given)} both say how to cut the axon; write only one")
    length = float(knots[-1])
    if compartments is not None:
        return _checked_number(compartments)
    if dx is not None:
        return parts_of(length, _length(dx, "dx"))
    fraction = 0.1 if d_lambda is None else d_lambda
    fraction = quantity(fraction, "", "d_lambda", error=GeometryError, positive=True)
    cells = _LAMBDA_CELLS if callable(Ra) or callable(cm) else 1
    centres = _centres(length, cells)
    squared = np.full(cells, 4 * math.pi * _LAMBDA_FREQUENCY)
    for name, unit, value in (("Ra", "ohm*cm", Ra), ("cm", "uF/cm^2", cm)):
        values = quantities(_at(value, centres), unit, name, error=GeometryError, positive=True)
        if values.ndim and not callable(value):
            raise GeometryError(
                f"{name} has a value for each compartment, so their number must be known; "
                f"write compartments={values.size}, or {name} as a function of position"
            )
        squared *= _each(values, cells, unit, name)
    # dx/λ = 1e-5 √(4π f Ra cm / d) dx, and 1/√d has the mean 2 / (√a + √b) along a frustum.
    pieces = _pieces(knots, diameters, cells)
    roots = np.sqrt(pieces.start_diameter) + np.sqrt(pieces.stop_diameter)
    lambdas = (np.sqrt(squared) * pieces.sum(2 * pieces.part / roots)).sum()
    lambdas *= 1e-5 * length / cells
    return _checked_number(
        int((_ratio(float(lambdas), fraction, "compartments") + 0.9) / 2) * 2 + 1
    )


def _checked_number(compartments: object) -> int:
    if not is_whole(compartments):
        raise GeometryError(f"compartments = {compartments!r} must be a whole number, such as 1000")
    if not 1 <= compartments <= MAX_COMPARTMENTS:
        raise GeometryError(
            f"compartments = {compartments} must be from 1 to {MAX_COMPARTMENTS} (100 million)"
        )
    return int(compartments)


def parts_of(length: float, dx: float) -> int:
    """Into how many parts no longer than `dx` a length is cut."""
    return math.ceil(_ratio(length, dx, "compartments"))


def _ratio(whole: float, part: float, what: str) -> float:
    """How often `part` fits into `whole`; the integer where only rounding keeps it from one."""
    ratio = whole / part
    if ratio > MAX_COMPARTMENTS:
        raise GeometryError(
            f"{ratio:g} {what} are more than {MAX_COMPARTMENTS} (100 million); "
            "write a larger dx, d_lambda or spacing, or a shorter axon"
        )
    # 0.9 / 0.3 is 3.0000000000000004 in floating point.
    return round(ratio) if math.isclose(ratio, round(ratio), rel_tol=1e-12) else ratio


def _length(value: QuantityLike, name: str) -> float:
    return quantity(value, "um", name, error=GeometryError, positive=True)


def _centres(length: float, n: int) -> FloatArray:
    return (np.arange(n) + 0.5) * length / n


def _at(value: Varying, x: FloatArray) -> QuantitiesLike:
    # A copy, so that a function may write into the positions it is given.
    return value(x.copy()) if callable(value) else value


def _each(value: QuantitiesLike, n: int, unit: str, name: str) -> FloatArray:
    """One value for each of n compartments."""
    values = quantities(value, unit, name, error=GeometryError, positive=True)
    if values.shape not in ((), (n,)):
        raise GeometryError(
            f"{name} has shape {values.shape} on an axon of {n} compartments; "
            f"write one value, {n} values, or a function of position"
        )
    return values if values.ndim else np.full(n, values)


def brief(values: FloatArray) -> float | list[float]:
    """A single number if all are the same."""
    return float(values[0]) if (values == values[0]).all() else values.tolist()
