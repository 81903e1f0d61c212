"""A certificate that was not accepted: what to do, by OpenSSL's verdict.

``ssl`` has no names for the verdicts; the numbers are those of OpenSSL's ``x509_vfy.h``. No remedy here turns verification off:
that would trust the very party that the check has kept out.
"""

from __future__ import annotations

import time

from .._values import NamedTuple
from .openssl import ssl

_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_AUTHORITY = (2, 19, 20, 21)
_SELF_SIGNED = 18
_OTHER_NAME = (62, 64)  # the name, the address
_STRICT = range(80, 94)  # looked at only with VERIFY_X509_STRICT, which is Python's default from 3.13 on


class Terms(NamedTuple):
    """How a program says whom it trusts.

    Attributes:
        path: names a file.
        system: the operating system's authorities.
        lenient: how the strict checks are left out; "" where that cannot be said.
    """

    path: str
    system: str
    lenient: str


LIBRARY = Terms("verify=PATH", 'verify="system"', "verify= an ssl.SSLContext without VERIFY_X509_STRICT accepts it until then")
COMMAND = Terms("--cacert PATH", "--cacert system", "")
HTTPX = Terms("verify=ssl.create_default_context(cafile=PATH)", "verify=ssl.create_default_context()", LIBRARY.lenient)


def explain(error: ssl.SSLCertVerificationError, where: str) -> str:
    """What was wrong with the certificate of ``where``, and what to do about it."""
    remedy = remedy_for(error)
    fault = getattr(error, "verify_message", "") or " ".join(map(str, error.args))  # one of truststore's may have no verdict
    text = f"the certificate of {where} is not valid (CERTIFICATE_VERIFY_FAILED): {fault.rstrip('.')}"
    return f"{text}. {remedy}" if remedy else text


def remedy_for(error: ssl.SSLCertVerificationError, terms: Terms = LIBRARY) -> str:
    """A sentence that says what to do; "" for the rare verdicts that speak for themselves."""
    code = getattr(error, "verify_code", None)
    if code in _UNKNOWN_AUTHORITY:
        return (
            f"No authority that is trusted here has signed it: {terms.path} trusts those in a PEM file (a private authority, a "
            f"company's proxy), {terms.system} those of the operating system. A server that leaves out its intermediate "
            "certificate looks the same"
        )
    if code == _SELF_SIGNED:
        return f"It has signed itself: {terms.path} trusts it, where PATH is a PEM file with this very certificate"
    if code in (_EXPIRED, _NOT_YET_VALID):
        today = time.strftime("%Y-%m-%d")
        return f"The server needs another one, if the clock of this machine is right: here it is {today}"
    if code in _OTHER_NAME:
        return "Call the server by a name that is in its certificate, or have one issued for this name"
    if code in _STRICT:
        lenient = f"; {terms.lenient}" if terms.lenient else ""
        return f"Its authority has to issue it anew, as RFC 5280 wants it: Python 3.13 and later are strict{lenient}"
    return ""


def refusal_behind(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """``ssl``'s own error, if a certificate that is not accepted is the cause of ``error``."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__
    return cause


def in_terms(terms: Terms, text: str, error: BaseException) -> str:
    """``text`` with ``terms`` in the place of holdfast's arguments, where a certificate is the cause of ``error``."""
    cause = refusal_behind(error)
    if cause is None:
        return text
    said = remedy_for(cause)
    return text.replace(said, remedy_for(cause, terms)) if said else text
