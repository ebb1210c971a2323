"""Published fibres in PyFibers, and in NEURON without the extracellular mechanism.

    python pyfibers_.py MODEL

prints one line of JSON with nanoseconds per compartment and step of both, integration alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import fibres
from neuron import h
from pyfibers import FiberModel, build_fiber

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "published"))
import make_references

NAMES = {
    "rattay_aberham": FiberModel.RATTAY,
    "sundt": FiberModel.SUNDT,
    "tigerholm": FiberModel.TIGERHOLM,
    "schild94": FiberModel.SCHILD94,
    "schild97": FiberModel.SCHILD97,
    "thio_autonomic": FiberModel.THIO_AUTONOMIC,
    "thio_cutaneous": FiberModel.THIO_CUTANEOUS,
}


def integrate(v_init: float) -> float:
    """Seconds for one run, the shortest of a few."""

    def run() -> None:
        h.finitialize(v_init)
        h.continuerun(fibres.DURATION)

    return fibres.shortest(run)


def measure(name: str) -> dict[str, float]:
    fibre = build_fiber(
        FiberModel[NAMES[name].name], diameter=fibres.DIAMETER, n_sections=fibres.COMPARTMENTS
    )
    sections = list(fibre.sections)
    h.celsius = fibre.temperature
    h.load_file("stdrun.hoc")
    h.secondorder = 2
    h.dt = fibres.DT
    h.steps_per_ms = 1.0 / fibres.DT
    shock = h.IClamp(sections[1](0.5))
    shock.amp, shock.delay, shock.dur = fibres.AMPLITUDE, fibres.START, fibres.WIDTH
    with_field = integrate(fibre.v_rest)
    v_rest = fibre.v_rest
    del shock, sections, fibre
    section = make_references.cable(NAMES[name].name, fibres.DIAMETER)
    shock = h.IClamp(section(1.5 / section.nseg))
    shock.amp, shock.delay, shock.dur = fibres.AMPLITUDE, fibres.START, fibres.WIDTH
    plain = integrate(v_rest)
    return {"pyfibers": fibres.per_step(with_field), "neuron": fibres.per_step(plain)}


if __name__ == "__main__":
    print(json.dumps({"model": sys.argv[1], **measure(sys.argv[1])}), flush=True)
