"""Published membranes, each a function that returns a `Membrane`, one file each."""

from __future__ import annotations

from axon.models.hodgkin_huxley import hodgkin_huxley
from axon.models.passive import passive

__all__ = ["hodgkin_huxley", "names", "passive"]


def names() -> list[str]:
    """The models there are, in alphabetical order."""
    return sorted(name for name in __all__ if name != "names")
