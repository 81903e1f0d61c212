"""Digest authentication (RFC 7616): challenges parsed, answered, and answered beforehand once a nonce is agreed.

Laws:

1. A secret is computed for one origin. A Digest answer is given only to the origin its ``auth=`` was applied to;
   where a redirect leads elsewhere, ``redirects`` drops the rest.
2. What a server says (realm, nonce, opaque) goes back quoted and escaped, or not at all.
3. One challenge is answered once. A second challenge means that the credentials are wrong, unless it says
   ``stale=true``: then it is answered once more.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exceptions import InvalidRequest, RequestException
from ..message.request import PreparedRequest
from .basic import AuthBase

if TYPE_CHECKING:
    from ..message.response import Response

Origin = tuple[str, str, int]

MAX_ANSWERS = 2
MAX_ORIGINS = 100
_SMALL_BODY = 64 * 1024
CONTROLS = re.compile("[\x00-\x1f\x7f]")


class Challenge(NamedTuple):
    """A Digest challenge (RFC 7616 section 3.3) that can be answered."""

    realm: str
    nonce: str
    algorithm: str
    qop: str | None
    opaque: str | None
    stale: bool
    is_utf8: bool
    hides_user: bool
    names_algorithm: bool = True


class _Conversation:
    """What one thread has agreed on with one origin: a challenge, and how often its nonce was used."""

    __slots__ = ("challenge", "count")

    def __init__(self, challenge: Challenge) -> None:
        self.challenge = challenge
        self.count = 0


class HTTPDigestAuth(AuthBase):
    """User name and password, hashed with what the server asks for (RFC 7616, and RFC 2617 and 2069 before it).

    The first request to an origin goes out bare, and the challenge in its 401 is answered. From then on requests
    carry an answer, with the same nonce and the next count, until the server wants another nonce, in a 401 or beforehand
    (``nextnonce``). Every thread has nonces of its own, because servers may insist on counts that come in order.

    Algorithms: MD5, SHA, SHA-256, SHA-512, SHA-512-256, each also as ``-sess``. Of several challenges the first that
    can be answered counts, as the server orders them by preference (RFC 7616 section 3.7). ``qop=auth`` is preferred
    to ``auth-int``.

    Args:
        username: without control characters; an int is its digits.
        password: any text; an int is its digits.
    """

    def __init__(self, username: str | int, password: str | int) -> None:
        # A number is as good as its digits, as in requests.
        self.username = str(username) if isinstance(username, int) else username
        self.password = str(password) if isinstance(password, int) else password
        self._local = threading.local()

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Answer beforehand if this origin was answered before; answer its challenge otherwise."""
        if not isinstance(self.username, str) or CONTROLS.search(self.username):
            raise InvalidRequest("a user name for Digest authentication is a str without control characters")
        r.auth_origin = r.parsed.origin
        r.signer = self._sign
        if self.handle_401 not in r.hooks["response"]:
            r.register_hook("response", self.handle_401)
        self._sign(r)
        return r

    def __eq__(self, other: object) -> bool:
        mine = (self.username, self.password)
        return mine == (getattr(other, "username", None), getattr(other, "password", None))

    __hash__ = None  # type: ignore[assignment]  # typeshed has a method there, and Python this

    def __getstate__(self) -> dict[str, Any]:
        return {"username": self.username, "password": self.password}

    def __setstate__(self, state: dict[str, Any]) -> None:
        HTTPDigestAuth.__init__(self, **state)

    def handle_401(self, response: Response, **kwargs: Any) -> Response:
        """The response hook: send the request again with an answer, if the response is a challenge to answer.

        A ``nextnonce`` beside the response is used from the next request on (RFC 7616 section 3.5).

        Args:
            response: what came; ``response.connection.send(request, **kwargs)`` sends the answer.
            kwargs: passed on.

        Raises:
            UnrewindableBodyError: the body was consumed by the challenged request and gives its bytes only once.
        """
        request = response.request
        answers = 0
        while response.status_code == 401:
            # Another origin's challenge is not for these credentials, whatever it says.
            if response.connection is None or request.auth_origin != response.request.parsed.origin:
                break
            challenge = find_challenge(response.headers.get_list("WWW-Authenticate"), request)
            if challenge is None or not self.is_answerable(challenge, answers):
                break
            self._agree(request.parsed.origin, challenge)
            response = self._answer(request, response, kwargs)
            answers += 1
        if "Authentication-Info" in response.headers and request.auth_origin == response.request.parsed.origin:
            self.take_next(response.request.parsed.origin, response.headers.get_list("Authentication-Info"))
        return response

    @staticmethod
    def is_answerable(challenge: Challenge, answers: int) -> bool:
        """Law 3, ``answers`` having been given to this request before."""
        return answers < MAX_ANSWERS and (not answers or challenge.stale)

    def _answer(self, request: PreparedRequest, challenged: Response, kwargs: dict[str, Any]) -> Response:
        again = request.copy()
        try:
            again.rewind()
        except RequestException as error:
            error.request, error.response = request, challenged
            raise
        _settle(challenged)
        if again.jar is None and "Set-Cookie" in challenged.headers:
            again.jar = challenged.cookies
        again.refresh_cookies()
        self._sign(again)
        # The hooks belong to the call, which goes on with the answer; they are not for the sending in between.
        again.hooks = None
        response: Response = challenged.connection.send(again, **kwargs)
        again.hooks = request.hooks
        response.connection = challenged.connection  # for one more answer, if this response is a challenge too
        response.history.append(challenged)
        response.request = again
        return response

    # -- what is agreed, per thread and origin

    def _conversations(self) -> dict[Origin, _Conversation]:
        found: dict[Origin, _Conversation] | None = getattr(self._local, "conversations", None)
        if found is None:
            found = self._local.conversations = {}
        return found

    def _agree(self, origin: Origin, challenge: Challenge) -> None:
        conversations = self._conversations()
        known = conversations.pop(origin, None)
        while len(conversations) >= MAX_ORIGINS:
            del conversations[next(iter(conversations))]
        if known is not None and known.challenge.nonce == challenge.nonce:
            known.challenge = challenge  # the same nonce goes on being counted
            conversations[origin] = known
        else:
            conversations[origin] = _Conversation(challenge)

    def take_next(self, origin: Origin, fields: list[str]) -> None:
        """Use the ``nextnonce`` of these Authentication-Info fields, if a challenge of ``origin`` was answered before."""
        conversation = self._conversations().get(origin)
        if conversation is None:
            return
        for _, parameters in parse_challenges([f"info {field}" for field in fields]):
            nonce = parameters.get("nextnonce")
            if nonce and nonce != conversation.challenge.nonce and not CONTROLS.search(nonce):
                conversation.challenge = conversation.challenge._replace(nonce=nonce)
                conversation.count = 0

    def _sign(self, request: PreparedRequest) -> None:
        """Set Authorization for this request's URL and body, or remove it if nothing is agreed yet."""
        conversation = self._conversations().get(request.parsed.origin)
        if conversation is None or not _can_hash_body(conversation.challenge, request):
            request.headers["Authorization"] = None
            return
        conversation.count += 1
        request.headers["Authorization"] = self.build_header(request, conversation.challenge, conversation.count)

    def build_header(
        self, request: Any, challenge: Challenge, count: int, cnonce: str | None = None
    ) -> str:
        """The value of Authorization (RFC 7616 section 3.4).

        Args:
            request: its ``method``, ``path_url`` and (for auth-int) body are hashed.
            challenge: what is answered.
            count: how often its nonce was used, this time included.
            cnonce: the client's nonce; None for a random one.
        """
        cnonce = cnonce or os.urandom(16).hex()
        uri = request.path_url
        algorithm = challenge.algorithm

        def hashed(*pieces: bytes) -> str:
            return _hashed(algorithm, pieces)

        user, secret = (text.encode() for text in (self.username, self.password))  # UTF-8, whatever the server says: as in requests
        realm = challenge.realm.encode("latin-1")
        ha1 = hashed(user, b":", realm, b":", secret)
        is_session = algorithm.upper().endswith("-SESS")
        if is_session:
            ha1 = hashed(f"{ha1}:{challenge.nonce}:{cnonce}".encode("latin-1"))
        what = f"{request.method}:{uri}"
        if challenge.qop == "auth-int":
            what += f":{_hashed(algorithm, _body_pieces(request))}"
        ha2 = hashed(what.encode("ascii"))
        middle = "" if challenge.qop is None else f"{count:08x}:{cnonce}:{challenge.qop}:"
        response = hashed(f"{ha1}:{challenge.nonce}:{middle}{ha2}".encode("latin-1"))
        parts = [
            f'username="{hashed(user, b":", realm)}"' if challenge.hides_user else self._user_field(challenge),
            f"realm={_quoted(challenge.realm)}",
            f"nonce={_quoted(challenge.nonce)}",
            f"uri={_quoted(uri)}",
            f'response="{response}"',
        ]
        if challenge.names_algorithm:
            parts.append(f"algorithm={challenge.algorithm}")
        if challenge.opaque is not None:
            parts.append(f"opaque={_quoted(challenge.opaque)}")
        if challenge.qop is not None:
            parts.append(f"qop={challenge.qop}, nc={count:08x}")
        if challenge.qop is not None or is_session:
            parts.append(f'cnonce="{cnonce}"')
        if challenge.hides_user:
            parts.append("userhash=true")
        return "Digest " + ", ".join(parts)

    def _user_field(self, challenge: Challenge) -> str:
        if challenge.is_utf8 and not self.username.isascii():
            from urllib.parse import quote  # 2 ms of import

            return "username*=UTF-8''" + quote(self.username, safe="")  # RFC 7616 section 3.4, RFC 5987
        return f"username={_quoted(_encoded(self.username, challenge).decode('latin-1'))}"


def find_challenge(fields: list[str], request: Any) -> Challenge | None:
    """The first Digest challenge in WWW-Authenticate or Proxy-Authenticate fields that this request can answer, or None."""
    for scheme, parameters in parse_challenges(fields):
        if scheme == "digest":
            challenge = _understood(parameters, request)
            if challenge is not None:
                return challenge
    return None


def _understood(parameters: dict[str, str], request: Any) -> Challenge | None:
    realm, nonce = parameters.get("realm"), parameters.get("nonce")
    algorithm = parameters.get("algorithm", "MD5")
    opaque = parameters.get("opaque")
    if realm is None or not nonce or _new_hash(algorithm) is None:
        return None
    if any(CONTROLS.search(text) for text in (realm, nonce, opaque or "")):
        return None
    offered = [name.strip().lower() for name in parameters.get("qop", "").split(",") if name.strip()]
    qop = next((name for name in ("auth", "auth-int") if name in offered), None)
    if offered and qop is None:
        return None
    challenge = Challenge(
        realm=realm,
        nonce=nonce,
        algorithm=algorithm,
        qop=qop,
        opaque=opaque,
        stale=parameters.get("stale", "").lower() == "true",
        is_utf8=parameters.get("charset", "").lower() == "utf-8",
        hides_user=parameters.get("userhash", "").lower() == "true",
        names_algorithm="algorithm" in parameters,  # RFC 7616 section 3.4: the answer has what the challenge has
    )
    return challenge if _can_hash_body(challenge, request) else None


def parse_challenges(fields: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The challenges of WWW-Authenticate fields (RFC 9110 section 11.6.1): (lower-case scheme, parameters).

    Several challenges may share a field, and each may have several parameters, all separated by commas: what begins
    with two words begins a challenge. One pass over the text.
    """
    for field in fields:
        scheme: str | None = None
        parameters: dict[str, str] = {}
        for item in _list_members(field):
            head, equals, value = item.partition("=")
            words = head.split()
            if len(words) == 2 or (len(words) == 1 and not equals):
                if scheme is not None:
                    yield scheme, parameters
                scheme, parameters = words[0].lower(), {}
            if equals and words:
                parameters.setdefault(words[-1].lower(), _unquoted(value.strip()))
        if scheme is not None:
            yield scheme, parameters


def _list_members(text: str) -> Iterator[str]:
    """The members of a comma-separated list whose quoted strings may hold commas."""
    start = position = 0
    is_quoted = False
    while position < len(text):
        char = text[position]
        if char == '"':
            is_quoted = not is_quoted
        elif char == "\\" and is_quoted:
            position += 1
        elif char == "," and not is_quoted:
            yield text[start:position]
            start = position + 1
        position += 1
    yield text[start:]


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encoded(text: str, challenge: Challenge) -> bytes:
    """A user name as it is shown: in UTF-8 if the server says so, else as requests writes it."""
    if not challenge.is_utf8:
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            pass  # latin-1 has no such character: UTF-8 is what RFC 7616 would have had the server name
    return text.encode("utf-8")


_HASHES = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
    "SHA-512-256": "sha512_256",
}


def _new_hash(algorithm: str) -> Any:
    """A hash object, or None if the algorithm is unknown, here or to this OpenSSL."""
    name = _HASHES.get(algorithm.upper().removesuffix("-SESS"))
    if name is None:
        return None
    import hashlib  # 4 ms of import, for those who meet Digest

    try:
        return hashlib.new(name, usedforsecurity=False)
    except ValueError:
        return None


def _hashed(algorithm: str, pieces: Iterable[bytes]) -> str:
    total = _new_hash(algorithm)
    for piece in pieces:
        total.update(piece)
    digest: str = total.hexdigest()
    return digest


def _can_hash_body(challenge: Challenge, request: PreparedRequest) -> bool:
    # Hashing takes the body once, and sending it once more.
    return challenge.qop != "auth-int" or request.payload is None or request.payload.replayable


def _body_pieces(request: PreparedRequest) -> Iterator[bytes]:
    if request.payload is not None:
        yield from request.payload.chunks()
        request.rewind()


def _settle(response: Response) -> None:
    """Read a small body, so that the connection can be used again and ``history`` shows it; close otherwise."""
    length = response.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and len(length) < 8 and int(length) <= _SMALL_BODY:
        try:
            response.content  # noqa: B018 - reads it
        except RequestException:
            pass  # the challenge is in the head, and that has come; close() sees to what is left
    response.close()
