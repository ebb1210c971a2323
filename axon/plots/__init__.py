"""Pictures: of runs, of what protocols find, of populations, of membranes; each is one call.

They need matplotlib (``pip install 'axon-cable[plot]'``) but not pyplot, so no window, backend or
current figure is touched.
"""

from __future__ import annotations

from axon.plots.fields import animation, overview, snapshots, space_time, traces, waterfall
from axon.plots.impulses import extracellular, spikes, velocity
from axon.plots.membranes import membrane, membrane_currents
from axon.plots.populations import compound, cross_section
from axon.plots.sweeps import sweep
from axon.plots.thresholds import (
    excitability,
    recovery,
    recruitment,
    strength_duration,
    threshold_against_distance,
)
from axon.plots.trees import tree, tree_animation

__all__ = [
    "animation",
    "compound",
    "cross_section",
    "excitability",
    "extracellular",
    "membrane",
    "membrane_currents",
    "overview",
    "recovery",
    "recruitment",
    "snapshots",
    "space_time",
    "spikes",
    "strength_duration",
    "sweep",
    "threshold_against_distance",
    "traces",
    "tree",
    "tree_animation",
    "velocity",
    "waterfall",
]
