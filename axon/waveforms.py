"""The waveforms of stimuli, as one writes them down: functions and descriptions.

The values of a waveform are in the unit of the stimulus that carries it: nA for
an electrode inside the axon. A plain number is taken as it is; a quantity such
as ``"10 uA"`` becomes nA.
"""

from __future__ import annotations

import math
import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from typing import Any

import numpy as np

from axon.errors import StimulusError
from axon.timecourses import (
    MAX_DEPTH,
    MAX_TIME,
    Carrier,
    Chirp,
    Noise,
    Pulse,
    Ramp,
    Samples,
    Sine,
    Sum,
    Train,
    Waveform,
)
from axon.units import (
    FloatArray,
    QuantitiesLike,
    QuantityLike,
    has_unit,
    quantities,
    quantity,
)

__all__ = [
    "SHAPES",
    "biphasic",
    "carrier",
    "chirp",
    "constant",
    "from_description",
    "noise",
    "pulse",
    "ramp",
    "sampled",
    "samples",
    "samples_from",
    "sine",
    "sum_of",
    "train",
    "train_of",
]

MAX_FREQUENCY = 1e12  # Hz
MAX_CHIRP = 1e7  # Hz, since each turn of a chirp costs time
MIN_KNOTS = 1e-4  # ms between the knots of noise, since each costs time
MIN_INTERVAL = 1e-9  # ms
MAX_COUNT = 10**12  # copies in a train: exact as floats
MAX_SAMPLES = 10_000_000
MAX_SAMPLED = 1_000_000  # of a function, which may be slow


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
    copies = _whole(count, "count", 1, MAX_COUNT)
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
    end_amplitude: QuantityLike | None = None,
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
    end_amplitude : float or quantity, optional
        Peak value at the end of `duration`, which then is finite; it runs there in a straight
        line. `carrier` has more such lines.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity.
    """
    peak, begin, length = _amplitude(amplitude), _time(start, "start"), _duration(duration)
    frequency, angle = _frequency(frequency_hz, positive=True), _phase(phase)
    if end_amplitude is None:
        return Sine(peak, begin, length, frequency, angle, had_unit=has_unit(amplitude))
    if length == math.inf:
        raise StimulusError("duration = inf has no end for end_amplitude; write a number in ms")
    last = quantity(end_amplitude, "nA", "end_amplitude", error=StimulusError)
    return Carrier(
        np.array([begin, begin + length]),
        np.array([peak, last]),
        0.0,
        frequency,
        angle,
        had_unit=has_unit([amplitude, end_amplitude]),
    )


def carrier(
    amplitude: QuantityLike,
    frequency_hz: QuantityLike,
    t: QuantitiesLike,
    envelope: QuantitiesLike,
    start: QuantityLike = 0.0,
    phase: QuantityLike = 0.0,
) -> Waveform:
    """A sine whose strength follows an envelope, such as a kHz block that is slowly turned on.

    Its phase runs on through all knots, so that it jumps only where the envelope does, or
    where it doesn't begin or end at 0.

    Parameters
    ----------
    amplitude : float or quantity
        Peak value where the envelope is 1, as in `pulse`.
    frequency_hz : float or quantity
        In Hz.
    t : (n,) array_like or quantity
        Times of the envelope's knots from `start` on, in ms, ascending; a time given twice is a
        jump.
    envelope : (n,) array_like
        Factors at these times, with straight lines between them; 0 before the first and from the
        last on.
    start : float or quantity, optional
        Added to every time, in ms.
    phase : float or quantity, optional
        At the first knot, in radians.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity, or if `t` and `envelope` don't fit together as those
        of `samples` must.

    Examples
    --------
    On within 50 ms, and off within 20:

    >>> import axon
    >>> block = axon.carrier("1 mA", "10 kHz", t=[0, 50, 480, 500], envelope=[0, 1, 1, 0])
    """
    times, factors = _knots(t, envelope, "", "envelope")
    times = times + _time(start, "start")
    return Carrier(
        times,
        factors * _amplitude(amplitude),
        0.0,
        _frequency(frequency_hz, positive=True),
        _phase(phase),
        had_unit=has_unit(amplitude),
    )


def chirp(
    amplitude: QuantityLike,
    start_hz: QuantityLike,
    stop_hz: QuantityLike,
    start: QuantityLike,
    duration: QuantityLike,
    phase: QuantityLike = 0.0,
) -> Waveform:
    """A sine whose frequency runs evenly from `start_hz` to `stop_hz`.

    Parameters
    ----------
    amplitude : float or quantity
        Peak value, as in `pulse`.
    start_hz, stop_hz : float or quantity
        Frequencies at the start and at the end, in Hz, from 0 to 10 MHz; either may be the
        higher one.
    start, duration : float or quantity
        In ms; `duration` is finite.
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
    return Chirp(
        _amplitude(amplitude),
        _time(start, "start"),
        _time(duration, "duration", positive=True),
        _frequency(start_hz, "start_hz", MAX_CHIRP, minimum=0.0),
        _frequency(stop_hz, "stop_hz", MAX_CHIRP, minimum=0.0),
        _phase(phase),
        had_unit=has_unit(amplitude),
    )


def noise(
    amplitude: QuantityLike,
    interval: QuantityLike,
    seed: int,
    start: QuantityLike = 0.0,
    duration: QuantityLike = math.inf,
) -> Waveform:
    """Gaussian noise: straight lines between random values at equal intervals.

    The values are independent and have the mean 0. They follow from `seed` alone, on every
    machine, however long the noise lasts and whichever part of it is asked for. Its power is
    flat at low frequencies, and half of that at 0.32 / `interval`; between two knots the
    standard deviation is less, down to 0.71 of `amplitude` in the middle.

    Parameters
    ----------
    amplitude : float or quantity
        Standard deviation at the knots, as in `pulse`.
    interval : float or quantity
        From one knot to the next, in ms; at least 0.0001.
    seed : int
        From 0 to 2**64 - 1; another one makes another noise.
    start, duration : float or quantity, optional
        In ms; `duration` may be infinite. The first knot lies at `start`.

    Returns
    -------
    Waveform

    Raises
    ------
    StimulusError
        If an argument is no such quantity.
    """
    return Noise(
        _amplitude(amplitude),
        _time(start, "start"),
        _duration(duration),
        _time(interval, "interval", minimum=MIN_KNOTS),
        _whole(seed, "seed", 0, 2**64 - 1),
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
    times, heights = _knots(t, values, "nA", "values")
    return Samples(times, heights, _time(delay, "delay"), had_unit=has_unit(values))


def samples_from(
    path: str | os.PathLike[str],
    t: int | str = 0,
    values: int | str = 1,
    *,
    t_unit: str = "ms",
    unit: str | None = None,
    delay: QuantityLike = 0.0,
) -> Waveform:
    """`samples` from a table, as an instrument or another program writes it.

    Parameters
    ----------
    path : path-like
        A text file of at most 256 MiB: a row a line, columns divided by commas, semicolons, tabs
        or blanks. Lines that begin with ``%`` or ``#`` are comments; the last one of them, or a
        first line that holds no numbers, may name the columns.
    t, values : int or str, optional
        Which columns: their numbers from 0, or their names.
    t_unit : str, optional
        What the times are in.
    unit : str, optional
        What the values are in, such as ``"uA"``; without it they are plain numbers in the unit of
        the stimulus that carries the waveform.
    delay : float or quantity, optional
        Added to every time, in ms.

    Returns
    -------
    Waveform
        It holds the numbers, and needs the file no more.

    Raises
    ------
    StimulusError
        If the file can't be read, or has no such column, or a row isn't finite numbers, and as
        for `samples`; the message names the file, and the line if it is one line's fault.
    """
    from axon.columns import columns

    times, heights = columns(path, (t, values), MAX_SAMPLES)
    times = times * quantity(f"1 {t_unit}", "ms", "t_unit", error=StimulusError)
    if unit is not None:
        heights = heights * quantity(f"1 {unit}", "nA", "unit", error=StimulusError)
    try:
        times, heights = _knots(times, heights, "nA", "values")
    except StimulusError as error:
        raise StimulusError(f"{path}: {error}") from None
    return Samples(times, heights, _time(delay, "delay"), had_unit=unit is not None)


def sampled(
    function: Callable[[Any], Any],
    start: QuantityLike,
    stop: QuantityLike,
    interval: QuantityLike,
    tolerance: QuantityLike | None = None,
) -> Samples:
    """`samples` of any Python function of time.

    The function is called now, and never while a simulation runs. How far the straight lines are
    from it is known: halfway between all samples it is called too. NumPy's own functions have
    another last bit on another processor; what is kept, and stored with a run, are the numbers.

    Parameters
    ----------
    function : callable
        Takes a time in ms, or an array of them; returns a value, or one for each time, as in
        `pulse`.
    start, stop : float or quantity
        Ends of the stretch that is sampled, in ms; the waveform is 0 elsewhere.
    interval : float or quantity
        Between two samples, in ms; shortened until a whole number of intervals fits.
    tolerance : float or quantity, optional
        Largest deviation that will do, in the unit of the values. The interval is halved until it
        is met.

    Returns
    -------
    Samples
        A waveform, whose ``error`` is the largest deviation that was found, in the unit of the
        values. It scales with the waveform; equality and descriptions leave it out.

    Raises
    ------
    StimulusError
        If an argument is no such quantity, the function doesn't return finite values, or more
        than a million samples are needed. A function that jumps never meets a tolerance: add its
        pieces.

    Examples
    --------
    >>> import axon, numpy as np
    >>> bell = axon.sampled(lambda t: np.exp(-((t - 5) ** 2)), 0.0, 10.0, 0.1, tolerance=1e-4)
    >>> bell
    <samples: 801 from 0.0 to 10.0 ms, within 3.9e-05>
    """
    first, last = _time(start, "start"), _time(stop, "stop")
    if not first < last:
        raise StimulusError(f"stop = {last!r} is not after start = {first!r}; write a later one")
    every = _time(interval, "interval", minimum=MIN_INTERVAL)
    bound = math.inf
    if tolerance is not None:
        bound = quantity(tolerance, "nA", "tolerance", error=StimulusError, positive=True)
    count = math.ceil((last - first) / every)
    if count >= MAX_SAMPLED:
        raise StimulusError(
            f"interval = {every!r} makes more than {MAX_SAMPLED} samples from {first!r} to "
            f"{last!r} ms; write a longer one"
        )
    times = np.linspace(first, last, count + 1)
    heights, had_unit = _called(function, times)
    while True:
        middles = times[:-1] + np.diff(times) / 2
        between, _ = _called(function, middles)
        error = float(np.abs(between - (heights[:-1] + heights[1:]) / 2).max())
        if error <= bound:
            return Samples(times, heights, 0.0, had_unit=had_unit, error=error)
        if 2 * len(times) > MAX_SAMPLED:
            raise StimulusError(
                f"tolerance = {bound!r} is not met by {len(times)} samples, {error:.3g} is; "
                "write a larger one, or add pieces between which the function jumps"
            )
        times = np.insert(times, np.arange(1, len(times)), middles)
        heights = np.insert(heights, np.arange(1, len(heights)), between)


def _called(function: Callable[[Any], Any], t: FloatArray) -> tuple[FloatArray, bool]:
    """Values of a user's function, and whether it gave them a unit."""
    try:
        given = function(t.copy())
    except (TypeError, ValueError):  # as of math.sin, or of `if t < 5`: one by one
        given = [function(float(each)) for each in t]
    values = quantities(given, "nA", "function", error=StimulusError)
    if values.shape not in ((), t.shape):
        raise StimulusError(
            f"function returned the shape {values.shape} for {t.shape} times; "
            "return one value for each"
        )
    return np.broadcast_to(values, t.shape), has_unit(given)


SHAPES: Mapping[str, Callable[..., Waveform]] = {
    make.__name__: make
    for make in (
        biphasic, carrier, chirp, constant, noise, pulse,
        ramp, samples, sine, sum_of, train, train_of,
    )
}  # fmt: skip
"""What a description may name. None of them calls a function of the user's or opens a file."""


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


def _frequency(
    value: QuantityLike, name: str = "frequency_hz", most: float = MAX_FREQUENCY, **limits: Any
) -> float:
    frequency = quantity(value, "Hz", name, error=StimulusError, **limits)
    if frequency > most:
        raise StimulusError(f"{name} = {frequency!r} is beyond {most:g} Hz; write a number in Hz")
    return frequency


def _phase(value: QuantityLike) -> float:
    return quantity(value, "rad", "phase", error=StimulusError)


def _knots(
    t: QuantitiesLike, values: QuantitiesLike, unit: str, name: str
) -> tuple[FloatArray, FloatArray]:
    """Ascending times, and a value for each."""
    times = quantities(t, "ms", "t", error=StimulusError)
    heights = quantities(values, unit, name, error=StimulusError)
    if times.ndim != 1 or not 2 <= len(times) <= MAX_SAMPLES:
        raise StimulusError(
            f"t has the shape {times.shape}; write a list of 2 to {MAX_SAMPLES} times in ms"
        )
    if heights.shape != times.shape:
        raise StimulusError(
            f"{name} has the shape {heights.shape}, t {times.shape}; write one value for each time"
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
    return times, heights


def _whole(value: Any, name: str, least: int, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise StimulusError(
            f"{name} = {reprlib.repr(value)} is no whole number from {least} to {most}; write 10"
        )
    return number
