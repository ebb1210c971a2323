"""Protocols: questions that take many runs, each asked in one call.

Each answers with its number, the bracket that it lies in, and the trials that were made with the
reason why each counted as it did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from axon.errors import NoThresholdError, SimulationError, StimulusError
from axon.records import Record, Value
from axon.runs import Run
from axon.simulation import Simulation
from axon.stimuli import Extracellular, Stimulus
from axon.timecourses import Pulse, Waveform
from axon.trails import Impulse, impulses
from axon.trials import Bench, Lead, Seen, begins, currents, goal_of, scaled, with_waveform
from axon.turns import checked, in_turn
from axon.units import (
    FloatArray,
    PositionLike,
    QuantitiesLike,
    QuantityLike,
    is_whole,
    position_text,
    quantities,
    quantity,
)
from axon.waveforms import train_of

if TYPE_CHECKING:
    from axon.analysis import Velocity

_MOST_DOUBLINGS, _MOST_HALVINGS = 60, 20
_NEAR = 0.1  # of the length


class Trial(Value):
    """One strength that was tried."""

    factor: float
    """What the stimuli were multiplied by."""
    activated: bool
    """Whether it did what is looked for: activated, or blocked."""
    why: str
    """What was seen."""
    ran_away: bool = False
    """Whether the potential left all bounds."""

    def __str__(self) -> str:
        return f"{self.factor:.6g}: {self.why}"


Progress = Callable[[Trial], None]
"""Is told of each trial."""


class Threshold(Value):
    """The least strength that activates an axon, or blocks it.

    Attributes
    ----------
    value : float
        The least factor that did; negative if negative ones were tried.
    below : float
        The largest that was tried and did not: the threshold lies between.
    trials : tuple of Trial
        All that were run, in their order.
    run : Run
        Spikes of the run with `value`, up to when it was certain.
    remarks : tuple of str
        What one should know of that run: where it was not as one might think.
    """

    value: float
    below: float
    trials: tuple[Trial, ...]
    run: Run = field(repr=False)
    remarks: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """How far `value` may lie above the threshold, relatively."""
        return self.value / self.below - 1.0 if self.below else math.inf

    @property
    def monotone(self) -> bool:
        """Whether everything stronger than a strength that did it, did it too."""
        tried = sorted(self.trials, key=lambda trial: abs(trial.factor))
        return [t.activated for t in tried] == sorted(t.activated for t in tried)

    def __str__(self) -> str:
        told = f"{self.value:.6g} (not {self.below:.6g}; {len(self.trials)} runs)"
        if not self.monotone:
            told += ", but some stronger stimuli did not do it"
        return "; ".join((told, *self.remarks))


def threshold(
    simulation: Simulation,
    duration: QuantityLike,
    *,
    at: PositionLike | None = None,
    tolerance: float = 0.01,
    guess: float = 1.0,
    largest: float = 1e6,
    workers: int = 1,
    progress: Progress | None = None,
) -> Threshold:
    """The least strength of its stimuli that activates an axon.

    All currents are multiplied by one factor, whose least value that sends an impulse to `at` is
    looked for: from `guess` upwards or downwards, by a factor of about 2, then by bisection. A run
    ends as soon as its outcome is certain: when the impulse has arrived, or when all stimuli are
    over and the axon is back at the rest from which it came. Where strong stimuli block what they
    excite, `Threshold.monotone` tells if such were met.

    Parameters
    ----------
    simulation : Simulation
        With its stimuli. Runs begin where its own would. Voltage clamps stay as they are.
    duration : float or quantity
        How long to wait for an impulse, ms.
    at : position, optional
        Where it must arrive, µm from the origin; if not given, at nine tenths of the way to the far
        end, on a tree to the farthest tip.
    tolerance : float, optional
        Of the factor, relatively.
    guess : float, optional
        The factor that is tried first. From a negative one, all that are tried are negative.
    largest : float, optional
        None beyond this size is tried; it is itself, where nothing weaker does it.
    workers : int, optional
        Trials that are made at a time, each in a thread: they cut the bracket into so many parts
        and one more.
    progress : callable, optional
        Called with each `Trial`.

    Returns
    -------
    Threshold

    Raises
    ------
    NoThresholdError
        If the axon is active without any stimulus, or no strength activates it; it says what was
        seen.
    SimulationError
        If there is no stimulus, or an argument makes no sense.

    Examples
    --------
    >>> fibre = axon.Axon.cylinder("2 mm", diameter=1.0, dx=20.0)
    >>> pulse = axon.CurrentClamp(0.0, axon.pulse("1 nA", start=0.5, duration=0.5))
    >>> sim = axon.Simulation(fibre, axon.models.sundt(), [pulse])
    >>> print(axon.threshold(sim, 10.0))
    0.1... (not 0.1...; ... runs)
    """
    bench = Bench(simulation, duration, at)
    stimuli = simulation.stimuli
    varied = currents(stimuli)
    if not varied:
        raise SimulationError("a threshold needs a stimulus, and the simulation has none")

    lead = bench.lead(scaled(stimuli, 0.0, varied), begins(stimuli, varied))

    def attempt(factor: float) -> tuple[Trial, Seen]:
        seen = bench.run(scaled(stimuli, factor, varied), begin=lead)
        return Trial(factor, bool(seen.arrivals.size), seen.told, seen.ran_away), seen

    search = _Search(attempt, guess, largest, tolerance, workers, progress)
    silent = search.trial(0.0)
    if silent.activated:
        raise NoThresholdError(f"the axon is active without any stimulus: {silent.why}")
    above, below = search.bracket("activates the axon")
    run = bench.as_run(scaled(stimuli, above, varied), search.seen[above])
    outside = any(isinstance(stimuli[k], Extracellular) for k in varied)
    return Threshold(above, below, tuple(search.trials), run, _begun(run, outside))


def block_threshold(
    simulation: Simulation,
    duration: QuantityLike,
    *,
    block: int | Sequence[int] = -1,
    after: QuantityLike | None = None,
    at: PositionLike | None = None,
    tolerance: float = 0.01,
    guess: float = 1.0,
    largest: float = 1e6,
    workers: int = 1,
    progress: Progress | None = None,
) -> Threshold:
    """The least strength of a stimulus that keeps test impulses from passing.

    Some of the stimuli block, such as a kHz current or a constant one; the others send test
    impulses. A blocking stimulus has blocked if no spike arrives at `at` after `after`: what it
    excites as it begins, its onset response, doesn't count, but what it excites later does.

    Parameters
    ----------
    simulation : Simulation
        With its stimuli, at least one of each sort.
    duration : float or quantity
        Of a run, ms; long enough for the last test impulse to arrive.
    block : int or sequence of int, optional
        Which of the stimuli block; the last one if not given.
    after : float or quantity, optional
        From when on a spike that arrives tells that it was not blocked, ms; if not given, from when
        the first test stimulus begins.
    at, tolerance, guess, largest, workers, progress
        As for `threshold`, on the far side of the block.

    Returns
    -------
    Threshold
        `Trial.activated` says whether it blocked.

    Raises
    ------
    NoThresholdError
        If no test impulse arrives without the block, or no strength blocks.
    SimulationError
        If there is no test stimulus, or an argument makes no sense.

    References
    ----------
    N. Bhadra, E. A. Lahowetz, S. T. Foldes, K. L. Kilgore, J. Comput. Neurosci. 22, 313-326 (2007),
    doi:10.1007/s10827-006-0015-5.
    """
    bench = Bench(simulation, duration, at)
    stimuli = simulation.stimuli
    blocking = _numbers(block, len(stimuli))
    tests = [k for k in currents(stimuli) if k not in blocking]
    if not blocking:
        raise SimulationError("block=[]: nothing blocks; give the numbers of stimuli that do")
    if not tests:
        raise SimulationError("nothing tests the block: add a stimulus that sends an impulse")
    if after is None:
        since = begins(stimuli, tests)
    else:
        since = quantity(after, "ms", "after", error=SimulationError)

    lead = bench.lead(scaled(stimuli, 0.0, blocking), begins(stimuli, blocking))

    def attempt(factor: float) -> tuple[Trial, Seen]:
        seen = bench.run(scaled(stimuli, factor, blocking), after=since, begin=lead)
        blocked = not seen.arrivals.size and not seen.ran_away
        return Trial(factor, blocked, seen.told, seen.ran_away), seen

    search = _Search(attempt, guess, largest, tolerance, workers, progress)
    free = search.trial(0.0)
    if free.activated:
        raise NoThresholdError(f"no test impulse arrives without the block: {free.why}")
    above, below = search.bracket("blocks the test impulse")
    run = bench.as_run(scaled(stimuli, above, blocking), search.seen[above])
    there = run.spikes["time"][run.spikes["compartment"] == bench.goal]
    remarks = (f"onset response: {there.size} spikes before {since:g} ms",) if there.size else ()
    return Threshold(above, below, tuple(search.trials), run, remarks)


class StrengthDuration(Record):
    """How strong a pulse must be that lasts so long.

    Attributes
    ----------
    durations, thresholds : array (k,)
        ms, and amplitudes in the unit of the stimulus.
    details : tuple of Threshold
        How each was found.
    """

    durations: FloatArray
    thresholds: FloatArray
    details: tuple[Threshold, ...] = field(repr=False)

    @property
    def charges(self) -> FloatArray:
        """Of the pulses at threshold: amplitude times ms."""
        return self.thresholds * self.durations

    @property
    def weiss(self) -> tuple[float, float]:
        """Rheobase and chronaxie (ms) by Weiss' law, I = I_r (1 + c / d); NaN for one duration.

        The charge is a straight line over the duration; it is fitted with equal relative weights.
        """
        if np.unique(self.durations).size < 2:
            return math.nan, math.nan
        weight = 1.0 / np.abs(self.charges)
        slope, offset = np.linalg.lstsq(
            np.stack([self.durations * weight, weight], axis=1), self.charges * weight
        )[0]
        return float(slope), float(offset / slope)

    @property
    def lapicque(self) -> tuple[float, float]:
        """Rheobase and chronaxie (ms) by Lapicque's law, I = I_r / (1 - exp(-d / tau)), or NaN.

        The chronaxie is tau ln 2; both are fitted with equal relative weights.
        """
        if np.unique(self.durations).size < 2:
            return math.nan, math.nan

        def rheobase(tau: float) -> tuple[float, float]:
            shape = -1.0 / np.expm1(-self.durations / tau) / self.thresholds
            best = float(shape.sum() / (shape @ shape))
            return best, float(((best * shape - 1.0) ** 2).sum())

        low, high = np.log(self.durations.min() * 1e-2), np.log(self.durations.max() * 1e2)
        grid = np.linspace(low, high, 400)
        best = int(np.argmin([rheobase(math.exp(t))[1] for t in grid]))
        a, b = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
        golden = (math.sqrt(5.0) - 1.0) / 2.0
        for _ in range(60):
            c, d = b - golden * (b - a), a + golden * (b - a)
            if rheobase(math.exp(c))[1] < rheobase(math.exp(d))[1]:
                b = d
            else:
                a = c
        tau = math.exp((a + b) / 2)
        return rheobase(tau)[0], tau * math.log(2.0)

    def __str__(self) -> str:
        rheobase, chronaxie = self.weiss
        return (
            f"rheobase {rheobase:.4g}, chronaxie {chronaxie:.3g} ms "
            f"(Weiss, {self.durations.size} durations)"
        )


def strength_duration(
    simulation: Simulation,
    durations: QuantitiesLike,
    wait: QuantityLike,
    *,
    waveform: Callable[[float], Waveform] | None = None,
    at: PositionLike | None = None,
    tolerance: float = 0.01,
    workers: int = 1,
    progress: Progress | None = None,
) -> StrengthDuration:
    """Thresholds of pulses of several durations.

    Parameters
    ----------
    simulation : Simulation
        With one stimulus, a rectangular pulse: its start and its sign are kept.
    durations : (k,) array_like or quantities
        ms.
    wait : float or quantity
        How long to wait for an impulse, ms.
    waveform : callable, optional
        Makes the stimulus' waveform of amplitude 1 or -1 for a duration (ms), if it is to be no
        rectangular pulse.
    at, tolerance, workers, progress
        As for `threshold`.

    Returns
    -------
    StrengthDuration

    Raises
    ------
    NoThresholdError, SimulationError
        As `threshold`.
    StimulusError
        If the stimulus is no rectangular pulse and `waveform` isn't given.

    References
    ----------
    G. Weiss, Arch. Ital. Biol. 35, 413-446 (1901); L. Lapicque, J. Physiol. Pathol. Gen. 9,
    620-635 (1907); both as in D. Boinagrov, J. Loudin, D. Palanker, J. Neurophysiol. 104, 2236-2248
    (2010), doi:10.1152/jn.00511.2010.
    """
    widths = quantities(durations, "ms", "durations", error=SimulationError, positive=True)
    if widths.ndim != 1 or not widths.size:
        raise SimulationError(f"durations has the shape {widths.shape}; write [0.1, 0.2, 0.5, 1.0]")
    if len(simulation.stimuli) != 1:
        raise SimulationError(f"there are {len(simulation.stimuli)} stimuli; give one")
    (stimulus,) = simulation.stimuli
    pulse = stimulus.waveform
    if waveform is None:
        if not isinstance(pulse, Pulse):
            raise StimulusError(
                f"waveform = {pulse!r} is no rectangular pulse; give waveform=, which makes one "
                "for each duration"
            )
        unit = replace(pulse, amplitude=math.copysign(1.0, pulse.amplitude))
        waveform = lambda width: replace(unit, duration=width)  # noqa: E731
    guess = abs(pulse.amplitude) if isinstance(pulse, Pulse) else 1.0
    found: dict[float, Threshold] = {}
    for width in sorted(widths.tolist(), reverse=True):  # each is a first guess for the next
        other = simulation.with_stimuli([with_waveform(stimulus, waveform(width))])
        found[width] = threshold(
            other,
            wait,
            at=at,
            tolerance=tolerance,
            guess=guess,
            workers=workers,
            progress=progress,
        )
        guess = found[width].value
    details = tuple(found[width] for width in widths.tolist())
    sign = math.copysign(1.0, pulse.amplitude) if isinstance(pulse, Pulse) else 1.0
    return StrengthDuration(widths, sign * np.array([t.value for t in details]), details)


class RecoveryCycle(Record):
    """How excitable an axon is after an impulse.

    Attributes
    ----------
    intervals : array (k,)
        From the conditioning stimulus to the test, ms.
    ratios : array (k,)
        Threshold of the test over that of a resting axon; infinite where nothing excited.
    resting : Threshold
        Of the stimulus alone.
    largest : float
        The largest ratio that was tried.
    trials : tuple of tuple of Trial
        All that were run for each interval.
    """

    intervals: FloatArray
    ratios: FloatArray
    resting: Threshold = field(repr=False)
    largest: float
    trials: tuple[tuple[Trial, ...], ...] = field(default=(), repr=False)

    @property
    def absolute(self) -> float:
        """The longest interval within which nothing excites again, ms; NaN if none was tried."""
        dead = np.isinf(self.ratios)
        alive = self.intervals[~dead]
        before = self.intervals[dead & (self.intervals < alive.min(initial=np.inf))]
        return float(before.max()) if before.size else math.nan

    @property
    def relative(self) -> float:
        """When the threshold first is that of rest again, ms, by a straight line; or NaN."""
        order = np.argsort(self.intervals)
        t, ratio = self.intervals[order], self.ratios[order]
        for k in range(1, t.size):
            if ratio[k - 1] > 1.0 >= ratio[k]:
                if np.isinf(ratio[k - 1]):
                    return float(t[k])
                share = (ratio[k - 1] - 1.0) / (ratio[k - 1] - ratio[k])
                return float(t[k - 1] + share * (t[k] - t[k - 1]))
        return math.nan

    @property
    def supernormal(self) -> tuple[float, float]:
        """The interval at which the threshold is lowest, ms, and the ratio there."""
        k = int(np.argmin(self.ratios))
        return float(self.intervals[k]), float(self.ratios[k])

    @property
    def subnormal(self) -> tuple[float, float]:
        """The interval after that at which it is highest, ms, and the ratio there."""
        later = np.flatnonzero(self.intervals >= self.supernormal[0])
        k = int(later[np.argmax(self.ratios[later])])
        return float(self.intervals[k]), float(self.ratios[k])

    def __str__(self) -> str:
        told = []
        if not math.isnan(self.absolute):
            told.append(f"absolutely refractory for {self.absolute:.3g} ms")
        if not math.isnan(self.relative):
            told.append(f"relatively to {self.relative:.3g} ms")
        when, ratio = self.supernormal
        if math.isinf(ratio):
            told.append(f"nothing up to {self.largest:g} times the threshold at rest excited again")
        else:
            told.append(f"lowest threshold {ratio:.3g} of that at rest, at {when:.3g} ms")
        return ", ".join(told)


def recovery_cycle(
    simulation: Simulation,
    intervals: QuantitiesLike,
    wait: QuantityLike,
    *,
    conditioning: float = 1.5,
    largest: float = 10.0,
    at: PositionLike | None = None,
    tolerance: float = 0.01,
    workers: int = 1,
    progress: Progress | None = None,
) -> RecoveryCycle:
    """Thresholds at several times after an impulse, by pairs of equal stimuli.

    The first, of `conditioning` times the threshold of a resting axon, sends an impulse. The second
    is the same waveform later; its least factor is looked for that makes one impulse more arrive.
    All trials of an interval begin from one state, at the beginning of the second stimulus.

    Parameters
    ----------
    simulation : Simulation
        With its stimuli, which together are one test.
    intervals : (k,) array_like or quantities
        From the beginning of the first to that of the second, ms.
    wait : float or quantity
        How long to wait for an impulse after a stimulus began, ms.
    conditioning : float, optional
        Strength of the first, times the threshold at rest.
    largest : float, optional
        The largest strength of the second that is tried, times the threshold at rest: where that
        doesn't excite the axon counts as absolutely refractory.
    at, tolerance, workers, progress
        As for `threshold`.

    Returns
    -------
    RecoveryCycle

    Raises
    ------
    NoThresholdError, SimulationError
        As `threshold`.

    References
    ----------
    H. Bostock, K. Cikurel, D. Burke, Muscle Nerve 21, 137-158 (1998),
    doi:10.1002/(SICI)1097-4598(199802)21:2<137::AID-MUS1>3.0.CO;2-C.
    """
    delays = quantities(intervals, "ms", "intervals", error=SimulationError, positive=True)
    if delays.ndim != 1 or not delays.size:
        raise SimulationError(f"intervals has the shape {delays.shape}; write [2.0, 5.0, 10.0]")
    lasts = quantity(wait, "ms", "wait", error=SimulationError, positive=True)
    first_share = quantity(conditioning, "", "conditioning", error=SimulationError, positive=True)
    options: dict[str, Any] = {"at": at, "tolerance": tolerance, "workers": workers}
    resting = threshold(simulation, lasts, **options, progress=progress)
    stimuli, varied = simulation.stimuli, currents(simulation.stimuli)
    first = scaled(stimuli, first_share * resting.value, varied)
    begin = begins(stimuli, varied)
    dt = simulation.dt

    found: dict[float, tuple[float, tuple[Trial, ...]]] = {}
    guess = resting.value
    conditioned = simulation.with_stimuli(first)
    reached = conditioned._beginning.step
    longest = begin + float(delays.max()) + lasts - simulation._beginning.time
    bench = Bench(simulation, _whole(longest, dt), at)
    for delay in sorted(delays.tolist()):
        # All trials of this interval share what came before it.
        step = max(reached, math.floor((begin + delay) / dt))
        if step > reached:
            conditioned.run((step - reached) * dt, record=())
            conditioned.restore(conditioned.state())
            reached = step
        lead = Lead(conditioned.state())
        ends = begin + delay + lasts
        alone = bench.run(first, arrivals=_MANY, begin=lead, until=ends)
        one_more = alone.arrivals.size + 1

        def attempt(
            factor: float,
            delay: float = delay,
            ends: float = ends,
            lead: Lead = lead,
            one_more: int = one_more,
        ) -> tuple[Trial, Seen]:
            second = [
                with_waveform(s, s.waveform + t.waveform.scaled(factor).delayed(delay))
                if k in varied
                else s
                for k, (s, t) in enumerate(zip(first, stimuli, strict=True))
            ]
            seen = bench.run(second, arrivals=one_more, begin=lead, until=ends)
            return Trial(factor, seen.arrivals.size >= one_more, seen.told, seen.ran_away), seen

        most = largest * abs(resting.value)
        search = _Search(attempt, guess, most, tolerance, workers, progress)
        search.trials.append(Trial(0.0, False, alone.told))
        try:
            guess, _ = search.bracket("excites the axon again")
            ratio = guess / resting.value
        except NoThresholdError:
            ratio = math.inf
        found[delay] = ratio, tuple(search.trials)
    ratios, trials = zip(*(found[delay] for delay in delays.tolist()), strict=True)
    return RecoveryCycle(delays, np.array(ratios), resting, largest, trials)


class FollowingFrequency(Record):
    """How fast an axon can be driven.

    Attributes
    ----------
    frequencies : array (k,)
        Hz, ascending.
    followed : array (k,)
        Impulses that arrived.
    pulses : int
        Stimuli of each train.
    """

    frequencies: FloatArray
    followed: np.ndarray
    pulses: int

    @property
    def highest(self) -> float:
        """The highest frequency up to which every stimulus was followed, Hz; NaN if none was."""
        lost = np.flatnonzero(self.followed < self.pulses)
        count = int(lost[0]) if lost.size else self.frequencies.size
        return float(self.frequencies[count - 1]) if count else math.nan

    def __str__(self) -> str:
        if math.isnan(self.highest):
            return f"does not follow {self.frequencies[0]:g} Hz ({self.pulses} pulses)"
        return f"follows up to {self.highest:g} Hz ({self.pulses} pulses)"


def following_frequency(
    simulation: Simulation,
    frequencies: QuantitiesLike,
    wait: QuantityLike,
    *,
    pulses: int = 10,
    at: PositionLike | None = None,
    workers: int = 1,
    progress: Callable[[float, int], None] | None = None,
) -> FollowingFrequency:
    """Whether each stimulus of a train is followed by an impulse, at several frequencies.

    Parameters
    ----------
    simulation : Simulation
        With its stimuli, as strong as they are to be; each is repeated.
    frequencies : (k,) array_like or quantities
        Hz.
    wait : float or quantity
        How long to wait for an impulse after the last stimulus began, ms.
    pulses : int, optional
        Of each train.
    at : position, optional
        Where the impulses are counted, as for `threshold`.
    workers : int, optional
        Trains that are run at a time.
    progress : callable, optional
        Called with each frequency and the number of impulses that arrived.

    Returns
    -------
    FollowingFrequency

    Raises
    ------
    SimulationError, StimulusError
        If an argument makes no sense, or a stimulus lasts longer than an interval.
    """
    rates = np.sort(
        quantities(frequencies, "Hz", "frequencies", error=SimulationError, positive=True).ravel()
    )
    if not rates.size:
        raise SimulationError("frequencies is empty; write [10.0, 50.0, 100.0]")
    lasts = quantity(wait, "ms", "wait", error=SimulationError, positive=True)

    def followed(rate: float) -> int:
        interval = 1000.0 / rate
        trains = _trains(simulation, interval, pulses)
        last = max(stimulus.waveform.span()[0] for stimulus in trains)
        ends = last + (pulses - 1) * interval + lasts
        bench = Bench(simulation, _whole(ends, simulation.dt), at)
        return min(pulses, bench.run(trains, arrivals=_MANY).arrivals.size)

    counts = _at_once(followed, rates.tolist(), workers, progress)
    return FollowingFrequency(rates, np.array(counts), pulses)


class ActivitySlowing(Record):
    """How an axon slows down while it is active.

    Attributes
    ----------
    frequency_hz : float
    times : array (k,)
        When each stimulus began, ms.
    latencies : array (k,)
        From then to the arrival of its impulse, ms; NaN for one that was lost.
    """

    frequency_hz: float
    times: FloatArray
    latencies: FloatArray

    @property
    def slowing(self) -> FloatArray:
        """How much later each impulse arrives than the first, relative to the first latency."""
        return np.asarray(self.latencies / self.latencies[0] - 1.0)

    @property
    def lost(self) -> int:
        """Stimuli that no impulse followed."""
        return int(np.isnan(self.latencies).sum())

    def __str__(self) -> str:
        arrived = self.slowing[~np.isnan(self.latencies)]
        if not arrived.size:
            return f"none of {self.times.size} stimuli was followed by an impulse"
        return (
            f"{arrived[-1]:+.2%} latency after {self.times.size} stimuli at "
            f"{self.frequency_hz:g} Hz, {self.lost} lost"
        )


def activity_slowing(
    simulation: Simulation,
    frequency_hz: QuantityLike,
    pulses: int,
    *,
    at: PositionLike | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> ActivitySlowing:
    """Latencies of the impulses of a train.

    Parameters
    ----------
    simulation : Simulation
        With its stimuli, as strong as they are to be; each is repeated.
    frequency_hz : float or quantity
        Hz.
    pulses : int
        Number of stimuli.
    at : position, optional
        Where the impulses arrive, as for `threshold`.
    progress : callable, optional
        Called with the fraction done and the simulated time (ms).

    Returns
    -------
    ActivitySlowing

    Raises
    ------
    SimulationError, StimulusError
        If an argument makes no sense, or a stimulus lasts longer than an interval.
    """
    rate = quantity(frequency_hz, "Hz", "frequency_hz", error=SimulationError, positive=True)
    interval = 1000.0 / rate
    trains = _trains(simulation, interval, pulses)
    driven = simulation.with_stimuli(trains)
    place = goal_of(simulation.axon, at)
    begin = begins(trains, range(len(trains)))
    times = begin + interval * np.arange(pulses, dtype=np.float64)
    lasts = _whole(begin + pulses * interval, simulation.dt)
    run = driven.run(lasts, record=(), every=lasts, progress=progress)
    arrivals = run.spikes["time"][run.spikes["compartment"] == place]
    return ActivitySlowing(rate, times, _latencies(times, arrivals, interval))


def velocity_vs(
    make: Callable[[float], Simulation],
    values: QuantitiesLike,
    duration: QuantityLike,
    start: QuantityLike,
    stop: QuantityLike,
    *,
    workers: int = 1,
    progress: Callable[[float, Velocity], None] | None = None,
) -> list[Velocity]:
    """Conduction velocities over a parameter.

    Parameters
    ----------
    make : callable
        Makes a simulation of a value: of a diameter, a temperature, a conductance.
    values : (k,) array_like
    duration : float or quantity
        Of each run, ms.
    start, stop : float or quantity
        Where the velocity is measured: as for `conduction_velocity`.
    workers : int, optional
        Simulations that are run at a time, each in a thread.
    progress : callable, optional
        Called with each value and its velocity.

    Returns
    -------
    list of Velocity
        One for each value.

    Raises
    ------
    NoSpikeError
        If an impulse reached fewer than two sites.

    Examples
    --------
    >>> def fibre(diameter):
    ...     pulse = axon.CurrentClamp(0.0, axon.pulse(1.0, start=0.5, duration=0.5))
    ...     cable = axon.Axon.cylinder("4 mm", diameter=diameter, dx=20.0)
    ...     return axon.Simulation(cable, axon.models.sundt(), [pulse], dt=0.01)
    >>> thin, thick = axon.velocity_vs(fibre, [0.5, 2.0], 12.0, "1 mm", "3 mm")
    >>> thick.value / thin.value  # as the root of the diameter
    2.0...
    """

    from axon.analysis import conduction_velocity

    def measure(value: float) -> Velocity:
        simulation = make(value)
        if not isinstance(simulation, Simulation):
            raise SimulationError(
                f"make({value!r}) returned {simulation!r}, which is no Simulation"
            )
        lasts = quantity(duration, "ms", "duration", error=SimulationError, positive=True)
        run = simulation.run(lasts, record=())
        return conduction_velocity(run, start, stop, threshold=simulation.spike_threshold)

    return _at_once(measure, np.asarray(values).tolist(), workers, progress)


_MANY = 10**9


def _numbers(which: int | Sequence[int], count: int) -> list[int]:
    """Stimuli by number, from the end if negative."""
    found = []
    for k in which if isinstance(which, list | tuple | range) else [which]:
        if not is_whole(k):
            raise SimulationError(f"block={k!r} is no number of a stimulus; write -1 for the last")
        if not -count <= k < count:
            raise SimulationError(f"block={k}: there are {count} stimuli")
        found.append(int(k) % count)
    return found


def _trains(simulation: Simulation, interval: float, pulses: int) -> list[Stimulus]:
    """Stimuli of which all currents are repeated."""
    varied = currents(simulation.stimuli)
    if not varied:
        raise SimulationError("a train needs a stimulus, and the simulation has none")
    return [
        with_waveform(s, train_of(s.waveform, interval, pulses)) if k in varied else s
        for k, s in enumerate(simulation.stimuli)
    ]


def _whole(time: float, dt: float) -> float:
    """The first whole number of steps that is not shorter, ms."""
    return math.ceil(time / dt - 1e-9) * dt


def _latencies(times: FloatArray, arrivals: FloatArray, interval: float) -> FloatArray:
    """From each stimulus to its arrival, which may come after later stimuli.

    The first arrival belongs to the first stimulus. Latency changes little from one to the next:
    an arrival that is late by more than half an interval belongs to a later stimulus.
    """
    latencies = np.full(times.size, np.nan)
    k, latency = 0, float(arrivals[0] - times[0]) if arrivals.size else np.nan
    for arrival in arrivals.tolist():
        while k < times.size and arrival - (times[k] + latency) > interval / 2:
            k += 1
        if k == times.size:
            break
        latencies[k] = latency = arrival - times[k]
        k += 1
    return latencies


def _at_once(
    function: Callable[[float], Any],
    values: list[float],
    workers: int,
    progress: Callable[[float, Any], None] | None = None,
) -> list[Any]:
    """What a function gives for each value, several at a time."""
    count, found = checked(workers, "workers"), []
    with closing(in_turn(function, values, count, len(values) + 1)) as given:
        for value, answer in zip(values, given, strict=True):
            found.append(answer)
            if progress is not None:
                progress(value, answer)
    return found


def _begun(run: Run, outside: bool) -> tuple[str, ...]:
    """What is odd about where impulses began: far from each other, or, by a field, at an end."""
    axon = run.axon
    farthest = axon.x[axon.part_way(1.0)] if run.tree else axon.length
    near = _NEAR * float(farthest)
    begun = sorted(impulses(run), key=lambda impulse: impulse.start)
    told = []
    if any(_apart(run, a, b) > near for a, b in pairwise(begun)):
        places = ", ".join(position_text(impulse.began) for impulse in begun)
        told.append(f"impulses began at {places}")
    if outside:
        for impulse in begun:
            if _to_an_end(run, impulse) < near:
                place = position_text(impulse.began)
                told.append(f"one began near an end of the axon, at {place}")
                break
    return tuple(told)


def _apart(run: Run, a: Impulse, b: Impulse) -> float:
    """How far from each other two impulses began, µm."""
    if run.tree is None:
        return abs(b.start - a.start)
    return float(run.tree.way(a.began, b.began)[1][-1])


def _to_an_end(run: Run, impulse: Impulse) -> float:
    """How far from the nearest end of the axon an impulse began, µm."""
    if run.tree is None:
        return min(impulse.start, run.axon.length - impulse.start)
    ends = np.append(0, run.tree.tips)
    return float(run.tree.away_from(run.tree.index(impulse.began))[ends].min())


class _Search:
    """Trials of factors until the least that does it is known well enough."""

    def __init__(
        self,
        attempt: Callable[[float], tuple[Trial, Seen]],
        guess: float,
        largest: float,
        tolerance: float,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self._tolerance, self._largest = (
            quantity(value, "", name, error=SimulationError, positive=True)
            for name, value in (("tolerance", tolerance), ("largest", largest))
        )
        first = quantity(guess, "", "guess", error=SimulationError)
        if first == 0.0:
            raise SimulationError("guess = 0 is no factor to begin with; write 1.0 or -1.0")
        self._attempt = attempt
        self._sign, self._guess = math.copysign(1.0, first), min(abs(first), self._largest)
        self._workers, self._progress = workers, progress
        self.trials: list[Trial] = []
        self.seen: dict[float, Seen] = {}

    def _widest_stride(self) -> float:
        """The widest bracket, at most twofold, that so many sections cut to just the tolerance."""
        parts = self._workers + 1  # which the first trial has checked
        least = max(math.log1p(self._tolerance), np.finfo(float).eps)  # no numbers lie nearer
        sections = math.log(math.log(2.0) / least, parts)
        if sections < 0:
            return 2.0
        return math.exp(least * parts ** math.floor(sections)) * (1.0 - 1e-9)

    def trial(self, size: float) -> Trial:
        """One factor."""
        (trial,) = self._trials([size])
        return trial

    def _trials(self, sizes: list[float]) -> list[Trial]:
        """Several factors side by side."""
        made = _at_once(self._attempt, [self._sign * size for size in sizes], self._workers)
        for trial, seen in made:
            self.trials.append(trial)
            if trial.activated:
                self.seen[trial.factor] = seen
            if self._progress is not None:
                self._progress(trial)
        return [trial for trial, _ in made]

    def bracket(self, does: str) -> tuple[float, float]:
        """The least factor that does it, and the largest below it that doesn't."""
        stride = self._widest_stride()
        above = self._first(self._guess, stride) or self._first(self._guess / stride, 1.0 / stride)
        if above is None:
            # Of all that did nothing, the strongest that could be computed tells most.
            last = max(self.trials[1:], key=lambda t: (not t.ran_away, abs(t.factor)))
            error = NoThresholdError(f"no factor up to {last.factor:g} {does}: {last.why}")
            error.out_of_reach = True
            raise error
        below = max(
            (size for trial in self.trials if (size := abs(trial.factor)) < above), default=0.0
        )
        while above > below * (1 + self._tolerance):
            if below:
                ratio = (above / below) ** (1 / (self._workers + 1))
                sizes = [below * ratio**k for k in range(1, self._workers + 1)]
            else:
                sizes = [above / stride]
                if sizes[0] < self._guess / 2**_MOST_DOUBLINGS:
                    raise NoThresholdError(f"a factor of {above:g} still {does}: none is weak")
            sizes = [size for size in sizes if below < size < above]
            if not sizes:
                break  # there is no number between
            for size, trial in zip(sizes, self._trials(sizes), strict=True):
                if trial.activated:
                    above = size
                    break
                below = size
        return self._sign * above, self._sign * below

    def _first(self, size: float, ratio: float) -> float | None:
        """The first that does it of a size, that times `ratio`, and so on, to the largest."""
        tried = math.inf
        for _ in range(_MOST_DOUBLINGS if ratio > 1 else _MOST_HALVINGS):
            if size > self._largest:
                if tried >= self._largest:
                    break
                size = self._largest
            trial, tried = self.trial(size), size
            if trial.activated:
                return size
            if trial.ran_away and ratio > 1:
                break
            size *= ratio
        return None
