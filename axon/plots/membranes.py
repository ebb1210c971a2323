"""Pictures of a membrane: against the potential, and at a point of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from axon.analysis import action_potential
from axon.channels import Channel, Gate
from axon.errors import MembraneError, NoRestError, NoSpikeError, SimulationError
from axon.membranes import Membrane
from axon.plots.drawing import POTENTIAL, new_figure
from axon.replay import membrane_at
from axon.units import FloatArray, PositionLike, QuantityLike, position_text, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from axon.runs import Run

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


def membrane_currents(
    run: Run,
    at: PositionLike,
    *,
    start: QuantityLike | None = None,
    stop: QuantityLike | None = None,
) -> tuple[Axes, Axes, Axes]:
    """Potential, gates and currents at one place of a run: `axon.membrane_at` as a picture.

    Parameters
    ----------
    run : Run
        Finished or still growing.
    at : position
        Where, µm: the nearest recorded compartment.
    start, stop : float or quantity, optional
        The times drawn, ms; by default those about the first impulse there, or all if there is
        none.

    Returns
    -------
    tuple of three matplotlib.axes.Axes
        From above: the potential; gates and states of schemes; currents of channels and pumps that
        come to a hundredth of the largest one, outward positive, and the capacitive current.

    Raises
    ------
    SimulationError, NoSpikeError, RunFileError
        As `axon.membrane_at`; or if no two rows lie between `start` and `stop`.
    MissingExtraError
        Without matplotlib.
    """
    figure = new_figure()
    figure.set_size_inches(9.0, 8.0)
    try:
        shape = action_potential(run, at)
        begin = shape.time - max(1.0, 2.0 * shape.half_width)
        end = shape.time + max(3.0, 6.0 * shape.half_width)
    except NoSpikeError:
        begin, end = -np.inf, np.inf
    begin = begin if start is None else quantity(start, "ms", "start")
    end = end if stop is None else quantity(stop, "ms", "stop")
    there = membrane_at(run, at, end)
    rows = (there.time >= begin) & (there.time <= end)
    if np.count_nonzero(rows) < 2:
        raise SimulationError(f"fewer than two rows lie between {begin:g} and {end:g} ms")
    t = there.time[rows]

    upper, middle, lower = figure.subplots(3, sharex=True)
    upper.plot(t, there.v[rows], color="black")
    upper.set(ylabel="potential (mV)")
    where = (
        f"{there.x * 1e-3:g} mm"
        if run.tree is None
        else position_text(run.place(there.compartment))
    )
    upper.set_title(f"membrane at {where}", fontsize="medium")
    for k, (name, values) in enumerate(there.states.items()):
        middle.plot(t, values[rows], label=name, color=f"C{k % 10}", linestyle=_stroke(k))
    middle.set(ylabel="gates", ylim=(-0.03, 1.03))
    currents = {name: current[rows] for name, current in there.currents.items()}
    largest = max((np.abs(current).max() for current in currents.values()), default=0.0)
    drawn = {name: i for name, i in currents.items() if np.abs(i).max() >= 0.01 * largest}
    for k, (name, current) in enumerate(drawn.items()):
        lower.plot(t, current, label=name, color=f"C{k % 10}", linestyle=_stroke(k))
    lower.plot(t, there.capacitive[rows], label="capacitive", color="0.5", linewidth=1.0)
    lower.axhline(0.0, color="black", linewidth=0.8)
    lower.set(xlabel="time (ms)", ylabel="current (mA/cm²)", xlim=(t[0], t[-1]))
    for ax in (middle, lower):
        if ax.get_legend_handles_labels()[0]:
            ax.legend(
                loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small",
                ncols=1 + len(ax.lines) // 16,
            )  # fmt: skip
    return upper, middle, lower


def _stroke(k: int) -> str:
    """Another one when the ten colours begin anew."""
    return _STROKES[k // 10 % len(_STROKES)]


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
