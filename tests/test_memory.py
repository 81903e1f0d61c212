"""A gibibyte goes out as a form, and another comes in as a stream, through a process that never holds 60 MiB.

What the process ever had resident is the kernel's word (``VmHWM``), interpreter and imports included.
"""

from __future__ import annotations

import os

import pytest

from benchmarks.memory import MEBIBYTE, download, upload

GIBIBYTE = 1 << 30
BOUND = 60 * MEBIBYTE

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux says how much was resident")


def test_a_multipart_upload_of_a_gibibyte_takes_no_more_memory_than_a_small_one() -> None:
    seen = upload("holdfast", GIBIBYTE)

    assert seen["moved"] > GIBIBYTE  # the form around the file counts too
    assert seen["resident"] < BOUND


def test_a_streamed_download_of_a_gibibyte_takes_no_more_memory_than_a_small_one() -> None:
    seen = download("holdfast", GIBIBYTE)

    assert seen["moved"] == GIBIBYTE
    assert seen["resident"] < BOUND


def test_the_measure_sees_a_form_that_is_read_into_memory() -> None:
    assert upload("requests", 64 * MEBIBYTE)["resident"] > 2 * BOUND
