"""The folder in which a run grows: immutable segments, merged into one file at the end.

A segment is built in memory, written under a temporary name and renamed, so it is there whole or
not at all. With rows and spikes it commits the state to go on from. Its name tells which rows it
adds, which segment it continues and, by a hash, what it holds. The finished file is made beside
them while the run goes on, as a draft; or of them, where there is none.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from axon import runfile
from axon.errors import AxonError, RunFileError, WriteError
from axon.runfile import ROWS, Arrays, Layer, Recording
from axon.saving import (
    TEMPORARY,
    Scratch,
    Sink,
    free_bytes,
    patiently,
    renamed,
    sync_folder,
    unwritten,
    write,
    writing,
)

if TYPE_CHECKING:
    import h5py

Array = npt.NDArray[Any]
_DIGITS = 16  # of a digest
FIRST = "0" * _DIGITS
"""What the first segment, which has no rows yet, names as the one it continues."""

_NAME = re.compile(r"seg-(\d{12})-(\d{12})-([0-9a-f]{16})-([0-9a-f]{16})\.h5")
_DAMAGED = ".damaged"
_LOCK = "lock"
_OF_OUR_OWN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a file: no link, no pipe
_LOCK_SECONDS = 0.2  # to wait for a lock

_SLACK = 2**18  # bytes of a segment that aren't data, about
_LONGEST_WAIT = 10.0  # seconds till the next attempt

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


def output_of(path: Path) -> Path:
    """The run file, of its own path or of that of its folder of segments."""
    return path.with_suffix("") if path.suffix == ".parts" else path


def is_begun(output: Path) -> bool:
    """Whether there is a segment of a run."""
    folder = parts_of(output)
    return folder.is_dir() and bool(chain(folder))


def chain(folder: Path, without: Collection[Path] = ()) -> list[Segment]:
    """The segments of a run in their order, as far as it has come; some may be left out.

    Two processes that compute the same run leave two chains of the same rows, so the longest is
    as good as any.
    """
    continuing: dict[str, list[Segment]] = {}
    for path in sorted(folder.iterdir()):
        if path not in without and (match := _NAME.fullmatch(path.name)):
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


class Begun(NamedTuple):
    """A run as far as its folder has it."""

    recording: Recording
    links: list[Segment]
    inputs: Arrays
    """What the run is made from."""
    state: Arrays
    """To go on from."""
    carry: list[Array]
    """Of each layer the rows that belong to no whole chunk yet, ``(k, columns)``."""
    damaged: list[Path]
    """Segments that are not as they were written."""
    longer: bool = False
    """Whether `recording` is of a longer run than its segments say."""


class FinishedElsewhereError(AxonError):
    """Another process has finished the same run: its file is there, the segments are gone."""


class Folder:
    """The folder of a run's segments, held by the one process that writes the run.

    Parameters
    ----------
    output : Path
        What the run becomes in the end.
    patience : float
        Seconds for which to try again while the disk is full or fails.

    Raises
    ------
    WriteError
        If another process writes the run, or if the folder can't be made.
    """

    def __init__(self, output: Path, patience: float = 0.0) -> None:
        self.output = output
        self.path = parts_of(output)
        self.patience = patience
        self.hurry = threading.Event()
        """Set when there is no time to try again."""
        self.locked = False
        """Whether nobody else can hold it: there are file systems without locks."""
        self.drafts = False
        """Whether `draft` gets all chunks of the run."""
        self._draft: _Draft | None = None
        self._there = _identity(output)
        if output_of(output) != output:
            raise WriteError(
                f"can't write {output}: names in .parts are those of folders of unfinished runs; "
                f"choose another, such as {output.stem}.h5"
            )
        if not output.parent.is_dir():
            raise WriteError(f"can't write {output}: there is no folder {output.parent}")
        if output.is_dir():
            raise WriteError(f"can't write {output}: it is a folder")
        with writing(self.path):
            self._lock = self._take_lock()

    @classmethod
    def new(cls, output: Path, overwrite: bool, patience: float = 0.0) -> Folder:
        """One without segments.

        Parameters
        ----------
        overwrite : bool
            Remove an unfinished run that is there, and let a finished one be replaced.

        Raises
        ------
        WriteError
            Also if there is a run and `overwrite` is false.
        """
        if output.is_file() and not overwrite:
            raise WriteError(
                f"{output} exists already: choose another name, or replace it (overwrite=True)"
            )
        folder = cls(output, patience)
        try:
            if not overwrite and _have_rows(chain(folder.path)):
                raise WriteError(
                    f"{folder.path} holds a run that was not finished: go on with axon.resume, "
                    "choose another name, or start anew (overwrite=True)"
                )
            if folder.locked or overwrite:
                with writing(folder.path):
                    folder._remove_files()
        except BaseException:
            folder.release()
            raise
        return folder

    def _take_lock(self) -> int:
        path = self.path / _LOCK
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            with suppress(FileExistsError):
                self.path.mkdir()
                sync_folder(self.path.parent)
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT | _OF_OUR_OWN, 0o666)
            except FileNotFoundError as error:
                if self.path.is_symlink() and not self.path.exists():
                    raise WriteError(f"can't write in {self.path}: it leads nowhere") from error
                continue  # who held it has just removed the folder
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(lock)
                if time.monotonic() < deadline:  # `is_written` looks no longer than that
                    time.sleep(_LOCK_SECONDS / 10)
                    continue
                raise WriteError(f"another process is writing {self.output}") from error
            except OSError:
                # There are no locks on this file system. Two writers of one run do no harm.
                return lock
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), os.stat(path)):
                    self.locked = True
                    return lock
            os.close(lock)

    def begun(self) -> Begun:
        """The run that is here: what is sound of it, each segment being as it was written.

        Segments that are damaged, and those after them, don't count.

        Raises
        ------
        RunFileError
            If there is none, if there are two, or if its first segment can't be read.
        """
        damaged: list[Path] = []
        sound: set[Path] = set()
        links = chain(self.path)
        known = 0
        while known < len(links):
            path = links[known].path
            if path in sound or _is_sound(links[known]):
                sound.add(path)
                known += 1
            else:
                damaged.append(path)
                links = chain(self.path, damaged)
                known = 0
        if not links:
            told = f"{damaged[0]} is damaged" if damaged else f"there is no run in {self.path}"
            raise RunFileError(f"{told}: there is nothing to go on from")
        roots = [path for path in self.path.iterdir() if _is_root(path) and path not in damaged]
        if len(roots) > 1:
            raise RunFileError(f"{self.path} holds segments of {len(roots)} runs: keep one's only")
        with runfile.reading(links[0].path) as part:
            if not part.has("inputs"):
                raise RunFileError("it holds nothing to go on from: an older axon has written it")
            inputs = part.arrays("inputs")
        with runfile.reading(links[-1].path) as part:
            state = part.arrays("state")
            recording = part.recording()
            carry = _carry_of(part, recording)
        return Begun(recording, links, inputs, state, carry, damaged)

    def tidy(self, damaged: list[Path]) -> None:
        """Give damaged segments another name, under which they stay till the run is finished.

        What writers that were killed have left half written is removed.
        """
        if self.locked:
            with writing(self.path):
                for path in self.path.glob("*" + TEMPORARY):
                    path.unlink()
        for path in damaged:
            _log.warning("%s is damaged: what it held is computed again", path)
            with writing(path), suppress(FileNotFoundError):
                os.replace(path, path.with_name(path.name + _DAMAGED))

    def take_finished(self) -> None:
        """Make the finished run the first segment of one that is to be longer."""
        with runfile.reading(self.output) as part:
            rows = part.recording().n_rows
            part.check_data()
        with writing(self.path):
            self._remove_files()
            name = f"seg-{0:012d}-{rows - rows % ROWS:012d}-{FIRST}-{_digest_of(self.output)}.h5"
            os.replace(self.output, self.path / name)
            sync_folder(self.path)
            sync_folder(self.output.parent)

    def add(self, recording: Recording, commit: Commit, first: int, previous: str) -> Segment:
        """Write a segment: rows from `first`, after the segment with the digest `previous`."""
        image = _image(recording, commit, first, previous)
        digest = _digest(image)
        path = self.path / f"seg-{first:012d}-{commit.stop:012d}-{previous}-{digest}.h5"

        def attempt() -> None:
            with renamed(path, self.path) as file:
                write(file, image, 0)

        self._patiently(attempt, recording)
        return Segment(first, commit.stop, previous, digest, path)

    def merge(
        self,
        recording: Recording,
        links: list[Segment],
        rest: Commit,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the finished file of all segments, and of the `rest` that is in none.

        If there is a draft, it becomes that file. Else the segments are checked to be as they were
        written. `check` is called now and then, and what it raises is the end of it.
        """

        def attempt() -> None:
            check()
            sizes = [segment.path.stat().st_size for segment in links]
            needed = sum(sizes) + sum(len(chunk.stream) for chunk in rest.chunks)
            if (free := free_bytes(self.output)) is not None and free < needed:
                raise unwritten(
                    f"can't write {self.output}: it needs {needed / 1e6:.0f} MB, and only "
                    f"{free / 1e6:.0f} MB are free; what is committed is in {self.path}",
                    errno.ENOSPC,
                )
            with _Draft(self.output, self.path, recording, check) as draft:
                n_spikes = 0
                for segment, part in _parts(links):
                    with runfile.readable(segment.path):
                        draft.copy(segment, part)
                        n_spikes += part.n_spikes()
                draft.add(rest.chunks)
                draft.complete(links, rest, n_spikes)

        if not self._has_completed(links, rest):
            self._patiently(attempt, recording)

    def draft(self, recording: Recording, chunks: Iterable[Chunk]) -> None:
        """Write the next chunks where the finished file is being made already.

        That saves time in the end, and nothing else: whatever goes wrong is the end of the draft,
        and then the file is made of the segments.
        """
        if not self.drafts:
            return
        try:
            if self._draft is None:
                self._draft = _Draft(self.output, self.path, recording, lambda: None)
            self._draft.add(chunks)
        except (OSError, AxonError) as error:
            _log.info("%s can't be drafted: %s", self.output, error)
            self._drop_draft()

    def _drop_draft(self) -> None:
        self.drafts = False  # another one would lack what this one holds
        if self._draft is not None:
            self._draft.drop()
            self._draft = None

    def _has_completed(self, links: list[Segment], rest: Commit) -> bool:
        # Whether a draft has become the finished file.
        if self._draft is None:
            return False
        try:
            with self._draft as draft:
                n_spikes = 0
                for segment in links:
                    with runfile.reading(segment.path) as part:
                        n_spikes += part.n_spikes()
                draft.complete(links, rest, n_spikes)
        except (OSError, AxonError) as error:
            _log.info("%s can't be drafted: %s", self.output, error)
            return False
        finally:
            self._draft = None
        return True

    def _patiently(self, attempt: Callable[[], None], recording: Recording) -> None:
        def failed(error: WriteError) -> None:
            self._drop_draft()  # which may be what fills the disk
            if self._finished_elsewhere(recording):
                raise FinishedElsewhereError(str(self.output)) from error

        def or_vanished() -> None:
            try:
                attempt()
            except FileNotFoundError as error:
                raise WriteError(f"a segment has vanished: {error.filename}") from error

        patiently(or_vanished, self.patience, _LONGEST_WAIT, self.hurry.wait, failed)

    def _finished_elsewhere(self, recording: Recording) -> bool:
        # Only where locks do nothing.
        if _identity(self.output) in (None, self._there):
            return False
        try:
            with runfile.reading(self.output) as part:
                return part.header() == recording.header
        except (OSError, RunFileError):
            return False

    def remove(self) -> None:
        """Remove the folder, but for files that are not of a run, and let others write."""
        self._drop_draft()
        try:
            self._remove_files()
        except OSError as error:
            if error.errno != errno.ENOENT:
                _log.warning("%s can't be removed: %s", self.path, error)
        self._leave()

    def release(self) -> None:
        """Leave what is in the folder as it is, and let others write."""
        self._drop_draft()
        with suppress(OSError):
            if any(path.name != _LOCK for path in self.path.iterdir()):
                os.close(self._lock)
                return
        self._leave()

    def _leave(self) -> None:
        # In this order: who opens the lock that has been removed finds out, and looks again.
        with suppress(OSError):
            os.unlink(self.path / _LOCK)
        with suppress(OSError):  # by whoever is the last, where locks do nothing
            os.rmdir(self.path)
        os.close(self._lock)

    def _remove_files(self) -> None:
        ours = (TEMPORARY, _DAMAGED) if self.locked else (_DAMAGED,)
        for path in self.path.iterdir():
            if _NAME.fullmatch(path.name) or path.name.endswith(ours):
                path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    # Another file under that name has another.
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def is_written(output: Path) -> bool:
    """Whether some process holds the folder of a run, where locks can tell."""
    try:
        lock = os.open(parts_of(output) / _LOCK, os.O_RDONLY | _OF_OUR_OWN)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False


def _is_sound(segment: Segment) -> bool:
    try:
        return _digest_of(segment.path) == segment.digest
    except FileNotFoundError:
        return False
    except RunFileError as error:
        if isinstance(error.__cause__, PermissionError):
            raise  # nothing is known of what it holds
        return False


def _carry_of(part: runfile.Reader, recording: Recording) -> list[Array]:
    # The rows that fill no chunk: of a segment its carry, of a finished file its last ones.
    carry: list[Array] = []
    for layer in recording.layers:
        if part.is_segment:
            chunks, down = part.chunks(f"carry/{layer.name}", layer.dtype, 2), 0
            held = chunks.shape[0]
        else:
            chunks = part.chunks(layer.name, layer.dtype, 2)
            down, held = divmod(chunks.shape[0], ROWS)
        if held >= ROWS or chunks.shape[1] != layer.columns:
            raise RunFileError(f"its last rows have the shape {chunks.shape}")
        rows = np.empty((held, layer.columns), layer.dtype)
        for across in range(layer.n_across) if held else ():
            stream = part.bytes_at(*chunks.span(down, across))
            columns = slice(across * layer.width, (across + 1) * layer.width)
            rows[:, columns] = chunks.decode(stream, down, across)
        carry.append(rows)
    if len({len(rows) for rows in carry}) > 1:
        raise RunFileError("its last rows are not as many everywhere")
    return carry


def _have_rows(links: list[Segment]) -> bool:
    # A first segment alone has none, unless it is a finished run that is to be longer.
    if len(links) != 1:
        return len(links) > 1
    with runfile.reading(links[0].path) as part:
        return not part.is_segment


def _is_root(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    return match is not None and match[3] == FIRST


class Chunk(NamedTuple):
    """A chunk of a layer."""

    layer: Layer
    down: int
    """Row of chunks, counted from the beginning of the run."""
    across: int
    """Column of chunks."""
    stream: bytes
    """Its bytes in the file."""


class Commit(NamedTuple):
    """What a segment adds to a run."""

    stop: int
    """The row after the last that is in a whole chunk."""
    chunks: list[Chunk]
    """All chunks up to there that no segment holds yet, in their order."""
    spikes: Array
    """Those since the segment before, ``(k,)`` of `runfile.SPIKE`."""
    carry: list[Chunk]
    """A row of chunks with the rows that come after `stop`, or nothing if there are none."""
    carried: int
    """How many rows these are."""
    state: Arrays
    """To go on from."""
    inputs: Arrays = MappingProxyType({})
    """What the run is made from; of the first segment and of the end of a run."""


def _image(recording: Recording, commit: Commit, first: int, previous: str) -> memoryview:
    # A segment's bytes.
    import h5py

    streams = sum(len(chunk.stream) for chunk in (*commit.chunks, *commit.carry))
    arrays = sum(array.nbytes for array in (*commit.state.values(), *commit.inputs.values()))
    memory = Scratch(streams + arrays + commit.spikes.nbytes + _SLACK)
    with h5py.File(memory, "w", libver=runfile.HDF5_VERSION) as file:
        file.attrs["previous"] = runfile.text(previous)
        layers = runfile.create(file, recording, first, commit.stop)
        for chunk in commit.chunks:
            _write_chunk(layers, first, chunk)

        layers = runfile.create_layers(file.create_group("carry"), recording, commit.carried)
        for chunk in commit.carry:
            _write_chunk(layers, commit.stop, chunk)

        spikes = runfile.Spikes(file, recording, len(commit.spikes))
        spikes.add(_sorted(commit.spikes))
        spikes.close()

        runfile.write_arrays(file, "state", commit.state, recording)
        if commit.inputs:
            runfile.write_arrays(file, "inputs", commit.inputs, recording)
    return memory.image()


class _DroppedError(AxonError):
    """Nobody wants this file."""


class _Draft:
    """The finished file while it is made; where its ``with`` ends well it gets its name.

    First come all of the layers, and only then the spikes: so the order in which HDF5 is given
    things, and with it every byte of the file, doesn't depend on where segments end.
    """

    def __init__(
        self, output: Path, folder: Path, recording: Recording, check: Callable[[], None]
    ) -> None:
        import h5py

        self._recording = recording
        with ExitStack() as stack:
            self._sink = Sink(stack.enter_context(renamed(output, folder)), check)
            stack.callback(self._sink.check)
            stack.callback(self._sink.close)
            file = h5py.File(self._sink, "w", libver=runfile.HDF5_VERSION)
            self._file = stack.enter_context(file)
            self._layers = runfile.create(self._file, recording, 0, recording.n_rows)
            self._sink.check()
            self._end = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: Any) -> bool | None:
        return self._end.__exit__(*about)

    def drop(self) -> None:
        """Remove it."""
        with suppress(AxonError), self:
            raise _DroppedError

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Write chunks, which come in their order."""
        for chunk in chunks:
            _write_chunk(self._layers, 0, chunk)
            self._sink.check()

    def copy(self, segment: Segment, part: runfile.Reader) -> None:
        """Write the whole chunks of a segment, or of a finished run that goes on."""
        lying = {layer: part.chunks(layer.name, layer.dtype, 2) for layer in self._layers}
        for layer, chunks in lying.items():
            rows, columns = chunks.shape
            held = rows if part.is_segment else rows - rows % ROWS
            if held != segment.stop - segment.first or columns != layer.columns:
                raise RunFileError(f"its {layer.name} has the shape {chunks.shape}")
        first = segment.first // ROWS
        for down in range((segment.stop - segment.first) // ROWS):
            for layer, chunks in lying.items():
                for across in range(layer.n_across):
                    stream = part.bytes_at(*chunks.span(down, across))
                    self.add([Chunk(layer, first + down, across, stream)])

    def complete(self, links: list[Segment], rest: Commit, n_spikes: int) -> None:
        """Write all but whole chunks, `n_spikes` being how many there are in segments."""
        self.add(rest.carry)
        spikes = runfile.Spikes(self._file, self._recording, n_spikes + len(rest.spikes))
        for batch in _in_order(itertools.chain(_spikes_of(links), [rest.spikes])):
            spikes.add(batch)
        spikes.close()
        runfile.write_arrays(self._file, "state", rest.state, self._recording)
        runfile.write_arrays(self._file, "inputs", rest.inputs, self._recording)


def _parts(links: list[Segment]) -> Iterator[tuple[Segment, runfile.Reader]]:
    # Each segment, checked, and opened; the next one is looked at meanwhile.
    with ThreadPoolExecutor(1) as looking:
        coming = looking.submit(_checked, links[0])
        try:
            for segment, after in itertools.zip_longest(links, links[1:]):
                with coming.result() as file:
                    if after:
                        coming = looking.submit(_checked, after)
                    with runfile.reading(segment.path, file) as part:
                        yield segment, part
        finally:
            coming.add_done_callback(_close)


def _close(last: Future[io.BufferedReader]) -> None:
    if last.exception() is None:
        last.result().close()


def _checked(segment: Segment) -> io.BufferedReader:
    with runfile.readable(segment.path):
        file = runfile.opened(segment.path)  # who gets it closes it
    if _digest_in(file) != segment.digest:
        file.close()
        raise RunFileError(f"{segment.path} is not as it was written: the disk may be faulty")
    return file


def _write_chunk(layers: Mapping[Layer, h5py.Dataset], first: int, chunk: Chunk) -> None:
    at = chunk.down * ROWS - first, chunk.across * chunk.layer.width
    layers[chunk.layer].id.write_direct_chunk(at, chunk.stream)


def _spikes_of(links: list[Segment]) -> Iterator[Array]:
    for segment in links:
        with runfile.reading(segment.path) as part:
            yield from part.spike_batches()


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
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _digest_of(path: Path) -> str:
    with runfile.readable(path), runfile.opened(path) as file:
        return _digest_in(file)


def _digest_in(file: io.BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
