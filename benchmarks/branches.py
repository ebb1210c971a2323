"""Time an arbor of 201 branches in axon, NEURON and Arbor, and beside an axon without branches.

    python benchmarks/branches.py [--peer NAME=PYTHON ...] [--repeats N] [--core K]

As speed.py does: a process for each tool, in turns, on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from speed import installed, machine

HERE = Path(__file__).parent
# Script and arguments; and how far arrivals may lie from axon's, relatively: at this dx schemes of
# order 2 differ by 1 %, of order 1 by a little more.
WORK = {
    "axon": ("branches_axon.py", [], 0.0),
    "axon, without branches": ("branches_axon.py", ["straight"], 0.0),
    "axon, at rest": ("branches_axon.py", ["rest"], 0.0),
    "axon, at rest, without branches": ("branches_axon.py", ["straight", "rest"], 0.0),
    "neuron": ("branches_neuron.py", [], 0.01),
    "arbor": ("branches_arbor.py", [], 0.015),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options = parser.parse_args()
    pythons = dict(peer.partition("=")[::2] for peer in options.peer)
    os.sched_setaffinity(0, {options.core})
    print(machine(options.core))

    ns: dict[str, list[float]] = {}
    expected: list[float] = []
    for turn in range(options.repeats):
        for name, (script, arguments, tolerance) in WORK.items():
            tool = name.partition(",")[0]
            python = pythons.get(tool, sys.executable)
            if turn == 0 and not installed(tool, python):
                print(f"{name} is not installed")
                continue
            if turn and name not in ns:
                continue
            command = [python, HERE / "peers" / script, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{script} failed:\n{done.stderr}")
            row = json.loads(done.stdout.splitlines()[-1])
            expected = expected or row["arrivals"]
            off = [abs(a / b - 1) for a, b in zip(row["arrivals"], expected, strict=False)]
            if max(off, default=0.0) > tolerance:
                raise SystemExit(f"{name}: arrivals differ from axon's by {max(off):.2%}")
            ns.setdefault(name, []).append(row["ns"])
    own = statistics.median(ns["axon"])
    for name, found in ns.items():
        here = statistics.median(found)
        print(f"{name:<34}{here:8.2f} ns {here / own:8.2f} times axon's")


if __name__ == "__main__":
    main()
