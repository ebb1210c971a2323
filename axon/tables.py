"""Tables of gates whose rates depend on the potential alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from axon.channels import Gate

V_MIN, V_MAX = -300.0, 300.0
"""Range of the tables, mV; beyond it a gate keeps the rates of the nearer end."""

TOLERANCE = 1e-8
"""Bins are halved until no table value is off by more than this."""

STEPS = (0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Bin widths that are tried, mV."""

# Cubics through the ends and two inner points of a bin: neighbours meet.
_NODES = np.array([-1 / 2, -1 / 6, 1 / 6, 1 / 2])
_TO_POWERS = np.linalg.inv(np.vander(_NODES, increasing=True))
_PROBES = np.array([-0.43, -0.25, 0.0, 0.25, 0.43])


@dataclass(frozen=True)
class GateTable:
    """Cubics of steady state and of 1 - exp(-dt/tau), as the kernel reads them.

    Attributes
    ----------
    gates : tuple of int
        State that each tabulated gate is.
    v_min, v_step : float
        Centre of the first bin and bin width, mV.
    cubics : array (n_bins, n_blocks, 4, 8)
        Coefficients, constant first, in (v - centre) / v_step: for each block of four gates
        those of four steady states, then of four factors.
    error : float
        Largest error found between the nodes: absolute for steady states, relative for
        the factors.
    """

    gates: tuple[int, ...]
    v_min: float
    v_step: float
    n_bins: int
    cubics: np.ndarray
    error: float


EMPTY = GateTable((), V_MIN, STEPS[0], 0, np.zeros((0, 0, 4, 8)), 0.0)


def _factor(rate: np.ndarray, dt: float) -> np.ndarray:
    return -np.expm1(-dt * rate)


def _columns(gate: Gate, v: np.ndarray, celsius: float, dt: float) -> np.ndarray:
    """Steady state and factor, (2, *v.shape)."""
    inf, rate = gate.at(v.ravel(), celsius)
    return np.stack([inf, _factor(rate, dt)]).reshape(2, *v.shape)


def gate_error(gate: Gate, celsius: float, dt: float, v_step: float) -> float:
    """Largest error of one gate's table with bins of `v_step` mV."""
    coefficients, centres = _cubics(gate, celsius, dt, v_step)
    c0, c1, c2, c3 = np.moveaxis(coefficients, -1, 0)[..., None]
    found = ((c3 * _PROBES + c2) * _PROBES + c1) * _PROBES + c0
    exact = _columns(gate, centres[:, None] + v_step * _PROBES, celsius, dt)
    difference = np.abs(found - exact)
    difference[1] /= np.maximum(exact[1], np.finfo(float).tiny)
    return float(difference.max())


def _cubics(gate: Gate, celsius: float, dt: float, v_step: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (2, n_bins, 4) and bin centres, mV."""
    n_bins = round((V_MAX - V_MIN) / v_step) + 1
    centres = V_MIN + v_step * np.arange(n_bins)
    # Neighbours share their ends, so each point is evaluated once.
    inner = centres[:, None] + v_step * _NODES[:3]
    points = np.append(inner.ravel(), centres[-1] + v_step * _NODES[3])
    at_points = _columns(gate, points, celsius, dt)
    index = 3 * np.arange(n_bins)[:, None] + np.arange(4)
    return at_points[:, index] @ _TO_POWERS.T, centres


def build_table(
    gates: Sequence[tuple[int, Gate]], celsius: float, dt: float
) -> tuple[GateTable, list[int]]:
    """Tabulate gates at one temperature and time step.

    Parameters
    ----------
    gates : sequence of (state, Gate)
    celsius : float
        °C.
    dt : float
        Time step, ms.

    Returns
    -------
    table : GateTable
        With the widest bins that keep its error within `TOLERANCE`.
    steep : list of int
        States of gates that change too fast for any table; they go into the program.
    """
    smooth, steep, v_step, error = [], [], STEPS[0], 0.0
    for state, gate in gates:
        errors = {}
        for step in STEPS:
            errors[step] = gate_error(gate, celsius, dt, step)
            if errors[step] <= TOLERANCE:
                smooth.append((state, gate))
                v_step = min(v_step, step)
                break
        else:
            steep.append(state)
    if not smooth:
        return EMPTY, steep
    blocks = -(-len(smooth) // 4)
    n_bins = round((V_MAX - V_MIN) / v_step) + 1
    cubics = np.zeros((n_bins, blocks, 4, 8))
    for k, (_, gate) in enumerate(smooth):
        (inf, factor), _ = _cubics(gate, celsius, dt, v_step)
        cubics[:, k // 4, :, k % 4] = inf
        cubics[:, k // 4, :, 4 + k % 4] = factor
        error = max(error, gate_error(gate, celsius, dt, v_step))
    return (
        GateTable(
            gates=tuple(state for state, _ in smooth),
            v_min=V_MIN,
            v_step=v_step,
            n_bins=n_bins,
            cubics=cubics,
            error=error,
        ),
        steep,
    )
