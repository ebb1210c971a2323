"""Sweeps that are killed, again and again, with all who work for them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import axon

TESTS = Path(__file__).parents[1]
POINTS = 60
SLOW = ("dask", "mpi")  # to begin
SCRIPT = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import points
import axon
from axon import ranges

if __name__ == "__main__":
    grid = ranges.grid({{"k": list(range({POINTS})), "seconds": [float(sys.argv[3])]}})
    workers = None if sys.argv[2] == "mpi" else 2
    axon.sweep(points.counted, grid, output=sys.argv[1], engine=sys.argv[2], workers=workers)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AXON_TEST_CALLS", str(tmp_path / "calls"))
    Path("sweep.py").write_text(SCRIPT, "utf-8")
    return tmp_path


def calls() -> Counter[int]:
    path = Path("calls")
    return Counter(map(int, path.read_text("utf-8").split())) if path.exists() else Counter()


def done() -> set[int]:
    """Points that have an answer."""
    if not Path("out/sweep.json").exists():
        return set()
    sweep = axon.open_sweep("out")
    return {k for k, answer in enumerate(sweep.answers) if answer is not None}


def children(of: int) -> list[int]:
    """Processes that a process has begun, directly or not."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            found.append((int(entry.name), parent))
    mine, more = {of}, True
    while more:
        more = {pid for pid, parent in found if parent in mine} - mine
        mine |= more
    return sorted(mine - {of})


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", "processes", "dask", "mpi"])
@pytest.mark.parametrize("whom", ["all", "worker"])
def test_killed_at_random_it_ends_with_all_answers_and_nothing_done_twice(
    engine: str, whom: str
) -> None:
    if (engine, whom) == ("threads", "worker"):
        pytest.skip("threads die with all the others")
    command = [sys.executable, "sweep.py", "out", engine, "0.4" if engine in SLOW else "0.1"]
    if engine == "dask":
        pytest.importorskip("distributed")
    if engine == "mpi":  # which ends all if one dies
        pytest.importorskip("mpi4py")
        folder = os.path.dirname(sys.executable)
        mpirun = shutil.which("mpirun", path=os.pathsep.join([folder, os.environ["PATH"]]))
        if mpirun is None:
            pytest.skip("there is no mpirun")
        start = [mpirun, "--oversubscribe", "--allow-run-as-root", "-n", "3"]
        command = [*start, sys.executable, "-m", "mpi4py.futures", *command[1:]]
    chance = random.Random(f"{engine} {whom}")
    kills = 0
    for _ in range(60):
        answered, before = done(), calls()
        process = subprocess.Popen(command, start_new_session=True)
        deadline = time.monotonic() + 120.0
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(chance.uniform(0.3, 1.2) * (4.0 if engine in SLOW else 1.0))
            victims = [process.pid] if whom == "all" else children(process.pid)
            if process.poll() is None and victims and chance.random() < 0.7:
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills += 1
        assert process.poll() is not None
        if whom == "all":
            with_parent = time.monotonic() + 5.0  # workers end with who began them
            while time.monotonic() < with_parent and _alive(process.pid):
                time.sleep(0.05)
            assert not _alive(process.pid)
        for k in answered:
            assert calls()[k] == before[k], f"point {k} was done, and was done again"
        if process.returncode == 0:
            break
    assert kills > 2
    sweep = axon.open_sweep("out")
    assert not sweep.failures
    assert sweep.answers == [float(k * k) for k in range(POINTS)]


def _alive(session: int) -> bool:
    """Whether a process of this session is there yet."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                return True
    return False
