"""Whatever the umask of whoever starts it: what the agent keeps is its own, and its group may ask for the status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = "vibration_anomaly_isolationforest"
DEADLINE_S = 120.0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    models = tmp_path / "state" / "models"
    shutil.copytree(ROOT / "models_onnx" / "keys", models / "keys")
    shutil.copytree(ROOT / "models_onnx" / MODEL, models / MODEL)
    path = tmp_path / "edge.toml"
    path.write_text(f"""
[gateway]
id = "gw-test"
site = "lab"
state_dir = "state"
runtime_dir = "run"
[central]
url = "https://127.0.0.1:9"
[outbox]
flush_interval_s = 0.2
min_free_bytes = 0
key_journal = "state/keys.log"
[models]
dir = "state/models"
inbox = "state/inbox"
[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
model = "{MODEL}"
channels = [{{ point = "x" }}]
""")
    return path


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=["umask 000", "umask 077"])
def test_every_file_of_a_run_has_its_mode(site: Path, umask: int) -> None:
    (site.parent / "state").chmod(0o777)
    drop(site.parent / "state" / "inbox")
    with subprocess.Popen(command("run", site), env=environment(), cwd=ROOT, umask=umask) as agent:
        status = last_status(site, agent)
        found = modes(site.parent, "run*", "run/*", "state/outbox*")
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(DEADLINE_S) == 0
    assert status["outbox"]["records"] > 0
    subprocess.run(
        command("outbox", "export", site.parent / "out.edge", config=site), env=environment(), check=True, umask=umask,
        cwd=ROOT, capture_output=True,
    )  # fmt: skip
    assert not int(modes(site.parent, "out.edge")["out.edge"], 8) & 0o002, "nobody else may write an export"
    found |= modes(site.parent, "state", "state/**/*")
    assert found["run"] in ("0o750", "0o755")  # as it was found, or as the agent makes it
    assert found["run/edge-agent.sock"] == "0o660"
    assert found["run/status.json"] == "0o640"
    kept = {name: mode for name, mode in found.items() if name.startswith("state")}
    assert {"state/outbox.db", "state/outbox.db-wal", "state/keys.log", "state/export.key", "state/lock"} <= kept.keys()
    assert kept["state"] == "0o700"
    ours = {name: mode for name, mode in kept.items() if not name.startswith("state/models")}
    assert {name: mode for name, mode in ours.items() if mode not in ("0o700", "0o600")} == {}
    assert {name: mode for name, mode in kept.items() if int(mode, 8) & 0o022} == {}, "nobody else may write a model"


def drop(inbox: Path) -> None:
    """A bundle of another name, whose installation and whose refusal leave files."""
    inbox.mkdir(mode=0o700)
    shutil.copytree(ROOT / "models_onnx" / "vibration_anomaly_oneclasssvm" / "1.0.0", inbox / "new")
    shutil.copytree(ROOT / "models_onnx" / "pump_randomforest_baseline" / "1.0.0", inbox / "damaged")
    (inbox / "damaged" / "model.onnx").write_bytes(b"x")


def last_status(site: Path, agent: subprocess.Popen[bytes]) -> dict[str, dict[str, int]]:
    """Once there are records, and both bundles were looked at."""
    started_s = time.monotonic()
    state = site.parent / "state"
    while time.monotonic() - started_s < DEADLINE_S:
        assert agent.poll() is None
        if (state / "models" / "vibration_anomaly_oneclasssvm").exists() and list(state.glob("inbox/refused/*.json")):
            status: dict[str, dict[str, int]] = json.loads((site.parent / "run" / "status.json").read_text())
            if status.get("outbox", {}).get("records"):
                return status
        time.sleep(0.2)
    raise AssertionError("nothing was recorded or taken in")


def modes(folder: Path, *patterns: str) -> dict[str, str]:
    found = [path for pattern in patterns for path in folder.glob(pattern)]
    return {str(path.relative_to(folder)): oct(stat.S_IMODE(path.lstat().st_mode)) for path in found}


def command(*words: str | Path, config: Path | None = None) -> list[str]:
    if config is None:
        words, config = words[:-1], Path(words[-1])
    return [sys.executable, "-m", "edge_agent", *map(str, words), "--config", str(config)]


def environment() -> dict[str, str]:
    return {**os.environ, "EDGE_CENTRAL__API_KEY": "a-key"}
