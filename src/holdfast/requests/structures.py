"""``structures`` as requests has it: a dictionary that ignores case, and one whose items are its attributes.

``Headers``, which is what requests and responses have here, counts as a ``CaseInsensitiveDict``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

from ..message.headers import Headers

__all__ = ["CaseInsensitiveDict", "LookupDict"]

V = TypeVar("V")


class CaseInsensitiveDict(MutableMapping[str, V]):
    """A dictionary of any values whose keys are equal if they differ in case only; it shows the case set last.

    Args:
        data: a mapping or an iterable of pairs.
        kwargs: further items.
    """

    def __init__(self, data: Mapping[str, V] | Iterable[tuple[str, V]] | None = None, **kwargs: V) -> None:
        self._store: dict[str, tuple[str, V]] = {}
        self.update({} if data is None else data, **kwargs)

    def __setitem__(self, key: str, value: V) -> None:
        self._store[key.lower()] = (key, value)

    def __getitem__(self, key: str) -> V:
        return self._store[key.lower()][1]

    def __delitem__(self, key: str) -> None:
        del self._store[key.lower()]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._store.values())

    def __len__(self) -> int:
        return len(self._store)

    def lower_items(self) -> Iterator[tuple[str, V]]:
        """``(lower-case key, value)`` pairs."""
        return ((key, value) for key, (_, value) in self._store.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.lower_items()) == dict(CaseInsensitiveDict(other).lower_items())

    __hash__ = None  # type: ignore[assignment]  # typeshed has a method there, and Python this

    def copy(self) -> CaseInsensitiveDict[V]:
        """An independent copy."""
        return CaseInsensitiveDict(self._store.values())

    def __repr__(self) -> str:
        return str(dict(self.items()))


CaseInsensitiveDict.register(Headers)


class LookupDict(dict[str, V]):
    """Attributes that can be looked up as items, too; an item that is not there is None.

    Args:
        name: what ``repr()`` calls it.
    """

    def __init__(self, name: Any = None) -> None:
        super().__init__()
        self.name = name

    def __getattr__(self, key: str) -> V:
        # For type checkers: attributes that exist never come here.
        raise AttributeError(f"{self!r} has no {key!r}")

    def __getitem__(self, key: str) -> V | None:  # type: ignore[override]  # requests' own: a missing item is None
        return self.__dict__.get(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a name, or ``default``."""
        return self.__dict__.get(key, default)

    def __repr__(self) -> str:
        return f"<lookup '{self.name}'>"
