"""Writing runs: the same bytes however they come, and nothing lost whatever fails."""

import errno
import json
import math
import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axon import runfile, saving, storage
from axon.disk import open_run
from axon.errors import RunFileError, StoppedError, WriteError
from axon.segments import Folder, chain, parts_of
from axon.storage import RunWriter

INTERVAL = 0.1
HEADER = {"axon_version": "1.0", "simulation": {"dt": 0.01, "celsius": 6.3, "duration": 60.0}}


def wave(rows, m, dtype="float32"):
    """A smooth field with something in every byte."""
    t, x = np.ogrid[:rows, :m]
    return (100 * np.exp(-(((t - 3.3 * x) % 97 - 40) ** 2) / 50) - 65).astype(dtype)


def some_spikes(rows, m, n):
    """Spikes in the order of time, several at once."""
    time = np.sort(np.random.default_rng(1).integers(0, max(1, rows * 2), n)) * (INTERVAL / 2)
    return np.arange(n) * 7 % (m + 5), time


def writer(path, v, **options):
    m = v.shape[1]
    x = np.arange(m) * 10.0
    options = {"n_rows": len(v), "dtype": v.dtype, "header": HEADER, "patience": 0} | options
    axon_x = np.arange(m + 5) * 10.0
    return RunWriter(
        path, x=x, compartments=np.arange(m), axon_x=axon_x, interval=INTERVAL, **options
    )


def write(path, v, cuts=(), spikes=None, potentials=None, **options):
    """Record a field in blocks that end at these rows; spikes come with their blocks."""
    if potentials is not None:
        options["electrodes"] = potentials.shape[1]
    drafts = options.pop("drafts", True)
    compartment, when = spikes or (np.empty(0, int), np.empty(0))
    ends = [*np.searchsorted(when, np.array(cuts) * INTERVAL), len(when)]
    with writer(path, v, **options) as run:
        run._folder.drafts = drafts
        for start, stop, a, b in zip((0, *cuts), (*cuts, len(v)), [0, *ends], ends, strict=False):
            run.rows(v[start:stop], None if potentials is None else potentials[start:stop])
            run.spikes(compartment[a:b][::-1], when[a:b][::-1])
            run.state(lambda: {"v": np.arange(3.0), "step": np.array([7.0])})
        run.finish()
    return path


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


# What is in the file


@pytest.mark.parametrize("compression", ["gzip", None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_hdf5_reads_it(tmp_path, dtype, compression):
    v, spikes = wave(600, 1003, dtype), some_spikes(600, 1003, 50)
    path = write(tmp_path / "run.h5", v, (100, 512), spikes, compression=compression)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["v"][:], v)
        assert file["v"].chunks == (256, 1000)
        np.testing.assert_array_equal(file["time"][:], np.arange(600) * INTERVAL)
        np.testing.assert_array_equal(file["x"][:], np.arange(1003) * 10.0)
        np.testing.assert_array_equal(file["spikes/t"][:], spikes[1])
        assert sorted(file["spikes/compartment"][:]) == sorted(spikes[0])
        assert json.loads(file["meta/header"][0]) == HEADER
        assert "carry" not in file
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.h5", "run.h5.log"]


def test_xarray_sees_labels_and_units(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    v = wave(300, 5)
    path = write(tmp_path / "run.h5", v, (100,), some_spikes(300, 5, 4))
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["v"].dims == ("time", "x")
        assert set(data.variables) == {"v", "time", "x"}
        assert {k: data[k].attrs["units"] for k in data.variables} == {
            "v": "mV",
            "time": "ms",
            "x": "um",
        }
        np.testing.assert_array_equal(data["v"].sel(x=20.0), v[:, 2])


def test_xarray_sees_electrodes(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    seen = wave(300, 2, "float64")
    path = write(tmp_path / "run.h5", wave(300, 0), (100,), potentials=seen)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["electrodes"].dims == ("time", "electrode")
        assert set(data.variables) == {"v", "time", "x", "electrodes", "electrode"}
        assert data["electrodes"].attrs["units"] == "mV"
        np.testing.assert_array_equal(data["electrodes"].sel(electrode=1), seen[:, 1])


def test_only_files_with_electrodes_are_of_another_layout(tmp_path):
    v = wave(30, 2)
    for electrodes, layout in ((None, 2), (1, 3)):
        seen = electrodes and wave(30, electrodes, "float64")
        with h5py.File(write(tmp_path / f"{layout}.h5", v, potentials=seen)) as file:
            assert file.attrs["layout"] == layout
            assert ("electrodes" in file) == ("electrode" in file) == (layout == 3)


def test_xarray_reads_segments(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    v = wave(600, 4)
    with writer(tmp_path / "run.h5", v, commit_seconds=0) as run:
        for start in (0, 300):
            run.rows(v[start : start + 300])
            run.state(dict)
            wait_for(lambda: not run._committing.is_set())
        parts = [xarray.open_dataset(s.path, engine="h5netcdf") for s in chain(parts_of(run.path))]
        whole = xarray.concat(parts, "time")
        np.testing.assert_array_equal(whole["v"], v[:512])
        np.testing.assert_array_equal(whole["time"], np.arange(512) * INTERVAL)


def test_what_differs_between_machines_is_in_the_log(tmp_path, monkeypatch):
    v = wave(10, 2)
    monkeypatch.setattr(platform, "node", lambda: "a-host-of-some-name")
    with writer(tmp_path / "run.h5", v) as run:
        run.log("kernel", isa="avx512")
        run.rows(v)
        run.finish()
    lines = [json.loads(line) for line in (tmp_path / "run.h5.log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "kernel", "finish"]
    assert lines[0]["host"] == "a-host-of-some-name" and lines[1]["isa"] == "avx512"
    assert b"a-host-of" not in (tmp_path / "run.h5").read_bytes()


# The same bytes

SHAPES = st.tuples(
    st.one_of(st.integers(0, 600), st.sampled_from([0, 1, 255, 256, 257, 512])),
    st.sampled_from([0, 1, 3, 1001]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    shape=SHAPES,
    n_spikes=st.integers(0, 40),
    electrodes=st.sampled_from([None, 1, 3, 1001]),
)
def test_the_bytes_depend_on_the_run_alone(tmp_path_factory, data, shape, n_spikes, electrodes):
    rows, m = shape
    seen = None if electrodes is None else wave(rows, electrodes, "float64") / 7
    v, spikes = wave(rows, m), some_spikes(rows, m, n_spikes)
    cuts = sorted(data.draw(st.lists(st.integers(0, rows), max_size=12)))
    often = {"commit_seconds": 0.0} | data.draw(
        st.sampled_from([{}, {"commit_seconds": 300.0, "commit_bytes": 1}])
    )
    often["drafts"] = data.draw(st.booleans())
    folder = tmp_path_factory.mktemp("run")
    whole = write(folder / "whole.h5", v, (), spikes, seen).read_bytes()
    assert write(folder / "cut.h5", v, cuts, spikes, seen, **often).read_bytes() == whole
    with open_run(folder / "cut.h5") as run:
        np.testing.assert_array_equal(run.v, v)
        np.testing.assert_array_equal(run.electrodes, np.empty((rows, 0)) if seen is None else seen)
        np.testing.assert_array_equal(run.spikes["time"], spikes[1])


def test_blocks_may_be_used_again(tmp_path):
    v = wave(500, 3)
    with writer(tmp_path / "run.h5", v) as run:
        block = np.empty((50, 3), "float32")
        for start in range(0, 500, 50):
            block[:] = v[start : start + 50]
            run.rows(block)
        block[:] = np.nan
        run.finish()
    np.testing.assert_array_equal(open_run(tmp_path / "run.h5").v, v)


# Commits


def test_state_is_asked_for_at_a_commit_and_kept_with_its_rows(tmp_path):
    v = wave(300, 3)
    asked = []

    def state():
        asked.append(threading.current_thread())
        return {"gates": np.arange(6.0).reshape(2, 3), "step": np.array(3000.0)}

    with writer(tmp_path / "run.h5", v, commit_bytes=1) as run:
        run.rows(v[:200])
        run.state(state)
        assert not asked  # no chunk is full yet, so there is nothing to commit
        run.rows(v[200:])
        wait_for(lambda: run._committer.nbytes)
        run.state(state)
        assert asked == [threading.current_thread()]
        wait_for(lambda: not run._committing.is_set())
        last = chain(parts_of(tmp_path / "run.h5"))[-1]
        assert (last.first, last.stop) == (0, 256)
        with h5py.File(last.path) as file:
            gates = file["state/gates"]
            np.testing.assert_array_equal(gates[:], np.arange(6.0))
            np.testing.assert_array_equal(gates.attrs["shape"], (2, 3))
            assert file["state/step"][:] == 3000
            assert file["state/step"].attrs["shape"].tolist() == []
            np.testing.assert_array_equal(file["carry/v"][:], v[256:])


def test_time_makes_a_commit(tmp_path):
    v = wave(20, 3)
    with writer(tmp_path / "run.h5", v, commit_seconds=0.05) as run:
        run.rows(v[:10])
        run.state(dict)
        assert run.progress == 0
        time.sleep(0.06)
        run.state(dict)
        wait_for(lambda: not run._committing.is_set())


def test_a_folder_of_two_writers_is_one_run(tmp_path):
    """As two leave it that computed the same run where locks do nothing."""
    v = wave(900, 2)
    chains = []
    for name, steps in [("a", (256, 600)), ("b", (300, 500, 800))]:
        with writer(tmp_path / name, v, commit_seconds=0) as run:
            for start, stop in zip((0, *steps), steps, strict=False):
                run.rows(v[start:stop])
                run.state(dict)
                wait_for(lambda: not run._committing.is_set())
        chains.append(chain(parts_of(tmp_path / name)))
    assert chains[0][0].digest == chains[1][0].digest  # the first segment is the same
    for segment in chains[0]:
        segment.path.rename(parts_of(tmp_path / "b") / segment.path.name)
    assert [s.digest for s in chain(parts_of(tmp_path / "b"))] == [s.digest for s in chains[1]]
    np.testing.assert_array_equal(open_run(tmp_path / "b").v, v[:800])
    chains[1][1].path.unlink()  # now the other chain is longer
    np.testing.assert_array_equal(open_run(tmp_path / "b").v, v[:600])


def test_a_chain_with_a_loop_ends(tmp_path):
    for name in ("0000000000000000-aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaa"):
        (tmp_path / f"seg-000000000000-000000000000-{name}.h5").touch()
    assert len(chain(tmp_path)) == 2


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval": 0.0}, "interval = 0.0"),
        ({"interval": np.nan}, "interval = nan"),
        ({"n_rows": -1}, "n_rows = -1"),
        ({"dtype": "float16"}, "float16"),
        ({"compression": "zstd"}, "compression = 'zstd'"),
        ({"compartments": [0, 3]}, "not among the 3"),
        ({"compartments": [0]}, "2 positions, but 1"),
        ({"x": [0.0, np.inf]}, "not finite"),
        ({"header": {"dt": np.nan}}, "JSON"),
    ],
)
def test_senseless_arguments(tmp_path, change, message):
    arguments = {"header": {}, "x": [0, 1], "compartments": [0, 1], "axon_x": [0, 1, 2]}
    with pytest.raises(ValueError, match=message):
        RunWriter(tmp_path / "run.h5", **(arguments | {"n_rows": 1, "interval": 1.0} | change))
    assert not list(tmp_path.iterdir())


def test_rows_that_do_not_fit(tmp_path):
    v = wave(10, 3)
    with writer(tmp_path / "run.h5", v) as run:
        with pytest.raises(ValueError, match=r"\(10, 2\)"):
            run.rows(v[:, :2])
        with pytest.raises(ValueError, match="float64"):
            run.rows(v.astype(float))
        run.rows(v[:9])
        with pytest.raises(ValueError, match="after 9 of 10 rows"):
            run.finish()
        with pytest.raises(ValueError, match="9 rows and 2 more"):
            run.rows(v[:2])
        run.rows(v[9:])
        run.finish()
        with pytest.raises(ValueError, match="closed"):
            run.rows(v)


def test_potentials_must_fit_the_rows_and_these_the_room(tmp_path):
    v, seen = wave(10, 3), np.zeros((10, 2))
    with writer(tmp_path / "run.h5", v, electrodes=2) as run:
        for wrong in (None, seen[:9], seen[:, :1], seen.astype("<f4"), np.zeros((11, 2))):
            with pytest.raises(ValueError, match="potentials"):
                run.rows(v, wrong)
        with pytest.raises(ValueError, match="257 rows, where there is room for 256"):
            run.filled(257, np.zeros((257, 2)))
        with pytest.raises(ValueError, match="0 rows and 11 more"):
            run.filled(11, np.zeros((11, 2)))
        run.rows(v, seen)
        run.finish()
    with open_run(tmp_path / "run.h5") as done:
        np.testing.assert_array_equal(done.v, v)
    with (
        writer(tmp_path / "other.h5", v) as run,
        pytest.raises(ValueError, match="they should have None"),
    ):
        run.rows(v, seen)


def test_a_finished_run_is_not_replaced_unasked(tmp_path):
    path = write(tmp_path / "run.h5", wave(5, 2))
    before = path.read_bytes()
    with pytest.raises(WriteError, match="exists already"):
        writer(path, wave(9, 2))
    v = wave(9, 2)
    with writer(path, v, overwrite=True) as run:
        run.rows(v)
        assert path.read_bytes() == before
        run.finish()
    assert len(open_run(path).v) == 9
    assert not parts_of(path).exists()


def test_an_unfinished_run_is_not_replaced_unasked(tmp_path):
    v = wave(300, 2)
    path = tmp_path / "run.h5"
    with writer(path, v, commit_seconds=0) as run:
        run.rows(v)
        run.state(dict)
    with pytest.raises(WriteError, match="not finished"):
        writer(path, v)
    assert len(open_run(path).v) == 300
    write(path, v[:7], overwrite=True)
    assert len(open_run(path).v) == 7


def test_a_finished_run_that_is_to_be_longer_is_not_replaced_unasked(tmp_path):
    """It lies in the folder of segments then, alone as a run that has not begun would."""
    v = wave(9, 2)
    path = write(tmp_path / "run.h5", v)
    folder = Folder(path)
    folder.take_finished()
    folder.release()
    assert not path.exists()
    np.testing.assert_array_equal(open_run(path).v, v)
    with pytest.raises(WriteError, match="not finished"):
        writer(path, v)
    np.testing.assert_array_equal(open_run(path).v, v)


def test_a_run_that_had_not_begun_is_in_nobodys_way(tmp_path):
    v = wave(3, 2)
    with pytest.raises(RuntimeError, match="elsewhere"), writer(tmp_path / "run.h5", v) as run:
        run.rows(v)
        raise RuntimeError("elsewhere")
    assert not parts_of(tmp_path / "run.h5").exists()
    write(tmp_path / "run.h5", v)


def test_a_run_interrupted_before_its_first_commit_stays(tmp_path):
    path, v = tmp_path / "run.h5", wave(3, 2)
    with pytest.raises(KeyboardInterrupt), writer(path, v) as run:
        run.rows(v)
        raise KeyboardInterrupt
    assert len(open_run(path).v) == 0


def test_one_writer_at_a_time(tmp_path):
    v = wave(3, 2)
    with (
        writer(tmp_path / "run.h5", v) as run,
        pytest.raises(WriteError, match="another process is writing"),
    ):
        writer(tmp_path / "run.h5", v, overwrite=True)
    write(tmp_path / "run.h5", v)
    assert run.progress == 0


def test_a_folder_that_is_a_link_to_nowhere(tmp_path):
    parts_of(tmp_path / "run.h5").symlink_to(tmp_path / "gone")
    with pytest.raises(WriteError, match="leads nowhere"):
        writer(tmp_path / "run.h5", wave(3, 2))


def test_places_where_nothing_can_be_written(tmp_path):
    v = wave(3, 2)
    with pytest.raises(WriteError, match="there is no folder"):
        writer(tmp_path / "missing" / "run.h5", v)
    with pytest.raises(WriteError, match="it is a folder"):
        writer(tmp_path, v, overwrite=True)
    with pytest.raises(WriteError, match=r"x\.parts: names in \.parts .* such as x\.h5"):
        writer(tmp_path / "x.parts", v)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run.h5.parts").touch()
    with pytest.raises(WriteError, match=r"run\.h5\.parts"):
        writer(tmp_path / "run.h5", v)


def test_files_of_others_stay(tmp_path):
    v = wave(3, 2)
    parts = parts_of(tmp_path / "run.h5")
    parts.mkdir()
    (parts / "notes.txt").write_text("mine")
    (parts / "0123.tmp").touch()
    write(tmp_path / "run.h5", v)
    assert [p.name for p in parts.iterdir()] == ["notes.txt"]


# What fails


def fail_from(monkeypatch, k):
    """The disk is full from the k-th write on."""
    real, count = os.pwrite, iter(range(10**6))

    def fake(file, data, offset):
        if next(count) >= k:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data, offset)

    monkeypatch.setattr(os, "pwrite", fake)
    return count


@pytest.mark.parametrize("drafts", [True, False])
def test_a_full_disk_at_every_write(tmp_path, monkeypatch, drafts):
    v, reached = wave(700, 3), set()
    for k in range(10**6):
        path = tmp_path / f"{k}.h5"
        with monkeypatch.context() as patch:
            writes = fail_from(patch, k)
            try:
                with writer(path, v, commit_seconds=0) as run:
                    run._folder.drafts = drafts
                    for start in range(0, 700, 100):
                        run.rows(v[start : start + 100])
                        run.state(dict)
                        wait_for(lambda: not run._committing.is_set())
                    run.finish()
                done = True
            except WriteError as error:
                assert "No space left on device" in str(error)
                done = False
        if done:
            break
        # Nothing half written, and whatever was committed is there.
        assert not path.exists() and not list(tmp_path.rglob("*.tmp"))
        if k > 0:
            rows = len(open_run(path).v)
            assert rows == run.progress
            if not drafts:
                assert rows == min(700, (k - 1) * 100)
            reached.add(rows)
            np.testing.assert_array_equal(open_run(path).v, v[:rows])
        else:
            assert not parts_of(path).exists()
    assert reached == set(range(0, 800, 100))
    assert k > 20  # the draft and the merge have been failed at many a place too
    assert next(writes) >= k
    np.testing.assert_array_equal(open_run(path).v, v)


def test_no_space_for_the_finished_file(tmp_path, monkeypatch):
    v = wave(200, 3)  # no chunk, and so no draft
    full = os.statvfs(tmp_path)
    with writer(tmp_path / "run.h5", v) as run:
        run.rows(v)
        with monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", lambda _: os.statvfs_result((*full[:3], 0, 0, *full[5:])))
            with pytest.raises(WriteError, match="what is committed is in"):
                run.finish()
    np.testing.assert_array_equal(open_run(tmp_path / "run.h5").v, v)


def test_errors_of_the_thread_come_out(tmp_path, monkeypatch):
    v = wave(600, 3)

    def fail(block):
        raise MemoryError("no room")

    with writer(tmp_path / "run.h5", v, commit_seconds=0) as run:
        run.rows(v[:300])
        run.state(dict)
        wait_for(lambda: not run._committing.is_set())
        monkeypatch.setattr(runfile, "compress", fail)
        run.rows(v[300:])
        wait_for(lambda: run._error)
        with pytest.raises(WriteError, match=r"MemoryError: no room; 300 of 600 rows are safe"):
            run.rows(v[:0])
        with pytest.raises(WriteError, match="no room"):
            run.finish()
    assert len(open_run(tmp_path / "run.h5").v) == 300


def test_rows_wait_for_a_slow_disk(tmp_path, monkeypatch):
    v = wave(256 * 20, 1000)
    gate = threading.Event()
    real = runfile.compress
    monkeypatch.setattr(storage, "WAITING_BYTES", 3 * v[:256].nbytes)
    with writer(tmp_path / "run.h5", v) as run:
        monkeypatch.setattr(runfile, "compress", lambda block: gate.wait() and real(block))
        blocks = [v[k : k + 64] for k in range(0, len(v), 64)]
        feeder = threading.Thread(target=lambda: [run.rows(block) for block in blocks])
        feeder.start()
        feeder.join(0.3)
        assert feeder.is_alive()
        assert run._rows == 4 * 256  # one more than may wait: the chunk that is being filled
        gate.set()
        feeder.join()
        run.finish()
    np.testing.assert_array_equal(open_run(tmp_path / "run.h5").v, v)


def test_memory_does_not_grow_with_the_run(tmp_path, monkeypatch):
    block = wave(256, 1000)
    monkeypatch.setattr(storage, "WAITING_BYTES", 2 * block.nbytes)

    v = np.broadcast_to(block[:1], (120 * 256, 1000))
    with writer(tmp_path / "run.h5", v, compression=None, commit_bytes=4 * block.nbytes) as run:
        tracemalloc.start()
        for _ in range(120):
            run.rows(block)
            run.state(dict)
        run.finish()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # A few segments of 4 chunks or more at a time, as threads take turns; never the whole run.
    assert most < v.nbytes / 2


@contextmanager
def with_a_damaged_segment(path, v, drafts):
    with writer(path, v, commit_seconds=0) as run:
        run._folder.drafts = drafts
        run.rows(v)
        run.state(dict)
        wait_for(lambda: not run._committing.is_set())
        segment = chain(parts_of(path))[-1].path
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 1
        segment.write_bytes(data)
        yield run, segment


def test_damage_is_found_before_the_segments_go(tmp_path):
    path = tmp_path / "run.h5"
    with (
        with_a_damaged_segment(path, wave(600, 3), drafts=False) as (run, segment),
        pytest.raises(RunFileError, match="not as it was written"),
    ):
        run.finish()
    assert segment.exists() and not path.exists()


def test_a_draft_needs_no_rows_of_segments(tmp_path):
    v = wave(600, 3)
    with with_a_damaged_segment(tmp_path / "run.h5", v, drafts=True) as (run, _):
        run.finish()
    whole = write(tmp_path / "whole.h5", v).read_bytes()
    assert (tmp_path / "run.h5").read_bytes() == whole


def test_a_draft_makes_way_for_segments(tmp_path, monkeypatch):
    """On a disk where both have no room."""
    v, real, limit = wave(2000, 30), os.pwrite, [math.inf]

    def used(path):
        return sum(each.stat().st_size for each in parts_of(path).iterdir())

    def fake(file, data, offset):
        if used(path) + len(data) > limit[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data, offset)

    monkeypatch.setattr(os, "pwrite", fake)
    for path, drafts in ((tmp_path / "without.h5", False), (tmp_path / "with.h5", True)):
        drafted = []
        with writer(path, v, compression=None, commit_seconds=0, patience=20) as run:
            run._folder.drafts = drafts
            for start in range(0, 2000, 100):
                run.rows(v[start : start + 100])
                run.state(dict)
                wait_for(lambda run=run: not run._committing.is_set())
                drafted.append(bool(list(tmp_path.rglob("*.tmp"))))
            assert run.progress == 2000
            enough = used(path) + v.nbytes / 2
            limit[0] = math.inf
            run.finish()
            limit[0] = enough
        assert any(drafted) == drafts and not drafted[-1]
        np.testing.assert_array_equal(open_run(path).v, v)


def test_who_is_to_stop_does_not_wait_for_room_at_the_very_end(tmp_path, monkeypatch):
    """All is computed, and a segment of it waits for a disk that is full."""
    v, reason = wave(600, 30), [""]

    def full(file, data, offset):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        pytest.raises((WriteError, StoppedError)),
        writer(
            tmp_path / "run.h5", v, commit_seconds=0, patience=60, stop=lambda: reason[0]
        ) as run,
    ):
        run._folder.drafts = False
        monkeypatch.setattr(os, "pwrite", full)
        run.rows(v)
        run.state(dict)
        threading.Timer(0.5, lambda: reason.__setitem__(0, "SIGTERM")).start()
        begin = time.monotonic()
        run.finish()
    assert time.monotonic() - begin < 10.0


@pytest.mark.parametrize("drafts", [True, False])
def test_errors_of_the_disk_are_not_lost_while_more_is_written(tmp_path, monkeypatch, drafts):
    """The system tells a file's error to whoever syncs it next, and only to them."""
    path, v, real, told = tmp_path / "run.h5", wave(600, 30), os.fsync, []

    def fsync(file):
        if threading.current_thread().name.startswith("ThreadPoolExecutor") and not told:
            told.append(file)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(file)

    monkeypatch.setattr(saving, "_SYNC_BYTES", 1000)
    monkeypatch.setattr(os, "fsync", fsync)
    with writer(path, v) as run:
        run._folder.drafts = drafts
        run.rows(v)
        if not drafts:
            with pytest.raises(WriteError, match="Input/output error"):
                run.finish()
        else:
            run.finish()
    assert len(told) == 1 and not list(tmp_path.rglob("*.tmp"))
    assert path.exists() == drafts
    np.testing.assert_array_equal(open_run(path).v, v)


def test_a_process_that_was_forked_leaves_the_draft_alone(tmp_path):
    """HDF5 closes its files when a process ends, and would write there what it knows of."""
    script = f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        import test_storage
        v = test_storage.wave(1000, 300)
        with test_storage.writer(sys.argv[1], v) as run:
            run.rows(v[:600])
            test_storage.wait_for(lambda: run._committer._down == 2)
            child = os.fork()
            if child:
                run.rows(v[600:])
                os.write(1, b"rows")
                os.waitpid(child, 0)
                run.finish()
            else:
                os.read(0, 1)
                run._folder._draft._file.close()
                os._exit(0)
    """
    path, v = tmp_path / "run.h5", wave(1000, 300)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.read(4) == b"rows"
        process.communicate(b"!", timeout=60)
    assert process.returncode == 0
    assert path.read_bytes() == write(tmp_path / "whole.h5", v).read_bytes()


def test_kill_9_leaves_what_was_committed(tmp_path):
    script = f"""
        import sys, time
        sys.path[:0] = {sys.path!r}
        import test_storage
        v = test_storage.wave(100_000, 5)
        run = test_storage.writer(sys.argv[1], v, commit_seconds=0)
        for start in range(0, len(v), 100):
            run.rows(v[start : start + 100])
            run.state(dict)
            time.sleep(0.002)
            print(run.progress, flush=True)
    """
    path = tmp_path / "run.h5"
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), path],
        stdout=subprocess.PIPE,
        env=environment,
    )
    told = next(int(line) for line in child.stdout if int(line) > 2000)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    run = open_run(path)
    assert not run.complete and len(run.v) >= told
    np.testing.assert_array_equal(run.v, wave(100_000, 5)[: len(run.v)])
    write(path, wave(3, 5), overwrite=True)  # the lock has gone with the process
