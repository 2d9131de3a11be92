from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from edge_agent.cli.status_text import as_text, folded

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def document(**more: Any) -> dict[str, Any]:
    return {
        "state": "healthy", "summary": "2 sources, 0 alarms, 0 records waiting", "problems": [],
        "gateway": {"id": "gw-7", "site": "plant", "version": "1.2.3"}, **more,
    }  # fmt: skip


def test_the_head_names_gateway_state_and_summary() -> None:
    head = as_text(document(), NOW).splitlines()
    assert head[0] == "edge-agent 1.2.3  gw-7 at plant  2026-05-04 12:00:00 UTC"
    assert head[1] == "HEALTHY: 2 sources, 0 alarms, 0 records waiting"


def test_a_problem_says_what_since_when_and_what_to_do() -> None:
    problem = {"what": "plc: no answer", "since": "2026-05-04T11:30:00.000Z", "do": "check the cable"}
    text = as_text(document(state="degraded", problems=[problem]), NOW)
    assert "plc: no answer  since 2026-05-04 11:30:00 (30 minutes ago)" in text
    assert "-> check the cable" in text


def test_an_alarm_says_which_features_pushed_it_and_how_far() -> None:
    alarm = {
        "subject": "rig-1.x", "since": "2026-05-04T11:59:10Z", "score": 0.71, "threshold": 0.559,
        "pushed_by": [{"feature": "rms", "value": 0.139, "z": 8.2}],
    }  # fmt: skip
    text = as_text(document(alarms=[alarm]), NOW)
    assert "rig-1.x  since 11:59:10 (50 s ago)  score 0.710, limit 0.559" in text
    assert "pushed by rms 0.139 (+8 sigma)" in text


def test_a_dead_daemon_leaves_its_last_status_and_what_waits() -> None:
    text = as_text(
        document(
            state="down", summary="the agent died", last_status={"time": "2026-05-04T11:00:00Z", "summary": "all well"},
            outbox={"records": 12, "file_bytes": 2_000_000, "oldest": "2026-05-04T10:00:00Z", "dead_letters": 3},
        ),
        NOW,
    )  # fmt: skip
    assert "12 records waiting, 2.0 MB; oldest from 2026-05-04 10:00:00 (2 hours ago); 3 dead letters" in text
    assert "Last status, 2026-05-04 11:00:00 (60 minutes ago): all well" in text


def test_what_the_outbox_gave_up_or_lost_is_told_with_cause_and_count() -> None:
    gaps = {"total": 3, "by_cause": {"thinned": 2, "damaged": 1}, "outbox_records": {"thinned": 800, "damaged": None}}
    text = as_text(document(gaps=gaps), NOW)
    assert "GAPS     3 in this run: damaged 1, thinned 2" in text
    assert "records the outbox gave up or lost: damaged unknown, thinned 800" in text


def test_an_outbox_that_cannot_be_read_says_so() -> None:
    text = as_text(document(state="down", outbox={"path": "x", "error": "database disk image is malformed"}), NOW)
    assert "cannot be read: database disk image is malformed" in text


def test_an_outbox_that_gave_no_counts_does_not_stop_the_status() -> None:
    outbox = {"error": None, "accepted_total": None, "appended_total": None, "duplicates_total": None}
    central = {"state": "online", "since": "2026-05-04T11:59:00Z", "error": None, "last_settled": None}
    text = as_text(document(outbox=outbox, central=central), NOW)
    assert "cannot be read: the disk does not answer" in text
    assert "accepted" not in text


def outbox_of(**more: Any) -> dict[str, Any]:
    return {"records": 12, "file_bytes": 2_000_000, "max_bytes": 1_000_000_000, **more}


def test_what_a_record_costs_the_flash_is_in_the_text() -> None:
    assert "OUTBOX   12 records waiting" in (
        text := as_text(document(outbox=outbox_of(written_bytes_per_record=9.4)), NOW)
    )
    assert "9 bytes reach the disk per record (wear of a flash card)" in text
    assert "wear" not in as_text(document(outbox=outbox_of(written_bytes_per_record=None)), NOW)


def test_disk_that_ends_the_room_before_the_byte_bound_is_named() -> None:
    room = {"room_days": 0.4, "room_bytes": 30_000_000, "min_free_bytes": 100_000_000}
    text = as_text(document(outbox=outbox_of(limited_by="min_free_bytes", **room)), NOW)
    assert "space for 0.4 days" in text
    assert "the disk ends it at 30.0 MB: 100 MB stay free for others (outbox.min_free_bytes)" in text
    assert "min_free_bytes" not in as_text(document(outbox=outbox_of(limited_by="max_bytes", **room)), NOW)


def test_file_that_was_taken_away_and_old_files_that_were_removed_are_told() -> None:
    text = as_text(document(outbox=outbox_of(rescued_total=2, quarantine_removed_total=3)), NOW)
    assert "the file was removed or replaced 2 times while in use, and written again without loss" in text
    assert "3 old files that had been put aside were removed for room" in text


CENTRAL: dict[str, Any] = {
    "state": "online", "since": "2026-05-04T11:59:00Z", "error": None, "last_settled": None,
    "url": "https://central.test", "way": "https", "way_since": None, "way_instead_of": None, "takes_events": True,
}  # fmt: skip
OUTBOX: dict[str, Any] = {"records": 0, "file_bytes": 4096}


def delivery_text(central: dict[str, Any], outbox: dict[str, Any] | None = None) -> str:
    document = {"state": "healthy", "summary": "", "central": CENTRAL | central, "outbox": OUTBOX | (outbox or {})}
    return as_text(document, NOW)


def test_events_without_a_place_are_told_as_a_fact_with_what_would_help() -> None:
    said = delivery_text({"way": "single", "takes_events": False}, {"no_place": 40})
    assert "kept here: 40 events with no place at this central, which takes readings only" in said
    assert "with a central that takes events: they are sent by themselves" in said
    assert "5 events with no place" in delivery_text({"takes_events": False}, {"no_place": 2, "event_records": 3})
    assert "no place" not in delivery_text({"takes_events": None}, {"no_place": 0, "event_records": 3})
    assert "no place" not in delivery_text({"takes_events": True}, {"no_place": 40})
    assert "no place" not in delivery_text({"takes_events": False}, {"no_place": 0})


def test_the_way_that_stands_in_is_named_with_its_time() -> None:
    said = delivery_text({"way": "mqtt", "way_instead_of": "https", "way_since": "2026-05-04T11:30:00Z"})
    assert "delivers over mqtt instead of https since 2026-05-04 11:30:00 (30 minutes ago)" in said
    back = delivery_text({"way": "https", "way_instead_of": "mqtt", "way_since": "2026-05-04T11:30:00Z"})
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
    assert said in delivery_text({"state": state, "way": "lte (https)", "way_instead_of": "ethernet (https)"})


def test_a_first_answer_that_takes_long_is_awaited_in_words() -> None:
    assert "(60 s ago): the first answer is awaited" in delivery_text({"state": "starting"})
    assert "awaited" not in delivery_text({"state": "offline", "error": "no answer"})


def test_the_way_that_central_url_does_not_show_is_named_also_when_it_is_the_preferred_one() -> None:
    assert "delivers over mqtt\n" in delivery_text({"way": "mqtt"}) + "\n"
    assert "delivers over" not in delivery_text({})


def test_a_document_of_an_older_agent_is_shown_without_the_way() -> None:
    older = {name: value for name, value in CENTRAL.items() if name not in ("way", "way_since", "way_instead_of")}
    assert "delivers over" not in as_text({"state": "healthy", "summary": "", "central": older}, NOW)


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
    assert "differences in 2 sensor hours" in as_text(document, now)


def test_files_in_the_state_folder_that_are_not_the_agents_are_named() -> None:
    text = as_text(document(central=CENTRAL, box={"unexpected_files": ["notes.txt"]}), NOW)
    assert "STATE    files that are not the agent's, left alone: notes.txt" in text
    assert "STATE  " not in as_text(document(central=CENTRAL, box=None), NOW)


def test_a_device_that_is_asked_shows_how_it_answers() -> None:
    source = {
        "name": "plc", "type": "modbus", "state": "running", "last_data_age_s": 0.4, "requests_total": 1200,
        "latency_p50_ms": 2.1, "latency_p99_ms": 14.05, "timeouts_total": 1,
        "strange_answers_total": 0, "slow_scans_total": 0,
        "exceptions_by_code": {"2": 7, "11": 1}, "longest_reads_learnt": {"holding": 10},
    }  # fmt: skip
    lines = as_text(document(sources=[source]), NOW).splitlines()
    assert lines[lines.index(next(line for line in lines if line.startswith("plc"))) + 1] == (
        "    1200 requests; answers in 2.1 ms, 99 of 100 in 14.1 ms; 1 time-out; exceptions code 2: 7, code 11: 1; "
        "longest read: holding 10"
    )


def test_of_many_exception_codes_the_most_frequent_are_shown() -> None:
    source = {
        "name": "plc", "type": "modbus", "state": "lost", "last_data_age_s": 0.4, "requests_total": 1200,
        "latency_p50_ms": None, "latency_p99_ms": None, "timeouts_total": 0,
        "strange_answers_total": 3, "slow_scans_total": 0,
        "exceptions_by_code": {"2": 7, **{str(code): 1 for code in range(20, 60)}, "11": 9}, "longest_reads_learnt": {},
    }  # fmt: skip
    assert (
        "    1200 requests; 3 strange answers; "
        "exceptions code 2: 7, code 20: 1, code 21: 1, code 11: 9, other codes: 38"
    ) in as_text(document(sources=[source]), NOW)


def test_a_terminal_gets_lines_that_end_between_words_and_go_on_below_their_text() -> None:
    text = (
        "PROBLEMS\n"
        "  plc: no connection to the device at 192.0.2.30:502\n"
        "    -> check that the device is on, host and port are right\n"
        "CLOCK    not synchronised since the boot 8 h ago"
    )
    lines = folded(text, 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert any(line.startswith("    ") and line.strip() == "192.0.2.30:502" for line in lines)
    assert lines[-1].startswith(" " * 9)
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert folded("see " + "/very/long" * 5, 40).splitlines()[1].endswith("/very/long" * 5)
