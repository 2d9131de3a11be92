"""An OPC UA server whose values, statuses and times are in the test's hand, and a line that makes rows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from cloud_sync.columns import Record
from cloud_sync.records import Event, Row
from edge_agent.core.clock import Clock, SystemClock
from edge_agent.core.tags import Reading
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.tags import TagLine
from tests.support.blocks import rows_in

DEADLINE_S = 30.0
NAMESPACE = "urn:plant:test"


class ForcedServer:
    """Serves nodes ns=2;s=<name>, in NAMESPACE, below Objects/2:Machine."""

    async def start(self) -> None:
        self.server = Server()
        await self.server.init()
        self.server.set_endpoint("opc.tcp://127.0.0.1:0/t")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self.index = await self.server.register_namespace(NAMESPACE)
        self.machine = await self.server.nodes.objects.add_object(self.index, "Machine")
        await self.server.start()
        self.port = self.server.bserver.port

    async def stop(self) -> None:
        await self.server.stop()

    async def add(
        self, name: str, value: object, kind: ua.VariantType | None = None, *, below: Any = None, namespace: int = 2
    ) -> Any:
        """Add a variable; its times are of now."""
        parent = below or self.machine
        return await parent.add_variable(ua.NodeId(name, namespace), name, ua.Variant(value, kind))

    async def put(
        self,
        name: str,
        value: object,
        *,
        status: int = 0,
        source: datetime | None = None,
        server: datetime | None = None,
        kind: ua.VariantType | None = None,
    ) -> None:
        """Write a value as the PLC does: with its status and the times that are given, and no others."""
        data_value = ua.DataValue(
            ua.Variant(value, kind), StatusCode=ua.StatusCode(status), SourceTimestamp=source, ServerTimestamp=server
        )
        await self.server.write_attribute_value(ua.NodeId(name, 2), data_value)

    def driver(self, *names: str, clock: Clock | None = None, **more: Any) -> OpcUaDriver:
        nodes = [{"name": f"p.{name.lower()}", "unit": "", "node_id": f"ns=2;s={name}"} for name in names]
        settings = {
            "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{self.port}/t", "allow_plaintext": True,
            "publishing_interval_ms": 20, "sampling_interval_ms": 0, "nodes": nodes,
        }  # fmt: skip
        return OpcUaDriver(OpcUaSettings.model_validate(settings | more), clock or SystemClock())


class Line:
    """An open driver, and the tag line that makes rows and gaps of what it yields."""

    def __init__(self, driver: OpcUaDriver) -> None:
        self.driver = driver
        self.tags = TagLine(
            driver.name, deadbands={}, heartbeat_s=3_600.0, recorder=Recorder(is_clock_synced=lambda: True)
        )
        self.records: list[Record] = []

    async def __aenter__(self) -> Line:
        await self.driver.open()
        self._stream = self.driver.stream()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.aclose()
        await self.driver.close()

    async def until(self, is_enough: Callable[[Line], bool]) -> None:
        """Take what the driver yields until it is enough."""
        async with asyncio.timeout(DEADLINE_S):
            while not is_enough(self):
                item = await anext(self._stream)
                self.records += self.tags.push(item)

    async def reading(self, tag: str) -> Reading:
        """Return the tag's newest reading, as soon as it has one."""
        await self.until(lambda line: tag in line.tags.latest)
        return self.tags.latest[tag]

    def rows(self, tag: str) -> list[Row]:
        return [row for row in rows_in(self.records) if row.series.sensor_id == tag]

    @property
    def gaps(self) -> list[Event]:
        return [record for record in self.records if isinstance(record, Event)]


def seconds_from(time: datetime, row: Row) -> float:
    """Return how much later than `time` the row stands."""
    return row.time_us / 1e6 - time.timestamp()


def now() -> datetime:
    return datetime.now(UTC)
