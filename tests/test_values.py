"""The bases of values define what the standard library's do, at less cost."""

from __future__ import annotations

import pickle
import typing
from dataclasses import FrozenInstanceError, asdict, dataclass, fields, replace
from typing import Any

import pytest

from holdfast import Limits, Retries, Timeouts
from holdfast._values import NamedTuple, Value
from holdfast.pool.events import PoolEvent


@dataclass(frozen=True)
class Usual:
    """As the standard library makes it."""

    name: str
    size: int = 3


@dataclass(frozen=True, eq=False, repr=False)
class Ours(Value):
    """The same from ``Value``."""

    name: str
    size: int = 3


class UsualTuple(typing.NamedTuple):
    """As the standard library makes it."""

    name: str
    size: int | None = 3

    @property
    def twice(self) -> str:
        """Of a property."""
        return self.name * 2

    def __str__(self) -> str:
        return f"<{self.name}>"


class OurTuple(NamedTuple):
    """As the standard library makes it."""

    name: str
    size: int | None = 3

    @property
    def twice(self) -> str:
        """Of a property."""
        return self.name * 2

    def __str__(self) -> str:
        return f"<{self.name}>"


def test_a_value_is_shown_compared_and_hashed_as_a_dataclass_is() -> None:
    assert repr(Ours("a")) == repr(Usual("a")).replace("Usual", "Ours")
    assert Ours("a") == Ours("a", 3) != Ours("b")
    assert Ours("a") != Usual("a")
    assert hash(Ours("a")) == hash(Usual("a"))
    assert len({Ours("a"), Ours("a", 3), Ours("a", 4)}) == 2


def test_a_value_can_be_replaced_and_not_changed() -> None:
    assert replace(Ours("a"), size=4) == Ours("a", 4)
    assert asdict(Ours("a")) == {"name": "a", "size": 3}
    with pytest.raises(FrozenInstanceError):
        Ours("a").size = 5  # type: ignore[misc]  # it is frozen, for type checkers too


@pytest.mark.parametrize("value", [Limits(), Timeouts(), Retries(2), PoolEvent("opened", "http://a:80")], ids=repr)
def test_the_public_values_are_equal_by_their_fields_and_survive_a_pickle(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value == replace(value)
    assert hash(replace(value)) == hash(value)
    assert all(f"{field.name}={getattr(value, field.name)!r}" in repr(value) for field in fields(value))


def test_a_named_tuple_is_what_typing_makes() -> None:
    for made in (UsualTuple, OurTuple):
        assert made("a") == ("a", 3) == made(name="a", size=3)
        assert (made("a").twice, str(made("a")), made("a")._replace(size=4).size) == ("aa", "<a>", 4)
        assert (made._fields, made._field_defaults) == (("name", "size"), {"size": 3})
        assert made.__doc__ == "As the standard library makes it."
        assert made.__module__ == __name__
        assert typing.get_type_hints(made) == {"name": str, "size": int | None}
        assert pickle.loads(pickle.dumps(made("a"))) == made("a")
    assert repr(OurTuple("a")) == "OurTuple(name='a', size=3)"
