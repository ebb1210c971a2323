"""Schemes of states: their steady occupancies, and how the kernel moves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from held import advanced
from hypothesis import given, settings
from hypothesis import strategies as st

import axon
from axon import _kernel, models
from axon.channels import Channel, Gate, Markov
from axon.errors import MembraneError
from axon.membranes import Membrane
from axon.program import initial_states, lower, state_names

ISAS = [name for name, (supported, _) in _kernel.instruction_sets().items() if supported]
V = np.linspace(-90.0, 40.0, 14)
AT = {"v": V, "celsius": 6.3}

Rates = Mapping[tuple[str, str], Any]


def constant(value: float) -> Any:
    return lambda v: value + 0 * v


def opening(v: Any) -> Any:
    return 2.0 * np.exp(v / 40.0)


def closing(v: Any) -> Any:
    return 0.5 * np.exp(-v / 25.0)


# A chain with a side arm and a ring: c1 - c2 - o - i - c2.
RING: Rates = {
    ("c1", "c2"): opening,
    ("c2", "c1"): closing,
    ("c2", "o"): lambda v: 0.5 * opening(v),
    ("o", "c2"): lambda v: 3.0 * closing(v),
    ("o", "i"): constant(0.7),
    ("i", "o"): constant(0.05),
    ("i", "c2"): lambda v: 0.1 * closing(v),
}
TWO: Rates = {("c", "o"): opening, ("o", "c"): closing}


def membrane_of(scheme: Markov | Gate) -> Membrane:
    return Membrane([Channel("ch", 1e-3, -80.0, gates=[scheme]), Channel("leak", 1e-4, -60.0)])


def scheme(rates: Rates, open: str = "o", **more: Any) -> Markov:
    return Markov("s", rates, open=open, **more)


def dense(of: Markov, v: float) -> np.ndarray:
    """A of dp/dt = A p, written anew."""
    a = np.zeros((len(of.states),) * 2)
    for (start, end), rate in of.rates.items():
        i, j = of.states.index(start), of.states.index(end)
        a[j, i] += rate(v)
        a[i, i] -= rate(v)
    return a


def after(a: np.ndarray, p: np.ndarray, t: float) -> np.ndarray:
    """exp(t A) p, by eigenvectors."""
    values, vectors = np.linalg.eig(a)
    return np.real(vectors @ (np.exp(values * t) * np.linalg.solve(vectors, p.astype(complex))))


# ---- what a scheme is ----------------------------------------------------------------------------


def test_states_are_in_the_order_of_the_rates() -> None:
    assert scheme(RING).states == ("c1", "c2", "o", "i")
    assert scheme(RING).open == {"o": 1.0}


def test_rates_become_a_matrix_whose_columns_add_up_to_nothing() -> None:
    ring = scheme(RING, q10=3.0, celsius=16.3)
    for k, v in enumerate(V):
        a = np.array([[np.broadcast_to(x, V.shape)[k] for x in row] for row in ring.matrix(AT)])
        np.testing.assert_allclose(a, dense(ring, v) / 3.0, rtol=1e-14)
        np.testing.assert_allclose(a.sum(axis=0), 0.0, atol=1e-15 * np.abs(a).max())


def test_rates_between_the_same_states_are_one_of_each_direction() -> None:
    a = scheme(TWO).matrix({"v": 0.0, "celsius": 6.3})
    assert a == [[-2.0, 0.5], [2.0, -0.5]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=7))
def test_a_chain_is_steady_where_each_step_is_in_balance(steps: list[tuple[float, float]]) -> None:
    """Of a chain p[k + 1] / p[k] is the ratio of the rates there and back."""
    rates = {}
    for k, (there, back) in enumerate(steps):
        rates[f"s{k}", f"s{k + 1}"] = constant(there)
        rates[f"s{k + 1}", f"s{k}"] = constant(back)
    expected = np.cumprod([1.0, *(there / back for there, back in steps)])
    found = scheme(rates, open="s0").at({"v": np.zeros(3), "celsius": 6.3})
    np.testing.assert_allclose(found[:, 1], expected / expected.sum(), rtol=1e-13)
    np.testing.assert_allclose(found.sum(axis=0), 1.0, rtol=1e-14)


def test_a_ring_is_steady_where_nothing_flows_on_the_whole() -> None:
    ring = scheme(RING)
    for p, v in zip(ring.at(AT).T, V, strict=True):
        a = dense(ring, v)
        assert np.abs(a @ p).max() < 1e-14 * np.abs(a).max()
        assert np.all(p > 0.0)


def test_a_scheme_that_never_conducts_is_refused() -> None:
    with pytest.raises(MembraneError, match=r"scheme 's': open=\{\}; give a state"):
        Markov("s", RING, open={})


def test_how_far_it_is_open() -> None:
    partly = Markov("s", RING, open={"o": 1.0, "i": 0.25})
    p = partly.at(AT)
    np.testing.assert_array_equal(partly.conducting(list(p)), p[2] + 0.25 * p[3])
    np.testing.assert_array_equal(scheme(RING).conducting(list(p)), p[2])


def test_rates_may_ask_for_concentrations_and_temperature() -> None:
    bound = scheme({("c", "o"): lambda cai: 1e3 * cai, ("o", "c"): lambda celsius: celsius / 10})
    p = bound.at({"v": V, "celsius": 20.0, "cai": 2e-3})
    np.testing.assert_allclose(p[1], 0.5, rtol=1e-15)
    assert bound.depends_on == {"cai", "celsius"}
    assert scheme(TWO, q10=2.0).depends_on == {"v", "celsius"}


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"name": "s t"}, "scheme name 's t'"),
        ({"rates": {}}, r"scheme 's': rates=\{\}; give \{\(from, to\): function\}"),
        ({"rates": [("c", "o")]}, "scheme 's': rates="),
        ({"rates": {"co": opening}}, "scheme 's': 'co' is no pair of states"),
        ({"rates": {("c", "o", "i"): opening}}, "is no pair of states"),
        ({"rates": {("o", "o"): opening}}, r"\('o', 'o'\) is no pair of states"),
        ({"rates": {("c", 1): opening}}, "state name 1"),
        ({"rates": {("c", "o"): 0.5, ("o", "c"): closing}}, "the rate c to o=0.5 is no function"),
        ({"open": "open"}, "open='open' is none of its states c, o"),
        ({"open": {"c": 1.0, "x": 0.5}}, "open='x' is none of its states c, o"),
        ({"open": {"o": "far"}}, "scheme 's': open = 'far'"),
        ({"power": 0}, "scheme 's': power=0; give a whole number from 1 to 8"),
        ({"q10": -1.0}, "scheme 's': q10 = -1.0"),
        ({"celsius": np.nan}, "scheme 's': celsius = nan"),
    ],
)
def test_schemes_that_cannot_be_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(MembraneError, match=advice):
        Markov(**({"name": "s", "rates": TWO, "open": "o"} | arguments))


def test_quantities_that_there_are_not_are_refused() -> None:
    with pytest.raises(MembraneError, match=r"asks for 'cai'.*there are v, celsius"):
        membrane_of(scheme({("c", "o"): lambda cai: cai, ("o", "c"): closing}))


@pytest.mark.parametrize(
    ("rates", "advice"),
    [
        # Two ends that are never left: where it ends depends on where it began.
        ({("c", "a"): constant(1.0), ("c", "b"): constant(1.0)}, "no single steady state"),
        ({("a", "b"): constant(0.0), ("b", "a"): constant(0.0)}, "no single steady state"),
        ({("c", "a"): constant(np.nan), ("a", "c"): constant(1.0)}, "a rate is not finite"),
        ({("c", "a"): lambda v: 1.0 / (0 * v), ("a", "c"): constant(1.0)}, "not finite"),
        (
            {("c", "a"): lambda v: None, ("a", "c"): constant(1.0)},
            "scheme 's': a function of v returned None",
        ),
        ({("c", "a"): constant(-1.0), ("a", "c"): constant(2.0)}, "negative"),
    ],
)
def test_rates_without_a_steady_state_are_refused(rates: Rates, advice: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(MembraneError, match=advice):
        scheme(rates, open="a").at(AT)


# ---- how it moves --------------------------------------------------------------------------------


def program_of(of: Markov, dt: float, celsius: float = 6.3) -> Any:
    return lower(membrane_of(of), np.zeros(V.size), np.array([celsius]), dt)


def alexander(a: np.ndarray, p: np.ndarray, dt: float) -> np.ndarray:
    """One step of R. Alexander, SIAM J. Numer. Anal. 14, 1006-1021 (1977), order 2."""
    gamma = 1.0 - np.sqrt(0.5)
    implicit = np.eye(p.size) - gamma * dt * a
    k1 = np.linalg.solve(implicit, a @ p)
    k2 = np.linalg.solve(implicit, a @ (p + dt * (1.0 - gamma) * k1))
    return p + dt * ((1.0 - gamma) * k1 + gamma * k2)


@pytest.mark.parametrize("first_step", [False, True])
@pytest.mark.parametrize("isa", ISAS)
def test_one_step_is_the_method_named(isa: str, first_step: bool) -> None:
    ring, dt = scheme(RING, q10=2.0, celsius=16.3), 0.1
    p = np.random.default_rng(0).dirichlet(np.ones(4), V.size).T
    found = advanced(program_of(ring, dt), V, p, dt=dt, isa=isa, first_step=first_step)
    for k, v in enumerate(V):
        a = dense(ring, v) * 0.5
        expected = alexander(a, p[:, k], dt / 2 if first_step else dt)
        # Elimination without pivots, of a diagonally dominant matrix; rates that are read from a
        # table are good to 1e-7, of what moves in a step.
        np.testing.assert_allclose(found[:, k], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("rate", [0.1, 10.0, 1e4])
@pytest.mark.parametrize("n", [3, 9, 24])
def test_long_chains_of_rates_that_are_constant(n: int, rate: float) -> None:
    """Nothing of their elimination is known before, when a step is written down."""
    steps = range(n - 1)
    rates = {(f"s{k}", f"s{k + 1}"): constant(rate * (k + 1)) for k in steps}
    rates |= {(f"s{k + 1}", f"s{k}"): constant(rate * (k + 2)) for k in steps}
    chain, dt = scheme(rates, open="s0"), 0.01
    p = np.random.default_rng(n).dirichlet(np.ones(n), V.size).T
    found = advanced(program_of(chain, dt), V, p, dt=dt)
    for k, v in enumerate(V):
        expected = alexander(dense(chain, v), p[:, k], dt)
        np.testing.assert_allclose(found[:, k], expected, rtol=0, atol=1e-13)


def test_order_is_two() -> None:
    """Against the exponential of the matrix, at potentials that are held."""
    ring, p0 = scheme(RING), np.tile([[0.1], [0.2], [0.3], [0.4]], V.size)
    end, errors = 2.0, []
    exact = np.transpose([after(dense(ring, v), p, end) for v, p in zip(V, p0.T, strict=True)])
    for k in range(5):
        dt = 0.05 / 2**k
        found = advanced(program_of(ring, dt), V, p0, dt=dt, steps=round(end / dt))
        errors.append(np.abs(found - exact).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(orders, 2.0, atol=0.05)


@pytest.mark.parametrize("rate", [1e3, 1e5, 1e7])
def test_stiff_rates_are_damped(rate: float) -> None:
    """What is far from its steady state comes near it in a single step, however long.

    The method's factor for a rate is (1 + (1 - 2γ) z) / (1 - γ z)², with z = -rate dt: it falls
    as 5/(rate dt), where Crank and Nicolson's tends to -1.
    """
    dt, gamma = 0.1, 1.0 - np.sqrt(0.5)
    fast = scheme({("c", "o"): constant(0.25 * rate), ("o", "c"): constant(0.75 * rate)})
    start = np.tile([[0.0], [1.0]], V.size)
    z = -rate * dt
    factor = (1.0 + (1.0 - 2.0 * gamma) * z) / (1.0 - gamma * z) ** 2
    assert abs(factor) < 5.0 / abs(z)
    for steps in (1, 2, 3):
        found = advanced(program_of(fast, dt), V, start, dt=dt, steps=steps)
        # Elimination of a matrix whose entries are rate dt times as large as what is sought.
        rtol = 1e-12 + 1e-16 * rate * dt
        np.testing.assert_allclose(found[1], 0.25 + 0.75 * factor**steps, rtol=rtol)


@pytest.mark.parametrize("isa", ISAS)
def test_occupancies_add_up_to_one_for_ever(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a rounding, after 1e4 steps of a spiking axon whose scheme goes back and forth."""
    monkeypatch.setenv("AXON_ISA", isa)
    squid = models.hodgkin_huxley()
    stiff = dict(RING) | {("c2", "c3"): constant(4e5), ("c3", "c2"): constant(3e5)}
    membrane = Membrane([*squid.channels, Channel("ch", 1e-4, -70.0, gates=[scheme(stiff)])])
    simulation = axon.Simulation(
        axon.Axon.cylinder(4e3, 20.0, compartments=16),
        membrane,
        [axon.CurrentClamp(0.0, axon.constant(20.0))],
        dt=0.02,
        v_init=-60.0,
    )
    kernel = simulation._equations.kernel()
    kernel.set("v", simulation.v_init)
    kernel.set("state", simulation._states_init)
    steps, open_at = 10_000, state_names(membrane).index("ch.s.o")
    sums, opened = [], []
    current, damped = simulation._equations.stimulation(0, steps)
    for first in range(0, steps, 100):
        block = slice(first, first + 100)
        kernel.advance(current[block], damped[block], np.empty((0, 0), np.float32),
                       np.empty(1600, np.int64), np.empty(1600))  # fmt: skip
        state = kernel.get("state").reshape(-1, 16)
        sums.append(state[3:].sum(axis=0))
        opened.append(state[open_at])
    assert np.ptp(opened) > 0.2
    assert np.all(np.array(opened) > 0.0)
    assert np.abs(np.array(sums) - 1.0).max() < 1e-15


def test_two_states_are_a_gate() -> None:
    """The same steady state; the same course but for dt², exponential against implicit stages."""
    two = Gate("s", alpha=opening, beta=closing)
    np.testing.assert_allclose(scheme(TWO).at(AT)[1], two.at(AT)[0], rtol=1e-14)
    fibre = axon.Axon.cylinder(1e3, 2.0, compartments=10)

    def v(of: Markov | Gate, dt: float) -> np.ndarray:
        channels = [Channel("ch", 2e-3, -90.0, gates=[of]), Channel("leak", 3e-4, -50.0)]
        clamp = axon.CurrentClamp(0.0, axon.pulse(0.3, start=1.0, duration=2.0))
        simulation = axon.Simulation(fibre, Membrane(channels), [clamp], dt=dt, v_init=-70.0)
        return np.asarray(simulation.run(6.0, every=0.2, dtype="float64").v)

    differences = []
    for dt in (0.1, 0.05, 0.025):
        one, other = v(two, dt), v(scheme(TWO), dt)
        assert np.ptp(one) > 10.0
        differences.append(np.abs(one - other).max())
    assert differences[0] < 0.01
    np.testing.assert_allclose(np.divide(differences[:-1], differences[1:]), 4.0, rtol=0.1)


def test_a_run_begins_with_steady_occupancies() -> None:
    membrane = membrane_of(scheme(RING, power=2))
    found = initial_states(membrane, np.zeros(V.size), np.array([6.3]), V)
    np.testing.assert_array_equal(found, scheme(RING).at(AT))
    assert state_names(membrane) == ("ch.s.c1", "ch.s.c2", "ch.s.o", "ch.s.i")


def test_a_scheme_has_a_power_in_the_conductance() -> None:
    fibre = axon.Axon.cylinder(100.0, 2.0, compartments=3)

    def v(of: Markov, **open: Any) -> np.ndarray:
        channels = [Channel("ch", 1e-3, -90.0, gates=[of], **open), Channel("leak", 3e-4, -50.0)]
        simulation = axon.Simulation(fibre, Membrane(channels), dt=0.05, v_init=-70.0)
        return np.asarray(simulation.run(2.0, dtype="float64").v)

    cubed = v(scheme(RING, power=3))
    np.testing.assert_allclose(v(scheme(RING), open=lambda s: s * s * s), cubed, rtol=1e-13)
    assert not np.allclose(v(scheme(RING)), cubed, rtol=1e-4)
