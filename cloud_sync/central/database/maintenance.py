"""What the central does by itself: an index for readers; retention and the hourly roll-up where TimescaleDB does not.

Constraints
- One instance works at a time (an advisory lock per job), and a job that another instance just ran is not due.
- Every step is one short statement of its own; what is interrupted is taken up again by the next run. An index is the
  exception: it may take hours, so each job has its own schedule and waits for no other.
- An hour that late rows arrived in is computed again, from all its rows; hours beyond retention stay as they are.
- Rows of a table that was here before us are deleted only when retention was asked for by name.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import asyncpg

from cloud_sync.central.database.migrations import Features
from cloud_sync.central.database.reading_index import build_index
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import Job, Upkeep, whole_hour
from cloud_sync.central.errors import CentralError, ReadingIndexError
from cloud_sync.central.metrics import Metrics
from cloud_sync.row_rules import EPOCH

logger = logging.getLogger(__name__)

_STATEMENT_TIMEOUT_S: Final = 120.0
_LOCK_CLASS: Final = 0x5345_4447  # the first half of the key; the job's number is the second
_FOREIGN_WRITERS_HOURS: Final = 2
"""In an adopted table others may write too, and leave no markers: this hour and so many before are looked at."""

_DROP_CHUNKS: Final = "SELECT count(*) FROM drop_chunks('sensor_readings', older_than => $1::timestamptz)"

_DELETE_SOME: Final = """
    WITH old AS (
        SELECT timestamp, sensor_id FROM sensor_readings WHERE timestamp < $1 ORDER BY timestamp LIMIT $2),
    gone AS (
        DELETE FROM sensor_readings r USING old
        WHERE r.timestamp = old.timestamp AND r.sensor_id = old.sensor_id RETURNING 1)
    SELECT count(*) FROM gone"""

# Deleting markers and reading rows happens in one snapshot: a marker that is seen has its rows seen.
_ROLL_UP_SOME: Final = """
    WITH waiting AS (SELECT hour, gateway_id FROM hourly_pending ORDER BY id LIMIT 20000),
    pairs AS (SELECT DISTINCT hour, gateway_id FROM waiting ORDER BY hour, gateway_id LIMIT $1),
    gone AS (
        DELETE FROM hourly_pending p USING pairs
        WHERE p.hour = pairs.hour AND p.gateway_id = pairs.gateway_id RETURNING 1),
    targets AS (
        SELECT s.sensor_id, p.hour FROM pairs p JOIN sensors s ON s.gateway_id = p.gateway_id
        UNION
        SELECT r.sensor_id, p.hour FROM pairs p CROSS JOIN LATERAL (
            SELECT DISTINCT sensor_id FROM sensor_readings
            WHERE timestamp >= p.hour AND timestamp < p.hour + INTERVAL '1 hour') r
        WHERE p.gateway_id = ''),
    changed AS (
        INSERT INTO sensor_readings_hourly AS h (sensor_id, hour, count, min, max, mean, sum)
        SELECT t.sensor_id, t.hour, a.count, a.min, a.max, a.sum / nullif(a.summed, 0), a.sum
        FROM targets t CROSS JOIN LATERAL (
            SELECT count(*), min(value), max(value), sum(value) FILTER (WHERE abs(value) < 1e300),
                   count(*) FILTER (WHERE abs(value) < 1e300) AS summed
            FROM sensor_readings r
            WHERE r.sensor_id = t.sensor_id AND r.timestamp >= t.hour AND r.timestamp < t.hour + INTERVAL '1 hour') a
        WHERE a.count > 0 AND t.hour >= $2
        ON CONFLICT (sensor_id, hour) DO UPDATE SET
            count = excluded.count, min = excluded.min, max = excluded.max, mean = excluded.mean, sum = excluded.sum
        WHERE (h.count, h.min, h.max, h.sum) IS DISTINCT FROM (excluded.count, excluded.min, excluded.max, excluded.sum)
        RETURNING 1)
    SELECT (SELECT count(*) FROM gone) AS markers, (SELECT count(*) FROM changed) AS changed"""

_MARK_SPAN: Final = """
    INSERT INTO hourly_pending (hour)
    SELECT generate_series(date_trunc('hour', $1::timestamptz, 'UTC'), $2::timestamptz, INTERVAL '1 hour')"""

_RAN_RECENTLY: Final = """
    SELECT EXISTS (SELECT FROM central_jobs WHERE job = $1 AND last_finished_at > clock_timestamp() - $2::interval)"""

_RECORD_RUN: Final = """
    INSERT INTO central_jobs AS j (job, runs, last_finished_at, last_outcome, changed)
    VALUES ($1, 1, clock_timestamp(), $2, $3)
    ON CONFLICT (job) DO UPDATE SET
        runs = j.runs + 1, last_finished_at = excluded.last_finished_at, last_outcome = excluded.last_outcome,
        changed = j.changed + excluded.changed"""


class Outcome(StrEnum):
    DONE = "done"
    NOT_DUE = "not_due"
    ELSEWHERE = "elsewhere"
    """Another instance is at it."""
    NOT_OURS = "not_ours"
    """TimescaleDB does it, or nobody asked for it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobRun:
    """What one run did: chunks or rows deleted, hours written, indexes built."""

    job: Job
    outcome: Outcome
    changed: int = 0
    seconds: float = 0.0


class Maintenance:
    """`run()` on a schedule until cancelled, or `run_once()`."""

    def __init__(
        self,
        store: Store,
        upkeep: Upkeep,
        *,
        metrics: Metrics | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._upkeep = upkeep
        self._metrics = metrics or Metrics()
        self._now = now
        self._failing: set[Job] = set()

    async def run(self) -> None:
        """Run what is due, for ever. A failure is logged when it begins and when it ends, and tried again."""
        async with asyncio.TaskGroup() as jobs:
            for job, every_s in self._upkeep.every_s:
                jobs.create_task(self._run_scheduled(job, every_s))

    async def run_once(self) -> list[JobRun]:
        """Run every job now, due or not. Raises CentralError."""
        return [await self._run_locked(job, every_s=0.0) for job, _ in self._upkeep.every_s]

    async def mark_hours(self, since: datetime) -> None:
        """Have every hour since then computed again by the next run, also those that others wrote into."""
        async with self._store.reached() as (connection, features):
            if features.own_hourly:
                await connection.execute(_MARK_SPAN, since, self._now())

    async def _run_scheduled(self, job: Job, every_s: float) -> None:
        while True:
            pause_s = self._upkeep.pause_s
            try:
                ran = await self._run_locked(job, every_s=every_s)
            except ReadingIndexError as exc:
                self._count_failed(job, exc)
                pause_s = every_s  # a try is costly, above all where it fills the disk
            except CentralError as exc:
                self._count_failed(job, exc)
            else:
                self._count_run(ran)
            await asyncio.sleep(pause_s)

    def _count_failed(self, job: Job, exc: CentralError) -> None:
        self._metrics.jobs.add(job, Outcome.FAILED)
        if job not in self._failing:
            hint = f" ({exc.hint})" if exc.hint else ""
            logger.warning("the job %s failed and will be tried again: %s%s", job, exc.message, hint)
            self._failing.add(job)

    def _count_run(self, ran: JobRun) -> None:
        self._metrics.jobs.add(ran.job, ran.outcome)
        if ran.job in self._failing:
            logger.info("the job %s works again", ran.job)
            self._failing.discard(ran.job)

    async def _run_locked(self, job: Job, *, every_s: float) -> JobRun:
        async with self._store.reached() as (connection, features):
            if not await _locked(connection, job):
                return JobRun(job, Outcome.ELSEWHERE)
            if await connection.fetchval(_RAN_RECENTLY, job, timedelta(seconds=every_s)):
                return JobRun(job, Outcome.NOT_DUE)
            started_s = time.monotonic()
            changed = await self._work(job, connection, features)
            outcome = Outcome.NOT_OURS if changed is None else Outcome.DONE
            await connection.execute(_RECORD_RUN, job, outcome, changed or 0)
            return JobRun(job, outcome, changed or 0, time.monotonic() - started_s)

    async def _work(self, job: Job, connection: asyncpg.Connection[Any], features: Features) -> int | None:
        """Return how much was changed, or None when there is nothing of this kind for us to do."""
        if job is Job.RETENTION:
            return await self._delete_old(connection, features)
        if job is Job.READING_INDEX:
            built = await build_index(connection, self._store.reached, hypertable=features.hypertable)
            return None if built is None else int(built)
        return await self._roll_up(connection, features)

    async def _delete_old(self, connection: asyncpg.Connection[Any], features: Features) -> int | None:
        days = self._upkeep.days(features)
        if days == 0:
            return None
        oldest = self._oldest_kept(days)
        if features.hypertable:
            return int(await connection.fetchval(_DROP_CHUNKS, oldest, timeout=_STATEMENT_TIMEOUT_S))
        deleted = 0
        while step := await connection.fetchval(
            _DELETE_SOME, oldest, self._upkeep.rows_per_step, timeout=_STATEMENT_TIMEOUT_S
        ):
            deleted += step
        return deleted

    async def _roll_up(self, connection: asyncpg.Connection[Any], features: Features) -> int | None:
        if not features.own_hourly:
            return None
        if features.adopted:
            now = self._now()
            await connection.execute(_MARK_SPAN, now - timedelta(hours=_FOREIGN_WRITERS_HOURS), now)
        days = self._upkeep.days(features)
        oldest = self._oldest_kept(days) if days else EPOCH
        changed: int = 0
        while True:
            step = await connection.fetchrow(
                _ROLL_UP_SOME, self._upkeep.hours_per_step, oldest, timeout=_STATEMENT_TIMEOUT_S
            )
            changed += step["changed"]
            if step["markers"] == 0:
                return changed

    def _oldest_kept(self, days: int) -> datetime:
        return whole_hour(self._now() - timedelta(days=days))


@asynccontextmanager
async def maintaining(maintenance: Maintenance) -> AsyncIterator[None]:
    """Run the jobs while this scope is entered. Should they break, batches are still taken, and an error is logged."""
    task = asyncio.create_task(maintenance.run(), name="maintenance")  # awaited below
    task.add_done_callback(_log_if_broken)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _log_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("maintenance broke and is off until the next start", exc_info=error)


async def _locked(connection: asyncpg.Connection[Any], job: Job) -> bool:
    """Held by the connection until the pool takes it back, which unlocks; a killed instance holds nothing."""
    number = list(Job).index(job)
    locked: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1::int, $2::int)", _LOCK_CLASS, number)
    return locked
