"""Counting keys on both sides: what the gateway made durable against what the central has committed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from cloud_sync import wire
from cloud_sync.outbox.audit_log import read_audit_log

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Audit:
    """`lost`: durable here, not at the central, and not waiting either. `duplicated`: key stored more than once.
    `unexpected`: at the central without ever having been noted as durable here."""

    handed_over: int
    committed: int
    waiting: int
    lost: int
    duplicated: int
    unexpected: int
    alarms: int
    gaps: int


async def audit(audit_log: Path, outbox: Path, database_url: str, *, skip_keys: int, since_us: int) -> Audit:
    """Compare everything ever handed over; count rows of this run (`skip_keys` are older) and its events."""
    keys = list(read_audit_log(audit_log))
    connection = await asyncpg.connect(database_url)
    try:
        stored = Counter(await _stored_keys(connection))
        alarms, gaps = await _events(connection, since_us)
    finally:
        await connection.close()
    waiting = set(_waiting_keys(outbox))
    noted = set(keys)
    this_run = keys[skip_keys:]
    return Audit(
        handed_over=len(this_run),
        committed=sum(key in stored for key in this_run),
        waiting=len(waiting),
        lost=len(noted - stored.keys() - waiting),
        duplicated=sum(count - 1 for count in stored.values()) + len(keys) - len(noted),
        unexpected=len(stored.keys() - noted),
        alarms=alarms,
        gaps=gaps,
    )


async def _stored_keys(connection: asyncpg.Connection) -> list[Key]:
    rows = await connection.fetch(
        "SELECT sensor_id, (extract(epoch FROM timestamp) * 1000000)::bigint AS time_us FROM sensor_readings"
    )
    return [(row["sensor_id"], row["time_us"]) for row in rows]


async def _events(connection: asyncpg.Connection, since_us: int) -> tuple[int, int]:
    rows = await connection.fetch(
        "SELECT kind, body FROM edge_events WHERE extract(epoch FROM time) * 1000000 >= $1", since_us
    )
    bodies = [(row["kind"], json.loads(row["body"])) for row in rows]
    raised = sum(kind == "alarm" and body["state"] == "raised" for kind, body in bodies)
    # A gap is announced when it begins and told whole when it ends: one gap, two events.
    ended = sum(kind == "gap" and body["start_us"] != body["end_us"] for kind, body in bodies)
    return raised, ended


def _waiting_keys(outbox: Path) -> list[Key]:
    with contextlib.closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as db:
        bodies = [row[0] for row in db.execute("SELECT content FROM body ORDER BY block_id")]
    return [row.key for body in bodies for row in wire.decode(body).rows]
