"""Descriptions: everything is said, and what is said computes the membrane."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from test_formulas import V, computed
from test_membranes import rich

from axon import models
from axon.channels import Channel, Gate, Markov, Pump
from axon.description import Part
from axon.ions import Buffer, Ion, Pool
from axon.membranes import Membrane

X = np.linspace(50.0, 950.0, 10)


def flat(v: Any) -> Any:
    return 1.0 + 0 * v


def lines(part: Part) -> list[str]:
    return [line.strip() for line in str(part).splitlines()]


def values(part: Part) -> dict[str, str]:
    return {row.symbol: row.value for row in part.rows}


def part(membrane: Membrane, title: str) -> Part:
    (found,) = (part for part in membrane.describe().parts if part.title.startswith(title))
    return found


def channel(*gates: Gate | Markov, **changes: Any) -> Membrane:
    """A membrane of one channel."""
    given: dict[str, Any] = {"gbar": 1e-3, "reversal": -65.0, "gates": gates}
    return Membrane([Channel("k", **(given | changes))])


def test_the_squid_axon_reads_as_in_the_paper() -> None:
    assert str(models.hodgkin_huxley(e_leak=-54.387).describe()) == (
        """\
hodgkin_huxley
  A. L. Hodgkin, A. F. Huxley, A quantitative description of membrane current
  and its application to conduction and excitation in nerve, J. Physiol. 117,
  500-544 (1952), doi:10.1113/jphysiol.1952.sp004764
  celsius (°C) = 6.3

channel na
  gbar (S/cm²)  = 0.12
  g (S/cm²)     = gbar * m**3 * h
  reversal (mV) = 50
  ina (mA/cm²)  = g * (v - reversal)
  gate m, power 3
    alpha (1/ms) = 0.1 * (v + 40) / (1 - exp(-(v + 40) / 10))
    beta (1/ms)  = 4 * exp(-(v + 65) / 18)
    q10          = 3 from 6.3 °C
  gate h
    alpha (1/ms) = 0.07 * exp(-(v + 65) / 20)
    beta (1/ms)  = 1 / (1 + exp(-(v + 35) / 10))
    q10          = 3 from 6.3 °C

channel k
  gbar (S/cm²)  = 0.036
  g (S/cm²)     = gbar * n**4
  reversal (mV) = -77
  ik (mA/cm²)   = g * (v - reversal)
  gate n, power 4
    alpha (1/ms) = 0.01 * (v + 55) / (1 - exp(-(v + 55) / 10))
    beta (1/ms)  = 0.125 * exp(-(v + 65) / 80)
    q10          = 3 from 6.3 °C

channel leak
  gbar (S/cm²)  = 0.0003
  g (S/cm²)     = gbar
  reversal (mV) = -54.387
  i (mA/cm²)    = g * (v - reversal)"""
    )


# ---- the membrane, computed from what is said ----------------------------------------------------


def number_in(text: str) -> float:
    """The first word of a value such as ``3 from 6.3 °C``, or a fraction."""
    return float(computed(re.split(r" (?:from|at) ", text)[0], {}))


def steady(gate: Part, known: dict[str, Any]) -> tuple[Any, Any]:
    """Steady state and time constant of a described gate."""
    said = values(gate)
    of = {role: computed(said[role], known) for role in ("alpha", "beta", "inf", "tau")
          if role in said}  # fmt: skip
    if "alpha" in of:
        rate = of["alpha"] + of["beta"]
        of |= {"inf": of["alpha"] / rate, "tau": 1.0 / rate}
    elif "tau" not in of:
        return of["inf"], 0.0
    warm = 1.0
    if "q10" in said:
        found = re.fullmatch(r"(\S+) from (\S+) °C", said["q10"])
        assert found
        warm = float(found[1]) ** ((known["celsius"] - float(found[2])) / 10)
    shortest = float(said.get("tau_min", "0"))
    return of["inf"], np.maximum(of["tau"] / warm, shortest)


def known_of(membrane: Membrane, celsius: float) -> dict[str, Any]:
    """Quantities, of what the description says of ions."""
    known: dict[str, Any] = {"v": V, "celsius": celsius}
    described = [p for p in membrane.describe().parts if p.title.startswith("ion ")]
    for ion in described:
        known |= {key: number_in(text) for key, text in values(ion).items() if key[-1] in "io"}
    for ion in described:
        reversal = ion.rows[-1]
        known[reversal.symbol] = computed(reversal.value, known)
    return known


@pytest.mark.parametrize("name", models.names())
def test_what_is_said_computes_every_gate(name: str) -> None:
    membrane = getattr(models, name)()
    known = known_of(membrane, 30.0)
    quantities = membrane.quantities(V, 30.0)
    described = [g for p in membrane.describe().parts if p.title.startswith("channel")
                 for g in p.parts]  # fmt: skip
    assert len(described) == len(membrane.gates)
    for (_, gate), of in zip(membrane.gates, described, strict=True):
        inf, tau = steady(of, known)
        expected, rate = gate.at(quantities)
        np.testing.assert_allclose(inf + 0 * V, expected, rtol=1e-11)
        np.testing.assert_allclose(tau + 0 * V, 1.0 / rate, rtol=1e-11)


@pytest.mark.parametrize("name", models.names())
def test_what_is_said_computes_every_current(name: str) -> None:
    membrane = getattr(models, name)()
    known = known_of(membrane, 30.0)
    currents: dict[str | None, Any] = {}
    for of in membrane.describe().parts:
        if not of.title.startswith(("channel", "pump")):
            continue
        own = dict(known)
        for gate in of.parts:
            own[re.split("[ ,]", gate.title)[1]] = steady(gate, known)[0]
        for symbol, value, _ in of.rows:
            own[symbol] = computed(value, own)
            if symbol[0] == "i" and not (of.title.startswith("pump") and symbol == "i"):
                ion = symbol[1:] or None
                currents[ion] = currents.get(ion, 0.0) + own[symbol]
    expected = membrane.currents(V, 30.0)
    assert currents.keys() == expected.keys()
    largest = max(np.abs(current).max() for current in expected.values())
    for ion, current in expected.items():
        # Each is a sum of several, which may cancel.
        np.testing.assert_allclose(currents[ion] + 0 * V, current, rtol=1e-11, atol=1e-12 * largest)


@pytest.mark.parametrize("name", models.names())
def test_every_model_says_where_it_is_from(name: str) -> None:
    membrane = getattr(models, name)()
    text = str(membrane.describe())
    assert text.startswith(f"{name}\n")
    dois = re.findall(r"doi:10\.\S+?(?=;|$)", membrane.reference)
    assert bool(dois) == (name != "passive")
    html = membrane._repr_html_()
    for doi in dois:
        assert doi in text
        assert f'<a href="https://doi.org/{doi.removeprefix("doi:")}">{doi}</a>' in html
    for symbol, unit in (("celsius", "°C"), ("Ra", "Ω·cm"), ("cm", "µF/cm²"), ("v_init", "mV")):
        value = getattr(membrane, symbol)
        said = re.search(rf"^  {symbol} \({unit}\) += (\S+)$", text, re.M)
        assert (None if said is None else float(said[1])) == value


# ---- all that may be said ------------------------------------------------------------------------


def test_something_of_everything() -> None:
    text = str(rich().describe())
    for line in (
        "gate n, power 4",
        "gate c, instantaneous",
        "q10          = 1.5 from 20 °C",
        "g (S/cm²)    = gbar * q10**((celsius - 20) / 10) * c",
        "scheme s",
        "c → o (1/ms) = 10 * cai",
        "s            = o",
        "ina (mA/cm²) = 0.4 * g * (v - ena)",
        "gbar (cm/s)  = 1e-7",
        "ica (mA/cm²) = g * ghk(v, cai, cao, 2, celsius)",
        "reversal (mV) = -60 - x / 100, varies along the axon",
        "i (mA/cm²)   = 0.0001 * nai * ko",
        "ina (mA/cm²) = 3 * i",
        "ik (mA/cm²)  = -2 * i",
        "cai (mM) = 0.0001 at the beginning",
        "cao (mM) = 2",
        "eca (mV) = nernst(cai, cao, 2, celsius)",
        "pool cai, inside",
        "surface_to_volume (1/µm) = that of the compartment",
        "time_constant (ms)       = 10",
        "buffer b",
        "binding (1/(mM ms)) = 100",
        "initial             = in equilibrium",
        "pool ko, outside",
        "surface_to_volume (1/µm) = 10 + 0 * diameter",
    ):
        assert re.search(rf"^ *{re.escape(line)}$", text, re.M), line


def test_a_membrane_without_a_name_is_a_membrane() -> None:
    assert lines(channel().describe())[:2] == ["membrane", "celsius (°C) = 6.3"]


def test_bounds_of_time_constants_are_said() -> None:
    gate = Gate("n", inf=flat, tau=flat, tau_min=0.2)
    assert "tau_min (ms) = 0.2" in lines(part(channel(gate), "channel"))


def test_of_gates_that_an_opening_takes_no_power_is_said() -> None:
    gate = Gate("n", 4, inf=flat, tau=flat)
    assert "gate n, power 4" in lines(part(channel(gate), "channel"))
    own = part(channel(gate, open=lambda n, cai=1.0: 1 - n), "channel")
    assert "gate n" in lines(own)
    assert values(own)["g"] == "gbar * (1 - n)"


def test_a_scheme_is_open_by_its_weights() -> None:
    scheme = Markov(
        "s",
        {("c", "o1"): flat, ("o1", "o2"): lambda v: np.exp(v / 25), ("o2", "c"): flat},
        open={"o1": 0.5, "o2": 1.0},
        power=2,
        q10=3.0,
        celsius=20.0,
    )
    own = part(channel(scheme), "channel")
    assert values(own)["g"] == "gbar * s**2"
    (described,) = own.parts
    assert described.title == "scheme s, power 2"
    assert [tuple(row) for row in described.rows] == [
        ("c → o1", "1 + 0 * v", "1/ms"),
        ("o1 → o2", "exp(v / 25)", "1/ms"),
        ("o2 → c", "1 + 0 * v", "1/ms"),
        ("q10", "3 from 20 °C", ""),
        ("s", "0.5 * o1 + o2", ""),
    ]


def test_what_varies_along_the_axon_is_said_to() -> None:
    said = values(part(channel(gbar=lambda x: np.where(x < 500, 1e-3, 2e-3)), "channel"))
    assert said["gbar"] == "where(x < 500, 0.001, 0.002), varies along the axon"
    said = values(part(channel(gbar=[0.25, 0.1, 0.5], reversal=-60 - X), "channel"))
    assert said["gbar"] == "0.1 to 0.5, varies along the axon"
    assert said["reversal"] == "-1010 to -110, varies along the axon"


def test_scales_are_multiplied() -> None:
    said = values(part(channel().scaled(k=0.5).scaled(k=0.25), "channel"))
    assert (said["scale"], said["g"]) == ("0.125", "gbar * scale")
    said = values(part(channel().scaled(k=lambda x: x / 9).scaled(k=0.25), "channel"))
    assert said["scale"] == "x / 9, varies along the axon; times 0.25"
    pump = Pump("p", current=lambda: 2.0, carries={"k": -1.0}, density=3.0)
    said = values(part(Membrane([], pumps=[pump]).scaled(p=0.5), "pump"))
    assert said == {"density": "3", "scale": "0.5", "i": "density * scale * 2", "ik": "-i"}


@pytest.mark.parametrize(
    ("share", "unit"),
    [
        (0.5, "S/cm²"),
        (lambda g, v, cai: g * (v - 25 * np.log(2 / cai)), "S/cm² or cm/s"),
        (lambda g, v, eca: g * (v - eca) ** 3, "S/cm²"),
    ],
)
def test_a_conductance_has_the_unit_that_its_currents_tell(share: Any, unit: str) -> None:
    calcium = Channel("ca", gbar=1e-4, ion={"ca": share})
    own = part(Membrane([calcium], ions=[Ion("ca", 2, 1e-4, 2.0)]), "channel")
    assert {row.unit for row in own.rows if row.symbol in ("gbar", "g")} == {unit}


def test_ions_reverse_as_they_are_given() -> None:
    ions = [
        Ion("na", 1, reversal=50.0),
        Ion("k", 1, 140.0, 5.0, reversal=lambda ki, ko: 25 * np.log(ko / ki)),
        Ion("cl", -1, 10.0, 120.0),
    ]
    described = Membrane([Channel("k", 1e-3, ion="k")], ions=ions).describe().parts[1:]
    assert [values(ion) for ion in described] == [
        {"valence": "1", "ena": "50"},
        {"valence": "1", "ki": "140", "ko": "5", "ek": "25 * log(ko / ki)"},
        {"valence": "-1", "cli": "10", "clo": "120", "ecl": "nernst(cli, clo, -1, celsius)"},
    ]


def test_pools_say_their_own_constants() -> None:
    buffer = Buffer("b", 0.1, 100.0, 0.0, initial=0.5)
    pool = Pool(
        "ca", "outside", surface_to_volume=0.5, bath=2.0, time_constant=9.0, buffers=[buffer],
        faraday=96500.0,
    )  # fmt: skip
    membrane = Membrane([Channel("k", 1e-3, -65.0)], ions=[Ion("ca", 2, 1e-4, 2.0)], pools=[pool])
    own = part(membrane, "pool")
    assert own.title == "pool cao, outside"
    assert values(own) == {
        "surface_to_volume": "0.5", "bath": "2", "time_constant": "9", "faraday": "96500"
    }  # fmt: skip
    assert values(own.parts[0]) == {
        "total": "0.1", "binding": "100", "unbinding": "0", "initial": "0.5"
    }  # fmt: skip


def decides(v: Any, n: Any = None) -> Any:
    return 1.0 if v > 0 else 2.0


def test_what_cannot_be_written_down_is_named() -> None:
    gate = Gate("n", inf=decides, tau=lambda v: float(v))
    own = part(
        channel(gate, gbar=decides, open=lambda n: 1.0 if n > 0 else 0.0).scaled(k=decides),
        "channel",
    )
    assert values(own)["gbar"] == "decides(x), varies along the axon"
    assert values(own)["g"] == "gbar * scale * function(n)"
    assert values(own.parts[0]) == {"inf": "decides(v)", "tau": "function(v)"}


# ---- what it looks like --------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_lines_are_short_and_nothing_is_lost(name: str) -> None:
    description = getattr(models, name)().describe()
    assert max(map(len, str(description).splitlines())) <= 80
    joined = " ".join(str(description).split())
    assert "\N{NO-BREAK SPACE}" not in joined
    parts = list(description.parts)
    while parts:
        of = parts.pop()
        assert of.title in joined
        for row in of.rows:
            assert f"= {row.value}" in joined
        parts += of.parts


def test_lines_end_before_operators() -> None:
    long = channel(Gate("n", inf=lambda v: sum((np.exp(-(v + i) / 9) for i in range(9)), 0.0)))
    described = str(long.describe()).splitlines()
    at = next(i for i, line in enumerate(described) if "inf = " in line)
    assert len(described) > at + 2
    for line in described[at + 1 :]:
        assert re.match(r" {10}[+*/-] \S", line)


def test_a_description_is_text_wherever_it_is_shown() -> None:
    description = rich().describe()
    assert repr(description) == str(description) == f"{description}"
    assert repr(description.parts[0]) == str(description.parts[0])
    assert str(description.parts[0]) in str(description)
    with pytest.raises(FrozenInstanceError):
        description.title = "other"  # type: ignore[misc]
    assert models.sundt().describe() == models.sundt().describe()
    assert models.sundt().describe() != models.sundt(g_na=0.1).describe()


def test_a_notebook_shows_the_same_as_a_table() -> None:
    membrane = rich().scaled(na=lambda x: np.where((x < 500) & (x > 9), 0.0, 1.0))
    html = membrane._repr_html_()
    assert html == membrane.describe()._repr_html_()
    table = ElementTree.fromstring(f"<body>{html}</body>").find("table")
    assert table is not None
    cells = [["".join(cell.itertext()) for cell in row] for row in table]
    expected = [[membrane.name], *map(list, membrane.describe().rows)]
    parts = list(membrane.describe().parts)
    while parts:
        of, *parts = parts
        expected += [[of.title], *map(list, of.rows)]
        parts = [*of.parts, *parts]
    assert cells == expected
    assert ["scale", "where((x < 500) & (x > 9), 0, 1), varies along the axon", ""] in cells


def test_names_are_no_code() -> None:
    evil = '<script>alert("&")</script>'
    membrane = Membrane(
        [Channel("k", 1e-3, -65.0)], name=evil, reference=f'{evil} doi:10.1000/<b>"x;y. & more'
    )
    html = membrane._repr_html_()
    assert "<script" not in html and "<b>" not in html
    body = ElementTree.fromstring(f"<body>{html}</body>")
    assert "".join(body.itertext()).count(evil) == 2
    (link,) = body.iter("a")
    assert link.attrib == {"href": 'https://doi.org/10.1000/<b>"x'}
    assert str(membrane.describe()).startswith(evil)


def test_a_name_stays_in_its_line() -> None:
    membrane = Membrane([Channel("k", 1e-3, -65.0)], name="a\nb", reference="c\n\nd")
    assert lines(membrane.describe())[:3] == ["a b", "c d", "celsius (°C) = 6.3"]
