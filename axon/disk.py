"""Reading a run from its files, finished or still growing.

Rows are read when they are asked for. No segment is kept open: a run that ends while it is read,
and whose segments vanish, is read on from its finished file.
"""

from __future__ import annotations

import os
import threading
import weakref
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from axon import runfile
from axon.errors import RunFileError
from axon.program import saved_state_names
from axon.runfile import ROWS, Chunks, Layer, Recording, opened, readable, reading
from axon.runs import Array, Picks, Run
from axon.segments import chain, output_of, parts_of

T = TypeVar("T")

_LOOKS = 4  # for a run that changes while it is looked for
_CACHE_BYTES = 128 * 2**20  # of the chunks read last


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run for reading, whether it is finished or still goes on.

    Parameters
    ----------
    path : path-like
        The run file, even if there are only segments of it yet; or the folder of its segments.

    Returns
    -------
    Run

    Raises
    ------
    RunFileError
        If there is no run, or if it is damaged or of a newer layout.

    Examples
    --------
    >>> run = axon.open_run("run.h5")
    >>> run.v[:, 500].shape
    (301,)
    """
    return Run(_located(Path(path)))


class _Piece:
    """Rows from `first` to `stop`: of each layer one dataset of one file."""

    def __init__(
        self,
        path: Path,
        group: str,
        first: int,
        stop: int,
        file: BinaryIO | None = None,
    ) -> None:
        self.first = first
        self.stop = stop
        self._path = path
        self._group = group
        self._file = file
        self._known: dict[Layer, Chunks] = {}

    def chunks(self, layer: Layer) -> Chunks:
        """Where those of a layer lie in the file."""
        if layer not in self._known:
            shape = self.stop - self.first, layer.columns
            with reading(self._path, self._file) as part:
                chunks = part.chunks(self._group + layer.name, layer.dtype, 2)
                if chunks.shape != shape:
                    raise RunFileError(
                        f"its {layer.name} has the shape {chunks.shape} and not {shape}"
                    )
            self._known[layer] = chunks
        return self._known[layer]

    def chunk(self, layer: Layer, down: int, across: int) -> Array:
        """The values of a chunk; `down` counts from the beginning of the run."""
        chunks = self.chunks(layer)
        here = down - self.first // ROWS, across
        offset, size = chunks.span(*here)
        with readable(self._path), ExitStack() as stack:
            if self._file and self._file.closed:
                raise RunFileError("it was closed")
            file = self._file or stack.enter_context(opened(self._path))
            return chunks.decode(os.pread(file.fileno(), size, offset), *here)


class Disk:
    """A run in files: the finished one, or segments and the rows that the last one carries."""

    def __init__(
        self,
        path: Path,
        recording: Recording,
        pieces: list[_Piece],
        files: list[Path],
        file: BinaryIO | None = None,
    ) -> None:
        self.name = str(path)
        self.output = output_of(path)
        self.recording = recording
        self.rows = pieces[-1].stop
        self._path = path
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[Layer, int, int], Array] = OrderedDict()
        self._use(pieces, files, file)

    def _use(self, pieces: list[_Piece], files: list[Path], file: BinaryIO | None) -> None:
        self._pieces = pieces
        self._starts = [piece.first for piece in pieces]
        self._files = files
        self._file = file

    def read(self, layer: Layer, rows: Picks, columns: Picks) -> Array:
        values = np.empty((len(rows), len(columns)), layer.dtype)
        for down, to, some_rows in _by_chunk(rows, ROWS):
            band = np.empty((len(values[to]), len(columns)), values.dtype)
            for across, place, some_columns in _by_chunk(columns, layer.width):
                band[:, place] = self._chunk(layer, down, across)[some_rows][:, some_columns]
            values[to] = band
        return values

    def _chunk(self, layer: Layer, down: int, across: int) -> Array:
        with self._lock:
            chunk = self._cache.pop((layer, down, across), None)
            if chunk is None:
                chunk = self._steadily(lambda: self._piece(down).chunk(layer, down, across))
                while self._cache and (len(self._cache) + 1) * chunk.nbytes > _CACHE_BYTES:
                    self._cache.popitem(last=False)
            self._cache[layer, down, across] = chunk
            return chunk

    def _piece(self, down: int) -> _Piece:
        return self._pieces[bisect_right(self._starts, down * ROWS) - 1]

    def spikes(self) -> Array:
        with self._lock:
            return self._steadily(self._read_spikes)

    def _read_spikes(self) -> Array:
        found = [np.empty(0, runfile.SPIKE)]
        for path in self._files:
            with reading(path, self._file) as part:
                found.append(part.spikes())
        return np.concatenate(found)

    def final(self) -> dict[str, Array]:
        with self._lock:
            return self._steadily(self._read_final)

    def _read_final(self) -> dict[str, Array]:
        with reading(self._files[0], self._file) as part:
            if not part.has("inputs"):
                return {}  # an older axon has written it
            names = part.array("inputs", "program_names")
        with reading(self._files[-1], self._file) as part:
            values = part.array("state", "state")
        states = saved_state_names(names.tobytes())
        with readable(self._files[-1]):
            return dict(zip(states, values.reshape(-1, len(self.recording.axon_x)), strict=True))

    def inputs(self) -> dict[str, Array]:
        with self._lock:
            return self._steadily(self._read_inputs)

    def _read_inputs(self) -> dict[str, Array]:
        with reading(self._files[0], self._file) as part:
            return part.arrays("inputs") if part.has("inputs") else {}

    def _steadily(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except FileNotFoundError:
            # Since it was opened, the run has ended. What was in segments is in its file now.
            now = _located(self._path)
            if now.recording.header != self.recording.header or now.rows < self.rows:
                raise RunFileError(f"{self.name} is another run now: open it anew") from None
            self._use(now._pieces, now._files, now._file)
            self._now = now  # whose file is open as long as it lives
            return read()

    def refreshed(self) -> Disk:
        return _located(self._path)

    def close(self) -> None:
        if self._file:
            self._file.close()


def _located(path: Path) -> Disk:
    """What there is of a run.

    One that ends meanwhile has its file before its segments go, and a file that is to be longer
    becomes a segment: so whatever has gone is to be found elsewhere.
    """
    output = output_of(path)
    folder = path if output != path or path.is_dir() else parts_of(path)
    looks: list[Callable[[], Disk]] = [lambda: _growing(path, folder)]
    if folder != output:
        looks.insert(0, lambda: _finished(path, output))
    looks *= _LOOKS
    for look in looks:
        with suppress(FileNotFoundError):
            return look()
    raise RunFileError(f"there is no run {path}, neither a finished file nor segments of one")


def _finished(path: Path, output: Path) -> Disk:
    with ExitStack() as stack:
        with readable(output):
            file = stack.enter_context(opened(output))
        with reading(output, file) as part:
            if part.is_segment:
                raise RunFileError("it is a segment of a run; open the folder that it is in")
            recording = part.recording()
            if not recording.fits(recording.n_rows, part.size):
                raise RunFileError(f"it is too small for {recording.n_rows} rows")
        piece = _Piece(output, "", 0, recording.n_rows, file)
        for layer in recording.layers:
            piece.chunks(layer)
        stack.pop_all()
    run = Disk(path, recording, [piece], [output], file)
    weakref.finalize(run, file.close)
    return run


def _growing(path: Path, folder: Path) -> Disk:
    with readable(folder):
        links = chain(folder)
        if not links:
            raise FileNotFoundError(folder)
    first, last = links[0], links[-1]
    pieces = []
    with reading(first.path) as part:
        if not part.is_segment:  # a finished run that is to be longer
            rows = part.recording().n_rows
            if first.stop != rows - rows % ROWS:
                raise RunFileError(f"its name says that it has about {first.stop} rows")
            pieces.append(_Piece(first.path, "", 0, rows))
    with reading(last.path) as part:
        recording = part.recording()
        carried = part.chunks("carry/v", recording.dtype, 2).shape[0] if part.is_segment else 0
    for segment in links[len(pieces) :]:
        # What a name promises is a number from outside, too.
        if segment.first % ROWS:
            raise RunFileError(f"{segment.path} begins within a chunk of rows")
        if not recording.fits(segment.stop - segment.first, segment.path.stat().st_size):
            raise RunFileError(f"{segment.path} is too small for the rows in its name")
        if segment.first < segment.stop:
            pieces.append(_Piece(segment.path, "", segment.first, segment.stop))
    if len(links) > 1 or not pieces:
        pieces.append(_Piece(last.path, "carry/", last.stop, last.stop + carried))
    return Disk(path, recording, pieces, [segment.path for segment in links])


def _by_chunk(picks: Picks, length: int) -> Iterator[tuple[int, Any, Any]]:
    # For each chunk that is needed: its number, where its values go, and where they are in it.
    if isinstance(picks, range):
        done = 0
        while done < len(picks):
            chunk = picks[done] // length
            inside = range((chunk + 1) * length)[picks[done] :: picks.step]
            some = picks[done : done + len(inside)]
            here = slice(some[0] - chunk * length, some[-1] + 1 - chunk * length, picks.step)
            yield chunk, slice(done, done + len(some)), here
            done += len(some)
    else:
        for chunk in np.unique(picks // length).tolist():
            there = np.flatnonzero(picks // length == chunk)
            yield chunk, there, picks[there] - chunk * length
