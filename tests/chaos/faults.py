"""What goes wrong, one coroutine each: breaks something, waits, and puts it right again.

Faults of different targets may happen at the same time; of one target one at a time.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.world import World


class Target(StrEnum):
    GATEWAY = "gateway"
    CENTRAL = "central"
    LINK = "link"
    DATABASE = "database"


@dataclass(frozen=True)
class Fault:
    name: str
    target: Target
    happen: Callable[[World, random.Random], Awaitable[None]]


async def agent_killed(world: World, rng: random.Random) -> None:
    await world.gateway.end(signal.SIGKILL)
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    await world.start_gateway()


async def agent_paused(world: World, rng: random.Random) -> None:
    world.gateway.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(0.2, 3.0))
    world.gateway.send(signal.SIGCONT)


async def clock_stepped(world: World, rng: random.Random) -> None:
    world.gateway.say(f"clock {rng.choice([-7_200.0, -61.0, -0.5, 0.5, 61.0, 3_600.0])}")


async def central_killed(world: World, rng: random.Random) -> None:
    await world.central.end(signal.SIGKILL)
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    await world.start_central()


async def central_restarted(world: World, rng: random.Random) -> None:
    await world.central.end(signal.SIGTERM)
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await world.start_central()


async def answers_lost(world: World, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 5)):
        world.relay.drop_next_answer = True
        await asyncio.sleep(rng.uniform(0.1, 0.5))
    world.relay.drop_next_answer = False


async def answers_late(world: World, rng: random.Random) -> None:
    world.relay.delay_s = rng.uniform(0.05, 3.0)
    await asyncio.sleep(rng.uniform(1.0, 4.0))
    world.relay.delay_s = 0.0


async def link_half_open(world: World, rng: random.Random) -> None:
    """Every connection stands, and nothing that is sent arrives."""
    world.relay.silent = True
    await asyncio.sleep(rng.uniform(1.0, 4.0))
    world.relay.silent = False


async def database_killed(world: World, rng: random.Random) -> None:
    await world.server.kill()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await world.server.start()


async def database_restarted(world: World, rng: random.Random) -> None:
    await world.server.stop()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await world.server.start()


FAULTS = (
    Fault("agent_killed", Target.GATEWAY, agent_killed),
    Fault("agent_paused", Target.GATEWAY, agent_paused),
    Fault("clock_stepped", Target.GATEWAY, clock_stepped),
    Fault("central_killed", Target.CENTRAL, central_killed),
    Fault("central_restarted", Target.CENTRAL, central_restarted),
    Fault("answers_lost", Target.LINK, answers_lost),
    Fault("answers_late", Target.LINK, answers_late),
    Fault("link_half_open", Target.LINK, link_half_open),
    Fault("database_killed", Target.DATABASE, database_killed),
    Fault("database_restarted", Target.DATABASE, database_restarted),
)


def next_faults(rng: random.Random) -> list[Fault]:
    """One fault, or two or three of different targets at once."""
    targets = rng.sample(list(Target), k=rng.choice([1, 1, 2, 3]))
    return [rng.choice([fault for fault in FAULTS if fault.target is target]) for target in targets]
