"""The work of fibres.py: 601 compartments of a fibre of 1 µm for 20 ms, one impulse.

Numbers only, so that every tool's environment can import it. Units: µm, ms, nA.
"""

from __future__ import annotations

import time
from collections.abc import Callable

COMPARTMENTS = 601
DX = 25.0 / 3.0
DIAMETER = 1.0
DT = 0.005
DURATION = 20.0
AMPLITUDE = 1.0  # into the second compartment; the first is passive in some of PyFibers' fibres
START = 1.0
WIDTH = 0.5


def shortest(run: Callable[[], object], turns: int = 3) -> float:
    """Wall time in s of the fastest of some runs, after one that isn't counted."""
    run()
    spent = []
    for _ in range(turns):
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    return min(spent)


def per_step(seconds: float) -> float:
    """Nanoseconds per compartment and step."""
    return seconds * 1e9 / (COMPARTMENTS * DURATION / DT)
