"""Populations: distributions against closed forms, places against geometry, sums against parts."""

from __future__ import annotations

import math
import weakref
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import GeometryError, NoThresholdError, SimulationError, StimulusError, populations
from axon.errors import StoppedError
from axon.populations import Diameters, Fascicle, Population, answers
from axon.populations.diameters import uniform

SEEDS = st.integers(0, 2**64 - 1)

# Diameters

MADE = {
    "lognormal": populations.lognormal(0.8, 0.4),
    "cut": populations.lognormal(0.8, 0.4, low=0.3, high=1.5),
    "gamma": populations.gamma(0.8, 0.4),
    "normal": populations.normal(0.8, 0.3, low=0.1, high=2.0),
    "histogram": populations.histogram([0.2, 0.4, 0.8, 1.0], [1.0, 0.0, 3.0]),
    "values": populations.values([0.7, 0.3, 0.3, 1.2]),
    **{name: populations.published(name) for name in populations.names()},
}
GOLDEN = [1.6742136216631083, 1.8883012867674698, 0.9340290526085313, 0.6660448326032254]
CELL = 16 / 4096  # standard deviations, of a formula's table at most


def lognormal_cdf(d, low=0.0, high=math.inf):
    def z(d):
        return NormalDist().cdf(math.log(d / 0.8) / 0.4) if 0 < d < math.inf else float(d > 0)

    return (z(d) - z(low)) / (z(high) - z(low))


def gamma_cdf(d):
    """Of shape 4 and scale 0.2, as the time of the fourth event."""
    x = d / 0.2
    return 1.0 - math.exp(-x) * sum(x**k / math.factorial(k) for k in range(4))


def normal_cdf(d):
    whole = NormalDist(0.8, 0.3)
    return (whole.cdf(d) - whole.cdf(0.1)) / (whole.cdf(2.0) - whole.cdf(0.1))


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("lognormal", lognormal_cdf),
        ("cut", lambda d: lognormal_cdf(d, 0.3, 1.5)),
        ("gamma", gamma_cdf),
        ("normal", normal_cdf),
    ],
)
def test_formulas_are_those_of_the_books(name, exact):
    """Straight lines in cells deviate by at most cell²/8 times the slope of the density, which is
    below 2 over what is tabulated."""
    made = MADE[name]
    d = np.linspace(max(made.edges[0], 0.05), min(made.edges[-1], 4.0), 997)
    np.testing.assert_allclose(made.cumulative(d), [exact(x) for x in d], atol=CELL**2 / 4)


def test_means():
    """A cell's mean lies off its middle by less than cell²/12 of the spread."""
    assert MADE["lognormal"].mean == pytest.approx(0.8 * math.exp(0.4**2 / 2), rel=CELL**2)
    assert MADE["gamma"].mean == pytest.approx(0.8, rel=1e-5)
    assert MADE["histogram"].mean == pytest.approx(0.25 * 0.3 + 0.75 * 0.9, rel=1e-15)
    assert MADE["values"].mean == pytest.approx(2.5 / 4, rel=1e-15)


@pytest.mark.parametrize("name", MADE)
def test_what_is_drawn_is_distributed_so(name):
    """Kolmogorov's and Smirnov's test at a level of 1e-4, of one seed."""
    drawn = np.sort(MADE[name].draw(20_000, seed=5))
    reached = MADE[name].cumulative(drawn)
    if name == "values":  # a discrete one is compared behind its steps
        ranks = np.searchsorted(drawn, drawn, side="right") / drawn.size
    else:
        ranks = (np.arange(drawn.size) + 0.5) / drawn.size
    assert np.abs(reached - ranks).max() < 2.2 / math.sqrt(drawn.size)


@pytest.mark.parametrize("name", MADE)
def test_quantiles_are_the_way_back(name):
    made = MADE[name]
    d = made.quantile(np.linspace(0.0, 1.0, 501))
    assert (np.diff(d) >= 0.0).all()
    assert made.cumulative(d[0]) < 1e-12 or name == "values"
    assert made.cumulative(d[-1]) == 1.0
    back = made.cumulative(d)
    if name == "values":
        assert set(d) == {0.3, 0.7, 1.2}
        np.testing.assert_array_equal(
            made.cumulative([0.2, 0.3, 0.5, 0.7, 1.2]), [0, 0.5, 0.5, 0.75, 1]
        )
    else:
        np.testing.assert_allclose(back, np.linspace(0.0, 1.0, 501), atol=1e-12)
    assert made.cumulative(1e9) == 1.0 and made.cumulative(0.0) == 0.0


@given(SEEDS, st.integers(1, 200), st.integers(1, 200), st.sampled_from(sorted(MADE)))
def test_more_of_a_seed_begin_with_the_fewer(seed, one, other, name):
    few, many = sorted((one, other))
    drawn = MADE[name].draw(many, seed)
    assert drawn.shape == (many,) and (drawn > 0.0).all()
    np.testing.assert_array_equal(MADE[name].draw(few, seed), drawn[:few])


def test_a_seed_is_the_same_everywhere():
    """Written down once: whole numbers of Philox, and additions and multiplications of them."""
    found = populations.published("ochoa_mair_1969").draw(4, seed=2**64 - 1)
    assert found.tolist() == GOLDEN
    numbers = uniform(7, 1)(4)
    again = uniform(7, 1)
    assert [*again(1), *again(3)] == numbers.tolist()
    assert not set(numbers) & set(uniform(7, 2)(4)) and not set(numbers) & set(uniform(8, 1)(4))


def test_published_ones_say_where_they_are_from():
    assert populations.names() == sorted(populations.names())
    sources = {"eiber_2021", "jacobs_love_1985_a", "ochoa_mair_1969"}
    assert len(populations.names()) == 6 and sources < set(populations.names())
    for name in populations.names():
        assert "doi:10." in populations.published(name).reference


def test_published_ones_are_what_the_papers_say():
    # Of 5184 axons, with two decimals; their mean as it was measured.
    eiber = populations.published("eiber_2021")
    assert eiber.mean == pytest.approx(0.5703 + 0.005, abs=5e-4)  # numbers ended within their bin
    assert (eiber.edges[0], eiber.edges[-1]) == (0.1, 1.8)
    # Fine fibres become more in old age (abstract): of these, one has a second peak.
    peaks = {}
    for letter in "abcd":
        heights = np.diff(populations.published(f"jacobs_love_1985_{letter}").shares)
        rises = np.sign(np.diff(np.append(0.0, np.append(heights, 0.0))))
        peaks[letter] = np.count_nonzero(np.diff(rises[rises != 0.0]) < 0.0)
    assert peaks["a"] == peaks["b"] == 1 and peaks["d"] == 2
    assert populations.published("ochoa_mair_1969").edges[-1] == 3.0


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (lambda: populations.lognormal(0.0, 0.4), "median = 0.0 must be greater than 0"),
        (lambda: populations.lognormal(0.8, -1.0), "sigma = -1.0 must be greater than 0"),
        (lambda: populations.lognormal("0.8 mV", 0.4), "median = '0.8 mV' cannot be converted"),
        (lambda: populations.lognormal(0.8, 0.4, 1.0, 0.5), "low = 1 um must be less than high"),
        (lambda: populations.lognormal(0.8, 0.1, low=50.0), "hardly any fibre"),
        (lambda: populations.gamma(0.8, 0.9), "sd = 0.9 um must be at most the mean"),
        (lambda: populations.normal(0.8, 0.2, 0.0, 1.0), "low = 0.0 must be greater than 0"),
        (lambda: populations.normal(0.8, 0.2, 2.0, 1.0), "low = 2 um must be less than high"),
        (lambda: populations.histogram([0.1, 0.2], [1, 2]), "give one edge more than bins"),
        (lambda: populations.histogram([0.1, 0.2, 0.2], [1, 2]), "edges must increase"),
        (lambda: populations.histogram([0.1, 0.2], [0]), "some count be above 0"),
        (lambda: populations.histogram([0.1, 0.2], [-1]), r"counts\[0\] = -1.0 must be at least 0"),
        (lambda: populations.values([]), "give a list of them"),
        (lambda: populations.values([0.5, 0.0]), r"diameters\[1\] = 0.0 must be greater than 0"),
        (lambda: populations.published("ochoa"), "name = 'ochoa'; there are eiber_2021, jacobs"),
        (lambda: Diameters(np.ones(2), np.ones(3)), "give as many of each"),
        (lambda: Diameters([1.0, 0.5], [0.0, 1.0]), "must not decrease"),
        (lambda: Diameters([0.5, 1.0], [0.0, 0.5]), "shares go from 0 to 0.5"),
        (lambda: MADE["gamma"].draw(0, 1), "count = 0 must be from 1 to"),
        (lambda: MADE["gamma"].draw(2.0, 1), "count = 2.0 is no whole number"),
        (lambda: MADE["gamma"].draw(2, -1), "seed = -1 must be from 0 to"),
        (lambda: MADE["gamma"].draw(2, True), "seed = True is no whole number"),
        (lambda: MADE["gamma"].quantile(1.5), "share = 1.5 is more than 1"),
    ],
)  # fmt: skip
def test_what_is_no_distribution(ask, advice):
    with pytest.raises(GeometryError, match=advice):
        ask()


def test_tables_are_read_only():
    for array in (MADE["gamma"].edges, MADE["gamma"].shares):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    given = np.array([0.0, 1.0])
    Diameters([0.5, 1.0], given)
    given[0] = 0.5  # the caller's own stays the caller's


# Fascicles

CORNER = Fascicle.polygon([(0, 0), (40, 0), (40, 20), (20, 20), (20, 40), (0, 40)])  # an L


def test_areas():
    """A polygon of n corners in a circle has sin(2 pi/n) / (2 pi/n) of its area."""
    part = math.sin(math.pi / 180) / (math.pi / 180)
    assert Fascicle.circle("0.1 mm").area == pytest.approx(part * math.pi * 50.0**2, rel=1e-12)
    ellipse = Fascicle.ellipse(80.0, 20.0, y=1e4, z=-3.0)
    assert ellipse.area == pytest.approx(part * math.pi * 40.0 * 10.0, rel=1e-9)
    np.testing.assert_allclose(ellipse.points.mean(axis=0), [1e4, -3.0])
    assert (CORNER.area, CORNER.perimeter) == (1200.0, 160.0)
    for other in (CORNER.points[::-1], [*CORNER.points.tolist(), (0.0, 0.0)]):
        assert Fascicle.polygon(other).area == 1200.0
    assert repr(CORNER) == "Fascicle(area=1200 um², y=0 to 40 um, z=0 to 40 um)"


def test_what_is_inside():
    y, z = [10.0, 30.0, 30.0, 10.0, -1.0, 39.0], [10.0, 10.0, 30.0, 30.0, 10.0, 19.0]
    expected = [True, True, False, True, False, True]
    assert CORNER.contains(y, z).tolist() == expected
    np.testing.assert_allclose(CORNER.clearance(y, z), [10, 10, -10, 10, -1, 1])
    assert CORNER.clearance([25.0], [25.0]) == [-5.0]
    assert CORNER.clearance([18.0], [18.0]) == pytest.approx([math.hypot(2, 2)])
    assert CORNER.clearance([], []).shape == (0,)
    # A circle's polygon is nearer to the middle halfway between two corners.
    round_one = Fascicle.circle(20.0, y=5.0)
    assert round_one.clearance([5.0], [0.0]) == pytest.approx([10.0 * math.cos(math.pi / 360)])


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=20))
def test_clearance_in_a_rectangle(places):
    y, z = np.array(places).T
    far = np.minimum(5.0 - np.abs(y), 3.0 - np.abs(z))
    beyond = np.hypot(np.maximum(np.abs(y) - 5.0, 0.0), np.maximum(np.abs(z) - 3.0, 0.0))
    found = Fascicle.polygon([(-5, -3), (5, -3), (5, 3), (-5, 3)]).clearance(y, z)
    np.testing.assert_allclose(np.abs(found), np.where(far > 0, far, beyond), atol=1e-12)
    sure = np.abs(far) > 1e-9
    np.testing.assert_array_equal(found[sure] > 0.0, far[sure] > 0.0)


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (lambda: Fascicle.circle(-1.0), "diameter = -1.0 must be greater than 0"),
        (lambda: Fascicle.ellipse(1.0, "2 ms"), "height = '2 ms' cannot be converted"),
        (lambda: Fascicle.polygon([(0, 0), (1, 1)]), r"the shape \(2, 2\); give from 3"),
        (lambda: Fascicle.polygon([(0, 0), (1, 1), (2, 2)]), "all of points lie on one line"),
        (lambda: Fascicle.polygon([(0, 0), (1, 1), (1, 1), (0, 2)]), r"points\[1\] and the next"),
        (lambda: Fascicle.polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), r"points\[0\] and points"),
        (lambda: CORNER.clearance([1.0], [1.0, 2.0]), "two lists of one length"),
        (lambda: CORNER.contains(1.0, 2.0), "two lists of one length"),
    ],
)  # fmt: skip
def test_what_is_no_fascicle(ask, advice):
    with pytest.raises(GeometryError, match=advice):
        ask()


# Placing


def apart(population):
    """The least distance between two surfaces, µm."""
    d, y, z = population.diameter, population.y, population.z
    centres = np.hypot(y[:, None] - y, z[:, None] - z) - (d[:, None] + d) / 2
    return centres[~np.eye(len(d), dtype=bool)].min(initial=np.inf)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0.1, 8.0), min_size=1, max_size=25),
    st.sampled_from([Fascicle.circle(60.0, y=-7.0), Fascicle.ellipse(90.0, 40.0), CORNER]),
    st.floats(0.0, 1.0),
    SEEDS,
)
def test_fibres_lie_inside_and_do_not_overlap(diameters, fascicle, gap, seed):
    placed = populations.place(diameters, fascicle, gap=gap, seed=seed)
    assert placed.diameter.tolist() == diameters
    assert (placed.seed, len(placed)) == (seed, len(diameters))
    assert apart(placed) >= gap - 1e-9
    assert (fascicle.clearance(placed.y, placed.z) >= np.array(diameters) / 2).all()
    again = populations.place(diameters, fascicle, gap=gap, seed=seed)
    assert (again.y.tolist(), again.z.tolist()) == (placed.y.tolist(), placed.z.tolist())


def test_thousands_are_placed():
    drawn = populations.published("ochoa_mair_1969").draw(3000, seed=1)
    placed = populations.place(drawn, Fascicle.circle(140.0), gap=0.05, seed=1)
    area = math.pi / 4 * np.sum(drawn**2)
    assert placed.filled == pytest.approx(area / Fascicle.circle(140.0).area)
    assert 0.3 < placed.filled < 0.4
    assert apart(placed) >= 0.05 - 1e-9
    # All over the fascicle: each quarter has its share, of a binomial distribution.
    quarters = np.bincount(2 * (placed.y > 0) + (placed.z > 0))
    assert np.abs(quarters - 750).max() < 4 * math.sqrt(3000 * 0.25 * 0.75)
    # Half of them within 1/√2 of the radius, but that thick ones can't reach its edge.
    inner = np.hypot(placed.y, placed.z) < 70.0 / math.sqrt(2)
    assert inner.mean() == pytest.approx(0.5, abs=0.03)
    # Where a fibre lies has nothing to do with how thick it is, though seeds are the same.
    assert abs(np.corrcoef(placed.diameter, placed.y)[0, 1]) < 4 / math.sqrt(3000)


def test_another_seed_is_another_place():
    one, other = (populations.place([1.0, 1.0], CORNER, seed=seed) for seed in (1, 2))
    assert not set(one.y) & set(other.y)


def test_neighbours_in_any_cell_are_kept_apart():
    """Of one size and close together, so that many nearly touch across the cells' borders."""
    placed = populations.place(np.ones(500), Fascicle.circle(38.0, z=0.5), gap=0.2, seed=3)
    assert 0.2 - 1e-9 <= apart(placed) < 0.25


def test_places_are_others_than_diameters_of_that_seed():
    square = Fascicle.polygon([(0, 0), (1, 0), (1, 1), (0, 1)])
    placed = populations.place([1e-3], square, seed=5)
    assert {placed.y[0], placed.z[0]} <= set(uniform(5, 2)(2))
    assert MADE["gamma"].draw(1, 5) == MADE["gamma"].quantile(uniform(5, 1)(1))


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        # 100 fibres of 1 µm have 78.5 µm², a circle of 10 µm as much.
        (lambda: populations.place(np.ones(100), Fascicle.circle(9.9), seed=1),
         "100 fibres need 78.54 um² with the gaps between them, and the fascicle has 76.97"),
        # Circles of one size that fall at random come to rest when they fill 0.547 of a plane.
        (lambda: populations.place(np.ones(65), Fascicle.circle(10.0), seed=1),
         r"only \d\d of 65 fibres found a place, and fill [45]\d% of the fascicle"),
        (lambda: populations.place([1.0, 12.0], Fascicle.ellipse(100.0, 11.0), seed=1),
         "only 0 of 2 fibres found a place"),
        (lambda: populations.place([], CORNER, seed=1), "give one for each fibre"),
        (lambda: populations.place([0.0], CORNER, seed=1), r"diameters\[0\] = 0.0 must be greater"),
        (lambda: populations.place([1.0], "circle", seed=1), "fascicle = 'circle' is none"),
        (lambda: populations.place([1.0], CORNER, seed=1, gap=-1.0), "gap = -1.0 must be at least"),
        (lambda: populations.place([1.0], CORNER, seed=None), "seed = None is no whole number"),
        (lambda: Population([1.0], [0.0, 1.0], [0.0], CORNER), r"y has the shape \(2,\)"),
        (lambda: Population([], [], [], CORNER), r"diameter has the shape \(0,\)"),
        (lambda: Population([-1.0], [0.0], [0.0], CORNER), r"diameter\[0\] = -1.0 must be greater"),
        (lambda: Population([1.0], [0.0], [0.0], None), "fascicle = None is none"),
    ],
)  # fmt: skip
def test_what_cannot_be_placed(ask, advice):
    with pytest.raises(GeometryError, match=advice):
        ask()


# Axons and simulations


def few(diameters=(0.5, 1.0, 2.0), y=(0.0, 5.0, -5.0), z=(1.0, 2.0, 3.0)):
    return Population(diameters, y, z, Fascicle.circle(20.0))


def test_axons_lie_where_the_fibres_do():
    cables = few().axons("2 mm", start=-500.0, Ra=70.0, compartments=40)
    assert len(cables) == 3
    for k, (cable, d) in enumerate(zip(cables, (0.5, 1.0, 2.0), strict=True)):
        assert (cable.length, cable.n, cable.Ra[0]) == (2000.0, 40, 70.0)
        assert cable.diameter == pytest.approx(d)
        np.testing.assert_allclose(cable.places[:, 0], cable.x - 500.0)
        assert (cable.places[:, 1:] == (few().y[k], few().z[k])).all()
    assert cables[-1] == cables[2] and list(cables[1:]) == [cables[1], cables[2]]
    with pytest.raises(IndexError):
        cables[3]
    with pytest.raises(GeometryError, match=r"length = -1.0 must be greater"):
        few().axons(-1.0)


def test_simulations_are_made_when_they_are_asked_for():
    asked = []

    def make(*fibre):
        asked.append(fibre)
        return fibre_of(*fibre)

    simulations = few().simulations(make)
    assert len(simulations) == 3 and not asked
    assert simulations[1].axon.diameter[0] == pytest.approx(1.0)
    assert asked == [(1.0, 5.0, 2.0)]
    assert len(list(simulations)) == 3 and len(asked) == 4


def test_what_makes_no_simulation():
    with pytest.raises(SimulationError, match=r"make\(0.5, 0.0, 1.0\) returned None, which is no"):
        few().simulations(lambda d, y, z: None)[0]
    # The loop over a sequence ends with an IndexError; one within `make` must not end it.
    with pytest.raises(IndexError, match="list index"):
        list(few().simulations(lambda d, y, z: [][0] if d == 1.0 else fibre_of(d, y, z)))


def fibre_of(d, y=0.0, z=0.0, *, amplitude=0.3, stimulus=None, dt=0.02, **options):
    """A C-fibre of 2 mm, by default with a current into its end."""
    cable = axon.Axon.cylinder("2 mm", d, Ra=100.0, compartments=50)
    cable = cable.along([(0.0, y, z), ("2 mm", y, z)])
    if stimulus is None:
        stimulus = axon.CurrentClamp(0.0, axon.pulse(amplitude, start=0.5, duration=0.5))
    return axon.Simulation(cable, SUNDT, [stimulus], dt=dt, **options)


SUNDT = axon.models.sundt()
CATHODE = axon.Extracellular(
    axon.PointSource("1 mm", 0.0, 100.0), axon.pulse("-1 mA", start=0.2, duration=0.2)
)


# Recruitment


def outside(d, y=0.0, z=0.0, **options):
    return fibre_of(d, y, z, stimulus=CATHODE, **options)


OPTIONS = {"tolerance": 0.02, "guess": 0.05}


def test_thresholds_are_those_of_each_fibre():
    fibres = few((0.7, 1.5, 1.0)).simulations(outside)
    told = []
    found = populations.recruitment(
        fibres, 10.0, **OPTIONS, workers=2, progress=lambda *answer: told.append(answer)
    )
    alone = [axon.threshold(fibre, 10.0, **OPTIONS) for fibre in fibres]
    assert found.thresholds.tolist() == [one.value for one in alone]
    assert found.below.tolist() == [one.below for one in alone]
    assert [k for k, _ in told] == [0, 1, 2]
    assert [answer.value for _, answer in told] == found.thresholds.tolist()
    assert not found.failures
    odd = {k: str(one) for k, one in enumerate(alone) if one.remarks or not one.monotone}
    assert found.remarks == odd
    low, middle, high = np.sort(found.thresholds)
    assert str(found) == (
        f"3 of 3 fibres are recruited, from {low:.4g} to {high:.4g}, half of these by {middle:.4g}"
    )
    again = populations.recruitment(iter(fibres), 10.0, **OPTIONS, workers=1)
    assert again.thresholds.tolist() == found.thresholds.tolist()


def test_thick_fibres_and_near_ones_are_recruited_first():
    thick = populations.recruitment(map(outside, (2.0, 1.4, 1.0, 0.7, 0.5)), 10.0, **OPTIONS)
    assert (np.diff(thick.thresholds) > 0.0).all()
    near = (outside(1.0, 0.0, z) for z in (50.0, 0.0, -100.0))
    assert (np.diff(populations.recruitment(near, 10.0, **OPTIONS).thresholds) > 0.0).all()


def curve_of(*thresholds):
    array = np.array(thresholds)
    return populations.Recruitment(array, np.full(array.size, np.nan), {}, {})


@given(
    st.lists(st.floats(1e-3, 1e3) | st.sampled_from([math.inf, math.nan]), min_size=1),
    st.lists(st.floats(0.0, 2e3), min_size=1),
    st.booleans(),
)
def test_the_curve_counts_thresholds(sizes, amplitudes, negative):
    sign = -1.0 if negative else 1.0
    found = curve_of(*(sign * size for size in sizes))
    fractions = found.curve([sign * amplitude for amplitude in amplitudes])
    expected = [np.mean([size <= amplitude for size in sizes]) for amplitude in amplitudes]
    if np.isfinite(sizes).any():
        np.testing.assert_allclose(fractions, expected)
    else:
        assert not fractions.any()


def test_the_curve_is_drawn_with_all_fibres():
    ax = curve_of(-1.0, -math.inf, -2.0, math.nan).plot(unit="mA")
    share, edges, _ = ax.patches[0].get_data()
    assert share.tolist() == [0.0, 0.25, 0.5] and edges[1:3].tolist() == [1.0, 2.0]
    assert ax.get_xlabel() == "−amplitude (mA)"
    with pytest.raises(SimulationError, match="give finite ones"):
        curve_of(math.inf, math.nan).plot()


def test_fibres_without_a_threshold_are_told():
    """One lies too far away; on one an impulse is on its way already."""
    active = fibre_of(1.0)
    active.run(1.0)
    active.restore(active.state())
    fibres = [outside(1.0), outside(1.0, z=-5000.0), active.with_stimuli([CATHODE])]
    found = populations.recruitment(fibres, 10.0, **OPTIONS, largest=0.5)
    assert np.isfinite(found.thresholds[0]) and found.thresholds[1] == math.inf
    assert math.isnan(found.thresholds[2]) and np.isnan(found.below[1:]).all()
    assert found.failures.keys() == {1, 2}
    assert found.failures[1].out_of_reach and "no factor up to 0.5 " in str(found.failures[1])
    assert not found.failures[2].out_of_reach
    assert "active without any stimulus" in str(found.failures[2])
    assert found.curve([1e9]) == pytest.approx([1 / 3])
    assert str(found).startswith("1 of 3 fibres are recruited")
    backwards = populations.recruitment(fibres[1:2], 10.0, guess=-0.05, largest=0.1)
    assert backwards.thresholds.tolist() == [-math.inf]
    assert isinstance(backwards.failures[0], NoThresholdError)
    assert backwards.failures[0].__traceback__ is None
    assert str(backwards) == "0 of 1 fibres are recruited"


@pytest.mark.parametrize("largest", [1e6, 1e-3], ids=["excited", "not excited"])
@pytest.mark.parametrize("workers", [1, 2])
def test_few_fibres_are_held_at_a_time(workers, largest):
    alive = weakref.WeakSet()
    most = 0

    def fibres():
        nonlocal most
        for _ in range(12):
            one = fibre_of(1.0)
            alive.add(one)
            most = max(most, len(alive))
            yield one
            del one

    found = populations.recruitment(
        fibres(), 10.0, at=100.0, tolerance=0.5, guess=1e-3, largest=largest, workers=workers
    )
    assert len(found.failures) == (0 if largest > 1.0 else 12)
    # Those that are worked on, one that waits, one that is done, and one that is made.
    assert most <= workers + 3


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (lambda: populations.recruitment([], 10.0), "simulations is empty"),
        (lambda: populations.recruitment([fibre_of(1.0)], 10.0, workers=0), "workers=0"),
        (lambda: populations.recruitment([fibre_of(1.0)], 10.0, guess=0.0), "guess = 0"),
        (lambda: populations.recruitment([1.0], 10.0, workers=2), "simulation=1.0 is none"),
        (lambda: populations.recruitment([fibre_of(1.0).with_stimuli([])], 10.0), "has none"),
        (lambda: populations.recruitment([fibre_of(1.0)], 10.0, at="3 mm"), "not on the axon"),
    ],
)  # fmt: skip
def test_questions_about_no_population(ask, advice):
    with pytest.raises((SimulationError, GeometryError), match=advice):
        ask()


# Compound action potentials

NEAR = axon.PointSource("1 mm", 0.0, 60.0)
FAR = axon.PointSource("1.4 mm", 0.0, 60.0)
PAIR = [NEAR, NEAR - FAR]


def recorded(simulations, electrodes=PAIR, duration=8.0, **options):
    return populations.compound_action_potential(simulations, duration, electrodes, **options)


def alone(simulation, electrodes=PAIR):
    return simulation.run(8.0, record=[], electrodes=electrodes).electrodes[:]


def test_one_fibre_is_its_own_compound():
    found = recorded([fibre_of(1.0)])
    np.testing.assert_array_equal(found.potential, alone(fibre_of(1.0)))
    np.testing.assert_array_equal(found.time, fibre_of(1.0).run(8.0, record=[]).time)
    assert np.ptp(found.potential[:, 0]) > 1e-4  # mV: it is seen
    assert found.electrodes == tuple(PAIR)


def test_fibres_at_one_place_add_up():
    """Rounded once for every fibre that is added."""
    found = recorded([fibre_of(1.0)] * 7)
    np.testing.assert_allclose(found.potential, 7 * alone(fibre_of(1.0)), rtol=7 * 2.0**-53)
    assert (found.fibres, found.impulses.tolist()) == (7, [1] * 7)
    assert str(found) == "7 fibres, 7 of them with impulses"


def test_fibres_are_added_in_their_order_whatever_the_threads():
    fibres = [fibre_of(d, y) for d, y in ((0.7, 3.0), (1.0, -4.0), (1.5, 0.0), (0.8, 9.0))]
    found = recorded(fibres, threads=1)
    total = np.zeros_like(found.potential)
    for fibre in fibres:
        total += alone(fibre)
    np.testing.assert_array_equal(found.potential, total)
    np.testing.assert_array_equal(recorded(iter(fibres), threads=2).potential, total)
    # The parts are not alike, or their order would not matter.
    assert (recorded(fibres[::-1]).potential != total).any()


def test_compounds_superpose():
    one, other = [fibre_of(1.0), fibre_of(0.6, 4.0)], [fibre_of(1.5, -6.0)]
    both = recorded([*one, *other]).potential
    np.testing.assert_allclose(
        both, recorded(one).potential + recorded(other).potential, rtol=0, atol=1e-15
    )
    near, difference = both.T
    np.testing.assert_allclose(
        difference, near - recorded([*one, *other], [FAR]).potential[:, 0], rtol=0, atol=1e-13
    )


def test_what_is_farther_is_smaller():
    sizes = [
        np.ptp(recorded([fibre_of(1.0, 0.0, 60.0 - r)], [NEAR]).potential) for r in (50, 100, 200)
    ]
    for near, far in pairwise(sizes):
        assert 0.0 < far < 0.7 * near


def test_silent_fibres_are_counted_as_such():
    found = recorded([fibre_of(1.0), fibre_of(1.0, amplitude=1e-4)])
    assert found.impulses.tolist() == [1, 0] and found.fibres == 2
    assert str(found) == "2 fibres, 1 of them with impulses"


def test_fibres_that_fail_are_told_and_do_not_spoil_the_sum():
    """One goes through the electrode itself."""
    through = fibre_of(1.0, 0.0, 60.0)
    inside = axon.PointSource(float(through.axon.x[25]), 0.0, 60.0)
    done = []
    found = recorded([fibre_of(1.0), through, fibre_of(0.7)], [inside], progress=done.append)
    total = alone(fibre_of(1.0), [inside]) + alone(fibre_of(0.7), [inside])
    np.testing.assert_array_equal(found.potential, total)
    assert (found.fibres, found.impulses.tolist(), done) == (2, [1, 0, 1], [1, 2, 3])
    assert found.failures.keys() == {1} and isinstance(found.failures[1], StimulusError)
    assert str(found) == "2 fibres, 2 of them with impulses; 1 failed and are missing"
    with pytest.raises(StimulusError, match="lies on the axon itself"):
        recorded([through, through], [inside])


def test_no_run_is_kept(monkeypatch):
    """Of those that are done only the last one is left, and none has a field."""
    runs = []

    class Watched(answers.Ensemble):
        def each(self, *arguments, **options):
            for k, run in super().each(*arguments, **options):
                assert run.v.shape[1] == 0
                runs.append(weakref.ref(run))
                yield k, run
                del run
                assert all(old() is None for old in runs[:-1])

    monkeypatch.setattr(answers, "Ensemble", Watched)
    assert recorded([fibre_of(1.0)] * 4).fibres == 4
    assert len(runs) == 4


def test_rows_at_other_times_are_refused():
    with pytest.raises(SimulationError, match=r"simulations\[1\] has rows at other times"):
        recorded([fibre_of(1.0), fibre_of(1.0, dt=0.01)])
    rows = recorded([fibre_of(1.0), fibre_of(1.0, dt=0.01)], every=0.04).time
    np.testing.assert_allclose(np.diff(rows), 0.04)


def test_it_can_be_stopped():
    with pytest.raises(StoppedError, match="enough"):
        recorded([fibre_of(1.0)] * 2, stop=lambda: "enough")


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (lambda: recorded([]), "simulations is empty"),
        (lambda: recorded([fibre_of(1.0)], []), r"electrodes=\[\]; write electrodes=\[source\]"),
        (lambda: recorded([fibre_of(1.0)], NEAR), r"write electrodes=\[source\]"),
        (lambda: recorded([fibre_of(1.0)], [1.0]), "source = 1.0 is no source"),
    ],
)
def test_recordings_of_nothing(ask, advice):
    with pytest.raises((SimulationError, StimulusError), match=advice):
        ask()
