"""A membrane with everything in it, told to the fast engine and to the slow one.

Pools on both sides with and without bath and buffers, a sodium-potassium pump, an exchanger, a
calcium pump, a Goldman-Hodgkin-Katz current, currents shared by ions, gates and a scheme that
calcium opens, an instantaneous gate, an opening that is no product. It is no published membrane:
its conductances and its narrow spaces are such that every concentration moves within a spike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from reference import membrane as slow

import axon
from axon import Buffer, Channel, Gate, Ion, Markov, Pool, Pump

CELSIUS = 20.0
V_INIT = -64.0  # mV, not where it rests: all moves from the beginning
F, R = 96485.33212331001, 8.31446261815324  # C/mol, J/(K mol): SI Brochure, 9th edition (2019)
RT_F = 1e3 * R * (CELSIUS + 273.15) / F  # mV

NAI, NAO, KI, KO, CAI, CAO = 12.0, 145.0, 120.0, 4.0, 1e-4, 2.0  # mM
SPACE, SHELL = 0.02, 0.05  # µm: width of the space outside, depth of the calcium inside

G_NA, G_K, G_LEAK, G_BK, G_SK, G_H, G_NAP = 0.08, 0.03, 2e-4, 2e-3, 1e-3, 1e-4, 2e-5  # S/cm²
E_LEAK = -55.0  # mV
P_CA = 2e-5  # cm/s
CONSTANT = 2e-4  # mA/cm²


def m_inf(v: Any) -> Any:
    return 1 / (1 + np.exp(-(v + 38) / 7))


def m_tau(v: Any) -> Any:
    return 0.05 + 0.3 / (1 + np.exp((v + 30) / 10))


def h_inf(v: Any) -> Any:
    return 1 / (1 + np.exp((v + 62) / 7))


def h_tau(v: Any) -> Any:
    return 0.4 + 6.0 / (1 + np.exp((v + 55) / 9))


def n_inf(v: Any) -> Any:
    return 1 / (1 + np.exp(-(v + 30) / 12))


def n_tau(v: Any) -> Any:
    return 0.6 + 4.0 / (1 + np.exp((v + 40) / 12))


def d_inf(v: Any) -> Any:
    return 1 / (1 + np.exp(-(v + 25) / 6))


def d_tau(v: Any) -> Any:
    return 0.3 + 0.5 / (1 + np.exp((v + 25) / 8))


def f_inf(cai: Any) -> Any:
    return 1 / (1 + cai / 2e-3)


def f_tau(cai: Any) -> Any:
    return 2.0 + 5.0 / (1 + cai / 1e-3)


def bk_alpha(v: Any, cai: Any) -> Any:
    return 0.5 * cai / (cai + 0.01 * np.exp(-v / 20))


def bk_beta(v: Any, cai: Any) -> Any:
    return 0.2 / (1 + cai / (0.002 * np.exp(-v / 25)))


def bk_fast(v: Any, cai: Any) -> Any:
    return cai / (cai + 1e-3 * np.exp(-v / 30))


def q_inf(v: Any, ko: Any) -> Any:
    return 1 / (1 + np.exp((v + 75) / 6 - 0.1 * (ko - KO)))


def pump(nai: Any, ko: Any) -> Any:
    return 1e-3 * (nai / (nai + 20.0)) ** 3 * ko / (ko + 2.0)


def exchanger(v: Any, nai: Any, nao: Any, cai: Any, cao: Any) -> Any:
    u = v / RT_F
    return 1e-9 * (nai**3 * cao * np.exp(0.5 * u) - nao**3 * cai * np.exp(-0.5 * u))


def calcium_pump(cai: Any) -> Any:
    return 2e-3 * cai / (cai + 5e-4)


STATES = ("c0", "c1", "c2", "o")
SCHEME = {
    ("c0", "c1"): lambda cai: 300.0 * cai,
    ("c1", "c0"): lambda: 0.3,
    ("c1", "c2"): lambda cai: 150.0 * cai,
    ("c2", "c1"): lambda: 0.4,
    ("c2", "o"): lambda v: 0.8 * np.exp(v / 100),
    ("o", "c2"): lambda v: 0.2 * np.exp(-v / 100),
}


def fast() -> axon.Membrane:
    """For the engine under test, which has an axon to hold it."""
    channels = [
        Channel("na", G_NA, ion="na", gates=[Gate("m", 3, inf=m_inf, tau=m_tau),
                                             Gate("h", inf=h_inf, tau=h_tau)]),
        Channel("k", G_K, ion="k", gates=[Gate("n", 4, inf=n_inf, tau=n_tau)]),
        Channel("leak", G_LEAK, reversal=E_LEAK),
        Channel("ca", P_CA, gates=[Gate("d", 2, inf=d_inf, tau=d_tau),
                                   Gate("f", inf=f_inf, tau=f_tau)],
                ion={"ca": lambda g, v, cai, cao, celsius: g * axon.ghk(v, cai, cao, 2, celsius)}),
        Channel("bk", G_BK, ion="k", gates=[Gate("b", alpha=bk_alpha, beta=bk_beta),
                                            Gate("fast", inf=bk_fast)]),
        Channel("sk", G_SK, ion="k", gates=[Markov("s", SCHEME, open="o")]),
        Channel("h", G_H, ion={"na": 0.4, "k": 0.6},
                gates=[Gate("q", inf=q_inf, tau=lambda v: 20.0)]),
        Channel("nap", G_NAP, ion="na", gates=[Gate("a", inf=d_inf, tau=lambda v: 1.0),
                                               Gate("b", inf=h_inf, tau=lambda v: 3.0)],
                open=lambda a, b: 0.3 * a + 0.7 * b**2),
    ]  # fmt: skip
    pumps = [
        Pump("nak", pump, {"na": 3, "k": -2}, density=2.0),
        Pump("ncx", exchanger, {"na": -3, "ca": 2}),
        Pump("pmca", calcium_pump, {"ca": 1}),
        Pump("constant", lambda: CONSTANT, {"k": 1}),
    ]
    ions = [Ion("na", 1, NAI, NAO), Ion("k", 1, KI, KO), Ion("ca", 2, CAI, CAO)]
    pools = [
        Pool("na", "inside"),
        Pool("k", "outside", surface_to_volume=1 / SPACE, bath=KO, time_constant=30.0),
        Pool("ca", "inside", surface_to_volume=lambda diameter: 1 / SHELL + 0 * diameter,
             bath=CAI, time_constant=50.0,
             buffers=[Buffer("quick", 0.05, 100.0, 0.2), Buffer("slow", 0.1, 5.0, 0.01)]),
    ]  # fmt: skip
    return axon.Membrane(channels, CELSIUS, ions=ions, pools=pools, pumps=pumps)


def ghk(v: Any, inside: Any, outside: Any, valence: int) -> Any:
    """mA/cm² for 1 cm/s, as it stands in A. L. Hodgkin, B. Katz, J. Physiol. 108, 37-77 (1949)."""
    u = valence * v / RT_F
    return 1e-3 * valence * F * u * (inside - outside * np.exp(-u)) / -np.expm1(-u)


def currents(v: Any, gates: slow.Values, c: slow.Values) -> dict[str, Any]:
    """mA/cm² of each ion; under "" what is no particular one's."""
    nai, ko, cai = c["nai"], c["ko"], c["cai"]
    e_na, e_k = RT_F * np.log(NAO / nai), RT_F * np.log(ko / KI)
    g = gates
    turnover, exchange = 2.0 * pump(nai, ko), exchanger(v, nai, NAO, cai, CAO)
    i_h = G_H * g["q"]
    i_na = (G_NA * g["m"] ** 3 * g["h"] + G_NAP * (0.3 * g["a"] + 0.7 * g["b2"] ** 2)) * (v - e_na)
    i_k = (G_K * g["n"] ** 4 + G_BK * g["b"] * bk_fast(v, cai) + G_SK * g["s"][3]) * (v - e_k)
    return {
        "na": i_na + 0.4 * i_h * (v - e_na) + 3 * turnover - 3 * exchange,
        "k": i_k + 0.6 * i_h * (v - e_k) - 2 * turnover + CONSTANT,
        "ca": P_CA * g["d"] ** 2 * g["f"] * ghk(v, cai, CAO, 2) + 2 * exchange + calcium_pump(cai),
        "": G_LEAK * (v - E_LEAK),
    }


def slowly(surface_to_volume: Any) -> slow.Membrane:
    """For the slow engine; membrane per volume of each compartment, 1/µm, is what it must know."""

    def closing(v: Any, c: slow.Values) -> Any:
        return bk_alpha(v, c["cai"]) + bk_beta(v, c["cai"])

    def rate(start: str, end: str) -> Any:
        function = SCHEME[start, end]
        of = function.__code__.co_varnames
        return lambda v, c: function(*({"v": v, "cai": c["cai"]}[name] for name in of))

    gates = {
        "m": slow.Gate(lambda v, c: m_inf(v), lambda v, c: m_tau(v)),
        "h": slow.Gate(lambda v, c: h_inf(v), lambda v, c: h_tau(v)),
        "n": slow.Gate(lambda v, c: n_inf(v), lambda v, c: n_tau(v)),
        "d": slow.Gate(lambda v, c: d_inf(v), lambda v, c: d_tau(v)),
        "f": slow.Gate(lambda v, c: f_inf(c["cai"]), lambda v, c: f_tau(c["cai"]), slow=True),
        "b": slow.Gate(lambda v, c: bk_alpha(v, c["cai"]) / closing(v, c),
                       lambda v, c: 1 / closing(v, c)),
        "q": slow.Gate(lambda v, c: q_inf(v, c["ko"]), lambda v, c: 20.0),
        "a": slow.Gate(lambda v, c: d_inf(v), lambda v, c: 1.0, slow=True),
        "b2": slow.Gate(lambda v, c: h_inf(v), lambda v, c: 3.0, slow=True),
    }  # fmt: skip
    states = {name: k for k, name in enumerate(STATES)}
    scheme = {(states[start], states[end]): rate(start, end) for start, end in SCHEME}
    # mA/cm² is 1e-3 C/(s cm²); 1/µm is 1e4/cm; 1e-3 mol/(s cm³) is 1 mM/ms.
    per_current = 1e4 / F
    pools = {
        "nai": slow.Pool("na", NAI, -per_current * surface_to_volume),
        "ko": slow.Pool("k", KO, per_current / SPACE, bath=KO, time_constant=30.0),
        "cai": slow.Pool(
            "ca",
            CAI,
            -per_current / 2 / SHELL,
            bath=CAI,
            time_constant=50.0,
            buffers={
                "quick": slow.Buffer(0.05, 100.0, 0.2),
                "slow": slow.Buffer(0.1, 5.0, 0.01),
            },
        ),
    }
    return slow.Membrane(currents, gates, {"s": slow.Scheme(len(STATES), scheme)}, pools)
