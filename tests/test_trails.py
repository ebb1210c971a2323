"""Impulses on axons that branch: which spikes are one, and what becomes of it at every end.

Those on axons that don't are in test_analysis.
"""

from __future__ import annotations

import numpy as np
from fronts import along, beyond, spread, travelled
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import axon
from axon.runs import Run
from axon.trails import Branching, _End, impulses
from axon.trees import Branch, Tree

CABLE = axon.Axon.cylinder(100.0, 1.0, dx=10.0)
FORK = CABLE.branch(CABLE, 100.0, "a").branch(CABLE, 100.0, "b")
ARBOR = FORK.branch(CABLE, ("a", 50.0), "c")
SHOCK = axon.pulse(1.0, 0.5, 1.2)  # what begins impulses is on then
POINT = FORK.branch_points[0].compartment


# ---- one impulse -----------------------------------------------------------------------------


def test_an_impulse_from_the_root_arrives_at_every_tip() -> None:
    spikes, _ = spread(ARBOR, {0: 1.0})
    (impulse,) = impulses(travelled(ARBOR, spikes))
    assert impulse.fates == ("arrived",) * 3 and not (impulse.failed or impulse.collided)
    assert impulse.ended == tuple(ARBOR.place(tip) for tip in ARBOR.tips)
    assert impulse.ends == tuple(ARBOR.x[ARBOR.tips])
    assert [branch for branch, _ in impulse.ended] == [1, 2, 3]
    assert impulse.began == ARBOR.place(0) and impulse.start == ARBOR.x[0]
    np.testing.assert_array_equal(impulse.compartments, np.arange(ARBOR.n))
    np.testing.assert_array_equal(impulse.x, ARBOR.x)
    times = dict(spikes)
    assert impulse.time.tolist() == [times[c] for c in range(ARBOR.n)]
    places = [f"{ARBOR.distance[tip]:g} um on branch {k + 1}" for k, tip in enumerate(ARBOR.tips)]
    assert repr(impulse) == (
        f"<Impulse from 4.7619 um on branch 0 at 1 ms to {' and to '.join(places)}>"
    )


def test_one_from_a_tip_comes_to_the_root_and_to_the_other_tips() -> None:
    tip = int(ARBOR.tips[1])
    (impulse,) = impulses(travelled(ARBOR, spread(ARBOR, {tip: 1.0})[0]))
    assert impulse.began == ARBOR.place(tip)
    ends = {0, *ARBOR.tips.tolist()} - {tip}
    assert impulse.ended == tuple(ARBOR.place(end) for end in sorted(ends))
    assert impulse.fates == ("arrived",) * 3


def test_one_that_sets_out_at_a_branch_point_goes_three_ways() -> None:
    (impulse,) = impulses(travelled(FORK, spread(FORK, {POINT: 1.0})[0]))
    assert impulse.began == (0, 100.0) and len(impulse.ended) == 3


def test_an_impulse_that_fails_in_one_daughter_only() -> None:
    blocked = [(POINT, FORK.index(("b", 10.0)))]
    (impulse,) = impulses(travelled(FORK, spread(FORK, {0: 1.0}, blocked)[0]))
    assert impulse.ended == ((0, 100.0), FORK.place(FORK.tips[0]))
    assert impulse.fates == ("failed", "arrived") and impulse.failed
    assert "to 100 um on branch 0, where it failed and to " in repr(impulse)


def test_one_that_fails_in_both_daughters_fails_twice_at_one_place() -> None:
    (impulse,) = impulses(travelled(FORK, along(FORK, 0.0, 100.0, 1.0)))
    assert impulse.ended == ((0, 100.0),) * 2 and impulse.fates == ("failed",) * 2
    short = impulses(travelled(FORK, along(FORK, 0.0, 80.0, 1.0)))[0]
    assert len(short.ended) == 1 and short.fates == ("failed",)


def test_one_that_the_end_of_the_run_cuts_short_is_on_its_way_there() -> None:
    # In the one daughter it ended long ago, in the other one it is.
    spikes = beyond(along(FORK, 0.0, ("a", 20.0), 1.0), along(FORK, 0.0, ("b", 90.0), 1.0))
    (impulse,) = impulses(travelled(FORK, spikes, lasts=4.3))
    assert impulse.fates == ("failed", "on its way")
    assert [branch for branch, _ in impulse.ended] == [1, 2]


def test_a_place_that_rises_later_than_what_is_beyond_it() -> None:
    """As the wide place does where an axon branches: both daughters may come first."""
    spikes, _ = spread(FORK, {0: 0.0})
    late = [(c, t + (0.25 if c == POINT else 0.0)) for c, t in spikes]
    (impulse,) = impulses(travelled(FORK, late))
    assert impulse.fates == ("arrived", "arrived") and len(impulse.compartments) == FORK.n
    shock = axon.pulse(1.0, 0.5, 1.0)  # at work then: each may have begun by it
    assert len(impulses(travelled(FORK, late, [shock]))) == 3


def test_what_goes_on_beyond_a_late_place_may_have_met_another_one_already() -> None:
    """Before it is known to be one with what came from the root."""
    spikes, _ = spread(FORK, {0: 0.0, int(FORK.tips[1]): 0.6})
    late = [(c, t + (0.55 if c == POINT else 0.0)) for c, t in spikes]
    shock = axon.pulse(1.0, 0.5, 0.15)  # which begins that at the tip
    first, second = impulses(travelled(FORK, late, [shock]), gap=0.8)
    assert first.fates == ("collided", "arrived")
    assert second.fates == ("collided",)
    assert second.began[0] == second.ended[0][0] == 2


# ---- several ---------------------------------------------------------------------------------


def test_impulses_from_two_tips_meet_on_a_branch() -> None:
    left, right = FORK.tips.tolist()
    spikes, _ = spread(FORK, {left: 1.0, right: 1.55})
    first, second = impulses(travelled(FORK, spikes, [SHOCK]))
    assert first.began == FORK.place(left) and second.began == FORK.place(right)
    assert first.fates == ("arrived", "collided") and second.fates == ("collided",)
    assert first.ended[0] == FORK.place(0) and first.ended[1][0] == second.ended[0][0] == 2
    beside = {FORK.index(first.ended[1]), FORK.index(second.ended[0])}
    assert np.diff(sorted(beside)) == [1]
    assert not first.reexcited and not second.reexcited
    # On an axon of three tips the one that comes first passes.
    assert len(first.compartments) + len(second.compartments) == FORK.n


def test_three_that_meet() -> None:
    spikes, _ = spread(FORK, {0: 1.0, int(FORK.tips[0]): 1.07, int(FORK.tips[1]): 1.53})
    first, second, third = impulses(travelled(FORK, spikes, [SHOCK]))
    assert first.collided and second.collided and third.collided
    assert sum(len(each.compartments) for each in (first, second, third)) == FORK.n
    assert first.fates == ("collided", "collided")


def test_after_a_failure_it_goes_on_later_and_is_re_excited() -> None:
    wall = [(POINT, FORK.index(("b", 10.0)))]
    spikes, _ = spread(FORK, {0: 1.0}, wall)
    again = along(FORK, ("b", 10.0), ("b", 100.0), 5.0)
    first, second = impulses(travelled(FORK, spikes + again))
    assert first.fates == ("failed", "arrived") and not first.reexcited
    assert second.reexcited and second.fates == ("arrived",)
    assert second.began == FORK.place(FORK.index(("b", 10.0)))
    # Not by itself, if a stimulus was on; and not where no impulse had been on the way to.
    shock = axon.pulse(1.0, 4.9, 0.2)
    assert not impulses(travelled(FORK, spikes + again, [shock]))[1].reexcited
    in_a = along(FORK, 0.0, ("a", 60.0), 1.0) + along(FORK, ("b", 50.0), ("b", 100.0), 6.0)
    first, second = impulses(travelled(FORK, in_a))
    assert first.ended == (FORK.place(POINT), FORK.place(FORK.index(("a", 60.0))))
    assert second.reexcited  # towards b it had failed too


def test_what_begins_where_no_front_went_is_not_re_excited() -> None:
    from_b = along(FORK, ("b", 100.0), ("b", 50.0), 1.0)
    first, second = impulses(travelled(FORK, from_b + along(FORK, ("b", 80.0), ("b", 100.0), 9.0)))
    assert first.failed and second.reexcited  # where it had passed
    # One that went to the tip of b does not explain one in a.
    in_a = along(FORK, ("a", 50.0), ("a", 100.0), 9.0)
    spikes = along(FORK, ("b", 50.0), ("b", 100.0), 1.0) + in_a
    _, second = impulses(travelled(FORK, spikes))
    assert not second.reexcited


def test_a_reflection_from_a_branch_point() -> None:
    spikes, _ = spread(FORK, {0: 1.0}, [(POINT, FORK.index(("b", 10.0)))])
    back = along(FORK, 100.0, 0.0, 6.0)
    _, second = impulses(travelled(FORK, spikes + back))
    assert second.reexcited and second.began == (0, 100.0)
    assert second.ended == (FORK.place(0),) and second.fates == ("arrived",)


def test_one_after_the_other_on_the_same_tree() -> None:
    spikes = [spike for begin in (0.0, 5.0, 9.0) for spike in spread(ARBOR, {0: begin})[0]]
    found = impulses(travelled(ARBOR, spikes))
    assert [each.time.min() for each in found] == [0.0, 5.0, 9.0]
    assert all(len(each.compartments) == ARBOR.n for each in found)


def test_a_tree_of_one_branch_has_its_cables_impulses() -> None:
    tree = Tree((Branch(axon.Axon.cylinder(200.0, 1.0, dx=10.0)),))
    spikes = along(tree, 85.0, 125.0, 1.0) + along(tree, 75.0, 55.0, 1.1)
    spikes += along(tree, 195.0, 135.0, 0.8)
    run = travelled(tree, spikes)
    header = {name: told for name, told in run.header.items() if name != "axon"}
    cable = Run.in_memory(
        header, [], [], 20.0, np.zeros((2, 0)), run.spikes["compartment"], run.spikes["time"],
        axon_x=tree.x,
    )  # fmt: skip
    for one, other in zip(impulses(run), impulses(cable), strict=True):
        assert (one.ends, one.fates, one.start) == (other.ends, other.fates, other.start)
        assert one.time.tolist() == other.time.tolist()
        assert one.ended == tuple((0, end) for end in other.ended)


def test_an_impulse_of_many_ends_tells_some_of_them() -> None:
    tree = Tree.regular(100.0, 1.0, 4, compartments=3)
    (impulse,) = impulses(travelled(tree, spread(tree, {0: 1.0})[0]))
    assert len(impulse.ended) == 16
    assert repr(impulse).count(" and to ") == 5 and repr(impulse).endswith("11 more places>")


# ---- any tree, by walking it -----------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> Tree:
    """Trees of a few compartments a branch, joined anywhere."""
    branches = [Branch(axon.Axon.cylinder(100.0, 1.0, compartments=draw(st.integers(1, 4))))]
    for k in range(1, draw(st.integers(1, 7))):
        cable = axon.Axon.cylinder(100.0, 1.0, compartments=draw(st.integers(1, 4)))
        at = draw(st.sampled_from([0.0, 40.0, 100.0]))
        branches.append(Branch(cable, draw(st.integers(0, k - 1)), at))
    return Tree(tuple(branches))


@settings(deadline=None, max_examples=100)
@given(shapes(), st.data())
def test_it_ends_at_every_end_and_wall_that_it_comes_to(tree: Tree, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, tree.n - 1))
    joints = [(int(tree.parent[c]), c) for c in range(1, tree.n)]
    walls = data.draw(st.lists(st.sampled_from(joints), max_size=4, unique=True)) if joints else []
    delay = data.draw(st.lists(st.floats(0.05, 1.5), min_size=tree.n, max_size=tree.n))
    spikes, _ = spread(tree, {start: 1.0}, walls, delay)
    (impulse,) = impulses(travelled(tree, spikes, lasts=1000.0))
    reached = {c for c, _ in spikes}
    assert set(impulse.compartments.tolist()) == reached and len(impulse.compartments) == len(
        reached
    )
    beside = Branching(tree).beside
    expected = sorted(
        (at, "failed") for pair in walls for at, to in (pair, pair[::-1])
        if at in reached and to not in reached and at != start
    )  # fmt: skip
    expected += [(c, "arrived") for c in reached if len(beside(c)) < 2 and c != start]
    found = [(tree.index(at), fate) for at, fate in zip(impulse.ended, impulse.fates, strict=True)]
    if len(reached) == 1:  # it never left its place
        assert found == [(start, "arrived" if tree.n == 1 else "failed")]
    else:
        assert sorted(found) == sorted(expected)
    assert impulse.began == tree.place(start) and not impulse.reexcited


@settings(deadline=None, max_examples=100)
@given(shapes(), st.data())
def test_fronts_that_meet_are_told_apart(tree: Tree, data: st.DataObject) -> None:
    some = st.dictionaries(st.integers(0, tree.n - 1), st.floats(1.0, 2.0), min_size=1, max_size=3)
    starts = data.draw(some)
    # No two at one time, so that it is certain which of them comes first.
    starts = {c: time + 0.013 * k for k, (c, time) in enumerate(starts.items())}
    delay = [0.1 + 1e-4 * ((7919 * k) % 101) for k in range(tree.n)]
    spikes, owner = spread(tree, starts, delay=delay)
    times, beside = dict(spikes), Branching(tree).beside
    fronts = {start: {c for c, of in owner.items() if of == start} for start in set(owner.values())}
    # One that begins beside another, where that stands already, is part of it.
    assume(all(times[k] > times[c] for c in fronts for k in beside(c)))
    # Where two come to a branch point at nearly one time, it is a convention which of them goes on.
    meetings = [(c, k) for c in times for k in beside(c) if owner[c] != owner[k]]
    assume(all(times[c] <= times[k] or len(beside(c)) < 3 for c, k in meetings))
    shock = axon.pulse(1.0, 0.0, 1000.0)  # or the same impulse might go on beyond a late place
    found = impulses(travelled(tree, spikes, [shock], lasts=1000.0))
    assert len(found) == len(fronts)
    assert sorted(c for each in found for c in each.compartments.tolist()) == list(range(tree.n))
    for impulse in found:
        start = tree.index(impulse.began)
        mine = set(impulse.compartments.tolist())
        # Whose the places are at which two meet is a convention; all others are known.
        inner = {c for c in fronts[start] if all(owner[k] == start for k in beside(c))}
        assert inner <= mine <= fronts[start] | {k for c in fronts[start] for k in beside(c)}
        expected = [
            (c, "collided" if ahead else "arrived")
            for c in mine - {start}
            for ahead in [[k for k in beside(c) if k not in mine]]
            for _ in ahead or [0] * (len(beside(c)) < 2)
        ]
        ended = map(tree.index, impulse.ended)
        if len(mine) > 1:
            assert sorted(zip(ended, impulse.fates, strict=True)) == sorted(expected)
        else:
            assert impulse.fates == ("collided" if beside(start) else "arrived",)


@settings(deadline=None)
@given(shapes(), st.data())
def test_what_lies_beyond_an_end(tree: Tree, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, tree.n - 1))
    ends = []
    paths = Branching(tree)
    for c in range(tree.n):
        for to in [*paths.beside(c), -1]:
            ends.append(_End(c, 0.0, to, "failed"))
    expected = [
        end.to >= 0 and end.to in tree.between(end.compartment, at).tolist() for end in ends
    ]
    assert paths.beyond(ends, at).tolist() == expected
