"""The squid axon in Arbor, one thread, its own `hh` mechanism."""

from __future__ import annotations

import time

import squid

began = time.perf_counter()

import arbor as A  # noqa: E402  (its import is part of the set-up that is timed)
from arbor import units as U  # noqa: E402


class Recipe(A.recipe):
    def __init__(self, cell: A.cable_cell, probes: list[A.probe]) -> None:
        A.recipe.__init__(self)
        self.cell, self.probes_, self.defaults = cell, probes, A.neuron_cable_properties()

    def num_cells(self) -> int:
        return 1

    def cell_kind(self, gid: int) -> A.cell_kind:
        return A.cell_kind.cable

    def cell_description(self, gid: int) -> A.cable_cell:
        return self.cell

    def probes(self, gid: int) -> list[A.probe]:
        return self.probes_

    def global_properties(self, kind: A.cell_kind) -> A.cable_global_properties:
        return self.defaults


def cell() -> A.cable_cell:
    radius = squid.DIAMETER / 2
    tree = A.segment_tree()
    tree.append(A.mnpos, A.mpoint(0, 0, 0, radius), A.mpoint(squid.LENGTH, 0, 0, radius), tag=1)
    decor = (
        A.decor()
        .set_property(
            Vm=squid.V_INIT * U.mV,
            cm=squid.CM * 1e-2 * U.F / U.m2,
            rL=squid.RA * U.Ohm * U.cm,
            tempK=squid.CELSIUS * U.Celsius,
        )
        .set_ion("na", rev_pot=50 * U.mV)
        .set_ion("k", rev_pot=-77 * U.mV)
        .paint("(all)", A.density("hh"))
        .place(
            f"(location 0 {0.5 / squid.COMPARTMENTS})",
            A.i_clamp(squid.START * U.ms, squid.WIDTH * U.ms, squid.AMPLITUDE * U.nA),
        )
    )
    policy = A.cv_policy(f"(fixed-per-branch {squid.COMPARTMENTS})")
    return A.cable_cell(A.morphology(tree), decor, discretization=policy)


def simulation(probes: list[A.probe]) -> A.simulation:
    return A.simulation(Recipe(cell(), probes), A.context(threads=1))


def run(sim: A.simulation, duration: float) -> None:
    sim.reset()
    sim.run(duration * U.ms, squid.DT * U.ms)


def measure_velocity() -> float:
    centres = [(i + 0.5) / squid.COMPARTMENTS for i in squid.SITES]
    probes = [
        A.cable_probe_membrane_voltage(f"(location 0 {x})", f"v{k}") for k, x in enumerate(centres)
    ]
    sim = simulation(probes)
    every_step = A.regular_schedule(squid.DT * U.ms)
    handles = [sim.sample((0, f"v{k}"), every_step) for k in range(len(probes))]
    run(sim, squid.VELOCITY_DURATION)
    samples = [sim.samples(handle)[0][0] for handle in handles]
    return squid.velocity(samples[0][:, 0].tolist(), [s[:, 1].tolist() for s in samples])


if __name__ == "__main__":
    sim = simulation([])
    setup = time.perf_counter() - began
    seconds = squid.timed(lambda: run(sim, squid.DURATION))
    squid.report("Arbor", A.__version__, velocity=measure_velocity(), seconds=seconds, setup=setup)
