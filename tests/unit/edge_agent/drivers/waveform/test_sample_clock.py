"""When samples were taken, and whether some never came."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.drivers.waveform.sample_clock import SampleClock, Stamp

RATE_HZ = 10_000.0
BLOCK = 1000


def arrive(
    sample_clock: SampleClock, clock: FakeClock, *, after_s: float = BLOCK / RATE_HZ, late_s: float = 0.0
) -> Stamp:
    clock.advance(after_s)
    return sample_clock.stamp(BLOCK, arrived_s=clock.monotonic_s() + late_s)


def test_even_arrivals_give_even_stamps_that_end_at_the_arrival() -> None:
    clock = FakeClock()
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    for _ in range(100):
        stamp = arrive(sample_clock, clock)
        assert stamp.seam is None
        assert abs(stamp.start_ns + 100_000_000 - clock.now_ns()) < 2_000


def test_jitter_of_arrivals_does_not_reach_the_stamps() -> None:
    clock, random = FakeClock(), np.random.default_rng(7)
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    for late_s in random.uniform(0, 0.09, 10):
        clock.advance(0.1)
        sample_clock.settle(BLOCK, arrived_s=clock.monotonic_s() + late_s)
    stamps = [arrive(sample_clock, clock, late_s=late_s) for late_s in random.uniform(0, 0.09, 3000)]
    assert {stamp.seam for stamp in stamps} == {None}
    steps_ns = np.diff([stamp.start_ns for stamp in stamps])
    assert np.abs(steps_ns - 100_000_000).max() < 150_000
    assert abs(stamps[-1].start_ns + 100_000_000 - clock.now_ns()) < 20_000_000


@pytest.mark.parametrize("ppm", [-80, -20, 50, 80])
def test_a_crystal_that_is_off_is_followed_without_a_seam(ppm: int) -> None:
    clock = FakeClock()
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    for _ in range(30_000):  # 50 minutes: uncorrected, 80 ppm would be 240 ms
        stamp = arrive(sample_clock, clock, after_s=0.1 * (1 + ppm * 1e-6))
        assert stamp.seam is None
    assert abs(stamp.start_ns + 100_000_000 - clock.now_ns()) < 1_000_000


def test_a_late_call_back_that_is_made_up_for_is_no_seam() -> None:
    clock = FakeClock()
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    for _ in range(20):
        arrive(sample_clock, clock)
    late = [arrive(sample_clock, clock, after_s=0.5)] + [arrive(sample_clock, clock, after_s=0.0) for _ in range(4)]
    rest = [arrive(sample_clock, clock) for _ in range(40)]
    assert {stamp.seam for stamp in late + rest} == {None}


def test_samples_that_never_came_are_found_by_the_clock_and_counted() -> None:
    clock = FakeClock()
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    for _ in range(20):
        arrive(sample_clock, clock)
    stamps = [arrive(sample_clock, clock, after_s=0.4)] + [arrive(sample_clock, clock) for _ in range(40)]
    seams = [stamp for stamp in stamps if stamp.seam]
    assert len(seams) == 1
    assert seams[0].lost == pytest.approx(3000, abs=20)
    assert abs(stamps[-1].start_ns + 100_000_000 - clock.now_ns()) < 5_000_000


def test_after_a_silence_nothing_is_taken_on_trust() -> None:
    clock = FakeClock()
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    arrive(sample_clock, clock)
    stamp = arrive(sample_clock, clock, after_s=2.1)
    assert stamp == Stamp(clock.now_ns() - 100_000_000, "no samples came for 2.0 s", None)


@pytest.mark.parametrize("step_s", [-3600.0, -0.2, 5.0])
def test_a_wall_clock_that_was_set_is_followed_at_once_and_is_a_seam(step_s: float) -> None:
    clock = FakeClock()
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    arrive(sample_clock, clock)
    clock.step_wall(step_s)
    stamp = arrive(sample_clock, clock)
    assert stamp.seam == f"the wall clock was set by {step_s:+.1f} s"
    assert abs(stamp.start_ns + 100_000_000 - clock.now_ns()) < 2_000
    assert arrive(sample_clock, clock).seam is None


def test_a_seam_that_the_caller_knows_of_has_its_missing_samples_counted_by_the_clock() -> None:
    clock = FakeClock()
    sample_clock = SampleClock(clock, sample_rate_hz=RATE_HZ)
    for _ in range(20):
        arrive(sample_clock, clock)
    clock.advance(0.3)
    stamp = sample_clock.stamp(BLOCK, arrived_s=clock.monotonic_s(), is_seam=True)
    assert stamp.seam is None
    assert stamp.lost == pytest.approx(2 * BLOCK, abs=2)
