"""NeuroML 2: channels against the standard's equations, and what is refused, hostile files too.

What these tests take for NeuroML is valid by the standard's own schema, which libNeuroML brings;
where it isn't, the test says so.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import neuroml
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from neuroml.nml import nml
from neuroml.writers import NeuroMLWriter

import axon
from axon.channels import Channel, Gate, Markov
from axon.errors import MembraneError
from axon.models import hodgkin_huxley
from axon.neuroml import Cell, cells, documents, read_cell, read_channel, read_morphology

V = np.linspace(-100.0, 100.0, 2001)


def schema() -> etree.XMLSchema:
    """The newest that libNeuroML brings."""
    (package,) = find_spec("neuroml").submodule_search_locations
    found = (Path(package) / "nml").glob("NeuroML_v2.[0-9]*.xsd")
    return etree.XMLSchema(
        file=max(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    )


SCHEMA = schema()

# The channels of Hodgkin and Huxley (1952), as NeuroML says it.
SODIUM = """
<ionChannelHH id="na" conductance="10pS" species="na">
  <notes>m³h</notes>
  <gateHHrates id="m" instances="3">
    <q10Settings type="q10ExpTemp" q10Factor="3" experimentalTemp="6.3degC"/>
    <forwardRate type="HHExpLinearRate" rate="1per_ms" midpoint="-40mV" scale="10mV"/>
    <reverseRate type="HHExpRate" rate="4per_ms" midpoint="-65mV" scale="-18mV"/>
  </gateHHrates>
  <gateHHrates id="h" instances="1">
    <q10Settings type="q10ExpTemp" q10Factor="3" experimentalTemp="6.3 degC"/>
    <forwardRate type="HHExpRate" rate="70 per_s" midpoint="-0.065 V" scale="-20mV"/>
    <reverseRate type="HHSigmoidRate" rate="1per_ms" midpoint="-35mV" scale="1e-2V"/>
  </gateHHrates>
</ionChannelHH>
"""
POTASSIUM = """
<ionChannelHH id="k" conductance="10pS" species="k">
  <gateHHrates id="n" instances="4">
    <q10Settings type="q10ExpTemp" q10Factor="3" experimentalTemp="6.3degC"/>
    <forwardRate type="HHExpLinearRate" rate="0.1per_ms" midpoint="-55mV" scale="10mV"/>
    <reverseRate type="HHExpRate" rate="125Hz" midpoint="-65mV" scale="-80mV"/>
  </gateHHrates>
</ionChannelHH>
"""
LEAK = '<ionChannelHH id="leak" conductance="10pS" type="ionChannelPassive"/>'
OPENING = '<forwardRate type="HHExpRate" rate="1per_ms" midpoint="-40mV" scale="20mV"/>'
CLOSING = '<reverseRate type="HHExpRate" rate="2per_ms" midpoint="-50mV" scale="-15mV"/>'
STEADY = '<steadyState type="HHSigmoidVariable" rate="1" midpoint="-30mV" scale="7mV"/>'
COURSE = '<timeCourse type="fixedTimeCourse" tau="2.5ms"/>'


def document(*components: str) -> str:
    """A NeuroML file of these."""
    inside = "".join(components)
    return (
        f'<?xml version="1.0"?>\n<neuroml xmlns="{documents.NAMESPACE}" id="doc">{inside}</neuroml>'
    )


def gate_in(kind: str, *parts: str, instances: str = "1") -> str:
    """A channel ``c`` with a gate ``g`` of this kind."""
    gate = f'<{kind} id="g" instances="{instances}">{"".join(parts)}</{kind.split()[0]}>'
    return f'<ionChannelHH id="c" conductance="1pS" species="x">{gate}</ionChannelHH>'


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file, whose text must fit the schema unless `valid` says that it doesn't."""

    def write(*components: str, name: str = "it.nml", valid: bool = True) -> Path:
        text = document(*components)
        assert SCHEMA.validate(etree.fromstring(text.encode())) == valid, SCHEMA.error_log
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    return write


def kinetics(gate: Gate, v: Any = V, celsius: float = 6.3) -> tuple[np.ndarray, np.ndarray]:
    """Steady state, and rate 1/tau."""
    return gate.at({"v": np.asarray(v, np.float64), "celsius": celsius})


def squid(path: Path) -> axon.Membrane:
    channels = [
        read_channel(path, "na", gbar=0.12, reversal=50.0),
        read_channel(path, "k", gbar=0.036, reversal="-77 mV"),
        read_channel(path, "leak", gbar="0.3 mS/cm^2", reversal=-54.3),
    ]
    return axon.Membrane(channels, celsius=6.3)


# ---- the squid's channels ------------------------------------------------------------------------


def test_the_squids_channels_are_those_of_the_model(written):
    imported, model = squid(written(SODIUM, POTASSIUM, LEAK)), hodgkin_huxley()
    assert [c.name for c in imported.channels] == ["na", "k", "leak"]
    assert [c.ion for c in imported.channels] == ["na", "k", None]
    assert [c.gbar for c in imported.channels] == [c.gbar for c in model.channels]
    assert [c.reversal for c in imported.channels] == [c.reversal for c in model.channels]
    assert len(imported.gates) == 3
    for (_, ours), (_, theirs) in zip(imported.gates, model.gates, strict=True):
        assert (ours.name, ours.power, ours.q10, ours.celsius) == (
            theirs.name,
            theirs.power,
            theirs.q10,
            theirs.celsius,
        )
        # At -40 and -55 mV the model's own functions are 0/0, and `Gate.at` takes means of both
        # sides, good to 1e-11; these are looked at below.
        v = V[(np.abs(V + 40) > 1e-9) & (np.abs(V + 55) > 1e-9)]
        for celsius in (6.3, 20.0):
            for a, b in zip(kinetics(ours, v, celsius), kinetics(theirs, v, celsius), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


def test_singular_points_take_their_limit_and_lose_no_digits_beside_it(written):
    path = written(SODIUM, POTASSIUM)
    for name, rate, midpoint in (("na", 1.0, -40.0), ("k", 0.1, -55.0)):
        alpha = read_channel(path, name, gbar=1.0, reversal=0.0).gates[0].alpha
        assert alpha(np.array([midpoint]))[0] == rate
        near = midpoint + np.array([-1e-3, -1e-7, -1e-12, 1e-12, 1e-7, 1e-3])
        x = (near - midpoint) / 10.0
        # x/(1 - exp(-x)) = 1 + x/2 + x²/12 + O(x⁴), and x is at most 1e-4
        np.testing.assert_allclose(alpha(near), rate * (1 + x / 2 + x**2 / 12), rtol=1e-15)


def test_a_run_of_the_imported_membrane_is_that_of_the_model(written):
    fibre = axon.Axon.cylinder("5 mm", 500.0, Ra=35.4, compartments=50)
    shock = axon.CurrentClamp(at=0.0, waveform=axon.pulse(20000.0, start=0.5, duration=0.5))
    ours, theirs = (
        axon.Simulation(fibre, membrane, [shock], dt=0.01, v_init=-65.0).run(4.0, dtype="float64")
        for membrane in (squid(written(SODIUM, POTASSIUM, LEAK)), hodgkin_huxley())
    )
    assert np.max(theirs.v) > 20.0  # an impulse
    # Rates differ in their last bits, a few 1e-16 of each, at potentials of some 100 mV: 1e-13 mV,
    # which an impulse's upstroke and a hundred steps may make a hundred times as much.
    np.testing.assert_allclose(ours.v, theirs.v, rtol=0, atol=1e-11)


# ---- every form of a rate, every kind of a gate --------------------------------------------------


def form(kind: str, r: Any, x: Any) -> Any:
    """The standard's equation, x = (v - midpoint)/scale, in extended precision."""
    r, x = np.longdouble(r), np.asarray(x, np.longdouble)
    if kind.startswith("HHExpLinear"):
        safe = np.where(x == 0, 1, x)
        return np.where(x == 0, r, r * safe / -np.expm1(-safe))
    return r / (1 + np.exp(-x)) if kind.startswith("HHSigmoid") else r * np.exp(x)


FORMS = ("HHExp", "HHSigmoid", "HHExpLinear")
numbers = st.floats(0.01, 50.0).map(lambda x: float(f"{x:.4g}"))
scales = st.tuples(numbers.map(lambda x: x + 1.0), st.sampled_from([-1, 1])).map(
    lambda x: x[0] * x[1]
)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(FORMS), numbers, st.integers(-80, 40), scales)
def test_rates_are_the_standards_equations(tmp_path_factory, kind, rate, midpoint, scale):
    attributes = f'midpoint="{midpoint}mV" scale="{scale!r} mV"'
    parts = [
        f'<forwardRate type="{kind}Rate" rate="{rate!r}per_ms" {attributes}/>',
        f'<reverseRate type="{kind}Rate" rate="{1e3 * rate!r}per_s" {attributes}/>',
        COURSE,
        f'<steadyState type="{kind}Variable" rate="{rate!r}" {attributes}/>',
    ]
    path = tmp_path_factory.getbasetemp() / "forms.nml"
    v = np.append(V, midpoint)
    x = (v.astype(np.longdouble) - midpoint) / np.longdouble(scale)
    # One rounding of x is an error of |x| 1e-16 in exp(x); x itself is rounded twice.
    rtol = 1e-15 * (4 + float(np.abs(x).max()))
    path.write_text(document(gate_in("gateHHrates", *parts[:2])), "utf-8")
    (gate,) = read_channel(path, gbar=1.0).gates
    np.testing.assert_allclose(gate.alpha(v), form(kind, rate, x).astype(float), rtol=rtol)
    path.write_text(document(gate_in("gateHHtauInf", *parts[2:])), "utf-8")
    (gate,) = read_channel(path, gbar=1.0).gates
    np.testing.assert_allclose(gate.inf(v), form(kind, rate, x).astype(float), rtol=rtol)


A, B = form("HHExp", 1.0, (V + 40) / 20), form("HHExp", 2.0, (V + 50) / -15)
S = form("HHSigmoid", 1.0, (V + 30) / 7)
KINDS = {
    "gateHHrates": ((OPENING, CLOSING), A / (A + B), A + B),
    "gateHHratesTau": ((OPENING, CLOSING, COURSE), A / (A + B), 0.4),
    "gateHHratesInf": ((OPENING, CLOSING, STEADY), S, A + B),
    "gateHHratesTauInf": ((OPENING, CLOSING, COURSE, STEADY), S, 0.4),
    "gateHHtauInf": ((COURSE, STEADY), S, 0.4),
    "gateHHInstantaneous": ((STEADY,), S, np.inf),
}


@pytest.mark.parametrize("said", ["by its name", "by its type"])
@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_the_standards(written, kind, said):
    parts, inf, rate = KINDS[kind]
    tag = kind if said == "by its name" else f'gate type="{kind}"'
    (gate,) = read_channel(written(gate_in(tag, *parts, instances="2")), gbar=1.0).gates
    assert (gate.name, gate.power, gate.q10) == ("g", 2, 1.0)
    assert gate.instantaneous == (kind == "gateHHInstantaneous")
    found = kinetics(gate, celsius=37.0)
    # a sum, a product and a quotient of exponentials of at most 10
    np.testing.assert_allclose(found[0], np.asarray(inf, float), rtol=1e-14)
    np.testing.assert_allclose(found[1], np.broadcast_to(np.asarray(rate, float), V.shape), 1e-14)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gateHHInstantaneous"])
def test_q10_speeds_a_gate_and_leaves_its_steady_state(written, kind):
    parts, inf, rate = KINDS[kind]
    warm = '<q10Settings type="q10ExpTemp" q10Factor="2.5" experimentalTemp="22degC"/>'
    fixed = '<q10Settings type="q10Fixed" fixedQ10="1.75"/>'
    for setting, at_6, at_32 in ((warm, 2.5**-1.6, 2.5), (fixed, 1.75, 1.75)):
        (gate,) = read_channel(written(gate_in(kind, setting, *parts)), gbar=1.0).gates
        for celsius, factor in ((6.0, at_6), (32.0, at_32)):
            found = kinetics(gate, celsius=celsius)
            np.testing.assert_allclose(found[0], np.asarray(inf, float), rtol=1e-14)
            expected = np.broadcast_to(np.asarray(factor * rate, float), V.shape)
            np.testing.assert_allclose(found[1], expected, rtol=1e-14)


def test_each_gate_has_its_own_reference_temperature(written):
    other = SODIUM.replace("6.3 degC", "18degC").replace('q10Factor="3"', 'q10Factor="2.2"', 1)
    m, h = read_channel(written(other), gbar=1.0).gates
    assert (m.q10, m.celsius, h.q10, h.celsius) == (2.2, 6.3, 3.0, 18.0)


def test_conductances_grow_with_their_q10(written):
    scaling = '<q10ConductanceScaling q10Factor="1.5" experimentalTemp="20degC"/>'
    channel = read_channel(written(SODIUM.replace("<gate", scaling + "<gate", 1)), gbar=0.2)
    assert (channel.q10, channel.celsius) == (1.5, 20.0)
    assert channel.conductance(np.zeros(1), 30.0) == pytest.approx([0.3], rel=1e-15)


def test_a_channel_without_a_reversal_has_that_of_its_ion(written):
    path = written(SODIUM, LEAK)
    ions = [axon.Ion("na", 1, inside=10.0, outside=140.0)]
    sodium = read_channel(path, "na", gbar=0.12)
    axon.Membrane([sodium], ions=ions)
    with pytest.raises(MembraneError, match=r"there is no ion 'na' in the membrane"):
        axon.Membrane([sodium])
    with pytest.raises(MembraneError, match=r"ionChannelHH 'leak': .* reversal is missing"):
        read_channel(path, "leak", gbar=1e-4)


def test_densities_may_vary_along_the_axon(written):
    channel = read_channel(written(SODIUM), gbar=lambda x: 0.1 + x, reversal=50.0)
    assert channel.conductance(np.array([0.0, 1.0]), 6.3).tolist() == [0.1, 1.1]


@pytest.mark.parametrize(
    ("name", "text", "kind", "value"),
    [
        ("rate", "0.7per_ms", "rate in 1/ms", 0.7),
        ("rate", "700 per_s", "rate in 1/ms", 0.7),
        ("rate", "7e2Hz", "rate in 1/ms", 0.7),
        ("v", "-0.0654V", "potential in mV", -65.4),
        ("v", "-65.4 mV", "potential in mV", -65.4),
        ("tau", ".0025s", "time in ms", 2.5),
        ("tau", "2.5ms", "time in ms", 2.5),
        ("t", "-6.3degC", "temperature in °C", -6.3),
        ("g", "3.0 S_per_m2", "conductance in S/cm²", 3e-4),
        ("g", "0.3mS_per_cm2", "conductance in S/cm²", 3e-4),
        ("g", "300uS_per_cm2", "conductance in S/cm²", 3e-4),
        ("g", "3E-4S_per_cm2", "conductance in S/cm²", 3e-4),
        ("c", "0.009F_per_m2", "capacitance in µF/cm²", 0.9),
        ("c", "0.9uF_per_cm2", "capacitance in µF/cm²", 0.9),
        ("r", "0.354ohm_m", "resistivity in Ω·cm", 35.4),
        ("r", "35.4ohm_cm", "resistivity in Ω·cm", 35.4),
        ("r", "0.0354 kohm_cm", "resistivity in Ω·cm", 35.4),
        ("n", " +1.5e0 ", "number", 1.5),
    ],
)
def test_units(name, text, kind, value):
    """To the last bit: digits are moved in decimal."""
    element = documents.Element("it", {name: text}, 1, "file", None)
    assert element.amount(name, kind) == value
    if kind != "number":
        element.attributes[name] = text.strip() + "x"
        with pytest.raises(MembraneError, match=f"is no {kind.split()[0]}, with the unit"):
            element.amount(name, kind)


@pytest.mark.parametrize("text", ["", "mV", "- 1mV", "1", "1e", "nanmV", "infmV", "0x1mV", "1 m V"])
def test_what_is_no_quantity(text):
    element = documents.Element("it", {"v": text}, 1, "file", None)
    with pytest.raises(MembraneError, match="is no potential, with the unit V or mV"):
        element.amount("v", "potential in mV")


@pytest.mark.parametrize(
    "text",
    [
        "1e31mV",
        "1e400mV",
        "1e999999999999999999999V",
        "-1e28V",
        "1e-40V",
        "1e-999999999999999999999V",
    ],
)
def test_what_is_too_large(text):
    element = documents.Element("it", {"v": text}, 1, "file", None)
    with pytest.raises(MembraneError, match="is too large or too small"):
        element.amount("v", "potential in mV")


# ---- schemes of states ---------------------------------------------------------------------------

SCHEME = """
<ionChannelKS id="ks" conductance="10pS" species="k">
  <gateKS id="n" instances="2">
    <closedState id="c1"/><closedState id="c2"/><openState id="o1"/>
    <forwardTransition id="f" from="c1" to="c2">
      <rate xmlns="http://www.neuroml.org/schema/neuroml2" type="HHExpLinearRate" rate="0.1per_ms"
            midpoint="-55mV" scale="10mV"/>
    </forwardTransition>
    <reverseTransition id="r" from="c1" to="c2">
      <rate type="HHExpRate" rate="0.125per_ms" midpoint="-65mV" scale="-80mV"/>
    </reverseTransition>
    <tauInfTransition id="t" from="c2" to="o1">
      <steadyState type="HHSigmoidVariable" rate="1" midpoint="-30mV" scale="7mV"/>
      <timeCourse type="fixedTimeCourse" tau="2.5ms"/>
    </tauInfTransition>
  </gateKS>
</ionChannelKS>
"""


def test_schemes_of_states(written):
    channel = read_channel(written(SCHEME), gbar=1.0)
    (scheme,) = channel.gates
    assert isinstance(scheme, Markov)
    assert (scheme.name, scheme.power, scheme.states) == ("n", 2, ("c1", "c2", "o1"))
    assert scheme.open == {"c1": 0.0, "c2": 0.0, "o1": 1.0}
    forward = form("HHExpLinear", 0.1, (V + 55) / 10)
    back = form("HHExp", 0.125, (V + 65) / -80)
    rates = {(0, 1): forward, (1, 0): back, (1, 2): S / 2.5, (2, 1): (1 - S) / 2.5}
    expected = np.zeros((len(V), 3, 3))
    for (start, end), rate in rates.items():
        expected[:, end, start] += np.asarray(rate, float)
        expected[:, start, start] -= np.asarray(rate, float)
    found = scheme.numbers({"v": V, "celsius": 6.3})
    # 1 - S loses digits where S is near 1
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-16)


# ---- what is refused, by name --------------------------------------------------------------------

HH = gate_in("gateHHrates", OPENING, CLOSING)
REFUSED = {
    "fractional gates": (
        gate_in(
            "gateFractional",
            f'<subGate id="s" fractionalConductance="1">{STEADY}{COURSE}</subGate>',
        ),
        r"it\.nml, line 2: ionChannelHH 'c', gateFractional 'g': not supported there; choose from ",
        True,
    ),
    "fractional gates by type": (
        gate_in(
            'gate type="gateFractional"',
            f'<subGate id="s" fractionalConductance="1">{STEADY}{COURSE}</subGate>',
        ),
        r"gate 'g': type='gateFractional' is not supported; choose from gateHHrates, ",
        True,
    ),
    "rates of one's own": (
        HH.replace('type="HHExpRate" rate="1per_ms" midpoint="-40mV" scale="20mV"', 'type="mine"'),
        r"gateHHrates 'g', forwardRate: type='mine' is not supported; choose from HHExpRate, HHSi",
        True,
    ),
    "time courses of one's own": (
        gate_in("gateHHtauInf", COURSE.replace("fixedTimeCourse", "mine"), STEADY),
        r"timeCourse: type='mine' is not supported; choose from fixedTimeCourse",
        True,
    ),
    "variables in place of rates": (
        HH.replace('"HHExpRate"', '"HHExpVariable"', 1),
        r"forwardRate: type='HHExpVariable' is not supported; choose from HHExpRate, ",
        True,
    ),
    "concentrations": (
        gate_in("gateHHtauInf", COURSE, '<steadyState type="caConcVariable"/>'),
        r"steadyState: type='caConcVariable' is not supported; choose from HHExpVariable",
        True,
    ),
    "a shift": (
        SODIUM.replace("ionChannelHH", "ionChannelVShift")
        .replace("<notes>", "<notes>")
        .replace("conductance=", 'vShift="5mV" conductance='),
        r"ionChannelVShift 'na': not supported: only rates of a ComponentType",
        True,
    ),
    "a q10 of one's own": (
        HH.replace("<forward", '<q10Settings type="mine"/><forward'),
        r"q10Settings: type='mine' is not supported; choose from q10ExpTemp, q10Fixed",
        True,
    ),
    "two q10s": (
        HH.replace("<forward", '<q10Settings type="q10Fixed" fixedQ10="2"/>' * 2 + "<forward"),
        r"gateHHrates 'g': it holds 2 q10Settings; give one",
        False,
    ),
    "two q10s of the conductance": (
        SODIUM.replace(
            "<gate",
            '<q10ConductanceScaling q10Factor="2" experimentalTemp="6degC"/>' * 2 + "<gate",
            1,
        ),
        r"q10ConductanceScaling: a second one is not supported",
        True,
    ),
    "a q10 of nothing": (
        HH.replace("<forward", '<q10Settings type="q10Fixed" fixedQ10="-2"/><forward'),
        r"q10Settings: fixedQ10='-2' must be greater than 0",
        True,
    ),
    "a q10 of a scheme": (
        SCHEME.replace("<closed", '<q10Settings type="q10Fixed" fixedQ10="2"/><closed', 1),
        r"gateKS 'n', q10Settings: not supported there; choose from closedState, openState",
        True,
    ),
    "a passive channel with gates": (
        HH.replace(' species="x"', ' type="ionChannelPassive"'),
        r"ionChannelHH 'c': a passive channel has no gates",
        True,
    ),
    "no rate": (
        gate_in('gate type="gateHHrates"', OPENING),
        r"gate 'g': it holds no reverseRate; give one",
        True,
    ),
    "what a gate of its kind has not": (
        gate_in('gate type="gateHHrates"', OPENING, CLOSING, COURSE),
        r"gate 'g', timeCourse: not supported there; choose from forwardRate, reverseRate, q10",
        True,
    ),
    "a rate without a midpoint": (
        HH.replace(' midpoint="-40mV"', ""),
        r"forwardRate: midpoint is missing",
        True,
    ),
    "a rate in volts": (
        HH.replace("1per_ms", "1V"),
        r"forwardRate: rate='1V' is no rate, with the unit per_s or Hz or per_ms",
        False,
    ),
    "a scale of 0": (HH.replace("20mV", "0mV"), r"forwardRate: scale is 0", True),
    "a time constant of 0": (
        gate_in("gateHHtauInf", COURSE.replace("2.5", "0"), STEADY),
        r"timeCourse: tau='0ms' must be greater than 0",
        True,
    ),
    "too many instances": (
        gate_in("gateHHrates", OPENING, CLOSING, instances="9"),
        r"gateHHrates 'g': instances=9; a whole number from 1 to 8",
        True,
    ),
    "half an instance": (
        gate_in("gateHHrates", OPENING, CLOSING, instances="0.5"),
        r"gateHHrates 'g': instances='0.5' is no whole number",
        False,
    ),
    "an attribute that nobody knows": (
        HH.replace('instances="1"', 'instances="1" speed="7"'),
        r"gateHHrates 'g': speed='7' is not supported; choose from instances",
        False,
    ),
    "an element that nobody knows": (
        HH.replace("<forward", "<wobble/><forward"),
        r"gateHHrates 'g', wobble: not supported there; choose from forwardRate",
        False,
    ),
    "an element of another language": (
        HH.replace("<forward", '<wobble xmlns="urn:x"/><forward'),
        r"gateHHrates 'g', urn:x:wobble: not supported there",
        False,
    ),
    "two gates of one name": (
        HH.replace(
            "</ionC", f'<gateHHrates id="g" instances="1">{OPENING}{CLOSING}</gateHHrates></ionC'
        ),
        r"ionChannelHH 'c': channel 'c' names a gate twice: g, g",
        True,
    ),
    "a name that is none": (
        HH.replace('id="g"', 'id="a b"'),
        r"gateHHrates 'a b': gate name 'a b': a name is letters",
        False,
    ),
    "a channel without a name": (
        HH.replace('id="c" ', ""),
        r"ionChannelHH: id is missing",
        False,
    ),
    "a transition to nowhere": (
        SCHEME.replace('to="o1"', 'to="o2"'),
        r"tauInfTransition 't': from='c2' and to='o2' must be two of c1, c2, o1",
        True,
    ),
    "a transition to itself": (
        SCHEME.replace('to="o1"', 'to="c2"'),
        r"tauInfTransition 't': from='c2' and to='c2' must be two of",
        True,
    ),
    "a transition twice": (
        SCHEME.replace('from="c2" to="o1"', 'from="c2" to="c1"'),
        r"tauInfTransition 't': a second rate from c2 to c1",
        True,
    ),
    "a state twice": (
        SCHEME.replace('closedState id="c2"', 'closedState id="c1"'),
        r"closedState 'c1': another state has this id",
        True,
    ),
    "a state apart": (
        SCHEME.replace("<openState", '<openState id="o9"/><openState'),
        r"gateKS 'n': no transition leads to or from o9",
        True,
    ),
    "a transition by voltage alone": (
        SCHEME.replace("<rate type", "<speed/><rate type"),
        r"reverseTransition 'r', speed: not supported there; choose from rate",
        True,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused_by_name(written, case):
    text, message, valid = REFUSED[case]
    with pytest.raises(MembraneError, match=message):
        read_channel(written(text, valid=valid), gbar=1.0)


def test_other_parts_of_a_file_may_be_what_they_like(written):
    cell = '<iafCell id="i" leakReversal="-50mV" thresh="-55mV" reset="-70mV" C="0.2nF"'
    cell += ' leakConductance="0.01uS"/>'
    path = written(SODIUM, REFUSED["rates of one's own"][0], cell)
    assert read_channel(path, "na", gbar=1.0).name == "na"


def test_which_channel_is_meant(written):
    path = written(SODIUM, POTASSIUM)
    with pytest.raises(
        MembraneError, match=r"more than one ion channel; .* 'na', ionChannelHH 'k'$"
    ):
        read_channel(path, gbar=1.0)
    with pytest.raises(
        MembraneError, match=r"no ion channel of the name 'ca'; there are ionChannel"
    ):
        read_channel(path, "ca", gbar=1.0)
    with pytest.raises(MembraneError, match=r"more than one ion channel of the name 'na'"):
        read_channel(written(SODIUM, SODIUM), "na", gbar=1.0)
    with pytest.raises(MembraneError, match=r"no ion channel; there are none"):
        read_channel(written(), gbar=1.0)


# ---- included files ------------------------------------------------------------------------------


def test_files_beside_it_are_included_each_once(written, tmp_path):
    (tmp_path / "channels").mkdir()
    written('<include href="channels/k.nml"/><include href="it.nml"/>', SODIUM, name="na.nml")
    written('<include href="../na.nml"/>', POTASSIUM, name="channels/k.nml")
    path = written('<include href="na.nml"/><include href="./na.nml"/>', LEAK)
    assert [element.get("id") for element in documents.read(path)] == ["leak", "na", "k"]
    assert read_channel(path, "k", gbar=1.0).gates[0].name == "n"


@pytest.mark.parametrize("href", ["../other.nml", "/etc/passwd", "link.nml", "a/../../other.nml"])
def test_files_elsewhere_are_not(written, tmp_path, href):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").mkdir()
    written(SODIUM, name="other.nml")
    (tmp_path / "in" / "link.nml").symlink_to(tmp_path / "other.nml")
    path = written(f'<include href="{href}"/>', name="in/it.nml")
    with pytest.raises(MembraneError, match=r"it\.nml, line 2: include: it leads out of "):
        read_channel(path, gbar=1.0)


@pytest.mark.parametrize(
    "href", ["none.nml", "", ".", "a&#9;b", "https://example.org/na.nml", "file:na.nml", "x" * 5000]
)
def test_files_that_are_none(written, href):
    path = written(f'<include href="{href}"/>', SODIUM)
    with pytest.raises(MembraneError, match=r"include: it cannot be read: "):
        read_channel(path, "na", gbar=1.0)


def test_what_is_included_must_be_neuroml_too(written, tmp_path):
    (tmp_path / "types.xml").write_text("<Lems><ComponentType name='mine'/></Lems>")
    with pytest.raises(MembraneError, match=r"types\.xml is no NeuroML 2: it begins with <:Lems>"):
        read_channel(written('<include href="types.xml"/>', SODIUM), "na", gbar=1.0)


# ---- cells ---------------------------------------------------------------------------------------

WHOLE = """
<spikeThresh value="-20mV"/>
<specificCapacitance value="1 uF_per_cm2"/>
<initMembPotential value="-65mV"/>
"""
SQUIDS = """
<channelDensity id="nas" ionChannel="na" condDensity="120 mS_per_cm2" erev="50mV" ion="na"/>
<channelDensity id="ks" ionChannel="k" condDensity="360 S_per_m2" erev="-77mV" ion="k"/>
<channelDensity id="leaks" ionChannel="leak" condDensity="3 S_per_m2" erev="-54.3mV"
                ion="non_specific"/>
"""
RESISTIVITY = '<resistivity value="0.0354 kohm_cm"/>'


def point(kind: str, x: float, y: float, z: float, diameter: float) -> str:
    return f'<{kind} x="{x}" y="{y}" z="{z}" diameter="{diameter}"/>'


def segment(
    number: int,
    distal: tuple[float, ...],
    proximal: tuple[float, ...] | None = None,
    parent: int | None = None,
    fraction: float | None = None,
    name: str = "",
) -> str:
    """Points are x, y, z and diameter, in µm."""
    along = "" if fraction is None else f' fractionAlong="{fraction!r}"'
    link = "" if parent is None else f'<parent segment="{parent}"{along}/>'
    start = "" if proximal is None else point("proximal", *proximal)
    label = f' name="{name}"' if name else ""
    return f'<segment id="{number}"{label}>{link}{start}{point("distal", *distal)}</segment>'


def group(name: str, *members: int, include: str = "") -> str:
    held = "".join(f'<member segment="{number}"/>' for number in members)
    held += f'<include segmentGroup="{include}"/>' if include else ""
    return f'<segmentGroup id="{name}">{held}</segmentGroup>'


def cell(*shape: str, channels: str = SQUIDS, whole: str = WHOLE, inside: str = RESISTIVITY) -> str:
    return (
        f'<cell id="it"><morphology id="shape">{"".join(shape)}</morphology>'
        f'<biophysicalProperties id="p"><membraneProperties>{channels}{whole}</membraneProperties>'
        f"<intracellularProperties>{inside}</intracellularProperties></biophysicalProperties></cell>"
    )


BALL = segment(0, (1, 2, 3, 17.841242), (1, 2, 3, 17.841242), name="soma")
STEM = segment(0, (100, 0, 0, 2.0), (0, 0, 0, 4.0), name="stem")


def test_a_ball_of_the_squids_membrane(written):
    """Of 1000 µm², as its diameter says; it does what that cylinder does."""
    found = read_cell(written(SODIUM, POTASSIUM, LEAK, cell(BALL)), celsius=6.3, dx=20.0)
    assert isinstance(found, Cell)
    assert (found.name, found.spike_threshold, found.membrane.v_init) == ("it", -20.0, -65.0)
    assert (found.membrane.name, found.membrane.celsius) == ("it", 6.3)
    (branch,) = found.axon.branches
    assert (branch.name, branch.cable.Ra.tolist(), branch.cable.cm.tolist()) == (
        "soma",
        [35.4],
        [1.0],
    )
    assert found.axon.area == pytest.approx([1000.0], rel=1e-6)  # the diameter has 8 digits
    np.testing.assert_allclose(found.axon.places, [[1, 2, 3]], rtol=1e-15)
    assert [(c.name, c.ion, c.gbar, c.reversal) for c in found.membrane.channels] == [
        ("na", "na", 0.12, 50.0),
        ("k", "k", 0.036, -77.0),
        ("leak", None, 3e-4, -54.3),
    ]
    own = axon.Axon.cylinder(17.841242, 17.841242, Ra=35.4, compartments=1)
    shock = axon.CurrentClamp(at=0.0, waveform=axon.pulse(0.08, start=1.0, duration=10.0))
    ours, theirs = (
        axon.Simulation(shape, membrane, [shock], dt=0.01, v_init=-65.0).run(15.0, dtype="float64")
        for shape, membrane in ((found.axon, found.membrane), (own, hodgkin_huxley()))
    )
    assert np.max(theirs.v) > 20.0
    np.testing.assert_allclose(ours.v, theirs.v, rtol=0, atol=1e-11)  # as along the fibre above


def test_segments_that_go_on_are_one_branch(written):
    shape = (
        STEM,
        segment(5, (100, 50, 0, 2.0), parent=0),
        segment(4, (0, -10, 0, 1.5), (100, 20, 0, 1.5), parent=5, fraction=0.25, name="twig"),
        # after a step, and after the twig
        segment(3, (100, 80, 0, 1.0), (100, 50, 0, 3.0), parent=5),
    )
    tree = read_morphology(written(cell(*shape)), dx=1.0)
    stem, twig = tree.branches
    assert stem.cable.profile_x.tolist() == [0, 100, 150, 150, 180]
    assert stem.cable.profile_diameter.tolist() == [4, 2, 2, 3, 1]
    assert stem.cable.path.tolist() == [[0, 0, 0], [100, 0, 0], [100, 50, 0], [100, 80, 0]]
    assert (stem.name, stem.parent) == ("stem", -1)
    assert (twig.name, twig.parent, twig.at) == ("twig", 0, 112.5)
    assert twig.cable.path.tolist() == [[100, 20, 0], [0, -10, 0]]  # what lies between is nothing
    assert twig.cable.length == pytest.approx(np.hypot(100, 30), rel=1e-15)


def test_forks_end_a_branch(written):
    shape = (
        STEM,
        segment(1, (200, 0, 0, 1.0), parent=0, name="a"),
        segment(2, (200, 9, 0, 1.0), parent=0, name="b"),
        segment(3, (300, 9, 0, 1.0), parent=2, name="b"),
        segment(4, (300, 0, 0, 1.0), (201, 0, 0, 1.0), parent=1),  # after a gap
    )
    tree = read_morphology(written(cell(*shape)))
    assert [(b.parent, b.at) for b in tree.branches] == [(-1, 0), (0, 100), (1, 100), (0, 100)]
    assert [b.name for b in tree.branches] == ["stem", "a", "", ""]  # there are two of b
    ends = [b.cable.profile_diameter[[0, -1]].tolist() for b in tree.branches]
    assert ends == [[4, 2], [2, 1], [1, 1], [2, 1]]


@pytest.mark.parametrize(
    ("fraction", "start"),
    [(0.0, (0, 0, 0, 4)), (0.25, (25, 0, 0, 3.5)), (1.0, (100, 0, 0, 2)), (None, (100, 0, 0, 2))],
)
def test_a_segment_begins_on_its_parent_if_it_does_not_say(written, fraction, start):
    shape = STEM, segment(1, (50, 60, 0, 1.0), parent=0, fraction=fraction)
    other = segment(2, (100, -70, 0, 1.0), parent=0)
    tree = read_morphology(written(cell(*shape, other)))
    (twig,) = [b for b in tree.branches if b.cable.path[-1].tolist() == [50, 60, 0]]
    assert twig.cable.path[0].tolist() == list(start[:3])
    assert twig.cable.profile_diameter[0] == start[3]
    assert twig.at == start[0]


def test_a_ball_has_the_cylinders_ends(written):
    dendrites = (
        segment(1, (11, 2, 3, 1.0), (9.9, 2, 3, 2.0), parent=0),
        segment(2, (-9, 2, 3, 1.0), (-7.9, 2, 3, 2.0), parent=0, fraction=0.0),
        segment(3, (1, 20, 3, 1.0), parent=0, fraction=0.5),
    )
    tree = read_morphology(written(cell(BALL, *dendrites)))
    assert [b.at for b in tree.branches] == [0.0, 17.841242, 0.0, 17.841242 / 2]
    assert tree.branches[3].cable.path[0].tolist() == [1, 2, 3]
    assert tree.branches[3].cable.profile_diameter[0] == 17.841242


def test_a_ball_is_a_branch_of_its_own(written):
    """Also if there is nothing else, and what goes on begins at its centre."""
    shape = BALL, segment(1, (1, 20, 3, 1.0), parent=0), segment(2, (1, 20, 3, 1.0), parent=1)
    tree = read_morphology(written(cell(*shape)))
    assert [b.cable.length for b in tree.branches] == [17.841242, 18.0, 1.0]
    assert [(b.parent, b.at) for b in tree.branches] == [(-1, 0), (0, 17.841242), (1, 18.0)]
    assert tree.branches[0].cable.path.tolist() == [
        [1 - 17.841242 / 2, 2, 3],
        [1 + 17.841242 / 2, 2, 3],
    ]


def test_where_properties_change_a_branch_ends(written):
    shape = [segment(0, (100, 0, 0, 2.0), (0, 0, 0, 2.0))]
    shape += [segment(k, (100 + 100 * k, 0, 0, 2.0), parent=k - 1) for k in range(1, 5)]
    groups = group("one", 0, 1), group("rest", 2, 3, 4), group("last", 4), group("most", 2, 3)
    whole = """
    <spikeThresh value="-10mV" segmentGroup="all"/>
    <specificCapacitance value="1 uF_per_cm2" segmentGroup="one"/>
    <specificCapacitance value="0.02 F_per_m2" segmentGroup="rest"/>
    <initMembPotential value="-70mV"/>"""
    inside = """
    <resistivity value="100 ohm_cm" segmentGroup="one"/>
    <resistivity value="100 ohm_cm" segmentGroup="most"/>
    <resistivity value="2 ohm_m" segmentGroup="last"/>"""
    text = cell(*shape, *groups, whole=whole, inside=inside)
    found = read_cell(written(SODIUM, POTASSIUM, LEAK, text), celsius=6.3, dx=10.0)
    tree = found.axon
    assert (found.spike_threshold, found.membrane.v_init) == (-10.0, -70.0)
    assert [b.cable.length for b in tree.branches] == [200, 200, 100]
    assert [(b.cable.cm[0], b.cable.Ra[0]) for b in tree.branches] == [(1, 100), (2, 100), (2, 200)]
    assert [(b.parent, b.at) for b in tree.branches] == [(-1, 0), (0, 200), (1, 200)]


def test_densities_on_groups(written):
    """A channel is where its groups say; densities add up, with one reversal potential in all."""
    shape = [segment(0, (100, 0, 0, 2.0), (0, 0, 0, 2.0))]
    shape += [segment(k, (100 + 100 * k, 0, 0, 2.0), parent=k - 1) for k in range(1, 4)]
    groups = group("a", 0, 1), group("b", 3, include="a"), group("c", 2, include="b")
    channels = """
    <channelDensity id="k1" ionChannel="k" condDensity="1 S_per_cm2" erev="-60mV" ion="k"
                    segmentGroup="a"/>
    <channelDensity id="k2" ionChannel="k" condDensity="3 S_per_cm2" erev="-80mV" ion="k"
                    segmentGroup="b"/>
    <channelDensity id="l" ionChannel="leak" condDensity="1 S_per_cm2" erev="-60mV" ion="x"
                    segmentGroup="c"/>
    <channelDensity id="na1" ionChannel="na" condDensity="5 S_per_cm2" erev="50mV" ion="na"
                    segment="3"/>"""
    text = cell(*shape, *groups, channels=channels)
    found = read_cell(written(SODIUM, POTASSIUM, LEAK, text), celsius=6.3, dx=10.0)
    tree = found.axon
    assert [b.cable.length for b in tree.branches] == [200, 100, 100]
    k, leak, na = found.membrane.channels
    assert (leak.gbar, leak.reversal, leak.ion) == (1.0, -60.0, "x")
    assert na.reversal == 50.0
    # The compartments at 200 and 300 µm lie in what meets there; how much in each, depends on
    # how the branches are cut, and all of it together is looked at below.
    at_200, at_300 = (int(np.argmin(np.abs(tree.x - x))) for x in (200, 300))
    np.testing.assert_allclose(tree.x[[at_200, at_300]], [200, 300])
    before, between, after = np.split(np.arange(tree.n), [at_200, at_300])
    between, after = between[1:], after[1:]
    for these, g_k, g_na in ((before, 4.0, 0.0), (between, 0.0, 0.0), (after, 3.0, 5.0)):
        np.testing.assert_allclose(k.gbar[these], g_k, rtol=1e-14)
        np.testing.assert_allclose(na.gbar[these], g_na, rtol=1e-14)
    assert 1.5 < k.gbar[at_200] < 2.5 and 1.0 < k.gbar[at_300] < 2.0 and 2.0 < na.gbar[at_300] < 3.0
    np.testing.assert_allclose(k.reversal[: at_200 + 1], -75.0, rtol=1e-14)
    np.testing.assert_allclose(k.reversal[at_300:], -80.0, rtol=1e-14)
    axon.Simulation(tree, found.membrane, v_init=-65.0).run(0.1, record=())


@st.composite
def shapes(draw: Any) -> list[dict[str, Any]]:
    """Segments as arguments of `segment`, each on an earlier one."""
    place = st.tuples(*[st.integers(-50, 50)] * 3, st.integers(1, 40).map(lambda d: d / 4))
    made = [{"proximal": (0, 0, 0, 2.0), "distal": (30, 0, 0, 3.0)}]
    for number in range(1, draw(st.integers(1, 12))):
        each: dict[str, Any] = {"parent": draw(st.integers(0, number - 1)), "distal": draw(place)}
        if draw(st.booleans()):
            each["fraction"] = draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
        if draw(st.booleans()):
            each["proximal"] = draw(place)
            if draw(st.integers(0, 3)) == 0:
                each["distal"] = each["proximal"]
        made.append(each)
    return made


@settings(max_examples=40, deadline=None)
@given(shapes(), st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_trees_have_the_segments_membrane(tmp_path_factory, made, amounts):
    """All of it, and of every channel what is on each segment; areas are libNeuroML's."""
    path = tmp_path_factory.getbasetemp() / "tree.nml"
    parts = [segment(number, **each) for number, each in enumerate(made)]
    channels = "".join(
        f'<channelDensity id="d{n}" ionChannel="leak" condDensity="{g} S_per_cm2" '
        f'erev="-{60 + g}mV" ion="x" segment="{n}"/>'
        for n, g in enumerate(amounts[: len(made)])
    )
    text = document(LEAK, cell(*parts, channels=channels))
    assert SCHEMA.validate(etree.fromstring(text.encode()))
    path.write_text(text, "utf-8")
    try:
        found = read_cell(path, dx=5.0)
    except axon.GeometryError as error:
        # a proximal point left out, where the distal one is the same place as the parent's
        assert re.search(r"a sphere, since both ends are one place, of two diameters", str(error))
        return
    (shape,) = (each.morphology for each in libneuroml(path).cells)
    whole = libneuroml(path).cells[0]
    areas, volumes = [], []
    for each in shape.segments:
        start, stop = whole.get_actual_proximal(each.id), each.distal
        own = neuroml.Segment(proximal=start, distal=stop)
        areas.append(own.surface_area)
        volumes.append(own.volume)
        if own.length == 0:  # a cylinder of a ball's area has half more of volume
            volumes[-1] *= 1.5
    tree = found.axon
    # sums of a hundred numbers, and square roots of sums of squares
    assert tree.area.sum() == pytest.approx(sum(areas), rel=1e-12)
    assert tree.volume.sum() == pytest.approx(sum(volumes), rel=1e-12)
    (leak,) = found.membrane.channels
    gbar, reversal = np.broadcast_to(leak.gbar, tree.n), np.broadcast_to(leak.reversal, tree.n)
    there = np.array(amounts[: len(made)], float)
    assert (gbar * tree.area).sum() == pytest.approx((there * areas).sum(), rel=1e-12)
    current = (there * (-60.0 - there) * areas).sum()
    assert (gbar * reversal * tree.area).sum() == pytest.approx(current, rel=1e-12)
    assert all(lies_on(tree, each["distal"]) for each in made)


def lies_on(tree: axon.Tree, place: tuple[float, ...]) -> bool:
    """Whether some branch goes through a place; or lies about it, as a ball's cylinder does."""
    return any(
        np.abs(branch.cable.path - place[:3]).max(axis=1).min() < 1e-9
        or np.abs(branch.cable.path.mean(axis=0) - place[:3]).max() < 1e-9
        for branch in tree.branches
    )


def libneuroml(path: Path) -> Any:
    """What libNeuroML makes of a file."""
    return nml.parse(str(path), silence=True)


def test_parts_may_stand_outside_of_the_cell(written):
    inside = cell(STEM, channels=SQUIDS)
    morphology = re.search(r"<morphology.*</morphology>", inside, re.S)[0]
    properties = re.search(r"<biophysicalProperties.*</biophysicalProperties>", inside, re.S)[0]
    outside = '<cell id="it" morphology="shape" biophysicalProperties="p"/>'
    path = written(morphology, SODIUM, POTASSIUM, LEAK, properties, outside)
    found = read_cell(path, celsius=6.3)
    whole = read_cell(written(SODIUM, POTASSIUM, LEAK, inside), celsius=6.3)
    assert found.axon == whole.axon
    assert [c.gbar for c in found.membrane.channels] == [c.gbar for c in whole.membrane.channels]


def test_channels_may_stand_in_other_files(written):
    written(SODIUM, name="na.nml")
    written(POTASSIUM, LEAK, name="others.nml")
    includes = '<include href="na.nml"/><include href="others.nml"/>'
    assert len(read_cell(written(includes, cell(STEM)), celsius=6.3).membrane.channels) == 3


def test_a_shape_alone(written):
    path = written(f'<morphology id="m">{STEM}</morphology>')
    tree = read_morphology(path, Ra="1 ohm*m", cm=2.0, dx=10.0)
    assert (tree.branches[0].cable.Ra[0], tree.cm[0], tree.n) == (100.0, 2.0, 10)
    assert read_morphology(path, "m").length == 100.0
    both = written(
        f'<morphology id="m">{STEM}</morphology>', cell(BALL).replace('id="it"', 'id="c"')
    )
    assert read_morphology(both).length == 17.841242
    assert read_morphology(both, "c").length == 17.841242
    assert read_morphology(both, "m").length == 100.0
    with pytest.raises(MembraneError, match=r"no cell or morphology of the name 'x'"):
        read_morphology(both, "x")


def test_temperature_is_asked_for_only_if_it_matters(written):
    path = written(SODIUM, POTASSIUM, LEAK, cell(STEM))
    with pytest.raises(MembraneError, match=r"cell 'it': its channels depend on temperature"):
        read_cell(path)
    assert read_cell(path, celsius="280.15 K").membrane.celsius == pytest.approx(7.0)
    cold = [re.sub("<q10.*?/>", "", text) for text in (SODIUM, POTASSIUM, LEAK)]
    assert read_cell(written(*cold, cell(STEM))).membrane.channels


def test_groups_may_include_each_other(written):
    groups = group("a", 0, include="b"), group("b", include="a"), group("all", include="a")
    found = read_cell(written(SODIUM, POTASSIUM, LEAK, cell(STEM, *groups)), celsius=6.3)
    assert found.membrane.channels[0].gbar == 0.12


DENSITY = '<channelDensity id="d" ionChannel="{}" condDensity="1S_per_m2" erev="0mV" ion="{}"{}/>'
OTHER_DENSITIES = {
    "channelPopulation": '<channelPopulation id="d" ionChannel="na" ion="na" number="1"'
    ' erev="0mV"/>',
    "channelDensityNernst": '<channelDensityNernst id="d" ionChannel="na" ion="ca"'
    ' condDensity="1S_per_m2"/>',
    "channelDensityGHK": '<channelDensityGHK id="d" ionChannel="na" ion="ca"'
    ' permeability="1m_per_s"/>',
    "channelDensityVShift": '<channelDensityVShift id="d" ionChannel="na" ion="na" erev="0mV"'
    ' condDensity="1S_per_m2" vShift="1mV"/>',
    "channelDensityNonUniform": '<channelDensityNonUniform id="d" ionChannel="na" ion="na"'
    ' erev="0mV"/>',
}
REFUSED_CELLS = {
    **{
        kind: (
            cell(STEM, channels=text),
            rf"{kind} 'd': not supported there; choose from channelD",
            1,
        )
        for kind, text in OTHER_DENSITIES.items()
    },
    "variable parameters": (
        cell(
            STEM,
            channels='<channelDensity id="d" ionChannel="na" ion="na" erev="0mV">'
            '<variableParameter parameter="condDensity" segmentGroup="all"/></channelDensity>',
        ),
        r"channelDensity 'd', variableParameter: not supported there; choose from none",
        1,
    ),
    "no density": (
        cell(STEM, channels=DENSITY.format("na", "na", "").replace('condDensity="1S_per_m2" ', "")),
        r"channelDensity 'd': condDensity is missing",
        1,
    ),
    "a negative density": (
        cell(STEM, channels=DENSITY.format("na", "na", "").replace("1S", "-1S")),
        r"channelDensity 'd': condDensity='-1S_per_m2' must be 0 or more",
        1,
    ),
    "no channels": (cell(STEM, channels=""), r"membraneProperties: there is no channelDensity", 1),
    "a channel that is not there": (
        cell(STEM, channels=DENSITY.format("ca", "ca", "")),
        r"it.nml' holds no ion channel of the name 'ca'; there are ionChannelHH 'na'",
        1,
    ),
    "a channel that is not supported": (
        HH.replace("HHExpRate", "mine", 1) + cell(STEM, channels=DENSITY.format("c", "x", "")),
        r"ionChannelHH 'c', gateHHrates 'g', forwardRate: type='mine' is not supported",
        1,
    ),
    "two ions": (
        cell(STEM, channels=DENSITY.format("na", "k", "")),
        r"channelDensity 'd': na carries more than one ion: k, na",
        1,
    ),
    "an ion and none": (
        cell(STEM, channels=DENSITY.format("na", "non_specific", "")),
        r"channelDensity 'd': na carries more than one ion: na, non_specific",
        1,
    ),
    "a group that is not there": (
        cell(STEM, channels=DENSITY.format("na", "na", ' segmentGroup="g"')),
        r"channelDensity 'd': segmentGroup='g': there is no such group",
        1,
    ),
    "an included group that is not there": (
        cell(
            STEM,
            group("a", include="b"),
            channels=DENSITY.format("na", "na", ' segmentGroup="a"'),
        ),
        r"segmentGroup 'a', include: segmentGroup='b': there is no such group",
        1,
    ),
    "a segment that is not there": (
        cell(STEM, channels=DENSITY.format("na", "na", ' segment="7"')),
        r"channelDensity 'd': there is no segment 7",
        1,
    ),
    "a member that is not there": (
        cell(STEM, group("a", 7), channels=DENSITY.format("na", "na", ' segmentGroup="a"')),
        r"segmentGroup 'a', member: there is no segment 7",
        1,
    ),
    "a segment and a group": (
        cell(STEM, channels=DENSITY.format("na", "na", ' segment="0" segmentGroup="all"')),
        r"channelDensity 'd': it names a segment and a segmentGroup; give one",
        1,
    ),
    "a group by paths": (
        cell(
            STEM,
            '<segmentGroup id="a"><path><from segment="0"/></path></segmentGroup>',
            channels=DENSITY.format("na", "na", ' segmentGroup="a"'),
        ),
        r"segmentGroup 'a', path: not supported there; choose from member, include",
        1,
    ),
    "two groups of one name": (
        cell(STEM, group("a", 0), group("a", 0)),
        r"segmentGroup 'a': another group has this id",
        1,
    ),
    "species": (
        cell(
            STEM,
            inside='<species id="ca" concentrationModel="m" ion="ca" initialConcentration="1mM"'
            f' initialExtConcentration="1mM"/>{RESISTIVITY}',
        ),
        r"intracellularProperties, species 'ca': not supported there; choose from resistivity",
        1,
    ),
    "no resistivity": (
        cell(STEM, inside=""),
        r"intracellularProperties: resistivity is missing for segment 0",
        1,
    ),
    "no capacitance of some": (
        cell(
            STEM,
            segment(1, (0, 9, 0, 1.0), parent=0),
            group("a", 0),
            whole=WHOLE.replace('value="1 uF', 'segmentGroup="a" value="1 uF'),
        ),
        r"membraneProperties: specificCapacitance is missing for segment 1",
        1,
    ),
    "two capacitances": (
        cell(
            STEM,
            whole='<spikeThresh value="0mV"/><specificCapacitance value="2uF_per_cm2"/>' + WHOLE,
        ),
        r"specificCapacitance: segment 0 has another value already",
        0,
    ),
    "no initial potential": (
        cell(STEM, whole=WHOLE.replace('<initMembPotential value="-65mV"/>', "")),
        r"membraneProperties: it holds no initMembPotential; give one",
        0,
    ),
    "an initial potential of some": (
        cell(
            STEM,
            segment(1, (0, 9, 0, 1.0), parent=0),
            group("a", 0),
            whole=WHOLE.replace('value="-65mV"', 'value="-65mV" segmentGroup="a"'),
        ),
        r"initMembPotential: only one for all segments is supported",
        1,
    ),
    "no membrane": (
        cell(STEM)
        .replace("<biophysicalProperties", "<!--")
        .replace("</cell>", "")
        .replace("</biophysicalProperties>", "</cell>")
        .replace('<!-- id="p">', "<!-- ")
        .replace("</intracellularProperties>", "-->"),
        r"cell 'it': it holds no biophysicalProperties; give one",
        1,
    ),
    "a shape twice": (
        cell(STEM).replace('<cell id="it"', '<cell id="it" morphology="shape"'),
        r"cell 'it': it names a morphology and holds one",
        1,
    ),
    "a shape that is not there": (
        re.sub("<morphology.*</morphology>", "", cell(STEM)).replace(
            '<cell id="it"', '<cell id="it" morphology="shape"'
        ),
        r"holds no morphology of the name 'shape'; there are none",
        1,
    ),
}
REFUSED_SHAPES = {
    "no root": (segment(0, (1, 0, 0, 1), parent=0), r"morphology 'shape': no segments have no par"),
    "two roots": (
        STEM + STEM.replace('id="0"', 'id="1"'),
        r"2 segments have no parent; there must",
    ),
    "a parent that is not there": (
        STEM + segment(1, (9, 9, 9, 1), parent=7),
        r"segment '1': its parent, segment 7, is not there",
    ),
    "parents in a ring": (
        STEM + segment(1, (9, 9, 9, 1), parent=2) + segment(2, (9, 9, 9, 1), parent=1),
        r"segment '1': its parents lead back to itself",
    ),
    "a segment twice": (STEM + STEM, r"segment '0': another segment has this id"),
    "a root without a beginning": (
        segment(0, (1, 0, 0, 1)),
        r"segment '0': proximal is missing, and there is no parent",
    ),
    "a ball of two diameters": (
        segment(0, (1, 0, 0, 1), (1, 0, 0, 2)),
        r"a sphere, since both ends are one place, of two diameters, 2 and 1 um",
    ),
    "a point without a diameter": (
        STEM.replace('diameter="4.0"', 'diameter="0"'),
        r"segment '0', proximal: diameter='0' must be greater than 0",
    ),
    "no number": (STEM.replace('x="100"', 'x="INF"'), r"distal: x='INF' is no number"),
    "too far along": (
        STEM + segment(1, (9, 9, 9, 1), parent=0, fraction=1.5),
        r"segment '1', parent: fractionAlong='1.5' is not from 0 to 1",
    ),
    "too far away": (
        STEM.replace('x="100"', 'x="1e31"'),
        r"distal: x='1e31' is too large or too small",
    ),
    "too fine": (
        re.sub(r'diameter="[^"]*"', 'diameter="1e-14"', STEM) + segment(1, (0, 1, 0, 1), parent=0),
        r"morphology 'shape': it would be cut into more than 1000000 compartments",
    ),
    "a name that is a word": (STEM.replace('id="0"', 'id="soma"'), r"id='soma' is no whole number"),
}


@pytest.mark.parametrize("case", REFUSED_CELLS)
def test_cells_that_are_refused(written, case):
    text, message, valid = REFUSED_CELLS[case]
    path = written(SODIUM, POTASSIUM, LEAK, text, valid=bool(valid))
    with pytest.raises(MembraneError, match=message):
        read_cell(path, "it", celsius=6.3)


@pytest.mark.parametrize("case", REFUSED_SHAPES)
def test_shapes_that_are_refused(tmp_path, case):
    text, message = REFUSED_SHAPES[case]
    path = tmp_path / "it.nml"
    path.write_text(document(SODIUM, POTASSIUM, LEAK, cell(text)), "utf-8")
    for read in (read_cell, read_morphology):
        with pytest.raises((MembraneError, axon.GeometryError), match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}, line 2")


def test_more_than_anybody_means_is_not_read(written, monkeypatch):
    """A file of a few MiB could ask for a number for each pair of what it holds."""
    path = written(SODIUM, POTASSIUM, LEAK, cell(STEM, segment(1, (0, 9, 0, 1.0), parent=0)))
    assert read_cell(path, celsius=6.3, dx=5.0).axon.n > 20
    monkeypatch.setattr(cells, "MOST_VALUES", 60)
    with pytest.raises(
        MembraneError, match=r"channelDensity 'nas': so many channels in so many co"
    ):
        read_cell(path, celsius=6.3, dx=5.0)
    monkeypatch.setattr(cells, "MOST_VALUES", 9)  # cm, Ra, and three densities of two segments
    with pytest.raises(
        MembraneError, match=r"channelDensity 'leaks': so many properties of so man"
    ):
        read_cell(path, celsius=6.3, dx=5.0)


def test_how_a_cell_is_cut(written):
    path = written(SODIUM, POTASSIUM, LEAK, cell(STEM))
    assert read_cell(path, celsius=6.3, dx=5.0).axon.n == 20
    by_rule = axon.Axon.tapered(100.0, 4.0, 2.0, Ra=35.4, d_lambda=0.01).n
    assert read_cell(path, celsius=6.3, d_lambda=0.01).axon.n == by_rule > 1
    with pytest.raises(axon.GeometryError, match=r"morphology 'shape': .*dx"):
        read_cell(path, celsius=6.3, dx=-5.0)


def test_long_cells(tmp_path):
    """Nothing calls itself for each segment, and nothing is looked at once for each other one."""
    parts = [segment(0, (1, 0, 0, 1), (0, 0, 0, 1))]
    parts += [segment(k, (k + 1, k % 2, 0, 1), parent=k - 1) for k in range(1, 5000)]
    path = tmp_path / "it.nml"
    path.write_text(document(SODIUM, POTASSIUM, LEAK, cell(*parts)), "utf-8")
    found = read_cell(path, celsius=6.3, dx=100.0)
    assert len(found.axon.branches) == 1
    assert found.axon.length == pytest.approx(1 + 4999 * np.sqrt(2), rel=1e-12)


# ---- hostile and broken files --------------------------------------------------------------------

ROOT = f'<neuroml xmlns="{documents.NAMESPACE}" id="d">'
BOMB = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 30))
DECLARED = {
    "a bomb": f'<!DOCTYPE neuroml [<!ENTITY e0 "ha">{BOMB}]>{ROOT}<notes>&e29;</notes></neuroml>',
    "a bomb in an attribute": f'<!DOCTYPE neuroml [<!ENTITY e0 "ha">{BOMB}]><neuroml id="&e29;"/>',
    "a long entity many times": f'<!DOCTYPE neuroml [<!ENTITY e "{"x" * 10**5}">]>{ROOT}'
    f"<notes>{'&e;' * 10**5}</notes></neuroml>",
    "another file": '<!DOCTYPE neuroml [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    f"{ROOT}<notes>&e;</notes></neuroml>",
    "another file's declarations": '<!DOCTYPE neuroml [<!ENTITY % e SYSTEM "no.dtd"> %e;]>'
    f"{ROOT}</neuroml>",
    "an external document type": f'<!DOCTYPE neuroml SYSTEM "http://[::1]/n.dtd">{ROOT}</neuroml>',
    "an empty one": f"<!DOCTYPE neuroml>{ROOT}</neuroml>",
}


@pytest.mark.parametrize("case", DECLARED)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_documents_that_declare_anything_are_refused(tmp_path, case, encoding):
    path = tmp_path / "it.nml"
    path.write_text(DECLARED[case], encoding)
    with pytest.raises(MembraneError, match=r"it\.nml, line 1: a document type declaration"):
        read_channel(path, gbar=1.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no XML that can be read: no element found"),
        (b"\0" * 100, "is no XML that can be read"),
        (b"not XML", "is no XML that can be read: syntax error"),
        (b'<?xml version="1.0" encoding="klingon"?><neuroml/>', "is no XML that can be read"),
        (
            b'<?xml version="1.0" encoding="utf-8"?><neuroml id="\xff"/>',
            "is no XML that can be read",
        ),
        (
            b"<neuroml/>",
            r"is no NeuroML 2: it begins with <:neuroml>, and not with <neuroml xmlns=",
        ),
        (b'<neuroml xmlns="http://morphml.org/neuroml/schema"/>', "is no NeuroML 2"),
        (f"{ROOT}&e;</neuroml>".encode(), "is no XML that can be read: undefined entity"),
        (ROOT.encode() + b"<a>" * 200, "line 1: too many elements, or too deep"),
        (ROOT.encode() + b"<a>" * 10**5, "line 1: too many elements, or too deep"),
        (ROOT.encode() + b" " * documents.MOST_BYTES, "is too large: at most 16 MiB are read"),
    ],
    ids=range(11),
)
def test_what_is_no_neuroml(tmp_path, data, message):
    path = tmp_path / "it.nml"
    path.write_bytes(data)
    with pytest.raises(MembraneError, match=message):
        read_channel(path, gbar=1.0)


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (
        tmp_path,
        tmp_path / "none.nml",
        tmp_path / "loop",
        f"{tmp_path}/a\0b",
        "x" * 5000,
    ):
        with pytest.raises(MembraneError, match="cannot be read"):
            read_channel(path, gbar=1.0)


def test_no_file_takes_much_memory(tmp_path):
    """The worst that fit into the bounds, in a process that may take half a GiB."""
    n = documents.MOST_BYTES - 1000
    worst = {
        "attributes": ROOT[:-1] + "".join(f' a{i}=""' for i in range(n // 100)) + "/>",
        "elements": ROOT + "<a b='1'/>" * (documents.MOST_ELEMENTS + 1),
    }
    for name, text in worst.items():
        (tmp_path / name).write_text(text)
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**29))\n"
        "from axon.errors import MembraneError\n"
        "from axon.neuroml import read_channel\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        read_channel(path, gbar=1.0)\n"
        "    except MembraneError as error:\n"
        "        print('refused')\n"
    )
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in worst)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "refused\n" * len(worst))


def test_bounds_hold_for_all_files_together(written, monkeypatch):
    path = written('<include href="other.nml"/>', SODIUM)
    other = written(POTASSIUM, name="other.nml")
    elements, size = (
        [len(re.findall(r"<\w", each.read_text("utf-8"))) for each in (path, other)],
        path.stat().st_size,
    )
    monkeypatch.setattr(documents, "MOST_ELEMENTS", sum(elements))
    read_channel(path, "na", gbar=1.0)
    monkeypatch.setattr(documents, "MOST_ELEMENTS", sum(elements) - 1)
    with pytest.raises(
        MembraneError, match=r"other\.nml, line \d+: too many elements, or too deep"
    ):
        read_channel(path, "na", gbar=1.0)
    monkeypatch.undo()
    monkeypatch.setattr(documents, "MOST_BYTES", size + 100)
    with pytest.raises(MembraneError, match=r"other\.nml is too large"):
        read_channel(path, "na", gbar=1.0)


def test_errors_are_short(tmp_path):
    path, long = tmp_path / "it.nml", "a" * 10**6
    for text in (f'<ionChannelHH id="{long}"/>', f"<ionChannelHH><{long}/></ionChannelHH>"):
        path.write_text(f"{ROOT}{text}</neuroml>")
        with pytest.raises(MembraneError) as caught:
            read_channel(path, gbar=1.0)
        assert len(str(caught.value)) < 2000


def test_truncated_files_are_refused(tmp_path):
    text = document(SODIUM, SCHEME)
    path = tmp_path / "it.nml"
    for end in range(0, len(text) - 1, 17):
        path.write_text(text[:end], "utf-8")
        with pytest.raises(MembraneError):
            read_channel(path, "na", gbar=1.0)


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Something of it left out, doubled, or replaced: bits of text, attributes, or elements."""
    values = [found.span() for found in re.finditer(rb'"[^"]*"', whole)]
    elements = [found.span() for found in re.finditer(rb"<[^<>]*/>", whole)]
    harm = [b"&", b"\0", b"\xff", b"<!--", b"]]>", b'"nan"', b'"-1"', b'"1e999"']
    kind = chance.randrange(3)
    if kind == 0:
        start = chance.randrange(len(whole))
        stop = min(len(whole), start + chance.randint(0, 12))
        new = chance.choice([b"", chance.randbytes(1), chance.choice(harm), whole[stop : stop + 9]])
    else:
        spans = values if kind == 1 else elements
        (start, stop), other = chance.choice(spans), chance.choice(spans)
        new = chance.choice([whole[slice(*other)], b"" if kind == 2 else chance.choice(harm)])
        if kind == 2 and chance.random() < 0.3:
            new += whole[start:stop]
    return whole[:start] + new + whole[stop:]


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_are_read_or_refused(tmp_path, seed):
    """Never anything but the project's errors, nor a channel that isn't one."""
    chance = random.Random(seed)
    whole = document(SODIUM, SCHEME, LEAK).encode()
    path = tmp_path / "it.nml"
    read = 0
    for _ in range(250):
        path.write_bytes(damaged(whole, chance))
        for name in ("na", "ks", "leak"):
            try:
                channel = read_channel(path, name, gbar=1.0, reversal=0.0)
                for gate in channel.gates:
                    gate.at({"v": np.linspace(-80.0, 40.0, 7), "celsius": 20.0})
            except MembraneError as error:
                assert "it.nml" in str(error) or "gate" in str(error) or "scheme" in str(error)
            else:
                assert isinstance(channel, Channel)
                read += 1
    assert read > 20


@pytest.mark.parametrize("seed", range(2))
def test_damaged_cells_are_read_or_refused(tmp_path, seed):
    chance = random.Random(seed)
    shape = [
        BALL,
        segment(1, (30, 0, 0, 2.0), (10, 0, 0, 3.0), parent=0),
        segment(2, (60, 9, 0, 2.0), parent=1),
        segment(3, (60, 9, 9, 2.0), parent=1, fraction=0.5),
        group("a", 0, 1),
        group("b", 2, include="a"),
    ]
    channels = SQUIDS.replace('ion="k"', 'segmentGroup="b" ion="k"')
    start, shape_on = document(LEAK, SODIUM, POTASSIUM, cell(*shape, channels=channels)).split(
        "<cell"
    )
    path = tmp_path / "it.nml"
    read = 0
    for _ in range(250):
        path.write_bytes(start.encode() + damaged(b"<cell" + shape_on.encode(), chance))
        try:
            found = read_cell(path, celsius=20.0, dx=20.0)
        except (MembraneError, axon.GeometryError) as error:
            assert "it.nml" in str(error)
        else:
            assert found.axon.n > 0
            read += 1
    assert read > 10


# ---- beside libNeuroML ---------------------------------------------------------------------------


def test_what_libneuroml_writes_is_read(tmp_path):
    rates = {
        "forward_rate": neuroml.HHRate("HHSigmoidRate", "2per_ms", "-30mV", "9mV"),
        "reverse_rate": neuroml.HHRate("HHExpRate", "0.5per_ms", "-60mV", "-12mV"),
    }
    gate = neuroml.GateHHRates(id="p", instances=2, **rates)
    channel = neuroml.IonChannelHH(id="kv", conductance="10pS", species="k", gate_hh_rates=[gate])
    whole = neuroml.NeuroMLDocument(id="d", ion_channel_hhs=[channel])
    NeuroMLWriter.write(whole, str(tmp_path / "kv.nml"))
    read = read_channel(tmp_path / "kv.nml", gbar=0.01, reversal=-80.0)
    assert (read.name, read.ion, read.gates[0].name, read.gates[0].power) == ("kv", "k", "p", 2)
    expected = form("HHSigmoid", 2.0, (V + 30) / 9).astype(float)
    np.testing.assert_allclose(read.gates[0].alpha(V), expected, rtol=1e-14)


def test_nothing_but_python_is_needed():
    """Neither libNeuroML nor its parser is imported, with which axon has nothing to do."""
    code = (
        "import sys, axon\n"
        "axon.neuroml.read_channel\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'lxml', 'neuroml', 'pint'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
