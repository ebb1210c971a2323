"""NeuroML documents: read with care, and what is in them by name.

A file may come from anybody. It is parsed by Python's own expat, with no way to other files: a
document type declaration, which alone could name entities, is refused where it begins, so nothing
ever expands; what a file may hold is bounded before it is built. libNeuroML's loader isn't used:
it passes over elements and attributes that it doesn't know without a word, where a channel is
better refused than read by half, follows includes wherever they lead, and resets the warning
filters of its process. Its writer and the standard's schema, which comes with it, are used in
the tests.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from xml.parsers import expat

from axon.errors import AxonError, GeometryError, MembraneError

PathLike = str | os.PathLike[str]

NAMESPACE = "http://www.neuroml.org/schema/neuroml2"

MOST_BYTES = 16 * 2**20
"""Of a file and all that it includes: twenty times the largest cells that are published."""
MOST_ELEMENTS = 250_000

_DEEPEST = 100
_LONGEST = 100  # characters of a quantity
_LONGEST_ERROR = 1000
_SMALLEST, _LARGEST = 1e-30, 1e30  # in axon's units; products of several stay numbers

_ASIDE = {"notes", "property", "annotation"}
"""What is for readers, wherever it stands."""
_LABELS = {"id", "metaid", "neuroLexId"}

_NUMBER = re.compile(r"\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*(\w*)\s*", re.ASCII)
_WHOLE = re.compile(r"\s*\+?(\d{1,18})\s*", re.ASCII)

# Powers of ten that lead to axon's units, which the documentation names.
_UNITS = {
    "number": {"": 0},
    "potential in mV": {"V": 3, "mV": 0},
    "time in ms": {"s": 3, "ms": 0},
    "rate in 1/ms": {"per_s": -3, "Hz": -3, "per_ms": 0},
    "temperature in °C": {"degC": 0},
    "conductance in S/cm²": {"S_per_m2": -4, "mS_per_cm2": -3, "uS_per_cm2": -6, "S_per_cm2": 0},
    "capacitance in µF/cm²": {"F_per_m2": 2, "uF_per_cm2": 0},
    "resistivity in Ω·cm": {"ohm_m": 2, "ohm_cm": 0, "kohm_cm": 3},
}


@dataclass(eq=False, slots=True)
class Element:
    """An element of a document, without its text: all that counts stands in attributes."""

    tag: str
    attributes: dict[str, str]
    line: int
    file: str
    parent: Element | None = field(repr=False)
    children: list[Element] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        label = self.attributes.get("id")
        return self.tag[:40] if label is None else f"{self.tag[:40]} {reprlib.repr(label)}"

    def shown(self, name: str) -> str:
        """An attribute as it stands there, for an error; not all of one that is very long."""
        return f"{name}={reprlib.repr(self.attributes[name])}"

    def refusal(self, why: str, kind: type[AxonError] = MembraneError) -> AxonError:
        """The error that says where this element stands, and what is wrong with it."""
        trail = [str(self)]
        above = self.parent
        while above is not None and above.parent is not None:
            trail.append(str(above))
            above = above.parent
        where = f"{self.file}, line {self.line}: {', '.join(trail[::-1])}"
        return kind(f"{where}: {why[:_LONGEST_ERROR]}")

    def all(self, *tags: str) -> Iterator[Element]:
        """The children of these kinds."""
        return (child for child in self.children if child.tag in tags)

    def only(self, tag: str) -> Element:
        """The one child of a kind."""
        found = list(self.all(tag))
        if len(found) != 1:
            raise self.refusal(f"it holds {len(found) or 'no'} {tag}; give one")
        return found[0]

    def get(self, name: str) -> str:
        """An attribute that must be there."""
        try:
            return self.attributes[name]
        except KeyError:
            raise self.refusal(f"{name} is missing") from None

    def choice(self, name: str, known: Iterable[str]) -> str:
        """An attribute that must be one of these."""
        if self.get(name) not in known:
            there = ", ".join(known)
            raise self.refusal(f"{self.shown(name)} is not supported; choose from {there}")
        return self.attributes[name]

    def check(self, attributes: Iterable[str], children: Iterable[str] = ()) -> None:
        """Refuse attributes and children that there is no use for: they would change what it is."""
        for name in self.attributes:
            if name not in attributes and name not in _LABELS:
                known = ", ".join(attributes) or "none"
                raise self.refusal(f"{self.shown(name)} is not supported; choose from {known}")
        for child in self.children:
            if child.tag not in children and child.tag not in _ASIDE:
                known = ", ".join(children) or "none"
                raise child.refusal(f"not supported there; choose from {known}")

    def amount(self, name: str, kind: str, *, positive: bool = False) -> float:
        """An attribute as a plain number in axon's unit of its kind, which `_UNITS` lists.

        Digits are moved in decimal, so ``0.1 V`` is 100 mV exactly.
        """
        text, units = self.get(name), _UNITS[kind]
        match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None or match[2] not in units:
            wanted = " or ".join(unit for unit in units if unit)
            wanted = f", with the unit {wanted}" if wanted else ""
            raise self.refusal(f"{self.shown(name)} is no {kind.split()[0]}{wanted}")
        try:
            value = float(Decimal(match[1]).scaleb(units[match[2]]))
            sane = value == 0.0 or _SMALLEST <= abs(value) <= _LARGEST
        except ArithmeticError:  # an exponent of too many digits
            sane = False
        if not sane:
            raise self.refusal(f"{self.shown(name)} is too large or too small")
        if positive and not value > 0.0:
            raise self.refusal(f"{self.shown(name)} must be greater than 0")
        return value

    def whole(self, name: str) -> int:
        """An attribute that is a whole number, 0 or more."""
        text = self.get(name)
        match = _WHOLE.fullmatch(text)
        if match is None:
            raise self.refusal(f"{self.shown(name)} is no whole number of 0 or more")
        return int(match[1])


@contextmanager
def placed(element: Element) -> Iterator[None]:
    """Say where in the file that stands which is refused."""
    try:
        yield
    except (GeometryError, MembraneError) as error:
        raise element.refusal(str(error), type(error)) from error


def read(path: PathLike) -> list[Element]:
    """What stands at the top of a NeuroML 2 document, and of those that it includes.

    Files are included that lie in the folder of the first one, or below; each once.

    Raises
    ------
    MembraneError
        If a file can't be read, is no NeuroML 2, is too large, or includes others.
    """
    first = Path(path)
    try:
        folder = first.resolve().parent
    except (OSError, RuntimeError, ValueError) as error:
        raise MembraneError(f"{str(path)!r} cannot be read: {error}") from error
    found: list[Element] = []
    waiting: list[tuple[Path, Element | None]] = [(first, None)]
    seen: set[Path] = set()
    left = [MOST_BYTES, MOST_ELEMENTS]
    while waiting:
        file, include = waiting.pop(0)
        try:
            actual = file.resolve()
            inside = include is None or actual.is_relative_to(folder)
            if actual in seen:
                continue
            seen.add(actual)
            data = _bytes_of(actual, left[0] + 1, only_files=include is not None) if inside else b""
        except (OSError, RuntimeError, ValueError) as error:
            if include is None:
                raise MembraneError(f"{str(path)!r} cannot be read: {error}") from error
            raise include.refusal(f"it cannot be read: {error}") from error
        if include is not None and not inside:
            raise include.refusal(f"it leads out of {folder}; put the file there, or below")
        root = _parsed(data, str(file), left)
        for child in root.children:
            if child.tag == "include":
                waiting.append((file.parent / child.get("href"), child))
            else:
                found.append(child)
    return found


def named(
    components: Iterable[Element], tags: Iterable[str], name: str | None, what: str, path: PathLike
) -> Element:
    """The one component of these kinds that has this id; without one, the only one.

    Raises
    ------
    MembraneError
        If there is none, or more than one.
    """
    of_kind = [element for element in components if element.tag in tags]
    chosen = [e for e in of_kind if name is None or e.attributes.get("id") == name]
    if len(chosen) == 1:
        return chosen[0]
    there = ", ".join(str(element) for element in of_kind[:20]) or "none"
    which = "" if name is None else f" of the name {name!r}"
    many = "more than one" if chosen else "no"
    raise MembraneError(f"{str(path)!r} holds {many} {what}{which}; there are {there}")


def _bytes_of(file: Path, most: int, only_files: bool) -> bytes:
    if only_files and not file.is_file():  # another one might never end
        raise FileNotFoundError(f"there is no file {str(file)!r}")
    with open(file, "rb") as stream:
        return stream.read(most)


def _parsed(data: bytes, file: str, left: list[int]) -> Element:
    """The root of a document; takes what it needs from the bytes and elements that are left."""
    left[0] -= len(data)
    if left[0] < 0:
        raise MembraneError(
            f"{file} is too large: at most {MOST_BYTES >> 20} MiB are read, with what it includes"
        )
    parser = expat.ParserCreate(namespace_separator=" ")
    root = Element("", {}, 0, file, None)
    open_ones = [root]

    def begins(name: str, attributes: dict[str, str]) -> None:
        left[1] -= 1
        if left[1] < 0 or len(open_ones) > _DEEPEST:
            raise MembraneError(
                f"{file}, line {parser.CurrentLineNumber}: too many elements, or too deep; at "
                f"most {MOST_ELEMENTS} are read, {_DEEPEST} in each other"
            )
        namespace, _, local = name.rpartition(" ")
        tag = local if namespace == NAMESPACE else f"{namespace}:{local}"
        element = Element(tag, attributes, parser.CurrentLineNumber, file, open_ones[-1])
        open_ones[-1].children.append(element)
        open_ones.append(element)

    def ends(name: str) -> None:
        open_ones.pop()

    def declares(*what: object) -> None:
        raise MembraneError(
            f"{file}, line {parser.CurrentLineNumber}: a document type declaration; NeuroML "
            "needs none, and entities are not read"
        )

    parser.StartElementHandler = begins
    parser.EndElementHandler = ends
    parser.StartDoctypeDeclHandler = declares
    try:
        parser.Parse(data, True)
    except MembraneError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise MembraneError(f"{file} is no XML that can be read: {error}") from error
    (document,) = root.children
    if document.tag != "neuroml":
        raise MembraneError(
            f"{file} is no NeuroML 2: it begins with <{document.tag[:80]}>, and not with "
            f'<neuroml xmlns="{NAMESPACE}">'
        )
    document.parent = None
    return document
