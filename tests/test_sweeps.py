"""Sweeps: every point once, whatever happened before, and the same answers whoever computes."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import points
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import answers, cli, ranges, study, sweeps
from axon.answers import Folder, Plan, Record
from axon.errors import (
    AxonError,
    RunFileError,
    StoppedError,
    StudyError,
    SweepError,
    WriteError,
)

BIN = os.path.dirname(sys.executable)

STUDY = """
[axon]
shape = "cylinder"
length = "6 mm"
diameter = 20
Ra = 35.4
dx = 100
[membrane]
model = "hodgkin_huxley"
[[stimuli]]
type = "current_clamp"
at = 0
waveform = {shape = "pulse", amplitude = "100 nA", start = 0.5, duration = 0.5}
[simulation]
duration = 5
celsius = 18.5
dt = 0.01
[record]
every = 0.1
positions = ["2 mm"]
[measure.velocity]
start = 1000
stop = 3000
[measure.action_potential]
at = 2000
"""
AXES = """
[[sweep.axes]]
"axon.diameter" = {start = 10, stop = 30, count = 3}
[[sweep.axes]]
"simulation.celsius" = [6.3, 18.5]
"""
GRID = ranges.grid({"a": [1, 2, 3], "b": [1.0, 2.0]})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AXON_TEST_CALLS", str(tmp_path / "calls"))
    Path("cable.toml").write_text(STUDY + AXES, "utf-8")
    return tmp_path


def calls() -> Counter[int]:
    """How often each point was computed by `points.counted`."""
    try:
        return Counter(int(line) for line in Path("calls").read_text("utf-8").split())
    except FileNotFoundError:
        return Counter()


def numbered(count: int, **more: Any) -> ranges.Grid:
    return ranges.grid({"k": list(range(count))} | {key: [value] for key, value in more.items()})


def found(folder: str | Path) -> list[str]:
    """All answers, and all failures, as text: what must not depend on who computed them."""
    sweep = axon.open_sweep(folder)
    return [json.dumps([sweep.answers[k], sweep.failures.get(k)]) for k in range(len(sweep))]


# ---- what it does --------------------------------------------------------------------------------


def test_a_study_is_run_at_every_point_and_measured() -> None:
    sweep = axon.sweep("cable.toml", output="out", workers=2)
    assert (len(sweep), sweep.pending, sweep.failures) == (6, 0, {})
    table = sweep.table()
    np.testing.assert_array_equal(table["axon.diameter"], [10, 10, 20, 20, 30, 30])
    np.testing.assert_array_equal(table["simulation.celsius"], [6.3, 18.5] * 3)
    for k, changes in enumerate(sweep.grid):
        run = axon.run("cable.toml", changes)
        velocity = axon.conduction_velocity(run, 1000.0, 3000.0)
        assert table["velocity.value"][k] == velocity.value
        assert table["velocity.stderr"][k] == velocity.stderr
        assert table["spikes"][k] == len(run.spikes)
        shape = axon.action_potential(run, 2000.0)
        assert table["action_potential.amplitude"][k] == shape.amplitude
    # Warm axons are faster, and thick ones as the root of the diameter.
    velocity = sweep.to_xarray()["velocity.value"]
    assert velocity.dims == ("axon.diameter", "simulation.celsius")
    assert (velocity[:, 1] > 1.3 * velocity[:, 0]).all()
    ratio = velocity.sel({"axon.diameter": 30}) / velocity.sel({"axon.diameter": 10})
    np.testing.assert_allclose(ratio, math.sqrt(3.0), rtol=0.02)


def test_a_question_is_asked_at_every_point() -> None:
    text = (
        STUDY.replace("100 nA", "10 nA") + AXES + '[ask]\nquestion = "threshold"\ntolerance = 0.01'
    )
    Path("asked.toml").write_text(text, "utf-8")
    sweep = axon.sweep("asked.toml", output="out", engine="threads", workers=2)
    table = sweep.table()
    for k in (0, 5):
        asked = study.load("asked.toml").changed(sweep.grid[k]).simulation
        assert table["value"][k] == axon.threshold(asked, 5.0, tolerance=0.01).value
    by = sweep.to_xarray()["value"].sel({"simulation.celsius": 6.3})
    assert (np.diff(by) > 0).all()  # it takes more current to excite a thicker axon


def test_a_function_is_called_with_every_point() -> None:
    sweep = axon.sweep(points.area, GRID, output="out", workers=2)
    np.testing.assert_array_equal(sweep.table()["area"], [1, 2, 2, 4, 3, 6])
    assert sweep.to_xarray()["area"].sel(a=3, b=2.0) == 6.0


def test_runs_are_kept_if_that_is_wanted() -> None:
    sweep = axon.sweep("cable.toml", output="out", keep=True, workers=2)
    bare = axon.sweep("cable.toml", output="bare")
    assert sweep.answers == bare.answers
    for k in (0, 5):
        axon.run("cable.toml", sweep.grid[k], output=f"alone{k}.h5")
        with sweep.run(k) as run:
            assert Path(run.name).read_bytes() == Path(f"alone{k}.h5").read_bytes()
    with pytest.raises(RunFileError):
        bare.run(0)


@pytest.mark.parametrize("engine", ["threads", "processes", "dask", "mpi"])
def test_all_engines_find_the_same(engine: str) -> None:
    """Of axons, membranes, temperatures and steps that are mixed at random."""
    mixed = """
[sweep]
seed = 1
[[sweep.axes]]
count = 4
"axon.diameter" = {draw = "uniform", low = 10, high = 40}
"membrane.scaled.leak" = {draw = "normal", mean = 1.0, sd = 0.1}
[[sweep.axes]]
"membrane.model" = ["hodgkin_huxley", "sundt", "rattay_aberham"]
"simulation.dt" = [0.01, 0.02, 0.005]
"""
    Path("cable.toml").write_text(STUDY + mixed, "utf-8")
    axon.sweep("cable.toml", output="one", engine="threads", workers=1)
    if engine == "mpi":
        pytest.importorskip("mpi4py")
        mpirun = shutil.which("mpirun", path=os.pathsep.join([BIN, os.environ["PATH"]]))
        if mpirun is None:
            pytest.skip("there is no mpirun")
        command = [mpirun, "--oversubscribe", "--allow-run-as-root", "-n", "4", sys.executable]
        command += ["-m", "mpi4py.futures", "-m", "axon", "sweep", "cable.toml", "-o", "many"]
        subprocess.run(
            [*command, "--engine", "mpi"], check=True, timeout=300, stdout=subprocess.DEVNULL
        )
    else:
        if engine == "dask":
            pytest.importorskip("distributed")
        axon.sweep("cable.toml", output="many", engine=engine, workers=3)
    assert found("one") == found("many")


def test_points_that_fit_together_share_what_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and code are made once for each temperature, in whatever order points come."""
    lowered = []
    real = axon.program._Lowering.program  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "axon.program._Lowering.program", lambda self: lowered.append(1) or real(self)
    )
    plan = sweeps.planned("cable.toml")
    point = sweeps._Point(plan)
    for changes in plan.grid:
        point.study(changes).run()
    assert len(lowered) == 2 + 2  # and once each for the checks of planning


# ---- what is there already -----------------------------------------------------------------------


def test_what_is_done_is_not_done_again() -> None:
    axon.sweep(points.counted, numbered(5), output="out", engine="threads")
    axon.sweep(points.counted, numbered(5), output="out", engine="threads")
    axon.sweep(points.counted, numbered(8), output="out", engine="threads")
    assert calls() == Counter(range(8))
    smaller = axon.sweep(points.counted, numbered(3), output="out", engine="threads")
    assert smaller.table()["answer"].tolist() == [0.0, 1.0, 4.0]  # type: ignore[union-attr]
    assert calls() == Counter(range(8))


def test_a_changed_study_makes_new_points_and_a_changed_range_only_some() -> None:
    axon.sweep("cable.toml", output="out")
    plan = Folder(Path("out")).plan()
    names = {plan.name(k) for k in range(len(plan.grid))}
    Path("cable.toml").write_text(STUDY + AXES.replace("[6.3, 18.5]", "[18.5, 30.0]"), "utf-8")
    wider = sweeps.planned("cable.toml")
    assert len(names & {wider.name(k) for k in range(6)}) == 3
    # Values that every point replaces don't matter, nor does the title.
    text = STUDY.replace("celsius = 18.5", "celsius = 20.0") + AXES
    Path("cable.toml").write_text('title = "Another"\n' + text, "utf-8")
    same = sweeps.planned("cable.toml")
    assert names == {same.name(k) for k in range(6)}
    Path("cable.toml").write_text(STUDY.replace("dt = 0.01", "dt = 0.02") + AXES, "utf-8")
    other = sweeps.planned("cable.toml")
    assert not names & {other.name(k) for k in range(6)}
    kept = sweeps.planned("cable.toml", keep=True)
    assert not {kept.name(k) for k in range(6)} & {other.name(k) for k in range(6)}


def test_an_answer_that_was_lost_or_damaged_is_found_again() -> None:
    axon.sweep(points.counted, numbered(6), output="out", engine="threads", workers=1)
    before = found("out")
    files = sorted(Path("out/answers").iterdir())
    assert len(files) > 2
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-10])
    files[2].write_bytes(b"\xff" * 100)
    (Path("out/answers") / "notes.txt").write_text("mine", "utf-8")
    assert axon.open_sweep("out").pending >= 3
    axon.sweep(points.counted, numbered(6), output="out", engine="threads")
    assert found("out") == before
    assert max(calls().values()) == 2
    assert (Path("out/answers") / "notes.txt").exists()


def test_shards_do_their_own_part_and_together_all() -> None:
    for i in (1, 2, 3):
        axon.sweep(points.counted, numbered(7), output="out", engine="threads", shard=(i, 3))
        assert axon.open_sweep("out").pending == (4, 2, 0)[i - 1]
    assert calls() == Counter(range(7))


# ---- what goes wrong -----------------------------------------------------------------------------


def test_a_point_that_fails_is_told_of_and_the_others_go_on() -> None:
    told: list[sweeps.Status] = []
    sweep = axon.sweep(
        points.fragile, GRID, output="out", engine="threads", progress=lambda s, _: told.append(s)
    )
    assert sweep.failures == dict.fromkeys((1, 3, 5), "ValueError('b = 2.0 is too much')")
    assert told[-1] == sweeps.Status(6, 3, 3) and told[-1].pending == 0
    table = sweep.table()
    np.testing.assert_array_equal(table["answer"], [1, math.nan, 1, math.nan, 1, math.nan])
    assert table["error"][1] == "ValueError('b = 2.0 is too much')"
    assert repr(sweep) == "Sweep of 6 points, 0 to do, 3 failed"


def test_failed_points_are_tried_again_if_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = ranges.grid({"b": [1, 2, 3]})
    for retry in (False, True):
        again = axon.sweep(points.fragile, grid, output="out", engine="threads", retry_failed=retry)
        assert list(again.failures) == [1]
    folder = Folder(Path("out"))
    folder.look()
    failed = [record for record in Folder(Path("out")).new() if record.error]
    assert len(failed) == 2  # at first, and when it was tried again
    monkeypatch.setattr(points.fragile, "__code__", points.area.__code__)  # somebody mends it
    (name,) = folder.failed
    folder.add([Record(name, {"b": 2}, 2.0)])
    mended = axon.open_sweep("out")
    assert not mended.failures and mended.answers == [1.0, 2.0, 3.0]


def test_a_run_that_blows_up_is_its_points_failure() -> None:
    wild = {"stimuli[0].waveform.amplitude": ["100 nA", "5 A"]}
    sweep = axon.sweep("cable.toml", ranges.grid(wild), output="out")
    assert list(sweep.failures) == [1] and "diverged" in sweep.failures[1]


def test_a_study_that_is_wrong_in_the_middle_of_a_range_fails_there() -> None:
    sweep = axon.sweep("cable.toml", ranges.grid({"axon.dx": [100, -1, 200]}), output="out")
    assert list(sweep.failures) == [1] and "-1" in sweep.failures[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_function_that_hangs_is_ended(workers: int) -> None:
    sweep = axon.sweep(
        points.hanging, numbered(3), output="out", workers=workers, engine="processes",
        time_limit=0.5,
    )  # fmt: skip
    assert sweep.failures == {1: "it took longer than 0.5 s"}
    assert [sweep.answers[k] for k in (0, 2)] == [0.0, 2.0]


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_that_takes_too_long_is_ended(keep: bool) -> None:
    long = ranges.grid({"simulation.duration": [1.0, 1e7]})
    sweep = axon.sweep(
        "cable.toml", long, output="out", keep=keep, time_limit=4.0, workers=2,
        changes={"record.every": 1.0, "record.positions": []},
    )  # fmt: skip
    assert list(sweep.failures) == [1]
    assert sweep.failures[1] == "it took longer than 4 s"


def test_what_no_table_holds_is_refused() -> None:
    sweep = axon.sweep(points.odd, numbered(2), output="out", engine="threads")
    assert all("no table can hold" in sweep.failures[k] for k in (0, 1))


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_a_sweep_that_is_stopped_goes_on_where_it_was(engine: str) -> None:
    grid = numbered(60, seconds=0.05)

    def stop() -> str:
        return "enough" if len(calls()) > 6 else ""

    with pytest.raises(StoppedError, match="enough"):
        axon.sweep(points.counted, grid, output="out", engine=engine, workers=2, stop=stop)
    begun = axon.open_sweep("out")
    assert 5 <= len(grid) - begun.pending < 60
    axon.sweep(points.counted, grid, output="out", engine=engine, workers=2)
    assert calls() == Counter(range(60)), "nothing is done twice"


def test_a_sweep_stops_when_its_time_is_over() -> None:
    with pytest.raises(StoppedError, match=r"1\.5 are over"):
        axon.sweep(
            points.counted, numbered(400, seconds=0.05), output="out", engine="threads", workers=1,
            stop_after=1.5,
        )  # fmt: skip
    assert 0 < len(calls()) < 200


def test_runs_that_are_kept_go_on_where_they_were() -> None:
    Path("cable.toml").write_text(STUDY.replace("duration = 5", "duration = 4000"), "utf-8")
    grid = ranges.grid({"axon.diameter": [10, 20]})
    looks = iter(range(10**6))
    with pytest.raises(StoppedError):
        axon.sweep(
            "cable.toml", grid, output="out", keep=True, engine="processes", workers=1,
            stop=lambda: "enough" if next(looks) > 5 else "",
        )  # fmt: skip
    assert list(Path("out/runs").glob("*.parts")), "there is a run that is not finished"
    axon.sweep("cable.toml", grid, output="out", keep=True, engine="processes", workers=1)
    assert not list(Path("out/runs").glob("*.parts"))
    axon.sweep("cable.toml", grid, output="whole", keep=True, engine="processes", workers=1)
    assert found("out") == found("whole")
    for path in Path("whole/runs").iterdir():
        assert path.read_bytes() == (Path("out/runs") / path.name).read_bytes() or (
            path.suffix == ".log"
        )


def test_a_worker_that_dies_again_and_again_over_a_point_is_that_points_failure() -> None:
    sweep = axon.sweep(points.deadly, numbered(10), output="out", engine="processes", workers=2)
    assert list(sweep.failures) == [3] and "died" in sweep.failures[3]
    assert [sweep.answers[k] for k in range(10) if k != 3] == [k * k for k in range(10) if k != 3]


def test_a_full_disk_stops_it_and_room_lets_it_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real, full = answers.write, [True]

    def write(file: int, data: memoryview, offset: int) -> None:
        if full[0] and len(calls()) > 3:
            raise OSError(28, "No space left on device")
        real(file, data, offset)

    monkeypatch.setattr(answers, "write", write)
    monkeypatch.setattr(answers, "PATIENCE", 0.2)
    with pytest.raises(WriteError, match="No space left") as caught:
        axon.sweep(points.counted, numbered(8), output="out", engine="threads", workers=1)
    assert caught.value.resumable
    full[0] = False
    assert not axon.sweep(points.counted, numbered(8), output="out", engine="threads").pending
    assert not [path for path in Path("out/answers").iterdir() if path.suffix != ".jsonl"]


def test_a_disk_that_is_full_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = answers.write, iter([True, True])

    def write(file: int, data: memoryview, offset: int) -> None:
        if next(failures, False):
            raise OSError(28, "No space left on device")
        real(file, data, offset)

    axon.sweep(points.counted, numbered(1), output="out", engine="threads", workers=1)
    monkeypatch.setattr(answers, "write", write)
    axon.sweep(points.counted, numbered(2), output="out", engine="threads", workers=1)
    assert calls() == Counter([0, 1])


def test_a_full_disk_at_the_very_beginning_keeps_nobody_who_is_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(file: int, data: memoryview, offset: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(answers, "write", write)
    with pytest.raises(WriteError, match=r"sweep\.json.*No space left") as caught:
        axon.sweep(points.counted, numbered(2), output="out", engine="threads", stop_after=1e-3)
    assert caught.value.resumable and not calls()


def test_two_who_begin_the_same_sweep_end_with_the_same_answers() -> None:
    grid = numbered(40, seconds=0.02)
    both = [
        threading.Thread(
            target=axon.sweep, args=(points.counted, grid),
            kwargs={"output": "out", "engine": "threads", "workers": 1},
        )
        for _ in range(2)
    ]  # fmt: skip
    for each in both:
        each.start()
    for each in both:
        each.join()
    sweep = axon.open_sweep("out")
    assert not sweep.pending and sweep.answers == [float(k * k) for k in range(40)]
    axon.sweep(points.counted, grid, output="alone", engine="threads", workers=2)
    assert found("alone") == found("out")


def test_a_folder_that_is_given_to_another_sweep_meanwhile_is_left_to_it() -> None:
    other = sweeps.planned(points.counted, numbered(3))

    def give_away(status: sweeps.Status, _: float) -> None:
        if status.done == 1:
            Folder(Path("out")).begin(other)

    with pytest.raises(SweepError, match="of another sweep now"):
        axon.sweep(
            points.counted, numbered(9), output="out", engine="threads", workers=1,
            progress=give_away,
        )  # fmt: skip
    assert len(axon.open_sweep("out")) == 3


def test_a_sweep_can_be_read_while_it_goes_on() -> None:
    seen = []

    def look(status: sweeps.Status, _: float) -> None:
        seen.append(len(axon.open_sweep("out").grid) - axon.open_sweep("out").pending)
        assert status.done <= seen[-1]

    axon.sweep(
        points.counted, numbered(10), output="out", engine="threads", workers=1, progress=look
    )
    assert seen[0] == 0 and seen[-1] == 10


def test_values_that_mean_the_same_are_one_point() -> None:
    """A finer range has the points of a coarser one."""
    for values in ([10, 25, 40], ranges.linear(10.0, 40.0, 5), ["10 um"], ["10.0 um"]):
        axon.sweep(points.named, ranges.grid({"x": values}), output="out", engine="threads")
    assert calls() == Counter({10: 2, 17: 1, 25: 1, 32: 1, 40: 1})  # a number, and a text


def test_answers_that_are_nothing_are_answers() -> None:
    sweep = axon.sweep(points.nothing, numbered(3), output="out", engine="threads")
    assert (sweep.pending, sweep.answers, sweep.failures) == (0, [None] * 3, {})


def test_whatever_a_function_raises_is_its_points_failure() -> None:
    sweep = axon.sweep(points.rude, numbered(5), output="out", engine="threads")
    assert sweep.answers[4] == 4.0 and sorted(sweep.failures) == [0, 1, 2, 3]
    assert "can't write" in sweep.failures[0] and "bad" in sweep.failures[2]
    assert sweep.failures[3] == "AxonError('')"


def test_an_answer_that_is_too_large_is_its_points_failure() -> None:
    sweep = axon.sweep(points.huge, numbered(3), output="out", engine="threads", workers=1)
    assert list(sweep.failures) == [1] and "16 MiB" in sweep.failures[1]
    assert sweep.pending == 0


def test_answers_named_as_the_values_are_stand_beside_them() -> None:
    table = axon.sweep(points.clash, numbered(3), output="out", engine="threads").table()
    np.testing.assert_array_equal(table["k"], [0, 1, 2])
    np.testing.assert_array_equal(table["answer.k"], [0, 100, 200])
    np.testing.assert_array_equal(table["answer.error"], [1, 1, 1])


def test_a_number_that_somebody_changed_is_no_answer() -> None:
    axon.sweep(points.counted, numbered(1), output="out", engine="threads")
    (path,) = Path("out/answers").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"answer":0.0', b'"answer":7.0'))
    assert axon.open_sweep("out").pending == 1


def test_a_function_is_known_by_what_it_closes_over() -> None:
    for factor in (1, 10):
        sweep = axon.sweep(points.times(factor), numbered(3), output="out", engine="threads")
        assert sweep.answers == [0, factor, 2 * factor]


def test_a_bad_corner_of_a_grid_is_its_points_failure() -> None:
    grid = ranges.grid({"axon.length": ["6 mm", "8 mm"], "stimuli[0].at": ["1 mm", "7 mm"]})
    sweep = axon.sweep("cable.toml", grid, output="out")
    assert list(sweep.failures) == [1] and sweep.pending == 0


def test_a_kept_run_goes_on_under_another_title() -> None:
    long = STUDY.replace("duration = 5", "duration = 4000")
    looks = iter(range(10**6))
    grid = ranges.grid({"axon.diameter": [10]})
    for title, stop in (("One", lambda: "enough" if next(looks) > 3 else ""), ("Two", None)):
        Path("cable.toml").write_text(f'title = "{title}"\n' + long, "utf-8")
        with suppress(StoppedError):
            axon.sweep(
                "cable.toml", grid, output="out", keep=True, engine="processes", workers=1,
                stop=stop,
            )  # fmt: skip
    sweep = axon.open_sweep("out")
    assert not sweep.failures and not sweep.pending


def test_a_hanging_function_ends_when_it_is_told_to() -> None:
    """It is interrupted, in processes."""
    began = time.monotonic()
    with pytest.raises(StoppedError, match=r"1\.0 are over"):
        axon.sweep(
            points.hanging, ranges.grid({"k": [1]}), output="out", engine="processes", workers=1,
            stop_after=1.0,
        )  # fmt: skip
    assert time.monotonic() - began < 20.0
    assert axon.open_sweep("out").pending == 1


@pytest.mark.parametrize(
    "text", ['{"layout": 2}', '{"method": "bayes"}', "[]", "{", '{"layout": 1, "axes": []}']
)
def test_a_file_that_is_no_plan_of_ours_is_not_overwritten(text: str) -> None:
    Path("out").mkdir()
    Path("out/sweep.json").write_text(text, "utf-8")
    refused(lambda: axon.sweep(points.area, GRID, output="out"), "sweep.json")
    assert Path("out/sweep.json").read_text("utf-8") == text


def test_membranes_of_changes_are_shared_too() -> None:
    cooled = STUDY + '[[changes]]\nat = 1\nmembrane = {model = "hodgkin_huxley"}\n'
    Path("cooled.toml").write_text(cooled, "utf-8")
    base = study.load("cooled.toml")
    a, b = (base.changed({"axon.diameter": d}).simulation for d in (10.0, 20.0))
    assert a.changes[0].membrane.channels[0].gates is b.changes[0].membrane.channels[0].gates


# ---- what is refused -----------------------------------------------------------------------------


def refused(call: Callable[[], Any], words: str, kind: type[AxonError] = SweepError) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_what_makes_no_sense_is_refused() -> None:
    Path("plain.toml").write_text(STUDY, "utf-8")
    refused(lambda: axon.sweep("plain.toml", output="out"), "nothing to repeat it for")
    refused(lambda: axon.sweep(points.area, output="out"), "points is missing")
    refused(lambda: axon.sweep(points.area, GRID, output="out", keep=True), "keep=True")
    refused(lambda: axon.sweep(points.area, GRID, output="out", changes={"a": 1}), "changes")
    refused(lambda: axon.sweep("cable.toml", output="out", shard=(3, 2)), r"shard=\(3, 2\)")
    refused(lambda: axon.sweep("cable.toml", output="out", shard=3), "shard=3")  # type: ignore[arg-type]
    refused(
        lambda: axon.sweep(points.area, {"a": [1], "b": [1, 1.0]}, output="out"), "b has .* twice"
    )
    refused(lambda: axon.sweep(points.area, {"a": [math.inf]}, output="out"), "a = inf can't be")
    refused(lambda: axon.sweep(points.area, [1], output="out"), "no grid")  # type: ignore[arg-type]
    refused(lambda: axon.sweep(partial(points.area), GRID, output="out"), "no function that def")
    refused(lambda: axon.sweep(points.times(object()), GRID, output="out"), "can't be written")  # type: ignore[arg-type]
    refused(
        lambda: axon.sweep(points.area, GRID, output="out", engine="threads", time_limit=1.0),
        "can't be ended in a thread",
    )
    both = {"membrane": [{"model": "sundt"}], "membrane.scaled.na": [0.5]}
    assert len(sweeps.planned("cable.toml", both).grid) == 1  # which is no nonsense
    refused(lambda: axon.sweep("cable.toml", output="out", engine="magic"), "magic")
    refused(lambda: axon.sweep("none.toml", output="out"), "no such file", StudyError)
    bad = ranges.grid({"axon.diametre": [1.0]})
    refused(lambda: axon.sweep("cable.toml", bad, output="out"), "diametre", StudyError)
    asked = STUDY + AXES + '[ask]\nquestion = "thresh"\n'
    Path("asked.toml").write_text(asked, "utf-8")
    refused(lambda: axon.sweep("asked.toml", output="out"), "no question", StudyError)
    assert not Path("out").exists()


def test_what_needs_more_memory_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axon.sweeps.machine.memory", lambda: 10**8)
    places = [f"{x} um" for x in range(50, 4000, 100)]
    long = {"record.positions": places, "record.every": 0.01}
    some = ranges.grid({"simulation.duration": [1.0, 5e3]})
    refused(
        lambda: axon.sweep("cable.toml", some, output="out", changes=long, workers=2),
        r"2 workers need up to 0\.08 GB each, and there are 0\.1 GB; give workers=1, or record",
    )
    refused(
        lambda: axon.sweep(
            "cable.toml", ranges.grid({"simulation.duration": [1.0, 1e5]}), output="out",
            changes=long, workers=1,
        ),
        "1 workers need up to .* give record less",
    )  # fmt: skip
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"layout": 1}', '{"layout": 99}', '{"layout": "x"}', "[" * 100_000, "\xff"],
)
def test_a_folder_that_holds_no_sweep_says_so(text: str) -> None:
    refused(lambda: axon.open_sweep("nowhere"), "there is no sweep")
    Path("odd").mkdir()
    Path("odd/sweep.json").write_text(text, "latin-1")
    refused(lambda: axon.open_sweep("odd"), "sweep.json")


lines = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=50).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["point", "changes", "answer", "error", "seconds", "x"]), inner
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(lines, max_size=5))
def test_answers_that_are_none_do_no_harm(junk: list[bytes]) -> None:
    shutil.rmtree("out", ignore_errors=True)
    folder = Folder(Path("out"))
    folder.begin(Plan.of({"function": "f"}, GRID, "f"))
    (Path("out/answers") / f"{0:016x}.jsonl").write_bytes(b"\n".join(junk))
    assert axon.open_sweep("out").pending == len(GRID)


def cell(diameter: float) -> str:
    """A straight cable of 3 mm, as an SWC file has it."""
    rows = (f"{k + 1} 2 {100 * k} 0 0 {diameter / 2} {k or -1}" for k in range(31))
    return "\n".join(rows) + "\n"


SWC = STUDY.replace(
    'shape = "cylinder"\nlength = "6 mm"\ndiameter = 20\n', 'shape = "swc"\nfile = "cell.swc"\n'
).replace("stop = 3000", "stop = 2500")


def velocities(folder: str) -> list[float]:
    return [answer["velocity"]["value"] for answer in axon.open_sweep(folder).answers]


def test_files_are_those_beside_the_study_wherever_it_is_swept_from() -> None:
    """Also those in an array of jobs; another cell of that name is no reason to take it."""
    for place, diameter in (("study", 5.0), ("elsewhere", 20.0)):
        Path(place).mkdir()
        Path(place, "cell.swc").write_text(cell(diameter), "utf-8")
    Path("study/s.toml").write_text(
        SWC + '[[sweep.axes]]\n"simulation.celsius" = [6.3, 18.5]\n', "utf-8"
    )
    axon.sweep("study/s.toml", output="one")
    with contextlib.chdir("elsewhere"):
        axon.sweep("../study/s.toml", output="../other", engine="processes", workers=1)
    expected = [
        study.load("study/s.toml", {"simulation.celsius": celsius}).run() for celsius in (6.3, 18.5)
    ]
    alone = [axon.conduction_velocity(run, 1000.0, 2500.0).value for run in expected]
    assert velocities("one") == velocities("other") == alone
    assert alone[1] > 1.5 * alone[0]


def test_a_file_that_has_changed_is_another_one() -> None:
    Path("s.toml").write_text(SWC + '[[sweep.axes]]\n"simulation.celsius" = [18.5]\n', "utf-8")
    found = []
    for diameter in (5.0, 20.0):
        Path("cell.swc").write_text(cell(diameter), "utf-8")
        axon.sweep("s.toml", output="out")
        found += velocities("out")
    assert found[1] > 1.5 * found[0]


def test_names_of_files_that_look_like_quantities_are_different() -> None:
    Path("1.swc").write_text(cell(5.0), "utf-8")
    Path("01.swc").write_text(cell(20.0), "utf-8")
    text = SWC + '[[sweep.axes]]\n"axon.file" = ["1.swc", "01.swc"]\n'
    Path("s.toml").write_text(text.replace('"cell.swc"', '"1.swc"'), "utf-8")
    axon.sweep("s.toml", output="out")
    slow, fast = velocities("out")
    assert fast > 1.5 * slow


def test_a_plan_of_a_newer_axon_is_told_as_one() -> None:
    axon.sweep(points.counted, numbered(1), output="out", engine="threads")
    plan = json.loads(Path("out/sweep.json").read_text("utf-8"))
    Path("out/sweep.json").write_text(json.dumps(plan | {"layout": 99}), "utf-8")
    with pytest.raises(SweepError, match="a newer axon has written it: layout 99"):
        axon.open_sweep("out")


def test_a_table_is_there_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = axon.sweep(points.area, GRID, output="out", engine="threads")
    sweep.write("table.csv")
    before = Path("table.csv").read_bytes()
    Path("link.csv").symlink_to("table.csv")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match="No space left"):
            sweep.write("link.csv")
    assert Path("table.csv").read_bytes() == before
    sweep.write("link.csv")
    assert Path("link.csv").is_symlink() and Path("table.csv").read_bytes() == before
    sweep.write("/dev/null")  # which stays what it is
    assert not Path("/dev/null").is_file()
    assert not list(Path().glob("*.tmp"))


def test_the_table_is_written_as_csv_and_parquet() -> None:
    sweep = axon.sweep(points.fragile, GRID, output="out", engine="threads")
    sweep.write("table.csv")
    rows = Path("table.csv").read_text("utf-8").splitlines()
    assert rows[0] == "a,b,answer,error"
    assert rows[1] == "1.0,1.0,1.0," and rows[2] == "1.0,2.0,,ValueError('b = 2.0 is too much')"
    parquet = pytest.importorskip("pyarrow.parquet")
    sweep.write("table.parquet")
    back = parquet.read_table("table.parquet").to_pydict()
    assert back["a"] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0] and back["error"][0] == ""


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = axon.sweep(points.area, GRID, output="out", engine="threads")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(axon.MissingExtraError, match="parquet"):
        sweep.write("table.parquet")


SCAN = """
import resource, time
from pathlib import Path
from axon import sweeps
from axon.answers import Folder

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before, began = peak(), time.process_time()
folder = Folder(Path("out"))
driven = sweeps._Driven(folder.plan(), folder, range(10**5), False, None)
print(*driven.status, time.process_time() - began, peak() - before)
"""


def test_planning_a_hundred_thousand_points_takes_seconds_and_little_memory() -> None:
    grid = ranges.grid({"a": ranges.linear(0.0, 1.0, 1000), "b": ranges.linear(0.0, 9.9, 100)})
    plan = Plan.of({"function": "f"}, grid, "f")
    folder = Folder(Path("out"))
    folder.begin(plan)
    third = [Record(plan.name(k), grid[k], {"area": float(k)}) for k in range(0, 10**5, 3)]
    for k in range(0, len(third), 500):
        folder.add(third[k : k + 500])
    told = subprocess.run([sys.executable, "-c", SCAN], capture_output=True, text=True, check=True)
    count, done, failed, seconds, memory = map(float, told.stdout.split())
    assert (count, done, failed) == (10**5, 33_334, 0)
    assert seconds < 20.0  # 3, on a machine that is not busy
    assert memory < 3e7
    assert os.path.getsize("out/sweep.json") < 10**5


def test_what_was_safe_when_its_worker_died_is_not_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch that takes long has put down something by then."""
    grid = ranges.grid({"k": [0, 5], "seconds": [1.1 * sweeps.COMMIT_SECONDS]})  # 5 kills, once
    monkeypatch.setattr(sweeps._Driven, "_size", lambda self: 2)
    sweep = axon.sweep(points.deadly, grid, output="out", engine="processes", workers=2)
    assert not sweep.failures and not sweep.pending
    assert calls() == Counter([0, 5])


# ---- the command ---------------------------------------------------------------------------------


def command(*arguments: str) -> int:
    return cli.main(["sweep", "cable.toml", "-o", "out", *arguments])


def test_the_command_does_what_the_function_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--status") == 2  # nothing is there yet
    assert "there is no sweep in out" in capsys.readouterr().err
    assert command("--dry-run") == 0
    assert "6, 0 of them done, 0 failed" in capsys.readouterr().out
    assert not Path("out").exists()
    assert command("--shard", "1/2", "--engine", "threads", "--workers", "1") == 0
    assert "6, 3 of them done" in capsys.readouterr().out
    assert command("--plot", "picture.png", "--quantity", "velocity.value") == 0
    out = capsys.readouterr().out
    assert "6, 6 of them done" in out and "out/table.csv" in out
    assert Path("picture.png").stat().st_size > 1000
    axon.sweep("cable.toml", output="other").write("other.csv")
    assert Path("out/table.csv").read_bytes() == Path("other.csv").read_bytes()
    assert command("--status", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["points"], told["done"], told["pending"]) == (6, 6, 0)
    assert told["table"]["axon.diameter"] == [10, 10, 20, 20, 30, 30]


def test_points_that_fail_are_listed_and_change_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = ", ".join(f'"{k} A"' for k in range(4, 16))
    axes = f'[[sweep.axes]]\n"stimuli[0].waveform.amplitude" = ["100 nA", {values}]\n'
    Path("cable.toml").write_text(STUDY + axes, "utf-8")
    assert command() == cli.Exit.SOME_FAILED
    out = capsys.readouterr().out
    assert "13, 1 of them done" in out
    assert "failed at stimuli[0].waveform.amplitude = 4 A" in out and "diverged" in out
    assert out.count("failed at") == 10 and "failed besides" in out
    assert command("--json") == cli.Exit.SOME_FAILED
    assert json.loads(capsys.readouterr().out)["table"]["velocity.value"].count(None) == 12


def test_the_command_that_is_stopped_can_be_given_again(capsys: pytest.CaptureFixture[str]) -> None:
    Path("cable.toml").write_text(
        STUDY.replace("duration = 5\n", "duration = 5e4\n") + AXES, "utf-8"
    )
    assert command("--stop-after", "0.3s", "--workers", "1") == cli.Exit.STOPPED
    assert "stopped: its 0.3s are over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "3"], "3"),
        (["--shard", "4/3"], "4"),
        (["--engine", "mpi"], "mpi"),
        (["--workers", "0"], "workers"),
        (["--time-limit", "soon"], "time_limit='soon'"),
        (["--set", "axon.diametre=1"], "diametre"),
    ],
)
def test_what_the_command_cannot_do_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*arguments) in (cli.Exit.BAD_INPUT, cli.Exit.NO_PACKAGE)
    assert words in capsys.readouterr().err
    assert not Path("out/answers").exists() or not list(Path("out/answers").iterdir())


def test_the_bar_tells_of_points() -> None:
    terminal = io.StringIO()
    bar = cli._Bar(terminal)
    bar.of_points(sweeps.Status(100, 0, 0), math.inf)
    bar.of_points(sweeps.Status(100, 40, 10), 125.0)
    first, second = terminal.getvalue().split("\r")[1:]
    assert first == 30 * "." + "   0%  0 of 100 points  ? left\x1b[K"
    assert second == 15 * "#" + 15 * "." + "  50%  50 of 100 points, 10 failed  0:02:05 left\x1b[K"
