"""The squid giant axon of Hodgkin and Huxley (1952)."""

from __future__ import annotations

import numpy as np

from axon.channels import Channel, Gate
from axon.membranes import Membrane
from axon.rates import Profile, Rate

REFERENCE = (
    "A. L. Hodgkin, A. F. Huxley, A quantitative description of membrane current and its "
    "application to conduction and excitation in nerve, J. Physiol. 117, 500-544 (1952), "
    "doi:10.1113/jphysiol.1952.sp004764"
)

# Table 3 of the paper, potentials shifted so that rest lies near -65 mV.
G_NA, G_K, G_LEAK = 0.120, 0.036, 0.0003  # S/cm2
E_NA, E_K, E_LEAK = 50.0, -77.0, -54.3  # mV; the paper's own leak, 10.613 mV, is -54.387
CELSIUS = 6.3  # temperature of the rates, equations (12), (13), (15), (16)
Q10 = 3.0  # p. 519, equation (26) and the text after it


def hodgkin_huxley(
    g_na: Profile = G_NA,
    g_k: Profile = G_K,
    g_leak: Profile = G_LEAK,
    e_na: Profile = E_NA,
    e_k: Profile = E_K,
    e_leak: Profile = E_LEAK,
) -> Membrane:
    """Squid giant axon: sodium (m³h), potassium (n⁴) and leak.

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
        Channels ``na``, ``k``, ``leak``; at 6.3 °C, with a Q10 of 3.

    References
    ----------
    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952),
    doi:10.1113/jphysiol.1952.sp004764: rates from equations (12), (13), (20), (21), (23)
    and (24), with the modern sign of the potential and rest at -65 mV.
    """

    def gate(name: str, power: int, alpha: Rate, beta: Rate) -> Gate:
        return Gate(name, power, alpha=alpha, beta=beta, q10=Q10, celsius=CELSIUS)

    m = gate(
        "m",
        3,
        lambda v: 0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)),
        lambda v: 4 * np.exp(-(v + 65) / 18),
    )
    h = gate(
        "h",
        1,
        lambda v: 0.07 * np.exp(-(v + 65) / 20),
        lambda v: 1 / (1 + np.exp(-(v + 35) / 10)),
    )
    n = gate(
        "n",
        4,
        lambda v: 0.01 * (v + 55) / (1 - np.exp(-(v + 55) / 10)),
        lambda v: 0.125 * np.exp(-(v + 65) / 80),
    )
    return Membrane(
        (
            Channel("na", ion="na", gbar=g_na, reversal=e_na, gates=(m, h)),
            Channel("k", ion="k", gbar=g_k, reversal=e_k, gates=(n,)),
            Channel("leak", gbar=g_leak, reversal=e_leak),
        ),
        celsius=CELSIUS,
        name="hodgkin_huxley",
        reference=REFERENCE,
    )
