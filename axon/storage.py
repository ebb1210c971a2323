"""Writing a run to disk while it goes on.

`RunWriter` is the sink that a simulation hands its rows and spikes to. Its thread compresses the
rows and commits them, a segment at a time, to the run's folder; see `axon.segments`.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from axon.errors import AxonError, StoppedError, WriteError
from axon.runfile import ROWS, SPIKE, Arrays, Recording, encode_header, opened
from axon.saving import PASSING, unwritten
from axon.segments import (
    FIRST,
    Array,
    Begun,
    Chunk,
    Commit,
    FinishedElsewhereError,
    Folder,
    Segment,
)

COMMIT_BYTES = 64 * 2**20
COMMIT_SECONDS = 300.0
PATIENCE = 300.0

WAITING_BYTES = 64 * 2**20
"""Of rows that wait for the thread while it writes a segment."""

_LOG_BYTES = 2**20  # that are read of a log
_LOOK_SECONDS = 0.1  # between two looks, while waiting, at whether to stop

_log = logging.getLogger("axon")


class RunWriter:
    """Takes the rows and spikes of a run as they come, and makes a run file of them.

    While the caller goes on, a thread compresses the rows and writes them, a segment at a time,
    into the folder ``<path>.parts``, and beside them the finished file; `finish` ends that, or
    merges the segments into it. It gets the name `path`, which exists exactly when the run is
    complete. What the file holds depends, to the byte, on what was handed in alone: not on the
    pieces it came in, nor on when segments were written.

    What differs between machines goes to ``<path>.log``, a line of JSON for each event.

    An error of the thread is raised by the next call. What was committed before stays readable.
    As a context manager, a writer that was not finished is aborted.

    Parameters
    ----------
    path : path-like
        The run file to be, in a folder that exists.
    header : dict
        The run's inputs and the version of the program, in the types that JSON has.
    x : array_like
        Positions of the recorded compartments in µm, ``(m,)``.
    compartments : array_like
        Their numbers, ``(m,)``.
    axon_x : array_like
        Positions of all compartments in µm, ``(n,)``.
    n_rows : int
        Rows that there will be. Row k is the field at ``k * interval``.
    interval : float
        Time between rows, in ms.
    dtype : {"float32", "float64"}
        Of the rows.
    compression : {"gzip", None}
        None stores the rows as they are.
    first : int
        Number of the first row, that of time zero being 0.
    electrodes : int
        Outside the axon, whose potentials come with the rows.
    inputs, state : dict of arrays
        What the run is made from, and where it begins: what `axon.resume` must have.
    commit_bytes : int
        A segment is written when there are so many compressed bytes, ...
    commit_seconds : float
        ... or when so much wall time has passed since the last.
    patience : float, optional
        Seconds for which to try again while the disk is full or fails; `PATIENCE` if not given.
    overwrite : bool
        Replace a run that is there: an unfinished one now, a finished one at the end.
    stop : callable, optional
        Says why the run is to stop now, or nothing: asked whenever the writer has to wait.

    Raises
    ------
    WriteError
        If there is a run already, if another process writes it, or if nothing can be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        header: dict[str, Any],
        x: npt.ArrayLike,
        compartments: npt.ArrayLike,
        axon_x: npt.ArrayLike,
        n_rows: int,
        interval: float,
        dtype: npt.DTypeLike = "float32",
        compression: str | None = "gzip",
        first: int = 0,
        electrodes: int = 0,
        inputs: Arrays | None = None,
        state: Arrays | None = None,
        commit_bytes: int = COMMIT_BYTES,
        commit_seconds: float = COMMIT_SECONDS,
        patience: float | None = None,
        overwrite: bool = False,
        stop: Callable[[], str] | None = None,
    ) -> None:
        if compression not in ("gzip", None):
            raise ValueError(f"compression = {compression!r} is neither 'gzip' nor None")
        encode_header(header)  # now, rather than in the thread
        recording = Recording(
            header=header,
            x=np.array(x, "<f8"),
            compartments=np.array(compartments, "<i8"),
            axon_x=np.array(axon_x, "<f8"),
            interval=float(interval),
            first=first,
            n_rows=n_rows,
            dtype=np.dtype(dtype).newbyteorder("<"),
            compressed=compression is not None,
            electrodes=electrodes,
        )
        folder = Folder.new(Path(path), overwrite)
        self._set_up(folder, recording, inputs or {}, commit_bytes, commit_seconds, stop)
        try:
            with suppress(OSError):
                self._log_path.unlink()
            self._log_machine("begin")
            self._committer.begin(state or {})
        except BaseException:
            if folder.locked:
                folder.remove()
            else:
                folder.release()
            raise
        folder.patience = PATIENCE if patience is None else patience
        self._thread.start()

    @classmethod
    def resume(
        cls,
        folder: Folder,
        begun: Begun,
        *,
        commit_bytes: int = COMMIT_BYTES,
        commit_seconds: float = COMMIT_SECONDS,
        stop: Callable[[], str] | None = None,
    ) -> RunWriter:
        """A writer that goes on where `begun` ends.

        Parameters
        ----------
        folder : Folder
            It is the writer's from now on.
        """
        self = cls.__new__(cls)
        self._set_up(folder, begun.recording, begun.inputs, commit_bytes, commit_seconds, stop)
        self._committer.resume(begun.links)
        self._rows = begun.links[-1].stop
        self.rows(*begun.carry)
        self._committer.rows = self._rows
        self._uncommitted = begun.longer
        self._keep = True
        self._log_machine("resume", rows=self._rows)
        self._thread.start()
        return self

    def _set_up(
        self,
        folder: Folder,
        recording: Recording,
        inputs: Arrays,
        commit_bytes: int,
        commit_seconds: float,
        stop: Callable[[], str] | None,
    ) -> None:
        self._folder = folder
        self._recording = recording
        self._commit_bytes = commit_bytes
        self._commit_seconds = commit_seconds
        self._stop = stop or (lambda: "")
        self.path = folder.output
        self._log_path = self.path.with_name(self.path.name + ".log")

        # What the caller has handed in and the thread has not got yet.
        self._filling = self._new_buffer()
        self._rows = 0  # all that were handed in
        self._offered = 0  # of these, when the state was offered last
        self._spikes: list[Array] = []
        self._spike_bytes = 0
        self._uncommitted = False  # something has come since the last commit
        self._keep = False  # the folder, even if there is but a first segment in it

        # Buffers that the thread is done with, and how many more there may be.
        # The last one first: it is in the processor's cache, where all of them wouldn't fit.
        # Not a SimpleQueue: one whose waiting a signal ends in its last moment waits for ever.
        self._free: queue.LifoQueue[list[Array]] = queue.LifoQueue()
        self._may_make = max(1, WAITING_BYTES // max(1, sum(each.nbytes for each in self._filling)))

        self._committer = _Committer(folder, recording, inputs, self.log)
        self._last_commit = self._begin = time.monotonic()
        self._error: Exception | None = None
        self._committing = threading.Event()
        self._closed = False
        self._jobs: queue.SimpleQueue[list[Array] | _Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="axon-writer", daemon=True)

    # The caller's side

    def rows(self, block: Array, potentials: Array | None = None) -> None:
        """Take the next rows, from wherever they are.

        Parameters
        ----------
        block : array
            Of the field's dtype, in mV, ``(k, m)``. It is copied, so the caller may use it again.
        potentials : array, optional
            As for `filled`, ``(k, electrodes)``.
        """
        field = self._recording.field
        given, wanted = (block.shape, block.dtype), ((len(block), field.columns), field.dtype)
        if given != wanted:
            raise ValueError(f"rows of shape and dtype {given}: they should have {wanted}")
        if potentials is not None and len(potentials) != len(block):
            raise ValueError(f"potentials of {len(potentials)} rows beside {len(block)} rows")
        taken = 0
        while True:
            room = self.room()
            some = slice(taken, taken + room.shape[1])
            _cut(block[some], room)
            self.filled(len(block[some]), None if potentials is None else potentials[some])
            taken = some.stop
            if taken >= len(block):
                break

    def room(self) -> Array:
        """Where the next rows of the field are to be put, in mV: ``(n_across, k, width)``.

        They stand as in chunks, so that the thread finds the bytes of each together: in a block
        for every column of chunks, of which the last need not be full. There is room for one row
        at least. Only `filled` takes them.
        """
        return self._filling[0][:, self._rows % ROWS :]

    def filled(self, rows: int, potentials: Array | None = None) -> None:
        """Take the first `rows` rows in the room; wait only if the thread is far behind.

        Parameters
        ----------
        potentials : array, optional
            What electrodes record in these rows, float64, in mV, ``(rows, electrodes)``; it is
            copied. Not given where there are none.
        """
        self._check()
        held, n_rows = self._rows % ROWS, self._recording.n_rows
        if not 0 <= rows <= ROWS - held:
            raise ValueError(f"{rows} rows, where there is room for {ROWS - held}")
        if self._rows + rows > n_rows:
            raise ValueError(f"{self._rows} rows and {rows} more, but there will be {n_rows}")
        given = None if potentials is None else (potentials.shape, potentials.dtype)
        outside = self._recording.outside
        wanted = ((rows, outside.columns), outside.dtype) if outside.columns else None
        if given != wanted:
            raise ValueError(f"potentials of shape and dtype {given}: they should have {wanted}")
        if potentials is not None:
            _cut(potentials, self._filling[1][:, held:])
        self._uncommitted |= bool(rows)
        self._rows += rows
        if rows and self._rows % ROWS == 0:
            self._jobs.put(self._filling)
            self._filling = self._next_buffer()

    def spikes(self, compartment: Array, time: Array) -> None:
        """Take the next spikes, which come no earlier than those taken before.

        Parameters
        ----------
        compartment : array
            Numbers of the compartments, int64, ``(k,)``.
        time : array
            Times in ms, float64, ``(k,)``.
        """
        self._check()
        spikes = np.empty(len(time), SPIKE)
        spikes["time"] = time
        spikes["compartment"] = compartment
        if len(spikes):
            self._spikes.append(spikes)
            self._spike_bytes += spikes.nbytes
            self._uncommitted = True

    def state(self, get_state: Callable[[], Arrays]) -> None:
        """Offer the state to go on from: that after all rows and spikes handed in so far.

        If a commit is due, `get_state` is called at once, and what it returns is committed with
        those rows and spikes. Else nothing happens. Nothing is committed but here, in `commit`
        and in `finish`, so a simulation calls this after every block.

        Parameters
        ----------
        get_state : callable
            Returns a dict of arrays; they are not copied, so it must own them.
        """
        self._check()
        self._uncommitted = True
        if self._is_due():
            self._put(get_state())
        self._offered = self._rows

    def commit(self, get_state: Callable[[], Arrays]) -> None:
        """Commit all that was handed in so far, and wait till it is on the disk.

        Parameters
        ----------
        get_state : callable
            As for `state`.
        """
        self._check()
        if not self._uncommitted:
            return
        job = self._put(get_state())
        while not job.done.wait(_LOOK_SECONDS):
            self._look()
        self._check()

    def _put(self, state: Arrays) -> _Job:
        job = self._job(state)
        job = job._replace(carry=[each.copy() for each in job.carry])
        self._committing.set()
        self._last_commit = time.monotonic()
        self._jobs.put(job)
        return job

    @property
    def progress(self) -> int:
        """Rows that are committed."""
        return self._committer.rows

    def finish(self, state: Arrays | None = None) -> None:
        """Make the finished file, and remove the segments.

        Parameters
        ----------
        state : dict of arrays
            After all rows and spikes.

        Raises
        ------
        WriteError
            If it can't be written. The segments then stay, and what is in none is committed.
        StoppedError
            If it is told to stop meanwhile. The segments then stay as well.
        RunFileError
            If a segment is not as it was written.
        """
        self._check()
        if self._rows != self._recording.n_rows:
            raise ValueError(f"finished after {self._rows} of {self._recording.n_rows} rows")
        job = self._job(state or {})
        self._close()
        begin = time.monotonic()
        try:
            self._raise_error()
            self._committer.finish(job, self._check_stop)
        except FinishedElsewhereError:
            self._folder.remove()
            raise
        except BaseException as error:
            self._folder.release()
            if isinstance(error, WriteError):
                error.resumable = error.errno in PASSING
            raise
        now = time.monotonic()
        spent = {"seconds": round(now - self._begin, 3), "merge": round(now - begin, 3)}
        self.log("finish", rows=self._rows, **spent)
        self._folder.remove()

    def abort(self) -> None:
        """Stop, and leave what is committed; does nothing if the writer is closed.

        A new run of which nothing but the first segment is committed leaves nothing, unless
        the ``with`` ends by an interruption.
        """
        if self._closed:
            return
        self._folder.hurry.set()
        self._close()
        self.log("abort", rows=self.progress)
        if self._keep or len(self._committer.links) > 1 or not self._folder.locked:
            self._folder.release()
        else:
            self._folder.remove()

    def log(self, event: str, **details: object) -> None:
        """Write a line to the log beside the run: what may differ from machine to machine.

        Parameters
        ----------
        event : str
            What happened.
        **details
            What more there is to say of it, in the types that JSON has.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            # Not through a link, and not to anything but a file.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(self._log_path, flags, 0o666), "a", encoding="utf-8") as log:
                log.write(json.dumps({"event": event, "at": now, **details}) + "\n")
        except OSError as error:
            _log.warning("%s can't be written: %s", self._log_path, error)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # These errors have said that the run can go on; who interrupts one may want it to.
        self._keep |= isinstance(error, StoppedError | WriteError | KeyboardInterrupt)
        if isinstance(error, FinishedElsewhereError) and not self._closed:
            self._close()
            self._folder.remove()
        self.abort()

    def _log_machine(self, event: str, **details: object) -> None:
        import h5py

        self.log(
            event,
            **details,
            host=platform.node(),
            machine=platform.machine(),
            system=f"{platform.system()} {platform.release()}",
            cpus=os.cpu_count(),
            process=os.getpid(),
            python=platform.python_version(),
            numpy=np.__version__,
            h5py=h5py.__version__,
            hdf5=h5py.version.hdf5_version,
        )

    def _new_buffer(self) -> list[Array]:
        # An array for each layer. Zeros also stand where a chunk reaches beyond the last column.
        return [
            np.zeros((layer.n_across, ROWS, layer.width), layer.dtype)
            for layer in self._recording.layers
        ]

    def _next_buffer(self) -> list[Array]:
        with suppress(queue.Empty):
            return self._free.get_nowait()
        if self._may_make:
            self._may_make -= 1
            return self._new_buffer()
        while True:
            with suppress(queue.Empty):
                return self._free.get(timeout=_LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        # While the thread keeps the caller waiting.
        if not self._folder.hurry.is_set() and self._stop():
            self._folder.hurry.set()

    def _check_stop(self) -> None:
        if reason := self._stop():
            duration = float(self._recording.times(self._rows, self._rows + 1)[0])
            raise StoppedError(reason, duration)

    def _is_due(self) -> bool:
        if self._committing.is_set():
            return False
        waited = time.monotonic() - self._last_commit
        if waited >= self._commit_seconds or self._spike_bytes >= self._commit_bytes:
            return True
        # When a chunk has just been filled, the fewest rows have to be carried.
        filled = self._rows % ROWS < max(1, self._rows - self._offered)
        return filled and self._committer.nbytes >= self._commit_bytes

    def _job(self, state: Arrays) -> _Job:
        spikes = np.concatenate([np.empty(0, SPIKE), *self._spikes])
        self._spikes = []
        self._spike_bytes = 0
        self._uncommitted = False
        held = self._rows % ROWS
        carry = [each[:, :held] for each in self._filling]
        return _Job(self._rows - held, spikes, held, carry, state, threading.Event())

    def _close(self) -> None:
        self._closed = True
        self._jobs.put(None)
        self._thread.join(_LOOK_SECONDS)
        while self._thread.is_alive():
            self._look()
            self._thread.join(_LOOK_SECONDS)

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the writer is closed")
        self._raise_error()

    def _raise_error(self) -> None:
        if error := self._error:
            if isinstance(error, FinishedElsewhereError):
                raise error
            reason = error if isinstance(error, AxonError) else f"{type(error).__name__}: {error}"
            n_rows = self._recording.n_rows
            safe = f"; {self.progress} of {n_rows} rows are safe in {self._folder.path}"
            told = unwritten(
                f"{reason}{safe if self.progress else ''}", getattr(error, "errno", None)
            )
            told.resumable = told.errno in PASSING
            raise told from error

    # The thread's side

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            # After an error the caller must not wait for ever, so jobs are taken, but not done.
            if self._error is None:
                try:
                    if isinstance(job, _Job):
                        self._committer.commit(job)
                    else:
                        self._committer.encode(job)
                except Exception as error:
                    self._error = error
            if isinstance(job, _Job):
                self._committing.clear()
                job.done.set()
            else:
                self._free.put(job)


def _cut(rows: Array, room: Array) -> None:
    # Put rows where `room` has their columns.
    width = room.shape[2]
    for j, block in enumerate(room):
        part = rows[:, j * width : (j + 1) * width]
        block[: len(part), : part.shape[1]] = part


def rows_per_second(output: Path) -> float | None:
    """How fast the rows of a run come that goes on, by its log; None if that doesn't tell."""
    lines = []
    with suppress(OSError), opened(output.with_name(output.name + ".log")) as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
        lines = log.read().splitlines()
    begun: tuple[float, float] | None = None
    rate = None
    for line in lines:
        with suppress(ValueError, TypeError, KeyError, OverflowError):
            told = json.loads(line)
            here = datetime.fromisoformat(told["at"]).timestamp(), float(told.get("rows", 0))
            if told["event"] in ("begin", "resume"):
                begun, rate = here, None
            elif told["event"] == "commit" and begun and here[0] > begun[0]:
                rate = max(0.0, here[1] - begun[1]) / (here[0] - begun[0])
    return rate or None


class _Job(NamedTuple):
    """A segment to be written, from the caller to the thread."""

    stop: int
    """The row after the last of those in whole chunks."""
    spikes: Array
    """Since the last segment, ``(k,)`` of `SPIKE`."""
    carried: int
    """How many rows there are after `stop`."""
    carry: list[Array]
    """Of each layer these rows, cut as chunks are: ``(n_across, carried, width)``."""
    state: Arrays
    """To go on from."""
    done: threading.Event
    """Set when the thread is through with it."""


class _Committer:
    """Makes chunks of rows, and segments of chunks."""

    def __init__(
        self, folder: Folder, recording: Recording, inputs: Arrays, log: Callable[..., None]
    ) -> None:
        self._folder = folder
        self._recording = recording
        self._inputs = inputs
        self._log = log
        self._chunks: list[Chunk] = []
        self._down = 0
        self.links: list[Segment] = []
        self.nbytes = 0
        """Of the chunks that are in no segment yet."""
        self.rows = 0
        """That are committed."""

    def begin(self, state: Arrays) -> None:
        """Write the first segment, which has no rows."""
        commit = Commit(0, [], np.empty(0, SPIKE), [], 0, state, self._inputs)
        self.links.append(self._folder.add(self._recording, commit, 0, FIRST))
        self._folder.drafts = True

    def resume(self, links: list[Segment]) -> None:
        """Go on after these segments."""
        self.links = links
        self._down = links[-1].stop // ROWS

    def encode(self, rows: Sequence[Array]) -> None:
        """Take of each layer the next rows that fill chunks, ``(n_across, ROWS, width)``."""
        chunks = self._encoded(rows, self._down)
        self._folder.draft(self._recording, chunks)
        self._chunks += chunks
        self.nbytes += sum(len(chunk.stream) for chunk in chunks)
        self._down += 1

    def _encoded(self, rows: Sequence[Array], down: int) -> list[Chunk]:
        return [
            Chunk(layer, down, across, self._recording.encode(block))
            for layer, blocks in zip(self._recording.layers, rows, strict=True)
            for across, block in enumerate(blocks)
        ]

    def commit(self, job: _Job) -> None:
        """Write a segment."""
        begin = time.monotonic()
        last = self.links[-1]
        segment = self._folder.add(self._recording, self._all(job), last.stop, last.digest)
        self._chunks = []
        self.nbytes = 0
        self.links.append(segment)
        self.rows = job.stop + job.carried
        seconds = round(time.monotonic() - begin, 6)
        self._log("commit", rows=self.rows, segment=segment.path.name, seconds=seconds)

    def finish(self, job: _Job, check: Callable[[], None]) -> None:
        """Make the finished file; what is in no segment goes there without one."""
        rest = self._all(job)._replace(inputs=self._inputs)
        try:
            self._folder.merge(self._recording, self.links, rest, check)
            self.rows = job.stop + job.carried
        except FinishedElsewhereError:
            raise
        except BaseException as error:
            self._folder.hurry.set()
            try:
                self.commit(job)
            except WriteError as unwritten:
                if isinstance(error, StoppedError):  # which would say that all is kept
                    raise unwritten from error
            raise

    def _all(self, job: _Job) -> Commit:
        short = [(0, 0), (0, ROWS - job.carried), (0, 0)]  # of a chunk's rows
        rows = [np.pad(each, short) for each in job.carry]
        carry = self._encoded(rows, job.stop // ROWS) if job.carried else []
        return Commit(job.stop, self._chunks, job.spikes, carry, job.carried, job.state)
