"""Protocols: questions that take many runs, each asked in one call."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from axon.equations import Fields, Recording, integrate, load, whole_steps
from axon.errors import DivergedError, NoThresholdError, SimulationError, StoppedError
from axon.runs import Run
from axon.simulation import Simulation, SpikeList
from axon.units import QuantityLike, quantity

_MOST_DOUBLINGS, _MOST_HALVINGS = 60, 20


@dataclass(frozen=True)
class Trial:
    """One strength that was tried."""

    factor: float
    """What all stimuli were multiplied by."""
    activated: bool
    why: str
    """What was seen."""
    ran_away: bool = False
    """Whether the potential left all bounds."""


@dataclass(frozen=True)
class Threshold:
    """The least strength that activates an axon; `threshold` finds it.

    Attributes
    ----------
    value : float
        The least factor that activated it.
    below : float
        The largest that was tried and did not: the threshold lies between.
    trials : tuple of Trial
        All that were run, in their order.
    run : Run
        Spikes of the run with `value`, up to when it was certain.
    """

    value: float
    below: float
    trials: tuple[Trial, ...]
    run: Run = field(repr=False)

    @property
    def error(self) -> float:
        """How far `value` may lie above the threshold, relatively."""
        return self.value / self.below - 1.0 if self.below else math.inf

    @property
    def monotone(self) -> bool:
        """Whether everything stronger than a strength that activated did so too."""
        tried = sorted(self.trials, key=lambda trial: trial.factor)
        return [t.activated for t in tried] == sorted(t.activated for t in tried)

    def __str__(self) -> str:
        told = f"{self.value:.6g} (not {self.below:.6g}; {len(self.trials)} runs)"
        return told if self.monotone else f"{told}, but some stronger stimuli did not activate"


def threshold(
    simulation: Simulation,
    duration: QuantityLike,
    *,
    at: QuantityLike | None = None,
    tolerance: float = 0.01,
    guess: float = 1.0,
    largest: float = 1e6,
    progress: Callable[[Trial], None] | None = None,
) -> Threshold:
    """The least strength of its stimuli that activates an axon.

    All stimuli are multiplied by one factor, whose least value that sends an impulse to `at` is
    looked for: from `guess` by doubling or halving, then by bisection. A run ends as soon as the
    impulse has arrived; one that doesn't bring it takes all of `duration`. Where strong stimuli
    block what they excite, `Threshold.monotone` tells if such were met.

    Parameters
    ----------
    simulation : Simulation
        With its stimuli. Runs begin where its own would.
    duration : float or quantity
        How long to wait for an impulse, ms.
    at : float or quantity, optional
        Where it must arrive, µm from the origin; at nine tenths of the length if not given.
    tolerance : float, optional
        Of the factor, relatively.
    guess : float, optional
        The factor that is tried first.
    largest : float, optional
        None beyond this one is tried.
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
    if not simulation.stimuli:
        raise SimulationError("a threshold needs a stimulus, and the simulation has none")
    for name, value in (("tolerance", tolerance), ("guess", guess), ("largest", largest)):
        quantity(value, "", name, error=SimulationError, positive=True)
    search = _Search(simulation, duration, at, progress)
    if (silent := search.run(0.0)).activated:
        raise NoThresholdError(f"the axon is active without any stimulus: {silent.why}")

    above = search.first(guess, 2.0, largest) or search.first(guess / 2, 0.5, largest)
    if above is None:
        # Of all that did nothing, the strongest that could be computed tells most.
        last = max(search.trials[1:], key=lambda t: (not t.ran_away, t.factor))
        raise NoThresholdError(f"no factor up to {last.factor:g} activates the axon: {last.why}")
    below = max((t.factor for t in search.trials if t.factor < above), default=0.0)
    while not below:
        factor = above / 2
        if factor < guess / 2**_MOST_DOUBLINGS:
            raise NoThresholdError(f"a factor of {above:g} still activates: no stimulus is weak")
        if search.run(factor).activated:
            above = factor
        else:
            below = factor
    while above > below * (1 + tolerance):
        factor = math.sqrt(below * above)
        if not below < factor < above:
            break  # there is no number between
        if search.run(factor).activated:
            above = factor
        else:
            below = factor
    return Threshold(above, below, tuple(search.trials), search.at_least())


class _Search:
    """Runs of one simulation with its stimuli multiplied."""

    def __init__(
        self,
        simulation: Simulation,
        duration: QuantityLike,
        at: QuantityLike | None,
        progress: Callable[[Trial], None] | None,
    ) -> None:
        self._simulation = simulation
        self._equations = simulation._equations
        self._begin = simulation._beginning
        lasts = quantity(duration, "ms", "duration", error=SimulationError, positive=True)
        self._steps = self._begin.step + whole_steps(lasts, simulation.dt, "duration")
        place = 0.9 * simulation.axon.length if at is None else at
        self._goal = simulation.axon.index(place)
        self._recording = Recording(np.zeros(0, np.int64), max(1, self._steps), "float32")
        self._progress = progress
        self.trials: list[Trial] = []
        self._least: tuple[float, _Watch] = math.inf, _Watch(self._goal)

    def first(self, factor: float, ratio: float, largest: float) -> float | None:
        """The first that activates of a factor, that times `ratio`, and so on."""
        for _ in range(_MOST_DOUBLINGS if ratio > 1 else _MOST_HALVINGS):
            if factor > largest:
                break
            trial = self.run(factor)
            if trial.activated:
                return factor
            if trial.ran_away and ratio > 1:
                break
            factor *= ratio
        return None

    def run(self, factor: float) -> Trial:
        """Whether an impulse arrives with this factor."""
        waveforms = tuple(waveform.scaled(factor) for waveform in self._equations.waveforms)
        equations = replace(self._equations, waveforms=waveforms)
        kernel = equations.kernel(self._recording)
        load(kernel, self._begin._fields())
        watch = _Watch(self._goal)
        x = self._simulation.axon.x
        try:
            integrate(
                equations,
                kernel,
                self._recording,
                self._steps,
                watch,
                first=self._begin.step,
                stop=watch.arrived,
            )
        except StoppedError:
            pass
        except DivergedError as error:
            watch.trouble = f"the potential ran away at x = {error.x:g} um"
        trial = Trial(factor, bool(watch.arrived()), watch.told(x), bool(watch.trouble))
        self.trials.append(trial)
        if trial.activated and factor < self._least[0]:
            self._least = factor, watch
        if self._progress is not None:
            self._progress(trial)
        return trial

    def at_least(self) -> Run:
        """What was seen with the least factor that activated."""
        _, watch = self._least
        compartment, time = watch.spiked.arrays()
        return Run.in_memory(
            self._simulation.header(self._steps, self._recording),
            [],
            [],
            self._recording.every_steps * self._simulation.dt,
            np.zeros((1, 0), np.float32),
            compartment,
            time,
            axon_x=self._simulation.axon.x,
        )


class _Watch:
    """The sink of a run that ends when a compartment has spiked."""

    def __init__(self, goal: int) -> None:
        self._goal = goal
        self._arrival = math.inf
        self.spiked = SpikeList()
        self.trouble = ""

    def rows(self, block: np.ndarray) -> None:
        """There are none that matter."""

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None:
        self.spiked.add(compartment, time)
        there = time[compartment == self._goal]
        if there.size:
            self._arrival = min(self._arrival, float(there.min()))

    def state(self, get_state: Callable[[], Fields]) -> None:
        """Nobody goes on."""

    def commit(self, get_state: Callable[[], Fields]) -> None:
        """Nobody goes on."""

    def arrived(self) -> str:
        return "it has arrived" if self._arrival < math.inf else ""

    def told(self, x: np.ndarray) -> str:
        """What was seen, in words."""
        if self._arrival < math.inf:
            return f"an impulse arrived at {x[self._goal]:g} um at {self._arrival:g} ms"
        if self.trouble:
            return self.trouble
        reached = np.unique(self.spiked.arrays()[0])
        if not reached.size:
            return "there was no spike"
        spread = f"{x[reached[0]]:g} to {x[reached[-1]]:g} um"
        return f"there were spikes from {spread}, and none at {x[self._goal]:g} um"
