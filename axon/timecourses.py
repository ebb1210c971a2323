"""Values that change over time, as shapes that add, scale, shift and repeat.

A waveform knows nothing of an electrode: its values are in whatever unit the
stimulus that carries it takes. Delays and factors are folded into the shapes
at once, so every waveform is a shape, a train of a waveform, or a sum of these.

A stimulus enters a time step by its mean over that step. Means are found from
lengths measured near the shape itself, never as differences of two large
integrals, so a pulse delivers its charge wherever its edges fall, hours into a
run as at its beginning.

Nothing here is computed by NumPy's own sines and logarithms: these have other last
bits on other processors, and a run's would follow.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from axon import portable
from axon.errors import StimulusError
from axon.portable import distinct
from axon.records import Value
from axon.units import FloatArray, QuantityLike, quantity

__all__ = [
    "Carrier",
    "Chirp",
    "Noise",
    "Pulse",
    "Ramp",
    "Samples",
    "Sine",
    "Sum",
    "Train",
    "Waveform",
]

IntArray = NDArray[np.int64]

# Far beyond what makes sense, and far from where floats overflow.
MAX_TIME = 1e12  # ms, some thirty years
MAX_AMPLITUDE = 1e100
MAX_DEPTH = 64  # waveforms within waveforms; Python's own limit is some hundreds
MAX_TERMS = 100_000
MAX_EDGES = 1_000_000  # of a waveform in one window
MAX_PARTS = 10_000_000  # that the mean over one interval is put together from
PARTS_AT_ONCE = 4096


class Waveform(Value, ABC):
    """A value that changes over time; immutable, hashable, equal by description.

    Made by the functions `pulse`, `constant`, `train`, `biphasic`, `ramp`,
    `sine`, `carrier`, `chirp`, `noise`, `samples`, `samples_from` and `sampled`,
    and from other waveforms by `delayed`, `scaled`, ``w1 + w2``, ``w1 - w2``,
    ``-w``, ``2 * w``, `sum_of` and `train_of`.
    """

    def mean(self, start: ArrayLike, stop: ArrayLike) -> FloatArray:
        """Exact mean over each interval.

        Parameters
        ----------
        start, stop : array_like
            Ends of the intervals in ms, of shapes that broadcast; every `stop`
            lies after its `start`.

        Returns
        -------
        numpy.ndarray
            Means, in the unit of the amplitude, of the broadcast shape. They
            are exact up to rounding; an interval within a pulse has exactly
            its amplitude.

        Raises
        ------
        StimulusError
            If an interval is empty, reversed, or not a number; or if it takes in
            more than 2.5 million turns of a chirp, or ten million knots of a noise.
        """
        a, b = np.broadcast_arrays(
            np.asarray(start, dtype=np.float64), np.asarray(stop, dtype=np.float64)
        )
        width = b - a
        if not np.all((width > 0) & (a >= -MAX_TIME) & (b <= MAX_TIME)):
            raise StimulusError(
                f"start, stop: every interval must stop after it starts, within {MAX_TIME:g} ms"
            )
        return self._mean(a.ravel(), b.ravel(), width.ravel()).reshape(a.shape)

    def __call__(self, t: ArrayLike) -> FloatArray:
        """Values at times `t` in ms, of the shape of `t`; at a jump, the value after it."""
        times = np.asarray(t, dtype=np.float64)
        return self._value(times.ravel()).reshape(times.shape)

    def edges(self, start: float, stop: float) -> FloatArray:
        """Times at which the value jumps, with ``start <= t < stop``.

        Windows that touch so report every edge once. Jumps of two terms of a
        sum that cancel are reported.

        Parameters
        ----------
        start, stop : float
            Ends of the window in ms.

        Returns
        -------
        numpy.ndarray
            Times in ms, ascending, without repetition.

        Raises
        ------
        StimulusError
            If there are more than a million edges in the window.
        """
        times = distinct(self._edges(start, stop))
        return times[(times >= start) & (times < stop)]

    @abstractmethod
    def span(self) -> tuple[float, float]:
        """First and last time in ms between which the value may differ from zero."""

    @property
    def period(self) -> float:
        """Time in ms after which it repeats, the shortest of all if there are several, or a bound
        from below; infinite where nothing comes three times."""
        return math.inf

    def delayed(self, dt: QuantityLike) -> Waveform:
        """The same waveform, later by `dt` (ms or quantity; negative is earlier)."""
        return self._mapped(quantity(dt, "ms", "dt", error=StimulusError), 1.0)

    def scaled(self, factor: float) -> Waveform:
        """The same waveform with every value multiplied by `factor`."""
        return self._mapped(0.0, quantity(factor, "", "factor", error=StimulusError))

    def in_milliamperes(self) -> Waveform:
        """The same waveform as plain numbers in mA, the unit of electrodes outside the axon.

        Amplitudes that were plain numbers are taken as mA; those that had a unit are converted.

        Raises
        ------
        StimulusError
            If some had a unit and others had none.
        """
        if len(had := self._had_units()) > 1:
            raise StimulusError(
                "waveform has amplitudes with a unit and others without; write all in one way"
            )
        return self._as_plain(1e6 if had == {True} else 1.0)

    def had_units(self) -> bool:
        """Whether some amplitude was given with a unit, and so became nA."""
        return True in self._had_units()

    def to_dict(self) -> dict[str, Any]:
        """Description in JSON's types: ``shape`` names a function, the rest are its arguments."""
        shape, arguments = self._recipe()
        return {"shape": shape} | {key: _plain(value) for key, value in arguments.items()}

    @staticmethod
    def from_dict(description: Any) -> Waveform:
        """What `axon.waveforms.from_description` makes of a description such as `to_dict` gives."""
        from axon.waveforms import from_description

        return from_description(description)

    def __repr__(self) -> str:
        shape, arguments = self._recipe()
        return f"{shape}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"

    def __add__(self, other: Waveform) -> Waveform:
        return Sum.of((self, other)) if isinstance(other, Waveform) else NotImplemented

    def __radd__(self, other: int) -> Waveform:
        # the built-in sum() starts from 0
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __sub__(self, other: Waveform) -> Waveform:
        return self + -other if isinstance(other, Waveform) else NotImplemented

    def __neg__(self) -> Waveform:
        return self.scaled(-1.0)

    def __mul__(self, factor: float) -> Waveform:
        return self.scaled(factor)

    __rmul__ = __mul__

    @abstractmethod
    def _mean(self, a: FloatArray, b: FloatArray, width: FloatArray) -> FloatArray:
        """Means over [a, b]; `width` is b - a, known better than from a and b once shifted."""

    @abstractmethod
    def _value(self, t: FloatArray) -> FloatArray:
        """Values at times `t`."""

    @abstractmethod
    def _edges(self, start: float, stop: float) -> FloatArray:
        """Every jump in [start, stop), in any order, and possibly others outside."""

    @abstractmethod
    def _mapped(self, delay: float, factor: float) -> Waveform:
        """Delayed by `delay` ms and multiplied by `factor`."""

    @abstractmethod
    def _had_units(self) -> set[bool]:
        """Whether amplitudes were given with a unit, and so became nA."""

    @abstractmethod
    def _as_plain(self, divisor: float) -> Waveform:
        """The same with values in a unit so much larger, as if none had had a unit."""

    @abstractmethod
    def _recipe(self) -> tuple[str, dict[str, Any]]:
        """Name of a function of `axon.waveforms`, and its arguments for an equal waveform."""

    def _depth(self) -> int:
        """Levels of waveforms below this one."""
        return 0


class Stretch(Waveform):
    """One formula on [start, start + duration), and zero elsewhere."""

    amplitude: float
    start: float
    duration: float
    had_unit: bool = field(default=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_range(self.amplitude, self.start)

    def span(self) -> tuple[float, float]:
        return self.start, self.start + self.duration

    @abstractmethod
    def _formula(self, first: FloatArray, length: FloatArray | float) -> FloatArray:
        """Mean of the formula, per amplitude, from `first` over `length`; 0 gives its value."""

    def _mean(self, a: FloatArray, b: FloatArray, width: FloatArray) -> FloatArray:
        # differences to the start are exact near it (Sterbenz), whatever the hour
        before, after = a - self.start, b - self.start
        inside = (before >= 0) & (after <= self.duration)
        length = np.minimum(after, self.duration) - np.maximum(before, 0.0)
        length = np.where(inside, width, np.maximum(length, 0.0))
        first = np.clip(a, *self.span())
        return self.amplitude * (length / width) * self._formula(first, length)

    def _value(self, t: FloatArray) -> FloatArray:
        start, stop = self.span()
        value = self.amplitude * self._formula(np.clip(t, start, stop), 0.0)
        return np.where((t >= start) & (t < stop), value, 0.0)

    def _edges(self, start: float, stop: float) -> FloatArray:
        ends = np.array([t for t in self.span() if t < math.inf])
        # what is left of a sine's zero after rounding is no jump
        return ends[np.abs(self._formula(ends, 0.0)) > 1e-12]

    def _mapped(self, delay: float, factor: float) -> Waveform:
        return replace(self, start=self.start + delay, amplitude=self.amplitude * factor)

    def _had_units(self) -> set[bool]:
        return {self.had_unit}

    def _as_plain(self, divisor: float) -> Waveform:
        return replace(self, amplitude=self.amplitude / divisor, had_unit=False)

    def _recipe(self) -> tuple[str, dict[str, Any]]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        del values["had_unit"]
        # what lasts for ever says so by silence: JSON has no infinity
        return type(self).__name__.lower(), {k: v for k, v in values.items() if v != math.inf}


class Pulse(Stretch):
    """A constant value."""

    def _formula(self, first: FloatArray, length: FloatArray | float) -> FloatArray:
        return np.ones_like(first)

    def _recipe(self) -> tuple[str, dict[str, Any]]:
        name, arguments = super()._recipe()
        return name if "duration" in arguments else "constant", arguments


class Ramp(Stretch):
    """A straight rise from zero."""

    def _formula(self, first: FloatArray, length: FloatArray | float) -> FloatArray:
        return ((first - self.start) + length / 2) / self.duration


_SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(11))
"""Its Taylor series, which up to a quarter turn is exact to rounding."""


def _sine_of_turns(turns: FloatArray) -> FloatArray:
    """sin(2 pi turns), by operations that round alike everywhere."""
    part = turns - np.rint(turns)
    part = np.where(np.abs(part) > 0.25, np.copysign(0.5, part) - part, part)
    angle = 2 * np.pi * part
    return portable.odd_series(_SINE, angle)


def _sinc(turned: FloatArray) -> FloatArray:
    """sin(x)/x, where x is half of the angle that is turned."""
    half = np.pi * np.where(turned == 0, 1.0, turned)
    return np.where(turned == 0, 1.0, _sine_of_turns(turned / 2) / half)


def _turns(frequency_hz: float, t: FloatArray) -> FloatArray:
    """Turns from time 0 to `t`, less some whole ones, so that late times lose no digits."""
    whole = np.floor(t)
    # 24 bits of the frequency times a whole time below six days are exact
    coarse = float(np.float32(frequency_hz))
    turns = np.fmod(coarse * whole, 1000) + (frequency_hz - coarse) * whole
    return (turns + frequency_hz * (t - whole)) / 1000


class Sine(Stretch):
    """A sine whose phase counts from its start."""

    frequency_hz: float
    phase: float

    @property
    def period(self) -> float:
        return 1000 / self.frequency_hz

    def _formula(self, first: FloatArray, length: FloatArray | float) -> FloatArray:
        # mean of a sine = its value at the middle times sin(x)/x with half the turned
        # angle as x: nothing cancels however short the interval
        turns = _turns(self.frequency_hz, first) - _turns(self.frequency_hz, np.array(self.start))
        turned = self.frequency_hz * np.asarray(length) / 1000
        middle = _sine_of_turns(turns + turned / 2 + self.phase / (2 * np.pi))
        return middle * _sinc(turned)


def _sum_of_parts(
    counts: FloatArray, part: Callable[[NDArray[np.intp], IntArray], FloatArray]
) -> FloatArray:
    """For each i the sum of part(i, 0) ... part(i, counts[i] - 1), in this order.

    `part` is asked for a few thousand at a time, so that memory stays small; which others
    are asked for with them changes no bit of a sum.
    """
    most = counts.max(initial=0.0)
    if not most <= MAX_PARTS:
        raise StimulusError(
            f"start, stop: the mean over one interval takes {most:.3g} parts, more than "
            f"{MAX_PARTS}; ask for shorter intervals"
        )
    numbers = counts.astype(np.int64)
    ends = np.cumsum(numbers)
    begins = ends - numbers
    sums = np.zeros(len(counts))
    for k in range(0, int(numbers.sum()), PARTS_AT_ONCE):
        each = np.arange(k, min(k + PARTS_AT_ONCE, ends[-1]))
        which = np.searchsorted(ends, each, side="right")
        np.add.at(sums, which, part(which, each - begins[which]))
    return sums


_GAUSS = (
    (0.1834346424956498, 0.3626837833783620),
    (0.5255324099163290, 0.3137066458778873),
    (0.7966664774136267, 0.2223810344533745),
    (0.9602898564975363, 0.1012285362903763),
)
"""Places, on either side of the middle, and weights of Gauss and Legendre's rule of eight points.

M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions, Dover (1965), table 25.4.
"""


class Chirp(Stretch):
    """A sine whose frequency runs evenly from one value to another."""

    start_hz: float
    stop_hz: float
    phase: float

    @property
    def period(self) -> float:
        fastest = max(self.start_hz, self.stop_hz)
        return 1000 / fastest if fastest else math.inf

    @cached_property
    def _bend(self) -> tuple[float, float]:
        """Half of what the frequency gains per ms, and what rounding took from it."""
        from fractions import Fraction

        exact = (Fraction(self.stop_hz) - Fraction(self.start_hz)) / (2 * Fraction(self.duration))
        return float(exact), float(exact - Fraction(float(exact)))

    def _formula(self, first: FloatArray, length: FloatArray | float) -> FloatArray:
        # by Gauss and Legendre's rule on parts of at most a quarter turn: exact to rounding
        length = np.broadcast_to(length, first.shape)
        bend, _ = self._bend
        since, rest = _difference(first, self.start)
        rate = self.start_hz + 2 * bend * since
        begin = self._thousandths(since) + rate * rest
        fastest = np.maximum(rate, rate + 2 * bend * length)
        counts = np.maximum(np.ceil(fastest * length / 250), 1.0)
        half = length / (2 * counts)

        def part(which: NDArray[np.intp], k: IntArray) -> FloatArray:
            total = np.zeros(len(which))
            for place, weight in _GAUSS:
                for side in (-place, place):
                    u = half[which] * (2 * k + 1 + side)
                    turned = begin[which] + u * (rate[which] + bend * u)
                    total += weight / 2 * _sine_of_turns(turned / 1000 + self.phase / (2 * np.pi))
            return total / counts[which]

        return _sum_of_parts(counts, part)

    def _thousandths(self, t: FloatArray) -> FloatArray:
        """Thousandths of turns within `t` from the start, less whole turns; late ones to the digit.

        The products' own roundings are carried along (T. J. Dekker, Numer. Math. 18, 224-242
        (1971)).
        """
        bend, bend_rest = self._bend
        even, even_rest = _product(self.start_hz, t)
        square, square_rest = _product(t, t)
        gain, gain_rest = _product(bend, square)
        rest = even_rest + gain_rest + (bend * square_rest + bend_rest * square)
        return np.fmod(even, 1000) + np.fmod(gain, 1000) + rest


def _difference(a: FloatArray, b: float) -> tuple[FloatArray, FloatArray]:
    """a - b rounded, and what the rounding took.

    D. E. Knuth, The Art of Computer Programming 2, 3rd ed., Addison-Wesley (1997), 4.2.2.
    """
    difference = a - b
    back = difference - a
    return difference, (a - (difference - back)) - (b + back)


def _product(a: FloatArray | float, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """a b rounded, and what the rounding took: Veltkamp's and Dekker's, as cited above."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, np.asarray(rest)


def _halves(x: Any) -> tuple[Any, Any]:
    """Two numbers of 26 bits whose sum is `x`."""
    shifted = 134217729.0 * x  # 2^27 + 1
    high = shifted - (shifted - x)
    return high, x - high


_KNOTS_AT_ONCE = 256  # of one block of random numbers


class Noise(Stretch):
    """Straight lines between independent Gaussian values, one every `interval` from the start on.

    Knot k follows from the seed and k alone: memory and time don't grow with the duration.
    """

    interval: float
    seed: int

    @property
    def period(self) -> float:
        return 2 * self.interval

    def _formula(self, first: FloatArray, length: FloatArray | float) -> FloatArray:
        length = np.broadcast_to(length, first.shape)
        since = first - self.start
        until = since + length
        knot = np.floor(since / self.interval)
        counts = np.floor(until / self.interval) - knot + 1
        whole = np.where(length > 0, length, 1.0)

        def part(which: NDArray[np.intp], k: IntArray) -> FloatArray:
            here = knot[which] + k
            low = np.maximum(since[which], here * self.interval)
            high = np.minimum(until[which], (here + 1) * self.interval)
            alone = counts[which] == 1
            width = np.where(alone, length[which], np.maximum(high - low, 0.0))
            middle = ((low - here * self.interval) + width / 2) / self.interval
            left, right = self._knots(np.stack((here, here + 1)).astype(np.int64))
            share = np.where(alone, 1.0, width / whole[which])
            mean: FloatArray = share * (left + (right - left) * middle)
            return mean

        return _sum_of_parts(counts, part)

    def _knots(self, k: IntArray) -> FloatArray:
        """Gaussian values of mean 0 and standard deviation 1.

        Two whole numbers of the counter-based generator Philox (J. K. Salmon et al., Proc.
        SC11 (2011), doi:10.1145/2063384.2063405) make one of them (G. E. P. Box, M. E. Muller,
        Ann. Math. Statist. 29, 610-611 (1958), doi:10.1214/aoms/1177706645).
        """
        blocks, which = np.unique(k // _KNOTS_AT_ONCE, return_inverse=True)
        # a step of the counter makes four numbers, for two knots
        counters = [int(block) * _KNOTS_AT_ONCE // 2 for block in blocks]
        raw = [
            np.random.Philox(key=self.seed, counter=counter).random_raw(2 * _KNOTS_AT_ONCE)
            for counter in counters
        ]
        pairs = (np.concatenate(raw) >> np.uint64(11)).astype(np.float64).reshape(-1, 2) * 2.0**-53
        radius = np.sqrt(-2.0 * portable.log(pairs[:, 0] + 2.0**-54))
        values = radius * _sine_of_turns(pairs[:, 1])
        knots: FloatArray = values[which.reshape(k.shape) * _KNOTS_AT_ONCE + k % _KNOTS_AT_ONCE]
        return knots


class Samples(Waveform):
    """Straight lines between samples, zero outside; two samples at one time are a jump."""

    t: FloatArray
    values: FloatArray
    delay: float
    had_unit: bool = field(default=False, kw_only=True)
    error: float = field(default=0.0, kw_only=True)
    """Largest known deviation from the function that was sampled; no part of what is compared."""

    def __post_init__(self) -> None:
        _check_range(float(np.abs(self.values).max()), self.span()[0])
        self.t.flags.writeable = False
        self.values.flags.writeable = False

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Samples) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        """What is compared."""
        # adding 0.0 makes -0.0, which equals 0.0, have its bits
        return self.delay, (self.t + 0.0).tobytes(), (self.values + 0.0).tobytes()

    def span(self) -> tuple[float, float]:
        return self.delay + float(self.t[0]), self.delay + float(self.t[-1])

    @cached_property
    def period(self) -> float:
        return in_which_three(distinct(self.t))

    @cached_property
    def _run(self) -> FloatArray:
        """Length of each segment; that of a jump, in which nothing ever lies, isn't 0."""
        run = np.diff(self.t)
        return np.where(run > 0, run, 1.0)

    @cached_property
    def _rise(self) -> FloatArray:
        return np.diff(self.values)

    @cached_property
    def _areas(self) -> FloatArray:
        """Integral over each segment."""
        return np.diff(self.t) * (self.values[:-1] + self.values[1:]) / 2

    @property
    def _heights(self) -> FloatArray:
        """Value at each knot, by which jumps are told."""
        return self.values

    def _segment(self, t: FloatArray) -> NDArray[np.intp]:
        return np.clip(np.searchsorted(self.t, t, side="right") - 1, 0, len(self.t) - 2)

    def _line(
        self, k: NDArray[np.intp], first: FloatArray, length: FloatArray | float
    ) -> FloatArray:
        """Mean on segment `k` from `first` over `length`."""
        part = ((first - self.t[k]) + length / 2) / self._run[k]
        return self.values[k] + self._rise[k] * part

    def _mean(self, a: FloatArray, b: FloatArray, width: FloatArray) -> FloatArray:
        a, b = a - self.delay, b - self.delay
        first, last = np.clip(a, *self.t[[0, -1]]), np.clip(b, *self.t[[0, -1]])
        i, j = self._segment(first), self._segment(last)
        within = i == j
        # what the first segment holds, what the last one holds, and the whole ones between
        head = np.where(within, last, self.t[i + 1]) - first
        head = np.where(within & (first == a) & (last == b), width, head)
        tail = np.where(within, 0.0, last - self.t[j])
        mean = head / width * self._line(i, first, head)
        mean += tail / width * self._line(j, self.t[j], tail)
        between = j > i + 1
        if between.any():
            bounds = np.stack((i[between] + 1, j[between]), axis=1).ravel()
            sums = np.add.reduceat(self._areas[: bounds.max() + 1], bounds)[::2]
            mean[between] += sums / width[between]
        return mean

    def _value(self, t: FloatArray) -> FloatArray:
        t = t - self.delay
        on = (t >= self.t[0]) & (t < self.t[-1])
        return np.where(on, self._line(self._segment(t), t, 0.0), 0.0)

    @cached_property
    def _jumps(self) -> FloatArray:
        t = np.concatenate((self.t[:1], self.t, self.t[-1:]))
        values = np.concatenate(([0.0], self._heights, [0.0]))
        jumps: FloatArray = t[1:][(np.diff(t) == 0) & (np.diff(values) != 0)]
        return self.delay + jumps

    def _edges(self, start: float, stop: float) -> FloatArray:
        return self._jumps

    def _mapped(self, delay: float, factor: float) -> Waveform:
        return replace(
            self,
            values=self.values * factor,
            delay=self.delay + delay,
            error=self.error * abs(factor),
        )

    def _had_units(self) -> set[bool]:
        return {self.had_unit}

    def _as_plain(self, divisor: float) -> Waveform:
        return replace(
            self, values=self.values / divisor, error=self.error / divisor, had_unit=False
        )

    def _recipe(self) -> tuple[str, dict[str, Any]]:
        return "samples", {"t": self.t, "values": self.values, "delay": self.delay}

    def __repr__(self) -> str:
        start, stop = self.span()
        within = f", within {self.error:.2g}" if self.error else ""
        return f"<samples: {len(self.t)} from {start!r} to {stop!r} ms{within}>"


_BESSEL = tuple((-1) ** k * 2 * (k + 1) / math.factorial(2 * k + 3) for k in range(11))
"""The Taylor series of j1, which up to pi/2 is exact to rounding."""


def _bessel(turned: FloatArray) -> FloatArray:
    """The spherical Bessel function j1(x) = (sin(x)/x - cos(x))/x of half the turned angle x."""
    x = np.pi * turned
    small = turned < 0.5
    series = portable.odd_series(_BESSEL, np.where(small, x, 0.0))
    closed = _sinc(turned) - _sine_of_turns(turned / 2 + 0.25)
    return np.where(small, series, closed / np.where(small, 1.0, x))


class Carrier(Samples):
    """A sine whose peak value follows straight lines between knots; phase counts from the first.

    The knots are where they are, and `delay` is 0: a delay would cost the phase digits.
    """

    frequency_hz: float
    phase: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.t[0] < self.t[-1]:
            raise StimulusError(
                f"start = {float(self.t[0])!r} is so late that rounding leaves nothing of the "
                "envelope; write an earlier one"
            )

    @cached_property
    def period(self) -> float:
        return min(1000 / self.frequency_hz, in_which_three(distinct(self.t)))

    def _key(self) -> tuple[object, ...]:
        return self.frequency_hz, self.phase, *super()._key()

    def _line(
        self, k: NDArray[np.intp], first: FloatArray, length: FloatArray | float
    ) -> FloatArray:
        # With e + s u as the envelope and the phase p + w u about the middle, the mean over the
        # length L is e sin(p) sin(x)/x + s cos(p) j1(x) L/2, where x = w L/2.
        turned = self.frequency_hz * np.asarray(length) / 1000
        middle = self._turned(first) + turned / 2
        steady = super()._line(k, first, length) * _sine_of_turns(middle) * _sinc(turned)
        slope = self._rise[k] / self._run[k]
        return steady + slope * (length / 2) * _sine_of_turns(middle + 0.25) * _bessel(turned)

    def _turned(self, t: FloatArray) -> FloatArray:
        """Phase at `t` in turns, less some whole ones."""
        since = _turns(self.frequency_hz, t) - _turns(self.frequency_hz, self.t[0])
        return since + self.phase / (2 * np.pi)

    @cached_property
    def _areas(self) -> FloatArray:
        run = np.diff(self.t)
        return run * self._line(np.arange(len(run)), self.t[:-1], run)

    @property
    def _heights(self) -> FloatArray:
        sine = _sine_of_turns(self._turned(self.t))
        # what is left of a sine's zero after rounding is no jump
        return self.values * np.where(np.abs(sine) > 1e-12, sine, 0.0)

    def _mapped(self, delay: float, factor: float) -> Waveform:
        return replace(self, t=self.t + delay, values=self.values * factor)

    def _recipe(self) -> tuple[str, dict[str, Any]]:
        return "carrier", {
            "amplitude": 1.0,
            "frequency_hz": self.frequency_hz,
            "t": self.t + 0.0,  # no -0.0, as none is when it is read
            "envelope": self.values,
            "phase": self.phase,
        }

    def __repr__(self) -> str:
        start, stop = self.span()
        return f"<carrier: {self.frequency_hz!r} Hz from {start!r} to {stop!r} ms>"


class Train(Waveform):
    """Copies of a waveform that begins at 0, one every `interval` from `start` on."""

    waveform: Waveform
    start: float
    interval: float
    count: int

    def __post_init__(self) -> None:
        _check_range(0.0, self.start)
        _check_depth(self)

    def span(self) -> tuple[float, float]:
        return self.start, float(self._begin(np.array(self.count - 1.0))) + self.waveform.span()[1]

    @property
    def period(self) -> float:
        return min(self.waveform.period, self.interval if self.count > 2 else math.inf)

    @cached_property
    def _reach(self) -> float:
        """A time in a copy that is past its end, whatever rounding did to that."""
        return self.waveform.span()[1] + self.interval

    @cached_property
    def _integral(self) -> float:
        """Integral over one copy."""
        reach = np.array([self._reach])
        return float((reach * self.waveform._mean(np.zeros(1), reach, reach))[0])

    @cached_property
    def _own_edges(self) -> FloatArray:
        """Edges of one copy."""
        return self.waveform.edges(-math.inf, math.inf)

    def _begin(self, k: FloatArray) -> FloatArray:
        """When copy `k` begins."""
        return self.start + k * self.interval

    def _copy(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Which copy was the last to begin at or before `t` (else the first), and when."""
        last = self.count - 1
        k = np.clip(np.floor((t - self.start) / self.interval), 0, last)
        # a start itself must count as begun; a moment before it, either copy will do
        k += (k < last) & (self._begin(k + 1) <= t)
        return k, self._begin(k)

    def _mean(self, a: FloatArray, b: FloatArray, width: FloatArray) -> FloatArray:
        copy_a, begin_a = self._copy(a)
        copy_b, begin_b = self._copy(b)
        within = copy_a == copy_b
        lo, hi = a - begin_a, b - begin_b
        # what the first copy holds, what the last one holds, and the whole ones between
        head = self._share(
            lo,
            np.where(within, hi, self._reach),
            np.where(within, width, self._reach - lo),
            width,
        )
        tail = self._share(np.zeros_like(lo), hi, np.where(within, 0.0, hi), width)
        between = np.maximum(copy_b - copy_a - 1, 0)
        # the integral over a copy may be long to find: not unless it is needed
        return head + tail + (between * self._integral / width if between.any() else 0.0)

    def _share(
        self, lo: FloatArray, hi: FloatArray, length: FloatArray, width: FloatArray
    ) -> FloatArray:
        """Integral over [lo, hi] of one copy, divided by `width`."""
        stop = self.waveform.span()[1]
        touched = (length > 0) & (hi > 0) & (lo < stop)
        whole = touched & (lo <= 0) & (hi >= stop)
        # only cut copies are asked, so that trains of trains cost no more at each level
        cut = touched & ~whole
        share = np.zeros_like(width)
        if whole.any():
            share[whole] = self._integral / width[whole]
        if cut.any():
            means = self.waveform._mean(lo[cut], hi[cut], length[cut])
            share[cut] = means * (length[cut] / width[cut])
        return share

    def _value(self, t: FloatArray) -> FloatArray:
        return self.waveform._value(t - self._copy(t)[1])

    def _edges(self, start: float, stop: float) -> FloatArray:
        # one copy more on either side, for what rounding did to the quotients
        first, last = (np.array([start, stop]) - self.start) / self.interval
        first, last = np.clip([np.floor(first) - 2, np.floor(last) + 2], 0, self.count)
        if (last - first) * len(self._own_edges) > MAX_EDGES:
            raise StimulusError(
                f"interval = {self.interval!r} makes more than {MAX_EDGES} edges from {start!r} "
                f"to {stop!r} ms; write a longer one"
            )
        return np.add.outer(self._begin(np.arange(first, last)), self._own_edges).ravel()

    def _mapped(self, delay: float, factor: float) -> Waveform:
        return replace(self, waveform=self.waveform._mapped(0.0, factor), start=self.start + delay)

    def _recipe(self) -> tuple[str, dict[str, Any]]:
        return "train_of", {each.name: getattr(self, each.name) for each in fields(self)}

    def _had_units(self) -> set[bool]:
        return self.waveform._had_units()

    def _as_plain(self, divisor: float) -> Waveform:
        return replace(self, waveform=self.waveform._as_plain(divisor))

    def _depth(self) -> int:
        return 1 + self.waveform._depth()


class Sum(Waveform):
    """The sum of two or more waveforms, none of them a sum."""

    terms: tuple[Waveform, ...]

    @staticmethod
    def of(terms: Iterable[Waveform]) -> Waveform:
        """The sum of at least one waveform."""
        flat: list[Waveform] = []
        for term in terms:
            flat.extend(term.terms if isinstance(term, Sum) else (term,))
        return flat[0] if len(flat) == 1 else Sum(tuple(flat))

    def __post_init__(self) -> None:
        if len(self.terms) > MAX_TERMS:
            raise StimulusError(
                f"terms are {len(self.terms)}, more than {MAX_TERMS} in one sum; "
                "write trains or samples"
            )
        _check_depth(self)

    @cached_property
    def _spans(self) -> FloatArray:
        """Starts of all terms, and stops."""
        return np.array([term.span() for term in self.terms]).T

    def span(self) -> tuple[float, float]:
        return float(self._spans[0].min()), float(self._spans[1].max())

    @cached_property
    def period(self) -> float:
        return shortest_period(self.terms)

    def _within(self, start: float, stop: float) -> list[Waveform]:
        """Terms that reach into the window; of a long list of pulses, a few."""
        starts, stops = self._spans
        return [self.terms[k] for k in np.flatnonzero((starts <= stop) & (stops >= start))]

    def _mean(self, a: FloatArray, b: FloatArray, width: FloatArray) -> FloatArray:
        mean = np.zeros_like(a)
        for term in self._within(a.min(initial=math.inf), b.max(initial=-math.inf)):
            mean += term._mean(a, b, width)
        return mean

    def _value(self, t: FloatArray) -> FloatArray:
        value = np.zeros_like(t)
        for term in self._within(t.min(initial=math.inf), t.max(initial=-math.inf)):
            value += term._value(t)
        return value

    def _edges(self, start: float, stop: float) -> FloatArray:
        edges, count = [np.empty(0)], 0
        for term in self._within(start, stop):
            edges.append(term._edges(start, stop))
            count += len(edges[-1])
            if count > MAX_EDGES:
                raise StimulusError(
                    f"terms make more than {MAX_EDGES} edges from {start!r} to {stop!r} ms; "
                    "write fewer trains, or longer intervals"
                )
        return np.concatenate(edges)

    def _mapped(self, delay: float, factor: float) -> Waveform:
        return Sum(tuple(term._mapped(delay, factor) for term in self.terms))

    def _recipe(self) -> tuple[str, dict[str, Any]]:
        return "sum_of", {"terms": self.terms}

    def __repr__(self) -> str:
        shown = [repr(term) for term in self.terms[:4]]
        more = len(self.terms) - len(shown)
        return " + ".join(shown + [f"<{more} more>"] * (more > 0))

    def _had_units(self) -> set[bool]:
        return {had for term in self.terms for had in term._had_units()}

    def _as_plain(self, divisor: float) -> Waveform:
        return Sum(tuple(term._as_plain(divisor) for term in self.terms))

    def _depth(self) -> int:
        return 1 + max(term._depth() for term in self.terms)


def shortest_period(waveforms: Iterable[Waveform]) -> float:
    """The period of all of them together, ms; a bound from below."""
    each = [(waveform.span()[0], waveform.period) for waveform in waveforms]
    together = in_which_three(distinct(np.array([start for start, _ in each])))
    return min([together, *(period for _, period in each)])


def in_which_three(times: FloatArray) -> float:
    """The shortest time in which three of these come, ms; they ascend."""
    return float((times[2:] - times[:-2]).min(initial=math.inf))


def _check_range(amplitude: float, start: float) -> None:
    """Refuse what delays and factors carried too far."""
    if not abs(amplitude) <= MAX_AMPLITUDE:
        raise StimulusError(
            f"amplitude = {amplitude!r} is beyond {MAX_AMPLITUDE:g}; write a number in nA"
        )
    if not abs(start) <= MAX_TIME:
        raise StimulusError(f"start = {start!r} is beyond {MAX_TIME:g} ms; write a number in ms")


def _check_depth(waveform: Waveform) -> None:
    if waveform._depth() > MAX_DEPTH:
        raise StimulusError(
            f"waveform holds more than {MAX_DEPTH} waveforms within each other; write a flat sum"
        )


def _plain(value: Any) -> Any:
    """`value` in JSON's types."""
    if isinstance(value, Waveform):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
