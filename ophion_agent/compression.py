"""Content encodings of OTLP and the other HTTP protocols: gzip, zlib/deflate and zstd, both ways.

    CompressionError (PermanentError)
    ├── UnsupportedEncodingError   415: the encoding is not served
    ├── BodyTooLargeError          413: more than the limit comes in or would come out
    └── CorruptDataError           400: not what the encoding says, or cut short

gzip and zlib compress by ISA-L, which costs about a tenth of zlib level 6 for telemetry payloads at a 10-15 % larger
result. A single gzip member, the usual case, inflates by libdeflate.
The limit holds while inflating: a bomb costs at most `max_bytes` of memory before it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import deflate
import zstandard
from isal import isal_zlib

from ophion_agent.errors import PermanentError

ENCODINGS: Final = ("gzip", "zstd", "zlib", "deflate")
"""Every encoding that `inflate` and `compress` know, in the order of preference."""

# The stub declares an instance where there is a class.
_ISAL_ERROR: Final = cast(type[Exception], isal_zlib.error)
_GZIP_WBITS: Final = 31
_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_ZLIB_WBITS: Final = 15
# A zstd block of 4 bytes can stand for 128 KiB, so a slice of n bytes never yields more than n times this.
_ZSTD_WORST_EXPANSION: Final = 32 * 1024
_ZSTD_MIN_SLICE: Final = 16
# RFC 9659: what a receiver of zstd over HTTP must take, and need not exceed.
_ZSTD_MAX_WINDOW: Final = 8 * 1024 * 1024


class CompressionError(PermanentError):
    """The payload cannot be inflated; sending the same bytes again cannot help."""


class UnsupportedEncodingError(CompressionError):
    """The content encoding is not one that is served."""


class BodyTooLargeError(CompressionError):
    """The payload is, or would inflate to, more than the limit."""


class CorruptDataError(CompressionError):
    """The payload is not what its encoding says, or it is cut short."""


def check_encoding(encoding: str, served: Sequence[str] = ENCODINGS) -> str:
    """Return `encoding` in lower case, "" for none; raises UnsupportedEncodingError, naming what is served."""
    name = encoding.strip().lower()
    if name in ("", "identity", "none"):
        return ""
    if name not in served or name not in ENCODINGS:
        raise UnsupportedEncodingError(
            f"content encoding {encoding!r} is not served; use one of: {', '.join(served) or 'identity'}"
        )
    return name


def inflate(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return the plain bytes of `data`; "" and "identity" return it as it is.

    gzip may have several members and zstd several frames. Raises UnsupportedEncodingError, BodyTooLargeError as soon
    as more than `max_bytes` come out, and CorruptDataError for damaged or truncated input.
    """
    name = check_encoding(encoding)
    if not name:
        if len(data) > max_bytes:
            raise _too_large()
        return data
    if name == "zstd":
        return _inflate_zstd(data, max_bytes)
    if name == "gzip":
        return _inflate_gzip(data, max_bytes)
    return _inflate_zlib(data, _ZLIB_WBITS, name, max_bytes)


def compress(payload: bytes, encoding: str, level: int | None = None) -> bytes:
    """Return `payload` in the given encoding; "" and "none" return it as it is.

    `level` is otelcol's `compression_params.level`: 1-9 for gzip, zlib and deflate (ISA-L has 0-3, so larger values
    mean 3), 1-22 for zstd. Without a level, gzip takes ISA-L level 2 and zstd level 1.
    """
    name = check_encoding(encoding)
    if not name:
        return payload
    if name == "zstd":
        return zstandard.ZstdCompressor(level=1 if level is None else level).compress(payload)
    isal_level = 2 if level is None or level < 0 else min(level, 3)
    return isal_zlib.compress(payload, isal_level, _GZIP_WBITS if name == "gzip" else _ZLIB_WBITS)


def _inflate_gzip(data: bytes, max_bytes: int) -> bytes:
    """Inflate the usual case, a single member of a stated size, by libdeflate: half the cost of a streaming decoder.

    It ignores what follows the member, so anything in which another one might begin goes the other way; so does all
    that it refuses, for the streaming decoder to say what is wrong.
    """
    size = int.from_bytes(data[-4:], "little")
    if size <= max_bytes and data.find(_GZIP_MAGIC, len(_GZIP_MAGIC)) < 0:
        try:
            plain = deflate.gzip_decompress(data, size)
        except (deflate.DeflateError, ValueError):
            return _inflate_zlib(data, _GZIP_WBITS, "gzip", max_bytes)
        if len(plain) == size:
            return bytes(plain)
    return _inflate_zlib(data, _GZIP_WBITS, "gzip", max_bytes)


def _inflate_zlib(data: bytes, wbits: int, name: str, max_bytes: int) -> bytes:
    members: list[bytes] = []
    left = max_bytes
    while True:
        inflater = isal_zlib.decompressobj(wbits)
        try:
            member = inflater.decompress(data, left + 1)
        except _ISAL_ERROR as exc:
            raise CorruptDataError(f"the body is not valid {name}: {exc}") from exc
        left -= len(member)
        if left < 0:
            raise _too_large()
        if not inflater.eof:
            raise _truncated(name)
        data = inflater.unused_data
        members.append(member)
        if not data:
            return member if len(members) == 1 else b"".join(members)
        # RFC 1952 lets members follow one another; a zlib stream stands alone.
        if wbits != _GZIP_WBITS:
            raise CorruptDataError(f"the body is not valid {name}: {len(data)} bytes follow its end")


def _inflate_zstd(data: bytes, max_bytes: int) -> bytes:
    frames: list[bytes] = []
    left = max_bytes
    while data or not frames:
        try:
            frame, data = _zstd_frame(data, left)
        except zstandard.ZstdError as exc:
            raise CorruptDataError(f"the body is not valid zstd: {exc}") from exc
        left -= len(frame)
        if left < 0:
            raise _too_large()
        frames.append(frame)
    return frames[0] if len(frames) == 1 else b"".join(frames)


def _zstd_frame(data: bytes, left: int) -> tuple[bytes, bytes]:
    """Return the first frame inflated (to little more than `left` bytes at most), and what follows it."""
    declared = zstandard.frame_content_size(data)
    if declared > left:
        raise _too_large()
    if declared < 0:
        return _zstd_frame_in_slices(data, left)
    try:
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False), b""
    except zstandard.ZstdError:
        # Damaged, or several frames: the streaming decoder tells which.
        return _zstd_frame_in_slices(data, left)


def _zstd_frame_in_slices(data: bytes, left: int) -> tuple[bytes, bytes]:
    # decompressobj() has no output limit: slices so small that even the worst block cannot pass it by much keep it.
    step = max(_ZSTD_MIN_SLICE, left // _ZSTD_WORST_EXPANSION)
    inflater = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW).decompressobj()
    parts: list[bytes] = []
    size = 0
    for start in range(0, len(data), step):
        parts.append(inflater.decompress(data[start : start + step]))
        size += len(parts[-1])
        if inflater.eof:
            return b"".join(parts), inflater.unused_data + data[start + step :]
        if size > left:
            return b"".join(parts), b""
    raise _truncated("zstd")


def _too_large() -> BodyTooLargeError:
    return BodyTooLargeError("the body inflates to more than the size limit; send smaller requests or raise the limit")


def _truncated(name: str) -> CorruptDataError:
    return CorruptDataError(f"the {name} body ends too early; it was cut short on its way")
