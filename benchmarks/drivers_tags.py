"""What the tag drivers cost: processor time of ours, against a plain use of the library that each stands on.

The device is a process of its own, so only this side is counted. The plain side gets the same values and keeps them;
it checks nothing, names no time and survives no fault.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Final

from benchmarks.harness import Comparison, UnavailableError, benchmark
from benchmarks.modbus import device
from edge_agent.core.clock import SystemClock
from edge_agent.core.tags import Scan
from edge_agent.drivers.modbus.driver import ModbusDriver
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.settings import OpcUaSettings

TAGS: Final = 100
"""Of one device: half of them in each of two requests, or all of them in one subscription."""

_ROUNDS: Final = 7
_PASSES: Final = 100
_INTERVAL_S: Final = 0.01
_READINGS: Final = 2_000
_PUBLISHING_MS: Final = 20.0
_DEADLINE_S: Final = 60.0

Side = Callable[[], Awaitable[float]]


@benchmark("drivers.modbus.pass", unit="us CPU")
def modbus_pass() -> Comparison:
    """Two requests and 100 readings, a hundred times a second."""
    with device(2 * TAGS) as port:
        return asyncio.run(_alternating(lambda: _our_passes(port), lambda: _plain_passes(port)))


@benchmark("drivers.opcua.reading", unit="us CPU")
def opcua_reading() -> Comparison:
    """A value of a subscription to 100 nodes that all change."""
    with _opcua_server() as port:
        return asyncio.run(_alternating(lambda: _our_readings(port), lambda: _plain_readings(port)))


async def _alternating(ours: Side, baseline: Side) -> Comparison:
    """Run both sides once to warm up, then in turns; the one that goes first changes."""
    sides = (ours, baseline)
    times: tuple[list[float], list[float]] = ([], [])
    async with asyncio.timeout(_DEADLINE_S * _ROUNDS):
        for turn in range(_ROUNDS + 1):
            for side in (0, 1) if turn % 2 else (1, 0):
                gc.collect()
                cost_us = await sides[side]()
                if turn:
                    times[side].append(cost_us)
    return Comparison.of(*times)


async def _our_passes(port: int) -> float:
    tags = [
        {"name": f"plc.{table}{at}", "unit": "", "table": table, "address": at}
        for table in ("holding", "input")
        for at in range(TAGS // 2)
    ]
    place = {"type": "modbus", "name": "plc", "host": "127.0.0.1", "port": port}
    groups = [{"interval_s": _INTERVAL_S, "tags": tags}]
    driver = ModbusDriver(ModbusSettings.model_validate({**place, "poll_groups": groups}), SystemClock())
    return await _cost_us(driver, _PASSES * TAGS) * TAGS


async def _plain_passes(port: int) -> float:
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    newest: list[int] = []
    begin_s, due_s = time.process_time(), time.monotonic()
    for _ in range(_PASSES):
        holding = await client.read_holding_registers(0, count=TAGS // 2)
        inputs = await client.read_input_registers(0, count=TAGS // 2)
        newest = [*holding.registers, *inputs.registers]
        due_s += _INTERVAL_S
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    cost_us = (time.process_time() - begin_s) / _PASSES * 1e6
    client.close()
    if len(newest) != TAGS:
        raise UnavailableError(f"a pass brought {len(newest)} of {TAGS} registers")
    return cost_us


async def _our_readings(port: int) -> float:
    nodes = [{"name": f"plc.v{number}", "unit": "", "node_id": f"ns=2;s=v{number}"} for number in range(TAGS)]
    place = {"type": "opcua", "name": "plc", "endpoint": _endpoint(port), "allow_plaintext": True}
    how = {"publishing_interval_ms": _PUBLISHING_MS, "sampling_interval_ms": 0.0}
    settings = OpcUaSettings.model_validate({**place, **how, "nodes": nodes})
    return await _cost_us(OpcUaDriver(settings, SystemClock()), _READINGS)


async def _plain_readings(port: int) -> float:
    from asyncua import Client, ua

    enough = asyncio.Event()
    begun_s, newest, count = 0.0, dict[Any, tuple[Any, Any]](), 0
    logging.getLogger("asyncua").setLevel(logging.ERROR)

    class Handler:
        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            nonlocal count, begun_s
            if count == TAGS:  # the first values of all nodes came with the subscription
                begun_s = time.process_time()
            newest[node] = value, data.monitored_item.Value.SourceTimestamp
            count += 1
            if count == TAGS + _READINGS:
                enough.set()

    async with Client(_endpoint(port)) as client:
        subscription = await client.create_subscription(_PUBLISHING_MS, Handler())
        nodes = [client.get_node(ua.NodeId(f"v{number}", 2)) for number in range(TAGS)]
        await subscription.subscribe_data_change(nodes, sampling_interval=0.0)
        await enough.wait()
        return (time.process_time() - begun_s) / _READINGS * 1e6


async def _cost_us(driver: ModbusDriver | OpcUaDriver, readings: int) -> float:
    """Return microseconds of processor time for a reading, from the second scan on."""
    begun_s, count = 0.0, 0
    await driver.open()
    try:
        async with aclosing(driver.stream()) as items:  # type: ignore[type-var]
            async for item in items:
                if not isinstance(item, Scan):
                    continue
                if not begun_s:
                    begun_s = time.process_time()  # the first scan came with the connection
                    continue
                count += len(item.readings)
                if count >= readings:
                    return (time.process_time() - begun_s) / count * 1e6
    finally:
        await driver.close()
    raise UnavailableError("the stream ended")


def _endpoint(port: int) -> str:
    return f"opc.tcp://127.0.0.1:{port}/numbers"


@contextmanager
def _opcua_server() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks._opcua_server", str(TAGS), str(_PUBLISHING_MS / 1e3)]
    pipe, silence = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=silence, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                raise UnavailableError("the OPC UA server did not start")
            yield int(line)
        finally:
            process.kill()
