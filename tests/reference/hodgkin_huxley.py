"""The membrane of the squid giant axon, for the slow engine.

A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952): rates of equations 12, 13, 20, 21, 23
and 24, conductances of table 3, with the sign of the potential turned and rest at -65 mV, as is
usual now.
"""

from __future__ import annotations

import numpy as np
from reference.cable import Array, Conductance, Gate, Membrane, Rate


def _linoid(x: Array) -> Array:
    """x / (1 - exp(-x)), whose limit at 0 is 1."""
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, -safe / np.expm1(-safe))


def _gate(alpha: Rate, beta: Rate, q10: float) -> Gate:
    return Gate(
        inf=lambda v: alpha(v) / (alpha(v) + beta(v)),
        tau=lambda v: 1 / (q10 * (alpha(v) + beta(v))),
    )


def hodgkin_huxley(celsius: float, *, gl: float = 0.0003, el: float = -54.3) -> Membrane:
    """Conductances in S/cm², potentials in mV, rates three times as fast every 10 °C above 6.3."""
    q10 = 3 ** ((celsius - 6.3) / 10)
    return Membrane(
        gates=(
            _gate(lambda v: _linoid((v + 40) / 10), lambda v: 4 * np.exp(-(v + 65) / 18), q10),
            _gate(
                lambda v: 0.07 * np.exp(-(v + 65) / 20),
                lambda v: 1 / (1 + np.exp(-(v + 35) / 10)),
                q10,
            ),
            _gate(
                lambda v: 0.1 * _linoid((v + 55) / 10),
                lambda v: 0.125 * np.exp(-(v + 65) / 80),
                q10,
            ),
        ),
        conductances=(
            Conductance(0.12, 50.0, (3, 1, 0)),
            Conductance(0.036, -77.0, (0, 0, 4)),
            Conductance(gl, el),
        ),
    )
