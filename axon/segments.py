"""The folder in which a run grows: immutable segments, merged into one file at the end.

A segment is built in memory, written under a temporary name and renamed, so it is there whole or
not at all. With rows and spikes it commits the state to go on from. Its name tells which rows it
adds, which segment it continues and, by a hash, what it holds. HDF5 itself never touches the disk:
it writes to memory, and in the merge through `_Sink`.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import itertools
import logging
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from axon import runfile
from axon.errors import AxonError, RunFileError, WriteError
from axon.runfile import ROWS, Recording

if TYPE_CHECKING:
    from typing_extensions import Buffer

Array = npt.NDArray[Any]
State = Mapping[str, Array | int | float]
FIRST = "0" * 16
"""What the first segment, which has no rows yet, names as the one it continues."""

_NAME = re.compile(r"seg-(\d{12})-(\d{12})-([0-9a-f]{16})-([0-9a-f]{16})\.h5")
_TEMPORARY = ".tmp"
_LOCK = "lock"

_log = logging.getLogger("axon")


# Which segments there are


class Segment(NamedTuple):
    """A segment, as its name describes it."""

    first: int
    """First row that it adds to the field."""
    stop: int
    """The row after the last that it adds."""
    previous: str
    """Digest of the segment that it continues, or `FIRST`."""
    digest: str
    """How the SHA-256 of its bytes begins."""
    path: Path


def parts_of(output: Path) -> Path:
    """The folder of segments of the run that becomes `output`."""
    return output.with_name(output.name + ".parts")


def chain(folder: Path) -> list[Segment]:
    """The segments of a run in their order, as far as it has come.

    Two processes that compute the same run leave two chains of the same rows, so the longest is
    as good as any.
    """
    continuing: dict[str, list[Segment]] = {}
    for path in sorted(folder.iterdir()):
        if match := _NAME.fullmatch(path.name):
            first, stop, previous, digest = match.groups()
            segment = Segment(int(first), int(stop), previous, digest, path)
            continuing.setdefault(previous, []).append(segment)

    before: dict[Segment, Segment | None] = {}
    reached = dict.fromkeys(s for s in continuing.get(FIRST, []) if s.first == 0)
    end: Segment | None = None
    while reached:
        before |= reached
        # Of two that end at the same row, the later one has come farther.
        end = max([*reached, *([end] if end else [])], key=lambda segment: segment.stop)
        reached = {
            after: segment
            for segment in reached
            for after in continuing.get(segment.digest, [])
            if after.first == segment.stop and after not in before
        }
    links = []
    while end:
        links.append(end)
        end = before[end]
    return links[::-1]


# Writing them


class Folder:
    """The folder of a run's segments, held by the one process that writes the run.

    Parameters
    ----------
    output : Path
        What the run becomes in the end.
    overwrite : bool
        Remove an unfinished run that is there, and let a finished one be replaced.

    Raises
    ------
    WriteError
        If there is a run and `overwrite` is false, if another process writes it, or if the folder
        can't be made.
    """

    def __init__(self, output: Path, overwrite: bool) -> None:
        self.output = output
        self.path = parts_of(output)
        if not output.parent.is_dir():
            raise WriteError(f"can't write {output}: there is no folder {output.parent}")
        if output.is_dir():
            raise WriteError(f"can't write {output}: it is a folder")
        if output.exists() and not overwrite:
            raise WriteError(
                f"{output} exists already: choose another name, or replace it (overwrite=True)"
            )
        with writing(self.path):
            self._lock = self._take_lock()
        try:
            # A first segment alone has no rows, so nothing would be lost.
            if len(chain(self.path)) > 1 and not overwrite:
                raise WriteError(
                    f"{self.path} holds a run that was not finished: read it with axon.open_run, "
                    "choose another name, or start anew (overwrite=True)"
                )
            with writing(self.path):
                self._remove_files()
        except BaseException:
            os.close(self._lock)
            raise

    def _take_lock(self) -> int:
        path = self.path / _LOCK
        while True:
            self.path.mkdir(exist_ok=True)
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # who held it has just removed the folder
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(lock)
                raise WriteError(f"another process is writing {self.output}") from error
            except OSError:
                # There are no locks on this file system. Two writers of one run do no harm.
                return lock
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), os.stat(path)):
                    return lock
            os.close(lock)

    def add(self, recording: Recording, commit: Commit, first: int, previous: str) -> Segment:
        """Write a segment: rows from `first`, after the segment with the digest `previous`."""
        image = _image(recording, commit, first, previous)
        digest = _digest(image)
        path = self.path / f"seg-{first:012d}-{commit.stop:012d}-{previous}-{digest}.h5"
        with self._renamed(path) as file:
            _write(file, image, 0)
        return Segment(first, commit.stop, previous, digest, path)

    def merge(self, recording: Recording, links: list[Segment], rest: Commit) -> None:
        """Make the finished file of all segments, and of the `rest` that is in none.

        The segments are checked to be as they were written.
        """
        sizes = [segment.path.stat().st_size for segment in links]
        needed = sum(sizes) + sum(len(chunk.stream) for chunk in rest.chunks)
        disk = os.statvfs(self.path)
        if (free := disk.f_bavail * disk.f_frsize) < needed:
            raise WriteError(
                f"can't write {self.output}: it needs {needed / 1e6:.0f} MB, and only "
                f"{free / 1e6:.0f} MB are free; what is committed is in {self.path}"
            )
        with self._renamed(self.output) as file:
            sink = _Sink(file)
            try:
                with h5py.File(sink, "w", libver=runfile.HDF5_VERSION) as merged:
                    _fill(merged, recording, links, rest, sink)
            finally:
                sink.check()

    @contextmanager
    def _renamed(self, target: Path) -> Iterator[int]:
        # A file that gets the name `target` when all that was written to it is on the disk.
        temporary = self.path / (secrets.token_hex(8) + _TEMPORARY)
        with writing(target):
            file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                try:
                    yield file
                    os.fsync(file)
                finally:
                    os.close(file)
                os.replace(temporary, target)
                _sync_folder(target.parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise

    def remove(self) -> None:
        """Remove the folder, but for files that are not of a run, and let others write."""
        try:
            self._remove_files()
            os.unlink(self.path / _LOCK)
            os.rmdir(self.path)
        except OSError as error:
            _log.warning("%s can't be removed: %s", self.path, error)
        os.close(self._lock)

    def release(self) -> None:
        """Leave the folder as it is, and let others write."""
        os.close(self._lock)

    def _remove_files(self) -> None:
        for path in self.path.iterdir():
            if _NAME.fullmatch(path.name) or path.name.endswith(_TEMPORARY):
                path.unlink(missing_ok=True)


class Chunk(NamedTuple):
    """A chunk of the field."""

    down: int
    """Row of chunks, counted from the beginning of the run."""
    across: int
    """Column of chunks."""
    stream: bytes
    """Its bytes in the file."""


class Commit(NamedTuple):
    """What a segment adds to a run."""

    stop: int
    """The row after the last that is in a whole chunk; at the end of the run, after the last."""
    chunks: list[Chunk]
    """All chunks up to there that no segment holds yet, in their order."""
    spikes: Array
    """Those since the segment before, ``(k,)`` of `runfile.SPIKE`."""
    carry: list[bytes]
    """A row of chunks with the rows that come after `stop`, or nothing if there are none."""
    carried: int
    """How many rows these are."""
    state: State
    """To go on from."""


def _image(recording: Recording, commit: Commit, first: int, previous: str) -> memoryview:
    # A segment's bytes.
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=runfile.HDF5_VERSION) as file:
        file.attrs["previous"] = runfile.text(previous)
        v = runfile.create(file, recording, first, commit.stop)
        for chunk in commit.chunks:
            _write_chunk(v, recording, first, chunk)

        carry = runfile.create_field(file.create_group("carry"), "v", recording, commit.carried)
        for j, stream in enumerate(commit.carry):
            carry.id.write_direct_chunk((0, j * recording.width), stream)

        spikes = runfile.Spikes(file, recording, len(commit.spikes))
        spikes.add(_sorted(commit.spikes))
        spikes.close()

        state = file.create_group("state")
        for name, value in commit.state.items():
            if isinstance(value, np.ndarray):
                field = runfile.write_vector(state, name, value.reshape(-1), recording)
                field.attrs["shape"] = np.array(value.shape, "<i8")
            else:
                state.attrs[name] = value
    return memory.getbuffer()


def _fill(
    file: h5py.File, recording: Recording, links: list[Segment], rest: Commit, sink: _Sink
) -> None:
    # All of the field, and only then the spikes: so the order in which HDF5 is given things, and
    # with it every byte of the file, doesn't depend on where segments end.
    v = runfile.create(file, recording, 0, recording.n_rows)
    n_spikes = len(rest.spikes)
    for segment, image in _images(links):
        with runfile.reading(segment.path, io.BytesIO(image)) as part:
            chunks = part.chunks("v", recording.dtype, 2)
            for down, across in np.ndindex(chunks.spans.shape[:-1]):
                stream = part.bytes_at(*chunks.span(down, across))
                chunk = Chunk(segment.first // ROWS + down, across, stream)
                _write_chunk(v, recording, 0, chunk)
            n_spikes += part.n_spikes()
        sink.check()
    for chunk in rest.chunks:
        _write_chunk(v, recording, 0, chunk)

    spikes = runfile.Spikes(file, recording, n_spikes)
    batches = (_spikes_of(segment) for segment in links)
    for batch in _in_order(itertools.chain(batches, [rest.spikes])):
        spikes.add(batch)
    spikes.close()


def _images(links: list[Segment]) -> Iterator[tuple[Segment, bytes]]:
    # The bytes of each segment, read and checked while those of the one before are used.
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_image_of, links[0])
        for segment, after in itertools.zip_longest(links, links[1:]):
            image = coming.result()
            if after:
                coming = reader.submit(_image_of, after)
            yield segment, image


def _image_of(segment: Segment) -> bytes:
    image = segment.path.read_bytes()
    if _digest(image) != segment.digest:
        raise RunFileError(f"{segment.path} is not as it was written: the disk may be faulty")
    return image


def _write_chunk(v: h5py.Dataset, recording: Recording, first: int, chunk: Chunk) -> None:
    at = chunk.down * ROWS - first, chunk.across * recording.width
    v.id.write_direct_chunk(at, chunk.stream)


def _spikes_of(segment: Segment) -> Array:
    with runfile.reading(segment.path) as part:
        return part.spikes()


def _in_order(batches: Iterable[Array]) -> Iterator[Array]:
    # Sorted batches of spikes, each from a later stretch of the run, as one sorted sequence. A
    # spike at the very end of a stretch may differ from its end by rounding, and no more.
    held = np.empty(0, runfile.SPIKE)
    for batch in batches:
        held = _sorted(np.concatenate([held, batch]))
        if len(held):
            settled = np.searchsorted(held["time"], held["time"][-1] * (1 - 1e-9))
            yield held[:settled]
            held = held[settled:]
    yield held


def _sorted(spikes: Array) -> Array:
    return spikes[np.lexsort((spikes["compartment"], spikes["time"]))]


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


# The disk


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's errors into WriteError."""
    try:
        yield
    except AxonError:
        raise
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror or error}") from error


def _write(file: int, data: memoryview, offset: int) -> None:
    # All of a run that gets to the disk gets there through here.
    while data:
        written = os.pwrite(file, data, offset)
        data = data[written:]
        offset += written


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class _Sink(io.RawIOBase):
    """A file that HDF5 writes to, and whose writes never fail.

    HDF5 may crash the process when it closes a file that it could not write. So it is not told:
    the first error is kept, what comes after is dropped, and `check` raises the error.
    """

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file
        self._error: OSError | None = None
        self._position = 0
        self._end = 0

    def check(self) -> None:
        if self._error:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        if self._error is None:
            try:
                _write(self._file, view, self._position)
            except OSError as error:
                self._error = error
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = os.pread(self._file, len(view), self._position)
        view[:] = data.ljust(len(view), b"\0")
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._end = self._position if size is None else size
        if self._error is None:
            os.ftruncate(self._file, self._end)
        return self._end

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
