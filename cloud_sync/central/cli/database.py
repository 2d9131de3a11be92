"""The store that a command of `edge-central` works on: of an external database, or of an embedded one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import Upkeep
from cloud_sync.central.embedded_postgres.server import EmbeddedPostgres, running_url
from cloud_sync.central.errors import UsageError


@contextlib.asynccontextmanager
async def open_store(
    database_url: str | None, embedded: Path | None, upkeep: Upkeep | None = None
) -> AsyncIterator[Store]:
    """Open the store of an external database, of a running embedded one, or of one started for this command."""
    if (database_url is None) == (embedded is None):
        raise one_of_both()
    async with contextlib.AsyncExitStack() as stack:
        if embedded is not None:
            database_url = running_url(embedded)
            if database_url is None:
                database_url = (await stack.enter_async_context(EmbeddedPostgres(embedded))).url
        yield await stack.enter_async_context(Store(str(database_url), upkeep=upkeep))


def one_of_both() -> UsageError:
    """Return the error of a command that names no database, or two."""
    return UsageError("give either --database-url or --embedded")
