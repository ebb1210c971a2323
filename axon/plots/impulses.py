"""Pictures of the impulses of a run: where and how fast they went, and what an electrode sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from axon.analysis import extracellular_potential, velocity_profile
from axon.errors import NoSpikeError
from axon.plots.drawing import (
    BLUE,
    COLUMNS,
    GREEN,
    ORANGE,
    POSITION,
    ROWS,
    TIME,
    VERMILION,
    enough,
    extremes_of,
    legend_above,
    named,
    new_figure,
    shades,
    zigzag,
)
from axon.sources import Source
from axon.trails import Fate
from axon.trails import impulses as find_impulses
from axon.units import QuantityLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from axon.runs import Run

_MICROVOLT = 1e3  # are a mV
_WINDOW = 0.1  # of the length
_KNOWN = 0.1  # the largest standard error of a velocity that is drawn, relatively
_LOOKS: dict[Fate, tuple[str, str]] = {
    "arrived": (BLUE, "-"),
    "collided": (ORANGE, "--"),
    "failed": (VERMILION, ":"),
    "on its way": (GREEN, "-."),
}


def spikes(run: Run, *, gap: QuantityLike = 2.0, ax: Axes | None = None) -> Axes:
    """The impulses of a run as lines in time and position, coloured by what became of them.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    gap : float or quantity, optional
        Longest time between two neighbours, ms; see `axon.impulses`.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One collection of lines for each fate that there is, labelled with it: a line from where an
        impulse began to each of its ends. Last a dot wherever one began.

    Raises
    ------
    NoSpikeError
        If there is no impulse.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    found = find_impulses(run, gap)
    if not found:
        raise NoSpikeError("the run has no impulse to draw: stimulate more strongly, or run longer")
    from matplotlib.collections import LineCollection

    lines: dict[Fate, list[np.ndarray]] = {fate: [] for fate in _LOOKS}
    for impulse in found:
        way = np.stack((impulse.time, impulse.x * 1e-3), axis=1)
        begin = int(np.argmin(impulse.time))
        parts = [way] if len(impulse.fates) == 1 else [way[: begin + 1], way[begin:]]
        for part, fate in zip(parts, impulse.fates, strict=True):
            shown = np.linspace(0, len(part) - 1, min(len(part), COLUMNS)).round().astype(np.intp)
            lines[fate].append(part[shown])
    for fate, (colour, stroke) in _LOOKS.items():
        if ways := lines[fate]:
            ax.add_collection(
                LineCollection(ways, label=fate, color=colour, linestyle=stroke, linewidth=2.0)
            )
    starts = [(impulse.time.min(), impulse.start * 1e-3) for impulse in found]
    ax.plot(*np.transpose(starts), "o", color="black", markersize=4.0, label="beginning")
    ax.update_datalim([(time, 0.0) for time in run.time[[0, -1]]])
    ax.autoscale_view()
    ax.set(xlabel=TIME, ylabel=POSITION, ylim=(0.0, run.axon.length * 1e-3))
    legend_above(ax)
    return ax


def velocity(run: Run, window: QuantityLike | None = None, *, ax: Axes | None = None) -> Axes:
    """How fast the first impulse travels, from place to place.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    window : float or quantity, optional
        Length of the stretch over which a velocity is fitted, µm, as for `axon.velocity_profile`;
        a tenth of the axon if not given.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        A line, and a band of its standard error. There are gaps where that is more than a tenth of
        the velocity, as where the impulse began or met another one.

    Raises
    ------
    NoSpikeError
        If the first impulse reached too few sites.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    stretch = _WINDOW * run.axon.length if window is None else window
    # At its own threshold the run knows every compartment's arrival, recorded or not.
    own = run.header["simulation"]["spike_threshold"]
    profile = velocity_profile(run, stretch, threshold=own)
    known = profile.stderr <= _KNOWN * np.abs(profile.value)
    value = np.where(known, profile.value, np.nan)
    x = profile.x * 1e-3
    ax.fill_between(
        x, value - profile.stderr, value + profile.stderr, color=BLUE, alpha=0.3, linewidth=0.0
    )
    ax.plot(x, value, color=BLUE)
    ax.ticklabel_format(useOffset=False)
    ax.set(xlabel=POSITION, ylabel="conduction velocity (m/s)")
    return ax


def extracellular(run: Run, sources: Source | Iterable[Source], *, ax: Axes | None = None) -> Axes:
    """What electrodes outside the axon record of it.

    Parameters
    ----------
    run : Run
        Finished or still growing, in which every compartment is recorded.
    sources : Source or iterable of Source
        The electrodes, as for `axon.extracellular_potential`.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One line for each electrode, in µV, labelled with its place if it has one.

    Raises
    ------
    SimulationError, StimulusError
        As `axon.extracellular_potential`.
    RunFileError
        If fewer than two rows are there yet.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    electrodes = [sources] if isinstance(sources, Source) else list(sources)
    block = -(-enough(run) // ROWS)
    for k, (electrode, shade) in enumerate(zip(electrodes, shades(len(electrodes)), strict=True)):
        potential = _MICROVOLT * extracellular_potential(run, electrode)
        drawn = zigzag(run.time[::block], *extremes_of(potential, block))
        ax.plot(*drawn, label=named(electrode, k + 1), color=shade)
    ax.set(xlabel=TIME, ylabel="potential outside (µV)")
    legend_above(ax)
    return ax
