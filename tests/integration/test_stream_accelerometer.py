"""An accelerometer that sends frames over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.accelerometer.driver import AccelerometerDriver
from edge_agent.drivers.accelerometer.protocol import SampleFormat, encode
from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.registry import build_driver
from edge_agent.errors import DeviceRejectedError, TransientDriverError
from tests.contract.check_driver import CHECKS

RATE_HZ = 1000
SAMPLES = 100  # per frame: one block
DEADLINE_S = 20.0
SCANS_ONLY = {"yields_scans_of_its_own_name", "the_same_driver_opens_again_after_a_loss"}


def frame(sequence: int, *, timestamp_ns: int | None = None, rate_hz: float = RATE_HZ, channels: int = 2) -> bytes:
    """Channel c counts samples from the first one of sequence 0 on, plus c."""
    counts = (np.arange(SAMPLES) + sequence * SAMPLES + np.arange(channels)[:, None]) % 30_000
    return encode(
        counts.astype(np.float32), sequence=sequence, sample_rate_hz=rate_hz, timestamp_ns=timestamp_ns,
        sample_format=SampleFormat.INT16,
    )  # fmt: skip


def driver_of(interface: str, port: int, **more) -> AccelerometerDriver:
    driver = build_driver(
        AccelerometerSettings.model_validate(
            {
                "name": "pump", "asset": "pump-1", "type": "accelerometer", "interface": interface, "port": port,
                "sample_rate_hz": RATE_HZ, "channels": [{"point": "x"}, {"point": "y", "scale": 0.5}], **more,
            }
        ),
        SystemClock(),
    )  # fmt: skip
    assert isinstance(driver, AccelerometerDriver)
    return driver


async def blocks_from(driver: AccelerometerDriver, count: int) -> list[SampleBlock]:
    blocks: list[SampleBlock] = []
    async with asyncio.timeout(DEADLINE_S):
        async for item in driver.stream():
            assert isinstance(item, SampleBlock)
            blocks.append(item)
            if len(blocks) == count:
                break
    return blocks


@dataclass
class Sensor:
    """Listens; sends every client `script`, then either closes or stays silent."""

    script: bytes = b""
    closes: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.connected.set()
        writer.write(self.script)
        if self.closes:
            writer.close()

    def send(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    async def vanish(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
        self._writers.clear()

    # The rest makes it a bench of the driver contract.
    def driver(self) -> AccelerometerDriver:
        return driver_of("tcp", self.port, silent_after_s=1.5)

    async def come_back(self) -> None:
        self.script = frame(0) + frame(1)
        await self.start()

    def mute(self) -> None:
        self.script = b""
        self.connected.clear()

    def garble(self) -> None:
        self.script = bytes(reversed(self.script))
        self.send(self.script)

    def halve(self) -> None:
        self.script = self.script[: len(self.script) // 2]
        self.send(frame(2)[:40])

    async def until_read_is_pending(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def sensor_of(script: bytes = b"", *, closes: bool = False) -> AsyncIterator[Sensor]:
    sensor = Sensor(script, closes)
    await sensor.start()
    try:
        yield sensor
    finally:
        await sensor.vanish()


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.__name__ not in SCANS_ONLY], ids=lambda check: check.__name__
)
async def test_driver_contract_over_tcp(check) -> None:
    async with sensor_of(frame(0) + frame(1)) as sensor:
        await check(sensor)


async def test_frames_over_tcp_become_blocks_in_the_units_of_their_channels() -> None:
    async with sensor_of(b"".join(frame(i) for i in range(20))) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        blocks = await blocks_from(driver, 20)
        await driver.close()
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    np.testing.assert_array_equal(samples, [np.arange(2000), 0.5 * (np.arange(2000) + 1)])
    assert [block.block_index for block in blocks] == list(range(20))
    assert {block.gap_before for block in blocks} == {None}
    assert {(block.source, block.unit, block.sample_rate_hz) for block in blocks} == {("pump", "g", 1000.0)}


async def test_small_frames_are_joined_into_blocks_of_the_configured_length() -> None:
    async with sensor_of(b"".join(frame(i) for i in range(50))) as sensor:
        driver = driver_of("tcp", sensor.port, block_s=0.5)
        await driver.open()
        blocks = await blocks_from(driver, 10)
        await driver.close()
    assert {block.n_samples for block in blocks} == {500}


async def test_a_missing_sequence_number_is_a_seam_with_the_count_also_inside_a_block() -> None:
    async with sensor_of(b"".join(frame(i) for i in (0, 1, 2, 5, 6, 7, 8, 9))) as sensor:
        driver = driver_of("tcp", sensor.port, block_s=0.2)
        await driver.open()
        blocks = await blocks_from(driver, 4)
        await driver.close()
    assert [block.n_samples for block in blocks] == [200, 100, 200, 200]
    gap = blocks[2].gap_before
    assert gap is not None
    assert (gap.cause, gap.count, gap.detail) == (GapCause.DISCONTINUITY, 200, "2 frames are missing")
    assert blocks[2].samples[0, 0] == 500
    assert [block.gap_before for block in (blocks[0], blocks[1], blocks[3])] == [None, None, None]


async def test_a_sequence_that_wraps_is_no_seam() -> None:
    first = 2**32 - 2
    data = b"".join(frame((first + i) % 2**32) for i in range(4))
    async with sensor_of(data) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        blocks = await blocks_from(driver, 4)
        await driver.close()
    assert {block.gap_before for block in blocks} == {None}


async def test_the_sensors_own_time_is_kept_when_its_clock_is_set() -> None:
    start_ns = SystemClock().now_ns() - 500_000_000
    async with sensor_of(b"".join(frame(i, timestamp_ns=start_ns + i * 100_000_000) for i in range(3))) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        blocks = await blocks_from(driver, 3)
        await driver.close()
    assert [block.start_ns for block in blocks] == [start_ns + i * 100_000_000 for i in range(3)]


@pytest.mark.parametrize("timestamp_ns", [None, 1_000_000_000])
async def test_a_sensor_without_a_set_clock_is_stamped_by_arrival(timestamp_ns: int | None) -> None:
    before_ns = SystemClock().now_ns()
    async with sensor_of(b"".join(frame(i, timestamp_ns=timestamp_ns) for i in range(3))) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        blocks = await blocks_from(driver, 3)
        await driver.close()
    assert before_ns <= blocks[0].end_ns <= SystemClock().now_ns()
    assert {block.gap_before for block in blocks} == {None}


async def test_a_sensor_whose_time_jumps_is_a_seam() -> None:
    now_ns = SystemClock().now_ns()
    async with sensor_of(frame(0, timestamp_ns=now_ns - 600_000_000) + frame(1, timestamp_ns=now_ns)) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        _, after = await blocks_from(driver, 2)
        await driver.close()
    assert after.gap_before is not None
    assert after.gap_before.detail == "the sensor's time jumped by +0.500 s"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rate_hz": 25_600.0}, "the sensor sends 25600 Hz, 1000 Hz is configured"),
        ({"channels": 3}, "the sensor sends 3 channels, 2 are configured"),
    ],
)
async def test_a_sensor_that_says_another_rate_or_channel_count_is_rejected_and_both_are_named(wrong, named) -> None:
    async with sensor_of(frame(0, **wrong)) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        with pytest.raises(DeviceRejectedError) as caught:
            await blocks_from(driver, 1)
        await driver.close()
    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "a frame begins with b'EDGS', this with b'SSH-'"),
        (frame(2)[:100] + b"\x00" + frame(2)[101:], "the checksum is wrong"),
        (frame(2)[:-1] + frame(3), "the checksum is wrong"),
    ],
)
async def test_malformed_bytes_over_tcp_end_the_stream_and_give_no_samples(damage: bytes, said: str) -> None:
    async with sensor_of(frame(0) + frame(1) + damage) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        stream = driver.stream()
        assert [(await anext(stream)).samples[0, 0] for _ in range(2)] == [0, 100]
        with pytest.raises(TransientDriverError) as caught:
            await anext(stream)
        await driver.close()
    assert said in caught.value.message
    assert f"127.0.0.1:{sensor.port}" in caught.value.message


async def test_a_sensor_that_closes_is_transient_and_coming_back_is_a_seam() -> None:
    async with sensor_of(frame(0), closes=True) as sensor:
        driver = driver_of("tcp", sensor.port)
        await driver.open()
        with pytest.raises(TransientDriverError, match="closed the connection"):
            await blocks_from(driver, 2)
        await driver.close()
        await driver.open()
        (block,) = await blocks_from(driver, 1)
        await driver.close()
    assert block.block_index == 1
    assert block.gap_before is not None
    assert block.gap_before.detail == "the source was opened again"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class UdpSensor:
    driver: AccelerometerDriver
    port: int
    socket: socket.socket

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, ("127.0.0.1", self.port))


@pytest.fixture
async def udp() -> AsyncIterator[UdpSensor]:
    port = free_udp_port()
    driver = driver_of("udp", port, silent_after_s=0.5)
    await driver.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield UdpSensor(driver, port, sender)
    await driver.close()


async def test_datagrams_become_blocks_and_a_lost_one_is_a_seam(udp: UdpSensor) -> None:
    for i in (0, 1, 3):
        udp.send(frame(i))
    first, second, third = await blocks_from(udp.driver, 3)
    assert first.gap_before is None
    assert second.gap_before is None
    assert third.gap_before is not None
    assert third.gap_before.count == SAMPLES
    np.testing.assert_array_equal(third.samples[0], np.arange(300, 400))


async def test_a_datagram_that_comes_twice_or_late_is_passed_over(udp: UdpSensor) -> None:
    for i in (5, 6, 6, 4, 7):
        udp.send(frame(i))
    blocks = await blocks_from(udp.driver, 3)
    assert [int(block.samples[0, 0]) for block in blocks] == [500, 600, 700]
    assert {block.gap_before for block in blocks} == {None}


async def test_a_sensor_that_restarts_its_frame_count_is_a_seam(udp: UdpSensor) -> None:
    for i in (5, 6, 0, 1):
        udp.send(frame(i))
    _, _, third, fourth = await blocks_from(udp.driver, 4)
    assert third.gap_before is not None
    assert third.gap_before.detail == "the sensor restarted its frame count"
    assert fourth.gap_before is None


async def test_datagrams_that_are_no_frames_are_passed_over_and_named_when_nothing_else_comes(udp: UdpSensor) -> None:
    udp.send(frame(0))
    udp.send(b"hello")
    udp.send(frame(1))
    assert [block.gap_before for block in await blocks_from(udp.driver, 2)] == [None, None]
    udp.send(b"GET / HTTP/1.1\r\nHost: pump.example\r\n")
    with pytest.raises(TransientDriverError, match=r"silent for 0\.5 s; but 127.* sent 36 bytes that are no frame"):
        await blocks_from(udp.driver, 1)


async def test_a_second_sender_is_not_mixed_in(udp: UdpSensor) -> None:
    udp.send(frame(0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(frame(9), ("127.0.0.1", udp.port))
    udp.send(frame(1))
    blocks = await blocks_from(udp.driver, 2)
    assert [int(block.samples[0, 0]) for block in blocks] == [0, 100]


async def test_a_port_that_is_taken_is_transient_with_a_hint(udp: UdpSensor) -> None:
    other = driver_of("udp", udp.port)
    with pytest.raises(TransientDriverError, match="cannot listen") as caught:
        await other.open()
    await other.close()
    assert caught.value.hint
