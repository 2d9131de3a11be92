"""Files that the version before left in the state folder and beside its models still open."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from edge_agent.bundles.champion_file import read_pointer
from edge_agent.bundles.store import BundleStore
from edge_agent.pipeline.explain.baseline import ENOUGH
from edge_agent.pipeline.explain.baseline_files import BaselineFiles
from edge_agent.pipeline.explain.explainer import Explainer
from edge_agent.pipeline.model import ScoringModel
from edge_agent.rollout.alarm_record import ROWS_PER_ALARM, AlarmRecord, kept_rows
from edge_agent.rollout.challenger_file import CHALLENGER_FILE, ChallengerState, read_challenger
from edge_agent.rollout.startup import scoring_model
from tests.support.bundle_workshop import VIBRATION
from tests.support.places import REPOSITORY, SHIPPED_MODELS

OLD = REPOSITORY / "tests" / "golden" / "agent_state"
MODEL = OLD / "models" / VIBRATION


@pytest.fixture(scope="module")
def vibration_model() -> ScoringModel:
    return scoring_model(BundleStore(SHIPPED_MODELS).load_champion(VIBRATION))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "state"))


async def test_a_learned_baseline_goes_on(state: Path, vibration_model: ScoringModel) -> None:
    lines: list[str] = []
    kept = BaselineFiles(state / "baselines", log=lambda level, line: lines.append(line))
    explainer = Explainer(vibration_model)
    kept.add("rig-1.x", explainer, {"unit": "g", "scale": 1.0})
    await kept.restore()
    rows = json.loads((OLD / "baselines" / "rig-1.x.json").read_text(encoding="utf-8"))["rows"]
    assert lines == []
    assert explainer.baseline.count == len(rows) >= ENOUGH
    assert explainer.baseline.current.of == "machine"
    await kept.save()
    assert json.loads((state / "baselines" / "rig-1.x.json").read_text(encoding="utf-8"))["rows"] == rows


def test_the_alarm_record_goes_on_with_its_versions_and_rows(state: Path, vibration_model: ScoringModel) -> None:
    lines: list[str] = []
    record = AlarmRecord(state, VIBRATION, vibration_model.spec, log=lambda level, line: lines.append(line))
    record.restore()
    assert lines == []
    assert [(each.version, each.alarms) for each in record.versions] == [("1.0.0", 0), ("1.1.0", 2), ("1.0.0", 0)]
    assert (record.versions[1].windows, record.versions[1].anomalous) == (70, 70)
    rows = kept_rows(state, VIBRATION, vibration_model.spec)
    assert rows is not None
    assert rows.shape == (2 * ROWS_PER_ALARM, len(vibration_model.spec.features))
    other = dataclasses.replace(vibration_model.spec, parameters={"low_hz": 10.0})
    assert kept_rows(state, VIBRATION, other) is None, "rows of other features are no evidence"


def test_champion_and_challenger_are_read(tmp_path: Path) -> None:
    pointer = read_pointer(MODEL)
    assert (pointer.version, pointer.by, pointer.probation_starts) == ("1.0.0", "agent", None)
    assert [(step.version, step.is_rolled_back) for step in pointer.history] == [("1.1.0", True), ("1.0.0", False)]
    ready = read_challenger(MODEL)
    assert ready is not None
    assert (ready.version, ready.state, ready.is_judged_on_alarms) == ("1.2.0", ChallengerState.READY, True)
    shutil.copy(MODEL / "challenger-refused.json", tmp_path / CHALLENGER_FILE)
    refused = read_challenger(tmp_path)
    assert refused is not None
    assert (refused.version, refused.state) == ("1.1.0", ChallengerState.REFUSED)
    assert "more than 5.0%" in refused.reason
