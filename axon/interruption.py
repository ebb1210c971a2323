"""When a run is to stop before its end: signals, and a budget of wall time."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Self

from axon.errors import SimulationError

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)

_PARTS = re.compile(
    r"(?:(?P<d>\d+)d)?\s*(?:(?P<h>\d+)h)?\s*(?:(?P<m>\d+)m(?:in)?)?\s*(?:(?P<s>\d+(?:\.\d+)?)s)?",
    re.ASCII,
)
_CLOCK = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d)", re.ASCII)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def seconds(span: float | str, name: str = "stop_after") -> float:
    """A stretch of wall time in seconds.

    Parameters
    ----------
    span : float or str
        Seconds; or text such as ``"3h50m"``, ``"90s"``, ``"1d"``, or as batch systems write it,
        ``"1-03:50:00"``.

    Raises
    ------
    SimulationError
        If it is anything else, or not positive.
    """
    value = 0.0
    if isinstance(span, str):
        text = span.strip()
        if found := (text and _PARTS.fullmatch(text)) or _CLOCK.fullmatch(text):
            value = sum(_SECONDS[k] * float(n) for k, n in found.groupdict().items() if n)
        elif re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
            value = float(text)
    elif isinstance(span, int | float) and not isinstance(span, bool):
        value = float(span)
    if not 0.0 < value < float("inf"):
        raise SimulationError(f'{name}={span!r} is no span of time; write seconds, or "3h50m"')
    return value


class Interruption:
    """Notices that a run is to stop, and says why: called, it returns a reason, or nothing.

    Within its ``with``, a signal makes it so instead of what that did before. A second one does
    what it did before. Signals come to the main thread alone; elsewhere nothing is changed.

    Parameters
    ----------
    stop : callable, optional
        Another one that may say so.
    after : float or str, optional
        Wall time from now on; see `seconds`.
    signals : sequence of signals
        By default Ctrl-C, if that would raise KeyboardInterrupt; which the ``with`` then raises
        in the place of what the interruption led to.
    """

    def __init__(
        self,
        stop: Callable[[], str] | None = None,
        after: float | str | None = None,
        signals: Iterable[signal.Signals] | None = None,
    ) -> None:
        self._stop = stop
        self._after = after
        self._deadline = None if after is None else time.monotonic() + seconds(after)
        self._raises = signals is None
        self._signals = (signal.SIGINT,) if signals is None else tuple(signals)
        self._reason = ""
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> str:
        if self._reason:
            return self._reason
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"its {self._after} are over"
        return self._stop() if self._stop else ""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                before = signal.getsignal(number)
                # One that is ignored, as in the background of a shell, stays so here. By a
                # handler that somebody has put there, it is theirs.
                if before is signal.default_int_handler or (
                    not self._raises and before is not signal.SIG_IGN and before is not None
                ):
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        self._restore()
        if self._raises and self._reason and kind is not None and issubclass(kind, Exception):
            raise KeyboardInterrupt

    def _note(self, number: int, _: FrameType | None) -> None:
        self._reason = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
