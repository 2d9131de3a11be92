"""Everything that can break, as processes and a relay between them, and how to put it right again.

`World` is one gateway, one central, one database, and HTTP between the first two.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.columns import RowColumns
from cloud_sync.digest import HourDigest, HourKey, differences, digest_rows
from cloud_sync.outbox.ack_ledger import acknowledged
from cloud_sync.outbox.audit_log import read_audit_log
from cloud_sync.outbox.quarantine import quarantined
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Batch, Row, Series
from tests.chaos.children import Child
from tests.chaos.disk_faults import DiskFaults, Mode
from tests.chaos.disks import SmallDisk, small_disk
from tests.chaos.gateway import GATEWAY
from tests.chaos.host_names import HostNames
from tests.chaos.oracle import Arrived, Key, Verdict, judge, value_of
from tests.chaos.preload import together
from tests.chaos.relays import ChaosRelay
from tests.support.databases import TEMPLATE, DatabaseServer, execute
from tests.support.sockets import listening

API_KEY = "key-of-the-chaos-run"
OUTBOX_BYTES = 500_000_000
_ROWS = """
    SELECT sensor_id, (extract(epoch FROM timestamp) * 1000000)::bigint AS time_us, value, quality
    FROM sensor_readings"""


class World:
    name = "https"
    gateway_id = GATEWAY

    def __init__(self, server: DatabaseServer, folder: Path, *, settles_on: str = "") -> None:
        """`server` runs and has its template database. `settles_on` is for a gateway broken on purpose."""
        self.server = server
        self.folder = folder
        self.central = Child(folder / "central.log")
        self.gateway = Child(folder / "gateway.log")
        self.names = HostNames(folder)
        self.relay: ChaosRelay
        self.disk: SmallDisk | None = None
        self.disk_faults: DiskFaults
        self.put_aside_in_vain = 0
        """Files that were put aside while the disk refused calls, and nothing was damaged."""
        self.central_url = ""
        self.audit_log = folder / "keys"
        self._settles_on = settles_on
        self._ports: dict[Child, int] = {}
        self._lives = 0
        self._counted = -1
        self._qualities: dict[Key, float] = {}
        self.missing = 0
        """What was marked and had not arrived when last looked; as long as it changes, rows arrive."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with Store(self._database_url) as store:
            await store.add_key(API_KEY, gateway_id=self.gateway_id)
        async with contextlib.AsyncExitStack() as stack:
            if os.geteuid() == 0:
                self.disk = stack.enter_context(small_disk(self.folder / "disk"))
            self.disk_faults = DiskFaults(self.folder, self.outbox_file)
            stack.push_async_callback(self._end_all)
            await self._start_all(stack)
            yield

    async def start_central(self) -> str:
        self.central_url = await self.start_consumer(self.central)
        return self.central_url

    async def start_consumer(self, central: Child, *options: str) -> str:
        """A central at the port it had before. Returns its address."""
        command = [*self._central_program(central), "serve", "--exit-with-parent", "--database-url", self._database_url]
        said = await central.start(*command, "--port", str(self._ports.get(central, 0)), *options)
        url: str = json.loads(said)["url"]
        self._ports[central] = urlsplit(url).port or 0
        return url

    def _central_program(self, central: Child) -> list[str]:
        return ["-m", "cloud_sync.central.cli.main"]

    async def start_gateway(self) -> None:
        command, environment = self._gateway_command()
        await self.gateway.start(*command, **environment)

    async def kill_gateway(self) -> None:
        await self.gateway.kill()

    def cut_links(self) -> None:
        """Every connection of the gateway is gone, and it may make new ones at once."""
        self.relay.cut()
        self.relay.is_cut = False

    def may_miss(self) -> contextlib.AbstractContextManager[None]:
        """What is produced meanwhile may never become durable. Here it is not marked then, and nobody asks."""
        return contextlib.nullcontext()

    async def gateway_starts_in_vain(self) -> None:
        """It must say so and end, not go on without a disk."""
        command, environment = self._gateway_command()
        self.gateway.spawn(*command, **environment)
        assert await self.gateway.ended() != 0, "a gateway that cannot store anything said that all is well"

    async def gateway_is_cut_short(self, number: int) -> None:
        """A start that is killed at its `number`-th call that changes the outbox's files."""
        self.disk_faults.plan(Mode.NTH_KILLS, number, durable_only=True)
        command, environment = self._gateway_command()
        self.gateway.spawn(*command, **environment)
        assert await self.gateway.ended() == -signal.SIGKILL, self.gateway.last_words()
        self.disk_faults.calm()

    def files_put_aside(self) -> set[Path]:
        return set(quarantined(self.outbox_file))

    async def calm(self) -> None:
        """Nothing new from now on; what was put is durable and marked."""
        self.gateway.say("quiet")
        await self.gateway.line()

    async def is_settled(self) -> bool:
        """As many rows are there as were marked, and no more come."""
        before, self._counted = self._counted, await self.count()
        self.missing = sum(1 for _ in read_audit_log(self.audit_log)) - self._counted
        return self._counted == before and self.missing <= 0

    async def verdict(self) -> Verdict:
        """Ends the gateway, and judges what is at the central then."""
        await self.gateway.kill()
        return judge(set(read_audit_log(self.audit_log)), await self.rows(), lambda key, value: value == value_of(*key))

    async def figures(self, arrived: Sequence[Arrived]) -> Mapping[str, int]:
        """What else there is to tell; called after `verdict`."""
        with self.opened_outbox() as outbox:
            counters, dead_letters = outbox.counters(), outbox.depth().dead_letters
            ours = outbox.read(lambda db: acknowledged(db, 0, 1 << 62))
        # What arrived and whose answer did not waits here still: the ledger is right not to have it.
        waiting = self.keys_waiting()
        differs = len(differences(ours, self._digests([one for one in arrived if one[0] not in waiting])))
        return {
            "sent_again": counters.get("duplicates", 0),
            "dead_letters": dead_letters,
            "put_aside": len(self.files_put_aside()),
            "put_aside_in_vain": self.put_aside_in_vain,
            "ledger_differs": differs,
            **self.relay.counts,
        }

    def keys_waiting(self) -> set[Key]:
        return {row.key for batch in self.bodies("SELECT content FROM body") for row in batch.rows}

    def bodies(self, statement: str) -> list[Batch]:
        """Batches of the outbox's file, by a statement that gives their bodies."""
        return [wire.decode(body) for (body,) in self.query(statement)]

    def query(self, statement: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self.outbox_file}?mode=ro", uri=True)) as db:
            return db.execute(statement).fetchall()

    def problems(self, figures: Mapping[str, int]) -> list[str]:
        """What must not be, beside what the judge looks at."""
        return [name for name in ("dead_letters", "ledger_differs", "put_aside_in_vain") if figures[name]]

    def opened_outbox(self) -> Outbox:
        return Outbox(self.outbox_file, max_bytes=OUTBOX_BYTES)

    @property
    def outbox_file(self) -> Path:
        return (self.disk.path if self.disk is not None else self.folder) / "outbox.db"

    async def count(self) -> int:
        return int((await execute(self._database_url, "SELECT count(*) AS n FROM sensor_readings"))[0]["n"])

    async def rows(self) -> list[Arrived]:
        found = await execute(self._database_url, _ROWS)
        self._qualities = {(row["sensor_id"], row["time_us"]): row["quality"] for row in found}
        return [((row["sensor_id"], row["time_us"]), row["value"]) for row in found]

    async def _start_all(self, stack: contextlib.AsyncExitStack) -> None:
        await self._start_route(stack, await self.start_central())
        await self.start_gateway()

    async def _start_route(self, stack: contextlib.AsyncExitStack, central_url: str) -> None:
        self.relay = ChaosRelay(central_url)
        port = await stack.enter_async_context(listening(self.relay.handle))
        self.relay.url = f"http://127.0.0.1:{port}"

    async def _end_all(self) -> None:
        await self.gateway.end()
        await self.central.end()

    def _digests(self, arrived: Sequence[Arrived]) -> dict[HourKey, HourDigest]:
        """Of whole rows, as they stand in the database."""
        series = {sensor_id: Series(sensor_id, "vibration", "g") for (sensor_id, _), _ in arrived}
        rows = [Row(series[key[0]], key[1], value, self._qualities[key]) for key, value in arrived]
        return digest_rows(RowColumns.of(rows))

    def _gateway_command(self) -> tuple[list[str], dict[str, str]]:
        self._lives += 1
        url = self.relay.url.replace("127.0.0.1", "localhost")  # a name, which has to be looked up
        places = [str(self.outbox_file), str(self.audit_log), url, str(self._lives)]
        environment = {"CHAOS_API_KEY": API_KEY, "CHAOS_SETTLES_ON": self._settles_on}
        preloaded = together(environment, self.names.environment, self.disk_faults.environment)
        return ["-m", "tests.chaos.gateway", *places], preloaded

    @property
    def _database_url(self) -> str:
        return self.server.url(TEMPLATE)
