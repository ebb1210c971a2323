"""A tree keeps all membrane and every resistance of its cables, however they are joined and cut."""

from __future__ import annotations

import json
import math
import pickle
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_geometry import Profile, membrane, profiles, resistance, stretches

from axon.errors import GeometryError
from axon.geometry import MAX_COMPARTMENTS, Axon
from axon.trees import MAX_BRANCHES, Branch, Tree, axon_from

ARRAYS = (
    "x", "branch_of", "distance", "begins", "area", "volume", "diameter", "cm",
    "axial_conductance", "passage", "parent",
)  # fmt: skip

ROUNDING = 1e-10
"""Of integrals over a compartment, as in test_geometry."""
SHARE = 1e-12
"""Of a whole branch, by which a place is known: a few roundings of a position on it."""


quickly = settings(deadline=None, max_examples=50)
"""And on any machine."""


# ---- trees of all sorts ----------------------------------------------------------------------


def bent(length: float, turns: list[float]) -> list[tuple[float, float, float]]:
    """A line through space that is a little longer than that."""
    points, step = [(0.0, 0.0, 0.0)], 1.01 * length / len(turns)
    for turn in turns:
        x, y, z = points[-1]
        points.append((x + step * math.cos(turn), y + step * math.sin(turn), z))
    return points


@st.composite
def trees(draw: st.DrawFn, most: int = 6, paths: bool = False, few: bool = False) -> Tree:
    """Branches of any profile, that begin wherever one can: at ends, knots, and with others."""
    branches: list[Branch] = []
    for k in range(draw(st.integers(1, most))):
        cable = Axon.from_profile(
            *draw(profiles()),
            Ra=draw(st.sampled_from([35.4, 100.0, 250.0])),
            cm=draw(st.sampled_from([1.0, 0.7])),
            compartments=draw(st.integers(1, 4 if few else 20)),
        )
        if paths:
            cable = cable.along(bent(cable.length, draw(st.lists(st.floats(0, 6), min_size=1))))
        if not k:
            branches.append(Branch(cable))
            continue
        parent = draw(st.integers(0, k - 1))
        on = branches[parent].cable
        before = [each.at for each in branches[1:] if each.parent == parent]
        known = [0.0, on.length, *on.profile_x.tolist(), *before]
        at = draw(st.sampled_from(known) | st.floats(0.0, on.length))
        # What is a rounding apart has a test of its own.
        at = next((other for other in known if abs(at - other) < 1e-6 * on.length), at)
        branches.append(Branch(cable, parent, at, draw(st.sampled_from(["", f"b{k}"]))))
    return Tree(tuple(branches))


# ---- the same things, slowly: from the branches alone -----------------------------------------


def profile_of(branch: Branch) -> Profile:
    return branch.cable.profile_x.tolist(), branch.cable.profile_diameter.tolist()


def volume(profile: Profile, start: float, stop: float) -> float:
    """Of frusta, µm³."""
    parts = stretches(profile, start, stop)
    return math.fsum(math.pi / 12 * s * (a * a + a * b + b * b) for s, a, b in parts)


def home(tree: Tree, k: int) -> tuple[int, float]:
    """Where a branch begins, on the one that comes from the root to there."""
    parent, at = tree.branches[k].parent, tree.branches[k].at
    while at == 0 and parent > 0:
        parent, at = tree.branches[parent].parent, tree.branches[parent].at
    return parent, at


def to_root(tree: Tree, place: tuple[int, float]) -> dict[int, float]:
    """The way there: of each branch on it, up to where."""
    way, (on, along) = {}, place
    while on >= 0:
        way[on] = along
        on, along = tree.branches[on].parent, tree.branches[on].at
    return way


def route(tree: Tree, a: tuple[int, float], b: tuple[int, float]) -> dict[int, tuple[float, float]]:
    """Of each branch on the way from a place to another one, from where to where."""
    one, other = to_root(tree, a), to_root(tree, b)
    found = {}
    for on in one.keys() | other.keys():
        ends = sorted((one.get(on, 0.0), other.get(on, 0.0)))
        found[on] = ends[0], ends[1]
    return found


class Part(NamedTuple):
    """What of a branch belongs to a compartment, and where on it that has its centre."""

    compartment: int
    centre: float
    start: float
    stop: float


def parts(tree: Tree, k: int) -> list[Part]:
    """Those of a branch, in their order: borders lie half way between centres."""
    own = [c for c in range(tree.n) if tree.branch_of[c] == k]
    centres = [(c, float(tree.distance[c])) for c in own]
    if k:
        on, at = home(tree, k)
        there = [c for c in range(tree.n) if tree.branch_of[c] == on]
        begin = min(there, key=lambda c: abs(tree.distance[c] - at))
        centres.insert(0, (begin, 0.0))
    middles = [(a + b) / 2 for (_, a), (_, b) in pairwise(centres)]
    borders = [0.0, *middles, tree.branches[k].cable.length]
    return [
        Part(c, x, start, stop)
        for (c, x), (start, stop) in zip(centres, pairwise(borders), strict=True)
    ]


def neighbours(tree: Tree) -> list[list[int]]:
    beside: list[list[int]] = [[] for _ in range(tree.n)]
    for child in range(1, tree.n):
        beside[child].append(int(tree.parent[child]))
        beside[int(tree.parent[child])].append(child)
    return beside


def diameter_at(profile: Profile, x: float, after: bool) -> float:
    """Just before a place, or just after it."""
    for (x0, d0), (x1, d1) in pairwise(zip(*profile, strict=True)):
        if (x0 <= x < x1) if after else (x0 < x <= x1):
            return d0 + (d1 - d0) * (x - x0) / (x1 - x0)
    raise AssertionError


# ---- the cut ---------------------------------------------------------------------------------


@quickly
@given(trees())
def test_every_compartment_holds_what_its_parts_of_the_branches_hold(tree: Tree) -> None:
    held = np.zeros((4, tree.n))
    for k, branch in enumerate(tree.branches):
        profile, cm = profile_of(branch), float(branch.cable.cm[0])
        for part in parts(tree, k):
            area = membrane(profile, part.start, part.stop)
            own = area, volume(profile, part.start, part.stop), part.stop - part.start, cm * area
            held[:, part.compartment] += own
    area, inside, length, charge = held
    longest = max(each.cable.length for each in tree.branches)
    near = SHARE * longest
    # Of a place that is known to `near` the membrane is to π times the largest diameter of 5 µm.
    np.testing.assert_allclose(tree.area, area, rtol=ROUNDING, atol=16 * near)
    np.testing.assert_allclose(tree.volume, inside, rtol=ROUNDING, atol=20 * near)
    rough = 16 * near / area.min()
    np.testing.assert_allclose(tree.diameter, area / (np.pi * length), rtol=ROUNDING + 2 * rough)
    np.testing.assert_allclose(tree.cm, charge / area, rtol=ROUNDING + rough)


@quickly
@given(trees())
def test_no_membrane_gets_lost(tree: Tree) -> None:
    wholes = [(profile_of(each), each.cable.length) for each in tree.branches]
    # No place is counted twice, so a sum is better than its parts.
    expected = math.fsum(membrane(profile, 0.0, length) for profile, length in wholes)
    assert tree.area.sum() == pytest.approx(expected, 1e-12)
    expected = math.fsum(volume(profile, 0.0, length) for profile, length in wholes)
    assert tree.volume.sum() == pytest.approx(expected, 1e-12)
    assert tree.length == math.fsum(length for _, length in wholes)


@quickly
@given(trees(), st.data())
def test_between_any_two_centres_there_is_the_resistance_of_the_way(
    tree: Tree, data: st.DataObject
) -> None:
    a, b = (data.draw(st.integers(0, tree.n - 1)) for _ in range(2))
    way = tree.between(a, b)
    joints = np.maximum(way[1:], way[:-1]) - 1
    ways = route(tree, tree.place(a), tree.place(b))
    ohms, lengths, rough = 0.0, 0.0, 0.0
    for k, (start, stop) in ways.items():
        profile, Ra = profile_of(tree.branches[k]), float(tree.branches[k].cable.Ra[0])
        ohms += resistance(profile, start, stop, Ra)
        lengths += resistance(profile, start, stop, 100.0)
        rough += SHARE * tree.branches[k].cable.length * Ra * 1e-2 * 4 / (math.pi * 0.2**2)
    found = (1 / tree.axial_conductance[joints]).sum()
    assert found == pytest.approx(ohms, rel=ROUNDING, abs=rough)
    # 1 Ω·cm is 1e-2 MΩ·µm, so for 100 Ω·cm a resistance in MΩ is 1/passage in 1/µm.
    found = (1 / tree.passage[joints]).sum()
    assert found == pytest.approx(lengths, rel=ROUNDING, abs=3 * rough)


@quickly
@given(trees())
def test_no_compartment_is_longer_than_its_branch_allows(tree: Tree) -> None:
    for k, branch in enumerate(tree.branches):
        dx = branch.cable.length / branch.cable.n
        for part in parts(tree, k):
            assert part.stop - part.start <= dx * (1 + 1e-9)


def test_branches_that_are_joined_are_cut_no_finer_than_it_takes() -> None:
    stem = Axon.cylinder(100.0, 1.0, dx=10.0)
    alone = Tree((Branch(stem),))
    at_end = stem.branch(stem, 100.0)
    middle = stem.branch(stem, 50.0)
    beside = stem.branch(stem, 0.0)
    assert [tree.n for tree in (alone, at_end, middle, beside)] == [10, 11 + 10, 11 + 10, 11 + 10]
    # 30 µm, 40 µm and 30 µm: three and a half compartments, four, and three and a half.
    assert stem.branch(stem, 30.0).branch(stem, (0, 70.0)).n == 11 + 10 + 10
    assert [len(parts(at_end, k)) for k in (0, 1)] == [11, 11]


@quickly
@given(trees())
def test_numbers_go_along_the_branches_from_the_root(tree: Tree) -> None:
    assert tree.n == tree.area.size and tree.parent[0] == -1
    assert (tree.parent[1:] < np.arange(1, tree.n)).all() and (tree.parent[1:] >= 0).all()
    assert (np.diff(tree.branch_of) >= 0).all()
    assert set(tree.branch_of.tolist()) == set(range(len(tree.branches)))
    beside = neighbours(tree)
    for k, branch in enumerate(tree.branches):
        chain = [part.compartment for part in parts(tree, k)]
        for above, below in pairwise(chain):
            assert tree.parent[below] == above and below in beside[above]
        begin = tree.begins[branch.parent] + branch.at if k else 0.0
        assert tree.begins[k] == begin
        own = tree.branch_of == k
        assert (np.diff(tree.distance[own]) > 0).all()
        assert (tree.distance[own] >= 0).all() and (tree.distance[own] <= branch.cable.length).all()
    np.testing.assert_array_equal(tree.x, tree.begins[tree.branch_of] + tree.distance)
    ends = [c for c in range(1, tree.n) if len(beside[c]) == 1]
    np.testing.assert_array_equal(tree.tips, ends)


@quickly
@given(trees())
def test_where_branches_begin_there_is_a_branch_point(tree: Tree) -> None:
    groups: dict[tuple[int, float], list[int]] = {}
    for k in range(1, len(tree.branches)):
        groups.setdefault(home(tree, k), []).append(k)
    assert [(point.branch, point.at) for point in tree.branch_points] == sorted(groups)
    assert [p.compartment for p in tree.branch_points] == sorted(
        {p.compartment for p in tree.branch_points}
    )
    for point in tree.branch_points:
        on, at = point.branch, point.at
        cable, profile = tree.branches[on].cable, profile_of(tree.branches[on])
        assert tree.place(point.compartment) == (on, at)
        daughters = [(k, float(tree.branches[k].cable.profile_diameter[0])) for k in groups[on, at]]
        if at < cable.length:
            daughters.insert(0, (on, diameter_at(profile, at, after=True)))
        assert [k for k, _ in point.daughters] == [k for k, _ in daughters]
        found, expected = ([d for _, d in each] for each in (point.daughters, daughters))
        assert found == pytest.approx(expected, rel=1e-9)
        if at == 0:
            assert math.isnan(point.diameter) and math.isnan(point.geometric_ratio)
            continue
        arriving = diameter_at(profile, at, after=False)
        assert point.diameter == pytest.approx(arriving, rel=1e-9)
        ratio = sum(d**1.5 for d in expected) / arriving**1.5
        assert point.geometric_ratio == pytest.approx(ratio, rel=1e-8)


def test_the_geometric_ratio_of_a_stem_that_goes_on() -> None:
    stem = Axon.stepped([500.0, 500.0], [4.0, 2.0], dx=50.0)
    (point,) = stem.branch(Axon.cylinder(300.0, 1.0, dx=50.0), 500.0).branch_points
    assert (point.diameter, point.daughters) == (4.0, ((0, 2.0), (1, 1.0)))
    assert point.geometric_ratio == pytest.approx((2**1.5 + 1) / 8, rel=1e-15)


@quickly
@given(trees(most=1))
def test_a_tree_of_one_branch_is_its_cable_to_the_bit(tree: Tree) -> None:
    (branch,) = tree.branches
    cable = branch.cable
    for name in set(ARRAYS) - {"branch_of", "distance", "begins"}:
        assert getattr(tree, name).tobytes() == getattr(cable, name).tobytes(), name
    assert tree.distance.tobytes() == cable.x.tobytes()
    assert not tree.branch_of.any() and tree.begins.tolist() == [0.0]
    assert (tree.n, tree.length, tree.branch_points) == (cable.n, cable.length, ())
    assert tree.places.tobytes() == cable.places.tobytes()
    for share in np.linspace(0.0, 1.0, 41).tolist():
        assert tree.part_way(share) == cable.part_way(share)


@quickly
@given(trees(few=True), st.floats(1e-10, 8e-10), st.booleans())
def test_what_is_a_rounding_apart_is_one_place(tree: Tree, by: float, before: bool) -> None:
    """Branches of other programs begin where a sum of their points' distances says."""
    branches = list(tree.branches)
    twig = Branch(Axon.cylinder(50.0, 1.0, compartments=2), 0, 0.0)
    length = branches[0].cable.length
    for at in (0.0, 0.37 * length, length):  # anywhere but where a compartment more is needed
        moved = min(max(at + (-by if before else by) * length, 0.0), length)
        both = [Tree((*branches, Branch(twig.cable, 0, at), Branch(twig.cable, 0, where)))
                for where in (at, moved)]  # fmt: skip
        assert both[0].n == both[1].n
        assert both[1].parent.tolist() == both[0].parent.tolist()
        for name in ("area", "volume", "axial_conductance"):
            one, other = (getattr(each, name) for each in both)
            np.testing.assert_allclose(one, other, rtol=1e-5)
        (point,) = [p for p in both[1].branch_points if len(branches) in dict(p.daughters)]
        assert len(branches) + 1 in dict(point.daughters)


def test_a_step_of_which_a_branch_point_has_both_sides() -> None:
    """Half a compartment of either diameter, and the whole of the daughter's."""
    stem = Axon.stepped([100.0, 100.0], [4.0, 2.0], dx=10.0)
    tree = stem.branch(Axon.cylinder(100.0, 1.0, dx=10.0), 100.0)
    (point,) = tree.branch_points
    # Ten compartments and a half one are cut out of each 100 µm.
    expected = math.pi * (4.0 + 2.0 + 1.0) * 100.0 / 21
    assert tree.area[point.compartment] == pytest.approx(expected, rel=1e-14)
    assert tree.diameter[point.compartment] == pytest.approx(7 / 3, rel=1e-14)


# ---- finding places --------------------------------------------------------------------------


@quickly
@given(trees(), st.data())
def test_the_compartment_of_a_place(tree: Tree, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(tree.branches) - 1))
    branch = tree.branches[k]
    along = data.draw(st.sampled_from([0.0, branch.cable.length]) | st.floats(0, 1).map(
        lambda share: share * branch.cable.length))  # fmt: skip
    near = SHARE * branch.cable.length
    holds = {p.compartment for p in parts(tree, k) if p.start - near <= along <= p.stop + near}
    keys = [(k, along), (np.int64(k), along), [k, f"{along!r} um"]]
    keys += [(branch.name, along)] if branch.name else []
    for key in keys:
        assert tree.index(key) in holds
        assert tree.where(key) == (k, along)


@quickly
@given(trees())
def test_places_and_compartments_are_the_same(tree: Tree) -> None:
    for c in range(tree.n):
        assert tree.index(tree.place(c)) == c
        assert tree.index((tree.branch_of[c], tree.distance[c])) == c


@quickly
@given(trees(), st.data())
def test_a_distance_from_the_root_is_a_place_if_there_is_one_only(
    tree: Tree, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, len(tree.branches) - 1))
    begins = tree.begins.tolist()
    lengths = [each.cable.length for each in tree.branches]
    far = data.draw(
        st.sampled_from([*begins, *(b + s for b, s in zip(begins, lengths, strict=True))])
        | st.floats(0, 1).map(lambda share: begins[k] + share * lengths[k])
    )
    # Close to a begin or an end it is a question of roundings on which branches it lies.
    ends = np.array([*begins, *(b + s for b, s in zip(begins, lengths, strict=True))])
    apart = np.abs(ends - far)
    assume(not ((apart > 1e-12 * far) & (apart < 1e-6 * (far + 1))).any())
    there = set()
    for on, (begin, length) in enumerate(zip(begins, lengths, strict=True)):
        if begin - 1e-12 * far <= far <= begin + length + 1e-12 * far:
            along = max(far - begin, 0.0)
            there.add(home(tree, on)[0] if on and along <= 1e-9 * length else on)
    if len(there) > 1:
        with pytest.raises(GeometryError, match=f"from the root is on {len(there)} branches"):
            tree.where(far)
        return
    on, along = tree.where(far)
    assert {on} == there
    assert begins[on] + along == pytest.approx(far, rel=1e-9)
    assert tree.index(far) == tree.index((on, along))


def test_a_branch_point_is_one_place_however_its_distance_was_rounded() -> None:
    """0.1 + 0.2 is 0.30000000000000004, and 0.3 - 0.1 is 0.19999999999999998."""
    root, long = (Axon.cylinder(length, 1.0, compartments=20) for length in (0.1, 1.0))
    tree = Tree((Branch(root), Branch(long, 0, 0.1), Branch(long, 1, 0.2)))
    for far in (0.3, 0.1 + 0.2, 0.30000000000000010):
        on, along = tree.where(far)
        assert on == 1 and along == pytest.approx(0.2, rel=1e-12)
        assert tree.index(far) == tree.branch_points[1].compartment
    tree = long.branch(long, 0.5).branch(long, 0.5 + 4e-10)
    assert [tree.where(begin) for begin in tree.begins[1:].tolist()] == [(0, 0.5), (0, 0.5 + 4e-10)]
    assert len(tree.branch_points) == 1


def test_places_along_a_tree_that_forks() -> None:
    stem, twig = (Axon.cylinder(length, 1.0, dx=10.0) for length in (100.0, 50.0))
    tree = stem.branch(twig, 100.0, "left").branch(twig, 100.0, "right")
    assert tree.where("50 um") == (0, 50.0)
    assert tree.where(100.0) == (0, 100.0) and tree.where(("left", 0.0)) == (1, 0.0)
    assert tree.index(100.0) == tree.index(("left", 0.0)) == tree.index((2, 0.0))
    with pytest.raises(GeometryError, match=r"on 2 branches; .*: \(1, 20\), \(2, 20\)"):
        tree.where(120.0)
    lone = stem.branch(twig, 100.0)
    assert lone.where(120.0) == (1, 20.0)


@quickly
@given(trees(few=True), st.data())
def test_ways_through_the_tree(tree: Tree, data: st.DataObject) -> None:
    a, b = (data.draw(st.integers(0, tree.n - 1)) for _ in range(2))
    beside = neighbours(tree)
    came = {a: -1}
    queue = [a]
    for c in queue:
        for k in beside[c]:
            if k not in came:
                came[k] = c
                queue.append(k)
    assert len(came) == tree.n  # all of it hangs together
    expected = [b]
    while expected[-1] != a:
        expected.append(came[expected[-1]])
    way, distances = tree.way(tree.place(a), tree.place(b))
    assert way.tolist() == tree.between(a, b).tolist() == expected[::-1]
    # Along the branches, from their own numbers and not from x.
    along = [
        sum(stop - start for start, stop in route(tree, tree.place(a), tree.place(c)).values())
        for c in way.tolist()
    ]
    near = SHARE * tree.length
    np.testing.assert_allclose(distances, along, rtol=1e-12, atol=near)
    away = tree.away_from(a)
    assert away.shape == (tree.n,) and away[a] == 0.0
    np.testing.assert_allclose(away[way], along, rtol=1e-12, atol=near)
    assert away.min() == 0.0


@quickly
@given(trees(), st.floats(0.0, 1.0))
def test_part_of_the_way_to_the_farthest_tip(tree: Tree, share: float) -> None:
    lengths = [each.cable.length for each in tree.branches]
    ends = (tree.begins + lengths).tolist()
    far = max(ends)
    found = tree.part_way(share)
    near = SHARE * tree.length
    # On a way to a farthest tip, and its parts of the branches hold the place.
    tips = [k for k, end in enumerate(ends) if end >= far - near]
    places = [
        (on, min(max(share * far - tree.begins[on], 0.0), up_to))
        for k in tips
        for on, up_to in to_root(tree, (k, tree.branches[k].cable.length)).items()
        if tree.begins[on] <= share * far + near and share * far <= tree.begins[on] + up_to + near
    ]
    holds = {
        part.compartment
        for on, along in places
        for part in parts(tree, on)
        if part.start - near <= along <= part.stop + near
    }
    assert found in holds
    assert tree.part_way(0.0) == 0


# ---- places in space -------------------------------------------------------------------------


@quickly
@given(trees(paths=True, few=True), st.data())
def test_places_in_space_are_those_of_the_branches(tree: Tree, data: st.DataObject) -> None:
    assert tree.places.shape == (tree.n, 3)
    for c in range(tree.n):
        on, left = tree.place(c)
        for one, other in pairwise(tree.branches[on].cable.path.tolist()):
            step = math.dist(one, other)
            if left <= step * (1 + 1e-12):
                break
            left -= step
        share = left / step
        expected = [p + share * (q - p) for p, q in zip(one, other, strict=True)]
        np.testing.assert_allclose(tree.places[c], expected, atol=1e-9 * tree.length)
    point = data.draw(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3))
    on, along = tree.nearest(point)
    dists = np.sqrt(((tree.places - point) ** 2).sum(axis=1))
    assert dists[tree.index((on, along))] == dists.min()
    with pytest.raises(ValueError, match="read-only"):
        tree.places[0] = 0.0


def test_places_need_a_path_on_every_branch_and_the_message_says_on_which() -> None:
    straight = Axon.cylinder(100.0, 1.0, dx=10.0)
    drawn = straight.along([(0, 0, 0), (200, 0, 0)])
    with pytest.raises(GeometryError, match=r"branch 0 has no path.*by along"):
        straight.branch(drawn, 100.0).places  # noqa: B018
    tree = drawn.branch(straight, 100.0, "twig")
    with pytest.raises(GeometryError, match="branch 'twig' has no path"):
        tree.nearest((0, 0, 0))
    whole = drawn.branch(straight.along([(100, 0, 0), (100, "200 um", 0)]), 100.0)
    assert whole.nearest(("0.1 mm", "100 um", 0)) == (1, pytest.approx(100.0, abs=5.0))
    refused: list[tuple[Any, str]] = [((0, 0), r"\(2,\)"), ((0, 0, "1 mV"), r"place\[2\]")]
    for place, told in [*refused, ("here", "place = 'here'")]:
        with pytest.raises(GeometryError, match=told):
            whole.nearest(place)


# ---- regular trees ---------------------------------------------------------------------------


@quickly
@given(
    st.floats(10.0, 1e4),
    st.floats(0.5, 500.0),
    st.integers(0, 4),
    st.integers(1, 3),
    st.sampled_from([1.0, 0.5, 2.3]),
)
def test_a_regular_tree_forks_alike_everywhere(
    length: float, diameter: float, generations: int, daughters: int, ratio: float
) -> None:
    tree = Tree.regular(
        length, diameter, generations,
        daughters=daughters, geometric_ratio=ratio, compartments=3,
    )  # fmt: skip
    counts = [daughters**g for g in range(generations + 1)]
    assert len(tree.branches) == sum(counts) and len(tree.branch_points) == sum(counts[:-1])
    assert len(tree.tips) == counts[-1]
    for point in tree.branch_points:
        assert len(point.daughters) == daughters
        assert point.geometric_ratio == pytest.approx(ratio, rel=1e-12)
    # All of one electrotonic length: a length over the root of its diameter.
    cables = [each.cable for each in tree.branches]
    electrotonic = [each.length / math.sqrt(each.profile_diameter[0]) for each in cables]
    np.testing.assert_allclose(electrotonic, electrotonic[0], rtol=1e-12)
    # And it is where its branches join in space as well.
    for k, each in enumerate(tree.branches[1:], 1):
        assert each.at == tree.branches[each.parent].cable.length
        parent = tree.branches[each.parent].cable
        np.testing.assert_allclose(each.cable.path[0], parent.path[-1], rtol=1e-12, atol=1e-9)
        if k == 1:
            assert tree.begins[k] == length
    assert not tree.places[:, 2].any()


def test_a_regular_trees_lengths_may_follow_another_rule() -> None:
    tree = Tree.regular("1 mm", "4 um", 2, daughters=3, length_ratio=0.5, dx=50.0)
    lengths = [each.cable.length for each in tree.branches]
    assert lengths == [1000.0, *[500.0] * 3, *[250.0] * 9]
    assert tree.branches[-1].cable.profile_diameter[0] == pytest.approx(4.0 * 9 ** (-2 / 3))
    tips = {tuple(np.round(tree.places[tip], 6)) for tip in tree.tips}
    assert len(tips) == 9  # none lies on another


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"generations": -1}, "generations = -1 must be a whole number from 0"),
        ({"generations": 2.0}, r"generations = 2\.0 must be"),
        ({"generations": True}, "generations = True must be"),
        ({"daughters": 0}, "daughters = 0 must be a whole number from 1"),
        ({"daughters": "2"}, "daughters = '2' must be"),
        ({"generations": 17}, f"17 of 2 daughters are more than {MAX_BRANCHES}"),
        ({"generations": 10**9}, f"of 2 daughters are more than {MAX_BRANCHES}"),
        ({"generations": 10**9, "daughters": 1}, f"are more than {MAX_BRANCHES} branches"),
        ({"daughters": 10**9}, "more than"),
        ({"geometric_ratio": 0.0}, "geometric_ratio = 0"),
        ({"geometric_ratio": "1 mm"}, "geometric_ratio"),
        ({"length_ratio": -1.0}, "length_ratio = -1"),
        ({"length": 0.0}, r"length = 0\.0 must be greater"),
        ({"diameter": "1 ms"}, "diameter = '1 ms'"),
        ({"dx": 10.0, "compartments": 3}, "write only one"),
        ({"compartments": 10**9}, "compartments = 1000000000 must be"),
    ],
)
def test_regular_trees_that_cannot_be_are_refused(arguments: dict[str, Any], told: str) -> None:
    wanted: dict[str, Any] = {"length": 100.0, "diameter": 2.0, "generations": 2}
    with pytest.raises(GeometryError, match=told):
        Tree.regular(**wanted | arguments)


# ---- growing, and what is refused ------------------------------------------------------------

STEM = Axon.cylinder(100.0, 2.0, dx=10.0)
TWIG = Axon.tapered(60.0, 1.2, 0.8, dx=10.0)


def test_branches_are_grown_one_by_one_or_as_trees() -> None:
    fork = STEM.branch(TWIG, "100 um", "left").branch(TWIG, at=100.0, name="right")
    left, right = (Branch(TWIG, 0, 100.0, name) for name in ("left", "right"))
    assert fork == Tree((Branch(STEM), left, right))
    assert repr(fork) == "<Tree: 3 branches, 220 um, n=23>"
    grown = fork.branch(TWIG, ("left", 30.0))
    assert grown.branches[-1].parent == 1 and grown.begins[-1] == 130.0
    twice = STEM.branch(fork, 50.0, "again")
    assert [(b.parent, b.at, b.name) for b in twice.branches] == [
        (-1, 0.0, ""), (0, 50.0, "again"), (1, 100.0, "left"), (1, 100.0, "right")
    ]  # fmt: skip
    deep = grown.branch(STEM.branch(TWIG, 0.0), (3, 60.0))
    assert [(b.parent, b.at) for b in deep.branches[-2:]] == [(3, 60.0), (4, 0.0)]
    assert fork.branches[0].cable is STEM and fork != grown and fork != STEM
    with pytest.raises(GeometryError, match="two branches are called 'left'"):
        fork.branch(fork, 50.0)


def test_nothing_of_a_tree_changes() -> None:
    tree = STEM.branch(TWIG, 50.0)
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(tree, name)[0] = 1.0
    with pytest.raises(AttributeError):
        tree.n = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("branches", "told"),
    [
        ([], "branches = .* is no list"),
        (STEM, "branches = .* is no list"),
        ([STEM], r"branches\[0\] = .*; give axon.Branch"),
        ([Branch("cable")], r"branches\[0\] = "),
        ([Branch(STEM, 0)], r"branches\[0\]\.parent = 0; the first branch is the root, with -1"),
        ([Branch(STEM, -1, 5.0)], r"branches\[0\]\.at = 5\.0: the root begins nowhere"),
        ([Branch(STEM), Branch(TWIG)], r"branches\[1\]\.parent = -1; it must be from 0 to 0"),
        ([Branch(STEM), Branch(TWIG, 1)], r"branches\[1\]\.parent = 1; it must be from 0 to 0"),
        ([Branch(STEM), Branch(TWIG, 2), Branch(TWIG, 1)], r"branches\[1\]\.parent = 2"),
        ([Branch(STEM), Branch(TWIG, 0.0)], r"branches\[1\]\.parent = 0\.0 is no number of a"),
        ([Branch(STEM), Branch(TWIG, False)], r"branches\[1\]\.parent = False is no number"),
        ([Branch(STEM), Branch(TWIG, 0, 100.1)], r"branches\[1\]\.at = 100\.1 um does not lie"),
        ([Branch(STEM), Branch(TWIG, 0, -0.1)], r"branches\[1\]\.at = -0\.1 um does not lie"),
        ([Branch(STEM), Branch(TWIG, 0, math.nan)], r"branches\[1\]\.at = nan"),
        ([Branch(STEM), Branch(TWIG, 0, "1 ms")], r"branches\[1\]\.at = '1 ms'"),
        ([Branch(STEM), Branch(TWIG, 0, 1.0, None)], r"branches\[1\]\.name = None is no text"),
        ([Branch(STEM, -1, 0.0, "a"), Branch(TWIG, 0, 1.0, "a")], "two branches are called 'a'"),
        ([Branch(STEM)] * (MAX_BRANCHES + 1), f"{MAX_BRANCHES + 1} branches are more than"),
    ],
)  # fmt: skip
def test_branches_that_make_no_tree_are_refused(branches: Any, told: str) -> None:
    with pytest.raises(GeometryError, match=told):
        Tree(branches)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda tree: tree.index((2, 0.0)), "there is no branch 2; they are numbered from 0 to 1"),
        (lambda tree: tree.index((-1, 0.0)), "there is no branch -1"),
        (lambda tree: tree.index(("b", 0.0)), r"there is no branch 'b'; there are \['a'\]"),
        (lambda tree: STEM.branch(TWIG, 0.0).index(("b", 0.0)), "no branch has a name"),
        (lambda tree: tree.index(("a", 61.0)), r"\('a', 61\.0\): branch 'a' is 60\.0 um long"),
        (lambda tree: tree.index((0, -1.0)), r"position\[1\] = -1\.0 must be at least 0"),
        (lambda tree: tree.index(-1.0), r"position = -1\.0 must be at least 0"),
        (lambda tree: tree.index(161.0), r"position = 161\.0 um is not on the axon; .* to 160\.0"),
        (lambda tree: tree.index((0, 1.0, 2.0)), r"position = \(0, 1\.0, 2\.0\) is no position"),
        (lambda tree: tree.index((True, 1.0)), r"position = \(True, 1\.0\) is no position"),
        (lambda tree: tree.index((0.0, 1.0)), r"position = \(0\.0, 1\.0\) is no position"),
        (lambda tree: tree.index(()), r"position = \(\) is no position"),
        (lambda tree: tree.index(None), "position = None"),
        (lambda tree: tree.index((0, "5 mV")), r"position\[1\] = '5 mV'"),
        (lambda tree: tree.branch(TWIG, ("c", 1.0)), "there is no branch 'c'"),
        (lambda tree: tree.branch(TWIG, 0.0, "a"), "two branches are called 'a'"),
        (lambda tree: STEM.branch(TWIG, (0, 101.0)), "branch 0 is 100.0 um long"),
        (lambda tree: STEM.index((0, 1.0)), "is on a branch, and this axon has none"),
    ],
)  # fmt: skip
def test_places_that_a_tree_does_not_have_are_refused(
    call: Callable[[Tree], object], told: str
) -> None:
    with pytest.raises(GeometryError, match=told):
        call(STEM.branch(TWIG, 100.0, "a"))


def test_a_tree_that_cannot_be_computed_is_refused() -> None:
    # Alone, cables of one compartment have no resistance from centre to centre.
    short = Axon.cylinder(1e-290, 1.0, compartments=1)
    with pytest.raises(GeometryError, match="the axial_conductance of some compartment is too"):
        Axon.cylinder(1e12, 1e-160, compartments=1).branch(short, 1e12)


# ---- descriptions ----------------------------------------------------------------------------


def same_bits(a: Tree, b: Tree) -> bool:
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in ARRAYS)


@quickly
@given(trees() | trees(paths=True, most=3))
def test_a_description_and_a_pickle_give_the_same_tree_to_the_bit(tree: Tree) -> None:
    text = json.dumps(tree.to_dict(), allow_nan=False)
    again = axon_from(json.loads(text))
    assert isinstance(again, Tree) and again == tree and same_bits(again, tree)
    assert json.dumps(again.to_dict()) == text
    tree.places if all(each.cable.path is not None for each in tree.branches) else None
    pickled = pickle.loads(pickle.dumps(tree))
    assert pickled == tree and same_bits(pickled, tree)
    assert not pickled.area.flags.writeable
    assert [p.compartment for p in pickled.branch_points] == [
        p.compartment for p in tree.branch_points
    ]


def test_what_varies_along_a_branch_is_described_too() -> None:
    uneven = Axon.cylinder(100.0, 1.0, Ra=lambda x: 50 + x, cm=lambda x: 1 + x / 100, dx=10.0)
    tree = STEM.branch(uneven, 40.0, "uneven")
    again = Tree.from_dict(json.loads(json.dumps(tree.to_dict())))
    assert again == tree and same_bits(again, tree)
    assert tree != STEM.branch(uneven, 40.0) and tree != STEM.branch(STEM, 40.0, "uneven")


def description() -> dict[str, Any]:
    tree = STEM.branch(TWIG, 100.0, "left").branch(TWIG.along([(0, 0, 0), (99, 0, 0)]), 100.0)
    found: dict[str, Any] = json.loads(json.dumps(tree.to_dict()))
    return found


BRANCH_JUNK: list[tuple[int, dict[str, Any], str]] = [
    (1, {"parent": 1}, r"branches\[1\]\.parent = 1"),
    (1, {"parent": 2}, r"branches\[1\]\.parent = 2"),
    (1, {"parent": -1}, r"branches\[1\]\.parent = -1"),
    (0, {"parent": 1}, r"branches\[0\]\.parent = 1"),
    (1, {"parent": 10**30}, r"branches\[1\]\.parent = 1000"),
    (1, {"parent": "left"}, r"branches\[1\]\.parent = 'left' is no number"),
    (1, {"parent": None}, r"branches\[1\]\.parent = None"),
    (1, {"at": math.nan}, r"branches\[1\]\.at = nan"),
    (1, {"at": 1e308}, r"branches\[1\]\.at = 1e\+308"),
    (1, {"at": [1.0]}, r"branches\[1\]\.at = \[1\.0\]"),
    (1, {"name": 3}, r"branches\[1\]\.name = 3 is no text"),
    (2, {"name": "left"}, "two branches are called 'left'"),
    (1, {"name": ["left"]}, r"branches\[1\]\.name = \['left'\]"),
    (1, {"compartments": 10**9}, "more compartments than the tree's description"),
    (1, {"compartments": 10**400}, "more compartments than the tree's description"),
    (1, {"compartments": 0}, r"branches\[1\]: compartments = 0"),
    (1, {"compartments": True}, r"branches\[1\]: compartments = True"),
    (1, {"compartments": 7}, r"compartments = 23: these branches are cut into 24"),
    (1, {"Ra": [1.0, 2.0]}, r"branches\[1\]: Ra has shape \(2,\)"),
    (1, {"Ra": -1.0}, r"branches\[1\]: Ra = -1"),
    (1, {"cm": math.inf}, r"branches\[1\]: cm = inf"),
    (1, {"x": [0.0, 1e300]}, r"branches\[1\]: the length"),
    (1, {"x": {}}, r"branches\[1\]: x"),
    (1, {"diameter": [1.0, math.nan]}, r"branches\[1\]: diameter\[1\] = nan"),
    (1, {"diameter": []}, r"branches\[1\]: x and diameter"),
    (2, {"path": [[0, 0, 0]]}, r"branches\[2\]: path"),
    (2, {"path": "here"}, r"branches\[2\]: path"),
    (1, {"more": 1}, r"branches\[1\]: an axon's description has keys"),
    (1, {"shape": "tree"}, r"branches\[1\]: shape = 'tree'"),
]


@pytest.mark.parametrize(("k", "junk", "told"), BRANCH_JUNK, ids=str)
def test_hostile_branches_are_refused(k: int, junk: dict[str, Any], told: str) -> None:
    hostile = description()
    hostile["branches"][k] |= junk
    with pytest.raises(GeometryError, match=told):
        Tree.from_dict(hostile)


@pytest.mark.parametrize(
    ("junk", "told"),
    [
        ({"compartments": 10**9}, "compartments = 1e\\+09 in the description of 3 branches"),
        ({"compartments": 10**400}, "compartments = 1000"),
        ({"compartments": 2}, "compartments = 2 in the description of 3 branches: each has one"),
        ({"compartments": 24}, "compartments = 24: these branches are cut into 23"),
        ({"compartments": 23.5}, "compartments = 23.5: these branches are cut into 23"),
        ({"compartments": math.nan}, "compartments = nan"),
        ({"compartments": "many"}, "compartments = 'many'"),
        ({"compartments": None}, "compartments = None"),
        ({"branches": []}, "branches"),
        ({"branches": "abc"}, "a list of branches"),
        ({"branches": {"0": 1}}, "a list of branches"),
        ({"branches": [1, 2, 3]}, r"branches\[0\] is no table"),
        ({"branches": [[], [], []]}, r"branches\[0\] is no table"),
        ({"branches": [{}, {}, {}]}, r"branches\[0\]: an axon's description has keys \[\]"),
        ({"more": 1}, "a tree's description has shape = 'tree'"),
        ({"shape": "bush"}, "shape = 'bush'|keys"),
    ],
    ids=str,
)
def test_hostile_trees_are_refused(junk: dict[str, Any], told: str) -> None:
    with pytest.raises(GeometryError, match=told):
        axon_from(description() | junk)


@pytest.mark.parametrize("thing", [None, 3, "tree", [], {"shape": "tree"}, {"shape": ["tree"]}])
def test_what_is_no_description_is_refused(thing: Any) -> None:
    for read in (Tree.from_dict, axon_from):
        with pytest.raises(GeometryError):
            read(thing)


def test_a_refusal_takes_no_memory_and_looks_at_no_branch_too_many() -> None:
    """Of a description that claims compartments or branches without end."""
    large, endless = description(), description()
    large["branches"][1]["compartments"] = MAX_COMPARTMENTS

    class Never(dict[str, Any]):
        def __iter__(self) -> Any:
            raise AssertionError("looked at")

    endless["branches"] = [Never()] * (MAX_BRANCHES + 1)
    endless["compartments"] = MAX_COMPARTMENTS
    tracemalloc.start()
    try:
        with pytest.raises(GeometryError, match="more compartments than"):
            Tree.from_dict(large)
        with pytest.raises(GeometryError, match=f"{MAX_BRANCHES + 1} branches are more than"):
            Tree.from_dict(endless)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 30) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(quickly, max_examples=200)
@given(st.data())
def test_a_description_with_anything_in_it_is_a_tree_or_refused(data: st.DataObject) -> None:
    hostile: Any = description()
    place: Any = hostile
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inside = isinstance(place[key], dict | list) and place[key]
        if not inside or data.draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        tree = axon_from(hostile)
    except GeometryError as error:
        assert str(error)
    else:
        assert tree.n == hostile["compartments"]
        for name in ("area", "volume", "axial_conductance"):
            assert np.isfinite(getattr(tree, name)).all() and (getattr(tree, name) > 0).all()
