"""TLS: one SSLContext per configuration and process, sessions resumed, handshakes bounded.

Law: a context is built once per (verify, cert) and never for plain http. Building one reads the CA bundle: 15 ms, as
much as ten handshakes. A context given by the user is used as it is and never changed.

Sessions. A TLS 1.3 ticket is there only after the first read, and ``SSLSocket.session`` leaks 6.5 KB per access on CPython
3.10 to 3.13: it is read once per connection, and not where enough are kept. A session belongs to its context, so the key begins
with the context: another verify or client certificate never resumes it.

A ticket may resume once only, or at the worker process that gave it, or never, and a reload of the server makes all void. So
each ticket of TLS 1.3 is taken out when it is offered, the newest first (RFC 8446, appendix C.4, wants no reuse either), and what
the connection has after its first answer is put in, unless eight are there: the ticket that it was given, or the old one if the
server took that and gave none. A server that does not take one does a full handshake. A session of TLS 1.2 is offered until a full
handshake has made a newer one.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import threading
import time
from _ssl import _SSLContext  # the base of ssl's, which a test may have replaced when this module is loaded
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .._fork import after_in_child
from .._loading import loading
from .._values import NamedTuple
from ..connecting import Authorities, Cert, Path
from ..exceptions import ConnectTimeout, SSLError
from .fifo import require_reader, steady
from .opening import frames_of
from .openssl import ssl
from .readiness import wait_readable, wait_writable
from .stream import is_system_socket

SYSTEM = "system"
"""``verify`` for the authorities that the operating system trusts."""

MAX_CONTEXTS = 64
MAX_SESSIONS = 256  # servers of which sessions are kept
MAX_SESSIONS_PER_SERVER = 8

class _Offer(NamedTuple):
    """A session to offer.

    Attributes:
        context: what it belongs to; kept beside it, so that its id, which is in the key, cannot be another's.
        session: what ``ssl`` knows of it.
        once: whether it is a ticket of TLS 1.3.
    """

    context: ssl.SSLContext
    session: ssl.SSLSession
    once: bool


_locks: dict[str, threading.Lock] = {}  # at most one, made on first use: one made at import is not gevent's if it patches later
_building: dict[object, threading.RLock] = {}  # by key, for each context that is being built
_contexts: OrderedDict[object, ssl.SSLContext] = OrderedDict()
_sessions: OrderedDict[tuple[object, ...], list[_Offer]] = OrderedDict()


def _lock() -> threading.Lock:
    return _locks.get("tls") or _locks.setdefault("tls", threading.Lock())  # two threads that come at once get the same one


def context_for(verify: Authorities = True, cert: Cert = None) -> ssl.SSLContext:
    """The process's SSLContext for this configuration, built on first use.

    Args:
        verify: True for certifi's CA bundle, False for no verification, ``"system"`` for the operating system's store, a path to a
            CA file or directory, several of these, or a ready SSLContext.
        cert: None, the path of a PEM file with certificate and key, or (certificate, key[, password]).

    Raises:
        OSError: a path does not exist; the message names it.
        SSLError: the file at a path is not what it should be, or the operating system has no store where it is looked for.
        ValueError: ``cert`` together with a ready SSLContext.
    """
    if isinstance(verify, (ssl.SSLContext, _SSLContext)):
        if cert is not None:
            raise ValueError("cert= together with verify=SSLContext: load the certificate into the context instead")
        return verify
    key = _context_key(verify, cert)
    return _known(key) or _built(key, verify, cert)


def _known(key: object) -> ssl.SSLContext | None:
    with _lock():
        return _contexts.get(key)


def _built(key: object, verify: bool | Path | tuple[str, ...], cert: Cert) -> ssl.SSLContext:
    """The context of ``key``, built by one thread while others that ask for it wait: the content of a FIFO can be read only once.

    The lock is re-entrant: a signal handler may make a call while its thread is building. No fork comes while OpenSSL loads what
    it needs (``loading``): the child would have its locks as a thread of the parent held them, for ever. A FIFO is waited for
    without that.
    """
    building = _building.setdefault(key, threading.RLock())
    try:
        with building:
            context = _known(key)
            if context is None:
                context = _build_context(verify, cert)
                with _lock():
                    _contexts[key] = context
                    while len(_contexts) > MAX_CONTEXTS:
                        _contexts.popitem(last=False)
            return context
    finally:
        _building.pop(key, None)


def _context_key(verify: bool | Path | tuple[str, ...], cert: Cert) -> object:
    """A path counts with what differs when its file has changed, so that a renewed bundle is read and an old one is not kept alive.

    So does the class: a test that replaces it for a while (mocket) has contexts of its own, and leaves none behind.
    """
    ca = verify if isinstance(verify, bool) or verify == SYSTEM else tuple(_stamp(path, "CA bundle") for path in _paths(verify))
    if cert is None:
        return ssl.SSLContext, ca, None
    paths = (cert,) if isinstance(cert, (str, os.PathLike)) else tuple(cert)
    return ssl.SSLContext, ca, tuple(_stamp(p, "client certificate or key") for p in paths[:2]), paths[2:]


def _paths(verify: Path | tuple[str, ...]) -> tuple[str, ...]:
    return verify if isinstance(verify, tuple) else (os.fspath(verify),)


def _stamp(path: str | os.PathLike[str], what: str) -> tuple[object, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise OSError(error.errno, f"{what}: {os.strerror(error.errno or 0)}", path) from error
    if stat.S_ISFIFO(status.st_mode):
        return path, status.st_ino  # a write to a FIFO changes its time, and it is not to be read again for that
    # Packages and images give all their files one time, and file systems give one to all that is written within a tick.
    return path, status.st_mtime_ns, status.st_size, status.st_ino


def _build_context(verify: bool | Path | tuple[str, ...], cert: Cert) -> ssl.SSLContext:
    with loading:
        context = (_by_platform() if verify == SYSTEM else None) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.hostname_checks_common_name = False  # RFC 9525, section 6.3: names are in subjectAltName
    if sys.version_info >= (3, 13):  # as ssl.create_default_context and urllib3 do from there on
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    # TLS 1.2: a server that asks for one in the middle of an upload makes every write wait for its next message.
    context.options |= ssl.OP_NO_RENEGOTIATION
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif type(context) is ssl.SSLContext:
        load_authorities(context, verify)
    if cert is not None:
        load_certificate(context, cert)
        context.post_handshake_auth = True  # TLS 1.3: a server may ask for it when it has seen which path is wanted
    log_keys(context)
    return context


def _by_platform() -> ssl.SSLContext | None:
    """A context whose certificates the platform verifies itself; None where there is no such thing, or no truststore.

    OpenSSL knows neither the trust settings of macOS nor the roots that Windows fetches when they are needed. Elsewhere truststore
    would use OpenSSL, and load its store for each connection.
    """
    if sys.platform not in ("darwin", "win32"):
        return None
    try:
        import truststore
    except ImportError:
        return None
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def log_keys(context: ssl.SSLContext) -> None:
    """Have the secrets of connections written to ``SSLKEYLOGFILE``, if that is set and this OpenSSL can.

    Raises:
        OSError: the file cannot be written; the message names the variable.
    """
    path = os.environ.get("SSLKEYLOGFILE")
    if path and hasattr(context, "keylog_filename"):
        try:
            require_reader(path)
            context.keylog_filename = path
        except OSError as error:
            raise OSError(error.errno, f"SSLKEYLOGFILE: {error.strerror}", path) from error


def load_authorities(context: ssl.SSLContext, verify: bool | Path | tuple[str, ...]) -> None:
    """Have ``context`` trust the authorities that ``verify`` means; it is not False. Raises what ``context_for`` does."""
    if verify == SYSTEM:
        _load_system_store(context)
        return
    if isinstance(verify, bool):
        with loading:
            import certifi

            verify = certifi.where()
    for path in _paths(verify):
        _load_from(context, path)


def _load_system_store(context: ssl.SSLContext) -> None:
    """What OpenSSL takes for the system's store: a file that is read now, a directory that is asked when a certificate comes."""
    with loading:
        context.load_default_certs()
    where = ssl.get_default_verify_paths()
    try:
        if context.cert_store_stats()["x509"] or (where.capath and os.listdir(where.capath)):
            return
    except NotImplementedError:
        return  # a program has put truststore's contexts in place of ssl's: they ask the system anyway
    from .._extras import install

    raise SSLError(
        f"verify='system': there are no authorities where OpenSSL looks for the system's, in {where.openssl_cafile} and "
        f"{where.openssl_capath} (SSL_CERT_FILE and SSL_CERT_DIR move these). Install the system's ca-certificates, on macOS and "
        f"Windows truststore ({install('truststore')}), or say verify= what to trust"
    )


def _load_from(context: ssl.SSLContext, path: str) -> None:
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            with steady(path) as file, loading:
                context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise SSLError(f"the CA bundle {path!r} holds no certificate in PEM form: {error.reason or error}") from error


def load_certificate(context: ssl.SSLContext, cert: Path | tuple[Path, Path] | tuple[Path, Path, str]) -> None:
    """Have ``context`` show this client certificate. Raises what ``context_for`` does."""
    paths: Any = (cert,) if isinstance(cert, (str, os.PathLike)) else cert
    certificate, key, password = (*paths, None, None)[:3]
    try:
        with steady(certificate) as its_file, steady(key) as key_file, loading:
            # Without a password OpenSSL would ask for one at the terminal, and wait.
            context.load_cert_chain(its_file, key_file, password or "")
    except ssl.SSLError as error:
        hint = "" if password else " (is the key encrypted? then give (certificate, key, password))"
        name = os.fspath(certificate)
        raise SSLError(f"cannot use the client certificate {name!r}: {error.reason or error}{hint}") from error


def wrap(
    sock: socket.socket,
    context: ssl.SSLContext,
    server_name: str,
    port: int,
    until: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> ssl.SSLSocket:
    """``sock`` as a TLS socket after its handshake with ``server_name``. Owns ``sock`` from here on: a failure closes it.

    Args:
        server_name: what the certificate must be for. It may be an address with a zone, which tells sessions apart.
        until: the moment on ``clock`` by which the handshake must be done; None waits for ever.

    Raises:
        ConnectTimeout: the handshake was not done by then.
        SSLError: it failed; the message names the host and the reason.
    """
    if not is_system_socket(sock):
        from . import replaced  # by a test, or by gevent

        if replaced.is_replaced(sock):
            wrapped: ssl.SSLSocket = replaced.wrap(sock, context, server_name, port)
            return wrapped
    started = clock()
    secure = None
    try:
        secure = context.wrap_socket(
            sock,
            server_hostname=without_zone(server_name),
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,  # a body cut short would look complete
            session=resumable(context, server_name, port),
        )
        _handshake(secure, until, clock)
        return secure
    except TimeoutError as error:
        _close_all(sock, secure, error)
        raise ConnectTimeout(
            f"the TLS handshake with {server_name}:{port} was not done after {clock() - started:.2f} s"
        ) from error
    except (OSError, ValueError) as error:
        _close_all(sock, secure, error)
        raise SSLError(explain(error, server_name, port)) from error
    except BaseException as error:
        _close_all(sock, secure, error)
        raise


def _close_all(sock: socket.socket, secure: ssl.SSLSocket | None, error: BaseException) -> None:
    """Close the descriptor, which ``sock``, ``secure`` or an SSLSocket that wrap_socket did not get to return may have.

    The last is a trap of CPython before 3.13: a name that IDNA refuses, or a peer that resets while wrap_socket looks whether
    it is connected, leave the half-made SSLSocket with the descriptor, and only the frames of the error still know it. After a
    Ctrl-C two of them may have it; closed twice, it would be another connection's by the second time.
    """
    unreturned = [frame.f_locals.get("self") for frame in frames_of(error)]
    owners = [owner for owner in (sock, secure, *unreturned) if isinstance(owner, socket.socket)]
    for descriptor in {owner.detach() for owner in owners} - {-1}:
        socket.close(descriptor)


def without_zone(server_name: str) -> str:
    """The name for SNI and for the certificate: an IPv6 address without its zone, which means something on this machine only."""
    return server_name.partition("%")[0] if ":" in server_name else server_name


def _handshake(secure: ssl.SSLSocket, until: float | None, clock: Callable[[], float]) -> None:
    while True:
        try:
            secure.do_handshake()
            return
        except ssl.SSLWantReadError:
            reading = True
        except ssl.SSLWantWriteError:
            reading = False
        seconds = None if until is None else until - clock()
        if (seconds is not None and seconds <= 0) or not _wait(secure.fileno(), reading, seconds):
            raise TimeoutError("TLS handshake")


def _wait(fd: int, reading: bool, seconds: float | None) -> bool:
    return wait_readable(fd, seconds) if reading else bool(wait_writable([fd], seconds))


def explain(error: Exception, server_name: str, port: int) -> str:
    """What went wrong in a handshake, for people."""
    where = f"{server_name}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        from . import verification

        return verification.explain(error, where)
    reason = getattr(error, "reason", None) or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return f"{where} does not speak TLS ({reason}): is it an http:// server?"
    if was_ended(error):
        return f"{where} closed the connection during the TLS handshake: {reason}"
    return f"the TLS handshake with {where} failed: {reason}"


def was_ended(error: BaseException | None) -> bool:
    """Whether this error of a handshake says that the other end left, and nothing more."""
    return isinstance(error, (ssl.SSLEOFError, ConnectionError)) or getattr(error, "errno", None) == errno.ENOTCONN


def _session_key(context: ssl.SSLContext, server_name: str, port: int) -> tuple[object, ...]:
    # verify_mode can be changed on a user's context, and a resumed session brings no certificate to verify again.
    return id(context), context.verify_mode, server_name, port


def resumable(context: ssl.SSLContext, server_name: str, port: int) -> ssl.SSLSession | None:
    """The newest session that may be offered, which is no longer there for others if it is a ticket."""
    with _lock():
        offers = _sessions.get(_session_key(context, server_name, port))
        if not offers:
            return None
        return (offers.pop() if offers[-1].once else offers[-1]).session


def remember_session(sock: ssl.SSLSocket, context: ssl.SSLContext, server_name: str, port: int) -> None:
    """Keep the connection's session for a handshake to come. Once per connection, after its first response byte.

    Not where the socket has another context than it was asked of, as truststore's do: these verify certificates after a handshake,
    and a resumed one brings none.
    """
    if sock.context is not context:
        return
    key = _session_key(context, server_name, port)
    once = sock.version() == "TLSv1.3"
    with _lock():
        kept = len(_sessions.get(key, ()))
    if kept and (kept >= MAX_SESSIONS_PER_SERVER if once else sock.session_reused):
        return
    session = sock.session
    if session is None or not session.has_ticket:
        return
    offer = _Offer(context, session, once)
    with _lock():
        offers = _sessions.setdefault(key, [])
        if not offer.once:
            offers.clear()  # the newer one replaces it, or is the same
        offers.append(offer)
        del offers[:-MAX_SESSIONS_PER_SERVER]
        _sessions.move_to_end(key)
        while len(_sessions) > MAX_SESSIONS:
            _sessions.popitem(last=False)


after_in_child(_building.clear)
after_in_child(_locks.clear)  # the parent may have held it in a thread that does not exist in the child
