"""The outbox in the status: since when a file was put aside."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.status.outbox import put_aside_at_ns


@pytest.mark.parametrize("end", ["", ".1"])
def test_a_damaged_outbox_says_since_when_by_its_name(end: str) -> None:
    at_ns = put_aside_at_ns(Path(f"/var/lib/edge-agent/outbox.db.corrupt-20260504T113000{end}"))
    assert at_ns is not None
    assert datetime.fromtimestamp(at_ns / 1e9, UTC) == datetime(2026, 5, 4, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", ["outbox.db.corrupt-mine", "outbox.db.corrupt-20261304T113000"])
def test_a_damaged_outbox_under_another_name_has_no_time(name: str) -> None:
    assert put_aside_at_ns(Path(name)) is None
