"""Pictures of the impulses of a run: where and how fast they went, and what an electrode sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from axon.analysis import extracellular_potential, velocity_profile
from axon.errors import NoSpikeError
from axon.plots.drawing import (
    BLUE,
    COLUMNS,
    GREEN,
    ORANGE,
    ROWS,
    TIME,
    VERMILION,
    Way,
    enough,
    extremes_of,
    legend_above,
    line,
    named,
    new_figure,
    shades,
    zigzag,
)
from axon.sources import Source
from axon.trails import Fate, Impulse
from axon.trails import impulses as find_impulses
from axon.units import FloatArray, QuantityLike

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


def spikes(
    run: Run, *, gap: QuantityLike = 2.0, way: Way | None = None, ax: Axes | None = None
) -> Axes:
    """The impulses of a run as lines in time and position, coloured by what became of them.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    gap : float or quantity, optional
        Longest time between two neighbours, ms; see `axon.impulses`.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One collection of lines for each fate that there is, labelled with it: a line from where an
        impulse began, or came to the way, to each of its ends. One that went on beyond the way has
        arrived. Last a dot wherever one began.

    Raises
    ------
    GeometryError
        If `way` does not tell two places of the axon.
    NoSpikeError
        If there is no impulse.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    found, along = find_impulses(run, gap), line(run, way)
    place = np.full(len(run.axon_x), np.nan)
    place[along.compartments] = along.x
    passing = [each for each in found if np.isfinite(place[each.compartments]).any()]
    if not passing:
        raise NoSpikeError("the run has no impulse to draw: stimulate more strongly, or run longer")
    from matplotlib.collections import LineCollection

    lines: dict[Fate, list[np.ndarray]] = {fate: [] for fate in _LOOKS}
    starts = []
    for impulse in passing:
        for part, fate in _parts(run, impulse, place):
            shown = np.linspace(0, len(part) - 1, min(len(part), COLUMNS)).round().astype(np.intp)
            lines[fate].append(part[shown])
        first = int(np.argmin(impulse.time))
        starts.append((impulse.time[first], place[impulse.compartments[first]]))
    for fate, (colour, stroke) in _LOOKS.items():
        if ways := lines[fate]:
            ax.add_collection(
                LineCollection(ways, label=fate, color=colour, linestyle=stroke, linewidth=2.0)
            )
    ax.plot(*np.transpose(starts), "o", color="black", markersize=4.0, label="beginning")
    ax.update_datalim([(time, 0.0) for time in run.time[[0, -1]]])
    ax.autoscale_view()
    length = run.axon.length * 1e-3 if run.tree is None else along.x[-1]
    ax.set(xlabel=TIME, ylabel=along.label, ylim=(0.0, length))
    legend_above(ax, title=along.title)
    return ax


def _parts(run: Run, impulse: Impulse, place: FloatArray) -> Iterator[tuple[FloatArray, Fate]]:
    """The ways of an impulse from where it began to its ends, and what became of it there.

    They are rows of time, ms, and `place`, mm, which is NaN of compartments that are not drawn.
    """
    drawn = np.isfinite(place[impulse.compartments])
    compartments, time = impulse.compartments[drawn], impulse.time[drawn]
    order = np.argsort(place[compartments], kind="stable")
    compartments = compartments[order]
    rows = np.stack((time[order], place[compartments]), axis=1)
    fates = {run.index(end): fate for end, fate in zip(impulse.ended, impulse.fates, strict=True)}
    begin = int(np.argmin(rows[:, 0]))
    ends = [(rows[: begin + 1], compartments[0]), (rows[begin:], compartments[-1])]
    for part, end in [(part, end) for part, end in ends if len(part) > 1] or ends[:1]:
        yield part, fates.get(int(end), "arrived")


def velocity(
    run: Run,
    window: QuantityLike | None = None,
    *,
    way: Way | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How fast the first impulse travels, from place to place.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    window : float or quantity, optional
        Length of the stretch over which a velocity is fitted, µm, as for `axon.velocity_profile`;
        a tenth of the axon if not given, or of the way.
    way : (position, position), optional
        Of an axon that branches: from where to where; by default from the root to the farthest
        tip.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        A line, and a band of its standard error. There are gaps where that is more than a tenth of
        the velocity, as where the impulse began or met another one.

    Raises
    ------
    GeometryError
        If `way` does not tell two places of the axon.
    NoSpikeError
        If the first impulse reached too few sites.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    along = line(run, way)
    length = run.axon.length if run.tree is None else 1e3 * float(np.ptp(along.x))
    stretch = _WINDOW * length if window is None else window
    # At its own threshold the run knows every compartment's arrival, recorded or not.
    own = run.header["simulation"]["spike_threshold"]
    on = None if run.tree is None else along.ends
    profile = velocity_profile(run, stretch, way=on, threshold=own)
    known = profile.stderr <= _KNOWN * np.abs(profile.value)
    value = np.where(known, profile.value, np.nan)
    x = profile.x * 1e-3 + (0.0 if on is None else along.x[0])
    ax.fill_between(
        x, value - profile.stderr, value + profile.stderr, color=BLUE, alpha=0.3, linewidth=0.0
    )
    ax.plot(x, value, color=BLUE)
    ax.ticklabel_format(useOffset=False)
    ax.set(xlabel=along.label, ylabel="conduction velocity (m/s)")
    ax.set_title(along.title, fontsize="medium", parse_math=False)
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
