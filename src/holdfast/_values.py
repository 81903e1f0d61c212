"""Bases of values that cost little to define. What defining them all in the usual way costs is paid at every import.

A dataclass compiles each of its methods from text: those that can be the same for all are here once. ``typing.NamedTuple`` compiles
each annotation, to check it: here that is left to type checkers.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any


class Value:
    """Base of a ``dataclass(frozen=True, eq=False, repr=False)``: equality, hash and repr, which are those of any dataclass."""

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _contents(self) == _contents(other)

    def __hash__(self) -> int:
        return hash(_contents(self))

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)  # type: ignore[attr-defined]  # the dataclass has them
        return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _contents(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in value.__dataclass_fields__)


class _Naming(type):
    """Makes what ``class X(NamedTuple)`` says into a named tuple, as ``typing.NamedTuple`` does."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, body)
        fields = body.pop("__annotations__", {})
        defaults = [body.pop(field) for field in fields if field in body]
        made = namedtuple(name, fields, defaults=defaults, module=body.pop("__module__"))  # type: ignore[misc]  # made at run time
        made.__annotations__ = made.__new__.__annotations__ = fields
        for key, value in body.items():
            setattr(made, key, value)
        return made


if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    NamedTuple = _Naming("NamedTuple", (), {})
