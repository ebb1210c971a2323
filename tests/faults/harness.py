"""Runs simulations in processes forked from this one, and lets their disk fail.

It is started with injector.c in LD_PRELOAD. A line of standard input is a JSON list of jobs that
are done at once, a process each; a line of standard output is a list of what became of them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import h5py  # noqa: F401  forked children would each load it

import axon
from axon import equations, restart, runfile, segments, storage

LENGTH = "2 mm"
DT = 0.02  # ms
BLOCK = 150  # steps; no divisor of a chunk's rows
LONGEST = 20  # seconds till a job counts as hanging
ACTIONS = {"kill": 1, "tear": 2, "fail": 3, "short": 4}

Job = dict[str, Any]


def simulation() -> axon.Simulation:
    """A short axon with a pulse every 5 ms."""
    pulses = axon.train(2000.0, 0.5, 0.5, interval=6.0, count=20)  # nA
    return axon.Simulation(
        axon.Axon.cylinder(LENGTH, diameter=20.0, dx=200.0),
        axon.models.hodgkin_huxley(),
        stimuli=[axon.CurrentClamp(0.0, pulses)],
        dt=DT,
    )


class Injector:
    """injector.c, from Python."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        self.library.injector_arm.restype = ctypes.c_void_p
        self.library.injector_trace.restype = ctypes.c_char_p
        for name in ("count", "trace", "free"):
            getattr(self.library, f"injector_{name}").argtypes = [ctypes.c_void_p]

    def arm(self, folder: str, fault: dict[str, Any] | None) -> int:
        chosen = fault or {}
        return self.library.injector_arm(
            os.fsencode(folder),
            ACTIONS.get(chosen.get("action", ""), 0),
            chosen.get("at", 0),
            chosen.get("times", 2**30),
            getattr(errno, chosen.get("error", "EIO")),
            chosen.get("kinds", 255),
        )


def act(sim: axon.Simulation, job: Job) -> None:
    """Do what a job says."""
    path, options = job["path"], dict(job["options"])
    if (stop_at := options.pop("stop_at", None)) is not None:
        asked = iter(range(10**9))
        options["stop"] = lambda: "enough" if next(asked) >= stop_at else ""
    blocks = iter(range(10**9))

    def between(done: float, t: float) -> None:
        time.sleep(job.get("pause", 0.0))
        if next(blocks) == job.get("remove_at"):
            shutil.rmtree(job["remove"])

    if "electrodes" in options:
        options["electrodes"] = [axon.PointSource(*at) for at in options["electrodes"]]
    options["progress"] = between
    if job["do"] == "run":
        options = {"commit_every": 0.0, "every": DT} | options
        sim.run(options.pop("duration"), output=path, **options)
    else:
        axon.resume(path, **options)


def patch(job: Job) -> None:
    """Small blocks, a commit after each, and little patience."""
    equations.MAX_BLOCK_STEPS = job.get("block", BLOCK)
    equations.FIRST_BLOCK = equations.BLOCK_SECONDS = 10**9
    runfile.LENGTH = job.get("spike_chunk", runfile.LENGTH)
    segments._FIRST_WAIT = 0.002
    storage.PATIENCE = job.get("patience", 0.0)
    restart.take_on.__kwdefaults__["commit_seconds"] = job.get("commit_seconds", 0.0)

    if not job.get("hasty"):
        real = storage.RunWriter.state

        def state(self: storage.RunWriter, get_state: Any) -> None:
            # One thing at a time, so that operations come in the same order whenever this runs.
            real(self, get_state)
            while self._committing.is_set():
                time.sleep(2e-4)

        storage.RunWriter.state = state

    if job.get("locks") is False:

        def no_locks(file: int, how: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        fcntl.flock = no_locks
    if job.get("clock"):
        real_time, real_now = time.time, storage.datetime.now
        jumps = iter([*range(-5, 5), *[0] * 10**6])

        class Jumping(storage.datetime):
            @classmethod
            def now(cls, tz=None):
                return real_now(tz) + timedelta(days=1000 * next(jumps))

        storage.datetime = Jumping
        time.time = lambda: real_time() + 1e8 * next(jumps)


def child(sim: axon.Simulation, job: Job, out: int) -> None:
    told: dict[str, Any] = {}
    try:
        signal.alarm(job.get("longest", LONGEST))
        if job.get("no_output"):
            for stream in (0, 1, 2):
                os.close(stream)
            sys.stdin = sys.stdout = sys.stderr = None
        patch(job)
        act(sim, job)
    except BaseException as error:
        told = {
            "error": type(error).__name__,
            "message": str(error),
            "resumable": getattr(error, "resumable", False),
            "clean": isinstance(error, axon.AxonError),
        }
    os.write(out, json.dumps(told).encode())
    os._exit(0)


def start(sim: axon.Simulation, injector: Injector, job: Job) -> tuple[int, int, int]:
    read, write = os.pipe()
    record = injector.arm(os.path.dirname(job["path"]), job.get("fault"))
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(sim, job, write)
    injector.library.injector_disarm()
    os.close(write)
    return pid, read, record


def end(injector: Injector, pid: int, read: int, record: int, kill_after: float | None) -> Job:
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(read, "rb") as pipe:
        told = json.loads(pipe.read() or b"{}")
    _, status = os.waitpid(pid, 0)
    told["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    told["count"] = injector.library.injector_count(record)
    told["trace"] = [
        line.split("\t") for line in injector.library.injector_trace(record).decode().splitlines()
    ]
    injector.library.injector_free(record)
    return told


def main() -> None:
    injector = Injector(sys.argv[1])
    sim = simulation()
    warm = tempfile.mkdtemp()
    sim.run(1.0, output=Path(warm) / "run.h5")
    shutil.rmtree(warm)
    print("[]", flush=True)
    for line in sys.stdin:
        jobs = json.loads(line)
        begun = [start(sim, injector, job) for job in jobs]
        ended = [
            end(injector, *one, job.get("kill_after")) for one, job in zip(begun, jobs, strict=True)
        ]
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
