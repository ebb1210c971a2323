"""A simulation as data, and the loop that integrates it.

`Equations` hold what the kernel needs and nothing else: numbers, arrays, a membrane's program and
waveforms. They come from a `Simulation`, or from a run file, and the loop doesn't know which.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from axon._kernel import Kernel
from axon.config import instruction_set
from axon.errors import DivergedError, SimulationError, StoppedError
from axon.program import Program
from axon.records import Record
from axon.timecourses import Waveform
from axon.units import FloatArray

RESULTS = 10
"""Raised by every change of the program that changes a run's numbers, were it in the last bit: a
run goes on only under the number under which it began."""

MOST_STEPS = 2**53
"""Of a run."""

METHODS = ("crank-nicolson", "backward-euler")

FULLY_DAMPED = 0.125
"""An edge damps the steps that begin less than a step from it: wholly if they do so by this part of
a step or more, else in proportion, so that nothing jumps when an edge crosses into another step."""

EDGE_SLACK = 1e-6
"""How far from a step's end, in steps, an edge still counts as lying on it: more than the
rounding of edge / dt in a run of 1e9 steps."""

BLOCK_SECONDS = 0.1
"""Wall time between two returns to Python, about: for progress, signals and output."""
FIRST_BLOCK = 1_000_000
"""Steps times compartments times operations of the first block, if all blocks may take some
milliseconds, as these do. Then blocks are timed."""
FIRST_SECONDS = 0.01
MAX_BLOCK_STEPS = 1 << 16
MAX_BLOCK_CURRENTS = 1 << 22
"""Steps times sources."""
SEEN_BYTES = 1 << 20
"""Of what electrodes see, handed to the sink at a time, about."""
SAFE_SECONDS = 5.0
"""Wall time between two copies of the state, which are there for a run that diverges."""

BEGINNING = "begin_state"
"""Beside the arrays of a run's equations: all states where it began, (states, n)."""

Fields = dict[str, npt.NDArray[np.float64]]
"""What the kernel must have to go on, by its own names."""
Progress = Callable[[float, float], None]
"""Is told the fraction that is done and the simulated time in ms."""
Stop = Callable[[], str]
"""Says why a run is to stop now, or nothing."""


class Sink(Protocol):
    """Where rows of the field and spikes go while a run goes on."""

    def room(self) -> np.ndarray:
        """Where the next rows are to be put, one at least: ``(blocks, rows, columns of each)``.

        A row's columns stand in the blocks one after another; the last need not be full.
        """

    def filled(self, rows: int, potentials: np.ndarray | None) -> None:
        """So many rows of the room are filled; and what electrodes outside record in them."""

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None: ...

    def state(self, get_state: Callable[[], Fields]) -> None:
        """The state after all that was handed over, should it be wanted now."""

    def commit(self, get_state: Callable[[], Fields]) -> None:
        """The state after all that was handed over: the run stops here."""


class Recording(Record):
    """What a run keeps: which compartments, and every how many steps since time zero."""

    compartments: npt.NDArray[np.int64]
    every_steps: int
    dtype: str

    def rows_until(self, step: int) -> int:
        """Number of the first row after `step`; row 0 is that of time zero."""
        return step // self.every_steps + 1

    def rows_before(self, step: int) -> int:
        """Number of the first row at `step` or after it."""
        return -(-step // self.every_steps)

    def rows_within(self, begin: int, stop: int) -> int:
        """How many rows there are from step `begin` to step `stop`, both included."""
        return self.rows_until(stop) - self.rows_before(begin)


class Clamp(Record):
    """A potential that is imposed on one compartment, through a conductance, while it lasts."""

    compartment: int
    conductance: float
    """µS."""
    command: Waveform
    """mV."""
    start: float
    """ms."""
    stop: float
    """ms; may be infinite."""

    def current(self, times: FloatArray, v: FloatArray) -> FloatArray:
        """What passes into the axon, nA, when the compartment has the potentials `v`."""
        on = (times >= self.start) & (times < self.stop)
        return np.where(on, self.conductance * (self.command(times) - v), 0.0)

    def acts_around(self, times: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether it acts at these times, or has just ended."""
        return (times >= self.start * (1.0 - 1e-12)) & (times <= self.stop * (1.0 + 1e-12))

    def edges(self, start: float, stop: float) -> FloatArray:
        """Times at which it changes abruptly, with ``start <= t < stop``."""
        ends = np.array([t for t in (self.start, self.stop) if start <= t < stop])
        return np.concatenate([ends, self.command.edges(start, stop)])

    def drive(
        self, times: FloatArray, cut: np.ndarray, implicit: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Current (nA) and conductance (µS) in each of the steps between `times`.

        A potential that follows the command closely must meet it at the end of each step. Where
        the step extrapolates from its middle, that takes the mean of the command at both ends,
        and where it is `implicit` what the command is at the end; in between, as its share of that
        asks for. Steps that an edge has `cut` take the mean command, so that a soft clamp delivers
        its exact charge.
        """
        begin, end = times[:-1], times[1:]
        a, b = np.maximum(begin, self.start), np.minimum(end, self.stop)
        on = np.maximum(b - a, 0.0) / (end - begin)
        moment = np.maximum(EDGE_SLACK * (end - begin), 4 * np.spacing(np.abs(end)))
        after = self.command.mean(end - moment, end)
        before = self.command.mean(begin, begin + moment)
        extrapolated = 1.0 - implicit
        target = (after + extrapolated * before) / (1.0 + extrapolated)
        partly = cut & (on > 0)
        target[partly] = self.command.mean(a[partly], b[partly])
        return self.conductance * on * target, self.conductance * on


class Equations(Record):
    """The cable equation of one axon, cut into compartments.

    Attributes
    ----------
    dt : float
        ms.
    method : str
        One of `METHODS`.
    spike_threshold : float
        mV.
    x : array (n,)
        Centres of the compartments, µm.
    area, capacitance : array (n,)
        1e-2 times µm², and nF.
    axial : array (n - 1,)
        Between compartment i + 1 and its parent, µS.
    parent : array of int64 (n,), or None
        The neighbour of each compartment that is nearer the root, of a lower number, and -1 for the
        root; None where each follows the one before it.
    exchange : pair of arrays (n - 1,), or None
        What diffusion of 1 µm²/ms brings to a parent and takes from compartment i + 1, 1/ms.
    program : Program
        The membrane at time zero.
    waveforms : tuple of Waveform
        Of the sources, nA.
    entries : triple of arrays (k,)
        Where they go: source number w times weight into compartment c, as (c, w, weight).
    clamps : tuple of Clamp
    later : tuple of (int, Program)
        What the membrane is later, each from its step on, in their order. States are the same.
    electrodes : pair of arrays (e, n) and (e, sources + clamps), or None
        What each electrode outside adds up, mV: for each mV in a compartment, and for each unit of
        a source's waveform and nA of a clamp.
    """

    dt: float
    method: str
    spike_threshold: float
    x: npt.NDArray[np.float64]
    area: npt.NDArray[np.float64]
    capacitance: npt.NDArray[np.float64]
    axial: npt.NDArray[np.float64]
    parent: npt.NDArray[np.int64] | None
    exchange: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None
    program: Program
    waveforms: tuple[Waveform, ...]
    entries: tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64]]
    clamps: tuple[Clamp, ...] = ()
    later: tuple[tuple[int, Program], ...] = ()
    electrodes: tuple[FloatArray, FloatArray] | None = None

    @property
    def n(self) -> int:
        """Compartments."""
        return self.area.size

    def epoch(self, step: float) -> tuple[Program, int]:
        """The membrane in the step of this number, and the number of the first that has another."""
        begins = [begin for begin, _ in self.later]
        passed = bisect_right(begins, step)
        program = self.later[passed - 1][1] if passed else self.program
        return program, begins[passed] if passed < len(begins) else MOST_STEPS

    @property
    def n_electrodes(self) -> int:
        """Electrodes outside that record."""
        return 0 if self.electrodes is None else len(self.electrodes[0])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All but the numbers, the waveforms and `x`, which a run file holds elsewhere."""
        compartment, source, weight = self.entries
        arrays: dict[str, np.ndarray] = {
            "area": self.area,
            "capacitance": self.capacitance,
            "entry_compartment": compartment,
            "entry_source": source,
            "entry_weight": weight,
        }
        # Whoever knows of no trees finds no axial conductances, rather than those of a cable.
        if self.parent is None:
            arrays["axial"] = self.axial
        else:
            arrays |= {"parent": self.parent, "axial_to_parent": self.axial}
        if self.exchange is not None:
            arrays["exchange"] = np.array(self.exchange)
        if self.clamps:
            arrays["clamp_compartment"] = np.array([clamp.compartment for clamp in self.clamps])
            arrays["clamp_conductance"] = np.array([clamp.conductance for clamp in self.clamps])
        programs = [("program_", self.program)]
        if self.later:
            arrays["program_steps"] = np.array([begin for begin, _ in self.later], np.int64)
            programs += [(f"program{k}_", program) for k, (_, program) in enumerate(self.later, 1)]
        for start, program in programs:
            arrays |= {start + name: array for name, array in program.to_arrays().items()}
        if self.electrodes is not None:
            arrays["electrode_weight"], arrays["electrode_share"] = self.electrodes
        return arrays

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        *,
        dt: float,
        method: str,
        spike_threshold: float,
        x: npt.NDArray[np.float64],
        waveforms: Sequence[Waveform],
        commands: Sequence[tuple[Waveform, float, float]] = (),
    ) -> Equations:
        """The equations that `to_arrays` took apart, to the bit.

        Nothing in the arrays is trusted: `kernel` checks what isn't checked here. Each clamp's
        command is given with its start and stop.

        Raises
        ------
        SimulationError, MembraneError
            If an array is missing or isn't what it should be.
        """

        def take(name: str, dtype: Any, ndim: int = 1) -> np.ndarray:
            found = arrays.get(name)
            if found is None or found.dtype != dtype or found.ndim != ndim:
                raise SimulationError(f"saved equations: {name} is missing, or not as it should be")
            return found

        if method not in METHODS:
            raise SimulationError(f"saved equations: method={method!r}")
        exchange = None
        if "exchange" in arrays:
            both = take("exchange", np.float64, 2)
            if len(both) != 2:
                raise SimulationError("saved equations: exchange is no pair of arrays")
            exchange = both[0], both[1]
        clamps: list[Clamp] = []
        if commands:
            compartments = take("clamp_compartment", np.int64)
            conductances = take("clamp_conductance", np.float64)
            if not len(compartments) == len(conductances) == len(commands):
                raise SimulationError("saved equations: clamps are not as many as their commands")
            if not (np.isfinite(conductances) & (conductances > 0)).all():
                raise SimulationError("saved equations: a clamp's conductance is not positive")
            for where, conductance, command in zip(
                compartments.tolist(), conductances.tolist(), commands, strict=True
            ):
                clamps.append(Clamp(where, conductance, *command))

        def take_program(start: str) -> Program:
            own = {
                name.removeprefix(start): array
                for name, array in arrays.items()
                if name.startswith(start) and name != "program_steps"
            }
            return Program.from_arrays(own)

        parent = take("parent", np.int64) if "parent" in arrays else None
        program = take_program("program_")
        later: list[tuple[int, Program]] = []
        if "program_steps" in arrays:
            begins = take("program_steps", np.int64).tolist()
            if any(not a < b for a, b in pairwise([0, *begins, MOST_STEPS])):
                raise SimulationError("saved equations: program_steps are not in their order")
            later = [(begin, take_program(f"program{k}_")) for k, begin in enumerate(begins, 1)]
            if any(changed.states != program.states for _, changed in later):
                raise SimulationError("saved equations: a later program has other states")
        electrodes = None
        if "electrode_weight" in arrays:
            weight = take("electrode_weight", np.float64, 2)
            share = take("electrode_share", np.float64, 2)
            shapes = weight.shape[1], share.shape
            expected = take("area", np.float64).size, (len(weight), len(waveforms) + len(clamps))
            if shapes != expected or not np.isfinite(share).all():
                raise SimulationError("saved equations: electrodes are not as they should be")
            electrodes = weight, share
        return cls(
            dt=dt,
            method=method,
            spike_threshold=spike_threshold,
            x=x,
            area=take("area", np.float64),
            capacitance=take("capacitance", np.float64),
            axial=take("axial" if parent is None else "axial_to_parent", np.float64),
            parent=parent,
            exchange=exchange,
            program=program,
            waveforms=tuple(waveforms),
            entries=(
                take("entry_compartment", np.int64),
                take("entry_source", np.int32),
                take("entry_weight", np.float64),
            ),
            clamps=tuple(clamps),
            later=tuple(later),
            electrodes=electrodes,
        )

    def started(
        self, state: Mapping[str, np.ndarray], recording: Recording | None = None
    ) -> Kernel:
        """The kernel that goes on from where `state` was taken.

        Raises
        ------
        SimulationError
            As `load` does.
        """
        kernel = self.kernel(recording, float(state["step"][0]))
        load(kernel, state)
        return kernel

    def kernel(self, recording: Recording | None = None, step: float = 0) -> Kernel:
        """The kernel for the membrane of a step, its state not set yet.

        Without a recording it is a solver only.
        """
        every = 0 if recording is None else recording.every_steps
        if recording is None:
            recording = Recording(np.zeros(0, np.int64), 1, "float32")
        compartment, source, weight = self.entries
        n_sources = len(self.waveforms)
        clamped = np.array([clamp.compartment for clamp in self.clamps], np.int64)
        seen = np.zeros((0, self.n))
        if self.electrodes is not None and every:
            # Beside the electrodes' weights, what tells the potential at each clamp.
            seen = np.concatenate([self.electrodes[0], np.arange(self.n) == clamped[:, np.newaxis]])
        driven = np.arange(n_sources, n_sources + clamped.size, dtype=np.int32)
        return Kernel(
            area=self.area,
            capacitance=self.capacitance,
            axial=self.axial,
            parent=self.parent,
            exchange=self.exchange,
            program=self.epoch(step)[0],
            sources=(
                n_sources + clamped.size,
                np.concatenate([compartment, clamped]),
                np.concatenate([source, driven]),
                np.concatenate([weight, np.ones(clamped.size)]),
            ),
            shunts=clamped,
            dt=self.dt,
            backward_euler=self.method == "backward-euler",
            spike_threshold=self.spike_threshold,
            isa=instruction_set(),
            recorded=recording.compartments,
            record_every=every,
            record_float=recording.dtype == "float32",
            electrodes=seen,
        )

    def recorded_by_electrodes(self, seen: FloatArray, times: FloatArray) -> FloatArray | None:
        """Potentials at the electrodes in rows at `times`, mV, (rows, e), or None without any.

        What the kernel has `seen`, of the field and at clamps, and currents just after each time.
        """
        if self.electrodes is None:
            return None
        weight, shares = self.electrodes
        after = times + EDGE_SLACK * self.dt
        potentials = seen[:, : len(weight)].copy()
        currents = [waveform(after) for waveform in self.waveforms]
        for clamp, v in zip(self.clamps, seen[:, len(weight) :].T, strict=True):
            currents.append(clamp.current(after, v))
        for current, share in zip(currents, shares.T, strict=True):
            potentials += np.multiply.outer(current, share)
        return potentials

    def stimulation(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """What drives each of the coming steps, and how far each is damped, 0 to 1.

        Mean currents of all sources, nA, then those of all clamps, then their conductances, µS.

        An edge between two steps makes the mean current jump once, and the step after it is
        damped; an edge within a step makes it jump before and after that step, and both are. So is
        the first step of all, and the first of another membrane. An edge of a clamp that charges
        its compartment within a step damps one more: what is left of it is little to the
        potential, but much to the clamp's current.
        """
        times = np.arange(first, first + count + 1, dtype=np.float64) * self.dt
        n_sources, n_clamps = len(self.waveforms), len(self.clamps)
        current = np.zeros((count, n_sources + 2 * n_clamps))
        damped = np.zeros(count)
        for begin in (0, *(begin for begin, _ in self.later)):
            if first <= begin < first + count:
                damped[begin - first] = 1.0  # states out of balance are a discontinuity too
        since, until = self._window(times)
        acting: list[Waveform | Clamp] = list(self.clamps)
        for k, waveform in enumerate(self.waveforms):
            start, stop = waveform.span()
            if start <= until and stop >= since:
                acting.append(waveform)
                current[:, k] = waveform.mean(times[:-1], times[1:])
        edges = [self._around_edges(each, times) for each in acting]
        for at, *around in edges:
            for steps in around:
                there = (steps >= first) & (steps < first + count)
                share = (1.0 - np.abs(at - steps)) / FULLY_DAMPED
                np.maximum.at(damped, steps[there] - first, np.minimum(share[there], 1.0))
        for clamp, (at, _, beyond) in zip(self.clamps, edges, strict=False):
            after = beyond[clamp.acts_around(at * self.dt)] + 1 - first
            if clamp.conductance * self.dt > self.capacitance[clamp.compartment]:
                damped[after[(after >= 0) & (after < count)]] = 1.0
        implicit = np.ones(count) if self.method == "backward-euler" else damped
        for k, (clamp, (_, begun, beyond)) in enumerate(zip(self.clamps, edges, strict=False)):
            cut = np.isin(np.arange(first, first + count), begun[begun < beyond])
            driven = clamp.drive(times, cut, implicit)
            current[:, n_sources + k], current[:, n_sources + n_clamps + k] = driven
        return current, damped

    def _window(self, times: FloatArray) -> tuple[float, float]:
        """When an edge matters to the steps between `times`."""
        return times[0] - 2.0 * self.dt, times[-1] + EDGE_SLACK * self.dt

    def _around_edges(
        self, changing: Waveform | Clamp, times: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where edges lie, in steps since time zero, and numbers of the steps at whose beginning
        one lies, both times; or of that which it lies in, and the next. There may be some too
        many."""
        at = changing.edges(*self._window(times)) / self.dt
        steps = np.ceil(at - 1 + EDGE_SLACK), np.floor(at + 1 - EDGE_SLACK)
        return at, steps[0].astype(np.int64), steps[1].astype(np.int64)


def whole_steps(time_ms: float, dt: float, name: str) -> int:
    """The number of steps that a time takes.

    Raises
    ------
    SimulationError
        If it is no whole number.
    """
    if not time_ms / dt < MOST_STEPS:
        raise SimulationError(f"{name}={time_ms:g} ms is too long for steps of dt={dt:g} ms")
    steps = round(time_ms / dt)
    if abs(steps * dt - time_ms) > 1e-9 * max(time_ms, dt):
        below = math.floor(time_ms / dt)
        near = [k * dt for k in (below, below + 1) if k > 0]
        raise SimulationError(
            f"{name}={time_ms:g} ms is no whole number of steps of dt={dt:g} ms; "
            f"give {' or '.join(f'{t:.12g}' for t in near)}"
        )
    return steps


def load(kernel: Kernel, state: Mapping[str, np.ndarray]) -> None:
    """Put a kernel where `state` was taken.

    Raises
    ------
    SimulationError
        If the state isn't one of these equations, or holds what is no number.
    """
    fields = kernel.fields
    if state.keys() != fields.keys():
        raise SimulationError(f"a state has {', '.join(fields)}, and not {', '.join(state)}")
    for name in fields:
        kernel.set(name, state[name])


def integrate(
    equations: Equations,
    kernel: Kernel,
    recording: Recording,
    steps: int,
    sink: Sink,
    *,
    first: int,
    new: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
    block_seconds: float = BLOCK_SECONDS,
) -> Fields:
    """Advance to step number `steps`, in blocks of a fraction of a second.

    `progress` is called before the first block and after each.

    Parameters
    ----------
    kernel : Kernel
        That of `Equations.started`. Where the membrane changes, another one takes its place.
    sink
        Gets rows and spikes, in their order, and is offered the state after each block.
    first : int
        The step at which the run began, for `progress`.
    new : bool
        Whether a row at the state as it is has still to be recorded.
    stop : callable, optional
        Asked between blocks.
    block_seconds : float, optional
        Wall time of a block, about; no bit depends on it.

    Returns
    -------
    dict of arrays
        The state at the end.

    Raises
    ------
    DivergedError
        If the potential leaves all bounds; the sink has all before that, and the state there. Or
        if some other state is no number, or a concentration is negative, which is looked for now
        and then, and at the end.
    StoppedError
        If `stop` says so; the sink has all up to there, and the state.
    """
    done = int(kernel.get("step")[0])
    n_electrodes = kernel.n_electrodes
    seen = np.empty((max(1, SEEN_BYTES // (8 * max(1, n_electrodes))), n_electrodes))
    spike_room = 16 * equations.n + 1024
    spike_compartment = np.empty(spike_room, np.int64)
    spike_time = np.empty(spike_room)

    def hand_over(seen: FloatArray, first_row: int) -> None:
        numbers = np.arange(first_row, first_row + len(seen), dtype=np.float64)
        times = numbers * (recording.every_steps * equations.dt)
        sink.filled(len(seen), equations.recorded_by_electrodes(seen, times))

    if new and done % recording.every_steps == 0:
        row = kernel.get("v")[recording.compartments]
        sink.room()[:, 0].flat[: len(row)] = row
        hand_over(kernel.see()[np.newaxis], recording.rows_before(done))
    safe, safe_since = _state(equations, kernel), time.perf_counter()
    work = equations.n * (1 + len(equations.program.code)) + len(equations.entries[0])
    block = max(1, int(FIRST_BLOCK * min(1.0, block_seconds / FIRST_SECONDS) / work))
    driven = len(equations.waveforms) + 2 * len(equations.clamps)
    most = min(MAX_BLOCK_STEPS, MAX_BLOCK_CURRENTS // max(1, driven))
    until = equations.epoch(done)[1]
    if progress is not None and done < steps:
        progress((done - first) / (steps - first), done * equations.dt)
    while done < steps:
        if stop is not None and (reason := stop()):
            sink.commit(partial(_state, equations, kernel))
            raise StoppedError(reason, done * equations.dt)
        if done == until:
            kernel = equations.started(_state(equations, kernel), recording)
            until = equations.epoch(done)[1]
        left = min(until, steps) - done
        count = min(left if left < 1.5 * block else block, max(1, most))
        current, damped = equations.stimulation(done, count)
        status, spent = "full", 0.0
        while status == "full":
            began = time.perf_counter()
            status, taken, n_rows, n_spikes = kernel.advance(
                current, damped, sink.room(), spike_compartment, spike_time, seen
            )
            ended = time.perf_counter()
            spent += ended - began
            if n_rows:
                hand_over(seen[:n_rows], recording.rows_until(done))
            if n_spikes:
                order = np.lexsort((spike_compartment[:n_spikes], spike_time[:n_spikes]))
                sink.spikes(spike_compartment[order], spike_time[order])
            done += taken
            current, damped = current[taken:], damped[taken:]
        if status == "diverged":
            where, v = kernel.divergence()
            sink.commit(partial(_advanced, equations, safe, done))
            raise DivergedError((done + 1) * equations.dt, float(equations.x[where]), where, v)
        sink.state(partial(_state, equations, kernel))
        if progress is not None:
            progress((done - first) / (steps - first), done * equations.dt)
        block = max(1, min(2 * count, int(count * block_seconds / max(spent, 1e-9))))
        if ended - safe_since >= SAFE_SECONDS or done == steps:
            safe, safe_since = _state(equations, kernel), ended
    return safe


def _state(equations: Equations, kernel: Kernel) -> Fields:
    """A state to go on from: where one is no number, or a concentration negative, there is none."""
    state: Fields = kernel.state()
    names = equations.program.states
    values = state["state"].reshape(len(names), equations.n)
    good = np.isfinite(values)
    for k, name in enumerate(names):
        if f"{name}:rate" in names and "." not in name:
            good[k] &= values[k] >= 0.0
    if not good.all():
        which, where = divmod(int(np.argmin(good)), equations.n)
        raise DivergedError(
            float(state["step"][0]) * equations.dt,
            float(equations.x[where]),
            where,
            float(values[which, where]),
            names[which],
        )
    return state


def _advanced(equations: Equations, state: Fields, step: int) -> Fields:
    """The state at `step`, from one before it: the same to the bit, whichever that is."""
    kernel = equations.started(state)
    done = int(kernel.get("step")[0])
    until = equations.epoch(done)[1]
    no_rows = np.empty((0, 0), np.float32)
    spike_room = 16 * equations.n + 1024
    spikes = np.empty(spike_room, np.int64), np.empty(spike_room)  # nobody wants them again
    while done < step:
        if done == until:
            kernel = equations.started(kernel.state())
            until = equations.epoch(done)[1]
        current, damped = equations.stimulation(done, min(1024, until - done, step - done))
        _, taken, _, _ = kernel.advance(current, damped, no_rows, *spikes)
        done += taken
    return kernel.state()
