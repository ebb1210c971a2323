"""Gates, channels and pumps: what they compute, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pint
import pytest

from axon.channels import Channel, Gate, Markov, Pump
from axon.errors import MembraneError
from axon.ions import Ion, ghk
from axon.membranes import Membrane

V = np.linspace(-120.0, 60.0, 181)
X = np.linspace(50.0, 950.0, 10)
COLD = {"v": V, "celsius": 6.3}


def flat(v: Any) -> Any:
    return 1.0 + 0 * v


def leak(name: str = "leak", **changes: Any) -> Channel:
    return Channel(**({"name": name, "gbar": 1e-4, "reversal": -65.0} | changes))


# ---- gates -------------------------------------------------------------------------------


def test_both_ways_to_write_a_gate_are_one() -> None:
    def alpha(v: Any) -> Any:
        return 0.07 * np.exp(-(v + 65) / 20)

    def beta(v: Any) -> Any:
        return 1 / (1 + np.exp(-(v + 35) / 10))

    by_rates = Gate("h", alpha=alpha, beta=beta, q10=3.0)
    by_inf = Gate(
        "h",
        inf=lambda v: alpha(v) / (alpha(v) + beta(v)),
        tau=lambda v: 1 / (alpha(v) + beta(v)),
        q10=3.0,
    )
    np.testing.assert_allclose(
        by_rates.at(COLD | {"celsius": 20.0}), by_inf.at(COLD | {"celsius": 20.0}), rtol=1e-15
    )


def test_q10_multiplies_rates_and_leaves_steady_states() -> None:
    gate = Gate("x", inf=lambda v: 1 / (1 + np.exp(-v / 9)), tau=flat, q10=3.0, celsius=6.3)
    inf, rate = gate.at(COLD | {"celsius": 26.3})
    np.testing.assert_allclose(rate, 9.0, rtol=1e-14)
    np.testing.assert_array_equal(inf, gate.at(COLD)[0])
    np.testing.assert_array_equal(gate.at(COLD)[1], 1.0)


def test_temperature_goes_to_the_functions_that_name_it() -> None:
    gate = Gate("x", inf=lambda v, celsius: celsius / 100 + 0 * v, tau=flat)
    assert np.all(gate.at(COLD | {"celsius": 25.0})[0] == 0.25)
    keyword_only = Gate("x", inf=flat, tau=lambda v, *, celsius: celsius + 0 * v)
    assert np.all(keyword_only.at(COLD | {"celsius": 20.0})[1] == 1 / 20)
    # What has a default is the function's own, whatever its name.
    own = Gate("x", inf=flat, tau=lambda v, celsius=30.0: celsius + 0 * v)
    assert np.all(own.at(COLD | {"celsius": 20.0})[1] == 1 / 30)


def test_functions_may_be_ufuncs_or_return_one_number() -> None:
    gate = Gate("x", alpha=np.exp, beta=lambda v: 2.0)
    inf, rate = gate.at({"v": np.array([0.0, 1.0]), "celsius": 6.3})
    np.testing.assert_allclose(rate, [3.0, math.e + 2.0], rtol=1e-15)
    np.testing.assert_allclose(inf, [1 / 3, math.e / (math.e + 2.0)], rtol=1e-15)
    constant = Gate("x", inf=lambda v: 0.5, tau=lambda v: 2.0)
    assert np.array_equal(constant.at(COLD), [np.full(V.shape, 0.5)] * 2)


@pytest.mark.parametrize(
    ("inf", "said"),
    [
        (lambda v: np.sqrt(v + 0j), "a function of v returned complex numbers"),
        (lambda v: 0.5 + 0j, "a function of v returned complex numbers"),
        (lambda v: [0.5j] * v.size, "a function of v returned complex numbers"),
        (lambda v: np.zeros(v.size + 1), "its rates are no number.*could not broadcast"),
    ],
)
def test_steady_states_that_are_no_numbers_are_refused(inf: Any, said: str) -> None:
    gate = Gate("m", inf=inf, tau=lambda v: 1.0)
    for asked in (gate.at, gate.steady):
        with pytest.raises(MembraneError, match=f"gate 'm': {said}"):
            asked(COLD)


@pytest.mark.parametrize("function", [lambda v: 1e-3 * (v + 0j) ** 0.5, lambda v: 1j])
def test_currents_and_openings_that_are_complex_are_refused(function: Any) -> None:
    pump = Pump("p", function, {"na": 1})
    gate = Gate("m", inf=lambda v: 0.5, tau=lambda v: 1.0)
    channel = leak("x", gates=[gate], open=lambda m: function(m))
    ions = [Ion("na", valence=1, inside=10.0, outside=140.0)]
    for membrane in (Membrane([leak()], pumps=[pump], ions=ions), Membrane([leak(), channel])):
        with pytest.raises(MembraneError, match=r"a function of . returned complex numbers"):
            membrane.currents(-60.0)


def test_singular_points_beside_another_take_their_limit() -> None:
    def linoid(middle: float) -> Any:
        return lambda v: (v - middle) / (1 - np.exp(-(v - middle)))

    gate = Gate("m", alpha=linoid(0.0), beta=linoid(0.01))
    inf, rate = gate.at({"v": np.array([0.0, 0.01]), "celsius": 6.3})
    beside = 0.01 / np.expm1(0.01)  # of one where the other is singular, and 0.01 more
    np.testing.assert_allclose(rate, [1.0 + beside, 1.0 + beside + 0.01], rtol=1e-8)
    np.testing.assert_allclose(inf, [1.0, beside + 0.01] / rate, rtol=1e-8)


def test_singular_points_take_their_limit() -> None:
    gate = Gate(
        "m",
        alpha=lambda v: 0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)),
        beta=lambda v: 4 * np.exp(-(v + 65) / 18),
    )
    inf, rate = gate.at({"v": np.array([-40.0, -50.0]), "celsius": 6.3})
    beta = 4 * math.exp(-25 / 18)
    # Two means of both sides, 0.01 and 0.02 mV away.
    assert rate[0] == pytest.approx(1.0 + beta, rel=1e-12)
    assert inf[0] == pytest.approx(1.0 / (1.0 + beta), rel=1e-12)
    assert np.all(np.isfinite([inf, rate]))


def test_steady_states_need_no_time_constant() -> None:
    asked = []

    def tau(v: Any) -> Any:
        asked.append(v)
        return 1.0 + 0.0 * v

    def inf(v: Any) -> Any:
        return (v + 40) / (1 - np.exp(-(v + 40) / 10)) / 20

    there = {"v": np.array([-40.0, -50.0]), "celsius": 6.3}
    gate = Gate("m", inf=inf, tau=tau)
    found = gate.steady(there)
    assert not asked
    np.testing.assert_array_equal(found, gate.at(there)[0])  # with their limits
    assert found[0] == pytest.approx(0.5, rel=1e-12)
    for other in (Gate("m", inf=inf), Gate("m", alpha=inf, beta=inf)):
        np.testing.assert_array_equal(other.steady(there), other.at(there)[0])
    with pytest.raises(MembraneError, match=r"gate 'm' at v = -40 mV: steady state nan"):
        Gate("m", inf=lambda v: np.where(v > -45, np.nan, 0.5), tau=tau).steady(there)


def test_a_function_cannot_change_the_potentials_it_is_given() -> None:
    def careless(v: Any) -> Any:
        v += 40.0
        return v

    v = V.copy()
    with pytest.raises(MembraneError, match=r"gate 'x'.*read-only"):
        Gate("x", alpha=careless, beta=flat).at({"v": v, "celsius": 6.3})
    with pytest.raises(MembraneError, match=r"gate 'x'.*read-only"):
        Gate("x", inf=careless, tau=flat).steady({"v": v, "celsius": 6.3})
    with pytest.raises(MembraneError, match=r"scheme 's'.*read-only"):
        scheme = Markov("s", {("c", "o"): careless, ("o", "c"): flat}, open="o")
        scheme.at({"v": v, "celsius": 6.3})
    np.testing.assert_array_equal(v, V)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({}, "no rates; give alpha and beta, or inf and tau"),
        ({"tau": flat}, r"\['tau'\]; give alpha and beta, or inf and tau, or inf alone"),
        ({"alpha": flat}, r"\['alpha'\]; give alpha and beta"),
        ({"alpha": flat, "tau": flat}, r"\['alpha', 'tau'\]; give"),
        ({"alpha": flat, "beta": flat, "inf": flat, "tau": flat}, "give alpha and beta"),
        ({"inf": 0.5, "tau": flat}, "gate 'x': inf=0.5 is no function"),
        ({"inf": flat, "tau": 2.0}, "gate 'x': tau=2.0 is no function"),
        ({"name": "", "inf": flat, "tau": flat}, "gate name ''"),
        ({"name": "m 1", "inf": flat, "tau": flat}, "gate name 'm 1'"),
        ({"name": 3, "inf": flat, "tau": flat}, "gate name 3"),
        *[
            ({"power": power, "inf": flat, "tau": flat}, "power=.*from 1 to 8")
            for power in (0, 9, -1, 1.5, 3.0, True, "3", None)
        ],
        *[
            ({"q10": q10, "inf": flat, "tau": flat}, "gate 'x': q10 = ")
            for q10 in (0.0, -3.0, np.nan, np.inf, "warm")
        ],
        ({"celsius": np.nan, "inf": flat, "tau": flat}, "gate 'x': celsius = nan"),
        ({"celsius": "6 mV", "inf": flat, "tau": flat}, "gate 'x': celsius"),
        ({"tau_min": -0.1, "inf": flat, "tau": flat}, "gate 'x': tau_min = -0.1"),
        ({"tau_min": "1 mV", "inf": flat, "tau": flat}, "gate 'x': tau_min = '1 mV'"),
    ],
)
def test_gates_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Gate(**({"name": "x"} | arguments))


def test_temperatures_may_have_units() -> None:
    assert Gate("x", inf=flat, tau=flat, celsius="310.15 K").celsius == pytest.approx(37.0)


@pytest.mark.parametrize(
    ("rates", "unknown"),
    [
        ({"inf": flat, "tau": lambda u: 1.0}, "u"),
        ({"inf": flat, "tau": lambda v, cai: 1.0}, "cai"),
        ({"alpha": lambda ena: ena, "beta": flat}, "ena"),
        ({"inf": lambda v, m: m}, "m"),  # of other gates, too
    ],
)
def test_quantities_that_there_are_not_are_refused(rates: dict[str, Any], unknown: str) -> None:
    """By the membrane, which knows them."""
    gate = Gate("x", **rates)
    with pytest.raises(
        MembraneError, match=rf"gate 'x': \w+ asks for '{unknown}'; .*there are v, celsius$"
    ):
        Membrane([leak(gates=[gate])])


def test_a_function_need_not_ask_for_the_potential() -> None:
    gate = Gate("x", inf=lambda: 0.25, tau=lambda: 2.0)
    assert np.array_equal(gate.at(COLD), [np.full(V.shape, 0.25), np.full(V.shape, 0.5)])


def test_a_gate_without_time_constant_is_always_at_its_steady_state() -> None:
    gate = Gate("x", inf=lambda v: 1 / (1 + np.exp(-v / 9)))
    assert gate.instantaneous
    inf, rate = gate.at(COLD)
    np.testing.assert_allclose(inf, 1 / (1 + np.exp(-V / 9)), rtol=1e-15)
    assert np.all(np.isinf(rate))
    assert not Gate("x", inf=flat, tau=flat).instantaneous


def test_a_gate_may_depend_on_concentrations() -> None:
    gate = Gate("x", inf=lambda cai: cai / (cai + 1e-3), tau=lambda v, cai: 1 + 1e3 * cai + 0 * v)
    inf, rate = gate.at(COLD | {"cai": np.full(V.shape, 3e-3)})
    np.testing.assert_allclose(inf, 0.75, rtol=1e-15)
    np.testing.assert_allclose(rate, 0.25, rtol=1e-15)
    np.testing.assert_array_equal(gate.at(COLD | {"cai": 3e-3}), [inf, rate])
    assert gate.depends_on == {"v", "cai"}
    assert Gate("x", inf=flat, tau=flat, q10=2.0).depends_on == {"v", "celsius"}


@pytest.mark.parametrize("celsius", [6.3, 36.3])
def test_a_time_constant_has_its_lower_bound_at_every_temperature(celsius: float) -> None:
    def tau(v: Any) -> Any:
        return 0.3 + 0.02 * abs(v)

    gate = Gate("x", inf=flat, tau=tau, q10=3.0, tau_min="0.5 ms")
    assert gate.tau_min == 0.5
    faster = 3.0 ** ((celsius - 6.3) / 10)
    expected = np.maximum(tau(V) / faster, 0.5)
    np.testing.assert_allclose(1 / gate.at(COLD | {"celsius": celsius})[1], expected, rtol=1e-14)


# ---- channels and their parameters -------------------------------------------------------


def test_quantities_are_converted() -> None:
    ureg = pint.UnitRegistry()
    channel = leak(gbar="0.1 mS/cm^2", reversal=ureg.Quantity(-0.07, "V"))
    assert channel.gbar == pytest.approx(1e-4, rel=1e-15)
    assert channel.reversal == pytest.approx(-70.0, rel=1e-15)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"name": "k-slow"}, "channel name 'k-slow'"),
        ({"ion": "K+"}, r"ion name 'K\+'"),
        ({"ion": {}, "reversal": None}, "channel 'leak': ion names none"),
        ({"ion": {"K+": 1.0}, "reversal": None}, r"ion name 'K\+'"),
        ({"ion": {"na": 1.0}}, "channel 'leak': several ions have their own reversal"),
        ({"ion": {"na": "half"}, "reversal": None}, "channel 'leak': share of na = 'half'"),
        ({"ion": {"na": np.nan}, "reversal": None}, "channel 'leak': share of na = nan"),
        ({"open": 0.5}, "channel 'leak': open=0.5 is no function"),
        ({"q10": 0.0}, "channel 'leak': q10 = 0.0"),
        ({"celsius": np.inf}, "channel 'leak': celsius = inf"),
        ({"gbar": None}, "channel 'leak': gbar is missing"),
        ({"reversal": None}, "channel 'leak': reversal is missing"),
        ({"gbar": -1e-4}, "channel 'leak': gbar = -0.0001"),
        ({"gbar": np.nan}, "channel 'leak': gbar = nan"),
        ({"gbar": True}, "channel 'leak': gbar = True"),
        ({"gbar": "1 mV"}, "channel 'leak': gbar"),
        ({"gbar": "0.1"}, "channel 'leak': gbar"),
        ({"reversal": "-65"}, "channel 'leak': reversal"),
        ({"reversal": np.inf}, "channel 'leak': reversal = inf"),
        ({"gates": None}, "channel 'leak': gates=None"),
        ({"gates": Gate("m", inf=flat, tau=flat)}, "channel 'leak': gates=Gate"),
        ({"gates": ["m"]}, r"channel 'leak': gates=\['m'\]"),
        ({"gates": [Gate("m", inf=flat, tau=flat)] * 2}, "names a gate twice: m, m"),
    ],
)
def test_channels_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        leak(**arguments)


def test_conductances_grow_by_their_q10() -> None:
    channel = leak(gbar=2e-4, q10=1.5, celsius=16.3)
    np.testing.assert_allclose(channel.conductance(X, 26.3), [3e-4], rtol=1e-14)
    np.testing.assert_array_equal(leak(gbar=2e-4).conductance(X, 26.3), [2e-4])
    along = channel.conductance(X, np.array([16.3, 26.3] * 5))
    np.testing.assert_allclose(along, [2e-4, 3e-4] * 5, rtol=1e-14)
    varying = leak(gbar=lambda x: x * 1e-6, q10=1.5, celsius=16.3)
    np.testing.assert_allclose(varying.conductance(X, 26.3), 1.5e-6 * X, rtol=1e-14)


GATES = [Gate("m", 3, inf=flat, tau=flat), Gate("h", inf=flat, tau=flat)]
STATE = {"m": 0.5, "h": 0.25}


def test_a_channel_is_open_by_the_product_of_its_gates() -> None:
    assert leak().opening({}, COLD) == 1.0
    assert leak(gates=GATES).opening(STATE, COLD) == 0.5**3 * 0.25
    scheme = Markov("s", {("c", "o"): flat, ("o", "c"): flat}, open="o", power=2)
    assert leak(gates=[scheme]).opening({"s": 0.5}, COLD) == 0.25


def test_or_as_a_function_of_them_says() -> None:
    mixed = leak(gates=GATES, open=lambda m, h: 0.55 * m + 0.45 * h**2)
    assert mixed.opening(STATE, COLD) == 0.55 * 0.5 + 0.45 * 0.0625
    with_quantities = leak(gates=GATES, open=lambda h, v, celsius: h * (v < 0) + celsius)
    np.testing.assert_array_equal(with_quantities.opening(STATE, COLD), 0.25 * (V < 0) + 6.3)
    with pytest.raises(MembraneError, match=r"channel 'leak': open asks for 'n'.*celsius, m, h$"):
        Membrane([leak(gates=GATES, open=lambda m, n: m)])
    by_math = leak(gates=GATES, open=lambda m, v: m * math.exp(v))
    with pytest.raises(MembraneError, match=r"channel 'leak': open could not.*numpy\.exp"):
        by_math.opening(STATE, COLD)


QUANTITIES = COLD | {"nai": 10.0, "cai": 1e-4, "cao": 2.0, "ena": 60.0, "ek": -80.0}


def test_current_of_an_ion_or_of_none() -> None:
    g = np.full(V.shape, 1e-3)
    np.testing.assert_array_equal(leak().currents(g, -65.0, COLD)[None], g * (V + 65.0))
    sodium = leak(ion="na", reversal=None)
    assert sodium.carriers == ("na",)
    np.testing.assert_array_equal(sodium.currents(g, None, QUANTITIES)["na"], g * (V - 60.0))
    shifted = leak(ion="na", reversal=50.0)
    np.testing.assert_array_equal(shifted.currents(g, 50.0, QUANTITIES)["na"], g * (V - 50.0))


def test_current_shared_by_ions() -> None:
    channel = leak(ion={"na": 0.4, "k": 0.6}, reversal=None)
    assert channel.carriers == ("na", "k")
    assert not channel.ohmic
    found = channel.currents(1e-3, None, QUANTITIES)
    np.testing.assert_array_equal(found["na"], 0.4 * 1e-3 * (V - 60.0))
    np.testing.assert_array_equal(found["k"], 0.6 * 1e-3 * (V + 80.0))


def test_current_of_any_formula() -> None:
    def calcium(g: Any, v: Any, cai: Any, cao: Any, celsius: Any) -> Any:
        return g * ghk(v, cai, cao, 2, celsius)

    channel = leak(ion={"ca": calcium, "na": lambda g, v: 0.0 * g * v}, reversal=None)
    found = channel.currents(1e-5, None, QUANTITIES)
    np.testing.assert_array_equal(found["ca"], 1e-5 * ghk(V, 1e-4, 2.0, 2, 6.3))
    assert np.all(found["na"] == 0.0)
    wrong = leak(ion={"ca": lambda v, p: v}, reversal=None)
    with pytest.raises(MembraneError, match=r"channel 'leak': ion 'ca' asks for 'p'.* celsius, g$"):
        Membrane([wrong])


# ---- pumps -------------------------------------------------------------------------------


def test_a_pump_carries_ions_in_fixed_numbers() -> None:
    pump = Pump("nak", lambda nai: 1e-3 * nai / (nai + 10.0), {"na": 3, "k": -2}, density=2.0)
    assert pump.carriers == ("na", "k")
    found = pump.currents(pump.factor(X), QUANTITIES)
    np.testing.assert_allclose(found["na"], [3e-3], rtol=1e-15)
    np.testing.assert_allclose(found["k"], [-2e-3], rtol=1e-15)


def test_a_pump_may_vary_along_the_axon() -> None:
    pump = Pump("nak", lambda: 1e-3, {"na": 1}, density=lambda x: x / 100.0)
    np.testing.assert_array_equal(pump.factor(X), X / 100.0)
    np.testing.assert_allclose(pump.currents(pump.factor(X), COLD)["na"], X * 1e-5, rtol=1e-15)
    assert Pump("nak", lambda: 1e-3, {"na": 1}).factor(X) == [1.0]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"name": "Na/K"}, "pump name 'Na/K'"),
        ({"current": 1e-3}, "pump 'p': current=0.001 is no function"),
        ({"carries": {}}, r"pump 'p': carries=\{\}; give .* for 3 sodium out"),
        ({"carries": None}, "pump 'p': carries=None"),
        ({"carries": "na"}, "pump 'p': carries='na'"),
        ({"carries": {"na+": 1}}, r"ion name 'na\+'"),
        ({"carries": {None: 1}}, "ion name None"),
        ({"carries": {"na": "three"}}, "pump 'p': carries na = 'three'"),
        ({"carries": {"na": np.inf}}, "pump 'p': carries na = inf"),
    ],
)
def test_pumps_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Pump(**({"name": "p", "current": lambda: 1e-3, "carries": {"na": 1}} | arguments))


@pytest.mark.parametrize(
    ("density", "advice"),
    [
        (np.ones(9), r"pump 'p': density has shape \(9,\)"),
        (lambda x: np.nan * x, "pump 'p': density is not finite"),
        ("much", "pump 'p': density could not be computed"),
    ],
)
def test_densities_that_do_not_fit_are_refused(density: Any, advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Pump("p", lambda: 1e-3, {"na": 1}, density=density).factor(X)


def test_a_pump_that_only_math_could_compute_is_refused() -> None:
    pump = Pump("p", lambda v: math.exp(v), {"na": 1})
    with pytest.raises(MembraneError, match=r"pump 'p': its current could not.*numpy\.exp"):
        pump.currents(1.0, COLD)
    with pytest.raises(MembraneError, match=r"pump 'p': current asks for 'nai'.*v, celsius$"):
        Membrane([leak()], pumps=[Pump("p", lambda nai: nai, {"na": 1})])
