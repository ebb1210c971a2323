"""Elementary functions of rate functions: right, and the same on other processors."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon import _kernel, portable
from axon.portable import Portable, least_squares, unwrapped, wrapped

X = np.linspace(-30.0, 30.0, 1001)


@pytest.mark.parametrize(
    ("ufunc", "x"),
    [
        (np.exp, X),
        (np.expm1, X),
        (np.tanh, X),
        (np.sinh, X),
        (np.cosh, X),
        (np.exp2, X),
        (np.log, np.exp(X)),
        (np.log10, np.exp(X)),
        (np.log2, np.exp(X)),
        (np.log1p, np.exp(X) - 1.0),
        (np.log1p, 1e-9 * X),
    ],
)
def test_they_are_numpys_to_rounding(ufunc, x):
    np.testing.assert_allclose(ufunc(wrapped(x)), ufunc(x), rtol=2e-14, atol=1e-16)


def test_functions_that_sources_need():
    x = np.concatenate([[-1.0, -0.0, 0.0, 1e-300, 1.0, 1e300, np.inf], 10.0**X])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(portable.log1p(x), np.log1p(x), rtol=1e-15)
    x = np.concatenate([np.linspace(-1.0, 1.0, 1001), 10.0 ** -np.abs(X)])
    np.testing.assert_allclose(portable.arcsin(x), np.arcsin(x), rtol=1e-15)


def test_tables_are_made_by_the_instruction_set_that_is_asked_for(monkeypatch):
    monkeypatch.setenv("AXON_ISA", "generic")
    plain = portable.exp(X)
    monkeypatch.setenv("AXON_ISA", _kernel.chosen_isa())
    np.testing.assert_allclose(portable.exp(X), plain, rtol=1e-15)
    if _kernel.instruction_sets()[_kernel.chosen_isa()][1]:
        assert np.any(portable.exp(X) != plain)


@pytest.mark.parametrize("y", [0, 1, 2, 3.0, -2, 8, 0.5, 1.3, -0.7])
def test_powers(y):
    x = np.exp(X / 3)
    np.testing.assert_allclose(wrapped(x) ** y, x**y, rtol=1e-14)
    base = abs(y) + 0.1
    np.testing.assert_allclose(base ** wrapped(X), base**X, rtol=1e-13)


def test_powers_of_what_is_not_positive_are_numpys():
    x = np.array([-3.0, 0.0, 2.0])
    np.testing.assert_array_equal(np.power(wrapped(x), 3), x**3)
    np.testing.assert_array_equal(np.power(wrapped(x), np.array([2.0, 0.5, 1.0])), [9.0, 0.0, 2.0])


def test_whatever_is_done_to_them_they_stay_what_they_are():
    v = wrapped(X)
    kept = [v + 1, 2 * v, -v, np.where(v > 0, v, 1.0), np.clip(v, 0, 1), v[3:5], v**2, np.exp(v)]
    assert {type(each) for each in kept} == {Portable}
    assert type(np.exp(wrapped(2.0))) is Portable  # a number stays one that is
    assert unwrapped(np.exp(wrapped(0.0)) + 1.0) == 2.0
    assert type(unwrapped(v)) is np.ndarray and type(v > 0) is np.ndarray
    assert wrapped("x") == "x" and wrapped(3) == 3
    out = np.empty_like(X)
    np.add(v, 1.0, out=out)
    np.testing.assert_array_equal(out, X + 1.0)
    assert unwrapped(np.add.reduce(v)) == np.add.reduce(X)


@given(
    n=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), rank=st.integers(0, 6), zero=st.booleans()
)
def test_least_squares_is_numpys(n, seed, rank, zero):
    rng = np.random.default_rng(seed)
    rank = min(n, max(rank, 1))
    matrix = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, n))
    right = np.zeros(n) if zero else rng.standard_normal(n)
    singular = np.linalg.svd(matrix, compute_uv=False)
    if singular[rank - 1] < 1e-6 * singular[0]:
        return  # which rank it has is a matter of rounding
    expected = np.linalg.lstsq(matrix, right, rcond=1e-9)[0]
    found = least_squares(matrix, right, 1e-9)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=1e-8 * max(1.0, np.abs(expected).max())
    )


SCRIPT = """
    import hashlib, pathlib, sys
    import numpy as np
    import axon
    print(hashlib.sha256(np.exp(np.linspace(-5.0, 5.0, 10000)).tobytes()).hexdigest())
    x = np.linspace(-2000.0, 2000.0, 1001)
    for source in (axon.LineSource((0, 0, 50), (300, 0, 50)), axon.DiskSource(0, 0, 5, radius=90)):
        potential = source.potential(x, 0.3 * x, 20.0 + 0.1 * x)
        print(source, hashlib.sha256(potential.tobytes()).hexdigest())
    fibre = axon.Axon.cylinder("1 mm", diameter=1.0, compartments=20)
    stimuli = [axon.CurrentClamp(0.0, axon.sine(0.2, 1000.0, start=0.5, duration=2.0))]
    for name in ("hodgkin_huxley", "tigerholm", "schild94", "thio_autonomic"):
        sim = axon.Simulation(fibre, getattr(axon.models, name)(), stimuli, dt=0.01)
        path = pathlib.Path(sys.argv[1]) / f"{name}.h5"
        sim.run(3.0, output=path, overwrite=True)
        print(name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.skipif(
    not _kernel.instruction_sets().get("avx512", (False,))[0], reason="needs AVX-512"
)
def test_files_have_the_same_bytes_on_an_older_processor(tmp_path):
    """NumPy and its linear algebra are told that it is one, and so is the kernel."""
    older = {
        # By their names before NumPy 2.4, and since.
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL "
        "AVX512_ICL AVX512_SPR X86_V4",
        "OPENBLAS_CORETYPE": "Haswell",
        "AXON_ISA": "avx2",
    }
    told = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPT), tmp_path],
            env={k: v for k, v in os.environ.items() if k != "AXON_ISA"} | environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for environment in ({}, older)
    ]
    now, then = (each.splitlines() for each in told)
    assert now[0] != then[0], "NumPy did not do as it was told"
    assert now[1:] == then[1:]
    assert len(now) == 7


def test_functions_of_single_numbers():
    assert portable.exp(1.0) == pytest.approx(np.e, rel=1e-15)
    assert portable.power(3.0, 2.5) == pytest.approx(3.0**2.5, rel=1e-15)
