"""How many samples really come in a second."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.drivers.waveform.rate_meter import RateMeter
from edge_agent.drivers.waveform.sample_clock import SampleClock

NOMINAL_HZ = 400.0
BLOCK = 40


@pytest.mark.parametrize("true_hz", [400.0, 400.02, 380.0, 431.7])
def test_the_rate_is_found_behind_jitter_of_the_arrivals(true_hz: float) -> None:
    meter, random = RateMeter(NOMINAL_HZ), np.random.default_rng(3)
    for n, late_s in enumerate(random.exponential(0.004, 1200)):
        meter.add(BLOCK, arrived_s=(n + 1) * BLOCK / true_hz + late_s)
    assert meter.rate_hz == pytest.approx(true_hz, rel=3e-5)


def test_nobody_is_shown_a_rate_that_was_measured_for_a_moment() -> None:
    meter = RateMeter(NOMINAL_HZ)
    for n in range(20):
        meter.add(BLOCK, arrived_s=(n + 1) * 0.1)
    assert meter.rate_hz == pytest.approx(400.0)
    assert meter.sure_rate_hz is None
    for n in range(20, 130):
        meter.add(BLOCK, arrived_s=(n + 1) * 0.1)
    assert meter.sure_rate_hz == pytest.approx(400.0)


def test_a_restart_keeps_the_estimate_and_counts_no_hole() -> None:
    meter = RateMeter(NOMINAL_HZ)
    for n in range(50):
        meter.add(BLOCK, arrived_s=n * 0.1)
    meter.restart()
    for n in range(50):
        meter.add(BLOCK, arrived_s=60.0 + n * 0.1)
    assert meter.rate_hz == pytest.approx(400.0)


@pytest.mark.parametrize("true_hz", [372.0, 400.0, 428.0])
def test_a_chip_whose_rate_is_off_by_seven_per_cent_loses_nothing_and_is_stamped_as_it_arrives(true_hz: float) -> None:
    clock, meter = FakeClock(), RateMeter(NOMINAL_HZ)
    while meter.rate_hz is None:
        clock.advance(BLOCK / true_hz)
        meter.add(BLOCK, arrived_s=clock.monotonic_s())
    sample_clock = SampleClock(clock, sample_rate_hz=meter.rate_hz, follows=meter)
    for _ in range(600):
        clock.advance(BLOCK / true_hz)
        stamp = sample_clock.stamp(BLOCK, arrived_s=clock.monotonic_s())
        assert stamp.seam is None
        assert abs(stamp.start_ns + BLOCK / true_hz * 1e9 - clock.now_ns()) < 2_000_000


def test_a_rate_that_is_known_holds_until_arrivals_are_surer() -> None:
    meter, random = RateMeter(NOMINAL_HZ, known_hz=410.0), np.random.default_rng(9)
    for n in range(90):
        meter.add(BLOCK, arrived_s=(n + 1) * BLOCK / 412.0 + random.uniform(0, 0.2))
    assert meter.rate_hz == 410.0
    for n in range(90, 900):
        meter.add(BLOCK, arrived_s=(n + 1) * BLOCK / 412.0 + random.uniform(0, 0.2))
    assert meter.rate_hz == pytest.approx(412.0, rel=1e-3)
