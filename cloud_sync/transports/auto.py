"""Batches where the central takes them, single readings where it does not.

Constraints
- Which of the two it is, is asked with an empty batch: the answer of a central that knows the path means batches. 404
  or 405 is what a proxy or a portal says too: it means single readings only when the platform of single readings
  answers beside it, asked with a reading that has no fields. Anything else decides nothing.
- It is asked again after a delivery that failed, and in single mode soon after the change and then less and less often,
  every ten minutes in the end, so that an upgrade is noticed.
- A failure never changes the mode by itself. In single mode events are held, and go once batches are taken.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

from cloud_sync.errors import TransientSyncError
from cloud_sync.presence import Presence
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Guarantee, Route, Transport
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.single import IN_FLIGHT, SingleReadingTransport

logger = logging.getLogger(__name__)

Api = Literal["auto", "batch", "single"]

ASK_AGAIN_S: Final = 600.0
ASK_AGAIN_FIRST_S: Final = 10.0
"""After a change to single readings; each time twice as long, up to `ASK_AGAIN_S`."""


class AutoTransport:
    """One of two transports to the same central; which one, the central says."""

    def __init__(
        self,
        batch: HttpsTransport,
        single: SingleReadingTransport,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batch = batch
        self._single = single
        self._monotonic_s = monotonic_s
        self._asked_at_s = 0.0
        self._ask_again_s = ASK_AGAIN_FIRST_S
        self._is_certain = False
        self.mode: Literal["batch", "single"] | None = None
        self.changed_at_ns: int | None = None

    @property
    def route(self) -> Route:
        """Return which of the two is used; not known before the central was asked."""
        in_use = self._in_use or self._batch
        return replace(in_use.route, is_known=self.mode is not None, since_ns=self.changed_at_ns)

    @property
    def guarantee(self) -> Guarantee:
        """Return the guarantee of the one in use; UNKNOWN before the central was asked."""
        return Guarantee.UNKNOWN if self._in_use is None else self._in_use.guarantee

    @property
    def takes_events(self) -> bool | None:
        """Return whether events have a place at this central; None before it was asked."""
        return None if self._in_use is None else self._in_use.takes_events

    @property
    def takes_digests(self) -> bool:
        """Return whether this central can be asked for digests; False before it was asked what it takes."""
        return self._in_use is not None and self._in_use.takes_digests

    @property
    def _in_use(self) -> Transport | None:
        if self.mode is None:
            return None
        return self._batch if self.mode == "batch" else self._single

    def __repr__(self) -> str:
        return f"AutoTransport({self._batch!r}, {self._single!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch in the form this central takes. Raises as promised in `transports.base`."""
        if not self._is_certain or self._is_time_to_ask():
            await self._ask()
        send = self._batch.send if self.mode == "batch" else self._single.send_readings
        try:
            return await send(body, batch_id=batch_id)
        except TransientSyncError:
            self._is_certain = False
            raise

    async def close(self) -> None:
        await self._batch.close()
        await self._single.close()

    def _is_time_to_ask(self) -> bool:
        return self.mode == "single" and self._monotonic_s() - self._asked_at_s >= self._ask_again_s

    async def _ask(self) -> None:
        before = self.mode
        takes_batches = await self._batch.is_there()
        if not takes_batches:
            await self._single.check_there()
        self.mode = "batch" if takes_batches else "single"
        self._ask_again_s = min(ASK_AGAIN_S, 2 * self._ask_again_s) if before == self.mode else ASK_AGAIN_FIRST_S
        self._asked_at_s = self._monotonic_s()
        self._is_certain = True
        if self.mode != before:
            self.changed_at_ns = time.time_ns()
            logger.info("the central takes %s: %s", _TAKES[self.mode], self.guarantee)


_TAKES: Final = {"batch": "batches", "single": "single readings only"}


def transport_for(
    api: Api,
    url: str,
    *,
    gateway_id: str,
    api_key: str,
    connection: ConnectionOptions = DEFAULTS,
    in_flight: int = IN_FLIGHT,
    presence: Presence | None = None,
    known: KnownCentral | None = None,
) -> HttpsTransport | SingleReadingTransport | AutoTransport:
    """Return the transport to a central over HTTPS. Raises CredentialsError for a key or file that cannot be used."""
    known = known or KnownCentral()

    def batch() -> HttpsTransport:
        return HttpsTransport(
            url,
            gateway_id=gateway_id,
            api_key=api_key,
            connection=connection,
            presence=presence,
            known=known,
        )

    def single() -> SingleReadingTransport:
        return SingleReadingTransport(
            url,
            gateway_id=gateway_id,
            api_key=api_key,
            connection=connection,
            in_flight=in_flight,
            known=known,
        )

    match api:
        case "batch":
            return batch()
        case "single":
            return single()
        case "auto":
            return AutoTransport(batch(), single())
