"""What modules have asked to be called around a fork is called, once each, in the process that it is meant for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdfast import _fork

SCRIPT = """
import os
from holdfast import _fork
def say(text):
    return lambda: os.write(1, text.encode() + b" ")
def fail():
    say("fails")()
    raise ValueError("one of them")
for name in ("1", "2"):
    _fork.before(say("before" + name))
    _fork.after_in_parent(say("parent" + name))
    _fork.after_in_child(fail if name == "1" else say("child" + name))
pid = os.fork()
if not pid:
    os._exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Platform-specific: there is no fork")
def test_before_in_reverse_order_after_in_order_and_an_error_stops_none() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    said = done.stdout.split()

    assert said[:2] == ["before2", "before1"]
    assert [text for text in said if text.startswith("parent")] == ["parent1", "parent2"]
    assert [text for text in said if text in ("fails", "child2")] == ["fails", "child2"]
    assert len(said) == 6
    assert "ValueError: one of them" in done.stderr


def test_all_are_called_and_the_first_error_is_raised() -> None:
    called: list[int] = []

    def fail() -> None:
        called.append(len(called))
        raise ValueError(str(len(called)))

    with pytest.raises(ValueError, match=r"^1$"):
        _fork._call([fail, lambda: called.append(7), fail])
    assert called == [0, 7, 2]
