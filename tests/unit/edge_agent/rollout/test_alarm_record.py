"""What a model's alarms were: counted per version, kept as features, and still there after a restart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.pipeline.scored_line import ScoredWindows
from edge_agent.rollout.alarm_record import (
    KEPT_ROWS,
    ROWS_PER_ALARM,
    SAVE_AFTER_ALARM_S,
    SAVE_EVERY_S,
    AlarmRecord,
    Totals,
    kept_rows,
    path_of,
)
from edge_agent.settings import AlarmSettings

SPEC = FeatureSpec("vibration", (FeatureId("rms", 1, "g"), FeatureId("peak", 1, "g")), 100.0, 10, 5)
OTHER_SPEC = dataclasses.replace(SPEC, parameters={"a": 1})


def totals(alarms: int) -> Totals:
    return Totals(alarms, windows=100 * alarms, anomalous=25 * alarms)


def record(folder: Path, spec: FeatureSpec = SPEC) -> AlarmRecord:
    made = AlarmRecord(folder, "press", spec, log=lambda level, text: None)
    made.restore()
    return made


def observed(values: list[float], *, is_standing: bool) -> ScoredWindows:
    rows = np.array(values, np.float32)[None, :, None].repeat(2, axis=2)
    usable = np.ones(rows.shape[:2], np.bool_)
    return ScoredWindows(rows, usable, rows[..., 0], None, ("press-1.x",), (is_standing,), AlarmSettings())


def test_alarms_before_and_after_a_promotion_are_told_apart_and_outlive_a_restart(tmp_path: Path) -> None:
    first = record(tmp_path)
    first.count("1.0.0", SPEC, None, totals(0), 0.0)
    first.count("1.0.0", SPEC, None, totals(62), 7_200.0)
    first.count("1.1.0", SPEC, "2026-05-04T12:00:00Z", totals(62), 7_200.0)
    first.count("1.1.0", SPEC, "2026-05-04T12:00:00Z", totals(63), 10_800.0)
    first.save(10_800.0)
    again = record(tmp_path)
    again.count("1.1.0", SPEC, "2026-05-04T12:00:00Z", totals(0), 5.0)  # a new process counts from nothing
    again.count("1.1.0", SPEC, "2026-05-04T12:00:00Z", totals(1), 65.0)
    assert again.now is not None
    assert again.before is not None
    assert (again.now.version, again.now.alarms, again.now.watched_s) == ("1.1.0", 2, 3_660.0)
    assert (again.before.version, again.before.alarms, again.before.watched_s) == ("1.0.0", 62, 7_200.0)
    assert (again.before.windows, again.before.anomalous) == (6_200, 1_550)
    assert again.now.since == "2026-05-04T12:00:00Z"


def test_it_is_written_soon_after_an_alarm_and_rarely_without(tmp_path: Path) -> None:
    calm = record(tmp_path)
    calm.count("1.0.0", SPEC, None, totals(0), 0.0)
    assert not calm.is_due(SAVE_EVERY_S - 1)
    assert calm.is_due(SAVE_EVERY_S)
    calm.count("1.0.0", SPEC, None, totals(1), 10.0)
    assert not calm.is_due(SAVE_AFTER_ALARM_S - 1)
    assert calm.is_due(SAVE_AFTER_ALARM_S)
    calm.save(60.0)
    assert not calm.is_due(120.0)
    calm.count("1.1.0", SPEC, None, totals(1), 121.0)
    assert calm.is_due(121.0), "a change of version is written at once"


def test_the_first_rows_of_an_alarm_are_kept_and_nothing_without_one(tmp_path: Path) -> None:
    kept = record(tmp_path)
    kept.offer(observed([1.0, 2.0], is_standing=False))
    kept.offer(observed([5.0] * 20, is_standing=True))
    kept.offer(observed([6.0] * 20, is_standing=True))
    kept.save(0.0)
    rows = kept_rows(tmp_path, "press", SPEC)
    assert rows is not None
    assert rows.tolist() == [[5.0, 5.0]] * ROWS_PER_ALARM
    assert kept_rows(tmp_path, "press", OTHER_SPEC) is None
    assert kept_rows(tmp_path, "other", SPEC) is None


def test_the_newest_alarms_stay(tmp_path: Path) -> None:
    kept = record(tmp_path)
    for alarm in range(20):
        kept.offer(observed([float(alarm)] * 9, is_standing=True))
        kept.offer(observed([0.0], is_standing=False))
    kept.save(0.0)
    rows = kept_rows(tmp_path, "press", SPEC)
    assert rows is not None
    assert (len(rows), rows.min(), rows.max()) == (KEPT_ROWS, 12.0, 19.0)
    again = record(tmp_path)
    again.count("2.0.0", OTHER_SPEC, None, totals(0), 0.0)
    again.save(0.0)
    assert kept_rows(tmp_path, "press", SPEC) is None, "other features: the rows mean nothing to them"


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"versions": 5}', b"\xff\xfe", b'{"versions": [], "rows": [["x"]]}'],
    ids=["empty", "cut", "list", "number", "binary", "word"],
)
def test_a_damaged_file_is_named_and_begun_again(tmp_path: Path, damage: bytes) -> None:
    path = path_of(tmp_path, "press")
    path.parent.mkdir()
    path.write_bytes(damage)
    said: list[str] = []
    made = AlarmRecord(tmp_path, "press", SPEC, log=lambda level, text: said.append(text))
    made.restore()
    assert "alarms are counted from zero" in said[0]
    assert made.now is None
    assert kept_rows(tmp_path, "press", SPEC) is None
    made.count("1.0.0", SPEC, None, totals(0), 0.0)
    made.save(0.0)
    assert record(tmp_path).now is not None
