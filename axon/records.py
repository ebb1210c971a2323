"""Frozen dataclasses that cost little to define.

``@dataclass(frozen=True)`` compiles six methods for each class, half a millisecond: of what it
takes to import all that a simulation needs, that is half. Subclasses of `Record` are dataclasses
for which one is compiled, ``__init__``; the others are written here, once for all of them.
"""

from __future__ import annotations

from dataclasses import Field, FrozenInstanceError, dataclass, field, fields
from reprlib import recursive_repr
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(eq_default=False, frozen_default=True, field_specifiers=(field,))
class Record:
    """What can't be changed once it has been made.

    Raises
    ------
    FrozenInstanceError
        If an attribute is set or deleted.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclass(eq=False, repr=False)(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        # Each field is set once, by __init__.
        if name in self.__dict__ or name not in self.__dataclass_fields__:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @recursive_repr()
    def __repr__(self) -> str:
        shown = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
        return f"{type(self).__qualname__}({', '.join(shown)})"


class Value(Record):
    """A record that equals another of its class which holds the same, be it in arrays.

    Its hash is that of what it holds, if all of that has one.
    """

    def _compared(self) -> tuple[Any, ...]:
        return tuple(getattr(self, each.name) for each in fields(self) if each.compare)

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(map(_same, self._compared(), other._compared()))

    def __hash__(self) -> int:
        return hash(self._compared())


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    shape = getattr(one, "shape", ())
    if shape != getattr(other, "shape", ()):
        return False
    return bool((one == other).all()) if shape else bool(one == other)
