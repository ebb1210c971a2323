"""What this installation runs on."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from axon import __version__, _kernel


def instruction_set() -> str:
    """The instruction set that simulations use: the best this machine has, or ``AXON_ISA``.

    Raises
    ------
    SimulationError
        If ``AXON_ISA`` names one that was not built, or that this machine lacks.
    """
    return _kernel.chosen_isa(os.environ.get("AXON_ISA") or None)


def fused() -> bool:
    """Whether that set has fused multiply-adds: all that have them give the same bits."""
    _, has_them = _kernel.instruction_sets()[instruction_set()]
    return bool(has_them)


def show_config() -> dict[str, Any]:
    """Versions, and which instruction set the kernel uses.

    Returns
    -------
    dict
        ``isa`` is the one in use; ``supported`` those this machine can run. The environment
        variable ``AXON_ISA`` forces one.

    Examples
    --------
    >>> import axon
    >>> axon.show_config()["supported"]
    ['generic', ...]
    """
    return {
        "axon": __version__,
        "isa": instruction_set(),
        "supported": [name for name, (ok, _) in _kernel.instruction_sets().items() if ok],
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
