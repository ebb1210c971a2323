"""The command line, interrupted by signals at any time, once or twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import digest

import axon
from axon.segments import parts_of

STUDY = """
title = "An axon to be interrupted"

[axon]
shape = "cylinder"
length = "2 mm"
diameter = 20.0
compartments = 100

[membrane]
model = "hodgkin_huxley"

[[stimuli]]
type = "current_clamp"
at = 0.0
waveform = { shape = "train", amplitude = 2000, start = 0.5, duration = 0.5, interval = 6.0, \
count = 1000 }

[simulation]
duration = 4000.0
dt = 0.01

[record]
every = 0.1
"""
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
STOPPED = 75


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "axon", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process):
    """Its exit code and what it complained of."""
    _, told = process.communicate(timeout=60)
    return process.returncode, told


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def expected(study):
    """The SHA-256 of the whole run's file, and the seconds that it took to make."""
    path = study.with_name("whole.h5")
    process = command("run", study, "-o", path)
    wait_for_begin(process, path)
    begin = time.monotonic()
    assert ended(process) == (0, "")
    return digest(path), time.monotonic() - begin


def wait_for_begin(process, path):
    while not list(parts_of(path).glob("seg-*")):
        assert process.poll() is None, ended(process)
        time.sleep(0.002)


def finish(path, expected):
    code, told = ended(command("resume", path))
    assert code == 0, told
    assert digest(path) == expected
    left = {p.name for p in path.parent.iterdir()}
    assert left == {path.name, f"{path.name}.log"}


def underway(study, path, seconds):
    """A run that has gone on for so long; for less if it would be over, on a machine less busy."""
    while True:
        path.parent.mkdir()
        process = command("run", study, "-o", path)
        wait_for_begin(process, path)
        time.sleep(seconds)
        if process.poll() is None:
            return process
        ended(process)
        shutil.rmtree(path.parent)
        seconds /= 2


fewer_or_more = pytest.mark.parametrize(
    "times", [1, pytest.param(8, marks=pytest.mark.slow)], ids=["once", "often"]
)


@pytest.mark.parametrize("number", SIGNALS)
@fewer_or_more
def test_a_signal_stops_a_run_at_once_and_it_goes_on(tmp_path, study, expected, number, times):
    sha, lasts = expected
    random_ = random.Random(number)
    waited = []
    for k in range(times):
        path = tmp_path / str(k) / "run.h5"
        process = underway(study, path, random_.uniform(0.0, 0.5 * lasts))
        begin = time.monotonic()
        process.send_signal(number)
        code, told = ended(process)
        waited.append(time.monotonic() - begin)
        assert code == STOPPED, told
        assert "Traceback" not in told
        finish(path, sha)
    # A block takes 0.1 s; the rest is for a machine that is busy.
    assert sorted(waited)[times // 2] < 1.0 and max(waited) < 5.0, waited


@fewer_or_more
def test_a_second_signal_ends_it_where_it_is(tmp_path, study, expected, times):
    sha, lasts = expected
    random_ = random.Random(1)
    for k in range(2 * times):
        path = tmp_path / str(k) / "run.h5"
        process = underway(study, path, random_.uniform(0.0, 0.5 * lasts))
        first, second = random_.choice(SIGNALS), random_.choice(SIGNALS)
        process.send_signal(first)
        time.sleep(random_.choice([0.0, 0.001, 0.03]))
        process.send_signal(second)
        code, _ = ended(process)
        # It was through with the first, or the second did what it does by itself.
        assert code in (STOPPED, 130, -second, -first), (first, second, code)
        finish(path, sha)


def test_a_signal_while_it_starts(tmp_path, study, expected):
    """Before there is a run: `run --resume` begins or goes on, whichever it is."""
    sha, _ = expected
    for k, delay in enumerate([0.05, 0.25]):
        path = tmp_path / str(k) / "run.h5"
        path.parent.mkdir()
        process = command("run", study, "-o", path)
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        code, told = ended(process)
        assert code in (STOPPED, -signal.SIGTERM), (code, told)
        code, told = ended(command("run", study, "-o", path, "--resume"))
        assert code == 0, told
        assert digest(path) == sha


def test_a_signal_while_it_ends(tmp_path, study, expected):
    """In the merge or after it: the file is there, or the run can go on."""
    sha, lasts = expected
    for k in range(2):
        path = tmp_path / str(k) / "run.h5"
        path.parent.mkdir()
        process = command("run", study, "-o", path)
        wait_for_begin(process, path)
        time.sleep((0.9 + 0.12 * k) * lasts)
        process.send_signal(signal.SIGTERM)
        code, told = ended(process)
        assert code in (0, STOPPED, -signal.SIGTERM), (code, told)
        finish(path, sha)


def test_a_signal_while_the_disk_is_full(study, expected, small_disk):
    """The run waits for space; told to stop, it does so at once."""
    path = small_disk / "run.h5"
    process = command("run", study, "-o", path)
    wait_for_begin(process, path)
    with pytest.raises(OSError), open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while True:
            ballast.write(b"\0" * 4096)
    assert "trying again" in process.stderr.readline()
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, told = ended(process)
    assert code == STOPPED, told
    assert time.monotonic() - begin < 5.0
    with axon.open_run(path) as run:
        assert "is kept" not in told or len(run.v) == 40_001, told
    (small_disk / "ballast").unlink()
    moved = study.with_name("moved.h5")
    shutil.move(parts_of(path), parts_of(moved))
    code, told = ended(command("resume", moved))
    assert (code, digest(moved)) == (0, expected[0]), told


@pytest.mark.parametrize("closed", ["stdout", "all"])
def test_closed_streams(tmp_path, study, expected, closed):
    sha, _ = expected
    path = tmp_path / "run.h5"
    streams = {"stdout": ">&-", "all": "<&- >&- 2>&-"}[closed]
    line = f'exec "$0" -m axon run "$1" -o "$2" {streams}'
    subprocess.run(["sh", "-c", line, sys.executable, study, path], check=False, timeout=60)
    assert digest(path) == sha


def test_a_reader_that_went_away(tmp_path, study, expected):
    """As in `axon run ... | head -0`."""
    sha, _ = expected
    path = tmp_path / "run.h5"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "axon", "run", study, "-o", path],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(write)
    assert done.returncode == 0, done.stderr
    assert digest(path) == sha


@pytest.mark.slow
def test_a_hundred_kills_of_the_command(tmp_path, study, expected):
    """kill -9 at random, of whatever goes on with it, till the file is there."""
    sha, lasts = expected
    random_ = random.Random(5)
    kills = runs = 0
    while kills < 100:
        path = tmp_path / str(runs) / "run.h5"
        path.parent.mkdir()
        while not path.exists():
            process = command("run", study, "-o", path, "--resume")
            try:
                process.wait(random_.uniform(0.1, 0.6 + lasts))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            code, told = ended(process)
            assert code in (0, -signal.SIGKILL), told
        finish(path, sha)
        runs += 1
