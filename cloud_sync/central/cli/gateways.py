"""`edge-central gateways`, `release`: which box sends under a gateway id, and who decides when two want to."""

from __future__ import annotations

from pathlib import Path

from cloud_sync.central.cli.lines import print_lines
from cloud_sync.central.cli.store import open_store
from cloud_sync.central.database import lease_desk
from cloud_sync.central.errors import UsageError


async def list_gateways(
    gateway_id: str | None, history: int | None, database_url: str | None, embedded: Path | None
) -> None:
    """Print each lease with the boxes that want it, or the newest `history` of what happened."""
    async with open_store(database_url, embedded) as store:
        if history is None:
            print_lines(await lease_desk.gateways(store, gateway_id))
        else:
            print_lines(await lease_desk.history(store, gateway_id, limit=history))


async def release(gateway_id: str, database_url: str | None, embedded: Path | None) -> None:
    """Give the lease to the box that is held back, or to whoever sends next, and print what was done."""
    async with open_store(database_url, embedded) as store:
        released = await lease_desk.release(store, gateway_id)
    if released is None:
        raise UsageError(f"no box has the gateway id {gateway_id}", hint="`edge-central gateways` lists those in use")
    print_lines([released])
