"""Clients of services, each sent to a local server that knows as much of the service as it asks for."""

# mypy: ignore-errors
# The libraries are installed in an environment of their own, which no type checker sees.

from __future__ import annotations

import io
import json
from typing import Any

from library_run import drive, failing


@drive("PyGithub")
def github_(url: str) -> Any:
    import github

    client = github.Github(
        auth=github.Auth.Token("t"), base_url=url + "/github", seconds_between_requests=0, seconds_between_writes=0
    )
    user = client.get_user("someone")
    flaky = client.get_repo("o/flaky").full_name
    return user.login, user.name, failing(lambda: client.get_repo("o/none")), flaky


@drive("python-gitlab")
def gitlab_(url: str) -> Any:
    import gitlab

    client = gitlab.Gitlab(url + "/gitlab", private_token="t")
    project = client.projects.get(1)
    uploaded = project.upload("f.txt", filedata="content")
    return project.name, uploaded["url"], failing(lambda: client.projects.get(404))


@drive("jira")
def jira_(url: str) -> Any:
    from jira import JIRA

    client = JIRA(url + "/jira", basic_auth=("u", "p"), get_server_info=False, max_retries=0)
    issue = client.issue("A-1")
    return issue.fields.summary, failing(lambda: client.issue("A-404"))


@drive("hvac")
def hvac_(url: str) -> Any:
    import hvac

    client = hvac.Client(url=url + "/vault", token="t")
    return client.secrets.kv.v2.read_secret_version("p", raise_on_deleted_version=True)["data"], failing(
        lambda: client.read("none")
    )


@drive("stripe")
def stripe_(url: str) -> Any:
    import stripe

    stripe.api_key, stripe.api_base = "sk", url + "/stripe"
    stripe.default_http_client = stripe.RequestsClient()
    return stripe.Customer.retrieve("cus_1")["id"], failing(lambda: stripe.Customer.retrieve("none"))


@drive("twilio")
def twilio_(url: str) -> Any:
    from twilio.http.http_client import TwilioHttpClient

    client = TwilioHttpClient(max_retries=2)
    found = client.request("POST", url + "/echo", data={"To": "1"}, auth=("u", "p"))
    return found.status_code, json.loads(found.text)["body"]


@drive("spotipy")
def spotipy_(url: str) -> Any:
    import spotipy

    client = spotipy.Spotify(auth="token", retries=2, backoff_factor=0.01, status_retries=2)
    client.prefix = url + "/spotify/"
    return client.track("1")["name"], failing(lambda: client.track("404")), client.track("flaky")["name"]


@drive("influxdb")
def influxdb_(url: str) -> Any:
    from influxdb import InfluxDBClient

    host, _, port = url.rpartition("//")[2].partition(":")
    client = InfluxDBClient(host, int(port), path="influx", database="d", gzip=True)
    written = client.write_points([{"measurement": "m", "fields": {"v": 1.0}, "time": 1}])
    return written, list(client.query("select *").get_points())


@drive("elasticsearch7")
def elasticsearch7_(url: str) -> Any:
    from elasticsearch7 import Elasticsearch, RequestsHttpConnection

    client = Elasticsearch([url], url_prefix="elastic", connection_class=RequestsHttpConnection)
    return client.get(index="i", id="1")["_source"], failing(lambda: client.get(index="i", id="none"))


@drive("opensearch-py")
def opensearch_(url: str) -> Any:
    from opensearchpy import OpenSearch, RequestsHttpConnection

    client = OpenSearch([url], url_prefix="elastic", connection_class=RequestsHttpConnection, pool_maxsize=4)
    return client.get(index="i", id="1")["_source"], failing(lambda: client.get(index="i", id="none"))


@drive("pysolr")
def pysolr_(url: str) -> Any:
    import pysolr

    client = pysolr.Solr(url + "/solr/core", timeout=5)
    return [dict(each) for each in client.search("*:*")], failing(lambda: pysolr.Solr(url + "/status/500").search("x"))


@drive("google-auth")
def google_auth(url: str) -> Any:
    from google.auth.transport.requests import AuthorizedSession, Request
    from google.oauth2.credentials import Credentials

    credentials = Credentials("old", refresh_token="r", token_uri=url + "/token", client_id="i", client_secret="s")
    session = AuthorizedSession(credentials)
    refreshed = session.get(url + "/needs-new-token")
    return refreshed.status_code, refreshed.json()["headers"]["Authorization"], Request()(url + "/json").status


@drive("google-cloud-storage")
def storage_(url: str) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
    blob = client.bucket("b").blob("gzipped")
    plain = client.bucket("b").blob("plain")
    up = client.bucket("b").blob("up")
    up.upload_from_string(b"data", content_type="text/plain")
    return (
        blob.download_as_bytes().decode(),
        plain.download_as_bytes().decode(),
        up.size,
        blob.download_as_bytes(raw_download=True)[:2].hex(),
    )


@drive("azure-core")
def azure_(url: str) -> Any:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import HeadersPolicy, RetryPolicy
    from azure.core.rest import HttpRequest

    client = PipelineClient(url, policies=[HeadersPolicy({"X": "1"}), RetryPolicy(retry_total=2, retry_backoff_factor=0.01)])
    found = client.send_request(HttpRequest("GET", url + "/flaky-azure"))
    streamed = client.send_request(HttpRequest("GET", url + "/bytes"), stream=True)
    return (
        found.status_code,
        found.json(),
        len(b"".join(streamed.iter_bytes())),
        failing(lambda: client.send_request(HttpRequest("GET", url + "/status/404")).raise_for_status()),
    )


@drive("databricks-sdk")
def databricks_(url: str) -> Any:
    from databricks.sdk import WorkspaceClient

    client = WorkspaceClient(host=url + "/databricks", token="t", auth_type="pat")
    return client.current_user.me().user_name, failing(lambda: client.clusters.get("none"))


@drive("prometheus-api-client")
def prometheus_(url: str) -> Any:
    from prometheus_api_client import PrometheusConnect

    client = PrometheusConnect(url=url + "/prometheus")
    return client.all_metrics(), client.custom_query("up"), failing(lambda: client.custom_query("none"))


@drive("pystac-client")
def pystac_(url: str) -> Any:
    from pystac_client import Client

    client = Client.open(url + "/stac")
    return client.id, [each.id for each in client.search(max_items=2).items()]


@drive("pyairtable")
def pyairtable_(url: str) -> Any:
    from pyairtable import Api

    table = Api("t", endpoint_url=url + "/airtable", use_field_ids=False).table("app", "Table")
    return table.get("rec1")["fields"], failing(lambda: table.get("none"))


@drive("huggingface_hub")
def huggingface_(url: str) -> Any:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=url + "/hf", token=False)
    return api.model_info("m").id, failing(lambda: api.model_info("none"))


@drive("atlassian-python-api")
def atlassian_(url: str) -> Any:
    from atlassian import Confluence

    client = Confluence(url=url + "/confluence", username="u", password="p", backoff_and_retry=True, cloud=False)
    return client.get_page_by_id("1")["title"], failing(lambda: client.get_page_by_id("404"))


@drive("ibm-cloud-sdk-core")
def ibm_(url: str) -> Any:
    from ibm_cloud_sdk_core import BaseService
    from ibm_cloud_sdk_core.authenticators import NoAuthAuthenticator

    service = BaseService(service_url=url, authenticator=NoAuthAuthenticator())
    service.enable_retries(max_retries=2, retry_interval=0.01)
    found = service.send(service.prepare_request("GET", "/flaky-ibm"))
    return found.get_result(), found.get_status_code(), failing(lambda: service.send(service.prepare_request("GET", "/status/404")))


@drive("langsmith")
def langsmith_(url: str) -> Any:
    from langsmith import Client

    client = Client(api_url=url + "/langsmith", api_key="k", auto_batch_tracing=False)
    client.create_run("r", {"in": 1}, "chain", id="00000000-0000-0000-0000-000000000001")
    return client.read_run("00000000-0000-0000-0000-000000000001").name, failing(
        lambda: client.read_run("00000000-0000-0000-0000-000000000404")
    )


@drive("zeep")
def zeep_(url: str) -> Any:
    from zeep import Client

    client = Client(url + "/service.wsdl")
    return client.service.Say(text="hello")


@drive("datadog")
def datadog_(url: str) -> Any:
    from datadog import api, initialize

    initialize(api_key="k", app_key="a", api_host=url + "/datadog", mute=False)
    return api.Event.create(title="t", text="x")["status"], failing(lambda: api.Monitor.get(404))


@drive("python-jenkins")
def jenkins_(url: str) -> Any:
    import jenkins

    client = jenkins.Jenkins(url + "/jenkins", username="u", password="p")
    return client.get_job_info("j")["name"], failing(lambda: client.get_job_info("none"))


@drive("python-redmine")
def redmine_(url: str) -> Any:
    from redminelib import Redmine

    client = Redmine(url + "/redmine", key="k")
    return client.issue.get(1).subject, failing(lambda: client.issue.get(404))


@drive("pynetbox")
def pynetbox_(url: str) -> Any:
    import pynetbox

    client = pynetbox.api(url + "/netbox", token="t")
    return client.dcim.sites.get(1).name, client.dcim.sites.get(404), failing(lambda: client.dcim.sites.create(name="bad"))


@drive("trino")
def trino_(url: str) -> Any:
    from trino.dbapi import connect

    host, _, port = url.rpartition("//")[2].partition(":")
    cursor = connect(host=host, port=int(port), user="u", http_scheme="http").cursor()
    cursor.execute("select 1")
    return cursor.fetchall()


@drive("Mastodon.py")
def mastodon_(url: str) -> Any:
    from mastodon import Mastodon

    client = Mastodon(access_token="t", api_base_url=url + "/mastodon", version_check_mode="none")
    return client.account_verify_credentials()["username"], failing(lambda: client.status(404))


@drive("pyTelegramBotAPI")
def telegram_(url: str) -> Any:
    import telebot
    from telebot import apihelper

    apihelper.API_URL = url + "/telegram/bot{0}/{1}"
    bot = telebot.TeleBot("1:a", threaded=False)
    sent = bot.send_document(1, io.BytesIO(b"data"), visible_file_name="f.txt")
    return bot.get_me().username, sent.message_id, failing(lambda: bot.get_chat(404))


@drive("proxmoxer")
def proxmoxer_(url: str) -> Any:
    from proxmoxer.backends import https

    session = https.ProxmoxHttpSession()
    session.auth = https.ProxmoxHTTPApiTokenAuth("u@pam", "n", "v")
    found = session.request("GET", url + "/echo")
    return found.status_code, found.json()["headers"]["Authorization"]


@drive("prawcore")
def prawcore_(url: str) -> Any:
    import prawcore

    requestor = prawcore.Requestor(user_agent="praw:test:1 (by /u/me)", oauth_url=url, reddit_url=url)
    authenticator = prawcore.TrustedAuthenticator(requestor=requestor, client_id="id", client_secret="secret")
    authorizer = prawcore.ScriptAuthorizer(authenticator=authenticator, username="u", password="p")
    authorizer.refresh()
    with prawcore.session(authorizer=authorizer) as session:
        return session.request(method="GET", path="/json"), failing(lambda: session.request(method="GET", path="/status/404"))


@drive("msal")
def msal_(url: str) -> Any:
    import msal

    app = msal.PublicClientApplication(
        "id", authority="https://login.example/tenant", http_client=Redirected(url), instance_discovery=False
    )
    got = app.acquire_token_by_username_password("u", "p", ["scope"])
    return got.get("access_token"), got.get("error")


class Redirected:
    """A client of msal's that goes to the local server whatever host is asked: by the session that msal would make itself."""

    def __init__(self, url: str) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self.url = url
        self.session = requests.Session()
        adapter = HTTPAdapter(max_retries=1)
        self.session.mount("http://", adapter)

    def get(self, url: str, **kwargs: Any) -> Any:
        return self.session.get(self._local(url), **kwargs)

    def post(self, url: str, **kwargs: Any) -> Any:
        return self.session.post(self._local(url), **kwargs)

    def _local(self, url: str) -> str:
        return self.url + "/msal/" + url.partition("://")[2].partition("/")[2]

    def close(self) -> None:
        self.session.close()


@drive("dropbox")
def dropbox_(url: str) -> Any:
    import dropbox

    made = dropbox.create_session(max_connections=3)
    made.mount("http://", made.get_adapter("https://api"))
    client = dropbox.Dropbox("token", session=made)
    found = made.post(url + "/echo", data=b"x")
    return found.status_code, found.json()["length"], type(client).__name__


@drive("tweepy")
def tweepy_(url: str) -> Any:
    import tweepy

    host = url.rpartition("//")[2]
    api = tweepy.API(tweepy.OAuth1UserHandler("a", "b", "c", "d"), host=host + "/twitter", retry_count=0)
    api.session.mount("https://", Plain(url, host))
    return [api.verify_credentials().screen_name for _ in range(2)], failing(lambda: api.get_user(screen_name="none"))


def Plain(url: str, host: str) -> Any:
    """An adapter that sends over http what the library insists to send over https."""
    from requests.adapters import HTTPAdapter

    class PlainAdapter(HTTPAdapter):
        def send(self, request: Any, **kwargs: Any) -> Any:
            request.url = request.url.replace("https://", "http://")
            return super().send(request, **kwargs)

    return PlainAdapter()
