"""How cost grows: with compartments, with steps, with recording; and memory with duration.

    python benchmarks/scaling.py [--core K] [--repeats N]

The axon is that of speed.py, and so is the work, again and again: an impulse every 50 ms. It keeps
its compartments of 0.1 mm where their number changes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import axon

# The work is described beside the peers, in whose environments there may be nothing else.
sys.path.insert(0, str(Path(__file__).parent / "peers"))
import squid

EVERY = 10 * squid.DT


def simulation(compartments: int, duration: float) -> axon.Simulation:
    dx = squid.LENGTH / squid.COMPARTMENTS
    cable = axon.Axon.cylinder(
        compartments * dx,
        squid.DIAMETER,
        Ra=squid.RA,
        cm=squid.CM,
        compartments=compartments,
    )
    count = max(1, int(duration / squid.DURATION))
    train = axon.train(squid.AMPLITUDE, squid.START, squid.WIDTH, squid.DURATION, count)
    return axon.Simulation(
        cable,
        axon.models.hodgkin_huxley(),
        stimuli=[axon.CurrentClamp(0.0, train)],
        celsius=squid.CELSIUS,
        dt=squid.DT,
        v_init=squid.V_INIT,
    )


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def ns(compartments: int, duration: float, repeats: int) -> float:
    """Per compartment and step, without output; the median of the repeats."""
    sim = simulation(compartments, duration)
    spent = statistics.median(seconds(lambda: sim.run(duration, record=())) for _ in range(repeats))
    return spent * 1e9 / (compartments * round(duration / squid.DT))


def against_compartments(repeats: int) -> None:
    print("compartments   ns per compartment and step")
    for compartments in (100, 300, 1000, 3000, 10_000, 30_000, 100_000):
        duration = max(5.0, round(200 * squid.COMPARTMENTS / compartments))
        print(f"{compartments:12,}   {ns(compartments, duration, repeats):.2f}")


def against_steps(repeats: int) -> None:
    print("       steps   ns per compartment and step")
    for duration in (10.0, 100.0, 1000.0, 10_000.0):
        cost = ns(squid.COMPARTMENTS, duration, repeats)
        print(f"{round(duration / squid.DT):12,}   {cost:.2f}")


def recording(cores: list[int], repeats: int) -> None:
    """The whole field every 10 steps to a compressed file, beside the same run without output."""
    duration = 5000.0
    sim = simulation(squid.COMPARTMENTS, duration)
    rows_mb = (round(duration / EVERY) + 1) * squid.COMPARTMENTS * 4e-6
    print("cores   without s   recording s   overhead   rows MB/s   file MB")
    for share in (cores[:1], cores[:2]) if len(cores) > 1 else (cores[:1],):
        os.sched_setaffinity(0, share)  # the threads of a run inherit it
        without, with_ = [], []
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(repeats):
                path = Path(folder) / f"{turn}.h5"
                without.append(seconds(lambda: sim.run(duration, record=())))
                with_.append(
                    seconds(lambda: sim.run(duration, every=EVERY, output=path))  # noqa: B023
                )
            file_mb = path.stat().st_size * 1e-6
        bare, recorded = statistics.median(without), statistics.median(with_)
        print(
            f"{len(share):5}   {bare:9.2f}   {recorded:11.2f}   {recorded / bare - 1:8.1%}"
            f"   {rows_mb / recorded:9.0f}   {file_mb:7.1f}"
        )
    os.sched_setaffinity(0, cores[:1])


def peak_memory(duration: float) -> float:
    """Of this process, in MB, once it has run and recorded the whole field to a file."""
    with tempfile.TemporaryDirectory() as folder:
        simulation(squid.COMPARTMENTS, duration).run(
            duration, every=EVERY, output=Path(folder) / "run.h5"
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-6  # kB on Linux


def memory() -> None:
    print(" duration ms   rows MB   peak memory MB")
    context = multiprocessing.get_context("spawn")
    for duration in (200.0, 1000.0, 5000.0, 25_000.0):
        with ProcessPoolExecutor(1, mp_context=context) as fresh:
            peak = fresh.submit(peak_memory, duration).result()
        rows_mb = (round(duration / EVERY) + 1) * squid.COMPARTMENTS * 4e-6
        print(f"{duration:12,.0f}   {rows_mb:7,.0f}   {peak:14.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="How the cost of the squid axon grows.")
    parser.add_argument("--repeats", type=int, default=3, help="of every run (3)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    others = sorted(os.sched_getaffinity(0) - {arguments.core})
    os.sched_setaffinity(0, {arguments.core})

    against_compartments(arguments.repeats)
    print()
    against_steps(arguments.repeats)
    print()
    recording([arguments.core, *others], arguments.repeats)
    print()
    memory()


if __name__ == "__main__":
    main()
