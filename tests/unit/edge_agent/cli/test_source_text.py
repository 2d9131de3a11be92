from __future__ import annotations

from typing import Any

import pytest

from edge_agent.cli.source_text import MOST_ALIKE, source_lines


def tag(name: str, state: str = "good", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "state": state, "value": 1.0 if state == "good" else None, "unit": "bar", "is_stale": False,
        "status": "", **more,
    }  # fmt: skip


def source(tags: list[dict[str, Any]], state: str = "running") -> dict[str, Any]:
    return {"name": "plc", "type": "opcua", "state": state, "last_data_age_s": 0.2, "tags": tags}


def names(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines[2:]]


def test_of_many_tags_those_that_are_not_good_come_first_by_name_and_the_others_are_counted() -> None:
    refused = tag("t200", "refused", status="0x80340000 BadNodeIdUnknown")
    lines = source_lines([source([tag(f"t{n}") for n in range(200)] + [refused])], [], shows_all=False)
    assert names(lines)[:2] == ["t200", "t0"]
    assert "BadNodeIdUnknown" in lines[2]
    assert len(lines) == 2 + 1 + MOST_ALIKE + 1
    assert f"{200 - MOST_ALIKE} more good" in lines[-1]
    assert "--all" in lines[-1]


def test_all_of_them_on_request() -> None:
    lines = source_lines([source([tag(f"t{n}") for n in range(200)])], [], shows_all=True)
    assert names(lines) == [f"t{n}" for n in range(200)]


def test_few_tags_are_never_counted_together() -> None:
    lines = source_lines([source([tag(f"t{n}") for n in range(MOST_ALIKE + 1)])], [], shows_all=False)
    assert len(names(lines)) == MOST_ALIKE + 1


def test_the_tags_of_a_lost_source_say_no_more_than_it_does() -> None:
    tags = [tag(f"t{n}", is_stale=True) for n in range(200)]
    lines = source_lines([source(tags, state="lost")], [], shows_all=False)
    assert len(lines) == 2 + MOST_ALIKE + 1
    assert "more stale" in lines[-1]


def test_a_tag_of_a_lost_source_that_never_had_a_value_still_waits_for_it() -> None:
    (line,) = source_lines([source([tag("t1", "waiting", is_stale=True)], state="lost")], [], shows_all=False)[2:]
    assert "waiting" in line
    assert "stale" not in line


def test_a_reason_ends_within_a_hundred_columns() -> None:
    long = tag("t1", "bad", status="asked unit 3 for 10 holding registers from 100: exception 4")
    lines = source_lines([source([long])], [], shows_all=False)
    assert "asked unit 3" in lines[-1]
    assert max(map(len, lines)) <= 105  # what a unit takes comes on top


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("0x808C0000 BadSensorFailure", "BadSensorFailure"),
        ("0x40900000 UncertainLastUsableValue", "UncertainLastUsableValue"),
        ("0x00000000 Good, but the value is nan, not a finite number", "nan, not a finite number"),
        ('"nsu=urn:plc;s=Arr": the value is an array of 3 values', "an array of 3 values"),
        ("no message for 60 s", "no message for 60 s"),
    ],
)
def test_a_reason_begins_with_what_is_new(status: str, shown: str) -> None:
    assert source_lines([source([tag("t1", "bad", status=status)])], [], shows_all=False)[-1].endswith(f"  {shown}")


def test_a_tag_of_an_older_agent_has_no_state_and_shows_its_quality() -> None:
    older = {name: value for name, value in tag("t1", quality="uncertain").items() if name != "state"}
    assert "uncertain" in source_lines([source([older])], [], shows_all=False)[-1]
