"""What pictures share: figures, colours, and which rows and places of a run are drawn."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from axon.errors import GeometryError, MissingExtraError, RunFileError, SimulationError
from axon.geometry import IntArray
from axon.sources import DiskSource, PointSource, Source
from axon.trails import impulses
from axon.units import (
    FloatArray,
    Position,
    PositionLike,
    QuantityLike,
    position,
    position_text,
    quantity,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from axon.runs import Run
    from axon.trees import Tree

TIME, POSITION, POTENTIAL = "time (ms)", "position (mm)", "membrane potential (mV)"
FROM_ROOT, ON_THE_WAY = "distance from the root (mm)", "distance on the way (mm)"

Way: TypeAlias = tuple[PositionLike, PositionLike]
"""Where a line along an axon that branches begins, and where it ends."""

# Drawn at most, more than a picture has pixels.
ROWS, COLUMNS = 2000, 1000
VALUES_AT_ONCE = 2**22  # of the field are read into memory

# Colours that colour-blind people tell apart: B. Wong, Nat. Methods 8, 441 (2011),
# doi:10.1038/nmeth.1618.
BLUE, GREEN, ORANGE, VERMILION = "#0072B2", "#009E73", "#E69F00", "#D55E00"


def new_figure() -> Figure:
    """An empty figure, of no window.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "plotting needs matplotlib: pip install 'axon-cable[plot]'"
        ) from error
    return Figure(figsize=(8.0, 6.0), layout="constrained")


def shades(n: int) -> FloatArray:
    """Colours of things that have an order, from dark to light, ``(n, 4)``."""
    from matplotlib import colormaps

    return np.asarray(colormaps["viridis"](np.linspace(0.0, 0.85, n)))


def legend_above(ax: Axes, abreast: int = 5, title: str = "") -> None:
    """What the lines are, outside of the picture."""
    ax.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=abreast,
        frameon=False,
        title=title or None,
    )


def named(electrode: Source, number: int) -> str:
    """What a line of an electrode is called: where it is if it has a place, or its number."""
    if isinstance(electrode, PointSource | DiskSource):
        place = (electrode.x, electrode.y, electrode.z)
        return "({:g}, {:g}, {:g}) mm".format(*(1e-3 * along for along in place))
    return f"electrode {number}"


class Line(NamedTuple):
    """Compartments along an axon; along one that branches, on the way from a place to another."""

    x: FloatArray
    """How far they are from where it begins, mm."""
    compartments: IntArray
    columns: npt.NDArray[np.intp]
    """Where they are in the field; -1 of those that are not recorded."""
    label: str
    """Of an axis along it."""
    title: str = ""
    """From where to where, if there are several ways."""
    ends: Way = (0.0, 0.0)

    def only(self, some: Any) -> Line:
        """These of its compartments."""
        return self._replace(
            x=self.x[some], compartments=self.compartments[some], columns=self.columns[some]
        )


def line(run: Run, way: Way | None = None) -> Line:
    """All compartments of an axon, or of a way through it."""
    columns = np.full(len(run.axon_x), -1, dtype=np.intp)
    columns[run.compartments] = np.arange(len(run.compartments))
    if run.tree is None:
        if way is not None:
            raise GeometryError(f"way = {way!r}: the axon doesn't branch; leave it out")
        return Line(run.axon_x * 1e-3, np.arange(len(columns)), columns, POSITION)
    start: Position = (0, 0.0)
    if way is None:
        far = run.tree.place(run.tree.part_way(1.0))
        stop: Position = far
        begin, label = run.tree.x[0], FROM_ROOT
        title = f"from the root to the tip of branch {far[0]}"
    elif isinstance(way, tuple | list) and len(way) == 2:
        start, stop = (position(end, "way", error=GeometryError) for end in way)
        begin, label = 0.0, ON_THE_WAY
        title = f"from {position_text(start)} to {position_text(stop)}"
    else:
        raise GeometryError(
            f"way = {reprlib.repr(way)} does not tell where it begins and where it ends; give two "
            "positions"
        )
    compartments, x = run.tree.way(start, stop)
    x = (x + begin) * 1e-3
    return Line(x, compartments, columns[compartments], label, title, (start, stop))


def across(run: Run, way: Way | None = None) -> Line:
    """Sites from the one end to the other: all that are recorded, or evenly of many."""
    every = _recorded_on(run, way)
    return every.only(slice(None, None, -(-len(every.x) // COLUMNS)))


def sites(
    run: Run, positions: Iterable[PositionLike] | None, count: int, way: Way | None = None
) -> Line:
    """The sites nearest to `positions`, by default `count` from the one end to the other."""
    if positions is None:
        every = _recorded_on(run, way)
        some = np.linspace(0, len(every.x) - 1, count).round().astype(np.intp)
        return every.only(np.unique(some))
    recorded(run)
    axon = run.axon
    wanted = [run.place(axon.index(each)) for each in positions]
    columns = np.array([run.site(place) for place in wanted], dtype=np.intp)
    label = POSITION if run.tree is None else FROM_ROOT
    return Line(run.x[columns] * 1e-3, run.compartments[columns], columns, label)


def _recorded_on(run: Run, way: Way | None) -> Line:
    recorded(run)
    every = line(run, way)
    if not (every.columns >= 0).any():
        raise RunFileError(f"no place is recorded on the way {every.title}; choose another way")
    return every.only(every.columns >= 0)


def recorded(run: Run) -> FloatArray:
    """Positions of the sites that were recorded, µm, of which there is one at least."""
    if not len(run.x):
        raise RunFileError(
            "no place is recorded, so no potential can be drawn; spikes and velocities can"
        )
    return np.asarray(run.x)


def enough(run: Run) -> int:
    """How many rows there are; a picture needs two.

    Raises
    ------
    RunFileError
        If fewer are there yet.
    """
    rows = len(run.time)
    if rows < 2:
        raise RunFileError(
            f"{rows} rows of the field are there, and a picture needs 2; wait a bit, or record more"
        )
    return rows


def row_at(run: Run, time: QuantityLike, name: str) -> int:
    """The number of the row that is nearest to a time."""
    wanted = quantity(time, "ms", name, error=SimulationError)
    first, last = run.time[[0, -1]]
    row = round(float(wanted - first) / run.interval)
    if not 0 <= row < len(run.v):
        raise SimulationError(
            f"{name} = {wanted:g} ms is not recorded; the rows go from {first:g} to {last:g} ms"
        )
    return row


def first_arrivals(run: Run) -> FloatArray:
    """When an impulse first came to each compartment, ms, ``(n,)``; NaN where none did."""
    arrival = np.full(len(run.axon_x), np.nan)
    compartments, first = np.unique(run.spikes["compartment"], return_index=True)
    arrival[compartments] = run.spikes["time"][first]
    return arrival


def stops_of(run: Run, tree: Tree, arrival: FloatArray) -> list[int]:
    """Compartments in which impulses failed, and beside which there was never one."""
    reached, child = np.isfinite(arrival), np.arange(1, tree.n)
    apart = child[reached[1:] != reached[tree.parent[1:]]]
    beside = {*apart.tolist(), *tree.parent[apart].tolist()}
    failed = {
        run.index(place)
        for impulse in impulses(run)
        for place, fate in zip(impulse.ended, impulse.fates, strict=True)
        if fate == "failed"
    }
    return sorted(failed & beside)


def extremes(run: Run, columns: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Times in ms, and the lowest and highest potentials of these `columns` from each to the next.

    Shapes ``(k,)``, ``(k, m)``, ``(k, m)``, with k at most `ROWS`.
    """
    rows = enough(run)
    block = -(-rows // ROWS)
    at_once = block * max(1, VALUES_AT_ONCE // (block * len(run.x)))
    lowest, highest = [], []
    for start in range(0, rows, at_once):
        v = np.asarray(run.v[start : start + at_once, columns], dtype=np.float64)
        below, above = extremes_of(v, block)
        lowest.append(below)
        highest.append(above)
    return np.asarray(run.time)[::block], np.concatenate(lowest), np.concatenate(highest)


def extremes_of(values: FloatArray, block: int) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest of every `block` rows."""
    first = np.arange(0, len(values), block)
    return np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)


def zigzag(
    time: FloatArray, lowest: FloatArray, highest: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A line through the extremes of several rows, both at the time of the first; or of one row."""
    if np.array_equal(lowest, highest):
        return time, highest
    return np.repeat(time, 2), np.stack((lowest, highest), axis=1).ravel()
