"""A sweep as an array of jobs: what to give to a batch system, and which share each job takes.

The scripts keep the program as a child in the background, for a shell hears signals only while it
waits. Some batch systems signal the shell alone and some every process of a job, and to the program
a second signal means to end at once. So it is made to ignore all of them but SIGUSR1, and the shell
turns the first that comes into that. Exit code 75 then says that there is more to do, and the job
goes back into the queue, unless somebody has cancelled it.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from axon.errors import SweepError
from axon.interruption import seconds

NOTICE_SECONDS = 60  # from when the program is told to stop to the end of a job's time

_Name = TypeVar("_Name")


def parse_shard(text: str) -> tuple[int, int]:
    """Which share of how many, from text such as ``3/16``.

    Returns
    -------
    i, n : int
        With 1 <= i <= n.

    Raises
    ------
    SweepError
        If it is anything else.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if not found:
        raise SweepError(f"--shard {text!r} is no share; write 3/16 for the third of sixteen")
    i, n = int(found[1]), int(found[2])
    if not 1 <= i <= n:
        raise SweepError(f"--shard {text!r}: the first of {n} is 1/{n}, the last {n}/{n}")
    return i, n


def shard(names: Sequence[_Name], i: int, n: int) -> Sequence[_Name]:
    """The `i`-th of `n` shares: every n-th name from the i-th on, counted from 1.

    Neighbours go to different shares, and with them, for example, all the long axons of a range.
    """
    return names[i - 1 :: n]


def script(
    kind: str,
    study: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    shards: int,
    walltime: float | str | None = None,
    cpus: int | None = None,
    memory: int | None = None,
    arguments: Sequence[str] = (),
    program: str = "axon",
) -> str:
    """A script for a batch system that runs a sweep as an array of jobs.

    Parameters
    ----------
    kind : str
        ``slurm``, ``pbs`` (OpenPBS and PBS Professional) or ``lsf``.
    study : str or path
        The sweep's study.
    folder : str or path
        Where its results go. All jobs share it.
    shards : int
        How many jobs; job i takes the i-th share of the points.
    walltime : float or str, optional
        How long a job may take, in s, or as text such as ``"4h"`` or ``"1-12:00:00"``. A minute
        before, the program is told to stop, and what is left is done by the same job, later.
    cpus : int, optional
        Processors of one machine, for each job.
    memory : int, optional
        Memory of each job, in MB.
    arguments : sequence of str, optional
        More of the command's arguments.
    program : str, optional
        The command, or its path.

    Returns
    -------
    str
        To be submitted by ``sbatch FILE``, ``qsub FILE`` or ``bsub < FILE``.

    Raises
    ------
    SweepError, SimulationError
        If there is no such batch system, or a number makes no sense.
    """
    if kind not in _SYSTEMS:
        raise SweepError(f"kind={kind!r} is not one of {', '.join(_SYSTEMS)}")
    for name, value in {"shards": shards, "cpus": cpus, "memory": memory}.items():
        if value is not None and not (type(value) is int and value >= 1):
            raise SweepError(f"{name}={value!r} must be a whole number, at least 1")
    limit = None if walltime is None else math.floor(seconds(walltime, "walltime"))
    if limit is not None and limit < 2 * NOTICE_SECONDS:
        raise SweepError(
            f"walltime={walltime!r} is too short: {NOTICE_SECONDS} s before its end the program is "
            "told to stop"
        )
    system = _SYSTEMS[kind](shards, limit, cpus, memory)
    command = shlex.join([program, "sweep", os.fspath(study), "-o", os.fspath(folder), *arguments])
    return _SCRIPT.format(
        directives="\n".join(system.directives),
        before="".join(f"{line}\n" for line in system.before),
        command=f'{command} --shard "{system.number}/{shards}"',
        after="".join(f"{line}\n" for line in system.after),
        requeue=system.requeue,
    )


_SCRIPT = """\
#!/bin/bash
{directives}

{before}trap '' TERM INT USR2 # which the program then ignores
{command} &
program=$!

stop() {{ # it, for whichever signal, and once
    trap '' TERM INT USR1 USR2
    kill -USR1 "$program"
}}
cancelled=
trap stop USR1 USR2
trap 'cancelled=1; stop' TERM INT

wait "$program"
code=$?
if [ "$code" -gt 128 ]; then # a signal has ended the waiting, or else the program
    wait "$program"
    code=$?
fi
{after}if [ "$code" -eq 75 ]; then # there is more to do
    if [ -n "$cancelled" ]; then
        code=143 # but not by this job
    else
        {requeue}
    fi
fi
exit "$code"
"""


class _System(NamedTuple):
    """What one batch system wants."""

    directives: list[str]
    number: str
    """Of the job in the array, from 1."""
    requeue: str
    before: Sequence[str] = ()
    after: Sequence[str] = ()


def _slurm(shards: int, limit: int | None, cpus: int | None, memory: int | None) -> _System:
    directives = [
        "#SBATCH --job-name=axon",
        f"#SBATCH --array=1-{shards}",
        "#SBATCH --ntasks=1",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        f"#SBATCH --signal=B:USR1@{NOTICE_SECONDS}",
    ]
    if limit is not None:
        directives.append(f"#SBATCH --time={_clock(limit)}")
    if cpus is not None:
        directives.append(f"#SBATCH --cpus-per-task={cpus}")
    if memory is not None:
        directives.append(f"#SBATCH --mem={memory}M")
    requeue = 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"'
    return _System(directives, "$SLURM_ARRAY_TASK_ID", requeue)


def _pbs(shards: int, limit: int | None, cpus: int | None, memory: int | None) -> _System:
    """It gives no notice, so the shell does; and few may put a job back into its queue."""
    directives = ["#PBS -N axon", "#PBS -r y", "#PBS -j oe"]
    if shards > 1:  # it has no arrays of one
        directives.append(f"#PBS -J 1-{shards}")
    chunk = "" if cpus is None else f":ncpus={cpus}"
    chunk += "" if memory is None else f":mem={memory}mb"
    if chunk:
        directives.append(f"#PBS -l select=1{chunk}")
    before, after = ['cd "$PBS_O_WORKDIR" || exit'], []
    if limit is not None:
        directives.append(f"#PBS -l walltime={_clock(limit)}")
        wait = f"sleep {limit - NOTICE_SECONDS} & wait $!; kill -USR1 $$"
        before += [f"(trap 'kill $!; exit' TERM; {wait}) &", "timer=$!"]
        after += ['kill "$timer" 2> /dev/null']
    requeue = 'qrerun "$PBS_JOBID" || echo "to go on, submit this script again" >&2'
    return _System(directives, "${PBS_ARRAY_INDEX:-1}", requeue, before, after)


def _lsf(shards: int, limit: int | None, cpus: int | None, memory: int | None) -> _System:
    """All processes of a job get its signals, so the notice is one that the program ignores."""
    directives = [f'#BSUB -J "axon[1-{shards}]"', "#BSUB -o axon-%J-%I.log", '#BSUB -Q "75"']
    if limit is not None:
        minutes = limit // 60
        directives += [
            f"#BSUB -W {minutes // 60}:{minutes % 60:02}",
            f"#BSUB -wt {math.ceil(NOTICE_SECONDS / 60)}",
            "#BSUB -wa USR2",
        ]
    if cpus is not None:
        directives += [f"#BSUB -n {cpus}", '#BSUB -R "span[hosts=1]"']
    if memory is not None:
        directives += [f"#BSUB -M {memory}MB", f'#BSUB -R "rusage[mem={memory}MB]"']
    return _System(directives, "$LSB_JOBINDEX", ": # it does so by itself")


def _clock(limit: int) -> str:
    return f"{limit // 3600:02}:{limit // 60 % 60:02}:{limit % 60:02}"


_SYSTEMS = {"slurm": _slurm, "pbs": _pbs, "lsf": _lsf}
