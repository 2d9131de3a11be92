"""A gateway's export, carried here by hand, into the database: checked first, then stored as if it had been sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import UsageError
from cloud_sync.columns import ColumnBatch
from cloud_sync.errors import BatchTooLargeError, SyncError
from cloud_sync.outbox.export_file import public_key, read_blocks
from cloud_sync.records import Settlement
from cloud_sync.wire import decode_columns


@dataclass(frozen=True, slots=True)
class Imported:
    """Rows and events of one file, and what became of them; the refused ones stay in the gateway's outbox."""

    gateway_id: str
    blocks: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0


async def import_file(store: Store, file: Path, keys: Sequence[Path]) -> Imported:
    """Store a signed file block by block; doing it again stores nothing twice. Raises UsageError."""
    try:
        gateway_id, _ = read_blocks(file, [public_key(key) for key in _files(keys, gateway_id=None)])
        gateway_id, blocks = read_blocks(file, [public_key(key) for key in _files(keys, gateway_id=gateway_id)])
        done = Imported(gateway_id)
        for block in blocks:
            batch = decode_columns(block.body)
            if batch.gateway_id != gateway_id:
                raise UsageError(f"{file} of gateway {gateway_id!r} holds a batch of {batch.gateway_id!r}")
            done = replace(done, blocks=done.blocks + 1)
            for settled in await _stored(store, batch):
                done = replace(
                    done,
                    accepted=done.accepted + settled.accepted,
                    duplicates=done.duplicates + settled.duplicates,
                    refused=done.refused + len(settled.refused),
                )
    except SyncError as exc:
        raise UsageError(exc.message, hint=exc.hint) from exc
    return done


async def _stored(store: Store, batch: ColumnBatch) -> list[Settlement]:
    """Return what became of a batch; one whose rows have too much text is bisected."""
    try:
        return [await store.store_batch(batch, gateway_id=batch.gateway_id)]
    except BatchTooLargeError:
        if len(batch) == 1:
            raise
    middle = len(batch) // 2
    return [
        *await _stored(store, batch.part(0, middle)),
        *await _stored(store, batch.part(middle, len(batch))),
    ]


def _files(keys: Sequence[Path], *, gateway_id: str | None) -> list[Path]:
    """Each key that is named, and of a folder of registered gateways <gateway_id>.pub: nobody signs for another."""
    named = [key for key in keys if not key.is_dir()]
    registered = [file for key in keys if key.is_dir() for file in sorted(key.glob("*.pub"))]
    found = named + [file for file in registered if gateway_id is None or file.stem == gateway_id]
    if not found and gateway_id is not None:
        raise UsageError(
            f"no key is registered for gateway {gateway_id!r}", hint=f"put its export.pub there as {gateway_id}.pub"
        )
    if not found:
        raise UsageError("no key is given to check the signature with", hint="--key export.pub of the gateway")
    return found
