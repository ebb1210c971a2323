"""The C code alone, built with address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from axon import _kernel

ROOT = Path(__file__).resolve().parents[1]
SANITIZE = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c11", "-O1", "-g1", "-ffp-contract=off", *SANITIZE]
# A kernel is one function of thousands of vector operations, each a loop over an array of
# eight: with these two checks gcc takes minutes for it, and the address sanitizer sees the
# same mistakes.
KERNEL_FLAGS = [
    "-fno-sanitize=pointer-overflow,object-size",
    "-fno-sanitize-address-use-after-scope",
]
# The program makes allocations fail, one after the other, and keeps account of them.
LINK_FLAGS = ["-Wl,--wrap=aligned_alloc,--wrap=free", "-lm"]


def gcc(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["gcc", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def run(program: Path, *, leaks: bool) -> subprocess.CompletedProcess[str]:
    options = {
        "ASAN_OPTIONS": f"detect_leaks={leaks:d}",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return subprocess.run(
        [program], env=os.environ | options, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def detect_leaks(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether leaks can be looked for; skips where nothing can be sanitized."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text("int main(void) { return 0; }\n")
    built = gcc(*SANITIZE, folder / "probe.c", "-o", folder / "probe")
    if built.returncode != 0:
        pytest.skip(f"gcc has no sanitizers: {built.stderr.strip().splitlines()[-1]}")
    # Where processes may not be traced the leak detector gives up. The program keeps account
    # of the library's memory by itself in any case.
    return run(folder / "probe", leaks=True).returncode == 0


def test_c_code_runs_clean_and_survives_failing_allocations(
    tmp_path: Path, detect_leaks: bool
) -> None:
    sources = [*(ROOT / "csrc").glob("*.c"), ROOT / "tests" / "c" / "test_simulation.c"]
    # The longest first, so that no core waits for it at the end.
    sources.sort(key=lambda source: ("kernel_" not in source.name, "generic" not in source.name))

    def compiled(source: Path) -> Path:
        to = tmp_path / f"{source.stem}.o"
        extra = KERNEL_FLAGS if source.stem.startswith("kernel_") else []
        built = gcc(*FLAGS, *extra, f"-I{ROOT / 'csrc'}", "-c", source, "-o", to)
        assert built.returncode == 0, built.stderr
        return to

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compiled, sources))
    program = tmp_path / "test_simulation"
    linked = gcc(*FLAGS, *objects, *LINK_FLAGS, "-o", program)
    assert linked.returncode == 0, linked.stderr

    done = run(program, leaks=detect_leaks)
    assert done.returncode == 0, done.stderr
    usable = [name for name, (supported, _) in _kernel.instruction_sets().items() if supported]
    assert done.stdout.splitlines() == [f"{name}: clean" for name in usable]
