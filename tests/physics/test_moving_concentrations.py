"""Concentrations that move: the fast engine against the slow one, and the order of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from physics import ionic
from physics.measure import Array
from reference import cable as slow_cable
from reference import membrane as slow

import axon
from axon import _kernel
from axon.simulation import METHODS

ISAS = [name for name, (supported, _) in _kernel.instruction_sets().items() if supported]
DT, STEPS = 0.02, 400

# With slow steps, time steps so short that slow gates take them too.
each_stride = pytest.mark.parametrize(("stride", "dt"), [(1, DT), (3, 0.4 * DT)])

# As thin as unmyelinated fibres are; one compartment of 20 µm, or a few with varicosities.
PATCH = axon.Axon.cylinder(20.0, 0.4, compartments=1)
CABLE = axon.Axon.varicose(600.0, 0.3, 0.8, 50.0, 200.0, Ra=100.0, compartments=30)
FIBRES = {"patch": PATCH, "cable": CABLE}
# nA from 1 ms on for 0.6 ms, into the compartment at the origin: over threshold.
PULSES = {"patch": (0.02, 1.0, 0.6), "cable": (0.12, 1.0, 0.6)}


def fast(
    shape: str, dt: float = DT, method: str = "crank-nicolson", stride: int = 1
) -> axon.Simulation:
    return axon.Simulation(
        FIBRES[shape],
        ionic.fast(),
        [axon.CurrentClamp(0.0, axon.pulse(*PULSES[shape]))],
        dt=dt,
        v_init=ionic.V_INIT,
        method=method,
        stride=stride,
    )


def slowly(shape: str, integrate: Any = slow.integrate, **how: Any) -> slow.Course:
    fibre = FIBRES[shape]
    course = integrate(
        slow_cable.Cable(fibre.area, fibre.cm, fibre.axial_conductance, fibre.parent),
        ionic.slowly(fibre.area / fibre.volume),
        [slow_cable.Pulse(0, *PULSES[shape])],
        v_init=ionic.V_INIT,
        **how,
    )
    assert isinstance(course, slow.Course)
    return course


def recorded(simulation: axon.Simulation, steps: int) -> Array:
    run = simulation.run(steps * simulation.dt, every=simulation.dt, dtype="float64")
    return np.asarray(run.v)


def step_by_step(simulation: axon.Simulation, steps: int) -> tuple[Array, dict[str, Array]]:
    """Potential, and every state of the kernel by name, after 0, 1, ... steps."""
    kernel, n = simulation._equations.kernel(), simulation.axon.n
    kernel.set("v", simulation.v_init)
    kernel.set("state", simulation._states_init)
    current, damped = simulation._equations.stimulation(0, steps)
    spikes = np.empty(100 * n, np.int64), np.empty(100 * n)
    rows = [(kernel.get("v"), kernel.get("state"))]
    for k in range(steps):
        kernel.advance(current[k : k + 1], damped[k : k + 1], np.empty((0, 0), np.float32), *spikes)
        rows.append((kernel.get("v"), kernel.get("state")))
    v, state = (np.array(column) for column in zip(*rows, strict=True))
    each = np.moveaxis(state.reshape(steps + 1, -1, n), 1, 0)
    return v, dict(zip(simulation._program.states, each, strict=True))


# The slow engine's names of gates, by the fast one's.
GATES = {"na.m": "m", "na.h": "h", "k.n": "n", "ca.d": "d", "ca.f": "f", "bk.b": "b", "h.q": "q",
         "nap.a": "a", "nap.b": "b2"}  # fmt: skip


@each_stride
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", FIBRES)
def test_every_state_is_that_of_the_slow_engine(
    shape: str, method: str, stride: int, dt: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without tables only rounding differs: between engines, and of one that amplifies it.

    Of a spike's upstroke, 1e3 mV/ms, a rounding of 1e-16 of the time makes no more than 1e-13; the
    400 steps and currents that are small differences of larger ones make it a hundredfold.
    """
    for fit in ("fit_gate", "fit_value"):
        monkeypatch.setattr(f"axon.program.{fit}", lambda *_: None)
    expected = slowly(shape, dt=dt, steps=STEPS, method=method, stride=stride)
    simulation = fast(shape, dt, method, stride)
    assert simulation.stride == stride
    v, states = step_by_step(simulation, STEPS)
    assert simulation._program.tables == ()
    assert expected.v.max() > 0.0  # an impulse
    np.testing.assert_allclose(v, expected.v, rtol=0, atol=1e-10)
    seen = set()
    for name, course in expected.concentrations.items():
        assert np.ptp(course) > 0.02 * course.max()  # it moves
        np.testing.assert_allclose(states[name], course, rtol=1e-11, err_msg=name)
        seen |= {name, f"{name}:rate"}
    for name, there in GATES.items():
        np.testing.assert_allclose(
            states[name], expected.gates[there], rtol=0, atol=1e-12, err_msg=name
        )
        seen.add(name)
    for k, state in enumerate(ionic.STATES):
        np.testing.assert_allclose(
            states[f"sk.s.{state}"], expected.gates["s"][:, k], rtol=0, atol=1e-12
        )
        seen.add(f"sk.s.{state}")
    # What is left are the last currents of the three ions, their sums, and the last step's middle.
    parts = ("slope", "offset", "sum") if stride > 1 else ("slope", "offset")
    rest = {f"i{ion}:{part}" for ion in ("na", "k", "ca") for part in parts}
    assert set(states) - seen == rest | {"v:middle"}


@each_stride
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", FIBRES)
def test_runs_are_those_of_the_slow_engine(
    shape: str, isa: str, stride: int, dt: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As users run it, with tables: these are good to 1e-7, which makes 6e-6 mV of a spike."""
    monkeypatch.setenv("AXON_ISA", isa)
    simulation = fast(shape, dt, stride=stride)
    found = recorded(simulation, STEPS)
    assert simulation._program.tables != ()
    expected = slowly(shape, dt=dt, steps=STEPS, stride=stride).v
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_instruction_sets_with_fused_multiply_add_give_one_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = {}
    for isa, (supported, fused) in _kernel.instruction_sets().items():
        if supported and fused:
            monkeypatch.setenv("AXON_ISA", isa)
            runs[isa] = [recorded(fast("cable", stride=s), STEPS).tobytes() for s in (1, 3)]
    assert all(run == runs[isa] for run in runs.values())


# ---- order ---------------------------------------------------------------------------------------

# Halved again and again. Coarser than 0.04 ms a spike of 1 ms is no asymptote.
COARSEST = 0.04
END = 6.0  # ms; the spike is over, the concentrations are on their way back


@pytest.mark.parametrize("stride", [1, 5])
@pytest.mark.parametrize("shape", FIBRES)
def test_order_is_two(shape: str, stride: int) -> None:
    """Potential and all concentrations converge with the square of the time step.

    On the exact course of the same compartments, which Runge and Kutta's method of order 4
    follows to less than a hundredth of the smallest of these errors; no scheme, linearisation or
    table is common to both. Concentrations are known half a step before and after a time, and at
    the time, to order 2, by their mean; with slow steps, half of one.
    """
    small = 0.004
    every = round(COARSEST / small)
    exact = slowly(shape, slow.exact, dt=small, steps=round(END / small), every=every)
    errors: dict[str, list[float]] = {}
    first = 0 if stride == 1 else 2  # where the fastest buffer is not too fast
    for dt in (COARSEST / stride / 2**k for k in range(first, max(5, first + 4))):
        apart = round(COARSEST / dt)
        steps = round(END / dt)
        v, states = step_by_step(fast(shape, dt, stride=stride), steps + 1)
        at = np.arange(apart, steps + 1, apart)
        errors.setdefault("v", []).append(np.sqrt(np.mean((v[at] - exact.v[1:]) ** 2)))
        for name, course in exact.concentrations.items():
            mean = 0.5 * (states[name][at] + states[name][at + 1])
            errors.setdefault(name, []).append(np.sqrt(np.mean((mean - course[1:]) ** 2)))
    for name, error in errors.items():
        orders = np.log2(np.divide(error[:-1], error[1:]))
        assert np.all(orders >= 1.95), f"{name}: {orders}"
