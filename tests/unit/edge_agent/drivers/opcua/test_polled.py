"""A polled value is new when value, status or the source's time differ; else it is confirmed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asyncua import ua

from edge_agent.drivers.opcua.polled import is_same

AT = datetime(2026, 5, 1, tzinfo=UTC)
LATER = datetime(2026, 5, 2, tzinfo=UTC)


def data_value(value: object = 1.0, status: int = 0, at: datetime = AT, served: datetime = AT):
    return ua.DataValue(ua.Variant(value), StatusCode=ua.StatusCode(status), SourceTimestamp=at, ServerTimestamp=served)


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (data_value(), True),
        (data_value(served=LATER), True),
        (data_value(2.0), False),
        (data_value(status=ua.StatusCodes.BadDeviceFailure), False),
        (data_value(at=LATER), False),
    ],
)
def test_what_makes_a_value_new(now, same):
    assert is_same(data_value(), now) is same
