from __future__ import annotations

import json
import sys
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest

import axon
from axon.errors import NoSpikeError, RunFileError, UnitError
from axon.report import report
from axon.runs import Run


@cache
def squid():
    return axon.run(
        "squid",
        {"axon.compartments": 200, "simulation.duration": 40.0, "record.every": 0.05},
    )


@cache
def tigerholm():
    cable = axon.Axon.cylinder("3 mm", 1.0, Ra=35.5, dx=30.0)
    clamp = axon.CurrentClamp(0.0, axon.pulse(0.5, 6.0, 1.0))
    sim = axon.Simulation(cable, axon.models.tigerholm(), [clamp], dt=0.01)
    return sim.run(60.0, every=0.02)


def changed(run, **header):
    """The same run with another header."""
    return Run.in_memory(
        {**run.header, **header},
        run.x,
        run.compartments,
        run.interval,
        np.asarray(run.v),
        run.spikes["compartment"],
        run.spikes["time"],
        axon_x=run.axon_x,
        inputs=run.inputs,
    )


def test_the_story_of_the_squid_axon():
    run = squid()
    told = report(run)
    facts = told.to_dict()
    shape = axon.action_potential(run, facts["x_um"])
    assert facts["x_um"] == pytest.approx(50e3, abs=500)
    assert facts["impulses"] == 1
    before, during, after = (facts[name] for name in ("before", "during", "after"))
    assert before["rest_mV"] == pytest.approx(-65.0, abs=0.02)
    assert before["ions"]["na"]["reversal_mV"] == 50.0
    assert (
        before["ions"]["na"]["current_mA_per_cm2"] < 0 < before["ions"]["k"]["current_mA_per_cm2"]
    )
    assert abs(before["net_mA_per_cm2"]) < 1e-4
    assert during["peak_mV"] == shape.peak
    assert during["velocity_m_per_s"]["value"] == pytest.approx(12.32, rel=0.01)
    assert len(during["along"]) == 9 and during["amplitude_spread"] < 0.01
    # Sodium first, then potassium.
    currents = during["currents"]
    assert currents["na"]["inward_mA_per_cm2"] < -0.5
    assert currents["k"]["outward_mA_per_cm2"] > 0.5
    charge = axon.spike_charge(run, facts["x_um"])
    assert during["sodium_entry_nC_per_cm2"] == pytest.approx(charge.sodium_entry)
    assert during["ATP_per_mm"] == pytest.approx(charge.atp_along("1 mm"))
    recovery = axon.patch_recovery(run, facts["x_um"])
    assert during["shock_at_rest_mV"] == recovery.at_rest
    assert after["absolute_refractory_ms"] == recovery.absolute
    assert after["relative_refractory_ms"] == recovery.relative
    assert after["afterhyperpolarisation_mV"] == pytest.approx(11.0, abs=0.5)
    back = after["back_at_rest_ms_after_peak"] + shape.peak_time
    site = int(np.argmin(np.abs(run.x - facts["x_um"])))
    late = np.asarray(run.v)[run.time > back + 1e-6, site]
    assert len(late) and np.abs(late - shape.rest).max() <= 1.0


def test_the_text_tells_it():
    text = str(report(squid()))
    assert text.startswith("Squid giant axon")
    for words in (
        "Before\n------", "During\n------", "After\n-----", "no pump", "All or none",
        "It goes undiminished", "absolute refractory period", "ATP per cm²",
    ):  # fmt: skip
        assert words in text
    assert "not computed" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_gradients_pumps_and_moving_concentrations():
    told = report(tigerholm())
    facts = told.to_dict()
    membrane = axon.models.tigerholm()
    ions = {ion.name: ion for ion in membrane.ions}
    na = facts["before"]["ions"]["na"]
    assert na["inside_mM"] == pytest.approx(ions["na"].inside, rel=1e-6)
    nernst = axon.nernst(na["inside_mM"], na["outside_mM"], 1, membrane.celsius)
    assert na["reversal_mV"] == pytest.approx(nernst)
    # At rest every ion's currents balance.
    for ion in facts["before"]["ions"].values():
        assert abs(ion["current_mA_per_cm2"]) < 1e-9
    assert "The pump nak carries" in str(told)
    before, after = facts["after"]["concentrations_mM"]["nai"]
    assert before < after


def test_json_has_no_number_that_is_none():
    json.dumps(report(squid()).to_dict(), allow_nan=False)
    early = axon.run("squid", {"axon.compartments": 200, "simulation.duration": 7.0})
    told = report(early, at="60 mm")
    facts = json.loads(json.dumps(told.to_dict(), allow_nan=False))
    assert facts["during"]["peak_mV"] > 0 and facts["during"]["half_width_ms"] is None
    assert "absolute_refractory_ms" not in facts["after"]
    assert "What it costs was not computed: the run ends" in str(told)
    assert "After\n-----\n\nThe run ends before the impulse is over." in str(told)
    assert "nan" not in str(told)


def test_a_run_without_an_impulse():
    told = report(axon.run("squid", {"axon.compartments": 50, "simulation.duration": 0.5}))
    text = str(told)
    assert "no impulse" in text and "There is no impulse to tell of" in text
    assert told.to_dict()["before"]["rest_mV"] == pytest.approx(-65.0, abs=0.1)


def test_a_run_without_its_equations_tells_what_v_tells():
    run = squid()
    bare = Run.in_memory(
        run.header, run.x, run.compartments, run.interval, np.asarray(run.v),
        run.spikes["compartment"], run.spikes["time"], axon_x=run.axon_x,
    )  # fmt: skip
    told = report(bare)
    assert "Which currents flow was not computed" in str(told)
    assert told.to_dict()["during"]["velocity_m_per_s"]["value"] > 0
    assert "currents" not in told.to_dict()["during"]


def test_at_another_place():
    told = report(squid(), at="20 mm")
    assert told.to_dict()["x_um"] == pytest.approx(20e3, abs=500)
    with pytest.raises(UnitError):
        report(squid(), at="20 ms")


def test_several_impulses_and_few_places():
    cable = axon.Axon.cylinder("3 mm", 1.0, dx=30.0)
    ends = [axon.CurrentClamp(x, axon.pulse(0.5, 0.5, 0.5)) for x in (0.0, 3000.0)]
    run = axon.Simulation(cable, axon.models.sundt(), ends, dt=0.01).run(20.0, record=["0.8 mm"])
    told = report(run)
    assert "of which the first is\ntold of" in str(told)
    assert "It ends where it meets another one" in str(told)
    assert "too few places" in str(told)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.sources = []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]


def test_the_page_needs_nothing_else():
    page = report(squid()).to_html()
    tags = Tags()
    tags.feed(page)
    assert tags.seen.count("img") == 3 and "table" in tags.seen
    assert all(source.startswith("data:image/svg+xml;base64,") for source in tags.sources)
    assert "http" not in page.replace("base64", "")[: page.index("<img")]


HOSTILE = '<script>alert(1)</script> & "$\\frac{"\x1b[2J'


def test_what_others_wrote_is_text_and_nothing_more():
    run = squid()
    membrane = {**run.header["membrane"], "name": HOSTILE}
    told = report(changed(run, study={"title": HOSTILE}, membrane=membrane))
    page = told.to_html()
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen and "&lt;script&gt;" in page
    assert "\x1b" not in str(told)


@pytest.mark.parametrize(
    "header",
    [
        {"membrane": 3},
        {"simulation": {}},
        {"simulation": {"celsius": "warm", "dt": 0.005, "spike_threshold": -20.0}},
        {"study": {"title": ["a"]}, "membrane": None},
    ],
)
def test_a_header_that_is_none_is_refused_or_gone_without(header):
    with pytest.raises(RunFileError, match="header"):
        report(changed(squid(), **header))


def test_nothing_is_recorded():
    sim = axon.Simulation(axon.Axon.cylinder(100.0, 1.0), axon.models.passive())
    with pytest.raises(NoSpikeError, match="nothing is recorded"):
        report(sim.run(0.1, record=()))


def test_without_matplotlib_there_are_no_figures(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = report(squid()).to_html()
    assert "There are no figures" in page and "<img" not in page


def test_a_notebook_shows_the_page_and_repr_is_short():
    told = squid().report()
    assert told._repr_html_().startswith("<!DOCTYPE html>")
    assert repr(told) == f"<Report: {told.title}>"


# Of axons that branch


@cache
def branched():
    """An impulse that comes to a's tip, and is stopped before b's trunk."""

    def cable(diameter, length):
        return axon.Axon.cylinder(length, diameter, Ra=35.4, dx=200.0)

    tree = cable(100.0, "8 mm").branch(cable(63.0, "6 mm"), "8 mm", "a")
    tree = tree.branch(cable(63.0, "5 mm"), (0, "8 mm"), "b")
    tree = tree.branch(cable(600.0, "8 mm"), ("b", "5 mm"), "trunk")
    tree = tree.branch(cable(63.0, "4 mm"), ("b", "5 mm"), "twig")
    shock = axon.CurrentClamp(0.0, axon.pulse(10_000.0, start=0.5, duration=0.3))
    sim = axon.Simulation(tree, axon.models.hodgkin_huxley(), [shock], dt=0.01, celsius=18.5)
    return sim.run(16.0, every=0.05)


def test_the_story_on_an_axon_that_branches():
    run = branched()
    told = report(run)
    facts = told.to_dict()
    json.dumps(facts, allow_nan=False)
    assert facts["length_um"] == 31e3
    # Looked at half way to the tip of a, the farthest place that it came to.
    assert (facts["branch"], facts["distance_um"]) == pytest.approx((0, 7e3), abs=200)
    during = facts["during"]
    way = run.tree.way((0, 3500.0), (1, 2500.0))[0]
    first = {int(s["compartment"]): s["time"] for s in run.spikes[::-1]}
    speed = 1e-3 * np.ptp(run.tree.x[way]) / (first[way[-1]] - first[way[0]])
    assert during["velocity_m_per_s"]["value"] == pytest.approx(speed, rel=0.05)
    along = [place["x_um"] for place in during["along"]]
    assert len(along) == 9 and along == sorted(along) and 1.4e3 <= along[0] <= along[-1] <= 12.6e3
    text = str(told)
    assert "An axon of 31 mm" in text and "um on branch 0 and " in text
    assert "Branches\n--------" in text and "not computed" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_branch_points_and_tips_are_told_of():
    run = branched()
    told = report(run).to_dict()["branches"]
    assert [told[name] for name in ("branches", "branch_points", "tips")] == [5, 2, 3]
    assert (told["tips_reached"], told["places_of_stops"]) == (1, 1)
    stopped, passed = told["points"]
    assert (stopped["branch"], stopped["distance_um"], stopped["stopped"]) == (2, 5e3, True)
    assert stopped["daughters_um"] == [600.0, 63.0] and stopped["arrival_ms"] is None
    assert stopped["geometric_ratio"] == pytest.approx((600 / 63) ** 1.5 + 1)
    assert not passed["stopped"] and passed["geometric_ratio"] == pytest.approx(2 * 0.63**1.5)
    here = run.spikes["compartment"] == run.tree.index((0, "8 mm"))
    assert passed["arrival_ms"] == run.spikes["time"][here][0]
    first, *others = told["arrivals"]
    tip = run.spikes["time"][run.spikes["compartment"] == run.tree.index(("a", "6 mm"))][0]
    assert (first["branch"], first["x_um"], first["arrival_ms"]) == (1, 14e3, tip)
    assert [each["arrival_ms"] for each in others] == [None, None]


def test_tables_of_branches_are_bounded():
    tree = axon.Tree.regular("1 mm", 2.0, 5, dx=200.0)
    clamp = axon.CurrentClamp(0.0, axon.pulse(1.0, 0.5, 0.5))
    run = axon.Simulation(tree, axon.models.hodgkin_huxley(), [clamp], dt=0.02).run(15.0)
    told = report(run)
    facts = told.to_dict()["branches"]
    assert (facts["branch_points"], facts["tips"], facts["tips_reached"]) == (31, 32, 32)
    assert len(facts["points"]) == len(facts["arrivals"]) == 12
    times = [each["arrival_ms"] for each in facts["arrivals"]]
    tips = [s["time"] for s in run.spikes if s["compartment"] in tree.tips]
    assert times == sorted(times) and (times[0], times[-1]) == (min(tips), max(tips))
    assert "Of 31 branch points 12 are told of. Of 32 tips 12 are told of." in (
        " ".join(str(told).split())
    )


def test_branches_without_an_impulse_are_told_of():
    run = branched()
    silent = Run.in_memory(
        run.header, run.x, run.compartments, run.interval, np.asarray(run.v), [], [],
        axon_x=run.axon_x, inputs=run.inputs,
    )  # fmt: skip
    told = report(silent)
    facts = told.to_dict()["branches"]
    assert (facts["tips_reached"], facts["places_of_stops"]) == (0, 0)
    ratios = [point["geometric_ratio"] for point in facts["points"]]
    assert ratios[0] > 30 > 2 > ratios[1]  # the largest first
    assert "No impulse came to any of them." in " ".join(str(told).split())


def test_another_place_on_a_branch():
    run = branched()
    facts = report(run, at=("a", "3 mm")).to_dict()
    assert (facts["branch"], facts["distance_um"]) == pytest.approx((1, 3e3), abs=100)
    assert facts["spikes_there"] == 1
    beyond = report(run, at=("trunk", "3 mm"))
    assert "There is no impulse to tell of: number = 0: there are 0 spikes at" in str(beyond)


def test_what_is_told_is_of_that_compartment():
    run = branched()
    n = run.tree.n
    celsius = [18.5 + 0.01 * k for k in range(n)]
    shifted = Run.in_memory(
        run.header | {"simulation": run.header["simulation"] | {"celsius": celsius}},
        run.x, run.compartments, run.interval, np.asarray(run.v) + 1e-3 * np.arange(n, dtype="f4"),
        run.spikes["compartment"], run.spikes["time"], axon_x=run.axon_x,
    )  # fmt: skip
    at = run.tree.index(("a", "3 mm"))
    facts = report(shifted, at=("a", "3 mm")).to_dict()
    assert facts["celsius"] == celsius[at]
    assert facts["before"]["rest_mV"] == shifted.v[0, at]


def test_the_page_shows_the_tree():
    page = report(branched()).to_html()
    tags = Tags()
    tags.feed(page)
    assert tags.seen.count("img") == 4
    assert '<img alt="Branches"' in page
