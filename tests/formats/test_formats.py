"""Run files that older versions of axon wrote: read for ever, or refused in words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import axon
from axon import RunFileError, SimulationError, config, restart, runfile
from axon.segments import FIRST, chain, parts_of

HERE = Path(__file__).parent
LAYOUTS = range(1, runfile.LAYOUT + 1)
ROWS = {1: (301, 280), 2: (300, 281), 3: (300, 281)}
"""Of the finished run, and of the one that is not."""
GOES_ON = LAYOUTS[1:]
GROWING = {1: "growing.h5", 2: "stopped.h5", 3: "stopped.h5"}


def example(layout: int) -> Path:
    return HERE / f"layout-{layout}"


def on_disk(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[int], Path]:
    """A copy of a layout's example, to do things to."""

    def copy(layout: int) -> Path:
        return Path(shutil.copytree(example(layout), tmp_path / f"layout-{layout}"))

    return copy


def refused(folder: Path, act: Callable[[], Any], match: str) -> None:
    before = on_disk(folder)
    with pytest.raises(RunFileError, match=match):
        act()
    assert on_disk(folder) == before


def expected(layout: int) -> dict[str, np.ndarray]:
    if layout == 1:
        return {"v": np.load(example(1) / "v.npy")}
    with np.load(example(layout) / "expected.npz") as file:
        return dict(file)


def test_examples_are_known_to_git() -> None:
    """There is one of every layout that was ever written, and no more."""
    assert {path.name for path in HERE.glob("layout-*")} == {f"layout-{k}" for k in LAYOUTS}
    assert set(LAYOUTS) == set(ROWS) == set(GROWING)
    for layout in LAYOUTS:
        assert not list(example(layout).rglob("*.log")) and not list(example(layout).rglob("lock"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_they_have_the_layout_that_they_are_to_have(layout: int) -> None:
    for path in example(layout).rglob("*.h5"):
        with h5py.File(path) as file:
            assert file.attrs["layout"] == layout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_finished_run_is_read(layout: int) -> None:
    known = expected(layout)
    with axon.open_run(example(layout) / "finished.h5") as run:
        assert run.complete and run.progress == 1.0
        assert run.v.shape == (ROWS[layout][0], 12)
        np.testing.assert_array_equal(run.v, known["v"])
        np.testing.assert_array_equal(run.time, np.arange(ROWS[layout][0]) * 0.1)
        np.testing.assert_allclose(run.x, (np.arange(12) + 0.5) * 1000 / 12)
        np.testing.assert_array_equal(run.axon_x, run.x)
        np.testing.assert_array_equal(run.compartments, np.arange(12))
        assert (run.dt, run.celsius, run.interval) == (0.01, 18.5, 0.1)
        assert run.duration == pytest.approx((ROWS[layout][0] - 1) * 0.1)
        assert run.header["membrane"]["name"] == "hodgkin_huxley"
        # One impulse, from one end to the other.
        assert run.spikes["compartment"].tolist() == list(range(12))
        assert run.spikes["time"][0] == pytest.approx(0.74, abs=0.01)
        assert (np.diff(run.spikes["time"]) > 0.1).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_growing_run_is_read(layout: int) -> None:
    rows, held = ROWS[layout]
    for name in (GROWING[layout], GROWING[layout] + ".parts"):
        run = axon.open_run(example(layout) / name)
        assert not run.complete and run.progress == held / rows
        np.testing.assert_array_equal(run.v, expected(layout)["v"][:held])
        np.testing.assert_array_equal(run.time, np.arange(held) * 0.1)
        assert run.spikes["compartment"].tolist() == list(range(12))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_electrodes_recorded(layout: int) -> None:
    """There were none before layout 3."""
    rows, held = ROWS[layout]
    known = expected(layout).get("electrodes", np.empty((rows, 0)))
    assert known.shape == (rows, 0 if layout < 3 else 2)
    with axon.open_run(example(layout) / "finished.h5") as run:
        np.testing.assert_array_equal(run.electrodes, known)
        assert len(run.header["recording"].get("electrodes", ())) == known.shape[1]
    run = axon.open_run(example(layout) / GROWING[layout])
    np.testing.assert_array_equal(run.electrodes, known[:held])


@pytest.mark.parametrize("layout", GOES_ON)
def test_the_example_has_segments_of_every_kind(layout: int) -> None:
    links = chain(example(layout) / "stopped.h5.parts")
    assert links[0].previous == FIRST and links[-1].stop == 256
    assert any(link.first == link.stop for link in links[1:])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_membrane_did_is_not_known(layout: int) -> None:
    """Where it began wasn't kept; all that V tells is told."""
    run = axon.open_run(example(layout) / "finished.h5")
    with pytest.raises(RunFileError, match="where it began"):
        axon.membrane_at(run, 500.0)
    text = str(run.report())
    assert "Which currents flow was not computed" in text and "m/s" in text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_end_of_a_run(layout: int) -> None:
    final = axon.open_run(example(layout) / "finished.h5").final
    if layout == 1:
        assert final == {}  # it was not kept
        return
    assert list(final) == ["na.m", "na.h", "k.n"]
    for name, values in final.items():
        np.testing.assert_array_equal(values, expected(layout)[f"final_{name}"])
    growing = axon.open_run(example(layout) / GROWING[layout]).final
    assert list(growing) == list(final)


# Layout 1 holds nothing to go on from


def test_layout_1_does_not_go_on(copied: Callable[[int], Path]) -> None:
    folder = copied(1)
    refused(folder, lambda: axon.resume(folder / "growing.h5"), "an older axon has written it")
    refused(
        folder, lambda: axon.resume(folder / "growing.h5.parts"), "an older axon has written it"
    )
    refused(
        folder,
        lambda: axon.resume(folder / "growing.h5", until=60.0),
        "an older axon has written it",
    )


def test_layout_1_is_finished_where_it_is(copied: Callable[[int], Path]) -> None:
    folder = copied(1)
    before = on_disk(folder)
    assert axon.resume(folder / "finished.h5").complete
    assert on_disk(folder) == before


def test_layout_1_is_not_made_longer(copied: Callable[[int], Path]) -> None:
    folder = copied(1)
    path = folder / "finished.h5"
    refused(folder, lambda: axon.resume(path, until=60.0), "an older axon has written it")


def test_layout_1_is_another_run_than_one_of_today(copied: Callable[[int], Path]) -> None:
    from make_layout import simulation

    folder = copied(1)
    before = on_disk(folder)
    for name in ("finished.h5", "growing.h5"):
        with pytest.raises((SimulationError, RunFileError)):
            simulation().run(30.0, output=folder / name, every=0.1, resume=True)
    assert on_disk(folder) == before


# Later ones do

fused = pytest.mark.skipif(
    not config.fused(), reason="this machine rounds otherwise than that of the example"
)


@fused
@pytest.mark.parametrize("layout", GOES_ON)
def test_a_stopped_run_goes_on(copied: Callable[[int], Path], layout: int) -> None:
    path = copied(layout) / "stopped.h5"
    if axon.open_run(path).header["simulation"]["results"] != restart.RESULTS:
        with pytest.raises(RunFileError, match="results differ"):
            axon.resume(path)
        return
    run, known = axon.resume(path), expected(layout)
    assert run.complete and not parts_of(path).exists()
    # To the bit on one machine; on another, NumPy may compute a rate otherwise.
    np.testing.assert_allclose(run.v, known["v"], rtol=1e-12)
    np.testing.assert_allclose(run.spikes["time"], known["spike_time"], rtol=1e-12)
    if layout > 2:
        np.testing.assert_allclose(run.electrodes, known["electrodes"], rtol=1e-9, atol=1e-12)
    for name, values in run.final.items():
        np.testing.assert_allclose(values, known[f"final_{name}"], rtol=1e-12)


@fused
@pytest.mark.parametrize("layout", GOES_ON)
def test_a_finished_run_is_made_longer(copied: Callable[[int], Path], layout: int) -> None:
    path = copied(layout) / "finished.h5"
    if axon.open_run(path).header["simulation"]["results"] == restart.RESULTS:
        run = axon.resume(path, until=32.0)
        assert run.complete and run.time[-1] == pytest.approx(32.0)
        np.testing.assert_array_equal(run.v[:300], expected(layout)["v"])


# Layouts that are still to come


@pytest.mark.parametrize("name", ["finished.h5", "stopped.h5"])
def test_a_newer_layout_is_refused(copied: Callable[[int], Path], name: str) -> None:
    folder = copied(2)
    for path in folder.rglob("*.h5"):
        if path.is_file():
            with h5py.File(path, "r+") as file:
                file.attrs["layout"] = np.array(runfile.LAYOUT + 1, "<i8")
    match = rf"layout {runfile.LAYOUT + 1}, of a newer axon.*upgrade axon-cable"
    refused(folder, lambda: axon.open_run(folder / name), match)
    if name == "finished.h5":
        refused(folder, lambda: axon.resume(folder / name), match)
    else:
        # Changed bytes are no longer those that were written, which is found first.
        refused(folder, lambda: axon.resume(folder / name), "is damaged")
        links = chain(parts_of(folder / name))
        renamed(links)
        refused(folder, lambda: axon.resume(folder / name), match)


def renamed(links: list[Any]) -> None:
    """Give segments names that fit what they hold now."""
    from axon.segments import _digest_of

    previous = FIRST
    for link in links:
        digest = _digest_of(link.path)
        name = f"seg-{link.first:012d}-{link.stop:012d}-{previous}-{digest}.h5"
        link.path.rename(link.path.with_name(name))
        previous = digest
