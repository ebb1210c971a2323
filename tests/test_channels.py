"""Gates, channels and membranes: what they compute, and what they refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import models
from axon.channels import Channel, Gate, Membrane, resolve
from axon.errors import AxonError, MembraneError, NoRestError
from axon.program import lower

V = np.linspace(-120.0, 60.0, 181)
X = np.linspace(50.0, 950.0, 10)


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
    np.testing.assert_allclose(by_rates.at(V, 20.0), by_inf.at(V, 20.0), rtol=1e-15)


def test_q10_multiplies_rates_and_leaves_steady_states() -> None:
    gate = Gate("x", inf=lambda v: 1 / (1 + np.exp(-v / 9)), tau=flat, q10=3.0, celsius=6.3)
    inf, rate = gate.at(V, 26.3)
    np.testing.assert_allclose(rate, 9.0, rtol=1e-14)
    np.testing.assert_array_equal(inf, gate.at(V, 6.3)[0])
    np.testing.assert_array_equal(gate.at(V, 6.3)[1], 1.0)


def test_temperature_goes_to_the_functions_that_name_it() -> None:
    gate = Gate("x", inf=lambda v, celsius: celsius / 100 + 0 * v, tau=flat)
    assert np.all(gate.at(V, 25.0)[0] == 0.25)
    keyword_only = Gate("x", inf=flat, tau=lambda v, *, celsius=30.0: celsius + 0 * v)
    assert np.all(keyword_only.at(V, 20.0)[1] == 1 / 20)


def test_functions_may_be_ufuncs_or_return_one_number() -> None:
    gate = Gate("x", alpha=np.exp, beta=lambda v: 2.0)
    inf, rate = gate.at(np.array([0.0, 1.0]), 6.3)
    np.testing.assert_allclose(rate, [3.0, math.e + 2.0], rtol=1e-15)
    np.testing.assert_allclose(inf, [1 / 3, math.e / (math.e + 2.0)], rtol=1e-15)
    constant = Gate("x", inf=lambda v: 0.5, tau=lambda v: 2.0)
    assert np.array_equal(constant.at(V, 6.3), [np.full(V.shape, 0.5)] * 2)


def test_singular_points_take_their_limit() -> None:
    gate = Gate(
        "m",
        alpha=lambda v: 0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)),
        beta=lambda v: 4 * np.exp(-(v + 65) / 18),
    )
    inf, rate = gate.at(np.array([-40.0, -50.0]), 6.3)
    beta = 4 * math.exp(-25 / 18)
    # The mean of both sides, 1e-4 mV away, is off by the curvature: below 1e-9.
    assert rate[0] == pytest.approx(1.0 + beta, rel=1e-9)
    assert inf[0] == pytest.approx(1.0 / (1.0 + beta), rel=1e-9)
    assert np.all(np.isfinite([inf, rate]))


def test_a_function_cannot_change_the_potentials_it_is_given() -> None:
    def careless(v: Any) -> Any:
        v += 40.0
        return v

    v = V.copy()
    with pytest.raises(MembraneError, match=r"gate 'x'.*read-only"):
        Gate("x", alpha=careless, beta=flat).at(v, 6.3)
    np.testing.assert_array_equal(v, V)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({}, "no rates; give alpha and beta, or inf and tau"),
        ({"inf": flat}, r"\['inf'\]; give alpha and beta"),
        ({"alpha": flat, "tau": flat}, r"\['alpha', 'tau'\]; give"),
        ({"alpha": flat, "beta": flat, "inf": flat, "tau": flat}, "give alpha and beta"),
        ({"inf": 0.5, "tau": flat}, "inf=0.5 is no function of v"),
        ({"inf": flat, "tau": lambda: 1.0}, r"tau takes \(\)"),
        ({"inf": flat, "tau": lambda v, cai: 1.0}, r"tau takes \(v, cai\)"),
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
    ],
)
def test_gates_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Gate(**({"name": "x"} | arguments))


def test_temperatures_may_have_units() -> None:
    assert Gate("x", inf=flat, tau=flat, celsius="310.15 K").celsius == pytest.approx(37.0)


# ---- channels and their parameters -------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, [2.0]),
        (np.float32(0.5), [0.5]),
        ([3.0] * 10, [3.0]),
        (list(range(10)), np.arange(10.0)),
        (np.arange(10), np.arange(10.0)),
        (lambda x: 7, [7.0]),
        (lambda x: x / 100.0, X / 100.0),
        (lambda x: np.where(x > 0, 4.0, 5.0), [4.0]),
    ],
)
def test_profiles_become_arrays(value: Any, expected: Any) -> None:
    found = resolve(value, X, "gbar")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ([1.0] * 9, r"gbar has shape \(9,\).*each of the 10 compartments"),
        (np.ones((10, 1)), r"gbar has shape \(10, 1\)"),
        (lambda x: x[:5], r"gbar has shape \(5,\)"),
        ([1.0] * 9 + [np.nan], "gbar is not finite: nan"),
        (lambda x: -np.inf, "gbar is not finite: -inf"),
        (lambda x: "much", "gbar could not be computed along the axon"),
        (lambda x: math.sqrt(x), "gbar could not be computed along the axon"),
        (["a"] * 10, "gbar could not be computed along the axon"),
        ({}, "gbar could not be computed along the axon"),
    ],
)
def test_profiles_that_do_not_fit_are_refused(value: Any, advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        resolve(value, X, "gbar")


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


# ---- membranes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "advice"),
    [
        ([], "give a sequence of one or more Channel"),
        (None, "channels=None"),
        (leak(), "channels=Channel"),
        ([leak(), "k"], "channels="),
        ([leak(), leak()], "two channels have one name: leak, leak"),
    ],
)
def test_membranes_that_cannot_be_are_refused(channels: Any, advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Membrane(channels)
    with pytest.raises(MembraneError, match="celsius = nan"):
        Membrane([leak()], celsius=np.nan)


@pytest.mark.parametrize("name", models.names())
def test_models_say_where_they_come_from_in_the_types_of_json(name: str) -> None:
    membrane = getattr(models, name)()
    said = json.loads(json.dumps(membrane.to_dict()))
    assert said["name"] == name
    assert [c["name"] for c in said["channels"]] == [c.name for c in membrane.channels]
    by_function = membrane.scaled(leak=lambda x: 1 + x / 1000)
    assert "function" in json.dumps(by_function.to_dict())


def test_scaling_multiplies_conductances_by_name() -> None:
    squid = models.hodgkin_huxley()
    half = squid.scaled(na=0.5, k=2)
    assert [float(c.conductance(X)[0]) for c in half.channels] == [0.06, 0.072, 0.0003]
    assert [float(c.conductance(X)[0]) for c in squid.channels] == [0.12, 0.036, 0.0003]
    again = half.scaled(na=np.linspace(0, 1, 10)).scaled(na=lambda x: x / 100.0)
    np.testing.assert_allclose(
        again.channels[0].conductance(X), 0.06 * np.linspace(0, 1, 10) * X / 100, rtol=1e-15
    )
    np.testing.assert_array_equal(again.channels[1].conductance(X), [0.072])
    assert squid.scaled() == squid


@pytest.mark.parametrize(
    ("factors", "advice"),
    [
        ({"ca": 1.0}, "no such channel; there are na, k, leak"),
        ({"na": -0.5}, r"scaled\(na=-0.5\): give a factor of zero or more"),
        ({"na": np.nan}, r"scaled\(na=nan\)"),
        ({"na": np.inf}, r"scaled\(na=inf\)"),
        ({"na": "half"}, r"scaled\(na='half'\)"),
        ({"na": True}, r"scaled\(na=True\)"),
    ],
)
def test_factors_that_cannot_be_are_refused(factors: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        models.hodgkin_huxley().scaled(**factors)


@pytest.mark.parametrize(
    ("factor", "advice"),
    [
        (np.linspace(-1, 1, 10), "'na': gbar = -0.12 S/cm² is negative"),
        (lambda x: np.full(10, np.nan), "scale of channel 'na' is not finite"),
        (np.ones(9), r"scale of channel 'na' has shape \(9,\)"),
    ],
)
def test_factors_along_the_axon_are_checked_on_it(factor: Any, advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        lower(models.hodgkin_huxley().scaled(na=factor), X, np.array([6.3]), 0.01)


def test_scaled_membranes_run_as_if_written_so() -> None:
    fibre = axon.Axon.cylinder(1000.0, 10.0, compartments=10)

    def v(membrane: Membrane) -> np.ndarray:
        run = axon.Simulation(fibre, membrane, v_init=-60.0, dt=0.01).run(2.0, dtype="float64")
        return np.asarray(run.v)

    profile = np.linspace(0.5, 1.5, 10)
    written = v(models.hodgkin_huxley(g_k=0.036 * profile))
    np.testing.assert_array_equal(v(models.hodgkin_huxley().scaled(k=profile)), written)
    by_function = v(models.hodgkin_huxley().scaled(k=lambda x: 0.5 + (x - 50) / 900))
    # The same numbers but for the last digit.
    np.testing.assert_allclose(by_function, written, rtol=0, atol=1e-11)
    assert np.ptp(written[-1]) > 0.01


# ---- rest --------------------------------------------------------------------------------


def test_squid_rests_where_its_currents_cancel() -> None:
    squid = models.hodgkin_huxley()
    rest = squid.rest()
    # The paper chose its leak, three decimals of it, so that rest is at -65 mV.
    assert rest.v == pytest.approx(-64.974, abs=5e-4)
    assert models.hodgkin_huxley(e_leak=-54.387).rest().v == pytest.approx(-65.0, abs=5e-3)
    assert rest.gates.keys() == {("na", "m"), ("na", "h"), ("k", "n")}
    m, h, n = rest.gates.values()
    current = (
        0.12 * m**3 * h * (rest.v - 50) + 0.036 * n**4 * (rest.v + 77) + 0.0003 * (rest.v + 54.3)
    )
    # Bisected to the last digit of v: what is left is that times the conductance.
    assert abs(current) < 1e-15
    # Rates alone feel the temperature.
    assert squid.rest(30.0).v == pytest.approx(rest.v, abs=1e-12)


@pytest.mark.parametrize("celsius", [6.3, 18.5])
@pytest.mark.parametrize("name", models.names())
def test_rest_is_a_fixed_point_of_the_engine(name: str, celsius: float) -> None:
    membrane = getattr(models, name)()
    fibre = axon.Axon.tapered(2000.0, 20.0, 5.0, compartments=20)
    run = axon.Simulation(fibre, membrane, celsius=celsius, dt=0.01).run(20.0, dtype="float64")
    # The table's steady states are good to 1e-8.
    np.testing.assert_allclose(np.asarray(run.v), membrane.rest(celsius).v, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(g=st.floats(1e-6, 1.0), e=st.floats(-149.0, 99.0))
def test_a_leak_rests_at_its_reversal(g: float, e: float) -> None:
    assert models.passive(g=g, e=e).rest().v == pytest.approx(e, abs=1e-12)


def test_of_several_resting_potentials_the_lowest_stable_one_is_taken() -> None:
    # A steady inward current that opens with v: zero current at about -80, -61 and 18 mV,
    # the middle one unstable.
    inward = Gate("m", inf=lambda v: 1 / (1 + np.exp(-(v + 45.0) / 6.0)), tau=flat)
    bistable = Membrane(
        [leak(gbar=1e-3, reversal=-80.0), Channel("p", gbar=2e-3, reversal=60.0, gates=[inward])]
    )
    roots = np.flatnonzero(np.diff(np.sign(bistable.steady_current(V, 6.3))))
    assert roots.size == 3
    rest = bistable.rest()
    assert -80.0 < rest.v < V[roots[0] + 1]
    assert rest.v >= V[roots[0]]


@pytest.mark.parametrize(
    "membrane",
    [
        Membrane([leak(gbar=0.0)]),
        models.passive(e=-200.0),
        models.passive(e=150.0),
    ],
)
def test_a_membrane_without_rest_says_so(membrane: Membrane) -> None:
    with pytest.raises(NoRestError, match=r"between -150 and 100 mV.*give v_init") as raised:
        membrane.rest()
    assert isinstance(raised.value, AxonError)
    simulation = axon.Simulation(axon.Axon.cylinder(100.0, 1.0, compartments=3), membrane)
    with pytest.raises(NoRestError):
        simulation.run(1.0)


def test_steady_current_takes_parameters_along_the_axon() -> None:
    membrane = models.passive(g=np.linspace(1, 2, 10) * 1e-4, e=lambda x: -60 - x / 100)
    v = np.linspace(-70, -50, 10)
    np.testing.assert_allclose(
        membrane.steady_current(v, 6.3, X),
        np.linspace(1, 2, 10) * 1e-4 * (v + 60 + X / 100),
        rtol=1e-12,
    )
