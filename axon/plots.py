"""Pictures of a run: the field over time and space, and traces at some positions.

They need matplotlib (``pip install 'axon-cable[plot]'``) but not pyplot, so no window, backend or
current figure is touched. A long run is read a few rows at a time and drawn by the extremes of its
rows: no spike is lost, however many of them share a pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from axon.errors import MissingExtraError, RunFileError
from axon.geometry import Axon
from axon.units import FloatArray, QuantityLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from axon.runs import Run

__all__ = ["overview", "space_time", "traces"]

# Drawn at most, more than a picture has pixels.
_ROWS, _COLUMNS = 2000, 1000
_VALUES_AT_ONCE = 2**22  # of the field are read into memory
_TRACES = 5
_POTENTIAL = "membrane potential (mV)"


def space_time(run: Run, *, ax: Axes | None = None) -> Axes:
    """The field as a picture: time to the right, position upwards, potential as colour.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    RunFileError
        If fewer than two rows are there yet.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or _figure().subplots()
    x, columns = np.unique(np.asarray(run.x), return_index=True)
    step = -(-len(x) // _COLUMNS)
    time, _, highest = _extremes(run, columns[::step])
    picture = ax.pcolorfast(_borders(time), _borders(x[::step] * 1e-3), highest.T, cmap="magma")
    ax.figure.colorbar(picture, ax=ax, label=_POTENTIAL)
    ax.set(xlabel="time (ms)", ylabel="position (mm)")
    return ax


def traces(
    run: Run, positions: Iterable[QuantityLike] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Potential over time at some positions.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    positions : iterable of float or quantity, optional
        In µm from the axon's origin; the recorded site nearest to each is drawn. By default
        five sites from one end of the recording to the other.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One line for each position, labelled with the site's position.

    Raises
    ------
    GeometryError
        If a position is not on the axon.
    RunFileError
        If fewer than two rows are there yet.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or _figure().subplots()
    sites = _sites(run, positions)
    time, lowest, highest = _extremes(run, sites)
    for k, site in enumerate(sites):
        label = f"{run.x[site] * 1e-3:g} mm"
        if len(time) == len(run.time):
            ax.plot(time, highest[:, k], label=label)
        else:  # from the lowest to the highest of several rows, at the time of the first
            both = np.stack((lowest[:, k], highest[:, k]), axis=1)
            ax.plot(np.repeat(time, 2), both.ravel(), label=label)
    ax.set(xlabel="time (ms)", ylabel=_POTENTIAL)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, frameon=False)  # above them
    return ax


def overview(run: Run, positions: Iterable[QuantityLike] | None = None) -> Figure:
    """The field as a picture, and traces below it.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    positions : iterable of float or quantity, optional
        Of the traces, as in `traces`.

    Returns
    -------
    matplotlib.figure.Figure
        Its axes are the picture's, the traces' and the colour bar's. ``figure.savefig("run.png")``
        writes it.

    Raises
    ------
    GeometryError, RunFileError, MissingExtraError
        As `traces`.
    """
    figure = _figure()
    upper, lower = figure.subplots(2, sharex=True)
    space_time(run, ax=upper).set(xlabel=None)
    traces(run, positions, ax=lower)
    figure.suptitle(run.header.get("study", {}).get("title", ""))
    return figure


def _figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "plotting needs matplotlib: pip install 'axon-cable[plot]'"
        ) from error
    return Figure(figsize=(8.0, 6.0), layout="constrained")


def _sites(run: Run, positions: Iterable[QuantityLike] | None) -> npt.NDArray[np.intp]:
    """Which recorded sites are nearest to `positions`."""
    x = np.asarray(run.x)
    if positions is None:
        return np.unique(np.linspace(0, len(x) - 1, _TRACES).round().astype(np.intp))
    axon = Axon.from_dict(run.header["axon"])
    wanted = [axon.x[axon.index(position)] for position in positions]
    return np.array([np.abs(x - place).argmin() for place in wanted], dtype=np.intp)


def _extremes(run: Run, columns: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Times in ms, and the lowest and highest potentials of these `columns` from each to the next.

    Shapes ``(k,)``, ``(k, m)``, ``(k, m)``, with k at most `_ROWS`.
    """
    rows = len(run.time)
    if rows < 2:
        raise RunFileError(f"{rows} rows of the field are there, and a picture needs 2; wait a bit")
    block = -(-rows // _ROWS)
    at_once = block * max(1, _VALUES_AT_ONCE // (block * len(run.x)))
    lowest, highest = [], []
    for start in range(0, rows, at_once):
        v = np.asarray(run.v[start : start + at_once, columns], dtype=np.float64)
        first = np.arange(0, len(v), block)
        lowest.append(np.minimum.reduceat(v, first))
        highest.append(np.maximum.reduceat(v, first))
    return np.asarray(run.time)[::block], np.concatenate(lowest), np.concatenate(highest)


def _borders(centres: FloatArray) -> FloatArray:
    """Where the cells about these points begin and end."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(([2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]))
