"""The autonomic C-fibre of Thio and colleagues (2024)."""

from __future__ import annotations

from axon.membranes import Membrane
from axon.models._thio import CELSIUS, c_fibre

# S/cm2
G_NAV17, G_NAV18, G_NAV19 = 0.036813, 0.075747, 0.000376
G_KV14, G_KV21, G_KV34 = 0.000024, 0.005337, 0.000289
G_KM, G_BK, G_SK = 0.002864, 0.000156, 0.000006
G_HCN, G_CAV12, G_CAV22 = 0.002789, 0.000004, 0.009546
I_NAK = 0.056316  # mA/cm2
K_NACX = 0.00021  # 36e-9 mA/(cm2 mM4)
RA = 23.117539  # ohm cm


def thio_autonomic(
    g_nav17: float = G_NAV17,
    g_nav18: float = G_NAV18,
    g_nav19: float = G_NAV19,
    g_kv14: float = G_KV14,
    g_kv21: float = G_KV21,
    g_kv34: float = G_KV34,
    g_km: float = G_KM,
    g_bk: float = G_BK,
    g_sk: float = G_SK,
    g_hcn: float = G_HCN,
    g_cav12: float = G_CAV12,
    g_cav22: float = G_CAV22,
    i_nak: float = I_NAK,
    k_nacx: float = K_NACX,
    *,
    celsius: float = CELSIUS,
) -> Membrane:
    """Autonomic C-fibre: twelve channels, two pumps; sodium, potassium and calcium move.

    Parameters
    ----------
    g_nav17, g_nav18, g_nav19, g_kv14, g_kv21, g_kv34, g_km, g_bk, g_sk, g_hcn, g_cav12, g_cav22 : \
float, optional
        Maximal conductances, S/cm²; ``km`` is Kv7. Numbers, since leaks and constant pumps
        balance them; `Membrane.scaled` varies them along the axon, leaks as they are.
    i_nak : float, optional
        Largest current of the sodium-potassium pump at 22.85 °C, mA/cm².
    k_nacx : float, optional
        Density of the sodium-calcium exchanger, in 36e-9 mA/cm² per mM⁴.
    celsius : float, optional
        Temperature at which leaks and constant pumps balance, °C.

    Returns
    -------
    Membrane
        A channel for each of the conductances, pumps ``nak`` and ``nacx``, and what
        ``balanced`` adds: leaks of sodium and potassium and a constant pump of calcium. Each
        ion is balanced at -58.5 mV.

    Notes
    -----
    The numbers are those of PyFibers 0.13.0. What its NEURON code does and one might not expect:

    - It sets concentrations and reversal potentials that are then overwritten. Sodium begins
      with 11.4 and 154 mM, potassium with 144.9 and 5.6, and all three ions have their Nernst
      potential at every moment; calcium is not shifted, as it is in `schild94`.
    - Time constants of activation of Nav and of ``km``, ``kv14``, ``kv34`` are halved.
    - Nav1.7 counts its temperature from 21 °C, all others from 22 °C.
    - Warmth weakens the sodium-potassium pump, as in `schild94`, and strengthens the exchanger
      by a straight line, 2.2 times from 23 to 37 °C. The exchanger does next to nothing: its
      density is 0.0002, its mechanism's default 316.
    - A first formula for the inactivation of Cav2.2 is overwritten by the one here.
    - The steady state of `h` of Kv1.4 is at most 0.997.
    - Time constants of ``hcn`` fall to 1e-10 ms when it is depolarised.
    - Calmodulin begins 5 % bound, which isn't its equilibrium: all currents are balanced at
      first, but calcium moves.
    - The calcium's shell is 15 nm thick, half its "thickness" as in `schild94`; that of sodium
      and potassium a sheet of 30 nm.
    - It looks most rates up in tables; here they are the formulas. So leaks differ a little.

    References
    ----------
    B. J. Thio, N. D. Titus, N. A. Pelot, W. M. Grill, PLoS Comput. Biol. 20, e1012475 (2024),
    doi:10.1371/journal.pcbi.1012475.
    """
    gbar = {
        "nav17": g_nav17,
        "nav18": g_nav18,
        "nav19": g_nav19,
        "kv14": g_kv14,
        "kv21": g_kv21,
        "kv34": g_kv34,
        "km": g_km,
        "bk": g_bk,
        "sk": g_sk,
        "hcn": g_hcn,
        "cav12": g_cav12,
        "cav22": g_cav22,
    }
    return c_fibre(gbar, i_nak, k_nacx, celsius, Ra=RA, name="thio_autonomic")
