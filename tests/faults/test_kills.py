"""Runs that are killed: whatever the moment, going on gives the file of a run that never was."""

from __future__ import annotations

import itertools
import random

import pytest
from conftest import DURATION, LONGER, copied, digest, kill, places, rows_of, tear

EXTENT = [False, pytest.param(True, marks=pytest.mark.slow)]
every_or_all = pytest.mark.parametrize("all_of_them", EXTENT, ids=["some", "all"])


def rows_committed(trace, until):
    """Rows that a run of blocks of 150 had made safe before this operation."""
    commits = sum(kind == "rename" and "seg-" in to for kind, _, to in trace[: until - 1])
    return max(0, min(901, 150 * (commits - 1) + 1)) if commits > 1 else 0


def test_the_order_of_operations(disk):
    """What bears a final name was synced before, and its folder is synced after."""
    _, outcome = disk.reference()
    trace = outcome.trace
    renames = [k for k, (kind, _, _) in enumerate(trace) if kind == "rename"]
    assert len(renames) >= 8
    for k in renames:
        _, temporary, final = trace[k]
        assert temporary.endswith(".tmp") and not final.endswith(".tmp")
        about = [(j, kind) for j, (kind, path, _) in enumerate(trace[:k]) if path == temporary]
        assert about[-1] == (k - 1, "fsync")
        folder = final.rpartition("/")[0]
        assert trace[k + 1][:2] == ["fsync", folder]
    finals = {to for kind, _, to in trace if kind == "rename"}
    assert not [t for t in trace if t[0] in ("write", "truncate", "open") and t[1] in finals]
    removed = [k for k, (kind, path, _) in enumerate(trace) if kind == "unlink" and "seg-" in path]
    assert min(removed) > max(renames) + 1  # only when the finished file is safe


def test_the_folder_of_segments_is_synced_too(disk):
    """Or a loss of power may take the folder, with all that was committed to it."""
    trace = disk.reference()[1].trace
    made = next(k for k, t in enumerate(trace) if t[0] == "mkdir")
    second = [k for k, t in enumerate(trace) if t[0] == "rename"][1]
    assert ["fsync", "", ""] in trace[made:second]


def test_what_killed_writers_leave_does_not_pile_up(disk):
    """Each that is killed in the merge leaves a file as large as the run."""
    expected, _ = disk.reference()
    path = disk.new()
    assert disk.run(path, stop_at=5).error == "StoppedError"
    for _ in range(4):
        assert disk.resume(path, kill(60)).signal == 9
    assert len(list(path.parent.rglob("*.tmp"))) <= 1
    disk.finish(path, expected)


def test_operations_come_in_the_same_order_again(disk):
    _, outcome = disk.reference()
    again = disk.run(disk.new())
    kinds = [kind for kind, _, _ in outcome.trace]
    assert [kind for kind, _, _ in again.trace] == kinds


@every_or_all
def test_killed_at_every_operation(disk, all_of_them):
    expected, whole = disk.reference()
    for k in places(whole.trace, all_of_them):
        path = disk.new()
        assert disk.run(path, kill(k)).signal == 9
        assert rows_of(path) >= rows_committed(whole.trace, k)
        disk.finish(path, expected)


def lose_power(folder, trace, random_):
    """What a machine may forget that stops before the last operation of `trace`."""
    done = trace[:-1]
    for k, (kind, name, to) in enumerate(done):
        later = [t[:2] for t in done[k + 1 :]]
        source, target = folder / name, folder / to
        if kind in ("write", "truncate") and ["fsync", name] not in later and source.exists():
            source.write_bytes(b"")
        synced = ["fsync", to.rpartition("/")[0]] in later
        if kind == "rename" and not synced and target.exists() and random_.random() < 0.5:
            target.rename(source)


@every_or_all
def test_power_lost_at_every_operation(disk, all_of_them):
    expected, whole = disk.reference()
    random_ = random.Random(6)
    for k in places(whole.trace, all_of_them)[:: 1 if all_of_them else 5]:
        path = disk.new()
        outcome = disk.run(path, kill(k))
        lose_power(path.parent, outcome.trace, random_)
        # Committed is what the folder was synced after, two operations later.
        assert rows_of(path) >= rows_committed(whole.trace, max(1, k - 2))
        disk.finish(path, expected)


@every_or_all
def test_power_lost_while_a_run_is_made_longer(disk, all_of_them):
    expected, _ = disk.reference(duration=LONGER)
    random_ = random.Random(7)
    for k in places(extension(disk).trace, all_of_them)[:: 1 if all_of_them else 8]:
        path = finished(disk)
        outcome = disk.resume(path, kill(k), until=LONGER)
        lose_power(path.parent, outcome.trace, random_)
        assert rows_of(path) >= 901
        outcome = disk.resume(path, until=LONGER)
        assert outcome.done, outcome.told()
        disk.is_right(path, expected)


def test_killed_before_there_is_a_segment(disk):
    """`resume=True` begins what has not begun."""
    expected, whole = disk.reference()
    first = next(k for k, (kind, _, _) in enumerate(whole.trace, 1) if kind == "rename")
    for k in range(1, first + 2):
        path = disk.new()
        assert disk.run(path, kill(k), resume=True).signal == 9
        outcome = disk.run(path, resume=True)
        assert outcome.done, f"killed at {k}: {outcome.told()}"
        disk.is_right(path, expected)


@every_or_all
def test_torn_at_every_write(disk, all_of_them):
    expected, whole = disk.reference()
    for k in places(whole.trace, all_of_them)[:: 1 if all_of_them else 2]:
        if whole.trace[k - 1][0] == "write":
            path = disk.new()
            assert disk.run(path, tear(k)).signal == 9
            assert rows_of(path) >= rows_committed(whole.trace, k)
            disk.finish(path, expected)


@every_or_all
def test_killed_again_while_it_goes_on(disk, all_of_them):
    expected, whole = disk.reference()
    first = [k for k in places(whole.trace, False) if rows_committed(whole.trace, k)]
    chosen = random.Random(1)
    for k in first if all_of_them else chosen.sample(first, 6):
        killed = disk.new()
        assert disk.run(killed, kill(k)).signal == 9
        path = copied(disk, killed)
        second = places(disk.resume(path).trace, False)
        disk.is_right(path, expected)
        for j in second if all_of_them else chosen.sample(second, min(3, len(second))):
            path = copied(disk, killed)
            assert disk.resume(path, kill(j)).signal == 9
            rows_of(path)
            disk.finish(path, expected)
            disk.seen["pairs"] += 1


def test_killed_once_more_at_every_turn(disk):
    """One run killed again and again, later each time, till it is through nevertheless."""
    expected, _ = disk.reference()
    path = disk.new()
    assert disk.run(path, kill(20)).signal == 9
    rows = 0
    for k in itertools.count(1, 12):
        outcome = disk.resume(path, kill(k))
        if outcome.done:
            break
        assert rows_of(path) >= rows
        rows = rows_of(path)
    disk.is_right(path, expected)


def finished(disk):
    if "finished" not in disk.runs:
        path = disk.new()
        assert disk.run(path).done
        disk.runs["finished"] = path.read_bytes()
    path = disk.new()
    path.write_bytes(disk.runs["finished"])
    return path


def extension(disk):
    """The operations of making a finished run longer."""
    if "extension" not in disk.runs:
        path = finished(disk)
        outcome = disk.resume(path, until=LONGER)
        assert outcome.done, outcome.told()
        disk.runs["extension"] = digest(path), outcome
    return disk.runs["extension"][1]


def test_a_longer_run_is_as_one_that_was_long_from_the_start(disk):
    expected, _ = disk.reference(duration=LONGER)
    path = finished(disk)
    assert disk.resume(path, until=LONGER).done
    disk.is_right(path, expected)


@every_or_all
def test_killed_at_every_operation_of_a_longer_run(disk, all_of_them):
    expected, _ = disk.reference(duration=LONGER)
    for k in places(extension(disk).trace, all_of_them)[:: 1 if all_of_them else 3]:
        path = finished(disk)
        assert disk.resume(path, kill(k), until=LONGER).signal == 9
        assert rows_of(path) >= 901
        outcome = disk.resume(path, until=LONGER)
        assert outcome.done, outcome.told()
        disk.is_right(path, expected)


def test_killed_while_it_is_made_longer_and_not_asked_for_it_again(disk):
    short, _ = disk.reference()
    long, _ = disk.reference(duration=LONGER)
    for k in places(extension(disk).trace, False)[::8]:
        path = finished(disk)
        assert disk.resume(path, kill(k), until=LONGER).signal == 9
        assert disk.resume(path).done
        disk.is_right(path, short if digest(path) == short else long)


@pytest.mark.slow
def test_a_hundred_kills_at_random(disk):
    expected, _ = disk.reference()
    random_ = random.Random(7)
    kills = 0
    while kills < 100:
        path = disk.new()
        longest = 0.06  # seconds: it grows, since the last file takes a busy machine longer
        outcome = disk.run(path, hasty=True, kill_after=random_.uniform(0.0, longest))
        while outcome.signal == 9:
            kills += 1
            longest *= 1.05
            rows_of(path)
            started = path.exists() or any(path.parent.glob("run.h5.parts/seg-*"))
            go_on = disk.resume if started else disk.run
            outcome = go_on(path, hasty=True, kill_after=random_.uniform(0.0, longest))
        disk.is_right(path, expected)
    disk.seen["random kills"] += kills


# Lengths


@pytest.mark.parametrize(
    "options",
    [
        {"record": []},
        {"duration": 0.0},
        {"duration": 0.0, "record": []},
        {"duration": 255 * 0.02},  # one whole chunk
        {"duration": 511 * 0.02},
        {"duration": DURATION, "record": [100.0], "dtype": "float64"},
        {"electrodes": [[500.0, 90.0, 0.0], [900.0, 0.0, 60.0]]},
        {"record": [], "electrodes": [[500.0, 90.0, 0.0]]},
    ],
    ids=[
        "no columns", "one row", "one row, no columns", "a chunk", "two chunks", "one column",
        "electrodes", "an electrode alone",
    ],
)  # fmt: skip
def test_runs_of_odd_shapes(disk, options):
    expected, whole = disk.reference(**options)
    for k in places(whole.trace, False)[:: 6 if len(whole.trace) < 100 else 16]:
        path = disk.new()
        assert disk.run(path, kill(k), **options).signal == 9
        disk.finish(path, expected, **options)


def test_the_bytes_do_not_depend_on_when_it_was_committed(disk):
    """Though there be more spikes than one chunk of them holds."""
    options = {"spike_chunk": 4}
    expected, _ = disk.reference(commit_every=1e9, **options)
    assert disk.reference(**options)[0] == expected
    path = disk.new()
    assert disk.run(path, stop_at=4, commit_every=1e9, **options).error == "StoppedError"
    disk.finish(path, expected, **options)


@pytest.mark.parametrize("block", [1, 7, 256, 1024])
def test_stopped_at_any_row_and_block_size(disk, block):
    expected, _ = disk.reference()
    steps = 900
    blocks = -(-steps // block)
    chosen = {0, 1, 20, blocks // 2, blocks - 1} & set(range(min(blocks, 70)))
    for stop_at in sorted(chosen):
        path = disk.new()
        outcome = disk.run(path, block=block, stop_at=stop_at)
        assert outcome.error == "StoppedError", outcome.told()
        assert rows_of(path) == min(901, stop_at * block + 1)
        disk.finish(path, expected)
