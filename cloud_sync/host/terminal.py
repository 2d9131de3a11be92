"""Standard output and error that carry no control characters, whoever prints and whatever the text came from.

Commands that draw (a clear screen, a live view) write to the stream beneath, with texts they made printable themselves.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO

from cloud_sync.host.printable import printable_lines


class OutputError(OSError):
    """What is printed cannot be written, as on a full disk. A reader that has gone is BrokenPipeError."""


@contextlib.contextmanager
def _named_failure() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OutputError(exc.errno, exc.strerror) from exc


class PrintableStream(io.TextIOWrapper):
    """Text is made printable as it is written; a character that the terminal's encoding lacks becomes its escape."""

    def __init__(self, beneath: io.TextIOWrapper) -> None:
        super().__init__(
            beneath.buffer,
            encoding=beneath.encoding,
            errors="backslashreplace",
            line_buffering=beneath.line_buffering,
            write_through=beneath.write_through,
        )
        self.beneath = beneath

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):  # click tries with bytes, to learn what kind of stream this is
            raise TypeError(f"a text is written here, not {type(text).__name__}")
        with _named_failure():
            super().write(printable_lines(text))
        return len(text)

    def flush(self) -> None:
        with _named_failure():
            super().flush()


def guard_standard_streams() -> None:
    """Let `print`, tracebacks and logging of this process write printable text. Call it once, at the entry point."""
    sys.stdout = guarded(sys.stdout)
    sys.stderr = guarded(sys.stderr)


def guarded(stream: TextIO) -> TextIO:
    """Return the stream with printable text; one that is guarded, or has no bytes beneath, as it is."""
    if isinstance(stream, PrintableStream) or not isinstance(stream, io.TextIOWrapper):
        return stream
    return PrintableStream(stream)


def unguarded(stream: TextIO) -> TextIO:
    """Return the stream beneath, for whoever draws; flush the one before writing to the other."""
    return stream.beneath if isinstance(stream, PrintableStream) else stream
