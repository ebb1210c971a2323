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
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from axon.errors import AxonError, WriteError
from axon.runfile import ROWS, SPIKE, Recording, encode_header
from axon.segments import FIRST, Array, Chunk, Commit, Folder, Segment, State

_WAITING_BYTES = 64 * 2**20  # of rows that wait for the thread while it writes a segment

_log = logging.getLogger("axon")


class RunWriter:
    """Takes the rows and spikes of a run as they come, and makes a run file of them.

    While the caller goes on, a thread compresses the rows and writes them, a segment at a time,
    into the folder ``<path>.parts``. `finish` merges the segments into `path`, which exists
    exactly when the run is complete. What the file holds depends, to the byte, on what was handed
    in alone: not on the pieces it came in, nor on when segments were written.

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
    commit_bytes : int
        A segment is written when there are so many compressed bytes, ...
    commit_seconds : float
        ... or when so much wall time has passed since the last.
    overwrite : bool
        Replace a run that is there: an unfinished one now, a finished one at the end.

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
        commit_bytes: int = 64 * 2**20,
        commit_seconds: float = 300.0,
        overwrite: bool = False,
    ) -> None:
        if compression not in ("gzip", None):
            raise ValueError(f"compression = {compression!r} is neither 'gzip' nor None")
        encode_header(header)  # now, rather than in the thread
        self._recording = Recording(
            header=header,
            x=np.array(x, "<f8"),
            compartments=np.array(compartments, "<i8"),
            axon_x=np.array(axon_x, "<f8"),
            interval=float(interval),
            n_rows=n_rows,
            dtype=np.dtype(dtype).newbyteorder("<"),
            compressed=compression is not None,
        )
        self._commit_bytes = commit_bytes
        self._commit_seconds = commit_seconds

        # What the caller has handed in and the thread has not got yet.
        self._filling = self._new_buffer()
        self._rows = 0  # all that were handed in
        self._latest = 0  # the last time
        self._spikes: list[Array] = []
        self._spike_bytes = 0

        # Buffers that the thread is done with, and how many more there may be.
        self._free: queue.SimpleQueue[Array] = queue.SimpleQueue()
        self._may_make = max(1, _WAITING_BYTES // max(1, self._filling.nbytes))

        self.path = Path(path)
        self._folder = Folder(self.path, overwrite)
        self._log_path = self.path.with_name(self.path.name + ".log")
        try:
            self._begin_log()
            self._committer = _Committer(self._folder, self._recording, self.log)
            self._committer.commit(_Job(0, np.empty(0, SPIKE), self._filling[:, :0], {}))
        except BaseException:
            self._folder.remove()
            raise
        self._last_commit = self._begin = time.monotonic()
        self._error: Exception | None = None
        self._committing = threading.Event()
        self._closed = False
        self._jobs: queue.SimpleQueue[Array | _Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="axon-writer", daemon=True)
        self._thread.start()

    # The caller's side

    def rows(self, block: Array) -> None:
        """Take the next rows.

        Parameters
        ----------
        block : array
            Of the field's dtype, in mV, ``(k, m)``. It is copied, so the caller may use it again.
            The call waits only if the thread is far behind.
        """
        self._check()
        shape = (len(block), len(self._recording.x))
        if block.shape != shape or block.dtype != self._recording.dtype:
            raise ValueError(
                f"rows of shape {block.shape} and dtype {block.dtype}: they should have "
                f"{shape} and {self._recording.dtype}"
            )
        if self._rows + len(block) > self._recording.n_rows:
            raise ValueError(
                f"{self._rows} rows and {len(block)} more, but there will be "
                f"{self._recording.n_rows}"
            )
        self._latest = len(block)
        while len(block):
            held = self._rows % ROWS
            taken, block = block[: ROWS - held], block[ROWS - held :]
            # Chunk by chunk, so that the thread finds the bytes of each together.
            width = self._recording.width
            for j, chunk in enumerate(self._filling):
                part = taken[:, j * width : (j + 1) * width]
                chunk[held : held + len(part), : part.shape[1]] = part
            self._rows += len(taken)
            if self._rows % ROWS == 0:
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

    def state(self, get_state: Callable[[], State]) -> None:
        """Offer the state to go on from: that after all rows and spikes handed in so far.

        If a commit is due, `get_state` is called at once, and what it returns is committed with
        those rows and spikes. Else nothing happens. Nothing is committed but here and in `finish`,
        so a simulation calls this after every block.

        Parameters
        ----------
        get_state : callable
            Returns a dict of arrays and numbers; the arrays are not copied, so it must own them.
        """
        self._check()
        if self._is_due():
            held = self._rows % ROWS
            carry = self._filling[:, :held].copy()
            job = self._job(self._rows - held, carry, get_state())
            self._committing.set()
            self._last_commit = time.monotonic()
            self._jobs.put(job)

    @property
    def progress(self) -> int:
        """Rows that are committed."""
        return self._committer.rows

    def finish(self) -> None:
        """Make the finished file, and remove the segments.

        Raises
        ------
        WriteError
            If it can't be written. The segments then stay, and what is in none is committed.
        RunFileError
            If a segment is not as it was written.
        """
        self._check()
        if self._rows != self._recording.n_rows:
            raise ValueError(f"finished after {self._rows} of {self._recording.n_rows} rows")
        if held := self._rows % ROWS:
            self._filling[:, held:] = 0
            self._jobs.put(self._filling)
        self._stop()
        try:
            self._raise_error()
            self._committer.finish(self._job(self._rows, self._filling[:, :0], {}))
        except BaseException:
            self._folder.release()
            raise
        self.log("finish", rows=self._rows, seconds=round(time.monotonic() - self._begin, 3))
        self._folder.remove()

    def abort(self) -> None:
        """Stop, and leave what is committed; does nothing if the writer is closed."""
        if self._closed:
            return
        self._stop()
        self.log("abort", rows=self.progress)
        if len(self._committer.links) > 1:
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
            with open(self._log_path, "a", encoding="utf-8") as log:
                log.write(json.dumps({"event": event, "at": now, **details}) + "\n")
        except OSError as error:
            _log.warning("%s can't be written: %s", self._log_path, error)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _begin_log(self) -> None:
        with suppress(OSError):
            self._log_path.unlink()
        self.log(
            "begin",
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

    def _new_buffer(self) -> Array:
        # Zeros also stand where a chunk reaches beyond the last compartment.
        shape = (self._recording.n_across, ROWS, self._recording.width)
        return np.zeros(shape, self._recording.dtype)

    def _next_buffer(self) -> Array:
        with suppress(queue.Empty):
            return self._free.get_nowait()
        if self._may_make:
            self._may_make -= 1
            return self._new_buffer()
        return self._free.get()

    def _is_due(self) -> bool:
        if self._committing.is_set():
            return False
        waited = time.monotonic() - self._last_commit
        if waited >= self._commit_seconds or self._spike_bytes >= self._commit_bytes:
            return True
        # When a chunk has just been filled, the fewest rows have to be carried.
        filled = self._rows % ROWS < max(1, self._latest)
        return filled and self._committer.nbytes >= self._commit_bytes

    def _job(self, stop: int, carry: Array, state: State) -> _Job:
        spikes = np.concatenate([np.empty(0, SPIKE), *self._spikes])
        self._spikes = []
        self._spike_bytes = 0
        return _Job(stop, spikes, carry, state)

    def _stop(self) -> None:
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the writer is closed")
        self._raise_error()

    def _raise_error(self) -> None:
        if error := self._error:
            reason = error if isinstance(error, AxonError) else f"{type(error).__name__}: {error}"
            n_rows = self._recording.n_rows
            safe = f"; {self.progress} of {n_rows} rows are safe in {self._folder.path}"
            raise WriteError(f"{reason}{safe if self.progress else ''}") from error

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
            else:
                self._free.put(job)


class _Job(NamedTuple):
    """A segment to be written, from the caller to the thread."""

    stop: int
    """The row after the last of those in whole chunks; at the end of the run, after the last."""
    spikes: Array
    """Since the last segment, ``(k,)`` of `SPIKE`."""
    carry: Array
    """The rows after `stop`, cut as chunks are: ``(n_across, k, width)``."""
    state: State
    """To go on from."""


class _Committer:
    """Makes chunks of rows, and segments of chunks."""

    def __init__(self, folder: Folder, recording: Recording, log: Callable[..., None]) -> None:
        self._folder = folder
        self._recording = recording
        self._log = log
        self._chunks: list[Chunk] = []
        self._down = 0
        self.links: list[Segment] = []
        self.nbytes = 0
        """Of the chunks that are in no segment yet."""
        self.rows = 0
        """That are committed."""

    def encode(self, rows: Array) -> None:
        """Take the next rows that fill chunks, ``(n_across, ROWS, width)``."""
        for across, block in enumerate(rows):
            stream = self._recording.encode(block)
            self._chunks.append(Chunk(self._down, across, stream))
            self.nbytes += len(stream)
        self._down += 1

    def commit(self, job: _Job) -> None:
        """Write a segment."""
        begin = time.monotonic()
        first, previous = (self.links[-1].stop, self.links[-1].digest) if self.links else (0, FIRST)
        segment = self._folder.add(self._recording, self._all(job), first, previous)
        self._chunks = []
        self.nbytes = 0
        self.links.append(segment)
        self.rows = job.stop + job.carry.shape[1]
        seconds = round(time.monotonic() - begin, 6)
        self._log("commit", rows=self.rows, segment=segment.path.name, seconds=seconds)

    def finish(self, job: _Job) -> None:
        """Make the finished file; what is in no segment goes there without one."""
        try:
            self._folder.merge(self._recording, self.links, self._all(job))
            self.rows = job.stop
        except BaseException:
            with suppress(WriteError):
                self.commit(job)
            raise

    def _all(self, job: _Job) -> Commit:
        carried = job.carry.shape[1]
        chunk = np.zeros((ROWS, self._recording.width), self._recording.dtype)
        carry = []
        for block in job.carry if carried else ():
            chunk[:carried] = block
            carry.append(self._recording.encode(chunk))
        return Commit(job.stop, self._chunks, job.spikes, carry, carried, job.state)
