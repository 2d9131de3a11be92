"""A broker as a source of scans: subscribed to, never published to.

Constraints
- No code path publishes, asks for a rebirth or sets a will: what is read came without being asked for.
- A subscription that the broker refuses costs its own tags only.
- What arrives faster than it is taken is dropped at a bound, oldest first, counted, and yielded as a gap.
- Edge nodes report by exception: while one lives, what it does not send has not changed. It is known to have lived
  two keep-alive intervals ago, when the connection has not been lost by now; so late is its KeepAlive.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Final

from cloud_sync.errors import CredentialsError, SyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt.broker import Broker, Tls
from cloud_sync.transports.mqtt.link import Link
from cloud_sync.transports.mqtt.message import Message
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.proxies.choice import DIRECT
from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.channel import Channel, WhenFull
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import KeepAlive, Scan
from edge_agent.drivers.base import Item
from edge_agent.drivers.mqtt.readings import TagReadings, names_by_filter
from edge_agent.drivers.mqtt.settings import MqttSettings
from edge_agent.drivers.report import SourceProblem, SourceReport, TagReport, TagState
from edge_agent.errors import DeviceRejectedError, TransientDriverError

MESSAGES_QUEUED: Final = 1_024
IN_FLIGHT: Final = 512
"""Messages on their way from the network thread; one that the broker sends at QoS 0 beyond it is lost."""
LOOK_EVERY_S: Final = 1.0
"""How often messages that stopped are looked for."""
PINGS_UNANSWERED: Final = 2
CONFIRM_EVERY_S: Final = 10.0
_TELL_EVERY_NS: Final = 1_000_000_000
_UNBORN: Final = "no birth certificate of {} since this gateway connected; it asks for none, since it only reads"


class MqttDriver:
    """Subscribes to the topics of the configured tags; yields one Scan per message."""

    def __init__(self, settings: MqttSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._readings = TagReadings(settings, of_utc=clock.of_utc)
        self._stale_after_s = {tag.name: tag.stale_after_s for tag in settings.tags if tag.stale_after_s is not None}
        self._link: Link | None = None
        self._channel: Channel[Message | SyncError] = self._new_channel()
        self._refused: dict[str, str] = {}
        self._opened_ns: int | None = None
        self._confirm_s = 0.0
        self._taken_total = 0

    async def open(self) -> None:
        """Connect and subscribe. Raise TransientDriverError or DeviceRejectedError."""
        await self.close()
        self._channel = self._new_channel()
        self._readings.forget()
        broker = broker_of(self._settings)
        self._link = link = Link(
            broker,
            client_id=client_id_of(self._settings),
            on_message=self._on_message,
            on_lost=self._channel.put,
            max_in_flight=IN_FLIGHT,
            connection=options_of(self._settings),
        )
        is_open = False
        try:
            with translated(self.name):
                await link.open()
                check_cancelled()
                self._refused = await self._subscribe(link)
            self._opened_ns = self._clock.now_ns()
            is_open = True
        finally:
            if not is_open:
                await self.close()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what is published. Raise TransientDriverError when the broker is lost."""
        for gap in self._refusals():
            yield gap
        drops = _Drops(self.name, self._dropped_total, self._clock.now_ns())
        fresh_s = dict.fromkeys(self._stale_after_s, self._clock.monotonic_s())
        while True:
            notice = await self._next_notice()
            now_ns = self._clock.now_ns()
            is_lost = isinstance(notice, SyncError)
            if (dropped := drops.look(self._dropped_total, now_ns, is_last=is_lost)) is not None:
                yield dropped
            if isinstance(notice, SyncError):
                raise TransientDriverError(f"{self.name}: {notice.message}", hint=notice.hint)
            for item in self._taken(notice, fresh_s, now_ns) if notice is not None else ():
                yield item
            self._check_alive()
            for item in self._looked_at(fresh_s, now_ns):
                yield item

    async def close(self) -> None:
        """Close the connection, within a bound."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def report(self) -> SourceReport:
        """Return the tags of refused topics, those whose edge node has not shown itself, and what could not be read."""
        refused = names_by_filter(self._readings.filters, self._refused)
        tags = {
            name: TagReport(TagState.WAITING, _UNBORN.format(address), self._opened_ns)
            for name, address in self._readings.unborn.items()
        }
        tags |= {name: TagReport(TagState.REFUSED, why, self._opened_ns) for name, why in refused.items()}
        return SourceReport(
            tags,
            (*self._problems(), *self._readings.times.problems()),
            time_skew_s=self._readings.times.skew.seconds(),
            figures={
                "messages_total": self._taken_total,
                "undecodable_messages_total": self._readings.undecodable_total,
                "dropped_messages_total": self._dropped_total,
            },
        )

    @property
    def _dropped_total(self) -> int:
        """Return the messages dropped on this connection, before and behind the network thread."""
        return self._channel.stats().dropped_total + (0 if self._link is None else self._link.dropped_total)

    def _problems(self) -> Iterator[SourceProblem]:
        unborn = sorted(set(self._readings.unborn.values()))
        if unborn and self._opened_ns is not None and self._link is not None:
            yield SourceProblem(
                _UNBORN.format(", ".join(unborn[:3])),
                self._opened_ns,
                "check group, edge node and device; or let its host application ask for a rebirth",
            )

    async def _subscribe(self, link: Link) -> dict[str, str]:
        """Subscribe to every filter; return the refused ones, and why. Raise SyncError when the link is lost."""
        refused: dict[str, str] = {}
        for topic in self._readings.filters:
            try:
                await link.subscribe(topic)
            except CredentialsError as exc:
                if not link.is_open:
                    raise
                refused[topic] = exc.message
            check_cancelled()
        return refused

    def _refusals(self) -> Iterator[Gap]:
        now_ns = self._clock.now_ns()
        for name, why in names_by_filter(self._readings.filters, self._refused).items():
            yield Gap(name, GapCause.DEVICE_REJECTED, now_ns, now_ns, f"{self.name}: {name}: {why}")

    async def _next_notice(self) -> Message | SyncError | None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                return await self._channel.receive()
        except TimeoutError:
            return None

    def _taken(self, message: Message, fresh_s: dict[str, float], now_ns: int) -> Iterator[Item]:
        readings, gaps = self._readings.take(message.topic, message.payload, is_retained=message.retain, now_ns=now_ns)
        self._taken_total += 1
        now_s = self._clock.monotonic_s()
        fresh_s.update((each.tag.name, now_s) for each in readings if each.tag.name in self._stale_after_s)
        yield from gaps
        if readings:
            yield Scan(self.name, tuple(readings))

    def _check_alive(self) -> None:
        """Raise TransientDriverError for a broker that sends bytes, and no answer to any ping among them."""
        if self._link is not None and self._link.unanswered_pings > PINGS_UNANSWERED:
            where = f"{self._settings.host}:{self._settings.port}"
            raise TransientDriverError(
                f"{self.name}: the broker at {where} sends bytes that make no message, and answers no ping",
                hint="is this the right port, and an MQTT broker?",
            )

    def _looked_at(self, fresh_s: dict[str, float], now_ns: int) -> Iterator[Item]:
        """Return the keep-alive of living edge nodes, and the readings of tags whose messages stopped."""
        lived_ns = now_ns - 2 * self._settings.keep_alive_s * 1_000_000_000
        now_s = self._clock.monotonic_s()
        if now_s >= self._confirm_s and self._opened_ns is not None and lived_ns > self._opened_ns:
            self._confirm_s = now_s + CONFIRM_EVERY_S
            if confirmed := self._readings.confirmed:
                yield KeepAlive(self.name, lived_ns, confirmed)
        overdue = [name for name, limit_s in self._stale_after_s.items() if now_s - fresh_s[name] > limit_s]
        if overdue:
            fresh_s.update(dict.fromkeys(overdue, now_s))
            yield Scan(
                self.name, tuple(self._readings.stale(name, self._stale_after_s[name], now_ns) for name in overdue)
            )

    def _on_message(self, message: Message) -> None:
        if self._link is not None:
            self._link.acknowledge(message)
        self._channel.put(message)

    def _new_channel(self) -> Channel[Message | SyncError]:
        return Channel(self.name, capacity=MESSAGES_QUEUED, when_full=WhenFull.DROP_OLDEST)


class _Drops:
    """Messages that were dropped, as one gap for all within `_TELL_EVERY_NS`: a flood drops some all the time."""

    def __init__(self, source: str, total: int, now_ns: int) -> None:
        self._source, self._told_total, self._clear_ns = source, total, now_ns

    def look(self, total: int, now_ns: int, *, is_last: bool) -> Gap | None:
        """Return the gap of what was dropped since the one before, when it is time; `is_last` says that it is."""
        dropped = total - self._told_total
        if dropped and not is_last and now_ns - self._clear_ns < _TELL_EVERY_NS:
            return None
        start_ns, self._clear_ns, self._told_total = self._clear_ns, now_ns, total
        if not dropped:
            return None
        detail = f"{dropped} messages were dropped: the pipeline was slower than the broker"
        return Gap(self._source, GapCause.QUEUE_FULL, start_ns, now_ns, detail, dropped)


@contextlib.contextmanager
def translated(source: str) -> Iterator[None]:
    """Let only our errors out of this block."""
    try:
        yield
    except CredentialsError as exc:
        raise DeviceRejectedError(f"{source}: {exc.message}", hint=exc.hint) from exc
    except SyncError as exc:
        raise TransientDriverError(f"{source}: {exc.message}", hint=exc.hint) from exc


def broker_of(settings: MqttSettings) -> Broker:
    """Return where and how the broker is reached; its files are read at each connection."""
    files = (settings.ca_file, settings.certificate_file, settings.private_key_file)
    return Broker(
        settings.host,
        settings.port,
        None if settings.allow_plaintext else Tls(*files),
        settings.username,
        options=ProtocolOptions(settings.protocol, keep_alive_s=settings.keep_alive_s),
        read_password=lambda: _password(settings),
    )


def client_id_of(settings: MqttSettings) -> str:
    """Return the configured client id, or one that nobody else has."""
    return settings.client_id or f"sm-reader-{secrets.token_hex(6)}"


def options_of(settings: MqttSettings) -> ConnectionOptions:
    """Return how long each step of connecting may take; a broker of the plant is reached without a proxy."""
    wait_s = settings.connect_timeout_s
    return ConnectionOptions(connect_timeout_s=wait_s, tls_timeout_s=wait_s, proxy=DIRECT)


def _password(settings: MqttSettings) -> str | None:
    """Return the password as its file holds it now. Raise CredentialsError when it cannot be read."""
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise CredentialsError(
            f"password_file {settings.password_file} cannot be read: {exc}",
            hint="the file must exist and be readable by the agent's user",
        ) from exc
