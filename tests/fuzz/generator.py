"""Inputs that nobody would send on purpose, from valid examples and a dictionary of extremes, seeded."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any


class Raw(str):
    """Text that goes into a document as it stands, valid or not."""

    __slots__ = ()


EXTREMES: Sequence[Any] = (
    0, 1, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**19, 1e308, -1e308, 5e-324, 0.5,
    Raw("1e999"), Raw("-1e999"), Raw("NaN"), Raw("Infinity"), Raw("9" * 5_000), Raw("0" * 5_000), Raw("1e-99999"),
    True, False, None, "", " ", "0", "-1", "1e999", "NaN", "x" * 10_000, "\x00", "\x1b[2J\r\n", "\u202egnp.exe",
    "\ufeff",
    Raw('"\\ud800"'), Raw('"\\udfff\\ud800"'), Raw('"\\u0000"'), "٩٩.0.0", "../../etc/passwd", "a/b",
    "file:///etc/passwd",
    "http://[::1", "//", "%s%n{}", [], {}, [[]], [None] * 100, Raw("[" * 5_000 + "]" * 5_000), Raw("["),
    Raw('{"a":' * 3_000),
    Raw('{"a":1,"a":2}'), {"a": {"a": {"a": []}}}, "9999999-12-31T23:59:59Z", "0000-00-00T00:00:00Z", "true",
)  # fmt: skip

CHUNKS: Sequence[bytes] = (
    b"\x00", b"\xff", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[31m", b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00", b"\x00\x00\x00\x00\x00\x00\xf8\x7f", b"\x00\x00\x00\x00\x00\x00\xf0\x7f", b"9" * 5_000,
    b"[" * 2_000,
    b"{", b"}", b'"', b"'", b",", b"=", b"-1", b"1e999", b"nan", b"inf", b"../", b"\x00" * 64, b"A" * 70_000,
)  # fmt: skip


def encoded(value: Any) -> str:
    """Return JSON text in which `Raw` stands as it is."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{encoded(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(encoded, value)) + "]"
    return json.dumps(value)


def changed(rng: random.Random, value: Any, extremes: Sequence[Any] = EXTREMES) -> Any:
    """Return the document with one place in it changed: replaced, removed, doubled, or gone into."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.06:
            return {name: item for name, item in value.items() if name != key}
        if kind < 0.12:
            return value | {rng.choice(["", "extra", "\x00", "a" * 300, key + " "]): value[key]}
        return value | {key: changed(rng, value[key], extremes)}
    if isinstance(value, list | tuple) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            return [*value[:at], *value[at + 1 :]]
        if kind < 0.2:
            return [*value[:at], *[value[at]] * rng.choice([2, 3, 50, 2_000]), *value[at + 1 :]]
        return [*value[:at], changed(rng, value[at], extremes), *value[at + 1 :]]
    return rng.choice(extremes)


def document(rng: random.Random, examples: Sequence[Any]) -> bytes:
    """Return a JSON document near one of the examples, whose bytes are damaged now and then."""
    value = rng.choice(examples)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
        value = changed(rng, value)
    content = encoded(value).encode("utf-8", "surrogatepass")
    return content if rng.random() < 0.8 else damaged(rng, content)


def damaged(rng: random.Random, content: bytes, chunks: Sequence[bytes] = CHUNKS) -> bytes:
    """Return the bytes with a few of them cut, changed, doubled, moved or put in."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice([0, 1, 1, 2, 4, 16, 200]))
        content = rng.choice(_WAYS)(rng, content, start, end, chunks)
    return content


def _flip(rng: random.Random, content: bytes, start: int, end: int, _: Sequence[bytes]) -> bytes:
    if start >= len(content):
        return content
    return content[:start] + bytes([content[start] ^ 1 << rng.randrange(8)]) + content[start + 1 :]


def _overwrite(rng: random.Random, content: bytes, start: int, end: int, _: Sequence[bytes]) -> bytes:
    return content[:start] + rng.randbytes(end - start) + content[end:]


def _insert(rng: random.Random, content: bytes, start: int, _: int, chunks: Sequence[bytes]) -> bytes:
    return content[:start] + rng.choice(chunks) + content[start:]


def _replace(rng: random.Random, content: bytes, start: int, end: int, chunks: Sequence[bytes]) -> bytes:
    chunk = rng.choice(chunks)
    return content[:start] + chunk + content[max(end, start + len(chunk)) :]


def _double(_: random.Random, content: bytes, start: int, end: int, __: Sequence[bytes]) -> bytes:
    return content[:end] + content[start:]


def _cut(_: random.Random, content: bytes, start: int, end: int, __: Sequence[bytes]) -> bytes:
    return content[:start] + content[end:]


def _end_early(_: random.Random, content: bytes, start: int, __: int, ___: Sequence[bytes]) -> bytes:
    return content[:start]


_WAYS: Sequence[Callable[[random.Random, bytes, int, int, Sequence[bytes]], bytes]] = (
    _flip, _flip, _overwrite, _insert, _replace, _double, _cut, _end_early,
)  # fmt: skip
