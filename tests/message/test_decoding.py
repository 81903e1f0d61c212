"""Content codings are undone in bounded memory, the same however the data is cut, and never beyond an error."""

from __future__ import annotations

import gzip
import importlib.util
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.exceptions import ContentDecodingError, DecodedTooLarge
from holdfast.message import decoding
from holdfast.message.decoding import Decoder, accept_encoding, make_decoder

brotli = pytest.importorskip("brotli")
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    zstd = pytest.importorskip("backports.zstd")


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


# (Content-Encoding, how to make it)
CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzipped),
    "x-gzip": ("X-GZip", gzipped),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", partial(brotli.compress, quality=5)),  # the best takes a hundred times as long
    "zstd": ("zstd", zstd.compress),
}
NAMES = [name for name in CODINGS if name != "x-gzip"]
TEXT = b"".join(b"%d bottles of beer on the wall\n" % n for n in range(2000))


def decoder(coding: str, max_decoded: int | None = None) -> Decoder:
    made = make_decoder(coding, max_decoded)
    assert made is not None
    return made


def streamed(made: Decoder, data: bytes, size: int = 1 << 30, limit: int = 1 << 16) -> bytes:
    """``data`` fed ``size`` bytes at a time and read ``limit`` bytes at a time."""
    out = []
    for start in range(0, len(data), size):
        made.feed(data[start : start + size])
        while piece := made.read(limit):
            assert len(piece) <= limit
            out.append(piece)
    made.finish()
    return b"".join(out)


def drain(made: Decoder) -> None:
    while made.read(100):
        pass


def outcome(coding: str, data: bytes, size: int, limit: int) -> Any:
    try:
        return streamed(decoder(coding), data, size, limit)
    except ContentDecodingError:
        return "error"


# ---------------------------------------------------------------------------------------- whole bodies


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, bytes(300_000)], ids=["empty", "byte", "text", "zeros"])
def test_a_complete_body_is_decoded(name: str, data: bytes) -> None:
    coding, encode = CODINGS[name]
    made = decoder(coding)
    coded = encode(data)
    assert made.decode_all(coded) == data
    assert (made.fed, made.decoded) == (len(coded), len(data))
    assert streamed(decoder(coding), coded) == data


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "limit"), [(1, 1 << 16), (1, 1), (7, 3), (1 << 16, 1), (1 << 20, 1 << 20)])
def test_how_a_body_is_cut_makes_no_difference(name: str, size: int, limit: int) -> None:
    coding, encode = CODINGS[name]
    assert streamed(decoder(coding), encode(TEXT[:5000]), size, limit) == TEXT[:5000]


@pytest.mark.parametrize("name", NAMES)
def test_an_entirely_empty_body_is_fine(name: str) -> None:
    coding, _ = CODINGS[name]
    assert decoder(coding).decode_all(b"") == b""
    decoder(coding).finish()
    assert decoder(f"{coding}, gzip").decode_all(b"") == b""


@pytest.mark.parametrize("name", NAMES)
def test_a_body_cut_short_anywhere_is_an_error(name: str) -> None:
    coding, encode = CODINGS[name]
    coded = encode(b"some bytes, some more bytes")
    for end in range(1, len(coded)):
        with pytest.raises(ContentDecodingError, match="cut short"):
            decoder(coding).decode_all(coded[:end])
        with pytest.raises(ContentDecodingError, match="cut short"):
            streamed(decoder(coding), coded[:end], 1)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_plain_body_declared_as_coded_is_an_error(coding: str) -> None:
    with pytest.raises(ContentDecodingError, match=f"the {coding} data is corrupt") as caught:
        decoder(coding).decode_all(b"<html>this is not compressed at all</html>")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("at", [-1, -5], ids=["length", "crc"])
def test_a_wrong_checksum_is_an_error(at: int) -> None:
    coded = bytearray(gzipped(TEXT))
    coded[at] ^= 1
    with pytest.raises(ContentDecodingError, match=r"incorrect (data|length) check"):
        decoder("gzip").decode_all(bytes(coded))
    broken = zlib.compress(TEXT)[:-1] + b"\0"
    with pytest.raises(ContentDecodingError, match="incorrect data check"):
        decoder("deflate").decode_all(broken)


# ---------------------------------------------------------------------------------------- members, and what follows


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_members_and_frames_follow_each_other(name: str, size: int) -> None:
    coding, encode = CODINGS[name]
    coded = encode(b"one ") + encode(b"") + encode(b"two")
    assert streamed(decoder(coding), coded, size) == decoder(coding).decode_all(coded) == b"one two"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_second_member_cut_short_is_an_error(name: str) -> None:
    coding, encode = CODINGS[name]
    with pytest.raises(ContentDecodingError, match="cut short"):
        decoder(coding).decode_all(encode(b"one") + encode(b"two")[:-1])


@pytest.mark.parametrize("name", ["gzip", "zlib", "raw deflate", "zstd"])
@pytest.mark.parametrize("junk", [b"\0", b"\0" * 1000, b"junk", b"\x1f", b"\x28\xb5\x2f"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_follows_the_end_is_ignored(name: str, junk: bytes, size: int) -> None:
    coding, encode = CODINGS[name]
    made = decoder(coding)
    assert streamed(made, encode(b"data") + junk, size) == b"data"
    made.feed(b"and more")
    assert made.read(10) == b""
    made.finish()
    assert decoder(coding).decode_all(encode(b"data") + junk) == b"data"


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_nothing_may_follow_a_brotli_stream(size: int) -> None:
    with pytest.raises(ContentDecodingError, match="br data is corrupt"):
        streamed(decoder("br"), brotli.compress(b"data") + b"j", size)


def test_skippable_zstd_frames_are_skipped() -> None:
    skippable = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
    for size in (1, 1 << 20):
        assert streamed(decoder("zstd"), skippable + zstd.compress(b"x") + skippable, size) == b"x"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_an_endless_row_of_empty_members_is_an_error(name: str) -> None:
    coding, encode = CODINGS[name]
    assert decoder(coding).decode_all(encode(b"") * 1000 + encode(b"x")) == b"x"
    with pytest.raises(ContentDecodingError, match="1024 empty parts"):
        decoder(coding).decode_all(encode(b"") * 2000)


def test_many_members_that_are_not_empty_are_fine() -> None:
    assert decoder("gzip").decode_all(gzipped(b"x") * 3000) == b"x" * 3000


@pytest.mark.parametrize("encode", [zlib.compress, raw_deflate])
def test_deflate_is_told_apart_even_when_it_arrives_byte_by_byte(encode: Callable[[bytes], bytes]) -> None:
    made = decoder("deflate")
    coded = encode(b"data")
    made.feed(coded[:1])
    assert made.read(10) == made.read(10) == b""
    assert streamed(made, coded[1:]) == b"data"


@pytest.mark.parametrize("surplus", [1, 5, 100, 250])
def test_output_zlib_holds_back_after_taking_all_input_is_not_lost(surplus: int) -> None:
    # The last byte of such a stream holds both the rest of a long match and the end mark.
    data = bytes(4096 + surplus)
    made = decoder("deflate")
    made.feed(raw_deflate(data))
    assert made.read(4096) == data[:4096]
    assert made.read(4096) == data[4096:]
    assert made.read(4096) == b""
    made.finish()


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("wbits", range(9, 16))
def test_no_deflate_stream_is_taken_for_the_other_kind(level: int, wbits: int) -> None:
    for bits in (wbits, -wbits):
        for data in (b"", b"x", TEXT, bytes(range(256))):
            compressor = zlib.compressobj(level, wbits=bits)
            assert decoder("deflate").decode_all(compressor.compress(data) + compressor.flush()) == data


# ---------------------------------------------------------------------------------------- bombs


BOMB_SIZE = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    # The zlib family reaches 1:1000, zstd 1:16000, br 1:400000.
    return {name: CODINGS[name][1](bytes(BOMB_SIZE)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_is_only_as_large_as_its_reader_wants(name: str, bombs: dict[str, bytes]) -> None:
    made = decoder(CODINGS[name][0])
    tracemalloc.start()
    made.feed(bombs[name])
    total = 0
    while piece := made.read(PIECE):
        assert len(piece) <= PIECE
        total += len(piece)
    made.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == BOMB_SIZE
    assert peak < 8 * PIECE


PIECE = 64 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_max_decoded_stops_a_bomb_and_says_both_numbers(name: str, bombs: dict[str, bytes]) -> None:
    for decode in (Decoder.decode_all, streamed):
        made = decoder(CODINGS[name][0], 100_000)
        tracemalloc.start()
        with pytest.raises(DecodedTooLarge, match=r"max_decoded=100000 bytes: 1\d\d\d\d\d or more"):
            decode(made, bombs[name])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_max_decoded_is_exact(name: str) -> None:
    coding, encode = CODINGS[name]
    coded = encode(TEXT)
    for decode in (Decoder.decode_all, streamed):
        assert decode(decoder(coding, len(TEXT)), coded) == TEXT
        with pytest.raises(DecodedTooLarge):
            decode(decoder(coding, len(TEXT) - 1), coded)
    assert decoder(coding, 0).decode_all(encode(b"")) == b""
    with pytest.raises(DecodedTooLarge):
        decoder(coding, 0).decode_all(encode(b"x"))


def test_a_max_decoded_beyond_all_bounds_is_no_bound() -> None:
    assert decoder("gzip", sys.maxsize).decode_all(gzipped(TEXT)) == TEXT


def test_a_bomb_in_a_bomb_is_bounded_too(bombs: dict[str, bytes]) -> None:
    made = decoder("gzip, gzip, gzip")
    tracemalloc.start()
    made.feed(gzipped(gzipped(bombs["gzip"])))
    assert sum(len(made.read(PIECE)) for _ in range(40)) == 40 * PIECE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * PIECE


def test_a_chain_that_expands_to_nothing_is_an_error() -> None:
    # Empty stored blocks: 5 bytes of deflate each, and not one byte of content.
    nothing = b"\0\0\0\xff\xff" * (4 * 1024 * 1024)
    with pytest.raises(ContentDecodingError, match="to nothing in the end"):
        decoder("deflate, gzip").decode_all(gzipped(nothing))


def test_a_large_chain_that_does_yield_is_fine() -> None:
    data = bytes(range(256)) * (20 * 4096)
    made = decoder("deflate, gzip")
    assert made.decode_all(gzip.compress(zlib.compress(data, 0), 1)) == data


def test_what_follows_the_end_inside_a_chain_is_not_even_decoded(bombs: dict[str, bytes]) -> None:
    made = decoder("gzip, gzip")
    assert made.decode_all(gzipped(gzipped(b"data") + bytes(BOMB_SIZE))) == b"data"


@pytest.mark.parametrize("names", ["deflate, gzip", "zstd, deflate, gzip"])
def test_what_follows_the_end_inside_a_chain_is_not_kept_either(names: str) -> None:
    made = decoder(names)
    endless = zlib.compressobj(0, zlib.DEFLATED, 31)
    inner = zlib.compress(b"data" if names.startswith("deflate") else zstd.compress(b"data"))
    made.feed(endless.compress(inner) + endless.flush(zlib.Z_SYNC_FLUSH))
    assert made.read(PIECE) == b"data"

    tracemalloc.start()
    for _ in range(64):
        made.feed(endless.compress(bytes(PIECE)) + endless.flush(zlib.Z_SYNC_FLUSH))
        assert made.read(PIECE) == b""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    made.finish()
    assert peak < 8 * PIECE


def test_a_zstd_window_beyond_8_mib_is_refused() -> None:
    parameter = zstd.CompressionParameter
    compressor = zstd.ZstdCompressor(options={parameter.window_log: 24, parameter.content_size_flag: 0})
    coded = compressor.compress(bytes(1000)) + compressor.flush()
    with pytest.raises(ContentDecodingError, match=r"zstd data is corrupt.*too much memory"):
        decoder("zstd").decode_all(coded)


def test_a_coding_that_makes_no_progress_is_an_error_not_a_loop() -> None:
    engine = SimpleNamespace(
        process=lambda data, output_buffer_limit: b"", can_accept_more_data=lambda: False, is_finished=lambda: False
    )
    module = SimpleNamespace(Decompressor=lambda: engine, error=ValueError)
    made = Decoder([decoding._BrotliStage(module)])
    made.feed(b"x")
    with pytest.raises(ContentDecodingError, match="no progress"):
        made.read(10)


# ---------------------------------------------------------------------------------------- chains and names


def test_a_chain_is_undone_from_the_outside() -> None:
    coded = zstd.compress(brotli.compress(zlib.compress(gzipped(TEXT))))
    for size in (1, 100, 1 << 20):
        made = decoder("gzip, deflate,br ,\tzstd")
        assert made.codings == ("zstd", "br", "deflate", "gzip")
        assert streamed(made, coded, size, 1000) == TEXT


@pytest.mark.parametrize("end", [-1, -9])
def test_a_chain_cut_short_is_an_error(end: int) -> None:
    with pytest.raises(ContentDecodingError, match="cut short"):
        decoder("br, gzip").decode_all(gzipped(brotli.compress(TEXT))[:end])
    with pytest.raises(ContentDecodingError, match="the br data was cut short"):
        decoder("br, gzip").decode_all(gzipped(brotli.compress(TEXT)[:end]))


@pytest.mark.parametrize("name", [None, "", " ", "identity", "Identity, identity", ",", "compress", "gzip, exotic"])
def test_what_is_not_coded_or_unknown_is_left_as_it_is(name: str | None) -> None:
    assert make_decoder(name) is None


@pytest.mark.parametrize("name", [", ".join(["gzip"] * 6), "exotic, " * 5 + "gzip", "gzip," * 30_000])
def test_more_than_5_codings_are_refused(name: str) -> None:
    with pytest.raises(ContentDecodingError, match="at most 5"):
        make_decoder(name)


def test_5_codings_are_undone() -> None:
    coded = TEXT
    for _ in range(5):
        coded = gzipped(coded)
    assert decoder("gzip," * 5 + "identity").decode_all(coded) == TEXT


# ---------------------------------------------------------------------------------------- after an error


@pytest.mark.parametrize(
    "use", [lambda d: d.read(1), lambda d: d.feed(b"x"), Decoder.finish, lambda d: d.decode_all(b"")]
)
def test_a_decoder_is_dead_after_an_error(use: Callable[[Decoder], Any]) -> None:
    made = decoder("gzip")
    made.feed(gzipped(TEXT)[:100] + b"corrupt" * 10)
    with pytest.raises(ContentDecodingError, match="corrupt"):
        drain(made)
    with pytest.raises(ContentDecodingError, match="failed before"):
        use(made)
    assert repr(made).endswith("dead>")


def test_a_decoder_is_dead_after_being_cut_short_or_too_large() -> None:
    made = decoder("gzip")
    made.feed(gzipped(b"x")[:5])
    assert made.read(1) == b""
    with pytest.raises(ContentDecodingError, match="cut short"):
        made.finish()
    with pytest.raises(ContentDecodingError, match="failed before"):
        made.finish()
    large = decoder("gzip", 10)
    large.feed(gzipped(TEXT))
    with pytest.raises(DecodedTooLarge):
        large.read(5)
    with pytest.raises(ContentDecodingError, match="failed before"):
        large.read(5)


def test_a_decoder_is_dead_after_running_out_of_memory() -> None:
    def fail(data: bytes, output_buffer_limit: int) -> bytes:
        raise MemoryError

    module = SimpleNamespace(Decompressor=lambda: SimpleNamespace(process=fail), error=ValueError)
    made = Decoder([decoding._BrotliStage(module)])
    made.feed(b"x")
    with pytest.raises(MemoryError):
        made.read(10)
    with pytest.raises(ContentDecodingError, match="failed before"):
        made.read(10)


def test_the_repr_tells_the_state() -> None:
    made = decoder("gzip")
    made.feed(gzipped(b"data"))
    made.read(10)
    assert repr(made) == "<Decoder of gzip: 24 bytes fed, 4 decoded>"


# ---------------------------------------------------------------------------------------- which libraries


@pytest.fixture
def _fresh() -> Iterator[None]:
    """The answers about installed libraries are remembered; forget them before and after."""
    remembered = (decoding._brotli, decoding._zstd, accept_encoding)
    for answer in remembered:
        answer.cache_clear()
    yield
    for answer in remembered:
        answer.cache_clear()


@pytest.mark.usefixtures("_fresh")
def test_everything_installed_is_accepted() -> None:
    assert accept_encoding() == "gzip, deflate, br, zstd"


ZSTD_HOME = "_zstd" if sys.version_info >= (3, 14) else "backports.zstd"


@pytest.mark.usefixtures("_fresh")
def test_codings_without_a_library_are_neither_accepted_nor_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("brotli", "brotlicffi", "backports", "backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert accept_encoding() == "gzip, deflate"
    assert make_decoder("br") is None
    assert make_decoder("gzip, zstd") is None


@pytest.mark.usefixtures("_fresh")
def test_a_missing_backports_package_means_no_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        assert name == ZSTD_HOME
        raise ModuleNotFoundError("No module named 'backports'")

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    assert accept_encoding() == "gzip, deflate, br"


@pytest.mark.usefixtures("_fresh")
def test_a_brotli_that_cannot_bound_its_output_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(Decompressor=object, error=ValueError)
    monkeypatch.setitem(sys.modules, "brotli", old)
    assert accept_encoding() == "gzip, deflate, zstd"
    assert make_decoder("br") is None


@pytest.mark.usefixtures("_fresh")
def test_brotlicffi_serves_where_brotli_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    monkeypatch.setitem(sys.modules, "brotlicffi", brotli)
    assert decoder("br").decode_all(brotli.compress(TEXT)) == TEXT


# ---------------------------------------------------------------------------------------- properties


CONTENTS = st.binary(max_size=300) | st.builds(
    lambda data, n: data * n, st.binary(min_size=1, max_size=4), st.integers(0, 20_000)
)
CUTS = st.integers(1, 400)
LIMITS = st.integers(1, 70_000)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(NAMES), CONTENTS, CUTS, LIMITS)
def test_streaming_gives_what_was_encoded(name: str, data: bytes, size: int, limit: int) -> None:
    coding, encode = CODINGS[name]
    assert outcome(coding, encode(data), size, limit) == data


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.binary(max_size=60),
    st.integers(0, 200),
    st.binary(max_size=4),
    st.integers(0, 100),
    CUTS,
    LIMITS,
)
def test_damage_has_the_same_outcome_however_it_is_cut(
    name: str, data: bytes, at: int, damage: bytes, shorten: int, size: int, limit: int
) -> None:
    coding, encode = CODINGS[name]
    coded = encode(data)
    at = min(at, len(coded))
    coded = (coded[:at] + damage + coded[at + len(damage) :])[: len(coded) + 4 - shorten]
    expected = outcome(coding, coded, 1 << 30, 1 << 30)
    assert outcome(coding, coded, size, limit) == expected
    try:
        assert decoder(coding).decode_all(coded) == expected
    except ContentDecodingError:
        assert expected == "error"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.binary(max_size=500), CUTS, LIMITS)
def test_chains_give_what_was_encoded(names: list[str], data: bytes, size: int, limit: int) -> None:
    coded = data
    for name in names:
        coded = CODINGS[name][1](coded)
    assert outcome(", ".join(CODINGS[name][0] for name in names), coded, size, limit) == data
