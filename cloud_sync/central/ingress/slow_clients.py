"""Connections on which no request comes or no answer is read: closed after a while, also for callers without a key.

The server itself closes a kept connection that is silent after an answer; not one on which a request never begins,
or never gets past its headers, nor one whose answer is not read.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class TimeoutProtocol(H11Protocol):
    """Waits `request_s` for a request's headers, and as long for an answer that is not read to go on."""

    request_s: ClassVar[float] = 30.0
    _waiting: asyncio.TimerHandle | None = None
    _draining: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._note_progress()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note_progress()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_draining()
        self._draining = self.loop.call_later(self.request_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_draining()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_draining()
        super().connection_lost(exc)

    def _note_progress(self) -> None:
        """More of the same headers is no progress: the time runs from their first byte."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.request_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()


def protocol_with_timeout(request_s: float) -> type[TimeoutProtocol]:
    """Return the protocol with another time limit."""
    members: dict[str, Any] = {"request_s": request_s}
    return type("TimeoutProtocol", (TimeoutProtocol,), members)
