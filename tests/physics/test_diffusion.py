"""Ions that diffuse along the axon."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import axon
from axon import Channel, Ion, Membrane, Pool, Pump
from axon._kernel import instruction_sets
from axon.errors import MembraneError, SimulationError

D = 1.33  # µm²/ms, of sodium in water
FIBRES = {
    "cylinder": axon.Axon.cylinder(200.0, 1.0, compartments=100),
    "tapered": axon.Axon.tapered(200.0, 2.0, 0.6, compartments=77),
    "two": axon.Axon.cylinder(4.0, 1.0, compartments=2),
}
each_fibre = pytest.mark.parametrize("shape", FIBRES)


def membrane(current: float = 0.0, **pool: Any) -> Membrane:
    """Sodium that comes in over the first third of the axon, without a charge of its own."""

    def there(x: np.ndarray) -> np.ndarray:
        return np.where(x <= x.max() / 3, 1.0, 0.0)

    return Membrane(
        [Channel("leak", 1e-3, -60.0)],
        ions=[Ion("na", 1, 10.0, 140.0)],
        pools=[Pool("na", "inside", **({"diffusion": D} | pool))],
        pumps=[
            Pump("in", current=lambda: -current, carries={"na": 1.0}, density=there),
            Pump("out", current=lambda: current, carries={"cl": 1.0}, density=there),
        ],
    )


def course(fibre: axon.Axon, of: Membrane, dt: float, steps: int, start: Any = None) -> np.ndarray:
    """Sodium after each step, (steps, n): half a step before its end."""
    simulation = axon.Simulation(fibre, of, dt=dt, v_init=-60.0)
    kernel = simulation._equations.kernel()
    states = simulation._states_init.reshape(-1, fibre.n)
    names = simulation._program.states
    if start is not None:
        states[names.index("nai")] = start
        rate = D * exchange(fibre) @ start
        states[names.index("nai:rate")] = rate
    kernel.set("v", simulation.v_init)
    kernel.set("state", states.ravel())
    rows = []
    for k in range(steps):
        kernel.advance(
            np.zeros((1, 0)), np.array([k == 0], float), np.empty((0, 0), np.float32),
            np.empty(fibre.n, np.int64), np.empty(fibre.n),
        )  # fmt: skip
        rows.append(kernel.get("state").reshape(-1, fibre.n)[names.index("nai")])
    return np.array(rows)


def exchange(fibre: axon.Axon) -> np.ndarray:
    """M of dc/dt = D M c, from the shape, written anew: cones between centres."""
    n = fibre.n
    m = np.zeros((n, n))
    ends = np.interp(fibre.edges, fibre.profile_x, fibre.profile_diameter)
    at = np.interp(fibre.x, fibre.profile_x, fibre.profile_diameter)
    h = fibre.length / n
    volume = np.pi / 12 * h * (ends[:-1] ** 2 + ends[:-1] * ends[1:] + ends[1:] ** 2)
    for i in range(n - 1):
        through = np.pi / 4 * at[i] * at[i + 1] / h  # of a cone, the mean of 1/area
        m[i, i + 1] += through / volume[i]
        m[i, i] -= through / volume[i]
        m[i + 1, i] += through / volume[i + 1]
        m[i + 1, i + 1] -= through / volume[i + 1]
    return m


def exactly(m: np.ndarray, start: np.ndarray, source: np.ndarray, times: np.ndarray) -> np.ndarray:
    """c(t) of dc/dt = M c + source, by eigenvectors."""
    values, vectors = np.linalg.eig(m)
    inverse = np.linalg.inv(vectors)
    y, s = inverse @ start, inverse @ source
    t = times[:, None]
    small = np.abs(values) < 1e-12
    grown = np.where(small, t, np.expm1(values * t) / np.where(small, 1.0, values))
    return np.real((np.exp(values * t) * y + grown * s) @ vectors.T)


@each_fibre
def test_order_in_dt_is_two(shape: str) -> None:
    fibre, current, end = FIBRES[shape], 1e-3, 8.0
    start = np.full(fibre.n, 10.0)
    gain = membrane().per_current(fibre.diameter, fibre.area / fibre.volume)["nai"]
    source = -current * gain * (fibre.x <= fibre.x.max() / 3)
    errors = []
    for dt in (0.08, 0.04, 0.02, 0.01):
        steps = round(end / dt)
        found = course(fibre, membrane(current), dt, steps)
        times = (np.arange(1, steps + 1) - 0.5) * dt
        expected = exactly(D * exchange(fibre), start, source, times)
        assert np.ptp(expected[-1]) > 1e-4  # there is something to diffuse
        errors.append(np.abs(found - expected).max())
    orders = [np.log2(a / b) for a, b in pairwise(errors)]
    assert errors[-1] < 1e-6
    assert min(orders) > 1.9, (errors, orders)


@each_fibre
def test_nothing_is_lost(shape: str) -> None:
    fibre = FIBRES[shape]
    start = np.random.default_rng(0).uniform(1.0, 20.0, fibre.n)
    amounts = course(fibre, membrane(), 0.05, 400, start) @ fibre.volume
    # Of what goes back and forth each step rounding leaves 1e-16.
    np.testing.assert_allclose(amounts, start @ fibre.volume, rtol=1e-13)


def test_a_peak_spreads_as_it_does_in_water() -> None:
    """Variance grows by 2 D t: A. Fick, Ann. Phys. 170, 59-86 (1855); exactly so in equal boxes."""
    fibre = FIBRES["cylinder"]
    x = fibre.x - fibre.length / 2
    start = 1e-3 + np.exp(-(x**2) / (2 * 8.0**2))
    dt, steps = 0.05, 200
    last = course(fibre, membrane(), dt, steps, start)[-1] - 1e-3
    begun = start - 1e-3
    variance = (last @ x**2) / last.sum() - (begun @ x**2) / begun.sum()
    assert variance == pytest.approx(2 * D * (steps - 0.5) * dt, rel=1e-9)


def test_without_diffusion_everything_stays_where_it_is() -> None:
    fibre = FIBRES["cylinder"]
    still = course(fibre, membrane(1e-3, diffusion=None), 0.05, 20)
    outer = fibre.x > fibre.x.max() / 3
    assert np.all(still[-1][outer] == 10.0)
    assert np.all(still[-1][~outer] > 10.0)


def test_machines_agree() -> None:
    fused = [name for name, (there, fuses) in instruction_sets().items() if there and fuses]
    fibre = FIBRES["tapered"]
    with pytest.MonkeyPatch.context() as patch:
        runs = []
        for isa in fused:
            patch.setenv("AXON_ISA", isa)
            runs.append(course(fibre, membrane(1e-3), 0.05, 100).tobytes())
    assert len(set(runs)) <= 1


def test_steps_that_are_too_long_are_refused() -> None:
    fine = axon.Axon.cylinder(10.0, 1.0, compartments=100)  # 0.1 µm each
    with pytest.raises(SimulationError, match=r"too long for nai to diffuse .* give 0\.0019 ms"):
        axon.Simulation(fine, membrane(), dt=0.005, v_init=-60.0)
    longest = 1.0 / (4 * D / 0.1**2)
    start = 10.0 + np.cos(np.pi * np.arange(100))
    settled = course(fine, membrane(), 0.999 * longest, 3000, start)
    assert np.ptp(settled[-1]) < 0.02 < np.ptp(start)  # and nothing has grown


def test_only_inside() -> None:
    with pytest.raises(MembraneError, match="pools inside only"):
        Pool("na", "outside", surface_to_volume=10.0, diffusion=D)
    for bad in (-1.0, 0.0, np.nan, "1 mM"):
        with pytest.raises(MembraneError, match="diffusion"):
            Pool("na", "inside", diffusion=bad)
    assert Pool("na", "inside", diffusion="1.33e-5 cm^2/s").diffusion == pytest.approx(1.33)
