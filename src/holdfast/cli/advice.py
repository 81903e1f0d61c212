"""From what was found to what to set: pure functions over ``Findings``.

The law of the idle time: the client leaves first. The server's clock starts when it has written the answer, the client's when it
has read it, and a request needs time to arrive; so the advice keeps a margin below the shortest life that was seen, and, where the
lives differ, below what the difference makes likely.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ..pool.limits import Limits
from .observations import Acknowledged, AddressSeen, First, Http10, PerConnection, Resumption, Stalls
from .watch import Drop, Idle

DEFAULT_IDLE = 55.0  # Limits' own
RELAY_FACTOR, RELAY_SECONDS = 3, 0.010  # what takes longer than this many round trips, and this, may come from someone farther away


@dataclass(frozen=True)
class Findings:
    """All that one run found. A part that was not measured (not asked for, or it failed) is None."""

    url: str
    first: First
    idle: Idle = field(default_factory=Idle)
    silent: Idle | None = None
    drop: Drop | None = None
    requests: PerConnection | None = None
    stalls: Stalls | None = None
    acknowledged: Acknowledged | None = None
    resumption: Resumption | None = None
    addresses: tuple[AddressSeen, ...] = ()
    http10: Http10 | None = None
    troubles: tuple[str, ...] = ()
    waited: float = 0.0
    opened: int = 0
    asked: int = 0
    interrupted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, the advice included."""
        plan = plan_of(self)
        found = asdict(self)
        found["reach"] = reach_of(self).verdict
        found["advice"] = {"idle_timeout": plan.idle, "max_requests": plan.max_requests, "why": plan.why, **advice(plan)}
        return found


# -- the plan ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a client should do.

    Attributes:
        idle: seconds for which a connection may be idle; 0 if the server keeps none.
        max_requests: requests after which to leave, where the server ends unannounced; else None.
        why: one sentence.
    """

    idle: float
    max_requests: int | None
    why: str

    @property
    def limits(self) -> Limits:
        """The same as holdfast's Limits."""
        return Limits(idle_timeout=self.idle, max_requests=self.max_requests)

    def __str__(self) -> str:
        requests = "" if self.max_requests is None else f", max_requests={self.max_requests}"
        return f"Limits(idle_timeout={self.idle:g}{requests})"


def margin(seconds: float) -> float:
    """How long before its server a client leaves: a quarter, at most 1 s, and at least a tenth."""
    return max(seconds / 10, min(1.0, seconds / 4))


def plan_of(findings: Findings) -> Plan:
    """The settings that follow from the findings."""
    requests = findings.requests
    ends = requests is not None and requests.ended and not requests.announced
    max_requests = requests.answered if requests is not None and ends else None
    if not findings.first.kept or (requests is not None and requests.ended and requests.answered == 1):
        return Plan(0.0, max_requests, "the server keeps no connection: each call pays for a new one")
    bounds = [(DEFAULT_IDLE, "nothing ended earlier than holdfast's own 55 s"), *_bounds(findings)]
    seconds, why = min(bounds)
    return Plan(_floor(seconds), max_requests, why)


def _bounds(findings: Findings) -> list[tuple[float, str]]:
    found = []
    idle, hint, drop = findings.idle, findings.first.hint_timeout, findings.drop
    if idle.least is not None and idle.most is not None:
        seconds = idle.least - margin(idle.least) - (idle.most - idle.least)
        found.append((max(0.0, seconds), f"the server ends idle connections after {span(idle)}"))
    elif idle.open_after < DEFAULT_IDLE:
        found.append((DEFAULT_IDLE, f"no idle connection was ended within {idle.open_after:.0f} s; a larger --max sees more"))
    if hint is not None:
        found.append((hint - margin(hint), f"the server's Keep-Alive field promises {hint} s"))
    if drop is not None and drop.lost_after is not None:
        alive = drop.alive_after if drop.alive_after is not None and drop.alive_after < drop.lost_after else drop.lost_after / 2
        found.append((alive - margin(alive), f"the path forgets connections that are silent for {drop.lost_after:.0f} s"))
    return found


def _floor(seconds: float) -> float:
    return math.floor(seconds * 10) / 10 if seconds < 10 else float(math.floor(seconds))


def span(idle: Idle) -> str:
    """``4.9 s``, or ``8.8 to 12.0 s``."""
    assert idle.least is not None
    assert idle.most is not None
    least, most = f"{idle.least:.1f}", f"{idle.most:.1f}"
    return f"{least} s" if least == most else f"{least} to {most} s"


def advice(plan: Plan) -> dict[str, str]:
    """The plan in the words of each client and proxy."""
    return _without_keeping(plan) if plan.idle == 0 else _with_keeping(plan)


def _with_keeping(plan: Plan) -> dict[str, str]:
    seconds = f"{plan.idle:g}"
    requests = "" if plan.max_requests is None else f" keepalive_requests {plan.max_requests};"
    return {
        "holdfast": f"holdfast.Client(limits=holdfast.{plan})",
        "requests, urllib3": f'no idle limit to set; after {seconds} s of silence a call may fail. For GET and its like: '
        f'session.mount(url, HTTPAdapter(max_retries=Retry(2))); a POST has no remedy but a new Session',
        "httpx": f"httpx.Client(limits=httpx.Limits(keepalive_expiry={seconds}))",
        "aiohttp": f"aiohttp.TCPConnector(keepalive_timeout={seconds})",
        "Go": f"&http.Transport{{IdleConnTimeout: {_duration(plan.idle, ' * time.Second', ' * time.Millisecond')}}}",
        "nginx upstream": f"keepalive 16; keepalive_timeout {_duration(plan.idle)};{requests}",
        "HAProxy backend": f"http-reuse safe; default-server pool-purge-delay {_duration(plan.idle / 2)}",
    }


def _duration(seconds: float, second: str = "s", millisecond: str = "ms") -> str:
    """``4s``, or ``4500ms`` where it is no whole number of seconds."""
    return f"{seconds:.0f}{second}" if seconds == int(seconds) else f"{max(1, int(seconds * 1000))}{millisecond}"


def _without_keeping(plan: Plan) -> dict[str, str]:
    limits = "max_requests=1" if plan.max_requests == 1 else "idle_timeout=0"
    return {
        "holdfast": f"holdfast.Client(limits=holdfast.Limits({limits}))",
        "requests, urllib3": 'session.headers["Connection"] = "close"',
        "httpx": "httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))",
        "aiohttp": "aiohttp.TCPConnector(force_close=True)",
        "Go": "&http.Transport{DisableKeepAlives: true}",
        "nginx upstream": "no keepalive directive in the upstream block",
        "HAProxy backend": "http-reuse never",
    }


# -- whether what acknowledges is the server ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """How far the proof of non-delivery reaches: verdict "proxy", "relay", "unclear", "server" or "unknown", and a sentence."""

    verdict: str
    text: str


def reach_of(findings: Findings) -> Reach:
    """Who acknowledges what is sent: the first of these that applies."""
    seen, first = findings.acknowledged, findings.first
    if first.proxies:
        signs = ", ".join(first.proxies)
        return Reach("proxy", f"a proxy answers ({signs}): the proof reaches the proxy, not the server behind it")
    if seen is None or seen.ack is None:
        return Reach("unknown", "this system's kernel does not say what was acknowledged")
    ack, far = f"{seen.ack * 1e3:.2f} ms", RELAY_FACTOR * seen.ack + RELAY_SECONDS
    # A server that is farther away answers later, too: a handshake that alone takes long is the work of a slow or busy processor.
    if seen.handshake is not None and min(seen.handshake, seen.answer) > far:
        return Reach(
            "relay",
            f"TCP is acknowledged in {ack}, but the TLS handshake takes {seen.handshake * 1e3:.1f} ms: a relay seems to "
            "acknowledge for a server farther away, and then the proof reaches only the relay",
        )
    answer = f"{seen.answer * 1e3:.2f} ms"
    if seen.early is not None and seen.handshake is None and seen.answer > far:
        return Reach(
            "unclear",
            f"acknowledged after {seen.early * 1e3:.2f} ms, answered after {answer}: the application is that slow, or a relay "
            "acknowledges for it",
        )
    return Reach("server", f"nothing suggests a relay: round trip {ack}, answer {answer}")


# -- what was expected -------------------------------------------------------------------------------------------------

_OPERATORS = {">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt}
_EXPECTATION = re.compile(r"\s*(\w+)\s*(>=|<=|==|>|<)\s*(\d+(?:\.\d+)?|yes|no)\s*")
NAMES = {
    "idle": "seconds for which an idle connection is kept",
    "silent": "seconds for which a connection without a request is kept",
    "requests": "requests that one connection carries",
    "resumed": "share of TLS handshakes resumed, 0 to 1",
    "stalls": "yes if delayed acknowledgements stall answers",
    "dropped": "yes if the path forgets silent connections",
    "http10": "yes if HTTP/1.0 connections are kept",
    "addresses": "addresses of the name that answer",
    "status": "of the first answer",
}


@dataclass(frozen=True)
class Expectation:
    """``idle>=60``: a name of NAMES, an operator, and a number."""

    name: str
    operator: str
    number: float

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.number:g}"


def parse_expectation(text: str) -> Expectation:
    """The expectation that ``text`` means; raises ValueError, which says what can be expected."""
    found = _EXPECTATION.fullmatch(text)
    if found is None or found[1] not in NAMES:
        raise ValueError(f"--expect {text!r}: expected NAME OPERATOR NUMBER, as in 'idle>=60'; names: {', '.join(NAMES)}")
    words = {"yes": 1.0, "no": 0.0}
    return Expectation(found[1], found[2], words[found[3]] if found[3] in words else float(found[3]))


def value_of(findings: Findings, name: str) -> tuple[float, float] | None:
    """The least and the most that a name can be by what was found; None if nothing is known of it."""
    if name in ("idle", "silent"):
        return _idle_value(findings, findings.idle if name == "idle" else findings.silent)
    if name == "requests" and findings.requests is not None:
        answered = float(findings.requests.answered)
        return answered, answered if findings.requests.ended else math.inf
    exact = {
        "resumed": None if findings.resumption is None else findings.resumption.share,
        "stalls": None if findings.stalls is None else float(findings.stalls.stalls),
        "dropped": None if findings.drop is None else float(findings.drop.lost_after is not None),
        "http10": None if findings.http10 is None else float(findings.http10.kept),
        "addresses": float(sum(not each.error for each in findings.addresses)) if findings.addresses else None,
        "status": float(findings.first.status),
    }.get(name)
    return None if exact is None else (exact, exact)


def _idle_value(findings: Findings, idle: Idle | None) -> tuple[float, float] | None:
    if idle is None:
        return None
    if idle.least is not None:
        return idle.least, idle.least
    if idle is findings.idle and plan_of(findings).idle == 0:
        return 0.0, 0.0
    return idle.open_after, math.inf


def met(expectation: Expectation, findings: Findings) -> bool | None:
    """Whether it holds; None if what was found does not say."""
    value = value_of(findings, expectation.name)
    if value is None:
        return None
    least, most = value
    if expectation.operator == "==" and least < most:
        return None if least <= expectation.number else False
    holds = {_OPERATORS[expectation.operator](end, expectation.number) for end in (least, most)}
    return holds.pop() if len(holds) == 1 else None
