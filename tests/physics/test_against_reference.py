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
def fibres(draw: st.DrawFn) -> axon.Axon:
    n = draw(st.integers(1, MAX_COMPARTMENTS))
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
def cases(draw: st.DrawFn, *, warmth: str) -> Case:
    fibre = draw(fibres())
    n, dt = fibre.n, draw(st.sampled_from([0.05, 0.02, 0.01, 0.005]))
    return Case(
        fibre=fibre,
        factors=tuple(draw(profiles(0.3, 2.0, n)) for _ in range(3)),
        celsius=draw(st.floats(0.0, 25.0) if warmth == "uniform" else profiles(0.0, 25.0, n)),
        v_init=draw(st.floats(-80.0, -50.0) | profiles(-80.0, -50.0, n)),
        pulses=tuple(draw(st.lists(pulses(fibre, dt), max_size=3))),
        dt=dt,
        method=draw(st.sampled_from(METHODS)),
    )


@settings(max_examples=100, deadline=None)
@given(cases(warmth="uniform"))
def test_with_tables(case: Case) -> None:
    """Gates from tables, good to 1e-8 where the slow engine takes exact exponentials.
    """
    np.testing.assert_allclose(case.fast(), case.slow(), rtol=0, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(cases(warmth="along the axon"))
def test_with_the_vector_program(case: Case) -> None:
    """Gates computed, because the temperature varies along the axon: only rounding differs.
    """
    np.testing.assert_allclose(case.fast(), case.slow(), rtol=0, atol=1e-9)
