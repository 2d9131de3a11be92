"""The demo's site file: the simulated plant and the shipped recordings, written as any site would write it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.private_files import open_private
from edge_agent.demo.plant_sources import modbus_source, opcua_source
from edge_agent.errors import ConfigurationError

GATEWAY_ID: Final = "gw-demo"
BEARING_MODEL: Final = "vibration_anomaly_isolationforest"
SOUND_MODEL: Final = "RandomForest_MIMII_Audio_Benchmark"
PRESS_MODEL: Final = "ai4i_classifier_randomforest_baseline"

BEARING_POINTS: Final = ("bearing-1", "bearing-2", "bearing-3", "bearing-4")
CLIPS_PER_LABEL: Final = 3  # ten seconds each: half a minute of normal sound, then half a minute of abnormal


@dataclass(frozen=True, slots=True)
class DemoFolders:
    """Where everything of one demo lies. `runtime_dir` is short: it holds a unix socket."""

    state_dir: Path
    runtime_dir: Path
    data_dir: Path
    models_dir: Path
    key_file: Path

    @property
    def config_file(self) -> Path:
        return self.state_dir / "edge.toml"

    @property
    def audit_log_file(self) -> Path:
        return self.state_dir / "keys.log"

    @property
    def press_rows(self) -> Path:
        return self.data_dir / "ai4i" / "ai4i2020.csv"


def write_configuration(folders: DemoFolders, *, central_url: str, modbus_port: int, opcua_port: int) -> Path:
    """Write the site file for this start (ports differ from start to start) and return its path."""
    document: dict[str, Any] = {
        "gateway": {
            "id": GATEWAY_ID,
            "site": "demo",
            "state_dir": str(folders.state_dir / "gateway"),
            "runtime_dir": str(folders.runtime_dir),
            "accept_volatile_state": True,
        },
        "central": {
            "url": central_url,
            "allow_plaintext": True,
            "api_key_file": str(folders.key_file),
            "backoff_max_s": 5.0,
        },
        "outbox": {"flush_interval_s": 1.0, "key_journal": str(folders.audit_log_file)},
        "report": {"interval_s": 5.0, "alarm_interval_s": 1.0, "heartbeat_s": 10.0},
        "models": {"dir": str(folders.models_dir)},
    }
    sources = [
        _bearings(folders),
        _fan(folders),
        modbus_source(modbus_port),
        opcua_source(opcua_port),
    ]
    text = "# Written by `edge-agent demo` at every start.\n"
    text += "".join(f"\n[{name}]\n{_lines(table)}" for name, table in document.items())
    text += "".join(f"\n[[sources]]\n{_lines(source)}" for source in sources)
    text += f"\n[[tag_models]]\n{_lines(_press_model())}"
    with open_private(folders.config_file, "w", encoding="utf-8") as file:
        file.write(text)
    return folders.config_file


def _bearings(folders: DemoFolders) -> dict[str, Any]:
    return {
        "type": "replay",
        "stands_for": "accelerometer",
        "name": "bearing-rig",
        "asset": "rig-1",
        "path": str(folders.data_dir / "nasa_ims" / "2nd_test"),
        "unit": "g",
        "sample_rate_hz": 20_480.0,
        "pace": 1.0,
        "repeat": True,
        "model": BEARING_MODEL,
        "channels": [{"point": point} for point in BEARING_POINTS],
        "alarm": {"over_windows": 40, "enter_fraction": 0.6, "leave_fraction": 0.2},
        "indicators": [
            {
                "family": "envelope",
                "bearing": "Rexnord ZA-2115",
                "shaft_hz": 33.33,
                "parameters": {"band_low_hz": 2000.0, "band_high_hz": 5000.0},
            }
        ],
    }


def _fan(folders: DemoFolders) -> dict[str, Any]:
    return {
        "type": "replay",
        "stands_for": "microphone",
        "name": "fan-microphone",
        "asset": "fan-2",
        "path": str(_fan_clips(folders)),
        "unit": "",
        "pace": 1.0,
        "repeat": True,
        "model": SOUND_MODEL,
        "channels": [{"point": "mic-1"}],
        "alarm": {"over_windows": 6, "enter_fraction": 0.6, "leave_fraction": 0.2},
    }


def _fan_clips(folders: DemoFolders) -> Path:
    """A folder that plays the normal clips first: recordings are played in name order."""
    clips = folders.data_dir / "mimii" / "0_dB" / "fan" / "id_02"
    folder = folders.state_dir / "fan-clips"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for order, label in enumerate(("normal", "abnormal"), start=1):
        for clip in sorted((clips / label).glob("*.flac"))[:CLIPS_PER_LABEL]:
            link = folder / f"{order}-{label}-{clip.name}"
            link.symlink_to(clip.resolve())
    if not any(folder.iterdir()):
        raise ConfigurationError(
            f"no sound recordings in {clips}", hint="--data must name the folder that holds mimii, nasa_ims and ai4i"
        )
    return folder


def _press_model() -> dict[str, Any]:
    return {
        "name": "failure-risk",
        "asset": "press-3",
        "model": PRESS_MODEL,
        "interval_s": 1.0,
        "inputs": {
            "air_temperature_k": "press-3.air_temperature",
            "process_temperature_k": "press-3.process_temperature",
            "rotational_speed_rpm": "press-3.rotational_speed",
            "torque_nm": "press-3.torque",
            "tool_wear_min": "press-3.tool_wear",
            "type_l": "press-3.type_l",
            "type_m": "press-3.type_m",
        },
        "alarm": {"over_windows": 3, "enter_fraction": 0.6, "leave_fraction": 0.0},
    }


def _lines(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: Any) -> str:
    """A value as TOML: JSON's texts, numbers and booleans are TOML's as well; tables are inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
