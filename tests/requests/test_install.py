"""``install()``: ``import requests`` gives holdfast's, with all of its modules; and what is there without urllib3."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import holdfast
from tests.server import Conn, Server, echo, ok, response
from tests.support import ROOT


def run(source: str, *arguments: str) -> Any:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_after_install_every_module_of_requests_is_holdfasts_until_uninstall() -> None:
    seen = run("""
import sys, json, importlib
import requests as before
import holdfast.requests
holdfast.requests.install()
holdfast.requests.install()
import requests, requests.adapters, requests.packages.urllib3.util.retry as retry
from requests.packages.urllib3.exceptions import InsecureRequestWarning
from requests import Session, utils
import urllib3
names = ["adapters", "api", "auth", "certs", "compat", "cookies", "exceptions", "help", "hooks", "models", "packages", "sessions",
         "status_codes", "structures", "utils", "_internal_utils", "__version__"]
pairs = [(importlib.import_module("requests." + name), importlib.import_module("holdfast.requests." + name)) for name in names]
same = [one.__name__ for one, other in pairs if one is not other]
specs = [module.__spec__.name for name, module in sys.modules.items() if name.startswith("requests.") and "urllib3" not in name
         and module.__spec__.name.startswith("requests")]
found = [requests is holdfast.requests, Session is holdfast.Session, retry.Retry is urllib3.Retry,
         InsecureRequestWarning is urllib3.exceptions.InsecureRequestWarning, requests.__version__, requests.utils is utils]
try:
    import requests.nothing
except ModuleNotFoundError as error:
    found.append(error.name)
holdfast.requests.uninstall()
holdfast.requests.uninstall()
import requests, requests.sessions
print(json.dumps([same, specs, found, requests is before, requests.sessions.Session is before.Session]))
""")
    assert seen == [[], [], [True, True, True, True, "2.34.2", True, "requests.nothing"], True, True]


def test_install_imports_nothing_that_a_program_may_want_to_patch_first() -> None:
    seen = run("""
import json, sys
import holdfast.requests
holdfast.requests.install()
import requests
requests.Session().close()
print(json.dumps([name for name in ("urllib3", "idna", "charset_normalizer", "concurrent.futures") if name in sys.modules]))
""")
    assert seen == []


def test_install_before_requests_was_ever_imported_leaves_nothing_behind() -> None:
    seen = run("""
import json, sys
import holdfast.requests
holdfast.requests.install()
import requests.sessions
holdfast.requests.uninstall()
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "requests"]))
""")
    assert seen == []


WITHOUT = """
import json, sys
for name in ("urllib3", "idna", "chardet", "charset_normalizer", "requests"):
    sys.modules[name] = None
import holdfast.requests
del sys.modules["requests"]
holdfast.requests.install()
"""


def test_without_urllib3_its_names_are_there_and_retries_work() -> None:
    def script(conn: Conn) -> None:
        for number, _ in enumerate(conn.read_requests()):
            conn.send(ok(b"well") if number == 2 else response(503, b"", "Retry-After: 0"))

    with Server(script) as server, Server() as gone:
        dead = gone.url()
        gone.stop_listening()
        seen = run(
            WITHOUT
            + """
import requests
from requests.adapters import HTTPAdapter, Retry
from requests.packages.urllib3.util.retry import Retry as same
from requests.packages.urllib3.util import Timeout
from requests.packages.urllib3.exceptions import InsecureRequestWarning, MaxRetryError
requests.packages.urllib3.disable_warnings(InsecureRequestWarning)
found = [Retry is same, requests.packages.urllib3.__version__]
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[503], backoff_factor=0.001, backoff_jitter=0.001)))
found.append(session.get(sys.argv[1], timeout=Timeout(5)).text)
session.mount("http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[503])))
try:
    session.get(sys.argv[1])
except requests.exceptions.RetryError as error:
    found.append(str(error.args[0].reason))
session.mount("http://", HTTPAdapter(max_retries=2))
try:
    session.get(sys.argv[2])
except requests.exceptions.ConnectionError as error:
    found.append(type(error.__cause__).__name__)
class Plumber(HTTPAdapter):
    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, **kwargs, unheard_of=1)
try:
    Plumber()
except holdfast.exceptions.InvalidRequest as error:
    found.append(str(error))
print(json.dumps(found))
""",
            server.url(),
            dead,
        )
    assert seen == [
        True, "", "well", "too many 503 error responses", "MaxRetryError",
        "this adapter needs urllib3, which is not installed: pip install 'holdfast-http[urllib3]'. It was asked for unheard_of",
    ]  # fmt: skip


def test_the_retry_of_ours_counts_and_waits_as_urllib3s() -> None:
    """Both are asked the same questions, urllib3's in the process of the tests, ours in one without urllib3."""
    source = """
import json, sys
kinds = ["total", "connect", "read", "status"]
def ask(Retry, terms, Response):
    said = []
    for settings in ({"total": 2}, {"total": 5, "connect": 0}, {"total": 5, "read": 0}, {"total": 5, "status": 1},
                     {"total": None, "read": 1},
                     {"total": 0}, {"total": 3, "allowed_methods": None}, {"total": 2, "backoff_factor": 0.5, "backoff_max": 0.7},
                     {"total": 3, "respect_retry_after_header": False}, {"total": False}, {"total": 3, "read": False}):
        for method in ("GET", "POST"):
            for error in (None, terms.NewConnectionError("p", "x"), terms.ProtocolError("x"), terms.ReadTimeoutError("p", "u", "x"),
                          terms.ProxyError("x", terms.NewConnectionError("p", "x")), terms.SSLError("x")):
                retry = Retry(status_forcelist=[500], **settings)
                steps = []
                for _ in range(4):
                    try:
                        retry = retry.increment(method, "/", response=None if error else Response(), error=error, _pool="p")
                    except Exception as raised:
                        steps.append(type(raised).__name__)
                        break
                    steps.append([getattr(retry, kind) for kind in kinds] + [retry.get_backoff_time()])
                said.append(steps)
            retry = Retry(status_forcelist=[500], **settings)
            said.append([retry.is_retry(method, status, after) for status in (200, 500, 503) for after in (True, False)])
    retry = Retry(3)
    said.append([retry.get_retry_after(Response(text)) for text in ("3", "Fri, 31 Dec 1999 23:59:59 GMT")])
    said.append(repr(Retry.from_int(None)) == repr(Retry.from_int(3)) and Retry.from_int(retry) is retry)
    return said
class Response:
    status = 500
    def __init__(self, after=None):
        self.headers = {"Retry-After": after} if after else {}
    def get_redirect_location(self):
        return False
"""
    ours = run(
        WITHOUT
        + source
        + "from requests.packages import urllib3\nprint(json.dumps(ask(urllib3.Retry, urllib3.exceptions, Response)))"
    )
    urllib3s = run(source + "import urllib3\nprint(json.dumps(ask(urllib3.Retry, urllib3.exceptions, Response)))")
    assert ours == urllib3s


def test_help_says_what_is_installed() -> None:
    info: Any = holdfast.requests.help.info()
    assert info["requests"]["version"] == "2.34.2"
    assert info["holdfast"]["version"] == holdfast.__version__
    done = subprocess.run([sys.executable, "-m", "holdfast.requests.help"], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["implementation"] == info["implementation"]


def test_the_drop_in_carries_a_call_as_it_stands() -> None:
    with Server(echo) as server:
        seen = run(
            """
import json, sys
import holdfast.requests
holdfast.requests.install()
import requests
answer = requests.post(sys.argv[1] + "a", json={"b": 1}, headers={"X": "1"})
print(json.dumps([answer.json()["body"], isinstance(answer, requests.Response), answer.request.headers["User-Agent"]]))
""",
            server.url(),
        )
    assert seen == ['{"b": 1}', True, f"python-requests/2.34.2 holdfast/{holdfast.__version__}"]
