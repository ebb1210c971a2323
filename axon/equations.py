"""A simulation as data, and the loop that integrates it.

`Equations` hold what the kernel needs and nothing else: numbers, arrays, a membrane's program and
waveforms. They come from a `Simulation`, or from a run file, and the loop doesn't know which.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from axon._kernel import Kernel
from axon.config import instruction_set
from axon.errors import DivergedError, SimulationError, StoppedError
from axon.program import Program
from axon.timecourses import Waveform

RESULTS = 1
"""Raised by every change of the program that changes a run's numbers, were it in the last bit: a
run goes on only under the number under which it began."""

MOST_STEPS = 2**53
"""Of a run."""

METHODS = ("crank-nicolson", "backward-euler")

EDGE_SLACK = 1e-6
"""How far from a step's end, in steps, an edge still counts as lying on it: more than the
rounding of edge / dt in a run of 1e9 steps."""

BLOCK_SECONDS = 0.1
"""Wall time between two returns to Python, about: for progress, signals and output."""
FIRST_BLOCK = 1_000_000
"""Steps times compartments times operations of the first block: some milliseconds. Then blocks are
timed."""
MAX_BLOCK_STEPS = 1 << 16
MAX_BLOCK_CURRENTS = 1 << 22
"""Steps times sources."""
ROW_BYTES = 4 << 20
"""Rows handed to the sink at a time, about."""
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

    def rows(self, block: np.ndarray) -> None: ...

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None: ...

    def state(self, get_state: Callable[[], Fields]) -> None:
        """The state after all that was handed over, should it be wanted now."""

    def commit(self, get_state: Callable[[], Fields]) -> None:
        """The state after all that was handed over: the run stops here."""


@dataclass(frozen=True)
class Recording:
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


@dataclass(frozen=True, eq=False)
class Equations:
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
        Between neighbours, µS.
    exchange : pair of arrays (n - 1,), or None
        What diffusion of 1 µm²/ms brings to a compartment and takes from the next one, 1/ms.
    program : Program
        The membrane.
    waveforms : tuple of Waveform
        Of the sources, nA.
    entries : triple of arrays (k,)
        Where they go: source number w times weight into compartment c, as (c, w, weight).
    """

    dt: float
    method: str
    spike_threshold: float
    x: npt.NDArray[np.float64]
    area: npt.NDArray[np.float64]
    capacitance: npt.NDArray[np.float64]
    axial: npt.NDArray[np.float64]
    exchange: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None
    program: Program
    waveforms: tuple[Waveform, ...]
    entries: tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64]]

    @property
    def n(self) -> int:
        """Compartments."""
        return self.area.size

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All but the numbers, the waveforms and `x`, which a run file holds elsewhere."""
        compartment, source, weight = self.entries
        arrays: dict[str, np.ndarray] = {
            "area": self.area,
            "capacitance": self.capacitance,
            "axial": self.axial,
            "entry_compartment": compartment,
            "entry_source": source,
            "entry_weight": weight,
        }
        if self.exchange is not None:
            arrays["exchange"] = np.array(self.exchange)
        program = self.program.to_arrays()
        return arrays | {f"program_{name}": array for name, array in program.items()}

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        *,
        dt: float,
        method: str,
        spike_threshold: float,
        x: npt.NDArray[np.float64],
        waveforms: Iterable[Waveform],
    ) -> Equations:
        """The equations that `to_arrays` took apart, to the bit.

        Nothing in the arrays is trusted: `kernel` checks what isn't checked here.

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
        start = "program_"
        program = {
            name.removeprefix(start): array
            for name, array in arrays.items()
            if name.startswith(start)
        }
        return cls(
            dt=dt,
            method=method,
            spike_threshold=spike_threshold,
            x=x,
            area=take("area", np.float64),
            capacitance=take("capacitance", np.float64),
            axial=take("axial", np.float64),
            exchange=exchange,
            program=Program.from_arrays(program),
            waveforms=tuple(waveforms),
            entries=(
                take("entry_compartment", np.int64),
                take("entry_source", np.int32),
                take("entry_weight", np.float64),
            ),
        )

    def kernel(self, recording: Recording | None = None) -> Kernel:
        """The kernel, its state not set yet; without a recording it is a solver only."""
        every = 0 if recording is None else recording.every_steps
        if recording is None:
            recording = Recording(np.zeros(0, np.int64), 1, "float32")
        return Kernel(
            area=self.area,
            capacitance=self.capacitance,
            axial=self.axial,
            exchange=self.exchange,
            program=self.program,
            sources=(len(self.waveforms), *self.entries),
            dt=self.dt,
            backward_euler=self.method == "backward-euler",
            spike_threshold=self.spike_threshold,
            isa=instruction_set(),
            recorded=recording.compartments,
            record_every=every,
            record_float=recording.dtype == "float32",
        )

    def stimulation(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean current of every source in each of the coming steps, nA, and the damped steps.

        An edge between two steps makes the mean current jump once, and the step after it is
        damped; an edge within a step makes it jump before and after that step, and both are.
        """
        times = np.arange(first, first + count + 1) * self.dt
        current = np.zeros((count, len(self.waveforms)))
        damped = np.zeros(count, np.uint8)
        if first == 0:
            damped[:1] = 1  # states that start out of balance are a discontinuity too
        slack = EDGE_SLACK * self.dt
        for k, waveform in enumerate(self.waveforms):
            current[:, k] = waveform.mean(times[:-1], times[1:])
            edges = waveform.edges(times[0] - self.dt, times[-1] + slack) / self.dt - first
            for near in (np.ceil(edges - 1 + EDGE_SLACK), np.floor(edges + 1 - EDGE_SLACK)):
                inside = (near >= 0) & (near < count)
                damped[near[inside].astype(np.int64)] = 1
        return current, damped


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
) -> Fields:
    """Advance to step number `steps`, in blocks of a fraction of a second.

    `progress` is called before the first block and after each.

    Parameters
    ----------
    kernel : Kernel
        Its state set; on return it is that of the end.
    sink
        Gets rows and spikes, in their order, and is offered the state after each block.
    first : int
        The step at which the run began, for `progress`.
    new : bool
        Whether a row at the state as it is has still to be recorded.
    stop : callable, optional
        Asked between blocks.

    Returns
    -------
    dict of arrays
        The state at the end.

    Raises
    ------
    DivergedError
        If the potential leaves all bounds; the sink has all before that, and the state there. Or
        if some other state is no number, which is looked for now and then, and at the end.
    StoppedError
        If `stop` says so; the sink has all up to there, and the state.
    """
    m = recording.compartments.size
    row_type = np.dtype(recording.dtype)
    done = int(kernel.get("step")[0])
    capacity = min(
        max(1, recording.rows_within(done, steps)),
        max(1, ROW_BYTES // max(1, m * row_type.itemsize)),
    )
    buffer = np.empty((capacity, m), row_type)
    spike_room = 16 * equations.n + 1024
    spike_compartment = np.empty(spike_room, np.int64)
    spike_time = np.empty(spike_room)

    if new and done % recording.every_steps == 0:
        sink.rows(kernel.get("v")[recording.compartments].astype(row_type)[np.newaxis])
    safe, safe_since = _state(equations, kernel), time.perf_counter()
    work = equations.n * (1 + len(equations.program.code)) + len(equations.entries[0])
    block = max(1, FIRST_BLOCK // work)
    most = min(MAX_BLOCK_STEPS, MAX_BLOCK_CURRENTS // max(1, len(equations.waveforms)))
    if progress is not None and done < steps:
        progress((done - first) / (steps - first), done * equations.dt)
    while done < steps:
        if stop is not None and (reason := stop()):
            sink.commit(lambda: _state(equations, kernel))
            raise StoppedError(reason, done * equations.dt)
        count = min(block, max(1, most), steps - done)
        current, damped = equations.stimulation(done, count)
        began = time.perf_counter()
        status, taken, n_rows, n_spikes = kernel.advance(
            current, damped, buffer, spike_compartment, spike_time
        )
        ended = time.perf_counter()
        done += taken
        if n_rows:
            sink.rows(buffer[:n_rows])
        if n_spikes:
            order = np.lexsort((spike_compartment[:n_spikes], spike_time[:n_spikes]))
            sink.spikes(spike_compartment[order], spike_time[order])
        if status == "diverged":
            where, v = kernel.divergence()
            sink.commit(partial(_advanced, equations, safe, done))
            raise DivergedError((done + 1) * equations.dt, float(equations.x[where]), where, v)
        sink.state(lambda: _state(equations, kernel))
        if progress is not None:
            progress((done - first) / (steps - first), done * equations.dt)
        if taken and status == "done":
            block = max(1, min(2 * count, int(taken * BLOCK_SECONDS / max(ended - began, 1e-9))))
        if ended - safe_since >= SAFE_SECONDS or done == steps:
            safe, safe_since = _state(equations, kernel), ended
    return safe


def _state(equations: Equations, kernel: Kernel) -> Fields:
    """A state to go on from: where a gate or a concentration is no number, there is none."""
    state: Fields = kernel.state()
    values = state["state"]
    if not np.isfinite(values).all():
        which, where = divmod(int(np.argmin(np.isfinite(values))), equations.n)
        raise DivergedError(
            float(state["step"][0]) * equations.dt,
            float(equations.x[where]),
            where,
            float(values[which * equations.n + where]),
            equations.program.states[which],
        )
    return state


def _advanced(equations: Equations, state: Fields, step: int) -> Fields:
    """The state at `step`, from one before it: the same to the bit, whichever that is."""
    kernel = equations.kernel()
    load(kernel, state)
    done = int(kernel.get("step")[0])
    no_rows = np.empty((0, 0), np.float32)
    spike_room = 16 * equations.n + 1024
    spikes = np.empty(spike_room, np.int64), np.empty(spike_room)  # nobody wants them again
    while done < step:
        current, damped = equations.stimulation(done, min(1024, step - done))
        _, taken, _, _ = kernel.advance(current, damped, no_rows, *spikes)
        done += taken
    return kernel.state()
