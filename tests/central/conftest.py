"""A server per run, a database per test, a service per test that asks for one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.bodies import BodyLimits
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.server import Listen, running
from tests.support.central import API_KEY, MAX_BODY_BYTES, Database
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

_numbers = itertools.count()


@pytest.fixture(scope="session")
def plain_server() -> Iterator[DatabaseServer]:
    folder = short_folder()
    server = PlainPostgres(folder)
    with asyncio.Runner() as runner:
        runner.run(server.postgres.__aenter__())
        try:
            runner.run(make_template(server))
            yield server
        finally:
            runner.run(server.postgres.__aexit__(None, None, None))
            remove(server.postgres.home.socket_dir)
            remove(folder)


@pytest.fixture(scope="session")
def timescale_server() -> Iterator[DatabaseServer]:
    folder = short_folder()
    server = UnpackedTimescale(folder)
    with asyncio.Runner() as runner:
        try:
            server.unpack()
            runner.run(server.start())
            runner.run(make_template(server))
            yield server
        finally:
            runner.run(server.stop())
            remove(folder)


@pytest.fixture(params=["plain", pytest.param("timescale", marks=pytest.mark.root)])
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
async def database(database_server: DatabaseServer) -> AsyncIterator[Database]:
    name = f"test_{next(_numbers)}"
    await execute(database_server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield Database(database_server, name)
    await execute(database_server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def bare(database_server: DatabaseServer) -> AsyncIterator[Database]:
    """A database that nobody has prepared."""
    name = f"bare_{next(_numbers)}"
    await execute(database_server.url("postgres"), f"CREATE DATABASE {name}")
    yield Database(database_server, name)
    await execute(database_server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with Store(database.url) as store:
        await store.add_key(API_KEY, gateway_id="gw-1")
        yield store


@pytest.fixture
async def service_url(store: Store) -> AsyncIterator[str]:
    limits = BodyLimits(body_bytes=MAX_BODY_BYTES, decoded_bytes=1_000_000, rows=1_000)
    async with running(create_app(store, limits=limits), Listen()) as url:
        yield url
