"""champion.json: which version counts, since when, who chose it and why, and what counted before.

Constraints
- The pointer is replaced as a whole, under the folder's lock: at any moment there is exactly one champion.
- A version that was rolled back is remembered as such: going back never leads to it again.
- The history is bounded; what the centre should know for good it was told as an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_sync.host.fsync import replace_file
from edge_agent.bundles.atomic_files import locked
from edge_agent.bundles.folders import versions_in
from edge_agent.bundles.manifest import BundleVersion
from edge_agent.errors import BundleError

POINTER_FILE: Final = "champion.json"
HISTORY_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class Note:
    """Who moved a pointer, why, and when (RFC 3339); `despite` is what spoke against it and was overruled."""

    by: str
    why: str
    time: str
    despite: str | None = None


class Step(BaseModel):
    """One version's time as champion; `until_why` is why it ended."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: BundleVersion
    since: str | None = None
    by: str | None = None
    why: str | None = None
    despite: str | None = None
    until: str | None = None
    until_why: str | None = None
    is_rolled_back: bool = False


class Pointer(BaseModel):
    """champion.json. `history` has the newest step first; `probation_starts` is None outside a probation, else how
    often the agent has started within it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: BundleVersion
    since: str | None = None
    by: str | None = None
    why: str | None = None
    despite: str | None = None
    probation_starts: int | None = Field(default=None, ge=0)
    history: tuple[Step, ...] = ()

    def previous(self, present: Sequence[str]) -> str | None:
        """Return the newest champion before this one that was not rolled back and is among the versions `present`."""
        bad = {step.version for step in self.history if step.is_rolled_back} | {self.version}
        return next((s.version for s in self.history if s.version not in bad and s.version in present), None)

    @property
    def was_champion(self) -> frozenset[str]:
        return frozenset({self.version, *(step.version for step in self.history)})

    def moved(self, version: str, note: Note | None, *, on_probation: bool, is_rollback: bool) -> Pointer:
        """Return the pointer at `version`, with what counted so far put into the history."""
        left = Step(
            version=self.version,
            since=self.since,
            by=self.by,
            why=self.why,
            despite=self.despite,
            until=note.time if note else None,
            until_why=note.why if note else None,
            is_rolled_back=is_rollback,
        )
        steps = (left, *self.history)
        if not is_rollback:  # whoever promotes it again has looked at it
            steps = tuple(s.model_copy(update={"is_rolled_back": False}) if s.version == version else s for s in steps)
        return _pointer(version, note, on_probation=on_probation, history=steps[:HISTORY_STEPS])


def read_pointer(folder: Path) -> Pointer:
    """Return the pointer of a bundle's folder. Raises BundleError when it is missing or cannot be used."""
    path = folder / POINTER_FILE
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError as exc:
        raise BundleError(
            f"{folder.name} has no champion: nobody has chosen a version yet ({path} is missing)", hint=_choose(folder)
        ) from exc
    except OSError as exc:
        raise BundleError(f"{path} cannot be read: {exc.strerror}", hint="check the file's owner and mode") from exc
    except ValidationError as exc:
        raise BundleError(
            f'{path} cannot be used: it must hold one version, like {{"version": "1.0.0"}}', hint=_choose(folder)
        ) from exc


def pointer_or_none(folder: Path) -> Pointer | None:
    """Return the same without an error: for those who look at all of them."""
    try:
        return read_pointer(folder)
    except BundleError:
        return None


def move_pointer(
    folder: Path, version: str, note: Note | None = None, *, on_probation: bool = False, is_rollback: bool = False
) -> Pointer:
    """Point at `version`, which the caller has proven. Naming the champion again changes nothing.

    Raises BundleError, with the old champion kept, when the pointer cannot be written.
    """
    try:
        with locked(folder):
            before = pointer_or_none(folder)
            if before is not None and before.version == version:
                return before
            after = (
                _pointer(version, note, on_probation=False, history=())
                if before is None  # nothing to go back to, so nothing to be on probation for
                else before.moved(version, note, on_probation=on_probation, is_rollback=is_rollback)
            )
            _write(folder, after)
            return after
    except OSError as exc:
        raise BundleError(
            f"{folder / POINTER_FILE} cannot be written: {exc.strerror}; the old champion stays",
            hint="check the folder's owner and the free space",
        ) from exc


def note_probation(folder: Path, version: str, starts: int | None) -> None:
    """Count a start within the probation of `version`, or end it (None). Another champion by now is left alone.

    Raises BundleError when the pointer cannot be written.
    """
    try:
        with locked(folder):
            pointer = read_pointer(folder)
            if pointer.version == version and pointer.probation_starts != starts:
                _write(folder, pointer.model_copy(update={"probation_starts": starts}))
    except OSError as exc:
        raise BundleError(f"{folder / POINTER_FILE} cannot be written: {exc.strerror}") from exc


def _pointer(version: str, note: Note | None, *, on_probation: bool, history: tuple[Step, ...]) -> Pointer:
    return Pointer(
        version=version,
        since=note.time if note else None,
        by=note.by if note else None,
        why=note.why if note else None,
        despite=note.despite if note else None,
        probation_starts=0 if on_probation else None,
        history=history,
    )


def _write(folder: Path, pointer: Pointer) -> None:
    replace_file(folder / POINTER_FILE, pointer.model_dump_json(exclude_defaults=True) + "\n")


def _choose(folder: Path) -> str:
    """The command that makes the newest version the champion."""
    newest = next(reversed(versions_in(folder)), "VERSION")
    return f"choose a version: edge-agent models promote {folder.name} {newest}"
