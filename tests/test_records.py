"""Records behave as the frozen dataclasses that they are in the place of."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon.records import Record, Value


@dataclass(frozen=True)
class Twin:
    """What Python makes of it."""

    a: int
    b: str = "b"
    secret: object = field(default=None, repr=False)
    note: str = field(default="", compare=False)


class Ours(Value):
    """The same as a record."""

    a: int
    b: str = "b"
    secret: object = field(default=None, repr=False)
    note: str = field(default="", compare=False)


class Plain(Record):
    """Compared by identity, as what holds arrays must be."""

    values: np.ndarray
    total: float = field(init=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 1:
            raise ValueError("one dimension")
        object.__setattr__(self, "total", float(self.values.sum()))

    @cached_property
    def doubled(self) -> np.ndarray:
        return 2 * self.values


class Further(Ours):
    """One that has more."""

    c: float = 1.0


contents = st.tuples(
    st.integers(0, 2),
    st.sampled_from("ab"),
    st.sampled_from([None, 1, (2,)]),
    st.sampled_from("xy"),
)


@given(contents, contents)
def test_equality_and_hashes_are_those_of_a_dataclass(one, other):
    assert (Ours(*one) == Ours(*other)) == (Twin(*one) == Twin(*other))
    assert hash(Ours(*one)) == hash(Twin(*one))


@given(contents)
def test_it_shows_what_a_dataclass_shows(one):
    assert repr(Ours(*one)) == repr(Twin(*one)).replace("Twin", "Ours")


def test_it_is_a_dataclass():
    assert is_dataclass(Ours) and is_dataclass(Further)
    assert [f.name for f in fields(Further)] == ["a", "b", "secret", "note", "c"]
    assert replace(Further(1, c=2.0), a=3) == Further(3, c=2.0)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        Ours()


def test_another_class_is_never_equal():
    assert Ours(1) != Further(1)
    assert Ours(1) != Twin(1)
    assert Ours(1) != (1, "b", None, "")


def test_what_cannot_be_hashed_says_so():
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        hash(Ours(1, secret=[]))


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (np.array([1.0, 2.0]), True),
        (np.array([1.0, 3.0]), False),
        (np.array([1.0]), False),
        (np.array([]), False),
        (1.0, False),
        (None, False),
        ([1.0, 2.0], False),
    ],
)
def test_values_in_arrays_are_compared_one_by_one(other, equal):
    ours = Ours(1, secret=np.array([1.0, 2.0]))
    assert (ours == Ours(1, secret=other)) is equal
    assert (Ours(1, secret=other) == ours) is equal
    assert (Ours(1, secret=(ours,)) == Ours(1, secret=(Ours(1, secret=other),))) is equal
    assert Ours(1, secret=np.float64(2.0)) == Ours(1, secret=2.0)


@pytest.mark.parametrize("name", ["a", "b", "unknown"])
def test_nothing_can_be_set_or_deleted(name):
    ours = Ours(1)
    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(ours, name, 2)
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(ours, name)
    assert ours == Ours(1)


def test_it_sets_fields_of_its_own_and_remembers_what_it_computes():
    plain = Plain(np.arange(3.0))
    assert plain.total == 3.0 and plain.doubled is plain.doubled
    with pytest.raises(ValueError, match="one dimension"):
        Plain(np.zeros((2, 2)))


def test_what_holds_arrays_is_equal_to_itself_alone():
    plain = Plain(np.arange(3.0))
    assert plain == plain and plain != Plain(plain.values)
    assert len({plain, Plain(plain.values)}) == 2


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_and_pickles(again):
    assert again(Further(1, "a", (2,), "x", 3.0)) == Further(1, "a", (2,), "y", 3.0)
    assert again(Plain(np.arange(3.0))).total == 3.0


def test_one_that_holds_itself_can_be_shown():
    held: list[object] = []
    ours = Further(1, held)  # type: ignore[arg-type]
    held.append(ours)
    assert repr(ours) == "Further(a=1, b=[...], note='', c=1.0)"
