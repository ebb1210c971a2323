"""The squid axon in NEURON: Crank-Nicolson, rate tables, as fast as one thread runs it."""

from __future__ import annotations

import time

import squid

began = time.perf_counter()

import neuron  # noqa: E402  (its import is part of the set-up that is timed)
from neuron import h  # noqa: E402


class Model:
    def __init__(self) -> None:
        self.axon = axon = h.Section(name="axon")
        axon.L, axon.diam, axon.Ra, axon.cm = squid.LENGTH, squid.DIAMETER, squid.RA, squid.CM
        axon.nseg = squid.COMPARTMENTS
        axon.insert("hh")
        axon.ena, axon.ek = 50, -77
        self.segments = list(axon)
        self.clamp = h.IClamp(self.segments[0])
        self.clamp.delay, self.clamp.dur = squid.START, squid.WIDTH
        self.clamp.amp = squid.AMPLITUDE
        h.celsius = squid.CELSIUS
        h.dt = squid.DT
        h.secondorder = 2
        h.usetable_hh = 1
        self.context = h.ParallelContext()
        self.context.set_maxstep(10)

    def run(self, duration: float) -> None:
        h.finitialize(squid.V_INIT)
        self.context.psolve(duration)

    def velocity(self) -> float:
        t = h.Vector().record(h._ref_t)
        traces = [h.Vector().record(self.segments[i]._ref_v) for i in squid.SITES]
        self.run(squid.VELOCITY_DURATION)
        return squid.velocity(list(t), [list(v) for v in traces])


if __name__ == "__main__":
    model = Model()
    setup = time.perf_counter() - began
    velocity = model.velocity()
    seconds = squid.timed(lambda: model.run(squid.DURATION))
    squid.report("NEURON", neuron.__version__, velocity=velocity, seconds=seconds, setup=setup)
