"""The demo's live view on narrow and wide terminals."""

import io

import pytest
from rich.console import Console

from edge_agent.demo.stack import Snapshot
from edge_agent.demo.view import as_line, render


def channel(point: str, score: float | None) -> dict:
    return {
        "point": point, "windows_total": 925, "scored_total": 925, "score": score, "threshold": 0.5,
        "is_alarm": score == 1.0, "verdict": "anomalous",
    }  # fmt: skip


def alarm(what: str) -> dict:
    return {"subject": what, "since": "2026-01-01T10:00:00Z", "words": "outer race", "pushed_by": []}


GATEWAY = {
    "sources": [{"name": "fan-microphone", "channels": [channel("mic-1", 1.0), channel("mic-2", 0.0)]}],
    "tag_models": [], "problems": [],
    "alarms": [alarm("rig-1.bearing-1"), alarm("fan-2.mic-1"), alarm("rig-1.bearing-1")],
    "gaps": {"total": 0, "by_cause": {}},
    "outbox": {"appended_total": 0, "accepted_total": 0, "duplicates_total": 0, "refused_total": 0},
    "central": {"state": "online"},
}  # fmt: skip


@pytest.mark.parametrize("columns", [80, 110])
def test_the_bar_of_a_score_takes_the_room_there_is_and_is_never_cut(columns):
    console = Console(file=io.StringIO(), width=columns)
    console.print(render(Snapshot(gateway=GATEWAY, central=None), 10.0))
    lines = console.file.getvalue().splitlines()
    full, empty = (next(line for line in lines if name in line) for name in ("mic-1  ", "mic-2  "))
    assert "…" not in full + empty
    assert full.count("█") == empty.count("·") > 0


def test_a_point_with_two_alarms_is_named_once_with_their_number():
    line = as_line(Snapshot(gateway=GATEWAY, central=None), 10.0)
    assert line.endswith("alarms: rig-1.bearing-1 (2), fan-2.mic-1")
