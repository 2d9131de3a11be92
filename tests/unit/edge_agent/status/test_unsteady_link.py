"""A link that is lost again and again is a problem, also in the moments in which it works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_sync.errors import CredentialsError, SyncError, TransientSyncError
from cloud_sync.uplink.state import OUTAGES_KEPT, LinkState, UplinkState, failed
from edge_agent.status.unsteady_link import LEAST_OUTAGES, WINDOW_S, unsteady_problem

LOST = TransientSyncError("no whole answer in time", hint="on a slow link raise central.answer_timeout_s")
MINUTE_NS = 60 * 10**9


def lost(times: int, exc: SyncError = LOST, *, tries: int = 1) -> UplinkState:
    """A link that was lost once a minute, each time for so many tries, and works again."""
    state = UplinkState(LinkState.ONLINE, 0, last_settled_ns=0)
    for minute in range(times):
        for _ in range(tries):
            state = failed(state, exc, now_ns=minute * MINUTE_NS)
        state = replace(state, link=LinkState.ONLINE, error=None, hint=None, failures=0)
    return state


def test_it_is_said_with_the_last_reason_and_its_remedy() -> None:
    found = unsteady_problem(lost(LEAST_OUTAGES), LEAST_OUTAGES * MINUTE_NS)
    assert found is not None
    assert f"lost {LEAST_OUTAGES} times" in found["what"]
    assert LOST.message in found["what"]
    assert found["do"] == LOST.hint


def test_it_is_over_when_it_held_for_long() -> None:
    state = lost(LEAST_OUTAGES)
    assert unsteady_problem(state, int(WINDOW_S * 1e9)) is not None
    assert unsteady_problem(state, int(WINDOW_S * 1e9) + 1) is None


@pytest.mark.parametrize(
    "state",
    [
        lost(LEAST_OUTAGES - 1),
        lost(2, tries=10),
        lost(LEAST_OUTAGES, TransientSyncError("busy", retry_after_s=1.0)),
        lost(LEAST_OUTAGES, CredentialsError("who is that")),
    ],
    ids=["seldom", "two outages of many tries", "a busy central", "a central that refuses"],
)
def test_what_is_no_unsteady_link(state: UplinkState) -> None:
    assert unsteady_problem(state, LEAST_OUTAGES * MINUTE_NS) is None


def test_what_is_remembered_is_bounded() -> None:
    assert len(lost(10 * OUTAGES_KEPT).outages) == OUTAGES_KEPT
