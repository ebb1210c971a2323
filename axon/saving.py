"""Getting files to the disk: whole or not at all, and never by HDF5 itself.

What is written gets its name when all of it is there. HDF5 writes to memory, or through `Sink`,
which keeps the system's errors from it.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from axon.errors import AxonError, WriteError

if TYPE_CHECKING:
    from typing_extensions import Buffer

TEMPORARY = ".tmp"
"""How the names of files end that aren't whole yet."""

PASSING = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN")
    if hasattr(errno, name)
)
"""Errors of the disk that may pass."""
_FIRST_WAIT = 0.1  # seconds till the next attempt; then twice as many
_PIECE = 2**20  # bytes that are written at a time
_SYNC_BYTES = 8 * 2**20  # that are written between two syncs, or more if the disk is slower

_log = logging.getLogger("axon")


def free_bytes(output: Path) -> int | None:
    """Bytes that are free where a run is to be; None where that can't be known."""
    try:
        disk = os.statvfs(output.parent)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's errors into WriteError."""
    try:
        yield
    except AxonError:
        raise
    except OSError as error:
        told = f"can't write {path}: {error.strerror or error}"
        raise unwritten(told, error.errno) from error


@contextmanager
def renamed(target: Path, folder: Path) -> Iterator[int]:
    """A file that gets the name `target` when all that was written to it is on the disk.

    Until then it has a name of its own in `folder`, on the same file system.
    """
    temporary = folder / (secrets.token_hex(8) + TEMPORARY)
    with writing(target):
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            try:
                yield file
                os.fsync(file)
            finally:
                os.close(file)
            os.replace(temporary, target)
            sync_folder(target.parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def unwritten(told: str, number: int | None) -> WriteError:
    """A WriteError with the system's number; given to its constructor that would be its text."""
    error = WriteError(told)
    error.errno = number
    return error


def write(file: int, data: memoryview, offset: int) -> None:
    """Write all of `data`: all of a run that gets to the disk gets there through here."""
    # Pieces that fit into the processor's cache take a quarter of the time of all at once.
    while data:
        written = os.pwrite(file, data[:_PIECE], offset)
        data = data[written:]
        offset += written


def patiently(
    attempt: Callable[[], None],
    patience: float,
    longest: float,
    stopped: Callable[[float], object],
    failed: Callable[[WriteError], None] = lambda error: None,
) -> None:
    """Try to write again and again while the disk is full or fails, but not for ever.

    Parameters
    ----------
    attempt : callable
        Writes, or raises a WriteError.
    patience, longest : float
        Seconds from the first failure to the last attempt, and between two.
    stopped : callable
        Waits as many seconds as it is given, or returns what is true at once if there is a reason.
    failed : callable, optional
        Called with each WriteError; what it raises is the end.
    """
    deadline, wait = time.monotonic() + patience, _FIRST_WAIT
    while True:
        try:
            return attempt()
        except WriteError as error:
            failed(error)
            if error.errno not in PASSING or time.monotonic() + wait > deadline:
                raise
            if wait == _FIRST_WAIT:
                _log.warning("%s; trying again for %.0f s", error, patience)
            if stopped(wait):
                raise
            wait = min(2 * wait, longest)


def sync_folder(path: Path) -> None:
    """Get a folder's names to the disk: a loss of power would take new ones otherwise."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class _Place(io.RawIOBase):
    """Where HDF5 writes a file."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self._end = 0

    def _put(self, view: memoryview) -> None:
        raise NotImplementedError

    def _get(self, view: memoryview) -> None:
        raise NotImplementedError

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        self._put(view)
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        self._get(view)
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._end = self._position if size is None else size
        return self._end

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class Scratch(_Place):
    """A file in memory. While bytes get there, other threads run: in an `io.BytesIO` they wait.

    Parameters
    ----------
    size : int
        In bytes, about; it grows.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._bytes = np.zeros(size, np.uint8)

    def image(self) -> memoryview:
        """What the file holds."""
        self._reach(self._end)
        return self._bytes[: self._end].data

    def _reach(self, size: int) -> None:
        if size > len(self._bytes):
            more = np.zeros(max(size, 2 * len(self._bytes)), np.uint8)
            more[: len(self._bytes)] = self._bytes
            self._bytes = more

    def _put(self, view: memoryview) -> None:
        stop = self._position + len(view)
        self._reach(stop)
        self._bytes[self._position : stop] = np.frombuffer(view, np.uint8)

    def _get(self, view: memoryview) -> None:
        stop = self._position + len(view)
        self._reach(stop)
        view[:] = self._bytes[self._position : stop].data


class Sink(_Place):
    """A file on the disk, whose writes never fail.

    HDF5 may crash the process when it closes a file that it could not write. So it is not told:
    the first error is kept, what comes after is dropped, and `check` raises the error.

    What was written gets to the disk by a thread while more is written, so that whoever waits for
    all of it in the end waits for the rest only.
    """

    def __init__(self, file: int, check: Callable[[], None]) -> None:
        super().__init__()
        self._file = file
        self._check = check
        self._error: OSError | None = None
        self._process = os.getpid()
        self._thread = ThreadPoolExecutor(1)
        self._syncing: Future[None] | None = None
        self._unsynced = 0

    def close(self) -> None:
        """Wait for the thread; the file stays open."""
        if self._is_ours():
            self._settle()
            self._thread.shutdown()
        super().close()

    def check(self) -> None:
        if self._error:
            raise self._error
        self._check()

    def _put(self, view: memoryview) -> None:
        if not self._is_ours():
            return
        with self._kept():
            if self._error is None:
                write(self._file, view, self._position)
        self._unsynced += len(view)
        if self._unsynced >= _SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            self._settle()
            self._syncing = self._thread.submit(os.fsync, self._file)
            self._unsynced = 0

    def _settle(self) -> None:
        if self._syncing:
            with self._kept():
                self._syncing.result()  # the system tells of an error once
            self._syncing = None

    def _get(self, view: memoryview) -> None:
        data = b""
        with self._kept():
            data = os.pread(self._file, len(view), self._position)
        view[:] = data.ljust(len(view), b"\0")

    def truncate(self, size: int | None = None) -> int:
        end = super().truncate(size)
        with self._kept():
            if self._error is None and self._is_ours():
                os.ftruncate(self._file, end)
        return end

    def _is_ours(self) -> bool:
        # A process that was forked meanwhile closes HDF5's files when it ends, and has no thread.
        return os.getpid() == self._process

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error
