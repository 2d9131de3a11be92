"""From the outbox to the central: peek, send, settle, in order; back off while the central is away.

Constraints
- A block leaves the outbox only on the central's own answer after COMMIT.
- A batch that is refused as a whole is halved until the poison record stands alone; one that is too large
  is cut. Nothing else is ever taken out of order.
- Waiting has full jitter, so that a fleet does not come back in step.

Does not know which transport it is, nor SQL.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cloud_sync import wire
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    OutboxError,
    SyncError,
    TransientSyncError,
    WireFormatError,
)
from cloud_sync.outbox import WHOLE_BLOCK, Block, Outbox
from cloud_sync.records import Batch, Refusal, Settlement
from cloud_sync.transports.base import Transport

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S: Final = 0.5
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


class Uplink:
    """One batch in flight at a time."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        backoff_max_s: float,
        now_ns: Callable[[], int] = time.time_ns,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._backoff_max_s = backoff_max_s
        self._now_ns = now_ns
        self._jitter = jitter
        self._sleep = sleep
        self._wake = asyncio.Event()
        self._retry_after_s: float | None = None
        self.state = UplinkState(LinkState.STARTING, now_ns())

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._wake.clear()
            if await self._try_drain():
                await self._wait_for_work()
            else:
                await self._sleep(self._backoff_s())

    async def drain(self) -> bool:
        """Deliver everything that waits, once. False when something had to stay."""
        return await self._try_drain()

    async def _try_drain(self) -> bool:
        try:
            while (block := await asyncio.to_thread(self._outbox.peek)) is not None:
                settlement = await self._deliver(block)
                await asyncio.to_thread(self._outbox.settle, block, settlement, now_us=self._now_ns() // 1000)
                self._note_settled(block, settlement)
        except SyncError as exc:
            self._note_failure(exc)
            return False
        self._note_nothing_waits()
        return True

    async def _deliver(self, block: Block) -> Settlement:
        try:
            return _checked(await self._transport.send(block.body, batch_id=block.batch_id), block.count)
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
            answer = await self._transport.send(await asyncio.to_thread(wire.encode, part), batch_id=batch_id)
        except (BatchTooLargeError, BatchRefusedError) as exc:
            return await self._halve(part, batch_id, offset, exc)
        answer = _checked(answer, len(part))
        return replace(answer, refused=tuple(replace(r, index=r.index + offset) for r in answer.refused))

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
        self.state = replace(
            state,
            link=LinkState.ONLINE,
            since_ns=state.since_ns if state.link is LinkState.ONLINE else now_ns,
            accepted_total=state.accepted_total + settlement.accepted,
            duplicates_total=state.duplicates_total + settlement.duplicates,
            refused_total=state.refused_total + len(settlement.refused),
            batches_total=state.batches_total + 1,
            sent_bytes_total=state.sent_bytes_total + len(block.body),
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
        """Full jitter: uniform between 0 and a ceiling that doubles; credentials wait the longest at once.

        What the central asked for comes on top, so that it is kept to and the fleet is still spread.
        """
        if self.state.link is LinkState.REFUSED:
            return self._backoff_max_s * (0.5 + 0.5 * self._jitter())
        ceiling = min(self._backoff_max_s, BACKOFF_FIRST_S * 2.0 ** min(self.state.failures - 1, 20))
        return (self._retry_after_s or 0.0) + ceiling * self._jitter()

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
