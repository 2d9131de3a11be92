"""`edge-agent check`: what each check says, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.cli.check import as_text, check_box
from edge_agent.cli.host_checks import (
    Check,
    Result,
    check_models,
    check_runtime_folder,
    check_starts,
    check_state_folder,
    measure_state_folder,
)
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError
from edge_agent.installation.starts import DIED, record_start
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
MODEL = "vibration_anomaly_isolationforest"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(
        f"""\
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"
accept_volatile_state = true
[central]
url = "http://127.0.0.1:9"
allow_plaintext = true
[models]
dir = "{ROOT}/models_onnx"
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
sample_rate_hz = 20480
model = "{MODEL}"
channels = [{{ point = "de-x" }}]
""",
        encoding="utf-8",
    )
    return path


def changed(site: Path, before: str, after: str) -> Settings:
    text = site.read_text(encoding="utf-8")
    assert before in text
    site.write_text(text.replace(before, after), encoding="utf-8")
    return load_settings(site)


def only(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_everything_is_said_in_one_table_and_a_central_that_is_away_is_to_be_mended(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_box(site, as_json=False) == 1
    text = capsys.readouterr().out
    for name in ("state folder", "room", "writes", "runtime folder", "memory", "clock", "models", "central", "agent"):
        assert f"\n{name} " in text
    assert "nobody listens there: connection refused" in text
    assert "-> does the central run?" in text


def test_nothing_stays_behind_in_the_folder_that_is_measured(site: Path) -> None:
    settings = load_settings(site)
    settings.gateway.state_dir.mkdir()
    check, took = measure_state_folder(settings)
    assert took is not None
    assert took.writes > 0
    assert str(settings.gateway.state_dir) in check.what
    assert list(settings.gateway.state_dir.iterdir()) == []


def test_a_wrong_file_is_refused_like_everywhere(site: Path) -> None:
    site.write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError):
        check_box(site, as_json=True)


def test_the_worst_check_is_the_result(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed(site, f'dir = "{ROOT}/models_onnx"', 'dir = "nowhere"')
    assert check_box(site, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["result"] == "bad"
    models = next(check for check in document["checks"] if check["name"] == "models")
    assert models["result"] == "bad"
    assert "models.dir" in models["do"]


def test_a_bundle_that_nobody_chose_is_bad_and_one_that_is_there_is_named_with_its_version(site: Path) -> None:
    assert only(check_models(load_settings(site)), "models").what.startswith(f"{MODEL} 1.")
    assert only(check_models(changed(site, MODEL, "no_such_model")), "models").result is Result.BAD


def test_a_disk_whose_floor_is_higher_than_what_is_free_has_no_room(site: Path) -> None:
    settings = changed(site, "[models]", f"[outbox]\nmin_free_bytes = {1 << 60}\n[models]")
    room = only(check_state_folder(settings), "room")
    assert room.result is Result.BAD
    assert "outbox.min_free_bytes" in str(room.do)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_runtime_folder_may_be_missing(site: Path, is_there: bool) -> None:
    settings = load_settings(site)
    if is_there:
        settings.gateway.runtime_dir.mkdir()
    assert check_runtime_folder(settings).result is Result.OK


def test_a_folder_that_cannot_be_looked_at_is_a_finding_and_no_end(site: Path) -> None:
    settings = changed(site, 'runtime_dir = "run"', f'runtime_dir = "{"x" * 300}"')
    found = check_runtime_folder(settings)
    assert found.result is Result.WARNING
    assert "cannot be looked at: File name too long" in found.what


def test_a_loop_of_starts_is_a_warning(site: Path) -> None:
    settings = load_settings(site)
    settings.gateway.state_dir.mkdir()
    assert check_starts(settings).result is Result.OK
    for _ in range(14):
        record_start(settings.gateway.state_dir, now_s=SystemClock().now_ns() / 1e9, before=DIED)
    found = check_starts(settings)
    assert found.result is Result.WARNING
    assert found.what == f"the agent was started 14 times in the last hour; last end: {DIED}"


def test_what_to_do_stands_below_its_check() -> None:
    text = as_text(Path("edge.toml"), [Check("clock", Result.WARNING, "not synchronised", "start a time service")])
    assert text.splitlines()[-2:] == [
        "clock           warning  not synchronised",
        "                         -> start a time service",
    ]
