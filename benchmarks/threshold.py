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

TURNS = 5  # of axon, whose processes are short: the median one is told


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
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    peers = Path(__file__).parent / "peers"
    question = ["block"] if options.block else []
    ours = [measured(sys.executable, peers / "axon_threshold.py", *question) for _ in range(TURNS)]
    told = {"axon": sorted(ours, key=lambda facts: facts["process"])[TURNS // 2]}
    if options.peer:
        script = "pyfibers_block.py" if options.block else "pyfibers_threshold.py"
        told["PyFibers"] = measured(options.peer, peers / script)
    for name, facts in told.items():
        shown = [f"{key} {value:.4g}" for key, value in facts.items()]
        shown.append(f"{facts['process'] / told['axon']['process']:.1f} times axon's")
        print(name, *shown, sep="  ")


if __name__ == "__main__":
    main()
