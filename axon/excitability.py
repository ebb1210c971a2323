"""How excitable the membrane is after an impulse has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from axon.analysis import BEFORE, ActionPotential, action_potential
from axon.errors import NoSpikeError, SimulationError
from axon.records import Record
from axon.replay import Replay, advance
from axon.units import FloatArray, PositionLike

if TYPE_CHECKING:
    from axon.runs import Run

RAISED = 1.05
"""What a shock needs, by that at rest, to count as one of the relative refractory period."""

LONGEST = 200.0
"""What is looked at after an impulse, ms."""

_INTERVALS = 96  # at which a patch is tried, each longer than the last by the same factor
_SHOCKS = 12  # side by side, and that in rounds, each between two shocks of the last
_ROUNDS = 3
_PATIENCE = 10.0  # half-widths
_MOST_STEPS = 10**6  # of a round


class PatchRecovery(Record):
    """How excitable a patch of membrane is after an impulse.

    Attributes
    ----------
    x : float
        Where, µm.
    at_rest : float
        Least shock that excites it before the impulse, mV.
    interval : array (k,)
        Times after the impulse, ms.
    shock : array (k,)
        Least shock that excites it then, mV from where it is; infinite if none does.
    """

    x: float
    at_rest: float
    interval: FloatArray
    shock: FloatArray

    @property
    def absolute(self) -> float:
        """Last time at which no shock excites it, ms; NaN if there is none that does later."""
        return self._last(np.isinf(self.shock))

    @property
    def relative(self) -> float:
        """Last time at which it takes 5 % more than at rest, ms; NaN if it does to the end."""
        return self._last(self.shock > RAISED * self.at_rest)

    def _last(self, harder: np.ndarray) -> float:
        if harder[-1]:
            return float("nan")
        return float(self.interval[np.flatnonzero(harder)[-1]]) if harder.any() else 0.0

    def __str__(self) -> str:
        return (
            f"refractory for {self.absolute:.3g} ms, and in part for {self.relative:.3g} ms "
            f"(shock at rest {self.at_rest:.3g} mV)"
        )


def patch_recovery(run: Run, at: PositionLike, number: int = 0) -> PatchRecovery:
    """How excitable the membrane at one place is after an impulse, as a patch on its own.

    The patch, as the impulse left it at some time, is cut out of the axon and shifted by a shock:
    an instantaneous charge. It is excited if it then rises by itself. A shock may lift it to a
    third of the way from rest to the impulse's peak, and it must go on to two thirds.

    Parameters
    ----------
    run : Run
    at : position
        Where, µm: the nearest recorded compartment.
    number : int, optional
        Which of the impulses there. What is tried ends with the next one or with the run, and
        after 200 ms.

    Returns
    -------
    PatchRecovery
        Thresholds are bracketed to 1/1331 of the range of shocks.

    Raises
    ------
    NoSpikeError
        If there is no such impulse, it doesn't come back within the run, or the patch can't be
        excited at rest, or is active by itself.
    SimulationError, RunFileError
        As `membrane_at`.
    """
    shape = action_potential(run, at, number)
    return recovered(run, Replay(run, at, shape.time + LONGEST), shape)


def recovered(run: Run, replay: Replay, shape: ActionPotential) -> PatchRecovery:
    """The same, of an impulse and its compartment's replay up to `LONGEST` after it."""
    times = run.spikes["time"][run.spikes["compartment"] == replay.compartment]
    later = times[times > shape.time]
    low = shape.rest + shape.amplitude / 3
    high = shape.rest + 2 * shape.amplitude / 3
    end = float(later[0]) - shape.half_width if len(later) else np.inf
    back = (replay.time > shape.peak_time) & (replay.time < end) & (replay.v < low)
    rows = np.flatnonzero(back)
    intervals = replay.time[rows] - shape.time
    if len(rows) < 2 or not (shape.half_width > 0 and intervals[0] > 0):
        raise NoSpikeError(f"the membrane doesn't come back from the impulse at {shape.time:g} ms")
    tried = np.geomspace(intervals[0], intervals[-1], _INTERVALS)
    rows = rows[np.unique(np.searchsorted(intervals, tried * (1 - 1e-9)))]
    before = max(0, int(np.searchsorted(replay.time, shape.time - BEFORE)))
    least = _least_shocks(replay, np.append(before, rows), low, high, _PATIENCE * shape.half_width)
    if not 0.0 < least[0] < np.inf:
        why = "is active by itself" if least[0] <= 0.0 else "can't be excited by a shock"
        raise NoSpikeError(f"a patch of the membrane at {replay.x:g} µm {why}")
    return PatchRecovery(replay.x, float(least[0]), replay.time[rows] - shape.time, least[1:])


def _least_shocks(
    replay: Replay, rows: np.ndarray, low: float, high: float, patience: float
) -> FloatArray:
    """The least shift of V, mV, at each of these rows after which it rises through `high`.

    It has `patience` ms for that. No shift goes beyond `low`.
    """
    steps = max(1, round(patience / replay.dt))
    if steps > _MOST_STEPS:
        raise SimulationError(f"an impulse of {patience / _PATIENCE:g} ms takes too many steps")
    v, each = replay.v[rows], np.arange(len(rows))
    kernel = replay.kernel(len(rows) * _SHOCKS, capacitance=replay.cm, threshold=high)
    state = np.repeat(replay.states[:, rows], _SHOCKS, axis=1)
    least = np.full(len(rows), np.inf)
    below, above = np.zeros(len(rows)), low - v
    for _ in range(_ROUNDS):
        tried = np.linspace(below, above, _SHOCKS, axis=1)
        kernel.set("step", [0])  # where gates are as old as V
        kernel.set("state", state)
        kernel.set("v", v[:, np.newaxis] + tried)
        excited = advance(kernel, np.zeros((steps, 0)))
        if excited is None:
            raise SimulationError("the potential of a patch of the membrane runs away")
        fired = np.zeros(tried.shape, bool)
        fired.flat[excited] = True
        some, first = fired.any(axis=1), fired.argmax(axis=1)
        first = np.where(some, first, _SHOCKS - 1)
        least = np.where(some, tried[each, first], least)
        above = tried[each, first]
        below = np.where(some, tried[each, np.maximum(first - 1, 0)], above)
    return least
