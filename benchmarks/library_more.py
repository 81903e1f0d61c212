"""More clients of services, as in ``library_services``: mapping, translation, clouds, monitoring, identity, documents."""

# mypy: ignore-errors
# The libraries are installed in an environment of their own, which no type checker sees.

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from library_run import drive, failing


@drive("googlemaps")
def googlemaps_(url: str) -> Any:
    import googlemaps

    client = googlemaps.Client(key="AIzaSomething", timeout=5, retry_timeout=1)
    client.base_url = url + "/maps"
    return client.geocode("here"), failing(lambda: client.elevation((1, 1)))


@drive("simple-salesforce")
def salesforce_(url: str) -> Any:
    from simple_salesforce import Salesforce

    client = Salesforce(instance="never.example", session_id="sid", version="59.0")
    client.base_url = url + "/salesforce/services/data/v59.0/"
    return client.query("SELECT Id FROM Account")["totalSize"], failing(lambda: client.restful("none"))


@drive("deepl")
def deepl_(url: str) -> Any:
    import deepl

    client = deepl.Translator("key", server_url=url, send_platform_info=False)
    return client.translate_text("hallo", target_lang="EN-GB").text, failing(lambda: client.get_usage())


@drive("py-consul")
def consul_(url: str) -> Any:
    import consul

    parts = urlsplit(url)
    client = consul.Consul(host=parts.hostname, port=parts.port, token="t")
    return client.kv.get("key")[1]["Value"], failing(lambda: client.agent.self())


@drive("keystoneauth1")
def keystone_(url: str) -> Any:
    from keystoneauth1 import session
    from keystoneauth1.token_endpoint import Token

    client = session.Session(auth=Token(url, "t"), connect_retries=1)
    sent = client.post(url + "/echo", json={"a": 1}).json()
    return sent["body"], sent["headers"]["X-Auth-Token"], failing(lambda: client.get(url + "/status/404"))


@drive("hcloud")
def hcloud_(url: str) -> Any:
    import hcloud

    client = hcloud.Client(token="t", api_endpoint=url + "/hcloud", poll_interval=0)
    return client.servers.get_by_id(1).name, failing(lambda: client.servers.get_by_id(404))


@drive("linode_api4")
def linode_(url: str) -> Any:
    from linode_api4 import Instance, LinodeClient

    client = LinodeClient("t", base_url=url + "/linode", retry=False)
    return client.load(Instance, 1).label, failing(lambda: client.load(Instance, 404))


@drive("shodan")
def shodan_(url: str) -> Any:
    import shodan

    client = shodan.Shodan("key")
    client.base_url = url + "/shodan"
    return client.info()["plan"], failing(lambda: client.host("1.1.1.1"))


@drive("canvasapi")
def canvas_(url: str) -> Any:
    from canvasapi import Canvas

    client = Canvas(url + "/canvas", "t")
    return client.get_course(1).name, [each.name for each in client.get_courses()], failing(lambda: client.get_course(404))


@drive("pyzabbix")
def zabbix_(url: str) -> Any:
    from pyzabbix import ZabbixAPI

    client = ZabbixAPI(url + "/zabbix", detect_version=False)
    return client.do_request("apiinfo.version")["result"], failing(lambda: ZabbixAPI(url + "/none").do_request("x"))


@drive("apprise")
def apprise_(url: str) -> Any:
    import apprise

    host = url.removeprefix("http://")
    client = apprise.Apprise()
    for each in (f"json://u:p@{host}/echo", f"form://{host}/echo", f"xml://{host}/echo"):
        client.add(each)
    return client.notify(title="a title", body="a body")


@drive("python-keycloak")
def keycloak_(url: str) -> Any:
    from keycloak import KeycloakOpenID

    client = KeycloakOpenID(server_url=url + "/keycloak/", client_id="c", realm_name="r", client_secret_key="s")
    return client.well_known()["issuer"], client.token("u", "p")["access_token"], failing(lambda: client.userinfo("t"))


@drive("tableauserverclient")
def tableau_(url: str) -> Any:
    import tableauserverclient as tsc

    server = tsc.Server(url + "/tableau", use_server_version=False)
    server.auth.sign_in(tsc.TableauAuth("u", "p", "site"))
    return server.auth_token, server.site_id, failing(lambda: server.users.get_by_id("none"))


@drive("OWSLib")
def owslib_(url: str) -> Any:
    from owslib.util import openURL

    sent = openURL(url + "/echo", "a=1", method="Get", username="u", password="p").read()
    return b"Basic" in sent, failing(lambda: openURL(url + "/status/404", "", method="Get"))


@drive("python-nomad")
def nomad_(url: str) -> Any:
    import nomad

    parts = urlsplit(url)
    client = nomad.Nomad(host=parts.hostname, port=parts.port, token="t", timeout=5)
    return client.job.get_job("j")["ID"], failing(lambda: client.job.get_job("none"))


@drive("notifications-python-client")
def notify_(url: str) -> Any:
    from notifications_python_client import NotificationsAPIClient

    key = "name-" + "-".join(["11111111-1111-1111-1111-111111111111"] * 2)
    client = NotificationsAPIClient(key, base_url=url)
    return client.send_sms_notification("+44", "t")["id"], failing(lambda: client.get_notification_by_id("none"))


@drive("wikipedia")
def wikipedia_(url: str) -> Any:
    import wikipedia

    wikipedia.wikipedia.API_URL = url + "/wikipedia"
    return wikipedia.search("word"), failing(lambda: wikipedia.page("none", auto_suggest=False))


@drive("slumber")
def slumber_(url: str) -> Any:
    import slumber

    client = slumber.API(url, append_slash=False, auth=("u", "p"))
    return client.json.get(), client.echo.post({"a": 1})["body"], failing(lambda: client.status("404").get())
