"""`edge-agent score` with models over tags: every shipped one scores a table as the agent would have, row by row."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge_agent.cli.score import load_model, score_paths
from edge_agent.pipeline.model import ScoringModel
from edge_agent.recordings import Overrides
from tests.support.places import SHIPPED_MODELS

MODELS = SHIPPED_MODELS
FOREST = "ai4i_classifier_randomforest_baseline"
PUMP = "pump_randomforest_baseline"
HISTORY = "anomaly_detector_refined_v2"
NEXT_READING = "lightgbm_forecaster_challenger"
FORECAST = "prophet_forecaster_enhanced_sensor-001"
STEP_S = 300
START = np.datetime64("2026-04-03T12:00:00")
VALUES = np.round(50 + 10 * np.random.default_rng(1).standard_normal(40), 3)


def scored(
    capsys: pytest.CaptureFixture[str], path: Path, bundle: str, **overrides: Any
) -> tuple[int, list[dict[str, Any]], str]:
    code = score_paths(
        [path], bundle, as_json=True, models=MODELS, rate=None, allow_unsigned=False, overrides=Overrides(**overrides)
    )
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def model_of(bundle: str) -> ScoringModel:
    return load_model(bundle, MODELS, allow_unsigned=False)


def table(path: Path, columns: dict[str, Any], *, separator: str = ";") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


MILLING = {
    "UDI": [1, 2, 3],
    "Type": ["M", "L", "H"],
    "Air temperature [K]": [298.1, 298.2, 303.4],
    "Process temperature [K]": [308.6, 308.7, 312.5],
    "Rotational speed [rpm]": [1551, 1408, 1200],
    "Torque [Nm]": [42.8, 46.3, 76.6],
    "Tool wear [min]": [0, 3, 240],
}
ROWS = [[298.1, 308.6, 1551, 42.8, 0, 0, 1], [298.2, 308.7, 1408, 46.3, 3, 1, 0], [303.4, 312.5, 1200, 76.6, 240, 0, 0]]


def test_columns_are_found_by_name_unit_and_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, (line,), _ = scored(capsys, table(tmp_path / "mill.csv", MILLING), FOREST)
    scores = model_of(FOREST).score(np.array(ROWS, np.float32))
    assert (code, line["rows"], line["unusable_rows"]) == (0, 3, 0)
    assert (line["score_mean"], line["score_max"]) == pytest.approx((scores.mean(), scores.max()))
    assert line["anomalous_rows"] == np.count_nonzero(scores > line["threshold"]) == 1
    assert line["columns"]["type_l"] == "Type"
    assert line["columns"]["torque_nm"] == "Torque [Nm]"


def test_a_parquet_table_scores_as_the_text_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, (text,), _ = scored(capsys, table(tmp_path / "mill.csv", MILLING), FOREST)
    pq.write_table(pa.table(MILLING), tmp_path / "mill.parquet")
    _, (parquet,), _ = scored(capsys, tmp_path / "mill.parquet", FOREST)
    assert {**parquet, "file": ""} == {**text, "file": ""}


def test_missing_columns_are_named_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {name.replace("Torque [Nm]", "Torqe"): values for name, values in MILLING.items() if name != "Type"}
    code, lines, stderr = scored(capsys, table(tmp_path / "mill.csv", columns), FOREST)
    assert (code, lines) == (1, [])
    assert "mill.csv has no column for torque_nm (nearest: 'Torqe'), type_l, type_m" in stderr
    assert "the model takes air_temperature_k, process_temperature_k" in stderr


def test_another_unit_is_converted_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {name.replace("[Nm]", "[kNm]"): values for name, values in MILLING.items()}
    columns["Torque [kNm]"] = [0.0428, 0.0463, 0.0766]
    _, (converted,), _ = scored(capsys, table(tmp_path / "a.csv", columns), FOREST)
    _, (plain,), _ = scored(capsys, table(tmp_path / "b.csv", MILLING), FOREST)
    assert converted["score_mean"] == pytest.approx(plain["score_mean"])
    columns = {name.replace("Air temperature [K]", "Air temperature [degC]"): v for name, v in MILLING.items()}
    code, lines, stderr = scored(capsys, table(tmp_path / "c.csv", columns), FOREST)
    assert (code, lines) == (1, [])
    assert "column 3 'Air temperature [degC]' is in degC, air_temperature_k is in K" in stderr


def test_a_row_with_a_missing_value_is_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {**MILLING, "Torque [Nm]": ["42.8", "", "76.6"]}
    _, (line,), _ = scored(capsys, table(tmp_path / "mill.csv", columns), FOREST)
    assert (line["rows"], line["unusable_rows"]) == (2, 1)
    assert line["unusable_because"] == "line 3: Torque [Nm] is missing or bad"


def readings(path: Path, *, step_s: int = STEP_S, hole_after: int | None = None, column: str = "value") -> Path:
    seconds = np.arange(len(VALUES)) * step_s
    if hole_after is not None:
        seconds[hole_after:] += 50 * step_s
    return table(path, {"timestamp": START + seconds.astype("timedelta64[s]"), column: VALUES, "note": ["ok"] * 40})


def test_a_history_is_made_as_the_agent_makes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_of(NEXT_READING)
    _, (line,), _ = scored(capsys, readings(tmp_path / "a.csv"), NEXT_READING)
    rows = np.lib.stride_tricks.sliding_window_view(VALUES, 14)[:, ::-1].astype(np.float32)
    names = list(model.feature_names)
    assert names[:14] == ["value", *(f"value_lag_{k}" for k in range(1, 14))]
    full = np.ones((len(rows), len(names)), np.float32)  # what is no value is the quality of a good one
    full[:, :14] = rows
    assert (line["rows"], line["unusable_rows"]) == (27, 13)
    assert line["unusable_because"] == "line 2: value has a history of 1 of 14 readings"
    assert line["score_mean"] == pytest.approx(model.score(full).mean(), rel=1e-5)


def test_a_history_begins_again_after_a_hole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, (line,), _ = scored(capsys, readings(tmp_path / "a.csv", hole_after=20), NEXT_READING)
    assert (line["rows"], line["unusable_rows"]) == (14, 26)


def test_rows_nearer_than_the_step_are_sampled_and_farther_ones_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, (line,), _ = scored(capsys, readings(tmp_path / "a.csv", step_s=100), HISTORY)
    assert line["rows"] == 14
    code, lines, stderr = scored(capsys, readings(tmp_path / "b.csv", step_s=900), HISTORY)
    assert (code, lines) == (1, [])
    assert "its rows are 900 s apart, anomaly_detector_refined_v2 was trained on readings 300 s apart" in stderr


def test_a_forecast_needs_dates_and_says_which_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, (line,), _ = scored(capsys, readings(tmp_path / "a.csv", column="T"), FORECAST)
    assert (line["rows"], line["columns"]) == (40, {"value": "T"})
    undated = table(tmp_path / "b.csv", {"time (s)": range(40), "value": VALUES})
    code, _, stderr = scored(capsys, undated, FORECAST)
    assert code == 1
    assert "needs the date" in stderr
    untimed = table(tmp_path / "c.csv", {"value": VALUES})
    assert "has no time column" in scored(capsys, untimed, FORECAST)[2]


def test_of_several_columns_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    stamps = START + (np.arange(40) * STEP_S).astype("timedelta64[s]")
    table(path, {"time": stamps, "T [degC]": VALUES, "p [bar]": VALUES / 10})
    code, _, stderr = scored(capsys, path, HISTORY)
    assert code == 1
    assert "--columns NAME says which: T [degC], p [bar]" in stderr
    code, lines, _ = scored(capsys, path, HISTORY, columns=("T", "p [bar]"))
    assert [line["columns"]["value"] for line in lines] == ["T [degC]", "p [bar]"]
    assert [line["rows"] for line in lines] == [40, 40]


def test_the_pumps_table_is_read_with_its_units_and_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {
        "Timestamp": ["2024-01-01 00:00:00", "2024-01-01 01:00:00"], "Voltage (V)": [110, 111],
        "Current (A)": [0.5, 0.6],
        "Temperature (\u00b0C)": [20, 21], "Power (W)": [55.0, 66.6], "Humidity (%)": [40, 41],
        "Vibration (m/s\u00b2)": [0.2, 0.25], "Failure Type": ["Overload", "None"],
        "Ambient Temperature (\u00b0C)": [20, 21],
        "Ambient Humidity (%)": [40, 41], "Last Maintenance Date": ["2024-12-01", "2024-11-01"],
    }  # fmt: skip
    code, (line,), _ = scored(capsys, table(tmp_path / "pump.csv", columns, separator=","), PUMP)
    assert (code, line["rows"]) == (0, 2)
