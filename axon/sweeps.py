"""Sweeps: a study, or any function, at every point of a grid.

The folder of a sweep is all its state. Points travel in batches, to wherever an engine has them
computed; whoever computes a batch puts its answers into the folder. Whatever dies on the way, the
same call again computes what isn't there.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import reprlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from axon import engines, jobs, machine, questions, ranges, study
from axon.answers import MAX_ANSWER, Folder, Plan, Record, canonical
from axon.errors import AxonError, StoppedError, SweepError, WorkerDiedError, WriteError
from axon.interruption import Interruption, seconds
from axon.ranges import Grid
from axon.records import Value
from axon.results import Sweep
from axon.runs import Run
from axon.segments import is_written
from axon.study import Study

BATCH_SECONDS = 2.0
"""Wall time of a batch, about: little next to it is what a batch costs besides."""
MOST_IN_BATCH = 500
COMMIT_SECONDS = 2.0
"""Wall time after which a batch that takes longer puts down what it has."""
LOOK_SECONDS = 2.0
"""Wall time between two looks at what others, who compute the same sweep, have found."""
_LOOK_SECONDS = 0.1
"""Wall time between two looks at whether a function or a question is to end."""
_MOST_SAMPLED = 16
"""Points at which it is looked at what all will take."""
_ANSWER_BYTES = 500

Function = Callable[[dict[str, Any]], Any]


class Status(NamedTuple):
    """How far a sweep is."""

    points: int
    done: int
    failed: int

    @property
    def pending(self) -> int:
        """Points of which there is nothing yet."""
        return self.points - self.done - self.failed


Progress = Callable[[Status, float], None]
"""Is told how far a sweep is, and the wall time it will still take (s; infinite if unknown)."""


def sweep(
    what: study.PathLike | Function,
    points: Grid | Mapping[Any, Any] | None = None,
    *,
    output: str | os.PathLike[str],
    changes: Mapping[str, object] | None = None,
    keep: bool = False,
    engine: str = "local",
    workers: int | None = None,
    scheduler: str | None = None,
    shard: tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    time_limit: float | str | None = None,
    stop_after: float | str | None = None,
    stop: Callable[[], str] | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Do the same at every point of a grid, as far as it isn't done.

    Parameters
    ----------
    what : str, path or callable
        A study, by name or file: each point is a run, of which is kept what its ``[measure]``
        names, or the answer to what its ``[ask]`` asks. Or a function: it is called with each
        point's values by key, and returns a number, a text, a list, a dict by name, or what a
        protocol answers.
    points : Grid or mapping, optional
        As `axon.ranges.grid` makes it, or takes it; the study's own ``[sweep]`` if not given.
    output : path
        Folder of the answers. Points that it has already are not computed again, whatever else
        the sweep was then.
    changes : mapping, optional
        Of the study, as for `axon.study.load`.
    keep : bool, optional
        Keep every run as a file too; one that was interrupted goes on where it was.
    engine : {"local", "threads", "processes", "dask", "mpi"}, optional
        Who computes: threads of this process if all time is spent in the kernel, which is
        where points are runs that are not kept, or else processes; dask.distributed; or
        mpi4py.futures.
    workers : int, optional
        Threads or processes; as many as there are processors to be used, if not given.
    scheduler : str, optional
        Address of Dask's scheduler; a cluster on this machine if not given.
    shard : (int, int), optional
        ``(3, 16)`` does the third sixteenth of all points, as one job of an array.
    retry_failed : bool, optional
        Try points again that failed.
    time_limit : float or str, optional
        Wall time of a point, after which it counts as failed: seconds, or ``"10m"``. Functions and
        questions can be ended in processes only, not in threads.
    stop_after : float or str, optional
        Wall time after which the sweep stops, with all answers safe.
    stop : callable, optional
        Asked several times a second; the sweep stops as soon as it returns a reason.
    progress : callable, optional

    Returns
    -------
    Sweep
        All answers that there are, those of earlier calls too.

    Raises
    ------
    SweepError
        If there is nothing to do it at, or it would take more memory than there is.
    StoppedError
        If it was told to stop; the same call goes on.
    StudyError, WriteError, MissingExtraError
    KeyboardInterrupt
        On Ctrl-C, with all answers safe that were found.

    Notes
    -----
    A function must be found by its module and name wherever it is called in other processes.
    It is known by its name, its source, its defaults and what it closes over: if these change, all
    points are new. What else it reads, such as globals and files, is not looked at.

    Examples
    --------
    >>> from axon import ranges
    >>> def area(point):
    ...     return {"area": 3.14159 * point["diameter"] * point["length"]}
    >>> grid = ranges.grid({"diameter": [0.5, 1.0], "length": ranges.linear(100, 300, 3)})
    >>> found = axon.sweep(area, grid, output="areas", engine="threads")
    >>> found.table()["area"].round().tolist()
    [157.0, 314.0, 471.0, 314.0, 628.0, 942.0]
    """
    function = what if callable(what) else None
    plan = planned(what, points, changes, keep)
    with Interruption(stop, stop_after) as stopping:
        carry_out(
            plan,
            Folder(Path(output)),
            function=function,
            engine=engine,
            workers=workers,
            scheduler=scheduler,
            shard=shard,
            retry_failed=retry_failed,
            time_limit=time_limit,
            stop=stopping,
            progress=progress,
        )
    return Sweep(output, plan)


def carry_out(
    plan: Plan,
    folder: Folder,
    *,
    stop: Callable[[], str],
    function: Function | None = None,
    engine: str = "local",
    workers: int | None = None,
    scheduler: str | None = None,
    shard: tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    time_limit: float | str | None = None,
    progress: Progress | None = None,
) -> None:
    """Do what a plan says, as far as its folder doesn't have it; arguments are those of `sweep`."""
    limit = None if time_limit is None else seconds(time_limit, "time_limit")
    whole = isinstance(shard, tuple) and [type(each) for each in shard] == [int, int]
    if not whole or not 1 <= shard[0] <= shard[1]:
        raise SweepError(f"shard={shard!r}; give (i, n) with i from 1 to n")
    first, of = shard
    chosen = _local(plan) if engine == "local" else engine
    if limit is not None and chosen == "threads" and not _in_kernel(plan):
        raise SweepError(
            f"time_limit={time_limit!r}: what is no run can't be ended in a thread; give "
            'engine="processes"'
        )
    hands = engines.engine(chosen, workers=workers, scheduler=scheduler)
    if function is None and hands.workers is not None:
        _check_memory(plan, hands.workers)
    begun = folder.begin(plan, stop)
    numbers = jobs.shard(range(len(plan.grid)), first, of)
    driven = _Driven(plan, folder, numbers, retry_failed, progress)
    driven.run(hands, Work(str(folder.path), begun, function, limit), stop)


def planned(
    what: study.PathLike | Function,
    points: Grid | Mapping[Any, Any] | None = None,
    changes: Mapping[str, object] | None = None,
    keep: bool = False,
) -> Plan:
    """What a sweep will do, checked as far as that can be done without doing it.

    Raises
    ------
    SweepError, StudyError
    """
    if isinstance(points, Mapping):
        points = ranges.grid(points)
    if points is not None and not isinstance(points, Grid):
        raise SweepError(f"points={reprlib.repr(points)} is no grid; write axon.ranges.grid(...)")
    if callable(what):
        if points is None:
            raise SweepError("points is missing: a function has none of its own")
        if keep:
            raise SweepError("keep=True: a function keeps what it likes")
        if changes:
            raise SweepError("changes are those of a study; a function has none")
        return Plan.of({"function": _name(what)}, points, _made_of(what))
    base = study.load(what, changes)
    grid = base.sweep if points is None else points
    if grid is None:
        raise SweepError(
            f"{os.fspath(what)}: there is nothing to repeat it for; give it [[sweep.axes]]"
        )
    if keep and base.ask is not None:
        raise SweepError("keep=True: what is asked takes many runs, of which none is kept")
    for k in (0, len(grid) - 1):
        point = base.changed(grid[k])
        if point.ask is not None:
            questions.check(point)
    tables = {name: table for name, table in base.tables.items() if name != "sweep"}
    common = study.blanked(base.tables, grid.keys)
    done: dict[str, Any] = {"study": base.name, "tables": tables}
    files = _files(base, grid)
    if files:
        done["folder"] = os.path.abspath(os.path.dirname(base.file))
    return Plan.of(done, grid, [common, files], keep)


def _files(base: Study, grid: Grid) -> dict[str, str]:
    """A digest of every file that an axon is read from, by its name in the study."""
    axons = [base.tables["axon"]]
    for axis in grid.axes:
        for place in axis.values:
            for key, value in zip(axis.keys, place, strict=True):
                if key in ("axon", "axon.file"):
                    axons.append(value if key == "axon" else {"file": value})
    named = [each.get("file") for each in axons if isinstance(each, dict)]
    digests: dict[str, str] = {}
    for name in sorted({name for name in named if isinstance(name, str)}):
        path = Path(base.file).parent / name
        with suppress(OSError, ValueError):  # which the point then tells
            if path.is_file():
                with path.open("rb") as file:
                    digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _name(function: Function) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"


def _made_of(function: Function) -> dict[str, Any]:
    """What decides what a function returns, as far as that can be written down.

    Not what it reads from elsewhere: globals, other functions, files.
    """
    if not inspect.isfunction(function):
        raise SweepError(
            f"{reprlib.repr(function)} is no function that def has defined; write one that calls it"
        )
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        raise SweepError(
            f"the source of {_name(function)} can't be found, by which it would be known again; "
            "write it into a file"
        ) from None
    held = [function.__defaults__, function.__kwdefaults__]
    try:
        held += [cell.cell_contents for cell in function.__closure__ or ()]
        return {"function": _name(function), "source": source, "holds": json.loads(canonical(held))}
    except (TypeError, ValueError):
        raise SweepError(
            f"{_name(function)} holds what can't be written down: {reprlib.repr(held)}; hand it "
            "over as a value of each point"
        ) from None


def _local(plan: Plan) -> str:
    """What computes on this machine."""
    return "threads" if _in_kernel(plan) and not plan.keep else "processes"


def _in_kernel(plan: Plan) -> bool:
    """Whether points are runs, and no questions nor functions."""
    return "tables" in plan.what and "ask" not in plan.what["tables"]


# ---- what a worker does --------------------------------------------------------------------------


class _TooLongError(BaseException):
    """A point took longer than it may: no Exception, so that no function takes it for its own."""


class _UnfinishedError(BaseException):
    """There is no saying yet what becomes of a point: it was told to stop."""


class _UnwrittenError(Exception):
    """A run can't be put down, which is no point's fault."""

    def __init__(self, error: WriteError) -> None:
        super().__init__(error)
        self.error = error


class Work(Value):
    """Computes a batch of points, by their numbers, and puts the answers into the folder."""

    folder: str
    plan: str
    """What `Folder.begin` returned."""
    function: Function | None = None
    limit: float | None = None
    """Wall time of a point, s."""

    def __call__(self, numbers: tuple[str, ...]) -> list[tuple[str, str, float]]:
        """Of the points that were computed their names, why each failed, and how long it took, s.

        If it is to stop, there is an empty name at the end, with the reason.

        Raises
        ------
        WriteError
            If answers can't be put down.
        """
        folder = Folder(Path(self.folder))
        if not folder.is_of(self.plan):
            raise SweepError(f"{folder.path} is of another sweep now: somebody has begun one there")
        point = _point(self.folder, self.plan)
        told: list[tuple[str, str, float]] = []
        found: list[Record] = []
        committed = time.monotonic()
        try:
            for number in map(int, numbers):
                if reason := engines.stopping():
                    told.append(("", reason, 0.0))
                    break
                record = self._record(folder, point, number)
                if record is not None:
                    found.append(record)
                    told.append((record.point, record.error, record.seconds))
                if time.monotonic() - committed > COMMIT_SECONDS and found:
                    folder.add(found, engines.stopping)
                    found, committed = [], time.monotonic()
            if found:
                folder.add(found, engines.stopping)
        except BaseException:
            if found:
                with suppress(WriteError):
                    folder.add(found, lambda: "there is no time to wait")
            raise
        return told

    def _record(self, folder: Folder, point: _Point, number: int) -> Record | None:
        """What becomes of a point; None if there is no saying yet."""
        name, changes = point.plan.name(number), point.plan.grid[number]
        begin = time.perf_counter()
        answer, error = None, ""
        try:
            answer = self._answer(folder.run(name), point, changes)
            if len(canonical(answer)) > MAX_ANSWER:
                raise SweepError(f"its answer takes more than {MAX_ANSWER >> 20} MiB")
        except _TooLongError:
            error = f"it took longer than {self.limit:g} s"
        except _UnfinishedError:
            return None
        except _UnwrittenError as unwritten:
            raise unwritten.error from None
        except (Exception, SystemExit) as failure:  # whatever it is, it is this point's
            told = str(failure) if isinstance(failure, AxonError) else repr(failure)
            answer, error = None, told or repr(failure)
        return Record(name, changes, answer, error, time.perf_counter() - begin)

    def _answer(self, output: Path, point: _Point, changes: dict[str, Any]) -> Any:
        if self.function is not None:
            with _alarm(self.limit):
                return _plain(self.function(changes))
        chosen = point.study(changes)
        if chosen.ask is not None:
            with _alarm(self.limit):
                return questions.facts(questions.answer(chosen))
        deadline = math.inf if self.limit is None else time.monotonic() + self.limit

        def stop() -> str:
            return "its time is over" if time.monotonic() > deadline else engines.stopping()

        where: dict[str, Any] = {}
        if point.plan.keep:
            output.parent.mkdir(exist_ok=True)
            where = {"output": output, "resume": True}
        try:
            run: Run = chosen.run(**where, stop=stop)
        except StoppedError:
            raise (_TooLongError if time.monotonic() > deadline else _UnfinishedError) from None
        except WriteError as error:
            if engines.stopping() or is_written(output):
                raise _UnfinishedError from None  # another process tells what became of it
            raise _UnwrittenError(error) from None
        with run:
            return questions.facts(chosen.measured(run))


def _plain(found: Any) -> Any:
    """What a function returned, in JSON's types."""
    told = questions.facts(found)
    try:
        canonical(told)
    except (TypeError, ValueError):
        raise SweepError(
            f"the function returned {reprlib.repr(found)}, which no table can hold; return "
            "numbers, texts, or lists and dicts of them"
        ) from None
    return told


class _Point:
    """Makes the study of one point after the other; what they can share, they share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @cached_property
    def _base(self) -> Study:
        what = self.plan.what
        return study.rebuilt(what["study"], what["tables"], what.get("folder", ""))

    def study(self, changes: dict[str, Any]) -> Study:
        """That of a point."""
        return self._base.changed(changes)


@lru_cache(maxsize=2)
def _point(folder: str, _: str) -> _Point:
    """That of a plan, which is known by what it holds: batches share what points of one can."""
    return _Point(Folder(Path(folder)).plan())


@contextmanager
def _alarm(limit: float | None) -> Iterator[None]:
    """Ends what takes too long, or is to stop, where signals come: in a main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    deadline = math.inf if limit is None else time.monotonic() + limit
    armed = True

    def ring(_: int, __: FrameType | None) -> None:
        if armed and time.monotonic() > deadline:
            raise _TooLongError
        if armed and engines.stopping():
            raise _UnfinishedError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


# ---- what hands the work out ---------------------------------------------------------------------


class _Driven:
    """A sweep under way: which points are left, and how long they will take."""

    def __init__(
        self,
        plan: Plan,
        folder: Folder,
        numbers: Sequence[int],
        retry_failed: bool,
        progress: Progress | None,
    ) -> None:
        self._plan, self._folder = plan, folder
        self._progress = progress
        self._told: set[str] = set()  # of which this call has had a result
        self._taken = 0.0
        self._stopped = ""
        self._begin = self._looked = time.monotonic()
        folder.look()
        self._again = set(folder.failed) if retry_failed else set()
        left, done = [], 0
        for k in numbers:
            name = plan.name(k)
            if not self._is_settled(name):
                left.append(k)
            done += name in folder.done
        self._left = np.array(left, np.int64)
        self.status = Status(len(numbers), done, len(numbers) - len(left) - done)

    def run(self, hands: engines.Engine, work: Work, stop: Callable[[], str]) -> None:
        """Have everything done that isn't."""
        self._tell()
        self._run(hands, work, stop)
        if self._stopped and self.status.pending:
            raise StoppedError(self._stopped)

    def _run(self, hands: engines.Engine, work: Work, stop: Callable[[], str]) -> None:
        if not self.status.pending:
            return
        for batch, result in hands.results(work, self._batches(), stop, self._still):
            if isinstance(result, WorkerDiedError) and len(batch) == 1:
                number = int(batch[0])
                name = self._plan.name(number)
                self._folder.add([Record(name, self._plan.grid[number], None, str(result))], stop)
                self._note(name, str(result), 0.0)
            elif isinstance(result, BaseException):
                raise result
            else:
                for name, error, took in result:
                    self._note(name, error, took)
            self._tell()

    def _still(self, batch: tuple[str, ...]) -> tuple[str, ...]:
        """What is left of a batch whose worker died."""
        self._folder.look()
        names = {number: self._plan.name(int(number)) for number in batch}
        for name in names.values():
            if name in self._folder.done:
                self._note(name, "", 0.0)
        return tuple(number for number, name in names.items() if name not in self._folder.done)

    def _note(self, name: str, error: str, took: float) -> None:
        if not name:
            self._stopped = error
        if not name or name in self._told:
            return
        self._told.add(name)
        self._taken += took
        points, done, failed = self.status
        self.status = Status(points, done + (not error), failed + bool(error))

    def _tell(self) -> None:
        if self._progress is not None:
            elapsed, found = time.monotonic() - self._begin, len(self._told)
            pending = self.status.pending
            left = elapsed / found * pending if found else math.inf if pending else 0.0
            self._progress(self.status, left)

    def _batches(self) -> Iterator[tuple[str, ...]]:
        """Numbers of what is left, some at a time: as many as take a moment, of late."""
        batch: list[str] = []
        for number in self._left.tolist():
            if self._is_settled(self._plan.name(number)):
                continue
            batch.append(str(number))
            if len(batch) >= self._size():
                yield tuple(batch)
                batch = []
                self._look()
        if batch:
            yield tuple(batch)

    def _is_settled(self, name: str) -> bool:
        if name in self._folder.done:
            return True
        return name in self._folder.failed and name not in self._again

    def _size(self) -> int:
        if not self._told:
            return 1
        each = self._taken / len(self._told)
        return max(1, min(MOST_IN_BATCH, int(BATCH_SECONDS / max(each, 1e-9))))

    def _look(self) -> None:
        # Another process may compute the same sweep.
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._folder.look()
            self._looked = time.monotonic()


# ---- what it will take ---------------------------------------------------------------------------


class Foreseen(NamedTuple):
    """What a sweep will take, as far as it isn't done."""

    status: Status
    seconds: float
    """Of one processor, about; without what is asked, which nobody knows before."""
    memory_bytes: int
    """Of a worker, at most, about."""
    disk_bytes: int
    """About."""


def foresee(plan: Plan, folder: Folder) -> Foreseen:
    """What is left of a sweep of a study, measured on the first steps of some points of it."""
    status = _Driven(plan, folder, range(len(plan.grid)), False, None).status
    begin = time.perf_counter()
    studies = list(_sampled(plan))
    if not studies:
        raise SweepError("none of the points that were looked at makes a study that can be run")
    building = (time.perf_counter() - begin) / len(studies)
    tried = [study.estimate() for study in studies]
    kept = sum(each.file_bytes for each in tried) / len(tried) if plan.keep else 0
    each_takes = building + sum(each.seconds for each in tried) / len(tried)
    return Foreseen(
        status,
        each_takes * status.pending,
        max(each.memory_bytes for each in tried),
        round((kept + _ANSWER_BYTES) * status.pending),
    )


def _sampled(plan: Plan) -> Iterator[Study]:
    """Studies of some points: both ends of every axis, from the first and from the last."""
    grid, point = plan.grid, _Point(plan)
    if len(grid) == 0:
        return
    strides = [math.prod(grid.shape[k + 1 :]) for k in range(len(grid.shape))]
    ways = [(n - 1) * stride for n, stride in zip(grid.shape, strides, strict=True)]
    last = len(grid) - 1
    for k in list(dict.fromkeys([0, last, *ways, *(last - way for way in ways)]))[:_MOST_SAMPLED]:
        with suppress(AxonError):  # which is that point's failure
            yield point.study(grid[k])


def _check_memory(plan: Plan, workers: int) -> None:
    """Refuse what the machine has no room for."""
    room = machine.memory()
    if room is None:
        return
    needed = max((each.memory(kept=plan.keep) for each in _sampled(plan)), default=0)
    if workers * needed > room:
        fit = room // needed
        hint = f"workers={fit}, or " if fit else ""
        raise SweepError(
            f"{workers} workers need up to {needed / 1e9:.2g} GB each, and there are "
            f"{room / 1e9:.2g} GB; give {hint}record less of each point"
        )
