"""The windower against a slow, obvious one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.windower import Windower

RATE_HZ = 1000.0
START_NS = 1_700_000_000_000_000_000


def blocks_of(samples: np.ndarray, sizes: list[int], *, first_index: int = 0) -> list[SampleBlock]:
    out, at = [], 0
    for size in [*sizes, samples.shape[1]]:
        piece = samples[:, at : at + size]
        if piece.shape[1] == 0:
            continue
        out.append(
            SampleBlock(
                "s", first_index + len(out), START_NS + at * 1_000_000, RATE_HZ, "g",
                read_only(np.ascontiguousarray(piece)),
            )
        )  # fmt: skip
        at += piece.shape[1]
    return out


def run(blocks: list[SampleBlock], window: int, hop: int) -> tuple[list[tuple[int, np.ndarray]], list[Gap]]:
    windower = Windower("s", sample_rate_hz=RATE_HZ, window_samples=window, hop_samples=hop, n_channels=2)
    windows, gaps = [], []
    for block in blocks:
        for item in windower.push(block):
            if isinstance(item, Gap):
                gaps.append(item)
            else:
                assert isinstance(item, WindowBatch)
                windows += [(int(item.end_ns[i]), item.samples[:, i].copy()) for i in range(item.n_windows)]
    return windows, gaps


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 200),
    window=st.integers(1, 40),
    hop=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 50), max_size=20),
)
def test_windows_equal_the_obvious_ones_however_the_samples_are_cut(
    n: int, window: int, hop: int, sizes: list[int]
) -> None:
    samples = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    windows, gaps = run(blocks_of(samples, sizes), window, hop)
    expected = [samples[:, s : s + window] for s in range(0, n - window + 1, hop)]
    assert gaps == []
    assert len(windows) == len(expected)
    for k, ((end_ns, got), want) in enumerate(zip(windows, expected, strict=True)):
        assert np.array_equal(got, want)
        assert end_ns == START_NS + (k * hop + window) * 1_000_000


@settings(max_examples=100, deadline=None)
@given(before=st.integers(1, 60), after=st.integers(1, 60), window=st.integers(2, 20))
def test_no_window_spans_a_gap(before: int, after: int, window: int) -> None:
    rng = np.random.default_rng(before * 100 + after)
    first, second = (rng.standard_normal((2, k)).astype(np.float32) for k in (before, after))
    gap = Gap("s", GapCause.OVERFLOW, START_NS, START_NS)
    blocks = blocks_of(first, [])
    tail = blocks_of(second, [], first_index=1)[0]
    blocks.append(SampleBlock("s", 1, tail.start_ns, RATE_HZ, "g", tail.samples, gap_before=gap))
    windows, gaps = run(blocks, window, window)
    assert gaps == [gap]
    assert len(windows) == before // window + after // window
    allowed = [first[:, s : s + window] for s in range(0, before - window + 1, window)] + [
        second[:, s : s + window] for s in range(0, after - window + 1, window)
    ]
    assert all(np.array_equal(got, want) for (_, got), want in zip(windows, allowed, strict=True))


def test_a_missing_block_number_is_a_gap_named_queue_full() -> None:
    samples = np.zeros((2, 40), np.float32)
    blocks = blocks_of(samples, [10, 10, 10])
    _, gaps = run([blocks[0], blocks[2], blocks[3]], 10, 10)
    assert [gap.cause for gap in gaps] == [GapCause.QUEUE_FULL]


def test_a_wrong_rate_is_refused_once_and_names_both_rates() -> None:
    wrong = [SampleBlock("s", i, START_NS, 16_000.0, "g", read_only(np.zeros((2, 100), np.float32))) for i in range(3)]
    windows, gaps = run(wrong, 10, 10)
    assert windows == []
    assert len(gaps) == 1
    assert "16000 Hz" in gaps[0].detail
    assert "1000 Hz" in gaps[0].detail


def test_a_drifting_sample_clock_is_followed_when_it_is_20_ms_off() -> None:
    late_ns = 50_000_000
    blocks = blocks_of(np.zeros((2, 20), np.float32), [10])
    late = blocks[1]
    blocks[1] = SampleBlock("s", 1, late.start_ns + late_ns, RATE_HZ, "g", late.samples)
    windows, _ = run(blocks, 10, 10)
    assert [end - START_NS for end, _ in windows] == [10_000_000, 20_000_000 + late_ns]
