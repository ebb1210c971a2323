"""What a run will take, measured on its first steps."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from axon import runfile
from axon.equations import Equations, Fields, Recording, integrate
from axon.errors import StoppedError
from axon.records import Value
from axon.runfile import ROWS
from axon.storage import COMMIT_BYTES, WAITING_BYTES

_MEASURED_SECONDS = 0.5  # of stepping, about
_KEPT_BYTES = 16 * 2**20  # of rows whose compression is tried
_PLANES = 12  # arrays of doubles by compartment that the kernel has besides states


class Estimate(Value):
    """What a run will take; `Simulation.estimate` makes it.

    Attributes
    ----------
    compartments, steps, rows, sites : int
        Rows of sites are recorded.
    field_bytes : int
        The field as it is.
    file_bytes : int
        The finished file, about. While the run ends, its segments need as much again.
    memory_bytes : int
        At most, about, of the whole process.
    seconds : float
        Wall time, about.
    """

    compartments: int
    steps: int
    rows: int
    sites: int
    field_bytes: int
    file_bytes: int
    memory_bytes: int
    seconds: float


def estimate(
    equations: Equations, recording: Recording, begin: Fields, first: int, steps: int
) -> Estimate:
    """Run the first steps, in memory, and reckon from them to all."""
    kernel = equations.started(begin, recording)
    sample = _Sample(recording)
    taken = steps - first
    try:
        integrate(
            equations, kernel, recording, steps, sample, first=first, new=True, stop=sample.enough
        )
    except StoppedError as stopped:
        taken = round(stopped.time / equations.dt) - first
    sites = recording.compartments.size
    rows = recording.rows_within(first, steps)
    field_bytes = rows * sites * np.dtype(recording.dtype).itemsize
    inputs = sum(array.nbytes for array in equations.to_arrays().values())
    state = sum(array.nbytes for array in begin.values())
    seen_bytes = 8 * rows * equations.n_electrodes
    return Estimate(
        compartments=equations.n,
        steps=steps - first,
        rows=rows,
        sites=sites,
        field_bytes=field_bytes,
        file_bytes=int(field_bytes * sample.ratio()) + seen_bytes + 8 * rows // 10 + inputs + state,
        memory_bytes=_resident() + memory(equations, recording, first, steps, kept=True),
        seconds=sample.seconds() * (steps - first) / max(1, taken),
    )


def memory(
    equations: Equations, recording: Recording, first: int, steps: int, *, kept: bool
) -> int:
    """Bytes that a run takes at most, about, whose field is `kept` in a file, or else in memory."""
    rows = recording.rows_within(first, steps)
    row = recording.compartments.size * np.dtype(recording.dtype).itemsize
    row += 8 * equations.n_electrodes
    inputs = sum(array.nbytes for array in equations.to_arrays().values())
    n_states = len(equations.program.states)
    n_arrays = _PLANES + n_states
    n_arrays *= 2 if equations.later else 1  # one kernel hands over to the next
    n_arrays += 4 * (n_states + 1)
    field = min(2 * rows * row, WAITING_BYTES + 2 * COMMIT_BYTES) if kept else rows * row
    return 8 * n_arrays * equations.n + 2 * inputs + field


class _Sample:
    """The sink of a run whose first rows are looked at."""

    def __init__(self, recording: Recording) -> None:
        self._buffer = np.empty((ROWS, recording.compartments.size), recording.dtype)
        self._rows: list[np.ndarray] = []
        self._bytes = 0
        self._begin = self._end = time.perf_counter()

    def room(self) -> np.ndarray:
        return self._buffer[np.newaxis]

    def filled(self, rows: int, potentials: np.ndarray | None) -> None:
        if self._bytes < _KEPT_BYTES:
            self._rows.append(self._buffer[:rows].copy())
            self._bytes += self._rows[-1].nbytes

    def spikes(self, compartment: np.ndarray, time: np.ndarray) -> None:
        """They take little."""

    def state(self, get_state: Callable[[], Fields]) -> None:
        self._end = time.perf_counter()

    def commit(self, get_state: Callable[[], Fields]) -> None:
        """There is enough."""

    def enough(self) -> str:
        return "enough" if self.seconds() > _MEASURED_SECONDS else ""

    def seconds(self) -> float:
        """Of stepping."""
        return self._end - self._begin

    def ratio(self) -> float:
        """Compressed bytes to those of the rows."""
        rows = np.concatenate(self._rows) if self._rows else np.empty((0, 0))
        whole = rows[: max(1, len(rows) // ROWS) * ROWS, : runfile.COLUMNS]
        if not whole.size:
            return 1.0
        blocks = np.array_split(whole, max(1, len(whole) // ROWS))
        return sum(len(runfile.compress(block)) for block in blocks) / whole.nbytes


def _resident() -> int:
    """Bytes of memory that this process has had at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
