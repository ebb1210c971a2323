"""What an electrode outside an axon records, as a sum over potentials and currents.

By reciprocity it is what the electrode's own current would do: a current I into the axon at a place
where 1 mA from the electrode makes the potential E is seen as I E.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence

import numpy as np

from axon.errors import StimulusError
from axon.geometry import Shape
from axon.sources import Source
from axon.stimuli import Extracellular, Stimulus
from axon.units import FloatArray

_MILLIAMPERE = 1e-6  # is a nA


def seen_by(
    source: Source, axon: Shape, stimuli: Sequence[Stimulus]
) -> tuple[FloatArray, FloatArray]:
    """How much every potential inside, and every stimulus, adds to what an electrode records.

    Parameters
    ----------
    source : Source
        The electrode.
    axon : Axon or Tree
    stimuli : sequence of CurrentClamp, VoltageClamp and Extracellular
        Those that act on the axon.

    Returns
    -------
    weight : array (n,)
        For each mV in a compartment, in mV.
    share : array (len(stimuli),)
        For each nA of a stimulus inside, and each mA of one outside, in mV.

    Raises
    ------
    StimulusError
        If `source` is no source, or lies on the axon itself.

    References
    ----------
    R. Plonsey, IEEE Trans. Biomed. Electron. 10, 9-12 (1963).
    """
    if not isinstance(source, Source):
        raise StimulusError(
            f"source = {reprlib.repr(source)} is no source; write for instance "
            "axon.PointSource(0, 0, 100)"
        )
    lead = source.on_axon(axon.places, axon.x)
    # The axial currents are a symmetric matrix times V, so they may as well be taken of E.
    inflow = axon.axial_inflow(lead)

    def share(stimulus: Stimulus) -> float:
        if isinstance(stimulus, Extracellular):
            # Summed up without rounding, for NumPy's sums differ from machine to machine.
            return math.fsum(inflow * stimulus.source.on_axon(axon.places, axon.x))
        return float(lead[axon.index(stimulus.at)])

    shares = np.array([share(stimulus) for stimulus in stimuli])
    return _MILLIAMPERE * inflow, _MILLIAMPERE * shares
