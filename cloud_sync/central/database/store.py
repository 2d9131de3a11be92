"""What the central knows, in PostgreSQL: sensors, readings, events, keys. The only user of asyncpg at run time.

Constraints
- `store_batch` returns after COMMIT and accounts for every row and event of the batch.
- A row the database itself refuses costs only itself: the statement is bisected until that row stands alone.
- Anything else that goes wrong is DatabaseAwayError, and nothing of the batch was stored.
- Opening needs no database; the tables are brought up to date when it is first reached.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import asyncpg

from cloud_sync.central.database import lease_statements, statements
from cloud_sync.central.database.ingest import Ingest
from cloud_sync.central.database.known_keys import KeyHolder, KnownKeys, key_digest
from cloud_sync.central.database.leases import Leases, LeaseTerms
from cloud_sync.central.database.migrations import Features, migrate
from cloud_sync.central.database.shares import CONNECTIONS, Shares
from cloud_sync.central.database.upkeep import Upkeep
from cloud_sync.central.database.write_watch import WriteWatch, public_reason
from cloud_sync.central.errors import DatabaseAwayError, UsageError
from cloud_sync.central.metrics import Metrics
from cloud_sync.columns import ColumnBatch
from cloud_sync.digest import HourDigest, HourKey
from cloud_sync.records import Batch, Settlement
from cloud_sync.row_rules import columns_of, judge_columns
from cloud_sync.twins import Notice, Sender

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 30.0

_LIBRARY_ERRORS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The last one is what asyncpg raises when the server's farewell meets a statement that is just being sent."""

_LOST_RACE_TRIES: Final = 3
"""A deadlock or serialization failure undoes everything; the same transaction may then simply be tried again."""
_JUDGED_AT_ONCE: Final = 2_000
"""Records: some milliseconds, less than it takes to wait for a thread beside others that work."""


@dataclass(frozen=True, slots=True)
class Health:
    """`timescaledb` is its version, or None on plain PostgreSQL; `rows` were committed since the tables exist."""

    timescaledb: str | None
    rows: int


class Store:
    """`async with Store(url) as store:`; every method may raise DatabaseAwayError.

    With `upkeep`, rows that it would delete are refused; without, nobody is known to delete any.
    """

    def __init__(
        self,
        database_url: str,
        *,
        metrics: Metrics | None = None,
        upkeep: Upkeep | None = None,
        lease: LeaseTerms | None = None,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database_url = database_url
        self._statement_timeout_s = statement_timeout_s
        self._now = now
        self.metrics = metrics or Metrics()
        self.writing = WriteWatch()
        self.shares = Shares.counted(self.metrics.turned_away.add)
        self.known_keys = KnownKeys(self._key_holders)
        self._leases = Leases(self.reached, self.metrics, lease)
        self._upkeep = upkeep
        self._pool: asyncpg.Pool[Any] | None = None
        self._features: Features | None = None
        self._migrating = asyncio.Lock()

    async def __aenter__(self) -> Self:
        _check_url(self._database_url)
        self._pool = await asyncpg.create_pool(
            self._database_url,
            min_size=0,  # connects when first used, so that opening needs no database
            max_size=CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=self._statement_timeout_s,
            server_settings={"application_name": "edge-central"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.terminate()  # answers were given after COMMIT; there is nothing to wait for
        await self.known_keys.close()

    async def prepare(self) -> None:
        """Reach the database, bring its tables up to date, and hear it answer."""
        async with self._connection() as connection:
            await connection.execute("SELECT 1")

    async def admit(self, gateway_id: str, sender: Sender | None, address: str) -> Notice | None:
        """Let this box send under its gateway id, and return what it is to be told of another one that does.

        Raises HeldBackError while another box has the id.
        """
        try:
            return await self._leases.admit(gateway_id, sender, address)
        except DatabaseAwayError as exc:
            self.writing.failed(exc.public_message)
            raise

    async def store_batch(self, batch: Batch | ColumnBatch, *, gateway_id: str) -> Settlement:
        """Store what can be stored, in one transaction, and return what became of each row and event."""
        started_s = time.monotonic()
        columns = batch if isinstance(batch, ColumnBatch) else columns_of(batch)
        try:
            settlement = await self._stored(columns, gateway_id)
        except DatabaseAwayError as exc:
            self.writing.failed(exc.public_message)
            raise
        self.writing.stored()
        self.metrics.count_settled(gateway_id, settlement, seconds=time.monotonic() - started_s)
        return settlement

    async def _stored(self, batch: ColumnBatch, gateway_id: str) -> Settlement:
        if self._features is None:
            await self.prepare()
        # A large batch takes tenths of a second to judge; other gateways are answered meanwhile.
        judge = partial(judge_columns, batch, now=self._now(), oldest_kept=self._oldest_kept())
        judgement = judge() if len(batch) <= _JUDGED_AT_ONCE else await asyncio.to_thread(judge)
        async with self.reached() as (connection, features):
            for tries_left in reversed(range(_LOST_RACE_TRIES)):
                try:
                    async with connection.transaction():
                        ingest = Ingest(connection, gateway_id, marks_hours=features.own_hourly)
                        return await ingest.store(batch.rows, judgement)
                except asyncpg.TransactionRollbackError:
                    if tries_left == 0:
                        raise
        raise AssertionError("the loop above returns or raises")

    def _oldest_kept(self) -> datetime | None:
        if self._upkeep is None or self._features is None:
            return None
        return self._upkeep.oldest_kept(self._features, self._now())

    async def key_holder(self, api_key: str) -> KeyHolder | None:
        """Return who holds this key, or None when nobody does."""
        digest = key_digest(api_key)
        return (await self._key_holders([digest])).get(digest)

    async def _key_holders(self, digests: Sequence[bytes]) -> dict[bytes, KeyHolder]:
        async with self._connection() as connection:
            found = await connection.fetch(statements.KEYS_OF, list(digests))
        return {one["key_sha256"]: KeyHolder(one["gateway_id"], one["revoked"]) for one in found}

    async def add_key(self, api_key: str, *, gateway_id: str) -> KeyHolder:
        """Let this key send as `gateway_id`. Returns whom it belongs to, also when it was there before."""
        async with self._connection() as connection:
            await connection.execute(statements.ADD_KEY, key_digest(api_key), gateway_id)
        self.known_keys.forget()
        holder = await self.key_holder(api_key)
        assert holder is not None  # noqa: S101 (keys are revoked, never deleted)
        return holder

    async def keys(self) -> list[dict[str, Any]]:
        """Return every key by its digest; the keys themselves are not stored."""
        async with self._connection() as connection:
            return [dict(record) for record in await connection.fetch(statements.KEYS)]

    async def revoke_key(self, digest_start: str) -> list[str]:
        """Revoke every valid key whose digest begins so. Returns the gateways they belonged to."""
        async with self._connection() as connection:
            revoked = await connection.fetch(statements.REVOKE_KEY, digest_start)
        self.known_keys.forget()
        return [record["gateway_id"] for record in revoked]

    async def digest(
        self, gateway_id: str, start: datetime, end: datetime, *, limit: int, with_values: bool = False
    ) -> dict[HourKey, HourDigest]:
        """Return the fingerprints of a gateway's rows in [start, end), at most `limit` hours; computed by the database.

        With values, these are the ones that were delivered, also where one was corrected since.
        """
        statement = statements.VALUE_DIGEST if with_values else statements.KEY_DIGEST
        async with self._connection() as connection:
            found = await connection.fetch(statement, gateway_id, start, end, limit)
        return {
            (hour["sensor_id"], hour["hour_us"]): HourDigest(
                hour["count"], hour["min_us"], hour["max_us"], hour["hash"], hour["value_hash"]
            )
            for hour in found
        }

    async def health(self) -> Health:
        async with self._connection() as connection:
            record = await connection.fetchrow(statements.HEALTH)
        return Health(record["timescaledb"], record["rows"])

    async def stats(self) -> dict[str, Any]:
        """Return committed totals: per gateway, and events by kind; twins: other boxes heard now."""
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            gateways = [dict(record) for record in await connection.fetch(statements.TOTALS)]
            kinds = {record["kind"]: record["count"] for record in await connection.fetch(statements.EVENTS_BY_KIND)}
            found = await connection.fetch(lease_statements.PRESENT_RIVALS)
        twins = {record["gateway_id"]: record["count"] for record in found}
        for gateway in gateways:
            gateway["twins"] = twins.get(gateway["gateway_id"], 0)
        totals = {
            name: sum(g[name] for g in gateways)
            for name in ("batches", "rows", "events", "duplicates", "refused", "conflicts", "twins")
        }
        last = max((g["last_commit_at"] for g in gateways), default=None)
        return {**totals, "last_commit_at": last, "events_by_kind": kinds, "gateways": gateways}

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        async with self.reached() as (connection, _):
            yield connection

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[tuple[asyncpg.Connection[Any], Features]]:
        """Lend a connection to a database whose tables are up to date, and what it can do; only our errors leave."""
        assert self._pool is not None, "enter the store first"  # noqa: S101 (a programming error, not an input)
        with _translated():
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection, self._features or await self._up_to_date(connection)

    async def _up_to_date(self, connection: asyncpg.Connection[Any]) -> Features:
        async with self._migrating:
            if self._features is None:
                self._features = await migrate(connection)
                _report(self._features)
            return self._features


def _check_url(database_url: str) -> None:
    """What can be wrong with it before anybody is asked. The URL itself may hold a password: never in words."""
    hint = "it looks like postgresql://user@host:5432/name"
    try:
        parts = urlsplit(database_url)
        usable = parts.scheme in ("postgresql", "postgres") and parts.port != 0
    except ValueError as exc:
        raise UsageError(f"the database URL cannot be used: {exc}", hint=hint) from exc
    if not usable:
        raise UsageError(f"the database URL begins with {parts.scheme!r}, not with postgresql://", hint=hint)


def _report(features: Features) -> None:
    if features.timescaledb is None:
        logger.warning("plain PostgreSQL without TimescaleDB: sensor_readings is an ordinary table")
    elif features.hypertable:
        logger.info(
            "sensor_readings is a hypertable of TimescaleDB %s, licence %s", features.timescaledb, features.licence
        )


@contextmanager
def _translated() -> Iterator[None]:
    """Let only our errors out of this block."""
    try:
        yield
    except TimeoutError as exc:
        raise DatabaseAwayError("the database did not answer in time") from exc
    except _LIBRARY_ERRORS as exc:
        raise DatabaseAwayError(
            f"the database is away: {type(exc).__name__}: {exc}", public_message=public_reason(exc)
        ) from exc
