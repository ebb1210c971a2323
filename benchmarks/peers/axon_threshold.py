"""The threshold of threshold.py in axon, or with the argument `block` that of block; prints it and
the seconds, as the scripts for PyFibers do."""

from __future__ import annotations

import json
import sys
import time

BEGIN = time.perf_counter()

import axon  # noqa: E402

SECTION, ACTIVE = 8.333, 599


def main(block: bool) -> None:
    membrane = axon.models.sundt()
    fibre = axon.Axon.cylinder(
        SECTION * ACTIVE, diameter=1.0, Ra=membrane.Ra, cm=membrane.cm, compartments=ACTIVE
    )
    electrode = axon.PointSource(fibre.length / 2, 0.0, 250.0, sigma=0.3)
    options = {"celsius": 37.0, "dt": 0.005, "spike_threshold": -30.0}
    stimuli: list[axon.CurrentClamp | axon.Extracellular]
    if block:
        twice = axon.train(1.0, start=1.0, duration=0.5, interval=24.0, count=2)
        khz = axon.Extracellular(electrode, axon.sine(-1.0, 10_000.0, start=10.0))
        stimuli = [axon.CurrentClamp(0.1 * fibre.length, twice), khz]
    else:
        stimuli = [axon.Extracellular(electrode, axon.pulse(-1.0, start=1.0, duration=0.2))]
    sim = axon.Simulation(fibre, membrane, stimuli, **options)
    built = time.perf_counter()
    if block:
        found = axon.block_threshold(sim, 45.0, after=20.0, tolerance=0.01)
    else:
        found = axon.threshold(sim, 20.0, tolerance=0.01)
    now = time.perf_counter()
    told = {"threshold": -found.value, "search": now - built, "import and build": built - BEGIN}
    print(json.dumps(told))


if __name__ == "__main__":
    main("block" in sys.argv[1:])
