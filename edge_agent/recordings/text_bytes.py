"""The bytes of a text file: which encoding they are in, where its lines end, and whether the last one is whole."""

from __future__ import annotations

import re
from typing import Final

TAIL_BYTES: Final = 32_768
"""Of the begin or the end, where a sample of a file is enough."""
_MANY_LINES: Final = 20
_MILLISECONDS: Final = re.compile(rb"(:\d\d),(\d{3})(?=,)")
"""What Python's logging writes: a comma before the milliseconds, in a table of commas."""


def as_utf8(data: bytes) -> bytes:
    """Convert to UTF-8 with LF. Bytes that are no UTF-8 are Latin-1, as a degree sign of an older logger is."""
    encoding = utf16_of(data)
    if encoding is not None:
        data = data.decode(encoding, "replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.rstrip(b"\x1a\x00").replace(b"\xe2\x88\x92", b"-")  # the minus sign of typesetters
    head = data[:TAIL_BYTES]
    found = [digits for _, digits in _MILLISECONDS.findall(head)]
    # Three digits after whole seconds may be a column of their own; a number is not written 048.
    if found and len(found) >= 0.9 * head.count(b"\n") - 1 and any(digits[:1] == b"0" for digits in found):
        data = _MILLISECONDS.sub(rb"\1.\2", data)
    return data


def without_cut_line(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Leave out a last line that does not end and is shorter than every line near it: its number may be cut."""
    start = text.rfind(b"\n") + 1
    if 0 < start < len(text):
        before = text[max(0, start - TAIL_BYTES) : start - 1].split(b"\n")[1:]
        if len(before) >= _MANY_LINES and len(text) - start < min(map(len, before)):
            return text[:start], ("the last line is cut off and left out",)
    return text, ()


def utf16_of(data: bytes) -> str | None:
    """Return which UTF-16 this text is in, with or without its mark; None when it is in none."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    head = data[:400]
    if len(head) < 8:
        return None
    for encoding, zeros, signs in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if not zeros.strip(b"\x00") and b"\x00" not in signs:
            return encoding
    return None


def text_of(line: bytes) -> str:
    """Decode one line; bytes that are no UTF-8 are Latin-1."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")
