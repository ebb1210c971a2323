"""Gate tables: as good as they say, as coarse as they may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import held
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axon import _kernel, models
from axon.channels import Channel, Gate
from axon.errors import MembraneError
from axon.membranes import Membrane
from axon.program import Program, lower
from axon.tables import (
    GRIDS,
    ROUNDED,
    STEPS,
    TOLERANCE,
    V_MAX,
    V_MIN,
    Grid,
    Table,
    build_tables,
    fit_gate,
    fit_value,
)

ISAS = [name for name, (supported, _) in _kernel.instruction_sets().items() if supported]


def build(
    gates: list[tuple[int, Gate]], celsius: float, dt: float
) -> tuple[tuple[Table, ...], list[int]]:
    """Tables, and the states of gates too steep for any."""
    fits = [(state, fit_gate(gate, {"celsius": celsius}, dt)) for state, gate in gates]
    good = [(state, fit) for state, fit in fits if fit is not None]
    return build_tables(good, []), [state for state, fit in fits if fit is None]


def boltzmann(slope: float, middle: float = -40.0, tau: float = 1.0) -> Gate:
    """A gate that opens within `slope` mV."""
    return Gate(
        "x",
        inf=lambda v: 1 / (1 + np.exp(-(v - middle) / slope)),
        tau=lambda v: tau * (1.0 + 0.5 * np.exp(-(((v - middle) / 30.0) ** 2))),
    )


def membrane_of(*gates: Gate) -> Membrane:
    return Membrane(
        [Channel(f"c{k}", gbar=0.0, reversal=0.0, gates=[gate]) for k, gate in enumerate(gates)]
    )


def advanced(
    membrane: Membrane, v: np.ndarray, x: np.ndarray, *, celsius: float, dt: float, **how: Any
) -> np.ndarray:
    """States after one step of the kernel at potentials that stay put, (n_states, n)."""
    program = lower(membrane, np.zeros(v.size), np.array([celsius]), dt)
    return held.advanced(program, v, x, dt=dt, **how)


def exact(gate: Gate, v: np.ndarray, x: np.ndarray, celsius: float, dt: float) -> np.ndarray:
    inf, rate = gate.at({"v": v, "celsius": celsius})
    return x - np.expm1(-dt * rate) * (inf - x)


EPSILON = 2.0**-23
"""What rounding a number to single precision twice costs at most, relative."""

RANDOM_V = np.random.default_rng(0).uniform(V_MIN, V_MAX, 20_000)


@pytest.mark.parametrize("celsius", [6.3, 18.5, 37.0])
@pytest.mark.parametrize("dt", [0.0005, 0.005, 0.05])
@pytest.mark.parametrize("name", models.names())
def test_tables_of_the_models_are_good_to_a_part_in_1e7(
    name: str, dt: float, celsius: float
) -> None:
    # Without pools every gate but an instantaneous one is a function of V.
    membrane = replace(getattr(models, name)(), pools=())
    gates = [gate for _, gate in membrane.gates if not gate.instantaneous]
    fixed = membrane.quantities(0.0, celsius)
    fits = [fit_gate(gate, fixed, dt) for gate in gates]
    assert all(fit is not None and fit.error <= TOLERANCE == 1e-8 for fit in fits)
    assert all(fit is not None and fit.rounded <= ROUNDED < 1.3e-7 for fit in fits)
    if not gates:
        return
    # Again by what the kernel makes of them, anywhere. From 0, a step leaves the product of
    # factor and steady state; from 1, one less the factor besides.
    for start in (0.0, 1.0):
        x = np.full((len(gates), RANDOM_V.size), start)
        for gate, found in zip(
            gates, advanced(membrane, RANDOM_V, x, celsius=celsius, dt=dt), strict=True
        ):
            inf, rate = gate.at({**fixed, "v": RANDOM_V})
            factor = -np.expm1(-dt * rate)
            error = np.abs(found - (start + factor * (inf - start)))
            # Both errors, each a little larger between the probes, and the rounding of x.
            of_inf, of_factor = inf * EPSILON + 1.25e-8, EPSILON + 1.25e-8
            assert np.all(error <= factor * (of_inf + of_factor * np.abs(inf - start)) + 3e-16)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["hodgkin_huxley", "sundt", "tigerholm"])
def test_the_kernel_looks_up_what_the_table_says(name: str, isa: str) -> None:
    """In single precision, each multiply-add rounded once; what is left is rounding in double."""
    membrane = replace(getattr(models, name)(), pools=())
    v = np.concatenate([RANDOM_V[:5000], [V_MIN, V_MAX, -65.0, -65.25, 0.0]])
    x = np.random.default_rng(0).random((len(membrane.gates), v.size))
    program = lower(membrane, np.zeros(v.size), np.array([37.0]), 0.005)
    found = held.advanced(program, v, x, dt=0.005, isa=isa)
    for table in program.tables:
        place = (v - table.v_min) / table.v_step
        bins = np.rint(place).astype(int)
        s = (place - bins).astype(np.float32).astype(float)

        def looked_up(block: int, column: int) -> np.ndarray:
            c0, c1, c2, c3 = table.cubics[bins, block, :, column].T.astype(float)  # noqa: B023
            value = c3
            for c in (c2, c1, c0):  # a product of two floats is exact in double
                value = (value * s + c).astype(np.float32).astype(float)  # noqa: B023
            return value

        for k, state in enumerate(table.gates):
            inf, factor = (looked_up(k // 4, 4 * which + k % 4) for which in (0, 1))
            expected = x[state] + factor * (inf - x[state])
            off = np.abs(found[state] - expected) > 3e-16
            # Where a place in a bin lies between two floats, or a sum between two doubles.
            assert off.mean() < 1e-3


@pytest.mark.parametrize("isa", ISAS)
def test_gates_in_several_blocks_are_each_their_own(isa: str) -> None:
    # Five: a full block of four and another, all different.
    gates = [boltzmann(4.0 + k, -60.0 + 10 * k, 0.3 * (k + 1)) for k in range(5)]
    for count in (1, 2, 3, 4, 5):
        membrane = membrane_of(*gates[:count])
        v = RANDOM_V[:999]
        x = np.random.default_rng(count).random((count, v.size))
        found = advanced(membrane, v, x, celsius=6.3, dt=0.1, isa=isa)
        for k in range(count):
            np.testing.assert_allclose(
                found[k], exact(gates[k], v, x[k], 6.3, 0.1), rtol=0, atol=1e-7
            )


@pytest.mark.parametrize("isa", ISAS)
def test_gates_start_with_half_a_step(isa: str) -> None:
    gates = [boltzmann(7.0, tau=10.0**k) for k in (-4, -1, 0, 3)]
    v = RANDOM_V[:333]
    x = np.random.default_rng(1).random((4, v.size))
    found = advanced(membrane_of(*gates), v, x, celsius=6.3, dt=0.1, isa=isa, first_step=True)
    for k, gate in enumerate(gates):
        # Of a factor near 1 the root of what is left is taken, which turns 1e-7 into 3e-4 of
        # a distance that is itself that small.
        factor = -np.expm1(-0.1 * gate.at({"v": v, "celsius": 6.3})[1])
        bound = 1.5e-7 / np.sqrt(np.maximum(1.0 - factor, 1e-7))
        error = np.abs(found[k] - exact(gate, v, x[k], {"celsius": 6.3}, 0.05))
        assert np.all(error <= bound)


@pytest.mark.parametrize("isa", ISAS)
def test_a_gate_moves_by_its_own_potential_whatever_its_neighbours(isa: str) -> None:
    # Lanes that look into one bin are looked up together.
    membrane = models.hodgkin_huxley()
    x = np.full((3, 64), 0.3)
    apart = np.linspace(-90.0, 40.0, 64)
    of_many = advanced(membrane, apart, x, celsius=6.3, dt=0.02, isa=isa)
    for k in (0, 17, 40, 63):
        alone = advanced(membrane, np.full(64, apart[k]), x, celsius=6.3, dt=0.02, isa=isa)
        assert np.ptp(alone, axis=1).max() == 0.0
        np.testing.assert_array_equal(alone[:, k], of_many[:, k])


def test_bins_are_as_wide_as_the_steepest_gate_allows() -> None:
    widths = []
    for slope in (8.0, 4.0, 2.0, 1.0, 0.5):
        gate = boltzmann(slope)
        (table,), steep = build([(0, gate)], 6.3, 0.005)
        widths.append(table.v_step)
        assert steep == []
        assert table.error <= ROUNDED
        assert table.n_bins == round((V_MAX - V_MIN) / table.v_step) + 1
        wider = [grid for grid in GRIDS if grid.v_step > table.v_step]
        fit = fit_gate(gate, {"celsius": 6.3}, 0.005)
        assert fit is not None and all(fit.on(grid).error > TOLERANCE for grid in wider)
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) > 2


def test_steep_rates_make_bins_finer_as_steep_steady_states_do() -> None:
    gate = Gate("x", inf=lambda v: 0.5, tau=lambda v: 1.0 + 100.0 / (1 + np.exp(-(v + 40.0) / 1.0)))
    (table,), steep = build([(0, gate)], 6.3, 0.005)
    assert steep == []
    assert table.v_step < STEPS[0]
    v = np.linspace(-60.0, -20.0, 4001)
    moved = advanced(membrane_of(gate), v, np.zeros((1, v.size)), celsius=6.3, dt=0.005)
    # Relative, since a slow gate must be as exact as a fast one.
    expected = exact(gate, v, np.zeros(v.size), 6.3, 0.005)
    np.testing.assert_allclose(moved[0], expected, rtol=2 * EPSILON)


def test_a_steep_gate_has_finer_bins_than_others() -> None:
    slow, fast = boltzmann(8.0), boltzmann(1.0)
    gates = [(3, slow), (5, fast), (6, slow), (7, slow), (8, slow)]
    (wide, fine), _ = build(gates, 6.3, 0.005)
    assert (wide.gates, fine.gates) == ((3, 6, 7, 8), (5,))
    assert fine.v_step < wide.v_step == STEPS[0]
    assert max(wide.error, fine.error) <= ROUNDED


@pytest.mark.parametrize("n_slow", range(1, 12))
@pytest.mark.parametrize("n_fast", range(1, 5))
def test_no_block_is_half_empty_where_its_gates_fit_into_another(n_slow: int, n_fast: int) -> None:
    gates = [*enumerate([boltzmann(8.0)] * n_slow), *enumerate([boltzmann(1.0)] * n_fast, n_slow)]
    tables, _ = build(gates, 6.3, 0.05)
    assert sum(-(-len(table.gates) // 4) for table in tables) == -(-(n_slow + n_fast) // 4)
    assert sorted(state for table in tables for state in table.gates) == list(
        range(n_slow + n_fast)
    )
    assert set(range(n_slow, n_slow + n_fast)) <= set(tables[-1].gates)
    assert all(table.error <= ROUNDED for table in tables)


def jumping(tau: float = 1.0) -> Gate:
    """A gate with a jump where bins of half a millivolt meet."""
    return Gate("x", inf=lambda v: np.where(v < -40.0, 0.1, 0.9), tau=lambda v: tau + 0 * v)


def test_blocks_that_are_half_empty_meet_in_bins_where_all_fit() -> None:
    """A gate that jumps and one that is steep, in bins that the one alone would not need, and the
    other not so."""
    alone = [fit_gate(gate, {"celsius": 6.3}, 0.05) for gate in (jumping(), boltzmann(4.0))]
    assert [fit.grid for fit in alone if fit] == [Grid(0.5, True), Grid(0.25, False)]
    (table,), _ = build([(0, jumping()), (1, boltzmann(4.0)), (2, jumping(2.0))], 6.3, 0.05)
    assert (sorted(table.gates), table.v_step, table.error <= ROUNDED) == ([0, 1, 2], 0.25, True)
    # Five are two blocks, together or apart.
    tables, _ = build([*enumerate([jumping()] * 3), *enumerate([boltzmann(4.0)] * 2, 3)], 6.3, 0.05)
    assert [table.v_step for table in tables] == [0.5, 0.25]


def test_what_jumps_where_bins_meet_is_as_good_as_what_does_not() -> None:
    # As many published rates do, at a whole number of mV.
    gate = Gate(
        "x",
        inf=lambda v: np.where(v < -40.0, 0.1, 0.5 + 0.4 * np.tanh(v / 30.0)),
        tau=lambda v: np.where(v < -31.0, 2.0, 1.0 + 0.01 * v * (v < 60)),
    )
    (table,), steep = build([(0, gate)], 6.3, 0.005)
    assert steep == []
    assert table.error <= ROUNDED
    v = np.concatenate([RANDOM_V[:2000], [-40.001, -39.999, -31.001, -30.999]])
    moved = advanced(membrane_of(gate), v, np.zeros((1, v.size)), celsius=6.3, dt=0.005)
    expected = exact(gate, v, np.zeros(v.size), 6.3, 0.005)
    np.testing.assert_allclose(moved[0], expected, rtol=2 * EPSILON)


@pytest.mark.parametrize(
    "inf",
    [
        lambda v: 1 / (1 + np.exp(-(v + 40) / 0.02)),
        lambda v: np.where(v < -40.01, 0.1, 0.9),
        lambda v: np.where(v < -40.01, 0.5, 0.5 + 0.01 * (v + 40.01)),  # a kink
    ],
)
def test_gates_too_steep_for_a_table_are_named(inf: Callable[[Any], Any]) -> None:
    gate = Gate("x", inf=inf, tau=lambda v: 1.0 + 0 * v)
    (table,), steep = build([(0, boltzmann(5.0)), (1, gate)], 6.3, 0.005)
    assert (table.gates, steep) == ((0,), [1])
    assert build([(1, gate)], 6.3, 0.005) == ((), [1])


def test_no_coefficient_is_subnormal() -> None:
    fit = fit_gate(boltzmann(2.0), {"celsius": 6.3}, 0.005)
    assert fit is not None
    inf, _ = boltzmann(2.0).at({"v": fit.grid.centres, "celsius": 6.3})
    assert 0.0 < inf.min() < 1e-45  # what is smaller than a float goes to zero
    size = np.abs(fit.coefficients[fit.coefficients != 0.0])
    assert size.min() >= np.finfo(np.float32).tiny


def test_values_that_leave_the_range_of_floats_go_into_no_table() -> None:
    assert fit_value(lambda v: np.exp(v / 4.0)) is not None
    assert fit_value(lambda v: np.exp(v / 3.0)) is None


def test_no_gates_no_table() -> None:
    assert build_tables([], []) == ()


def test_neighbouring_bins_meet() -> None:
    squid = [gate for _, gate in models.hodgkin_huxley().gates]
    (table,), _ = build(list(enumerate(squid)), 6.3, 0.05)

    def at(side: float) -> np.ndarray:
        c0, c1, c2, c3 = np.moveaxis(table.cubics.astype(float), 2, 0)
        return ((c3 * side + c2) * side + c1) * side + c0

    # Cubics meet their functions 1e-4 of a bin before its end: what is left is that their
    # constants are rounded.
    np.testing.assert_allclose(at(0.5)[:-1], at(-0.5)[1:], rtol=0, atol=EPSILON / 2)


def test_values_are_looked_up_as_well() -> None:
    fit = fit_value(lambda v: np.exp(v / 25.0))
    assert fit is not None and fit.error <= TOLERANCE
    assert fit_value(lambda v: 1.0 / (v - 0.123)) is None  # not finite somewhere, or too steep
    (table,) = build_tables([(0, fit_gate(boltzmann(8.0), {"celsius": 6.3}, 0.005))], [(7, fit)])  # type: ignore[list-item]
    assert (table.gates, table.values) == ((0,), (7,))
    centres = table.v_min + table.v_step * np.arange(table.n_bins)
    assert table.cubics.shape[1:] == (1, 4, 8)  # there is room for it beside the gate
    np.testing.assert_allclose(table.cubics[:, 0, 0, 1], np.exp(centres / 25.0), rtol=EPSILON)


def test_a_pole_is_given_up_soon_and_a_gap_is_closed() -> None:
    tried = 0

    def pole(v: np.ndarray) -> np.ndarray:
        nonlocal tried
        tried += 1
        return (v + 150.0) / (v + 200.0)

    def gap(v: np.ndarray) -> np.ndarray:
        return (v + 200.0) / np.tanh((v + 200.0) / 40.0)

    assert fit_value(pole) is None and tried == 2
    with np.errstate(invalid="ignore"):
        assert np.isnan(gap(np.array([-200.0]))[0])
    fit = fit_value(gap)
    assert fit is not None and fit.grid.meeting


def test_layout() -> None:
    gates = [boltzmann(7.0 + k) for k in range(6)]
    (table,), _ = build(list(enumerate(gates)), 6.3, 0.005)
    assert isinstance(table, Table)
    assert table.cubics.shape == (table.n_bins, 2, 4, 8)
    assert table.cubics.dtype == np.float32
    assert table.cubics.flags.c_contiguous
    centres = V_MIN + table.v_step * np.arange(table.n_bins)
    for k, gate in enumerate(gates):
        inf, rate = gate.at({"v": centres, "celsius": 6.3})
        of_gate = table.cubics[:, k // 4, 0]
        np.testing.assert_allclose(of_gate[:, k % 4], inf, rtol=0, atol=EPSILON / 2)
        np.testing.assert_allclose(of_gate[:, 4 + k % 4], -np.expm1(-0.005 * rate), rtol=EPSILON)
    assert not table.cubics[:, 1, :, [2, 3, 6, 7]].any()


@settings(deadline=None, max_examples=30)
@given(
    slope=st.floats(1.0, 30.0),
    middle=st.floats(-90.0, 20.0),
    power_of_tau=st.floats(-3.0, 4.0),
    dt=st.sampled_from([0.001, 0.01, 0.1, 1.0]),
)
def test_any_smooth_gate_is_within_the_tolerance(
    slope: float, middle: float, power_of_tau: float, dt: float
) -> None:
    gate = boltzmann(slope, middle, 10.0**power_of_tau)
    (table,), steep = build([(0, gate)], 6.3, dt)
    assert steep == []
    assert table.error <= ROUNDED


@pytest.mark.parametrize("rate", [0.0, 1e-12, 1e12])
def test_gates_that_stand_still_or_jump(rate: float) -> None:
    gate = Gate("x", alpha=lambda v: 0.25 * rate + 0 * v, beta=lambda v: 0.75 * rate + 0 * v)
    if rate == 0.0:
        gate = Gate("x", inf=lambda v: 0.25 + 0 * v, tau=lambda v: np.inf + 0 * v)
    x = np.linspace(0.0, 1.0, 16)[None]
    found = advanced(membrane_of(gate), RANDOM_V[:16], x, celsius=6.3, dt=0.1)
    np.testing.assert_allclose(
        found, np.full_like(x, 0.25) if rate == 1e12 else x, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("inf", "tau", "found"),
    [
        (lambda v: v / 0.0, lambda v: 1.0, "steady state -inf"),
        (lambda v: 0.5, lambda v: 0.0 * v, "rate -?inf"),
        (lambda v: 0.5, lambda v: -1.0, "rate -1/ms"),
        (lambda v: np.sqrt(v), lambda v: 1.0, "steady state nan"),
        (lambda v: 0.5, lambda v: np.where(v > 250, np.nan, 1.0), "rate nan"),
    ],
)
def test_rates_that_no_gate_can_have_are_refused(inf: Any, tau: Any, found: str) -> None:
    with pytest.raises(MembraneError, match=rf"gate 'x' at v = .*{found}"):
        build([(0, Gate("x", inf=inf, tau=tau))], 6.3, 0.005)


def test_values_are_looked_up_as_the_functions_have_them() -> None:
    """Of a membrane whose currents are no straight lines, in NumPy as in the kernel."""

    def curve(v: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(v / 100.0))

    fits = [fit_value(lambda v, k=k: k * curve(v)) for k in range(1, 11)]
    (table,) = build_tables([], [(40 + k, fit) for k, fit in enumerate(fits) if fit])
    v = np.array([-299.9, -65.1, -20.25, 0.0, 33.3, 300.0])
    found = table.looked_up(v)
    assert list(found) == list(range(40, 50))
    for k in range(10):
        np.testing.assert_allclose(found[40 + k], (k + 1) * curve(v), rtol=ROUNDED)
    # Beyond its ends it goes on as at its ends.
    np.testing.assert_allclose(table.looked_up(np.array([1e3]))[40], curve(v)[-1:], rtol=1e-3)


@pytest.mark.parametrize("n_values", range(1, 9))
@pytest.mark.parametrize("n_fine", range(1, 5))
def test_values_begin_no_block_where_narrower_bins_have_room(n_fine: int, n_values: int) -> None:
    wide = [(k, fit_gate(boltzmann(8.0), {"celsius": 6.3}, 0.05)) for k in range(3)]
    fine = [(3 + k, fit_gate(boltzmann(1.0), {"celsius": 6.3}, 0.05)) for k in range(n_fine)]
    values = [(40 + k, fit_value(lambda v: np.exp(v / 100.0))) for k in range(n_values)]
    tables = build_tables([*wide, *fine], values)  # type: ignore[list-item]
    # Two lanes are left beside the three gates; one more gate, and they are full.
    lanes = sum(2 * len(table.gates) + len(table.values) for table in tables)
    blocks = sum(table.cubics.shape[1] for table in tables)
    assert blocks == -(-lanes // 8)
    assert sorted(slot for table in tables for slot in table.values) == [s for s, _ in values]
    assert all(table.error <= ROUNDED for table in tables)
    v = np.linspace(-100.0, 60.0, 333)
    for table in tables:
        for found in table.looked_up(v).values():
            np.testing.assert_allclose(found, np.exp(v / 100.0), rtol=2 * ROUNDED)


def test_values_too_steep_for_narrower_bins_begin_a_block() -> None:
    """None of those that are tried is good for one that jumps elsewhere than where bins meet."""
    gate = fit_gate(boltzmann(8.0), {"celsius": 6.3}, 0.05)
    steep = fit_gate(boltzmann(1.0), {"celsius": 6.3}, 0.05)
    jump = fit_value(lambda v: np.where(v < -40.25, 1.0, 2.0))
    assert gate and steep and jump and not jump.on(steep.grid).good
    tables = build_tables([*((k, gate) for k in range(4)), (4, steep)], [(40, jump)])
    assert [(len(table.gates), len(table.values)) for table in tables] == [(4, 1), (1, 0)]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n_values", [0, 1, 3, 6, 7, 15])
@pytest.mark.parametrize("n_gates", range(7))
def test_values_take_the_room_that_gates_leave(n_gates: int, n_values: int, isa: str) -> None:
    if n_gates + n_values == 0:
        return
    curves = [lambda v, k=k: (k + 1) * np.exp(v / (100.0 + k)) for k in range(n_values)]
    gates = [boltzmann(8.0 + k) for k in range(n_gates)]
    # Where eight look into one bin, and where not.
    v = np.concatenate([np.full(16, -65.1), RANDOM_V[:23]])
    states = [f"x{k}" for k in range(n_gates + n_values)]
    first_value = 2 + len(states) + 2
    of_gates = [fit_gate(gate, {"celsius": 6.3}, 0.05) for gate in gates]
    of_values = [fit_value(curve) for curve in curves]
    (table,) = build_tables(
        [(k, fit) for k, fit in enumerate(of_gates) if fit],
        [(first_value + k, fit) for k, fit in enumerate(of_values) if fit],
    )
    assert table.cubics.shape[1] == max(-(-n_gates // 4), -(-(2 * n_gates + n_values) // 8))
    program = Program(
        states=tuple(states),
        params=(np.array([1e-4]), np.array([-60.0])),
        param_names=("gbar", "e"),
        consts=np.zeros(0),
        multiples=np.zeros(0),
        n_temps=n_values,
        tables=(table,),
        code=tuple(("COPY", 2 + n_gates + k, first_value + k, -1, -1) for k in range(n_values)),
        middle_state=-1,
        slope_slot=-1,
        offset_slot=-1,
        terms=((first_value - 2, first_value - 1, (), -1),),
        ions=(),
    )
    found = held.advanced(program, v, np.zeros((len(states), v.size)), dt=0.05, isa=isa)
    in_numpy = table.looked_up(v)
    for k, gate in enumerate(gates):
        expected = exact(gate, v, np.zeros(v.size), 6.3, 0.05)
        np.testing.assert_allclose(found[k], expected, rtol=2.5 * EPSILON)
    for k, curve in enumerate(curves):
        np.testing.assert_allclose(found[n_gates + k], curve(v), rtol=ROUNDED)
        np.testing.assert_allclose(found[n_gates + k], in_numpy[first_value + k], rtol=EPSILON)
