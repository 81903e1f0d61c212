"""Sixteen threads, one client, servers that fail in every way: does anything false, double, late or lost come of it?

    python -m benchmarks chaos [--seconds 60] [--seed N] [--no-torture]

*The soak* (``tests/chaos.py``): plain and TLS servers whose behaviour follows from a number in each request: whole
answers in every framing, and drips, stalls, ends, aborts, bytes nobody asked for, early refusals, redirects across origins.
The servers keep a ledger of what they executed; every answer and every exception is compared with it. Half of the
time the interpreter changes threads every 50 µs.

*The torture* (``tests/torture.py``): in fifteen scenarios every call of a socket primitive is made to fail once in each
way it can, and Ctrl-C strikes once at every line of holdfast that is executed. After each, all slots, locks and
descriptors are counted. It takes some ten minutes.

The seed is random unless given, and is printed. Exit status: 0; 1 if there was a violation.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import secrets
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from benchmarks import table
from tests.chaos import Report, Soak, switching_every
from tests.conftest import Tls, open_descriptors
from tests.server import Server
from tests.torture import ALL_KINDS, KINDS, SCENARIOS, Teller, Torture

SHOWN = 20  # violations


def main() -> int:
    """Run both; the exit status."""
    options = _options()
    warnings.simplefilter("error")
    logging.disable(logging.CRITICAL)  # the pool says what it meets, and here it meets everything
    seed = options.seed if options.seed is not None else secrets.randbits(32)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        tls = Tls(Path(directory))
        violations = soak(tls, seed, options.seconds)
        if options.torture:
            violations += torture(tls)
    for text in violations[:SHOWN]:
        print(f"VIOLATION: {text}")
    print(f"{len(violations)} violations")
    return 1 if violations else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the soak (default 60)")
    parser.add_argument("--seed", type=int, help="of the soak (default: a random one, which is printed)")
    parser.add_argument("--no-torture", dest="torture", action="store_false", help="the soak only")
    return parser.parse_args()


def soak(tls: Tls, seed: int, seconds: float) -> list[str]:
    """Two soaks with a client each, the second with threads that change at every moment; what was wrong."""
    descriptors = len(open_descriptors())
    first = Soak(seed, seconds / 2, tls.server_context(tickets=4), tls.client_context()).run()
    _show("", first)
    with switching_every(0.00005):
        second = Soak(seed + 1, seconds / 2, tls.server_context(tickets=4), tls.client_context()).run()
    _show(", changing threads every 50 µs", second)
    violations = first.violations + second.violations
    left = len(open_descriptors()) - descriptors
    return [*violations, f"{left} descriptors left behind"] if left else violations


def _show(how: str, report: Report) -> None:
    print(f"\n{report.calls} calls in {report.seconds:.1f} s{how}: slowest {report.slowest:.2f} s, ", end="")
    print(f"close() over after {report.close_seconds:.2f} s, {report.stats.created} connections")
    rows = [("outcome", "calls"), *((name, str(count)) for name, count in report.outcomes.most_common())]
    print(table(rows), flush=True)


def torture(tls: Tls) -> list[str]:
    """Every primitive's every failure, and an interrupt at every line, in every scenario; what was lost."""
    print("\nscenario: failed calls, interrupted lines")
    teller = Teller()
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(Server(teller))
        secure = stack.enter_context(Server(teller, tls=tls.server_context()))
        run = Torture(teller, plain, secure, tls.client_context())
        stack.enter_context(run.ready())
        for name in SCENARIOS:
            _torture_one(run, name)
        outcomes: Counter[str] = run.findings.outcomes
    print(table([("outcome", "runs"), *((name, str(count)) for name, count in outcomes.most_common())]))
    return run.findings.violations


def _torture_one(run: Torture, name: str) -> None:
    started, before = time.monotonic(), run.findings.injections
    for at, primitive in enumerate(_calls(run, name), 1):
        for kind in ALL_KINDS:
            if kind in KINDS[primitive]:
                run.run_with_fault(name, at, kind)
    calls = run.findings.injections - before
    for at in range(1, run.count_lines(name) + 1):
        run.run_with_interrupt(name, at)
    lines = run.findings.injections - before - calls
    print(f"{name}: {calls}, {lines} ({time.monotonic() - started:.0f} s)", flush=True)


def _calls(run: Torture, name: str) -> list[str]:
    run.count_calls(name)
    return list(run.saboteur.calls)


if __name__ == "__main__":
    sys.exit(main())
