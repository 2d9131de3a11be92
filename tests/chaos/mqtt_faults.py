"""What goes wrong on the way through a broker, beside what goes wrong on any way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal

from cloud_sync.errors import SyncError
from cloud_sync.transports.mqtt.broker import Broker, Topics
from cloud_sync.transports.mqtt.link import Link
from tests.chaos.faults import AGENT_KILLED, AGENT_PAUSED, DATABASE_FAULTS, NAME_FAULTS, Fault, Target, link_cut
from tests.chaos.gateway import GATEWAY
from tests.chaos.mqtt_world import MqttWorld


async def broker_killed(world: MqttWorld, rng: random.Random) -> None:
    """It forgets all it has acknowledged."""
    world.kill_broker()
    await asyncio.sleep(rng.uniform(0.0, 1.5))
    world.broker.start()


async def broker_killed_with_mail(world: MqttWorld, rng: random.Random) -> None:
    """The centrals' connections stand still first, so that it holds messages nobody has."""
    world.central_side.flows.clear()
    await world.broker_holds(rng.randint(1, 6), within_s=2.0)
    world.kill_broker()
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    world.broker.start()


async def broker_stopped(world: MqttWorld, rng: random.Random) -> None:
    """Every connection stands, and nobody answers."""
    world.broker.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(1.0, 5.0))
    world.broker.send(signal.SIGCONT)


async def broker_silent(world: MqttWorld, rng: random.Random) -> None:
    """So long that HTTPS takes over, and that what waits for its answers has given up."""
    world.broker.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(5.0, 8.0))
    world.broker.send(signal.SIGCONT)


async def answers_spoofed(world: MqttWorld, rng: random.Random) -> None:
    """By a client that may publish where only the central should, and has not seen the batches: nothing is settled."""
    liar = Link(
        Broker("127.0.0.1", world.broker.port, tls=None), client_id="liar", on_message=_ignore, on_lost=_ignore
    )  # fmt: skip
    with contextlib.suppress(SyncError, TimeoutError):  # the broker may be away just now
        await liar.open()
        async with asyncio.timeout(rng.uniform(1.0, 2.0)):
            while True:
                for known, said, retain in _lies(world, rng):
                    liar.publish(Topics(GATEWAY).answer, said, correlation=known, retain=retain)
                    world.gateway_side.counts["answers_spoofed"] += 1
                await asyncio.sleep(0.05)
    await liar.close()
    with contextlib.suppress(SyncError):
        await forget_retained(world)


def _lies(world: MqttWorld, rng: random.Random) -> list[tuple[bytes | None, bytes, bool]]:
    """Correlation data, payload and whether it is retained; none is the answer that a waiting batch waits for."""
    waiting = [*world.gateway_side.unanswered, "b-0"]
    one, other = rng.choice(waiting).encode(), b"somebody-elses"
    good = {"committed": True, "accepted": 1, "duplicates": 0, "rejected": []}
    return [
        (other, json.dumps(good | {"batch_id": other.decode()}).encode(), False),
        (one, json.dumps(good | {"batch_id": other.decode()}).encode(), False),
        (one, json.dumps(good | {"batch_id": one.decode(), "committed": 1}).encode(), False),
        (None, json.dumps(good | {"batch_id": one.decode()}).encode(), False),
        (b"\xff", rng.randbytes(50), True),
        (one, b"", False),
    ]


async def forget_retained(world: MqttWorld) -> None:
    """An empty retained message: the broker keeps none any more."""
    link = Link(Broker("127.0.0.1", world.broker.port, tls=None), client_id="tidy", on_message=_ignore, on_lost=_ignore)
    await link.open()
    async with asyncio.timeout(5.0):
        await link.publish(Topics(GATEWAY).answer, b"", retain=True)
    await link.close()


def _ignore(_: object) -> None:
    pass


async def consumer_killed(world: MqttWorld, rng: random.Random) -> None:
    """One of the two that share the subscription."""
    central = rng.choice(world.centrals)
    await central.kill()
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    await world.start_consumer(central)


async def consumers_killed(world: MqttWorld, rng: random.Random) -> None:
    """Both: nobody listens at the broker, and nobody answers HTTPS."""
    for central in world.centrals:
        await central.kill()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    for central in world.centrals:
        await world.start_consumer(central)


async def consumer_paused(world: MqttWorld, rng: random.Random) -> None:
    """The broker goes on giving it its share."""
    central = rng.choice(world.centrals)
    central.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(0.5, 4.0))
    central.send(signal.SIGCONT)


async def answers_lost(world: MqttWorld, rng: random.Random) -> None:
    world.gateway_side.drop_answers = True
    await asyncio.sleep(rng.uniform(0.2, 2.5))
    world.gateway_side.drop_answers = False


async def answers_late(world: MqttWorld, rng: random.Random) -> None:
    world.gateway_side.delay_s = rng.uniform(0.05, 1.0)
    await asyncio.sleep(rng.uniform(1.0, 3.0))
    world.gateway_side.delay_s = 0.0


async def answers_repeated(world: MqttWorld, rng: random.Random) -> None:
    world.gateway_side.repeat_answers = True
    await asyncio.sleep(rng.uniform(0.5, 2.0))
    world.gateway_side.repeat_answers = False


async def answers_reordered(world: MqttWorld, rng: random.Random) -> None:
    world.gateway_side.reorder_answers = True
    await asyncio.sleep(rng.uniform(0.5, 2.0))
    world.gateway_side.release()


async def link_half_open(world: MqttWorld, rng: random.Random) -> None:
    world.gateway_side.silent = True
    await asyncio.sleep(rng.uniform(1.0, 4.0))
    world.gateway_side.silent = False


async def mqtt_route_cut(world: MqttWorld, rng: random.Random) -> None:
    """Long enough that HTTPS takes over, and MQTT takes it back."""
    world.gateway_side.cut()
    await asyncio.sleep(rng.uniform(2.0, 6.0))
    world.gateway_side.is_cut = False


MQTT_FAULTS = (
    AGENT_KILLED,
    AGENT_PAUSED,
    Fault("broker_killed", Target.BROKER, broker_killed),
    Fault("broker_killed_with_mail", Target.BROKER, broker_killed_with_mail),
    Fault("broker_stopped", Target.BROKER, broker_stopped),
    Fault("broker_silent", Target.BROKER, broker_silent),
    Fault("answers_spoofed", Target.LINK, answers_spoofed),
    *NAME_FAULTS,
    Fault("consumer_killed", Target.CENTRAL, consumer_killed),
    Fault("consumers_killed", Target.CENTRAL, consumers_killed),
    Fault("consumer_paused", Target.CENTRAL, consumer_paused),
    Fault("answers_lost", Target.LINK, answers_lost),
    Fault("answers_late", Target.LINK, answers_late),
    Fault("answers_repeated", Target.LINK, answers_repeated),
    Fault("answers_reordered", Target.LINK, answers_reordered),
    Fault("link_half_open", Target.LINK, link_half_open),
    Fault("mqtt_route_cut", Target.LINK, mqtt_route_cut),
    Fault("https_road_cut", Target.LINK, link_cut),
    *DATABASE_FAULTS,
)
