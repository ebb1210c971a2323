"""The nodose neuron of Schild and Kunze (1997), as a cable."""

from __future__ import annotations

from axon.channels import Channel
from axon.membranes import Membrane
from axon.models._schild import CABLE, I_NAK, bell, gate, nodose, sigmoid
from axon.rates import Profile

REFERENCE = (
    "J. H. Schild, D. L. Kunze, Experimental and modeling study of Na+ current heterogeneity in "
    "rat nodose neurons and its impact on neuronal discharge, J. Neurophysiol. 78, 3198-3209 "
    f"(1997), doi:10.1152/jn.1997.78.6.3198; as a cable: {CABLE}"
)

# S/cm2
G_NAF, G_NAS = 0.022434928, 0.022434928
G_KD, G_KA, G_KDS, G_KCA = 0.001956534, 0.001304356, 0.000782614, 0.000913049
G_CAN, G_CAT = 0.000521743, 0.00018261
G_BNA, G_BCA = 1.8261e-05, 9.13049e-06

CELSIUS_NA = 22.0  # temperature of the sodium channels' time constants

COMPILED = {"i_nak": 0.00972614}
"""Arguments that NEURON's compiler of mechanisms has cut to six digits: what it runs with."""


def schild97(
    g_naf: Profile = G_NAF,
    g_nas: Profile = G_NAS,
    g_kd: Profile = G_KD,
    g_ka: Profile = G_KA,
    g_kds: Profile = G_KDS,
    g_kca: Profile = G_KCA,
    g_can: Profile = G_CAN,
    g_cat: Profile = G_CAT,
    g_bna: Profile = G_BNA,
    g_bca: Profile = G_BCA,
    i_nak: Profile = I_NAK,
) -> Membrane:
    """Vagal afferent with sodium channels as they were measured; the rest as `schild94`.

    Parameters
    ----------
    g_naf, g_nas, g_kd, g_ka, g_kds, g_kca, g_can, g_cat, g_bna, g_bca : float, array or \
callable, optional
        Maximal conductances, S/cm², as those of `schild94`.
    i_nak : float, array or callable, optional
        Largest current of the sodium-potassium pump at 22.85 °C, mA/cm².

    Returns
    -------
    Membrane
        Channels, pumps and pools as those of `schild94`; for 37 °C.

    Notes
    -----
    The numbers are those of PyFibers 0.13.0. What is said of `schild94` is true here, except for
    the sodium channels: their curves are not shifted, fast sodium has no third gate, and their
    time constants count from 22 °C.

    `v_init` is -46.5 mV, as PyFibers has it, but the membrane rests at -68.5 mV (37 °C, with
    calcium at 3.3 µM).

    NEURON runs with one parameter cut to six digits, that in `COMPILED`.

    References
    ----------
    J. H. Schild, D. L. Kunze, J. Neurophysiol. 78, 3198-3209 (1997),
    doi:10.1152/jn.1997.78.6.3198.
    N. A. Pelot et al., J. Neurophysiol. 125, 86-104 (2021), doi:10.1152/jn.00315.2020: the
    cable.
    """
    fast = (
        gate("m", 3, sigmoid(-31.62, 6.98), bell(1.15, 0.06, 0.21, -40.0), 2.30, CELSIUS_NA),
        gate("h", 1, sigmoid(-65.99, -5.97), bell(18.0, 0.043, 1.35, -62.5), 1.50, CELSIUS_NA),
    )
    slow = (
        gate("m", 3, sigmoid(-11.29, 5.54), bell(1.45, 0.058, 0.26, -14.5), 2.30, CELSIUS_NA),
        gate("h", 1, sigmoid(-31.00, -5.20), bell(10.75, 0.067, 3.15, -13.5), 1.50, CELSIUS_NA),
    )
    return nodose(
        (
            Channel("naf", ion="na", gbar=g_naf, gates=fast),
            Channel("nas", ion="na", gbar=g_nas, gates=slow),
        ),
        {
            "kd": g_kd,
            "ka": g_ka,
            "kds": g_kds,
            "kca": g_kca,
            "can": g_can,
            "cat": g_cat,
            "bna": g_bna,
            "bca": g_bca,
        },
        i_nak,
        name="schild97",
        reference=REFERENCE,
    )
