"""Sums in an expression graph, put together again so that they take fewer operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from axon.trace import WORTH_A_LOOK_UP, Recorder, Symbol, adds, is_multiple


def regrouped(recorder: Recorder, results: Sequence[Symbol], of: Symbol) -> dict[Symbol, Symbol]:
    """New expressions for results, off by a rounding or two if by anything.

    What a sum adds may be a sum itself, or one times a constant: all are one sum here, in which
    equal terms meet, and which begins with its constant, so that products end up in multiply-adds.
    A constant factor goes where there is room for it: into terms that have one or are no products,
    and into what depends on `of` alone and will be looked up.
    """
    grouping = _Grouping(recorder, results, of)
    return {result: grouping.value(result) for result in results}


class _Grouping:
    """New expressions for the nodes that results need."""

    def __init__(self, recorder: Recorder, results: Sequence[Symbol], of: Symbol) -> None:
        self.recorder, self.of = recorder, of
        self.readers = Counter(results)
        self.readers_of_more = Counter(results)  # that depend on more than `of`
        self.room: dict[Symbol, bool] = {}
        self.new: dict[Symbol, Symbol] = {}
        order = recorder.order(results)
        reader = {}
        alone = set(results)  # what is read by something that is no sum
        for node in order:
            args = node.operands
            self.readers.update(args)
            if self.work(node) is None:
                self.readers_of_more.update(args)
            if not _is_sum(node):
                alone.update(args)
            reader.update(dict.fromkeys(args, node))
        for node in order:
            self.room[node] = self._has_room(node)
            if node in alone or not self._joins(node, scaled=is_multiple(reader[node])):
                self.value(node)

    def work(self, node: Symbol) -> int | None:
        return self.recorder.work(node, self.of)

    def value(self, node: Symbol) -> Symbol:
        """The new expression for a node."""
        if node not in self.new:
            if _is_sum(node):
                self.new[node] = self._chain(*self._terms(node, 1.0))
            elif node.operands:
                self.new[node] = self.recorder.node(node.op, *map(self.value, node.operands))
            else:
                self.new[node] = node
        return self.new[node]

    # ---- constant factors -----------------------------------------------------------------

    def _has_room(self, node: Symbol) -> bool:
        """Whether a sum's terms, or a product, can be multiplied by a constant at no cost."""
        if is_multiple(node):
            return True
        if _is_sum(node):
            return all(
                self.room[part] or not (part.op == "MUL" or self._is_inner(part))
                for part in node.args
            )
        return node.op == "MUL" and self.readers[node] == 1 and any(map(self._takes, node.args))

    def _is_inner(self, node: Symbol) -> bool:
        """Whether it is a sum that only one reads."""
        return adds(node) and self.readers[node] == 1

    def _takes(self, node: Symbol) -> bool:
        """Whether a factor of a product can be multiplied by a constant at no cost."""
        if self._looked_up(node):
            return True
        if not self._is_inner(node):
            return node.op == "MUL" and self.room[node]
        if any(part.op == "MUL" and not is_multiple(part) for part in node.args):
            return False
        constant = any(part.value is not None for part in node.args)
        return self.room[node] and (constant or all(map(is_multiple, node.args)))

    def _looked_up(self, node: Symbol) -> bool:
        """Whether it will be looked up, and what for is only one."""
        return self._is_worth_it(node) and self.readers_of_more[node] == 1

    def _is_shared(self, node: Symbol) -> bool:
        """Whether it will be looked up, once for several."""
        return self._is_worth_it(node) and self.readers_of_more[node] > 1

    def _is_worth_it(self, node: Symbol) -> bool:
        return self.recorder.is_worth_a_look_up(node, self.of)

    def _times(self, node: Symbol, factor: float) -> Symbol:
        """What has room for a factor, multiplied by one."""
        plain = self.recorder.plain
        others = []
        while not self._looked_up(node) and not adds(node):
            node, other = node.args if self._takes(node.args[0]) else node.args[::-1]
            others.append(self.value(other))
        if self._looked_up(node):
            product = plain("MUL", self.value(node), self.recorder.symbol(factor))
        else:
            product = self._chain(*self._terms(node, factor))
        for other in reversed(others):
            product = plain("MUL", product, other)
        return product

    # ---- sums -----------------------------------------------------------------------------

    def _terms(self, root: Symbol, factor: float) -> tuple[dict[Symbol, float], float]:
        """A sum's terms with their factors, and its constant, times a factor."""
        terms: dict[Symbol, float] = {}
        constant = 0.0
        left = [(root, factor)]
        while left:
            node, factor = left.pop()
            if node.value is not None:
                constant += node.value * factor
                continue
            scaled = abs(factor) != 1.0
            if node is root or self._joins(node, scaled):
                if adds(node):
                    sign = 1.0 if node.op == "ADD" else -1.0
                    left += [(node.args[1], sign * factor), (node.args[0], factor)]
                else:
                    own, rest = self.recorder.factored(node)
                    left.append((rest, own * factor))
                continue
            if scaled and not _is_sum(node) and self.room[node]:
                own, term = 1.0, self._times(node, factor)
            elif self._is_shared(node):
                own, term = factor, self.value(node)
            else:
                own, term = self.recorder.factored(self.value(node))
                own *= factor
            if term.value is not None:
                constant += term.value * own
            else:
                terms[term] = terms.get(term, 0.0) + own
        return {term: own for term, own in terms.items() if own != 0.0}, constant

    def _joins(self, node: Symbol, scaled: bool) -> bool:
        """Whether a sum takes the terms of what it adds, or of a multiple of that."""
        if self._is_shared(node):
            return False
        if adds(node):
            return self._is_inner(node) and (self.room[node] or not scaled)
        return _is_sum(node)

    def _chain(self, terms: dict[Symbol, float], constant: float) -> Symbol:
        """Terms, added one after the other."""
        if terms and constant == 0.0 and all(factor == -1.0 for factor in terms.values()):
            return -self._chain(dict.fromkeys(terms, 1.0), 0.0)
        alone = {term: work for term in terms if (work := self.work(term)) is not None}
        if sum(work + 2 for work in alone.values()) <= WORTH_A_LOOK_UP:
            alone = {}

        def place(term: Symbol) -> tuple[bool, bool]:
            """What is looked up together first, and products last."""
            return term not in alone, abs(terms[term]) != 1.0 or term.op == "MUL"

        ordered = sorted(terms, key=place)
        if constant == 0.0 and terms:  # what is subtracted can't be first
            first = min(ordered, key=lambda term: (terms[term] == -1.0, place(term)))
            ordered.sort(key=lambda term: (term is not first, place(term)))
        plain = self.recorder.plain
        total = None if constant == 0.0 and terms else self.recorder.symbol(constant)
        for term in ordered:
            factor = terms[term]
            part = term
            if abs(factor) != 1.0:
                part = plain("MUL", term, self.recorder.symbol(factor))
            if total is None:
                total = part
            else:
                total = plain("SUB" if factor == -1.0 else "ADD", total, part)
        assert total is not None
        return total


def _is_sum(node: Symbol) -> bool:
    """Whether it is a sum, a difference, or something times a constant or -1."""
    return adds(node) or node.op == "NEG" or is_multiple(node)
