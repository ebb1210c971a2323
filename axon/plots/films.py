"""Pictures that move: which rows of a run are their frames, and how they are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from axon.errors import MissingExtraError, SimulationError, WriteError
from axon.plots.drawing import enough, row_at
from axon.units import QuantityLike

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes

    from axon.runs import Run

_MOST_FRAMES = 400  # in memory, about 0.7 MB each, until a GIF is written
_FRAMES_PER_SECOND = 20
_DPI = 80  # 640 by 360 pixels
_WRITERS = {".gif": "pillow", ".mp4": "ffmpeg"}


def writer_of(output: str | os.PathLike[str]) -> AbstractMovieWriter:
    """What writes animations of this suffix.

    Raises
    ------
    SimulationError
        If there is none.
    MissingExtraError
        For MP4 without ffmpeg.
    """
    from matplotlib.animation import writers

    name = _WRITERS.get(Path(output).suffix.lower())
    if name is None:
        raise SimulationError(f"output = {str(output)!r}: an animation ends in .gif or .mp4")
    if not writers.is_available(name):
        raise MissingExtraError(
            f"writing {output} needs {name}, which is not there: install it, or write a .gif"
        )
    return writers[name](fps=_FRAMES_PER_SECOND)


def rows_of_frames(
    run: Run, frames: int, start: QuantityLike | None, stop: QuantityLike | None
) -> npt.NDArray[np.intp]:
    """As many rows, or all, from one time to another.

    Raises
    ------
    SimulationError
        If `frames` is no such number, or `start` and `stop` don't come one after the other within
        what is recorded.
    RunFileError
        If fewer than two rows are there yet.
    """
    if isinstance(frames, bool) or not isinstance(frames, int) or not 2 <= frames <= _MOST_FRAMES:
        raise SimulationError(f"frames={frames!r}; give a whole number from 2 to {_MOST_FRAMES}")
    first, last = 0, enough(run) - 1
    if start is not None:
        first = row_at(run, start, "start")
    if stop is not None:
        last = row_at(run, stop, "stop")
    if not first < last:
        time = run.time
        raise SimulationError(f"start = {time[first]:g} ms is not before stop = {time[last]:g} ms")
    return np.unique(np.linspace(first, last, frames).round().astype(np.intp))


def write(
    writer: AbstractMovieWriter,
    output: str | os.PathLike[str],
    ax: Axes,
    rows: Iterable[int],
    show: Callable[[int], object],
    *,
    own: bool,
) -> None:
    """Write the figure of `ax` as it is each time after `show` was told of a row.

    One of axon's `own` gets the size and the layout of a film.

    Raises
    ------
    WriteError
        If it can't be written.
    """
    figure = ax.figure.canvas.figure
    if own:  # laid out once, not for every frame
        figure.set_size_inches(8.0, 4.5)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    try:
        with writer.saving(figure, Path(output), _DPI):
            for row in rows:
                show(row)
                writer.grab_frame()
    except (OSError, CalledProcessError) as error:
        raise WriteError(f"{output}: cannot be written: {error}") from error
