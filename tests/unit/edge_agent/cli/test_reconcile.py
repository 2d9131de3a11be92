"""`edge-agent reconcile` between a real outbox and a central's answer over real HTTP."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud_sync.digest import HOUR_US, encode_digests, hour_of
from cloud_sync.outbox.gap_log import record_gap
from cloud_sync.outbox.retention_policy import LossCause, loss_of
from cloud_sync.outbox.sqlite_file import in_transaction
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Row, Settlement
from edge_agent.cli import reconcile as command
from edge_agent.core.clock import FakeClock
from tests.support.blocks import block_of, series
from tests.support.digests import digest_keys
from tests.support.places import REPOSITORY

PAGE = REPOSITORY / "docs" / "CLI_OUTPUT.md"
CLOCK = FakeClock()
NOW_HOUR_US = hour_of(CLOCK.now_ns() // 1000)
ROWS = [Row(series(), NOW_HOUR_US - HOUR_US + n * 1_000_000, 1.0, 1.0) for n in range(100)]


def reconcile(site: Path, *, hours: int, as_json: bool) -> int:
    return command.reconcile(site, hours=hours, as_json=as_json, clock=CLOCK)


@dataclass
class FakeCentral:
    """Answers with the digests of `rows`, and keeps what it was asked."""

    rows: list[Row] = field(default_factory=lambda: list(ROWS))
    status: int = 200
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def answer(self, query: str, key: str) -> tuple[int, bytes]:
        self.asked.append(asked := parse_qs(query))
        self.keys.append(key)
        start_us, end_us = int(asked["from"][0]), int(asked["to"][0])
        hours = digest_keys(row.key for row in self.rows if start_us <= row.time_us < end_us)
        return self.status, encode_digests("gw-1", hours)


@pytest.fixture
def central() -> FakeCentral:
    return FakeCentral()


@pytest.fixture
def site(central: FakeCentral, tmp_path: Path) -> Iterator[Path]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = central.answer(urlsplit(self.path).query, self.headers["X-API-Key"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    (tmp_path / "key").write_text("secret-key")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        path = tmp_path / "edge.toml"
        path.write_text(
            f"""\
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"
[central]
url = "http://127.0.0.1:{server.server_port}"
allow_plaintext = true
api_key_file = "key"
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
channels = [{{ point = "de-x" }}]
"""
        )
        yield path
        server.shutdown()
        serving.join()


@pytest.fixture
def outbox(site: Path) -> Iterator[Outbox]:
    """ROWS were delivered; the ledger began a day ago."""
    (site.parent / "state").mkdir()
    with Outbox(site.parent / "state" / "outbox.db", max_bytes=10_000_000) as outbox:
        for rows in ([Row(series("old.rms"), NOW_HOUR_US - 30 * HOUR_US, 1.0, 1.0)], ROWS):
            outbox.append([block_of(rows)])
            block = outbox.peek()
            assert block is not None
            outbox.settle(block, Settlement(len(rows), 0), now_us=NOW_HOUR_US - 24 * HOUR_US)
        yield outbox


def documents(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.usefixtures("outbox")
def test_equal_sides_exit_with_zero(site: Path, central: FakeCentral, capsys: pytest.CaptureFixture[str]):
    assert reconcile(site, hours=4, as_json=False) == 0
    assert "100 rows in 1 sensor-hour" in (said := capsys.readouterr().out)
    assert "the central has them all" in said
    assert central.keys == ["secret-key"]
    assert central.asked[0]["gateway_id"] == ["gw-1"]


@pytest.mark.usefixtures("outbox")
def test_lost_row_is_named_by_sensor_and_hour(site: Path, central: FakeCentral, capsys: pytest.CaptureFixture[str]):
    del central.rows[7]
    assert reconcile(site, hours=4, as_json=True) == 1
    said = documents(capsys)
    assert said["differences_by_cause"] == {"lost": 1}
    (difference,) = said["differences"]  # type: ignore[misc]
    assert (difference["sensor_id"], difference["ours"], difference["central"]) == ("pump-07.de-x.rms", 100, 99)
    assert reconcile(site, hours=4, as_json=False) == 1
    said = capsys.readouterr().out
    assert "ours 100, central 99, waiting 0; acknowledged, and no longer there; not explained" in said


def test_row_whose_answer_was_lost_waits_and_is_no_difference(site: Path, central: FakeCentral, outbox: Outbox, capsys):
    late = [Row(series(), NOW_HOUR_US - 1_000_000, 1.0, 1.0)]
    outbox.append([block_of(late)])
    central.rows += late
    assert reconcile(site, hours=4, as_json=True) == 0
    assert documents(capsys)["differences_by_cause"] == {"waiting": 1}


def test_rows_that_were_sent_and_then_given_up_are_explained_also_once_the_gap_was_delivered(
    site: Path, central: FakeCentral, outbox: Outbox, capsys: pytest.CaptureFixture[str]
):
    late = [Row(series(), NOW_HOUR_US - 1_000_000, 1.0, 1.0)]
    central.rows += late  # its answer was lost, and then the row was given up
    assert reconcile(site, hours=4, as_json=True) == 1
    assert "unknown_rows" in capsys.readouterr().out
    note_given_up(outbox, late)
    assert reconcile(site, hours=4, as_json=True) == 0
    (difference,) = documents(capsys)["differences"]  # type: ignore[misc]
    assert (difference["cause"], difference["gap"], difference["is_explained"]) == ("unknown_rows", "evicted", True)
    assert reconcile(site, hours=4, as_json=False) == 0
    said = capsys.readouterr().out
    assert "1 differ, 1 of them explained" in said
    assert "explained by this gateway's own gap over this hour (evicted)" in said
    assert "->" not in said


def test_rows_that_were_acknowledged_and_are_gone_are_never_explained_by_a_gap(
    site: Path, central: FakeCentral, outbox: Outbox, capsys: pytest.CaptureFixture[str]
):
    note_given_up(outbox, ROWS)
    del central.rows[7]
    assert reconcile(site, hours=4, as_json=False) == 1
    said = capsys.readouterr().out
    assert "not explained (this gateway's gap over this hour, evicted, is about other rows)" in said
    assert "-> lost: the gateway no longer has these rows; restore the central's database" in said


def note_given_up(outbox: Outbox, rows: list[Row]) -> None:
    loss = loss_of(rows)
    assert loss is not None

    def note(db: sqlite3.Connection) -> None:
        record_gap(db, LossCause.EVICTED, loss, now_us=NOW_HOUR_US, detail="given up")

    outbox._do(lambda db: in_transaction(db, note))


@pytest.mark.usefixtures("outbox")
def test_a_ledger_that_begins_later_than_asked_is_said(site: Path, capsys: pytest.CaptureFixture[str]):
    assert reconcile(site, hours=100, as_json=True) == 0
    said = documents(capsys)
    assert said["hours_not_compared"] == 100 - 25
    assert said["ledger_since"] == said["from"]
    assert reconcile(site, hours=100, as_json=False) == 0
    assert "not compared: 75 hours before" in capsys.readouterr().out
    assert reconcile(site, hours=4, as_json=False) == 0
    assert "not compared" not in capsys.readouterr().out


@pytest.mark.usefixtures("outbox")
def test_long_spans_are_asked_for_in_parts(site: Path, central: FakeCentral):
    assert reconcile(site, hours=192, as_json=True) == 0
    spans = [(int(asked["from"][0]), int(asked["to"][0])) for asked in central.asked]
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert all(end - start <= 24 * HOUR_US for start, end in spans)


@pytest.mark.usefixtures("outbox")
def test_central_that_cannot_say_is_told_apart_from_a_difference(site: Path, central: FakeCentral, capsys):
    central.status = 503
    assert reconcile(site, hours=4, as_json=False) == 2
    said = capsys.readouterr().err
    assert "not compared: " in said
    assert "answered 503: it does not get through to the central" in said


def test_outbox_without_a_ledger_compares_nothing(site: Path, central: FakeCentral, capsys):
    (site.parent / "state").mkdir()
    Outbox(site.parent / "state" / "outbox.db", max_bytes=10_000_000).open().close()
    assert reconcile(site, hours=4, as_json=False) == 0
    assert "nothing to compare yet" in capsys.readouterr().out
    assert central.asked == []


@pytest.mark.usefixtures("outbox")
def test_the_page_knows_every_field(site: Path, central: FakeCentral, capsys: pytest.CaptureFixture[str]):
    del central.rows[7]
    reconcile(site, hours=4, as_json=True)
    said = documents(capsys)
    section = PAGE.read_text(encoding="utf-8").split("## `edge-agent reconcile --json`")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))
    printed = said.keys() - {"differences"} | {f"differences[].{key}" for key in said["differences"][0]}  # type: ignore[index]
    assert printed == documented
