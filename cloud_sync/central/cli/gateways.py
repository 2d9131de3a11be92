"""`edge-central gateways`, `release`: which box sends under a gateway id, and who decides when two want to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.central.cli.database import open_store
from cloud_sync.central.cli.options import DatabaseUrl, Embedded
from cloud_sync.central.cli.output import print_lines, run_to_the_end
from cloud_sync.central.database import lease_desk
from cloud_sync.central.errors import UsageError


def list_gateways(
    gateway_id: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="What happened: held back, twins, took over, released; the newest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Of the history, the newest so many.")] = 100,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """List which box sends under each gateway id, and which others want to; one JSON line each."""
    run_to_the_end(_list_gateways(gateway_id, limit if history else None, database_url, embedded))


def release(
    gateway_id: Annotated[str, typer.Argument(help="The id that two boxes want.")],
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Take a gateway id from the box that has it: the one that is held back gets it, else whoever sends next."""
    run_to_the_end(_release(gateway_id, database_url, embedded))


async def _list_gateways(
    gateway_id: str | None, history: int | None, database_url: str | None, embedded: Path | None
) -> None:
    """Print each lease with the boxes that want it, or the newest `history` of what happened."""
    async with open_store(database_url, embedded) as store:
        if history is None:
            print_lines(await lease_desk.gateways(store, gateway_id))
        else:
            print_lines(await lease_desk.history(store, gateway_id, limit=history))


async def _release(gateway_id: str, database_url: str | None, embedded: Path | None) -> None:
    """Give the lease to the box that is held back, or to whoever sends next, and print what was done."""
    async with open_store(database_url, embedded) as store:
        released = await lease_desk.release(store, gateway_id)
    if released is None:
        raise UsageError(f"no box has the gateway id {gateway_id}", hint="`edge-central gateways` lists those in use")
    print_lines([released])
