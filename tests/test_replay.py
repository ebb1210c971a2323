"""Gates and currents found again from V, against what the run itself had and against NumPy."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import axon
from axon.channels import Gate
from axon.errors import NoSpikeError, RunFileError, SimulationError, UnitError
from axon.replay import _polynomial, membrane_at
from axon.runs import Run

DT = 0.01
MODELS = [name for name in axon.models.names() if name != "passive"]


def simulation(name="hodgkin_huxley", membrane=None, **options):
    membrane = membrane or getattr(axon.models, name)()
    fibre = axon.Axon.cylinder(1000.0, 1.0, compartments=10)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.4, start=0.1, duration=0.5))
    options = {"dt": DT, "v_init": membrane.v_init or -65.0} | options
    return axon.Simulation(fibre, membrane, [clamp], **options)


@cache
def whole(name):
    """A run with a row at each step."""
    return simulation(name).run(6.0, every=DT, dtype="float64")


def tampered(run, **changes):
    """The same run with some of its arrays others."""
    return Run.in_memory(
        changes.pop("header", run.header),
        run.x,
        run.compartments,
        changes.pop("interval", run.interval),
        changes.pop("v", np.asarray(run.v)),
        run.spikes["compartment"],
        run.spikes["time"],
        axon_x=run.axon_x,
        inputs={**run.inputs, **changes},
    )


@pytest.mark.parametrize("name", MODELS)
def test_with_a_row_at_each_step_states_are_those_of_the_run(name):
    found = membrane_at(whole(name), 450.0)
    sim = simulation(name)
    for steps in (100, 600):
        # A run ends with gates half a step before its V: their mean with those of a step later.
        ends = []
        for end in (steps, steps + 1):
            sim.run(end * DT, record=())
            ends.append(sim.state().states)
        for key, values in {**found.states, **found.concentrations}.items():
            mean = 0.5 * (ends[0][key][4] + ends[1][key][4])
            # The same arithmetic, but that V half way through a damped step isn't the mean of
            # both ends, which concentrations feel.
            assert values[steps] == pytest.approx(mean, rel=1e-7, abs=1e-12)
    if name == "hodgkin_huxley":
        assert list(found.states) == ["na.m", "na.h", "k.n"] and not found.concentrations


@pytest.mark.parametrize("name", MODELS)
def test_currents_are_those_of_the_functions_that_made_the_membrane(name):
    """By channel and ion; the tables between are good to 1e-8."""
    membrane = getattr(axon.models, name)()
    found = membrane_at(whole(name), 450.0)
    quantities = membrane.quantities(found.v, membrane.celsius, found.concentrations)
    expected = {}
    for channel in membrane.channels:
        gates = {}
        for gate in channel.gates:
            own = f"{channel.name}.{gate.name}"
            if not isinstance(gate, Gate):
                gates[gate.name] = gate.conducting(
                    [found.states[f"{own}.{s}"] for s in gate.states]
                )
            elif gate.instantaneous:
                gates[gate.name] = gate.at(quantities)[0]
            else:
                gates[gate.name] = found.states[own]
        g = channel.conductance(np.zeros(1), membrane.celsius) * channel.opening(gates, quantities)
        for ion, current in channel.currents(g, channel.reversal, quantities).items():
            expected[channel.name, ion] = current
    for pump in membrane.pumps:
        for ion, current in pump.currents(pump.factor(np.zeros(1)), quantities).items():
            expected[pump.name, ion] = current
    assert found.carried.keys() == expected.keys()
    assert found.pumps == tuple(pump.name for pump in membrane.pumps)
    largest = max(np.abs(current).max() for current in expected.values())
    for key, current in expected.items():
        current = np.broadcast_to(current, found.v.shape)
        np.testing.assert_allclose(found.carried[key], current, rtol=1e-6, atol=1e-8 * largest)
    ionic = found.ionic
    np.testing.assert_allclose(sum(ionic.values()), sum(found.currents.values()), atol=1e-9)
    for ion in ionic:
        parts = [current for (_, carrier), current in found.carried.items() if carrier == ion]
        np.testing.assert_allclose(ionic[ion], sum(parts), atol=1e-12)


def test_the_currents_through_the_membrane_are_what_flows_in_along_the_axon():
    sim = simulation(dt=0.0025)
    run = sim.run(5.0, every=0.0025, dtype="float64")
    found = membrane_at(run, 450.0)
    v, g = np.asarray(run.v), sim.axon.axial_conductance
    inwards = g[3] * (v[:, 3] - v[:, 4]) + g[4] * (v[:, 5] - v[:, 4])  # nA
    density = 1e2 * inwards / sim.axon.area[4]  # nA/µm² is 1e2 mA/cm²
    through = found.capacitive + sum(found.ionic.values())
    # The scheme's own error, of order dt²; at dt 0.005 ms it is four times that.
    np.testing.assert_allclose(through[1:-1], density[1:-1], atol=5e-4 * np.abs(density).max())
    assert found.cm == pytest.approx(1.0) and found.perimeter == pytest.approx(np.pi)


def test_rows_every_0_05_ms_will_do():
    run = axon.run("squid", {"axon.compartments": 200, "simulation.duration": 10.0})
    fine = axon.run(
        "squid",
        {"axon.compartments": 200, "simulation.duration": 10.0, "record.every": 0.005},
    )
    few, many = membrane_at(run, "50 mm"), membrane_at(fine, "50 mm")
    for name, current in few.currents.items():
        peak = np.abs(many.currents[name]).max()
        # Measured: 1.1e-5; docs/accuracy.md says 2e-5.
        np.testing.assert_allclose(current, many.currents[name][::10], atol=2e-5 * peak)
    for name, values in few.states.items():
        np.testing.assert_allclose(values, many.states[name][::10], atol=1e-5)
    assert many.v_error == 0.0
    assert 1e-3 < few.v_error < 0.02  # mV


def test_the_uncertainty_between_rows_bounds_what_is_off():
    run, fine = (simulation().run(6.0, every=every, dtype="float64") for every in (0.1, DT))
    between = np.asarray(fine.v)[5::10, 4]  # half way between rows of 0.1 ms
    v = np.asarray(run.v)[:, 4]
    four = _polynomial(4, np.array([1.5]))[0]
    off = np.abs(np.convolve(v, four, "valid") - between[1:-1]).max()
    assert off / 3 < membrane_at(run, 450.0).v_error < 3 * off


@given(st.integers(1, 6), st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_polynomials_go_through_what_is_one(nodes, coefficients):
    def curve(s):
        return sum(c * s**k for k, c in enumerate(coefficients[:nodes]))

    places = np.linspace(-1.0, nodes, 7)
    found = _polynomial(nodes, places) @ curve(np.arange(nodes))
    np.testing.assert_allclose(found, curve(places), rtol=1e-9, atol=1e-9)


def test_from_a_file_alone(tmp_path):
    path = tmp_path / "run.h5"
    sim = simulation("tigerholm")
    sim.run(3.0, every=0.05, output=path)
    known = membrane_at(sim.run(3.0, every=0.05), 450.0)
    with axon.open_run(path) as run:
        found = membrane_at(run, 450.0)
    for own, other in (
        (found.states, known.states),
        (found.concentrations, known.concentrations),
        (found.carried, known.carried),
    ):
        assert own.keys() == other.keys()
        assert all(np.array_equal(own[key], other[key]) for key in own)


def test_of_a_run_that_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("axon.equations.FIRST_BLOCK", 1)
    monkeypatch.setattr("axon.equations.MAX_BLOCK_STEPS", 1500)
    path = tmp_path / "run.h5"
    asked = iter([*[""] * 3, "enough"])
    sim = simulation()
    with pytest.raises(axon.StoppedError):
        sim.run(60.0, every=0.05, output=path, stop=lambda: next(asked))
    run = axon.open_run(path)
    found = membrane_at(run, 450.0)
    assert 0 < len(found.time) == len(run.time) < 1201
    known = membrane_at(sim.run(found.time[-1], every=0.05), 450.0)
    np.testing.assert_array_equal(found.states["na.m"], known.states["na.m"])


@pytest.mark.parametrize("begin", [100, 103])
def test_of_a_run_that_began_where_another_ended(begin):
    """On the grid of its rows, or off it."""
    sim = simulation("schild97")
    known = membrane_at(sim.run(3.0, every=0.05, dtype="float64"), 450.0)
    sim.run(begin * DT, record=())
    sim.restore(sim.state())
    run = sim.run(3.0 - begin * DT, every=0.05, dtype="float64")
    found = membrane_at(run, 450.0)
    np.testing.assert_allclose(found.time, known.time[-len(found.time) :])
    for name, values in {**found.states, **found.concentrations}.items():
        same = {**known.states, **known.concentrations}[name][-len(values) :]
        # The first steps are off the rows by up to 0.03 ms in the second case.
        np.testing.assert_allclose(values, same, rtol=1e-3, atol=1e-4)


def test_parameters_are_those_of_the_place():
    membrane = axon.models.hodgkin_huxley().scaled(na=lambda x: 1.0 - x / 2000.0)
    run = simulation(membrane=membrane).run(2.0, every=DT, dtype="float64")
    for x, factor in ((250.0, 0.875), (950.0, 0.525)):
        found = membrane_at(run, x)
        assert found.x == x
        m, h = found.states["na.m"], found.states["na.h"]
        expected = 0.12 * factor * m**3 * h * (found.v - 50.0)
        np.testing.assert_allclose(found.currents["na"], expected, rtol=1e-9, atol=1e-15)


def test_backward_euler_too():
    sim = simulation(method="backward-euler")
    found = membrane_at(sim.run(2.0, every=DT, dtype="float64"), 450.0)
    ends = []
    for steps in (200, 201):
        sim.run(steps * DT, record=())
        ends.append(sim.state().states["na.m"][4])
    assert found.states["na.m"][-1] == pytest.approx(np.mean(ends), rel=1e-9)


def shared(ion):
    return axon.Membrane(
        [
            axon.Channel("both", 1e-4, ion=ion),
            axon.Channel("leak", 3e-4, reversal=-60.0),
        ],
        ions=[axon.Ion("na", 1, reversal=50.0), axon.Ion("k", 1, reversal=-80.0)],
        pumps=[axon.Pump("nak", lambda v: 1e-4 + 0 * v, {"na": 3, "k": -2})],
    )


def test_what_ions_share_where_no_concentration_moves():
    run = simulation(membrane=shared({"na": 0.5, "k": 0.5})).run(1.0)
    found = membrane_at(run, 450.0)
    # A pump's parts follow from its stoichiometry; a channel's don't from its current alone.
    assert list(found.carried) == [
        ("both", None), ("leak", None), ("nak", "na"), ("nak", "k"),
    ]  # fmt: skip
    np.testing.assert_allclose(found.carried["nak", "na"], 3e-4)
    np.testing.assert_allclose(found.carried["nak", "k"], -2e-4)
    np.testing.assert_allclose(
        found.carried["both", None], 0.5e-4 * (2 * found.v - 50.0 + 80.0), rtol=1e-12
    )
    np.testing.assert_allclose(found.currents["nak"], 1e-4)


def test_a_current_that_is_there_without_its_conductance_is_not_told_apart():
    odd = shared({"na": lambda g, v, ena: (g + 1e-4) * (v - ena)})
    membrane = axon.Membrane([*odd.channels, axon.Channel("more", 1e-3, ion="k")], ions=odd.ions)
    run = simulation(membrane=membrane).run(1.0)
    with pytest.raises(RunFileError, match="don't add up"):
        membrane_at(run, 450.0)


def test_until():
    run = whole("hodgkin_huxley")
    found = membrane_at(run, 450.0, until="2 ms")
    all_of_it = membrane_at(run, 450.0)
    assert found.time[-1] == 2.0
    np.testing.assert_array_equal(found.states["na.h"][:-1], all_of_it.states["na.h"][:200])
    assert "201 rows of 3 gates, 0 concentrations and 3 currents" in repr(found)


# What can't be


def test_a_membrane_that_changes():
    """It is known up to then."""
    blocked = axon.models.hodgkin_huxley().scaled(na=0.0)
    run = simulation(changes=[axon.Change("2 ms", blocked)]).run(4.0)
    with pytest.raises(SimulationError, match="the membrane changes at 2 ms"):
        membrane_at(run, 500.0)
    before = membrane_at(run, 500.0, until=2.0)
    unchanged = membrane_at(simulation().run(2.0), 500.0)
    np.testing.assert_array_equal(before.states["na.m"], unchanged.states["na.m"])


def test_electrodes_outside_make_no_difference(tmp_path):
    electrode = axon.PointSource(1000.0, 0.0, 100.0)
    run = simulation().run(2.0, electrodes=[electrode], output=tmp_path / "run.h5")
    plain = membrane_at(simulation().run(2.0), 500.0)
    with run:
        found = membrane_at(run, 500.0)
    np.testing.assert_array_equal(found.currents["na"], plain.currents["na"])


def test_an_ion_that_diffuses():
    membrane = axon.Membrane(
        [axon.Channel("leak", 1e-4, -65.0), axon.Channel("na", 1e-5, ion="na")],
        ions=[axon.Ion("na", 1, 10.0, 140.0)],
        pools=[axon.Pool("na", "inside", diffusion=1.33)],
    )
    run = simulation(membrane=membrane).run(0.1)
    with pytest.raises(SimulationError, match="diffuses along the axon"):
        membrane_at(run, 450.0)


def test_rows_that_are_too_far_apart():
    run = simulation().run(2.0, every=0.5)
    with pytest.raises(SimulationError, match=r"0\.5 ms apart.*every 0\.25 ms or more often"):
        membrane_at(run, 450.0)


def test_too_many_rows(monkeypatch):
    monkeypatch.setattr("axon.replay._MOST_VALUES", 100)
    with pytest.raises(SimulationError, match="earlier until"):
        membrane_at(whole("hodgkin_huxley"), 450.0)


def test_a_run_that_records_nothing():
    with pytest.raises(NoSpikeError, match="no place is recorded"):
        membrane_at(simulation().run(0.1, record=()), 450.0)


def test_a_place_that_is_none():
    with pytest.raises(UnitError, match="at"):
        membrane_at(whole("hodgkin_huxley"), "5 ms")


def test_a_run_without_its_equations():
    run = whole("hodgkin_huxley")
    bare = Run.in_memory(
        run.header, run.x, run.compartments, run.interval, np.asarray(run.v), [], [],
        axon_x=run.axon_x,
    )  # fmt: skip
    with pytest.raises(RunFileError, match=r"where it began.*run it again"):
        membrane_at(bare, 450.0)


def with_names(run, old, new):
    text = run.inputs["program_names"].tobytes().replace(old, new)
    return {"program_names": np.frombuffer(text, np.uint8)}


@pytest.mark.parametrize(
    "change",
    [
        lambda run: {"begin_state": run.inputs["begin_state"][:, :3]},
        lambda run: {"begin_state": run.inputs["begin_state"].astype(str)},
        lambda run: {"begin_state": run.inputs["begin_state"] * np.nan},
        lambda run: {"area": run.inputs["area"] * np.nan},
        lambda run: {"program_terms": run.inputs["program_terms"] + 1000},
        lambda run: {"program_consts": np.zeros(3, np.int32)},
        lambda run: with_names(run, b'"na.m"', b'"<b>m"'),
        lambda run: with_names(run, b'"na:gbar"', b'"$_:gbar"'),
        lambda run: with_names(run, b'"na:gbar"', b'"kk:gbar"'),
        lambda run: {"v": np.asarray(run.v) * np.nan},
        lambda run: {"v": np.asarray(run.v) * 1e3},
        lambda run: {"header": {**run.header, "simulation": 3}},
        lambda run: {"header": {**run.header, "membrane": {"channels": 3}}},
        lambda run: {"header": {**run.header, "recording": {"every_steps": 10**12}}},
        lambda run: {"header": {**run.header, "recording": {"every_steps": 0}}},
        lambda run: {"header": {**run.header, "recording": {}}},
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_does_not_fit_together_is_refused(change):
    run = whole("hodgkin_huxley")
    with pytest.raises(RunFileError, match="in memory"):
        membrane_at(tampered(run, **change(run)), 450.0)
