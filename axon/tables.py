"""Tables of what depends on the potential alone: gates, and parts of expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import NamedTuple

import numpy as np

from axon._kernel import GATES_PER_BLOCK, table_blocks
from axon.channels import Gate
from axon.errors import MembraneError
from axon.portable import expm1
from axon.rates import Quantities
from axon.records import Record

V_MIN, V_MAX = -300.0, 300.0
"""Range of the tables, mV; beyond it everything keeps the value of the nearer end."""

TOLERANCE = 1e-8
"""Bins are halved until no cubic is off by more than this."""

ROUNDED = TOLERANCE + 2.0**-23
"""The same with cubics in single precision: coefficient and sum are rounded once each."""

STEPS = (0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Bin widths that are tried, mV."""

_OF_A_POLE = 0.1
"""Error, beside values that aren't finite, of which narrower bins would make nothing smaller."""

# Cubics through four points of a bin, the outer ones so near its ends that neighbours meet where
# a function is smooth, and that one which jumps at an end, as many do at a whole number of mV,
# has all four on its own side.
_NODES = np.array([-0.4999, -1 / 6, 1 / 6, 0.4999])
_PROBES = np.array([-0.43, -0.25, 0.0, 0.25, 0.43])


def _powers() -> np.ndarray:
    """Coefficients, constant first, of the cubics that are 1 at one node and 0 at the others."""
    rows = []
    for i, node in enumerate(_NODES):
        a, b, c = np.delete(_NODES, i)
        scale = (node - a) * (node - b) * (node - c)
        rows.append([-a * b * c / scale, (a * b + b * c + c * a) / scale, -(a + b + c) / scale])
        rows[-1].append(1.0 / scale)
    return np.array(rows)


_POWERS = _powers()

Curve = Callable[[np.ndarray], np.ndarray]
"""Values at potentials (mV), as rows of an array (curves, n)."""


class Table(Record):
    """Cubics in bins of one width, as the kernel reads them.

    Attributes
    ----------
    gates : tuple of int
        State that each tabulated gate is.
    values : tuple of int
        Slot of each other value.
    v_min, v_step : float
        Centre of the first bin and bin width, mV.
    n_bins : int
    cubics : array (n_bins, n_blocks, 4, 8) of single precision
        Coefficients, constant first, in (v - centre) / v_step. A block has up to four gates,
        their steady states from 0 on and their factors 1 - exp(-dt/tau) from 4 on. What the last
        of these leaves free takes values, and more blocks take eight each.
    error : float
        Largest error found between the nodes, in single precision: absolute for steady states,
        relative for the factors, and of a value relative to the largest in its bin.
    slow : bool
        Whether only slow steps move its gates, by as many time steps at once.
    """

    gates: tuple[int, ...]
    values: tuple[int, ...]
    v_min: float
    v_step: float
    n_bins: int
    cubics: np.ndarray
    error: float
    slow: bool = False

    def looked_up(self, v: np.ndarray) -> dict[int, np.ndarray]:
        """Its values, but not its gates, at potentials (mV), by slot."""
        place = np.clip((v - self.v_min) / self.v_step, 0.0, self.n_bins - 1)
        bins = np.rint(place).astype(np.intp)
        s = (place - bins).astype(np.float32)
        found = {}
        places = _value_places(len(self.gates), len(self.values))
        for slot, (block, lane) in zip(self.values, places, strict=True):
            found[slot] = _cubic(self.cubics[bins, block, :, lane].T, s).astype(float)
        return found


class _Fit(NamedTuple):
    """Cubics of the curves of one gate or value, (4, curves, n_bins), in single precision."""

    coefficients: np.ndarray
    grid: Grid
    error: float
    """Of the cubics themselves."""
    rounded: float
    """In single precision."""
    again: Callable[[Grid], _Fit]
    """The same curves on another grid."""

    def on(self, grid: Grid) -> _Fit:
        return self if grid == self.grid else self.again(grid)

    @property
    def good(self) -> bool:
        return self.error <= TOLERANCE and self.rounded <= ROUNDED


class Grid(NamedTuple):
    """Bins over the range: their width, mV, and whether they meet at multiples of it.

    Otherwise their centres lie there, so that an axon that rests at a whole number of mV looks
    into one bin and not into two.
    """

    v_step: float
    meeting: bool

    @property
    def centres(self) -> np.ndarray:
        """Of the bins, mV; none of the range is left out."""
        n = round((V_MAX - V_MIN) / self.v_step)
        if self.meeting:
            return V_MIN + self.v_step * (np.arange(n + 2) - 0.5)
        return V_MIN + self.v_step * np.arange(n + 1)


GRIDS = tuple(Grid(v_step, meeting) for v_step in STEPS for meeting in (False, True))
"""In the order in which they are tried."""


def _cubic(coefficients: np.ndarray, s: np.ndarray) -> np.ndarray:
    c0, c1, c2, c3 = coefficients
    return np.asarray(((c3 * s + c2) * s + c1) * s + c0)


def _fit(curve: Curve, error: Callable[[np.ndarray, np.ndarray], float], grid: Grid) -> _Fit:
    at = grid.centres + grid.v_step * np.concatenate([_NODES, _PROBES])[:, None]
    of_all = curve(at.ravel()).reshape(-1, *at.shape).swapaxes(0, 1)  # points, curves, bins
    values, exact = of_all[: _NODES.size], of_all[_NODES.size :]
    # Written out: the order in which a product of matrices adds depends on the machine.
    first, second, third, fourth = values[:, None] * _POWERS[..., None, None]
    coefficients = (first + fourth) + (second + third)
    probes = _PROBES[:, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        single = coefficients.astype(np.float32)
        single[np.abs(single) < np.finfo(np.float32).tiny] = 0.0  # some processors crawl on these
        as_fitted, rounded = (
            error(_cubic(c, probes.astype(c.dtype)), exact) for c in (coefficients, single)
        )
    return _Fit(single, grid, as_fitted, rounded, lambda other: _fit(curve, error, other))


def _widest(curve: Curve, error: Callable[[np.ndarray, np.ndarray], float]) -> _Fit | None:
    """The fit with the widest bins that is good enough."""
    finite = True
    for grid in GRIDS:
        fit = _fit(curve, error, grid)
        if fit.good:
            return fit
        if not finite and fit.error > _OF_A_POLE:
            return None
        finite = fit.error < np.inf
    return None


def _gate_curve(gate: Gate, fixed: Quantities, dt: float) -> Curve:
    """Steady state and factor."""

    def curve(v: np.ndarray) -> np.ndarray:
        inf, rate = gate.at({**fixed, "v": v})
        return np.stack([inf, -expm1(-dt * rate)])

    return curve


def _gate_error(found: np.ndarray, exact: np.ndarray) -> float:
    difference = np.abs(found - exact)
    difference[:, 1] /= np.maximum(exact[:, 1], np.finfo(float).tiny)
    return float(difference.max())


def _value_error(found: np.ndarray, exact: np.ndarray) -> float:
    if not (np.all(np.isfinite(exact)) and np.all(np.isfinite(found))):
        return np.inf
    largest = np.abs(exact).max(axis=0)
    return float((np.abs(found - exact) / np.maximum(largest, np.finfo(float).tiny)).max())


def fit_gate(gate: Gate, fixed: Quantities, dt: float) -> _Fit | None:
    """A gate's table, with bins as wide as may be; None if it is too steep."""
    return _widest(_gate_curve(gate, fixed, dt), _gate_error)


def fit_value(function: Callable[[np.ndarray], np.ndarray]) -> _Fit | None:
    """The table of a function of the potential; None if it is too steep or not finite."""

    def curve(v: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.broadcast_to(function(v), v.shape)[None]

    return _widest(curve, _value_error)


def build_tables(
    gates: Sequence[tuple[int, _Fit]], values: Sequence[tuple[int, _Fit]], slow: bool = False
) -> tuple[Table, ...]:
    """Put what has bins of one grid into one table, the widest first.

    Parameters
    ----------
    gates : sequence of (state, fit)
    values : sequence of (slot, fit)
    slow : bool, optional
        Whether only slow steps look into them.
    """
    gates = _filling_blocks(gates)
    values = _filling_lanes(gates, values)
    tables = []
    for grid in GRIDS:
        own_gates = [(state, fit) for state, fit in gates if fit.grid == grid]
        own_values = [(slot, fit) for slot, fit in values if fit.grid == grid]
        if not own_gates and not own_values:
            continue
        blocks = table_blocks(len(own_gates), len(own_values))
        n_bins = grid.centres.size
        cubics = np.zeros((n_bins, blocks, 4, 8), dtype=np.float32)
        for k, (_, fit) in enumerate(own_gates):
            cubics[:, k // GATES_PER_BLOCK, :, k % GATES_PER_BLOCK] = fit.coefficients[:, 0].T
            at = GATES_PER_BLOCK + k % GATES_PER_BLOCK
            cubics[:, k // GATES_PER_BLOCK, :, at] = fit.coefficients[:, 1].T
        places = _value_places(len(own_gates), len(own_values))
        for (_, fit), (block, lane) in zip(own_values, places, strict=True):
            cubics[:, block, :, lane] = fit.coefficients[:, 0].T
        tables.append(
            Table(
                gates=tuple(state for state, _ in own_gates),
                values=tuple(slot for slot, _ in own_values),
                v_min=float(grid.centres[0]),
                v_step=grid.v_step,
                n_bins=n_bins,
                cubics=cubics,
                error=max(fit.rounded for _, fit in (*own_gates, *own_values)),
                slow=slow,
            )
        )
    return tuple(tables)


def _value_places(n_gates: int, n_values: int) -> list[tuple[int, int]]:
    """Block and number within it of every value: where gates leave room first."""
    blocks = range(n_gates // GATES_PER_BLOCK, table_blocks(n_gates, n_values))
    gates = n_gates % GATES_PER_BLOCK
    taken = {(blocks.start, half + k) for half in (0, GATES_PER_BLOCK) for k in range(gates)}
    free = [(block, k) for block in blocks for k in range(8) if (block, k) not in taken]
    return free[:n_values]


def blocks_from_older(cubics: np.ndarray, n_gates: int, n_values: int) -> np.ndarray:
    """Blocks of a table whose values have blocks of their own, as they had before results 8.

    Raises
    ------
    MembraneError
        If these are not as many as gates and values need.
    """
    first = -(-n_gates // GATES_PER_BLOCK)
    if cubics.shape[1] != first - (-n_values // 8):
        raise MembraneError(
            f"a table of {n_gates} gates and {n_values} values has {cubics.shape[1]} blocks"
        )
    blocks = np.zeros((len(cubics), table_blocks(n_gates, n_values), 4, 8), cubics.dtype)
    blocks[:, :first] = cubics[:, :first]
    for k, (block, lane) in enumerate(_value_places(n_gates, n_values)):
        blocks[:, block, :, lane] = cubics[:, first + k // 8, :, k % 8]
    return blocks


def _filling_blocks(gates: Sequence[tuple[int, _Fit]]) -> list[tuple[int, _Fit]]:
    """Gates that would leave a block half empty, together with others that would, if they fit into
    one: in the bins of those in the narrower ones, or in the next that are tried."""
    filled = list(gates)

    def left(grid: Grid) -> list[int]:
        own = [i for i, (_, fit) in enumerate(filled) if fit.grid == grid]
        return own[len(own) - len(own) % GATES_PER_BLOCK :]

    for k, grid in enumerate(GRIDS):
        for there, narrower in enumerate(GRIDS[k + 1 :], k + 1):
            few, others = left(grid), left(narrower)
            if not (few and others and len(few) + len(others) <= GATES_PER_BLOCK):
                continue
            which = (*few, *others)
            for target in GRIDS[there : there + 2]:
                fits = (filled[i][1].on(target) for i in which)
                good = list(takewhile(lambda fit: fit.good, fits))
                if len(good) == len(which):
                    for i, fit in zip(which, good, strict=True):
                        filled[i] = (filled[i][0], fit)
                    break
    return filled


def _filling_lanes(
    gates: Sequence[tuple[int, _Fit]], values: Sequence[tuple[int, _Fit]]
) -> list[tuple[int, _Fit]]:
    """Values that would begin a block go where blocks of narrower bins have room, if all fit."""
    filled = list(values)
    n_gates = Counter(fit.grid for _, fit in gates)
    for k, grid in enumerate(GRIDS):
        own = [i for i, (_, fit) in enumerate(filled) if fit.grid == grid]
        few = 0
        if table_blocks(n_gates[grid], len(own)) > table_blocks(n_gates[grid], 0):
            few = (2 * n_gates[grid] + len(own)) % 8
        for narrower in GRIDS[k + 1 :]:
            there = sum(fit.grid == narrower for _, fit in filled)
            room = 8 * table_blocks(n_gates[narrower], there) - 2 * n_gates[narrower] - there
            if not 0 < few <= room:
                continue
            fits = ((i, filled[i][1].on(narrower)) for i in own)
            good = list(islice(((i, fit) for i, fit in fits if fit.good), few))
            if len(good) == few:
                for i, fit in good:
                    filled[i] = (filled[i][0], fit)
                break
    return filled
