"""What users write by mistake: a type checker says so. Each comment that silences it would be an error itself, were it needless."""

from __future__ import annotations

import os

import holdfast
from holdfast import Client
from holdfast import requests as old

URL = "https://api.example.org/v1"


def a_keyword_that_is_none(client: Client) -> None:
    client.get(URL, timout=5)  # type: ignore[call-arg]
    client.post(URL, jsno={})  # type: ignore[call-arg]
    holdfast.get(URL, follow_redirects=True)  # type: ignore[call-arg]
    holdfast.configure(timout=5)  # type: ignore[call-arg]
    old.get(URL, timout=5)  # type: ignore[call-arg]
    old.Session(timout=5)  # type: ignore[call-arg]
    old.Session().put(URL, timout=5)  # type: ignore[call-arg]


def a_value_of_a_wrong_kind(client: Client) -> None:
    client.get(URL, headers="Accept: x")  # type: ignore[arg-type]
    client.get(URL, timeout="5")  # type: ignore[arg-type]
    client.get(URL, proxies="http://proxy:3128")  # type: ignore[arg-type]
    client.get(URL, auth="token")  # type: ignore[arg-type]
    client.get(URL, cookies="a=b")  # type: ignore[arg-type]
    client.get(os.environ.get("URL"))  # type: ignore[arg-type]
    client.post(URL, data=5)  # type: ignore[arg-type]
    holdfast.get(URL, retries="3")  # type: ignore[arg-type]
