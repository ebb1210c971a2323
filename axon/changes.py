"""What an axon's membrane and temperature are from some time on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from axon.errors import SimulationError
from axon.membranes import Membrane
from axon.rates import Profile
from axon.records import Record
from axon.units import FloatArray, QuantityLike, quantity


class Change(Record):
    """Another membrane or temperature, from a time on and until the next change.

    Parameters
    ----------
    at : float or quantity
        ms since time zero; a whole number of steps of the simulation.
    membrane : Membrane, optional
        That of before if not given. It must have the states of before: the same gates and moving
        concentrations, which go on from where they are. It doesn't bring its own temperature.
    celsius : float, array or callable, optional
        Temperature, °C: a number or quantity, one value per compartment, or a function of
        position (µm; on a tree the distance from the root). That of before if not given.

    Raises
    ------
    SimulationError
        If `at` is no positive time, `membrane` is none, or nothing changes.

    Examples
    --------
    >>> import axon
    >>> membrane = axon.models.hodgkin_huxley()
    >>> axon.Change("50 ms", membrane.scaled(na=0.0))
    Change(at=50 ms, membrane=hodgkin_huxley)
    >>> axon.Change("80 ms", membrane, celsius=lambda x: 18.0 - x / 10e3)
    Change(at=80 ms, membrane=hodgkin_huxley, celsius=...)
    """

    at: float
    membrane: Membrane | None
    celsius: Profile | str | None

    def __init__(
        self,
        at: QuantityLike,
        membrane: Membrane | None = None,
        *,
        celsius: Profile | str | None = None,
    ) -> None:
        time = quantity(at, "ms", "at", error=SimulationError, positive=True)
        if membrane is None and celsius is None:
            raise SimulationError(f"at={time:g} ms nothing changes; give membrane or celsius")
        if not isinstance(membrane, Membrane | None):
            raise SimulationError(f"membrane={membrane!r} is no Membrane")
        for name, value in (("at", time), ("membrane", membrane), ("celsius", celsius)):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        said = [f"at={self.at:g} ms"]
        if self.membrane is not None:
            said.append(f"membrane={self.membrane.name or '...'}")
        if self.celsius is not None:
            along = callable(self.celsius) or np.ndim(self.celsius) > 0
            said.append(f"celsius={'...' if along else self.celsius}")
        return f"Change({', '.join(said)})"


class Epoch(NamedTuple):
    """A time between two changes."""

    step: int
    """The first."""
    membrane: Membrane
    celsius: FloatArray
    """One value or one per compartment, °C."""

    def moves_as(self, other: Epoch) -> bool:
        """Whether gates and concentrations move by the same rules, if not by the same currents."""
        one, two = self.membrane, other.membrane
        return (
            [gate for _, gate in one.gates] == [gate for _, gate in two.gates]
            and (one.ions, one.pools) == (two.ions, two.pools)
            and np.array_equal(self.celsius, other.celsius)
        )
