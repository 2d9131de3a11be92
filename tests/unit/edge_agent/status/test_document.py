"""What the status says of delivery: which way it goes, what is a problem, what is only a fact."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.outbox.tables import Depth
from cloud_sync.uplink.sender import LinkState, UplinkState
from edge_agent.cli.status_text import as_text
from edge_agent.status.document import OFFLINE_GRACE_S, letter_problems, link_problem, put_aside_at_ns

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
EMPTY = Depth(0, 0, 0, 4096, None, None, dead_letters=0)
CENTRAL: dict[str, Any] = {
    "state": "online", "since": "2026-05-04T11:59:00Z", "error": None, "last_settled": None,
    "way": "https", "way_since": None, "way_instead_of": None, "takes_events": True,
}  # fmt: skip
OUTBOX: dict[str, Any] = {"records": 0, "file_bytes": 4096}


def text(central: dict[str, Any], outbox: dict[str, Any] | None = None) -> str:
    document = {"state": "healthy", "summary": "", "central": CENTRAL | central, "outbox": OUTBOX | (outbox or {})}
    return as_text(document, NOW)


@pytest.mark.parametrize("takes_events", [False, None])
def test_events_that_no_try_can_bring_there_are_no_problem(takes_events: bool | None) -> None:
    assert letter_problems(replace(EMPTY, dead_letters=40, no_place=40), takes_events=takes_events) == []


def test_once_the_central_takes_batches_they_are_a_problem_with_a_way_out() -> None:
    (found,) = letter_problems(replace(EMPTY, dead_letters=40, no_place=40), takes_events=True)
    assert found["what"].startswith("40 events had no place")
    assert found["do"] == "send them: edge-agent outbox requeue --all"


def test_other_refused_records_are_a_problem_and_counted_without_the_events() -> None:
    (found,) = letter_problems(replace(EMPTY, dead_letters=43, no_place=40), takes_events=False)
    assert found["what"] == "3 records were refused by the central for good"


def test_an_outbox_that_cannot_be_read_has_no_letters_to_tell() -> None:
    assert letter_problems(None, takes_events=True) == []


def test_events_without_a_place_are_told_as_a_fact_with_what_would_help() -> None:
    said = text({"way": "single", "takes_events": False}, {"no_place": 40})
    assert "40 events have no place at this central and are kept here: it takes single readings only" in said
    assert "with a central that takes batches: they are sent by themselves" in said
    assert "5 events have no place" in text({"takes_events": False}, {"no_place": 2, "event_records": 3})
    assert "no place" not in text({"takes_events": None}, {"no_place": 0, "event_records": 3})
    assert "no place" not in text({"takes_events": True}, {"no_place": 40})
    assert "no place" not in text({"takes_events": False}, {"no_place": 0})


def test_the_way_that_stands_in_is_named_with_its_time() -> None:
    said = text({"way": "mqtt", "way_instead_of": "https", "way_since": "2026-05-04T11:30:00Z"})
    assert "delivers over mqtt instead of https since 2026-05-04 11:30:00 (30 minutes ago)" in said
    back = text({"way": "https", "way_instead_of": "mqtt", "way_since": "2026-05-04T11:30:00Z"})
    assert "delivers over https instead of mqtt" in back


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("online", "delivers over lte"),
        ("refuses_all", "delivers over lte"),
        ("offline", "tries it over lte"),
        ("starting", "tries it over lte"),
    ],
)
def test_nothing_is_said_to_be_delivered_while_nothing_is_taken(state: str, said: str) -> None:
    assert said in text({"state": state, "way": "lte (https)", "way_instead_of": "ethernet (https)"})


def test_a_first_answer_that_takes_long_is_awaited_in_words() -> None:
    assert "(60 s ago): the first answer is awaited" in text({"state": "starting"})
    assert "awaited" not in text({"state": "offline", "error": "no answer"})


def test_the_way_that_central_url_does_not_show_is_named_also_when_it_is_the_preferred_one() -> None:
    assert "delivers over mqtt\n" in text({"way": "mqtt"}) + "\n"
    assert "delivers over" not in text({})


def test_a_document_of_an_older_agent_is_shown_without_the_way() -> None:
    older = {name: value for name, value in CENTRAL.items() if name not in ("way", "way_since", "way_instead_of")}
    assert "delivers over" not in as_text({"state": "healthy", "summary": "", "central": older}, NOW)


@pytest.mark.parametrize("end", ["", ".1"])
def test_a_damaged_outbox_says_since_when_by_its_name(end: str) -> None:
    at_ns = put_aside_at_ns(Path(f"/var/lib/edge-agent/outbox.db.corrupt-20260504T113000{end}"))
    assert at_ns is not None
    assert datetime.fromtimestamp(at_ns / 1e9, UTC) == datetime(2026, 5, 4, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", ["outbox.db.corrupt-mine", "outbox.db.corrupt-20261304T113000"])
def test_a_damaged_outbox_under_another_name_has_no_time(name: str) -> None:
    assert put_aside_at_ns(Path(name)) is None


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
