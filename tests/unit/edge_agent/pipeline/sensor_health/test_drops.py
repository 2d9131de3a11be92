"""Holes in the samples of a source."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.health import Ne107
from edge_agent.pipeline.sensor_health.drops import DropWatch
from tests.support.signals import START_NS, blocks, noise, signal_health


def test_one_hole_is_a_hiccup_and_many_in_a_minute_are_a_state() -> None:
    watch = DropWatch()
    stream = list(blocks([noise(3)]))
    for block in stream[:5] + stream[6:10]:
        watch.push(block)
    assert watch.health.ne107 is Ne107.NORMAL
    for number in (12, 15, 18, 21):
        watch.push(stream[number])
    assert (watch.health.ne107, watch.health.state) == (Ne107.MAINTENANCE_REQUIRED, "dropped_samples")
    assert watch.health.detail == "samples are dropped: 5 holes, 0.90 s of the last minute"


def test_samples_that_a_driver_lost_count_and_a_device_that_was_away_does_not() -> None:
    first, second, *_ = blocks([noise(1)])
    for cause, count, is_lossy in (
        (GapCause.OVERFLOW, None, True),
        (GapCause.DISCONTINUITY, 2_000, True),
        (GapCause.DISCONTINUITY, None, False),
    ):
        watch = DropWatch()
        watch.push(first)
        gap = Gap("rig", cause, START_NS, START_NS + 900_000_000, count=count)
        watch.push(replace(second, gap_before=gap))
        assert (watch.health.state == "dropped_samples") is is_lossy
    watch = DropWatch()
    watch.push(first)
    watch.push(Gap("rig", GapCause.DEVICE_LOST, START_NS, START_NS + 5_000_000_000))
    watch.push(replace(second, block_index=90))
    assert watch.health.state == "ok"


def test_a_minute_without_holes_is_well_again_and_a_fault_of_the_signal_comes_first() -> None:
    watch = DropWatch()
    health = signal_health(drops=watch)
    stream = list(blocks([noise(3)]))
    for block in stream[::3]:
        health.push(block)
    assert health.health_of(health.channels[0]).state == "dropped_samples"
    health.push(replace(stream[-1], block_index=stream[-1].block_index, start_ns=START_NS + 90_000_000_000))
    health.push(replace(stream[-1], block_index=stream[-1].block_index + 1, start_ns=START_NS + 160_000_000_000))
    assert health.health_of(health.channels[0]).state == "ok"
