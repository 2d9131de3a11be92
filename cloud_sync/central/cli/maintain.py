"""`edge-central maintain`: the jobs of the database, once and now."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.central.cli.database import open_store
from cloud_sync.central.cli.options import DatabaseUrl, Embedded, RetentionDays
from cloud_sync.central.cli.output import run_to_the_end
from cloud_sync.central.database.maintenance import Maintenance
from cloud_sync.central.database.upkeep import Upkeep


def maintain(
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
    retention_days: RetentionDays = None,
    hours_since: Annotated[
        datetime | None, typer.Option(help="Compute every hour since then (UTC) again.", formats=["%Y-%m-%d"])
    ] = None,
) -> None:
    """Run retention, the hourly roll-up and the index once, now; one JSON line each. `serve` does so on a schedule."""
    run_to_the_end(_maintain(database_url, embedded, Upkeep(retention_days), hours_since))


async def _maintain(
    database_url: str | None, embedded: Path | None, upkeep: Upkeep, hours_since: datetime | None
) -> None:
    async with open_store(database_url, embedded) as store:
        maintenance = Maintenance(store, upkeep)
        if hours_since is not None:
            await maintenance.mark_hours(hours_since.replace(tzinfo=UTC))
        for ran in await maintenance.run_once():
            print(json.dumps(asdict(ran)))
