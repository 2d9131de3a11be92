"""What a person at the central sees of leases, and the one thing that is decided by hand: who gets an id now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from cloud_sync.central.database import lease_statements as statements
from cloud_sync.central.database.leases import box_of, remember
from cloud_sync.central.database.store import Store
from cloud_sync.twins import About, Notice, notice_fields

_BOX: Final = ("instance", "incarnation", "run", "machine", "site", "address")
_RELEASED: Final = "released"
_LEASE_S: Final = 60.0
"""What a box that is given an id by hand has before it must be heard."""


async def gateways(store: Store, gateway_id: str | None = None) -> list[dict[str, Any]]:
    """Return each lease, with the other boxes that sent under its id; those that were heard last first."""
    async with store.reached() as (connection, _):
        leases = await connection.fetch(statements.LEASES, gateway_id)
        rivals = await connection.fetch(statements.RIVALS, gateway_id)
    return [
        {
            "gateway_id": lease["gateway_id"],
            "is_heard": lease["is_fresh"],
            **_shown(lease, "taken_at", "seen_at", "expires_at"),
            "rivals": [
                _shown(rival, "is_present", "kind", "first_seen_at", "last_seen_at", "times", "proven_at")
                for rival in rivals
                if rival["gateway_id"] == lease["gateway_id"]
            ],
        }
        for lease in leases
    ]


async def history(store: Store, gateway_id: str | None = None, *, limit: int) -> list[dict[str, Any]]:
    """Return what happened to leases besides ordinary restarts, the newest first."""
    async with store.reached() as (connection, _):
        found = await connection.fetch(statements.HISTORY, gateway_id, limit)
    return [dict(one) | {"body": json.loads(one["body"])} for one in found]


async def release(store: Store, gateway_id: str) -> dict[str, Any] | None:
    """Take the lease away: the box that is held back now gets it, else whoever sends next. None: there is no lease.

    The former holder is held back from then on, as any other box is.
    """
    async with store.reached() as (connection, _), connection.transaction():
        lease = await connection.fetchrow(statements.LEASE, gateway_id)
        if lease is None:
            return None
        before = box_of(lease)
        rival = await connection.fetchrow(statements.WAITING_RIVAL, gateway_id)
        if rival is None:
            await connection.execute(statements.GIVE_UP, gateway_id)
        else:
            took_over = json.dumps(notice_fields(Notice(About.TOOK_OVER, _RELEASED, before)))
            await connection.execute(statements.NOTE_FORMER, gateway_id)
            columns = [rival[name] for name in _BOX]
            await connection.execute(statements.TAKE, gateway_id, *columns, _LEASE_S, took_over)
            await connection.execute(statements.FORGET_RIVAL, gateway_id, rival["run"])
        to = None if rival is None else asdict(box_of(rival))
        await remember(connection, gateway_id, _RELEASED, {"kind": _RELEASED, "box": to, "other": asdict(before)})
    return {"gateway_id": gateway_id, "released": asdict(before), "to": to}


def _shown(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record[name] for name in (*_BOX, *names)}
