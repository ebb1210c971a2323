"""What this process may use of the machine it runs on: processors and memory.

Containers and batch systems give a process less than there is, by its affinity and by control
groups (Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst). A group's limits
hold for all groups below it, so each is looked at, from the process's own one upwards.
"""

from __future__ import annotations

import math
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")

# Of a mounted tree of control groups: the group that is its top, where, and which controllers.
_MOUNT = re.compile(r"\S+ \S+ \S+ (\S+) (\S+) .*- cgroup(2?) .*?(\S+)$")

# Limit, use, and what of the use is only a cache of files: of control groups of version 2 and of 1.
_MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cpus(root: Path = ROOT) -> int:
    """How many processors this process may keep busy.

    Parameters
    ----------
    root : Path, optional
        Where ``proc`` and ``sys`` are.

    Returns
    -------
    int
        As its affinity and the quotas of its control groups allow, at least 1. A part of a
        processor counts as one: it would otherwise lie idle.
    """
    if hasattr(os, "sched_getaffinity"):
        count: float = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    for group in _groups(root, "cpu"):
        share = _numbers(group / "cpu.max") or [
            *_numbers(group / "cpu.cfs_quota_us"),
            *_numbers(group / "cpu.cfs_period_us"),
        ]
        # One that is "max" is no number, or is -1.
        if len(share) == 2 and min(share) > 0:
            count = min(count, share[0] / share[1])
    return max(1, math.ceil(count))


PLENTY = 2**28
"""Bytes that are taken without a look at how many are free."""


def lacking(need: int) -> str | None:
    """That `need` bytes of memory would be taken, and fewer are free; if so it is, and known."""
    if need <= PLENTY:
        return None
    free = memory()
    if free is None or free >= need:
        return None
    return f"would take {1e-9 * need:.3g} GB of memory, and {1e-9 * free:.3g} GB are free"


def memory(root: Path = ROOT) -> int | None:
    """How much more memory this process may use.

    Parameters
    ----------
    root : Path, optional
        Where ``proc`` and ``sys`` are.

    Returns
    -------
    int or None
        In bytes, as what the machine has available, its control groups and its ``ulimit -v``
        leave; none if that can't be told.
    """
    left = []
    if (available := _field(root / "proc/meminfo", "MemAvailable:")) is not None:
        left.append(1024 * available)
    elif (pages := _pages()) is not None:
        left.append(pages)
    for group in _groups(root, "memory"):
        for limit, use, cache in _MEMORY:
            if (most := _numbers(group / limit)) and (used := _numbers(group / use)):
                cached = _field(group / "memory.stat", cache) or 0
                left.append(most[0] - max(0, used[0] - cached))
    most_addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most_addresses != resource.RLIM_INFINITY:
        taken = _numbers(root / "proc/self/statm") or [0]
        left.append(most_addresses - taken[0] * resource.getpagesize())
    return max(0, min(left)) if left else None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, as far up as can be seen."""
    mine: dict[str, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        mine.update(dict.fromkeys(controllers.split(","), group))  # version 2 names none
    for found in filter(None, map(_MOUNT.match, _lines(root / "proc/self/mountinfo"))):
        top, where, version, options = found.groups()
        kind = "" if version == "2" else controller
        if kind not in mine or (kind and kind not in options.split(",")):
            continue
        path, mount = Path(mine[kind]), root / where.lstrip("/")
        # A mount that doesn't show the group itself shows one above it.
        folder = mount / (path.relative_to(top) if path.is_relative_to(top) else "")
        yield folder
        yield from (above for above in folder.parents if above.is_relative_to(mount))


def _pages() -> int | None:
    """Memory as systems without ``/proc`` tell it, in bytes: what is free, or else all of it."""
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if name in os.sysconf_names and (pages := os.sysconf(name)) > 0:
            return pages * resource.getpagesize()
    return None


def _field(file: Path, name: str) -> int | None:
    """The number that follows a name at the beginning of a line."""
    for line in _lines(file):
        words = line.split()
        if words[:1] == [name] and len(words) > 1 and words[1].isdigit():
            return int(words[1])
    return None


def _numbers(file: Path) -> list[int]:
    """All whole numbers in a file; none if it isn't there."""
    words = " ".join(_lines(file)).split()
    return [int(word) for word in words if word.lstrip("-").isdigit()]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
