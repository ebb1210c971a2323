"""Time thresholds of activation and block in axon and, if it is given, in PyFibers, on one core.

    python benchmarks/threshold.py [--peer PYTHON] [--core K] [--block]

The Sundt fibre of 1 µm, 601 sections of 8.333 µm of which the first and last are passive and cut
off, a point source 250 µm beside its middle in 0.3 S/m, a cathodic pulse of 0.2 ms, 20 ms at steps
of 0.005 ms, to 1 %, which PyFibers too takes as its tolerance. With ``--block`` the source gives a
sine of 10 kHz from 10 ms on, and of two impulses sent from a tenth of the length at 1 and 25 ms the
second must not arrive within 45 ms. PyFibers is told where that threshold lies to a factor of two,
axon is not. Each is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

BEGIN = time.perf_counter()
SECTION, ACTIVE = 8.333, 599


def ours(block: bool) -> dict[str, float]:
    import axon

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
    return {
        "threshold": -found.value,
        "search": now - built,
        "import and build": built - BEGIN,
    }


def measured(python: str, script: Path, *arguments: str) -> dict[str, float]:
    begin = time.perf_counter()
    command = [python, str(script), *arguments]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    whole = time.perf_counter() - begin
    return json.loads(process.stdout.splitlines()[-1]) | {"process": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with PyFibers")
    parser.add_argument("--core", type=int, default=0, metavar="K")
    parser.add_argument("--block", action="store_true", help="by 10 kHz, instead of activation")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.block)))
        return
    os.sched_setaffinity(0, {options.core})
    here = Path(__file__)
    question = ["--block"] if options.block else []
    told = {"axon": measured(sys.executable, here, "--ours", *question)}
    if options.peer:
        script = "pyfibers_block.py" if options.block else "pyfibers_threshold.py"
        told["PyFibers"] = measured(options.peer, here.parent / "peers" / script)
    for name, facts in told.items():
        print(name, *(f"{key} {value:.4g}" for key, value in facts.items()), sep="  ")


if __name__ == "__main__":
    main()
