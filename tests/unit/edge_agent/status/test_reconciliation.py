"""The comparison with the central, as the agent starts it and as its status tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cloud_sync.reconcile.hourly import ReconcileState
from cloud_sync.transports.auto import transport_for
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.cli.status_text import as_text
from edge_agent.status.reconciliation import reconcile_problem

URL = "https://127.0.0.1:9"


async def test_only_a_central_that_takes_batches_over_https_is_asked():
    batch, single, auto = (
        transport_for(api, URL, gateway_id="gw-1", api_key="key") for api in ("batch", "single", "auto")
    )
    assert batch.takes_digests
    assert not single.takes_digests
    assert not auto.takes_digests  # it has not said yet what it takes
    assert not MemoryTransport().takes_digests
    assert FailoverTransport(batch, MemoryTransport()).takes_digests
    assert not FailoverTransport(MemoryTransport(), batch).takes_digests
    for transport in (batch, single, auto):
        await transport.close()


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (
            ReconcileState(1, 24, 3, 2, lost_hours=2, missing_rows=1),
            "misses 1 row it had acknowledged in 2 sensor hours",
        ),
        (ReconcileState(1, 24, 3, 1), "has rows in 1 sensor hour that this gateway did not deliver"),
    ],
)
def test_difference_is_a_problem_with_a_remedy(state: ReconcileState, what: str):
    assert reconcile_problem(state) == (f"the central {what}", "run edge-agent reconcile")


def test_no_difference_and_no_answer_are_no_problem():
    assert reconcile_problem(None) is None
    assert reconcile_problem(ReconcileState(error="away")) is None
    assert reconcile_problem(ReconcileState(1, 24, 3, 0)) is None


def test_status_text_says_when_and_what_was_compared():
    reconcile: dict[str, Any] = {
        "checked_at": "2026-05-04T11:59:00.000Z", "hours": 24, "sensors": 3, "differences": 0, "error": "away",
    }  # fmt: skip
    central = {"state": "online", "since": "2026-05-04T11:00:00.000Z", "error": None, "last_settled": None}
    document = {"state": "healthy", "summary": "", "central": central | {"reconcile": reconcile}}
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    text = as_text(document, now)
    assert "compared 11:59:00 (60 s ago), 24 hours of 3 sensors: no difference" in text
    assert "not compared: away" in text
    reconcile["differences"] = 2
    assert "2 sensor hours differ" in as_text(document, now)
