"""Outbox files of every released schema, made by the programs of their time, open with this one and lose nothing."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.outbox.ack_ledger import acknowledged
from cloud_sync.outbox.sqlite_file import SCHEMA_VERSION
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Row, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows, rows
from tests.support.places import TESTS

DATABASES = sorted((TESTS / "databases").glob("outbox-schema-*.db"))

VERSION_BEFORE = TESTS / "databases" / "outbox-schema-2"
NOW_US = START_US + 3_600_000_000


def test_there_is_one_of_every_older_schema():
    versions = [int(re.findall(r"\d+", path.stem)[0]) for path in DATABASES]
    assert versions == list(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize("original", DATABASES, ids=lambda path: path.stem)
def test_older_outbox_opens_twice_and_loses_nothing(original: Path, tmp_path: Path):
    path = tmp_path / "outbox.db"
    shutil.copy(original, path)
    for _ in range(2):
        with Outbox(path, max_bytes=10_000_000) as outbox:
            depth = outbox.depth()
            assert (depth.records, depth.blocks, depth.dead_letters) == (80, 4, 1)
            assert outbox.counters()["accepted"] == 19
            assert wire.decode(outbox.dead_letters()[0].content).rows == tuple(rows(1, first=7))
    with Outbox(path, max_bytes=10_000_000) as outbox:
        outbox.append([block_of(fresh_rows(3))])
        found = []
        while (block := outbox.peek()) is not None:
            found.append((block.id, block.decode().rows))
            outbox.settle(block, Settlement(block.count, 0), now_us=1)
    assert [block_id for block_id, _ in found] == [2, 3, 4, 5, 6]
    assert [row for _, some in found[:4] for row in some] == rows(80, first=20)


def settle_all(outbox: Outbox) -> list[Row]:
    found: list[Row] = []
    while (block := outbox.peek()) is not None:
        found += block.decode().rows
        outbox.settle(block, Settlement(block.count, 0), now_us=NOW_US)
    return found


def test_program_goes_on_where_the_version_before_it_was_stopped(tmp_path: Path):
    """Of today's schema, stopped in the middle of everything; made with the program of commit b93d750.

    An outbox of 40 kB took 8 blocks of 500 rows and thinned them (a gap of 1500). Opened with 10 MB it took 12 more,
    settled two, and 2 blocks of 100 rows of an epoch that is not decided. Then the first page of the dead letters was
    overwritten; opened with 40 kB it put the file aside, salvaged what there was space for, settled one block with one
    refusal, and was closed. Row n is at START_US + n seconds, its value is `random.Random(time_us).random()`.
    """
    folder = tmp_path / "gateway"
    shutil.copytree(VERSION_BEFORE, folder)
    path, now_ns = folder / "outbox.db", NOW_US * 1000
    with Outbox(path, max_bytes=10_000_000, gateway_id=GATEWAY, now_ns=lambda: now_ns) as outbox:
        assert outbox.salvage_waits_for is None
        assert (outbox.depth().records, outbox.held.records()) == (6_700, 200)
        totals = outbox.counters()
        assert (totals["accepted"], totals["refused"], totals["thinned"], totals["damaged"]) == (2_000, 1, 1_500, 0)
        assert [(gap.cause, gap.count) for gap in outbox.gaps()] == [("thinned", 1_500)]
        ledger = outbox.read(lambda db: acknowledged(db, 0, 1 << 62))
        assert sum(hour.count for hour in ledger.values()) == 1_999, "and one gap event"
        (letter,) = outbox.dead_letters()
        assert (letter.code, len(wire.decode(letter.content).rows)) == ("bad_value", 1)

        found = settle_all(outbox)
        (epoch,) = outbox.held.clock_records().epochs
        outbox.held.decide([replace(epoch, by_us=-7_200_000_000)])
        while outbox.held.mend(1):
            pass
        mended = [replace(row, time_us=row.time_us + 7_200_000_000) for row in settle_all(outbox)]
        assert (len(found), [row.key for row in mended]) == (6_500, [row.key for row in rows(200, first=20_000)])
        assert len({row.key for row in [*found, *mended]}) == 6_700
        assert all(row.value == random.Random(row.time_us).random() for row in [*found, *mended])
