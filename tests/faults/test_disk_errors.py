"""A disk that is full or fails: what was committed stays, and the run goes on afterwards."""

from __future__ import annotations

import os
import shutil
import threading
import time

import harness
import pytest
from conftest import LONGER, copied, fail, places, rows_of
from test_kills import every_or_all, extension, finished, rows_committed

ERRORS = ("ENOSPC", "EDQUOT", "EIO")
each_error = pytest.mark.parametrize("error", ERRORS)
PASSING = 3  # attempts that fail before one succeeds


def begun(trace):
    """The operation by which the first segment is committed: only then there is patience."""
    return next(k for k, (kind, _, to) in enumerate(trace, 1) if kind == "rename" and "seg-" in to)


def chosen(trace, error, all_of_them):
    numbers = places(trace, all_of_them)
    if not all_of_them:  # each error has others
        numbers = numbers[ERRORS.index(error) :: 3 * len(ERRORS)]
    return [k for k in numbers if error == "EIO" or trace[k - 1][0] not in ("unlink", "rmdir")]


@each_error
@every_or_all
def test_an_error_that_passes(disk, error, all_of_them):
    """With patience the run goes on by itself."""
    expected, whole = disk.reference()
    for k in chosen(whole.trace, error, all_of_them):
        path = disk.new()
        outcome = disk.run(path, fail(k, error, times=PASSING), patience=5.0)
        kind, name, _ = whole.trace[k - 1]
        where = f"{kind} of {name}, number {k}: {outcome.told()}"
        if k > begun(whole.trace) + 1:
            assert outcome.done, where
        if not outcome.done:
            assert outcome.error == "WriteError", where
            assert rows_of(path) >= rows_committed(whole.trace, k)
        disk.finish(path, expected)


@each_error
@every_or_all
def test_an_error_that_lasts(disk, error, all_of_them):
    """A clear error; nothing half written; all that was committed can be read."""
    expected, whole = disk.reference()
    for k in chosen(whole.trace, error, all_of_them):
        path = disk.new()
        outcome = disk.run(path, fail(k, error))
        kind, name, _ = whole.trace[k - 1]
        where = f"{kind} of {name}, number {k}: {outcome.told()}"
        if not outcome.done:
            assert outcome.error == "WriteError", where
            assert os.strerror(getattr(harness.errno, error)) in outcome.message, where
            if k > begun(whole.trace) + 1:
                assert outcome.resumable, where
        assert rows_of(path) >= rows_committed(whole.trace, k)
        disk.finish(path, expected)


@every_or_all
def test_writes_that_are_cut_short(disk, all_of_them):
    """The system may write less than it was given; that is no error."""
    expected, whole = disk.reference()
    for k in places(whole.trace, all_of_them)[::5]:
        if whole.trace[k - 1][0] == "write" and whole.trace[k - 1][1].endswith(".tmp"):
            path = disk.new()
            assert disk.run(path, {"action": "short", "at": k, "times": 4}).done
            disk.is_right(path, expected)


@each_error
@every_or_all
def test_an_error_while_a_run_is_made_longer(disk, error, all_of_them):
    expected, _ = disk.reference(duration=LONGER)
    trace = extension(disk).trace
    for k in chosen(trace, error, all_of_them):
        path = finished(disk)
        outcome = disk.resume(path, fail(k, error), until=LONGER)
        if not outcome.done:
            assert outcome.error == "WriteError", f"{trace[k - 1]}, number {k}: {outcome.told()}"
        assert rows_of(path) >= 901
        assert disk.resume(path, until=LONGER).done
        disk.is_right(path, expected)


@each_error
def test_an_error_while_a_run_goes_on(disk, error):
    """At every operation of a resume."""
    expected, _ = disk.reference()
    path = disk.new()
    assert disk.run(path, stop_at=3).error == "StoppedError"
    copy = copied(disk, path)
    trace = disk.resume(copy).trace
    for k in chosen(trace, error, False):
        copy = copied(disk, path)
        outcome = disk.resume(copy, fail(k, error))
        if not outcome.done:
            assert outcome.error == "WriteError", outcome.told()
        assert rows_of(copy) >= 451
        disk.finish(copy, expected)


def test_what_is_said_to_be_kept_is_kept(disk):
    """Told to stop while the disk is full, at the end of a run that has committed nothing."""
    expected, whole = disk.reference()
    path = disk.new()
    outcome = disk.run(
        path, fail(begun(whole.trace) + 4, "ENOSPC"), commit_every=1e9, patience=15, stop_after=0.5
    )
    assert outcome.error in ("StoppedError", "WriteError"), outcome.told()
    if "is kept" in outcome.message:
        assert rows_of(path) == 901, outcome.told()
    disk.finish(path, expected)


@pytest.mark.parametrize("at", ["begin", "middle", "end"])
def test_a_stop_ends_the_wait_for_a_full_disk(disk, at):
    expected, whole = disk.reference()
    first = begun(whole.trace)
    number = {"begin": first + 4, "middle": first + 24, "end": first + 60}[at]
    path = disk.new()
    begin = time.monotonic()
    full = fail(number, "ENOSPC")
    outcome = disk.run(path, full, hasty=True, pause=0.1, patience=15, stop_after=0.5)
    assert time.monotonic() - begin < 5.0
    assert outcome.error in ("StoppedError", "WriteError"), outcome.told()
    rows_of(path)
    disk.finish(path, expected)


def test_a_disk_that_is_really_full(disk, small_disk):
    expected, _ = disk.reference()
    path = small_disk / "run.h5"
    # In the way: so much that not even a segment fits, or some, or all but the finished file.
    for kept in (1020, 1000, 900, 800, 700):
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"\0" * 1024 * kept)
        go_on = disk.resume if any(small_disk.glob("run.h5.parts/seg-*")) else disk.run
        outcome = go_on(path)
        assert outcome.error == "WriteError", outcome.told()
        assert "No space left" in outcome.message or "are free" in outcome.message
        assert not list(small_disk.rglob("*.tmp"))
        rows_of(path)
        ballast.unlink()
    shutil.move(small_disk / "run.h5.parts", (moved := disk.new()).with_name("run.h5.parts"))
    assert rows_of(moved) > 0
    disk.finish(moved, expected)


def test_patience_till_there_is_space(disk, small_disk):
    """The run waits, and goes on by itself when somebody has made room."""
    expected, _ = disk.reference()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 1024 * 700)
    path = small_disk / "run.h5"
    waiting = threading.Timer(0.5, ballast.unlink)
    waiting.start()
    begin = time.monotonic()
    outcome = disk.run(path, patience=20.0)
    waiting.join()
    assert outcome.done, outcome.told()
    assert time.monotonic() - begin >= 0.5
    moved = disk.new()
    shutil.move(path, moved)
    disk.is_right(moved, expected)
