"""A membrane whose concentrations move, by the scheme of the kernel, written slowly and to be read.

`reference.cable` has the scheme for gates that feel the potential alone. Here currents are any
function of potential, gates and concentrations; gates and schemes of states may depend on
concentrations; and concentrations follow the currents. `exact` integrates the same equations by
another method, with steps as small as one likes.

Units: mV, ms, mA/cm², mM; of the cable as in `reference.cable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from reference.cable import Array, Cable, Stimulus, axial_current, damping, solve

Values = dict[str, Any]
"""Concentrations, bound fractions, gates or occupancies by name."""


@dataclass(frozen=True)
class Gate:
    """dx/dt = (inf - x) / tau, both functions of potential (mV) and concentrations (mM)."""

    inf: Callable[[Array, Values], Any]
    tau: Callable[[Array, Values], Any]  # ms
    slow: bool = False  # whether it moves with slow steps, where there are such


@dataclass(frozen=True)
class Scheme:
    """States with rates between them, functions of potential and concentrations, 1/ms."""

    states: int
    rates: Mapping[tuple[int, int], Callable[[Array, Values], Any]]

    def matrix(self, v: Array, c: Values) -> Array:
        """A of dp/dt = A p, (n, states, states)."""
        a = np.zeros((v.size, self.states, self.states))
        for (start, end), rate in self.rates.items():
            a[:, end, start] += rate(v, c)
            a[:, start, start] -= rate(v, c)
        return a

    def steady(self, v: Array, c: Values) -> Array:
        """Occupancies (states, n) at which nothing changes: the null space of A, by its SVD."""
        last = np.linalg.svd(self.matrix(v, c))[2][:, -1]
        return (last / last.sum(axis=1, keepdims=True)).T


@dataclass(frozen=True)
class Buffer:
    """d bound/dt = binding c (1 - bound) - unbinding bound."""

    total: float  # mM
    binding: float  # 1/(mM ms)
    unbinding: float  # 1/ms


@dataclass(frozen=True)
class Pool:
    """dc/dt = gain i + (bath - c) / time_constant - what buffers take."""

    ion: str
    initial: float  # mM
    gain: float | Array  # mM/ms for 1 mA/cm², with its sign
    bath: float = 0.0  # mM
    time_constant: float = np.inf  # ms
    buffers: Mapping[str, Buffer] = field(default_factory=dict)


@dataclass(frozen=True)
class Membrane:
    """Gates, schemes and pools by name, and the current of every ion.

    `currents` is a function of potential, gates and schemes, and concentrations; it is evaluated
    at complex potentials for its slope, so it may not take absolute values or compare.
    """

    currents: Callable[[Any, Values, Values], Mapping[str, Any]]  # mA/cm²
    gates: Mapping[str, Gate] = field(default_factory=dict)
    schemes: Mapping[str, Scheme] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)

    def start(self, v: Array) -> tuple[Values, Values]:
        """Gates and concentrations at time zero: steady for `v`, and as the pools begin."""
        c: Values = {}
        for name, pool in self.pools.items():
            c[name] = np.full_like(v, pool.initial)
            for own, b in pool.buffers.items():
                taken = b.binding * c[name]
                c[f"{name}.{own}"] = taken / (taken + b.unbinding)
        gates: Values = {
            name: gate.inf(v, c) * np.ones_like(v) for name, gate in self.gates.items()
        }
        return gates | {name: scheme.steady(v, c) for name, scheme in self.schemes.items()}, c

    def linearised(self, v: Array, gates: Values, c: Values) -> dict[str, tuple[Array, Array]]:
        """Current of each ion and its slope, by a step into the complex plane: exact to rounding.

        W. Squire, G. Trapp, SIAM Rev. 40, 110-112 (1998).
        """
        h = 1e-30
        complex_currents = self.currents(v + 1j * h, gates, c)
        return {
            ion: (np.real(i) * np.ones_like(v), np.imag(i) / h * np.ones_like(v))
            for ion, i in complex_currents.items()
        }

    def changes(self, currents: Mapping[str, Array], c: Values) -> Values:
        """d/dt of every concentration and bound fraction, mM/ms and 1/ms."""
        rates: Values = {}
        for name, pool in self.pools.items():
            rates[name] = (
                pool.gain * currents[pool.ion] + (pool.bath - c[name]) / pool.time_constant
            )
            for own, b in pool.buffers.items():
                bound = c[f"{name}.{own}"]
                rates[f"{name}.{own}"] = b.binding * c[name] * (1.0 - bound) - b.unbinding * bound
                rates[name] = rates[name] - b.total * rates[f"{name}.{own}"]
        return rates


def moved_gates(membrane: Membrane, gates: Values, v: Array, c: Values, elapsed: float) -> Values:
    """Gates by their exact solution for frozen rates, schemes by two implicit stages.

    The stages: R. Alexander, SIAM J. Numer. Anal. 14, 1006-1021 (1977), order 2, L-stable.
    """
    moved = {}
    for name, gate in membrane.gates.items():
        inf = gate.inf(v, c)
        moved[name] = inf + (gates[name] - inf) * np.exp(-elapsed / gate.tau(v, c))
    gamma = 1.0 - 1.0 / np.sqrt(2.0)
    for name, scheme in membrane.schemes.items():
        a = elapsed * scheme.matrix(v, c)
        implicit = np.eye(scheme.states) - gamma * a
        old = gates[name].T[..., None]
        first = np.linalg.solve(implicit, a @ old)
        second = np.linalg.solve(implicit, a @ (old + (1.0 - gamma) * first))
        moved[name] = (old + (1.0 - gamma) * first + gamma * second)[..., 0].T
    return moved


@dataclass(frozen=True)
class Course:
    """What `integrate` and `exact` return, each array with a row for every step, the first at 0.

    Of `integrate`, gates and concentrations of a row are those of half a step before it.
    """

    v: Array  # (rows, n)
    gates: dict[str, Array]  # (rows, n), of schemes (rows, states, n)
    concentrations: dict[str, Array]  # (rows, n)

    @classmethod
    def of(cls, rows: Sequence[tuple[Array, Values, Values]]) -> Course:
        v, gates, c = zip(*rows, strict=True)
        return cls(
            np.array(v),
            {name: np.array([row[name] for row in gates]) for name in gates[0]},
            {name: np.array([row[name] for row in c]) for name in c[0]},
        )


def integrate(
    cable: Cable,
    membrane: Membrane,
    stimuli: Sequence[Stimulus] = (),
    *,
    v_init: float | Array,
    dt: float,
    steps: int,
    method: str = "crank-nicolson",
    stride: int = 1,
) -> Course:
    """The course of potential, gates and concentrations over `steps` steps of `dt`.

    Where a step begins, V is known at t, all else at t - dt/2. With a `stride` above 1
    concentrations and slow gates move with every `stride`-th step, to where they are half way to
    the next one: concentrations by the mean current since the last one, gates by their rates at V.

    References
    ----------
    `reference.cable.integrate` has those of the scheme without concentrations. E. Hairer,
    S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I, 2nd ed. (1993), III.1:
    Adams and Bashforth's method, of order 2.
    """
    v = np.broadcast_to(np.asarray(v_init, dtype=float), cable.area.shape).copy()
    gates, c = membrane.start(v)
    inertia = 1e-5 * cable.cm * cable.area / (dt if method == "backward-euler" else dt / 2)  # µS
    per_area = 1e-2 * cable.area  # S/cm² -> µS, mA/cm² -> nA
    # The currents at the middle of the step before the first are those of the start; so is the
    # rate at which concentrations changed then.
    at_middle = {ion: i for ion, (i, _) in membrane.linearised(v, gates, c).items()}
    rates_before = membrane.changes(at_middle, c)
    passed = {ion: (stride - 1) * i for ion, i in at_middle.items()}
    rows = [(v, gates, c)]

    for step in range(steps):
        elapsed = dt if step else dt / 2  # all but V starts at t = 0
        # Concentrations, by Adams and Bashforth; currents are known in the middle of the last
        # step, which is where these concentrations are.
        passed = {ion: passed[ion] + i for ion, i in at_middle.items()}
        old = c
        if step % stride == 0:
            rates = membrane.changes({ion: i / stride for ion, i in passed.items()}, c)
            c = {
                name: c[name] + stride * elapsed * (1.5 * rates[name] - 0.5 * rates_before[name])
                for name in c
            }
            rates_before, passed = rates, dict.fromkeys(passed, 0.0)
        # Gates, by rates at the middle of what they cross: V(t), and the concentrations there.
        seen = means = {name: 0.5 * (old[name] + c[name]) for name in c}
        if stride > 1:
            seen = {name: c[name] - 0.5 * elapsed * rates_before[name] for name in c}
        fast = moved_gates(membrane, gates, v, seen, elapsed)
        slowly = moved_gates(membrane, gates, v, means, stride * elapsed)
        for name, gate in membrane.gates.items():
            if gate.slow and stride > 1:
                fast[name] = slowly[name] if step % stride == 0 else gates[name]
        gates = fast

        # Currents, linear about V(t).
        linear = membrane.linearised(v, gates, c)
        total = sum((i for i, _ in linear.values()), np.zeros_like(v))
        slope = sum((g for _, g in linear.values()), np.zeros_like(v))
        injected = np.zeros_like(v)
        for stimulus in stimuli:
            injected[stimulus.compartment] += stimulus.mean(step * dt, (step + 1) * dt)
        current = axial_current(cable, v) - per_area * total + injected
        loss = inertia + per_area * slope
        half = solve(cable, loss, current)
        at_middle = {ion: i + g * half for ion, (i, g) in linear.items()}
        if method == "backward-euler":
            v = v + half
        else:
            damped = damping(stimuli, step, dt)
            second = solve(cable, loss, inertia * half) if damped else half
            v = v + half + (1.0 - damped) * half + damped * second
        rows.append((v, gates, c))
    return Course.of(rows)


def exact(
    cable: Cable,
    membrane: Membrane,
    stimuli: Sequence[Stimulus] = (),
    *,
    v_init: float | Array,
    dt: float,
    steps: int,
    every: int = 1,
) -> Course:
    """The same equations by Runge and Kutta's classical method, of order 4, all at one time.

    A row for every `every` steps. Edges of stimuli should lie on steps.
    """
    v = np.broadcast_to(np.asarray(v_init, dtype=float), cable.area.shape).copy()
    capacitance, per_area = 1e-5 * cable.cm * cable.area, 1e-2 * cable.area

    def change(state: Values, injected: Array) -> Values:
        at = state["v"]
        currents = {
            ion: np.real(i) * np.ones_like(at)
            for ion, i in membrane.currents(at, state, state).items()
        }
        total = sum(currents.values(), np.zeros_like(at))
        found = membrane.changes(currents, state)
        found["v"] = (axial_current(cable, at) - per_area * total + injected) / capacitance
        for name, gate in membrane.gates.items():
            found[name] = (gate.inf(at, state) - state[name]) / gate.tau(at, state)
        for name, scheme in membrane.schemes.items():
            found[name] = np.einsum("nij,jn->in", scheme.matrix(at, state), state[name])
        return found

    def plus(state: Values, h: float, slope: Values) -> Values:
        return {name: value + h * slope[name] for name, value in state.items()}

    gates, c = membrane.start(v)
    state = {"v": v, **gates, **c}
    rows = [(v, gates, c)]
    for step in range(steps):
        injected = np.zeros_like(v)
        for stimulus in stimuli:
            injected[stimulus.compartment] += stimulus.mean(step * dt, (step + 1) * dt)
        k1 = change(state, injected)
        k2 = change(plus(state, dt / 2, k1), injected)
        k3 = change(plus(state, dt / 2, k2), injected)
        k4 = change(plus(state, dt, k3), injected)
        for slope, weight in ((k1, 1 / 6), (k2, 1 / 3), (k3, 1 / 3), (k4, 1 / 6)):
            state = plus(state, dt * weight, slope)
        if (step + 1) % every == 0:
            rows.append((state["v"], {n: state[n] for n in gates}, {n: state[n] for n in c}))
    return Course.of(rows)
