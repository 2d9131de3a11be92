"""Why scores are what they are: against a machine's own normal reports, kept over restarts."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.pipeline.explain.baseline import ENOUGH
from edge_agent.pipeline.explain.baseline_files import BaselineFiles
from edge_agent.pipeline.explain.explainer import Explainer, NormalIntervals
from edge_agent.pipeline.model import ScoringModel
from tests.support.mean_model import mean_model
from tests.support.waveform_lines import feed, line_of


def taught(model: ScoringModel, n: int = ENOUGH) -> Explainer:
    explainer = Explainer(model)
    for value in np.random.default_rng(2).normal(3.0, 0.5, n):
        explainer.learn(model, np.array([value]))
    return explainer


def test_a_contribution_gives_value_baseline_distance_contribution_and_against_whom() -> None:
    model = mean_model()
    (found,) = Explainer(model).explain(model, np.array([0.9]))
    assert found == {
        "feature": "mean", "value": 0.9, "usual": 0.0, "z": 9.0, "push": pytest.approx(0.9), "against": "training",
    }  # fmt: skip
    assert json.loads(json.dumps(found)) == found


def test_once_learned_the_machine_is_its_own_yardstick() -> None:
    model = mean_model()
    (found,) = taught(model).explain(model, np.array([4.0]))
    assert found["against"] == "machine"
    assert found["usual"] == pytest.approx(3.0, abs=0.2)
    assert found["push"] == pytest.approx(1.0, abs=0.2)


def test_a_new_version_with_the_same_features_goes_on_with_what_was_learned() -> None:
    explainer = taught(mean_model())
    newer = dataclasses.replace(mean_model(), version="1.3.0")
    assert explainer.explain(newer, np.array([4.0]))[0]["against"] == "machine"


def test_a_model_of_other_features_begins_again() -> None:
    explainer = taught(mean_model())
    other = mean_model(names=("rms",))
    assert explainer.explain(other, np.array([4.0]))[0]["against"] == "training"
    assert explainer.baseline.count == 0


def test_only_reports_without_an_anomalous_window_teach() -> None:
    line = line_of(mean_model(), interval_s=0.5)
    feed(line, [(0.1, 0.1)] * 11 + [(0.1, 0.9)] + [(0.1, 0.1)] * 4)
    assert line.channels[0].explainer.baseline.count == 3
    assert line.channels[1].explainer.baseline.count == 2, "the report with the anomalous window does not"


def test_there_is_no_explanation_before_the_first_report() -> None:
    line = line_of(mean_model(), interval_s=60.0)
    feed(line, [(0.1, 0.1)])
    assert line.channels[0].explanation == []


def test_a_normal_interval_gives_its_means_and_an_anomalous_one_nothing() -> None:
    intervals = NormalIntervals(2.0)
    given = [
        intervals.add(np.array([float(i)]), i * 1_000_000_000, is_normal=i != 4)
        for i in range(8)
    ]  # fmt: skip
    told = [None if means is None else means.tolist() for means in given]
    assert told == [None, None, [1.0], None, None, None, [5.5], None]


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, level: str, line: str) -> None:
        self.lines.append(f"{level} {line}")


def files(folder: Path, explainer: Explainer, log: Log, *, measured: dict[str, Any] | None = None) -> BaselineFiles:
    kept = BaselineFiles(folder / "baselines", log=log)
    kept.add("rig-1.x", explainer, {"unit": "g", "scale": 1.0} if measured is None else measured)
    return kept


async def test_what_was_learned_is_there_after_a_restart(tmp_path: Path) -> None:
    model, log = mean_model(), Log()
    await files(tmp_path, taught(model), log).save()
    again = Explainer(model)
    await files(tmp_path, again, log).restore()
    assert again.baseline.current.of == "machine"
    assert log.lines == []
    assert [path.name for path in (tmp_path / "baselines").iterdir()] == ["rig-1.x.json"]


async def test_nothing_new_is_not_written_again(tmp_path: Path) -> None:
    kept = files(tmp_path, taught(mean_model()), Log())
    await kept.save()
    path = tmp_path / "baselines" / "rig-1.x.json"
    path.unlink()
    await kept.save()
    assert not path.exists()


class TwoSleeps(FakeClock):
    """Keeps how long was slept, and ends whoever wants to sleep a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        if len(self.slept_s) == 2:
            raise asyncio.CancelledError
        await super().sleep(seconds)


async def test_while_the_agent_runs_it_is_saved_every_ten_minutes(tmp_path: Path) -> None:
    clock, kept = TwoSleeps(), files(tmp_path, taught(mean_model()), Log())
    with pytest.raises(asyncio.CancelledError):
        await kept.run(clock)
    assert clock.slept_s == [600.0, 600.0]
    assert (tmp_path / "baselines" / "rig-1.x.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', '{"rows": "x"}', "\x00\x01"])
async def test_a_damaged_file_is_named_in_the_log_and_learned_again(tmp_path: Path, text: str) -> None:
    model, log = mean_model(), Log()
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "rig-1.x.json").write_text(text, encoding="utf-8")
    explainer = Explainer(model)
    await files(tmp_path, explainer, log).restore()
    assert explainer.baseline.count == 0
    (line,) = log.lines
    assert "rig-1.x.json" in line


async def test_a_file_of_other_features_or_another_scale_is_not_taken(tmp_path: Path) -> None:
    log = Log()
    await files(tmp_path, taught(mean_model()), log).save()
    other, scaled = Explainer(mean_model(names=("rms",))), Explainer(mean_model())
    await files(tmp_path, other, log).restore()
    await files(tmp_path, scaled, log, measured={"unit": "g", "scale": 9.81}).restore()
    assert (other.baseline.count, scaled.baseline.count) == (0, 0)
    assert len(log.lines) == 2


async def test_a_folder_that_cannot_be_written_is_logged_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "baselines").write_text("a file where the folder should be", encoding="utf-8")
    log = Log()
    await files(tmp_path, taught(mean_model()), log).save()
    assert "cannot be written" in log.lines[0]
