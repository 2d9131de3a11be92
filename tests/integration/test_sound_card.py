"""Sound devices, recorded from a real sound server: what is played into it comes out sample for sample."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import numpy as np
import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.base import Driver
from edge_agent.drivers.registry import build_driver
from edge_agent.drivers.sound.settings import MicrophoneSettings
from edge_agent.errors import DeviceRejectedError, TransientDriverError
from tests.peers.sound_server import RAMP, SoundServer, require_sound_server, sound_server

DEADLINE_S = 60.0
FULL_SCALE_16 = 32_768


@pytest.fixture
def serve(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SoundServer]]:
    """Starts a server and lets this process find it."""
    require_sound_server(request)
    with ExitStack() as stack:

        def start(*, rate_hz: int = 48_000, channels: int = 2) -> SoundServer:
            server = stack.enter_context(sound_server(tmp_path, rate_hz=rate_hz, channels=channels))
            for name in ("PULSE_SERVER", "PULSE_RUNTIME_PATH", "HOME"):
                monkeypatch.setenv(name, server.environment[name])
            return server

        yield start


def microphone(
    *, rate_hz: int = 48_000, channels: int = 2, device: str = "pulse", scale: float = FULL_SCALE_16
) -> Driver:
    points = [{"point": f"p{i}", "scale": scale} for i in range(channels)]
    place = {"name": "mic", "asset": "fan-1", "type": "microphone", "device": device}
    return build_driver(
        MicrophoneSettings.model_validate({**place, "sample_rate_hz": rate_hz, "channels": points}), SystemClock()
    )


def accelerometer() -> Driver:
    points = [{"point": "x", "scale": FULL_SCALE_16}, {"point": "y", "scale": 2 * FULL_SCALE_16}]
    place = {"name": "acc", "asset": "fan-1", "type": "accelerometer", "interface": "sound_card", "device": "pulse"}
    more = {"unit": "m/s2", "sample_rate_hz": 48_000, "channels": points, "block_s": 0.05, "silent_after_s": 1.0}
    return build_driver(AccelerometerSettings.model_validate({**place, **more}), SystemClock())


async def open_again(driver: Driver) -> None:
    """Until it succeeds: a device that hung may still be on its way out."""
    while True:
        try:
            await driver.open()
        except TransientDriverError:
            await asyncio.sleep(0.05)
        else:
            return


async def until_lost(stream: AsyncIterator) -> TransientDriverError:
    with pytest.raises(TransientDriverError) as caught:
        async for _ in stream:
            pass
    return caught.value


async def ramp_blocks(driver: Driver, seconds: float) -> list[SampleBlock]:
    """Blocks from the first one with the ramp in every sample on."""
    blocks: list[SampleBlock] = []
    async with aclosing(driver.stream()) as stream:
        async for block in stream:
            assert isinstance(block, SampleBlock)
            if blocks or np.count_nonzero(block.samples[0]) >= block.n_samples - 1:
                blocks.append(block)
            if sum(block.duration_s for block in blocks) >= seconds:
                break
    return blocks


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 1), (48_000, 2), (48_000, 8), (16_000, 2), (44_100, 4)])
async def test_every_sample_played_is_delivered_once_in_every_channel(
    serve: Callable[..., SoundServer], rate_hz: int, channels: int
) -> None:
    server = serve(rate_hz=rate_hz, channels=channels)
    driver = microphone(rate_hz=rate_hz, channels=channels)
    async with asyncio.timeout(DEADLINE_S):
        with server.playing_ramp(20):
            await driver.open()
            blocks = await ramp_blocks(driver, 3.0)
            await driver.close()
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    assert ((np.diff(samples[0]) % RAMP) == 1).all()
    assert (samples == samples[0]).all()
    assert samples.shape[0] == channels
    assert {block.gap_before for block in blocks} == {None}
    assert [block.block_index for block in blocks] == list(range(blocks[0].block_index, blocks[-1].block_index + 1))
    assert {(block.source, block.unit, block.sample_rate_hz) for block in blocks} == {("mic", "FS", rate_hz)}


async def test_stamps_follow_one_another_and_lie_in_the_past(serve: Callable[..., SoundServer]) -> None:
    server, clock = serve(), SystemClock()
    driver = microphone()
    async with asyncio.timeout(DEADLINE_S):
        with server.playing_ramp(20):
            begin_ns = clock.now_ns()
            await driver.open()
            blocks = await ramp_blocks(driver, 2.0)
            await driver.close()
    steps_ns = [after.start_ns - before.end_ns for before, after in itertools.pairwise(blocks)]
    assert max(map(abs, steps_ns)) <= 110_000  # 1000 ppm of a block of 0.1 s
    assert begin_ns < blocks[0].start_ns
    assert blocks[-1].end_ns < clock.now_ns()


async def test_an_accelerometer_on_a_sound_card_has_its_unit_its_scales_and_its_block_length(
    serve: Callable[..., SoundServer],
) -> None:
    server = serve()
    driver = accelerometer()
    async with asyncio.timeout(DEADLINE_S):
        with server.playing_ramp(20):
            await driver.open()
            blocks = await ramp_blocks(driver, 0.5)
            await driver.close()
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    np.testing.assert_array_equal(samples[1], 2 * samples[0])
    assert ((np.diff(samples[0]) % RAMP) == 1).all()
    assert {(block.source, block.unit, block.n_samples) for block in blocks} == {("acc", "m/s2", 2400)}


async def test_a_device_that_is_unplugged_is_lost_and_found_again_behind_a_seam(
    serve: Callable[..., SoundServer],
) -> None:
    server = serve()
    driver = microphone()
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        async with aclosing(driver.stream()) as stream:
            last = await anext(stream)
            server.unplug()
            lost = await until_lost(stream)
        await driver.close()
        with pytest.raises(TransientDriverError):
            await driver.open()
        server.plug_in()
        await open_again(driver)
        async with aclosing(driver.stream()) as stream:
            first = await anext(stream)
        await driver.close()
    assert "sound device 'pulse' was unplugged or switched off" in lost.message
    assert isinstance(last, SampleBlock)
    assert isinstance(first, SampleBlock)
    assert first.gap_before is not None
    assert first.gap_before.cause is GapCause.DISCONTINUITY
    assert first.start_ns > last.end_ns


async def test_a_hung_sound_server_is_a_lost_device_and_hangs_nobody_else(serve: Callable[..., SoundServer]) -> None:
    server = serve()
    driver = accelerometer()
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        async with aclosing(driver.stream()) as stream:
            await anext(stream)
            server.hang()
            lost = await until_lost(stream)
        await driver.close()
        with pytest.raises(TransientDriverError, match="the sound system is busy"):
            await driver.open()
        server.wake()
        await open_again(driver)
        async with aclosing(driver.stream()) as stream:
            first = await anext(stream)
        await driver.close()
    assert "has been silent for 1 s" in lost.message
    assert isinstance(first, SampleBlock)
    assert first.gap_before is not None
    assert first.gap_before.detail == "the source was opened again"


async def test_a_server_that_hangs_shorter_than_the_silence_limit_leaves_a_seam(
    serve: Callable[..., SoundServer],
) -> None:
    server, clock = serve(), SystemClock()
    driver = microphone()  # silent after 3 s
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        async with aclosing(driver.stream()) as stream:
            assert (await anext(stream)).gap_before is None
            server.hang()
            await clock.sleep(1.5)  # the hang itself; what follows waits for the seam
            server.wake()
            gap = await first_gap(stream)
        await driver.close()
    assert gap.cause is GapCause.DISCONTINUITY
    assert gap.end_ns - gap.start_ns > 1_000_000_000


async def first_gap(stream: AsyncIterator):
    async for block in stream:
        if block.gap_before is not None:
            return block.gap_before
    raise AssertionError("the stream ended")


async def test_a_device_that_is_not_there_is_transient_and_the_present_ones_are_named(
    serve: Callable[..., SoundServer],
) -> None:
    serve()
    driver = microphone(device="Digiducer 333D01")
    with pytest.raises(TransientDriverError, match=r"'Digiducer 333D01' is not there \(inputs: .*pulse") as caught:
        await driver.open()
    await driver.close()
    await driver.close()
    assert caught.value.hint == "plug it in, or correct it"


async def test_a_channel_count_that_the_device_does_not_have_is_rejected(serve: Callable[..., SoundServer]) -> None:
    serve()
    driver = microphone(channels=60)
    with pytest.raises(DeviceRejectedError, match=r"does not accept the number of channels: 48000 Hz and 60 channels"):
        await driver.open()
    await driver.close()


async def test_without_any_sound_server_opening_fails_and_does_not_hang(
    serve: Callable[..., SoundServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve()
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/nobody")
    driver = microphone()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(TransientDriverError):
            await driver.open()
        await driver.close()


async def test_cancellation_passes_while_samples_are_awaited_and_the_device_is_free_again(
    serve: Callable[..., SoundServer],
) -> None:
    server = serve()
    driver = microphone()
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        stream = driver.stream()
        await anext(stream)
        server.hang()
        reading = asyncio.create_task(until_lost(stream))
        await asyncio.sleep(0)
        reading.cancel()
        done, _ = await asyncio.wait({reading}, timeout=1.0)
        server.wake()
        await driver.close()
        await driver.close()
        await open_again(driver)
        await driver.close()
    assert done
    assert reading.cancelled()


async def test_two_sources_record_at_the_same_time(serve: Callable[..., SoundServer]) -> None:
    serve()
    first, second = microphone(), accelerometer()
    async with asyncio.timeout(DEADLINE_S):
        await first.open()
        await second.open()
        blocks = [await anext(driver.stream()) for driver in (first, second)]
        await first.close()
        await second.close()
    assert [block.source for block in blocks] == ["mic", "acc"]
