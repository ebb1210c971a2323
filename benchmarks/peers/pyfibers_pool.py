"""Many Sundt fibres in PyFibers, in its own environment: a process pool on so many cores.

    python pyfibers_pool.py FIBRES PROCESSES

Prints the seconds that all took once the processes had begun, and how many fibres fired.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time


def pulse(t: float) -> float:
    return 1.0 if 1.0 <= t < 1.2 else 0.0


def one(diameter: float) -> int:
    from pyfibers import FiberModel, ScaledStim, build_fiber

    fiber = build_fiber(FiberModel.SUNDT, diameter=diameter, n_sections=601, temperature=37)
    fiber.potentials = fiber.point_source_potentials(0, 250, fiber.length / 2, 1, 0.3)
    stimulation = ScaledStim(waveform=pulse, dt=0.005, tstop=20)
    spikes, _ = stimulation.run_sim(-0.5, fiber)
    return int(spikes > 0)


def begin() -> None:
    import pyfibers  # noqa: F401


def main() -> None:
    fibres, processes = map(int, sys.argv[1:])
    diameters = [0.5 + k / fibres for k in range(fibres)]
    with multiprocessing.get_context("spawn").Pool(processes, begin) as pool:
        pool.map(one, diameters[:processes], 1)  # each has loaded what it needs
        began = time.perf_counter()
        fired = sum(pool.map(one, diameters, 1))
        print(json.dumps({"seconds": time.perf_counter() - began, "fired": fired}))


if __name__ == "__main__":
    main()
