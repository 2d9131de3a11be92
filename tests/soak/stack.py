"""The demo's stack for as long as one likes: vibration and sound from recordings, tags over Modbus and OPC UA, the real
agent, the real central and its database; a relay between the two, so that the link can fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from edge_agent.demo.configuration import DemoFolders
from edge_agent.demo.stack import Stack
from tests.chaos.relays import ChaosRelay
from tests.soak.sampling import disk_bytes, process_sample, status_sample
from tests.support.sockets import listening

CALM_S = (120.0, 480.0)
"""Between two faults."""
FAULT_S = (2.0, 45.0)


class SoakStack(Stack):
    """`running()` as the demo does it, with a relay in front of the central."""

    def __init__(self, folders: DemoFolders) -> None:
        super().__init__(folders)
        self.relay: ChaosRelay
        self.faults: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def _route_to_central(self, central_url: str) -> AsyncIterator[str]:
        self.relay = ChaosRelay(central_url)
        async with listening(self.relay.handle) as port:
            yield f"http://127.0.0.1:{port}"

    async def sample(self) -> dict[str, float]:
        """Everything that is looked at, by name. Raises EdgeError when a part has died."""
        seen = await self.look()
        names = {"agent": self._gateway, "central": self._central}
        found = {f"{who}_{what}": n for who, child in names.items() for what, n in process_sample(child.pid).items()}
        state = self.folders.state_dir / "gateway"
        return found | {"state_disk_bytes": disk_bytes(state)} | status_sample(seen.gateway)

    async def fail_now_and_then(self, rng: random.Random) -> None:
        """Faults of the link, one at a time, until it is cancelled."""
        kinds: list[Callable[[float], Awaitable[None]]] = [self._cut, self._silent, self._late, self._lost]
        while True:
            await asyncio.sleep(rng.uniform(*CALM_S))
            kind = rng.choice(kinds)
            await kind(rng.uniform(*FAULT_S))
            self.faults[kind.__name__.removeprefix("_")] += 1

    def put_right(self) -> None:
        """Whatever was going on: the link works."""
        self.relay.is_cut = self.relay.silent = self.relay.drop_next_answer = False
        self.relay.delay_s = 0.0

    async def _cut(self, seconds: float) -> None:
        self.relay.cut()
        await asyncio.sleep(seconds)
        self.relay.is_cut = False

    async def _silent(self, seconds: float) -> None:
        self.relay.silent = True
        await asyncio.sleep(seconds)
        self.relay.silent = False

    async def _late(self, seconds: float) -> None:
        self.relay.delay_s = seconds / 10.0
        await asyncio.sleep(seconds)
        self.relay.delay_s = 0.0

    async def _lost(self, seconds: float) -> None:
        self.relay.drop_next_answer = True
        await asyncio.sleep(seconds)
        self.relay.drop_next_answer = False
