"""What an impulse carries through the membrane, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from axon.analysis import AFTER, BEFORE, action_potential
from axon.errors import NoSpikeError
from axon.records import Value
from axon.replay import Patch, membrane_at
from axon.units import FloatArray, PositionLike, QuantityLike, quantity

if TYPE_CHECKING:
    from axon.runs import Run

ELEMENTARY_CHARGE = 1.602176634e-19
"""C: SI Brochure, 9th edition (2019)."""

SODIUM_PER_ATP = 3
"""Sodium ions that the Na+/K+ pump carries out for one ATP: D. Attwell, S. B. Laughlin, J. Cereb.
Blood Flow Metab. 21, 1133-1145 (2001), doi:10.1097/00004647-200110000-00001."""


class SpikeCharge(Value):
    """What an impulse carries through a patch of membrane, and what that costs.

    Attributes
    ----------
    x : float
        Where, µm.
    start, stop : float
        From when to when, ms.
    charge : dict
        Charge of each ion beyond its current at `start`, nC/cm², outward positive.
    sodium_entry : float
        Charge of the sodium that enters through channels beyond that, nC/cm².
    minimum : float
        Charge by which the capacitance is shifted from rest to peak, C dV, nC/cm².
    atp : float
        Molecules per cm² that the Na+/K+ pump needs to carry that sodium out, one for three ions.
    perimeter : float
        Membrane area by length there, µm.
    """

    x: float
    start: float
    stop: float
    charge: dict[str | None, float]
    sodium_entry: float
    minimum: float
    atp: float
    perimeter: float

    @property
    def ratio(self) -> float:
        """Sodium entry by its minimum: 1 were there no overlap with potassium's current."""
        return self.sodium_entry / self.minimum

    def atp_along(self, length: QuantityLike) -> float:
        """Molecules of ATP for an impulse along an axon of this length, µm, alike all along."""
        length = quantity(length, "um", "length", minimum=0.0)
        return self.atp * self.perimeter * length * 1e-8  # µm² to cm²

    def __str__(self) -> str:
        return (
            f"{self.sodium_entry:.4g} nC/cm² of sodium, {self.ratio:.3g} times the minimum; "
            f"{self.atp:.3g} ATP/cm²"
        )


def spike_charge(
    run: Run,
    at: PositionLike,
    number: int = 0,
    *,
    before: QuantityLike = BEFORE,
    after: QuantityLike = AFTER,
    patch: Patch | None = None,
) -> SpikeCharge:
    """Charge of every ion in an impulse at one place, and what its sodium costs.

    Parameters
    ----------
    run : Run
    at : position
        Where, µm: the nearest recorded compartment.
    number : int, optional
        Which of the impulses there, the first being 0; negative numbers count from the last.
    before, after : float or quantity, optional
        What belongs to it, ms before and after its crossing of the threshold of spikes, but at most
        half the way to the impulse before it and to the next one.
    patch : Patch, optional
        What `membrane_at` found there, if it was asked already.

    Returns
    -------
    SpikeCharge

    Raises
    ------
    NoSpikeError
        If there are not so many spikes at that place, the run ends within the impulse, or no
        channel carries an ion ``na``.
    SimulationError, RunFileError
        As `membrane_at`.

    References
    ----------
    D. Attwell, S. B. Laughlin, J. Cereb. Blood Flow Metab. 21, 1133-1145 (2001),
    doi:10.1097/00004647-200110000-00001: ATP from the sodium that enters.
    B. C. Carter, B. P. Bean, Neuron 64, 898-909 (2009), doi:10.1016/j.neuron.2009.12.011: its
    ratio to the minimum.
    """
    before = quantity(before, "ms", "before", positive=True)
    after = quantity(after, "ms", "after", positive=True)
    shape = action_potential(run, at, number, before=before, after=after)
    if np.isnan(shape.half_width):
        raise NoSpikeError(f"the run ends before the impulse of {shape.time:g} ms is over")
    there = patch or membrane_at(run, at, shape.time + after)
    times = run.spikes["time"][run.spikes["compartment"] == there.compartment]
    times = np.concatenate([[-np.inf], times, [np.inf]])
    k = int(np.searchsorted(times, shape.time))
    begin = max(shape.time - before, (times[k - 1] + times[k]) / 2)
    end = min(shape.time + after, (times[k] + times[k + 1]) / 2)
    rows = np.flatnonzero((there.time >= begin) & (there.time <= end))
    t = there.time[rows]

    def charge(current: FloatArray) -> float:  # mA/cm² times ms is µC/cm²
        return float(1e3 * np.trapezoid(current[rows] - current[rows[0]], t))

    channels = [
        charge(i) for (name, ion), i in there.carried.items()
        if ion == "na" and name not in there.pumps
    ]  # fmt: skip
    if not channels:
        raise NoSpikeError("no channel carries an ion named na, so there is no sodium to count")
    entry = -sum(channels)
    return SpikeCharge(
        x=there.x,
        start=float(t[0]),
        stop=float(t[-1]),
        charge={ion: charge(i) for ion, i in there.ionic.items()},
        sodium_entry=entry,
        minimum=there.cm * shape.amplitude,
        atp=1e-9 * entry / ELEMENTARY_CHARGE / SODIUM_PER_ATP,
        perimeter=there.perimeter,
    )
