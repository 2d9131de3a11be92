"""What lies in a folder of models or keys, also when it is closed to us: one that cannot be read is no empty one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from edge_agent.bundles.manifest import MANIFEST_FILE, VERSION_PATTERN, version_key
from edge_agent.errors import BundleError

_VERSION: Final = re.compile(VERSION_PATTERN)


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


def versions_in(folder: Path) -> tuple[str, ...]:
    """Return the versions of a bundle that lie in its folder, oldest first. Raises BundleError when it is closed."""
    found = [e.name for e in entries_of(folder) if _VERSION.fullmatch(e.name) and is_there(e / MANIFEST_FILE)]
    return tuple(sorted(found, key=version_key))
