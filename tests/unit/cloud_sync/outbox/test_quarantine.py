"""Files put aside beside the outbox: the newest stay, the oldest go, and the space for them is bounded."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import pytest

from cloud_sync.outbox.quarantine import KEPT_FILES, quarantined, remove_old
from cloud_sync.outbox.store import Outbox
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows

SECOND_NS = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def put(path: Path, end: str, size: int = 10) -> Path:
    file = path.with_name(path.name + end)
    file.write_bytes(bytes(size))
    return file


def names(path: Path) -> list[str]:
    return [file.name.removeprefix(path.name) for file in quarantined(path)]


def test_files_are_in_order_of_their_time_and_number(path: Path):
    for end in (".corrupt-2", ".corrupt-1.10", ".replaced-3", ".corrupt-1.2", ".corrupt-1", ".corrupt-1-wal"):
        put(path, end)
    assert names(path) == [".corrupt-1", ".corrupt-1.2", ".corrupt-1.10", ".corrupt-2", ".replaced-3"]


def test_oldest_beyond_the_number_go_with_their_logs(path: Path):
    files = [put(path, f".corrupt-{number}") for number in range(KEPT_FILES + 2)]
    logs = [put(path, f".corrupt-{number}-wal") for number in range(KEPT_FILES + 2)]
    assert remove_old(path, most_bytes=1_000) == 2
    assert quarantined(path) == files[2:]
    assert [log.exists() for log in logs] == [False, False] + [True] * KEPT_FILES


def test_oldest_beyond_the_bytes_go_and_the_newest_always_stays(path: Path):
    for number in range(4):
        put(path, f".corrupt-{number}", 400)
    assert remove_old(path, most_bytes=1_000) == 2
    assert names(path) == [".corrupt-2", ".corrupt-3"]
    assert remove_old(path, most_bytes=10) == 1
    assert remove_old(path, most_bytes=10) == 0
    assert names(path) == [".corrupt-3"]


def test_file_put_aside_under_a_clock_that_was_set_back_is_the_newest(path: Path):
    put(path, ".corrupt-9", 400)
    new = put(path, ".corrupt-1", 400)
    assert remove_old(path, most_bytes=500, newest=new) == 1
    assert quarantined(path) == [new]


def test_failing_card_does_not_fill_itself_with_damaged_files(path: Path, caplog: pytest.LogCaptureFixture):
    clock = itertools.count(START_US * 1000, SECOND_NS)
    with Outbox(path, max_bytes=10_000_000, gateway_id=GATEWAY, now_ns=lambda: next(clock)) as outbox:
        outbox.append([block_of(fresh_rows(20))])
    with caplog.at_level(logging.WARNING, "cloud_sync.outbox.quarantine"):
        for _ in range(KEPT_FILES + 3):
            path.write_bytes(os.urandom(5_000))
            with Outbox(path, max_bytes=10_000_000, gateway_id=GATEWAY, now_ns=lambda: next(clock)) as outbox:
                outbox.append([block_of(fresh_rows(20))])
    assert len(quarantined(path)) == KEPT_FILES
    assert sum("was removed" in record.message for record in caplog.records) == 3


def test_removed_files_are_counted(path: Path):
    for number in range(KEPT_FILES + 3):
        put(path, f".corrupt-{number}")
    with Outbox(path, max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
        for _ in range(2):
            outbox.append([block_of(fresh_rows(20))])
        assert outbox.counters()["quarantine_removed"] == 3
