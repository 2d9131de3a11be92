"""Whatever bytes of an outbox change, it opens, takes records and is drained; nothing false comes out of it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from cloud_sync.outbox.sqlite_file import PAGE_BYTES
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Refusal, Row, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def opened(path: Path) -> Outbox:
    return Outbox(path, max_bytes=100_000_000, gateway_id=GATEWAY)


def filled(path: Path) -> list[list[Row]]:
    """Forty blocks, of which the first five were delivered, each with one dead letter. Returns what waits."""
    held = [fresh_rows(40) for _ in range(40)]
    with opened(path) as outbox:
        for rows in held:
            outbox.append([block_of(rows)])
        for _ in range(5):
            block = outbox.peek()
            assert block is not None
            outbox.settle(block, Settlement(block.count - 1, 0, (Refusal(0, "x", "why"),)), now_us=START_US)
    return held[5:]


def drained(outbox: Outbox) -> list[list[Row]]:
    """The readings of every block, in order; an outbox that gives one twice is caught by the bound."""
    found: list[list[Row]] = []
    for _ in range(100):
        block = outbox.peek()
        if block is None:
            return found
        batch = block.decode()
        found += [list(batch.rows)] if batch.rows else []
        outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    raise AssertionError("it does not become empty")


CONTRADICTIONS = {
    "a text that is not UTF-8": "UPDATE block SET batch_id = CAST(x'62b4' AS TEXT) WHERE id = 9",
    "a class that is not UTF-8": "UPDATE block SET class = CAST(x'72ff' AS TEXT) WHERE id = 9",
    "a total's name that is not UTF-8": "UPDATE counter SET name = CAST(x'ff6c' AS TEXT) WHERE name = 'thinned_to'",
    "a total that is no number": "UPDATE counter SET value = 'x' WHERE name = 'appended'",
    "a count that is no number": "UPDATE block SET count = 'x' WHERE id = 9",
    "a body that is no bytes": "UPDATE body SET content = 'text' WHERE block_id = 9",
    "an id that is noted too low": "UPDATE counter SET value = 20 WHERE name = 'last_id'",
    "an id that is not noted": "DELETE FROM counter WHERE name = 'last_id'",
    "a table with other columns": "ALTER TABLE counter RENAME COLUMN value TO walue",
    "a table that is missing": "DROP TABLE counter",
}


@pytest.mark.parametrize("statement", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_only_damage_can_make_of_the_tables_costs_at_most_its_own_block(path: Path, statement: str):
    held = filled(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)
    fresh = fresh_rows(5)
    with opened(path) as outbox:
        outbox.append([block_of(fresh)])
        outbox.dead_letters()
        readings = drained(outbox)
        assert outbox.depth().blocks == 0
    assert readings == [rows for rows in [*held, fresh] if rows in readings]
    assert fresh in readings
    assert len(readings) >= len(held)


@pytest.mark.parametrize("seed", range(120))
def test_an_outbox_with_any_bytes_changed_opens_takes_and_is_drained(path: Path, seed: int):
    truth = {rows[0].key: rows for rows in filled(path)}
    chance = random.Random(seed)
    path.write_bytes(changed(path.read_bytes(), chance))
    fresh = fresh_rows(5)
    with opened(path) as outbox:
        assert outbox.counters()["last_id"] >= 0
        assert all(isinstance(letter.content, bytes) for letter in outbox.dead_letters())
        assert len(outbox.gaps()) <= 1
        outbox.append([block_of(fresh)])
        readings = drained(outbox)
        assert outbox.depth().blocks == 0
    assert fresh in readings
    assert all(rows == truth[rows[0].key] for rows in readings if rows != fresh)


def changed(content: bytes, chance: random.Random) -> bytes:
    """Single bits, bytes near the front (schema and totals), pages that are blank, noise or another's, a cut."""
    out = bytearray(content)
    pages = [n * PAGE_BYTES for n in range(len(out) // PAGE_BYTES)]
    at, other = chance.choice(pages), chance.choice(pages)
    match chance.randrange(6):
        case 0:
            for _ in range(chance.choice((1, 2, 20))):
                out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
        case 1:
            for _ in range(chance.choice((2, 50, 500))):
                out[chance.randrange(8 * PAGE_BYTES)] = chance.randrange(256)
        case 2:
            out[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)
        case 3:
            out[at : at + PAGE_BYTES] = chance.randbytes(PAGE_BYTES)
        case 4:
            out[at : at + PAGE_BYTES] = out[other : other + PAGE_BYTES]
        case _:
            del out[chance.randrange(len(out)) :]
    return bytes(out)
