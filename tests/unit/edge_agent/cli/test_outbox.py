"""`edge-agent outbox` as it is typed, with the daemon dead and with an outbox at work."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloud_sync.errors import OutboxError, OutboxFullError
from cloud_sync.outbox import sqlite_file
from cloud_sync.outbox.offline import query, requeue
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import NO_EVENTS, Refusal, Row, Settlement
from edge_agent.cli.main import app
from edge_agent.errors import EdgeError
from tests.support.blocks import GATEWAY, START_US, block_of, rows, series

SITE = """\
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"
[central]
url = "https://127.0.0.1:9"
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
channels = [{ point = "de-x" }]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "edge.toml").write_text(SITE, encoding="utf-8")
    return tmp_path / "edge.toml"


@pytest.fixture
def outbox(site: Path) -> Iterator[Outbox]:
    """At work: 30 rows wait, two were refused."""
    with Outbox(site.parent / "state" / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
        outbox.append([block_of(rows(10, first=10 * number)) for number in range(4)])
        block = outbox.peek()
        assert block is not None
        refused = (Refusal(2, "conflict", "why"), Refusal(5, "conflict", "why"))
        outbox.settle(block, Settlement(8, 0, refused), now_us=START_US)
        yield outbox


def run(site: Path, *words: object) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["outbox", *map(str, words), "--config", str(site), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("is_at_work", [True, False])
def test_stats_peek_and_dead_letters_only_look(site: Path, outbox: Outbox, is_at_work: bool):
    if not is_at_work:
        outbox.close()
    (stats,) = run(site, "stats")
    assert (stats["records"], stats["reading_records"], stats["dead_letters"]) == (30, 30, 2)
    assert (stats["accepted_total"], stats["refused_total"], stats["room_days"]) == (8, 2, None)
    seen = run(site, "peek", "--limit", 12)
    assert [record["value"] for record in seen] == [row.value for row in rows(12, first=10)]
    letters = run(site, "dead-letters")
    assert [(letter["code"], letter["value"]) for letter in letters] == [("conflict", 2 / 8), ("conflict", 5 / 8)]


def test_query_asks_the_file_of_an_outbox_at_work(site: Path, outbox: Outbox):
    tables = {row["table"]: row for row in run(site, "query")}
    assert (tables["block"]["rows"], tables["dead_letter"]["rows"]) == (3, 2)
    assert "crc32" in tables["block"]["columns"]
    found = run(site, "query", "SELECT code, count(*) AS n FROM dead_letter GROUP BY code")
    assert found == [{"code": "conflict", "n": 2}]
    bodies = run(site, "query", "SELECT content FROM body", "--limit", 2)
    assert [set(row["content"].split()[1:]) for row in bodies] == [{"bytes"}, {"bytes"}]
    assert run(site, "query", "SELECT 9e999 AS x, NULL AS y") == [{"x": "inf", "y": None}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "SELECT * FROM nowhere",
        "DELETE FROM block",
        "DELETE FROM block RETURNING id",
        "DROP TABLE block",
        "SELECT 1; SELECT 2",
        "SELECT ?",
        "ATTACH 'other.db' AS other",
    ],
)
def test_query_changes_nothing_and_says_what_it_cannot_do(site: Path, outbox: Outbox, sql: str):
    with pytest.raises(EdgeError, match="this is no query of the outbox") as caught:
        run(site, "query", sql)
    assert "tables" in str(caught.value.hint)
    assert outbox.depth().records == 30
    assert not (site.parent / "other.db").exists()


def test_query_that_never_ends_is_ended(outbox: Outbox):
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(OutboxError, match=r"took longer than 0\.01 s"):
        query(outbox.path, endless, limit=1, deadline_s=0.01)


def test_requeue_puts_letters_behind_what_waits_while_the_outbox_works(site: Path, outbox: Outbox):
    first = outbox.dead_letters()[0]
    assert run(site, "requeue", first.id) == [{"requeued": 1, "unreadable": 0}]
    assert outbox.depth().dead_letters == 1
    assert run(site, "requeue", "--all") == [{"requeued": 1, "unreadable": 0}]
    assert (outbox.depth().records, outbox.depth().dead_letters, outbox.counters()["requeued"]) == (32, 0, 2)


def test_requeue_says_that_the_outbox_is_busy(site: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_file, "_BUSY_TIMEOUT_S", 0.02)
    with contextlib.closing(sqlite3.connect(outbox.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EdgeError, match="locked") as caught:
            run(site, "requeue", "--all")
    assert "try again" in str(caught.value.hint)
    assert outbox.depth().dead_letters == 2


def test_export_takes_nothing_away_and_can_be_imported_on_the_box_that_replaces_this_one(site: Path, outbox: Outbox):
    stick = site.parent / "stick"
    (written,) = run(site, "export", stick)
    assert (written["blocks"], written["records"], outbox.depth().records) == (3, 30, 30)
    assert written["file_bytes"] == stick.stat().st_size
    outbox.close()
    for file in (site.parent / "state").glob("outbox.db*"):
        file.unlink()
    assert run(site, "import", stick, "--key", written["public_key"]) == [{"file": str(stick), "records": 30}]
    (stats,) = run(site, "stats")
    assert stats["records"] == 30


def refuse(outbox: Outbox, some: list[Row]) -> None:
    outbox.append([block_of(some)])
    block = outbox.peek(after_id=outbox.newest_id() - 1)
    assert block is not None
    refused = tuple(Refusal(n, "not_allowed", "why") for n in range(len(some)))
    outbox.settle(block, Settlement(0, 0, refused), now_us=START_US)


def test_letters_go_back_only_while_there_is_room_and_nothing_is_given_up_for_them(outbox: Outbox):
    refuse(outbox, [row(n, random.random()) for n in range(2_000)])
    letters = outbox.dead_letters(limit=3_000)
    every_second = [letter.id for letter in letters[::2]]  # their pages stay in use
    full, before = outbox.depth().used_bytes, outbox.depth()
    with pytest.raises(OutboxFullError, match=r"\d+ bytes are needed, 0 are free") as caught:
        requeue(outbox.path, every_second, max_bytes=full)
    assert "outbox.max_bytes" in str(caught.value.hint)
    assert (outbox.depth(), outbox.dead_letters(limit=3_000)) == (before, letters)
    assert requeue(outbox.path, every_second, max_bytes=2 * full).records == len(every_second)
    assert outbox.counters()["evicted"] + outbox.counters()["thinned"] == 0


def test_letters_that_take_less_room_behind_what_waits_go_back_also_when_the_outbox_is_full(outbox: Outbox):
    """A central that refused everything fills the outbox with them; there is no other way out of that."""
    refuse(outbox, rows(300, first=1_000))
    full = outbox.depth().used_bytes
    assert requeue(outbox.path, None, max_bytes=full).records == 302
    assert outbox.depth().used_bytes < full


def test_an_import_that_does_not_fit_adds_nothing(site: Path, outbox: Outbox):
    stick = site.parent / "stick"
    big = [row(n, random.random()) for n in range(150_000)]
    outbox.append([block_of(big[n : n + 5_000]) for n in range(0, len(big), 5_000)])
    (written,) = run(site, "export", stick)
    outbox.close()
    for file in (site.parent / "state").glob("outbox.db*"):
        file.unlink()
    site.write_text(SITE + "[outbox]\nmax_bytes = 1000000\n", encoding="utf-8")
    with pytest.raises(EdgeError, match="there is no space in the outbox"):
        run(site, "import", stick, "--key", written["public_key"])
    assert run(site, "stats")[0]["records"] == 0
    site.write_text(SITE, encoding="utf-8")
    assert run(site, "import", stick, "--key", written["public_key"])[0]["records"] == written["records"]


def test_a_file_that_was_put_aside_is_named_and_read_back_in(site: Path, outbox: Outbox):
    aside = site.parent / "state" / "outbox.db.corrupt-20260101T000000"
    outbox.close()
    outbox.path.rename(aside)
    outbox.open()
    (stats,) = run(site, "stats")
    assert (stats["records"], stats["quarantined"], stats["unsalvaged"]) == (0, [str(aside)], [])
    told = CliRunner().invoke(app, ["outbox", "stats", "--config", str(site)]).stdout
    assert f"edge-agent outbox recover {aside}" in told
    (done,) = run(site, "recover", aside)
    assert done == {
        "file": str(aside),
        "blocks": 3,
        "records": 30,
        "dead_letters": 2,
        "gaps": 0,
        "already_there": 0,
        "unreadable": 0,
    }
    assert outbox.depth().records == 30
    told = CliRunner().invoke(app, ["outbox", "recover", str(aside), "--config", str(site)]).stdout
    assert told == f"0 blocks (0 records) recovered from {aside.name}, 3 blocks already there, 0 unreadable\n"
    with pytest.raises(EdgeError, match="there is no file"):
        run(site, "recover", site.parent / "missing")


def row(n: int, value: float) -> Row:
    return Row(series(), START_US + n * 1_000, value, 1.0)


def test_missing_outbox_is_said(site: Path):
    for words in (["stats"], ["peek"], ["requeue", "--all"], ["export", "x"]):
        with pytest.raises(EdgeError, match="there is no outbox"):
            run(site, *words)


@pytest.mark.parametrize("time_us", [-(2**63), 2**63 - 1, 0])
def test_a_time_that_no_calendar_holds_is_shown_as_it_is(site: Path, time_us: int):
    with Outbox(site.parent / "state" / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
        outbox.append([block_of([Row(series(), time_us, 1.0, 1.0)])])
    shown = "1970-01-01T00:00:00Z" if time_us == 0 else f"{time_us} us"
    assert [record["time"] for record in run(site, "peek")] == [shown]
    assert run(site, "stats")[0]["oldest"] == shown
    result = CliRunner().invoke(app, ["status", "--config", str(site)])
    assert result.exit_code == 2
    assert shown.partition("T")[0] in result.stdout


def test_status_without_the_daemon_stands_a_damaged_outbox(site: Path, outbox: Outbox):
    outbox.close()
    with contextlib.closing(sqlite3.connect(site.parent / "state" / "outbox.db")) as db, db:
        db.execute("UPDATE counter SET name = CAST(x'ff6c' AS TEXT) WHERE name = 'thinned_to'")
        db.execute("UPDATE block SET count = 'x' WHERE id = 3")
    result = CliRunner().invoke(app, ["status", "--config", str(site)])
    assert result.exit_code == 2
    assert "no numbers" in result.stdout


def test_requeue_says_when_it_cannot_help(site: Path, outbox: Outbox) -> None:
    block = outbox.peek()
    assert block is not None
    outbox.settle(block, Settlement(9, 0, (Refusal(0, NO_EVENTS, "why"),)), now_us=START_US)
    result = CliRunner().invoke(app, ["outbox", "requeue", "--all", "--config", str(site), "--json"])
    assert json.loads(result.stdout) == {"requeued": 3, "unreadable": 0}
    assert "1 of them are events that found no place" in result.stderr
    again = CliRunner().invoke(app, ["outbox", "requeue", "--all", "--config", str(site), "--json"])
    assert again.stderr == ""
