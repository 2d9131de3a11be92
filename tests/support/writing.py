"""A writer that flushes only when told to, and waiting for a state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cloud_sync.outbox.audit_log import AuditLog
from cloud_sync.outbox.writer import BlockStore, OutboxWriter
from tests.support.blocks import GATEWAY

DEADLINE_S = 10.0


def writer_to(
    store: BlockStore,
    *,
    max_pending: int = 50_000,
    audit_log: AuditLog | None = None,
    on_flush: Callable[[], None] = lambda: None,
) -> OutboxWriter:
    return OutboxWriter(
        store,
        gateway_id=GATEWAY,
        flush_interval_s=3_600.0,
        max_pending=max_pending,
        audit_log=audit_log,
        on_flush=on_flush,
    )


async def until(is_so: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(deadline_s):
        while not is_so():
            await asyncio.sleep(0.001)
