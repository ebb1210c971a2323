"""No charge is made or lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon.simulation import METHODS

# Up to 60 compartments of 3.3 µm or more. The shorter and thicker they are, the more a time step dt
# is of what two neighbours take to become equal, C / G; and a step may lose as many times a float's
# rounding of the charge: here G dt / C is at most 2e5, which makes 3e-11 in a hundred steps.
lengths = st.floats(200.0, 5000.0)
diameters = st.floats(0.2, 100.0)


@st.composite
def axons(draw: st.DrawFn) -> axon.Axon:
    """Any profile, with steps, in any number of compartments, with Ra and cm of any kind."""
    length = draw(lengths)
    inner = draw(st.lists(st.integers(1, 99), max_size=6))  # twice the same: a step
    if any(inner.count(place) > 2 for place in inner):
        inner = sorted(set(inner))
    x = [0.0, *(length * place / 100 for place in sorted(inner)), length]
    n = draw(st.integers(1, 60))
    each = {
        "Ra": draw(st.lists(st.floats(20.0, 300.0), min_size=n, max_size=n)),
        "cm": draw(st.lists(st.floats(0.5, 2.0), min_size=n, max_size=n)),
    }
    d = draw(st.lists(diameters, min_size=len(x), max_size=len(x)))
    return axon.Axon.from_profile(x, d, compartments=n, **each)


@st.composite
def waveforms(draw: st.DrawFn) -> tuple[axon.Waveform, float]:
    """A current that is over after 10 ms, and its charge in pC for an amplitude of 1 nA."""
    start, duration = draw(st.floats(0.0, 5.0)), draw(st.floats(1e-3, 5.0))
    if draw(st.booleans()):
        return axon.pulse(1.0, start, duration), duration
    return axon.ramp(1.0, start, duration), duration / 2


def charge(membrane: axon.Axon, v: np.ndarray) -> float:
    """Of a membrane at `v` against one at 0 mV, in pC: µF/cm² µm² is 1e-5 nF."""
    return float(np.sum(1e-5 * membrane.cm * membrane.area * v))


def final(simulation: axon.Simulation, duration: float) -> np.ndarray:
    run = simulation.run(duration, every=duration, dtype="float64")
    return np.asarray(run.v[-1])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), dt=st.sampled_from([0.1, 0.05, 0.01]), method=st.sampled_from(METHODS))
def test_charge_in_is_charge_on_the_membrane(data: st.DataObject, dt: float, method: str) -> None:
    """Kirchhoff's law: without channels, what electrodes put in stays on the membrane.

    To 1e-10 of the charge, wherever within a step the currents begin and end, whatever the shape.
    It starts from 0 mV, so that no digits go to a potential that was there before.
    """
    fibre = data.draw(axons())
    given_charge, stimuli = 0.0, []
    for _ in range(data.draw(st.integers(1, 3))):
        waveform, unit_charge = data.draw(waveforms())
        at = data.draw(st.floats(0.0, 1.0)) * fibre.length
        # As much as takes the compartment alone to some 10 mV, and always in one direction.
        alone = np.where(np.arange(fibre.n) == fibre.index(at), 1.0, 0.0)
        amplitude = charge(fibre, data.draw(st.floats(1.0, 100.0)) * alone) / unit_charge
        stimuli.append(axon.CurrentClamp(at, amplitude * waveform))
        given_charge += amplitude * unit_charge
    simulation = axon.Simulation(
        fibre, axon.models.passive(g=0.0), stimuli, dt=dt, v_init=0.0, method=method
    )
    assert charge(fibre, final(simulation, 10.0)) == pytest.approx(given_charge, rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_charge_of_a_pulse_that_is_not_over(method: str) -> None:
    """It is the current times the time, to the instant at which the run ends."""
    fibre = axon.Axon.varicose(500.0, 1.0, 3.0, 10.0, 50.0, dx=5.0)
    clamp = axon.CurrentClamp(200.0, axon.constant(0.01, start=0.3217))
    simulation = axon.Simulation(
        fibre, axon.models.passive(g=0.0), [clamp], dt=0.05, v_init=0.0, method=method
    )
    wanted = 0.01 * (4.0 - 0.3217)
    assert charge(fibre, final(simulation, 4.0)) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "waveform",
    [
        axon.sine(1.0, 777.0, 0.123, 3.3, end_amplitude=0.0),
        axon.carrier(1.0, "1.3 kHz", [0.0, 1.1, 2.2], [0.0, 1.0, 0.0], start=0.0333),
        axon.chirp(1.0, 10.0, "20 kHz", 0.123, 3.3, phase=1.0),
        axon.noise(1.0, 0.0123, seed=1, start=0.0333, duration=3.3),
        axon.sampled(lambda t: t**2, 0.123, 3.456, 0.1),
    ],
    ids=lambda waveform: type(waveform).__name__,
)
def test_charge_of_waves(waveform: axon.Waveform, method: str) -> None:
    """It is the waveform's own integral, whatever lies within a step."""
    fibre = axon.Axon.tapered(500.0, 1.0, 4.0, dx=5.0)
    simulation = axon.Simulation(
        fibre,
        axon.models.passive(g=0.0),
        [axon.CurrentClamp(100.0, 0.1 * waveform)],
        dt=0.05,
        v_init=0.0,
        method=method,
    )
    wanted = 0.1 * 4.0 * float(waveform.mean(0.0, 4.0))
    assert abs(wanted) > 1e-4
    assert charge(fibre, final(simulation, 4.0)) == pytest.approx(wanted, abs=1e-11)


@pytest.mark.parametrize("method", METHODS)
def test_balanced_pulses_leave_nothing(method: str) -> None:
    """What a biphasic pulse brings, it takes away: the axon is left at 0 mV on the whole."""
    fibre = axon.Axon.tapered(500.0, 1.0, 4.0, dx=5.0)
    waveform = axon.biphasic(0.01, start=0.123, duration=0.456, gap=0.0789, ratio=0.31)
    simulation = axon.Simulation(
        fibre,
        axon.models.passive(g=0.0),
        [axon.CurrentClamp(100.0, waveform)],
        dt=0.05,
        v_init=0.0,
        method=method,
    )
    assert abs(charge(fibre, final(simulation, 4.0))) < 1e-10 * 0.01 * 0.456
