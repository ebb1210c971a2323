"""The cut into compartments keeps membrane and axial resistance, whatever the profile."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon.errors import GeometryError
from axon.geometry import MAX_COMPARTMENTS, Axon

ARRAYS = ("edges", "x", "area", "diameter", "axial_conductance", "parent", "Ra", "cm")
EPS = np.finfo(float).eps

Profile = tuple[list[float], list[float]]


# The same integrals, slowly: one stretch at a time, in plain Python.


def stretches(profile: Profile, start: float, stop: float) -> list[tuple[float, float, float]]:
    """(length, diameter, diameter) of every frustum between two positions."""
    found = []
    for (x0, d0), (x1, d1) in itertools.pairwise(zip(*profile, strict=True)):
        a, b = max(x0, start), min(x1, stop)
        if a < b:
            slope = (d1 - d0) / (x1 - x0)
            found.append((b - a, d0 + slope * (a - x0), d0 + slope * (b - x0)))
    return found


def membrane(profile: Profile, start: float, stop: float) -> float:
    """Lateral area in µm²."""
    return math.fsum(
        math.pi / 2 * (a + b) * math.hypot(long, (a - b) / 2)
        for long, a, b in stretches(profile, start, stop)
    )


def resistance(profile: Profile, start: float, stop: float, Ra: float) -> float:
    """Axial resistance in MΩ."""
    per_micron = math.fsum(4 / (math.pi * a * b) * s for s, a, b in stretches(profile, start, stop))
    return 1e-2 * Ra * per_micron


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Profiles with tapers and steps; lengths and diameters of real axons, and beyond."""
    lengths = draw(st.lists(st.floats(0.1, 1000.0), min_size=1, max_size=6))
    diameters = st.floats(0.2, 5.0)
    x, d = [0.0], [draw(diameters)]
    for length in lengths:
        if len(x) > 1 and draw(st.booleans()):
            x.append(x[-1])
            d.append(draw(diameters))
        x.append(x[-1] + length)
        d.append(draw(diameters))
    return x, d


numbers = st.integers(1, 60)

# A compartment's integral depends on where in it a knot lies. Knots and edges are rounded to
# EPS of the axon's length, 2n EPS of half a compartment; where the thinnest part is entered,
# 1/d² changes by (5 / 0.2)² = 625. With n = 180 (a cut refined by 3) that makes 5e-11 at worst.
ROUNDING = 1e-10


def test_the_slow_integrals_are_right() -> None:
    # Against Gauss-Legendre quadrature, which is exact to rounding for so gentle a taper.
    profile = ([0.0, 100.0], [2.0, 3.0])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    d = 2.0 + (nodes + 1) / 2
    slant = math.sqrt(1 + (1 / 200) ** 2)
    assert membrane(profile, 0, 100) == pytest.approx(50 * weights @ (math.pi * d * slant), 1e-14)
    ohms = 1e4 * 70.0 * 50 * weights @ (4 / (math.pi * d**2))
    assert resistance(profile, 0, 100, 70.0) == pytest.approx(1e-6 * ohms, 1e-14)


@given(profiles(), numbers)
def test_every_compartment_holds_the_integral_over_itself(profile: Profile, n: int) -> None:
    axon = Axon.from_profile(*profile, Ra=70.0, compartments=n)
    areas = [membrane(profile, a, b) for a, b in itertools.pairwise(axon.edges)]
    np.testing.assert_allclose(axon.area, areas, rtol=ROUNDING)
    between = [resistance(profile, a, b, 70.0) for a, b in itertools.pairwise(axon.x)]
    np.testing.assert_allclose(1 / axon.axial_conductance, between, rtol=ROUNDING)


@given(profiles(), numbers)
def test_any_cut_keeps_membrane_and_axial_resistance(profile: Profile, n: int) -> None:
    axon = Axon.from_profile(*profile, compartments=n)
    length = profile[0][-1]
    # No place gets lost or counted twice, so a sum is better than its parts: only roundings.
    assert axon.area.sum() == pytest.approx(membrane(profile, 0, length), 1e-12)
    total = (1 / axon.axial_conductance).sum()
    between = resistance(profile, axon.x[0], axon.x[-1], 100.0)
    assert total == pytest.approx(between, ROUNDING)


@given(profiles(), numbers)
def test_refining_by_three_changes_no_sum(profile: Profile, n: int) -> None:
    # With three times as many compartments the centres of the coarse cut are still centres.
    coarse = Axon.from_profile(*profile, compartments=n)
    fine = Axon.from_profile(*profile, compartments=3 * n)
    np.testing.assert_allclose(fine.area.reshape(n, 3).sum(axis=1), coarse.area, rtol=ROUNDING)
    inner = (1 / fine.axial_conductance)[1:-1].reshape(n - 1, 3) if n > 1 else np.empty((0, 3))
    np.testing.assert_allclose(inner.sum(axis=1), 1 / coarse.axial_conductance, rtol=ROUNDING)


@given(profiles(), numbers)
def test_reversal_mirrors_every_array(profile: Profile, n: int) -> None:
    slopes = {"Ra": lambda x: 50 + x, "cm": lambda x: 1 + x / 1000}
    axon = Axon.from_profile(*profile, compartments=n, **slopes)
    back = axon.reversed()
    assert back.n == axon.n
    assert back.length == axon.length
    for name in ("edges", "x"):
        mirrored = axon.length - getattr(axon, name)[::-1]
        np.testing.assert_allclose(getattr(back, name), mirrored, atol=4 * EPS * axon.length)
    for name in ("area", "diameter", "axial_conductance"):
        np.testing.assert_allclose(
            getattr(back, name), getattr(axon, name)[::-1], rtol=ROUNDING, err_msg=name
        )
    for name in ("Ra", "cm"):
        np.testing.assert_array_equal(getattr(back, name), getattr(axon, name)[::-1])


@given(
    st.floats(100.0, 1e5),
    st.floats(0.1, 50.0),
    st.floats(0.1, 50.0),
    st.lists(st.integers(1, 99), max_size=8, unique=True),
    numbers,
)
def test_splitting_the_description_changes_nothing(
    length: float, start: float, stop: float, places: list[int], n: int
) -> None:
    t = np.array([0, *sorted(places), 100]) / 100
    whole = Axon.tapered(length, start, stop, compartments=n)
    split = Axon.from_profile(t * length, start + (stop - start) * t, compartments=n)
    # The diameters at the new knots are rounded, which on a stretch of 1 µm and more changes a
    # slope of up to 0.5 by up to EPS * 50, and a diameter by EPS of itself.
    for name in ARRAYS:
        np.testing.assert_allclose(
            getattr(split, name), getattr(whole, name), rtol=1e-13, err_msg=name
        )
    uniform = Axon.cylinder(length, start, compartments=n)
    again = Axon.from_profile(t * length, np.full(t.size, start), compartments=n)
    assert again == uniform
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(uniform, name))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 999, 1000, 1_000_000])
@pytest.mark.parametrize(("length", "diameter"), [(1e5, 476.0), (1234.567, 0.3), (0.1, 1 / 3)])
def test_compartments_of_a_cylinder_are_the_same_to_the_last_bit(
    n: int, length: float, diameter: float
) -> None:
    axon = Axon.cylinder(length, diameter, Ra=35.4, compartments=n)
    assert (axon.diameter == diameter).all()
    assert (axon.area == axon.area[0]).all()
    assert axon.area[0] == pytest.approx(math.pi * diameter * length / n, 1e-15)
    assert axon.axial_conductance.shape == (n - 1,)
    if n > 1:
        assert (axon.axial_conductance == axon.axial_conductance[0]).all()
        ohms = 4 * 35.4 * (length / n * 1e-4) / (math.pi * (diameter * 1e-4) ** 2)
        assert axon.axial_conductance[0] == pytest.approx(1e6 / ohms, 1e-14)


def test_layout_of_the_arrays() -> None:
    axon = Axon.cylinder("0.1 mm", "2 um", compartments=4)
    assert axon.n == 4
    assert axon.length == 100.0
    np.testing.assert_array_equal(axon.edges, [0, 25, 50, 75, 100])
    np.testing.assert_array_equal(axon.x, [12.5, 37.5, 62.5, 87.5])
    np.testing.assert_array_equal(axon.parent, [-1, 0, 1, 2])
    np.testing.assert_array_equal(axon.Ra, [100.0] * 4)
    np.testing.assert_array_equal(axon.cm, [1.0] * 4)
    assert axon.parent.dtype == np.int64
    for name in set(ARRAYS) - {"parent"}:
        assert getattr(axon, name).dtype == np.float64, name


def test_a_step_has_no_membrane_of_its_own() -> None:
    axon = Axon.stepped([30, "70 um"], [1.0, 2.0], Ra=100.0, compartments=10)
    np.testing.assert_allclose(axon.area, math.pi * 10 * np.repeat([1.0, 2.0], [3, 7]), 1e-15)
    # Between the centres beside the step, 5 µm of either: 4 Ra l/(π d²), in MΩ.
    between = 1e-2 * 100 * 4 / math.pi * (5 / 1**2 + 5 / 2**2)
    assert axon.axial_conductance[2] == pytest.approx(1 / between, 1e-14)


def test_a_step_on_an_edge_stays_there() -> None:
    # With no sliver of the one diameter in a compartment of the other, there are two areas.
    for k in range(1, 100):
        axon = Axon.stepped([k, 100 - k], [1.0, 2.0], compartments=100)
        assert len(set(axon.area)) == 2, k


def test_varying_resistivity_enters_by_halves() -> None:
    axon = Axon.cylinder(20.0, 2.0, Ra=[50.0, 150.0], cm=[1.0, 2.0], compartments=2)
    between = 1e-2 * 4 / math.pi / 2**2 * (5 * 50 + 5 * 150)
    assert axon.axial_conductance[0] == pytest.approx(1 / between, 1e-14)
    np.testing.assert_array_equal(axon.cm, [1.0, 2.0])


def test_parameters_as_functions_of_position() -> None:
    def cm(x: np.ndarray) -> np.ndarray:
        result = 1 + x / 100
        x[:] = np.nan  # what a function does to its argument is its own business
        return result

    axon = Axon.cylinder(100.0, 2.0, Ra=lambda x: np.where(x < 50, 100, 200), cm=cm, dx=25.0)
    np.testing.assert_array_equal(axon.Ra, [100, 100, 200, 200])
    np.testing.assert_array_equal(axon.cm, [1.125, 1.375, 1.625, 1.875])
    assert Axon.cylinder(100.0, 2.0, cm=lambda x: 2.0, compartments=3).cm.tolist() == [2.0] * 3
    assert Axon.cylinder(100.0, 2.0, Ra="1 ohm*m", compartments=2).Ra.tolist() == [100.0] * 2


def test_tapered_ends_where_it_says() -> None:
    axon = Axon.tapered(100.0, 1.0, "3 um", compartments=1)
    slant = math.hypot(100.0, 1.0)
    assert axon.area[0] == pytest.approx(math.pi * 2.0 * slant, 1e-15)
    assert axon.axial_conductance.size == 0


def test_varicose_has_beads_on_a_string() -> None:
    axon = Axon.varicose(100.0, 0.2, 1.0, 2.0, 10.0, compartments=1000)
    # Ten spindles, symmetric about the middle, none of which touches an end.
    middles = [5.0 + 10 * k for k in range(10)]
    np.testing.assert_allclose(axon.profile_x[2:-1:3], middles, rtol=1e-14)
    np.testing.assert_array_equal(axon.profile_diameter[2:-1:3], 1.0)
    area = math.pi * (0.2 * 80 + 10 * 2 * 0.6 * math.hypot(1.0, 0.4))
    assert axon.area.sum() == pytest.approx(area, 1e-12)
    np.testing.assert_allclose(axon.area, axon.area[::-1], rtol=1e-12)
    # Where the spacing does not divide the length, the rest lies at both ends alike.
    odd = Axon.varicose(25.0, 0.2, 1.0, 2.0, 10.0, compartments=1000)
    np.testing.assert_allclose(odd.profile_x[2:-1:3], [7.5, 17.5], rtol=1e-14)


@pytest.mark.parametrize(
    ("length", "dx", "n"),
    [(100.0, 10.0, 10), (100.0, 9.9, 11), ("1 mm", "10 um", 100), (5.0, 10.0, 1), (0.9, 0.3, 3)],
)
def test_dx_is_the_largest_length(length: object, dx: object, n: int) -> None:
    # 0.9 / 0.3 is 3.0000000000000004 in floating point, which is no reason for a fourth.
    assert Axon.cylinder(length, 1.0, dx=dx).n == n


def test_d_lambda_rule() -> None:
    # Hines and Carnevale (2001), the expression of NEURON's cell builder.
    for length, d, Ra, cm, fraction in itertools.product(
        (10.0, 333.0, 1e5), (0.3, 476.0), (35.4, 200.0), (0.7, 1.0), (0.1, 0.03)
    ):
        lambda_f = 1e5 * math.sqrt(d / (4 * math.pi * 100 * Ra * cm))
        expected = int((length / (fraction * lambda_f) + 0.9) / 2) * 2 + 1
        assert Axon.cylinder(length, d, Ra=Ra, cm=cm, d_lambda=fraction).n == expected
    assert Axon.cylinder("10 mm", 1.0).n == 355  # d_lambda = 0.1 if nothing is said


def test_d_lambda_rule_integrates_along_the_profile() -> None:
    # ∫ dx/λ = 1e-5 √(4π f Ra cm) ∫ d^(-1/2) dx, here of d from 1 to 4: 2 (√4 - √1) / slope.
    per_length = 1e-5 * math.sqrt(4 * math.pi * 100 * 100)
    lambdas = per_length * 2 / (3 / 1e4)
    assert Axon.tapered(1e4, 1.0, 4.0).n == int((lambdas / 0.1 + 0.9) / 2) * 2 + 1
    # Ra from 100 to 400 (its root is linear): sampled finely enough to give the same number.
    squared = Axon.cylinder(1e4, 1.0, Ra=lambda x: 100 * (1 + x / 1e4) ** 2)
    assert squared.n == int((per_length * 1e4 * 1.5 / 0.1 + 0.9) / 2) * 2 + 1


def test_index_finds_the_compartment() -> None:
    axon = Axon.cylinder(100.0, 1.0, compartments=4)
    positions = [0.0, 24.9, 25.0, "0.06 mm", 75.0, 100.0]
    assert [axon.index(p) for p in positions] == [0, 0, 1, 2, 3, 3]


@given(st.floats(1e-3, 1e6), st.integers(1, 10_000))
def test_index_agrees_with_edges_and_centres(length: float, n: int) -> None:
    axon = Axon.cylinder(length, 1.0, compartments=n)
    assert (np.diff(axon.edges) > 0).all()
    for i in {0, n // 3, n // 2, n - 1}:
        assert axon.index(axon.edges[i]) == axon.index(axon.x[i]) == i
    assert axon.index(axon.length) == n - 1


@pytest.mark.parametrize("position", [-1e-9, 100.1, np.nan, "1 mm", "1 ms", None])
def test_index_refuses_what_is_not_on_the_axon(position: object) -> None:
    with pytest.raises(GeometryError, match=r"^position = "):
        Axon.cylinder(100.0, 1.0, compartments=4).index(position)


@given(profiles(), numbers)
def test_description_and_copies_restore_every_bit(profile: Profile, n: int) -> None:
    axon = Axon.from_profile(*profile, Ra=lambda x: 50 + x, compartments=n)
    for original in (axon, axon.reversed()):
        for again in (
            Axon.from_dict(json.loads(json.dumps(original.to_dict()))),
            pickle.loads(pickle.dumps(original)),
            copy.deepcopy(original),
        ):
            assert again == original
            assert again.length == original.length
            for name in ARRAYS:
                assert getattr(again, name).tobytes() == getattr(original, name).tobytes(), name


def test_description_is_brief_and_is_what_from_profile_takes() -> None:
    axon = Axon.cylinder(100.0, 2.0, Ra=35.4, cm=lambda x: x / 25, compartments=2)
    description = axon.to_dict()
    assert description == {
        "shape": "profile",
        "x": [0.0, 100.0],
        "diameter": [2.0, 2.0],
        "Ra": 35.4,
        "cm": [1.0, 3.0],
        "compartments": 2,
    }
    del description["shape"]
    assert Axon.from_profile(**description) == axon


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "cylinder"}, "shape = 'cylinder' in an axon's description"),
        ({"colour": "red"}, "keys .*'colour'"),
        ({"Ra": None}, "^Ra = None"),
        ({"Ra": [1.0, 2.0]}, r"^Ra has shape \(2,\) on an axon of 3 compartments"),
        ({"cm": -1.0}, "^cm = -1.0 must be greater than 0"),
        ({"x": [0.0, "far"]}, r"^x\[1\] = 'far'"),
        ({"diameter": {}}, "^diameter = {} is not made of numbers"),
        ({"compartments": 1e300}, "^compartments = 1e\\+300 must be a whole number"),
        ({"compartments": 10**30}, "^compartments = 1000000000000000000000000000000 must be from"),
    ],
)
def test_bad_descriptions_are_refused(change: dict, message: str) -> None:
    description = Axon.cylinder(100.0, 2.0, compartments=3).to_dict()
    with pytest.raises(GeometryError, match=message):
        Axon.from_dict(description | change)


@pytest.mark.parametrize("description", [None, [], "axon", {}, {"shape": "profile"}])
def test_what_is_no_description_is_refused(description: object) -> None:
    with pytest.raises(GeometryError, match="an axon's description has keys"):
        Axon.from_dict(description)


def test_equality() -> None:
    axon = Axon.cylinder(100.0, 1.0, compartments=4)
    assert axon == Axon.cylinder("0.1 mm", "1 um", dx=25.0)
    assert axon != Axon.cylinder(100.0, 1.0, compartments=5)
    assert axon != Axon.cylinder(101.0, 1.0, compartments=4)
    assert axon != Axon.cylinder(100.0, 1.1, compartments=4)
    assert axon != Axon.cylinder(100.0, 1.0, Ra=101.0, compartments=4)
    assert axon != Axon.cylinder(100.0, 1.0, cm=1.1, compartments=4)
    assert axon != "axon"


def test_an_axon_never_changes() -> None:
    Ra = np.full(4, 100.0)
    axon = Axon.cylinder(100.0, 1.0, Ra=Ra, compartments=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        axon.n = 5
    for each in (axon, axon.reversed(), pickle.loads(pickle.dumps(axon))):
        for name in (*ARRAYS, "profile_x", "profile_diameter"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(each, name)[0] = 1
    Ra[0] = 1.0  # the caller's own array is still the caller's
    assert axon.Ra[0] == 100.0


def test_repr_is_short() -> None:
    assert repr(Axon.cylinder("1 mm", 2.0, dx=1.0)) == "Axon(length=1000 um, diameter=2 um, n=1000)"
    taper = Axon.tapered(1000.0, 1.0, 2.5, dx=1.0)
    assert repr(taper) == "Axon(length=1000 um, diameter=1 to 2.5 um, n=1000)"


# Paths through space

BENT = [(0, 0, 0), ("0.6 mm", 0, 0), (600, 0, "400 um"), (600, 500, 400)]


def test_a_straight_axon_lies_along_x() -> None:
    axon = Axon.cylinder(1000.0, 1.0, compartments=10)
    assert axon.path is None
    np.testing.assert_array_equal(axon.places[:, 0], axon.x)
    assert not axon.places[:, 1:].any()
    straight = axon.along([(0, 0, 0), (2000, 0, 0)])
    np.testing.assert_array_equal(straight.places, axon.places)


def test_a_position_is_the_distance_along_the_path() -> None:
    axon = Axon.cylinder(1500.0, 1.0, compartments=15).along(BENT)
    np.testing.assert_allclose(axon.places[[0, 5, 6, 9, 10, 14]], [
        (50, 0, 0), (550, 0, 0), (600, 0, 50), (600, 0, 350), (600, 50, 400), (600, 450, 400)
    ], atol=1e-9)  # fmt: skip
    plain = Axon.cylinder(1500.0, 1.0, compartments=15)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(axon, name), getattr(plain, name))
    assert axon != plain and axon == plain.along(np.array(axon.path))
    assert axon != plain.along([*BENT, (0, 500, 400)])


@st.composite
def paths(draw: st.DrawFn) -> list[list[float]]:
    """Points at least 1 µm apart from one another's neighbours."""
    step = st.lists(st.floats(-500.0, 500.0), min_size=3, max_size=3)
    points = [draw(step)]
    for move in draw(st.lists(step.filter(lambda s: math.hypot(*s) > 1), min_size=1, max_size=6)):
        points.append([a + b for a, b in zip(points[-1], move, strict=True)])
    return points


@given(paths(), numbers, st.floats(0.1, 1.0))
def test_a_path_is_kept_and_can_be_reversed(path: list, n: int, share: float) -> None:
    long = sum(math.dist(a, b) for a, b in itertools.pairwise(path))
    axon = Axon.cylinder(share * long, 1.0, compartments=n).along(path)
    # As the crow flies, no two places are farther apart than along the axon.
    apart = np.sqrt((np.diff(axon.places, axis=0) ** 2).sum(axis=1))
    assert (apart <= np.diff(axon.x) * (1 + 1e-9)).all()
    for again in (
        Axon.from_dict(json.loads(json.dumps(axon.to_dict()))),
        pickle.loads(pickle.dumps(axon)),
        copy.deepcopy(axon),
    ):
        assert again == axon
        assert again.places.tobytes() == axon.places.tobytes()
    back = axon.reversed()
    np.testing.assert_allclose(back.places, axon.places[::-1], atol=1e-8)  # of some 3000 µm
    np.testing.assert_allclose(back.reversed().places, axon.places, atol=1e-8)


def test_a_path_never_changes() -> None:
    points = np.array([(0.0, 0.0, 0.0), (0.0, 0.0, 100.0)])
    axon = Axon.cylinder(100.0, 1.0, compartments=4).along(points)
    points[1] = 0.0
    np.testing.assert_array_equal(axon.places[:, 2], axon.x)
    for array in (axon.path, axon.places):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (BENT, "path is 1500 um long, and the axon 2000 um; give more of it"),
        ([(0, 0, 0), (1e4, 0, 0), (1e4, 0, 0)], r"path\[1\] and path\[2\] are one place"),
        ([(0, 0, 0), (np.nan, 0, 0)], r"path\[1\]\[0\] = nan is not a number"),
        ([(0, 0, 0), (np.inf, 0, 0)], r"path\[1\]\[0\] = inf is not finite"),
        ([(0, 0, 0), (1e200, 0, 0)], r"path reaches 1e\+200 um; it may reach 1e\+12"),
        ([(0, 0, 0), ("3 ms", 0, 0)], r"path\[1\]\[0\] = '3 ms' cannot be converted"),
        ([(0, 0, 0)], r"path has the shape \(1, 3\); give two places"),
        ([(0, 0), (3000, 0)], r"path has the shape \(2, 2\)"),
        ([], r"path has the shape \(0,\)"),
        (7.0, r"path has the shape \(\)"),
        ("spiral", "path = 'spiral' is no number with a unit"),
    ],
)
def test_what_is_no_path(path: object, message: str) -> None:
    axon = Axon.cylinder("2 mm", 1.0, compartments=4)
    with pytest.raises(GeometryError, match=message):
        axon.along(path)
    with pytest.raises(GeometryError, match=message):
        Axon.from_dict(axon.to_dict() | {"path": path})


def test_what_comes_along_the_axon() -> None:
    """Ohm's law, compartment by compartment."""
    axon = Axon.tapered(100.0, 1.0, 3.0, compartments=5)
    v = np.array([-65.0, 20.0, -80.0, 0.0, 5.0])
    g = axon.axial_conductance
    expected = [
        sum(g[min(i, j)] * (v[j] - v[i]) for j in (i - 1, i + 1) if 0 <= j < 5) for i in range(5)
    ]
    np.testing.assert_allclose(axon.axial_inflow(v), expected, rtol=1e-12)
    assert Axon.cylinder(1.0, 1.0, compartments=1).axial_inflow(np.ones(1)) == [0.0]


def cylinder(**changes: object) -> Callable[[], Axon]:
    arguments = {"length": 100.0, "diameter": 1.0, "compartments": 4} | changes
    return lambda: Axon.cylinder(**arguments)


def profile(x: object, diameter: object, **changes: object) -> Callable[[], Axon]:
    return lambda: Axon.from_profile(x, diameter, **({"compartments": 4} | changes))


def varicose(**changes: object) -> Callable[[], Axon]:
    arguments = {
        "length": 100.0,
        "diameter": 0.2,
        "varicosity_diameter": 1.0,
        "varicosity_length": 2.0,
        "spacing": 10.0,
    }
    return lambda: Axon.varicose(**(arguments | changes))


REFUSED = {
    "zero length": (cylinder(length=0), "^length = 0 must be greater than 0"),
    "negative length": (cylinder(length="-1 mm"), "^length = '-1 mm' must be greater than 0"),
    "NaN length": (cylinder(length=np.nan), "^length = nan is not a number"),
    "infinite length": (cylinder(length=np.inf), "^length = inf is not finite"),
    "length of a planet": (cylinder(length=1e13), "^the length, 1e\\+13 um, must be at most"),
    "length in ms": (cylinder(length="1 ms"), "^length = '1 ms' cannot be converted to um"),
    "zero diameter": (cylinder(diameter=0.0), "^diameter = 0.0 must be greater than 0"),
    "negative diameter": (cylinder(diameter=-1), "^diameter = -1 must be greater than 0"),
    "NaN diameter": (cylinder(diameter=np.nan), "^diameter = nan is not a number"),
    "no diameter": (cylinder(diameter=None), "^diameter = None is not a number"),
    "diameter beyond floats": (cylinder(diameter=1e-200), "axial_conductance of some compartment"),
    "zero Ra": (cylinder(Ra=0), "^Ra = 0.0 must be greater than 0|^Ra = 0 must be"),
    "NaN in Ra": (cylinder(Ra=[1, 2, np.nan, 4]), r"^Ra\[2\] = nan is not a number"),
    "negative Ra from a function": (cylinder(Ra=lambda x: x - 50), r"^Ra\[0\] = -37.5 must be"),
    "Ra of a wrong length": (cylinder(Ra=[1.0, 2.0]), r"^Ra has shape \(2,\) on an axon of 4"),
    "Ra of no use": (cylinder(Ra=lambda x: None), "^Ra = None is not made of numbers"),
    "Ra in S/cm²": (cylinder(Ra="1 S/cm^2"), "^Ra = '1 S/cm.2' cannot be converted to ohm"),
    "negative cm": (cylinder(cm=-1.0), "^cm = -1.0 must be greater than 0"),
    "two cuts": (cylinder(dx=10.0), "^dx and compartments both say how to cut"),
    "no compartments": (cylinder(compartments=0), "^compartments = 0 must be from 1 to"),
    "too many": (cylinder(compartments=MAX_COMPARTMENTS + 1), "^compartments = 100000001 must be"),
    "half a compartment": (cylinder(compartments=2.5), "^compartments = 2.5 must be a whole"),
    "compartments as text": (cylinder(compartments="4"), "^compartments = '4' must be a whole"),
    "compartments as truth": (cylinder(compartments=True), "^compartments = True must be a whole"),
    "zero dx": (cylinder(compartments=None, dx=0.0), "^dx = 0.0 must be greater than 0"),
    "dx too small": (cylinder(compartments=None, dx=1e-7), "^1e\\+09 compartments are more than"),
    "dx far too small": (cylinder(compartments=None, dx=5e-324), "^inf compartments are more"),
    "zero d_lambda": (cylinder(compartments=None, d_lambda=0), "^d_lambda = 0 must be greater"),
    "d_lambda as text": (cylinder(compartments=None, d_lambda="0.1"), "^d_lambda = '0.1' is no"),
    "d_lambda too small": (cylinder(compartments=None, d_lambda=1e-12), "compartments are more"),
    "Ra per compartment of no number": (
        cylinder(compartments=None, Ra=[1.0, 2.0]),
        "^Ra has a value for each compartment, so their number must be known; write compart.*=2",
    ),
    "one point": (profile([0.0], [1.0]), "at least two points"),
    "no points": (profile([], []), "at least two points"),
    "a number for a list": (profile(0.0, 1.0), "at least two points"),
    "a table for a list": (profile([[0, 1]], [[1, 1]]), "at least two points"),
    "lists of two lengths": (profile([0, 1, 2], [1, 1]), r"^x and diameter have shapes \(3,\) and"),
    "NaN position": (profile([0, np.nan, 2], [1, 1, 1]), r"^x\[1\] = nan is not a number"),
    "NaN among diameters": (profile([0, 1, 2], [1, np.nan, 1]), r"^diameter\[1\] = nan is not"),
    "zero among diameters": (profile([0, 1], [1, 0]), r"^diameter\[1\] = 0.0 must be greater"),
    "start beyond the origin": (profile([1, 2], [1, 1]), r"^x\[0\] = 1.0 um must be 0"),
    "start before the origin": (profile([-1, 2], [1, 1]), r"^x\[0\] = -1.0 um must be 0"),
    "way back": (profile([0, 2, 1, 3], [1] * 4), r"^x\[2\] = 1.0 um lies before x\[1\] = 2.0 um"),
    "no extent": (profile([0, 0], [1, 2]), r"^x\[-1\] = 0.0 um, the axon's length, must be"),
    "step at the origin": (profile([0, 0, 1], [1, 2, 2]), r"^x\[0\] and x\[1\] are a step at"),
    "step at the far end": (profile([0, 1, 1], [1, 1, 2]), r"^x\[1\] and x\[2\] are a step at"),
    "three at one place": (profile([0, 1, 1, 1, 2], [1] * 5), "more than two points at 1.0 um"),
    "nearly a step": (profile([0, 50, 50 + 1e-13 * 500, 100], [1, 1, 2, 2]), "too close to tell"),
    "zero end": (lambda: Axon.tapered(100, 1, 0, dx=1), "^end_diameter = 0 must be greater than 0"),
    "no cylinders": (
        lambda: Axon.stepped([], [], dx=1),
        r"^lengths and diameters have shapes \(0,",
    ),
    "too few steps": (lambda: Axon.stepped([1, 2], [1], dx=1), "one entry for each cylinder"),
    "zero step": (lambda: Axon.stepped([1, 0], [1, 2], dx=1), r"^lengths\[1\] = 0.0 must be"),
    "zero in steps": (lambda: Axon.stepped([1, 1], [0, 2], dx=1), r"^diameters\[0\] = 0.0 must"),
    "beads that touch": (varicose(spacing=2.0), "^spacing = 2 um must be greater than varicosity"),
    "beads too far apart": (varicose(spacing=101.0), "^spacing = 101 um must be .* at most length"),
    "negative bead": (varicose(varicosity_length=-2.0), "^varicosity_length = -2.0 must be"),
    "zero bead": (varicose(varicosity_diameter=0.0), "^varicosity_diameter = 0.0 must be"),
    "too many beads": (
        varicose(spacing=1e-7, varicosity_length=1e-8),
        "^1e\\+09 varicosities are more than",
    ),
    "bare construction": (lambda: Axon([0, 1], [1, 1], [], []), "^compartments = 0 must be"),
    "cm of another length": (lambda: Axon([0, 1], [1, 1], [1, 1], [1] * 3), r"^cm has shape \(3,"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.filterwarnings("error")
def test_bad_geometry_is_refused_by_name(make: Callable[[], Axon], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        make()
