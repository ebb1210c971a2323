"""Branching axons from SWC files, and back.

The format is a list of points: number, type, place, radius, parent (R. C. Cannon, D. A. Turner,
G. K. Pyapali, H. V. Wheal, J. Neurosci. Methods 84, 49-54 (1998)). What lies between a point and
its parent it leaves to programs. Here it is what NeuroMorpho.Org and NEURON take it for, as
`read_swc` tells. A file that can't be read in one way only is refused, with the line.
"""

from __future__ import annotations

import math
import operator
import os
import reprlib
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from axon import __version__
from axon.errors import GeometryError, WriteError
from axon.geometry import MAX_COMPARTMENTS, Axon, IntArray
from axon.portable import distinct
from axon.records import Record
from axon.trees import MAX_BRANCHES, Branch, Tree
from axon.units import FloatArray, QuantityLike, quantity

__all__ = ["read_swc", "write_swc"]

MAX_POINTS = 1_000_000
MAX_LINE = 100_000  # characters

_COLUMNS = ("number", "type", "x", "y", "z", "radius", "parent")
_WHOLE = {"number": 0, "type": 0, "parent": -1}  # and the least that each may be
_LARGEST = 1e12  # of any number; µm
_SOMA, _AXON = 1, 2  # types
_CLOSE = 1e-12  # of a branch's length; corners of path and profile that are closer are one
_SAME = 1e-9  # of a length, by which places that are one may differ


def read_swc(
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

    Each stretch between branch points, tips and the edge of the soma becomes a branch, with the
    number of its last point as its name. Branches come depth first, those that leave one point by
    the numbers of their first points, but the soma first; the order of the lines doesn't matter.

    Parameters
    ----------
    path : path-like
        The file. Lines that begin with ``#`` and empty ones are left out; every other holds seven
        numbers: of the point, its type, x, y, z and radius in µm, and its parent's number or -1.
    Ra, cm : float or quantity, optional
        Axial resistivity in Ω·cm, specific capacitance in µF/cm²; of all branches.
    dx, d_lambda : optional
        How to cut each branch; see `Axon`.
    types : collection of int, optional
        Only points of these types are kept; ``{2}`` is the axon alone. A point whose parent is
        left out is a root.
    root : int, optional
        The number of the root whose tree is read, where there are several.

    Returns
    -------
    Tree

    Raises
    ------
    GeometryError
        If the file can't be read, or isn't one tree that can have a membrane; the message names
        the line.

    Notes
    -----
    From a point to its parent goes a frustum with the radii of both, whatever their types are, but
    where a neurite leaves the soma (type 1) it has its own first radius on all of the way [2]_.

    A soma of one point is a sphere: a cylinder that is as long as it is wide, along y, with the
    same membrane [1]_. Its other standard form, three points of which the first is the middle, is
    the same cylinder by itself. Any other soma is as it is drawn; it is where the tree begins.
    Neurites that leave from an end of it are drawn from there. Those that leave from inside it, as
    from the middle of a sphere, begin at their own first point, and the way to there is no membrane
    and no resistance [2]_; if that is their only point, they are drawn from the soma's.

    A point at its parent's place with another radius is a step, but in a soma. The first point of a
    stretch may repeat the branch point, with a radius of its own.

    References
    ----------
    .. [1] Soma format representation in NeuroMorpho.Org as of version 5.3,
       https://neuromorpho.org/SomaFormat.html.
    .. [2] Import3d_SWC_read of NEURON (M. L. Hines, N. T. Carnevale, Neuroscientist 7, 123-135
       (2001)), share/lib/hoc/import3d/read_swc.hoc.

    Examples
    --------
    >>> text = "1 2 0 0 0 0.5 -1\\n2 2 100 0 0 0.5 1\\n3 2 190 0 0 0.3 2\\n4 2 100 80 0 0.3 2\\n"
    >>> _ = Path("fork.swc").write_text(text)
    >>> [(branch.name, branch.parent) for branch in read_swc("fork.swc").branches]
    [('2', -1), ('3', 0), ('4', 0)]
    """
    cut = partial(
        Axon.from_profile,
        Ra=quantity(Ra, "ohm*cm", "Ra", error=GeometryError, positive=True),
        cm=quantity(cm, "uF/cm^2", "cm", error=GeometryError, positive=True),
        dx=None if dx is None else quantity(dx, "um", "dx", error=GeometryError, positive=True),
        d_lambda=d_lambda,
    )
    points = _points(path)
    if types is not None:
        points = _picked(points, types)
    start = _start(points, root)
    branches = _Growth(_with_sphere(points, start), start, cut).branches
    try:
        return Tree(tuple(branches))
    except GeometryError as error:
        raise points.refusal(str(error)) from error


class _Points(Record):
    """The points of a file, by increasing numbers; parents by their index in this order."""

    file: str
    number: IntArray
    type: IntArray
    place: FloatArray  # µm, (k, 3)
    radius: FloatArray  # µm
    parent: IntArray  # -1 where there is none
    line: IntArray

    def told(self, *which: int) -> str:
        """Such as ``point 5 (line 6)``."""
        shown = [f"{self.number[i]} (line {self.line[i]})" for i in which[:5]]
        shown += ["..."] * (len(which) > 5)
        return ("points " if len(which) > 1 else "point ") + ", ".join(shown)

    def refusal(self, why: str) -> GeometryError:
        return GeometryError(f"{self.file}: {why}")


def _points(path: str | os.PathLike[str]) -> _Points:
    """What a file holds, once it is sure that every point hangs from a root."""
    rows, lines = array("d"), array("q")
    try:
        if not Path(path).is_file():
            raise GeometryError(f"{path} is no file")
        # Comments may be in whatever encoding. Bytes that aren't UTF-8 make no number.
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as file:
            lines_of_file = iter(partial(file.readline, MAX_LINE + 1), "")
            for number, line in enumerate(lines_of_file, 1):
                where, bare = f"{path}, line {number}", line.strip()
                if len(line) > MAX_LINE:
                    raise GeometryError(f"{where} has more than {MAX_LINE} characters")
                if not bare or bare[0] == "#":
                    continue
                if len(lines) == MAX_POINTS:
                    raise GeometryError(
                        f"{where}: there are more than {MAX_POINTS} points; write fewer"
                    )
                rows.extend(_row(bare, where))
                lines.append(number)
    except OSError as error:
        raise GeometryError(f"{path} can't be read: {error}") from error
    if not lines:
        raise GeometryError(f"{path} holds no points; it may be no SWC file")
    return _linked(str(path), np.array(rows).reshape(-1, len(_COLUMNS)), np.array(lines))


def _row(line: str, where: str) -> list[float]:
    """The numbers of a line."""
    words = line.split()
    if len(words) != len(_COLUMNS):
        raise GeometryError(
            f"{where}: {reprlib.repr(line)} has {len(words)} columns; a point has "
            f"{len(_COLUMNS)}, divided by blanks: {', '.join(_COLUMNS)}"
        )
    row = []
    for name, word in zip(_COLUMNS, words, strict=True):
        value = _number(word)
        if not abs(value) <= _LARGEST:
            why = f"must be a number, from -{_LARGEST:g} to {_LARGEST:g}"
        elif name in _WHOLE and not (value.is_integer() and value >= _WHOLE[name]):
            why = f"must be a whole number, at least {_WHOLE[name]}"
        elif name == "radius" and not value > 0:
            why = "must be greater than 0; measure it, or write a guess"
        else:
            row.append(value)
            continue
        raise GeometryError(f"{where}: {name} = {reprlib.repr(word)} {why}")
    return row


def _number(word: str) -> float:
    """Python takes underscores and digits of any script; a file's numbers have neither."""
    try:
        return float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        return math.nan


def _linked(file: str, rows: FloatArray, lines: IntArray) -> _Points:
    """The points of these rows, if each has a number of its own and descends from a root."""
    order = np.argsort(rows[:, 0], kind="stable")
    number, kind, parent = rows[order][:, [0, 1, 6]].astype(np.int64).T
    at = np.minimum(np.searchsorted(number, parent), len(number) - 1)
    points = _Points(
        file=file,
        number=number,
        type=kind,
        place=rows[order, 2:5],
        radius=rows[order, 5],
        parent=np.where(parent < 0, -1, at),
        line=lines[order],
    )
    twice = np.flatnonzero(number[1:] == number[:-1])
    if twice.size:
        k = int(twice[0])
        raise points.refusal(
            f"lines {points.line[k]} and {points.line[k + 1]} are both point {number[k]}; "
            "give each a number of its own"
        )
    orphans = np.flatnonzero((parent >= 0) & (number[at] != parent))
    if orphans.size:
        k = int(orphans[0])
        raise points.refusal(
            f"{points.told(k)} has the parent {parent[k]}, which is not there; write the number "
            "of another point, or -1 for a root"
        )
    # Everyone's parent's parent's ... parent, 2^k generations up: a root, or someone in a circle.
    up = np.where(parent < 0, np.arange(len(at)), at)
    for _ in range(len(at).bit_length()):
        up = up[up]
    lost = up[parent[up] >= 0]
    if lost.size:
        k = int(lost.min())
        raise points.refusal(
            f"{points.told(k)} is its own {'parent' if at[k] == k else 'ancestor'}; "
            "write -1 as the parent of the root"
        )
    return points


def _picked(points: _Points, types: Collection[int]) -> _Points:
    """Those of these types."""
    try:
        wanted = sorted({operator.index(each) for each in types})
    except TypeError:
        raise GeometryError(
            f"types = {reprlib.repr(types)} must be whole numbers, such as {{2}}"
        ) from None
    kept = np.isin(points.type, wanted)
    if not kept.any():
        there = ", ".join(str(each) for each in distinct(points.type)[:10])
        raise points.refusal(f"no point has one of types = {wanted}; there are {there}")
    # One more, for a parent of -1.
    index = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    return replace(
        points,
        number=points.number[kept],
        type=points.type[kept],
        place=points.place[kept],
        radius=points.radius[kept],
        parent=index[points.parent[kept]],
        line=points.line[kept],
    )


def _start(points: _Points, root: int | None) -> int:
    """Index of the root whose tree is meant."""
    roots = np.flatnonzero(points.parent < 0)
    chosen = roots if root is None else roots[points.number[roots] == root]
    if len(chosen) == 1:
        return int(chosen[0])
    there = points.told(*roots.tolist())
    if root is None:
        raise points.refusal(
            f"there are {len(roots)} trees, from {there}; write root={points.number[roots[0]]} to "
            "read one of them, or types, to leave points out"
        )
    raise points.refusal(f"root = {root!r} is no root; write the number of {there}")


def _with_sphere(points: _Points, start: int) -> _Points:
    """A soma of one point as three: its middle and, along y, its ends."""
    soma = points.type == _SOMA
    if not soma[start] or (soma & (points.parent == start)).any():
        return points
    middle, radius = points.place[start], points.radius[start]
    ends = middle + radius * np.array([(0.0, -1.0, 0.0), (0.0, 1.0, 0.0)])
    return replace(
        points,
        number=np.append(points.number, [points.number[start]] * 2),
        type=np.append(points.type, [_SOMA] * 2),
        place=np.append(points.place, ends, axis=0),
        radius=np.append(points.radius, [radius] * 2),
        parent=np.append(points.parent, [start] * 2),
        line=np.append(points.line, [points.line[start]] * 2),
    )


class _Growth:
    """Branches, made depth first from the points that descend from one."""

    def __init__(self, points: _Points, start: int, cut: Callable[..., Axon]) -> None:
        parent, soma = points.parent, points.type == _SOMA
        n = len(parent)
        has = parent >= 0
        inner = np.bincount(parent[has & soma], minlength=n) + (has & soma[parent]) >= 2
        # Neurites that leave from inside the soma, and so begin without it.
        wired = has & ~soma & (soma & inner)[parent]
        drawn = np.flatnonzero(has & ~wired)
        self.count = np.bincount(parent[drawn], minlength=n).tolist()
        onward = np.full(n, -1)
        onward[parent[drawn]] = drawn
        alone = (np.bincount(parent[drawn], minlength=n) == 1) & (soma == soma[onward])
        steps = _steps(points.place, parent)
        self.points, self.start, self.cut = points, start, cut
        self.branches: list[Branch] = []
        self.compartments = 0
        self.parent = parent.tolist()
        self.soma, self.wired = soma.tolist(), wired.tolist()
        self.repeats = (has & (steps == 0)).tolist()
        self.onward = np.where(alone, onward, -1).tolist()
        self.children: list[list[int]] = [[] for _ in range(n)]
        for child in np.lexsort((np.arange(n), ~soma)).tolist():
            if self.parent[child] >= 0:
                self.children[self.parent[child]].append(child)
        self._grow()

    def _grow(self) -> None:
        halves = [child for child in self.children[self.start] if self.soma[child]]
        if self.soma[self.start] and len(halves) == 2:  # one cable, through the middle
            first, second = map(self._onwards, halves)
            own = [*reversed(first), self.start, *second]
        else:
            own = self._onwards(self.start)
        todo = self._add(own, self.points.radius[own], (0, 0.0), own)
        while todo:
            child, origin = todo.pop()
            of, own = self.parent[child], self._onwards(child)
            if self.wired[child] and self.children[child]:
                run, radii = own, self.points.radius[own]
            else:
                run = [of, *own]
                radii = self.points.radius[run]
                if self.soma[of] and not self.soma[child]:
                    radii[0] = radii[1]
            todo += self._add(run, radii, origin, own)
        if not self.branches:
            raise self.points.refusal(
                f"{self.points.told(self.start)} is all that there is; a cable needs two points"
            )

    def _onwards(self, point: int) -> list[int]:
        """This point and those after it, as far as the cable neither branches nor ends."""
        run = [point]
        while (point := self.onward[point]) >= 0:
            run.append(point)
        return run

    def _add(
        self, run: list[int], radii: FloatArray, origin: tuple[int, float], own: list[int]
    ) -> list[tuple[int, tuple[int, float]]]:
        """A branch through these points, if it has a length; what leaves from its `own` ones."""
        for point in own:
            self._check(point)
        place = self.points.place[run]
        steps = _steps(place, np.arange(-1, len(run) - 1))
        x = np.cumsum(steps)
        lies = [origin] * len(run)
        if x[-1] > 0:
            if len(self.branches) == MAX_BRANCHES:
                raise self.points.refusal(
                    f"there are more than {MAX_BRANCHES} stretches between branch points and tips; "
                    "leave some out"
                )
            # A step where a branch begins or ends is one from or to its neighbours.
            inside = slice(np.searchsorted(x, 0.0, "right") - 1, np.searchsorted(x, x[-1]) + 1)
            path = place[np.append(True, steps[1:] > 0)]
            try:
                cable = self.cut(x[inside], 2 * radii[inside]).along(path)
            except GeometryError as error:
                raise self.points.refusal(
                    f"from {self.points.told(run[0])} to {self.points.told(run[-1])}: {error}"
                ) from error
            self.compartments += cable.n
            if self.compartments > MAX_COMPARTMENTS:
                raise self.points.refusal(
                    f"branches have more than {MAX_COMPARTMENTS} compartments (100 million); "
                    "write a larger dx or d_lambda"
                )
            lies = [(len(self.branches), at) for at in x.tolist()]
            parent, start = origin if self.branches else (-1, 0.0)
            self.branches.append(Branch(cable, parent, start, str(self.points.number[run[-1]])))
        at = dict(zip(run, lies, strict=True))
        leaving = [(child, at[of]) for of in own for child in self.children[of] if child not in at]
        return leaving[::-1]

    def _check(self, point: int) -> None:
        """Refuse a soma away from the root, and points that repeat another and mean nothing."""
        of, told = self.parent[point], self.points.told
        if of >= 0 and self.soma[point] and not self.soma[of]:
            raise self.points.refusal(
                f"{told(point)} is of a soma, and its parent, {told(of)}, isn't; "
                "make a point of the soma the root, or give this one another type"
            )
        if not self.repeats[point]:
            return
        if self.soma[point]:
            why = "in a soma, where there are no steps; leave it out"
        elif not self.children[point]:
            why = "is a tip without length; leave it out"
        elif self.wired[point] or self.count[of] != 1:
            return
        elif of == self.start or self.wired[of]:
            why = "so the cable begins twice; leave one of them out"
        elif self.repeats[of]:
            why = "which lies where its own does; a step takes two points, leave one out"
        elif not self.soma[of] and self.points.radius[of] == self.points.radius[point]:
            why = "and has its radius; leave it out, or give it another radius, for a step"
        else:
            return
        raise self.points.refusal(f"{told(point)} lies where its parent, {told(of)}, does, {why}")


def write_swc(
    tree: Tree, path: str | os.PathLike[str], *, types: int | Sequence[int] = _AXON
) -> None:
    """Write a branching axon as an SWC file.

    `read_swc` makes the same shape of it. Where another branch begins within one, a point is put
    in between, and that one becomes two; a branch that goes on alone from another's end becomes
    one with it. The format knows nothing of `Ra`, `cm`, names and how branches are cut.

    Parameters
    ----------
    tree : Tree
        All of its branches must have a path.
    path : path-like
        The file; one that is there is replaced.
    types : int or sequence of int, optional
        The type of all points, or one for those of each branch. Branches of type 1, the soma, may
        only begin on one of that type; others may lie apart from the soma if they begin on it
        anywhere but at its ends.

    Raises
    ------
    GeometryError
        If `tree` can't be told by the format; the message names the branch.
    WriteError
        If the file can't be written.
    """
    lines = [f"# written by axon {__version__}", f"# {' '.join(_COLUMNS)} (um)"]
    for number, point in enumerate(_outline(tree.branches, types), 1):
        values = number, point.type, *point.place, point.radius, point.parent
        lines.append(" ".join(map(repr, values)))
    try:
        Path(path).write_text("\n".join(lines) + "\n", "utf-8")
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror or error}") from error


class _Point(NamedTuple):
    type: int
    place: tuple[float, ...]  # µm
    radius: float  # µm
    parent: int  # its number, from 1 on; -1 for the root


def _outline(branches: Sequence[Branch], types: int | Sequence[int]) -> list[_Point]:
    """The points of a file, parents before children."""
    codes = _codes(types, len(branches))
    stops: list[list[float]] = [[] for _ in branches]
    for branch in branches[1:]:
        stops[branch.parent].append(branch.at)
    points: list[_Point] = []
    known: list[tuple[FloatArray, list[int]]] = []  # positions on each branch, and their points
    apart: list[tuple[str, int]] = []  # neurites that don't touch the soma, and where they begin
    for k, branch in enumerate(branches):
        told = f"branch {k}, {branch.name!r},"
        if branch.cable.path is None:
            raise GeometryError(f"{told} lies nowhere in space; give its cable a path by along()")
        x, places, radii = _knots(branch.cable, branch.cable.path, stops[k])
        fresh = [
            _Point(codes[k], tuple(place), radius, -1)
            for place, radius in zip(places.tolist(), radii.tolist(), strict=True)
        ]
        parent, numbers = -1, []
        if k > 0:
            positions, there = known[branch.parent]
            parent = there[_nearest(positions, branch.at)]
            begin, first = points[parent - 1], fresh[0]
            leaves = begin.type == _SOMA != codes[k]
            if codes[k] == _SOMA != begin.type:
                raise GeometryError(
                    f"types: {told} is of a soma, and branch {branch.parent}, on which it begins, "
                    "isn't; write other types"
                )
            size = max(float(x[-1]), *map(abs, begin.place))
            if math.dist(first.place, begin.place) > _SAME * size:
                if not leaves:
                    raise GeometryError(
                        f"{told} begins at {first.place} um, and branch {branch.parent} has "
                        f"{begin.place} um there; give it a path that begins on its parent"
                    )
                apart.append((told, parent))
            elif not leaves and first.radius == begin.radius:
                numbers.append(parent)
                del fresh[0]
            else:
                fresh[0] = first._replace(place=begin.place)
        for point in fresh:
            if parent > 0 and point.type == _SOMA and point.place == points[parent - 1].place:
                raise GeometryError(
                    f"types: {told} is of a soma and has a step at {point.place} um, which can't "
                    "be read again; write another type"
                )
            points.append(point._replace(parent=parent))
            parent = len(points)
            numbers.append(parent)
        known.append((x, numbers))
    soma = Counter(point.parent for point in points if point.type == _SOMA)
    for told, number in apart:
        if soma[number] + (points[number - 1].parent > 0) < 2:
            raise GeometryError(
                f"{told} begins at an end of the soma, but lies apart from it; "
                "give it a path that begins there, or let it begin within"
            )
    return points


def _codes(types: int | Sequence[int], n: int) -> list[int]:
    """The type of each branch."""
    try:
        codes = [
            operator.index(each) for each in (types if isinstance(types, Sequence) else [types] * n)
        ]
    except TypeError:
        codes = []
    if len(codes) != n or min(codes) < 0:
        raise GeometryError(
            f"types = {reprlib.repr(types)} must be one whole number, such as 2, or one for each "
            f"of {n} branches"
        )
    return codes


def _knots(
    cable: Axon, path: FloatArray, stops: Sequence[float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Positions, places and radii wherever the shape, the path or another branch needs a point."""
    reached = np.cumsum(_steps(path, np.arange(-1, len(path) - 1)))
    taken = distinct(cable.profile_x).tolist()
    more: list[float] = []
    for wanted, close in ((reached[1:-1].tolist(), _CLOSE), (stops, _SAME)):
        for at in wanted:
            k = bisect_right(taken, at)
            near = min(abs(at - each) for each in taken[max(k - 1, 0) : k + 1])
            if at < cable.length and near > close * cable.length:
                taken.insert(k, at)
                more.append(at)
    x = np.append(cable.profile_x, more)
    between = np.interp(more, cable.profile_x, cable.profile_diameter)
    diameter = np.append(cable.profile_diameter, between)
    order = np.argsort(x, kind="stable")  # the knots of a step stay in their order
    x, diameter = x[order], diameter[order]
    new = np.append(True, (np.diff(x) > 0) | (np.diff(diameter) != 0))
    places = np.stack([np.interp(x[new], reached, each) for each in path.T], axis=1)
    return x[new], places, diameter[new] / 2


def _nearest(x: FloatArray, at: float) -> int:
    """Index of the position that is nearest; at a step, of what comes after it."""
    k = min(max(int(np.searchsorted(x, at)), 1), len(x) - 1)
    nearest = x[k] if x[k] - at < at - x[k - 1] else x[k - 1]
    return int(np.searchsorted(x, nearest, "right")) - 1


def _steps(place: FloatArray, parent: IntArray) -> FloatArray:
    """How far each point is from its parent, µm; 0 where that is -1."""
    steps = np.sqrt(((place - place[parent]) ** 2).sum(axis=1))
    return np.where(parent < 0, 0.0, steps)
