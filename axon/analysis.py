"""What a run tells: of its impulses, where, when, how fast, and what an electrode sees of them.

Functions here read a run, finished, still growing or in memory. None of them runs a simulation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from axon import units
from axon.electrodes import seen_by
from axon.equations import EDGE_SLACK, Clamp
from axon.errors import GeometryError, NoSpikeError, SimulationError, StimulusError
from axon.geometry import IntArray
from axon.records import Value
from axon.stimuli import VoltageClamp
from axon.trails import impulses
from axon.units import FloatArray, PositionLike, QuantitiesLike, QuantityLike, position_text

if TYPE_CHECKING:
    from axon.runs import Run
    from axon.sources import Source
    from axon.trees import Tree

_VALUES_AT_ONCE = 2**22  # of the field are read into memory


class Arrivals(NamedTuple):
    """Sites that an impulse reached, and when."""

    x: FloatArray
    """Positions in µm from the axon's origin, ``(k,)``, in the order of compartments."""
    time: FloatArray
    """When the first impulse arrived there, in ms, ``(k,)``."""


class Velocity(Value):
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


class VelocityProfile(NamedTuple):
    """How fast an impulse travelled from place to place."""

    x: FloatArray
    """Positions in µm from the axon's origin, ``(k,)``, increasing."""
    value: FloatArray
    """Velocities there in m/s, ``(k,)``, negative towards the origin."""
    stderr: FloatArray
    """Standard errors of the fits in m/s, ``(k,)``."""


BEFORE, AFTER = 5.0, 20.0
"""Around an action potential, ms: what belongs to it."""


class ActionPotential(Value):
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


def action_potential(
    run: Run,
    at: PositionLike,
    number: int = 0,
    *,
    before: QuantityLike = BEFORE,
    after: QuantityLike = AFTER,
    slope: QuantityLike = 10.0,
) -> ActionPotential:
    """The shape of an impulse at one place.

    Parameters
    ----------
    run : Run
        A finished or still growing run, in which that place is recorded.
    at : position
        Where, µm: the nearest recorded compartment.
    number : int, optional
        Which of the impulses there, the first being 0; negative numbers count from the last.
    before, after : float or quantity, optional
        What belongs to it, ms before and after its crossing, but nothing of the next one. Rest is
        the potential at the beginning.
    slope : float or quantity, optional
        The rise, mV/ms, from which on it counts as its own: where the threshold is read.

    Returns
    -------
    ActionPotential

    Raises
    ------
    NoSpikeError
        If there are not so many spikes at that place, or the run ends before its peak.
    """
    before = units.quantity(before, "ms", "before", positive=True)
    after = units.quantity(after, "ms", "after", positive=True)
    slope = units.quantity(slope, "mV/ms", "slope")
    if not len(run.x):
        raise NoSpikeError("no place is recorded, so there is no shape")
    site = run.site(at)
    where = position_text(run.place(int(run.compartments[site])))
    crossings = run.spikes["time"][run.spikes["compartment"] == run.compartments[site]]
    if not -len(crossings) <= number < len(crossings):
        raise NoSpikeError(f"number = {number}: there are {len(crossings)} spikes at {where}")
    number %= len(crossings)
    crossing = float(crossings[number])
    following = float(crossings[number + 1]) if number + 1 < len(crossings) else np.inf
    stop = min(crossing + after, following)

    first = max(0, int(np.searchsorted(run.time, crossing - before)))
    last = int(np.searchsorted(run.time, stop, side="right"))
    t = run.time[first:last]
    v = np.asarray(run.v[first:last, site], dtype=np.float64)
    top = int(np.argmax(v)) if len(v) else 0
    if not 1 < top < len(v) - 1:
        raise NoSpikeError(f"the run has no peak around {crossing:g} ms at {where}")
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
    compartments, times = _arrivals(run, threshold)
    return Arrivals(run.axon_x[compartments], times)


def _arrivals(run: Run, threshold: QuantityLike) -> tuple[IntArray, FloatArray]:
    """The same by compartments."""
    threshold = units.quantity(threshold, "mV", "threshold")
    if threshold == run.header["simulation"]["spike_threshold"]:
        # Spikes are sorted by time, so the first of a compartment is its arrival.
        where, first = np.unique(run.spikes["compartment"], return_index=True)
        return where, run.spikes["time"][first]
    return _first_crossings(run, threshold)


def conduction_velocity(
    run: Run, start: PositionLike, stop: PositionLike, *, threshold: QuantityLike = -20.0
) -> Velocity:
    """Speed at which an impulse travels along the axon.

    Arrival times at every site between `start` and `stop` are fitted by least squares against
    position, so the scatter of the fit comes with the answer.

    On an axon that branches the sites are those on the way from `start` to `stop`, and position is
    the distance from `start`; the velocity is negative if the impulse travels from `stop` to it.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    start, stop : position
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
    if run.tree is None:
        arrivals = _between(run, start, stop, threshold)
    else:
        arrivals = _on_the_way(run, run.tree, start, stop, threshold)
    if len(arrivals.x) < 2:
        ends = [position_text(units.position(end, "start")) for end in (start, stop)]
        raise NoSpikeError(
            f"an impulse reached {len(arrivals.x)} sites between {ends[0]} and {ends[1]}, and a "
            "velocity needs two: look where it travels, run for longer, or stimulate more strongly"
        )
    return _fitted(*arrivals)


def _between(
    run: Run, start: PositionLike, stop: PositionLike, threshold: QuantityLike
) -> Arrivals:
    """Arrivals on a stretch of an axon that doesn't branch."""
    begin, end = units.distance(start, "start"), units.distance(stop, "stop")
    if not begin < end:
        raise GeometryError(
            f"start = {begin:g} µm is not before stop = {end:g} µm: give the end nearer to the "
            "origin first"
        )
    arrivals = arrival_times(run, threshold)
    inside = (arrivals.x >= begin) & (arrivals.x <= end)
    return Arrivals(arrivals.x[inside], arrivals.time[inside])


def _on_the_way(
    run: Run, tree: Tree, start: PositionLike, stop: PositionLike, threshold: QuantityLike
) -> Arrivals:
    """Arrivals on the way through a tree, and distances from where it begins."""
    compartments, distances = tree.way(start, stop)
    times = np.full(tree.n, np.nan)
    where, when = _arrivals(run, threshold)
    times[where] = when
    reached = ~np.isnan(times[compartments])
    return Arrivals(distances[reached], times[compartments[reached]])


def velocity_profile(
    run: Run,
    window: QuantityLike,
    *,
    way: tuple[PositionLike, PositionLike] | None = None,
    threshold: QuantityLike = -20.0,
) -> VelocityProfile:
    """Speed of the first impulse as a function of position.

    Around each site the arrival times within `window` are fitted by least squares against
    position, as `conduction_velocity` does. Where the impulse began, or met another one, arrival
    times have a corner: there the standard error is large.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    window : float or quantity
        Length of the stretch that is fitted, µm, with the site in its middle. The longer it is, the
        less the velocities scatter, and the more they are smoothed.
    way : pair of positions, optional
        On an axon that branches the two ends of the way on which it is measured: positions are
        distances from the first one.
    threshold : float or quantity, optional
        Upward crossing that counts as arrival, in mV, as for `conduction_velocity`.

    Returns
    -------
    VelocityProfile
        Of every site whose window lies between the first and the last one that was reached, and
        has three of them or more.

    Raises
    ------
    NoSpikeError
        If there is no such site.

    Examples
    --------
    >>> run = axon.run("squid")
    >>> profile = axon.velocity_profile(run, "10 mm")
    >>> float(profile.value.mean())  # m/s
    12.3...
    """
    window = units.quantity(window, "um", "window", positive=True)
    if run.tree is None:
        if way is not None:
            raise GeometryError(f"way = {way!r}: the axon doesn't branch; leave it out")
        arrivals = arrival_times(run, threshold)
    elif way is None:
        raise GeometryError(
            "the axon branches; say on which way, for instance way=(0.0, (3, 50.0))"
        )
    else:
        arrivals = _on_the_way(run, run.tree, *way, threshold)
    order = np.argsort(arrivals.x)
    x, t = arrivals.x[order], arrivals.time[order]
    start = np.searchsorted(x, x - window / 2)
    stop = np.searchsorted(x, x + window / 2, side="right")
    whole = (x - window / 2 >= x[:1]) & (x + window / 2 <= x[-1:]) & (stop - start >= 3)
    if not whole.any():
        raise NoSpikeError(
            f"window = {window:g} µm: of {len(x)} sites that an impulse reached none has such a "
            "stretch around it, with three of them; give another length, or run for longer"
        )
    fits = [_fitted(x[a:b], t[a:b]) for a, b in zip(start[whole], stop[whole], strict=True)]
    return VelocityProfile(
        x[whole], np.array([fit.value for fit in fits]), np.array([fit.stderr for fit in fits])
    )


def _fitted(x: FloatArray, t: FloatArray) -> Velocity:
    """The velocity that fits two or more arrivals best."""
    n = len(x)
    # Both centred: a late impulse must not cost digits.
    x, t = x - x.mean(), t - t.mean()
    slowness = float(x @ t / (x @ x))  # ms/µm
    if slowness == 0:
        return Velocity(np.inf, np.nan, n)
    scatter = t - slowness * x
    variance = float(scatter @ scatter) / (n - 2) / float(x @ x) if n > 2 else np.nan
    # 1 µm/ms is 1e-3 m/s, and d(1/s) = ds / s².
    return Velocity(1e-3 / slowness, 1e-3 * float(np.sqrt(variance)) / slowness**2, n)


def latencies(
    run: Run,
    at: PositionLike,
    *,
    since: QuantitiesLike | None = None,
    gap: QuantityLike = 2.0,
) -> FloatArray:
    """How long after its stimulus each spike comes to a place.

    A spike belongs to the impulse that brings it, and that to the last stimulus which had begun
    when it began itself; so the next stimulus may come before the spike does.

    Parameters
    ----------
    run : Run
        A finished or still growing run.
    at : position
        Where, µm: the nearest compartment.
    since : times, optional
        When stimuli begin, ms: floats or quantities. If not given, where the run's waveforms do,
        and wherever one jumps from zero, if nothing has jumped for `gap`.
    gap : float or quantity, optional
        Longest time between spikes of one impulse at neighbours, ms; see `impulses`.

    Returns
    -------
    array (k,)
        ms, in the order of the spikes there; NaN if the impulse began before any stimulus.

    Raises
    ------
    StimulusError
        If there is no stimulus, neither in the run nor in `since`.

    Examples
    --------
    >>> run = axon.run("squid")
    >>> axon.latencies(run, "50 mm")
    array([4.2...])
    """
    gap = units.quantity(gap, "ms", "gap", positive=True)
    if since is None:
        begins = _onsets(run, gap)
    else:
        begins = np.sort(units.quantities(since, "ms", "since"), axis=None)
    if not begins.size:
        raise StimulusError("since: the run has no stimulus; give the times from which to count")
    compartment = run.index(at)
    found = [
        (time, impulse.time.min())
        for impulse in impulses(run, gap)
        for time in impulse.time[impulse.compartments == compartment]
    ]
    time, set_out = np.array(sorted(found)).reshape(-1, 2).T
    last = np.searchsorted(begins, set_out, side="right") - 1
    return np.where(last >= 0, time - begins[last], np.nan)


def _onsets(run: Run, gap: float) -> FloatArray:
    """When the run's stimuli begin, in ms."""
    waveforms = [stimulus.waveform for stimulus in run.stimuli]
    last = run.spikes["time"].max(initial=0.0)
    jumps = [waveform.edges(-np.inf, last) for waveform in waveforms]
    times = np.unique(np.concatenate([[w.span()[0] for w in waveforms], *jumps]))
    just_before = times - EDGE_SLACK * run.dt
    on = np.any([waveform(just_before) != 0 for waveform in waveforms], axis=0)
    begins: FloatArray = times[~on & (np.diff(times, prepend=-np.inf) > gap)]
    return begins


def extracellular_potential(run: Run, source: Source) -> FloatArray:
    """What an electrode outside the axon records: the single-fibre action potential.

    The potential is phi = sum_i E_i Im_i. Im_i is the current that leaves compartment i through
    its membrane: what comes to it along the axon and from electrodes inside. E_i is the potential
    that 1 mA from `source` makes there: by reciprocity, 1 mA from there makes it at `source`.
    Extracellular stimuli count by the currents that they drive along the axon; what they make at
    the electrode through the tissue, the artefact, is left out.

    Parameters
    ----------
    run : Run
        A finished or still growing run, in which every compartment is recorded.
    source : Source
        The electrode: a `PointSource`, for instance, or the difference of two.

    Returns
    -------
    array (rows,)
        mV, at the times ``run.time``; if a stimulus jumps just then, with its current afterwards.
        `Simulation.run` records the same on the way if it is given ``electrodes``.

    Raises
    ------
    SimulationError
        If not every compartment is recorded, or an ideal voltage clamp was at work.
    StimulusError
        If `source` is no source, or lies on the axon itself.

    References
    ----------
    R. Plonsey, IEEE Trans. Biomed. Electron. 10, 9-12 (1963), on reciprocity; R. Plonsey,
    R. C. Barr, Bioelectricity: A Quantitative Approach, 3rd ed., Springer (2007), chapter 8.

    Examples
    --------
    >>> run = axon.run("squid")
    >>> electrode = axon.PointSource(x="50 mm", y=0.0, z="1 mm", sigma=2.0)
    >>> phi = axon.extracellular_potential(run, electrode)
    >>> float(phi.min())  # mV
    -0.22...
    """
    axon, stimuli = run.axon, run.stimuli
    weight, shares = seen_by(source, axon, stimuli)
    if len(run.x) < axon.n:
        raise SimulationError(
            f"{len(run.x)} of {axon.n} compartments are recorded, and the potential outside needs "
            "all of them; run without record"
        )
    weight = weight[run.compartments]
    potential = np.empty(len(run.v))
    rows = max(1, _VALUES_AT_ONCE // axon.n)
    for first in range(0, len(potential), rows):
        potential[first : first + rows] = np.float64(run.v[first : first + rows]) @ weight
    just_after = run.time + EDGE_SLACK * run.dt
    for stimulus, share in zip(stimuli, shares, strict=True):
        if isinstance(stimulus, VoltageClamp):
            potential += share * _through(run, stimulus)
        else:
            potential += share * stimulus.waveform(just_after)
    return potential


def clamp_current(run: Run, number: int = 0) -> FloatArray:
    """Current that a voltage clamp passes into the axon, (command - V) / resistance.

    Parameters
    ----------
    run : Run
        A finished or still growing run, in which the clamped compartment is recorded; as float64
        if the resistance is small: V is known to 4e-6 mV otherwise.
    number : int, optional
        Which of the run's voltage clamps, in the order of its stimuli.

    Returns
    -------
    array (rows,)
        nA, at the times ``run.time``; if the command jumps just then, with that afterwards. 0 while
        the clamp is off.

    Raises
    ------
    SimulationError
        If there is no such clamp, it is ideal, or its compartment isn't recorded.
    """
    clamps = [stimulus for stimulus in run.stimuli if isinstance(stimulus, VoltageClamp)]
    if not -len(clamps) <= number < len(clamps):
        raise SimulationError(f"number = {number}: the run has {len(clamps)} voltage clamps")
    return _through(run, clamps[number])


def _through(run: Run, clamp: VoltageClamp) -> FloatArray:
    """Current of a voltage clamp, nA."""
    if clamp.resistance is None:
        raise SimulationError(
            f"the voltage clamp at {position_text(clamp.at)} is ideal: its potential does not tell "
            "its current; give it a small resistance"
        )
    site = np.flatnonzero(run.compartments == run.axon.index(clamp.at))
    if not site.size:
        place = position_text(clamp.at)
        raise SimulationError(f"the clamped compartment at {place} is not recorded")
    v = np.asarray(run.v[:, int(site[0])], dtype=np.float64)
    clamped = Clamp(int(run.compartments[site[0]]), 1.0 / clamp.resistance, *clamp.command)
    return clamped.current(run.time + EDGE_SLACK * run.dt, v)


def _first_crossings(run: Run, threshold: float) -> tuple[IntArray, FloatArray]:
    """When each recorded compartment first rose through `threshold`, a few rows at a time."""
    v, time, sites = run.v, np.asarray(run.time), len(run.x)
    arrival = np.full(sites, np.nan)
    rows = max(1, _VALUES_AT_ONCE // max(1, sites))
    for start in range(0, len(time) - 1, rows):
        block = np.asarray(v[start : start + rows + 1], dtype=np.float64)
        rises = (block[:-1] < threshold) & (block[1:] >= threshold)
        site = np.flatnonzero(rises.any(axis=0) & np.isnan(arrival))
        row = rises[:, site].argmax(axis=0)
        below, above = block[row, site], block[row + 1, site]
        before, after = time[start + row], time[start + row + 1]
        arrival[site] = before + (after - before) * (threshold - below) / (above - below)
    reached = ~np.isnan(arrival)
    return np.asarray(run.compartments)[reached], arrival[reached]
