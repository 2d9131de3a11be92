"""The two databases a run may be against, started and prepared."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from tests.support.databases import (
    TEMPLATE,
    DatabaseServer,
    PlainPostgres,
    UnpackedTimescale,
    execute,
    make_template,
    remove,
    short_folder,
)


@contextlib.asynccontextmanager
async def plain() -> AsyncIterator[DatabaseServer]:
    folder = short_folder()
    server = PlainPostgres(folder)
    try:
        async with server.postgres:
            await make_template(server)
            yield server
    finally:
        remove(server.postgres.home.socket_dir)
        remove(folder)


@contextlib.asynccontextmanager
async def timescale() -> AsyncIterator[DatabaseServer]:
    """Needs root."""
    folder = short_folder()
    server = UnpackedTimescale(folder)
    try:
        server.unpack()
        await server.start()
        await make_template(server)
        await execute(server.url("postgres"), f"ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS true")
        yield server
    finally:
        await server.stop()
        remove(folder)


DATABASES = {"postgresql": plain, "timescaledb": timescale}
