"""What is still between slow steps, put together in expressions, to be computed with these only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from functools import partial, reduce
from typing import NamedTuple

from axon.trace import Recorder, Symbol, adds

STEEPEST = 2.0
"""Slope, 1/mV, up to which an exponential of the potential alone is finite in all tables."""


def straightened(
    recorder: Recorder, results: Sequence[Symbol], of: Symbol, still: Container[str]
) -> dict[Symbol, Symbol]:
    """New expressions for results: an exponential of what `of` moves along a straight line has
    slope times `of` plus offset as its exponent, both of which follow from inputs that are still.

    If the slope is a constant it becomes two exponentials: of one the argument is still, the other
    can be looked up.
    """
    follows = recorder.follows(results, still)
    new: dict[Symbol, Symbol] = {}
    plain = recorder.plain
    for node in recorder.order(results):
        parts = [new[part] for part in node.operands]
        new[node] = plain(node.op, *parts) if parts else node
        if node.op != "EXP" or follows[node]:
            continue
        line = _line(recorder, node.args[0], of, follows)
        if line is None or all(part.value is not None for part in line):
            continue
        slope, offset = line
        if slope.value is not None and abs(slope.value) <= STEEPEST:
            of_line = plain("EXP", recorder.node("MUL", of, slope))
            new[node] = plain("MUL", of_line, plain("EXP", offset))
        else:
            new[node] = plain("EXP", plain("ADD", plain("MUL", of, slope), offset))
    return {result: new[result] for result in results}


def _line(
    recorder: Recorder, exponent: Symbol, of: Symbol, follows: Mapping[Symbol, bool]
) -> tuple[Symbol, Symbol] | None:
    """Slope and offset, if it is a straight line in `of`."""
    zero, one = recorder.symbol(0.0), recorder.symbol(1.0)
    lines: dict[Symbol, tuple[Symbol, Symbol] | None] = {}
    for node in recorder.order([exponent]):
        lines[node] = None
        parts = [line for part in node.operands if (line := lines[part]) is not None]
        if node is of:
            lines[node] = one, zero
        elif follows[node]:
            lines[node] = zero, node
        elif len(parts) < len(node.operands):
            continue
        elif node.op in ("ADD", "SUB", "NEG"):
            slopes, offsets = zip(*parts, strict=True)
            lines[node] = recorder.node(node.op, *slopes), recorder.node(node.op, *offsets)
        elif node.op == "MUL" and any(follows[part] for part in node.args):
            ((_, factor), (slope, offset)) = sorted(parts, key=lambda line: line[0] is not zero)
            lines[node] = factor * slope, factor * offset
    return lines[exponent]


def gathered(
    recorder: Recorder, results: Sequence[Symbol], of: Symbol, still: Container[str]
) -> dict[Symbol, Symbol]:
    """New expressions for results, off by a rounding or two: what is still in a product is one
    factor, which goes into a sum that it multiplies if each term there has such a factor already.

    What depends on `of` alone and will be looked up is left as it is.
    """
    return _Gathering(recorder, results, of, still).again()


class _Term(NamedTuple):
    """What a sum adds or, if it is negative, takes away: a product."""

    negative: bool
    moving: list[Symbol]
    still: list[Symbol]


class _Gathering:
    """New expressions for the nodes that results need.

    Attributes
    ----------
    whole : dict of Symbol to bool
        What is not looked into: it is still, or looked up.
    joins : set of Symbol
        Sums and products that become part of the one that reads them; also products with a still
        factor, if all that read them are products that have one, too.
    has_room : dict of Symbol to bool
        Into what a still factor can go at no cost: products that have one, sums of such.
    spreads : dict of Symbol to bool
        Products of what is still and a sum that has room, and sums that such become part of.
    """

    def __init__(
        self, recorder: Recorder, results: Sequence[Symbol], of: Symbol, still: Container[str]
    ) -> None:
        self.recorder, self.results = recorder, results
        self.order = recorder.order(results)
        self.follows = recorder.follows(results, still)
        self.whole = {
            node: self.follows[node] or recorder.is_worth_a_look_up(node, of) for node in self.order
        }
        self.joins: set[Symbol] = set()
        self._find_joining()
        self.has_room: dict[Symbol, bool] = {}
        self.spreads: dict[Symbol, bool] = {}
        for node in self.order:
            args = node.operands
            if node.op == "MUL":
                self.has_room[node] = any(
                    self.follows[arg]
                    or (arg.op == "MUL" and arg in self.joins and self.has_room[arg])
                    for arg in args
                )
                self.spreads[node] = any(self.follows[arg] for arg in args) and any(
                    arg in self.joins and (self.has_room if adds(arg) else self.spreads)[arg]
                    for arg in args
                )
            else:
                self.has_room[node] = adds(node) and all(
                    self.follows[arg] or (arg in self.joins and self.has_room[arg]) for arg in args
                )
                self.spreads[node] = adds(node) and any(
                    arg in self.joins and self.spreads[arg] for arg in args
                )

    def _find_joining(self) -> None:
        readers = Counter(self.results)
        joining = Counter[Symbol]()  # how many of them are sums or products
        scaled = Counter[Symbol]()  # and how many are products with what is still
        for node in reversed(self.order):
            count = readers[node]
            if count == 0 or self.whole[node]:
                continue
            product = node.op == "MUL"
            factor = product and any(self.follows[arg] for arg in node.args)
            if count == 1:
                joins = joining[node] == 1 and (product or adds(node))
            else:
                joins = factor and scaled[node] == count
            if joins:
                self.joins.add(node)
            else:
                count = 1
            for arg in node.operands:
                readers[arg] += count
                joining[arg] += count if product or adds(node) else 0
                scaled[arg] += count if factor else 0

    def again(self) -> dict[Symbol, Symbol]:
        """The results."""
        wanted = set(self.results)
        terms: dict[Symbol, list[_Term]] = {}
        for node in reversed(self.order):
            if node not in wanted or self.whole[node]:
                continue
            found = self._terms(node) if node.op == "MUL" or self.spreads[node] else []
            if len(found) > 1 or any(len(term.still) > 1 for term in found):
                terms[node] = found
                wanted.update(part for term in terms[node] for part in term.moving)
            else:
                wanted.update(node.operands)
        new: dict[Symbol, Symbol] = {}
        for node in self.order:
            if node in terms:
                new[node] = self._sum(terms[node], new)
            elif self.whole[node] or not node.operands:
                new[node] = node
            elif node in wanted:
                parts = (new[part] for part in node.operands)
                new[node] = self.recorder.plain(node.op, *parts)
        return {result: new[result] for result in self.results}

    def _terms(self, root: Symbol) -> list[_Term]:
        """Of a sum, with what is multiplied by them; or a product, as the only one."""
        found = []
        left: list[tuple[bool, Symbol, list[Symbol]]] = [(False, root, [])]
        while left:
            negative, node, still = left.pop()
            part = node is root or node in self.joins
            if part and node.op == "MUL":
                moving, own = self._factors(node)
                if self.spreads[node]:
                    left.append((negative, moving[0], still + own))
                else:
                    found.append(_Term(negative, moving, still + own))
            elif part and adds(node) and (self.has_room[node] or not still):
                first, second = node.args
                left.append((negative != (node.op == "SUB"), second, still))
                left.append((negative, first, still))
            elif self.follows[node]:
                found.append(_Term(negative, [], [*still, node]))
            else:
                found.append(_Term(negative, [node], still))
        return found

    def _factors(self, product: Symbol) -> tuple[list[Symbol], list[Symbol]]:
        """Factors that move, and such that are still."""
        moving: list[Symbol] = []
        still: list[Symbol] = []
        left = [product]
        while left:
            node = left.pop()
            if node is product or (node.op == "MUL" and node in self.joins):
                left += node.args[::-1]
            else:
                (still if self.follows[node] else moving).append(node)
        return moving, still

    def _sum(self, terms: list[_Term], new: Mapping[Symbol, Symbol]) -> Symbol:
        """Terms, one after the other: what is still first, products last."""
        plain, node = self.recorder.plain, self.recorder.node
        still: list[Symbol] = []
        others: list[tuple[bool, bool, Symbol]] = []
        for negative, moving, factors in terms:
            if not moving:
                alone = reduce(partial(node, "MUL"), factors)
                still.append(-alone if negative else alone)
                continue
            term = reduce(partial(plain, "MUL"), (new[part] for part in moving))
            if factors:
                term = plain("MUL", term, reduce(partial(node, "MUL"), factors))
            others.append((negative, term.op == "MUL", term))
        others.sort(key=lambda one: one[:2])
        if still:
            total = reduce(partial(node, "ADD"), still)
        else:
            negative, _, total = others.pop(0)
            if negative:
                total = plain("NEG", total)
        for negative, _, term in others:
            total = plain("SUB" if negative else "ADD", total, term)
        return total
