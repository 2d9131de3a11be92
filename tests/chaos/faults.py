"""What goes wrong, one coroutine each: breaks something, waits, and puts it right again.

Faults of different targets may happen at the same time; of one target one at a time.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.chaos.host_names import NameServer
from tests.chaos.world import World


class Target(StrEnum):
    GATEWAY = "gateway"
    CENTRAL = "central"
    LINK = "link"
    DATABASE = "database"
    BROKER = "broker"
    OTHER_CENTRAL = "other_central"


@dataclass(frozen=True)
class Fault:
    name: str
    target: Target
    happen: Callable[[Any, random.Random], Awaitable[None]]
    needs_disk: bool = False
    """A disk of the run's own, which only root can make."""


async def agent_killed(world: World, rng: random.Random) -> None:
    await world.kill_gateway()
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    await world.start_gateway()


async def agent_paused(world: World, rng: random.Random) -> None:
    world.gateway.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(0.2, 3.0))
    world.gateway.send(signal.SIGCONT)


async def clock_stepped(world: World, rng: random.Random) -> None:
    world.gateway.say(f"clock {rng.choice([-7_200.0, -61.0, -0.5, 0.5, 61.0, 3_600.0])}")


async def disk_full(world: World, rng: random.Random) -> None:
    """Nothing can be appended, and what waits must be settled all the same."""
    disk = _disk(world)
    await asyncio.to_thread(disk.fill)
    await asyncio.sleep(rng.uniform(0.5, 3.0))
    disk.free()


async def agent_killed_on_full_disk(world: World, rng: random.Random) -> None:
    disk = _disk(world)
    with world.may_miss():
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(rng.uniform(0.2, 1.0))
        await world.kill_gateway()
    disk.free()
    await world.start_gateway()


async def disk_read_only(world: World, rng: random.Random) -> None:
    """As a worn memory card comes up after a power cut: the agent must not start as if it could store anything."""
    disk = _disk(world)
    await world.kill_gateway()
    await asyncio.to_thread(disk.make, "ro")
    with world.may_miss():  # a device may be read before the disk is
        await world.gateway_starts_in_vain()
    await asyncio.to_thread(disk.make, "rw")
    await world.start_gateway()


async def central_killed(world: World, rng: random.Random) -> None:
    await world.central.kill()
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    await world.start_central()


async def central_restarted(world: World, rng: random.Random) -> None:
    await world.central.end(signal.SIGTERM)
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await world.start_central()


async def answers_lost(world: World, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 5)):
        world.relay.drop_next_answer = True
        for _ in range(10):  # there may be none: the central may be away as well
            if world.relay.drop_next_answer:
                await asyncio.sleep(0.1)
    world.relay.drop_next_answer = False


async def answers_late(world: World, rng: random.Random) -> None:
    world.relay.delay_s = rng.uniform(0.05, 3.0)
    await asyncio.sleep(rng.uniform(1.0, 4.0))
    world.relay.delay_s = 0.0


async def answers_dripped(world: World, rng: random.Random) -> None:
    """Until one has begun so, and then until its deadline is over. There may be none: the central may be away."""
    world.relay.drips, before = True, world.relay.counts["answers_dripped"]
    for _ in range(40):
        if world.relay.counts["answers_dripped"] == before:
            await asyncio.sleep(0.1)
    await asyncio.sleep(rng.uniform(2.5, 4.0))
    world.relay.drips = False


async def name_server_away(world: World, rng: random.Random) -> None:
    await _without_names(world, NameServer.IS_AWAY, rng.uniform(1.0, 4.0))


async def name_server_silent(world: World, rng: random.Random) -> None:
    await _without_names(world, NameServer.IS_SILENT, rng.uniform(2.5, 5.0))


async def _without_names(world: World, state: NameServer, seconds: float) -> None:
    """Connections that stand need no name: they are cut, so that a new one is wanted."""
    world.names.server_now(state)
    world.cut_links()
    await asyncio.sleep(seconds)
    world.names.server_now(NameServer.WORKS)


async def answers_reordered(world: World, rng: random.Random) -> None:
    """Of requests that are in flight together, over connections of their own."""
    world.relay.spread_s = rng.uniform(0.3, 1.5)
    await asyncio.sleep(rng.uniform(1.0, 3.0))
    world.relay.spread_s = 0.0


async def answers_repeated(world: World, rng: random.Random) -> None:
    """A proxy out of step: the second copy looks like the answer to the next request."""
    world.relay.repeat_answers = True
    await asyncio.sleep(rng.uniform(0.5, 2.0))
    world.relay.repeat_answers = False


async def requests_repeated(world: World, rng: random.Random) -> None:
    """By a proxy that tries again by itself."""
    world.relay.repeat_requests = True
    await asyncio.sleep(rng.uniform(0.5, 2.0))
    world.relay.repeat_requests = False


async def link_half_open(world: World, rng: random.Random) -> None:
    """Every connection stands, and nothing that is sent arrives."""
    world.relay.silent = True
    await asyncio.sleep(rng.uniform(1.0, 4.0))
    world.relay.silent = False


async def link_stalled(world: World, rng: random.Random) -> None:
    """What is sent arrives, after its sender has given it up and sent it again."""
    world.relay.passes.clear()
    await asyncio.sleep(rng.uniform(1.0, 5.0))
    world.relay.passes.set()


async def link_cut(world: World, rng: random.Random) -> None:
    world.relay.cut()
    await asyncio.sleep(rng.uniform(0.5, 3.0))
    world.relay.is_cut = False


async def database_killed(world: World, rng: random.Random) -> None:
    await world.server.kill()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await world.server.start()


async def database_restarted(world: World, rng: random.Random) -> None:
    await world.server.stop()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await world.server.start()


AGENT_KILLED = Fault("agent_killed", Target.GATEWAY, agent_killed)
AGENT_PAUSED = Fault("agent_paused", Target.GATEWAY, agent_paused)
DATABASE_FAULTS = (
    Fault("database_killed", Target.DATABASE, database_killed),
    Fault("database_restarted", Target.DATABASE, database_restarted),
)
ROAD_FAULTS = (
    Fault("central_killed", Target.CENTRAL, central_killed),
    Fault("central_restarted", Target.CENTRAL, central_restarted),
    Fault("answers_lost", Target.LINK, answers_lost),
    Fault("answers_late", Target.LINK, answers_late),
    Fault("answers_dripped", Target.LINK, answers_dripped),
    Fault("answers_reordered", Target.LINK, answers_reordered),
    Fault("answers_repeated", Target.LINK, answers_repeated),
    Fault("requests_repeated", Target.LINK, requests_repeated),
    Fault("link_half_open", Target.LINK, link_half_open),
    Fault("link_stalled", Target.LINK, link_stalled),
    Fault("link_cut", Target.LINK, link_cut),
)
DISK_FAULTS = (
    Fault("disk_full", Target.GATEWAY, disk_full, needs_disk=True),
    Fault("agent_killed_on_full_disk", Target.GATEWAY, agent_killed_on_full_disk, needs_disk=True),
    Fault("disk_read_only", Target.GATEWAY, disk_read_only, needs_disk=True),
)
NAME_FAULTS = (
    Fault("name_server_away", Target.LINK, name_server_away),
    Fault("name_server_silent", Target.LINK, name_server_silent),
)
HTTPS_FAULTS = (
    AGENT_KILLED,
    AGENT_PAUSED,
    Fault("clock_stepped", Target.GATEWAY, clock_stepped),
    *DISK_FAULTS,
    *ROAD_FAULTS,
    *NAME_FAULTS,
    *DATABASE_FAULTS,
)


def every_fault(faults: Sequence[Fault], rng: random.Random) -> list[list[Fault]]:
    """Each once, up to three of different targets at once."""
    rounds: list[list[Fault]] = []
    for fault in rng.sample(faults, k=len(faults)):
        fitting = [r for r in rounds if len(r) < 3 and all(other.target is not fault.target for other in r)]
        if fitting:
            rng.choice(fitting).append(fault)
        else:
            rounds.append([fault])
    return rounds


def next_faults(faults: Sequence[Fault], rng: random.Random) -> list[Fault]:
    """One fault, or two or three of different targets at once."""
    targets = rng.sample(sorted({fault.target for fault in faults}), k=rng.choice([1, 1, 2, 3]))
    return [rng.choice([fault for fault in faults if fault.target is target]) for target in targets]


def _disk(world: World) -> Any:
    assert world.disk is not None
    return world.disk
