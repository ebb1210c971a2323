"""Runs that ask one question, and end as soon as its answer is certain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from axon.equations import Fields, Recording, Stop, integrate, whole_steps
from axon.errors import DivergedError, SimulationError, StoppedError
from axon.geometry import Axon
from axon.portable import distinct
from axon.runs import Run
from axon.simulation import Simulation, SpikeList, State
from axon.stimuli import Stimulus, VoltageClamp
from axon.timecourses import Waveform
from axon.trees import Tree
from axon.units import PositionLike, QuantityLike, position_text, quantity

BLOCK_SECONDS = 4e-4
"""Wall time between two looks at whether it is certain, about."""

NEAR_MV, NEAR_GATE, NEAR_SHARE = 1.0, 0.05, 0.01
"""How far potentials, gates, and all else (relatively) may be from the stable rest at which an axon
began, for it to count as back there."""
FARTHER_MV, WITHIN_MS = 3.0, 200.0
"""A patch that is displaced so far must come back by itself, in this time or in that of a trial if
it is shorter; else nothing counts as back."""


class Seen(NamedTuple):
    """What a trial has shown.

    Attributes
    ----------
    arrivals : array (k,)
        When impulses arrived where they were waited for, ms.
    compartments, times : array (m,)
        All spikes up to the end.
    end : float
        When it ended, ms.
    ran_away : bool
        Whether the potential left all bounds.
    told : str
        All that in words.
    """

    arrivals: np.ndarray
    compartments: np.ndarray
    times: np.ndarray
    end: float
    ran_away: bool
    told: str


class Lead(NamedTuple):
    """What trials have in common: where they begin, and spikes that were before."""

    state: State
    compartments: np.ndarray = np.zeros(0, np.int64)
    times: np.ndarray = np.zeros(0)


class Bench:
    """A simulation on which trials are made, all from one state.

    Parameters
    ----------
    simulation : Simulation
    duration : float or quantity
        Of a trial that doesn't end sooner, ms.
    at : position, optional
        Where impulses are waited for, µm from the origin; if not given, at nine tenths of the way
        to the far end, on a tree to the farthest tip.
    """

    def __init__(
        self, simulation: Simulation, duration: QuantityLike, at: PositionLike | None = None
    ) -> None:
        if not isinstance(simulation, Simulation):
            raise SimulationError(f"simulation={simulation!r} is none; write axon.Simulation(...)")
        self.simulation = simulation
        self.begin = simulation._beginning
        lasts = quantity(duration, "ms", "duration", error=SimulationError, positive=True)
        self.steps = self.begin.step + whole_steps(lasts, simulation.dt, "duration")
        self.goal = goal_of(simulation.axon, at)
        changes = any(step < self.steps for step, _ in simulation._equations.later)
        self._returns = (
            simulation.begins_at_rest
            and not changes  # which may excite, and move the rest
            and all(self._comes_back(by) for by in (-FARTHER_MV, FARTHER_MV))
        )
        self._recording = Recording(np.zeros(0, np.int64), max(1, self.steps), "float32")

    def run(
        self,
        stimuli: Iterable[Stimulus],
        *,
        arrivals: int = 1,
        after: float = -math.inf,
        begin: Lead | None = None,
        until: float = math.inf,
    ) -> Seen:
        """Run until so many impulses have arrived after a time, or none more can come.

        A trial ends with the bench's time, or at `until` (ms) if that is sooner.

        None can once all stimuli are over and the axon is back near the rest at which it began, if
        that is stable and the axon the same all the while: so near that a patch of it, displaced
        three times as far, comes back.
        """
        simulation = self.simulation.with_stimuli(stimuli)
        lead = Lead(self.begin) if begin is None else begin
        over = max((s.waveform.span()[1] for s in simulation.stimuli), default=-math.inf)
        if any(isinstance(stimulus, VoltageClamp) for stimulus in simulation.stimuli):
            over = math.inf
        watch = _Watch(self.goal, arrivals, after, over)
        if self._returns:
            watch.rest = self.begin
        if lead.times.size:
            watch.spikes(lead.compartments, lead.times)
        steps = self.steps
        if until < math.inf:
            steps = min(steps, math.ceil(until / simulation.dt - 1e-9))
        end, trouble = steps * simulation.dt, ""
        try:
            self._integrate(simulation, lead.state, steps, watch, watch.certain)
        except StoppedError as stopped:
            end = stopped.time
        except DivergedError as error:
            end, trouble = error.time, f"the potential ran away at x = {error.x:g} um"
        compartments, times = watch.spiked.arrays()
        seen = Seen(watch.arrivals, compartments, times, end, bool(trouble), trouble)
        return seen if trouble else seen._replace(told=self._told(seen, after))

    def lead(self, stimuli: Iterable[Stimulus], until: float) -> Lead:
        """The run up to a time (ms), or a step or two before it."""
        simulation = self.simulation.with_stimuli(stimuli)
        step = math.floor(until / simulation.dt) - 1 if until < math.inf else self.steps
        step = min(step, self.steps)
        if step <= self.begin.step:
            return Lead(self.begin)
        watch = _Watch(self.goal, 0, math.inf, math.inf)
        fields = self._integrate(simulation, self.begin, step, watch, None)
        state = State._of(simulation.dt, simulation.stride, self.begin.states, fields)
        return Lead(state, *watch.spiked.arrays())

    def _integrate(
        self, simulation: Simulation, begin: State, steps: int, watch: _Watch, stop: Stop | None
    ) -> Fields:
        equations = simulation._equations
        return integrate(
            equations, equations.started(begin._fields(), self._recording), self._recording,
            steps, watch, first=begin.step, stop=stop, block_seconds=BLOCK_SECONDS,
        )  # fmt: skip

    def _comes_back(self, by: float) -> bool:
        """Whether a patch of a uniform axon, displaced by so many mV, ends nearer to its rest."""
        whole = self.simulation._equations
        program = replace(whole.program, params=tuple(p[:1] for p in whole.program.params))
        patch = replace(
            whole, x=whole.x[:1], area=whole.area[:1], capacitance=whole.capacitance[:1],
            axial=whole.axial[:0], parent=None, exchange=None, program=program, waveforms=(),
            entries=(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0)), clamps=(),
            later=(),
        )  # fmt: skip
        fields = self.begin._fields()
        states = fields["state"].reshape(-1, whole.n)[:, 0]
        begin = self.begin.step
        steps = min(self.steps, begin + round(WITHIN_MS / whole.dt))
        recording = Recording(np.zeros(0, np.int64), max(1, steps), "float32")
        fields |= {"v": self.begin.v[:1] + by, "state": states}
        kernel = patch.started(fields, recording)
        watch = _Watch(0, 1, -math.inf, math.inf)
        end = integrate(patch, kernel, recording, steps, watch, first=begin)
        return not watch.arrivals.size and abs(end["v"][0] - self.begin.v[0]) < NEAR_MV

    def _told(self, seen: Seen, after: float) -> str:
        """What was seen, in words."""
        x, goal = self.simulation.axon.x, position_text(self.simulation.axon.place(self.goal))
        since = f" after {after:g} ms" if after > -math.inf else ""
        if seen.arrivals.size:
            first = f"at {seen.arrivals[0]:g} ms"
            number = seen.arrivals.size
            if number == 1:
                return f"an impulse arrived at {goal} {first}"
            return f"{number} impulses arrived at {goal}{since}, the first {first}"
        reached = distinct(seen.compartments[seen.times > after])
        if not reached.size:
            return f"there was no spike{since}"
        spread = f"{x[reached].min():g} to {x[reached].max():g} um"
        return f"there were spikes{since} from {spread}, and none at {goal}"

    def as_run(self, stimuli: Iterable[Stimulus], seen: Seen) -> Run:
        """The spikes of a trial as those of a run."""
        simulation = self.simulation.with_stimuli(stimuli)
        return Run.in_memory(
            partial(simulation.header, self.steps, self._recording),
            [],
            [],
            self._recording.every_steps * simulation.dt,
            np.zeros((1, 0), np.float32),
            seen.compartments,
            seen.times,
            axon_x=simulation.axon.x,
        )


def scaled(stimuli: Sequence[Stimulus], factor: float, which: Iterable[int]) -> list[Stimulus]:
    """Stimuli, of which some are multiplied by a factor."""
    chosen = set(which)
    return [
        with_waveform(stimulus, stimulus.waveform.scaled(factor)) if k in chosen else stimulus
        for k, stimulus in enumerate(stimuli)
    ]


def currents(stimuli: Sequence[Stimulus]) -> list[int]:
    """Numbers of the stimuli that are currents: all but voltage clamps."""
    return [k for k, stimulus in enumerate(stimuli) if not isinstance(stimulus, VoltageClamp)]


def goal_of(axon: Axon | Tree, at: PositionLike | None = None) -> int:
    """The compartment where an impulse has passed: nine tenths of the way, if not given."""
    return axon.part_way(0.9) if at is None else axon.index(at)


def begins(stimuli: Sequence[Stimulus], which: Iterable[int]) -> float:
    """When the first of some stimuli begins, ms."""
    return min(stimuli[k].waveform.span()[0] for k in which)


def with_waveform(stimulus: Stimulus, waveform: Waveform) -> Stimulus:
    """The same electrode with another waveform."""
    return replace(stimulus, waveform=waveform)


class _Watch:
    """The sink of a trial: spikes, and whether more are to be expected."""

    def __init__(self, goal: int, wanted: int, after: float, over: float) -> None:
        self._goal, self._wanted, self._after, self._over = goal, wanted, after, over
        self.rest: State | None = None
        self._back = False
        self.spiked = SpikeList()
        self.arrivals = np.zeros(0)

    def room(self) -> np.ndarray:
        return np.empty((1, 1, 0), np.float32)  # no compartment is recorded

    def filled(self, rows: int, potentials: np.ndarray | None) -> None:
        """There are none that matter."""

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None:
        self.spiked.add(compartment, time)
        there = time[(compartment == self._goal) & (time > self._after)]
        self.arrivals = np.concatenate([self.arrivals, there])

    def state(self, get_state: Callable[[], Fields]) -> None:
        rest = self.rest
        if rest is None:
            return
        fields = get_state()
        if fields["step"][0] * rest.dt < self._over:
            return
        self._back = bool((np.abs(fields["v"] - rest.v) <= NEAR_MV).all())
        states = fields["state"].reshape(-1, rest.v.size)
        for (name, at_rest), now in zip(rest.states.items(), states, strict=True):
            if self._back and ":" not in name:  # else it follows from the others
                gate = "." in name and at_rest.min() >= 0.0 and at_rest.max() <= 1.0
                near = NEAR_GATE if gate else NEAR_SHARE * np.abs(at_rest)
                self._back = bool((np.abs(now - at_rest) <= near).all())

    def commit(self, get_state: Callable[[], Fields]) -> None:
        """Nobody goes on."""

    def certain(self) -> str:
        if self.arrivals.size >= self._wanted:
            return "as many as wanted have arrived"
        return "it is back at rest" if self._back else ""
