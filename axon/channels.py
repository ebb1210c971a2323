"""Gates, channels and pumps: what carries current through a membrane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from axon._kernel import MAX_POWER
from axon.errors import MembraneError
from axon.rates import (
    Profile,
    Quantities,
    Rate,
    all_are,
    arguments,
    call,
    check_function,
    check_name,
    in_words,
    resolve,
    warmth,
)
from axon.records import Value
from axon.units import is_whole, quantity


def _by_limits(
    values: Callable[[np.ndarray], np.ndarray],
    sane: Callable[[np.ndarray], np.ndarray],
    v: np.ndarray,
) -> np.ndarray:
    """Values at `v`; where they aren't sane, the limit of both sides, such as 0/0 has.

    Two means of both sides, one of them twice as far away: their curvature cancels (Richardson).
    Where these meet another such point, they are taken from elsewhere.
    """
    with np.errstate(all="ignore"):
        found = values(v)
        for h in (0.01, 0.013):
            bad = ~sane(found)
            if not bad.any():
                break
            near, far = (0.5 * (values(v - d) + values(v + d)) for d in (h, 2 * h))
            # Infinite ones are equal, and have no difference.
            found[bad] = np.where(near == far, near, near + (near - far) / 3.0)[bad]
    return found


def _read_only(points: np.ndarray) -> np.ndarray:
    """The same points, which a rate function may not change."""
    points = points.view()
    points.flags.writeable = False
    return points


def _set_power(self: Any, what: str) -> None:
    power = self.power
    if not is_whole(power) or not 1 <= power <= MAX_POWER:
        raise MembraneError(f"{what}power={power!r}; give a whole number from 1 to {MAX_POWER}")
    object.__setattr__(self, "power", int(power))


def _set_temperature(self: Any, what: str) -> None:
    """Check q10 and celsius of a gate, scheme or channel."""
    for name, unit in (("q10", ""), ("celsius", "degC")):
        value = quantity(
            getattr(self, name), unit, what + name, error=MembraneError, positive=name == "q10"
        )
        object.__setattr__(self, name, value)


class Gate(Value):
    """A gating variable, dx/dt = alpha (1 - x) - beta x = (inf - x) / tau.

    Parameters
    ----------
    name : str
        Unique within its channel.
    power : int, optional
        Exponent in the channel's conductance, 1 to 8.
    alpha, beta : callable, optional
        Opening and closing rates, 1/ms.
    inf, tau : callable, optional
        Instead of them: steady state, and time constant in ms. Without `tau` the gate is
        instantaneous, always at its steady state.
    q10 : float, optional
        Factor by which the rates grow for every 10 °C.
    celsius : float, optional
        Temperature for which the rates are written, °C.
    tau_min : float or quantity, optional
        Lower bound of the time constant, ms, at every temperature.

    Notes
    -----
    Functions are plain NumPy and take their arguments by name: ``v`` (mV), and if they need
    them ``celsius`` (°C), concentrations such as ``cai`` (mM) and reversal potentials such as
    ``eca`` (mV). They are called when a simulation is built, never while it runs. Points such
    as v / (1 - exp(-v)) at zero take their limit.
    """

    name: str
    power: int = 1
    alpha: Rate | None = field(default=None, repr=False)
    beta: Rate | None = field(default=None, repr=False)
    inf: Rate | None = field(default=None, repr=False)
    tau: Rate | None = field(default=None, repr=False)
    q10: float = 1.0
    celsius: float = 6.3
    tau_min: float = 0.0

    def __post_init__(self) -> None:
        check_name(self.name, "gate")
        what = f"gate {self.name!r}: "
        _set_power(self, what)
        given = set(self.functions)
        if given not in ({"alpha", "beta"}, {"inf", "tau"}, {"inf"}):
            raise MembraneError(
                f"gate {self.name!r} has {sorted(given) or 'no rates'}; "
                "give alpha and beta, or inf and tau, or inf alone if it is instantaneous"
            )
        for role, function in self.functions.items():
            check_function(function, what + role)
        _set_temperature(self, what)
        value = quantity(self.tau_min, "ms", what + "tau_min", error=MembraneError, minimum=0.0)
        object.__setattr__(self, "tau_min", value)

    @property
    def functions(self) -> dict[str, Rate]:
        """The functions given, by role."""
        roles = {role: getattr(self, role) for role in ("alpha", "beta", "inf", "tau")}
        return {role: function for role, function in roles.items() if function is not None}

    @property
    def instantaneous(self) -> bool:
        """Whether it is always at its steady state."""
        return self.alpha is None and self.tau is None

    @property
    def depends_on(self) -> set[str]:
        """Names of the quantities that its rates ask for."""
        names = {name for function in self.functions.values() for name in arguments(function)}
        return names | ({"celsius"} if self.q10 != 1.0 else set())

    def kinetics(self, quantities: Quantities) -> tuple[Any, Any]:
        """Steady state and rate 1/tau (1/ms), as the functions are written.

        Quantities may be numbers, arrays, or symbols that record expressions. The rate of an
        instantaneous gate is infinite.
        """
        with in_words(f"gate {self.name!r}", "its rates"):
            faster = warmth(self.q10, quantities["celsius"], self.celsius)
            if self.alpha is not None:
                opening = call(self.alpha, quantities)
                rate = opening + call(self.beta, quantities)  # type: ignore[arg-type]
                inf, rate = opening / rate, rate * faster
            else:
                inf = call(self.inf, quantities)  # type: ignore[arg-type]
                rate = np.inf if self.tau is None else faster / call(self.tau, quantities)
            if self.tau_min > 0.0 and not self.instantaneous:
                rate = np.minimum(rate, 1.0 / self.tau_min)
            return inf, rate

    def steady(self, quantities: Quantities) -> np.ndarray:
        """Steady state alone, in less time where its function tells it without the rate."""
        if self.inf is None or self.tau is None:
            return self.at(quantities)[0]
        v = np.asarray(quantities["v"], dtype=np.float64)

        def values(points: np.ndarray) -> np.ndarray:
            with in_words(f"gate {self.name!r}", "its rates"):
                inf = call(self.inf, {**quantities, "v": _read_only(points)})  # type: ignore[arg-type]
            return self._arrays([inf], v.shape)

        (inf,) = _by_limits(values, np.isfinite, v)
        return inf if np.isfinite(inf).all() else self.at(quantities)[0]  # which says where

    def _arrays(self, values: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
        found = np.empty((len(values), *shape))
        try:
            for row, value in zip(found, values, strict=True):
                row[...] = value
            return found
        except (TypeError, ValueError) as error:
            raise MembraneError(
                f"gate {self.name!r}: its rates are no number for each potential: {error}"
            ) from error

    def at(self, quantities: Quantities) -> tuple[np.ndarray, np.ndarray]:
        """Steady state and rate 1/tau (1/ms) of arrays, singular points in v by their limits."""
        v = np.asarray(quantities["v"], dtype=np.float64)

        def values(points: np.ndarray) -> np.ndarray:
            return self._arrays(self.kinetics({**quantities, "v": _read_only(points)}), v.shape)

        def sane(both: np.ndarray) -> np.ndarray:
            finite = np.isfinite(both[0]) & (self.instantaneous | np.isfinite(both[1]))
            return np.broadcast_to(finite, both.shape)

        both = _by_limits(values, sane, v)
        inf, rate = both
        bad = ~(sane(both)[0] & (rate >= 0.0))
        if bad.any():
            where = np.argmax(bad)
            raise MembraneError(
                f"gate {self.name!r} at v = {v.flat[where]:g} mV: steady state "
                f"{inf.flat[where]:g}, rate {rate.flat[where]:g}/ms; both must be finite and "
                "the rate not negative"
            )
        return inf, rate


class Markov(Value):
    """A scheme of states with rates between them; their occupancies add up to 1.

    Parameters
    ----------
    name : str
        Unique within its channel, among its gates.
    rates : mapping of (str, str) to callable
        Rate from the first state to the second, 1/ms, functions as those of a gate.
    open : str or mapping of str to float
        The open state, or how far each state is open.
    power : int, optional
        Exponent in the channel's conductance.
    q10, celsius : float, optional
        As a gate's.
    """

    name: str
    rates: Mapping[tuple[str, str], Rate] = field(repr=False)
    open: str | Mapping[str, float]
    power: int = 1
    q10: float = 1.0
    celsius: float = 6.3

    def __post_init__(self) -> None:
        check_name(self.name, "scheme")
        what = f"scheme {self.name!r}: "
        _set_power(self, what)
        if not isinstance(self.rates, Mapping) or not self.rates:
            raise MembraneError(f"{what}rates={self.rates!r}; give {{(from, to): function}}")
        for pair, function in self.rates.items():
            if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] == pair[1]:
                raise MembraneError(f"{what}{pair!r} is no pair of states")
            for state in pair:
                check_name(state, "state")
            check_function(function, f"{what}the rate {pair[0]} to {pair[1]}")
        conducting = {self.open: 1.0} if isinstance(self.open, str) else dict(self.open)
        if not conducting:
            raise MembraneError(f"{what}open={{}}; give a state in which it conducts, or several")
        for state, weight in conducting.items():
            if state not in self.states:
                raise MembraneError(
                    f"{what}open={state!r} is none of its states {', '.join(self.states)}"
                )
            conducting[state] = quantity(weight, "", what + "open", error=MembraneError)
        object.__setattr__(self, "open", conducting)
        object.__setattr__(self, "rates", dict(self.rates))
        _set_temperature(self, what)

    @property
    def states(self) -> tuple[str, ...]:
        """The states, in the order in which the rates name them."""
        return tuple(dict.fromkeys(state for pair in self.rates for state in pair))

    @property
    def depends_on(self) -> set[str]:
        """Names of the quantities that its rates ask for."""
        names = {name for function in self.rates.values() for name in arguments(function)}
        return names | ({"celsius"} if self.q10 != 1.0 else set())

    def matrix(self, quantities: Quantities) -> list[list[Any]]:
        """A of dp/dt = A p, 1/ms, as nested lists; 0.0 where there is no rate."""
        states = self.states
        a: list[list[Any]] = [[0.0] * len(states) for _ in states]
        with in_words(f"scheme {self.name!r}", "its rates"):
            faster = warmth(self.q10, quantities["celsius"], self.celsius)
            for (start, end), function in self.rates.items():
                i, j = states.index(start), states.index(end)
                rate = call(function, quantities) * faster
                a[j][i] = a[j][i] + rate
                a[i][i] = a[i][i] - rate
        return a

    def numbers(self, quantities: Quantities) -> np.ndarray:
        """`matrix` for arrays, (*shape of v, states, states), singular points by their limits.

        Raises
        ------
        MembraneError
            If a rate is not finite, or negative.
        """
        v = np.asarray(quantities["v"], dtype=np.float64)
        n = len(self.states)

        def values(points: np.ndarray) -> np.ndarray:
            a = np.empty((*v.shape, n, n))
            for i, row in enumerate(self.matrix({**quantities, "v": _read_only(points)})):
                for j, value in enumerate(row):
                    a[..., i, j] = value
            return a

        a = _by_limits(values, np.isfinite, v)
        finite, apart = np.isfinite(a), ~np.eye(n, dtype=bool)
        for wrong, what in ((~finite, "not finite"), ((a < 0.0) & apart, "negative")):
            where = wrong.any(axis=(-2, -1))
            if where.any():
                at = v.flat[np.argmax(where)]
                raise MembraneError(f"scheme {self.name!r} at v = {at:g} mV: a rate is {what}")
        return a

    def at(self, quantities: Quantities) -> np.ndarray:
        """Steady occupancies for arrays of quantities, (states, *shape of v)."""
        v = np.asarray(quantities["v"], dtype=np.float64)
        n = len(self.states)
        a = self.numbers(quantities)
        p = _steady_occupancies(np.swapaxes(a, -1, -2))
        if p is not None:
            return p
        # From some state there is no way back to the first: solve for the others, less exactly.
        a[..., -1, :] = 1.0  # in place of one equation, which the others imply: the sum
        right = np.zeros((*v.shape, n, 1))
        right[..., -1, 0] = 1.0
        try:
            found = np.moveaxis(np.linalg.solve(a, right)[..., 0], -1, 0)
            return np.asarray(found / found.sum(axis=0))
        except np.linalg.LinAlgError as error:
            raise MembraneError(
                f"scheme {self.name!r} has no single steady state: some states are never left "
                "or never reached"
            ) from error

    def conducting(self, occupancies: Sequence[Any]) -> Any:
        """How far it is open."""
        total: Any = 0.0
        for state, occupancy in zip(self.states, occupancies, strict=True):
            weight = self.open.get(state, 0.0)  # type: ignore[union-attr]
            if weight:
                total = total + weight * occupancy
        return total


def _steady_occupancies(q: np.ndarray) -> np.ndarray | None:
    """Occupancies (states, ...) that rates q[..., from, to] leave as they are; None if unsure.

    States are taken out one by one, without a subtraction, so each occupancy is right to
    round-off however far rates are apart: W. K. Grassmann, M. I. Taksar, D. P. Heyman, Oper.
    Res. 33, 1107-1116 (1985), doi:10.1287/opre.33.5.1107.
    """
    q, n = q.copy(), q.shape[-1]
    for k in range(n - 1, 0, -1):
        left = q[..., k, :k].sum(axis=-1)
        if not np.all(left > 0.0):
            return None
        q[..., :k, k] /= left[..., None]
        q[..., :k, :k] += q[..., :k, k, None] * q[..., k, None, :k]
    p = [np.ones(q.shape[:-2])]
    for k in range(1, n):
        p.append(sum((p[i] * q[..., i, k] for i in range(k)), np.zeros(q.shape[:-2])))
    found = np.stack(p)
    return np.asarray(found / found.sum(axis=0))


class Channel(Value):
    """A conductance that gates open, i = gbar * open * (v - reversal).

    Parameters
    ----------
    name : str
        Unique within its membrane; `Membrane.scaled` knows it by this name.
    gbar : float, array or callable
        Maximal conductance, S/cm²: a number, one value per compartment, or a function
        of position in µm.
    reversal : float, array or callable, optional
        Reversal potential, mV. If not given, that of the channel's ion.
    gates : sequence of Gate or Markov, optional
        None for a leak.
    ion : str or mapping, optional
        The ion that carries the current, by the name it has in the membrane. Or several:
        ``{"na": 0.5, "k": 0.5}`` gives each a share of the conductance, with its own reversal
        potential; functions in place of the shares give the current of each (mA/cm²) from the
        open conductance ``g`` and named quantities: ``{"ca": lambda g, v, cai, cao, celsius:
        g * axon.ghk(v, cai, cao, 2, celsius)}``.
    open : callable, optional
        How far the channel is open, a function of its gates by name (and of quantities). If
        not given, the product of all gates, each to its power.
    q10, celsius : float, optional
        Factor by which the conductance grows for every 10 °C, and the temperature that `gbar`
        is given for.
    """

    name: str
    gbar: Profile
    reversal: Profile | None = None
    gates: Sequence[Gate | Markov] = ()
    ion: str | Mapping[str, float | Rate] | None = None
    open: Rate | None = field(default=None, repr=False)
    q10: float = 1.0
    celsius: float = 6.3
    scales: tuple[Profile, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "channel")
        what = f"channel {self.name!r}: "
        if self.ion is not None:
            several = isinstance(self.ion, Mapping)
            if several and not self.ion:
                raise MembraneError(f"{what}ion names none; give None if no ion carries it")
            for ion in self.ion if several else (self.ion,):
                check_name(ion, "ion")
        if isinstance(self.ion, Mapping):
            if self.reversal is not None:
                raise MembraneError(f"{what}several ions have their own reversal potentials")
            shares = {
                ion: share
                if callable(share)
                else quantity(share, "", f"{what}share of {ion}", error=MembraneError)
                for ion, share in self.ion.items()
            }
            object.__setattr__(self, "ion", shares)
        elif self.reversal is None and self.ion is None:
            raise MembraneError(f"{what}reversal is missing; give it in mV, or the ion")
        if not all_are(self.gates, (Gate, Markov)):
            raise MembraneError(f"{what}gates={self.gates!r}; give a sequence of Gate or Markov")
        gates = tuple(self.gates)
        names = [gate.name for gate in gates]
        if len(set(names)) < len(names):
            raise MembraneError(f"channel {self.name!r} names a gate twice: {', '.join(names)}")
        object.__setattr__(self, "gates", gates)
        if self.open is not None:
            check_function(self.open, what + "open")
        _set_temperature(self, what)
        for name, unit in (("gbar", "S/cm^2"), ("reversal", "mV")):
            value = getattr(self, name)
            if isinstance(value, (int, float, str)) or hasattr(value, "magnitude"):
                minimum = 0.0 if name == "gbar" else None
                value = quantity(value, unit, what + name, error=MembraneError, minimum=minimum)
                object.__setattr__(self, name, value)
            elif value is None and name == "gbar":
                raise MembraneError(f"{what}gbar is missing")

    @property
    def carriers(self) -> tuple[str | None, ...]:
        """The ions that carry its current; None for no particular one."""
        return tuple(self.ion) if isinstance(self.ion, Mapping) else (self.ion,)

    @property
    def ohmic(self) -> bool:
        """Whether it has one conductance and one reversal potential of its own or its ion's."""
        return not isinstance(self.ion, Mapping)

    def conductance(self, x: np.ndarray, celsius: np.ndarray | float) -> np.ndarray:
        """Maximal conductance along the axon, S/cm²; one value if uniform."""
        value = resolve(self.gbar, x, f"channel {self.name!r}: gbar")
        for scale in self.scales:
            value = value * resolve(scale, x, f"scale of channel {self.name!r}")
        if np.any(value < 0.0):
            raise MembraneError(
                f"channel {self.name!r}: gbar = {value.min():g} S/cm² is negative; "
                "a conductance is zero or more"
            )
        return np.atleast_1d(value * warmth(self.q10, celsius, self.celsius))

    def opening(self, gates: Mapping[str, Any], quantities: Quantities) -> Any:
        """How far it is open, from the values of its gates (a scheme's: how far that is open)."""
        if self.open is not None:
            with in_words(f"channel {self.name!r}", "open"):
                return call(self.open, {**quantities, **gates})
        product: Any = 1.0
        for gate in self.gates:
            for _ in range(gate.power):
                product = product * gates[gate.name]
        return product

    def currents(self, g: Any, reversal: Any, quantities: Quantities) -> dict[str | None, Any]:
        """Current of each ion, mA/cm², from the open conductance.

        Parameters
        ----------
        g : number, array or symbol
            S/cm².
        reversal : number, array or symbol
            mV; None if the ion's is meant.
        """
        v = quantities["v"]
        if not isinstance(self.ion, Mapping):
            e = quantities[f"e{self.ion}"] if reversal is None else reversal
            return {self.ion: g * (v - e)}
        currents: dict[str | None, Any] = {}
        for ion, share in self.ion.items():
            with in_words(f"channel {self.name!r}", f"the current of {ion}"):
                if callable(share):
                    currents[ion] = call(share, {**quantities, "g": g})
                else:
                    currents[ion] = share * g * (v - quantities[f"e{ion}"])
        return currents


class Pump(Value):
    """A current that is given outright: of a pump, an exchanger, or a constant one.

    Parameters
    ----------
    name : str
        Unique within its membrane, among channels too.
    current : callable
        mA/cm², a function of named quantities: ``lambda nai, ko: ...``.
    carries : mapping of str to float
        Multiple of `current` that each ion carries, outward positive: 3 sodium out for 2
        potassium in are ``{"na": 3, "k": -2}``. Their sum is the current of the membrane.
    density : float, array or callable, optional
        Factor: a number, one value per compartment, or a function of position in µm (on a tree the
        distance from the root).
    """

    name: str
    current: Rate = field(repr=False)
    carries: Mapping[str, float]
    density: Profile = 1.0
    scales: tuple[Profile, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "pump")
        what = f"pump {self.name!r}: "
        check_function(self.current, what + "current")
        if not isinstance(self.carries, Mapping) or not self.carries:
            raise MembraneError(
                f'{what}carries={self.carries!r}; give {{"na": 3, "k": -2}}, say, '
                "for 3 sodium out and 2 potassium in"
            )
        carries = {}
        for ion, multiple in self.carries.items():
            check_name(ion, "ion")
            carries[ion] = quantity(multiple, "", f"{what}carries {ion}", error=MembraneError)
        object.__setattr__(self, "carries", carries)

    @property
    def carriers(self) -> tuple[str, ...]:
        """The ions that carry its current."""
        return tuple(self.carries)

    def factor(self, x: np.ndarray) -> np.ndarray:
        """Density times scales along the axon; one value if uniform."""
        value = resolve(self.density, x, f"pump {self.name!r}: density")
        for scale in self.scales:
            value = value * resolve(scale, x, f"scale of pump {self.name!r}")
        return np.atleast_1d(value)

    def currents(self, factor: Any, quantities: Quantities) -> dict[str | None, Any]:
        """Current of each ion, mA/cm²."""
        with in_words(f"pump {self.name!r}", "its current"):
            whole = factor * call(self.current, quantities)
        return {ion: multiple * whole for ion, multiple in self.carries.items()}
