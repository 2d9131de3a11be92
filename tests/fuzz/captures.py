"""`python -m tests.fuzz.captures FILE...`: captures of real devices, played as servers to our drivers.

Each TCP flow of a capture (pcap or pcapng) whose server port is Modbus's or OPC UA's is one server: after each thing
that the driver says, it sends the next segment that the device once sent. Nothing of it answers what was asked, so no
value may come of it, and each must end in words. Prints a line a flow; exits with 1 when one gave a value.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Scan
from edge_agent.drivers.registry import build_driver
from edge_agent.errors import DriverError
from edge_agent.settings.source_kinds import built_in_kinds
from tests.soak.garbage import HastyClock, settings_of
from tests.support.sockets import listening

MODBUS_PORT: Final = 502
OPC_UA: Final = (b"ACKF", b"OPNF", b"MSGF", b"ERRF", b"MSGC")
GIVE_UP_S: Final = 20.0
_ETHERNET, _RAW, _NULL, _COOKED = 1, 101, 0, 113
_HEADER: Final = {_ETHERNET: 14, _RAW: 0, _NULL: 4, _COOKED: 16}


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Return every frame of a pcap or pcapng file with its link type."""
    if data[:4] == b"\n\r\r\n":
        yield from _pcapng(data)
        return
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    link, at = struct.unpack_from(order + "I", data, 20)[0], 24
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        yield link, data[at + 16 : at + 16 + length]
        at += 16 + length


def _pcapng(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, links = 0, []
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 1:
            links.append(struct.unpack_from("<H", data, at + 8)[0])
        elif kind == 6:
            interface, _, _, captured = struct.unpack_from("<IIII", data, at + 8)
            yield links[interface], data[at + 28 : at + 28 + captured]
        at += max(length, 12)


def server_segments(path: Path) -> dict[tuple[bytes, int, bytes, int], list[bytes]]:
    """Return what servers sent, by flow (server, its port, client, its port), in the order of the file."""
    flows: dict[tuple[bytes, int, bytes, int], list[bytes]] = {}
    for link, frame in frames(path.read_bytes()):
        packet = frame[_HEADER.get(link, 14) :]
        segment = _tcp_of(packet)
        if len(segment) < 20:
            continue
        source, target = struct.unpack_from(">HH", segment)
        payload = segment[(segment[12] >> 4) * 4 :]
        if payload:
            flows.setdefault((_server_of(packet), source, _client_of(packet), target), []).append(payload)
    return {flow: sent for flow, sent in flows.items() if protocol_of(flow[1], sent)}


def protocol_of(port: int, sent: list[bytes]) -> str | None:
    """Return whose server this is: Modbus by its port, OPC UA by how its side begins."""
    if port == MODBUS_PORT:
        return "modbus"
    return "opcua" if sent[0][:4] in OPC_UA and any(each[:4] in (b"ACKF", b"MSGF") for each in sent) else None


def _server_of(packet: bytes) -> bytes:
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def _client_of(packet: bytes) -> bytes:
    return packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]


def _tcp_of(packet: bytes) -> bytes:
    if len(packet) > 40 and packet[0] >> 4 == 4 and packet[9] == 6:
        return packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4], "big")]
    return packet[40:] if len(packet) > 60 and packet[0] >> 4 == 6 and packet[6] == 6 else b""


async def play(name: str, segments: list[bytes]) -> str:
    """Return what a driver makes of a server that says these segments, one for each thing it is told."""
    left = iter(segments)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            if (segment := next(left, None)) is None:
                break
            writer.write(segment)
        writer.close()

    values: Counter[str] = Counter()
    async with listening(serve) as port:
        document = settings_of(name, port)
        driver = build_driver(built_in_kinds()[document["type"]].model_validate(document), HastyClock())
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await driver.open()
                async for item in driver.stream():
                    for reading in item.readings if isinstance(item, Scan) else ():
                        values["value" if reading.quality is not Quality.BAD else "bad"] += 1
            said = "ended"
        except DriverError as exc:
            said = f"{type(exc).__name__}: {exc.message}"
        except TimeoutError:
            said = "still waiting"
        finally:
            await driver.close()
    return f"{values['value']} values, {values['bad']} bad; {said}"


def main(paths: list[str]) -> int:
    found: Counter[str] = Counter()
    for path in map(Path, paths):
        for (_, server_port, _, client_port), segments in server_segments(path).items():
            result = asyncio.run(play(protocol_of(server_port, segments) or "", segments))
            found["flows"] += 1
            found["with a value"] += not result.startswith("0 values")
            print(f"{path.name} {server_port}<-{client_port} {len(segments)} segments: {result[:200]}", flush=True)
    print(dict(found))
    return 1 if found["with a value"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
