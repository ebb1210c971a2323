"""Scripts for batch systems, run under bash as these do, with stand-ins for all they call."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon import SweepError, jobs
from axon.errors import SimulationError

KINDS = ["slurm", "pbs", "lsf"]

# What a batch system tells the third job of an array.
TOLD = {
    "slurm": {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "77", "SLURM_JOB_ID": "80"},
    "pbs": {"PBS_ARRAY_INDEX": "3", "PBS_JOBID": "77[3].server"},
    "lsf": {"LSB_JOBINDEX": "3", "LSB_JOBID": "77"},
}
REQUEUED = {"slurm": "scontrol requeue 77_3\n", "pbs": "qrerun 77[3].server\n", "lsf": ""}
# That a job's time is over soon: to its shell, or to all its processes.
NOTICE: dict[str, tuple[int, Callable[[int, int], None]]] = {
    "slurm": (signal.SIGUSR1, os.kill),
    "pbs": (signal.SIGUSR1, os.kill),
    "lsf": (signal.SIGUSR2, os.killpg),
}

AXON = """\
#!/usr/bin/env python3
import signal, sys, time
came = []
signal.signal(signal.SIGUSR1, lambda *_: came.append(1))
with open("arguments", "w") as file:
    file.write("\\n".join(sys.argv[1:]))
end = time.monotonic() + 60
while time.monotonic() < end and not came:
    time.sleep(0.01)
time.sleep(0.3)  # for whatever else is sent while it commits
with open("committed", "w") as file:
    file.write(f"told {len(came)}")
sys.exit(75)
"""


# Shares


@pytest.mark.parametrize(
    ("text", "expected"), [("1/1", (1, 1)), ("3/16", (3, 16)), ("016/16", (16, 16))]
)
def test_a_share(text: str, expected: tuple[int, int]) -> None:
    assert jobs.parse_shard(text) == expected


@pytest.mark.parametrize("text", ["", "3", "/", "3/", "/4", "3 / 4", "-1/4", "1/4/2", "a/b", "٣/٤"])
def test_what_is_no_share(text: str) -> None:
    wanted = re.escape(f"--shard {text!r} is no share; write 3/16 for the third of sixteen")
    with pytest.raises(SweepError, match=wanted):
        jobs.parse_shard(text)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "0/0"])
def test_shares_count_from_one(text: str) -> None:
    with pytest.raises(SweepError, match=r"the first of \d is 1/\d, the last"):
        jobs.parse_shard(text)


@given(st.integers(0, 200), st.integers(1, 30))
def test_shares_divide_evenly(n_names: int, n: int) -> None:
    names = [f"p{i}" for i in range(n_names)]
    shares = [jobs.shard(names, i, n) for i in range(1, n + 1)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(list(share) == sorted(share, key=names.index) for share in shares)


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "sge"}, "kind='sge' is not one of slurm, pbs, lsf"),
        ({"shards": 0}, "shards=0 must be a whole number, at least 1"),
        ({"shards": 2.5}, "shards=2.5 must be"),
        ({"cpus": True}, "cpus=True must be"),
        ({"memory": -1}, "memory=-1 must be"),
        ({"walltime": "90s"}, "walltime='90s' is too short: 60 s before its end"),
    ],
)
def test_what_makes_no_sense(changes: dict[str, Any], message: str) -> None:
    arguments = {"kind": "slurm", "study": "study.toml", "folder": "out", "shards": 4} | changes
    with pytest.raises(SweepError, match=re.escape(message)):
        jobs.script(**arguments)


def test_a_time_that_is_none() -> None:
    with pytest.raises(SimulationError, match="walltime='soon' is no span of time"):
        jobs.script("slurm", "study.toml", "out", shards=4, walltime="soon")


# What is asked of the batch system


def directives(script: str) -> list[str]:
    return [line for line in script.splitlines() if re.match("#(SBATCH|PBS|BSUB)", line)]


ASKED: dict[str, Any] = {"shards": 16, "walltime": "1-02:03:04", "cpus": 4, "memory": 8000}


def test_slurm_is_asked() -> None:
    script = jobs.script("slurm", "study.toml", "out", **ASKED)
    assert directives(script) == [
        "#SBATCH --job-name=axon",
        "#SBATCH --array=1-16",
        "#SBATCH --ntasks=1",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:USR1@60",
        "#SBATCH --time=26:03:04",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=8000M",
    ]


def test_pbs_is_asked() -> None:
    script = jobs.script("pbs", "study.toml", "out", **ASKED)
    assert directives(script) == [
        "#PBS -N axon",
        "#PBS -r y",
        "#PBS -j oe",
        "#PBS -J 1-16",
        "#PBS -l select=1:ncpus=4:mem=8000mb",
        "#PBS -l walltime=26:03:04",
    ]


def test_lsf_is_asked() -> None:
    script = jobs.script("lsf", "study.toml", "out", **ASKED)
    assert directives(script) == [
        '#BSUB -J "axon[1-16]"',
        "#BSUB -o axon-%J-%I.log",
        '#BSUB -Q "75"',
        "#BSUB -W 26:03",
        "#BSUB -wt 1",
        "#BSUB -wa USR2",
        "#BSUB -n 4",
        '#BSUB -R "span[hosts=1]"',
        "#BSUB -M 8000MB",
        '#BSUB -R "rusage[mem=8000MB]"',
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_directives_come_first(kind: str) -> None:
    """Batch systems read none that stand below a command."""
    lines = jobs.script(kind, "study.toml", "out", **ASKED).splitlines()
    n = len(directives("\n".join(lines)))
    assert lines[0] == "#!/bin/bash"
    assert lines[1 : 1 + n] == directives("\n".join(lines))


@pytest.mark.parametrize("kind", KINDS)
def test_little_need_be_asked(kind: str) -> None:
    script = jobs.script(kind, "study.toml", "out", shards=1)
    assert not re.search(r"time|cpus|mem|-W|-wt|select|sleep", script)


# Runs


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder in which a job runs, and whose programs stand in for others."""
    for name in ("scontrol", "qrerun"):
        stand_in(tmp_path, name, f'#!/bin/sh\necho "{name} $*" >> "{tmp_path}/requeued"\n')
    return tmp_path


def stand_in(folder: Path, name: str, text: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / name).write_text(text)
    (folder / "bin" / name).chmod(0o755)


def begin(here: Path, kind: str, **options: Any) -> subprocess.Popen[str]:
    """The third of four jobs, as the leader of a process group."""
    (here / "script").write_text(jobs.script(kind, "a study.toml", "out", shards=4, **options))
    path = f"{here}/bin:{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "script"],
        cwd=here,
        env=os.environ | TOLD[kind] | {"PATH": path, "PBS_O_WORKDIR": str(here)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def requeued(here: Path) -> str:
    return (here / "requeued").read_text() if (here / "requeued").exists() else ""


class Running(NamedTuple):
    kind: str
    here: Path
    process: subprocess.Popen[str]

    def ended(self) -> int:
        """Its exit code, once the program has ended in good order, told once."""
        assert self.process.communicate() == ("", None)
        assert (self.here / "committed").read_text() == "told 1"
        return self.process.returncode


@pytest.fixture(params=KINDS)
def running(here: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A job whose program waits to be told."""
    stand_in(here, "axon", AXON)
    process = begin(here, request.param)
    try:
        wait_for(here / "arguments")
        yield Running(request.param, here, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wait_for(file: Path) -> None:
    end = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < end, f"{file} did not come"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_bash_understands_it(kind: str, here: Path) -> None:
    for options in ({}, ASKED | {"shards": 1}):
        text = jobs.script(kind, "study.toml", "out", **({"shards": 2} | options))
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [0, 2, 3, 73])
def test_a_job_that_ends(here: Path, kind: str, code: int) -> None:
    stand_in(here, "axon", f"#!/bin/sh\nexit {code}\n")
    job = begin(here, kind)
    assert job.communicate() == ("", None)
    assert job.returncode == code and requeued(here) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_with_more_to_do(here: Path, kind: str) -> None:
    """By itself: its disk was full, or its own time over."""
    stand_in(here, "axon", "#!/bin/sh\nexit 75\n")
    job = begin(here, kind)
    job.communicate()
    assert job.returncode == 75 and requeued(here) == REQUEUED[kind]


def test_notice_that_its_time_is_over(running: Running) -> None:
    number, send = NOTICE[running.kind]
    send(running.process.pid, number)
    assert running.ended() == 75
    assert requeued(running.here) == REQUEUED[running.kind]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_cancelled(running: Running, number: int) -> None:
    """All its processes may get the signal. The job doesn't come back."""
    os.killpg(running.process.pid, number)
    assert running.ended() == 143
    assert requeued(running.here) == ""


def test_notice_and_then_the_end(running: Running) -> None:
    """What comes while the program still commits isn't passed on to it."""
    number, send = NOTICE[running.kind]
    send(running.process.pid, number)
    while running.process.poll() is None:
        os.killpg(running.process.pid, signal.SIGTERM)
        os.killpg(running.process.pid, signal.SIGINT)
        time.sleep(0.02)
    assert running.ended() in (75, 143)  # as the shell may see the one or the other first


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_is_killed(here: Path, kind: str) -> None:
    stand_in(here, "axon", "#!/bin/sh\nkill -9 $$\n")
    job = begin(here, kind)
    job.communicate()
    assert job.returncode == 137 and requeued(here) == ""


def test_the_notice_that_pbs_does_not_give(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(here, "axon", AXON)
    stand_in(here, "sleep", f'#!/bin/sh\necho "$1" > "{here}/slept"\nexec {here}/bin/pause\n')
    stand_in(here, "pause", "#!/usr/bin/env python3\nimport time\ntime.sleep(1)\n")
    job = begin(here, "pbs", walltime="4h")
    job.communicate()
    assert (here / "slept").read_text() == "14340\n"
    assert job.returncode == 75 and requeued(here) == REQUEUED["pbs"]


def test_the_notice_of_pbs_ends_with_the_job(here: Path) -> None:
    """Else what it holds, the job's output, would stay open for hours."""
    stand_in(here, "axon", "#!/bin/sh\nexit 0\n")
    job = begin(here, "pbs", walltime="4h")
    job.communicate(timeout=60)
    assert job.returncode == 0


def test_a_job_that_pbs_does_not_take_back(here: Path) -> None:
    stand_in(here, "axon", "#!/bin/sh\nexit 75\n")
    stand_in(here, "qrerun", "#!/bin/sh\necho 'qrerun: Unauthorized Request' >&2\nexit 159\n")
    job = begin(here, "pbs")
    told, _ = job.communicate()
    assert job.returncode == 75 and told.endswith("to go on, submit this script again\n")


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_gets_its_arguments(here: Path, kind: str) -> None:
    stand_in(here, "axon", '#!/bin/sh\nprintf "%s\\n" "$@" > arguments\n')
    begin(here, kind).communicate()
    expected = ["sweep", "a study.toml", "-o", "out", "--shard", "3/4"]
    assert (here / "arguments").read_text().splitlines() == expected


def test_one_job_of_pbs_is_no_array(here: Path) -> None:
    stand_in(here, "axon", '#!/bin/sh\necho "$@" > arguments\n')
    text = jobs.script("pbs", "study.toml", "out", shards=1)
    path = f"{here}/bin:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PBS_O_WORKDIR": str(here)}
    subprocess.run(["bash"], input=text, text=True, env=env, check=True)
    assert (here / "arguments").read_text().endswith("--shard 1/1\n")


NASTY = "'; touch pwned; $(touch pwned) `touch pwned` \" \\ \n # ü %s {x} $HOME *"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_given_is_run(here: Path, kind: str) -> None:
    program = here / "bin" / "a program"
    stand_in(here, program.name, '#!/bin/sh\nprintf "%s\\0" "$@" > arguments\n')
    text = jobs.script(
        kind, NASTY, NASTY + "2", shards=4, arguments=["--set", NASTY], program=str(program)
    )
    path = f"{here}/bin:{os.environ['PATH']}"
    env = os.environ | TOLD[kind] | {"PATH": path, "PBS_O_WORKDIR": str(here)}
    subprocess.run(["bash"], input=text, text=True, env=env, cwd=here, check=True)
    given = (here / "arguments").read_text().split("\0")[:-1]
    assert given == ["sweep", NASTY, "-o", NASTY + "2", "--set", NASTY, "--shard", "3/4"]
    assert not (here / "pwned").exists()


def test_the_command_can_be_read_back() -> None:
    text = jobs.script("slurm", "study.toml", "out", shards=4, arguments=["--set", "a b=1"])
    (line,) = (line for line in text.splitlines() if line.startswith("axon sweep"))
    assert shlex.split(line)[:7] == ["axon", "sweep", "study.toml", "-o", "out", "--set", "a b=1"]
