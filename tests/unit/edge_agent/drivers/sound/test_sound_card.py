"""The sound device driver, with PortAudio's side played by hand: flags, a full queue, a missing library."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.sound.calibration import CalibrationRule
from edge_agent.drivers.sound.settings import MicrophoneSettings
from edge_agent.drivers.sound.sound_card import SoundCard
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.errors import DeviceRejectedError, TransientDriverError
from tests.support.hand_played_sound import HandPlayedSound
from tests.support.places import REPOSITORY

RATE_HZ = 1000
BLOCK = 100
SETTLING_BLOCKS = 4
TWO_CHANNELS = ({"point": "x", "scale": 2.0}, {"point": "y", "scale": -1.0})


def site(*channels: dict[str, Any], **settings: Any) -> MicrophoneSettings:
    place = {"type": "microphone", "name": "mic", "asset": "fan-1", "sample_rate_hz": RATE_HZ}
    return MicrophoneSettings.model_validate({**place, "channels": channels or TWO_CHANNELS, **settings})


SITE = site()


def card(
    sound: HandPlayedSound, clock: FakeClock, *, device: str | int | None = "USB", given: MicrophoneSettings = SITE
) -> SoundCard:
    return SoundCard(
        BlockSequence("mic", unit="FS", channels=given.channels), clock, device=device,
        sample_rate_hz=given.sample_rate_hz, block_s=0.1, silent_after_s=0.2,
        calibration=CalibrationRule(given.channels, "Pa", given.full_scale_v), portaudio=sound.portaudio,
    )  # fmt: skip


async def opened(sound: HandPlayedSound, clock: FakeClock) -> SoundCard:
    sound_card = card(sound, clock)
    await sound_card.open()
    for _ in range(SETTLING_BLOCKS):
        sound.deliver(clock, 9.0, 9.0)
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
    clock, sound = FakeClock(), HandPlayedSound(["USB Audio"])
    sound_card = await opened(sound, clock)
    for value in (0.25, 0.5):
        sound.deliver(clock, value, value)
    sound.end()
    blocks, lost = await blocks_until_lost(sound_card)
    assert [block.samples[:, 0].tolist() for block in blocks] == [[0.5, -0.25], [1.0, -0.5]]
    assert "'USB' was unplugged or switched off" in lost.message
    assert sound.newest.is_closed


async def test_an_overflow_flag_is_a_seam_before_the_block_that_carries_it() -> None:
    clock, sound = FakeClock(), HandPlayedSound(["USB Audio"])
    sound_card = await opened(sound, clock)
    for overflow in (False, True, False):
        sound.deliver(clock, 0.0, 0.0, overflow=overflow)
    sound.end()
    blocks, _ = await blocks_until_lost(sound_card)
    causes = [block.gap_before and block.gap_before.cause for block in blocks]
    assert causes == [None, GapCause.OVERFLOW, None]


async def test_what_finds_the_queue_full_is_counted_in_a_seam() -> None:
    clock, sound = FakeClock(), HandPlayedSound(["USB Audio"])
    sound_card = await opened(sound, clock)
    stream = sound_card.stream()
    for _ in range(60 - SETTLING_BLOCKS):  # 50 find room: 5 s
        sound.deliver(clock, 0.0, 0.0)
    early = [await anext(stream) for _ in range(50 - SETTLING_BLOCKS)]
    sound.deliver(clock, 1.0, 1.0)
    late = await anext(stream)
    await sound_card.close()
    assert {block.gap_before for block in early} == {None}
    assert late.gap_before is not None
    assert (late.gap_before.cause, late.gap_before.count) == (GapCause.QUEUE_FULL, 10 * BLOCK)
    assert late.gap_before.end_ns - late.gap_before.start_ns == pytest.approx(1_000_000_000, abs=2_000_000)


async def test_a_device_that_says_nothing_is_lost() -> None:
    clock, sound = FakeClock(), HandPlayedSound(["USB Audio"])
    sound_card = await opened(sound, clock)
    sound.deliver(clock, 0.0, 0.0)
    blocks, lost = await blocks_until_lost(sound_card)
    assert len(blocks) == 1
    assert "has been silent for 0.2 s" in lost.message


@pytest.mark.parametrize(
    ("device", "number"), [("USB", 1), ("usb audio", 1), ("Built-in", 0), ("USB Audio", 1), (None, 0)]
)
async def test_a_device_is_chosen_by_a_part_of_its_name(device: str | None, number: int | None) -> None:
    sound = HandPlayedSound(["Built-in", "USB Audio"])
    sound_card = card(sound, FakeClock(), device=device)
    await sound_card.open()
    await sound_card.close()
    assert sound.newest.asked["device"] == number


async def test_a_name_that_fits_several_devices_is_rejected_unless_it_is_exact() -> None:
    sound = HandPlayedSound(["USB Audio", "USB Audio 2"])
    with pytest.raises(DeviceRejectedError, match=r"several devices fit \(USB Audio, USB Audio 2\)"):
        await card(sound, FakeClock(), device="USB").open()
    await card(sound, FakeClock(), device="USB Audio").open()
    assert sound.newest.asked["device"] == 0


async def test_an_output_is_not_a_microphone() -> None:
    with pytest.raises(TransientDriverError, match=r"'HDMI' is not there \(inputs: Built-in\)"):
        await card(HandPlayedSound(["Built-in"]), FakeClock(), device="HDMI").open()


async def test_a_device_that_was_asked_for_by_number_is_found_by_its_name_under_another_number() -> None:
    clock, sound = FakeClock(), HandPlayedSound(["Built-in", "Mic A: USB (hw:1,0)"])
    sound_card = card(sound, clock, device=1)
    await sound_card.open()
    await sound_card.close()
    sound.names = ["Mic B: USB (hw:1,0)", "Other", "Mic A: USB (hw:2,0)"]
    await sound_card.open()
    await sound_card.close()
    assert sound.newest.asked["device"] == 2
    sound.names = ["Built-in", "Mic B: USB (hw:1,0)"]
    with pytest.raises(TransientDriverError, match=r"device 1 is not there \(inputs: .*; it was 'Mic A: USB"):
        await sound_card.open()


async def test_another_device_that_has_become_the_default_is_not_taken_for_the_one_before() -> None:
    sound = HandPlayedSound(["Mic A: USB (hw:1,0)", "Built-in"])
    sound_card = card(sound, FakeClock(), device=None)
    await sound_card.open()
    await sound_card.close()
    sound.names = ["Built-in"]
    with pytest.raises(TransientDriverError, match=r"is not there \(inputs: Built-in\); it was 'Mic A: USB"):
        await sound_card.open()
    sound.names = ["Built-in", "Mic A: USB (hw:3,0)"]
    await sound_card.open()
    await sound_card.close()
    assert sound.newest.asked["device"] == 1


async def test_a_name_with_the_cards_number_fits_the_same_device_under_another_one() -> None:
    sound = HandPlayedSound(["Built-in", "Mic A: USB (hw:2,0)"])
    sound_card = card(sound, FakeClock(), device="Mic A: USB (hw:1,0)")
    await sound_card.open()
    await sound_card.close()
    assert sound.newest.asked["device"] == 1


async def test_a_rate_that_the_device_does_not_have_is_answered_with_those_it_has() -> None:
    sound = HandPlayedSound(["USB Audio"], rates=(44_100, 48_000))
    with pytest.raises(DeviceRejectedError, match=r"the sampling rate: 1000 Hz .*; it does 44100, 48000$"):
        await card(sound, FakeClock()).open()


async def test_chosen_channels_of_the_device_are_recorded_in_the_order_of_the_settings() -> None:
    clock, sound = FakeClock(), HandPlayedSound(["USB Audio"], channels=4)
    settings = site({"point": "x", "device_channel": 3}, {"point": "y", "device_channel": 1, "scale": 10.0})
    sound_card = card(sound, clock, given=settings)
    await sound_card.open()
    for _ in range(SETTLING_BLOCKS + 1):
        sound.deliver(clock, 0.1, 0.2, 0.3)
    sound.end()
    blocks, _ = await blocks_until_lost(sound_card)
    assert sound.newest.asked["channels"] == 3
    assert blocks[0].samples[:, 0].tolist() == pytest.approx([0.3, 1.0])
    shown = sound_card.report(settings).figures["scales"]
    assert [(each["point"], each["device_channel"], each["factor"]) for each in shown] == [
        ("x", 3, 1.0),
        ("y", 1, 10.0),
    ]


async def test_a_capsules_sensitivity_makes_pascals_and_status_says_where_the_scale_is_from() -> None:
    clock, sound = FakeClock(), HandPlayedSound(["USB Audio"])
    settings = site(
        {"point": "x", "sensitivity_mv_per_pa": 50.0}, {"point": "y"}, full_scale_v=2.0, calibration_due="2023-11-01"
    )
    sound_card = card(sound, clock, given=settings)
    await sound_card.open()
    for _ in range(SETTLING_BLOCKS + 1):
        sound.deliver(clock, 0.5, 0.5)
    sound.end()
    blocks, _ = await blocks_until_lost(sound_card)
    report = sound_card.report(settings)
    assert blocks[0].samples[:, 0].tolist() == pytest.approx([20.0, 0.5])
    assert [(each["factor"], each["origin"]) for each in report.figures["scales"]] == [
        (40.0, "settings"),
        (1.0, "scale"),
    ]
    assert settings.calibration_due == date(2023, 11, 1)
    assert [problem.what for problem in report.problems] == ["its calibration was due on 2023-11-01"]


async def test_an_overflow_tells_how_many_samples_the_clock_misses() -> None:
    clock, sound = FakeClock(), HandPlayedSound(["USB Audio"])
    sound_card = await opened(sound, clock)
    sound.deliver(clock, 0.0, 0.0)
    clock.advance(0.3)
    sound.deliver(clock, 0.0, 0.0, overflow=True)
    sound.end()
    blocks, _ = await blocks_until_lost(sound_card)
    gap = blocks[1].gap_before
    assert gap is not None
    assert gap.cause is GapCause.OVERFLOW
    assert gap.count == pytest.approx(300, abs=3)
    figures = sound_card.report(site()).figures
    assert (figures["overflows_total"], figures["missing_samples_total"]) == (1, gap.count)


async def test_close_may_be_called_before_open_and_twice() -> None:
    sound_card = card(HandPlayedSound(["USB Audio"]), FakeClock())
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


async def test_one_of_two_alike_that_was_asked_for_by_number_is_opened_again() -> None:
    sound = HandPlayedSound(["Mic (hw:1,0)", "Mic (hw:2,0)"])
    sound_card = card(sound, FakeClock(), device=1)
    for _ in range(2):
        await sound_card.open()
        await sound_card.close()
        assert sound.newest.asked["device"] == 1
