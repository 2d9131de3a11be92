"""Doors of the central's answers, as documents: over HTTPS, over MQTT, of single readings, of reconciliation; and the
model index."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import httpx

from cloud_sync.answer_proof import IDENTITY_HEADER, identity_in
from cloud_sync.digest import decode_digests
from cloud_sync.errors import SyncError
from cloud_sync.transports.answers import settlement_of
from cloud_sync.transports.http_central import failure_of
from cloud_sync.transports.http_exchange import Answer
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.mqtt.transport import answer_of
from cloud_sync.transports.single import _verdict
from cloud_sync.uplink.state import checked
from edge_agent.bundles.manifest import version_key
from edge_agent.errors import BundleError
from edge_agent.rollout.index_client import _parse
from tests.fuzz.door import Door, simple
from tests.fuzz.generator import damaged, document

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REFUSAL = {"index": 3, "code": "out_of_range", "detail": "the value is beyond 1e308"}
SETTLED = {"batch_id": "b1", "committed": True, "accepted": 3, "duplicates": 2, "rejected": [REFUSAL]}
ERRORS = [{"error": name, "detail": "said by the central", "retry_after_s": 2} for name in
          ("too_large", "refused", "credentials", "busy", "not_stored")]  # fmt: skip
SCHEMA_FAULT = {"detail": [{"loc": ["body", "value"], "msg": "not a number", "type": "float"}]}
WAITS = ["17", "0", "1.5", "-1", "Sun, 15 Mar 2026 12:00:30 GMT", "Sunday, 15-Mar-26 12:00:30 GMT", "9" * 400]
VALUES = ["nginx/1.22", "1.1 proxy (squid)", "http://portal.example/login?u=/x", "//", "http://[::1", "/a", "1",
          "1 proof=" + "0" * 32]  # fmt: skip
STATUSES = [200, 200, 301, 400, 401, 403, 404, 413, 422, 429, 500, 503, 999]
HOUR = {"sensor_id": "pump.de-x.rms", "hour_us": 1_700_000_000_000_000, "count": 60, "min_us": 1_700_000_000_000_000,
        "max_us": 1_700_003_540_000_000, "hash": "01a2b3c4d5e6f708"}  # fmt: skip
ENTRY = {"name": "vibration", "version": "1.2.0", "file": "vibration-1.2.0.tar.gz", "sha256": "0" * 64,
         "size_bytes": 1_000}  # fmt: skip


def _settle(content: bytes) -> None:
    json.dumps(repr(checked(settlement_of(content, batch_id="b1"), 6))).encode()


def _settle_over_mqtt(content: bytes) -> None:
    checked(answer_of(content, batch_id="b1"), 6)


def _answer(rng: random.Random) -> bytes:
    """Status, a header's value and body, a line each; what a header cannot carry never gets this far."""
    wait = damaged(rng, rng.choice([*WAITS, *VALUES]).encode()) if rng.random() < 0.7 else b""
    body = document(rng, [SCHEMA_FAULT, {"detail": "busy"}, {"sensor_id": "s", "status": "event_published"}])
    return b"\n".join([b"%d" % rng.choice(STATUSES), wait.replace(b"\r", b"").replace(b"\n", b""), body])


def _read(content: bytes) -> Answer:
    status, wait, body = content.split(b"\n", 2)
    names = (b"Retry-After", b"Server", b"Via", b"Location", IDENTITY_HEADER.encode())
    headers = httpx.Headers([*((name, wait) for name in names), (b"Content-Type", b"application/json")])
    identity = identity_in(wait.decode("latin-1"), "key", "0" * 16, status=int(status), body=body)
    return Answer(int(status), headers, body, "https://central.example.com/api", identity)


def _fail(content: bytes) -> None:
    raise failure_of(_read(content), now=NOW, known=KnownCentral())


def _judge_reading(content: bytes) -> None:
    _verdict(_read(content), sensor_id="s", known=KnownCentral())


def _index(content: bytes) -> None:
    if len(content) <= 1_000_000:  # a longer one is refused while it is read
        for entry in _parse("https://models/index.json", content).bundles:
            version_key(entry.version)


DOORS = (
    Door("https-answer", lambda rng: document(rng, [SETTLED]), simple(_settle), (SyncError,)),
    Door("mqtt-answer", lambda rng: document(rng, [SETTLED, *ERRORS]), simple(_settle_over_mqtt), (SyncError,)),
    Door("https-failure", _answer, simple(_fail), (SyncError,)),
    Door("single-answer", _answer, simple(_judge_reading), (SyncError,)),
    Door("digest", lambda rng: document(rng, [{"hours": [HOUR, HOUR]}]), simple(decode_digests), (ValueError,)),
    Door(
        "model-index",
        lambda rng: document(rng, [{"schema": 1, "bundles": [ENTRY, ENTRY]}]),
        simple(_index),
        (BundleError,),
    ),
)
