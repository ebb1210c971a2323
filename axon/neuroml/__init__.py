"""NeuroML 2: ion channels of files in the standard's language for models of neurons.

``axon.neuroml.read_channel("NaConductance.channel.nml", gbar=0.12, reversal=50.0)`` is a channel as
any other, made of the standard's rates.
"""

from __future__ import annotations

from axon.neuroml.channels import read_channel

__all__ = ["read_channel"]
