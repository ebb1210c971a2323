"""Where a patch of membrane rests, and whether it stays there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from axon.channels import Gate
from axon.errors import MembraneError, NoRestError
from axon.portable import least_squares
from axon.records import Value

if TYPE_CHECKING:
    from axon.membranes import Membrane

REST_RANGE = (-150.0, 100.0)
"""Where a resting potential is looked for, mV."""

REST_GRID = 2501
"""Potentials in that range at which the steady current is looked at."""

UNSTABLE = 1e-7
"""Growth, 1/ms, from which on a state counts as unstable: differences are good to less."""

SETTLED = 1e-10
"""Changes, relative to the scale of each quantity, at which the search ends."""

CONCENTRATED = 1e5
"""Concentration, mM, that no water holds: what gets there goes on and on."""

STILL = 1e-9
"""Rates, 1/ms relative to the scale of each quantity, that still count as rest."""


AXON_AT = (-70.0, -20.0, 20.0)
"""Potentials at which pools are asked how fast they are, mV: of an axon at rest and as it fires."""


GROWN = (3.0, 10.0, 30.0)
"""Times where it begins, concentrations at which they are asked, too: impulses bring so much."""


class Rest(Value):
    """A membrane's resting state.

    Attributes
    ----------
    v : float
        Potential, mV.
    gates : dict
        Value of each gate by (channel, gate); of a scheme, how far it is open.
    concentrations : dict
        mM, of those that pools move, by name such as ``cai``; and the bound fraction of each
        buffer, by ``cai.name``.
    """

    v: float
    gates: dict[tuple[str, str], float]
    concentrations: dict[str, float] = field(default_factory=dict)


def find_rest(membrane: Membrane, celsius: float, diameter: float) -> Rest:
    """See `Membrane.rest`."""
    brackets = membrane.once(
        ("brackets", celsius), lambda: _brackets(membrane, celsius), amounts=True
    )
    if not brackets:
        raise NoRestError(
            f"this membrane has no resting potential between {REST_RANGE[0]:g} and "
            f"{REST_RANGE[1]:g} mV: its steady current nowhere rises through zero; "
            f"give v_init{_said_of_no_numbers(membrane, celsius)}"
        )
    unstable = []
    for bracket in brackets:
        concentrations = membrane.initial_concentrations
        if concentrations:
            at, concentrations = _settle(membrane, celsius, diameter, bracket[0], concentrations)
        else:
            at = membrane.once(
                ("balanced", celsius, bracket),
                partial(_bisect, membrane, celsius, *bracket),
                amounts=True,
            )
        growth = _growth(membrane, celsius, diameter, at, concentrations)
        if growth <= UNSTABLE:
            quantities = membrane.quantities(np.array([at]), celsius, concentrations)
            gates = {
                name: float(value[0]) for name, value in membrane.steady_gates(quantities).items()
            }
            return Rest(float(at), gates, concentrations)
        unstable.append(f"{at:.4g} mV (grows by {growth:.3g}/ms)")
    raise NoRestError(
        f"this membrane has no stable resting state: it balances at {', '.join(unstable)}, but "
        "departs when it is pushed a little, as a pacemaker does; give v_init"
        f"{_said_of_no_numbers(membrane, celsius)}"
    )


def _said_of_no_numbers(membrane: Membrane, celsius: float) -> str:
    """Which mechanisms' currents are no numbers where a rest is looked for."""
    v = np.linspace(*REST_RANGE, REST_GRID)
    quantities = membrane.quantities(v, celsius)
    gates = membrane.steady_gates(quantities)
    said = ""
    with np.errstate(all="ignore"):
        for mechanism, currents in membrane.each_currents(quantities, gates):
            wrong = ~np.isfinite(np.broadcast_to(sum(currents.values()), v.shape))
            if wrong.any():
                where = f"{v[np.argmax(wrong)]:g} mV"
                said += f"; the current of {mechanism.name!r} is no number at {where}"
    return said


def _brackets(membrane: Membrane, celsius: float) -> tuple[tuple[float, float], ...]:
    """Potentials between which the steady current rises through zero, upwards, mV.

    Concentrations are those of the beginning: no matter how fast pools fill.
    """
    v = np.linspace(*REST_RANGE, REST_GRID)
    current = membrane.steady_current(v, celsius)
    rising = np.flatnonzero((current[:-1] <= 0.0) & (current[1:] > 0.0))
    return tuple((float(v[i]), float(v[i + 1])) for i in rising)


def _bisect(membrane: Membrane, celsius: float, low: float, high: float) -> float:
    """Where the steady current vanishes between two potentials, to the last bit, mV."""
    while True:
        v = np.linspace(low, high, 513)  # in the time of one, or nearly so
        above = int(np.argmax(membrane.steady_current(v, celsius) > 0.0))
        if above == 0 or (v[above - 1], v[above]) == (low, high):
            return low
        low, high = float(v[above - 1]), float(v[above])


def _changes(
    membrane: Membrane,
    celsius: Any,
    per_current: Mapping[str, Any],
    y: np.ndarray,
    x: np.ndarray | None = None,
) -> np.ndarray:
    """d/dt of potential (of 1 µF/cm²) and concentrations, gates at their steady state.

    y is (1 + concentrations, anything), at x.
    """
    names = list(membrane.initial_concentrations)
    concentrations = dict(zip(names, y[1:], strict=True))
    quantities = membrane.quantities(y[0], celsius, concentrations)
    currents = membrane.ion_currents(quantities, membrane.steady_gates(quantities), x)
    rates = membrane.pool_rates(currents, concentrations, per_current)
    total = -1e3 * sum(currents.values())
    return np.stack([np.broadcast_to(r, y[0].shape) for r in [total, *(rates[n] for n in names)]])


def _with_slopes(
    changes: Callable[[np.ndarray], np.ndarray], y: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Changes at y, and by central differences how each depends on each quantity."""
    small = 1e-6 * scale
    ways = np.concatenate([np.zeros((y.size, 1)), np.diag(small), -np.diag(small)], axis=1)
    f, up, down = np.split(changes(y[:, None] + ways), [1, 1 + y.size], axis=1)
    return f[:, 0], (up - down) / (2.0 * small)


def pool_speed(
    membrane: Membrane,
    x: np.ndarray,
    celsius: np.ndarray,
    per_current: Mapping[str, np.ndarray],
    begins: Sequence[Mapping[str, float]],
) -> float:
    """How fast concentrations settle by themselves, 1/ms, where on an axon they do so fastest.

    A bound from above: the largest sum along a row of d rates / d concentrations, each in units of
    itself, and a buffer's fraction of its equilibrium; with gates steady at the potentials
    `AXON_AT`, and each concentration in turn where it may begin, and `GROWN`. Infinite if rates are
    no numbers. Arrays have one value for all places (then `x` is one place) or one for each.
    """
    starts = [dict(begin) for begin in begins]
    for begin in begins:
        concentrations = [name for name in begin if "." not in name]
        starts += [{**begin, c: times * begin[c]} for c in concentrations for times in GROWN]
    units = [dict(start) for start in starts]
    for pool in membrane.pools:
        for buffer in pool.buffers:
            for its in units:
                c = its[pool.concentration]
                if buffer.binding * c > 0.0:
                    its[f"{pool.concentration}.{buffer.name}"] = buffer.equilibrium(c)
    names = list(membrane.initial_concentrations)
    size, places = len(names), x.size
    start, unit = (
        np.array([[each[name] for each in those] for name in names]) for those in (starts, units)
    )
    step = 1e-6 * np.maximum(np.abs(unit), 1e-12)
    way = np.concatenate([np.eye(size), -np.eye(size)], axis=1)
    points = np.empty((1 + size, len(AXON_AT), len(starts), 2 * size))
    points[0] = np.reshape(AXON_AT, (-1, 1, 1))
    points[1:] = (start[..., None] + step[..., None] * way[:, None])[:, None]
    y: np.ndarray = points.reshape(1 + size, -1)
    if places > 1:
        y = np.repeat(y[..., None], places, axis=2)
    try:
        with np.errstate(all="ignore"):
            rates = _changes(membrane, celsius, per_current, y, x)[1:]
    except MembraneError:  # such as that of a scheme that has no single steady state there
        return np.inf
    up, down = np.moveaxis(rates.reshape(size, len(AXON_AT), len(starts), 2, size, places), 3, 0)
    sums = np.abs(up - down).sum(axis=3) / (2.0 * step[:, None, :, None])
    fastest = float(sums.max())
    return fastest if np.isfinite(fastest) else np.inf


def _settle(
    membrane: Membrane, celsius: float, diameter: float, v: float, start: dict[str, float]
) -> tuple[float, dict[str, float]]:
    """Potential and concentrations at which nothing changes.

    Implicit Euler with time steps that grow without bound: it follows the membrane to rest
    and ends as Newton's method.
    """
    per_current: dict[str, Any] = membrane.per_current(np.array([diameter]))
    y = np.array([v, *start.values()])
    scale = np.maximum(np.abs(y), [1.0, *(1e-12 for _ in start)])
    h, size = 1.0, y.size
    for _ in range(400):
        with np.errstate(all="ignore"):
            f, slopes = _with_slopes(partial(_changes, membrane, celsius, per_current), y, scale)
        matrix = np.eye(size) / h - slopes
        # In units of the scale of each quantity, so that small concentrations count.
        matrix = matrix * scale[None, :] / scale[:, None]
        step = least_squares(matrix, f / scale, 1e-14) * scale
        largest = np.abs(step / scale).max()
        new = y + step
        if not np.all(np.isfinite(new)) or largest > 0.3 or np.any(new[1:] <= 0.0):
            h /= 4.0
            if h < 1e-6:
                break
            continue
        y = new
        if np.any(y[1:] > CONCENTRATED):
            break
        scale = np.maximum(np.abs(y), [1.0, *(1e-12 for _ in start)])
        if largest < SETTLED and h > 1e6:
            if np.abs(f / scale).max() > STILL:
                break  # a concentration that goes on and on, in a direction without return
            return float(y[0]), dict(zip(start, map(float, y[1:]), strict=True))
        h *= max(0.1 / max(largest, 1e-4), 1.5)  # for a third of the most that passes
    raise NoRestError(
        "the concentrations of this membrane come to no rest: its currents and pumps do not "
        "balance for each ion; give v_init"
    )


def _growth(
    membrane: Membrane,
    celsius: float,
    diameter: float,
    v: float,
    concentrations: dict[str, float],
) -> float:
    """Fastest growth of a small departure from a state in balance, 1/ms."""
    quantities = membrane.quantities(np.array([v]), celsius, concentrations)
    moving: list[tuple[str, Any, int]] = []
    start = [v, *concentrations.values()]
    for channel, gate in membrane.gates:
        if isinstance(gate, Gate):
            if gate.instantaneous:
                continue
            start.append(float(gate.steady(quantities)[0]))
            moving.append((channel.name, gate, 1))
        else:
            occupancies = gate.at(quantities)[:, 0]
            start.extend(map(float, occupancies))
            moving.append((channel.name, gate, occupancies.size))
    y = np.array(start)
    names = list(concentrations)
    per_current: dict[str, Any] = membrane.per_current(np.array([diameter]))

    def changes(points: np.ndarray) -> np.ndarray:
        moved = dict(zip(names, points[1 : 1 + len(names)], strict=True))
        q = membrane.quantities(points[0], celsius, moved)
        values, rates = membrane.steady_gates(q), []
        row = 1 + len(names)
        for channel, gate, count in moving:
            own = points[row : row + count]
            row += count
            if isinstance(gate, Gate):
                inf, rate = gate.at(q)
                values[channel, gate.name] = own[0]
                rates.append((inf - own[0]) * rate)
            else:
                values[channel, gate.name] = gate.conducting(list(own))
                matrix = gate.matrix(q)
                rates.extend(
                    sum((a * p for a, p in zip(line, own, strict=True)), np.zeros_like(own[0]))
                    for line in matrix
                )
        currents = membrane.ion_currents(q, values)
        pools = membrane.pool_rates(currents, moved, per_current)
        total = -1e3 * sum(currents.values())
        all_rates = [total, *(pools[name] for name in names), *rates]
        return np.stack([np.broadcast_to(r, points[0].shape) for r in all_rates])

    scale = np.maximum(np.abs(y), 1e-9)
    _, slopes = _with_slopes(changes, y, scale)
    jacobian = slopes * scale[None, :] / scale[:, None]
    if not np.isfinite(jacobian).all():
        return np.inf
    return float(np.linalg.eigvals(jacobian).real.max())
