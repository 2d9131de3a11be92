"""Files and folders that are the program's own, whatever the umask of whoever starts it.

Constraints
- Folders 0700, files 0600, from the moment they exist: a mode that is given afterwards leaves a door open meanwhile.
- What was made wider by an older program or by hand is tightened at a start; only names that are ours are touched.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS: Final = 0o077
_WRITE_FOR_OTHERS: Final = 0o002


def close_to_others() -> None:
    """Let nobody outside our user and group write what this process makes, whatever umask it was started with."""
    os.umask(os.umask(_WRITE_FOR_OTHERS) | _WRITE_FOR_OTHERS)


def open_private(path: Path, mode: str, *, encoding: str | None = None) -> IO[Any]:
    """Open for writing as `open` does; a file that is new has the mode 0600."""
    return open(path, mode, encoding=encoding, opener=_private)


def make_private_file(path: Path) -> None:
    """Make an empty file for a library that opens files by name; one that is there is left as it is. Raises OSError."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    except FileExistsError:
        return


def make_private_folder(path: Path) -> None:
    """Make the folder, and those above it, where they are missing. Raises OSError."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def tighten(folder: Path, names: Iterable[str]) -> int:
    """Take from everybody else what they may do to the folder and to what lies in it under these names (patterns).

    Returns how many were open; those of other owners are theirs. Links are not followed. Raises OSError.
    """
    found = [folder, *(path for name in names for path in folder.glob(name))]
    found += [below for path in found[1:] if path.is_dir() and not path.is_symlink() for below in path.rglob("*")]
    return sum(map(_tighten, found))


def mode_beside(folder: Path, mode: int) -> int:
    """Return the mode for a new file: as open to read as the folder itself, and nobody else may write it."""
    return mode & (FOLDER_MODE | (stat.S_IMODE(folder.stat().st_mode) & 0o055))


def user_name(uid: int) -> str:
    """Return the user's name, or the number of one that this box (or container) does not know."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)


def _tighten(path: Path) -> bool:
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    is_file_or_folder = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    if not is_file_or_folder or not mode & _OTHERS or found.st_uid != os.geteuid():
        return False
    try:
        path.chmod(mode & ~_OTHERS)
    except OSError as exc:
        if exc.errno in (errno.EROFS, errno.EPERM, errno.EOPNOTSUPP):  # a disk that has no modes, or takes no change
            return False
        raise
    return True
