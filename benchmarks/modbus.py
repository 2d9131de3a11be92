"""How many requests a scan of a Modbus device takes, and what decoding its answer costs.

Requests are counted where they are made, by the product's own driver against libmodbus on this machine: the same
registers, planned into blocks, and one request for each register.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Comparison, UnavailableError, benchmark, compare
from edge_agent.core.clock import SystemClock
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Scan, Tag
from edge_agent.drivers.modbus.codec import Decoder
from edge_agent.drivers.modbus.driver import ModbusDriver
from edge_agent.drivers.modbus.plan import plan_blocks
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.settings.load import load_settings

REGISTERS: Final = 500
_ROOT: Final = Path(__file__).parents[1]
_SERVER: Final = _ROOT / "tests" / "peers" / "modbus_server.c"
_EXAMPLE: Final = _ROOT / "config" / "register-map" / "edge.toml"
_SCANS: Final = 3
_DEADLINE_S: Final = 60.0


@benchmark("modbus.requests_per_scan", unit="requests")
def requests_per_scan() -> Comparison:
    """A map of 500 registers without many holes, as a controller has it, against one request for each register."""
    return _requests(_map_of(REGISTERS), REGISTERS)


@benchmark("modbus.requests_per_scan.example", unit="requests")
def requests_of_the_example() -> Comparison:
    """The register map that ships as an example: an energy meter's 44 values, with holes between them."""
    (meter,) = load_settings(_EXAMPLE).sources
    tags = [tag.model_dump() for tag in meter.all_tags]
    places = {(tag["table"], tag["address"] + at) for tag in tags for at in range(_width(tag))}
    return _requests(tags, len(places))


@benchmark("modbus.decode", unit="us CPU")
def decode() -> Comparison:
    """From an answer's registers to readings, a tag, against the plainest loop there is: one type, no checks."""
    tags = [ModbusTagSettings.model_validate(tag) for tag in _map_of(REGISTERS) if tag["data_type"] == "float32"]
    blocks = plan_blocks(tags, max_registers=125, max_hole=16)
    numbers = random.Random(3)
    answers = [[numbers.randrange(0x3F80, 0x4700) for _ in range(block.count)] for block in blocks]
    decoder = Decoder(tags)

    def plain() -> list[Reading]:
        out = []
        for block, cells in zip(blocks, answers, strict=True):
            for tag in block.tags:
                start = tag.address - block.address
                (raw,) = struct.unpack(">f", struct.pack(">HH", *cells[start : start + 2]))
                value = raw * tag.scale + tag.offset
                out.append(Reading(Tag(tag.name, tag.unit, tag.sensor_type), value, Quality.GOOD, None, 1))
        return out

    def ours() -> list[list[Any]]:
        return [decoder.decode(block, cells, 1) for block, cells in zip(blocks, answers, strict=True)]

    return compare(ours=ours, baseline=plain, per=len(tags))


def _map_of(registers: int) -> list[dict[str, Any]]:
    """Return tags that cover so many registers: floats, then whole numbers, with a hole behind every fifty."""
    tags: list[dict[str, Any]] = []
    covered, address = 0, 0
    while covered < registers:
        width = 2 if covered < registers // 2 else 1
        data_type = "float32" if width == 2 else "uint16"
        tags.append({"name": f"plc.v{address}", "unit": "", "address": address, "data_type": data_type})
        covered, address = covered + width, address + width + (10 if (covered + width) % 50 == 0 else 0)
    return tags


def _width(tag: dict[str, Any]) -> int:
    return ModbusTagSettings.model_validate(tag).width


def _requests(tags: Sequence[dict[str, Any]], registers: int) -> Comparison:
    """Return the requests of a scan as planned, and those of the same registers one by one."""
    places = sorted({tag["address"] + at for tag in tags for at in range(_width(tag))})
    alone = [{"name": f"plc.r{at}", "unit": "", "table": "holding", "address": at} for at in places]
    if len(alone) != registers:
        raise UnavailableError(f"the map has {len(alone)} registers of one table, not {registers}")
    with device(max(places) + 1) as port:
        planned = asyncio.run(_requests_of_a_scan(port, tags, max_registers=125, max_hole=16))
        single = asyncio.run(_requests_of_a_scan(port, alone, max_registers=1, max_hole=0))
    return Comparison.of([planned], [single])


async def _requests_of_a_scan(port: int, tags: Sequence[dict[str, Any]], **limits: int) -> float:
    group = {"interval_s": 0.01, "tags": list(tags)}
    place = {"type": "modbus", "name": "plc", "host": "127.0.0.1", "port": port}
    driver = ModbusDriver(ModbusSettings.model_validate({**place, **limits, "poll_groups": [group]}), SystemClock())
    async with asyncio.timeout(_DEADLINE_S):
        await driver.open()
        scans = 0
        async for item in driver.stream():
            scans += isinstance(item, Scan)
            if isinstance(item, Scan) and len(item.readings) + len(item.texts) != len(tags):
                raise UnavailableError(f"a scan brought {len(item.readings)} of {len(tags)} tags")
            if scans == _SCANS:
                break
        requests = driver.report().figures["requests_total"]
        await driver.close()
    return float(str(requests)) / _SCANS


@contextmanager
def device(registers: int) -> Iterator[int]:
    """Yield the port of a device on libmodbus with so many registers. Raises UnavailableError without a compiler."""
    if not (shutil.which("gcc") and shutil.which("pkg-config")):
        raise UnavailableError("it needs gcc, pkg-config and libmodbus-dev (apt-get install)")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=False
    )
    if flags.returncode:
        raise UnavailableError("it needs libmodbus-dev (apt-get install)")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "modbus_server"
        subprocess.run(["gcc", "-O1", "-o", program, _SERVER, *flags.stdout.split()], check=True)
        environment = {**os.environ, "REGISTERS": str(max(registers, 200))}
        pipe = subprocess.PIPE
        with subprocess.Popen([str(program)], stdout=pipe, text=True, env=environment) as process:
            try:
                yield int(process.stdout.readline()) if process.stdout is not None else 0
            finally:
                process.kill()
