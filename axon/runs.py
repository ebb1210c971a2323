"""What came of a run, in memory or, by `axon.disk`, in files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from axon import runfile
from axon.errors import MissingExtraError, RunFileError
from axon.geometry import Axon
from axon.runfile import Layer, Recording, readable
from axon.stimuli import Stimulus, stimulus_from
from axon.trees import Tree, axon_from
from axon.units import Position, PositionLike, distance

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from axon.report import Report

Array = npt.NDArray[Any]
Picks = range | npt.NDArray[np.intp]
"""Places along an axis; a range goes upwards."""

SPIKE = np.dtype([("time", "f8"), ("compartment", "i8"), ("x", "f8")])
"""A spike: its time in ms, the number of its compartment, and where that is in µm."""


class Run:
    """What a simulation recorded; `open_run` reads it from disk.

    Attributes
    ----------
    x : array
        Positions of the recorded compartments in µm from the axon's origin, ``(m,)``.
    compartments : array
        Their numbers, ``(m,)``.
    axon_x : array
        Positions of all compartments in µm, ``(n,)``.
    interval : float
        Time between rows, in ms.
    v : Field
        Membrane potential in mV, ``(rows, m)``.
    electrodes : Field
        What electrodes outside the axon recorded in mV, ``(rows, e)``.
    complete : bool
        Whether these are all rows that there will be.
    """

    def __init__(self, source: _Source) -> None:
        self._show(source)

    def _show(self, source: _Source) -> None:
        self._source = source
        self._spikes: Array | None = None
        self._header: dict[str, Any] | Callable[[], dict[str, Any]] = source.recording.header
        self.x = source.recording.x
        self.compartments = source.recording.compartments
        self.axon_x = source.recording.axon_x
        self.interval = source.recording.interval
        self.v = Field(source, source.recording.field)
        self.electrodes = Field(source, source.recording.outside)
        self.complete = source.rows == source.recording.n_rows

    @classmethod
    def in_memory(
        cls,
        header: dict[str, Any] | Callable[[], dict[str, Any]],
        x: npt.ArrayLike,
        compartments: npt.ArrayLike,
        interval: float,
        v: Array,
        spike_compartment: npt.ArrayLike,
        spike_time: npt.ArrayLike,
        *,
        axon_x: npt.ArrayLike,
        electrodes: Array | None = None,
        first: int = 0,
        final: Mapping[str, Array] | None = None,
        inputs: Callable[[], Mapping[str, Array]] | None = None,
    ) -> Run:
        """A finished run that is nowhere on disk.

        Parameters
        ----------
        header : dict, or callable that returns it
            The run's inputs and the version of the program. It is called when somebody asks.
        x : array_like
            Positions of the recorded compartments in µm, ``(m,)``.
        compartments : array_like
            Their numbers, ``(m,)``.
        interval : float
            Time between rows, in ms.
        v : array
            Membrane potential in mV, ``(rows, m)``, float32 or float64. It is not copied.
        spike_compartment : array_like
            Numbers of the compartments that spiked, ``(k,)``.
        spike_time : array_like
            When they did, in ms, ``(k,)``.
        axon_x : array_like
            Positions of all compartments in µm, ``(n,)``.
        electrodes : array, optional
            What electrodes outside recorded in mV, ``(rows, e)``, float64. It is not copied.
        first : int, optional
            Number of the first row, that of time zero being 0.
        final : mapping, optional
            Every state of the membrane at the end, by name, ``(n,)`` each.
        inputs : callable, optional
            Returns what the kernel ran, as arrays.
        """
        potentials = np.empty((len(v), 0)) if electrodes is None else electrodes
        recording = Recording(
            header={} if callable(header) else header,
            x=np.array(x, float),
            compartments=np.array(compartments, np.int64),
            axon_x=np.array(axon_x, float),
            interval=float(interval),
            first=first,
            n_rows=len(v),
            dtype=v.dtype,
            compressed=False,
            electrodes=potentials.shape[1],
        )
        spikes = np.empty(len(np.atleast_1d(spike_time)), runfile.SPIKE)
        spikes["time"] = spike_time
        spikes["compartment"] = spike_compartment
        run = cls(_Memory(recording, v, potentials, spikes, dict(final or {}), inputs or dict))
        run._header = header
        return run

    @property
    def header(self) -> dict[str, Any]:
        """The run's inputs and the version of the program."""
        if callable(self._header):
            self._header = self._header()
        return self._header

    @property
    def time(self) -> npt.NDArray[np.float64]:
        """Times of the rows in ms, ``(rows,)``."""
        return self._source.recording.times(0, len(self.v))

    @property
    def final(self) -> dict[str, Array]:
        """Every state of the membrane at the end, or as far as the run has come, ``(n,)`` by name.

        Gates are ``na.m``, concentrations ``cai``; both are half a time step older than the ``v``
        of that moment.
        """
        return self._source.final()

    @property
    def inputs(self) -> dict[str, Array]:
        """What the kernel ran, as the arrays that docs/run-file.md lists; none if not kept."""
        return self._source.inputs()

    @property
    def spikes(self) -> Array:
        """All spikes in the order of time, then of compartment, ``(k,)`` of `SPIKE`."""
        if self._spikes is None:
            found = self._source.spikes()
            found = found[np.lexsort((found["compartment"], found["time"]))]
            compartment = found["compartment"]
            if len(found) and not 0 <= compartment.min() <= compartment.max() < len(self.axon_x):
                raise RunFileError(f"{self._source.name}: a spike is in no compartment of the axon")
            spikes = np.empty(len(found), SPIKE)
            spikes["time"] = found["time"]
            spikes["compartment"] = compartment
            spikes["x"] = self.axon_x[compartment]
            self._spikes = spikes
        return self._spikes

    @property
    def progress(self) -> float:
        """Rows that there are, as a fraction of those that there will be."""
        n_rows = self._source.recording.n_rows
        return self._source.rows / n_rows if n_rows else 1.0

    @property
    def name(self) -> str:
        """Where it is."""
        return self._source.name

    @property
    def going_on(self) -> bool:
        """Whether some process is computing it, as far as the file system can tell."""
        from axon.segments import is_written

        return not self.complete and is_written(self._source.output)

    @property
    def seconds_left(self) -> float | None:
        """Wall time till it is complete, about, were it to go on as it did last."""
        from axon.storage import rows_per_second

        rows = self._source.recording.n_rows - self._source.rows
        if self.complete or not (rate := rows_per_second(self._source.output)):
            return None
        return rows / rate

    @cached_property
    def axon(self) -> Axon | Tree:
        """The axon that was simulated."""
        with readable(Path(self.name)):
            description = self.header["axon"]
            if description["compartments"] != len(self.axon_x):
                raise RunFileError("its header tells of another axon")
            return axon_from(description)

    @cached_property
    def tree(self) -> Tree | None:
        """The axon, if it branches."""
        axon = self.header.get("axon")
        if not isinstance(axon, dict) or axon.get("shape") != "tree":
            return None
        found = self.axon
        return found if isinstance(found, Tree) else None

    def site(self, at: PositionLike) -> int:
        """The column of the field whose place is nearest to a position.

        Parameters
        ----------
        at : position
            In µm from the axon's origin; on an axon that branches see `Tree.where`.

        Raises
        ------
        RunFileError
            If no place is recorded.
        """
        if not len(self.x):
            raise RunFileError("no place is recorded, and so no potential")
        if self.tree is None:
            return int(np.argmin(np.abs(self.x - distance(at, "at"))))
        return int(np.argmin(self.tree.away_from(self.index(at))[self.compartments]))

    def index(self, at: PositionLike) -> int:
        """The compartment that is nearest to a position, be it recorded or not.

        Parameters
        ----------
        at : position
            As for `site`.
        """
        if self.tree is None:
            return int(np.argmin(np.abs(self.axon_x - distance(at, "at"))))
        return self.tree.index(at)

    def place(self, compartment: int) -> Position:
        """Where a compartment is: its centre in µm from the origin, or branch and distance."""
        return (
            float(self.axon_x[compartment]) if self.tree is None else self.tree.place(compartment)
        )

    @property
    def stimuli(self) -> tuple[Stimulus, ...]:
        """The stimuli that acted on it."""
        with readable(Path(self.name)):
            return tuple(map(stimulus_from, self.header["stimuli"]))

    @property
    def duration(self) -> float:
        """Simulated time that the finished run spans, in ms."""
        return self._of_simulation("duration")

    @property
    def dt(self) -> float:
        """Time step in ms."""
        return self._of_simulation("dt")

    @property
    def celsius(self) -> float:
        """Temperature in °C, at time zero."""
        return self._of_simulation("celsius")

    def _of_simulation(self, key: str) -> float:
        simulation = self.header.get("simulation")
        value = simulation.get(key) if isinstance(simulation, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RunFileError(f"{self._source.name}: its header has no number simulation.{key}")
        with readable(Path(self._source.name)):
            return float(value)

    def refresh(self) -> None:
        """Look for what has come since; `v` and `spikes` are then those up to now."""
        self._show(self._source.refreshed())

    def close(self) -> None:
        """Close the file; what was read stays."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        rows, m = self.v.shape
        state = "complete" if self.complete else f"{self.progress:.0%} done"
        electrodes = self._source.recording.electrodes
        beside = f" and {electrodes} electrodes" if electrodes else ""
        return f"<Run {self._source.name}: {rows} rows of {m} compartments{beside}, {state}>"

    def to_xarray(self) -> xarray.Dataset:
        """The field with its labels and units, read into memory.

        Returns
        -------
        xarray.Dataset
            ``v`` in mV over ``time`` in ms and ``x`` in µm, with ``compartment`` along x; on an
            axon that branches over ``compartment``, with ``x``, ``branch`` and ``distance`` in µm
            along it; and, if there are some, ``electrodes`` in mV over ``time`` and the number of
            the ``electrode``.

        Raises
        ------
        MissingExtraError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise MissingExtraError(
                "this needs xarray: pip install 'axon-cable[xarray]'"
            ) from error
        v = {"units": "mV", "long_name": "membrane potential"}
        x = {"units": "um", "long_name": "distance from the axon's origin"}
        # On a tree there may be several places at one distance.
        along = "x" if self.tree is None else "compartment"
        places = {"x": (along, self.x, x), "compartment": (along, self.compartments)}
        if self.tree is not None:
            distance = {"units": "um", "long_name": "distance from where the branch begins"}
            places["branch"] = along, self.tree.branch_of[self.compartments]
            places["distance"] = along, self.tree.distance[self.compartments], distance
        data = xarray.Dataset(
            {"v": (("time", along), np.asarray(self.v), v)},
            {"time": ("time", self.time, {"units": "ms"}), **places},
        )
        outside = self._source.recording.outside
        if outside.columns:
            about = {"units": "mV", "long_name": outside.long_name}
            data["electrodes"] = ("time", "electrode"), np.asarray(self.electrodes), about
            data["electrode"] = np.arange(outside.columns)
        return data

    def report(self, at: PositionLike | None = None) -> Report:
        """The story of the run's first impulse, with its numbers: `axon.report.report`.

        Parameters
        ----------
        at : position, optional
            Where it is looked at closely, µm; by default in the middle of its way.
        """
        from axon import report

        return report.report(self, at)

    def plot(
        self,
        positions: Iterable[PositionLike] | None = None,
        *,
        way: tuple[PositionLike, PositionLike] | None = None,
    ) -> Figure:
        """The field as a picture with traces below it: `axon.plots.overview`."""
        from axon import plots

        return plots.overview(self, positions, way=way)


class Field:
    """A recorded field, of rows and columns, of which only what is asked for is read.

    It is indexed as an array is, by numbers, slices, and one list or array of numbers or of
    booleans; ``numpy.asarray`` reads all of it.
    """

    ndim = 2

    def __init__(self, source: _Source, layer: Layer) -> None:
        self._source = source
        self._layer = layer
        self.shape = (source.rows, layer.columns)
        self.dtype = layer.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        keys = list(key) if isinstance(key, tuple) else [key]
        if (dots := [i for i, k in enumerate(keys) if k is Ellipsis]) and len(keys) <= 3:
            keys[dots[0] : dots[0] + 1] = [slice(None)] * (3 - len(keys))
        if len(keys) > 2:
            raise IndexError(f"{len(keys)} indices into a field of time and place")
        keys += [slice(None)] * (2 - len(keys))
        (rows, shown_rows), (columns, shown_columns) = map(_picks, keys, self.shape)
        if not isinstance(rows, range) and not isinstance(columns, range):
            raise IndexError("one array of indices at a time: v[rows][:, columns]")
        return self._source.read(self._layer, rows, columns)[shown_rows, shown_columns]

    def __iter__(self) -> Iterator[Array]:
        return (self[k] for k in range(len(self)))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self[:], dtype, copy=copy)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"<Field: {rows} rows of {columns} {self._layer.places}, {self.dtype}>"


def _picks(key: Any, n: int) -> tuple[Picks, int | slice]:
    # The places that a key picks along an axis, and the key that then does the rest.
    if isinstance(key, slice):
        places = range(n)[key]
        return (places[::-1], slice(None, None, -1)) if places.step < 0 else (places, slice(None))
    if not isinstance(key, bool):
        with suppress(TypeError):
            place = range(n)[index(key)]
            return range(place, place + 1), 0
    array = np.asarray(key)
    if array.shape == (n,) and array.dtype == bool:
        return np.flatnonzero(array), slice(None)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise IndexError(f"{key!r} is no index along an axis of {n}")
    array = array.astype(np.intp)
    if array.size and not -n <= array.min() <= array.max() < n:
        raise IndexError(f"an index in {key!r} is not along an axis of {n}")
    return np.where(array < 0, array + n, array), slice(None)


# Where runs come from


class _Source(Protocol):
    """Where the rows and spikes of a run are."""

    name: str
    output: Path
    recording: Recording
    rows: int

    def read(self, layer: Layer, rows: Picks, columns: Picks) -> Array: ...

    def spikes(self) -> Array: ...

    def final(self) -> dict[str, Array]: ...

    def inputs(self) -> dict[str, Array]: ...

    def refreshed(self) -> _Source: ...

    def close(self) -> None: ...


class _Memory:
    """A run in arrays."""

    name = "in memory"
    output = Path()

    def __init__(
        self,
        recording: Recording,
        v: Array,
        electrodes: Array,
        spikes: Array,
        final: dict[str, Array],
        inputs: Callable[[], Mapping[str, Array]],
    ) -> None:
        self.recording = recording
        self.rows = len(v)
        self._layers = {recording.field: v.view(), recording.outside: electrodes.view()}
        for layer in self._layers.values():
            layer.flags.writeable = False
        self._spikes = spikes
        self._final = final
        self._inputs = inputs

    def read(self, layer: Layer, rows: Picks, columns: Picks) -> Array:
        def key(picks: Picks) -> Any:
            if isinstance(picks, range):
                return slice(picks.start, picks.stop, picks.step)
            return picks

        values: Array = self._layers[layer][key(rows)][:, key(columns)]
        return values

    def spikes(self) -> Array:
        return self._spikes

    def final(self) -> dict[str, Array]:
        return dict(self._final)

    def inputs(self) -> dict[str, Array]:
        return dict(self._inputs())

    def refreshed(self) -> _Memory:
        return self

    def close(self) -> None:
        pass
