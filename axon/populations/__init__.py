"""Populations of fibres: diameters, places in a fascicle, and what all of them do together.

>>> from axon import populations
>>> diameters = populations.published("ochoa_mair_1969").draw(100, seed=1)
>>> fibres = populations.place(diameters, populations.Fascicle.circle("50 um"), seed=1)
>>> fibres
<Population: 100 fibres of 0.408 to 2.8 um fill 10.4% of Fascicle(...)>
"""

from __future__ import annotations

from axon.populations.answers import (
    Compound,
    Recruitment,
    compound_action_potential,
    recruitment,
)
from axon.populations.diameters import (
    Diameters,
    gamma,
    histogram,
    lognormal,
    names,
    normal,
    published,
    values,
)
from axon.populations.fascicles import Fascicle
from axon.populations.placing import Population, place

__all__ = [
    "Compound",
    "Diameters",
    "Fascicle",
    "Population",
    "Recruitment",
    "compound_action_potential",
    "gamma",
    "histogram",
    "lognormal",
    "names",
    "normal",
    "place",
    "published",
    "recruitment",
    "values",
]
