"""Request bodies: read up to a limit, decompressed up to a limit, parsed into columns from either form.

Constraints
- A few kilobytes can claim to be gigabytes; nothing here allocates more than its limit.
- Whoever sends slowly on purpose holds a connection for a minute and a half, not for ever.
"""

from __future__ import annotations

import asyncio
import io
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import zstandard

from cloud_sync import wire
from cloud_sync.columns import ColumnBatch
from cloud_sync.errors import BatchTooLargeError, WireFormatError
from cloud_sync.host.printable import quoted

ENCODINGS: Final = ("zstd", "gzip", "identity")
CONTENT_TYPES: Final = (wire.CONTENT_TYPE, wire.JSON_CONTENT_TYPE)

MAX_BATCH_ID_BYTES: Final = 256

_MAGIC: Final = {"zstd": b"\x28\xb5\x2f\xfd", "gzip": b"\x1f\x8b"}

_CHUNK_BYTES: Final = 1 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS  # in zlib's terms: a gzip header, nothing else


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one request may cost. A batch of 1,000 rows is about 4 kB compressed; as JSON 10 kB, and 40 kB decoded."""

    body_bytes: int = 8_000_000
    decoded_bytes: int = 32_000_000
    rows: int = 100_000
    idle_s: float = 90.0
    """Three round trips of 30 s: at the start of a connection a sender waits one for each 14 kB (RFC 6928)."""
    bytes_per_s: float = 100.0
    """Less than half of 2 kbit/s, which two requests may share."""

    def patience_s(self, received_bytes: int, began_ago_s: float) -> float:
        """Return how long the next bytes may take: `idle_s` without progress, on the whole at least `bytes_per_s`."""
        return min(self.idle_s, self.idle_s + received_bytes / self.bytes_per_s - began_ago_s)


class TooSlowError(Exception):
    """The body did not arrive within its time."""


async def collect(chunks: AsyncIterator[bytes], *, declared_bytes: int | None, limits: BodyLimits) -> bytes:
    """Return the whole body. Raises TooSlowError; BatchTooLargeError as soon as it is known to be over the limit."""
    limit_bytes = limits.body_bytes
    if declared_bytes is not None and declared_bytes > limit_bytes:
        raise BatchTooLargeError(f"the body has {declared_bytes} bytes; the limit is {limit_bytes}")
    body, began_s = bytearray(), time.monotonic()
    while True:
        try:
            async with asyncio.timeout(limits.patience_s(len(body), time.monotonic() - began_s)):
                body += await anext(chunks)
        except StopAsyncIteration:
            return bytes(body)
        except TimeoutError as exc:
            raise TooSlowError(f"the body came too slowly: {len(body)} bytes, then no more in time") from exc
        if len(body) > limit_bytes:
            raise BatchTooLargeError(f"the body has more than {limit_bytes} bytes")


def read_batch(body: bytes, *, encoding: str, limits: BodyLimits, content_type: str = "") -> ColumnBatch:
    """Return the batch in a body. Raises BatchTooLargeError or WireFormatError, naming what is wrong.

    The document says itself which form it has; one of CONTENT_TYPES that says otherwise is refused.
    """
    document = _decompressed(body, encoding, limits.decoded_bytes)
    _check_form(document, content_type)
    _check_count(wire.record_count(document), limits)
    batch = wire.parse_columns(document)
    _check_count(len(batch), limits)
    return batch


def media_type(header: str | None) -> str:
    """Return what a Content-Type header names, without parameters; empty when there is none."""
    return (header or "").partition(";")[0].strip().lower()


def _check_form(document: bytes, named: str) -> None:
    if named and wire.is_binary(document) != (named == wire.CONTENT_TYPE):
        raise WireFormatError(f"the body is not what its Content-Type {quoted(named)} says")


def _check_count(count: int | None, limits: BodyLimits) -> None:
    """Before anything is made of a count as well: columns of zeros take one byte however long they are."""
    if count is not None and count > limits.rows:
        raise BatchTooLargeError(f"the batch has {count} rows and events; the limit is {limits.rows}")


def _decompressed(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """A proxy may take Content-Encoding away: what is packed says so itself, and no document begins like it."""
    if encoding == "identity":
        encoding = next((name for name, magic in _MAGIC.items() if body.startswith(magic)), encoding)
    if encoding == "zstd":
        return _unzstd(body, limit_bytes)
    if encoding == "gzip":
        return _gunzip(body, limit_bytes)
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    return body


def _unzstd(body: bytes, limit_bytes: int) -> bytes:
    text = bytearray()
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=wire.MAX_WINDOW_BYTES)
        with decompressor.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
            while chunk := reader.read(_CHUNK_BYTES):
                text += chunk
                if len(text) > limit_bytes:
                    raise _too_large(limit_bytes)
    except zstandard.ZstdError as exc:
        raise WireFormatError(f"the body is not zstd: {exc}") from exc
    return bytes(text)


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    inflater = zlib.decompressobj(_GZIP)
    try:
        text = inflater.decompress(body, limit_bytes + 1)
    except zlib.error as exc:
        raise WireFormatError(f"the body is not gzip: {exc}") from exc
    if len(text) > limit_bytes:
        raise _too_large(limit_bytes)
    if not inflater.eof or inflater.unused_data:
        raise WireFormatError("the body is not one whole gzip stream")
    return text


def _too_large(limit_bytes: int) -> BatchTooLargeError:
    return BatchTooLargeError(f"the body has more than {limit_bytes} bytes once decompressed")
