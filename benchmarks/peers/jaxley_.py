"""The squid axon in Jaxley on the CPU in double precision, compiled whole by JAX."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import squid

began = time.perf_counter()

os.environ["JAX_PLATFORMS"] = "cpu"  # read by JAX when it is imported

import jax  # noqa: E402  (its import is part of the set-up that is timed)

jax.config.update("jax_enable_x64", True)  # before Jaxley makes its first array

import jaxley  # noqa: E402
import numpy as np  # noqa: E402
from jaxley.channels import HH  # noqa: E402


def axon(sites: tuple[int, ...], duration: float) -> jaxley.Branch:
    """The cable with its stimulus, recorded at the compartments in `sites`."""
    cable = jaxley.Branch(jaxley.Compartment(), ncomp=squid.COMPARTMENTS)
    cable.set("length", squid.LENGTH / squid.COMPARTMENTS)
    cable.set("radius", squid.DIAMETER / 2)
    cable.set("axial_resistivity", squid.RA)
    cable.set("capacitance", squid.CM)
    cable.insert(HH())
    cable.set("v", squid.V_INIT)
    cable.init_states(squid.DT)
    cable.comp(0).stimulate(
        jaxley.step_current(squid.START, squid.WIDTH, squid.AMPLITUDE, squid.DT, duration),
        verbose=False,
    )
    for site in sites:
        cable.comp(site).record(verbose=False)
    return cable


def compiled(sites: tuple[int, ...], duration: float) -> Callable[[], jax.Array]:
    """A run as machine code; it returns the recorded potentials, (sites, steps + 1)."""
    cable = axon(sites, duration)

    def run(params: list[dict[str, jax.Array]]) -> jax.Array:
        return jaxley.integrate(cable, params, delta_t=squid.DT, solver="crank_nicolson")

    params = cable.get_parameters()
    program = jax.jit(run).lower(params).compile()
    return lambda: program(params).block_until_ready()


if __name__ == "__main__":
    run = compiled(squid.SITES[:1], squid.DURATION)  # something must be recorded
    setup = time.perf_counter() - began
    seconds = squid.timed(run)
    traces = np.asarray(compiled(squid.SITES, squid.VELOCITY_DURATION)())
    times = np.arange(traces.shape[1]) * squid.DT
    squid.report(
        "Jaxley",
        jaxley.__version__,
        velocity=squid.velocity(times.tolist(), traces.tolist()),
        seconds=seconds,
        setup=setup,
    )
