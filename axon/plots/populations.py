"""Pictures of populations: where their fibres lie, and what electrodes record of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from axon.plots.drawing import (
    BLUE,
    ROWS,
    TIME,
    extremes_of,
    legend_above,
    named,
    new_figure,
    shades,
    zigzag,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from axon.populations import Compound, Population

_MICROVOLT = 1e3  # are a mV


def cross_section(population: Population, *, ax: Axes | None = None) -> Axes:
    """The fibres of a population as circles, within the outline of the fascicle.

    Parameters
    ----------
    population : Population
        From `axon.populations.place`.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        Both axes have one scale; circles are as large as the fibres.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    from matplotlib.collections import EllipseCollection
    from matplotlib.patches import Polygon

    outline = population.fascicle.points
    ax.add_patch(Polygon(outline, fill=False, edgecolor="black"))
    d = population.diameter
    places = np.stack((population.y, population.z), axis=1)
    ax.add_collection(
        EllipseCollection(
            d, d, np.zeros_like(d), units="xy", offsets=places,
            offset_transform=ax.transData, facecolor=BLUE, edgecolor="none",
        )
    )  # fmt: skip
    ax.update_datalim(outline)
    ax.autoscale_view()
    ax.set(xlabel="y (µm)", ylabel="z (µm)", aspect="equal")
    return ax


def compound(recorded: Compound, *, ax: Axes | None = None) -> Axes:
    """What electrodes record of a population, over time.

    Parameters
    ----------
    recorded : Compound
        From `axon.populations.compound_action_potential`.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        One line for each electrode, in µV, labelled with its place if it has one.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    block = -(-len(recorded.time) // ROWS)
    lowest, highest = extremes_of(recorded.potential * _MICROVOLT, block)
    time = recorded.time[::block]
    electrodes = recorded.electrodes
    for k, (electrode, shade) in enumerate(zip(electrodes, shades(len(electrodes)), strict=True)):
        drawn = zigzag(time, lowest[:, k], highest[:, k])
        ax.plot(*drawn, label=named(electrode, k + 1), color=shade)
    ax.set(xlabel=TIME, ylabel="potential outside (µV)")
    legend_above(ax)
    return ax
