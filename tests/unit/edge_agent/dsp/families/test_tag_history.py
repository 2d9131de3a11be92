"""Lags of a tag: the platform's rule at the start, nothing from the future, and no guess over a hole."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.dsp.families.tag_history import MAX_LAGS, NAME, histories
from edge_agent.errors import SignalError

N_LAGS = 3
NAMES = ("value_lag_1", "value_lag_2", "value_lag_3", "value", "quality", "quality_lag_1")
VALUES = [10.0, 11.0, 12.0, 13.0, 14.0]
QUALITIES = [1.0, 0.9, 0.8, 0.7, 0.6]


def spec(*names: str, **parameters: float | str) -> FeatureSpec:
    given = {"n_lags": N_LAGS, "step_s": 300.0, **parameters}
    return FeatureSpec(NAME, feature_ids(NAME, *(names or NAMES)), parameters=given)


def features_of(samples: np.ndarray, **parameters: float | str) -> tuple[np.ndarray, np.ndarray]:
    values, is_usable = build_extractor(spec(**parameters)).extract(samples[np.newaxis])
    return values[0], is_usable[0]


def test_lags_of_a_whole_history_are_the_readings_before():
    values, is_usable = features_of(histories(VALUES, QUALITIES, n_lags=N_LAGS))
    assert is_usable.all()
    np.testing.assert_array_equal(values[4], np.array([13, 12, 11, 14, 0.6, 0.7], np.float32))


def test_at_the_start_older_lags_are_the_first_known_value():
    values, is_usable = features_of(histories(VALUES, QUALITIES, n_lags=N_LAGS))
    assert is_usable.all()
    np.testing.assert_array_equal(values[0], np.array([10, 10, 10, 10, 1, 1], np.float32))
    np.testing.assert_array_equal(values[2, :4], [11, 10, 10, 12])


def test_a_reading_later_on_changes_no_lag_before_it():
    longer = histories([*VALUES, 99.0], [*QUALITIES, 0.1], n_lags=N_LAGS)
    np.testing.assert_array_equal(longer[:-1], histories(VALUES, QUALITIES, n_lags=N_LAGS))


def test_a_model_that_needs_a_whole_history_gets_none_before():
    _, is_usable = features_of(histories(VALUES, QUALITIES, n_lags=N_LAGS), start="whole")
    assert is_usable.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("hole", [[1], [4], [2, 3]])
def test_a_hole_after_the_first_reading_makes_the_history_unusable(hole: list[int]):
    values = np.array(VALUES)
    values[hole] = np.nan
    rows, is_usable = features_of(histories(values, QUALITIES, n_lags=4), n_lags=4)
    assert not is_usable[4]
    assert np.isnan(rows[4]).all()


def test_a_value_without_a_quality_is_a_hole_too():
    _, is_usable = features_of(histories(VALUES, [1.0, 1.0, np.nan, 1.0, 1.0], n_lags=N_LAGS))
    assert is_usable.tolist() == [True, True, False, False, False]


def test_a_history_without_any_reading_is_unusable():
    rows, is_usable = features_of(np.full((1, 2 * (N_LAGS + 1)), np.nan, np.float32))
    assert not is_usable[0]
    assert np.isnan(rows).all()


def test_channels_do_not_mix():
    series = np.stack([histories(VALUES, QUALITIES, n_lags=N_LAGS), histories(VALUES[::-1], QUALITIES, n_lags=N_LAGS)])
    both, _ = build_extractor(spec()).extract(series)
    for channel in range(2):
        alone, _ = features_of(series[channel])
        np.testing.assert_array_equal(both[channel], alone)


@pytest.mark.parametrize(
    ("names", "parameters", "said"),
    [
        (("value_lag_4",), {}, "value_lag_4 needs n_lags of at least 4"),
        ((), {"n_lags": 0}, "n_lags must be a whole number of at least 1"),
        ((), {"n_lags": MAX_LAGS + 1}, f"n_lags must be {MAX_LAGS} at most"),
        ((), {"start": "zeros"}, "start must be one of first_value, whole"),
        ((), {"step_s": 0.0}, "step_s must be above 0"),
        ((), {"padding": 1}, "no parameter padding"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(names: tuple[str, ...], parameters: dict, said: str):
    with pytest.raises(SignalError, match=said):
        build_extractor(spec(*names, **parameters))


def test_histories_of_another_length_are_refused():
    with pytest.raises(SignalError, match="4 values, oldest first"):
        build_extractor(spec()).extract(np.zeros((1, 1, 6), np.float32))
