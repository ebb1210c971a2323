"""The squid axon in axon."""

from __future__ import annotations

import time

import squid

began = time.perf_counter()

import axon  # noqa: E402  (its import is part of the set-up that is timed)


def simulation() -> axon.Simulation:
    cable = axon.Axon.cylinder(
        squid.LENGTH,
        squid.DIAMETER,
        Ra=squid.RA,
        cm=squid.CM,
        compartments=squid.COMPARTMENTS,
    )
    pulse = axon.pulse(squid.AMPLITUDE, squid.START, squid.WIDTH)
    return axon.Simulation(
        cable,
        axon.models.hodgkin_huxley(),
        stimuli=[axon.CurrentClamp(0.0, pulse)],
        celsius=squid.CELSIUS,
        dt=squid.DT,
        v_init=squid.V_INIT,
    )


def velocity(sim: axon.Simulation) -> float:
    dx = squid.LENGTH / squid.COMPARTMENTS
    run = sim.run(
        squid.VELOCITY_DURATION,
        every=squid.DT,
        record=[(site + 0.5) * dx for site in squid.SITES],
        dtype="float64",
    )
    return squid.velocity(run.time.tolist(), run.v[:, :].T.tolist())


if __name__ == "__main__":
    sim = simulation()
    setup = time.perf_counter() - began
    seconds = squid.timed(lambda: sim.run(squid.DURATION, record=()))
    squid.report("axon", axon.__version__, velocity=velocity(sim), seconds=seconds, setup=setup)
