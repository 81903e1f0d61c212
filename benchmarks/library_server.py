"""The server that ``benchmarks.libraries`` sends real libraries to: as much of each service's interface as its drive asks for."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

JSON: dict[str, Any] = {
    "/json": {"a": 1},
    "/json?a=1": {"a": 1},
    "/token": {"access_token": "new", "token_type": "bearer", "expires_in": 3600, "refresh_token": "r", "scope": "*"},
    "/api/v1/access_token": {"access_token": "new", "token_type": "bearer", "expires_in": 3600, "scope": "*"},
    "/docker/v1.44/info": {"Id": "x"},
    "/github/users/someone": {"login": "someone", "name": "Some One", "url": "http://127.0.0.1/"},
    "/github/repos/o/flaky": {"full_name": "o/flaky", "url": "http://127.0.0.1/"},
    "/gitlab/api/v4/projects/1": {"id": 1, "name": "one"},
    "/gitlab/api/v4/projects/1/uploads": {"url": "/uploads/f.txt", "alt": "f", "markdown": "f"},
    "/jira/rest/api/2/issue/A-1": {"id": "1", "key": "A-1", "fields": {"summary": "a summary"}},
    "/jira/rest/api/2/field": [],
    "/vault/v1/secret/data/p": {"data": {"data": {"k": "v"}, "metadata": {}}},
    "/stripe/v1/customers/cus_1": {"id": "cus_1", "object": "customer"},
    "/spotify/tracks/1": {"name": "one"},
    "/spotify/tracks/flaky": {"name": "flaky"},
    "/influx/query": {"results": [{"series": [{"name": "m", "columns": ["time", "v"], "values": [["t", 1.0]]}]}]},
    "/elastic/": {"version": {"number": "7.17.13", "build_flavor": "default"}, "tagline": "You Know, for Search"},
    "/elastic/i/_doc/1": {"_index": "i", "_id": "1", "found": True, "_source": {"f": 1}},
    "/solr/core/select/": {"response": {"numFound": 1, "start": 0, "docs": [{"id": "1"}]}},
    "/flaky-azure": {"azure": 1},
    "/flaky-ibm": {"ibm": 1},
    "/databricks/api/2.0/preview/scim/v2/Me": {"userName": "me"},
    "/prometheus/api/v1/label/__name__/values": {"status": "success", "data": ["up"]},
    "/prometheus/api/v1/query": {"status": "success", "data": {"resultType": "vector", "result": []}},
    "/airtable/v0/app/Table/rec1": {"id": "rec1", "createdTime": "2024-01-01T00:00:00.000Z", "fields": {"A": 1}},
    "/hf/api/models/m": {"id": "m", "modelId": "m", "tags": [], "downloads": 1, "likes": 1, "private": False, "siblings": []},
    "/confluence/rest/api/content/1": {"id": "1", "title": "a page"},
    "/langsmith/info": {},
    "/langsmith/runs": {},
    "/langsmith/runs/00000000-0000-0000-0000-000000000001": {
        "id": "00000000-0000-0000-0000-000000000001", "name": "r", "run_type": "chain", "inputs": {},
        "start_time": "2024-01-01T00:00:00",
        "trace_id": "00000000-0000-0000-0000-000000000001", "session_id": "00000000-0000-0000-0000-000000000002",
    },
    "/datadog/api/v1/events": {"status": "ok", "event": {}},
    "/jenkins/job/j/api/json": {"name": "j"},
    "/redmine/issues/1.json": {"issue": {"id": 1, "subject": "a subject"}},
    "/netbox/api/dcim/sites/1/": {"id": 1, "name": "a site", "url": "http://127.0.0.1/api/dcim/sites/1/"},
    "/netbox/api/status/": {"netbox-version": "4.0.0"},
    "/mastodon/api/v1/accounts/verify_credentials": {"id": "1", "username": "me", "acct": "me"},
    "/telegram/bot1:a/getMe": {"ok": True, "result": {"id": 1, "is_bot": True, "first_name": "b", "username": "bot"}},
    "/telegram/bot1:a/sendDocument": {"ok": True, "result": {"message_id": 7, "date": 1, "chat": {"id": 1, "type": "private"}}},
    "/twitter/1.1/account/verify_credentials.json": {"id": 1, "screen_name": "me"},
    "/msal/tenant/v2.0/.well-known/openid-configuration": {
        "authorization_endpoint": "https://login.example/tenant/authorize", "token_endpoint": "https://login.example/tenant/token",
        "issuer": "https://login.example/tenant/v2.0", "device_authorization_endpoint": "https://login.example/tenant/device",
    },
    "/msal/common/userrealm/u": {"account_type": "Managed"},
    "/msal/tenant/token": {"access_token": "at", "token_type": "Bearer", "expires_in": 3600},
    "/maps/maps/api/geocode/json": {"status": "OK", "results": [{"place_id": "p"}]},
    "/maps/maps/api/elevation/json": {"status": "REQUEST_DENIED", "error_message": "no"},
    "/salesforce/services/data/v59.0/query/": {"totalSize": 1, "done": True, "records": [{"Id": "1"}]},
    "/v2/translate": {"translations": [{"detected_source_language": "DE", "text": "hello", "billed_characters": 5}]},
    "/v2/usage": {"character_count": 3, "character_limit": 10},
    "/v1/kv/key": [{"Key": "key", "Value": "dmFsdWU=", "CreateIndex": 1, "ModifyIndex": 1, "LockIndex": 0, "Flags": 0}],
    "/hcloud/servers/1": {"server": {"id": 1, "name": "a server"}},
    "/linode/linode/instances/1": {"id": 1, "label": "an instance"},
    "/shodan/api-info": {"plan": "dev"},
    "/canvas/api/v1/courses/1": {"id": 1, "name": "a course"},
    "/canvas/api/v1/courses": [{"id": 1, "name": "a course"}, {"id": 2, "name": "another"}],
    "/zabbix/api_jsonrpc.php": {"jsonrpc": "2.0", "result": "6.0.0", "id": 0},
    "/keycloak/realms/r/.well-known/openid-configuration": {"issuer": "i", "token_endpoint": "t"},
    "/keycloak/realms/r/protocol/openid-connect/token": {"access_token": "at", "refresh_token": "rt", "expires_in": 60},
    "/v1/job/j": {"ID": "j"},
    "/v2/notifications/sms": {"id": "sms"},
    "/wikipedia": {"query": {"search": [{"title": "Word"}], "pages": {"-1": {"missing": ""}}}},
}  # fmt: skip
"""What is answered by path; the query does not count."""

FLAKY = {"/github/repos/o/flaky": 502, "/spotify/tracks/flaky": 502, "/flaky-azure": 503, "/flaky-ibm": 503}
"""The status of the first answer on these paths; the second is the one above."""

WSDL = """<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:t="urn:t"
 xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t">
 <types><x:schema targetNamespace="urn:t" elementFormDefault="qualified">
  <x:complexType name="T"><x:sequence><x:element name="text" type="x:string"/></x:sequence></x:complexType>
  <x:element name="Say" type="t:T"/><x:element name="Said" type="t:T"/>
 </x:schema></types>
 <message name="In"><part name="p" element="t:Say"/></message><message name="Out"><part name="p" element="t:Said"/></message>
 <portType name="P"><operation name="Say"><input message="t:In"/><output message="t:Out"/></operation></portType>
 <binding name="B" type="t:P"><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
  <operation name="Say"><soap:operation soapAction="say"/><input><soap:body use="literal"/></input>
   <output><soap:body use="literal"/></output></operation></binding>
 <service name="S"><port name="O" binding="t:B"><soap:address location="%s/soap"/></port></service>
</definitions>"""
SAID = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><Said xmlns="urn:t"><text>heard</text></Said>'
    "</s:Body></s:Envelope>"
)
FORM = "<html><form action='/echo' method='post'><input name='name'/><input type='submit'/></form></html>"


def ntlm_challenge() -> str:
    """An NTLM type 2 message: the server's challenge, with the least that clients ask of it."""
    name = "T".encode("utf-16-le")
    info = struct.pack("<HH", 2, len(name)) + name + struct.pack("<HH", 1, len(name)) + name + struct.pack("<HH", 0, 0)
    flags = 0xE28A8235 & ~0x02000000 & ~0x00000010 & ~0x00000020
    head = struct.pack(
        "<8sIHHIIQQHHI", b"NTLMSSP\0", 2, len(name), len(name), 48, flags, 1, 0, len(info), len(info), 48 + len(name)
    )
    return base64.b64encode(head + name + info).decode()


class Handler(BaseHTTPRequestHandler):
    """Answers by path; keeps connections."""

    protocol_version = "HTTP/1.1"
    server: LibraryServer

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def any_method(self) -> None:
        """Answer whatever was asked."""
        body = self.read_body()
        path = urlsplit(self.path).path
        # Only what both ways of carrying must have in common: methods, paths, lengths.
        self.server.seen.append(f"{self.command} {path} {len(body)}")
        status = self.server.status_now(path)
        if status is not None:
            self.answer(status, b"{}", {"Content-Type": "application/json"})
        elif path.startswith("/status/"):
            self.answer(int(path.split("/")[2]), b'{"error": "as asked"}', {"Content-Type": "application/json"})
        elif hasattr(self, found := "path_" + path.strip("/").replace("/", "_").replace("-", "_").replace(".", "_")):
            getattr(self, found)(body)
        elif path in JSON:
            self.json(JSON[path])
        elif path.startswith(("/download/storage/v1/b/b/o/", "/upload/storage", "/storage/")):
            self.storage(path, body)
        else:
            self.json({"error": "not found", "message": "not found", "ok": False, "error_code": 404, "description": "none"}, 404)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = any_method

    def read_body(self) -> bytes:
        """The body of the request, however it is framed."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a response."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value: Any, status: int = 200) -> None:
        """Send JSON."""
        known_by = {"X-Elastic-Product": "Elasticsearch", "X-Consul-Index": "1"}
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **known_by})

    def log_message(self, *args: Any) -> None:
        """Nothing."""

    # -- paths with more to them

    def path_echo(self, body: bytes) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        self.json({"method": self.command, "length": len(body), "headers": headers, "body": body.decode("latin-1")})

    def path_bytes(self, body: bytes) -> None:
        self.answer(200, bytes(range(250)) * 20, {"Content-Type": "application/octet-stream"})

    def path_cookie(self, body: bytes) -> None:
        self.answer(200, b"with a cookie", {"Set-Cookie": "sid=1; Path=/"})

    def path_cached(self, body: bytes) -> None:
        self.answer(200, b"fresh", {"Cache-Control": "max-age=100"})

    def path_cached_chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=100")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")

    def path_form(self, body: bytes) -> None:
        self.answer(200, FORM.encode(), {"Content-Type": "text/html"})

    def path_suffixes(self, body: bytes) -> None:
        self.answer(
            200, b"// ===BEGIN ICANN DOMAINS===\ntest\nco.test\n// ===END ICANN DOMAINS===\n", {"Content-Type": "text/plain"}
        )

    def path_needs_new_token(self, body: bytes) -> None:
        if self.headers.get("Authorization") == "Bearer new":
            self.path_echo(body)
        else:
            self.answer(401, b"")

    def path_ntlm(self, body: bytes) -> None:
        message = base64.b64decode(self.headers.get("Authorization", "").partition(" ")[2] or "")
        if message[8:9] == b"\3":
            self.answer(200, b"welcome")
        else:
            challenge = f"NTLM {ntlm_challenge()}" if message else "NTLM"
            self.answer(401, b"", {"WWW-Authenticate": challenge})

    def path_influx_write(self, body: bytes) -> None:
        self.answer(204, b"")

    def path_service_wsdl(self, body: bytes) -> None:
        host, port = self.server.server_address[:2]
        self.answer(200, (WSDL % f"http://{host!s}:{port}").encode(), {"Content-Type": "text/xml"})

    def path_tableau_api_2_4_auth_signin(self, body: bytes) -> None:
        said = "<tsResponse xmlns='http://tableau.com/api'><credentials token='tk'><site id='s1' contentUrl='site'/><user id='u1'/>"
        self.answer(200, (said + "</credentials></tsResponse>").encode(), {"Content-Type": "application/xml"})

    def path_soap(self, body: bytes) -> None:
        self.answer(200, SAID.encode(), {"Content-Type": "text/xml; charset=utf-8"})

    def path_stac(self, body: bytes) -> None:
        root = f"http://{self.headers['Host']}/stac"
        self.json({
            "type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "d",
            "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
            "links": [{"rel": "self", "href": root}, {"rel": "root", "href": root}, {"rel": "search", "href": root + "/search"}],
        })  # fmt: skip

    def path_stac_search(self, body: bytes) -> None:
        items: list[Any] = [
            {
                "type": "Feature", "id": str(n), "stac_version": "1.0.0", "geometry": None, "links": [], "assets": {},
                "properties": {"datetime": "2024-01-01T00:00:00Z"},
            }
            for n in range(2)
        ]  # fmt: skip
        self.json({"type": "FeatureCollection", "features": items, "links": []})

    def path_v1_statement(self, body: bytes) -> None:
        root = f"http://{self.headers['Host']}"
        self.json({"id": "q", "infoUri": root, "nextUri": root + "/v1/next", "stats": {"state": "QUEUED"}})

    def path_v1_next(self, body: bytes) -> None:
        column = {"name": "c", "type": "integer", "typeSignature": {"rawType": "integer", "arguments": []}}
        self.json({"id": "q", "infoUri": "x", "columns": [column], "data": [[1]], "stats": {"state": "FINISHED"}})

    def storage(self, path: str, body: bytes) -> None:
        """What google-cloud-storage asks for: an upload, and two objects to download, one of them stored compressed."""
        plain = b"hello, hello, hello"
        if path.startswith("/upload"):
            self.json({"name": "up", "bucket": "b", "size": "4"})
            return
        data = gzip.compress(plain, mtime=0) if path.endswith("gzipped") else plain
        headers = {"X-Goog-Hash": "md5=" + base64.b64encode(hashlib.md5(data).digest()).decode(), "Content-Type": "text/plain"}
        if path.endswith("gzipped"):
            headers["Content-Encoding"] = "gzip"
        self.answer(200, data, headers)


class LibraryServer(ThreadingHTTPServer):
    """The server, running in a thread of its own on a free port of this machine.

    Attributes:
        seen: what arrived: method, path and length of the body of each request, in order.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.seen: list[str] = []
        self._flaky = dict(FLAKY)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def status_now(self, path: str) -> int | None:
        """The status of a path that fails the first time it is asked for, and only then."""
        return self._flaky.pop(path, None)
