"""Gates, concentrations and currents at one place of any run, found again from its potential.

A run records V alone. As long as ions don't diffuse along the axon, what a patch of membrane does
follows from V there: so the kernel runs the one compartment once more, step by step, under the
potential that was recorded. All else that it needs is data that the run holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from axon._kernel import V_LIMIT, Kernel, apply
from axon.config import instruction_set
from axon.equations import BEGINNING, Equations
from axon.errors import AxonError, NoSpikeError, RunFileError, SimulationError
from axon.program import FIRST_STATE
from axon.records import Record
from axon.runfile import readable
from axon.units import FloatArray, PositionLike, QuantityLike, quantity

if TYPE_CHECKING:
    from axon.runs import Run

LONGEST_INTERVAL = 0.25
"""Between rows, ms: across longer ones an impulse may do anything."""

_MOST_STEPS = 10_000  # from row to row
_MOST_VALUES = 2**27  # of states and currents, all rows together: 1 GiB
_VALUES_AT_ONCE = 2**22  # of the program's slots
_AREA = 1.0  # of a compartment, 1e-2 µm²
_INERTIA = 1e18  # µF/cm²: no current of a membrane moves such a potential by a bit
_NO_CONDUCTANCE = 1e-60  # µS: the kernel wants more than 0
_NODES = 6  # rows between which a polynomial goes
_NO_ROWS = np.empty((0, 0), np.float32)
_POINTS_AT_ONCE = 2**16  # of it, at which it is computed
_APART = 1e-9  # of the largest current: how far the parts may be from the sum
_NAME = re.compile(r"\w+(\.\w+)*")


class Patch(Record):
    """What a patch of membrane did during a run.

    Attributes
    ----------
    compartment : int
        Where.
    x : float
        The same in µm from the axon's origin.
    time : array (rows,)
        ms.
    v : array (rows,)
        Membrane potential, mV.
    states : dict of str to array (rows,)
        Gates such as ``na.m``, and the states of schemes.
    concentrations : dict of str to array (rows,)
        What pools move, such as ``cai``, mM; bound fractions of buffers such as ``cai.calmodulin``.
    carried : dict of (str, str or None) to array (rows,)
        Current by the channel or pump and the ion that carries it, mA/cm², outward positive. Under
        None stands what no particular ion carries; and where several ions share a channel whose
        concentrations don't move, what these carry together.
    capacitive : array (rows,)
        cm dV/dt, mA/cm².
    cm : float
        Capacitance, µF/cm².
    perimeter : float
        Membrane area by length, µm: that of a cylinder is π times its diameter.
    pumps : tuple of str
        Which names in `currents` are pumps.
    v_error : float
        How far, at the most, the potential between rows was uncertain, mV: by how much polynomials
        through four and through six rows differ. Record more rows where that matters.
    """

    compartment: int
    x: float
    time: FloatArray
    v: FloatArray
    states: dict[str, FloatArray]
    concentrations: dict[str, FloatArray]
    carried: dict[tuple[str, str | None], FloatArray]
    capacitive: FloatArray
    cm: float
    perimeter: float
    pumps: tuple[str, ...]
    v_error: float

    @property
    def currents(self) -> dict[str, FloatArray]:
        """Current of every channel and pump, mA/cm², outward positive."""
        return _summed(self.carried, 0)

    @property
    def ionic(self) -> dict[str | None, FloatArray]:
        """Current of every ion, mA/cm², outward positive; None for no particular one."""
        return _summed(self.carried, 1)

    def __repr__(self) -> str:
        return (
            f"<Patch at {self.x:g} um: {len(self.time)} rows of {len(self.states)} gates, "
            f"{len(self.concentrations)} concentrations and {len(self.currents)} currents>"
        )


def membrane_at(run: Run, at: PositionLike, until: QuantityLike | None = None) -> Patch:
    """Gates, concentrations and currents at one place of a run.

    The kernel advances the membrane there, with the time steps of the run, under the recorded
    potential; between rows that is a polynomial through the six nearest. Gates and concentrations
    lie on half steps and are given as means of two. With a row at every step they are what the run
    had, but for the rounding of the recorded potential.

    Parameters
    ----------
    run : Run
        In memory or of a file, finished or still growing.
    at : position
        Where, µm: the nearest recorded compartment.
    until : float or quantity, optional
        The last time that is wanted, ms; the end of the run if not given.

    Returns
    -------
    Patch

    Raises
    ------
    SimulationError
        If an ion diffuses along the axon, rows are too far apart, or there are too many.
    NoSpikeError, UnitError
        If no place is recorded, or `at` is none.
    RunFileError
        If the run doesn't hold its equations, or something in it doesn't fit together.

    Notes
    -----
    With rows 0.05 ms apart the currents of the squid axon are good to 2e-5 of their peaks, those of
    the published C-fibres to 0.03 to 6 %, as fast as their potential rises: docs/accuracy.md.

    Examples
    --------
    >>> run = axon.run("squid")
    >>> there = axon.membrane_at(run, "50 mm")
    >>> list(there.currents), list(there.states)
    (['na', 'k', 'leak'], ['na.m', 'na.h', 'k.n'])
    """
    return Replay(run, at, until).patch()


class Replay:
    """A compartment of a run, run again under the potential that was recorded there."""

    def __init__(self, run: Run, at: PositionLike, until: QuantityLike | None = None) -> None:
        end = np.inf if until is None else quantity(until, "ms", "until", finite=False)
        if not len(run.x):
            raise NoSpikeError("no place is recorded, so there is nothing to go by")
        site = run.site(at)
        self.x, self.compartment = float(run.x[site]), int(run.compartments[site])
        self._name = run.name
        with _reading(run.name):
            self.time = run.time[: max(1, np.searchsorted(run.time, end, "right"))]
            self._set_up(run)
        self._refuse(run)
        with _reading(run.name):
            self.v = np.asarray(run.v[: len(self.time), site], np.float64)
            self._go()

    def _set_up(self, run: Run) -> None:
        inputs, c = run.inputs, self.compartment
        if BEGINNING not in inputs:
            raise RunFileError(
                "it doesn't hold both what the membrane is and where it began, as files of an "
                "older axon don't: run it again"
            )
        simulation = run.header["simulation"]
        self.dt, self._start = run.dt, simulation["begin"]
        self._every, self._method = run.header["recording"]["every_steps"], simulation["method"]
        self._mechanisms_told = run.header["membrane"]
        if (
            type(self._every) is not int
            or type(self._start) is not int
            or not (0 < self._every <= _MOST_STEPS and self._start >= 0 < self.dt)
            or not len(self.time)
        ):
            raise RunFileError("what it says of its rows does not fit together")
        patch = {name: a for name, a in inputs.items() if not name.startswith("electrode_")}
        equations = Equations.from_arrays(
            patch,
            dt=self.dt,
            method=self._method,
            spike_threshold=V_LIMIT,
            x=run.axon_x,
            waveforms=(),
        )
        self._changes = [step for step, _ in equations.later]
        program, n, begin = equations.program, equations.n, inputs[BEGINNING]
        shape = len(program.states), len(run.axon_x)
        if n != shape[1] or begin.shape != shape or begin.dtype != np.float64:
            raise RunFileError("its arrays are not of one axon")
        if not all(p.size in (1, n) for p in program.params):
            raise RunFileError("a parameter has neither one value nor one per compartment")
        self.program = replace(
            program, params=tuple(p if p.size == 1 else p[c : c + 1] for p in program.params)
        )
        self._begin = np.ascontiguousarray(begin[:, c])
        self.cm = float(1e3 * equations.capacitance[c] / equations.area[c])
        if run.tree is None:
            self.perimeter = float(1e2 * equations.area[c] / (2.0 * run.axon_x[0]))
        else:
            self.perimeter = float(np.pi * run.tree.diameter[c])
        if not (0.0 < self.cm < np.inf and 0.0 < self.perimeter < np.inf):
            raise RunFileError("its axon has no surface")
        self.kinds = {
            name: kind
            for name, _, kind in (p.partition(":") for p in program.param_names)
            if kind in ("gbar", "density")
        }
        self.ions = [
            program.states[slope].removeprefix("i").removesuffix(":slope")
            for slope, _ in program.ions
        ]
        shown = (*self.kinds, *self.ions, *(name for name in program.states if ":" not in name))
        for name in shown:
            if not _NAME.fullmatch(name):
                raise RunFileError(f"it has the name {name!r}")

    def _refuse(self, run: Run) -> None:
        if self.program.diffusions:
            raise SimulationError(
                "an ion diffuses along the axon: what the membrane does at one place doesn't "
                "follow from the potential there"
            )
        if self._changes and round(self.time[-1] / self.dt) > self._changes[0]:
            raise SimulationError(
                f"the membrane changes at {self._changes[0] * self.dt:g} ms, and only what was "
                "before is found again: give an earlier until"
            )
        if run.interval > LONGEST_INTERVAL and self._every > 1:
            raise SimulationError(
                f"rows are {run.interval:g} ms apart, and the potential between them isn't known; "
                f"record one every {LONGEST_INTERVAL:g} ms or more often"
            )
        each = 3 * self._begin.size + 2 * len(self.kinds) * (1 + len(self.ions))
        if len(self.time) * each > _MOST_VALUES:
            raise SimulationError(
                f"gates and currents of {len(self.time)} rows would take more than "
                f"{_MOST_VALUES >> 27} GiB; give an earlier until"
            )

    def kernel(
        self, n: int, *, capacitance: float, threshold: float, driven: bool = False
    ) -> Kernel:
        """Compartments of this membrane that don't know each other; a current drives the first.

        `capacitance` in µF/cm², `threshold` of spikes in mV.
        """
        sources = np.zeros(int(driven), np.int64)
        return Kernel(
            area=np.full(n, _AREA),
            capacitance=np.full(n, 1e-3 * _AREA * capacitance),
            axial=np.full(n - 1, _NO_CONDUCTANCE),
            program=self.program,
            sources=(len(sources), sources, sources.astype(np.int32), np.ones(len(sources))),
            dt=self.dt,
            backward_euler=self._method == "backward-euler",
            spike_threshold=threshold,
            isa=instruction_set(),
            recorded=np.zeros(0, np.int64),
            record_every=0,
            record_float=True,
        )

    def _go(self) -> None:
        """States at each row: the means of those half a step before and after it."""
        kernel = self.kernel(1, capacitance=_INERTIA, threshold=V_LIMIT, driven=True)
        kernel.set("step", [self._start])
        kernel.set("state", self._begin)
        rows, every = len(self.v), self._every
        nodes, side = min(rows, _NODES), _NODES // 2 - 1  # as many on each side of an interval
        steps = np.arange(every + 1) / every
        weights = np.array([_polynomial(nodes, k + steps) for k in range(nodes)])
        earlier = np.empty((rows, self._begin.size))
        later = np.empty_like(earlier)
        self._slope = np.zeros(rows)
        # A run may begin off the grid of its rows: then some steps come before the first.
        lead = -self._start % every
        self._impose(kernel, _polynomial(nodes, np.arange(-lead, 1) / every) @ self.v[:nodes])
        at_once = max(1, _POINTS_AT_ONCE // len(steps))
        for begin in range(0, rows, at_once):
            some = np.arange(begin, min(begin + at_once, rows))
            first = np.clip(some - side, 0, rows - nodes)
            paths = np.zeros((len(some), len(steps)))
            for k in range(nodes):
                paths += weights[some - first, :, k] * self.v[first + k, np.newaxis]
            for row, path in zip(some.tolist(), paths, strict=True):
                earlier[row] = kernel.get("state")
                self._impose(kernel, path[:2])
                later[row] = kernel.get("state")
                if every > 1 and row + 1 < rows:
                    self._impose(kernel, path[1:])
            ends = some[some + 1 < rows]
            here = paths[: len(ends)]
            self._slope[ends] += (here[:, 1] - here[:, 0]) / (2.0 * self.dt)
            self._slope[ends + 1] += (here[:, -1] - here[:, -2]) / (2.0 * self.dt)
        self._slope[[0, -1]] *= 2.0  # of one side only
        if self._start == 0:  # where everything lies on a whole step
            earlier[0] = later[0] = self._begin
        self.states = 0.5 * (earlier + later).T

    def _impose(self, kernel: Kernel, path: FloatArray) -> None:
        """Take the kernel's compartment along a path of potentials, mV, one a step."""
        kernel.set("v", path[:1])
        current = 1e-3 * _AREA * _INERTIA / self.dt * (path[1:] - path[:-1])
        if advance(kernel, current[:, np.newaxis]) is None:
            raise RunFileError("its potential is out of all bounds")

    # ---- what there is at each row --------------------------------------------------------

    def patch(self) -> Patch:
        """All of it."""
        named = dict(zip(self.program.states, self.states, strict=True))
        shown = {name: values for name, values in named.items() if ":" not in name}
        moved = {name for name in shown if f"{name}:rate" in named}
        with _reading(self._name):
            carried = self._carried()
        return Patch(
            compartment=self.compartment,
            x=self.x,
            time=self.time,
            v=self.v,
            states={name: values for name, values in shown.items() if name not in moved},
            concentrations={name: values for name, values in shown.items() if name in moved},
            carried=carried,
            capacitive=1e-3 * self.cm * self._slope,
            cm=self.cm,
            perimeter=self.perimeter,
            pumps=tuple(name for name, kind in self.kinds.items() if kind == "density"),
            v_error=0.0 if self._every == 1 else _uncertainty(self.v),
        )

    def _carried(self) -> dict[tuple[str, str | None], FloatArray]:
        """Currents by mechanism and ion.

        Every current vanishes with its conductance, or its density of pumps: so that of a
        mechanism is what is left when those of all others are 0. That they add up is checked.
        """
        none = {f"{name}:{kind}": 0.0 for name, kind in self.kinds.items()}
        whole = self._currents({})
        if not np.isfinite(whole).all():
            raise RunFileError("its currents are no numbers")
        carried: dict[tuple[str, str | None], FloatArray] = {}
        left = whole.copy()
        for name, kind in self.kinds.items():
            own = self._currents(none | {f"{name}:{kind}": 1.0})
            left -= own
            shares = self._shares(name)
            for ion, share in shares.items():
                carried[name, ion] = share * own[0]
            for ion, current in zip(self.ions, own[1:], strict=True):
                if current.any():
                    carried[name, ion] = current
        if np.abs(left).max(initial=0.0) > _APART * np.abs(whole).max(initial=0.0):
            raise RunFileError(
                "the currents of its channels don't add up: one doesn't vanish with its gbar"
            )
        return carried

    def _currents(self, scale: dict[str, float]) -> FloatArray:
        """Of ions whose concentrations stay, together, and of each other ion: (1 + ions, rows)."""
        v, states = self.v, self.states
        block = max(1, _VALUES_AT_ONCE // (1 + len(states) + self.program.n_temps))
        starts = range(0, len(v), block)
        parts = [self._evaluated(v[k : k + block], states[:, k : k + block], scale) for k in starts]
        return np.concatenate(parts, axis=1)

    def _evaluated(self, v: FloatArray, states: FloatArray, scale: dict[str, float]) -> FloatArray:
        """What the kernel would compute of these potentials and states, without moving them."""
        program, isa = self.program, instruction_set()
        params = [
            p[0] * scale.get(name, 1.0)
            for name, p in zip(program.param_names, program.params, strict=True)
        ]
        numbers = [*params, *program.consts, *(program.multiples * self.dt)]
        slots: dict[int, Any] = dict(enumerate([v, self.dt, *states, *numbers]))
        first_held = len(slots)
        for table in program.tables:
            slots |= table.looked_up(v)
        # Gates and concentrations stay; only the ions' currents, which are states too, are written.
        ions = [(FIRST_STATE + slope, FIRST_STATE + offset) for slope, offset in program.ions]
        written = {slot for pair in ions for slot in pair}
        for op, out, *operands in program.code:
            if out >= first_held or out in written:
                slots[out] = apply(isa, op, *(slots[k] for k in operands if k >= 0))
        found = np.zeros((1 + len(ions), len(v)))
        for row, (slope, offset) in enumerate([(program.slope_slot, program.offset_slot), *ions]):
            if slope >= 0:
                found[row] += slots[slope] * v - slots[offset]
        for gbar, reversal, factors, ion in program.terms:
            g = slots[gbar]
            for slot, power in factors:
                g = g * slots[slot] ** power
            found[1 + ion] += g * (v - slots[reversal])
        return found

    def _shares(self, name: str) -> dict[str | None, float]:
        """Which ions carry how much of a current that moves no concentration."""
        pump = self.kinds[name] == "density"
        told = self._mechanisms_told["pumps" if pump else "channels"]
        carriers = {m["name"]: m["carries" if pump else "ion"] for m in told}[name]
        if not isinstance(carriers, dict):
            carriers = {carriers: 1.0}
        still = {ion: share for ion, share in carriers.items() if ion not in self.ions}
        for ion in still:
            if ion is not None and not _NAME.fullmatch(ion):
                raise RunFileError(f"an ion has the name {ion!r}")
        if len(still) < 2:
            return dict.fromkeys(still, 1.0)
        total = sum(still.values()) if pump else 0.0
        return {ion: share / total for ion, share in still.items()} if total else {None: 1.0}


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Whatever is wrong inside lies in the run."""
    with readable(Path(name)):
        try:
            yield
        except RunFileError:
            raise
        except AxonError as error:
            raise RunFileError(str(error)) from error


def advance(kernel: Kernel, current: FloatArray) -> np.ndarray | None:
    """Take a step for each row of currents; the compartments that spiked, None if it ran away."""
    room = 2 * kernel.n
    compartment, time = np.empty(room, np.int64), np.empty(room)
    quiet, spiked, done = np.zeros(len(current)), [np.empty(0, np.int64)], 0
    while done < len(current):
        word, taken, _, spikes = kernel.advance(
            current[done:], quiet[done:], _NO_ROWS, compartment, time
        )
        if word == "diverged":
            return None
        if spikes:
            spiked.append(compartment[:spikes].copy())
        done += taken
    return np.concatenate(spiked) if len(spiked) > 1 else spiked[0]


def _polynomial(nodes: int, places: FloatArray) -> FloatArray:
    """Weights of values at 0, 1, ... in the polynomial through them, at `places`."""
    weights = np.ones((len(places), nodes))
    for i in range(nodes):
        for j in range(nodes):
            if i != j:
                weights[:, i] *= (places - j) / (i - j)
    return weights


def _uncertainty(v: FloatArray) -> float:
    """By how much polynomials through four and six values differ half way between two, mV."""
    if len(v) < _NODES:
        return float("inf")
    six, four = (_polynomial(n, np.array([(n - 1) / 2]))[0] for n in (_NODES, 4))
    six[1:-1] -= four
    return float(np.abs(np.convolve(v, six, "valid")).max())


def _summed(carried: dict[tuple[str, str | None], FloatArray], part: int) -> dict[Any, FloatArray]:
    """Currents added up by one of both parts of their names."""
    sums: dict[Any, FloatArray] = {}
    for key, current in carried.items():
        sums[key[part]] = sums[key[part]] + current if key[part] in sums else current
    return sums
