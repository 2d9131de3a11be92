"""Each request has one id: in its answer, and in every line that was logged for it."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.logs import json_formatter
from cloud_sync.central.server import Listen, running
from tests.contract.check_transport import batch
from tests.support.central import API_KEY, Database

INGEST = "/api/v1/data/ingest/batch"
HEADERS = {"X-API-Key": API_KEY, "Idempotency-Key": "gw-1:b1", "Content-Encoding": "zstd"}


class Lines(logging.Handler):
    """What the service's log would show, as parsed lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(json_formatter())
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def log():
    lines = Lines()
    logger = logging.getLogger("cloud_sync.central")
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    yield lines.lines
    logger.setLevel(before)
    logger.removeHandler(lines)


@pytest.fixture
async def client(service_url: str):
    async with httpx.AsyncClient(base_url=service_url, headers=HEADERS, timeout=30) as client:
        yield client


async def test_a_batch_is_one_line_with_its_id_gateway_and_counts(client: httpx.AsyncClient, log):
    answer = await client.post(INGEST, content=wire.encode(batch()), headers={"X-Request-ID": "r-17"})
    assert answer.headers.get_list("X-Request-ID") == ["r-17"]
    (line,) = [line for line in log if line["message"] == "answered"]
    seconds = line.pop("seconds")
    assert isinstance(seconds, float)
    assert str(line.pop("time")).endswith("+00:00")
    assert line == {
        "level": "info", "logger": "cloud_sync.central.ingress.request_log", "message": "answered",
        "request_id": "r-17",
        "method": "POST", "path": INGEST, "status": 200, "gateway": "gw-1", "batch_id": "b1", "accepted": 6,
        "duplicates": 0, "refused": 0,
    }  # fmt: skip


async def test_an_id_is_made_for_who_sends_none(client: httpx.AsyncClient):
    one, other = [(await client.get("/health")).headers["X-Request-ID"] for _ in range(2)]
    assert uuid.UUID(one) != uuid.UUID(other)


async def test_a_stored_batch_of_who_sends_none_is_answered_without(client: httpx.AsyncClient, log):
    answer = await client.post(INGEST, content=wire.encode(batch()))
    assert answer.status_code == 200
    assert "X-Request-ID" not in answer.headers
    assert uuid.UUID(log[-1]["request_id"])


@pytest.mark.parametrize("odd", ["", "two words", 'quote"', "x" * 129, "tab\tbed"])
async def test_an_odd_id_is_replaced(client: httpx.AsyncClient, odd: str):
    answer = await client.get("/health", headers={"X-Request-ID": odd})
    assert uuid.UUID(answer.headers["X-Request-ID"])


async def test_a_refusal_carries_the_id_too(client: httpx.AsyncClient, log):
    answer = await client.post(INGEST, headers={"X-API-Key": "wrong", "X-Request-ID": "r-18"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (401, "r-18")
    assert [(line["status"], line["request_id"]) for line in log] == [(401, "r-18")]


async def test_lines_from_inside_a_request_carry_its_id(client: httpx.AsyncClient, database: Database, log):
    await client.get("/health")
    await database.server.stop()
    await client.post(INGEST, content=wire.encode(batch()), headers={"X-Request-ID": "r-19"})
    await database.server.start()
    assert [(line["message"].partition(":")[0], line["request_id"]) for line in log] == [
        ("not stored", "r-19"), ("answered", "r-19"),
    ]  # fmt: skip


async def test_no_key_is_ever_logged(client: httpx.AsyncClient, log):
    await client.post(INGEST, content=wire.encode(batch()))
    await client.post(INGEST, content=b"x", headers={"X-API-Key": "secret-but-wrong"})
    assert API_KEY not in str(log)
    assert "secret-but-wrong" not in str(log)


def test_outside_of_a_request_a_line_names_none():
    record = logging.LogRecord("x", logging.INFO, "", 0, "it starts", (), None)
    assert "request_id" not in json.loads(json_formatter().format(record))


async def test_a_sender_that_hangs_up_in_the_middle_is_a_line_and_no_fault(store: Store, log):
    async with running(create_app(store), Listen()) as url:
        port = int(url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "central", **HEADERS}.items())
        writer.write(f"POST {INGEST} HTTP/1.1\r\n{head}Content-Length: 9999\r\n\r\nabc".encode())
        await writer.drain()
        writer.close()
        async with asyncio.timeout(10):
            while not log:
                await asyncio.sleep(0.01)
    assert [line["status"] for line in log] == [400]
    assert not any("traceback" in line for line in log)
