"""The membrane as data: what the kernel runs, lowered once from a `Membrane`."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from axon._kernel import MAX_HELD
from axon.changes import Epoch
from axon.channels import Channel, Gate, Markov
from axon.errors import MembraneError
from axon.membranes import Membrane
from axon.rates import resolve
from axon.records import Record
from axon.rest import GROWN
from axon.still import gathered, straightened
from axon.sums import regrouped
from axon.tables import (
    V_MAX,
    V_MIN,
    Table,
    blocks_from_older,
    build_tables,
    fit_gate,
    fit_value,
)
from axon.trace import Instruction, Recorder, Symbol

# Slots are numbered: potential, time step, states, parameters, constants, multiples of the time
# step, what is held between slow steps, temporaries.
V_SLOT, DT_SLOT, FIRST_STATE = 0, 1, 2

V_MIDDLE = "v:middle"
"""State that the kernel keeps: V half a step ago, at which currents moved the pools."""

SLOW_GATE = 0.75
"""A gate is slow whose time constant is nowhere shorter, ms: thirty times the longest slow step
that moves gates."""

REACHED = np.arange(-100.0, 61.0)
"""Potentials at which this is asked, mV: those between which impulses go to and fro."""

Factors = tuple[tuple[int, int], ...]
"""States' slots, and their powers."""

Term = tuple[int, int, Factors, int]


class Program(Record):
    """Tables, instructions and arrays; meanings in ``csrc/axon.h``.

    Attributes
    ----------
    states : tuple of str
        Name of every state.
    params : tuple of array
        Parameters, each with one value or one per compartment.
    param_names : tuple of str
    consts : array
    multiples : array
        Of the time step.
    n_temps : int
    tables : tuple of Table
        Gates, and parts of expressions, that depend on the potential alone.
    code : tuple of (operation, destination, operand, operand, operand)
    middle_state : int
        State in which the kernel leaves V half a step ago, or -1.
    slope_slot, offset_slot : int
        Where the program leaves S/cm² and mA/cm² of its own current, slope v - offset; -1 when
        it has none besides those of `ions`.
    terms : tuple of (gbar slot, reversal slot, ((state slot, power), ...), ion)
        Ohmic currents; those of one ion follow one another, -1 is none in particular.
    ions : tuple of (state, state)
        Where the program leaves slope and offset of each ion's current, and the ohmic terms of
        this ion are added.
    diffusions : tuple of (state, state, coefficient)
        What diffuses along the axon; in the second state the kernel leaves, before each step,
        how fast it thereby grows. µm²/ms.
    stride : int
        Every so many steps what is slow moves, by as many time steps at once.
    n_held : int
        What is computed only then, and held in between, in slots of its own.
    stretches : (int, int, int)
        Where the first three stretches of the code end: what runs before all else in every step;
        what moves slow states; and what is held. The rest runs in every step again.
    """

    states: tuple[str, ...]
    params: tuple[np.ndarray, ...]
    param_names: tuple[str, ...]
    consts: np.ndarray
    multiples: np.ndarray
    n_temps: int
    tables: tuple[Table, ...]
    code: tuple[Instruction, ...]
    middle_state: int
    slope_slot: int
    offset_slot: int
    terms: tuple[Term, ...]
    ions: tuple[tuple[int, int], ...]
    diffusions: tuple[tuple[int, int, float], ...] = ()
    stride: int = 1
    n_held: int = 0
    stretches: tuple[int, int, int] = (0, 0, 0)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it as plain arrays, of numbers and bytes: what a file holds.

        Returns
        -------
        dict of str to array
            float64, int32 and, of JSON text, uint8; none has more than four dimensions.
        """
        operations = list(dict.fromkeys(op for op, *_ in self.code))
        names = {"states": self.states, "params": self.param_names, "operations": operations}
        code = [(operations.index(op), *slots) for op, *slots in self.code]
        terms = [(gbar, e, len(factors), ion) for gbar, e, factors, ion in self.terms]
        factors = [factor for _, _, factors, _ in self.terms for factor in factors]
        slots = [self.n_temps, self.middle_state, self.slope_slot, self.offset_slot]
        if self.stride > 1:
            slots += [self.stride, self.n_held, *self.stretches]
            slots += [table.slow for table in self.tables]
        arrays = {
            "names": np.frombuffer(json.dumps(names).encode(), np.uint8),
            "params": np.concatenate([np.zeros(0), *self.params]),
            "param_lengths": _int32([p.size for p in self.params]),
            "consts": self.consts,
            "multiples": self.multiples,
            "code": _int32(code, 5),
            "terms": _int32(terms, 4),
            "factors": _int32(factors, 2),
            "ions": _int32(self.ions, 2),
            "diffusions": _int32([states for *states, _ in self.diffusions], 2),
            "diffusion_coefficients": np.array([d for *_, d in self.diffusions], np.float64),
            "slots": _int32(slots),
        }
        for i, table in enumerate(self.tables):
            arrays[f"table{i}_gates"] = _int32(table.gates)
            arrays[f"table{i}_values"] = _int32(table.values)
            arrays[f"table{i}_bins"] = np.array([table.v_min, table.v_step, table.error])
            arrays[f"table{i}_blocks"] = table.cubics
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Program:
        """The program that `to_arrays` took apart, to the bit.

        Nothing in the arrays is trusted. Their shapes and names are checked here, what they
        mean by the kernel, before it runs: nothing in them is ever executed but the kernel's
        own operations.

        Raises
        ------
        MembraneError
            If an array is missing or isn't what it should be.
        """
        left = dict(arrays)

        def take(name: str, dtype: Any, *shape: int) -> np.ndarray:
            found = left.pop(name, None)
            if not isinstance(found, np.ndarray) or found.dtype != dtype:
                raise MembraneError(f"saved program: {name} is missing or no {np.dtype(dtype)}")
            wanted = tuple(
                size if k < 0 else k for k, size in zip(shape, found.shape, strict=False)
            )
            if found.ndim != len(shape) or found.shape != wanted:
                raise MembraneError(f"saved program: {name} has shape {found.shape}")
            return found

        states, param_names, operations = _names(take("names", np.uint8, -1).tobytes())
        lengths = take("param_lengths", np.int32, len(param_names))
        values = take("params", np.float64, -1)
        if np.any(lengths < 0) or lengths.sum(dtype=np.int64) != values.size:
            raise MembraneError("saved program: param_lengths do not add up to the params")
        code = take("code", np.int32, -1, 5).tolist()
        if any(not 0 <= op < len(operations) for op, *_ in code):
            raise MembraneError("saved program: code names an operation that isn't listed")
        factors = iter(map(tuple, take("factors", np.int32, -1, 2).tolist()))
        terms = []
        for gbar, e, count, ion in take("terms", np.int32, -1, 4).tolist():
            terms.append((gbar, e, tuple(islice(factors, max(count, 0))), ion))
            if len(terms[-1][2]) != count:
                raise MembraneError("saved program: terms have more factors than there are")
        if next(factors, None) is not None:
            raise MembraneError("saved program: there are factors that no term has")
        slots = take("slots", np.int32, -1).tolist()
        if len(slots) == 4:
            slots += [1, 0, 0, 0, 0]  # nothing is slow
        n_tables = sum(name.endswith("_gates") for name in left)
        if len(slots) == 9:
            slots += [0] * n_tables
        if len(slots) != 9 + n_tables or not {0, 1}.issuperset(slots[9:]):
            raise MembraneError(f"saved program: slots has {len(slots)} numbers")
        n_temps, middle_state, slope_slot, offset_slot, stride, n_held, *ends = slots[:9]
        slow_tables = list(map(bool, slots[9:]))
        tables: list[Table] = []
        while f"table{len(tables)}_gates" in left:
            name = f"table{len(tables)}_"
            gates = take(name + "gates", np.int32, -1)
            looked_up = take(name + "values", np.int32, -1)
            v_min, v_step, error = take(name + "bins", np.float64, 3).tolist()
            if name + "cubics" in left:
                older = take(name + "cubics", np.float32, -1, -1, 4, 8)
                cubics = blocks_from_older(older, len(gates), len(looked_up))
            else:
                cubics = take(name + "blocks", np.float32, -1, -1, 4, 8)
            tables.append(
                Table(
                    tuple(gates.tolist()), tuple(looked_up.tolist()),
                    v_min, v_step, len(cubics), cubics, error, slow_tables[len(tables)],
                )
            )  # fmt: skip
        diffusing = take("diffusions", np.int32, -1, 2).tolist()
        coefficients = take("diffusion_coefficients", np.float64, len(diffusing)).tolist()
        program = cls(
            states=states,
            params=tuple(np.split(values, np.cumsum(lengths)[:-1])) if len(lengths) else (),
            param_names=param_names,
            consts=take("consts", np.float64, -1),
            multiples=take("multiples", np.float64, -1),
            n_temps=n_temps,
            tables=tuple(tables),
            code=tuple((operations[op], a, b, c, d) for op, a, b, c, d in code),
            middle_state=middle_state,
            slope_slot=slope_slot,
            offset_slot=offset_slot,
            terms=tuple(terms),
            ions=tuple((a, b) for a, b in take("ions", np.int32, -1, 2).tolist()),
            diffusions=tuple((a, b, d) for (a, b), d in zip(diffusing, coefficients, strict=True)),
            stride=stride,
            n_held=n_held,
            stretches=(ends[0], ends[1], ends[2]),
        )
        if left:
            raise MembraneError(f"saved program: nobody knows {', '.join(sorted(left))}")
        return program


def _int32(values: Any, width: int | None = None) -> np.ndarray:
    array = np.array(values, dtype=np.int32)
    return array if width is None else array.reshape(-1, width)


def _names(text: bytes) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """States, parameters and operations of a saved program."""
    try:
        names = json.loads(text)
        lists = [names[key] for key in ("states", "params", "operations")]
        if not all(isinstance(name, str) for names in lists for name in names):
            raise TypeError
        states, params, operations = (tuple(names) for names in lists)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MembraneError("saved program: names is not JSON as it should be") from None
    return states, params, operations


def saved_state_names(text: bytes) -> tuple[str, ...]:
    """Names of the states of a saved program, from the array ``names`` of it.

    Raises
    ------
    MembraneError
        If it isn't what it should be.
    """
    return _names(text)[0]


def state_names(membrane: Membrane, stride: int = 1) -> tuple[str, ...]:
    """Name of every state, in the order in which the kernel holds them.

    Gates first, then the concentrations that pools move and the bound fractions of buffers,
    how fast each of these changed last, how fast by diffusion alone, and the last current of
    every pool's ion as slope v - offset; where pools move with every `stride`-th step, also the sum
    of these currents since.
    """
    names = []
    for channel, gate in membrane.gates:
        if isinstance(gate, Markov):
            names += [f"{channel.name}.{gate.name}.{state}" for state in gate.states]
        elif not gate.instantaneous:
            names.append(f"{channel.name}.{gate.name}")
    moved = list(membrane.initial_concentrations)
    names += [*moved, *(f"{name}:rate" for name in moved)]
    names += [f"{name}:diffusion" for name in diffusing(membrane)]
    for ion in _pooled(membrane):
        names += [f"i{ion}:slope", f"i{ion}:offset"]
    if slow_pools(membrane, stride):
        names += [f"i{ion}:sum" for ion in _pooled(membrane)]
    return (*names, V_MIDDLE) if moved else tuple(names)


def initial_states(
    membrane: Membrane,
    x: np.ndarray,
    celsius: np.ndarray,
    v: np.ndarray,
    per_current: Mapping[str, np.ndarray] | None = None,
    concentrations: Mapping[str, float] | None = None,
    stride: int = 1,
) -> np.ndarray:
    """Every state at time zero, shape (states, n): gates steady for `v`.

    Parameters
    ----------
    x, celsius, v : array
        Centres (µm), temperature (°C; one value or one a compartment), potential (mV).
    per_current : mapping, optional
        What each pool gains from 1 mA/cm², mM/ms.
    concentrations : mapping, optional
        What pools move, where that differs from the membrane's own beginning.
    stride : int, optional
        Of the program.
    """
    moved = {**membrane.initial_concentrations, **(concentrations or {})}
    quantities = membrane.quantities(v, celsius, moved)
    steady = membrane.steady_gates(quantities)
    values: list[Any] = []
    for channel, gate in membrane.gates:
        if isinstance(gate, Markov):
            values.extend(gate.at(quantities))
        elif not gate.instantaneous:
            values.append(steady[channel.name, gate.name])
    if moved:
        currents = membrane.ion_currents(quantities, steady, x)
        rates = membrane.pool_rates(currents, moved, per_current or {})
        values += [*moved.values(), *(rates[name] for name in moved)]
        values += [0.0 for _ in diffusing(membrane)]  # they begin the same all along
        for ion in _pooled(membrane):
            values += [0.0, -currents.get(ion, 0.0)]
        if slow_pools(membrane, stride):  # as if it had flowed so before
            values += [(stride - 1.0) * currents.get(ion, 0.0) for ion in _pooled(membrane)]
        values.append(v)
    return np.array([np.broadcast_to(value, v.shape) for value in values]).reshape(-1, v.size)


def lower(
    membrane: Membrane,
    x: np.ndarray,
    celsius: np.ndarray,
    dt: float,
    per_current: Mapping[str, np.ndarray] | None = None,
    since: Epoch | None = None,
    alike: Hashable | None = None,
    stride: int = 1,
    smooth: bool = True,
) -> Program:
    """Turn a membrane into data.

    Parameters
    ----------
    x : array (n,)
        Centres of the compartments, µm.
    celsius : array (1,) or (n,)
        Temperature, uniform or along the axon, °C.
    dt : float
        Time step, ms.
    per_current : mapping, optional
        What each pool gains from 1 mA/cm², mM/ms, by the concentration's name.
    since : Epoch, optional
        What there was before, if the program is that of the first step after a change: states
        are half a step older than the potential, so they move by what there was for half a step
        yet. The currents are the new membrane's.
    alike : hashable, optional
        What ``membrane.alike()`` has returned, if that is known.
    stride : int, optional
        Every how many steps concentrations, and gates that are slow, move.
    smooth : bool, optional
        Whether V moves so little within as many steps that gates which follow it slowly may do so
        too.
    """
    missing = [name for name in _concentrations(membrane) if name not in (per_current or {})]
    if missing:
        raise MembraneError(f"per_current says nothing of {', '.join(missing)}")
    values = parameters(membrane, x, celsius, per_current or {})
    parts = [_Part(membrane, celsius)]
    if since is not None:
        parts.insert(0, _Part(since.membrane, since.celsius))
        values["celsius before"] = since.celsius
    key = ("program", dt, stride, smooth, *(part.warmth for part in parts))
    before = [part.membrane for part in parts[:-1]]
    program = membrane.once(
        key, lambda: _Lowering(parts, dt, stride, smooth).program(), others=before, alike=alike
    )
    return replace(program, params=tuple(values[name] for name in program.param_names))


def parameters(
    membrane: Membrane, x: np.ndarray, celsius: np.ndarray, per_current: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What may differ from axon to axon, by name: one value each, or one per compartment."""
    values = {"celsius": celsius}
    for channel in membrane.channels:
        values[f"{channel.name}:gbar"] = channel.conductance(x, celsius)
        if channel.reversal is not None:
            what = f"channel {channel.name!r}: reversal"
            values[f"{channel.name}:reversal"] = resolve(channel.reversal, x, what)
    for pump in membrane.pumps:
        values[f"{pump.name}:density"] = pump.factor(x)
    for name, gain in per_current.items():
        values[f"{name}:per_current"] = gain[:1] if np.all(gain == gain[0]) else gain
    return values


def _concentrations(membrane: Membrane) -> list[str]:
    """Names of the concentrations that pools move."""
    return [pool.concentration for pool in membrane.pools]


def diffusing(membrane: Membrane) -> dict[str, float]:
    """Concentrations that diffuse along the axon, and how fast, µm²/ms."""
    return {p.concentration: p.diffusion for p in membrane.pools if p.diffusion is not None}


def slow_pools(membrane: Membrane, stride: int) -> bool:
    """Whether concentrations move with every `stride`-th step only: not where ions diffuse, whose
    method is stable for short time steps only."""
    return stride > 1 and bool(membrane.pools) and not diffusing(membrane)


def _pooled(membrane: Membrane) -> tuple[str, ...]:
    """Ions whose current moves a concentration."""
    return tuple(dict.fromkeys(pool.ion for pool in membrane.pools))


class _Part(NamedTuple):
    """By what states move, in a step or in half of one."""

    membrane: Membrane
    celsius: np.ndarray

    @property
    def warmth(self) -> tuple[float, ...]:
        """All that code and tables depend on of the temperature: itself, or its range."""
        if self.celsius.size == 1:
            return (float(self.celsius[0]),)
        return float(self.celsius.min()), float(self.celsius.max())


class _Lowering:
    """A membrane on its way to becoming a program.

    A step of the kernel begins, along the whole cable, with how fast what diffuses grows by that.
    Then it does this, block by block:

    tables  gates whose rates depend on V(t) alone go from t - dt/2 to t + dt/2, and what else
            depends on V(t) alone is looked up;
    before  concentrations go from t - dt/2 to t + dt/2 by the currents of the last step, known
            exactly at its middle, after Adams and Bashforth; so does every other gate, by rates
            at V(t) and the concentrations' mean;
    after   currents at V(t), with gates and concentrations of t + dt/2, and their slopes.

    With a stride above 1 concentrations, and gates that are slow, go from t - stride dt/2 to
    t + stride dt/2, with every so many steps only, by tables and stretches of code of their own.

    counted in every step, currents of the last are added to what flowed since the last slow one;
    moves   in a slow step, concentrations go by the mean of these;
    held    then, what follows from concentrations and slow gates alone.

    The stretches of code are expressions in one recorder. Each reads a state as it is when
    the stretch begins, and writes it at its end.

    In the first step after a change a gate moves by its old rates for half a step, and by its new
    ones for the other half. Where one half is in the code, or in a table of narrower bins, it comes
    last, which makes a difference of second order in dt, once. Concentrations move by their old
    rates: those at t - dt/2 count for the whole of the last step, and what the new ones would have
    added to this one is made up for by the next.
    """

    def __init__(self, parts: Sequence[_Part], dt: float, stride: int, smooth: bool) -> None:
        self.parts, self.dt, self.stride, self.smooth = parts, dt, stride, smooth
        self.share = 1.0 / len(parts)
        self.membrane = membrane = parts[-1].membrane
        self.recorder = Recorder()
        self.states = state_names(membrane, stride)
        self.slow_pools = slow_pools(membrane, stride)
        self.slot = {name: FIRST_STATE + i for i, name in enumerate(self.states)}
        self.moved = list(membrane.initial_concentrations)
        self.params: list[str] = []
        self.multiples: dict[str, float] = {}
        self.v = self.recorder.input("v")
        self.slow_gates = [self.found_slow(part) for part in parts]
        self.always_slow = set.intersection(*self.slow_gates)

    # ---- what functions see ---------------------------------------------------------------

    def parameter(self, name: str) -> Symbol:
        """A parameter as a symbol."""
        if name not in self.params:
            self.params.append(name)
        return self.recorder.input(name)

    def warmth(self, part: _Part) -> float | Symbol:
        """The temperature: a number, or a parameter where it varies."""
        if len(part.warmth) == 1:
            return part.warmth[0]
        return self.parameter("celsius" if part is self.parts[-1] else "celsius before")

    def state(self, name: str) -> Symbol:
        """A state as a symbol."""
        return self.recorder.input(name)

    def in_a_step(self, rate: Any) -> Symbol:
        """The time step times a rate, its constant factor taken into the time step."""
        factor, rest = self.recorder.factored(rate)
        name = f"dt {factor!r}"
        self.multiples[name] = factor
        return rest * self.recorder.input(name)

    def quantities(self, part: _Part, concentrations: Mapping[str, Any]) -> dict[str, Any]:
        """What functions may ask for, with these concentrations."""
        plain = {name: value for name, value in concentrations.items() if "." not in name}
        return part.membrane.quantities(self.v, self.warmth(part), plain)

    def moving(self, part: _Part) -> set[str]:
        """Names of quantities besides V that differ in time or along the axon."""
        found = {name for name in self.moved if "." not in name}
        shown = self.quantities(part, {name: self.state(name) for name in self.moved})
        found |= {name for name, value in shown.items() if isinstance(value, Symbol)}
        return found - {"v"}

    def found_slow(self, part: _Part) -> set[str]:
        """Names of the gates that slow steps move: those that V moves slowly or not at all."""
        if not self.slow_pools:
            return set()
        moving = self.moving(part)
        found = set()
        for channel, gate in part.membrane.gates:
            if isinstance(gate, Markov) or gate.instantaneous:
                continue
            of_v_alone = self.smooth and not gate.depends_on & moving
            if ("v" not in gate.depends_on or of_v_alone) and self.is_slow(gate, part):
                found.add(f"{channel.name}.{gate.name}")
        return found

    def is_slow(self, gate: Gate, part: _Part) -> bool:
        """Whether its time constant is nowhere short: where impulses go, and concentrations may."""
        begin = part.membrane.initial_concentrations
        for times in (1.0,) if "v" in gate.depends_on else (1.0, *GROWN):
            concentrations = {name: times * c for name, c in begin.items() if "." not in name}
            for warmth in part.warmth:
                seen = part.membrane.quantities(REACHED, warmth, concentrations)
                if SLOW_GATE * np.max(gate.at(seen)[1]) > 1.0:
                    return False
        return True

    # ---- the stretches --------------------------------------------------------------------

    def last_currents(self) -> dict[str | None, Any]:
        """Of every pooled ion in the last step, at its middle."""
        middle = self.state(V_MIDDLE)
        return {
            ion: self.state(f"i{ion}:slope") * middle - self.state(f"i{ion}:offset")
            for ion in _pooled(self.membrane)
        }

    def counted(self) -> dict[str, Symbol]:
        """Sums of the currents since the last slow step."""
        if not self.slow_pools:
            return {}
        currents = self.last_currents().items()
        return {f"i{ion}:sum": self.state(f"i{ion}:sum") + current for ion, current in currents}

    def moved_pools(self) -> dict[str, Symbol]:
        """New concentrations, and how fast they changed."""
        if not self.moved:
            return {}
        results: dict[str, Symbol] = {}
        old = {name: self.state(name) for name in self.moved}
        stride, currents = 1, self.last_currents()
        if self.slow_pools:
            stride = self.stride
            for ion in currents:
                currents[ion] = self.state(f"i{ion}:sum") / stride
                results[f"i{ion}:sum"] = self.recorder.symbol(0.0)
        gains = {
            name: self.parameter(f"{name}:per_current") for name in _concentrations(self.membrane)
        }
        rates = self.parts[0].membrane.pool_rates(currents, old, gains)
        for name in diffusing(self.membrane):
            rates[name] = rates[name] + self.state(f"{name}:diffusion")
        for name, rate in rates.items():
            before = old[name] - self.in_a_step(0.5 * stride * self.state(f"{name}:rate"))
            results[name] = before + self.in_a_step(1.5 * stride * rate)
            results[f"{name}:rate"] = self.recorder.symbol(rate)
        return results

    def seen_by_gates(self, moved: Mapping[str, Symbol]) -> dict[str, Any]:
        """Concentrations at the time of V, half a step before that of currents."""
        if not self.slow_pools:
            return {name: 0.5 * (self.state(name) + moved[name]) for name in self.moved}
        return {
            name: self.state(name) - self.in_a_step(0.5 * self.state(f"{name}:rate"))
            for name in self.moved
        }

    def moved_gates(
        self, in_tables: Sequence[set[str]], concentrations: Mapping[str, Any], slowly: bool = False
    ) -> dict[str, Symbol]:
        """New gates by state; not what tables move, in each part."""
        results: dict[str, Symbol] = {}
        steps = self.share * (self.stride if slowly else 1)
        for part, tabulated, slow in zip(self.parts, in_tables, self.slow_gates, strict=True):
            seen = self.quantities(part, concentrations)
            for channel, gate in part.membrane.gates:
                name = f"{channel.name}.{gate.name}"
                if name in tabulated or (name in slow) != slowly:
                    continue
                if isinstance(gate, Markov):
                    self.refuse_what_a_table_would(gate, part)
                    names = [f"{name}.{state}" for state in gate.states]
                    occupancies = [results.get(state, self.state(state)) for state in names]
                    moved = _moved_scheme(
                        gate.matrix(seen),
                        occupancies,
                        lambda rate: self.in_a_step(steps * rate),
                    )
                    for state, value in zip(names, moved, strict=True):
                        results[state] = self.recorder.symbol(value)
                elif not gate.instantaneous:
                    self.refuse_what_a_table_would(gate, part)
                    inf, rate = gate.kinetics(seen)
                    # The exact solution for frozen rates.
                    x = results.get(name, self.state(name))
                    results[name] = inf + np.exp(self.in_a_step(steps * -rate)) * (x - inf)
        return results

    def refuse_what_a_table_would(self, gate: Gate | Markov, part: _Part) -> None:
        """Rates that aren't finite somewhere are refused, wherever they are computed."""
        fixed = part.membrane.quantities(np.arange(V_MIN, V_MAX + 1.0), 0.0)
        for warmth in part.warmth:
            seen = part.membrane.quantities(fixed["v"], warmth)
            if isinstance(gate, Gate):
                gate.at(seen)
            else:
                gate.numbers(seen)

    def after(
        self,
    ) -> tuple[dict[str, Symbol], list[tuple[Symbol, Symbol, Any, int]], list[Symbol]]:
        """Currents of pooled ions by state, ohmic terms, and the rest's slope and offset if any."""
        seen = self.quantities(self.parts[-1], {name: self.state(name) for name in self.moved})
        pooled = list(_pooled(self.membrane))
        zero = self.recorder.symbol(0.0)
        slopes: dict[str | None, Symbol] = {}
        offsets: dict[str | None, Symbol] = {}
        conductances: dict[tuple[str | None, Symbol], Symbol] = {}  # by what they draw to
        terms: list[tuple[Symbol, Symbol, Any, int]] = []
        steady: dict[tuple[int, Symbol], Symbol] = {}  # conductances that only slow steps move

        def add(ion: str | None, slope: Any, offset: Any) -> None:
            slopes[ion] = slopes.get(ion, zero) + slope
            offsets[ion] = offsets.get(ion, zero) + offset

        def add_all(currents: Mapping[str | None, Any]) -> None:
            for ion, current in currents.items():
                node = self.recorder.symbol(current)
                ohmic = self.recorder.ohmic(node, self.v)
                if ohmic is None:
                    add(ion, *self.recorder.tangent(node, self.v))
                else:
                    g, e = ohmic
                    conductances[ion, e] = conductances.get((ion, e), zero) + g

        for channel in self.membrane.channels:
            gbar = self.parameter(f"{channel.name}:gbar")
            if not channel.ohmic:
                g = gbar * self.opening(channel, seen)
                add_all(channel.currents(g, None, seen))
                continue
            if channel.reversal is None:
                e = self.recorder.symbol(seen[f"e{channel.ion}"])
            else:
                e = self.parameter(f"{channel.name}:reversal")
            factors = self.factors(channel)
            (carrier,) = channel.carriers
            if factors is not None:
                number = pooled.index(carrier) if carrier in pooled else -1
                g, fast = self.split(gbar, factors)
                if self.slow_pools and not fast:
                    steady[number, e] = steady.get((number, e), zero) + g
                else:
                    terms.append((g, e, fast, number))
                continue
            add_all({carrier: gbar * self.opening(channel, seen) * (self.v - e)})
        for pump in self.membrane.pumps:
            factor = self.parameter(f"{pump.name}:density")
            add_all(pump.currents(factor, seen))
        for (ion, e), g in conductances.items():
            add(ion, g, g * e)
        terms += [(g, e, (), number) for (number, e), g in steady.items()]
        results: dict[str, Symbol] = {}
        for ion in pooled:
            results[f"i{ion}:slope"] = slopes.pop(ion, zero)
            results[f"i{ion}:offset"] = offsets.pop(ion, zero)
        own = [sum(slopes.values(), zero), sum(offsets.values(), zero)] if slopes else []
        return results, terms, own

    def opening(self, channel: Channel, seen: Mapping[str, Any]) -> Any:
        """How far a channel is open."""
        gates: dict[str, Any] = {}
        for gate in channel.gates:
            name = f"{channel.name}.{gate.name}"
            if isinstance(gate, Markov):
                gates[gate.name] = gate.conducting(
                    [self.state(f"{name}.{state}") for state in gate.states]
                )
            elif gate.instantaneous:
                gates[gate.name] = gate.kinetics(seen)[0]
            else:
                gates[gate.name] = self.state(name)
        return channel.opening(gates, seen)

    def factors(self, channel: Channel) -> dict[str, int] | None:
        """States and powers of an opening that is a product of them; None if it isn't."""
        if channel.open is not None:
            return None
        if not all(isinstance(g, Gate) and not g.instantaneous for g in channel.gates):
            return None
        return {f"{channel.name}.{gate.name}": gate.power for gate in channel.gates}

    def split(self, gbar: Symbol, factors: Mapping[str, int]) -> tuple[Symbol, Factors]:
        """A conductance by what only slow steps move, and its other factors."""
        fast = []
        for name, power in factors.items():
            if name in self.always_slow:
                gbar = gbar * self.state(name) ** power
            else:
                fast.append((self.slot[name], power))
        return gbar, tuple(fast)

    # ---- all together ---------------------------------------------------------------------

    def program(self) -> Program:
        """The whole, but for the parameters' values."""
        tabulated: list[set[str]] = [set() for _ in self.parts]
        gates: dict[bool, list[tuple[int, Any]]] = {False: [], True: []}  # whether slow
        for part, slow, names in zip(self.parts, self.slow_gates, tabulated, strict=True):
            moving = self.moving(part)
            fixed = part.membrane.quantities(0.0, part.warmth[0])
            for channel, gate in part.membrane.gates:
                if not isinstance(gate, Gate) or gate.instantaneous or gate.depends_on & moving:
                    continue
                name = f"{channel.name}.{gate.name}"
                steps = self.share * (self.stride if name in slow else 1)
                fit = fit_gate(gate, fixed, steps * self.dt)
                if fit is not None:
                    gates[name in slow].append((self.slot[name] - FIRST_STATE, fit))
                    names.add(name)
        after, terms, own = self.after()
        counted, moves = self.counted(), self.moved_pools()
        before = self.moved_gates(tabulated, self.seen_by_gates(moves))
        if self.slow_pools:
            means = {name: 0.5 * (self.state(name) + moves[name]) for name in self.moved}
            moves |= self.moved_gates(tabulated, means, slowly=True)
        else:
            before, moves = moves | before, {}
        first_param = FIRST_STATE + len(self.states)
        inputs = {"v": V_SLOT} | self.slot
        inputs |= {name: first_param + i for i, name in enumerate(self.params)}
        of_terms = [node for g, e, _, _ in terms for node in (g, e)]
        stretches = [counted, moves, before, after]
        results = [node for stretch in stretches for node in stretch.values()]
        final = regrouped(self.recorder, [*results, *own, *of_terms], self.v)
        if self.slow_pools:
            straight = straightened(self.recorder, list(final.values()), self.v, self.steady)
            final = {node: straight[new] for node, new in final.items()}
            fast = [*before.values(), *after.values(), *own, *of_terms]
            of_fast = [final[node] for node in fast]
            together = gathered(self.recorder, of_fast, self.v, self.steady)
            final |= {node: together[final[node]] for node in fast}
        counted, moves, before, after = (
            {name: final[node] for name, node in stretch.items()} for stretch in stretches
        )
        kept = [final[node] for node in (*own, *of_terms)]
        held = self.held([*before.values(), *after.values(), *kept])
        wanted = [*(final[node] for node in results), *kept]
        values = {}
        for node in self.recorder.of_one_input(wanted, self.v):
            fit = fit_value(lambda v, node=node: self.recorder.evaluate(node, {"v": v}))  # type: ignore[misc]
            if fit is not None:
                values[node] = fit
        consts = self.recorder.constants(wanted, values)
        first_const = first_param + len(self.params)
        first_multiple = first_const + len(consts)
        inputs |= {name: first_multiple + i for i, name in enumerate(self.multiples)}
        first_held = first_multiple + len(self.multiples)
        first_value = first_held + len(held)
        slots = {node: first_const + i for i, node in enumerate(consts)}
        slots |= {node: first_value + i for i, node in enumerate(values)}
        in_slots = {node: first_held + i for i, node in enumerate(held)}
        first_temp = first_value + len(values)

        code: list[Instruction] = []
        ends: list[int] = []
        n_temps = 0
        placed: dict[Symbol, int] = {}
        slow_results = {slot: node for node, slot in in_slots.items()}
        for stretch, remaining, known in (
            (self.by_slot(counted), [], slots),
            (self.by_slot(moves), [], slots),
            (slow_results, [], slots),
            (self.by_slot(before), [], slots | in_slots),
            (self.by_slot(after), kept, slots | in_slots),
        ):
            more, temps, placed = self.recorder.emit(stretch, remaining, inputs, known, first_temp)
            code += more
            n_temps = max(n_temps, temps)
            ends.append(len(code))
        return Program(
            states=self.states,
            params=(),
            param_names=tuple(self.params),
            consts=np.array([node.value for node in consts], dtype=np.float64),
            multiples=np.array(list(self.multiples.values()), dtype=np.float64),
            n_temps=len(values) + n_temps,
            tables=(
                *build_tables(gates[False], [(slots[node], fit) for node, fit in values.items()]),
                *build_tables(gates[True], [], slow=True),
            ),
            code=tuple(code),
            middle_state=self.slot[V_MIDDLE] - FIRST_STATE if self.moved else -1,
            slope_slot=placed[final[own[0]]] if own else -1,
            offset_slot=placed[final[own[1]]] if own else -1,
            terms=tuple(
                (placed[final[g]], placed[final[e]], factors, ion) for g, e, factors, ion in terms
            ),
            ions=tuple(
                (
                    self.slot[f"i{ion}:slope"] - FIRST_STATE,
                    self.slot[f"i{ion}:offset"] - FIRST_STATE,
                )
                for ion in _pooled(self.membrane)
            ),
            diffusions=tuple(
                (
                    self.slot[name] - FIRST_STATE,
                    self.slot[f"{name}:diffusion"] - FIRST_STATE,
                    coefficient,
                )
                for name, coefficient in diffusing(self.parts[0].membrane).items()
            ),
            stride=self.stride if self.slow_pools else 1,
            n_held=len(held),
            stretches=(ends[0], ends[1], ends[2]),
        )

    def by_slot(self, results: Mapping[str, Symbol]) -> dict[int, Symbol]:
        """Results by the slot of their state."""
        return {self.slot[name]: node for name, node in results.items()}

    @property
    def steady(self) -> set[str]:
        """Inputs that change with slow steps only, or not at all."""
        rates = (f"{name}:rate" for name in self.moved)
        return {*self.moved, *rates, *self.always_slow, *self.params, *self.multiples}

    def held(self, wanted: Sequence[Symbol]) -> list[Symbol]:
        """The largest parts of what is wanted that change with slow steps only."""
        if not self.slow_pools:
            return []
        still = self.recorder.follows(wanted, self.steady)
        read = [part for node in still if not still[node] for part in node.operands]
        found = dict.fromkeys(part for part in (*read, *wanted) if still[part] and part.operands)
        return list(islice(found, MAX_HELD))


def _moved_scheme(
    a: list[list[Any]], p: list[Symbol], in_a_step: Callable[[Any], Any]
) -> list[Any]:
    """Occupancies one step later, dp/dt = A p with A frozen: order 2, and strongly damped.

    Two stages with one matrix: R. Alexander, SIAM J. Numer. Anal. 14, 1006-1021 (1977),
    doi:10.1137/0714068, the method of order 2.
    """
    gamma = 1.0 - np.sqrt(0.5)
    n = len(p)
    matrix: list[list[Any]] = [[0.0] * n for _ in p]
    for j in range(n):
        matrix[j][j] = 1.0
        for i in range(n):
            if i != j and not _is_zero(a[i][j]):
                moved = in_a_step(gamma * a[i][j])
                matrix[i][j] = -moved
                matrix[j][j] = matrix[j][j] + moved
    factors = [[0.0] * n for _ in range(n)]
    for k in range(n):  # diagonally dominant by columns: no pivots needed
        for i in range(k + 1, n):
            if _is_zero(matrix[i][k]):
                continue
            factors[i][k] = _over(matrix[i][k], matrix[k][k])
            for j in range(k + 1, n):
                if not _is_zero(matrix[k][j]):
                    matrix[i][j] = matrix[i][j] - factors[i][k] * matrix[k][j]

    def solved(right: list[Any]) -> list[Any]:
        y = list(right)
        for i in range(n):
            for k in range(i):
                if not _is_zero(factors[i][k]):
                    y[i] = y[i] - factors[i][k] * y[k]
        for i in reversed(range(n)):
            for j in range(i + 1, n):
                if not _is_zero(matrix[i][j]):
                    y[i] = y[i] - matrix[i][j] * y[j]
            y[i] = _over(y[i], matrix[i][i])
        return y

    first = solved(list(p))
    ratio = (1.0 - gamma) / gamma
    moved = solved([old + ratio * (q - old) for old, q in zip(p, first, strict=True)])
    whole = _over(1.0, sum(moved[1:], moved[0]))  # 1, but for rounding that would add up
    return [q * whole for q in moved]


def _over(above: Any, below: Any) -> Any:
    """A quotient as it stands. As one of products its degree would double with each elimination."""
    if isinstance(below, Symbol) and below.value is None:
        return above * below.recorder.plain("RECIPROCAL", below)
    return above / below


def _is_zero(value: Any) -> bool:
    return not isinstance(value, Symbol) and value == 0.0
