"""Quantities become plain numbers, or are refused by name; errors are what they claim to be."""

from __future__ import annotations

import pickle
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon import errors
from axon.units import as_written, position, position_text, quantities, quantity

UREG = pint.UnitRegistry()


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (3, "um", 3.0),
        (0.1, "ms", 0.1),
        (np.float32(0.5), "mV", 0.5),
        (np.int64(-65), "mV", -65.0),
        (np.array(2.0), "um", 2.0),
        ("10 mm", "um", 10_000.0),
        ("0.1 m", "um", 100_000.0),
        ("10um", "um", 10.0),
        (" .5e1 µm ", "um", 5.0),
        ("2 micrometers", "um", 2.0),
        ("-65 mV", "mV", -65.0),
        ("0.0002 s", "ms", 0.2),
        ("0.354 ohm m", "ohm*cm", 35.4),
        ("35.4 Ω·cm", "ohm*cm", 35.4),
        ("0.01 F/m²", "uF/cm^2", 1.0),
        ("1 uF/cm**2", "uF/cm^2", 1.0),
        ("120 mS/cm^2", "S/cm^2", 0.12),
        ("10 uA/cm^2", "mA/cm^2", 0.01),
        ("10 uA", "nA", 10_000.0),
        ("100 uA", "mA", 0.1),
        ("5 mmol/l", "mM", 5.0),
        ("1800 cm/s", "m/s", 18.0),
        ("6.3 degC", "degC", 6.3),
        ("37 °C", "degC", 37.0),
        ("310.15 K", "degC", 37.0),
        ("98.6 degF", "degC", 37.0),
        ("10 %", "", 0.1),
    ],
)
def test_quantity_is_converted_exactly(value: object, unit: str, expected: float) -> None:
    # To the last bit: strings are converted in decimal.
    result = quantity(value, unit, "a")
    assert type(result) is float
    assert result == expected


def test_pint_quantities_of_any_registry_are_converted() -> None:
    # Pint computes with the user's floats: a rounding or two of 1e-16.
    assert quantity(UREG.Quantity(2.5, "mm"), "um", "a") == pytest.approx(2500.0, rel=1e-15)
    assert quantity(UREG.Quantity(293.15, "kelvin"), "degC", "a") == pytest.approx(20.0, rel=1e-13)
    array = quantities(UREG.Quantity([1.0, 2.5], "mm"), "um", "a")
    np.testing.assert_allclose(array, [1000.0, 2500.0], rtol=1e-15)
    mixed = quantities([UREG.Quantity(1.0, "mm"), "2 mm", 3.0], "um", "a")
    np.testing.assert_allclose(mixed, [1000.0, 2000.0, 3.0], rtol=1e-15)


@pytest.mark.parametrize("value", ["10", "ten um", "", "um", "1,5 um", "1 um 2", "nan um"])
def test_text_that_is_no_number_with_a_unit_is_refused(value: str) -> None:
    with pytest.raises(errors.UnitError, match=r'^length = .*a number in um, or "10 um"$'):
        quantity(value, "um", "length")


@pytest.mark.parametrize(
    "value", ["10 ms", "10 um^2", "10 foo", "10 dBm", "10 m^0", "1 lambda", "1e999999 mm"]
)
def test_other_dimensions_and_unknown_units_are_refused(value: str) -> None:
    with pytest.raises(errors.UnitError, match=r"^length = .* cannot be converted to um; write"):
        quantity(value, "um", "length")


def test_pint_quantity_of_another_dimension_is_refused() -> None:
    with pytest.raises(errors.UnitError, match=r"^dt = .* cannot be converted to ms; write"):
        quantity(UREG.Quantity(1.0, "mm"), "ms", "dt")
    with pytest.raises(errors.UnitError, match=r"^x = .* cannot be converted to um; write"):
        quantities(UREG.Quantity([1.0, 2.0], "ms"), "um", "x")


def test_a_tower_of_powers_is_refused_and_not_evaluated() -> None:
    with pytest.raises(errors.UnitError, match="is no number with a unit"):
        quantity("1 m**9**9**9", "um", "length")


@pytest.mark.parametrize("value", [True, np.True_, None, 1j, [1.0], np.array([1.0]), {}, object()])
def test_what_is_not_a_number_is_refused(value: object) -> None:
    with pytest.raises(errors.UnitError, match=r"^dt = .* is not a number; write"):
        quantity(value, "ms", "dt")


@pytest.mark.parametrize(
    ("value", "limits", "why"),
    [
        (np.nan, {}, "is not a number"),
        (np.nan, {"finite": False}, "is not a number"),
        (np.inf, {}, "is not finite"),
        (10**400, {}, "is not finite"),
        ("-1e400 ms", {}, "is not finite"),
        (0.0, {"positive": True}, "must be greater than 0"),
        ("-1 ms", {"positive": True}, "must be greater than 0"),
        (-0.5, {"minimum": 0.0}, "must be at least 0 ms"),
    ],
)
def test_values_outside_of_the_limits_are_refused(value: object, limits: dict, why: str) -> None:
    with pytest.raises(errors.StimulusError, match=f"^start = .* {why}; write"):
        quantity(value, "ms", "start", error=errors.StimulusError, **limits)


def test_values_on_the_limits_are_accepted() -> None:
    assert quantity(0, "ms", "start", minimum=0.0) == 0.0
    assert quantity(np.inf, "ms", "duration", finite=False) == np.inf
    np.testing.assert_array_equal(quantities([0, np.inf], "ms", "a", finite=False), [0, np.inf])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        ("1 mm", 1000.0),
        ([1, 2.5], [1.0, 2.5]),
        ((1, "1 mm"), [1.0, 1000.0]),
        ([[1, "2 mm"], [3, 4]], [[1.0, 2000.0], [3.0, 4.0]]),
        (np.array(["1 mm", "2 um"]), [1000.0, 2.0]),
        (np.arange(3), [0.0, 1.0, 2.0]),
        (range(3), [0.0, 1.0, 2.0]),
        ([], []),
    ],
)
def test_quantities_keep_their_shape(value: object, expected: object) -> None:
    result = quantities(value, "um", "x")
    assert result.dtype == np.float64
    assert result.shape == np.shape(expected)
    np.testing.assert_array_equal(result, expected)


def test_quantities_are_a_copy() -> None:
    value = np.ones(3)
    quantities(value, "um", "x")[0] = 2.0
    assert value[0] == 1.0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, np.nan], r"^x\[1\] = nan is not a number"),
        (np.array([[1.0, 2.0], [-3.0, 4.0]]), r"^x\[1\]\[0\] = -3.0 must be greater than 0"),
        ([1, "2 ms"], r"^x\[1\] = '2 ms' cannot be converted"),
        ([1, "2"], r"^x\[1\] = '2' is no number with a unit"),
        ([1, True], r"^x\[1\] = True is not a number"),
        ([[1, 2], [3]], r"^x = .* is ragged"),
        (np.array([True]), r"^x = .* is not made of numbers"),
        (None, r"^x = None is not made of numbers"),
        ({"a": 1}, r"^x = .* is not made of numbers"),
        ("2 ms", r"^x = '2 ms' cannot be converted"),
    ],
)
def test_bad_elements_are_named_by_index(value: object, message: str) -> None:
    with pytest.raises(errors.GeometryError, match=message):
        quantities(value, "um", "x", error=errors.GeometryError, positive=True)


@given(st.text(alphabet="0123456789.eE+- umskVA/*^°%²·()_\n", max_size=20))
def test_no_text_breaks_out(text: str) -> None:
    try:
        result = quantity(text, "um", "length")
    except errors.UnitError:
        return
    assert np.isfinite(result)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_text_in_the_unit_itself_is_the_number_itself(number: float) -> None:
    assert quantity(f"{number!r} um", "um", "length") == number


def test_plain_numbers_do_not_import_pint() -> None:
    code = (
        "import sys; from axon.units import quantities, quantity; "
        "quantity(1.0, 'um', 'a'); quantities([1, 2], 'um', 'a'); assert 'pint' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.UnitError, ValueError),
        (errors.GeometryError, ValueError),
        (errors.MembraneError, ValueError),
        (errors.StimulusError, ValueError),
        (errors.SimulationError, ValueError),
        (errors.StudyError, ValueError),
        (errors.RunFileError, OSError),
        (errors.WriteError, OSError),
        (errors.NoSpikeError, LookupError),
        (errors.NoRestError, ArithmeticError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_errors_are_also_the_builtin_that_fits(error: type, builtin: type) -> None:
    assert issubclass(error, errors.AxonError)
    with pytest.raises(builtin, match=r"^what would do$"):
        raise error("what would do")


def test_diverged_error_names_place_and_time_and_crosses_processes() -> None:
    error = errors.DivergedError(time=1.25, x=505.0, compartment=50, v=1e6)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.time, copy.x, copy.compartment, copy.v) == (1.25, 505.0, 50, 1e6)
    assert isinstance(copy, ArithmeticError)
    assert "1e+06 mV at t = 1.25 ms, x = 505 um (compartment 50)" in str(copy)


@pytest.mark.parametrize(
    ("value", "number", "unit"),
    [
        (3, "3", ""),
        (0.1, "0.1", ""),
        (np.float64(0.1), "0.1", ""),
        (np.float32(0.1), "0.1", ""),
        (np.int64(-3), "-3", ""),
        ("0.10 um", "0.10", "um"),
        ("-1e-3uA / cm^2", "-0.001", "uA / cm^2"),
    ],
)
def test_numbers_keep_their_digits_and_their_unit(value: object, number: str, unit: str) -> None:
    assert str(as_written(value, "x")[0]) == number
    assert as_written(value, "x")[1] == unit


@pytest.mark.parametrize(
    ("value", "why"),
    [
        *((value, "is no number; write 10") for value in ("3", "mm", "", None, True, [1])),
        *((value, "is not finite, or ") for value in (Fraction(1, 3), np.inf, np.nan, 1e-320)),
        ("1e999 um", "is not finite"),
        (f"1e{'9' * 99} um", "is not finite"),
    ],
)
def test_what_is_written_is_no_number(value: object, why: str) -> None:
    with pytest.raises(errors.UnitError, match=f"^x = .* {why}"):
        as_written(value, "x")


# ---- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        ("1 mm", 1000.0),
        (np.float64(2.5), 2.5),
        (("b", "1 mm"), ("b", 1000.0)),
        ([2, 5], (2, 5.0)),
        ((np.int64(2), np.float64(5.0)), (2, 5.0)),
    ],
)
def test_positions(value: Any, expected: object) -> None:
    found = position(value, "at")
    assert found == expected
    if isinstance(found, tuple):
        assert type(found[0]) in (int, str) and type(found[1]) is float


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *((value, "^at = .* is no position") for value in ((), (1,), (1.0, 2.0), (False, 1.0))),
        ([[1], 2.0], "^at = .* is no position"),
        ((1, -1.0), r"^at\[1\] = -1.0 must be at least 0"),
        (("b", "1 ms"), r"^at\[1\] = '1 ms'"),
        (-1.0, "^at = -1.0 must be at least 0"),
        ("b", "^at = 'b' is no number"),
        (np.array([1, 2]), "^at = "),
    ],
)
def test_what_is_no_position(value: Any, told: str) -> None:
    with pytest.raises(errors.UnitError, match=told):
        position(value, "at")


def test_how_positions_read() -> None:
    assert position_text(1234.5) == "1234.5 um"
    assert position_text(("b", 5.0)) == "5 um on branch 'b'"
    assert position_text((2, 5.0)) == "5 um on branch 2"
