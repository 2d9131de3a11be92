"""The outbox's own gaps: what it gave up, lost or found damaged, kept in its file after the central knows them.

Constraints
- Recorded in the transaction that gives up: a gap is here exactly when its records are gone.
- What is given up for the same cause within an hour is one gap that grows; the newest `KEPT` are kept.

Every function works inside its caller's transaction or read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloud_sync.outbox.retention_policy import Loss, LossCause

KEPT: Final = 1_000
"""Some weeks of a link that is away every day; a hundred kilobytes."""
_GROWS_US: Final = 3_600_000_000

# Made at first use; the file's schema number is for what every program must know.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS own_gap (
    id INTEGER PRIMARY KEY, cause TEXT NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    count INTEGER, noted_us INTEGER NOT NULL, detail TEXT NOT NULL
)
"""
_COLUMNS: Final = "cause, start_us, end_us, count, noted_us, detail, id"


@dataclass(frozen=True, slots=True)
class OwnGap:
    """Records between `start_us` and `end_us` (UTC) that will not arrive; `count` None when nobody can know.

    `noted_us` is when the last of them was given up.
    """

    cause: LossCause
    start_us: int
    end_us: int
    count: int | None
    noted_us: int
    detail: str
    id: int = 0
    """0 before it is in the file."""


def record_gap(db: sqlite3.Connection, cause: LossCause, loss: Loss, *, now_us: int, detail: str) -> None:
    db.execute(_TABLE)
    last = db.execute(
        "SELECT id, start_us, end_us, count, noted_us FROM own_gap WHERE cause = ? AND detail = ?"
        " ORDER BY id DESC LIMIT 1",
        (cause.value, detail),
    ).fetchone()
    if last is not None and 0 <= now_us - last[4] < _GROWS_US:
        grown = Loss(*last[1:4]).plus(loss)
        db.execute(
            "UPDATE own_gap SET start_us = ?, end_us = ?, count = ?, noted_us = ? WHERE id = ?",
            (grown.start_us, grown.end_us, grown.count, now_us, last[0]),
        )
        return
    insert_gaps(db, [OwnGap(cause, loss.start_us, loss.end_us, loss.count, now_us, detail)])


def insert_gaps(db: sqlite3.Connection, gaps: Sequence[OwnGap]) -> None:
    """Insert gaps as they are; one that was in another file keeps its id."""
    db.execute(_TABLE)
    db.executemany(
        f"INSERT INTO own_gap ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (constants)
        [(g.cause.value, g.start_us, g.end_us, g.count, g.noted_us, g.detail, g.id or None) for g in gaps],
    )
    db.execute("DELETE FROM own_gap WHERE id <= (SELECT max(id) FROM own_gap) - ?", (KEPT,))


def merge_gaps(db: sqlite3.Connection, gaps: Sequence[OwnGap]) -> None:
    """Insert those of a file that was put aside; one that is here already under its id stays as it is."""
    db.execute(_TABLE)
    known = {row[0] for row in db.execute("SELECT id FROM own_gap")}
    insert_gaps(db, [gap for gap in gaps if gap.id not in known])


def own_gaps(db: sqlite3.Connection, *, start_us: int | None = None, end_us: int | None = None) -> list[OwnGap]:
    """Return the gaps that touch [start_us, end_us), oldest first; also over a read-only connection."""
    if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'own_gap'").fetchone()[0] == 0:
        return []
    known = {cause.value for cause in LossCause}
    found = db.execute(
        f"SELECT {_COLUMNS} FROM own_gap"  # noqa: S608 (constants)
        " WHERE end_us >= coalesce(?, end_us) AND start_us < coalesce(?, start_us + 1) ORDER BY id",
        (start_us, end_us),
    )
    return [OwnGap(LossCause(cause), *rest) for cause, *rest in found if cause in known]
