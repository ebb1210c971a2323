"""Tables in text files: what is read, and what is refused, with its line."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import axon.columns
from axon.columns import columns
from axon.errors import StimulusError


def read(folder, text, which=(0, 1), most=1000):
    (folder / "table.txt").write_bytes(text.encode("latin-1"))
    return columns(folder / "table.txt", which, most)


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("1,4\n2,5\n3,6\n", (0, 1)),
        ("1;4\r\n2;5\r\n3;6", (0, 1)),
        ("\n  1\t 4\n2  5\n\n 3 , 6 \n\n", (0, 1)),
        ('"b","a"\n4,1\n5,2\n6,3\n', ("a", "b")),
        ("# of no meaning\n# a c b\n1 0 4\n2 0 5\n# c b a\n3 0 6\n", ("a", "b")),
        ("% a\nt,v\nms,mV\n1e0,+4\n2.,5.0e0\n.3e1,6\n", ("ms", "mV")),
        ("\xef\xbb\xbft v\n1 4\n2 5\n3 6\n", ("t", 1)),
    ],
)
def test_tables_are_read(tmp_path, text, which):
    first, second = read(tmp_path, text, which)
    np.testing.assert_array_equal(first, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(second, [4.0, 5.0, 6.0])


@pytest.mark.parametrize(
    ("text", "which", "message"),
    [
        ("0,0\n1,b\n", (0, 1), r"line 2: '1,b' is no finite numbers"),
        ("t,v\n\n0,x\n1,1\n", (0, 1), r"line 3: '0,x'"),  # no names: one of them is a number
        ("0,0\nt,v\n1,1\n", (0, 1), r"line 2: 't,v'"),
        ("0,0\n1,nan\n", (0, 1), r"line 2: '1,nan'"),
        ("0,0\n1,-inf\n", (0, 1), r"line 2: '1,-inf'"),
        ("0,0\n1,1e999\n", (0, 1), r"line 2: '1,1e999'"),
        ("0,0,\n", (0, 1), r"line 1: '0,0,'"),
        ("0,0\n1,\x00\n", (0, 1), r"line 2: '1,\\x00'"),
        ("0,5;1,5\n", (0, 1), r"line 1: .* has commas besides .*; write decimal points"),
        ("0,5\t1,5\n", (0, 1), r"line 1: .* has commas besides .*; write decimal points"),
        ("0,5 1,5\n", (0, 1), r"line 1: .* has commas besides .*; write decimal points"),
        ("0,0\n1\n", (0, 1), r"line 2 has no column 1; it has 1, counted from 0"),
        ("0,0\n", (0, -1), r"line 1 has no column -1"),
        ("a,b\n0,0\n", ("a", "c"), r"no column 'c'; there is a, b"),
        ("0,0\n", ("a", 1), "none by name: give a number"),
        ("", (0, 1), "no rows of numbers"),
        ("a,b\n# c\n", (0, 1), "no rows of numbers"),
        ("1,2\n" * 1001, (0, 1), "line 1001: there are more than 1000 rows"),
        ("1," * 60_000 + "1\n", (0, 1), "line 1 has 120001 characters, more than 100000"),
        ("\xff", (0, 1), "can't be read as text"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, which, message):
    with pytest.raises(StimulusError, match=message) as refusal:
        read(tmp_path, text, which)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("path", [".", "none.txt", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_refused(path):
    with pytest.raises(StimulusError, match="is no file"):
        columns(path, (0, 1), 10)


def test_large_files_are_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(axon.columns, "MAX_BYTES", 7)
    with pytest.raises(StimulusError, match="has 8 bytes, more than 7"):
        read(tmp_path, "1,2\n3,4\n")


def test_memory_follows_the_columns_that_are_kept(tmp_path):
    text = "1,2,3,4,5,6,7,8,9,10\n" * 20_000
    tracemalloc.start()
    read(tmp_path, text, (1,), 20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the text is written from 2 copies of 420 kB; all rows as numbers would take 9 MB
    assert peak < 2e6


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='0123456789.,;+-e \t\n\r#%"aN\x00\xe9', max_size=60))
def test_any_junk_is_a_table_or_a_stimulus_error(tmp_path, text):
    try:
        (column,) = read(tmp_path, text, (0,))
    except StimulusError:
        return
    assert column.ndim == 1 and len(column) and np.isfinite(column).all()
