"""A line that changes its model loses no window and no sample, and says which version made what."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cloud_sync.columns import Record
from edge_agent.core.gaps import Gap
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.dsp.windower import Windower
from edge_agent.errors import BundleError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.scored_line import ScoredWindows
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.rollout.hot_swap import check_fit, counts_of, standing_channels, swap_model
from tests.support.blocks import rows_in
from tests.support.mean_model import RATE_HZ, WINDOW
from tests.support.waveform_lines import START_NS, feed, line_of

BLOCK = 7  # divides no window


def stream(line: WaveformLine, blocks: range) -> list[Record]:
    """Blocks of a ramp, numbered over the whole stream."""
    records: list[Record] = []
    for i in blocks:
        ramp = np.arange(i * BLOCK, (i + 1) * BLOCK, dtype=np.float32) / 10_000
        start_ns = START_NS + round(i * BLOCK / RATE_HZ * 1e9)
        samples = read_only(np.stack([ramp, ramp]))
        records += line.push(SampleBlock("rig", i, start_ns, RATE_HZ, "g", samples, Quality.GOOD))
    return records


class SeenScores(list[float]):
    """Of the first channel, every window, as they come: an `Observer`."""

    def __call__(self, windows: ScoredWindows) -> None:
        self.extend(windows.scores[0].tolist())


def version(model: ScoringModel, number: str, **spec: int) -> ScoringModel:
    return dataclasses.replace(model, version=number, spec=dataclasses.replace(model.spec, **spec))  # type: ignore[arg-type]


@pytest.mark.parametrize("after", range(1, 12))
def test_every_window_is_scored_once_wherever_the_swap_falls(model: ScoringModel, after: int) -> None:
    expected, got = SeenScores(), SeenScores()
    whole, swapped = line_of(model, observe=expected), line_of(model, observe=got)
    stream(whole, range(40))
    stream(swapped, range(after))
    swapped.swap(version(model, "2.0.0"))
    stream(swapped, range(after, 40))
    assert got == expected
    assert swapped.channels[0].scored_total == whole.channels[0].scored_total == 40 * BLOCK // WINDOW
    assert swapped.gaps_total == 0


def test_each_score_says_which_version_made_it(model: ScoringModel) -> None:
    line = line_of(model, interval_s=0.01)
    records = [
        *stream(line, range(20)),
        *line.swap(version(model, "2.0.0")),
        *stream(line, range(20, 40)),
        *line.flush(),
    ]
    scores = [row for row in rows_in(records) if row.series.sensor_id == "rig-1.x.score"]
    made_by = [row.series.metadata["model_version"] for row in scores]
    assert set(made_by) == {"1.2.3", "2.0.0"}
    assert made_by == sorted(made_by)


def test_an_interval_that_has_begun_is_reported_before_the_swap(model: ScoringModel) -> None:
    line = line_of(model, interval_s=60.0)
    stream(line, range(10))
    assert rows_in(line.swap(version(model, "2.0.0")))


@pytest.mark.parametrize(("window", "hop"), [(5, 5), (20, 10), (10, 3), (4, 9)])
def test_other_windows_go_on_with_the_samples_that_filled_none_yet(window: int, hop: int) -> None:
    samples = read_only(np.arange(400, dtype=np.float32)[None])

    def push(windower: Windower, blocks: range) -> list[tuple[int, float, int]]:
        out = []
        for i in blocks:
            part = read_only(samples[:, i * BLOCK : (i + 1) * BLOCK])
            start_ns = START_NS + round(i * BLOCK / RATE_HZ * 1e9)
            for item in windower.push(SampleBlock("rig", i, start_ns, RATE_HZ, "g", part)):
                assert not isinstance(item, Gap)
                ends = item.end_ns.tolist()
                out += [(end, float(w[0]), len(w)) for end, w in zip(ends, item.samples[0], strict=True)]
        return out

    first = Windower("rig", sample_rate_hz=RATE_HZ, window_samples=WINDOW, hop_samples=WINDOW, n_channels=1)
    before = push(first, range(20))
    after = push(first.cut_as(sample_rate_hz=RATE_HZ, window_samples=window, hop_samples=hop), range(20, 50))
    assert after[0][1] == before[-1][1] + WINDOW, "the first new window begins where the last old one ended"
    assert [start for _, start, _ in after] == [after[0][1] + hop * i for i in range(len(after))]
    for end_ns, start, length in after:
        assert length == window
        assert end_ns == START_NS + round((start + window) * 1e9 / RATE_HZ)


def test_a_stream_cut_the_same_way_is_the_same_windower() -> None:
    windower = Windower("rig", sample_rate_hz=RATE_HZ, window_samples=10, hop_samples=5, n_channels=1)
    assert windower.cut_as(sample_rate_hz=RATE_HZ, window_samples=10, hop_samples=5) is windower


def test_a_model_of_another_rate_or_of_tags_does_not_fit(model: ScoringModel) -> None:
    line = line_of(model)
    with pytest.raises(BundleError, match="was trained at 50 Hz, rig is scored at 100 Hz"):
        check_fit([line], version(model, "2.0.0", sample_rate_hz=50))
    with pytest.raises(BundleError, match="scores tags, and rig delivers samples"):
        check_fit([line], version(model, "2.0.0", window_samples=0))
    check_fit([line], version(model, "2.0.0", window_samples=20))


def test_channels_in_alarm_before_a_promotion_are_left_out_of_its_counts(model: ScoringModel) -> None:
    line = line_of(model)
    feed(line, [(0.9, 0.0)] * 5)
    standing = standing_channels([line])
    assert standing == {("rig", 0)}
    counts = counts_of([line], standing)
    assert (counts.scored, counts.anomalous, counts.refused) == (5, 0, 0)


def test_a_model_that_fails_on_windows_is_counted_and_swapped_out(model: ScoringModel) -> None:
    def broken(values: np.ndarray) -> np.ndarray:
        raise BundleError("no number")

    line = line_of(dataclasses.replace(model, version="2.0.0", score=broken))
    feed(line, [(0.1, 0.1)] * 3)
    assert counts_of([line], frozenset()).refused == 3
    assert line.refusal.detail == "no number"
    swap_model([line], model)
    samples = read_only(np.full((2, WINDOW), 0.1, np.float32))
    line.push(SampleBlock("rig", 3, START_NS + 3 * round(WINDOW / RATE_HZ * 1e9), RATE_HZ, "g", samples))
    assert line.channels[0].scored_total == 1
    assert line.refusal.since_ns is None, "the gap has ended"
