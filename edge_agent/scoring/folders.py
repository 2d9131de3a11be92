"""What lies in a folder of models or keys, also when it is closed to us: one that cannot be read is no empty one."""

from __future__ import annotations

from pathlib import Path

from edge_agent.errors import BundleError


def entries_of(folder: Path) -> tuple[Path, ...]:
    """Return what lies there, by name; nothing when there is no such folder. Raises BundleError when it is closed."""
    try:
        return tuple(sorted(folder.iterdir()))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as exc:
        raise BundleError(f"{folder} cannot be read: {exc.strerror}", hint="check the folder's owner and mode") from exc


def is_there(path: Path) -> bool:
    """Return whether something may lie there: a path that is closed to us counts, reading it says what is wrong."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
