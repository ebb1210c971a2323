"""What all tests share."""

from __future__ import annotations

import signal

from hypothesis import settings


def pytest_configure() -> None:
    """No test depends on how fast the machine is; and Ctrl-C is heard, although shells let what
    they start in the background ignore it."""
    settings.register_profile("axon", deadline=None)
    settings.load_profile("axon")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
