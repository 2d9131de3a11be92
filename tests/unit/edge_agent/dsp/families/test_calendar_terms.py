"""Terms of an instant agree with the calendar of the standard library, to the second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.dsp.families.calendar_terms import FORMULAS, NAME, day_and_second
from edge_agent.errors import SignalError

NAMES = tuple(formula.name for formula in FORMULAS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def terms_at(day: float, second: float) -> tuple[dict[str, float], bool]:
    extractor = build_extractor(FeatureSpec(NAME, feature_ids(NAME)))
    values, is_usable = extractor.extract(np.array([[[day, second]]], np.float32))
    return dict(zip(NAMES, values[0, 0].tolist(), strict=True)), bool(is_usable[0, 0])


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_terms_are_those_of_the_calendar(at: datetime):
    day, second = day_and_second((at - EPOCH) // timedelta(microseconds=1) * 1000)
    terms, is_usable = terms_at(day, second)
    assert is_usable
    assert EPOCH + timedelta(days=terms["day_number"], seconds=terms["second_of_day"]) == at.replace(microsecond=0)
    assert (terms["hour"], terms["day_of_week"]) == (at.hour, at.weekday())


def test_waves_have_their_known_values():
    noon_of_a_thursday, _ = terms_at(0, 43_200)
    assert (noon_of_a_thursday["day_sin"], noon_of_a_thursday["day_cos"]) == pytest.approx((0.0, -1.0), abs=1e-7)
    noon_in_the_middle_of_the_week = 2 * np.pi * 3.5 / 7
    assert noon_of_a_thursday["week_sin"] == pytest.approx(np.sin(noon_in_the_middle_of_the_week), abs=1e-7)
    assert noon_of_a_thursday["week_cos"] == pytest.approx(np.cos(noon_in_the_middle_of_the_week), abs=1e-7)


def test_the_last_nanosecond_of_a_day_is_still_that_day():
    assert day_and_second(86_400 * 10**9 - 1) == (0, 86_399)
    assert day_and_second(-1) == (-1, 86_399)


@pytest.mark.parametrize(("day", "second"), [(0.5, 0), (0, 86_400), (0, -1), (0, 0.25), (np.nan, 0), (np.inf, 0)])
def test_what_is_no_whole_second_of_a_day_is_unusable(day: float, second: float):
    terms, is_usable = terms_at(day, second)
    assert not is_usable
    assert np.isnan(list(terms.values())).all()


def test_a_term_may_be_asked_for_alone():
    extractor = build_extractor(FeatureSpec(NAME, feature_ids(NAME, "day_of_week")))
    values, _ = extractor.extract(np.array([[[4, 0], [3, 7]]], np.float32))
    np.testing.assert_array_equal(values[0, :, 0], [0.0, 6.0])  # 1970-01-05 was a Monday


def test_another_shape_and_a_parameter_are_refused():
    with pytest.raises(SignalError, match="day number and second"):
        build_extractor(FeatureSpec(NAME, feature_ids(NAME))).extract(np.zeros((1, 1, 3), np.float32))
    with pytest.raises(SignalError, match="no parameters, not zone"):
        build_extractor(FeatureSpec(NAME, feature_ids(NAME), parameters={"zone": "CET"}))
