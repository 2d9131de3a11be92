"""What a few seconds of samples show of each channel."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.drivers.waveform.survey import Survey

RATE_HZ = 4_096.0
SECOND_NS = 1_000_000_000


def block(samples: np.ndarray, at_s: float, gap: Gap | None = None) -> SampleBlock:
    channels = read_only(np.atleast_2d(samples).astype(np.float32))
    return SampleBlock("s", 0, round(at_s * SECOND_NS), RATE_HZ, "g", channels, gap_before=gap)


def times(seconds: float, first_s: float = 0.0) -> np.ndarray:
    return first_s + np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def test_levels_are_about_the_mean_and_lines_have_frequency_and_amplitude() -> None:
    t, noise = times(4), np.random.default_rng(2).normal(0, 0.001, (2, 4 * int(RATE_HZ)))
    x = 1.0 + 0.5 * np.sin(2 * np.pi * 50.3 * t) + 0.1 * np.sin(2 * np.pi * 613.75 * t)
    survey = Survey()
    survey.take(block(np.stack([x, 0 * x]) + noise, 0.0))
    first, second = survey.levels()
    assert (first.mean, first.rms, first.peak) == pytest.approx((1.0, np.hypot(0.5, 0.1) / np.sqrt(2), 0.6), rel=0.02)
    assert [line.hz for line in first.lines] == pytest.approx([50.3, 613.75], abs=0.02)
    assert [line.amplitude for line in first.lines] == pytest.approx([0.5, 0.1], rel=0.01)
    assert second.lines == ()
    frequencies, spectra = survey.spectra()
    assert spectra.shape == (2, len(frequencies))
    assert frequencies[-1] == RATE_HZ / 2


def test_a_clean_sine_has_one_line_and_none_of_its_side_lobes() -> None:
    survey = Survey()
    survey.take(block(np.sin(2 * np.pi * 100.37 * times(3)), 0.0))
    assert [round(line.hz, 1) for line in survey.levels()[0].lines] == [100.4]


def test_a_gap_is_told_and_no_spectrum_spans_it() -> None:
    survey = Survey()
    survey.take(block(np.ones(4096), 0.0))
    survey.take(block(np.full(4096, 3.0), 5.0, Gap("s", GapCause.OVERFLOW, 0, 1, "lost", 7)))
    assert survey.gaps == [("overflow", "lost", 7)]
    assert survey.seconds == 2.0
    assert survey.levels()[0].mean == 3.0
    assert survey.levels()[0].flat_share == 1.0
    assert survey.levels()[0].lines == ()


def test_no_more_than_ten_seconds_are_kept() -> None:
    survey = Survey()
    for n in range(40):
        survey.take(block(np.full(4096, float(n)), float(n)))
    assert survey.samples.shape == (1, 10 * 4096)
    assert survey.seconds == 40.0


def test_a_handful_of_samples_is_no_error() -> None:
    survey = Survey()
    survey.take(block(np.array([1.0]), 0.0))
    assert survey.levels()[0].lines == ()


def test_levels_are_those_of_the_samples_that_are_numbers() -> None:
    x = np.sin(2 * np.pi * 100.37 * times(3))
    x[::100] = np.nan
    survey = Survey()
    survey.take(block(np.stack([x, np.full(len(x), np.inf)]), 0.0))
    some, none = survey.levels()
    assert (some.rms, some.peak, some.lines) == (pytest.approx(0.707, abs=0.01), pytest.approx(1.0, abs=0.01), ())
    assert some.not_finite == len(x[::100])
    assert (none.mean, none.rms, none.peak, none.not_finite) == (None, None, None, len(x))
