"""`edge-central conflicts`, `correct`, `corrections`: values that differ, and values that are changed on purpose."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.central.cli.database import open_store
from cloud_sync.central.cli.options import DatabaseUrl, Embedded, Limit
from cloud_sync.central.cli.output import print_lines, run_to_the_end
from cloud_sync.central.database import corrections
from cloud_sync.central.errors import UsageError


def list_conflicts(
    gateway_id: Annotated[str | None, typer.Argument(help="Only those of this gateway.")] = None,
    limit: Limit = 100,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """List readings that were offered with another value than is stored; one JSON line each."""
    run_to_the_end(_list_conflicts(gateway_id, limit, database_url, embedded))


def correct(
    sensor_id: Annotated[str | None, typer.Argument(help="The sensor, as it is stored.")] = None,
    time_: Annotated[str | None, typer.Argument(metavar="TIME", help="As 2026-01-31T12:00:00.5Z.")] = None,
    value: Annotated[str | None, typer.Argument(help="What the reading is to be.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Many at once: columns sensor_id, time, value.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the old value.")] = "",
    by: Annotated[str | None, typer.Option(help="Who; default: the user at this machine.")] = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Change stored readings on purpose, all or none; what they were stays on record. One JSON line each."""
    run_to_the_end(_correct((sensor_id, time_, value), csv, reason, by, database_url, embedded))


def list_corrections(
    limit: Limit = 100,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """List what was corrected: old and new value, who, when, why; one JSON line each."""
    run_to_the_end(_list_corrections(limit, database_url, embedded))


async def _list_conflicts(gateway_id: str | None, limit: int, database_url: str | None, embedded: Path | None) -> None:
    """Print the newest conflicts, of one gateway or of all."""
    async with open_store(database_url, embedded) as store:
        print_lines(await corrections.conflicts(store, gateway_id, limit=limit))


async def _correct(
    one: tuple[str | None, str | None, str | None],
    csv: Path | None,
    reason: str,
    by: str | None,
    database_url: str | None,
    embedded: Path | None,
) -> None:
    """Make `one` correction (sensor, time, value) or those in `csv`, and print each with its old value."""
    sensor_id, time, value = one
    if csv is not None and one == (None, None, None):
        wanted = corrections.read_corrections(csv)
    elif csv is None and sensor_id is not None and time is not None and value is not None:
        wanted = [corrections.correction_of(sensor_id, time, value)]
    else:
        raise UsageError("give either SENSOR_ID TIME VALUE or --csv FILE")
    async with open_store(database_url, embedded) as store:
        print_lines(await corrections.correct(store, wanted, reason=reason, by=by or _user()))


async def _list_corrections(limit: int, database_url: str | None, embedded: Path | None) -> None:
    """Print the newest corrections."""
    async with open_store(database_url, embedded) as store:
        print_lines(await corrections.corrections(store, limit=limit))


def _user() -> str:
    """Who is logged in; a service without a name is told by its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"user {os.getuid()}"
