"""A login form with cookies and redirects, written for requests.

    python examples/login_with_cookies.py                # import holdfast as requests; a site of its own, on loopback
    python examples/login_with_cookies.py URL
    python examples/login_with_cookies.py --real URL     # the real one

``URL/login`` gives a form with a token and a cookie; the answer to a right POST sets the session's cookie and redirects
to the account. Then the script looks at the account, keeps the cookies in a file as text, and logs out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any


def log_in(session: Any, base: str, user: str, password: str) -> Any:
    """Fetch the form, send it back filled in, and follow to where it leads."""
    form = session.get(f"{base}/login")
    form.raise_for_status()
    token = re.search(r'name="token" value="([^"]+)"', form.text)
    if token is None:
        raise SystemExit("there is no token in the form")
    return session.post(
        f"{base}/login",
        data={"user": user, "password": password, "token": token[1]},
        headers={"Referer": form.url},
    )


def show_way(response: Any) -> None:
    """Print each redirect on the way to the response."""
    for step in response.history:
        print(f"  {step.status_code} {step.request.method} {step.url} -> {step.headers['Location']}")
    print(f"  {response.status_code} {response.request.method} {response.url}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Log in, look around, log out."""
    parser = argparse.ArgumentParser(description="Log in to a site with a form and cookies.")
    parser.add_argument("url", nargs="?", help="the site (default: one of its own)")
    parser.add_argument("--user", default="alice")
    parser.add_argument("--password", default="open sesame")
    parser.add_argument("--jar", type=Path, default=None, help="keep the cookies in this file, as JSON")
    parser.add_argument("--real", action="store_true", help="use requests itself")
    given = parser.parse_args(arguments)
    requests = importlib.import_module("requests" if given.real else "holdfast")
    with ExitStack() as stack:
        given.url = given.url or stack.enter_context(own_site())
        return visit(requests, given)


def own_site() -> Any:
    """The site where none is given: a script finds what lies beside it."""
    sites = importlib.import_module("sites")
    return sites.running(sites.Members)


def visit(requests: Any, given: argparse.Namespace) -> int:
    """Log in, look around, log out; the exit status."""
    session = requests.session()
    if given.jar and given.jar.exists():
        session.cookies = requests.cookies.cookiejar_from_dict(json.loads(given.jar.read_text()))
    try:
        response = log_in(session, given.url, given.user, given.password)
        show_way(response)
        if response.status_code == requests.codes.forbidden:
            print("not let in")
            return 1
        print("cookies:", ", ".join(sorted(session.cookies.keys())))
        if given.jar:
            given.jar.write_text(json.dumps(session.cookies.get_dict()))
        print("account:", session.get(f"{given.url}/account", allow_redirects=False).json()["name"])
        show_way(session.get(f"{given.url}/logout"))
        print("cookies:", ", ".join(sorted(session.cookies.keys())) or "none")
        outside = session.get(f"{given.url}/account", allow_redirects=False)
        print("afterwards:", outside.status_code, outside.is_redirect, outside.next.url if outside.next else None)
    finally:
        session.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
