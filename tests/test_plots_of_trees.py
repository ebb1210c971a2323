"""Pictures of axons that branch, and all others of runs along them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

import axon
from axon import models, plots
from axon.errors import GeometryError, NoSpikeError, RunFileError, SimulationError
from axon.geometry import Axon
from axon.plots import trees as of_trees
from axon.runs import Run
from axon.trees import Branch, Tree

GREY, BLUE = "#cccccc", "#0072b2"


def cable(diameter, length, dx=200.0):
    return Axon.cylinder(length, diameter, Ra=35.4, dx=dx)


@cache
def arbor():
    """An impulse that comes to all four tips."""
    tree = Tree.regular("8 mm", 200.0, 2, Ra=35.4, dx=200.0)
    shock = axon.CurrentClamp(0.0, axon.pulse(20_000.0, start=0.5, duration=0.3))
    return axon.Simulation(tree, models.hodgkin_huxley(), [shock], dt=0.01).run(12.0, every=0.1)


@cache
def stopped():
    """One that comes to the tip of a, but not from b into the trunk, nor into the twig there."""
    tree = cable(100.0, "8 mm").branch(cable(63.0, "6 mm"), "8 mm", "a")
    tree = tree.branch(cable(63.0, "6 mm"), (0, "8 mm"), "b")
    tree = tree.branch(cable(600.0, "8 mm"), ("b", "6 mm"), "trunk")
    tree = tree.branch(cable(63.0, "4 mm"), ("b", "6 mm"), "twig")
    shock = axon.CurrentClamp(0.0, axon.pulse(10_000.0, start=0.5, duration=0.3))
    membrane = models.hodgkin_huxley()
    return axon.Simulation(tree, membrane, [shock], dt=0.01, celsius=18.5).run(8.0, every=0.1)


@cache
def few():
    """The arbor's run, as if only every fifth compartment had been recorded."""
    return with_sites(arbor(), np.arange(0, arbor().tree.n, 5))


def with_sites(run, columns, spikes=True):
    found = run.spikes if spikes else run.spikes[:0]
    return Run.in_memory(
        run.header, run.x[columns], run.compartments[columns], run.interval,
        np.asarray(run.v)[:, columns], found["compartment"], found["time"], axon_x=run.axon_x,
    )  # fmt: skip


def arrival(run):
    """When the first spike was in each compartment, the slow way."""
    first = np.full(run.tree.n, np.nan)
    for spike in run.spikes[::-1]:
        first[spike["compartment"]] = spike["time"]
    return first


def lines(collection):
    return np.array(collection.get_segments())


def by_label(ax):
    return {c.get_label(): c for c in ax.collections if isinstance(c, LineCollection)}


@st.composite
def trees(draw):
    """Of a few branches, each of which begins somewhere on an earlier one."""
    lengths = st.floats(10.0, 500.0)
    branches = [Branch(Axon.cylinder(draw(lengths), 2.0, dx=50.0))]
    for k in range(1, draw(st.integers(1, 8))):
        parent = draw(st.integers(0, k - 1))
        at = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0])) * branches[parent].cable.length
        child = Axon.cylinder(draw(lengths), draw(st.sampled_from([0.5, 1.0, 8.0])), dx=50.0)
        branches.append(Branch(child, parent, at))
    return Tree(tuple(branches))


# Where lines are


@settings(max_examples=40, deadline=None)
@given(trees())
def test_a_dendrogram_has_distances_to_the_right_and_tips_above_each_other(tree):
    ax = plots.tree(tree, view="dendrogram")
    assert ax.get_xlabel() == "distance from the root (mm)"
    drawn = lines(ax.collections[0])
    centres = drawn[: tree.n, 1]
    np.testing.assert_allclose(centres[:, 0], tree.x * 1e-3)
    # As long to the right as all branches are together.
    assert np.ptp(drawn[..., 0], axis=1).sum() == pytest.approx(tree.length * 1e-3)
    children = [np.flatnonzero(tree.parent == k) for k in range(tree.n)]
    heights = centres[:, 1]
    tips = np.array([k for k in range(tree.n) if not children[k].size])
    np.testing.assert_allclose(np.sort(heights[tips]), np.arange(len(tips)), atol=1e-9)
    for k, own in enumerate(children):
        if own.size:
            assert heights[k] == pytest.approx(heights[own].mean(), abs=1e-9)
    # What lies beyond one compartment lies between no two of another.
    beyond = [{k} if not own.size else set() for k, own in enumerate(children)]
    for k in range(tree.n - 1, 0, -1):
        beyond[tree.parent[k]] |= beyond[k]
    for those in beyond:
        own = heights[sorted(those)]
        assert np.ptp(own) == pytest.approx(len(own) - 1)
    # Whoever is no child begins where the parent's line or its own goes.
    for k in range(1, tree.n):
        joint = drawn[k, 0]
        beside = np.concatenate([drawn[tree.parent[k]], drawn[tree.n :].reshape(-1, 2)])
        assert np.abs(beside - joint).max(axis=1).min() < 1e-9


def test_in_space_lines_go_through_the_centres_and_to_the_ends():
    tree = arbor().tree
    ax = plots.tree(tree)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (mm)", "y (mm)")
    drawn = lines(ax.collections[0])
    np.testing.assert_allclose(drawn[: tree.n, 1], tree.places[:, :2] * 1e-3)
    along = np.linalg.norm(np.diff(drawn, axis=1), axis=2).sum()
    assert along == pytest.approx(tree.length * 1e-3)
    ends = [each.cable.path[-1, :2] * 1e-3 for each in tree.branches[3:]]
    np.testing.assert_allclose(drawn[tree.tips, -1], ends)
    assert ax.get_aspect() == 1.0


def test_lines_follow_a_bent_path():
    bent = Axon.cylinder(200.0, 1.0, compartments=4).along([(0, 0, 0), (0, 100, 0), (0, 100, 100)])
    ax = plots.tree(bent)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("y (mm)", "z (mm)")  # where it is largest
    assert to_hex(ax.collections[0].get_color()[0]) == "#000000"
    drawn = lines(ax.collections[0]) * 1e3
    np.testing.assert_allclose(drawn[1], [[50, 0], [75, 0], [75, 0], [100, 0]])
    np.testing.assert_allclose(drawn[2], [[100, 0], [100, 25], [100, 25], [100, 50]])
    np.testing.assert_allclose(drawn[3, -1], [100, 100])
    ax = plots.tree(bent, view="xz")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (mm)", "z (mm)")
    np.testing.assert_allclose(lines(ax.collections[0])[..., 0], 0.0)


def test_lines_are_the_wider_the_larger_the_diameter():
    tree = stopped().tree
    all_widths = np.array(plots.tree(tree).collections[0].get_linewidths())
    widths, others = all_widths[: tree.n], all_widths[tree.n :]
    order = np.argsort(tree.diameter)
    assert (np.diff(widths[order]) >= 0).all()
    # Those that leave a branch point beside the first have the width of what they lead to.
    np.testing.assert_array_equal(others, widths[[tree.index((k, 100.0)) for k in ("b", "twig")]])
    assert widths[np.argmax(tree.diameter)] == 5.0
    thin = cable(1000.0, 100.0).branch(cable(0.1, 100.0), 100.0)
    assert min(plots.tree(thin).collections[0].get_linewidths()) == 1.5
    many = Tree.regular(100.0, 2.0, 9, geometric_ratio=0.5, length_ratio=1.0, compartments=1)
    assert min(plots.tree(many).collections[0].get_linewidths()) == pytest.approx(300 / 512)


def test_perspective_is_in_proportion():
    tree = arbor().tree
    ax = plots.tree(tree, view="3d")
    assert (ax.name, ax.get_zlabel()) == ("3d", "z (mm)")
    drawn = np.array(ax.collections[0]._segments3d)
    np.testing.assert_allclose(drawn[: tree.n, 1], tree.places * 1e-3)
    sizes = np.ptp([ax.get_xlim(), ax.get_ylim(), ax.get_zlim()], axis=1)
    box = ax.get_box_aspect()
    np.testing.assert_allclose(sizes / sizes[0], box / box[0])
    theirs = Figure().add_subplot(projection="3d")
    assert plots.tree(tree, ax=theirs) is theirs


def test_without_paths_it_is_a_dendrogram():
    tree = stopped().tree
    assert plots.tree(tree).get_ylabel() == "tips, one above the other"
    assert plots.tree(stopped()).get_ylabel() == "tips, one above the other"
    with pytest.raises(GeometryError, match="branch 0 has no path through space"):
        plots.tree(tree, view="xy")


def test_an_axon_that_does_not_branch_is_a_line():
    run = axon.run("squid", {"axon.compartments": 50, "record.every": 0.1})
    ax = plots.tree(run, colour="arrival")
    drawn = lines(ax.collections[0])
    assert (drawn[..., 1] == 0.0).all()
    assert (drawn[0, 0, 0], drawn[-1, -1, 0]) == pytest.approx((0.0, 100.0))


@pytest.mark.parametrize(
    ("asked", "error", "advice"),
    [
        ({"colour": "red"}, SimulationError, "colour = 'red' is none of potential, arrival"),
        ({"colour": "potential"}, SimulationError, "give a time, ms, with colour"),
        ({"time": 1.0}, SimulationError, "give a time, ms, with colour"),
        ({"colour": "arrival", "time": 1.0}, SimulationError, "and only then"),
        ({"colour": "potential", "time": 99.0}, SimulationError, "time = 99 ms is not recorded"),
        ({"view": "top"}, GeometryError, "view = 'top' is none of xy, xz, yz, 3d, dendrogram"),
        ({"view": "3d", "ax": 2}, GeometryError, "needs the projection '3d'"),
        ({"view": "xy", "ax": 3}, GeometryError, "view = 'xy' can't be drawn into"),
    ],
)
def test_pictures_of_trees_that_cannot_be(asked, error, advice):
    axes = {2: Figure().subplots, 3: lambda: Figure().add_subplot(projection="3d")}
    if "ax" in asked:
        asked = asked | {"ax": axes[asked["ax"]]()}
    with pytest.raises(error, match=advice):
        plots.tree(arbor(), **asked)


def test_an_axon_alone_has_done_nothing():
    with pytest.raises(SimulationError, match="colour = 'arrival' is what a run did; give a run"):
        plots.tree(arbor().tree, colour="arrival")


# What colours tell


def values(ax, tree):
    """Of the compartments, from the one collection that has some; NaN of others."""
    (collection,) = [c for c in ax.collections if c.get_array() is not None]
    found = np.full(tree.n, np.nan)
    for line, value in zip(lines(collection), collection.get_array(), strict=True):
        # By the centre, which is a corner of all lines of a compartment's.
        for corner in line:
            found[np.abs(tree.places[:, :2] * 1e-3 - corner).max(axis=1) < 1e-9] = value
    return found


def test_arrival_is_that_of_the_first_spike():
    run = arbor()
    ax = plots.tree(run, colour="arrival")
    np.testing.assert_array_equal(values(ax, run.tree), arrival(run))
    assert ax.figure.axes[1].get_ylabel() == "arrival (ms)"
    assert ax.get_legend() is None  # of what was not reached
    (collection,) = ax.collections
    early, late = collection.to_rgba([arrival(run).min(), arrival(run).max()])[:, :3].sum(axis=1)
    assert early < late < 2.4  # from dark to light, and seen on white


def test_what_was_not_reached_is_grey_and_below():
    run = stopped()
    ax = plots.tree(run, colour="arrival")
    below, above = ax.collections
    assert (below.get_label(), to_hex(below.get_color()[0])) == ("not reached", GREY)
    reached = np.isfinite(arrival(run))
    assert len(above.get_array()) == reached.sum() + 1  # at one branch point it was
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["not reached"]
    silent = with_sites(run, np.arange(run.tree.n), spikes=False)
    ax = plots.tree(silent, colour="arrival")
    assert [c.get_label() for c in ax.collections] == ["not reached"]


def test_failure_marks_where_impulses_stopped():
    run = stopped()
    ax = plots.tree(run, colour="failure")
    found = by_label(ax)
    assert {label: to_hex(c.get_color()[0]) for label, c in found.items()} == {
        "not reached": GREY,
        "reached": BLUE,
    }
    (crosses,) = ax.get_lines()
    assert crosses.get_label() == "stopped"
    (x,), _ = crosses.get_data()
    end = run.tree.x[np.isfinite(arrival(run)) & (run.tree.branch_of == 2)].max() * 1e-3
    assert x == end and 0.0 < 14.0 - x < 1.0  # just before the trunk
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["not reached", "reached", "stopped"]


def test_where_another_impulse_passes_none_stops():
    tree = arbor().tree
    first, second = [tree.x < 5e3, tree.x >= 0.0]
    spikes = [np.flatnonzero(those) for those in (first, second)]
    times = [1.0 + tree.x[spikes[0]] * 1e-4, 9.0 + tree.x[spikes[1]] * 1e-4]
    twice = Run.in_memory(
        arbor().header, tree.x, np.arange(tree.n), 0.1, np.zeros((200, tree.n), np.float32),
        np.concatenate(spikes), np.concatenate(times), axon_x=tree.x,
    )  # fmt: skip
    assert [impulse.failed for impulse in axon.impulses(twice)] == [True, False]
    assert not plots.tree(twice, colour="failure").get_lines()


def test_nothing_stops_where_all_is_reached_or_the_run_ends():
    ax = plots.tree(arbor(), colour="failure")
    assert not ax.get_lines() and list(by_label(ax)) == ["reached"]
    run = arbor()
    early = arrival(run) < 2.5
    spikes = run.spikes[run.spikes["time"] < 2.5]
    cut = Run.in_memory(
        run.header, run.x, run.compartments, run.interval, np.asarray(run.v)[:26],
        spikes["compartment"], spikes["time"], axon_x=run.axon_x,
    )  # fmt: skip
    ax = plots.tree(cut, colour="failure")
    assert early.any() and not early.all()
    assert not ax.get_lines() and list(by_label(ax)) == ["not reached", "reached"]


def test_potentials_have_the_scale_of_all_that_was_recorded(monkeypatch):
    run = arbor()
    field = np.asarray(run.v)
    monkeypatch.setattr(of_trees, "VALUES_AT_ONCE", 7 * run.tree.n)
    ax = plots.tree(run, colour="potential", time="2.04 ms")
    np.testing.assert_array_equal(values(ax, run.tree), field[20])
    (collection,) = [c for c in ax.collections if c.get_array() is not None]
    assert collection.get_clim() == (field.min(), field.max())
    assert collection.get_cmap().name == "magma"
    assert ax.figure.axes[1].get_ylabel() == "membrane potential (mV)"
    assert ax.get_title(loc="left") == "2 ms"


def test_what_is_not_recorded_is_grey():
    run = few()
    ax = plots.tree(run, colour="potential", time=2.0)
    shown = values(ax, run.tree)
    np.testing.assert_array_equal(shown[run.compartments], run.v[20])
    assert np.isnan(np.delete(shown, run.compartments)).all()
    assert to_hex(by_label(ax)["not recorded"].get_color()[0]) == GREY
    with pytest.raises(RunFileError, match="no place is recorded"):
        plots.tree(with_sites(run, []), colour="potential", time=2.0)
    plots.tree(with_sites(run, []), colour="arrival")


def test_perspective_has_the_same_colours():
    run = stopped_in_space()
    for colour, time in (("arrival", None), ("failure", None), ("potential", 3.0)):
        flat = plots.tree(run, colour=colour, time=time, view="xy")
        deep = plots.tree(run, colour=colour, time=time, view="3d")
        for one, other in zip(flat.collections, deep.collections, strict=True):
            assert one.get_label() == other.get_label() or one.get_label()[0] == "_"
            np.testing.assert_array_equal(one.get_array(), other.get_array())
            assert len(one.get_segments()) == len(other._segments3d)
        assert len(flat.get_lines()) == len(deep.get_lines())


@cache
def stopped_in_space():
    """The same run as `stopped`, of a tree with paths."""
    run = stopped()
    ends = [((0, 0), (8, 0)), ((8, 0), (14, 3)), ((8, 0), (14, -3)), ((14, -3), (22, -3)),
            ((14, -3), (18, -5))]  # fmt: skip
    branches = []
    for each, (begin, end) in zip(run.tree.branches, ends, strict=True):
        begin, end = (np.array([1e3 * x, 1e3 * y, 0.0]) for x, y in (begin, end))
        heading = (end - begin) / np.linalg.norm(end - begin)
        path = np.array([begin, begin + heading * each.cable.length])
        branches.append(Branch(each.cable.along(path), each.parent, each.at, each.name))
    header = run.header | {"axon": Tree(tuple(branches)).to_dict()}
    return Run.in_memory(
        header, run.x, run.compartments, run.interval, np.asarray(run.v),
        run.spikes["compartment"], run.spikes["time"], axon_x=run.axon_x,
    )  # fmt: skip


def test_of_many_lines_a_file_holds_pixels(monkeypatch):
    tree = arbor().tree
    assert not plots.tree(tree).collections[0].get_rasterized()
    monkeypatch.setattr(of_trees, "_FEW", tree.n)
    assert plots.tree(tree).collections[0].get_rasterized()


# That move


def test_a_tree_that_moves(tmp_path):
    run = arbor()
    path = tmp_path / "arbor.gif"
    ax = plots.tree_animation(run, path, start=1.0, stop="3 ms", frames=5)
    np.testing.assert_array_equal(values(ax, run.tree), np.asarray(run.v)[30])
    assert ax.get_title(loc="left") == "3 ms"
    # Half way along the stem, where the impulse comes and goes.
    middle = run.tree.index((0, "4 mm"))
    (collection,) = [c for c in ax.collections if c.get_array() is not None]
    ax.figure.set_dpi(80)
    x, y = ax.transData.transform(run.tree.places[middle, :2] * 1e-3).round().astype(int)
    potentials = np.asarray(run.v)[[10, 15, 20, 25, 30], middle]
    assert np.ptp(potentials) > 60.0
    with Image.open(path) as movie:
        assert (movie.n_frames, movie.size) == (5, (640, 360))
        for frame, potential in enumerate(potentials):
            movie.seek(frame)
            shown = np.asarray(movie.convert("RGB"))[360 - y, x]
            expected = 255 * np.array(collection.to_rgba(potential)[:3])
            assert np.abs(shown - expected).max() < 40  # of the few colours of a GIF
    theirs = Figure(figsize=(2.0, 1.0)).subplots()
    assert plots.tree_animation(run, path, frames=2, view="dendrogram", ax=theirs) is theirs
    assert theirs.get_legend() is None
    sites = plots.tree_animation(few(), path, frames=2)
    assert [text.get_text() for text in sites.get_legend().get_texts()] == ["not recorded"]
    with pytest.raises(SimulationError, match="an animation ends in"):
        plots.tree_animation(run, "never.avi")
    with pytest.raises(SimulationError, match="frames=1"):
        plots.tree_animation(run, "never.gif", frames=1)


# Other pictures of runs


WAY = (("a", "1 mm"), ("b", "3 mm"))


def columns_on(run, start, stop):
    compartments, distances = run.tree.way(start, stop)
    return compartments, distances * 1e-3


def test_by_default_pictures_go_from_the_root_to_the_farthest_tip():
    run = stopped()
    compartments, _ = columns_on(run, 0.0, ("trunk", "8 mm"))
    field = np.asarray(run.v)[:, compartments]
    ax = plots.space_time(run)
    np.testing.assert_array_equal(ax.images[0].get_array(), field.T)
    assert ax.get_ylabel() == "distance from the root (mm)"
    assert ax.get_title() == "from the root to the tip of branch 3"
    for picture in (plots.snapshots, plots.waterfall):
        found = picture(run)
        assert "distance from the root (mm)" in (found.get_xlabel(), found.get_ylabel())
    line = plots.snapshots(run, [2.0]).get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), run.tree.x[compartments] * 1e-3)
    np.testing.assert_array_equal(line.get_ydata(), field[20])
    traces = plots.traces(run)
    assert traces.get_legend().get_title().get_text() == "from the root to the tip of branch 3"
    np.testing.assert_array_equal(traces.get_lines()[-1].get_ydata(), field[:, -1])
    assert traces.get_lines()[-1].get_label() == f"{run.tree.x[compartments[-1]] * 1e-3:.4g} mm"


def test_another_way_can_be_told(tmp_path):
    run = stopped()
    compartments, x = columns_on(run, *WAY)
    field = np.asarray(run.v)[:, compartments]
    told = "from 1000 um on branch 'a' to 3000 um on branch 'b'"
    ax = plots.space_time(run, way=WAY)
    np.testing.assert_array_equal(ax.images[0].get_array(), field.T)
    assert (ax.get_ylabel(), ax.get_title()) == ("distance on the way (mm)", told)
    ax = plots.snapshots(run, [2.0], way=WAY)
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), x)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), field[20])
    assert ax.get_legend().get_title().get_text() == told
    ax = plots.animation(run, tmp_path / "a.gif", frames=2, way=WAY)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), field[-1])
    assert (ax.get_title(loc="right"), ax.get_xlabel()) == (told, "distance on the way (mm)")
    ax = plots.waterfall(run, way=WAY)
    assert (ax.get_title(), ax.get_ylabel()) == (told, "distance on the way (mm)")
    ax = plots.traces(run, way=WAY)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), field[:, 0])
    np.testing.assert_array_equal(ax.get_lines()[-1].get_ydata(), field[:, -1])


def test_traces_of_places_are_named_by_them():
    run = stopped()
    ax = plots.traces(run, [0.0, ("twig", "2 mm"), (1, 3000.0)])
    at = [0, run.tree.index(("twig", "2 mm")), run.tree.index((1, 3000.0))]
    for line, k in zip(ax.get_lines(), at, strict=True):
        on, along = run.tree.place(k)
        assert line.get_label() == f"{along:g} um on branch {on}"
        np.testing.assert_array_equal(line.get_ydata(), np.asarray(run.v)[:, k])
    waterfall = plots.waterfall(run, [0.0, ("twig", "2 mm")])
    assert waterfall.get_ylabel() == "distance from the root (mm)"
    with pytest.raises(GeometryError, match="there is no branch 'leaf'"):
        plots.traces(run, [("leaf", 0.0)])


def test_of_a_few_places_those_on_the_way_are_drawn():
    run = few()
    compartments, _ = columns_on(run, 0.0, (6, 1000.0))
    there = np.isin(compartments, run.compartments)
    ax = plots.space_time(run, way=(0.0, (6, 1000.0)))
    field = np.asarray(arbor().v)[:, compartments[there]]
    np.testing.assert_array_equal(ax.images[0].get_array(), field.T)
    root = with_sites(arbor(), [0])
    with pytest.raises(RunFileError, match="no place is recorded on the way from 1000 um on"):
        plots.space_time(root, way=((3, 1000.0), (4, 1000.0)))


@pytest.mark.parametrize("way", [3.0, (1.0,), (1.0, 2.0, 3.0), (0.0, -1.0), (0.0, ("leaf", 1.0))])
def test_what_is_no_way_is_refused(way):
    with pytest.raises(GeometryError, match=r"way = |way = -1|no branch 'leaf'"):
        plots.space_time(stopped(), way=way)


def test_an_axon_that_does_not_branch_has_one_way():
    run = axon.run("squid", {"axon.compartments": 50, "record.every": 0.1})
    for picture in (plots.space_time, plots.traces, plots.spikes, plots.velocity):
        with pytest.raises(GeometryError, match="the axon doesn't branch; leave it out"):
            picture(run, way=(0.0, "10 mm"))


def test_impulses_are_drawn_as_far_as_they_come_on_the_way():
    run = stopped()
    first = arrival(run)
    ax = plots.spikes(run)
    (failed,) = [c for c in ax.collections if c.get_label() == "failed"]
    compartments, _ = columns_on(run, 0.0, ("trunk", "8 mm"))
    reached = compartments[np.isfinite(first[compartments])]
    (line,) = failed.get_segments()
    np.testing.assert_allclose(line, np.stack((first[reached], run.tree.x[reached] * 1e-3), axis=1))
    assert ax.get_ylim() == (0.0, run.tree.x[compartments[-1]] * 1e-3)
    # Through the branch point: it comes to the way there, and goes both ways.
    ax = plots.spikes(run, way=(("a", "6 mm"), ("b", "6 mm")))
    found = by_label(ax)
    assert list(found) == ["arrived", "failed"]
    down, up = found["arrived"].get_segments()[0], found["failed"].get_segments()[0]
    assert tuple(down[-1]) == tuple(up[0])  # at the branch point
    assert down[-1][0] == first[run.tree.index((0, "8 mm"))]
    with pytest.raises(NoSpikeError, match="no impulse to draw"):
        plots.spikes(run, way=(("trunk", "4 mm"), ("trunk", "6 mm")))


def test_velocities_are_those_on_the_way():
    run = arbor()
    way = (0.0, (3, 2000.0))
    profile = axon.velocity_profile(run, "3 mm", way=way)
    (line,) = plots.velocity(run, "3 mm", way=way).get_lines()
    np.testing.assert_array_equal(line.get_ydata(), profile.value)
    np.testing.assert_allclose(line.get_xdata(), profile.x * 1e-3)
    (whole,) = plots.velocity(run).get_lines()
    far = run.tree.place(run.tree.part_way(1.0))
    length = np.ptp(run.tree.x[run.tree.way((0, 0.0), far)[0]])
    profile = axon.velocity_profile(run, 0.1 * length, way=((0, 0.0), far))
    # From the root, and not from the centre of the first compartment.
    np.testing.assert_allclose(whole.get_xdata(), (profile.x + run.tree.x[0]) * 1e-3)


def test_the_overview_of_a_tree_shows_it(tmp_path):
    run = stopped()
    figure = run.plot([0.0, ("twig", 0.0)], way=WAY)
    upper, lower, tree = figure.axes[:3]
    assert upper.get_title().startswith("from 1000 um on branch 'a'")
    assert len(lower.get_lines()) == 2
    assert tree.collections[0].get_label() == "not reached"
    figure.savefig(tmp_path / "overview.png")
    drawn = figure.get_tightbbox()
    assert 0.0 <= drawn.x0 < drawn.x1 <= figure.get_figwidth()
    quiet = with_sites(run, np.arange(run.tree.n), spikes=False)
    assert len(quiet.plot().axes) == 4  # no bar of arrivals


def test_currents_at_a_place_on_a_branch():
    run = arbor()
    upper, _, _ = plots.membrane_currents(run, (2, "1 mm"))
    on, along = run.tree.place(run.tree.index((2, "1 mm")))
    assert upper.get_title() == f"membrane at {along:g} um on branch {on}"


def test_letters_and_pixels_stay_within(tmp_path):
    for k, options in enumerate(
        ({"colour": "arrival"}, {"colour": "failure"}, {"colour": "potential", "time": 3.0})
    ):
        for view in ("xy", "3d", "dendrogram"):
            figure = plots.tree(stopped_in_space(), view=view, **options).figure
            figure.savefig(tmp_path / f"{k}.png")
            drawn = figure.get_tightbbox()
            assert 0.0 <= drawn.x0 < drawn.x1 <= 8.0
            assert 0.0 <= drawn.y0 < drawn.y1 <= 6.0
