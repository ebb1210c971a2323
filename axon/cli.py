"""The command line, ``axon COMMAND ...``; docs/command-line.md describes it.

Each command imports what it needs: asking for help must not wait for NumPy.
"""

from __future__ import annotations

import argparse
import inspect
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from axon import __version__
from axon.errors import (
    AxonError,
    DivergedError,
    MissingExtraError,
    NoSpikeError,
    RunFileError,
    StoppedError,
    WriteError,
)

if TYPE_CHECKING:
    from axon.analysis import ActionPotential, Velocity
    from axon.answers import Plan
    from axon.equations import Progress
    from axon.interruption import Interruption
    from axon.runs import Run
    from axon.sources import Source
    from axon.study import Study
    from axon.sweeps import Foreseen, Status
    from axon.units import QuantityLike


class Exit(IntEnum):
    """Exit codes; those that sysexits.h knows are the same there."""

    def __new__(cls, code: int, meaning: str) -> Exit:
        exit = int.__new__(cls, code)
        exit._value_ = code
        exit.meaning = meaning
        return exit

    meaning: str

    DONE = 0, "done"
    BAD_INPUT = 2, "a study or an argument is wrong"
    DIVERGED = 3, "the membrane potential ran away; the message tells where and when"
    SOME_FAILED = 4, "a sweep is done, but for points that failed"
    CANNOT_READ = 66, "a run file is missing or damaged"
    NO_PACKAGE = 69, "an optional package is missing"
    CANNOT_WRITE = 73, "the output is there already, or cannot be written"
    STOPPED = 75, "a run or a sweep was interrupted, or the disk is full, and can go on"
    INTERRUPTED = 130, "another command was interrupted"


# The first that an error is an instance of tells its exit code.
_EXITS: dict[type[AxonError], Exit] = {
    DivergedError: Exit.DIVERGED,
    StoppedError: Exit.STOPPED,
    RunFileError: Exit.CANNOT_READ,
    MissingExtraError: Exit.NO_PACKAGE,
    WriteError: Exit.CANNOT_WRITE,
    AxonError: Exit.BAD_INPUT,
}


# Kinds of pictures, and the options that have a meaning for each.
_KINDS = {
    "overview": ("positions", "way"),
    "space-time": ("way",),
    "traces": ("positions", "way"),
    "waterfall": ("positions", "way"),
    "snapshots": ("times", "way"),
    "spikes": ("way",),
    "velocity": ("window", "way"),
    "extracellular": ("electrode", "sigma"),
    "animation": ("start", "stop", "way"),
    "tree": ("colour", "time", "view"),
    "tree-animation": ("start", "stop", "view"),
    "membrane-currents": ("at", "start", "stop"),
    "excitability": ("at",),
}

_MOST_FAILURES = 10  # of a sweep that are told

_DRAWN = {"strength_duration": "strength_duration", "recovery_cycle": "recovery"}
"""Which answers there are pictures of, and their functions in `axon.plots`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line, without the program's name; by default those of this process.

    Returns
    -------
    int
        Exit code; see ``axon --help``.

    Raises
    ------
    SystemExit
        With code 2 if the arguments make no sense, 0 if they ask for help.
    """
    options = argparse.Namespace(name="")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # which may know no µ
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _parser().parse_args(arguments, options)
            done = options.command(options)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:  # as in `axon studies | head`: the reader has seen enough
        _drop_output()
        return Exit.DONE
    except AxonError as error:
        _complain(options.name, error)
        if isinstance(error, WriteError) and error.resumable:
            again = "axon resume" if options.name in ("run", "resume") else "the same command"
            _complain(options.name, f"go on with it by {again}, when there is room")
            return Exit.STOPPED
        return next(code for kind, code in _EXITS.items() if isinstance(error, kind))
    except MemoryError as error:
        _complain(options.name, f"not enough memory: {error}; cut the axon into fewer compartments")
        return Exit.BAD_INPUT
    except OSError as error:
        _drop_output()
        _complain(options.name, f"cannot write: {error}")
        return Exit.CANNOT_WRITE
    except KeyboardInterrupt:
        _complain(options.name, "interrupted")
        resumable = ("run", "resume", "sweep")
        return Exit.STOPPED if options.name in resumable else Exit.INTERRUPTED
    return done or Exit.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="axon",
        description="Propagation of impulses along axons without myelin.",
        epilog="exit codes:\n" + "\n".join(f"  {code:>3}  {code.meaning}" for code in Exit),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"axon {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        function: Callable[[argparse.Namespace], Exit | None], name: str, help: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        added.set_defaults(command=function, name=name)
        return added

    run = command(_run, "run", "run a study and write its field to a file")
    run.add_argument("study", metavar="STUDY", help="a TOML file, or the name of a built-in study")
    run.add_argument("-o", "--output", metavar="OUT", help="by default NAME.h5 in this folder")
    there = run.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    there.add_argument(
        "--resume", action="store_true", help="go on with OUT if it is there, and the same run"
    )
    run.add_argument(
        "--dry-run", action="store_true", help="tell what it will take, and write nothing"
    )
    resume = command(_resume, "resume", "go on with a run that was interrupted, or make it longer")
    resume.add_argument("file", metavar="OUT")
    resume.add_argument(
        "--until", metavar="T", type=_quantity, help='a later end: ms, or for instance "2 s"'
    )
    for parser_of_run in (run, resume):
        parser_of_run.add_argument(
            "--stop-after",
            metavar="TIME",
            help="of the clock: then commit and exit with 75; for instance 3h50m",
        )

    info = command(_info, "info", "tell what is in a run file, finished or not")
    info.add_argument("file", metavar="OUT")
    info.add_argument("--json", action="store_true", help="as JSON, for programs")

    plot = command(_plot, "plot", "draw a run: field and traces, or what --kind says")
    plot.set_defaults(refuse=plot.error)
    plot.add_argument("file", metavar="OUT")
    plot.add_argument(
        "-o",
        "--output",
        metavar="PNG",
        type=Path,
        help="by default OUT, or OUT-KIND, with the suffix .png; .pdf and .svg will do as well. Of "
        "an animation .gif, or .mp4",
    )
    plot.add_argument("--kind", choices=_KINDS, default="overview", help="of picture")
    plot.add_argument(
        "--positions",
        metavar="X",
        nargs="+",
        type=_position,
        help='of traces and the waterfall: µm, or for instance "25 mm"; on an axon that branches '
        'also BRANCH:X, such as "3:1 mm"',
    )
    plot.add_argument(
        "--way",
        metavar=("FROM", "TO"),
        nargs=2,
        type=_position,
        help="on an axon that branches: by default from the root to the farthest tip",
    )
    plot.add_argument(
        "--times", metavar="T", nargs="+", type=_quantity, help='of snapshots: ms, or "2 s"'
    )
    plot.add_argument(
        "--window", metavar="LENGTH", type=_quantity, help="over which a velocity is fitted: µm"
    )
    plot.add_argument(
        "--electrode",
        metavar=("X", "Y", "Z"),
        nargs=3,
        action="append",
        type=_quantity,
        help="where one is that records the extracellular potential: µm; may be given again",
    )
    plot.add_argument("--sigma", type=_quantity, help="conductivity of the tissue there: S/m")
    plot.add_argument(
        "--at", metavar="X", type=_position, help="where the membrane is looked at: µm; half way"
    )
    plot.add_argument(
        "--colour", metavar="WHAT", help="of a tree: arrival, failure, or potential at a --time"
    )
    plot.add_argument("--time", metavar="T", type=_quantity, help="of a tree's potential: ms")
    plot.add_argument("--view", help="of a tree: xy, xz, yz, 3d or dendrogram")
    when = "of an animation and of currents: ms"
    plot.add_argument("--start", metavar="T", type=_quantity, help=when)
    plot.add_argument("--stop", metavar="T", type=_quantity, help=when)

    report = command(_report, "report", "tell the story of a run's impulse, with its numbers")
    report.add_argument("file", metavar="OUT")
    report.add_argument(
        "--at",
        metavar="X",
        type=_position,
        help='where it is looked at closely: µm, or for instance "25 mm" or, on an axon that '
        "branches, BRANCH:X; by default half way",
    )
    form = report.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON, for programs")
    form.add_argument("--html", metavar="FILE", type=Path, help="as a page with figures")

    ask = command(_ask, "ask", "ask a question of a study that takes many runs: a threshold, say")
    ask.add_argument("study", metavar="STUDY", help="a TOML file, or the name of a built-in study")
    ask.add_argument("question", metavar="QUESTION", help="threshold, recovery_cycle, and so on")
    ask.add_argument(
        "arguments",
        metavar="KEY=VALUE",
        nargs="*",
        help='of the question, for instance tolerance=0.001 "at=20 mm" "durations=[0.1, 1]"',
    )
    ask.add_argument("--json", action="store_true", help="as JSON, for programs")
    ask.add_argument(
        "--plot", metavar="PNG", type=Path, help=f"draw the answer to {' or '.join(_DRAWN)}"
    )
    ask.set_defaults(refuse=ask.error)
    sweep = command(_sweep, "sweep", "run a study, or ask its question, at every point it names")
    sweep.add_argument("study", metavar="STUDY", help="a TOML file with [[sweep.axes]]")
    sweep.add_argument("-o", "--output", metavar="FOLDER", help="by default NAME-sweep, here")
    sweep.add_argument("--keep-runs", action="store_true", help="as files, a run file a point")
    doing = sweep.add_mutually_exclusive_group()
    doing.add_argument("--status", action="store_true", help="tell how far it is, and do nothing")
    doing.add_argument("--dry-run", action="store_true", help="tell what it will take")
    doing.add_argument(
        "--job-script", choices=("slurm", "pbs", "lsf"), help="print one for a job array"
    )
    sweep.add_argument("--retry-failed", action="store_true", help="try points again that failed")
    sweep.add_argument(
        "--engine",
        choices=("local", "threads", "processes", "dask", "mpi"),
        default="local",
        help="who computes: this machine, a Dask cluster, or the processes of an MPI job",
    )
    sweep.add_argument("--workers", metavar="N", type=int, help="by default one a processor")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, or its file")
    sweep.add_argument("--shard", metavar="I/N", help="do every N-th point only, from the I-th on")
    sweep.add_argument("--time-limit", metavar="TIME", help="of a point, for instance 10m")
    sweep.add_argument("--table", metavar="FILE", type=Path, help="write it: .csv or .parquet")
    sweep.add_argument("--plot", metavar="PNG", type=Path, help="draw a column of the table")
    sweep.add_argument("--quantity", metavar="NAME", help="of the column; the first by default")
    sweep.add_argument("--json", action="store_true", help="tell it as JSON, for programs")
    sweep.add_argument(
        "--jobs", metavar="N", type=int, default=16, help="of the array that --job-script makes"
    )
    sweep.add_argument("--walltime", metavar="TIME", help="of a job: for instance 4h")
    sweep.add_argument("--cpus", metavar="N", type=int, help="of a job")
    sweep.add_argument("--memory", metavar="MB", type=int, help="of a job")
    sweep.add_argument(
        "--stop-after", metavar="TIME", help="of the clock: then stop and exit with 75"
    )
    for parser_of_study in (run, ask, sweep):
        parser_of_study.add_argument(
            "--set",
            dest="changes",
            metavar="KEY=VALUE",
            nargs="+",
            action="extend",
            default=[],
            help='change the study, for instance simulation.dt=0.01 "axon.length=50 mm"',
        )

    studies = command(_studies, "studies", "list the built-in studies, or print one")
    studies.add_argument("study", metavar="NAME", nargs="?", help="print this one's TOML")

    command(_models, "models", "list the membrane models")
    return parser


def _quantity(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _position(text: str) -> Any:
    branch, colon, along = text.rpartition(":")
    if not colon:
        return _quantity(text)
    return (int(branch) if branch.isdecimal() else branch), _quantity(along)


# Commands


def _run(options: argparse.Namespace) -> None:
    with _stopping(options) as stop:
        from axon import study

        chosen = study.load(options.study, dict(map(study.parse_change, options.changes)))
        output = options.output or f"{chosen.name}.h5"
        if options.dry_run:
            _print_table(_foreseen(chosen, output))
            return
        if os.path.exists(output) and not (options.overwrite or options.resume):
            raise WriteError(
                f"{output} is there already; name another with -o, or give --overwrite or --resume"
            )
        given = {"overwrite": options.overwrite, "resume": options.resume}
        _show(lambda progress: chosen.run(output=output, stop=stop, progress=progress, **given))


def _resume(options: argparse.Namespace) -> None:
    with _stopping(options) as stop:
        from axon.restart import resume

        _show(
            lambda progress: resume(options.file, until=options.until, stop=stop, progress=progress)
        )


def _stopping(options: argparse.Namespace) -> Interruption:
    """What commits a run and ends it: signals, and the time that it was given."""
    from axon.interruption import SIGNALS, Interruption

    return Interruption(after=options.stop_after, signals=SIGNALS)


def _show(run: Callable[[Progress | None], Run]) -> None:
    """Run, with a bar if there is a terminal, and tell what came of it."""
    begin = time.monotonic()
    with _bar() as bar:
        done = run(bar.of_run if bar else None)
    wall = time.monotonic() - begin
    with done:
        facts, file = _facts(done), done.name
    _print_table(_in_words(facts) | {"wall time": _span(wall), "file": file})


def _foreseen(chosen: Study, output: str) -> dict[str, str]:
    """What a study will take, in words."""
    from axon.saving import free_bytes

    takes = chosen.estimate()
    free = free_bytes(Path(output))
    disk = f"up to {_size(2 * takes.file_bytes)} till it ends, {_size(takes.file_bytes)} then"
    if free is not None:
        disk += f"; {_size(free)} are free"
    simulation = chosen.simulation
    return {
        "study": chosen.title,
        "compartments": str(takes.compartments),
        "steps": f"{takes.steps} of {simulation.dt:g} ms, {simulation.method}",
        "recorded": f"{takes.rows} rows of {takes.sites} sites, {_size(takes.field_bytes)}",
        "on disk": disk,
        "memory": f"about {_size(takes.memory_bytes)}",
        "wall time": f"about {_span(takes.seconds)}",
        "file": output,
    }


def _info(options: argparse.Namespace) -> None:
    from axon.disk import open_run

    with open_run(options.file) as run:
        facts = _facts(run)
    if options.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False, default=_as_json))
    else:
        _print_table(_in_words(facts) | {"file": options.file})


def _plot(options: argparse.Namespace) -> None:
    kind = options.kind
    every = {name for names in _KINDS.values() for name in names}
    given = {name: value for name in every if (value := getattr(options, name)) is not None}
    if strange := given.keys() - set(_KINDS[kind]):
        options.refuse(f"--{min(strange)} has no meaning for --kind {kind}")
    if kind == "extracellular" and not options.electrode:
        options.refuse("--kind extracellular needs an electrode, such as --electrode 0 0 1000")
    moves = kind.endswith("animation")
    suffixes = (".gif", ".mp4") if moves else (".png", ".pdf", ".svg")
    file = Path(options.file)
    ending = "" if kind == "overview" else f"-{kind}"
    picture = options.output or file.with_name(file.stem + ending + suffixes[0])
    if picture.suffix.lower() not in suffixes:
        options.refuse(f"{str(picture)!r} must end in {' or '.join(suffixes)}")

    from axon import plots
    from axon.disk import open_run
    from axon.excitability import patch_recovery

    with open_run(options.file) as run:
        if moves:
            getattr(plots, kind.replace("-", "_"))(run, picture, **given)
        else:
            if kind == "tree":
                given.setdefault("colour", "potential" if options.time is not None else "arrival")
            if kind == "extracellular":
                given = {"sources": _electrodes(**given)}
            if "at" in _KINDS[kind]:
                given.setdefault("at", run.place(run.axon.part_way(0.5)))
            if kind == "excitability":
                drawn = plots.excitability(patch_recovery(run, **given))
            else:
                drawn = getattr(plots, kind.replace("-", "_"))(run, **given)
            _save(drawn[0] if isinstance(drawn, tuple) else drawn, picture)
    print(picture)


def _save(drawn: Any, picture: Path) -> None:
    """Write the figure that axes belong to."""
    try:
        drawn.figure.savefig(picture, dpi=150)
    except OSError as error:
        raise WriteError(f"{picture}: cannot be written: {error}") from error


def _report(options: argparse.Namespace) -> None:
    from axon.disk import open_run
    from axon.report import report

    with open_run(options.file) as run:
        told = report(run, options.at)
        page = told.to_html() if options.html else ""
    if options.html:
        try:
            options.html.write_text(page, "utf-8")
        except OSError as error:
            raise WriteError(f"{options.html}: cannot be written: {error}") from error
        print(options.html)
    elif options.json:
        print(json.dumps(told.to_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(told)


def _ask(options: argparse.Namespace) -> None:
    if options.plot and options.question not in _DRAWN:
        options.refuse(f"--plot draws the answer to {' or '.join(_DRAWN)}")
    from axon import questions, study

    def told(*parts: object) -> None:
        line = "  ".join(f"{part:.6g}" if isinstance(part, float) else str(part) for part in parts)
        print(line, file=sys.stderr, flush=True)

    answer = questions.ask(
        options.study,
        options.question,
        dict(map(study.parse_change, options.arguments)),
        dict(map(study.parse_change, options.changes)),
        told if _is_watched() else None,
    )
    if options.json:
        facts = questions.facts(answer)
        print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        for line in answer if isinstance(answer, list) else [answer]:
            print(line)
    if options.plot:
        from axon import plots

        _save(getattr(plots, _DRAWN[options.question])(answer), options.plot)


def _sweep(options: argparse.Namespace) -> Exit | None:
    with _stopping(options) as stop:
        from axon import jobs, study, sweeps
        from axon.answers import Folder

        changes = dict(map(study.parse_change, options.changes))
        plan = sweeps.planned(options.study, changes=changes, keep=options.keep_runs)
        folder = Folder(Path(options.output or f"{plan.what['study']}-sweep"))
        if options.job_script:
            print(_script(options, folder.path), end="")
            return None
        if options.dry_run:
            _print_table(_foreseen_points(sweeps.foresee(plan, folder), folder.path))
            return None
        if not options.status:
            shard = (1, 1) if options.shard is None else jobs.parse_shard(options.shard)
            with _bar() as bar:
                sweeps.carry_out(
                    plan, folder, stop=stop, engine=options.engine, workers=options.workers,
                    scheduler=options.scheduler, shard=shard, retry_failed=options.retry_failed,
                    time_limit=options.time_limit, progress=bar.of_points if bar else None,
                )  # fmt: skip
    return _tell_sweep(options, plan, folder.path)


def _script(options: argparse.Namespace, folder: Path) -> str:
    """For a job array that does what this command would."""
    from axon.jobs import script

    given: list[str] = []
    for change in options.changes:
        given += ["--set", change]
    for name in ("keep_runs", "retry_failed"):
        given += [f"--{name.replace('_', '-')}"] if getattr(options, name) else []
    for name in ("engine", "workers", "scheduler", "time_limit", "stop_after"):
        value = getattr(options, name)
        if value is not None and value != "local":
            given += [f"--{name.replace('_', '-')}", str(value)]
    return script(
        options.job_script,
        options.study,
        folder,
        shards=options.jobs,
        walltime=options.walltime,
        cpus=options.cpus,
        memory=options.memory,
        arguments=given,
        program=_program(),
    )


def _program() -> str:
    """This program, as a job finds it that knows nothing of this shell."""
    import shutil

    here = shutil.which(sys.argv[0])
    return os.path.abspath(here) if here and Path(here).name == "axon" else "axon"


def _foreseen_points(takes: Foreseen, folder: Path) -> dict[str, str]:
    """What a sweep will take, in words."""
    from axon import machine
    from axon.saving import free_bytes

    status, free = takes.status, free_bytes(folder)
    room = machine.memory()
    return {
        "points": f"{status.points}, {status.done} of them done, {status.failed} failed",
        "wall time": f"about {_span(takes.seconds)} of one processor, of which there are "
        f"{machine.cpus()}",
        "memory": f"about {_size(takes.memory_bytes)} a worker"
        + ("" if room is None else f"; {_size(room)} are free"),
        "on disk": f"about {_size(takes.disk_bytes)}"
        + ("" if free is None else f"; {_size(free)} are free"),
        "folder": str(folder),
    }


def _tell_sweep(options: argparse.Namespace, plan: Plan, folder: Path) -> Exit | None:
    """What there is, and its table and picture."""
    from axon.answers import Folder
    from axon.questions import facts
    from axon.results import Sweep

    Folder(folder).plan()  # or there is no sweep
    found = Sweep(folder, plan)
    table = options.table or (None if options.status else folder / "table.csv")
    if table is not None:
        found.write(table)
    if options.plot:
        _save(found.plot(options.quantity), options.plot)
    done = len(found) - found.pending - len(found.failures)
    if options.json:
        columns = facts(found.table())
        told = {"points": len(found), "done": done, "pending": found.pending, "table": columns}
        print(json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        words = {"points": f"{len(found)}, {done} of them done", "to do": str(found.pending)}
        for k, error in list(found.failures.items())[:_MOST_FAILURES]:
            at = ", ".join(f"{key} = {value}" for key, value in found.grid[k].items())
            words[f"failed at {at}"] = error
        if len(found.failures) > _MOST_FAILURES:
            words["failed besides"] = str(len(found.failures) - _MOST_FAILURES)
        if table is not None:
            words["table"] = str(table)
        _print_table(words | {"folder": str(folder)})
    return Exit.SOME_FAILED if found.failures and not options.status else None


def _electrodes(electrode: list[list[QuantityLike]], **sigma: QuantityLike) -> list[Source]:
    """Points in the tissue."""
    from axon.sources import PointSource

    return [PointSource(*place, **sigma) for place in electrode]


def _studies(options: argparse.Namespace) -> None:
    from axon import study

    if options.study is None:
        _print_table({name: study.title(name) for name in study.names()})
    else:
        print(study.text(options.study), end="")


def _models(options: argparse.Namespace) -> None:
    from axon import models

    docstrings = {name: inspect.getdoc(getattr(models, name)) or "" for name in models.names()}
    _print_table({name: text.partition("\n")[0] for name, text in docstrings.items()})


# What they print


def _facts(run: Run) -> dict[str, Any]:
    """What there is to tell of a run, in the units of the documentation."""
    header = run.header
    try:
        study = header.get("study", {})
        measure = study.get("measure", {})
        return {
            "title": study.get("title"),
            "version": header["axon_version"],
            "complete": run.complete,
            "progress": run.progress,
            "going_on": run.going_on,
            "seconds_left": run.seconds_left,
            "compartments": header["axon"]["compartments"],
            "length": run.axon.length,
            "branches": len(run.tree.branches) if run.tree else 1,
            "duration": run.duration,
            "dt": run.dt,
            "steps": round(run.duration / run.dt),
            "method": header["simulation"]["method"],
            "celsius": header["simulation"]["celsius"],
            "changes": [change["at"] for change in header.get("changes", ())],
            "rows": len(run.time),
            "sites": len(run.x),
            "electrodes": run.electrodes.shape[1],
            "dtype": str(run.v.dtype),
            "spikes": len(run.spikes),
            "velocity": _measured(run, "conduction_velocity", measure.get("velocity")),
            "action_potential": _measured(run, "action_potential", measure.get("action_potential")),
        }
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise RunFileError(f"{run!r} has a header that axon would not write: {error!r}") from error


def _measured(run: Run, function: str, arguments: dict[str, Any] | None) -> Any:
    """What the study asks for, if it does, or why there is none."""
    from axon import analysis

    if arguments is None:
        return None
    try:
        return getattr(analysis, function)(run, **arguments)
    except NoSpikeError as error:
        return error


def _in_words(facts: dict[str, Any]) -> dict[str, str]:
    try:
        return _worded(facts)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise RunFileError(f"a header that axon would not write: {error!r}") from error


def _worded(facts: dict[str, Any]) -> dict[str, str]:
    celsius = facts["celsius"]
    if isinstance(celsius, list):  # it varies along the axon
        celsius = f"{min(celsius):g} to {max(celsius):g}"
    words = {
        "study": facts["title"],
        "compartments": f"{facts['compartments']} in {facts['length'] * 1e-3:g} mm"
        + (f", {facts['branches']} branches" if facts["branches"] > 1 else ""),
        "steps": f"{facts['steps']} of {facts['dt']:g} ms, {facts['method']}",
        "simulated": f"{facts['duration']:g} ms at {celsius} °C",
        "changed": ", ".join(f"at {at:g} ms" for at in facts["changes"]),
        "recorded": f"{facts['rows']} rows of {facts['sites']} sites, {facts['dtype']}",
        "electrodes": facts["electrodes"] and str(facts["electrodes"]),
        "spikes": str(facts["spikes"]),
        "conduction velocity": facts["velocity"] and str(facts["velocity"]),
        "action potential": facts["action_potential"] and _shape(facts["action_potential"]),
    }
    if not facts["complete"]:
        words["so far"] = f"{facts['progress']:.1%}, " + (
            "and going on" if facts["going_on"] else "and stopped: axon resume goes on"
        )
        if facts["seconds_left"] is not None:
            words["left"] = f"about {_span(facts['seconds_left'])}"
    return {name: text for name, text in words.items() if text}


def _shape(measured: ActionPotential | NoSpikeError) -> str:
    if isinstance(measured, NoSpikeError):
        return str(measured)
    width = measured.half_width
    wide = f", {width:.3g} ms wide at half of that" if math.isfinite(width) else ""
    place = f"{measured.x * 1e-3:g} mm"
    return f"{measured.amplitude:.4g} mV from {measured.rest:.4g} mV{wide}, at {place}"


def _as_json(fact: Velocity | ActionPotential | NoSpikeError) -> dict[str, float | None] | None:
    if isinstance(fact, NoSpikeError):
        return None
    return {key: value if math.isfinite(value) else None for key, value in vars(fact).items()}


def _print_table(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:{width}}  {text}")


def _size(count: float) -> str:
    """Bytes, such as 12 kB or 3.4 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _span(seconds: float) -> str:
    """A stretch of wall time, such as 0.21 s, 12 s or 3:25:45."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}"


class _Bar:
    """How far something is and how long it will still take, on one line of a terminal."""

    _WIDTH = 30

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._begin: tuple[float, float] | None = None

    def of_run(self, done: float, t: float) -> None:
        """A fraction of a run is done, up to a time in ms."""
        now = time.monotonic()
        if self._begin is None:
            self._begin = now, done
        since, before = self._begin
        left = (now - since) / (done - before) * (1 - done) if done > before else math.inf
        self._draw(done, f"{t:.6g} ms", left)

    def of_points(self, status: Status, left: float) -> None:
        """So many points of a sweep are done, and the others will take some seconds."""
        settled = status.done + status.failed
        told = f"{settled} of {status.points} points"
        if status.failed:
            told += f", {status.failed} failed"
        self._draw(settled / max(1, status.points), told, left)

    def _draw(self, done: float, told: str, seconds: float) -> None:
        bar = ("#" * int(self._WIDTH * done)).ljust(self._WIDTH, ".")
        left = _span(seconds) if math.isfinite(seconds) else "?"
        self._terminal.write(f"\r{bar} {done:4.0%}  {told}  {left} left\x1b[K")
        self._terminal.flush()

    def clear(self) -> None:
        self._terminal.write("\r\x1b[K")
        self._terminal.flush()


def _is_watched() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def _bar() -> Iterator[_Bar | None]:
    """A bar that is gone in the end, if somebody sees it."""
    bar = _Bar(sys.stderr) if _is_watched() else None
    try:
        yield bar
    finally:
        if bar is not None:
            bar.clear()


def _complain(command: str, problem: object) -> None:
    for line in str(problem).splitlines():
        print(f"axon {command}: {line}", file=sys.stderr)


def _drop_output() -> None:
    """Let go what is still buffered: the interpreter would try to write it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
