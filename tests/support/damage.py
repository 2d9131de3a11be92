"""Damage of an outbox's file, done to its bytes."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from cloud_sync.outbox.sqlite_file import PAGE_BYTES


def root_of(path: Path, table: str) -> int:
    """The number of the page where a table or index begins."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0])


def smash_page(path: Path, number: int, content: bytes = b"\xa5" * PAGE_BYTES) -> None:
    with path.open("r+b") as file:
        file.seek((number - 1) * PAGE_BYTES)
        file.write(content)


def smash_root_of(path: Path, table: str) -> None:
    smash_page(path, root_of(path, table))
