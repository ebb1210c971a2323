"""Axons that branch: cables joined at branch points, cut into one tree of compartments.

Where cables meet there is a compartment whose membrane is the first half compartment of every
cable that begins there, and the last one of that which ends there. So the membrane is all there,
each joint of two compartments lies within one cable, and a tree whose cables differ by nothing but
their number is cut as the one cable is that stands for all of them (Rall).
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from axon.errors import GeometryError
from axon.geometry import (
    MAX_COMPARTMENTS,
    Axon,
    IntArray,
    Shape,
    Varying,
    check_room,
    halves,
    parts_of,
    places_along,
    stretch_of,
)
from axon.records import Record, Value
from axon.units import (
    FloatArray,
    PositionLike,
    QuantitiesLike,
    QuantityLike,
    is_whole,
    quantities,
    quantity,
)
from axon.units import position as place_on

__all__ = ["MAX_BRANCHES", "Branch", "BranchPoint", "Tree", "axon_from"]

MAX_BRANCHES = 100_000

_SAME = 1e-9  # of a branch's length: places that are closer are one


class Branch(Record):
    """A cable of a tree, and where it begins.

    Parameters
    ----------
    cable : Axon
        Its shape, its own `Ra` and `cm`, its path through space, and how finely it is cut: no
        compartment of it gets longer than ``cable.length / cable.n``.
    parent : int
        Number of the branch that it begins at, one with a lower number; -1 for the root.
    at : float
        How far along the parent that is, in µm, from 0 to the parent's length.
    name : str
        To find it by; "" for none.
    """

    cable: Axon
    parent: int = -1
    at: float = 0.0
    name: str = ""


class BranchPoint(Value):
    """Where branches begin.

    Attributes
    ----------
    branch, at
        The branch that comes from the root, and how far along it this is, in µm.
    compartment : int
        The one that lies here.
    diameter : float
        Of that branch where it arrives, in µm; NaN where the root itself begins.
    daughters : tuple of (int, float)
        What goes on from here, each the number of a branch and its diameter, in µm. Where the
        arriving branch goes on it is one of them.
    """

    branch: int
    at: float
    compartment: int
    diameter: float
    daughters: tuple[tuple[int, float], ...]

    @property
    def geometric_ratio(self) -> float:
        """Sum of the daughters' diameters^(3/2) over the parent's diameter^(3/2).

        At 1 an impulse meets what a cylinder of one diameter would offer it; above, its current
        has more to charge, and it is late or fails.

        References
        ----------
        S. S. Goldstein, W. Rall, Biophys. J. 14, 731-757 (1974).
        """
        return float(math.fsum(d**1.5 for _, d in self.daughters) / self.diameter**1.5)


_FAN = math.radians(80.0)  # in which the daughters of a regular tree's stem go on


class _Stretch(NamedTuple):
    """Part of a branch between two branch points, or an end and one."""

    branch: int
    begin: float  # along its branch, µm
    end: float
    cells: int  # compartments of its own
    joined: tuple[bool, bool]  # whether it begins and ends at a compartment that it shares


class Tree(Record, Shape):
    """An axon that branches; it never changes.

    It is built from its branches, by `Axon.branch` and `Tree.branch` one after the other, by
    `regular`, or read from a file by `Axon.from_swc`.

    Compartments are numbered branch by branch, along each from where it begins. Where branches
    meet lies a compartment that belongs to the one that comes from the root.

    Parameters
    ----------
    branches : sequence of Branch
        The first one is the root; each of the others begins at an earlier one.

    Attributes
    ----------
    n : int
        Number of compartments.
    length : float
        Of all branches together, in µm.
    x : ndarray of float64, shape (n,)
        How far the centres of the compartments are from the root along the branches, in µm.
    branch_of : ndarray of int64, shape (n,)
        Number of the branch that each compartment belongs to.
    distance : ndarray of float64, shape (n,)
        How far its centre is from where that branch begins, in µm.
    places : ndarray of float64, shape (n, 3)
        Where the centres lie in space, in µm; every branch needs a path for it.
    begins : ndarray of float64, shape (branches,)
        How far from the root each branch begins, in µm.
    area, volume, diameter, cm : ndarray of float64, shape (n,)
        Membrane, µm²; volume, µm³; diameter of the cylinder of the compartment's length and area,
        µm; specific capacitance, µF/cm².
    axial_conductance, passage : ndarray of float64, shape (n - 1,)
        Between the centres of compartment i + 1 and its parent, in µS; and cross-section over
        distance between them, in µm.
    parent : ndarray of int64, shape (n,)
        The neighbour nearer the root; -1 for the first compartment.
    branch_points : tuple of BranchPoint
        In the order of their compartments.

    Raises
    ------
    GeometryError
        If branches don't make a tree, or can't be cut.

    Notes
    -----
    The membrane of the compartment at a branch point, and the resistance between it and its
    neighbours, are those of the halves that meet there, each with the diameters, Ra and cm of its
    own branch. All arrays are read-only.

    Examples
    --------
    >>> import axon
    >>> stem = axon.Axon.cylinder("1 mm", diameter=2.0, dx=10.0)
    >>> twig = axon.Axon.cylinder(500.0, diameter=1.26, dx=10.0)
    >>> fork = stem.branch(twig, at="1 mm").branch(twig, at="1 mm")
    >>> fork
    <Tree: 3 branches, 2000 um, n=201>
    >>> round(fork.branch_points[0].geometric_ratio, 3)
    1.0
    """

    branches: tuple[Branch, ...]
    n: int = field(init=False)
    length: float = field(init=False)
    x: FloatArray = field(init=False)
    branch_of: IntArray = field(init=False)
    distance: FloatArray = field(init=False)
    begins: FloatArray = field(init=False)
    area: FloatArray = field(init=False)
    volume: FloatArray = field(init=False)
    diameter: FloatArray = field(init=False)
    cm: FloatArray = field(init=False)
    axial_conductance: FloatArray = field(init=False)
    passage: FloatArray = field(init=False)
    parent: IntArray = field(init=False)
    branch_points: tuple[BranchPoint, ...] = field(init=False)
    # The compartment in which each branch begins, or -1.
    _begins_in: tuple[int, ...] = field(init=False)
    # Where it begins, on a branch that comes from the root to there.
    _hosts: list[tuple[int, float]] = field(init=False)

    def __post_init__(self) -> None:
        branches = _checked(self.branches)
        hosts = _hosts(branches)
        joints = _joints(branches, hosts)
        with np.errstate(all="ignore"):  # what comes of it is looked at below
            made, begins_in = _assembled(branches, joints)
        made["begins"] = _begins(branches)
        made["x"] = made["begins"][made["branch_of"]] + made["distance"]
        self._take(made)
        object.__setattr__(self, "branches", branches)
        object.__setattr__(self, "n", made["area"].size)
        object.__setattr__(self, "length", math.fsum(each.cable.length for each in branches))
        object.__setattr__(self, "_begins_in", begins_in)
        object.__setattr__(self, "_hosts", hosts)
        object.__setattr__(self, "branch_points", tuple(self._points(joints)))

    @classmethod
    def regular(
        cls,
        length: QuantityLike,
        diameter: QuantityLike,
        generations: int,
        *,
        daughters: int = 2,
        geometric_ratio: float = 1.0,
        length_ratio: float | None = None,
        Ra: Varying = 100.0,
        cm: Varying = 1.0,
        dx: QuantityLike | None = None,
        compartments: int | None = None,
        d_lambda: float | None = None,
    ) -> Tree:
        """A tree whose branches all fork alike; it lies in the plane z = 0.

        Parameters
        ----------
        length, diameter : float or quantity
            Of the stem, in µm.
        generations : int
            How often it forks: there are ``daughters ** generations`` tips.
        daughters : int, optional
            Branches that begin at each branch point.
        geometric_ratio : float, optional
            Of each branch point, see `BranchPoint.geometric_ratio`. At 1 the tree obeys Rall's 3/2
            rule.
        length_ratio : float, optional
            Length of a daughter over that of its parent. By default all branches have one
            electrotonic length, for which it is the square root of the diameters' ratio.
        Ra, cm, dx, compartments, d_lambda
            Of every branch, as for `Axon.cylinder`.

        Returns
        -------
        Tree

        Raises
        ------
        GeometryError
            If an argument will not do.

        References
        ----------
        W. Rall, Exp. Neurol. 1, 491-527 (1959).
        """
        for name, count, least in (("generations", generations, 0), ("daughters", daughters, 1)):
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise GeometryError(f"{name} = {count!r} must be a whole number from {least} on")
        number = sum(daughters**k for k in range(min(generations, 64) + 1))
        if max(number, generations + 1) > MAX_BRANCHES:
            raise GeometryError(
                f"generations = {generations} of {daughters} daughters are more than "
                f"{MAX_BRANCHES} branches"
            )
        ratio = quantity(geometric_ratio, "", "geometric_ratio", error=GeometryError, positive=True)
        thinner = (ratio / daughters) ** (2 / 3)
        shorter = math.sqrt(thinner)
        if length_ratio is not None:
            shorter = quantity(length_ratio, "", "length_ratio", error=GeometryError, positive=True)
        long = quantity(length, "um", "length", error=GeometryError, positive=True)
        thick = quantity(diameter, "um", "diameter", error=GeometryError, positive=True)
        branches: list[Branch] = []
        ends = [(-1, 0.0, 0.0, 0.0)]  # branch, and where it ends, and its heading
        for generation in range(generations + 1):
            cable = Axon.cylinder(
                long, thick, Ra=Ra, cm=cm, dx=dx, compartments=compartments, d_lambda=d_lambda
            )
            before, ends = ends, []
            fan = _FAN / daughters ** max(generation - 1, 0)
            for parent, x, y, heading in before:
                for k in range(daughters if generation else 1):
                    turned = heading
                    if generation and daughters > 1:
                        turned += fan * (k / (daughters - 1) - 0.5)
                    to = x + long * math.cos(turned), y + long * math.sin(turned)
                    at = branches[parent].cable.length if parent >= 0 else 0.0
                    path = [(x, y, 0.0), (*to, 0.0)]
                    ends.append((len(branches), *to, turned))
                    branches.append(Branch(cable.along(path), parent, at))
            long, thick = long * shorter, thick * thinner
        return cls(tuple(branches))

    def branch(self, child: Axon | Tree, at: PositionLike, name: str = "") -> Tree:
        """This tree, with a cable or another tree that begins on it.

        Parameters
        ----------
        child : Axon or Tree
            Its origin comes to lie at `at`. Where both have paths through space, these stay as they
            are.
        at : position
            Where, as for `index`.
        name : str, optional
            Of the new branch; for a tree, of its root.

        Returns
        -------
        Tree

        Raises
        ------
        GeometryError
            If there is no such place, or the name is given already.
        """
        on, along = self.where(at)
        grown = list(self.branches)
        if isinstance(child, Tree):
            first = len(grown)
            root, *others = child.branches
            grown.append(Branch(root.cable, on, along, name or root.name))
            grown += [replace(each, parent=each.parent + first) for each in others]
        else:
            grown.append(Branch(child, on, along, name))
        return Tree(tuple(grown))

    def where(self, position: PositionLike) -> tuple[int, float]:
        """Branch and distance along it of a position.

        Parameters
        ----------
        position : float, quantity or pair
            A branch, by number or name, and the distance from where it begins, in µm; or one number
            alone, the distance from the root along the branches, if there is one place only that is
            so far.

        Returns
        -------
        branch : int
        distance : float
            In µm.

        Raises
        ------
        GeometryError
            If there is no such place, or more than one.
        """
        given = place_on(position, "position", error=GeometryError)
        if isinstance(given, tuple):
            on = self._number(given[0])
            length = self.branches[on].cable.length
            if not 0 <= given[1] <= length * (1 + _SAME):
                raise GeometryError(
                    f"position = {given!r}: branch {given[0]!r} is {length!r} um long"
                )
            return on, min(given[1], length)
        lengths = np.array([each.cable.length for each in self.branches])
        there = np.flatnonzero(
            (self.begins <= given * (1 + _SAME)) & (given <= (self.begins + lengths) * (1 + _SAME))
        )
        hosts = self._hosts
        found: dict[int, float] = {}  # a branch has one place that is so far
        for on in there.tolist():
            along = float(min(max(given - self.begins[on], 0.0), lengths[on]))
            shared = on > 0 and along <= _SAME * lengths[on]
            found.setdefault(*(hosts[on] if shared else (on, along)))
        if not found:
            raise GeometryError(
                f"position = {given!r} um is not on the axon; write a distance from the root from "
                f"0 to {float((self.begins + lengths).max())!r} um"
            )
        if len(found) > 1:
            some = ", ".join(f"({on}, {along:g})" for on, along in sorted(found.items())[:3])
            raise GeometryError(
                f"position = {given!r} um from the root is on {len(found)} branches; write one of "
                f"them and the distance along it: {some}"
            )
        return found.popitem()

    def index(self, position: PositionLike) -> int:
        """The compartment that holds a position.

        Parameters
        ----------
        position : float, quantity or pair
            A branch and a distance along it, or a distance from the root; see `where`.

        Returns
        -------
        int
            From 0 to n - 1.

        Raises
        ------
        GeometryError
            If there is no such place, or more than one.
        """
        on, along = self.where(position)
        chain, borders = self._chains[on]
        return int(chain[np.searchsorted(borders, along, side="right")])

    def place(self, compartment: int) -> tuple[int, float]:
        """Branch and distance along it, in µm, of a compartment's centre."""
        return int(self.branch_of[compartment]), float(self.distance[compartment])

    def part_way(self, share: float) -> int:
        """The compartment at a share, from 0 to 1, of the way from the root to the farthest tip."""
        ends = self.begins + [each.cable.length for each in self.branches]
        on = int(ends.argmax())
        there = share * float(ends[on])
        while self.begins[on] > there:
            on = self.branches[on].parent
        return self.index((on, min(there - self.begins[on], self.branches[on].cable.length)))

    def nearest(self, place: QuantitiesLike) -> tuple[int, float]:
        """The position whose compartment's centre is nearest to a place in space.

        Parameters
        ----------
        place : array_like of float or quantity, shape (3,)
            In µm.

        Returns
        -------
        branch : int
        distance : float
            In µm.

        Raises
        ------
        GeometryError
            If `place` is none, or some branch has no path through space.
        """
        point = quantities(place, "um", "place", error=GeometryError)
        if point.shape != (3,):
            raise GeometryError(f"place has the shape {point.shape}; give (x, y, z)")
        return self.place(int(((self.places - point) ** 2).sum(axis=1).argmin()))

    def way(self, start: PositionLike, stop: PositionLike) -> tuple[IntArray, FloatArray]:
        """The compartments on the way from one position to another.

        Returns
        -------
        compartments : ndarray of int64, shape (k,)
        distances : ndarray of float64, shape (k,)
            Of their centres from that of the first, along the branches, in µm.
        """
        found = self.between(self.index(start), self.index(stop))
        return found, np.append(0.0, np.cumsum(np.abs(np.diff(self.x[found]))))

    def between(self, start: int, stop: int) -> IntArray:
        """The compartments on the way from one to another, both included, (k,)."""
        up, down = [start], [stop]
        while up[-1] != down[-1]:
            way = up if up[-1] > down[-1] else down
            way.append(int(self.parent[way[-1]]))
        return np.array(up + down[-2::-1], dtype=np.int64)

    def away_from(self, compartment: int) -> FloatArray:
        """How far every centre is from that of a compartment along the branches, µm, (n,)."""
        ways = np.full(self.n, np.nan)
        at = compartment
        while at >= 0:  # up to the root, from which all the others are reached downwards
            ways[at] = self.x[compartment] - self.x[at]
            at = int(self.parent[at])
        for k in range(1, self.n):
            if np.isnan(ways[k]):
                above = self.parent[k]
                ways[k] = ways[above] + self.x[k] - self.x[above]
        return ways

    @cached_property
    def tips(self) -> IntArray:
        """Compartments that nothing goes on from, the root's not among them."""
        ends = np.bincount(self.parent[1:], minlength=self.n) == 0
        ends[0] = False
        return np.flatnonzero(ends)

    @cached_property
    def places(self) -> FloatArray:
        """Where the centres of the compartments lie in space, µm, (n, 3)."""
        if len(self.branches) == 1:
            return self.branches[0].cable.places
        places = np.empty((self.n, 3))
        for k, each in enumerate(self.branches):
            if each.cable.path is None:
                raise GeometryError(
                    f"branch {each.name or k!r} has no path through space; give its cable one, "
                    "by along([(x, y, z), ...])"
                )
            own = self.compartments_of(k)
            places[own] = places_along(each.cable.path, self.distance[own])
        places.flags.writeable = False
        return places

    def compartments_of(self, branch: int) -> IntArray:
        """The compartments that belong to a branch, by its number, in their order, (k,)."""
        return np.arange(*self._firsts[branch : branch + 2])

    @cached_property
    def _firsts(self) -> IntArray:
        """The first compartment of each branch, and how many there are in all."""
        return np.searchsorted(self.branch_of, np.arange(len(self.branches) + 1))

    @cached_property
    def _chains(self) -> tuple[tuple[IntArray, FloatArray], ...]:
        """Of each branch the compartments on it, shared ones too, and what lies between them."""
        if len(self.branches) == 1:
            return ((np.arange(self.n), self.branches[0].cable.edges[1:-1]),)
        chains = []
        for k, begin in enumerate(self._begins_in):
            own = self.compartments_of(k)
            at = self.distance[own]
            if begin >= 0:
                own, at = np.append(begin, own), np.append(0.0, at)
            chains.append((own, (at[1:] + at[:-1]) / 2))
        return tuple(chains)

    def _number(self, on: int | str) -> int:
        if isinstance(on, str):
            for k, each in enumerate(self.branches):
                if each.name == on:
                    return k
            names = [each.name for each in self.branches if each.name]
            raise GeometryError(
                f"there is no branch {on!r}; "
                + (f"there are {reprlib.repr(names)}" if names else "no branch has a name")
            )
        if not 0 <= on < len(self.branches):
            raise GeometryError(
                f"there is no branch {on}; they are numbered from 0 to {len(self.branches) - 1}"
            )
        return on

    def _points(self, joints: Joints) -> Iterator[BranchPoint]:
        for on, places in enumerate(joints.places):
            cable = self.branches[on].cable
            for at in places:
                daughters = [
                    (k, float(self.branches[k].cable.profile_diameter[0]))
                    for k in joints.beginning[on, at]
                ]
                if at < cable.length:
                    after = stretch_of(cable.profile_x, cable.profile_diameter, at, cable.length)
                    daughters.insert(0, (on, float(after[1][0])))
                arriving = math.nan
                if at > 0:
                    before = stretch_of(cable.profile_x, cable.profile_diameter, 0.0, at)
                    arriving = float(before[1][-1])
                yield BranchPoint(on, at, self.index((on, at)), arriving, tuple(daughters))

    def to_dict(self) -> dict[str, Any]:
        """A description that JSON and TOML can hold, and `axon_from` understands.

        Returns
        -------
        dict
            ``shape`` (always ``"tree"``), ``compartments``, and ``branches``: of each the
            description of its cable with ``parent`` and ``at`` (µm), but for the root, and
            ``name``, if it has one.
        """
        branches = []
        for each in self.branches:
            place = {} if each.parent < 0 else {"parent": each.parent, "at": each.at}
            name = {"name": each.name} if each.name else {}
            branches.append(name | place | each.cable.to_dict())
        return {"shape": "tree", "compartments": self.n, "branches": branches}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Tree:
        """The tree that `to_dict` described.

        Returns
        -------
        Tree
            Equal to the one described, its arrays to the last bit.

        Raises
        ------
        GeometryError
            If `description` is not of that form.
        """
        wanted = {"shape", "compartments", "branches"}
        if (
            not isinstance(description, Mapping)
            or set(description) != wanted
            or description["shape"] != "tree"
            or not isinstance(description["branches"], list | tuple)
        ):
            raise GeometryError(
                "a tree's description has shape = 'tree', compartments, and a list of branches"
            )
        branches: list[Branch] = []
        _check_count(description["branches"])
        n = quantity(description["compartments"], "", "compartments", error=GeometryError)
        if not len(description["branches"]) <= n <= MAX_COMPARTMENTS:
            raise GeometryError(
                f"compartments = {n:g} in the description of {len(description['branches'])} "
                "branches: each has one or more"
            )
        left = 2 * int(n) + 1  # of what cables alone would be cut into: a check before they are
        for k, each in enumerate(description["branches"]):
            if not isinstance(each, Mapping):
                raise GeometryError(f"branches[{k}] is no table")
            rest = dict(each)
            place = [rest.pop("parent", -1), rest.pop("at", 0.0), rest.pop("name", "")]
            alone = rest.get("compartments")
            if isinstance(alone, int) and (left := left - alone) < 0:
                raise GeometryError("branches have more compartments than the tree's description")
            try:
                branches.append(Branch(Axon.from_dict(rest), *place))
            except GeometryError as error:
                raise GeometryError(f"branches[{k}]: {error}") from None
        tree = cls(tuple(branches))
        if tree.n != n:
            raise GeometryError(f"compartments = {n:g}: these branches are cut into {tree.n}")
        return tree

    def to_swc(self, path: str | os.PathLike[str], *, types: int | Sequence[int] = 2) -> None:
        """Write it as an SWC file.

        Parameters
        ----------
        path, types
            As for `axon.swc.write_swc`, which says what such a file keeps.

        Raises
        ------
        GeometryError
            If some branch has no path through space, or can't be told by the format.
        WriteError
            If the file can't be written.
        """
        from axon.swc import write_swc

        write_swc(self, path, types=types)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tree):
            return NotImplemented
        return len(self.branches) == len(other.branches) and all(
            (a.parent, a.at, a.name) == (b.parent, b.at, b.name) and a.cable == b.cable
            for a, b in zip(self.branches, other.branches, strict=True)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle forgets that arrays are read-only, so they are made anew.
        return Tree, (self.branches,)

    def __repr__(self) -> str:
        return f"<Tree: {len(self.branches)} branches, {self.length:g} um, n={self.n}>"


def axon_from(description: Mapping[str, Any]) -> Axon | Tree:
    """The axon that `Axon.to_dict` or `Tree.to_dict` described.

    Raises
    ------
    GeometryError
        If it is neither.
    """
    if isinstance(description, Mapping) and description.get("shape") == "tree":
        return Tree.from_dict(description)
    return Axon.from_dict(description)


class Joints(NamedTuple):
    """Where branches begin, on branches that come from the root."""

    places: list[list[float]]
    """Of each branch, in µm along it, in their order."""
    beginning: dict[tuple[int, float], list[int]]
    """The branches that begin there."""


def _check_count(branches: Sequence[object]) -> None:
    if len(branches) > MAX_BRANCHES:
        raise GeometryError(f"{len(branches)} branches are more than {MAX_BRANCHES}")


def _checked(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    if not isinstance(branches, list | tuple) or not branches:
        raise GeometryError(f"branches = {reprlib.repr(branches)} is no list of branches")
    _check_count(branches)
    found: list[Branch] = []
    names: set[str] = set()
    for k, each in enumerate(branches):
        if not isinstance(each, Branch) or not isinstance(each.cable, Axon):
            raise GeometryError(
                f"branches[{k}] = {reprlib.repr(each)}; give axon.Branch(cable, parent, at)"
            )
        parent = each.parent
        if not is_whole(parent):
            raise GeometryError(f"branches[{k}].parent = {parent!r} is no number of a branch")
        if not (parent == -1 if k == 0 else 0 <= parent < k):
            raise GeometryError(
                f"branches[{k}].parent = {parent}; "
                + (
                    f"it must be from 0 to {k - 1}"
                    if k
                    else "the first branch is the root, with -1"
                )
            )
        if not isinstance(each.name, str):
            raise GeometryError(f"branches[{k}].name = {each.name!r} is no text")
        if each.name and each.name in names:
            raise GeometryError(f"two branches are called {each.name!r}; choose another name")
        names.add(each.name)
        at = quantity(each.at, "um", f"branches[{k}].at", error=GeometryError)
        if k:
            length = found[parent].cable.length
            if not 0 <= at <= length * (1 + _SAME):
                raise GeometryError(
                    f"branches[{k}].at = {at!r} um does not lie on its parent; "
                    f"write a number from 0 to its length, {length!r} um"
                )
            at = min(at, length)
        elif at:
            raise GeometryError(f"branches[0].at = {at!r}: the root begins nowhere; leave it out")
        found.append(Branch(each.cable, int(parent), at, each.name))
    return tuple(found)


def _hosts(branches: Sequence[Branch]) -> list[tuple[int, float]]:
    """Where each branch begins, on one that comes from the root to there."""
    hosts: list[tuple[int, float]] = []
    for each in branches:
        length = branches[max(each.parent, 0)].cable.length
        if each.at > _SAME * length:
            whole = each.at >= length * (1 - _SAME)
            hosts.append((each.parent, length if whole else each.at))
        else:  # of a branch that begins where its parent does, where that is
            hosts.append(hosts[each.parent] if each.parent > 0 else (0, 0.0))
    return hosts


def _joints(branches: tuple[Branch, ...], hosts: list[tuple[int, float]]) -> Joints:
    beginning: dict[tuple[int, float], list[int]] = {}
    for k, host in enumerate(hosts):
        if k:
            beginning.setdefault(host, []).append(k)
    places: list[list[float]] = [[] for _ in branches]
    for on, at in sorted(beginning):
        known = places[on]
        if known and at - known[-1] <= _SAME * branches[on].cable.length:
            beginning[on, known[-1]] += beginning.pop((on, at))
        else:
            known.append(at)
    return Joints(places, beginning)


def _begins(branches: tuple[Branch, ...]) -> FloatArray:
    begins = np.zeros(len(branches))
    for k, each in enumerate(branches[1:], 1):
        begins[k] = begins[each.parent] + each.at
    return begins


def _stretches(branches: tuple[Branch, ...], joints: Joints) -> Iterator[_Stretch]:
    """In the order of their compartments."""
    for k, each in enumerate(branches):
        length, dx = each.cable.length, each.cable.length / each.cable.n
        places = joints.places[k]
        ends = [0.0, *(at for at in places if 0 < at < length), length]
        for i, (begin, end) in enumerate(pairwise(ends)):
            joined = (
                k > 0 or i > 0 or places[:1] == [0.0],
                i + 2 < len(ends) or places[-1:] == [length],
            )
            # In lengths of a compartment, those that are shared at its ends half of one each.
            whole = (
                parts_of(end - begin, dx)
                if joined[0] == joined[1]
                else parts_of(max(end - begin - dx / 2, 0.0), dx)
            )
            yield _Stretch(k, begin, end, max(whole, 1) - all(joined), joined)


def _assembled(
    branches: tuple[Branch, ...], joints: Joints
) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """Arrays of the tree by name, and the compartment in which each branch begins, or -1."""
    if len(branches) == 1:
        return _alone(branches[0].cable), (-1,)
    stretches = list(_stretches(branches, joints))
    total = sum(each.cells + each.joined[1] for each in stretches) + stretches[0].joined[0]
    if total > MAX_COMPARTMENTS:
        raise GeometryError(
            f"{total} compartments are more than {MAX_COMPARTMENTS} (100 million); "
            "write a larger dx or d_lambda"
        )
    check_room(total)
    branch_of, distance = np.zeros(total, np.int64), np.zeros(total)
    parent, through = np.full(total, -1, np.int64), np.empty((2, total))  # 1/axial, 1/passage
    lies_in = np.empty(sum(2 * each.cells + sum(each.joined) for each in stretches), np.int64)
    parts = np.empty((4, lies_in.size))  # area, volume, length and capacitance of each half
    home = {k: place for place, those in joints.beginning.items() for k in those}
    shared: dict[tuple[int, float], int] = {}
    count = half = 0
    if stretches[0].joined[0]:
        shared[0, 0.0] = 0
        count = 1
    begins_in = [shared.get((0, 0.0), -1)]
    last = begins_in[0]
    for each in stretches:
        cable = branches[each.branch].cable
        if each.begin == 0 and each.branch > 0:
            last = shared[home[each.branch]]
            begins_in.append(last)
        own = np.arange(count, count + each.cells + each.joined[1])
        count += own.size
        chain = np.append(last, own) if each.joined[0] else own
        found = halves(
            *stretch_of(cable.profile_x, cable.profile_diameter, each.begin, each.end),
            2 * each.cells + sum(each.joined),
        )
        number = found.lateral.size
        middles = np.float64(each.begin) + (np.arange(number) + 0.5) * found.length
        Ra, cm = (_at_places(values, cable, middles) for values in (cable.Ra, cable.cm))
        here = slice(half, half + number)
        half += number
        skip = 1 - each.joined[0]
        lies_in[here] = np.repeat(chain, 2)[1 - skip : 1 - skip + number]
        membrane = math.pi * found.lateral * found.length
        parts[:, here] = np.broadcast_arrays(
            membrane, found.section * found.length, found.length, cm * membrane
        )
        centres = np.arange(skip, number + 1, 2)  # in halves
        distance[chain[1 - skip :]] = each.begin + centres[1 - skip :] * found.length
        branch_of[own] = each.branch
        if each.joined[1]:
            distance[own[-1]] = each.end
            shared[each.branch, each.end] = last = int(own[-1])
        parent[chain[1:]] = chain[:-1]
        between = slice(skip, skip + 2 * (chain.size - 1))
        for row, resistance in zip(through, (Ra * found.through, found.through), strict=True):
            row[chain[1:]] = resistance[between].reshape(-1, 2).sum(axis=1)
    area, volume, length, charge = (
        np.bincount(lies_in, values, minlength=total).astype(np.float64) for values in parts
    )
    made = {
        "branch_of": branch_of,
        "distance": distance,
        "parent": parent,
        "area": area,
        "volume": volume,
        "diameter": area / (math.pi * length),
        "cm": charge / area,
        # Ω·cm is 1e4 Ω·µm, S is 1e6 µS.
        "axial_conductance": 100 * math.pi / 4 / through[0, 1:],
        "passage": math.pi / 4 / through[1, 1:],
    }
    return made, tuple(begins_in)


def _alone(cable: Axon) -> dict[str, np.ndarray]:
    """The arrays of a tree of one branch: the cable's own, to the last bit."""
    names = ("area", "volume", "diameter", "cm", "axial_conductance", "passage", "parent")
    own = {name: getattr(cable, name) for name in names}
    return own | {"branch_of": np.zeros(cable.n, np.int64), "distance": cable.x}


def _at_places(values: FloatArray, cable: Axon, x: FloatArray) -> FloatArray:
    """What has one value for each compartment of a cable, at places along it."""
    cells = np.minimum((x * cable.n / cable.length).astype(np.int64), cable.n - 1)
    found: FloatArray = values[cells]
    return found
