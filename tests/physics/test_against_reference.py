"""The fast engine against the slow one, which does without tables, lanes and blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import cable as slow
from reference.hodgkin_huxley import hodgkin_huxley

import axon
from axon.simulation import METHODS

MAX_COMPARTMENTS = 40
STEPS = 120


@dataclass(frozen=True)
class Case:
    """One simulation, for either engine."""

    fibre: axon.Axon
    factors: tuple[slow.Array, ...]  # of the conductances of na, k and leak, (n,) each
    celsius: float | slow.Array
    v_init: float | slow.Array
    pulses: tuple[slow.Pulse, ...]
    dt: float
    method: str

    def fast(self) -> slow.Array:
        na, k, leak = self.factors
        simulation = axon.Simulation(
            self.fibre,
            axon.models.hodgkin_huxley().scaled(na=na, k=k, leak=leak),
            [
                axon.CurrentClamp(
                    self.fibre.x[p.compartment], axon.pulse(p.amplitude, p.start, p.duration)
                )
                for p in self.pulses
            ],
            celsius=self.celsius,
            dt=self.dt,
            v_init=self.v_init,
            method=self.method,
        )
        return np.asarray(simulation.run(STEPS * self.dt, every=self.dt, dtype="float64").v)

    def slow(self) -> slow.Array:
        membrane = hodgkin_huxley(self.celsius)
        membrane = replace(
            membrane,
            conductances=tuple(
                replace(channel, gbar=channel.gbar * factor)
                for channel, factor in zip(membrane.conductances, self.factors, strict=True)
            ),
        )
        shape = self.fibre
        return slow.integrate(
            slow.Cable(shape.area, shape.cm, shape.axial_conductance, shape.parent),
            membrane,
            self.pulses,
            v_init=self.v_init,
            dt=self.dt,
            steps=STEPS,
            method=self.method,
        )


def profiles(low: float, high: float, n: int) -> st.SearchStrategy[slow.Array]:
    """Values along an axon, from end to end of a range."""
    return st.lists(st.floats(low, high), min_size=n, max_size=n).map(np.array)


@st.composite
def fibres(draw: st.DrawFn, fewest: int) -> axon.Axon:
    n = draw(st.integers(fewest, MAX_COMPARTMENTS))
    knots = draw(st.integers(2, 6))
    length = n * draw(st.floats(20.0, 2000.0))
    return axon.Axon.from_profile(
        np.linspace(0.0, length, knots),
        draw(profiles(1.0, 500.0, knots)),
        Ra=draw(profiles(20.0, 200.0, n)),
        cm=draw(profiles(0.5, 2.0, n)),
        compartments=n,
    )


@st.composite
def pulses(draw: st.DrawFn, fibre: axon.Axon, dt: float) -> slow.Pulse:
    """Edges lie on steps, as users put them, or anywhere within them."""

    def edge() -> float:
        within = draw(st.just(0.0) | st.floats(0.01, 0.99))
        return (draw(st.integers(0, STEPS)) + within) * dt

    start, stop = sorted((edge(), edge()))
    compartment = draw(st.integers(0, fibre.n - 1))
    capacitance = float((1e-5 * fibre.cm * fibre.area)[compartment])  # nF
    # At most as much as charges the compartment alone by 60 mV, within a step or within them all.
    charge = draw(st.floats(-30.0, 60.0)) * capacitance
    duration = max(stop - start, 0.3 * dt)
    return slow.Pulse(compartment, charge / duration, start, duration)


@st.composite
def cases(draw: st.DrawFn, *, uniformly_warm: bool) -> Case:
    fibre = draw(fibres(1 if uniformly_warm else 2))
    n, dt = fibre.n, draw(st.sampled_from([0.05, 0.02, 0.01, 0.005]))
    celsius = draw(st.floats(0.0, 25.0))
    return Case(
        fibre=fibre,
        factors=tuple(draw(profiles(0.3, 2.0, n)) for _ in range(3)),
        celsius=celsius if uniformly_warm else celsius + np.linspace(0.0, 5.0, n),
        v_init=draw(st.floats(-80.0, -50.0) | profiles(-80.0, -50.0, n)),
        pulses=tuple(draw(st.lists(pulses(fibre, dt), max_size=3))),
        dt=dt,
        method=draw(st.sampled_from(METHODS)),
    )


@settings(max_examples=60, deadline=None)
@given(cases(uniformly_warm=True))
def test_with_gate_tables(case: Case) -> None:
    """Gates from tables, where the slow engine takes exponentials.

    Were every gate's steady state too high by 1e-7 and its rate too fast by a part in 1e7, which is
    what the tables are allowed, an impulse that hardly got going would be off by 6e-3 mV after all
    steps. But rounding to single precision has no sign: of 3000 cases half were within 1.6e-7 mV,
    one in a thousand beyond 2.5e-4 mV, and the worst was at 1e-3 mV.
    """
    np.testing.assert_allclose(case.fast(), case.slow(), rtol=0, atol=6e-3)


@settings(max_examples=60, deadline=None)
@given(cases(uniformly_warm=False))
def test_with_the_vector_program(case: Case) -> None:
    """Gates computed, because temperature varies along the axon.

    What depends on the potential alone is looked up, with an error as that of gate tables.
    """
    np.testing.assert_allclose(case.fast(), case.slow(), rtol=0, atol=6e-3)


@settings(max_examples=60, deadline=None)
@given(cases(uniformly_warm=False))
def test_with_the_vector_program_alone(case: Case) -> None:
    """Everything computed, nothing looked up: only rounding differs.

    In thousands of cases up to 1e-10 mV: near -40 and -55 mV, where rates are 0/0, the two engines
    divide differently.
    """
    with pytest.MonkeyPatch.context() as without_tables:
        without_tables.setattr("axon.program.fit_value", lambda *_: None)
        fast = case.fast()
    np.testing.assert_allclose(fast, case.slow(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("compartments", [127, 1000])
def test_long_axon(compartments: int, method: str) -> None:
    """An impulse that crosses the seams between the parts which are solved side by side."""
    fibre = axon.Axon.tapered(20e3, 500.0, 200.0, Ra=35.4, compartments=compartments)
    dt = 0.02
    case = Case(
        fibre=fibre,
        factors=(np.ones(fibre.n),) * 3,
        celsius=18.5,
        v_init=-65.0,
        pulses=(slow.Pulse(fibre.n // 3, 5e3, 0.107, 0.3),),
        dt=dt,
        method=method,
    )
    v = case.fast()
    assert np.all(v.max(axis=0) > 0.0)
    # The tables' error puts the upstroke off by 4e-9 ms: 1.7e-6 mV.
    np.testing.assert_allclose(v, case.slow(), rtol=0, atol=1e-5)


def with_gates(count: int) -> tuple[axon.Membrane, slow.Membrane]:
    """A leak, and a channel for each pair of gates: some steep, some slow, of any power."""
    rng = np.random.default_rng(count)
    kinetics, powers = [], rng.integers(1, 5, count).tolist()
    for _ in range(count):
        half, width, slowest = rng.uniform(-70, -40), rng.uniform(-12, 12), rng.uniform(0.2, 5)
        kinetics.append(
            (
                lambda v, half=half, width=width: 1 / (1 + np.exp(-(v - half) / width)),
                lambda v, half=half, slow=slowest: 0.1 + slow * np.exp(-(((v - half) / 30) ** 2)),
            )
        )
    channels = [axon.Channel("leak", gbar=3e-4, reversal=-70.0)]
    conductances = [slow.Conductance(3e-4, -70.0)]
    for first in range(0, count, 2):
        pair = range(first, min(first + 2, count))
        gbar, reversal = rng.uniform(0.01, 0.05), rng.uniform(-90, 50)
        gates = [
            axon.Gate(f"g{j}", powers[j], inf=kinetics[j][0], tau=kinetics[j][1]) for j in pair
        ]
        channels.append(axon.Channel(f"c{first}", gbar=gbar, reversal=reversal, gates=gates))
        each = tuple(powers[j] if j in pair else 0 for j in range(count))
        conductances.append(slow.Conductance(gbar, reversal, each))
    slow_gates = tuple(slow.Gate(inf, tau) for inf, tau in kinetics)
    return axon.Membrane(channels), slow.Membrane(slow_gates, tuple(conductances))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_any_number_of_gates(count: int) -> None:
    """Gates of any kind, as many as fill no, one, two or three rows of the tables."""
    fibre = axon.Axon.cylinder(1000.0, 10.0, compartments=23)
    membrane, slow_membrane = with_gates(count)
    dt, pulse = 0.02, slow.Pulse(5, 40.0, 0.33, 0.5)
    simulation = axon.Simulation(
        fibre,
        membrane,
        [axon.CurrentClamp(fibre.x[5], axon.pulse(pulse.amplitude, pulse.start, pulse.duration))],
        dt=dt,
        v_init=-60.0,
    )
    v = slow.integrate(
        slow.Cable(fibre.area, fibre.cm, fibre.axial_conductance, fibre.parent),
        slow_membrane,
        [pulse],
        v_init=-60.0,
        dt=dt,
        steps=STEPS,
    )
    assert np.ptp(v) > 20.0
    found = simulation.run(STEPS * dt, every=dt, dtype="float64").v
    # Up to 1.1e-6 mV: nothing here is excitable, and the tables' error isn't amplified.
    np.testing.assert_allclose(found, v, rtol=0, atol=4e-6)
