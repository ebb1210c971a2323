"""Ions, their concentrations, and what moves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from axon import portable
from axon.errors import MembraneError
from axon.formulas import named
from axon.portable import unwrapped, wrapped
from axon.rates import Quantities, Rate, all_are, call, check_function, check_name, in_words
from axon.records import Value
from axon.units import is_whole, quantity

GAS = 8.31446261815324
"""Molar gas constant, J/(K mol): SI Brochure, 9th edition (2019)."""

FARADAY = 96485.33212331001
"""Faraday constant, C/mol: SI Brochure, 9th edition (2019)."""

ZERO_CELSIUS = 273.15
"""0 °C in K."""


@named
def nernst(inside: Any, outside: Any, valence: int, celsius: Any) -> Any:
    """Potential at which an ion is in equilibrium, RT/(zF) ln(outside/inside), in mV.

    Parameters
    ----------
    inside, outside : number, array or symbol
        Concentrations, in one unit.
    valence : int
    celsius : number, array or symbol
        Temperature, °C.

    References
    ----------
    W. Nernst, Z. Phys. Chem. 4, 129-181 (1889).
    """
    logarithm = unwrapped(np.log(wrapped(outside / inside)))
    return 1e3 * GAS / FARADAY / valence * (celsius + ZERO_CELSIUS) * logarithm


@named
def ghk(v: Any, inside: Any, outside: Any, valence: int, celsius: Any) -> Any:
    """Goldman-Hodgkin-Katz current for a permeability of 1 cm/s, in mA/cm².

    P z F u (inside - outside exp(-u)) / (1 - exp(-u)) with u = z F v / (RT); its limit at 0.

    Parameters
    ----------
    v : number, array or symbol
        Potential, mV.
    inside, outside : number, array or symbol
        Concentrations, mM.
    valence : int
    celsius : number, array or symbol
        Temperature, °C.

    References
    ----------
    A. L. Hodgkin, B. Katz, J. Physiol. 108, 37-77 (1949), doi:10.1113/jphysiol.1949.sp004310,
    appendix A.
    """
    u = valence * FARADAY / (1e3 * GAS) * v / (celsius + ZERO_CELSIUS)
    # u/(1 - exp(-u)) is u + w with w = u/(exp(u) - 1): one function for both directions.
    w = exprel(u)
    return 1e-3 * valence * FARADAY * (inside * (u + w) - outside * w)


def exprel(u: Any) -> Any:
    """u / (exp(u) - 1), of numbers, arrays or symbols; 1, its limit, at 0."""
    if not isinstance(u, (float, np.ndarray)):
        return u / np.expm1(u)  # which is known by its form
    return portable.exprel(u)


class Ion(Value):
    """An ion, its concentrations and its reversal potential.

    Its name makes names that functions may ask for: of ``Ion("ca", 2, ...)`` these are
    ``cai`` and ``cao``, the concentrations inside and outside (mM), and ``eca``, the reversal
    potential (mV).

    Parameters
    ----------
    name : str
    valence : int
        Charges of one ion, with sign.
    inside, outside : float or quantity, optional
        Concentrations, mM; where a pool moves them, at the beginning.
    reversal : float, quantity or callable, optional
        Fixed reversal potential, mV, or a function of named quantities such as ``cai`` and
        ``celsius``. If not given, it follows from the concentrations by Nernst's equation, at
        every moment.
    """

    name: str
    valence: int
    inside: float | None = None
    outside: float | None = None
    reversal: float | Rate | None = field(default=None)

    def __post_init__(self) -> None:
        check_name(self.name, "ion")
        what = f"ion {self.name!r}: "
        if not is_whole(self.valence) or self.valence == 0:
            raise MembraneError(f"{what}valence={self.valence!r}; give a whole number but not 0")
        object.__setattr__(self, "valence", int(self.valence))
        for name in ("inside", "outside"):
            value = getattr(self, name)
            if value is not None:
                value = quantity(value, "mM", what + name, error=MembraneError, positive=True)
                object.__setattr__(self, name, value)
        if self.reversal is None:
            if self.inside is None or self.outside is None:
                raise MembraneError(
                    f"{what}without a reversal potential, inside and outside are needed, in mM"
                )
        elif not callable(self.reversal):
            value = quantity(self.reversal, "mV", what + "reversal", error=MembraneError)
            object.__setattr__(self, "reversal", value)

    def potential(self, quantities: Quantities) -> Any:
        """Reversal potential, mV, of the given quantities."""
        if self.reversal is None:
            inside, outside = quantities[f"{self.name}i"], quantities[f"{self.name}o"]
            return nernst(inside, outside, self.valence, quantities["celsius"])
        if not callable(self.reversal):
            return self.reversal
        with in_words(f"ion {self.name!r}", "reversal"):
            return call(self.reversal, quantities)


class Buffer(Value):
    """Sites that bind an ion: d bound/dt = binding c (1 - bound) - unbinding bound.

    Parameters
    ----------
    name : str
    total : float or quantity
        Concentration of sites, mM.
    binding : float or quantity
        1/(mM ms).
    unbinding : float or quantity
        1/ms.
    initial : float, optional
        Fraction bound at the beginning; in equilibrium if not given.
    """

    name: str
    total: float
    binding: float
    unbinding: float
    initial: float | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "buffer")
        what = f"buffer {self.name!r}: "
        for name, unit in (("total", "mM"), ("binding", "1/mM/ms"), ("unbinding", "1/ms")):
            value = quantity(
                getattr(self, name), unit, what + name, error=MembraneError, minimum=0.0
            )
            object.__setattr__(self, name, value)
        if self.initial is not None:
            value = quantity(self.initial, "", what + "initial", error=MembraneError, minimum=0.0)
            if value > 1.0:
                raise MembraneError(f"{what}initial={value!r}; a fraction is at most 1")
            object.__setattr__(self, "initial", value)
        elif self.unbinding == 0.0:
            raise MembraneError(f"{what}unbinding=0 has no equilibrium; give initial")

    def rate(self, concentration: Any, bound: Any) -> Any:
        """d bound/dt, 1/ms."""
        return self.binding * concentration * (1.0 - bound) - self.unbinding * bound

    def equilibrium(self, concentration: Any) -> Any:
        """Fraction that is bound in the end."""
        taken = self.binding * concentration
        return taken / (taken + self.unbinding)


class Pool(Value):
    """A space whose concentration of an ion moves with the ion's currents.

    dc/dt = ∓ (S/V) i / (z F) + (bath - c) / time_constant - Σ total d bound/dt; an outward
    current takes from the inside and adds to the outside.

    Parameters
    ----------
    ion : str
    side : {"inside", "outside"}
    surface_to_volume : float, quantity or callable, optional
        Membrane area per volume of the space, 1/µm, or a function of the diameter (µm). If
        not given, that of the compartment itself, 4/diameter for a cylinder; a space outside
        needs it: 1/width for a narrow space around the axon (B. Frankenhaeuser,
        A. L. Hodgkin, J. Physiol. 131, 341-376 (1956), doi:10.1113/jphysiol.1956.sp005467).
    bath, time_constant : float or quantity, optional
        Concentration (mM) that the space exchanges with, and in what time (ms).
    buffers : sequence of Buffer, optional
    diffusion : float or quantity, optional
        Diffusion coefficient along the axon, µm²/ms, of a pool inside. Without it a compartment
        keeps what it has.
    faraday : float, optional
        Faraday constant, C/mol, for models that were published with another.
    """

    ion: str
    side: str
    surface_to_volume: float | Callable[[np.ndarray], Any] | None = None
    bath: float | None = None
    time_constant: float | None = None
    buffers: Sequence[Buffer] = ()
    diffusion: float | None = None
    faraday: float = FARADAY

    def __post_init__(self) -> None:
        check_name(self.ion, "ion")
        if self.side not in ("inside", "outside"):
            raise MembraneError(f"pool of {self.ion!r}: side={self.side!r}; inside or outside")
        what = f"pool {self.concentration}: "
        if self.surface_to_volume is None and self.side == "outside":
            raise MembraneError(
                f"{what}a space outside needs surface_to_volume, in 1/µm: 1/width of a narrow one"
            )
        for name, unit in (
            ("surface_to_volume", "1/um"),
            ("bath", "mM"),
            ("time_constant", "ms"),
            ("diffusion", "um^2/ms"),
            ("faraday", "C/mol"),
        ):
            value = getattr(self, name)
            if value is not None and not callable(value):
                value = quantity(value, unit, what + name, error=MembraneError, positive=True)
                object.__setattr__(self, name, value)
        if self.diffusion is not None and self.side != "inside":
            raise MembraneError(f"{what}diffusion along the axon is there for pools inside only")
        if (self.bath is None) != (self.time_constant is None):
            raise MembraneError(f"{what}an exchange needs both bath and time_constant")
        if not all_are(self.buffers, Buffer):
            raise MembraneError(f"{what}buffers={self.buffers!r}; give a sequence of Buffer")
        names = [buffer.name for buffer in self.buffers]
        if len(set(names)) < len(names):
            raise MembraneError(f"{what}two buffers have one name: {', '.join(names)}")
        object.__setattr__(self, "buffers", tuple(self.buffers))
        if callable(self.surface_to_volume):
            check_function(self.surface_to_volume, what + "surface_to_volume")

    @property
    def concentration(self) -> str:
        """Name of the concentration that moves, such as ``cai``."""
        return self.ion + self.side[0]

    def per_current(
        self, valence: int, diameter: np.ndarray, surface_to_volume: np.ndarray
    ) -> np.ndarray:
        """mM/ms for 1 mA/cm², of compartments of this diameter and 1/µm."""
        ratio: Any = self.surface_to_volume
        if ratio is None:
            ratio = surface_to_volume
        try:
            found = ratio(diameter) if callable(ratio) else ratio
            values = np.broadcast_to(np.asarray(found, np.float64), diameter.shape)
        except (TypeError, ValueError) as error:
            raise MembraneError(
                f"pool {self.concentration}: surface_to_volume could not be computed for each "
                f"diameter: {error}"
            ) from error
        if not np.all(np.isfinite(values) & (values > 0.0)):
            raise MembraneError(
                f"pool {self.concentration}: surface_to_volume is not positive everywhere"
            )
        # mA/cm² per C/mol is 1e-3 mol/(s cm²); times 1/µm, 1e4/cm, it is 1e4 mM/ms.
        sign = -1.0 if self.side == "inside" else 1.0
        return sign * 1e4 * values / (valence * self.faraday)
