"""Recordings played as if they were being taken now."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_agent.core.clock import FakeClock, SystemClock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.base import Item
from edge_agent.drivers.replay.driver import ReplayDriver
from edge_agent.drivers.replay.settings import ReplaySettings
from edge_agent.dsp.windower import Windower
from edge_agent.errors import TransientDriverError
from edge_agent.settings import ChannelSettings

RATE_HZ = 1000
DEADLINE_S = 20.0


def wav(path: Path, first: int, count: int, *, channels: int = 1, rate_hz: int = RATE_HZ) -> Path:
    """A ramp from `first` on, in steps of 1/32768, channel c shifted by c."""
    ramp = (np.arange(first, first + count)[:, None] + np.arange(channels)).astype(np.int16)
    soundfile.write(path, ramp, rate_hz, subtype="PCM_16")
    return path


def driver_of(
    path: Path, clock: FakeClock | SystemClock, *, scales: tuple[float, ...] = (32768.0,), **more
) -> ReplayDriver:
    channels = tuple(ChannelSettings(point=f"p{i}", scale=scale) for i, scale in enumerate(scales))
    return ReplayDriver(
        ReplaySettings(
            name="fan", asset="fan-1", type="replay", stands_for="microphone", path=path, channels=channels, **more
        ),
        clock,
    )


async def played(driver: ReplayDriver, *, most: int = 10_000) -> list[Item]:
    items: list[Item] = []
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        async for item in driver.stream():
            items.append(item)
            if len(items) == most:
                break
        await driver.close()
    return items


def blocks_of(items: list[Item]) -> list[SampleBlock]:
    return [item for item in items if isinstance(item, SampleBlock)]


@pytest.mark.parametrize("pace", [0.0, 0.5, 1.0, 10.0])
async def test_every_sample_is_played_once_and_in_order_at_any_pace(tmp_path: Path, pace: float) -> None:
    path = wav(tmp_path / "a.wav", 0, 2345)
    blocks = blocks_of(await played(driver_of(path, FakeClock(), pace=pace)))
    np.testing.assert_array_equal(np.concatenate([b.samples[0] for b in blocks]), np.arange(2345))
    assert [b.block_index for b in blocks] == list(range(len(blocks)))
    assert {b.gap_before for b in blocks} == {None}
    assert all(0.0 < b.duration_s <= 1.0 for b in blocks)


async def test_at_pace_one_a_block_is_delivered_when_its_last_sample_is_due(tmp_path: Path) -> None:
    clock = FakeClock()
    driver = driver_of(wav(tmp_path / "a.wav", 0, 2345), clock)
    async for block in driver.stream():
        assert isinstance(block, SampleBlock)
        assert abs(block.end_ns - clock.now_ns()) <= 1_000


@pytest.mark.parametrize(("pace", "seconds"), [(0.0, 0.0), (0.5, 4.0), (1.0, 2.0), (10.0, 0.2)])
async def test_the_pace_sets_how_long_playing_takes(tmp_path: Path, pace: float, seconds: float) -> None:
    clock = FakeClock()
    await played(driver_of(wav(tmp_path / "a.wav", 0, 2000), clock, pace=pace))
    assert clock.monotonic_s() == pytest.approx(seconds, abs=1e-6)


async def test_inside_a_recording_stamps_count_samples(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", 0, 30_000, rate_hz=44_100)
    blocks = blocks_of(await played(driver_of(path, FakeClock(), pace=3.0)))
    start_ns, sent = blocks[0].start_ns, 0
    for block in blocks:
        assert abs(block.start_ns - (start_ns + round(sent * 1e9 / 44_100))) <= 1
        sent += block.n_samples


@pytest.mark.parametrize("pace", [0.0, 0.7, 1.0, 50.0])
async def test_stamps_never_overlap_and_window_ends_strictly_increase(tmp_path: Path, pace: float) -> None:
    for i in range(5):
        wav(tmp_path / f"{i}.wav", 0, 700 + 33 * i, rate_hz=44_100)
    blocks = blocks_of(await played(driver_of(tmp_path, FakeClock(), pace=pace, repeat=True), most=60))
    starts, ends = [b.start_ns for b in blocks], [b.end_ns for b in blocks]
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False))
    windower = Windower("fan", sample_rate_hz=44_100, window_samples=100, hop_samples=50, n_channels=1)
    windows = [item for block in blocks for item in windower.push(block) if not isinstance(item, Gap)]
    window_ends = np.concatenate([batch.end_ns for batch in windows])
    assert len(window_ends) > 500
    assert (np.diff(window_ends) > 0).all()


async def test_recordings_are_played_in_name_order_with_a_seam_between_and_at_the_repeat(tmp_path: Path) -> None:
    for name, first in (("b.wav", 2000), ("a.wav", 1000), ("c.wav", 3000)):
        wav(tmp_path / name, first, 50)
    blocks = blocks_of(await played(driver_of(tmp_path, FakeClock(), repeat=True), most=5))
    assert [int(b.samples[0, 0]) for b in blocks] == [1000, 2000, 3000, 1000, 2000]
    assert blocks[0].gap_before is None
    for before, block in itertools.pairwise(blocks):
        assert block.gap_before is not None
        assert block.gap_before.cause is GapCause.END_OF_RECORDING
        assert (block.gap_before.start_ns, block.gap_before.end_ns) == (before.end_ns, block.start_ns)


async def test_without_repeat_the_stream_ends_after_the_last_recording(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", 0, 50)
    assert len(await played(driver_of(tmp_path, FakeClock()))) == 1


async def test_an_unreadable_recording_is_a_gap_with_its_reason_and_the_next_is_played(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", 1, 50)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:60])
    wav(tmp_path / "c.wav", 3, 50)
    first, gap, last = await played(driver_of(tmp_path, FakeClock()))
    assert isinstance(gap, Gap)
    assert gap.cause is GapCause.INVALID_SAMPLES
    assert "b.wav is cut off: its header promises 50 samples per channel, 8 are there" in gap.detail
    assert isinstance(first, SampleBlock)
    assert isinstance(last, SampleBlock)
    assert last.gap_before is not None
    assert last.samples[0, 0] == 3


@pytest.mark.parametrize(
    ("scales", "rate_hz", "reason"),
    [
        ((1.0, 1.0, 1.0), None, "a.wav has 2 channels, 3 are configured"),
        ((1.0, 1.0), 48_000.0, "a.wav was recorded at 1000 Hz, 48000 Hz is configured"),
    ],
)
async def test_a_recording_that_does_not_fit_the_settings_is_a_gap_that_names_both(
    tmp_path: Path, scales: tuple[float, ...], rate_hz: float | None, reason: str
) -> None:
    path = wav(tmp_path / "a.wav", 0, 50, channels=2)
    (gap,) = await played(driver_of(path, FakeClock(), scales=scales, sample_rate_hz=rate_hz))
    assert isinstance(gap, Gap)
    assert reason in gap.detail


async def test_a_text_recording_without_a_configured_rate_is_a_gap_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n2\n")
    (gap,) = await played(driver_of(tmp_path, FakeClock()))
    assert isinstance(gap, Gap)
    assert "does not say its sampling rate (--rate says the rate it was recorded at" in gap.detail


async def test_each_channel_has_its_scale_and_surplus_channels_are_left_out(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", 5, 20, channels=3)
    (block,) = blocks_of(await played(driver_of(path, FakeClock(), scales=(32768.0, -65536.0), unit="m/s2")))
    np.testing.assert_array_equal(block.samples, [np.arange(5, 25), -2 * np.arange(6, 26)])
    assert block.unit == "m/s2"


async def test_missing_samples_in_a_file_stay_not_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\nnan\n3\n")
    (block,) = blocks_of(await played(driver_of(tmp_path, FakeClock(), scales=(2.0,), sample_rate_hz=100)))
    np.testing.assert_array_equal(block.samples, np.float32([[2, np.nan, 6]]))


@pytest.mark.parametrize("name", ["absent", "."])
async def test_nothing_to_play_at_open_is_transient(tmp_path: Path, name: str) -> None:
    driver = driver_of(tmp_path / name, FakeClock())
    with pytest.raises(TransientDriverError) as caught:
        await driver.open()
    await driver.close()
    await driver.close()
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


async def test_a_repeated_folder_in_which_nothing_can_be_played_does_not_spin(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    driver = driver_of(tmp_path, FakeClock(), repeat=True, pace=0)
    stream = driver.stream()
    assert isinstance(await anext(stream), Gap)
    with pytest.raises(TransientDriverError, match="none of 1 recordings could be played"):
        await anext(stream)


async def test_playing_again_goes_on_counting_blocks_and_never_goes_back_in_time(tmp_path: Path) -> None:
    clock = FakeClock()
    driver = driver_of(wav(tmp_path / "a.wav", 0, 500), clock, pace=100)
    before = blocks_of(await played(driver))
    after = blocks_of(await played(driver))
    assert after[0].block_index == before[-1].block_index + 1
    assert after[0].start_ns >= before[-1].end_ns
    assert after[0].gap_before is not None


async def test_cancellation_passes_while_a_block_is_awaited(tmp_path: Path) -> None:
    driver = driver_of(wav(tmp_path / "a.wav", 0, 30_000), SystemClock(), pace=0.001)
    playing = asyncio.create_task(played(driver))
    await asyncio.sleep(0)
    playing.cancel()
    done, _ = await asyncio.wait({playing}, timeout=1.0)
    assert done
    assert playing.cancelled()


async def test_samples_are_played_in_the_sources_unit_and_a_hole_in_the_times_is_a_gap(tmp_path: Path) -> None:
    lines = [f"{i / RATE_HZ + (5 if i >= 1200 else 0):.4f},{i % 7 * 9.80665}" for i in range(2000)]
    (tmp_path / "a.csv").write_text("Time (s),a [m/s2]\n" + "\n".join(lines) + "\n")
    blocks = blocks_of(await played(driver_of(tmp_path, FakeClock(), scales=(1.0,), pace=0.0)))
    np.testing.assert_allclose(np.concatenate([b.samples[0] for b in blocks]), np.arange(2000) % 7, rtol=1e-6)
    gaps = [(block.gap_before.cause, block.n_samples) for block in blocks if block.gap_before]
    assert gaps == [(GapCause.DISCONTINUITY, 800)]


async def test_another_unit_is_a_gap_with_the_remedy_and_the_remedy_works(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("T [degC]\n" + "20.5\n21.5\n" * 50)
    (gap,) = await played(driver_of(tmp_path, FakeClock(), scales=(1.0,), sample_rate_hz=RATE_HZ))
    assert "T [degC] is in degC, g is wanted" in gap.detail
    assert "`recorded_unit`" in gap.detail
    (block,) = blocks_of(
        await played(
            driver_of(tmp_path, FakeClock(), scales=(1.0,), pace=0.0, sample_rate_hz=RATE_HZ, recorded_unit="g")
        )
    )
    assert block.samples[0, 0] == 20.5
