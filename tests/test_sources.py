"""Electrodes outside: potentials against closed forms and limits, and what is refused."""

import json

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

import axon
from axon import DiskSource, LineSource, PointSource, PotentialAlong, StimulusError
from axon.sources import source_from

X = np.linspace(-500.0, 3000.0, 57)
ZERO = np.zeros_like(X)
ALL = [
    PointSource(100.0, 20.0, "0.25 mm", sigma=0.2),
    PointSource(100.0, 20.0, 250.0, sigma=(0.4, 0.1, 0.2)),
    LineSource((0.0, 10.0, 300.0), ("1 mm", 10.0, 500.0)),
    DiskSource(100.0, 20.0, 250.0, radius=60.0),
    PotentialAlong(np.linspace(-500.0, 3000.0, 30), np.sin(np.linspace(0.0, 5.0, 30))),
    2.5 * PointSource(0.0, 0.0, 100.0) - PointSource(500.0, 0.0, 100.0),
]


def along(source, x=X):
    return source.potential(x, np.zeros_like(x), np.zeros_like(x))


def test_a_point_in_tissue_that_conducts_alike_everywhere():
    """1 mA in 1 S/m at 1 mm: 1e-3 / (4 pi 1e-3) V."""
    v = along(PointSource(0.0, "1 mm", 0.0, sigma=1.0), np.zeros(1))
    assert v[0] == pytest.approx(1e3 / (4 * np.pi), rel=1e-14)
    twice = along(PointSource(0.0, "2 mm", 0.0, sigma="0.25 S/m"), np.zeros(1))
    assert twice[0] == pytest.approx(2 * v[0], rel=1e-14)


def test_a_point_where_directions_differ():
    """Stretched coordinates make of it a point in a medium that conducts alike everywhere."""
    sx, sy, sz = 0.5, 0.1, 0.2
    source = PointSource(30.0, 40.0, 50.0, sigma=(sx, sy, sz))
    stretched = np.sqrt((X - 30.0) ** 2 / sx + 40.0**2 / sy + 50.0**2 / sz)
    expected = 1e6 / (4 * np.pi * np.sqrt(sx * sy * sz) * stretched)
    np.testing.assert_allclose(along(source), expected, rtol=1e-13)
    alike = PointSource(30.0, 40.0, 50.0, sigma=(0.3, 0.3, 0.3))
    assert alike == PointSource(30.0, 40.0, 50.0, sigma=0.3)


def test_a_line_is_points_side_by_side():
    start, stop = np.array([0.0, 100.0, 50.0]), np.array([800.0, 150.0, 90.0])
    places, weights = np.polynomial.legendre.leggauss(200)
    total = sum(
        w / 2 * along(PointSource(*(start + (stop - start) * (p + 1) / 2)))
        for p, w in zip(places, weights, strict=True)
    )
    np.testing.assert_allclose(along(LineSource(start, stop)), total, rtol=1e-9)


@pytest.mark.parametrize(
    "near", [LineSource((-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)), PointSource(0.0, 0.0, 0.0)]
)
def test_from_afar_every_electrode_is_a_point(near):
    far = np.array([1e5])
    np.testing.assert_allclose(along(near, far), 1e6 / (4 * np.pi * 0.3 * far), rtol=1e-9)


def test_a_disk():
    """From afar a point whose current has only half of the space; the disk is at I/(4 sigma a)."""
    disk = DiskSource(0.0, 0.0, 0.0, radius=50.0, sigma=0.3)
    far = np.array([1e5])
    np.testing.assert_allclose(along(disk, far), 1e6 / (2 * np.pi * 0.3 * far), rtol=1e-6)
    on_it = np.linspace(-50.0, 50.0, 11)
    np.testing.assert_allclose(along(disk, on_it), 1e6 / (4 * 0.3 * 50.0), rtol=1e-7)
    axis = disk.potential(np.zeros(3), np.zeros(3), np.array([10.0, 50.0, 300.0]))
    expected = 1e6 / (2 * np.pi * 0.3 * 50.0) * np.arctan(50.0 / np.array([10.0, 50.0, 300.0]))
    np.testing.assert_allclose(axis, expected, rtol=1e-12)


@given(a=st.floats(-5, 5), b=st.floats(-5, 5))
def test_sources_add_and_scale_as_potentials_do(a, b):
    first, second = ALL[0], ALL[2]
    together = a * first + second * b - first
    expected = (a - 1) * along(first) + b * along(second)
    np.testing.assert_allclose(along(together), expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("source", ALL, ids=lambda source: type(source).__name__)
def test_descriptions_are_understood(source):
    again = source_from(json.loads(json.dumps(source.to_dict())))
    np.testing.assert_array_equal(along(again), along(source))


# Potentials from elsewhere


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(4, 30),
    powers=st.lists(st.floats(-3, 3), min_size=4, max_size=4),
)
def test_a_cubic_is_met_exactly(seed, n, powers):
    x = np.cumsum(np.random.default_rng(seed).uniform(0.5, 2.0, n))
    at = np.linspace(x[0], x[-1], 200)
    found = along(PotentialAlong(x, np.polyval(powers, x / x[-1])), at)
    np.testing.assert_allclose(found, np.polyval(powers, at / x[-1]), atol=1e-9)


def test_samples_of_a_point_source_act_as_it_does():
    """To fourth order in the distance of the samples, in the potential."""
    source = PointSource(1000.0, 0.0, 250.0)
    at = np.linspace(0.0, 2500.0, 500)
    errors = []
    for n in (51, 101, 201):
        x = np.linspace(0.0, 2500.0, n)
        errors.append(
            np.abs(along(PotentialAlong(x, along(source, x)), at) - along(source, at)).max()
        )
    assert errors[1] / errors[0] < 1 / 10 and errors[2] / errors[1] < 1 / 10


@pytest.mark.parametrize("source", ALL, ids=lambda source: type(source).__name__)
def test_on_a_straight_axon_not_a_bit_is_lost(source):
    """A run that was begun without a path goes on with the same numbers."""
    fibre = axon.Axon.cylinder("2.9 mm", diameter=1.0, compartments=377)
    assert source.on_axon(fibre.places, fibre.x).tobytes() == along(source, fibre.x).tobytes()


def test_what_comes_as_a_function_of_position_follows_the_axon():
    """Points and the like see where it lies, whatever they are combined with."""
    fibre = axon.Axon.cylinder("1 mm", diameter=1.0, dx=10.0)
    bent = fibre.along([(0, 0, 0), (0, 400, 0), (0, 400, 900)])
    known = PotentialAlong.from_function(lambda x: x**3, "1 mm")
    point = PointSource(0.0, 400.0, 500.0)
    seen = (known - 2.0 * point).on_axon(bent.places, bent.x)
    expected = along(known, fibre.x) - 2.0 * point.potential(*bent.places.T)
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_a_function_of_position():
    source = PotentialAlong.from_function(lambda x: 3.0 * x, "1 mm")
    np.testing.assert_allclose(along(source, np.array([0.0, 500.0, 1000.0])), [0.0, 1500.0, 3000.0])


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("0,0\n0.1,1\n0.2,4\n0.3,9\n", (0, 1)),
        ("x;V\n0;0\n0.1;1\n\n0.2;4\n0.3;9\n", ("x", "V")),
        ("% Model: nerve.mph\n% x  y  V\n0 5 0\n0.1 5 1\n0.2  5  4\n0.3 5 9\n", ("x", "V")),
        ('\ufeff"x"\t"y"\t"V"\n0\t1\t0\n0.1\t1\t1\n0.2\t1\t4\n0.3\t1\t9\n', (0, "V")),
    ],
)
def test_tables_of_other_programs(tmp_path, text, columns):
    (tmp_path / "line.csv").write_text(text, encoding="utf-8")
    source = PotentialAlong.from_csv(tmp_path / "line.csv", *columns, x_unit="mm", unit="V")
    np.testing.assert_allclose(source.x, [0.0, 100.0, 200.0, 300.0])
    np.testing.assert_allclose(source.values, [0.0, 1e3, 4e3, 9e3])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("x,V\n0,0\n1,b\n", {}, r"line 3: '1,b' is no finite numbers"),
        ("x,V\n0,0\n", {"potential": "E"}, r"no column 'E'; there is x, V"),
        ("0,0\n1,1\n", {"x": "x"}, "none by name: give a number"),
        ("0,0\n1\n", {}, "line 2 has no column 1"),
        ("0,0\n1,1\n", {}, "at least 4"),
        ("0,0\n", {"unit": "mA"}, "unit"),
        ("\xff", {}, "can't be read as text"),
    ],
)
def test_tables_that_are_none(tmp_path, text, options, message):
    (tmp_path / "line.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(StimulusError, match=message):
        PotentialAlong.from_csv(tmp_path / "line.csv", **options)


def test_nothing_is_extrapolated():
    source = PotentialAlong([0.0, 100.0, 200.0, 300.0], [0.0, 1.0, 2.0, 3.0])
    with pytest.raises(StimulusError, match="known from 0 to 300 µm"):
        along(source, np.array([150.0, 301.0]))
    fibre = axon.Axon.cylinder("1 mm", diameter=1.0, dx=10.0)
    stimulus = axon.Extracellular(source, axon.pulse(1.0, 0.0, 1.0))
    with pytest.raises(StimulusError, match="nothing is extrapolated"):
        axon.Simulation(fibre, axon.models.sundt(), [stimulus])


def test_potentials_along_an_axon_with_units() -> None:
    ureg = pint.UnitRegistry()
    plain = [0, 1000, 2000, 3000], [0, 1, 4, 9]
    for x in (["0 mm", "1 mm", 2000, "3 mm"], ureg.Quantity([0, 1, 2, 3], "mm")):
        source = PotentialAlong(x, ureg.Quantity([0, 1, 4, 9], "mV"))
        assert (source.x.tolist(), source.values.tolist()) == plain
    with pytest.raises(StimulusError, match="cannot be converted to um"):
        PotentialAlong(ureg.Quantity([0, 1, 2, 3], "ms"), [0, 1, 4, 9])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PointSource("1 ms", 0.0, 0.0), "x = '1 ms'"),
        (lambda: PointSource(0.0, 0.0, np.nan), "z = nan"),
        (lambda: PointSource(0.0, 0.0, 1.0, sigma=0.0), "sigma = 0"),
        (lambda: PointSource(0.0, 0.0, 1.0, sigma=(1.0, 2.0)), "or three"),
        (lambda: LineSource((0.0, 0.0), (1.0, 0.0, 0.0)), "no place"),
        (lambda: LineSource((1.0, 0.0, 0.0), (1.0, 0.0, 0.0)), "PointSource"),
        (lambda: DiskSource(0.0, 0.0, 0.0, radius=-1.0), "radius"),
        (lambda: PotentialAlong([0, 1, 2], [0, 1, 2]), "at least 4"),
        (lambda: PotentialAlong([0, 1, 1, 2], [0, 1, 2, 3]), "must increase"),
        (lambda: PotentialAlong([0, 1, 2, 3], [0, 1, 2, np.inf]), "finite"),
        (lambda: PotentialAlong("abcd", [0, 1, 2, 3]), "x = 'abcd' is no number"),
        (lambda: source_from({"shape": "ring"}), "ring"),
        (lambda: source_from({"shape": "point", "x": 0.0}), "point"),
        (lambda: source_from(7), "no table"),
        (lambda: source_from({"shape": "combined", "terms": [7]}), "combined"),
    ],
)
def test_what_is_no_source(make, message):
    with pytest.raises(StimulusError, match=message):
        make()
