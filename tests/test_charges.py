from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import axon
from axon.charges import ELEMENTARY_CHARGE, spike_charge
from axon.errors import NoSpikeError
from axon.ions import FARADAY


@cache
def squid():
    return axon.run("squid-warm", {"simulation.duration": 15.0})


@cache
def fibre(name="sundt", pulses=1):
    membrane = getattr(axon.models, name)()
    cable = axon.Axon.cylinder("3 mm", 1.0, dx=30.0)
    clamp = axon.CurrentClamp(0.0, axon.train(0.5, 0.5, 0.5, interval=12.0, count=pulses))
    return axon.Simulation(cable, membrane, [clamp], dt=0.01).run(30.0, every=0.02)


def test_sodium_and_potassium_of_the_squid_axon_are_those_published():
    """A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952), p. 529: 4.33 pmol/cm² of
    sodium in and 4.26 of potassium out, at 18.5 °C; computed by hand, to about 1 %."""
    charge = spike_charge(squid(), "50 mm")
    pmol = 1e3 / FARADAY * 1.0  # of 1 nC, in units of 1e-12 mol: 1e-9 C / F / 1e-12
    assert -charge.charge["na"] * pmol == pytest.approx(4.33, rel=0.01)
    assert charge.charge["k"] * pmol == pytest.approx(4.26, rel=0.01)
    assert charge.sodium_entry == pytest.approx(-charge.charge["na"])
    # With what no ion carries, all that goes in comes out.
    assert sum(charge.charge.values()) == pytest.approx(0.0, abs=2e-3 * charge.sodium_entry)


def test_the_energy_is_that_of_the_sodium():
    charge = spike_charge(squid(), "50 mm")
    shape = axon.action_potential(squid(), "50 mm")
    assert charge.minimum == pytest.approx(1.0 * shape.amplitude)  # 1 µF/cm²
    assert charge.ratio == pytest.approx(charge.sodium_entry / shape.amplitude)
    assert charge.ratio > 1.0
    assert charge.atp == pytest.approx(1e-9 * charge.sodium_entry / 1.602176634e-19 / 3)
    assert pytest.approx(FARADAY / 6.02214076e23, rel=1e-12) == ELEMENTARY_CHARGE
    area = np.pi * 476e-4 * 0.1  # of a millimetre, cm²
    assert charge.atp_along("1 mm") == pytest.approx(charge.atp * area, rel=1e-9)
    assert str(charge).startswith("420.") and "ATP/cm²" in str(charge)


def test_it_is_the_integral_of_what_flows_beyond_rest():
    charge = spike_charge(fibre("tigerholm"), "1.5 mm")
    there = axon.membrane_at(fibre("tigerholm"), "1.5 mm")
    inside = (there.time >= charge.start) & (there.time <= charge.stop)
    t = there.time[inside]
    entry = 0.0
    for (name, ion), current in there.carried.items():
        if ion == "na" and name != "nak":
            i = current[inside] - current[inside][0]
            entry -= 1e3 * float(np.sum((i[1:] + i[:-1]) / 2 * np.diff(t)))
    assert charge.sodium_entry == pytest.approx(entry)
    # The pump's own sodium is no entry.
    assert charge.sodium_entry > -charge.charge["na"]


def test_each_of_several_impulses_has_its_own_time():
    run = fibre(pulses=2)
    assert run.x[49] == 1485.0
    first, second = (spike_charge(run, "1.5 mm", number) for number in (0, 1))
    times = run.spikes["time"][run.spikes["compartment"] == 49]
    middle = times.mean()
    assert first.stop == pytest.approx(middle, abs=0.02)
    assert second.start == pytest.approx(max(middle, times[1] - 5.0), abs=0.02)
    assert spike_charge(run, "1.5 mm", -1).start == second.start
    assert second.sodium_entry == pytest.approx(first.sodium_entry, rel=0.2)


def test_without_sodium_there_is_nothing_to_count():
    hh = axon.models.hodgkin_huxley()
    nameless = [axon.Channel(c.name, c.gbar, c.reversal, c.gates) for c in hh.channels]
    cable = axon.Axon.cylinder("3 mm", 1.0, dx=30.0)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.5, 0.5, 0.5))
    run = axon.Simulation(cable, axon.Membrane(nameless), [clamp], v_init=-65.0).run(20.0)
    with pytest.raises(NoSpikeError, match="no channel carries an ion named na"):
        spike_charge(run, "1 mm")


def test_a_run_that_ends_within_the_impulse():
    run = axon.run("squid-warm", {"simulation.duration": 4.2})
    with pytest.raises(NoSpikeError, match="ends before the impulse"):
        spike_charge(run, "50 mm")


def test_without_an_impulse_there_is_no_charge():
    with pytest.raises(NoSpikeError, match="there are 1 spikes"):
        spike_charge(squid(), "50 mm", 1)
