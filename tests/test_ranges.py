"""Lists, ranges and draws, to the last bit; the grids they span; and what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import math
import pickle
from decimal import Decimal, localcontext
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import axon
from axon import ranges
from axon.errors import StudyError
from axon.ranges import grid, linear, logarithmic, lognormal, loguniform, normal, read, uniform

# numbers that one would write, and not all of those that there are
DECIMALS = st.builds(lambda n, e: float(f"{n}e{e}"), st.integers(-9999, 9999), st.integers(-6, 4))


def problems(table):
    with pytest.raises(StudyError) as caught:
        read(table)
    return str(caught.value).splitlines()


def drawn(law, key="axon.diameter", seed=1):
    """Values of one key."""
    return [point[key] for point in grid({key: law}, seed=seed)]


# Grids

COLUMNS = st.lists(st.integers() | st.floats(allow_nan=False) | st.text(), min_size=1, max_size=4)


@given(st.lists(st.tuples(COLUMNS, st.integers(1, 3)), min_size=1, max_size=4))
def test_a_grid_is_the_product_of_its_axes(columns):
    axes = [
        {f"axis{n}.key{m}": [(value, m) and value for value in values] for m in range(keys)}
        for n, (values, keys) in enumerate(columns)
    ]
    found = grid(axes)
    places = [list(zip(*axis.values(), strict=True)) for axis in axes]
    expected = [
        dict(zip(itertools.chain(*axes), itertools.chain(*point), strict=True))
        for point in itertools.product(*places)
    ]
    assert list(found) == expected == [found[k] for k in range(len(found))] == found[:]
    assert found.shape == tuple(len(values) for values, _ in columns)
    assert found.keys == tuple(expected[0])
    for k in range(len(found)):
        assert np.ravel_multi_index(found.index(k), found.shape) == k
        assert found.index(k - len(found)) == found.index(k)


def test_a_point_takes_the_same_place_of_all_keys_of_an_axis():
    found = grid([{"a": [1, 2], "b": linear(3, 4, 2)}, {"c": np.array([0.5, 0.25])}])
    assert found[0] == {"a": 1, "b": 3, "c": 0.5}
    assert found[3] == found[-1] == {"a": 2, "b": 4, "c": 0.25}
    assert [axis.keys for axis in found.axes] == [("a", "b"), ("c",)]
    assert found.axes[0].values[1] == (2, 4)
    assert len(found.axes[1]) == 2
    for k in (4, -5):
        with pytest.raises(IndexError):
            found[k]


def test_a_mapping_multiplies_keys_and_keeps_those_of_a_tuple_together():
    found = grid({"a": [1, 2], ("b", "c"): zip([3, 4], "xy", strict=True)})
    assert found == grid([{"a": [1, 2]}, {"b": [3, 4], "c": ["x", "y"]}])
    assert found[2] == {"a": 2, "b": 3, "c": "x"}


def test_a_grid_of_any_size_takes_no_memory():
    found = axon.ranges.grid(
        {"a": linear(0, 1, 10**5), "b": normal(0, 1, count=10**6), "c": [0]}, seed=1
    )
    assert len(found) == 10**11
    assert found[-1]["a"] == 1.0
    assert found.index(12 * 10**6 + 5) == (12, 5, 0)
    assert len(pickle.dumps(found)) < 2000
    assert pickle.loads(pickle.dumps(found)) == found


def test_values_may_be_anything_that_a_study_holds():
    membranes = [{"model": "passive"}, {"model": "hodgkin_huxley"}]
    found = grid({"membrane": membranes, "record.positions": [[], [1.0, "2 mm"]]})
    assert found[3] == {"membrane": membranes[1], "record.positions": [1.0, "2 mm"]}


# Linear and logarithmic ranges


@given(DECIMALS, DECIMALS, st.integers(2, 50))
@example(0.1, 0.3, 3)
def test_a_linear_range_is_exact_and_rounded_once(start, stop, count):
    if start == stop:
        return
    values = linear(start, stop, count)
    assert len(values) == count
    assert (values[0], values[-1]) == (start, stop)
    a, b = Fraction(str(start)), Fraction(str(stop))
    for k, value in enumerate(values):
        exact = a + (b - a) * k / (count - 1)
        assert abs(Fraction(value) - exact) <= Fraction(math.ulp(value)) / 2


@given(st.integers(-500, 500), st.integers(1, 400), st.integers(1, 30), st.integers(0, 3))
def test_steps_in_decimal_stay_decimal(first, each, steps, places):
    def written(n):
        return float(Decimal(n).scaleb(-places))

    by_step = linear(written(first), written(first + each * steps), step=written(each))
    assert list(by_step) == [written(first + each * k) for k in range(steps + 1)]
    back = linear(written(first + each * steps), written(first), step=-written(each))
    assert list(back) == list(by_step)[::-1]


def test_numbers_are_whole_where_all_are_and_are_written_so():
    for values in (linear(100, 400, 4), linear(100, 400, step=100)):
        assert list(map(repr, values)) == ["100", "200", "300", "400"]
    for values in (linear(1, 3.0, 3), linear(1, 2, 3), linear(1, 2, step=0.5)):
        assert all(type(value) is float for value in values)


def test_quantities_make_quantities():
    assert linear("0.20 um", "0.6 um", 3)[:] == ["0.2 um", "0.4 um", "0.6 um"]
    assert linear("1 nA", "3 nA", step="1 nA")[:] == ["1 nA", "2 nA", "3 nA"]
    assert logarithmic("-10 uA/cm^2", "-0.1 uA/cm^2", 3)[1] == "-1.0 uA/cm^2"
    (value,) = drawn(uniform("1 mM", "2 mM", 1))
    assert 1.0 < float(value.removesuffix(" mM")) < 2.0
    tiny = linear("1e-9 m", "3e-9 m", 3)[1]
    assert axon.Axon.cylinder(1.0, tiny) == axon.Axon.cylinder(1.0, 0.002)


@given(DECIMALS.filter(lambda x: x > 0), DECIMALS.filter(lambda x: x > 0), st.integers(2, 20))
def test_a_logarithmic_range_has_equal_ratios(start, stop, count):
    if start == stop:
        return
    values = np.array(logarithmic(start, stop, count))
    assert (values[0], values[-1]) == (start, stop)
    steps = np.diff(np.log(values))
    # one rounding of each value, and those of NumPy's logarithms, none of which exceeds 24
    assert np.abs(steps - np.log(stop / start) / (count - 1)).max() < 24 * 4 * 2**-52
    assert list(logarithmic(-start, -stop, count)) == (-values).tolist()


def test_powers_of_ten_are_exact():
    assert logarithmic(1e-3, 1e6, 10)[:] == [float(f"1e{n}") for n in range(-3, 7)]
    assert logarithmic(1, 1024, 11)[:] == [2.0**n for n in range(11)]


# Random draws

LAWS = [
    uniform(-2.0, 5.0),
    loguniform(0.01, 100.0),
    normal(1.0, 0.1),
    normal(1.0, 0.5, low=0.0),
    normal(0.0, 1.0, high=-2.0),
    normal(0.0, 1.0, low=-1.0, high=3.0),
    lognormal(2.0, 0.3),
    lognormal(2.0, 0.3, low=2.0, high=3.0),
]


def many(law, count):
    return dataclasses.replace(law, count=count)


@pytest.mark.parametrize("law", LAWS)
def test_more_draws_go_on_where_fewer_ended(law):
    few, more = drawn(many(law, 20)), drawn(many(law, 30))
    assert more[:20] == few
    assert len(set(more)) == 30


def test_draws_follow_from_seed_and_key_alone():
    alone = drawn(normal(1.0, 0.1, count=10))
    among = grid(
        [{"count": 10, "membrane.g": uniform(0, 1), "axon.diameter": normal(1.0, 0.1)}, {"x": [1]}],
        seed=1,
    )
    assert [point["axon.diameter"] for point in among] == alone
    others = [
        drawn(normal(1.0, 0.1, count=10), seed=2),
        drawn(normal(1.0, 0.1, count=10), "axon.x"),
    ]
    assert not {*alone, *others[0]} & {*others[1]} and not {*alone} & {*others[0]}


def test_draws_are_what_they_have_been():
    """Sweeps go on with them: the k-th draw must not change from version to version."""
    for seed, key, k in ((0, "a", 0), (1, "membrane.scaled.na", 7), (2**64 - 1, "µ", 99)):
        digest = hashlib.blake2b(f"{seed} {key} {k}".encode(), digest_size=8).digest()
        u = Fraction(2 * int.from_bytes(digest, "big") + 1, 2**65)
        points = grid({key: uniform(-2, 6, 100)}, seed=seed)
        assert points[k][key] == float(-2 + 8 * u)
        points = grid({key: normal(0, 1, count=100)}, seed=seed)
        # the error of AS 241 (M. J. Wichura, Appl. Statist. 37, 477-484 (1988)) is some 1e-16
        assert points[k][key] == pytest.approx(NormalDist().inv_cdf(float(u)), rel=4e-15)


def test_digits_that_differ_between_machines_do_not_show(monkeypatch):
    """Of what the platform computes only some 13 digits are used."""
    before = [drawn(many(law, 20)) for law in LAWS]
    inverse = NormalDist.inv_cdf
    monkeypatch.setattr(NormalDist, "inv_cdf", lambda self, p: inverse(self, p) * (1 + 1e-12))
    assert [drawn(many(law, 20)) for law in LAWS] == before


def cumulative(law, x):
    """By the library of C."""
    numbers = {name: float(value) for name, value in vars(law.law).items()}
    y = math.log(x) if law.logarithmic else x
    if isinstance(law.law, ranges._Flat):
        return (y - numbers["low"]) / (numbers["high"] - numbers["low"])
    below = 0.5 * math.erfc((numbers["mean"] - y) / numbers["sd"] / math.sqrt(2))
    return (below - numbers["below"]) / numbers["mass"]


@pytest.mark.parametrize("law", LAWS)
def test_draws_have_their_distribution(law):
    count = 800
    shares = np.sort([cumulative(law, x) for x in drawn(many(law, count))])
    distance = np.abs(shares - (np.arange(count) + 0.5) / count).max()
    # Kolmogorov's limit that one in a hundred seeds exceeds
    assert distance < 1.63 / math.sqrt(count)
    if law.low is not None:
        assert abs(cumulative(law, float(law.low))) < 1e-12
    if law.high is not None:
        assert cumulative(law, float(law.high)) == pytest.approx(1.0, abs=1e-12)


def test_bounds_cut_a_distribution_off():
    """The mean of half a normal distribution is sd sqrt(2 / pi)."""
    values = np.array(drawn(normal(3.0, 2.0, low=3.0, count=2000)))
    error = 2.0 * math.sqrt(1 - 2 / math.pi) / math.sqrt(2000)
    assert abs(values.mean() - 3.0 - 2.0 * math.sqrt(2 / math.pi)) < 3 * error


BOUNDS = st.floats(-3, 3).map(lambda x: round(x, 3))


@settings(max_examples=50)
@given(BOUNDS, st.floats(0.01, 10).map(lambda x: round(x, 3)), st.integers(0, 2**64 - 1))
@example(-3.0, 0.001, 1)
def test_draws_lie_between_their_bounds(low, wide, seed):
    low, high = low, round(low + wide, 3)
    for law in (uniform(low, high, 5), normal(0, 1, low, high, 5)):
        assert all(low <= x <= high for x in drawn(law, seed=seed))
    for law in (
        loguniform(low + 3.1, high + 3.1, 5),
        lognormal(1.0, 1.0, low + 3.1, high + 3.1, 5),
    ):
        assert all(low + 3.1 <= x <= high + 3.1 for x in drawn(law, seed=seed))


@pytest.mark.parametrize("u", ["1e-28", "1e-9", "0.1", "0.5", "0.75", "0.999999999999999999999"])
def test_the_quantile_is_the_inverse(u):
    with localcontext(ranges._DIGITS):
        p = Decimal(u)
        z = ranges._quantile(p)
        assert abs(ranges._below(z) - p) < min(p, 1 - p) * Decimal("1e-20")
        assert float(ranges._below(z)) == pytest.approx(0.5 * math.erfc(-float(z) / math.sqrt(2)))


def test_the_whole_distribution_is_one():
    """Which it is only if every digit of its series, and of the root of 2 pi, is right."""
    with localcontext(ranges._DIGITS):
        assert abs(1 - ranges._below(Decimal("14.9"))) < Decimal("1e-47")
        assert ranges._below(Decimal(16)) == 1 and ranges._below(Decimal(-16)) == 0
        assert ranges._below(Decimal(0)) == Decimal("0.5")


def test_the_logarithm_of_a_lognormal_draw_is_normal():
    normals, logs = drawn(normal(0.0, 0.3, count=5)), drawn(lognormal(1.0, 0.3, count=5))
    assert np.log(logs) == pytest.approx(normals, abs=1e-15)
    flat, logs = drawn(uniform(-1.0, 2.0, count=5)), drawn(loguniform(0.1, 100.0, count=5))
    assert np.log10(logs) == pytest.approx(flat, abs=1e-15)


# What a study writes


def test_a_sweep_is_read():
    found = read(
        {
            "seed": 1,
            "axes": [
                {"axon.diameter": {"start": 0.2, "stop": 1.6, "count": 8}},
                {"axon.length": {"start": "1 mm", "stop": "4 mm", "count": 3, "scale": "log"}},
                {"simulation.celsius": [20, 30], "stimuli[0].at": ["1 mm", "2 mm"]},
                {"count": 5, "membrane.scaled.na": {"draw": "normal", "mean": 1.0, "sd": 0.1}},
            ],
        }
    )
    assert found == grid(
        [
            {"axon.diameter": linear(0.2, 1.6, 8)},
            {"axon.length": logarithmic("1 mm", "4 mm", 3)},
            {"simulation.celsius": [20, 30], "stimuli[0].at": ["1 mm", "2 mm"]},
            {"membrane.scaled.na": normal(1.0, 0.1, count=5)},
        ],
        seed=1,
    )
    assert len(found) == 8 * 3 * 2 * 5


def test_draws_are_as_many_as_the_other_values_of_their_axis():
    found = read(
        {"seed": 1, "axes": [{"a": [1, 2, 3], "b": {"draw": "uniform", "low": 0, "high": 1}}]}
    )
    assert len(found) == 3
    assert [point["b"] for point in found] == drawn(uniform(0, 1, 3), "b")


def test_all_problems_are_told_at_once():
    told = problems(
        {
            "sed": 1,
            "axes": [
                {
                    "a": {"start": "1 um", "stop": 2},
                    "b": 3,
                    "axon": {"diameter": [1]},
                    "c": [1, datetime.date(2000, 1, 1), None],
                },
                {"d": {"draw": "norml"}, "e": []},
                3,
                {},
                {"f": {"draw": "normal", "mean": "x", "low": 2, "high": 1, "sigma": 3}},
                {"a": {"draw": "uniform", "low": 1, "high": 2, "count": 0}, "count": 2.5},
            ],
        }
    )
    expected = [
        "sweep.sed = 1: unknown key; did you mean seed?",
        "sweep.axes[0].\"a\".start = '1 um', stop = 2 are not in one unit",
        'sweep.axes[0]."a".count is missing; write it, or step',
        'sweep.axes[0]."b" = 3 is no list and no range',
        "sweep.axes[0].\"axon\" = {'diameter': [1]} is no range; write start, stop, count, step",
        'sweep.axes[0]."c"[1] = datetime.date(2000, 1, 1) is nothing a study holds',
        'sweep.axes[0]."c"[2] = None is nothing a study holds',
        "sweep.axes[1].\"d\".draw = 'norml' is not one of uniform, loguniform, normal, lognormal",
        'sweep.axes[1]."e" = [] has no value',
        "sweep.axes[2] = 3 is no table",
        "sweep.axes[3] names no key",
        'sweep.axes[4]."f".sigma = 3: unknown key; sweep.axes[4]."f" takes mean, sd, low, high',
        "sweep.axes[4].\"f\".mean = 'x' is no number",
        'sweep.axes[4]."f".sd is missing',
        'sweep.axes[4]."f".low = 2 is not below high = 1',
        'sweep.axes[5]."a".count = 0 is not from 1 to',
        "sweep.axes[5].count = 2.5 is no whole number",
    ]
    assert len(told) == len(expected)
    for line, start in zip(told, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (3, "sweep = 3 is no table; write [[sweep.axes]]"),
        ({}, "sweep.axes is missing; write [[sweep.axes]]"),
        ({"axes": {"a": [1]}}, "sweep.axes = {'a': [1]} is no list of tables"),
        ({"axes": []}, "sweep.axes = [] names no key"),
        ({"axes": [{"count": 3}]}, "sweep.axes[0] names no key"),
        ({"axes": [{"a": [1]}, {"a": [2]}]}, "a stands twice among the axes"),
        ({"axes": [{"a.b": [1]}, {"a": [2]}]}, "a comes after a.b, which it replaces"),
        ({"axes": [{"a[0].b": [1], "a[0]": [2]}]}, "a[0] comes after a[0].b, which it replaces"),
        ({"axes": [{"a": [1, 2], "b": [3]}]}, "sweep.axes[0]: a has 2, b has 1; what is in one"),
        ({"axes": [{"count": 3, "a": [3]}]}, "sweep.axes[0]: count says 3, a has 1"),
        ({"seed": 0.5, "axes": [{"a": [1]}]}, "sweep.seed = 0.5 is no whole number"),
        ({"seed": -1, "axes": [{"a": [1]}]}, "sweep.seed = -1 is not from 0 to 184467440737"),
        (
            {"axes": [{"a": {"draw": "uniform", "low": 0, "high": 1, "count": 3}}]},
            "sweep.seed is missing: a is drawn at random; write for instance seed = 1",
        ),
        (
            {"seed": 1, "axes": [{"a": {"draw": "uniform", "low": 0, "high": 1}}]},
            "sweep.axes[0].count is missing: nothing says how many are drawn",
        ),
        (
            {"axes": [{f"a{n}": {"start": 0, "stop": 1, "count": 10**11}} for n in range(2)]},
            "sweep.axes make more than 1,000,000,000,000 points",
        ),
    ],
)  # fmt: skip
def test_each_problem_of_a_sweep_is_told(table, told):
    (line,) = problems(table)
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"start": 0, "stop": 1, "count": 1}, "count = 1 is not from 2 to"),
        ({"start": 0, "stop": 1, "count": True}, "count = True is no whole number"),
        ({"start": 0, "stop": 1, "count": 10**13}, "count = 10000000000000 is not from"),
        ({"start": 0, "stop": 1, "count": 3, "step": 0.5}, "step = 0.5 says how many, and so does"),
        ({"start": 0, "stop": 1, "step": -0.5}, "step = -0.5 doesn't lead to stop = 1; turn its"),
        ({"start": 0, "stop": 1, "step": 0}, "step = 0 doesn't lead to stop = 1"),
        ({"start": 0, "stop": 1, "step": 0.3}, "step = 0.3 leads past stop = 1, and not to it"),
        ({"start": 0, "stop": 1, "step": 2.0}, "step = 2.0 leads past stop = 1"),
        ({"start": 0, "stop": 1, "step": 1e-13}, "step = 1e-13 makes more than"),
        ({"start": 1, "stop": 1.0, "count": 3}, "stop = 1.0 is where start = 1 is"),
        ({"start": math.nan, "stop": 1, "count": 3}, "start = nan is not finite"),
        ({"start": "1e999 um", "stop": "1 um", "count": 3}, "start = '1e999 um' is not finite"),
        ({"start": f"1e{'9' * 30} um", "stop": "1 um", "count": 3}, "start = '1e99"),
        ({"start": [1], "stop": 2, "count": 3}, "start = [1] is no number"),
        ({"start": True, "stop": 2, "count": 3}, "start = True is no number"),
        ({"start": "1", "stop": 2, "count": 3}, "start = '1' is no number; write 10 or"),
        ({"start": 1, "count": 3}, "stop is missing"),
        ({"start": 0, "stop": 1, "count": 3, "scale": "log"}, "start = 0 and stop = 1 have no"),
        ({"start": -1, "stop": 1, "count": 3, "scale": "log"}, "start = -1 and stop = 1 have no"),
        ({"start": 1, "stop": 2, "scale": "log"}, "count is missing"),
        ({"start": 1, "stop": 2, "step": 1, "count": 2, "scale": "log"}, "step = 1: unknown key"),
        ({"start": 1, "stop": 2, "count": 2, "scale": "lin"}, "scale = 'lin' is not one of linear"),
        ({"start": 1, "stop": 2, "count": 2, "scale": []}, "scale = [] is not one of linear, log"),
        ({"draw": "uniform", "low": 1, "high": 1}, "low = 1 is not below high = 1"),
        ({"draw": "loguniform", "low": 0, "high": 1}, "low = 0 is not greater than 0"),
        ({"draw": "normal", "mean": 1, "sd": 0}, "sd = 0 is not greater than 0"),
        ({"draw": "normal", "mean": "1 mM", "sd": 1}, "mean = '1 mM', sd = 1 are not in one unit"),
        ({"draw": "normal", "mean": 0, "sd": 1, "low": 7}, "low leaves less than a thousand-mill"),
        ({"draw": "normal", "mean": 0, "sd": 1, "high": -1e9}, "high leaves less than"),
        ({"draw": "normal", "mean": 0, "sd": 1, "low": 1, "high": 1.0000000001}, "low, high leave"),
        ({"draw": "lognormal", "median": "1 mM", "sigma": "1 mM"}, "sigma = '1 mM' has a unit"),
        ({"draw": "lognormal", "median": 1, "sigma": 11}, "sigma = 11 is more than 10"),
        ({"draw": "lognormal", "median": -1, "sigma": 1}, "median = -1 is not greater than 0"),
    ],
)  # fmt: skip
def test_each_problem_of_a_range_is_told(table, told):
    (line,) = problems({"seed": 1, "axes": [{"a.b": table, "c": [1, 2]}]})
    assert line.startswith(f'sweep.axes[0]."a.b".{told}')


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({}, "axes = [] names no key"),
        ("a", "axes = 'a' is no list of tables"),
        ({"a": "1 mm"}, "axes[0].\"a\" = '1 mm' is no list and no range"),
        ({3: [1]}, "axes[0]: 3 is no key"),
        ({("a", "b"): [(1, 2), 3]}, "('a', 'b'): 3 is not one value for each"),
        ({("a", "b"): 3}, "('a', 'b'): 3 is not one value for each"),
        ({("a", "a"): [(1, 2)]}, "a stands twice"),
        ({"a": uniform(0, 1, 3)}, "seed is missing: a is drawn"),
    ],
)
def test_what_is_wrong_from_python_is_told_too(axes, told):
    with pytest.raises(StudyError) as caught:
        grid(axes)
    assert str(caught.value).startswith(told)


TABLES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**13)
    | st.floats()
    | st.sampled_from(["1 um", "2 um", "3 ms", "log", "normal", "", "1e999 m"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "seed",
                    "axes",
                    "count",
                    "a",
                    "a.b",
                    "start",
                    "stop",
                    "step",
                    "scale",
                    "draw",
                    "low",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
RANGES = st.fixed_dictionaries({"start": TABLES, "stop": TABLES, "count": TABLES})


@settings(max_examples=200, deadline=None)
@given(
    TABLES
    | st.fixed_dictionaries({"axes": st.lists(TABLES | st.builds(lambda r: {"a": r}, RANGES))})
)
def test_whatever_a_sweep_says_it_is_read_or_refused(table):
    try:
        found = read(table)
    except StudyError as error:
        assert str(error)
    else:
        assert found[0].keys() == found[-1].keys() == set(found.keys)
