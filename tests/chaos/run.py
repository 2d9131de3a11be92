"""One run: faults for so many seconds, then none, then the judge."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.agent_faults import AGENT_FAULTS
from tests.chaos.agent_world import AgentWorld
from tests.chaos.balanced_faults import BALANCED_FAULTS
from tests.chaos.balanced_world import BalancedWorld
from tests.chaos.faults import HTTPS_FAULTS, Fault, every_fault, next_faults
from tests.chaos.mqtt_faults import MQTT_FAULTS
from tests.chaos.mqtt_world import MqttWorld
from tests.chaos.oracle import Report
from tests.chaos.outbox_faults import OUTBOX_FAULTS
from tests.chaos.signal_faults import SIGNAL_FAULTS, SignalWorld
from tests.chaos.world import World
from tests.support.databases import DatabaseServer
from tests.support.patience import Patience

SETTLE_PATIENCE_S = 60.0
"""Without a row that arrives, on a machine that has nothing else to do."""


@dataclass(frozen=True)
class Scenario:
    """A world, and what goes wrong in it."""

    world: Callable[[DatabaseServer, Path], World]
    faults: tuple[Fault, ...]

    def possible(self, world: World) -> list[Fault]:
        return [fault for fault in self.faults if world.disk is not None or not fault.needs_disk]


SCENARIOS = {
    "https": Scenario(World, (*HTTPS_FAULTS, *OUTBOX_FAULTS)),
    "mqtt": Scenario(MqttWorld, MQTT_FAULTS),
    "agent": Scenario(AgentWorld, AGENT_FAULTS),
    "balanced": Scenario(BalancedWorld, BALANCED_FAULTS),
    "signals": Scenario(SignalWorld, SIGNAL_FAULTS),
}


async def chaos(scenario: Scenario, server: DatabaseServer, folder: Path, *, seed: int, seconds: float) -> Report:
    """`server` runs and has its template database. The same seed gives the same faults in the same order."""
    world = scenario.world(server, folder)
    rng = random.Random(seed)
    database = "timescaledb" if world.server.has_timescaledb else "postgresql"
    report = Report(world.name, seed, seconds, database)
    async with world.running():
        await _break_things(world, scenario.possible(world), rng, report)
        report.settled_after_s = await settle(world)
        report.verdict = await world.verdict()
        report.figures = await world.figures(report.verdict.rows)
        report.problems = world.problems(report.figures)
    return report


async def settle(world: World, *, within_s: float = SETTLE_PATIENCE_S) -> float:
    """Wait until what is durable has arrived and no more comes, or nothing arrives; the judge sees which. Seconds."""
    await world.calm()
    began_s = time.monotonic()
    patience = Patience(within_s, lambda: world.missing)
    while not await world.is_settled() and not patience.is_over:
        await asyncio.sleep(0.5)
    return time.monotonic() - began_s


async def _break_things(world: World, faults: Sequence[Fault], rng: random.Random, report: Report) -> None:
    """Every kind of fault once, in the seed's order, then whatever the seed says."""
    first = every_fault(faults, rng)
    began_s = time.monotonic()
    while first or time.monotonic() - began_s < report.seconds:
        together = first.pop() if first else next_faults(faults, rng)
        seeds = [rng.random() for _ in together]
        calm_s = rng.uniform(0.1, 1.5)
        async with asyncio.TaskGroup() as group:
            for fault, own in zip(together, seeds, strict=True):
                group.create_task(_happen(fault, world, random.Random(own)))
        report.faults.update(fault.name for fault in together)
        await asyncio.sleep(calm_s)
    report.broken_for_s = time.monotonic() - began_s


async def _happen(fault: Fault, world: World, rng: random.Random) -> None:
    await fault.happen(world, rng)
