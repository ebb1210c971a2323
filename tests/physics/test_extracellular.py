"""Fields around an axon: what they do to its membrane, against solutions by other means."""

from __future__ import annotations

import numpy as np
import pytest

import axon
from axon import analysis

ELECTRODE = axon.PointSource(x="1 mm", y=0.0, z=100.0, sigma=0.3)


def passive(length="2 mm", dx=10.0, **options):
    fibre = axon.Axon.cylinder(length, diameter=1.0, Ra=100.0, cm=1.0, dx=dx)
    membrane = axon.models.passive(g=1e-3, e=-65.0)
    return axon.Simulation(fibre, membrane, dt=0.01, **options)


def test_a_passive_cable_settles_where_a_dense_solution_lies():
    """(L + g A) V = -L E + g A e: all of it, with both ends, by linear algebra."""
    current = axon.Extracellular(ELECTRODE, axon.constant(-0.01))
    fibre = passive().axon
    sim = axon.Simulation(fibre, axon.models.passive(g=1e-3, e=-65.0), [current], dt=0.01)
    run = sim.run(30.0, every=30.0, dtype="float64")  # 30 time constants

    outside = -0.01 * 1e6 / (4 * np.pi * 0.3 * np.hypot(fibre.x - 1000.0, 100.0))
    axial = fibre.axial_conductance
    laplacian = np.diag(np.append(axial, 0.0) + np.append(0.0, axial))
    laplacian -= np.diag(axial, 1) + np.diag(axial, -1)
    leak = 1e-3 * fibre.area * 1e-2  # µS
    expected = np.linalg.solve(laplacian + np.diag(leak), leak * -65.0 - laplacian @ outside)
    np.testing.assert_allclose(run.v[-1] + 65.0, expected + 65.0, rtol=0, atol=1e-6)
    assert 1.0 < (run.v[-1] + 65.0).max() < 20.0


def test_a_long_cable_follows_the_activating_function():
    """V = lambda² E'' folded with exp(-|x|/lambda)/(2 lambda), which is known for a long cable.

    To 1e-4 of the largest change, at compartments of 2.5 µm.
    """
    fibre = axon.Axon.cylinder("4 mm", diameter=1.0, Ra=100.0, cm=1.0, dx=2.5)
    electrode = axon.PointSource(x="2 mm", y=0.0, z=200.0, sigma=0.3)
    current = axon.Extracellular(electrode, axon.constant(-0.01))
    sim = axon.Simulation(fibre, axon.models.passive(g=1e-3, e=-65.0), [current], dt=0.01)
    v = np.asarray(sim.run(30.0, every=30.0, dtype="float64").v)[-1] + 65.0

    space = np.sqrt(1.0 * 1e-4 / (4 * 100.0 * 1e-3)) * 1e4  # lambda, µm
    u = np.linspace(-2e4, 2e4, 160_001)  # far beyond the cable's ends
    r = np.hypot(u, 200.0)
    bend = -0.01 * 1e6 / (4 * np.pi * 0.3) * (3 * u**2 - r**2) / r**5
    for at in (1500.0, 1900.0, 2001.25, 2300.0):
        x = fibre.x[fibre.index(at)]
        kernel = np.exp(-np.abs(x - 2000.0 - u) / space) / (2 * space)
        expected = space**2 * np.trapezoid(bend * kernel, u)
        assert v[fibre.index(at)] == pytest.approx(expected, abs=1e-4 * np.abs(v).max())


@pytest.mark.parametrize("shape", [lambda x: np.full_like(x, 7.0), lambda x: 0.02 * x])
def test_what_has_no_second_derivative_acts_at_the_ends_alone(shape):
    field = axon.PotentialAlong.from_function(shape, "2 mm")
    stimulus = axon.Extracellular(field, axon.constant(1.0))
    sim = passive(stimuli=[stimulus], v_init=-65.0)
    v = np.asarray(sim.run(1.0, dtype="float64").v)
    middle = slice(sim.axon.index(900.0), sim.axon.index(1100.0))
    np.testing.assert_allclose(v[:, middle], -65.0, atol=1e-3)
    ends = v[-1, [0, -1]] + 65.0
    assert ends[0] == pytest.approx(-ends[1], abs=1e-9)
    assert (np.abs(ends) > 0.1).all() == (shape(1.0 * np.ones(1))[0] != 7.0)


def test_charge_is_only_moved_from_place_to_place():
    stimulus = axon.Extracellular(ELECTRODE, axon.constant(1.0))
    sim = passive(stimuli=[stimulus])
    _, _, weight = sim._equations.entries
    assert weight.sum() == pytest.approx(0.0, abs=1e-12 * np.abs(weight).max())


def excites(amplitude, **options):
    fibre = axon.Axon.cylinder("2 mm", diameter=1.0, dx=10.0)
    stimulus = axon.Extracellular(ELECTRODE, axon.pulse(amplitude, start=0.5, duration=0.2))
    sim = axon.Simulation(fibre, axon.models.sundt(), [stimulus], dt=0.01)
    return axon.impulses(sim.run(12.0, every=1.0, record=[]))


def test_a_cathode_excites_beneath_it():
    (impulse,) = excites("-400 uA")
    assert abs(impulse.start - 1000.0) <= 10.0
    assert len(impulse.ends) == 2


def test_an_anode_needs_more_and_excites_beside():
    assert excites("120 uA") == [] and excites("-120 uA") != []
    impulses = excites("200 uA")
    assert impulses and all(abs(impulse.start - 1000.0) > 50.0 for impulse in impulses)


def test_a_unit_is_converted_and_a_number_is_in_milliampere():
    by_number, by_unit = (
        axon.Extracellular(ELECTRODE, axon.pulse(amplitude, 0.5, 0.2))
        for amplitude in (-0.4, "-400 uA")
    )
    assert by_unit.waveform.mean(0.5, 0.7) == pytest.approx(-0.4, rel=1e-15)
    assert by_number.waveform == axon.pulse(-0.4, 0.5, 0.2)
    again = axon.Extracellular(ELECTRODE, by_unit.waveform)
    assert again == by_unit  # not converted a second time
    train = axon.train_of(axon.biphasic("1 mA", 0.0, 0.1), interval=1.0, count=3)
    assert axon.Extracellular(ELECTRODE, train).waveform.mean(0.0, 0.1) == pytest.approx(1.0)
    with pytest.raises(axon.StimulusError, match="in one way"):
        axon.Extracellular(ELECTRODE, axon.pulse(1.0, 0.0, 1.0) + axon.pulse("1 mA", 2.0, 1.0))


def test_an_electrode_in_the_axon_is_refused():
    inside = axon.PointSource(1005.0, 0.0, 0.0)
    with pytest.raises(axon.StimulusError, match=r"stimuli\[1\]: the source lies on the axon"):
        passive(stimuli=[axon.Extracellular(s, axon.pulse(1, 0, 1)) for s in (ELECTRODE, inside)])


def test_several_sources_with_their_own_waveforms_add():
    far = axon.PointSource("1.5 mm", 0.0, 300.0)
    first = axon.Extracellular(ELECTRODE, axon.pulse(-0.01, 0.1, 0.3))
    second = axon.Extracellular(far, axon.pulse(0.02, 0.1, 0.3))  # the same edges
    runs = [
        np.asarray(passive(stimuli=stimuli, v_init=-65.0).run(1.0, dtype="float64").v) + 65.0
        for stimuli in ([first], [second], [first, second])
    ]
    np.testing.assert_allclose(runs[0] + runs[1], runs[2], atol=1e-10)


def test_a_run_with_fields_goes_on_from_its_files(tmp_path):
    stimulus = axon.Extracellular(ELECTRODE, axon.sine("5 uA", 2000.0))
    fibre = axon.Axon.cylinder("2 mm", diameter=1.0, dx=10.0)
    sim = axon.Simulation(fibre, axon.models.sundt(), [stimulus], dt=0.01)
    sim.run(2.0, output=tmp_path / "short.h5")
    axon.resume(tmp_path / "short.h5", until=4.0)
    sim.run(4.0, output=tmp_path / "long.h5")
    assert (tmp_path / "short.h5").read_bytes() == (tmp_path / "long.h5").read_bytes()


def test_a_study_with_an_electrode_outside(tmp_path):
    (tmp_path / "field.toml").write_text(
        """
        [axon]
        shape = "cylinder"
        length = "2 mm"
        diameter = 1.0
        dx = 10.0
        [membrane]
        model = "sundt"
        [[stimuli]]
        type = "extracellular"
        source = [
            { shape = "point", x = "1 mm", y = 0, z = "100 um", sigma = 0.3 },
            { shape = "point", x = "1 mm", y = 0, z = "1 mm", part = -1.0 },
        ]
        waveform = { shape = "pulse", amplitude = "-500 uA", start = 0.5, duration = 0.2 }
        [simulation]
        duration = 5.0
        """
    )
    run = axon.run(tmp_path / "field.toml")
    (impulse,) = axon.impulses(run)
    assert abs(impulse.start - 1000.0) <= 10.0
    for change, told in (
        ({"stimuli[0].source[0].z": "3 ms"}, r"stimuli\[0\]\.source\[0\]\.z"),
        ({"stimuli[0].source[0].shape": "ring"}, "point, line, disk, along"),
        ({"stimuli[0].waveform.amplitude": "1 mV"}, "amplitude"),
    ):
        with pytest.raises(axon.StudyError, match=told):
            axon.run(tmp_path / "field.toml", change)


# Where the axon lies


def test_a_path_and_an_electrode_may_be_turned_together():
    """Only distances count; the same electrode at a straight axon does something else."""
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    path = np.array([(0, 0, 0), (900, 0, 0), (900, 600, 0), (1500, 600, 300)])
    fibre = passive().axon

    def change(axon_, place):
        source = axon.PointSource(*place)
        stimulus = axon.Extracellular(source, axon.constant(0.01))
        sim = axon.Simulation(axon_, axon.models.passive(g=1e-3, e=-65.0), [stimulus], dt=0.01)
        return np.asarray(sim.run(2.0, every=2.0, dtype="float64").v)[-1] + 65.0

    place = np.array([1000.0, 300.0, 50.0])
    expected = change(fibre.along(path), place)
    np.testing.assert_allclose(change(fibre.along(path @ turn), place @ turn), expected, atol=1e-10)
    assert np.abs(change(fibre, place) - expected).max() > 0.01


def test_a_run_knows_its_path_and_goes_on(tmp_path):
    stimulus = axon.Extracellular(ELECTRODE, axon.sine("5 uA", 2000.0))
    fibre = passive().axon.along([(0, 0, 0), (500, 0, 0), (500, 2000, 0)])
    sim = axon.Simulation(fibre, axon.models.sundt(), [stimulus], dt=0.01)
    sim.run(1.0, output=tmp_path / "short.h5")
    with axon.open_run(tmp_path / "short.h5") as run:
        assert run.axon == fibre
    axon.resume(tmp_path / "short.h5", until=2.0)
    sim.run(2.0, output=tmp_path / "long.h5")
    assert (tmp_path / "short.h5").read_bytes() == (tmp_path / "long.h5").read_bytes()


# What an electrode records


def held(fibre, v, **change):
    """A run of this axon with this field."""
    sim = axon.Simulation(fibre, axon.models.passive(), dt=0.01)
    header = sim.run(0.0, record=[]).header
    known = {"x": fibre.x, "compartments": np.arange(fibre.n), "interval": 0.5, "axon_x": fibre.x}
    none = {"spike_compartment": [], "spike_time": []}
    return axon.Run.in_memory(**({"header": header, "v": v} | known | none | change))


TAPERED = axon.Axon.tapered("1 mm", 1.0, 3.0, compartments=40)
BENT = TAPERED.along([(0, 0, 0), (300, 0, 0), (300, 900, 0)])
FIELD = np.random.default_rng(5).uniform(-90.0, 40.0, (30, 40))


@pytest.mark.parametrize(
    "source",
    [
        axon.PointSource(300.0, 200.0, 60.0, sigma=(0.5, 0.1, 0.2)),
        axon.LineSource((0.0, 0.0, 50.0), (500.0, 0.0, 80.0)),
        axon.DiskSource(300.0, 200.0, 60.0, radius=100.0),
        axon.PotentialAlong.from_function(lambda x: 1e3 * np.sin(x / 100.0), "1 mm"),
        axon.PointSource(0.0, 0.0, 60.0) - axon.PointSource(300.0, 0.0, 60.0),
    ],
    ids=lambda source: type(source).__name__,
)
@pytest.mark.parametrize("fibre", [TAPERED, BENT], ids=["straight", "bent"])
def test_the_potential_is_the_sum_over_all_membranes(source, fibre):
    g, lead = fibre.axial_conductance, source.on_axon(fibre.places, fibre.x)
    expected = np.zeros(30)
    for i in range(40):
        for j in (i - 1, i + 1):
            if 0 <= j < 40:
                through = g[min(i, j)] * (FIELD[:, j] - FIELD[:, i])  # nA
                expected += lead[i] * through * 1e-6  # mV for 1 mA, times mA
    found = axon.extracellular_potential(held(fibre, FIELD), source)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_the_field_is_read_in_pieces_and_places_may_be_in_any_order(monkeypatch):
    whole = axon.extracellular_potential(held(BENT, FIELD), ELECTRODE)
    order = np.random.default_rng(2).permutation(40)
    mixed = held(BENT, FIELD[:, order], x=BENT.x[order], compartments=order)
    for values in (1, 41, 130, 4000):
        monkeypatch.setattr(analysis, "_VALUES_AT_ONCE", values)
        found = axon.extracellular_potential(mixed, ELECTRODE)
        np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-15)


def currents(run):
    """What leaves every compartment through its membrane at each row but the ends, nA.

    Of a passive membrane, from how fast the potential changes, to second order in the interval.
    """
    fibre, v = run.axon, np.asarray(run.v)
    charging = fibre.cm * 1e-3 * (v[2:] - v[:-2]) / (2 * run.interval)  # mA/cm²
    return (charging + 1e-3 * (v[1:-1] + 65.0)) * fibre.area * 1e-2


@pytest.mark.parametrize(
    "stimulus",
    [
        axon.CurrentClamp("0.7 mm", axon.sine("0.2 nA", 500.0)),
        axon.Extracellular(ELECTRODE, axon.sine("20 uA", 500.0)),
    ],
    ids=["inside", "outside"],
)
def test_it_is_that_of_the_currents_through_the_membrane(stimulus):
    sim = passive("2 mm", dx=20.0, stimuli=[stimulus])
    run = sim.run(4.0, every=0.01, dtype="float64")
    through = currents(run)
    injected = stimulus.waveform(run.time[1:-1])
    inside = isinstance(stimulus, axon.CurrentClamp)
    # What is given to the axon leaves it; to second order in 0.01 ms, at 500 Hz.
    np.testing.assert_allclose(through.sum(axis=1), injected * inside, atol=2e-4)
    electrode = axon.PointSource("1.2 mm", 150.0, 0.0)
    lead = electrode.on_axon(run.axon.places, run.axon.x)
    found = axon.extracellular_potential(run, electrode)[1:-1]
    expected = 1e-6 * through @ lead
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_at_a_jump_the_current_is_the_one_afterwards():
    """Whatever the rounding of a row's time: 3 * 0.1 is more than 0.3."""
    electrode = axon.PointSource("1 mm", 50.0, 0.0)
    clamp = axon.CurrentClamp("1 mm", axon.pulse(1.0, start=0.3, duration=0.4))
    run = passive(stimuli=[clamp], v_init=-65.0).run(1.0, every=0.1, dtype="float64")
    phi = axon.extracellular_potential(run, electrode)
    assert np.abs(phi[:3]).max() < 1e-12
    at = passive().axon.index("1 mm")
    alone = 1e-6 * electrode.on_axon(run.axon.places, run.axon.x)[at]  # of 1 nA, none of it inside
    assert phi[3] == pytest.approx(alone, rel=1e-9)
    charged = axon.extracellular_potential(held(run.axon, np.asarray(run.v)), electrode)
    expected = np.zeros(11)
    expected[3:7] = alone
    np.testing.assert_allclose(phi - charged, expected, atol=1e-12)


def test_from_afar_an_axon_is_a_dipole_or_a_quadrupole():
    """phi = (sum Im + sum x Im / r + sum x² Im / r²) / (4 pi sigma r) on its axis, and the sums are
    those of second differences: 0; g times the fall of V; and 2 g times the integral of V, with the
    axial conductance g = pi d² / (4 Ra), here 0.785 µS µm.
    """
    fibre = axon.Axon.cylinder("1 mm", 1.0, Ra=100.0, compartments=100)
    rise = np.tanh((fibre.x - 500.0) / 80.0)
    bump = np.exp(-(((fibre.x - 500.0) / 80.0) ** 2))
    run = held(fibre, -65.0 + 100.0 * np.array([rise, bump]))
    g = np.pi / 4
    for r in (50e3, 100e3):
        electrode = axon.PointSource(500.0 + r, 0.0, 0.0, sigma=0.3)
        dipole, quadrupole = axon.extracellular_potential(run, electrode)
        # To the next term but one, (0.3 mm / 50 mm)².
        per_current = 1.0 / (4 * np.pi * 0.3 * r)  # mV for a nA
        assert dipole == pytest.approx(per_current * g * -200.0 / r, rel=1e-4)
        integral = 100.0 * 80.0 * np.sqrt(np.pi)
        assert quadrupole == pytest.approx(per_current * 2 * g * integral / r**2, rel=1e-4)


@pytest.mark.parametrize("fibre", [TAPERED, BENT], ids=["straight", "bent"])
@pytest.mark.parametrize("at", [20.0, 610.0])
def test_reciprocity(fibre, at):
    """A current inside makes the potential at the electrode that one from there makes inside.

    Inside is V + E. In a passive axon it holds at any time, for any course of the current, and to
    round-off: each step of the scheme is a symmetric matrix.
    """
    electrode = axon.PointSource(310.0, 100.0, 80.0)
    course = axon.pulse(1.0, 0.5, 1.0) + axon.sine(0.5, 800.0)
    membrane = axon.models.passive(g=1e-3, e=-65.0)

    def run(stimulus):
        sim = axon.Simulation(fibre, membrane, [stimulus], dt=0.01)
        return sim.run(3.0, every=0.01, dtype="float64")

    k = fibre.index(at)
    seen = axon.extracellular_potential(run(axon.CurrentClamp(at, 0.1 * course)), electrode)
    driven = run(axon.Extracellular(electrode, 0.01 * course))
    lead = electrode.on_axon(fibre.places, fibre.x)[k]
    made = driven.v[:, k] + 65.0 + 0.01 * lead * course(driven.time + 1e-8)
    # mV for a nA, and for a mA.
    seen, made = seen / 0.1, 1e-6 * made / 0.01
    np.testing.assert_allclose(seen, made, rtol=0, atol=1e-12 * np.abs(seen).max())
    assert np.abs(seen).max() > 1e-3


@pytest.fixture(scope="module")
def travelling():
    """An impulse along a fibre, and the simulation."""
    fibre = axon.Axon.cylinder("4 mm", diameter=1.0, dx=10.0)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.3, start=0.5, duration=0.5))
    return axon.Simulation(fibre, axon.models.sundt(), [clamp], dt=0.01)


def test_an_impulse_that_passes_is_seen_in_three_phases(travelling):
    """Positive, negative, positive; largest as it passes; and smaller with the distance."""
    run = travelling.run(12.0, every=0.02, dtype="float64")
    near, far = (
        axon.extracellular_potential(run, axon.PointSource("2 mm", y, 0.0))[run.time > 2.0]
        for y in (50.0, 200.0)
    )
    time = run.time[run.time > 2.0]
    trough = np.argmin(near)
    assert near[:trough].max() > 0 and near[trough:].max() > 0 > near[trough]
    passes = axon.action_potential(run, "2 mm")
    assert passes.time - 0.5 < time[trough] < passes.peak_time + 0.1
    assert near.max() < -near.min() and -far.min() < -near.min() / 4
    # Neighbours' potentials are alike, but float32 leaves digits enough of their differences.
    rough = travelling.run(12.0, every=0.02)
    again = axon.extracellular_potential(rough, axon.PointSource("2 mm", 50.0, 0.0))
    assert np.abs(again[run.time > 2.0] - near).max() < 1e-6 * -near.min()


def test_of_a_run_in_files(travelling, tmp_path):
    """Of a growing one as far as it has come."""
    expected = axon.extracellular_potential(travelling.run(4.0), ELECTRODE)
    travelling.run(4.0, output=tmp_path / "run.h5")
    with axon.open_run(tmp_path / "run.h5") as run:
        np.testing.assert_allclose(axon.extracellular_potential(run, ELECTRODE), expected)

    def enough():
        nonlocal looks
        looks += 1
        return "enough" if looks > 1 else ""

    looks = 0
    with pytest.raises(axon.StoppedError):
        travelling.run(1e5, output=tmp_path / "growing.h5", stop=enough, commit_every=0.0)
    with axon.open_run(tmp_path / "growing.h5") as run:
        assert not run.complete
        found = axon.extracellular_potential(run, ELECTRODE)
        assert len(found) == len(run.v)
        rows = min(len(found), len(expected))
        np.testing.assert_allclose(found[:rows], expected[:rows], atol=1e-9)


def test_what_an_electrode_cannot_record(travelling):
    few = travelling.run(0.1, record=["1 mm", "2 mm"])
    with pytest.raises(axon.SimulationError, match="2 of 400 compartments are recorded"):
        axon.extracellular_potential(few, ELECTRODE)
    run = travelling.run(0.1)
    with pytest.raises(axon.StimulusError, match="source = 'left' is no source"):
        axon.extracellular_potential(run, "left")
    with pytest.raises(axon.StimulusError, match="lies on the axon itself, at x = 1005 um"):
        axon.extracellular_potential(run, axon.PointSource(1005.0, 0.0, 0.0))
