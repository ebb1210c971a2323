"""The cable equation by the scheme of the kernel, written slowly and to be read.

Staggered Crank-Nicolson on a tree of compartments: potentials live on whole steps, gates on half
steps. Everything the C kernel does with tables, lanes and blocks must agree with this.

Units: mV, ms, µm, µF/cm², S/cm², Ω·cm, nA; inside, nF (capacitance), µS (conductance) and nA, which
fit together: nF/ms = µS, µS·mV = nA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rate = Callable[[Array], Array]


@dataclass(frozen=True)
class Gate:
    """dx/dt = (inf(v) - x) / tau(v), with v in mV and tau in ms."""

    inf: Rate
    tau: Rate


@dataclass(frozen=True)
class Conductance:
    """An ohmic current gbar * product of gates[j] ** powers[j] * (v - e), in mA/cm²."""

    gbar: float | Array  # S/cm²
    e: float | Array  # mV
    powers: tuple[int, ...] = ()  # one for each gate of the membrane; none: a leak


@dataclass(frozen=True)
class Membrane:
    gates: tuple[Gate, ...]
    conductances: tuple[Conductance, ...]


@dataclass(frozen=True)
class Cable:
    """Compartments in an order that puts every parent before its children, -1 the parent of 0."""

    area: Array  # (n,) µm²
    cm: Array  # (n,) µF/cm²
    axial: Array  # (n-1,) µS, from compartment i + 1 to its parent
    parent: npt.NDArray[np.int64]  # (n,)

    @classmethod
    def cylinder(
        cls, length: float, diameter: float, *, Ra: float, cm: float, compartments: int
    ) -> Cable:
        n = compartments
        dx = length / n
        resistance = 4 * Ra * dx / (np.pi * diameter**2) * 1e-2  # Ω·cm / µm = 1e4 Ω = 1e-2 MΩ
        return cls(
            area=np.full(n, np.pi * diameter * dx),
            cm=np.full(n, cm),
            axial=np.full(n - 1, 1 / resistance),
            parent=np.arange(n) - 1,
        )


class Stimulus(Protocol):
    """A current into one compartment, in nA; positive depolarises."""

    @property
    def compartment(self) -> int: ...

    def mean(self, start: float, stop: float) -> float:
        """Mean over the interval, exactly."""

    def edges(self) -> Sequence[float]:
        """Times at which the current jumps."""


@dataclass(frozen=True)
class Pulse:
    compartment: int
    amplitude: float  # nA
    start: float
    duration: float

    def mean(self, start: float, stop: float) -> float:
        on = min(stop, self.start + self.duration) - max(start, self.start)
        return self.amplitude * max(on, 0.0) / (stop - start)

    def edges(self) -> Sequence[float]:
        return (self.start, self.start + self.duration)


def axial_current(cable: Cable, v: Array) -> Array:
    """What flows into each compartment from its neighbours, in nA."""
    into_child = cable.axial * (v[cable.parent[1:]] - v[1:])
    total = np.zeros_like(v)
    total[1:] += into_child
    np.subtract.at(total, cable.parent[1:], into_child)
    return total


def solve(cable: Cable, loss: Array, current: Array) -> Array:
    """Potentials x with loss * x - axial_current(x) = current, by elimination on the tree.

    Leaves first towards the root, then back: Hines, Int. J. Bio-Med. Comput. 15, 69-76 (1984).
    """
    diagonal = loss.copy()
    diagonal[1:] += cable.axial
    np.add.at(diagonal, cable.parent[1:], cable.axial)
    d, x = diagonal.tolist(), current.tolist()  # Python floats: no numpy call per compartment
    g, parent = [0.0, *cable.axial.tolist()], cable.parent.tolist()
    for i in range(len(d) - 1, 0, -1):
        factor = g[i] / d[i]
        d[parent[i]] -= factor * g[i]
        x[parent[i]] += factor * x[i]
    x[0] /= d[0]
    for i in range(1, len(d)):
        x[i] = (x[i] + g[i] * x[parent[i]]) / d[i]
    return np.array(x)


def damping(stimuli: Sequence[Stimulus], step: int, dt: float) -> float:
    """How far a step is damped, 0 to 1: wholly if the mean current may jump as it begins.

    So does the first step's, against nothing. An edge where the step begins is one jump. An edge
    within a step is two: the step's own mean lies between the old current and the new one, and the
    next step's mean is the new one; both steps ring if they aren't damped. The farther one of the
    two begins from the edge, beyond 7/8 of a step, the less there is to damp in it.
    """
    edges = np.array([edge for stimulus in stimuli for edge in stimulus.edges()])
    rounding = 1e-6  # of a step: 0.07 * 100 is not 7
    away = np.abs(edges / dt - step)
    near = np.minimum(1.0, 8.0 * (1.0 - away[away < 1.0 - rounding]))
    return 1.0 if step == 0 else float(near.max(initial=0.0))


def integrate(
    cable: Cable,
    membrane: Membrane,
    stimuli: Sequence[Stimulus] = (),
    *,
    v_init: float | Array,
    dt: float,
    steps: int,
    gates_init: Sequence[Array] | None = None,
    method: str = "crank-nicolson",
    record: slice | Sequence[int] = slice(None),
) -> Array:
    """Potential in mV after 0, 1, ..., `steps` steps of the recorded compartments, (steps + 1, m).

    Gates start at `gates_init`, or at their steady state for `v_init`.

    References
    ----------
    J. Crank, P. Nicolson, Proc. Camb. Philos. Soc. 43, 50-67 (1947).
    R. Rannacher, Numer. Math. 43, 309-327 (1984): backward Euler steps after a discontinuity.
    M. Hines, Int. J. Bio-Med. Comput. 15, 69-76 (1984): staggered gates.
    """
    if method not in ("crank-nicolson", "backward-euler"):
        raise ValueError(f"method: {method!r} is neither 'crank-nicolson' nor 'backward-euler'")
    v = np.broadcast_to(np.asarray(v_init, dtype=float), cable.area.shape).copy()
    gates = [gate.inf(v) for gate in membrane.gates] if gates_init is None else list(gates_init)
    capacitance = cable.cm * cable.area * 1e-5  # nF
    per_area = cable.area * 1e-2  # S/cm² -> µS, mA/cm² -> nA
    out = np.empty((steps + 1, len(v[record])))
    out[0] = v[record]

    for step in range(steps):
        # Gates from t - dt/2 to t + dt/2, exactly for frozen v; they start at t = 0.
        elapsed = dt if step else dt / 2
        for j, gate in enumerate(membrane.gates):
            inf = gate.inf(v)
            gates[j] = inf + (gates[j] - inf) * np.exp(-elapsed / gate.tau(v))

        # The ionic current is i + g (V - v).
        g, i = np.zeros_like(v), np.zeros_like(v)
        for channel in membrane.conductances:
            opened = channel.gbar * np.ones_like(v)
            for x, power in zip(gates, channel.powers, strict=False):
                opened = opened * x**power
            g += opened
            i += opened * (v - channel.e)

        injected = np.zeros_like(v)
        for stimulus in stimuli:
            injected[stimulus.compartment] += stimulus.mean(step * dt, (step + 1) * dt)
        current = axial_current(cable, v) - per_area * i + injected

        if method == "backward-euler":
            v = v + solve(cable, capacitance / dt + per_area * g, current)
        else:
            inertia = capacitance / (dt / 2)
            loss = inertia + per_area * g
            half = solve(cable, loss, current)
            damped = damping(stimuli, step, dt)
            second = solve(cable, loss, inertia * half) if damped else half
            v = v + half + (1.0 - damped) * half + damped * second
        out[step + 1] = v[record]
    return out


def crossing_times(v: Array, dt: float, threshold: float) -> Array:
    """When each column of `v` (time, compartment) first rises through `threshold`, in ms.

    Interpolated linearly between steps; NaN where it never does.
    """
    rises = (v[:-1] < threshold) & (v[1:] >= threshold)
    row, column = rises.argmax(axis=0), np.arange(v.shape[1])
    below, above = v[row, column], v[row + 1, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        times = (row + (threshold - below) / (above - below)) * dt
    return np.where(rises.any(axis=0), times, np.nan)
