"""How an impulse spreads over an axon that branches: where it arrives, and where it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from axon import units
from axon.errors import GeometryError, NoSpikeError
from axon.records import Record, Value
from axon.trails import Branching, Impulse, impulses
from axon.trees import BranchPoint, Tree
from axon.units import FloatArray, QuantityLike

if TYPE_CHECKING:
    from axon.runs import Run

Passage = Literal["passed", "failed", "not reached", "collided", "on its way"]


class BranchPassage(Value):
    """What an impulse did on a branch.

    Attributes
    ----------
    branch : int
    name : str
    begin, end : float
        When it was in the first and in the last compartment of the branch, ms; NaN if never.
    reached : float
        How much of the branch it was on, µm, from the centre of a compartment to that of another.
    fate : str
        ``"passed"`` if it was on all of it, ``"not reached"`` on none; else what became of it
        there: ``"failed"``, ``"collided"`` with another one, or ``"on its way"``, if the run ended
        first.
    """

    branch: int
    name: str
    begin: float
    end: float
    reached: float
    fate: Passage


class PointPassage(Value):
    """What an impulse did at a branch point.

    Attributes
    ----------
    point : BranchPoint
        With its `geometric_ratio`.
    time : float
        When it was there, ms; NaN if never, be it that it ended before.
    passed, failed : tuple of int
        Branches on which it went on, and on which it did not. Where it ends between two branch
        points, it failed at the nearer one. If it did not come near, both are empty; a branch on
        which it still is, or met another one, is in neither.
    reflected : bool
        Whether another impulse began of itself, here or beyond, and went back to where this one had
        come from.
    """

    point: BranchPoint
    time: float
    passed: tuple[int, ...]
    failed: tuple[int, ...]
    reflected: bool


class Propagation(Record):
    """How an impulse spread over a tree.

    Attributes
    ----------
    impulse : Impulse
    arrival : array (n,)
        When it was in each compartment, ms; NaN where it never was.
    branches : tuple of BranchPassage
        In the order of branches.
    points : tuple of PointPassage
        In the order of branch points.
    tips : dict of int to float
        Of each branch that ends in a tip, how long after its begin the impulse was in the last
        compartment, ms; NaN if never.
    """

    impulse: Impulse
    arrival: FloatArray
    branches: tuple[BranchPassage, ...]
    points: tuple[PointPassage, ...]
    tips: dict[int, float]

    @property
    def failures(self) -> tuple[BranchPoint, ...]:
        """Branch points that it came to and did not pass in every direction."""
        return tuple(each.point for each in self.points if each.failed)

    def __repr__(self) -> str:
        reached = sum(bool(np.isfinite(latency)) for latency in self.tips.values())
        return (
            f"<Propagation to {reached} of {len(self.tips)} tips; it failed at "
            f"{len(self.failures)} of {len(self.points)} branch points>"
        )


def propagation(run: Run, number: int = 0, *, gap: QuantityLike = 2.0) -> Propagation:
    """How an impulse spread over an axon that branches.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    number : int, optional
        Which of its `impulses`, the first being 0; negative numbers count from the last.
    gap : float or quantity, optional
        Longest time between spikes of one impulse at neighbours, ms; see `impulses`.

    Returns
    -------
    Propagation

    Raises
    ------
    GeometryError
        If the axon doesn't branch.
    NoSpikeError
        If there are not so many impulses.

    Examples
    --------
    >>> import axon
    >>> arbor = axon.Tree.regular("8 mm", 200.0, 2, Ra=35.4, dx=200.0)
    >>> shock = axon.CurrentClamp(0.0, axon.pulse(20_000.0, start=0.5, duration=0.3))
    >>> run = axon.Simulation(arbor, axon.models.hodgkin_huxley(), [shock], dt=0.01).run(12.0)
    >>> axon.propagation(run)
    <Propagation to 4 of 4 tips; it failed at 0 of 3 branch points>
    """
    tree = run.tree
    if tree is None:
        raise GeometryError("the axon doesn't branch: see axon.impulses and axon.arrival_times")
    found = impulses(run, units.quantity(gap, "ms", "gap", positive=True))
    if not -len(found) <= number < len(found):
        raise NoSpikeError(f"number = {number}: there are {len(found)} impulses")
    impulse = found[number]
    arrival = np.full(tree.n, np.nan)
    # The first time, should it have been somewhere twice.
    arrival[impulse.compartments[::-1]] = impulse.time[::-1]
    ends: dict[int, Passage] = {
        run.index(place): fate
        for place, fate in zip(impulse.ended, impulse.fates, strict=True)
        if fate in ("collided", "on its way")
    }
    tips = {int(tree.branch_of[tip]): float(arrival[tip]) for tip in tree.tips}
    begin = float(impulse.time.min())
    spread = _Spread(tree, found, number, arrival, ends)
    return Propagation(
        impulse,
        arrival,
        branches=tuple(_on_branch(tree, k, arrival, ends) for k in range(len(tree.branches))),
        points=tuple(map(spread.at, tree.branch_points)),
        tips={k: time - begin for k, time in tips.items()},
    )


def _on_branch(tree: Tree, k: int, arrival: FloatArray, ends: dict[int, Passage]) -> BranchPassage:
    own = tree.compartments_of(k)
    there = own[np.isfinite(arrival[own])]
    fate: Passage = "passed"
    if not there.size:
        fate = "not reached"
    elif there.size < own.size:
        fate = next((ends[at] for at in there.tolist() if at in ends), "failed")
    reached = float(np.ptp(tree.distance[there])) if there.size else 0.0
    begin, end = (float(arrival[at]) for at in (own[0], own[-1]))
    return BranchPassage(k, tree.branches[k].name, begin, end, reached, fate)


class _Spread:
    """How an impulse spread, to be looked at from branch points."""

    def __init__(
        self,
        tree: Tree,
        found: list[Impulse],
        number: int,
        arrival: FloatArray,
        ends: dict[int, Passage],
    ) -> None:
        self._tree, self._found, self._number = tree, found, number
        self._arrival, self._ends = arrival, ends
        self._began = int(np.nanargmin(arrival))
        self._around = Branching(tree)
        self._shared = {each.compartment for each in tree.branch_points}

    def at(self, point: BranchPoint) -> PointPassage:
        """What it did there."""
        tree, arrival, here = self._tree, self._arrival, point.compartment
        time = float(arrival[here])
        ways = {k: self._onwards(here, k) for k in self._around.beside(here)}
        reached = {k: [at for at in way if np.isfinite(arrival[at])] for k, way in ways.items()}
        source = None if self._began == here else int(tree.between(here, self._began)[1])
        if np.isnan(time):  # but it may have come near
            last = None if source is None else next(iter(reached[source]), None)
            if source is None or last is None or last in self._ends:
                return PointPassage(point, time, (), (), reflected=False)
            if self._part(here, ways[source], last) > 0.5:
                return PointPassage(point, time, (), (), reflected=False)
        passed, failed = [], []
        for k, way in ways.items():
            if k == source:
                continue
            last = (reached[k] or [here])[-1]
            branch = point.branch if k < here else int(tree.branch_of[k])
            if len(reached[k]) == len(way) or self._part(here, way, last) > 0.5:
                passed.append(branch)
            elif last not in self._ends:
                failed.append(branch)
        back = source is not None and self._went_back(here, source, reached[source][0])
        return PointPassage(point, time, tuple(passed), tuple(failed), reflected=back)

    def _onwards(self, here: int, beside: int) -> list[int]:
        """Compartments from a branch point in one direction, up to the next one or an end."""
        way, before = [beside], here
        while way[-1] not in self._shared:
            beyond = [k for k in self._around.beside(way[-1]) if k != before]
            if not beyond:
                break
            before = way[-1]
            way += beyond
        return way

    def _part(self, here: int, way: list[int], last: int) -> float:
        """How far along a way a compartment is: more than half, and it is another point's."""
        if way[-1] not in self._shared:
            return 0.0
        x = self._tree.x
        return float(abs(x[last] - x[here]) / abs(x[way[-1]] - x[here]))

    def _went_back(self, here: int, source: int, near: int) -> bool:
        """Whether an impulse came from there, or from beyond, to where this one had come from.

        It is a reflection of the one that had been `near` last.
        """
        for other in self._found:
            first = int(np.argmin(other.time))
            begin, began = other.time[first], int(other.compartments[first])
            if not other.reexcited or not (other.compartments == source).any():
                continue
            if not (self._tree.between(began, source) == here).any():
                continue
            before = [
                each.time[(each.compartments == near) & (each.time < begin)].max(initial=-np.inf)
                for each in self._found
            ]
            if before[self._number] == max(before) > -np.inf:
                return True
        return False
