"""All that is done with an axon is done with one that branches, in the same words, to the bit."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_restart import After, blocks_of, sha

import axon
from axon import (
    CurrentClamp,
    GeometryError,
    NoThresholdError,
    RunFileError,
    Simulation,
    SimulationError,
    StimulusError,
    StoppedError,
    VoltageClamp,
    cli,
    runfile,
)
from axon.trees import Branch, Tree

STEM = axon.Axon.cylinder(1000.0, 2.0, compartments=15).along([(0, 0, 0), (1000, 0, 0)])
LEFT = axon.Axon.tapered(600.0, 1.3, 0.9, compartments=11).along([(1000, 0, 0), (1400, 500, 0)])
RIGHT = axon.Axon.cylinder(500.0, 1.2, compartments=9).along([(1000, 0, 0), (1300, -400, 100)])
TWIG = axon.Axon.cylinder(300.0, 0.8, compartments=6).along([(1200, 250, 0), (1200, 250, 400)])
TREE = STEM.branch(LEFT, 1000.0, "left").branch(RIGHT, 1000.0, "right").branch(
    TWIG, ("left", 320.0), "twig"
)  # fmt: skip
HH = axon.models.hodgkin_huxley()
PULSE = axon.pulse(2.0, start=0.3, duration=0.4)
CLAMP = CurrentClamp(0.0, PULSE)


def simulation(
    *stimuli: axon.stimuli.Stimulus, tree: Tree = TREE, membrane: axon.Membrane = HH, **options: Any
) -> Simulation:
    return Simulation(tree, membrane, stimuli, **{"dt": 0.01} | options)


def only_on(branches: list[int], inside: float, outside: float) -> np.ndarray:
    """One value for each compartment of these branches, and one for all others."""
    return np.where(np.isin(TREE.branch_of, branches), inside, outside)


@pytest.fixture(scope="module")
def run() -> axon.Run:
    return simulation(CLAMP).run(12.0, dtype="float64")


# ---- as on an axon that doesn't branch -------------------------------------------------------


def same(a: axon.Run, b: axon.Run) -> None:
    for name in ("v", "electrodes", "x", "compartments", "spikes"):
        one, other = (np.asarray(getattr(each, name)) for each in (a, b))
        assert one.tobytes() == other.tobytes(), name
    assert a.final.keys() == b.final.keys()
    for name, values in a.final.items():
        np.testing.assert_array_equal(values, b.final[name])


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_a_tree_of_one_branch_has_its_cables_run_to_the_bit(n: int) -> None:
    cable = axon.Axon.tapered(800.0, 1.5, 0.8, compartments=n)
    tree = Tree((Branch(cable),))
    source = axon.PointSource(300.0, 60.0, 0.0)
    stimuli = [
        CurrentClamp(800.0 / 3, PULSE),
        VoltageClamp("0.7 mm", axon.sine(20.0, 400.0), resistance=30.0, start=1.0, stop=2.0),
        axon.Extracellular(source, axon.pulse(-0.2, 2.5, 0.2)),
    ]
    changes = [axon.Change(1.5, HH.scaled(na=lambda x: 1.0 - x / 2000))]
    runs = []
    for shape in (cable, tree):
        sim = Simulation(shape, HH, stimuli, dt=0.01, changes=changes)
        kept = [400.0] if n > 1 else None
        runs.append([sim.run(4.0, electrodes=[source]), sim.run(4.0, record=kept, every=0.02)])
    for one, other in zip(*runs, strict=True):
        same(one, other)
    at_a_branch = Simulation(tree, HH, [CurrentClamp((0, 800.0 / 3), PULSE), *stimuli[1:]], dt=0.01)
    same(at_a_branch.run(1.0), Simulation(cable, HH, stimuli, dt=0.01).run(1.0))
    uneven = HH.scaled(k=lambda x: 0.5 + x / 1000)
    rests = [Simulation(shape, uneven, dt=0.01).v_init for shape in (cable, tree)]
    np.testing.assert_allclose(rests[0], rests[1], rtol=0.0, atol=1e-12)


def test_places_that_are_recorded(run: axon.Run) -> None:
    places: list[Any] = [("left", 330.0), (2, "0.1 mm"), 50.0, ["twig", 290.0], (np.int64(1), 10.0)]
    some = simulation(CLAMP).run(12.0, record=places, dtype="float64")
    wanted = [TREE.index(place) for place in places]
    assert some.compartments.tolist() == wanted
    np.testing.assert_array_equal(some.x, TREE.x[wanted])
    np.testing.assert_array_equal(some.v, run.v[:, wanted])
    np.testing.assert_array_equal(some.spikes, run.spikes)
    assert some.tree == TREE == some.axon and TREE.area.tobytes() == some.axon.area.tobytes()
    # The nearest column, along the branches and not through space or by distance from the root.
    assert [some.site(place) for place in places] == list(range(5))
    assert some.site(("twig", 0.0)) == 0 and some.site(("right", 500.0)) == 1
    assert some.site(("twig", 280.0)) == 3 and some.site(0.0) == 2
    for c in range(TREE.n):
        near = TREE.away_from(c)[wanted]
        assert near[some.site(TREE.place(c))] == near.min()
        assert some.index(some.place(c)) == c and some.place(c) == TREE.place(c)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (("left", 601.0), r"branch 'left' is 600\.0 um long"),
        (("stem", 0.0), r"there is no branch 'stem'; there are \['left', 'right', 'twig'\]"),
        ((4, 0.0), "there is no branch 4"),
        (1200.0, r"is on 2 branches; write one of them .*\(1, 200\), \(2, 200\)"),
        (1700.0, "is not on the axon"),
        ((1, 2.0, 3.0), "no position"),
    ],
)
def test_places_that_are_none_are_refused_wherever_they_are_asked_for(
    run: axon.Run, place: Any, told: str
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: simulation(CLAMP).run(1.0, record=[place]),
        lambda: simulation(CurrentClamp(place, PULSE)),
        lambda: simulation(VoltageClamp(place, axon.constant(-65.0))).run(0.1),
        lambda: run.site(place),
        lambda: axon.action_potential(run, place),
        lambda: axon.membrane_at(run, place),
        lambda: axon.latencies(run, place),
        lambda: axon.conduction_velocity(run, 0.0, place),
        lambda: axon.threshold(simulation(CLAMP), 10.0, at=place),
    ]
    for call in calls:
        with pytest.raises((GeometryError, StimulusError, axon.UnitError), match=told):
            call()


def test_two_places_in_one_compartment_are_refused() -> None:
    with pytest.raises(SimulationError, match=r"\('right', 0\.0\)\]: two of the positions lie in"):
        simulation().run(1.0, record=[("left", 0.0), ("right", 0.0)])


def test_what_a_run_tells_of_its_places(run: axon.Run) -> None:
    shape = axon.action_potential(run, ("twig", 200.0))
    c = TREE.index(("twig", 200.0))
    assert shape.x == TREE.x[c] and 90.0 < shape.amplitude < 110.0
    spike = run.spikes["time"][run.spikes["compartment"] == c]
    assert shape.time == spike[0] and len(spike) == 1
    assert axon.latencies(run, ("twig", 200.0)) == pytest.approx(spike - 0.3, rel=1e-12)
    # On the way from one branch to another through the point where they meet.
    back = axon.conduction_velocity(run, ("right", 400.0), 200.0)
    there = axon.conduction_velocity(run, 200.0, ("right", 400.0))
    assert back.value == pytest.approx(-there.value, rel=1e-12) and 0.1 < there.value < 2.0
    assert there.n_sites == len(TREE.way(200.0, ("right", 400.0))[0])
    profile = axon.velocity_profile(run, 300.0, way=(0.0, ("twig", 300.0)))
    assert (profile.value > 0).all() and profile.x[-1] < 1000.0 + 320.0 + 300.0
    with pytest.raises(GeometryError, match="the axon branches; say on which way"):
        axon.velocity_profile(run, 300.0)
    arrivals = axon.arrival_times(run)
    np.testing.assert_array_equal(arrivals.x, TREE.x)


def test_labels(run: axon.Run) -> None:
    pytest.importorskip("xarray")
    data = run.to_xarray()
    assert data["v"].dims == ("time", "compartment") and data["distance"].units == "um"
    on = data.sel(compartment=data.branch == 3)
    assert on.sizes["compartment"] == (TREE.branch_of == 3).sum()
    np.testing.assert_array_equal(on.distance, TREE.distance[TREE.branch_of == 3])
    np.testing.assert_array_equal(data.x, TREE.x)
    some = simulation(CLAMP).run(1.0, record=[("twig", 290.0), 0.0]).to_xarray()
    assert some.branch.values.tolist() == [3, 0]
    assert some.compartment.values.tolist() == [TREE.index(("twig", 290.0)), 0]


# ---- files, and going on ---------------------------------------------------------------------


def busy(**options: Any) -> Simulation:
    """All that a run may have, on a tree."""
    membrane = axon.Membrane(
        [*HH.channels, axon.Channel("nai", 1e-5, ion="na")],
        ions=[axon.Ion("na", 1, 10.0, 140.0), axon.Ion("k", 1, reversal=-77.0)],
        pools=[axon.Pool("na", "inside", diffusion=1.33)],
    )
    stimuli = [
        CLAMP,
        VoltageClamp(("right", 450.0), axon.constant(-40.0), resistance=50.0, start=0.5, stop=1.5),
        axon.Extracellular(axon.PointSource(1100.0, 0.0, 90.0), axon.pulse(-0.1, 1.7, 0.2)),
    ]
    blocked = membrane.scaled(na=only_on([3], 0.1, 1.0))
    changes = [axon.Change(0.8, blocked), axon.Change(2.1, celsius=lambda x: 6.3 + x / 500)]
    return simulation(*stimuli, membrane=membrane, changes=changes, v_init=-65.0, **options)


ELECTRODES = [axon.PointSource(1000.0, 50.0, 80.0)]
OPTIONS: dict[str, Any] = {"every": 0.03, "dtype": "float64", "electrodes": ELECTRODES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run.h5"
    busy().run(3.0, output=path, **OPTIONS)
    return path


def test_a_file_holds_what_memory_does(whole: Path) -> None:
    memory = busy().run(3.0, **OPTIONS)
    with axon.open_run(whole) as run:
        same(run, memory)
        assert run.axon == TREE == run.tree
        for name in ("area", "axial_conductance", "parent", "distance", "x"):
            assert getattr(run.axon, name).tobytes() == getattr(TREE, name).tobytes()
        assert run.inputs["parent"].tolist() == TREE.parent.tolist()
        assert run.header["stimuli"][1]["at"] == ["right", 450.0]
        assert run.stimuli == busy().stimuli
        assert repr(axon.propagation(run)) == repr(axon.propagation(memory))
        assert run.header["axon"] == json.loads(json.dumps(TREE.to_dict()))


@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(parts=st.lists(st.tuples(st.integers(1, 90), st.integers(0, 4)), min_size=1, max_size=4))
def test_an_interrupted_run_has_the_bytes_of_one_that_was_not(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("parts") / "run.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # what takes most of the time
        for k, (block, blocks) in enumerate(parts):
            with contextlib.suppress(StoppedError), blocks_of(block):
                if k and k % 2:
                    axon.resume(path, stop=After(blocks))
                else:
                    busy().run(
                        3.0, output=path, resume=True, commit_every=0.0, stop=After(blocks),
                        **OPTIONS,
                    )  # fmt: skip
        with contextlib.suppress(StoppedError):
            axon.resume(path)
    assert sha(path) == sha(whole)


def test_a_run_made_longer_has_the_bytes_of_a_long_one(whole: Path, tmp_path: Path) -> None:
    short = tmp_path / "run.h5"
    busy().run(1.2, output=short, **OPTIONS)
    assert cli.main(["resume", str(short), "--until", "3"]) == 0
    assert sha(short) == sha(whole)


def test_a_killed_run_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """Without a warning, and from its files alone: by another process that knows no membrane."""
    path = tmp_path / "run.h5"
    script = f"""
        import os, signal, sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_runs_on_trees as tests

        def die(fraction, time_ms):
            if fraction > 0.5:
                while not len(tests.axon.open_run({str(path)!r}).v):
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)

        with tests.blocks_of(40):
            options = tests.OPTIONS | {{"commit_every": 0.0, "progress": die}}
            tests.busy().run(3.0, output={str(path)!r}, **options)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60)
    assert killed.returncode == -signal.SIGKILL and not path.exists()
    with axon.open_run(path) as growing:
        assert 0 < len(growing.v) < 101 and not growing.complete
        assert growing.tree == TREE
    axon.resume(path)
    assert sha(path) == sha(whole)


def test_another_tree_is_another_run(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(whole.read_bytes())
    branches = list(TREE.branches)
    branches[3] = Branch(TWIG, 1, 330.0, "twig")
    other = Simulation(Tree(tuple(branches)), HH, [CLAMP], dt=0.01)
    with pytest.raises(SimulationError, match=r"axon\.branches\[3\]\.at: 320\.0 there, 330\.0 now"):
        other.run(3.0, output=path, resume=True, **OPTIONS)
    assert sha(path) == sha(whole)


def relabelled(whole: Path, path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run file with another header."""
    path.write_bytes(whole.read_bytes())
    with runfile.reading(path) as part:
        header = copy.deepcopy(part.recording().header)
    edit(header)
    as_axon_does = SimpleNamespace(compressed=True, encode=runfile.compress)
    with h5py.File(path, "r+", libver="v110") as file:
        del file["meta/header"]
        told = runfile.text(runfile.encode_header(header))[np.newaxis]
        runfile.write_vector(file["meta"], "header", told, as_axon_does)
    return path


@pytest.mark.parametrize(
    "edit",
    [
        lambda tree: tree.update(compartments=tree["compartments"] + 1),
        lambda tree: tree["branches"].pop(),
        lambda tree: tree["branches"][3].update(compartments=600),
        lambda tree: tree["branches"][3].update(parent=3),
        lambda tree: tree["branches"][3].update(parent=None),
        lambda tree: tree["branches"][3].update(at=1e9),
        lambda tree: tree["branches"][3].update(compartments=10**400),
        lambda tree: tree.update(branches=[{}] * 200_000),
        lambda tree: tree.update(branches=None),
        lambda tree: tree.clear(),
    ],
)
def test_a_header_that_tells_of_another_tree_is_refused(
    whole: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    path = relabelled(whole, tmp_path / "edited.h5", lambda header: edit(header["axon"]))
    with axon.open_run(path) as run:
        asked: list[Callable[[], object]] = [lambda: run.axon]
        if run.header["axon"]:  # else it is not even a tree
            asked += [lambda: run.place(3), lambda: run.site(0.0), lambda: axon.propagation(run)]
        for ask in asked:
            with pytest.raises(RunFileError):
                ask()
    assert cli.main(["info", str(path)]) == cli.Exit.CANNOT_READ


def test_parents_that_make_no_tree_are_refused(whole: Path, tmp_path: Path) -> None:
    as_axon_does = SimpleNamespace(compressed=True, encode=runfile.compress)
    good = TREE.parent.copy()
    for k, change in enumerate(
        [{5: 5}, {5: 6}, {5: -1}, {0: 0}, {5: 10**12}, {5: -(10**12)}, "short", "floats"]
    ):
        parent: Any = good.copy()
        if isinstance(change, dict):
            for c, value in change.items():
                parent[c] = value
        else:
            parent = parent[:-1] if change == "short" else parent.astype(float)
        path = tmp_path / f"{k}.h5"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "r+", libver="v110") as file:
            del file["inputs/parent"]
            vector = runfile.write_vector(file["inputs"], "parent", parent, as_axon_does)
            vector.attrs["shape"] = np.array(parent.shape, "<i8")
        with pytest.raises(RunFileError, match=r"parent|branches|compartment|tree"):
            axon.resume(path, until=4.0)


def test_the_command_line_tells_of_it(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(whole)]) == 0
    out = capsys.readouterr().out
    assert f"{TREE.n} in 2.4 mm" in out and "changed" in out
    assert cli.main(["info", str(whole), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["compartments"], facts["length"]) == (TREE.n, TREE.length)


# ---- states, copies, many at once ------------------------------------------------------------


def test_a_state_goes_on_to_the_bit() -> None:
    expected = busy().run(3.0, **OPTIONS)
    sim = busy()
    sim.run(1.2, **OPTIONS)
    middle = sim.state()
    assert middle.v.shape == (TREE.n,)
    for made in (sim, busy(), copy.copy(sim), pickle.loads(pickle.dumps(sim))):
        made.restore(middle)
        rest = made.run(1.8, **OPTIONS)
        np.testing.assert_array_equal(rest.v, expected.v[40:])
        np.testing.assert_array_equal(rest.electrodes, expected.electrodes[40:])
    cable = axon.Axon.cylinder(1000.0, 1.0, compartments=TREE.n + 1)
    with pytest.raises(SimulationError, match=f"not of {TREE.n + 1} compartments"):
        Simulation(cable, sim.membrane, dt=0.01).restore(middle)


def test_members_of_an_ensemble_have_the_bits_that_they_have_alone() -> None:
    def members(membrane: Callable[[], axon.Membrane]) -> list[Simulation]:
        return [
            simulation(CLAMP, membrane=membrane()),
            Simulation(STEM, membrane(), [CLAMP], dt=0.01),
            simulation(CLAMP, membrane=membrane().scaled(na=0.9)),
            Simulation(Tree((Branch(STEM),)), membrane(), [CLAMP], dt=0.01),
            busy(),
            Simulation(Tree.regular(300.0, 3.0, 3, dx=60.0), membrane(), [CLAMP], dt=0.01),
        ]

    own: list[dict[str, Any]] = [
        {}, {}, {"record": [("twig", 100.0)]}, {}, {"electrodes": ELECTRODES}, {}
    ]  # fmt: skip
    together = axon.Ensemble(members(lambda: HH)).run(4.0, own=own, threads=3)
    alone = members(axon.models.hodgkin_huxley)
    assert not together.failures
    for one, sim, options in zip(together, alone, own, strict=True):
        same(one, sim.run(4.0, **options))
    same(together[1], Simulation(STEM, HH, [CLAMP], dt=0.01).run(4.0))
    assert np.asarray(together[1].v).tobytes() == np.asarray(together[3].v).tobytes()


def spread_of(point: dict[str, Any]) -> dict[str, Any]:
    """Where an impulse comes to on a tree of these numbers."""
    tree = Tree.regular(
        "4 mm", 100.0, int(point["generations"]), geometric_ratio=point["ratio"], Ra=35.4, dx=200.0
    )
    shock = CurrentClamp(0.0, axon.pulse("5 uA", start=0.2, duration=0.3))
    run = Simulation(tree, HH, [shock], celsius=18.5, dt=0.01).run(8.0, record=())
    found = axon.propagation(run)
    arrived = sum(np.isfinite(list(found.tips.values())).tolist())
    return {"tips": arrived, "failures": len(found.failures)}


def test_a_sweep_over_trees(tmp_path: Path) -> None:
    points = {"generations": [1, 2], "ratio": [1.0, 20.0]}
    found = axon.sweep(spread_of, points, output=tmp_path / "trees", engine="threads")
    assert not found.failures
    table = found.table()
    assert table["tips"].tolist() == [2, 0, 4, 0]
    assert table["failures"].tolist() == [0, 1, 0, 1]


def test_what_a_run_will_take(tmp_path: Path) -> None:
    sim = simulation(CLAMP)
    takes = sim.estimate(5.0, record=[("twig", 10.0)], every=0.1)
    assert (takes.compartments, takes.sites, takes.rows) == (TREE.n, 1, 51)


# ---- questions of many runs ------------------------------------------------------------------


def test_the_least_current_that_comes_to_a_tip() -> None:
    """All or none: it comes to all of them, or to none."""
    sim = simulation(CLAMP)
    found = axon.threshold(sim, 15.0, at=("twig", 290.0), tolerance=1e-3)
    goal = TREE.index(("twig", 290.0))
    assert found.monotone and found.error <= 1e-3
    assert f"arrived at {TREE.distance[goal]:g} um on branch 3 at" in found.trials[1].why
    for factor, comes in ((found.value, True), (found.below, False)):
        stimuli = [CurrentClamp(0.0, PULSE.scaled(factor))]
        spikes = sim.with_stimuli(stimuli).run(15.0, record=()).spikes
        assert all((tip in spikes["compartment"]) == comes for tip in TREE.tips.tolist())
    assert axon.propagation(found.run).arrival[goal] == found.run.spikes["time"][
        found.run.spikes["compartment"] == goal
    ]  # fmt: skip
    # By default at nine tenths of the way to the farthest tip, which is that of the twig.
    farthest = axon.threshold(sim, 15.0, tolerance=1e-3)
    place = TREE.place(TREE.index(("twig", 0.9 * 1620.0 - 1320.0)))
    assert f"arrived at {place[1]:g} um on branch {place[0]} at" in farthest.trials[1].why
    assert abs(farthest.value / found.value - 1.0) < 2e-3
    assert found.remarks == ()


def test_a_threshold_that_there_is_not_says_what_was_seen() -> None:
    blocked = simulation(CLAMP, membrane=HH.scaled(na=only_on([3], 0.0, 1.0)))
    told = r"spikes from 32\.\d+ to \d+\.?\d* um, and none at \d+\.?\d* um on branch 3"
    with pytest.raises(NoThresholdError, match=told) as caught:
        axon.threshold(blocked, 10.0, at=("twig", 290.0), largest=4.0)
    farthest = float(str(caught.value).split(" to ")[-1].split(" um")[0])
    # Not the last number but the farthest place: the tip of "left" lies beyond that of "right".
    assert farthest == pytest.approx(TREE.x[TREE.tips[0]], rel=1e-5)
    assert axon.threshold(blocked, 10.0, at=("left", 590.0)).value > 0


def test_impulses_that_begin_at_two_tips_are_told_of() -> None:
    """As far from the root as each other, and far from each other."""
    tree = Tree.regular("2 mm", 2.0, 1, dx=40.0)
    at_tips = [CurrentClamp((k, tree.branches[k].cable.length), PULSE) for k in (1, 2)]
    found = axon.threshold(simulation(*at_tips, tree=tree), 20.0, at=0.0)
    (remark,) = found.remarks
    assert remark.startswith("impulses began at ")
    assert "on branch 1" in remark and "on branch 2" in remark


def test_the_least_current_that_blocks_a_branch() -> None:
    """A constant current into the stem of the twig, that keeps impulses from its tip alone."""
    hold = CurrentClamp(("twig", 100.0), axon.constant(0.5))
    sim = simulation(CurrentClamp(0.0, axon.pulse(2.0, 20.0, 0.4)), hold)
    found = axon.block_threshold(sim, 35.0, at=("twig", 290.0), tolerance=0.05)
    (test,) = [each for each in found.trials if each.factor == found.value]
    assert test.activated and found.below < found.value
    spikes = found.run.spikes
    late = spikes["compartment"][spikes["time"] > 20.0]
    assert TREE.tips[1] in late and TREE.tips[2] not in late  # of "right", and of the twig


def test_strength_and_duration_at_a_tip() -> None:
    curve = axon.strength_duration(simulation(CLAMP), [0.2, 0.5, 2.0], 15.0, at=("right", 480.0))
    assert (np.diff(curve.thresholds) < 0).all() and (np.diff(curve.charges) > 0).all()
    assert 0.0 < curve.weiss[0] < curve.thresholds[-1]


def test_recovery_after_an_impulse_that_went_everywhere() -> None:
    cycle = axon.recovery_cycle(simulation(CLAMP), [4.0, 30.0], 12.0, at=("twig", 290.0))
    assert cycle.ratios[0] > 1.2 and cycle.ratios[1] == pytest.approx(1.0, abs=0.1)


def test_trains_come_to_a_tip() -> None:
    sim = simulation(CLAMP)
    driven = axon.following_frequency(sim, [20.0, 400.0], 15.0, pulses=4, at=("right", 480.0))
    assert driven.followed[0] == 4 and driven.followed[1] < 4 and driven.highest == 20.0
    slowed = axon.activity_slowing(sim, 40.0, 3, at=("right", 480.0))
    assert slowed.lost == 0 and (slowed.slowing[1:] > 0).all()


# ---- electrodes ------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_what_flows_along_the_branches_adds_up_to_nothing(seed: int) -> None:
    v = np.random.default_rng(seed).uniform(-100.0, 100.0, TREE.n)
    inflow = TREE.axial_inflow(v)
    expected = np.zeros(TREE.n)
    for child in range(1, TREE.n):
        flows = TREE.axial_conductance[child - 1] * (v[TREE.parent[child]] - v[child])
        expected[child] += flows
        expected[TREE.parent[child]] -= flows
    scale = np.abs(TREE.axial_conductance).max() * 200.0
    np.testing.assert_allclose(inflow, expected, atol=1e-13 * scale)
    assert abs(inflow.sum()) < 1e-13 * scale * TREE.n
    other = np.random.default_rng(seed + 1).uniform(-100.0, 100.0, TREE.n)
    assert other @ inflow == pytest.approx(v @ TREE.axial_inflow(other), abs=1e-9 * scale)


def test_electrodes_outside_excite_where_they_are_near() -> None:
    tip = TREE.places[TREE.tips[2]]
    cathode = axon.Extracellular(
        axon.PointSource(tip[0], tip[1] + 40.0, tip[2]), axon.pulse(-0.05, 0.5, 0.3)
    )
    sim = simulation(cathode)
    compartments, source, weight = sim._entries
    np.testing.assert_array_equal(compartments, np.arange(TREE.n))
    assert not source.any() and abs(weight.sum()) < 1e-12 * np.abs(weight).max()
    found = axon.threshold(sim, 20.0, at=0.0)
    first = axon.impulses(found.run)[0]
    assert first.began[0] == 3 and first.fates.count("arrived") >= 3
    assert TREE.nearest(tip) == TREE.place(TREE.tips[2])


def test_electrodes_record_what_the_whole_field_tells() -> None:
    clamp = VoltageClamp(("left", 500.0), axon.constant(-50.0), resistance=50.0, start=1.0)
    field = axon.Extracellular(axon.PointSource(500.0, 70.0, 0.0), axon.pulse(-0.1, 0.2, 0.2))
    pair = axon.PointSource(1000.0, 60.0, 0.0) - axon.PointSource(1300.0, -400.0, 200.0)
    sim = simulation(CurrentClamp(("twig", 290.0), PULSE), clamp, field)
    whole = sim.run(6.0, dtype="float64")
    seen = sim.run(6.0, record=(), electrodes=[pair])
    expected = axon.extracellular_potential(whole, pair)
    assert np.ptp(expected) > 1e-5
    np.testing.assert_allclose(seen.electrodes[:, 0], expected, rtol=1e-9, atol=1e-12)
    # By its definition: every current through a membrane times the potential of 1 mA there.
    lead = pair.on_axon(TREE.places, TREE.x)
    row = 80
    current = TREE.axial_inflow(np.asarray(whole.v[row]))
    current[TREE.index(("left", 500.0))] += axon.clamp_current(whole)[row]
    assert whole.time[row] > 1.0  # when both pulses are over
    assert seen.electrodes[row, 0] == pytest.approx(1e-6 * current @ lead, rel=1e-9)


def test_without_a_path_there_is_no_place_outside() -> None:
    bare = axon.Axon.cylinder(1000.0, 2.0, compartments=15)
    tree = bare.branch(bare, 1000.0, "twig")
    point = axon.PointSource(0.0, 0.0, 90.0)
    told = r"branch 0 has no path through space; give its cable one, by along\("
    with pytest.raises(GeometryError, match=told):
        simulation(axon.Extracellular(point, PULSE), tree=tree)
    sim = simulation(CLAMP, tree=tree)
    with pytest.raises(GeometryError, match=told):
        sim.run(1.0, electrodes=[point])
    with pytest.raises(GeometryError, match=told):
        axon.extracellular_potential(sim.run(1.0), point)
    on_it = STEM.branch(TWIG, 500.0)
    with pytest.raises(StimulusError, match=r"stimuli\[0\]: the source lies on the axon itself"):
        simulation(axon.Extracellular(axon.PointSource(*on_it.places[3]), PULSE), tree=on_it)


def test_a_voltage_clamp_on_a_branch() -> None:
    step = axon.constant(-65.0) + axon.pulse(40.0, start=1.0, duration=3.0)
    run = simulation(VoltageClamp(("right", 250.0), step)).run(5.0, dtype="float64")
    site = run.site(("right", 250.0))
    held = np.asarray(run.v)[:, site]
    late = (run.time > 1.0) & (run.time < 4.0)
    np.testing.assert_allclose(held[late], -25.0, atol=1e-6)
    assert np.abs(held[run.time < 1.0] + 65.0).max() < 0.1
    soft = simulation(VoltageClamp(("right", 250.0), step, resistance="200 Mohm"))
    seen = soft.run(5.0, dtype="float64")
    expected = (step(seen.time + 1e-9) - np.asarray(seen.v)[:, site]) / 200.0
    np.testing.assert_allclose(axon.clamp_current(seen), expected, rtol=1e-9, atol=1e-9)


# ---- membranes -------------------------------------------------------------------------------


def test_position_is_the_distance_from_the_root() -> None:
    by_function = HH.scaled(na=lambda x: np.where((x > 1100.0) & (x < 1400.0), 0.0, 1.0))
    by_array = HH.scaled(na=np.where((TREE.x > 1100.0) & (TREE.x < 1400.0), 0.0, 1.0))
    one, other = (simulation(CLAMP, membrane=m).run(10.0) for m in (by_function, by_array))
    same(one, other)
    warm = [
        simulation(CLAMP, celsius=celsius, v_init=-65.0).run(5.0)
        for celsius in (lambda x: 6.3 + x / 200, 6.3 + TREE.x / 200)
    ]
    same(*warm)
    with pytest.raises(axon.MembraneError, match=f"one value for each of the {TREE.n} comp"):
        simulation(CLAMP, membrane=HH.scaled(na=[1.0, 0.0]))


def test_one_branch_alone_is_blocked_and_let_go() -> None:
    blocked = HH.scaled(na=only_on([2], 0.0, 1.0))
    pulses = axon.train(2.0, 0.3, 0.4, interval=20.0, count=3)
    sim = simulation(
        CurrentClamp(0.0, pulses),
        changes=[axon.Change(15.0, blocked), axon.Change(35.0, HH)],
    )
    run = sim.run(60.0, record=())
    tips = [
        [bool(np.isfinite(latency)) for latency in axon.propagation(run, k).tips.values()]
        for k in range(3)
    ]
    assert list(axon.propagation(run).tips) == [1, 2, 3]
    assert tips == [[True, True, True], [True, False, True], [True, True, True]]
    assert [point.branch for point in axon.propagation(run, 1).failures] == [0]


@pytest.mark.parametrize("temperature", [6.3, lambda x: 6.3 + x / 300], ids=["cold", "warmer"])
def test_an_uneven_tree_begins_at_rest(temperature: Any) -> None:
    membrane = HH.scaled(k=only_on([1, 3], 2.0, 0.7), leak=lambda x: 1.0 + x / 1000)
    sim = simulation(membrane=membrane, celsius=temperature)
    rest = sim.v_init
    assert np.ptp(rest) > 1.0  # it isn't the same everywhere
    run = sim.run(20.0, dtype="float64")
    # Newton's method ends at 1e-9 mV, and tables of rates are good to 1e-7.
    assert np.abs(np.asarray(run.v) - rest).max() < 3e-6
    # And there every current is balanced, by another sum.
    ionic = membrane.steady_current(rest, sim.celsius, TREE.x) * TREE.area * 1e-2
    balance = TREE.axial_inflow(rest) - ionic
    assert np.abs(balance).max() < 1e-7 * np.abs(ionic).max()


def test_tapers_alone_leave_a_tree_at_one_rest() -> None:
    sim = simulation()
    assert np.ptp(sim.v_init) == 0.0 and sim.begins_at_rest
    run = sim.run(5.0, dtype="float64")
    assert np.abs(np.asarray(run.v) - sim.v_init).max() < 1e-6


def sodium(diffusion: float | None, gbar: float = 0.0) -> axon.Membrane:
    return axon.Membrane(
        [axon.Channel("leak", 1e-4, -65.0), axon.Channel("na", gbar, ion="na")],
        ions=[axon.Ion("na", 1, 10.0, 140.0)],
        pools=[axon.Pool("na", "inside", diffusion=diffusion)],
    )


def test_no_ion_is_lost_where_it_diffuses_through_branch_points() -> None:
    fine = TREE  # compartments of some 50 µm
    sim = simulation(membrane=sodium(1.33), v_init=-65.0)
    state = sim.state()
    begun = np.random.default_rng(0).uniform(1.0, 20.0, fine.n)
    states = state.states | {"nai": begun}
    sim.restore(axon.State(state.dt, state.step, state.v, states))
    run = sim.run(50.0, record=())
    ended = run.final["nai"]
    assert np.abs(ended - begun).max() > 0.05
    assert ended @ fine.volume == pytest.approx(begun @ fine.volume, rel=1e-13)
    # Evenness grows; and one box's step is what its neighbours' differences say.
    assert ended.std() < begun.std()
    short = simulation(membrane=sodium(1.33), v_init=-65.0)
    short.restore(axon.State(state.dt, state.step, state.v, states))
    short.run(0.01, record=())
    after = short.state().states["nai"]
    rate = np.zeros(fine.n)
    for child in range(1, fine.n):
        parent = fine.parent[child]
        flow = 1.33 * fine.passage[child - 1] * (begun[parent] - begun[child])
        rate[child] += flow / fine.volume[child]
        rate[parent] -= flow / fine.volume[parent]
    # How much of a step the very first one is for concentrations is the same for all.
    share = (after - begun) @ rate / (rate @ rate)
    assert 0.0 < share <= 0.01
    np.testing.assert_allclose(after - begun, share * rate, rtol=1e-3, atol=1e-9)


def test_what_enters_is_what_there_is_more() -> None:
    """The charge through the membrane, over F, wherever on the tree it then goes."""
    sim = simulation(membrane=sodium(1.33, 1e-5), v_init=-65.0)
    run = sim.run(100.0, dtype="float64", every=0.01)
    nai = run.final["nai"]
    entered = (nai - 10.0) @ TREE.volume  # mM µm³, which is 1e-18 mol
    # About -1e-5 S/cm² (-65 - E) for 100 ms, with E of Nernst: some percent off, as both move.
    e = axon.ions.nernst(10.0, 140.0, 1, sim.celsius[0])
    v = float(np.asarray(run.v).mean())
    charge = -1e-5 * (v - e) * TREE.area.sum() * 1e-8 * 0.1 * 1e-3  # C
    assert entered * 1e-18 * axon.ions.FARADAY == pytest.approx(charge, rel=0.02)
    assert np.ptp(nai) > 1e-5  # thin branches fill faster


def test_ions_that_diffuse_too_fast_for_the_step_are_refused() -> None:
    with pytest.raises(SimulationError, match=r"dt=50 ms is too long for nai to diffuse"):
        simulation(membrane=sodium(1000.0), v_init=-65.0, dt=50.0)


def test_a_patch_of_a_branch_is_replayed() -> None:
    """What the membrane did there, from its potential alone; also where branches meet."""
    whole = simulation(CLAMP).run(12.0, every=0.01, dtype="float64")
    for place in (("twig", 150.0), 1000.0, ("left", 320.0), 0.0):
        c = TREE.index(place)
        there = axon.membrane_at(whole, place)
        assert there.compartment == c and there.x == TREE.x[c]
        assert there.perimeter == pytest.approx(np.pi * TREE.diameter[c], rel=1e-12)
        for name, values in whole.final.items():
            # `final` is half a step older, and a gate changes by some 1e-3 a step at most.
            assert there.states[name][-1] == pytest.approx(values[c], abs=1e-3)
        total = sum(there.currents.values()) + there.capacitive
        v = np.asarray(whole.v)
        inflow = np.array([TREE.axial_inflow(row)[c] for row in v]) / (TREE.area[c] * 1e-2)
        quiet = whole.time > 1.0  # after the stimulus
        # Kirchhoff's law; what remains is the error of the derivative, and of the time step.
        scale = np.abs(there.capacitive[quiet]).max()
        assert np.abs((total - inflow)[quiet]).max() < 1e-2 * scale
    charge = axon.spike_charge(whole, ("twig", 150.0))
    assert charge.ratio > 1.0
    assert charge.atp_along("1 mm") == pytest.approx(charge.atp * np.pi * 0.8 * 1e-5, rel=1e-9)
    recovery = axon.patch_recovery(whole, ("twig", 150.0))
    assert recovery.x == charge.x and recovery.at_rest > 0


def test_where_it_diverges_is_told() -> None:
    wild = simulation(CurrentClamp(("twig", 250.0), axon.pulse(1e7, 0.5, 1.0)))
    with pytest.raises(axon.DivergedError) as caught:
        wild.run(2.0)
    assert caught.value.compartment == TREE.index(("twig", 250.0))
    assert caught.value.x == TREE.x[caught.value.compartment]


def test_along_the_tree_compartments_hang_together_as_it_says() -> None:
    """A current into one makes the potential fall off along every way from there."""
    passive = axon.models.passive()
    at = ("left", 500.0)
    sim = Simulation(TREE, passive, [CurrentClamp(at, axon.constant(0.01))], dt=0.05)
    v = np.asarray(sim.run(200.0, every=200.0, dtype="float64").v)[-1] - sim.v_init
    start = TREE.index(at)
    for end in [0, *TREE.tips.tolist()]:
        way = TREE.between(start, end)
        assert all(v[a] > v[b] > 0 for a, b in pairwise(way.tolist()))
