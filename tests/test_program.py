"""Membranes become data, and the data does what the membrane says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from held import advanced
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import cable as slow

import axon
from axon import _kernel, models
from axon.channels import Channel, Gate, Markov
from axon.errors import MembraneError
from axon.ions import Buffer, Ion, Pool, nernst
from axon.membranes import Membrane
from axon.program import (
    DT_SLOT,
    FIRST_STATE,
    MAX_HELD,
    V_SLOT,
    Program,
    initial_states,
    lower,
)

ISAS = [name for name, (supported, _) in _kernel.instruction_sets().items() if supported]
X = np.linspace(0.0, 900.0, 10)
ONE = np.array([6.3])
MANY = np.linspace(6.3, 20.0, 10)
temperatures = pytest.mark.parametrize("celsius", [ONE, MANY], ids=["uniform", "varying"])


def membrane_of(*gates: Gate) -> Membrane:
    return Membrane([Channel("c", gbar=0.01, reversal=-60.0, gates=gates)])


def one_gate(**rates: Any) -> Membrane:
    return membrane_of(Gate("x", **rates))


def tabulated(program: Program) -> tuple[int, ...]:
    """States of the gates that tables hold."""
    return tuple(state for table in program.tables for state in table.gates)


# ---- what a membrane becomes -------------------------------------------------------------


def test_uniform_squid_is_tables_and_ohmic_terms() -> None:
    p = lower(models.hodgkin_huxley(), X, ONE, 0.01)
    assert p.states == ("na.m", "na.h", "k.n")
    assert p.param_names == (
        "na:gbar", "na:reversal", "k:gbar", "k:reversal", "leak:gbar", "leak:reversal",
    )  # fmt: skip
    assert [float(v) for value in p.params for v in value] == [
        0.12, 50.0, 0.036, -77.0, 0.0003, -54.3
    ]  # fmt: skip
    assert tabulated(p) == (0, 1, 2)
    assert (p.code, p.n_temps, p.consts.size) == ((), 0, 0)
    assert (p.slope_slot, p.offset_slot) == (-1, -1)
    # slots: potential, time step, three states, then the parameters
    assert p.terms == ((5, 6, ((2, 3), (3, 1)), -1), (7, 8, ((4, 4),), -1), (9, 10, (), -1))
    assert (V_SLOT, DT_SLOT, FIRST_STATE) == (0, 1, 2)


def test_passive_has_neither_states_nor_code() -> None:
    p = lower(models.passive(), X, ONE, 0.01)
    assert (p.states, tabulated(p), p.code) == ((), (), ())
    assert p.terms == ((2, 3, (), -1),)


def test_gates_whose_temperature_varies_go_into_the_program() -> None:
    p = lower(models.hodgkin_huxley(), X, MANY, 0.01)
    assert tabulated(p) == ()
    np.testing.assert_array_equal(p.params[p.param_names.index("celsius")], MANY)
    # Each gate is written where it belongs by the instruction that computes it.
    written = [(op, out) for op, out, *_ in p.code if out < 5]
    assert written == [("LERP", 2), ("LERP", 3), ("LERP", 4)]
    # What the three have in common, the Q10, is computed once; what depends on V, looked up.
    assert sum(op == "EXP_FMA" for op, *_ in p.code) == 1
    assert sum(op == "EXP_MUL" for op, *_ in p.code) == 3  # of the gates
    assert sum(op == "EXPREL" for op, *_ in p.code) == 0
    assert sum(len(table.values) for table in p.tables) == 6


def test_gates_that_do_not_feel_the_temperature_stay_in_the_table() -> None:
    def tau(v: Any) -> Any:
        return 1.0 + 0 * v

    cold = Gate("cold", inf=lambda v: 1 / (1 + np.exp(-v / 9)), tau=tau)
    by_q10 = Gate("by_q10", inf=lambda v: 1 / (1 + np.exp(-v / 9)), tau=tau, q10=2.0)
    by_name = Gate("by_name", inf=lambda v, celsius: 1 / (1 + np.exp(-v / celsius)), tau=tau)
    p = lower(membrane_of(by_q10, cold, by_name), X, MANY, 0.01)
    assert tabulated(p) == (1,)
    assert [out for op, out, *_ in p.code if op == "LERP" and out < 5] == [2, 4]
    assert tabulated(lower(membrane_of(by_q10, cold, by_name), X, ONE, 0.01)) == (0, 1, 2)


def test_parameters_may_vary_along_the_axon() -> None:
    by_number = lower(models.passive(g=2e-4), X, ONE, 0.01)
    by_array = lower(models.passive(g=np.linspace(1, 2, 10) * 1e-4), X, ONE, 0.01)
    by_function = lower(models.passive(g=lambda x: (1 + x / 900.0) * 1e-4), X, ONE, 0.01)
    constant_function = lower(models.passive(g=lambda x: 2e-4), X, ONE, 0.01)
    constant_array = lower(models.passive(g=[2e-4] * 10), X, ONE, 0.01)
    assert [p.params[0].size for p in (by_number, by_array, by_function)] == [1, 10, 10]
    np.testing.assert_allclose(by_function.params[0], by_array.params[0], rtol=1e-15)
    # One number is read from cache again and again: uniform arrays become one.
    assert constant_function.params[0] == constant_array.params[0] == by_number.params[0]
    assert constant_array.params[0].size == constant_function.params[0].size == 1


@temperatures
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", models.names())
def test_every_model_is_accepted_by_the_kernel(name: str, isa: str, celsius: np.ndarray) -> None:
    membrane = getattr(models, name)()
    per_current = membrane.per_current(np.ones(10))
    p = lower(membrane, X, celsius, 0.01, per_current)
    v = np.linspace(-90, 40, 10)
    x = initial_states(membrane, X, celsius, v, per_current)
    assert x.shape == (len(p.states), 10)
    assert np.all(np.isfinite(advanced(p, v, x, dt=0.01, isa=isa)))


CALCIUM = Ion("ca", 2, 1e-4, 2.0)
SODIUM = Ion("na", 1, 12.0, 145.0)


def with_pools(*more: Channel) -> Membrane:
    """A calcium pool with a buffer, a sodium pool, and channels of both."""
    return Membrane(
        [
            Channel("ca", 1e-5, ion="ca", gates=[Gate("d", inf=lambda v: 0.1 + 0 * v, tau=flat)]),
            Channel("na", 1e-4, ion="na"),
            Channel("leak", 1e-4, -60.0),
            *more,
        ],
        ions=[CALCIUM, SODIUM],
        pools=[
            Pool("ca", "inside", buffers=[Buffer("b", 0.1, 100.0, 0.1, initial=0.5)]),
            Pool("na", "inside", bath=12.0, time_constant=10.0),
        ],
    )


def test_more_can_be_held_than_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What doesn't fit is computed in every step, to the same result but for rounding."""
    tigerholm, x = models.tigerholm(), np.zeros(5)
    gains, v = tigerholm.per_current(np.ones(5)), np.linspace(-80.0, 20.0, 5)
    begin = initial_states(tigerholm, x, np.array([37.0]), v, gains, stride=5)
    found = []
    for most in (256, 3, 0):
        monkeypatch.setattr("axon.program.MAX_HELD", most)
        p = lower(models.tigerholm(), x, np.array([36.9 + most * 1e-9]), 0.005, gains, stride=5)
        assert p.n_held == min(most, 10)
        found.append(advanced(p, v, begin, dt=0.005, steps=20))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-7, atol=1e-9)


def test_the_kernel_takes_as_much_as_is_held() -> None:
    p, v, x = lower(models.hodgkin_huxley(), X, ONE, 0.01), np.full(10, -65.0), np.zeros((3, 10))
    advanced(replace(p, n_held=MAX_HELD), v, x, dt=0.01)
    with pytest.raises(MembraneError):
        advanced(replace(p, n_held=MAX_HELD + 1), v, x, dt=0.01)


def test_states_are_gates_concentrations_and_what_moves_these() -> None:
    scheme = Markov("s", {("c", "o"): lambda cai: cai, ("o", "c"): flat}, open="o")
    fast = Gate("fast", inf=lambda cai: cai)
    p = lower(with_pools(Channel("k", 1e-4, -90.0, gates=[fast, scheme])), X, ONE, 0.01,
              {"cai": -np.ones(10), "nai": -X - 1.0})  # fmt: skip
    assert p.states == (
        "ca.d", "k.s.c", "k.s.o",
        "cai", "cai.b", "nai", "cai:rate", "cai.b:rate", "nai:rate",
        "ica:slope", "ica:offset", "ina:slope", "ina:offset", "v:middle",
    )  # fmt: skip
    assert p.middle_state == 13
    assert p.ions == ((9, 10), (11, 12))
    # Ohmic currents of pooled ions are added to theirs by the kernel, the others to none.
    assert [ion for *_, ion in p.terms] == [0, 1, -1]
    # What a pool gains depends on the diameter: axons of all diameters share their code.
    sizes = {n: v.size for n, v in zip(p.param_names, p.params, strict=True)}
    assert (sizes["nai:per_current"], sizes["cai:per_current"]) == (10, 1)


def test_states_begin_as_the_membrane_does() -> None:
    membrane = with_pools()
    v = np.array([-70.0, -40.0])
    gains = {"cai": np.array([-3.0, -4.0]), "nai": np.array([-1.0])}
    found = dict(zip(lower(membrane, X[:2], ONE, 0.01, gains).states,
                     initial_states(membrane, X[:2], ONE, v, gains), strict=True))  # fmt: skip
    eca, ena = nernst(1e-4, 2.0, 2, 6.3), nernst(12.0, 145.0, 1, 6.3)
    ica, ina = 1e-6 * (v - eca), 1e-4 * (v - ena)
    bound = 100.0 * 1e-4 * 0.5 - 0.1 * 0.5
    expected = {
        "ca.d": 0.1, "cai": 1e-4, "cai.b": 0.5, "nai": 12.0,
        "cai:rate": [-3.0, -4.0] * ica - 0.1 * bound, "cai.b:rate": bound, "nai:rate": -ina,
        "ica:slope": 0.0, "ica:offset": -ica, "ina:slope": 0.0, "ina:offset": -ina, "v:middle": v,
    }  # fmt: skip
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-13, atol=1e-18, err_msg=name)
    elsewhere = initial_states(membrane, X[:2], ONE, v, gains, {"cai": 3e-4})
    assert np.all(elsewhere[1] == 3e-4)
    np.testing.assert_array_equal(elsewhere[3], found["nai"])


def test_without_pools_no_middle_is_kept() -> None:
    membrane = Membrane(with_pools().channels, ions=[CALCIUM, SODIUM])
    p = lower(membrane, X, ONE, 0.01)
    assert (p.states, p.middle_state, p.ions) == (("ca.d",), -1, ())


# ---- it does what the membrane says ------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", models.names())
def test_traced_gates_move_as_their_functions_say(name: str, isa: str) -> None:
    whole = getattr(models, name)()
    # Without pools every gate is a function of V and temperature.
    membrane = replace(whole, pools=())
    n = 500
    rng = np.random.default_rng(0)
    v = np.concatenate([rng.uniform(-150.0, 100.0, n - 6), [-40, -55, -65, -35, 0, 25]])
    celsius = rng.uniform(0.0, 40.0, n)
    gates = [gate for _, gate in membrane.gates if not gate.instantaneous]
    x = rng.random((len(gates), n))
    found = advanced(lower(membrane, np.zeros(n), celsius, 0.01), v, x, dt=0.01, isa=isa)
    for k, gate in enumerate(gates):
        inf, rate = gate.at(membrane.quantities(v, celsius))
        expected = x[k] - np.expm1(-0.01 * rate) * (inf - x[k])
        # What depends on V alone has been looked up, good to 1.3e-7 in each of a few factors.
        np.testing.assert_allclose(found[k], expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("isa", ISAS)
def test_traced_gates_start_with_half_a_step(isa: str) -> None:
    n = 20
    program = lower(models.hodgkin_huxley(), np.zeros(n), np.linspace(5.0, 20.0, n), 0.02)
    v, x = np.linspace(-80.5, 30.0, n), np.full((3, n), 0.4)
    from_start = advanced(program, v, x, dt=0.02, isa=isa, first_step=True)
    half = advanced(program, v, x, dt=0.01, isa=isa)
    # A few ulp: half of dt is exact.
    np.testing.assert_allclose(from_start, half, rtol=4e-15)
    assert not np.allclose(from_start, advanced(program, v, x, dt=0.02, isa=isa), rtol=1e-4)


RATES: dict[str, Callable[[Any, float, float], Any]] = {
    "boltzmann": lambda v, middle, slope: 1 / (1 + np.exp(-(v - middle) / slope)),
    "exponential": lambda v, middle, slope: np.exp((v - middle) / (10 * slope)),
    "linoid": lambda v, middle, slope: (v - middle) / slope / (1 - np.exp(-(v - middle) / slope)),
    "tanh": lambda v, middle, slope: 1.1 + np.tanh((v - middle) / slope),
    "pieces": lambda v, middle, slope: np.where(v < middle, 0.5, 0.5 + abs(v - middle) / 50),
    "bell": lambda v, middle, slope: 0.1 + np.exp(-np.square((v - middle) / (3 * slope))),
    "limited": lambda v, middle, slope: np.clip((v - middle) / slope, 0.01, 2.0),
}
shapes = st.tuples(
    st.sampled_from(sorted(RATES)), st.floats(-80, 20), st.floats(4.0, 20.0), st.floats(0.01, 10.0)
)


@settings(deadline=None, max_examples=60)
@given(
    alpha=shapes,
    beta=shapes,
    q10=st.floats(1.0, 5.0),
    dt=st.sampled_from([0.001, 0.02, 0.5]),
)
def test_any_gate_moves_as_its_functions_say(alpha: Any, beta: Any, q10: float, dt: float) -> None:
    def rate(shape: Any) -> Callable[[Any], Any]:
        name, middle, slope, scale = shape
        return lambda v: scale * RATES[name](v, middle, slope)

    gate = Gate("x", alpha=rate(alpha), beta=rate(beta), q10=q10)
    rng = np.random.default_rng(0)
    v, x = rng.uniform(-120.0, 80.0, 64), rng.random(64)
    inf, speed = gate.at({"v": v, "celsius": 13.0})
    expected = x - np.expm1(-dt * speed) * (inf - x)
    # The table has its 6e-8 of steady state and factor; only smooth rates go there.
    uniform = advanced(lower(membrane_of(gate), np.zeros(64), np.array([13.0]), dt), v, x, dt=dt)
    np.testing.assert_allclose(uniform[0], expected, rtol=0, atol=1.5e-7)
    # Everywhere 13 degrees, but as a value for each compartment: the program runs it.
    varying = lower(membrane_of(gate), np.zeros(64), np.full(64, 13.0), dt)
    if q10 != 1.0:
        assert tabulated(varying) == ()
        # What depends on V alone has been looked up, good to 1.3e-7 in each of a few factors.
        np.testing.assert_allclose(advanced(varying, v, x, dt=dt)[0], expected, rtol=0, atol=3e-7)


def test_table_and_program_give_the_same_run() -> None:
    fibre = axon.Axon.cylinder(5000.0, 476.0, Ra=35.4, cm=1.0, compartments=50)
    pulse = axon.CurrentClamp(0.0, axon.pulse(amplitude=10_000.0, start=0.5, duration=0.5))

    def run(celsius: Any) -> Any:
        simulation = axon.Simulation(
            fibre, models.hodgkin_huxley(), [pulse], celsius=celsius, dt=0.01, v_init=-65.0
        )
        return simulation.run(6.0, every=0.01, dtype="float64")

    tables = run(10.0)
    program = run(10.0 + 1e-13 * np.arange(50))
    assert np.asarray(tables.v).max() > 20.0  # a spike
    # Table values are good to 1e-7, of currents that move V by up to 10 mV a step.
    np.testing.assert_allclose(np.asarray(program.v), np.asarray(tables.v), rtol=0, atol=2e-5)


def test_gates_too_steep_for_a_table_run_in_the_program() -> None:
    def inf(v: Any) -> Any:
        return 0.5 + 0.5 * np.tanh((v + 55.0) / 0.02)

    def tau(v: Any) -> Any:
        return 0.4 + 0.2 * np.tanh(v / 50.0)

    def channels(steep: Gate) -> tuple[Channel, ...]:
        return (
            Channel("k", gbar=0.02, reversal=-80.0, gates=[steep]),
            Channel("leak", gbar=1e-3, reversal=-50.0),
        )

    membrane = Membrane(channels(Gate("x", power=2, inf=inf, tau=tau)))
    p = lower(membrane, np.zeros(1), ONE, 0.02)
    assert (tabulated(p), p.states) == ((), ("k.x",))

    fibre = axon.Axon.cylinder(2000.0, 10.0, Ra=100.0, cm=1.0, compartments=20)
    # An uneven start, below and above the step.
    v_init = -57.0 + 4.0 * np.linspace(0.0, 1.0, 20)
    run = axon.Simulation(fibre, membrane, dt=0.02, v_init=v_init).run(
        8.0, every=0.02, dtype="float64"
    )
    expected = slow.integrate(
        slow.Cable(fibre.area, fibre.cm, fibre.axial_conductance, fibre.parent),
        slow.Membrane(
            (slow.Gate(inf, tau),),
            (slow.Conductance(0.02, -80.0, (2,)), slow.Conductance(1e-3, -50.0)),
        ),
        v_init=v_init,
        dt=0.02,
        steps=400,
    )
    assert np.ptp(expected) > 3.0
    # The same scheme, but tau is looked up, good to 1e-7; the steep gate makes that larger.
    np.testing.assert_allclose(np.asarray(run.v), expected, rtol=0, atol=1e-5)


# ---- what is refused ---------------------------------------------------------------------


def flat(v: Any) -> Any:
    return 1.0 + 0 * v


@temperatures
@pytest.mark.parametrize(
    ("rates", "advice"),
    [
        ({"inf": lambda v: 1 / (1 + math.exp(-v)), "tau": flat}, "not (those of )?math"),
        ({"inf": lambda v: 1.0 if v > 0 else 0.0, "tau": flat}, r"use .*numpy\.where"),
        ({"inf": lambda v: max(v, 0.0), "tau": flat}, r"use .*numpy\.where"),
        ({"inf": flat, "tau": lambda v: math.sqrt(v * v)}, "not (those of )?math"),
        ({"alpha": lambda v: math.exp(v / 80), "beta": flat}, "not (those of )?math"),
        ({"alpha": flat, "beta": lambda v: math.exp(v / 80)}, "not (those of )?math"),
        ({"inf": lambda v: None, "tau": flat}, "gate 'x'"),
        ({"inf": lambda v: np.ones(3), "tau": flat}, r"\(3,\)"),
        ({"inf": flat, "tau": lambda v: "1 ms"}, "gate 'x'"),
        ({"inf": flat, "tau": lambda v: -flat(v)}, "rate -"),
        ({"inf": flat, "tau": lambda v: 0.0 * v}, "rate -?inf"),
        ({"inf": lambda v: np.sqrt(v), "tau": flat}, "steady state nan"),
        ({"alpha": lambda v: 0.0 * v, "beta": lambda v: 0.0 * v}, "steady state nan"),
    ],
)
def test_rates_that_cannot_be_lowered_are_refused(
    rates: dict[str, Any], advice: str, celsius: np.ndarray
) -> None:
    with pytest.raises(MembraneError, match=advice):
        lower(one_gate(**rates, q10=2.0), X, celsius, 0.01)


@pytest.mark.parametrize(
    "rates",
    [
        # By calcium they are out of the tables' reach, but not of their judgement.
        {"inf": lambda v, cai: cai / (cai + 1e-3), "tau": lambda v: 0.0 * v},
        {"inf": lambda v, cai: np.log(v) + cai, "tau": flat},
        {"inf": lambda cai: cai, "tau": lambda v, cai: -flat(v) * cai},
    ],
)
def test_rates_by_concentrations_are_judged_as_others_are(rates: dict[str, Any]) -> None:
    with np.errstate(all="ignore"), pytest.raises(MembraneError, match=r"gate 'x' at v = "):
        lower(
            with_pools(Channel("k", 1e-4, -90.0, gates=[Gate("x", **rates)])), X, ONE, 0.01,
            {"cai": -np.ones(10), "nai": -np.ones(10)},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "advice"),
    [
        (lambda v: np.log(v + 100.0), r"scheme 's' at v = -300 mV: a rate is not finite"),
        (lambda v: v + 100.0, r"scheme 's' at v = -300 mV: a rate is negative"),
    ],
)
def test_schemes_are_judged_as_gates_are(rate: Any, advice: str) -> None:
    """Their rates have to be finite and not negative wherever the potential may go."""
    scheme = Markov("s", {("c", "o"): rate, ("o", "c"): flat}, open="o")
    with pytest.raises(MembraneError, match=advice):
        lower(Membrane([Channel("k", 1e-4, -90.0, gates=[scheme])]), X, ONE, 0.01)


def test_singular_points_of_a_scheme_take_their_limit() -> None:
    scheme = Markov(
        "s",
        {("c", "o"): lambda v: (v + 40) / (1 - np.exp(-(v + 40) / 10)), ("o", "c"): flat},
        open="o",
    )
    membrane = Membrane([Channel("k", 1e-4, -90.0, gates=[scheme])])
    closed, opened = initial_states(membrane, X, ONE, np.full(10, -40.0))
    np.testing.assert_allclose(opened / closed, 10.0 / flat(0.0), rtol=1e-8)
    lower(membrane, X, ONE, 0.01)


def test_functions_that_only_numpy_has_do_as_long_as_a_table_holds_them() -> None:
    membrane = one_gate(inf=lambda v: 0.5 + np.arctan(v / 30) / np.pi, tau=flat, q10=2.0)
    assert tabulated(lower(membrane, X, ONE, 0.01)) == (0,)
    with pytest.raises(MembraneError, match=r"gate 'x': numpy\.arctan is not available"):
        lower(membrane, X, MANY, 0.01)


@pytest.mark.parametrize(
    ("gbar", "advice"),
    [
        (np.ones(9), r"shape \(9,\).*10 compartments"),
        (np.ones((2, 5)), r"shape \(2, 5\)"),
        (lambda x: x[:3], r"shape \(3,\)"),
        (lambda x: np.where(x > 500, np.nan, 1.0), "not finite"),
        (lambda x: x - 100.0, "negative"),
        (lambda x: "much", "could not be computed"),
        ([1.0] * 9 + [np.inf], "not finite"),
    ],
)
def test_profiles_that_do_not_fit_the_axon_are_refused(gbar: Any, advice: str) -> None:
    with pytest.raises(MembraneError, match=f"'leak'.*{advice}"):
        lower(models.passive(g=gbar), X, ONE, 0.01)


def test_membranes_of_the_same_functions_share_code_and_tables() -> None:
    """Whatever else differs: the most of the work of a population is done once."""
    membrane = with_pools()
    gains = {"cai": -np.ones(10), "nai": -X - 1.0}
    p = lower(membrane, X, ONE, 0.01, gains)
    others = [
        lower(membrane, X[:3], ONE, 0.01, {name: gain[:3] for name, gain in gains.items()}),
        lower(membrane.scaled(na=0.5), X, ONE, 0.01, gains),
        lower(membrane.scaled(na=lambda x: x).scaled(leak=np.ones(10)), X, ONE, 0.01, gains),
    ]
    for other in others:
        assert other.tables is p.tables and other.code is p.code
    assert others[0].params[0].size == 1
    gbar = p.param_names.index("na:gbar")
    np.testing.assert_array_equal(others[1].params[gbar], 0.5 * p.params[gbar])
    np.testing.assert_array_equal(others[2].params[gbar], X * p.params[gbar])
    assert lower(with_pools(), X, ONE, 0.01, gains).tables is not p.tables  # functions of its own


@pytest.mark.parametrize("what", ["dt", "celsius", "along", "gate", "q10", "open", "share", "ion"])
def test_what_code_depends_on_is_not_shared(what: str) -> None:
    """What is remembered is what would be found anew: the same membrane, made twice."""

    def membrane(changed: bool) -> Membrane:
        gate = Gate("m", inf=lambda v: 1 / (1 + np.exp(-v / 9)), tau=lambda v: 2.0 + 0 * v)
        other = Gate("m", inf=lambda v: 1 / (1 + np.exp(-v / 8)), tau=lambda v: 2.0 + 0 * v)
        first, *rest = (
            Channel("k", 1e-3, -90.0, [gate]),
            Channel("h", 1e-4, ion={"na": 0.4, "k": 0.6}),
            Channel("q", 1e-4, -70.0, [Gate("n", inf=lambda v, celsius: v / celsius / 1e5)]),
        )
        if changed:
            first = {
                "gate": replace(first, gates=[other]),
                "open": replace(first, open=lambda m: m * m),
            }.get(what, first)
            if what == "share":
                rest[0] = replace(rest[0], ion={"na": 0.5, "k": 0.5})
            if what == "q10":
                rest[1] = replace(rest[1], gates=[replace(rest[1].gates[0], q10=2.0)])
        nai = 20.0 if changed and what == "ion" else 12.0
        return Membrane([first, *rest], ions=[Ion("na", 1, nai, 145.0), Ion("k", 1, 140.0, 5.0)])

    def lowered(base: Membrane, changed: bool) -> Program:
        own = membrane(changed)
        chained = replace(base, channels=own.channels, ions=own.ions) if changed else base
        celsius = {"celsius": np.array([21.0]), "along": np.linspace(6.3, 21.0, 10)}
        dt = 0.02 if changed and what == "dt" else 0.01
        return lower(chained, X, celsius.get(what, ONE) if changed else ONE, dt)

    base = membrane(False)
    lowered(base, False)
    remembered, anew = lowered(base, True), lowered(membrane(False), True)
    assert remembered.code == anew.code
    np.testing.assert_array_equal(remembered.consts, anew.consts)
    for a, b in zip(remembered.tables, anew.tables, strict=True):
        np.testing.assert_array_equal(a.cubics, b.cubics)
    if what != "along":
        assert remembered.tables is not lowered(base, False).tables
