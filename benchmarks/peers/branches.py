"""An arbor of 201 branches that every tool is given, and how it is measured and reported.

A binary tree drawn at random, thinning from 2 to 0.3 µm, with the membrane of A. L. Hodgkin and
A. F. Huxley, J. Physiol. 117, 500-544 (1952). Units: mV, ms, µm, Ω·cm, µF/cm², nA, °C. Numbers
only, so that every tool's environment can import it.
"""

from __future__ import annotations

import json
import math
import random

RA, CM, CELSIUS, V_INIT = 35.4, 1.0, 18.5, -65.0
AMPLITUDE, START, WIDTH = 2.0, 0.5, 0.5  # into the root
DX = 20.0
DT, DURATION = 0.01, 20.0
STEPS = round(DURATION / DT)


def _grown() -> list[tuple[int, float, float]]:
    draw = random.Random(1)
    branches = [(-1, 500.0, 2.0)]
    tips = [0]
    while len(branches) < 201:
        parent = tips.pop(draw.randrange(len(tips)))
        for _ in range(2):
            diameter = max(0.3, 0.8 * branches[parent][2])
            tips.append(len(branches))
            branches.append((parent, draw.uniform(200.0, 800.0), diameter))
    return branches


BRANCHES = _grown()
"""Parent, length and diameter of each; all begin at their parent's end."""
TIPS = [k for k in range(len(BRANCHES)) if k not in {parent for parent, _, _ in BRANCHES}][::10]
"""Branches in whose middle arrivals are compared."""


def compartments(length: float) -> int:
    return math.ceil(length / DX)


def arrival(t: list[float], v: list[float]) -> float:
    """The first rise through 0 mV, interpolated linearly between steps, ms."""
    for k in range(1, len(v)):
        if v[k - 1] < 0 <= v[k]:
            return t[k - 1] + (t[k] - t[k - 1]) * v[k - 1] / (v[k - 1] - v[k])
    raise SystemExit("the impulse did not arrive")


def report(tool: str, version: str, n: int, seconds: float, arrivals: list[float]) -> None:
    """Print the measurement as the one line of JSON that branches.py reads."""
    ns = seconds * 1e9 / (n * STEPS)
    row = {"tool": tool, "version": version, "n": n, "ns": ns, "arrivals": arrivals}
    print(json.dumps(row), flush=True)
