"""A simulated plant with real protocol servers: press-3 on Modbus TCP, pump-2 on OPC UA, on 127.0.0.1 only.

    python -m edge_agent.demo.plant --modbus-port 0 --opcua-port 0 --data tests/data/ai4i/ai4i2020.csv

prints one line of JSON when both servers answer, {"modbus_port": ..., "opcua_port": ...}, and runs until SIGTERM,
SIGINT, or the end of its standard input, so that it does not outlive the process that started it. `plant_sources`
holds the source settings that read it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_agent.demo.plant_opcua import PumpServer
from edge_agent.demo.plant_press import PressRow, PressServer, read_rows
from edge_agent.demo.plant_pump import Pump
from edge_agent.errors import EdgeError

PRESS_INTERVAL_S: Final = 1.0  # a row a second
PUMP_INTERVAL_S: Final = 0.5


async def run(rows: Sequence[PressRow], *, modbus_port: int, opcua_port: int, stop: asyncio.Event) -> None:
    """Serve both machines until `stop` is set; announce the ports on standard output."""
    press, pump_server, pump = PressServer(), PumpServer(), Pump()
    try:
        ports = {"modbus_port": await press.start(modbus_port), "opcua_port": await pump_server.start(opcua_port)}
        await press.show(rows[0])
        await pump_server.show(pump.step(PUMP_INTERVAL_S))
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as group:
            machines = [
                group.create_task(_run_press(press, rows), name="press-3"),
                group.create_task(_run_pump(pump_server, pump), name="pump-2"),
            ]
            await stop.wait()
            for machine in machines:
                machine.cancel()
    finally:
        await press.stop()
        await pump_server.stop()


async def _run_press(server: PressServer, rows: Sequence[PressRow]) -> None:
    for row in itertools.cycle(rows):
        await server.show(row)
        await asyncio.sleep(PRESS_INTERVAL_S)


async def _run_pump(server: PumpServer, pump: Pump) -> None:
    while True:
        await server.show(pump.step(PUMP_INTERVAL_S))
        await asyncio.sleep(PUMP_INTERVAL_S)


async def _run_until_told(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    # A daemon thread: a blocked read of standard input must not hold up the exit.
    threading.Thread(target=_await_end_of_input, args=(loop, stop), daemon=True).start()
    rows = read_rows(arguments.data)
    await run(rows, modbus_port=arguments.modbus_port, opcua_port=arguments.opcua_port, stop=stop)


def _await_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop is closed: we were told to stop another way
        loop.call_soon_threadsafe(stop.set)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="edge_agent.demo.plant", description="A simulated plant on 127.0.0.1.")
    parser.add_argument("--modbus-port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--opcua-port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--data", type=Path, required=True, help="AI4I 2020 rows for press-3 (CSV)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="plant: %(name)s: %(message)s")
    for noisy in ("asyncua", "pymodbus"):  # a client that goes away is not an error of the plant
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        asyncio.run(_run_until_told(arguments))
    except EdgeError as exc:
        sys.stderr.write(f"plant: {exc.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
