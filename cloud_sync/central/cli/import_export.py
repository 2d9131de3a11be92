"""`edge-central import`: an export that was carried here by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.central.cli.database import open_store
from cloud_sync.central.cli.options import DatabaseUrl, Embedded, RetentionDays
from cloud_sync.central.cli.output import run_to_the_end
from cloud_sync.central.database.import_file import import_file
from cloud_sync.central.database.upkeep import Upkeep


def import_export(
    file: Annotated[Path, typer.Argument(help="Made by `edge-agent outbox export`.")],
    key: Annotated[list[Path] | None, typer.Option(help="The gateway's export.pub, or a folder of GATEWAY.pub")] = None,
    retention_days: RetentionDays = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Store a gateway's export that was carried here by hand. Prints one JSON line."""
    run_to_the_end(_import(file, key or [], Upkeep(retention_days), database_url, embedded))


async def _import(
    file: Path, keys: list[Path], upkeep: Upkeep, database_url: str | None, embedded: Path | None
) -> None:
    async with open_store(database_url, embedded, upkeep) as store:
        print(json.dumps(asdict(await import_file(store, file, keys))))
