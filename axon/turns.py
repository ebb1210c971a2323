"""Threads that work on many things at a time, and hand over what comes of them in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

from axon.errors import SimulationError
from axon.machine import cpus

if TYPE_CHECKING:
    from concurrent.futures import Future

A = TypeVar("A")
B = TypeVar("B")


def checked(threads: int | None, name: str) -> int:
    """How many threads; if that isn't given, as many as there are processors to be used.

    Raises
    ------
    SimulationError
        If it is no whole number from 1 on. It calls it `name`.
    """
    count = cpus() if threads is None else threads
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise SimulationError(f"{name}={threads!r}; give a whole number from 1 on")
    return count


def in_turn(
    function: Callable[[A], B],
    items: Iterable[A],
    threads: int,
    ahead: int,
    *,
    over: Callable[[], None] = lambda: None,
    name: str = "axon",
) -> Generator[B, None, None]:
    """What a function gives for each item, in their order, while threads work on the next ones.

    Parameters
    ----------
    function : callable
        Called in one of the threads, or here if there is to be only one.
    items : iterable
        Asked for as they are needed.
    threads : int
    ahead : int
        Most items that are taken before what the first of them gives is handed over.
    over : callable, optional
        Called at the end of what several threads did; if nobody wants the rest, or something was
        raised, before it is waited for what is under way.
    name : str, optional
        With which the names of the threads begin.
    """
    if threads == 1:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads, name) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            over()
            for future in waiting:
                future.cancel()
