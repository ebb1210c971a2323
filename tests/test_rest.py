"""Where membranes rest, whether they stay there, and that they say so if they don't."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import models
from axon.channels import Channel, Gate, Markov, Pump
from axon.errors import AxonError, NoRestError
from axon.ions import FARADAY, Buffer, Ion, Pool
from axon.membranes import Membrane
from axon.rest import Rest, find_rest

V = np.linspace(-120.0, 60.0, 181)
CA = Ion("ca", 2, 1e-4, 2.0)


def flat(v: Any) -> Any:
    return 1.0 + 0 * v


def leak(name: str = "leak", **changes: Any) -> Channel:
    return Channel(**({"name": name, "gbar": 1e-4, "reversal": -65.0} | changes))


# ---- potentials ----------------------------------------------------------------------------------


def test_squid_rests_where_its_currents_cancel() -> None:
    squid = models.hodgkin_huxley()
    rest = squid.rest()
    # The paper chose its leak, three decimals of it, so that rest is at -65 mV.
    assert rest.v == pytest.approx(-64.974, abs=5e-4)
    assert models.hodgkin_huxley(e_leak=-54.387).rest().v == pytest.approx(-65.0, abs=5e-3)
    assert rest.gates.keys() == {("na", "m"), ("na", "h"), ("k", "n")}
    assert rest.concentrations == {}
    m, h, n = rest.gates.values()
    current = (
        0.12 * m**3 * h * (rest.v - 50) + 0.036 * n**4 * (rest.v + 77) + 0.0003 * (rest.v + 54.3)
    )
    # Bisected to the last digit of v: what is left is that times the conductance.
    assert abs(current) < 1e-15
    # Rates alone feel the temperature.
    assert squid.rest(30.0).v == pytest.approx(rest.v, abs=1e-12)


def test_rest_is_for_the_temperature_of_the_model_unless_told_otherwise() -> None:
    warm = Membrane([leak(gbar=1e-4, q10=3.0, celsius=20.0), leak("b", reversal=-45.0)], 30.0)
    assert warm.rest().v == pytest.approx(-60.0, abs=1e-12)  # three to one
    assert warm.rest(20.0).v == pytest.approx(-55.0, abs=1e-12)


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


# ---- gates and schemes ---------------------------------------------------------------------------


def test_without_rest_it_is_told_whose_current_is_no_number() -> None:
    na = Ion("na", 1, 12.0, 145.0)
    root = Pump("root", lambda v: 1e-4 * np.sqrt(v + 60.0), {"na": 1})
    said = r"the current of 'root' is no number at -150 mV$"
    outward = Pump("root", lambda v: -1e-2 * np.log(v), {"na": 1})
    for pump in (root, outward):
        with np.errstate(all="ignore"), pytest.raises(NoRestError, match=said):
            Membrane([leak()], ions=[na], pumps=[pump]).rest()


def test_rest_says_how_far_a_scheme_is_open() -> None:
    scheme = Markov("s", {("c", "o"): lambda v: 0.1 + 0 * v, ("o", "c"): lambda v: 0.3}, open="o")
    instantaneous = Gate("i", inf=lambda v: 1 / (1 + np.exp(-(v + 65.0))))
    rest = Membrane([leak(gates=[scheme, instantaneous])]).rest()
    assert rest.v == pytest.approx(-65.0, abs=1e-9)
    assert rest.gates == {
        ("leak", "s"): pytest.approx(0.25), ("leak", "i"): pytest.approx(0.5)
    }  # fmt: skip


# ---- concentrations ------------------------------------------------------------------------------


def trickle(current: float = 1e-3, **pool: Any) -> Membrane:
    """A leak, and a constant inward current of calcium into a pool that is emptied by a bath."""
    parts: dict[str, Any] = {"bath": 1e-4, "time_constant": 20.0}
    return Membrane(
        [leak()],
        ions=[CA],
        pools=[Pool("ca", "inside", **(parts | pool))],
        pumps=[Pump("in", lambda: -current, {"ca": 1})],
    )


@pytest.mark.parametrize("diameter", [0.2, 1.0, 10.0])
def test_a_pool_rests_where_what_flows_in_flows_out(diameter: float) -> None:
    rest = trickle().rest(diameter=diameter)
    gain = 1e4 * 4 / diameter / (2 * FARADAY)  # mM/ms for 1 mA/cm²
    assert rest.v == pytest.approx(-65.0 + 10.0, abs=1e-9)  # 1e-3 mA/cm² through 1e-4 S/cm²
    assert rest.concentrations == {"cai": pytest.approx(1e-4 + 20.0 * gain * 1e-3, rel=1e-9)}


def test_a_pool_of_its_own_surface_does_not_feel_the_diameter() -> None:
    shell = trickle(surface_to_volume=5.0)
    assert shell.rest(diameter=0.2).concentrations == shell.rest(diameter=9.0).concentrations


def test_buffers_rest_in_equilibrium_and_change_nothing_else() -> None:
    buffer = Buffer("b", 0.1, binding=50.0, unbinding=0.2, initial=0.9)
    plain, buffered = trickle().rest(), trickle(buffers=[buffer]).rest()
    cai = plain.concentrations["cai"]
    assert buffered.concentrations["cai"] == pytest.approx(cai, rel=1e-9)
    assert buffered.concentrations["cai.b"] == pytest.approx(buffer.equilibrium(cai), rel=1e-9)


def test_gates_rest_at_the_concentrations_of_rest() -> None:
    opened = Gate("m", inf=lambda cai: cai / (cai + 1e-3), tau=lambda v: 5.0)
    membrane = Membrane(
        [leak(), Channel("sk", 2e-4, -80.0, gates=[opened])],
        ions=[CA], pools=trickle().pools, pumps=trickle().pumps,
    )  # fmt: skip
    rest = membrane.rest()
    cai = 1e-4 + 20.0 * 1e4 * 4 / (2 * FARADAY) * 1e-3
    m = cai / (cai + 1e-3)
    assert rest.gates["sk", "m"] == pytest.approx(m, rel=1e-9)
    expected = (1e-4 * -65.0 + 2e-4 * m * -80.0 + 1e-3) / (1e-4 + 2e-4 * m)
    assert rest.v == pytest.approx(expected, abs=1e-8)


def pumped(density: float = 1.0) -> Membrane:
    """Sodium and potassium leak down their gradients, and a pump carries them back."""
    return Membrane(
        [Channel("na", 1e-5, ion="na"), Channel("k", 1e-4, ion="k")],
        37.0,
        ions=[Ion("na", 1, 15.0, 145.0), Ion("k", 1, 130.0, 5.0), Ion("cl", 1, reversal=-70.0)],
        pools=[
            Pool("na", "inside"),
            # What leaves comes back from the bath; a space that nothing leaves has no rest.
            Pool("k", "outside", surface_to_volume=10.0, bath=5.0, time_constant=100.0),
        ],
        pumps=[
            Pump("nak", lambda nai, ko: 2e-3 * (nai / (nai + 20.0)) ** 3 * ko / (ko + 1.5),
                 {"na": 3, "k": -2}, density=density),
        ],
    )  # fmt: skip


def test_at_rest_a_pump_carries_all_that_leaks() -> None:
    rest = pumped().rest()
    quantities = pumped().quantities(rest.v, 37.0, rest.concentrations)
    nai, ko = rest.concentrations["nai"], rest.concentrations["ko"]
    leaking = 1e-5 * (rest.v - quantities["ena"])
    turnover = 2e-3 * (nai / (nai + 20.0)) ** 3 * ko / (ko + 1.5)
    assert leaking < -1e-4
    # The rest is settled to 1e-10 of each quantity.
    assert 3 * turnover == pytest.approx(-leaking, rel=1e-7)
    assert 2 * turnover == pytest.approx(1e-4 * (rest.v - quantities["ek"]), rel=1e-7)
    current = pumped().steady_current(np.array([rest.v]), 37.0, None, rest.concentrations)
    assert abs(current[0]) < 1e-11


@pytest.mark.parametrize("density", [0.5, 1.0, 2.0])
def test_rest_with_pools_is_a_fixed_point_of_the_engine(density: float) -> None:
    rest = pumped(density).rest(diameter=0.3)
    fibre = axon.Axon.cylinder(100.0, 0.3, compartments=4)
    simulation = axon.Simulation(fibre, pumped(density), dt=0.1)
    assert np.all(simulation.v_init == rest.v)
    run = simulation.run(200.0, dtype="float64")
    np.testing.assert_allclose(run.v, rest.v, rtol=0, atol=1e-7)
    for name, value in rest.concentrations.items():
        np.testing.assert_allclose(run.final[name], value, rtol=1e-9)


def test_rest_is_where_the_engine_goes() -> None:
    """From 5 mV and 20 mM elsewhere, in 400 s, twenty times what its sodium takes."""
    membrane, fibre = pumped(), axon.Axon.cylinder(50.0, 0.3, compartments=1)
    rest = membrane.rest(diameter=0.3)
    simulation = axon.Simulation(fibre, membrane, dt=2.0, v_init=rest.v + 5.0)
    run = simulation.run(400e3, every=100e3, dtype="float64")
    assert abs(rest.concentrations["nai"] - 15.0) > 19.0
    assert np.asarray(run.v)[-1, 0] == pytest.approx(rest.v, abs=1e-8)
    for name, value in rest.concentrations.items():
        assert run.final[name][0] == pytest.approx(value, rel=1e-9)


def test_a_pool_that_only_fills_has_no_rest() -> None:
    with pytest.raises(NoRestError, match="give v_init"):
        trickle(bath=None, time_constant=None).rest()


def test_without_its_pump_an_axon_rests_where_no_gradient_drives_anything() -> None:
    """Sodium is then in equilibrium as potassium is, which its bath holds."""
    rest = pumped(0.0).rest()
    quantities = pumped(0.0).quantities(rest.v, 37.0, rest.concentrations)
    assert rest.concentrations["ko"] == pytest.approx(5.0, rel=1e-9)
    assert rest.v == pytest.approx(quantities["ek"], abs=1e-7)
    assert rest.v == pytest.approx(quantities["ena"], abs=1e-7)


# ---- stability -----------------------------------------------------------------------------------


def driven(current: float) -> Membrane:
    """The squid's membrane with a constant inward current, mA/cm²."""
    squid = models.hodgkin_huxley()
    return Membrane(squid.channels, 6.3, pumps=[Pump("drive", lambda: -current, {"na": 1})])


def test_a_rest_is_solved_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By membranes that are alike in all that matters, and by no others."""
    solved = []

    def find(membrane: Membrane, celsius: float, diameter: float) -> Rest:
        solved.append((celsius, diameter))
        return find_rest(membrane, celsius, diameter)

    monkeypatch.setattr("axon.membranes.find_rest", find)
    squid = models.hodgkin_huxley()
    rest = squid.rest()
    rest.gates.clear()  # a copy of its own
    assert squid.rest(diameter=3.0).gates and len(solved) == 1
    assert squid.scaled(k=0.9).rest().v > squid.rest().v + 0.1
    assert squid.scaled(k=0.9).rest(18.5).v != squid.rest(18.5).v
    assert squid.scaled(k=0.9).rest(18.5).v == models.hodgkin_huxley().scaled(k=0.9).rest(18.5).v
    assert [celsius for celsius, _ in solved] == [6.3, 6.3, 18.5, 18.5, 18.5]
    tigerholm = models.tigerholm()
    thin, thick = tigerholm.rest(diameter=0.5), tigerholm.rest(diameter=1.5)
    assert tigerholm.rest(diameter=0.5) == thin
    assert [diameter for _, diameter in solved[5:]] == [0.5, 1.5]
    assert thick == models.tigerholm().rest(diameter=1.5)


@pytest.mark.parametrize("current", [0.0, 5e-3, 9e-3, 11e-3, 50e-3, 0.2])
def test_a_pacemaker_has_no_rest_and_says_so(current: float) -> None:
    """The squid's steady state is unstable between two currents.

    J. Rinzel, R. N. Miller, Math. Biosci. 49, 27-59 (1980): Hopf bifurcations at 9.78 and at
    154.5 µA/cm², at 6.3 °C.
    """
    if 9.78e-3 < current < 154.5e-3:
        words = r"no stable resting state: it balances at -[\d.]+ mV \(grows by .*pacemaker"
        with pytest.raises(NoRestError, match=words):
            driven(current).rest()
        fibre = axon.Axon.cylinder(100.0, 10.0, compartments=1)
        run = axon.Simulation(fibre, driven(current), dt=0.02, v_init=-60.0).run(100.0)
        assert len(run.spikes) > 3  # as pacemakers do
    else:
        assert -65.0 < driven(current).rest().v < -30.0


def test_growth_is_that_of_the_engine() -> None:
    """A small departure from the unstable state grows as fast as the refusal says."""
    with pytest.raises(NoRestError) as raised:
        driven(15e-3).rest()
    words = str(raised.value)
    at = float(words.split("balances at ")[1].split(" mV")[0])
    growth = float(words.split("grows by ")[1].split("/ms")[0])
    fibre = axon.Axon.cylinder(100.0, 10.0, compartments=1)
    run = axon.Simulation(fibre, driven(15e-3), dt=0.01, v_init=at).run(60.0, dtype="float64")
    v = np.asarray(run.v)[:, 0]
    # An oscillation: its peaks above the mean of neighbouring troughs.
    peak = np.flatnonzero((v[1:-1] > v[:-2]) & (v[1:-1] >= v[2:])) + 1
    trough = np.flatnonzero((v[1:-1] < v[:-2]) & (v[1:-1] <= v[2:])) + 1
    size = np.array([v[p] - v[trough[trough > p]][0] for p in peak if np.any(trough > p)])
    small = (size > 1e-3) & (size < 1.0)
    times = run.time[peak[: size.size]][small]
    measured = np.polyfit(times, np.log(size[small]), 1)[0]
    assert times.size >= 3
    assert measured == pytest.approx(growth, rel=0.05)


def test_instability_of_concentrations_counts_too() -> None:
    """Calcium that lets in more calcium: at no potential unstable by itself, but as a whole."""
    opened = Gate("m", 2, inf=lambda cai: cai**2 / (cai**2 + 1e-6))
    feedback = Membrane(
        [leak(gbar=1e-3), Channel("ca", 4e-5, 60.0, gates=[opened], ion="ca")],
        ions=[CA],
        pools=[Pool("ca", "inside", bath=5e-4, time_constant=3.0)],
    )
    held = Membrane(feedback.channels, ions=feedback.ions)
    assert held.rest().v == pytest.approx(-65.0, abs=1.0)
    rest = feedback.rest()
    fibre = axon.Axon.cylinder(50.0, 1.0, compartments=1)
    run = axon.Simulation(fibre, feedback, dt=0.02).run(100.0, dtype="float64")
    np.testing.assert_allclose(run.v, rest.v, rtol=0, atol=1e-6)


# ---- the models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in models.names() if not getattr(models, n)().pools])
def test_without_pools_every_diameter_rests_alike(name: str) -> None:
    membrane = getattr(models, name)()
    fibre = axon.Axon.tapered(2000.0, 20.0, 5.0, compartments=20)
    run = axon.Simulation(fibre, membrane, dt=0.01).run(20.0, dtype="float64")
    np.testing.assert_allclose(np.asarray(run.v), membrane.rest().v, rtol=0, atol=1e-6)
