"""Pictures of sweeps: what came out, against what was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from axon.errors import SweepError, UnitError
from axon.plots.drawing import BLUE, legend_above, new_figure, shades
from axon.units import FloatArray, as_written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_MOST_LINES = 6  # that one tells apart
_MOST_MARKS = 12  # along a scale


def sweep(
    axes: Mapping[str, Sequence[Any] | np.ndarray],
    values: FloatArray,
    quantity: str,
    *,
    ax: Axes | None = None,
) -> Axes:
    """A number that was found at every point, against what was changed there.

    Parameters
    ----------
    axes : mapping of str to sequence
        Values along each axis, by the key that was changed: numbers, quantities or texts.
    values : array, of one dimension for each axis
        NaN where there is none.
    quantity : str
        What the values are.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        A line against the first axis: one alone, or one for each value of a second axis of a
        few. Of two axes of many values a map. Of more, the median over all others, and shaded
        what lies between the lowest and the highest.

    Raises
    ------
    SweepError
        If there are no axes, or they don't belong to the values.
    MissingExtraError
        Without matplotlib.
    """
    values = np.asarray(values, np.float64)
    shape = tuple(map(len, axes.values()))
    if not shape or values.shape != shape:
        raise SweepError(f"values have shape {values.shape}, and the axes {shape}")
    scales = [_Scale(key, along) for key, along in axes.items()]
    ax = ax or new_figure().subplots()
    first = scales[0]
    if len(scales) == 2 and shape[1] > _MOST_LINES:
        _map(ax, scales[0], scales[1], values, quantity)
        return ax
    if len(scales) == 1:
        ax.plot(first.places, values, "o-", color=BLUE)
    elif len(scales) == 2:
        for line, label, shade in zip(values.T, scales[1].labels, shades(shape[1]), strict=True):
            ax.plot(first.places, line, "o-", color=shade, label=f"{scales[1].key} = {label}")
        legend_above(ax, 2)
    else:
        rest = values.reshape(shape[0], -1)
        known = ~np.isnan(rest).all(axis=1)
        places, rest = np.asarray(first.places)[known], rest[known]
        ax.fill_between(
            places, np.nanmin(rest, axis=1), np.nanmax(rest, axis=1), color=BLUE, alpha=0.2,
            linewidth=0, label="all",
        )  # fmt: skip
        ax.plot(places, np.nanmedian(rest, axis=1), "o-", color=BLUE, label="median")
        legend_above(ax, 2)
    ax.set(xlabel=first.label, xscale=first.scale, ylabel=quantity)
    first.mark(ax.xaxis)
    return ax


def _map(ax: Axes, first: _Scale, second: _Scale, values: FloatArray, quantity: str) -> None:
    order = np.ix_(np.argsort(first.places), np.argsort(second.places))
    mesh = ax.pcolormesh(
        np.sort(first.places), np.sort(second.places), values[order].T, shading="nearest",
        cmap="viridis",
    )  # fmt: skip
    ax.figure.colorbar(mesh, ax=ax, label=quantity)
    ax.set(xlabel=first.label, xscale=first.scale, ylabel=second.label, yscale=second.scale)
    first.mark(ax.xaxis)
    second.mark(ax.yaxis)


class _Scale:
    """An axis of a picture: places of values, and what stands at them."""

    def __init__(self, key: str, values: Sequence[Any] | np.ndarray) -> None:
        self.key, self.label = key, key
        self.labels = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        numbers = [value for value in values if type(value) in (int, float, np.float64)]
        with suppress(UnitError):  # else they are names, which are not to be measured
            found = [as_written(value, key) for value in values if isinstance(value, str)]
            units = {unit for _, unit in found}
            if len(found) == len(values) and len(units) == 1:
                numbers = [float(number) for number, _ in found]
                self.label = f"{key} ({units.pop()})"
        self.named = len(numbers) < len(values)
        self.places = np.arange(len(values)) if self.named else np.array(numbers, np.float64)

    @property
    def scale(self) -> str:
        """Logarithmic for values at equal ratios, linear for all others."""
        along = np.unique(self.places)
        if self.named or along.size < 3 or along[0] <= 0.0:
            return "linear"
        ratios, steps = along[1:] / along[:-1], np.diff(along)
        even = np.ptp(ratios) < 1e-6 * ratios.max() and np.ptp(steps) > 1e-6 * steps.max()
        return "log" if even else "linear"

    def mark(self, axis: Axis) -> None:
        """Put texts where they belong, and numbers where powers of ten would tell nothing."""
        if self.named or (self.scale == "log" and self.places.size <= _MOST_MARKS):
            texts = self.labels if self.named else [f"{place:.3g}" for place in self.places]
            axis.set_ticks(self.places, texts)
            axis.set_ticks([], minor=True)
