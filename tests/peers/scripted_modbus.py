"""A Modbus TCP device written by hand from the specification: it says exactly what a test tells it to.

It shares no code with any Modbus library, and keeps every request it got.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.sockets import listening

_HEADER = struct.Struct(">HHHB")  # transaction, protocol, length, unit


@dataclass(frozen=True)
class Request:
    function: int
    address: int
    count: int
    connection: int = field(default=0, compare=False)
    """Which of the connections it came over, counted from 1."""
    unit: int = field(default=1, compare=False)


def exception(function: int, code: int) -> bytes:
    return bytes([function | 0x80, code])


def register_answer(function: int, registers: list[int]) -> bytes:
    return struct.pack(f">BB{len(registers)}H", function, 2 * len(registers), *registers)


def bit_answer(function: int, bits: list[bool]) -> bytes:
    packed = sum(1 << i for i, bit in enumerate(bits) if bit).to_bytes((len(bits) + 7) // 8, "little")
    return bytes([function, len(packed)]) + packed


def mbap_frame(transaction: int, unit: int, pdu: bytes, *, protocol: int = 0) -> bytes:
    return _HEADER.pack(transaction, protocol, len(pdu) + 1, unit) + pdu


class Memory:
    """Registers and bits by address; what is not there is "illegal data address" (2)."""

    def __init__(self, registers: dict[int, int] | None = None, bits: dict[int, bool] | None = None) -> None:
        self.registers = registers or {}
        self.bits = bits or {}

    def __call__(self, request: Request) -> bytes | None:
        wanted = range(request.address, request.address + request.count)
        cells = self.bits if request.function in (1, 2) else self.registers
        if any(address not in cells for address in wanted):
            return exception(request.function, 2)
        values = [cells[address] for address in wanted]
        answer = bit_answer if request.function in (1, 2) else register_answer
        return answer(request.function, values)


class ScriptedDevice:
    """`script` gives the answer's PDU, or None for silence. May be exchanged while it runs."""

    def __init__(self, script: Callable[[Request], bytes | None]) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections_total = 0
        self.port = 0
        self.hung_up = asyncio.Event()
        self.connected_s = 0.0  # when the newest connection came, the loop's time
        self.before_answer = b""  # sent right before each answer
        self.closes_after_answer = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_total += 1
        connection = self.connections_total
        self.connected_s = asyncio.get_running_loop().time()
        try:
            while True:
                transaction, protocol, length, unit = _HEADER.unpack(await reader.readexactly(_HEADER.size))
                pdu = await reader.readexactly(length - 1)
                request = Request(pdu[0], *struct.unpack(">HH", pdu[1:5]), connection, unit)
                self.requests.append(request)
                answer = self.script(request)
                if answer is not None:
                    writer.write(self.before_answer + mbap_frame(transaction, unit, answer, protocol=protocol))
                    if self.closes_after_answer:
                        return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up.set()
        finally:
            writer.close()


@asynccontextmanager
async def scripted_device(script: Callable[[Request], bytes | None]):
    device = ScriptedDevice(script)
    async with listening(device.serve) as device.port:
        yield device
