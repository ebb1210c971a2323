"""Channels of NeuroML 2: gates with rates of the standard's forms, and schemes of states.

Equations and units are those of the standard's definitions, https://docs.neuroml.org:
`Channels <https://docs.neuroml.org/Userdocs/Schemas/Channels.html>`_ and
`NeuroMLCoreDimensions <https://docs.neuroml.org/Userdocs/Schemas/NeuroMLCoreDimensions.html>`_.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from axon._kernel import MAX_POWER
from axon.channels import Channel, Gate, Markov
from axon.ions import exprel
from axon.neuroml.documents import Element, PathLike, named, placed, read
from axon.rates import Profile, Rate

KINDS = ("ionChannel", "ionChannelHH", "ionChannelKS", "ionChannelVShift")
"""All that the standard calls an ion channel."""

_RATES = ("forwardRate", "reverseRate")

# What each kind of gate is made of. Where both rates and something else are given, that goes first.
_GATES: dict[str, tuple[str, ...]] = {
    "gateHHrates": _RATES,
    "gateHHratesTau": (*_RATES, "timeCourse"),
    "gateHHratesInf": (*_RATES, "steadyState"),
    "gateHHratesTauInf": (*_RATES, "timeCourse", "steadyState"),
    "gateHHtauInf": ("timeCourse", "steadyState"),
    "gateHHInstantaneous": ("steadyState",),
}


def _exponential(rate: float, midpoint: float, scale: float) -> Rate:
    return lambda v: rate * np.exp((v - midpoint) / scale)


def _sigmoid(rate: float, midpoint: float, scale: float) -> Rate:
    return lambda v: rate / (1 + np.exp((midpoint - v) / scale))


def _linear(rate: float, midpoint: float, scale: float) -> Rate:
    # x/(1 - exp(-x)), with its limit where x is 0.
    return lambda v: rate * exprel((midpoint - v) / scale)


_FORMS: dict[str, Callable[[float, float, float], Rate]] = {
    "HHExp": _exponential,
    "HHSigmoid": _sigmoid,
    "HHExpLinear": _linear,
}


def read_channel(
    path: PathLike,
    name: str | None = None,
    *,
    gbar: Profile,
    reversal: Profile | None = None,
) -> Channel:
    """An ion channel of a NeuroML 2 file.

    A file says how a channel opens, and which ion it lets pass; how much of it a membrane holds
    is said where it is used. So the density is asked for here.

    Parameters
    ----------
    path : str or path
        The file. Others that it includes are read if they lie in its folder or below.
    name : str, optional
        Its ``id``; not needed if there is only one.
    gbar : float, quantity, array or callable
        Maximal conductance, S/cm², as of any `Channel`. The conductance of a single channel,
        which the file may state, has no part in it.
    reversal : float, quantity, array or callable, optional
        Reversal potential, mV. If not given, that of the ion that the file names, from the
        membrane's ``ions``.

    Returns
    -------
    Channel
        Of the name that it has in the file.

    Raises
    ------
    MembraneError
        If the file can't be read or isn't NeuroML 2, if there is no such channel, or if it has
        something that isn't supported, which is named with its line.

    Notes
    -----
    Supported are ``ionChannel`` and ``ionChannelHH``, passive ones too, with gates of every
    ``gateHH...`` kind, whose rates have the forms ``HHExp...``, ``HHSigmoid...`` and
    ``HHExpLinear...``, and whose time courses are rates' or fixed; q10 of gates, ``q10ExpTemp``
    and ``q10Fixed``, and of conductances; and ``ionChannelKS``.

    Not supported are ``gateFractional``, ``ionChannelVShift``, and whatever a file defines by a
    ``ComponentType`` of its own, as all that depends on concentrations is.

    References
    ----------
    R. C. Cannon, P. Gleeson, S. Crook et al., Front. Neuroinform. 8, 79 (2014),
    doi:10.3389/fninf.2014.00079.
    """
    found = named(read(path), KINDS, name, "ion channel", path)
    return channel_of(found, gbar, reversal)


def channel_of(element: Element, gbar: Profile, reversal: Profile | None) -> Channel:
    """The channel that an element describes."""
    if element.tag == "ionChannelVShift":
        raise element.refusal(
            "not supported: only rates of a ComponentType of one's own know of a vShift"
        )
    if element.tag == "ionChannelKS":
        element.check(("species", "conductance"), ("gateKS",))
        gates: tuple[Gate | Markov, ...] = tuple(map(_scheme, element.all("gateKS")))
        q10: dict[str, Any] = {}
    else:
        scaling = "q10ConductanceScaling"
        element.check(("species", "conductance", "type"), ("gate", *_GATES, scaling))
        gates = tuple(map(_gate, element.all("gate", *_GATES)))
        q10 = _conductance_q10(list(element.all(scaling)))
    if "type" in element.attributes:
        kind = element.choice("type", ("ionChannelHH", "ionChannelPassive"))
        if kind == "ionChannelPassive" and gates:
            raise element.refusal("a passive channel has no gates; call it ionChannelHH")
    name, ion = element.get("id"), element.attributes.get("species")
    with placed(element):
        return Channel(name, gbar, reversal, gates, ion, **q10)


def _conductance_q10(scalings: list[Element]) -> dict[str, Any]:
    if not scalings:
        return {}
    if len(scalings) > 1:
        raise scalings[1].refusal("a second one is not supported")
    scalings[0].check(("q10Factor", "experimentalTemp"))
    return _q10(scalings[0])


def _q10(element: Element) -> dict[str, Any]:
    """q10Factor ^ ((temperature - experimentalTemp) / 10 °C), as gates and channels take it."""
    return {
        "q10": element.amount("q10Factor", "number", positive=True),
        "celsius": element.amount("experimentalTemp", "temperature in °C"),
    }


def _gate(element: Element) -> Gate:
    kind = element.tag
    if kind == "gate":
        kind = element.choice("type", _GATES)
    parts = _GATES[kind]
    own = ("instances", "type") if element.tag == "gate" else ("instances",)
    element.check(own, parts if kind == "gateHHInstantaneous" else (*parts, "q10Settings"))
    held = {part: element.only(part) for part in parts}
    settings: dict[str, Any] = {}
    faster = 1.0
    if any(element.all("q10Settings")):
        settings, faster = _q10_settings(element.only("q10Settings"))
    if "forwardRate" in held:
        for role, part in zip(("alpha", "beta"), _RATES, strict=True):
            settings[role] = _form(held[part], "Rate", faster)
    if "steadyState" in held:
        settings["inf"] = _form(held["steadyState"], "Variable")
    if "timeCourse" in held:
        settings["tau"] = _fixed(held["timeCourse"], faster)
    if "alpha" in settings and not settings.keys().isdisjoint(("inf", "tau")):
        rates = settings.pop("alpha"), settings.pop("beta")
        settings.setdefault("inf", _inf_of(*rates))
        settings.setdefault("tau", _tau_of(*rates))
    name, power = element.get("id"), _power(element)
    with placed(element):
        return Gate(name, power, **settings)


def _inf_of(opening: Rate, closing: Rate) -> Rate:
    return lambda v: opening(v) / (opening(v) + closing(v))


def _tau_of(opening: Rate, closing: Rate) -> Rate:
    return lambda v: 1 / (opening(v) + closing(v))


def _power(element: Element) -> int:
    power = element.whole("instances")
    if not 1 <= power <= MAX_POWER:
        raise element.refusal(
            f"instances={power}; a whole number from 1 to {MAX_POWER} is supported"
        )
    return power


def _q10_settings(element: Element) -> tuple[dict[str, Any], float]:
    """Arguments of a gate, and the factor of a q10 that is fixed."""
    if element.choice("type", ("q10ExpTemp", "q10Fixed")) == "q10ExpTemp":
        element.check(("type", "q10Factor", "experimentalTemp"))
        return _q10(element), 1.0
    element.check(("type", "fixedQ10"))
    return {}, element.amount("fixedQ10", "number", positive=True)


def _form(element: Element, suffix: str, faster: float = 1.0) -> Rate:
    """A rate (1/ms), or with the suffix Variable a number, as a function of v."""
    forms = {name + suffix: form for name, form in _FORMS.items()}
    form = forms[element.choice("type", forms)]
    element.check(("type", "rate", "midpoint", "scale"))
    rate = element.amount("rate", "rate in 1/ms" if suffix == "Rate" else "number")
    scale = element.amount("scale", "potential in mV")
    if scale == 0.0:
        raise element.refusal("scale is 0")
    return form(rate * faster, element.amount("midpoint", "potential in mV"), scale)


def _fixed(element: Element, faster: float = 1.0) -> Rate:
    """A time constant, ms."""
    element.choice("type", ("fixedTimeCourse",))
    element.check(("type", "tau"))
    tau = element.amount("tau", "time in ms", positive=True) / faster
    return lambda v: tau + 0 * v


def _scheme(element: Element) -> Markov:
    """States and the transitions between them.

    Of a ``forwardTransition`` and a ``reverseTransition`` both name the same ends: the second one's
    rate leads back, from ``to`` to ``from``.
    """
    ways = ("forwardTransition", "reverseTransition", "tauInfTransition")
    # A q10 would have no effect: by the standard's equations no transition asks for it.
    element.check(("instances",), ("closedState", "openState", *ways))
    states: dict[str, float] = {}
    for state in element.all("closedState", "openState"):
        state.check(())
        if state.get("id") in states:
            raise state.refusal("another state has this id")
        states[state.get("id")] = float(state.tag == "openState")
    rates: dict[tuple[str, str], Rate] = {}
    for way in element.all(*ways):
        ends = way.get("from"), way.get("to")
        if ends[0] == ends[1] or not states.keys() >= set(ends):
            raise way.refusal(
                f"{way.shown('from')} and {way.shown('to')} must be two of {', '.join(states)}"
            )
        for pair, function in _transition(way, *ends).items():
            if pair in rates:
                raise way.refusal(f"a second rate from {pair[0]} to {pair[1]}")
            rates[pair] = function
    alone = states.keys() - {state for pair in rates for state in pair}
    if alone:
        raise element.refusal(f"no transition leads to or from {', '.join(sorted(alone))}")
    name, power = element.get("id"), _power(element)
    with placed(element):
        return Markov(name, rates, states, power)


def _transition(element: Element, start: str, end: str) -> dict[tuple[str, str], Rate]:
    if element.tag == "tauInfTransition":
        element.check(("from", "to"), ("timeCourse", "steadyState"))
        tau = _fixed(element.only("timeCourse"))
        inf = _form(element.only("steadyState"), "Variable")
        return {
            (start, end): lambda v: inf(v) / tau(v),
            (end, start): lambda v: (1 - inf(v)) / tau(v),
        }
    element.check(("from", "to"), ("rate",))
    rate = _form(element.only("rate"), "Rate")
    return {(start, end) if element.tag == "forwardTransition" else (end, start): rate}
