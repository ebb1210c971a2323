"""Run published models of unmyelinated fibres in NEURON, as PyFibers ships them, for references.

    python make_references.py [MODEL ...] [--out FOLDER] [--no-trains]

It needs `pip install neuron pyfibers` and then `pyfibers_compile`; the tests need neither of them,
only what this leaves behind: for each model a .json (parameters, states at t = 0, velocities,
errors) and a .npz (traces, trains of spikes, tables of the gates).

What is computed is the cable that PyFibers builds, but without the extracellular mechanism, with
all compartments active, as one section, and from a state that anybody can set up:
finitialize(v_init), so that at t = 0 each gate has its steady state at v_init and each
concentration its initial value. The tables by which some mechanisms look up their rates are off.
The parameters are read from a fibre built by PyFibers; leaks and pumps are balanced by the method
of its class.

Only the time step is refined; the reference is the cable of 601 compartments and not the
continuous one. NEURON runs with secondorder = 2: potentials on whole steps, gates on half steps.
Results at successively halved steps are extrapolated to zero, by the powers of the step that the
error of the model has (`orders`). The .json has the order measured, what the extrapolation
changes if its finest step is left out (which estimates its error, and usually from above), and
the difference to CVODE, another method.
"""

from __future__ import annotations

import argparse
import gc
import json
import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import neuron
import numpy as np
import pyfibers
from neuron import h

LENGTH = 5000.0  # µm
COMPARTMENTS = 601  # of 8.32 µm; PyFibers has 8.333 µm
RECORDED = (150, 300, 450)  # compartments at 25, 50 and 75 % of the length
CELSIUS = 37.0
DIAMETERS = (0.5, 1.0, 2.0)  # µm
DT = 0.005  # ms, of the traces to be compared at the same step
SAMPLING = 0.05  # ms, of v
SAMPLING_POOLS = 0.5  # ms, of concentrations
SAMPLING_TRAIN = 5.0  # ms, of concentrations
DURATION = 0.5  # ms, of a stimulus
LEVEL = -20.0  # mV; a spike arrives when v passes it upwards
SPIKES = 10  # of a train
REFINEMENTS = 4  # halvings of DT for a single spike
REFINEMENTS_TRAIN = 1  # halvings of DT for a train, which begins at 2 DT
TOLERANCE = 1e-9  # of CVODE, relative and absolute

TABLES = (
    "RattayAberham", "nav7", "newnav8", "nav9", "cav12", "cav22", "km", "hcn", "ka34", "ka14",
)  # fmt: skip
BALANCED = (
    "gkleak_leak", "gnaleak_leak", "gcaleak_leak",
    "pumpik_extrapump", "pumpina_extrapump", "pumpica_extrapump",
)  # fmt: skip
NOT_GATES = ("caintscale", "caextscale", "nakpump", "kna")  # mechanisms whose states are not gates
POOLS = ("nai", "nao", "ki", "ko", "cai", "cao", "Oc_caintscale")
PARAMETER, ASSIGNED, STATE, GLOBAL = 1, 2, 3, -1  # as MechanismStandard counts them
STEADY = {"na": (8.9, 154.0), "k": (145.0, 5.4), "ca": (0.000117, 2.0)}  # mM, for tables of gates
TABLE_V = np.arange(-120.0, 60.1, 5.0)  # mV
TABLE_CAI = np.array([5e-5, 0.000117, 1e-3, 1e-2])  # mM


@dataclass(frozen=True)
class Model:
    """What to do with a model of PyFibers."""

    doi: str
    v_init: float  # mV
    amplitudes: tuple[float, ...]  # nA at DIAMETERS, about 2.5 thresholds
    duration: float  # ms, of the run with one spike
    orders: tuple[int, ...]  # powers of the step in the error
    delay: float = 5.0  # ms, of the stimulus
    moves: tuple[str, ...] = ()  # of POOLS
    interval: float = 0.0  # ms between spikes of a train; 0: no train


MODELS = {
    "SUNDT": Model("10.1152/jn.00226.2015", -60.0, (0.12, 0.35, 1.0), 40.0, (2, 4)),
    "RATTAY": Model("10.1109/10.250575", -70.0, (0.1, 0.3, 0.85), 30.0, (2, 4)),
    "SCHILD94": Model(
        "10.1152/jn.1994.71.6.2338", -46.5, (0.15, 0.42, 1.2), 50.0, (1, 2, 4),
        moves=("cai", "cao", "Oc_caintscale"), interval=50.0,
    ),
    "TIGERHOLM": Model(
        "10.1152/jn.00777.2012", -55.0, (0.3, 0.85, 2.4), 40.0, (1, 2),
        moves=("nai", "nao", "ki", "ko"), interval=50.0,
    ),
    "THIO_AUTONOMIC": Model(
        "10.1371/journal.pcbi.1012475", -58.5, (0.27, 0.77, 2.2), 30.0, (1, 2, 4),
        moves=POOLS, interval=50.0,
    ),
    "THIO_CUTANEOUS": Model(
        "10.1371/journal.pcbi.1012475", -58.5, (0.32, 0.92, 2.6), 30.0, (1, 2, 4),
        moves=POOLS, interval=100.0,
    ),
    "SCHILD97": Model(
        "10.1152/jn.1997.78.6.3198", -68.0, (0.32, 0.92, 2.6), 70.0, (1, 2, 4), delay=20.0,
        moves=("cai", "cao", "Oc_caintscale"), interval=50.0,
    ),
}  # fmt: skip


# Building


def variables(mechanism: str, kind: int) -> list[str]:
    standard = h.MechanismStandard(mechanism, kind)
    name = h.ref("")
    names = []
    for i in range(int(standard.count())):
        standard.name(name, i)
        names.append(name[0])
    return names


def mechanisms_of(section: h.Section) -> list[str]:
    return [name for name in section.psection()["density_mechs"] if name != "extracellular"]


def ions_of(section: h.Section) -> list[str]:
    return [ion for ion in ("na", "k", "ca") if hasattr(section(0.5), f"{ion}_ion")]


def use_tables(use: bool) -> None:
    for mechanism in TABLES:
        setattr(h, f"usetable_{mechanism}", int(use))


def copy_parameters(source: h.Section, target: h.Section, mechanisms: Sequence[str]) -> None:
    for mechanism in mechanisms:
        for kind in (PARAMETER, ASSIGNED):  # PyFibers sets some that are ASSIGNED: L_caintscale
            for name in variables(mechanism, kind):
                setattr(target, name, getattr(source, name))


def copy_ions(source: h.Section, target: h.Section) -> None:
    for ion in ions_of(source):
        style = int(h.ion_style(f"{ion}_ion", sec=source))
        concentrations, reversal = style & 0o3, style >> 3 & 0o3
        flags = (style >> 5 & 1, style >> 6 & 1, style >> 2 & 1)
        h.ion_style(f"{ion}_ion", concentrations, reversal, *flags, sec=target)
        for name in (f"e{ion}", f"{ion}i", f"{ion}o"):
            setattr(target, name, getattr(source, name))


def fibre(model: str, diameter: float) -> pyfibers.Fiber:
    return pyfibers.build_fiber(
        pyfibers.FiberModel[model],
        diameter=diameter,
        n_sections=3,
        temperature=CELSIUS,
        passive_end_nodes=False,
    )


def cable(model: str, diameter: float, compartments: int = COMPARTMENTS) -> h.Section:
    """The only section there is: a cylinder with the membrane that PyFibers gives the model."""
    template = fibre(model, diameter)
    node = template.nodes[1]
    section = h.Section(name="cable")
    section.L = LENGTH / COMPARTMENTS * compartments
    section.nseg = compartments
    section.diam, section.Ra, section.cm = diameter, node.Ra, node.cm
    mechanisms = mechanisms_of(node)
    for mechanism in mechanisms:
        section.insert(mechanism)
    copy_parameters(node, section, mechanisms)
    copy_ions(node, section)
    kind, v_rest = type(template), template.v_rest
    del node, template
    gc.collect()
    assert [s.name() for s in h.allsec()] == ["cable"]

    h.celsius = CELSIUS
    if hasattr(kind, "balance"):
        for name in BALANCED:
            setattr(section, name, 0.0)
        h.finitialize(v_rest)
        kind.balance(types.SimpleNamespace(sections=[section], v_rest=v_rest))
    return section


def stimulate(section: h.Section, amplitude: float, times: Sequence[float]) -> list[h.IClamp]:
    clamps = []
    for time in times:
        clamp = h.IClamp(section(0.5 / section.nseg))
        clamp.delay, clamp.dur, clamp.amp = time, DURATION, amplitude
        clamps.append(clamp)
    return clamps


# Running


@dataclass
class Run:
    v: np.ndarray  # mV at RECORDED, every SAMPLING
    pools: np.ndarray  # mM, in the middle
    arrivals: np.ndarray  # ms, at RECORDED, of each spike
    peaks: np.ndarray  # mV at RECORDED, of the run


def arrivals(v: np.ndarray, dt: float) -> np.ndarray:
    """When v passes LEVEL upwards, by the cubic through four samples."""
    times = []
    for i in np.flatnonzero((v[:-1] < LEVEL) & (v[1:] >= LEVEL)):
        cubic = np.polyfit(np.arange(-1.0, 3.0), v[i - 1 : i + 3] - LEVEL, 3)
        roots = np.roots(cubic)
        root = next(r.real for r in roots if abs(r.imag) < 1e-9 and -1e-9 <= r.real <= 1 + 1e-9)
        times.append((i + root) * dt)
    return np.array(times)


def peak(v: np.ndarray) -> float:
    """By the parabola through the highest sample and its neighbours."""
    i = int(v.argmax())
    left, top, right = v[i - 1 : i + 2]
    return float(top - (right - left) ** 2 / (8 * (left - 2 * top + right)))


def run(section: h.Section, model: Model, duration: float, dt: float, pools_every: float) -> Run:
    """Steps of dt by the staggered scheme."""
    n = section.nseg
    v = [h.Vector().record(section((i + 0.5) / n)._ref_v) for i in RECORDED]
    pools = [h.Vector().record(getattr(section(0.5), f"_ref_{name}")) for name in model.moves]
    h.CVode().active(False)
    h.secondorder = 2
    h.dt = dt
    h.finitialize(model.v_init)
    for _ in range(round(duration / dt)):
        h.fadvance()
    every, rarely = round(SAMPLING / dt), round(pools_every / dt)
    traces = [np.array(trace) for trace in v]
    return Run(
        np.array([trace[::every] for trace in traces]),
        np.array([np.array(pool)[::rarely] for pool in pools]),
        np.array([arrivals(trace, dt) for trace in traces]),
        np.array([peak(trace) for trace in traces]),
    )


def run_cvode(
    section: h.Section, model: Model, duration: float, pools_every: float
) -> tuple[np.ndarray, np.ndarray]:
    """v at RECORDED and the pools, by an independent method with adaptive steps."""
    n = section.nseg
    times = h.Vector(np.arange(round(duration / SAMPLING) + 1) * SAMPLING)
    rarely = h.Vector(np.arange(round(duration / pools_every) + 1) * pools_every)
    v = [h.Vector().record(section((i + 0.5) / n)._ref_v, times) for i in RECORDED]
    pools = [
        h.Vector().record(getattr(section(0.5), f"_ref_{name}"), rarely) for name in model.moves
    ]
    solver = h.CVode()
    h.secondorder = 0
    solver.active(True)
    solver.rtol(TOLERANCE)
    solver.atol(TOLERANCE)
    h.finitialize(model.v_init)
    solver.solve(duration + 1e-9)
    solver.active(False)
    return np.array([np.array(x) for x in v]), np.array([np.array(x) for x in pools])


# Refining


def extrapolate(levels: Sequence[np.ndarray], orders: Sequence[int]) -> np.ndarray:
    """The limit of the finest levels, each of half the step of the one before."""
    finest = levels[-len(orders) - 1 :]
    steps = 0.5 ** np.arange(len(finest))
    powers = np.array([steps**0, *(steps**order for order in orders)])
    weights = np.linalg.solve(powers, np.eye(len(finest))[0])
    return sum(weight * level for weight, level in zip(weights, finest, strict=True))


def furthest(a: np.ndarray, b: np.ndarray) -> list[float]:
    return np.abs(a - b).reshape(len(a), -1).max(axis=1).tolist()


def measured_order(levels: Sequence[np.ndarray]) -> list[float | None]:
    """Of each row, by the three finest levels: 2 if halving the step divides changes by 4."""
    coarse, fine = furthest(levels[-3], levels[-2]), furthest(levels[-2], levels[-1])
    return [
        float(np.log2(a / b)) if a > 0 and b > 0 else None
        for a, b in zip(coarse, fine, strict=True)
    ]


def refined(levels: Sequence[np.ndarray], orders: Sequence[int]) -> tuple[np.ndarray, list[float]]:
    """The limit, and how far it was with the finest level left out."""
    best = extrapolate(levels, orders)
    return best, furthest(best, extrapolate(levels[:-1], orders))


def single_spike(name: str, diameter: float, arrays: dict[str, np.ndarray]) -> dict:
    model = MODELS[name]
    section = cable(name, diameter)
    amplitude = model.amplitudes[DIAMETERS.index(diameter)]
    clamps = stimulate(section, amplitude, [model.delay])
    steps = [DT / 2**k for k in range(REFINEMENTS + 1)]
    runs = [run(section, model, model.duration, dt, SAMPLING_POOLS) for dt in steps]
    cvode_v, cvode_pools = run_cvode(section, model, model.duration, SAMPLING_POOLS)

    v, v_error = refined([r.v for r in runs], model.orders)
    peaks, _ = refined([r.peaks for r in runs], model.orders)
    times, times_error = refined([r.arrivals for r in runs], model.orders)
    arrays[f"v/{diameter}/converged"] = v
    arrays[f"v/{diameter}/same_step"] = runs[0].v
    apart = (RECORDED[2] - RECORDED[0]) * LENGTH / COMPARTMENTS  # µm
    found = {
        "amplitude_nA": amplitude,
        "steps_ms": steps,
        "orders_assumed": list(model.orders),
        "order_measured_v": measured_order([r.v for r in runs]),
        "error_estimate_v_mV": v_error,
        "cvode_difference_v_mV": furthest(v, cvode_v),
        "same_step_difference_v_mV": furthest(v, runs[0].v),
        "arrivals_ms": times[:, 0].tolist(),
        "error_estimate_arrivals_ms": times_error,
        "arrivals_same_step_ms": runs[0].arrivals[:, 0].tolist(),
        "velocity_m_per_s": float(apart / (times[2, 0] - times[0, 0]) / 1000),
        "velocity_same_step_m_per_s": float(
            apart / (runs[0].arrivals[2, 0] - runs[0].arrivals[0, 0]) / 1000
        ),
        "peaks_mV": peaks.tolist(),
        "peaks_same_step_mV": runs[0].peaks.tolist(),
    }
    if model.moves:
        pools, pools_error = refined([r.pools for r in runs], model.orders)
        arrays[f"pools/{diameter}/converged"] = pools
        arrays[f"pools/{diameter}/same_step"] = runs[0].pools
        found |= {
            "order_measured_pools": measured_order([r.pools for r in runs]),
            "error_estimate_pools_mM": pools_error,
            "cvode_difference_pools_mM": furthest(pools, cvode_pools),
            "same_step_difference_pools_mM": furthest(pools, runs[0].pools),
        }
    tabulated = [m for m in mechanisms_of(section) if m in TABLES]
    if tabulated:
        use_tables(True)  # parameters stay as balanced without them
        with_tables = run(section, model, model.duration, DT, SAMPLING_POOLS)
        use_tables(False)
        found["tables_change_v_mV"] = furthest(with_tables.v, runs[0].v)
        found["tables_change_arrivals_ms"] = furthest(with_tables.arrivals, runs[0].arrivals)
    del clamps
    return found


def train(name: str, diameter: float, arrays: dict[str, np.ndarray]) -> dict:
    """Ten spikes: latencies at RECORDED from the onset of each stimulus, and the pools."""
    model = MODELS[name]
    section = cable(name, diameter)
    onsets = model.delay + model.interval * np.arange(SPIKES)
    duration = model.delay + model.interval * SPIKES
    amplitude = model.amplitudes[DIAMETERS.index(diameter)]
    clamps = stimulate(section, amplitude, onsets.tolist())
    steps = [2 * DT / 2**k for k in range(REFINEMENTS_TRAIN + 2)]
    runs = [run(section, model, duration, dt, SAMPLING_TRAIN) for dt in steps]
    latencies = [r.arrivals - onsets for r in runs]  # each stimulus must have made a spike
    orders, fewer = (1, 2), (2,)
    best = extrapolate(latencies, orders)
    pools = extrapolate([r.pools for r in runs], orders)
    arrays[f"train/{diameter}/latencies/converged"] = best
    arrays[f"train/{diameter}/latencies/same_step"] = latencies[1]
    arrays[f"train/{diameter}/pools/converged"] = pools
    arrays[f"train/{diameter}/pools/same_step"] = runs[1].pools
    del clamps
    return {
        "steps_ms": steps,
        "orders_assumed": list(orders),
        "order_measured_latencies": measured_order(latencies),
        "order_measured_pools": measured_order([r.pools for r in runs]),
        "error_estimate_latencies_ms": furthest(best, extrapolate(latencies, fewer)),
        "error_estimate_pools_mM": furthest(pools, extrapolate([r.pools for r in runs], fewer)),
        "same_step_difference_latencies_ms": furthest(best, latencies[1]),
        "same_step_difference_pools_mM": furthest(pools, runs[1].pools),
        "latencies_at_half_ms": best[1].tolist(),
        "pools_at_end_mM": dict(zip(model.moves, pools[:, -1].tolist(), strict=True)),
    }


# Describing


def is_current(variable: str) -> bool:
    return variable.split("_")[0] in ("ina", "ik", "ica", "il", "i")


def state(section: h.Section) -> dict[str, float]:
    """All states, concentrations, reversal potentials and currents in the middle."""
    middle = section(0.5)
    values = {"v": middle.v}
    for ion in ions_of(section):
        for variable in (f"e{ion}", f"{ion}i", f"{ion}o", f"i{ion}"):
            values[variable] = getattr(middle, variable)
    for mechanism in mechanisms_of(section):
        for variable in variables(mechanism, STATE):
            values[variable] = getattr(middle, variable)
        for variable in variables(mechanism, ASSIGNED):
            if is_current(variable):
                values[variable] = getattr(middle, variable)
    return values


def parameters(section: h.Section) -> dict[str, float]:
    """As the compiled mechanisms have them: nmodl keeps six digits of a default."""
    values = {"Ra": section.Ra, "cm": section.cm}
    for mechanism in mechanisms_of(section):
        for variable in variables(mechanism, PARAMETER):
            values[variable] = getattr(section, variable)
        for variable in variables(mechanism, GLOBAL):
            value = getattr(h, variable)
            if isinstance(value, float) and not variable.startswith("usetable"):
                values[variable] = value  # a constant, or what some rate was last
    return values


def settled(name: str, diameter: float, duration: float = 100000.0) -> dict[str, float]:
    """The state of a single compartment after a long rest."""
    section = cable(name, diameter, compartments=1)
    solver = h.CVode()
    h.secondorder = 0
    solver.active(True)
    solver.rtol(TOLERANCE)
    solver.atol(TOLERANCE)
    h.finitialize(MODELS[name].v_init)
    solver.solve(duration)
    h.fcurrent()
    values = state(section)
    solver.active(False)
    return values


def lone(model: str, mechanism: str, cai: float) -> h.Section:
    """A compartment with this mechanism only, its potential held by a huge capacitance."""
    template = fibre(model, 1.0)
    section = h.Section(name="lone")
    section.insert(mechanism)
    copy_parameters(template.nodes[1], section, [mechanism])
    del template
    gc.collect()
    assert [s.name() for s in h.allsec()] == ["lone"]
    section.cm = 1e25
    for ion in ions_of(section):
        inside, outside = STEADY[ion]
        setattr(section, f"{ion}i", cai if ion == "ca" else inside)
        setattr(section, f"{ion}o", outside)
    return section


def time_constant(section: h.Section, gate: str, v: float) -> float:
    """From the decay of a displacement over about one time constant."""
    tau = 1.0
    for _ in range(100):
        h.dt = tau
        h.finitialize(v)
        middle = section(0.5)
        inf = getattr(middle, gate)
        setattr(middle, gate, inf + 1.0)
        h.fadvance()
        left = getattr(middle, gate) - inf
        if left < 1e-9:
            tau = h.dt / 20
        elif left > 1 - 1e-9:
            tau = h.dt * 1e6
        else:
            tau = float(-h.dt / np.log(left))
        if 0.1 < left < 0.9:
            return tau
    raise RuntimeError(f"{gate} does not relax at {v} mV")


def tabulate(name: str, arrays: dict[str, np.ndarray]) -> list[str]:
    """Steady states and time constants of all gates, and all currents at once after finitialize."""
    section = cable(name, 1.0, compartments=1)
    mechanisms = mechanisms_of(section)
    currents: dict[str, list[float]] = {}
    for v in TABLE_V:
        h.finitialize(v)
        for variable, value in state(section).items():
            if is_current(variable):
                currents.setdefault(variable, []).append(value)
    for variable, values in currents.items():
        arrays[f"table/current/{variable}"] = np.array(values)
    del section

    h.CVode().active(False)
    h.secondorder = 0
    gates = []
    for mechanism in mechanisms:
        states = variables(mechanism, STATE)
        if mechanism in NOT_GATES or not states:
            continue
        by_calcium = mechanism in ("kca", "bk", "sk")
        rows = TABLE_CAI if by_calcium else TABLE_CAI[1:2]
        inf = {gate: np.empty((len(rows), len(TABLE_V))) for gate in states}
        tau = {gate: np.empty((len(rows), len(TABLE_V))) for gate in states}
        for row, cai in enumerate(rows):
            held = lone(name, mechanism, cai)
            for column, v in enumerate(TABLE_V):
                h.finitialize(v)
                for gate in states:
                    inf[gate][row, column] = getattr(held(0.5), gate)
                for gate in states:
                    tau[gate][row, column] = time_constant(held, gate, v)
            del held
        for gate in states:
            arrays[f"table/inf/{gate}"] = inf[gate] if by_calcium else inf[gate][0]
            arrays[f"table/tau/{gate}"] = tau[gate] if by_calcium else tau[gate][0]
        gates += states
    arrays["table/v"] = TABLE_V
    arrays["table/cai"] = TABLE_CAI
    return gates


def describe(name: str) -> dict:
    model = MODELS[name]
    section = cable(name, 1.0, compartments=1)
    h.finitialize(model.v_init)
    return {
        "model": name,
        "settings": asdict(model),
        "versions": {"neuron": neuron.__version__, "pyfibers": pyfibers.__version__},
        "celsius": CELSIUS,
        "length_um": LENGTH,
        "compartments": COMPARTMENTS,
        "diameters_um": DIAMETERS,
        "stimulated_compartment": 0,
        "stimulus_ms": [model.delay, DURATION],
        "recorded_compartments": RECORDED,
        "recorded_positions_um": [(i + 0.5) * LENGTH / COMPARTMENTS for i in RECORDED],
        "same_step_ms": DT,
        "sampling_ms": SAMPLING,
        "sampling_pools_ms": SAMPLING_POOLS,
        "sampling_train_ms": SAMPLING_TRAIN,
        "arrival_level_mV": LEVEL,
        "cvode_tolerance": TOLERANCE,
        "pools": model.moves,
        "parameters": parameters(section),
        "initial": state(section),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    parser.add_argument("--no-trains", action="store_true", help="keep to single spikes")
    arguments = parser.parse_args()
    use_tables(False)
    for name in arguments.models or MODELS:
        model = MODELS[name]
        arrays: dict[str, np.ndarray] = {}
        description = describe(name)
        description["gates"] = tabulate(name, arrays)
        description["settled"] = {str(d): settled(name, d) for d in DIAMETERS}
        description["spike"] = {str(d): single_spike(name, d, arrays) for d in DIAMETERS}
        if model.interval and not arguments.no_trains:
            description["train"] = {str(d): train(name, d, arrays) for d in DIAMETERS}
        np.savez_compressed(arguments.out / f"{name.lower()}.npz", **arrays)
        text = json.dumps(description, indent=1) + "\n"
        (arguments.out / f"{name.lower()}.json").write_text(text)
        print(name, "done", flush=True)


if __name__ == "__main__":
    main()
