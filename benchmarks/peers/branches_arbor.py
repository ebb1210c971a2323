"""The arbor in Arbor, one thread, its own `hh` mechanism."""

from __future__ import annotations

import arbor as A
import branches
import squid
from arbor import units as U
from arbor_ import Recipe


def morphology() -> A.morphology:
    tree = A.segment_tree()
    ends: list[tuple[int, float]] = []  # the segment of each branch, and where it ends
    for k, (parent, length, diameter) in enumerate(branches.BRANCHES):
        above, x = ends[parent] if parent >= 0 else (A.mnpos, 0.0)
        begin, end = (A.mpoint(at, float(k), 0, diameter / 2) for at in (x, x + length))
        ends.append((tree.append(above, begin, end, tag=1), x + length))
    return A.morphology(tree)


def cell() -> A.cable_cell:
    decor = (
        A.decor()
        .set_property(
            Vm=branches.V_INIT * U.mV,
            cm=branches.CM * 1e-2 * U.F / U.m2,
            rL=branches.RA * U.Ohm * U.cm,
            tempK=branches.CELSIUS * U.Celsius,
        )
        .set_ion("na", rev_pot=50 * U.mV)
        .set_ion("k", rev_pot=-77 * U.mV)
        .paint("(all)", A.density("hh"))
        .place(
            "(location 0 0.02)",
            A.i_clamp(branches.START * U.ms, branches.WIDTH * U.ms, branches.AMPLITUDE * U.nA),
        )
    )
    policy = A.cv_policy(f"(max-extent {branches.DX})")
    return A.cable_cell(morphology(), decor, discretization=policy)


def middles() -> list[A.probe]:
    """Arbor numbers branches by itself; y tells which is which."""
    shape = morphology()
    numbers = {
        round(segment.dist.y): number
        for number in range(shape.num_branches)
        for segment in shape.branch_segments(number)
    }
    return [
        A.cable_probe_membrane_voltage(f"(location {numbers[k]} 0.5)", f"v{k}")
        for k in branches.TIPS
    ]


def simulation(probes: list[A.probe]) -> A.simulation:
    return A.simulation(Recipe(cell(), probes), A.context(threads=1))


def run(sim: A.simulation) -> None:
    sim.reset()
    sim.run(branches.DURATION * U.ms, branches.DT * U.ms)


if __name__ == "__main__":
    sim = simulation([])
    seconds = squid.timed(lambda: run(sim), at_least=2.0)
    seen = simulation(middles())
    every_step = A.regular_schedule(branches.DT * U.ms)
    handles = [seen.sample((0, f"v{k}"), every_step) for k in branches.TIPS]
    run(seen)
    samples = [seen.samples(handle)[0][0] for handle in handles]
    arrivals = [branches.arrival(s[:, 0].tolist(), s[:, 1].tolist()) for s in samples]
    n = sum(branches.compartments(length) for _, length, _ in branches.BRANCHES)
    branches.report("Arbor", A.__version__, n, seconds, arrivals)
