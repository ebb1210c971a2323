"""Files that are damaged: computed again, or refused in clear words; never a wrong file."""

from __future__ import annotations

import hashlib
import random
import shutil

import h5py
import numpy as np
import pytest
from conftest import LONGER, copied, digest
from test_kills import finished

import axon
from axon.segments import chain, parts_of

BLOCKS = 5


@pytest.fixture(scope="session")
def stopped(disk_of_session):
    """A run of which the last block is missing."""
    path = disk_of_session.new()
    assert disk_of_session.run(path, stop_at=BLOCKS).error == "StoppedError"
    return path


@pytest.fixture(scope="session")
def other(disk_of_session):
    """Another run, as far as that one."""
    path = disk_of_session.new()
    assert disk_of_session.run(path, stop_at=BLOCKS, dtype="float64").error == "StoppedError"
    return path


def flipped(data, random_):
    data = bytearray(data)
    data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
    return bytes(data)


DAMAGES = {
    "truncated": lambda data, _: data[: len(data) // 2],
    "empty": lambda data, _: b"",
    "longer": lambda data, _: data + b"\0",
    "zeroed": lambda data, _: b"\0" * len(data),
    "end zeroed": lambda data, _: data[:-4096] + b"\0" * 4096,
    "bit flipped": flipped,
    "garbage": lambda data, random_: random_.randbytes(len(data)),
    "deleted": None,
}


def inflict(path, damage, random_):
    if DAMAGES[damage] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes(), random_))


def snapshot(folder):
    return {p.name: digest(p) for p in sorted(folder.iterdir()) if p.name != "lock"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_is_computed_again(disk, stopped, damage):
    expected, _ = disk.reference()
    for k in (1, 3, BLOCKS):
        path = copied(disk, stopped)
        inflict(chain(parts_of(path))[k].path, damage, random.Random(k))
        outcome = disk.resume(path)
        assert outcome.done, f"segment {k}: {outcome.told()}"
        disk.is_right(path, expected)


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_its_first_segment_a_run_is_refused(disk, stopped, damage):
    path = copied(disk, stopped)
    inflict(chain(parts_of(path))[0].path, damage, random.Random(1))
    before = snapshot(parts_of(path))
    outcome = disk.resume(path)
    assert outcome.error == "RunFileError", outcome.told()
    assert "nothing to go on from" in outcome.message
    assert str(parts_of(path)) in outcome.message
    assert snapshot(parts_of(path)) == before and not path.exists()


def test_several_damaged_segments(disk, stopped):
    expected, _ = disk.reference()
    random_ = random.Random(2)
    for _ in range(8):
        path = copied(disk, stopped)
        for segment in random_.sample(chain(parts_of(path))[1:], 3):
            inflict(segment.path, random_.choice(list(DAMAGES)), random_)
        outcome = disk.resume(path)
        assert outcome.done, outcome.told()
        disk.is_right(path, expected)


def test_a_damaged_segment_under_a_lasting_error(disk, stopped):
    """Both at once: what is sound stays, and becomes the right file later."""
    expected, _ = disk.reference()
    for k in (2, 5, 9, 20):
        path = copied(disk, stopped)
        inflict(chain(parts_of(path))[2].path, "bit flipped", random.Random(k))
        full = {"action": "fail", "at": k, "error": "ENOSPC", "kinds": 255}
        assert disk.resume(path, full).error in ("WriteError", "")
        disk.finish(path, expected)


def test_segments_of_another_run_among_them(disk, stopped, other):
    """Those that continue none of this run's don't count; with a first one, it is refused."""
    expected, _ = disk.reference()
    foreign = chain(parts_of(other))
    path = copied(disk, stopped)
    for segment in foreign[1:]:
        shutil.copy(segment.path, parts_of(path))
    outcome = disk.resume(path)
    assert outcome.done, outcome.told()
    disk.is_right(path, expected)

    path = copied(disk, stopped)
    for segment in foreign:
        shutil.copy(segment.path, parts_of(path))
    before = snapshot(parts_of(path))
    outcome = disk.resume(path)
    assert outcome.error == "RunFileError" and "segments of 2 runs" in outcome.message
    assert snapshot(parts_of(path)) == before


def test_a_segment_of_another_run_under_this_ones_name(disk, stopped, other):
    expected, _ = disk.reference()
    for k in range(1, BLOCKS + 1):
        path = copied(disk, stopped)
        shutil.copy(chain(parts_of(other))[k].path, chain(parts_of(path))[k].path)
        assert disk.resume(path).done
        disk.is_right(path, expected)


def test_a_segment_of_another_run_made_to_fit(disk, stopped, other):
    """Named, and its digest right, as if it continued this run."""
    path = copied(disk, stopped)
    before = chain(parts_of(path))[-1]
    data = chain(parts_of(other))[-1].path.read_bytes()
    digits = hashlib.sha256(data).hexdigest()[:16]
    name = f"seg-{before.stop:012d}-{before.stop + 256:012d}-{before.digest}-{digits}.h5"
    (parts_of(path) / name).write_bytes(data)
    outcome = disk.resume(path)
    assert outcome.error == "RunFileError", outcome.told()
    assert not path.exists()


def relabelled(path, change):
    """A segment changed, under the name it would then have."""
    with h5py.File(path, "r+") as file:
        change(file)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return path.rename(path.with_name(f"{path.name[:-19]}{digits}.h5"))


@pytest.mark.parametrize("which", [0, -1])
def test_segments_of_a_newer_layout_are_refused(disk, stopped, which):
    path = copied(disk, stopped)
    links = chain(parts_of(path))
    if which == 0:
        for segment in links[1:]:
            segment.path.unlink()
    relabelled(links[which].path, lambda file: file.attrs.modify("layout", np.int64(99)))
    before = snapshot(parts_of(path))
    outcome = disk.resume(path)
    assert outcome.error == "RunFileError", outcome.told()
    assert "99" in outcome.message
    assert snapshot(parts_of(path)) == before


@pytest.mark.parametrize("until", [None, LONGER])
def test_a_finished_run_of_a_newer_layout_is_refused(disk, until):
    path = finished(disk)
    with h5py.File(path, "r+") as file:
        file.attrs.modify("layout", np.int64(99))
    before = digest(path)
    with pytest.raises(axon.RunFileError, match="99"):
        axon.open_run(path)
    outcome = disk.resume(path, until=until) if until else disk.resume(path)
    assert outcome.error == "RunFileError" and "99" in outcome.message
    assert digest(path) == before


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d not in ("deleted", "bit flipped")])
def test_a_damaged_finished_run_is_never_made_longer(disk, damage):
    path = finished(disk)
    inflict(path, damage, random.Random(1))
    before = digest(path)
    outcome = disk.resume(path, until=LONGER)
    if damage == "longer":  # a zero after the end is nothing to HDF5
        assert outcome.done
        disk.is_right(path, disk.reference(duration=LONGER)[0])
        return
    assert outcome.error == "RunFileError", outcome.told()
    assert path.exists() and digest(path) == before


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d not in ("deleted", "bit flipped")])
def test_a_damaged_finished_run_stays_as_it_is(disk, damage):
    path = finished(disk)
    inflict(path, damage, random.Random(1))
    before = digest(path)
    outcome = disk.resume(path)
    # What is not looked at may be damaged unseen: there is nothing to do.
    assert outcome.error == "RunFileError" or damage in ("longer", "end zeroed"), outcome.told()
    assert digest(path) == before
    outcome = disk.run(path)
    assert outcome.error == "WriteError" and "exists already" in outcome.message
    assert digest(path) == before


@pytest.mark.parametrize("times", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_a_finished_run_is_never_carried_on_unseen(disk, times):
    """Whoever reads the longer run gets the right numbers or an error."""
    random_ = random.Random(11)
    right = finished(disk)
    assert disk.resume(right, until=LONGER).done
    with axon.open_run(right) as run:
        v, spikes = run.v[:], run.spikes[:]
    for _ in range(times):
        path = finished(disk)
        inflict(path, "bit flipped", random_)
        outcome = disk.resume(path, until=LONGER)
        if not outcome.done:
            assert outcome.error == "RunFileError", outcome.told()
            disk.seen["refused"] += 1
            continue
        try:
            with axon.open_run(path) as run:
                np.testing.assert_array_equal(run.v[:], v)
                np.testing.assert_array_equal(run.spikes[:], spikes)
            disk.seen["right"] += 1
        except axon.RunFileError:
            disk.seen["told when read"] += 1
        shutil.rmtree(path.parent)
