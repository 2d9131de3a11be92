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
from dataclasses import dataclass, replace
from typing import Final, Literal

from cloud_sync.errors import TransientSyncError
from cloud_sync.presence import Presence
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Transport
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.late import LateTransport
from cloud_sync.transports.over_link import OverLink
from cloud_sync.transports.single import IN_FLIGHT, SingleReadingTransport

logger = logging.getLogger(__name__)

Api = Literal["auto", "batch", "single"]

COMMITTED: Final = "an answer means committed to the central's database"
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
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._batch = batch
        self._single = single
        self._monotonic_s = monotonic_s
        self._now_ns = now_ns
        self._asked_at_s = 0.0
        self._ask_again_s = ASK_AGAIN_FIRST_S
        self._is_certain = False
        self.mode: Literal["batch", "single"] | None = None
        self.changed_at_ns: int | None = None

    @property
    def name(self) -> str:
        return "single" if self.mode == "single" else "https"

    def __repr__(self) -> str:
        return f"AutoTransport({self._batch!r}, {self._single!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch the way this central takes it. Raises as promised in `transports.base`."""
        if not self._is_certain or self._is_time_to_ask():
            await self._ask()
        send = self._batch.send if self.mode == "batch" else self._single.send_readings
        try:
            return await send(body, batch_id=batch_id)
        except TransientSyncError:
            self._is_certain = False
            raise

    @property
    def takes_events(self) -> bool | None:
        """None while that is not known."""
        return None if self.mode is None else self.mode == "batch"

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
            self.changed_at_ns = self._now_ns()
            logger.info("the central takes %s: %s", _TAKES[self.mode], worth_of(self))


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
    """Return the way to a central over HTTPS. Raises CredentialsError for a key or file that cannot be used."""
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


def worth_of(transport: Transport) -> str:
    """What this central's answer is worth, in one sentence."""
    match transport:
        case LateTransport(made=None):
            return "not known yet: nothing could be sent so far"
        case LateTransport(made=made) if made is not None:
            return worth_of(made)
        case FailoverTransport(route=route):
            return worth_of(route)
        case OverLink(inner=inner):
            return worth_of(inner)
        case SingleReadingTransport() | AutoTransport(mode="single"):
            return SingleReadingTransport.worth
        case AutoTransport(mode=None):
            return "not known yet: the central has not said what it takes"
        case _:
            return COMMITTED


@dataclass(frozen=True, slots=True)
class Way:
    """How batches reach the central now. `name` is None while that is not known."""

    name: str | None
    since_ns: int | None = None
    """When it was taken; None: from the start."""
    instead_of: str | None = None
    """The preferred way, while this one stands in for it."""
    takes_events: bool | None = True
    """None while that is not known."""
    unexpected_answers: int = 0
    """What settled nothing: late, repeated, or somebody else's."""


def way_of(transport: Transport) -> Way:
    """Which way is in use, since when, and whether events have a place at its end."""
    match transport:
        case LateTransport(made=None):
            return Way(None, takes_events=None)
        case LateTransport(made=made) if made is not None:
            return way_of(made)
        case FailoverTransport(route=route):
            return replace(
                way_of(route),
                since_ns=transport.changed_at_ns,
                instead_of=transport.instead_of,
                unexpected_answers=transport.unexpected_total,
            )
        case OverLink(link=link, inner=inner):
            way = way_of(inner)
            return way if way.name is None else replace(way, name=f"{link} ({way.name})")
        case AutoTransport(mode=None):
            return Way(None, takes_events=None)
        case AutoTransport(mode=mode, takes_events=takes_events):
            return Way("https" if mode == "batch" else "single", transport.changed_at_ns, takes_events=takes_events)
        case SingleReadingTransport():
            return Way(transport.name, takes_events=False)
        case _:
            return Way(transport.name, unexpected_answers=getattr(transport, "unexpected_total", 0))
