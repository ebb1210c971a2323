"""Tasks for tests of engines: a module of its own, which worker processes import quickly."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from axon import engines
from axon.errors import StoppedError

Batch = tuple[str, ...]


def double(names: Batch) -> list[Any]:
    return [2 * name for name in names]


def where(names: Batch) -> list[Any]:
    """In which process, and how many threads it would use."""
    return [(os.getpid(), os.environ.get("OMP_NUM_THREADS"))] * len(names)


class Odd(Exception):
    """One that can be pickled but not unpickled."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def fail(names: Batch) -> list[Any]:
    """As the name says."""
    if names == ("odd",):
        raise Odd(1, 2)
    if names == ("exit",):
        sys.exit(3)
    if names == ("unsendable",):
        return [lambda: None]
    if names != ("fine",):
        raise LookupError(f"no {names[0]}")
    return ["fine"]


class Dying:
    """Batches that hold certain names end their process, always or once."""

    def __init__(self, folder: Path, number: int = signal.SIGKILL) -> None:
        self.folder = folder
        self.number = number

    def __call__(self, names: Batch) -> list[Any]:
        for name in names:
            with (self.folder / name).open("a") as file:
                file.write(f"{len(names)}\n")
            if name.startswith("poison"):
                self.die()
            if name.startswith("once") and (self.folder / name).read_text().count("\n") == 1:
                self.die()
        return list(names)

    def die(self) -> None:
        signal.signal(self.number, signal.SIG_DFL) if self.number != signal.SIGKILL else None
        os.kill(os.getpid(), self.number)

    def tries(self, name: str) -> list[int]:
        """Sizes of the batches in which it was tried."""
        return [int(line) for line in (self.folder / name).read_text().split()]


class Waiting:
    """Each name says that it has begun, and waits until it is told to stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, names: Batch) -> list[Any]:
        for name in names:
            (self.folder / f"{name}.begun").write_text(str(os.getpid()))
        while not (reason := engines.stopping()):
            time.sleep(0.01)
        for name in names:
            (self.folder / f"{name}.ended").touch()
        if names[0].startswith("quiet"):
            return [reason]
        raise StoppedError(reason)

    def begun(self) -> list[int]:
        """Processes in which names have begun."""
        texts = [file.read_text() for file in self.folder.glob("*.begun")]
        return [int(text) for text in texts if text]

    def ended(self) -> int:
        return len(list(self.folder.glob("*.ended")))


class Deaf(Waiting):
    """Names that don't listen."""

    def __call__(self, names: Batch) -> list[Any]:
        (self.folder / f"{names[0]}.begun").write_text(str(os.getpid()))
        time.sleep(60)
        return []


def leave(names: Batch) -> list[Any]:
    """Without a word."""
    os._exit(7)
