"""A formula in place of a sensor."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.clock import FakeClock, SystemClock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.synthetic.driver import SyntheticDriver, SyntheticSignal
from edge_agent.drivers.synthetic.settings import SyntheticSettings
from edge_agent.settings import ChannelSettings


def settings_of(**more) -> SyntheticSettings:
    channels = more.pop("channels", (ChannelSettings(point="de-x"),))
    return SyntheticSettings(name="pump", asset="pump-1", type="synthetic", channels=channels, **more)


async def first_blocks(driver: SyntheticDriver, count: int) -> list[SampleBlock]:
    await driver.open()
    blocks: list[SampleBlock] = []
    async with asyncio.timeout(10.0):
        async for item in driver.stream():
            assert isinstance(item, SampleBlock)
            blocks.append(item)
            if len(blocks) == count:
                break
    await driver.close()
    return blocks


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8), seed=st.integers(0, 2**32))
def test_the_signal_is_the_same_however_it_is_cut(sizes: list[int], seed: int) -> None:
    chosen = settings_of(seed=seed, impulse_hz=30.0, impulse_amplitude=1.0)
    pieces = SyntheticSignal(chosen)
    cut = np.concatenate([pieces.next(size) for size in sizes], axis=1)
    np.testing.assert_array_equal(cut, SyntheticSignal(chosen).next(sum(sizes)))


def test_another_seed_gives_other_noise_and_channels_differ_in_noise_alone() -> None:
    two = (ChannelSettings(point="a"), ChannelSettings(point="b"))
    signal = SyntheticSignal(settings_of(channels=two, seed=1)).next(2000)
    assert not np.array_equal(signal[0], signal[1])
    assert not np.array_equal(signal, SyntheticSignal(settings_of(channels=two, seed=2)).next(2000))
    quiet = SyntheticSignal(settings_of(channels=two, noise=0.0)).next(2000)
    np.testing.assert_array_equal(quiet[0], quiet[1])


def test_the_tone_has_its_frequency_and_amplitude_and_the_noise_its_deviation() -> None:
    rate_hz = 20_480
    tone = SyntheticSignal(settings_of(frequency_hz=100.0, amplitude=0.5, noise=0.0)).next(rate_hz)[0]
    spectrum = np.abs(np.fft.rfft(tone)) * 2 / rate_hz
    assert spectrum.argmax() == 100
    assert spectrum.max() == pytest.approx(0.5, rel=1e-5)
    noise = SyntheticSignal(settings_of(amplitude=0.0, noise=0.25)).next(50 * rate_hz)[0]
    assert noise.std() == pytest.approx(0.25, rel=0.01)


def test_impulses_come_at_their_rate_and_make_the_signal_impulsive() -> None:
    rate_hz, impulse_hz = 20_480, 32.0
    signal = SyntheticSignal(settings_of(amplitude=0.0, noise=0.0, impulse_hz=impulse_hz, impulse_amplitude=2.0)).next(
        rate_hz
    )[0]
    spectrum = np.abs(np.fft.rfft(np.abs(signal)))[1:500]
    assert spectrum.argmax() + 1 == impulse_hz
    assert np.mean(signal**4) / np.mean(signal**2) ** 2 > 10  # kurtosis; a sine has 1.5, noise 3
    assert 1.0 < np.abs(signal).max() <= 2.0


async def test_blocks_come_in_real_time_evenly_stamped_and_scaled() -> None:
    clock = FakeClock()
    chosen = settings_of(channels=(ChannelSettings(point="a", scale=2.0),), block_s=0.1, sample_rate_hz=1000)
    blocks = await first_blocks(SyntheticDriver(chosen, clock), 20)
    assert clock.monotonic_s() == pytest.approx(2.0)
    assert abs(blocks[-1].end_ns - clock.now_ns()) <= 1000
    assert all(block.start_ns == before.end_ns for before, block in itertools.pairwise(blocks))
    np.testing.assert_array_equal(
        np.concatenate([block.samples for block in blocks], axis=1), 2 * SyntheticSignal(chosen).next(2000)
    )


async def test_opened_again_the_samples_begin_again_behind_a_seam() -> None:
    driver = SyntheticDriver(settings_of(), FakeClock())
    before, after = await first_blocks(driver, 3), await first_blocks(driver, 3)
    np.testing.assert_array_equal(before[0].samples, after[0].samples)
    assert after[0].gap_before is not None
    assert after[0].gap_before.cause is GapCause.DISCONTINUITY
    assert [block.block_index for block in before + after] == list(range(6))
    assert before[0].gap_before is None


async def test_cancellation_passes_while_a_block_is_awaited() -> None:
    driver = SyntheticDriver(settings_of(block_s=5), SystemClock())
    reading = asyncio.create_task(first_blocks(driver, 1))
    await asyncio.sleep(0)
    reading.cancel()
    done, _ = await asyncio.wait({reading}, timeout=1.0)
    assert done
    assert reading.cancelled()
    await driver.close()
    await driver.close()
