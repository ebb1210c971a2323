"""What a recorded impulse tells: where it arrived when, and how fast it travelled.

Functions here read a run, finished, still growing or in memory. None of them runs a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from axon import units
from axon.errors import GeometryError, NoSpikeError
from axon.units import FloatArray, QuantityLike

if TYPE_CHECKING:
    from axon.runs import Run

_VALUES_AT_ONCE = 2**22  # of the field are read into memory


class Arrivals(NamedTuple):
    """Sites that an impulse reached, and when."""

    x: FloatArray
    """Positions in µm from the axon's origin, ``(k,)``, in the order of compartments."""
    time: FloatArray
    """When the first impulse arrived there, in ms, ``(k,)``."""


@dataclass(frozen=True)
class Velocity:
    """A conduction velocity and how well it is known."""

    value: float
    """In m/s, negative for an impulse that travels towards the origin."""
    stderr: float
    """Standard error of the fit in m/s; NaN for two sites, which any line fits."""
    n_sites: int
    """How many sites were fitted."""

    def __str__(self) -> str:
        scatter = "" if np.isnan(self.stderr) else f"± {self.stderr:.1g}, "
        return f"{self.value:.4g} m/s ({scatter}{self.n_sites} sites)"


def arrival_times(run: Run, threshold: QuantityLike = -20.0) -> Arrivals:
    """Where and when the first impulse arrived.

    If `threshold` is the one at which the run detected spikes, these are taken, which know every
    compartment to below the time step. Otherwise crossings of the recorded field are interpolated
    linearly between its rows.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    threshold : float or quantity, optional
        Upward crossing that counts as arrival, in mV.

    Returns
    -------
    Arrivals
        ``x`` in µm and ``time`` in ms of the sites that were reached, both ``(k,)``; ``k`` may
        be 0.
    """
    threshold = units.quantity(threshold, "mV", "threshold")
    if threshold == run.header["simulation"]["spike_threshold"]:
        # Spikes are sorted by time, so the first of a compartment is its arrival.
        _, first = np.unique(run.spikes["compartment"], return_index=True)
        return Arrivals(run.spikes["x"][first], run.spikes["time"][first])
    return _first_crossings(run, threshold)


def conduction_velocity(
    run: Run, start: QuantityLike, stop: QuantityLike, *, threshold: QuantityLike = -20.0
) -> Velocity:
    """Speed at which an impulse travels along the axon.

    Arrival times at every site between `start` and `stop` are fitted by least squares against
    position, so the scatter of the fit comes with the answer.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    start, stop : float or quantity
        Ends of the stretch that is measured, in µm from the axon's origin; stay away from the
        stimulated and the sealed end.
    threshold : float or quantity, optional
        Upward crossing that counts as arrival, in mV. At the threshold of the run's spike
        detection every compartment is a site, at any other every recorded one.

    Returns
    -------
    Velocity
        ``value`` in m/s, negative for an impulse that travels towards the origin, infinite for
        one that is everywhere at once; ``stderr`` in m/s; ``n_sites``.

    Raises
    ------
    NoSpikeError
        If fewer than two sites between `start` and `stop` were reached.
    GeometryError
        If `stop` is not beyond `start`.

    Examples
    --------
    >>> run = axon.run("squid")
    >>> print(axon.conduction_velocity(run, "25 mm", "75 mm"))
    12.32 m/s (± ..., 500 sites)
    """
    start = units.quantity(start, "um", "start")
    stop = units.quantity(stop, "um", "stop")
    if not start < stop:
        raise GeometryError(
            f"start = {start:g} µm is not before stop = {stop:g} µm: give the end nearer to the "
            "origin first"
        )
    arrivals = arrival_times(run, threshold)
    inside = (arrivals.x >= start) & (arrivals.x <= stop)
    n = int(np.count_nonzero(inside))
    if n < 2:
        raise NoSpikeError(
            f"an impulse reached {n} sites between {start:g} and {stop:g} µm, and a velocity "
            "needs two: look where it travels, run for longer, or stimulate more strongly"
        )
    # Both centred: a late impulse must not cost digits.
    x = arrivals.x[inside] - arrivals.x[inside].mean()
    t = arrivals.time[inside] - arrivals.time[inside].mean()
    slowness = float(x @ t / (x @ x))  # ms/µm
    if slowness == 0:
        return Velocity(np.inf, np.nan, n)
    scatter = t - slowness * x
    variance = float(scatter @ scatter) / (n - 2) / float(x @ x) if n > 2 else np.nan
    # 1 µm/ms is 1e-3 m/s, and d(1/s) = ds / s².
    return Velocity(1e-3 / slowness, 1e-3 * float(np.sqrt(variance)) / slowness**2, n)


def _first_crossings(run: Run, threshold: float) -> Arrivals:
    """When each recorded compartment first rose through `threshold`, a few rows at a time."""
    v, time, x = run.v, np.asarray(run.time), np.asarray(run.x)
    arrival = np.full(len(x), np.nan)
    rows = max(1, _VALUES_AT_ONCE // max(1, len(x)))
    for start in range(0, len(time) - 1, rows):
        block = np.asarray(v[start : start + rows + 1], dtype=np.float64)
        rises = (block[:-1] < threshold) & (block[1:] >= threshold)
        site = np.flatnonzero(rises.any(axis=0) & np.isnan(arrival))
        row = rises[:, site].argmax(axis=0)
        below, above = block[row, site], block[row + 1, site]
        before, after = time[start + row], time[start + row + 1]
        arrival[site] = before + (after - before) * (threshold - below) / (above - below)
    reached = ~np.isnan(arrival)
    return Arrivals(x[reached], arrival[reached])
