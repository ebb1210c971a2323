"""What the models of nodose neurons by Schild and colleagues (1994, 1997) share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from axon.channels import Channel, Gate, Pump
from axon.ions import Ion
from axon.membranes import Membrane
from axon.models._pools import calcium_pools
from axon.rates import Profile, Rate

CABLE = (
    "N. A. Pelot, D. C. Catherall, B. J. Thio, N. D. Titus, E. D. Liang, C. S. Henriquez, "
    "W. M. Grill, Excitation properties of computational models of unmyelinated peripheral "
    "axons, J. Neurophysiol. 125, 86-104 (2021), doi:10.1152/jn.00315.2020"
)

GAS, FARADAY, ZERO = 8.314, 96500.0, 273.15  # J/(K mol), C/mol, K
RA, CM = 100.0, 1.326291192  # ohm cm, uF/cm2
V_INIT = -46.5  # mV
CELSIUS = 37.0
CELSIUS_RATES = 22.85  # temperature of time constants and pumps, unless it's said

NAI, NAO, KI, KO = 8.9, 154.0, 145.0, 5.4  # mM, fixed
CAI, CAO = 1.17e-4, 2.0  # mM, at the beginning
CA_OFFSET = 78.7  # mV, by which calcium reverses below its Nernst potential
SHELL = 1.0  # µm, by which the calcium's shell is wider than the axon

SHIFT_K, SHIFT_CA = -3.0, 7.0  # mV, of steady states

I_NAK = 0.009726135  # mA/cm2
Q10_NAK = 1.16
KM_NAI, KM_KO = 5.46, 0.621  # mM

I_CAP = 0.000859437  # mA/cm2
Q10_CAP, CELSIUS_CAP = 2.30, 22.0
KM_CAI = 0.0005  # mM

K_NACX = 1.27324e-06  # mA/(cm2 mM4)
Q10_NACX = 2.20
GAMMA_NACX, D_NACX = 0.5, 0.0036  # 1, 1/mM4


def sigmoid(half: float, slope: float) -> Rate:
    """Steady state that is 1/2 at `half`, mV, and grows with the potential if slope > 0."""
    return lambda v: 1 / (1 + np.exp((half - v) / slope))


def bell(a: float, b: float, c: float, peak: float) -> Rate:
    """Time constant of a + c, ms, at `peak`, mV, and c far away from it."""
    return lambda v: a * np.exp(-(b**2) * (v - peak) ** 2) + c


def gate(
    name: str, power: int, inf: Rate, tau: Rate, q10: float, celsius: float = CELSIUS_RATES
) -> Gate:
    """A gate of these models: `q10` is that of its time constant."""
    return Gate(name, power, inf=inf, tau=tau, q10=q10, celsius=celsius)


def nodose(
    sodium: Sequence[Channel],
    gbar: Mapping[str, Profile],
    i_nak: Profile,
    *,
    name: str,
    reference: str,
) -> Membrane:
    """The membrane with these sodium channels.

    Parameters
    ----------
    sodium : sequence of Channel
    gbar : mapping of str to float, array or callable
        Maximal conductances of the others, S/cm², by name.
    i_nak : float, array or callable
        Largest current of the sodium-potassium pump at 22.85 °C, mA/cm².
    """
    return Membrane(
        (
            *sodium,
            *_potassium(gbar),
            *_calcium(gbar),
            Channel("background_na", ion="na", gbar=gbar["bna"]),
            Channel("background_ca", ion="ca", gbar=gbar["bca"]),
        ),
        celsius=CELSIUS,
        name=name,
        reference=reference,
        ions=(
            Ion("na", 1, inside=NAI, outside=NAO, reversal=_ena),
            Ion("k", 1, inside=KI, outside=KO, reversal=_ek),
            Ion("ca", 2, inside=CAI, outside=CAO, reversal=_eca),
        ),
        pools=calcium_pools(SHELL),
        pumps=(
            sodium_potassium_pump(i_nak),
            Pump("ca_pump", current=_ca_pump, carries={"ca": 1}, density=I_CAP),
            Pump("nacx", current=_nacx, carries={"na": 3, "ca": -2}, density=K_NACX),
        ),
        Ra=RA,
        cm=CM,
        v_init=V_INIT,
    )


def _ena(nai: Any, nao: Any, celsius: Any) -> Any:
    return 1000 * GAS * (celsius + ZERO) / FARADAY * np.log(nao / nai)


def _ek(ki: Any, ko: Any, celsius: Any) -> Any:
    return 1000 * GAS * (celsius + ZERO) / FARADAY * np.log(ko / ki)


def _eca(cai: Any, cao: Any, celsius: Any) -> Any:
    nernst = 1000 * GAS * (celsius + ZERO) / 2 / FARADAY * np.log(cao / some(cai))
    return nernst - CA_OFFSET


def some(cai: Any) -> Any:
    """Calcium, mM, of which a logarithm may be taken."""
    return np.where(cai > 0, cai, 1e-9)


def _potassium(gbar: Mapping[str, Profile]) -> tuple[Channel, ...]:
    """Delayed rectifier, A, D and calcium-activated current."""

    def tau_n(v: Any) -> Any:
        alpha = 0.001265 * (v + 14.273) / (1 - np.exp(-(v + 14.273) / 10))
        beta = 0.125 * np.exp(-(v + 55) / 2.5)
        return 1 / (alpha + beta) + 1

    def alpha_c(v: Any, cai: Any) -> Any:
        return 750 * cai * np.exp((v - 10) / 12)

    def beta_c(v: Any) -> Any:
        return 0.05 * np.exp(-(v - 10) / 60)

    n = gate("n", 1, sigmoid(-14.62 + SHIFT_K, 18.38), tau_n, 1.40)
    p = gate("p", 3, sigmoid(-28.0 + SHIFT_K, 28.0), bell(5.0, 0.022, 2.5, -65.0), 1.93)
    q = gate("q", 1, sigmoid(-58.0 + SHIFT_K, -7.0), bell(100.0, 0.035, 10.5, -30.0), 1.93)
    x = gate("x", 3, sigmoid(-39.59 + SHIFT_K, 14.68), bell(5.0, 0.022, 2.5, -65.0), 1.93)
    y = gate("y1", 1, sigmoid(-48.0 + SHIFT_K, -7.0), lambda v: 7500.0, 1.93)
    c = gate(
        "c",
        1,
        lambda v, cai: alpha_c(v, cai) / (alpha_c(v, cai) + beta_c(v)),
        lambda v, cai: 4.5 / (alpha_c(v, cai) + beta_c(v)),
        2.30,
    )
    return (
        Channel("kd", ion="k", gbar=gbar["kd"], gates=(n,)),
        Channel("ka", ion="k", gbar=gbar["ka"], gates=(p, q)),
        Channel("kds", ion="k", gbar=gbar["kds"], gates=(x, y)),
        Channel("kca", ion="k", gbar=gbar["kca"], gates=(c,)),
    )


def _calcium(gbar: Mapping[str, Profile]) -> tuple[Channel, ...]:
    """Current through channels of high (N) and of low threshold (T)."""

    def f2_inf(v: Any) -> Any:
        reopened = 0.2 * sigmoid(-5.0 + SHIFT_CA, 10.0)(v)
        return reopened + sigmoid(-40.0 + SHIFT_CA, -10.0)(v)

    n = (
        gate("d", 1, sigmoid(-20.0 + SHIFT_CA, 4.5), bell(3.25, 0.042, 0.395, -31.0), 4.30),
        gate("f1", 1, sigmoid(-20.0 + SHIFT_CA, -25.0), bell(33.5, 0.0395, 5.0, -30.0), 4.30),
        gate("f2", 1, f2_inf, bell(225.0, 0.0275, 75.0, -40.0), 4.30),
    )
    t = (
        gate("d", 1, sigmoid(-54.0 + SHIFT_CA, 5.75), bell(22.0, 0.052, 2.5, -68.0), 1.90),
        gate("f", 1, sigmoid(-68.0 + SHIFT_CA, -6.0), bell(103.0, 0.050, 12.5, -58.0), 2.20),
    )
    return (
        Channel(
            "can",
            ion="ca",
            gbar=gbar["can"],
            gates=n,
            open=lambda d, f1, f2: d * (0.55 * f1 + 0.45 * f2),
        ),
        Channel("cat", ion="ca", gbar=gbar["cat"], gates=t),
    )


def sodium_potassium_pump(density: Profile) -> Pump:
    """The pump ``nak``: `density` is its largest current at 22.85 °C, mA/cm²."""

    def current(v: Any, nai: Any, ko: Any, celsius: Any) -> Any:
        # The exponent of a time constant: warmth makes the pump weaker.
        warmth = Q10_NAK ** ((CELSIUS_RATES - celsius) / 10)
        bound = (nai / (nai + KM_NAI)) ** 3 * (ko / (ko + KM_KO)) ** 2
        return warmth * bound * (1 - 50 / (v + 200))  # (v + 150) / (v + 200)

    return Pump("nak", current=current, carries={"na": 3, "k": -2}, density=density)


def _ca_pump(cai: Any, celsius: Any) -> Any:
    """Of 1 mA/cm² at 22 °C; weaker when warmed, as the sodium-potassium pump."""
    return Q10_CAP ** ((CELSIUS_CAP - celsius) / 10) * cai / (cai + KM_CAI)


def _nacx(v: Any, nai: Any, nao: Any, cai: Any, cao: Any, celsius: Any) -> Any:
    """Exchanger of 3 sodium for 1 calcium, for K = 1; weaker when warmed, too."""
    warmth = Q10_NACX ** ((CELSIUS_RATES - celsius) / 10)
    u = v * FARADAY / (1000 * GAS * (celsius + ZERO))
    inward = nai**3 * cao * np.exp(GAMMA_NACX * u)
    outward = nao**3 * cai * np.exp((GAMMA_NACX - 1) * u)
    return warmth * (inward - outward) / (1 + D_NACX * (cai * nao**3 + cao * nai**3))
