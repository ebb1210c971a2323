"""Membranes: channels, pumps, ions and pools together, and where they rest."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from axon.channels import Channel, Gate, Markov, Pump
from axon.errors import MembraneError
from axon.ions import Ion, Pool
from axon.rates import Profile, all_are, arguments, check_arguments, likeness, resolve
from axon.records import Value
from axon.rest import Rest, find_rest
from axon.units import QuantityLike, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from axon.description import Description

T = TypeVar("T")

_MOST_KNOWN = {"program": 16}
"""What a membrane remembers of a kind, which may be large; of others `_MOST_OTHERS`."""
_MOST_OTHERS = 256

Currents = dict[str | None, Any]
"""mA/cm² by the ion that carries it; None for no particular one."""


class Membrane(Value):
    """What an axon's membrane is made of.

    Parameters
    ----------
    channels : sequence of Channel
    celsius : float, optional
        Temperature that the model is meant for, °C; a simulation may ask for another.
    name, reference : str, optional
        What it is called, and where it was published.
    ions : sequence of Ion, optional
    pools : sequence of Pool, optional
        Where concentrations move.
    pumps : sequence of Pump, optional
    Ra, cm, v_init : float, optional
        Axial resistivity (Ω·cm), capacitance (µF/cm²) and initial potential (mV) that the
        model was published with. They are for you to hand to an `Axon` and a `Simulation`.
    """

    channels: Sequence[Channel]
    celsius: float = 6.3
    name: str = ""
    reference: str = field(default="", repr=False)
    ions: Sequence[Ion] = ()
    pools: Sequence[Pool] = ()
    pumps: Sequence[Pump] = ()
    Ra: float | None = None
    cm: float | None = None
    v_init: float | None = None
    _known: _Memory = field(
        default_factory=lambda: _Memory(), repr=False, compare=False, kw_only=True
    )
    """What `once` has found out; copies that differ in conductances only share it."""

    def __post_init__(self) -> None:
        if not all_are(self.channels, Channel) or not (self.channels or self.pumps):
            raise MembraneError(
                f"channels={self.channels!r}: give a sequence of one or more Channel"
            )
        for name, kind in (("ions", Ion), ("pools", Pool), ("pumps", Pump)):
            if not all_are(getattr(self, name), kind):
                raise MembraneError(
                    f"{name}={getattr(self, name)!r}: give a sequence of {kind.__name__}"
                )
        for name in ("channels", "ions", "pools", "pumps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for names, what in (
            ([m.name for m in self.mechanisms], "two channels have one name"),
            ([ion.name for ion in self.ions], "two ions have one name"),
            ([pool.concentration for pool in self.pools], "two pools move one concentration"),
        ):
            if len(set(names)) < len(names):
                raise MembraneError(f"{what}: {', '.join(names)}")
        celsius = quantity(self.celsius, "degC", "celsius", error=MembraneError)
        object.__setattr__(self, "celsius", celsius)
        for name, unit in (("Ra", "ohm*cm"), ("cm", "uF/cm^2"), ("v_init", "mV")):
            value = getattr(self, name)
            if value is not None:
                value = quantity(value, unit, name, error=MembraneError, positive=name != "v_init")
                object.__setattr__(self, name, value)
        self._check_names()

    def _check_names(self) -> None:
        """Refuse what asks for a quantity or an ion that there is not."""
        ions = {ion.name: ion for ion in self.ions}
        concentrations = [
            name
            for ion in self.ions
            for name, value in ((f"{ion.name}i", ion.inside), (f"{ion.name}o", ion.outside))
            if value is not None
        ]
        plain = ["v", "celsius", *concentrations]
        known = [*plain, *(f"e{ion}" for ion in ions)]
        states = [f"{channel.name}.{gate.name}" for channel, gate in self.gates]
        states += [f"{pool.concentration}.{b.name}" for pool in self.pools for b in pool.buffers]
        for names, others in ((known, "an ion"), (states, "a channel, a gate or a buffer")):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise MembraneError(f"there are two {twice!r}; give {others} another name")
        for ion in self.ions:
            if callable(ion.reversal):
                check_arguments(ion.reversal, plain, f"ion {ion.name!r}: reversal")
        for pool in self.pools:
            if pool.concentration not in concentrations:
                raise MembraneError(
                    f"pool {pool.concentration}: there is no ion {pool.ion!r} with a "
                    f"concentration {pool.side} to begin with; give "
                    f"ions=[Ion({pool.ion!r}, ..., {pool.side}=...)]"
                )
        for channel in self.channels:
            what = f"channel {channel.name!r}: "
            for gate in channel.gates:
                functions: Mapping[Any, Any] = (
                    gate.functions if isinstance(gate, Gate) else gate.rates
                )
                for role, function in functions.items():
                    check_arguments(function, known, f"gate {gate.name!r}: {role}")
            if channel.open is not None:
                gates = [gate.name for gate in channel.gates]
                check_arguments(channel.open, [*known, *gates], what + "open")
            if isinstance(channel.ion, Mapping):
                for ion_name, share in channel.ion.items():
                    if callable(share):
                        check_arguments(share, [*known, "g"], f"{what}ion {ion_name!r}")
            needs_ion = isinstance(channel.ion, Mapping) or channel.reversal is None
            for carrier in channel.carriers:
                if needs_ion and carrier not in ions:
                    raise MembraneError(
                        f"{what}there is no ion {carrier!r} in the membrane; give "
                        f"ions=[Ion({carrier!r}, ...)], or the channel a reversal"
                    )
        for pump in self.pumps:
            check_arguments(pump.current, known, f"pump {pump.name!r}: current")

    # ---- changed copies ------------------------------------------------------------------

    def scaled(self, **factors: Profile) -> Membrane:
        """The same membrane with conductances and pumps multiplied, by name.

        Parameters
        ----------
        **factors : float, array or callable
            ``na=0.5`` halves the conductance of channel ``na``, as a blocker does; an array
            (one value per compartment) or a function of position (µm) does it along the axon. On
            an axon that branches position is the distance from the root; for one branch alone
            write an array, such as ``numpy.where(tree.branch_of == 2, 0.5, 1.0)``.
        """
        names = [mechanism.name for mechanism in self.mechanisms]
        for name, factor in factors.items():
            if name not in names:
                raise MembraneError(
                    f"scaled({name}=...): no such channel; there are {', '.join(names)}"
                )
            if isinstance(factor, (bool, str)) or (
                isinstance(factor, (int, float)) and not 0 <= factor < np.inf
            ):
                raise MembraneError(f"scaled({name}={factor!r}): give a factor of zero or more")
        changed: dict[str, Any] = {
            m.name: replace(m, scales=(*m.scales, factors[m.name])) if m.name in factors else m
            for m in self.mechanisms
        }
        return replace(
            self,
            channels=tuple(changed[channel.name] for channel in self.channels),
            pumps=tuple(changed[pump.name] for pump in self.pumps),
        )

    def balanced(
        self, v: float, celsius: float | None = None, *, ions: Sequence[str] = ("na", "k")
    ) -> Membrane:
        """The same membrane, every ion's current balanced at a potential.

        To each of `ions` a leak is added that carries what is missing of its current at `v`,
        with gates at their steady state and concentrations as at the beginning. Where no leak
        can, since its conductance would be negative, a constant current is added instead.

        Parameters
        ----------
        v : float or quantity
            mV.
        celsius : float, optional
            Temperature of the balance, °C; the model's if not given.
        ions : sequence of str, optional

        Returns
        -------
        Membrane
            With channels ``leak_na`` or pumps ``pump_na``, and so on.
        """
        at = quantity(v, "mV", "v", error=MembraneError)
        warmth = self.celsius if celsius is None else celsius
        for mechanism in self.mechanisms:
            own = [mechanism.gbar if isinstance(mechanism, Channel) else mechanism.density]
            if isinstance(mechanism, Channel) and not {*mechanism.carriers}.isdisjoint(ions):
                own.append(0.0 if mechanism.reversal is None else mechanism.reversal)
            if any(callable(p) or np.ndim(p) > 0 for p in (*own, *mechanism.scales)):
                raise MembraneError(
                    f"balanced: {mechanism.name!r} varies along the axon, and so would the leak; "
                    "balance the uniform membrane, then scale it"
                )
        steady = self.currents(at, warmth)
        reversal = self.quantities(at, warmth)
        channels, pumps = list(self.channels), list(self.pumps)
        for ion in ions:
            if f"e{ion}" not in reversal:
                raise MembraneError(f"balanced: there is no ion {ion!r} in the membrane")
            current = float(steady.get(ion, 0.0))
            distance = at - float(reversal[f"e{ion}"])
            g = -current / distance if distance != 0.0 else -1.0
            if g >= 0.0:
                channels.append(Channel(f"leak_{ion}", gbar=g, ion=ion))
            else:
                pumps.append(_constant(f"pump_{ion}", -current, ion))
        return replace(self, channels=tuple(channels), pumps=tuple(pumps))

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

        return self._with_parameters(x, number)

    def at(self, x: np.ndarray, where: np.ndarray) -> Membrane:
        """The same membrane for an axon of the places x[where] (µm) only."""

        def there(values: np.ndarray, _: str) -> float | np.ndarray:
            return values[where] if values.size > 1 else float(values[0])

        return self._with_parameters(x, there)

    def _with_parameters(self, x: np.ndarray, shown: Callable[[np.ndarray, str], Any]) -> Membrane:
        """The same with other parameters, of what they are at `x` and what they are called."""
        channels = []
        for channel in self.channels:
            what = f"channel {channel.name!r}: "
            gbar = shown(channel.conductance(x, channel.celsius), what + "gbar")
            reversal = channel.reversal
            if reversal is not None:
                reversal = shown(resolve(reversal, x, what + "reversal"), what + "reversal")
            channels.append(replace(channel, gbar=gbar, reversal=reversal, scales=()))
        pumps = [
            replace(p, density=shown(p.factor(x), f"pump {p.name!r}: density"), scales=())
            for p in self.pumps
        ]
        return replace(self, channels=tuple(channels), pumps=tuple(pumps))

    # ---- what is found out once ------------------------------------------------------------

    def once(
        self,
        key: Sequence[Hashable],
        find: Callable[[], T],
        *,
        amounts: bool = False,
        others: Sequence[Membrane] = (),
        alike: Hashable | None = None,
    ) -> T:
        """What `find` returns, from memory if a membrane of the same functions has found it before.

        It may depend on the key, on what this membrane and the others are made of, and on nothing
        else: on how much there is of each channel and pump with `amounts` only, and never on
        the axon. It must not be changed by who gets it. Functions are the same as long as their
        code is, and all that they read besides their arguments. `alike` is what `self.alike()` has
        returned, if that is known.
        """
        kind, *rest = key
        if amounts:
            own = [(c.gbar, c.reversal, *c.scales) for c in self.channels]
            own += [(p.density, *p.scales) for p in self.pumps]
            rest += own
            if not all(isinstance(p, float | int | None) for each in own for p in each):
                return find()  # it varies along the axon
        tokens = [self.alike() if alike is None else alike]
        tokens += [self._known.token(other._likeness()) for other in others]
        if None in tokens:
            return find()
        whole = (tuple(rest), tuple(tokens))
        found = self._known.get(kind, whole)
        if found is None:
            found = (find(),)
            self._known.put(kind, whole, found)
        value: T = found[0]
        return value

    def alike(self) -> Hashable | None:
        """A token of all that it is made of but for how much there is of each channel and pump.

        The same for membranes that are `scaled` from one another, as long as what their functions
        read is the same; None if nobody can tell, and nothing can be remembered.
        """
        return self._known.token(self._likeness())

    def _likeness(self) -> Hashable | None:
        channels = [
            (c.name, c.reversal is None, c.open, c.q10, c.celsius, c.ion, c.gates)
            for c in self.channels
        ]
        pumps = [(pump.name, pump.current, pump.carries) for pump in self.pumps]
        return likeness((channels, pumps, self.ions, self.pools))

    # ---- what it does at given potentials and concentrations -----------------------------

    @property
    def mechanisms(self) -> list[Channel | Pump]:
        """All that carries current: channels, then pumps."""
        return [*self.channels, *self.pumps]

    @property
    def gates(self) -> list[tuple[Channel, Gate | Markov]]:
        """Every gate and scheme with its channel, in the order of the state."""
        return [(channel, gate) for channel in self.channels for gate in channel.gates]

    @property
    def initial_concentrations(self) -> dict[str, float]:
        """What pools move, at the beginning: mM, and bound fractions of buffers."""
        values: dict[str, float] = {}
        ions = {ion.name: ion for ion in self.ions}
        for pool in self.pools:
            c = getattr(ions[pool.ion], pool.side)
            values[pool.concentration] = c
            for buffer in pool.buffers:
                bound = buffer.equilibrium(c) if buffer.initial is None else buffer.initial
                values[f"{pool.concentration}.{buffer.name}"] = bound
        return values

    def quantities(
        self, v: Any, celsius: Any, concentrations: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """All that functions may ask for, by name.

        Parameters
        ----------
        v, celsius : number, array or symbol
        concentrations : mapping, optional
            Those that differ from the beginning, mM.
        """
        found: dict[str, Any] = {"v": v, "celsius": celsius}
        moved = {} if concentrations is None else concentrations
        for ion in self.ions:
            for name, value in ((f"{ion.name}i", ion.inside), (f"{ion.name}o", ion.outside)):
                if name in moved:
                    found[name] = moved[name]
                elif value is not None:
                    found[name] = value
        plain = dict(found)
        for ion in self.ions:
            found[f"e{ion.name}"] = ion.potential(plain)
        return found

    def steady_gates(self, quantities: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        """Steady state of every gate for arrays of quantities; of a scheme, how far it is open."""
        values: dict[tuple[str, str], Any] = {}
        for channel, gate in self.gates:
            if isinstance(gate, Gate):
                values[channel.name, gate.name] = gate.steady(quantities)
            else:
                values[channel.name, gate.name] = gate.conducting(list(gate.at(quantities)))
        return values

    def ion_currents(
        self,
        quantities: Mapping[str, Any],
        gates: Mapping[tuple[str, str], Any],
        x: np.ndarray | None = None,
    ) -> Currents:
        """Current of each ion for arrays of quantities and gates, mA/cm².

        `x` (µm) is where, for parameters that vary along the axon.
        """
        sums: Currents = {}
        for _, currents in self.each_currents(quantities, gates, x):
            for ion, current in currents.items():
                sums[ion] = sums[ion] + current if ion in sums else current
        return sums

    def each_currents(
        self,
        quantities: Mapping[str, Any],
        gates: Mapping[tuple[str, str], Any],
        x: np.ndarray | None = None,
    ) -> Iterator[tuple[Channel | Pump, Currents]]:
        """The same of every channel and pump alone."""
        x = np.zeros(1) if x is None else x
        for channel in self.channels:
            own = {g.name: gates[channel.name, g.name] for g in channel.gates}
            opening = channel.opening(own, quantities)
            g = channel.conductance(x, quantities["celsius"]) * opening
            reversal = channel.reversal
            if reversal is not None:
                reversal = resolve(reversal, x, f"channel {channel.name!r}: reversal")
            yield channel, channel.currents(g, reversal, quantities)
        for pump in self.pumps:
            yield pump, pump.currents(pump.factor(x), quantities)

    def currents(self, v: Any, celsius: float | None = None) -> Currents:
        """Steady current of each ion at a potential, with the concentrations of the beginning.

        Parameters
        ----------
        v : float or array
            mV.
        celsius : float, optional
            °C; the model's if not given.

        Returns
        -------
        dict
            mA/cm², outward positive, by ion; under None what no particular ion carries.
        """
        warmth = self.celsius if celsius is None else celsius
        at = np.atleast_1d(np.asarray(v, dtype=np.float64))
        quantities = self.quantities(at, warmth)
        sums = self.ion_currents(quantities, self.steady_gates(quantities))
        return {ion: np.broadcast_to(i, at.shape).reshape(np.shape(v)) for ion, i in sums.items()}

    def steady_current(
        self,
        v: np.ndarray,
        celsius: float | np.ndarray,
        x: np.ndarray | None = None,
        concentrations: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """Ionic current density with all gates at their steady state, mA/cm².

        Parameters
        ----------
        v : array
            Potential, mV; one per compartment if `x` is given.
        celsius : float or array
            °C.
        x : array, optional
            Positions (µm), for parameters that vary along the axon.
        concentrations : mapping, optional
            Those that differ from the beginning, mM.
        """
        v = np.asarray(v, dtype=np.float64)
        quantities = self.quantities(v, celsius, concentrations)
        sums = self.ion_currents(quantities, self.steady_gates(quantities), x)
        return np.broadcast_to(sum(sums.values()), v.shape).astype(np.float64)

    def pool_rates(
        self,
        currents: Mapping[str | None, Any],
        concentrations: Mapping[str, Any],
        per_current: Mapping[str, Any],
    ) -> dict[str, Any]:
        """How fast pools and buffers change, mM/ms and 1/ms, by name.

        `per_current` is what each pool gains from 1 mA/cm², mM/ms.
        """
        rates: dict[str, Any] = {}
        for pool in self.pools:
            name = pool.concentration
            c = concentrations[name]
            rate = per_current[name] * currents.get(pool.ion, 0.0)
            if pool.bath is not None and pool.time_constant is not None:
                rate = rate + (pool.bath - c) * (1.0 / pool.time_constant)
            for buffer in pool.buffers:
                own = f"{name}.{buffer.name}"
                rates[own] = buffer.rate(c, concentrations[own])
                rate = rate - buffer.total * rates[own]
            rates[name] = rate
        return rates

    def per_current(
        self, diameter: np.ndarray, surface_to_volume: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """What each pool gains from 1 mA/cm², mM/ms, for compartments of these diameters (µm)."""
        ratio = 4.0 / diameter if surface_to_volume is None else surface_to_volume
        valence = {ion.name: ion.valence for ion in self.ions}
        return {
            pool.concentration: pool.per_current(valence[pool.ion], diameter, ratio)
            for pool in self.pools
        }

    # ---- rest ------------------------------------------------------------------------------

    def rest(self, celsius: float | None = None, *, diameter: float = 1.0) -> Rest:
        """The resting state of a patch of this membrane.

        The potential, gates and moving concentrations at which nothing changes, and to which
        the membrane returns when it is pushed a little. If there are several, the most
        negative one. What is a function of position counts as at 0 µm.

        Parameters
        ----------
        celsius : float, optional
            °C; the model's if not given.
        diameter : float, optional
            Of the axon, µm, where pools have surface and volume of it.

        Raises
        ------
        NoRestError
            If there is none between -150 and 100 mV, or none that is stable.
        """
        warmth = self.celsius
        if celsius is not None:
            warmth = quantity(celsius, "degC", "celsius", error=MembraneError)
        diameter = quantity(diameter, "um", "diameter", error=MembraneError, positive=True)
        found = self.once(
            ("rest", warmth, diameter if self.pools else None),
            lambda: find_rest(self, warmth, diameter),
            amounts=True,
        )
        return replace(found, gates=dict(found.gates), concentrations=dict(found.concentrations))

    # ---- what it looks like --------------------------------------------------------------

    def describe(self) -> Description:
        """All that the membrane is made of, its rates written down as formulas.

        Returns
        -------
        Description
            Text when it is printed, a table in a notebook. Formulas are NumPy without its
            ``np.``, and `nernst` and `ghk`, in mV, ms, mM and °C. A function that is none,
            since it decides by numbers what to do, is shown as its name and arguments.

        Examples
        --------
        >>> print(axon.models.passive().describe())
        passive
          celsius (°C) = 6.3
        <BLANKLINE>
        channel leak
          gbar (S/cm²)  = 0.0001
          g (S/cm²)     = gbar
          reversal (mV) = -65
          i (mA/cm²)    = g * (v - reversal)
        """
        from axon.description import describe

        return describe(self)

    def plot(
        self,
        *,
        celsius: QuantityLike | None = None,
        v: tuple[QuantityLike, QuantityLike] = (-100.0, 60.0),
    ) -> Figure:
        """Steady states and time constants of its gates, and its currents: `axon.plots.membrane`.

        Parameters
        ----------
        celsius : float or quantity, optional
            °C; the model's if not given.
        v : (float or quantity, float or quantity), optional
            The potentials drawn, from and to, mV.
        """
        from axon import plots

        return plots.membrane(self, celsius=celsius, v=v)

    def _repr_html_(self) -> str:
        return self.describe()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """What a run file says of the membrane: names, constants and sources, no code."""
        return {
            "name": self.name,
            "reference": self.reference,
            "celsius": self.celsius,
            "channels": [
                {
                    "name": channel.name,
                    "ion": _ion_shown(channel.ion),
                    "gbar": _shown(channel.gbar),
                    "reversal": None if channel.reversal is None else _shown(channel.reversal),
                    "scales": [_shown(scale) for scale in channel.scales],
                    "q10": channel.q10,
                    "gates": [
                        {"name": g.name, "power": g.power, "q10": g.q10, "celsius": g.celsius}
                        for g in channel.gates
                    ],
                }
                for channel in self.channels
            ],
            "pumps": [
                {
                    "name": pump.name,
                    "carries": dict(pump.carries),
                    "density": _shown(pump.density),
                    "scales": [_shown(scale) for scale in pump.scales],
                }
                for pump in self.pumps
            ],
            "ions": [
                {
                    "name": ion.name,
                    "valence": ion.valence,
                    "inside": ion.inside,
                    "outside": ion.outside,
                    "reversal": None if ion.reversal is None else _shown(ion.reversal),
                }
                for ion in self.ions
            ],
            "pools": [
                {
                    "concentration": pool.concentration,
                    "surface_to_volume": None
                    if pool.surface_to_volume is None
                    else _shown(pool.surface_to_volume),
                    "bath": pool.bath,
                    "time_constant": pool.time_constant,
                    "diffusion": pool.diffusion,
                    "buffers": [vars(buffer) for buffer in pool.buffers],
                }
                for pool in self.pools
            ],
        }


class _Memory:
    """What was found for membranes of the same functions: of each kind, what was used last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: dict[Hashable, dict[Hashable, Any]] = {}
        self._tokens = count(1)

    def token(self, likeness: Hashable | None) -> int | None:
        """A number that stands for it, for things are made of much; None for None."""
        if likeness is None:
            return None
        number = self.get("token", likeness)
        if number is None:
            number = next(self._tokens)
            self.put("token", likeness, number)
        return int(number)

    def get(self, kind: Hashable, key: Hashable) -> Any:
        """What was put there, or None."""
        with self._lock:
            found = self._found.setdefault(kind, {})
            value = found.pop(key, None)
            if value is not None:
                found[key] = value  # as the last
            return value

    def put(self, kind: Hashable, key: Hashable, value: Any) -> None:
        """Remember it, and forget what was not used for longest."""
        with self._lock:
            found = self._found.setdefault(kind, {})
            found[key] = value
            while len(found) > _MOST_KNOWN.get(str(kind), _MOST_OTHERS):
                del found[next(iter(found))]

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Memory, ()  # copies and pickles begin without


def _constant(name: str, current: float, ion: str) -> Pump:
    """A constant current of one ion, mA/cm²."""
    return Pump(name, current=lambda: current, carries={ion: 1.0})


def _shown(profile: Any) -> Any:
    if callable(profile):
        of = ", ".join(arguments(profile)) or "nothing"
        return f"function {getattr(profile, '__name__', '')} of {of}"
    return np.asarray(profile, dtype=np.float64).tolist()


def _ion_shown(ion: Any) -> Any:
    if not isinstance(ion, Mapping):
        return ion
    return {name: _shown(share) if callable(share) else share for name, share in ion.items()}
