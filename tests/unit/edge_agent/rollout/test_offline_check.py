"""What is found out of a version before it scores anything live."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.bundles.silence import provoked_rows
from edge_agent.bundles.store import BundleStore, Champion
from edge_agent.pipeline.scored_line import ScoredWindows
from edge_agent.rollout.alarm_record import AlarmRecord
from edge_agent.rollout.offline_check import check_offline
from edge_agent.settings import AlarmSettings
from tests.support.bundle_workshop import SHIPPED, VIBRATION


@pytest.fixture(scope="module")
def champion() -> Champion:
    return BundleStore(SHIPPED).load_champion(VIBRATION)


def keep(folder: Path, champion: Champion, rows: np.ndarray) -> None:
    """As an alarm on this machine leaves it."""
    record = AlarmRecord(folder, VIBRATION, champion.bundle.spec, log=lambda level, text: None)
    usable = np.ones((1, len(rows)), np.bool_)
    scores = champion.model.score(rows)[None]
    record.offer(ScoredWindows(rows[None], usable, scores, None, ("press-1.x",), (True,), AlarmSettings()))
    record.save(0.0)


class Quiet:
    """The champion's scores, but for the rows of one fault: as trained on data with that fault in it."""

    def __init__(self, champion: Champion, fault: np.ndarray) -> None:
        self._model, self._fault = champion.model, fault

    def score(self, rows: np.ndarray) -> np.ndarray:
        is_fault = (rows[:, None, :] == self._fault[None]).all(axis=2).any(axis=1)
        return np.where(is_fault, np.float32(0.3), self._model.score(rows))


def test_a_version_that_is_quiet_on_this_machines_own_fault_is_found(champion: Champion, tmp_path: Path) -> None:
    rows = provoked_rows(champion.bundle)
    fault = rows[champion.model.score(rows) > champion.bundle.manifest.threshold][:8]
    model: Any = Quiet(champion, fault)
    candidate = dataclasses.replace(champion, model=model)
    assert check_offline(candidate, champion, missed_fraction=0.5, state_dir=tmp_path).problem is None
    keep(tmp_path, champion, fault)
    found = check_offline(candidate, champion, missed_fraction=0.5, state_dir=tmp_path)
    assert "8 of 8 windows kept from this machine's alarms normal" in str(found.problem)
    assert check_offline(champion, champion, missed_fraction=0.5, state_dir=tmp_path).problem is None


def test_without_a_champion_that_can_be_read_it_must_still_be_able_to_alarm(champion: Champion, tmp_path: Path) -> None:
    manifest = champion.bundle.manifest.model_copy(update={"threshold": 9.0})
    blind = dataclasses.replace(champion, bundle=dataclasses.replace(champion.bundle, manifest=manifest))
    assert "it never alarms" in str(check_offline(blind, None, missed_fraction=0.5, state_dir=tmp_path).problem)
    assert check_offline(champion, None, missed_fraction=0.5, state_dir=tmp_path).evidence == ()
