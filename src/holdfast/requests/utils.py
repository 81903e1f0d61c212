"""``utils`` as requests has it: the functions that programs fetch from there. holdfast itself uses few of them."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import socket
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._version import __version__ as _own_version
from ..environment import NoProxy
from ..exceptions import FileModeWarning, InvalidHeader, InvalidURL, UnrewindableBodyError
from ..message.cookies import cookiejar_from_dict, dict_from_cookiejar
from ..message.decoding import accept_encoding
from ..message.headers import Headers
from ..message.url import Url
from . import certs
from .__version__ import __version__
from ._internal_utils import HEADER_VALIDATORS, to_native_string, unicode_is_ascii
from .compat import (
    basestring,
    getproxies,
    getproxies_environment,
    integer_types,
    is_py3,
    parse_http_list,
    proxy_bypass,
    proxy_bypass_environment,
    quote,
    unquote,
    urlparse,
    urlunparse,
)
from .cookies import add_dict_to_cookiejar
from .structures import CaseInsensitiveDict

NETRC_FILES = (".netrc", "_netrc")
DEFAULT_CA_BUNDLE_PATH = certs.where()
DEFAULT_PORTS = {"http": 80, "https": 443}
DEFAULT_ACCEPT_ENCODING = accept_encoding()
UNRESERVED_SET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_SAFE = "!#$%&'()*+,/:;=?@[]~"
_HERE_FOR_OTHERS = (Headers, basestring, getproxies_environment, is_py3, to_native_string, unicode_is_ascii)
_HERE_TOO = (CaseInsensitiveDict, add_dict_to_cookiejar, cookiejar_from_dict, dict_from_cookiejar, integer_types, quote)


# -- what is sent by default -------------------------------------------------------------------------------------------


def default_user_agent(name: str = "python-requests") -> str:
    """What a Session calls itself: as requests does, for servers and programs that look for it, and as what it is."""
    return f"{name}/{__version__} holdfast/{_own_version}"


def default_headers() -> CaseInsensitiveDict[str]:
    """The fields a Session sends with every request."""
    return CaseInsensitiveDict(
        {
            "User-Agent": default_user_agent(),
            "Accept-Encoding": DEFAULT_ACCEPT_ENCODING,
            "Accept": "*/*",
            "Connection": "keep-alive",
        }
    )


# -- mappings and pairs ------------------------------------------------------------------------------------------------


def _refuse_what_has_no_pairs(value: Any) -> None:
    if isinstance(value, (str, bytes, bool, int)):
        raise ValueError("cannot encode objects that are not 2-tuples")


def from_key_val_list(value: Any) -> OrderedDict[Any, Any] | None:
    """An OrderedDict of a mapping or of pairs; None of None. ValueError: there are no pairs."""
    if value is None:
        return None
    _refuse_what_has_no_pairs(value)
    return OrderedDict(value)


def to_key_val_list(value: Any) -> list[tuple[Any, Any]] | None:
    """The pairs of a mapping or of an iterable of pairs; None of None. ValueError: there are no pairs."""
    if value is None:
        return None
    _refuse_what_has_no_pairs(value)
    return list(value.items() if hasattr(value, "items") else value)


def dict_to_sequence(d: Any) -> Any:
    """The items of a mapping; anything else as it is."""
    return d.items() if hasattr(d, "items") else d


# -- files and bodies --------------------------------------------------------------------------------------------------


def super_len(o: Any) -> int:
    """Bytes that are left of a body object from where it stands; 0 if nothing tells."""
    if isinstance(o, str):
        return len(o.encode("utf-8"))
    total = _whole_length(o)
    position = 0
    if hasattr(o, "tell"):
        try:
            position = o.tell()
        except OSError:
            position = total or 0  # a pipe, whose length is not known
        else:
            if total is None and hasattr(o, "seek"):
                total = _length_by_seeking(o, position or 0)
    return max(0, (total or 0) - (position or 0))


def _whole_length(o: Any) -> int | None:
    if hasattr(o, "__len__"):
        return len(o)
    if hasattr(o, "len"):
        length: int = o.len
        return length
    if not hasattr(o, "fileno"):
        return None
    try:
        descriptor = o.fileno()
    except (OSError, AttributeError):  # not a real file; AttributeError: one inside a tar archive
        return None
    if "b" not in o.mode:
        warnings.warn("the length of a file opened as text is that of its bytes on disk", FileModeWarning, stacklevel=3)
    return os.fstat(descriptor).st_size


def _length_by_seeking(o: Any, position: int) -> int:
    try:
        o.seek(0, 2)
        total: int = o.tell()
        o.seek(position)
    except OSError:
        return 0
    return total


def guess_filename(obj: Any) -> Any:
    """The base name of a file object's name, None if it has none that looks like a file's."""
    name = getattr(obj, "name", None)
    if name and isinstance(name, (str, bytes)) and name[0] != "<" and name[-1] != ">":
        return os.path.basename(name)
    return None


def extract_zipped_paths(path: str) -> str:
    """A path that leads into a zip archive, as that of a file with the member's content; any other as it is."""
    if os.path.exists(path):
        return path
    archive, member = os.path.split(path)
    while archive and not os.path.exists(archive):
        archive, last = os.path.split(archive)
        if not last:
            break
        member = f"{last}/{member}"
    if not zipfile.is_zipfile(archive):
        return path
    with zipfile.ZipFile(archive) as opened:
        if member not in opened.namelist():
            return path
        data = opened.read(member)
    # A file of its own: in a well-known place another user of the machine might have put one before.
    descriptor, extracted = tempfile.mkstemp(suffix=os.path.splitext(member)[1])
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return extracted


@contextlib.contextmanager
def atomic_open(filename: str) -> Iterator[Any]:
    """A file to be written that is there under its name as a whole, or not at all."""
    descriptor, written = tempfile.mkstemp(dir=os.path.dirname(filename))
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.replace(written, filename)
    except BaseException:
        os.remove(written)
        raise


def rewind_body(prepared_request: Any) -> None:
    """Take the body of a request back to where it began.

    Raises:
        UnrewindableBodyError: it gives its bytes only once.
    """
    seek = getattr(prepared_request.body, "seek", None)
    position = prepared_request._body_position
    if seek is None or not isinstance(position, int):
        raise UnrewindableBodyError("Unable to rewind request body for redirect.")
    try:
        seek(position)
    except OSError as error:
        raise UnrewindableBodyError("An error occurred when rewinding request body for redirect.") from error


# -- header fields -----------------------------------------------------------------------------------------------------


def parse_list_header(value: str) -> list[str]:
    """The members of a comma-separated list, quotes taken off."""
    return [unquote_header_value(item) if item[:1] == item[-1:] == '"' else item for item in parse_http_list(value)]


def parse_dict_header(value: str) -> dict[str, str | None]:
    """``a=b, c="d", e`` as a dict; None for what has no value."""
    found: dict[str, str | None] = {}
    for item in parse_http_list(value):
        name, equals, content = item.partition("=")
        found[name] = unquote_header_value(content) if equals else None
    return found


def unquote_header_value(value: str, is_filename: bool = False) -> str:
    """A value without its quotes and escapes. ``is_filename``: one that begins like a Windows share keeps its backslashes."""
    if not value or value[0] != '"' or value[-1] != '"' or len(value) < 2:
        return value
    value = value[1:-1]
    if is_filename and value.startswith("\\\\"):
        return value
    return value.replace("\\\\", "\\").replace('\\"', '"')


def _parse_content_type_header(header: str) -> tuple[str, dict[str, Any]]:
    """The type of a Content-Type, and its parameters; a parameter without a value is left out."""
    kind, *rest = header.split(";")
    parameters: dict[str, Any] = {}
    for part in rest:
        name, equals, value = part.strip().partition("=")
        if equals:
            parameters[name.strip("\"' ").lower()] = value.strip("\"' ")
    return kind.strip(), parameters


def get_encoding_from_headers(headers: Mapping[str, str]) -> str | None:
    """The encoding that Content-Type means: its charset; ISO-8859-1 for text, UTF-8 for JSON; else None."""
    content_type = headers.get("content-type")
    if not content_type:
        return None
    kind, parameters = _parse_content_type_header(content_type)
    if "charset" in parameters:
        charset: str = parameters["charset"].strip("'\"")
        return charset
    if "text" in kind:
        return "ISO-8859-1"
    return "utf-8" if "application/json" in kind else None


def get_encodings_from_content(content: str) -> list[str]:
    """The encodings that an HTML or XML text says it has."""
    warnings.warn("get_encodings_from_content() is deprecated, in requests too", DeprecationWarning, stacklevel=2)
    patterns = (
        r"""<meta[^>]{0,1000}?charset=["']*([^"'>]+)["'>]""",
        r"""<meta[^>]{0,1000}?content=["']*;?charset=([^"'>]+)["'>]""",
        r"""^<\?xml[^>]{0,1000}?encoding=["']*([^"'>]+)["'>]""",
    )
    return [found for pattern in patterns for found in re.findall(pattern, content, re.IGNORECASE)]


def parse_header_links(value: str) -> list[dict[str, str]]:
    """The links of a Link field, each a dict of its parameters and ``url``."""
    links: list[dict[str, str]] = []
    value = value.strip(" '\"")
    for part in re.split(", *<", value) if value else ():
        target, _, parameters = part.partition(";")
        link = {"url": target.strip("<> '\"")}
        for parameter in parameters.split(";"):
            pieces = parameter.split("=")
            if len(pieces) != 2:
                break
            link[pieces[0].strip(" '\"")] = pieces[1].strip(" '\"")
        links.append(link)
    return links


def check_header_validity(header: tuple[Any, Any]) -> None:
    """InvalidHeader if a (name, value) pair cannot be sent."""
    for position, part in enumerate(header):
        patterns: Any = HEADER_VALIDATORS.get(str if isinstance(part, str) else bytes if isinstance(part, bytes) else type(part))
        if patterns is None:
            raise InvalidHeader(f"Header part ({part!r}) from {header} must be of type str or bytes, not {type(part)}")
        if not patterns[position].match(part):
            kind = "value" if position else "name"
            raise InvalidHeader(
                f"Invalid leading whitespace, reserved character(s), or return character(s) in header {kind}: {part!r}"
            )


# -- text --------------------------------------------------------------------------------------------------------------


def stream_decode_response_unicode(iterator: Iterable[bytes], r: Any) -> Iterator[Any]:
    """The pieces as text in the response's encoding; as they are if it has none."""
    if r.encoding is None:
        yield from iterator
        return
    decoder = codecs.getincrementaldecoder(r.encoding)(errors="replace")
    for piece in iterator:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def iter_slices(string: Any, slice_length: int | None) -> Iterator[Any]:
    """``string`` in slices; as a whole if no length is given."""
    size = slice_length if slice_length and slice_length > 0 else len(string)
    for start in range(0, len(string), size or 1):
        yield string[start : start + size]


def get_unicode_from_response(r: Any) -> Any:
    """The content as text, in the encoding of its header."""
    warnings.warn("get_unicode_from_response() is deprecated, in requests too: use text", DeprecationWarning, stacklevel=2)
    encoding = get_encoding_from_headers(r.headers)
    try:
        return str(r.content, encoding or "utf-8", "strict" if encoding else "replace")
    except UnicodeError:
        return str(r.content, encoding or "utf-8", "replace")
    except (TypeError, LookupError):
        return r.content


_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# JSON begins with two ASCII characters: which of the first four bytes are null tells the encoding (RFC 4627, section 3).
_NULLS = {"0000": "utf-8", "1010": "utf-16-be", "0101": "utf-16-le", "1110": "utf-32-be", "0111": "utf-32-le"}


def guess_json_utf(data: bytes) -> str | None:
    """The UTF that a JSON text is in, from its first four bytes; None if none fits."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name
    sample = data[:4]
    if 0 not in sample:
        return "utf-8"
    return _NULLS.get("".join("1" if byte == 0 else "0" for byte in sample))


# -- URLs --------------------------------------------------------------------------------------------------------------


def unquote_unreserved(uri: str) -> str:
    """``uri`` with the escapes of unreserved characters undone. InvalidURL: an escape is none."""
    first, *rest = uri.split("%")
    pieces = [first]
    for part in rest:
        digits = part[:2]
        if len(digits) == 2 and digits.isalnum():
            try:
                char = chr(int(digits, 16))
            except ValueError:
                raise InvalidURL(f"Invalid percent-escape sequence: '{digits}'") from None
            pieces.append(char + part[2:] if char in UNRESERVED_SET else f"%{part}")
        else:
            pieces.append(f"%{part}")
    return "".join(pieces)


def requote_uri(uri: str) -> str:
    """``uri`` with everything escaped that has to be, and nothing that need not."""
    try:
        return quote(unquote_unreserved(uri), safe=_SAFE)
    except InvalidURL:
        return quote(uri, safe=_SAFE.replace("%", ""))  # its percent signs are no escapes: they are escaped as well


def prepend_scheme_if_needed(url: str, new_scheme: str) -> str:
    """``url`` with ``new_scheme`` in front, unless it has a scheme."""
    if "://" in url.partition("?")[0]:
        return url
    return f"{new_scheme}:{url}" if url.startswith("//") else f"{new_scheme}://{url}"


def get_auth_from_url(url: str) -> tuple[str, str]:
    """User name and password of a URL; two empty texts if it has not both."""
    parsed = urlparse(url)
    if parsed.username is None or parsed.password is None:
        return "", ""
    return unquote(parsed.username), unquote(parsed.password)


def urldefragauth(url: str) -> str:
    """``url`` without its fragment and without user name and password."""
    scheme, netloc, path, parameters, query, _ = urlparse(url)
    if not netloc:
        netloc, path = path, netloc
    return str(urlunparse((scheme, netloc.rpartition("@")[2], path, parameters, query, "")))


def get_netrc_auth(url: Any, raise_errors: bool = False) -> tuple[str, str] | None:
    """User name and password that the user's netrc has for the host of a URL; None if there are none.

    Raises:
        NetrcParseError, OSError: only with ``raise_errors``: the file cannot be read.
    """
    from netrc import NetrcParseError, netrc

    from ..auth.netrc import require_regular

    named = os.environ.get("NETRC")
    places = (named,) if named is not None else tuple(f"~/{name}" for name in NETRC_FILES)
    path = next((found for place in places if os.path.exists(found := os.path.expanduser(place))), None)
    host = urlparse(url.decode("utf-8") if isinstance(url, bytes) else url).hostname
    if path is None or host is None:
        return None
    try:
        require_regular(path)
        entry = netrc(path).authenticators(host)
    except (NetrcParseError, OSError):
        if raise_errors:
            raise
        return None
    return (entry[0] or entry[1] or "", entry[2] or "") if entry and any(entry) else None


# -- proxies -----------------------------------------------------------------------------------------------------------


def address_in_network(ip: str, net: str) -> bool:
    """Whether an IPv4 address is in a network such as ``192.168.1.0/24``."""
    import ipaddress

    return ipaddress.IPv4Address(ip) in ipaddress.IPv4Network(net, strict=False)


def dotted_netmask(mask: int) -> str:
    """``24`` as ``255.255.255.0``."""
    return socket.inet_ntoa(((0xFFFFFFFF << (32 - mask)) & 0xFFFFFFFF).to_bytes(4, "big"))


def is_ipv4_address(string_ip: str) -> bool:
    """Whether this is an IPv4 address."""
    try:
        socket.inet_aton(string_ip)
    except OSError:
        return False
    return True


def is_valid_cidr(string_network: str) -> bool:
    """Whether this is an IPv4 address with a mask of 1 to 32 bits."""
    address, slash, mask = string_network.partition("/")
    return bool(slash) and "/" not in mask and mask.isdigit() and 1 <= int(mask) <= 32 and is_ipv4_address(address)


@contextlib.contextmanager
def set_environ(env_name: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment for the time of a block; None leaves it as it is."""
    if value is None:
        yield
        return
    before = os.environ.get(env_name)
    os.environ[env_name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[env_name]
        else:
            os.environ[env_name] = before


def should_bypass_proxies(url: str, no_proxy: str | None) -> bool:
    """Whether ``no_proxy``, or that of the environment if it is None, has the host of a URL."""
    host = urlparse(url).hostname
    if host is None:
        return True
    said = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY")) if no_proxy is None else no_proxy
    try:
        if said and NoProxy(said).covers(Url.parse(url)):
            return True
    except ValueError:
        pass  # a URL of another scheme: the system's rule is left
    try:
        return bool(proxy_bypass_environment(host, {"no": no_proxy}) if no_proxy else proxy_bypass(host))
    except (TypeError, socket.gaierror):
        return False


def get_environ_proxies(url: str, no_proxy: str | None = None) -> dict[str, str]:
    """The proxies of the environment; none where ``no_proxy`` has the host of the URL."""
    return {} if should_bypass_proxies(url, no_proxy) else getproxies()


def select_proxy(url: str, proxies: Mapping[str, Any] | None) -> Any:
    """The proxy that a mapping has for a URL: by scheme and host, by scheme, for all; None for none."""
    found = proxies or {}
    parts = urlparse(url)
    keys: tuple[str, ...] = (parts.scheme, "all")
    if parts.hostname is not None:
        keys = (f"{parts.scheme}://{parts.hostname}", parts.scheme, f"all://{parts.hostname}", "all")
    return next((found[key] for key in keys if key in found), None)


def resolve_proxies(request: Any, proxies: Mapping[str, Any] | None, trust_env: bool = True) -> dict[str, Any]:
    """A copy of ``proxies``, with the environment's for the scheme of the request where it has none."""
    chosen = dict(proxies or {})
    if trust_env:
        scheme = urlparse(request.url).scheme
        said = get_environ_proxies(request.url, no_proxy=chosen.get("no_proxy"))
        proxy = said.get(scheme, said.get("all"))
        if proxy:
            chosen.setdefault(scheme, proxy)
    return chosen
