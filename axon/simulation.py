"""A simulation: axon, membrane and stimuli put together, and driven block by block."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from axon import portable
from axon.changes import Change, Epoch
from axon.config import fused
from axon.electrodes import seen_by
from axon.equations import (
    BEGINNING,
    METHODS,
    RESULTS,
    Clamp,
    Equations,
    Fields,
    Progress,
    Recording,
    Stop,
    integrate,
    whole_steps,
)
from axon.errors import MembraneError, NoRestError, SimulationError, StimulusError
from axon.geometry import Axon, Shape, brief
from axon.interruption import Interruption
from axon.machine import PLENTY, lacking
from axon.membranes import Membrane
from axon.portable import distinct
from axon.program import (
    Program,
    diffusing,
    initial_states,
    lower,
    parameters,
    slow_pools,
    state_names,
)
from axon.rates import Profile, resolve
from axon.records import Record
from axon.rest import REST_RANGE, Rest, pool_speed
from axon.runs import Run
from axon.stimuli import CurrentClamp, Extracellular, Stimulus, VoltageClamp
from axon.timecourses import in_which_three, shortest_period
from axon.trees import Tree
from axon.units import (
    PositionLike,
    QuantityLike,
    has_unit,
    is_whole,
    position_text,
    quantities,
    quantity,
)

if TYPE_CHECKING:
    from axon.estimate import Estimate
    from axon.sources import Source

# 1 µm² is 1e-8 cm². mA/cm² times this factor times µm² is nA, S/cm² becomes µS; and
# µF/cm² times 1e-5 times µm² is nF.
AREA_FACTOR = 1e-2
CAPACITANCE_FACTOR = 1e-5

STIFF = 1e12
"""Conductance of an ideal voltage clamp, over those that pull the potential elsewhere."""


STRIDE = 5
"""Every so many steps concentrations move, at most. Odd: Crank-Nicolson hardly damps what
alternates from step to step, and so currents that jump with slow steps must alternate there too."""

MAX_STRIDE = 9999

SLOW_STEP = 0.025
"""How far apart such slow steps are, at most, ms."""

SETTLING = 1 / 8
"""Concentrations are slow if, by themselves, they settle by at most this part between two slow
steps: their method is stable up to 1, but what it adds to the error of every step grows fast."""

SMOOTH = 8
"""Slow steps in which V may go to and fro once for slow gates to move with them: with so many they
see of an exponential of V, and so of a gate's rate, all but a thousandth of the mean."""

PLACES = 256
"""On an axon whose compartments all differ, where concentrations are asked how fast they settle."""

_UNPICKLED = ("membrane", "changes", "_epochs")  # they hold functions


class State(Record):
    """Where a simulation stands: all that it must know to go on, bit for bit.

    Attributes
    ----------
    dt : float
        Time step, ms: gates and concentrations are half of one older than `v`. With a stride above
        1 concentrations and slow gates are where they will be half way between two slow steps.
    step : int
        Steps since time zero.
    v : array (n,)
        Membrane potential, mV.
    states : dict of str to array (n,)
        Gates such as ``na.m``, concentrations such as ``cai``, and what else the membrane keeps.
    saturated_steps : int
        Steps in which some potential lay beyond the tables.
    stride : int
        Of the simulation.
    """

    dt: float
    step: int
    v: npt.NDArray[np.float64]
    states: dict[str, npt.NDArray[np.float64]]
    saturated_steps: int = 0
    stride: int = 1

    @property
    def time(self) -> float:
        """ms."""
        return self.step * self.dt

    @classmethod
    def _of(cls, dt: float, stride: int, names: Iterable[str], fields: Fields) -> State:
        n = fields["v"].size
        states = fields["state"].reshape(-1, n)
        return cls(
            dt,
            int(fields["step"][0]),
            fields["v"],
            dict(zip(names, states, strict=True)),
            int(fields["saturated_steps"][0]),
            stride,
        )

    def _fields(self) -> Fields:
        return {
            "v": self.v,
            "state": np.concatenate([np.zeros(0), *self.states.values()]),
            "step": np.array([float(self.step)]),
            "saturated_steps": np.array([float(self.saturated_steps)]),
        }


class Simulation:
    """An axon with a membrane and stimuli, ready to run.

    Parameters
    ----------
    axon : Axon or Tree
    membrane : Membrane
    stimuli : sequence of CurrentClamp, VoltageClamp and Extracellular, optional
    celsius : float, array or callable, optional
        Temperature, °C: a number or quantity, one value per compartment, or a function of
        position (µm; on a tree the distance from the root). The membrane's own if not given.
    dt : float or quantity, optional
        Time step, ms.
    v_init : float, array or callable, optional
        Potential at time zero, mV; gates start at their steady state for it. If not given,
        the true resting state, found by solving for it.
    method : {"crank-nicolson", "backward-euler"}, optional
        Second order, or first order and strongly damped.
    spike_threshold : float or quantity, optional
        An upward crossing of it, in mV, is a spike.
    changes : sequence of Change, optional
        Other membranes and temperatures, each from its time on, in their order.
    stride : int, optional
        Every so many steps, an odd number, concentrations move, by as many time steps at once and
        by the mean of all currents since; so do gates that are as slow. If not given, 5, or fewer
        that take no more than 0.025 ms; 1 where a concentration settles faster than that or a
        change would come between, and under voltage clamps, whose currents are to be right in
        every step.

    Attributes
    ----------
    stride : int
        1 where no concentration moves, or where any diffuses, whatever was asked for.

    Raises
    ------
    SimulationError, MembraneError, StimulusError, NoRestError

    Notes
    -----
    The scheme is the staggered Crank-Nicolson scheme of Hines: potentials on whole time
    steps, gates on half steps. After a discontinuity two backward Euler half steps take
    the place of one Crank-Nicolson step (Rannacher), which keeps the order and stops
    ringing.

    References
    ----------
    M. Hines, Int. J. Bio-Med. Comput. 15, 69-76 (1984).
    R. Rannacher, Numer. Math. 43, 309-327 (1984).

    Examples
    --------
    >>> import axon
    >>> fibre = axon.Axon.cylinder("10 mm", diameter=1.0, dx=10.0)
    >>> pulse = axon.pulse(amplitude=1.0, start=1.0, duration=0.5)
    >>> sim = axon.Simulation(
    ...     fibre, axon.models.hodgkin_huxley(), stimuli=[axon.CurrentClamp(0.0, pulse)]
    ... )
    >>> run = sim.run(5.0)
    """

    def __init__(
        self,
        axon: Axon | Tree,
        membrane: Membrane,
        stimuli: Iterable[Stimulus] = (),
        *,
        celsius: Profile | str | None = None,
        dt: QuantityLike = 0.005,
        v_init: Profile | str | None = None,
        method: str = "crank-nicolson",
        spike_threshold: QuantityLike = -20.0,
        changes: Iterable[Change] = (),
        stride: int | None = None,
    ) -> None:
        if not isinstance(axon, Axon | Tree):
            raise SimulationError(f"axon={axon!r} is no Axon and no Tree")
        if not isinstance(membrane, Membrane):
            raise SimulationError(f"membrane={membrane!r} is no Membrane")
        self.axon = axon
        self.membrane = membrane
        self._take(stimuli)
        if method not in METHODS:
            raise SimulationError(f"method={method!r}; give one of {', '.join(METHODS)}")
        self.method = method
        self.dt = quantity(dt, "ms", "dt", error=SimulationError, positive=True)
        self.spike_threshold = quantity(
            spike_threshold, "mV", "spike_threshold", error=SimulationError
        )
        warmth = membrane.celsius if celsius is None else celsius
        self.celsius = _along(warmth, axon.x, "degC", "celsius")
        self._v_init = None if v_init is None else _along(v_init, axon.x, "mV", "v_init")
        self._start: State | None = None  # where runs begin, if not at time zero
        self._stands: State | None = None  # where the last run ended
        if isinstance(changes, Change):
            raise SimulationError("changes is one change; write changes=[change]")
        self.changes = tuple(changes)
        self._epochs = list(self._through_changes())
        self._between_changes = in_which_three(np.array([change.at for change in self.changes]))
        self._check_diffusion()
        self.stride = self._chosen_stride(stride)
        # An unusable membrane is refused now, not at the first run.
        self._programs  # noqa: B018

    def _through_changes(self) -> Iterator[Epoch]:
        """The epochs from time zero on."""
        epoch = Epoch(0, self.membrane, self.celsius)
        yield epoch
        for k, change in enumerate(self.changes):
            if not isinstance(change, Change):
                raise SimulationError(f"changes has {change!r}, which is no Change")
            what = f"changes[{k}]"
            step = whole_steps(change.at, self.dt, f"{what}.at")
            if step <= epoch.step:
                raise SimulationError(
                    f"{what}.at={change.at:g} ms is not after {epoch.step * self.dt:g} ms; give "
                    "changes in their order, and what holds from time zero on to the simulation"
                )
            membrane = epoch.membrane if change.membrane is None else change.membrane
            states, others = state_names(epoch.membrane), state_names(membrane)
            if others != states:
                raise SimulationError(
                    f"{what}.membrane has {', '.join(others) or 'no states'}, and the one before "
                    f"it {', '.join(states) or 'none'}; give one of the same gates and pools: what "
                    "is to vanish can be scaled to 0"
                )
            celsius = epoch.celsius
            if change.celsius is not None:
                celsius = _along(change.celsius, self.axon.x, "degC", f"{what}.celsius")
            epoch = Epoch(step, membrane, celsius)
            yield epoch

    @property
    def _program(self) -> Program:
        return self._programs[0][1]

    @property
    def _later(self) -> tuple[tuple[int, Program], ...]:
        """Programs of the later epochs, and of a step on the way into each where it needs one."""
        return self._programs[1:]

    @property
    def _programs(self) -> tuple[tuple[int, Program], ...]:
        """All programs, each with the step in which it begins."""
        apart = self.stride * self.dt * (1 - 1e-9)
        period = min(self._shortest_period, self._between_changes)
        smooth = apart <= SLOW_STEP and SMOOTH * apart <= period
        return self._smooth_programs if smooth or self.stride == 1 else self._rough_programs

    @cached_property
    def _smooth_programs(self) -> tuple[tuple[int, Program], ...]:
        return self._lowered_all(smooth=True)

    @cached_property
    def _rough_programs(self) -> tuple[tuple[int, Program], ...]:
        return self._lowered_all(smooth=False)

    def _lowered_all(self, smooth: bool) -> tuple[tuple[int, Program], ...]:
        programs = {0: self._lowered(self._epochs[0], smooth)}
        for old, new in pairwise(self._epochs):
            begin = new.step
            if not new.moves_as(old):
                programs[begin] = self._lowered(new, smooth, since=old)
                begin += 1
            programs[begin] = self._lowered(new, smooth)
        return tuple(programs.items())

    def _lowered(self, epoch: Epoch, smooth: bool, since: Epoch | None = None) -> Program:
        gains = self._gains((since or epoch).membrane)
        alike = self._alike if epoch.membrane is self.membrane else None
        return lower(
            epoch.membrane,
            self.axon.x,
            epoch.celsius,
            self.dt,
            gains,
            since,
            alike,
            self.stride,
            smooth,
        )

    @cached_property
    def _alike(self) -> Hashable | None:
        """What the membrane is known by among those of the same functions, as these are when the
        simulation is built."""
        return self.membrane.alike()

    @cached_property
    def _alike_at_rest(self) -> Hashable | None:
        """The same as they are when its rest is looked for, which may be later."""
        return self.membrane.alike()

    def _gains(self, membrane: Membrane) -> dict[str, npt.NDArray[np.float64]]:
        """What each pool gains from 1 mA/cm², mM/ms."""
        return membrane.per_current(self.axon.diameter, self.axon.area / self.axon.volume)

    @cached_property
    def _per_current(self) -> dict[str, npt.NDArray[np.float64]]:
        """The same at time zero."""
        return self._gains(self.membrane)

    @property
    def _exchange(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """What diffusion of 1 µm²/ms brings to a parent and takes from the next, 1/ms."""
        axon = self.axon
        return axon.passage / axon.volume[axon.parent[1:]], axon.passage / axon.volume[1:]

    @property
    def _sources(self) -> tuple[CurrentClamp | Extracellular, ...]:
        """Stimuli that are currents."""
        return tuple(s for s in self.stimuli if not isinstance(s, VoltageClamp))

    @property
    def _clamps(self) -> tuple[Clamp, ...]:
        axon = self.axon
        joined = axon.at_both_ends(axon.axial_conductance, axon.axial_conductance)
        charge = CAPACITANCE_FACTOR * axon.cm * axon.area / self.dt
        clamps = []
        for stimulus in self.stimuli:
            if isinstance(stimulus, VoltageClamp):
                where = axon.index(stimulus.at)
                if stimulus.resistance is None:
                    conductance = STIFF * float(joined[where] + charge[where])
                else:
                    conductance = 1.0 / stimulus.resistance  # 1/MΩ is µS
                clamps.append(Clamp(where, conductance, *stimulus.command))
        return tuple(clamps)

    def _check_diffusion(self) -> None:
        """Concentrations take explicit steps, which must be shorter than what diffuses fastest."""
        coefficients = {
            pair for epoch in self._epochs for pair in diffusing(epoch.membrane).items()
        }
        if not coefficients:
            return
        leaving = self.axon.at_both_ends(*self._exchange)
        for concentration, coefficient in sorted(coefficients):
            # Twice what leaves bounds the fastest rate (Gershgorin); to 1 the method is stable.
            rate = 2.0 * coefficient * leaving.max()
            if self.dt * rate > 1.0:
                raise SimulationError(
                    f"dt={self.dt:g} ms is too long for {concentration} to diffuse by "
                    f"{coefficient:g} µm²/ms between compartments of "
                    f"{self.axon.length / self.axon.n:g} µm; give {1.0 / rate:.2g} ms or less, "
                    "or longer compartments"
                )

    def _chosen_stride(self, given: int | None) -> int:
        """Every how many steps concentrations move: as asked for, or as often as they should."""
        if given is not None:
            if not is_whole(given) or not 1 <= given <= MAX_STRIDE or given % 2 == 0:
                raise SimulationError(
                    f"stride={given!r}; give an odd number of steps up to {MAX_STRIDE}, such as 1"
                )
            given = int(given)
        if not slow_pools(self.membrane, STRIDE):
            return 1
        begins = [epoch.step for epoch in self._epochs[1:]]
        if given is not None:
            for change, begin in zip(self.changes, begins, strict=True):
                if begin % given:
                    raise SimulationError(
                        f"stride={given}: the change at {change.at:g} ms would come between two "
                        f"slow steps; give one that divides {begin}"
                    )
            return given
        strides = [
            stride
            for stride in range(STRIDE, 1, -2)
            if stride * self.dt <= SLOW_STEP * (1 + 1e-9)
            and not any(begin % stride for begin in begins)
        ]
        if not strides or any(isinstance(s, VoltageClamp) for s in self.stimuli):
            return 1
        fastest = max(self._pool_speed(epoch) for epoch in self._epochs)
        return next((s for s in strides if s * self.dt * fastest <= SETTLING), 1)

    def _pool_speed(self, epoch: Epoch) -> float:
        """How fast concentrations settle by themselves, 1/ms."""
        membrane, celsius, x = epoch.membrane, epoch.celsius, self.axon.x
        gains = self._gains(membrane)
        where = _unlike(parameters(membrane, x, celsius, gains).values())
        own = {name: gain[where] for name, gain in gains.items()}
        warmth = celsius[where] if celsius.size > 1 else celsius

        begins: list[dict[str, float]] = [membrane.initial_concentrations]
        if where.size == 1 and self._v_init is None:
            with suppress(NoRestError):
                begins.append(self._patch_rest.concentrations)

        def find() -> float:
            return pool_speed(membrane.at(x, where), x[where], warmth, own, begins)

        if where.size > 1:
            return find()
        amounts = (c for begin in begins for c in begin.values())
        key = ("pool speed", warmth[0], *(gain[0] for gain in own.values()), *amounts)
        alike = self._alike if membrane is self.membrane else None
        return membrane.once(key, find, amounts=True, alike=alike)

    @cached_property
    def v_init(self) -> npt.NDArray[np.float64]:
        """Potential at time zero, mV, shape (n,)."""
        if self._v_init is None:
            return self._rest()
        return np.broadcast_to(self._v_init, (self.axon.n,)).astype(np.float64)

    @cached_property
    def _states_init(self) -> npt.NDArray[np.float64]:
        """Every state at time zero, one after the other: gates steady for `v_init`."""
        if self._v_init is None and self._uniform:
            return self._at_rest(self._patch_rest)
        return initial_states(
            self.membrane,
            self.axon.x,
            self.celsius,
            self.v_init,
            self._per_current,
            stride=self.stride,
        ).ravel()

    def _at_rest(self, rest: Rest) -> npt.NDArray[np.float64]:
        """The same for a uniform axon at rest: all of a compartment, which the membrane remembers,
        unless pools fill at different rates."""
        alike = all(np.all(gain == gain[0]) for gain in self._per_current.values())
        n = 1 if alike else self.axon.n
        gains = {name: gain[:n] for name, gain in self._per_current.items()}

        def find() -> npt.NDArray[np.float64]:
            v = np.full(n, rest.v)
            return initial_states(
                self.membrane,
                self.axon.x[:n],
                self.celsius,
                v,
                gains,
                rest.concentrations,
                self.stride,
            )

        if alike:
            known = (self.stride, self.celsius[0], rest.v, *rest.concentrations.values())
            rates = (gain[0] for gain in gains.values())
            key = ("at rest", *known, *rates)
            find = partial(self.membrane.once, key, find, amounts=True, alike=self._alike_at_rest)
        states = find()
        return np.broadcast_to(states, (len(states), self.axon.n)).ravel()

    @cached_property
    def _uniform(self) -> bool:
        """Whether every patch of the axon's membrane rests at the same potential."""
        varying = {
            name
            for name, p in zip(self._program.param_names, self._program.params, strict=True)
            if p.size > 1
        }
        # How fast a pool fills varies with the diameter, but as a rule not where it rests.
        geometric = {f"{name}:per_current" for name in self._per_current}
        if self.celsius.size > 1 or varying - geometric:
            return False
        if not varying:
            return True
        ends = self.axon.diameter.min(), self.axon.diameter.max()
        membrane = self.membrane.uniform(self.axon.x)
        thin, thick = (membrane.rest(float(self.celsius[0]), diameter=float(d)) for d in ends)
        return abs(thin.v - thick.v) < 1e-6

    @cached_property
    def _patch_rest(self) -> Rest:
        """Rest of a patch of a uniform axon."""
        diameter = float(self.axon.diameter[0]) if self.membrane.pools else 1.0  # else any
        return self.membrane.once(
            ("rest of a patch", self.celsius[0], diameter),
            lambda: self.membrane.uniform(self.axon.x).rest(
                float(self.celsius[0]), diameter=diameter
            ),
            amounts=True,
            alike=self._alike_at_rest,
        )

    @cached_property
    def _equations(self) -> Equations:
        """All that the kernel needs."""
        return Equations(
            dt=self.dt,
            method=self.method,
            spike_threshold=self.spike_threshold,
            x=self.axon.x,
            area=self.axon.area * AREA_FACTOR,
            capacitance=self.axon.cm * self.axon.area * CAPACITANCE_FACTOR,
            axial=self.axon.axial_conductance,
            parent=self.axon.parent if isinstance(self.axon, Tree) else None,
            exchange=self._exchange if self._program.diffusions else None,
            program=self._program,
            waveforms=tuple(stimulus.waveform for stimulus in self._sources),
            entries=self._entries,
            clamps=self._clamps,
            later=self._later,
        )

    @cached_property
    def _description(self) -> dict[str, Any]:
        """The membrane in JSON's types."""
        return self.membrane.to_dict()

    @cached_property
    def _described_changes(self) -> list[dict[str, Any]]:
        """Membrane and temperature of every later epoch, in JSON's types."""
        return [
            {
                "at": change.at,
                "membrane": epoch.membrane.to_dict(),
                "celsius": brief(epoch.celsius),
            }
            for change, epoch in zip(self.changes, self._epochs[1:], strict=True)
        ]

    @property
    def begins_at_rest(self) -> bool:
        """Whether runs begin at a rest that is known to be stable."""
        return self._start is None and self._v_init is None and self._uniform

    def with_stimuli(self, stimuli: Iterable[Stimulus]) -> Simulation:
        """The same axon, membrane and changes with other stimuli; nothing else is built anew.

        Parameters
        ----------
        stimuli : sequence of CurrentClamp, VoltageClamp and Extracellular

        Returns
        -------
        Simulation
            Its runs begin where this one's do.

        Raises
        ------
        SimulationError
            If one is no stimulus, or does not lie where this axon can feel it.
        """
        other = self.__copy__()
        other.__dict__.pop("_equations", None)
        other._stands = self._start
        other._take(stimuli)
        return other

    def _take(self, stimuli: Iterable[Stimulus]) -> None:
        if isinstance(stimuli, Stimulus):
            raise SimulationError("stimuli is one stimulus; write stimuli=[stimulus]")
        self.stimuli = tuple(stimuli)
        for stimulus in self.stimuli:
            if not isinstance(stimulus, Stimulus):
                raise SimulationError(f"stimuli has {stimulus!r}, which is no stimulus")
        self._shortest_period = shortest_period([s.waveform for s in self.stimuli])
        placed = tuple(s.source if isinstance(s, Extracellular) else s.at for s in self._sources)
        if placed != self.__dict__.get("_placed"):  # else only waveforms are others
            self._placed = placed
            self._entries = _entries(self.axon, self._sources)

    def __getstate__(self) -> dict[str, Any]:
        # As data: the functions of a membrane may be such as can't be pickled.
        if self.stride > 1:  # with other stimuli it may need the others
            self._smooth_programs, self._rough_programs  # noqa: B018
        for name in ("_equations", "_description", "_described_changes", "v_init", "_beginning"):
            getattr(self, name)
        return {name: value for name, value in self.__dict__.items() if name not in _UNPICKLED}

    def __getattr__(self, name: str) -> Any:
        if name in _UNPICKLED:
            raise AttributeError(
                f"a simulation that was pickled has its membrane as data only: no {name}"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __copy__(self) -> Simulation:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, _: object) -> Simulation:
        return self.__copy__()  # of what it holds nothing is ever changed

    def state(self) -> State:
        """Where the simulation stands: where its last run ended, or else where the next begins.

        Returns
        -------
        State
        """
        return self._stands or self._beginning

    def restore(self, state: State) -> None:
        """Let every run from now on begin at `state`, and not at time zero.

        Parameters
        ----------
        state : State
            Of this simulation, or of one with the same number of compartments, the same states,
            the same time step and stride. Stimuli and changes may differ; their times count from
            time zero.

        Raises
        ------
        SimulationError
            If it is of another kind of simulation.
        """
        if not isinstance(state, State):
            raise SimulationError(f"state={state!r} is none; give what state() returned")
        if state.dt != self.dt:
            raise SimulationError(
                f"state has dt={state.dt:g} ms, and the simulation dt={self.dt:g} ms"
            )
        if state.stride != self.stride:
            raise SimulationError(
                f"state has stride={state.stride}, and the simulation stride={self.stride}: give "
                "both the same, which divides the steps of all changes"
            )
        if tuple(state.states) != self._program.states:
            raise SimulationError(
                f"state has {', '.join(state.states) or 'no states'}, and the membrane "
                f"{', '.join(self._program.states) or 'none'}"
            )
        if any(np.shape(a) != (self.axon.n,) for a in (state.v, *state.states.values())):
            raise SimulationError(f"state is not of {self.axon.n} compartments")
        self._equations.started(state._fields())  # refuses what is no state
        self._start = self._stands = state

    @property
    def _beginning(self) -> State:
        """Where runs begin."""
        if self._start is not None:
            return self._start
        states = self._states_init.reshape(-1, self.axon.n)
        names = self._program.states
        named = dict(zip(names, states, strict=True))
        return State(self.dt, 0, self.v_init, named, stride=self.stride)

    def _rest(self) -> npt.NDArray[np.float64]:
        """The resting potential of the whole axon, mV.

        Uniform axons rest where a patch of their membrane does. Elsewhere Newton's method
        solves for the potentials at which membrane and axial currents balance.
        """
        x = self.axon.x
        if self._uniform:
            return np.full(self.axon.n, self._patch_rest.v)
        if self.membrane.pools:
            raise NoRestError(
                "where concentrations move, the resting state is found for an axon that is the "
                "same everywhere, or whose patches rest alike; give v_init"
            )

        def current(v: np.ndarray) -> np.ndarray:
            return self.membrane.steady_current(v, self.celsius, x) * area

        area = self.axon.area * AREA_FACTOR
        solver = self._equations.kernel()
        v = self._patch_rests()
        for _ in range(100):
            net = self.axon.axial_inflow(v) - current(v)
            h = 1e-4
            slope = (current(v + h) - current(v - h)) / (2 * h)
            step = solver.solve(np.maximum(slope, 1e-12 * area), net)
            v = v + np.clip(step, -5.0, 5.0)
            if np.abs(step).max() < 1e-9:
                return v
        raise NoRestError(
            "no resting state of the whole axon was found: the potentials at which its "
            "currents balance did not settle; give v_init"
        )

    def _patch_rests(self) -> npt.NDArray[np.float64]:
        """Rest of every compartment's membrane on its own, as a first guess, mV."""
        x = self.axon.x
        v = np.arange(REST_RANGE[0], REST_RANGE[1] + 0.5)
        rest = np.full(x.size, np.nan)
        previous = self.membrane.steady_current(np.full(x.size, v[0]), self.celsius, x)
        for low, high in pairwise(v):
            now = self.membrane.steady_current(np.full(x.size, high), self.celsius, x)
            crossed = np.isnan(rest) & (previous <= 0.0) & (now > 0.0)
            rest[crossed] = 0.5 * (low + high)
            previous = now
        if np.isnan(rest).any():
            where = x[np.argmax(np.isnan(rest))]
            raise NoRestError(
                f"the membrane at x = {where:g} µm has no resting potential between "
                f"{REST_RANGE[0]:g} and {REST_RANGE[1]:g} mV; give v_init"
            )
        return rest

    def recording(
        self,
        duration: QuantityLike,
        every: QuantityLike | None = None,
        record: Iterable[PositionLike] | None = None,
        dtype: npt.DTypeLike = "float32",
    ) -> tuple[int, Recording]:
        """Steps of a run and what it keeps; arguments as those of `run`."""
        lasts = quantity(duration, "ms", "duration", error=SimulationError, minimum=0.0)
        steps = whole_steps(lasts, self.dt, "duration")
        if every is None:
            every_steps = max(1, round(0.05 / self.dt))
        else:
            between = quantity(every, "ms", "every", error=SimulationError, positive=True)
            every_steps = whole_steps(between, self.dt, "every")
            if every_steps < 1:
                raise SimulationError(
                    f"every={between:g} ms is less than a step of dt={self.dt:g} ms; give that"
                )
        name = str(getattr(dtype, "__name__", dtype))  # np.float64 and the like have one
        if name not in ("float32", "float64"):
            raise SimulationError(f"dtype={dtype!r}; give float32 or float64")
        if record is None:
            compartments = np.arange(self.axon.n)
        else:
            record = list(record)
            compartments = np.array([self.axon.index(at) for at in record], dtype=np.int64)
            if distinct(compartments).size < compartments.size:
                raise SimulationError(
                    f"record={record!r}: two of the positions lie in one compartment"
                )
        return steps, Recording(compartments, every_steps, name)

    def observed(self, electrodes: Sequence[Source]) -> Equations:
        """What a run solves, with what these electrodes add up of it; argument as that of `run`."""
        if not isinstance(electrodes, list | tuple):
            raise SimulationError(
                f"electrodes={reprlib.repr(electrodes)} is no list; write electrodes=[source]"
            )
        if not electrodes:
            return self._equations
        clamps = [stimulus for stimulus in self.stimuli if isinstance(stimulus, VoltageClamp)]
        for clamp in clamps:
            if clamp.resistance is None:
                raise SimulationError(
                    "electrodes can't record beside the voltage clamp at "
                    f"{position_text(clamp.at)}, which is ideal: its potential does not tell its "
                    "current; give it a small resistance"
                )
        weights, shares = [], []
        for number, source in enumerate(electrodes):
            try:
                weight, share = seen_by(source, self.axon, [*self._sources, *clamps])
            except StimulusError as error:
                raise StimulusError(f"electrodes[{number}]: {error}") from None
            weights.append(weight)
            shares.append(share)
        return replace(self._equations, electrodes=(np.array(weights), np.array(shares)))

    def estimate(
        self,
        duration: QuantityLike,
        *,
        every: QuantityLike | None = None,
        record: Iterable[PositionLike] | None = None,
        dtype: npt.DTypeLike = "float32",
        electrodes: Sequence[Source] = (),
    ) -> Estimate:
        """What a run will take, measured on its first steps: about half a second of stepping.

        The arguments are those of `run`.

        Returns
        -------
        Estimate
            Bytes, memory and wall time. The bytes come from the compression of the first rows: an
            axon that rests there, and is busy later, will need more.
        """
        from axon.estimate import estimate

        steps, recording = self.recording(duration, every, record, dtype)
        begin = self._beginning
        equations = self.observed(electrodes)
        return estimate(equations, recording, begin._fields(), begin.step, begin.step + steps)

    def run(
        self,
        duration: QuantityLike,
        *,
        output: str | os.PathLike[str] | None = None,
        every: QuantityLike | None = None,
        record: Iterable[PositionLike] | None = None,
        dtype: npt.DTypeLike = "float32",
        electrodes: Sequence[Source] = (),
        overwrite: bool = False,
        resume: bool = False,
        commit_every: QuantityLike | None = None,
        stop_after: float | str | None = None,
        stop: Stop | None = None,
        progress: Progress | None = None,
        study: Mapping[str, Any] | None = None,
    ) -> Run:
        """Run from time zero, or from where `restore` put the simulation.

        Parameters
        ----------
        duration : float or quantity
            Simulated time, ms; a whole number of steps.
        output : path, optional
            File that the field streams to while the run goes on; without it the field
            stays in memory.
        every : float or quantity, optional
            Time between two recorded rows, ms; a whole number of steps. 0.05 ms, or one
            step if that is longer.
        record : sequence of positions, optional
            Where the potential is recorded, µm or quantities; everywhere if not given, and
            nowhere if empty. Spikes are detected at every compartment in any case.
        dtype : {"float32", "float64"}, optional
            Of the recorded field.
        electrodes : sequence of Source, optional
            Electrodes outside the axon, or differences of two, that record in every row what
            `axon.extracellular_potential` would find from the whole field: `Run.electrodes`.
        overwrite : bool, optional
            Replace an existing `output` when the run is complete.
        resume : bool, optional
            If `output` is there, go on with it, or leave it as it is if it is finished. It must
            be the same run, though it may be shorter.
        commit_every : float or quantity, optional
            Wall time after which all that was computed is safe on the disk, 5 min if not given; a
            number is in ms.
        stop_after : float or str, optional
            Wall time after which the run stops, with all of it safe: seconds, or text such as
            ``"3h50m"``.
        stop : callable, optional
            Called a few times a second; the run stops as soon as it returns a reason.
        progress : callable, optional
            Called with the fraction done and the simulated time (ms) a few times a second.
        study : mapping, optional
            Where the simulation comes from, in JSON's types; kept in the run's header.

        Returns
        -------
        Run

        Raises
        ------
        DivergedError
            If the potential leaves all bounds; it says where and when.
        StoppedError
            If the run was told to stop; `axon.resume` takes it on.
        SimulationError, StimulusError, WriteError, RunFileError
            Among other things if an electrode lies on the axon, or beside an ideal voltage clamp.
        KeyboardInterrupt
            On Ctrl-C, with all that was computed safe in `output`.

        Notes
        -----
        Whatever becomes of a run with an `output`, what has been committed stays, and
        `axon.resume` makes of it, to the last byte, the file that would have come of it.
        """
        steps, recording = self.recording(duration, every, record, dtype)
        equations = self.observed(electrodes)
        begin = self._beginning
        steps += begin.step
        study = None if study is None else dict(study)
        commit_seconds = None
        if commit_every is not None:
            commit_seconds = 1e-3 * quantity(
                commit_every, "ms", "commit_every", error=SimulationError, minimum=0.0
            )
        self._check_room(equations, recording, begin.step, steps, kept=output is not None)
        told = partial(self._told, steps, recording, begin, tuple(electrodes), study)
        if output is None:
            if resume:
                raise SimulationError("resume=True: there is no output to go on with")
            with Interruption(stop, stop_after) as stopping:
                return self._in_memory(equations, begin, steps, recording, told, progress, stopping)
        # Whoever writes no file need not wait until what writes files is imported.
        from axon.restart import Expected, Underway, run_into

        def underway() -> Underway:
            kernel = equations.started(begin._fields(), recording)
            return Underway(equations, recording, kernel, begin.step, steps)

        return run_into(
            Path(output),
            underway,
            Expected(told(), _inputs(equations, begin), recording.compartments),
            resume=resume,
            overwrite=overwrite,
            commit_seconds=commit_seconds,
            stop_after=stop_after,
            stop=stop,
            progress=progress,
        )

    def _check_room(
        self, equations: Equations, recording: Recording, first: int, steps: int, kept: bool
    ) -> None:
        """Refuse what memory can't hold, before it is asked for: a system that has promised more
        than it has kills who takes it."""
        rows = 0 if kept else recording.rows_within(first, steps)
        field = rows * recording.compartments.size * np.dtype(recording.dtype).itemsize
        if max(field, 1000 * equations.n) <= PLENTY:
            return
        from axon.estimate import memory

        need = memory(equations, recording, first, steps, kept=kept)
        too_much = lacking(need)
        if too_much is not None:
            less = "cut the axon into fewer compartments"
            if 2 * field > need:
                less = "give output=..., a file that grows on the disk, or record less of it"
            raise SimulationError(f"the run {too_much}; {less}")

    def _in_memory(
        self,
        equations: Equations,
        begin: State,
        steps: int,
        recording: Recording,
        header: Callable[[], dict[str, Any]],
        progress: Progress | None,
        stop: Stop,
    ) -> Run:
        first = recording.rows_before(begin.step)
        memory = _Memory(equations, recording, recording.rows_within(begin.step, steps))
        kernel = equations.started(begin._fields(), recording)
        try:
            memory.fields = integrate(
                equations,
                kernel,
                recording,
                steps,
                memory,
                first=begin.step,
                new=True,
                progress=progress,
                stop=stop,
            )
        finally:
            if memory.fields:
                self._stands = State._of(self.dt, self.stride, self._program.states, memory.fields)
        compartment, when = memory.spiked.arrays()
        return Run.in_memory(
            header,
            self.axon.x[recording.compartments],
            recording.compartments,
            recording.every_steps * self.dt,
            memory.v,
            compartment,
            when,
            axon_x=self.axon.x,
            electrodes=memory.potentials,
            first=first,
            final=self.state().states,
            inputs=partial(_inputs, equations, begin),
        )

    def _told(
        self,
        steps: int,
        recording: Recording,
        begin: State,
        electrodes: Sequence[Source],
        study: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """The header of a run from `begin`, with its electrodes and where it comes from."""
        header = self.header(steps, recording, begin)
        if electrodes:
            header["recording"]["electrodes"] = [source.to_dict() for source in electrodes]
        if study is None:
            return header
        from axon.restart import lasting

        return lasting(header | {"study": study}, steps)

    def header(
        self, steps: int, recording: Recording, begin: State | None = None
    ) -> dict[str, Any]:
        """All that a run file says of where its numbers come from, in JSON's types.

        It is a run from `begin`, or from where the simulation begins.
        """
        from axon import __version__

        programs = [self._program, *(program for _, program in self._later)]
        errors = [table.error for program in programs for table in program.tables]
        if begin is None:
            begin = self._beginning
        changes = {"changes": self._described_changes} if self._later else {}
        return {
            "axon_version": __version__,
            "axon": self.axon.to_dict(),
            "membrane": self._description,
            "stimuli": [stimulus.to_dict() for stimulus in self.stimuli],
            **changes,
            "simulation": {
                "dt": self.dt,
                "stride": self.stride,
                "begin": begin.step,
                "steps": steps,
                "duration": (steps - begin.step) * self.dt,
                "celsius": brief(self.celsius),
                "v_init": brief(begin.v),
                "method": self.method,
                "spike_threshold": self.spike_threshold,
                "table_steps": [table.v_step for table in self._program.tables],
                "table_error": max(errors, default=0.0),
                "results": RESULTS,
                "fused": fused(),
            },
            "recording": {
                "every": recording.every_steps * self.dt,
                "every_steps": recording.every_steps,
                "rows": recording.rows_within(begin.step, steps),
                "dtype": recording.dtype,
            },
        }

    def __repr__(self) -> str:
        return (
            f"Simulation({self.axon!r}, {self._description['name'] or 'membrane'}, "
            f"{len(self.stimuli)} stimuli, "
            + (f"{len(self._described_changes)} changes, " if self._later else "")
            + f"dt={self.dt:g} ms)"
        )


def _entries(
    axon: Shape, stimuli: Iterable[CurrentClamp | Extracellular]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Compartment, number of the stimulus and weight of each way in which current enters.

    A potential E outside drives the current sum_j G_ij (E_j - E_i) into compartment i.
    """
    where, which, weights = [], [], []
    for number, stimulus in enumerate(stimuli):
        if isinstance(stimulus, CurrentClamp):
            compartments, weight = np.array([axon.index(stimulus.at)]), np.ones(1)
        else:
            try:
                potential = stimulus.source.on_axon(axon.places, axon.x)
            except StimulusError as error:
                raise StimulusError(f"stimuli[{number}]: {error}") from None
            compartments, weight = np.arange(axon.n), axon.axial_inflow(potential)
        where.append(compartments)
        which.append(np.full(compartments.size, number, np.int32))
        weights.append(weight)
    return (
        np.concatenate([np.zeros(0, np.int64), *where]),
        np.concatenate([np.zeros(0, np.int32), *which]),
        np.concatenate([np.zeros(0), *weights]),
    )


def _unlike(parameters: Iterable[np.ndarray]) -> npt.NDArray[np.intp]:
    """Compartments that differ in a parameter by more than 5 %: about `PLACES` of them at most,
    among them those where one is largest or smallest."""
    varying = [values for values in parameters if values.size > 1]
    if not varying:
        return np.zeros(1, np.intp)
    about = [
        np.sign(v) * (1e6 + np.rint(20.0 * portable.log(np.maximum(np.abs(v), 1e-300))))
        for v in varying
    ]
    order = np.lexsort(about)
    ordered = np.array(about)[:, order]
    found = order[np.append(True, (ordered[:, 1:] != ordered[:, :-1]).any(axis=0))]
    ends = [int(end(v)) for v in varying for end in (np.argmin, np.argmax)]
    some = np.linspace(0, found.size - 1, min(found.size, PLACES)).astype(np.intp)
    return distinct(np.append(found[some], ends))


def _inputs(equations: Equations, begin: State) -> dict[str, np.ndarray]:
    """What the kernel runs, and where it begins, as arrays."""
    states = begin._fields()["state"]
    return equations.to_arrays() | {BEGINNING: states.reshape(-1, equations.n)}


class SpikeList:
    """Spikes as they come, block by block."""

    def __init__(self) -> None:
        self._blocks = [(np.zeros(0, np.int64), np.zeros(0))]

    def add(self, compartment: np.ndarray, time: np.ndarray) -> None:
        """Put these after those that came before."""
        self._blocks.append((compartment, time))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Compartments and times of all."""
        compartments, times = zip(*self._blocks, strict=True)
        return np.concatenate(compartments), np.concatenate(times)


class _Memory:
    """The sink of a run without a file."""

    def __init__(self, equations: Equations, recording: Recording, n_rows: int) -> None:
        self.v = np.empty((n_rows, recording.compartments.size), recording.dtype)
        self.potentials = np.empty((n_rows, equations.n_electrodes))
        self.fields: Fields = {}
        self._filled = 0
        self.spiked = SpikeList()

    def room(self) -> np.ndarray:
        return self.v[np.newaxis, self._filled :]

    def filled(self, rows: int, potentials: np.ndarray | None) -> None:
        if potentials is not None:
            self.potentials[self._filled : self._filled + rows] = potentials
        self._filled += rows

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None:
        self.spiked.add(compartment, time)

    def state(self, get_state: Callable[[], Fields]) -> None:
        """Nothing is kept on the way."""

    def commit(self, get_state: Callable[[], Fields]) -> None:
        self.fields = get_state()


def _along(value: Any, x: np.ndarray, unit: str, name: str) -> npt.NDArray[np.float64]:
    """A quantity, array or function of position as one value or one per compartment."""
    if isinstance(value, (int, float, bool)) or has_unit(value):
        value = quantities(value, unit, name, error=SimulationError)
    try:
        values = resolve(value, x, name)
    except MembraneError as error:
        raise SimulationError(str(error)) from None
    return quantities(values, unit, name, error=SimulationError)
