"""The arbor in NEURON: Crank-Nicolson, rate tables, as fast as one thread runs it."""

from __future__ import annotations

import branches
import neuron
import squid
from neuron import h

if __name__ == "__main__":
    sections = []
    for k, (parent, length, diameter) in enumerate(branches.BRANCHES):
        section = h.Section(name=f"branch{k}")
        section.L, section.diam, section.Ra, section.cm = length, diameter, branches.RA, branches.CM
        section.nseg = branches.compartments(length)
        section.insert("hh")
        section.ena, section.ek = 50, -77
        if parent >= 0:
            section.connect(sections[parent](1), 0)
        sections.append(section)
    clamp = h.IClamp(next(iter(sections[0])))
    clamp.delay, clamp.dur, clamp.amp = branches.START, branches.WIDTH, branches.AMPLITUDE
    h.celsius, h.dt, h.secondorder, h.usetable_hh = branches.CELSIUS, branches.DT, 2, 1
    context = h.ParallelContext()
    context.set_maxstep(10)

    def run() -> None:
        h.finitialize(branches.V_INIT)
        context.psolve(branches.DURATION)

    seconds = squid.timed(run, at_least=2.0)
    t = h.Vector().record(h._ref_t)
    traces = [h.Vector().record(sections[k](0.5)._ref_v) for k in branches.TIPS]
    run()
    arrivals = [branches.arrival(list(t), list(v)) for v in traces]
    n = sum(section.nseg for section in sections)
    branches.report("NEURON", neuron.__version__, n, seconds, arrivals)
