"""A line that sources share: one connection, one request at a time, each in its turn.

Constraints
- Sources that name the same host and port, or serial port, have one `Bus`; the last one that leaves closes it.
- Turns are given in the order in which they were asked for, and a source has one request on its way: no source waits
  for more than one request of each other one.
- A connection that ended while nobody asked is opened again before the next request, and one that ends under a request
  is opened again once: devices close what is idle. Only a fresh connection that ends is a loss. One that was idle and
  then is silent may have been forgotten between: what was asked is asked again over a new one.
- After a request that was given up, the framing says whether its late answer could be mistaken, and how long to wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from edge_agent.core.cancellation import check_cancelled
from edge_agent.drivers.modbus.line import Line
from edge_agent.drivers.modbus.transport.answers import ConnectionLost, NoAnswer, StrangeAnswer
from edge_agent.drivers.modbus.transport.foreign import no_serial_frame
from edge_agent.drivers.modbus.transport.framing import Framing
from edge_agent.drivers.modbus.transport.link import ByteLink, open_link
from edge_agent.drivers.modbus.transport.losses import why_lost, why_not_open
from edge_agent.drivers.modbus.transport.mbap import MbapFraming
from edge_agent.drivers.modbus.transport.request import Misfit, ReadRequest
from edge_agent.drivers.modbus.transport.rtu import RtuFraming

IDLE_S: Final = 10.0  # firewalls and routers forget idle connections without closing them; not after seconds
_SILENCES_TO_CLOSE: Final = 2  # so many requests in a row without an answer from anybody: the connection may be dead
_LOOK_EVERY_S: Final = 0.02  # how soon a late answer that has come is noticed by who waits for it

_NO_ANSWER_HINT: Final = (
    "the device is off, slower than timeout_s, or has no such unit_id; behind a serial gateway the transport may be"
    " rtu_over_tcp"
)
_STRANGE_HINT: Final = "nothing of it was believed; look at the device's program, and at a gateway before it"
_NO_ANSWER_SERIAL_HINT: Final = (
    "check unit_id, baud_rate, parity and the wiring; is the device on, and not slower than timeout_s?"
)

_BUSES: Final[WeakValueDictionary[Line, Bus]] = WeakValueDictionary()


def bus_of(line: Line) -> Bus:
    """Return the bus of this line, which all sources of this process on it share."""
    bus = _BUSES.get(line)
    if bus is None:
        bus = _BUSES[line] = Bus(line)
    return bus


@dataclass(frozen=True, slots=True)
class Asker:
    """A source that asks. `late_answer_s`: how long after the time-out an answer may still come."""

    name: str
    timeout_s: float
    late_answer_s: float


class Bus:
    """One line and its connection. Outlives the connection: what may still come over the line is remembered."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.connections_total = 0
        self._users: set[object] = set()
        self._turn = asyncio.Lock()
        self._framing: Framing = RtuFraming() if line.is_rtu else MbapFraming()
        self._link: ByteLink | None = None
        self._silences = 0
        self._free_from_s = 0.0  # the loop's time before which nothing may be sent

    async def join(self, user: object, who: Asker) -> None:
        """Open the connection unless it is open. Raise ConnectionLost; then `user` has not joined."""
        if not self._users:
            self._turn = asyncio.Lock()
        self._users.add(user)
        try:
            async with self._turn:
                if self._open_link() is None:
                    await self._connect(who)
        except BaseException:
            self.leave(user)
            raise

    def leave(self, user: object) -> None:
        """Close the connection when nobody else uses it."""
        self._users.discard(user)
        if not self._users:
            self._drop()

    def rest(self) -> None:
        """Close the connection when the line is to be closed after reading and nobody waits for it."""
        if self.line.close_after_read and not self._turn.locked():
            self._drop()

    async def ask(self, request: ReadRequest, who: Asker) -> tuple[list[int], float]:
        """Return the cells, and how long the answer took in seconds.

        Raise ExceptionAnswer, NoAnswer, ConnectionLost or StrangeAnswer.
        """
        while True:
            await self._until_it_may_be_asked(request.unit)
            async with self._turn:
                if self._framing.must_wait_until_s(request.unit) is None:
                    return await self._ask_now(request, who)

    async def _until_it_may_be_asked(self, unit: int) -> None:
        loop = asyncio.get_running_loop()
        while (until_s := self._framing.must_wait_until_s(unit)) is not None:
            await asyncio.sleep(min(_LOOK_EVERY_S, max(0.0, until_s - loop.time())))
            if self._link is not None and not self._turn.locked():
                self._framing.unasked(self._link.buffer)

    async def _ask_now(self, request: ReadRequest, who: Asker) -> tuple[list[int], float]:
        link = self._open_link()
        if link is not None:
            is_proven = self.line.is_rtu or asyncio.get_running_loop().time() - link.newest_s < IDLE_S
            try:
                return await self._exchange(link, request, who)
            except ConnectionLost:
                pass  # it was idle too long for the device
            except NoAnswer:
                if is_proven:
                    raise  # else it was idle too long for something between that forgot it
        link = await self._connect(who)
        return await self._exchange(link, request, who)

    async def _exchange(self, link: ByteLink, request: ReadRequest, who: Asker) -> tuple[list[int], float]:
        loop = asyncio.get_running_loop()
        await self._until_the_line_is_free(link, request, who)
        frame = self._framing.start(request)
        if not link.is_open:  # it ended meanwhile: nothing is on its way
            self._drop()
            raise self._lost(link, request, who)
        link.send(frame)
        sent_s = loop.time()
        try:
            with self._dropping_what_is_strange(request, who):
                pdu = await self._answer(link, request, who, sent_s + who.timeout_s)
                took_s = loop.time() - sent_s
        except (NoAnswer, StrangeAnswer, asyncio.CancelledError):
            self._framing.unanswered(loop.time() + who.late_answer_s)
            raise
        except ConnectionLost:
            self._framing.unanswered(loop.time() + who.late_answer_s)
            self._drop()
            raise
        finally:
            self._free_from_s = loop.time() + self.line.request_pause_s
        with self._dropping_what_is_strange(request, who):
            return request.cells(pdu), took_s

    async def _answer(self, link: ByteLink, request: ReadRequest, who: Asker, until_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        timer = loop.call_at(until_s, link.wake)
        try:
            while (pdu := self._framing.take(link.buffer)) is None:
                if not link.is_open:
                    raise self._lost(link, request, who)
                if loop.time() >= until_s:
                    raise self._no_answer(link, request, who)
                await link.more()
        finally:
            timer.cancel()
        check_cancelled()
        self._silences = 0
        return pdu

    async def _until_the_line_is_free(self, link: ByteLink, request: ReadRequest, who: Asker) -> None:
        """Keep the pause between requests, and the silence a serial line needs; throw away what was not asked for.

        Raise StrangeAnswer when the line does not come to rest.
        """
        loop = asyncio.get_running_loop()
        patience_s = max(self._free_from_s, loop.time()) + who.timeout_s
        while (wait_s := max(self._free_from_s, link.newest_s + self.line.silence_s) - loop.time()) > 0:
            if loop.time() > patience_s:
                raise self._strange(no_serial_frame(bytes(link.buffer)), request, who)
            await asyncio.sleep(wait_s)
        self._framing.unasked(link.buffer)
        if self.line.is_rtu:
            link.buffer.clear()

    async def _connect(self, who: Asker) -> ByteLink:
        self._drop()
        try:
            link = await open_link(self.line, who.timeout_s)
        except (OSError, ImportError, ValueError) as exc:
            raise why_not_open(exc, self.line, who.name, who.timeout_s) from exc
        self._link = link
        self._silences = 0
        self.connections_total += 1
        self._free_from_s = asyncio.get_running_loop().time() + self.line.connect_delay_s
        return link

    def _open_link(self) -> ByteLink | None:
        return self._link if self._link is not None and self._link.is_open else None

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    @contextlib.contextmanager
    def _dropping_what_is_strange(self, request: ReadRequest, who: Asker) -> Iterator[None]:
        """Turn what does not fit into StrangeAnswer; over TCP nothing after it can be told apart: drop the socket."""
        try:
            yield
        except Misfit as misfit:
            self._drop_unless_serial()
            raise self._strange(misfit, request, who) from None

    def _drop_unless_serial(self) -> None:
        if self.line.serial is None:
            self._drop()

    def _lost(self, link: ByteLink, request: ReadRequest, who: Asker) -> ConnectionLost:
        return why_lost(link, self.line, f"asked {request}", who.name, self._framing.what_came(link.buffer))

    def _no_answer(self, link: ByteLink, request: ReadRequest, who: Asker) -> NoAnswer | StrangeAnswer:
        came = self._framing.what_came(link.buffer)
        if came is not None:
            if link.buffer:  # a part of an answer: what comes next would be taken for the rest of it
                self._drop_unless_serial()
            return self._strange(came, request, who)
        self._silences += 1
        if self._silences >= _SILENCES_TO_CLOSE:
            self._drop_unless_serial()
        hint = _NO_ANSWER_HINT if not self.line.is_rtu else _NO_ANSWER_SERIAL_HINT
        return NoAnswer(
            f"{who.name}: {self.line.place}: asked {request}: no answer within {who.timeout_s:g} s", hint=hint
        )

    def _strange(self, misfit: Misfit, request: ReadRequest, who: Asker) -> StrangeAnswer:
        return StrangeAnswer(
            f"{who.name}: {self.line.place}: asked {request}: {misfit.what}", hint=misfit.hint or _STRANGE_HINT
        )
