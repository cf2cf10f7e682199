import gzip
import os
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.compression import (
    ENCODINGS,
    BodyTooLargeError,
    CorruptDataError,
    UnsupportedEncodingError,
    check_encoding,
    compress,
    inflate,
)

TEXT = b"span " * 5000
LIMIT = 1 << 20


@given(data=st.binary(max_size=5000), encoding=st.sampled_from(["", "identity", *ENCODINGS]))
def test_inflates_what_it_compressed(data: bytes, encoding: str) -> None:
    assert inflate(compress(data, encoding), encoding, LIMIT) == data


@pytest.mark.parametrize("level", [None, -1, 0, 1, 6, 9])
def test_takes_every_level_of_gzip(level: int | None) -> None:
    assert gzip.decompress(compress(TEXT, "gzip", level)) == TEXT


def test_takes_every_level_of_zstd() -> None:
    for level in (1, 3, 11):
        assert zstandard.ZstdDecompressor().decompress(compress(TEXT, "zstd", level)) == TEXT


def test_inflates_what_other_programs_made() -> None:
    assert inflate(gzip.compress(TEXT), "gzip", LIMIT) == TEXT
    assert inflate(zlib.compress(TEXT), "deflate", LIMIT) == TEXT
    assert inflate(zlib.compress(TEXT), "ZLIB", LIMIT) == TEXT


def test_joins_the_members_of_gzip_and_the_frames_of_zstd() -> None:
    assert inflate(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip", LIMIT) == b"one two"
    frame = zstandard.ZstdCompressor().compress
    assert inflate(frame(b"one ") + frame(b"two"), "zstd", LIMIT) == b"one two"


def test_inflates_zstd_that_does_not_say_its_size() -> None:
    writer = zstandard.ZstdCompressor().compressobj()
    assert inflate(writer.compress(TEXT) + writer.flush(), "zstd", LIMIT) == TEXT


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_takes_exactly_the_limit(encoding: str) -> None:
    data = os.urandom(3000)
    assert inflate(compress(data, encoding), encoding, 3000) == data
    with pytest.raises(BodyTooLargeError, match="inflates to more than the size limit; send smaller requests"):
        inflate(compress(data, encoding), encoding, 2999)


def test_limits_plain_bodies_too() -> None:
    with pytest.raises(BodyTooLargeError):
        inflate(b"12345", "", 4)


def bombs() -> dict[str, bytes]:
    """64 MiB of zeros in every encoding, and as zstd that hides its size."""
    zeros = bytes(64 << 20)
    unsized = zstandard.ZstdCompressor().compressobj()
    return {
        "gzip": gzip.compress(zeros, 1),
        "zlib": zlib.compress(zeros, 1),
        "zstd": zstandard.ZstdCompressor().compress(zeros),
        "zstd, unsized": unsized.compress(zeros) + unsized.flush(),
    }


def test_refuses_bombs_early() -> None:
    for name, bomb in bombs().items():
        with pytest.raises(BodyTooLargeError):
            inflate(bomb, name.partition(",")[0], LIMIT)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kept", [0, 1, 5, 40, -1, -4])
def test_refuses_truncated_input(encoding: str, kept: int) -> None:
    with pytest.raises(CorruptDataError):
        inflate(compress(TEXT + os.urandom(200), encoding)[:kept], encoding, LIMIT)


def test_says_that_truncated_input_was_cut_short() -> None:
    with pytest.raises(CorruptDataError, match="the gzip body ends too early; it was cut short on its way"):
        inflate(gzip.compress(TEXT)[:-3], "gzip", LIMIT)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.binary(min_size=1, max_size=200))
def test_never_fails_otherwise_on_garbage(encoding: str, data: bytes) -> None:
    try:
        inflate(data, encoding, LIMIT)
    except (CorruptDataError, BodyTooLargeError):
        return


def test_refuses_garbage_after_the_end() -> None:
    for encoding in ("gzip", "zlib", "zstd"):
        with pytest.raises(CorruptDataError):
            inflate(compress(TEXT, encoding) + b"garbage", encoding, LIMIT)


def test_refuses_a_wrong_checksum() -> None:
    good = gzip.compress(TEXT)
    with pytest.raises(CorruptDataError, match="not valid gzip"):
        inflate(good[:-8] + b"\0\0\0\0" + good[-4:], "gzip", LIMIT)


def test_names_the_encodings_served() -> None:
    with pytest.raises(UnsupportedEncodingError, match="'br' is not served; use one of: gzip, zstd, zlib, deflate"):
        inflate(b"", "br", LIMIT)
    with pytest.raises(UnsupportedEncodingError, match=r"use one of: gzip$"):
        check_encoding("zstd", ["gzip"])
    with pytest.raises(UnsupportedEncodingError, match="use one of: identity"):
        check_encoding("gzip", [])


def test_refuses_a_damaged_size_in_the_header_of_zstd() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(TEXT))
    frame[5] ^= 0x01
    with pytest.raises((CorruptDataError, BodyTooLargeError)):
        inflate(bytes(frame), "zstd", LIMIT)
