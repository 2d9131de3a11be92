"""Every answer of the real service says whose it is, and what a proxy did to a request is told from a bad batch."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.answer_proof import CHALLENGE_HEADER, IDENTITY_HEADER, Identity, identity_in, new_challenge
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.http import create_app
from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.http_central import failure_of
from cloud_sync.transports.http_exchange import Answer
from cloud_sync.transports.known_central import KnownCentral
from tests.central.test_https_transport import NOW
from tests.contract.check_transport import batch
from tests.support.central import API_KEY, MAX_BODY_BYTES

INGEST = "/api/v1/data/ingest/batch"
HEADERS = {"X-API-Key": API_KEY, "Idempotency-Key": "gw-1:b1"}


@pytest.fixture
async def client(service_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service_url, headers=HEADERS, timeout=30) as client:
        yield client


def identity_of(answer: httpx.Response, challenge: str, key: str = API_KEY) -> Identity:
    header = answer.headers.get(IDENTITY_HEADER)
    return identity_in(header, key, challenge, status=answer.status_code, body=answer.content)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [("POST", INGEST, wire.encode(batch()), 200), ("POST", INGEST, b"nonsense", 422), ("GET", INGEST, b"", 405),
     ("POST", INGEST, bytes(MAX_BODY_BYTES + 1), 413), ("POST", "/nowhere", b"", 404), ("GET", "/health", b"", 200),
     ("GET", "/api/v1/data/digest?gateway_id=gw-1&from=0&to=3600000000", b"", 200), ("GET", "/metrics", b"", 200)],
)  # fmt: skip
async def test_every_answer_proves_whose_it_is(client: httpx.AsyncClient, method, path, body, status) -> None:
    challenge = new_challenge(body)
    answer = await client.request(method, path, content=body, headers={CHALLENGE_HEADER: challenge})
    assert answer.status_code == status
    assert identity_of(answer, challenge) is Identity.PROVEN


async def test_an_unknown_key_and_a_caller_without_a_challenge_are_answered_by_name_too(client: httpx.AsyncClient):
    challenge = new_challenge(b"")
    answer = await client.post(INGEST, headers={"X-API-Key": "nobody's", CHALLENGE_HEADER: challenge})
    assert answer.status_code == 401
    assert identity_of(answer, challenge, "nobody's") is Identity.PROVEN
    assert identity_of(await client.get("/health"), challenge) is Identity.CLAIMED


async def test_a_fault_of_the_program_is_an_answer_of_the_central_as_well(store: Store) -> None:
    app = create_app(store)
    app.state.limiter = None  # nothing of the service can work with that
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    challenge = new_challenge(b"")
    async with httpx.AsyncClient(transport=transport, base_url="http://central", headers=HEADERS) as client:
        answer = await client.post(INGEST, headers={CHALLENGE_HEADER: challenge})
    assert (answer.status_code, answer.json()) == (500, {"detail": "the central failed on this request"})
    assert identity_of(answer, challenge) is Identity.PROVEN


@pytest.mark.parametrize("content_type", [wire.CONTENT_TYPE, None])
async def test_a_batch_whose_content_encoding_was_taken_away_is_read(client: httpx.AsyncClient, content_type) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await client.post(INGEST, content=wire.encode(batch()), headers=headers)
    assert answer.json()["accepted"] == 6


async def as_seen_here(client: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> Exception:
    answer = await client.post(INGEST, content=body, headers={"Content-Encoding": "zstd"} | headers)
    here = Answer(answer.status_code, answer.headers, answer.content, str(answer.url), Identity.PROVEN)
    return failure_of(here, now=NOW, known=KnownCentral())


async def test_a_request_that_was_cut_or_stripped_on_the_way_says_nothing_of_its_batch(client: httpx.AsyncClient):
    sent = wire.encode(batch())
    challenge = {CHALLENGE_HEADER: new_challenge(sent)}
    for body, headers in ((sent[: len(sent) // 2], challenge), (sent, challenge | {"Idempotency-Key": ""})):
        failure = await as_seen_here(client, body, headers)
        assert isinstance(failure, TransientSyncError)
        assert "did not reach the central as it was sent" in failure.message
        assert "as they are" in str(failure.hint)
    unpacked = await client.post(INGEST, content=wire.decompress(sent), headers=challenge)
    assert unpacked.json()["accepted"] == 6  # changed, and still the batch
