"""The encoder of chunks against zlib, which must read what it writes."""

import hashlib
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axon._kernel import deflate


def shuffled(values):
    return np.ascontiguousarray(values.reshape(-1, 1).view(np.uint8).T).tobytes()


def expand(stream):
    inflate = zlib.decompressobj()
    data = inflate.decompress(stream)
    assert inflate.eof and not inflate.unused_data
    return data


def travelling(rows=256, m=1000, dtype="float32"):
    t, x = np.ogrid[:rows, :m]
    return (100 * np.exp(-(((3.7 * t - x) / 40) ** 2)) - 65).astype(dtype)


def fibonacci():
    """Counts that would take codes of more than 15 bits."""
    counts = [1, 1]
    while sum(counts) < 60_000:
        counts.append(sum(counts[-2:]))
    values = np.repeat(np.arange(len(counts), dtype="u1"), counts)
    return np.random.default_rng(0).permutation(values)


@pytest.mark.parametrize(
    "values",
    [
        travelling(),
        travelling(dtype="float64"),
        np.zeros((256, 1000), "float32"),
        np.random.default_rng(0).integers(0, 256, 300_000).astype("u1"),
        np.random.default_rng(0).geometric(0.5, 200_000).astype("u1"),
        fibonacci(),
        np.resize(np.random.default_rng(0).integers(0, 256, 32768).astype("u1"), 200_000),
        np.resize(np.random.default_rng(0).integers(0, 256, 32769).astype("u1"), 200_000),
        np.array([b"{}" * 3000]),
        *[np.arange(n, dtype="u1") for n in (1, 2, 7, 8, 9, 12)],
        *[np.arange(n, dtype="<u4") % 7 for n in (4095, 4096, 4097, 65535, 65536)],
    ],
)
def test_zlib_reads_it(values):
    assert expand(deflate(values)) == shuffled(values)


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 3000)), min_size=1
    ),
    size=st.sampled_from([1, 2, 4, 8]),
)
def test_zlib_reads_whatever_repeats(pieces, size):
    data = b"".join(piece * times for piece, times in pieces)[:400_000]
    values = np.frombuffer(data.ljust(-(-len(data) // size) * size), f"<u{size}")
    assert expand(deflate(values)) == shuffled(values)


def test_a_field_becomes_as_small_as_by_zlib():
    values = travelling()
    assert len(deflate(values)) < 1.05 * len(zlib.compress(shuffled(values), 1))


def test_noise_does_not_grow():
    values = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype="<u4")
    # 5 bytes for each stored block of at most 65535, two for each plane, and 6 of zlib's own
    assert len(deflate(values)) <= values.nbytes + 8 * 5 + 6


def test_the_bytes_are_the_same_on_every_machine():
    values = (np.arange(200_000, dtype="<u4") * 2654435761 >> 13) ** 2 // 977
    digest = hashlib.sha256(deflate(values.astype("<u4"))).hexdigest()
    assert digest == "79737d63b77e79f24e751383a4ad9333d60ad4f4233fd4327c7607390a8ab880"


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing to compress"):
        deflate(np.empty(0, "float32"))
