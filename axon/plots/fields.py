"""Pictures of the field: the membrane potential over time and along the axon.

A long run is read a few rows at a time and drawn by the extremes of its rows: no spike is lost,
however many of them share a pixel.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

import numpy as np

from axon.errors import MissingExtraError, SimulationError, WriteError
from axon.plots.drawing import (
    BLUE,
    POSITION,
    POTENTIAL,
    TIME,
    across,
    enough,
    extremes,
    legend_above,
    new_figure,
    shades,
    sites,
    zigzag,
)
from axon.trails import impulses
from axon.units import FloatArray, QuantitiesLike, QuantityLike, quantities, quantity

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from axon.runs import Run

_TRACES, _SNAPSHOTS = 5, 5
_ABOVE_EACH_OTHER = 25  # traces of a waterfall
_OVERLAP = 3.0  # how high they are, in distances between them

_MOST_FRAMES = 400  # in memory, about 0.7 MB each, until a GIF is written
_FRAMES_PER_SECOND = 20
_DPI = 80  # of an animation: 640 by 360 pixels
_WRITERS = {".gif": "pillow", ".mp4": "ffmpeg"}


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
        If fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    x, columns = across(run)
    time, _, highest = extremes(run, columns)
    picture = ax.pcolorfast(_borders(time), _borders(x), highest.T, cmap="magma")
    ax.figure.colorbar(picture, ax=ax, label=POTENTIAL)
    ax.set(xlabel=TIME, ylabel=POSITION)
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
        One line for each position, labelled with the site's position; the later given the lighter.

    Raises
    ------
    GeometryError
        If a position is not on the axon.
    RunFileError
        If fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    chosen = sites(run, positions, _TRACES)
    time, lowest, highest = extremes(run, chosen)
    for place, low, high, shade in zip(
        run.x[chosen], lowest.T, highest.T, shades(len(chosen)), strict=True
    ):
        ax.plot(*zigzag(time, low, high), label=f"{place * 1e-3:g} mm", color=shade)
    ax.set(xlabel=TIME, ylabel=POTENTIAL)
    legend_above(ax)
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
    figure = new_figure()
    upper, lower = figure.subplots(2, sharex=True)
    space_time(run, ax=upper).set(xlabel=None)
    traces(run, positions, ax=lower)
    study = run.header.get("study")
    title = study.get("title") if isinstance(study, dict) else None
    figure.suptitle(title if isinstance(title, str) else "", parse_math=False)
    return figure


def waterfall(
    run: Run, positions: Iterable[QuantityLike] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Potential over time at many positions, each trace shifted upwards by its position.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    positions : iterable of float or quantity, optional
        In µm from the axon's origin; the recorded site nearest to each is drawn. By default
        25 sites from one end of the recording to the other.
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
        If a position is not on the axon.
    RunFileError
        If fewer than two rows are there yet, or no place is recorded.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    chosen = sites(run, positions, _ABOVE_EACH_OTHER)
    time, lowest, highest = extremes(run, chosen)
    x = run.x[chosen] * 1e-3
    usual = np.median(lowest)
    span = float(highest.max() - lowest.min()) or 1.0
    apart = float(np.ptp(x)) / max(1, len(x) - 1) or 1.0
    scale = _OVERLAP * apart / span  # mm/mV
    for place, low, high in zip(x, lowest.T, highest.T, strict=True):
        line = zigzag(time, place + scale * (low - usual), place + scale * (high - usual))
        ax.plot(*line, color="black", linewidth=0.8)
    bar = 10.0 ** np.floor(np.log10(span))
    foot, beside = x.min(), ax.get_yaxis_transform()
    ax.text(1.03, foot + scale * bar / 2, f"{bar:g} mV", transform=beside, va="center")
    ends = [foot, foot + scale * bar]
    ax.plot([1.02, 1.02], ends, transform=beside, color="black", linewidth=2.0, clip_on=False)
    ax.set(xlabel=TIME, ylabel=POSITION)
    return ax


def snapshots(run: Run, times: QuantitiesLike | None = None, *, ax: Axes | None = None) -> Axes:
    """Potential along the axon at some times.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    times : (k,) array_like or quantities, optional
        ms; the recorded row nearest to each is drawn. By default five, spread over the way of the
        first impulse, or over the whole run if there is none.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One line for each time, labelled with the row's time, the later the lighter.

    Raises
    ------
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
        way = time if first is None else first.time
        times = np.linspace(way.min(), way.max(), _SNAPSHOTS + 2)[1:-1].clip(time[0], time[-1])
    wanted = quantities(times, "ms", "times", error=SimulationError).ravel()
    x, columns = across(run)
    for moment, shade in zip(wanted, shades(len(wanted)), strict=True):
        row = _row(run, moment, "times")
        ax.plot(x, run.v[row, columns], label=f"{time[row]:g} ms", color=shade)
    ax.set(xlabel=POSITION, ylabel=POTENTIAL)
    legend_above(ax)
    return ax


def animation(
    run: Run,
    output: str | os.PathLike[str],
    *,
    start: QuantityLike | None = None,
    stop: QuantityLike | None = None,
    frames: int = 60,
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
    ax : matplotlib.axes.Axes, optional
        Drawn into, and its whole figure written; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        As the last frame shows it.

    Raises
    ------
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
    if isinstance(frames, bool) or not isinstance(frames, int) or not 2 <= frames <= _MOST_FRAMES:
        raise SimulationError(f"frames={frames!r}; give a whole number from 2 to {_MOST_FRAMES}")
    own = ax is None
    ax = ax or new_figure().subplots()
    figure = ax.figure.canvas.figure
    writer = _writer(Path(output))
    first, last = 0, enough(run) - 1
    if start is not None:
        first = _row(run, start, "start")
    if stop is not None:
        last = _row(run, stop, "stop")
    time = run.time
    if not first < last:
        raise SimulationError(f"start = {time[first]:g} ms is not before stop = {time[last]:g} ms")
    rows = np.unique(np.linspace(first, last, frames).round().astype(np.intp))
    x, columns = across(run)
    v = np.stack([run.v[int(row), columns] for row in rows])
    (line,) = ax.plot(x, v[0], color=BLUE)
    ax.update_datalim([(x[0], v.min()), (x[-1], v.max())])
    ax.autoscale_view()
    ax.set(xlabel=POSITION, ylabel=POTENTIAL)
    ax.set_title("0 ms", loc="left")
    if own:  # laid out once, not for every frame
        figure.set_size_inches(8.0, 4.5)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    try:
        with writer.saving(figure, Path(output), _DPI):
            for moment, potentials in zip(time[rows], v, strict=True):
                line.set_ydata(potentials)
                ax.set_title(f"{moment:g} ms", loc="left")
                writer.grab_frame()
    except (OSError, CalledProcessError) as error:
        raise WriteError(f"{output}: cannot be written: {error}") from error
    return ax


def _row(run: Run, time: QuantityLike, name: str) -> int:
    """The number of the row that is nearest to a time."""
    wanted = quantity(time, "ms", name, error=SimulationError)
    first, last = run.time[[0, -1]]
    row = round(float(wanted - first) / run.interval)
    if not 0 <= row < len(run.v):
        raise SimulationError(
            f"{name} = {wanted:g} ms is not recorded; the rows go from {first:g} to {last:g} ms"
        )
    return row


def _writer(output: Path) -> AbstractMovieWriter:
    """What writes animations of this suffix."""
    from matplotlib.animation import writers

    name = _WRITERS.get(output.suffix.lower())
    if name is None:
        raise SimulationError(f"output = {str(output)!r}: an animation ends in .gif or .mp4")
    if not writers.is_available(name):
        raise MissingExtraError(
            f"writing {output} needs {name}, which is not there: install it, or write a .gif"
        )
    return writers[name](fps=_FRAMES_PER_SECOND)


def _borders(centres: FloatArray) -> FloatArray:
    """Where the cells about these points begin and end."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(([2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]))
