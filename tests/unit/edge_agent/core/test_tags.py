"""A reading claims a value exactly when it has one, however it is made."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Scan, Tag, TextReading

TAG = Tag("press-3.oil", "degC", "temperature")
GOOD = Reading(TAG, 61.5, Quality.GOOD, 40, 50, "0x00000000 Good", word="warm")


def test_a_value_and_a_bad_quality_exclude_each_other() -> None:
    for value, quality in ((1.0, Quality.BAD), (None, Quality.GOOD), (None, Quality.UNCERTAIN)):
        with pytest.raises(ValueError, match="exactly when its quality is not BAD"):
            Reading(TAG, value, quality, None, 50)


def test_what_is_changed_of_a_reading_is_checked_as_well() -> None:
    bad = GOOD._replace(value=None, quality=Quality.BAD)
    assert (bad.value, bad.status, type(bad)) == (None, GOOD.status, Reading)
    with pytest.raises(ValueError, match="exactly when its quality is not BAD"):
        GOOD._replace(value=None)


def test_a_reading_is_never_changed_in_place() -> None:
    reading: Any = GOOD
    for field in ("value", "quality", "anything_else"):
        with pytest.raises(AttributeError):
            setattr(reading, field, None)


def test_a_reading_survives_being_copied() -> None:
    assert copy.deepcopy(GOOD) == copy.copy(GOOD) == GOOD
    assert type(copy.copy(GOOD)) is Reading


def test_a_reading_is_keyed_by_the_devices_time_where_it_gives_one() -> None:
    assert (GOOD.time_ns, GOOD._replace(source_time_ns=None).time_ns) == (40, 50)


def test_a_scan_keeps_numbers_and_texts_in_their_order() -> None:
    text = TextReading(TAG, "X-12", 50)
    other = GOOD._replace(value=62.0)
    assert Scan.of("plc", iter([GOOD, text, other])) == Scan("plc", (GOOD, other), (text,))
    assert Scan.of("plc", [GOOD, other]) == Scan("plc", (GOOD, other))
