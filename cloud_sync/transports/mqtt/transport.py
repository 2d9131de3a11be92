"""Batches over MQTT 5: published to the gateway's topic, settled by the central's answer on another.

Constraints
- A PUBACK says that the broker has it, and settles nothing. Only the central's answer after COMMIT does.
- An answer belongs to the send whose batch id is its correlation data; any other answer is ignored.
- A lost connection fails every send that waits; sending again is harmless, since the keys count once.
- `sm/v1/<gateway_id>/state` says online or offline, retained; the broker says offline for us when we cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from typing import Any, Final

from cloud_sync import wire
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    GatewayIdInUseError,
    SyncError,
    TransientSyncError,
)
from cloud_sync.presence import Presence
from cloud_sync.records import Batch, Settlement
from cloud_sync.transports.answers import MAX_RETRY_AFTER_S, detail_in, in_use, said_in, settlement_of, shown
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.link_meter import LinkBytes
from cloud_sync.transports.mqtt.broker import Broker, Topics
from cloud_sync.transports.mqtt.link import NO_SUBSCRIBERS, Link, Message, Will
from cloud_sync.twins import IN_USE

logger = logging.getLogger(__name__)

ONLINE: Final = json.dumps({"state": "online"}).encode()
OFFLINE: Final = json.dumps({"state": "offline"}).encode()

_RECONNECT_FIRST_S: Final = 0.5


class MqttTransport:
    """One gateway's way to the central through a broker. Connects at the first send."""

    name = "mqtt"

    def __init__(
        self,
        broker: Broker,
        *,
        gateway_id: str,
        max_in_flight: int = 8,
        connection: ConnectionOptions = DEFAULTS,
        reconnect_max_s: float = 60.0,
        presence: Presence | None = None,
    ) -> None:
        self._presence = presence or Presence()
        self._broker = broker
        self._gateway_id = gateway_id
        self._topics = Topics(gateway_id)
        self._max_in_flight = max_in_flight
        self._connection = connection
        self._use = connection.use
        self._answer_timeout_s = connection.answer_timeout_s
        self._reconnect_max_s = reconnect_max_s
        self._slots = asyncio.Semaphore(max_in_flight)
        self._connecting = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self.unexpected_total = 0
        """Answers that nobody waited for: late ones after a lost connection, or strangers'."""

    def __repr__(self) -> str:
        return f"MqttTransport({self._broker.where!r}, gateway_id={self._gateway_id!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        async with self._slots:
            link = await self._connected_link()
            if self._presence.is_held_back:  # a full body would most likely travel in vain
                await self._settled(link, wire.encode(Batch(self._gateway_id)), f"probe-{batch_id}")
            return await self._settled(link, body, batch_id)

    async def close(self) -> None:
        """Say offline and go, bounded in time. What still waits fails."""
        self._closed = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            # The will goes out in the same packet as the goodbye: nothing to wait for, nothing between the two.
            await link.close(with_will=True)
        self._fail_waiting(TransientSyncError("the transport was closed"))

    async def _settled(self, link: Link, body: bytes, batch_id: str) -> Settlement:
        """Send, and hear what the answer says of the batch and of another box with this gateway id."""
        answer = await self._exchange(link, body, batch_id)
        try:
            settlement = answer_of(answer, batch_id=batch_id)
        except GatewayIdInUseError as held:
            self._presence.heard(held.notice)
            await link.close()  # one connection with this client id at a time: it keeps out the box that has the id
            raise
        self._presence.heard(settlement.notice)
        return settlement

    async def _exchange(self, link: Link, body: bytes, batch_id: str) -> bytes:
        if batch_id in self._waiting:
            raise TransientSyncError(f"batch {batch_id} is already on its way")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[batch_id] = answer
        try:
            taken = link.publish(
                self._topics.batch,
                body,
                response_topic=self._topics.answer,
                correlation=batch_id.encode(),
                content_type=None if self._use.is_sparing else wire.content_type(body),
                content_encoding=wire.CONTENT_ENCODING,
                sender=self._presence.line(),
            )
            if self._use.meter is not None:
                self._use.meter.add(LinkBytes(payload=len(body)))
            taken.add_done_callback(lambda done: self._note_taken(done, answer))
            async with asyncio.timeout(self._answer_timeout_s):
                return await answer
        except TimeoutError as exc:
            if not taken.done():  # not even the broker spoke: this connection is of no use
                await link.close()
            raise TransientSyncError(
                f"{self._broker.where}: no answer to batch {batch_id} within {self._answer_timeout_s:g} s",
                hint="is the central running, connected to this broker, and permitted to publish the answer?",
            ) from exc
        finally:
            del self._waiting[batch_id]

    def _note_taken(self, taken: asyncio.Future[int], answer: asyncio.Future[bytes]) -> None:
        """What the broker's PUBACK means for the send that waits; a good one means nothing yet."""
        error: BaseException | None = None
        if not taken.cancelled():
            error = taken.exception()
            if error is None and taken.result() == NO_SUBSCRIBERS:
                error = TransientSyncError(
                    f"{self._broker.where}: no central listens at this broker",
                    hint="start edge-central with --mqtt-url; its user must be permitted to read sm/v1/+/batch",
                )
        if error is not None and not answer.done():
            answer.set_exception(error)

    async def _connected_link(self) -> Link:
        async with self._connecting:
            if self._closed:
                raise TransientSyncError("the transport was closed")
            if self._link is None or not self._link.is_open:
                self._link = await self._open_link()
                if self._keeper is None:  # ours: `close` ends it and waits for it
                    self._keeper = asyncio.create_task(self._keep_connected(), name="mqtt reconnect")
            return self._link

    async def _open_link(self) -> Link:
        link = Link(
            self._broker,
            client_id=f"sm-{self._gateway_id}",
            on_message=self._note_message,
            on_lost=self._note_lost,
            will=Will(self._topics.state, OFFLINE),
            max_in_flight=self._max_in_flight,
            connection=self._connection,
        )
        try:
            await link.open()
            async with asyncio.timeout(self._connection.connect_timeout_s):
                await link.subscribe(self._topics.answer)
                await link.publish(self._topics.state, ONLINE, retain=True)
        except TimeoutError as exc:
            await link.close()
            raise TransientSyncError(f"{self._broker.where}: the broker fell silent while we signed in") from exc
        except (SyncError, asyncio.CancelledError):
            await link.close()
            raise
        logger.info("connected to %s", self._broker.where)
        return link

    async def _keep_connected(self) -> None:
        """Come back also while nothing is sent, so that the state topic tells the truth."""
        failures = 0
        while True:
            link = self._link
            if link is not None and link.is_open:
                failures = 0
                await link.lost.wait()
            ceiling = min(self._reconnect_max_s, _RECONNECT_FIRST_S * 2.0 ** min(failures, 20))
            await asyncio.sleep(ceiling * (0.5 + 0.5 * random.random()))  # noqa: S311 (spreads a fleet, no secret)
            failures += 1
            if self._presence.is_held_back:
                continue  # the next send connects, and hears whether that has changed
            with contextlib.suppress(SyncError):  # the next send meets the same error and says it
                await self._connected_link()

    def _note_message(self, message: Message) -> None:
        batch_id = (message.correlation or b"").decode(errors="replace")
        answer = self._waiting.get(batch_id)
        if answer is None or answer.done() or message.topic != self._topics.answer:
            self.unexpected_total += 1
        else:
            answer.set_result(message.payload)
        if self._link is not None:
            self._link.acknowledge(message)

    def _note_lost(self, error: SyncError) -> None:
        if not self._closed:
            logger.warning("%s", error.message)
        self._fail_waiting(error)

    def _fail_waiting(self, error: SyncError) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)


def answer_of(answer: bytes, *, batch_id: str) -> Settlement:
    """What the central said: a settlement, or the error that its error document names."""
    said = said_in(answer)
    if "error" in said:
        raise _failure_of(said)
    return settlement_of(answer, batch_id=batch_id, hint="something else than the central answers on the ack topic")


def _failure_of(said: dict[str, Any]) -> SyncError:
    detail = detail_in(said)
    if said["error"] == IN_USE:
        held = in_use(said, retry_after_s=_retry_after_s(said.get("retry_after_s")))
        if held is not None:
            return held
    match said["error"]:
        case "too_large":
            return BatchTooLargeError(f"the central takes only smaller batches: {detail}")
        case "refused":
            return BatchRefusedError(f"the central cannot read the batch: {detail}")
        case "credentials":
            return CredentialsError(
                f"the central refuses this gateway: {detail}",
                hint="gateway.id must be the one in the topic that the broker lets this user publish on",
            )
        case "busy":
            return TransientSyncError(
                f"the central is busy: {detail}", retry_after_s=_retry_after_s(said.get("retry_after_s"))
            )
        case other:
            return TransientSyncError(f"the central answered {shown(other)}: {detail}")


def _retry_after_s(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_RETRY_AFTER_S:
        return None
    return float(value)
