"""The squid axon in Brian2, run-time mode with Cython, exponential Euler for the gates."""

from __future__ import annotations

import time

import squid

began = time.perf_counter()

import brian2 as b2  # noqa: E402  (its import is part of the set-up that is timed)
from brian2 import cm, mS, ms, mV, nA, ohm, uF, um  # noqa: E402

EQUATIONS = """
Im = gNa * m**3 * h * (ENa - v) + gK * n**4 * (EK - v) + gL * (EL - v) : amp/meter**2
I : amp (point current)
dm/dt = alpha_m * (1 - m) - beta_m * m : 1
dh/dt = alpha_h * (1 - h) - beta_h * h : 1
dn/dt = alpha_n * (1 - n) - beta_n * n : 1
alpha_m = 1 / exprel(-(v + 40*mV) / (10*mV)) / ms : Hz
beta_m = 4 * exp(-(v + 65*mV) / (18*mV)) / ms : Hz
alpha_h = 0.07 * exp(-(v + 65*mV) / (20*mV)) / ms : Hz
beta_h = 1 / (exp(-(v + 35*mV) / (10*mV)) + 1) / ms : Hz
alpha_n = 0.1 / exprel(-(v + 55*mV) / (10*mV)) / ms : Hz
beta_n = 0.125 * exp(-(v + 65*mV) / (80*mV)) / ms : Hz
"""
CONSTANTS = {
    "gNa": 120 * mS / cm**2,
    "gK": 36 * mS / cm**2,
    "gL": 0.3 * mS / cm**2,
    "ENa": 50 * mV,
    "EK": -77 * mV,
    "EL": -54.3 * mV,
}


def axon() -> b2.SpatialNeuron:
    shape = b2.Cylinder(
        length=squid.LENGTH * um, diameter=squid.DIAMETER * um, n=squid.COMPARTMENTS
    )
    neuron = b2.SpatialNeuron(
        shape,
        EQUATIONS,
        Cm=squid.CM * uF / cm**2,
        Ri=squid.RA * ohm * cm,
        method="exponential_euler",
        namespace=CONSTANTS,
    )
    neuron.v = squid.V_INIT * mV
    for gate in "mhn":
        setattr(neuron, gate, f"alpha_{gate} / (alpha_{gate} + beta_{gate})")
    return neuron


class Model:
    def __init__(self, record: tuple[int, ...] = ()) -> None:
        b2.defaultclock.dt = squid.DT * ms
        self.neuron = axon()
        self.network = b2.Network(self.neuron)
        if record:
            self.monitor = b2.StateMonitor(self.neuron, "v", record=list(record))
            self.network.add(self.monitor)
        self.network.store()

    def run(self, duration: float) -> None:
        """The current is switched by hand: a timed array would be looked up in every step."""
        self.network.restore()
        end = squid.START + squid.WIDTH
        for until, current in ((squid.START, 0.0), (end, squid.AMPLITUDE), (duration, 0.0)):
            self.neuron.I[0] = current * nA
            self.network.run(until * ms - self.network.t, namespace={})


if __name__ == "__main__":
    b2.prefs.codegen.target = "cython"
    model = Model()
    begun = squid.START + squid.WIDTH + squid.DT  # once in each of the three runs
    model.run(begun)  # compiles
    setup = time.perf_counter() - began

    # Every run begins by generating its code anew, which is no part of a step.
    start_up = squid.timed(lambda: model.run(begun))
    stepping = squid.timed(lambda: model.run(squid.DURATION)) - start_up
    seconds = stepping * squid.DURATION / (squid.DURATION - begun)

    observed = Model(record=squid.SITES)
    observed.run(squid.VELOCITY_DURATION)
    times = (observed.monitor.t / ms).tolist()
    traces = (observed.monitor.v / mV).tolist()
    velocity = squid.velocity(times, traces)
    squid.report("Brian2", b2.__version__, velocity=velocity, seconds=seconds, setup=setup)
