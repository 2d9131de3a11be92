"""Whole HTTP/1.1 messages out of a stream of bytes, as far as our two ends use them: headers and Content-Length."""

from __future__ import annotations

import re

_LENGTH = re.compile(rb"^content-length:\s*(\d+)\s*$", re.I | re.M)
_BATCH = re.compile(rb"^idempotency-key:\s*[^:\s]+:(\S+)\s*$", re.I | re.M)
_END_OF_HEADERS = b"\r\n\r\n"


class HttpMessages:
    """What has come by so far and is not whole yet."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that this chunk completes."""
        self._bytes += chunk
        whole = []
        while (end := self._end()) is not None:
            whole.append(self._bytes[:end])
            self._bytes = self._bytes[end:]
        return whole

    def _end(self) -> int | None:
        headers, found, body = self._bytes.partition(_END_OF_HEADERS)
        if not found:
            return None
        length = _LENGTH.search(headers)
        wanted = int(length[1]) if length else 0
        return len(headers) + len(found) + wanted if len(body) >= wanted else None


def batch_id_of(request: bytes) -> str | None:
    """The batch that a request carries, from its Idempotency-Key."""
    found = _BATCH.search(request.partition(_END_OF_HEADERS)[0])
    return found[1].decode() if found else None
