"""One box sends under a gateway id at a time: who has the lease, who is held back, and what both are told.

Constraints
- A lease is decided while its row is locked and by the database's clock, so two centrals on one database agree.
- What was decided is believed here for `refresh_s`, and the lease lasts so much longer: a holder that is believed
  cannot have lost it meanwhile, but to a later start of its own installation.
- A box is told of another only when that one has sent again after it was told itself: a message that was late on its
  way proves nothing.
- A sender that does not say who it is (an older agent) is taken as before and gets no lease; a holder is told of it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from cloud_sync.central.database import lease_statements as statements
from cloud_sync.central.database.lease_rules import HELD, QUIET, Held, SenderKind, judge
from cloud_sync.central.database.migrations import Features
from cloud_sync.central.lru import Lru
from cloud_sync.central.metrics import Metrics
from cloud_sync.twins import MAX_LEASE_S, About, Notice, OtherBox, Sender, notice_fields, notice_of

logger = logging.getLogger(__name__)

PRESENT_S: Final = 120.0
"""A box that is held back and was silent for that long is gone, and no longer told of; one that asks more seldom, when
it has missed its turn twice."""
ASK_AGAIN_S: Final = 10.0
_ASKS_OF_A_LEASE: Final = 6.0
"""A box that may be silent for an hour has a link that costs: it asks every ten minutes."""
ASK_SOON_S: Final = 2.0
"""The first time: its answer shows that it lives, and is no late message."""
TOLD_S: Final = 600.0
"""So long a box that took over is told from whom: its first answers may be lost on their way."""

UNNAMED: Final = "unnamed0"
"""In place of the run of a sender that does not say who it is."""

_KNOWN: Final = 10_000  # gateways, about 10 MB
_RIVALS: Final = 20
_HISTORY: Final = 200

Reached = Callable[[], AbstractAsyncContextManager[tuple[Any, Features]]]
"""A connection to the database, and what that can do."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """`seconds` of silence free a gateway id, or as many more as its holder says it may be silent."""

    seconds: float = 60.0
    refresh_s: float = 10.0

    def lasts_s(self, sender: Sender) -> float:
        """Return how long this sender's lease lasts from now, in seconds."""
        return max(self.seconds, min(sender.lease_s, MAX_LEASE_S)) + self.refresh_s


class HeldBackError(Exception):
    """Another box has the lease: nothing of the batch was stored. `free_in_s`: when it was silent for long enough."""

    def __init__(self, gateway_id: str, notice: Notice, *, free_in_s: float, retry_after_s: float) -> None:
        self.notice = notice
        self.free_in_s = free_in_s
        self.retry_after_s = retry_after_s
        super().__init__(
            f"gateway id {gateway_id} is in use by another box: {notice.other}, since {notice.other.since}, last heard"
            f" {notice.other.last_seen}; nothing was stored, and the id is free {free_in_s:.0f} s from now unless that"
            " box sends"
        )

    @property
    def fields(self) -> dict[str, Any]:
        """Return what goes into the answer beside the message."""
        return {"free_in_s": round(self.free_in_s, 1), "twin": notice_fields(self.notice)}


@dataclass(frozen=True, slots=True)
class _Known:
    run: str
    at_s: float
    notice: Notice | None


class Leases:
    """`reached` opens a connection to a database that is up to date, and lets only the central's errors out."""

    def __init__(
        self,
        reached: Reached,
        metrics: Metrics,
        terms: LeaseTerms | None = None,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reached = reached
        self._metrics = metrics
        self._terms = terms or LeaseTerms()
        self._monotonic_s = monotonic_s
        self._known: Lru[str, _Known] = Lru(_KNOWN)
        self._unnamed_at_s: Lru[str, float] = Lru(_KNOWN)

    async def admit(self, gateway_id: str, sender: Sender | None, address: str) -> Notice | None:
        """Let the sender send, and return what it is to be told of another box. Raises HeldBackError."""
        if sender is None:
            await self._note_unnamed(gateway_id, address)
            return None
        known, now_s = self._known.get(gateway_id), self._monotonic_s()
        if known is not None and known.run == sender.run and now_s - known.at_s < self._terms.refresh_s:
            return known.notice
        self._known.pop(gateway_id)  # also the holder's, which is then told at once
        async with self._reached() as (connection, _), connection.transaction():
            decided = await _Decision(connection, self._terms, gateway_id, sender, address).make()
        if isinstance(decided, HeldBackError):  # what is known of it by now is committed
            self._metrics.held_back.add(gateway_id)
            raise decided
        self._known.put(gateway_id, _Known(sender.run, now_s, decided))
        return decided

    async def _note_unnamed(self, gateway_id: str, address: str) -> None:
        """It is taken as before there were leases; a holder is told of it, and answers by going on."""
        now_s, noted_at_s = self._monotonic_s(), self._unnamed_at_s.get(gateway_id)
        if noted_at_s is not None and now_s - noted_at_s < self._terms.refresh_s:
            return
        async with self._reached() as (connection, _):
            await connection.execute(statements.NOTE_UNNAMED, gateway_id, UNNAMED, address, PRESENT_S)
        self._unnamed_at_s.put(gateway_id, now_s)


class _Decision:
    """One sender before one lease, inside a transaction."""

    def __init__(
        self,
        connection: asyncpg.Connection[Any],
        terms: LeaseTerms,
        gateway_id: str,
        sender: Sender,
        address: str,
    ) -> None:
        self._connection = connection
        self._gateway_id = gateway_id
        self._sender = sender
        self._address = address
        self._lasts_s = terms.lasts_s(sender)

    async def make(self) -> Notice | HeldBackError | None:
        found = await self._lease()
        if found is None:
            return None
        held = Held(found["instance"], found["incarnation"], found["run"], expired=found["left_s"] <= 0)
        sender = self._sender
        if sender.run == held.run:
            await self._renew()
            return await self._notice(found, SenderKind.HOLDER)
        standing = await self._connection.fetchrow(statements.STANDING, self._gateway_id, sender.run, sender.instance)
        kind = judge(held, sender, is_known=standing["is_known"], is_contested=standing["is_contested"])
        if kind in HELD:
            return await self._hold_back(found, kind, had_answered=standing["has_answered"])
        await self._take(found, kind)
        return await self._notice(found, kind)

    async def _lease(self) -> asyncpg.Record | None:
        """The lease there is, locked; None: it is this sender's first."""
        while True:
            found = await self._connection.fetchrow(statements.LEASE, self._gateway_id)
            if found is not None:
                return found
            first = await self._connection.fetchval(statements.FIRST, *self._columns(), self._lasts_s)
            if first is not None:
                return None

    async def _renew(self) -> None:
        sender = self._sender
        await self._connection.execute(
            statements.RENEW, self._gateway_id, sender.run, sender.site, self._address, self._lasts_s
        )
        if not sender.rival:
            return
        for proven in await self._connection.fetch(statements.PROVE, self._gateway_id, sender.rival):
            logger.warning("two boxes send as gateway %s: %s, and %s", self._gateway_id, self._box(), box_of(proven))
            await self._remember("twins", proven["kind"], box_of(proven))

    async def _take(self, found: asyncpg.Record, kind: SenderKind) -> None:
        sender, before = self._sender, box_of(found)
        took_over = None if kind in QUIET else notice_fields(Notice(About.TOOK_OVER, kind, before))
        if took_over is not None:
            await self._connection.execute(statements.NOTE_FORMER, self._gateway_id)
        await self._connection.execute(
            statements.TAKE, *self._columns(), self._lasts_s, None if took_over is None else json.dumps(took_over)
        )
        await self._connection.execute(statements.FORGET_RIVAL, self._gateway_id, sender.run)
        if took_over is not None:
            logger.warning("gateway %s: %s took over from %s (%s)", self._gateway_id, self._box(), before, kind)
            await self._remember("took_over", kind, before)

    async def _hold_back(self, found: asyncpg.Record, kind: SenderKind, *, had_answered: bool) -> HeldBackError:
        has_answered = self._sender.rival == found["run"]
        again_s = max(ASK_AGAIN_S, self._sender.lease_s / _ASKS_OF_A_LEASE)
        await self._connection.execute(
            statements.HOLD, *self._columns(), kind, has_answered, max(PRESENT_S, 2.5 * again_s)
        )
        await self._connection.execute(statements.KEEP_NEWEST_RIVALS, self._gateway_id, _RIVALS)
        holder = box_of(found)
        if has_answered and not had_answered:
            logger.warning("gateway %s: %s is held back (%s); %s sends", self._gateway_id, self._box(), kind, holder)
            await self._remember("held_back", kind, holder)
        if not (has_answered or had_answered):
            again_s = ASK_SOON_S
        return HeldBackError(
            self._gateway_id,
            Notice(About.HELD, kind, holder),
            free_in_s=found["left_s"],
            retry_after_s=min(again_s, max(1.0, found["left_s"])),
        )

    async def _notice(self, found: asyncpg.Record, kind: SenderKind) -> Notice | None:
        """A box that is there now comes before one that has gone."""
        rival = await self._connection.fetchrow(statements.PRESENT_RIVAL, self._gateway_id)
        if rival is not None:
            return Notice(About.TWIN, rival["kind"], box_of(rival))
        if kind not in QUIET:
            return Notice(About.TOOK_OVER, kind, box_of(found))
        if kind is SenderKind.HOLDER and found["took_over"] is not None and found["held_s"] < TOLD_S:
            return notice_of(json.loads(found["took_over"]))
        return None

    async def _remember(self, what: str, kind: str, other: OtherBox) -> None:
        boxes = {"kind": kind, "box": asdict(self._box()), "other": asdict(other)}
        await remember(self._connection, self._gateway_id, what, boxes)

    def _columns(self) -> tuple[Any, ...]:
        sender = self._sender
        return (
            self._gateway_id,
            sender.instance,
            sender.incarnation,
            sender.run,
            sender.machine,
            sender.site,
            self._address,
        )

    def _box(self) -> OtherBox:
        sender = self._sender
        return OtherBox(
            sender.instance,
            sender.incarnation,
            sender.run,
            sender.machine,
            sender.site,
            self._address,
            since="",
            last_seen="",
        )


async def remember(connection: asyncpg.Connection[Any], gateway_id: str, what: str, body: Mapping[str, Any]) -> None:
    """Add to what happened to a gateway's lease; of each gateway the newest are kept."""
    await connection.execute(statements.REMEMBER, gateway_id, what, json.dumps(body))
    await connection.execute(statements.KEEP_NEWEST_HISTORY, gateway_id, _HISTORY)


def box_of(record: Mapping[str, Any]) -> OtherBox:
    """Return the box in a lease or among the rivals."""
    since = record["taken_at"] if "taken_at" in record else record["first_seen_at"]
    seen = record["seen_at"] if "seen_at" in record else record["last_seen_at"]
    return OtherBox(
        record["instance"],
        record["incarnation"],
        record["run"],
        record["machine"],
        record["site"],
        record["address"],
        since=_rfc3339(since),
        last_seen=_rfc3339(seen),
    )


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
