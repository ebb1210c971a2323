"""A simulation: axon, membrane and stimuli put together, and driven block by block."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from axon._kernel import Kernel
from axon.config import instruction_set
from axon.errors import DivergedError, MembraneError, NoRestError, SimulationError
from axon.geometry import Axon
from axon.membranes import Membrane
from axon.program import Program, diffusing, initial_states, lower
from axon.rates import Profile, resolve
from axon.rest import REST_RANGE, Rest
from axon.runs import Run, open_run
from axon.stimuli import CurrentClamp
from axon.storage import RunWriter
from axon.units import QuantityLike, quantity

METHODS = ("crank-nicolson", "backward-euler")

# 1 µm² is 1e-8 cm². mA/cm² times this factor times µm² is nA, S/cm² becomes µS; and
# µF/cm² times 1e-5 times µm² is nF.
AREA_FACTOR = 1e-2
CAPACITANCE_FACTOR = 1e-5

EDGE_SLACK = 1e-6
"""How far from a step's end, in steps, an edge still counts as lying on it: more than the
rounding of edge / dt in a run of 1e9 steps."""

BLOCK_SECONDS = 0.1
"""Wall time between two returns to Python, about: for progress, Ctrl-C and output."""
FIRST_BLOCK = 1_000_000
"""Steps times compartments of the first block: some milliseconds, then blocks are timed."""
MAX_BLOCK_STEPS = 1 << 16
ROW_BYTES = 4 << 20
"""Rows handed to the recorder at a time, about."""

Progress = Callable[[float, float], None]


class Sink(Protocol):
    """Where rows of the field and spikes go while a run goes on."""

    def rows(self, block: np.ndarray) -> None: ...

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None: ...

    def state(self, get_state: Callable[[], dict[str, np.ndarray]]) -> None: ...


@dataclass(frozen=True)
class Recording:
    """What a run keeps: which compartments, how often, and how many rows come of it."""

    compartments: npt.NDArray[np.int64]
    every_steps: int
    n_rows: int
    dtype: str


class Simulation:
    """An axon with a membrane and stimuli, ready to run.

    Parameters
    ----------
    axon : Axon
    membrane : Membrane
    stimuli : sequence of CurrentClamp, optional
    celsius : float, array or callable, optional
        Temperature, °C: a number or quantity, one value per compartment, or a function of
        position (µm). The membrane's own if not given.
    dt : float or quantity, optional
        Time step, ms.
    v_init : float, array or callable, optional
        Potential at time zero, mV; gates start at their steady state for it. If not given,
        the true resting state, found by solving for it.
    method : {"crank-nicolson", "backward-euler"}, optional
        Second order, or first order and strongly damped.
    spike_threshold : float or quantity, optional
        An upward crossing of it, in mV, is a spike.

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
        axon: Axon,
        membrane: Membrane,
        stimuli: Iterable[CurrentClamp] = (),
        *,
        celsius: Profile | str | None = None,
        dt: QuantityLike = 0.005,
        v_init: Profile | str | None = None,
        method: str = "crank-nicolson",
        spike_threshold: QuantityLike = -20.0,
    ) -> None:
        for name, value, kind in (("axon", axon, Axon), ("membrane", membrane, Membrane)):
            if not isinstance(value, kind):
                raise SimulationError(f"{name}={value!r} is no {kind.__name__}")
        if isinstance(stimuli, CurrentClamp):
            raise SimulationError("stimuli is one stimulus; write stimuli=[stimulus]")
        self.axon = axon
        self.membrane = membrane
        self.stimuli = tuple(stimuli)
        for stimulus in self.stimuli:
            if not isinstance(stimulus, CurrentClamp):
                raise SimulationError(f"stimuli has {stimulus!r}, which is no stimulus")
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
        self._inside = [axon.index(stimulus.at) for stimulus in self.stimuli]
        self._check_diffusion()
        self._program  # noqa: B018  an unusable membrane is refused now, not at the first run

    @cached_property
    def _program(self) -> Program:
        return lower(self.membrane, self.axon.x, self.celsius, self.dt, self._per_current)

    @cached_property
    def _per_current(self) -> dict[str, npt.NDArray[np.float64]]:
        """What each pool gains from 1 mA/cm², mM/ms."""
        return self.membrane.per_current(self.axon.diameter, self.axon.area / self.axon.volume)

    @property
    def _exchange(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """What diffusion of 1 µm²/ms brings to a compartment and takes from the next, 1/ms."""
        axon = self.axon
        return axon.passage / axon.volume[:-1], axon.passage / axon.volume[1:]

    def _check_diffusion(self) -> None:
        """Concentrations take explicit steps, which must be shorter than what diffuses fastest."""
        coefficients = diffusing(self.membrane)
        if not coefficients:
            return
        gain, gain_below = self._exchange
        leaving = np.append(gain, 0.0) + np.append(0.0, gain_below)
        for concentration, coefficient in coefficients.items():
            # Twice what leaves bounds the fastest rate (Gershgorin); to 1 the method is stable.
            rate = 2.0 * coefficient * leaving.max()
            if self.dt * rate > 1.0:
                raise SimulationError(
                    f"dt={self.dt:g} ms is too long for {concentration} to diffuse by "
                    f"{coefficient:g} µm²/ms between compartments of "
                    f"{self.axon.length / self.axon.n:g} µm; give {1.0 / rate:.2g} ms or less, "
                    "or longer compartments"
                )

    @cached_property
    def v_init(self) -> npt.NDArray[np.float64]:
        """Potential at time zero, mV, shape (n,)."""
        if self._v_init is None:
            return self._rest()
        return np.broadcast_to(self._v_init, (self.axon.n,)).astype(np.float64)

    @cached_property
    def _states_init(self) -> npt.NDArray[np.float64]:
        """Every state at time zero, one after the other: gates steady for `v_init`."""
        concentrations = None
        if self._v_init is None and self._uniform:
            concentrations = self._patch_rest.concentrations
        return initial_states(
            self.membrane,
            self.axon.x,
            self.celsius,
            self.v_init,
            self._per_current,
            concentrations,
        ).ravel()

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
        return self.membrane.uniform(self.axon.x).rest(
            float(self.celsius[0]), diameter=float(self.axon.diameter[0])
        )

    def _build(self, recording: Recording | None = None) -> Kernel:
        """The kernel, its state not set yet; without a recording it is a solver only."""
        if recording is None:
            recording = Recording(np.zeros(0, np.int64), 1, 0, "float32")
        sources = len(self.stimuli)
        return Kernel(
            area=self.axon.area * AREA_FACTOR,
            capacitance=self.axon.cm * self.axon.area * CAPACITANCE_FACTOR,
            axial=self.axon.axial_conductance,
            exchange=self._exchange if self._program.diffusions else None,
            program=self._program,
            sources=(sources, self._inside, np.arange(sources), np.ones(sources)),
            dt=self.dt,
            backward_euler=self.method == "backward-euler",
            spike_threshold=self.spike_threshold,
            isa=instruction_set(),
            recorded=recording.compartments,
            record_every=recording.every_steps if recording.compartments.size else 0,
            record_float=recording.dtype == "float32",
        )

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
        axial = self.axon.axial_conductance
        solver = self._build()
        v = self._patch_rests()
        for _ in range(100):
            flux = axial * np.diff(v)
            net = np.append(flux, 0.0) - np.append(0.0, flux) - current(v)
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
        record: Iterable[QuantityLike] | None = None,
        dtype: str = "float32",
    ) -> tuple[int, Recording]:
        """Steps of a run and what it keeps; arguments as those of `run`."""
        steps = self._steps(
            quantity(duration, "ms", "duration", error=SimulationError, minimum=0.0), "duration"
        )
        if every is None:
            every_steps = max(1, round(0.05 / self.dt))
        else:
            every_steps = self._steps(
                quantity(every, "ms", "every", error=SimulationError, positive=True), "every"
            )
        if dtype not in ("float32", "float64"):
            raise SimulationError(f"dtype={dtype!r}; give float32 or float64")
        if record is None:
            compartments = np.arange(self.axon.n)
        else:
            record = list(record)
            compartments = np.array([self.axon.index(at) for at in record], dtype=np.int64)
            if np.unique(compartments).size < compartments.size:
                raise SimulationError(
                    f"record={record!r}: two of the positions lie in one compartment"
                )
        return steps, Recording(compartments, every_steps, steps // every_steps + 1, dtype)

    def _steps(self, time_ms: float, name: str) -> int:
        steps = round(time_ms / self.dt)
        if abs(steps * self.dt - time_ms) > 1e-9 * max(time_ms, self.dt) or (
            name == "every" and steps < 1
        ):
            below = math.floor(time_ms / self.dt)
            near = [k * self.dt for k in (below, below + 1) if k > 0]
            raise SimulationError(
                f"{name}={time_ms:g} ms is no whole number of steps of dt={self.dt:g} ms; "
                f"give {' or '.join(f'{t:.12g}' for t in near)}"
            )
        return steps

    def run(
        self,
        duration: QuantityLike,
        *,
        output: str | os.PathLike[str] | None = None,
        every: QuantityLike | None = None,
        record: Iterable[QuantityLike] | None = None,
        dtype: str = "float32",
        overwrite: bool = False,
        progress: Progress | None = None,
        study: Mapping[str, Any] | None = None,
    ) -> Run:
        """Run from time zero.

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
        overwrite : bool, optional
            Replace an existing `output` when the run is complete.
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
        SimulationError, WriteError
        """
        steps, recording = self.recording(duration, every, record, dtype)
        header = self.header(steps, recording)
        if study is not None:
            header["study"] = dict(study)
        kernel = self._build(recording)
        kernel.set("v", self.v_init)
        kernel.set("state", self._states_init)
        kept = recording.compartments
        interval = recording.every_steps * self.dt
        if output is None:
            memory = _Memory(recording)
            self._drive(kernel, steps, recording, memory, progress)
            compartment, when = memory.spike_arrays()
            return Run.in_memory(
                header,
                self.axon.x[kept],
                kept,
                interval,
                memory.v,
                compartment,
                when,
                axon_x=self.axon.x,
                final=dict(
                    zip(
                        self._program.states,
                        kernel.get("state").reshape(-1, self.axon.n),
                        strict=True,
                    )
                ),
            )
        writer = RunWriter(
            output,
            header=header,
            x=self.axon.x[kept],
            compartments=kept,
            axon_x=self.axon.x,
            n_rows=recording.n_rows,
            interval=interval,
            dtype=dtype,
            overwrite=overwrite,
        )
        with writer:
            writer.log("kernel", isa=kernel.isa)
            self._drive(kernel, steps, recording, writer, progress)
            writer.finish()
        return open_run(output)

    def _drive(
        self,
        kernel: Kernel,
        steps: int,
        recording: Recording,
        sink: Sink,
        progress: Progress | None,
    ) -> None:
        """Advance in blocks of a fraction of a second; rows and spikes go to the sink."""
        n, m = self.axon.n, recording.compartments.size
        row_type = np.dtype(recording.dtype)
        capacity = min(recording.n_rows, max(1, ROW_BYTES // max(1, m * row_type.itemsize)))
        buffer = np.empty((capacity, m), row_type)
        spike_room = 16 * n + 1024
        spike_compartment = np.empty(spike_room, np.int64)
        spike_time = np.empty(spike_room)

        first = self.v_init[recording.compartments].astype(row_type)[None, :]
        sink.rows(first)
        done, block = 0, max(1, FIRST_BLOCK // n)
        while done < steps:
            block = min(block, MAX_BLOCK_STEPS)
            count = min(block, steps - done)
            current, damped = self._stimulation(done, count)
            began = time.perf_counter()
            status, taken, n_rows, n_spikes = kernel.advance(
                current, damped, buffer, spike_compartment, spike_time
            )
            took = time.perf_counter() - began
            done += taken
            if n_rows:
                sink.rows(buffer[:n_rows])
            if n_spikes:
                order = np.lexsort((spike_compartment[:n_spikes], spike_time[:n_spikes]))
                sink.spikes(spike_compartment[order], spike_time[order])
            if status == "diverged":
                where, v = kernel.divergence()
                raise DivergedError(
                    time=(done + 1) * self.dt, x=float(self.axon.x[where]), compartment=where, v=v
                )
            sink.state(kernel.state)
            if progress is not None:
                progress(done / steps, done * self.dt)
            if taken and status == "done":
                block = max(1, min(2 * block, int(taken * BLOCK_SECONDS / max(took, 1e-9))))

    def _stimulation(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean current of every stimulus in each of the coming steps, nA, and the damped steps.

        An edge between two steps makes the mean current jump once, and the step after it is
        damped; an edge within a step makes it jump before and after that step, and both are.
        """
        times = np.arange(first, first + count + 1) * self.dt
        current = np.zeros((count, len(self.stimuli)))
        damped = np.zeros(count, np.uint8)
        if first == 0:
            damped[0] = 1  # states that start out of balance are a discontinuity too
        slack = EDGE_SLACK * self.dt
        for k, stimulus in enumerate(self.stimuli):
            current[:, k] = stimulus.waveform.mean(times[:-1], times[1:])
            edges = stimulus.waveform.edges(times[0] - self.dt, times[-1] + slack) / self.dt - first
            for near in (np.ceil(edges - 1 + EDGE_SLACK), np.floor(edges + 1 - EDGE_SLACK)):
                inside = (near >= 0) & (near < count)
                damped[near[inside].astype(np.int64)] = 1
        return current, damped

    def header(self, steps: int, recording: Recording) -> dict[str, Any]:
        """All that a run file says of where its numbers come from, in JSON's types."""
        from axon import __version__

        tables = self._program.tables
        return {
            "axon_version": __version__,
            "axon": self.axon.to_dict(),
            "membrane": self.membrane.to_dict(),
            "stimuli": [stimulus.to_dict() for stimulus in self.stimuli],
            "simulation": {
                "dt": self.dt,
                "steps": steps,
                "duration": steps * self.dt,
                "celsius": _brief(self.celsius),
                "v_init": _brief(self.v_init),
                "method": self.method,
                "spike_threshold": self.spike_threshold,
                "table_steps": [table.v_step for table in tables],
                "table_error": max((table.error for table in tables), default=0.0),
            },
            "recording": {
                "every": recording.every_steps * self.dt,
                "rows": recording.n_rows,
                "dtype": recording.dtype,
            },
        }

    def __repr__(self) -> str:
        return (
            f"Simulation({self.axon!r}, {self.membrane.name or 'membrane'}, "
            f"{len(self.stimuli)} stimuli, dt={self.dt:g} ms)"
        )


class _Memory:
    """The sink of a run without a file."""

    def __init__(self, recording: Recording) -> None:
        self.v = np.empty((recording.n_rows, recording.compartments.size), recording.dtype)
        self._filled = 0
        self._spikes: list[tuple[np.ndarray, np.ndarray]] = []

    def rows(self, block: np.ndarray) -> None:
        self.v[self._filled : self._filled + len(block)] = block
        self._filled += len(block)

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None:
        self._spikes.append((compartment, time))

    def state(self, get_state: Callable[[], dict[str, np.ndarray]]) -> None:
        """Nothing is kept to go on from."""

    def spike_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        compartments = [np.zeros(0, np.int64), *(c for c, _ in self._spikes)]
        times = [np.zeros(0), *(t for _, t in self._spikes)]
        return np.concatenate(compartments), np.concatenate(times)


def _along(value: Any, x: np.ndarray, unit: str, name: str) -> npt.NDArray[np.float64]:
    """A quantity, array or function of position as one value or one per compartment."""
    if isinstance(value, (int, float, str, bool)) or (
        hasattr(value, "magnitude") and np.ndim(value.magnitude) == 0
    ):
        return np.array([quantity(value, unit, name, error=SimulationError)])
    try:
        return resolve(value, x, name)
    except MembraneError as error:
        raise SimulationError(str(error)) from None


def _brief(values: np.ndarray) -> float | list[float]:
    """One number for a uniform array."""
    return float(values[0]) if np.all(values == values[0]) else values.tolist()
