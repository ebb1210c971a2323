"""The warm Hodgkin-Huxley membrane of Rattay and Aberham (1993)."""

from __future__ import annotations

from typing import Any

import numpy as np

from axon.channels import Channel, Gate
from axon.membranes import Membrane
from axon.rates import Profile, Rate

REFERENCE = (
    "F. Rattay, M. Aberham, Modeling axon membranes for functional electrical stimulation, "
    "IEEE Trans. Biomed. Eng. 40, 1201-1209 (1993), doi:10.1109/10.250575"
)

G_NA, G_K, G_LEAK = 0.120, 0.036, 0.0003  # S/cm2
E_NA, E_K, E_LEAK = 45.0, -82.0, -59.4  # mV
V_REST = -70.0  # mV, from which the rates count
RA, CM = 100.0, 1.0  # ohm cm, uF/cm2
CELSIUS = 37.0
CELSIUS_RATES = 6.3  # temperature of the rates
Q10 = 2.24659524757  # rates 12 times as fast at 37 °C


def rattay_aberham(
    g_na: Profile = G_NA,
    g_k: Profile = G_K,
    g_leak: Profile = G_LEAK,
    e_na: Profile = E_NA,
    e_k: Profile = E_K,
    e_leak: Profile = E_LEAK,
) -> Membrane:
    """Warm unmyelinated axon: the squid's channels with rest at -70 mV and twelvefold rates.

    Parameters
    ----------
    g_na, g_k, g_leak : float, array or callable, optional
        Maximal conductances, S/cm²: numbers, one value per compartment, or functions of
        position in µm.
    e_na, e_k, e_leak : float, array or callable, optional
        Reversal potentials, mV.

    Returns
    -------
    Membrane
        Channels ``na``, ``k``, ``leak``; for 37 °C.

    Notes
    -----
    The numbers are those of PyFibers 0.13.0. What its NEURON code does and one might not expect:

    - The factor 12 at 37 °C is written as a Q10 of 2.2466 from 6.3 °C, so that other
      temperatures are possible.
    - The leak reverses at -59.4 mV; Hodgkin and Huxley's, shifted, would do so at -59.387.
      Rest is at -69.9997 mV and not quite at -70.
    - It looks rates up in a table of 1 mV, which ends at ±100 mV. Here they are the formulas.

    References
    ----------
    F. Rattay, M. Aberham, IEEE Trans. Biomed. Eng. 40, 1201-1209 (1993),
    doi:10.1109/10.250575.
    """

    def gate(name: str, power: int, alpha: Rate, beta: Rate) -> Gate:
        return Gate(name, power, alpha=alpha, beta=beta, q10=Q10, celsius=CELSIUS_RATES)

    m = gate(
        "m",
        3,
        lambda v: _linoid(2.5 - 0.1 * (v - V_REST)),
        lambda v: 4 * np.exp(-(v - V_REST) / 18),
    )
    h = gate(
        "h",
        1,
        lambda v: 0.07 * np.exp(-(v - V_REST) / 20),
        lambda v: 1 / (1 + np.exp(3 - 0.1 * (v - V_REST))),
    )
    n = gate(
        "n",
        4,
        lambda v: 0.1 * _linoid(1 - 0.1 * (v - V_REST)),
        lambda v: 0.125 * np.exp(-(v - V_REST) / 80),
    )
    return Membrane(
        (
            Channel("na", ion="na", gbar=g_na, reversal=e_na, gates=(m, h)),
            Channel("k", ion="k", gbar=g_k, reversal=e_k, gates=(n,)),
            Channel("leak", gbar=g_leak, reversal=e_leak),
        ),
        celsius=CELSIUS,
        name="rattay_aberham",
        reference=REFERENCE,
        Ra=RA,
        cm=CM,
        v_init=V_REST,
    )


def _linoid(x: Any) -> Any:
    return x / (np.exp(x) - 1)
