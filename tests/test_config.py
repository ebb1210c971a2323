from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

import axon
from axon import _kernel, equations
from axon.errors import SimulationError

SETS = _kernel.instruction_sets()
SUPPORTED = [name for name, (supported, _) in SETS.items() if supported]
FUSED = [name for name in SUPPORTED if SETS[name][1]]


def impulse():
    fibre = axon.Axon.cylinder("20 mm", diameter=476.0, Ra=35.4, compartments=200)
    pulse = axon.pulse("10 uA", start=0.1, duration=0.5)
    stimuli = [axon.CurrentClamp(0.0, pulse)]
    sim = axon.Simulation(fibre, axon.models.hodgkin_huxley(), stimuli, dt=0.01)
    return np.asarray(sim.run(3.0, every=0.1, dtype="float64").v)


def test_the_best_supported_set_is_chosen(monkeypatch):
    monkeypatch.delenv("AXON_ISA", raising=False)
    assert axon.show_config()["isa"] == SUPPORTED[-1]
    assert axon.show_config()["supported"] == SUPPORTED
    assert SUPPORTED[0] == "generic"  # which every machine can run


def test_an_empty_variable_forces_nothing(monkeypatch):
    monkeypatch.setenv("AXON_ISA", "")
    assert axon.show_config()["isa"] == SUPPORTED[-1]


@pytest.mark.parametrize("isa", SUPPORTED)
def test_a_set_can_be_forced(monkeypatch, isa):
    used = []

    def spy(**arguments):
        used.append(kernel(**arguments))
        return used[-1]

    kernel = _kernel.Kernel
    monkeypatch.setattr(equations, "Kernel", spy)
    monkeypatch.setenv("AXON_ISA", isa)
    assert axon.show_config()["isa"] == isa
    impulse()
    assert {each.isa for each in used} == {isa}


def test_sets_with_fused_multiply_add_give_the_same_bits(monkeypatch):
    fields = {}
    for isa in SUPPORTED:
        monkeypatch.setenv("AXON_ISA", isa)
        fields[isa] = impulse()
    assert fields["generic"].max() > 20.0  # there was an impulse
    assert len({fields[isa].tobytes() for isa in FUSED}) <= 1
    for isa in SUPPORTED:
        # The others round differently, by some 1e-14 mV a step. An impulse that starts makes that
        # grow, to 1.5e-10 mV here.
        np.testing.assert_allclose(fields[isa], fields["generic"], rtol=0, atol=1e-8)


@pytest.mark.parametrize("isa", ["avx1024", "AVX2", "generic "])
def test_an_unknown_set_is_refused(monkeypatch, isa):
    monkeypatch.setenv("AXON_ISA", isa)
    wanted = f"AXON_ISA={isa!r} is not one of {', '.join(SETS)}"
    with pytest.raises(SimulationError, match=wanted):
        axon.show_config()
    with pytest.raises(SimulationError, match=wanted):
        impulse()


def test_a_set_that_the_machine_lacks_is_refused(monkeypatch):
    lacking = {name: (name == "generic", fused) for name, (_, fused) in SETS.items()}
    lacking["neon512"] = (False, True)
    monkeypatch.setattr(_kernel, "instruction_sets", lambda: lacking)
    with pytest.raises(SimulationError, match="this machine lacks it; it has generic"):
        _kernel.chosen_isa("neon512")


def test_the_command_line_says_so_too(monkeypatch, tmp_path):
    monkeypatch.setenv("AXON_ISA", "sse9")
    command = [sys.executable, "-m", "axon", "run", "squid"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "AXON_ISA='sse9' is not one of generic" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.h5"))


def test_versions_are_those_in_use():
    config = axon.show_config()
    assert config["axon"] == axon.__version__
    assert config["numpy"] == np.__version__
    assert config["python"] == platform.python_version()
    assert config["machine"] == platform.machine()
