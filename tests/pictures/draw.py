"""Small pictures of every kind, which are stored beside this file, and how far one is from that.

``python tests/pictures/draw.py`` stores them anew. Look at them then: what is stored is right by
definition.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageFilter

import axon
from axon import plots, populations
from axon.protocols import RecoveryCycle, StrengthDuration, Threshold
from axon.runs import Run

FOLDER = Path(__file__).parent
COARSE = {"axon.compartments": 200, "simulation.dt": 0.02, "record.every": 0.1}
SIZE, DPI = (4.0, 3.0), 80
PLACE = (0.17, 0.16, 0.68, 0.66)  # of the axes, whatever the fonts

BLUR = 4.0  # pixels: lines that a pixel more or less divides from each other are the same then
TOLERANCE = 0.05
"""How far luminance (0 to 1) may be off: no curve is so faint, and no letter is inside."""


@cache
def squid():
    """An impulse along an axon."""
    return axon.run("squid", COARSE)


@cache
def collision():
    """Two impulses that meet."""
    return axon.run("collision", COARSE)


@cache
def curve():
    """Of a C-fibre of 1 µm, stimulated inside."""
    durations = np.array([0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0])
    thresholds = np.array([0.984, 0.519, 0.285, 0.138, 0.0837, 0.0410, 0.0214])
    return StrengthDuration(durations, thresholds, (Threshold(1.0, 0.99, (), squid()),))


@cache
def cycle():
    """Of the same, with a supernormal period added."""
    intervals = np.array([1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0, 12.0, 20.0, 50.0, 150.0])
    ratios = np.array([np.inf, np.inf, 1.48, 1.35, 1.24, 1.18, 1.06, 0.98, 0.93, 0.96, 1.0])
    return RecoveryCycle(intervals, ratios, Threshold(1.0, 0.99, (), squid()), 10.0)


@cache
def patch():
    """Of the squid axon's membrane, halfway, after the impulse."""
    run = axon.run("squid", COARSE | {"simulation.duration": 30.0})
    return axon.patch_recovery(run, "50 mm")


@cache
def fibres():
    """In an oval fascicle, placed by hand."""
    return populations.Population(
        [6.0, 5.0, 4.0, 3.0, 3.0, 2.0, 2.0, 1.5],
        [-14.0, 0.0, 12.0, 6.0, -5.0, 17.0, -8.0, 1.0],
        [0.0, 4.0, -2.0, -6.0, -6.0, 3.0, 5.0, -1.0],
        populations.Fascicle.ellipse(40.0, 20.0),
    )


@cache
def compound():
    """Of two electrodes, as sums of impulses that spread."""
    time = np.arange(0.0, 10.0, 0.05)
    bumps = [np.exp(-(((time - t) / 0.6) ** 2)) for t in (2.0, 3.0, 4.0, 5.5)]
    near = np.array([0.4, -1.0, 0.3, 0.0]) @ bumps
    far = np.array([0.0, 0.15, -0.5, 0.2]) @ bumps
    electrodes = tuple(axon.PointSource(x, 0.0, 100.0) for x in ("2 mm", "3 mm"))
    potential = 1e-2 * np.stack((near, far), axis=1)
    return populations.Compound(time, potential, electrodes, 8, np.ones(8, np.int64), {})


@cache
def arbor():
    """An impulse of 1 m/s along an axon that branches, and not into one of its halves."""
    tree = axon.Tree.regular("2 mm", 20.0, 3, dx=50.0)
    reached = ~np.isin(tree.branch_of, [2, 5, 6, 11, 12, 13, 14])
    x = tree.x
    return Run.in_memory(
        {"axon": tree.to_dict(), "simulation": {"spike_threshold": -20.0}, "stimuli": []},
        x, np.arange(tree.n), 1.0, np.zeros((2, tree.n), np.float32),
        np.flatnonzero(reached), x[reached] * 1e-3, axon_x=x,
    )  # fmt: skip


# Of a C-fibre of 1 µm, for a point beside its middle: µm, mA.
DISTANCES = np.array([50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 600.0, 800.0, 1000.0])
THRESHOLDS = -np.array([0.0151, 0.0286, 0.0474, 0.103, 0.189, 0.476, 0.946, 2.62, 5.53, 9.98])

# Of the squid axon, as the root of the diameter and by a Q10 of 1.5: µm, °C, m/s.
SWEPT = {
    "axon.diameter": np.geomspace(100.0, 800.0, 7),
    "simulation.celsius": [6.3, 18.5, 30.0],
}
VELOCITIES = 5.6 * np.outer(np.sqrt(SWEPT["axon.diameter"] / 100.0), [1.0, 1.64, 2.61])

PICTURES = {
    "space_time": lambda ax: plots.space_time(squid(), ax=ax),
    "traces": lambda ax: plots.traces(squid(), ax=ax),
    "waterfall": lambda ax: plots.waterfall(squid(), ax=ax),
    "snapshots": lambda ax: plots.snapshots(collision(), ax=ax),
    "spikes": lambda ax: plots.spikes(collision(), ax=ax),
    "velocity": lambda ax: plots.velocity(squid(), ax=ax),
    "extracellular": lambda ax: plots.extracellular(
        squid(), [axon.PointSource("50 mm", 0.0, z, sigma=2.0) for z in ("1 mm", "3 mm")], ax=ax
    ),
    "strength_duration": lambda ax: plots.strength_duration(curve(), ax=ax),
    "recovery": lambda ax: plots.recovery(cycle(), ax=ax),
    "excitability": lambda ax: plots.excitability(patch(), ax=ax),
    "recruitment": lambda ax: plots.recruitment(THRESHOLDS, unit="mA", ax=ax),
    "cross_section": lambda ax: plots.cross_section(fibres(), ax=ax),
    "compound": lambda ax: plots.compound(compound(), ax=ax),
    "sweep": lambda ax: plots.sweep(SWEPT, VELOCITIES, "velocity", ax=ax),
    "tree": lambda ax: plots.tree(arbor(), colour="arrival", ax=ax),
    "threshold_against_distance": lambda ax: plots.threshold_against_distance(
        DISTANCES, THRESHOLDS, unit="mA", ax=ax
    ),
}


def drawn(name):
    """Axes with a picture, of small letters."""
    with matplotlib.rc_context(matplotlib.rcParamsDefault | {"font.size": 6.0}):
        return PICTURES[name](Figure(SIZE, DPI).add_axes(PLACE))


def png(ax):
    file = io.BytesIO()
    ax.figure.savefig(file, dpi=DPI)
    return file


def luminance(file):
    """Of a picture, blurred, from 0 to 1; rows from the top."""
    grey = Image.open(file).convert("L").filter(ImageFilter.GaussianBlur(BLUR))
    return np.asarray(grey) / 255.0


def difference(ax, name):
    """The largest one of luminance from the stored picture, inside of the axes."""
    off = np.abs(luminance(png(ax)) - luminance(FOLDER / f"{name}.png"))
    inside = ax.get_window_extent().padded(-BLUR)
    left, bottom, right, top = np.round(inside.extents).astype(int)
    return off[len(off) - top : len(off) - bottom, left:right].max()


if __name__ == "__main__":
    for name in PICTURES:
        Image.open(png(drawn(name))).convert("RGB").quantize().save(FOLDER / f"{name}.png")
