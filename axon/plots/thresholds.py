"""Pictures of thresholds: over the duration of a pulse, after an impulse, of many fibres."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from axon.errors import SimulationError
from axon.excitability import PatchRecovery
from axon.plots.drawing import BLUE, VERMILION, legend_above, new_figure
from axon.protocols import RecoveryCycle, StrengthDuration, Threshold
from axon.stimuli import Extracellular
from axon.units import FloatArray, QuantitiesLike, QuantityLike, quantities

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_POINTS = 200  # of a fitted curve
_BEYOND = 0.2  # a scale goes on before the first of its values or after the last, relatively
_FEW_DECADES = 10.0**2.5
_FITS, _FEWEST = 0.05, 4  # how far points may lie from a law, relatively, and how many tell of it


def strength_duration(curve: StrengthDuration, *, ax: Axes | None = None) -> Axes:
    """Thresholds over the duration of the pulse, with the laws of Weiss and of Lapicque.

    Parameters
    ----------
    curve : StrengthDuration
        From `axon.strength_duration`; of two durations or more.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        The thresholds as dots, in nA, or in mA for electrodes outside; then of each law, Weiss'
        first, its curve, its rheobase as a horizontal line, and a diamond at its chronaxie, where
        the threshold is twice the rheobase. A law whose fit has no positive chronaxie is left out.

    Raises
    ------
    SimulationError
        If there are fewer than two durations.
    MissingExtraError
        Without matplotlib.

    References
    ----------
    As `axon.strength_duration`.
    """
    if curve.durations.size < 2:
        raise SimulationError("one duration makes no curve; give axon.strength_duration several")
    ax = ax or new_figure().subplots()
    (stimulus,) = curve.details[0].run.stimuli
    unit = "mA" if isinstance(stimulus, Extracellular) else "nA"
    sizes = np.abs(curve.thresholds)
    ax.plot(curve.durations, sizes, "o", color="black", label="threshold")
    laws = (
        ("Weiss", curve.weiss, _weiss, BLUE, "-"),
        ("Lapicque", curve.lapicque, _lapicque, VERMILION, "--"),
    )
    for name, (rheobase, chronaxie), law, colour, stroke in laws:
        if not 0.0 < chronaxie < np.inf:
            continue
        least = abs(rheobase)
        ends = (*curve.durations, chronaxie)
        d = np.geomspace(min(ends), max(ends), _POINTS)
        told = f"{name}: rheobase {least:.3g} {unit}, chronaxie {chronaxie:.3g} ms"
        ax.plot(d, least * law(d / chronaxie), color=colour, linestyle=stroke, label=told)
        ax.axhline(least, color=colour, linestyle=":", linewidth=1.0)
        ax.plot(chronaxie, 2.0 * least, "D", color=colour, fillstyle="none")
    ax.set(xlabel="duration (ms)", ylabel=_signed("threshold", curve.thresholds, unit))
    ax.set(xscale="log", yscale="log")
    _plain_numbers(ax.xaxis, ax.yaxis)
    legend_above(ax, 1)
    return ax


def _weiss(duration: FloatArray) -> FloatArray:
    """Threshold over rheobase, of the duration over the chronaxie."""
    return 1.0 + 1.0 / duration


def _lapicque(duration: FloatArray) -> FloatArray:
    """The same; tau is the chronaxie over ln 2."""
    return np.asarray(-1.0 / np.expm1(-np.log(2.0) * duration))


def recovery(cycle: RecoveryCycle, *, ax: Axes | None = None) -> Axes:
    """How much stronger a stimulus must be after an impulse than at rest.

    Parameters
    ----------
    cycle : RecoveryCycle
        From `axon.recovery_cycle`.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        The ratios over the interval, on a logarithmic scale of time; a line at 1, the threshold of
        rest; and, shaded, the intervals within which nothing excites again.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    order = np.argsort(cycle.intervals)
    interval, ratio = cycle.intervals[order], cycle.ratios[order]
    ax.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    ax.plot(interval, np.where(np.isinf(ratio), np.nan, ratio), "o-", color=BLUE)
    ax.set(xscale="log", xlabel="interval (ms)", ylabel="threshold / threshold at rest")
    if cycle.absolute > 0.0:  # else none was found
        begin = (1.0 - _BEYOND) * interval[0]
        ax.axvspan(begin, cycle.absolute, color="0.85", label="absolutely refractory")
        ax.set_xlim(left=begin)
        legend_above(ax)
    _plain_numbers(ax.xaxis)
    return ax


def recruitment(
    thresholds: Iterable[Threshold | QuantityLike], *, unit: str = "", ax: Axes | None = None
) -> Axes:
    """Which fraction of many fibres a stimulus activates, over its strength.

    Parameters
    ----------
    thresholds : (k,) of Threshold, array_like or quantities
        Of each fibre, all of one sign; infinite where nothing activates it.
    unit : str, optional
        What plain numbers are in, such as ``"mA"``; without it they are factors, as those of
        `Threshold` are: how many times as strong as it was the stimulus must be.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        A line that rises at each threshold, from 0 to 1 if all fibres have one, on a logarithmic
        scale of amplitudes.

    Raises
    ------
    SimulationError
        If there is no finite threshold, or they differ in sign.
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    found = _thresholds(thresholds, unit)
    sizes = np.sort(np.abs(found))
    reached = sizes[np.isfinite(sizes)]
    ends = reached[[0, -1]] * (1.0 - _BEYOND, 1.0 + _BEYOND)
    share = np.arange(len(reached) + 1) / len(sizes)
    ax.stairs(share, [ends[0], *reached, ends[1]], baseline=None, color=BLUE, linewidth=1.5)
    ax.set(xscale="log", xlabel=_signed("amplitude", found, unit))
    ax.set(ylabel="fraction activated", ylim=(-0.02, 1.02))
    _plain_numbers(ax.xaxis)
    return ax


def threshold_against_distance(
    distances: QuantitiesLike,
    thresholds: Iterable[Threshold | QuantityLike],
    *,
    unit: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Thresholds over the distance of the electrode, with the law I = a + k r² where it fits.

    The law is fitted with equal relative weights, and of the distances the nearest or the farthest,
    whichever is the worse, is left out until all others lie within 5 % of it. It is drawn over
    these, if four of them are left.

    Parameters
    ----------
    distances : (k,) array_like or quantities
        Of the electrode from the axon, µm.
    thresholds : (k,) of Threshold, array_like or quantities
        At each, all of one sign.
    unit : str, optional
        What plain thresholds are in, as for `recruitment`.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        The thresholds as dots, over mm, on logarithmic scales; and the law as a line.

    Raises
    ------
    SimulationError
        If there are not as many thresholds as distances, or one of them is no such number.
    MissingExtraError
        Without matplotlib.

    References
    ----------
    S. D. Stoney, W. D. Thompson, H. Asanuma, J. Neurophysiol. 31, 659-669 (1968),
    doi:10.1152/jn.1968.31.5.659; J. B. Ranck, Brain Res. 98, 417-440 (1975),
    doi:10.1016/0006-8993(75)90364-9.
    """
    r = quantities(distances, "um", "distances", error=SimulationError, positive=True) * 1e-3
    found = _thresholds(thresholds, unit)
    if r.shape != found.shape or not np.isfinite(found).all():
        raise SimulationError(
            f"distances has the shape {r.shape} and thresholds {found.shape}; give a finite "
            "threshold for each distance"
        )
    ax = ax or new_figure().subplots()
    order = np.argsort(r)
    r, sizes = r[order], np.abs(found[order])
    ax.plot(r, sizes, "o", color="black", label="threshold")
    law = _law(r, sizes)
    if law is not None:
        along = np.linspace(law.nearest, law.farthest, _POINTS)
        told = f"a + k r²: a = {law.a:.3g}{unit and ' ' + unit}, k = {law.k:.3g} {unit}/mm²"
        ax.plot(along, law.a + law.k * along**2, color=BLUE, label=told)
    ax.set(xlabel="distance (mm)", ylabel=_signed("threshold", found, unit))
    ax.set(xscale="log", yscale="log")
    _plain_numbers(ax.xaxis, ax.yaxis)
    legend_above(ax)
    return ax


class _Law(NamedTuple):
    """I = a + k r² from the nearest to the farthest distance that it fits."""

    a: float
    k: float
    nearest: float
    farthest: float


def _law(r: FloatArray, current: FloatArray) -> _Law | None:
    """The law of distances in mm, ascending, and currents; None if it fits too few of them."""
    while r.size >= _FEWEST:
        design = np.stack([np.ones_like(r), r**2], axis=1) / current[:, np.newaxis]
        (a, k), *_ = np.linalg.lstsq(design, np.ones_like(r))
        off = np.abs(design @ (a, k) - 1.0)
        if off.max() <= _FITS:
            return _Law(float(a), float(k), float(r[0]), float(r[-1]))
        kept = slice(1, None) if off[0] > off[-1] else slice(None, -1)
        r, current = r[kept], current[kept]
    return None


def _thresholds(thresholds: Iterable[Threshold | QuantityLike], unit: str) -> FloatArray:
    """As plain numbers of one sign, (k,)."""
    each = [t.value if isinstance(t, Threshold) else t for t in thresholds]
    found = quantities(each, unit, "thresholds", error=SimulationError, finite=False)
    signs = set(np.sign(found).ravel())
    if found.ndim != 1 or not np.isfinite(found).any() or signs not in ({1.0}, {-1.0}):
        raise SimulationError(
            f"thresholds = {reprlib.repr(each)}; give finite ones, all of one sign"
        )
    return found


def _plain_numbers(*axes: Axis) -> None:
    """On logarithmic scales: at decades, and between them where there are few."""
    from matplotlib.ticker import LogLocator

    for axis in axes:
        low, high = axis.get_view_interval()
        if high < _FEW_DECADES * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")


def _signed(name: str, values: FloatArray, unit: str) -> str:
    """Label of an axis on which the sizes of these are, whose sign it tells."""
    return f"{'−' if values[0] < 0 else ''}{name} ({unit or 'times the stimulus'})"


def excitability(recovery: PatchRecovery, *, ax: Axes | None = None) -> Axes:
    """The least shock that excites a patch of membrane, against the time since an impulse.

    Parameters
    ----------
    recovery : PatchRecovery
        From `axon.patch_recovery`.
    ax : matplotlib.axes.Axes, optional
        Drawn into; otherwise into a new figure, ``ax.figure``.

    Returns
    -------
    matplotlib.axes.Axes
        The shock relative to that at rest, a dotted line; times at which none excites are grey.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    ax = ax or new_figure().subplots()
    ax.plot(recovery.interval, recovery.shock / recovery.at_rest, marker=".", color="C0")
    ax.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    if recovery.absolute > 0.0:
        ax.axvspan(0.0, recovery.absolute, color="0.85", label="refractory")
        legend_above(ax)
    ax.set(xlabel="time since the impulse (ms)", ylabel="threshold (that at rest is 1)")
    ax.set(xlim=(0.0, recovery.interval[-1]))
    ax.set_ylim(bottom=0.0)
    return ax
