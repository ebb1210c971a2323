"""How an impulse spreads over a tree: at every branch point, on every branch, to every tip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fronts import Spikes, along, beyond, spread, travelled

import axon
from axon.errors import GeometryError, NoSpikeError, UnitError
from axon.passages import Propagation, propagation
from axon.trees import Tree

CABLE = axon.Axon.cylinder(100.0, 2.0, dx=10.0)
FORK = CABLE.branch(CABLE, 100.0, "a").branch(CABLE, 100.0, "b")
ARBOR = FORK.branch(CABLE, ("a", 100.0), "c").branch(CABLE, ("a", 100.0), "d")
"""Forks at 100 µm, and on "a" again after 100 µm."""


SHOCK = axon.pulse(1.0, 0.9, 1.0)  # what begins impulses is on then


def seen(tree: Tree, spikes: Spikes, number: int = 0, lasts: float = 30.0) -> Propagation:
    return propagation(travelled(tree, spikes, [SHOCK], lasts=lasts), number)


def told(found: Propagation) -> list[tuple[tuple[int, ...], tuple[int, ...], bool]]:
    return [(each.passed, each.failed, each.reflected) for each in found.points]


def fates(found: Propagation) -> list[str]:
    return [each.fate for each in found.branches]


# ---- everywhere ------------------------------------------------------------------------------


def test_an_impulse_that_comes_to_every_tip() -> None:
    spikes, _ = spread(ARBOR, {0: 1.0})
    found = seen(ARBOR, spikes)
    assert repr(found) == "<Propagation to 3 of 3 tips; it failed at 0 of 2 branch points>"
    times = dict(spikes)
    assert found.arrival.tolist() == [times[c] for c in range(ARBOR.n)]
    assert fates(found) == ["passed"] * 5 and found.failures == ()
    assert told(found) == [((1, 2), (), False), ((3, 4), (), False)]
    for each, point in zip(found.points, ARBOR.branch_points, strict=True):
        assert each.point == point and each.time == times[point.compartment]
    for k, each in enumerate(found.branches):
        own = np.flatnonzero(ARBOR.branch_of == k)
        assert (each.branch, each.name) == (k, ["", "a", "b", "c", "d"][k])
        assert (each.begin, each.end) == (times[own[0]], times[own[-1]])
        assert each.reached == ARBOR.distance[own[-1]] - ARBOR.distance[own[0]]
    assert list(found.tips) == [2, 3, 4]
    assert found.tips == {
        k: times[int(np.flatnonzero(ARBOR.branch_of == k)[-1])] - 1.0 for k in (2, 3, 4)
    }
    assert found.impulse.fates == ("arrived",) * 3


def test_one_from_a_tip_passes_into_the_stem_and_the_other_branches() -> None:
    tip = int(ARBOR.tips[-1])  # of d
    found = seen(ARBOR, spread(ARBOR, {tip: 1.0})[0])
    assert told(found) == [((0, 2), (), False), ((1, 3), (), False)]
    assert found.tips[4] == 0.0 and found.tips[2] > found.tips[3] > 0.0
    stem = found.branches[0]
    assert stem.begin > stem.end  # it goes towards the root


def test_one_that_begins_at_a_branch_point_or_between_two() -> None:
    point = ARBOR.branch_points[0].compartment
    assert told(seen(ARBOR, spread(ARBOR, {point: 1.0})[0])) == [
        ((0, 1, 2), (), False), ((3, 4), (), False)
    ]  # fmt: skip
    middle = ARBOR.index(("a", 50.0))
    assert told(seen(ARBOR, spread(ARBOR, {middle: 1.0})[0])) == [
        ((0, 2), (), False), ((3, 4), (), False)
    ]  # fmt: skip


def test_branches_in_the_middle_and_at_the_roots_origin() -> None:
    tree = CABLE.branch(CABLE, 50.0).branch(CABLE, 0.0)
    first, second = tree.branch_points
    assert (first.at, second.at) == (0.0, 50.0)
    found = seen(tree, spread(tree, {int(tree.tips[-1]): 1.0})[0])
    assert told(found) == [((0,), (), False), ((0, 1), (), False)]
    assert math.isnan(found.points[0].point.geometric_ratio)
    back = seen(tree, spread(tree, {int(tree.tips[0]): 1.0})[0])
    assert told(back) == [((2,), (), False), ((0, 1), (), False)]


def test_branch_points_that_are_neighbours() -> None:
    short = axon.Axon.cylinder(5.0, 2.0, compartments=1)
    tree = CABLE.branch(short, 100.0).branch(CABLE, (1, 5.0)).branch(CABLE, (1, 5.0))
    first, second = (each.compartment for each in tree.branch_points)
    assert tree.parent[second] == first
    assert told(seen(tree, spread(tree, {0: 1.0})[0])) == [((1,), (), False), ((2, 3), (), False)]
    tip = int(tree.tips[0])
    assert told(seen(tree, spread(tree, {tip: 1.0})[0])) == [((0,), (), False), ((1, 3), (), False)]


def test_the_first_time_counts_where_it_was_twice() -> None:
    spikes, _ = spread(FORK, {0: 1.0})
    twice = [(c, t + 1.5) for c, t in spikes if t < 1.3]
    (impulse,) = axon.impulses(travelled(FORK, spikes + twice))
    assert len(impulse.compartments) == FORK.n + len(twice)
    found = seen(FORK, spikes + twice)
    assert found.arrival.tolist() == [dict(spikes)[c] for c in range(FORK.n)]


# ---- where it fails --------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [100.0, 90.0, 60.0, 10.0])
def test_one_that_fails_before_a_branch_point_or_at_it(stop: float) -> None:
    """However early: there is no other branch point at which it could have."""
    found = seen(ARBOR, along(ARBOR, 0.0, stop, 1.0))
    assert told(found) == [((), (1, 2), False), ((), (), False)]
    assert math.isnan(found.points[0].time) == (stop < 100.0)
    assert [each.point for each in found.points if each.failed] == list(found.failures)
    assert fates(found) == ["failed" if stop < 100.0 else "passed", *["not reached"] * 4]
    assert found.branches[0].reached == pytest.approx(stop - FORK.x[0], abs=10.0)
    assert math.isnan(found.branches[1].begin) and math.isnan(found.branches[1].end)
    assert all(map(math.isnan, found.tips.values())) and set(found.tips) == {2, 3, 4}
    assert repr(found) == "<Propagation to 0 of 3 tips; it failed at 1 of 2 branch points>"


def test_one_that_fails_in_one_daughter() -> None:
    for stop in (0.0, 10.0, 30.0):
        spikes = beyond(along(ARBOR, 0.0, ("b", 100.0), 1.0), along(ARBOR, 0.0, ("a", stop), 1.0))
        found = seen(ARBOR, spikes)
        assert told(found) == [((2,), (1,), False), ((), (), False)]
        assert fates(found)[:3] == ["passed", "failed" if stop else "not reached", "passed"]
        assert repr(found) == "<Propagation to 1 of 3 tips; it failed at 1 of 2 branch points>"
    assert found.branches[1].reached == pytest.approx(20.0, abs=1.0)


def test_between_two_branch_points_it_failed_at_the_nearer_one() -> None:
    for stop, expected in (
        (40.0, [((), (1, 2), False), ((), (), False)]),
        (60.0, [((1,), (2,), False), ((), (3, 4), False)]),
        (100.0, [((1,), (2,), False), ((), (3, 4), False)]),
    ):
        found = seen(ARBOR, along(ARBOR, 0.0, ("a", stop), 1.0))
        assert told(found) == expected
        assert [len(each.failed) > 0 for each in found.points] == [
            each.point in found.failures for each in found.points
        ]


def test_a_branch_point_with_one_daughter_lies_between_others_too() -> None:
    """As where a file joins two stretches of one branch."""
    tree = CABLE.branch(CABLE, 100.0).branch(CABLE, (1, 100.0)).branch(CABLE, (1, 100.0))
    early = seen(tree, along(tree, 0.0, (1, 20.0), 1.0))
    assert told(early) == [((), (1,), False), ((), (), False)]
    late = seen(tree, along(tree, 0.0, (1, 80.0), 1.0))
    assert told(late) == [((1,), (), False), ((), (2, 3), False)]
    assert told(seen(tree, spread(tree, {0: 1.0})[0])) == [((1,), (), False), ((2, 3), (), False)]


def test_an_impulse_on_the_way_to_a_root_may_fail_there() -> None:
    """From a thin branch into two thick ones, as where it meets the wide stem."""
    found = seen(FORK, along(FORK, ("a", 100.0), 100.0, 1.0))
    assert told(found) == [((), (0, 2), False)]
    found = seen(FORK, along(FORK, ("a", 100.0), ("a", 20.0), 1.0))
    assert told(found) == [((), (0, 2), False)]
    assert fates(found) == ["not reached", "failed", "not reached"]


def test_a_branch_on_which_it_met_another_one_or_still_is_counts_as_neither() -> None:
    spikes, _ = spread(FORK, {0: 1.0, int(FORK.tips[1]): 1.83})
    found = seen(FORK, spikes)
    assert told(found) == [((1,), (), False)]
    assert fates(found) == ["passed", "passed", "collided"]
    second = seen(FORK, spikes, -1)
    assert second.impulse.began == FORK.place(FORK.tips[1])
    assert told(second) == [((), (), False)]  # it met the first one on its way there
    assert fates(second) == ["not reached", "not reached", "collided"]
    going = beyond(along(FORK, 0.0, ("a", 100.0), 1.0), along(FORK, 0.0, ("b", 30.0), 1.0))
    for lasts, expected in ((4.0, "on its way"), (9.0, "failed")):
        found = seen(FORK, going, lasts=lasts)
        assert fates(found) == ["passed", "passed", expected]
        assert told(found) == [((1,), () if expected == "on its way" else (2,), False)]


def test_one_that_still_is_on_its_way_to_a_branch_point_has_not_failed_at_it() -> None:
    found = seen(FORK, along(FORK, 0.0, 70.0, 1.0), lasts=2.0)
    assert told(found) == [((), (), False)] and fates(found)[0] == "on its way"
    assert found.failures == ()


# ---- what comes back -------------------------------------------------------------------------


BACK = along(FORK, 100.0, 0.0, 6.0)  # from the branch point to the root


def test_a_reflection() -> None:
    point = FORK.branch_points[0].compartment
    spikes, _ = spread(FORK, {0: 1.0}, [(point, FORK.index(("b", 10.0)))])
    found = seen(FORK, spikes + BACK)
    assert told(found) == [((1,), (2,), True)]
    # From beyond as well, and before the point if it did not get there; but not from where it is.
    far = along(FORK, ("b", 40.0), 0.0, 6.0)
    assert told(seen(FORK, spikes + far)) == [((1,), (2,), True)]
    near, _ = spread(FORK, {FORK.index(50.0): 6.0}, [(0, 1)])
    assert told(seen(FORK, spikes + near)) == [((1,), (2,), False)]
    only_on = along(FORK, ("b", 10.0), ("b", 100.0), 6.0)
    assert told(seen(FORK, spikes + only_on)) == [((1,), (2,), False)]
    # Nor is one that a stimulus sent.
    run = travelled(FORK, spikes + far, [axon.pulse(1.0, 5.9, 0.2)])
    assert told(propagation(run)) == [((1,), (2,), False)]


def test_a_reflection_belongs_to_the_impulse_that_came_last_before_it() -> None:
    point = FORK.branch_points[0].compartment
    first, _ = spread(FORK, {0: 1.0})
    second, _ = spread(FORK, {0: 11.0}, [(point, FORK.index(("b", 10.0)))])
    back = [(c, t + 10.0) for c, t in BACK]
    third = [(c, t + 20.0) for c, t in first]
    shocks = axon.train(1.0, 0.9, 0.2, interval=10.0, count=3)
    run = travelled(FORK, first + second + back + third, [shocks], lasts=40.0)
    assert [each.reexcited for each in axon.impulses(run)] == [False, False, True, False]
    reflected = [propagation(run, k).points[0].reflected for k in (0, 1, 3, -3)]
    assert reflected == [False, True, False, True]


# ---- what is refused -------------------------------------------------------------------------


def test_questions_that_have_no_answer() -> None:
    run = travelled(FORK, spread(FORK, {0: 1.0})[0])
    for number in (1, -2):
        with pytest.raises(NoSpikeError, match=f"number = {number}: there are 1 impulses"):
            propagation(run, number)
    assert propagation(run, -1).arrival.tolist() == propagation(run).arrival.tolist()
    with pytest.raises(NoSpikeError, match="there are 0 impulses"):
        propagation(travelled(FORK, []))
    with pytest.raises(UnitError, match="gap"):
        propagation(run, gap="1 mV")
    cable = axon.Simulation(CABLE, axon.models.hodgkin_huxley(), dt=0.01).run(0.1)
    with pytest.raises(GeometryError, match=r"the axon doesn't branch: see axon\.impulses"):
        propagation(cable)


def test_a_tree_of_one_branch_has_no_branch_points() -> None:
    tree = Tree.regular(100.0, 2.0, 0, compartments=10)
    found = seen(tree, along(tree, 0.0, 100.0, 1.0))
    assert found.points == () and fates(found) == ["passed"] and list(found.tips) == [0]


# ---- and of axons ----------------------------------------------------------------------------


def arbor(ratio: float) -> Propagation:
    """An axon that forks with this geometric ratio, its branches of one electrotonic length."""
    tree = Tree.regular("4 mm", 100.0, 1, geometric_ratio=ratio, Ra=35.4, dx=100.0)
    shock = axon.CurrentClamp(0.0, axon.pulse("5 uA", start=0.2, duration=0.3))
    sim = axon.Simulation(tree, axon.models.hodgkin_huxley(), [shock], celsius=18.5, dt=0.01)
    return propagation(sim.run(12.0, record=()))


def test_where_branches_are_too_wide_an_impulse_fails() -> None:
    """At a geometric ratio of 1 it goes on as if nothing were there, and at a large one it fails:
    S. S. Goldstein, W. Rall, Biophys. J. 14, 731-757 (1974)."""
    passed, failed = arbor(1.0), arbor(20.0)
    assert told(passed) == [((1, 2), (), False)] and len(passed.impulse.ended) == 2
    left, right = passed.tips.values()
    assert left == pytest.approx(right, rel=1e-9)  # daughters are alike
    assert told(failed) == [((), (1, 2), False)]
    assert failed.impulse.fates == ("failed",) * len(failed.impulse.fates)
    assert passed.points[0].point.geometric_ratio == pytest.approx(1.0)
