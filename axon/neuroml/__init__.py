"""NeuroML 2: ion channels and cells, from files in the standard's language.

``axon.neuroml.read_channel("NaConductance.channel.nml", gbar=0.12, reversal=50.0)`` is a channel as
any other; ``axon.neuroml.read_cell("cell.nml")`` has an ``axon`` and a ``membrane``, and
``read_morphology`` returns the shape alone.
"""

from __future__ import annotations

from axon.neuroml.cells import Cell, read_cell, read_morphology
from axon.neuroml.channels import read_channel

__all__ = ["Cell", "read_cell", "read_channel", "read_morphology"]
