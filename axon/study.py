"""Studies: what to simulate, record and measure, in a TOML file.

Each table of a study holds the arguments of one public function: ``[axon]`` those of a
constructor of `Axon`, a waveform those of `pulse` or its like, ``[membrane]`` those of a model,
``[simulation]`` those of `Simulation`. Which keys there are, and which may be left out, is read
from the functions' own signatures; here stand only the kinds of the values.

A study is read whole before anything runs, and all that is wrong with it is told at once.
"""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import operator
import os
import re
import reprlib
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from axon import models, ranges, sources, units, waveforms
from axon.analysis import action_potential, conduction_velocity
from axon.changes import Change
from axon.errors import AxonError, NoSpikeError, StudyError
from axon.estimate import memory
from axon.geometry import Axon
from axon.ranges import Grid
from axon.records import Value
from axon.simulation import Simulation
from axon.stimuli import CurrentClamp, Extracellular, VoltageClamp
from axon.trees import Branch, Tree

if TYPE_CHECKING:
    from axon.estimate import Estimate
    from axon.membranes import Membrane
    from axon.runs import Run
    from axon.sources import Source
    from axon.stimuli import Stimulus
    from axon.timecourses import Waveform

__all__ = ["Study", "load", "names", "parse_change", "run", "text", "title"]

PathLike = str | os.PathLike[str]

_MOST_MEMBRANES = 64
"""That are remembered for the points of a sweep."""


class Study(Value):
    """A study that has been read and found good; `load` makes it."""

    file: str
    """As `load` was given it; errors begin with it."""
    name: str
    """Of the built-in study, or of the file without its suffix."""
    title: str
    tables: dict[str, Any]
    """What the file says, with any changes in place."""
    simulation: Simulation
    duration: float
    """In ms."""
    recording: dict[str, Any]
    """Arguments of `Simulation.run`: what is recorded, and how often."""
    sweep: Grid | None
    """Points at which it may be repeated, each by `changed`; its own values are none of them."""
    ask: dict[str, Any] | None
    """What is asked of it: a question, and the arguments of that; `axon.questions` knows them."""
    _membranes: dict[str, Membrane] = field(default_factory=dict, repr=False, compare=False)
    """Those that were made for it and for what it was changed to, which share what they can."""

    def changed(self, changes: Mapping[str, object]) -> Study:
        """The same study with other values, as `load` would read it; its file is not read again.

        It is one point and has no ranges: its `sweep` is None.

        Parameters
        ----------
        changes : mapping
            As for `load`, such as ``study.sweep[0]``.

        Returns
        -------
        Study

        Raises
        ------
        StudyError
            As for `load`.
        """
        with _told_of(self.file):
            return _changed(self, changes)

    def run(self, **options: Any) -> Run:
        """Simulate it, without its ranges. Arguments, result and errors: `Simulation.run`."""
        told = _without(self.tables, "sweep", "ask")
        return self.simulation.run(self.duration, study=told, **self.recording, **options)

    def estimate(self) -> Estimate:
        """What `run` will take: `Simulation.estimate`."""
        return self.simulation.estimate(self.duration, **self.recording)

    def memory(self, *, kept: bool) -> int:
        """Bytes that `run` takes at most, about, if it is `kept` in a file, or if it isn't."""
        given = {name: value for name, value in self.recording.items() if name != "electrodes"}
        steps, recording = self.simulation.recording(self.duration, **given)
        equations = self.simulation.observed(self.recording.get("electrodes", ()))
        return memory(equations, recording, 0, steps, kept=kept)

    def measured(self, run: Run) -> dict[str, Any]:
        """What its ``[measure]`` names, of a run of it.

        Returns
        -------
        dict
            By the name of the table that asks for it a `Velocity` or an `ActionPotential`, or None
            where there were too few spikes; and ``spikes``, how many there are.
        """
        found: dict[str, Any] = {}
        for name, arguments in self.tables.get("measure", {}).items():
            try:
                found[name] = _MEASURES[name](run, **arguments)
            except NoSpikeError:
                found[name] = None
        return found | {"spikes": len(run.spikes)}


def names() -> list[str]:
    """Names of the studies that come with axon, in alphabetical order."""
    files = (file.name for file in _built_in().iterdir())
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def text(name: str) -> str:
    """The TOML of a study that comes with axon.

    Raises
    ------
    StudyError
        If there is none of that name.
    """
    if name not in names():
        raise StudyError(
            f"no study {name!r} comes with axon{_closest(name, names())}; "
            f"these do: {', '.join(names())}"
        )
    return _built_in().joinpath(f"{name}.toml").read_text("utf-8")


def title(name: str) -> str:
    """The title of a study that comes with axon."""
    return str(tomllib.loads(text(name))["title"])


def load(study: PathLike, changes: Mapping[str, object] | None = None) -> Study:
    """Read a study and check all of it, without running anything.

    Parameters
    ----------
    study : str or path
        Name of a built-in study, or a TOML file.
    changes : mapping, optional
        Values that replace those of the study, such as
        ``{"simulation.dt": 0.01, "stimuli[0].waveform.amplitude": "20 uA"}``.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        If there is no such study, or something is wrong with it; for each problem one line that
        names the file, the key, the value, and what would do.
    """
    file = os.fspath(study)
    name, source = _source(file)
    with _told_of(file):
        return _checked(_study(file, name, _tables(source, changes or {})))


def rebuilt(name: str, tables: Mapping[str, Any], folder: str = "") -> Study:
    """A study of tables that were read before: `Study.tables`, without its points.

    Files that they name are relative to `folder`.

    Raises
    ------
    StudyError
        As for `load`.
    """
    with _told_of(name):
        file = os.path.join(folder, name)
        return _study(file, name, copy.deepcopy(_without(tables, "sweep")))


def blanked(tables: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """What tables say besides the values of some keys, which are left empty."""
    outer = [key for key in keys if not any(_within(key, other) for other in keys)]
    blank = copy.deepcopy(_without(tables, "sweep", "title"))
    with _told_of("study"):
        return _put_all(blank, dict.fromkeys(outer, ""))


def _within(key: str, other: str) -> bool:
    """Whether a key is of what another one names."""
    return key != other and key.startswith((f"{other}.", f"{other}["))


def run(study: PathLike, changes: Mapping[str, object] | None = None, **options: Any) -> Run:
    """Run a study, as ``axon run`` does.

    Parameters
    ----------
    study, changes
        As for `load`.
    **options
        Those of `Simulation.run` that a study doesn't hold: ``output``, ``overwrite``,
        ``resume``, ``commit_every``, ``stop_after``, ``stop``, ``progress``.

    Returns
    -------
    Run

    Raises
    ------
    StudyError
        As for `load`. The other errors are those of `Simulation.run`.

    Examples
    --------
    >>> run = axon.run("squid", {"simulation.celsius": 18.5})
    """
    return load(study, changes).run(**options)


def parse_change(change: str) -> tuple[str, object]:
    """Key and value of ``"key=value"``, the value written as in a study or as bare text.

    Raises
    ------
    StudyError
        If there is no ``=``.

    Examples
    --------
    >>> parse_change("simulation.dt=0.01")
    ('simulation.dt', 0.01)
    >>> parse_change("axon.length=50 mm")
    ('axon.length', '50 mm')
    """
    key, equals, value = (part.strip() for part in change.partition("="))
    if not equals:
        raise StudyError(f"{change!r} changes nothing; write for instance simulation.dt=0.01")
    try:
        (parsed,) = tomllib.loads(f"value = {value}").values()
    except (ValueError, RecursionError):
        return key, value
    return key, parsed


class _ProblemsError(Exception):
    """What is wrong with a part of a study: the arguments are one line for each problem."""


@contextmanager
def _told_of(file: str) -> Iterator[None]:
    """Tell problems as an error that names the study's file."""
    try:
        yield
        return
    except _ProblemsError as problems:
        lines = problems.args
    except RecursionError:
        lines = ("tables or lists too deep within each other to be read; write fewer",)
    raise StudyError("\n".join(f"{file}: {line}" for line in lines))


# Reads the value at a path: returns what it stands for, or raises _ProblemsError.
Kind = Callable[[Any, str], Any]


def _built_in() -> Traversable:
    return resources.files("axon").joinpath("studies")


def _source(study: str) -> tuple[str, str]:
    """Name and text of a study, by name or file."""
    if study in names():
        return study, text(study)
    try:
        return Path(study).stem, Path(study).read_text("utf-8")
    except FileNotFoundError:
        raise StudyError(
            f"{study}: there is no such file, and no study of that name comes with axon"
            f"{_closest(study, names())}; these do: {', '.join(names())}"
        ) from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{study}: cannot be read as text: {error}") from error


def _tables(source: str, changes: Mapping[str, object]) -> dict[str, Any]:
    """What a study says, with `changes` in place."""
    try:
        tables = tomllib.loads(source)
    except ValueError as error:  # names line and column
        raise _ProblemsError(str(error)) from None
    return _put_all(tables, changes)


def _changed(study: Study, changes: Mapping[str, object]) -> Study:
    for key in changes:
        if re.match(r"sweep(?![\w-])", key):
            raise _ProblemsError(f"{key} cannot be changed: one point of a sweep has no ranges")
    tables = copy.deepcopy(_without(study.tables, "sweep"))
    return _study(study.file, study.name, _put_all(tables, changes), study._membranes)


def _without(tables: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in tables.items() if key not in keys}


def _put_all(tables: dict[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    for key, value in changes.items():
        _put(tables, key, value)
    return tables


_STEP = re.compile(r"(?:^|\.)([\w-]+)|\[(\d+)\]", re.ASCII)


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` at a path such as ``stimuli[0].waveform.amplitude``."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if not isinstance(value, str | int | float | list | dict):
        raise _ProblemsError(f'{key} = {value!r} is nothing a study holds; write 10 or "10 mm"')
    steps = [name or int(index) for name, index in _STEP.findall(key)]
    if not steps or _STEP.sub("", key):
        raise _ProblemsError(f"{key!r} is no key; write for instance simulation.dt")
    *parents, last = steps
    place: Any = tables
    for step in parents:
        _check_step(place, step, key)
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    _check_step(place, last, key)
    place[last] = copy.deepcopy(value)  # further changes may go into it


def _check_step(place: object, step: str | int, key: str) -> None:
    if isinstance(step, str) and not isinstance(place, dict):
        raise _ProblemsError(f"{key} cannot be changed: what should hold {step} is no table")
    if isinstance(step, int) and not (isinstance(place, list) and step < len(place)):
        raise _ProblemsError(f"{key} cannot be changed: the study has no [{step}] there")


def _study(
    file: str, name: str, tables: dict[str, Any], membranes: dict[str, Membrane] | None = None
) -> Study:
    known = {} if membranes is None else membranes
    membrane = functools.partial(_membrane, known=known)
    change = functools.partial(_change, kinds=_CHANGE | {"membrane": membrane})
    axon = functools.partial(_axon, folder=Path(file).parent)
    kinds = _STUDY | {"axon": axon, "membrane": membrane, "changes": _each(change)}
    values, problems = _read(tables, "", {key: key in _NEEDED for key in _STUDY}, kinds)
    if "axon" in values:
        problems += _misplaced(values)
    if problems:
        raise _ProblemsError(*problems)
    options = values["simulation"]
    duration = options.pop("duration")
    simulation = _attempt(
        "simulation",
        Simulation,
        values["axon"],
        values["membrane"],
        values.get("stimuli", ()),
        changes=values.get("changes", ()),
        **options,
    )
    recording = values.get("record", {})
    electrodes = recording.pop("electrodes", [])
    _attempt("record", simulation.observed, electrodes)
    if "positions" in recording:
        recording["record"] = recording.pop("positions")
    _attempt("record", simulation.recording, duration, **recording)
    if electrodes:
        recording["electrodes"] = electrodes
    return Study(
        file,
        name,
        values.get("title", name),
        tables,
        simulation,
        duration,
        recording,
        values.get("sweep"),
        values.get("ask"),
        known,
    )


def _checked(study: Study) -> Study:
    """The same, if the first and the last of its points are good too."""
    if study.sweep is not None:
        problems = [line for k in (0, -1) for line in _spoilt(study, study.sweep, k)]
        if problems:
            raise _ProblemsError(*dict.fromkeys(problems))
    return study


def _spoilt(study: Study, sweep: Grid, k: int) -> Iterator[str]:
    """What is wrong with the k-th point, and which axis is to blame, if one alone is."""
    wrong = _wrong(study, sweep[k])
    if not wrong:
        return
    places = {
        f"sweep.axes[{n}]": dict(zip(axis.keys, axis.values[k], strict=True))
        for n, axis in enumerate(sweep.axes)
    }
    alone = {path: _wrong(study, changes) for path, changes in places.items()}
    for line in wrong:
        path = next((path for path, lines in alone.items() if line in lines), "sweep")
        changes = places.get(path) or sweep[k]
        at = ", ".join(f"{key} = {reprlib.repr(value)}" for key, value in changes.items())
        yield f"{path} at {at}: {line}"


def _wrong(study: Study, changes: Mapping[str, object]) -> list[str]:
    """What is wrong with a study that is changed."""
    problems: list[str] = []
    with _collecting(problems):
        _changed(study, changes)
    return problems


def _misplaced(values: Mapping[str, Any]) -> list[str]:
    """Problems with what lies beside the axon, or the wrong way round."""
    stimuli = values.get("stimuli", ())
    places = [
        (f"stimuli[{k}].at", stimulus.at)
        for k, stimulus in enumerate(stimuli)
        if not isinstance(stimulus, Extracellular)
    ]
    positions = values.get("record", {}).get("positions", ())
    places += [(f"record.positions[{k}]", position) for k, position in enumerate(positions)]
    stretch = values.get("measure", {}).get("velocity", {})
    places += [(f"measure.velocity.{end}", stretch[end]) for end in ("start", "stop") if stretch]
    if shape := values.get("measure", {}).get("action_potential", {}):
        places.append(("measure.action_potential.at", shape["at"]))
    problems: list[str] = []
    for path, place in places:
        with _collecting(problems):
            _attempt(path, values["axon"].index, place)
    cable = isinstance(values["axon"], Axon)
    if stretch and cable and not problems and not stretch["start"] < stretch["stop"]:
        start, stop = stretch["start"], stretch["stop"]
        problems.append(
            f"measure.velocity.start = {start:g} um is not before stop = {stop:g} um; swap them"
        )
    return problems


def _read(
    table: Any, path: str, keys: Mapping[str, bool], kinds: Mapping[str, Kind]
) -> tuple[dict[str, Any], list[str]]:
    """The good values of a table, and the problems with the others.

    `keys` are those that the table may have, and whether it must.
    """
    if not isinstance(table, dict):
        return {}, [f"{path} = {reprlib.repr(table)} is no table; write [{path}], or {{...}}"]
    prefix = f"{path}." if path else ""
    takes = f"{path or 'a study'} takes {', '.join(keys)}"
    values: dict[str, Any] = {}
    problems: list[str] = []
    missing = {key for key, needed in keys.items() if needed} - table.keys()
    for key, value in table.items():
        if key in keys:
            with _collecting(problems):
                values[key] = kinds.get(key, _free)(value, prefix + key)
            continue
        close = difflib.get_close_matches(key, keys, 1)
        missing -= set(close)  # one mistake, one line
        hint = f"did you mean {close[0]}?" if close else takes
        problems.append(f"{prefix}{key} = {reprlib.repr(value)}: unknown key; {hint}")
    problems += [f"{prefix}{key} is missing; {takes}" for key in keys if key in missing]
    return values, problems


def _made(
    table: Any,
    path: str,
    choice: str,
    makers: Mapping[str, Callable[..., Any]],
    kinds: Mapping[str, Kind],
) -> Any:
    """What a table describes: its key `choice` names the maker, the others are arguments."""
    if not isinstance(table, dict):
        raise _ProblemsError(
            f"{path} = {reprlib.repr(table)} is no table; write {{{choice} = ...}}"
        )
    arguments = dict(table)
    chosen = arguments.pop(choice, None)
    maker = makers.get(chosen) if isinstance(chosen, str) else None
    if maker is None:
        wrong = "is missing; write" if chosen is None else f"= {reprlib.repr(chosen)} is not"
        hint = _closest(str(chosen), makers)
        raise _ProblemsError(f"{path}.{choice} {wrong} one of {', '.join(makers)}{hint}")
    values, problems = _read(arguments, path, _keys(maker), kinds)
    if problems:
        raise _ProblemsError(*problems)
    return _attempt(path, maker, **values)


def _attempt(path: str, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `make` returns; what it refuses is a problem at `path`."""
    try:
        return make(*args, **kwargs)
    except AxonError as error:
        raise _ProblemsError(f"{path}: {error}") from error


@contextmanager
def _collecting(problems: list[str]) -> Iterator[None]:
    """Note what is wrong, and go on."""
    try:
        yield
    except _ProblemsError as found:
        problems += found.args


def _keys(function: Callable[..., Any], *without: str) -> dict[str, bool]:
    """Names of a function's parameters, and whether they must be given."""
    return {
        name: parameter.default is parameter.empty
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in without
    }


def _closest(word: str, known: Iterable[str]) -> str:
    """A hint at what was meant, or nothing."""
    close = difflib.get_close_matches(word, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


# -- kinds ----------------------------------------------------------------------------------------


def _in(unit: str) -> Kind:
    """A number in `unit`, or a quantity."""

    def read(value: Any, path: str) -> float:
        try:
            return units.quantity(value, unit, path)
        except AxonError as error:  # names the path itself
            raise _ProblemsError(str(error)) from None

    return read


def _along(unit: str) -> Kind:
    """The same, or a list of them."""
    return _several(_in(unit))


def _whole(value: Any, path: str) -> int:
    if units.is_whole(value):
        return value
    raise _ProblemsError(
        f"{path} = {reprlib.repr(value)} is no whole number; write for instance 10"
    )


def _odd(value: Any, path: str) -> int:
    if units.is_whole(value) and value % 2 == 1:
        return value
    raise _ProblemsError(f"{path} = {reprlib.repr(value)} is no odd number; write for instance 1")


def _string(value: Any, path: str) -> str:
    if isinstance(value, str):
        return value
    raise _ProblemsError(f"{path} = {reprlib.repr(value)} is no text; write it in quotes")


def _free(value: Any, path: str) -> Any:
    """Numbers or quantities, alone or in a list, in a unit that only their function knows."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str | int | float) or isinstance(item, bool):
            raise _ProblemsError(
                f"{path} = {reprlib.repr(value)} is no number; write 10 or '10 mV'"
            )
    return value


def _place(value: Any, path: str) -> Any:
    """A position: a length, or a branch and the distance along it."""
    if not isinstance(value, list):
        return _LENGTH(value, path)
    try:
        return units.position(tuple(value), path)
    except AxonError as error:  # names the path itself
        raise _ProblemsError(str(error)) from None


def _each(kind: Kind) -> Kind:
    """A list of what `kind` reads."""

    def read(values: Any, path: str) -> list[Any]:
        if not isinstance(values, list):
            raise _ProblemsError(f"{path} = {reprlib.repr(values)} is no list; write [..., ...]")
        found: list[Any] = []
        problems: list[str] = []
        for k, value in enumerate(values):
            with _collecting(problems):
                found.append(kind(value, f"{path}[{k}]"))
        if problems:
            raise _ProblemsError(*problems)
        return found

    return read


def _table(keys: Mapping[str, bool], kinds: Mapping[str, Kind]) -> Kind:
    """A table that has some of `keys`, and no others."""

    def read(value: Any, path: str) -> dict[str, Any]:
        values, problems = _read(value, path, keys, kinds)
        if problems:
            raise _ProblemsError(*problems)
        return values

    return read


def _axon(value: Any, path: str, folder: Path | None = None) -> Axon | Tree:
    """An axon; files that it is read from are relative to the folder of the study's own."""
    if not isinstance(value, dict) or value.get("shape") not in [*_TREES]:
        return _cable(value, path, _CABLES | _TREES)
    if folder and isinstance(value.get("file"), str):
        value = value | {"file": str(folder / value["file"])}
    tree: Tree = _made(value, path, "shape", _TREES, _AXON)
    return tree


def _cable(value: Any, path: str, shapes: Mapping[str, Callable[..., Any]]) -> Axon:
    """An axon that doesn't branch, which may lie on a path through space."""
    table = dict(value) if isinstance(value, dict) else value
    points = table.pop("path", None) if isinstance(value, dict) else None
    axon: Axon = _made(table, path, "shape", shapes, _AXON)
    if points is None:
        return axon
    path = f"{path}.path"
    bent: Axon = _attempt(path, axon.along, _each(_each(_LENGTH))(points, path))
    return bent


def _branches(values: Any, path: str) -> list[Branch]:
    """Cables, each but the first beginning on one before it: if not told otherwise at its end."""
    if not isinstance(values, list) or not values:
        raise _ProblemsError(f"{path} = {reprlib.repr(values)} is no list of cables; write one")
    problems: list[str] = []
    branches: list[Branch] = []
    for k, value in enumerate(values):
        here = f"{path}[{k}]"
        if not isinstance(value, dict):
            problems.append(f"{here} = {reprlib.repr(value)} is no table")
            continue
        with _collecting(problems):
            name = _string(value.get("name", ""), f"{here}.name")
            cable = _cable(_without(value, "name", "parent", "at"), here, _CABLES)
            if not k:
                branches.append(Branch(cable, name=name))
                continue
            number = _parent(value.get("parent"), f"{here}.parent", branches)
            at = branches[number].cable.length
            if "at" in value:
                at = _LENGTH(value["at"], f"{here}.at")
            branches.append(Branch(cable, number, at, name))
    if problems:
        raise _ProblemsError(*problems)
    return branches


def _parent(value: Any, path: str, branches: list[Branch]) -> int:
    """The number of a branch, given so or by name."""
    names = [branch.name for branch in branches]
    if isinstance(value, str) and value in names:
        return names.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(branches):
        return value
    raise _ProblemsError(
        f"{path} = {reprlib.repr(value)} is no branch before it; write a name, or a number from 0 "
        f"to {len(branches) - 1}"
    )


def _swc(
    file: str,
    *,
    Ra: float = 100.0,
    cm: float = 1.0,
    dx: float | None = None,
    d_lambda: float | None = None,
    types: Collection[int] | None = None,
    root: int | None = None,
) -> Tree:
    return Axon.from_swc(file, Ra=Ra, cm=cm, dx=dx, d_lambda=d_lambda, types=types, root=root)


def _membrane(value: Any, path: str, known: dict[str, Membrane] | None = None) -> Membrane:
    """A model, some of whose conductances may be scaled; if it is `known`, the same one."""
    makers: dict[str, Callable[..., Membrane]]
    makers = {name: getattr(models, name) for name in models.names()}
    table = dict(value) if isinstance(value, dict) else value
    scaled = table.pop("scaled", {}) if isinstance(value, dict) else {}
    written = repr(table)
    membrane = None if known is None else known.get(written)
    if membrane is None:
        membrane = _made(table, path, "model", makers, {})
    if known is not None:
        known[written] = membrane
        while len(known) > _MOST_MEMBRANES:
            known.pop(next(iter(tuple(known))), None)
    path = f"{path}.scaled"
    factors = _table({channel.name: False for channel in membrane.channels}, {})(scaled, path)
    result: Membrane = _attempt(path, membrane.scaled, **factors)
    return result


def _change(value: Any, path: str, kinds: Mapping[str, Kind]) -> Change:
    """Another membrane or temperature, from a time on."""
    change: Change = _attempt(path, Change, **_table(_keys(Change), kinds)(value, path))
    return change


def _waveform(value: Any, path: str) -> Waveform:
    """One waveform, or a list of them that are added."""
    waveform: Waveform = (
        _attempt(path, waveforms.sum_of, _each(_waveform)(value, path))
        if isinstance(value, list)
        else _made(value, path, "shape", waveforms.SHAPES, _WAVEFORM)
    )
    return waveform


def _stimulus(value: Any, path: str) -> Stimulus:
    known = {
        "current_clamp": CurrentClamp,
        "voltage_clamp": VoltageClamp,
        "extracellular": Extracellular,
    }
    stimulus: Stimulus = _made(value, path, "type", known, _STIMULUS)
    return stimulus


def _electrode(value: Any, path: str) -> Source:
    """One source, or a list of them that share the current, each with its ``part`` of it."""
    if not isinstance(value, list):
        source: Source = _made(value, path, "shape", sources.SHAPES, _SOURCE)
        return source
    parts = [each.get("part", 1.0) if isinstance(each, dict) else 1.0 for each in value]
    bare = [
        {k: v for k, v in each.items() if k != "part"} if isinstance(each, dict) else each
        for each in value
    ]
    found = _each(_electrode)(bare, path)
    if not found:
        raise _ProblemsError(f"{path} = [] is no source; write at least one")
    scaled = [
        _attempt(f"{path}[{k}].part", source.__mul__, _in("")(part, f"{path}[{k}].part"))
        for k, (source, part) in enumerate(zip(found, parts, strict=True))
    ]
    together: Source = functools.reduce(operator.add, scaled)
    return together


def _sweep(value: Any, path: str) -> Grid:
    try:
        return ranges.read(value, path)
    except StudyError as error:  # names the path itself
        raise _ProblemsError(*str(error).splitlines()) from None


def _ask(value: Any, path: str) -> dict[str, Any]:
    """A question, of whose arguments only those who answer know."""
    table = dict(value) if isinstance(value, dict) else {}
    if not isinstance(table.get("question"), str):
        raise _ProblemsError(
            f'{path} = {reprlib.repr(value)} names no question; write question = "threshold"'
        )
    return table


def _current(value: Any, path: str) -> Any:
    """A current; its unit, if it has one, is told on."""
    _in("nA")(value, path)
    return value


def _several(kind: Kind) -> Kind:
    """The same, alone or in a list."""
    each = _each(kind)
    return lambda value, path: (each if isinstance(value, list) else kind)(value, path)


# -- which keys a study has, and of what kind they are --------------------------------------------

_LENGTH, _LENGTHS, _TIME, _POTENTIAL = _in("um"), _along("um"), _in("ms"), _in("mV")

_CABLES: dict[str, Callable[..., Axon]] = {
    "cylinder": Axon.cylinder,
    "profile": Axon.from_profile,
    "tapered": Axon.tapered,
    "stepped": Axon.stepped,
    "varicose": Axon.varicose,
}
_TREES: dict[str, Callable[..., Tree]] = {"tree": Tree, "regular": Tree.regular, "swc": _swc}
_AXON: dict[str, Kind] = {
    "branches": _branches,
    "file": _string,
    "types": _each(_whole),
    "root": _whole,
    "generations": _whole,
    "daughters": _whole,
    "geometric_ratio": _in(""),
    "length_ratio": _in(""),
    "length": _LENGTH,
    "lengths": _LENGTHS,
    "diameter": _LENGTHS,
    "diameters": _LENGTHS,
    "end_diameter": _LENGTH,
    "varicosity_diameter": _LENGTH,
    "varicosity_length": _LENGTH,
    "spacing": _LENGTH,
    "x": _LENGTHS,
    "Ra": _along("ohm*cm"),
    "cm": _along("uF/cm^2"),
    "dx": _LENGTH,
    "compartments": _whole,
    "d_lambda": _in(""),
}
_WAVEFORM: dict[str, Kind] = {
    "amplitude": _current,
    "start": _TIME,
    "duration": _TIME,
    "gap": _TIME,
    "ratio": _in(""),
    "interval": _TIME,
    "count": _whole,
    "frequency_hz": _in("Hz"),
    "start_hz": _in("Hz"),
    "stop_hz": _in("Hz"),
    "phase": _in("rad"),
    "end_amplitude": _current,
    "envelope": _along(""),
    "seed": _whole,
    "t": _along("ms"),
    "values": _several(_current),
    "delay": _TIME,
    "waveform": _waveform,
    "terms": _each(_waveform),
}
_SOURCE: dict[str, Kind] = {
    "x": _LENGTHS,
    "y": _LENGTH,
    "z": _LENGTH,
    "start": _LENGTHS,
    "stop": _LENGTHS,
    "radius": _LENGTH,
    "sigma": _along("S/m"),
    "potential": _each(_in("")),
}
_STIMULUS: dict[str, Kind] = {
    "at": _place,
    "waveform": _waveform,
    "source": _electrode,
    "resistance": _in("Mohm"),
    "start": _TIME,
    "stop": _TIME,
}
_CHANGE: dict[str, Kind] = {"at": _TIME, "membrane": _membrane, "celsius": _along("degC")}
_SIMULATION: dict[str, Kind] = {
    "duration": _TIME,
    "celsius": _along("degC"),
    "dt": _TIME,
    "v_init": _along("mV"),
    "method": _string,
    "spike_threshold": _POTENTIAL,
    "stride": _odd,
}
_RECORD: dict[str, Kind] = {
    "every": _TIME,
    "positions": _each(_place),
    "dtype": _string,
    "electrodes": _each(_electrode),
}
_VELOCITY: dict[str, Kind] = {"start": _place, "stop": _place, "threshold": _POTENTIAL}
_SHAPE: dict[str, Kind] = {
    "at": _place,
    "number": _whole,
    "before": _TIME,
    "after": _TIME,
    "slope": _in("mV/ms"),
}
_MEASURES: dict[str, Callable[..., Any]] = {
    "velocity": conduction_velocity,
    "action_potential": action_potential,
}

_STUDY: dict[str, Kind] = {
    "title": _string,
    "axon": _axon,
    "membrane": _membrane,
    "stimuli": _each(_stimulus),
    "changes": _free,  # of each study its own, which knows its membranes
    "simulation": _table(
        {"duration": True} | _keys(Simulation, "axon", "membrane", "stimuli", "changes"),
        _SIMULATION,
    ),
    "record": _table(dict.fromkeys(_RECORD, False), _RECORD),
    "measure": _table(
        dict.fromkeys(_MEASURES, False),
        {
            "velocity": _table(_keys(conduction_velocity, "run"), _VELOCITY),
            "action_potential": _table(_keys(action_potential, "run"), _SHAPE),
        },
    ),
    "sweep": _sweep,
    "ask": _ask,
}
_NEEDED = {"axon", "membrane", "simulation"}
