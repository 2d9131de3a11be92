"""Which files of a folder are recordings, by name alone; nothing is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge_agent.errors import RecordingError
from edge_agent.recordings.formats import FORMATS
from edge_agent.recordings.loading import IMS_NAME

ENDINGS: Final = tuple(ending for form in FORMATS for ending in form.endings)
# Tables that lie beside recordings. Each of them would otherwise be read as samples.
_NOT_SAMPLES: Final = re.compile(r"^(readme|licen[cs]e|manifest|changelog|.*features?\.|temp_\d+\.)", re.IGNORECASE)


def find_recordings(paths: Iterable[Path | str]) -> list[Path]:
    """Find files as given, folders searched to the bottom, each folder in name order.

    A file named on purpose is always taken. In a folder, only known endings (also with .gz) and
    names that are a time (2004.02.12.10.32.39) are; hidden files and folders, read-me files and tables of
    features are not.
    Raises RecordingError for a path that is not there.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        try:
            found += _in_folder(path) if path.is_dir() else [_existing(path)]
        except OSError as exc:
            raise RecordingError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    return found


def _existing(path: Path) -> Path:
    if not path.exists():
        raise RecordingError(f"{path} is not there", hint="check the path and, for a mounted disk, that it is mounted")
    return path


def _in_folder(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if _is_recording(path, folder)]


def _is_recording(path: Path, folder: Path) -> bool:
    if any(part.startswith(".") for part in path.relative_to(folder).parts) or _NOT_SAMPLES.match(path.name):
        return False
    bare = Path(path.name.removesuffix(".gz"))
    return bool(bare.suffix.lower() in ENDINGS or IMS_NAME.match(path.name)) and path.is_file()
