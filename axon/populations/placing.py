"""Fibres in a fascicle: placed at random, and made into axons and simulations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from axon.errors import GeometryError, SimulationError
from axon.geometry import Axon, Varying
from axon.populations.diameters import uniform
from axon.populations.fascicles import Fascicle
from axon.records import Record
from axon.simulation import Simulation
from axon.units import FloatArray, QuantitiesLike, QuantityLike, quantities, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")

_PLACING = 2  # which of the streams of a seed
_AT_ONCE = 1024  # places that are thought of
_TRIES, _EACH = 20_000, 50  # in all and for each fibre, before it is given up


class Population(Record):
    """Fibres in the cross-section of a fascicle, from `place` or from a micrograph.

    Parameters
    ----------
    diameter : ndarray of float64, shape (n,)
        Of each fibre, µm.
    y, z : ndarray of float64, shape (n,)
        Where its middle is, µm.
    fascicle : Fascicle
    seed : int, optional
        By which they were placed.

    Raises
    ------
    GeometryError
        If the arrays don't fit together.
    """

    diameter: FloatArray
    y: FloatArray
    z: FloatArray
    fascicle: Fascicle
    seed: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fascicle, Fascicle):
            raise GeometryError(
                f"fascicle = {self.fascicle!r} is none; write for instance Fascicle.circle(100)"
            )
        arrays = {
            name: quantities(
                getattr(self, name), "um", name, error=GeometryError, positive=name == "diameter"
            )
            for name in ("diameter", "y", "z")
        }
        n = arrays["diameter"].size
        for name, array in arrays.items():
            if not n or array.shape != (n,):
                raise GeometryError(
                    f"{name} has the shape {array.shape}; give diameter, y and z of each fibre"
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.diameter)

    @property
    def filled(self) -> float:
        """Share of the fascicle's area that fibres fill."""
        return math.fsum(math.pi / 4.0 * self.diameter**2) / self.fascicle.area

    def axons(
        self,
        length: QuantityLike,
        *,
        start: QuantityLike = 0.0,
        Ra: Varying = 100.0,
        cm: Varying = 1.0,
        dx: QuantityLike | None = None,
        compartments: int | None = None,
        d_lambda: float | None = None,
    ) -> Sequence[Axon]:
        """Straight axons along x, each where its fibre lies.

        Parameters
        ----------
        length : float or quantity
            µm.
        start : float or quantity, optional
            x at which they begin, µm.
        Ra, cm, dx, compartments, d_lambda
            As for `axon.Axon.cylinder`.

        Returns
        -------
        sequence of Axon
            In the order of the fibres; each is made when it is asked for.

        Raises
        ------
        GeometryError
            If an argument will not do.
        """
        begin = quantity(start, "um", "start", error=GeometryError)

        def straight(k: int) -> Axon:
            fibre = Axon.cylinder(
                length, float(self.diameter[k]),
                Ra=Ra, cm=cm, dx=dx, compartments=compartments, d_lambda=d_lambda,
            )  # fmt: skip
            y, z = float(self.y[k]), float(self.z[k])
            return fibre.along([(begin, y, z), (begin + fibre.length, y, z)])

        straight(0)  # arguments that will not do are refused now
        return _Made(straight, range(len(self)))

    def simulations(
        self, make: Callable[[float, float, float], Simulation]
    ) -> Sequence[Simulation]:
        """Simulations of all fibres.

        Parameters
        ----------
        make : callable
            Makes one of a fibre's diameter, y and z, µm.

        Returns
        -------
        sequence of Simulation
            In the order of the fibres. Each is made when it is asked for, so that not all of them
            are there at a time.

        Raises
        ------
        SimulationError
            When one is asked for and `make` returns something else.
        """

        def made(k: int) -> Simulation:
            fibre = float(self.diameter[k]), float(self.y[k]), float(self.z[k])
            simulation = make(*fibre)
            if not isinstance(simulation, Simulation):
                raise SimulationError(
                    f"make{fibre} returned {simulation!r}, which is no Simulation"
                )
            return simulation

        return _Made(made, range(len(self)))

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The cross-section: `axon.plots.cross_section`."""
        from axon import plots

        return plots.cross_section(self, ax=ax)

    def __repr__(self) -> str:
        return (
            f"<Population: {len(self)} fibres of {self.diameter.min():.3g} to "
            f"{self.diameter.max():.3g} um fill {self.filled:.1%} of {self.fascicle!r}>"
        )


def place(
    diameters: QuantitiesLike, fascicle: Fascicle, *, gap: QuantityLike = 0.0, seed: int
) -> Population:
    """Put fibres into a fascicle, at random and without overlap.

    The thickest are first. Each tries places all over the fascicle, any as likely as any other,
    until it lies inside as a whole and touches none that was before. Where fibres fill more than
    half of the area, hardly any such place is left.

    Parameters
    ----------
    diameters : array_like of float or quantity, shape (n,)
        Of all fibres, µm.
    fascicle : Fascicle
    gap : float or quantity, optional
        Least distance between two fibres, from surface to surface, µm.
    seed : int
        From 0 to 2**64 - 1. The same one gives the same places.

    Returns
    -------
    Population
        Its fibres in the order of `diameters`.

    Raises
    ------
    GeometryError
        If they don't find a place, or an argument will not do.

    Examples
    --------
    >>> from axon import populations
    >>> thick = populations.published("ochoa_mair_1969").draw(200, seed=1)
    >>> populations.place(thick, populations.Fascicle.circle(60.0), seed=1)
    <Population: 200 fibres of 0.399 to 2.8 um fill 13.5% of Fascicle(...)>
    """
    d = quantities(diameters, "um", "diameters", error=GeometryError, positive=True)
    if d.ndim != 1 or not d.size:
        raise GeometryError(f"diameters has the shape {d.shape}; give one for each fibre")
    if not isinstance(fascicle, Fascicle):
        raise GeometryError(
            f"fascicle = {fascicle!r} is none; write for instance Fascicle.circle(100)"
        )
    apart = quantity(gap, "um", "gap", error=GeometryError, minimum=0.0)
    places = _places(fascicle, uniform(seed, _PLACING))
    # With half the gap around each, fibres fill at most the fascicle with half the gap around it.
    wanted = math.fsum(math.pi / 4.0 * (d + apart) ** 2)
    room = fascicle.area + fascicle.perimeter * apart / 2.0 + math.pi / 4.0 * apart**2
    if wanted > room:
        raise GeometryError(
            f"{d.size} fibres need {wanted:.4g} um² with the gaps between them, and the fascicle "
            f"has {room:.4g} um²; place fewer, or make it larger"
        )

    # A fibre is kept in the cell that holds its middle. Cells are so large that one that touches a
    # fibre in a cell is in that or in one of the eight around it.
    cell = float(d.max()) + apart
    kept: defaultdict[tuple[int, int], list[tuple[float, float, float]]] = defaultdict(list)
    found = np.empty((d.size, 2))
    tries = _TRIES + _EACH * d.size
    order = np.argsort(-d, kind="stable").tolist()
    for number, k in enumerate(order):
        radius = float(d[k]) / 2.0
        while True:
            if not tries:
                raise GeometryError(
                    f"only {number} of {d.size} fibres found a place, and fill "
                    f"{math.fsum(math.pi / 4.0 * d[order[:number]] ** 2) / fascicle.area:.0%} of "
                    "the fascicle; place fewer, closer together, or in a larger one"
                )
            tries -= 1
            y, z, clearance = next(places)
            if clearance < radius:
                continue
            row, column = math.floor(y / cell), math.floor(z / cell)
            if _free(y, z, radius + apart, kept, row, column):
                break
        kept[row, column].append((y, z, radius))
        found[k] = y, z
    return Population(d, found[:, 0], found[:, 1], fascicle, int(seed))


def _free(
    y: float,
    z: float,
    reach: float,
    kept: defaultdict[tuple[int, int], list[tuple[float, float, float]]],
    row: int,
    column: int,
) -> bool:
    """Whether nothing in a cell, or around it, is within reach."""
    for i in (row, row - 1, row + 1):
        for j in (column, column - 1, column + 1):
            if (i, j) in kept:
                for other_y, other_z, radius in kept[i, j]:
                    across, along, far = y - other_y, z - other_z, radius + reach
                    if across * across + along * along < far * far:
                        return False
    return True


def _places(
    fascicle: Fascicle, random: Callable[[int], FloatArray]
) -> Iterator[tuple[float, float, float]]:
    """Places (y, z) in a rectangle around the fascicle, and how far from its outline they are."""
    low, high = fascicle.points.min(axis=0), fascicle.points.max(axis=0)
    while True:
        places = low + (high - low) * random(2 * _AT_ONCE).reshape(-1, 2)
        y, z = np.ascontiguousarray(places.T)
        yield from zip(y.tolist(), z.tolist(), fascicle.clearance(y, z).tolist(), strict=True)


class _Made(Sequence[T]):
    """Things that are made of their numbers whenever they are asked for."""

    def __init__(self, make: Callable[[int], T], which: range) -> None:
        self._make, self._which = make, which

    def __len__(self) -> int:
        return len(self._which)

    def __iter__(self) -> Iterator[T]:
        # By their numbers: an IndexError within `make` is no end.
        return map(self._make, self._which)

    @overload
    def __getitem__(self, key: int) -> T: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[T]: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _Made(self._make, self._which[key])
        return self._make(self._which[key])
