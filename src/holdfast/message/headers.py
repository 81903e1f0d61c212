"""Header fields: ordered, case-insensitive, repeatable.

Theory. One dictionary, from the lower-cased name to an immutable tuple of its fields, each ``(tick, name, value)``.
Ticks come from one counter for the whole process, so sorting by tick gives the order in which fields were added,
whatever names they have, and the same counter numbers the versions.

Guarantees:

* Any number of threads may read, also while another thread writes: every write is one store into the dictionary and
  every read that needs more than one name works on a snapshot of it. Writers of *different* names do not lose each
  other's fields. (Assumes that copying a dict and storing into it are atomic, as in CPython with and without its GIL.)
* ``version`` changes with every change, and no two different contents ever share one: an encoded block may be
  cached by it. A copy has its original's version until one of them is changed. During a change the version is negative,
  and a copy made then has one of its own: it may have the new fields, and must not pass them off as the old version's.
  (Only where two threads change the same Headers at the same moment can a third one's copy be mistaken for another.)
* What ``encode()`` returns cannot break out of its line: it was checked as the very bytes that are sent.

Nothing is checked for syntax before ``encode()``, because most Headers (a response's) are never sent. Headers that
came off the wire are decoded when they are first looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import count
from typing import Any, TypeVar

from ..exceptions import InvalidHeader
from .fields import cut, encode_name, encode_value, is_secret

Text = str | bytes
HeaderTypes = Mapping[str, Any] | Mapping[bytes, Any] | Iterable[tuple[Text, Any]] | None
_Field = tuple[int, str, str]
Kind = TypeVar("Kind", bound="Headers")
_Store = dict[str, tuple[_Field, ...]]

_ticks = count(1)


class Headers(MutableMapping[str, str]):
    """The fields of a message: a mapping from names, in any case, to values.

    ``headers[name]`` joins the values of a repeated field with ``", "`` (RFC 9110 section 5.3); ``get_list(name)``
    keeps them apart. Setting a name replaces all its fields and keeps the place of the first; setting it to None
    removes it. Names and values are str, or bytes, which are taken as ISO-8859-1.

    Args:
        source: a mapping (of two names that differ in case only, the last wins), or an iterable of pairs (every
            pair becomes a field), or None. A value of None means: no such field.

    Raises:
        InvalidHeader: a name or value is neither str nor bytes. Their syntax is checked by ``encode()``.

    Attributes:
        version: grows with every change; see the module docstring.
    """

    __slots__ = ("_loaded", "_raw", "version")

    version: int

    def __init__(self, source: HeaderTypes = None) -> None:
        self._raw: list[tuple[bytes, bytes]] = []
        self._loaded: _Store | None = {}
        self.version = next(_ticks)
        if source is not None:
            self.update(source)

    @classmethod
    def from_raw(cls: type[Kind], raw: list[tuple[bytes, bytes]]) -> Kind:
        """Headers over fields as they came off the wire. The list is kept, not copied, and must not be changed.

        Nothing is decoded before the first look; only that first look must not race with a change.
        """
        self = cls.__new__(cls)
        self._raw = raw
        self._loaded = None
        self.version = next(_ticks)
        return self

    def _store(self) -> _Store:
        # Two threads may both build the index here; either result is right and the last one stays.
        store = self._loaded
        if store is None:
            store = self._loaded = _index(self._raw)
        return store

    # -- one name

    def __getitem__(self, name: Text) -> str:
        fields = self._store()[_key(name)]
        return fields[0][2] if len(fields) == 1 else _joined(fields)

    def __setitem__(self, name: Text, value: Text | None) -> None:
        if value is None:
            self._drop(_key(name))
        else:
            self._replace(_text(name, "name"), _value(name, value))

    def __delitem__(self, name: Text) -> None:
        key = _key(name)
        if key not in self._store():
            raise KeyError(key)
        self._drop(key)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, (str, bytes)) and _key(name) in self._store()

    def add(self, name: Text, value: Text) -> None:
        """Append a field, beside those of the same name that are there already."""
        spelled, text = _text(name, "name"), _value(name, value)
        store = self._store()
        self.version = -next(_ticks)
        _append(store, spelled, text)
        self.version = next(_ticks)

    def get_list(self, name: Text) -> list[str]:
        """The values of every field of that name, in order; empty if there is none."""
        return [value for _, _, value in self._store().get(_key(name), ())]

    def _replace(self, name: str, value: str) -> None:
        store, key = self._store(), name.lower()
        before = store.get(key)
        self.version = -next(_ticks)
        store[key] = ((before[0][0] if before else next(_ticks), name, value),)
        self.version = next(_ticks)

    def _drop(self, key: str) -> None:
        store = self._store()
        if key in store:
            self.version = -next(_ticks)
            store.pop(key, None)
            self.version = next(_ticks)

    # -- all of them

    def __iter__(self) -> Iterator[str]:
        """The distinct names, each as it was spelled last, in the order of their first fields."""
        return iter([fields[-1][1] for fields in _snapshot(self._store())])

    def __len__(self) -> int:
        return len(self._store())

    def multi_items(self) -> list[tuple[str, str]]:
        """Every field as ``(name, value)``, in order, repeated ones included."""
        return [(name, value) for _, name, value in self._fields()]

    def lower_items(self) -> Iterator[tuple[str, str]]:
        """``(lower-cased name, joined value)`` of every distinct name."""
        return iter([(fields[0][1].lower(), _joined(fields)) for fields in _snapshot(self._store())])

    def _fields(self) -> list[_Field]:
        return sorted(field for fields in _snapshot(self._store()) for field in fields)

    def update(self, source: HeaderTypes = None, /, **more: Text | None) -> None:  # type: ignore[override]  # typeshed's has one overload for each
        """Replace the fields of every name that ``source`` or a keyword mentions; None removes the name.

        A name that occurs several times, in a Headers or in pairs, is replaced by all of those fields.

        Raises:
            InvalidHeader: a name or value is neither str nor bytes, or ``source`` holds no pairs.
        """
        if isinstance(source, Headers):
            self._put(source.multi_items(), _key)
        elif isinstance(source, Mapping):
            # Only a multi-mapping repeats a name; in a plain one two spellings of a name replace each other.
            self._put(source.items(), _as_spelled)
        elif source is not None:
            self._put(_pairs(source), _key)
        for name, value in more.items():
            self[name] = value

    def _put(self, pairs: Iterable[tuple[Text, Any]], identity: Callable[[Text], Text]) -> None:
        seen: set[Text] = set()
        for name, value in pairs:
            same = identity(name)
            if same in seen and value is not None:
                self.add(name, value)
            else:
                self[name] = value
                seen.add(same)

    def clear(self) -> None:
        """Remove every field."""
        self.version = -next(_ticks)
        self._loaded = {}
        self.version = next(_ticks)

    def copy(self) -> Headers:
        """An independent copy. It has the same version, because it has the same fields."""
        other = self.__class__.__new__(self.__class__)
        version = self.version
        other._raw = self._raw
        other._loaded = None if self._loaded is None else self._loaded.copy()
        other.version = version if version > 0 and version == self.version else next(_ticks)
        return other

    __copy__ = copy

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.__class__, (self.multi_items(),))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.lower_items()) == _lowered(other)

    __hash__ = None  # type: ignore[assignment]  # typeshed has a method there, and Python this

    def __repr__(self) -> str:
        return repr({name: self._shown(name) for name in self})

    def _shown(self, name: str) -> str:
        return "[secret]" if is_secret(name) else self.get(name, "")

    # -- to the wire

    def encode(self) -> list[tuple[bytes, bytes]]:
        """Every field as the bytes to send, in order.

        Raises:
            InvalidHeader: a name is not a token (RFC 9110 section 5.1); a value holds a control character other than
                a tab, begins or ends with whitespace, or is not ISO-8859-1 (section 5.5).
        """
        return encode_fields(self.multi_items())


def encode_fields(fields: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Fields as ``Headers.multi_items`` gives them, as the bytes to send; see ``Headers.encode``."""
    return [(encode_name(name), encode_value(name, value)) for name, value in fields]


def _snapshot(store: _Store) -> list[tuple[_Field, ...]]:
    return list(store.values())


def _index(raw: list[tuple[bytes, bytes]]) -> _Store:
    store: _Store = {}
    for name, value in raw:
        _append(store, name.decode("latin-1"), value.decode("latin-1"))
    return store


def _append(store: _Store, name: str, value: str) -> None:
    key = name.lower()
    store[key] = (*store.get(key, ()), (next(_ticks), name, value))


def _joined(fields: tuple[_Field, ...]) -> str:
    return ", ".join([value for _, _, value in fields])


def _lowered(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    if isinstance(mapping, Headers):
        return dict(mapping.lower_items())
    return {name.lower() if isinstance(name, str) else name: value for name, value in mapping.items()}


def _as_spelled(name: Text) -> Text:
    return name


def _key(name: Text) -> str:
    return _text(name, "name").lower()


def _text(given: Text, what: str) -> str:
    # The unbound methods: a subclass that gives another text each time it is asked must not get past the check.
    if type(given) is str:
        return given
    if isinstance(given, str):
        return str.__str__(given)
    if isinstance(given, bytes):
        return bytes.decode(given, "latin-1")
    raise InvalidHeader(f"a header's {what} must be str or bytes, not {type(given).__name__}")


def _value(name: Text, given: Text) -> str:
    if isinstance(given, (str, bytes)):
        return _text(given, "value")
    raise InvalidHeader(
        f"header {cut(_text(name, 'name'))}: the value must be str or bytes, not {type(given).__name__};"
        " to repeat a field use add()"
    )


def _pairs(source: Any) -> Iterator[tuple[Text, Any]]:
    if isinstance(source, (str, bytes)) or not isinstance(source, Iterable):
        raise InvalidHeader(f"headers must be a mapping or an iterable of pairs, not {type(source).__name__}")
    for pair in source:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InvalidHeader(f"headers must be (name, value) pairs, one of them is {type(pair).__name__}")
        yield pair[0], pair[1]
