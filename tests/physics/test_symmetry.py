"""What must not matter: from which end one counts, how one describes, which way one looks."""

from __future__ import annotations

import numpy as np
import pytest
from reference.cable import Array

import axon
from axon.simulation import METHODS

AXONS = {
    "tapered": axon.Axon.tapered(10e3, 20.0, 8.0, Ra=35.4, compartments=157),
    "stepped": axon.Axon.stepped([2e3, 5e3, 3e3], [8.0, 12.0, 5.0], Ra=35.4, compartments=100),
    "varicose": axon.Axon.varicose(10e3, 4.0, 9.0, 60.0, 500.0, Ra=35.4, dx=23.0),
    "uneven": axon.Axon.cylinder(
        10e3,
        10.0,
        Ra=lambda x: 35.4 * (1 + x / 10e3),
        cm=lambda x: 1 + 0.5 * np.sin(x / 1e3),
        compartments=211,
    ),
}


def stimulated(fibre: axon.Axon, at: float, membrane: axon.Membrane, **options: str) -> Array:
    clamp = axon.CurrentClamp(at, axon.pulse(60.0, start=0.213, duration=0.5))
    simulation = axon.Simulation(fibre, membrane, [clamp], dt=0.01, celsius=18.5, **options)
    return np.asarray(simulation.run(6.0, every=0.1, dtype="float64").v)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", AXONS)
def test_reversed_axon_has_the_reversed_field(shape: str, method: str) -> None:
    """Nothing in the cable equation knows where an axon begins.

    Only rounding differs: elimination goes from one end to the other. That makes 1e-13 mV.
    """
    fibre = AXONS[shape]
    k = fibre.n // 3
    membrane = axon.models.hodgkin_huxley(g_na=lambda x: 0.12 + 0.03 * x / 10e3)
    mirrored = axon.models.hodgkin_huxley(g_na=lambda x: 0.15 - 0.03 * x / 10e3)
    v = stimulated(fibre, fibre.x[k], membrane, method=method)
    turned = fibre.reversed()
    w = stimulated(turned, turned.x[fibre.n - 1 - k], mirrored, method=method)
    assert v.max() > 0.0  # there was an impulse
    np.testing.assert_allclose(w[:, ::-1], v, rtol=0, atol=1e-11)


def test_symmetric_axon_stays_symmetric() -> None:
    """Two impulses from the middle of an axon are each other's mirror images."""
    fibre = axon.Axon.varicose(10e3, 4.0, 9.0, 60.0, 500.0, Ra=35.4, compartments=301)
    v = stimulated(fibre, 5e3, axon.models.hodgkin_huxley())
    assert v.max() > 0.0
    np.testing.assert_allclose(v[:, ::-1], v, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "split",
    [
        axon.Axon.from_profile([0, 2e3, 7e3, 10e3], [10] * 4, Ra=35.4, compartments=100),
        axon.Axon.from_profile([0, 3333.3, 3333.3, 10e3], [10] * 4, Ra=35.4, compartments=100),
        axon.Axon.stepped([1e3, 4.5e3, 4.5e3], [10, 10, 10], Ra=35.4, compartments=100),
        axon.Axon.tapered("1 cm", 10, "10 um", Ra=np.full(100, 35.4), compartments=100),
        axon.Axon.cylinder(10e3, 10, Ra=35.4, cm=lambda x: np.ones(x.size), dx=100),
    ],
    ids=["pieces", "no step", "cylinders", "no taper", "functions"],
)
def test_a_uniform_axon_in_other_words_is_the_same(split: axon.Axon) -> None:
    """To the last bit: how a uniform axon is described changes nothing."""
    whole = axon.Axon.cylinder(10e3, 10.0, Ra=35.4, compartments=100)
    hh = axon.models.hodgkin_huxley()
    in_parts = axon.models.hodgkin_huxley(
        g_na=np.full(100, 0.12), g_k=lambda x: np.full(x.size, 0.036), e_leak="-54.3 mV"
    )
    v = stimulated(whole, 0.0, hh)
    assert v.max() > 0.0
    np.testing.assert_array_equal(stimulated(split, 0.0, in_parts), v)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", AXONS)
def test_reciprocity(shape: str, method: str) -> None:
    """In a passive axon, what is injected here and seen there is as if there and here.

    C. Koch, T. Poggio, V. Torre, Phil. Trans. R. Soc. Lond. B 298, 227-263 (1982).
    """
    fibre, (here, there) = AXONS[shape], (AXONS[shape].n // 5, AXONS[shape].n // 2)
    passive = axon.models.passive(g=1e-3)
    one = stimulated(fibre, fibre.x[here], passive, method=method)[:, there] + 65.0
    other = stimulated(fibre, fibre.x[there], passive, method=method)[:, here] + 65.0
    # Both are rounded at -65 mV, 600 times.
    assert one.max() > 1e-3
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-11)
