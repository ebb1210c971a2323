"""Expressions for tests of what becomes of them: recorded, run by the kernel, and random ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from axon import _kernel
from axon.trace import Instruction, Recorder, Symbol

OPERATIONS = _kernel.operations()
INPUTS = {"v": 0, "w": 1}

Function = Callable[[Any, Any], Any]

rng = np.random.default_rng(0)
V = np.concatenate([rng.uniform(-3.0, 3.0, 37), [0.0, 1.0, -1.0, 2.0]])
W = np.concatenate([rng.uniform(-3.0, 3.0, 37), [1.0, 1.0, 0.0, 2.0]])


def record(function: Function) -> tuple[Recorder, Symbol]:
    """The symbol that a function of v and w returns."""
    recorder = Recorder()
    return recorder, recorder.symbol(function(recorder.input("v"), recorder.input("w")))


def lowered(recorder: Recorder, result: Symbol) -> tuple[list[Instruction], list[float], int, int]:
    """Instructions, constants, number of temporaries, and the slot that holds the result."""
    constants = recorder.constants([result], ())
    known = {node: len(INPUTS) + i for i, node in enumerate(constants)}
    first_temp = len(INPUTS) + len(constants)
    code, n_temps, placed = recorder.emit({}, [result], INPUTS, known, first_temp)
    return code, [node.value for node in constants], n_temps, placed[result]  # type: ignore[misc]


def computed(recorder: Recorder, result: Symbol, v: Any, w: Any) -> np.ndarray:
    """What the instructions compute, each executed by the kernel."""
    code, consts, n_temps, at = lowered(recorder, result)
    v, w = np.broadcast_arrays(np.asarray(v, float), np.asarray(w, float))
    first_temp = len(INPUTS) + len(consts)
    memory: list[Any] = [v, w, *(np.full(v.shape, c) for c in consts), *[None] * n_temps]
    for op, out, *operands in code:
        used = operands[: OPERATIONS[op]]
        assert operands[OPERATIONS[op] :] == [-1] * (3 - len(used))
        assert out >= first_temp  # inputs and constants are read only
        assert all(memory[slot] is not None for slot in used)
        memory[out] = _kernel.apply(None, op, *(memory[slot] for slot in used))
    return np.asarray(memory[at])


# Expressions as trees: a name or number, or a function of such.
CONSTANTS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, 4.0, 10.0]) | st.floats(-3.0, 3.0)
LEAVES = st.sampled_from(["v", "w"]) | CONSTANTS
# Bounded slopes: errors stay near those of the parts.
UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "square": np.square,
    "tanh": np.tanh,
    "exp": lambda x: np.exp(np.tanh(x)),
    "expm1": lambda x: np.expm1(np.tanh(x)),
    "one less exp": lambda x: 1 - np.exp(np.tanh(x)),
    "exp less one": lambda x: np.exp(-np.tanh(x)) - 1,
    "sqrt": lambda x: np.sqrt(1.0 + x * x),
    "log": lambda x: np.log(1.0 + np.abs(x)),
    "singular": lambda x: 0.1 * (2.0 + np.tanh(x)) / (1 - np.exp(-(2.0 + np.tanh(x)) / 10)),
    "eighth": lambda x: x / 8.0,
    "third": lambda x: x / 3.0,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (1.0 + y * y),
    "min": np.minimum,
    "max": np.maximum,
}
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(st.sampled_from(list(UNARY)), inner)
        | st.tuples(st.sampled_from(list(BINARY)), inner, inner)
        # Which side is taken is decided by values that both ways know exactly.
        | st.tuples(st.sampled_from(["where <", "where =="]), LEAVES, LEAVES, inner, inner)
    ),
    max_leaves=12,
)


def build(tree: Any, v: Any, w: Any, seen: list[Any] | None = None) -> Any:
    """The value of a tree; that of every node goes into `seen`."""
    if isinstance(tree, tuple):
        name, *parts = tree
        args = [build(part, v, w, seen) for part in parts]
        if name == "where <":
            value = np.where(args[0] < args[1], args[2], args[3])
        elif name == "where ==":
            value = np.where(args[0] == args[1], args[2], args[3])
        else:
            value = (UNARY | BINARY)[name](*args)
    else:
        value = {"v": v, "w": w}.get(tree, tree) if isinstance(tree, str) else tree
    if seen is not None:
        seen.append(value)
    return value


def exact(tree: Any) -> tuple[np.ndarray, float]:
    """What NumPy makes of a tree at V and W, and how far off roundings may be.

    Roundings of the largest part, made larger by the next: every slope is below it, or 3.
    """
    seen: list[Any] = []
    with np.errstate(all="ignore"):
        value = np.broadcast_to(build(tree, V, W, seen), V.shape)
        largest = max(1.0, *(np.abs(part).max() for part in seen))
    return value, 1e-14 * (2 + largest) ** 2
