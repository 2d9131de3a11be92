"""`edge-agent reconcile`: whether the central still holds what it has acknowledged, per sensor and hour.

Reads the outbox beside the running agent and asks the central for its digests; changes nothing. What waits in the
outbox is sent by the agent in any case, so that repairs itself; what is lost after its acknowledgement is named.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cloud_sync.errors import SyncError
from cloud_sync.reconcile.compare import Cause, Comparison, HourFinding
from cloud_sync.reconcile.compare import reconcile as compared
from edge_agent.core.clock import Clock, SystemClock, instant
from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import load_settings
from edge_agent.settings.toml_file import find_settings_file
from edge_agent.status.reconciliation import asking
from edge_agent.status.words import counted

EXIT_EQUAL: Final = 0
EXIT_DIFFERENT: Final = 1
EXIT_NOT_COMPARED: Final = 2
SHOWN: Final = 20

_DO: Final = {
    Cause.LOST: "lost: the gateway no longer has these rows; restore the central's database, or accept the hole there",
    Cause.WAITING: "waiting: nothing to do",
    Cause.CHANGED: "changed: somebody wrote over them at the central; `edge-central correct` would have left a trace",
    Cause.UNKNOWN_ROWS: "unknown: was the outbox replaced, or does a second gateway run with this id?",
}
_MEANING: Final = {
    Cause.LOST: "acknowledged, and no longer there",
    Cause.WAITING: "there, and still in the outbox: it is sent again and counts once",
    Cause.CHANGED: "there, with another value or quality than was acknowledged",
    Cause.UNKNOWN_ROWS: "there, and unknown to this gateway's ledger",
}


def reconcile(config: Path | None, *, hours: int, as_json: bool, clock: Clock | None = None) -> int:
    """Print the comparison. 0 when nothing differs, 1 when something does, 2 when one side cannot be asked."""
    now_us = (clock or SystemClock()).now_ns() // 1000
    settings = load_settings(find_settings_file(config))
    outbox = settings.gateway.state_dir / "outbox.db"
    try:
        is_there = outbox.exists()
    except OSError as exc:
        raise ConfigurationError(f"{outbox} cannot be looked at: {exc.strerror}", hint="use sudo") from exc
    if not is_there:
        raise ConfigurationError(f"there is no outbox at {outbox}", hint="has the agent run with this configuration?")
    try:
        found = asyncio.run(compared(outbox, hours, asking(settings), now_us=now_us))
    except SyncError as exc:
        print(f"edge-agent: not compared: {exc.message}", *([f"\n  {exc.hint}"] if exc.hint else []), file=sys.stderr)
        return EXIT_NOT_COMPARED
    document = describe(found, asked_hours=hours)
    print(json.dumps(document) if as_json else as_text(document))
    return EXIT_EQUAL if document["is_equal"] else EXIT_DIFFERENT


def describe(found: Comparison | None, *, asked_hours: int) -> dict[str, Any]:
    """Return the JSON document; without a whole hour in the ledger nothing was compared, and nothing differs."""
    if found is None:
        return {
            "schema": 1, "is_equal": True, "from": None, "to": None, "ledger_since": None,
            "hours_not_compared": asked_hours, "sensor_hours": 0, "rows": 0,
            "differences_by_cause": {}, "differences": [],
        }  # fmt: skip
    return {
        "schema": 1,
        "is_equal": found.is_equal,
        "from": _time(found.span.start_us),
        "to": _time(found.span.end_us),
        "ledger_since": None if found.since_us is None else _time(found.since_us),
        "hours_not_compared": found.hours_not_compared,
        "sensor_hours": found.compared,
        "rows": found.rows,
        "differences_by_cause": dict(Counter(finding.cause.value for finding in found.findings)),
        "differences": [_described(finding) for finding in found.findings],
    }


def as_text(document: dict[str, Any]) -> str:
    if document["from"] is None:
        return "nothing to compare yet: the ledger needs one whole hour"
    span = f"{document['from']} to {document['to']}"
    head = f"{counted(document['rows'], 'row')} in {counted(document['sensor_hours'], 'sensor-hour')}, {span}"
    differing = document["differences"]
    if not differing:
        return "\n".join([f"{head}: the central has them all", *_not_compared(document)])
    explained = sum(one["is_explained"] for one in differing)
    lines = [f"{head}: {len(differing)} differ, {explained} of them explained"]
    for one in differing[:SHOWN]:
        counts = f"ours {one['ours']}, central {one['central']}, waiting {one['waiting']}"
        lines.append(f"  {one['sensor_id']} {one['hour']}: {counts}; {_MEANING[Cause(one['cause'])]}{_explained(one)}")
    if len(differing) > SHOWN:
        lines.append(f"  and {len(differing) - SHOWN} more; --json has them all")
    todo = dict.fromkeys(Cause(one["cause"]) for one in differing if not one["is_explained"])
    return "\n".join([*lines, *(f"  -> {_DO[cause]}" for cause in todo), *_not_compared(document)])


def _not_compared(document: Mapping[str, Any]) -> list[str]:
    """That a part of what was asked for cannot be answered, and why."""
    if not document["hours_not_compared"]:
        return []
    hours, first, since = (document[name] for name in ("hours_not_compared", "from", "ledger_since"))
    why = "this outbox is younger, or an older one was damaged or removed"
    return [f"not compared: {hours} hours before {first}. The ledger begins at {since}: {why}"]


def _explained(difference: Mapping[str, Any]) -> str:
    """A gap says what never arrived: it explains rows that were sent and given up, not those that were acknowledged."""
    gap = difference["gap"]
    if difference["cause"] == Cause.WAITING:
        return ""
    if difference["is_explained"]:
        return f"; explained by this gateway's own gap over this hour ({gap}): sent, and given up before the answer"
    return "; not explained" + (f" (this gateway's gap over this hour, {gap}, is about other rows)" if gap else "")


def _described(finding: HourFinding) -> dict[str, Any]:
    difference = finding.difference
    return {
        "sensor_id": difference.sensor_id,
        "hour": _time(difference.hour_us),
        "ours": difference.ours.count if difference.ours else 0,
        "central": difference.theirs.count if difference.theirs else 0,
        "waiting": finding.waiting,
        "cause": finding.cause.value,
        "gap": finding.gap.value if finding.gap else None,
        "is_explained": finding.is_explained,
    }


def _time(time_us: int) -> str:
    return instant(time_us, "seconds")
