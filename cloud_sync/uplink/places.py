"""Which classes of records have no place at the central of the moment, and what goes back once they have one.

Constraints
- What has no place stays in the outbox: it is offered again every `AGAIN_S`, one block of it, beside all that goes.
- What was given up for it (a dead letter) goes back by itself once this transport takes events: after each start, and
  each time it did not take them before. A full outbox takes no more back than fits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from cloud_sync.errors import NoPlaceError, SyncError
from cloud_sync.records import NO_EVENTS, RecordClass, Settlement
from cloud_sync.transports.base import Transport

logger = logging.getLogger(__name__)

AGAIN_S: Final = 5.0
"""Whoever has the transport asks it whether that has changed; this only costs reading one block."""
BACK_AGAIN_S: Final = 60.0
"""After an outbox in which what goes back does not fit."""


class Letters(Protocol):
    """What is needed of an outbox."""

    def requeue_without_place(self) -> int: ...


class Places:
    """`without` are the classes that are not to be offered in this round."""

    def __init__(self, letters: Letters, transport: Transport, *, monotonic_s: Callable[[], float]) -> None:
        self._letters = letters
        self._transport = transport
        self._monotonic_s = monotonic_s
        self._none: set[RecordClass] = set()
        self._offer_at_s = 0.0
        self._has_letters = True
        self._back_at_s = 0.0
        self.without: frozenset[RecordClass] = frozenset()

    @property
    def is_asking(self) -> bool:
        """Return whether what had no place is being offered again: one block says as much as many."""
        return bool(self._none - self.without)

    def begin_round(self) -> None:
        self.without = frozenset(self._none if self._monotonic_s() < self._offer_at_s else ())

    def record_none(self, of: RecordClass, because: NoPlaceError) -> None:
        """Hold this class back for a while."""
        if of not in self._none:
            logger.warning("records of the class %s are held: %s", of.value, because.message)
        self._none.add(of)
        self._offer_at_s = self._monotonic_s() + AGAIN_S
        self.without |= {of}

    def record_answer(self, of: RecordClass, answer: Settlement) -> None:
        """Learn from an answer: whoever takes one has a place for the class, who refuses one for that would again."""
        if of in self._none and answer.accepted + answer.duplicates:
            logger.info("the central has a place for records of the class %s; what was held is sent", of.value)
            self._none.discard(of)
        if any(refusal.code == NO_EVENTS for refusal in answer.refused):
            self._has_letters = False

    async def give_back(self) -> bool:
        """Put events that had no place behind what waits, if there is one now. Returns whether there were any."""
        if not self._transport.takes_events:
            self._has_letters = True
            return False
        if not self._has_letters or self._monotonic_s() < self._back_at_s:
            return False
        try:
            records = await asyncio.to_thread(self._letters.requeue_without_place)
        except SyncError as exc:
            self._back_at_s = self._monotonic_s() + BACK_AGAIN_S
            logger.warning("what had no place before stays with the dead letters for now: %s", exc.message)
            return False
        self._has_letters = False
        if records:
            logger.info("%d events that had no place before are sent, now that the central takes them", records)
        return records > 0
