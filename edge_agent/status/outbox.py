"""The outbox in the status document: what waits, how long the room lasts, what was given up, what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_sync.outbox.quarantine import is_unexpected_file, is_unsalvaged
from cloud_sync.outbox.retention_policy import Bounds
from cloud_sync.outbox.tables import Depth, Waiting
from cloud_sync.records import RecordClass

if TYPE_CHECKING:  # `edge-agent status` describes an outbox without an agent: it loads no uplink
    from edge_agent.status.backlog_growth import Growth


@dataclass(frozen=True, slots=True)
class OutboxHealth:
    """What is known of the outbox besides its depth and its totals."""

    has_reserve: bool
    room_days: float | None
    bytes_per_reading: float | None
    quarantined: Sequence[Path]
    error_since_ns: int | None
    bounds: Bounds | None = None
    min_free_bytes: int = 0
    salvage_waits_for: str | None = None
    growth: Growth | None = None


def describe_outbox(depth: Depth | None, counters: Mapping[str, int], health: OutboxHealth | None) -> dict[str, Any]:
    """Return the fields that any look at an outbox can fill, also without the daemon."""
    document: dict[str, Any] = {
        "appended_total": counters.get("appended"),
        "accepted_total": counters.get("accepted"),
        "duplicates_total": counters.get("duplicates"),
        "refused_total": counters.get("refused"),
        "requeued_total": counters.get("requeued"),
        "thinned_total": counters.get("thinned"),
        "evicted_total": counters.get("evicted"),
        "damaged_total": counters.get("damaged"),
        "rescued_total": counters.get("rescued", 0),
        "recovered_total": counters.get("recovered", 0),
        "quarantine_removed_total": counters.get("quarantine_removed", 0),
    }
    if depth is not None:
        waiting = dict(depth.by_class)
        readings = waiting.get(RecordClass.READING.value, Waiting())
        events = waiting.get(RecordClass.EVENT.value, Waiting())
        document |= {
            "reading_records": readings.records,
            "reading_bytes": readings.body_bytes,
            "event_records": events.records,
            "event_bytes": events.body_bytes,
        }
    if health is not None:
        document |= {
            "has_ballast": health.has_reserve,
            "room_days": None if health.room_days is None else round(health.room_days, 1),
            "written_bytes_per_record": (
                None if health.bytes_per_reading is None else round(health.bytes_per_reading, 1)
            ),
            "salvage_waits_for": health.salvage_waits_for,
            **describe_put_aside(health.quarantined),
        }
        if health.bounds is not None:
            document |= describe_bounds(health.bounds, health.min_free_bytes)
    return document


def describe_bounds(bounds: Bounds, min_free_bytes: int) -> dict[str, Any]:
    """Return which of the two bounds limits the readings now, and where."""
    return {"limited_by": bounds.limit.value, "room_bytes": bounds.reading_bytes, "min_free_bytes": min_free_bytes}


def describe_put_aside(files: Sequence[Path]) -> dict[str, list[str]]:
    """Return every file that was put aside, and those of them that are not wholly read in yet."""
    return {
        "quarantined": [str(path) for path in files],
        "unsalvaged": [str(path) for path in files if is_unsalvaged(path)],
    }


def quarantine_problem(files: Sequence[Path], *, waits_for: str | None = None) -> tuple[str, str] | None:
    """Return what is wrong, and what to do; `waits_for`: why the salvage does not go on."""
    if not files:
        return None
    newest = files[-1]
    if waits_for is not None:
        what = f"the outbox was damaged; the rest of what is whole in {newest.name} is not read in yet: {waits_for}"
        return what, f"keep {newest} and free space on its disk; it goes on by itself with every append and delivery"
    if is_unexpected_file(newest):
        what = f"another file was put in the outbox's place; the outbox was written again, that file is {newest.name}"
        return what, f"see whether anything in {newest} is needed, then remove it; stop the agent before a restore"
    what = f"the outbox was damaged; what was whole was saved, and the damaged file is kept as {newest.name}"
    return what, (
        f"check the disk or flash card; read in what may be readable now: edge-agent outbox recover {newest}; "
        "keep a copy for support, then remove it"
    )


def put_aside_at_ns(file: Path) -> int | None:
    """Return when a damaged outbox was put aside, by its name; None when somebody renamed it."""
    stamp = re.search(r"-(\d{8}T\d{6})(\.\d+)?$", file.name)
    if stamp is None:
        return None
    try:
        return int(datetime.strptime(stamp[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()) * 10**9
    except ValueError:
        return None
