"""From the outbox to the central: take, send, settle; back off while the central is away.

Constraints
- A block leaves the outbox only on the central's own answer after COMMIT.
- A batch that is refused as a whole is halved until the poison record stands alone; one that is too large
  is cut. When nothing is taken any more, records are held instead of becoming dead letters (`circuit_breaker`).
- What there is no place for is held beside the others that go, and offered again by itself; what was given up for want
  of a place goes back once there is one.
- After a failure one small request goes alone; only its answer lets others go beside it.
- Waiting has full jitter, so that a fleet does not come back in step.

`scheduler` says what goes next, `window` how much at once. Does not know which transport it is, nor SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from cloud_sync.backoff import Backoff
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    GatewayIdInUseError,
    NoPlaceError,
    OutboxUnavailableError,
    SyncError,
    TransientSyncError,
    WireFormatError,
)
from cloud_sync.outbox.store import WHOLE_BLOCK, Block, Outbox
from cloud_sync.records import RecordClass, Refusal, Settlement
from cloud_sync.transports.base import Transport
from cloud_sync.uplink.bisect import Bisection
from cloud_sync.uplink.circuit_breaker import CircuitBreaker, NothingTakenError, refused_altogether
from cloud_sync.uplink.coalesce import coalesce, coalesced_id, part_of
from cloud_sync.uplink.gate import Gate, OpenGate
from cloud_sync.uplink.pacing import BACKOFF_FIRST_S
from cloud_sync.uplink.places import Places
from cloud_sync.uplink.probe import Probe
from cloud_sync.uplink.scheduler import Load, Scheduler
from cloud_sync.uplink.state import HELD_HINT, LinkState, Policy, UplinkState, checked, failed, words_of_held
from cloud_sync.uplink.window import Window

__all__ = ["LinkState", "Policy", "Uplink", "UplinkState"]

logger = logging.getLogger(__name__)

IDLE_POLL_S: Final = 5.0
"""The writer wakes us after each flush; this is only the belt to that pair of braces."""


class Uplink:
    """Up to `in_flight` requests in flight at a time."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        backoff_max_s: float = 60.0,
        policy: Policy | None = None,
        gate: Gate | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._policy = policy or Policy(backoff_max_s)
        self._gate = gate or OpenGate()
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._scheduler = Scheduler(outbox, live_weight=self._policy.live_weight, live_blocks=self._policy.live_blocks)
        self._backoff = Backoff(BACKOFF_FIRST_S, self._policy.backoff_max_s, jitter=jitter)
        self._window = Window(self._policy, monotonic_s, self._gate)
        self._breaker = CircuitBreaker()
        self._probe = Probe(outbox, self._send, self._breaker)
        self._asked, self._ask_at_s = 0, 0.0
        self._places = Places(outbox, transport, monotonic_s=monotonic_s)
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._taking = asyncio.Lock()
        self._idle, self._is_over, self._was_held = 0, False, False
        self._failure: SyncError | None = None
        self._retry_after_s: float | None = None
        self.state = UplinkState(LinkState.STARTING, now_ns())

    def wake(self) -> None:
        """Wake up: there is something new in the outbox."""
        self._wake.set()
        self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._window.hold_backlog(self._backoff.spread_s(self._policy.stagger_s))
        while True:
            self._wake.clear()
            if await self._try_drain():
                await self._wait_for_work()
            else:
                await self._sleep(self._backoff_s())

    async def drain(self) -> bool:
        """Deliver everything that waits, once. False when something had to stay."""
        self._window.hold_backlog(0.0)
        self._gate.record_last_call()
        return await self._try_drain() and not self._breaker.held and not self._places.without

    async def _try_drain(self) -> bool:
        """False when something failed; what is held is no failure."""
        self._begin_round()
        if self._breaker.held:
            await self._ask_about_held()
        if self.state.link is not LinkState.ONLINE and self._failure is None:
            await self._send_next()
        if self._failure is None:
            async with asyncio.TaskGroup() as group:
                for number in range(self._policy.in_flight):
                    group.create_task(self._send_until_empty(), name=f"uplink sender {number}")
        if self._failure is None and self._breaker.held and self.state.link is not LinkState.REFUSES_ALL:
            await self._show_held()
        if self._failure is not None:
            self._record_failure(self._failure)
            return False
        self._record_nothing_waits()
        if self.state.last_settled_ns is not None and await self._places.give_back():
            self._wake.set()
        return True

    def _begin_round(self) -> None:
        self._scheduler.restart()
        self._places.begin_round()
        self._failure, self._idle, self._is_over = None, 0, False

    async def _send_until_empty(self) -> None:
        """Until nothing waits for any of the senders, or something failed."""
        while not self._ends():
            if self._breaker.held and self._monotonic_s() >= self._ask_at_s:
                self._is_over = True  # the next round begins with asking
                self._changed.set()
                return
            if await self._send_next():
                continue
            if self._ends():
                return  # another said so meanwhile, and will not again
            wait_s = self._window.backlog_wait_s()
            if self._was_held and wait_s == 0.0 and self._scheduler.has_backlog:
                continue  # it was held back, and no longer is
            self._idle += 1
            if self._idle == self._policy.in_flight and not self._scheduler.has_backlog:
                self._is_over = True
                self._changed.set()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s or None):
                    await self._changed.wait()
            self._idle -= 1

    def _ends(self) -> bool:
        return self._is_over or self._failure is not None

    async def _send_next(self) -> bool:
        """Deliver one load. False when there is none to send now; a failure is kept for the round's end."""
        try:
            load = await self._take()
        except SyncError as exc:
            self._fail(exc)
            return False
        if load is None:
            return False
        with self._window.carrying(load):
            try:
                await self._deliver(load)
            except NothingTakenError as nothing:
                await self._hold(nothing, load)
            except NoPlaceError as exc:
                self._record_no_place(load.blocks[0].record_class, exc)
            except SyncError as exc:
                self._fail(exc)
        self._changed.set()  # its slot is free
        return True

    async def _take(self) -> Load | None:
        async with self._taking:
            self._changed.clear()
            withheld = self._gate.withheld()
            self._was_held = self._window.backlog_wait_s() > 0.0
            load = await asyncio.to_thread(
                self._scheduler.take,
                self._window.limits(is_asking=self._places.is_asking),
                with_backlog=not self._was_held,
                without=withheld.union(self._breaker.held, self._places.without),
                busy=self._window.busy(has_backlog=self._scheduler.has_backlog),
            )
        self._gate.record_taken(None if load is None else load.blocks[0].record_class)
        return load

    def _fail(self, exc: SyncError) -> None:
        """The first failure of a round speaks for it."""
        if self._failure is None:
            self._failure = exc
        self._changed.set()

    async def _deliver(self, load: Load) -> None:
        if len(load.blocks) > 1 and await self._deliver_coalesced(load):
            return
        for block in load.blocks:
            await self._settle([(block, await self._deliver_block(block, load))])

    async def _deliver_coalesced(self, load: Load) -> bool:
        """Deliver the blocks as one request; False when they must go one by one, to find what cannot be taken."""
        blocks = load.blocks
        try:
            body = await asyncio.to_thread(coalesce, blocks)
        except WireFormatError:
            return False
        self._window.count_coalesced(blocks, body)
        try:
            answer = await self._send(body, load.count, coalesced_id(blocks), blocks[0].record_class, load)
        except (BatchTooLargeError, BatchRefusedError):
            return False
        await self._check_refusals(blocks, answer)
        await self._settle(list(zip(blocks, part_of(answer, blocks), strict=True)))
        return True

    async def _deliver_block(self, block: Block, load: Load) -> Settlement:
        try:
            answer = await self._send(block.body, block.count, block.batch_id, block.record_class, load)
        except (BatchTooLargeError, BatchRefusedError) as exc:
            return await self._bisect(block, exc)
        await self._check_refusals([block], answer)
        return answer

    async def _bisect(self, block: Block, reason: SyncError) -> Settlement:
        of = block.record_class
        try:
            batch = await asyncio.to_thread(block.decode)
        except WireFormatError as exc:
            # We cannot cut what we cannot read: it goes to the dead letters whole, never lost.
            return Settlement(0, 0, (Refusal(WHOLE_BLOCK, "unreadable_block", exc.message),))

        def count_refused(exc: SyncError) -> None:
            if self._breaker.count_refused(of):
                raise NothingTakenError(of, exc.message)

        async def send(body: bytes, count: int, batch_id: str) -> Settlement:
            return await self._send(body, count, batch_id, of)

        try:
            return await Bisection(send, count_refused).settle(batch, block.batch_id, reason)
        except NothingTakenError:
            if not await self._probe.takes_some_of(block) and not await self._takes_others(of, [block]):
                raise
        return await Bisection(send).settle(batch, block.batch_id, reason)

    async def _check_refusals(self, blocks: Sequence[Block], answer: Settlement) -> None:
        """Raises NothingTakenError when the answer took nothing, and the central takes no other records either."""
        refusal = refused_altogether(answer)
        if refusal is None:
            return
        of = blocks[0].record_class
        if self._breaker.count_refused(of, len(blocks)) and not await self._takes_others(of, blocks):
            raise NothingTakenError(of, f"{refusal.code}: {refusal.detail}")

    async def _takes_others(self, of: RecordClass, refused: Sequence[Block]) -> bool:
        batch_ids = frozenset(block.batch_id for block in refused)
        if self._breaker.are_bad_by_themselves(of, batch_ids):
            return True
        return await self._probe.takes_others(of, batch_ids)

    async def _hold(self, nothing: NothingTakenError, load: Load) -> None:
        self._breaker.hold(nothing)
        for block in load.blocks:
            self._breaker.suspect(nothing.of, block.batch_id)
        self._asked, self._ask_at_s = 0, self._monotonic_s() + self._backoff.wait_s(1)
        await self._show_held()
        logger.error("nothing of this kind is taken any more, and it is held: %s", nothing)

    async def _ask_about_held(self) -> None:
        """Whether the central takes again what is held; less and less often while it does not."""
        if self._monotonic_s() < self._ask_at_s:
            return
        self._asked += 1
        self._ask_at_s = self._monotonic_s() + self._backoff.wait_s(self._asked + 1)
        try:
            for of in self._breaker.held.keys() - self._gate.withheld():
                try:
                    if await self._probe.takes_others(of):
                        logger.info("the central takes records of the class %s again; what was held is sent", of.value)
                except NoPlaceError:  # it is another central now
                    del self._breaker.held[of]
        except SyncError as exc:
            self._fail(exc)
        else:
            await self._show_held()

    def _record_no_place(self, of: RecordClass, exc: NoPlaceError) -> None:
        """Nobody failed: what was found to have no place for these has answered."""
        self._places.record_none(of, exc)
        if self.state.link in (LinkState.STARTING, LinkState.OFFLINE) and self._failure is None:
            self._set_link(LinkState.ONLINE, None, None)

    async def _send(
        self, body: bytes, count: int, batch_id: str, of: RecordClass, load: Load | None = None
    ) -> Settlement:
        """One request. Raises BatchTooLargeError without asking when as much was too large before."""
        with self._window.request(len(body), count, load):
            answer = checked(await self._transport.send(body, batch_id=batch_id), count)
        self._breaker.record_answer(of, answer)
        self._places.record_answer(of, answer)
        sent_bytes = self.state.sent_bytes_total + len(body)
        self.state = replace(self.state, sent_bytes_total=sent_bytes, measured=self._window.measured)
        return answer

    async def _settle(self, settled: Sequence[tuple[Block, Settlement]]) -> None:
        now_us = self._now_ns() // 1000
        try:
            await asyncio.to_thread(self._outbox.settle_all, settled, now_us=now_us)
        except OutboxUnavailableError:
            if len(settled) == 1:
                raise
            for block, settlement in settled:  # a full disk may still take a smaller transaction
                await asyncio.to_thread(self._outbox.settle, block, settlement, now_us=now_us)
                self._record_settled(block, settlement)
            return
        for block, settlement in settled:
            self._record_settled(block, settlement)

    def _record_settled(self, block: Block, settlement: Settlement) -> None:
        now_ns, state = self._now_ns(), self.state
        if settlement.refused:
            first = settlement.refused[0]
            logger.warning(
                "%d of %d records were refused and are kept as dead letters; the first: %s: %s",
                len(settlement.refused), block.count, first.code, first.detail,
            )  # fmt: skip
        if state.failures:
            logger.info("the central takes records again, after %d failures", state.failures)
            self._window.hold_backlog(self._backoff.spread_s(self._policy.stagger_s))
        is_held = bool(self._breaker.held)
        link = LinkState.REFUSES_ALL if is_held else LinkState.ONLINE
        self.state = replace(
            state,
            link=link,
            since_ns=state.since_ns if state.link is link else now_ns,
            accepted_total=state.accepted_total + settlement.accepted,
            duplicates_total=state.duplicates_total + settlement.duplicates,
            refused_total=state.refused_total + len(settlement.refused),
            batches_total=state.batches_total + 1,
            failures=0,
            last_settled_ns=now_ns,
            error=state.error if is_held else None,
            hint=state.hint if is_held else None,
        )

    async def _show_held(self) -> None:
        """Show in the state what is held by now; ONLINE when nothing is."""
        try:
            depth = await asyncio.to_thread(self._outbox.depth)
        except SyncError as exc:
            self._fail(exc)
            return
        held = words_of_held(self._breaker.held, depth)
        self._set_link(LinkState.REFUSES_ALL if held else LinkState.ONLINE, held, HELD_HINT if held else None)

    def _set_link(self, link: LinkState, error: str | None, hint: str | None) -> None:
        since_ns = self.state.since_ns if self.state.link is link else self._now_ns()
        self.state = replace(self.state, link=link, since_ns=since_ns, failures=0, error=error, hint=hint)

    def _record_nothing_waits(self) -> None:
        """An outbox that could not be read or settled can be again; of the link this says nothing."""
        if self.state.link is LinkState.BLOCKED:
            self._set_link(LinkState.STARTING if self.state.last_settled_ns is None else LinkState.ONLINE, None, None)

    def _record_failure(self, exc: SyncError) -> None:
        if isinstance(exc, TransientSyncError) and not exc.is_centrals:
            self._window.forget_too_large()
        before, self.state = self.state, failed(self.state, exc, now_ns=self._now_ns())
        if before.link is not self.state.link:
            logger.warning("delivery is %s: %s", self.state.link.value, exc.full_message)
        self._retry_after_s = exc.retry_after_s if isinstance(exc, TransientSyncError | GatewayIdInUseError) else None

    def _backoff_s(self) -> float:
        if self.state.link is LinkState.REFUSED:
            return self._backoff.long_wait_s() if self._retry_after_s is None else self._retry_after_s
        return self._backoff.wait_s(self.state.failures, retry_after_s=self._retry_after_s)

    async def _wait_for_work(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_POLL_S):
                await self._wake.wait()
