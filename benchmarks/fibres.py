"""Time the published fibres in axon, and in PyFibers and NEURON if they are installed.

    python benchmarks/fibres.py [--peer PYTHON] [--core K]

PYTHON is an interpreter that has PyFibers, whose mechanisms have been compiled. Tools and models
take turns on one core; nanoseconds per compartment and step, integration alone; and how long axon
takes to build such a simulation: rates traced, tables made, rest found, and the first step taken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
sys.path.insert(0, str(PEERS))

import fibres  # noqa: E402  (beside the peers' scripts, which import it in their environments)

import axon  # noqa: E402

MODELS = (
    "rattay_aberham",
    "sundt",
    "tigerholm",
    "schild94",
    "schild97",
    "thio_autonomic",
    "thio_cutaneous",
)


def simulation(name: str, *, at_rest: bool) -> axon.Simulation:
    """One that begins at rest, or where the model was published to begin."""
    membrane = getattr(axon.models, name)()
    fibre = axon.Axon.cylinder(
        fibres.COMPARTMENTS * fibres.DX,
        diameter=fibres.DIAMETER,
        Ra=membrane.Ra,
        cm=membrane.cm,
        compartments=fibres.COMPARTMENTS,
    )
    shock = axon.pulse(fibres.AMPLITUDE, fibres.START, fibres.WIDTH)
    return axon.Simulation(
        fibre,
        membrane,
        [axon.CurrentClamp(float(fibre.x[1]), shock)],
        dt=fibres.DT,
        v_init=None if at_rest else membrane.v_init,
    )


def ours(name: str) -> float:
    """Nanoseconds per compartment and step in axon."""
    sim = simulation(name, at_rest=False)
    run = sim.run(fibres.DURATION, record=())
    arrived = bool((run.spikes["compartment"] == fibres.COMPARTMENTS // 2).any())
    if not arrived:
        raise SystemExit(f"{name}: no impulse reached the middle")
    return fibres.per_step(fibres.shortest(lambda: sim.run(fibres.DURATION, record=())))


def building(name: str) -> float:
    """Milliseconds until a simulation at rest, of a new membrane, has taken its first step."""
    first = lambda: simulation(name, at_rest=True).run(fibres.DT, record=())  # noqa: E731
    return 1e3 * fibres.shortest(first)


def theirs(python: str, name: str) -> dict[str, float]:
    """The same in PyFibers, and in NEURON without the extracellular mechanism."""
    done = subprocess.run(
        [python, str(PEERS / "pyfibers_.py"), name],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} in PyFibers:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter that has PyFibers")
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    print(f"{'model':16}{'built, ms':>10}{'axon':>8}{'PyFibers':>10}{'x':>7}{'NEURON':>9}{'x':>7}")
    for name in MODELS:
        ns = ours(name)
        line = f"{name:16}{building(name):10.0f}{ns:8.2f}"
        if options.peer:
            peer = theirs(options.peer, name)
            for tool, width in (("pyfibers", 10), ("neuron", 9)):
                line += f"{peer[tool]:{width}.0f}{peer[tool] / ns:7.0f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
