"""Axons that branch as the terminals of C-fibres do, drawn at random, as texts of SWC files."""

from __future__ import annotations

import math
import random

TRUNK = 1.0  # µm, the diameter at the root
THINNEST = 0.3  # µm
STRETCH = 20.0, 200.0  # µm, from one branch point to the next
STEP = 15.0  # µm, about that from one point to the next
FORKED = 0.75, 0.95  # the diameter after a branch point, of that before it
SLIMMED = 0.985, 1.0  # the diameter at a point, of that at the point before
BEND = 0.3  # sideways in a step, of what it goes forwards

Tip = tuple[int, list[float], list[float], float]  # number, place, heading, diameter


def arbor(branches: int, seed: int) -> str:
    """An SWC file of an axon with so many stretches between branch points and tips.

    All points are of type 2. Every branch point has two children; if `branches` is even, so has
    the root. Numbers have three decimals, as such files do. The same seed gives the same text.
    """
    draw = random.Random(seed)
    lines = [f"1 2 0.000 0.000 0.000 {TRUNK / 2:.3f} -1"]
    root: Tip = (1, [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], TRUNK)

    def stretch(begin: Tip) -> Tip:
        """One that begins there, and is longer by as many lines."""
        number, place, heading, diameter = begin
        length = draw.uniform(*STRETCH)
        steps = math.ceil(length / STEP)
        for _ in range(steps):
            heading = [each + BEND * draw.uniform(-1.0, 1.0) for each in heading]
            norm = math.sqrt(sum(each * each for each in heading))
            heading = [each / norm for each in heading]
            place = [p + length / steps * h for p, h in zip(place, heading, strict=True)]
            diameter = max(diameter * draw.uniform(*SLIMMED), THINNEST)
            x, y, z = place
            lines.append(f"{len(lines) + 1} 2 {x:.3f} {y:.3f} {z:.3f} {diameter / 2:.3f} {number}")
            number = len(lines)
        return number, place, heading, diameter

    def forked(tip: Tip) -> Tip:
        """Where a daughter begins: there, thinner, and on another way."""
        number, place, heading, diameter = tip
        turned = [each + draw.uniform(-1.0, 1.0) for each in heading]
        return number, place, turned, diameter * draw.uniform(*FORKED)

    tips = [stretch(root)] if branches % 2 else [stretch(root), stretch(forked(root))]
    for _ in range((branches - 1) // 2):
        tip = tips.pop(draw.randrange(len(tips)))
        tips += [stretch(forked(tip)), stretch(forked(tip))]
    return f"# {branches} branches, seed {seed}\n" + "\n".join(lines) + "\n"
