"""What sweeps of the tests do at their points: functions that other processes find by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

Point = dict[str, Any]


def area(point: Point) -> dict[str, float]:
    """Of a rectangle."""
    return {"area": point["a"] * point["b"]}


def fragile(point: Point) -> float:
    """Nothing but an error where b is 2."""
    if point["b"] == 2:
        raise ValueError(f"b = {point['b']} is too much")
    return float(point["b"])


def counted(point: Point) -> float:
    """Leaves a line for every time that it is called."""
    with Path(os.environ["AXON_TEST_CALLS"]).open("a", encoding="utf-8") as file:
        file.write(f"{point['k']}\n")
    time.sleep(point.get("seconds", 0.0))
    return float(point["k"]) ** 2


def deadly(point: Point) -> float:
    """Kills its process where k is 3, always, and elsewhere the first time with one in four."""
    if point["k"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    mark = Path(os.environ["AXON_TEST_CALLS"] + f".{point['k']}")
    if point["k"] % 4 == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return counted(point)


def hanging(point: Point) -> float:
    """Never ends where k is 1."""
    while point["k"] == 1:
        time.sleep(0.01)
    return float(point["k"])


def odd(point: Point) -> object:
    """Returns what no table holds."""
    return object() if point["k"] else {1, 2}
