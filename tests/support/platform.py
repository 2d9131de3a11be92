"""A stand-in for the platform's present central: one reading per request, published and not stored.

Written from the platform's own behaviour
- the key is checked before the reading, the reading before anything is done with it;
- an Idempotency-Key is taken before the reading is published and lives ten minutes, also when publishing fails;
- the answer says published or ignored, never stored.

What a test may turn: the clock, a rate limit, scripted answers per sensor, a gate that holds every request, and an
upgrade to a central that also takes batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from cloud_sync import wire
from cloud_sync.central.ingress.answers import settled
from cloud_sync.central.server import Listen, running
from cloud_sync.records import Batch, Row, Series
from cloud_sync.transports.memory import MemoryTransport
from cloud_sync.transports.single import IN_FLIGHT, MAX_NOTES, SingleReadingTransport
from tests.support.blocks import GATEWAY, START_US

KEY_LIVES_S = 600.0
WINDOW_S = 60.0
DEADLINE_S = 10.0
API_KEY = "test-key-of-the-platform"

SensorType = Literal[
    "temperature", "vibration", "pressure", "humidity", "bearing", "pump",
    "manufacturing", "audio", "forecasting", "voltage", "general",
]  # fmt: skip


class Reading(BaseModel):
    sensor_id: str
    value: float
    timestamp: datetime | None = None
    sensor_type: SensorType | None = None
    unit: str | None = Field(default=None, max_length=30)  # stands for any rule that the platform has and we have not
    quality: float = Field(default=1.0, ge=0, le=1)
    correlation_id: uuid.UUID | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Fault(StrEnum):
    PUBLISH_FAILS = "publish_fails"  # 500 after the Idempotency-Key was taken


@dataclass(frozen=True)
class Answer:
    """Said in place of everything else; the reading is not looked at."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """One request as it arrived."""

    headers: Mapping[str, str]
    reading: dict[str, Any]

    @property
    def sensor_id(self) -> str:
        return str(self.reading["sensor_id"])


class Platform:
    """What one stand-in has heard and published, and what a test may turn."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.published: list[dict[str, Any]] = []
        self.heard: list[Heard] = []
        self.most_in_flight = 0
        self.most_in_flight_of_one_sensor = 0
        self.limit_per_minute: int | None = None
        self.retry_after_s: int | None = None
        self.detail_is_a_list = False
        self.batches: MemoryTransport | None = None
        self.batch_status: int | None = None
        self.batch_requests = 0
        self._clock = clock
        self._keys: dict[str, tuple[str, float]] = {}
        self._taken_at: deque[float] = deque()
        self._scripts: dict[str, deque[Answer | Fault]] = defaultdict(deque)
        self._in_flight: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._gate = asyncio.Event()
        self._gate.set()

    def script(self, sensor_id: str, *answers: Answer | Fault) -> None:
        """What the next requests about this sensor are answered; used up one per request."""
        self._scripts[sensor_id].extend(answers)

    def upgrade(self) -> None:
        """From now on there is a batch endpoint as well."""
        self.batches = MemoryTransport()

    def downgrade(self) -> None:
        self.batches = None

    def hold(self) -> None:
        """Answer nobody until `let_go`."""
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    def values_of(self, sensor_id: str) -> list[float]:
        return [reading["value"] for reading in self.published if reading["sensor_id"] == sensor_id]

    async def wait_for_in_flight(self, count: int) -> None:
        """Until so many requests are held here at once."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: self._in_flight.total() >= count)

    async def ingest(self, request: Request, reading: Reading) -> Response:
        heard = Heard(dict(request.headers), await request.json())
        self.heard.append(heard)
        async with self._on_its_way(heard.sensor_id):
            await self._gate.wait()
            return self._answer(heard, reading)

    async def ingest_batch(self, request: Request) -> Response:
        self.batch_requests += 1
        if self.batch_status is not None:
            return JSONResponse({"detail": "as scripted"}, status_code=self.batch_status)
        if self.batches is None:
            return JSONResponse({"detail": "Not Found"}, status_code=404)
        if request.headers.get("X-API-Key") != API_KEY:
            return JSONResponse({"detail": "this API key is not known"}, status_code=401)
        batch_id = request.headers["Idempotency-Key"].partition(":")[2]
        return JSONResponse(settled(batch_id, await self.batches.send(await request.body(), batch_id=batch_id)))

    def is_limited(self) -> bool:
        """Count one request against the limit of the sliding minute."""
        now = self._clock()
        while self._taken_at and now - self._taken_at[0] >= WINDOW_S:
            self._taken_at.popleft()
        if self.limit_per_minute is not None and len(self._taken_at) >= self.limit_per_minute:
            return True
        self._taken_at.append(now)
        return False

    def _answer(self, heard: Heard, reading: Reading) -> Response:
        script = self._scripts[heard.sensor_id]
        scripted = script.popleft() if script else None
        if isinstance(scripted, Answer):
            return JSONResponse(scripted.content, status_code=scripted.status, headers=dict(scripted.headers))
        event_id = str(uuid.uuid4())
        correlation_id = str(reading.correlation_id or uuid.uuid4())
        known = self._take_key(heard.headers.get("idempotency-key"), event_id)
        if known is None and scripted is Fault.PUBLISH_FAILS:
            return JSONResponse({"detail": "Failed to publish event: the bus is away"}, status_code=500)
        if known is None:
            self.published.append(heard.reading)
        return JSONResponse(
            {
                "status": "event_published" if known is None else "duplicate_ignored",
                "event_id": known or event_id,
                "correlation_id": correlation_id,
                "sensor_id": reading.sensor_id,
            }
        )

    def _take_key(self, key: str | None, event_id: str) -> str | None:
        """The event id that holds this key already; None when it was free and is ours now."""
        now = self._clock()
        if key is None:
            return None
        holder, until = self._keys.get(key, ("", 0.0))
        if holder and now < until:
            return holder
        self._keys[key] = (event_id, now + KEY_LIVES_S)
        return None

    @contextlib.asynccontextmanager
    async def _on_its_way(self, sensor_id: str) -> AsyncIterator[None]:
        self._in_flight[sensor_id] += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight.total())
        self.most_in_flight_of_one_sensor = max(self.most_in_flight_of_one_sensor, self._in_flight[sensor_id])
        async with self._changed:
            self._changed.notify_all()
        try:
            yield
        finally:
            self._in_flight[sensor_id] -= 1


def platform_app(platform: Platform) -> FastAPI:
    """The two paths, the key, the limit, and FastAPI's own answer to a reading that does not fit."""
    app = FastAPI()
    app.add_api_route("/api/v1/data/ingest", platform.ingest, methods=["POST"])
    app.add_api_route("/api/v1/data/ingest/batch", platform.ingest_batch, methods=["POST"])

    @app.middleware("http")
    async def first_the_key_then_the_limit(request: Request, call_next: Any) -> Response:
        if request.url.path != "/api/v1/data/ingest":
            return await call_next(request)
        if request.headers.get("X-API-Key") != API_KEY:
            return JSONResponse({"detail": "Could not validate credentials: Invalid API key."}, status_code=403)
        if platform.is_limited():
            headers = {} if platform.retry_after_s is None else {"Retry-After": str(platform.retry_after_s)}
            return JSONResponse({"detail": "Rate limit exceeded"}, status_code=429, headers=headers)
        return await call_next(request)

    @app.exception_handler(RequestValidationError)
    async def say_what_does_not_fit(_: Request, error: RequestValidationError) -> Response:
        faults = [{"loc": list(fault["loc"]), "msg": fault["msg"], "type": fault["type"]} for fault in error.errors()]
        said = "; ".join(f"{' → '.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        detail = faults if platform.detail_is_a_list else f"Request validation failed: {said}"
        return JSONResponse({"detail": detail}, status_code=422)

    return app


@contextlib.asynccontextmanager
async def serving(platform: Platform) -> AsyncIterator[str]:
    """The stand-in over real HTTP on loopback; hands out its URL."""
    async with running(platform_app(platform), Listen()) as url:
        yield url


@contextlib.asynccontextmanager
async def connected(
    url: str, *, api_key: str = API_KEY, in_flight: int = IN_FLIGHT, max_notes: int = MAX_NOTES
) -> AsyncIterator[SingleReadingTransport]:
    """A transport of single readings to this URL, closed at the end."""
    transport = SingleReadingTransport(
        url, gateway_id=GATEWAY, api_key=api_key, in_flight=in_flight, max_notes=max_notes
    )
    try:
        yield transport
    finally:
        await transport.close()


def sensor(number: int) -> Series:
    return Series(f"pump-{number:02}.de-x.rms", "vibration", "g", {"asset": f"pump-{number:02}"})


def readings(sensors: int, each: int) -> tuple[Row, ...]:
    """Rows of several sensors, one instant after the other, as a recorder writes them."""
    series = [sensor(n) for n in range(sensors)]
    return tuple(Row(of, START_US + n * 1_000_000, n / 8, 1.0) for n in range(each) for of in series)


def body_of(*rows: Row) -> bytes:
    return wire.encode(Batch(GATEWAY, rows))
