"""What pools must do whatever the membrane: keep charge and matter, follow the bath, run down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import Buffer, Channel, Ion, Pool, Pump
from axon.ions import FARADAY

NA, K, CA = Ion("na", 1, 12.0, 145.0), Ion("k", 1, 140.0, 5.0), Ion("ca", 2, 1e-4, 2.0)
SILENT = Channel("leak", 1e-4, reversal=-65.0)
V0 = -95.0  # mV, from which the squid's membrane rebounds into an impulse, without any electrode


def patch(membrane: axon.Membrane, *, diameter: float = 0.3, **how: Any) -> axon.Simulation:
    fibre = axon.Axon.cylinder(20.0, diameter, compartments=1)
    return axon.Simulation(fibre, membrane, **({"dt": 0.05, "v_init": -65.0} | how))


def final(membrane: axon.Membrane, duration: float, **how: Any) -> dict[str, float]:
    found = patch(membrane, **how).run(duration, record=()).final
    return {name: float(value[0]) for name, value in found.items()}


# ---- matter --------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_a_pool_without_current_follows_its_bath(side: str) -> None:
    """Exponentially, to the second order in dt."""
    pool = Pool("k", side, surface_to_volume=10.0, bath=7.0, time_constant=5.0)
    membrane = axon.Membrane([SILENT], ions=[K], pools=[pool])
    start = 140.0 if side == "inside" else 5.0
    values = []
    for k in range(5):
        dt = 0.2 / 2**k
        # Half a step before and after 6 ms.
        values.append(0.5 * sum(final(membrane, t, dt=dt)[f"k{side[0]}"] for t in (6.0, 6.0 + dt)))
    exact = 7.0 + (start - 7.0) * np.exp(-6.0 / 5.0)
    errors = np.abs(np.array(values) - exact)
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 2.0, atol=0.1)
    assert errors[-1] < 1e-5 * abs(start - 7.0)


@settings(deadline=None, max_examples=40)
@given(
    buffers=st.lists(
        st.tuples(st.floats(1e-3, 0.5), st.floats(0.1, 100.0), st.floats(0.01, 1.0),
                  st.floats(0.0, 1.0)),
        min_size=1, max_size=3,
    ),
    start=st.floats(1e-5, 1e-2),
)  # fmt: skip
def test_buffers_keep_what_they_take(buffers: list[Any], start: float) -> None:
    """Free and bound calcium together stay what they are, to rounding, when nothing flows."""
    own = [Buffer(f"b{k}", *numbers) for k, numbers in enumerate(buffers)]
    membrane = axon.Membrane(
        [SILENT], ions=[Ion("ca", 2, start, 2.0)], pools=[Pool("ca", "inside", buffers=own)]
    )
    before = start + sum(b.total * b.initial for b in own)
    # No step of more than a tenth of the fastest exchange.
    fastest = sum(b.binding * (b.total + start + before) + b.unbinding for b in own)
    dt = 0.1 / fastest
    found = final(membrane, 200 * dt, dt=dt)
    after = found["cai"] + sum(b.total * found[f"cai.b{k}"] for k, b in enumerate(own))
    assert after == pytest.approx(before, rel=1e-12)
    for k, b in enumerate(own):
        assert abs(found[f"cai.b{k}"] - b.equilibrium(found["cai"])) <= 1.0
    assert found["cai"] > 0.0


def test_buffers_come_into_equilibrium() -> None:
    own = [
        Buffer("quick", 0.1, 100.0, 0.2, initial=0.9),
        Buffer("slow", 0.2, 10.0, 0.05, initial=0),
    ]
    membrane = axon.Membrane([SILENT], ions=[CA], pools=[Pool("ca", "inside", buffers=own)])
    found = final(membrane, 200.0)
    for buffer in own:
        bound = buffer.equilibrium(found["cai"])
        assert found[f"cai.{buffer.name}"] == pytest.approx(bound, rel=1e-9)


# ---- charge --------------------------------------------------------------------------------------


def excitable(**more: Any) -> axon.Membrane:
    """The squid's channels, on ions whose inside is a pool: all current moves matter."""
    squid = axon.models.hodgkin_huxley()
    na, k, _ = squid.channels
    return axon.Membrane(
        [
            Channel("na", 0.12, ion="na", gates=na.gates),
            Channel("k", 0.036, ion="k", gates=k.gates),
            Channel("leak", 3e-4, ion={"na": 0.2, "k": 0.8}),
        ],
        6.3,
        ions=[NA, K, CA],
        pools=[Pool("na", "inside"), Pool("k", "inside")],
        pumps=[Pump("nak", lambda nai: 1e-3 * (nai / (nai + 20.0)) ** 3, {"na": 3, "k": -2})],
        **more,
    )


def test_charge_that_leaves_the_membrane_is_that_of_its_ions() -> None:
    """C dV = F vol (d[na] + d[k]), of an axon that no electrode touches, over an impulse.

    Exactly so, but that V ends half a step later than the concentrations: the current of that half
    step, which is what is left, is next to nothing where the axon is slow again.
    """
    fibre = axon.Axon.cylinder(20.0, 0.3, compartments=1)
    simulation = axon.Simulation(fibre, excitable(), dt=0.02, v_init=V0)
    run = simulation.run(60.0, dtype="float64", every=0.02)
    v = np.asarray(run.v)[:, 0]
    assert v.max() > 20.0
    capacity = float(1e-5 * fibre.cm[0] * fibre.area[0])  # nF; times mV, pC
    volume = float(fibre.volume[0])  # µm³; times mM, 1e-18 mol
    gained = {name: run.final[name][0] - start for name, start in (("nai", 12.0), ("ki", 140.0))}
    assert gained["nai"] > 1e-3
    # Of each ion alone, the moved charge is far more than that of the membrane.
    charge = FARADAY * volume * 1e-18 * 1e12 * (gained["nai"] + gained["ki"])  # pC
    moved = FARADAY * volume * 1e-18 * 1e12 * gained["nai"]
    held = capacity * (v[-1] - V0)
    half_step = capacity * 0.5 * abs(v[-1] - v[-2])
    # Besides, the first step has the current of its beginning for that of its middle: 1.6e-7.
    assert charge == pytest.approx(held, abs=half_step + 1e-6 * moved)


@pytest.mark.parametrize("stride", [1, 5])
def test_the_balance_of_charge_is_of_second_order(stride: int) -> None:
    fibre = axon.Axon.cylinder(20.0, 0.3, compartments=1)
    capacity, volume = float(1e-5 * fibre.cm[0] * fibre.area[0]), float(fibre.volume[0])
    left = []
    for k in range(5):
        dt = 0.02 / stride / 2**k
        simulation = axon.Simulation(fibre, excitable(), dt=dt, v_init=V0, stride=stride)
        runs = [simulation.run(t, record=[0.0], every=t, dtype="float64") for t in (9.0, 9.0 + dt)]
        v = np.asarray(runs[0].v)[-1, 0]
        gained = [
            np.mean([run.final[name][0] for run in runs]) - start
            for name, start in (("nai", 12.0), ("ki", 140.0))
        ]
        left.append(FARADAY * volume * 1e-6 * sum(gained) - capacity * (v - V0))
    order = np.log2(np.divide(left[:-1], left[1:]))
    assert np.all(order >= 1.95)  # from above: terms of third order are not nothing yet
    assert order[-1] < 2.1


def test_a_carrier_moves_what_it_would_with_every_step() -> None:
    """At 20 kHz a period takes ten steps: two of those that move concentrations."""
    fibre = axon.Axon.cylinder(100.0, 1.0, compartments=1)
    carrier = axon.CurrentClamp(0.0, axon.sine(4.0, 20e3))
    courses = []
    for stride in (5, 1):
        sim = axon.Simulation(fibre, axon.models.tigerholm(), [carrier], dt=0.005, stride=stride)
        run = sim.run(20.0, every=0.005, dtype="float64")
        courses.append(run.final)
    assert np.ptp(np.asarray(run.v)[-200:]) > 20.0
    assert np.abs(courses[1]["ko"] / 5.6 - 1.0) > 5e-3
    for name in ("nai", "ko", "nav17.s", "nav18.u", "ks.ns"):
        np.testing.assert_allclose(courses[0][name], courses[1][name], rtol=5e-5, err_msg=name)


def test_thick_axons_do_not_notice() -> None:
    """Concentrations move by 1/diameter: in the squid's giant axon hardly at all."""
    gains = []
    for diameter in (0.5, 1.0, 2.0):
        found = final(excitable(), 30.0, diameter=diameter, v_init=V0, dt=0.02)
        gains.append(found["nai"] - 12.0)
    # Were the impulses the same; but the ratio of two thin ones is not yet that.
    np.testing.assert_allclose(np.divide(gains[:-1], gains[1:]), 2.0, rtol=0.05)
    fixed = axon.Membrane(excitable().channels, 6.3, ions=[NA, K, CA], pumps=excitable().pumps)
    giant = patch(excitable(), diameter=500.0, v_init=V0, dt=0.02).run(30.0, dtype="float64")
    held = patch(fixed, diameter=500.0, v_init=V0, dt=0.02).run(30.0, dtype="float64")
    assert np.ptp(held.v) > 60.0
    # 1e-4 mM of 12 shift its potentials by some 1e-4 mV, and an upstroke by as much of its time.
    np.testing.assert_allclose(giant.v, held.v, rtol=0, atol=0.05)


# ---- running down --------------------------------------------------------------------------------


def pumped(density: float) -> axon.Membrane:
    """Leaks of sodium and potassium, balanced by their pump at -70 mV at 37 °C."""
    membrane = axon.Membrane(
        [Channel("na", 2e-5, ion="na")],
        37.0,
        ions=[NA, K],
        pools=[Pool("na", "inside"), Pool("k", "inside")],
        pumps=[Pump("nak", lambda nai: PUMP * (nai / 12.0) ** 3, {"na": 3, "k": -2})],
    )
    return membrane.balanced(-70.0, ions=("k",)).scaled(nak=density)


ENA = 1e3 * 8.31446261815324 * 310.15 / FARADAY * np.log(145.0 / 12.0)
PUMP = 2e-5 * (70.0 + ENA) / 3.0  # mA/cm²: three sodium out for what leaks in


def test_a_pump_holds_the_gradients() -> None:
    found = patch(pumped(1.0), v_init=-70.0).run(1000.0, every=10.0, dtype="float64")
    np.testing.assert_allclose(found.v, -70.0, atol=1e-6)
    assert found.final["nai"][0] == pytest.approx(12.0, rel=1e-9)
    assert found.final["ki"][0] == pytest.approx(140.0, rel=1e-9)


def test_stopping_the_pump_runs_the_gradients_down() -> None:
    """First by the leak alone: nai grows by S/V g (ena - v) / F; in the end both gradients fall."""
    stopped = patch(pumped(0.0), v_init=-70.0)
    # In 1 ms V goes to where the leaks balance without the pump's current.
    short = stopped.run(20.0, every=1.0, dtype="float64")
    v = float(np.mean(np.asarray(short.v)[5:]))
    first = 1e4 * 4 / 0.3 / FARADAY * 2e-5 * (ENA - v)  # mM/ms
    assert short.final["nai"][0] - 12.0 == pytest.approx(20.0 * first, rel=0.02)

    long = patch(pumped(0.0), v_init=-70.0, dt=0.5).run(60e3, every=1e3, dtype="float64")
    v = np.asarray(long.v)[:, 0]
    # The potassium that is left holds it a little; then it depolarises for good.
    assert np.all(np.diff(v[5:]) > 0.0)
    assert v[-1] > -55.0
    nai, ki = long.final["nai"][0], long.final["ki"][0]
    assert nai > 60.0
    assert ki < 100.0
    # What comes in as sodium leaves as potassium, but for the charge of the membrane.
    charge = 1e-5 * np.pi * 0.3 * 20.0 * (v[-1] + 70.0)  # pC
    per_mm = FARADAY * np.pi * 0.3**2 / 4 * 20.0 * 1e-6  # pC
    assert (nai - 12.0) + (ki - 140.0) == pytest.approx(charge / per_mm, rel=1e-2)


# ---- along an axon -------------------------------------------------------------------------------


def test_compartments_that_are_apart_are_patches() -> None:
    """Of any diameter: their surface and volume are their own."""
    diameters = np.repeat([0.3, 0.6, 1.2, 2.4], 2)
    x = np.repeat([0.0, 20.0, 40.0, 60.0, 80.0], 2)[1:-1]
    fibre = axon.Axon.from_profile(x, diameters, Ra=1e9, compartments=4)
    run = axon.Simulation(fibre, excitable(), dt=0.02, v_init=V0).run(20.0, dtype="float64")
    for k, diameter in enumerate((0.3, 0.6, 1.2, 2.4)):
        alone = patch(excitable(), diameter=diameter, dt=0.02, v_init=V0)
        own = alone.run(20.0, dtype="float64")
        # 1e9 Ω·cm lets some 1e-6 of the membrane's current through.
        np.testing.assert_allclose(np.asarray(run.v)[:, k], np.asarray(own.v)[:, 0], atol=1e-3)
        assert run.final["nai"][k] == pytest.approx(own.final["nai"][0], rel=1e-6)


def test_every_compartment_has_its_own_temperature() -> None:
    """Of rates, of reversal potentials, and of what ions carry."""
    warmth = np.array([4.0, 8.0, 12.0])
    fibre = axon.Axon.cylinder(60.0, 0.3, Ra=1e9, compartments=3)
    how: dict[str, Any] = {"dt": 0.02, "v_init": V0}
    run = axon.Simulation(fibre, excitable(), celsius=warmth, **how).run(20.0, dtype="float64")
    for k, celsius in enumerate(warmth):
        own = patch(excitable(), celsius=celsius, **how).run(20.0, dtype="float64")
        assert np.asarray(own.v).max() > 20.0
        np.testing.assert_allclose(np.asarray(run.v)[:, k], np.asarray(own.v)[:, 0], atol=1e-2)
        assert run.final["nai"][k] == pytest.approx(own.final["nai"][0], rel=1e-5)


def test_a_bath_and_a_space_may_be_of_one_ion_on_both_sides() -> None:
    """What leaves the inside arrives outside: S/V of each, and the sum of both amounts."""
    membrane = axon.Membrane(
        [Channel("k", 1e-3, ion="k"), SILENT],
        ions=[K],
        pools=[Pool("k", "inside"), Pool("k", "outside", surface_to_volume=50.0)],
    )
    found = final(membrane, 50.0, v_init=-40.0, diameter=0.3)
    lost, gained = 140.0 - found["ki"], found["ko"] - 5.0
    assert lost > 0.01
    assert gained / lost == pytest.approx(50.0 / (4 / 0.3), rel=1e-10)
