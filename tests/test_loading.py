"""What connects is loaded by a program's first client, and TLS by its first https URL: in threads, around forks, after Ctrl-C.

Each test is about the first time, and has an interpreter of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import Tls
from tests.server import Server
from tests.support import holding

WATCHED = """
import sys, threading
import holdfast

class Gate:  # within the import of one module: told of it, and kept there until the test goes on
    def __init__(self, name):
        self.name, self.inside, self.goes_on = name, threading.Event(), threading.Event()
        sys.meta_path.insert(0, self)
    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            self.inside.set()
            assert self.goes_on.wait(30)
"""


def printed(source: str, *arguments: str) -> str:
    """What a fresh interpreter prints, which must end well."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_threads_that_make_the_first_clients_at_once_all_get_one() -> None:
    code = """
import threading
import holdfast
barrier, statuses = threading.Barrier(8), []
def call():
    barrier.wait()
    with holdfast.Client() as client:
        statuses.append(client.get(sys.argv[1]).status_code)
threads = [threading.Thread(target=call) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(statuses)
"""
    with Server() as server:
        assert printed(f"import sys{code}", server.url("/")) == f"{[200] * 8}\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("module", ["holdfast.wire.http1", "holdfast.wire.tls"])
def test_a_fork_while_a_thread_loads_leaves_a_child_that_can_connect(module: str, tls: Tls) -> None:
    """No thread is left in the child that would finish the import: it used to wait for that for ever, and here the fork waits."""
    code = """
import os, signal, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads
url, ca, name = sys.argv[1:]
gate = Gate(name)
os.register_at_fork(before=gate.goes_on.set)  # runs before what holdfast has registered
def load():
    try:
        holdfast.Client(verify="nowhere").get(url)
    except OSError as error:
        assert error.filename == "nowhere"  # TLS is loaded, and nothing is dialled, which imports modules of Python's
thread = threading.Thread(target=load)
thread.start()
assert gate.inside.wait(30)
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(0 if holdfast.Client(verify=ca).get(url).status_code == 200 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
"""
    with Server(tls=tls.server_context()) as server:
        assert printed(WATCHED + code, server.url("/", host="localhost"), tls.ca_path, module) == "0\n"


def test_after_a_ctrl_c_in_the_middle_of_the_first_client_the_next_one_works() -> None:
    code = """
import sys
import holdfast
class Interrupt:
    left = {"h11._readers", "holdfast.wire.http1", "holdfast.pool.pool", "holdfast.transport"}
    def find_spec(self, name, path=None, target=None):
        if name in self.left:
            self.left.discard(name)
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
struck = 0
while True:
    try:
        client = holdfast.Client()
        break
    except KeyboardInterrupt:
        struck += 1
print(struck, client.get(sys.argv[1]).status_code)
client.close()
"""
    with Server() as server:
        assert printed(code, server.url("/")) == "4 200\n"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_first_call_of_a_program_may_be_made_as_it_exits(scheme: str, tls: Tls) -> None:
    code = """
import atexit, sys
import holdfast
atexit.register(lambda: print(holdfast.get(sys.argv[1], verify=sys.argv[2]).status_code))
"""
    with Server(tls=tls.server_context() if scheme == "https" else None) as server:
        assert printed(code, server.url("/", host="localhost"), tls.ca_path) == "200\n"


def test_every_public_name_is_there_before_the_first_client() -> None:
    printed("from holdfast import *")
    printed("import holdfast; [getattr(holdfast, name) for name in holdfast.__all__]")


def test_types_and_exceptions_are_the_same_before_and_after_the_first_client() -> None:
    code = """
import holdfast
from holdfast import Client, ConnectionError, Response, SSLError
client = Client(timeout=5)
try:
    client.get("http://127.0.0.1:1/")
except ConnectionError as error:
    print(isinstance(error, holdfast.RequestException), isinstance(client, Client))
client.close()
"""
    assert printed(code) == "True True\n"


def test_a_context_of_the_program_is_one_though_a_test_has_replaced_ssls_class_before_tls_is_loaded(tls: Tls) -> None:
    code = """
import ssl, sys
import holdfast
context = ssl.create_default_context(cafile=sys.argv[2])
own, ssl.SSLContext = ssl.SSLContext, type("Replacement", (), {})
client = holdfast.Client(verify=context)
try:
    client.get(sys.argv[1])
except holdfast.SSLError as error:
    print(type(error).__name__)
else:
    print("connected")
ssl.SSLContext = own
client.close()
"""
    with Server(tls=tls.server_context()) as server:
        assert printed(code, server.url("/", host="localhost"), tls.ca_path) == "connected\n"


GUARDED = """
import json, socket, sys
import holdfast
url, ca, kind = sys.argv[1:]
class NoNetwork(socket.socket):
    def __new__(cls, *arguments, **settings):
        raise RuntimeError("no network here")
def no_network(*arguments, **settings):
    raise RuntimeError("no network here")
own, socket.socket = socket.socket, {"class": NoNetwork, "function": no_network}[kind]
"""


@pytest.mark.parametrize("guard", ["class", "function"])
def test_a_guard_that_was_in_the_place_of_socket_socket_as_tls_was_loaded_is_gone_with_its_test(guard: str, tls: Tls) -> None:
    """What ssl is imported over, its sockets derive from for ever: https used to be refused by that guard from then on."""
    code = """
try:
    holdfast.get(url, verify=ca)
except RuntimeError as error:
    print(error)
print(socket.socket is not own)
socket.socket = own
print(holdfast.get(url, verify=ca).status_code)
"""
    with Server(tls=tls.server_context()) as server:
        said = printed(GUARDED + code, server.url("/", host="localhost"), tls.ca_path, guard)

    assert said == "no network here\nTrue\n200\n"


def test_cookies_under_a_guard_leave_ssl_as_it_is(tls: Tls) -> None:
    """http.cookiejar imports http.client, and that imports ssl."""
    code = """
assert "ssl" not in sys.modules
from holdfast.message.cookies import CookieJar
assert "ssl" in sys.modules
socket.socket = own
print(holdfast.get(url, verify=ca).status_code)
"""
    with Server(tls=tls.server_context()) as server:
        assert printed(GUARDED + code, server.url("/", host="localhost"), tls.ca_path, "class") == "200\n"


def test_a_call_can_be_ended_from_outside_though_what_connects_was_loaded_under_a_guard_that_is_a_function() -> None:
    code = """
client = holdfast.Client()
socket.socket = own
with client.get(url, stream=True) as response:
    client.close()
    try:
        response.content
    except holdfast.RequestException as error:
        print(type(error).__name__)
"""
    with Server(holding) as server:
        assert printed(GUARDED + code, server.url("/hold"), "", "function") == "ClientClosed\n"


def test_a_tracing_agents_wrapper_of_getaddrinfo_is_asked_though_it_was_there_before_the_first_client() -> None:
    """wrapt's wrappers have the globals of what they wrap, and say that they are functions."""
    code = """
import socket, sys
import holdfast
asked = []
class Wrapper:
    def __init__(self, wrapped):
        self.wrapped, self.__globals__ = wrapped, wrapped.__globals__
    __class__ = property(lambda self: type(self.wrapped))
    def __call__(self, *arguments, **settings):
        asked.append(arguments[0])
        return self.wrapped(*arguments, **settings)
socket.getaddrinfo = Wrapper(socket.getaddrinfo)
print(holdfast.get(sys.argv[1]).status_code, asked)
"""
    with Server() as server:
        assert printed(code, server.url("/", host="localhost")) == "200 ['localhost']\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_waits_until_openssl_has_read_the_authorities_of_a_context(tls: Tls) -> None:
    """The child had OpenSSL's locks as a thread of the parent held them: one in ten hung in its own first context, for ever."""
    code = """
import os, ssl, sys, threading, warnings
import holdfast
warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads
url, ca = sys.argv[1:]
inside, goes_on, loaded = threading.Event(), threading.Event(), []
load = ssl.SSLContext.load_verify_locations
def watched(context, *arguments, **settings):
    inside.set()
    assert goes_on.wait(30)
    load(context, *arguments, **settings)
    loaded.append(True)
ssl.SSLContext.load_verify_locations = watched
os.register_at_fork(before=goes_on.set)  # runs before what holdfast has registered
thread = threading.Thread(target=lambda: holdfast.get(url, verify=ca))
thread.start()
assert inside.wait(30)
child = os.fork()
if child == 0:
    os._exit(0 if loaded else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
"""
    with Server(tls=tls.server_context()) as server:
        assert printed(code, server.url("/", host="localhost"), tls.ca_path) == "0\n"


def test_the_codec_of_names_comes_with_the_first_client() -> None:
    """getaddrinfo imports it in a thread: a child that was forked then found it half imported, or waited for it for ever."""
    code = """
import sys
import holdfast
before = "encodings.idna" in sys.modules
holdfast.Client().close()
print(before, "encodings.idna" in sys.modules)
"""
    assert printed(code) == "False True\n"


def test_a_client_loads_tls_while_another_thread_imports_the_same_modules_for_itself(tls: Tls) -> None:
    """The one has the lock of what is loaded, the other that of a module, and neither may want both in the other order."""
    code = """
import sys, threading
import holdfast
url, ca = sys.argv[1:]
importing, loading = threading.Event(), threading.Event()
def watch(event, arguments):
    if event == "exec" and arguments[0].co_filename.endswith("openssl.py"):  # the module's lock is held, and no other
        importing.set()
        assert loading.wait(30)
    elif event == "import" and arguments[0] == "holdfast.wire.tls" and threading.current_thread() is caller:
        loading.set()
sys.addaudithook(watch)
importer = threading.Thread(target=lambda: __import__("holdfast.requests"), daemon=True)
caller = threading.Thread(target=lambda: print(holdfast.get(url, verify=ca).status_code), daemon=True)
importer.start()
assert importing.wait(30)
caller.start()
for thread in importer, caller:
    thread.join(30)
print(importer.is_alive(), caller.is_alive())
"""
    with Server(tls=tls.server_context()) as server:
        assert printed(code, server.url("/", host="localhost"), tls.ca_path) == "200\nFalse False\n"
