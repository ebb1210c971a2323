"""The arbor in axon, or with the argument `straight` or `rest` an axon that doesn't branch, or the
arbor without a stimulus, to compare."""

from __future__ import annotations

import sys

import branches
import squid

import axon


def arbor() -> axon.Tree:
    found = []
    for parent, length, diameter in branches.BRANCHES:
        cable = axon.Axon.cylinder(
            length, diameter, Ra=branches.RA, cm=branches.CM,
            compartments=branches.compartments(length),
        )  # fmt: skip
        at = found[parent].cable.length if parent >= 0 else 0.0
        found.append(axon.Branch(cable, parent, at))
    return axon.Tree(tuple(found))


def simulation(shape: axon.Axon | axon.Tree, places: list[float]) -> axon.Simulation:
    pulse = axon.pulse(branches.AMPLITUDE, branches.START, branches.WIDTH)
    return axon.Simulation(
        shape,
        axon.models.hodgkin_huxley(),
        stimuli=[axon.CurrentClamp(place, pulse) for place in places],
        celsius=branches.CELSIUS,
        dt=branches.DT,
        v_init=branches.V_INIT,
    )


if __name__ == "__main__":
    kinds = sys.argv[1:]
    tree = arbor()
    shape: axon.Axon | axon.Tree = tree
    places = [0.0]
    if "straight" in kinds:
        # Impulses from so many places that all of it is busy, as the arbor is.
        length = 20.0 * tree.n
        shape = axon.Axon.cylinder(length, 1.0, Ra=branches.RA, compartments=tree.n)
        places = [length * (k + 0.5) / 20 for k in range(20)]
    sim = simulation(shape, [] if "rest" in kinds else places)
    seconds = squid.timed(lambda: sim.run(branches.DURATION, record=()), at_least=2.0)
    arrivals = []
    if not kinds:
        record = [(k, branches.BRANCHES[k][1] / 2) for k in branches.TIPS]
        run = sim.run(branches.DURATION, every=branches.DT, record=record, dtype="float64")
        t = run.time.tolist()
        arrivals = [branches.arrival(t, v) for v in run.v[:, :].T.tolist()]
    branches.report(" ".join(["axon", *kinds]), axon.__version__, tree.n, seconds, arrivals)
