"""`edge-central add-key`, `keys`, `revoke-key`: who may send."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.central.cli.database import open_store
from cloud_sync.central.cli.options import DatabaseUrl, Embedded
from cloud_sync.central.cli.output import print_lines, run_to_the_end
from cloud_sync.central.errors import UsageError
from cloud_sync.host.printable import is_printable
from cloud_sync.row_rules import MAX_ID_CHARS


def add_key(
    gateway_id: Annotated[str, typer.Argument(help="The gateway that will send with this key.")],
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Write the key here (mode 0600); an existing file's key is registered.")
    ] = None,
) -> None:
    """Give a gateway a key. Without --key-file it is printed, once."""
    run_to_the_end(_add_key(gateway_id, key_file, database_url, embedded))


def list_keys(database_url: DatabaseUrl = None, embedded: Embedded = None) -> None:
    """List keys by the start of their digest; one JSON line each."""
    run_to_the_end(_list_keys(database_url, embedded))


def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As `keys` shows it; at least 8 characters.")],
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Refuse this key from now on."""
    run_to_the_end(_revoke_key(key_id, database_url, embedded))


async def _add_key(gateway_id: str, key_file: Path | None, database_url: str | None, embedded: Path | None) -> None:
    """Register the key in `key_file`, or a new one, which is written there or printed."""
    if not 0 < len(gateway_id) <= MAX_ID_CHARS or ":" in gateway_id or not is_printable(gateway_id):
        raise UsageError(f"a gateway id has 1 to {MAX_ID_CHARS} characters, no colon and no control character")
    async with open_store(database_url, embedded) as store:
        api_key = _key_from(key_file) or secrets.token_urlsafe(32)
        holder = await store.add_key(api_key, gateway_id=gateway_id)
        if holder.gateway_id != gateway_id:
            raise UsageError(f"the key in {key_file} belongs to gateway {holder.gateway_id!r}")
        if holder.revoked:
            raise UsageError(f"the key in {key_file} was revoked", hint="remove the file to get a new key")
        if key_file is None:
            print(api_key)
        else:
            _write_key(key_file, api_key)
            print(f"{gateway_id} may send with the key in {key_file}", file=sys.stderr)


async def _list_keys(database_url: str | None, embedded: Path | None) -> None:
    """Print one JSON line for each key."""
    async with open_store(database_url, embedded) as store:
        print_lines(
            {"key_id": key["digest"][:12]} | {name: key[name] for name in ("gateway_id", "created_at", "revoked_at")}
            for key in await store.keys()
        )


async def _revoke_key(key_id: str, database_url: str | None, embedded: Path | None) -> None:
    """Revoke the valid keys whose digest begins with `key_id`."""
    if len(key_id) < 8 or not set(key_id.lower()) <= set("0123456789abcdef"):
        raise UsageError("a key id is at least 8 hexadecimal characters", hint="`edge-central keys` shows them")
    async with open_store(database_url, embedded) as store:
        if not await store.revoke_key(key_id.lower()):
            raise UsageError(f"no valid key has the id {key_id}", hint="`edge-central keys` shows them")


def _key_from(key_file: Path | None) -> str | None:
    if key_file is None or not key_file.exists():
        return None
    api_key = key_file.read_text().strip()
    if not api_key:
        raise UsageError(f"{key_file} is empty", hint="remove it to get a new key")
    return api_key


def _write_key(key_file: Path, api_key: str) -> None:
    if key_file.exists():
        return
    handle = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(api_key + "\n")
