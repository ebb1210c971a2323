"""The command line, ``axon COMMAND ...``; docs/command-line.md describes it.

Each command imports what it needs: asking for help must not wait for NumPy.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
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
    from axon.analysis import Velocity
    from axon.interruption import Interruption
    from axon.runs import Run
    from axon.sources import Source
    from axon.study import Study
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
    CANNOT_READ = 66, "a run file is missing or damaged"
    NO_PACKAGE = 69, "an optional package is missing"
    CANNOT_WRITE = 73, "the output is there already, or cannot be written"
    STOPPED = 75, "a run was interrupted, or the disk is full; `axon resume` goes on"
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
    "overview": ("positions",),
    "space-time": (),
    "traces": ("positions",),
    "waterfall": ("positions",),
    "snapshots": ("times",),
    "spikes": (),
    "velocity": ("window",),
    "extracellular": ("electrode", "sigma"),
    "animation": ("start", "stop"),
    "membrane-currents": ("at", "start", "stop"),
    "excitability": ("at",),
}

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
    try:
        try:
            _parser().parse_args(arguments, options)
            options.command(options)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:  # as in `axon studies | head`: the reader has seen enough
        _drop_output()
        return Exit.DONE
    except AxonError as error:
        _complain(options.name, error)
        if isinstance(error, WriteError) and error.resumable:
            _complain(options.name, "go on with it by axon resume, when there is room")
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
        return Exit.STOPPED if options.name in ("run", "resume") else Exit.INTERRUPTED
    return Exit.DONE


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
        function: Callable[[argparse.Namespace], None], name: str, help: str
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
        type=_quantity,
        help='of traces and the waterfall: µm, or for instance "25 mm"',
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
        "--at", metavar="X", type=_quantity, help="where the membrane is looked at: µm; half way"
    )
    when = "of an animation and of currents: ms"
    plot.add_argument("--start", metavar="T", type=_quantity, help=when)
    plot.add_argument("--stop", metavar="T", type=_quantity, help=when)

    report = command(_report, "report", "tell the story of a run's impulse, with its numbers")
    report.add_argument("file", metavar="OUT")
    report.add_argument(
        "--at",
        metavar="X",
        type=_quantity,
        help='where it is looked at closely: µm, or for instance "25 mm"; by default half way',
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
    for parser_of_study in (run, ask):
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


def _show(run: Callable[[_Progress | None], Run]) -> None:
    """Run, with a bar if there is a terminal, and tell what came of it."""
    progress = _Progress(sys.stderr) if sys.stderr is not None and sys.stderr.isatty() else None
    begin = time.monotonic()
    try:
        done = run(progress)
    finally:
        if progress is not None:
            progress.clear()
    wall = time.monotonic() - begin
    with done:
        facts, file = _facts(done), done.name
    _print_table(_in_words(facts) | {"wall time": _span(wall), "file": file})


def _foreseen(chosen: Study, output: str) -> dict[str, str]:
    """What a study will take, in words."""
    from axon.segments import free_bytes

    takes = chosen.estimate()
    free = free_bytes(Path(output))
    disk = f"about {_size(2 * takes.file_bytes)} while it ends, {_size(takes.file_bytes)} then"
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
    from axon.runs import open_run

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
    suffixes = (".gif", ".mp4") if kind == "animation" else (".png", ".pdf", ".svg")
    file = Path(options.file)
    ending = "" if kind == "overview" else f"-{kind}"
    picture = options.output or file.with_name(file.stem + ending + suffixes[0])
    if picture.suffix.lower() not in suffixes:
        options.refuse(f"{str(picture)!r} must end in {' or '.join(suffixes)}")

    from axon import plots
    from axon.excitability import patch_recovery
    from axon.runs import open_run

    with open_run(options.file) as run:
        if kind == "animation":
            plots.animation(run, picture, **given)
        else:
            if kind == "extracellular":
                given = {"sources": _electrodes(**given)}
            if "at" in _KINDS[kind]:
                given.setdefault("at", run.axon.length / 2)
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
    from axon.report import report
    from axon.runs import open_run

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
        told if sys.stderr is not None and sys.stderr.isatty() else None,
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
        measure = study.get("measure", {}).get("velocity")
        return {
            "title": study.get("title"),
            "version": header["axon_version"],
            "complete": run.complete,
            "progress": run.progress,
            "going_on": run.going_on,
            "seconds_left": run.seconds_left,
            "compartments": header["axon"]["compartments"],
            "length": header["axon"]["x"][-1],
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
            "velocity": measure and _velocity(run, measure),
        }
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise RunFileError(f"{run!r} has a header that axon would not write: {error!r}") from error


def _velocity(run: Run, measure: dict[str, Any]) -> Velocity | NoSpikeError:
    """What the study asks for, or why there is none."""
    from axon.analysis import conduction_velocity

    try:
        return conduction_velocity(run, **measure)
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
        "compartments": f"{facts['compartments']} in {facts['length'] * 1e-3:g} mm",
        "steps": f"{facts['steps']} of {facts['dt']:g} ms, {facts['method']}",
        "simulated": f"{facts['duration']:g} ms at {celsius} °C",
        "changed": ", ".join(f"at {at:g} ms" for at in facts["changes"]),
        "recorded": f"{facts['rows']} rows of {facts['sites']} sites, {facts['dtype']}",
        "electrodes": facts["electrodes"] and str(facts["electrodes"]),
        "spikes": str(facts["spikes"]),
        "conduction velocity": facts["velocity"] and str(facts["velocity"]),
    }
    if not facts["complete"]:
        words["so far"] = f"{facts['progress']:.1%}, " + (
            "and going on" if facts["going_on"] else "and stopped: axon resume goes on"
        )
        if facts["seconds_left"] is not None:
            words["left"] = f"about {_span(facts['seconds_left'])}"
    return {name: text for name, text in words.items() if text}


def _as_json(fact: Velocity | NoSpikeError) -> dict[str, float | None] | None:
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


class _Progress:
    """How far a run is and how long it will still take, on one line of a terminal."""

    _WIDTH = 30

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._begin: tuple[float, float] | None = None

    def __call__(self, done: float, t: float) -> None:
        now = time.monotonic()
        if self._begin is None:
            self._begin = now, done
        since, before = self._begin
        left = _span((now - since) / (done - before) * (1 - done)) if done > before else "?"
        bar = ("#" * int(self._WIDTH * done)).ljust(self._WIDTH, ".")
        self._terminal.write(f"\r{bar} {done:4.0%}  {t:.6g} ms  {left} left\x1b[K")
        self._terminal.flush()

    def clear(self) -> None:
        self._terminal.write("\r\x1b[K")
        self._terminal.flush()


def _complain(command: str, problem: object) -> None:
    for line in str(problem).splitlines():
        print(f"axon {command}: {line}", file=sys.stderr)


def _drop_output() -> None:
    """Let go what is still buffered: the interpreter would try to write it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
