"""The sound device driver, with PortAudio's side played by hand: flags, a full queue, a missing library."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.sound.sound_card import PortAudio, SoundCard
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError
from edge_agent.settings import ChannelSettings
from tests.support.places import REPOSITORY

RATE_HZ = 1000
BLOCK = 100
SETTLING_BLOCKS = 4


class HandPlayedPortAudio(PortAudio):
    """Opens nothing: the test calls the call-back as PortAudio's thread would."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.devices = [{"name": name, "max_input_channels": 2} for name in names]
        self.devices.append({"name": "HDMI output", "max_input_channels": 0})
        self.asked: dict[str, Any] = {}
        self.closed_total = 0

    def open_stream(
        self, arguments: Callable[[Any], dict[str, Any]], translation: Callable[..., DriverError]
    ) -> object:
        self.asked = arguments(SimpleNamespace(query_devices=lambda: self.devices))
        return object()

    def close_stream(self, stream: object) -> None:
        self.closed_total += 1

    def deliver(self, clock: FakeClock, value: float, *, overflow: bool = False) -> None:
        """One block of `value` in both channels, at its time."""
        clock.advance(BLOCK / RATE_HZ)
        samples = np.full((BLOCK, 2), value, dtype=np.float32)
        self.asked["callback"](samples, BLOCK, None, SimpleNamespace(input_overflow=overflow))
        samples[:] = np.nan  # PortAudio uses its buffer again

    def end(self) -> None:
        self.asked["finished_callback"]()


def card(portaudio: PortAudio, clock: FakeClock, *, device: str | None = "USB") -> SoundCard:
    channels = [ChannelSettings(point="x", scale=2.0), ChannelSettings(point="y", scale=-1.0)]
    return SoundCard(
        BlockSequence("mic", unit="FS", channels=channels), clock, device=device, sample_rate_hz=RATE_HZ, block_s=0.1,
        silent_after_s=0.2, portaudio=portaudio,
    )  # fmt: skip


async def opened(portaudio: HandPlayedPortAudio, clock: FakeClock) -> SoundCard:
    sound_card = card(portaudio, clock)
    await sound_card.open()
    for _ in range(SETTLING_BLOCKS):
        portaudio.deliver(clock, 9.0)
    return sound_card


async def blocks_until_lost(sound_card: SoundCard) -> tuple[list[SampleBlock], TransientDriverError]:
    blocks: list[SampleBlock] = []

    async def collect() -> None:
        async for block in sound_card.stream():
            blocks.append(block)  # noqa: PERF401  the blocks before the error count

    with pytest.raises(TransientDriverError) as caught:
        await asyncio.wait_for(collect(), timeout=10.0)
    await sound_card.close()
    return blocks, caught.value


async def test_samples_are_copied_and_scaled_and_the_settling_time_is_left_out() -> None:
    clock, portaudio = FakeClock(), HandPlayedPortAudio("USB Audio")
    sound_card = await opened(portaudio, clock)
    for value in (0.25, 0.5):
        portaudio.deliver(clock, value)
    portaudio.end()
    blocks, lost = await blocks_until_lost(sound_card)
    assert [block.samples[:, 0].tolist() for block in blocks] == [[0.5, -0.25], [1.0, -0.5]]
    assert "'USB' was unplugged or switched off" in lost.message
    assert portaudio.closed_total == 1


async def test_an_overflow_flag_is_a_seam_before_the_block_that_carries_it() -> None:
    clock, portaudio = FakeClock(), HandPlayedPortAudio("USB Audio")
    sound_card = await opened(portaudio, clock)
    for overflow in (False, True, False):
        portaudio.deliver(clock, 0.0, overflow=overflow)
    portaudio.end()
    blocks, _ = await blocks_until_lost(sound_card)
    causes = [block.gap_before and block.gap_before.cause for block in blocks]
    assert causes == [None, GapCause.OVERFLOW, None]


async def test_what_finds_the_queue_full_is_counted_in_a_seam() -> None:
    clock, portaudio = FakeClock(), HandPlayedPortAudio("USB Audio")
    sound_card = await opened(portaudio, clock)
    stream = sound_card.stream()
    for _ in range(60 - SETTLING_BLOCKS):  # 50 find room: 5 s
        portaudio.deliver(clock, 0.0)
    early = [await anext(stream) for _ in range(50 - SETTLING_BLOCKS)]
    portaudio.deliver(clock, 1.0)
    late = await anext(stream)
    await sound_card.close()
    assert {block.gap_before for block in early} == {None}
    assert late.gap_before is not None
    assert (late.gap_before.cause, late.gap_before.count) == (GapCause.QUEUE_FULL, 10 * BLOCK)
    assert late.gap_before.end_ns - late.gap_before.start_ns == pytest.approx(1_000_000_000, abs=2_000_000)


async def test_a_device_that_says_nothing_is_lost() -> None:
    clock, portaudio = FakeClock(), HandPlayedPortAudio("USB Audio")
    sound_card = await opened(portaudio, clock)
    portaudio.deliver(clock, 0.0)
    blocks, lost = await blocks_until_lost(sound_card)
    assert len(blocks) == 1
    assert "has been silent for 0.2 s" in lost.message


@pytest.mark.parametrize(
    ("device", "number"), [("USB", 1), ("usb audio", 1), ("Built-in", 0), ("USB Audio", 1), (None, None)]
)
async def test_a_device_is_chosen_by_a_part_of_its_name(device: str | None, number: int | None) -> None:
    portaudio = HandPlayedPortAudio("Built-in", "USB Audio")
    sound_card = card(portaudio, FakeClock(), device=device)
    await sound_card.open()
    await sound_card.close()
    assert portaudio.asked["device"] == number


async def test_a_name_that_fits_several_devices_is_rejected_unless_it_is_exact() -> None:
    portaudio = HandPlayedPortAudio("USB Audio", "USB Audio 2")
    with pytest.raises(DeviceRejectedError, match=r"several devices fit \(USB Audio, USB Audio 2\)"):
        await card(portaudio, FakeClock(), device="USB").open()
    await card(portaudio, FakeClock(), device="USB Audio").open()
    assert portaudio.asked["device"] == 0


async def test_an_output_is_not_a_microphone() -> None:
    with pytest.raises(TransientDriverError, match=r"'HDMI' is not there \(inputs: Built-in\)"):
        await card(HandPlayedPortAudio("Built-in"), FakeClock(), device="HDMI").open()


async def test_close_may_be_called_before_open_and_twice() -> None:
    sound_card = card(HandPlayedPortAudio("USB Audio"), FakeClock())
    await sound_card.close()
    await sound_card.open()
    await sound_card.close()
    await sound_card.close()


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    root = REPOSITORY
    path = environment.pop("PYTHONPATH", "")
    return subprocess.run(
        [sys.executable, "-c", program], cwd=root, env={"PYTHONPATH": f"{path}:{root}", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


OPEN_A_MICROPHONE = """
import asyncio
from edge_agent.core.clock import SystemClock
from edge_agent.drivers.registry import build_driver
from edge_agent.errors import TransientDriverError
from edge_agent.drivers.sound.settings import MicrophoneSettings
settings = {"name": "m", "asset": "a", "type": "microphone", "channels": [{"point": "x"}]}
try:
    asyncio.run(build_driver(MicrophoneSettings.model_validate(settings), SystemClock()).open())
except TransientDriverError as exc:
    print(exc.message, "|", exc.hint)
"""


def test_without_the_portaudio_library_the_message_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    done = run_python(OPEN_A_MICROPHONE, PYTHONPATH=str(tmp_path))
    expected = "sound devices cannot be used: PortAudio library not found | apt install libportaudio2\n"
    assert (done.stdout, done.stderr) == (expected, "")
