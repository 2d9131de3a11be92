"""How far each file that was put aside is read in, recorded in the outbox that reads it in.

Constraints
- A record is written in the transaction that made the progress, under a checksum: a damaged one counts for nothing.
- Of what is lost only what can be counted is; the rest is a hole.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from cloud_sync.outbox.damaged_file import BlockWindow, DamagedFile
from cloud_sync.outbox.tables import StoredBlock

_MOST_PROBED: Final = 1_000_000
_MOST_RANGES: Final = 1_000

# Made at first use; an older program leaves the file put aside alone, and `outbox recover` reads it in.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS salvage (name TEXT PRIMARY KEY, progress TEXT NOT NULL, crc32 INTEGER NOT NULL) WITHOUT ROWID
"""


@dataclass(slots=True)
class Salvage:
    """How far a file is read in. `lost_records` are those whose header could be read; `has_hole`: there may be more."""

    highest_id: int = 0
    highest_letter_id: int = 0
    blocks_to: int = 0
    letters_to: int = 0
    probed: int = 0
    """Ids in a row at which nothing was found."""
    has_blocks: bool = False
    """All of them were looked at; so for the letters."""
    has_letters: bool = False
    is_told: bool = False
    blocks: int = 0
    records: int = 0
    there: int = 0
    letters: int = 0
    lost_letters: int = 0
    lost_blocks: int = 0
    lost_records: int = 0
    has_hole: bool = False
    start_us: int | None = None
    end_us: int | None = None
    ledger_hours: int = 0
    lost_ledger_hours: int = 0
    """Of single sensors, as far as they can be counted."""
    has_ledger_hole: bool = False
    lost_ids: list[list[int]] = field(default_factory=list)
    """First and last of each run of ids that may be readable another day."""

    @property
    def is_copied(self) -> bool:
        return self.has_blocks and self.has_letters

    def count_lost(self, block: StoredBlock) -> None:
        self.lost_blocks += 1
        self.lost_records += max(0, block.count)
        self.start_us = block.first_time_us if self.start_us is None else min(self.start_us, block.first_time_us)
        self.end_us = block.last_time_us if self.end_us is None else max(self.end_us, block.last_time_us)
        self.record_unread(block.id)

    def record_window(self, window: BlockWindow) -> None:
        """Record that it was looked at; what it holds is counted elsewhere."""
        self.blocks_to = window.last_id
        self.probed = 0 if window.found or window.headers else self.probed + len(window.unreadable)
        gives_up = self.probed >= _MOST_PROBED
        self.has_hole |= bool(window.unreadable) or window.has_hole or gives_up
        self.has_blocks = window.is_last or window.has_hole or gives_up

    def record_unread(self, block_id: int) -> None:
        if self.lost_ids and self.lost_ids[-1][1] >= block_id - 1:
            self.lost_ids[-1][1] = max(block_id, self.lost_ids[-1][1])
        elif len(self.lost_ids) < _MOST_RANGES:
            self.lost_ids.append([block_id, block_id])
        else:
            self.lost_ids[-1][1] = block_id


def progress_of(db: sqlite3.Connection, name: str) -> Salvage | None:
    """Return how far it came; None when it was never begun, or nothing certain is recorded of it."""
    row = _row(db, name)
    if row is None or zlib.crc32(row[0].encode()) != row[1]:
        return None
    return Salvage(**json.loads(row[0]))


def keep_progress(db: sqlite3.Connection, name: str, state: Salvage) -> None:
    """Record it, inside the transaction that made it."""
    db.execute(_TABLE)
    progress = json.dumps(asdict(state), separators=(",", ":"))
    db.execute("INSERT OR REPLACE INTO salvage VALUES (?, ?, ?)", (name, progress, zlib.crc32(progress.encode())))


def unreported(db: sqlite3.Connection) -> dict[str, Salvage]:
    """Return by its name each file whose loss was not reported yet."""
    if not _has_table(db):
        return {}
    names = [row[0] for row in db.execute("SELECT name FROM salvage ORDER BY name")]
    states = {name: progress_of(db, name) for name in names}
    return {name: state for name, state in states.items() if state is not None and not state.is_told}


def is_recorded(db: sqlite3.Connection, name: str) -> bool:
    """Return whether this file was begun, also when what is recorded of it was damaged."""
    return _row(db, name) is not None


def adopt_progress(db: sqlite3.Connection, file: DamagedFile) -> None:
    """Take over, inside a transaction, what this file, while it was the outbox, had recorded of those before it."""
    db.execute(_TABLE)
    for name, progress, crc32 in file.rows_of("salvage", "name, progress, crc32"):
        if name == file.path.name:
            continue  # of one that had this name before, and was removed
        if isinstance(progress, str) and zlib.crc32(progress.encode()) == crc32:
            db.execute("INSERT OR IGNORE INTO salvage VALUES (?, ?, ?)", (name, progress, crc32))


def forget(db: sqlite3.Connection, kept: Sequence[str]) -> None:
    """Drop what is recorded of files that are no longer kept, inside a transaction."""
    db.execute(_TABLE)
    marks = ", ".join("?" * len(kept))
    db.execute(f"DELETE FROM salvage WHERE name NOT IN ({marks})", tuple(kept))  # noqa: S608 (question marks)


def together(states: Sequence[Salvage]) -> Salvage:
    """Return what was saved and lost of several files."""
    starts = [state.start_us for state in states if state.start_us is not None]
    ends = [state.end_us for state in states if state.end_us is not None]
    return Salvage(
        blocks=sum(state.blocks for state in states),
        records=sum(state.records for state in states),
        letters=sum(state.letters for state in states),
        lost_letters=sum(state.lost_letters for state in states),
        lost_blocks=sum(state.lost_blocks for state in states),
        lost_records=sum(state.lost_records for state in states),
        has_hole=any(state.has_hole for state in states),
        start_us=min(starts, default=None),
        end_us=max(ends, default=None),
        ledger_hours=sum(state.ledger_hours for state in states),
        lost_ledger_hours=sum(state.lost_ledger_hours for state in states),
        has_ledger_hole=any(state.has_ledger_hole for state in states),
    )


def _row(db: sqlite3.Connection, name: str) -> tuple[str, int] | None:
    if not _has_table(db):
        return None
    found: tuple[str, int] | None = db.execute("SELECT progress, crc32 FROM salvage WHERE name = ?", (name,)).fetchone()
    return found


def _has_table(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'salvage'").fetchone()[0])
