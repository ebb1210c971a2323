"""Two writers of one run at once, with locks and without."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import LONGER, copied, resume, rows_of, run

few_or_many = pytest.mark.parametrize(
    "times", [6, pytest.param(60, marks=pytest.mark.slow)], ids=["few", "many"]
)


@pytest.fixture(scope="session")
def stopped(disk_of_session):
    """A run that has come to its third block."""
    path = disk_of_session.new()
    assert disk_of_session.run(path, stop_at=3).error == "StoppedError"
    return path


@pytest.mark.parametrize("how", ["run", "resume"])
def test_with_locks_the_second_is_refused(disk, stopped, how):
    expected, _ = disk.reference()
    path = copied(disk, stopped) if how == "resume" else disk.new()
    job = resume if how == "resume" else run
    outcomes = disk.at_once(*[job(path, pause=0.15) for _ in range(2)])
    assert sorted(outcome.done for outcome in outcomes) == [False, True]
    (refused,) = [outcome for outcome in outcomes if not outcome.done]
    assert refused.error == "WriteError"
    assert "another process is writing" in refused.message
    disk.is_right(path, expected)


def test_with_locks_a_killed_writer_does_not_keep_the_lock(disk, stopped):
    expected, _ = disk.reference()
    path = copied(disk, stopped)
    assert disk.resume(path, pause=0.2, kill_after=0.1).signal == 9
    disk.finish(path, expected)


@few_or_many
def test_without_locks_two_that_go_on_make_one_file(disk, stopped, times):
    expected, _ = disk.reference()
    random_ = random.Random(3)
    for _ in range(times):
        path = copied(disk, stopped)
        jobs = [
            resume(path, locks=False, hasty=True, pause=random_.choice([0.0, 0.005, 0.02]))
            for _ in range(2)
        ]
        outcomes = disk.at_once(*jobs)
        assert all(outcome.done for outcome in outcomes), [o.told() for o in outcomes]
        disk.is_right(path, expected)


@few_or_many
def test_without_locks_and_one_or_both_killed(disk, stopped, times):
    expected, _ = disk.reference()
    random_ = random.Random(4)
    for k in range(times):
        path = copied(disk, stopped)
        jobs = [
            resume(
                path,
                locks=False,
                hasty=True,
                pause=random_.choice([0.0, 0.005, 0.02]),
                kill_after=random_.uniform(0.0, 0.15) if n <= k % 2 else None,
            )
            for n in range(2)
        ]
        outcomes = disk.at_once(*jobs)
        assert all(o.done or o.signal for o in outcomes), [o.told() for o in outcomes]
        rows_of(path)
        disk.finish(path, expected)


@few_or_many
@pytest.mark.parametrize("resumes", [False, True], ids=["run", "resume=True"])
def test_without_locks_two_that_begin(disk, times, resumes):
    """One may be told that it can't write; what is left is right, or becomes so."""
    expected, _ = disk.reference()
    random_ = random.Random(5)
    for _ in range(times):
        path = disk.new()
        jobs = [
            run(
                path,
                locks=False,
                hasty=True,
                pause=random_.choice([0.0, 0.005, 0.02]),
                resume=resumes,
            )
            for _ in range(2)
        ]
        outcomes = disk.at_once(*jobs)
        told = [outcome.told() for outcome in outcomes]
        assert any(outcome.done for outcome in outcomes), told
        assert resumes <= all(outcome.done for outcome in outcomes), told
        assert all(o.done or o.error == "WriteError" for o in outcomes), told
        rows_of(path)
        disk.finish(path, expected)


@few_or_many
def test_a_run_that_goes_on_can_be_read_at_any_time(disk, times):
    """Also while its file takes the place of the segments, and while it becomes longer."""
    expected, _ = disk.reference(duration=LONGER)
    for k in range(times):
        path = disk.new()
        pause = 0.004 * (k % 3)
        jobs = [run(path, hasty=True, pause=pause), resume(path, pause=pause, until=LONGER)]
        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(lambda jobs=jobs: [disk.at_once(job)[0] for job in jobs])
            rows = 0
            while not going.done():
                before, rows = rows, rows_of(path)
                assert rows >= before
        assert all(outcome.done for outcome in going.result())
        disk.is_right(path, expected)


def test_a_finished_run_is_not_touched_by_a_late_writer(disk, stopped):
    """A second one that was far behind, and without a lock, finds the file there."""
    expected, _ = disk.reference()
    path = copied(disk, stopped)
    first, late = disk.at_once(
        resume(path, locks=False), resume(path, locks=False, block=20, pause=0.03)
    )
    assert first.done and late.done, [first.told(), late.told()]
    disk.is_right(path, expected)
