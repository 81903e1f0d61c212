"""URLs: what is connected to, what goes on the request line, and what is shown, all from one parse.

Law. The host that is looked up, named in the Host field, sent as SNI, and compared for credentials, cookies and
proxies is the same string, ``Url.host``, made here and nowhere else. Whatever two parsers are known to read
differently (a backslash before the path, a tab, ``%2f`` in a host, full-width letters) is refused, so that a check
made with another parser cannot be walked around. Of several ``@`` the last one ends the userinfo, as in requests, Go
and browsers; in the normal form the others are ``%40``, and it has one.

Theory. RFC 3986, in the normal form requests gives a URL: lower-case scheme and host, no dot segments, characters
that are not allowed percent-encoded as UTF-8, valid escapes kept, escapes of unreserved characters decoded. The
normal form is a fixed point: parsing ``url.text`` gives ``url`` again, and that is how a Url is pickled. Each
component is one pass over its text and nothing is tried twice, so 64 KB of malice cost milliseconds.

Where it differs from requests (tests/message/test_url_like_requests.py holds each to the installed one):

* refused, besides the above: port 0, which requests silently makes the default one; a host that DNS has no room for,
  or with characters RFC 3986 does not allow in it;
* an IPv6 zone is always written ``%25zone`` (RFC 6874), and does not spoil the escapes of the path;
* ``%2e%2e`` is a dot segment, as in RFC 3986 and in browsers, and ``/..//a`` is ``//a``;
* in a str given as ``params``, a bare ``%`` and a ``#`` are escaped: they cannot change what the URL before them means.
"""

from __future__ import annotations

import re
from _socket import AF_INET6, inet_aton, inet_pton  # socket is loaded by what connects
from functools import lru_cache
from typing import Any, NoReturn

from ..exceptions import InvalidRequest, InvalidSchema, InvalidURL, MissingSchema

DEFAULT_PORTS = {"http": 80, "https": 443}

_ESCAPES = [f"%{byte:02X}" for byte in range(256)]


def _escapes_outside(allowed: str) -> dict[int, str]:
    """What ``str.translate`` needs to escape every byte that is not allowed; ``%`` is seen to separately."""
    kept = {*allowed.encode(), ord("%")}
    return {byte: escape for byte, escape in enumerate(_ESCAPES) if byte not in kept}


_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_SUB_DELIMS = "!$&'()*+,;="
# RFC 3986 sections 3.2.1, 3.3 and 3.4; a fragment (3.5) allows what a query does.
_IN_USERINFO = _escapes_outside(f"{_UNRESERVED}{_SUB_DELIMS}:")
_IN_PATH = _escapes_outside(f"{_UNRESERVED}{_SUB_DELIMS}:@/")
_IN_QUERY = _escapes_outside(f"{_UNRESERVED}{_SUB_DELIMS}:@/?")
_NOT_IN_HOST = re.compile(f"[^{re.escape(_UNRESERVED + _SUB_DELIMS)}]")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_START = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//")
_AUTHORITY = re.compile(r"//([^/?#]*)")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED_ESCAPE = re.compile("%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
_STRIPPED_BY_BROWSERS = re.compile("[\t\r\n]")
_HEX_AND_COLONS = re.compile("[0-9A-Fa-f:.]+")
_HEX_AND_DOTS = re.compile("[0-9A-Fa-fXx.]+")
_NUMBER = re.compile("[0-9]+|0[Xx][0-9A-Fa-f]*")
_ZONE = re.compile(f"[{re.escape(_UNRESERVED)}]+")
_DIGITS = re.compile("[0-9]+")

_MAX_HOST = 253  # octets of a domain name without its final dot: RFC 1035 section 3.1, less the length octets
_MAX_LABEL = 63
_CACHED_URLS = 1024
_MAX_CACHED_LENGTH = 2048


class Url:
    """An http or https URL: immutable, normalised, hashable. Made by ``Url.parse``, never by calling the class.

    Attributes:
        scheme: ``"http"`` or ``"https"``.
        host: ASCII, lower-case; an IPv6 address without brackets, with ``%zone`` if it has one; an A-label for
            an internationalised name.
        port: the explicit port or the scheme's default, 1 to 65535.
        origin: ``(scheme, host, port)`` (RFC 6454).
        target: path and query in origin-form (RFC 9112 section 3.2.1), as sent on the request line.
        host_header: value of the Host field: without a default port, without a zone (RFC 6874 section 4), an IPv6
            address in brackets.
        username, password: percent-decoded; None when absent.
        path: percent-encoded, at least ``"/"``.
        query: percent-encoded, None when absent or empty.
        fragment: percent-encoded, ``""`` when absent.
        text: all of it, userinfo and fragment included; also ``str(url)``. Show ``safe_text`` instead.
    """

    __slots__ = (
        "_authority",
        "fragment",
        "host",
        "host_header",
        "origin",
        "password",
        "path",
        "port",
        "query",
        "scheme",
        "target",
        "text",
        "username",
    )

    scheme: str
    host: str
    port: int
    origin: tuple[str, str, int]
    target: bytes
    host_header: bytes
    username: str | None
    password: str | None
    path: str
    query: str | None
    fragment: str
    text: str
    _authority: _Authority

    def __init__(self, authority: _Authority, path: str, query: str | None, fragment: str) -> None:
        store = object.__setattr__
        store(self, "_authority", authority)
        for name in _Authority.SHARED:
            store(self, name, getattr(authority, name))
        target = f"{path}?{query}" if query else path
        store(self, "path", path)
        store(self, "query", query or None)
        store(self, "fragment", fragment)
        store(self, "target", target.encode("ascii"))
        store(self, "text", f"{authority.prefix}{target}#{fragment}" if fragment else authority.prefix + target)

    @staticmethod
    def parse(text: str | bytes | Url) -> Url:
        """The Url that ``text`` means; what was parsed lately is remembered.

        Args:
            text: an absolute URL; bytes are UTF-8; of any other object, its ``str()``. Leading whitespace is ignored.

        Raises:
            MissingSchema: it has no scheme.
            InvalidSchema: its scheme is neither http nor https.
            InvalidURL: it has no host, or cannot be understood, or would be understood differently by others.
        """
        if type(text) is str:
            return _parse_cached(text) if len(text) <= _MAX_CACHED_LENGTH else _parse(text)
        return text if isinstance(text, Url) else Url.parse(_as_text(text))

    @property
    def safe_text(self) -> str:
        """``text`` with ``[secret]`` in place of user name and password: for messages, logs and reprs."""
        authority = self._authority
        return authority.safe_prefix + self.text[len(authority.prefix) :]

    def join(self, location: str | bytes) -> Url:
        """The Url that a reference found at this one means (RFC 3986 section 5.2), such as a Location field's value.

        Args:
            location: absolute or relative. Bytes, and str of ISO-8859-1 characters, are read as UTF-8 if they are
                valid UTF-8; otherwise each such byte is percent-encoded.

        Raises:
            InvalidSchema, InvalidURL: as for ``parse``.
        """
        reference = as_location(location).strip(" \t\r\n")
        scheme = _SCHEME.match(reference)
        if scheme is not None:
            if scheme[1].lower() != self.scheme:
                return Url.parse(reference)
            # Of "http:path" too: RFC 3986 section 5.2.2 lets it count as relative, and requests and browsers do.
            reference = reference[scheme.end() :]
        authority = _AUTHORITY.match(reference)
        if authority is not None:
            if authority[1]:
                return Url.parse(f"{self.scheme}:{reference}")
            # "http:///path" has no host, and requests takes it as the path alone: it stays with this host.
            reference = reference[2:]
            if reference.startswith("//"):
                _refuse(as_location(location), "No host supplied: four slashes, which parsers read differently")
        _refuse_stripped(reference)
        return self._resolve(reference)

    def _resolve(self, reference: str) -> Url:
        path, query, fragment = _split_tail(reference)
        if path.startswith("/"):
            return Url(self._authority, _without_dots(path), query, fragment)
        if path:
            return Url(self._authority, _without_dots(self.path[: self.path.rindex("/") + 1] + path), query, fragment)
        has_query = reference.startswith("?")
        return Url(self._authority, self.path, query if has_query else self.query, fragment)

    def with_params(self, params: Any) -> Url:
        """This URL with ``params`` appended to its query, encoded as requests does.

        Args:
            params: a mapping or an iterable of pairs, encoded by ``quote_plus`` as UTF-8; a list of values repeats
                the name, None drops it. Or a str or bytes that is a query already.

        Raises:
            InvalidRequest: ``params`` is none of these.
        """
        added = _encode_params(params)
        if not added:
            return self
        return Url(self._authority, self.path, f"{self.query}&{added}" if self.query else added, self.fragment)

    def with_fragment(self, fragment: str) -> Url:
        """This URL with another fragment; ``""`` removes it."""
        return Url(self._authority, self.path, self.query, _quoted(fragment, _IN_QUERY))

    def without_userinfo(self) -> Url:
        """This URL without user name and password."""
        authority = self._authority
        if not authority.userinfo:
            return self
        bare = _Authority(self.scheme, "", self.host, authority.explicit_port)
        return Url(bare, self.path, self.query, self.fragment)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Url does not change; there is no setting {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Url does not change; there is no deleting {name}")

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Url) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Url {self.safe_text}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Url.parse, (self.text,))


class _Authority:
    """Everything of a Url that its path, query and fragment do not change."""

    __slots__ = (
        "explicit_port",
        "host",
        "host_header",
        "origin",
        "password",
        "port",
        "prefix",
        "safe_prefix",
        "scheme",
        "userinfo",
        "username",
    )
    SHARED = ("scheme", "host", "port", "origin", "host_header", "username", "password")

    def __init__(self, scheme: str, userinfo: str, host: str, explicit_port: int | None) -> None:
        default = DEFAULT_PORTS[scheme]
        self.scheme = scheme
        self.userinfo = userinfo
        self.host = host
        self.explicit_port = explicit_port
        self.port = explicit_port or default
        self.origin = (scheme, host, self.port)
        self.username, self.password = _credentials(userinfo)
        address, _, zone = host.partition("%")
        bracketed = f"[{address}]" if ":" in address else address
        self.host_header = (bracketed if self.port == default else f"{bracketed}:{self.port}").encode("ascii")
        netloc = f"[{address}%25{zone}]" if zone else bracketed
        if explicit_port is not None:
            netloc = f"{netloc}:{explicit_port}"
        self.prefix = f"{scheme}://{userinfo}@{netloc}" if userinfo else f"{scheme}://{netloc}"
        self.safe_prefix = f"{scheme}://[secret]@{netloc}" if userinfo else self.prefix


# -- addresses


def is_ip_address(host: str) -> bool:
    """Whether sockets take ``host`` for an IP address, so that no resolver is asked: what connecting has to know.

    Args:
        host: as in ``Url.host``: IPv6 without brackets, perhaps with a ``%zone``; IPv4 in any form of inet_aton (``127.1``,
            ``0x7f000001``).
    """
    if ":" not in host:
        return _is_ipv4(host)
    address, percent, zone = host.partition("%")
    return _is_ipv6(address) and (zone != "" or not percent)


def may_be_ip_address(host: str) -> bool:
    """Whether ``host`` is an IP address, or one that some parser takes for one: what policies about names have to know.

    No name of the DNS ends in a number (RFC 3696 section 2), so what does is an address, right or wrong ("ends in a number",
    URL standard section 3.5). A final dot does not matter.
    """
    return ":" in host or _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) is not None


def _is_ipv4(address: str) -> bool:
    # Not any text: inet_aton does not mind what follows a space.
    if not _HEX_AND_DOTS.fullmatch(address):
        return False
    try:
        inet_aton(address)
    except OSError:
        return False
    return True


def _is_ipv6(address: str) -> bool:
    if not _HEX_AND_COLONS.fullmatch(address):
        return False
    try:
        inet_pton(AF_INET6, address)
    except OSError:
        return False
    return True


# -- parsing


def _parse(text: str) -> Url:
    text = text.lstrip()
    scheme, rest = _split_scheme(text)
    _refuse_stripped(text)
    authority = _AUTHORITY.match(rest)
    if authority is None or not authority[1]:
        _refuse(text, "No host supplied")
    path, query, fragment = _split_tail(rest[authority.end() :])
    return Url(_parse_authority(text, scheme, authority[1]), _without_dots(path or "/"), query, fragment)


_parse_cached = lru_cache(maxsize=_CACHED_URLS)(_parse)


def _as_text(given: object) -> str:
    if isinstance(given, str):
        # Not str(given): a subclass might answer differently each time.
        return str.__str__(given)
    if not isinstance(given, bytes):
        return str.__str__(str(given))
    try:
        return bytes.decode(given, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidURL(f"Invalid URL: byte {error.start} of it is not UTF-8; percent-encode it") from None


def _split_scheme(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    # "httpbin.org:80/get" is a host and a port to requests, although RFC 3986 sees a scheme.
    if found is None or (found[1].startswith("http") and "." in found[1]):
        quoted = repr(shown(text))
        if not text or (text[0] == "/" and text[:2] != "//"):
            hint = ", and no host. Give the whole URL, or the client a base_url"
        else:
            hint = f". Perhaps you meant https://{quoted[1:-1]}?"
        raise MissingSchema(f"Invalid URL {quoted}: No scheme supplied{hint}")
    scheme = found[1].lower()
    if scheme not in DEFAULT_PORTS:
        quoted = repr(shown(text))
        # "localhost:8000/": curl takes it, and to RFC 3986 its scheme is "localhost".
        meant = f". Perhaps you meant http://{quoted[1:-1]}?" if text[found.end() : found.end() + 1].isdigit() else ""
        raise InvalidSchema(f"Invalid URL {quoted}: only http:// and https:// URLs can be fetched{meant}")
    return scheme, text[found.end() :]


def _split_tail(text: str) -> tuple[str, str | None, str]:
    """Path, query and fragment of what follows the authority, each normalised, dot segments still in place."""
    text, _, fragment = text.partition("#")
    path, _, query = text.partition("?")
    return (
        _quoted(path, _IN_PATH),
        _quoted(query, _IN_QUERY) or None,
        _quoted(fragment, _IN_QUERY),
    )


def _parse_authority(text: str, scheme: str, authority: str) -> _Authority:
    if "\\" in authority:
        _refuse(text, "a backslash before the path; browsers read it as /, others as part of the user name")
    userinfo, _, netloc = authority.rpartition("@")
    host, port = _split_port(text, netloc)
    return _Authority(scheme, _quoted(userinfo, _IN_USERINFO), host, port)


def _split_port(text: str, netloc: str) -> tuple[str, int | None]:
    if netloc.startswith("["):
        address, bracket, port = netloc[1:].partition("]")
        if not bracket or port[:1] not in ("", ":"):
            _refuse(text, "an IPv6 address is written [address] or [address]:port")
        return _parse_ipv6(text, address), _parse_port(text, port[1:])
    host, _, port = netloc.partition(":")
    if ":" in port:
        _refuse(text, "more than one colon after the host; an IPv6 address goes in brackets")
    return _parse_name(text, host), _parse_port(text, port)


def _parse_port(text: str, port: str) -> int | None:
    if not port:
        return None
    digits = port.lstrip("0")
    # [0-9] and not str.isdigit(): other scripts have digits too. The length first: int() of many digits is slow.
    if len(digits) > 5 or not _DIGITS.fullmatch(digits) or int(digits) > 65535:
        _refuse(text, "the port is not a number from 1 to 65535")
    return int(digits)


def _parse_ipv6(text: str, address: str) -> str:
    address, percent, zone = address.partition("%")
    if not _is_ipv6(address):
        _refuse(text, "what stands in brackets is not an IPv6 address")
    if not percent:
        return address.lower()
    # RFC 6874 section 2: the "%" before a zone is written "%25"; a bare one is accepted as it is by others.
    zone = zone[2:] if zone.startswith("25") and len(zone) > 2 else zone
    if len(zone) > _MAX_LABEL or not _ZONE.fullmatch(zone):
        _refuse(text, "the zone of the IPv6 address is not a plain interface name or number")
    return f"{address.lower()}%{zone}"


def _parse_name(text: str, host: str) -> str:
    if not host:
        _refuse(text, "No host supplied")
    # Before anything is encoded: IDNA takes quadratic time (CVE-2024-3651, CVE-2022-45061).
    if len(host) > 3 * _MAX_HOST + 1:
        _refuse(text, f"the host has {len(host)} characters; DNS has room for {_MAX_HOST}")
    host = _UNRESERVED_ESCAPE.sub(_unescape, host)
    if not host.isascii():
        host = _to_ascii(text, host)
    host = host.lower()
    wrong = _NOT_IN_HOST.search(host)
    if wrong is not None:
        _refuse(text, f"{wrong[0]!r} is not allowed in a host")
    _check_labels(text, host)
    return host


def _check_labels(text: str, host: str) -> None:
    labels = host.removesuffix(".").split(".")
    if host.startswith("*") or not labels[0]:
        _refuse(text, "URL has an invalid label: a host cannot begin with * or a dot")
    longest = max(map(len, labels))
    if not all(labels) or longest > _MAX_LABEL or len(host.removesuffix(".")) > _MAX_HOST:
        _refuse(
            text,
            f"the host has {len(host)} characters and labels of up to {longest}; DNS has room for {_MAX_HOST} and"
            f" {_MAX_LABEL}, and none may be empty",
        )


def _to_ascii(text: str, host: str) -> str:
    """``host`` with A-labels for its non-ASCII labels (RFC 5891).

    Letters are lower-cased and composed; nothing else is mapped. A host that other mappings would change (full-width
    letters, invisible characters, the ideographic full stop) looks like another one, and is refused.
    """
    import unicodedata

    if len(host) > _MAX_HOST:
        _refuse(text, f"the host has {len(host)} characters; DNS has room for {_MAX_HOST}")
    # One character at a time: "ΑΣ".lower() ends in a final sigma, which is a different host.
    host = unicodedata.normalize("NFC", "".join([character.lower() for character in host]))
    try:
        return ".".join([label if label.isascii() else _a_label(label) for label in host.split(".")])
    except UnicodeError as error:
        _refuse(text, f"URL has an invalid label: {str(error)[:100]}")


def _a_label(label: str) -> str:
    try:
        import idna
    except ImportError:
        return _a_label_2003(label)
    return idna.encode(label, strict=True, std3_rules=True).decode("ascii")


def _a_label_2003(label: str) -> str:
    encoded = label.encode("idna")
    # The codec knows IDNA 2003, which maps what today's IDNA keeps (ß to ss). Better no host than another host.
    if encoded.decode("idna") != label:
        from .._extras import install

        raise UnicodeError(f"it needs today's IDNA: {install('idna')}")
    return encoded.decode("ascii")


# -- normalising


def _quoted(part: str, escapes: dict[int, str]) -> str:
    """One component in normal form. As in requests, its escapes are believed only if every ``%`` begins one."""
    if "%" in part:
        if len(_ESCAPE.findall(part)) == part.count("%"):
            part = _ESCAPE.sub(_tidied, part)
        else:
            part = part.replace("%", "%25")
    if not part.isascii():
        # One character per byte. Lone surrogates, which are no UTF-8, go the way requests sends them.
        part = part.encode("utf-8", "surrogatepass").decode("latin-1")
    return part.translate(escapes)


def _tidied(escape: re.Match[str]) -> str:
    return _TIDY[escape[0].upper()]


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[0][1:], 16))


_TIDY = {escape: chr(byte) if chr(byte) in _UNRESERVED else escape for byte, escape in enumerate(_ESCAPES)}


def _without_dots(path: str) -> str:
    """``path`` without its dot segments (RFC 3986 section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _credentials(userinfo: str) -> tuple[str | None, str | None]:
    if not userinfo:
        return None, None
    username, colon, password = userinfo.partition(":")
    return _decoded(username), _decoded(password) if colon else None


def _decoded(part: str) -> str:
    if "%" not in part:
        return part
    from urllib.parse import unquote

    return unquote(part)


def as_location(location: str | bytes) -> str:
    """A Location field's value as text: see ``Url.join``."""
    # h11 and http.client hand fields out as ISO-8859-1; servers write UTF-8 into them.
    try:
        return _from_wire(location if isinstance(location, bytes) else location.encode("latin-1"))
    except UnicodeEncodeError:
        return _as_text(location)


def _from_wire(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join([chr(byte) if byte < 0x80 else _ESCAPES[byte] for byte in raw])


def _encode_params(params: Any) -> str:
    if not params:
        return ""
    if isinstance(params, bytes):
        params = _from_wire(params)
    if isinstance(params, str):
        return _quoted(params, _IN_QUERY)
    from urllib.parse import urlencode

    try:
        pairs = params.items() if hasattr(params, "items") else params
        return urlencode([pair for name, values in pairs for pair in _each(name, values)], doseq=True)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"params must be a mapping, (name, value) pairs, str or bytes; {type(params).__name__} given: {error}"
        ) from error


def _each(name: Any, values: Any) -> list[tuple[Any, Any]]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        values = (values,)
    return [(name, value) for value in values if value is not None]


# -- refusing


def _refuse_stripped(text: str) -> None:
    wrong = _STRIPPED_BY_BROWSERS.search(text)
    if wrong is not None:
        _refuse(text, f"{wrong[0]!r} at position {wrong.start()}; strip or percent-encode it")


def _refuse(text: str, why: str) -> NoReturn:
    raise InvalidURL(f"Invalid URL {shown(text)!r}: {why}")


def shown(text: str) -> str:
    """``text`` for a message: at most 100 characters, and nothing of what may be a user name or password.

    It could not be parsed, so everything up to the last @ is taken for one.
    """
    _, at, tail = text.rpartition("@")
    if at:
        start = _START.match(text)
        text = f"{start[0] if start else ''}[secret]@{tail}"
    return text if len(text) <= 100 else text[:97] + "..."
