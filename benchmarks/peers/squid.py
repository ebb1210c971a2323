"""The work that every tool is given, and how it is measured and reported.

The giant axon of the squid as a sealed cylinder; the membrane is that of A. L. Hodgkin and
A. F. Huxley, J. Physiol. 117, 500-544 (1952), with rest near -65 mV. Units: mV, ms, µm, Ω·cm,
µF/cm², nA, °C. Numbers only, so that every tool's environment can import it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

LENGTH = 100_000.0
DIAMETER = 476.0
RA = 35.4
CM = 1.0
COMPARTMENTS = 1000
CELSIUS = 6.3
V_INIT = -65.0  # with steady gates
AMPLITUDE = 10_000.0  # into the first compartment
START = 1.0
WIDTH = 1.0

DT = 0.01
DURATION = 50.0
STEPS = round(DURATION / DT)

VELOCITY_DURATION = 12.0  # the impulse reaches 75 mm at 7.4 ms
# The two compartments on either side of 25 mm, and of 75 mm.
SITES = (
    COMPARTMENTS // 4 - 1,
    COMPARTMENTS // 4,
    3 * COMPARTMENTS // 4 - 1,
    3 * COMPARTMENTS // 4,
)

Traces = list[list[float]]


def velocity(t: list[float], traces: Traces) -> float:
    """Conduction velocity in m/s from 25 to 75 mm, given v at every one of `SITES`.

    Arrival is the first rise through 0 mV, interpolated linearly between steps; at a face it is
    the mean of its neighbours' arrivals.
    """
    arrivals = [_arrival(t, v) for v in traces]
    passage = (arrivals[2] + arrivals[3] - arrivals[0] - arrivals[1]) / 2
    return LENGTH / 2 * 1e-3 / passage  # µm/ms = 1e-3 m/s


def _arrival(t: list[float], v: list[float]) -> float:
    for k in range(1, len(v)):
        if v[k - 1] < 0 <= v[k]:
            return t[k - 1] + (t[k] - t[k - 1]) * v[k - 1] / (v[k - 1] - v[k])
    raise SystemExit("the impulse did not arrive")


def timed(run: Callable[[], object], *, at_least: float = 1.0) -> float:
    """Median wall time in s of a run, after one that isn't counted."""
    run()
    spent: list[float] = []
    while sum(spent) < at_least:
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def report(tool: str, version: str, *, velocity: float, seconds: float, setup: float) -> None:
    """Print the measurement as the one line of JSON that speed.py reads."""
    ns = seconds * 1e9 / (COMPARTMENTS * STEPS)
    row = {"tool": tool, "version": version, "ns": ns, "velocity": velocity, "setup_s": setup}
    print(json.dumps(row), flush=True)
