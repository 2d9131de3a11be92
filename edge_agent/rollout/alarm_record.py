"""How often each version of a model has alarmed here, and what its alarms looked like: kept over restarts.

Constraints
- One small JSON file per model in the state folder, whole or as it was; written at a change of version, soon after an
  alarm, once an hour, and at a stop. A kill costs at most an hour of the time a version is said to have judged.
- Of an alarm the first few rows of features are kept, newest alarms first to stay; never samples: a microphone's would
  be speech.
- A damaged file is named in the log and begun again. It stops nobody.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_sync.host.fsync import replace_file
from cloud_sync.host.private_files import make_private_folder
from edge_agent.core.features import FeatureSpec
from edge_agent.pipeline.scored_line import ScoredWindows

FOLDER: Final = "model-alarms"
KEPT_ROWS: Final = 64
ROWS_PER_ALARM: Final = 8
VERSIONS_KEPT: Final = 5
SAVE_AFTER_ALARM_S: Final = 60.0
SAVE_EVERY_S: Final = 3_600.0


class VersionAlarms(BaseModel):
    """One version's time as champion here: alarms raised, windows scored, those anomalous, and the seconds taken."""

    model_config = ConfigDict(extra="forbid")

    version: str
    since: str | None = None
    alarms: int = Field(default=0, ge=0)
    windows: int = Field(default=0, ge=0)
    anomalous: int = Field(default=0, ge=0)
    watched_s: float = Field(default=0.0, ge=0)


@dataclass(frozen=True, slots=True)
class Totals:
    """Over all channels, since the agent's start."""

    alarms: int
    windows: int
    anomalous: int


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    versions: list[VersionAlarms] = Field(default_factory=list)
    spec: dict[str, Any] | None = None
    rows: list[list[float]] = Field(default_factory=list)


class AlarmRecord:
    """Of one model. `spec` is that of the model that scores now."""

    def __init__(self, folder: Path, name: str, spec: FeatureSpec, *, log: Callable[[str, str], None]) -> None:
        self._path = path_of(folder, name)
        self._spec = spec
        self._log = log
        self.versions: list[VersionAlarms] = []
        self._rows: deque[list[float]] = deque(maxlen=KEPT_ROWS)
        self._of_this_alarm: dict[str, int] = {}
        self._counted: tuple[Totals, float] | None = None  # at the last count, and its monotonic time
        self._saved_s: float | None = None
        self._is_changed = self._is_raised = False

    @property
    def now(self) -> VersionAlarms | None:
        """Return the version that judges."""
        return self.versions[0] if self.versions else None

    @property
    def before(self) -> VersionAlarms | None:
        """Return the version before it, if another one was."""
        return self.versions[1] if len(self.versions) > 1 else None

    def restore(self) -> None:
        """Restore what an earlier run has written."""
        try:
            document = _Document.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValidationError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is damaged"
            self._log("warning", f"{self._path} cannot be used, alarms are counted from zero: {reason}")
            return
        self.versions = document.versions
        self._rows.extend(_fitting(document, self._spec))

    def offer(self, scored: ScoredWindows) -> None:
        """Keep rows of an alarm; an `Observer`. Costs nothing while none stands."""
        for c, subject in enumerate(scored.subjects):
            if not scored.is_standing[c]:
                self._of_this_alarm.pop(subject, None)
                continue
            left = ROWS_PER_ALARM - self._of_this_alarm.get(subject, 0)
            rows = scored.values[c][scored.is_usable[c]][: max(0, left)]
            self._of_this_alarm[subject] = self._of_this_alarm.get(subject, 0) + len(rows)
            self._rows.extend(rows.astype(np.float64).tolist())

    def count(self, version: str, spec: FeatureSpec, since: str | None, totals: Totals, now_s: float) -> None:
        """Add what happened since the last call. `now_s` is monotonic."""
        if self.now is None or self.now.version != version:
            self.versions = [VersionAlarms(version=version, since=since), *self.versions][:VERSIONS_KEPT]
            self._is_changed = self._counted is not None or len(self.versions) > 1
        if spec != self._spec:
            self._rows.clear()
            self._spec = spec
        if self._counted is not None and self.now is not None:
            before, before_s = self._counted
            self.now.alarms += totals.alarms - before.alarms
            self.now.windows += totals.windows - before.windows
            self.now.anomalous += totals.anomalous - before.anomalous
            self.now.watched_s += now_s - before_s
            self._is_raised |= totals.alarms > before.alarms
        self._saved_s = now_s if self._saved_s is None else self._saved_s
        self._counted = totals, now_s

    def is_due(self, now_s: float) -> bool:
        """Return whether it should be saved now. `now_s` is monotonic."""
        wait_s = SAVE_AFTER_ALARM_S if self._is_raised else SAVE_EVERY_S
        return self._is_changed or (self._saved_s is not None and now_s - self._saved_s >= wait_s)

    def save(self, now_s: float) -> None:
        """Write it. What cannot be written is logged, and tried again in an hour."""
        self._is_changed = self._is_raised = False
        self._saved_s = now_s
        document = _Document(versions=self.versions, spec=_as_json(self._spec), rows=list(self._rows))
        try:
            make_private_folder(self._path.parent)
            replace_file(self._path, document.model_dump_json() + "\n")
        except OSError as exc:
            self._log("warning", f"{self._path} cannot be written: {exc.strerror or exc}")


def path_of(folder: Path, name: str) -> Path:
    """Return where the record of a model lies; `folder` is the gateway's state folder."""
    return folder / FOLDER / f"{name}.json"


def kept_rows(folder: Path, name: str, spec: FeatureSpec) -> NDArray[np.float32] | None:
    """Read the rows of features of alarms here, (n, f); None without any that these features fit."""
    try:
        document = _Document.model_validate_json(path_of(folder, name).read_bytes())
    except (OSError, ValidationError):
        return None
    rows = _fitting(document, spec)
    return np.array(rows, np.float32) if rows else None


def _fitting(document: _Document, spec: FeatureSpec) -> list[list[float]]:
    if document.spec != _as_json(spec):
        return []
    return [row for row in document.rows if len(row) == len(spec.features)]


def _as_json(spec: FeatureSpec) -> dict[str, Any]:
    """Return it as it comes back from a file: tuples are lists there."""
    plain = {**asdict(spec), "parameters": dict(spec.parameters)}
    return dict(json.loads(json.dumps(plain)))
