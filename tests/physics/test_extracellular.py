"""Fields around an axon: what they do to its membrane, against solutions by other means."""

from __future__ import annotations

import numpy as np
import pytest

import axon

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
