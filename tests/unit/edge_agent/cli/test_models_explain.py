"""`edge-agent models explain`, and what `status` says of machines: words a technician reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_agent.cli import machine_text
from edge_agent.cli.machine_text import alarms_text, indicator_lines, reason_in_words
from edge_agent.cli.main import app
from edge_agent.cli.models_explain import as_text, explain_scores
from edge_agent.errors import ConfigurationError
from edge_agent.pipeline import model
from edge_agent.status.local_socket import StatusFile

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
REASON = {"feature": "rms", "value": 0.158, "usual": 0.077, "z": 4.2, "push": 0.09, "against": "machine"}
LINE = {
    "line": "bpfo", "part": "outer race", "hz": 236.36, "snr_db": 26.0, "limit_db": 10.0, "bearing": "ZA-2115",
    "words": "outer race: BPFO 236 Hz stands 26 dB above its background", "since": "2026-05-04T11:59:10Z",
}  # fmt: skip


def scored(**more: Any) -> dict[str, Any]:
    return {
        "subject": "rig-1.x", "model": "forest", "verdict": "anomalous", "score": 0.7, "threshold": 0.559,
        "is_alarm": True, "pushed_by": [REASON], "fault_lines": [LINE], **more,
    }  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text('[gateway]\nid = "gw-1"\nsite = "lab"\nruntime_dir = "run"\n', encoding="utf-8")
    (tmp_path / "run").mkdir()
    return path


def leave_status(site: Path) -> None:
    tag_model = {**scored(pushed_by=[]), "asset": "press-3", "name": "risk", "score": None, "is_alarm": False}
    del tag_model["fault_lines"], tag_model["subject"]
    document = {
        "time": "2026-05-04T11:59:00.000Z",
        "sources": [{"channels": [scored()]}, {"tags": []}],
        "tag_models": [tag_model],
    }
    StatusFile(site.parent / "run" / "status.json").write(document)


def test_an_explanation_says_value_baseline_distance_and_part() -> None:
    assert reason_in_words(REASON) == "rms 0.158 (usually 0.077, +4 sigma; 0.09 of the score)"


def test_what_lowers_the_score_or_is_not_known_has_no_part() -> None:
    assert reason_in_words({**REASON, "push": -0.2}) == "rms 0.158 (usually 0.077, +4 sigma)"
    assert reason_in_words({**REASON, "push": None}) == "rms 0.158 (usually 0.077, +4 sigma)"


def test_a_feature_that_never_varied_is_told_apart_where_the_explanation_ends() -> None:
    assert machine_text.MOST_SIGMAS == model.MOST_SIGMAS
    assert "never varied before" in reason_in_words({**REASON, "z": -model.MOST_SIGMAS})


def test_a_fault_line_stands_below_the_models_alarm_it_explains_and_only_there() -> None:
    by_model = {"kind": "model", "since": "2026-05-04T11:59:30Z", "words": None, **scored()}
    alone = {
        "subject": "rig-1.x", "kind": "fault_line", "since": LINE["since"], "model": None, "score": None,
        "threshold": None, "pushed_by": [], "fault_lines": [LINE], "words": LINE["words"],
    }  # fmt: skip
    together = alarms_text([by_model, alone], NOW)
    assert sum("BPFO" in line for line in together) == 1
    assert together[2] == f"    {LINE['words']} since 11:59:10 (50 s ago)"
    assert alarms_text([alone], NOW) == [f"  rig-1.x  since 11:59:10 (50 s ago)  {LINE['words']}"]


def test_an_indicator_shows_its_zone_its_fault_or_why_it_is_withheld() -> None:
    indicator = {
        "name": "velocity", "point": "x", "features": {"velocity_rms": 3.25}, "zone": "C", "fault_lines": [],
        "withheld": None,
    }  # fmt: skip
    assert indicator_lines([indicator])[0].split() == ["x", "velocity", "zone", "C", "velocity_rms", "3.25"]
    assert " fault " in indicator_lines([{**indicator, "zone": None, "fault_lines": [LINE]}])[0]
    withheld = indicator_lines([{**indicator, "withheld": "rig-1.speed is stale"}])[0]
    assert withheld.endswith("withheld  rig-1.speed is stale")
    assert indicator_lines([{**indicator, "features": {}}])[0].endswith("not reported yet")


def test_of_a_dead_agent_the_last_explanation_is_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_status(site)
    assert explain_scores(site, None, as_json=False) == 0
    text = capsys.readouterr().out
    assert text.startswith("the agent does not run; as it was 2026-05-04 11:59:00")
    assert "rig-1.x  forest: anomalous, score 0.700, limit 0.559  ALARM" in text
    assert "  rms 0.158 (usually 0.077, +4 sigma; 0.09 of the score)" in text
    assert "usual is this machine's own" in text
    assert "press-3.risk  forest: not scored" in text


def test_one_subject_can_be_asked_for(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_status(site)
    assert explain_scores(site, "rig-1.x", as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["is_running"] is False
    (explanation,) = document["explanations"]
    assert explanation == scored()


def test_a_subject_that_is_not_scored_is_refused_with_those_that_are(site: Path) -> None:
    leave_status(site)
    with pytest.raises(ConfigurationError, match=r"nothing scored is called 'rig-9\.x'") as refused:
        explain_scores(site, "rig-9.x", as_json=False)
    assert refused.value.hint == "known: rig-1.x, press-3.risk"


def test_the_command_line_knows_it(site: Path) -> None:
    leave_status(site)
    answer = CliRunner().invoke(app, ["models", "explain", "rig-1.x", "--config", str(site), "--json"])
    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["explanations"][0]["pushed_by"] == [REASON]


def test_where_no_agent_ever_ran_the_code_is_2(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_scores(site, None, as_json=False) == 2
    assert "no agent answers" in capsys.readouterr().err


def test_a_status_of_an_older_agent_is_explained_as_far_as_it_goes() -> None:
    old = scored(pushed_by=[{"feature": "rms", "value": 0.158, "z": 4.2}], fault_lines=[])
    document = {"is_running": True, "time": "2026-05-04T11:59:00Z", "explanations": [old]}
    assert "  rms 0.158 (+4 sigma)" in as_text(document, NOW).splitlines()
