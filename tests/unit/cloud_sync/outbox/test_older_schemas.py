"""Outbox files of every released schema, made by the programs of their time, open with this one and lose nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.outbox.sqlite_file import SCHEMA_VERSION
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Settlement
from tests.support.blocks import block_of, fresh_rows, rows
from tests.support.places import TESTS

DATABASES = sorted((TESTS / "databases").glob("outbox-schema-*.db"))


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
