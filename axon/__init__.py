"""Impulses along axons without myelin: the cable equation, fast and to the last digit.

>>> import axon
>>> run = axon.run("squid")
>>> axon.conduction_velocity(run, "25 mm", "75 mm").value  # m/s
12.32...

Names below are imported when they are first used: ``import axon`` itself does nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name to the module that defines it.
_HOMES = {
    name: home
    for home, names in {
        "analysis": (
            "ActionPotential",
            "Arrivals",
            "Velocity",
            "VelocityProfile",
            "action_potential",
            "arrival_times",
            "clamp_current",
            "conduction_velocity",
            "extracellular_potential",
            "latencies",
            "velocity_profile",
        ),
        "changes": ("Change",),
        "channels": ("Channel", "Gate", "Markov", "Pump"),
        "charges": ("SpikeCharge", "spike_charge"),
        "config": ("show_config",),
        "disk": ("open_run",),
        "ensemble": ("Ensemble", "Runs"),
        "errors": (
            "AxonError",
            "DivergedError",
            "GeometryError",
            "MembraneError",
            "MissingExtraError",
            "NoRestError",
            "NoSpikeError",
            "NoThresholdError",
            "RunFileError",
            "SimulationError",
            "StimulusError",
            "StoppedError",
            "StudyError",
            "SweepError",
            "UnitError",
            "WorkerDiedError",
            "WriteError",
        ),
        "excitability": ("PatchRecovery", "patch_recovery"),
        "geometry": ("Axon",),
        "ions": ("Buffer", "Ion", "Pool", "ghk", "nernst"),
        "membranes": ("Membrane",),
        "passages": ("Propagation", "propagation"),
        "protocols": (
            "ActivitySlowing",
            "FollowingFrequency",
            "RecoveryCycle",
            "StrengthDuration",
            "Threshold",
            "Trial",
            "activity_slowing",
            "block_threshold",
            "following_frequency",
            "recovery_cycle",
            "strength_duration",
            "threshold",
            "velocity_vs",
        ),
        "replay": ("Patch", "membrane_at"),
        "report": ("Report",),
        "restart": ("resume",),
        "results": ("Sweep", "open_sweep"),
        "runs": ("Run",),
        "simulation": ("Simulation", "State"),
        "sources": ("DiskSource", "LineSource", "PointSource", "PotentialAlong"),
        "stimuli": ("CurrentClamp", "Extracellular", "VoltageClamp"),
        "study": ("run",),
        "sweeps": ("sweep",),
        "timecourses": ("Waveform",),
        "trails": ("Impulse", "impulses"),
        "trees": ("Branch", "BranchPoint", "Tree"),
        "waveforms": (
            "biphasic",
            "carrier",
            "chirp",
            "constant",
            "noise",
            "pulse",
            "ramp",
            "sampled",
            "samples",
            "samples_from",
            "sine",
            "sum_of",
            "train",
            "train_of",
        ),
    }.items()
    for name in names
}

_MODULES = ("analysis", "models", "neuroml", "plots", "populations", "ranges")

__all__ = ["__version__", *_MODULES, *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"axon.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"axon.{name}")
    else:
        raise AttributeError(f"module 'axon' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from axon import analysis as analysis
    from axon import models as models
    from axon import neuroml as neuroml
    from axon import plots as plots
    from axon import populations as populations
    from axon import ranges as ranges
    from axon.analysis import ActionPotential as ActionPotential
    from axon.analysis import Arrivals as Arrivals
    from axon.analysis import Velocity as Velocity
    from axon.analysis import VelocityProfile as VelocityProfile
    from axon.analysis import action_potential as action_potential
    from axon.analysis import arrival_times as arrival_times
    from axon.analysis import clamp_current as clamp_current
    from axon.analysis import conduction_velocity as conduction_velocity
    from axon.analysis import extracellular_potential as extracellular_potential
    from axon.analysis import latencies as latencies
    from axon.analysis import velocity_profile as velocity_profile
    from axon.changes import Change as Change
    from axon.channels import Channel as Channel
    from axon.channels import Gate as Gate
    from axon.channels import Markov as Markov
    from axon.channels import Pump as Pump
    from axon.charges import SpikeCharge as SpikeCharge
    from axon.charges import spike_charge as spike_charge
    from axon.config import show_config as show_config
    from axon.disk import open_run as open_run
    from axon.ensemble import Ensemble as Ensemble
    from axon.ensemble import Runs as Runs
    from axon.errors import AxonError as AxonError
    from axon.errors import DivergedError as DivergedError
    from axon.errors import GeometryError as GeometryError
    from axon.errors import MembraneError as MembraneError
    from axon.errors import MissingExtraError as MissingExtraError
    from axon.errors import NoRestError as NoRestError
    from axon.errors import NoSpikeError as NoSpikeError
    from axon.errors import NoThresholdError as NoThresholdError
    from axon.errors import RunFileError as RunFileError
    from axon.errors import SimulationError as SimulationError
    from axon.errors import StimulusError as StimulusError
    from axon.errors import StoppedError as StoppedError
    from axon.errors import StudyError as StudyError
    from axon.errors import SweepError as SweepError
    from axon.errors import UnitError as UnitError
    from axon.errors import WorkerDiedError as WorkerDiedError
    from axon.errors import WriteError as WriteError
    from axon.excitability import PatchRecovery as PatchRecovery
    from axon.excitability import patch_recovery as patch_recovery
    from axon.geometry import Axon as Axon
    from axon.ions import Buffer as Buffer
    from axon.ions import Ion as Ion
    from axon.ions import Pool as Pool
    from axon.ions import ghk as ghk
    from axon.ions import nernst as nernst
    from axon.membranes import Membrane as Membrane
    from axon.passages import Propagation as Propagation
    from axon.passages import propagation as propagation
    from axon.protocols import ActivitySlowing as ActivitySlowing
    from axon.protocols import FollowingFrequency as FollowingFrequency
    from axon.protocols import RecoveryCycle as RecoveryCycle
    from axon.protocols import StrengthDuration as StrengthDuration
    from axon.protocols import Threshold as Threshold
    from axon.protocols import Trial as Trial
    from axon.protocols import activity_slowing as activity_slowing
    from axon.protocols import block_threshold as block_threshold
    from axon.protocols import following_frequency as following_frequency
    from axon.protocols import recovery_cycle as recovery_cycle
    from axon.protocols import strength_duration as strength_duration
    from axon.protocols import threshold as threshold
    from axon.protocols import velocity_vs as velocity_vs
    from axon.replay import Patch as Patch
    from axon.replay import membrane_at as membrane_at
    from axon.report import Report as Report
    from axon.restart import resume as resume
    from axon.results import Sweep as Sweep
    from axon.results import open_sweep as open_sweep
    from axon.runs import Run as Run
    from axon.simulation import Simulation as Simulation
    from axon.simulation import State as State
    from axon.sources import DiskSource as DiskSource
    from axon.sources import LineSource as LineSource
    from axon.sources import PointSource as PointSource
    from axon.sources import PotentialAlong as PotentialAlong
    from axon.stimuli import CurrentClamp as CurrentClamp
    from axon.stimuli import Extracellular as Extracellular
    from axon.stimuli import VoltageClamp as VoltageClamp
    from axon.study import run as run
    from axon.sweeps import sweep as sweep
    from axon.timecourses import Waveform as Waveform
    from axon.trails import Impulse as Impulse
    from axon.trails import impulses as impulses
    from axon.trees import Branch as Branch
    from axon.trees import BranchPoint as BranchPoint
    from axon.trees import Tree as Tree
    from axon.waveforms import biphasic as biphasic
    from axon.waveforms import carrier as carrier
    from axon.waveforms import chirp as chirp
    from axon.waveforms import constant as constant
    from axon.waveforms import noise as noise
    from axon.waveforms import pulse as pulse
    from axon.waveforms import ramp as ramp
    from axon.waveforms import sampled as sampled
    from axon.waveforms import samples as samples
    from axon.waveforms import samples_from as samples_from
    from axon.waveforms import sine as sine
    from axon.waveforms import sum_of as sum_of
    from axon.waveforms import train as train
    from axon.waveforms import train_of as train_of
