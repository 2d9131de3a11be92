"""A forecast's input is the reading itself, where it has a value and an instant."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.dsp.families.tag_forecast import LAYOUT, NAME
from edge_agent.errors import SignalError


def test_a_reading_passes_through_exactly():
    readings = np.array([[[20_458, 86_399, 71.25], [-3, 0, -1e30]]], np.float32)
    values, is_usable = build_extractor(FeatureSpec(NAME, feature_ids(NAME, *LAYOUT))).extract(readings)
    assert is_usable.all()
    np.testing.assert_array_equal(values, readings)


@pytest.mark.parametrize("reading", [(1, 86_400, 5.0), (1.5, 0, 5.0), (1, 0, np.nan), (1, 0, np.inf), (np.nan, 0, 5)])
def test_a_reading_without_a_value_or_an_instant_is_unusable(reading: tuple[float, ...]):
    extractor = build_extractor(FeatureSpec(NAME, feature_ids(NAME, *LAYOUT)))
    values, is_usable = extractor.extract(np.array([[reading]], np.float32))
    assert not is_usable[0, 0]
    assert np.isnan(values).all()


def test_another_shape_is_refused():
    with pytest.raises(SignalError, match="day_number, second_of_day, value"):
        build_extractor(FeatureSpec(NAME, feature_ids(NAME, *LAYOUT))).extract(np.zeros((1, 1, 2), np.float32))
