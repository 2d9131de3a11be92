"""What the central's tests share: one gateway's key, small limits, and a database of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.databases import DatabaseServer, execute

API_KEY = "test-key-of-gw-1"
MAX_BODY_BYTES = 200_000


@dataclass(frozen=True)
class Database:
    """One test's own database on a server that may be killed."""

    server: DatabaseServer
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        return await execute(self.url, statement, *arguments)

    async def count(self, table: str) -> int:
        return (await execute(self.url, f"SELECT count(*) AS n FROM {table}"))[0]["n"]  # noqa: S608 (a test's own word)

    async def keys(self) -> set[tuple[str, int] | str]:
        """What is committed: row keys and event ids."""
        stored = await self.fetch(
            "SELECT sensor_id, (extract(epoch FROM timestamp) * 1000000)::bigint AS time_us FROM sensor_readings"
        )
        events = await self.fetch("SELECT event_id FROM edge_events")
        return {(row["sensor_id"], row["time_us"]) for row in stored} | {row["event_id"] for row in events}
