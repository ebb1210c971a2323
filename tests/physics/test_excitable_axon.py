"""All or none, refractory periods, and what becomes of two impulses that meet."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from physics.measure import extreme

import axon

DT = 0.01  # ms
LENGTH, FAR = 200e3, 150e3  # µm; at FAR, the impulse has long had its final shape
FIBRE = axon.Axon.cylinder(LENGTH, 476.0, Ra=35.4, cm=1.0, compartments=1000)
START, WIDTH = 1.0, 1.0  # ms
NEEDED = 18.0  # ms, from a stimulus to its impulse at FAR, and some


def pulse(amplitude: float, start: float = START) -> axon.Waveform:
    return axon.pulse(amplitude, start, WIDTH)


def run(
    waveform: axon.Waveform, duration: float, *others: axon.CurrentClamp, far: bool = False
) -> axon.Run:
    """The squid axon from rest, stimulated at its origin; recorded at FAR or not at all."""
    simulation = axon.Simulation(
        FIBRE,
        axon.models.hodgkin_huxley(),
        [axon.CurrentClamp(0.0, waveform), *others],
        dt=DT,
        spike_threshold=0.0,
    )
    return simulation.run(duration, every=DT, record=[FAR] if far else (), dtype="float64")


def impulses(waveform: axon.Waveform, duration: float) -> int:
    """How many arrive at FAR."""
    return int(np.sum(run(waveform, duration).spikes["compartment"] == FIBRE.index(FAR)))


@cache
def threshold() -> float:
    """The current of a pulse from rest that just makes an impulse, to a thousandth; in nA."""
    none, some = 0.0, 10e3
    while some - none > 1e-3 * some:
        middle = (none + some) / 2
        # An impulse that hardly gets going is late: it may take 10 ms longer.
        none, some = (none, middle) if impulses(pulse(middle), NEEDED + 10) else (middle, some)
    return some


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.99])
def test_below_threshold_nothing_arrives(fraction: float) -> None:
    """What doesn't grow into an impulse dies out: all or none.

    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952), "Threshold"; E. D. Adrian,
    J. Physiol. 47, 460-474 (1914) for nerve.
    """
    v = np.asarray(run(pulse(fraction * threshold()), NEEDED + 10, far=True).v)
    # Twenty length constants away from where it was.
    assert np.abs(v - v[0]).max() < 1e-6


def test_above_threshold_the_amplitude_is_always_the_same() -> None:
    """An impulse doesn't remember what started it.

    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952). After 150 mm it is 102.925 mV high
    to 1e-5 mV, a hundredth of a µV, whether the stimulus was barely or ten times enough.
    """
    tops = []
    for factor in (1.01, 1.1, 1.5, 3.0, 10.0):
        arriving = run(pulse(factor * threshold()), NEEDED + 5, far=True)
        v = np.asarray(arriving.v)[:, 0]
        tops.append(extreme(arriving.time, v, int(np.argmax(v)))[1])
    np.testing.assert_allclose(tops, 37.95109, atol=1e-5)
    assert np.ptp(tops) < 1e-5


def second_arrives(gap: float, factor: float) -> bool:
    """Whether a pulse of some times the threshold has its impulse, a gap after the first had."""
    pair = pulse(1.5 * threshold()) + pulse(factor * threshold(), START + gap)
    arrived = impulses(pair, gap + NEEDED + 10)
    assert arrived >= 1
    return arrived == 2


@pytest.mark.parametrize("gap", [3.0, 4.0, 5.0, 6.0])
def test_absolute_refractory_period(gap: float) -> None:
    """Just after an impulse no stimulus makes another, be it 50 times the threshold.

    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952), "Refractory period": sodium is
    inactivated and the potassium conductance still high.
    """
    assert not second_arrives(gap, 50.0)


@pytest.mark.parametrize(
    ("gap", "too_little", "enough"), [(8, 3.5, 4.5), (10, 2.2, 3), (12, 1.5, 2.2)]
)
def test_relative_refractory_period(gap: float, too_little: float, enough: float) -> None:
    """Then it takes more than at rest, and ever less: four times the threshold, then twice.

    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952), "Refractory period".
    """
    assert not second_arrives(gap, too_little)
    assert second_arrives(gap, enough)


def test_excitability_returns() -> None:
    """It overshoots, as potassium falls below what it is at rest, and settles.

    A. L. Hodgkin, A. F. Huxley, J. Physiol. 117, 500-544 (1952): the oscillations about rest.
    """
    assert second_arrives(20.0, 0.9)  # 0.86 times the threshold are enough
    assert not second_arrives(40.0, 0.97)
    assert second_arrives(40.0, 1.03)


@pytest.mark.parametrize("delay", [0.0, 1.37, 4.0])
def test_impulses_that_collide_annihilate(delay: float) -> None:
    """Each runs into the other's refractory membrane: nothing passes, nothing returns.

    I. Tasaki, Biochim. Biophys. Acta 3, 494-497 (1949). So every compartment fires just once.
    """
    waveform = pulse(1.5 * threshold())
    opposite = axon.CurrentClamp(LENGTH, waveform.delayed(delay))
    spikes = run(waveform, 40.0, opposite).spikes
    np.testing.assert_array_equal(np.bincount(spikes["compartment"]), np.ones(FIBRE.n))
    # They meet where both have been under way for as long.
    meeting = spikes["x"][-1]
    alone = run(waveform, 40.0)
    assert np.bincount(alone.spikes["compartment"]).tolist() == [1] * FIBRE.n
    x, time = axon.arrival_times(alone, threshold=0.0)
    to_here = np.interp(meeting, x, time)
    to_there = np.interp(LENGTH - meeting, x, time) + delay
    # Coming near, they pull each other over the threshold, along a length constant, 6 mm.
    assert abs(to_here - to_there) < 0.02
