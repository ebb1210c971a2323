"""What the tests of this folder have in common: a harness process, and a run to compare with."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import pytest

import axon
from axon.segments import parts_of

HERE = Path(__file__).parent
DURATION = 18.0  # ms: 901 rows, which is three chunks and 133 rows; and 30 spikes
LONGER = 23.0

KINDS = ["open", "write", "truncate", "fsync", "rename", "unlink", "mkdir", "rmdir"]
NEED_SPACE = sum(1 << KINDS.index(kind) for kind in KINDS if kind not in ("unlink", "rmdir"))

OF_THE_JOB = (
    "block", "clock", "commit_seconds", "hasty", "kill_after", "locks", "longest", "no_output",
    "patience", "pause", "remove", "remove_at", "spike_chunk",
)  # fmt: skip
"""Options that tell the harness how a run goes on, and are none of the run's arguments."""

Job = dict[str, Any]


def kill(at: int) -> Job:
    """Kill the process before its operation number `at`."""
    return {"action": "kill", "at": at}


def tear(at: int) -> Job:
    return {"action": "tear", "at": at}


def fail(at: int, error: str, times: int = 2**30) -> Job:
    """Let operations fail, from number `at` on."""
    kinds = 255 if error == "EIO" else NEED_SPACE
    return {"action": "fail", "at": at, "error": error, "times": times, "kinds": kinds}


class Outcome(NamedTuple):
    """What became of a job."""

    signal: int
    count: int
    trace: list[list[str]]
    error: str = ""
    message: str = ""
    resumable: bool = False
    clean: bool = True

    @property
    def done(self) -> bool:
        return not (self.signal or self.error)

    def told(self) -> str:
        return f"signal {self.signal}, {self.error or 'no error'}: {self.message}"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Disk:
    """Folders, and processes that write runs into them."""

    def __init__(self, base: Path, library: Path, seen: Counter[str]) -> None:
        self.base = base
        self.seen = seen
        self._names = itertools.count()
        environment = os.environ | {"LD_PRELOAD": str(library)}
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._harness = subprocess.Popen(
            [sys.executable, HERE / "harness.py", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | threads,
            text=True,
        )
        assert self._harness.stdout.readline() == "[]\n"
        self.runs: dict[str, Any] = {}  # what tests make once and use again

    def close(self) -> None:
        self._harness.stdin.close()
        self._harness.wait(30)
        self._harness.stdout.close()

    def new(self) -> Path:
        """The name of a run, in an empty folder."""
        folder = self.base / str(next(self._names))
        folder.mkdir()
        return folder / "run.h5"

    def at_once(self, *jobs: Job) -> list[Outcome]:
        self._harness.stdin.write(json.dumps(jobs, default=os.fspath) + "\n")
        self._harness.stdin.flush()
        outcomes = [Outcome(**told) for told in json.loads(self._harness.stdout.readline())]
        self.seen["processes"] += len(outcomes)
        for outcome in outcomes:
            self.seen[outcome.error or {0: "done", 9: "killed"}.get(outcome.signal, "?")] += 1
            assert outcome.signal in (0, 9), outcome.told()  # 14: it hangs; 11: a crash
            assert outcome.clean, outcome.told()
        return outcomes

    def run(self, path: Path, fault: Job | None = None, **options: Any) -> Outcome:
        return self.at_once(run(path, fault, **options))[0]

    def resume(self, path: Path, fault: Job | None = None, **options: Any) -> Outcome:
        return self.at_once(resume(path, fault, **options))[0]

    def reference(self, **options: Any) -> tuple[str, Outcome]:
        """The SHA-256 of the file of a run that nothing happens to, and how it was written."""
        key = json.dumps(options, sort_keys=True)
        if key not in self.runs:
            path = self.new()
            outcome = self.run(path, **options)
            assert outcome.done, outcome.told()
            self.runs[key] = digest(path), outcome
        return self.runs[key]

    def finish(self, path: Path, expected: str, **options: Any) -> None:
        """Go on with what is there, or begin if there is nothing; the file must be as expected."""
        if path.exists() or list(parts_of(path).glob("seg-*")):
            of_the_job = {name: options[name] for name in OF_THE_JOB if name in options}
            outcome = self.resume(path, commit_seconds=1e9, **of_the_job)
        else:
            outcome = self.run(path, **{"commit_every": 1e9} | options)
        assert outcome.done, outcome.told()
        self.is_right(path, expected)

    def is_right(self, path: Path, expected: str) -> None:
        """It is the file it should be, and nothing else is left of the run."""
        assert digest(path) == expected
        left = {p.name for p in path.parent.iterdir()} - {f"{path.name}.log"}
        assert left == {path.name}
        shutil.rmtree(path.parent)
        self.seen["identical"] += 1


def copied(disk: Disk, path: Path) -> Path:
    """A copy of a run's folder."""
    copy = disk.new()
    shutil.copytree(path.parent, copy.parent, dirs_exist_ok=True)
    return copy


def run(path: Path, fault: Job | None = None, **options: Any) -> Job:
    """A job that runs the simulation from its beginning."""
    return _job("run", path, fault, {"duration": DURATION} | options)


def resume(path: Path, fault: Job | None = None, **options: Any) -> Job:
    return _job("resume", path, fault, options)


def _job(do: str, path: Path, fault: Job | None, options: Job) -> Job:
    job = {name: options.pop(name) for name in OF_THE_JOB if name in options}
    return job | {"do": do, "path": path, "fault": fault, "options": options}


def places(trace: list[list[str]], all_of_them: bool) -> list[int]:
    """Numbers of the operations at which to let something happen.

    The merge writes one file by many small writes; unless all are asked for, a few of these do.
    """
    if all_of_them:
        return list(range(1, len(trace) + 1))
    chosen = []
    same = 0
    for number, (kind, path, _) in enumerate(trace, 1):
        before = trace[number - 2] if number > 1 else ["", "", ""]
        same = same + 1 if (kind, path) == tuple(before[:2]) and kind == "write" else 0
        last = number == len(trace) or trace[number][0] != "write"
        if same % 25 == 0 or last:
            chosen.append(number)
    return chosen


def rows_of(path: Path) -> int:
    """Rows that can be read; they must be those of an uninterrupted run, and so must the spikes."""
    v, spikes = _expected()
    try:
        opened = axon.open_run(path)
    except axon.RunFileError as error:
        if "there is no run" in str(error):
            return 0
        raise
    with opened as found:
        rows = len(found.v)
        np.testing.assert_array_equal(found.v[:], v[:rows])
        assert len(found.electrodes[:]) == rows
        time = found.spikes["time"]
        np.testing.assert_array_equal(time, spikes["time"][: len(time)])
        upto = rows * harness.DT
        assert np.all(spikes["time"][len(time) :] > upto - 2 * harness.DT)
    return rows


_known: list[tuple[np.ndarray, np.ndarray]] = []


def _expected() -> tuple[np.ndarray, np.ndarray]:
    if not _known:
        whole = harness.simulation().run(LONGER, every=harness.DT)
        _known.append((whole.v[:], whole.spikes[:]))
    return _known[0]


@pytest.fixture(scope="session")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """injector.c, compiled."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the injector works by LD_PRELOAD, on Linux")
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to compile the injector")
    library = tmp_path_factory.mktemp("injector") / "injector.so"
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    command = ["gcc", *flags, HERE / "injector.c", "-o", library, "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return library


@pytest.fixture(scope="session")
def seen() -> Counter[str]:
    """How many scenarios ended how."""
    seen: Counter[str] = Counter()
    yield seen
    if told := os.environ.get("AXON_FAULTS_TOLD"):
        with open(told, "a", encoding="utf-8") as file:
            file.write(json.dumps(seen) + "\n")


@pytest.fixture(scope="session")
def disk_of_session(tmp_path_factory, injector, seen):
    disk = Disk(tmp_path_factory.mktemp("disk"), injector, seen)
    yield disk
    disk.close()


@pytest.fixture
def disk(disk_of_session: Disk, record_property) -> Disk:
    before = disk_of_session.seen.copy()
    yield disk_of_session
    for what, number in (disk_of_session.seen - before).items():
        record_property(what, number)


@pytest.fixture
def small_disk(tmp_path):
    """A file system that holds 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root's rights")
    yield folder
    subprocess.run(["umount", folder], check=True)
