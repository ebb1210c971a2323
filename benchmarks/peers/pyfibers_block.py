"""The block threshold of threshold.py in PyFibers, in its own environment; prints it and time."""

from __future__ import annotations

import json
import math
import time

BEGIN = time.perf_counter()

from pyfibers import FiberModel, ScaledStim, build_fiber  # noqa: E402


def khz(t: float) -> float:
    return math.sin(2 * math.pi * 10.0 * (t - 10.0)) if t >= 10.0 else 0.0


def main() -> None:
    fiber = build_fiber(FiberModel.SUNDT, diameter=1.0, n_sections=601, temperature=37)
    fiber.potentials = fiber.point_source_potentials(0, 250, fiber.length / 2, 1, 0.3)
    fiber.add_intrinsic_activity(loc=0.1, start_time=1, avg_interval=24, num_stims=2, noise=0)
    stimulation = ScaledStim(waveform=khz, dt=0.005, tstop=45)
    built = time.perf_counter()
    amplitude, _ = stimulation.find_threshold(
        fiber,
        condition="block",
        stimamp_top=-32,
        stimamp_bottom=-16,
        block_delay=20,
        exit_t_shift=None,
        fail_on_end_excitation=False,
    )
    now = time.perf_counter()
    told = {"threshold": amplitude, "search": now - built, "import and build": built - BEGIN}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
