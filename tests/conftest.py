"""What all tests share."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Ctrl-C is heard, although shells let what they start in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
