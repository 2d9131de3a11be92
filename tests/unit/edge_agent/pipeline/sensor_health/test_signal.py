"""What sensors show before anything is computed from their samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud_sync.records import EventKind
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.health import Ne107
from edge_agent.core.samples import SampleBlock
from edge_agent.dsp.machines.sensor_faults import Expected
from edge_agent.pipeline.model import ScoringModel
from tests.support.signals import RATE_HZ, SECOND, START_NS, blocks, hum, looked_at, noise, signal_health
from tests.support.waveform_lines import events, line_of, rows

CLIPPED = np.clip(noise(3), -0.3, 0.3)


@pytest.mark.parametrize(
    ("faulty", "state", "cause"),
    [
        (np.zeros(3 * SECOND), "flat", "flat line"), (CLIPPED, "clipped", "clipped (13 %"),
        (hum(3), "mains_hum", "mains hum"), (hum(3, hz=60.0), "mains_hum", "at 60 Hz"),
    ],
    ids=["flat", "clipped", "50 Hz", "60 Hz"],
)  # fmt: skip
def test_a_fault_is_a_gap_of_its_channel_from_its_first_second_until_it_is_over(
    faulty: NDArray[np.float64], state: str, cause: str
) -> None:
    health = signal_health(points=("x", "y"))
    records = looked_at(health, blocks([noise(2), faulty], [noise(5)]))
    (begun,) = events(records, EventKind.GAP)
    assert (begun.subject, begun.body["cause"]) == ("rig-1.x", "sensor_fault")
    assert begun.body["detail"].startswith(cause) or cause in begun.body["detail"]
    shown, other = health.channels
    assert (shown.health.ne107, shown.health.state) == (Ne107.FAILURE, state)
    assert shown.health.do
    assert other.health.ne107 is Ne107.NORMAL
    assert shown.health.since_ns is not None
    assert 1.9 <= (shown.health.since_ns - START_NS) / 1e9 <= 2.2


def test_a_fault_ends_after_three_seconds_without_it() -> None:
    health = signal_health()
    records = looked_at(health, blocks([noise(1.1), np.zeros(2 * SECOND), noise(6)]))
    begun, ended = events(records, EventKind.GAP)
    assert health.channels[0].health.state == "ok"
    assert ended.body["start_us"] == begun.body["start_us"]


def test_every_block_and_gap_comes_out_in_order_as_it_went_in() -> None:
    health = signal_health()
    given_in: list[SampleBlock | Gap] = list(blocks([noise(2.5)]))
    given_in.insert(7, Gap("rig", GapCause.DEVICE_LOST, START_NS, START_NS, "unplugged"))
    for item in given_in:
        health.push(item)
    health.release()
    out = []
    while (item := health.take()) is not None:
        out.append(item)
    assert out == given_in


def test_windows_of_a_faulty_sensor_are_neither_scored_nor_rows(model: ScoringModel) -> None:
    health = signal_health(points=("x", "y"))
    spec = replace(model.spec, sample_rate_hz=RATE_HZ, window_samples=205, hop_samples=205)
    line = line_of(replace(model, spec=spec, threshold=-1.0), uses=health.uses)  # everything is anomalous
    records = looked_at(health, blocks([hum(6)], [noise(6)]))
    health.release()
    while (item := health.take()) is not None:
        records += line.push(item)
    records += line.flush()
    faulty, well = line.channels
    assert faulty.windows_total == well.scored_total > 50
    assert (faulty.scored_total, faulty.anomalous_total, faulty.alarm.is_standing) == (0, 0, False)
    assert well.alarm.is_standing
    assert rows(records, "rig-1.x.mean") == []
    assert [gap.subject for gap in events(records, EventKind.GAP)] == ["rig-1.x"], "one gap, not one of each part"


def test_light_clipping_is_scored_with_uncertain_rows(model: ScoringModel) -> None:
    light = noise(3)
    light = np.clip(light, -np.quantile(np.abs(light), 0.995), np.quantile(np.abs(light), 0.995))
    health = signal_health(points=("x", "y"))
    spec = replace(model.spec, sample_rate_hz=RATE_HZ, window_samples=205, hop_samples=205)
    line = line_of(replace(model, spec=spec), uses=health.uses)
    assert looked_at(health, blocks([light], [noise(3)])) == [], "no gap: the machine is judged"
    assert (health.channels[0].health.ne107, health.channels[0].health.state) == (Ne107.OFF_SPEC, "light_clipping")
    records = []
    while (item := health.take()) is not None:
        records += line.push(item)
    records += line.flush()
    assert line.channels[0].scored_total == line.channels[1].scored_total > 10
    assert {row.quality for row in rows(records, "rig-1.x.mean")} == {0.4}
    assert {row.quality for row in rows(records, "rig-1.y.mean")} == {1.0}


def test_a_shaft_that_turns_at_the_mains_frequency_is_no_hum() -> None:
    for shaft_hz in (50.0, 49.8, 25.0):
        health = signal_health(expected=Expected(shaft_hz=(shaft_hz,)))
        assert looked_at(health, blocks([hum(3)])) == []
    elsewhere = signal_health(expected=Expected(shaft_hz=(29.7,)))
    assert looked_at(elsewhere, blocks([hum(3)])) != []


def test_what_a_channel_says_of_itself_is_held_to_it() -> None:
    for expected, state, samples in (
        (Expected(full_scale=0.5), "saturated", 0.6 * np.tanh(5 * noise(3))),
        (Expected(mean_range=(-0.1, 0.1)), "bias", noise(3) + 0.5),
    ):
        health = signal_health(expected=expected)
        looked_at(health, blocks([samples]))
        assert (health.channels[0].health.state, health.channels[0].health.ne107) == (state, Ne107.FAILURE)
        unsaid = signal_health()
        looked_at(unsaid, blocks([samples]))
        assert unsaid.channels[0].health.state == "ok"


def test_stretches_between_holes_are_too_short_to_find_or_to_end_a_fault() -> None:
    def with_holes(samples: NDArray[np.float64], block: int) -> list[SampleBlock]:
        return [replace(one, block_index=2 * one.block_index) for one in blocks([samples], block=block)]

    health = signal_health()
    for one in with_holes(np.ones(2 * SECOND), 128):
        assert health.push(one) == []
    humming = signal_health()
    looked_at(humming, blocks([hum(2)]))
    for one in with_holes(hum(3), 600):
        assert humming.push(one) == []
    assert humming.channels[0].health.state == "mains_hum"


def test_a_change_of_rate_or_a_missing_channel_is_left_to_the_lines() -> None:
    health = signal_health(points=("x", "y"))
    (block, *_) = blocks([noise(0.1)])
    assert health.push(block) == []
    assert health.push(replace(block, block_index=1, sample_rate_hz=100.0)) == []
    assert health.release() == []
    assert [health.take(), health.take(), health.take()][2] is None


LEVELS = st.floats(1e-6, 1e3)


@settings(max_examples=60, deadline=None)
@given(
    level=LEVELS,
    tones=st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(5.0, 1_000.0)), max_size=3),
    offset=st.floats(-10, 10),
    bits=st.sampled_from([None, 64, 4_096]),
    seed=st.integers(0, 1_000),
)
def test_noise_with_tones_of_any_level_is_never_a_fault(
    level: float, tones: list[tuple[float, float]], offset: float, bits: int | None, seed: int
) -> None:
    """Tones that are no line of the mains; steps of the converter well below the noise."""
    time_s = np.arange(2 * SECOND) / RATE_HZ
    signal = np.random.default_rng(seed).standard_normal(len(time_s))
    for amplitude, hz in tones:
        is_mains = min(abs(hz - k * mains) for mains in (50, 60) for k in range(1, 11)) < 0.6
        signal += 0.0 if is_mains else amplitude * np.sin(2 * np.pi * hz * time_s)
    if bits is not None:
        signal = np.round(signal * bits) / bits
    health = signal_health()
    assert looked_at(health, blocks([level * (signal + offset)])) == []
    assert health.channels[0].health.ne107 is Ne107.NORMAL
