"""A gibibyte may go out as a form, and another come in as a stream, through a process that never holds 60 MiB.

What a process ever had resident is the kernel's word (``VmHWM``), interpreter and imports included. A quarter of a gibibyte
shows as well as a whole one that what is resident does not grow with what is moved: four times the growth, on top of what
a small body takes, has to stay below the bound. The whole gibibyte is moved by ``python -m benchmarks memory``.
"""

from __future__ import annotations

import os

import pytest

from benchmarks.memory import MEBIBYTE, download, upload

BOUND = 60 * MEBIBYTE
SIZE = 256 * MEBIBYTE

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux says how much was resident")


def resident_for_a_gibibyte(small: int, large: int) -> float:
    """What a gibibyte would make resident, if what is beyond the small body's grows with the body."""
    return small + max(0, large - small) * ((1 << 30) / SIZE)


def test_a_large_multipart_upload_takes_no_more_memory_than_a_small_one() -> None:
    small, large = upload("holdfast", MEBIBYTE), upload("holdfast", SIZE)

    assert large["moved"] > SIZE  # the form around the file counts too
    assert resident_for_a_gibibyte(small["resident"], large["resident"]) < BOUND


def test_a_large_streamed_download_takes_no_more_memory_than_a_small_one() -> None:
    small, large = download("holdfast", MEBIBYTE), download("holdfast", SIZE)

    assert large["moved"] == SIZE
    assert resident_for_a_gibibyte(small["resident"], large["resident"]) < BOUND


def test_the_measure_sees_a_form_that_is_read_into_memory() -> None:
    assert upload("requests", 64 * MEBIBYTE)["resident"] > 2 * BOUND
