"""What output and going on cost: the squid axon, its whole field recorded every 10 steps.

    python benchmarks/long_runs.py [--duration MS] [--segments N]

An impulse every 20 ms keeps the field busy. Commits and compression run in a thread beside the
kernel, so on one core they cost their time, on two only what the kernel must wait.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import axon
from axon import equations

MB = 1e6


def squid() -> axon.Simulation:
    fibre = axon.Axon.cylinder("100 mm", diameter=476.0, Ra=35.4, compartments=1000)
    pulses = axon.train("10 uA", start=1.0, duration=1.0, interval=20.0, count=10**6)
    stimuli = [axon.CurrentClamp(0.0, pulses)]
    return axon.Simulation(fibre, axon.models.hodgkin_huxley(), stimuli, celsius=6.3, dt=0.01)


def timed(function, *arguments, **options):
    begin, processor = time.perf_counter(), time.process_time()
    function(*arguments, **options)
    return time.perf_counter() - begin, time.process_time() - processor


def writing(folder: Path, duration: float) -> None:
    sim, path = squid(), folder / "run.h5"
    sim.run(10.0)
    alone, alone_cpu = timed(sim.run, duration, every=duration)
    wall, cpu = timed(sim.run, duration, output=path, every=0.1)
    log = [json.loads(line) for line in (folder / "run.h5.log").read_text().splitlines()]
    commits = [event["seconds"] for event in log if event["event"] == "commit"]
    end = next(event["merge"] for event in log if event["event"] == "finish")
    size = os.path.getsize(path) / MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{duration:g} ms: {size:.0f} MB of {duration * 10 * 4000 / MB:.0f} MB, peak {peak:.0f} MB"
    )
    print(f"  no output     {alone:6.2f} s, {alone_cpu:6.2f} s of processors")
    print(f"  with output   {wall:6.2f} s, {cpu:6.2f} s of processors")
    spent = sum(commits)
    share = spent / wall
    print(f"  {len(commits)} commits     {spent:6.2f} s in their thread, {share:.1%} of the wall")
    print(f"  at the end    {end:6.2f} s, {end / size * 1e3:.1f} ms a MB")


def going_on(folder: Path, segments: int) -> None:
    fibre = axon.Axon.cylinder("1 mm", diameter=1.0, compartments=20)
    pulses = axon.train(0.5, start=0.0, duration=0.5, interval=20.0, count=10**6)
    stimuli = [axon.CurrentClamp(0.0, pulses)]
    sim = axon.Simulation(fibre, axon.models.hodgkin_huxley(), stimuli, celsius=18.5, dt=0.01)
    path = folder / "many.h5"
    equations.FIRST_BLOCK, equations.MAX_BLOCK_STEPS = 10**12, 300

    def enough() -> str:
        time.sleep(0.004)  # let the thread commit what there is
        parts = path.with_name("many.h5.parts")
        return "enough" if len(os.listdir(parts)) > segments else ""

    with suppress(axon.StoppedError):
        sim.run(1e6, output=path, every=0.1, commit_every=0.0, stop=enough)
    begin, first = time.perf_counter(), []

    def note(done: float, t: float) -> None:
        first.append(time.perf_counter() - begin)

    with suppress(axon.StoppedError):
        axon.resume(path, progress=note, stop=lambda: "enough" if first else "")
    print(f"{segments} segments: axon.resume is at work after {first[0]:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--duration", type=float, default=20_000.0, metavar="MS")
    parser.add_argument("--segments", type=int, default=10_000, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        writing(Path(name), options.duration)
        if options.segments:
            going_on(Path(name), options.segments)


if __name__ == "__main__":
    main()
