"""`edge-central conflicts`, `correct`, `corrections`: values that differ, and values that are changed on purpose."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from cloud_sync.central.cli.lines import print_lines
from cloud_sync.central.cli.store import open_store
from cloud_sync.central.database import corrections
from cloud_sync.central.errors import UsageError


async def list_conflicts(gateway_id: str | None, limit: int, database_url: str | None, embedded: Path | None) -> None:
    """Print the newest conflicts, of one gateway or of all."""
    async with open_store(database_url, embedded) as store:
        print_lines(await corrections.conflicts(store, gateway_id, limit=limit))


async def correct(
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


async def list_corrections(limit: int, database_url: str | None, embedded: Path | None) -> None:
    """Print the newest corrections."""
    async with open_store(database_url, embedded) as store:
        print_lines(await corrections.corrections(store, limit=limit))


def _user() -> str:
    """Who is logged in; a service without a name is told by its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"user {os.getuid()}"
