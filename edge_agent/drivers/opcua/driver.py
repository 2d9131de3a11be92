"""An OPC UA server as a source of scans: subscribed to or polled, never written to, never called.

Constraints
- One owner of reconnect, and it is our supervisor: the library's own is off, and every `open` makes a new client. Only
  a connection that is cut is first made again here, for `RESUME_FOR_S`: the server may still have all it queued.
- A subscription that brings nothing, not even a keep-alive, is lost after `silent_after_s`. While the session lives
  only the subscription is made again.
- A node the server does not have costs that tag only; it is asked for again every `RETRY_REJECTED_S`.
- Notices are handed over through a bounded channel; what is dropped there is counted and yielded as a gap.
- After a loss nobody knows which values changed: none is confirmed before it came anew, and all are asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from asyncua import Client, ua

from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.channel import Channel, ChannelStats, WhenFull
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import KeepAlive, Scan
from edge_agent.drivers.base import Item
from edge_agent.drivers.opcua.address_space.addresses import resolve
from edge_agent.drivers.opcua.client import translated
from edge_agent.drivers.opcua.decoding.enumerations import words_of
from edge_agent.drivers.opcua.decoding.values import Values
from edge_agent.drivers.opcua.node_states import NodeStates
from edge_agent.drivers.opcua.polled import Polled
from edge_agent.drivers.opcua.security.identity import Secured
from edge_agent.drivers.opcua.server_limits import ServerLimits, read_limits
from edge_agent.drivers.opcua.session import ANSWER_TIMEOUT_S, answers, connect, disconnect, new_client, resume
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscribing.notices import Ended, Lost, Notice, Notification
from edge_agent.drivers.opcua.subscribing.subscribed import Subscribed
from edge_agent.drivers.report import SourceReport
from edge_agent.errors import DriverError, TransientDriverError

HAND_OVER_CAPACITY: Final = 256  # notifications; over two minutes of them at the default publishing interval
RETRY_REJECTED_S: Final = 300.0  # a node may come back with a new server program: minutes, not seconds
ASK_ANEW_S: Final = 60.0  # at most so often: where notifications are lost all the time, it would make it worse
RESUME_FOR_S: Final = 10.0  # a link that is away for longer is said to be lost
RESUME_PAUSE_S: Final = 0.2


class OpcUaDriver:
    """Yields one Scan per notification or pass with new values, and a KeepAlive for what is confirmed unchanged.

    A node the server refuses is yielded as a Gap (DEVICE_REJECTED) naming it, once per finding. A value with
    a bad status, or that is no finite number, is a BAD reading.
    """

    def __init__(self, settings: OpcUaSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._values = Values(settings, clock)
        self._states = NodeStates(settings, self._values, clock)
        self._limits = ServerLimits()
        self._secured = Secured()
        self._client: Client | None = None
        self._nodes: Subscribed | Polled | None = None
        self._reader: asyncio.Task[None] | None = None
        self._refusals: list[Gap] = []
        self._resumed_total = 0
        self._is_lost = False
        self._unsure: set[int] = set()
        self._must_ask_anew = False
        self._channel = self._new_channel()

    async def open(self) -> None:
        """Connect and ask for the nodes. Raise TransientDriverError or DeviceRejectedError."""
        await self.close()
        self._channel = self._new_channel()
        self._is_lost = False
        self._unsure.clear()
        self._must_ask_anew = False
        self._client = client = new_client(self._settings, self._on_lost)
        is_open = False
        try:
            with translated(self.name, self._settings.endpoint):
                self._secured = await connect(client, self._settings, self._now())
                self._limits = await read_limits(client)
                check_cancelled()
                make = Polled if self._settings.mode == "polling" else Subscribed
                self._nodes = make(client, self._settings, self._limits, self._clock, self._hand)
                await self._watch(client, self._nodes, range(len(self._settings.nodes)))
                check_cancelled()
            self._start_reader(self._nodes)
            is_open = True
        finally:
            if not is_open:
                await self.close()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what the server sends. Raise TransientDriverError when it is lost."""
        anew_s = self._clock.monotonic_s()
        retry_s = anew_s + RETRY_REJECTED_S
        dropped_total, last_ns = self._channel.stats().dropped_total, self._clock.now_ns()
        for item in self._found_refused():
            yield item
        while True:
            notice = await self._next_notice()
            came_ns = notice.received_time_ns if isinstance(notice, Notification) else self._clock.now_ns()
            newly_dropped = self._channel.stats().dropped_total - dropped_total
            if newly_dropped:
                dropped_total += newly_dropped
                self._lose_track()
                yield self._drop_gap(newly_dropped, min(last_ns, came_ns), came_ns)
            last_ns = came_ns
            for item in await self._items(notice):
                yield item
            if self._must_ask_anew and self._clock.monotonic_s() >= anew_s:
                anew_s = self._clock.monotonic_s() + ASK_ANEW_S
                for item in await self._asked_anew():
                    yield item
            if self._states.not_watched and self._clock.monotonic_s() >= retry_s:
                retry_s += RETRY_REJECTED_S
                for item in await self._asked_again():
                    yield item

    async def close(self) -> None:
        """Disconnect, within a bound."""
        client, self._client = self._client, None
        self._nodes = None
        await self._end_reader()
        if client is not None:
            await disconnect(client, self.name)

    def report(self) -> SourceReport:
        """Return how every node is, what ends soon, the clock of the server, and what it made of our wishes."""
        times = self._values.times
        problems = (*self._secured.problems(self._now()), *times.problems())
        figures = {
            "mode": self._settings.mode,
            **(self._nodes.figures() if self._nodes is not None else {}),
            "connections_resumed_total": self._resumed_total,
            "server_limits": asdict(self._limits),
        }
        return SourceReport(self._states.reports(), problems, times.skew.seconds(), figures)

    def stats(self) -> ChannelStats:
        """Return the figures of the hand-over; `dropped_total` counts notifications since the last `open`."""
        return self._channel.stats()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.to_utc(self._clock.now_ns()) / 1e9, UTC)

    def _new_channel(self) -> Channel[Notice]:
        return Channel(f"{self.name}.hand-over", capacity=HAND_OVER_CAPACITY, when_full=WhenFull.DROP_OLDEST)

    async def _watch(self, client: Client, nodes: Subscribed | Polled, handles: Iterable[int]) -> None:
        """Look up nodes and ask for their values; what is refused is found by `_found_refused`."""
        wanted = [(handle, self._settings.nodes[handle]) for handle in handles]
        node_ids, unresolved = await resolve(client, wanted, self._limits)
        refused = await nodes.watch(node_ids)
        self._values.words |= await words_of(client, node_ids, self._limits)
        self._states.ask(node_ids.keys() - refused.keys())
        self._refusals += self._states.refuse(refused, unresolved)

    def _lose_track(self) -> None:
        """Take it that values were lost, of whatever nodes: their newest ones are not known."""
        self._unsure.update(range(len(self._settings.nodes)))
        self._must_ask_anew = True

    async def _asked_anew(self) -> list[Item]:
        """Ask for the present values of all nodes, which come as new ones; return the gap that this makes."""
        self._must_ask_anew = False
        if isinstance(self._nodes, Polled):
            self._nodes.forget()
        if not isinstance(self._nodes, Subscribed):
            return []
        return await self._renewed(self._nodes, Ended("notifications were lost", frozenset(self._nodes.ids)))

    async def _asked_again(self) -> list[Item]:
        """Ask for the nodes that were refused; return what is found now."""
        if self._client is None or self._nodes is None:
            return []
        with translated(self.name, self._settings.endpoint):
            await self._watch(self._client, self._nodes, self._states.not_watched)
        return self._found_refused()

    def _found_refused(self) -> list[Item]:
        """Return a reading for all that is refused, which shows in `status`, and a gap for each refusal that is news.

        The reading begins the tag's gap; the refusal's own is another one only where there is no reading.
        """
        gaps, self._refusals = self._refusals, []
        readings = self._states.bad_readings()
        return [Scan(self.name, readings), *gaps] if readings else [*gaps]

    def _start_reader(self, nodes: Subscribed | Polled) -> None:
        self._reader = asyncio.create_task(nodes.run(), name=f"{self.name} reader")  # ended in `close`

    async def _end_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})

    async def _next_notice(self) -> Notice:
        """Wait for a notice, and no longer than silence may last: a third of it before its end the server is asked."""
        client, nodes = self._client, self._nodes
        if client is None or nodes is None:
            return await self._handed_within(self._settings.silent_after_s) or Lost(
                f"nothing came for {self._settings.silent_after_s:g} s: it is not open"
            )
        for_an_answer_s = min(ANSWER_TIMEOUT_S, self._settings.silent_after_s / 3)
        notice = await self._handed_within(nodes.silent_in_s() - for_an_answer_s)
        if notice is not None:
            return notice
        is_answering = await answers(client, for_an_answer_s)
        return await self._handed_within(nodes.silent_in_s()) or nodes.silence(answers=is_answering)

    async def _handed_within(self, seconds: float) -> Notice | None:
        try:
            async with asyncio.timeout(seconds):
                return await self._channel.receive()
        except TimeoutError:
            return None

    async def _items(self, notice: Notice) -> list[Item]:
        """Return what a notice leads to. Raise TransientDriverError when the server is lost for good."""
        if isinstance(notice, Notification):
            return self._values_of(notice)
        client, nodes = self._client, self._nodes
        if client is None or not isinstance(nodes, Subscribed):
            raise self._lost(notice.reason)
        if isinstance(notice, Lost):
            if not notice.is_cut:
                raise self._lost(notice.reason)
            return await self._resumed(client, nodes, notice)
        return await self._renewed(nodes, notice)

    def _values_of(self, notice: Notification) -> list[Item]:
        items: list[Item] = []
        at_ns = notice.received_time_ns
        self._values.take_publish_time(notice.sent_time, at_ns)
        if notice.missed:
            self._lose_track()
            detail = f"{notice.missed} notifications of the server never came, or could not be read"
            items.append(Gap(self.name, GapCause.DISCONTINUITY, notice.since_ns, at_ns, detail))
        reading_of = self._values.reading
        readings = tuple([reading_of(handle, value, at_ns) for handle, value in notice.values])
        if self._unsure:
            self._unsure.difference_update([handle for handle, _ in notice.values])
        if readings:
            items.append(Scan(self.name, readings))
        for (handle, value), reading in zip(notice.values, readings, strict=True):
            items += self._states.take(handle, value, reading)
        if notice.confirmed or not notice.values:  # also of no tag: the server lives
            names = frozenset(self._values.tags[handle].name for handle in notice.confirmed - self._unsure)
            items.append(KeepAlive(self.name, at_ns, names))
        return items

    async def _renewed(self, nodes: Subscribed, ended: Ended) -> list[Item]:
        """Make subscriptions again while the session lives; return the gap, and what is refused now."""
        gone = nodes.gone(ended)
        if not gone:
            return []
        if not all(each.has_spoken for each in gone):  # the next one would not speak either
            raise self._lost(ended.reason)
        since_ns, handles = min(each.heard_ns for each in gone), {handle for each in gone for handle in each.handles}
        try:
            with translated(self.name, self._settings.endpoint):
                refused = await nodes.renew(gone)
                check_cancelled()
        except TransientDriverError as exc:
            raise self._lost(f"{ended.reason}; then {exc.message}") from exc
        self._states.ask(handles - refused.keys())
        self._refusals += self._states.refuse(refused, {})
        detail = f"{ended.reason}; {len(handles)} of {len(self._settings.nodes)} nodes are subscribed to again"
        gap = Gap(self.name, GapCause.DISCONTINUITY, since_ns, self._clock.now_ns(), detail)
        return [gap, *(self._found_refused() if refused else [])]

    async def _resumed(self, client: Client, nodes: Subscribed, lost: Lost) -> list[Item]:
        """Take up the session over a new connection; return what the server kept for us meanwhile."""
        await self._end_reader()
        within_s = min(RESUME_FOR_S, self._settings.silent_after_s)
        try:
            async with asyncio.timeout(within_s):
                while not await self._is_resumed(client, nodes):
                    await self._clock.sleep(RESUME_PAUSE_S)
                with translated(self.name, self._settings.endpoint):
                    notices = await nodes.catch_up()
        except (TimeoutError, DriverError) as exc:
            raise self._lost(lost.reason) from exc
        self._resumed_total += 1
        self._is_lost = False
        self._start_reader(nodes)
        return [item for notice in notices for item in await self._items(notice)]

    async def _is_resumed(self, client: Client, nodes: Subscribed) -> bool:
        """Try once; raise TransientDriverError when the server answers and the session is not ours any more."""
        try:
            with translated(self.name, self._settings.endpoint):
                await resume(client, nodes.ids)
        except TransientDriverError as exc:
            if isinstance(exc.__cause__, ua.UaStatusCodeError):
                raise
            return False
        return True

    def _lost(self, reason: str) -> TransientDriverError:
        reason = reason.replace(f"{self.name}: ", "").replace(f"{self._settings.endpoint}: ", "")
        return TransientDriverError(
            f"{self.name}: {self._settings.endpoint} is lost: {reason}",
            hint="check that the server runs, and the network to it; it is tried again by itself",
        )

    def _drop_gap(self, dropped: int, start_ns: int, end_ns: int) -> Gap:
        detail = f"{dropped} notifications were dropped: the pipeline was slower than the server"
        return Gap(self.name, GapCause.QUEUE_FULL, start_ns, end_ns, detail)

    async def _on_lost(self, cause: Exception) -> None:
        is_cut = not isinstance(cause, TimeoutError)
        await self._hand(Lost(str(cause) or "the server does not answer", is_cut))

    async def _hand(self, notice: Notice) -> None:
        """Hand a notice over to the stream. A loss is heard from several sides: only the first is handed over."""
        if isinstance(notice, Lost):
            if self._is_lost:
                return
            self._is_lost = True
        await self._channel.send(notice)
