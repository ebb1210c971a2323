"""What this process may use of its machine."""

from __future__ import annotations

import os


def cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
