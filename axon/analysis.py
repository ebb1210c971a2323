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


@dataclass(frozen=True, eq=False)
class Impulse:
    """An impulse on its way: the spikes that followed one another from place to place.

    Attributes
    ----------
    x : array (k,)
        Sites that it passed, µm, from the end nearer to the origin to the other.
    time : array (k,)
        When it was there, ms.
    collided : bool
        Whether it met another one, which ended both.
    """

    x: FloatArray
    time: FloatArray
    collided: bool

    @property
    def start(self) -> float:
        """Where it began, µm."""
        return float(self.x[np.argmin(self.time)])

    @property
    def ends(self) -> tuple[float, ...]:
        """Where it came to its end, µm: one place, or two if it set out in both directions."""
        ends = (float(self.x[0]), float(self.x[-1]))
        if self.start in ends:
            return ends[1:] if self.start == ends[0] else ends[:1]
        return ends

    def __repr__(self) -> str:
        ends = " and ".join(f"{x:g}" for x in self.ends)
        told = ", where it met another" if self.collided else ""
        return f"<Impulse from {self.start:g} um at {self.time.min():g} ms to {ends} um{told}>"


@dataclass(frozen=True)
class ActionPotential:
    """The shape of an impulse at one place.

    Attributes
    ----------
    x : float
        Where, µm.
    time : float
        When it crossed the threshold of the run's spike detection, ms.
    rest : float
        Potential before it, mV.
    threshold : float
        Potential at which it began to rise by itself, mV.
    peak, peak_time : float
        mV, ms.
    half_width : float
        Time above the middle between rest and peak, ms.
    rise, fall : float
        Largest slopes, mV/ms; `fall` is negative.
    afterhyperpolarisation : float
        How far below rest it fell afterwards, mV.
    afterdepolarisation : float
        How far above rest it came after that, mV.
    """

    x: float
    time: float
    rest: float
    threshold: float
    peak: float
    peak_time: float
    half_width: float
    rise: float
    fall: float
    afterhyperpolarisation: float
    afterdepolarisation: float

    @property
    def amplitude(self) -> float:
        """From rest to peak, mV."""
        return self.peak - self.rest


def impulses(run: Run, gap: QuantityLike = 2.0) -> list[Impulse]:
    """The impulses that travelled along the axon, in the order in which they began.

    A spike goes on with the impulse that passed a neighbouring compartment last, if that was no
    longer than `gap` ago; else an impulse begins with it. One that both neighbours lead to is
    where two impulses meet.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    gap : float or quantity, optional
        Longest time between two neighbours, ms. It must be less than the refractory period.

    Returns
    -------
    list of Impulse

    Examples
    --------
    >>> run = axon.run("squid")
    >>> axon.impulses(run)
    [<Impulse from 50 um at 1.1... ms to 99950 um>]
    """
    gap = units.quantity(gap, "ms", "gap", positive=True)
    spikes = run.spikes
    last: dict[int, tuple[float, int]] = {}  # of each compartment: when, and which impulse
    members: list[list[int]] = []
    met: set[int] = set()
    for number, (time, compartment) in enumerate(
        zip(spikes["time"].tolist(), spikes["compartment"].tolist(), strict=True)
    ):
        found = {
            which
            for when, which in (last.get(compartment + side, (-np.inf, -1)) for side in (-1, 1))
            if time - when <= gap
        }
        met |= found if len(found) > 1 else set()
        which = min(found, default=len(members))
        if which == len(members):
            members.append([])
        members[which].append(number)
        last[compartment] = time, which
    return [_impulse(spikes[numbers], which in met) for which, numbers in enumerate(members)]


def _impulse(spikes: np.ndarray, collided: bool) -> Impulse:
    order = np.argsort(spikes["x"], kind="stable")
    return Impulse(spikes["x"][order], spikes["time"][order], collided)


def action_potential(
    run: Run,
    at: QuantityLike,
    number: int = 0,
    *,
    before: QuantityLike = 5.0,
    after: QuantityLike = 20.0,
    slope: float = 10.0,
) -> ActionPotential:
    """The shape of an impulse at one place.

    Parameters
    ----------
    run : Run
        A finished or still growing run, in which that place is recorded.
    at : float or quantity
        Where, µm: the nearest recorded compartment.
    number : int, optional
        Which of the impulses there, the first being 0; negative numbers count from the last.
    before, after : float or quantity, optional
        What belongs to it, ms before and after its crossing, but nothing of the next one. Rest is
        the potential at the beginning.
    slope : float, optional
        The rise, mV/ms, from which on it counts as its own: where the threshold is read.

    Returns
    -------
    ActionPotential

    Raises
    ------
    NoSpikeError
        If there are not so many spikes at that place, or the run ends before its peak.
    """
    at = units.quantity(at, "um", "at")
    before = units.quantity(before, "ms", "before", positive=True)
    after = units.quantity(after, "ms", "after", positive=True)
    if not len(run.x):
        raise NoSpikeError("no place is recorded, so there is no shape")
    site = int(np.argmin(np.abs(run.x - at)))
    crossings = run.spikes["time"][run.spikes["compartment"] == run.compartments[site]]
    if not -len(crossings) <= number < len(crossings):
        raise NoSpikeError(f"number = {number}: there are {len(crossings)} spikes at {at:g} µm")
    number %= len(crossings)
    crossing = float(crossings[number])
    following = float(crossings[number + 1]) if number + 1 < len(crossings) else np.inf
    stop = min(crossing + after, following)

    first = max(0, int(np.searchsorted(run.time, crossing - before)))
    last = int(np.searchsorted(run.time, stop, side="right"))
    t = run.time[first:last]
    v = np.asarray(run.v[first:last, site], dtype=np.float64)
    top = int(np.argmax(v))
    if not 1 < top < len(v) - 1:
        raise NoSpikeError(f"the run has no peak around {crossing:g} ms at {at:g} µm")
    if stop == following:  # the foot of the next one is where this one ends
        foot = len(v) - 1
        while foot > top + 1 and v[foot - 1] < v[foot]:
            foot -= 1
        t, v = t[: foot + 1], v[: foot + 1]
    rate = np.gradient(v, t)
    rest = float(v[0])
    peak, peak_time = _vertex(t[top - 1 : top + 2], v[top - 1 : top + 2])

    steepest = int(np.argmax(rate[: top + 1]))
    slow = np.flatnonzero(rate[: steepest + 1] < slope)
    begin = int(slow[-1]) if len(slow) else 0
    threshold = v[begin]
    if len(slow) and begin < steepest:
        share = (slope - rate[begin]) / (rate[begin + 1] - rate[begin])
        threshold = v[begin] + share * (v[begin + 1] - v[begin])

    middle = (rest + peak) / 2
    up, down = _crossing(t[: top + 1], v[: top + 1], middle), np.nan
    if (v[top:] < middle).any():
        down = _crossing(-t[top:][::-1], v[top:][::-1], middle)
    trough = top + int(np.argmin(v[top:]))
    return ActionPotential(
        x=float(run.x[site]),
        time=crossing,
        rest=rest,
        threshold=float(threshold),
        peak=peak,
        peak_time=peak_time,
        half_width=-down - up,
        rise=float(rate.max()),
        fall=float(rate.min()),
        afterhyperpolarisation=max(0.0, rest - float(v[trough])),
        afterdepolarisation=max(0.0, float(v[trough:].max()) - rest),
    )


def _vertex(t: FloatArray, v: FloatArray) -> tuple[float, float]:
    """The top of the parabola through three points."""
    a, b, c = v
    curved = a - 2 * b + c
    shift = 0.5 * (a - c) / curved if curved < 0 else 0.0
    return float(b - 0.25 * (a - c) * shift), float(t[1] + shift * (t[2] - t[1]))


def _crossing(t: FloatArray, v: FloatArray, level: float) -> float:
    """When the last rise through a level was."""
    below = int(np.flatnonzero(v < level)[-1]) if (v < level).any() else 0
    if below + 1 == len(v):
        return float(t[-1])
    share = (level - v[below]) / (v[below + 1] - v[below])
    return float(t[below] + share * (t[below + 1] - t[below]))


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
