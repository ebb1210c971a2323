"""The C kernel: its solver, its arithmetic, its stepping, and what it refuses."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from physics import ionic
from reference import cable as slow
from reference import hodgkin_huxley as slow_models

from axon import _kernel, models
from axon.channels import Channel
from axon.errors import MembraneError, SimulationError
from axon.membranes import Membrane
from axon.program import Program, initial_states, lower, state_names
from axon.tables import Table

SETS = _kernel.instruction_sets()
ISAS = [name for name, (supported, _) in SETS.items() if supported]
FUSED = [name for name in ISAS if SETS[name][1]]
OPERATIONS = _kernel.operations()

each_isa = pytest.mark.parametrize("isa", ISAS)
each_method = pytest.mark.parametrize(
    "backward_euler", [False, True], ids=["crank-nicolson", "backward-euler"]
)
two_fused = pytest.mark.skipif(
    len(FUSED) < 2, reason=f"of the sets with fused multiply-add this machine has {FUSED} only"
)

EPS = np.finfo(float).eps
FINITE = [5e-324, 1e-310, 2.2250738585072014e-308, 1e-17, 0.5, 1.0, 1e5, 1.7976931348623157e308]
# On either side of where exp overflows, and where it vanishes.
ENDS_OF_EXP = [709.782712893384, 709.7827128933841, 710.5, 745.1332191019411, 745.1332191019412]
SPECIAL = np.array([0.0, np.inf, np.nan, *FINITE, *ENDS_OF_EXP, 746.5, 800.0])
SPECIAL = np.concatenate([SPECIAL, -SPECIAL])

# ---- kernels to test with ----------------------------------------------------------------


def squid(n: int, dt: float = 0.02, celsius: Sequence[float] = (6.3,)) -> Program:
    """Hodgkin-Huxley; with a temperature for each compartment its gates run in the program."""
    return lower(models.hodgkin_huxley(), np.arange(n) * 100.0, np.array(celsius), dt)


def warmer_downwards(n: int) -> Program:
    return squid(n, celsius=np.linspace(6.3, 12.0, n + 1)[:n] if n > 1 else (6.3,))


def every_operation(n: int) -> Program:
    """A leak with a state of its own that goes through every operation of the program."""
    slots = {"v": 0, "dt": 1, "x": 2, "gbar": 3, "e": 4, "small": 5, "scale": 6, "half": 7}
    temps = itertools.count(8)
    code: list[tuple[str, int, int, int, int]] = []

    def do(op: str, *operands: int) -> int:
        out = next(temps)
        code.append((op, out, *operands, *(-1,) * (3 - len(operands))))
        return out

    v, dt, x, gbar, e = (slots[k] for k in ("v", "dt", "x", "gbar", "e"))
    u = do("MUL", v, slots["scale"])
    rate = do("ADD", do("EXP", u), do("EXPREL", do("NEG", u)))
    inf = do("DIV", do("MUL3", do("EXP", u), rate, do("RECIPROCAL", rate)), rate)
    tail = do("RECIPROCAL_ADD", do("EXP_FMA", u, slots["half"], u), slots["small"])
    tail = do("RECIPROCAL_FMA", tail, do("EXP_MUL", u, slots["half"]), slots["half"])
    inf = do("LERP", slots["half"], tail, inf)
    factor = do("NEG", do("EXPM1", do("FNMA", slots["half"], rate, do("FMS", dt, rate, rate))))
    wave = do("TANH", do("LOG", do("SQRT", do("ADD", do("ABS", u), slots["small"]))))
    near = do("SELECT", do("LT", v, e), wave, do("MIN", do("MAX", wave, x), inf))
    same = do("MUL", do("LE", v, v), do("EQ", e, e))
    moved = do("FMA", factor, do("SUB", inf, x), x)
    g = do("MUL", do("FMA", do("MUL", near, near), gbar, gbar), do("COPY", same))
    code.append(("COPY", x, moved, -1, -1))
    offset = do("MUL", g, e)
    assert {op for op, *_ in code} == set(OPERATIONS)
    gbar_values = np.linspace(1e-4, 3e-4, n)
    return Program(
        states=("own.x",),
        params=(gbar_values, np.array([-60.0])),
        param_names=("gbar", "e"),
        consts=np.array([0.125, 0.03]),
        multiples=np.array([0.5]),
        n_temps=next(temps) - 8,
        tables=(),
        code=tuple(code),
        middle_state=-1,
        slope_slot=g,
        offset_slot=offset,
        terms=((gbar, e, ((x, 2),), -1),),
        ions=(),
    )


def leak(g: float = 1e-3, e: float = -65.0) -> Program:
    return lower(models.passive(g, e), np.zeros(1), np.array([6.3]), 0.02)


# Concentrations that move: of 1 mA/cm², mM/ms, as in the thinnest axon.
IONIC = ionic.fast()
GAINS = IONIC.per_current(np.array([0.4]))
IONIC_STATES = state_names(IONIC)


def pools(n: int) -> Program:
    """Every part that a membrane can have: what currents leave behind moves pools."""
    return lower(IONIC, np.arange(n) * 100.0, np.array([ionic.CELSIUS]), 0.02, GAINS)


PROGRAMS = {
    "tables": squid,
    "traced": warmer_downwards,
    "every operation": every_operation,
    "pools": pools,
}
each_program = pytest.mark.parametrize("program", PROGRAMS)

# Properties that are the same all along: the kernel keeps a single row of such.
EVEN = ["", "area", "capacitance", "axial", "area capacitance axial"]
each_evenness = pytest.mark.parametrize("even", EVEN)


def kernel(
    n: int, program: Program, *, seed: int = 0, even: str = "", **options: Any
) -> _kernel.Kernel:
    """An axon like the squid's, a little uneven, with two electrodes in up to three places."""
    rng = np.random.default_rng(seed)
    uneven = rng.uniform(0.8, 1.2, (3, n))
    for row, name in enumerate(("area", "capacitance", "axial")):
        if name in even:
            uneven[row] = 1.1
    area = np.pi * 476.0 * 100.0 * uneven[0]  # µm²
    arguments: dict[str, Any] = {
        "area": 1e-2 * area,
        "capacitance": 1e-5 * np.pi * 476.0 * 100.0 * uneven[1],
        "axial": 50.0 * uneven[2, : n - 1],
        "program": program,
        "sources": (2, [0, n // 2, n - 1], [0, 1, 1], np.array([1.0, 0.5, 0.5]) * min(n, 20)),
        "dt": 0.02,
        "backward_euler": False,
        "spike_threshold": -20.0,
        "isa": None,
        "recorded": np.arange(n)[:: max(1, n // 7)],
        "record_every": 3,
        "record_float": False,
    }
    made = _kernel.Kernel(**(arguments | options))
    v = rng.uniform(-75.0, -55.0, n)
    made.set("v", v)
    if program.states == IONIC_STATES:  # concentrations are not any numbers
        x, celsius = np.arange(n) * 100.0, np.array([ionic.CELSIUS])
        made.set("state", initial_states(IONIC, x, celsius, v, GAINS))
    else:
        made.set("state", rng.uniform(0.05, 0.6, made.fields["state"]))
    return made


def stimulation(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Pulses at both electrodes, in nA, and how far each step is damped."""
    current = np.zeros((steps, 2))
    current[10:40, 0] = 300.0
    current[25:60, 1] = -50.0
    current[150:170, 1] = 400.0
    damped = np.any(np.diff(current, axis=0, prepend=0.0) != 0.0, axis=1).astype(float)
    damped[0] = 1.0
    damped[[9, 26]] = 0.25, 0.75  # as if one edge were a little earlier, and one a little later
    return current, damped


@dataclass
class Outcome:
    """All that a run leaves behind."""

    fields: dict[str, np.ndarray]
    rows: np.ndarray
    spike_compartment: np.ndarray
    spike_time: np.ndarray
    stops: int  # how often a buffer was full

    def bits(self) -> tuple[bytes, ...]:
        parts = (*self.fields.values(), self.rows, self.spike_compartment, self.spike_time)
        return tuple(part.tobytes() for part in parts)


def drive(
    self: _kernel.Kernel,
    current: np.ndarray,
    damped: np.ndarray,
    *,
    blocks: Iterable[int] = (1 << 30,),
    row_room: int = 1000,
    spike_room: int | None = None,
) -> Outcome:
    """Advance through all steps, in blocks, draining the buffers after each."""
    rows, where, when = [], [], []
    done, stops, sizes = 0, 0, itertools.cycle(blocks)
    compartments = np.empty(spike_room or 50 * self.n, np.int64)
    times = np.empty(compartments.size)
    while done < damped.size:
        stop = min(damped.size, done + next(sizes))
        room = np.empty((row_room, self.n_recorded), self.row_dtype)
        status, taken, n_rows, n_spikes = self.advance(
            current[done:stop], damped[done:stop], room, compartments, times
        )
        assert status == ("done" if taken == stop - done else "full")
        stops += status == "full"
        rows.append(room[:n_rows])
        where.append(compartments[:n_spikes].copy())
        when.append(times[:n_spikes].copy())
        done += taken
    fields = {name: self.get(name) for name in self.fields}
    return Outcome(fields, *map(np.concatenate, (rows, where, when)), stops)


# ---- the solver --------------------------------------------------------------------------

SIZES = [*range(1, 71), 255, 256, 257, 258, 511, 512, 513, 1000, 1024, 1025, 1033, 1041, 4097]


@cache
def system(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axial conductances, diagonal and right-hand side, each over six decades."""
    rng = np.random.default_rng(n)
    axial = 10.0 ** rng.uniform(-3, 3, n - 1)
    return axial, 10.0 ** rng.uniform(-3, 3, n), rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3, n)


def dense(axial: np.ndarray, d: np.ndarray) -> np.ndarray:
    a = np.diag(d)
    at = np.arange(axial.size)
    a[at, at] += axial
    a[at + 1, at + 1] += axial
    a[at, at + 1] = a[at + 1, at] = -axial
    return a


def solver(axial: np.ndarray, isa: str) -> _kernel.Kernel:
    n = axial.size + 1
    return kernel(n, leak(), axial=axial, isa=isa)


@pytest.mark.parametrize("n", SIZES)
def test_solver_agrees_with_a_dense_solve(n: int) -> None:
    axial, d, b = system(n)
    a = dense(axial, d)
    # The inverse of such a matrix has no negative entry, so its norm is that of its row sums.
    exact, row_sums = np.linalg.solve(a, np.stack([b, np.ones(n)], axis=1)).T
    condition = np.abs(a).sum(axis=1).max() * row_sums.max()
    scale = np.abs(a) @ np.abs(exact) + np.abs(b)
    found = {isa: solver(axial, isa).solve(d, b) for isa in ISAS}
    for x in found.values():
        # Elimination of a diagonally dominant matrix: a few roundings of the largest terms. Row by
        # row there is no such bound: where x is small, it is the sum of larger parts, those of
        # the row below and of the node on the left.
        assert np.abs(a @ x - b).max() <= 4 * EPS * scale.max()
        # Both solutions are off by the rounding of the matrix times its condition, at the most.
        assert np.abs(x - exact).max() <= EPS * condition * np.abs(exact).max()
    assert len({found[isa].tobytes() for isa in FUSED}) <= 1


@each_isa
@pytest.mark.parametrize("n", [2, 3, 8, 9, 20, 33, 100, 256, 300])
def test_solver_of_uniform_cables(n: int, isa: str) -> None:
    _, d, b = system(n)
    for axial in (np.full(n - 1, 1e-3), np.full(n - 1, 40.0), np.full(n - 1, 1e5)):
        self = kernel(n, leak(), axial=axial, even="area capacitance", isa=isa)
        x = self.solve(d, b)
        a = dense(axial, d)
        assert np.all(np.abs(a @ x - b) <= 20 * EPS * (np.abs(a) @ np.abs(x) + np.abs(b)))


@each_isa
@pytest.mark.parametrize("n", [2, 7, 9, 100, 300])
def test_solver_needs_no_diagonal_where_neighbours_hold(n: int, isa: str) -> None:
    axial, d, b = system(n)
    d = np.where(np.arange(n) == n // 2, d, 0.0)
    x = solver(axial, isa).solve(d, b)
    a = dense(axial, d)
    assert np.all(np.abs(a @ x - b) <= 20 * EPS * (np.abs(a) @ np.abs(x) + np.abs(b)))


@each_isa
def test_solving_leaves_the_simulation_as_it_was(isa: str) -> None:
    _, d, b = system(100)
    self, untouched = (kernel(100, squid(100), isa=isa) for _ in range(2))
    self.solve(d, b)
    assert drive(self, *stimulation(200)).bits() == drive(untouched, *stimulation(200)).bits()


# ---- trees -------------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> np.ndarray:
    """Parents of up to 300 compartments: straight stretches, bushes, stars and caterpillars."""
    n = draw(st.integers(1, 300))
    straight = draw(st.sampled_from([0.0, 0.5, 0.9, 0.98, 1.0]))
    back = draw(st.sampled_from([1, 3, 30, n]))  # how far a branch's parent lies behind, at most
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parent = np.arange(n) - 1
    for i in range(1, n):
        if rng.random() >= straight:
            parent[i] = rng.integers(max(0, i - back), i)
    return parent


def branched(parent: np.ndarray, axial: np.ndarray, d: np.ndarray) -> np.ndarray:
    a = np.diag(d)
    child = np.arange(1, d.size)
    np.add.at(a, (child, child), axial)
    np.add.at(a, (parent[1:], parent[1:]), axial)
    a[child, parent[1:]] = a[parent[1:], child] = -axial
    return a


def by_stretch(parent: np.ndarray, values: np.ndarray, alike: bool) -> np.ndarray:
    """The values, or if those of a stretch are to be alike those of their first compartments."""
    begins = parent != np.arange(parent.size) - 1
    first = np.maximum.accumulate(np.where(begins, np.arange(parent.size), 0))
    return values[first] if alike else values


@settings(max_examples=400, deadline=None)
@given(parent=trees(), seed=st.integers(0, 2**32))
@example(parent=np.array([-1] + [0] * 299), seed=0)
@example(parent=(np.arange(300) - 1) // 2, seed=0)
@example(parent=np.where(np.arange(1300) % 140 == 1, 0, np.arange(1300) - 1), seed=0)
@example(parent=np.where(np.arange(1300) % 140 == 1, 0, np.arange(1300) - 1), seed=1)
def test_solver_agrees_with_a_dense_solve_on_trees(parent: np.ndarray, seed: int) -> None:
    check_tree(parent, seed)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(parent=trees(), seed=st.integers(0, 2**32))
def test_solver_agrees_with_a_dense_solve_on_thousands_of_trees(
    parent: np.ndarray, seed: int
) -> None:
    check_tree(parent, seed)


def check_tree(parent: np.ndarray, seed: int) -> None:
    n, rng = parent.size, np.random.default_rng(seed)
    parent = parent.copy()
    parent[:1] = -1
    # As on branches of any shape, or on cylinders.
    axial = by_stretch(parent, 10.0 ** rng.uniform(-3, 3, n), seed % 2 == 0)[1:]
    d, b = 10.0 ** rng.uniform(-3, 3, n), rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3, n)
    a = branched(parent, axial, d)
    exact, row_sums = np.linalg.solve(a, np.stack([b, np.ones(n)], axis=1)).T
    condition = np.abs(a).sum(axis=1).max() * row_sums.max()
    scale = np.abs(a) @ np.abs(exact) + np.abs(b)
    found = {
        isa: kernel(n, leak(), axial=axial, parent=parent, isa=isa).solve(d, b) for isa in ISAS
    }
    for x in found.values():
        # As for a cable: a few roundings of the largest terms; the most seen in 20,000 were 4.4. A
        # branch point sums up as many terms as it has neighbours.
        terms = max(8, np.bincount(parent + 1).max())
        assert np.abs(a @ x - b).max() <= terms * EPS * scale.max()
        # What such a residual makes of the solution at the most.
        assert np.abs(x - exact).max() <= terms * EPS * condition * np.abs(exact).max()
    assert len({found[isa].tobytes() for isa in FUSED}) <= 1


BUSHES = {
    "a bush": lambda n: (np.arange(n) - 1) // 2,
    "a star": lambda n: np.where(np.arange(n) % 7 == 1, 0, np.arange(n) - 1),
    "a comb": lambda n: np.where(np.arange(n) % 3 == 0, np.arange(n) - 3, np.arange(n) - 1),
    "a cable": lambda n: np.arange(n) - 1,
    "long arms": lambda n: np.where(np.arange(n) % (n // 9 + 1) == 1, 0, np.arange(n) - 1),
}
each_bush = pytest.mark.parametrize("bush", BUSHES)


def bushy(bush: str, n: int) -> np.ndarray:
    parent: np.ndarray = BUSHES[bush](n)
    parent[0] = -1
    return parent


@each_bush
@each_program
@each_method
def test_trees_run_with_the_same_bits_on_fused_sets(
    bush: str, program: str, backward_euler: bool
) -> None:
    options: dict[str, Any] = {"parent": bushy(bush, 150), "backward_euler": backward_euler}
    if program == "pools":
        options["exchange"] = np.full((2, 149), 0.01)
    first, *others = (
        drive(kernel(150, PROGRAMS[program](150), isa=isa, **options), *stimulation(250))
        for isa in FUSED
    )
    assert all(other.bits() == first.bits() for other in others)
    assert np.all(np.isfinite(first.rows))


@each_program
def test_a_cable_given_as_a_tree_has_the_same_bits(program: str) -> None:
    for n in (1, 2, 7, 8, 9, 100, 257, 1041):
        plain, tree = (
            drive(kernel(n, PROGRAMS[program](n), **given), *stimulation(250))
            for given in ({}, {"parent": np.arange(n) - 1})
        )
        assert tree.bits() == plain.bits()


@each_isa
@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(
    ("bush", "n"), [*itertools.product(BUSHES, (3, 20, 131)), ("long arms", 1400)]
)
@each_method
def test_trees_agree_with_the_slow_engine(
    bush: str, n: int, alike: bool, backward_euler: bool, isa: str
) -> None:
    rng = np.random.default_rng(n)
    parent = bushy(bush, n)
    area, capacitance, axial = (
        by_stretch(parent, values, alike)
        for values in (
            1.5e5 * rng.uniform(0.5, 2.0, n),
            1.5 * rng.uniform(0.5, 2.0, n),
            10.0 ** rng.uniform(1.0, 2.4, n),
        )
    )
    axial = axial[1:]
    steps, dt = 150 if n < 1000 else 40, 0.02
    current, damped = stimulation(steps)
    self = kernel(
        n,
        squid(n),
        area=1e-2 * area,
        capacitance=capacitance,
        axial=axial,
        parent=parent,
        sources=(2, [0, n - 1], [0, 1], [20.0, 20.0]),
        backward_euler=backward_euler,
        recorded=np.arange(n),
        record_every=1,
        isa=isa,
    )
    expected = slow.integrate(
        slow.Cable(area, capacitance / (1e-5 * area), axial, parent),
        slow_models.hodgkin_huxley(6.3),
        [Steps(at, 20.0 * current[:, k], damped, dt) for k, at in enumerate((0, n - 1))],
        v_init=self.get("v"),
        gates_init=list(self.get("state").reshape(3, n)),
        dt=dt,
        steps=steps,
        method="backward-euler" if backward_euler else "crank-nicolson",
    )
    np.testing.assert_allclose(drive(self, current, damped).rows, expected[1:], rtol=0, atol=1e-5)


# ---- the operations ----------------------------------------------------------------------


def wide(rng: np.random.Generator, low: float, high: float, size: int = 20_000) -> np.ndarray:
    """Both signs, uniform in the exponent."""
    return rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(low, high, size)


def ulps(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance in units of the last place of the result; infinite where the kind differs."""
    nearest = exact.astype(float)
    ordinary = np.isfinite(nearest) & np.isfinite(found)
    same_kind = (np.isnan(found) & np.isnan(nearest)) | (found == nearest)
    out = np.where(same_kind, 0.0, np.inf)
    unit = np.spacing(np.abs(nearest[ordinary])).astype(np.longdouble)
    out[ordinary] = np.abs(found[ordinary] - exact[ordinary]) / unit
    return out


def exprel(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0.0, 1.0, x / np.where(x == 0.0, 1.0, np.expm1(x)))


# The function, where it is probed, and how far off it may be. Measured: 1.10, 1.89, 1.81,
# 2.49, 2.17, 0.5003.
ELEMENTARY = {
    "EXP": (np.exp, [(-746.0, 710.0), (-1.0, 1.0)], 1.2),
    "EXPM1": (np.expm1, [(-60.0, 709.7), (-2.0, 2.0), (37.0, 52.0)], 2.0),
    "LOG": (np.log, [(0.0, 2.0), (0.9, 1.1)], 2.0),
    "TANH": (np.tanh, [(-25.0, 25.0), (-1.0, 1.0)], 3.0),
    "EXPREL": (exprel, [(-700.0, 700.0), (-2.0, 2.0)], 3.0),
    "RECIPROCAL": (np.reciprocal, [(-2.0, 2.0), (1.0, 1.0 + 1e-12), (2.0 - 1e-12, 2.0)], 0.51),
}


@each_isa
@pytest.mark.parametrize("op", ELEMENTARY)
def test_elementary_functions_are_good_to_a_few_ulp(op: str, isa: str) -> None:
    function, ranges, bound = ELEMENTARY[op]
    rng = np.random.default_rng(1)
    x = np.concatenate([*(rng.uniform(*ends, 50_000) for ends in ranges), wide(rng, -323, 2.8)])
    special = SPECIAL
    if op == "EXPREL":  # beyond the end of exp: below
        special = special[~(special > 709.78) | (special == np.inf)]
    x = np.concatenate([x, special])
    with np.errstate(all="ignore"):
        off = ulps(_kernel.apply(isa, op, x), function(x.astype(np.longdouble)))
    assert off.max() <= bound, f"{off.max()} at {x[off.argmax()]!r}"


@each_isa
def test_exprel_beyond_the_end_of_exp(isa: str) -> None:
    # exp is infinite there, and the true value, below 1e-305, is nothing to anybody.
    assert np.all(_kernel.apply(isa, "EXPREL", [709.8, 800.0, 1e300]) == 0.0)


with np.errstate(all="ignore"):
    EXACT = {
        "COPY": lambda x: x,
        "NEG": np.negative,
        "ABS": np.abs,
        "SQRT": np.sqrt,
        "ADD": np.add,
        "SUB": np.subtract,
        "MUL": np.multiply,
        # As x86 has it: of two zeros, or with a NaN, the second.
        "MIN": lambda x, y: np.where(x < y, x, y),
        "MAX": lambda x, y: np.where(x > y, x, y),
        "LT": lambda x, y: (x < y) * 1.0,
        "LE": lambda x, y: (x <= y) * 1.0,
        "EQ": lambda x, y: (x == y) * 1.0,
        "SELECT": lambda x, y, z: np.where(x != 0.0, y, z),
    }


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """To the bit, but that one NaN is as good as another."""
    return np.array_equal(np.isnan(a), np.isnan(b)) and (
        np.where(np.isnan(a), 0.0, a).tobytes() == np.where(np.isnan(b), 0.0, b).tobytes()
    )


def operands(op: str) -> list[np.ndarray]:
    """Random numbers, then all combinations of special ones."""
    rng = np.random.default_rng(2)
    count = OPERATIONS[op]
    few = np.array([0.0, np.inf, np.nan, 5e-324, 0.5, 1.0, 1.7976931348623157e308])
    few = np.concatenate([few, -few])
    combined = np.array(list(itertools.product(few, repeat=count))).T
    random = np.where(
        rng.random((count, 20_000)) < 0.5,
        rng.normal(size=(count, 20_000)),
        wide(rng, -323, 308, count * 20_000).reshape(count, -1),
    )
    return [np.concatenate(pair) for pair in zip(random, combined, strict=True)]


@each_isa
@pytest.mark.parametrize("op", EXACT)
def test_plain_operations_are_exact(op: str, isa: str) -> None:
    x = operands(op)
    with np.errstate(all="ignore"):
        assert same_bits(_kernel.apply(isa, op, *x), EXACT[op](*x))


MULTIPLY_ADDS = ("FMA", "FMS", "FNMA")
OF_TWO = ("DIV", "MUL3", "LERP", "EXP_MUL", "EXP_FMA", "RECIPROCAL_ADD", "RECIPROCAL_FMA")


def fused(x: float, y: float, z: float) -> float:
    """x y + z rounded once."""
    if not np.isfinite(z) and np.isfinite(x) and np.isfinite(y):
        return z
    if not all(map(np.isfinite, (x, y, z))):
        return x * y + z
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if exact == 0:
        return x * y + z  # for its sign
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


@each_isa
def test_multiply_add_rounds_once_where_it_is_fused(isa: str) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 3000))
    z = -x * y * (1.0 + EPS * rng.integers(-3, 4, 3000))  # cancels all but a few bits
    a, b, c = (np.concatenate([p, q]) for p, q in zip((x, y, z), operands("FMA"), strict=True))
    a, b, c = a[::3], b[::3], c[::3]
    if SETS[isa][1]:
        exact = np.array([fused(*map(float, xyz)) for xyz in zip(a, b, c, strict=True)])
    else:
        with np.errstate(all="ignore"):
            exact = a * b + c
    assert same_bits(_kernel.apply(isa, "FMA", a, b, c), exact)
    assert same_bits(_kernel.apply(isa, "FMS", a, b, -c), exact)
    assert same_bits(_kernel.apply(isa, "FNMA", -a, b, c), exact)


@each_isa
def test_what_takes_one_instruction_is_two_operations(isa: str) -> None:
    def apply(op: str, *x: Any) -> np.ndarray:
        return _kernel.apply(isa, op, *x)

    a, b = operands("ADD")
    assert same_bits(apply("DIV", a, b), apply("MUL", a, apply("RECIPROCAL", b)))
    a, b, c = operands("FMA")
    assert same_bits(apply("MUL3", a, b, c), apply("MUL", apply("MUL", a, b), c))
    assert same_bits(apply("LERP", a, b, c), apply("FMA", a, apply("SUB", b, c), c))
    assert same_bits(apply("EXP_FMA", a, b, c), apply("EXP", apply("FMA", a, b, c)))
    assert same_bits(apply("RECIPROCAL_FMA", a, b, c), apply("RECIPROCAL", apply("FMA", a, b, c)))
    a, b = operands("ADD")
    assert same_bits(apply("RECIPROCAL_ADD", a, b), apply("RECIPROCAL", apply("ADD", a, b)))
    assert same_bits(apply("EXP_MUL", a, b), apply("EXP", apply("MUL", a, b)))


def test_every_operation_is_tested() -> None:
    assert {*ELEMENTARY, *EXACT, *MULTIPLY_ADDS, *OF_TWO} == set(OPERATIONS)


@each_isa
@pytest.mark.parametrize("op", OPERATIONS)
def test_operands_may_be_the_same_everywhere(op: str, isa: str) -> None:
    n, count = 1300, OPERATIONS[op]  # more rows than are at work together
    values = np.random.default_rng(4).uniform(0.5, 2.0, (count, n))
    for uniform in itertools.product([False, True], repeat=count):
        params = [x[:1] if same else x for x, same in zip(values, uniform, strict=True)]
        x, first, gbar = 2, 3, 3 + count
        program = Program(
            states=("own.x",),
            params=(*params, np.array([1e-3]), np.array([-60.0])),
            param_names=(*"abc"[:count], "gbar", "e"),
            consts=np.zeros(0),
            multiples=np.zeros(0),
            n_temps=0,
            tables=(),
            code=((op, x, *range(first, gbar), *(-1,) * (3 - count)),),
            middle_state=-1,
            slope_slot=-1,
            offset_slot=-1,
            terms=((gbar, gbar + 1, (), -1),),
            ions=(),
        )
        self = kernel(n, program, isa=isa)
        drive(self, *(x[:1] for x in stimulation(40)))
        expected = np.broadcast_to(_kernel.apply(isa, op, *params), n)
        assert same_bits(self.get("state"), expected)


@two_fused
@pytest.mark.parametrize("op", OPERATIONS)
def test_fused_sets_compute_the_same_bits(op: str) -> None:
    x = operands(op)
    first, *others = (_kernel.apply(isa, op, *x) for isa in FUSED)
    assert all(same_bits(first, other) for other in others)


# ---- stepping ----------------------------------------------------------------------------


@two_fused
@each_method
@each_program
@pytest.mark.parametrize("even", ["", "area capacitance axial"], ids=["uneven", "even"])
@pytest.mark.parametrize("n", [1, 13, 100, 300])
def test_fused_sets_run_with_the_same_bits(
    n: int, even: str, program: str, backward_euler: bool
) -> None:
    options = {"even": even, "backward_euler": backward_euler}
    first, *others = (
        drive(kernel(n, PROGRAMS[program](n), isa=isa, **options), *stimulation(250))
        for isa in FUSED
    )
    assert all(other.bits() == first.bits() for other in others)
    assert first.spike_time.size >= 1
    assert np.all(np.isfinite(first.rows))


@each_isa
@each_program
def test_instruction_sets_agree(program: str, isa: str) -> None:
    best = drive(kernel(100, PROGRAMS[program](100)), *stimulation(250))
    this = drive(kernel(100, PROGRAMS[program](100), isa=isa), *stimulation(250))
    # 250 steps of roundings of 1e-16, made larger where the membrane is excitable.
    np.testing.assert_allclose(this.rows, best.rows, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(this.spike_compartment, best.spike_compartment)


@dataclass(frozen=True)
class Steps:
    """A current that is constant over each step, as the slow engine wants it."""

    compartment: int
    current: np.ndarray
    damped: np.ndarray
    dt: float

    def mean(self, start: float, stop: float) -> float:
        return float(self.current[round(start / self.dt)])

    def edges(self) -> Sequence[float]:
        part = np.where(self.damped < 1.0, self.damped, 0.0) / 8.0  # of a step, from its neighbour
        at = np.arange(part.size) + np.append(part[1:], 0.0) - np.append(0.0, part[:-1])
        return list(at[self.damped == 1.0] * self.dt)


@each_isa
@each_method
@each_evenness
@pytest.mark.parametrize("n", [1, 5, 8, 31, 100, 259])
def test_stepping_agrees_with_the_slow_engine(
    n: int, even: str, backward_euler: bool, isa: str
) -> None:
    rng = np.random.default_rng(n)

    def spread(name: str, low: float, high: float, size: int) -> np.ndarray:
        return np.ones(size) if name in even else rng.uniform(low, high, size)

    area = 1.5e5 * spread("area", 0.5, 2.0, n)  # µm²
    capacitance = 1.5 * spread("capacitance", 0.5, 2.0, n)  # nF
    axial = 10.0 ** (1.7 * spread("axial", 0.6, 1.4, n - 1))  # µS
    steps, dt = 150, 0.02
    current, damped = stimulation(steps)
    weight = min(n, 8)
    self = kernel(
        n,
        squid(n),
        area=1e-2 * area,
        capacitance=capacitance,
        axial=axial,
        sources=(2, [0, n - 1], [0, 1], [weight, weight]),
        backward_euler=backward_euler,
        recorded=np.arange(n),
        record_every=1,
        isa=isa,
    )
    gates = self.get("state").reshape(3, n)
    expected = slow.integrate(
        slow.Cable(area, capacitance / (1e-5 * area), axial, np.arange(n) - 1),
        slow_models.hodgkin_huxley(6.3),
        [Steps(at, weight * current[:, k], damped, dt) for k, at in enumerate((0, n - 1))],
        v_init=self.get("v"),
        gates_init=list(gates),
        dt=dt,
        steps=steps,
        method="backward-euler" if backward_euler else "crank-nicolson",
    )
    # The tables are good to 1e-8; over a spike of 100 mV that makes about 1e-6 mV.
    np.testing.assert_allclose(drive(self, current, damped).rows, expected[1:], rtol=0, atol=1e-5)


@each_isa
@pytest.mark.parametrize("n", [1, 8, 31, 100, 300])
def test_current_of_the_program_is_as_good_as_an_ohmic_one(n: int, isa: str) -> None:
    # 1e-3 x (v + 65), x a parameter that varies, all of it in temporaries.
    x = np.linspace(0.5, 1.5, n) if n > 1 else np.ones(1)
    ohmic = Program(
        states=(),
        params=(x,),
        param_names=("x",),
        consts=np.array([1e-3, -65.0]),
        multiples=np.zeros(0),
        n_temps=0,
        tables=(),
        code=(),
        middle_state=-1,
        slope_slot=-1,
        offset_slot=-1,
        terms=((3, 4, ((2, 1),), -1),),
        ions=(),
    )
    # slots: v 0, dt 1, x 2, consts 3 and 4, temporaries from 5
    conductance = ("MUL", 5, 3, 2, -1)
    programmed = replace(
        ohmic,
        n_temps=2,
        code=(conductance, ("MUL", 6, 5, 4, -1)),
        middle_state=-1,
        slope_slot=5,
        offset_slot=6,
        terms=(),
        ions=(),
    )
    mixed = replace(ohmic, n_temps=1, code=(("MUL", 5, 3, 2, -1),), terms=((5, 4, (), -1),))
    factor = replace(
        ohmic, n_temps=1, code=(("COPY", 5, 2, -1, -1),), terms=((3, 4, ((5, 1),), -1),)
    )
    expected = drive(kernel(n, ohmic, isa=isa), *stimulation(60)).rows
    for program in (programmed, mixed, factor):
        found = drive(kernel(n, program, isa=isa), *stimulation(60)).rows
        # The same sums in another order, over 60 steps.
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-11)


@each_isa
def test_leaks_add_up(isa: str) -> None:
    n = 40
    varying = np.linspace(0.5, 1.5, n)
    leaks = [(1e-4, -80.0), (3e-4, -40.0), (2e-4 * varying, 10.0), (5e-5, 0.0)]
    apart = Membrane([Channel(f"leak_{k}", gbar=g, reversal=e) for k, (g, e) in enumerate(leaks)])
    g = sum(g for g, _ in leaks)
    together = models.passive(g=g, e=sum(g * e for g, e in leaks) / g)
    one, other = (
        drive(kernel(n, lower(m, np.zeros(n), np.array([6.3]), 0.02), isa=isa), *stimulation(60))
        for m in (apart, together)
    )
    # The same sums in another order, over 60 steps.
    np.testing.assert_allclose(one.rows, other.rows, rtol=1e-12)


@each_isa
@pytest.mark.parametrize("power", range(1, 9))
def test_powers_of_a_gate(power: int, isa: str) -> None:
    program = Program(
        states=("a.x",),
        params=(),
        param_names=(),
        consts=np.array([1e-3, -65.0]),
        multiples=np.zeros(0),
        n_temps=0,
        tables=(),
        code=(),
        middle_state=-1,
        slope_slot=-1,
        offset_slot=-1,
        terms=((3, 4, ((2, power),), -1),),
        ions=(),
    )
    n = 20
    self = kernel(
        n, program, isa=isa, area=np.full(n, 1500.0), capacitance=np.full(n, 1.5),
        axial=np.full(n - 1, 1e-300),
    )  # fmt: skip
    v, x = self.get("v"), self.get("state")
    # One damped step of c dv/dt = -g (v + 65): two backward Euler halves.
    area, capacitance = 1500.0, 1.5
    g = 1e-3 * x**power * area
    for _ in range(2):
        v = v - g * (v + 65.0) / (capacitance / 0.01 + g)
    drive(self, np.zeros((1, 2)), np.ones(1))
    np.testing.assert_allclose(self.get("v"), v, rtol=1e-14)


# ---- buffers, blocks, state --------------------------------------------------------------

small = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@small
@given(
    n=st.sampled_from([1, 6, 17, 64, 1100]),
    program=st.sampled_from(list(PROGRAMS)),
    backward_euler=st.booleans(),
    even=st.sampled_from(EVEN),
    blocks=st.lists(st.integers(1, 90), min_size=1, max_size=5),
    row_room=st.integers(1, 9),
    extra_spikes=st.integers(0, 40),
)
def test_blocks_and_buffers_of_any_size_give_the_same_bits(
    n: int,
    program: str,
    backward_euler: bool,
    even: str,
    blocks: list[int],
    row_room: int,
    extra_spikes: int,
) -> None:
    def run(**how: Any) -> Outcome:
        self = kernel(n, PROGRAMS[program](n), even=even, backward_euler=backward_euler)
        return drive(self, *stimulation(180), **how)

    at_once = run()
    assert at_once.stops == 0
    in_blocks = run(blocks=blocks, row_room=row_room, spike_room=n + extra_spikes)
    assert in_blocks.bits() == at_once.bits()


def test_full_buffers_stop_the_run_before_the_step_that_would_not_fit() -> None:
    n = 20
    current, damped = stimulation(200)
    few_rows = drive(kernel(n, squid(n)), current, damped, row_room=5)
    few_spikes = drive(kernel(n, squid(n)), current, damped, spike_room=n + 1)
    assert few_rows.stops == 66 // 5
    assert few_spikes.spike_time.size > 2
    assert few_spikes.stops >= 2

    self = kernel(n, squid(n))
    rows = np.empty((0, self.n_recorded))
    status, taken, n_rows, _ = self.advance(
        current, damped, rows, np.empty(n, np.int64), np.empty(n)
    )
    assert (status, taken, n_rows) == ("full", 2, 0)  # the third step makes the first row


@pytest.mark.parametrize("record_float", [False, True])
@pytest.mark.parametrize(("n", "width"), [(1, 1), (20, 20), (20, 30), (20, 8), (257, 100)])
def test_rows_stand_in_blocks_as_in_chunks(n: int, width: int, record_float: bool) -> None:
    current, damped = stimulation(40)
    spikes = np.empty(50 * n, np.int64), np.empty(50 * n)

    def filled(*, blocks: int, columns: int) -> np.ndarray:
        self = kernel(n, squid(n), recorded=np.arange(n), record_every=1, record_float=record_float)
        room = np.full((blocks, 50, columns), -1.0, self.row_dtype)
        assert self.advance(current, damped, room[:, 7:], *spikes)[:3] == ("done", 40, 40)
        assert (room[:, :7] == -1.0).all() and (room[:, 47:] == -1.0).all()
        return np.concatenate(list(room[:, 7:47]), axis=1)

    found = filled(blocks=-(-n // width), columns=width)
    np.testing.assert_array_equal(found[:, :n], filled(blocks=1, columns=n))
    assert (found[:, n:] == -1.0).all()


def test_zero_steps_change_nothing() -> None:
    self = kernel(9, squid(9))
    before = {name: self.get(name) for name in self.fields}
    nothing = self.advance(
        np.zeros((0, 2)), np.zeros(0), np.empty((1, self.n_recorded)),
        np.empty(9, np.int64), np.empty(9),
    )  # fmt: skip
    assert nothing == ("done", 0, 0, 0)
    assert all(np.array_equal(self.get(name), before[name]) for name in before)


@small
@given(
    n=st.sampled_from([1, 5, 23, 100, 1049]),
    program=st.sampled_from(list(PROGRAMS)),
    backward_euler=st.booleans(),
    even=st.sampled_from(EVEN),
    split=st.integers(0, 200),
    isa=st.sampled_from(ISAS),
)
def test_a_run_goes_on_from_its_fields_alone(
    n: int, program: str, backward_euler: bool, even: str, split: int, isa: str
) -> None:
    def make() -> _kernel.Kernel:
        options = {"even": even, "backward_euler": backward_euler, "isa": isa}
        return kernel(n, PROGRAMS[program](n), **options)

    current, damped = stimulation(200)
    never_stopped = drive(make(), current, damped)
    first = make()
    before = drive(first, current[:split], damped[:split]) if split else None
    second = make()
    second.set("v", np.zeros(n))
    for name in first.fields:
        second.set(name, first.get(name))
    after = drive(second, current[split:], damped[split:]) if split < 200 else None

    parts = [part for part in (before, after) if part is not None]
    whole = Outcome(
        parts[-1].fields,
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.spike_compartment for part in parts]),
        np.concatenate([part.spike_time for part in parts]),
        0,
    )
    assert whole.bits() == never_stopped.bits()


@each_isa
@pytest.mark.parametrize("n", [1, 2, 8, 9, 255, 256, 300])
def test_fields_come_back_as_they_were_set(n: int, isa: str) -> None:
    self = kernel(n, squid(n), isa=isa)
    assert self.fields == {"v": n, "state": 3 * n, "step": 1, "saturated_steps": 1}
    rng = np.random.default_rng(n)
    values = {"v": rng.normal(size=n), "state": rng.normal(size=3 * n)}
    values |= {"step": np.array([2.0**53]), "saturated_steps": np.array([7.0])}
    for name, value in values.items():
        self.set(name, value)
    for name, value in values.items():
        np.testing.assert_array_equal(self.get(name), value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v", [np.nan] * 9),
        ("state", [*np.zeros(26), np.inf]),
        ("step", -1),
        ("step", 0.5),
        ("step", 1e17),
        ("saturated_steps", np.nan),
        ("v", np.zeros(8)),
        ("state", np.zeros(28)),
        ("phase", 1.0),
    ],
)
def test_a_state_that_cannot_be_is_refused(name: str, value: Any) -> None:
    self = kernel(9, squid(9))
    before = {name: self.get(name) for name in self.fields}
    with pytest.raises(ValueError):
        self.set(name, value)
    assert all(np.array_equal(self.get(name), before[name]) for name in before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_the_potential_after_every_so_many_steps(dtype: type) -> None:
    n = 50
    recorded = [49, 3, 3, 17]
    current, damped = stimulation(100)
    options = {"recorded": recorded, "record_float": dtype is np.float32, "record_every": 7}
    rows = drive(kernel(n, squid(n), **options), current, damped).rows
    step_by_step = kernel(n, squid(n))
    expected = []
    for k in range(100):
        drive(step_by_step, current[k : k + 1], damped[k : k + 1])
        expected.append(step_by_step.get("v")[recorded])
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows, np.array(expected)[6::7].astype(dtype))


def test_spikes_are_upward_crossings_interpolated_within_the_step() -> None:
    n = 30
    options = {"recorded": np.arange(n), "record_every": 1}
    current, damped = stimulation(250)
    self = kernel(n, squid(n), **options)
    v = np.vstack([self.get("v"), (run := drive(self, current, damped)).rows])
    crossed = (v[:-1] < -20.0) & (v[1:] >= -20.0)
    step, compartment = np.nonzero(crossed)
    part = (-20.0 - v[:-1][crossed]) / (v[1:][crossed] - v[:-1][crossed])
    order = np.lexsort((run.spike_compartment, np.floor(run.spike_time / 0.02)))
    assert step.size >= n
    np.testing.assert_array_equal(run.spike_compartment[order], compartment)
    np.testing.assert_allclose(run.spike_time[order], (step + part) * 0.02, rtol=1e-14)


@each_isa
def test_a_potential_that_lands_on_the_threshold_has_crossed_it(isa: str) -> None:
    # 20 nA into 1 nF for 0.5 ms are 10 mV, all of it exact.
    n = 9
    self = kernel(
        n, leak(g=0.0), isa=isa, dt=0.5, area=np.ones(n), capacitance=np.ones(n),
        axial=np.full(n - 1, 1e-300), sources=(1, [4], [0], [1.0]),
    )  # fmt: skip
    self.set("v", np.full(n, -40.0))
    run = drive(self, np.full((4, 1), 20.0), np.zeros(4))
    assert run.fields["v"][4] == 0.0
    assert (list(run.spike_compartment), list(run.spike_time)) == ([4], [1.0])


def test_currents_add_up_where_electrodes_meet() -> None:
    n = 12
    current, damped = stimulation(50)
    apart = drive(kernel(n, squid(n), sources=(2, [3, 3], [0, 1], [1.0, -0.25])), current, damped)
    sum_of = (current[:, :1] - 0.25 * current[:, 1:]).copy()
    together = drive(kernel(n, squid(n), sources=(1, [3], [0], [1.0])), sum_of, damped)
    assert together.bits() == apart.bits()


# ---- numbers that run away ---------------------------------------------------------------


def advance_once(self: _kernel.Kernel, current: float) -> tuple[str, int]:
    rows = np.empty((10, self.n_recorded), self.row_dtype)
    spikes = np.empty(100 * self.n, np.int64), np.empty(100 * self.n)
    full = np.tile([0.0, current], (20, 1))
    full[:12] = 0.0
    return self.advance(full, np.ones(20), rows, *spikes)[:2]


@each_isa
@each_method
@pytest.mark.parametrize("current", [1e12, -1e12, np.nan, np.inf])
def test_divergence_says_where(current: float, backward_euler: bool, isa: str) -> None:
    n = 100
    self = kernel(
        n, squid(n), isa=isa, backward_euler=backward_euler, axial=np.full(n - 1, 1e-9),
        sources=(2, [5, 71], [0, 1], [1.0, 1.0]),
    )  # fmt: skip
    assert advance_once(self, current) == ("diverged", 12)
    where, v = self.divergence()
    # A NaN spreads through the whole solution at once.
    assert where == 71 or np.isnan(current) or np.isinf(current)
    assert not abs(v) <= _kernel.V_LIMIT
    assert v == self.get("v")[where] or np.isnan(v)
    assert self.get("step") == 13
    assert advance_once(self, 0.0) == ("diverged", 0)


def test_a_quiet_run_has_diverged_nowhere() -> None:
    self = kernel(9, squid(9))
    assert advance_once(self, 0.0) == ("done", 20)
    assert self.divergence()[0] == -1


@each_isa
def test_steps_outside_the_tables_are_counted(isa: str) -> None:
    n = 40
    inside = kernel(n, squid(n), isa=isa)
    assert advance_once(inside, 0.0) == ("done", 20)
    assert inside.get("saturated_steps") == 0.0

    outside = kernel(n, squid(n), isa=isa, capacitance=np.full(n, 1e9))  # it hardly moves
    outside.set("v", np.where(np.arange(n) == 17, 400.0, -65.0))
    assert advance_once(outside, 0.0) == ("done", 20)
    assert outside.get("saturated_steps") == 20.0

    without_tables = kernel(n, leak(), isa=isa, capacitance=np.full(n, 1e9))
    without_tables.set("v", np.full(n, 400.0))
    assert advance_once(without_tables, 0.0) == ("done", 20)
    assert without_tables.get("saturated_steps") == 0.0


@each_isa
def test_potentials_may_leave_the_tables_and_come_back(isa: str) -> None:
    n = 30
    self = kernel(n, squid(n), isa=isa, even="area capacitance axial")
    other = kernel(n, squid(n), isa=isa, even="area capacitance axial")
    for v in (-65.0, 600.0, -65.0, -900.0, -65.0):
        advance_once(self, 0.0)
        for name in ("state", "step", "saturated_steps"):
            other.set(name, self.get(name))
        # One has come from within, the other from nowhere.
        for each in (self, other):
            each.set("v", np.where(np.arange(n) == 11, v, -65.0))
            advance_once(each, 0.0)
        assert all(np.array_equal(self.get(name), other.get(name)) for name in self.fields)
        assert np.all(np.isfinite(self.get("state")))
        assert np.all((self.get("state") >= 0.0) & (self.get("state") <= 1.0))


@each_isa
@pytest.mark.parametrize("v_min", [10.0, 1e6, -1e6, -601.0])
def test_tables_that_do_not_hold_zero(v_min: float, isa: str) -> None:
    # All at 0 mV, where they stay: outside the table, which begins above or ends below.
    n = 20
    program = squid(n)
    table = program.tables[0]
    shifted = replace(program, terms=(), tables=(replace(table, v_min=v_min),))
    self = kernel(n, shifted, isa=isa)
    self.set("v", np.zeros(n))
    inf = table.cubics[0 if v_min > 0 else -1, 0, 0, :3]
    self.set("state", np.repeat(inf, n))
    assert advance_once(self, 0.0) == ("done", 20)
    # Gates in balance with the nearer end stay as they are.
    np.testing.assert_array_equal(self.get("state"), np.repeat(inf, n))
    assert self.get("saturated_steps") == 20.0


@each_isa
def test_beyond_the_tables_gates_go_on_as_at_their_end(isa: str) -> None:
    n = 24
    at_end, beyond = (kernel(n, squid(n), isa=isa, capacitance=np.full(n, 1e12)) for _ in "ab")
    for sign in (-1.0, 1.0):
        at_end.set("v", np.full(n, sign * 300.0))
        beyond.set("v", np.full(n, sign * 700.0))
        advance_once(at_end, 0.0)
        advance_once(beyond, 0.0)
        # The potentials creep by 1e-9 mV meanwhile.
        np.testing.assert_allclose(beyond.get("state"), at_end.get("state"), rtol=1e-9)


# ---- threads -----------------------------------------------------------------------------


def test_kernels_in_threads_give_the_bits_that_they_give_alone() -> None:
    current, damped = stimulation(2000)

    def run(seed: int) -> tuple[bytes, ...]:
        return drive(kernel(60 + 200 * seed, squid(60 + 200 * seed), seed=seed),
                     current, damped).bits()  # fmt: skip

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == alone


# ---- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"dt": 0.0},
        {"dt": -0.01},
        {"dt": np.nan},
        {"dt": np.inf},
        {"spike_threshold": np.nan},
        {"area": np.zeros(9)},
        {"area": np.array([1.0] * 8 + [np.nan])},
        {"area": np.zeros(0), "capacitance": np.zeros(0), "axial": np.zeros(0), "recorded": []},
        {"capacitance": -np.ones(9)},
        {"capacitance": np.ones(8)},
        {"axial": np.ones(9)},
        {"axial": np.array([1.0] * 7 + [0.0])},
        {"axial": np.array([1.0] * 7 + [np.inf])},
        {"parent": np.arange(8) - 1},
        {"parent": np.arange(9)},
        {"parent": np.array([-1, 0, 1, 2, 3, 4, 5, 6, -1])},
        {"parent": np.array([-1, 0, 1, 2, 5, 4, 5, 6, 7])},
        {"parent": np.array([-1, 0, 1, 2, 3, 4, 5, 6, 2**62])},
        {"parent": np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])},
        {"sources": (1, [9], [0], [1.0])},
        {"sources": (1, [-1], [0], [1.0])},
        {"sources": (1, [0], [1], [1.0])},
        {"sources": (1, [0], [-1], [1.0])},
        {"sources": (-1, [], [], [])},
        {"sources": (1, [0], [0], [np.nan])},
        {"sources": (1, [0], [0, 0], [1.0])},
        {"recorded": [9]},
        {"recorded": [-1]},
        {"record_every": -1},
        {"electrodes": np.ones((2, 8))},
        {"electrodes": [[1.0] * 8 + [np.nan]]},
        {"isa": "sse9"},
        {"program": squid(8, celsius=np.linspace(6, 7, 8))},
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((SimulationError, MembraneError)):
        kernel(9, options.pop("program", leak()), **options)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [1, 5, 8, 9, 23, 100, 257])
def test_what_electrodes_see_is_a_sum_in_one_order(n: int, isa: str) -> None:
    """Eight sums, of every eighth compartment each, then theirs: to the bit."""
    weight = np.random.default_rng(n).normal(size=(3, n))
    every = {"recorded": np.arange(n), "record_every": 1, "isa": isa}
    self = kernel(n, squid(n), electrodes=weight, **every)
    current, damped = stimulation(60)
    rows, seen = np.empty((60, n)), np.empty((60, 3))
    spikes = np.empty(50 * n, np.int64), np.empty(50 * n)
    at_first = self.get("v"), self.see()
    assert self.advance(current, damped, rows, *spikes, seen)[:3] == ("done", 60, 60)
    np.testing.assert_array_equal(self.see(), seen[-1])
    for v, found in [at_first, *zip(rows, seen, strict=True)]:
        for w, value in zip(weight, found, strict=True):
            sums = np.zeros(8)
            for i in range(n):
                sums[i % 8] += w[i] * v[i]
            total = sums[0]
            for one in sums[1:]:
                total += one
            assert total == value
    assert self.advance(current, damped, rows, *spikes, seen[:7])[:3] == ("full", 7, 7)


def test_buffers_of_the_wrong_shape_are_refused() -> None:
    self = kernel(9, leak(), electrodes=np.ones((2, 9)))
    good: dict[str, Any] = {
        "current": np.zeros((4, 2)),
        "damped": np.zeros(4),
        "rows": np.zeros((4, self.n_recorded)),
        "spike_compartment": np.zeros(9, np.int64),
        "spike_time": np.zeros(9),
        "seen": np.zeros((4, 2)),
    }
    for bad in (
        {"seen": None},
        {"seen": np.zeros((4, 1))},
        {"current": np.zeros((3, 2))},
        {"current": np.zeros((4, 1))},
        {"rows": np.zeros((4, self.n_recorded + 1))},
        {"rows": np.zeros((4, self.n_recorded), np.float32)},
        {"rows": np.zeros((2, 4, self.n_recorded // 2))},
        {"rows": np.zeros((1, 8, self.n_recorded))[:, ::2]},
        {"rows": np.zeros((1, 4, 2 * self.n_recorded))[:, :, ::2]},
        {"rows": np.zeros((1, 4, 2 * self.n_recorded))[:, :, : self.n_recorded]},
        {"spike_time": np.zeros(8)},
        {"spike_time": np.zeros(0), "spike_compartment": np.zeros(0, np.int64)},
    ):
        with pytest.raises(ValueError):
            self.advance(**(good | bad))
    assert self.get("step") == 0.0
    assert self.advance(**good)[:2] == ("done", 4)


@pytest.mark.skipif(len(ISAS) == len(SETS), reason="this machine has every instruction set")
def test_an_instruction_set_that_is_missing_is_refused() -> None:
    missing = next(name for name in SETS if name not in ISAS)
    with pytest.raises(SimulationError, match="this machine lacks it"):
        kernel(9, leak(), isa=missing)


# ---- malformed programs ------------------------------------------------------------------


def coded(index: int, instruction: tuple[Any, ...]) -> dict[str, Any]:
    """`every_operation(9)` with one instruction replaced."""
    code = list(every_operation(9).code)
    code[index] = instruction
    return {"code": tuple(code)}


def extended(*instruction: Any) -> dict[str, Any]:
    """`every_operation(9)` with one instruction more."""
    return {"code": (*every_operation(9).code, instruction)}


def tabulated(**changes: Any) -> dict[str, Any]:
    """`squid(9)` with another table."""
    program = squid(9)
    return {**vars(program), "tables": (replace(program.tables[0], **changes),)}


def looked_up(slot: int, **changes: Any) -> dict[str, Any]:
    """`every_operation(9)` with a value of a table in one of its temporaries."""
    table = Table((), (slot,), -300.0, 0.5, 1202, np.zeros((1202, 1, 4, 8)), 0.0)
    return {"tables": (replace(table, **changes),)}


def spoilt(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array.flat[-1] = value
    return array


# Slots of every_operation: v 0, dt 1, state 2, parameters 3 and 4, constants 5 and 6,
# the multiple of the time step 7, temporaries from 8 on.
END = 8 + every_operation(9).n_temps


@pytest.mark.parametrize(
    "changes",
    [
        coded(0, ("JUMP", 8, 0, 6, -1)),
        coded(0, ("MUL", 8, 0, END, -1)),
        coded(0, ("MUL", 8, -2, 6, -1)),
        coded(0, ("MUL", 8, 9, 6, -1)),  # a temporary that nobody has written
        coded(0, ("MUL", 8, 8, 6, -1)),
        coded(0, ("MUL", 8, 0, -1, -1)),  # an operand too few
        coded(0, ("MUL", 8, 0, 6, 6)),  # one too many
        extended("MUL", 0, 0, 6, -1),  # potential, time step, parameters and constants
        extended("MUL", 1, 0, 6, -1),  # are read only
        extended("MUL", 3, 0, 6, -1),
        extended("MUL", 6, 0, 6, -1),
        extended("MUL", 7, 0, 6, -1),  # and multiples of the time step, too
        extended("MUL", END, 0, 6, -1),
        extended("MUL", -1, 0, 6, -1),
        {"n_temps": every_operation(9).n_temps - 1},
        {"n_temps": -1},
        {"n_temps": 1 << 20},
        {"states": ()},
        {"consts": np.zeros(0)},
        {"multiples": np.zeros(0)},
        {"params": ()},
        {"params": (np.ones(8), np.ones(1))},
        {"params": (np.ones(9), np.ones(0))},
        {"slope_slot": -1},
        {"slope_slot": END},
        {"offset_slot": -1},
        {"offset_slot": END},
        {"terms": ((END, 4, (), -1),)},
        {"terms": ((3, -1, (), -1),)},
        {"terms": ((3, 4, ((END, 1),), -1),)},
        {"terms": ((3, 4, ((2, 0),), -1),)},
        {"terms": ((3, 4, ((2, 9),), -1),)},
        {"terms": ((3, 4, ((2, 1),) * (1 << 20), -1),)},
        {"terms": ((3, 4, (), -2),)},
        {"terms": ((3, 4, (), 0),)},  # of an ion that there is not
        {"terms": ((3, 4, (), 1),), "ions": ((0, 0),)},
        {"ions": ((0, 1),)},  # there is one state
        {"ions": ((-1, 0),)},
        {"ions": ((0, 0),) * (1 << 20)},
        {"middle_state": -2},
        {"middle_state": 1},
        {"middle_state": 2**40},
        tabulated(gates=(0, 1, 3)),
        tabulated(gates=(0, 1, -1)),
        tabulated(gates=(0, 1, 2, 0, 1)),
        tabulated(n_bins=1),
        tabulated(n_bins=1202),
        tabulated(n_bins=-1),
        tabulated(v_min=np.nan),
        tabulated(v_step=0.0),
        tabulated(v_step=-0.5),
        tabulated(v_step=np.inf),
        tabulated(v_step=5e-324),
        tabulated(v_min=1e308, v_step=1e-3),
        tabulated(cubics=spoilt(squid(9).tables[0].cubics, np.nan)),
        tabulated(cubics=spoilt(squid(9).tables[0].cubics, np.inf)),
        tabulated(cubics=np.zeros(24)),
        tabulated(gates=(), cubics=np.zeros(0)),
        looked_up(END),
        looked_up(6),  # a constant
        looked_up(-1),
        looked_up(8, n_bins=1),
        looked_up(8, cubics=np.full((1202, 1, 4, 8), np.nan)),
        looked_up(8, cubics=np.zeros((1202, 1, 4, 7))),
        {"tables": (looked_up(8)["tables"][0],) * 21},
        {"tables": (replace(looked_up(8)["tables"][0], slow=True),)},
        tabulated(slow=2),
    ],
    ids=lambda changes: ", ".join(changes) if len(changes) < 3 else "table",
)
def test_programs_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    good = every_operation(9)
    for fine in (extended("MUL", 8, 0, 6, -1), looked_up(8), {"tables": looked_up(8)["tables"] * 8},
                 {"middle_state": 0}, {"ions": ((0, 0),)}):  # fmt: skip
        kernel(9, replace(good, **fine))
    with pytest.raises(MembraneError):
        kernel(9, replace(every_operation(9), **changes))


BASES = {(name, n): program(n) for name, program in PROGRAMS.items() for n in (1, 9, 260)}
INTEGERS = st.integers(-3, 60) | st.sampled_from([-(2**31), 2**31 - 1, 1 << 20, 5000])
REALS = st.sampled_from([0.0, -1.0, np.nan, np.inf, -np.inf, 5e-324, 1e-300, 1e300, 1e9])
KINDS = (
    "code", "op", "drop code", "repeat code", "swap code", "term", "factor", "drop factors",
    "many factors", "state", "drop state", "param size", "drop param", "drop const", "const",
    "n_temps", "slope_slot", "offset_slot", "gate", "drop gate", "n_bins", "v_min",
    "v_step", "cubics", "cut table", "value", "drop value", "many tables", "middle_state", "ions",
    "drop ions", "ion", "slow",
)  # fmt: skip


def replaced(items: Sequence[Any], i: int, item: Any) -> tuple[Any, ...]:
    """`items` with one replaced, or removed if `item` is ()."""
    i %= max(1, len(items))
    new = () if isinstance(item, tuple) and not item else (item,)
    return (*items[:i], *new, *items[i + 1 :]) if items else ()


def mutated(p: Program, kind: str, i: int, j: int, integer: int, real: float) -> Program:
    """`p` with one thing changed, sensible or not."""
    at = i % max(1, len(p.tables))
    none = Table((), (), -300.0, 0.5, 2, np.zeros((2, 0, 4, 8)), 0.0)
    table = p.tables[at] if p.tables else none

    def tabled(**changes: Any) -> Program:
        return replace(p, tables=(*p.tables[:at], replace(table, **changes), *p.tables[at + 1 :]))

    if kind in ("n_temps", "slope_slot", "offset_slot", "middle_state"):
        return replace(p, **{kind: integer})
    if kind in ("v_min", "v_step", "n_bins"):
        return tabled(**{kind: integer if kind == "n_bins" else real})
    if kind == "cubics":
        values = table.cubics.copy()
        if values.size:
            with np.errstate(over="ignore"):
                values.flat[(i * 61 + j) % values.size] = real
        return tabled(cubics=values)
    if kind == "cut table":
        return tabled(cubics=table.cubics[: max(0, integer)])
    if kind in ("gate", "drop gate"):
        return tabled(gates=replaced(table.gates, j, integer if kind == "gate" else ()))
    if kind in ("value", "drop value"):
        return tabled(values=replaced(table.values, j, integer if kind == "value" else ()))
    if kind == "slow":
        return replace(tabled(slow=bool(j % 2)), stride=integer)
    if kind == "many tables":
        return replace(p, tables=p.tables * (integer % 24))
    if kind == "ions" and p.ions:
        slope, offset = p.ions[i % len(p.ions)]
        pair = (integer, offset) if j % 2 else (slope, integer)
        return replace(p, ions=replaced(p.ions, i, pair))
    if kind == "drop ions":
        return replace(p, ions=p.ions[:-1])
    if kind == "state":
        return replace(p, states=(*p.states, "more"))
    if kind == "drop state":
        return replace(p, states=p.states[:-1])
    if kind == "param size":
        values = np.resize(np.array([1e-4, real]), (0, 1, 2, 9, 260)[j % 5])
        return replace(p, params=replaced(p.params, i, values))
    if kind == "drop param":
        return replace(p, params=p.params[:-1])
    if kind == "const":
        return replace(p, consts=np.array(replaced(tuple(p.consts), i, real)))
    if kind == "drop const":
        return replace(p, consts=p.consts[:-1])
    if kind == "drop code":
        return replace(p, code=replaced(p.code, i, ()))
    if kind in ("code", "op", "repeat code", "swap code") and p.code:
        a, b = p.code[i % len(p.code)], p.code[j % len(p.code)]
        if kind == "repeat code":
            return replace(p, code=(*p.code, a))
        if kind == "swap code":
            return replace(p, code=replaced(replaced(p.code, i, b), j, a))
        ops = [*OPERATIONS, "JUMP"]
        new = (ops[integer % len(ops)], *a[1:]) if kind == "op" else replaced(a, 1 + j % 4, integer)
        return replace(p, code=replaced(p.code, i, new))
    if p.terms:
        gbar, reversal, factors, ion = p.terms[i % len(p.terms)]
        if kind == "term":
            gbar, reversal = (integer, reversal) if j % 2 else (gbar, integer)
        elif kind == "factor" and factors:
            slot, power = factors[j % len(factors)]
            factors = replaced(factors, j, (integer, power) if i % 2 else (slot, integer))
        elif kind == "drop factors":
            factors = ()
        elif kind == "ion":
            ion = integer
        elif kind == "many factors":
            factors = (*factors, (2, 1)) * (integer % 64)
        return replace(p, terms=replaced(p.terms, i, (gbar, reversal, factors, ion)))
    return p


@settings(deadline=None, max_examples=3000, database=None, derandomize=True)
@given(
    base=st.sampled_from(sorted(BASES)),
    n=st.sampled_from([None, 1, 5]),
    isa=st.sampled_from(ISAS),
    recipe=st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(0, 99), st.integers(0, 99), INTEGERS, REALS),
        min_size=1,
        max_size=4,
    ),
)
def refuse_or_run(base: tuple[str, int], n: int | None, isa: str, recipe: list[Any]) -> None:
    print(base, n, isa, recipe, flush=True)  # the last one printed is the one that crashed
    program = BASES[base]
    for change in recipe:
        program = mutated(program, *change)
    try:
        self = kernel(n or base[1], program, isa=isa)
    except (MembraneError, SimulationError):
        print("refused", flush=True)
        return
    room = np.empty((20, self.n_recorded)), np.empty(30 * self.n, np.int64), np.empty(30 * self.n)
    status, taken, _, _ = self.advance(*stimulation(30), *room)
    assert status == "diverged" or (status, taken) == ("done", 30)
    print("ran", flush=True)


def test_malformed_programs_are_refused_or_run_but_never_crash() -> None:
    # In a process of its own, so that a crash is one test that fails and not all of them.
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    last = "\n".join(done.stdout.splitlines()[-2:])
    assert done.returncode == 0, f"exit {done.returncode} after\n{last}\n{done.stderr[-3000:]}"
    outcomes = done.stdout.splitlines()
    assert outcomes.count("refused") > 100
    assert outcomes.count("ran") > 100


if __name__ == "__main__":
    refuse_or_run()
