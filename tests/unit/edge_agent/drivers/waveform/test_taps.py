"""A tap names the channel it was given to."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.drivers.waveform.taps import Tap, TapDetector

RATE_HZ = 8_000


def signal(seconds: float, *taps: tuple[float, int, float], cross: float = 0.1, noise: float = 0.01) -> np.ndarray:
    """Three channels with gravity on the last; a tap is a ringing of 500 Hz, `cross` of it in the other channels."""
    n = round(seconds * RATE_HZ)
    out = np.random.default_rng(4).normal(0, noise, (3, n))
    out[2] += 1.0
    for at_s, channel, peak in taps:
        since = np.arange(n) / RATE_HZ - at_s
        ring = np.where(since >= 0, peak * np.exp(-since * 60) * np.sin(2 * np.pi * 500 * since), 0)
        for each in range(3):
            out[each] += ring * (1.0 if each == channel else cross)
    return out


def detected(samples: np.ndarray, *, step: int = 777) -> list[Tap]:
    detector, taps = TapDetector(floor=1e-3), []
    for start in range(0, samples.shape[1], step):
        part = read_only(samples[:, start : start + step].astype(np.float32))
        taps += detector.take(SampleBlock("s", 0, 0, RATE_HZ, "g", part))
    return taps


def test_each_tap_is_found_once_with_its_channel_and_its_time() -> None:
    taps = detected(signal(6, (1.5, 1, 2.0), (3.0, 0, 1.0), (4.5, 2, 4.0)))
    assert [tap.channel for tap in taps] == [1, 0, 2]
    assert [tap.at_s for tap in taps] == pytest.approx([1.5, 3.0, 4.5], abs=0.02)
    assert all(tap.is_clear for tap in taps)
    assert taps[0].lead_db == pytest.approx(20, abs=2)


def test_a_tap_that_all_channels_feel_alike_names_nobody() -> None:
    (tap,) = detected(signal(3, (1.5, 1, 2.0), cross=0.9))
    assert not tap.is_clear


def test_noise_a_step_of_the_mean_and_a_dead_channel_are_no_taps() -> None:
    assert detected(signal(10)) == []
    assert detected(signal(4, noise=0.0)) == []


def test_one_channel_is_always_the_one() -> None:
    (tap,) = detected(signal(3, (1.5, 0, 2.0))[:1])
    assert tap.is_clear
    assert tap.channel == 0


def test_a_tap_before_the_detector_knows_the_noise_names_nobody_afterwards() -> None:
    for early_s in (0.0, 0.05, 0.15):
        taps = detected(signal(4, (early_s, 1, 50.0), (2.5, 0, 1.0)))
        assert [tap.channel for tap in taps if tap.at_s > 0.6] == [0]
        assert {tap.channel for tap in taps} <= {0, 1}


def test_a_channel_that_always_vibrates_is_not_taken_for_the_one_that_was_tapped() -> None:
    samples = signal(4, (2.5, 1, 0.8), cross=0.0)
    samples[0] += np.sin(2 * np.pi * 50 * np.arange(samples.shape[1]) / RATE_HZ)
    (tap,) = detected(samples)
    assert tap.channel == 1
    assert tap.is_clear
