"""Electrodes outside that record while a run goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

import axon
from axon import SimulationError, StimulusError, StoppedError, equations, runfile
from axon.electrodes import seen_by
from axon.stimuli import Stimulus

FIBRE = axon.Axon.tapered("1 mm", 1.5, 0.7, compartments=37)
NEAR = axon.PointSource("0.5 mm", 60.0, 0.0, sigma=(0.5, 0.1, 0.2))
PAIR = axon.LineSource((0, 0, 90), (100, 0, 90)) - axon.DiskSource(800.0, 0.0, 70.0, radius=30.0)
EDGES = axon.train(0.4, 0.1, 0.2, interval=0.5, count=4)  # all of them at times of rows
STIMULI: dict[str, Stimulus] = {
    "inside": axon.CurrentClamp(0.0, EDGES),
    "outside": axon.Extracellular(axon.PointSource("0.2 mm", 0.0, 80.0), -0.1 * EDGES),
    "sine": axon.CurrentClamp("0.7 mm", axon.sine("0.2 nA", 500.0)),
    "clamp": axon.VoltageClamp(
        "0.9 mm", axon.sine(30.0, 300.0), resistance="40 Mohm", start=0.3, stop=1.2
    ),
}


def simulation(*stimuli: Stimulus) -> axon.Simulation:
    return axon.Simulation(FIBRE, axon.models.hodgkin_huxley(), stimuli, dt=0.01, v_init=-65.0)


@pytest.fixture(scope="module")
def sim() -> axon.Simulation:
    return simulation(*STIMULI.values())


@pytest.mark.parametrize("names", [[], *([name] for name in STIMULI), list(STIMULI)], ids=str)
def test_they_record_what_the_whole_field_tells(names: list[str]) -> None:
    """To the rounding of a sum whose terms are as large as all weights times 100 mV."""
    sim = simulation(*(STIMULI[name] for name in names))
    run = sim.run(2.0, every=0.1, record=(), electrodes=[NEAR, PAIR])
    whole = sim.run(2.0, every=0.1, dtype="float64")
    assert run.v.shape == (21, 0) and run.electrodes.shape == (21, 2)
    assert run.electrodes.dtype == np.float64
    for k, source in enumerate((NEAR, PAIR)):
        expected = axon.extracellular_potential(whole, source)
        weight, _ = seen_by(source, FIBRE, ())
        rounding = 1e-15 * 100.0 * np.abs(weight).sum()
        np.testing.assert_allclose(run.electrodes[:, k], expected, rtol=1e-13, atol=rounding)
        assert not names or np.abs(expected).max() > 1e6 * rounding


def test_weights_and_shares_are_sums_over_the_axon() -> None:
    """By the definition: every current times what the electrode would do where it flows."""
    v = np.random.default_rng(3).uniform(-90.0, 40.0, FIBRE.n)
    lead = NEAR.on_axon(FIBRE.places, FIBRE.x)
    weight, share = seen_by(NEAR, FIBRE, tuple(STIMULI.values()))
    assert weight @ v == pytest.approx(1e-6 * FIBRE.axial_inflow(v) @ lead, rel=1e-9)
    field = STIMULI["outside"].source.on_axon(FIBRE.places, FIBRE.x)
    outside = FIBRE.axial_inflow(field) @ lead
    at = [FIBRE.index(where) for where in (0.0, "0.7 mm", "0.9 mm")]
    expected = 1e-6 * np.array([lead[at[0]], outside, lead[at[1]], lead[at[2]]])
    np.testing.assert_allclose(share, expected, rtol=1e-9)


def test_they_change_nothing_else(sim: axon.Simulation) -> None:
    with_them, without = (sim.run(1.0, electrodes=some) for some in ([NEAR], []))
    np.testing.assert_array_equal(with_them.v, without.v)
    np.testing.assert_array_equal(with_them.spikes, without.spikes)
    assert without.electrodes.shape == (21, 0) and "electrodes" not in without.header["recording"]
    assert with_them.header["recording"]["electrodes"] == [NEAR.to_dict()]
    assert "21 rows of 37 compartments and 1 electrodes" in repr(with_them)
    assert "21 rows of 1 electrodes, float64" in repr(with_them.electrodes)


def steps_of(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(equations, "FIRST_BLOCK", 10**12)
    monkeypatch.setattr(equations, "BLOCK_SECONDS", 1e9)
    monkeypatch.setattr(equations, "MAX_BLOCK_STEPS", block)


def test_blocks_and_buffers_change_no_bit(
    sim: axon.Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"every": 0.03, "record": (), "electrodes": [NEAR, PAIR]}
    expected = np.asarray(sim.run(3.0, **options).electrodes)
    for block, seen_bytes in ((1, 1), (7, 100), (64, 1 << 20)):
        steps_of(monkeypatch, block)
        monkeypatch.setattr(equations, "SEEN_BYTES", seen_bytes)
        np.testing.assert_array_equal(sim.run(3.0, **options).electrodes, expected)


def test_files_hold_the_same_finished_and_growing(
    sim: axon.Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"every": 0.01, "record": ["1 mm"], "electrodes": [NEAR, PAIR]}
    expected = sim.run(6.0, **options)
    finished = sim.run(6.0, output=tmp_path / "finished.h5", **options)
    np.testing.assert_array_equal(finished.electrodes, expected.electrodes)
    np.testing.assert_array_equal(
        finished.electrodes[300:10:-7, 1], expected.electrodes[300:10:-7, 1]
    )

    steps_of(monkeypatch, 150)
    path = tmp_path / "growing.h5"
    asked = iter(["", "", "", "enough"])
    with pytest.raises(StoppedError):
        sim.run(6.0, output=path, stop=lambda: next(asked), commit_every=0.0, **options)
    with axon.open_run(path) as growing:
        assert not growing.complete and growing.electrodes.shape == (451, 2)
        np.testing.assert_array_equal(growing.electrodes, expected.electrodes[:451])
        axon.resume(path)
        growing.refresh()
        np.testing.assert_array_equal(growing.electrodes, expected.electrodes)
    assert path.read_bytes() == (tmp_path / "finished.h5").read_bytes()


def test_a_run_that_begins_later_records_its_first_row(sim: axon.Simulation) -> None:
    whole = sim.run(2.0, every=0.1, electrodes=[NEAR])
    sim = simulation(*STIMULI.values())
    sim.run(1.0)
    sim.restore(sim.state())
    rest = sim.run(1.0, every=0.1, electrodes=[NEAR])
    np.testing.assert_array_equal(rest.electrodes, whole.electrodes[10:])


def test_labels(sim: axon.Simulation) -> None:
    pytest.importorskip("xarray")
    run = sim.run(1.0, electrodes=[NEAR, PAIR])
    data = run.to_xarray()
    assert data["electrodes"].dims == ("time", "electrode")
    assert data["electrodes"].units == "mV"
    np.testing.assert_array_equal(data["electrodes"].sel(electrode=1), run.electrodes[:, 1])
    assert "electrodes" not in sim.run(1.0).to_xarray()


@pytest.mark.parametrize(
    ("electrodes", "error", "told"),
    [
        (
            NEAR,
            SimulationError,
            r"electrodes=PointSource.* is no list; write electrodes=\[source\]",
        ),
        ((NEAR for _ in "ab"), SimulationError, "electrodes=<generator.* is no list"),
        ([NEAR, "left"], StimulusError, r"electrodes\[1\]: source = 'left' is no source"),
        (
            [axon.PointSource(FIBRE.x[3], 0.0, 0.0)],
            StimulusError,
            r"electrodes\[0\]: the source lies on the axon itself",
        ),
        (
            [axon.PotentialAlong([0, 1, 2, 3], [0, 1, 2, 3])],
            StimulusError,
            r"electrodes\[0\]: .*nothing is extrapolated",
        ),
    ],
)
def test_electrodes_that_cannot_be(
    sim: axon.Simulation, electrodes: Any, error: type[Exception], told: str
) -> None:
    for call in (sim.run, sim.estimate):
        with pytest.raises(error, match=told):
            call(1.0, electrodes=electrodes)


def test_beside_an_ideal_clamp_nothing_is_known() -> None:
    sim = simulation(axon.VoltageClamp("0.9 mm", axon.constant(-65.0)))
    told = "voltage clamp at 900 um, which is ideal.*give it a small resistance"
    with pytest.raises(SimulationError, match=told):
        sim.run(1.0, electrodes=[NEAR])
    assert sim.run(1.0, electrodes=[]).complete


@pytest.mark.parametrize(
    "change",
    [
        lambda weight, share: (weight[:, :-1], share),
        lambda weight, share: (weight * np.nan, share),
        lambda weight, share: (weight, share[:, :-1]),
        lambda weight, share: (weight, share[:-1]),
        lambda weight, share: (weight, share / 0.0),
        lambda weight, share: (weight, share.astype("<i8")),
        lambda weight, share: (weight[:-1], share[:-1]),
    ],
)
def test_saved_numbers_are_not_trusted(sim: axon.Simulation, tmp_path: Path, change: Any) -> None:
    path = tmp_path / "run.h5"
    sim.run(0.1, output=path, electrodes=[NEAR, PAIR])
    names = "electrode_weight", "electrode_share"
    as_axon_does = SimpleNamespace(compressed=True, encode=runfile.compress)
    with runfile.reading(path) as part, np.errstate(divide="ignore"):
        changed = change(*(part.array("inputs", name) for name in names))
    with h5py.File(path, "r+", libver="v110") as file:
        for name, values in zip(names, changed, strict=True):
            del file["inputs"][name]
            vector = runfile.write_vector(file["inputs"], name, values.reshape(-1), as_axon_does)
            vector.attrs["shape"] = np.array(values.shape, "<i8")
    told = "electrodes are not as|electrode_share is|out of range|does not fit together"
    with pytest.raises(axon.RunFileError, match=told):
        axon.resume(path, until=0.2)
