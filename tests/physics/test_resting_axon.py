"""An axon that is left alone stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

import axon


def moved(simulation: axon.Simulation, duration: float = 20.0) -> float:
    """How far the potential strays from where it starts, in mV."""
    v = np.asarray(simulation.run(duration, every=0.1, dtype="float64").v)
    return float(np.abs(v - v[0]).max())


def test_potential_starts_at_rest() -> None:
    """The potential at which the membrane's currents cancel, not the -65 mV of the textbooks."""
    hh = axon.models.hodgkin_huxley()
    fibre = axon.Axon.cylinder(10e3, 476.0, compartments=20)
    v = axon.Simulation(fibre, hh).v_init
    assert np.ptp(v) == 0.0
    assert v[0] == pytest.approx(-64.97405245, abs=1e-8)
    # In mA/cm²; 1e-15 mV further it has the other sign.
    assert abs(hh.steady_current(v[:1], 6.3)[0]) < 1e-15


def test_uniform_axon_stays_at_rest() -> None:
    """To 1e-6 mV, a few times the error of the tables that the gates come from."""
    fibre = axon.Axon.tapered(10e3, 476.0, 100.0, compartments=50)
    assert moved(axon.Simulation(fibre, axon.models.hodgkin_huxley(), celsius=18.5)) < 1e-6


UNEVEN = {
    "channels": {"membrane": axon.models.hodgkin_huxley(g_k=lambda x: 0.036 * (1 + x / 10e3))},
    "leak": {"membrane": axon.models.hodgkin_huxley(e_leak=lambda x: -54.3 - x / 1e3)},
    "temperature": {
        "membrane": axon.models.hodgkin_huxley(),
        "celsius": lambda x: 6.3 + x / 1e3,
    },
    "passive end": {
        "membrane": axon.models.hodgkin_huxley().scaled(
            na=lambda x: np.where(x < 5e3, 1.0, 0.0), k=lambda x: np.where(x < 5e3, 1.0, 0.0)
        )
    },
}


FIBRES = {
    "cylinder": axon.Axon.cylinder(10e3, 10.0, Ra=35.4, compartments=200),
    "varicose": axon.Axon.varicose(10e3, 10.0, 30.0, 200.0, 1e3, Ra=35.4, compartments=200),
}


@pytest.mark.parametrize("shape", FIBRES)
@pytest.mark.parametrize("kind", UNEVEN)
def test_uneven_axon_stays_at_rest(kind: str, shape: str) -> None:
    """Where channels vary, rest varies too, and axial currents flow; nothing moves all the same.

    Not by 1e-6 mV in 20 ms, although no compartment is where it would rest on its own.
    """
    simulation = axon.Simulation(FIBRES[shape], **UNEVEN[kind])
    if kind != "temperature":  # moves the rates, not the steady state
        assert np.ptp(simulation.v_init) > 1.0
    assert moved(simulation) < 1e-6


def test_rest_of_an_uneven_axon_with_pools_is_not_guessed() -> None:
    """Where surface per volume varies, so do the concentrations of rest, and what these open."""
    opened = axon.Gate("m", inf=lambda cai: cai / (cai + 1e-3), tau=lambda v: 5.0)
    membrane = axon.Membrane(
        [axon.Channel("leak", 1e-4, -65.0), axon.Channel("sk", 2e-4, -80.0, gates=[opened])],
        ions=[axon.Ion("ca", 2, 1e-4, 2.0)],
        pools=[axon.Pool("ca", "inside", bath=1e-4, time_constant=20.0)],
        pumps=[axon.Pump("inward", lambda: -1e-3, {"ca": 1})],
    )
    fibre = axon.Axon.tapered(2e3, 2.0, 0.4, compartments=20)
    with pytest.raises(axon.NoRestError, match="give v_init"):
        axon.Simulation(fibre, membrane, dt=0.02).run(1.0)


def test_rest_is_that_of_the_axon_and_not_of_its_origin() -> None:
    """Parameters are asked for at the compartments' centres; x = 0 is none of them."""
    fibre = axon.Axon.cylinder(1e3, 10.0, compartments=10)
    leak = axon.Channel("leak", 1e-4, reversal=lambda x: np.where(x > 0.0, -70.0, -50.0))
    np.testing.assert_allclose(axon.Simulation(fibre, axon.Membrane([leak])).v_init, -70.0)


def test_rest_of_parameters_given_for_each_compartment() -> None:
    """Equal values for all compartments are a uniform axon's."""
    fibre = axon.Axon.cylinder(1e3, 10.0, compartments=10)
    each = axon.models.hodgkin_huxley(g_na=np.full(10, 0.12))
    one = axon.models.hodgkin_huxley()
    np.testing.assert_array_equal(
        axon.Simulation(fibre, each).v_init, axon.Simulation(fibre, one).v_init
    )
