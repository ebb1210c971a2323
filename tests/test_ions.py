"""Ions, buffers and pools: formulas with their limits and units, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon.errors import MembraneError
from axon.ions import FARADAY, GAS, ZERO_CELSIUS, Buffer, Ion, Pool, ghk, nernst
from axon.trace import Recorder

potentials = st.floats(-200.0, 200.0)
concentrations = st.floats(1e-6, 500.0)
valences = st.sampled_from([-2, -1, 1, 2])
temperatures = st.floats(0.0, 45.0)


def rt_f(celsius: float) -> float:
    """RT/F, mV."""
    return 1e3 * GAS * (celsius + 273.15) / FARADAY


# ---- Nernst, Goldman, Hodgkin and Katz -----------------------------------------------------------


def test_constants_are_those_of_the_si() -> None:
    """Exact since 2019: R = N_A k, F = N_A e."""
    avogadro, boltzmann, charge = 6.02214076e23, 1.380649e-23, 1.602176634e-19
    assert pytest.approx(avogadro * boltzmann, rel=1e-15) == GAS
    assert pytest.approx(avogadro * charge, rel=1e-15) == FARADAY
    assert ZERO_CELSIUS == 273.15


def test_nernst_potentials_of_the_textbook() -> None:
    """58.17 mV a decade at 20 °C, 61.54 mV at 37 °C: 2.303 RT/F, of any table of it."""
    assert nernst(1.0, 10.0, 1, 20.0) == pytest.approx(58.17, abs=0.005)
    assert nernst(1.0, 10.0, 1, 37.0) == pytest.approx(61.54, abs=0.005)
    assert nernst(1e-4, 1.8, 2, 37.0) == pytest.approx(30.77 * math.log10(1.8e4), abs=0.02)


@given(concentrations, concentrations, valences, temperatures)
def test_nernst(inside: float, outside: float, valence: int, celsius: float) -> None:
    expected = rt_f(celsius) / valence * math.log(outside / inside)
    found = nernst(inside, outside, valence, celsius)
    assert found == pytest.approx(expected, rel=1e-13, abs=1e-13)
    assert nernst(outside, inside, valence, celsius) == pytest.approx(-found, abs=1e-12)
    assert nernst(inside, inside, valence, celsius) == 0.0


@given(potentials, concentrations, concentrations, valences, temperatures)
def test_ghk_is_the_formula_of_the_paper(
    v: float, inside: float, outside: float, valence: int, celsius: float
) -> None:
    u = valence * v / rt_f(celsius)
    if abs(u) < 1e-3:
        return  # where the formula loses its digits
    expected = 1e-3 * valence * FARADAY * u * (inside - outside * math.exp(-u)) / (1 - math.exp(-u))
    scale = 1e-3 * abs(valence) * FARADAY * (inside + outside) * (1 + abs(u))
    for form in (float, np.array):
        found = ghk(form(v), inside, outside, valence, celsius)
        # Roundings of two fluxes, whose difference it is; the formula's own exp(-u) - 1 is worse.
        assert float(found) == pytest.approx(expected, abs=1e-12 * scale)


@given(concentrations, concentrations, valences, temperatures)
def test_ghk_at_zero_is_its_limit(
    inside: float, outside: float, valence: int, celsius: float
) -> None:
    """Without a field diffusion is left: P z F (inside - outside)."""
    expected = 1e-3 * valence * FARADAY * (inside - outside)
    scale = 1e-3 * abs(valence) * FARADAY * (inside + outside)
    for v in (0.0, 1e-300, -1e-12, 1e-9):
        found = float(ghk(np.array(v), inside, outside, valence, celsius))
        assert found == pytest.approx(expected, abs=1e-10 * scale)
    assert ghk(0.0, inside, outside, valence, celsius) == pytest.approx(expected, abs=1e-14 * scale)


@given(concentrations, concentrations, valences, temperatures)
def test_ghk_vanishes_at_the_nernst_potential(
    inside: float, outside: float, valence: int, celsius: float
) -> None:
    e = nernst(inside, outside, valence, celsius)
    scale = 1e-3 * abs(valence) * FARADAY * (inside + outside)
    assert ghk(np.array(e), inside, outside, valence, celsius) == pytest.approx(
        0.0, abs=1e-12 * scale
    )
    above = ghk(np.array(e + 1.0), inside, outside, valence, celsius)
    below = ghk(np.array(e - 1.0), inside, outside, valence, celsius)
    assert below < 0.0 < above  # outward is positive, whatever the sign of the ion


@pytest.mark.parametrize("valence", [-1, 1, 2])
def test_ghk_far_from_zero_is_the_flux_of_one_side(valence: int) -> None:
    """Where the field is strong, what it drives out depends on the inside alone."""
    v = np.array([900.0, -900.0])
    u = valence * v / rt_f(20.0)
    found = ghk(v, 3.0, 7.0, valence, 20.0)
    expected = 1e-3 * valence * FARADAY * u * np.where(u > 0, 3.0, 7.0)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert np.all(np.isfinite(ghk(np.array([-1e5, 1e5]), 3.0, 7.0, valence, 20.0)))


def test_ghk_is_one_function_for_numbers_arrays_and_symbols() -> None:
    v = np.concatenate([np.linspace(-150.0, 100.0, 51), [0.0, 1e-12, -1e-9]])
    cai = np.geomspace(1e-5, 1e-2, v.size)
    arrays = ghk(v, cai, 2.0, 2, 37.0)
    numbers = [ghk(float(a), float(b), 2.0, 2, 37.0) for a, b in zip(v, cai, strict=True)]
    np.testing.assert_allclose(numbers, arrays, rtol=1e-14)

    recorder = Recorder()
    symbol = ghk(recorder.input("v"), recorder.input("cai"), 2.0, 2, 37.0)
    np.testing.assert_allclose(recorder.evaluate(symbol, {"v": v, "cai": cai}), arrays, rtol=1e-13)


def test_ghk_of_a_varying_temperature() -> None:
    celsius = np.array([6.3, 20.0, 37.0])
    found = ghk(np.full(3, -30.0), 1e-4, 2.0, 2, celsius)
    one_by_one = [ghk(-30.0, 1e-4, 2.0, 2, float(c)) for c in celsius]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-14)


def test_ghk_has_the_units_it_names() -> None:
    """cm/s times C/mol times mM is mA/cm²."""
    ureg = pint.UnitRegistry()
    flux = ureg.Quantity(1.0, "cm/s") * ureg.Quantity(FARADAY, "C/mol") * ureg.Quantity(5.0, "mM")
    outward = ghk(0.0, 5.0, 0.0, 1, 20.0)
    assert outward == pytest.approx(flux.to("mA/cm^2").magnitude, rel=1e-12)


# ---- ions ----------------------------------------------------------------------------------------


def test_an_ion_reverses_by_nernst_unless_told_otherwise() -> None:
    quantities = {"v": -60.0, "celsius": 37.0, "cai": 1e-4, "cao": 2.0}
    assert Ion("ca", 2, 1e-4, 2.0).potential(quantities) == nernst(1e-4, 2.0, 2, 37.0)
    # Of the concentrations of the moment, not those of the beginning.
    moved = Ion("ca", 2, 1e-4, 2.0).potential(quantities | {"cai": 1e-3})
    assert moved == nernst(1e-3, 2.0, 2, 37.0)
    assert Ion("ca", 2, reversal=80.0).potential(quantities) == 80.0
    shifted = Ion("ca", 2, 1e-4, 2.0, reversal=lambda cao, celsius: cao + celsius)
    assert shifted.potential(quantities) == 39.0


def test_concentrations_and_potentials_may_have_units() -> None:
    ureg = pint.UnitRegistry()
    ion = Ion("k", 1, inside="0.12 M", outside=ureg.Quantity(4000, "uM"), reversal="-0.077 V")
    assert (ion.inside, ion.outside) == (pytest.approx(120.0), pytest.approx(4.0))
    assert ion.reversal == pytest.approx(-77.0)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"name": "ca++"}, r"ion name 'ca\+\+'"),
        ({"name": None}, "ion name None"),
        *[
            ({"valence": valence}, "ion 'ca': valence=.*give a whole number but not 0")
            for valence in (0, 2.0, "2", True, None)
        ],
        ({"inside": 0.0}, "ion 'ca': inside = 0.0 must be greater than 0"),
        ({"inside": -1e-4}, "ion 'ca': inside = -0.0001"),
        ({"outside": np.nan}, "ion 'ca': outside = nan"),
        ({"outside": np.inf}, "ion 'ca': outside = inf"),
        ({"outside": "2 mV"}, "ion 'ca': outside = '2 mV'"),
        ({"inside": [1e-4, 2e-4]}, "ion 'ca': inside"),
        ({"inside": None}, "ion 'ca': without a reversal potential, inside and outside are needed"),
        ({"outside": None}, "ion 'ca': without a reversal potential"),
        ({"reversal": np.nan}, "ion 'ca': reversal = nan"),
        ({"reversal": "80 mM"}, "ion 'ca': reversal = '80 mM'"),
        ({"reversal": [80.0]}, "ion 'ca': reversal"),
    ],
)
def test_ions_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Ion(**({"name": "ca", "valence": 2, "inside": 1e-4, "outside": 2.0} | arguments))


# ---- buffers -------------------------------------------------------------------------------------


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), concentrations)
def test_a_buffer_in_equilibrium_does_not_change(
    binding: float, unbinding: float, c: float
) -> None:
    buffer = Buffer("b", 0.1, binding, unbinding)
    bound = buffer.equilibrium(c)
    assert 0.0 <= bound <= 1.0
    assert bound == pytest.approx(c / (c + unbinding / binding), rel=1e-14)
    assert buffer.rate(c, bound) == pytest.approx(0.0, abs=1e-15 * (binding * c + unbinding))


def test_a_buffer_binds_and_lets_go() -> None:
    buffer = Buffer("b", 0.1, binding=100.0, unbinding=0.2)
    assert buffer.rate(1e-3, 0.0) == pytest.approx(0.1, rel=1e-15)
    assert buffer.rate(0.0, 0.5) == pytest.approx(-0.1, rel=1e-15)
    np.testing.assert_allclose(buffer.rate(np.array([1e-3, 2e-3]), 0.25), [0.025, 0.1], rtol=1e-14)


def test_numbers_of_a_buffer_may_have_units() -> None:
    buffer = Buffer("b", "50 uM", "1e8 M^-1 s^-1", "200 s^-1")
    assert (buffer.total, buffer.binding, buffer.unbinding) == pytest.approx((0.05, 100.0, 0.2))


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"name": "calbindin D"}, "buffer name 'calbindin D'"),
        ({"total": -1.0}, "buffer 'b': total = -1.0 must be at least 0"),
        ({"total": "1 mV"}, "buffer 'b': total"),
        ({"binding": -1.0}, "buffer 'b': binding = -1.0"),
        ({"binding": "1 ms^-1"}, "buffer 'b': binding"),
        ({"unbinding": np.nan}, "buffer 'b': unbinding = nan"),
        ({"unbinding": 0.0}, "buffer 'b': unbinding=0 has no equilibrium; give initial"),
        ({"initial": 1.5}, "buffer 'b': initial=1.5; a fraction is at most 1"),
        ({"initial": -0.1}, "buffer 'b': initial = -0.1"),
        ({"initial": "0.1 mM"}, "buffer 'b': initial"),
    ],
)
def test_buffers_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    good = {"name": "b", "total": 0.1, "binding": 1.0, "unbinding": 1.0}
    with pytest.raises(MembraneError, match=advice):
        Buffer(**(good | arguments))


def test_a_buffer_that_never_lets_go_needs_a_beginning() -> None:
    assert Buffer("b", 0.1, 1.0, 0.0, initial=0.25).initial == 0.25
    assert Buffer("b", 0.0, 0.0, 1.0).equilibrium(1.0) == 0.0


# ---- pools ---------------------------------------------------------------------------------------

D = np.array([0.5, 1.0, 4.0])


def test_a_pool_is_named_by_the_concentration_it_moves() -> None:
    assert Pool("ca", "inside").concentration == "cai"
    assert Pool("k", "outside", surface_to_volume=10.0).concentration == "ko"


@pytest.mark.parametrize("valence", [-1, 1, 2])
def test_current_moves_as_much_as_its_charge(valence: int) -> None:
    """I t / (z F) mol through the area of a cylinder, into the litres that it holds."""
    diameter, length, i, t = 0.8, 100.0, 0.3, 2.0  # µm, µm, mA/cm², ms
    area, volume = math.pi * diameter * length, math.pi * diameter**2 / 4 * length
    moles = i * 1e-3 * area * 1e-8 * t * 1e-3 / (valence * FARADAY)
    millimolar = moles / (volume * 1e-15) * 1e3
    pool = Pool("x", "inside")
    gain = pool.per_current(valence, np.array([diameter]), np.array([4 / diameter]))
    assert gain[0] * i * t == pytest.approx(-millimolar, rel=1e-13)  # outward takes from inside


def test_a_narrow_space_outside_gains_what_flows_out() -> None:
    """B. Frankenhaeuser, A. L. Hodgkin, J. Physiol. 131, 341-376 (1956): dK/dt = I / (F θ).

    θ is the width of the space, 300 Å in their axon: 1 mA/cm² makes 3.45 mM/ms.
    """
    theta = 0.03  # µm
    gain = Pool("k", "outside", surface_to_volume=1 / theta).per_current(1, D, 4 / D)
    # A/cm² through C/mol and cm is mol/(s cm³), 1e3 mM/ms.
    np.testing.assert_allclose(gain, 1e-3 / FARADAY / (theta * 1e-4) * 1e3, rtol=1e-13)
    assert gain[0] == pytest.approx(3.45, abs=0.01)


def test_surface_to_volume_is_that_of_the_compartment_or_as_given() -> None:
    unit = 1e4 / (2 * FARADAY)
    own = Pool("ca", "inside").per_current(2, D, 4 / D)
    np.testing.assert_allclose(own, -unit * 4 / D, rtol=1e-14)
    number = Pool("ca", "inside", surface_to_volume="10 um^-1").per_current(2, D, 4 / D)
    np.testing.assert_allclose(number, np.full(3, -unit * 10.0), rtol=1e-14)
    shell = Pool("ca", "inside", surface_to_volume=lambda d: 4 * d / (d**2 - (d - 0.2) ** 2))
    np.testing.assert_allclose(
        shell.per_current(2, D, 4 / D), -unit * 4 * D / (D**2 - (D - 0.2) ** 2), rtol=1e-14
    )
    everywhere = Pool("ca", "inside", surface_to_volume=lambda d: 7.0).per_current(2, D, 4 / D)
    np.testing.assert_allclose(everywhere, np.full(3, -unit * 7.0), rtol=1e-14)


def test_a_pool_may_have_another_faraday() -> None:
    rounded = Pool("ca", "inside", faraday=96500.0).per_current(2, D, 4 / D)
    own = Pool("ca", "inside").per_current(2, D, 4 / D)
    np.testing.assert_allclose(rounded / own, FARADAY / 96500.0, rtol=1e-14)


def test_buffers_of_a_pool_are_kept_as_a_tuple() -> None:
    buffers = [Buffer("a", 0.1, 1.0, 1.0), Buffer("b", 0.1, 1.0, 1.0)]
    assert Pool("ca", "inside", buffers=buffers).buffers == tuple(buffers)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"ion": "Ca2+"}, r"ion name 'Ca2\+'"),
        ({"side": "within"}, "pool of 'ca': side='within'; inside or outside"),
        ({"side": "outside"}, "pool cao: a space outside needs surface_to_volume, in 1/µm"),
        ({"surface_to_volume": 0.0}, "pool cai: surface_to_volume = 0.0 must be greater than 0"),
        ({"surface_to_volume": "10 um"}, "pool cai: surface_to_volume = '10 um'"),
        ({"surface_to_volume": [1.0, 2.0]}, "pool cai: surface_to_volume"),
        ({"bath": 1e-4}, "pool cai: an exchange needs both bath and time_constant"),
        ({"time_constant": 10.0}, "pool cai: an exchange needs both bath and time_constant"),
        ({"bath": 0.0, "time_constant": 10.0}, "pool cai: bath = 0.0 must be greater than 0"),
        ({"bath": 1e-4, "time_constant": 0.0}, "pool cai: time_constant = 0.0"),
        ({"bath": 1e-4, "time_constant": "10 mM"}, "pool cai: time_constant = '10 mM'"),
        ({"faraday": -96485.0}, "pool cai: faraday = -96485.0"),
        ({"buffers": None}, "pool cai: buffers=None; give a sequence of Buffer"),
        ({"buffers": ["b"]}, r"pool cai: buffers=\['b'\]"),
        ({"buffers": Buffer("b", 1.0, 1.0, 1.0)}, "pool cai: buffers=Buffer"),
        ({"buffers": [Buffer("b", 1.0, 1.0, 1.0)] * 2}, "two buffers have one name: b, b"),
    ],
)
def test_pools_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Pool(**({"ion": "ca", "side": "inside"} | arguments))


@pytest.mark.parametrize("ratio", [lambda d: 0 * d, lambda d: 1 - d, lambda d: np.nan * d])
def test_a_ratio_that_is_not_positive_everywhere_is_refused(ratio: Any) -> None:
    pool = Pool("ca", "inside", surface_to_volume=ratio)
    with pytest.raises(MembraneError, match="pool cai: surface_to_volume is not positive"):
        pool.per_current(2, D, 4 / D)


@pytest.mark.parametrize("ratio", [lambda d: d[:2], lambda d: "much", lambda: 1.0])
def test_a_ratio_that_cannot_be_computed_is_refused(ratio: Any) -> None:
    pool = Pool("ca", "inside", surface_to_volume=ratio)
    with pytest.raises(MembraneError, match="pool cai: surface_to_volume"):
        pool.per_current(2, D, 4 / D)
