"""Let PyFibers compute velocities, single-fibre potentials and a block threshold, for references.

    python make_pyfibers.py [--out FILE]

It needs `pip install neuron pyfibers` and then `pyfibers_compile`; the tests need neither of them,
only pyfibers.json, which this leaves behind. PyFibers steps by backward Euler. Everything is given
as it comes out at its usual step, and at halved steps, from which the limit is extrapolated. The
block threshold at the shortest step takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from neuron import h
from pyfibers import FiberModel, IntraStim, ScaledStim, build_fiber

SECTIONS = 201  # of 8.333 µm, the first and last passive and cut off
STEPS = (0.005, 0.0025, 0.00125, 0.000625)  # ms
MODELS = {"sundt": (0.5, 8.0), "rattay_aberham": (0.6, 6.0)}  # nA, ms
ELECTRODE = 100.0  # µm beside the middle
BLOCKS = {0.0025: 28.989, 0.00125: 28.098, 0.000625: 27.687}  # mA: looked for within 0.4 % of these
EVERY = 0.05  # ms, of the potential


def fiber_of(model: str, sections: int) -> Any:
    name = {"rattay_aberham": "RATTAY"}.get(model, model.upper())
    return build_fiber(FiberModel[name], diameter=1.0, n_sections=sections, temperature=37)


def crossing(time: np.ndarray, v: np.ndarray) -> float:
    """When v rises through -30 mV, between steps; PyFibers takes the step after it."""
    k = int(np.argmax(v >= -30.0))
    return float(time[k - 1] + (time[k] - time[k - 1]) * (-30.0 - v[k - 1]) / (v[k] - v[k - 1]))


def limit(values: np.ndarray) -> np.ndarray:
    """Of what errors of order 1 and 2 spoil, at the last three of halved steps (Richardson)."""
    first = 2 * values[1:] - values[:-1]
    return (4 * first[-1] - first[-2]) / 3


def passing(model: str, dt: float) -> dict[str, Any]:
    """Velocity (m/s) and single-fibre potential (µV) of an impulse from a tenth of the length."""
    amplitude, stop = MODELS[model]
    fiber = fiber_of(model, SECTIONS)
    fiber.record_vm()
    fiber.record_im(allsec=True)
    fiber.record_vext()
    clamp = {"delay": 1.0, "pw": 0.5, "dur": stop, "freq": 1.0, "amp": 1.0}
    stimulation = IntraStim(dt=dt, tstop=stop, istim_loc=0.1, clamp_kws=clamp)
    stimulation.run_sim(amplitude, fiber)
    lead = fiber.point_source_potentials(0, ELECTRODE, fiber.length / 2, 1, 0.3)
    potential, time = fiber.record_sfap(lead, downsample=round(EVERY / dt))
    ends = fiber.loc_index(0.25), fiber.loc_index(0.75)
    arrivals = [crossing(np.array(fiber.time), np.array(fiber.vm[end])) for end in ends]
    return {
        "velocity": float(fiber.measure_cv(0.25, 0.75)),
        "velocity_between_steps": 1e-3 * 8.333 * (ends[1] - ends[0]) / (arrivals[1] - arrivals[0]),
        "time": np.asarray(time).tolist(),
        "potential": np.asarray(potential).tolist(),
    }


def activation(model: str, sign: float, dt: float) -> float:
    """Threshold (mA) of a pulse of 0.2 ms from a point beside the middle."""
    fiber = fiber_of(model, SECTIONS)
    fiber.potentials = fiber.point_source_potentials(0, ELECTRODE, fiber.length / 2, 1, 0.3)

    def pulse(t: float) -> float:  # as many samples as steps in 0.2 ms, however t is rounded
        return 1.0 if 1.0 - dt / 2 <= t < 1.2 - dt / 2 else 0.0

    stimulation = ScaledStim(waveform=pulse, dt=dt, tstop=10)
    top = {-1.0: 0.2, 1.0: 1.0}[sign]
    amplitude, _ = stimulation.find_threshold(
        fiber, stimamp_top=sign * top, stimamp_bottom=sign * 0.01, termination_tolerance=0.02,
        fail_on_end_excitation=False,
    )  # fmt: skip
    return float(amplitude)


def block(dt: float, between: tuple[float, float], tolerance: float) -> float:
    """The block threshold (mA) of benchmarks/threshold.py, to a tolerance in per cent."""
    fiber = fiber_of("sundt", 601)
    fiber.potentials = fiber.point_source_potentials(0, 250, fiber.length / 2, 1, 0.3)
    fiber.add_intrinsic_activity(loc=0.1, start_time=1, avg_interval=24, num_stims=2, noise=0)

    def khz(t: float) -> float:
        return math.sin(2 * math.pi * 10.0 * (t - 10.0)) if t >= 10.0 else 0.0

    stimulation = ScaledStim(waveform=khz, dt=dt, tstop=45)
    amplitude, _ = stimulation.find_threshold(
        fiber, condition="block", stimamp_top=-between[1], stimamp_bottom=-between[0],
        block_delay=20, exit_t_shift=None, fail_on_end_excitation=False,
        termination_tolerance=tolerance,
    )  # fmt: skip
    return float(amplitude)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pyfibers.json"))
    out = parser.parse_args().out
    h.usetable_RattayAberham = 0  # its table of rates is 3 parts in a thousand off, in potentials
    told: dict[str, Any] = {"pyfibers": version("pyfibers"), "neuron": version("neuron")}
    for model in MODELS:
        runs = [passing(model, dt) for dt in STEPS]
        potentials = np.array([run["potential"] for run in runs])
        velocities = np.array([run["velocity_between_steps"] for run in runs])
        told[model] = {
            "amplitude": MODELS[model][0],
            "dt": STEPS[0],
            "velocity": runs[0]["velocity"],
            "velocity_between_steps": runs[0]["velocity_between_steps"],
            "time": runs[0]["time"],
            "potential": runs[0]["potential"],
            "velocity_limit": float(limit(velocities)),
            "potential_limit": limit(potentials).tolist(),
            "velocities": velocities.tolist(),
        }
        print(model, velocities)
        for name, sign in (("cathode", -1.0), ("anode", 1.0)):
            found = np.array([activation(model, sign, dt) for dt in STEPS[:3]])
            told[model][name] = {"threshold": found[0], "limit": float(limit(found))}
            print(model, name, found)
    halved = [block(dt, (0.996 * near, 1.004 * near), 0.02) for dt, near in BLOCKS.items()]
    told["block"] = {
        "threshold": block(STEPS[0], (16.0, 32.0), 1.0),
        "dt": STEPS[0],
        "halved": halved,
        "limit": float(limit(np.array(halved))),
    }
    print(told["block"])
    out.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
