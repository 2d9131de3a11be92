"""`edge-agent score` with a model over tags: tables through the live preparation of its rows, one line per file.

The rows go through `pipeline.tag_inputs`, as readings at their own times do while the agent runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.cli.score_progress import Progress
from edge_agent.cli.score_results import file_column, summary_of
from edge_agent.core.quality import CENTRAL_QUALITY, Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.dsp.family_base.family import FamilyInput
from edge_agent.errors import RecordingError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.tag_inputs import VALUE, TagInput, input_of, inputs_wanted, tag_input
from edge_agent.recordings import Overrides, load_table
from edge_agent.recordings.table import Table
from edge_agent.recordings.tag_table import Input, TableTimes, inputs_of, only_value, quality_of, table_times
from edge_agent.settings import TagModelSettings

_NEAR_STEP: Final = (0.9, 1.5)
"""Rows so far apart, in steps of the model, are its steps; nearer ones are sampled, farther ones are none."""


def score_tables(files: list[Path], model: ScoringModel, overrides: Overrides, *, as_json: bool) -> int:
    """Return 0 when every table was scored, 1 when some could not be (each named in one line on standard error)."""
    progress = Progress(len(files), as_json=as_json)
    if not as_json:
        print(f"{'FILE':40} {'ROWS':>8} {'UNUSABLE':>8} {'ANOMALOUS':>10} {'SCORE MEAN':>11} {'MAX':>9}  VERDICT")
    for path in files:
        with progress.turn_of(path):
            progress.scored(list(results_of_table(path, model, overrides)), _as_text)
    progress.end()
    return 1 if progress.n_refused else 0


def results_of_table(path: Path, model: ScoringModel, overrides: Overrides) -> Iterator[dict[str, Any]]:
    """Yield one result; of a model over one tag, one per column that is named. Raises RecordingError."""
    table = load_table(path, overrides=overrides)
    times = table_times(table, overrides)
    if inputs_wanted(model) == (VALUE,):
        _require_times(table, times, model)
        for entry in only_value(table, overrides):
            yield _result(path, table, model, [entry], times)
    else:
        yield _result(path, table, model, inputs_of(table, model.spec.features), times)


def _require_times(table: Table, times: TableTimes | None, model: ScoringModel) -> None:
    if times is None:
        raise RecordingError(
            f"{table.name} has no time column, and {model.name} looks at readings in time",
            hint="name it time or timestamp in the header",
        )
    if input_of(model) is FamilyInput.TIMED_READING and not times.is_dated:
        raise RecordingError(
            f"{table.name} says how long after its begin each row was, and {model.name} needs the date",
            hint="export the time as 2026-04-03 12:00:00, in UTC, or as seconds since 1970",
        )


def _result(
    path: Path, table: Table, model: ScoringModel, inputs: list[Input], times: TableTimes | None
) -> dict[str, Any]:
    rows, n_unusable, why = _rows(table, model, inputs, times)
    scores = model.score(rows.astype(np.float32)) if len(rows) else np.empty(0, np.float32)
    return {
        "file": str(path),
        "columns": {entry.name: entry.column for entry in inputs},
        "bundle": model.name,
        "bundle_version": model.version,
        "rows": len(scores),
        "unusable_rows": n_unusable,
        "unusable_because": why,
        "anomalous_rows": int(np.count_nonzero(scores > model.threshold)),
        **summary_of(scores, model.threshold),
    }


def _rows(
    table: Table, model: ScoringModel, inputs: list[Input], times: TableTimes | None
) -> tuple[NDArray[np.float64], int, str | None]:
    """Features of the rows that have them, how many have none, and why the first of those has none."""
    tags = {entry.name: Tag(f"table.input-{number}", "", "general") for number, entry in enumerate(inputs)}
    prepared = _prepared(model, tags)
    ns = times.ns if times is not None else np.arange(table.n_rows, dtype=np.int64) * 10**9
    qualities = _qualities(table) if input_of(model) is FamilyInput.HISTORY else None
    taken: list[NDArray[np.float64]] = []
    refused: list[str] = []
    for row, now_ns in _beats(table, model, ns):
        missing = next((entry.column for entry in inputs if not np.isfinite(entry.values[row])), None)
        if missing is not None or (qualities is not None and qualities[row] is Quality.BAD):
            refused.append(f"{table.where(row)}: {missing or 'quality'} is missing or bad")
            continue
        quality = Quality.GOOD if qualities is None else qualities[row]
        latest = {
            tags[entry.name].name: Reading(tags[entry.name], float(entry.values[row]), quality, None, now_ns)
            for entry in inputs
        }
        found = prepared.take(latest, now_ns)
        if isinstance(found, str):
            refused.append(f"{table.where(row)}: {found.replace('table.input-0', inputs[0].column)}")
        else:
            taken.append(found)
    stacked = np.stack(taken) if taken else np.empty((0, len(model.spec.features)))
    return stacked, len(refused), refused[0] if refused else None


def _prepared(model: ScoringModel, tags: Mapping[str, Tag]) -> TagInput:
    settings = TagModelSettings(
        name="table",
        asset="table",
        model=model.name,
        inputs={name: tag.name for name, tag in tags.items()},
        interval_s=float(model.spec.parameters.get("step_s", 1.0)),
    )
    return tag_input(settings, model)


def _qualities(table: Table) -> list[Quality] | None:
    values = quality_of(table)
    if values is None:
        return None
    words = list(CENTRAL_QUALITY)
    return [min(words, key=lambda word: abs(CENTRAL_QUALITY[word] - value)) for value in np.nan_to_num(values).tolist()]


def _beats(table: Table, model: ScoringModel, ns: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Row and time of each reading the model takes. Raises RecordingError for rows farther apart than its step."""
    step_ns = round(float(model.spec.parameters.get("step_s", 0.0)) * 1e9)
    if input_of(model) is not FamilyInput.HISTORY or not step_ns or len(ns) < 2:
        yield from zip(range(len(ns)), ns.tolist(), strict=True)
        return
    apart = float(np.median(np.diff(ns))) / step_ns
    if apart > _NEAR_STEP[1]:
        raise RecordingError(
            f"{table.name}: its rows are {apart * step_ns / 1e9:g} s apart, {model.name} was trained on"
            f" readings {step_ns / 1e9:g} s apart",
            hint="export them at that step",
        )
    if apart >= _NEAR_STEP[0]:
        yield from zip(range(len(ns)), ns.tolist(), strict=True)
        return
    for beat_ns in range(int(ns[0]), int(ns[-1]) + 1, step_ns):
        row = int(np.searchsorted(ns, beat_ns, side="right")) - 1
        if beat_ns - int(ns[row]) <= step_ns // 2:  # else a hole: that beat has no reading
            yield row, beat_ns


def _as_text(line: Mapping[str, Any]) -> str:
    name = file_column(line)
    column = f" ({line['columns'][VALUE]})" if set(line["columns"]) == {VALUE} else ""
    if line["rows"] == 0:
        why = line["unusable_because"]
        return f"{name} {0:>8} {line['unusable_rows']:>8} {'-':>10} {'-':>11} {'-':>9}  unknown: {why}"
    return (
        f"{name} {line['rows']:>8} {line['unusable_rows']:>8} {line['anomalous_fraction']:>10.1%}"
        f" {line['score_mean']:>11.4f} {line['score_max']:>9.4f}  {line['verdict']}{column}"
    )
