"""One HDF5 file of a run: a finished ``run.h5``, or a segment of a run that still goes on.

Both have one layout, which docs/run-file.md describes: `create` and `Filling` write it, `Reader`
reads it. Every dataset is cut into chunks, and each chunk is a zlib stream, so all data stand
under a checksum. A file is input from outside: the reader takes no number from it unchecked, and
undoes the compression itself, so that no filter, link or size in a file decides what happens.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from axon import _kernel
from axon.errors import RunFileError
from axon.records import Record

if TYPE_CHECKING:
    import h5py

FORMAT = "axon-run"
LAYOUT = 3
"""Of files with electrodes; without, a file is as in layout 2, and says so."""
ROWS = 256
"""Rows of the field in a chunk."""
COLUMNS = 1000
"""Compartments of the field in a chunk, or all where there are fewer."""
LENGTH = 16384
"""Values in a chunk of a one-dimensional dataset, or all where there are fewer."""
SPIKE = np.dtype([("time", "<f8"), ("compartment", "<i8")])
"""A spike in memory: its time in ms, and the compartment's number."""
MOST_ROWS = 10**12

# From this version on, HDF5 puts checksums on what it keeps about the data.
HDF5_VERSION = ("v110", "v110")

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DATASPACE, _LAYOUT, _CONTINUATION = 0x01, 0x08, 0x10  # kinds of HDF5's messages
_MOST_OF_HEADER = 1 << 20  # bytes of a block of them
_SMALLEST_STREAM = 8  # bytes of a zlib stream
_ARRAY_TYPES = tuple(map(np.dtype, ("<f8", "<f4", "<i8", "<i4", "u1")))
_MOST_DIMENSIONS = 4  # of an array
_MOST_HEADER = 64 * 2**20  # bytes
_DEFLATE_LIMIT = 1032  # deflate makes nothing smaller than by this factor
_STORED_BLOCK = 65535  # bytes, the most that deflate stores in one block

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Encoder = Callable[[Array], bytes]


# Chunks


def compress(block: Array) -> bytes:
    """A chunk as HDF5's shuffle and deflate filters write it: planes of bytes, one zlib stream.

    By our own encoder: several times as fast as zlib on a smooth field, without the GIL, and
    its bytes depend neither on the machine nor on which zlib Python was built with.
    """
    return _kernel.deflate(block)


def store(block: Array) -> bytes:
    """A chunk as a zlib stream that compresses nothing, for its checksum's sake."""
    data = block.reshape(-1, 1).view(np.uint8).reshape(-1).data
    stream: list[bytes | memoryview] = [b"\x78\x01"]
    for start in range(0, len(data), _STORED_BLOCK):
        part = data[start : start + _STORED_BLOCK]
        final = start + len(part) == len(data)
        stream += [struct.pack("<BHH", final, len(part), len(part) ^ 0xFFFF), part]
    stream.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(stream)


def expand(stream: bytes, count: int, dtype: np.dtype[Any], shuffled: bool) -> Array:
    """The `count` values that `compress` or `store` was given; RunFileError for anything else."""
    size = count * dtype.itemsize
    inflate = zlib.decompressobj()
    try:
        # Room for one byte beyond the data: enough to meet the checksum, too little for a bomb.
        data = inflate.decompress(stream, size + 1)
    except zlib.error as error:
        raise RunFileError(f"a chunk of data is damaged ({error})") from error
    if not inflate.eof or len(data) != size:
        raise RunFileError("a chunk of data is damaged (it has the wrong length)")
    if not shuffled:
        return np.frombuffer(data, dtype)
    planes = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)


# What the files of a run have in common


class Layer(NamedTuple):
    """A dataset with a row for each time that is recorded."""

    name: str
    columns: int
    places: str
    """What they are."""
    dtype: np.dtype[Any]
    long_name: str

    @property
    def width(self) -> int:
        """Columns in a chunk."""
        return max(1, min(self.columns, COLUMNS))

    @property
    def n_across(self) -> int:
        """Chunks that a row runs through."""
        return -(-self.columns // self.width)


class Recording(Record):
    """What is recorded: which run, at what places and times."""

    header: dict[str, Any]
    """The run's inputs and the version of the program, as JSON has it."""
    x: npt.NDArray[np.float64]
    """Positions of the recorded compartments in µm, ``(m,)``."""
    compartments: npt.NDArray[np.int64]
    """Their numbers, ``(m,)``."""
    axon_x: npt.NDArray[np.float64]
    """Positions of all compartments in µm, ``(n,)``: spikes are detected in each."""
    interval: float
    """Between two rows, in ms."""
    first: int
    """Number of the first row, that of time zero being 0."""
    n_rows: int
    """Of the finished run."""
    dtype: np.dtype[Any]
    """Of the field."""
    compressed: bool
    """Or stored as it is."""
    electrodes: int = 0
    """Outside the axon, that record."""

    def __post_init__(self) -> None:
        m, n = len(self.x), len(self.axon_x)
        if len(self.compartments) != m:
            raise ValueError(f"there are {m} positions, but {len(self.compartments)} compartments")
        if m and not 0 <= self.compartments.min() <= self.compartments.max() < n:
            raise ValueError(f"a recorded compartment is not among the {n} of the axon")
        if not (np.isfinite(self.x).all() and np.isfinite(self.axon_x).all()):
            raise ValueError("a position is not finite")
        if not (math.isfinite(self.interval) and self.interval > 0):
            raise ValueError(f"interval = {self.interval!r} is not positive and finite")
        for name, number in (("first", self.first), ("n_rows", self.n_rows)):
            if not 0 <= number < MOST_ROWS:
                raise ValueError(f"{name} = {number!r} is not from 0 to {MOST_ROWS - 1}")
        if self.dtype not in (np.dtype("<f4"), np.dtype("<f8")):
            raise ValueError(f"dtype = {self.dtype} is neither float32 nor float64")

    @cached_property
    def field(self) -> Layer:
        """The membrane potential."""
        return Layer("v", len(self.x), "compartments", self.dtype, "membrane potential")

    @cached_property
    def outside(self) -> Layer:
        """What electrodes record."""
        name = "potential at electrodes outside the axon"
        return Layer("electrodes", self.electrodes, "electrodes", np.dtype("<f8"), name)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Those that a file has."""
        return (self.field, self.outside) if self.electrodes else (self.field,)

    def times(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """When the rows from `start` to `stop` are, in ms."""
        return np.arange(self.first + start, self.first + stop, dtype=np.float64) * self.interval

    def fits(self, rows: int, size: int) -> bool:
        """Whether a file of `size` bytes could hold so many rows and their times."""
        row_bytes = 8 + sum(layer.columns * layer.dtype.itemsize for layer in self.layers)
        return rows * row_bytes <= _DEFLATE_LIMIT * size

    @property
    def encode(self) -> Encoder:
        """What makes a chunk's values its bytes in the file."""
        return compress if self.compressed else store


# Writing


def create(
    file: h5py.File, recording: Recording, first: int, stop: int
) -> dict[Layer, h5py.Dataset]:
    """Write all of a file but its spikes, the data of its layers, its state and inputs.

    Returns the layers, of rows `first` to `stop`, for their chunks to be written directly.
    """
    file.attrs["format"] = text(FORMAT)
    file.attrs["layout"] = np.array(LAYOUT if recording.electrodes else 2, "<i8")
    file.attrs["interval"] = np.array(recording.interval, "<f8")
    file.attrs["first"] = np.array(recording.first, "<i8")
    file.attrs["rows"] = np.array(recording.n_rows, "<i8")

    filling = Filling(file, "time", (stop - first,), np.dtype("<f8"), recording)
    for start in range(first, stop, LENGTH):
        filling.add(recording.times(start, min(start + LENGTH, stop)))
    filling.close()
    time = filling.vector
    time.attrs["units"] = text("ms")
    time.make_scale("time")

    x = write_vector(file, "x", recording.x, recording)
    x.attrs["units"] = text("um")
    x.attrs["long_name"] = text("distance from the axon's origin")
    x.make_scale("x")

    meta = file.create_group("meta")
    write_vector(meta, "header", text(encode_header(recording.header))[np.newaxis], recording)
    write_vector(meta, "compartments", recording.compartments, recording)
    write_vector(meta, "axon_x", recording.axon_x, recording).attrs["units"] = text("um")

    scales = [x]
    if recording.electrodes:
        numbers = np.arange(recording.electrodes, dtype="<i8")
        scales.append(write_vector(file, "electrode", numbers, recording))
        scales[-1].make_scale("electrode")
    layers = create_layers(file, recording, stop - first)
    for layer, scale in zip(layers.values(), scales, strict=True):
        layer.dims[0].attach_scale(time)
        layer.dims[1].attach_scale(scale)
    return layers


def create_layers(group: h5py.Group, recording: Recording, rows: int) -> dict[Layer, h5py.Dataset]:
    """Empty datasets for `rows` rows of each layer."""
    layers = {}
    for layer in recording.layers:
        shape = (rows, layer.columns)
        made = dataset(group, layer.name, shape, layer.dtype, recording.compressed)
        made.attrs["units"] = text("mV")
        made.attrs["long_name"] = text(layer.long_name)
        layers[layer] = made
    return layers


def write_vector(group: h5py.Group, name: str, values: Array, recording: Recording) -> h5py.Dataset:
    """A one-dimensional dataset that holds `values`."""
    filling = Filling(group, name, values.shape, values.dtype, recording)
    filling.add(values)
    filling.close()
    return filling.vector


def write_arrays(file: h5py.File, name: str, arrays: Arrays, recording: Recording) -> None:
    """A group of arrays of any shape: ``state`` or ``inputs``."""
    group = file.create_group(name)
    for key, values in sorted(arrays.items()):  # as a reader finds them
        array = np.asarray(values)
        if array.dtype not in _ARRAY_TYPES:
            raise TypeError(f"{name}: {key} of {array.dtype} has no place in a run file")
        vector = write_vector(group, key, array.reshape(-1), recording)
        _write_attribute(vector, "shape", np.array(array.shape, "<i8"))


def dataset(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], compressed: bool
) -> h5py.Dataset:
    """An empty dataset in the chunks of the layout."""
    import h5py

    # Made below h5py's own face, which would take most of a short run's time to write.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_chunk(_chunk_shape(shape))
    if compressed:
        properties.set_shuffle()
    properties.set_deflate(1)
    unlimited = (h5py.h5s.UNLIMITED, *(n or h5py.h5s.UNLIMITED for n in shape[1:]))
    space = h5py.h5s.create_simple(shape, unlimited)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, properties))


def _write_attribute(where: h5py.Dataset, name: str, value: Array) -> None:
    import h5py

    space = h5py.h5s.create_simple(value.shape)
    h5py.h5a.create(where.id, name.encode(), h5py.h5t.py_create(value.dtype), space).write(value)


class Filling:
    """Fills a one-dimensional dataset from its beginning, in whatever pieces its values come."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        recording: Recording,
    ) -> None:
        self.vector = dataset(group, name, shape, dtype, recording.compressed)
        self._encode = recording.encode
        self._chunk = np.zeros(_chunk_shape(shape), dtype)
        self._start = 0
        self._held = 0

    def add(self, values: Array) -> None:
        """Put `values` after those that came before."""
        while len(values):
            room = len(self._chunk) - self._held
            taken, values = values[:room], values[room:]
            self._chunk[self._held : self._held + len(taken)] = taken
            self._held += len(taken)
            if self._held == len(self._chunk):
                self._write()

    def _write(self) -> None:
        self.vector.id.write_direct_chunk((self._start,), self._encode(self._chunk))
        self._start += self._held
        self._held = 0

    def close(self) -> None:
        """Write what doesn't fill a chunk."""
        if self._held:
            self._chunk[self._held :] = np.zeros((), self._chunk.dtype)
            self._write()


class Spikes:
    """Fills the datasets of a file's spikes, in whatever pieces they come."""

    def __init__(self, file: h5py.File, recording: Recording, n: int) -> None:
        group = file.create_group("spikes")
        self._time = Filling(group, "t", (n,), SPIKE["time"], recording)
        self._time.vector.attrs["units"] = text("ms")
        self._compartment = Filling(group, "compartment", (n,), SPIKE["compartment"], recording)
        self._held = 0  # in a chunk that isn't full

    def add(self, spikes: Array) -> None:
        """Put `spikes`, of `SPIKE`, after those that came before."""
        while len(spikes):
            # A chunk of each in turn: so the file doesn't tell in which pieces they came.
            room = LENGTH - self._held
            some, spikes = spikes[:room], spikes[room:]
            self._time.add(some["time"])
            self._compartment.add(some["compartment"])
            self._held = (self._held + len(some)) % LENGTH

    def close(self) -> None:
        """Write what doesn't fill a chunk."""
        self._time.close()
        self._compartment.close()


def encode_header(header: dict[str, Any]) -> str:
    """A header as it stands in the file; ValueError or TypeError if JSON can't hold it."""
    return json.dumps(header, ensure_ascii=False, allow_nan=False)


def text(value: str) -> Array:
    """A string of fixed length: HDF5 puts no checksum on those of variable length."""
    import h5py

    data = value.encode()
    return np.array(data, h5py.string_dtype("utf-8", len(data)))


def _chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 1:
        return (max(1, min(shape[0], LENGTH)),)
    return (ROWS, max(1, min(shape[1], COLUMNS)))


# Reading


class Chunks(Record):
    """Where the chunks of a dataset lie in its file, and how they are read."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    shuffled: bool
    spans: npt.NDArray[np.int64]
    """Offset and size in bytes of each chunk: the grid of chunks, and a last axis of two."""

    def span(self, *index: int) -> tuple[int, int]:
        """Offset and size in bytes of one chunk."""
        offset, size = self.spans[index]
        return int(offset), int(size)

    def decode(self, stream: bytes, *index: int) -> Array:
        """The values of one chunk, without what lies beyond the dataset's edges."""
        values = expand(stream, math.prod(self.chunk), self.dtype, self.shuffled)
        ends = (n - i * c for n, i, c in zip(self.shape, index, self.chunk, strict=True))
        return values.reshape(self.chunk)[tuple(slice(end) for end in ends)]


class Reader:
    """A file of a run that `reading` has opened."""

    def __init__(self, handle: BinaryIO, size: int, file: h5py.File) -> None:
        self.handle = handle
        self.size = size
        self._file = file
        if "format" not in file.attrs or self.text("format") != FORMAT:
            raise RunFileError("it is an HDF5 file, but not one that axon has written")
        layout = self.layout = self.integer("layout")
        if layout > LAYOUT:
            raise RunFileError(
                f"it has layout {layout}, of a newer axon, and this one knows layouts up to "
                f"{LAYOUT}: upgrade axon-cable"
            )
        if layout < 1:
            raise RunFileError(f"there never was a layout {layout}")

    def integer(self, name: str) -> int:
        """An attribute of the file that is a whole number."""
        return int(self._attribute(name, "i", 8))

    def number(self, name: str) -> float:
        """An attribute of the file that is a number."""
        return float(self._attribute(name, "f", 8))

    def text(self, name: str) -> str:
        """An attribute of the file that is a short string."""
        value = self._attribute(name, "S", 64)
        return value.decode() if isinstance(value, bytes) else str(value)

    def _attribute(self, name: str, kind: str, most_bytes: int) -> Any:
        attribute = self._file.attrs.get_id(name)
        dtype = attribute.dtype
        if attribute.shape != () or dtype.kind != kind or dtype.itemsize > most_bytes:
            raise RunFileError(f"its attribute {name!r} is not what it should be")
        return self._file.attrs[name]

    @property
    def is_segment(self) -> bool:
        """Or a finished file."""
        return "previous" in self._file.attrs

    def recording(self) -> Recording:
        """What the file says of its run."""
        field = self._find("v")
        return Recording(
            header=self.header(),
            x=self.vector("x", np.dtype("<f8")),
            compartments=self.vector("meta/compartments", np.dtype("<i8")),
            axon_x=self.vector("meta/axon_x", np.dtype("<f8")),
            interval=self.number("interval"),
            first=self.integer("first") if self.layout > 1 else 0,
            n_rows=self.integer("rows"),
            dtype=field.dtype,
            compressed=field.shuffle,
            electrodes=len(self.vector("electrode", np.dtype("<i8"))) if self.layout > 2 else 0,
        )

    def header(self) -> dict[str, Any]:
        """The run's inputs and the version of the program."""
        import h5py

        kind = self._find("meta/header").id.get_type()
        if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str():
            raise RunFileError("its header is not what it should be")
        if kind.get_size() > _MOST_HEADER:
            raise RunFileError(f"its header has {kind.get_size()} bytes")
        (text,) = self.vector("meta/header", np.dtype(f"S{kind.get_size()}"))
        header = json.loads(text.decode(), parse_constant=_refuse_constant)
        if not isinstance(header, dict):
            raise RunFileError("its header is not what it should be")
        return header

    def vector(self, name: str, dtype: np.dtype[Any]) -> Array:
        """All of a one-dimensional dataset."""
        chunks = self.chunks(name, dtype, 1)
        parts = [self._chunk(chunks, i) for i in range(len(chunks.spans))]
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    def has(self, name: str) -> bool:
        """Whether there is such a group of arrays."""
        return self.layout > 1 and name in self._file

    def arrays(self, name: str) -> dict[str, Array]:
        """A group of arrays, as `write_arrays` was given them."""
        return {key: self.array(name, key) for key in self._group(name)}

    def array(self, group: str, key: str) -> Array:
        """One of a group of arrays."""
        vector = self._find(f"{group}/{key}")
        if vector.dtype not in _ARRAY_TYPES:
            raise RunFileError(f"its dataset {group}/{key!r} is not what it should be")
        values = self.vector(f"{group}/{key}", vector.dtype)
        shape = self._shape(vector)
        if math.prod(shape) != len(values):
            raise RunFileError(f"its dataset {group}/{key!r} has another shape than it says")
        return values.reshape(shape)

    def _shape(self, vector: h5py.Dataset) -> tuple[int, ...]:
        attribute = vector.attrs.get_id("shape")
        if attribute.dtype != np.dtype("<i8") or len(attribute.shape) != 1:
            raise RunFileError("a shape is not what it should be")
        if attribute.shape[0] > _MOST_DIMENSIONS:
            raise RunFileError(f"an array has more than {_MOST_DIMENSIONS} dimensions")
        shape = tuple(int(n) for n in vector.attrs["shape"])
        if min(shape, default=0) < 0:
            raise RunFileError(f"an array has the shape {shape}")
        return shape

    def check_data(self) -> None:
        """Look at every chunk of the layers and the spikes: each has a checksum.

        Raises
        ------
        RunFileError
            If one is damaged.
        """
        for layer in self.recording().layers:
            chunks = self.chunks(layer.name, layer.dtype, 2)
            for at in np.ndindex(chunks.spans.shape[:-1]):
                chunks.decode(self.bytes_at(*chunks.span(*at)), *at)
        for _ in self.spike_batches():
            pass

    def n_spikes(self) -> int:
        """How many spikes the file holds."""
        return int(self.chunks("spikes/t", np.dtype("<f8"), 1).shape[0])

    def spike_batches(self) -> Iterator[Array]:
        """The spikes that the file holds, of `SPIKE`, some thousand at a time."""
        time = self.chunks("spikes/t", SPIKE["time"], 1)
        compartment = self.chunks("spikes/compartment", SPIKE["compartment"], 1)
        if time.shape != compartment.shape:
            raise RunFileError("its spikes have more times than places, or fewer")
        for i in range(len(time.spans)):
            times = self._chunk(time, i)
            batch = np.empty(len(times), SPIKE)
            batch["time"] = times
            batch["compartment"] = self._chunk(compartment, i)
            yield batch

    def spikes(self) -> Array:
        """All spikes that the file holds, of `SPIKE`."""
        return np.concatenate([np.empty(0, SPIKE), *self.spike_batches()])

    def _chunk(self, chunks: Chunks, i: int) -> Array:
        return chunks.decode(self.bytes_at(*chunks.span(i)), i)

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Bytes of the file as they are."""
        self.handle.seek(offset)
        return self.handle.read(size)

    def chunks(self, name: str, dtype: np.dtype[Any], ndim: int) -> Chunks:
        """Where a dataset lies, when all about it is as the layout says."""
        import h5py

        found = self._find(name)
        properties = found.id.get_create_plist()
        filters = [properties.get_filter(k)[0] for k in range(properties.get_nfilters())]
        shuffled = filters == [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]
        shape, chunk = found.shape, found.chunks
        if (
            found.dtype != dtype
            or found.ndim != ndim
            or chunk != _chunk_shape(shape)
            or not (shuffled or filters == [h5py.h5z.FILTER_DEFLATE])
        ):
            raise RunFileError(f"its dataset {name!r} is not what it should be")

        grid = tuple(-(-n // c) for n, c in zip(shape, chunk, strict=True))
        count = math.prod(grid)
        # The numbers so far may be anything. What they ask for must fit into the file.
        if count * _SMALLEST_STREAM > self.size or found.id.get_num_chunks() != count:
            raise RunFileError(f"its dataset {name!r} is not complete")
        spans = np.zeros((*grid, 2), np.int64)
        masks = set()

        def note(info: Any) -> None:
            index = tuple(n // c for n, c in zip(info.chunk_offset, chunk, strict=True))
            spans[index] = info.byte_offset, info.size
            masks.add(info.filter_mask)

        found.id.chunk_iter(note)
        offsets, sizes = spans[..., 0], spans[..., 1]
        nbytes = math.prod(chunk) * dtype.itemsize
        if count and (
            masks != {0}
            or offsets.min() < 0
            or sizes.min() * _DEFLATE_LIMIT < nbytes
            or sizes.max() > self.size
            or (self.size - sizes < offsets).any()
            or sizes.sum() > self.size
        ):
            raise RunFileError(f"its dataset {name!r} does not lie where it could")
        return Chunks(shape, chunk, dtype, shuffled, spans)

    def _follow(self, name: str) -> h5py.Group | h5py.Dataset:
        import h5py

        here = self._file
        for part in name.split("/"):
            # A soft or external link could lead anywhere.
            if not isinstance(here, h5py.Group) or not isinstance(
                here.get(part, getlink=True), h5py.HardLink
            ):
                raise RunFileError(f"it has no {name!r}")
            address = here.id.links.get_info(part.encode()).u
            if not _can_be_opened(self.handle, address, self.size):
                raise RunFileError(f"its {name!r} is not as HDF5 would write it")
            here = here[part]
        return here

    def _group(self, name: str) -> h5py.Group:
        import h5py

        here = self._follow(name)
        if not isinstance(here, h5py.Group):
            raise RunFileError(f"it has no group {name!r}")
        return here

    def _find(self, name: str) -> h5py.Dataset:
        import h5py

        here = self._follow(name)
        if not isinstance(here, h5py.Dataset):
            raise RunFileError(f"it has no dataset {name!r}")
        # Neither virtual nor external data are chunked.
        if here.id.get_create_plist().get_layout() != h5py.h5d.CHUNKED:
            raise RunFileError(f"its dataset {name!r} is not what it should be")
        return here


def _can_be_opened(handle: BinaryIO, address: int, size: int) -> bool:
    """Whether HDF5 can open an object without dividing by zero.

    It trusts the number of dimensions of a chunk and their lengths, which must be those of the
    dataset and one more, and positive.

    Source: HDF5 File Format Specification, version 3.0, sections IV.A.1 and IV.A.2.
    """
    ranks, chunks = [], []
    for kind, shared, body in _messages(handle, address, size):
        if kind == _DATASPACE:
            ranks.append(-1 if shared or len(body) < 2 else body[1])
        elif kind == _LAYOUT and body[1:2] == b"\2":  # of a dataset in chunks
            chunks.append([] if shared else _chunk_of(body))
    return all(chunk and ranks == [len(chunk) - 1] and min(chunk) > 0 for chunk in chunks)


def _messages(handle: BinaryIO, address: int, size: int) -> Iterator[tuple[int, bool, bytes]]:
    """What an HDF5 object is made of: kind, whether it is shared, and body of each message."""
    handle.seek(address)
    start = handle.read(64)
    new = start[:5] == b"OHDR\x02"
    if new:
        flags = start[5]
        at = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width, head = 1 << (flags & 3), "<BHB2x" if flags & 4 else "<BHB"
        blocks = [(address + at + width, int.from_bytes(start[at : at + width], "little"))]
    elif start[:2] == b"\1\0":
        head, blocks = "<HHB3x", [(address + 16, int.from_bytes(start[8:12], "little"))]
    else:
        raise RunFileError("it has an object that HDF5 would not write")
    for begin, length in blocks:
        if not 0 <= length <= _MOST_OF_HEADER or begin + length > size or len(blocks) > 64:
            raise RunFileError("it has an object that does not lie where it could")
        handle.seek(begin)
        block = handle.read(length)
        at, skip = 0, struct.calcsize(head)
        while at + skip <= length:
            kind, long, flags = struct.unpack_from(head, block, at)
            body = block[at + skip : at + skip + long]
            at += skip + long
            if kind == _CONTINUATION and len(body) == 16:
                where, long = struct.unpack("<QQ", body)
                # In new ones it stands between a signature and a checksum.
                blocks.append((where + 4, long - 8) if new else (where, long))
            yield kind, bool(flags & 2), body


def _chunk_of(layout: bytes) -> list[int]:
    """Lengths of a chunk, the last that of a value in bytes, as HDF5 takes them from a message."""
    if len(layout) < 5 or not 3 <= layout[0] <= 5:
        return []
    n, width, first = (layout[2], 4, 11) if layout[0] == 3 else (layout[3], layout[4], 5)
    ends = [first + k * width for k in range(n + 1)]
    if not 1 <= width <= 8 or ends[-1] > len(layout):
        return []
    lengths = [int.from_bytes(layout[a:b], "little") for a, b in pairwise(ends)]
    return [length & 0xFFFFFFFF for length in lengths]


def opened(path: Path) -> BufferedReader:
    """A file for reading, if it is a file: a pipe or a device might never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunFileError("it is no file")
    return open(descriptor, "rb")


@contextmanager
def reading(path: Path, handle: BinaryIO | None = None) -> Iterator[Reader]:
    """Open a file of a run, and turn whatever is wrong with it into a RunFileError.

    Only a missing file stays FileNotFoundError: while a run goes on, segments may vanish.
    The file is read from `handle` if that is given, which then stays open.
    """
    import h5py

    with readable(path), opened(path) if handle is None else nullcontext(handle) as data:
        size = data.seek(0, os.SEEK_END)
        data.seek(0)
        if data.read(len(_SIGNATURE)) != _SIGNATURE:
            raise RunFileError("it is no HDF5 file")
        with h5py.File(data, "r") as file:
            yield Reader(data, size, file)


# What h5py, NumPy and Python raise for what a damaged file says depends on where the damage is.
_DAMAGES = (LookupError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Name the file in every error that comes from what it holds."""
    try:
        yield
    except FileNotFoundError:
        raise
    except RunFileError as error:
        raise RunFileError(f"{path} can't be read: {error}") from error
    except OSError as error:
        # The system's errors have a number, those that h5py finds in a file have none.
        problem = "can't be read" if error.errno else "is damaged or truncated"
        raise RunFileError(f"{path} {problem}: {error.strerror or error}") from error
    except _DAMAGES as error:
        raise RunFileError(f"{path} is damaged or truncated: {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} in the header")
