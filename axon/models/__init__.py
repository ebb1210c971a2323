"""Published membranes, each a function that returns a `Membrane`, one file each."""

from __future__ import annotations

from axon.models.hodgkin_huxley import hodgkin_huxley
from axon.models.passive import passive
from axon.models.rattay_aberham import rattay_aberham
from axon.models.schild94 import schild94
from axon.models.schild97 import schild97
from axon.models.sundt import sundt
from axon.models.thio_autonomic import thio_autonomic
from axon.models.thio_cutaneous import thio_cutaneous
from axon.models.tigerholm import tigerholm

__all__ = [
    "hodgkin_huxley",
    "names",
    "passive",
    "rattay_aberham",
    "schild94",
    "schild97",
    "sundt",
    "thio_autonomic",
    "thio_cutaneous",
    "tigerholm",
]


def names() -> list[str]:
    """The models there are, in alphabetical order."""
    return sorted(name for name in __all__ if name != "names")
