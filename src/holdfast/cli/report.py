"""``doctor``'s report: findings as rows of (question, answer, how good that is). Pure, so that a test reads it."""

from __future__ import annotations

from .._numbers import number_of
from .advice import Findings, advice, plan_of, reach_of, span
from .observations import AddressSeen, PerConnection, Resumption
from .terminal import Terminal, harmless, milliseconds, wrapped

NAGLE = "the server sends an answer in two parts and waits in between. It should set TCP_NODELAY; holdfast does not wait"
Row = tuple[str, str, str]


def rows_of(findings: Findings) -> list[Row]:
    """The report's rows, those that were measured."""
    found = [("server", *_server(findings)), ("idle", *_idle(findings)), ("Keep-Alive field", *_hint(findings))]
    if findings.silent is not None:
        found.append(("without a request", *_silent(findings)))
    if findings.requests is not None:
        found.append(("requests", *_requests(findings.requests)))
    if findings.drop is not None:
        found.append(("the path", *_drop(findings)))
    if findings.acknowledged is not None:
        reach = reach_of(findings)
        found.append(("who acknowledges", reach.text, "good" if reach.verdict == "server" else "warn"))
    if findings.stalls is not None:
        found.append(("delayed ACKs", *_stalls(findings)))
    if findings.resumption is not None:
        found.append(("TLS tickets", *_resumption(findings.resumption)))
    if findings.http10 is not None:
        kept = "kept" if findings.http10.kept else "not kept"
        says = f", says {findings.http10.says}" if findings.http10.says else ""
        found.append(("HTTP/1.0", f"{findings.http10.status}; {kept}{says}", ""))
    found += [("address", *_address(each)) for each in findings.addresses]
    return found + [("trouble", each, "bad") for each in findings.troubles]


def _server(findings: Findings) -> tuple[str, str]:
    first = findings.first
    parts = [f"{first.version} {first.status}", first.server or "says no name", first.tls]
    if first.method == "HEAD":
        parts.append("asked by HEAD: its body is long")
    return harmless(", ".join(part for part in parts if part)), "" if first.status < 400 else "warn"


def _idle(findings: Findings) -> tuple[str, str]:
    idle = findings.idle
    if plan_of(findings).idle == 0:
        return "keeps no connection: it ends after each answer", "bad"
    if idle.least is None:
        return f"not ended within {idle.open_after:.0f} s", "good"
    return f"ended after {span(idle)}, by {' or '.join(idle.endings)}", "good" if idle.least >= 5 else "warn"


def _hint(findings: Findings) -> tuple[str, str]:
    first, idle = findings.first, findings.idle
    if first.hint_timeout is None and first.hint_max is None:
        return "none", ""
    said = ", ".join(
        f"{name}={value}" for name, value in (("timeout", first.hint_timeout), ("max", first.hint_max)) if value is not None
    )
    if first.hint_timeout is None or idle.least is None:
        return said, ""
    spare = idle.least - first.hint_timeout
    if spare < 0.2:
        return f"{said}: kept for {idle.least:.2f} s, so a client that uses it to the full is too late", "bad"
    return f"{said}: kept {spare:.1f} s longer", "good"


def _silent(findings: Findings) -> tuple[str, str]:
    silent = findings.silent
    assert silent is not None
    if silent.least is None:
        return f"still open after {silent.open_after:.0f} s", ""
    speaks = any(ending.startswith("'") for ending in silent.endings)
    text = f"ended after {span(silent)}, by {' or '.join(silent.endings)}"
    return harmless(text + (": an answer to a question that was not asked" if speaks else "")), "warn" if speaks else ""


def _requests(seen: PerConnection) -> tuple[str, str]:
    if not seen.ended:
        return f"{seen.answered} on one connection, and no end", "good"
    how = "and says so with the last" if seen.announced else "and does not say so"
    return f"ended after {seen.answered}, {how}", "good" if seen.announced and seen.answered > 1 else "bad"


def _drop(findings: Findings) -> tuple[str, str]:
    drop = findings.drop
    assert drop is not None
    if drop.lost_after is not None:
        how = "is reset" if drop.how == "reset" else "is not acknowledged any more"
        return f"a request after {drop.lost_after:.0f} s of silence {how}: something on the way forgets connections", "bad"
    if drop.alive_after is None and findings.idle.least is None:
        return "not known: no connection was silent for long enough to be tried", ""
    if drop.alive_after is None:
        return "the server ended every connection before it could be used again", ""
    return f"a request still arrives after {drop.alive_after:.0f} s of silence", "good"


def _stalls(findings: Findings) -> tuple[str, str]:
    stalls = findings.stalls
    assert stalls is not None
    if not stalls.stalls:
        return f"none on this side: {milliseconds(stalls.plain)} per kept request", "good"
    return (
        f"a kept request takes {milliseconds(stalls.plain)}, {milliseconds(stalls.quick)} with immediate acknowledgements: {NAGLE}",
        "bad",
    )


def _resumption(seen: Resumption) -> tuple[str, str]:
    if not seen.tickets:
        return "none: every new connection pays for a full handshake", "warn"
    saved = ""
    if seen.full is not None and seen.short is not None:
        saved = f"; {milliseconds(seen.short)} instead of {milliseconds(seen.full)}"
    style = "good" if seen.share == 1 else "bad" if seen.share == 0 else "warn"
    return f"{seen.resumed} of {number_of(seen.dials, 'handshake')} resumed{saved}", style


def _address(seen: AddressSeen) -> tuple[str, str]:
    if seen.error:
        return f"{seen.address}: {harmless(seen.error)}", "bad"
    assert seen.connect is not None
    assert seen.wait is not None
    handshake = "" if seen.handshake is None else f", TLS {milliseconds(seen.handshake)}"
    return f"{seen.address}: {seen.status}, TCP {milliseconds(seen.connect)}{handshake}, answer {milliseconds(seen.wait)}", ""


def _limits(out: Terminal, limits: str, why: str) -> None:
    """``Use Limits(...): why.`` in lines of the terminal's width. On a terminal too narrow for the limits they have no colour."""
    first, *others = wrapped(f"Use {limits}: {why}.", out.columns)
    before, found, after = first.partition(limits)
    out.line((before, "head"), (found, "good"), after)
    for line in others:
        out.line(line)


def write(out: Terminal, findings: Findings) -> None:
    """The whole report."""
    out.line((f"{findings.url}", "head"))
    out.rows([[(name, "name"), (text, style)] for name, text, style in rows_of(findings)])
    plan = plan_of(findings)
    out.line()
    _limits(out, str(plan), plan.why)
    out.rows([[(name, "name"), (text, "")] for name, text in advice(plan).items()])
    out.line()
    opened, asked = number_of(findings.opened, "connection"), number_of(findings.asked, "request")
    note = f"{opened} opened, {asked} sent, {findings.waited:.0f} s"
    out.line((note + ("; interrupted: what is known so far" if findings.interrupted else ""), "dim"))
