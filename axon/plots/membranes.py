"""Pictures of a membrane: its gates and currents against the potential."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from axon.channels import Channel, Gate
from axon.errors import MembraneError, NoRestError
from axon.membranes import Membrane
from axon.plots.drawing import POTENTIAL, new_figure
from axon.units import FloatArray, QuantityLike, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ABREAST = 4  # channels
_POTENTIALS = 401  # drawn of a membrane
_POWERS = "⁰¹²³⁴⁵⁶⁷⁸"
_STROKES = ("-", "--", "-.", ":")
_SPAN = 1e7  # of time constants, from the longest down
_DECADES = 2  # of currents, each side of zero; smaller ones are on a linear scale


def membrane(
    membrane: Membrane,
    *,
    celsius: QuantityLike | None = None,
    v: tuple[QuantityLike, QuantityLike] = (-100.0, 60.0),
) -> Figure:
    """What a membrane does at each potential: its gates, channel by channel, and its currents.

    Concentrations are those of the beginning, parameters that vary along the axon those of its
    origin.

    Parameters
    ----------
    membrane : Membrane
    celsius : float or quantity, optional
        °C; the membrane's own temperature if not given.
    v : (float or quantity, float or quantity), optional
        The potentials drawn, from and to, mV.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes for each channel that has gates: steady states, of a scheme how far it is open;
        below them time constants in ms, those that there are. Last the steady current of the
        membrane and of each ion, mA/cm² on a scale that is linear around zero and logarithmic
        further out. A dotted line in all of them marks where the membrane rests (`Membrane.rest`),
        if it does; where concentrations move until it does, that is not where this current is 0.

    Raises
    ------
    MembraneError
        If `celsius` or `v` will not do, or a rate is not finite.
    MissingExtraError
        Without matplotlib.
    """
    warmth = membrane.celsius if celsius is None else celsius
    warmth = quantity(warmth, "degC", "celsius", error=MembraneError)
    low, high = (quantity(end, "mV", "v", error=MembraneError) for end in v)
    if not low < high:
        raise MembraneError(f"v={v!r}; give two potentials, the lower one first")
    there = _at_origin(membrane)
    potentials = np.linspace(low, high, _POTENTIALS)
    quantities = there.quantities(potentials, warmth)
    gated = [channel for channel in there.channels if channel.gates]
    across = max(1, min(len(gated), _ABREAST))
    down = -(-len(gated) // across)

    figure = new_figure()
    figure.set_size_inches(3.0 + 2.5 * across, 3.6 * down + 3.4)
    grid = figure.add_gridspec(2 * down + 1, across, height_ratios=[1.0] * 2 * down + [1.8])
    whole = figure.add_subplot(grid[-1, :])
    _currents(there.currents(potentials, warmth), potentials, whole)
    upper = lower = None
    for i, channel in enumerate(gated):
        row, column = divmod(i, across)
        upper = figure.add_subplot(grid[2 * row, column], sharey=upper)
        lower = figure.add_subplot(grid[2 * row + 1, column], sharey=lower)
        _gates(channel, quantities, upper, lower)
        if column == 0:
            upper.set_ylabel("steady state")
            lower.set_ylabel("time constant (ms)")
        upper.tick_params(labelbottom=False, labelleft=column == 0)
        lower.tick_params(labelleft=column == 0)
    if lower is not None:
        shortest, longest = lower.get_ylim()
        lower.set_ylim(max(shortest, longest / _SPAN), longest)
    for ax in figure.axes:
        ax.set_xlim(low, high)
    title = f"{membrane.name or 'membrane'} at {warmth:g} °C"
    try:
        rest = there.rest(warmth).v
    except NoRestError:
        rest = None
    if rest is not None and low <= rest <= high:
        title += f", resting at {rest:.1f} mV"
        for ax in figure.axes:
            ax.axvline(rest, color="black", linewidth=0.8, linestyle=":")
    figure.suptitle(title, parse_math=False)
    return figure


def _at_origin(membrane: Membrane) -> Membrane:
    """The same membrane without arrays along the axon: their first values."""

    def first(profile: Any) -> Any:
        return np.ravel(profile)[0] if np.ndim(profile) > 0 else profile

    def there(part: Any, *names: str) -> Any:
        changed = {name: first(getattr(part, name)) for name in names}
        return replace(part, scales=tuple(map(first, part.scales)), **changed)

    return replace(
        membrane,
        channels=[there(channel, "gbar", "reversal") for channel in membrane.channels],
        pumps=[there(pump, "density") for pump in membrane.pumps],
    )


def _gates(channel: Channel, quantities: dict[str, Any], upper: Axes, lower: Axes) -> None:
    """Steady states above, time constants below."""
    v = quantities["v"]
    for i, gate in enumerate(channel.gates):
        look: dict[str, Any] = {"color": f"C{i}", "linestyle": _STROKES[i % len(_STROKES)]}
        if isinstance(gate, Gate):
            steady, rate = gate.at(quantities)
            with np.errstate(divide="ignore"):
                if not gate.instantaneous:
                    lower.plot(v, 1.0 / rate, **look)
        else:
            steady = gate.conducting(list(gate.at(quantities)))
        power = _POWERS[gate.power] if channel.open is None and gate.power > 1 else ""
        upper.plot(v, steady, label=gate.name + power, **look)
    _headed(upper, channel.name)
    lower.set_yscale("log")
    if not lower.lines:
        lower.annotate("no time constants", (0.5, 0.5), xycoords="axes fraction", ha="center")


def _currents(currents: dict[str | None, Any], v: FloatArray, ax: Axes) -> None:
    for ion, current in currents.items():
        ax.plot(v, current, label="no ion" if ion is None else ion)
    total = sum(currents.values())
    ax.plot(v, total, color="black", linewidth=3.0, label="total", zorder=1)
    ax.axhline(0.0, color="black", linewidth=0.8)
    largest = max(np.abs(current).max() for current in (total, *currents.values())) or 1.0
    decades = 10.0 ** (np.floor(np.log10(largest)) + np.arange(-_DECADES, 1))
    ax.set_yscale("asinh", linear_width=decades[0])
    ticks = [*-decades[:0:-1], 0.0, *decades[1:]]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set(xlabel=POTENTIAL, ylabel="steady current (mA/cm²)")
    _headed(ax, "all channels and pumps")


def _headed(ax: Axes, title: str) -> None:
    """Title and legend side by side above the axes."""
    ax.set_title(title, loc="left", fontsize="medium")
    ax.legend(
        loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=8, frameon=False, fontsize="small",
        handlelength=1.4, handletextpad=0.3, columnspacing=0.7, borderpad=0.2,
    )  # fmt: skip
