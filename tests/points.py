"""What sweeps of the tests do at their points: functions that other processes find by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axon.errors import AxonError, StoppedError, WriteError

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


def named(point: Point) -> float:
    """The same of a value x, which may be a quantity."""
    x = float(str(point["x"]).removesuffix(" um"))
    return counted({"k": int(x)})


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


def nothing(point: Point) -> float | None:
    """No number, or none at all."""
    return None if point["k"] else float("nan")


def rude(point: Point) -> float:
    """Raises what others than functions raise for other reasons."""
    if point["k"] == 0:
        raise WriteError("can't write run.h5")
    if point["k"] == 1:
        raise StoppedError("enough", 1.0)
    if point["k"] == 2:
        sys.exit("bad")
    if point["k"] == 3:
        raise AxonError("")
    return 4.0


def clash(point: Point) -> dict[str, float]:
    """Names its answers as the point's values are."""
    return {"k": 100.0 * point["k"], "error": 1.0}


def huge(point: Point) -> list[float]:
    """More than can be put down, where k is 1."""
    return [0.123456789012345678] * (1_200_000 if point["k"] == 1 else 1)


def times(factor: int) -> Callable[[Point], int]:
    """A function that closes over a number."""

    def multiplied(point: Point) -> int:
        return int(factor * point["k"])

    return multiplied


def odd(point: Point) -> object:
    """Returns what no table holds."""
    return object() if point["k"] else {1, 2}
