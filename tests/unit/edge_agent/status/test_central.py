"""The central in the status: what counts as a problem of the link, of dead letters and of the comparison."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_sync.errors import CredentialsError, SyncError, TransientSyncError
from cloud_sync.outbox.tables import Depth
from cloud_sync.reconcile.hourly import ReconcileState
from cloud_sync.uplink.state import OUTAGES_KEPT, LinkState, UplinkState, failed
from edge_agent.status.central import (
    LEAST_OUTAGES,
    OFFLINE_GRACE_S,
    OUTAGES_WITHIN_S,
    dead_letter_problems,
    link_problem,
    reconcile_problem,
    unsteady_problem,
)

LOST = TransientSyncError("no whole answer in time", hint="on a slow link raise central.answer_timeout_s")
MINUTE_NS = 60 * 10**9
EMPTY = Depth(0, 0, 0, 4096, None, None, dead_letters=0)


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
    assert unsteady_problem(state, int(OUTAGES_WITHIN_S * 1e9)) is not None
    assert unsteady_problem(state, int(OUTAGES_WITHIN_S * 1e9) + 1) is None


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


@pytest.mark.parametrize("takes_events", [False, None])
def test_events_that_no_try_can_bring_there_are_no_problem(takes_events: bool | None) -> None:
    assert dead_letter_problems(replace(EMPTY, dead_letters=40, no_place=40), takes_events=takes_events) == []


def test_once_the_central_takes_batches_they_are_a_problem_with_a_way_out() -> None:
    (found,) = dead_letter_problems(replace(EMPTY, dead_letters=40, no_place=40), takes_events=True)
    assert found["what"].startswith("40 events had no place")
    assert found["do"] == "send them: edge-agent outbox requeue --all"


def test_other_refused_records_are_a_problem_and_counted_without_the_events() -> None:
    (found,) = dead_letter_problems(replace(EMPTY, dead_letters=43, no_place=40), takes_events=False)
    assert found["what"] == "the central refused 3 records for good"


def test_an_outbox_that_cannot_be_read_has_no_letters_to_tell() -> None:
    assert dead_letter_problems(None, takes_events=True) == []


def test_a_central_that_never_answered_is_a_problem_at_once() -> None:
    never = UplinkState(LinkState.OFFLINE, since_ns=0, error="no such name", hint="check the host")
    found = link_problem(never, now_ns=1)
    assert found is not None
    assert (found["what"], found["do"]) == ("central: no such name", "check the host")


def test_a_central_that_answered_before_may_be_away_for_a_moment() -> None:
    away = UplinkState(LinkState.OFFLINE, since_ns=0, last_settled_ns=0, error="restarting")
    assert link_problem(away, now_ns=int(OFFLINE_GRACE_S * 1e9)) is None
    assert link_problem(away, now_ns=int(OFFLINE_GRACE_S * 1e9) + 1) is not None


@pytest.mark.parametrize("link", [LinkState.STARTING, LinkState.ONLINE])
def test_a_link_that_begins_or_works_is_no_problem(link: LinkState) -> None:
    assert link_problem(UplinkState(link, since_ns=0), now_ns=10**15) is None


@pytest.mark.parametrize("link", [LinkState.REFUSED, LinkState.REFUSES_ALL, LinkState.BLOCKED])
def test_what_somebody_has_to_mend_is_said_at_once(link: LinkState) -> None:
    assert link_problem(UplinkState(link, since_ns=0, last_settled_ns=0, error="no"), now_ns=0) is not None


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
