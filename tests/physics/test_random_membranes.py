"""Membranes of random channels, pumps and pools: what they are lowered to does what they say.

Some gates follow calcium, some V, some both; channels are ohmic, carry two ions or by Goldman,
Hodgkin and Katz, or open by a sum; sodium, potassium and calcium move or don't.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import axon
from axon import Buffer, Channel, Gate, Ion, Markov, Membrane, Pool, Pump

Rng = np.random.Generator

DURATION = 6.0  # ms
V_INIT = -65.0  # mV, where hardly one of them rests
FIBRE = axon.Axon.cylinder(10.0, diameter=1.0, Ra=100.0, cm=1.0, compartments=1)
DENSITY = 10.0  # µA/cm², for 1 ms
AREA = float(FIBRE.area[0]) * 1e-8  # cm²
CLAMP = axon.CurrentClamp(5.0, axon.pulse(1e3 * DENSITY * AREA, start=1.0, duration=1.0))

GBAR = {"na": 0.05, "k": 0.02, "ca": 2e-4}  # S/cm²


def sigmoid(half: float, slope: float) -> Callable[[Any], Any]:
    return lambda v: 1 / (1 + np.exp(-(v - half) / slope))


def by_calcium(rng: Rng) -> dict[str, Any]:
    """Rates of a gate that calcium opens, alone or together with V."""
    half, n = 10 ** rng.uniform(-4.5, -3.0), int(rng.integers(1, 4))
    width, shift = rng.uniform(8.0, 25.0), rng.uniform(-30.0, -10.0)
    ways = [
        {
            "inf": lambda cai: cai**n / (cai**n + half**n),
            "tau": lambda cai: 1 + 5 / (1 + cai / half),
        },
        {
            "inf": lambda v, cai: 1 / (1 + half / cai * np.exp(-(v + 10) / width)),
            "tau": lambda v, cai: 0.2 + 1 / (np.exp((v + 30) / width) + cai / half),
        },
        {
            "inf": lambda v, cai: sigmoid(shift * (np.log10(cai) + 2), width)(v),
            "tau": lambda v, cai: (
                0.4 + 1 / (np.exp(v / (3.2 * (3 - np.log10(cai)))) + np.exp(-v / width))
            ),
        },
    ]
    return ways[rng.integers(len(ways))]


def random_gate(rng: Rng, name: str) -> Gate:
    power, q10 = int(rng.integers(1, 5)), float(rng.choice([1.0, 2.0, 3.0]))
    half, slope = rng.uniform(-70.0, -10.0), rng.uniform(4.0, 15.0) * rng.choice([1, 1, -1])
    longest = rng.uniform(0.1, 5.0)
    ways: list[dict[str, Any]] = [
        {
            "alpha": lambda v: 0.1 * (v - half) / (1 - np.exp(-(v - half) / abs(slope))),
            "beta": lambda v: 2 * np.exp(-(v - half) / 20),
        },
        {
            "alpha": lambda v, celsius: (
                0.5 * np.exp((v - half) / 25) * 1.5 ** ((celsius - 20) / 10)
            ),
            "beta": lambda v: 0.3 * np.exp(-(v - half) / 18),
        },
        {
            "inf": sigmoid(half, slope),
            "tau": lambda v: 0.05 + longest / np.cosh((v - half) / 20),
        },
        {
            "inf": sigmoid(half, slope),
            "tau": lambda v: np.where(v < -50, 1 + 3 * np.exp((v + 50) / 30), 4.0),
        },
        {"inf": sigmoid(half, slope), "tau": lambda v: 3.0, "tau_min": 0.1},
        {"inf": sigmoid(half, slope)},
        by_calcium(rng),
    ]
    return Gate(name, power=power, q10=q10, celsius=20.0, **ways[rng.integers(len(ways))])


def random_scheme(rng: Rng, name: str) -> Markov:
    fast, half = rng.uniform(0.2, 2.0), rng.uniform(-60.0, -20.0)
    rates = {
        ("c", "o"): lambda v: fast * np.exp((v - half) / 30),
        ("o", "c"): lambda v: fast * np.exp(-(v - half) / 30),
        ("o", "i"): lambda cai: 0.3 * cai / (cai + 1e-4),
        ("i", "o"): lambda v: 0.1 + 0 * v,
    }
    return Markov(name, rates, open="o")


def random_channel(rng: Rng, name: str) -> Channel:
    ion = str(rng.choice(["na", "k", "ca", "k"]))
    gbar = GBAR[ion] * rng.uniform(0.1, 1.0)
    gates: list[Gate | Markov] = [random_gate(rng, f"g{k}") for k in range(rng.integers(1, 4))]
    if rng.random() < 0.25:
        gates.append(random_scheme(rng, "s"))
    first = gates[0].name
    means: dict[str, Any] = {
        "g0": lambda g0: 0.5 * (g0 + g0**2),
        "s": lambda s: s**2,
    }
    way = rng.integers(6)
    if way == 0:
        return Channel(name, gbar, ion=ion, gates=gates[:1], open=means[first])
    if way == 1 and ion == "ca":
        current = {"ca": lambda g, v, cai, cao, celsius: g * axon.ghk(v, cai, cao, 2, celsius)}
        return Channel(name, 1e-5, ion=current, gates=gates)
    if way == 2:
        both = {"na": lambda g, v, ena: g * (v - ena), "k": lambda g, v, ek: 0.5 * g * (v - ek)}
        return Channel(name, 0.02 * gbar, ion=both, gates=gates)
    return Channel(name, gbar, ion=ion, gates=gates, q10=float(rng.choice([1.0, 1.5])))


def random_pools(rng: Rng) -> list[Pool]:
    buffers = [Buffer("b", total=0.05, binding=100.0, unbinding=0.2)]
    pools = [
        Pool(
            "ca",
            "inside",
            surface_to_volume=rng.uniform(2.0, 20.0),
            bath=1e-4,
            time_constant=rng.uniform(2.0, 20.0),
            buffers=buffers if rng.random() < 0.5 else (),
        )
    ]
    if rng.random() < 0.6:
        width, time = rng.uniform(1.0, 20.0), rng.uniform(5.0, 100.0)
        pools.append(Pool("k", "outside", surface_to_volume=width, bath=5.0, time_constant=time))
    if rng.random() < 0.5:
        pools.append(Pool("na", "inside"))
    if rng.random() < 0.3:
        pools.append(Pool("k", "inside"))
    return pools


def random_pumps(rng: Rng) -> list[Pump]:
    def nak(v: Any, nai: Any, ko: Any) -> Any:
        return 2e-3 * (nai / (nai + 10)) ** 3 * (ko / (ko + 1.5)) ** 2 * (1 - 50 / (v + 400))

    def exchanger(v: Any, nai: Any, nao: Any, cai: Any, cao: Any) -> Any:
        inward, outward = np.exp(0.35 * v / 25), np.exp(-0.65 * v / 25)
        return 1e-9 * (nai**3 * cao * inward - nao**3 * cai * outward) / (1 + cai / 0.0069)

    pumps = [
        Pump("nak", nak, {"na": 3, "k": -2}),
        Pump("pump", lambda cai: 5e-4 * cai / (cai + 5e-4), {"ca": 1}),
        Pump("exchanger", exchanger, {"na": 3, "ca": -1}),
    ]
    return [pump for pump in pumps if rng.random() < 0.6]


@cache
def random_membrane(seed: int) -> Membrane:
    rng = np.random.default_rng(seed)
    ions = [Ion("na", 1, 12.0, 145.0), Ion("k", 1, 130.0, 5.0), Ion("ca", 2, 1e-4, 2.0)]
    pools, pumps = random_pools(rng), random_pumps(rng)
    channels = [random_channel(rng, f"c{k}") for k in range(rng.integers(2, 6))]
    return Membrane(
        [Channel("leak", 3e-4, -62.0), *channels],
        celsius=float(rng.choice([20.0, 37.0])),
        ions=ions,
        pools=pools,
        pumps=pumps,
    )


def simulation(seed: int, dt: float, stride: int | None) -> axon.Simulation:
    membrane = random_membrane(seed)
    return axon.Simulation(FIBRE, membrane, [CLAMP], dt=dt, v_init=V_INIT, stride=stride)


def course(seed: int, dt: float, stride: int | None, until: float = DURATION) -> np.ndarray:
    run = simulation(seed, dt, stride).run(until, every=0.02, dtype="float64")
    return np.asarray(run.v)[:, 0]


def equations(membrane: Membrane) -> tuple[Callable[[np.ndarray, float], np.ndarray], np.ndarray]:
    """dy/dt of V, concentrations and gates from the membrane's own functions, and where y begins.

    The second argument is what is injected, µA/cm².
    """
    names = list(membrane.initial_concentrations)
    per_current = membrane.per_current(np.array([FIBRE.diameter[0]]))
    beginning = membrane.quantities(np.array([V_INIT]), membrane.celsius, None)
    y = [V_INIT, *membrane.initial_concentrations.values()]
    for _, gate in membrane.gates:
        if isinstance(gate, Markov):
            y += list(gate.at(beginning)[:, 0])
        elif not gate.instantaneous:
            y.append(float(gate.steady(beginning)[0]))

    def slopes(y: np.ndarray, injected: float) -> np.ndarray:
        columns = iter(y[:, None])
        v = next(columns)
        concentrations = {name: next(columns) for name in names}
        quantities = membrane.quantities(v, membrane.celsius, concentrations)
        values: dict[tuple[str, str], Any] = {}
        rates: list[Any] = []
        for channel, gate in membrane.gates:
            if isinstance(gate, Markov):
                own = [next(columns) for _ in gate.states]
                values[channel.name, gate.name] = gate.conducting(own)
                rates += [
                    sum(np.asarray(a) * p for a, p in zip(line, own, strict=True))
                    for line in gate.matrix(quantities)
                ]
            elif gate.instantaneous:
                values[channel.name, gate.name] = gate.steady(quantities)
            else:
                inf, rate = gate.at(quantities)
                values[channel.name, gate.name] = x = next(columns)
                rates.append((inf - x) * rate)
        currents = membrane.ion_currents(quantities, values)
        pools = membrane.pool_rates(currents, concentrations, per_current)
        total = injected - 1e3 * sum(currents.values())
        return np.array([np.ravel(r)[0] for r in [total, *(pools[n] for n in names), *rates]])

    return slopes, np.array(y)


def runge_kutta(membrane: Membrane, dt: float, until: float) -> np.ndarray:
    """V at every step of the classical method of order 4."""
    slopes, y = equations(membrane)
    found = [y[0]]
    for step in range(round(until / dt)):
        injected = DENSITY if 1.0 <= (step + 0.5) * dt < 2.0 else 0.0
        k1 = slopes(y, injected)
        k2 = slopes(y + dt / 2 * k1, injected)
        k3 = slopes(y + dt / 2 * k2, injected)
        k4 = slopes(y + dt * k3, injected)
        y = y + dt / 6 * (k1 + 2 * (k2 + k3) + k4)
        found.append(y[0])
    return np.array(found)


@pytest.mark.parametrize("seed", range(10))
def test_runs_converge_to_the_solution_with_order_two(seed: int) -> None:
    """It is found to some 1e-5 mV by a method that knows nothing but the membrane's functions."""
    exact = runge_kutta(random_membrane(seed), 0.01, 2.5)[::2]
    coarse, fine = (np.abs(course(seed, dt, 1, 2.5) - exact).max() for dt in (0.005, 0.0025))
    assert fine < 0.005
    assert fine < 0.27 * coarse + 1e-4


def test_slow_steps_add_little() -> None:
    """Beside the error that every step has, by root mean square: a per cent in the middle one, and
    most, 0.03 mV, where gates of 0.75 ms and more bring a spike about."""
    ratios, added = [], []
    for seed in range(200):
        if simulation(seed, 0.005, None).stride == 1:
            continue
        exact, every, own = (
            course(seed, dt, stride) for dt, stride in ((0.000625, 1), (0.005, 1), (0.005, None))
        )
        error, with_slow, between = (
            np.sqrt(np.mean(e**2)) for e in (every - exact, own - exact, own - every)
        )
        ratios.append(with_slow / error)
        added.append(between)
    assert len(ratios) > 40
    assert np.median(ratios) < 1.02
    assert np.mean(np.array(ratios) > 2.0) < 0.2
    assert 0.0 < max(added) < 0.035
