"""What a population of fibres does: how many are recruited, and what electrodes record of all."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from axon.ensemble import Ensemble
from axon.equations import Stop
from axon.errors import (
    AxonError,
    DivergedError,
    NoRestError,
    NoThresholdError,
    SimulationError,
)
from axon.protocols import Threshold, threshold
from axon.records import Record
from axon.simulation import Simulation
from axon.sources import Source
from axon.trials import goal_of
from axon.turns import checked, in_turn
from axon.units import FloatArray, QuantitiesLike, QuantityLike, quantities

if TYPE_CHECKING:
    from matplotlib.axes import Axes

A = TypeVar("A")
B = TypeVar("B")


class Recruitment(Record):
    """The thresholds of many fibres.

    Attributes
    ----------
    thresholds : array (n,)
        Of each fibre, as a factor of its stimuli; infinite where nothing that was tried excites
        it, NaN where none is known.
    below : array (n,)
        The largest factor that was tried and did not excite it; NaN where no threshold is known.
    remarks : dict of int to str
        What one should know of some of them, such as that something stronger did not excite.
    failures : dict of int to AxonError
        Why others have no finite threshold.
    """

    thresholds: FloatArray
    below: FloatArray
    remarks: dict[int, str] = field(repr=False)
    failures: dict[int, AxonError] = field(repr=False)

    def curve(self, amplitudes: QuantitiesLike) -> FloatArray:
        """The fraction of all fibres that a stimulus recruits.

        Parameters
        ----------
        amplitudes : array_like of float
            As factors of the stimuli, of the sign of the thresholds.

        Returns
        -------
        array
            Of the same shape. Fibres of which no threshold is known count as not recruited.
        """
        sizes = quantities(amplitudes, "", "amplitudes", error=SimulationError)
        sign = -1.0 if (self.thresholds < 0.0).any() else 1.0
        known = np.sort(sign * self.thresholds[np.isfinite(self.thresholds)])
        return np.asarray(np.searchsorted(known, sign * sizes, side="right") / len(self.thresholds))

    def plot(self, *, unit: str = "", ax: Axes | None = None) -> Axes:
        """The fraction over the amplitude: `axon.plots.recruitment`.

        Parameters
        ----------
        unit : str, optional
            What the factors are in, if all stimuli have the amplitude 1: ``"mA"`` or ``"nA"``.
        ax : matplotlib.axes.Axes, optional
            Drawn into; otherwise into a new figure, ``ax.figure``.
        """
        from axon import plots

        known = np.where(np.isfinite(self.thresholds), self.thresholds, self._beyond)
        return plots.recruitment(known, unit=unit, ax=ax)

    @property
    def _beyond(self) -> float:
        """More than any threshold, of their sign."""
        return -math.inf if (self.thresholds < 0.0).any() else math.inf

    def __str__(self) -> str:
        finite = self.thresholds[np.isfinite(self.thresholds)]
        told = f"{finite.size} of {self.thresholds.size} fibres are recruited"
        if finite.size:
            low, middle, high = np.quantile(np.abs(finite), [0.0, 0.5, 1.0]) * np.sign(finite[0])
            told += f", from {low:.4g} to {high:.4g}, half of these by {middle:.4g}"
        return told


def recruitment(
    simulations: Iterable[Simulation],
    duration: QuantityLike,
    *,
    at: QuantityLike | None = None,
    tolerance: float = 0.01,
    guess: float = 1.0,
    largest: float = 1e6,
    workers: int | None = None,
    progress: Callable[[int, Threshold | AxonError], None] | None = None,
) -> Recruitment:
    """The threshold of every fibre of a population, by `axon.threshold`.

    Parameters
    ----------
    simulations : iterable of Simulation
        One of each fibre, with its stimuli. No more of them are held at a time than are worked on.
    duration : float or quantity
        How long to wait for an impulse, ms.
    at, tolerance, guess, largest
        As for `axon.threshold`, for every fibre.
    workers : int, optional
        Fibres that are worked on at a time, each in a thread; by default as many as there are
        processors.
    progress : callable, optional
        Called with the number of each fibre and its threshold, or why it has none, in their order.

    Returns
    -------
    Recruitment
        It doesn't depend on `workers`.

    Raises
    ------
    SimulationError, StimulusError, GeometryError
        If an argument makes no sense.

    Notes
    -----
    A fibre that is active without any stimulus, diverges, or has no rest has no threshold, which
    `Recruitment.failures` tells; it doesn't keep the others from theirs.
    """

    def attempt(simulation: Simulation) -> Threshold | AxonError:
        try:
            return threshold(
                simulation, duration, at=at, tolerance=tolerance, guess=guess, largest=largest
            )
        except (NoThresholdError, NoRestError, DivergedError) as error:
            return _alone(error)

    values: list[float] = []
    below: list[float] = []
    remarks: dict[int, str] = {}
    failures: dict[int, AxonError] = {}
    count = checked(workers, "workers")
    with closing(in_turn(attempt, simulations, count, count + 1)) as found:
        for k, answer in enumerate(found):
            if isinstance(answer, Threshold):
                values.append(answer.value)
                below.append(answer.below)
                if answer.remarks or not answer.monotone:
                    remarks[k] = str(answer)
            else:
                failures[k] = answer
                beyond = isinstance(answer, NoThresholdError) and answer.out_of_reach
                values.append(math.copysign(math.inf, guess) if beyond else math.nan)
                below.append(math.nan)
            if progress is not None:
                progress(k, answer)
    if not values:
        raise SimulationError("simulations is empty; give one for each fibre")
    return Recruitment(np.array(values), np.array(below), remarks, failures)


def _alone(error: AxonError) -> AxonError:
    """The error without its traceback, which would keep the fibre."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


class Compound(Record):
    """What electrodes record of many fibres together.

    Attributes
    ----------
    time : array (rows,)
        ms.
    potential : array (rows, e)
        Of each electrode, mV.
    electrodes : tuple of Source
        Which they are.
    fibres : int
        How many were summed up.
    impulses : array (n,)
        How many impulses of each fibre passed nine tenths of its length; none of one that failed.
    failures : dict of int to AxonError
        Fibres that are missing in the sum, and why.
    """

    time: FloatArray
    potential: FloatArray
    electrodes: tuple[Source, ...] = field(repr=False)
    fibres: int
    impulses: npt.NDArray[np.int64]
    failures: dict[int, AxonError] = field(repr=False)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The potentials over time: `axon.plots.compound`."""
        from axon import plots

        return plots.compound(self, ax=ax)

    def __str__(self) -> str:
        told = f"{self.fibres} fibres, {np.count_nonzero(self.impulses)} of them with impulses"
        if self.failures:
            told += f"; {len(self.failures)} failed and are missing"
        return told


def compound_action_potential(
    simulations: Iterable[Simulation],
    duration: QuantityLike,
    electrodes: Sequence[Source],
    *,
    every: QuantityLike | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    stop: Stop | None = None,
) -> Compound:
    """What electrodes record of all fibres of a population, added up as they are computed.

    Of no fibre is the field kept: what an electrode records is summed up while each is stepped, and
    added to the sum of the others when it is done.

    Parameters
    ----------
    simulations : iterable of Simulation
        One of each fibre, with its stimuli; all begin at one time.
    duration : float or quantity
        ms.
    electrodes : sequence of Source
        Electrodes outside the fibres, or differences of two.
    every : float or quantity, optional
        Time between two rows, ms, as for `Simulation.run`.
    threads : int, optional
        Fibres that are stepped at a time, as for `axon.Ensemble`.
    progress : callable, optional
        Called with the number of fibres that are done, after each.
    stop : callable, optional
        Called a few times a second; all stops as soon as it returns a reason.

    Returns
    -------
    Compound
        Its bits don't depend on `threads`: fibres are added up in their order.

    Raises
    ------
    SimulationError
        If there is no fibre, or no electrode, or fibres have rows at different times.
    StoppedError
        If it was told to stop.
    AxonError
        That of the first fibre, if all of them failed.

    References
    ----------
    R. Plonsey, IEEE Trans. Biomed. Electron. 10, 9-12 (1963): what an electrode records of one.
    """
    if not isinstance(electrodes, list | tuple) or not electrodes:
        raise SimulationError(f"electrodes={reprlib.repr(electrodes)}; write electrodes=[source]")
    outcomes = Ensemble(simulations).each(
        duration, every=every, record=[], electrodes=electrodes, threads=threads, stop=stop
    )
    time: FloatArray | None = None
    total = np.zeros((0, len(electrodes)))
    impulses: list[int] = []
    failures: dict[int, AxonError] = {}
    for k, outcome in outcomes:
        if isinstance(outcome, AxonError):
            failures[k] = _alone(outcome)
            impulses.append(0)
        else:
            rows = outcome.time
            if time is None:
                time, total = rows, np.zeros((rows.size, len(electrodes)))
            elif not np.array_equal(rows, time):
                raise SimulationError(
                    f"simulations[{k}] has rows at other times than those before; give all of them "
                    "one dt and one beginning, or every= a multiple of each dt"
                )
            total += outcome.electrodes[:]
            cable = outcome.axon
            place = goal_of(cable)
            impulses.append(int(np.count_nonzero(outcome.spikes["compartment"] == place)))
        if progress is not None:
            progress(k + 1)
    if time is None:
        if failures:
            raise failures[min(failures)]
        raise SimulationError("simulations is empty; give one for each fibre")
    fibres = len(impulses) - len(failures)
    return Compound(time, total, tuple(electrodes), fibres, np.array(impulses), failures)
