"""SWC files: what they mean, what is refused, and that what is written is read again."""

from __future__ import annotations

import math
import random
import re
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from arbors import STRETCH, THINNEST, TRUNK, arbor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import axon.swc
from axon.errors import AxonError, GeometryError, WriteError
from axon.geometry import Axon
from axon.swc import read_swc, write_swc
from axon.trees import Branch, Tree

# A branch is as long as the sum of its steps, each rounded; areas are sums over its pieces.
ROUNDING = 1e-12

in_one_folder = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(folder: Path, text: str | bytes, **options) -> Tree:
    path = folder / "axon.swc"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_swc(path, **options)


def rewritten(folder: Path, tree: Tree, types: int | list[int] = 2) -> Tree:
    write_swc(tree, folder / "again.swc", types=types)
    return read_swc(folder / "again.swc")


def shape(tree: Tree, names: bool = True) -> list[tuple]:
    """All that a file can tell of the branches, to the bit."""
    return [
        (
            branch.parent,
            branch.at,
            branch.cable.profile_x.tolist(),
            branch.cable.profile_diameter.tolist(),
            branch.cable.path.tolist(),
            branch.name if names else "",
        )
        for branch in tree.branches
    ]


def nested(tree: Tree) -> tuple:
    """The same without an order of the branches."""
    below: list[list[tuple]] = [[] for _ in tree.branches]
    for k, (parent, at, *rest) in reversed(list(enumerate(shape(tree, names=False)))):
        whole = (at, rest, sorted(below[k]))
        if parent < 0:
            return whole
        below[parent].append(whole)
    raise AssertionError("no root")


def hangs(tree: Tree) -> list[tuple[str, int, float]]:
    return [(branch.name, branch.parent, branch.at) for branch in tree.branches]


def knots(branch: Branch) -> list[tuple[float, float]]:
    cable = branch.cable
    return list(zip(cable.profile_x.tolist(), cable.profile_diameter.tolist(), strict=True))


def membrane(tree: Tree) -> float:
    return float(tree.area.sum())


def tips(tree: Tree) -> list[float]:
    """How far each end at which nothing begins is from the root, along the branches."""
    far, taken = [], set()
    for branch in tree.branches:
        begin = branch.at + (far[branch.parent][0] if branch.parent >= 0 else 0.0)
        far.append((begin, begin + branch.cable.length))
        if branch.parent >= 0 and branch.at == tree.branches[branch.parent].cable.length:
            taken.add(branch.parent)
    return sorted(end for k, (_, end) in enumerate(far) if k not in taken)


# The same conventions once more: one point at a time, in plain Python.


@dataclass
class Row:
    number: int
    type: int
    place: tuple[float, float, float]
    radius: float
    parent: int

    def __str__(self) -> str:
        values = self.number, self.type, *self.place, self.radius, self.parent
        return " ".join(map(repr, values))


def text_of(rows: list[Row]) -> str:
    return "\n".join(map(str, rows)) + "\n"


def pieces(rows: list[Row]) -> dict[int, tuple[float, float, float]]:
    """(length, diameter, diameter) of what each point hangs by; nothing where that is no cable."""
    by_number = {row.number: row for row in rows}
    found = {}
    for row in rows:
        if row.parent < 0:
            continue
        parent = by_number[row.parent]
        length = math.dist(row.place, parent.place)
        a, b = 2 * parent.radius, 2 * row.radius
        if parent.type == 1 and row.type != 1:
            around = [r for r in rows if r.parent == parent.number and r.type == 1]
            beside = len(around) + (parent.parent > 0)
            if beside != 1 and any(r.parent == row.number for r in rows):
                continue
            a = b
        found[row.number] = length, a, b
    return found


def membrane_of(rows: list[Row]) -> float:
    frusta = math.fsum(
        math.pi / 2 * (a + b) * math.hypot(long, (a - b) / 2) * (long > 0)
        for long, a, b in pieces(rows).values()
    )
    soma = [row for row in rows if row.type == 1]
    return frusta + (4 * math.pi * soma[0].radius ** 2 if len(soma) == 1 else 0.0)


def tips_of(rows: list[Row]) -> list[float]:
    far = {rows[0].number: 0.0}
    for row in rows[1:]:
        far[row.number] = far[row.parent] + pieces(rows).get(row.number, (0.0,))[0]
    return sorted(far[n] for n in far if all(row.parent != n for row in rows))


quarters = st.integers(-200, 200).map(lambda k: k / 4)
steps = st.tuples(quarters, quarters, quarters).filter(any)
radii = st.sampled_from([0.125, 0.5, 1.0, 3.0])


coordinates = st.sampled_from([0.0, 0.0, 1.0, 7.5, -40.25])


@st.composite
def trees(draw: st.DrawFn) -> list[Row]:
    """Points of any type that hang from any other, often at the same place."""
    soma = draw(st.booleans())
    rows: list[Row] = []
    for number in range(1, draw(st.integers(2, 14)) + 1):
        parent = draw(st.integers(max(number - 4, 1), number - 1)) if rows else -1
        beside = soma and (not rows or rows[parent - 1].type == 1)
        kind = draw(st.sampled_from([1, 2] if beside else [0, 2, 3, 5, 6, 9])) if rows else soma + 0
        place = draw(st.tuples(coordinates, coordinates, coordinates))
        rows.append(Row(number, kind, place, draw(radii), parent))
    return rows


MEANINGLESS = "|".join(
    [
        "is all that there is",
        "does, in a soma",
        "does, is a tip",
        "does, so the cable begins twice",
        "does, which lies where",
        "does, and has its radius",
    ]
)


@in_one_folder
@given(trees(), st.randoms(use_true_random=False))
def test_any_tree_has_the_membrane_of_its_points_and_comes_back(tmp_path, rows, draw):
    try:
        tree = read(tmp_path, text_of(rows), dx=20.0)
    except GeometryError as error:
        assert re.search(MEANINGLESS, str(error))
        assert "is all" in str(error) or len({row.place for row in rows}) < len(rows)
        return
    assert membrane(tree) == pytest.approx(membrane_of(rows), ROUNDING)
    if rows[0].type != 1:  # else the root may be a place within the first branch
        assert tips(tree) == pytest.approx(tips_of(rows), ROUNDING)

    # The order of lines doesn't matter, nor what the numbers are.
    numbers = sorted(draw.sample(range(1000), len(rows)))
    others = [
        Row(numbers[r.number - 1], r.type, r.place, r.radius, numbers[r.parent - 1] if k else -1)
        for k, r in enumerate(rows)
    ]
    draw.shuffle(others)
    again = read(tmp_path, text_of(others), dx=20.0)
    assert shape(again, names=False) == shape(tree, names=False)
    assert [b.name for b in again.branches] == [
        str(numbers[int(b.name) - 1]) for b in tree.branches
    ]

    again = rewritten(tmp_path, tree, [rows[int(b.name) - 1].type for b in tree.branches])
    assert nested(again) == nested(tree)
    if rows[0].type != 1:  # a soma is written from one end to the other, whichever was its root
        assert shape(again, names=False) == shape(tree, names=False)


@pytest.mark.parametrize("branches", [1, 2, 3, 150])
def test_arbors_come_back_to_the_bit(tmp_path, branches):
    tree = read(tmp_path, arbor(branches, seed=7))
    assert len(tree.branches) == branches
    assert shape(rewritten(tmp_path, tree), names=False) == shape(tree, names=False)


def test_arbors_are_of_the_size_of_terminals(tmp_path):
    tree = read(tmp_path, arbor(151, seed=1))
    diameters = np.concatenate([branch.cable.profile_diameter for branch in tree.branches])
    assert diameters.max() == TRUNK and diameters.min() == pytest.approx(THINNEST, abs=2e-3)
    lengths = [branch.cable.length for branch in tree.branches]
    assert STRETCH[0] - 0.1 < min(lengths) and max(lengths) < STRETCH[1] + 0.1  # three decimals
    assert arbor(151, seed=1) == arbor(151, seed=1) != arbor(151, seed=2)


# Text


FORK = "1 2 0 0 0 0.5 -1\n2 2 100 0 0 0.5 1\n3 2 190 0 0 0.25 2\n4 2 100 80 0 0.25 2\n"


@pytest.mark.parametrize(
    "text",
    [
        FORK.replace("\n", "\r\n"),
        FORK.replace("\n", "\r"),
        FORK.replace(" ", "\t"),
        FORK.replace(" ", "  ").replace("\n", " \n\n \n ").rstrip(),
        "\ufeff" + FORK,
        "# a comment\n" + FORK.replace("\n", "\n  #1 2 3\n"),
        ("# radius in \xb5m, by Ram\xf3n\n" + FORK).encode("latin-1"),
        FORK.replace("1 2 0", "1.0 +2 -0.0").replace("2 2 100", "2. 2e0 1.0E2"),
        "".join(reversed(FORK.splitlines(keepends=True))),
        # numbers from 0, and with gaps
        "0 2 0 0 0 0.5 -1\n7 2 100 0 0 0.5 0\n8 2 190 0 0 0.25 7\n1000 2 100 80 0 0.25 7\n",
    ],
)
def test_files_are_read(tmp_path, text):
    tree = read(tmp_path, text)
    assert shape(tree, names=False) == shape(read(tmp_path, FORK), names=False)
    assert [(b.parent, b.at) for b in tree.branches] == [(-1, 0.0), (0, 100.0), (0, 100.0)]


def test_arguments_reach_every_branch(tmp_path):
    tree = read(tmp_path, FORK, Ra="1 ohm*m", cm=2.0, dx="9 um")
    assert [branch.cable.n for branch in tree.branches] == [12, 10, 9]
    for branch in tree.branches:
        assert set(branch.cable.Ra) == {100.0} and set(branch.cable.cm) == {2.0}
    coarse, fine = (read(tmp_path, FORK, d_lambda=d).branches[0].cable.n for d in (0.1, 0.01))
    assert fine > 5 * coarse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 0 0 0 1\n", r"line 1: '1 2 0 0 0 1' has 6 columns; a point has 7"),
        ("#\n\n1 2 0 0 0 1 -1 0\n", "line 3: .* has 8 columns"),
        ("1,2,0,0,0,1,-1\n", "line 1: '1,2,0,0,0,1,-1' has 1 columns; .* divided by blanks"),
        ("1 2 0 0 0 1 -1\n\n2 2 1 x 0 1 1\n", "line 3: y = 'x' must be a number"),
        ("1 2 nan 0 0 1 -1\n", "line 1: x = 'nan' must be a number"),
        ("1 2 0 0 inf 1 -1\n", "line 1: z = 'inf' must be a number"),
        ("1 2 0 1e13 0 1 -1\n", "line 1: y = '1e13' must be a number, from -1e.12 to 1e.12"),
        ("1 2 0 0 0 1e999 -1\n", "line 1: radius = '1e999' must be a number"),
        ("1 2 1_0 0 0 1 -1\n", "line 1: x = '1_0' must be a number"),
        ("1 2 \u0661 0 0 1 -1\n", "line 1: x = .* must be a number"),
        ("1 2 0x1 0 0 1 -1\n", "line 1: x = '0x1' must be a number"),
        ("1 2 0 0 0 1\0 -1\n", r"line 1: radius = '1\\x00' must be a number"),
        (b"1 2 \xff 0 0 1 -1\n", "line 1: x = .* must be a number"),
        ("1.5 2 0 0 0 1 -1\n", "line 1: number = '1.5' must be a whole number, at least 0"),
        ("1 2.5 0 0 0 1 -1\n", "line 1: type = '2.5' must be a whole number"),
        ("1 -2 0 0 0 1 -1\n", "line 1: type = '-2' must be a whole number, at least 0"),
        ("1 2 0 0 0 1 -1.5\n", "line 1: parent = '-1.5' must be a whole number, at least -1"),
        ("1 2 0 0 0 1 -2\n", "line 1: parent = '-2' must be a whole number, at least -1"),
        ("-1 2 0 0 0 1 -1\n", "line 1: number = '-1' must be a whole number, at least 0"),
        ("1 2 0 0 0 0 -1\n", "line 1: radius = '0' must be greater than 0; measure it"),
        (FORK + "5 2 9 9 9 -1 3\n", "line 5: radius = '-1' must be greater than 0"),
        ("", "holds no points; it may be no SWC file"),
        ("# nothing\n\n", "holds no points"),
        (FORK.encode("utf-16"), r"line 1: number = .* must be a number"),
        ("1 2 0 0 0 1 -1\n" + "#" * 100_001, "line 2 has more than 100000 characters"),
        (FORK + "3 2 9 9 9 1 2\n", r"lines 3 and 5 are both point 3; give each a number"),
        (FORK + "5 2 9 9 9 1 6\n", r"point 5 \(line 5\) has the parent 6, which is not there"),
        (FORK + "5 2 9 9 9 1 5\n", r"point 5 \(line 5\) is its own parent; write -1"),
        ("1 2 0 0 0 1 1\n", r"point 1 \(line 1\) is its own parent; write -1"),
        (
            FORK + "5 2 9 9 9 1 7\n6 2 8 8 8 1 5\n7 2 7 7 7 1 6\n",
            r"\(line \d\) is its own ancestor",
        ),
        ("1 2 0 0 0 1 2\n2 2 1 0 0 1 1\n", r"point 1 \(line 1\) is its own ancestor"),
        (
            FORK + "9 2 0 9 0 1 -1\n",
            r"there are 2 trees, from points 1 \(line 1\), 9 \(line 5\); write root=1",
        ),
        ("7 2 0 0 0 1 -1\n", r"point 7 \(line 1\) is all that there is; .* two points"),
        (
            FORK + "5 1 9 9 9 1 3\n",
            r"point 5 \(line 5\) is of a soma, and its parent, point 3 \(line 3\), isn't",
        ),
        # places that are given twice
        (
            FORK + "5 2 190 0 0 0.1 3\n",
            r"point 5 \(line 5\) lies where its parent, point 3 \(line 3\), does, is a tip without",
        ),
        ("1 2 0 0 0 1 -1\n2 2 0 0 0 1 1\n", r"point 2 \(line 2\) lies .* is a tip without length"),
        (
            "1 2 0 0 0 1 -1\n2 2 0 0 0 2 1\n3 2 9 0 0 1 2\n",
            r"point 2 \(line 2\) lies where its parent, .* so the cable begins twice",
        ),
        (
            "1 2 0 0 0 1 -1\n2 2 9 0 0 2 1\n3 2 9 0 0 2 2\n4 2 10 0 0 2 3\n",
            r"point 3 \(line 3\) lies .* and has its radius; leave it out, or .* for a step",
        ),
        (
            "1 2 0 0 0 1 -1\n2 2 9 0 0 2 1\n3 2 9 0 0 3 2\n4 2 9 0 0 4 3\n5 2 10 0 0 2 4\n",
            r"point 4 \(line 4\) lies .* a step takes two points",
        ),
        (
            "1 1 0 0 0 9 -1\n2 2 20 0 0 1 1\n3 2 20 0 0 2 2\n4 2 30 0 0 2 3\n",
            r"point 3 \(line 3\) lies .* so the cable begins twice",
        ),
        ("1 1 0 0 0 9 -1\n2 2 0 0 0 1 1\n", r"point 2 \(line 2\) lies .* is a tip without length"),
        (
            "1 2 0 0 0 1 -1\n2 2 1e-200 0 0 1 1\n3 2 9 0 0 1 2\n",
            r"point 2 \(line 2\) lies .* so the cable begins twice",
        ),
        # what `Axon` refuses
        (
            "1 2 0 0 0 1 -1\n2 2 1e5 0 0 1 1\n3 2 100000.00000000003 0 0 2 2\n4 2 2e5 0 0 1 3\n",
            r"from point 1 \(line 1\) to point 4 \(line 4\): x has knots .* too close",
        ),
        (
            "1 2 0 0 0 1e-300 -1\n2 2 1 0 0 1e-300 1\n",
            r"from point 1 \(line 1\) to point 2 \(line 2\): 2.*e.148 compartments are more than",
        ),
    ],
)
def test_what_is_no_tree_is_refused_by_its_line(tmp_path, text, message):
    with pytest.raises(GeometryError, match=message) as refusal:
        read(tmp_path, text)
    assert "axon.swc" in str(refusal.value)
    assert len(str(refusal.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": 2}, r"axon.swc: root = 2 is no root; write the number of points 1 .* 9"),
        ({"root": -1}, "root = -1 is no root"),
        ({"types": {4, 5}}, r"no point has one of types = \[4, 5\]; there are 2, 3"),
        ({"types": ()}, r"no point has one of types = \[\]"),
        ({"types": 2}, r"types = 2 must be whole numbers, such as \{2\}"),
        ({"types": "2"}, "types = '2' must be whole numbers"),
        ({"types": {2}, "root": 9}, r"root = 9 is no root; write the number of point 1 \(line 1\)"),
        ({"root": 1, "Ra": 0.0}, "Ra = 0.0 must be greater than 0"),
        ({"root": 1, "cm": "1 mV"}, "cm = '1 mV' cannot be converted"),
        ({"root": 1, "dx": -1.0}, "dx = -1.0 must be greater than 0"),
        ({"root": 1, "dx": 1.0, "d_lambda": 0.1}, "dx and d_lambda both say how to cut"),
        ({"root": 1, "d_lambda": 0.0}, "d_lambda = 0.0 must be greater than 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(GeometryError, match=message):
        read(tmp_path, FORK + "9 3 0 9 0 1 -1\n10 3 0 19 0 1 9\n", **options)


@pytest.mark.parametrize("path", [".", "none.swc", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_refused(path):
    with pytest.raises(GeometryError, match="is no file"):
        read_swc(path)


def test_files_of_too_many_points_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(axon.swc, "MAX_POINTS", 4)
    read(tmp_path, FORK)
    path = tmp_path / "large.swc"
    path.write_text(FORK + "5 2 9 9 9 1 4\n" * 200_000)
    tracemalloc.start()
    with pytest.raises(GeometryError, match="line 5: there are more than 4 points; write fewer"):
        read_swc(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6  # of a file of 2.8 MB


def test_trees_of_too_many_branches_or_compartments_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(axon.swc, "MAX_COMPARTMENTS", 100)
    with pytest.raises(GeometryError, match=r"axon.swc: branches have more than 100 compartments"):
        read(tmp_path, FORK, dx=1.0)
    monkeypatch.setattr(axon.swc, "MAX_BRANCHES", 2)
    with pytest.raises(GeometryError, match=r"axon.swc: there are more than 2 stretches"):
        read(tmp_path, FORK)


# Conventions


def test_stretches_become_branches_depth_first(tmp_path):
    text = (
        "1 2 0 0 0 1 -1\n2 2 10 0 0 1 1\n3 2 20 0 0 1 2\n"
        "4 2 30 0 0 1 3\n5 2 20 10 0 1 3\n6 2 20 20 0 1 5\n"
        "7 2 40 0 0 1 4\n8 2 30 10 0 1 4\n9 2 0 0 9 1 1\n"
    )
    tree = read(tmp_path, text)
    assert hangs(tree) == [
        ("3", -1, 0.0),
        ("4", 0, 20.0),
        ("7", 1, 10.0),
        ("8", 1, 10.0),
        ("6", 0, 20.0),
        ("9", 0, 0.0),  # the root branches
    ]
    assert tree.branches[4].cable.path.tolist() == [[20, 0, 0], [20, 10, 0], [20, 20, 0]]


def test_between_a_point_and_its_parent_is_a_frustum_whatever_the_types(tmp_path):
    tree = read(tmp_path, "1 3 0 0 0 4 -1\n2 2 10 0 0 1 1\n3 6 30 0 0 2 2\n4 2 10 5 0 0.5 2\n")
    assert [knots(branch) for branch in tree.branches] == [
        [(0.0, 8.0), (10.0, 2.0)],
        [(0.0, 2.0), (20.0, 4.0)],
        [(0.0, 2.0), (5.0, 1.0)],
    ]


SPHERE = "1 1 1 2 3 10 -1\n"
THREE = SPHERE + "2 1 1 -8 3 10 1\n3 1 1 12 3 10 1\n"


@pytest.mark.parametrize("soma", [SPHERE, THREE])
def test_a_soma_of_one_point_or_three_is_a_cylinder_with_the_membrane_of_a_sphere(tmp_path, soma):
    tree = read(
        tmp_path, soma + "4 2 13 2 3 1 1\n5 2 20 2 3 0.5 4\n6 3 -9 2 3 1 1\n7 3 -99 2 3 1 6\n"
    )
    cell = tree.branches[0].cable
    assert knots(tree.branches[0]) == [(0.0, 20.0), (20.0, 20.0)]
    assert cell.area.sum() == pytest.approx(4 * math.pi * 10**2, 1e-14)
    assert cell.path.tolist() == [[1, -8, 3], [1, 2, 3], [1, 12, 3]]
    # Neurites begin at their first points, at the middle of the soma.
    assert [(parent, at) for _, parent, at in hangs(tree)] == [(-1, 0.0), (0, 10.0), (0, 10.0)]
    assert tree.branches[1].cable.path[0].tolist() == [13, 2, 3]
    assert knots(tree.branches[1]) == [(0.0, 2.0), (7.0, 1.0)]


def test_a_soma_alone_is_an_axon_too(tmp_path):
    tree = read(tmp_path, SPHERE)
    assert hangs(tree) == [("1", -1, 0.0)]
    assert shape(rewritten(tmp_path, tree, 1), names=False) == shape(tree, names=False)


def test_a_neurite_of_one_point_is_drawn_from_the_middle_of_the_soma(tmp_path):
    tree = read(tmp_path, SPHERE + "2 2 21 2 3 0.5 1\n")
    assert tree.branches[1].cable.path.tolist() == [[1, 2, 3], [21, 2, 3]]
    assert knots(tree.branches[1]) == [(0.0, 1.0), (20.0, 1.0)]


def test_a_neurite_that_branches_at_its_first_point_is_two_at_the_soma(tmp_path):
    tree = read(tmp_path, SPHERE + "2 2 13 2 3 1 1\n3 2 20 2 3 1 2\n4 2 13 9 3 1 2\n")
    assert hangs(tree)[1:] == [("3", 0, 10.0), ("4", 0, 10.0)]
    assert [b.cable.path[0].tolist() for b in tree.branches[1:]] == [[13, 2, 3]] * 2


LINE = "1 1 0 0 0 3 -1\n2 1 10 0 0 5 1\n3 1 20 0 0 4 2\n"


def test_a_soma_of_several_points_is_as_it_is_drawn(tmp_path):
    text = (
        LINE + "4 2 30 0 0 1 3\n5 2 50 0 0 0.5 4\n6 3 10 8 0 1 2\n7 3 10 18 0 2 6\n8 3 -9 0 0 2 1\n"
    )
    tree = read(tmp_path, text)
    assert knots(tree.branches[0]) == [(0.0, 6.0), (10.0, 10.0), (20.0, 8.0)]
    # Apart from within it, drawn from its end, and from its beginning.
    assert hangs(tree) == [("3", -1, 0.0), ("7", 0, 10.0), ("5", 0, 20.0), ("8", 0, 0.0)]
    assert knots(tree.branches[1]) == [(0.0, 2.0), (10.0, 4.0)]
    assert knots(tree.branches[2]) == [(0.0, 2.0), (10.0, 2.0), (30.0, 1.0)]
    assert knots(tree.branches[3]) == [(0.0, 4.0), (9.0, 4.0)]
    assert tree.branches[1].cable.path[0].tolist() == [10, 8, 0]
    assert tree.branches[2].cable.path[0].tolist() == [20, 0, 0]


def test_a_soma_that_branches_is_as_it_is_drawn_too(tmp_path):
    text = LINE + "4 1 0 9 0 3 1\n5 1 0 -9 0 3 1\n6 2 0 0 9 1 1\n7 2 0 0 19 1 6\n"
    tree = read(tmp_path, text)
    assert hangs(tree) == [("3", -1, 0.0), ("4", 0, 0.0), ("5", 0, 0.0), ("7", 0, 0.0)]
    assert tree.branches[3].cable.length == 10.0
    types = [1, 1, 1, 2]
    assert shape(rewritten(tmp_path, tree, types), names=False) == shape(tree, names=False)


def test_a_place_that_is_given_twice_is_a_step(tmp_path):
    text = "1 2 0 0 0 1 -1\n2 2 10 0 0 1 1\n3 2 10 0 0 2 2\n4 2 30 0 0 2 3\n"
    (branch,) = read(tmp_path, text).branches
    assert knots(branch) == [(0.0, 2.0), (10.0, 2.0), (10.0, 4.0), (30.0, 4.0)]
    assert branch.cable.path.tolist() == [[0, 0, 0], [10, 0, 0], [30, 0, 0]]


def test_a_branch_may_begin_with_a_diameter_of_its_own(tmp_path):
    text = (
        "1 2 0 0 0 2 -1\n2 2 10 0 0 2 1\n"
        "3 2 10 0 0 1 2\n4 2 20 0 0 1 3\n"  # repeats the branch point
        "5 2 10 0 0 2 2\n6 2 10 5 0 2 5\n7 2 10 0 5 1 5\n"  # a fork in two, written as two
    )
    tree = read(tmp_path, text)
    assert hangs(tree) == [("2", -1, 0.0), ("4", 0, 10.0), ("6", 0, 10.0), ("7", 0, 10.0)]
    assert [knots(branch)[0][1] for branch in tree.branches] == [4.0, 2.0, 4.0, 4.0]
    assert tree.branches[1].cable.path.tolist() == [[10, 0, 0], [20, 0, 0]]


def test_a_step_at_a_branch_point_is_that_of_its_branches(tmp_path):
    text = "1 2 0 0 0 2 -1\n2 2 10 0 0 2 1\n3 2 10 0 0 1 2\n4 2 20 0 0 1 3\n5 2 10 9 0 1 3\n"
    tree = read(tmp_path, text)
    assert [knots(branch)[0][1] for branch in tree.branches] == [4.0, 2.0, 2.0]
    assert knots(tree.branches[0]) == [(0.0, 4.0), (10.0, 4.0)]


def test_types_leave_points_out(tmp_path):
    text = (
        SPHERE + "2 2 13 2 3 1 1\n3 2 20 2 3 1 2\n4 3 -9 2 3 1 1\n5 3 -99 2 3 1 4\n"
        "6 2 20 9 3 1 3\n7 9 20 2 9 1 3\n"
    )
    tree = read(tmp_path, text, types={2})
    assert hangs(tree) == [("6", -1, 0.0)]
    assert tree.branches[0].cable.path.tolist() == [[13, 2, 3], [20, 2, 3], [20, 9, 3]]
    assert len(read(tmp_path, text, types=[1, 2]).branches) == 2
    with pytest.raises(GeometryError, match=r"there are 2 trees, from points 2 .*, 4 .*or types"):
        read(tmp_path, text, types=(2, 3))
    assert hangs(read(tmp_path, text, types=(2, 3), root=4)) == [("5", -1, 0.0)]


def test_one_of_several_roots_is_chosen(tmp_path):
    text = FORK + "9 2 0 9 0 1 -1\n10 2 0 19 0 1 9\n"
    assert hangs(read(tmp_path, text, root=9)) == [("10", -1, 0.0)]
    assert len(read(tmp_path, text, root=1).branches) == 3


@pytest.mark.peers
def test_neuron_makes_the_same_membrane(tmp_path):
    """Import3d, on somata of each kind, and on an arbor; Import3d reads diameters as floats."""
    pytest.importorskip("neuron", reason="NEURON is not installed: pip install neuron")
    from neuron import h

    h.load_file("stdlib.hoc")
    h.load_file("import3d.hoc")
    neurites = "4 2 13 2 3 1 1\n5 2 20 2 3 0.5 4\n6 2 30 2 3 1 5\n7 3 20 9 3 1 5\n8 3 1 2 -9 1 1\n"
    ends = "4 2 30 0 0 1 3\n5 2 50 0 0 0.5 4\n6 3 10 8 0 1 2\n7 3 10 18 0 2 6\n8 3 -9 0 0 2 1\n"
    for text in (SPHERE + neurites, THREE + neurites, LINE + ends, arbor(40, seed=3)):
        tree = read(tmp_path, text)
        reader = h.Import3d_SWC_read()
        reader.quiet = 1
        reader.input(str(tmp_path / "axon.swc"))
        h.Import3d_GUI(reader, 0).instantiate(None)
        sections = list(h.allsec())
        theirs = sum(segment.area() for section in sections for segment in section)
        lengths = sorted(section.L for section in sections)
        for section in sections:
            h.delete_section(sec=section)
        assert membrane(tree) == pytest.approx(theirs, 1e-6)
        ours = sorted(branch.cable.length for branch in tree.branches)
        assert ours == pytest.approx(lengths, 1e-6)


# Writing


def laid(path: list, diameter: float | list = 1.0, x: list | None = None) -> Axon:
    """A cable along a line, as long as it unless positions say otherwise."""
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    x = x or [0.0, length]
    return Axon.from_profile(x, np.broadcast_to(diameter, len(x)), compartments=3).along(path)


TRUNK_CABLE = laid([(0, 0, 0), (60, 0, 0), (60, 40, 0)], [4.0, 3.0, 2.0, 2.0], [0, 30, 30, 100])


def test_axons_and_trees_read_and_write(tmp_path):
    path = tmp_path / "axon.swc"
    path.write_text(SPHERE + "2 2 13 2 3 1 1\n3 2 20 2 3 0.5 2\n4 3 0 0 90 1 -1\n5 3 0 0 99 1 4\n")
    options = {"Ra": 70.0, "cm": 0.8, "dx": 3.0, "root": 1}
    tree = Axon.from_swc(path, types={1, 2, 3}, **options)
    assert tree == read_swc(path, **options)
    assert Axon.from_swc(path, types={3}, d_lambda=0.3) == read_swc(path, root=4, d_lambda=0.3)
    tree.to_swc(path, types=[1, 2])
    assert shape(read_swc(path), names=False) == shape(tree, names=False)


def test_a_file_tells_who_wrote_it(tmp_path):
    write_swc(Tree([Branch(laid([(0, 0, 0), (0.1, 0, 0)], 0.3))]), tmp_path / "axon.swc")
    assert (tmp_path / "axon.swc").read_text().splitlines() == [
        f"# written by axon {axon.__version__}",
        "# number type x y z radius parent (um)",
        "1 2 0.0 0.0 0.0 0.15 -1",
        "2 2 0.1 0.0 0.0 0.15 1",
    ]


@pytest.mark.parametrize("at", [0.0, 10.0, 30.0, 60.0, 70.0, 70.00000000000001, 100.0])
@pytest.mark.parametrize("diameter", [1.0, 2.0])
def test_where_others_begin_is_a_branch_point(tmp_path, at, diameter):
    places = np.array([np.interp(at, [0, 60, 100], each) for each in ([0, 60, 60], [0, 0, 40])])
    side = laid([(*places, 0), (*places, 20)], diameter)
    tree = Tree([Branch(TRUNK_CABLE), Branch(side, 0, at)])
    again = rewritten(tmp_path, tree)
    assert membrane(again) == pytest.approx(membrane(tree), ROUNDING)
    if 0 < at < 100:
        assert [branch.parent for branch in again.branches] == [-1, 0, 0]
        assert again.branches[1].at == again.branches[0].cable.length == pytest.approx(at, 1e-14)
        assert knots(again.branches[2]) == [(0.0, diameter), (20.0, diameter)]
        assert tips(again) == pytest.approx(sorted([100.0, at + 20.0]), ROUNDING)
    else:
        assert len(again.branches) == (2 if at == 0 else 1)


def test_branches_that_begin_on_one_another_everywhere(tmp_path):
    """At one place, beside it, at the beginning of one that begins there, at a step of one."""
    up = laid([(30, 0, 0), (30, 20, 0)], 1.0)
    tree = Tree(
        [
            Branch(TRUNK_CABLE),
            Branch(up, 0, 30.0),
            Branch(laid([(30, 0, 0), (30, 0, 20)], 0.5), 0, 30.0 + 1e-8),
            Branch(laid([(30, 0, 0), (30, 0, -20)], 0.7), 1, 0.0),
            Branch(laid([(30, 0, 0), (30, -20, 0)], [1.0, 0.2]), 1, 0.0),
            Branch(laid([(30, 20, 0), (30, 60, 0)], 0.5), 1, 20.0),
        ]
    )
    again = rewritten(tmp_path, tree)
    assert membrane(again) == pytest.approx(membrane(tree), ROUNDING)
    assert [branch.at for branch in again.branches] == [0.0] + [30.0] * 5
    assert tips(again) == pytest.approx([50.0, 50.0, 50.0, 90.0, 100.0], ROUNDING)
    # What goes on alone is one with what it goes on from.
    assert knots(again.branches[2])[1:3] == [(20.0, 1.0), (20.0, 0.5)]


def test_a_step_of_no_height_is_none(tmp_path):
    cable = laid([(0, 0, 0), (20, 0, 0)], [1.0, 2.0, 2.0, 1.0], [0, 5, 5, 20])
    (branch,) = rewritten(tmp_path, Tree((Branch(cable),))).branches
    assert knots(branch) == [(0.0, 1.0), (5.0, 2.0), (20.0, 1.0)]


def test_a_soma_with_a_step_is_refused(tmp_path):
    tree = Tree((Branch(TRUNK_CABLE, name="body"),))
    with pytest.raises(GeometryError, match="types: branch 0, 'body', is of a soma and has a step"):
        write_swc(tree, tmp_path / "axon.swc", types=1)


@st.composite
def grown(draw: st.DrawFn) -> Tree:
    """Branches that begin anywhere on others, with tapers, steps and paths that go on."""
    branches: list[Branch] = []
    tenths = st.integers(1, 60).map(lambda k: k / 10)
    for k in range(draw(st.integers(1, 6))):
        parent, at, begin = -1, 0.0, np.zeros(3)
        if k:
            parent = draw(st.integers(0, k - 1))
            cable = branches[parent].cable
            fractions = st.integers(0, 60).map(lambda k, cable=cable: k / 60 * cable.length)
            at = draw(st.sampled_from(cable.profile_x.tolist()) | fractions)
            reached = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(cable.path, axis=0), axis=1)))
            begin = np.array([np.interp(at, reached, each) for each in cable.path.T])
        path = begin + np.cumsum(
            [(0.0, 0.0, 0.0), *draw(st.lists(steps, min_size=1, max_size=4))], 0
        )
        length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
        x = sorted(draw(st.lists(st.integers(1, 99).map(lambda k: k / 100), max_size=3)))
        x = [each for i, each in enumerate(x) if x[i - 2 : i].count(each) < 2]
        x = [0.0, *(each * length for each in x), draw(st.sampled_from([1.0, 0.995])) * length]
        d = draw(st.lists(tenths, min_size=len(x), max_size=len(x)))
        cable = Axon.from_profile(x, d, compartments=draw(st.integers(1, 5))).along(path)
        branches.append(Branch(cable, parent, at))
    return Tree(branches)


@in_one_folder
@given(grown())
def test_any_tree_keeps_its_membrane_and_its_length(tmp_path, tree):
    again = rewritten(tmp_path, tree)
    assert membrane(again) == pytest.approx(membrane(tree), 1e-11)
    lengths = (math.fsum(b.cable.length for b in each.branches) for each in (tree, again))
    assert next(lengths) == pytest.approx(next(lengths), ROUNDING)
    assert max(tips(again)) == pytest.approx(max(tips(tree)), ROUNDING)
    # A second time there is nothing left to be put in between.
    assert shape(rewritten(tmp_path, again), names=False) == shape(again, names=False)


CELL = laid([(0, -5, 0), (0, 5, 0)], 10.0)
AWAY = laid([(9, 0, 0), (29, 0, 0)])


@pytest.mark.parametrize(
    ("branches", "types", "message"),
    [
        ([Branch(Axon.cylinder(9.0, 1.0))], 2, "branch 0, '', lies nowhere in space; .* along"),
        (
            [Branch(TRUNK_CABLE), Branch(Axon.cylinder(9.0, 1.0), 0, 0.0, "left")],
            2,
            "branch 1, 'left', lies nowhere",
        ),
        (
            [Branch(CELL), Branch(AWAY, 0, 5.0, "far")],
            2,
            r"branch 1, 'far', begins at \(9.0, 0.0, 0.0\) um, and branch 0 has \(0.0, 0.0, 0.0\)",
        ),
        ([Branch(CELL), Branch(AWAY, 0, 5.0)], 1, "begins at .* give it a path that begins on"),
        (
            [Branch(CELL), Branch(AWAY, 0, 10.0, "far")],
            [1, 2],
            "branch 1, 'far', begins at an end of the soma, but lies apart from it",
        ),
        (
            [Branch(AWAY), Branch(laid([(9, 0, 0), (9, 5, 0)]), 0, 0.0, "late")],
            [2, 1],
            "types: branch 1, 'late', is of a soma, and branch 0, on which it begins, isn't",
        ),
        ([Branch(CELL)], [1, 2], r"types = \[1, 2\] must be one whole number, .* 1 branches"),
        ([Branch(CELL)], 2.5, "types = 2.5 must be one whole number"),
        ([Branch(CELL)], -1, "types = -1 must be one whole number"),
        ([Branch(CELL)], "axon", "types = 'axon' must be one whole number"),
    ],
)
def test_trees_that_the_format_cannot_tell_are_refused(tmp_path, branches, types, message):
    with pytest.raises(GeometryError, match=message):
        write_swc(Tree(branches), tmp_path / "axon.swc", types=types)
    assert not (tmp_path / "axon.swc").exists()


def test_neurites_apart_from_the_soma_come_back(tmp_path):
    tree = Tree([Branch(CELL), Branch(AWAY, 0, 5.0), Branch(laid([(0, 0, 0), (0, 0, 9)]), 0, 5.0)])
    again = rewritten(tmp_path, tree, [1, 2, 3])
    assert shape(again, names=False)[1:] == shape(tree, names=False)[1:]
    assert membrane(again) == pytest.approx(membrane(tree), ROUNDING)


def test_a_file_that_cannot_be_written_is_told_of(tmp_path):
    with pytest.raises(WriteError, match=r"can't write .*none/axon.swc: No such file"):
        write_swc(Tree([Branch(CELL)]), tmp_path / "none" / "axon.swc")


# Junk


WHOLE = (
    "# whole\n"
    + THREE
    + "4 2 13 2 3 1 1\n5 2 20 2 3 0.5 4\n6 2 20 2 3 1 5\n"
    + ("7 2 30 2 3 1 6\n8 3 20 9 3 1 5\n9 3 20 9 9 1 8\n")
)


def damaged(draw: random.Random) -> bytes:
    """A file with a few bytes, words or lines changed."""
    data = bytearray(WHOLE.encode())
    for _ in range(draw.randint(1, 2)):
        at = draw.randrange(len(data))
        change = draw.randrange(4)
        if change == 0:
            data[at] = draw.randrange(256)
        elif change == 1:
            del data[at : at + draw.randint(1, 9)]
        elif change == 2:
            data[at:at] = draw.choice([b"-", b"9", b"0", b".", b" ", b"\n", b"e", b"\xff", b"#"])
        else:
            lines = bytes(data).splitlines(keepends=True)
            k = draw.randrange(len(lines))
            words = lines[k].split(b" ")
            words[draw.randrange(len(words))] = draw.choice([b"1", b"2", b"9", b"-1", b"20", b".5"])
            changed = draw.choice(
                [[], [b" ".join(words)], [b" ".join(words)], lines[k : k + 1] * 2]
            )
            lines[k : k + 1] = changed
            data = bytearray(b"".join(lines))
        data = data or bytearray(b"\n")
    return bytes(data)


def outcome(folder: Path, data: bytes) -> bool:
    """Whether there was a tree, or else a GeometryError; one compartment a branch is enough."""
    try:
        tree = read(folder, data, dx=1e13)
    except GeometryError as error:
        assert type(error) is GeometryError and isinstance(error, AxonError)
        return False
    assert isinstance(tree, Tree) and all(branch.cable.n == 1 for branch in tree.branches)
    return True


def test_damaged_files_are_trees_or_refused(tmp_path):
    found = [outcome(tmp_path, damaged(random.Random(seed))) for seed in range(400)]
    assert 40 < sum(found) < 360  # both happen


@in_one_folder
@given(st.binary(max_size=80) | st.text("0123456789.-+e \t\r\n#", max_size=80).map(str.encode))
def test_any_junk_is_a_tree_or_refused(tmp_path, data):
    outcome(tmp_path, data)
