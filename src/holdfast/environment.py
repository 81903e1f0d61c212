"""What the environment says of proxies and certificate authorities: which proxy leads to a URL, if any.

Laws:

1. ``proxies=`` of the call goes over the variables, and these over the client's ``proxies``: key by key, as in requests,
   so that a script keeps the proxy it had. ``trust_env=False`` takes the variables out of it. For certificate
   authorities the program comes first: an explicit ``verify`` is never overruled.
2. A proxy is chosen for one URL, anew for every request and every hop of a redirect.
3. A snapshot never changes, and holds for as long as the variables it was made of are what they were.

Keys of ``proxies``, the first that is there counts, as in requests: ``scheme://host``, ``scheme``, ``all://host``,
``all``. A value of None takes that key away from the mappings below; ``""`` means no proxy, whatever the keys after it
say. A key ``no_proxy`` stands in for the variable of that name; it has no say over the other keys.

Variables, the lower-case name first. One that is set but empty silences its upper-case twin, but for no_proxy: there an empty one
counts as not set, as in requests and in curl (urllib differs):

=========================================  ==================================================================
http_proxy, https_proxy, all_proxy         the proxy for URLs of that scheme, or for all. HTTP_PROXY in capitals is
                                           ignored where REQUEST_METHOD is set: CGI servers put a request's
                                           ``Proxy`` field there (CVE-2016-1000110)
no_proxy                                   hosts that the variables above are not for, see ``NoProxy``
REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE         certificate authorities, where ``verify`` is True: the first that is set and not
                                           empty, a file or a directory
SSL_CERT_FILE, SSL_CERT_DIR                the same where neither of those is: both together, as for OpenSSL. The second is a
                                           list of directories, separated as those of PATH. Those that are not there do not
                                           matter as long as one of all these is
=========================================  ==================================================================

What it costs. Nearly always none of these is set, and four look-ups in the dictionary behind ``os.environ`` say so.
Otherwise the values are compared with those the last snapshot was made of. The dictionary is os.environ's own, private
one: its public methods encode the name at every look-up and cost twenty times as much. System-wide settings of macOS
and Windows are not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._values import NamedTuple
from .exceptions import InvalidRequest

if TYPE_CHECKING:
    from .message.url import Url

MAX_REMEMBERED = 1024  # origins for which a snapshot remembers its choice
LOOK_AGAIN = 1.0  # seconds for which a Watch believes what it saw

_BUNDLE_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OPENSSL_NAMES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_CA_NAMES = _BUNDLE_NAMES + _OPENSSL_NAMES
_NAMES = (
    *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
    *("REQUEST_METHOD", *_CA_NAMES),
)

_values: Any = getattr(os.environ, "_data", os.environ)
_encode: Callable[[str], Any] = getattr(os.environ, "encodekey", str) if _values is not os.environ else str
_KEYS = tuple(_encode(name) for name in _NAMES)
_ONE_CASE = _KEYS[0] == _KEYS[1]  # Platform-specific: Windows knows one case of names only


# -- is anything said at all? ------------------------------------------------------------------------------------------


def _any_of(*names: str) -> Callable[[], bool]:
    """A question whether any of four variables is set. Every request asks: its names are locals, which cost least."""
    a, b, c, d = (_encode(name) for name in names)

    def is_any_set(values: Any = _values, a: Any = a, b: Any = b, c: Any = c, d: Any = d) -> bool:
        return a in values or b in values or c in values or d in values

    return is_any_set


may_proxy_http = _any_of("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
"""Whether a variable may name a proxy for http URLs. False means that ``snapshot()`` need not be asked."""

may_proxy_https = _any_of("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""The same for https URLs."""

may_name_authorities = _any_of(*_CA_NAMES)
"""Whether a variable may say where certificate authorities are."""


# -- what is said ------------------------------------------------------------------------------------------------------


class UnusableAuthorities(InvalidRequest):
    """Nothing was sent: the certificate authorities that the environment names cannot be read.

    Attributes:
        path: what cannot be read.
    """

    def __init__(self, *args: Any, path: str = "", **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.path = path


class Authorities(NamedTuple):
    """Where certificate authorities are, and which variable says so, or which two."""

    variable: str
    paths: tuple[str, ...]

    @property
    def usable(self) -> tuple[str, ...]:
        """Those of several paths that are there; all if none is, for the error to name."""
        if len(self.paths) == 1:
            return self.paths
        return tuple(path for path in self.paths if os.path.exists(path)) or self.paths


class Environment:
    """What the variables say. Immutable, but for what it remembers having worked out.

    Attributes:
        proxies: by ``"http"``, ``"https"`` and ``"all"``; without those that are not set.
        no_proxy: the text of that variable, ``""`` if it is not set.
        authorities: None if no variable names any.
    """

    __slots__ = ("_found", "authorities", "no_proxy", "proxies")

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.proxies: Mapping[str, str] = _proxies_of(variables)
        self.no_proxy = variables.get("no_proxy") or variables.get("NO_PROXY") or ""
        self.authorities = _authorities_of(variables)
        self._found: dict[Any, Mapping[str, str]] = {}

    def proxies_for(self, url: Url, no_proxy: str | None = None) -> Mapping[str, str]:
        """``proxies``, or nothing where no_proxy has the URL's host.

        Args:
            no_proxy: instead of the variable.
        """
        if no_proxy is not None:
            return self._unless_covered(url, no_proxy)
        try:
            return self._found[url.origin]
        except KeyError:
            if len(self._found) >= MAX_REMEMBERED:
                self._found.clear()
            found = self._found[url.origin] = self._unless_covered(url, self.no_proxy)
            return found

    def _unless_covered(self, url: Url, no_proxy: str) -> Mapping[str, str]:
        return {} if no_proxy and NoProxy(no_proxy).covers(url) else self.proxies

    def __repr__(self) -> str:
        # Not the proxies themselves: they hold passwords.
        return f"<Environment proxies for {sorted(self.proxies)}, authorities={self.authorities!r}>"


def _proxies_of(variables: Mapping[str, str]) -> dict[str, str]:
    is_cgi = "REQUEST_METHOD" in variables
    found = {}
    for scheme in ("http", "https", "all"):
        lower, upper = f"{scheme}_proxy", f"{scheme.upper()}_PROXY"
        # Where case is not told apart, neither name can be trusted inside a CGI program.
        trusted = not (scheme == "http" and is_cgi)
        value = variables.get(lower) if trusted or not _ONE_CASE else ""
        if value is None and trusted:
            value = variables.get(upper)
        if value:
            found[scheme] = value
    return found


def _authorities_of(variables: Mapping[str, str]) -> Authorities | None:
    for name in _BUNDLE_NAMES:
        if variables.get(name):
            return Authorities(name, (variables[name],))
    file, directories = (variables.get(name, "") for name in _OPENSSL_NAMES)
    paths = tuple(path for path in (file, *directories.split(os.pathsep)) if path)
    names = [name for name in _OPENSSL_NAMES if variables.get(name)]
    return Authorities(" and ".join(names), paths) if paths else None


_last: tuple[tuple[Any, ...], Environment] = ((None,) * len(_KEYS), Environment({}))


def snapshot() -> Environment:
    """What the variables say now: the same object as last time unless one of them has changed."""
    global _last
    found = tuple(map(_values.get, _KEYS))
    last = _last
    if found == last[0]:
        return last[1]
    variables = {name: os.fsdecode(value) for name, value in zip(_NAMES, found, strict=True) if value is not None}
    # One store of both, so that a thread sees the old pair or the new one.
    _last = last = (found, Environment(variables))
    return last[1]


# -- choosing ----------------------------------------------------------------------------------------------------------


def choose_proxy(url: Url, call: Any = None, client: Any = None, *, trust_env: bool = True) -> Any:
    """The proxy that leads to ``url``, as it was written, or None for none.

    Args:
        call, client: mappings as described above, or None; neither is changed.
        trust_env: whether the variables have a say.

    Raises:
        InvalidRequest: ``call`` or ``client`` is no mapping.
    """
    for proxies in (call, client):
        if proxies is not None and not isinstance(proxies, Mapping):
            raise InvalidRequest(
                f"proxies must be a dict such as {{'https': 'http://proxy:3128'}}, not {type(proxies).__name__}"
            )
    said = snapshot().proxies_for(url, _merged(client, call).get("no_proxy")) if trust_env else None
    return select_proxy(url, _merged(_merged(client, said), call))


def _merged(lower: Any, upper: Any) -> Mapping[str, Any]:
    return {**lower, **upper} if lower and upper else lower or upper or {}


def select_proxy(url: Url, proxies: Mapping[str, Any]) -> Any:
    """The proxy this mapping has for the URL, or None: requests' order of keys. Pure."""
    for key in (f"{url.scheme}://{url.host}", url.scheme, f"all://{url.host}", "all"):
        proxy = proxies.get(key)  # one look: the client's own mapping may be changed meanwhile
        if proxy is not None:
            return proxy or None
    return None


class NoProxy:
    """The hosts of a no_proxy list.

    Entries are separated by commas or white space, upper and lower case are the same, and an entry may end in
    ``:port``, which is compared with the port in use, written or not:

    ====================================  =============================================================================
    ``*``                                 every host
    ``example.com``, ``.example.com``,    that host and all below it. ``badexample.com`` is not below it. A final dot
    ``*.example.com``                     does not matter
    ``192.0.2.7``, ``2001:db8::7``        that address, however the URL writes it; ``[2001:db8::7]:8080`` with a port
    ``192.0.2.0/24``, ``2001:db8::/32``   addresses of that network; never names, which are not looked up
    ====================================  =============================================================================

    An address is never taken for a name, nor its zone for a domain (CVE-2025-22870). What is none of these is ignored.
    """

    __slots__ = ("_entries",)

    def __init__(self, text: str) -> None:
        self._entries = [entry for part in text.lower().replace(",", " ").split() for entry in _understood(part)]

    def covers(self, url: Url) -> bool:
        """Whether this URL's host is in the list."""
        host: Any = address_of(url.host) or url.host.rstrip(".")
        return any(_matches(entry, host) for entry, port in self._entries if port is None or port == url.port)


def _matches(entry: Any, host: Any) -> bool:
    """``entry``: "*", a name, or a network; ``host``: a name or an address."""
    if entry == "*":
        return True
    if isinstance(entry, str):
        return isinstance(host, str) and (host == entry or host.endswith("." + entry))
    return not isinstance(host, str) and host in entry


def _understood(text: str) -> list[tuple[Any, int | None]]:
    """One entry of a list as [(name or network, port or None)]; [] if it is no entry."""
    name, port = _split_port(text)
    if port is not None and not (port.isascii() and port.isdigit() and len(port) <= 5):
        return []
    where = _network(name) or _name(name)
    return [(where, None if port is None else int(port))] if where else []


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        return (address, rest[1:]) if rest.startswith(":") else (address + rest, None)
    name, colon, port = text.partition(":")
    return (text, None) if not colon or ":" in port else (name, port)


def _name(text: str) -> str:
    """A name as hosts are compared with it, ``""`` if it cannot be one."""
    name = text if text == "*" else text.removeprefix("*.").strip(".")
    return "" if any(char in name for char in "/:[]") or ("*" in name and name != "*") else name


def _network(text: str) -> Any:
    """The network of an address or a CIDR block; None if it is neither."""
    address, slash, bits = text.partition("/")
    if not slash:
        address, bits = str(address_of(address) or ""), ""
    if not _may_be_address(address):
        return None
    import ipaddress

    try:
        return ipaddress.ip_network(f"{_plain(address)}{slash}{bits}", strict=False)
    except ValueError:
        return None


def address_of(host: str) -> Any:
    """The address a host is, in one of the forms that sockets take; None if it is a name."""
    if not _may_be_address(host):
        return None
    import ipaddress

    try:
        address = ipaddress.ip_address(_plain(host))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address  # ::ffff:192.0.2.7 leads to 192.0.2.7


def _may_be_address(text: str) -> bool:
    return ":" in text or text[:1].isdigit()


def _plain(address: str) -> str:
    """An address without its zone; an IPv4 one in four decimal numbers, for sockets take 127.1 and 0x7f000001 too."""
    if ":" in address:
        return address.partition("%")[0]
    parts = address.split(".")
    numbers = [_number(part) for part in parts]
    if len(parts) > 4 or any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(parts)):
        raise ValueError("not an IPv4 address")
    packed = bytes(numbers[:-1]) + numbers[-1].to_bytes(5 - len(parts), "big")
    return ".".join(str(byte) for byte in packed)


def _number(text: str) -> int:
    """One part of an IPv4 address, as inet_aton reads it: 0x for hexadecimal, a leading 0 for octal."""
    if not text.isascii() or not text.isalnum() or len(text) > 12:
        raise ValueError("not a number")
    return int(text, 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10)


def explain_authorities(error: OSError, authorities: Authorities) -> UnusableAuthorities:
    """The same error, saying which variable named the path."""
    which = "" if len(authorities.paths) == 1 else ", and neither can any other of these"
    return UnusableAuthorities(
        f"{error.strerror}: {error.filename!r} (the path is that of {authorities.variable}{which}). "
        "Unset the variable, or say verify= what to trust",
        path=error.filename,
    )


# -- what lies in files ------------------------------------------------------------------------------------------------


def watch(look: Callable[[], Any], variable: str, clock: Callable[[], float]) -> Callable[[], Any]:
    """A function that returns what ``look`` does, and asks it again after ``LOOK_AGAIN`` seconds at the latest.

    For what costs system calls. Until it is asked again, the very same object is returned. The variables of a closure
    cost less than the attributes of an object, and this is asked for every request.

    Args:
        look: returns a value that differs when the thing has changed.
        variable: the name of the one that says where it is; when that changes, ``look`` is asked at once.
        clock: seconds, monotonic.
    """
    key, get = _encode(variable), _values.get
    state: tuple[float, Any, Any] = (float("-inf"), None, None)  # always stored as one: threads come in between

    def seen() -> Any:
        nonlocal state
        until, value, found = state
        now = clock()
        # "is": a variable that was set again has another object, and looking once too often does no harm.
        if now < until and get(key) is value:
            return found
        before = get(key)
        found = look()
        state = (now + LOOK_AGAIN, before, found)
        return found

    return seen
