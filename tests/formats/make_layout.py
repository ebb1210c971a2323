"""Writes the example of the layout of today: a finished run, a stopped one, and what they hold.

Run as ``python tests/formats/make_layout.py`` when a layout is new, and never again: examples
stay as that version of axon wrote them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import axon
from axon import equations, runfile

HERE = Path(__file__).parent


def simulation() -> axon.Simulation:
    fibre = axon.Axon.cylinder(1000.0, 1.0, compartments=12)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.5, start=0.5, duration=0.5))
    return axon.Simulation(fibre, axon.models.hodgkin_huxley(), [clamp], celsius=18.5, dt=0.01)


def main() -> None:
    folder = HERE / f"layout-{runfile.LAYOUT}"
    folder.mkdir()
    electrodes = [axon.PointSource(300.0, 50.0, 0.0), axon.PointSource(700.0, 0.0, 90.0)]
    options = {"every": 0.1, "dtype": "float64", "electrodes": electrodes}
    sim = simulation()
    run = sim.run(29.9, output=folder / "finished.h5", **options)
    np.savez(
        folder / "expected.npz",
        v=np.asarray(run.v),
        electrodes=np.asarray(run.electrodes),
        time=run.time,
        spike_time=run.spikes["time"],
        spike_compartment=run.spikes["compartment"],
        **{f"final_{name}": values for name, values in run.final.items()},
    )
    # Blocks of 700 steps: segments with and without rows, and rows that belong to no chunk yet.
    equations.FIRST_BLOCK, equations.MAX_BLOCK_STEPS = 10**12, 700
    asked = iter(["", "", "", "", "enough"])
    path = folder / "stopped.h5"
    try:
        sim.run(29.9, output=path, commit_every=0.0, stop=lambda: next(asked, "enough"), **options)
    except axon.StoppedError as error:
        print(error)
    for side in (*folder.glob("*.log"), *folder.rglob("lock")):
        side.unlink()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size} bytes")


if __name__ == "__main__":
    shutil.rmtree(HERE / f"layout-{runfile.LAYOUT}", ignore_errors=True)
    main()
