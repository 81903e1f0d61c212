"""The server of the tests: ``holdfast.testing``'s, which is the test's peer and does what its script says, byte by byte."""

from __future__ import annotations

from holdfast.testing.behaviours import connect_proxy, echo, echo_of, replies
from holdfast.testing.connection import Conn, Home, Received, Script, Stopped
from holdfast.testing.responses import chunked, chunks, head, ok, redirect, response
from holdfast.testing.server import WAIT_SECONDS, Server

__all__ = [
    "WAIT_SECONDS",
    "Conn",
    "Home",
    "Received",
    "Script",
    "Server",
    "Stopped",
    "chunked",
    "chunks",
    "connect_proxy",
    "echo",
    "echo_of",
    "head",
    "ok",
    "redirect",
    "replies",
    "response",
]
