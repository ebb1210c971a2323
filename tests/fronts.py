"""Runs on trees of which only spikes are known: fronts that go from compartment to compartment."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import numpy as np

import axon
from axon.runs import Run
from axon.timecourses import Waveform
from axon.trees import Tree
from axon.units import PositionLike

SPEED = 10.0  # compartments a ms

Spikes = list[tuple[int, float]]  # compartment, and when


def travelled(
    tree: Tree, spikes: Spikes, waveforms: Sequence[Waveform] = (), lasts: float = 20.0
) -> Run:
    """A run of these spikes, which lasts so many ms."""
    spikes = sorted(spikes, key=lambda spike: spike[1])
    compartment, time = zip(*spikes, strict=True) if spikes else ((), ())
    return Run.in_memory(
        header={
            "axon": tree.to_dict(),
            "simulation": {"spike_threshold": -20.0, "dt": 0.01},
            "stimuli": [axon.CurrentClamp(0.0, each).to_dict() for each in waveforms],
        },
        x=[],
        compartments=[],
        axon_x=tree.x,
        interval=lasts,
        v=np.zeros((2, 0)),
        spike_compartment=np.array(compartment, int),
        spike_time=np.array(time, float),
    )


def along(tree: Tree, start: PositionLike, stop: PositionLike, begin: float) -> Spikes:
    """From one place to another one."""
    way, _ = tree.way(start, stop)
    return [(int(c), begin + k / SPEED) for k, c in enumerate(way)]


def beyond(spikes: Spikes, *others: Spikes) -> Spikes:
    """Spikes, with those of others at places that are not among them yet."""
    found = dict(spikes)
    for other in others:
        found = dict(other) | found
    return list(found.items())


def spread(
    tree: Tree,
    starts: dict[int, float],
    blocked: Iterable[tuple[int, int]] = (),
    delay: Sequence[float] | None = None,
) -> tuple[Spikes, dict[int, int]]:
    """Fronts that set out at these compartments and times, and end one another where they meet.

    A front passes no joint, of parent and child, that is `blocked`, and takes `delay` ms to each
    compartment. Also told is where the front came from that each compartment saw, by its start.
    """
    beside: list[list[int]] = [[] for _ in range(tree.n)]
    walls = {frozenset(pair) for pair in blocked}
    for child in range(1, tree.n):
        pair = child, int(tree.parent[child])
        if frozenset(pair) not in walls:
            for one, other in (pair, pair[::-1]):
                beside[one].append(other)
    queue = [(time, start, start) for start, time in starts.items()]
    heapq.heapify(queue)
    spikes: dict[int, float] = {}
    owner: dict[int, int] = {}
    while queue:
        time, at, start = heapq.heappop(queue)
        if at in spikes:
            continue
        spikes[at], owner[at] = time, start
        for k in beside[at]:
            late = 1 / SPEED if delay is None else delay[k]
            heapq.heappush(queue, (time + late, k, start))
    return list(spikes.items()), owner
