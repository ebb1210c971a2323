"""Membranes: what belongs together, changed copies, currents, and what is written of them."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import models
from axon.channels import Channel, Gate, Markov, Pump
from axon.errors import MembraneError, SimulationError
from axon.ions import Buffer, Ion, Pool, ghk, nernst
from axon.membranes import Membrane
from axon.program import lower
from axon.rates import likeness

V = np.linspace(-120.0, 60.0, 181)
X = np.linspace(50.0, 950.0, 10)

CA, NA, K = Ion("ca", 2, 1e-4, 2.0), Ion("na", 1, 12.0, 145.0), Ion("k", 1, 140.0, 5.0)


def flat(v: Any) -> Any:
    return 1.0 + 0 * v


def leak(name: str = "leak", **changes: Any) -> Channel:
    return Channel(**({"name": name, "gbar": 1e-4, "reversal": -65.0} | changes))


def nak(**changes: Any) -> Pump:
    pump = {
        "name": "nak",
        "current": lambda nai, ko: 1e-4 * nai * ko,
        "carries": {"na": 3, "k": -2},
    }
    return Pump(**(pump | changes))


def rich() -> Membrane:
    """Something of everything."""
    n = Gate("n", 4, inf=lambda v: 1 / (1 + np.exp(-(v + 50) / 9)), tau=flat)
    opened = Gate("c", inf=lambda cai: cai / (cai + 1e-3))
    scheme = Markov("s", {("c", "o"): lambda cai: 10 * cai, ("o", "c"): flat}, open="o")
    return Membrane(
        [
            Channel("k", 1e-3, ion="k", gates=[n]),
            Channel("kca", 1e-4, ion="k", gates=[opened], q10=1.5, celsius=20.0),
            Channel("sk", 1e-4, ion="k", gates=[scheme]),
            Channel("h", 1e-5, ion={"na": 0.4, "k": 0.6}),
            Channel("ca", 1e-7, ion={"ca": lambda g, v, cai, cao, celsius:
                                     g * ghk(v, cai, cao, 2, celsius)}),
            Channel("na", 1e-5, ion="na"),
            leak(reversal=lambda x: -60.0 - x / 100.0),
        ],
        celsius=20.0,
        name="rich",
        ions=[CA, NA, K],
        pools=[Pool("ca", "inside", bath=1e-4, time_constant=10.0,
                    buffers=[Buffer("b", 0.1, 100.0, 0.1)]),
               Pool("k", "outside", surface_to_volume=lambda diameter: 10.0 + 0 * diameter)],
        pumps=[nak()],
        Ra=150.0, cm="1 uF/cm^2", v_init=-60,
    )  # fmt: skip


# ---- what cannot be together ---------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("parts", "advice"),
    [
        ({"ions": CA}, "ions=Ion.*give a sequence of Ion"),
        ({"ions": ["ca"]}, r"ions=\['ca'\]: give a sequence of Ion"),
        ({"pools": None}, "pools=None: give a sequence of Pool"),
        ({"pumps": nak()}, "pumps=Pump.*give a sequence of Pump"),
        ({"ions": [CA, CA]}, "two ions have one name: ca, ca"),
        (
            {"ions": [CA], "pools": [Pool("ca", "inside")] * 2},
            "two pools move one concentration: cai, cai",
        ),
        ({"ions": [NA, K], "pumps": [nak(), nak()]}, "two channels have one name: .*nak, nak"),
        ({"ions": [NA, K], "pumps": [nak(name="leak")]}, "two channels have one name: leak, leak"),
        ({"pools": [Pool("ca", "inside")]}, r"there is no ion 'ca'.*give ions=\[Ion\('ca"),
        (
            {"ions": [Ion("ca", 2, outside=2.0, reversal=80.0)], "pools": [Pool("ca", "inside")]},
            "pool cai: there is no ion 'ca' with a concentration inside to begin with",
        ),
        (
            {"ions": [Ion("k", 1, 140.0, reversal=-80.0)],
             "pools": [Pool("k", "outside", surface_to_volume=10.0)]},
            "pool ko: there is no ion 'k' with a concentration outside to begin with",
        ),
        ({"Ra": 0.0}, "Ra = 0.0"),
        ({"cm": "1 mV"}, "cm = '1 mV'"),
        ({"v_init": np.nan}, "v_init = nan"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(parts: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Membrane([leak()], **parts)


@pytest.mark.parametrize(
    ("channel", "ions", "advice"),
    [
        (leak(ion="na", reversal=None), [K], r"there is no ion 'na' in the membrane; give ions=\["),
        (leak(ion={"na": 1.0, "k": 1.0}, reversal=None), [K], "there is no ion 'na'"),
        (leak(gates=[Gate("m", inf=lambda cai: cai)]), [K], "gate 'm': inf asks for 'cai'"),
        # An ion that has no such concentration.
        (
            leak(gates=[Gate("m", inf=lambda cai: cai)]),
            [Ion("ca", 2, reversal=80.0)],
            "asks for 'cai'; .* there are v, celsius, eca$",
        ),
        (
            leak(gates=[Markov("s", {("a", "b"): lambda nao: nao, ("b", "a"): flat}, open="b")]),
            [K],
            r"gate 's': \('a', 'b'\) asks for 'nao'",
        ),
        (leak(open=lambda cai: cai), [K], "channel 'leak': open asks for 'cai'"),
        (leak(open=lambda g: g), [K], "channel 'leak': open asks for 'g'"),
    ],
)
def test_quantities_and_ions_that_there_are_not_are_refused(
    channel: Channel, ions: list[Ion], advice: str
) -> None:
    with pytest.raises(MembraneError, match=advice):
        Membrane([channel], ions=ions)


def test_reversal_potentials_may_not_ask_for_one_another() -> None:
    known = "asks for 'ek'; .* there are v, celsius, nai, nao, ki, ko$"
    with pytest.raises(MembraneError, match=f"ion 'na': reversal {known}"):
        Membrane([leak()], ions=[Ion("na", 1, 12.0, 145.0, reversal=lambda ek: -ek), K])


def test_an_ion_of_a_channel_with_a_reversal_need_not_be_described() -> None:
    assert Membrane([leak(ion="k")]).currents(-55.0) == {"k": pytest.approx(1e-3)}


def test_pumps_alone_are_a_membrane() -> None:
    assert Membrane([], pumps=[Pump("p", lambda: 1e-3, {"na": 1})]).currents(0.0) == {"na": 1e-3}


@pytest.mark.parametrize(
    "clash",
    [
        # The kernel's own: how fast cai changes, and the last current of calcium.
        {"pools": [Pool("ca", "inside", buffers=[Buffer("rate", 1.0, 1.0, 1.0)])]},
        {"channels": [leak("ica", gates=[Gate("slope", inf=flat, tau=flat)])]},
        {"channels": [leak("cai", gates=[Gate("rate", inf=flat, tau=flat)])]},
        {"channels": [leak("v", gates=[Gate("middle", inf=flat, tau=flat)])]},
        # Parameters of the program.
        {"channels": [leak("k", gates=[Gate("gbar", inf=flat, tau=flat)])]},
        {"channels": [leak("k", gates=[Gate("reversal", inf=flat, tau=flat)])]},
        {"pools": [Pool("ca", "inside", buffers=[Buffer("per_current", 1.0, 1.0, 1.0)])]},
    ],
)
def test_states_have_names_of_their_own(clash: dict[str, Any]) -> None:
    """Two states of one name would be one in the program; what the user calls his is not ours."""
    parts = {"channels": [leak()], "ions": [CA], "pools": [Pool("ca", "inside")]} | clash
    try:
        program = lower(Membrane(**parts), X, np.array([6.3]), 0.01, {"cai": X})
    except MembraneError:
        return
    names = (*program.states, *program.param_names)
    assert len(set(names)) == len(names)


# ---- changed copies ------------------------------------------------------------------------------


def test_scaling_multiplies_conductances_by_name() -> None:
    squid = models.hodgkin_huxley()
    half = squid.scaled(na=0.5, k=2)

    def g(membrane: Membrane) -> list[float]:
        return [float(c.conductance(X, 6.3)[0]) for c in membrane.channels]

    assert g(half) == [0.06, 0.072, 0.0003]
    assert g(squid) == [0.12, 0.036, 0.0003]
    again = half.scaled(na=np.linspace(0, 1, 10)).scaled(na=lambda x: x / 100.0)
    np.testing.assert_allclose(
        again.channels[0].conductance(X, 6.3), 0.06 * np.linspace(0, 1, 10) * X / 100, rtol=1e-15
    )
    np.testing.assert_array_equal(again.channels[1].conductance(X, 6.3), [0.072])
    assert squid.scaled() == squid


def test_scaling_multiplies_pumps_by_name() -> None:
    membrane = rich().scaled(nak=0.0, k=0.5)
    assert membrane.pumps[0].factor(X) == [0.0]
    assert membrane.channels[0].conductance(X, 20.0) == [5e-4]
    halves = membrane.scaled(nak=1.0, ca=2.0)
    assert halves.pumps[0].factor(X) == [0.0]  # scales multiply
    np.testing.assert_array_equal(rich().scaled(nak=lambda x: x).pumps[0].factor(X), X)
    for part in ("ions", "pools", "Ra", "cm", "v_init", "celsius", "name"):
        assert getattr(membrane, part) == getattr(halves, part)


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


def test_scaled_pumps_run_as_if_written_so() -> None:
    fibre = axon.Axon.cylinder(1000.0, 0.5, compartments=10)
    profile = np.linspace(0.0, 3.0, 10)

    def final(membrane: Membrane) -> dict[str, np.ndarray]:
        return axon.Simulation(fibre, membrane, v_init=-60.0, dt=0.05).run(2.0).final

    def with_pump(pump: Pump) -> Membrane:
        return Membrane([leak()], ions=[NA, K], pools=[Pool("na", "inside")], pumps=[pump])

    scaled = final(with_pump(nak()).scaled(nak=profile))
    written = final(with_pump(nak(density=profile)))
    for name, value in written.items():
        np.testing.assert_array_equal(scaled[name], value)
    assert np.ptp(written["nai"]) > 0.05


def test_uniform_takes_every_parameter_for_a_number() -> None:
    varying = Membrane(
        [leak(gbar=[2e-4] * 10, reversal=lambda x: -60.0 + 0 * x, q10=2.0)],
        ions=[NA, K],
        pumps=[nak(density=[0.5] * 10)],
    ).scaled(leak=lambda x: 0 * x + 3.0, nak=[2.0] * 10)
    uniform = varying.uniform(X)
    (channel,), (pump,) = uniform.channels, uniform.pumps
    assert (channel.gbar, channel.reversal, channel.scales) == (pytest.approx(6e-4), -60.0, ())
    assert (pump.density, pump.scales) == (1.0, ())
    np.testing.assert_allclose(
        channel.conductance(X, 26.3), varying.channels[0].conductance(X, 26.3), rtol=1e-15
    )


@pytest.mark.parametrize(
    ("membrane", "what"),
    [
        (Membrane([leak(gbar=X)]), "channel 'leak': gbar varies along the axon"),
        (Membrane([leak()]).scaled(leak=X), "channel 'leak': gbar varies"),
        (Membrane([leak(reversal=lambda x: -x)]), "channel 'leak': reversal varies"),
        (Membrane([leak()], ions=[NA, K], pumps=[nak(density=X)]), "pump 'nak': density varies"),
    ],
)
def test_what_varies_is_not_uniform(membrane: Membrane, what: str) -> None:
    with pytest.raises(MembraneError, match=what):
        membrane.uniform(X)


# ---- currents ------------------------------------------------------------------------------------


def test_quantities_are_what_functions_may_ask_for() -> None:
    found = rich().quantities(V, 20.0)
    assert set(found) == {
        "v", "celsius", "cai", "cao", "nai", "nao", "ki", "ko", "eca", "ena", "ek"
    }  # fmt: skip
    assert (found["cai"], found["ko"]) == (1e-4, 5.0)
    assert found["ek"] == nernst(140.0, 5.0, 1, 20.0)
    moved = rich().quantities(V, 30.0, {"ko": np.full(V.size, 8.0), "cai.b": 0.5})
    np.testing.assert_array_equal(moved["ek"], nernst(140.0, np.full(V.size, 8.0), 1, 30.0))
    assert "cai.b" not in moved


def test_concentrations_begin_as_the_ions_say() -> None:
    assert rich().initial_concentrations == {
        "cai": 1e-4, "cai.b": pytest.approx(0.01 / 0.11), "ko": 5.0
    }  # fmt: skip
    pool = Pool("ca", "inside", buffers=[Buffer("b", 1.0, 1.0, 1.0, initial=0.25)])
    begun = Membrane([leak()], ions=[CA], pools=[pool]).initial_concentrations
    assert begun == {"cai": 1e-4, "cai.b": 0.25}
    assert models.hodgkin_huxley().initial_concentrations == {}


def test_steady_currents_by_ion() -> None:
    found = rich().currents(V)
    assert list(found) == ["k", "na", "ca", None]
    ek, ena = nernst(140.0, 5.0, 1, 20.0), nernst(12.0, 145.0, 1, 20.0)
    n = 1 / (1 + np.exp(-(V + 50) / 9))
    g_k = 1e-3 * n**4 + 1e-4 * 1e-4 / 1.1e-3 + 1e-4 * 1e-3 / 1.001
    pump = 1e-4 * 12.0 * 5.0
    np.testing.assert_allclose(
        found["k"], g_k * (V - ek) + 0.6e-5 * (V - ek) - 2 * pump, rtol=1e-13
    )
    np.testing.assert_allclose(
        found["na"], 0.4e-5 * (V - ena) + 1e-5 * (V - ena) + 3 * pump, rtol=1e-13
    )
    np.testing.assert_allclose(found["ca"], 1e-7 * ghk(V, 1e-4, 2.0, 2, 20.0), rtol=1e-13)
    np.testing.assert_allclose(found[None], 1e-4 * (V + 60.0), rtol=1e-13)
    np.testing.assert_allclose(rich().steady_current(V, 20.0), sum(found.values()), rtol=1e-13)


def test_currents_have_the_shape_of_the_potential() -> None:
    assert rich().currents(-60.0)["k"].shape == ()
    assert rich().currents([-60.0, -50.0])["k"].shape == (2,)
    assert Membrane([], pumps=[Pump("p", lambda: 1.0, {"k": 1})]).currents(V)["k"].shape == V.shape
    warm = rich().currents(-60.0, 30.0)
    assert warm["k"] != rich().currents(-60.0)["k"]


def test_steady_current_takes_parameters_along_the_axon() -> None:
    membrane = models.passive(g=np.linspace(1, 2, 10) * 1e-4, e=lambda x: -60 - x / 100)
    v = np.linspace(-70, -50, 10)
    np.testing.assert_allclose(
        membrane.steady_current(v, 6.3, X),
        np.linspace(1, 2, 10) * 1e-4 * (v + 60 + X / 100),
        rtol=1e-12,
    )


def test_pools_change_with_the_current_of_their_ion() -> None:
    membrane = rich()
    gain = membrane.per_current(np.array([0.5, 2.0]))
    assert list(gain) == ["cai", "ko"]
    rates = membrane.pool_rates(
        {"ca": -1e-3, "k": 2e-3, "na": 5.0}, {"cai": 2e-4, "cai.b": 0.25, "ko": 6.0}, gain
    )
    bound = 100.0 * 2e-4 * 0.75 - 0.1 * 0.25
    assert rates["cai.b"] == pytest.approx(bound, rel=1e-14)
    np.testing.assert_allclose(
        rates["cai"], gain["cai"] * -1e-3 + (1e-4 - 2e-4) / 10.0 - 0.1 * bound, rtol=1e-13
    )
    np.testing.assert_allclose(rates["ko"], gain["ko"] * 2e-3, rtol=1e-15)
    assert np.all(gain["cai"] < 0.0)
    assert np.all(gain["ko"] > 0.0)
    # Of the compartment's own surface and volume, if these are told.
    own = membrane.per_current(np.array([0.5, 2.0]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(own["cai"], gain["cai"] / [8.0, 2.0], rtol=1e-14)


# ---- balance -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(v=st.floats(-85.0, -30.0), celsius=st.floats(5.0, 40.0))
def test_a_balanced_membrane_has_no_current_of_its_ions(v: float, celsius: float) -> None:
    membrane = rich()
    balanced = membrane.balanced(v, celsius, ions=("na", "k", "ca"))
    before, after = membrane.currents(v, celsius), balanced.currents(v, celsius)
    for ion in ("na", "k", "ca"):
        # What is left are roundings of the parts: at most those of the steady currents.
        assert abs(after[ion]) < 1e-15
        added = [c for c in balanced.channels if c.name == f"leak_{ion}"]
        pumped = [p for p in balanced.pumps if p.name == f"pump_{ion}"]
        e = float(membrane.quantities(v, celsius)[f"e{ion}"])
        outward = float(before[ion]) / (v - e) < 0.0
        assert (len(added), len(pumped)) == ((1, 0) if outward else (0, 1))
    assert after[None] == before[None]


def test_balance_is_by_default_of_sodium_and_potassium_at_the_models_temperature() -> None:
    balanced = rich().balanced("-60 mV")
    steady = balanced.currents(-60.0, 20.0)
    assert max(abs(steady["na"]), abs(steady["k"])) < 1e-16
    assert steady["ca"] == rich().currents(-60.0)["ca"]
    assert rich().balanced(-60.0).currents(-60.0, 35.0)["k"] != 0.0


def test_names_that_mean_two_things_are_refused() -> None:
    ions = [Ion("ai", 1, 5.0, 140.0), Ion("ea", 1, 5.0, 140.0)]
    with pytest.raises(MembraneError, match="there are two 'eai'; give an ion another name"):
        Membrane([leak()], ions=ions)
    pool = Pool("ca", "inside", buffers=[Buffer("b", 0.1, 100.0, 0.2)])
    gate = Gate("b", inf=lambda v: 0.5 + 0 * v, tau=lambda v: 1.0 + 0 * v)
    with pytest.raises(MembraneError, match=r"there are two 'cai\.b'.* a buffer another name"):
        Membrane([Channel("cai", 1e-4, -60.0, gates=[gate])], ions=[CA], pools=[pool])


def test_there_is_nothing_below_absolute_zero() -> None:
    fibre = axon.Axon.cylinder(100.0, 1.0, compartments=2)
    for make in (
        lambda: Membrane([leak()], celsius=-274.0),
        lambda: Membrane([leak()]).rest(-300.0),
        lambda: Gate("n", alpha=np.exp, beta=np.exp, celsius="-1 K"),
    ):
        with pytest.raises(MembraneError, match=r"celsius.*must be at least -273\.15 degC"):
            make()
    for celsius in (-274.0, [6.3, -274.0], lambda x: -300.0 + 0 * x):
        with pytest.raises(SimulationError, match=r"celsius.*must be at least -273\.15 degC"):
            axon.Simulation(fibre, Membrane([leak()]), celsius=celsius)
        with pytest.raises(SimulationError, match=r"celsius.*must be at least -273\.15 degC"):
            axon.Simulation(fibre, Membrane([leak()]), changes=[axon.Change(1.0, celsius=celsius)])


def test_whole_numbers_of_numpy() -> None:
    gate = Gate("n", np.int64(3), inf=lambda v: 0.5 + 0 * v, tau=lambda v: 1.0 + 0 * v)
    assert type(gate.power) is int and gate.power == 3
    ion = Ion("ca", np.int32(2), 1e-4, 2.0)
    assert type(ion.valence) is int and ion == Ion("ca", 2, 1e-4, 2.0)


def test_what_varies_along_the_axon_cannot_be_balanced() -> None:
    for uneven in (
        leak(gbar=lambda x: 1e-3 + x),
        Channel("leak", 1e-3, lambda x: -x, ion="na"),
        Channel("leak", 1e-3, X, ion="k"),
    ):
        with pytest.raises(MembraneError, match=r"balanced: 'leak' varies along the axon"):
            Membrane([uneven], ions=[NA, K]).balanced(-60.0)
    with pytest.raises(MembraneError, match=r"balanced: 'nak' varies along the axon"):
        Membrane([leak()], ions=[NA, K], pumps=[nak(density=X)]).balanced(-60.0)


def test_a_balanced_membrane_rests_there() -> None:
    membrane = Membrane(
        [Channel("k", 1e-3, ion="k"), Channel("na", 1e-4, ion="na")], 20.0, ions=[NA, K]
    )
    assert membrane.rest().v != pytest.approx(-70.0, abs=0.5)
    assert membrane.balanced(-70.0).rest().v == pytest.approx(-70.0, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"ions": ("na", "cl")}, "balanced: there is no ion 'cl' in the membrane"),
        ({"v": "60"}, "v = '60'"),
        ({"v": np.nan}, "v = nan"),
    ],
)
def test_balances_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        rich().balanced(**({"v": -60.0} | arguments))


def test_no_leak_balances_at_its_own_reversal() -> None:
    """There a leak carries nothing; a constant current does what is needed."""
    ek = float(rich().quantities(0.0, 20.0)["ek"])
    assert abs(rich().balanced(ek, ions=("k",)).currents(ek)["k"]) < 1e-16


# ---- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_models_say_where_they_come_from_in_the_types_of_json(name: str) -> None:
    membrane = getattr(models, name)()
    said = json.loads(json.dumps(membrane.to_dict(), allow_nan=False))
    assert said["name"] == name
    assert [c["name"] for c in said["channels"]] == [c.name for c in membrane.channels]
    first = membrane.channels[0].name
    by_function = membrane.scaled(**{first: lambda x: 1 + x / 1000})
    assert "function <lambda> of x" in json.dumps(by_function.to_dict())


def test_all_parts_are_written() -> None:
    said = json.loads(json.dumps(rich().to_dict(), allow_nan=False))
    channels = {channel["name"]: channel for channel in said["channels"]}
    assert channels["h"]["ion"] == {"na": 0.4, "k": 0.6}
    assert channels["ca"]["ion"] == {"ca": "function <lambda> of g, v, cai, cao, celsius"}
    assert channels["leak"]["reversal"] == "function <lambda> of x"
    assert channels["k"]["reversal"] is None
    assert channels["kca"]["q10"] == 1.5
    assert [gate["name"] for gate in channels["sk"]["gates"]] == ["s"]
    assert said["pumps"] == [
        {"name": "nak", "carries": {"na": 3.0, "k": -2.0}, "density": 1.0, "scales": []}
    ]
    assert said["ions"][0] == {
        "name": "ca", "valence": 2, "inside": 1e-4, "outside": 2.0, "reversal": None
    }  # fmt: skip
    pool = said["pools"][0]
    assert (pool["concentration"], pool["bath"], pool["time_constant"]) == ("cai", 1e-4, 10.0)
    assert pool["buffers"] == [
        {"name": "b", "total": 0.1, "binding": 100.0, "unbinding": 0.1, "initial": None}
    ]
    assert said["pools"][1]["surface_to_volume"] == "function <lambda> of diameter"


def test_a_membrane_is_as_published() -> None:
    membrane = rich()
    assert (membrane.Ra, membrane.cm, membrane.v_init) == (150.0, 1.0, -60.0)
    assert models.hodgkin_huxley().v_init is None


# ---- what is remembered ------------------------------------------------------------------


def counted() -> tuple[list[int], Any]:
    calls: list[int] = []

    def find() -> int:
        calls.append(len(calls))
        return len(calls)

    return calls, find


def test_what_was_found_once_is_remembered_by_all_that_are_alike() -> None:
    calls, find = counted()
    membrane = rich()
    found = membrane.once(("kind", 1.0), find)
    assert membrane.scaled(k=0.5).once(("kind", 1.0), find) == found
    assert membrane.scaled(k=lambda x: x).once(("kind", 1.0), find) == found
    assert len(calls) == 1
    membrane.once(("kind", 2.0), find)
    membrane.once(("other", 1.0), find)
    membrane.once(("kind", 1.0), find, others=[membrane])
    assert len(calls) == 4


def test_how_much_there_is_counts_where_it_is_said_to() -> None:
    calls, find = counted()
    membrane = rich().scaled(leak=0.0)  # the leak of `rich` varies along the axon
    plain = Membrane([channel for channel in membrane.channels if channel.name != "leak"],
                     ions=membrane.ions, pools=membrane.pools, pumps=membrane.pumps)  # fmt: skip
    for factor in (1.0, 0.5, 1.0, 0.5):
        plain.scaled(k=factor).once(("kind",), find, amounts=True)
    assert len(calls) == 2
    for _ in range(2):  # what varies may be another elsewhere
        plain.scaled(k=lambda x: 1.0 + x).once(("kind",), find, amounts=True)
    assert len(calls) == 4


@pytest.mark.parametrize(
    "holds", ["a global", "a cell", "a default", "a dict", "an object", "a class", "a module"]
)
def test_functions_that_say_something_else_are_noticed(holds: str) -> None:
    """As in a notebook, where a global is changed and the simulation is built again."""
    box = {"shift": 0.0}
    shift = 0.0

    class Own:
        shift = 0.0

    own, module = Own(), ModuleType("constants_of_mine")
    module.shift = 0.0  # type: ignore[attr-defined]
    if holds == "a global":
        space: dict[str, Any] = {"np": np, "shift": 0.0}
        exec("def alpha(v): return 0.1 * np.exp((v + 50.0 + shift) / 20.0)", space)
        alpha = space["alpha"]
    elif holds == "a cell":
        alpha = lambda v: 0.1 * np.exp((v + 50.0 + shift) / 20.0)  # noqa: E731
    elif holds == "a default":
        alpha = lambda v, shift=0.0: 0.1 * np.exp((v + 50.0 + shift) / 20.0)  # noqa: E731
    elif holds == "a dict":
        alpha = lambda v: 0.1 * np.exp((v + 50.0 + box["shift"]) / 20.0)  # noqa: E731
    elif holds == "a class":
        alpha = lambda v: 0.1 * np.exp((v + 50.0 + Own.shift) / 20.0)  # noqa: E731
    elif holds == "a module":
        alpha = lambda v: 0.1 * np.exp((v + 50.0 + module.shift) / 20.0)  # noqa: E731
    else:
        alpha = lambda v: 0.1 * np.exp((v + 50.0 + own.shift) / 20.0)  # noqa: E731
    gate = Gate("n", alpha=alpha, beta=lambda v: 0.1 + 0 * v)
    membrane = Membrane([Channel("k", 0.01, -77.0, gates=[gate]), leak()])
    before = membrane.rest().v, lower(membrane, X, np.array([6.3]), 0.01)
    if holds == "a global":
        space["shift"] = 30.0
    elif holds == "a default":
        alpha.__defaults__ = (30.0,)
    shift = own.shift = Own.shift = module.shift = box["shift"] = 30.0  # type: ignore[attr-defined]
    after = membrane.rest().v, lower(membrane, X, np.array([6.3]), 0.01)
    anew = Membrane([Channel("k", 0.01, -77.0, gates=[gate]), leak()])
    assert after[0] == anew.rest().v and after[0] < before[0] - 0.1
    np.testing.assert_array_equal(
        after[1].tables[0].cubics, lower(anew, X, np.array([6.3]), 0.01).tables[0].cubics
    )


def test_parts_of_two_membranes_are_not_mixed_up() -> None:
    """What a channel is of, the old membrane or the new one, is part of what is remembered."""
    base = Membrane(models.hodgkin_huxley().channels)
    after = replace(base, channels=(*base.channels, leak("extra")))
    before = replace(base, channels=(leak("extra"), *base.channels))
    fibre = axon.Axon.cylinder(200.0, 10.0, Ra=100.0, compartments=2)

    def course(first: Membrane, second: Membrane) -> np.ndarray:
        change = axon.Change(0.5, second, celsius=20.0)
        sim = axon.Simulation(fibre, first, celsius=6.3, dt=0.01, v_init=-60.0, changes=[change])
        return np.asarray(sim.run(2.0, dtype="float64").v)

    together = course(before, base), course(base, after)
    base = Membrane(models.hodgkin_huxley().channels)
    np.testing.assert_array_equal(
        together[1], course(base, replace(base, channels=(*base.channels, leak("extra"))))
    )


def test_copies_remember_nothing_of_their_originals() -> None:
    calls, find = counted()
    membrane = rich()
    membrane.once(("kind",), find)
    copied = copy.deepcopy(membrane)
    copied.once(("kind",), find)
    assert len(calls) == 2
    squid = Membrane([leak()])
    lower(squid, X, np.array([6.3]), 0.01)
    assert len(pickle.dumps(squid)) < 2000


def test_little_is_remembered_and_of_that_what_was_used_last() -> None:
    membrane = rich()
    calls, find = counted()
    for k in range(40):
        membrane.once(("program", k), find)
        membrane.once(("program", 0), find)
        membrane.once(("rest", k), find)
    assert len(calls) == 80
    membrane.once(("program", 39), find)
    membrane.once(("program", 0), find)
    membrane.once(("rest", 3), find)
    assert len(calls) == 80
    membrane.once(("program", 5), find)
    assert len(calls) == 81


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1, True), (1, 1.0, False), (1, True, False), ("a", "a", True), ([1], (1,), False),
        ({"a": 1}, {"a": 1}, True), ({"a": 1}, {"a": 2}, False), (np.exp, np.exp, True),
        (np.exp, np.log, False), (np.ones(3), np.ones(3), True), (np.ones(3), np.zeros(3), False),
        (CA, Ion("ca", 2, 1e-4, 2.0), True), (CA, Ion("ca", 2, 2e-4, 2.0), False),
        (flat, flat, True), (flat, lambda v: 2 * v, False),
    ],
)  # fmt: skip
def test_things_are_alike_that_hold_the_same(a: Any, b: Any, same: bool) -> None:
    assert likeness(a) is not None
    assert (likeness(a) == likeness(b)) is same
    hash(likeness(a))


def test_what_may_change_unseen_is_not_alike() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for opaque in (object(), {1, 2}, loop, partial(max, 1), np.ones(2**18)):
        assert likeness(opaque) is None


def opened(by: Any) -> Channel:
    gate = Gate("m", inf=lambda v: 1 / (1 + np.exp(-v / 9)), tau=flat)
    return Channel("k", 1e-4, -90.0, [gate], open=by)


def nothing(*_: Any) -> None:
    """What a function gives whose return was forgotten."""


@pytest.mark.parametrize("v_init", [-65.0, None])
@pytest.mark.parametrize(
    ("channels", "more", "message"),
    [
        ([opened(lambda m: nothing(m))], {}, "channel 'k': a function of m returned None"),
        ([opened(lambda m: "m")], {}, "channel 'k': a function of m returned 'm'"),
        ([Channel("k", 1e-4, -90.0, [Gate("n", inf=lambda v: nothing(v))])], {}, "gate 'n': "),
        ([Channel("k", 1e-4, ion={"k": lambda g, v: nothing(g, v)})], {}, "channel 'k': .* g, v "),
        (
            [Channel("k", 1e-4, ion="k")],
            {"ions": [Ion("k", 1, 140.0, 5.0, reversal=lambda ki: nothing(ki))]},
            "ion 'k': a function of ki ",
        ),
        (
            [],
            {"pumps": [Pump("p", lambda: nothing(), {"k": 1})]},
            "pump 'p': a function of nothing ",
        ),
    ],
)
def test_functions_without_a_return_are_told(
    channels: list[Channel], more: dict[str, Any], message: str, v_init: float | None
) -> None:
    fibre = axon.Axon.cylinder(100.0, 1.0, compartments=3)
    with pytest.raises(MembraneError, match=message + ".*does it lack a return"):
        membrane = Membrane([*channels, leak()], **({"ions": [K]} | more))
        axon.Simulation(fibre, membrane, celsius=20.0, v_init=v_init).run(0.1)
