"""Many axons at once: what each costs, what threads bring, and PyFibers' process pool beside it.

    python benchmarks/ensemble.py [--peer PYTHON] [--axons N] [--repeats N] [--picture PNG]

The axons are pieces of the squid axon of speed.py, at its steps, or with a peer the Sundt fibres
of threshold.py, of diameters from 0.5 to 1.5 µm. `--peer` is the Python of an environment with
PyFibers, which takes fewer fibres: seconds are per fibre. Building the simulations is counted
where it says so, and never the time to start Python.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import axon
from axon import ranges

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import squid

SECTION, ACTIVE = 8.333, 599
PEER_FIBRES = 48


def pieces(axons: int, compartments: int, membrane: axon.Membrane) -> list[axon.Simulation]:
    dx = squid.LENGTH / squid.COMPARTMENTS
    pulse = axon.pulse(squid.AMPLITUDE, squid.START, squid.WIDTH)
    return [
        axon.Simulation(
            axon.Axon.cylinder(
                compartments * dx, squid.DIAMETER * (1 + k / axons), Ra=squid.RA, cm=squid.CM,
                compartments=compartments,
            ),
            membrane, stimuli=[axon.CurrentClamp(0.0, pulse)], celsius=squid.CELSIUS, dt=squid.DT,
        )
        for k in range(axons)
    ]  # fmt: skip


def fibres(count: int) -> list[axon.Simulation]:
    membrane = axon.models.sundt()
    simulations = []
    for k in range(count):
        fibre = axon.Axon.cylinder(
            SECTION * ACTIVE, 0.5 + k / count, Ra=membrane.Ra, cm=membrane.cm, compartments=ACTIVE
        )
        source = axon.PointSource(fibre.length / 2, 0.0, 250.0, sigma=0.3)
        pulse = axon.pulse(-0.5, start=1.0, duration=0.2)
        simulations.append(
            axon.Simulation(
                fibre, membrane, [axon.Extracellular(source, pulse)], celsius=37.0, dt=0.005,
                spike_threshold=-30.0,
            )
        )  # fmt: skip
    return simulations


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def turns(repeats: int, *runs: Callable[[], object]) -> list[float]:
    """The median time of each, all taking turns."""
    spent = [[seconds(run) for run in runs] for _ in range(repeats)]
    return [statistics.median(each) for each in zip(*spent, strict=True)]


def against_one(axons: int, repeats: int) -> None:
    membrane = axon.models.hodgkin_huxley()
    many, (one,) = pieces(axons, 200, membrane), pieces(1, 1000, membrane)
    steps = round(squid.DURATION / squid.DT)
    axon.Ensemble(many[:2]).run(squid.DURATION, record=[])

    def together() -> None:
        axon.Ensemble(many).run(squid.DURATION, record=[], threads=1)

    def anew() -> None:
        axon.Ensemble(pieces(axons, 200, membrane)).run(squid.DURATION, record=[], threads=1)

    def alone() -> None:
        for _ in range(axons // 5):
            one.run(squid.DURATION, record=[])

    all_, built, single = (
        each * 1e9 / (axons * 200 * steps) for each in turns(repeats, together, anew, alone)
    )
    print(f"{axons} axons of 200 compartments, one thread, {squid.DURATION:g} ms, without output")
    print(f"  one axon of 1000     {single:.2f} ns per compartment and step")
    print(f"  ensemble             {all_:.2f}, {all_ / single:.2f} times")
    print(f"  building it as well  {built:.2f}, {built / single:.2f} times")


def with_threads(axons: int, cores: list[int], repeats: int) -> dict[int, float]:
    many = pieces(axons, 200, axon.models.hodgkin_huxley())
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= len(cores)]
    ensemble = axon.Ensemble(many)
    spent = turns(
        repeats,
        *(
            lambda n=n: ensemble.run(squid.DURATION, record=[], threads=n)  # type: ignore[misc]
            for n in counts
        ),
    )
    speedups = {n: spent[0] / each for n, each in zip(counts, spent, strict=True)}
    for n, speedup in speedups.items():
        print(f"  {n} threads: {speedup:.2f} times one")
    return speedups


def beside_peer(peer: str, axons: int, cores: list[int]) -> None:
    membranes = fibres(axons)
    fired = 0

    def ours() -> None:
        nonlocal fired
        runs = axon.Ensemble(membranes).run(20.0, record=[])
        fired = sum(len(run.spikes) > 0 for run in runs)

    took = (seconds(lambda: fibres(axons)) + seconds(ours)) / axons
    script = Path(__file__).parent / "peers" / "pyfibers_pool.py"
    command = [peer, str(script), str(PEER_FIBRES), str(len(cores))]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    theirs = json.loads(out.splitlines()[-1])
    each = theirs["seconds"] / PEER_FIBRES
    print(f"Sundt fibres, 20 ms at 0.005 ms, 599 compartments, all {len(cores)} cores")
    print(f"  axon, {axons} fibres    {took * 1e3:.2f} ms a fibre, {fired} fired")
    print(f"  PyFibers, {PEER_FIBRES} fibres  {each * 1e3:.0f} ms, {theirs['fired']} fired")
    print(f"  {each / took:.0f} times")


def of_a_sweep(points: int) -> None:
    """What a point costs besides its steps: of a study of one step, and of a function."""
    short = {"simulation.duration": 0.01, "axon.compartments": 10}
    print(f"{points} points of a sweep, one worker, what each costs besides its steps")
    for name, count, keep in (("measured", points, False), ("runs kept", points // 20, True)):
        grid = ranges.grid({"axon.diameter": ranges.linear(100.0, 500.0, count)})
        with tempfile.TemporaryDirectory() as folder:
            took = seconds(
                lambda: axon.sweep(
                    "squid", grid, output=folder, changes=short, keep=keep,  # noqa: B023
                    engine="threads", workers=1,
                )
            )  # fmt: skip
        print(f"  {name}: {took / count * 1e3:.2f} ms a point")


def shapes(picture: Path, repeats: int, speedups: dict[int, float]) -> None:
    """The cost against axons, compartments, steps and threads."""
    from matplotlib.figure import Figure

    membrane = axon.models.hodgkin_huxley()

    def ns(axons: int, compartments: int, duration: float) -> float:
        ensemble = axon.Ensemble(pieces(axons, compartments, membrane))
        (took,) = turns(repeats, lambda: ensemble.run(duration, record=[], threads=1))
        return took * 1e9 / (axons * compartments * round(duration / squid.DT))

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    panels = figure.subplots(2, 2).flat
    counts = (1, 10, 100, 1000)
    sizes = (10, 20, 50, 100, 200, 500, 1000, 5000)
    lengths = (1.0, 5.0, 20.0, 50.0, 200.0)
    for ax, places, cost, label in (
        (panels[0], counts, [ns(n, 200, 20.0) for n in counts], "axons of 200 compartments"),
        (panels[1], sizes, [ns(20, n, 20.0) for n in sizes], "compartments of each of 20 axons"),
        (
            panels[2], [round(t / squid.DT) for t in lengths],
            [ns(50, 200, t) for t in lengths], "steps of 50 axons of 200 compartments",
        ),
    ):  # fmt: skip
        ax.plot(places, cost, "o-", color="#0072B2")
        ax.set(xscale="log", xlabel=label, ylabel="ns per compartment and step", ylim=(0, None))
    panels[3].plot(list(speedups), list(speedups.values()), "o-", color="#0072B2", label="measured")
    panels[3].plot(list(speedups), list(speedups), ":", color="black", label="ideal")
    panels[3].set(xlabel="threads", ylabel="times one thread", xlim=(0, None), ylim=(0, None))
    panels[3].legend(frameon=False)
    figure.savefig(picture, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with PyFibers")
    parser.add_argument("--axons", type=int, default=1000)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="draw the shapes of the cost")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    against_one(options.axons, options.repeats)
    speedups = with_threads(options.axons, cores, options.repeats)
    of_a_sweep(options.points)
    if options.peer:
        beside_peer(options.peer, options.axons, cores)
    if options.picture:
        shapes(options.picture, options.repeats, speedups)


if __name__ == "__main__":
    main()
