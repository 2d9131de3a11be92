"""The ledger of what was acknowledged, and the comparison with what the central says it has."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.columns import RowColumns
from cloud_sync.digest import (
    HOUR_US,
    Difference,
    HourDigest,
    HourKey,
    digest_columns,
    digest_rows,
    hour_of,
)
from cloud_sync.outbox.ack_ledger import KEPT_HOURS, acknowledged
from cloud_sync.outbox.store import Outbox
from cloud_sync.reconcile.compare import Cause, HourSpan, OurSide, compare, hour_span, read_our_side
from cloud_sync.reconcile.hourly import state_of
from cloud_sync.records import Batch, Refusal, Row, Series, Settlement
from edge_agent.status.central import reconcile_problem
from tests.support.blocks import START_US, block_of, gap_event, series
from tests.support.digests import digest_keys
from tests.support.writing import writer_to

HOUR = hour_of(START_US)
NOW_US = HOUR + 2 * HOUR_US
SPAN = HourSpan(HOUR, HOUR + HOUR_US)
PLACE = ("pump-07.de-x.rms", HOUR)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        yield outbox


def rows_at(*seconds: int, sensor_id: str = "pump-07.de-x.rms") -> list[Row]:
    return [Row(series(sensor_id), HOUR + n * 1_000_000, 1.0, 1.0) for n in seconds]


def digests(rows: list[Row]) -> dict[HourKey, HourDigest]:
    return digest_keys(row.key for row in rows)


def deliver(outbox: Outbox, rows: list[Row], *, refused: tuple[Refusal, ...] = (), now_us: int = NOW_US) -> None:
    outbox.append([block_of(rows)])
    block = outbox.peek()
    assert block is not None
    outbox.settle(block, Settlement(len(rows) - len(refused), 0, refused), now_us=now_us)


def ledger(outbox: Outbox, start_us: int = 0, end_us: int = 1 << 62) -> dict[HourKey, HourDigest]:
    return outbox.read(lambda db: acknowledged(db, start_us, end_us))


# ---- the ledger


def test_settled_rows_enter_the_ledger_whatever_their_blocks(outbox: Outbox):
    deliver(outbox, rows_at(1, 2, 3))
    deliver(outbox, [*rows_at(4), *rows_at(5, sensor_id="fan-01.rms"), *rows_at(3_601)])
    expected = [*rows_at(1, 2, 3, 4, 3_601), *rows_at(5, sensor_id="fan-01.rms")]
    assert ledger(outbox) == digests(expected)


def test_values_enter_the_ledger_and_sum_up_like_keys(outbox: Outbox):
    offered = [replace(row, value=n / 7, quality=n / 20) for n, row in enumerate(rows_at(*range(20)))]
    for n in range(0, 20, 5):
        deliver(outbox, offered[n : n + 5])
    (found,) = ledger(outbox).values()
    assert found.value_hash == digest_rows(RowColumns.of(offered))[PLACE].value_hash
    assert found.value_hash != digest_rows(RowColumns.of([*offered[:19], replace(offered[19], value=-0.0)]))


def test_a_refused_row_leaves_no_value_in_the_ledger(outbox: Outbox):
    deliver(outbox, rows_at(1, 2, 3), refused=(Refusal(1, "differs", "another value"),))
    assert ledger(outbox)[PLACE].value_hash == digest_rows(RowColumns.of(rows_at(1, 3)))[PLACE].value_hash


OLD_LEDGER = """
DROP TABLE digest_hour;
CREATE TABLE digest_hour (
    hour_us INTEGER NOT NULL, sensor INTEGER NOT NULL, count INTEGER NOT NULL, min_us INTEGER NOT NULL,
    max_us INTEGER NOT NULL, hash INTEGER NOT NULL, PRIMARY KEY (hour_us, sensor)
) WITHOUT ROWID;
"""
OLD_NOTE = """
INSERT INTO digest_hour (hour_us, sensor, count, min_us, max_us, hash) SELECT ?, id, ?, ?, ?, ? FROM digest_sensor
WHERE true ON CONFLICT (hour_us, sensor) DO UPDATE SET count = count + excluded.count,
max_us = max(max_us, excluded.max_us),
hash = (hash + (excluded.hash - 9223372036854775807 - 1)) & 9223372036854775807
"""


def noted_by_an_older_program(db: sqlite3.Connection, *seconds: int) -> None:
    (found,) = digests(rows_at(*seconds)).values()
    db.execute(OLD_NOTE, (HOUR, found.count, found.min_us, found.max_us, found.hash))


def test_a_ledger_of_an_older_program_is_known_by_its_keys(outbox: Outbox):
    deliver(outbox, rows_at(1))
    with contextlib.closing(sqlite3.connect(outbox.path)) as db, db:
        db.executescript(OLD_LEDGER)
        noted_by_an_older_program(db, 1, 2)
    assert ledger(outbox) == digests(rows_at(1, 2))
    assert ledger(outbox)[PLACE].value_hash is None
    deliver(outbox, [*rows_at(3), *rows_at(4_000)])
    assert [one.value_hash is None for _, one in sorted(ledger(outbox).items())] == [True, False]


def test_what_an_older_program_notes_in_a_newer_file_is_known_by_its_keys(outbox: Outbox):
    deliver(outbox, rows_at(1))
    with contextlib.closing(sqlite3.connect(outbox.path)) as db, db:
        noted_by_an_older_program(db, 2)
    assert ledger(outbox) == digests(rows_at(1, 2))
    assert ledger(outbox)[PLACE].value_hash is None


def test_what_only_waits_is_not_in_the_ledger(outbox: Outbox):
    outbox.append([block_of(rows_at(1))])
    assert ledger(outbox) == {}


def test_refused_rows_are_not_in_the_ledger(outbox: Outbox):
    deliver(outbox, rows_at(1, 2, 3), refused=(Refusal(1, "conflict", "two values"),))
    assert ledger(outbox) == digests(rows_at(1, 3))


def test_block_that_is_settled_twice_counts_once(outbox: Outbox):
    outbox.append([block_of(rows_at(1, 2))])
    block = outbox.peek()
    assert block is not None
    for _ in range(2):
        outbox.settle(block, Settlement(2, 0), now_us=NOW_US)
    assert ledger(outbox) == digests(rows_at(1, 2))


def test_sums_of_hashes_wrap_in_the_file_as_in_memory(outbox: Outbox):
    for n in range(20):
        deliver(outbox, rows_at(n))
    assert ledger(outbox) == digests(rows_at(*range(20)))


def test_block_that_is_refused_altogether_is_not_in_the_ledger(outbox: Outbox):
    deliver(outbox, rows_at(1), refused=(Refusal(0, "conflict", "two values"),))
    assert ledger(outbox) == {}


@pytest.mark.parametrize("encode", [wire.encode, wire.encode_json])
def test_keys_are_read_as_the_rows_are(encode: Callable[[Batch], bytes]):
    again = Row(Series("fan-01.rms", "vibration", "mm/s"), HOUR - 5, 1.0, 1.0)
    rows = [*rows_at(9, 3), *rows_at(5, sensor_id="fan-01.rms"), again, *rows_at(4_000)]
    keys = wire.read_keys(encode(Batch("gw-1", tuple(rows), (gap_event(),))))
    assert [(keys.sensor_ids[n], time_us) for n, time_us in zip(keys.of_row, keys.times_us, strict=True)] == [
        row.key for row in rows
    ]
    assert digest_columns(*keys) == digests(rows)
    none = wire.read_keys(encode(Batch("gw-1", (), (gap_event(),))))
    assert digest_columns(*none) == {}


async def test_events_are_not_rows(outbox: Outbox):
    writer = writer_to(outbox)
    await writer.put([gap_event()])
    await writer.flush()
    block = outbox.peek()
    assert block is not None
    outbox.settle(block, Settlement(1, 0), now_us=NOW_US)
    assert ledger(outbox) == {}


def test_ledger_is_bounded(outbox: Outbox):
    deliver(outbox, rows_at(1))
    late_us = NOW_US + (KEPT_HOURS + 1) * HOUR_US
    late = rows_at((late_us - HOUR) // 1_000_000)
    deliver(outbox, late, now_us=late_us)
    assert ledger(outbox) == digests(late)
    deliver(outbox, rows_at(2), now_us=late_us)
    assert ledger(outbox) == digests(late)


def test_a_clock_that_stands_in_2099_for_a_moment_costs_the_ledger_nothing(outbox: Outbox):
    deliver(outbox, rows_at(1))
    deliver(outbox, rows_at(2), now_us=4_080_000_000_000_000)
    assert ledger(outbox) == digests(rows_at(1, 2))


def test_ledger_outlives_the_process(outbox: Outbox):
    deliver(outbox, rows_at(1))
    outbox.close()
    outbox.open()
    deliver(outbox, rows_at(2))
    assert ledger(outbox) == digests(rows_at(1, 2))


# ---- which hours


def test_only_hours_that_the_ledger_knows_whole_are_compared():
    now_us = HOUR + 10 * HOUR_US + 5
    assert hour_span(4, now_us=now_us, since_us=HOUR) == HourSpan(HOUR + 7 * HOUR_US, HOUR + 11 * HOUR_US)
    assert hour_span(100, now_us=now_us, since_us=HOUR) == HourSpan(HOUR, HOUR + 11 * HOUR_US)
    assert hour_span(100, now_us=now_us, since_us=HOUR + 1) == HourSpan(HOUR + HOUR_US, HOUR + 11 * HOUR_US)
    assert hour_span(100, now_us=now_us, since_us=now_us) is None
    assert hour_span(100, now_us=now_us, since_us=None) is None


def test_our_side_is_read_beside_the_running_agent(outbox: Outbox):
    deliver(outbox, rows_at(1), now_us=HOUR)
    outbox.append([block_of(rows_at(2, 3, 3_601))])
    span, ours = read_our_side(outbox.path, 1, now_us=HOUR + 10)
    assert span == SPAN
    assert ours.settled == digests(rows_at(1))
    assert ours.waiting == digests(rows_at(2, 3))


def test_outbox_without_a_ledger_has_nothing_to_compare(outbox: Outbox):
    outbox.append([block_of(rows_at(1))])
    assert read_our_side(outbox.path, 24, now_us=NOW_US)[0] is None


# ---- the comparison


def test_equal_sides_have_no_findings():
    found = compare(SPAN, OurSide(HOUR, digests(rows_at(1, 2)), {}), digests(rows_at(1, 2)))
    assert (found.is_equal, found.findings, found.compared, found.rows) == (True, (), 1, 2)


@pytest.mark.parametrize(
    ("theirs", "waiting", "cause"),
    [
        (rows_at(1, 2), [], Cause.LOST),
        (rows_at(1, 2, 4), [], Cause.LOST),
        (rows_at(1, 2, 3, 4), rows_at(4, 5), Cause.WAITING),
        (rows_at(1, 2, 3, 4), [], Cause.UNKNOWN_ROWS),
        (rows_at(1, 2, 3, 4, 5), rows_at(4), Cause.UNKNOWN_ROWS),
        ([], rows_at(4), Cause.LOST),
    ],
)
def test_a_difference_has_its_cause(theirs: list[Row], waiting: list[Row], cause: Cause):
    ours = digests(rows_at(1, 2, 3))
    found = compare(SPAN, OurSide(HOUR, ours, digests(waiting)), digests(theirs))
    (finding,) = found.findings
    assert finding.cause is cause
    assert finding.difference == Difference(*PLACE, ours[PLACE], digests(theirs).get(PLACE))
    assert found.is_equal is (cause is Cause.WAITING)


def test_other_values_under_the_same_keys_are_a_difference_of_their_own():
    ours = digest_rows(RowColumns.of(rows_at(1, 2)))
    theirs = digest_rows(RowColumns.of([rows_at(1)[0], replace(rows_at(2)[0], quality=0.5)]))
    found = compare(SPAN, OurSide(HOUR, ours, {}), theirs)
    assert [(finding.cause, finding.missing) for finding in found.findings] == [(Cause.CHANGED, 0)]
    assert not found.is_equal
    state = state_of(found, now_ns=1)
    assert (state.differences, state.lost_hours, state.changed_hours) == (1, 0, 1)
    problem = reconcile_problem(state)
    assert problem is not None
    assert problem[0] == "the central has other values than it acknowledged in 1 sensor hour"


def test_a_central_that_does_not_know_of_values_is_compared_by_keys():
    ours = digest_rows(RowColumns.of(rows_at(1, 2)))
    assert compare(SPAN, OurSide(HOUR, ours, {}), digests(rows_at(1, 2))).is_equal
    assert compare(SPAN, OurSide(HOUR, digests(rows_at(1, 2)), {}), ours).is_equal
