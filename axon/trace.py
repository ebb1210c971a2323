"""Python functions, called once with symbols, become instructions of the vector program.

A `Recorder` hands out symbols. Arithmetic and NumPy functions on them build an
expression graph in which equal expressions are one node and constants are folded.
`Recorder.emit` turns the graph into instructions, temporaries reused as soon as their
last reader is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from axon import portable
from axon.errors import MembraneError

Key = tuple[Any, ...]


# What each operation means, on numbers and arrays. A quotient becomes a product with a reciprocal;
# fused operations come into being when code is emitted.
_MEANING: dict[str, Callable[..., Any]] = {
    "NEG": np.negative,
    "ABS": np.abs,
    "SQRT": np.sqrt,
    "EXP": portable.exp,
    "EXPM1": portable.expm1,
    "LOG": portable.log,
    "TANH": portable.tanh,
    "EXPREL": portable.exprel,
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "RECIPROCAL": np.reciprocal,
    "MIN": np.minimum,
    "MAX": np.maximum,
    "LT": lambda x, y: np.where(np.less(x, y), 1.0, 0.0),
    "LE": lambda x, y: np.where(np.less_equal(x, y), 1.0, 0.0),
    "EQ": lambda x, y: np.where(np.equal(x, y), 1.0, 0.0),
    "SELECT": lambda x, y, z: np.where(np.not_equal(x, 0.0), y, z),
}

_LONG_OPERATIONS = {"SQRT", "EXP", "EXPM1", "LOG", "TANH", "EXPREL", "RECIPROCAL"}
_LONG = 10  # multiplications that take as long as the longest of these
WORTH_A_LOOK_UP = 5
"""Multiplications that take longer than a look-up."""

# Operations of which fractions are made, and what is finite where its operands are.
_RATIONAL = {"INPUT", "CONST", "NEG", "ADD", "SUB", "MUL", "RECIPROCAL", "SQRT", "ABS"}

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
    np.log10: lambda x: np.log(x) * (1.0 / portable.log(10.0)),
    np.log2: lambda x: np.log(x) * (1.0 / portable.log(2.0)),
    np.exp2: lambda x: np.exp(x * portable.log(2.0)),
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
    """x ** y: whole exponents and halves by multiplication, others through the logarithm."""
    node, exponent = x.recorder.node, y.value
    if exponent is None or 2 * exponent != int(2 * exponent) or abs(exponent) > 64:
        return node("EXP", y * node("LOG", x))
    if exponent < 0:
        return 1.0 / _power(x, x.recorder.symbol(-exponent))
    whole = int(exponent)
    result = x.recorder.symbol(1.0)
    for bit in bin(whole)[2:]:
        result = result * result
        if bit == "1":
            result = result * x
    return result if whole == exponent else result * node("SQRT", x)


def _true(x: Symbol) -> Symbol:
    """1 where `x` is not 0, else 0."""
    return 1.0 - x.recorder.node("EQ", x, 0.0)


def _exprel_slope(x: Any, y: Any) -> Any:
    """Derivative of y = x/(exp(x) - 1), y (1 - x - y)/x; its series near 0."""
    near = np.abs(x) < 1e-2
    safe = np.where(near, 1.0, x)
    series = -0.5 + x * (1.0 / 6.0) - x * x * x * (1.0 / 180.0)
    return np.where(near, series, y * (1.0 - x - y) / safe)


# Derivative of each operation with regard to each operand, from the node itself.
_PARTIALS: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "NEG": (lambda y: -1.0,),
    "ABS": (lambda y: np.where(y.args[0] < 0.0, -1.0, 1.0),),
    "SQRT": (lambda y: 0.5 / y,),
    "EXP": (lambda y: y,),
    "EXPM1": (lambda y: np.exp(y.args[0]),),
    "LOG": (lambda y: 1.0 / y.args[0],),
    "TANH": (lambda y: 1.0 - y * y,),
    "EXPREL": (lambda y: _exprel_slope(y.args[0], y),),
    "ADD": (lambda y: 1.0, lambda y: 1.0),
    "SUB": (lambda y: 1.0, lambda y: -1.0),
    "MUL": (lambda y: y.args[1], lambda y: y.args[0]),
    "RECIPROCAL": (lambda y: -(y * y),),
}


class Symbol:
    """A node of a recorder's expression graph; behaves as a NumPy number does."""

    __slots__ = ("args", "number", "op", "recorder", "value")
    __array_priority__ = 1000

    def __init__(
        self, recorder: Recorder, number: int, op: str, args: Key, value: float | None = None
    ) -> None:
        self.recorder, self.number, self.op = recorder, number, op
        self.args, self.value = args, value

    @property
    def operands(self) -> tuple[Symbol, ...]:
        """The nodes that it is computed from."""
        return () if self.op in ("INPUT", "CONST") else self.args

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

Done = tuple[str, tuple[Symbol, ...]]
"""An operation, and what it is done to."""


class Recorder:
    """Builds an expression graph and lowers it to instructions."""

    def __init__(self) -> None:
        self._nodes: dict[Key, Symbol] = {}
        self._fractions: dict[Symbol, tuple[Symbol, Symbol] | None] = {}
        self._work: dict[Symbol, dict[Symbol, int | None]] = {}

    def input(self, name: str) -> Symbol:
        """A value that is known when the program runs."""
        return self._intern("INPUT", (name,))

    def factored(self, value: Any) -> tuple[float, Symbol]:
        """A constant, and what it is to be multiplied by to give `value`."""
        node = self.symbol(value)
        if node.value is not None:
            return node.value, self.symbol(1.0)
        if node.op == "NEG":
            return -1.0, node.args[0]
        return (node.args[1].value, node.args[0]) if is_multiple(node) else (1.0, node)

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
        """The expression op(operands), simplified: off by a rounding or two, if by anything."""
        args = [self.symbol(operand) for operand in operands]
        if op in _MEANING and all(arg.value is not None for arg in args):
            with np.errstate(all="ignore"):
                return self.symbol(float(_MEANING[op](*(arg.value for arg in args))))
        simpler = self._simplify(op, args)
        if simpler is not None:
            return simpler
        return self.plain(op, *args)

    def plain(self, op: str, *args: Symbol) -> Symbol:
        """The expression op(args) as it is."""
        return self._intern(op, tuple(sorted(args, key=_age)) if op in _COMMUTE else args)

    def _intern(self, op: str, args: Key, value: float | None = None) -> Symbol:
        key = (op, *args)
        if key not in self._nodes:
            self._nodes[key] = Symbol(self, len(self._nodes), op, args, value)
        return self._nodes[key]

    def _simplify(self, op: str, args: list[Symbol]) -> Symbol | None:
        """An equal expression of fewer operations, if there is one.

        Constant factors and terms move outwards, where they meet others or become part of a
        multiply-add; so do signs.
        """
        rules: dict[str, Callable[..., Any]] = {
            "ADD": self._sum,
            "SUB": self._difference,
            "MUL": self._product,
            "DIV": self._ratio,
            "NEG": self._negative,
        }
        simpler: Symbol | None = rules[op](*args) if op in rules else None
        return simpler

    def _sum(self, x: Symbol, y: Symbol) -> Any:
        if x.value is not None:
            x, y = y, x
        if y.value == 0.0:
            return x
        if y.value == -1.0 and x.op == "EXP":  # exp(u) - 1 loses all digits near 0
            return self.node("EXPM1", x.args[0])
        if y.value is not None:
            if _has_term(x):
                return x.args[0] + (x.args[1].value + y.value)
            return (x.args[0].value + y.value) - x.args[1] if _from_constant(x) else None
        for one, other in ((x, y), (y, x)):
            if one.op == "NEG":
                return other - one.args[0]
            if _has_term(one):
                return (one.args[0] + other) + one.args[1]
            if _from_constant(one):
                return (other - one.args[1]) + one.args[0]
        return None

    def _difference(self, x: Symbol, y: Symbol) -> Any:
        if x.value == 0.0:
            return -y
        if x.value == 1.0 and y.op == "EXP":
            return -self.node("EXPM1", y.args[0])
        if y.value is not None:
            return x + -y.value
        if y.op == "NEG":
            return x + y.args[0]
        if x.op == "NEG":
            return -(x.args[0] + y)
        if _has_term(y):
            return (x - y.args[0]) + -y.args[1].value
        if _from_constant(y):
            return (x + y.args[1]) + -y.args[0].value
        if _has_term(x):
            return (x.args[0] - y) + x.args[1]
        if _from_constant(x):
            return x.args[0] - (x.args[1] + y)
        opposite = self._nodes.get(("SUB", y, x))
        return None if opposite is None else -opposite

    def _product(self, x: Symbol, y: Symbol) -> Any:
        if x.value is not None:
            x, y = y, x
        factor = y.value
        if factor == 1.0:
            return x
        if factor == -1.0:
            return -x
        if factor is not None:
            if x.op == "NEG":
                return x.args[0] * -factor
            if is_multiple(x):
                return x.args[0] * (x.args[1].value * factor)
            return None
        for one, other in ((x, y), (y, x)):
            if one.op == "NEG":
                return -(one.args[0] * other)
            if is_multiple(one):
                return (one.args[0] * other) * one.args[1]
        return None

    def _ratio(self, above: Symbol, below: Symbol) -> Any:
        """A product with the reciprocal, which all quotients of one divisor share.

        One rounding more than a division, in a third of its time.
        """
        if below.op == "NEG":
            return -(above / below.args[0])
        # c u / (exp(u) - 1), the singular rate, is c exprel(u): 1 at u = 0 instead of 0/0.
        if below.op == "EXPM1":
            ratio = _proportion(above, below.args[0])
            if ratio is not None:
                return ratio * self.node("EXPREL", below.args[0])
        if below.value is not None:
            with np.errstate(all="ignore"):
                return above * float(np.divide(1.0, below.value))
        if below.op == "RECIPROCAL":
            return above * below.args[0]
        if is_multiple(below) and below.args[1].value:
            return above * (1.0 / below.args[1].value) / below.args[0]
        fraction = self._fraction(below)
        if fraction is not None and fraction[1].value != 1.0:
            return above * fraction[1] / fraction[0]
        return above * self.node("RECIPROCAL", below)

    def _fraction(self, of: Symbol) -> tuple[Symbol, Symbol] | None:
        """Two expressions without quotients of which this is one; None of an exponential and such.

        A divisor is written so: 1 / (1 + (k/c)^n) is c^n / (c^n + k^n), one division instead of
        two. With exponentials both might be infinite, where as it was only one is.
        """
        one = self.symbol(1.0)
        known = self._fractions
        for node in self.order([of], known):
            if node in known:
                continue
            parts = [part for arg in node.operands if (part := known[arg]) is not None]
            if node.op not in _RATIONAL or len(parts) < len(node.operands):
                known[node] = None
            elif node.op == "RECIPROCAL":
                known[node] = parts[0][::-1]
            elif all(below is one for _, below in parts):
                known[node] = node, one
            elif node.op == "MUL":
                (a, b), (c, d) = parts
                known[node] = a * c, b * d
            elif node.op in ("ADD", "SUB"):
                (a, b), (c, d) = parts
                if b is not d:
                    a, b, c = a * d, b * d, c * b
                known[node] = (a + c if node.op == "ADD" else a - c), b
            else:
                known[node] = None
        return known[of]

    def _negative(self, x: Symbol) -> Any:
        if x.op == "NEG":
            return x.args[0]
        if is_multiple(x):
            return x.args[0] * -x.args[1].value
        return self._nodes.get(("SUB", x.args[1], x.args[0])) if x.op == "SUB" else None

    def tangent(self, of: Symbol, by: Symbol) -> tuple[Symbol, Symbol]:
        """Slope and offset: `of` is slope * by - offset, and grows with `by` by the slope.

        Where `of` is linear, the offset does not depend on `by`.
        """
        zero = self.symbol(0.0)
        lines: dict[Symbol, tuple[Symbol, Symbol]] = {}
        for node in self.order([of]):
            args = node.operands
            of_args = [lines[arg] for arg in args]
            bent = [arg for arg in args if lines[arg][0] is not zero]
            if node is by:
                lines[node] = self.symbol(1.0), zero
            elif not bent:
                lines[node] = zero, -node
            elif node.op in ("ADD", "SUB"):
                (s0, o0), (s1, o1) = of_args
                lines[node] = (s0 + s1, o0 + o1) if node.op == "ADD" else (s0 - s1, o0 - o1)
            elif node.op == "NEG":
                lines[node] = -of_args[0][0], -of_args[0][1]
            elif node.op == "MUL" and len(bent) == 1:
                other = args[1] if bent[0] is args[0] else args[0]
                slope, offset = lines[bent[0]]
                lines[node] = other * slope, other * offset
            else:
                slope = self.derivative(node, by)
                lines[node] = slope, slope * by - node
        return lines[of]

    def ohmic(self, of: Symbol, by: Symbol) -> tuple[Symbol, Symbol] | None:
        """Slope g and root e, where `of` is written as g (by - e), neither depending on `by`."""
        factor, rest = self.factored(of)
        if rest.op != "MUL":
            return None
        for one, g in (rest.args, rest.args[::-1]):
            if one.op == "SUB" and one.args[0] is by:
                e = one.args[1]
                if all(node is not by for node in self.order([g, e])):
                    return g * factor, e
        return None

    def derivative(self, of: Symbol, by: Symbol) -> Symbol:
        """d of / d by, as an expression.

        Comparisons count as constant; where `minimum`, `maximum` and `where` change from one
        operand to the other, the derivative is that of the operand which is taken.
        """
        slopes: dict[Symbol, Symbol] = {}
        for node in self.order([of]):
            if node is by:
                slopes[node] = self.symbol(1.0)
            elif node.op in ("INPUT", "CONST"):
                slopes[node] = self.symbol(0.0)
            else:
                slopes[node] = self._slope(node, [slopes[arg] for arg in node.args])
        return slopes[of]

    def _slope(self, node: Symbol, slopes: list[Symbol]) -> Symbol:
        """Derivative of one operation, by the chain rule."""
        zero = self.symbol(0.0)
        if all(slope is zero for slope in slopes) or node.op in ("LT", "LE", "EQ"):
            return zero
        if node.op == "SELECT":
            return self.node("SELECT", node.args[0], slopes[1], slopes[2])
        if node.op in ("MIN", "MAX"):
            first = self.node("LE", *node.args)  # the first operand is the smaller one
            smaller, larger = slopes
            if node.op == "MAX":
                smaller, larger = larger, smaller
            return self.node("SELECT", first, smaller, larger)
        sum_ = zero
        for k, slope in enumerate(slopes):
            if slope is not zero:
                part = _PARTIALS[node.op][k](node) * slope
                if node.op in ("SQRT", "LOG") and slope.value is None:
                    # Infinitely steep at 0, where what is clipped doesn't rise at all.
                    part = np.where(slope == 0.0, 0.0, part)
                sum_ = sum_ + part
        return sum_

    def constants(self, results: Sequence[Symbol], known: Container[Symbol]) -> list[Symbol]:
        """The constants that results need, but for what is known."""
        return [node for node in self.order(results, known) if node.op == "CONST"]

    def of_one_input(self, results: Sequence[Symbol], of: Symbol) -> list[Symbol]:
        """The largest parts of results that depend on one input and nothing else.

        But for those that are computed in less time than they could be looked up.
        """
        needed = dict.fromkeys(results)
        for node in self.order(results):
            if self.work(node, of) is None:
                needed.update(dict.fromkeys(node.operands))
        return [node for node in needed if self.is_worth_a_look_up(node, of)]

    def is_worth_a_look_up(self, node: Symbol, of: Symbol) -> bool:
        """Whether it depends on `of` alone, and takes longer to compute than to look up."""
        return (self.work(node, of) or 0) >= WORTH_A_LOOK_UP

    def follows(self, results: Sequence[Symbol], inputs: Container[str]) -> dict[Symbol, bool]:
        """Whether each node that results need follows from these inputs, and constants, alone."""
        found: dict[Symbol, bool] = {}
        for node in self.order(results):
            if node.op == "INPUT":
                found[node] = node.args[0] in inputs
            else:
                found[node] = all(found[arg] for arg in node.operands)
        return found

    def work(self, node: Symbol, of: Symbol) -> int | None:
        """How long, in multiplications, what depends on `of` alone takes; None for the rest."""
        known = self._work.setdefault(of, {})
        left: Iterable[Symbol] = () if node in known else (node,)
        if any(part not in known for one in left for part in one.operands):
            left = self.order([node], known)
        for one in left:
            if one in known:
                continue
            if not one.operands:
                known[one] = 0 if one is of or one.op == "CONST" else None
                continue
            parts = [known[arg] for arg in one.operands]
            alone = [part for part in parts if part is not None]
            own = _LONG if one.op in _LONG_OPERATIONS else 1
            known[one] = own + sum(alone) if len(alone) == len(parts) else None
        return known[node]

    def evaluate(self, result: Symbol, inputs: Mapping[str, Any]) -> Any:
        """The value of an expression for numbers or arrays."""
        values: dict[Symbol, Any] = {}
        for node in self.order([result]):
            if node.op == "CONST":
                values[node] = node.value
            elif node.op == "INPUT":
                values[node] = inputs[node.args[0]]
            else:
                values[node] = _MEANING[node.op](*(values[arg] for arg in node.args))
        return values[result]

    def emit(
        self,
        results: Mapping[int, Symbol],
        kept: Sequence[Symbol],
        inputs: Mapping[str, int],
        known: Mapping[Symbol, int],
        first_temp: int,
    ) -> tuple[list[Instruction], int, dict[Symbol, int]]:
        """Instructions that compute results.

        Parameters
        ----------
        results : mapping
            Destination slot to symbol; a destination is written when all that is read of it
            has been read.
        kept : sequence of Symbol
            More results, which stay where no instruction overwrites them.
        inputs : mapping
            Slot of every input by name.
        known : mapping
            Slot of every constant, and of what has been computed already.
        first_temp : int
            Temporaries are numbered from here.

        Returns
        -------
        code, n_temps, placed
            `placed` says in which slot each symbol was left.
        """
        wanted = [*results.values(), *kept]
        order = self.order(wanted, known)
        slots: dict[Symbol, int] = {
            node: known[node] if node in known else inputs[node.args[0]]
            for node in order
            if node in known or node.op == "INPUT"
        }
        here = {slot: node for node, slot in slots.items() if node.op == "INPUT"}
        order = [node for node in order if node not in slots]
        done = _fused(order, wanted)
        readers = _readers(done.values(), wanted)
        destinations: dict[Symbol, int] = {}
        for slot, result in results.items():
            destinations.setdefault(result, slot)

        code: list[Instruction] = []
        free: list[int] = []
        n_temps = 0
        for node, (op, args) in done.items():
            operands = [slots[arg] for arg in args]
            for arg in args:
                readers[arg] -= 1
                if readers[arg] == 0 and slots[arg] >= first_temp:
                    free.append(slots[arg])
            destination = destinations.get(node)
            before = None if destination is None else here.get(destination)
            if destination is not None and (before is None or readers[before] == 0):
                slots[node] = destination  # nothing reads any more what was there
            elif free:
                slots[node] = free.pop()
            else:
                slots[node] = first_temp + n_temps
                n_temps += 1
            padded = operands + [-1] * (3 - len(operands))
            code.append((op, slots[node], padded[0], padded[1], padded[2]))
        # What is handed on as it was goes first, before what it was is overwritten.
        for slot, result in sorted(results.items(), key=lambda item: item[1].op != "INPUT"):
            if slots[result] != slot:
                code.append(("COPY", slot, slots[result], -1, -1))
        return code, n_temps, slots

    def order(self, results: Sequence[Symbol], known: Container[Symbol] = ()) -> list[Symbol]:
        """Every node that the results need, operands before their readers.

        Nothing is needed for what is known.
        """
        order: dict[Symbol, None] = {}
        stack: list[tuple[Symbol, bool]] = [(result, False) for result in reversed(results)]
        while stack:
            node, ready = stack.pop()
            if node in order:
                continue
            if ready or node.op in ("INPUT", "CONST") or node in known:
                order[node] = None
                continue
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args) if arg not in order)
        return list(order)


def _age(node: Symbol) -> tuple[bool, int]:
    """Constants last. The rest by age, so that a membrane gives one program wherever lowered."""
    return node.op == "CONST", node.number


def _readers(done: Iterable[Done], results: Iterable[Symbol]) -> Counter[Symbol]:
    """How many read each node: instructions, and one for a result, which lives to the end."""
    return Counter([*(arg for _, args in done for arg in args), *results])


def _fused(order: Sequence[Symbol], results: Sequence[Symbol]) -> dict[Symbol, Done]:
    """What is done for each node, but for those whose work another one does, the only to read them.

    A sum does that of a product, and of a difference in that; an exponential that of a product, a
    reciprocal that of a sum, and both of a sum that does a product's; a product that of another or
    of a reciprocal.
    """
    fused: dict[Symbol, tuple[str, tuple[Symbol, ...], tuple[Symbol, ...]]] = {}
    readers = _readers(((node.op, node.args) for node in order), results)
    absorbed: set[Symbol] = set()
    computed = set(order)

    def absorbs(node: Symbol, op: str, alone: bool = False) -> bool:
        if alone and node in fused:
            return False
        return node.op == op and readers[node] == 1 and node in computed

    def fuse(node: Symbol, op: str, parts: Sequence[Symbol], *operands: Symbol) -> None:
        fused[node] = (op, tuple(parts), operands)
        absorbed.update(parts)

    for node in order:
        if node.op in ("ADD", "SUB") and node.args[0] is not node.args[1]:
            left, right = node.args
            if absorbs(left, "MUL"):
                fuse(node, "FMA" if node.op == "ADD" else "FMS", [left], *left.args, right)
            elif absorbs(right, "MUL"):
                fuse(node, "FMA" if node.op == "ADD" else "FNMA", [right], *right.args, left)
    for node in reversed(order):
        if node in absorbed:
            continue
        if node in fused:
            op, parts, (one, other, added) = fused[node]
            for share, way in ((one, other), (other, one)):
                if op == "FMA" and absorbs(way, "SUB", alone=True) and way.args[1] is added:
                    fuse(node, "LERP", [*parts, way], share, way.args[0], added)
                    break
        elif node.op == "MUL" and node.args[0] is not node.args[1]:
            for one, other in (node.args, node.args[::-1]):
                if absorbs(one, "RECIPROCAL"):
                    fuse(node, "DIV", [one], other, one.args[0])
                elif absorbs(one, "MUL"):
                    fuse(node, "MUL3", [one], *one.args, other)
                else:
                    continue
                break
        elif node.op in ("EXP", "RECIPROCAL"):
            (inner,) = node.args
            op, parts, operands = fused.get(inner, ("", (), ()))
            if op == "FMA" and readers[inner] == 1:
                del fused[inner]
                fuse(node, f"{node.op}_FMA", [*parts, inner], *operands)
            elif absorbs(inner, "MUL" if node.op == "EXP" else "ADD", alone=True):
                fuse(node, f"{node.op}_{inner.op}", [inner], *inner.args)
    done = {node: (op, operands) for node, (op, _, operands) in fused.items()}
    return {node: done.get(node, (node.op, node.args)) for node in order if node not in absorbed}


def _has_term(node: Symbol) -> bool:
    """Whether it is something plus a constant."""
    return node.op == "ADD" and node.args[1].value is not None


def _from_constant(node: Symbol) -> bool:
    """Whether it is a constant less something."""
    return node.op == "SUB" and node.args[0].value is not None


def adds(node: Symbol) -> bool:
    """Whether it is a sum or a difference."""
    return node.op in ("ADD", "SUB")


def is_multiple(node: Symbol) -> bool:
    """Whether it is something times a constant."""
    return node.op == "MUL" and node.args[1].value is not None


def _affine(node: Symbol) -> tuple[float, Symbol | None, float]:
    """`node` as factor * base + offset; base None for a constant."""
    if node.value is not None:
        return 0.0, None, node.value
    if node.op == "NEG":
        factor, base, offset = _affine(node.args[0])
        return -factor, base, -offset
    if node.op in ("ADD", "SUB", "MUL"):
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
