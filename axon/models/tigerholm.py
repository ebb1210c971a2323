"""The C-nociceptor of Tigerholm and colleagues (2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

from axon.channels import Channel, Gate, Pump
from axon.ions import Ion
from axon.membranes import Membrane
from axon.models._pools import sodium_potassium_pools
from axon.rates import Rate

REFERENCE = (
    "J. Tigerholm, M. E. Petersson, O. Obreja, A. Lampert, R. Carr, M. Schmelz, E. Fransén, "
    "Modeling activity-dependent changes of axonal spike conduction in primary afferent "
    "C-nociceptors, J. Neurophysiol. 111, 1721-1735 (2014), doi:10.1152/jn.00777.2012"
)

# S/cm2
G_NAV17, G_NAV18, G_NAV19 = 0.10664, 0.24271, 9.4779e-05
G_KDR, G_KS, G_KF, G_H, G_KNA = 0.018002, 0.0069733, 0.012756, 0.0025377, 0.00042
I_NAK = 0.0047891  # mA/cm2, of potassium

RA, CM = 35.4, 1.0  # ohm cm, uF/cm2
V_REST = -55.0  # mV, where each ion is balanced
CELSIUS = 37.0

NAI, NAO, KI, KO = 11.4, 154.0, 121.7, 5.6  # mM, at the beginning
SPACE = 0.029  # µm, around the axon

# Rate constants, mV, that have more digits than NEURON runs with.
C_BETA_H17, C_ALPHA_M19, B_ALPHA_H19, B_BETA_H19 = -12.70195, -14.87115, 73.26415, 10.27853

COMPILED = {
    "c_beta_h17": -12.702,
    "c_alpha_m19": -14.8712,
    "b_alpha_h19": 73.2642,
    "b_beta_h19": 10.2785,
}
"""Arguments that NEURON's compiler of mechanisms has cut to six digits: what it runs with."""


def tigerholm(
    g_nav17: float = G_NAV17,
    g_nav18: float = G_NAV18,
    g_nav19: float = G_NAV19,
    g_kdr: float = G_KDR,
    g_ks: float = G_KS,
    g_kf: float = G_KF,
    g_h: float = G_H,
    g_kna: float = G_KNA,
    i_nak: float = I_NAK,
    *,
    celsius: float = CELSIUS,
    c_beta_h17: float = C_BETA_H17,
    c_alpha_m19: float = C_ALPHA_M19,
    b_alpha_h19: float = B_ALPHA_H19,
    b_beta_h19: float = B_BETA_H19,
) -> Membrane:
    """C-nociceptor whose sodium and potassium move, so that conduction slows with activity.

    Parameters
    ----------
    g_nav17, g_nav18, g_nav19, g_kdr, g_ks, g_kf, g_h, g_kna : float, optional
        Maximal conductances, S/cm²: sodium channels; delayed rectifier, slow (Kv7) and fast
        (A) potassium, HCN, and potassium activated by sodium. Numbers, since the leaks
        balance them; `Membrane.scaled` varies them along the axon, leaks as they are.
    i_nak : float, optional
        Density of the sodium-potassium pump, mA/cm².
    celsius : float, optional
        Temperature at which the leaks balance, °C.
    c_beta_h17, c_alpha_m19, b_alpha_h19, b_beta_h19 : float, optional
        Constants of the rates of Nav1.7 and Nav1.9, mV; for ``tigerholm(**COMPILED)``.

    Returns
    -------
    Membrane
        Channels ``nav17``, ``nav18``, ``nav19``, ``kdr``, ``ks``, ``kf``, ``h``, ``kna``, the
        leaks that ``balanced`` adds, pump ``nak``; sodium and potassium move, inside and in
        a space of 29 nm around the axon. With leaks ``leak_na`` of 2.058e-5 and ``leak_k`` of
        4.228e-5 S/cm² at 37 °C, -55 mV is a fixed point of everything.

    Notes
    -----
    The numbers are those of PyFibers 0.13.0. What its NEURON code does and one might not expect:

    - Time constants jump: of ``kdr`` at -31 mV by a tenth, of ``ks`` at -60 mV and of ``h`` at
      -70 mV by a part in 100 or less.
    - Of `s` and `u` of Nav1.8, time constant and steady state aren't those of one pair of rates.
    - beta_h of Nav1.7 becomes negative below -89 mV; alpha_h outweighs it.
    - ``kf`` is shifted by 15 mV in its steady states, but not in its time constants.
    - The pump doesn't depend on temperature, nor do conductances.
    - The space around the axon is a sheet: its volume per area does not depend on the diameter.
    - NEURON runs with four rate constants cut to six digits, those in `COMPILED`.

    References
    ----------
    J. Tigerholm, M. E. Petersson, O. Obreja, A. Lampert, R. Carr, M. Schmelz, E. Fransén,
    J. Neurophysiol. 111, 1721-1735 (2014), doi:10.1152/jn.00777.2012.
    """
    ions = (Ion("na", 1, inside=NAI, outside=NAO), Ion("k", 1, inside=KI, outside=KO))
    channels = (
        _nav17(g_nav17, c_beta_h17),
        _nav18(g_nav18),
        _nav19(g_nav19, c_alpha_m19, b_alpha_h19, b_beta_h19),
        _kdr(g_kdr),
        _ks(g_ks),
        _kf(g_kf),
        _h(g_h),
        Channel("kna", ion="k", gbar=g_kna, open=lambda nai: 0.37 / (1 + (38.7 / nai) ** 3.5)),
    )
    pump = Pump("nak", current=_nak, carries={"na": 1.5, "k": -1.0}, density=i_nak)
    return Membrane(
        channels,
        celsius=celsius,
        name="tigerholm",
        reference=REFERENCE,
        ions=ions,
        pools=sodium_potassium_pools(SPACE, NAO, KO),
        pumps=(pump,),
        Ra=RA,
        cm=CM,
        v_init=V_REST,
    ).balanced(V_REST)


def _logistic(a: float, b: float, c: float) -> Rate:
    return lambda v: a / (1 + np.exp((v + b) / c))


def _nav17(gbar: float, c_beta_h: float) -> Channel:
    def gate(name: str, power: int, alpha: Rate, beta: Rate) -> Gate:
        return Gate(name, power, alpha=alpha, beta=beta, q10=2.5, celsius=21.0)

    def beta_h(v: Any) -> Any:
        return -0.00283 + _logistic(2.00283, 5.5266, c_beta_h)(v)

    def alpha_s(v: Any) -> Any:
        return 0.00003 + _logistic(0.00092, 93.9, 16.6)(v)

    def beta_s(v: Any) -> Any:
        return 132.05 - _logistic(132.05, -384.9, 28.5)(v)

    gates = (
        gate("m", 3, _logistic(15.5, -5.0, -12.08), _logistic(35.2, 72.7, 16.7)),
        gate("h", 1, _logistic(0.38685, 122.35, 15.29), beta_h),
        gate("s", 1, alpha_s, beta_s),
    )
    return Channel("nav17", ion="na", gbar=gbar, gates=gates)


def _nav18(gbar: float) -> Channel:
    def gate(name: str, inf: Rate, tau: Rate) -> Gate:
        return Gate(name, inf=inf, tau=tau, q10=2.5, celsius=22.0)

    def tau_s(v: Any) -> Any:
        alpha = 0.001 * _logistic(5.4203, 79.816, 16.269)(v)
        return 1 / (alpha + 0.001 * _logistic(5.0757, 15.968, -11.542)(v))

    def tau_u(v: Any) -> Any:
        alpha = 0.0002 * _logistic(2.0434, 67.499, 19.51)(v)
        return 1 / (alpha + 0.0002 * _logistic(1.9952, 30.963, -14.792)(v))

    m = Gate(
        "m",
        3,
        alpha=lambda v: 2.85 - _logistic(2.839, -1.159, 13.95)(v),
        beta=_logistic(7.6205, 46.463, 8.8289),
        q10=2.5,
        celsius=22.0,
    )
    h = gate(
        "h",
        _logistic(1.0, 32.2, 4.0),
        lambda v: 1.218 + 42.043 * np.exp(-((v + 38.1) ** 2) / (2 * 15.19**2)),
    )
    s = gate("s", _logistic(1.0, 45.0, 8.0), tau_s)
    u = gate("u", _logistic(1.0, 51.0, 8.0), tau_u)
    return Channel("nav18", ion="na", gbar=gbar, gates=(m, h, s, u))


def _nav19(gbar: float, c_alpha_m: float, b_alpha_h: float, b_beta_h: float) -> Channel:
    def gate(name: str, alpha: Rate, beta: Rate) -> Gate:
        return Gate(name, alpha=alpha, beta=beta, q10=2.5, celsius=21.0)

    gates = (
        gate("m", _logistic(1.032, 6.99, c_alpha_m), _logistic(5.79, 130.4, 22.9)),
        gate("h", _logistic(0.06435, b_alpha_h, 3.71928), _logistic(0.13496, b_beta_h, -9.09334)),
        gate("s", lambda v: 0.00000016 * np.exp(-v / 12), _logistic(0.0005, 32.0, -23.0)),
    )
    return Channel("nav19", ion="na", gbar=gbar, gates=gates)


def _kdr(gbar: float) -> Channel:
    def tau_n(v: Any) -> Any:
        below = 1000 * (0.000688 + 1 / (np.exp((v + 75.2) / 6.5) + np.exp(-(v - 131.5) / 34.8)))
        return np.where(v < -31, below, 0.16 + 0.8 * np.exp(-0.0267 * (v + 11)))

    n = Gate("n", 4, inf=_logistic(1.0, 25.0, -15.4), tau=tau_n, q10=3.3, celsius=22.0)
    return Channel("kdr", ion="k", gbar=gbar, gates=(n,))


def _ks(gbar: float) -> Channel:
    def gate(name: str, tau: Rate) -> Gate:
        return Gate(name, inf=_logistic(1.0, 30.0, -6.0), tau=tau, q10=3.3, celsius=21.0)

    def tau_nf(v: Any) -> Any:
        return 1 / (0.00395 * np.exp((v + 30) / 40) + 0.00395 * np.exp(-(v + 30) / 20))

    gates = (gate("ns", lambda v: np.where(v < -60, 219, 13 * v + 1000)), gate("nf", tau_nf))
    return Channel("ks", ion="k", gbar=gbar, gates=gates, open=lambda ns, nf: (ns + 3 * nf) / 4)


def _kf(gbar: float) -> Channel:
    def gate(name: str, inf: Rate, tau: Rate) -> Gate:
        return Gate(name, inf=inf, tau=tau, q10=3.3, celsius=23.0)

    m = gate(
        "m",
        lambda v: _logistic(1.0, 5.4 - 15, -16.4)(v) ** 4,
        lambda v: 0.25 + 10.04 * np.exp(-((v + 24.67) ** 2) / (2 * 34.8**2)),
    )
    h = gate(
        "h",
        _logistic(1.0, 49.9 - 15, 4.6),
        lambda v: 20 + 50 * np.exp(-((v + 40) ** 2) / (2 * 40**2)),
    )
    return Channel("kf", ion="k", gbar=gbar, gates=(m, h))


def _h(gbar: float) -> Channel:
    def gate(name: str, below: Rate, above: Rate) -> Gate:
        return Gate(
            name,
            inf=_logistic(1.0, 87.2, 9.7),
            tau=lambda v: np.where(v < -70, below(v), above(v)),
            q10=3.0,
            celsius=22.0,
        )

    ns = gate(
        "ns",
        lambda v: 2500 + 100 * np.exp((v + 240) / 50),
        lambda v: 300 + 542 * np.exp(-(v + 25) / 20),
    )
    nf = gate(
        "nf",
        lambda v: 250 + 12 * np.exp((v + 240) / 50),
        lambda v: 140 + 50 * np.exp(-(v + 25) / 20),
    )
    return Channel(
        "h",
        ion={"na": 0.5, "k": 0.5},
        gbar=gbar,
        gates=(ns, nf),
        open=lambda ns, nf: (ns + nf) / 2,
    )


def _nak(nai: Any, ko: Any) -> Any:
    sodium = 1.62 / (1 + (6.7 / (nai + 8)) ** 3) + 1 / (1 + (67.6 / (nai + 8)) ** 3)
    return sodium / (1 + 1 / ko) ** 2
