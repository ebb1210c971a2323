"""Cells of NeuroML 2: a tree of cables from segments, and a membrane from densities on groups.

Equations, and what is meant where something is left out, are those of the standard's definitions,
`Cells <https://docs.neuroml.org/Userdocs/Schemas/Cells.html>`_.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from axon.channels import Channel
from axon.errors import GeometryError
from axon.geometry import Axon, number_of_compartments
from axon.membranes import Membrane
from axon.neuroml.channels import KINDS, channel_of
from axon.neuroml.documents import Element, PathLike, named, placed, read
from axon.rates import Profile
from axon.records import Value
from axon.trees import Branch, Tree
from axon.units import QuantityLike

_PARTS = ("morphology", "biophysicalProperties")
MOST_COMPARTMENTS = 1_000_000
"""Of a cell, whose lengths and diameters anybody may have written."""

MOST_VALUES = 20_000_000
"""Of properties of segments, or of channels' densities in compartments."""

_NO_ION = "non_specific"
_NOTHING = 1e-150  # S/cm², where a density must be positive


class Cell(Value):
    """A cell that was read from a file.

    Attributes
    ----------
    name : str
    axon : Tree
        Its shape, with what it has of capacitance and axial resistivity.
    membrane : Membrane
        A channel for each ion channel that has a density, by its name, with one value per
        compartment where it isn't the same everywhere. ``v_init`` is the file's initial potential.
    spike_threshold : float
        Potential that counts as a spike, mV.

    Examples
    --------
    What a cell is made of goes into a simulation like anything else::

        sim = axon.Simulation(
            cell.axon,
            cell.membrane,
            v_init=cell.membrane.v_init,
            spike_threshold=cell.spike_threshold,
        )
    """

    name: str
    axon: Tree
    membrane: Membrane
    spike_threshold: float


class _Point(NamedTuple):
    x: float
    y: float
    z: float
    diameter: float

    @property
    def place(self) -> tuple[float, float, float]:
        return self.x, self.y, self.z


@dataclass(frozen=True, slots=True)
class _Segment:
    """A frustum, or where both ends are one place, a sphere."""

    number: int
    name: str
    parent: int  # -1 for the root
    fraction: float
    start: _Point
    stop: _Point

    @property
    def is_sphere(self) -> bool:
        return self.start.place == self.stop.place

    @property
    def length(self) -> float:
        """Of a sphere, that of the cylinder of its area and diameter: the diameter."""
        if self.is_sphere:
            return self.stop.diameter
        return math.dist(self.start.place, self.stop.place)


def read_cell(
    path: PathLike,
    name: str | None = None,
    *,
    celsius: QuantityLike | None = None,
    dx: QuantityLike | None = None,
    d_lambda: float | None = None,
) -> Cell:
    """A cell of a NeuroML 2 file: its morphology and its membrane.

    Parameters
    ----------
    path : str or path
        The file. Others that it includes, such as its channels', are read if they lie in its
        folder or below.
    name : str, optional
        Its ``id``; not needed if there is only one.
    celsius : float or quantity, optional
        Temperature of the membrane, °C: NeuroML has it with networks, and not with cells. It is
        needed if anything of the cell depends on it.
    dx, d_lambda : optional
        How finely its branches are cut, as for `Axon`.

    Returns
    -------
    Cell

    Raises
    ------
    MembraneError
        If the file can't be read or isn't NeuroML 2, if there is no such cell, or if it has
        something that isn't supported, which is named with its line.
    GeometryError
        If its segments are no tree, or can't be cut.

    Notes
    -----
    Segments that go on from one another without a fork, and have one membrane, are one branch. A
    segment whose ends are one place is a sphere; the cylinder of its diameter and area stands for
    it, parallel to x. Where a segment begins elsewhere than its parent says, what lies between is
    no membrane, and no resistance. A branch has the name of its first segment, if no other segment
    has it.

    Supported are ``channelDensity`` on groups or single segments, ``specificCapacitance`` and
    ``resistivity`` on groups, groups of members and of other groups, and one ``initMembPotential``
    and ``spikeThresh`` for the whole cell. Not supported are densities of other kinds, channel
    populations, ``species``, and groups by ``path`` or ``subTree``; and of channels what
    `read_channel` doesn't support.

    The amount of a channel is exact: where branches of different density meet, their compartment
    has the mean over its membrane.
    """
    components = read(path)
    cell = named(components, ("cell",), name, "cell", path)
    morphology, properties = (_part(cell, tag, components) for tag in _PARTS)
    segments = _segments(morphology)
    groups = _Groups(morphology, segments)
    parts = ("membraneProperties", "intracellularProperties", "extracellularProperties")
    properties.check((), parts)
    on_membrane, inside = (properties.only(part) for part in parts[:2])
    on_membrane.check(
        (), ("channelDensity", "specificCapacitance", "initMembPotential", "spikeThresh")
    )
    inside.check((), ("resistivity",))
    for outside in properties.all("extracellularProperties"):
        outside.check(())

    cm = _each(on_membrane, "specificCapacitance", "capacitance in µF/cm²", groups)
    resistivity = _each(inside, "resistivity", "resistivity in Ω·cm", groups)
    densities = [_density(element, groups) for element in on_membrane.all("channelDensity")]
    found_on: dict[int, list[int]] = {number: [] for number in segments}
    for k, density in enumerate(densities):
        for number in density.segments:
            found_on[number].append(k)
    alike = {n: (cm[n], resistivity[n], tuple(found_on[n])) for n in segments}
    runs = list(_runs(segments, alike))
    tree = _tree(morphology, segments, runs, cm, resistivity, dx, d_lambda)

    if not densities:
        raise on_membrane.refusal("there is no channelDensity; a membrane needs one or more")
    channels = list(_channels(densities, components, path, tree, [run[0].number for run in runs]))
    options: dict[str, Any] = {} if celsius is None else {"celsius": celsius}
    if celsius is None and any(map(_warms, channels)):
        raise cell.refusal("its channels depend on temperature, and it has none; give celsius=...")
    v_init = _one(on_membrane, "initMembPotential", groups)
    threshold = _one(on_membrane, "spikeThresh", groups)
    label = cell.get("id")
    return Cell(label, tree, Membrane(channels, name=label, v_init=v_init, **options), threshold)


def read_morphology(
    path: PathLike,
    name: str | None = None,
    *,
    Ra: QuantityLike = 100.0,
    cm: QuantityLike = 1.0,
    dx: QuantityLike | None = None,
    d_lambda: float | None = None,
) -> Tree:
    """The shape alone of a cell of a NeuroML 2 file, for a membrane of one's own.

    Parameters
    ----------
    path : str or path
        The file, as for `read_cell`.
    name : str, optional
        ``id`` of the cell, or of a morphology that stands by itself; not needed if there is only
        one cell, or no cell and one morphology.
    Ra, cm : float or quantity, optional
        Axial resistivity, Ω·cm, and specific capacitance, µF/cm², of all of it.
    dx, d_lambda : optional
        How finely its branches are cut, as for `Axon`.

    Returns
    -------
    Tree
        As `read_cell` makes it.

    Raises
    ------
    MembraneError
        If the file can't be read or isn't NeuroML 2, or if there is no such cell or morphology.
    GeometryError
        If its segments are no tree, or can't be cut.
    """
    components = read(path)
    cells = [element for element in components if element.tag == "cell"]
    if any(name in (None, cell.attributes.get("id")) for cell in cells):
        cell = named(cells, ("cell",), name, "cell", path)
        morphology = _part(cell, "morphology", components)
    else:
        morphology = named(components, ("morphology",), name, "cell or morphology", path)
    segments = _segments(morphology)
    same = dict.fromkeys(segments, cm), dict.fromkeys(segments, Ra)
    runs = list(_runs(segments, dict.fromkeys(segments)))
    return _tree(morphology, segments, runs, *same, dx, d_lambda)


def _part(cell: Element, tag: str, components: Iterable[Element]) -> Element:
    """The cell's own, or the one in the document that it names."""
    cell.check(_PARTS, _PARTS)
    if tag not in cell.attributes:
        return cell.only(tag)
    if any(cell.all(tag)):
        raise cell.refusal(f"it names a {tag} and holds one; give one of these")
    name = cell.get(tag)
    return named(components, (tag,), name, tag, cell.file)


# ---- shape ---------------------------------------------------------------------------------------


def _segments(morphology: Element) -> dict[int, _Segment]:
    """By number, each after its parent."""
    morphology.check((), ("segment", "segmentGroup"))
    elements: dict[int, Element] = {}
    links: dict[int, tuple[int, float]] = {}
    for element in morphology.all("segment"):
        element.check(("name",), ("parent", "proximal", "distal"))
        number = element.whole("id")
        if number in elements:
            raise element.refusal("another segment has this id")
        elements[number] = element
        links[number] = _link(element)
    children: dict[int, list[int]] = {}
    for number in sorted(links, key=lambda number: links[number][1] != 1.0):  # what goes on first
        children.setdefault(links[number][0], []).append(number)
    for above in children.keys() - elements.keys() - {-1}:
        element = elements[children[above][0]]
        raise element.refusal(f"its parent, segment {above}, is not there", GeometryError)
    roots = children.get(-1, [])
    if len(roots) != 1:
        raise morphology.refusal(
            f"{len(roots) or 'no'} segments have no parent; there must be one", GeometryError
        )
    segments: dict[int, _Segment] = {}
    waiting = roots
    while waiting:
        number = waiting.pop()
        above, fraction = links[number]
        segments[number] = _segment(number, elements[number], segments.get(above), fraction)
        waiting += reversed(children.get(number, []))
    if len(segments) < len(elements):
        lost = elements[min(elements.keys() - segments.keys())]
        raise lost.refusal("its parents lead back to itself", GeometryError)
    return segments


def _link(element: Element) -> tuple[int, float]:
    """The segment's parent, -1 if it has none, and how far along that it begins."""
    if not any(element.all("parent")):
        return -1, 1.0
    parent = element.only("parent")
    parent.check(("segment", "fractionAlong"))
    fraction = 1.0
    if "fractionAlong" in parent.attributes:
        fraction = parent.amount("fractionAlong", "number")
    if not 0.0 <= fraction <= 1.0:
        raise parent.refusal(f"{parent.shown('fractionAlong')} is not from 0 to 1")
    return parent.whole("segment"), fraction


def _segment(number: int, element: Element, parent: _Segment | None, fraction: float) -> _Segment:
    stop = _point(element.only("distal"))
    if any(element.all("proximal")):
        start = _point(element.only("proximal"))
    elif parent is None:
        raise element.refusal("proximal is missing, and there is no parent to take it from")
    elif fraction in (0.0, 1.0):
        start = parent.stop if fraction else parent.start
    else:
        ends = zip(parent.start, parent.stop, strict=True)
        start = _Point(*((1.0 - fraction) * a + fraction * b for a, b in ends))
    name = element.attributes.get("name", "")
    above = -1 if parent is None else parent.number
    made = _Segment(number, name, above, fraction, start, stop)
    if made.is_sphere and start.diameter != stop.diameter:
        raise element.refusal(
            f"a sphere, since both ends are one place, of two diameters, {start.diameter:g} and "
            f"{stop.diameter:g} um",
            GeometryError,
        )
    return made


def _point(element: Element) -> _Point:
    element.check(("x", "y", "z", "diameter"))
    x, y, z = (element.amount(name, "number") for name in "xyz")
    return _Point(x, y, z, element.amount("diameter", "number", positive=True))


def _runs(segments: Mapping[int, _Segment], alike: Mapping[int, Any]) -> Iterator[list[_Segment]]:
    """Segments that make a branch each, after those that they begin on."""
    at_end = Counter(each.parent for each in segments.values() if each.fraction == 1.0)
    run: list[_Segment] = []
    for each in segments.values():
        last = run[-1] if run else None
        goes_on = (
            last is not None
            and each.parent == last.number
            and each.fraction == 1.0
            and at_end[last.number] == 1
            and each.start.place == last.stop.place
            and not (each.is_sphere or last.is_sphere)
            and alike[each.number] == alike[last.number]
        )
        if run and not goes_on:
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _tree(
    morphology: Element,
    segments: Mapping[int, _Segment],
    runs: Sequence[Sequence[_Segment]],
    cm: Mapping[int, QuantityLike],
    resistivity: Mapping[int, QuantityLike],
    dx: QuantityLike | None,
    d_lambda: float | None,
) -> Tree:
    with placed(morphology):
        return Tree(tuple(_branches(segments, runs, cm, resistivity, dx, d_lambda)))


def _branches(
    segments: Mapping[int, _Segment],
    runs: Sequence[Sequence[_Segment]],
    cm: Mapping[int, QuantityLike],
    resistivity: Mapping[int, QuantityLike],
    dx: QuantityLike | None,
    d_lambda: float | None,
) -> Iterator[Branch]:
    names = Counter(each.name for each in segments.values())
    places: dict[int, tuple[int, float]] = {}  # branch, and where on it each segment begins
    left = MOST_COMPARTMENTS
    for k, run in enumerate(runs):
        along = [0.0]
        for each in run:
            places[each.number] = k, along[-1]
            along.append(along[-1] + each.length)
        first = run[0]
        diameters = [d for each in run for d in (each.start.diameter, each.stop.diameter)]
        profile = _profile(np.repeat(along, 2)[1:-1], diameters)
        own = resistivity[first.number], cm[first.number]
        left -= number_of_compartments(*profile, *own, dx, None, d_lambda)
        if left < 0:
            raise GeometryError(
                f"it would be cut into more than {MOST_COMPARTMENTS} compartments; write a larger "
                "dx or d_lambda, or look for a length or diameter in the wrong unit"
            )
        cable = Axon.from_profile(*profile, Ra=own[0], cm=own[1], dx=dx, d_lambda=d_lambda)
        path = [first.start.place, *(each.stop.place for each in run)]
        if first.is_sphere:
            x, y, z, diameter = first.stop
            path = [(x - diameter / 2, y, z), (x + diameter / 2, y, z)]
        begins = (-1, 0.0)
        if first.parent >= 0:
            on, at = places[first.parent]
            begins = on, at + first.fraction * segments[first.parent].length
        name = first.name if names[first.name] == 1 else ""
        yield Branch(cable.along(path), *begins, name)


def _profile(knots: np.ndarray, diameters: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Without the second of two knots that are no step."""
    d = np.array(diameters)
    stays = np.append(True, (np.diff(knots) != 0.0) | (np.diff(d) != 0.0))
    return knots[stays], d[stays]


# ---- membrane ------------------------------------------------------------------------------------


class _Groups:
    """Which segments a group holds."""

    def __init__(self, morphology: Element, segments: Collection[int]) -> None:
        self.everything = frozenset(segments)
        self._elements: dict[str, Element] = {}
        for element in morphology.all("segmentGroup"):
            if element.get("id") in self._elements:
                raise element.refusal("another group has this id")
            self._elements[element.get("id")] = element
        self._known: dict[str, frozenset[int]] = {}
        self._left = MOST_VALUES

    def of(self, element: Element) -> frozenset[int]:
        """Those that an element is for: all, if it doesn't say."""
        found = self._meant(element)
        self._left -= len(found)
        if self._left < 0:
            raise element.refusal("so many properties of so many segments are not read")
        return found

    def _meant(self, element: Element) -> frozenset[int]:
        if "segment" in element.attributes:
            if "segmentGroup" in element.attributes:
                raise element.refusal("it names a segment and a segmentGroup; give one of these")
            return frozenset([self._there(element)])
        name = element.attributes.get("segmentGroup", "all")
        if name not in self._known:
            self._known[name] = self._found(name, element)
        return self._known[name]

    def is_all(self, element: Element) -> bool:
        """Whether it is for the whole cell."""
        return self.of(element) == self.everything

    def _there(self, element: Element) -> int:
        number = element.whole("segment")
        if number not in self.everything:
            raise element.refusal(f"there is no segment {number}")
        return number

    def _found(self, name: str, asker: Element) -> frozenset[int]:
        if name == "all" and name not in self._elements:
            return self.everything
        found: set[int] = set()
        seen: set[str] = set()
        waiting = [(name, asker)]
        while waiting:
            name, asker = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name == "all" and name not in self._elements:
                return self.everything
            if name not in self._elements:
                raise asker.refusal(f"{asker.shown('segmentGroup')}: there is no such group")
            group = self._elements[name]
            group.check((), ("member", "include", "inhomogeneousParameter"))
            for member in group.all("member"):
                found.add(self._there(member))
            waiting += ((include.get("segmentGroup"), include) for include in group.all("include"))
        return frozenset(found)


def _each(parent: Element, tag: str, kind: str, groups: _Groups) -> dict[int, float]:
    """What every segment must have one value of."""
    values: dict[int, float] = {}
    for element in parent.all(tag):
        element.check(("value", "segmentGroup"))
        value = element.amount("value", kind, positive=True)
        for number in groups.of(element):
            if values.setdefault(number, value) != value:
                raise element.refusal(f"segment {number} has another value already")
    missing = groups.everything - values.keys()
    if missing:
        raise parent.refusal(f"{tag} is missing for segment {min(missing)}")
    return values


def _one(parent: Element, tag: str, groups: _Groups) -> float:
    """What the whole cell has one value of, mV."""
    element = parent.only(tag)
    element.check(("value", "segmentGroup"))
    if not groups.is_all(element):
        raise element.refusal("only one for all segments is supported")
    return element.amount("value", "potential in mV")


class _Density(NamedTuple):
    """A channel on some segments."""

    channel: str
    ion: str | None
    gbar: float
    reversal: float
    segments: frozenset[int]
    element: Element


def _density(element: Element, groups: _Groups) -> _Density:
    element.check(("ionChannel", "condDensity", "erev", "segmentGroup", "segment", "ion"))
    gbar = element.amount("condDensity", "conductance in S/cm²")
    if gbar < 0.0:
        raise element.refusal(f"{element.shown('condDensity')} must be 0 or more")
    ion = element.get("ion")
    return _Density(
        element.get("ionChannel"),
        None if ion == _NO_ION else ion,
        gbar,
        element.amount("erev", "potential in mV"),
        groups.of(element),
        element,
    )


def _channels(
    densities: Sequence[_Density],
    components: Sequence[Element],
    path: PathLike,
    tree: Tree,
    first: Sequence[int],
) -> Iterator[Channel]:
    """One for each ion channel, however many densities it has.

    Parameters
    ----------
    first : sequence of int
        A segment of each branch; all of a branch have the same densities.
    """
    by_name: dict[str, list[_Density]] = {}
    for density in densities:
        by_name.setdefault(density.channel, []).append(density)
    if len(by_name) * tree.n > MOST_VALUES:
        raise densities[0].element.refusal("so many channels in so many compartments are not read")
    for name, those in by_name.items():
        gbar, reversal = _amount(those, tree, first)
        channel = channel_of(named(components, KINDS, name, "ion channel", path), gbar, reversal)
        ions = {None if channel.ion == _NO_ION else channel.ion} - {None}
        ions |= {density.ion for density in those}
        if len(ions) > 1:
            told = ", ".join(sorted(str(ion or _NO_ION) for ion in ions))
            raise those[-1].element.refusal(f"{name} carries more than one ion: {told}")
        (ion,) = ions
        with placed(those[0].element):
            made = replace(channel, ion=ion)
        yield made


def _amount(
    densities: Sequence[_Density], tree: Tree, first: Sequence[int]
) -> tuple[Profile, Profile]:
    """Conductance, S/cm², and reversal potential, mV, of all densities of one channel.

    Currents add up to that of one channel, sum(g) (v - sum(g e) / sum(g)).
    """
    lowest = min(density.reversal for density in densities)
    amounts, products = dict.fromkeys(first, 0.0), dict.fromkeys(first, 0.0)
    for density in densities:
        for number in density.segments & amounts.keys():
            amounts[number] += density.gbar
            products[number] += density.gbar * (density.reversal - lowest)
    gbar = _spread(tree, list(amounts.values()))
    if all(density.reversal == lowest for density in densities):
        return gbar, lowest
    above = _spread(tree, list(products.values()))
    there = np.broadcast_to(gbar, tree.n) > 0.0
    return gbar, lowest + np.divide(above, gbar, out=np.zeros(tree.n), where=there)


def _spread(tree: Tree, values: Sequence[float]) -> float | np.ndarray:
    """What each branch has in a unit of its membrane, as means over compartments.

    A tree takes means of its branches' capacitance; here it does so of something else.
    """
    if len(set(values)) == 1:
        return values[0]
    branches = tuple(
        replace(branch, cable=replace(branch.cable, cm=np.full(branch.cable.n, value or _NOTHING)))
        for branch, value in zip(tree.branches, values, strict=True)
    )
    means = Tree(branches).cm
    return np.where(means > _NOTHING * tree.n, means, 0.0)


def _warms(channel: Channel) -> bool:
    return channel.q10 != 1.0 or any("celsius" in gate.depends_on for gate in channel.gates)
