"""The C-fibre axon of Sundt, Gamper and Jaffe (2015)."""

from __future__ import annotations

from typing import Any

import numpy as np

from axon.channels import Channel, Gate
from axon.membranes import Membrane
from axon.rates import Profile

REFERENCE = (
    "D. Sundt, N. Gamper, D. B. Jaffe, Spike propagation through the dorsal root ganglia in an "
    "unmyelinated sensory neuron: a modeling study, J. Neurophysiol. 114, 3140-3153 (2015), "
    "doi:10.1152/jn.00226.2015"
)

G_NA, G_K, G_LEAK = 0.04, 0.04, 1e-4  # S/cm2
E_NA, E_K, E_LEAK = 50.0, -90.0, -60.0  # mV
RA, CM = 100.0, 1.0  # ohm cm, uF/cm2
V_INIT = -60.0  # mV
CELSIUS = 37.0
CELSIUS_RATES, Q10 = 30.0, 3.0
SHIFT_M, SHIFT_H = -6.0, 6.0  # mV, added to the potential that a sodium gate sees
GAS, FARADAY, ZERO = 8.315, 9.648e4, 273.16  # J/(K mol), C/mol, K: of the potassium gates


def sundt(
    g_na: Profile = G_NA,
    g_k: Profile = G_K,
    g_leak: Profile = G_LEAK,
    e_na: Profile = E_NA,
    e_k: Profile = E_K,
    e_leak: Profile = E_LEAK,
) -> Membrane:
    """Axon of a C-fibre: sodium (m³h), delayed rectifier (n³l) and leak.

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
        Channels ``na``, ``k``, ``leak``; for 37 °C, with a Q10 of 3 from 30 °C.

    Notes
    -----
    The numbers are those of PyFibers 0.13.0. What its NEURON code does and one might not expect:

    - The leak is meant to balance the channels at -60 mV, but is computed while their currents
      are still zero. So it reverses at -60 mV itself, and rest is at -59.931 mV.
    - Sodium reverses at 50 mV because that is NEURON's default; nothing sets it.
    - The potassium gates have 8.315 and 9.648e4 for R and F, and 273.16 for 0 °C. `l` is slow:
      its time constant approaches 463 ms at 37 °C when the membrane is depolarised.

    References
    ----------
    D. Sundt, N. Gamper, D. B. Jaffe, J. Neurophysiol. 114, 3140-3153 (2015),
    doi:10.1152/jn.00226.2015.
    """
    m = Gate(
        "m",
        3,
        alpha=lambda v: 0.32 * _linoid(13.1 - (v + 65 + SHIFT_M), 4),
        beta=lambda v: 0.28 * _linoid(v + 65 + SHIFT_M - 40.1, 5),
        q10=Q10,
        celsius=CELSIUS_RATES,
    )
    h = Gate(
        "h",
        1,
        alpha=lambda v: 0.128 * np.exp((17 - (v + 65 + SHIFT_H)) / 18),
        beta=lambda v: 4 / (1 + np.exp((40 - (v + 65 + SHIFT_H)) / 5)),
        q10=Q10,
        celsius=CELSIUS_RATES,
    )
    n = _barrier("n", 3, z=-5.0, half=-32.0, gamma=0.4, rate=0.03)
    l = _barrier("l", 1, z=2.0, half=-61.0, gamma=1.0, rate=0.001)  # noqa: E741
    return Membrane(
        (
            Channel("na", ion="na", gbar=g_na, reversal=e_na, gates=(m, h)),
            Channel("k", ion="k", gbar=g_k, reversal=e_k, gates=(n, l)),
            Channel("leak", gbar=g_leak, reversal=e_leak),
        ),
        celsius=CELSIUS,
        name="sundt",
        reference=REFERENCE,
        Ra=RA,
        cm=CM,
        v_init=V_INIT,
    )


def _linoid(x: Any, y: float) -> Any:
    return x / (np.exp(x / y) - 1)


def _barrier(name: str, power: int, z: float, half: float, gamma: float, rate: float) -> Gate:
    """A gate of `z` charges over one energy barrier, at `gamma` of the way; `rate` in 1/ms."""

    def a(v: Any, celsius: Any, share: float = 1.0) -> Any:
        per_mv = 1e-3 * FARADAY / (GAS * (ZERO + celsius))
        return np.exp(share * z * (v - half) * per_mv)

    return Gate(
        name,
        power,
        inf=lambda v, celsius: 1 / (1 + a(v, celsius)),
        tau=lambda v, celsius: a(v, celsius, gamma) / (rate * (1 + a(v, celsius))),
        q10=Q10,
        celsius=CELSIUS_RATES,
    )
