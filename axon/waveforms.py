"""The waveforms of stimuli, as one writes them down: functions and descriptions.

The values of a waveform are in the unit of the stimulus that carries it: nA for
an electrode inside the axon. A plain number is taken as it is; a quantity such
as ``"10 uA"`` becomes nA.
"""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from typing import Any

import numpy as np

from axon.errors import StimulusError
from axon.timecourses import (
    MAX_DEPTH,
    MAX_TIME,
    Pulse,
    Ramp,
    Samples,
    Sine,
    Sum,
    Train,
    Waveform,
)
from axon.units import QuantitiesLike, QuantityLike, has_unit, quantities, quantity

__all__ = [
    "SHAPES",
    "biphasic",
    "constant",
    "from_description",
    "pulse",
    "ramp",
    "samples",
    "sine",
    "sum_of",
    "train",
    "train_of",
]

MAX_FREQUENCY = 1e12  # Hz
MIN_INTERVAL = 1e-9  # ms
MAX_COUNT = 10**12  # copies in a train: exact as floats
MAX_SAMPLES = 10_000_000


def pulse(amplitude: QuantityLike, start: QuantityLike, duration: QuantityLike) -> Waveform:
    """A rectangular pulse.

    Parameters
    ----------
    amplitude : float or quantity
        Value during the pulse. A plain number is in the unit of the stimulus
        that carries the waveform; a quantity (``"10 uA"``) becomes nA, the unit
        of intracellular electrodes.
    start, duration : float or quantity
        In ms; `duration` may be infinite.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity, or `duration` is not positive.

    Examples
    --------
    >>> import axon
    >>> (axon.pulse(1.0, start=1.0, duration=0.5) * 2).mean(0.0, 2.0)
    array(0.5)
    """
    return Pulse(
        _amplitude(amplitude),
        _time(start, "start"),
        _duration(duration),
        had_unit=has_unit(amplitude),
    )


def constant(amplitude: QuantityLike, start: QuantityLike = 0.0) -> Waveform:
    """A value that is held from `start` on, for ever.

    Parameters
    ----------
    amplitude : float or quantity
        As in `pulse`.
    start : float or quantity, optional
        In ms.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity.
    """
    return pulse(amplitude, start, math.inf)


def train(
    amplitude: QuantityLike,
    start: QuantityLike,
    duration: QuantityLike,
    interval: QuantityLike,
    count: int,
) -> Waveform:
    """Equal rectangular pulses at equal intervals.

    Parameters
    ----------
    amplitude, start, duration : float or quantity
        The first pulse, as in `pulse`.
    interval : float or quantity
        From the start of one pulse to the start of the next, in ms; not shorter
        than `duration`.
    count : int
        Number of pulses.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity, or the pulses overlap.
    """
    return train_of(pulse(amplitude, start, duration), interval, count)


def train_of(
    waveform: Waveform, interval: QuantityLike, count: int, start: QuantityLike = 0.0
) -> Waveform:
    """A waveform, repeated at equal intervals.

    Its cost doesn't grow with `count`: a mean looks at the copies at the ends
    of its interval alone.

    Parameters
    ----------
    waveform : Waveform
        What is repeated; it must end, within one `interval`.
    interval : float or quantity
        From one copy to the next, in ms.
    count : int
        Number of copies.
    start : float or quantity, optional
        Delay of the first copy against `waveform`, in ms.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity, or the copies overlap.

    Examples
    --------
    Ten bursts of five pulses:

    >>> import axon
    >>> burst = axon.train(1.0, start=0.0, duration=0.2, interval=5.0, count=5)
    >>> bursts = axon.train_of(burst, interval=500.0, count=10)
    """
    _check_waveform(waveform, "waveform")
    every = _time(interval, "interval", minimum=MIN_INTERVAL)
    copies = _count(count)
    first, last = waveform.span()
    if last == math.inf:
        raise StimulusError(f"waveform = {waveform!r} never ends; give it a duration")
    local = waveform._mapped(-first, 1.0)
    length = local.span()[1]
    # copies that touch may overlap by what a few roundings did to their ends
    if length > every + 8 * np.spacing(abs(first) + length):
        raise StimulusError(
            f"interval = {every!r} is shorter than what is repeated; write at least {length!r} ms"
        )
    if copies * every > MAX_TIME:
        raise StimulusError(
            f"count = {copies} times {every!r} ms is beyond {MAX_TIME:g} ms; write a smaller one"
        )
    return Train(local, first + _time(start, "start"), every, copies)


def sum_of(terms: Iterable[Waveform]) -> Waveform:
    """The sum of any number of waveforms.

    Parameters
    ----------
    terms : iterable of Waveform
        At least one.

    Returns
    -------
    Waveform
        The term itself if there is but one.

    Raises
    ------
    StimulusError
        If there is none, one is no waveform, or there are more than 100,000.
    """
    waveforms = list(terms)
    for k, term in enumerate(waveforms):
        _check_waveform(term, f"terms[{k}]")
    if not waveforms:
        raise StimulusError("terms = [] is no sum; write at least one waveform")
    return Sum.of(waveforms)


def biphasic(
    amplitude: QuantityLike,
    start: QuantityLike,
    duration: QuantityLike,
    gap: QuantityLike = 0.0,
    ratio: float = 1.0,
) -> Waveform:
    """A pulse, and a second one that takes its charge back.

    The second lasts ``duration / ratio`` at ``-amplitude * ratio``, so that the
    charges cancel.

    Parameters
    ----------
    amplitude, start, duration : float or quantity
        The first pulse, as in `pulse`; `duration` is finite.
    gap : float or quantity, optional
        From the end of the first to the start of the second, in ms.
    ratio : float, optional
        Strength of the second relative to the first.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity.
    """
    begin = _time(start, "start")
    length = _time(duration, "duration", positive=True)
    share = quantity(ratio, "", "ratio", error=StimulusError, positive=True)
    second = begin + length + _time(gap, "gap", minimum=0.0)
    return pulse(amplitude, begin, length) - share * pulse(amplitude, second, length / share)


def ramp(amplitude: QuantityLike, start: QuantityLike, duration: QuantityLike) -> Waveform:
    """A straight rise from 0 to `amplitude`, then back to 0 at once.

    Parameters
    ----------
    amplitude : float or quantity
        Value reached at the end, as in `pulse`.
    start, duration : float or quantity
        In ms; `duration` is finite.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity.
    """
    length = _time(duration, "duration", positive=True)
    begin = _time(start, "start")
    return Ramp(_amplitude(amplitude), begin, length, had_unit=has_unit(amplitude))


def sine(
    amplitude: QuantityLike,
    frequency_hz: QuantityLike,
    start: QuantityLike = 0.0,
    duration: QuantityLike = math.inf,
    phase: QuantityLike = 0.0,
) -> Waveform:
    """A sine, ``amplitude * sin(2 pi f (t - start) + phase)`` while it lasts.

    Parameters
    ----------
    amplitude : float or quantity
        Peak value, as in `pulse`.
    frequency_hz : float or quantity
        In Hz.
    start, duration : float or quantity, optional
        In ms; `duration` may be infinite.
    phase : float or quantity, optional
        At `start`, in radians.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity.
    """
    frequency = quantity(frequency_hz, "Hz", "frequency_hz", error=StimulusError, positive=True)
    if frequency > MAX_FREQUENCY:
        raise StimulusError(
            f"frequency_hz = {frequency!r} is beyond {MAX_FREQUENCY:g} Hz; write a number in Hz"
        )
    return Sine(
        _amplitude(amplitude),
        _time(start, "start"),
        _duration(duration),
        frequency,
        quantity(phase, "rad", "phase", error=StimulusError),
        had_unit=has_unit(amplitude),
    )


def samples(t: QuantitiesLike, values: QuantitiesLike, delay: QuantityLike = 0.0) -> Waveform:
    """Straight lines between samples, and 0 before the first and from the last on.

    Parameters
    ----------
    t : (n,) array_like or quantity
        Times in ms, ascending; a time given twice is a jump.
    values : (n,) array_like or quantity
        Values at these times, as in `pulse`.
    delay : float or quantity, optional
        Added to every time, in ms.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If there are fewer than two or more than ten million samples, `t` goes
        back or does not advance, or the two lengths differ.
    """
    times = quantities(t, "ms", "t", error=StimulusError)
    heights = quantities(values, "nA", "values", error=StimulusError)
    if times.ndim != 1 or not 2 <= len(times) <= MAX_SAMPLES:
        raise StimulusError(
            f"t has the shape {times.shape}; write a list of 2 to {MAX_SAMPLES} times in ms"
        )
    if heights.shape != times.shape:
        raise StimulusError(
            f"values has the shape {heights.shape}, t {times.shape}; write one value for each time"
        )
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        k = int(back[0])
        raise StimulusError(
            f"t[{k + 1}] = {times[k + 1]} is before t[{k}] = {times[k]}; write ascending times"
        )
    if times[0] == times[-1]:
        raise StimulusError(f"t is {times[0]} throughout; write ascending times")
    if np.abs(times).max() > MAX_TIME:
        raise StimulusError(f"t reaches beyond {MAX_TIME:g} ms; write numbers in ms")
    return Samples(times, heights, _time(delay, "delay"), has_unit(values))


SHAPES: Mapping[str, Callable[..., Waveform]] = {
    make.__name__: make
    for make in (biphasic, constant, pulse, ramp, samples, sine, sum_of, train, train_of)
}


def from_description(description: Any) -> Waveform:
    """The waveform that a description in JSON's types stands for.

    Parameters
    ----------
    description : mapping or list
        ``shape`` names a function of this module (`SHAPES` lists them), the
        other keys are its arguments; a list is the sum of its entries.

    Returns
    -------
    Waveform
        For what `Waveform.to_dict` gave, one that equals the original.

    Raises
    ------
    StimulusError
        If it is anything else; the message names the key.
    """
    return _read(description, "waveform", 0)


def _read(description: Any, path: str, depth: int) -> Waveform:
    if depth > MAX_DEPTH:
        raise StimulusError(
            f"waveform holds more than {MAX_DEPTH} waveforms within each other; write a flat sum"
        )
    if isinstance(description, list | tuple):
        description = {"shape": "sum_of", "terms": description}
    if not isinstance(description, Mapping):
        raise StimulusError(
            f"{path} = {reprlib.repr(description)} is no waveform; "
            'write {"shape": "pulse", "amplitude": 1.0, "start": 1.0, "duration": 0.5}'
        )
    arguments = dict(description)
    shape = arguments.pop("shape", None)
    if not isinstance(shape, str) or shape not in SHAPES:
        raise StimulusError(
            f"{path}.shape = {reprlib.repr(shape)} is unknown; write one of {', '.join(SHAPES)}"
        )
    parameters = signature(SHAPES[shape]).parameters
    for key in arguments:
        if key not in parameters:
            raise StimulusError(
                f"{path} has the key {reprlib.repr(key)}; {shape} takes {', '.join(parameters)}"
            )
    for key, parameter in parameters.items():
        if parameter.default is Parameter.empty and key not in arguments:
            raise StimulusError(f"{path}.{key} is missing; {shape} takes {', '.join(parameters)}")
    if "waveform" in arguments:
        arguments["waveform"] = _read(arguments["waveform"], f"{path}.waveform", depth + 1)
    if "terms" in arguments:
        terms = arguments["terms"]
        if not isinstance(terms, list | tuple):
            raise StimulusError(f"{path}.terms = {reprlib.repr(terms)} is no list; write [...]")
        arguments["terms"] = [
            _read(term, f"{path}.terms[{k}]", depth + 1) for k, term in enumerate(terms)
        ]
    try:
        return SHAPES[shape](**arguments)
    except StimulusError as error:
        raise StimulusError(f"{path}.{error}") from None


def _check_waveform(value: object, name: str) -> None:
    if not isinstance(value, Waveform):
        raise StimulusError(
            f"{name} = {reprlib.repr(value)} is no waveform; write for instance axon.pulse(1, 1, 1)"
        )


def _amplitude(value: QuantityLike) -> float:
    return quantity(value, "nA", "amplitude", error=StimulusError)


def _time(value: QuantityLike, name: str, **limits: Any) -> float:
    time = quantity(value, "ms", name, error=StimulusError, **limits)
    if abs(time) > MAX_TIME:
        raise StimulusError(f"{name} = {time!r} is beyond {MAX_TIME:g} ms; write a number in ms")
    return time


def _duration(value: QuantityLike) -> float:
    """Like `_time`, but may be infinite."""
    endless = isinstance(value, float) and value == math.inf
    return math.inf if endless else _time(value, "duration", positive=True)


def _count(value: Any) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if isinstance(value, bool) or not 1 <= count <= MAX_COUNT:
        raise StimulusError(
            f"count = {reprlib.repr(value)} is no whole number from 1 to {MAX_COUNT}; write 10"
        )
    return count
