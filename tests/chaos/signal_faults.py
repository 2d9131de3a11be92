"""Signals in every state of the agent: starting, at work, stopping; and an end for want of memory.

Whatever comes when, each order to stop ends it, a hang-up never does, and no key is lost or doubled.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.agent_world import AgentWorld
from tests.chaos.faults import AGENT_KILLED, AGENT_PAUSED, DISK_FAULTS, ROAD_FAULTS, Fault, Target

READ_AGAIN_DEADLINE_S = 15.0
STARTING_S = 4.0
"""Imports, models, the outbox: a signal falls somewhere into it."""
STOPPING_S = 0.5
LONGER_THAN_ANY_TIMEOUT_S = (5.0, 10.0)
"""Of this world: its device, link and central wait for two seconds, as real ones wait for minutes."""
MEMORY = Path("/sys/fs/cgroup/memory")
ROOM_BYTES = 24 << 20
HOG = "import time; taken = bytearray(256 << 20); time.sleep(60)"
_SOME_FAULTS = {"central_killed", "link_half_open", "disk_full"}


class SignalWorld(AgentWorld):
    name = "signals"

    async def gateway_ends(self, *codes: int) -> None:
        """It has been told to; with one of these exit codes."""
        code = await self.gateway.ended()
        assert code in codes, f"{code}: {self.gateway.last_words()}"

    async def gateway_heard_nothing_yet(self) -> bool:
        """Whether a hang-up ended it: only while it is still Python that starts, and nothing of ours."""
        await asyncio.sleep(0.2)
        if self.gateway.is_running:
            return False
        await self.gateway_ends(-signal.SIGHUP)
        return True

    def is_killed(self) -> None:
        """What is in memory now may be lost."""
        self._lives_of_agent[-1].is_killed = True

    @property
    def pid(self) -> int:
        return self.gateway._running.pid


async def hung_up(world: SignalWorld, rng: random.Random) -> None:
    """The terminal is closed, or somebody asks for a reload."""
    for _ in range(rng.randint(1, 3)):
        world.gateway.send(signal.SIGHUP)
        await asyncio.sleep(rng.uniform(0.0, 0.2))
    await world.device_is_read(within_s=READ_AGAIN_DEADLINE_S)


async def stopped_twice(world: SignalWorld, rng: random.Random) -> None:
    """As an impatient person does it. The second may come when all is done: then it ends what is ending."""
    first, second = rng.sample([signal.SIGTERM, signal.SIGINT], 2)
    world.ask_to_stop(first)
    await asyncio.sleep(rng.uniform(0.0, STOPPING_S))
    world.ask_to_stop(second)
    await world.gateway_ends(0, 1, -second)
    await world.start_gateway()


async def stopped_while_starting(world: SignalWorld, rng: random.Random) -> None:
    order = rng.choice([signal.SIGTERM, signal.SIGINT])
    await world.stop_gateway()
    world.spawn_gateway()
    await asyncio.sleep(rng.uniform(0.0, STARTING_S))
    world.ask_to_stop(order)
    await world.gateway_ends(0, 1, -order, 128 + order)  # not 0: before there was anything to be stopped
    await world.start_gateway()


async def killed_while_starting(world: SignalWorld, rng: random.Random) -> None:
    await world.kill_gateway()
    world.spawn_gateway()
    await asyncio.sleep(rng.uniform(0.0, STARTING_S))
    await world.kill_gateway()
    await world.start_gateway()


async def hung_up_while_starting(world: SignalWorld, rng: random.Random) -> None:
    await world.kill_gateway()
    world.spawn_gateway()
    await asyncio.sleep(rng.uniform(0.0, STARTING_S))
    world.gateway.send(signal.SIGHUP)
    if await world.gateway_heard_nothing_yet():
        await world.start_gateway()  # as systemd does
    else:
        await world.gateway_stores()


async def killed_while_stopping(world: SignalWorld, rng: random.Random) -> None:
    world.ask_to_stop(signal.SIGTERM)
    await asyncio.sleep(rng.uniform(0.0, STOPPING_S))
    world.is_killed()
    world.gateway.send(signal.SIGKILL)
    await world.gateway_ends(0, -signal.SIGKILL)
    await world.start_gateway()


async def paused_while_stopping(world: SignalWorld, rng: random.Random) -> None:
    """What it was about to store had no time meanwhile: its bounds do not count what stood still."""
    world.ask_to_stop(signal.SIGTERM)
    await asyncio.sleep(rng.uniform(0.0, STOPPING_S))
    await _paused(world, rng)
    await world.gateway_ends(0)
    await world.start_gateway()


async def paused_while_starting(world: SignalWorld, rng: random.Random) -> None:
    await world.kill_gateway()
    world.spawn_gateway()
    await asyncio.sleep(rng.uniform(0.0, STARTING_S))
    await _paused(world, rng)
    await world.gateway_stores()


async def paused_past_every_timeout(world: SignalWorld, rng: random.Random) -> None:
    await _paused(world, rng)
    await world.device_is_read(within_s=READ_AGAIN_DEADLINE_S)


async def out_of_memory(world: SignalWorld, rng: random.Random) -> None:
    """Something beside it takes what is left of the box, and the kernel picks the agent."""
    await world.stop_gateway()
    world.spawn_gateway()
    with _memory_group(world.pid) as group:  # from its first moment: what it has already is not counted again
        await world.gateway_stores()
        world.is_killed()
        used = int((group / "memory.usage_in_bytes").read_text())
        (group / "memory.limit_in_bytes").write_text(str(used + ROOM_BYTES))
        Path(f"/proc/{world.pid}/oom_score_adj").write_text("1000")
        command = f"echo $$ > {group}/cgroup.procs; exec {sys.executable} -c '{HOG}'"
        with subprocess.Popen(["sh", "-c", command]) as greedy:
            try:
                await world.gateway_ends(-signal.SIGKILL)
            finally:
                greedy.kill()
    await world.start_gateway()


@contextlib.contextmanager
def _memory_group(pid: int) -> Iterator[Path]:
    group = MEMORY / f"chaos-{pid}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        group.rmdir()


async def _paused(world: SignalWorld, rng: random.Random) -> None:
    world.gateway.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(*LONGER_THAN_ANY_TIMEOUT_S))
    world.gateway.send(signal.SIGCONT)


def _possible() -> Iterator[Fault]:
    yield AGENT_KILLED
    yield AGENT_PAUSED
    for happens in (
        hung_up, stopped_twice, stopped_while_starting, killed_while_starting, hung_up_while_starting,
        killed_while_stopping, paused_while_stopping, paused_while_starting, paused_past_every_timeout,
    ):  # fmt: skip
        yield Fault(happens.__name__, Target.GATEWAY, happens)
    if (MEMORY / "memory.limit_in_bytes").exists():
        yield Fault("out_of_memory", Target.GATEWAY, out_of_memory, needs_disk=True)
    else:
        print("no memory controller of the first kind here: out_of_memory does not happen", file=sys.stderr)
    yield from (fault for fault in (*DISK_FAULTS, *ROAD_FAULTS) if fault.name in _SOME_FAULTS)


SIGNAL_FAULTS = tuple(_possible())
