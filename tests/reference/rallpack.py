"""Rallpack 1, the passive cable, as specified and as solved exactly.

U. S. Bhalla, D. H. Bilitch, J. M. Bower, Trends Neurosci. 15, 453-458 (1992): a sealed cylinder of
one length constant, 1 mm x 1 µm, in 1000 compartments, at -65 mV; 0.1 nA flows into the first
compartment from t = 0; the first and the last are recorded for 250 ms.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LENGTH, DIAMETER = 1000.0, 1.0  # µm
COMPARTMENTS = 1000
RA, CM, G_LEAK, E_LEAK = 100.0, 1.0, 1 / 40_000, -65.0  # Ω·cm, µF/cm², S/cm², mV
CURRENT, DURATION = 0.1, 250.0  # nA, ms


def exact(t: Array, compartment: int, *, n: int = COMPARTMENTS) -> Array:
    """Potential (mV) of one of `n` compartments at times `t` (ms), exact in time.

    The axial coupling of n equal compartments has the eigenvectors cos(pi k (i + 1/2) / n), with
    eigenvalues 4 G sin²(pi k / 2n); each of them charges by itself.
    """
    dx = LENGTH / n
    area = np.pi * DIAMETER * dx  # µm²
    capacitance = CM * area * 1e-5  # nF
    axial = np.pi * DIAMETER**2 / (4 * RA * dx) * 1e2  # µS
    k = np.arange(n)
    loss = G_LEAK * area * 1e-2 + 4 * axial * np.sin(np.pi * k / (2 * n)) ** 2  # µS
    weight = np.where(k == 0, 1.0, 2.0) / n
    shape = np.cos(np.pi * k / (2 * n)) * np.cos(np.pi * k * (compartment + 0.5) / n)
    steady = CURRENT * weight * shape / loss
    charged = -np.expm1(-np.multiply.outer(np.asarray(t), loss / capacitance))
    v: Array = E_LEAK + charged @ steady
    return v
