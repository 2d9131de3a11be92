"""The inbox: a folder in which bundles are dropped, and what becomes of them.

Constraints
- What may still be copied is left alone: names that begin with a dot or end in .part or .tmp always, others until
  they have not changed for a while. An archive that ends too early gets longer.
- What is taken in leaves the inbox; what is refused is moved to `refused/`, beside a text that says why. That folder
  is bounded, oldest out.
- Knows no promotion: an installed version is a candidate, nothing more.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.private_files import make_private_folder, open_private, tighten
from edge_agent.bundles.archive import BUNDLE_FILES, MAX_ARCHIVE_BYTES, CutShortError
from edge_agent.bundles.folders import entries_of
from edge_agent.bundles.install import Installed
from edge_agent.errors import BundleError, MissingKeyError

REFUSED_DIR: Final = "refused"
REASON_SUFFIX: Final = ".reason.json"
SETTLE_S: Final = 5.0
"""A copy over a slow link writes more often than this."""

INCOMPLETE_S: Final = 300.0
MAX_REFUSED: Final = 20
MAX_REFUSED_BYTES: Final = 2 * MAX_ARCHIVE_BYTES
MAX_WAITING: Final = 64
"""Entries looked at in one round; more wait for the next."""

_UNFINISHED: Final = (".part", ".tmp", ".partial", ".crdownload")
MAX_TRIES: Final = 2
_DOOMED: Final = ".doomed-"
_TRYING: Final = ".trying-"
_Fingerprint = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of every file: the same twice means nobody writes."""


@dataclass(frozen=True, slots=True)
class InboxItem:
    """What became of one entry: `installed`, or `reason` for refusing it."""

    entry: str
    installed: Installed | None = None
    reason: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """One entry of the refused folder, as its reason file has it."""

    entry: str
    reason: str
    time: str
    do: str | None = None


class Inbox:
    """One folder. `install` is called with an entry that holds still. Not for two threads at a time.

    What was refused for want of a key in `keys_dir` comes back by itself when the keys there have changed.
    """

    def __init__(self, folder: Path, install: Callable[[Path], Installed], *, keys_dir: Path | None = None) -> None:
        self.folder = folder
        self._install = install
        self._keys_dir = keys_dir
        self._seen: dict[str, tuple[_Fingerprint, float]] = {}

    def look(self, *, now_s: float, time: str) -> list[InboxItem]:
        """Take in what has come to rest. `now_s` is monotonic; `time` (RFC 3339) goes into the reasons.

        Raises BundleError when the inbox itself cannot be used.
        """
        try:
            make_private_folder(self.folder)
            for left in self.folder.glob(f"{_DOOMED}*"):
                shutil.rmtree(left)
            self._take_back()
            entries = [path for path in sorted(self.folder.iterdir()) if _is_entry(path)][:MAX_WAITING]
            self._seen = {path.name: self._seen[path.name] for path in entries if path.name in self._seen}
            items = [self._look_at(path, now_s, time) for path in entries]
        except OSError as exc:
            raise BundleError(
                f"the inbox {self.folder} cannot be used: {exc.strerror or exc}",
                hint="models.inbox must be a folder the agent may write to",
            ) from exc
        return [item for item in items if item is not None]

    def refused(self) -> tuple[RefusedItem, ...]:
        """Return what lies in the refused folder, newest first."""
        files = sorted((self.folder / REFUSED_DIR).glob(f"*{REASON_SUFFIX}"), key=_changed, reverse=True)
        return tuple(entry for entry in map(_refused, files) if entry is not None)

    def _take_back(self) -> None:
        """Make what waits for a key an entry again, once the keys are others than at its refusal."""
        for file in (self.folder / REFUSED_DIR).glob(f"*{REASON_SUFFIX}"):
            keys, entry = _read_reason(file).get("keys"), file.with_name(file.name.removesuffix(REASON_SUFFIX))
            place = self.folder / entry.name
            if keys is None or keys == self._keys() or os.path.lexists(place) or not os.path.lexists(entry):
                continue
            file.unlink()
            entry.rename(place)

    def _keys(self) -> list[list[str | int]]:
        """Return the keys and the list of revoked ones as they are now."""
        try:
            found = [(file.name, file.lstat()) for file in entries_of(self._keys_dir)] if self._keys_dir else []
        except BundleError:  # closed to us: no key can be read, and more is seen here once it is open
            return []
        return [[name, stats.st_size, stats.st_mtime_ns] for name, stats in found]

    def _look_at(self, path: Path, now_s: float, time: str) -> InboxItem | None:
        try:
            fingerprint = _fingerprint(path)
        except FileNotFoundError:
            return None  # taken away again
        known, since_s = self._seen.get(path.name, ((), now_s))
        if known != fingerprint:
            self._seen[path.name] = (fingerprint, now_s)
            return None
        if now_s - since_s < SETTLE_S:
            return None
        keys = self._keys()
        try:
            if path.is_dir() and not path.is_symlink():
                _check_complete(path)
            with _counted(path):
                installed = self._install(path)
        except CutShortError as exc:
            return None if now_s - since_s < INCOMPLETE_S else self._refuse(path, exc, time)
        except MissingKeyError as exc:
            return self._refuse(path, exc, time, keys=keys)
        except BundleError as exc:
            return self._refuse(path, exc, time)
        _remove(path)
        return InboxItem(path.name, installed)

    def _refuse(
        self, path: Path, exc: BundleError, time: str, *, keys: list[list[str | int]] | None = None
    ) -> InboxItem:
        kept = self.folder / REFUSED_DIR
        make_private_folder(kept)
        _remove(kept / path.name)
        reason: dict[str, Any] = {"entry": path.name, "reason": exc.message, "do": exc.hint, "time": time}
        reason |= {"keys": keys} if keys is not None else {}
        with open_private(kept / f"{path.name}{REASON_SUFFIX}", "w", encoding="utf-8") as file:
            file.write(json.dumps(reason) + "\n")
        path.rename(kept / path.name)
        tighten(kept, [glob.escape(path.name)])
        _bound_refused(kept)
        return InboxItem(path.name, None, exc.message, exc.hint)


@contextlib.contextmanager
def _counted(path: Path) -> Iterator[None]:
    """Refuse an entry whose trying has ended the process before: a graph may take the runtime down with it."""
    mark = path.with_name(f"{_TRYING}{path.name}")
    tries = len(mark.read_bytes()) if mark.exists() else 0
    if tries >= MAX_TRIES:
        mark.unlink()
        raise BundleError(f"{path.name}: the agent ended {tries} times while trying it", hint="look at it elsewhere")
    with open_private(mark, "ab") as file:
        file.write(b".")
        file.flush()
        os.fsync(file.fileno())
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _is_entry(path: Path) -> bool:
    return not path.name.startswith(".") and path.name != REFUSED_DIR and not path.name.endswith(_UNFINISHED)


def _fingerprint(path: Path) -> _Fingerprint:
    """Return the fingerprint of an entry, of a folder over one file more than a bundle has: more are refused anyway."""
    files = [path]
    if path.is_dir() and not path.is_symlink():
        files += sorted(path.iterdir())[: len(BUNDLE_FILES) + 1]
    stats = [(file.name, file.lstat()) for file in files]
    return tuple((name, found.st_size, found.st_mtime_ns) for name, found in stats)


def _check_complete(folder: Path) -> None:
    missing = BUNDLE_FILES - {file.name for file in folder.iterdir()}
    if missing:
        raise CutShortError(f"{folder.name} lacks {', '.join(sorted(missing))}", hint="copy the whole bundle folder")


def _bound_refused(kept: Path) -> None:
    entries = sorted((path for path in kept.iterdir() if not path.name.endswith(REASON_SUFFIX)), key=_changed)
    total = sum(map(_size_of, entries))
    for number, path in enumerate(entries):
        left = len(entries) - number
        if left <= 1 or (left <= MAX_REFUSED and total <= MAX_REFUSED_BYTES):
            break
        total -= _size_of(path)
        _remove(path)
        (kept / f"{path.name}{REASON_SUFFIX}").unlink(missing_ok=True)
    for reason in kept.glob(f"*{REASON_SUFFIX}"):
        if not os.path.lexists(kept / reason.name.removesuffix(REASON_SUFFIX)):  # a refused link counts as there
            reason.unlink(missing_ok=True)


def _size_of(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(file.lstat().st_size for file in path.rglob("*"))
    return path.lstat().st_size


def _changed(path: Path) -> int:
    """Return when it was moved here: a rename keeps the time of writing and renews this one."""
    return path.lstat().st_ctime_ns


def _refused(file: Path) -> RefusedItem | None:
    found = _read_reason(file)
    try:
        do = found.get("do")
        return RefusedItem(
            str(found["entry"]), str(found["reason"]), str(found["time"]), None if do is None else str(do)
        )
    except KeyError:
        return None


def _read_reason(file: Path) -> dict[str, Any]:
    """Return what a reason file holds; nothing when somebody else wrote it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _remove(path: Path) -> None:
    """Remove it; a folder loses its name first, for what a kill leaves must not look like a bundle half copied."""
    if path.is_dir() and not path.is_symlink():
        doomed = path.with_name(f"{_DOOMED}{path.name}")
        if doomed.exists():
            shutil.rmtree(doomed)
        path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)
