"""What a process may use: trees of /proc and /sys as kernels and containers show them."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon import machine

MEMINFO = "MemTotal: 32000 kB\nMemFree: 1000 kB\nMemAvailable: 16000 kB\n"
V2 = "31 24 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
# Docker without a namespace of its own: the group is mounted as the top, and named as outside.
V1 = (
    "32 31 0:29 /docker/a1 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:32 /docker/a1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    "34 31 0:33 / /sys/fs/cgroup/systemd ro - cgroup cgroup rw,name=systemd\n"
)
V1_GROUPS = "4:memory:/docker/a1\n3:cpu,cpuacct:/docker/a1\n1:name=systemd:/docker/a1\n0::/\n"
CPU1, MEMORY1 = "sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/memory"


@pytest.fixture(autouse=True)
def a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def tree(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def version_2(root: Path, group: str, files: dict[str, object]) -> Path:
    """With `files` below where the groups are."""
    proc = {"proc/self/mountinfo": V2, "proc/self/cgroup": f"0::{group}", "proc/meminfo": MEMINFO}
    return tree(root, proc | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def version_1(root: Path, files: dict[str, object]) -> Path:
    proc = {"proc/self/mountinfo": V1, "proc/self/cgroup": V1_GROUPS, "proc/meminfo": MEMINFO}
    return tree(root, proc | files)


# Processors


def test_without_groups_affinity_counts(tmp_path: Path) -> None:
    assert machine.cpus(tmp_path) == 64


def test_without_affinity_there_are_as_many_as_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.cpus(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cpus(tmp_path) == 1


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 64),
        ("400000 100000", 4),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("100000 200000", 1),
        ("9900000 100000", 64),
        ("0 100000", 64),
        ("nonsense", 64),
        ("", 64),
    ],
)
def test_a_quota(tmp_path: Path, quota: str, expected: int) -> None:
    assert machine.cpus(version_2(tmp_path, "/job", {"job/cpu.max": quota})) == expected


def test_a_quota_of_version_1(tmp_path: Path) -> None:
    def cpus(quota: int) -> int:
        files = {f"{CPU1}/cpu.cfs_quota_us": quota, f"{CPU1}/cpu.cfs_period_us": 50000}
        return machine.cpus(version_1(tmp_path, files))

    assert cpus(-1) == 64
    assert cpus(150000) == 3


@given(st.lists(st.none() | st.integers(1, 100), min_size=1, max_size=5))
def test_the_smallest_quota_on_the_way_up(
    tmp_path_factory: pytest.TempPathFactory, quotas: list[int | None]
) -> None:
    """Of groups from the top down, the last of which is the process's own."""
    names = [f"g{i}" for i in range(len(quotas))]
    files = {
        "/".join([*names[:i], "cpu.max"]): f"{quota * 1000 if quota else 'max'} 1000"
        for i, quota in enumerate(quotas, 1)
    }
    other = {"g0/other/cpu.max": "1000 1000", "other/cpu.max": "1000 1000"}
    root = version_2(tmp_path_factory.mktemp("root"), "/" + "/".join(names), files | other)
    assert machine.cpus(root) == min([64, *filter(None, quotas)])


def test_in_a_namespace_the_top_is_ones_own(tmp_path: Path) -> None:
    assert machine.cpus(version_2(tmp_path, "/", {"cpu.max": "300000 100000"})) == 3


def test_a_group_above_all_that_is_mounted(tmp_path: Path) -> None:
    root = version_1(tmp_path, {f"{CPU1}/cpu.cfs_quota_us": 100, f"{CPU1}/cpu.cfs_period_us": 10})
    tree(root, {"proc/self/cgroup": "3:cpu,cpuacct:/"})
    assert machine.cpus(root) == 10


# Memory


def test_what_the_machine_has_available(tmp_path: Path) -> None:
    assert machine.memory(tree(tmp_path, {"proc/meminfo": MEMINFO})) == 16000 * 1024


def test_what_a_group_leaves(tmp_path: Path) -> None:
    files = {"job/memory.max": 9_000_000, "job/memory.current": 2_000_000}
    assert machine.memory(version_2(tmp_path, "/job", files)) == 7_000_000
    tree(tmp_path, {"sys/fs/cgroup/job/memory.max": "max"})
    assert machine.memory(tmp_path) == 16000 * 1024


def test_a_cache_of_files_is_not_in_the_way(tmp_path: Path) -> None:
    files = {
        "job/memory.max": 9_000_000,
        "job/memory.current": 8_000_000,
        "job/memory.stat": "anon 100\nfile 7500000\ninactive_file 7000000\nactive_file 500000",
    }
    assert machine.memory(version_2(tmp_path, "/job", files)) == 8_000_000


def test_a_group_that_is_full(tmp_path: Path) -> None:
    files = {"job/memory.max": 9_000_000, "job/memory.current": 9_000_001}
    assert machine.memory(version_2(tmp_path, "/job", files)) == 0


def test_groups_on_the_way_up_count_for_all_below(tmp_path: Path) -> None:
    files = {
        "slice/job/memory.max": 9_000_000,
        "slice/job/memory.current": 1_000_000,
        "slice/memory.max": 10_000_000,
        "slice/memory.current": 6_000_000,
    }
    assert machine.memory(version_2(tmp_path, "/slice/job", files)) == 4_000_000


def test_a_group_of_version_1(tmp_path: Path) -> None:
    files = {
        f"{MEMORY1}/memory.limit_in_bytes": 9_000_000,
        f"{MEMORY1}/memory.usage_in_bytes": 8_000_000,
        f"{MEMORY1}/memory.stat": "cache 7500000\ntotal_inactive_file 7000000\n",
    }
    assert machine.memory(version_1(tmp_path, files)) == 8_000_000
    tree(tmp_path, {f"{MEMORY1}/memory.limit_in_bytes": 9223372036854771712})  # none
    assert machine.memory(tmp_path) == 16000 * 1024


def test_a_limit_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ulimit -v`` counts addresses: some are taken already."""
    page = resource.getpagesize()
    limits = (5_000 * page, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", {resource.RLIMIT_AS: limits}.__getitem__)
    tree(tmp_path, {"proc/meminfo": "MemAvailable: 99999999 kB"})
    assert machine.memory(tmp_path) == 5_000 * page
    tree(tmp_path, {"proc/self/statm": "2000 700 300 1 0 900 0"})
    assert machine.memory(tmp_path) == 3_000 * page


def test_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = resource.getpagesize()
    pages = {"SC_AVPHYS_PAGES": 100, "SC_PHYS_PAGES": 900}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(os, "sysconf_names", pages)
    assert machine.memory(tmp_path) == 100 * page
    del pages["SC_AVPHYS_PAGES"]
    assert machine.memory(tmp_path) == 900 * page
    pages.clear()
    assert machine.memory(tmp_path) is None


# This machine


@pytest.mark.skipif(sys.platform != "linux", reason="others tell less")
@pytest.mark.parametrize(
    ("free", "need", "expected"),
    [
        (10**9, 2 * 10**9, "would take 2 GB of memory, and 1 GB are free"),
        (10**9, 10**9, None),
        (None, 2 * 10**9, None),  # nobody knows
        (10**6, machine.PLENTY, None),  # not looked at
        (10**6, machine.PLENTY + 1, "would take 0.268 GB of memory, and 0.001 GB are free"),
    ],
)
def test_what_is_lacking(
    monkeypatch: pytest.MonkeyPatch, free: int | None, need: int, expected: str | None
) -> None:
    monkeypatch.setattr(machine, "memory", lambda: free)
    assert machine.lacking(need) == expected


def test_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 1 <= machine.cpus() <= len(os.sched_getaffinity(0))
    left = machine.memory()
    total = os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()
    assert left is not None and 2**20 < left < total


def test_fewer_processors_by_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("there is no affinity here")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert machine.cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
