"""Spaces in and around an axon that several of the published models share."""

from __future__ import annotations

from axon.ions import Buffer, Pool

EXCHANGE = 1e-4  # µm/ms, between the space around an axon and the bath: 0.1 µm/s

FARADAY = 96500.0  # C/mol, of the calcium pools
CALCIUM_BATH = 2.0  # mM
CALCIUM_EXCHANGE = 4511.0  # ms
# Calmodulin, 1 µM with four sites each.
SITES = 4 * 0.001  # mM
BINDING, UNBINDING = 100.0, 0.238  # 1/(mM ms), 1/ms
BOUND = 0.05  # at the beginning; the equilibrium with 0.117 µM of calcium is 0.0469


def sodium_potassium_pools(width: float, nao: float, ko: float) -> tuple[Pool, ...]:
    """Sodium and potassium in the axoplasm, and in a narrow space that a bath refreshes.

    Parameters
    ----------
    width : float
        Of the space, µm: it is a sheet, as wide around a thin axon as around a thick one.
    nao, ko : float
        Concentrations of the bath, mM.
    """
    refreshed = width / EXCHANGE

    def outside(ion: str, bath: float) -> Pool:
        return Pool(ion, "outside", surface_to_volume=1 / width, bath=bath, time_constant=refreshed)

    return Pool("na", "inside"), outside("na", nao), Pool("k", "inside"), outside("k", ko)


def calcium_pools(widening: float) -> tuple[Pool, ...]:
    """Calcium in the axoplasm, with calmodulin, and in a shell that a bath refreshes.

    Parameters
    ----------
    widening : float
        By how much the shell's diameter exceeds the axon's, µm: twice its thickness.
    """
    calmodulin = Buffer("calmodulin", SITES, BINDING, UNBINDING, initial=BOUND)
    return (
        Pool("ca", "inside", buffers=(calmodulin,), faraday=FARADAY),
        Pool(
            "ca",
            "outside",
            # pi d over pi/4 ((d + widening)^2 - d^2)
            surface_to_volume=lambda diameter: (
                4 * diameter / (widening * (2 * diameter + widening))
            ),
            bath=CALCIUM_BATH,
            time_constant=CALCIUM_EXCHANGE,
            faraday=FARADAY,
        ),
    )
