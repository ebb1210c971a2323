"""Membrane biophysics: gates, channels, membranes. Shape and stimulation know nothing of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from axon.errors import MembraneError, NoRestError
from axon.units import quantity

Rate = Callable[..., Any]
"""A rate function: NumPy arithmetic on ``v`` (mV), and on ``celsius`` if it names it."""

Profile = float | Sequence[float] | np.ndarray | Callable[[np.ndarray], Any]
"""A number, one value per compartment, or a function of position (µm)."""

REST_RANGE = (-150.0, 100.0)
"""Where a resting potential is looked for, mV."""


def resolve(profile: Profile, x: np.ndarray, name: str) -> np.ndarray:
    """Values of a parameter at the compartments' centres `x`, µm.

    Returns
    -------
    array
        One value if the parameter is uniform, else one per compartment.
    """
    try:
        value = profile(x) if callable(profile) else profile
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MembraneError(f"{name} could not be computed along the axon: {error}") from error
    if callable(profile):
        array = np.broadcast_to(array, x.shape).copy() if array.ndim == 0 else array
    if array.ndim > 1 or (array.ndim == 1 and array.size != x.size):
        raise MembraneError(
            f"{name} has shape {array.shape}; give a number, one value for each of the "
            f"{x.size} compartments, or a function of position in µm"
        )
    if not np.all(np.isfinite(array)):
        raise MembraneError(f"{name} is not finite: {array[~np.isfinite(array)].flat[0]}")
    if array.ndim == 1 and np.all(array == array[0]):
        array = array[0]
    return np.atleast_1d(array)


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise MembraneError(f"{what} name {name!r}: a name is letters, digits and underscores")


def _all_are(items: object, kind: type) -> bool:
    return isinstance(items, Sequence) and all(isinstance(item, kind) for item in items)


def _check_rate(function: object, gate: str, role: str) -> None:
    if not callable(function):
        raise MembraneError(f"gate {gate!r}: {role}={function!r} is no function of v")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return  # a built-in or ufunc: takes v
    names = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if not names or any(name != "celsius" for name in names[1:]):
        raise MembraneError(
            f"gate {gate!r}: {role} takes ({', '.join(names)}); a rate function takes v and, "
            "if it needs it, celsius"
        )


def call_rate(function: Rate, v: Any, celsius: Any) -> Any:
    """Evaluate a rate function, handing it the temperature if it asks."""
    try:
        wants = "celsius" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        wants = False
    return function(v, celsius=celsius) if wants else function(v)


@dataclass(frozen=True)
class Gate:
    """A gating variable, dx/dt = alpha (1 - x) - beta x = (inf - x) / tau.

    Parameters
    ----------
    name : str
        Unique within its channel.
    power : int, optional
        Exponent in the channel's conductance, 1 to 8.
    alpha, beta : callable, optional
        Opening and closing rates, 1/ms, functions of ``v`` in mV.
    inf, tau : callable, optional
        Instead of them: steady state, and time constant in ms.
    q10 : float, optional
        Factor by which the rates grow for every 10 °C.
    celsius : float, optional
        Temperature for which the rates are written, °C.

    Notes
    -----
    Rate functions are plain NumPy, called once with an array of potentials when a
    simulation is built. Points such as v / (1 - exp(-v)) at zero take their limit.
    """

    name: str
    power: int = 1
    alpha: Rate | None = field(default=None, repr=False)
    beta: Rate | None = field(default=None, repr=False)
    inf: Rate | None = field(default=None, repr=False)
    tau: Rate | None = field(default=None, repr=False)
    q10: float = 1.0
    celsius: float = 6.3

    def __post_init__(self) -> None:
        _check_name(self.name, "gate")
        if type(self.power) is not int or not 1 <= self.power <= 8:
            raise MembraneError(
                f"gate {self.name!r}: power={self.power!r}; give a whole number from 1 to 8"
            )
        given = {
            role for role in ("alpha", "beta", "inf", "tau") if getattr(self, role) is not None
        }
        if given not in ({"alpha", "beta"}, {"inf", "tau"}):
            raise MembraneError(
                f"gate {self.name!r} has {sorted(given) or 'no rates'}; "
                "give alpha and beta, or inf and tau"
            )
        for role in given:
            _check_rate(getattr(self, role), self.name, role)
        object.__setattr__(
            self,
            "q10",
            quantity(self.q10, "", f"gate {self.name!r}: q10", error=MembraneError, positive=True),
        )
        object.__setattr__(
            self,
            "celsius",
            quantity(self.celsius, "degC", f"gate {self.name!r}: celsius", error=MembraneError),
        )

    def kinetics(self, v: Any, celsius: Any) -> tuple[Any, Any]:
        """Steady state and rate 1/tau (1/ms) at `v` (mV), as the functions are written.

        `v` and `celsius` may be numbers, arrays, or symbols that record expressions.
        """
        warmth = 1.0 if self.q10 == 1.0 else self.q10 ** ((celsius - self.celsius) / 10.0)
        try:
            if self.alpha is not None:
                opening = call_rate(self.alpha, v, celsius)
                rate = opening + call_rate(self.beta, v, celsius)  # type: ignore[arg-type]
                return opening / rate, rate * warmth
            inf = call_rate(self.inf, v, celsius)  # type: ignore[arg-type]
            return inf, warmth / call_rate(self.tau, v, celsius)  # type: ignore[arg-type]
        except MembraneError as error:
            raise MembraneError(f"gate {self.name!r}: {error}") from error
        except (TypeError, ValueError) as error:
            raise MembraneError(
                f"gate {self.name!r}: its rates could not be computed for many potentials at "
                f"once ({error}); use numpy.exp, not math.exp, and numpy.where, not if"
            ) from error

    def at(self, v: np.ndarray, celsius: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Steady state and rate 1/tau (1/ms) at `v` (mV), singular points by their limits."""
        v = np.asarray(v, dtype=np.float64)

        def values(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            points = points.view()
            points.flags.writeable = False  # a rate function may not change its argument
            both = self.kinetics(points, celsius)
            try:
                inf, rate = (np.broadcast_to(np.asarray(a, np.float64), v.shape) for a in both)
            except (TypeError, ValueError) as error:
                raise MembraneError(
                    f"gate {self.name!r}: its rates are no number for each potential: {error}"
                ) from error
            return inf.copy(), rate.copy()

        with np.errstate(all="ignore"):
            inf, rate = values(v)
            bad = ~(np.isfinite(inf) & np.isfinite(rate))
            if bad.any():
                # A removable singularity: the mean of both sides is off by its curvature, 1e-9.
                below, above = values(v - 1e-4), values(v + 1e-4)
                inf[bad] = 0.5 * (below[0] + above[0])[bad]
                rate[bad] = 0.5 * (below[1] + above[1])[bad]
        bad = ~(np.isfinite(inf) & np.isfinite(rate) & (rate >= 0.0))
        if bad.any():
            where = np.argmax(bad)
            raise MembraneError(
                f"gate {self.name!r} at v = {v.flat[where]:g} mV: steady state "
                f"{inf.flat[where]:g}, rate {rate.flat[where]:g}/ms; both must be finite and "
                "the rate not negative"
            )
        return inf, rate


@dataclass(frozen=True)
class Channel:
    """An ohmic conductance, i = gbar * prod(gate^power) * (v - reversal).

    Parameters
    ----------
    name : str
        Unique within its membrane; `Membrane.scaled` knows it by this name.
    gbar : float, array or callable
        Maximal conductance, S/cm²: a number, one value per compartment, or a function
        of position in µm.
    reversal : float, array or callable
        Reversal potential, mV.
    gates : sequence of Gate, optional
        None for a leak.
    ion : str, optional
        The ion that carries the current.
    """

    name: str
    gbar: Profile
    reversal: Profile
    gates: Sequence[Gate] = ()
    ion: str | None = None
    scales: tuple[Profile, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name, "channel")
        if self.ion is not None:
            _check_name(self.ion, "ion")
        if not _all_are(self.gates, Gate):
            raise MembraneError(
                f"channel {self.name!r}: gates={self.gates!r}; give a sequence of Gate"
            )
        gates = tuple(self.gates)
        names = [gate.name for gate in gates]
        if len(set(names)) < len(names):
            raise MembraneError(f"channel {self.name!r} names a gate twice: {', '.join(names)}")
        object.__setattr__(self, "gates", gates)
        for name, unit in (("gbar", "S/cm^2"), ("reversal", "mV")):
            value = getattr(self, name)
            if isinstance(value, (int, float, str)) or hasattr(value, "magnitude"):
                value = quantity(
                    value,
                    unit,
                    f"channel {self.name!r}: {name}",
                    error=MembraneError,
                    minimum=0.0 if name == "gbar" else None,
                )
                object.__setattr__(self, name, value)
            elif value is None:
                raise MembraneError(f"channel {self.name!r}: {name} is missing")

    def conductance(self, x: np.ndarray) -> np.ndarray:
        """Maximal conductance along the axon, S/cm²; one value if uniform."""
        value = resolve(self.gbar, x, f"channel {self.name!r}: gbar")
        for scale in self.scales:
            value = value * resolve(scale, x, f"scale of channel {self.name!r}")
        if np.any(value < 0.0):
            raise MembraneError(
                f"channel {self.name!r}: gbar = {value.min():g} S/cm² is negative; "
                "a conductance is zero or more"
            )
        return value


@dataclass(frozen=True)
class Rest:
    """A membrane's resting state: `v` in mV, and each gate's value by (channel, gate)."""

    v: float
    gates: dict[tuple[str, str], float]


@dataclass(frozen=True)
class Membrane:
    """The channels that an axon's membrane is made of.

    Parameters
    ----------
    channels : sequence of Channel
    celsius : float, optional
        Temperature that the model is meant for, °C; a simulation may ask for another.
    name, reference : str, optional
        What it is called, and where it was published.
    """

    channels: Sequence[Channel]
    celsius: float = 6.3
    name: str = ""
    reference: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _all_are(self.channels, Channel) or not self.channels:
            raise MembraneError(
                f"channels={self.channels!r}: give a sequence of one or more Channel"
            )
        channels = tuple(self.channels)
        names = [channel.name for channel in channels]
        if len(set(names)) < len(names):
            raise MembraneError(f"two channels have one name: {', '.join(names)}")
        object.__setattr__(self, "channels", channels)
        celsius = quantity(self.celsius, "degC", "celsius", error=MembraneError)
        object.__setattr__(self, "celsius", celsius)

    def scaled(self, **factors: Profile) -> Membrane:
        """The same membrane with conductances multiplied, by channel name.

        Parameters
        ----------
        **factors : float, array or callable
            ``na=0.5`` halves the conductance of channel ``na``; an array (one value per
            compartment) or a function of position (µm) does it along the axon.
        """
        names = [channel.name for channel in self.channels]
        for name, factor in factors.items():
            if name not in names:
                raise MembraneError(
                    f"scaled({name}=...): no such channel; there are {', '.join(names)}"
                )
            if isinstance(factor, (bool, str)) or (
                isinstance(factor, (int, float)) and not (np.isfinite(factor) and factor >= 0)
            ):
                raise MembraneError(f"scaled({name}={factor!r}): give a factor of zero or more")
        channels = tuple(
            replace(channel, scales=(*channel.scales, factors[channel.name]))
            if channel.name in factors
            else channel
            for channel in self.channels
        )
        return replace(self, channels=channels)

    @property
    def gates(self) -> list[tuple[Channel, Gate]]:
        """Every gate with its channel, in the order of the state."""
        return [(channel, gate) for channel in self.channels for gate in channel.gates]

    def uniform(self, x: np.ndarray) -> Membrane:
        """The same membrane with every parameter a number, if all are uniform along `x` (µm).

        Raises
        ------
        MembraneError
            If one varies.
        """

        def number(values: np.ndarray, name: str) -> float:
            if values.size > 1:
                raise MembraneError(f"{name} varies along the axon")
            return float(values[0])

        channels = []
        for channel in self.channels:
            what = f"channel {channel.name!r}: "
            reversal = resolve(channel.reversal, x, what + "reversal")
            channels.append(
                replace(
                    channel,
                    gbar=number(channel.conductance(x), what + "gbar"),
                    reversal=number(reversal, what + "reversal"),
                    scales=(),
                )
            )
        return replace(self, channels=tuple(channels))

    def steady_current(
        self, v: np.ndarray, celsius: float | np.ndarray, x: np.ndarray | None = None
    ) -> np.ndarray:
        """Ionic current density with all gates at their steady state, mA/cm².

        Parameters
        ----------
        v : array
            Potential, mV; one per compartment if `x` is given.
        x : array, optional
            Positions (µm), for parameters that vary along the axon.
        """
        v = np.asarray(v, dtype=np.float64)
        x = np.zeros(1) if x is None else x
        current = np.zeros_like(v)
        for channel in self.channels:
            g = np.broadcast_to(channel.conductance(x), v.shape).copy()
            for gate in channel.gates:
                g *= gate.at(v, celsius)[0] ** gate.power
            current += g * (v - resolve(channel.reversal, x, f"{channel.name!r}: reversal"))
        return current

    def rest(self, celsius: float | None = None) -> Rest:
        """The resting state of a patch of this membrane.

        The potential at which the steady-state current vanishes with rising slope, so
        that a small departure is pulled back; the most negative one if there are several.

        Raises
        ------
        NoRestError
            If there is none between -150 and 100 mV.
        """
        warmth = self.celsius if celsius is None else celsius
        v = np.linspace(*REST_RANGE, 2501)
        current = self.steady_current(v, warmth)
        rising = np.flatnonzero((current[:-1] <= 0.0) & (current[1:] > 0.0))
        if rising.size == 0:
            raise NoRestError(
                f"this membrane has no resting potential between {REST_RANGE[0]:g} and "
                f"{REST_RANGE[1]:g} mV: its steady current nowhere rises through zero; "
                "give v_init"
            )
        low, high = v[rising[0]], v[rising[0] + 1]
        while True:  # bisection to the last bit
            middle = 0.5 * (low + high)
            if middle in (low, high):
                break
            if self.steady_current(np.array([middle]), warmth)[0] <= 0.0:
                low = middle
            else:
                high = middle
        gates = {
            (channel.name, gate.name): float(gate.at(np.array([low]), warmth)[0][0])
            for channel, gate in self.gates
        }
        return Rest(float(low), gates)

    def to_dict(self) -> dict[str, Any]:
        """What a run file says of the membrane: names, constants and sources, no code."""

        def shown(profile: Profile) -> Any:
            if callable(profile):
                return f"function {getattr(profile, '__name__', 'of position')}"
            return np.asarray(profile, dtype=np.float64).tolist()

        return {
            "name": self.name,
            "reference": self.reference,
            "celsius": self.celsius,
            "channels": [
                {
                    "name": channel.name,
                    "ion": channel.ion,
                    "gbar": shown(channel.gbar),
                    "reversal": shown(channel.reversal),
                    "scales": [shown(scale) for scale in channel.scales],
                    "gates": [
                        {"name": g.name, "power": g.power, "q10": g.q10, "celsius": g.celsius}
                        for g in channel.gates
                    ],
                }
                for channel in self.channels
            ],
        }
