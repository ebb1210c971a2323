"""What pictures share: figures, colours, and which rows and places of a run are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from axon.errors import MissingExtraError, RunFileError
from axon.sources import DiskSource, PointSource, Source
from axon.units import FloatArray, QuantityLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from axon.runs import Run

TIME, POSITION, POTENTIAL = "time (ms)", "position (mm)", "membrane potential (mV)"

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


def legend_above(ax: Axes, abreast: int = 5) -> None:
    """What the lines are, outside of the picture."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=abreast, frameon=False)


def named(electrode: Source, number: int) -> str:
    """What a line of an electrode is called: where it is if it has a place, or its number."""
    if isinstance(electrode, PointSource | DiskSource):
        place = (electrode.x, electrode.y, electrode.z)
        return "({:g}, {:g}, {:g}) mm".format(*(1e-3 * along for along in place))
    return f"electrode {number}"


def across(run: Run) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Positions in mm, upwards, and their columns in the field: of all sites, or evenly of many."""
    x, columns = np.unique(_recorded(run), return_index=True)
    step = -(-len(x) // COLUMNS)
    return x[::step] * 1e-3, columns[::step]


def sites(run: Run, positions: Iterable[QuantityLike] | None, count: int) -> npt.NDArray[np.intp]:
    """Columns of the sites nearest to `positions`, by default of `count` from end to end."""
    x = _recorded(run)
    if positions is None:
        return np.unique(np.linspace(0, len(x) - 1, count).round().astype(np.intp))
    axon = run.axon
    wanted = [axon.x[axon.index(position)] for position in positions]
    return np.array([np.abs(x - place).argmin() for place in wanted], dtype=np.intp)


def _recorded(run: Run) -> FloatArray:
    """Positions of the sites that were recorded, of which there is one at least."""
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
        raise RunFileError(f"{rows} rows of the field are there, and a picture needs 2; wait a bit")
    return rows


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
