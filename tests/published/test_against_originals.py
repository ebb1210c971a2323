"""Every published model against its original in NEURON, on the same compartments.

The traces in this folder come from `make_references.py`, which runs the mechanisms that PyFibers
ships: `converged` ones, for time steps that go to zero, and those of NEURON's staggered scheme at
one time step.
"""

from __future__ import annotations

import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import axon

HERE = Path(__file__).parent
# File, model, and what the originals are compared at.
MODELS = {
    "sundt": "sundt",
    "rattay": "rattay_aberham",
    "schild94": "schild94",
    "schild97": "schild97",
    "tigerholm": "tigerholm",
    "thio_autonomic": "thio_autonomic",
    "thio_cutaneous": "thio_cutaneous",
}
DIAMETERS = (0.5, 1.0, 2.0)
cases = pytest.mark.parametrize(("file", "diameter"), [(f, d) for f in MODELS for d in DIAMETERS])


@cache
def facts(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{file}.json").read_text())
    return found


@cache
def traces(file: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{file}.npz", allow_pickle=False) as npz:
        return {name: npz[name] for name in npz.files}


def model(file: str) -> axon.Membrane:
    """The model with the constants that NEURON's compiler makes of the original's."""
    module = importlib.import_module(f"axon.models.{MODELS[file]}")
    found: axon.Membrane = getattr(module, MODELS[file])(**getattr(module, "COMPILED", {}))
    return found


@cache
def ours(file: str, diameter: float, dt: float) -> tuple[np.ndarray, axon.Run]:
    """v (sites, times) at the reference's sites and times, and the run."""
    told = facts(file)
    membrane = model(file)
    fibre = axon.Axon.cylinder(
        told["length_um"],
        diameter=diameter,
        Ra=membrane.Ra,
        cm=membrane.cm,
        compartments=told["compartments"],
    )
    start, width = told["stimulus_ms"]
    shock = axon.pulse(told["spike"][str(diameter)]["amplitude_nA"], start, width)
    sim = axon.Simulation(
        fibre,
        membrane,
        [axon.CurrentClamp(float(fibre.x[told["stimulated_compartment"]]), shock)],
        celsius=told["celsius"],
        dt=dt,
        v_init=told["settings"]["v_init"],
    )
    run = sim.run(
        told["settings"]["duration"],
        every=told["sampling_ms"],
        record=[float(fibre.x[i]) for i in told["recorded_compartments"]],
        dtype="float64",
    )
    return np.asarray(run.v[:, :]).T, run


def arrivals(run: axon.Run, file: str) -> np.ndarray:
    spikes = run.spikes
    return np.array(
        [
            spikes["time"][spikes["compartment"] == site].min()
            for site in facts(file)["recorded_compartments"]
        ]
    )


def extrapolated(file: str, diameter: float) -> tuple[np.ndarray, np.ndarray]:
    """v and arrivals for a time step that goes to zero, by order 2."""
    (v, run), (finer_v, finer) = (ours(file, diameter, dt) for dt in (0.0025, 0.00125))
    times, finer_times = arrivals(run, file), arrivals(finer, file)
    return finer_v + (finer_v - v) / 3, finer_times + (finer_times - times) / 3


@cases
def test_converged(file: str, diameter: float) -> None:
    told, reference = facts(file), traces(file)[f"v/{diameter}/converged"]
    v, times = extrapolated(file, diameter)
    assert v.shape == reference.shape
    assert np.abs(v - reference).max() < 0.5  # mV, the waveform everywhere
    spike = told["spike"][str(diameter)]
    np.testing.assert_allclose(times, spike["arrivals_ms"], rtol=1e-4)
    site = told["recorded_positions_um"]
    speed = (site[2] - site[0]) / (times[2] - times[0]) * 1e-3
    assert speed == pytest.approx(spike["velocity_m_per_s"], rel=1e-3)
    assert v.max(axis=1) == pytest.approx(reference.max(axis=1), abs=0.1)


BUFFERED = "Oc_caintscale"
"""The original's name of the fraction of calmodulin that is bound."""


@pytest.mark.parametrize("diameter", DIAMETERS)
@pytest.mark.parametrize("file", [f for f in MODELS if f not in ("sundt", "rattay")])
def test_concentrations_after_a_train(file: str, diameter: float) -> None:
    told = facts(file)
    membrane = model(file)
    fibre = axon.Axon.cylinder(
        told["length_um"],
        diameter=diameter,
        Ra=membrane.Ra,
        cm=membrane.cm,
        compartments=told["compartments"],
    )
    start, width = told["stimulus_ms"]
    interval = told["settings"]["interval"]
    shock = axon.pulse(told["spike"][str(diameter)]["amplitude_nA"], start, width)
    train = axon.train_of(shock, interval, count=10)
    finals, latencies = [], []
    for dt in (0.01, 0.005):
        sim = axon.Simulation(
            fibre,
            membrane,
            [axon.CurrentClamp(float(fibre.x[told["stimulated_compartment"]]), train)],
            celsius=told["celsius"],
            dt=dt,
            v_init=told["settings"]["v_init"],
        )
        run = sim.run(told["settings"]["delay"] + 10 * interval, record=())
        site = told["recorded_compartments"][1]
        times = run.spikes["time"][run.spikes["compartment"] == site]
        latencies.append(times - start - interval * np.arange(10))
        names = ["cai.calmodulin" if n == BUFFERED else n for n in told["pools"]]
        finals.append(np.array([run.final[name][site] for name in names]))
    best = finals[1] + (finals[1] - finals[0]) / 3
    reference = traces(file)[f"train/{diameter}/pools/converged"][:, -1]
    np.testing.assert_allclose(best, reference, rtol=1e-3)
    lag = latencies[1] + (latencies[1] - latencies[0]) / 3
    np.testing.assert_allclose(
        lag, traces(file)[f"train/{diameter}/latencies/converged"][1], rtol=1e-3
    )
