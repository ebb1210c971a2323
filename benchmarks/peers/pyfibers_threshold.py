"""The threshold of threshold.py in PyFibers, in its own environment; prints it and the seconds."""

from __future__ import annotations

import json
import time

BEGIN = time.perf_counter()

from pyfibers import FiberModel, ScaledStim, build_fiber  # noqa: E402


def pulse(t: float) -> float:
    return 1.0 if 1.0 <= t < 1.2 else 0.0


def main() -> None:
    fiber = build_fiber(FiberModel.SUNDT, diameter=1.0, n_sections=601, temperature=37)
    fiber.potentials = fiber.point_source_potentials(0, 250, fiber.length / 2, 1, 0.3)
    stimulation = ScaledStim(waveform=pulse, dt=0.005, tstop=20)
    built = time.perf_counter()
    amplitude, _ = stimulation.find_threshold(fiber, stimamp_top=-1, stimamp_bottom=-0.01)
    now = time.perf_counter()
    told = {"threshold": amplitude, "search": now - built, "import and build": built - BEGIN}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
