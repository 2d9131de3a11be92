"""A polled value is new when value, status or the source's time differ; else it is confirmed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from asyncua import ua

from edge_agent.core.clock import FakeClock
from edge_agent.drivers.opcua.polled import Polled, is_same
from edge_agent.drivers.opcua.server_limits import ServerLimits
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscribing.notices import Notice, Notification

AT = datetime(2026, 5, 1, tzinfo=UTC)
LATER = datetime(2026, 5, 2, tzinfo=UTC)


def data_value(value: object = 1.0, status: int = 0, at: datetime = AT, served: datetime = AT):
    return ua.DataValue(ua.Variant(value), StatusCode=ua.StatusCode(status), SourceTimestamp=at, ServerTimestamp=served)


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (data_value(), True),
        (data_value(served=LATER), True),
        (data_value(2.0), False),
        (data_value(status=ua.StatusCodes.BadDeviceFailure), False),
        (data_value(at=LATER), False),
    ],
)
def test_what_makes_a_value_new(now, same):
    assert is_same(data_value(), now) is same


class SlowServer:
    """Answers a read with 1.0 for each node, once it may."""

    def __init__(self) -> None:
        self.uaclient = self.session = self
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def read(self, parameters):
        self.is_asked.set()
        await self.may_answer.wait()
        return [data_value() for _ in parameters.NodesToRead]


async def test_a_node_that_is_found_during_a_pass_comes_with_the_next_one():
    server, handed = SlowServer(), asyncio.Queue[Notice]()
    settings = OpcUaSettings.model_validate(
        {
            "type": "opcua", "name": "pump", "endpoint": "opc.tcp://127.0.0.1", "allow_plaintext": True,
            "mode": "polling", "polling_interval_ms": 50,
            "nodes": [{"name": f"p.{n}", "unit": "", "node_id": f"i={n}"} for n in range(2)],
        }
    )  # fmt: skip
    polled = Polled(server, settings, ServerLimits(), FakeClock(), handed.put)
    await polled.watch({1: ua.NodeId(1)})
    running = asyncio.create_task(polled.run())
    async with asyncio.timeout(10):
        await server.is_asked.wait()
        await polled.watch({0: ua.NodeId(0)})
        server.may_answer.set()
        notices = [await handed.get(), await handed.get()]
    running.cancel()
    await asyncio.wait({running})
    assert all(isinstance(notice, Notification) for notice in notices)
    assert [[handle for handle, _ in notice.values] for notice in notices] == [[1], [0]]
