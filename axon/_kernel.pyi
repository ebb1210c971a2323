from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from axon.program import Program

Doubles = npt.NDArray[np.float64]

V_LIMIT: float
GATES_PER_BLOCK: int
MAX_HELD: int
MAX_POWER: int

def instruction_sets() -> dict[str, tuple[bool, bool]]: ...
def operations() -> dict[str, int]: ...
def chosen_isa(name: str | None = None) -> str: ...
def table_blocks(n_gates: int, n_values: int) -> int: ...
def deflate(values: npt.NDArray[Any]) -> bytes: ...
def apply(isa: str, op: str, *operands: Any) -> Doubles: ...
def elementary(isa: int, op: int, values: Any) -> np.ndarray: ...

class Kernel:
    n: int
    n_sources: int
    n_shunts: int
    n_recorded: int
    n_electrodes: int
    isa: str
    row_dtype: np.dtype[Any]

    def __init__(
        self,
        *,
        area: npt.ArrayLike,
        capacitance: npt.ArrayLike,
        axial: npt.ArrayLike,
        program: Program,
        sources: tuple[int, Sequence[int] | npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
        dt: float,
        backward_euler: bool,
        spike_threshold: float,
        isa: str | None,
        recorded: npt.ArrayLike,
        record_every: int,
        record_float: bool,
        parent: npt.ArrayLike | None = None,
        exchange: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        shunts: npt.ArrayLike = (),
        electrodes: Sequence[Doubles] | Doubles = (),
    ) -> None: ...
    @property
    def fields(self) -> dict[str, int]: ...
    def get(self, name: str) -> Doubles: ...
    def set(self, name: str, value: npt.ArrayLike) -> None: ...
    def state(self) -> dict[str, Doubles]: ...
    def advance(
        self,
        current: Doubles,
        damped: Doubles,
        rows: npt.NDArray[Any],
        spike_compartment: npt.NDArray[np.int64],
        spike_time: Doubles,
        seen: Doubles | None = None,
    ) -> tuple[str, int, int, int]: ...
    def see(self) -> Doubles: ...
    def divergence(self) -> tuple[int, float]: ...
    def solve(self, diagonal: npt.ArrayLike, right: npt.ArrayLike) -> Doubles: ...
