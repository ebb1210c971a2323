"""Python functions, called once with symbols, become instructions of the vector program.

A `Recorder` hands out symbols. Arithmetic and NumPy functions on them build an
expression graph in which equal expressions are one node and constants are folded.
`Recorder.emit` turns the graph into instructions, temporaries reused as soon as their
last reader is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from axon.errors import MembraneError

Key = tuple[Any, ...]

# What each operation means on plain numbers, for folding constants.
_MEANING: dict[str, Callable[..., float]] = {
    "NEG": np.negative,
    "ABS": np.abs,
    "SQRT": np.sqrt,
    "EXP": np.exp,
    "EXPM1": np.expm1,
    "LOG": np.log,
    "TANH": np.tanh,
    "EXPREL": lambda x: x / np.expm1(x) if x != 0.0 else 1.0,
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MIN": np.minimum,
    "MAX": np.maximum,
    "LT": lambda x, y: float(x < y),
    "LE": lambda x, y: float(x <= y),
    "EQ": lambda x, y: float(x == y),
    "FMA": lambda x, y, z: x * y + z,
    "SELECT": lambda x, y, z: y if x != 0.0 else z,
}

_COMMUTE = {"ADD", "MUL", "EQ"}

# NumPy functions that are one operation.
_DIRECT = {
    np.negative: "NEG",
    np.absolute: "ABS",
    np.fabs: "ABS",
    np.sqrt: "SQRT",
    np.exp: "EXP",
    np.expm1: "EXPM1",
    np.log: "LOG",
    np.tanh: "TANH",
    np.add: "ADD",
    np.subtract: "SUB",
    np.multiply: "MUL",
    np.divide: "DIV",
    np.minimum: "MIN",
    np.maximum: "MAX",
    np.less: "LT",
    np.less_equal: "LE",
    np.equal: "EQ",
}

# NumPy functions that are a few.
_COMPOSED: dict[Any, Callable[..., Symbol]] = {
    np.positive: lambda x: x,
    np.square: lambda x: x * x,
    np.reciprocal: lambda x: 1.0 / x,
    np.log1p: lambda x: np.log(1.0 + x),
    np.log10: lambda x: np.log(x) * (1.0 / np.log(10.0)),
    np.log2: lambda x: np.log(x) * (1.0 / np.log(2.0)),
    np.exp2: lambda x: np.exp(x * np.log(2.0)),
    np.cosh: lambda x: 0.5 * (np.exp(x) + np.exp(-x)),
    np.sinh: lambda x: 0.5 * (np.expm1(x) - np.expm1(-x)),
    np.power: lambda x, y: _power(x, y),
    np.float_power: lambda x, y: _power(x, y),
    np.greater: lambda x, y: x > y,
    np.greater_equal: lambda x, y: x >= y,
    np.not_equal: lambda x, y: x != y,
    np.logical_and: lambda x, y: x & y,
    np.logical_or: lambda x, y: x | y,
    np.logical_not: lambda x: ~x,
}


def _power(x: Symbol, y: Symbol) -> Symbol:
    """x ** y: whole exponents by multiplication, others through the logarithm."""
    node, exponent = x.recorder.node, y.value
    if exponent is None or exponent != int(exponent) or abs(exponent) > 64:
        return node("SQRT", x) if exponent == 0.5 else node("EXP", y * node("LOG", x))
    if exponent < 0:
        return 1.0 / _power(x, x.recorder.symbol(-exponent))
    result = x.recorder.symbol(1.0)
    for bit in bin(int(exponent))[2:]:
        result = result * result
        if bit == "1":
            result = result * x
    return result


def _true(x: Symbol) -> Symbol:
    """1 where `x` is not 0, else 0."""
    return 1.0 - x.recorder.node("EQ", x, 0.0)


class Symbol:
    """A node of a recorder's expression graph; behaves as a NumPy number does."""

    __slots__ = ("args", "number", "op", "recorder", "value")
    __array_priority__ = 1000

    def __init__(
        self, recorder: Recorder, number: int, op: str, args: Key, value: float | None = None
    ) -> None:
        self.recorder, self.number, self.op = recorder, number, op
        self.args, self.value = args, value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        if ufunc in _DIRECT:
            return self.recorder.node(_DIRECT[ufunc], *inputs)
        if ufunc in _COMPOSED:
            return _COMPOSED[ufunc](*map(self.recorder.symbol, inputs))
        raise MembraneError(f"numpy.{ufunc.__name__} is not available in a traced expression")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.where and len(args) == 3 and not kwargs:
            return self.recorder.node("SELECT", *args)
        if function is np.clip and len(args) == 3 and not kwargs:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        raise MembraneError(f"numpy.{function.__name__} is not available in a traced expression")

    def __bool__(self) -> bool:
        raise MembraneError(
            "a rate function decides by `if` (or and, or, min, max) on a value that is only "
            "known later; use numpy.where, numpy.minimum, numpy.maximum"
        )

    def __float__(self) -> float:
        raise MembraneError(
            "a rate function needs a plain number of a value that is only known later; "
            "use numpy functions, not those of math"
        )

    def __add__(self, other: Any) -> Symbol:
        return self.recorder.node("ADD", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return self.recorder.node("ADD", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return self.recorder.node("SUB", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self.recorder.node("SUB", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self.recorder.node("MUL", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return self.recorder.node("MUL", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return self.recorder.node("DIV", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self.recorder.node("DIV", other, self)

    def __pow__(self, other: Any) -> Symbol:
        return _power(self, self.recorder.symbol(other))

    def __rpow__(self, other: Any) -> Symbol:
        return _power(self.recorder.symbol(other), self)

    def __neg__(self) -> Symbol:
        return self.recorder.node("NEG", self)

    def __pos__(self) -> Symbol:
        return self

    def __abs__(self) -> Symbol:
        return self.recorder.node("ABS", self)

    def __lt__(self, other: Any) -> Symbol:
        return self.recorder.node("LT", self, other)

    def __le__(self, other: Any) -> Symbol:
        return self.recorder.node("LE", self, other)

    def __gt__(self, other: Any) -> Symbol:
        return self.recorder.node("LT", other, self)

    def __ge__(self, other: Any) -> Symbol:
        return self.recorder.node("LE", other, self)

    def __eq__(self, other: Any) -> Any:
        return self.recorder.node("EQ", self, other)

    def __ne__(self, other: Any) -> Any:
        return 1.0 - self.recorder.node("EQ", self, other)

    __hash__ = object.__hash__  # nodes are told apart by identity: equal ones are one

    def __and__(self, other: Any) -> Symbol:
        return _true(self) * _true(self.recorder.symbol(other))

    __rand__ = __and__

    def __or__(self, other: Any) -> Symbol:
        return self.recorder.node("MAX", _true(self), _true(self.recorder.symbol(other)))

    __ror__ = __or__

    def __invert__(self) -> Symbol:
        return self.recorder.node("EQ", self, 0.0)

    def __repr__(self) -> str:
        if self.op == "CONST":
            return f"{self.value:g}"
        if self.op == "INPUT":
            return str(self.args[0])
        return f"{self.op.lower()}({', '.join(map(repr, self.args))})"


Instruction = tuple[str, int, int, int, int]


class Recorder:
    """Builds an expression graph and lowers it to instructions."""

    def __init__(self) -> None:
        self._nodes: dict[Key, Symbol] = {}

    def input(self, name: str) -> Symbol:
        """A value that is known when the program runs."""
        return self._intern("INPUT", (name,))

    def symbol(self, value: Any) -> Symbol:
        """`value` as a symbol; numbers become constants."""
        if isinstance(value, Symbol):
            if value.recorder is not self:
                raise MembraneError("symbols of two recordings meet in one expression")
            return value
        array = np.asarray(value, dtype=np.float64)
        if array.ndim:
            raise MembraneError(
                f"a traced expression holds an array of shape {array.shape}; "
                "give the value as a parameter of the membrane instead"
            )
        number = float(array)
        return self._intern("CONST", (number.hex(),), number)

    def node(self, op: str, *operands: Any) -> Symbol:
        """The expression op(operands), simplified where that is exact or more accurate."""
        args = [self.symbol(operand) for operand in operands]
        if op in _MEANING and all(arg.value is not None for arg in args):
            with np.errstate(all="ignore"):
                return self.symbol(float(_MEANING[op](*(arg.value for arg in args))))
        simpler = self._simplify(op, args)
        if simpler is not None:
            return simpler
        if op in _COMMUTE:
            # By age, so that a membrane gives one program wherever it is lowered.
            args.sort(key=lambda arg: (arg.op == "CONST", arg.number))
        return self._intern(op, tuple(args))

    def _intern(self, op: str, args: Key, value: float | None = None) -> Symbol:
        key = (op, *args)
        if key not in self._nodes:
            self._nodes[key] = Symbol(self, len(self._nodes), op, args, value)
        return self._nodes[key]

    def _simplify(self, op: str, args: list[Symbol]) -> Symbol | None:
        values = [arg.value for arg in args]
        if op == "ADD" and 0.0 in values:
            return args[1 - values.index(0.0)]
        if op == "SUB" and values[1] == 0.0:
            return args[0]
        if op == "MUL" and 1.0 in values:
            return args[1 - values.index(1.0)]
        if op == "DIV" and values[1] == 1.0:
            return args[0]
        if op == "DIV" and values[1] is not None and abs(np.frexp(values[1])[0]) == 0.5:
            return args[0] * (1.0 / values[1])  # a power of two: its reciprocal is exact
        if op == "NEG" and args[0].op == "NEG":
            inner: Symbol = args[0].args[0]
            return inner
        # 1 - exp(u) and exp(u) - 1 lose all digits near u = 0; expm1 does not.
        if op == "SUB" and values[0] == 1.0 and args[1].op == "EXP":
            return self.node("NEG", self.node("EXPM1", args[1].args[0]))
        if op == "SUB" and values[1] == 1.0 and args[0].op == "EXP":
            return self.node("EXPM1", args[0].args[0])
        if op == "ADD" and -1.0 in values and args[1 - values.index(-1.0)].op == "EXP":
            return self.node("EXPM1", args[1 - values.index(-1.0)].args[0])
        # c u / (exp(u) - 1), the singular rate, is c exprel(u): 1 at u = 0 instead of 0/0.
        if op == "DIV":
            sign, below = 1.0, args[1]
            if below.op == "NEG":
                sign, below = -1.0, below.args[0]
            if below.op == "EXPM1":
                ratio = _proportion(args[0], below.args[0])
                if ratio is not None:
                    return self.node("MUL", sign * ratio, self.node("EXPREL", below.args[0]))
        return None

    def emit(
        self, results: dict[Symbol, int], inputs: dict[str, int], first_const: int
    ) -> tuple[list[Instruction], list[float], int]:
        """Instructions that leave each result in its slot.

        Parameters
        ----------
        results : dict
            Symbol to destination slot; -1 leaves it in a temporary that no later
            instruction touches (see `emitted`).
        inputs : dict
            Slot of every input by name.
        first_const : int
            Slot of the first constant; temporaries follow the constants.

        Returns
        -------
        code, constants, n_temps
        """
        order = self._order(list(results))
        consts = [node for node in order if node.op == "CONST"]
        slots: dict[Symbol, int] = {node: first_const + i for i, node in enumerate(consts)}
        slots |= {node: inputs[node.args[0]] for node in order if node.op == "INPUT"}
        first_temp = first_const + len(consts)

        readers: dict[Symbol, int] = dict.fromkeys(order, 0)
        for node in order:
            for arg in node.args if node.op not in ("INPUT", "CONST") else ():
                readers[arg] += 1
        for result in results:
            readers[result] += 1  # stays alive to the end

        code: list[Instruction] = []
        free: list[int] = []
        n_temps = 0
        for node in order:
            if node in slots:
                continue
            operands = [slots[arg] for arg in node.args]
            for arg in node.args:
                readers[arg] -= 1
                if readers[arg] == 0 and slots[arg] >= first_temp:
                    free.append(slots[arg])
            if free:
                slots[node] = free.pop()
            else:
                slots[node] = first_temp + n_temps
                n_temps += 1
            padded = operands + [-1] * (3 - len(operands))
            code.append((node.op, slots[node], padded[0], padded[1], padded[2]))
        for result, slot in results.items():
            if slot >= 0:
                code.append(("COPY", slot, slots[result], -1, -1))
        self.emitted = {result: slots[result] for result in results}
        return code, [float(node.value) for node in consts], n_temps  # type: ignore[arg-type]

    def _order(self, results: list[Symbol]) -> list[Symbol]:
        """Every node that the results need, operands before their readers."""
        order: dict[Symbol, None] = {}
        stack: list[tuple[Symbol, bool]] = [(result, False) for result in reversed(results)]
        while stack:
            node, ready = stack.pop()
            if node in order:
                continue
            if ready or node.op in ("INPUT", "CONST"):
                order[node] = None
                continue
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args) if arg not in order)
        return list(order)


def _affine(node: Symbol) -> tuple[float, Symbol | None, float]:
    """`node` as factor * base + offset; base None for a constant."""
    if node.value is not None:
        return 0.0, None, node.value
    if node.op == "NEG":
        factor, base, offset = _affine(node.args[0])
        return -factor, base, -offset
    if node.op in ("ADD", "SUB", "MUL", "DIV"):
        left, right = node.args
        sign = -1.0 if node.op == "SUB" else 1.0
        if node.op in ("ADD", "SUB") and (left.value is not None or right.value is not None):
            f0, b0, o0 = _affine(left)
            f1, b1, o1 = _affine(right)
            return f0 + sign * f1, b1 if b0 is None else b0, o0 + sign * o1
        if node.op == "MUL" and (left.value is not None or right.value is not None):
            number, other = (left, right) if left.value is not None else (right, left)
            factor, base, offset = _affine(other)
            return factor * number.value, base, offset * number.value
        if node.op == "DIV" and right.value:
            factor, base, offset = _affine(left)
            return factor / right.value, base, offset / right.value
    return 1.0, node, 0.0


def _proportion(a: Symbol, b: Symbol) -> float | None:
    """c if a = c b everywhere, found by comparing both as affine in one base."""
    fa, base_a, oa = _affine(a)
    fb, base_b, ob = _affine(b)
    if base_a is None or base_a is not base_b or fa == 0.0 or fb == 0.0:
        return None
    # Both roots must be one; written in decimal they may differ in the last digits.
    root_a, root_b = oa / fa, ob / fb
    close = abs(root_a - root_b) <= 1e-12 * max(abs(root_a), abs(root_b))
    return fa / fb if close else None
