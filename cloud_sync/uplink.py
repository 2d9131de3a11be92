"""From the outbox to the central: take, send, settle; back off while the central is away.

Constraints
- A block leaves the outbox only on the central's own answer after COMMIT.
- A batch that is refused as a whole is halved until the poison record stands alone; one that is too large
  is cut.
- After a failure one request goes alone; only its answer lets others go beside it.
- Waiting has full jitter, so that a fleet does not come back in step.

`lanes` says what goes next, `pacing` how fast and how much at once. Does not know which transport it is, nor SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cloud_sync import wire
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    OutboxError,
    OutboxUnavailableError,
    SyncError,
    TransientSyncError,
    WireFormatError,
)
from cloud_sync.lanes import Lanes, Load, LoadLimits
from cloud_sync.outbox import WHOLE_BLOCK, Block, Outbox
from cloud_sync.pacing import MAX_RECORDS, Backoff, RequestSize, TokenBucket
from cloud_sync.records import Batch, Refusal, Settlement
from cloud_sync.transports.base import Transport
from cloud_sync.uplink_joining import join, joined_id, part_of

logger = logging.getLogger(__name__)

IDLE_POLL_S: Final = 5.0
"""The writer wakes us after each flush; this is only the belt to that pair of braces."""


class LinkState(StrEnum):
    STARTING = "starting"
    ONLINE = "online"
    OFFLINE = "offline"  # no usable answer; trying again
    REFUSED = "refused"  # our credentials are not accepted
    BLOCKED = "blocked"  # our own disk does not let us settle


@dataclass(frozen=True, slots=True)
class UplinkState:
    """`since_ns` is when this link state began; `error` and `hint` say why it is not online."""

    link: LinkState
    since_ns: int
    accepted_total: int = 0
    duplicates_total: int = 0
    refused_total: int = 0
    batches_total: int = 0
    sent_bytes_total: int = 0
    failures: int = 0
    last_settled_ns: int | None = None
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How the link is used."""

    backoff_max_s: float
    live_weight: float = 3.0
    in_flight: int = 2
    max_bytes_per_s: float | None = None
    """For the backlog; what is live is charged to it, and does not wait."""
    stagger_s: float = 0.0
    """After an outage the backlog waits for a random part of this."""
    join_records: int = MAX_RECORDS


class Uplink:
    """Up to `in_flight` requests on their way at a time."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        backoff_max_s: float = 60.0,
        policy: Policy | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._policy = policy or Policy(backoff_max_s)
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._lanes = Lanes(outbox, live_weight=self._policy.live_weight)
        self._backoff = Backoff(self._policy.backoff_max_s, jitter)
        self._size = RequestSize(max_records=self._policy.join_records)
        rate = self._policy.max_bytes_per_s
        self._bucket = None if rate is None else TokenBucket(rate, now_s=monotonic_s())
        self._backlog_from_s = 0.0
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._taking = asyncio.Lock()
        self._idle = 0
        self._is_over = False
        self._failure: SyncError | None = None
        self._retry_after_s: float | None = None
        self.state = UplinkState(LinkState.STARTING, now_ns())

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()
        self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._hold_backlog()
        while True:
            self._wake.clear()
            if await self._try_drain():
                await self._wait_for_work()
            else:
                await self._sleep(self._backoff_s())

    async def drain(self) -> bool:
        """Deliver everything that waits, once. False when something had to stay."""
        self._backlog_from_s = 0.0
        return await self._try_drain()

    async def _try_drain(self) -> bool:
        self._begin_round()
        if self.state.link is not LinkState.ONLINE:
            await self._send_next()
        if self._failure is None:
            async with asyncio.TaskGroup() as group:
                for number in range(self._policy.in_flight):
                    group.create_task(self._send_until_empty(), name=f"uplink sender {number}")
        if self._failure is not None:
            self._note_failure(self._failure)
            return False
        self._note_nothing_waits()
        return True

    def _begin_round(self) -> None:
        self._lanes.restart()
        self._failure, self._idle, self._is_over = None, 0, False

    async def _send_until_empty(self) -> None:
        """Until nothing waits for any of the senders, or something failed."""
        while self._failure is None and not self._is_over:
            if await self._send_next():
                continue
            hold_s = self._hold_s()
            if self._lanes.has_backlog and hold_s == 0.0:
                continue  # it was held back, and no longer is
            self._idle += 1
            if self._idle == self._policy.in_flight and not self._lanes.has_backlog:
                self._is_over = True
                self._changed.set()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(hold_s or None):
                    await self._changed.wait()
            self._idle -= 1

    async def _send_next(self) -> bool:
        """Deliver one load. False when there is none to send now; a failure is kept for the round's end."""
        try:
            load = await self._take()
        except SyncError as exc:
            self._fail(exc)
            return False
        if load is None:
            return False
        try:
            await self._deliver(load)
        except SyncError as exc:
            self._size.note_trouble()
            self._fail(exc)
        return True

    async def _take(self) -> Load | None:
        async with self._taking:
            self._changed.clear()
            limits = LoadLimits(self._size.records, self._size.body_bytes)
            return await asyncio.to_thread(self._lanes.take, limits, with_backlog=self._hold_s() == 0.0)

    def _fail(self, exc: SyncError) -> None:
        """The first failure of a round speaks for it."""
        if self._failure is None:
            self._failure = exc
        self._changed.set()

    async def _deliver(self, load: Load) -> None:
        if len(load.blocks) > 1 and await self._deliver_joined(load.blocks):
            return
        for block in load.blocks:
            await self._settle([(block, await self._deliver_block(block))])

    async def _deliver_joined(self, blocks: Sequence[Block]) -> bool:
        """False when they have to go one by one, so that what cannot be taken is found."""
        try:
            body = await asyncio.to_thread(join, blocks)
        except WireFormatError:
            return False
        try:
            answer = await self._send(body, sum(block.count for block in blocks), joined_id(blocks))
        except (BatchTooLargeError, BatchRefusedError):
            return False
        await self._settle(list(zip(blocks, part_of(answer, blocks), strict=True)))
        return True

    async def _deliver_block(self, block: Block) -> Settlement:
        try:
            return await self._send(block.body, block.count, block.batch_id)
        except (BatchTooLargeError, BatchRefusedError) as exc:
            try:
                batch = await asyncio.to_thread(block.decode)
            except WireFormatError:
                # We cannot cut what we cannot read: it goes to the dead letters whole, never lost.
                return Settlement(0, 0, (Refusal(WHOLE_BLOCK, "unreadable_block", exc.message),))
            return await self._halve(batch, block.batch_id, 0, exc)

    async def _halve(self, batch: Batch, batch_id: str, offset: int, reason: SyncError) -> Settlement:
        if len(batch) == 0:
            return Settlement(0, 0)
        if len(batch) == 1:
            code = "too_large" if isinstance(reason, BatchTooLargeError) else "refused"
            return Settlement(0, 0, (Refusal(offset, code, reason.message),))
        middle = len(batch) // 2
        first = await self._send_part(batch.part(0, middle), f"{batch_id}.0", offset)
        second = await self._send_part(batch.part(middle, len(batch)), f"{batch_id}.1", offset + middle)
        return Settlement(
            first.accepted + second.accepted, first.duplicates + second.duplicates, first.refused + second.refused
        )

    async def _send_part(self, part: Batch, batch_id: str, offset: int) -> Settlement:
        try:
            answer = await self._send(await asyncio.to_thread(wire.encode, part), len(part), batch_id)
        except (BatchTooLargeError, BatchRefusedError) as exc:
            return await self._halve(part, batch_id, offset, exc)
        return replace(answer, refused=tuple(replace(r, index=r.index + offset) for r in answer.refused))

    async def _send(self, body: bytes, count: int, batch_id: str) -> Settlement:
        """One request. Raises BatchTooLargeError without asking when as much was too large before."""
        began_s = self._monotonic_s()
        if count > 1 and self._size.is_too_large(len(body), now_s=began_s):
            raise BatchTooLargeError(f"{len(body)} bytes are more than the central took before")
        if self._bucket is not None:
            self._bucket.take(len(body), now_s=began_s)
        try:
            answer = await self._transport.send(body, batch_id=batch_id)
        except BatchTooLargeError:
            self._size.note_too_large(len(body), now_s=self._monotonic_s())
            raise
        answer = _checked(answer, count)
        self._size.note_answer(count, took_s=self._monotonic_s() - began_s)
        self.state = replace(self.state, sent_bytes_total=self.state.sent_bytes_total + len(body))
        return answer

    async def _settle(self, settled: Sequence[tuple[Block, Settlement]]) -> None:
        now_us = self._now_ns() // 1000
        try:
            await asyncio.to_thread(self._outbox.settle_all, settled, now_us=now_us)
        except OutboxUnavailableError:
            # On a full disk there may be room for a smaller transaction.
            for block, settlement in settled[: len(settled) if len(settled) > 1 else 0]:
                await asyncio.to_thread(self._outbox.settle, block, settlement, now_us=now_us)
            if len(settled) == 1:
                raise
        for block, settlement in settled:
            self._note_settled(block, settlement)

    def _hold_s(self) -> float:
        """How long the backlog still has to wait; 0 when it may go."""
        now_s = self._monotonic_s()
        paced_s = 0.0 if self._bucket is None else self._bucket.wait_s(now_s=now_s)
        return max(0.0, self._backlog_from_s - now_s, paced_s)

    def _hold_backlog(self) -> None:
        self._backlog_from_s = self._monotonic_s() + self._backoff.spread_s(self._policy.stagger_s)

    def _note_settled(self, block: Block, settlement: Settlement) -> None:
        now_ns, state = self._now_ns(), self.state
        if settlement.refused:
            first = settlement.refused[0]
            logger.warning(
                "%d of %d records were refused and are kept as dead letters; the first: %s: %s",
                len(settlement.refused), block.count, first.code, first.detail,
            )  # fmt: skip
        if state.failures:
            logger.info("the central takes records again, after %d failures", state.failures)
            self._hold_backlog()
        self.state = replace(
            state,
            link=LinkState.ONLINE,
            since_ns=state.since_ns if state.link is LinkState.ONLINE else now_ns,
            accepted_total=state.accepted_total + settlement.accepted,
            duplicates_total=state.duplicates_total + settlement.duplicates,
            refused_total=state.refused_total + len(settlement.refused),
            batches_total=state.batches_total + 1,
            failures=0,
            last_settled_ns=now_ns,
            error=None,
            hint=None,
        )

    def _note_nothing_waits(self) -> None:
        """An outbox that could not be read or settled can be again; of the link this says nothing."""
        if self.state.link is LinkState.BLOCKED:
            link = LinkState.STARTING if self.state.last_settled_ns is None else LinkState.ONLINE
            self.state = replace(
                self.state, link=link, since_ns=self._now_ns(), failures=0, error=None, hint=None
            )  # fmt: skip

    def _note_failure(self, exc: SyncError) -> None:
        link = _link_after(exc)
        state = self.state
        if state.link is not link:
            logger.warning("delivery is %s: %s", link.value, exc.message)
        self._retry_after_s = exc.retry_after_s if isinstance(exc, TransientSyncError) else None
        self.state = replace(
            state,
            link=link,
            since_ns=state.since_ns if state.link is link else self._now_ns(),
            failures=state.failures + 1,
            error=exc.message,
            hint=exc.hint,
        )

    def _backoff_s(self) -> float:
        if self.state.link is LinkState.REFUSED:
            return self._backoff.long_wait_s()
        return self._backoff.wait_s(self.state.failures, retry_after_s=self._retry_after_s)

    async def _wait_for_work(self) -> None:
        try:
            async with asyncio.timeout(IDLE_POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return


def _checked(settlement: Settlement, count: int) -> Settlement:
    """An answer that does not fit the batch settles nothing."""
    positions = {refusal.index for refusal in settlement.refused}
    fits = len(positions) == len(settlement.refused) and all(0 <= position < count for position in positions)
    if fits and min(settlement.accepted, settlement.duplicates) >= 0 and len(settlement) == count:
        return settlement
    raise TransientSyncError(
        f"the central's answer accounts for {len(settlement)} records, the batch has {count}",
        hint="the address may belong to another service; check central.url",
    )


def _link_after(exc: SyncError) -> LinkState:
    if isinstance(exc, CredentialsError):
        return LinkState.REFUSED
    if isinstance(exc, OutboxError):
        return LinkState.BLOCKED
    return LinkState.OFFLINE
