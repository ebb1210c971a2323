"""The slow engine against exact solutions, and against NEURON's converged ones."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from reference import cable as slow
from reference import rallpack
from reference.hodgkin_huxley import hodgkin_huxley

DATA = Path(__file__).parent / "data"
SQUID = json.loads((DATA / "squid_axon.json").read_text())
RALLPACK1 = json.loads((DATA / "rallpack1.json").read_text())
RALLPACK3 = json.loads((DATA / "rallpack3.json").read_text())


def rallpack_cable() -> slow.Cable:
    return slow.Cable.cylinder(
        rallpack.LENGTH,
        rallpack.DIAMETER,
        Ra=rallpack.RA,
        cm=rallpack.CM,
        compartments=rallpack.COMPARTMENTS,
    )


def rallpack1(dt: float, start: float, duration: float) -> tuple[slow.Array, slow.Array]:
    """Times since the current's start at `start`, and the first and last compartments then."""
    leak = slow.Membrane((), (slow.Conductance(rallpack.G_LEAK, rallpack.E_LEAK),))
    steps = round((start + duration) / dt)
    v = slow.integrate(
        rallpack_cable(),
        leak,
        [slow.Pulse(0, rallpack.CURRENT, start, 2 * duration)],
        v_init=rallpack.E_LEAK,
        dt=dt,
        steps=steps,
        record=[0, rallpack.COMPARTMENTS - 1],
    )
    t = dt * np.arange(steps + 1, dtype=np.float64) - start
    return t[t >= 0], v[t >= 0]


def rallpack1_error(dt: float, start: float = 0.0, duration: float = 250.0) -> slow.Array:
    t, v = rallpack1(dt, start, duration)
    exact = [rallpack.exact(t, c) for c in (0, rallpack.COMPARTMENTS - 1)]
    return v - np.transpose(exact)


def test_exact_rallpack1_is_the_tabulated_one() -> None:
    t, _, _, first, last = np.transpose(RALLPACK1["table"])
    # Sums of a thousand terms of up to 100 mV, each rounded.
    np.testing.assert_allclose(rallpack.exact(t, 0), first, atol=1e-11)
    np.testing.assert_allclose(rallpack.exact(t, rallpack.COMPARTMENTS - 1), last, atol=1e-11)


def test_rallpack1() -> None:
    error = rallpack1_error(0.05)
    near, far = np.sqrt(np.mean(error**2, axis=0))
    assert near < 0.005  # 0.0044, nearly all of it in the first steps after the jump
    assert far < 0.00005  # 0.000031
    after_1_ms = error[20:, 0]
    assert np.abs(after_1_ms).max() < 0.002  # undamped, the end rings with 0.2 mV


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5, 0.8])
def test_no_ringing_wherever_within_a_step_the_current_begins(fraction: float) -> None:
    dt = 0.05
    error = rallpack1_error(dt, start=1 + fraction * dt, duration=5)
    # Damped in one step only, the end rings with 0.05 to 0.18 mV when the edge is within it.
    assert np.abs(error[20:, 0]).max() < 0.006


def squid_velocity(celsius: float, dt: float, compartments: int) -> float:
    axon = slow.Cable.cylinder(100e3, 476, Ra=35.4, cm=1, compartments=compartments)
    near, far = compartments // 4, 3 * compartments // 4
    v = slow.integrate(
        axon,
        hodgkin_huxley(celsius),
        [slow.Pulse(0, 10e3, 1, 1)],
        v_init=-65,
        dt=dt,
        steps=round(8 / dt),
        record=[near - 1, near, far - 1, far],
    )
    t = slow.crossing_times(v, dt, 0.0).reshape(2, 2).mean(axis=1)  # on the faces
    return 50 / float(t[1] - t[0])


@pytest.mark.parametrize(
    ("celsius", "tolerance"),
    # The two differ only in how they start and pass the stimulus' edges: 1.3e-5 and 1.7e-4 m/s,
    # where the distances from the converged velocity are 0.012 and 0.097.
    [(6.3, 2e-5), (18.5, 2e-4)],
)
def test_squid_axon_has_neurons_velocity_on_the_same_grid(celsius: float, tolerance: float) -> None:
    reference = SQUID[str(celsius)]["velocity_grid"]["0.02"]["500"]
    assert squid_velocity(celsius, 0.02, 500) == pytest.approx(reference, abs=tolerance)


def test_squid_velocity_extrapolates_to_the_converged_one() -> None:
    coarse, fine = squid_velocity(6.3, 0.04, 250), squid_velocity(6.3, 0.02, 500)
    extrapolated = fine + (fine - coarse) / 3
    # The fine grid is 0.0117 m/s off; its term of order 2 gone, 0.00005.
    assert extrapolated == pytest.approx(SQUID["6.3"]["velocity"], abs=1e-4)


def test_rallpack3_first_spike() -> None:
    dt = 0.01
    v = slow.integrate(
        rallpack_cable(),
        hodgkin_huxley(6.3, gl=rallpack.G_LEAK, el=rallpack.E_LEAK),
        [slow.Pulse(0, rallpack.CURRENT, 0, rallpack.DURATION)],
        v_init=-65,
        dt=dt,
        steps=round(4.5 / dt),
        record=[0, rallpack.COMPARTMENTS - 1],
    )
    first, last = slow.crossing_times(v, dt, 0.0)
    # Errors of dt²: 0.0002 and 0.0008 ms.
    assert first == pytest.approx(RALLPACK3["first"][0], abs=0.0003)
    assert last == pytest.approx(RALLPACK3["last"][0], abs=0.001)


@pytest.mark.parametrize(
    # Measured: 1.990 and 1.994; 1.010 and 1.005.
    ("method", "dts", "order", "tolerance"),
    [
        ("crank-nicolson", [0.02, 0.01, 0.005, 0.0025], 2.0, 0.015),
        ("backward-euler", [0.0025, 0.00125, 0.000625, 0.0003125], 1.0, 0.015),
    ],
)
def test_order_in_time(method: str, dts: list[float], order: float, tolerance: float) -> None:
    axon = slow.Cable.cylinder(20e3, 476, Ra=35.4, cm=1, compartments=20)
    pulse = slow.Pulse(0, 10e3, 0.1, 0.5)  # its edges are on steps of every dt
    ends = [
        slow.integrate(
            axon,
            hodgkin_huxley(6.3),
            [pulse],
            v_init=-65,
            dt=dt,
            steps=round(2 / dt),
            method=method,
        )[-1]
        for dt in dts
    ]
    change = [np.linalg.norm(fine - coarse) for coarse, fine in pairwise(ends)]
    measured = np.log2(np.divide(change[:-1], change[1:]))
    np.testing.assert_allclose(measured, order, atol=tolerance)


def random_tree(n: int, seed: int) -> slow.Cable:
    rng = np.random.default_rng(seed)
    return slow.Cable(
        area=rng.uniform(1, 1000, n),
        cm=rng.uniform(0.5, 2, n),
        axial=10 ** rng.uniform(-4, 1, n - 1),
        parent=np.array([-1, *(rng.integers(0, i) for i in range(1, n))]),
    )


@pytest.mark.parametrize("n", [1, 2, 3, 10, 60])
def test_solve_agrees_with_a_dense_solve(n: int) -> None:
    tree = random_tree(n, seed=n)
    rng = np.random.default_rng(0)
    loss, current = rng.uniform(0.1, 10, n), rng.normal(size=n)
    matrix = np.diag(loss)
    for child, g in enumerate(tree.axial, start=1):
        ends = [child, tree.parent[child]]
        matrix[np.ix_(ends, ends)] += g * np.array([[1, -1], [-1, 1]])
    # Diagonally dominant with a condition number below 1e3.
    np.testing.assert_allclose(
        slow.solve(tree, loss, current), np.linalg.solve(matrix, current), rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize("method", ["crank-nicolson", "backward-euler"])
def test_charge_is_conserved_without_channels(method: str) -> None:
    tree = random_tree(40, seed=1)
    pulses = [slow.Pulse(3, 0.2, 0.013, 0.4), slow.Pulse(20, -0.05, 0.0, 0.777)]
    v = slow.integrate(
        tree, slow.Membrane((), ()), pulses, v_init=-65, dt=0.05, steps=20, method=method
    )
    gained = np.sum(tree.cm * tree.area * 1e-5 * (v[-1] + 65))  # nF mV = pC
    assert gained == pytest.approx(0.2 * 0.4 - 0.05 * 0.777, rel=1e-10)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method: 'euler'"):
        slow.integrate(
            random_tree(2, seed=0),
            slow.Membrane((), ()),
            v_init=-65,
            dt=0.1,
            steps=1,
            method="euler",
        )
