"""The steps of a connection, and what is said of one that failed: which step it was, and which setting helps.

A connection is made in up to four steps, each with time of its own: the look-up of the name and TCP
(`central.connect_timeout_s` each), the proxy (`central.connect_timeout_s`), TLS (`central.tls_timeout_s`). After it
come sending and the answer (`central.answer_timeout_s`).
"""

from __future__ import annotations

import errno
import socket
from typing import Final

import httpcore

ONLY_SAN: Final = "what counts is its subjectAltName; a common name (CN) alone does not, it must be issued with one"
"""RFC 9110, 4.3.4."""

_MOST_CAUSES: Final = 50


class StepError(Exception):
    """A step failed; `words` say which and why, `hint` what to do. Whoever made the connection adds where it went."""

    def __init__(self, words: str, *, hint: str | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.hint = hint


def no_name_in_time(host: str, within_s: float) -> StepError:
    """Return the error of a name server that did not answer."""
    return StepError(
        f"the look-up of the name {host} had no answer within {within_s:g} s (central.connect_timeout_s)",
        hint="check this box's DNS server; where answers take longer, raise central.connect_timeout_s",
    )


def no_tcp_in_time(host: str, port: int, within_s: float) -> StepError:
    """Return the error of an address from which nothing came back."""
    shown = f"[{host}]" if ":" in host else host
    return StepError(
        f"no TCP connection to {shown}:{port} within {within_s:g} s (central.connect_timeout_s)",
        hint="check host, port and the firewall; on a slow link raise central.connect_timeout_s",
    )


def no_tls_in_time(within_s: float) -> StepError:
    """Return the error of a handshake that began and did not end."""
    return StepError(
        f"the TLS handshake was not over within {within_s:g} s (central.tls_timeout_s)",
        hint="about 5 kB are exchanged: on a link that is slower than that raise central.tls_timeout_s; otherwise is"
        " the line up? Or something on the way lets only small packets through (MTU), or no TLS is spoken there",
    )


def causes_of(exc: BaseException) -> list[BaseException]:
    """Return the error and all that led to it, each once; a connection is tried at several addresses at a time."""
    found: list[BaseException] = []
    left = [exc]
    while left and len(found) < _MOST_CAUSES:
        cause = left.pop(0)
        if cause not in found:
            found.append(cause)
            led = cause.__cause__ or cause.__context__
            left += [*(cause.exceptions if isinstance(cause, BaseExceptionGroup) else ()), *([led] if led else [])]
    return found


def why_not_reached(exc: BaseException) -> str:
    """Return in a few words why nobody was reached: no such name, refused, no route."""
    for cause in causes_of(exc):
        if isinstance(cause, socket.gaierror):
            return "no such name"
        if isinstance(cause, ConnectionRefusedError):
            return "nobody listens there: connection refused"
        if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return "no way there: no route to the host"
    return str(exc) or type(exc).__name__


LOST: Final = (httpcore.ReadError, httpcore.WriteError, OSError)
"""What a connection raises that breaks in the middle of a step."""
