"""The nodose C-type neuron of Schild and colleagues (1994), as a cable."""

from __future__ import annotations

import numpy as np

from axon.channels import Channel
from axon.membranes import Membrane
from axon.models._schild import CABLE, I_NAK, bell, gate, nodose, sigmoid
from axon.rates import Profile

REFERENCE = (
    "J. H. Schild, J. W. Clark, M. Hay, D. Mendelowitz, M. C. Andresen, D. L. Kunze, A- and "
    "C-type rat nodose sensory neurons: model interpretations of dynamic discharge "
    "characteristics, J. Neurophysiol. 71, 2338-2358 (1994), doi:10.1152/jn.1994.71.6.2338; "
    f"as a cable: {CABLE}"
)

# S/cm2
G_NAF, G_NAS = 0.068967142, 0.001043349
G_KD, G_KA, G_KDS, G_KCA = 0.000180376, 0.000141471, 0.000106103, 0.000141471
G_CAN, G_CAT = 0.000106103, 1.23787e-05
G_BNA, G_BCA = 1.85681e-05, 3.00626e-06

SHIFT_NAF, SHIFT_NAS = 17.5, 20.0  # mV, of steady states

COMPILED = {"g_naf": 0.0689671, "g_nas": 0.00104335, "i_nak": 0.00972614}
"""Arguments that NEURON's compiler of mechanisms has cut to six digits: what it runs with."""


def schild94(
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
    """C-type vagal afferent: two sodium, four potassium, two calcium channels, and calcium.

    Parameters
    ----------
    g_naf, g_nas, g_kd, g_ka, g_kds, g_kca, g_can, g_cat, g_bna, g_bca : float, array or \
callable, optional
        Maximal conductances, S/cm²: fast and slow sodium; delayed rectifier, A, D and
        calcium-activated potassium; calcium of high and low threshold; background of sodium
        and calcium. Numbers, one value per compartment, or functions of position in µm.
    i_nak : float, array or callable, optional
        Largest current of the sodium-potassium pump at 22.85 °C, mA/cm².

    Returns
    -------
    Membrane
        Channels ``naf``, ``nas``, ``kd``, ``ka``, ``kds``, ``kca``, ``can``, ``cat``,
        ``background_na``, ``background_ca``, pumps ``nak``, ``ca_pump``, ``nacx``; for 37 °C.
        Calcium moves, inside (with calmodulin) and in a shell outside; sodium and potassium
        do not.

    Notes
    -----
    The numbers are those of PyFibers 0.13.0. What its NEURON code does and one might not expect:

    - Warmth weakens all three pumps: their factors Q10^((T_ref - T)/10) have the sign of
      a time constant's. T_ref is 22 °C for the calcium pump and 22.85 °C for the rest.
    - The sodium-potassium pump goes with (v + 150) / (v + 200), which has a pole at -200 mV.
    - Calcium reverses 78.7 mV below its Nernst potential.
    - The curves of steady states are shifted (`SHIFT_NAF` and so on), time constants are not,
      nor is the gate `j` of fast sodium, which in the code is `l` and knows no temperature.
    - `f2` of ``can`` may exceed 1; the time constant of `c` of ``kca`` is 4.5 / (alpha + beta).
    - The shell of calcium outside is half a micrometre thick: its "thickness" of 1 µm is added
      to the diameter. It relaxes towards the bath: a sign deliberately other than the paper's.
    - Calmodulin begins 5 % bound, which is not its equilibrium, so that calcium moves from the
      start. Rest is at -46.449 mV, with 0.357 µM.
    - R is 8.314 and F 96500, in the potentials as well as in the pools of calcium.
    - NEURON runs with parameters cut to six digits, those in `COMPILED`:
      ``schild94(**COMPILED)`` is what it computes.

    References
    ----------
    J. H. Schild, J. W. Clark, M. Hay, D. Mendelowitz, M. C. Andresen, D. L. Kunze,
    J. Neurophysiol. 71, 2338-2358 (1994), doi:10.1152/jn.1994.71.6.2338.
    N. A. Pelot et al., J. Neurophysiol. 125, 86-104 (2021), doi:10.1152/jn.00315.2020: the
    cable.
    """
    fast = (
        gate("m", 3, sigmoid(-41.35 + SHIFT_NAF, 4.75), bell(0.75, 0.0635, 0.12, -40.35), 2.30),
        gate("h", 1, sigmoid(-62.00 + SHIFT_NAF, -4.50), bell(6.5, 0.0295, 0.55, -75.0), 1.50),
        gate("j", 1, sigmoid(-40.0, -1.5), lambda v: 25 / (1 + np.exp((v - 20) / 4.5)) + 0.01, 1.0),
    )
    slow = (
        gate("m", 3, sigmoid(-20.35 + SHIFT_NAS, 4.45), bell(1.50, 0.0595, 0.15, -20.35), 2.30),
        gate("h", 1, sigmoid(-18.00 + SHIFT_NAS, -4.50), bell(4.95, 0.0335, 0.75, -20.0), 1.50),
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
        name="schild94",
        reference=REFERENCE,
    )
