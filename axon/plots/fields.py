"""Pictures of the field: the membrane potential over time and along the axon.

A long run is read a few rows at a time and drawn by the extremes of its rows: no spike is lost,
however many of them share a pixel.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from axon.errors import SimulationError
from axon.plots.drawing import (
    BLUE,
    POTENTIAL,
    TIME,
    Way,
    across,
    enough,
    extremes,
    legend_above,
    new_figure,
    row_at,
    shades,
    sites,
    zigzag,
)
from axon.plots.films import rows_of_frames, write, writer_of
from axon.plots.trees import tree
from axon.trails import impulses
from axon.units import (
    FloatArray,
    PositionLike,
    QuantitiesLike,
    QuantityLike,
    position_text,
    quantities,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from axon.runs import Run

_TRACES, _SNAPSHOTS = 5, 5
_ABOVE_EACH_OTHER = 25  # traces of a waterfall
_OVERLAP = 3.0  # how high they are, in distances between them


def space_time(run: Run, *, way: Way | None = None, ax: Axes | None = None) -> Axes:
    """The field as a picture: time to the right, position upwards, potential as colour.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    GeometryError
        If `way` does not tell two places of the axon.
    RunFileError
        If fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    line = across(run, way)
    time, _, highest = extremes(run, line.columns)
    picture = ax.pcolorfast(_borders(time), _borders(line.x), highest.T, cmap="magma")
    ax.figure.colorbar(picture, ax=ax, label=POTENTIAL)
    ax.set(xlabel=TIME, ylabel=line.label)
    ax.set_title(line.title, fontsize="medium", parse_math=False)
    return ax


def traces(
    run: Run,
    positions: Iterable[PositionLike] | None = None,
    *,
    way: Way | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Potential over time at some positions.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    positions : iterable of positions, optional
        In µm from the axon's origin, or pairs of a branch and a distance along it; the recorded
        site nearest to each is drawn. By default five sites from one end of the recording to the
        other.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One line for each position, labelled with the site's position; the later given the lighter.

    Raises
    ------
    GeometryError
        If a position is not on the axon, or `way` does not tell two.
    RunFileError
        If fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    line = sites(run, positions, _TRACES, way)
    time, lowest, highest = extremes(run, line.columns)
    names = [f"{place:.4g} mm" for place in line.x]
    apart = run.tree is not None and positions is not None
    if apart:
        names = [position_text(run.place(compartment)) for compartment in line.compartments]
    for name, low, high, shade in zip(names, lowest.T, highest.T, shades(len(names)), strict=True):
        ax.plot(*zigzag(time, low, high), label=name, color=shade)
    ax.set(xlabel=TIME, ylabel=POTENTIAL)
    legend_above(ax, 2 if apart else 5, line.title)
    return ax


def overview(
    run: Run, positions: Iterable[PositionLike] | None = None, *, way: Way | None = None
) -> Figure:
    """The field as a picture, and traces below it; beside them an axon that branches.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    positions : iterable of positions, optional
        Of the traces, as in `traces`.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.

    Returns
    -------
    matplotlib.figure.Figure
        Its axes are the picture's, the traces', and those of the `tree`, coloured by arrival, if
        the axon is one; then come colour bars. ``figure.savefig("run.png")`` writes it.

    Raises
    ------
    GeometryError, RunFileError, MissingExtraError
        As `traces`.
    """
    figure = new_figure()
    if run.tree is not None:
        figure.set_size_inches(15.0, 6.0)
        grid = figure.add_gridspec(2, 2, width_ratios=(8, 7))
        upper = figure.add_subplot(grid[0, 0])
        lower = figure.add_subplot(grid[1, 0], sharex=upper)
        tree(run, colour="arrival", ax=figure.add_subplot(grid[:, 1]))
    else:
        upper, lower = figure.subplots(2, sharex=True)
    space_time(run, way=way, ax=upper).set(xlabel=None)
    traces(run, positions, way=way, ax=lower)
    study = run.header.get("study")
    title = study.get("title") if isinstance(study, dict) else None
    figure.suptitle(title if isinstance(title, str) else "", parse_math=False)
    return figure


def waterfall(
    run: Run,
    positions: Iterable[PositionLike] | None = None,
    *,
    way: Way | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Potential over time at many positions, each trace shifted upwards by its position.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    positions : iterable of positions, optional
        As in `traces`. By default 25 sites from one end of the recording to the other.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One line for each position, and last a bar beside them that tells how high some mV are. A
        line is at its position on the axis where the potential is the median of all of them.

    Raises
    ------
    GeometryError
        If a position is not on the axon, or `way` does not tell two.
    RunFileError
        If fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    line = sites(run, positions, _ABOVE_EACH_OTHER, way)
    time, lowest, highest = extremes(run, line.columns)
    x = line.x
    usual = np.median(lowest)
    span = float(highest.max() - lowest.min()) or 1.0
    apart = float(np.ptp(x)) / max(1, len(x) - 1) or 1.0
    scale = _OVERLAP * apart / span  # mm/mV
    for place, low, high in zip(x, lowest.T, highest.T, strict=True):
        trace = zigzag(time, place + scale * (low - usual), place + scale * (high - usual))
        ax.plot(*trace, color="black", linewidth=0.8)
    bar = 10.0 ** np.floor(np.log10(span))
    foot, beside = x.min(), ax.get_yaxis_transform()
    ax.text(1.03, foot + scale * bar / 2, f"{bar:g} mV", transform=beside, va="center")
    ends = [foot, foot + scale * bar]
    ax.plot([1.02, 1.02], ends, transform=beside, color="black", linewidth=2.0, clip_on=False)
    ax.set(xlabel=TIME, ylabel=line.label)
    ax.set_title(line.title, fontsize="medium", parse_math=False)
    return ax


def snapshots(
    run: Run,
    times: QuantitiesLike | None = None,
    *,
    way: Way | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Potential along the axon at some times.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    times : (k,) array_like or quantities, optional
        ms; the recorded row nearest to each is drawn. By default five, spread over the way of the
        first impulse, or over the whole run if there is none.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One line for each time, labelled with the row's time, the later the lighter.

    Raises
    ------
    GeometryError
        If `way` does not tell two places of the axon.
    SimulationError
        If a time is not among those that are recorded.
    RunFileError
        If fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    enough(run)
    time = run.time
    if times is None:
        first = next(iter(impulses(run)), None)
        spread = time if first is None else first.time
        ends = spread.min(), spread.max()
        times = np.linspace(*ends, _SNAPSHOTS + 2)[1:-1].clip(time[0], time[-1])
    wanted = quantities(times, "ms", "times", error=SimulationError).ravel()
    line = across(run, way)
    for moment, shade in zip(wanted, shades(len(wanted)), strict=True):
        row = row_at(run, moment, "times")
        ax.plot(line.x, run.v[row, line.columns], label=f"{time[row]:g} ms", color=shade)
    ax.set(xlabel=line.label, ylabel=POTENTIAL)
    legend_above(ax, title=line.title)
    return ax


def animation(
    run: Run,
    output: str | os.PathLike[str],
    *,
    start: QuantityLike | None = None,
    stop: QuantityLike | None = None,
    frames: int = 60,
    way: Way | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Potential along the axon while time goes on, written to a file.

    A frame is one recorded row. Between two frames there may be many: give `start` and `stop` to
    see what happens in a part of a long run.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    output : path-like
        A file to be, ``.gif`` or, with ffmpeg, ``.mp4``. One that is there is replaced.
    start, stop : float or quantity, optional
        The time that is shown, ms; all that is recorded if not given.
    frames : int, optional
        How many at most, from 2 to 400; 20 of them take a second.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.
    ax : matplotlib.axes.Axes, optional
        Drawn into, and its whole figure written; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        As the last frame shows it.

    Raises
    ------
    GeometryError
        If `way` does not tell two places of the axon.
    SimulationError
        If `output` has another suffix, `frames` is no such number, or `start` and `stop` don't
        come one after the other within what is recorded.
    RunFileError
        If fewer than two rows are there yet, or no place is recorded.
    WriteError
        If it can't be written.
    MissingExtraError
        Without matplotlib, or for MP4 without ffmpeg.
    """
    own = ax is None
    ax = ax or new_figure().subplots()
    writer = writer_of(output)
    rows = rows_of_frames(run, frames, start, stop).tolist()
    line = across(run, way)
    v = {row: run.v[row, line.columns] for row in rows}
    (drawn,) = ax.plot(line.x, v[rows[0]], color=BLUE)
    ax.update_datalim(
        [(line.x[0], potential) for each in v.values() for potential in (each.min(), each.max())]
    )
    ax.autoscale_view()
    ax.set(xlabel=line.label, ylabel=POTENTIAL)
    ax.set_title("0 ms", loc="left")
    ax.set_title(line.title, loc="right", fontsize="medium", parse_math=False)

    def show(row: int) -> None:
        drawn.set_ydata(v[row])
        ax.set_title(f"{run.time[row]:g} ms", loc="left")

    write(writer, output, ax, rows, show, own=own)
    return ax


def _borders(centres: FloatArray) -> FloatArray:
    """Where the cells about these points begin and end."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(([2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]))
