"""docs/CLI_OUTPUT.md against what the commands really print."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.bundles.store import BundleStore
from edge_agent.cli import demo as demo_command
from edge_agent.cli import models as models_command
from edge_agent.cli.check import check_box
from edge_agent.cli.models_explain import explanations_of
from edge_agent.cli.score import results_of, score_recording
from edge_agent.cli.score_tags import results_of_table
from edge_agent.cli.status import read_status
from edge_agent.cli.validate import validate_file
from edge_agent.core.clock import SystemClock
from edge_agent.demo.audit import Audit
from edge_agent.recordings import Overrides
from edge_agent.rollout.alarm_record import Totals
from edge_agent.rollout.challenger_file import Challenger, ChallengerState
from edge_agent.rollout.inbox import RefusedItem
from edge_agent.rollout.startup import scoring_model
from edge_agent.settings.load import load_settings
from edge_agent.status.models import describe_updates
from tests.support.bundle_workshop import AI4I, make_workshop

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "CLI_OUTPUT.md"
MODELS = REPOSITORY / "models_onnx"
OPEN_TABLES = {"features", "by_cause", "exceptions_by_code", "longest_reads_learnt"}  # their keys are data
DEADLINE_S = 60.0


def documented(command: str) -> set[str]:
    section = PAGE.read_text(encoding="utf-8").split(f"## `edge-agent {command} --json`")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))


def fields(value: Any, path: str = "") -> Iterator[str]:
    """Every leaf, as the page writes it: `a.b`, `a[].b`."""
    if isinstance(value, dict) and value and path.rpartition(".")[2] not in OPEN_TABLES:
        for key, item in value.items():
            yield from fields(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from fields(item, f"{path}[]")
    else:
        yield path


def unexplained(document: dict[str, Any], page: set[str]) -> set[str]:
    """Leaves that the page does not know; an empty list or table is explained by what it may hold."""
    nested = {name for name in page if name.endswith(("pushed_by", "fault_lines")) or name == "last_status"}
    return {
        leaf
        for leaf in fields(document)
        if leaf not in page
        and not any(name.startswith((f"{leaf}.", f"{leaf}[]")) for name in page)
        and not any(leaf.startswith(name) for name in nested)
    }


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(
        f"""\
[gateway]
id = "gw-docs"
site = "test"
state_dir = "state"
runtime_dir = "run"
[central]
url = "https://127.0.0.1:9"
[report]
interval_s = 1
[models]
dir = "{MODELS}"
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
impulse_hz = 90.0
impulse_amplitude = 0.5
model = "vibration_anomaly_isolationforest"
channels = [{{ point = "de-x" }}]
[[sources.indicators]]
family = "velocity"
window_s = 0.5
zones = "20816-3.group-2.rigid"
zone_reports = 1
[[sources.indicators]]
family = "envelope"
window_s = 0.5
line_windows = 2
bearing = "SKF 6205-2RS"
shaft_hz = 25.1
parameters = {{ band_low_hz = 2000, band_high_hz = 6000 }}
[[sources]]
type = "modbus"
name = "plc"
host = "127.0.0.1"
port = 9
[[sources.poll_groups]]
[[sources.poll_groups.tags]]
name = "press-3.torque"
unit = "Nm"
address = 0
[[tag_models]]
name = "risk"
asset = "press-3"
model = "ai4i_classifier_randomforest_baseline"
inputs = {{ torque_nm = "press-3.torque" }}
[tag_models.constants]
air_temperature_k = 300
process_temperature_k = 310
rotational_speed_rpm = 1500
tool_wear_min = 0
type_l = 0
type_m = 1
""",
        encoding="utf-8",
    )
    return path


def is_telling_all(document: dict[str, Any]) -> bool:
    """An alarm of each kind stands that this site can have, and there are gaps."""
    if document["state"] == "down" or not document["gaps"]["newest"]:
        return False
    return {"model", "zone", "fault_line"} == {alarm["kind"] for alarm in document["alarms"]}


async def test_every_field_of_a_running_agents_status_is_explained(site: Path) -> None:
    agent = Agent.build(load_settings(site), clock=SystemClock(), transport=MemoryTransport())
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        async with asyncio.timeout(DEADLINE_S):
            document = await asyncio.to_thread(read_status, site)
            while not is_telling_all(document):
                assert not running.done()
                await asyncio.sleep(0.05)
                document = await asyncio.to_thread(read_status, site)
    finally:
        stop.set()
        await running
    page = documented("status")
    assert unexplained(document, page) == set()
    assert unexplained(explanations_of(document, is_running=True), documented("models explain")) == set()
    after = read_status(site)
    assert after["state"] == "down"
    assert unexplained(after, page) == set()


def test_every_explained_field_of_status_is_in_the_code() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("status", "installation", "delivery", "drivers", "cli", "health", "pipeline", "rollout")
        for path in (REPOSITORY / "edge_agent" / package).rglob("*.py")
    )
    names = {part.removesuffix("[]") for field in documented("status") for part in field.split(".")}
    assert {name for name in names if f'"{name}"' not in code} == set()


def test_the_fields_of_check_are_the_documented_ones(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_box(site, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert set(fields(document)) == documented("check")
    page = PAGE.read_text(encoding="utf-8").split("## `edge-agent check --json`")[1].split("\n## ")[0]
    assert {check["name"] for check in document["checks"]} <= set(re.findall(r"`([a-z ]+)`", page))


def test_the_fields_of_score_are_the_documented_ones() -> None:
    champion = BundleStore(MODELS).load_champion("vibration_anomaly_isolationforest")
    recording = REPOSITORY / "tests/data/nasa_ims/2nd_test/2004.02.12.10.32.39.gz"
    model = scoring_model(champion)
    line = next(results_of(score_recording(recording, model, None), model))
    assert set(line) == documented("score")


def test_the_fields_of_tables_of_tags_are_the_documented_ones() -> None:
    champion = BundleStore(MODELS).load_champion("ai4i_classifier_randomforest_baseline")
    line = next(results_of_table(REPOSITORY / "tests/data/ai4i/ai4i2020.csv", scoring_model(champion), Overrides()))
    tables = PAGE.read_text(encoding="utf-8").split("tables of tags\n")[1].split("\n## ")[0]
    assert set(line) == set(re.findall(r"^\| `([^`]+)` \|", tables, flags=re.MULTILINE))


@pytest.mark.parametrize("is_valid", [True, False])
def test_the_fields_of_validate_are_the_documented_ones(
    site: Path, capsys: pytest.CaptureFixture[str], is_valid: bool
) -> None:
    if not is_valid:
        site.write_text("", encoding="utf-8")
    assert validate_file(site, as_json=True) == (0 if is_valid else 3)
    document = json.loads(capsys.readouterr().out)
    assert set(document) == documented("validate")
    assert document["is_valid"] is is_valid


def test_the_fields_of_the_demos_summary_are_the_documented_ones() -> None:
    audit = Audit(handed_over=1, committed=1, waiting=0, lost=0, duplicated=0, unexpected=0, alarms=0, gaps=0)
    assert set(demo_command._summary(audit, None, 1.0)) == documented("demo")


def test_the_demos_page_explains_every_field_of_its_summary() -> None:
    page = (REPOSITORY / "docs" / "DEMO.md").read_text(encoding="utf-8")
    table = page.split("| field | what it counts |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table.replace("`lost` and", ""))) == documented("demo")


def test_the_fields_of_models_are_the_documented_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workshop = make_workshop(tmp_path / "models", AI4I)
    workshop.add_version(AI4I, "1.1.0")
    config = tmp_path / "edge.toml"
    config.write_text(
        '[gateway]\nid = "gw"\nsite = "test"\n[central]\nurl = "https://127.0.0.1:9"\n[models]\ndir = "models"\n'
        '[[sources]]\ntype = "synthetic"\nname = "a"\nasset = "b"\nchannels = [{ point = "x" }]\n',
        encoding="utf-8",
    )
    models_command.promote_version(config, AI4I, "1.1.0", why="", as_json=True)
    assert set(json.loads(capsys.readouterr().out)) == documented("models promote")
    models_command.rollback(config, AI4I, None, why="", as_json=True)
    assert set(json.loads(capsys.readouterr().out)) == documented("models promote")
    assert models_command.show_list(config, as_json=True) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(fields(listed)) == documented("models list")
    assert models_command.verify(config, None, None, as_json=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [set(json.loads(line)) for line in lines] == [documented("models verify")] * 2


def test_the_fields_of_model_updates_are_the_documented_ones(site: Path) -> None:
    """With a version in a shadow run and one before, of which a healthy agent has none."""
    agent = Agent.build(load_settings(site), clock=SystemClock(), transport=MemoryTransport())
    rollout = next(iter(agent.lifecycle.rollouts.values()))
    rollout.challenger = Challenger(version="9.0.0", state=ChallengerState.READY, since="2026-05-04T12:00:00Z")
    for each in agent.lifecycle.rollouts.values():
        for version in ("0.9.0", each.model.version):
            each.alarms.count(version, each.model.spec, None, Totals(0, 0, 0), 0.0)
    agent.lifecycle.inbox.refused = (RefusedItem("bundle.tar", "too old", "2026-05-04T12:00:00Z"),)
    document = {"model_updates": describe_updates(agent.lifecycle, agent.model_pull)}
    page = {name for name in documented("status") if name.startswith("model_updates.")}
    found = {field for field in fields(document) if field != "model_updates.champions[].challenger"}
    assert found == page
