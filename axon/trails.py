"""The impulses of a run: which spikes followed one another, and what became of them.

Functions here read a run, finished, still growing or in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from axon import units
from axon.geometry import IntArray
from axon.portable import distinct
from axon.records import Record
from axon.units import FloatArray, Position, QuantityLike, position_text

if TYPE_CHECKING:
    from axon.runs import Run
    from axon.timecourses import Waveform
    from axon.trees import Tree

_MOST_TOLD = 6  # ends of an impulse

Fate = Literal["arrived", "collided", "failed", "on its way"]


class Impulse(Record):
    """An impulse on its way: the spikes that followed one another from place to place.

    Attributes
    ----------
    compartments : array (k,)
        Those that it passed, in their order.
    x : array (k,)
        Where they are, µm from the origin along the axon.
    time : array (k,)
        When it was there, ms.
    began : position
        Where it began: µm from the origin, or on an axon that branches a branch and the distance
        along it.
    ended : tuple of position
        Where it came to its end: one place, or two if it set out in both directions, or more on an
        axon that branches.
    ends : tuple of float
        The same in µm from the origin along the axon.
    fates : tuple of str
        What became of it at each of these: ``"arrived"`` at an end of the axon, ``"collided"`` with
        another one, which ended both, ``"failed"`` before either, or ``"on its way"``, if the run
        ended first.
    reexcited : bool
        Whether it began of itself: where another one had passed, as does one that is reflected, or
        beyond a place where another one had ended on its way there; and no stimulus was on since.
    """

    compartments: IntArray
    x: FloatArray
    time: FloatArray
    began: Position
    ended: tuple[Position, ...]
    ends: tuple[float, ...]
    fates: tuple[Fate, ...]
    reexcited: bool

    @property
    def start(self) -> float:
        """Where it began, µm from the origin along the axon."""
        return float(self.x[np.argmin(self.time)])

    @property
    def collided(self) -> bool:
        """Whether it met another one, which ended both."""
        return "collided" in self.fates

    @property
    def failed(self) -> bool:
        """Whether it came to its end before the axon's, and met no other one."""
        return "failed" in self.fates

    def __repr__(self) -> str:
        told = {
            "arrived": "", "collided": ", where it met another",
            "failed": ", where it failed", "on its way": ", and on",
        }  # fmt: skip
        ends = [
            f"{position_text(x)}{told[fate]}"
            for x, fate in zip(self.ended, self.fates, strict=True)
        ]
        if len(ends) > _MOST_TOLD:
            ends[_MOST_TOLD - 1 :] = [f"{len(ends) - _MOST_TOLD + 1} more places"]
        again = ", re-excited," if self.reexcited else ""
        began, begin = position_text(self.began), self.time.min()
        return f"<Impulse from {began} at {begin:g} ms{again} to {' and to '.join(ends)}>"


def impulses(run: Run, gap: QuantityLike = 2.0) -> list[Impulse]:
    """The impulses that travelled along the axon, in the order in which they began.

    A spike goes on with the impulse that passed a neighbouring compartment last, if that was no
    longer than `gap` ago; else an impulse begins with it. One that two neighbours lead to is
    where two impulses meet; unless one of the two began less than `gap` before, and for half of
    that no stimulus had been on: then it is the other one, which went on beyond a place that rose
    later, as impulses do where an axon widens, branches or ends.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    gap : float or quantity, optional
        Longest time between two neighbours, ms. It must be less than the refractory period.

    Returns
    -------
    list of Impulse

    Examples
    --------
    >>> run = axon.run("squid")
    >>> axon.impulses(run)
    [<Impulse from 50 um at 1.1... ms to 99950 um>]
    """
    gap = units.quantity(gap, "ms", "gap", positive=True)
    paths = _Path(len(run.axon_x)) if run.tree is None else Branching(run.tree)
    waveforms = [stimulus.waveform for stimulus in run.stimuli]

    def quiet(start: float, stop: float) -> bool:
        return not any(_is_on(waveform, start, stop) for waveform in waveforms)

    trails = _followed(run.spikes, gap, paths, quiet)
    over = max([*run.time[-1:].tolist(), *run.spikes["time"][-1:].tolist()], default=0.0)
    ends = [trail.ends(paths, over - gap) for trail in trails]
    stops = [end for those in ends for end in those]
    when = np.array([end.time for end in stops])

    def reexcited(trail: _Trail) -> bool:
        begin = float(trail.first["time"])
        on_its_way = (when < begin) & paths.beyond(stops, int(trail.first["compartment"]))
        since = max(trail.passed, float(when[on_its_way].max(initial=-np.inf)))
        return since > -np.inf and quiet(since, begin)

    return [
        Impulse(
            compartments=trail.spikes["compartment"],
            x=trail.spikes["x"],
            time=trail.spikes["time"],
            began=run.place(int(trail.first["compartment"])),
            ended=tuple(run.place(end.compartment) for end in those),
            ends=tuple(float(run.axon_x[end.compartment]) for end in those),
            fates=tuple(end.fate for end in those),
            reexcited=reexcited(trail),
        )
        for trail, those in zip(trails, ends, strict=True)
    ]


class _End(NamedTuple):
    """Where and when an impulse came to its end."""

    compartment: int
    time: float
    to: int
    """The neighbour that it did not reach, or -1 where there is none."""
    fate: Fate


class _Path:
    """Who is whose neighbour: along a cable."""

    def __init__(self, n: int) -> None:
        self.n = n

    def beside(self, compartment: int) -> list[int]:
        """Its neighbours, the one nearer the origin first."""
        return [k for k in (compartment - 1, compartment + 1) if 0 <= k < self.n]

    def beyond(self, ends: list[_End], compartment: int) -> npt.NDArray[np.bool_]:
        """Whether each end was on the way to a compartment."""
        where = np.array([end.compartment for end in ends], dtype=np.int64)
        to = np.array([end.to for end in ends], dtype=np.int64)
        return (to >= 0) & ((compartment - where) * (to - where) > 0)


class Branching(_Path):
    """Along a tree."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree.n)
        self._beside: list[list[int]] = [[] for _ in range(tree.n)]
        for child, parent in enumerate(tree.parent.tolist()):
            if parent >= 0:
                self._beside[child].insert(0, parent)
                self._beside[parent].append(child)
        # Everybody in a compartment's subtree comes after it, before as many as it holds are over.
        self._entered, self._left = _tour(tree.parent)

    def beside(self, compartment: int) -> list[int]:
        return self._beside[compartment]

    def beyond(self, ends: list[_End], compartment: int) -> npt.NDArray[np.bool_]:
        where = np.array([end.compartment for end in ends], dtype=np.int64)
        to = np.array([end.to for end in ends], dtype=np.int64)
        outwards = to > where  # a child has a higher number
        top = np.where(outwards, to, where)
        at = self._entered[compartment]
        within = (self._entered[top] <= at) & (at < self._left[top])
        found: npt.NDArray[np.bool_] = (to >= 0) & (within == outwards)
        return found


def _tour(parent: IntArray) -> tuple[IntArray, IntArray]:
    """When a walk through the tree enters and leaves each compartment, parents first."""
    size = np.ones(parent.size, dtype=np.int64)
    for child in range(parent.size - 1, 0, -1):
        size[parent[child]] += size[child]
    entered = np.zeros(parent.size, dtype=np.int64)
    free = entered + 1  # where the next child's subtree is to begin
    for child in range(1, parent.size):
        above = parent[child]
        entered[child] = free[above]
        free[above] += size[child]
        free[child] = entered[child] + 1
    return entered, entered + size


class _Trail:
    """The spikes of an impulse, as they are found."""

    def __init__(self, one: int, begin: float, passed: float) -> None:
        self.one = one  # the number of that which it turned out to be
        self.begin = begin  # ms
        self.passed = passed  # when the last one before it had been where it begins, ms
        self.numbers: list[int] = []
        self.met: set[tuple[int, int]] = set()  # from where to where it met another
        self.spikes: np.ndarray = np.empty(0)  # in the order of compartments

    @property
    def first(self) -> np.void:
        """The spike with which it began."""
        first: np.void = self.spikes[np.argmin(self.spikes["time"])]
        return first

    def ends(self, paths: _Path, late: float) -> list[_End]:
        """Its ends, in the order of compartments; one that is there so `late` goes on."""
        times: dict[int, float] = {}
        where, when = (self.spikes[name].tolist() for name in ("compartment", "time"))
        for compartment, time in zip(where, when, strict=True):
            times.setdefault(compartment, time)
        began = int(self.first["compartment"])
        found = []
        for compartment, time in times.items():
            beside = paths.beside(compartment)
            ahead = [k for k in beside if k not in times]
            if len(times) == 1:  # it never left its place
                ahead = [k for k in ahead if (compartment, k) in self.met][:1] or ahead[-1:]
            elif compartment == began:  # to that side it never went
                continue
            for to in ahead:
                fate: Fate = "on its way" if time >= late else "failed"
                if (compartment, to) in self.met:
                    fate = "collided"
                found.append(_End(compartment, time, to, fate))
            if not ahead and len(beside) < 2:
                found.append(_End(compartment, time, -1, "arrived"))
        return found


def _followed(
    spikes: np.ndarray, gap: float, paths: _Path, quiet: Callable[[float, float], bool]
) -> list[_Trail]:
    """Spikes, in the order of time, put into impulses.

    `quiet` says whether no stimulus was on from a time to another.
    """
    trails: list[_Trail] = []
    nowhere = -np.inf, -1
    last: dict[int, tuple[float, int]] = {}  # of each compartment: when, and which impulse

    def one(which: int) -> int:
        while (other := trails[which].one) != which:
            trails[which].one = trails[other].one
            which = other
        return which

    for number, (time, compartment) in enumerate(
        zip(spikes["time"].tolist(), spikes["compartment"].tolist(), strict=True)
    ):
        found: dict[int, int] = {}  # impulses that have come to a neighbour, and to which
        for neighbour in paths.beside(compartment):
            when, which = last.get(neighbour, nowhere)
            if time - when <= gap:
                found.setdefault(one(which), neighbour)
        which = min(found, default=len(trails))
        for other, neighbour in found.items():
            if other == which:
                continue
            begin = trails[other].begin
            if time - begin <= gap and quiet(begin - gap / 2, begin):
                trails[which].numbers += trails[other].numbers
                trails[which].met |= trails[other].met
                trails[other].one = which
            else:
                trails[which].met.add((compartment, neighbour))
                trails[other].met.add((neighbour, compartment))
        if which == len(trails):
            passed = last.get(compartment, nowhere)[0]
            trails.append(_Trail(one=which, begin=time, passed=passed))
        trails[which].numbers.append(number)
        last[compartment] = time, which
    trails = [trail for number, trail in enumerate(trails) if trail.one == number]
    for trail in trails:
        mine = spikes[sorted(trail.numbers)]
        trail.spikes = mine[np.argsort(mine["compartment"], kind="stable")]
    return trails


def _is_on(waveform: Waveform, start: float, stop: float) -> bool:
    """Whether it jumps, or isn't zero, anywhere from start to stop."""
    # A sine may come and go without a jump, and one that does has no mean over all of it.
    parts = distinct(np.linspace(start, stop, 1001))
    return bool(waveform.edges(start, stop).size or waveform.mean(parts[:-1], parts[1:]).any())
