"""What channels have learned of themselves, kept over restarts: one small JSON file per subject in the state folder.

Constraints
- A file is whole or as it was: written beside, synced, renamed; at most every ten minutes and at a stop.
- A damaged file, or one of other features, tags or scaling, is named in the log and learned again. It stops nobody.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.fsync import replace_file
from cloud_sync.host.private_files import make_private_folder
from edge_agent.core.clock import Clock
from edge_agent.pipeline.explain.explainer import Explainer

SAVE_EVERY_S: Final = 600.0

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """`measured` is what else must be the same for the values to be comparable: tags, constants, unit, scale."""

    explainer: Explainer
    measured: Mapping[str, Any]


class BaselineFiles:
    """The baselines of one gateway, by subject."""

    def __init__(self, folder: Path, *, log: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._log = log
        self._kept: dict[str, Kept] = {}
        self._saved: dict[str, int] = {}

    def add(self, subject: str, explainer: Explainer, measured: Mapping[str, Any]) -> None:
        """Keep this one from now on. `subject` names the file."""
        self._kept[subject] = Kept(explainer, measured)

    async def run(self, clock: Clock) -> None:
        """Save what is new, again and again."""
        while True:
            await clock.sleep(SAVE_EVERY_S)
            await self.save()

    async def restore(self, subjects: Collection[str] | None = None) -> None:
        """Restore what an earlier run has learned of these subjects, or of all; before they learn."""
        found = await asyncio.to_thread(self._read_all, self._kept if subjects is None else subjects)
        for subject, document in found.items():
            kept = self._kept[subject]
            is_ours = document.get("schema") == SCHEMA and document.get("measured") == _as_json(kept.measured)
            if is_ours and kept.explainer.restore(document):
                self._saved[subject] = kept.explainer.baseline.count
            else:
                self._log(
                    "warning", f"{self._path(subject)} is of other features or damaged: its baseline is learned again"
                )

    async def save(self) -> None:
        """Write what has changed since it was last written."""
        changed = {s: k for s, k in self._kept.items() if k.explainer.baseline.count != self._saved.get(s, 0)}
        documents = {
            subject: {
                "schema": SCHEMA,
                "subject": subject,
                "measured": dict(kept.measured),
                **kept.explainer.document(),
            }
            for subject, kept in changed.items()
        }
        if documents:
            await asyncio.to_thread(self._write_all, documents)

    def _read_all(self, subjects: Collection[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for subject in subjects:
            try:
                document = json.loads(self._path(subject).read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as exc:
                self._log("warning", f"{self._path(subject)} cannot be read, its baseline is learned again: {exc}")
                continue
            found[subject] = document if isinstance(document, dict) else {}
        return found

    def _write_all(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        for subject, document in documents.items():
            try:
                make_private_folder(self._folder)
                replace_file(self._path(subject), json.dumps(document))
            except OSError as exc:  # scoring does not depend on it; the next try is ten minutes away
                self._log("warning", f"{self._path(subject)} cannot be written: {exc.strerror or exc}")
                return
            self._saved[subject] = len(document["rows"])

    def _path(self, subject: str) -> Path:
        return self._folder / f"{subject}.json"


def _document(subject: str, kept: Kept) -> dict[str, Any]:
    return {"schema": SCHEMA, "subject": subject, "measured": dict(kept.measured), **kept.explainer.document()}


def _as_json(value: Mapping[str, Any]) -> Any:
    """Return it as it comes back from a file: tuples are lists there."""
    return json.loads(json.dumps(value))
