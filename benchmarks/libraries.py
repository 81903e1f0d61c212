"""Real libraries that use requests, as they are and over holdfast by two roads: the same result or not.

``install`` is ``holdfast.requests.install()``: what the library imports as requests is holdfast. ``inject`` is
``holdfast.contrib.urllib3.inject()``, by ``python -m holdfast run``: requests stays, and its connections are holdfast's.

Each of them is installed, pinned, into a virtual environment of its own in a temporary folder (``--venv`` keeps it), and made to
do a few things against a local server (``library_drives``, ``library_services``, ``library_more``), once as it is and once by
each road, each in a process of its own. The result is the same if the library gave the same values or errors, and the same
requests arrived.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import holdfast

from .library_server import LibraryServer

BASE = ["requests==2.34.2", "urllib3==2.8.0", "h11", "certifi"]
LIBRARIES = {
    "requests-toolbelt": "1.0.0",
    "requests-oauthlib": "2.0.0",
    "requests-mock": "1.12.1",
    "responses": "0.26.3",
    "betamax": "0.9.0",
    "CacheControl": "0.14.4",
    "requests-cache": "1.3.3",
    "opentelemetry-instrumentation-requests": "0.66b2",
    "requests-futures": "1.1.0",
    "requests-file": "3.0.1",
    "requests-aws4auth": "1.4.0",
    "requests-unixsocket": "0.4.1",
    "docker": "7.2.0",
    "requests_ntlm": "1.3.0",
    "cloudscraper": "1.2.71",
    "locust": "2.47.0",
    "httpie": "3.2.4",
    "MechanicalSoup": "1.4.0",
    "tldextract": "5.4.0",
    "PyGithub": "2.10.0",
    "python-gitlab": "8.6.0",
    "jira": "3.10.5",
    "hvac": "2.4.0",
    "stripe": "16.1.0",
    "twilio": "9.13.0",
    "spotipy": "2.26.0",
    "influxdb": "5.3.2",
    "elasticsearch7": "7.17.13",
    "opensearch-py": "3.2.0",
    "pysolr": "3.11.0",
    "google-auth": "2.63.0",
    "google-cloud-storage": "3.17.1",
    "azure-core": "1.41.0",
    "databricks-sdk": "0.162.0",
    "prometheus-api-client": "0.7.2",
    "pystac-client": "0.9.1",
    "pyairtable": "3.5.1",
    "huggingface_hub": "0.36.2",
    "atlassian-python-api": "5.0.5",
    "ibm-cloud-sdk-core": "3.28.0",
    "langsmith": "0.15.1",
    "zeep": "4.3.3",
    "datadog": "0.56.0",
    "python-jenkins": "1.8.3",
    "python-redmine": "2.5.0",
    "pynetbox": "7.8.0",
    "trino": "0.340.0",
    "Mastodon.py": "2.3.3",
    "pyTelegramBotAPI": "4.37.1",
    "proxmoxer": "2.3.0",
    "prawcore": "4.0.0",
    "msal": "1.39.0",
    "dropbox": "12.2.4",
    "tweepy": "4.17.0",
    "googlemaps": "4.10.0",
    "simple-salesforce": "1.12.10",
    "deepl": "1.32.0",
    "py-consul": "1.8.0",
    "keystoneauth1": "5.18.1",
    "hcloud": "2.27.0",
    "linode_api4": "5.48.0",
    "shodan": "1.31.0",
    "canvasapi": "3.6.0",
    "pyzabbix": "1.3.1",
    "apprise": "2.3.0",
    "python-keycloak": "7.1.1",
    "tableauserverclient": "0.42",
    "OWSLib": "0.35.0",
    "python-nomad": "2.1.0",
    "notifications-python-client": "13.0.0",
    "wikipedia": "1.4.0",
    "slumber": "0.7.1",
}
"""Version by name."""

ROADS = ("install", "inject")

UNORDERED = {"requests-futures", "langsmith", "google-cloud-storage", "apprise"}
"""They send from threads, and some of it or not: what arrives counts, not its order and number."""

LENGTHS_DIFFER = {"pyTelegramBotAPI": "it has urllib3 write file names without quotes, which holdfast does not ask to write them"}
"""Libraries whose bodies are not of the same length, and why."""


def install(folder: Path, names: Sequence[str]) -> Path:
    """Make the environment unless it is there; its interpreter."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {len(names)} libraries into {folder} ...", flush=True)
        venv.create(folder, with_pip=True)
        pins = [f"{name}=={LIBRARIES[name]}" for name in names]
        subprocess.run([python, "-m", "pip", "install", "-q", *BASE, "opentelemetry-sdk", *pins], check=True)
    return python


def run(python: Path, name: str, road: str = "", port: int = 0) -> tuple[Any, list[str], str, int]:
    """What a drive gave, what arrived at the server, what was written to the error stream, and the server's port."""
    server = LibraryServer(port)
    source = str(Path(holdfast.__file__).parent.parent)
    # Carried from the moment at which urllib3 is imported: gevent, which locust is on, has to patch what urllib3 imports before.
    carried = ["-m", "holdfast", "run"] if road == "inject" else []
    in_place = ["--install"] if road == "install" else []
    command = [str(python), *carried, str(Path(__file__).with_name("library_run.py")), name, server.url, *in_place]
    unwanted = ("proxy", "ssl_cert", "requests_ca", "curl_ca", "pythonpath", "netrc")
    plain = {key: value for key, value in os.environ.items() if not any(word in key.lower() for word in unwanted)}
    environment = {
        **plain,
        "PYTHONPATH": source,
        "NETRC": "/dev/null",
        "AZURE_CORE_TRACING": "off",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=environment, check=False, cwd=tempfile.gettempdir()
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith(('{"result"', '{"error"'))]
        outcome = json.loads(lines[-1]) if lines else {"error": f"exit {done.returncode}"}
        errors = done.stderr
    except subprocess.TimeoutExpired:
        outcome, errors = {"error": "did not end in 120 s"}, ""
    finally:
        server.shutdown()
        server.server_close()
    return outcome, server.seen, errors, server.server_address[1]


def verdict(name: str, theirs: tuple[Any, list[str], str, int], ours: tuple[Any, list[str], str, int]) -> str:
    """One word for a library, and what differs."""
    if "error" in theirs[0]:
        return f"not driven: {theirs[0]['error'][:80]}"
    if ours[0] != theirs[0]:
        return f"DIFFERS: {str(ours[0].get('error') or ours[0]['result'])[:100]} instead of {str(theirs[0]['result'])[:100]}"
    seen: Any = (set(ours[1]), set(theirs[1])) if name in UNORDERED else (ours[1], theirs[1])
    if name in LENGTHS_DIFFER:
        seen = tuple([each.rpartition(" ")[0] for each in side] for side in seen)
    return "same" if seen[0] == seen[1] else f"DIFFERS in what arrived: {[each for each in seen[0] if each not in seen[1]][:3]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all, or those named, and print the table; 0 if all are the same."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks libraries", description=__doc__)
    parser.add_argument("names", nargs="*", help="libraries; all if none is named")
    parser.add_argument("--road", choices=ROADS, action="append", help="only this road; both if none is named")
    parser.add_argument("--venv", type=Path, help="an environment to make or to use; default: one in a temporary folder")
    parser.add_argument("--verbose", action="store_true", help="print results and errors in full")
    options = parser.parse_args(arguments)
    names, roads = options.names or list(LIBRARIES), options.road or ROADS
    same = dict.fromkeys(roads, 0)
    with tempfile.TemporaryDirectory() as temporary:
        python = install(options.venv or Path(temporary), names)
        for name in names:
            theirs = run(python, name)
            outcomes = {road: run(python, name, road, theirs[3]) for road in roads}  # the same port: signatures are over it
            said = {road: verdict(name, theirs, ours) for road, ours in outcomes.items()}
            for road in roads:
                same[road] += said[road] == "same"
            print(f"{name:40} {LIBRARIES[name]:10} " + ", ".join(f"{road}: {said[road]}" for road in roads), flush=True)
            if options.verbose:
                for who, (outcome, seen, errors, _) in {"as it is": theirs, **outcomes}.items():
                    print(f"--- {who}: {outcome}\n{seen}\n{errors[-3000:]}")
    print(", ".join(f"{road}: {number} of {len(names)} the same" for road, number in same.items()))
    return 0 if all(number == len(names) for number in same.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
