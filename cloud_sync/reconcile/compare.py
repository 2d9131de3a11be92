"""Whether the central still holds what it has acknowledged: both sides' digests, compared hour by hour.

Constraints
- Only hours that the ledger knows from their beginning are compared.
- A row that waits in the outbox may be at the central already, when its answer is still in flight or was lost.
  Such an hour is explained, not different.
- So is one with rows that this gateway sent, and gave up or lost before their answer: its own gap covers the hour.
  Rows that were acknowledged and are gone are never explained by a gap.

The comparison is pure; reading the outbox and asking the central are two functions beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cloud_sync import wire
from cloud_sync.digest import (
    HOUR_US,
    MAX_DIGEST_BYTES,
    Difference,
    HourDigest,
    HourKey,
    add_digests,
    decode_digests,
    differences,
    digest_columns,
    hour_of,
)
from cloud_sync.errors import WireFormatError
from cloud_sync.outbox.ack_ledger import acknowledged, known_since_us
from cloud_sync.outbox.gap_log import own_gaps
from cloud_sync.outbox.offline import open_read_only
from cloud_sync.outbox.retention_policy import LossCause
from cloud_sync.records import EventKind
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_central import failure_of, header_value
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.speaker import unbelieved
from cloud_sync.transports.tls import ClientTls

DIGEST_PATH: Final = "/api/v1/data/digest"
COVERS: Final = "covers"
VALUES: Final = "values"
"""Asks for the hash of values too. A central that does not know the question answers with the keys' alone."""
HOURS_PER_QUESTION: Final = 24

_PATIENT: Final = ConnectionOptions(connect_timeout_s=60.0, answer_timeout_s=60.0)


class Cause(StrEnum):
    LOST = "lost"  # acknowledged, and not there any more
    WAITING = "waiting"  # there, its answer not yet taken into account: it is sent again and counts once
    UNKNOWN_ROWS = "unknown_rows"  # there are rows that this gateway's ledger has not
    CHANGED = "changed"  # the same keys, and another value or quality than was acknowledged


@dataclass(frozen=True, slots=True)
class HourSpan:
    """Whole hours [start_us, end_us), UTC."""

    start_us: int
    end_us: int

    @property
    def hours(self) -> int:
        return (self.end_us - self.start_us) // HOUR_US


@dataclass(frozen=True, slots=True)
class OurSide:
    """What the outbox's file holds: `settled` was acknowledged, `waiting` is not yet.

    `gaps` are the outbox's own: those that wait, and those that were delivered long ago.
    """

    since_us: int | None
    settled: Mapping[HourKey, HourDigest]
    waiting: Mapping[HourKey, HourDigest]
    gaps: tuple[GapRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class GapRecord:
    """What the outbox gave up or lost in [start_us, end_us]; `count` None when it is not known."""

    cause: LossCause
    start_us: int
    end_us: int
    count: int | None = None


@dataclass(frozen=True, slots=True)
class HourFinding:
    """`waiting` is how many rows of this sensor and hour are in the outbox; `gap` a gap of our own over the hour."""

    difference: Difference
    cause: Cause
    waiting: int = 0
    gap: LossCause | None = None

    @property
    def is_explained(self) -> bool:
        """Return whether nothing has to be done: it is sent again, or it was sent and then given up here."""
        return self.cause is Cause.WAITING or (self.cause is Cause.UNKNOWN_ROWS and self.gap is not None)

    @property
    def missing(self) -> int:
        """Return how many rows are gone, at least."""
        if self.cause is not Cause.LOST:
            return 0
        ours, theirs = self.difference.ours, self.difference.theirs
        return max(1, (ours.count if ours else 0) - (theirs.count if theirs else 0))


Ask = Callable[[HourSpan], Awaitable[Mapping[HourKey, HourDigest]]]
"""Brings the central's digests of a span. Raises SyncError."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`compared` is how many sensor-hours either side had, of so many `sensors`.

    `asked_hours` may be more than the span has: the ledger begins at `since_us`, and does not know what was before.
    """

    span: HourSpan
    compared: int
    sensors: int
    rows: int
    findings: tuple[HourFinding, ...]
    asked_hours: int | None = None
    since_us: int | None = None

    @property
    def is_equal(self) -> bool:
        """Return whether nothing differs but what is explained."""
        return all(finding.is_explained for finding in self.findings)

    @property
    def hours_not_compared(self) -> int:
        """Return how many hours were asked for, and that the ledger does not know from their beginning."""
        return 0 if self.asked_hours is None else max(0, self.asked_hours - self.span.hours)


def hour_span(hours: int, *, now_us: int, since_us: int | None) -> HourSpan | None:
    """Return the last `hours` hours and the present one, from the ledger's first whole hour; None without one."""
    end_us = hour_of(now_us) + HOUR_US
    if since_us is None:
        return None
    first_whole_us = hour_of(since_us - 1) + HOUR_US
    start_us = max(end_us - hours * HOUR_US, first_whole_us)
    return HourSpan(start_us, end_us) if start_us < end_us else None


def compare(
    span: HourSpan, ours: OurSide, theirs: Mapping[HourKey, HourDigest], *, after: OurSide | None = None
) -> Comparison:
    """Return where the sides differ, with the reason as far as it is known.

    `ours` was read before the central was asked: that much must be there. `after` was read after its answer: what
    came or was settled in between may be there.
    """
    after = ours if after is None else after
    may_be = _may_be_there(after)
    found = tuple(_finding(each, after, may_be) for each in differences(ours.settled, theirs))
    places = ours.settled.keys() | theirs.keys()
    sensors = len({sensor_id for sensor_id, _ in places})
    return Comparison(span, len(places), sensors, sum(one.count for one in ours.settled.values()), found)


async def reconcile(outbox: Path, span_hours: int, ask: Ask, *, now_us: int) -> Comparison | None:
    """Read and compare both sides; None when the ledger has no whole hour yet. Raises SyncError.

    What waits is decoded only when something differs.
    """
    span, ours = await asyncio.to_thread(read_our_side, outbox, span_hours, now_us=now_us, decodes_waiting=False)
    if span is None:
        return None
    theirs = await ask(span)
    after = ours
    if differences(ours.settled, theirs):
        _, after = await asyncio.to_thread(read_our_side, outbox, span_hours, now_us=span.end_us - 1)
    found = compare(span, ours, theirs, after=after)
    return replace(found, asked_hours=span_hours, since_us=ours.since_us)


def read_our_side(
    outbox: Path, span_hours: int, *, now_us: int, decodes_waiting: bool = True
) -> tuple[HourSpan | None, OurSide]:
    """Read it from the outbox's file, read-only: the agent may be running. Raises OutboxError."""
    with open_read_only(outbox) as db:
        db.execute("BEGIN")  # one state of the file, while the agent goes on
        since_us = known_since_us(db)
        span = hour_span(span_hours, now_us=now_us, since_us=since_us)
        if span is None:
            return None, OurSide(since_us, {}, {})
        settled = acknowledged(db, span.start_us, span.end_us)
        if not decodes_waiting:
            return span, OurSide(since_us, settled, {})
        return span, OurSide(since_us, settled, _waiting(db, span), _gaps(db, span))


async def ask_central(
    url: str,
    span: HourSpan,
    *,
    gateway_id: str,
    api_key: str,
    connection: ConnectionOptions = _PATIENT,
    known: KnownCentral | None = None,
) -> dict[HourKey, HourDigest]:
    """Return the central's digests of this gateway's rows. Raises like a transport."""
    known = known or KnownCentral()
    digests: dict[HourKey, HourDigest] = {}
    headers = {"X-API-Key": header_value(api_key)}
    http = HttpExchange(
        headers=headers, tls=ClientTls(connection.ca_file, connection.client_certificate), connection=connection
    )
    async with contextlib.aclosing(http):
        for start_us in range(span.start_us, span.end_us, HOURS_PER_QUESTION * HOUR_US):
            end_us = min(start_us + HOURS_PER_QUESTION * HOUR_US, span.end_us)
            question = {"gateway_id": gateway_id, "from": str(start_us), "to": str(end_us), COVERS: VALUES}
            digests |= await _ask(http, url.rstrip("/") + DIGEST_PATH, question, known)
    return digests


async def _ask(
    http: HttpExchange, url: str, question: Mapping[str, str], known: KnownCentral
) -> dict[HourKey, HourDigest]:
    answer = await http.ask("GET", url, params=question, max_bytes=MAX_DIGEST_BYTES)
    known.note(answer)
    if answer.status != 200:
        raise failure_of(answer, now=datetime.now(UTC), known=known)
    if not known.is_its_answer(answer):
        raise unbelieved(answer)
    try:
        return decode_digests(answer.body)
    except ValueError as exc:
        raise unbelieved(answer, str(exc)) from exc


def _may_be_there(ours: OurSide) -> Counter[HourKey]:
    rows = Counter({place: one.count for place, one in ours.settled.items()})
    rows.update({place: one.count for place, one in ours.waiting.items()})
    return rows


def _cause(difference: Difference, may_be: Mapping[HourKey, int]) -> Cause:
    ours = difference.ours.count if difference.ours else 0
    theirs = difference.theirs.count if difference.theirs else 0
    if difference.ours == difference.theirs:
        return Cause.CHANGED
    if theirs <= ours:
        return Cause.LOST
    place = (difference.sensor_id, difference.hour_us)
    return Cause.WAITING if theirs <= may_be.get(place, 0) else Cause.UNKNOWN_ROWS


def _finding(difference: Difference, ours: OurSide, may_be: Mapping[HourKey, int]) -> HourFinding:
    place = (difference.sensor_id, difference.hour_us)
    waiting = ours.waiting[place].count if place in ours.waiting else 0
    end_us = difference.hour_us + HOUR_US
    gaps = (gap.cause for gap in ours.gaps if gap.start_us < end_us and gap.end_us >= difference.hour_us)
    return HourFinding(difference, _cause(difference, may_be), waiting, next(gaps, None))


def _waiting(db: sqlite3.Connection, span: HourSpan) -> dict[HourKey, HourDigest]:
    found = db.execute(
        "SELECT content FROM block JOIN body ON block_id = id"
        " WHERE class = 'reading' AND last_time_us >= ? AND first_time_us < ?",
        (span.start_us, span.end_us),
    )
    hours: dict[HourKey, HourDigest] = {}
    for (body,) in found:
        add_digests(hours, _digests_of(bytes(body)))
    return {place: one for place, one in hours.items() if span.start_us <= place[1] < span.end_us}


def _digests_of(body: bytes) -> dict[HourKey, HourDigest]:
    try:
        return digest_columns(*wire.read_keys(body))
    except WireFormatError:
        return {}  # the uplink will find it, and put it with the dead letters


def _gaps(db: sqlite3.Connection, span: HourSpan) -> tuple[GapRecord, ...]:
    """Our own ledger's, and those that only wait: an older program recorded none."""
    recorded = own_gaps(db, start_us=span.start_us, end_us=span.end_us)
    found = db.execute("SELECT content FROM block JOIN body ON block_id = id WHERE class = 'event'")
    gaps = (gap for (body,) in found for gap in _gaps_in(bytes(body)))
    waiting = (gap for gap in gaps if gap.start_us < span.end_us and gap.end_us >= span.start_us)
    return (*(GapRecord(gap.cause, gap.start_us, gap.end_us, gap.count) for gap in recorded), *waiting)


def _gaps_in(body: bytes) -> list[GapRecord]:
    try:
        events = wire.decode(body).events
    except WireFormatError:
        return []
    causes = set(LossCause)
    return [
        GapRecord(LossCause(event.body["cause"]), event.body["start_us"], event.body["end_us"], event.body.get("count"))
        for event in events
        if event.kind is EventKind.GAP and event.body.get("cause") in causes
    ]
