"""Files that are whole or not there, and what HDF5 writes to."""

import errno
import os
from concurrent.futures import Future

import h5py
import numpy as np
import pytest

from axon import saving
from axon.errors import WriteError


def refuse(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_gets_its_name_when_it_is_whole(tmp_path):
    target = tmp_path / "target"
    with saving.renamed(target, tmp_path) as file:
        saving.write(file, memoryview(b"0123456789"), 0)
        saving.write(file, memoryview(b"ab"), 4)
        assert not target.exists() and len(list(tmp_path.glob("*.tmp"))) == 1
    assert target.read_bytes() == b"0123ab6789" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("where", ["pwrite", "fsync", "replace"])
def test_what_fails_leaves_what_was_there(tmp_path, monkeypatch, where):
    target = tmp_path / "target"
    target.write_text("before")
    monkeypatch.setattr(os, where, refuse)
    with (
        pytest.raises(WriteError, match=r"can't write .*target: No space left") as caught,
        saving.renamed(target, tmp_path) as file,
    ):
        saving.write(file, memoryview(b"after"), 0)
    assert caught.value.errno == errno.ENOSPC and caught.value.errno in saving.PASSING
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def test_bytes_are_written_however_few_the_system_takes_at_a_time(tmp_path, monkeypatch):
    real, data = os.pwrite, os.urandom(5000)
    monkeypatch.setattr(os, "pwrite", lambda file, view, at: real(file, view[:77], at))
    with open(tmp_path / "file", "wb") as file:
        saving.write(file.fileno(), memoryview(data), 10)
    assert (tmp_path / "file").read_bytes() == bytes(10) + data


def test_a_file_in_memory_is_as_one_on_the_disk(tmp_path):
    """Whatever size was expected."""
    rng = np.random.default_rng(1)
    with open(tmp_path / "file", "w+b", buffering=0) as file:
        for size in (0, 10, 10_000):
            memory = saving.Scratch(size)
            file.truncate(0)
            for _ in range(50):
                at, data = int(rng.integers(0, 3000)), rng.bytes(int(rng.integers(0, 300)))
                for each in (file, memory):
                    assert each.seek(at) == each.tell() == at
                    assert each.write(data) == len(data)
                assert file.seek(0, os.SEEK_END) == memory.seek(0, os.SEEK_END)
            file.seek(0)
            assert memory.image() == file.read()
            assert memory.seek(7) == 7 and memory.read(20) == bytes(memory.image()[7:27])
            assert memory.truncate(9) == 9 and len(memory.image()) == 9


def test_hdf5_never_learns_that_a_write_has_failed(tmp_path, monkeypatch):
    """When it closes a file that it could not write it may crash the process."""
    real = os.pwrite
    for k in range(10**6):
        writes = []

        def pwrite(file, view, at, k=k, writes=writes):
            writes.append(at)
            return real(file, view, at) if len(writes) <= k else refuse()

        monkeypatch.setattr(os, "pwrite", pwrite)
        with open(tmp_path / "file", "w+b") as file:
            sink = saving.Sink(file.fileno(), lambda: None)
            with h5py.File(sink, "w") as hdf5:
                hdf5["values"] = np.arange(1000)
            sink.close()
            if len(writes) <= k:
                break
            with pytest.raises(OSError, match="No space left"):
                sink.check()
    sink.check()
    assert k > 5
    with h5py.File(tmp_path / "file") as hdf5:
        np.testing.assert_array_equal(hdf5["values"], np.arange(1000))


def test_a_forked_process_waits_for_no_thread_that_it_has_not(tmp_path, monkeypatch):
    with open(tmp_path / "file", "w+b") as file:
        sink = saving.Sink(file.fileno(), lambda: None)
        sink.write(b"ours")
        sink._syncing = Future()  # which never ends there
        monkeypatch.setattr(os, "getpid", lambda: -1)
        sink.write(b"theirs")
        sink.truncate(0)
        sink.close()
    assert (tmp_path / "file").read_bytes() == b"ours"
