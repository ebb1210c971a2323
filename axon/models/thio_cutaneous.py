"""The cutaneous C-fibre of Thio and colleagues (2024)."""

from __future__ import annotations

from axon.membranes import Membrane
from axon.models._thio import CELSIUS, c_fibre

# S/cm2
G_NAV17, G_NAV18, G_NAV19 = 0.035663, 0.115643, 0.000504
G_KV14, G_KV21, G_KV34 = 0.000044, 0.327196, 0.001786
G_KM, G_BK, G_SK = 0.000003, 0.002016, 0.000755
G_HCN, G_CAV12, G_CAV22 = 0.000106, 0.000188, 0.000361
I_NAK = 0.000456  # mA/cm2
K_NACX = 0.009242  # 36e-9 mA/(cm2 mM4)
RA = 27.513088  # ohm cm


def thio_cutaneous(
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
    """Cutaneous C-fibre: the channels, pumps and pools of `thio_autonomic`, other densities.

    Parameters
    ----------
    g_nav17, g_nav18, g_nav19, g_kv14, g_kv21, g_kv34, g_km, g_bk, g_sk, g_hcn, g_cav12, g_cav22 : \
float, optional
        Maximal conductances, S/cm².
    i_nak, k_nacx : float, optional
        Densities of pump and exchanger, as those of `thio_autonomic`.
    celsius : float, optional
        Temperature at which leaks and constant pumps balance, °C.

    Returns
    -------
    Membrane
        As `thio_autonomic`. What ``balanced`` adds are constant pumps of all three ions, and
        large: 0.0073 mA/cm² of sodium, -0.0246 of potassium.

    Notes
    -----
    What is said of `thio_autonomic` is true here.

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
    return c_fibre(gbar, i_nak, k_nacx, celsius, Ra=RA, name="thio_cutaneous")
