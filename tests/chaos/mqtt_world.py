"""Delivery through a real mosquitto: two centrals share the subscription, and HTTPS is the fallback.

Relays that read the packets stand between gateway and broker, and between broker and centrals.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloud_sync import wire
from tests.chaos.children import Child
from tests.chaos.oracle import Arrived, Key
from tests.chaos.relays import MqttRelay
from tests.chaos.world import World
from tests.support.databases import DatabaseServer
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.sockets import listening


class MqttWorld(World):
    name = "mqtt"

    def __init__(self, server: DatabaseServer, folder: Path, *, settles_on: str = "") -> None:
        super().__init__(server, folder, settles_on=settles_on)
        self.other_central = Child(folder / "other-central.log")
        self.broker: Mosquitto
        self.gateway_side: MqttRelay
        self.central_side: MqttRelay
        self.messages_lost = 0
        """Batches the broker had acknowledged and not passed on when it was killed."""
        self.rows_lost: set[Key] = set()

    @property
    def centrals(self) -> tuple[Child, Child]:
        return self.central, self.other_central

    async def broker_holds(self, count: int, *, within_s: float) -> bool:
        """Wait until the broker has acknowledged so many batches that nobody else has. False when it does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(self._held_by_broker()) < count:
                    await asyncio.sleep(0.02)
        return len(self._held_by_broker()) >= count

    def kill_broker(self) -> None:
        lost = self._held_by_broker()
        self.messages_lost += len(lost)
        self.rows_lost.update(row.key for body in lost.values() for row in wire.decode(body).rows)
        self.broker.kill()
        self.central_side.hang_up()

    def cut_links(self) -> None:
        super().cut_links()
        self.gateway_side.hang_up()

    async def start_consumer(self, central: Child, *options: str) -> str:
        broker = f"mqtt://127.0.0.1:{self.central_side.port}"
        return await super().start_consumer(central, "--mqtt-url", broker, *options)

    async def figures(self, arrived: Sequence[Arrived]) -> Mapping[str, int]:
        over_mqtt, over_https = (set(map(_first_block, way.sent)) for way in (self.gateway_side, self.relay))
        return {
            **await super().figures(arrived),
            "published": self.gateway_side.sent.total(),
            "pubacked_and_lost_by_the_broker": self.messages_lost,
            "rows_in_these": len(self.rows_lost),
            "of_these_rows_sent_again_and_arrived": len(self.rows_lost & {key for key, _ in arrived}),
            "sent_by_both_roads": len(over_mqtt & over_https),
            **{f"mqtt_{name}": count for name, count in self.gateway_side.counts.items()},
        }

    def problems(self, figures: Mapping[str, int]) -> list[str]:
        is_short = figures["of_these_rows_sent_again_and_arrived"] < figures["rows_in_these"]
        return [*super().problems(figures), *(["taken for delivered on a PUBACK"] if is_short else [])]

    def _held_by_broker(self) -> dict[str, bytes]:
        delivered = self.central_side.delivered
        return {batch_id: body for batch_id, body in self.gateway_side.unanswered.items() if batch_id not in delivered}

    async def _start_all(self, stack: contextlib.AsyncExitStack) -> None:
        self.broker = stack.enter_context(mosquitto())
        self.gateway_side, self.central_side = MqttRelay(self.broker.port), MqttRelay(self.broker.port)
        self.gateway_side.port = await stack.enter_async_context(listening(self.gateway_side.handle))
        self.central_side.port = await stack.enter_async_context(listening(self.central_side.handle))
        stack.push_async_callback(super()._end_all)
        stack.push_async_callback(self.other_central.end)
        await self.start_consumer(self.other_central)
        await super()._start_all(stack)

    def _gateway_command(self) -> tuple[list[str], dict[str, str]]:
        command, environment = super()._gateway_command()
        return command, environment | {"CHAOS_BROKER_PORT": str(self.gateway_side.port)}


def _first_block(batch_id: str) -> str:
    """A batch is named after the first block in it, and how many more; sent again it may hold fewer."""
    return batch_id.partition("+")[0]
