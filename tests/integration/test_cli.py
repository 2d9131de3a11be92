"""The commands as a technician runs them: real processes, exit codes, one clear line per error."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edge_agent.cli import main as cli_main
from edge_agent.cli import validate as cli_validate

ROOT = Path(__file__).parents[2]
IMS = ROOT / "tests" / "data" / "nasa_ims" / "2nd_test"
BEARINGS = "vibration_anomaly_isolationforest"
FAN = ROOT / "tests" / "data" / "mimii" / "0_dB" / "fan" / "id_02"
SOUND = "RandomForest_MIMII_Audio_Benchmark"


def edge(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent", *map(str, arguments)],
        capture_output=True, text=True, timeout=100, check=False, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip


def config(folder: Path, *, url: str = "https://127.0.0.1:1") -> Path:
    path = folder / "edge.toml"
    path.write_text(f"""
[gateway]
id = "gw-test"
site = "lab"
state_dir = "state"
runtime_dir = "run"

[central]
url = "{url}"

[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
model = "{BEARINGS}"
channels = [{{ point = "x" }}]

[models]
dir = "{ROOT / "models_onnx"}"
""")
    return path


def scored(*arguments: str | Path) -> list[dict[str, Any]]:
    answer = edge("score", *arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def no_traceback(answer: subprocess.CompletedProcess[str]) -> bool:
    return "Traceback" not in answer.stderr + answer.stdout


def test_a_run_to_failure_is_quiet_at_first_and_anomalous_on_the_last_day() -> None:
    lines = [line for line in scored(IMS, "--bundle", BEARINGS) if line["channel"] == 1]
    first_third = lines[: len(lines) // 3]
    last_day = [line for line in lines if "2004.02.19" in line["file"] and line["features"]["rms"] > 0.01]
    assert len(last_day) >= 5
    assert share(first_third) <= 0.05
    assert share(last_day) >= 0.95


def share(lines: list[dict[str, Any]]) -> float:
    return float(sum(line["anomalous_windows"] for line in lines) / sum(line["windows"] for line in lines))


def test_a_result_names_file_channel_scores_threshold_and_features() -> None:
    (line, *_) = scored(next(iter(sorted(IMS.iterdir()))), "--bundle", BEARINGS)
    needed = {"file", "channel", "windows", "anomalous_windows", "anomalous_fraction", "score_mean", "score_max"}
    assert needed | {"threshold", "verdict", "features"} <= line.keys()
    assert line["windows"] == 19
    assert line["sample_rate_source"] == "given"
    assert list(line["features"])[:3] == ["rms", "peak_to_peak", "kurtosis"]


def test_a_rate_that_no_file_and_nobody_said_is_named_as_the_models() -> None:
    snapshot = min(IMS.iterdir())
    assert "read at the model's, 20480 Hz (--rate says" in edge("score", snapshot, "--bundle", BEARINGS).stderr
    assert not edge("score", snapshot, "--bundle", BEARINGS, "--rate", "20480").stderr


def test_normal_and_abnormal_sound_are_told_apart_on_the_machine_it_was_trained_on() -> None:
    normal = scored(FAN / "normal", "--bundle", SOUND)
    abnormal = scored(FAN / "abnormal", "--bundle", SOUND)
    assert share(normal) < 0.1
    assert share(abnormal) > 0.9


def test_bad_recordings_are_one_line_each_and_the_good_ones_are_scored(tmp_path: Path) -> None:
    good = next(iter(sorted(IMS.iterdir())))
    text = gzip.decompress(good.read_bytes()).decode()
    (tmp_path / "a-short.txt").write_text("\n".join(text.splitlines()[:100]))
    (tmp_path / "b-words.csv").write_text("0.1,0.2\n0.3,oops\n")
    (tmp_path / "c-truncated.gz").write_bytes(good.read_bytes()[:5000])
    soundfile.write(tmp_path / "d-rate.wav", np.random.default_rng(0).normal(0, 0.1, 48_000), 16_000)
    shutil.copy(good, tmp_path / "e-2004.02.12.10.32.39.gz")
    answer = edge("score", *sorted(tmp_path.iterdir()), "--bundle", BEARINGS, "--json")
    assert answer.returncode == 1
    assert len(answer.stdout.splitlines()) == 4
    complaints = answer.stderr.splitlines()
    assert len(complaints) == 4
    for name, words in {
        "a-short": "shorter than one window", "b-words": "oops", "c-truncated": "truncated", "d-rate": "16000 Hz",
    }.items():  # fmt: skip
        assert any(name in line and words in line for line in complaints), (name, complaints)
    assert no_traceback(answer)


def test_samples_that_are_not_a_number_leave_their_windows_out(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (20_480, 1))
    samples[5000] = np.nan
    path = tmp_path / "burst.csv"
    np.savetxt(path, samples, delimiter=",")
    (line,) = scored(path, "--bundle", BEARINGS)
    assert line["windows"] == 17
    assert line["unusable_windows"] == 2


def test_a_bundle_with_one_flipped_byte_is_refused_by_name(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models_onnx", models)
    golden = models / BEARINGS / "1.0.0" / "golden.npz"
    content = bytearray(golden.read_bytes())
    content[100] ^= 1
    golden.write_bytes(content)
    answer = edge("score", IMS, "--bundle", BEARINGS, "--models", models)
    assert answer.returncode == 3
    assert "golden.npz" in answer.stderr
    assert no_traceback(answer)


def test_an_unknown_bundle_names_the_known_ones() -> None:
    answer = edge("score", IMS, "--bundle", "nonsense")
    assert answer.returncode == 3
    assert BEARINGS in answer.stderr


def test_a_recording_has_none_of_a_tag_models_columns() -> None:
    answer = edge("score", IMS, "--bundle", "ai4i_classifier_randomforest_baseline")
    assert answer.returncode == 1
    assert "has no column for air_temperature_k" in answer.stderr
    assert no_traceback(answer)


def test_status_without_a_daemon_says_down_and_what_to_do(tmp_path: Path) -> None:
    answer = edge("status", "--config", config(tmp_path), "--json")
    document = json.loads(answer.stdout)
    assert answer.returncode == 2
    assert document["state"] == "down"
    assert "start it" in document["problems"][0]["do"]


def test_status_with_a_wrong_configuration_names_line_and_fix_and_exits_3(tmp_path: Path) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text().replace("channels =", "chanels ="))
    answer = edge("status", "--config", path)
    assert answer.returncode == 3
    assert "edge.toml:16" in answer.stdout
    assert "did you mean channels?" in answer.stdout


def test_run_refuses_a_wrong_configuration_before_it_opens_anything(tmp_path: Path) -> None:
    path = config(tmp_path, url="http://127.0.0.1:1")
    answer = edge("run", "--config", path, EDGE_CENTRAL__API_KEY="secret-value")
    assert answer.returncode == 3
    assert "allow_plaintext" in answer.stderr
    assert "secret-value" not in answer.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "edge_agent", "validate", config(tmp_path)],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=False, cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        "edge-agent: what this command prints cannot be written: No space left on device",
        "  where does it go to?",
    ]


def test_what_nobody_foresaw_is_one_line_and_where_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(file: Path | None, *, as_json: bool) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli_validate, "validate_file", broken)
    monkeypatch.setattr(sys, "argv", ["edge-agent", "validate", "edge.toml"])
    with pytest.raises(SystemExit) as end:
        cli_main.run()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("edge-agent: it failed unexpectedly: ZeroDivisionError: division by zero\n  at cli/main.py:")
    assert "Traceback" not in said


def test_run_without_an_api_key_says_where_one_may_come_from(tmp_path: Path) -> None:
    answer = edge("run", "--config", config(tmp_path))
    assert answer.returncode == 3
    assert "central-api-key" in answer.stderr


@pytest.mark.parametrize("wanted", ["valid", "broken"])
def test_validate_answers_people_and_scripts(tmp_path: Path, wanted: str) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text() + {"valid": "", "broken": "\n[outbx]\nmax_bytes = 1\n"}[wanted])
    answer = edge("validate", path, "--json")
    document = json.loads(answer.stdout)
    assert document["is_valid"] == (wanted == "valid")
    assert answer.returncode == {"valid": 0, "broken": 3}[wanted]


def test_the_status_command_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['edge-agent', 'status', '--config', '/nonexistent'];\n"
        "from edge_agent.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'onnxruntime', 'pymodbus', 'asyncua', 'sounddevice', 'httpx', 'sqlite_utils'}\n"
        "print(sorted(heavy & {m.partition('.')[0] for m in sys.modules}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_a_disk_that_refuses_at_start_is_worth_another_start(tmp_path: Path) -> None:
    path = config(tmp_path)
    (tmp_path / "state" / "outbox.db").mkdir(parents=True)
    answer = edge("run", "--config", path, EDGE_CENTRAL__API_KEY="a-key")
    assert answer.returncode == 1, "3 would tell systemd not to try again"
    assert "outbox.db" in answer.stderr
    assert no_traceback(answer)


def test_a_daemon_that_is_busy_is_not_called_dead(tmp_path: Path) -> None:
    path = config(tmp_path)
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(tmp_path / "run" / "edge-agent.sock"))
        silent.listen()
        answer = edge("status", "--config", path)
    assert answer.returncode == 2
    assert "has not answered" in answer.stdout
    assert "died" not in answer.stdout
