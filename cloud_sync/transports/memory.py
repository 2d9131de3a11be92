"""A central in memory, for tests and for trying things out: the same promises, and failures on request.

It stores by the same keys and the same rules as the real one, so that what passes here passes there.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from cloud_sync import wire
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    TransientSyncError,
    WireFormatError,
)
from cloud_sync.records import DIFFERS, Batch, Event, Refusal, Row, Settlement
from cloud_sync.row_rules import Judgement, judge
from cloud_sync.transports.base import Guarantee, Route


class Fault(StrEnum):
    """What the next answer is instead of a settlement."""

    UNREACHABLE = "unreachable"  # nothing arrives
    BUSY = "busy"  # 503: nothing is stored
    ANSWER_LOST = "answer_lost"  # everything is stored, the sender never hears of it
    WRONG_KEY = "wrong_key"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"  # 422
    SILENT = "silent"  # never answers; only cancellation ends the wait


@dataclass(frozen=True, slots=True)
class RefuseIndex:
    """The next answer refuses these positions; the others are stored."""

    indexes: frozenset[int]
    code: str = "scripted"
    detail: str = "refused by the script"


ScriptedAnswer = Fault | RefuseIndex | None
"""None: an ordinary answer."""


class MemoryTransport:
    """Takes batches of one gateway. `outcomes` is used up one per send, then every answer is ordinary.

    `rows` and `events` are what it has stored; `heard` is set once something was sent.
    """

    guarantee = Guarantee.COMMITTED
    takes_events: bool | None = True
    takes_digests = False

    def __init__(
        self,
        *,
        name: str = "memory",
        outcomes: Iterable[ScriptedAnswer] = (),
        max_body_bytes: int = 8_000_000,
        retry_after_s: float | None = None,
    ) -> None:
        self.route = Route(name)
        self.rows: dict[tuple[str, int], Row] = {}
        self.events: dict[str, Event] = {}
        self.reachable = True
        self.somebody_says: int | None = None
        """The status that a proxy or portal answers in the central's place, for as long as there is one."""
        self.sent_total = 0
        self.closed = False
        self.heard = asyncio.Event()
        self._outcomes = deque(outcomes)
        self._max_body_bytes = max_body_bytes
        self._retry_after_s = retry_after_s

    def script(self, *outcomes: ScriptedAnswer) -> None:
        """Add outcomes for the next sends."""
        self._outcomes.extend(outcomes)

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        self.sent_total += 1
        self.heard.set()
        outcome = self._outcomes.popleft() if self._outcomes else None
        await self._fail_before_storing(outcome)
        if len(body) > self._max_body_bytes:
            raise BatchTooLargeError(f"the body has {len(body)} bytes; the limit is {self._max_body_bytes}")
        try:
            batch = wire.decode(body)
        except WireFormatError as exc:
            raise BatchRefusedError(exc.message) from exc
        settlement = self._store(batch, outcome)
        if outcome is Fault.ANSWER_LOST:
            raise TransientSyncError(f"the answer to batch {batch_id} was lost", was_in_flight=True)
        return settlement

    async def close(self) -> None:
        self.closed = True

    async def _fail_before_storing(self, outcome: ScriptedAnswer) -> None:
        if self.closed or not self.reachable or outcome is Fault.UNREACHABLE:
            raise TransientSyncError("the central cannot be reached")
        if self.somebody_says == 413:
            raise BatchTooLargeError("somebody in between takes only smaller requests", is_centrals=False)
        if self.somebody_says is not None:
            raise TransientSyncError(f"somebody in between answered {self.somebody_says}", is_centrals=False)
        if outcome is Fault.BUSY:
            raise TransientSyncError("the central answered 503", retry_after_s=self._retry_after_s)
        if outcome is Fault.WRONG_KEY:
            raise CredentialsError("the central does not know this API key", hint="check central.api_key or its file")
        if outcome is Fault.TOO_LARGE:
            raise BatchTooLargeError("the central takes only smaller batches")
        if outcome is Fault.UNREADABLE:
            raise BatchRefusedError("the central cannot read the batch")
        if outcome is Fault.SILENT:
            await asyncio.Event().wait()

    def _store(self, batch: Batch, outcome: ScriptedAnswer) -> Settlement:
        judgement = _with_script(judge(batch, now=datetime.now(UTC)), outcome)
        known = len(self.rows) + len(self.events)
        conflicts = []
        for index, row in judgement.rows:
            stored = self.rows.setdefault(row.key, row)
            if _bits(stored) != _bits(row):
                conflicts.append(Refusal(index, DIFFERS, f"{stored.value!r} is stored for this sensor and time"))
        for _, event in judgement.events:
            self.events.setdefault(event.event_id, event)
        accepted = len(self.rows) + len(self.events) - known
        refused = tuple(sorted([*judgement.refused, *conflicts], key=lambda refusal: refusal.index))
        return Settlement(accepted, len(batch) - accepted - len(refused), refused)


def _bits(row: Row) -> bytes:
    return struct.pack(">dd", row.value, row.quality)


def _with_script(judgement: Judgement, outcome: ScriptedAnswer) -> Judgement:
    """The judgement with the scripted positions refused as well."""
    if not isinstance(outcome, RefuseIndex):
        return judgement
    placed = {index for index, _ in (*judgement.rows, *judgement.events)}
    scripted = [Refusal(index, outcome.code, outcome.detail) for index in outcome.indexes & placed]
    refused = sorted([*judgement.refused, *scripted], key=lambda refusal: refusal.index)
    return Judgement(
        tuple(item for item in judgement.rows if item[0] not in outcome.indexes),
        tuple(item for item in judgement.events if item[0] not in outcome.indexes),
        judgement.duplicates,
        tuple(refused),
    )
