"""Fields one by one: what is secret in one, and what is not."""

from __future__ import annotations

import time

import pytest

from holdfast.message.fields import SECRET_HEADERS, is_secret, is_token
from holdfast.message.headers import Headers
from tests.message.responses import answer, theirs

SECRET = [
    *("X-Goog-Api-Key", "Private-Token", "X-Vault-Token", "DD-API-KEY", "DD-APPLICATION-KEY", "Ocp-Apim-Subscription-Key"),
    *("X-Shopify-Access-Token", "X-MBX-APIKEY", "apikey", "JOB-TOKEN", "X-Auth-Key", "X-Parse-Session-Token", "X-AuthToken"),
    *("X-Forwarded-Authorization", "X-Amz-Authorization-Extra", "X_API_KEY", "Token", "Key", "x-client-secret", "Signature"),
    *("X-Hub-Signature-256", "X-Signature-SHA256", "X-Api-Key-2", "X-Password", "X-Credential", "X-Credentials", "Password"),
    *("x-amz-server-side-encryption-customer-key", "x-goog-encryption-key", "X-CSRFToken", "X-XSRF-TOKEN", "X-Passphrase"),
    *("Account-Secret-Keys", "X-Access-Tokens", "Proxy-Authorization", "COOKIE", "Set-Cookie", "X-Api-Key"),
]

ORDINARY = [
    *("Accept", "Content-Type", "User-Agent", "Host", "ETag", "If-Match", "Origin", "Referer", "Content-Length", "Via"),
    *("Idempotency-Key", "X-Idempotency-Key", "Sec-WebSocket-Key", "Surrogate-Key", "X-Surrogate-Key", "Cache-Key"),
    *("X-Cache-Key", "Lock-Token", "X-Partition-Key", "X-Amz-Content-Sha256", "x-amz-server-side-encryption-aws-kms-key-id"),
    *("Keep-Alive", "Monkey", "X-Turkey", "X-Tokenizer", "Secretary", "X-Key-Id", "X-Token-Count", "Signature-Input", "Keynote"),
    *("X-Design", "Author", "Authority", "X-Auth-User", "WWW-Authenticate", "Proxy-Authenticate", "traceparent", "X-Hockey", ""),
]


@pytest.mark.parametrize("name", SECRET)
def test_what_looks_like_a_credential_is_secret(name: str) -> None:
    assert is_secret(name)
    assert is_secret(name.swapcase())
    assert "hunter2" not in repr(Headers({name: "hunter2"}))


@pytest.mark.parametrize("name", ORDINARY)
def test_what_only_ends_alike_is_not(name: str) -> None:
    assert not is_secret(name)
    assert "shown" in repr(Headers({name: "shown"}))


def test_the_exact_list_is_secret_whatever_the_rule_says() -> None:
    assert all(is_secret(name) for name in SECRET_HEADERS)


@pytest.mark.parametrize("name", ["api" * 100_000, "-key" * 100_000 + "x", "-" * 300_000, "-sha" * 100_000])
def test_a_long_name_is_looked_at_in_linear_time(name: str) -> None:
    assert not is_secret(name)  # a pattern that tried again at every hyphen would take minutes


@pytest.mark.parametrize(("text", "token"), [("GET", True), ("a|b~", True), ("", False), ("a b", False), ("ä", False)])
def test_tokens(text: str, token: bool) -> None:
    assert is_token(text) is token


# -- links -----------------------------------------------------------------------------------------------------

LINKS = [
    '<http://a/?page=2>; rel="next", <http://a/?page=9>; rel=last',
    '<http://a/front.jpeg>; rel=front; type="image/jpeg"',
    "<http://a/x>",
    "<http://a/x>;",
    '<http://a/x>; title="a, b; c"; rel=y',
    "<http://a/x>; rel='single'",
    "",
]


@pytest.mark.parametrize("value", [link for link in LINKS if "a, b" not in link])
def test_links_are_those_of_requests(value: str) -> None:
    assert answer(headers=[(b"Link", value.encode())]).links == theirs(b"", {"link": value}).links


def test_links_know_quoted_strings_several_relations_and_several_fields() -> None:
    headers = [
        (b"Link", b'<http://a/?x=1,2;3>; title="a, \\"b; c"; rel="prev first"'),
        (b"Link", b"junk; rel=junk, <http://a/2>; rel=next"),
    ]
    links = answer(headers=headers).links
    assert set(links) == {"prev first", "prev", "first", "next"}
    assert links["prev"]["url"] == "http://a/?x=1,2;3"
    assert links["next"] == {"url": "http://a/2", "rel": "next"}


@pytest.mark.parametrize("unit", [b"<", b'"', b"<>;", b"a=;,", b'"\\', b" ,", b"<,>=", b"charset=;"])
def test_64_kib_of_malice_are_read_in_linear_time(unit: bytes) -> None:
    hostile = unit * (65536 // len(unit))
    response = answer(headers=[(b"Link", hostile), (b"Content-Type", hostile)])
    started = time.thread_time()
    _ = response.links, response.encoding
    assert time.thread_time() - started < 0.5  # 0.02 in fact; a quadratic reading takes minutes
