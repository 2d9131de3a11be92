"""A link in virtual time: bandwidth that connections share, a round trip, losses as TCP feels them, and outages.

What it can carry is computed from the link and from the bounds that the product declares (bytes and records of a
request, requests in flight), not from how the product chooses. It assumes that nothing is ever waited for that the
link does not demand: no start-up, no connection to be made, every request as large as it may be.

TCP, for one connection: slow start from ten segments, again after a pause of a retransmission time-out; with losses
the rate of Mathis et al. (1997), MSS / (RTT sqrt(2p/3)), interrupted by retransmission time-outs that double
(RFC 6298), with the share of losses that end in one after Padhye et al. (1998), min(1, 3 sqrt(3p/8)).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from cloud_sync import wire
from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Guarantee, Route

REQUEST_BYTES: Final = 600
"""Head of a request and what TLS, TCP and IP add to a small one."""
ANSWER_BYTES: Final = 400
HANDSHAKE_BYTES: Final = 2_500
HANDSHAKE_TRIPS: Final = 2.0
"""TCP and TLS 1.3."""
SERVER_S: Final = 0.005
"""Until COMMIT, with a disk that keeps it."""

_MSS: Final = 1_460
_FIRST_WINDOW: Final = 10 * _MSS
_RTO_LEAST_S: Final = 0.2
_GIVE_UP: Final = 8  # doublings


@dataclass(frozen=True, slots=True)
class LinkShape:
    """`loss` is the share of segments; `outage_s` is how long it is away before the backlog is drained."""

    bytes_per_s: float
    rtt_s: float
    loss: float = 0.0
    outage_s: float = 60.0
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 30.0

    @property
    def rto_s(self) -> float:
        return max(_RTO_LEAST_S, 1.5 * self.rtt_s)

    @property
    def connection_bytes_per_s(self) -> float:
        """What losses leave of one connection, time-outs left out."""
        return math.inf if not self.loss else _MSS / (self.rtt_s * math.sqrt(2 * self.loss / 3))

    @property
    def timeouts_per_segment(self) -> float:
        return self.loss * min(1.0, 3 * math.sqrt(3 * self.loss / 8))

    @property
    def mean_pause_s(self) -> float:
        """Of a retransmission time-out, with its doublings."""
        p = self.loss
        return self.rto_s * math.fsum(p**n * (1 - p) * (2.0 ** (n + 1) - 1) for n in range(_GIVE_UP + 1))

    @property
    def _largest_in_time(self) -> float:
        """A body that is answered within the time that is given, when it has the link to itself."""
        body_s = self.answer_timeout_s - self.rtt_s - SERVER_S - ANSWER_BYTES / self.bytes_per_s
        return body_s * self.bytes_per_s - REQUEST_BYTES

    def possible_bytes_per_s(self, *, body_bytes: float, in_flight: int) -> float:
        """Of bodies, with requests of so many bytes, so many at a time: the least of what bandwidth, round trips and
        losses leave. 1,000 kbit/s at 20 ms carry 124,900 bytes/s in requests of 1 MB."""
        body_bytes = min(body_bytes, self._largest_in_time)
        whole = body_bytes + REQUEST_BYTES
        by_bandwidth = self.bytes_per_s * body_bytes / whole
        per_segment_s = _MSS / self.connection_bytes_per_s + self.timeouts_per_segment * self.mean_pause_s
        alone_s = max(whole / self.bytes_per_s, whole / _MSS * per_segment_s)
        answer_s = self.rtt_s + SERVER_S + ANSWER_BYTES / self.bytes_per_s
        return min(by_bandwidth, in_flight * body_bytes / (alone_s + answer_s))


@dataclass(slots=True)
class _Flow:
    left: float
    cap: float
    done: asyncio.Future[None]
    speed: float = 0.0


class _Pipe:
    """Bytes a second that all flows share fairly; one with a limit of its own leaves the rest to the others."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._flows: list[_Flow] = []
        self._at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def carry(self, count: float, cap: float) -> None:
        loop = asyncio.get_running_loop()
        flow = _Flow(count, cap, loop.create_future())
        self._advance()
        self._flows.append(flow)
        self._plan()
        try:
            await flow.done
        finally:
            self._advance()
            self._flows = [other for other in self._flows if other is not flow]
            self._plan()

    def _advance(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for flow in self._flows:
            flow.left -= (now_s - self._at_s) * flow.speed
        self._at_s = now_s

    def _plan(self) -> None:
        self._share()
        if self._timer is not None:
            self._timer.cancel()
        waits = [max(0.0, flow.left) / flow.speed for flow in self._flows if not flow.done.done()]
        self._timer = asyncio.get_running_loop().call_later(min(waits), self._arrive) if waits else None

    def _share(self) -> None:
        left, flows = self.bytes_per_s, sorted(self._flows, key=lambda flow: flow.cap)
        for n, flow in enumerate(flows):
            flow.speed = min(flow.cap, left / (len(flows) - n))
            left -= flow.speed

    def _arrive(self) -> None:
        self._advance()
        for flow in self._flows:
            if flow.left <= 1e-6 * self.bytes_per_s and not flow.done.done():
                flow.done.set_result(None)
        self._plan()


@dataclass(slots=True)
class _Connection:
    window: float = _FIRST_WINDOW
    idle_from_s: float = 0.0


class SimulatedTransport:
    """A central behind a link. Every body is whole and new to it; `up_at_s` is when an outage ends."""

    route = Route("simulated")
    guarantee = Guarantee.UNKNOWN
    takes_events = True
    takes_digests = False

    def __init__(self, shape: LinkShape, *, seed: int = 1) -> None:
        self.shape = shape
        self.up_at_s = 0.0
        self.first_answer_s: float | None = None
        """The first after the outage."""
        self.back = asyncio.Event()
        self.sizes: list[tuple[float, int]] = []
        """When each request was answered, and its bytes."""
        self.failures = 0
        self._pipe = _Pipe(shape.bytes_per_s)
        self._free: list[_Connection] = []
        self._random = random.Random(seed)

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one body. Raises TransientSyncError as the product's transport does."""
        try:
            async with self._connected() as connection:
                await self._exchange(connection, len(body))
        except TransientSyncError:
            self.failures += 1
            raise
        now_s = asyncio.get_running_loop().time()
        if self.first_answer_s is None and now_s >= self.up_at_s:
            self.first_answer_s = now_s
            self.back.set()
        self.sizes.append((now_s, len(body)))
        count = wire.record_count(wire.decompress(body))
        assert count is not None
        return Settlement(count, 0)

    async def close(self) -> None: ...

    @property
    def _is_up(self) -> bool:
        return asyncio.get_running_loop().time() >= self.up_at_s

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        """A connection that is given back when all went well."""
        connection = self._free.pop() if self._free else await self._connect()
        yield connection
        connection.idle_from_s = asyncio.get_running_loop().time()
        self._free.append(connection)

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(2 * self.shape.connect_timeout_s):
                await self._unless_away()
                await asyncio.sleep(HANDSHAKE_TRIPS * self.shape.rtt_s)
                await self._carry(HANDSHAKE_BYTES)
        except TimeoutError as exc:
            raise TransientSyncError("no connection in time") from exc
        return _Connection()

    async def _exchange(self, connection: _Connection, body_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - connection.idle_from_s > self.shape.rto_s:
            connection.window = _FIRST_WINDOW
        try:
            async with asyncio.timeout(self.shape.answer_timeout_s):
                await self._unless_away()
                await self._upload(connection, body_bytes + REQUEST_BYTES)
                await asyncio.sleep(self.shape.rtt_s + SERVER_S + ANSWER_BYTES / self.shape.bytes_per_s)
                await self._unless_away()
        except TimeoutError as exc:
            raise TransientSyncError("no answer in time", was_in_flight=True) from exc

    async def _unless_away(self) -> None:
        """What is sent into an outage is never answered."""
        if not self._is_up:
            await asyncio.Event().wait()

    async def _upload(self, connection: _Connection, count: float) -> None:
        full = self.shape.bytes_per_s * self.shape.rtt_s
        while count > 0:
            piece = min(count, connection.window)
            await self._carry(piece)
            count -= piece
            if connection.window < full:  # the next comes with the acknowledgements
                if count > 0:
                    await asyncio.sleep(max(0.0, self.shape.rtt_s - piece / self.shape.bytes_per_s))
                connection.window += piece

    async def _carry(self, count: float) -> None:
        """So many bytes of one connection, with the pauses that losses cost it."""
        await self._pipe.carry(count, self.shape.connection_bytes_per_s)
        if self.shape.loss:
            for _ in range(math.ceil(count / _MSS)):
                if self._random.random() < self.shape.timeouts_per_segment:
                    await self._pause()

    async def _pause(self) -> None:
        pause_s, doublings = self.shape.rto_s, 0
        while self._random.random() < self.shape.loss and doublings < _GIVE_UP:
            doublings += 1
            pause_s += self.shape.rto_s * 2**doublings
        await asyncio.sleep(pause_s)
