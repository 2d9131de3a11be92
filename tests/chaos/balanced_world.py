"""Two centrals on one database behind a balancer, the readings on a disk of their own, and others at the database."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import asyncpg

from tests.chaos.children import Child
from tests.chaos.disks import SmallDisk, small_disk
from tests.chaos.oracle import Arrived, value_of
from tests.chaos.relays import Balancer
from tests.chaos.world import World
from tests.support.databases import TEMPLATE, DatabaseServer, execute, remove
from tests.support.sockets import listening

TABLE_BYTES = 1 << 30  # of memory only as far as it is written; ten minutes need a tenth of it
_STRANGER = {"application_name": "stranger", "statement_timeout": "0"}
_OWN_ROWS = "SELECT count(*) AS n FROM sensor_readings WHERE sensor_id <> 'stranger'"
_KILL_CENTRALS = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE application_name = 'edge-central'"


class BalancedWorld(World):
    name = "balanced"

    def __init__(self, server: DatabaseServer, folder: Path, *, settles_on: str = "") -> None:
        super().__init__(server, folder, settles_on=settles_on)
        self.other_central = Child(folder / "other-central.log")
        self.balancer = Balancer()
        self.table_disk: SmallDisk | None = None
        self.clock_s = 0.0
        """How wrong the clock of the gateway's next life is."""
        self.seen: Counter[str] = Counter()
        """What the faults met: a fault that meets nothing proves nothing."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if os.geteuid() == 0:
                await self._move_the_table(stack)
            await stack.enter_async_context(super().running())
            yield

    async def start_central(self) -> str:
        self.balancer.put(0, await super().start_central())
        return self.balancer.url

    async def start_other(self) -> None:
        self.balancer.put(1, await self.start_consumer(self.other_central))

    async def dies_after_commit(self, central: Child, *, within_s: float) -> bool:
        """Whether it got a batch to commit, and died before its answer."""
        order = self._order(central)
        order.touch()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while central.is_running:
                    await asyncio.sleep(0.02)
        order.unlink(missing_ok=True)
        if central.is_running:
            return False
        await central.ended()
        self.seen["centrals_dead_after_commit"] += 1
        return True

    @contextlib.asynccontextmanager
    async def at_the_database(self) -> AsyncIterator[asyncpg.Connection]:
        """Somebody else's session. It may be ended by another fault."""
        connection = await asyncpg.connect(self._database_url, server_settings=_STRANGER)
        try:
            yield connection
        finally:
            connection.terminate()

    async def set_statement_timeout(self, text: str) -> None:
        """For the sessions that begin from now on, and those of the centrals begin again."""
        await execute(self._database_url, f"ALTER DATABASE {TEMPLATE} SET statement_timeout = '{text}'")
        await execute(self._database_url, _KILL_CENTRALS)

    async def count(self) -> int:
        return int((await execute(self._database_url, _OWN_ROWS))[0]["n"])

    async def rows(self) -> list[Arrived]:
        return [one for one in await super().rows() if one[0][0] != "stranger"]

    async def figures(self, arrived: Sequence[Arrived]) -> Mapping[str, int]:
        conflicts = await execute(self._database_url, "SELECT count(*) AS n FROM reading_conflicts")
        return {**await super().figures(arrived), **self.balancer.counts, **self.seen, "conflicts": conflicts[0]["n"]}

    def problems(self, figures: Mapping[str, int]) -> list[str]:
        return [*super().problems(figures), *(["conflicts"] if figures["conflicts"] else [])]

    def stranger_value(self, time_us: int) -> float:
        return value_of("stranger", time_us)

    async def _start_all(self, stack: contextlib.AsyncExitStack) -> None:
        self.balancer.url = f"http://127.0.0.1:{await stack.enter_async_context(listening(self.balancer.handle))}"
        stack.push_async_callback(self.other_central.end)
        await self.start_other()
        await super()._start_all(stack)

    def _central_program(self, central: Child) -> list[str]:
        return ["-m", "tests.chaos.mortal_central", str(self._order(central))]

    def _gateway_command(self) -> tuple[list[str], dict[str, str]]:
        command, environment = super()._gateway_command()
        return command, environment | {"CHAOS_CLOCK_S": str(self.clock_s)}

    def _order(self, central: Child) -> Path:
        return self.folder / ("die" if central is self.central else "other-die")

    async def _move_the_table(self, stack: contextlib.AsyncExitStack) -> None:
        place = self.server.tablespace_place()
        stack.callback(remove, place.outside)
        self.table_disk = stack.enter_context(small_disk(place.outside, size=TABLE_BYTES))
        place.give(self.table_disk.path)
        await execute(self.server.url("postgres"), f"CREATE TABLESPACE chaos LOCATION '{place.inside}'")
        if self.server.has_timescaledb:
            await execute(self._database_url, "SELECT attach_tablespace('chaos', 'sensor_readings')")
        else:
            await execute(self._database_url, "ALTER TABLE sensor_readings SET TABLESPACE chaos")
        stack.push_async_callback(self.server.stop)  # before its files are gone
