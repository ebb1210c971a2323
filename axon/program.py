"""The membrane as data: what the kernel runs, lowered once from a `Membrane`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axon.channels import Channel, Gate, Membrane, resolve
from axon.tables import V_MAX, V_MIN, GateTable, build_table
from axon.trace import Instruction, Recorder, Symbol

# Slots are numbered: potential, time step, states, parameters, constants, temporaries.
V_SLOT, DT_SLOT, FIRST_STATE = 0, 1, 2


@dataclass(frozen=True)
class Program:
    """Tables, instructions and arrays; meanings in ``csrc/axon.h``.

    Attributes
    ----------
    states : tuple of str
        "channel.gate" of every state.
    params : tuple of array
        Parameters, each with one value or one per compartment.
    param_names : tuple of str
    consts : array
    n_temps : int
    table : GateTable
    code : tuple of (operation, destination, operand, operand, operand)
    current_slot, conductance_slot : int
        Where the program leaves mA/cm² and S/cm²; -1 when it has no current of its own.
    terms : tuple of (gbar slot, reversal slot, ((state slot, power), ...))
        Ohmic currents.
    """

    states: tuple[str, ...]
    params: tuple[np.ndarray, ...]
    param_names: tuple[str, ...]
    consts: np.ndarray
    n_temps: int
    table: GateTable
    code: tuple[Instruction, ...]
    current_slot: int
    conductance_slot: int
    terms: tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...]


def lower(membrane: Membrane, x: np.ndarray, celsius: np.ndarray, dt: float) -> Program:
    """Turn a membrane into data.

    Parameters
    ----------
    x : array (n,)
        Centres of the compartments, µm.
    celsius : array (1,) or (n,)
        Temperature, uniform or along the axon, °C.
    dt : float
        Time step, ms.
    """
    gates = membrane.gates
    states = tuple(f"{channel.name}.{gate.name}" for channel, gate in gates)
    state_of = {name: FIRST_STATE + i for i, name in enumerate(states)}

    params: list[np.ndarray] = []
    names: list[str] = []
    first_param = FIRST_STATE + len(states)

    def parameter(name: str, value: np.ndarray) -> int:
        params.append(value)
        names.append(name)
        return first_param + len(params) - 1

    terms = tuple(_term(channel, x, parameter, state_of) for channel in membrane.channels)

    numbered = [(state, gate) for state, (_, gate) in enumerate(gates)]
    if celsius.size == 1:
        table, traced = build_table(numbered, float(celsius[0]), dt)
    else:
        uniform = [(state, gate) for state, gate in numbered if not _feels_temperature(gate)]
        table, traced = build_table(uniform, float(celsius[0]), dt)
        traced = sorted({state for state, _ in numbered} - set(table.gates))

    recorder = Recorder()
    inputs = {"v": V_SLOT, "dt": DT_SLOT} | state_of
    if traced:
        inputs["celsius"] = parameter("celsius", celsius)
    results: dict[Symbol, int] = {}
    for state in traced:
        for warmth in (celsius.min(), celsius.max()):  # refuse what a table would refuse
            gates[state][1].at(np.arange(V_MIN, V_MAX + 1.0), float(warmth))
        moved = _advanced(recorder, gates[state][1], states[state])
        results[moved] = FIRST_STATE + state
    code, consts, n_temps = recorder.emit(results, inputs, first_param + len(params))
    return Program(
        states=states,
        params=tuple(params),
        param_names=tuple(names),
        consts=np.array(consts, dtype=np.float64),
        n_temps=n_temps,
        table=table,
        code=tuple(code),
        current_slot=-1,
        conductance_slot=-1,
        terms=terms,
    )


def _term(channel: Channel, x: np.ndarray, parameter, state_of):  # type: ignore[no-untyped-def]
    return (
        parameter(f"{channel.name}.gbar", channel.conductance(x)),
        parameter(
            f"{channel.name}.reversal",
            resolve(channel.reversal, x, f"channel {channel.name!r}: reversal"),
        ),
        tuple((state_of[f"{channel.name}.{gate.name}"], gate.power) for gate in channel.gates),
    )


def _feels_temperature(gate: Gate) -> bool:
    """Whether the gate's expressions contain the temperature."""
    recorder = Recorder()
    v, celsius = recorder.input("v"), recorder.input("celsius")
    inf, rate = gate.kinetics(v, celsius)
    needed = recorder._order([recorder.symbol(inf), recorder.symbol(rate)])
    return any(node is celsius for node in needed)


def _advanced(recorder: Recorder, gate: Gate, name: str) -> Symbol:
    """x + (1 - exp(-dt/tau)) (inf - x), the gate's exact solution for frozen v."""
    x = recorder.input(name)
    inf, rate = gate.kinetics(recorder.input("v"), recorder.input("celsius"))
    factor = -np.expm1(-recorder.input("dt") * rate)
    return recorder.node("FMA", factor, inf - x, x)
