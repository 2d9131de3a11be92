"""A stored reading keeps its value: another one is refused, counted and listed; a correction leaves a trace."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.database import ingest
from cloud_sync.central.database.corrections import Correction, conflicts, correct, corrections, read_corrections
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import UsageError
from cloud_sync.columns import RowColumns
from cloud_sync.digest import HOUR_US, HourDigest, HourKey, decode_digests, differences, digest_rows
from cloud_sync.records import DIFFERS, Batch, Row, Settlement
from cloud_sync.row_rules import timestamp
from tests.central.test_cli import edge_central
from tests.contract.check_transport import GATEWAY, NOW_US, rms, rows
from tests.support.central import API_KEY, Database

HOUR = NOW_US - NOW_US % HOUR_US
QUESTION = {"gateway_id": GATEWAY, "from": str(HOUR - HOUR_US), "to": str(HOUR + 2 * HOUR_US)}
SENSOR = rms().sensor_id
ODD = (-0.0, 0.0, 5e-324, -5e-324, 1.7976931348623157e308, 0.1, 1 / 3, float(2**53), 1e-6, 123456.789)


def odd_rows() -> tuple[Row, ...]:
    """Values at the edges, some of which fit in 32 bits; qualities of every kind."""
    singles = [struct.unpack("<f", struct.pack("<f", n / 7))[0] for n in range(20)]
    doubles = [Row(rms("odd"), NOW_US + n, value, n / 10) for n, value in enumerate(ODD)]
    return (*doubles, *(Row(rms("single"), NOW_US + n, value, -0.0) for n, value in enumerate(singles)))


async def send(store: Store, *offered: Row, gateway_id: str = GATEWAY) -> Settlement:
    """As it would travel."""
    batch = wire.decode_columns(wire.encode(Batch(gateway_id, offered)))
    return await store.store_batch(batch, gateway_id=gateway_id)


async def asked(url: str, **changes: str) -> dict[HourKey, HourDigest]:
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": API_KEY}, timeout=30) as client:
        answer = await client.get("/api/v1/data/digest", params={**QUESTION, **changes})
        assert answer.status_code == 200, answer.text
        return decode_digests(answer.content)


def of(*offered: Row) -> dict[HourKey, HourDigest]:
    return digest_rows(RowColumns.of(offered))


def values(digests: Mapping[HourKey, HourDigest]) -> list[int | None]:
    return [digests[place].value_hash for place in sorted(digests)]


async def test_the_database_hashes_values_as_we_do(store: Store, service_url: str):
    offered = (*rows(300), *odd_rows(), *(replace(row, time_us=row.time_us - HOUR_US) for row in odd_rows()))
    await send(store, *offered)
    theirs = await asked(service_url, covers="values")
    assert theirs == of(*offered)
    assert values(theirs) == values(of(*offered))
    assert None not in values(theirs)


async def test_a_gateway_that_does_not_ask_for_values_is_answered_as_before(store: Store, service_url: str):
    await send(store, *rows(3))
    theirs = await asked(service_url)
    assert (theirs, values(theirs)) == (of(*rows(3)), [None])
    assert differences(of(*rows(3)), theirs) == []


@pytest.mark.parametrize("change", ["value = value + 1e-15", "value = -value", "quality = 0.999"])
async def test_a_value_that_was_written_over_is_found(store: Store, service_url: str, database: Database, change: str):
    await send(store, *rows(10))
    update = f"UPDATE sensor_readings SET {change} WHERE timestamp = $1"  # noqa: S608 (a test's own word)
    await database.fetch(update, timestamp(rows(3)[2].time_us))
    (difference,) = differences(of(*rows(10)), await asked(service_url, covers="values"))
    assert difference.ours == difference.theirs


async def test_a_repeat_is_a_duplicate_bit_for_bit(store: Store, database: Database):
    for expected in ((len(odd_rows()), 0), (0, len(odd_rows()))):
        settlement = await send(store, *odd_rows())
        assert (settlement.accepted, settlement.duplicates, settlement.refused) == (*expected, ())
    assert await database.count("reading_conflicts") == 0


async def test_another_value_is_refused_and_costs_no_neighbour(store: Store, database: Database):
    first, second, third, fourth = rows(4)
    await send(store, first, second, third)
    offered = (replace(first, value=99.0), second, replace(third, quality=0.5), fourth, *odd_rows())
    settlement = await send(store, *offered)
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [(0, DIFFERS), (2, DIFFERS)]
    assert "0.0 (quality 1.0) is stored" in settlement.refused[0].detail
    assert "not 99.0 (quality 1.0)" in settlement.refused[0].detail
    assert (settlement.accepted, settlement.duplicates) == (1 + len(odd_rows()), 1)
    query = "SELECT value FROM sensor_readings WHERE timestamp = $1 AND sensor_id = $2"
    stored = await database.fetch(query, timestamp(first.time_us), SENSOR)
    assert [row["value"] for row in stored] == [0.0]


async def test_zero_and_minus_zero_are_two_values(store: Store):
    row = replace(rows(1)[0], value=0.0)
    await send(store, row)
    assert [refusal.code for refusal in (await send(store, replace(row, value=-0.0))).refused] == [DIFFERS]


async def test_conflicts_are_counted_and_listed(store: Store, database: Database):
    row = rows(1)[0]
    await send(store, row)
    for value in (7.0, 8.0):
        await send(store, replace(row, value=value))
    (conflict,) = await conflicts(store, None, limit=10)
    assert (conflict["gateway_id"], conflict["sensor_id"], conflict["times"]) == (GATEWAY, SENSOR, 2)
    assert (conflict["stored_value"], conflict["offered_value"]) == (row.value, 8.0)
    assert await conflicts(store, "another", limit=10) == []
    assert (await store.stats())["gateways"][0]["conflicts"] == (await store.stats())["conflicts"] == 2
    assert f'edge_central_conflicts_total{{gateway="{GATEWAY}"}} 2' in store.metrics.text(database_up=True)
    listed = edge_central("conflicts", GATEWAY, "--database-url", database.url)
    assert json.loads(listed.stdout)["offered_value"] == 8.0


async def test_the_list_of_conflicts_is_bounded_and_the_count_is_not(store: Store, monkeypatch):
    monkeypatch.setattr(ingest, "LISTED_CONFLICTS", 5)
    await send(store, *rows(20))
    for n in range(4):
        await send(store, *(replace(row, value=-1.0) for row in rows(20)[5 * n : 5 * n + 5]))
    listed = await conflicts(store, GATEWAY, limit=100)
    assert sorted(one["timestamp"] for one in listed) == [timestamp(row.time_us) for row in rows(20)[15:]]
    assert (await store.stats())["conflicts"] == 20


async def test_a_value_stored_by_somebody_else_without_a_quality_is_compared_by_value(store: Store, database: Database):
    insert = "INSERT INTO sensor_readings (timestamp, sensor_id, value) VALUES ($1, $2, $3)"
    for row in rows(2):
        await database.fetch(insert, timestamp(row.time_us), SENSOR, 0.0)
    settlement = await send(store, *rows(2))
    assert (settlement.duplicates, [refusal.index for refusal in settlement.refused]) == (1, [1])


def corrected(row: Row, value: float) -> Correction:
    return Correction(row.series.sensor_id, timestamp(row.time_us), value)


async def test_a_correction_keeps_the_old_value_and_is_no_difference(
    store: Store, service_url: str, database: Database
):
    offered = rows(10)
    await send(store, *offered)
    await database.fetch("DELETE FROM hourly_pending")
    for value in (77.0, 78.0):
        (made,) = await correct(store, [corrected(offered[3], value)], reason="probe was in the wrong hole", by="meier")
        assert made["new_value"] == value
    newest, first = await corrections(store, limit=10)
    assert (first["old_value"], first["new_value"], newest["old_value"]) == (offered[3].value, 77.0, 77.0)
    assert (newest["reason"], newest["corrected_by"]) == ("probe was in the wrong hole", "meier")
    stored = await database.fetch("SELECT max(value) AS value FROM sensor_readings")
    assert stored[0]["value"] == 78.0
    assert differences(of(*offered), await asked(service_url, covers="values")) == []
    pending = await database.fetch("SELECT DISTINCT hour, gateway_id FROM hourly_pending")
    assert [(one["gateway_id"], one["hour"]) for one in pending] == [(GATEWAY, timestamp(HOUR))]


async def test_what_was_delivered_before_its_correction_is_still_a_duplicate(store: Store):
    row = rows(1)[0]
    await send(store, row)
    for value in (77.0, 78.0):
        await correct(store, [corrected(row, value)], reason="r", by="b")
    assert (await send(store, row)).duplicates == 1
    assert (await send(store, replace(row, value=78.0))).duplicates == 1
    assert len((await send(store, replace(row, value=77.0))).refused) == 1


async def test_corrections_are_made_all_or_none(store: Store, database: Database, tmp_path: Path):
    offered = rows(3)
    await send(store, *offered)
    missing = Correction("pump-99", timestamp(NOW_US), 1.0)
    with pytest.raises(UsageError, match=r"no reading of 'pump-99' at .* nothing was changed"):
        await correct(store, [corrected(offered[0], 5.0), missing], reason="r", by="b")
    assert await database.count("reading_corrections") == 0
    file = tmp_path / "c.csv"
    lines = [f"{SENSOR},{timestamp(row.time_us).isoformat()},{-row.value}" for row in offered]
    file.write_text("\n".join(["sensor_id,time,value", *lines]))
    done = edge_central("correct", "--csv", file, "--reason", "sign", "--database-url", database.url)
    assert [json.loads(line)["new_value"] for line in done.stdout.splitlines()] == [-row.value for row in offered]
    assert await database.count("reading_corrections") == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sensor_id,time\na,b", "has no column value"),
        ("sensor_id,time,value\na,2026-01-01T00:00:00Z,x", "could not convert"),
        ("sensor_id,time,value\na,2026-01-01T00:00:00,1", "no time zone"),
        ("sensor_id,time,value\na,yesterday,1", "yesterday"),
        ("sensor_id,time,value\na,0001-01-01T00:00:00+14:00,1", "out of range"),
        ("sensor_id,time,value\n\na,2026-01-01T00:00:00Z,1,5", r"c\.csv:3 has another number of fields"),
        ("sensor_id,time,value\na,2026-01-01T00:00:00Z", r"c\.csv:2 has another number of fields"),
        ('sensor_id,time,value\na,2026-01-01T00:00:00Z,"1\n', "is not CSV in UTF-8"),
        ("sensor_id,time,value\n" + "a" * 200_000, "is not CSV in UTF-8"),
        ("sensor_id,time,value\n\udcff,2026-01-01T00:00:00Z,1", "is not CSV in UTF-8"),
        ("\udcff", "is not CSV in UTF-8"),
        ("sensor_id,time,value\n", "holds no correction"),
        ("", "has no column sensor_id"),
    ],
)
def test_a_file_that_is_no_list_of_corrections_is_refused(tmp_path: Path, text: str, words: str):
    file = tmp_path / "c.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=words):
        read_corrections(file)


async def test_a_correction_without_a_reason_or_a_value_is_refused():
    unreached = Store("postgresql://nobody@nowhere/none")
    one = Correction("a", datetime(2026, 1, 1, tzinfo=UTC), 1.0)
    for wanted, reason in (
        ([one], " "),
        ([one], "r\x1b[2J"),
        ([one, one], "r"),
        ([replace(one, value=float("nan"))], "r"),
        ([replace(one, sensor_id="a\0b")], "r"),
    ):
        with pytest.raises(UsageError):
            await correct(unreached, wanted, reason=reason, by="b")
