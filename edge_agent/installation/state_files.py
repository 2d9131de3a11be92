"""The state folder's files by name: those the agent makes, and those that somebody else put there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from edge_agent.settings import Settings

OWN_FILES: Final = (
    "lock",
    "outbox.db*",
    "baselines",
    "model-alarms",
    "proven-bundles.json",
    "identity.json",
    "link_budget.json",
    "proven-central.json",
    "starts.json",
    "export.key",
    "export.pub",
    "opcua",
)
_OF_THE_RUNTIME_FOLDER: Final = ("edge-agent.sock", "edge-agent.lock", "status.json", "status.tmp")
_OF_THE_SYSTEM: Final = ("lost+found", ".*")
MOST_NAMED: Final = 20


def configured_paths(settings: Settings) -> frozenset[Path]:
    """Return every path that a setting names, and the folders above it."""
    named = frozenset(path.absolute() for path in _paths_in(settings.model_dump()))
    return named | {above for path in named for above in path.parents}


def unexpected_files(state_dir: Path, configured: Iterable[Path] = ()) -> list[str]:
    """Return what the agent did not make there and no setting names; at most `MOST_NAMED`, in order.

    Nothing of it is ever removed. A folder that cannot be listed has none: what reads and writes there says it.
    """
    known = {path.name for path in configured if path.parent == state_dir.absolute()}
    try:
        names = sorted(path.name for path in state_dir.iterdir())
    except OSError:
        return []
    return [name for name in names if name not in known and not _is_own(name)][:MOST_NAMED]


def _is_own(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in (*OWN_FILES, *_OF_THE_RUNTIME_FOLDER, *_OF_THE_SYSTEM))


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _paths_in(item)
    elif isinstance(value, list | tuple | frozenset | set):
        for item in value:
            yield from _paths_in(item)
