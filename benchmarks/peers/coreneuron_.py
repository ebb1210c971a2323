"""The squid axon in CoreNEURON, NEURON's compute engine: the same model, handed over in memory."""

from __future__ import annotations

import time

import squid

began = time.perf_counter()

import neuron  # noqa: E402  (its import is part of the set-up that is timed)
from neuron import coreneuron  # noqa: E402
from neuron_ import Model  # noqa: E402

if __name__ == "__main__":
    model = Model()
    coreneuron.enable = True
    coreneuron.verbose = 0
    setup = time.perf_counter() - began
    velocity = model.velocity()
    seconds = squid.timed(lambda: model.run(squid.DURATION))
    squid.report("CoreNEURON", neuron.__version__, velocity=velocity, seconds=seconds, setup=setup)
