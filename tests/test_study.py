from __future__ import annotations

import inspect
import json
import math
import tomllib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import rallpack

import axon.study
from axon import analysis, models, ranges, sources, study, waveforms
from axon.changes import Change
from axon.disk import open_run
from axon.errors import StudyError
from axon.geometry import Axon
from axon.simulation import Simulation
from axon.stimuli import CurrentClamp

SMALL = """
title = "A short axon"

[axon]
shape = "cylinder"
length = "2 mm"
diameter = 476.0
Ra = 35.4
compartments = 20

[membrane]
model = "hodgkin_huxley"

[[stimuli]]
type = "current_clamp"
at = 0.0
waveform = { shape = "pulse", amplitude = "2 uA", start = 0.1, duration = 0.2 }

[simulation]
duration = 2.0
dt = 0.01

[record]
every = 0.1

[measure]
velocity = { start = 100.0, stop = "1.9 mm" }
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def problems(path, changes=None):
    """Lines of the error, without the file that each of them names."""
    with pytest.raises(StudyError) as caught:
        study.load(path, changes)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


# What a good study becomes


def test_a_study_becomes_what_the_library_would_build(small):
    read = study.load(small)
    assert read.name == "small"
    assert read.title == "A short axon"
    assert read.duration == 2.0
    assert read.recording == {"every": 0.1}
    assert read.tables == tomllib.loads(SMALL)
    simulation = read.simulation
    assert simulation.axon == Axon.cylinder("2 mm", 476.0, Ra=35.4, compartments=20)
    assert simulation.membrane.name == "hodgkin_huxley"
    pulse = waveforms.pulse("2 uA", start=0.1, duration=0.2)
    assert simulation.stimuli == (CurrentClamp(0.0, pulse),)
    assert simulation.dt == 0.01
    assert simulation.changes == ()


def test_changes(small):
    tables = [
        {"at": "0.5 ms", "membrane": {"model": "hodgkin_huxley", "scaled": {"na": 0.0}}},
        {"at": 1.0, "celsius": "18.5 degC"},
    ]
    blocked, warmed = study.load(small, {"changes": tables}).simulation.changes
    assert blocked.at == 0.5 and blocked.celsius is None
    assert blocked.membrane.channels[0].scales == (0.0,)
    assert (warmed.at, warmed.membrane, warmed.celsius) == (1.0, None, 18.5)
    run = study.load(small, {"changes": tables}).run()
    assert [change["at"] for change in run.header["changes"]] == [0.5, 1.0]
    tables += [{"membrane": {"model": "hodgkin_huxly"}}, {"at": 1.5}, 3]
    found = problems(small, {"changes": tables})
    assert any("changes[2].membrane.model" in line for line in found)
    assert any("changes[2].at is missing" in line for line in found)
    assert any(line.startswith("changes[3]: at=1.5 ms nothing changes") for line in found)
    assert any("changes[4] = 3 is no table" in line for line in found)
    (late,) = problems(small, {"changes": [{"at": 0.123, "celsius": 5.0}]})
    assert late.startswith("simulation: changes[0].at=0.123 ms is no whole number of steps")


STEM = {"shape": "cylinder", "length": "1 mm", "diameter": 2, "dx": 10}
TWIG = {"shape": "tapered", "length": 500, "diameter": 1, "end_diameter": 0.5, "dx": 10}


def test_axons_that_branch(small):
    """Cables in a list, each on one before it; regular ones; and those of SWC files."""
    parts = [
        STEM | {"name": "stem"},
        TWIG | {"parent": "stem"},
        TWIG | {"parent": 0, "at": "0.4 mm", "name": "b", "path": [[0, 0, 0], [500, 0, 0]]},
    ]
    table = {"shape": "tree", "branches": parts}
    places = {
        "stimuli[0].at": ["b", "20 um"],
        "record.positions": [0.0, ["b", 100], [1, "0.1 mm"]],
        "measure.velocity": {"start": ["b", 400], "stop": ["b", "100 um"]},
    }
    found = study.load(small, {"axon": table, **places})
    twig = Axon.tapered(500, 1, 0.5, dx=10)
    expected = axon.Tree(
        (
            axon.Branch(Axon.cylinder(1000, 2, dx=10), name="stem"),
            axon.Branch(twig, 0, 1000.0),
            axon.Branch(twig.along([(0, 0, 0), (500, 0, 0)]), 0, 400.0, "b"),
        )
    )
    assert found.simulation.axon == expected
    assert found.simulation.stimuli[0].at == ("b", 20.0)
    assert found.recording["record"] == [0.0, ("b", 100.0), (1, 100.0)]
    regular = {"shape": "regular", "length": "1 mm", "diameter": 2, "generations": 2, "dx": 10}
    changes = {"axon": regular, "measure": {}}
    assert study.load(small, changes).simulation.axon == axon.Tree.regular(1000, 2, 2, dx=10)
    small.with_name("cell.swc").write_text("1 2 0 0 0 1 -1\n2 2 50 0 0 1 1\n", encoding="utf-8")
    changes = {
        "axon": {"shape": "swc", "file": "cell.swc", "Ra": "50 ohm*cm", "dx": 10, "types": [2]}
    }
    tree = study.load(small, changes | {"measure": {}, "stimuli": []}).simulation.axon
    assert tree == Axon.from_swc(small.with_name("cell.swc"), Ra=50.0, dx=10)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"shape": "tree"}, "axon.branches is missing"),
        ({"shape": "tree", "branches": []}, "axon.branches = [] is no list of cables"),
        ({"shape": "tree", "branches": [STEM], "dx": 10}, "axon.dx = 10: unknown key"),
        ({"shape": "tree", "branches": [STEM, 3]}, "axon.branches[1] = 3 is no table"),
        (
            {"shape": "tree", "branches": [STEM, TWIG]},
            "axon.branches[1].parent = None is no branch",
        ),
        (
            {"shape": "tree", "branches": [STEM, TWIG | {"parent": 1}]},
            "axon.branches[1].parent = 1 is no branch before it",
        ),
        (
            {"shape": "tree", "branches": [STEM, TWIG | {"parent": 0, "at": "2 mm"}]},
            "axon: branches[1].at = 2000.0 um does not lie on its parent",
        ),
        (
            {"shape": "tree", "branches": [STEM, {"shape": "tree", "parent": 0}]},
            "axon.branches[1].shape = 'tree' is not one of",
        ),
        ({"shape": "regular", "length": 10, "diameter": 1}, "axon.generations is missing"),
        ({"shape": "swc", "file": "none.swc"}, "axon: "),
        ({"shape": "swc", "file": 3}, "axon.file = 3 is no text"),
    ],
)
def test_axons_that_cannot_branch_so(small, table, told):
    found = problems(small, {"axon": table, "measure": {}})
    assert found and found[0].startswith(told), found


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"shape": "profile", "x": [0, "0.5 mm", 1000], "diameter": [1, 2, "1 um"], "dx": 10},
            Axon.from_profile([0, 500, 1000], [1, 2, 1], dx=10),
        ),
        (
            {"shape": "tapered", "length": 1000, "diameter": 2, "end_diameter": 1, "dx": "10 um"},
            Axon.tapered(1000, 2, 1, dx=10),
        ),
        (
            {"shape": "stepped", "lengths": [100, "1 mm"], "diameters": [1, 2], "d_lambda": 0.3},
            Axon.stepped([100, 1000], [1, 2], d_lambda=0.3),
        ),
        (
            {
                "shape": "varicose",
                "length": "1 mm",
                "diameter": 0.5,
                "varicosity_diameter": 1.5,
                "varicosity_length": 4,
                "spacing": 20,
                "compartments": 500,
            },
            Axon.varicose(1000, 0.5, 1.5, 4, 20, compartments=500),
        ),
        (
            {"shape": "cylinder", "length": 30, "diameter": 1, "cm": [1, 2, 3], "compartments": 3},
            Axon.cylinder(30, 1, cm=[1, 2, 3], compartments=3),
        ),
    ],
)
def test_every_shape_of_axon(small, table, expected):
    changes = {"axon": table, "measure": {}}
    assert study.load(small, changes).simulation.axon == expected


def test_waveforms_nest_and_add(small):
    pulse = {"shape": "pulse", "amplitude": 1.0, "start": 0.0, "duration": 0.2}
    burst = {"shape": "train_of", "waveform": pulse, "interval": 1.0, "count": 3}
    sine = {"shape": "sine", "amplitude": "1 uA", "frequency_hz": "1 kHz"}
    (stimulus,) = study.load(small, {"stimuli[0].waveform": [burst, sine]}).simulation.stimuli
    one = waveforms.pulse(1.0, 0.0, 0.2)
    assert stimulus.waveform == waveforms.train_of(one, 1.0, 3) + waveforms.sine(1000.0, 1000.0)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"shape": "sine", "amplitude": "1 uA", "frequency_hz": 9, "duration": "5 ms",
             "end_amplitude": "0 uA"},
            waveforms.sine(1000.0, 9.0, duration=5.0, end_amplitude=0.0),
        ),
        (
            {"shape": "carrier", "amplitude": 5, "frequency_hz": "10 kHz", "t": [0, "50 ms", 60],
             "envelope": [0, 1, 0]},
            waveforms.carrier(5.0, 10_000.0, [0, 50, 60], [0, 1, 0]),
        ),
        (
            {"shape": "chirp", "amplitude": 5, "start_hz": 1, "stop_hz": "2 kHz", "start": 0,
             "duration": 10},
            waveforms.chirp(5.0, 1.0, 2000.0, 0.0, 10.0),
        ),
        (
            {"shape": "noise", "amplitude": 5, "interval": "10 us", "seed": 3},
            waveforms.noise(5.0, 0.01, seed=3),
        ),
    ],
)  # fmt: skip
def test_every_shape_of_wave(small, table, expected):
    (stimulus,) = study.load(small, {"stimuli[0].waveform": table}).simulation.stimuli
    assert stimulus.waveform == expected


def test_membranes_take_arguments_and_factors(small):
    changes = {"membrane": {"model": "hodgkin_huxley", "e_na": "55 mV", "scaled": {"na": 0.5}}}
    membrane = study.load(small, changes).simulation.membrane
    assert membrane.to_dict() == models.hodgkin_huxley(e_na=55.0).scaled(na=0.5).to_dict()


def test_positions_are_recorded(small):
    run = study.run(small, {"record.positions": ["1.05 mm", 50.0], "record.dtype": "float64"})
    assert run.x.tolist() == [1050.0, 50.0]
    assert run.v.dtype == np.float64


def test_electrodes_record(small):
    place = {"shape": "point", "x": "1 mm", "y": 500.0, "z": 0.0}
    pair = [place, place | {"x": "1.5 mm", "part": -1.0}]
    changes = {"record.positions": [], "record.electrodes": [place, pair]}
    read = study.load(small, changes)
    one = sources.PointSource("1 mm", 500.0, 0.0)
    two = 1.0 * one + -1.0 * sources.PointSource("1.5 mm", 500.0, 0.0)
    expected = read.simulation.run(2.0, every=0.1, record=[], electrodes=[one, two])
    np.testing.assert_array_equal(read.run().electrodes, expected.electrodes)
    assert (
        read.estimate().file_bytes
        > study.load(small, {"record.positions": []}).estimate().file_bytes
    )
    bad = {"record.electrodes": [place | {"y": "3 ms"}, {"shape": "ring"}]}
    assert [line.split(" ")[0] for line in problems(small, bad)] == [
        "record.electrodes[0].y",
        "record.electrodes[1].shape",
    ]
    (line,) = problems(small, {"record.electrodes": [place | {"x": 50.0, "y": 0.0}]})
    assert line.startswith("record: electrodes[0]: the source lies on the axon itself")


def test_changes_take_the_place_of_what_is_written(small):
    changes = {
        "simulation.dt": np.float64(0.02),
        "axon.compartments": np.int64(10),
        "stimuli[0].waveform.amplitude": "3 uA",
        "simulation.celsius": 18.5,
    }
    read = study.load(small, changes)
    assert read.simulation.dt == 0.02
    assert read.simulation.axon.n == 10
    assert read.simulation.stimuli[0].waveform == waveforms.pulse(3000.0, 0.1, 0.2)
    assert read.tables["simulation"]["celsius"] == 18.5
    assert json.loads(json.dumps(read.tables)) == read.tables


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("simulation.dt=0.01", ("simulation.dt", 0.01)),
        ("axon.length = 50 mm", ("axon.length", "50 mm")),
        ('axon.length="50 mm"', ("axon.length", "50 mm")),
        ("record.positions=[1, '2 mm']", ("record.positions", [1, "2 mm"])),
        ("title=a=b", ("title", "a=b")),
        ("title=1\nb=2", ("title", "1\nb=2")),
        ("title=", ("title", "")),
    ],
)
def test_changes_are_read_from_text(text, change):
    assert study.parse_change(text) == change


def test_an_axon_on_a_path(small):
    path = [[0, 0, 0], [0, "1 m", 0]]
    axon = study.load(small, {"axon.path": path}).simulation.axon
    np.testing.assert_array_equal(axon.places[:, 1], axon.x)
    for wrong, told in (
        ([[0, 0, 0], [0, "1 ms", 0]], r"axon\.path\[1\]\[1\] = '1 ms'"),
        ([[0, 0, 0], [0, 1, 0]], r"axon\.path: path is 1 um long"),
        (3, r"axon\.path = 3 is no list"),
    ):
        with pytest.raises(StudyError, match=told):
            study.load(small, {"axon.path": wrong})


def test_a_study_is_changed_without_its_file(small):
    read = study.load(small, {"axon.Ra": 50.0})
    text = small.read_text()
    small.unlink()
    changes = {
        "axon.diameter": "1 um",
        "stimuli[0].waveform": {"shape": "constant", "amplitude": 1},
    }
    changed = read.changed(changes | {"stimuli[0].waveform.amplitude": "2 nA"})
    assert read.tables["axon"]["diameter"] == 476.0
    assert changes["stimuli[0].waveform"]["amplitude"] == 1  # what was given stays as it was
    small.write_text(text)
    again = study.load(
        small, {"axon.Ra": 50.0} | changes | {"stimuli[0].waveform.amplitude": "2 nA"}
    )
    assert changed.tables == again.tables
    assert changed.simulation.stimuli == again.simulation.stimuli
    assert (
        changed.simulation.axon
        == again.simulation.axon
        == Axon.cylinder("2 mm", 1.0, Ra=50.0, compartments=20)
    )
    assert (changed.name, changed.title, changed.file) == ("small", "A short axon", str(small))
    with pytest.raises(StudyError, match=rf"^{small}: axon: diameter = -1"):
        changed.changed({"axon.diameter": -1})
    assert changed.changed({}).tables == changed.tables


SWEEP = {
    "seed": 1,
    "axes": [
        {"axon.diameter": {"start": "0.2 um", "stop": "1 um", "count": 5}},
        {"simulation.celsius": [10, 20], "membrane.scaled.na": [1.0, 0.8]},
        {"count": 1000, "membrane.scaled.k": {"draw": "normal", "mean": 1.0, "sd": 0.1, "low": 0}},
    ],
}


def test_a_study_names_ranges_and_stays_what_it_is(small):
    read = study.load(small, {"sweep": SWEEP})
    assert read.sweep == ranges.read(SWEEP)
    assert len(read.sweep) == 10_000
    assert read.simulation.axon == study.load(small).simulation.axon
    assert study.load(small).sweep is None
    for k in (0, 1234, -1):
        point, alone = read.changed(read.sweep[k]), study.load(small, read.sweep[k])
        assert point.sweep is None
        assert point.tables == alone.tables
        assert point.simulation.membrane.to_dict() == alone.simulation.membrane.to_dict()
    assert point.simulation.axon.profile_diameter[0] == 1.0
    assert point.tables["simulation"]["celsius"] == 20


def test_a_run_knows_nothing_of_ranges_and_questions(small):
    """These may be changed, and the run goes on all the same."""
    both = {"sweep": {"axes": [{"axon.diameter": [400, 500]}]}, "ask": {"question": "threshold"}}
    read = study.load(small, both)
    assert read.tables == tomllib.loads(SMALL) | both
    assert read.run().header == study.load(small).run().header
    point = read.changed(read.sweep[1])
    assert point.run().header == study.run(small, {"axon.diameter": 500}).header


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ([{"a": 3}], ['sweep.axes[0]."a" = 3 is no list and no range; ']),
        (
            [{"axon.Ra": [1]}, {"axon.diameter": [1, -2]}],
            ["sweep.axes[1] at axon.diameter = -2: axon: diameter = -2"],
        ),
        (
            [{"axon.diameter": ["1 ms", 1, -2]}],
            [
                "sweep.axes[0] at axon.diameter = '1 ms': axon.diameter = '1 ms' cannot be",
                "sweep.axes[0] at axon.diameter = -2: axon: diameter = -2",
            ],
        ),
        ([{"axon.diametre": [1]}], ["sweep.axes[0] at axon.diametre = 1: axon.diametre = 1: unk"]),
        ([{"axon..Ra": [1]}], ["sweep.axes[0] at axon..Ra = 1: 'axon..Ra' is no key"]),
        (
            [{"sweep.seed": [1, 2]}],
            [
                "sweep.axes[0] at sweep.seed = 1: sweep.seed cannot be changed",
                "sweep.axes[0] at sweep.seed = 2: sweep.seed cannot be changed",
            ],
        ),
        (  # neither alone
            [{"membrane": [{"model": "passive"}]}, {"membrane.g_na": [0.1]}],
            ["sweep at membrane = {'model': 'passive'}, membrane.g_na = 0.1: membrane.g_na"],
        ),
    ],
)
def test_what_a_range_spoils_is_told_with_its_axis(small, axes, told):
    lines = problems(small, {"sweep": {"axes": axes}})
    assert len(lines) == len(told)
    for line, start in zip(lines, told, strict=True):
        assert line.startswith(start)


def test_problems_with_ranges_are_told_with_all_others(small):
    lines = problems(small, {"sweep": {"axes": []}, "axon.lenght": 1, "ask": {"at": 3}})
    assert [line.partition(" ")[0] for line in lines] == ["axon.lenght", "sweep.axes", "ask"]
    assert lines[2].endswith('names no question; write question = "threshold"')


def test_a_change_without_a_value_is_refused():
    with pytest.raises(StudyError, match=r"simulation\.dt=0\.01"):
        study.parse_change("simulation.dt")


def test_a_study_runs_into_memory_and_into_a_file(small, tmp_path):
    fractions = []
    run = study.run(small, progress=lambda done, t: fractions.append(done))
    assert run.v.shape == (21, 20)
    assert fractions[-1] == 1.0
    study.run(small, output=tmp_path / "out.h5")
    with open_run(tmp_path / "out.h5") as stored:
        assert np.array_equal(stored.v[:], run.v[:])
        assert stored.header == run.header
        assert stored.header["study"] == tomllib.loads(SMALL)


# Those that come with axon


@pytest.mark.parametrize("name", study.names())
def test_built_in_studies_are_good(name):
    read = study.load(name)
    assert read.title == study.title(name)
    assert read.name == name


def test_the_squid_axon_conducts_as_it_should():
    run = study.run("squid")
    velocity = analysis.conduction_velocity(run, "25 mm", "75 mm")
    # Converged in dt and dx: 12.3205 m/s; at this dt and dx the error is 4e-5 of it.
    assert velocity.value == pytest.approx(12.3205, rel=1e-4)
    assert velocity.n_sites == 500
    # The impulse has reached the end, and left the membrane hyperpolarised.
    assert len(np.unique(run.spikes["compartment"])) == 1000
    assert -77.0 < run.v[-1, -1] < -70.0


def test_the_warm_squid_axon_conducts_as_it_should():
    velocity = analysis.conduction_velocity(study.run("squid-warm"), "25 mm", "75 mm")
    # Converged: 18.733 m/s; faster kinetics make the error of the step larger, 4e-4 of it.
    assert velocity.value == pytest.approx(18.733, rel=5e-4)


def test_impulses_that_collide_annihilate():
    run = study.run("collision")
    assert np.bincount(run.spikes["compartment"], minlength=1000).tolist() == [1] * 1000
    # Both halves of the axon fire towards the middle, at the same time.
    time = run.spikes["time"][np.argsort(run.spikes["compartment"])]
    assert (np.diff(time[10:500]) > 0).all()
    # Up to rounding, which the two directions of elimination do differently.
    assert time == pytest.approx(time[::-1], abs=1e-9)


def test_an_axon_is_refractory():
    run = study.run("refractory")
    arrived = run.spikes[run.spikes["compartment"] == 250]["time"]
    assert len(arrived) == 2  # of three pulses
    first, second = run.v[: 8 * 20, 250].max(), run.v[8 * 20 :, 250].max()
    assert second < first - 1.0  # mV
    # The second pulse is given 10 ms after the first and its impulse lags behind further.
    assert arrived[1] - arrived[0] > 10.1


def test_the_passive_cable_charges_as_it_should():
    run = study.run("rallpack1", {"record.positions": [0.0, "1 mm"]})
    exact = np.stack([rallpack.exact(run.time, 0), rallpack.exact(run.time, 999)], axis=1)
    # What Rallpack 1 is asked to reach at this dt, and what float32 can hold.
    error = np.sqrt(np.mean((run.v[:] - exact) ** 2, axis=0))
    assert error[0] < 0.01
    assert error[1] < 1e-4
    assert len(run.spikes) == 0


def test_the_thin_axon_fires_as_often_as_it_should():
    fired = np.bincount(study.run("rallpack3").spikes["compartment"], minlength=1000)
    assert (fired[0], fired[-1]) == (18, 17)


# What is wrong with a study


def test_all_problems_are_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        """
        titel = "x"
        [axon]
        shape = "cylinder"
        lenght = 5
        diameter = "476 ms"
        compartments = 10.5
        [membrane]
        model = "hodgkin_huxly"
        [[stimuli]]
        type = "current_clamp"
        at = true
        waveform = [
            { shape = "pulse", amplitude = "10 V", start = nan, duration = 1.0 },
            { shape = "puls" },
            3,
        ]
        [[stimuli]]
        at = 3
        [simulation]
        dt = 0.005
        celsius = "6 mm"
        colour = "red"
        [record]
        positions = [1, "2 s"]
        [measure]
        velocity = { start = "25 mm" }
        """
    )
    expected = [
        "titel = 'x': unknown key; did you mean title?",
        "axon.lenght = 5: unknown key; did you mean length?",
        "axon.diameter = '476 ms' cannot be converted to um; write a number in um, or \"10 um\"",
        "axon.compartments = 10.5 is no whole number",
        "membrane.model = 'hodgkin_huxly' is not one of",
        "stimuli[0].at = True",
        "stimuli[0].waveform[0].amplitude = '10 V'",
        "stimuli[0].waveform[0].start = nan",
        "stimuli[0].waveform[1].shape = 'puls' is not one of",
        "stimuli[0].waveform[2] = 3 is no table",
        "stimuli[1].type is missing; write one of current_clamp",
        "simulation.celsius = '6 mm'",
        "simulation.colour = 'red': unknown key; simulation takes duration, ",
        "simulation.duration is missing; simulation takes duration, ",
        "record.positions[1] = '2 s'",
        "measure.velocity.stop is missing",
    ]
    told = problems(path)
    assert len(told) == len(expected)
    for line, start in zip(told, expected, strict=True):
        assert line.startswith(start)
    assert "did you mean hodgkin_huxley?" in told[4]
    assert "did you mean pulse?" in told[8]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"axon.length": -1}, "axon: length = -1"),
        ({"axon.dx": 10}, "axon: "),  # cut in two ways
        ({"axon.diameter": [1, 2]}, "axon: diameter"),
        ({"axon": "squid"}, "axon = 'squid' is no table"),
        ({"axon": {}}, "axon.shape is missing; write one of cylinder, "),
        ({"axon.shape": ["cylinder"]}, "axon.shape = ['cylinder'] is not one of"),
        ({"membrane.g_na": "3 mm"}, "membrane: "),
        ({"membrane.g_na": {}}, "membrane.g_na = {} is no number"),
        ({"membrane.g_ca": 1}, "membrane.g_ca = 1: unknown key; did you mean g_"),
        ({"membrane.scaled.naa": 1}, "membrane.scaled.naa = 1: unknown key; did you mean na?"),
        ({"membrane.scaled.self": 1}, "membrane.scaled.self = 1: unknown key"),
        ({"membrane.scaled.na": -1}, "membrane.scaled: "),
        ({"membrane.scaled": 1}, "membrane.scaled = 1 is no table"),
        ({"membrane": 1}, "membrane = 1 is no table"),
        ({"stimuli": {}}, "stimuli = {} is no list"),
        ({"stimuli": [1]}, "stimuli[0] = 1 is no table"),
        ({"stimuli[0].at": "3 mm"}, "stimuli[0].at: position = 3000"),
        ({"stimuli[0].waveform": []}, "stimuli[0].waveform: "),
        ({"stimuli[0].waveform.duration": -1}, "stimuli[0].waveform: duration = -1"),
        (
            {"stimuli[0].waveform": {"shape": "noise", "amplitude": 1, "interval": 1, "seed": 0.5}},
            "stimuli[0].waveform.seed = 0.5 is no whole number",
        ),
        (
            {"stimuli[0].waveform": {"shape": "samples_from", "path": "current.csv"}},
            "stimuli[0].waveform.shape = 'samples_from' is not one of",
        ),
        ({"simulation.dt": 0}, "simulation: dt"),
        ({"simulation.method": "euler"}, "simulation: method"),
        ({"simulation.method": 3}, "simulation.method = 3 is no text"),
        ({"simulation.duration": [1, 2]}, "simulation.duration = [1, 2]"),
        ({"simulation.duration": 0.123456}, "record: duration"),
        ({"simulation.v_init": "-65 mA"}, "simulation.v_init = '-65 mA'"),
        ({"record.every": 0.015}, "record: every"),
        ({"record.dtype": "int8"}, "record: dtype"),
        ({"record.positions": 3}, "record.positions = 3 is no list"),
        ({"record.positions": ["3 mm"]}, "record.positions[0]: position = 3000"),
        ({"measure.velocity.stop": 10}, "measure.velocity.start = 100 um is not before stop"),
        ({"measure.velocity.start": [1, 2, 3]}, "measure.velocity.start = (1, 2, 3)"),
        ({"measure.velocity.start": [1, 2]}, "measure.velocity.start: position = (1, 2.0)"),
        ({"measure.velocity.stop": "3 mm"}, "measure.velocity.stop: position = 3000"),
        (
            {"measure.speed": {}},
            "measure.speed = {}: unknown key; measure takes velocity, action_potential",
        ),
        ({"title": 3}, "title = 3 is no text"),
        ({"stimuli[1].at": 0}, "stimuli[1].at cannot be changed: the study has no [1] there"),
        ({"stimuli.at": 0}, "stimuli.at cannot be changed"),
        ({"title.text": ""}, "title.text cannot be changed"),
        ({"axon..length": 1}, "'axon..length' is no key"),
        ({"": 1}, "'' is no key"),
        ({"title": None}, "title = None is nothing a study holds"),
    ],
)
def test_each_problem_has_its_path(small, changes, path):
    (problem,) = problems(small, changes)
    assert problem.startswith(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[axon\n", "line 1"),
        (b"title = '\xff'", "cannot be read as text"),
        (b"x = " + b"[" * 10_000, "too deep"),
        (b"x = " + b"9" * 10_000, "x"),
        (b"", "axon is missing; a study takes title, axon, membrane, "),
    ],
)
def test_a_file_that_is_no_study(tmp_path, text, told):
    path = tmp_path / "bad.toml"
    path.write_bytes(text)
    assert any(told in line for line in problems(path))


def test_a_name_that_no_study_has():
    with pytest.raises(StudyError, match=r"sqid: .* \(did you mean squid\?\)"):
        study.load("sqid")
    with pytest.raises(StudyError, match=r"did you mean squid\?"):
        study.text("sqid")


def test_a_folder_is_no_study(tmp_path):
    assert "cannot be read" in problems(tmp_path)[0]


def test_every_key_has_a_kind():
    """A parameter that a function gains must not slip through unchecked."""
    parameters = {
        "_AXON": [*axon.study._CABLES.values(), *axon.study._TREES.values()],
        "_WAVEFORM": waveforms.SHAPES.values(),
        "_STIMULUS": [CurrentClamp],
        "_CHANGE": [Change],
        "_SIMULATION": [Simulation],
        "_VELOCITY": [analysis.conduction_velocity],
        "_SHAPE": [analysis.action_potential],
    }
    built = {"axon", "membrane", "stimuli", "changes", "run"}
    for kinds, functions in parameters.items():
        for function in functions:
            keys = set(inspect.signature(function).parameters) - built
            assert keys <= set(getattr(axon.study, kinds)), function.__name__


def test_what_a_study_measures_is_measured_of_its_runs():
    changes = {
        "measure.velocity": {"start": "25 mm", "stop": "75 mm"},
        "measure.action_potential": {"at": "50 mm", "before": "1 ms", "slope": "20 mV/ms"},
    }
    squid = study.load("squid", changes)
    run = squid.run()
    measured = squid.measured(run)
    assert list(measured) == ["velocity", "action_potential", "spikes"]
    assert measured["velocity"] == axon.conduction_velocity(run, 25e3, 75e3)
    assert measured["action_potential"] == axon.action_potential(run, 50e3, before=1.0, slope=20.0)
    assert measured["spikes"] == 1000
    silent = squid.changed({"stimuli[0].waveform.amplitude": 0.0, "simulation.duration": 1.0})
    assert silent.measured(silent.run()) == {
        "velocity": None,
        "action_potential": None,
        "spikes": 0,
    }


def test_a_study_is_rebuilt_from_its_tables():
    squid = study.load("squid", {"simulation.celsius": 18.5})
    again = study.rebuilt("squid", squid.tables)
    assert again.tables == squid.tables
    assert np.array_equal(again.run().v, squid.run().v)


def test_points_of_a_study_share_their_membrane():
    squid = study.load("squid")
    points = [squid.changed({"axon.diameter": d}) for d in (100.0, 200.0)]
    halved = squid.changed({"membrane.scaled": {"na": 0.5}})
    first, second, third = (each.simulation.membrane for each in (*points, halved))
    assert first.channels[0].gates is second.channels[0].gates
    assert third.channels[0].gates is first.channels[0].gates
    other = squid.changed({"membrane.e_k": -80.0}).simulation.membrane
    assert other.channels[1].reversal == -80.0 and first.channels[1].reversal == -77.0


TOML_VALUES = st.recursive(
    st.booleans()
    | st.integers(-1000, 1000)
    | st.floats()
    | st.sampled_from(["", "1 mm", "1 ms", "1e999 um", "nan", "cylinder", "sine", "passive", "é"])
    | st.text(max_size=5)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["shape", "x", "length", "model", "na", ""]), inner)
    ),
    max_leaves=4,
)
KEYS = [
    *("axon", "membrane", "stimuli", "simulation", "record", "measure", "title", "more"),
    *(f"axon.{key}" for key in ("shape", "length", "diameter", "Ra", "cm", "dx", "d_lambda")),
    *(f"membrane.{key}" for key in ("model", "g_na", "e_k", "scaled", "scaled.na")),
    *(f"stimuli[0].{key}" for key in ("type", "at", "waveform")),
    *(f"stimuli[0].waveform.{key}" for key in ("shape", "amplitude", "start", "duration")),
    *(f"simulation.{key}" for key in ("duration", "dt", "celsius", "v_init", "method")),
    *(f"record.{key}" for key in ("every", "positions", "dtype", "electrodes")),
    *(f"measure.velocity{key}" for key in ("", ".start", ".stop", ".threshold")),
    *(f"measure.action_potential{key}" for key in ("", ".at", ".number", ".slope")),
    *("sweep", "sweep.seed", "sweep.axes", "ask", "ask.question", "ask.at"),
]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), TOML_VALUES, min_size=1, max_size=3))
@example({"simulation.celsius": [1.0, 2.0]})
@example({"simulation.v_init": [math.inf]})
@example({"axon.length": 1e300})
def test_whatever_a_study_says_it_is_read_or_refused(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    try:
        study.load(path, changes)
    except StudyError as error:
        assert str(error)
