"""Files that somebody made up: read and gone on with, or refused, and never anything else.

Inputs are made from a number, in processes of their own that have little memory and little time.
``python tests/faults/test_hostile.py 4711`` shows what becomes of one.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import json
import logging
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

import axon
from axon import equations, restart, runfile, segments, storage
from axon.segments import FIRST, chain, parts_of

SECONDS = 16.0  # for one input; on a free core none takes more than 4
ROOM = 1 << 30  # bytes, beyond what the process takes before it begins
BATCH = 500  # inputs of one process
BASES = ("finished", "stopped", "pools", "changed", "slow", "longer", "both", "outside", "branched")
"""What inputs are made of at random."""

# Runs to begin from

ELECTRODE = axon.PointSource(500.0, 200.0, 0.0)


def squid(**options: Any) -> axon.Simulation:
    stimuli = [
        axon.CurrentClamp(0.0, axon.train(200.0, 0.1, 0.3, interval=1.0, count=3)),
        axon.CurrentClamp(900.0, axon.sine(5.0, 800.0) + axon.samples([0, 1, 1, 2], [0, 9, 1, 0])),
    ]
    fibre = axon.Axon.cylinder(1000.0, 100.0, Ra=35.4, compartments=6)
    membrane = axon.models.hodgkin_huxley()
    return axon.Simulation(fibre, membrane, stimuli, celsius=18.5, dt=0.01, **options)


def pools(changes: Sequence[axon.Change] = ()) -> axon.Simulation:
    """Concentrations that diffuse, a scheme, and a temperature that varies."""
    scheme = axon.Markov(
        "s",
        {("c", "o"): lambda v: np.exp(v / 40), ("o", "c"): lambda v, nai: 1 + 0.01 * nai + 0 * v},
        open="o",
    )
    membrane = axon.Membrane(
        [
            axon.Channel("leak", 1e-4, -65.0),
            axon.Channel("na", 1e-4, ion="na", gates=[scheme]),
        ],
        ions=[axon.Ion("na", 1, 10.0, 140.0)],
        pools=[axon.Pool("na", "inside", diffusion=1.33)],
    )
    fibre = axon.Axon.tapered(100.0, 2.0, 1.0, compartments=5)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.05, 0.1, 1.0))
    celsius = np.linspace(20.0, 30.0, 5)
    return axon.Simulation(
        fibre, membrane, [clamp], celsius=celsius, dt=0.01, v_init=-65.0, changes=changes
    )


def changed() -> axon.Simulation:
    """The same, cooled at a time that is past and at another that is to come."""
    return pools([axon.Change(1.0, celsius=20.0), axon.Change(5.0, celsius=15.0)])


def slow() -> axon.Simulation:
    """A concentration that moves with every fifth step; its reversal potential is held."""

    def opened(v: Any) -> Any:
        return 1 / (1 + np.exp(-(v + 50) / 9))

    gates = [axon.Gate(name, inf=opened, tau=lambda v: 20.0 + 0 * v) for name in "ab"]
    channels = [axon.Channel("na", 1e-4, ion="na", gates=gates), axon.Channel("leak", 1e-4, -65.0)]
    ions, inside = [axon.Ion("na", 1, 10.0, 140.0)], axon.Pool("na", "inside")
    membrane = axon.Membrane(channels, ions=ions, pools=[inside])
    fibre = axon.Axon.cylinder(100.0, 1.0, compartments=4)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.05, 0.1, 1.0))
    return axon.Simulation(fibre, membrane, [clamp], dt=0.005, v_init=-65.0)


def branched() -> axon.Simulation:
    """A tree of three branches, the last of which begins half way along the first."""

    def cable(length: float, diameter: float, *path: tuple[float, ...]) -> axon.Axon:
        return axon.Axon.cylinder(length, diameter, Ra=35.4, dx=150.0).along(path)

    tree = (
        cable(600.0, 100.0, (0, 0, 0), (600, 0, 0))
        .branch(cable(400.0, 60.0, (600, 0, 0), (600, 400, 0)), at=600.0, name="a")
        .branch(cable(300.0, 60.0, (300, 0, 0), (300, 0, 300)), at=(0, 300.0), name="b")
    )
    clamp = axon.CurrentClamp(("b", 100.0), axon.pulse(300.0, 0.1, 0.3))
    membrane = axon.models.hodgkin_huxley()
    return axon.Simulation(tree, membrane, [clamp], celsius=18.5, dt=0.01)


class After:
    """Stops a run after so many blocks."""

    def __init__(self, blocks: int) -> None:
        self.left = blocks

    def __call__(self) -> str:
        self.left -= 1
        return "" if self.left >= 0 else "enough"


@contextlib.contextmanager
def blocks_of(steps: int, n: int = 1) -> Iterator[None]:
    before = equations.FIRST_BLOCK, equations.MAX_BLOCK_STEPS
    equations.FIRST_BLOCK, equations.MAX_BLOCK_STEPS = steps * n, steps
    try:
        yield
    finally:
        equations.FIRST_BLOCK, equations.MAX_BLOCK_STEPS = before


def make_bases(folder: Path) -> None:
    """A folder for each of `BASES`, with a run in it."""
    for name in (*BASES, "unbegun"):
        (folder / name).mkdir(parents=True)
        path = folder / name / "run.h5"
        own = {"pools": pools, "changed": changed, "slow": slow, "branched": branched}
        sim = own.get(name, squid)()
        seen: dict[str, Any] = {"record": [500.0], "electrodes": [ELECTRODE, 2.0 * ELECTRODE]}
        options = seen if name == "outside" else {}
        with blocks_of(150, sim.axon.n):
            if name in ("finished", "longer", "both"):
                sim.run(3.0, output=path, every=0.01)
            if name == "longer":
                with contextlib.suppress(axon.StoppedError):
                    axon.resume(path, until=9.0, stop=After(2))
            elif name != "finished":
                other = path.with_name("other.h5") if name == "both" else path
                with contextlib.suppress(axon.StoppedError):
                    stop = After(0 if name == "unbegun" else 3)
                    sim.run(6.0, output=other, every=0.01, commit_every=0.0, stop=stop, **options)
                if name == "both":
                    parts_of(other).rename(parts_of(path))
                    other.with_name("other.h5.log").unlink()


# What is done to them

INTEGERS = [
    *[0, 1, -1, 2, 3, 7, 12, 13, 255, 256, 257, 300, 2**15, 2**31 - 1, -(2**31), 2**31, 2**32],
    *[2**53, 2**53 + 1, 10**12 - 1, 10**12, 10**15, 2**62, 2**63 - 1, -(2**63)],
]
FLOATS = [
    *[0.0, -0.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 1e300, 1e-300, 5e-324, -1.0, 1.0, 0.5],
    *[1e-9, 1e9, 1e12, 1e15, 2.0**53, 256.0],
]
TEXTS = [
    "",
    "0",
    "0.01",
    "1e3",
    "3",
    "x",
    "x" * 70_000,
    "\ud800",
    "\0",
    "float32",
    "backward-euler",
]
RAW = [
    *["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, "9" * 5000, "1e-400"],
    *["[" * k + "]" * k for k in (70, 300, 900, 20_000)],
    *['{"a":' * k + "1" + "}" * k for k in (70, 300, 900, 20_000)],
]
STUB = SimpleNamespace(compressed=True, encode=runfile.compress)
Random = random.Random


class Text(str):
    """JSON as it is to stand there."""


def dumped(value: Any) -> str:
    """JSON, with every `Text` in it as it is."""
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {dumped(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumped, value)) + "]"
    return json.dumps(value)


def anything(rng: Random, instead_of: Any = None) -> Any:
    """Something of JSON, that may look like what was there."""
    if isinstance(instead_of, bool):
        return rng.choice([not instead_of, None, 1, "true"])
    if isinstance(instead_of, int) and rng.random() < 0.6:
        return rng.choice([*INTEGERS, instead_of + rng.choice([-2, -1, 1, 2, 256])])
    if isinstance(instead_of, float) and rng.random() < 0.6:
        value = rng.choice([*FLOATS, instead_of * rng.choice([0.5, 2, -1, 1 + 1e-15])])
        return value if np.isfinite(value) else Text(json.dumps(value))
    return rng.choice(
        [
            lambda: rng.choice(INTEGERS),
            lambda: Text(rng.choice(RAW)),
            lambda: rng.choice(TEXTS),
            lambda: str(instead_of),
            lambda: rng.choice([None, True, False, [], {}, [[]], [{}], [1] * 1000, {"a": 1}]),
            lambda: [instead_of] * rng.choice([1, 2, 1000]),
            lambda: {"shape": instead_of},
        ]
    )()


def pulse(start: float = 0.0, length: float = 1e-6) -> dict[str, Any]:
    return {"shape": "pulse", "amplitude": 1.0, "start": start, "duration": length}


def train(of: Any, interval: float, count: int, start: float = 0.0) -> dict[str, Any]:
    return {
        "shape": "train_of", "waveform": of, "start": start, "interval": interval, "count": count
    }  # fmt: skip


def waveform(rng: Random) -> Any:
    """One that takes much, or should."""
    many = rng.choice([10, 10**4, 10**6, 5 * 10**6, 10**9, 10**12])
    apart = rng.choice([1e-9, 2e-9, 1e-7, 1e-6, 1e-3])
    few = rng.choice([3, 300])
    nested: Any = pulse()
    for _ in range(rng.choice([2, 5, 40, 63, 64, 65, 200])):
        nested = rng.choice([train(nested, apart, many), [nested], [nested, pulse()]])
    t = sorted(rng.choice(FLOATS[10:]) for _ in range(rng.choice([2, 9])))
    return rng.choice(
        [
            lambda: train(pulse(length=apart / 2), apart, many),
            lambda: train(train(pulse(length=1e-9), 2e-9, many), rng.choice([1e-3, 1.0]), many),
            lambda: [train(pulse(length=apart / 2), apart, many, k) for k in range(few)],
            lambda: nested,
            lambda: [pulse(k * 1e-9) for k in range(rng.choice([10, 3000]))],
            lambda: {"shape": "sine", "amplitude": rng.choice(FLOATS), "frequency_hz": 1e12},
            lambda: {"shape": "constant", "amplitude": rng.choice([1e100, -1e100, 1e9, 1e101])},
            lambda: {"shape": "samples", "t": t, "values": t},
            lambda: {"shape": "samples", "t": list(range(9000)), "values": [1e100, -1e100] * 4500},
            lambda: pulse(rng.choice([-1e12, 1e12, 1e13, 0.0]), rng.choice([1e-300, 5e-324, 1e12])),
            lambda: {
                "shape": rng.choice(["ramp", "sum_of", "_read", "__doc__", None]),
                "terms": [],
            },
        ]
    )()


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in JSON."""
    if at:
        yield at
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*at, key))
    elif isinstance(tree, list):
        for key, value in enumerate(tree[:20]):
            yield from places(value, (*at, key))


def read_header(file: h5py.File) -> Any:
    return json.loads(file["meta/header"][0])


def write_header(file: h5py.File, header: Any) -> None:
    text = header if isinstance(header, str) else dumped(header)
    del file["meta/header"]
    runfile.write_vector(file["meta"], "header", runfile.text(text or " ")[np.newaxis], STUB)


def of_header(rng: Random, file: h5py.File) -> None:
    """Something in the header becomes something else."""
    header = read_header(file)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        everywhere = list(places(header))
        narrow = [at for at in everywhere if at[0] in ("simulation", "recording", "stimuli")]
        *way, last = rng.choice(narrow if narrow and rng.random() < 0.8 else everywhere)
        here = header
        for key in way:
            here = here[key]
        if rng.random() < 0.15:
            del here[last]
        else:
            here[last] = anything(rng, here[last])
        if not header:
            break
    write_header(file, header)


def of_waveforms(rng: Random, file: h5py.File) -> None:
    header = read_header(file)
    for stimulus in header["stimuli"]:
        if rng.random() < 0.7:
            stimulus["waveform"] = waveform(rng)
    write_header(file, header)


def of_timing(rng: Random, file: h5py.File) -> None:
    """Other numbers of steps and rows, which fit together."""
    header = read_header(file)
    timing, kept = header["simulation"], header["recording"]
    how = rng.randrange(4)
    if how == 0:
        timing["steps"] = rng.choice([601, 10**6, 10**11, 10**12, 10**15, 2**53, 2**53 - 1])
    elif how == 1:
        timing["dt"] = rng.choice([1e-300, 5e-324, 1e-12, 1e-6, 1.0, 1e3, 1e300, 1.7e308])
    elif how == 2:
        kept["every_steps"] = rng.choice([1, 2, 7, 10**9, 2**53, 2**62])
    else:
        timing["begin"] = rng.choice([1, 300, 450, timing["steps"]])
    if rng.random() < 0.3:
        for key in ("dt", "begin", "steps"):
            if rng.random() < 0.4:
                timing[key] = str(timing[key])
    steps, begin, every = (int(k) for k in (timing["steps"], timing["begin"], kept["every_steps"]))
    first = -(-begin // every)
    rows = steps // every + 1 - first
    kept["rows"] = rows
    write_header(file, header)
    with contextlib.suppress(OverflowError):
        file.attrs["rows"] = np.array(rows, "<i8")
        file.attrs["first"] = np.array(first, "<i8")
        file.attrs["interval"] = np.array(every * float(timing["dt"]), "<f8")


def of_text(rng: Random, file: h5py.File) -> None:
    """The header is something else altogether."""
    text = json.dumps(read_header(file))
    a, b = sorted(rng.randrange(len(text)) for _ in range(2))
    write_header(
        file,
        rng.choice([text[:a], text[:a] + text[b:], text[:b] + text[a:], *RAW, "null", '{"": 1}']),
    )


def of_attributes(rng: Random, file: h5py.File) -> None:
    at = file if rng.random() < 0.6 else file[rng.choice(datasets(file))]
    if not at.attrs:
        at = file
    name = rng.choice([key for key in at.attrs if key != "DIMENSION_LIST"] or ["shape"])
    value: Any = rng.choice(
        [
            lambda: np.array(rng.choice(INTEGERS), "<i8"),
            lambda: np.array(rng.choice(FLOATS), "<f8"),
            lambda: np.array(rng.choices(INTEGERS, k=rng.choice([0, 1, 2, 4, 5])), "<i8"),
            lambda: np.array([0, rng.choice(INTEGERS), 4, 8], "<i8"),
            lambda: np.array(rng.choice([1, 2, 3]), rng.choice(["<i8", "<i4", "u1", ">i8"])),
            lambda: "axon-run",
            lambda: runfile.text("axon-run"),
            lambda: h5py.Empty("<i8"),
            lambda: np.zeros(8000, "u1"),
        ]
    )()
    del at.attrs[name]
    if rng.random() < 0.9:
        at.attrs[name] = value


def datasets(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "chunks") else None)
    return names


def numbers(rng: Random, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """Some that mean harm."""
    if dtype.kind == "f":
        return np.array([rng.choice(FLOATS) for _ in range(count)], dtype)
    info = np.iinfo(dtype)
    known = [k for k in [*INTEGERS, *range(-3, 40)] if info.min <= k <= info.max]
    return np.array([rng.choice(known) for _ in range(count)], dtype)


def put(file: h5py.File, name: str, values: np.ndarray, shape: Any = None) -> None:
    """Write a dataset as axon would."""
    group, _, key = name.rpartition("/")
    attributes = dict(file[name].attrs) if name in file and group else {}
    if name in file:
        del file[name]
    vector = runfile.write_vector(file.require_group(group or "/"), key, values.reshape(-1), STUB)
    if "shape" in attributes or shape is not None:
        vector.attrs["shape"] = np.array(values.shape if shape is None else shape, "<i8")


def of_values(rng: Random, file: h5py.File) -> None:
    """Some values of arrays that a run goes on from are others."""
    names = [name for name in datasets(file) if name.startswith(("inputs", "state", "meta/"))]
    names = [name for name in names if not name.endswith(("header", "names"))]
    for _ in range(rng.choice([1, 1, 2])):
        if not names:
            break
        name = rng.choice(names)
        values, attributes = file[name][:], dict(file[name].attrs)
        if values.dtype.kind not in "iuf":
            continue
        if values.size:
            count = rng.choice([1, 1, 1, 3, values.size])
            at = [rng.randrange(values.size) for _ in range(count)]
            values[at] = numbers(rng, values.dtype, count)
        put(file, name, values, attributes.get("shape"))


def of_shapes(rng: Random, file: h5py.File) -> None:
    """An array has another length, type or shape, or is not there."""
    name = rng.choice([n for n in datasets(file) if not n.endswith("header")] or ["x"])
    if name not in file or file[name].dtype.kind not in "iuf":
        return
    values, shape = file[name][:], file[name].attrs.get("shape")
    size = values.size
    how = rng.randrange(7)
    if how == 0:
        del file[name]
    elif how == 1:
        put(file, name, values.reshape(-1)[: rng.randrange(size + 1)])
    elif how == 2:
        put(
            file, name, np.resize(values, rng.choice([size + 1, 2 * size + 1, 5 * (size // 5 + 1)]))
        )
    elif how == 3:
        put(file, name, values.astype(rng.choice(["<f8", "<i8", "<i4", "u1", "<f4", ">f8"])), shape)
    elif how == 4:
        options = [[size], [1, size], [size, 1], [0, 2**40], [-1], [2**32, 2**32], [], [0] * 4]
        put(file, name, values, rng.choice(options))
    elif how == 5:
        much = rng.choice([10**5, 10**6, 3 * 10**6])
        shape = (much,) if shape is None or len(shape) < 2 else (much, *shape[1:])
        shape = shape if np.prod(shape) <= 4e6 else (much,)
        put(file, name, np.full(shape, rng.choice([0, 1, 2]), values.dtype))
    else:
        put(
            file,
            rng.choice(["inputs/", "state/"]) + rng.choice(["v", "x", "program_z", "é"]),
            values,
        )


def of_names(rng: Random, file: h5py.File) -> None:
    """What names states and operations says something else."""
    saved = [name for name in datasets(file) if re.fullmatch(r"inputs/program\d*_names", name)]
    if not saved:
        return
    program = rng.choice(saved)
    names = json.loads(file[program][:].tobytes())
    way = rng.choice(list(places(names)))
    if len(way) == 1:
        key = rng.choice(list(names))
        change: Any = rng.choice(
            [
                lambda: anything(rng),
                lambda: names[key] * 2,
                lambda: names[key][1:],
                lambda: names[key][::-1],
                lambda: ["a"] * rng.choice([1000, 200_000]),
                lambda: dict.fromkeys(names[key], 1),
            ]
        )
        names[key] = change()
    else:
        names[way[0]][way[1]] = rng.choice(["", "copy", "add", "exp", "no", "v", 3, None, "\ud800"])
    text = np.frombuffer(dumped(names).encode("utf-8", "surrogatepass"), np.uint8)
    put(file, program, text)


def of_links(rng: Random, file: h5py.File) -> None:
    """Something is kept elsewhere."""
    name = rng.choice([*datasets(file), "inputs", "state", "meta", "spikes"])
    if name not in file:
        return
    here = file[name]
    shape, dtype = getattr(here, "shape", (3,)), getattr(here, "dtype", np.dtype("<f8"))
    how = rng.randrange(10)
    if how == 0:
        file["elsewhere"] = file[name]
        del file[name]
        file[name] = h5py.SoftLink("/elsewhere")
        return
    del file[name]
    if how == 1:
        file[name] = h5py.ExternalLink("/etc/passwd", "/v")
    elif how == 2:
        file[name] = h5py.ExternalLink("run.h5", name)
    elif how == 3:
        file[name] = h5py.SoftLink(name)
    elif how == 4:
        file[name] = file["/"]  # round and round
    elif how == 5:
        layout = h5py.VirtualLayout(shape, dtype if dtype.kind in "iuf" else "<f8")
        layout[...] = h5py.VirtualSource("/etc/passwd", "v", shape)
        file.create_virtual_dataset(name, layout)
    elif how == 6:
        file.create_dataset(name, (3,), "<f8", external=[("/etc/passwd", 0, 24)])
    elif how == 7:
        large = [2**20, 2**40, 2**62]
        wide = (rng.choice(large), *shape[1:]) if shape else (2**40,)
        chunks = rng.choice([runfile._chunk_shape(wide), (2**20, *wide[1:]), (1, *wide[1:])])
        with contextlib.suppress(ValueError, OSError):
            file.create_dataset(
                name, wide, "<f4", chunks=tuple(max(1, min(c, 2**28)) for c in chunks),
                maxshape=(None, *wide[1:]), shuffle=True, compression="gzip",
            )  # fmt: skip
    elif how == 8:
        file.create_group(name)
    else:
        kinds: list[Any] = ["<f8", "S5", h5py.string_dtype(), h5py.ref_dtype, [("a", "<f8")], "?"]
        file.create_dataset(name, shape, rng.choice(kinds))


def of_chunks(rng: Random, file: h5py.File) -> None:
    """A chunk of a dataset holds something else."""
    name = rng.choice([n for n in datasets(file) if file[n].chunks and file[n].size] or ["x"])
    if name not in file or not file[name].chunks:
        return
    dataset = file[name]
    origin = (0,) * dataset.ndim
    stream = rng.choice(
        [
            lambda: runfile.compress(np.zeros(3 * 10**6, "u1")),
            lambda: b"",
            lambda: rng.randbytes(50),
            lambda: runfile.store(np.full(int(np.prod(dataset.chunks)), 255, "u1")),
            lambda: runfile.compress(
                numbers(rng, dataset.dtype, 1).repeat(int(np.prod(dataset.chunks)))
                if dataset.dtype.kind in "iuf"
                else np.zeros(9, "u1")
            ),
        ]
    )()
    dataset.id.write_direct_chunk(origin, stream, filter_mask=rng.choice([0, 0, 0, 1, 3]))


INSIDE: list[Callable[[Random, h5py.File], None]] = [
    *[of_header, of_timing, of_values, of_shapes] * 3,
    *[of_waveforms, of_text, of_attributes, of_names, of_links, of_chunks],
]


def of_bytes(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """Flipped, cut, exchanged."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        a, b = sorted(rng.randrange(len(changed) + 1) for _ in range(2))
        b = min(b, a + rng.choice([1, 4, 8, 64, 4096]))
        other = rng.choice(others)
        how = rng.randrange(7)
        if how <= 1 and a < len(changed):
            changed[a] ^= 1 << rng.randrange(8)
        elif how == 2:
            changed[a:b] = rng.randbytes(b - a)
        elif how == 3:
            changed[a:b] = bytes(b - a)
        elif how == 4:
            changed[a:b] = other[a:b]
        elif how == 5:
            changed[a:] = other[a:] if rng.random() < 0.5 else b""
        else:
            changed[a:a] = changed[a:b]
        if not changed:
            break
    return mended(bytes(changed)) if rng.random() < 0.5 else bytes(changed)


def mended(data: bytes) -> bytes:
    """The checksums of HDF5's superblock and object headers made right again."""
    changed = bytearray(data)

    def sum_up(start: int, end: int) -> None:
        if start < end <= len(changed) - 4:
            changed[end : end + 4] = lookup3(bytes(changed[start:end])).to_bytes(4, "little")

    if changed[:8] == b"\x89HDF\r\n\x1a\n":
        sum_up(0, 44)
    at = changed.find(b"OHDR")
    while at >= 0 and at + 6 < len(changed):
        flags = changed[at + 5]
        skip = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        sum_up(at, skip + width + int.from_bytes(changed[skip : skip + width], "little"))
        at = changed.find(b"OHDR", at + 4)
    return bytes(changed)


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hash, as HDF5 uses it: http://burtleburtle.net/bob/c/lookup3.c."""
    most = 0xFFFFFFFF

    def turned(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & most

    a = b = c = (0xDEADBEEF + len(data)) & most
    at = 0
    while len(data) - at > 12:
        x, y, z = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4, 8))
        a, b, c = (a + x) & most, (b + y) & most, (c + z) & most
        a = ((a - c) & most) ^ turned(c, 4)
        c = (c + b) & most
        b = ((b - a) & most) ^ turned(a, 6)
        a = (a + c) & most
        c = ((c - b) & most) ^ turned(b, 8)
        b = (b + a) & most
        a = ((a - c) & most) ^ turned(c, 16)
        c = (c + b) & most
        b = ((b - a) & most) ^ turned(a, 19)
        a = (a + c) & most
        c = ((c - b) & most) ^ turned(b, 4)
        b = (b + a) & most
        at += 12
    if len(data) == at:
        return c
    rest = data[at:].ljust(12, b"\0")
    a, b, c = (
        (old + int.from_bytes(rest[k : k + 4], "little")) & most
        for old, k in ((a, 0), (b, 4), (c, 8))
    )
    c = ((c ^ b) - turned(b, 14)) & most
    a = ((a ^ c) - turned(c, 11)) & most
    b = ((b ^ a) - turned(a, 25)) & most
    c = ((c ^ b) - turned(b, 16)) & most
    a = ((a ^ c) - turned(c, 4)) & most
    b = ((b ^ a) - turned(a, 14)) & most
    return ((c ^ b) - turned(b, 24)) & most


def mutate(rng: Random, folder: Path, bases: Path) -> list[str]:
    """Change the run in `folder`; returns what was done."""
    path = folder / "run.h5"
    links = chain(parts_of(path)) if parts_of(path).is_dir() else []
    files = [*([path] if path.exists() else []), *(link.path for link in links)]
    done = []
    damaged = set()  # HDF5 itself may crash when it changes these, and axon never does
    for _ in range(rng.choice([1, 1, 1, 1, 2])):
        # What a run goes on from is in its first segment and its last.
        which = rng.choice([0, -1, -1, rng.randrange(len(files))])
        target = files[which]
        how = rng.random()
        if how < 0.25 or (how < 0.9 and target in damaged):
            damaged.add(target)
            others = [file.read_bytes() for file in bases.rglob("*.h5")]
            target.write_bytes(of_bytes(rng, target.read_bytes(), others))
            done.append(f"bytes of {target.name}")
        elif how < 0.9:
            change = rng.choice(INSIDE)
            done.append(f"{change.__name__} in {target.name}")
            # One that fails has changed something all the same, or nothing.
            with contextlib.suppress(Exception), h5py.File(target, "r+", libver="v110") as file:
                change(rng, file)
        elif links:
            done.append(of_folder(rng, parts_of(path), links, bases))
            links = []
            break
    if links and rng.random() < 0.9:
        renamed(links)
    return done


def renamed(links: list[segments.Segment], spans: Any = None) -> None:
    """Give segments names that fit what they hold now."""
    previous = FIRST
    for k, link in enumerate(links):
        if not link.path.is_file():
            continue
        first, stop = spans[k] if spans else (link.first, link.stop)
        digest = segments._digest_of(link.path)
        link.path.rename(
            link.path.with_name(f"seg-{first:012d}-{stop:012d}-{previous}-{digest}.h5")
        )
        previous = digest


def of_folder(rng: Random, parts: Path, links: list[segments.Segment], bases: Path) -> str:
    """Other names, other segments."""
    how = rng.randrange(6)
    link = rng.choice(links)
    if how == 0:
        link.path.unlink()
    elif how == 1:
        spans = []
        at = 0
        for _ in links:
            stop = min(at + rng.choice([0, 0, 100, 256, 300, 10**6, 10**11]), 10**12 - 1)
            spans.append((at, stop))
            at = stop
        renamed(links, spans)
    elif how == 2:
        rng.choice(links).path.write_bytes(link.path.read_bytes())
        renamed(links)
    elif how == 3:
        foreign = rng.choice(list(bases.rglob("*.h5")))
        shutil.copy(foreign, link.path)
        renamed(links)
    elif how == 4:
        rng.shuffle(links)
        renamed(links)
    else:
        for k in range(50):
            name = f"seg-{0:012d}-{0:012d}-{k % 3:016x}-{k // 7:016x}.h5"
            (parts / name).write_bytes(b"" if k % 2 else link.path.read_bytes())
    return f"folder {how}"


# Those worth a name

NAMED: dict[str, tuple[str, Callable[[Path], None]]] = {}


def named(base: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def note(change: Callable[[Path], None]) -> Callable[[Path], None]:
        NAMED[change.__name__] = base, change
        return change

    return note


@contextlib.contextmanager
def editing(folder: Path, which: int) -> Iterator[h5py.File]:
    """A segment to be changed, which then gets a name that fits it."""
    links = chain(parts_of(folder / "run.h5"))
    with h5py.File(links[which].path, "r+", libver="v110") as file:
        yield file
    renamed(links)


@contextlib.contextmanager
def heading(folder: Path, which: int = -1) -> Iterator[dict[str, Any]]:
    with editing(folder, which) as file:
        header = read_header(file)
        yield header
        write_header(file, header)


@contextlib.contextmanager
def program_slots(folder: Path) -> Iterator[Any]:
    """The numbers of the membrane's program, to be changed."""
    with editing(folder, 0) as file:
        slots = file["inputs/program_slots"][:]
        yield slots
        put(file, "inputs/program_slots", slots)


def lasting(folder: Path) -> None:
    """Let the run go on for long."""
    with editing(folder, -1) as file:
        header = restart.lasting(read_header(file), 10**8)
        write_header(file, header)
        file.attrs["rows"] = np.array(header["recording"]["rows"], "<i8")


def rechunked(folder: Path, changes: dict[int, int]) -> None:
    """Other bytes of the message that tells how the last segment's x lies in chunks."""
    links = chain(parts_of(folder / "run.h5"))
    path = links[-1].path
    with h5py.File(path, "r") as file:
        begin = file.id.links.get_info(b"x").u
    data = bytearray(path.read_bytes())
    layout = data.index(b"\x04\x02\x00\x02\x01", begin)  # version, kind, flags, rank + 1, width
    for at, value in changes.items():
        data[layout + at] = value
    path.write_bytes(mended(bytes(data)))
    renamed(links)


@named("stopped")
def a_chunk_without_dimensions(folder: Path) -> None:
    """HDF5 2.0 divides by zero when it opens such a dataset."""
    rechunked(folder, {3: 0, 5: 5})  # in a tree, as what follows is read then


@named("stopped")
def chunks_of_no_length(folder: Path) -> None:
    rechunked(folder, {5: 0})


@named("pools")
def very_long_code(folder: Path) -> None:
    with editing(folder, 0) as file:
        code = file["inputs/program_code"][:].reshape(-1, 5)
        again = np.repeat(code[:1], 1_000_000, axis=0)
        put(file, "inputs/program_code", np.concatenate([again, code]))
    lasting(folder)


@named("stopped")
def very_many_multiples(folder: Path) -> None:
    """Of the time step, which are made anew whenever the kernel begins to step."""
    with editing(folder, 0) as file:
        put(file, "inputs/program_multiples", np.full(1_000_000, 0.5))
    lasting(folder)


@named("stopped")
def very_many_entries(folder: Path) -> None:
    with editing(folder, 0) as file:
        for name, value in (("compartment", 0), ("source", 0), ("weight", 0.0)):
            kind = file[f"inputs/entry_{name}"].dtype
            put(file, f"inputs/entry_{name}", np.full(3_000_000, value, kind))
    lasting(folder)


@named("stopped")
def very_many_sources(folder: Path) -> None:
    with heading(folder) as header:
        header["stimuli"] = [{"at": 0.0, "waveform": pulse()}] * 5_000
    lasting(folder)


@named("stopped")
def trains_of_many_edges(folder: Path) -> None:
    with heading(folder) as header:
        trains = [train(pulse(length=1e-7), 2.5e-7, 10**12, k / 3) for k in range(300)]
        header["stimuli"][0]["waveform"] = trains


@named("stopped")
def trains_of_trains_of_many_edges(folder: Path) -> None:
    with heading(folder) as header:
        many = train(pulse(length=1e-9), 2e-9, 4_900_000)
        header["stimuli"][0]["waveform"] = [train(many, 1.0, 100, k / 3) for k in range(50)]


@named("stopped")
def trains_within_trains(folder: Path) -> None:
    with heading(folder) as header:
        whole = pulse(length=1e-300)
        for _ in range(60):
            whole = [train([whole, whole], 1e-9, 1), pulse()]
            if len(dumped(whole)) > 10**6:
                break
        header["stimuli"][0]["waveform"] = whole


@named("stopped")
def a_sum_of_many(folder: Path) -> None:
    with heading(folder) as header:
        header["stimuli"][0]["waveform"] = [pulse(length=9.0)] * 20_000


@named("stopped")
def a_million_samples(folder: Path) -> None:
    with heading(folder) as header:
        t = Text("[" + "0," * 999_998 + "1,2]")
        header["stimuli"][0]["waveform"] = {"shape": "samples", "t": t, "values": t}


@named("stopped")
def a_very_long_header(folder: Path) -> None:
    with heading(folder) as header:
        header["study"] = Text("[" + "[]," * 1_000_000 + "0]")


@named("finished")
def a_header_that_is_a_bomb(folder: Path) -> None:
    """Some hundred kilobytes that become 400 MB, and many times that as objects of Python."""
    deflate = zlib.compressobj(9)
    parts = [deflate.compress(b"[[]" + b",[]" * 333_333) for _ in range(400)]
    stream = b"".join([*parts, deflate.flush()])
    size = 400 * 1_000_002
    with h5py.File(folder / "run.h5", "r+", libver="v110") as file:
        del file["meta/header"]
        kind = np.dtype(f"S{size}")
        header = runfile.dataset(file["meta"], "header", (1,), kind, True)
        header.id.write_direct_chunk((0,), stream)


@named("unbegun")
def very_many_places(folder: Path) -> None:
    with editing(folder, 0) as file:
        m = 3_000_000
        for name in ("v", "carry/v"):
            attributes = dict(file[name].attrs)
            del file[name]
            file.create_dataset(
                name, (0, m), "<f4", chunks=(256, 1000), maxshape=(None, m), shuffle=True,
                compression="gzip",
            )  # fmt: skip
            assert attributes
        put(file, "x", np.zeros(m))
        put(file, "meta/compartments", np.zeros(m, "<i8"))


@named("outside")
def electrodes_without_rows(folder: Path) -> None:
    for which in range(len(chain(parts_of(folder / "run.h5")))):
        with editing(folder, which) as file:
            for name in ("electrodes", "carry/electrodes"):
                del file[name]
                runfile.dataset(file, name, (0, 2), np.dtype("<f8"), True)


@named("unbegun")
def an_axon_of_many_compartments(folder: Path) -> None:
    with editing(folder, 0) as file:
        n = 5_000_000
        put(file, "meta/axon_x", np.zeros(n))
        for name in ("area", "capacitance"):
            put(file, f"inputs/{name}", np.ones(n))
        put(file, "inputs/axial", np.ones(n - 1))
        put(file, "state/v", np.full(n, -65.0))
        put(file, "state/state", np.full(3 * n, 0.5))


@named("pools")
def very_many_temporaries(folder: Path) -> None:
    with program_slots(folder) as slots:
        slots[0] = 2**24 - 200


@named("slow")
def very_much_that_is_held(folder: Path) -> None:
    with program_slots(folder) as slots:
        slots[5] = 2**16 - 1


@named("slow")
def slow_steps_that_never_come(folder: Path) -> None:
    """Not after the first; what they should have left is read all the same."""
    with program_slots(folder) as slots:
        slots[4] = 2**31 - 1


@named("slow")
def stretches_that_read_what_is_not_always_there(folder: Path) -> None:
    with editing(folder, 0) as file:
        length = len(file["inputs/program_code"])
    with program_slots(folder) as slots:
        slots[6:9] = 0, 2, length


@named("stopped")
def very_many_names(folder: Path) -> None:
    with editing(folder, 0) as file:
        text = json.dumps({"states": ["m"] * 5_000_000, "params": [], "operations": []})
        put(file, "inputs/program_names", np.frombuffer(text.encode(), np.uint8))


@named("changed")
def very_many_changes(folder: Path) -> None:
    with editing(folder, 0) as file:
        put(file, "inputs/program_steps", np.arange(1, 3_000_001))


@named("stopped")
def powers_without_end(folder: Path) -> None:
    with editing(folder, 0) as file:
        factors = file["inputs/program_factors"][:].reshape(-1, 2)
        factors[:, 1] = 2**31 - 1
        put(file, "inputs/program_factors", factors)


@named("longer")
def names_that_do_not_fit_a_finished_run(folder: Path) -> None:
    links = chain(parts_of(folder / "run.h5"))
    spans = [(0, 10**11), *[(10**11, 10**11)] * (len(links) - 1)]
    renamed(links, spans)


@named("stopped")
def names_between_chunks(folder: Path) -> None:
    links = chain(parts_of(folder / "run.h5"))
    spans = [(0, 0), *[(100 * k, 100 * k + 100) for k in range(len(links) - 1)]]
    renamed(links, spans)


@named("finished")
def words_for_numbers(folder: Path) -> None:
    with h5py.File(folder / "run.h5", "r+", libver="v110") as file:
        header = read_header(file)
        for key in ("dt", "begin", "steps"):
            header["simulation"][key] = str(header["simulation"][key])
        write_header(file, header)


@named("finished")
def a_header_that_cannot_be_written_again(folder: Path) -> None:
    with h5py.File(folder / "run.h5", "r+", libver="v110") as file:
        header = read_header(file)
        header["study"] = [Text("1e999"), "\ud800"]
        write_header(file, header)


@named("both")
def deep_headers_to_be_compared(folder: Path) -> None:
    deep = Text('{"a":' * 900 + "1" + "}" * 900)
    with h5py.File(folder / "run.h5", "r+", libver="v110") as file:
        header = read_header(file)
        header["study"] = deep
        write_header(file, header)
    with editing(folder, -1) as file:
        header = read_header(file)
        header["study"] = deep
        write_header(file, header)
        file.attrs["rows"] = np.array(2, "<i8")  # no more than are finished


@named("finished")
def numbers_beyond_floats(folder: Path) -> None:
    with h5py.File(folder / "run.h5", "r+", libver="v110") as file:
        header = read_header(file)
        header["simulation"] |= dict.fromkeys(("dt", "celsius", "duration"), Text("1" + "0" * 400))
        write_header(file, header)


@named("finished")
def a_pipe_for_a_run(folder: Path) -> None:
    (folder / "run.h5").unlink()
    os.mkfifo(folder / "run.h5")


@named("stopped")
def a_pipe_for_a_segment(folder: Path) -> None:
    last = chain(parts_of(folder / "run.h5"))[-1].path
    last.unlink()
    os.mkfifo(last)


@named("stopped")
def a_pipe_for_a_lock(folder: Path) -> None:
    lock = parts_of(folder / "run.h5") / "lock"
    lock.unlink()
    os.mkfifo(lock)


@named("stopped")
def a_pipe_for_a_log(folder: Path) -> None:
    (folder / "run.h5.log").unlink()
    os.mkfifo(folder / "run.h5.log")


@named("stopped")
def a_segment_without_end(folder: Path) -> None:
    last = chain(parts_of(folder / "run.h5"))[-1].path
    last.unlink()
    last.symlink_to("/dev/zero")


@named("stopped")
def a_folder_for_a_segment(folder: Path) -> None:
    last = chain(parts_of(folder / "run.h5"))[-1].path
    last.unlink()
    last.mkdir()


@named("stopped")
def a_log_that_is_elsewhere(folder: Path) -> None:
    (folder / "run.h5.log").unlink()
    (folder / "run.h5.log").symlink_to(folder.parent.parent / "aside" / "file")


@named("stopped")
def a_lock_that_is_elsewhere(folder: Path) -> None:
    lock = parts_of(folder / "run.h5") / "lock"
    lock.unlink()
    lock.symlink_to(folder.parent.parent / "aside" / "new")


@named("finished")
def a_run_that_is_elsewhere(folder: Path) -> None:
    """It is read there, and never written."""
    (folder / "run.h5").rename(folder / "other.h5")
    (folder / "run.h5").symlink_to("other.h5")


# What is done with them


def exercise(path: Path, rng: Random, all_of_it: bool) -> str:
    """All that one does with a run; an `AxonError` is an answer too."""
    told = []

    def attempt(name: str, act: Callable[[], Any]) -> Any:
        try:
            value = act()
        except axon.AxonError as error:
            str(error)
            told.append(f"{name}: {type(error).__name__}: {str(error)[:120]}")
            return None
        told.append(f"{name}: fine")
        return value

    def look() -> None:
        with axon.open_run(path) as run:
            assert len(run.time) == len(run.v)
            repr(run)
            attempt("rows", lambda: [run.v[k] for k in range(0, len(run.v), 1 + len(run.v) // 5)])
            attempt("field", lambda: run.v[::-1, :2])
            attempt("all", lambda: np.asarray(run.v))
            attempt("electrodes", lambda: np.asarray(run.electrodes))
            attempt("spikes", lambda: run.spikes)
            attempt("final", lambda: run.final)
            for name in ("dt", "celsius", "duration", "progress"):
                attempt(name, lambda name=name: getattr(run, name))
            attempt("refresh", run.refresh)

    def info() -> None:
        from axon.cli import main

        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            main(["info", str(path)])

    def tell() -> None:
        with axon.open_run(path) as run:
            attempt("replay", lambda: axon.membrane_at(run, 500.0, until=100.0))
            attempt("propagation", lambda: axon.propagation(run))
            report = attempt("report", run.report)
            if report is not None:
                json.dumps(report.to_dict(), allow_nan=False)
                assert str(report)

    attempt("look", look)
    if all_of_it or rng.random() < 0.2:
        attempt("info", info)
    steps = rng.choice([1, 100, 500, equations.MAX_BLOCK_STEPS])
    with blocks_of(equations.MAX_BLOCK_STEPS if all_of_it else steps, 6):
        if all_of_it or rng.random() < 0.3:
            until = rng.choice([7.0, 12.0, 1e6])
            attempt("until", lambda: axon.resume(path, until=until, stop=After(2)))
        attempt("resume", lambda: axon.resume(path, stop=After(2)))
    if all_of_it or rng.random() < 0.3:
        attempt("look", look)
    if not all_of_it and rng.random() < 0.5:
        attempt("tell", tell)
    return "; ".join(told)


def one(seed: int | str, bases: Path, scratch: Path) -> str:
    """Make an input of a number or name, and see what becomes of it."""
    rng = Random(seed)
    folder = scratch / "runs"
    base = rng.choice(BASES) if isinstance(seed, int) else NAMED[seed][0]
    shutil.copytree(bases / base, folder)
    try:
        if isinstance(seed, int):
            done = mutate(rng, folder, bases)
        else:
            NAMED[seed][1](folder)
            done = [seed]
        # From here on: to make a header of a million lists takes longer than to read it.
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        told = exercise(folder / "run.h5", rng, not isinstance(seed, int))
        faulthandler.cancel_dump_traceback_later()
        assert threading.active_count() == 1, f"threads are left: {threading.enumerate()}"
        assert os.listdir(scratch) == ["runs"], os.listdir(scratch)
        aside = scratch.parent / "aside"
        assert {path.name: path.read_text() for path in aside.iterdir()} == ASIDE
    finally:
        shutil.rmtree(folder)
        put_aside(scratch)
    return f"{base}: {', '.join(done)} -> {told}"


ASIDE = {"file": "as it was"}


def put_aside(scratch: Path) -> None:
    """What is to stay as it is, in the folder that the process works in."""
    aside = scratch.parent / "aside"
    aside.mkdir(exist_ok=True)
    for path in aside.iterdir():
        path.unlink()
    for name, text in ASIDE.items():
        (aside / name).write_text(text)


def work(seeds: list[int | str], bases: Path) -> None:
    """The process in which it happens: a line for each input, before it and after it."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    warnings.simplefilter("ignore")
    logging.disable()
    faulthandler.enable()
    os.fsync = lambda _: None  # it takes most of the time, and is tested elsewhere
    segments.os.fsync = os.fsync
    storage.PATIENCE = 0.0
    with tempfile.TemporaryDirectory(dir=bases.parent) as folder:
        scratch = Path(folder) / "here"
        scratch.mkdir()
        put_aside(scratch)
        os.chdir(Path(folder) / "aside")
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        open_files = len(os.listdir("/proc/self/fd"))
        for k, seed in enumerate(seeds):
            out.write(f"begin {seed}\n")
            try:
                told = one(seed, bases, scratch)
            except BaseException:
                told = "FAILED " + traceback.format_exc()
            faulthandler.cancel_dump_traceback_later()
            out.write(f"end {seed} {json.dumps(told)}\n")
            if k % 50 == 49:
                gc.collect()
                now = len(os.listdir("/proc/self/fd"))
                if now > open_files + 2:
                    out.write(f"end {seed} {json.dumps('FAILED: files left open')}\n")


def seed_of(word: str) -> int | str:
    return int(word) if word.isdecimal() else word


def batch(seeds: list[Any], bases: Path) -> tuple[dict[Any, str], list[str]]:
    """Failures by number of input, and what was told of the others."""
    failed: dict[Any, str] = {}
    told: list[str] = []
    environment = os.environ | {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
    while seeds:
        command = [sys.executable, __file__, "work", str(bases), *map(str, seeds)]
        child = subprocess.run(command, capture_output=True, text=True, env=environment)
        begun = None
        for line in child.stdout.splitlines():
            word, number, *rest = line.split(" ", 2)
            if word == "begin":
                begun = seed_of(number)
            elif (what := json.loads(rest[0])).startswith("FAILED"):
                failed[seed_of(number)] = what
            else:
                told.append(what)
        if not child.returncode:
            break
        assert begun is not None, child.stderr
        failed[begun] = f"exit {child.returncode}: {child.stderr[:2500]}"
        seeds = seeds[seeds.index(begun) + 1 :]
    return failed, told


def examine(
    seeds: Sequence[Any], bases: Path, most: int = 10, together: int = 1
) -> tuple[dict[Any, str], list[str]]:
    """The same, of many inputs, up to so many failures."""
    failed: dict[Any, str] = {}
    told: list[str] = []
    parts = [list(seeds[k : k + BATCH]) for k in range(0, len(seeds), BATCH)]

    def examined(part: list[Any]) -> tuple[dict[Any, str], list[str]]:
        return batch(part, bases) if len(failed) < most else ({}, [])

    with ThreadPoolExecutor(together) as pool:
        for some_failed, some_told in pool.map(examined, parts):
            failed |= some_failed
            told += some_told
    return failed, told


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "bases"
    make_bases(folder)
    return folder


def check(seeds: range, bases: Path, together: int = 1) -> None:
    failed, told = examine(seeds, bases, together=together)
    assert not failed, "\n\n".join(f"input {seed}: {what}" for seed, what in failed.items())
    # Many are refused, by all sorts of words, and many go on: else this would test nothing.
    assert len(told) == len(seeds)
    assert sum("resume: fine" in what or "StoppedError" in what for what in told) > len(seeds) / 20
    assert sum("RunFileError" in what for what in told) > len(seeds) / 5


def test_what_is_changed_at_random_is_read_or_refused(bases: Path) -> None:
    check(range(300), bases)


@pytest.fixture(scope="module")
def harmed(bases: Path) -> tuple[dict[Any, str], list[str]]:
    return batch(list(NAMED), bases)


@pytest.mark.parametrize("name", NAMED)
def test_what_means_harm_is_read_or_refused(
    harmed: tuple[dict[Any, str], list[str]], name: str
) -> None:
    failed, told = harmed
    assert name not in failed, failed[name]
    assert any(f": {name} ->" in what for what in told)


@pytest.mark.slow
def test_very_much_that_is_changed_at_random(bases: Path) -> None:
    check(range(1000, 101_000), bases, os.cpu_count() or 1)


def signature(what: str) -> str:
    """Where a failure happened: the last line of ours, and the error."""
    ours = [line.strip() for line in what.splitlines() if "/axon/" in line]
    errors = [line for line in what.splitlines() if line and not line.startswith(" ")]
    at = ours[0] if what.startswith("exit") and ours else (ours or [""])[-1]
    return f"{at.rpartition('/')[2]} {errors[0 if what.startswith('exit') else -1][:80]}"


def main() -> None:
    if sys.argv[1] == "work":
        work([seed_of(word) for word in sys.argv[3:]], Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        make_bases(Path(folder) / "bases")
        seeds: Any = [seed_of(word) for word in sys.argv[1:]]
        if seeds == ["named"]:
            seeds = list(NAMED)
        elif len(seeds) == 2:
            seeds = range(*seeds)
        failed, told = examine(seeds, Path(folder) / "bases", 10**6)
        alike: dict[str, list[int]] = {}
        for seed, what in failed.items():
            alike.setdefault(signature(what), []).append(seed)
        for sign, numbers_of in sorted(alike.items(), key=lambda item: -len(item[1])):
            print(f"{len(numbers_of)} times {sign}: {numbers_of[:8]}")
            print(failed[numbers_of[0]][-3000:] + "\n", flush=True)
        for what in told if len(seeds) < 100 else ():
            print(what)
        print(f"{len(seeds)} inputs, {len(failed)} failed, {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main()
