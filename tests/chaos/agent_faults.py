"""What goes wrong with the whole agent: it is killed, its clock is set, its device and its disk are away."""

from __future__ import annotations

import asyncio
import random
import signal
from datetime import UTC, datetime

from tests.chaos.agent_world import AgentWorld
from tests.chaos.faults import AGENT_KILLED, AGENT_PAUSED, DATABASE_FAULTS, DISK_FAULTS, ROAD_FAULTS, Fault, Target
from tests.chaos.outbox_faults import OUTBOX_FAULTS

AT_THE_EPOCH = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
FAR_AHEAD = datetime(2099, 6, 1, tzinfo=UTC)
READ_AGAIN_DEADLINE_S = 15.0
_SOME_ROAD_FAULTS = {"central_killed", "answers_lost", "answers_repeated", "link_half_open"}
"""The others happen in the HTTPS world, to the same code."""


async def agent_stopped(world: AgentWorld, rng: random.Random) -> None:
    """As an update does it. What was read is durable before it goes."""
    await world.stop_gateway()
    await world.start_gateway()


async def agent_killed_at_a_standstill(world: AgentWorld, rng: random.Random) -> None:
    """As on a machine that gives it no core for seconds: what it read before lies in memory until the kill."""
    world.gateway.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(2.0, 4.0))
    await world.kill_gateway()
    await world.start_gateway()


async def clock_hour_back(world: AgentWorld, rng: random.Random) -> None:
    """As daylight saving does to a box that runs on local time, until somebody sees it."""
    await _set(world, rng, -3_600.0)


async def clock_at_the_epoch(world: AgentWorld, rng: random.Random) -> None:
    """As a dead clock battery does it."""
    await _set(world, rng, AT_THE_EPOCH.timestamp() - datetime.now(UTC).timestamp())


async def clock_far_ahead(world: AgentWorld, rng: random.Random) -> None:
    """Nobody follows it there."""
    await _set(world, rng, FAR_AHEAD.timestamp() - datetime.now(UTC).timestamp())


async def started_at_the_epoch(world: AgentWorld, rng: random.Random) -> None:
    """A box without a battery, before NTP has answered."""
    await world.kill_gateway()
    world.clock.set_to(AT_THE_EPOCH)
    world.spawn_gateway()
    await world.gateway_holds()
    await asyncio.sleep(rng.uniform(0.5, 2.0))
    world.clock.synchronise()
    await world.gateway_stores()


async def device_mute(world: AgentWorld, rng: random.Random) -> None:
    world.plant.is_mute = True
    await asyncio.sleep(rng.uniform(0.5, 3.0))
    world.plant.is_mute = False
    await world.device_is_read(within_s=READ_AGAIN_DEADLINE_S)


async def _set(world: AgentWorld, rng: random.Random, seconds: float) -> None:
    world.clock.step_s(seconds)
    await asyncio.sleep(rng.uniform(1.5, 3.0))
    world.clock.synchronise()
    await asyncio.sleep(0.2)


AGENT_FAULTS = (
    AGENT_KILLED,
    Fault("agent_stopped", Target.GATEWAY, agent_stopped),
    AGENT_PAUSED,
    Fault("agent_killed_at_a_standstill", Target.GATEWAY, agent_killed_at_a_standstill),
    Fault("clock_hour_back", Target.GATEWAY, clock_hour_back),
    Fault("clock_at_the_epoch", Target.GATEWAY, clock_at_the_epoch),
    Fault("clock_far_ahead", Target.GATEWAY, clock_far_ahead),
    Fault("started_at_the_epoch", Target.GATEWAY, started_at_the_epoch),
    *DISK_FAULTS,
    *OUTBOX_FAULTS,
    # One at a time with the clock's: a clock that is set while nothing is read would prove nothing.
    Fault("device_mute", Target.GATEWAY, device_mute),
    *(fault for fault in ROAD_FAULTS if fault.name in _SOME_ROAD_FAULTS),
    DATABASE_FAULTS[0],
)
