"""Which names in the state folder are the agent's, and which somebody else put there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_agent.installation.state_files import MOST_NAMED, configured_paths, unexpected_files
from edge_agent.settings import Settings


def settings(state_dir: Path, **models: Any) -> Settings:
    return Settings.model_validate(
        {
            "gateway": {"id": "gw-1", "site": "north", "state_dir": state_dir},
            "central": {"url": "https://central.example"},
            "models": models,
            "sources": [{"type": "synthetic", "name": "s", "asset": "a", "channels": [{"point": "p"}]}],
        }
    )


def test_a_file_that_nobody_expects_is_named_and_kept(tmp_path: Path) -> None:
    for name in ("outbox.db", "outbox.db-wal", "outbox.db.corrupt-mine", "lock", "starts.json", ".identity.json.new"):
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "backup").mkdir()
    assert unexpected_files(tmp_path) == ["backup", "notes.txt"]
    assert (tmp_path / "notes.txt").exists()


def test_what_a_setting_names_is_expected(tmp_path: Path) -> None:
    (tmp_path / "models" / "inbox").mkdir(parents=True)
    assert unexpected_files(tmp_path) == ["models"]
    assert unexpected_files(tmp_path, configured_paths(settings(tmp_path, dir=tmp_path / "models" / "store"))) == []


def test_a_full_folder_is_named_in_part_and_a_missing_one_not_at_all(tmp_path: Path) -> None:
    for number in range(MOST_NAMED + 5):
        (tmp_path / f"{number:03}.csv").touch()
    assert len(unexpected_files(tmp_path)) == MOST_NAMED
    assert unexpected_files(tmp_path / "nowhere") == []
