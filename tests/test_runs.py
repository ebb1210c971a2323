"""Reading runs: right or refused, whatever state they are in."""

import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import disk, runfile
from axon.disk import open_run
from axon.errors import MissingExtraError, RunFileError
from axon.runs import Run
from axon.segments import chain, parts_of
from axon.storage import RunWriter

ROWS, M, N = 700, 1003, 1010
INTERVAL = 0.05
HEADER = {"axon_version": "1.0", "simulation": {"dt": 0.01, "celsius": 6.3, "duration": 35}}
SPIKE_TIME = np.array([3.0, 1.0, 2.0, 1.0])
SPIKE_COMPARTMENT = np.array([1009, 7, 1, 5])


def field(rows=ROWS, m=M):
    t, x = np.ogrid[:rows, :m]
    return np.sin(0.07 * t + 0.013 * x).astype("float32")


def record(path, v, cuts=(), finish=True, header=HEADER, **options):
    """A run on disk, with a segment after each cut."""
    m = v.shape[1]
    x = np.arange(m + 7) * 10.0
    options = {"n_rows": len(v), "commit_seconds": 0, "axon_x": x} | options
    places = {"x": x[:m], "compartments": np.arange(m), "interval": INTERVAL}
    with RunWriter(path, header=header, **places, **options) as writer:
        order = np.argsort(SPIKE_TIME, kind="stable")
        for start, stop in zip((0, *cuts), (*cuts, len(v)), strict=True):
            writer.rows(v[start:stop])
            if start == 0:
                writer.spikes(SPIKE_COMPARTMENT[order] % (m + 7), SPIKE_TIME[order])
            writer.state(dict)
            while writer._committing.is_set():
                pass
        if finish:
            writer.finish()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run, a growing one of several segments, and one in memory."""
    folder = tmp_path_factory.mktemp("runs")
    record(folder / "finished.h5", field())
    record(folder / "growing.h5", field(), (100, 256, 400), finish=False, n_rows=2 * ROWS)
    return folder


def in_memory(v=None, **change):
    v = field() if v is None else v
    m = v.shape[1]
    x = np.arange(m + 7) * 10.0
    known = {"x": x[:m], "compartments": np.arange(m), "interval": INTERVAL, "axon_x": x}
    spikes = {"spike_compartment": SPIKE_COMPARTMENT, "spike_time": SPIKE_TIME}
    return Run.in_memory(**({"header": HEADER, "v": v} | known | spikes | change))


@pytest.fixture(params=["finished", "growing", "memory"])
def run(request, folder):
    if request.param == "memory":
        return in_memory()
    return open_run(folder / f"{request.param}.h5")


@pytest.fixture(scope="module")
def everywhere(folder):
    return open_run(folder / "finished.h5"), open_run(folder / "growing.h5"), in_memory()


# What a run tells


def test_a_run_is_the_same_wherever_it_is(run):
    assert run.header == HEADER
    assert (run.dt, run.celsius, run.duration, run.interval) == (0.01, 6.3, 35.0, INTERVAL)
    assert run.v.shape == (ROWS, M) and run.v.dtype == "float32" and len(run.v) == ROWS
    np.testing.assert_array_equal(run.v, field())
    np.testing.assert_array_equal(run.time, np.arange(ROWS) * INTERVAL)
    np.testing.assert_array_equal(run.x, np.arange(M) * 10.0)
    np.testing.assert_array_equal(run.compartments, np.arange(M))
    assert run.spikes.tolist() == [
        (1.0, 5, 50.0),
        (1.0, 7, 70.0),
        (2.0, 1, 10.0),
        (3.0, 1009, 10090.0),
    ]


def test_what_a_growing_run_knows_of_its_end(folder):
    run = open_run(folder / "growing.h5")
    assert not run.complete and run.progress == 0.5 and "50% done" in repr(run)
    run = open_run(folder / "finished.h5")
    assert run.complete and run.progress == 1.0 and "complete" in repr(run)
    assert in_memory().complete


def test_to_xarray(run):
    pytest.importorskip("xarray")
    data = run.to_xarray()
    np.testing.assert_array_equal(data["v"].sel(x=50.0), field()[:, 5])
    assert data["v"].dims == ("time", "x")
    assert (data["v"].units, data["time"].units, data["x"].units) == ("mV", "ms", "um")


def test_to_xarray_without_xarray(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        in_memory().to_xarray()


def test_what_was_simulated():
    fibre = axon.Axon.tapered("1 mm", 1.0, 2.0, dx=10.0).along([(0, 0, 0), (0, 0, "1 mm")])
    stimuli = (
        axon.CurrentClamp("0.5 mm", axon.pulse(0.1, 0.1, 0.1)),
        axon.Extracellular(axon.PointSource(0, 99, 0), axon.sine("1 uA", 1000.0)),
    )
    run = axon.Simulation(fibre, axon.models.passive(), stimuli).run(0.2)
    assert run.axon == fibre and run.stimuli == stimuli


def test_a_header_is_the_same_whenever_it_is_asked_for():
    sim = axon.Simulation(axon.Axon.cylinder("1 mm", 1.0, dx=10.0), axon.models.passive())
    study = {"from": "here"}
    at_once, later = sim.run(0.2, study=study).header, sim.run(0.2, study=study)
    study["from"] = "elsewhere"
    sim.restore(sim.state())
    assert sim.run(0.2).header["simulation"]["begin"] > 0
    assert later.header == at_once and later.header is later.header
    assert at_once["simulation"]["begin"] == 0 and at_once["study"] == {"from": "here"}


@pytest.mark.parametrize(
    "change", [{"axon": {"compartments": 7}}, {"axon": {}}, {"axon": 3}, {"stimuli": [{"at": 3}]}]
)
def test_a_header_that_tells_of_something_else(change):
    fibre = axon.Axon.cylinder("1 mm", 1.0, dx=10.0)
    header = axon.Simulation(fibre, axon.models.passive()).run(0.1).header
    with pytest.raises(RunFileError, match="in memory"):
        run = in_memory(header=header | change)
        _ = run.axon, run.stimuli


@pytest.mark.parametrize("header", [{}, {"simulation": 3}, {"simulation": {"dt": "0.01"}}])
def test_a_header_that_lacks_what_is_asked_for(header):
    with pytest.raises(RunFileError, match=r"simulation\.dt"):
        _ = in_memory(header=header).dt


# The field


def axis(n):
    number = st.integers(-n, n - 1)
    ends = st.none() | st.integers(-n - 5, n + 5)
    steps = st.none() | st.integers(-300, 300).filter(bool)
    return (
        number | st.builds(slice, ends, ends, steps),
        st.lists(number, max_size=9) | st.integers(0, 2**32).map(lambda s: mask(n, s)),
    )


def mask(n, seed):
    return np.random.default_rng(seed).random(n) < 0.02


@st.composite
def indices(draw):
    (row, some_rows), (column, some_columns) = axis(ROWS), axis(M)
    return draw(
        st.tuples(row | some_rows)
        | st.tuples(row | some_rows, column)
        | st.tuples(row, some_columns)
        | st.tuples(st.just(...), column)
        | st.tuples(row, st.just(...))
        | st.tuples(row, st.just(...), column)
        | st.tuples(st.just(...))
    )


@settings(max_examples=150, deadline=None)
@given(key=indices())
def test_the_field_is_indexed_as_an_array_is(everywhere, key):
    # An empty list is one of no numbers, which numpy can't know.
    keys = [np.array(k, int) if isinstance(k, list) else k for k in key]
    expected = field()[tuple(keys)]
    for run in everywhere:
        found = run.v[key[0] if len(key) == 1 else key]
        np.testing.assert_array_equal(found, expected)
        assert np.shape(found) == expected.shape and found.dtype == expected.dtype


@pytest.mark.parametrize(
    "key",
    [ROWS, -ROWS - 1, (0, M), (0, 0, 0), [ROWS], 1.5, "v", True, None, [0.5], ([0], [0]), [[0]]],
)
def test_what_is_no_index(run, key):
    with pytest.raises(IndexError):
        run.v[key]


def test_the_field_is_read_piece_by_piece(folder, monkeypatch):
    run = open_run(folder / "finished.h5")
    read = []
    expand = runfile.expand
    monkeypatch.setattr(runfile, "expand", lambda *args: read.append(args[1]) or expand(*args))
    run.v[300:400, 5]
    assert len(read) == 1
    run.v[300], run.v[301]
    assert len(read) == 2  # the other chunk of these rows; what was read last is kept
    for _, row in zip(range(3), run.v, strict=False):
        assert row.shape == (M,)


def test_what_is_kept_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(disk, "_CACHE_BYTES", 2**21)
    with open_run(folder / "finished.h5") as run:
        np.testing.assert_array_equal(run.v, field())
        assert sum(chunk.nbytes for chunk in run._source._cache.values()) <= 2**21


def test_memory_is_shown_not_copied():
    v = field(4, 5)
    run = in_memory(v)
    assert np.shares_memory(run.v[1:3], v)
    with pytest.raises(ValueError, match="read-only"):
        run.v[1:3][:] = 0


# A run that goes on


def test_reading_while_it_grows_and_ends(tmp_path):
    v = field(900, 3)
    path = tmp_path / "run.h5"
    kwargs = {"x": np.arange(3.0), "compartments": np.arange(3), "axon_x": np.arange(3.0)}
    with RunWriter(
        path, header=HEADER, n_rows=900, interval=INTERVAL, commit_seconds=0, **kwargs
    ) as writer:
        run = open_run(path)
        assert len(run.v) == 0 and not run.complete and len(run.spikes) == 0
        for stop in (100, 300, 700, 900):
            writer.rows(v[len(run.v) : stop])
            writer.spikes(np.array([1]), np.array([stop * INTERVAL]))
            writer.state(dict)
            while writer._committing.is_set():
                pass
            assert len(run.v) < stop
            run.refresh()
            np.testing.assert_array_equal(run.v, v[:stop])
        assert len(run.spikes) == 4
        early, late = open_run(path), open_run(parts_of(path))
        writer.finish()
    # The segments have gone. What was open reads on, from the file that they became.
    np.testing.assert_array_equal(early.v[250:260], v[250:260])
    assert len(early.spikes) == 4
    np.testing.assert_array_equal(late.v, v)
    late.refresh()
    assert late.complete


def test_a_finished_run_stays_while_it_is_open(tmp_path):
    path = record(tmp_path / "run.h5", field(300, 3))
    run = open_run(path)
    record(path, field(20, 2), overwrite=True)
    np.testing.assert_array_equal(run.v, field(300, 3))
    run.refresh()
    assert run.v.shape == (20, 2)


def test_a_growing_run_that_became_another(tmp_path):
    path = record(tmp_path / "run.h5", field(300, 3), finish=False)
    run = open_run(path)
    record(path, field(300, 3), overwrite=True, header={"other": 1})
    with pytest.raises(RunFileError, match="another run"):
        run.v[0]


def test_a_folder_that_was_moved(tmp_path):
    path = record(tmp_path / "run.h5", field(300, 3), (256,), finish=False)
    parts_of(path).rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(open_run(tmp_path / "elsewhere").v, field(300, 3))
    with pytest.raises(RunFileError, match="there is no run"):
        open_run(path)


def test_a_closed_run(tmp_path):
    path = record(tmp_path / "run.h5", field(300, 3))
    with open_run(path) as run:
        row = run.v[0]
    np.testing.assert_array_equal(row, field(300, 3)[0])
    with pytest.raises(RunFileError, match="it was closed"):
        run.v[299]


# What can't be read


def looks(path, good):
    """Read all of a run: it is as it was, or it is refused."""
    try:
        with open_run(path) as run:
            assert run.v.shape == good.v.shape
            np.testing.assert_array_equal(run.v, good.v)
            np.testing.assert_array_equal(run.spikes, good.spikes)
            np.testing.assert_array_equal(run.x, good.x)
            np.testing.assert_array_equal(run.axon_x, good.axon_x)
            np.testing.assert_array_equal(run.compartments, good.compartments)
            assert (run.header, run.interval, run.complete) == (good.header, good.interval, True)
    except RunFileError as error:
        assert str(path) in str(error)
        return False
    return True


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = record(tmp_path_factory.mktemp("small") / "run.h5", field(300, 3))
    return path.read_bytes(), open_run(path)


def test_every_truncated_file_is_refused(small, tmp_path):
    data, good = small
    for size in range(0, len(data), 97):
        (tmp_path / "cut.h5").write_bytes(data[:size])
        assert not looks(tmp_path / "cut.h5", good)
    (tmp_path / "cut.h5").write_bytes(data[:-1])
    assert not looks(tmp_path / "cut.h5", good)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_changed_byte_changes_nothing_or_is_noticed(small, tmp_path_factory, data):
    good_bytes, good = small
    changed = bytearray(good_bytes)
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=3)):
        changed[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed.h5"
    path.write_bytes(changed)
    looks(path, good)


def test_all_data_are_under_a_checksum(small, tmp_path):
    data, good = small
    path = tmp_path / "changed.h5"
    path.write_bytes(data)
    places = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            item.id.chunk_iter(lambda chunk: places.update({name: chunk}))

    with h5py.File(path) as file:
        file.visititems(note)
    unnoticed = []
    for name, chunk in places.items():
        changed = bytearray(data)
        changed[chunk.byte_offset + chunk.size // 2] ^= 16
        path.write_bytes(changed)
        if looks(path, good):
            unnoticed.append(name)
    # Times are computed from the interval: those in the file are for others to read.
    assert len(places) == 8 and unnoticed == ["time"]


def test_other_files(tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(RunFileError, match="there is no run"):
        open_run(path)
    path.write_text("time,v\n0,-65\n")
    with pytest.raises(RunFileError, match="no HDF5 file"):
        open_run(path)
    with h5py.File(path, "w") as file:
        file["v"] = np.zeros((2, 2))
    with pytest.raises(RunFileError, match="not one that axon has written"):
        open_run(path)
    with pytest.raises(RunFileError, match=r"there is no run .*nor segments"):
        open_run(tmp_path)
    path.unlink()
    (tmp_path / "run.h5.parts").mkdir()
    with pytest.raises(RunFileError, match=r"there is no run .*nor segments"):
        open_run(path)
    (tmp_path / "run.h5.parts").rmdir()
    (tmp_path / "run.h5.parts").touch()
    with pytest.raises(RunFileError, match=r"run.h5.parts can't be read"):
        open_run(path)


def test_a_segment_is_no_run(tmp_path):
    record(tmp_path / "run.h5", field(300, 3), finish=False)
    with pytest.raises(RunFileError, match="open the folder"):
        open_run(chain(parts_of(tmp_path / "run.h5"))[-1].path)


def test_damaged_segments(tmp_path):
    path = record(tmp_path / "run.h5", field(900, 3), (300, 600), finish=False)
    links = chain(parts_of(path))
    middle = links[2].path
    data = middle.read_bytes()
    middle.write_bytes(data[:-10])
    run = open_run(path)
    np.testing.assert_array_equal(run.v[:256], field(900, 3)[:256])
    with pytest.raises(RunFileError, match=middle.name):
        run.v[300]
    middle.unlink()  # what comes after a gap is no part of the run
    np.testing.assert_array_equal(open_run(path).v, field(900, 3)[:300])
    with pytest.raises(RunFileError, match="another run"):
        run.v[300]


@pytest.mark.parametrize(("rows", "message"), [(2000, "has the shape"), (10**11, "too small")])
def test_a_segment_whose_name_promises_too_much(tmp_path, rows, message):
    path = record(tmp_path / "run.h5", field(900, 3), (300,), finish=False)
    last = chain(parts_of(path))[-1].path
    last.rename(last.with_name(last.name.replace("000000000768", f"{rows:012d}")))
    with pytest.raises(RunFileError, match=message):
        open_run(path).v[256]


def edited(small, tmp_path, edit):
    path = tmp_path / "edited.h5"
    path.write_bytes(small[0])
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def replace(name, **how):
    def edit(file):
        del file[name]
        file.create_dataset(name, **how)

    return edit


def attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


def soft_link(file):
    file["meta/other"] = file["meta/header"]
    del file["meta/header"]
    file["meta/header"] = h5py.SoftLink("/meta/other")


def external_link(file):
    del file["v"]
    file["v"] = h5py.ExternalLink("/etc/passwd", "/v")


def virtual(file):
    del file["v"]
    layout = h5py.VirtualLayout((300, 3), "<f4", maxshape=(None, 3))
    layout[:] = h5py.VirtualSource("/etc/passwd", "v", (300, 3))
    file.create_virtual_dataset("v", layout)


def external_data(file):
    del file["x"]
    file.create_dataset("x", (3,), "<f8", external=[("/etc/passwd", 0, 24)])


def group(file):
    del file["v"]
    file.create_group("v")


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: None,
        lambda file: replace("v", data=field(300, 3), **CHUNKED)(file),
        lambda file: replace("x", data=file["x"][:], **LINE)(file),
        lambda file: replace("meta/header", data=file["meta/header"][:], **LINE)(file),
    ],
)
def test_files_that_were_edited_well(small, tmp_path, edit):
    """Else those that were tampered with might be refused for another reason."""
    assert looks(edited(small, tmp_path, edit), small[1])


LINE = {"chunks": True, "compression": "gzip"}
CHUNKED = {"chunks": (256, 3), "maxshape": (None, 3), "compression": "gzip"}


@pytest.mark.parametrize(
    "edit",
    [
        soft_link,
        external_link,
        virtual,
        external_data,
        group,
        lambda file: file.__delitem__("v"),
        lambda file: file.__delitem__("meta"),
        lambda file: file.attrs.__delitem__("rows"),
        attribute("rows", 301),
        attribute("rows", -1),
        attribute("rows", 2**62),
        attribute("rows", "300"),
        attribute("rows", [300, 300]),
        attribute("interval", np.nan),
        attribute("interval", -0.05),
        attribute("interval", 1),
        attribute("layout", 0),
        attribute("format", "axon-run"),  # of variable length
        replace("v", data=np.zeros((300, 3), "f4")),
        replace("v", shape=(300, 3), dtype="f4", **CHUNKED),  # whose chunks are not there
        replace("v", shape=(10**15, 3), dtype="f4", **CHUNKED),
        replace("v", data=np.zeros((300, 3), ">f4"), **CHUNKED),
        replace("v", data=np.zeros((300, 3), "i4"), **CHUNKED),
        replace("v", data=np.zeros((300, 3), "f4"), **(CHUNKED | {"chunks": (1, 3)})),
        replace("v", data=np.zeros((300, 3), "f4"), **CHUNKED, fletcher32=True),
        replace("v", data=np.zeros((300, 3), "f4"), **(CHUNKED | {"compression": "lzf"})),
        replace("v", data=np.zeros((300, 3), "f4"), **CHUNKED, scaleoffset=3),
        replace("x", data=np.full(3, np.nan), chunks=(3,), maxshape=(None,), compression="gzip"),
        replace("x", data=np.zeros(4), chunks=(4,), maxshape=(None,), compression="gzip"),
        replace("meta/header", data="{}"),
        replace("meta/header", data=["{}"], chunks=(1,), compression="gzip"),
        *[
            replace("meta/header", data=np.array([text], "S"), chunks=(1,), compression="gzip")
            for text in [b"[]", b"{", b"\xff", b'{"a": NaN}', b"[" * 10**5, b'{"a": 1e999']
        ],
        replace("meta/compartments", data=[0, 1, 99], chunks=(3,), compression="gzip"),
        replace("spikes/compartment", data=[0, 1, 2, 10], chunks=(4,), compression="gzip"),
        replace("spikes/compartment", data=[0, 1], chunks=(2,), compression="gzip"),
    ],
)
def test_files_that_were_tampered_with(small, tmp_path, edit):
    _, good = small
    path = edited(small, tmp_path, edit)
    assert not looks(path, good)


def test_chunks_that_are_bombs(small, tmp_path):
    _, good = small
    bomb = runfile.compress(np.zeros(10**8, "u1"))

    def edit(file):
        file["v"].id.write_direct_chunk((0, 0), bomb)

    path = edited(small, tmp_path, edit)
    tracemalloc.start()
    assert not looks(path, good)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_a_newer_layout_is_refused_with_advice(small, tmp_path):
    path = edited(small, tmp_path, attribute("layout", 4))
    with pytest.raises(RunFileError, match=r"layout 4.*newer.*upgrade"):
        open_run(path)
