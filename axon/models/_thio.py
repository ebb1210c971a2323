"""What the two C-fibres of Thio and colleagues (2024) share: all but their densities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from axon.channels import Channel, Gate, Pump
from axon.ions import Ion
from axon.membranes import Membrane
from axon.models._pools import calcium_pools, sodium_potassium_pools
from axon.models._schild import CAI, CAO, sigmoid, sodium_potassium_pump, some
from axon.rates import Rate

REFERENCE = (
    "B. J. Thio, N. D. Titus, N. A. Pelot, W. M. Grill, Reverse-engineered models reveal "
    "differential membrane properties of autonomic and cutaneous unmyelinated fibers, PLoS "
    "Comput. Biol. 20, e1012475 (2024), doi:10.1371/journal.pcbi.1012475"
)

CM = 1.326291192  # uF/cm2
V_REST = -58.5  # mV, where each ion is balanced
CELSIUS = 37.0
CELSIUS_RATES, CELSIUS_NAV17, Q10 = 22.0, 21.0, 3.0

NAI, NAO, KI, KO = 11.4, 154.0, 144.9, 5.6  # mM, at the beginning
SPACE = 0.030  # µm, around the axon
SHELL = 0.03  # µm, by which the calcium's shell is wider than the axon

E_HCN = -30.0  # mV

# Of the sodium-calcium exchanger.
GAS, FARADAY, ZERO = 8.314, 96500.0, 273.0  # J/(K mol), C/mol, K
UNIT_NACX = 36e-9  # mA/(cm2 mM4)
D_NACX = 0.0036  # 1/mM4
Q10_NACX = 2.2  # from 23 to 37 °C, by a straight line


def c_fibre(
    gbar: Mapping[str, float],
    i_nak: float,
    k_nacx: float,
    celsius: float,
    *,
    Ra: float,
    name: str,
) -> Membrane:
    """The membrane with these densities.

    Parameters
    ----------
    gbar : mapping of str to float
        Maximal conductances of the channels, S/cm², by name.
    i_nak : float
        Largest current of the sodium-potassium pump at 22.85 °C, mA/cm².
    k_nacx : float
        Density of the sodium-calcium exchanger.
    celsius : float
        Temperature at which leaks and constant pumps balance, °C.
    Ra : float
        Axial resistivity, ohm cm.
    """
    carried_by = {"na": _sodium(), "k": _potassium(), "ca": _calcium()}
    channels = [
        Channel(channel, ion=ion, gbar=gbar[channel], gates=gates)
        for ion, gates_of in carried_by.items()
        for channel, gates in gates_of.items()
    ]
    return Membrane(
        (*channels, _km(gbar["km"]), _hcn(gbar["hcn"])),
        celsius=celsius,
        name=name,
        reference=REFERENCE,
        ions=(
            Ion("na", 1, inside=NAI, outside=NAO),
            Ion("k", 1, inside=KI, outside=KO),
            Ion("ca", 2, inside=CAI, outside=CAO),
        ),
        pools=(*sodium_potassium_pools(SPACE, NAO, KO), *calcium_pools(SHELL)),
        pumps=(
            sodium_potassium_pump(i_nak),
            Pump("nacx", current=_nacx, carries={"na": 3, "ca": -2}, density=k_nacx),
        ),
        Ra=Ra,
        cm=CM,
        v_init=V_REST,
    ).balanced(V_REST, ions=("na", "k", "ca"))


def _gate(name: str, power: int, inf: Rate, tau: Rate, celsius: float = CELSIUS_RATES) -> Gate:
    return Gate(name, power, inf=inf, tau=tau, q10=Q10, celsius=celsius)


def _root(half: float, slope: float) -> Rate:
    """Of a gate whose third power is the curve that was measured."""
    return lambda v: sigmoid(half, slope)(v) ** (1 / 3)


def _hill(a: float, v1: float, s1: float, v2: float, s2: float) -> Rate:
    """Time constant, ms, that falls off above `v1` and below `v2`, within `s1` and `s2` (mV)."""
    return lambda v: a / (np.exp((v - v1) / s1) + np.exp((v2 - v) / s2))


def _sodium() -> dict[str, tuple[Gate, ...]]:
    nav17 = (
        _gate(
            "m",
            3,
            _root(-25, 7),
            lambda v: (_hill(0.07, 11.4, 14, -61, 9.4)(v) + 0.1 * sigmoid(-5.5, 8)(v)) / 2,
            CELSIUS_NAV17,
        ),
        _gate("h", 1, sigmoid(-79, -7), _hill(1, -5.7, 12.4, -131, 9.5), CELSIUS_NAV17),
    )
    nav18 = (
        _gate("m", 3, _root(-4, 7), lambda v: (0.03 + _hill(0.5, 0, 12, -29, 18)(v)) / 2),
        _gate(
            "h",
            1,
            sigmoid(-28, -4.56),
            lambda v: 2.63 + _hill(250, -36, 7.7, 0, 16.3)(v) + 1.4 * sigmoid(-0.6, 2.95)(v),
        ),
        _gate(
            "s",
            1,
            sigmoid(-50, -7.5),
            lambda v: _hill(34, -2, 16, -108, 8)(v) + 160 * sigmoid(-110, 75)(v),
        ),
    )
    nav19 = (
        _gate("m", 3, _root(-51, 8.4), lambda v: (0.3 + _hill(1, -1.3, 22, -82, 10)(v)) / 2),
        _gate("h", 1, sigmoid(-55, -11.5), lambda v: 2 + _hill(1, 32, 14, -157, 12)(v)),
        _gate(
            "s",
            1,
            lambda v: 0.03 + 0.97 * sigmoid(-79, -6.87)(v),
            lambda v: _hill(1, 195, 29, -193, 12.4)(v) + 1165 * sigmoid(-40, 30)(v),
        ),
    )
    return {"nav17": nav17, "nav18": nav18, "nav19": nav19}


def _potassium() -> dict[str, tuple[Gate, ...]]:
    def h14_inf(v: Any) -> Any:
        return 0.073 + 0.924 * sigmoid(-47, -4.75)(v)

    def s14_inf(v: Any) -> Any:
        slow = 0.576 * sigmoid(-44.5, -5.93)(v)
        return 0.415 + slow + 0.103 * sigmoid(0, 18.37)(v)

    def m14_tau(v: Any) -> Any:
        hill = _hill(2748, -128, 14.5, -10, 8)(v)
        return (0.6 + hill + 1.7 * sigmoid(-8.5, -10.65)(v)) / 2

    def s14_tau(v: Any) -> Any:
        hill = _hill(3.97, -35.1, 9.97, -83.3, 18)(v)
        return 1000 * (hill + 2.5 * sigmoid(-27.3, 7.11)(v))

    kv14 = (
        _gate("m", 3, _root(-25, 12), m14_tau),
        _gate("h", 1, h14_inf, lambda v: 35 + _hill(11.22, -21.4, 9.48, -155.3, 16.4)(v)),
        _gate("s", 1, s14_inf, s14_tau),
    )
    kv21 = (
        _gate("m", 3, _root(1, 10), lambda v: 2 + _hill(1.2, 15, 8.5, -68, 15)(v)),
        _gate(
            "h",
            1,
            lambda v: 0.15 + 0.85 * sigmoid(-27, -7)(v),
            lambda v: _hill(45, 10.2, 8, -101, 8)(v) + 8200 * sigmoid(0, 60)(v),
        ),
    )
    kv34 = (
        _gate("m", 3, _root(24, 17), lambda v: _hill(1, 39, 13, -134, 47)(v) / 2),
        _gate("h", 1, sigmoid(-31, -12), lambda v: 15 + _hill(1, 60, 15, -300, 27)(v)),
    )
    return {"kv14": kv14, "kv21": kv21, "kv34": kv34, "bk": _bk(), "sk": _sk()}


def _log(cai: Any) -> Any:
    """Decimal logarithm of calcium in M, about -7."""
    return np.log10(some(cai)) - 3


def _bk() -> tuple[Gate, ...]:
    def m_tau(v: Any, cai: Any) -> Any:
        p = _log(cai)
        rising = np.exp((v + 58 * p + 303) / (3.2 * p))
        return 1 / (rising + np.exp(-(v + 107 * p + 453) / (6.8 * p))) + 0.4

    def h_tau(v: Any, cai: Any) -> Any:
        p = _log(cai)
        rising = np.exp((v + 3 * p + 100) / (3 * p))
        return 1 / (rising + np.exp(-(v + 191 * p + 600) / (17 * p)))

    return (
        _gate("m", 1, lambda v, cai: sigmoid(-50 * _log(cai) - 232, 24)(v), m_tau),
        _gate("h", 1, lambda v, cai: sigmoid(-8 * _log(cai) + 35, -47)(v), h_tau),
    )


def _sk() -> tuple[Gate, ...]:
    return (_gate("n", 1, lambda cai: sigmoid(-6.4, 0.12)(_log(cai)), lambda cai: -_log(cai)),)


def _calcium() -> dict[str, tuple[Gate, ...]]:
    cav12 = (
        _gate("m", 3, _root(1.75, 10), lambda v: 0.25 + _hill(0.5, 15, 5, -27, 12)(v)),
        _gate("h", 1, sigmoid(10, -8), _hill(1.4, 145, 30, -150, 16.4)),
    )
    cav22 = (
        _gate("m", 3, _root(-4, 7.5), lambda v: 0.1 + _hill(0.5, 3, 6.7, -37, 13.5)(v)),
        _gate("h", 1, sigmoid(-48, -7), _hill(10, 54, 23, -150, 35)),
        _gate("s", 1, sigmoid(-81, -8.6), lambda v: 50 + _hill(30, 50, 26, -150, 26)(v)),
    )
    return {"cav12": cav12, "cav22": cav22}


def _km(gbar: float) -> Channel:
    def n_tau(v: Any) -> Any:
        return (15 + _hill(62, 13, 20, -90, 20)(v) + 50 * sigmoid(-50, 8)(v)) / 2

    def m_tau(v: Any) -> Any:
        return (_hill(104, 7, 20, -32, 20)(v) + 30 * sigmoid(-40, 80)(v)) / 2

    return Channel(
        "km",
        ion="k",
        gbar=gbar,
        gates=(_gate("m", 1, _root(-44, 6.4), m_tau), _gate("n", 1, _root(-32, 9.2), n_tau)),
        open=lambda m, n: (m**3 + 3 * n**3) / 4,
    )


def _hcn(gbar: float) -> Channel:
    # Shares of sodium and potassium such that both together reverse at E_HCN.
    return Channel(
        "hcn",
        ion={
            "na": lambda g, v, ena, ek: (E_HCN - ek) / (ena - ek) * g * (v - ena),
            "k": lambda g, v, ena, ek: (E_HCN - ena) / (ek - ena) * g * (v - ek),
        },
        gbar=gbar,
        gates=(
            _gate("m", 1, _root(-97, -7.35), _hill(0.5, 42, 11.8, -498, 66.6)),
            _gate("n", 1, _root(-94, -8.9), _hill(0.5, -25, 4.1, -356, 32)),
        ),
        open=lambda m, n: (3 * m**3 + n**3) / 4,
    )


def _nacx(v: Any, nai: Any, nao: Any, cai: Any, cao: Any, celsius: Any) -> Any:
    warmth = 1 + (Q10_NACX - 1) * (celsius - 23) / 14
    u = v * FARADAY / (1000 * GAS * (celsius + ZERO))
    inward, outward = nai**3 * cao * np.exp(0.5 * u), nao**3 * cai * np.exp(-0.5 * u)
    return warmth * UNIT_NACX * (inward - outward) / (1 + D_NACX * (cai * nao**3 + cao * nai**3))
