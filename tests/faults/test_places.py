"""Folders that are missing, read-only, removed or moved; no output streams; a clock that jumps."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from conftest import LONGER, kill, rows_of

from axon.segments import parts_of

ALL_KINDS = 255


def test_a_missing_folder(disk):
    path = disk.new().parent / "missing" / "run.h5"
    outcome = disk.run(path)
    assert outcome.error == "WriteError" and "there is no folder" in outcome.message
    assert outcome.count == 0
    assert disk.resume(path).error == "RunFileError"


@pytest.mark.parametrize("error", ["EROFS", "EACCES", "EPERM"])
def test_where_nothing_may_be_written(disk, error):
    path = disk.new()
    refused = {"action": "fail", "at": 1, "error": error, "kinds": ALL_KINDS}
    outcome = disk.run(path, refused)
    assert outcome.error == "WriteError", outcome.told()
    assert not outcome.resumable
    assert not list(path.parent.iterdir())


def test_a_run_in_a_folder_that_became_read_only(disk, tmp_path):
    expected, _ = disk.reference()
    path = disk.new()
    assert disk.run(path, kill(40)).signal == 9
    folder = path.parent
    bind = ["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder, folder]
    if os.geteuid() != 0 or any(
        subprocess.run(command, capture_output=True, check=False).returncode for command in bind
    ):
        pytest.skip("mounting a folder read-only needs root's rights")
    try:
        rows = rows_of(path)  # it can be read
        outcome = disk.resume(path)
    finally:
        subprocess.run(["umount", folder], check=True)
    assert rows > 0
    assert outcome.error == "WriteError", outcome.told()
    disk.finish(path, expected)


@pytest.mark.parametrize("block", [0, 3, 6])
@pytest.mark.parametrize("what", ["parts", "folder"])
def test_a_folder_that_is_removed_on_the_way(disk, what, block):
    expected, _ = disk.reference()
    path = disk.new()
    removed = parts_of(path) if what == "parts" else path.parent
    outcome = disk.run(path, remove=str(removed), remove_at=block)
    assert outcome.error == "WriteError", outcome.told()
    assert str(path) in outcome.message
    assert "No such file" in outcome.message or "vanished" in outcome.message
    path.parent.mkdir(exist_ok=True)
    disk.finish(path, expected)


def test_a_finished_run_is_not_lost_with_the_folder_of_a_new_one(disk):
    path = disk.new()
    assert disk.run(path, dtype="float64").done
    before = path.read_bytes()
    outcome = disk.run(path, remove=str(parts_of(path)), remove_at=3, overwrite=True)
    assert outcome.error == "WriteError", outcome.told()
    assert path.read_bytes() == before


def test_a_run_that_was_moved_and_renamed(disk):
    expected, _ = disk.reference()
    long, _ = disk.reference(duration=LONGER)
    path = disk.new()
    assert disk.run(path, kill(40)).signal == 9
    moved = disk.new().with_name("another name")
    for name in ("", ".parts", ".log"):
        if (part := path.with_name(path.name + name)).exists():
            shutil.move(part, moved.with_name(moved.name + name))
    assert disk.resume(moved).done
    moved = moved.rename(disk.new())
    assert disk.resume(moved).done  # there is nothing to do
    copy = disk.new()
    shutil.copy(moved, copy)
    disk.is_right(copy, expected)
    assert disk.resume(moved, until=LONGER).done
    disk.is_right(moved, long)


def test_no_streams_at_all(disk):
    """Nor anything that is written to descriptors that they had."""
    expected, _ = disk.reference()
    path = disk.new()
    outcome = disk.run(path, no_output=True)
    assert outcome.done, outcome.told()
    disk.is_right(path, expected)


def test_a_clock_that_jumps(disk):
    expected, _ = disk.reference()
    path = disk.new()
    outcome = disk.run(path, clock=True, stop_at=4)
    assert outcome.error == "StoppedError", outcome.told()
    outcome = disk.resume(path, clock=True)
    assert outcome.done, outcome.told()
    disk.is_right(path, expected)


def test_a_log_that_can_not_be_written(disk):
    expected, _ = disk.reference()
    path = disk.new()
    log = path.with_name("run.h5.log")
    log.mkdir()
    outcome = disk.run(path)
    assert outcome.done, outcome.told()
    disk.is_right(path, expected)


@pytest.mark.slow
def test_ten_thousand_segments(disk):
    expected, _ = disk.reference(duration=200.0, longest=300)
    path = disk.new()
    outcome = disk.run(path, block=1, duration=200.0, stop_at=10_000 - 1, longest=300)
    assert outcome.error == "StoppedError", outcome.told()
    assert len(list(parts_of(path).glob("seg-*"))) == 10_000
    outcome = disk.resume(path, longest=300)
    assert outcome.done, outcome.told()
    disk.is_right(path, expected)
