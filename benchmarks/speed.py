"""Time the squid axon in axon and in whichever peers are installed, side by side on one core.

    python benchmarks/speed.py [--peer NAME=PYTHON ...] [--repeats N] [--core K]

Every tool runs in a process of its own, in the interpreter that started this or in one named by
--peer. The tools take turns, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REFERENCE = HERE.parent / "tests" / "reference" / "data" / "squid_axon.json"


@dataclass(frozen=True)
class Tool:
    script: str
    module: str  # without it the tool isn't installed
    scheme: str
    # How far the velocity may lie from the converged one, relatively. At this time step a scheme of
    # order 2 is 0.03 % off, of order 1 0.4 %; a tenth of a degree, or of a millivolt in a reversal
    # potential, would cost as much as that.
    tolerance: float


SECOND, FIRST = 0.001, 0.005
TOOLS = {
    "axon": Tool("axon_.py", "axon", "Crank-Nicolson", SECOND),
    "neuron": Tool("neuron_.py", "neuron", "Crank-Nicolson", SECOND),
    "coreneuron": Tool("coreneuron_.py", "neuron.coreneuron", "Crank-Nicolson", SECOND),
    "arbor": Tool("arbor_.py", "arbor", "backward Euler", FIRST),
    "jaxley": Tool("jaxley_.py", "jaxley", "Crank-Nicolson", SECOND),
    "brian2": Tool("brian2_.py", "brian2", "backward Euler", FIRST),
}


@dataclass(frozen=True)
class Run:
    """What a tool's script printed, and the share of its core that the process had."""

    version: str
    ns: float
    velocity: float
    setup_s: float
    core_share: float


def interpreters(peers: list[str]) -> dict[str, str]:
    """The interpreter of every tool."""
    chosen = dict.fromkeys(TOOLS, sys.executable)
    for peer in peers:
        name, separator, python = peer.partition("=")
        if name not in TOOLS or not separator:
            raise SystemExit(f"--peer {peer}: give NAME=PYTHON, NAME one of {', '.join(TOOLS)}")
        chosen[name] = python
    return chosen


def installed(module: str, python: str) -> bool:
    parent, _, child = module.rpartition(".")
    probe = f"from {parent} import {child}" if parent else f"import {child}"
    command = [python, "-c", probe]  # which looks where it runs first: not in a checkout of axon
    return subprocess.run(command, capture_output=True, cwd=HERE).returncode == 0


def measure(tool: Tool, python: str) -> Run:
    cpu, began = cpu_of_children(), time.perf_counter()
    script = HERE / "peers" / tool.script
    process = subprocess.run([python, str(script)], capture_output=True, text=True)
    share = (cpu_of_children() - cpu) / (time.perf_counter() - began)
    if process.returncode:
        raise SystemExit(f"{script} failed:\n{process.stderr}")
    row = json.loads(process.stdout.splitlines()[-1])
    return Run(row["version"], row["ns"], row["velocity"], row["setup_s"], share)


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def check(runs: dict[str, Run], converged: float) -> None:
    """Refuse to time tools that don't compute the same thing."""
    wrong = [
        f"{name}: {run.velocity:.4f} m/s is further than {TOOLS[name].tolerance:.1%} from"
        f" the converged {converged:.5f} m/s"
        for name, run in runs.items()
        if abs(run.velocity / converged - 1) > TOOLS[name].tolerance
    ]
    if wrong:
        raise SystemExit("\n".join(wrong))


def machine(core: int) -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return (
        f"{model}, core {core} of {os.cpu_count()}, {platform.system()} {platform.release()},"
        f" load {os.getloadavg()[0]:.1f} before"
    )


def table(runs: dict[str, list[Run]], converged: float) -> str:
    def median(name: str, quantity: str) -> float:
        return float(statistics.median(getattr(run, quantity) for run in runs[name]))

    own = median("axon", "ns")
    head = ("tool", "version", "scheme", "ns", "x axon", "m/s", "error", "set-up s")
    rows = [head]
    for name in sorted(runs, key=lambda name: median(name, "ns")):
        ns, velocity = median(name, "ns"), median(name, "velocity")
        rows.append(
            (
                name,
                runs[name][0].version,
                TOOLS[name].scheme,
                f"{ns:.2f}",
                f"{ns / own:.1f}",
                f"{velocity:.5f}",
                f"{velocity / converged - 1:+.3%}",
                f"{median(name, 'setup_s'):.2f}",
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < 3 else cell.rjust(width)  # words left, numbers right
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help=f"interpreter that has a tool; NAME is one of {', '.join(TOOLS)}",
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of every tool (5)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    arguments = parser.parse_args()

    os.sched_setaffinity(0, {arguments.core})  # inherited by every tool
    os.environ["OMP_NUM_THREADS"] = "1"
    pythons = {
        name: python
        for name, python in interpreters(arguments.peer).items()
        if installed(TOOLS[name].module, python)
    }
    missing = [name for name in TOOLS if name not in pythons]
    if "axon" in missing:
        raise SystemExit("axon, which the others are measured against, is not installed")
    converged = json.loads(REFERENCE.read_text())["6.3"]["velocity"]

    print(machine(arguments.core))
    runs: dict[str, list[Run]] = {name: [] for name in pythons}
    for turn in range(arguments.repeats):
        for name, python in pythons.items():
            runs[name].append(measure(TOOLS[name], python))
        if turn == 0:
            check({name: first for name, [first] in runs.items()}, converged)

    print(
        "squid axon, 1000 compartments, dt 0.01 ms, 50 ms, no output;"
        f" medians of {arguments.repeats} turns; ns per compartment and step\n"
    )
    print(table(runs, converged))
    if missing:
        print(f"\nnot installed: {', '.join(missing)}")
    for name, every in runs.items():
        share = statistics.median(run.core_share for run in every)
        if share < 0.9:
            print(f"\n{name} had only {share:.0%} of the core: time again on an idle machine")


if __name__ == "__main__":
    main()
