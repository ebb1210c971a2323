"""Gates, currents and rest of the published models against those of their originals in NEURON.

tests/published has what its make_references.py measured in the mechanisms of PyFibers as NEURON
compiles them: steady states and time constants of the gates, the current of every mechanism with
gates at their steady state and concentrations as they begin, and the state after 100 s of rest.
Both sides compute the same formulas with the same numbers (`COMPILED`, where a model has it), so
that gates and currents differ by rounding only.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axon import models
from axon.channels import Gate
from axon.membranes import Membrane
from axon.models.schild94 import COMPILED as COMPILED94
from axon.models.schild97 import COMPILED as COMPILED97
from axon.models.tigerholm import COMPILED as COMPILED_TIGERHOLM

PUBLISHED = Path(__file__).parents[1] / "published"
CELSIUS = 37.0

Mechanisms = Mapping[str, Sequence[str]]
"""Channels and pumps here, by the mechanism there."""


@dataclass(frozen=True)
class Original:
    """How a model is called there, and its parts."""

    file: str
    mechanisms: Mechanisms
    compiled: Mapping[str, float] = field(default_factory=dict)
    gates: Mapping[str, str] = field(default_factory=dict)
    """Names here of gates that have another one there."""
    tolerance: float = 1e-13
    """Rounding: absolute of steady states, which are about 1, relative of all else."""


SCHILD: Mechanisms = {
    **{name: (name,) for name in ("kd", "ka", "kds", "kca", "can", "cat")},
    "leakSchild": ("background_na", "background_ca"),
    "CaPump": ("ca_pump",),
    "NaCaPump": ("nacx",),
    "NaKpumpSchild": ("nak",),
}
BALANCE: Mechanisms = {
    "leak": ("leak_na", "leak_k", "leak_ca"),
    "extrapump": ("pump_na", "pump_k", "pump_ca"),
}
THIO: Mechanisms = {
    **{name: (name,) for name in ("bk", "cav12", "cav22", "km", "hcn", "kv21", "sk", "nacx")},
    "nav7": ("nav17",),
    "newnav8": ("nav18",),
    "nav9": ("nav19",),
    "ka14": ("kv14",),
    "ka34": ("kv34",),
    "NaKpumpSchild": ("nak",),
    **BALANCE,
}
TIGERHOLM: Mechanisms = {
    **{name: (name,) for name in ("ks", "kf", "h", "kna")},
    "nattxs": ("nav17",),
    "nav1p8": ("nav18",),
    "nav1p9": ("nav19",),
    "kdrTiger": ("kdr",),
    "nakpump": ("nak",),
    **BALANCE,
}
ORIGINALS = {
    "rattay_aberham": Original(
        "rattay",
        {"RattayAberham": ("na", "k", "leak")},
        # m at -45 and n at -60 mV are 0/0; the mean of both sides is good to its curvature.
        tolerance=1e-10,
    ),
    # The exponents are large: what F/RT is rounded to counts.
    "sundt": Original(
        "sundt", {"nahh": ("na",), "borgkdr": ("k",), "pas": ("leak",)}, tolerance=5e-12
    ),
    "schild94": Original(
        "schild94", {**SCHILD, "naf": ("naf",), "nas": ("nas",)}, COMPILED94, {"l_naf": "j"}
    ),
    "schild97": Original(
        "schild97", {**SCHILD, "naf97mean": ("naf",), "nas97mean": ("nas",)}, COMPILED97
    ),
    "tigerholm": Original("tigerholm", TIGERHOLM, COMPILED_TIGERHOLM),
    "thio_autonomic": Original("thio_autonomic", THIO),
    "thio_cutaneous": Original("thio_cutaneous", THIO),
}
MODELS = sorted(ORIGINALS)


def table(name: str) -> dict[str, np.ndarray]:
    with np.load(PUBLISHED / f"{ORIGINALS[name].file}.npz") as file:
        return {key.removeprefix("table/"): file[key] for key in file if key.startswith("table/")}


def described(name: str) -> dict[str, Any]:
    text = (PUBLISHED / f"{ORIGINALS[name].file}.json").read_text("utf-8")
    return dict(json.loads(text))


def built(name: str) -> Membrane:
    membrane = getattr(models, name)(**ORIGINALS[name].compiled)
    assert isinstance(membrane, Membrane)
    return membrane


def find_gate(name: str, membrane: Membrane, there: str) -> Gate:
    """The gate that is called, say, m_naf there."""
    original = ORIGINALS[name]
    gate_name, mechanism = there.split("_", 1)
    (found,) = (
        gate
        for channel, gate in membrane.gates
        if channel.name in original.mechanisms[mechanism]
        and gate.name == original.gates.get(there, gate_name)
    )
    assert isinstance(found, Gate)
    return found


def currents(membrane: Membrane, v: np.ndarray) -> dict[tuple[str, str | None], np.ndarray]:
    """Steady current of every ion through every channel and pump, mA/cm²."""
    quantities = membrane.quantities(v, CELSIUS)
    gates = membrane.steady_gates(quantities)
    found = {}
    for channel in membrane.channels:
        own = {gate.name: gates[channel.name, gate.name] for gate in channel.gates}
        g = channel.conductance(np.zeros(1), CELSIUS) * channel.opening(own, quantities)
        for ion, current in channel.currents(g, channel.reversal, quantities).items():
            found[channel.name, ion] = current
    for pump in membrane.pumps:
        for ion, current in pump.currents(pump.factor(np.zeros(1)), quantities).items():
            found[pump.name, ion] = current
    return found


@pytest.mark.parametrize("name", MODELS)
def test_gates_are_those_of_the_original(name: str) -> None:
    measured, membrane, to = table(name), built(name), ORIGINALS[name].tolerance
    gates = [key.removeprefix("inf/") for key in measured if key.startswith("inf/")]
    assert len(gates) == len(membrane.gates)
    for there in gates:
        gate = find_gate(name, membrane, there)
        infs, taus = measured[f"inf/{there}"], measured[f"tau/{there}"]
        concentrations = [None]
        if infs.ndim == 2:  # a row for each concentration of calcium
            concentrations = [{"cai": cai} for cai in measured["cai"]]
        for at, inf, tau in zip(
            concentrations, np.atleast_2d(infs), np.atleast_2d(taus), strict=True
        ):
            found, rate = gate.at(membrane.quantities(measured["v"], CELSIUS, at))
            np.testing.assert_allclose(found, inf, rtol=0, atol=to, err_msg=there)
            np.testing.assert_allclose(1 / rate, tau, rtol=to, err_msg=there)


@pytest.mark.parametrize("name", MODELS)
def test_currents_are_those_of_the_original(name: str) -> None:
    measured, membrane = table(name), built(name)
    original = ORIGINALS[name]
    found = currents(membrane, measured["v"])
    totals = membrane.currents(measured["v"])
    compared = set()
    for key in (key for key in measured if key.startswith("current/")):
        there, expected = key.removeprefix("current/"), measured[key]
        ion = there.split("_")[0][1:]  # ina_nav7, i_pas
        carrier = ion if ion in ("na", "k", "ca") else None
        if "_" in there:
            members = original.mechanisms[there.split("_", 1)[1]]
            parts = [(member, carrier) for member in members if (member, carrier) in found]
            compared |= set(parts)
            current = sum((found[part] for part in parts), np.zeros(1))
        else:
            current = totals.get(carrier, np.zeros(1))
            if not any(other.startswith(f"{there}_") for other in measured):
                compared |= {part for part in found if part[1] == carrier}
        # Relative to the largest of all potentials: near its reversal a current is a difference.
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            *np.broadcast_arrays(current, expected),
            rtol=0,
            atol=original.tolerance * scale,
            err_msg=key,
        )
    if name in ("rattay_aberham", "sundt"):  # have only totals of sodium and potassium
        compared |= {("na", "na"), ("k", "k")}
    assert compared == set(found)


@pytest.mark.parametrize("name", MODELS)
def test_cable_and_temperature_are_those_of_the_original(name: str) -> None:
    membrane, said = built(name), described(name)
    assert membrane.celsius == said["celsius"]
    assert membrane.Ra == said["parameters"]["Ra"]
    assert membrane.cm == said["parameters"]["cm"]
    for concentration in ("nai", "nao", "ki", "ko", "cai", "cao"):
        if concentration in said["pools"]:
            assert membrane.initial_concentrations[concentration] == said["initial"][concentration]


@pytest.mark.parametrize("name", MODELS)
def test_rest_is_that_of_the_original(name: str) -> None:
    settled = described(name)["settled"]
    membrane = built(name)
    for diameter, there in settled.items():
        rest = membrane.rest(CELSIUS, diameter=float(diameter))
        # The original was left alone for 100 s, by a solver with a tolerance of 1e-9.
        assert rest.v == pytest.approx(there["v"], abs=1e-5)
        for concentration, value in rest.concentrations.items():
            if concentration in there:
                assert value == pytest.approx(there[concentration], rel=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if ORIGINALS[name].compiled])
def test_compiled_numbers_are_those_of_the_model_to_six_digits(name: str) -> None:
    parameters = inspect.signature(getattr(models, name)).parameters
    for argument, value in ORIGINALS[name].compiled.items():
        assert float(f"{parameters[argument].default:.6g}") == value


@pytest.mark.parametrize("name", ["tigerholm", "thio_autonomic", "thio_cutaneous"])
@pytest.mark.parametrize("celsius", [25.0, 37.0])
def test_ions_are_balanced_where_the_model_says(name: str, celsius: float) -> None:
    membrane = getattr(models, name)(celsius=celsius)
    assert membrane.celsius == celsius
    largest = max(np.abs(i).max() for i in currents(membrane, np.array([-20.0])).values())
    for current in membrane.currents(membrane.v_init).values():
        assert abs(current) < 1e-14 * largest
