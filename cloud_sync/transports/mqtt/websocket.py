"""MQTT inside a WebSocket (RFC 6455; MQTT 5, section 6): the socket that paho reads and writes.

Constraints
- The answer to the upgrade has MAX_HEAD_BYTES and one deadline; whatever is no upgrade is refused by its status.
- Of a frame nothing is kept: its payload is handed on as it comes, and MQTT's own length bounds it.
- What could not be written whole is reported as not written, and goes out first the next time.
- Used by one thread, paho's.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Final

MAX_HEAD_BYTES: Final = 16_384
CLOSED: Final = "the WebSocket was closed by the other side"
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x2, 0x8, 0x9, 0xA
_FRAME_BYTES: Final = 65_536
_CONTROL_BYTES: Final = 125
_HEAD_END: Final = b"\r\n\r\n"


class UpgradeRefusedError(ConnectionError):
    """The other side did not become a WebSocket; `status` is what it answered in HTTP, None for no HTTP."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


class WebSocketStream:
    """Made by `open_websocket`. Reads and writes like a socket that does not block."""

    def __init__(self, raw: socket.socket, received: bytes = b"") -> None:
        self.raw = raw
        self._received = bytearray(received)
        self._head = bytearray()
        self._left = 0
        self._control: bytearray | None = None
        self._kind = _BINARY
        self._out = bytearray()
        self._in_out = 0  # how many bytes of MQTT the frame in `_out` carries

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes. Raises BlockingIOError while there are none, ConnectionError at its end."""
        while True:
            if self._left == 0:
                self._read_head()
            if self._left == 0 and self._control is None:
                continue
            data = self._read(min(size if self._control is None else _CONTROL_BYTES, self._left)) if self._left else b""
            self._left -= len(data)
            if self._control is None:
                return data
            self._control += data
            if self._left == 0:
                self._answer_control(bytes(self._control))

    def send(self, data: bytes | bytearray) -> int:
        """Send, and return how many bytes of MQTT went out. Raises BlockingIOError while a frame is half written."""
        if not self._in_out:
            chunk = bytes(data[:_FRAME_BYTES])
            self._out += _frame(_BINARY, chunk)
            self._in_out = len(chunk)
        self._flush()
        written, self._in_out = self._in_out, 0
        return written

    def close(self) -> None:
        self.raw.close()

    def fileno(self) -> int:
        return self.raw.fileno()

    def pending(self) -> int:
        """Return how many bytes are here already, though the descriptor does not show them."""
        beneath = self.raw.pending() if isinstance(self.raw, ssl.SSLSocket) else 0
        return len(self._received) + beneath

    def setblocking(self, flag: bool) -> None:
        self.raw.setblocking(flag)

    def _read(self, size: int) -> bytes:
        if self._received:
            data = bytes(self._received[:size])
            del self._received[:size]
            return data
        data = self.raw.recv(size)
        if not data:
            raise ConnectionAbortedError(CLOSED)
        return data

    def _read_head(self) -> None:
        """The next frame's head, also when it comes byte by byte."""
        while len(self._head) < (wanted := _head_bytes(self._head)):
            self._head += self._read(wanted - len(self._head))
        kind, length = self._head[0] & 0x0F, self._head[1] & 0x7F
        if self._head[1] & 0x80:
            raise ConnectionAbortedError("a WebSocket frame of a server is masked, which RFC 6455 forbids")
        if kind not in (_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG):
            raise ConnectionAbortedError(f"a WebSocket frame of kind {kind}, where MQTT has binary ones")
        if kind >= _CLOSE and length > _CONTROL_BYTES:
            raise ConnectionAbortedError("a WebSocket control frame that is too long")
        self._left = length if length < 126 else int.from_bytes(self._head[2:])
        self._kind, self._control = kind, bytearray() if kind >= _CLOSE else None
        self._head.clear()

    def _answer_control(self, payload: bytes) -> None:
        self._control = None
        if self._kind == _CLOSE:
            code = f" with code {int.from_bytes(payload[:2])}" if len(payload) >= 2 else ""
            raise ConnectionAbortedError(f"{CLOSED}{code} {payload[2:].decode(errors='replace')}".rstrip())
        if self._kind == _PING and not self._out:  # else it is left out: our own frames show that we are there
            self._out += _frame(_PONG, payload)
            try:
                self._flush()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return  # it goes out before the next frame

    def _flush(self) -> None:
        while self._out:
            sent = self.raw.send(self._out)
            if sent == 0:
                raise BlockingIOError
            del self._out[:sent]


def open_websocket(
    raw: socket.socket, *, host: str, port: int, path: str, headers: Mapping[str, str], within_s: float
) -> WebSocketStream:
    """Ask for the upgrade and return the stream. Raises UpgradeRefusedError, OSError; `raw` is closed then."""
    try:
        return _upgraded(raw, host=host, port=port, path=path, headers=headers, until_s=time.monotonic() + within_s)
    except OSError:
        raw.close()
        raise


def _upgraded(
    raw: socket.socket, *, host: str, port: int, path: str, headers: Mapping[str, str], until_s: float
) -> WebSocketStream:
    key = base64.b64encode(os.urandom(16)).decode()
    asked = {
        "Host": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
        **headers,
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items())]
    raw.settimeout(_left_s(until_s))
    raw.sendall("\r\n".join(lines).encode() + _HEAD_END)
    head, rest = _read_answer(raw, until_s)
    _check_answer(head, key)
    return WebSocketStream(raw, rest)


def _read_answer(raw: socket.socket, until_s: float) -> tuple[str, bytes]:
    received = bytearray()
    while _HEAD_END not in received:
        if len(received) > MAX_HEAD_BYTES:
            raise UpgradeRefusedError(f"its answer to the upgrade has more than {MAX_HEAD_BYTES} bytes of head")
        raw.settimeout(_left_s(until_s))
        data = raw.recv(4_096)
        if not data:
            raise UpgradeRefusedError("it hung up at the upgrade to a WebSocket")
        received += data
    head, _, rest = bytes(received).partition(_HEAD_END)
    return head.decode("latin-1"), rest


def _check_answer(head: str, key: str) -> None:
    first, *lines = head.split("\r\n")
    words = first.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        raise UpgradeRefusedError("it does not speak HTTP on this port")
    if words[1] != "101":
        raise UpgradeRefusedError(f"it answers {' '.join(words[1:])} to the upgrade", int(words[1][:3]))
    given = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    expected = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode()).digest()).decode()  # noqa: S324 (RFC 6455)
    if given.get("sec-websocket-accept") != expected:
        raise UpgradeRefusedError("its answer to the upgrade is not to our question (a cache between us?)", 101)
    if given.get("sec-websocket-protocol", "mqtt") != "mqtt":
        raise UpgradeRefusedError("it speaks something else than MQTT inside the WebSocket", 101)


def _left_s(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("no answer to the upgrade to a WebSocket in time")
    return left_s


def _head_bytes(head: bytearray) -> int:
    if len(head) < 2:
        return 2
    return {126: 4, 127: 10}.get(head[1] & 0x7F, 2)


def _frame(kind: int, payload: bytes) -> bytes:
    """One whole frame, masked as RFC 6455 (5.3) asks of a client."""
    length, key = len(payload), os.urandom(4)
    if length < 126:
        head = bytes([0x80 | kind, 0x80 | length])
    elif length < 65_536:
        head = bytes([0x80 | kind, 0x80 | 126]) + length.to_bytes(2)
    else:
        head = bytes([0x80 | kind, 0x80 | 127]) + length.to_bytes(8)
    mask = (key * (length // 4 + 1))[:length]
    masked = (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(length)
    return head + key + masked
