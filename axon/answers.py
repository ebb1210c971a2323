"""The folder of a sweep: what is asked, and what has been answered.

``sweep.json`` holds the plan. Answers lie in ``answers/``, in files that never change once they are
there: some lines of JSON each, a point a line. A file is written under another name and renamed,
so it is there whole or not at all; its name tells what it holds, so two processes that have
found the same write the same. Which points are done is what these files say, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import reprlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from axon.equations import RESULTS
from axon.errors import SweepError, UnitError, WriteError
from axon.ranges import Axis, Grid
from axon.records import Value
from axon.saving import PASSING, patiently, renamed, write, writing
from axon.storage import PATIENCE
from axon.units import as_written

PLAN = "sweep.json"
LAYOUT = 1

MAX_POINTS = 10_000_000

_ANSWERS = "answers"
_NAME = re.compile(r"[0-9a-f]{16}\.jsonl", re.ASCII)
_DIGITS = 16
_POINT = re.compile(r"[0-9a-f]{16}", re.ASCII)
MAX_ANSWER = 16 * 2**20
"""Bytes of one, as it is written down."""
_MAX_FILE = 2**30
_MAX_PLAN = 2**30
_LEFT_SECONDS = 86400.0
_LONGEST_WAIT = 2.0  # seconds till the next attempt

_log = logging.getLogger("axon")


def canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(text: str) -> str:
    return _digest_of(text.encode())


def _digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _plain(value: Any) -> Any:
    """A value in JSON's types; ValueError if it is none."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError


_UNITS = {
    "nm", "um", "µm", "mm", "cm", "m", "us", "ms", "s", "uV", "mV", "V", "pA", "nA", "uA", "mA",
    "Hz", "kHz", "ohm", "kohm", "Mohm", "ohm*cm", "uF/cm^2", "uM", "mM", "degC", "K",
}  # fmt: skip
"""Of quantities that may be written in several ways and are one."""


def _alike(value: Any) -> Any:
    """The same for values that mean the same: 10 and 10.0, "10 um" and "10.0 um"."""
    if isinstance(value, list):
        return [_alike(each) for each in value]
    if isinstance(value, dict):
        return {key: _alike(each) for key, each in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        with suppress(UnitError):  # which it isn't, then
            number, unit = as_written(value, "")
            if unit in _UNITS:  # and "1.swc" is a file
                return f"{number.normalize():f} {unit}"
    return value


class Plan(Value):
    """What a sweep asks, and of which points.

    Attributes
    ----------
    what : dict
        What is done at every point: of a study its tables, in which `grid` changes values; of
        a Python function its name and source.
    grid : Grid
    common : str
        A digest of all that the points have in common: not of values that they change.
    keep : bool
        Whether runs are kept as files, and not what was measured in them alone.
    """

    what: dict[str, Any]
    grid: Grid
    common: str
    keep: bool = False

    @classmethod
    def of(cls, what: dict[str, Any], grid: Grid, common: Any, keep: bool = False) -> Plan:
        """A plan; `common` is what all points have in common, in JSON's types."""
        if len(grid) > MAX_POINTS:
            raise SweepError(f"{len(grid):,} points are more than {MAX_POINTS:,}; take fewer")
        axes = tuple(
            Axis(axis.keys, tuple(_written(axis.keys, place) for place in axis.values))
            for axis in grid.axes
        )
        for axis in axes:
            seen = Counter(canonical(_alike(list(place))) for place in axis.values)
            again = next((place for place, times in seen.items() if times > 1), None)
            if again is not None:
                raise SweepError(f"{', '.join(axis.keys)} has {again} twice; give each place once")
        text = canonical([RESULTS, common, sorted(grid.keys), keep])
        return cls(what, Grid(axes), _digest(text), keep)

    def name(self, k: int) -> str:
        """The name of point number k: the same in every sweep that asks the same there."""
        return _digest(self.common + canonical(_alike(self.grid[k])))

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "layout": LAYOUT,
            "results": RESULTS,
            "what": self.what,
            "common": self.common,
            "keep": self.keep,
            "axes": [
                {"keys": list(axis.keys), "values": [list(each) for each in axis.values]}
                for axis in self.grid.axes
            ],
        }

    @classmethod
    def from_dict(cls, saved: Any) -> Plan:
        """The plan that `to_dict` wrote down; nothing in it is trusted."""
        try:
            if saved["layout"] > LAYOUT:
                raise SweepError(f"a newer axon has written it: layout {saved['layout']}")
            axes = tuple(
                Axis(keys := tuple(map(_text, axis["keys"])), _places(keys, axis["values"]))
                for axis in saved["axes"]
            )
            what, keep, common = saved["what"], saved["keep"], _text(saved["common"])
            if type(what) is not dict or type(keep) is not bool:
                raise TypeError
            _text(what.get("folder", ""))
            if math.prod(map(len, axes)) > MAX_POINTS:
                raise ValueError
        except SweepError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise SweepError("it is no plan of a sweep") from error
        return cls(what, Grid(axes), common, keep)


def _written(keys: tuple[str, ...], place: Sequence[Any]) -> tuple[Any, ...]:
    """Values at a place of an axis, in JSON's types."""
    values = []
    for key, value in zip(keys, place, strict=True):
        try:
            values.append(_plain(value))
        except ValueError:
            raise SweepError(
                f"{key} = {reprlib.repr(value)} can't be written down; give finite numbers, texts, "
                "or lists and tables of them"
            ) from None
    return tuple(values)


def _places(keys: tuple[str, ...], values: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    if any(type(place) is not list or len(place) != len(keys) for place in values):
        raise ValueError
    return tuple(tuple(_plain(place)) for place in values)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


class Record(NamedTuple):
    """What became of a point."""

    point: str
    """Its name."""
    changes: dict[str, Any]
    answer: Any
    """In JSON's types; None if it failed."""
    error: str = ""
    """Why it failed, or nothing."""
    seconds: float = 0.0
    """Wall time that it took."""


@dataclass
class Folder:
    """A sweep's folder."""

    path: Path
    done: set[str] = field(default_factory=set)
    """Names of the points that were answered, as far as `look` has seen."""
    failed: set[str] = field(default_factory=set)
    """Names of those that failed and were not answered since."""
    _seen: set[str] = field(default_factory=set)

    def plan(self) -> Plan:
        """The plan.

        Raises
        ------
        SweepError
            If there is none, or none that can be read.
        """
        path = self.path / PLAN
        try:
            return Plan.from_dict(json.loads(self._planned()))
        except SweepError as error:
            raise SweepError(f"{path}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise SweepError(f"{path} cannot be read: {error}") from error

    def is_of(self, begun: str) -> bool:
        """Whether it is still the folder of the plan for which `begin` returned this."""
        return _digest_of(self._planned()) == begun

    def _planned(self) -> bytes:
        path = self.path / PLAN
        try:
            if path.stat().st_size > _MAX_PLAN:
                raise SweepError("it is too large for a plan")
            return path.read_bytes()
        except FileNotFoundError:
            raise SweepError(f"there is no sweep in {self.path}") from None
        except OSError as error:
            raise SweepError(f"it cannot be read: {error}") from error

    def begin(self, plan: Plan, stop: Callable[[], str] = lambda: "") -> str:
        """Make it the folder of this plan; what was answered before stays, and counts.

        Returns
        -------
        str
            By which those who work at it know that it is still the same.
        """
        with writing(self.path):
            (self.path / _ANSWERS).mkdir(parents=True, exist_ok=True)
            if plan.keep:
                self.runs.mkdir(exist_ok=True)
            _tidy(self.path / _ANSWERS)
        text = json.dumps(plan.to_dict(), indent=1, allow_nan=False)
        if (self.path / PLAN).exists():
            if self.is_of(_digest(text)):
                return _digest(text)
            self.plan()  # or it is none that may be replaced
        _put(self.path / PLAN, text, stop)
        return _digest(text)

    @property
    def runs(self) -> Path:
        """Where runs are kept."""
        return self.path / "runs"

    def run(self, name: str) -> Path:
        """The run file of a point."""
        return self.runs / f"{name}.h5"

    def add(self, records: list[Record], stop: Callable[[], str] = lambda: "") -> None:
        """Put answers where everybody sees them: all or none of them, for ever.

        A full disk is waited for, for a while, unless there is a reason to stop.

        Raises
        ------
        WriteError
        """
        ordered = sorted(records, key=lambda record: record.point)
        lines = [json.dumps(r._asdict(), separators=(",", ":"), allow_nan=False) for r in ordered]
        text = "\n".join(lines) + "\n"
        _put(self.path / _ANSWERS / f"{_digest(text)}.jsonl", text, stop)

    def look(self) -> None:
        """Take note of the answers that have come since the last look."""
        for _ in self.new():
            pass

    def new(self) -> Iterator[Record]:
        """Answers that have come since the last look; names are all that is remembered."""
        folder = self.path / _ANSWERS
        try:
            names = sorted(path.name for path in folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            _log.warning("%s cannot be read now: %s", folder, error)
            return
        for name in names:
            if name in self._seen or not _NAME.fullmatch(name):
                continue
            try:
                records = _records(folder / name)
            except OSError as error:  # which may pass
                _log.warning("%s cannot be read now: %s", folder / name, error)
                continue
            self._seen.add(name)
            for record in records:
                if record.error:
                    if record.point not in self.done:
                        self.failed.add(record.point)
                else:
                    self.done.add(record.point)
                    self.failed.discard(record.point)
                yield record


def _records(path: Path) -> list[Record]:
    """What a file holds; nothing if it isn't as it was written."""
    try:
        if path.stat().st_size > _MAX_FILE:
            raise ValueError("it is too large")
        data = path.read_bytes()
        if _digest_of(data) != path.stem:
            raise ValueError("it is not as it was written")
        return [_record(line) for line in data.splitlines()]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # Its points are computed anew; the damaged file is left for whoever wants to see it.
        _log.warning("%s is damaged, and its answers don't count: %s", path, error)
        return []


def _tidy(folder: Path) -> None:
    """Remove what those who were killed have left half written, long ago."""
    for path in folder.glob("*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _LEFT_SECONDS:
                path.unlink()


def _record(line: bytes) -> Record:
    saved: Mapping[str, Any] = json.loads(line)
    record = Record(**saved)
    if (
        not (isinstance(record.point, str) and _POINT.fullmatch(record.point))
        or type(record.changes) is not dict
        or type(record.error) is not str
        or type(record.seconds) not in (int, float)
    ):
        raise ValueError("a line is none of an answer")
    return record


def _put(path: Path, text: str, stop: Callable[[], str]) -> None:
    """Write a file whole; a full disk is waited for, for a while, but not if it is to stop."""

    def attempt() -> None:
        with renamed(path, path.parent) as file:
            write(file, memoryview(text.encode()), 0)

    def stopped(wait: float) -> str:
        reason = stop()
        if not reason:
            time.sleep(wait)
        return reason

    try:
        patiently(attempt, PATIENCE, _LONGEST_WAIT, stopped)
    except WriteError as error:
        error.resumable = error.errno in PASSING
        raise
