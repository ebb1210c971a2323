"""A membrane that only leaks."""

from __future__ import annotations

from axon.channels import Channel
from axon.membranes import Membrane
from axon.rates import Profile


def passive(g: Profile = 1e-4, e: Profile = -65.0) -> Membrane:
    """A passive membrane.

    Parameters
    ----------
    g : float, array or callable, optional
        Leak conductance, S/cm²: the reciprocal of the specific membrane resistance.
    e : float, array or callable, optional
        Its reversal potential, mV.
    """
    return Membrane((Channel("leak", gbar=g, reversal=e),), name="passive")
