"""One source's way to its device: asks for blocks over the line it may share with others, and counts the answers."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.core.clock import Clock
from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.transport.answers import ConnectionLost, ExceptionAnswer, NoAnswer, StrangeAnswer
from edge_agent.drivers.modbus.transport.bus import Asker, bus_of
from edge_agent.drivers.modbus.transport.figures import AnswerFigures
from edge_agent.drivers.modbus.transport.request import ReadRequest
from edge_agent.drivers.report import SourceProblem


class DeviceConnection:
    """The connection of the source that `settings` describes. Nothing is open before `open`."""

    def __init__(self, settings: ModbusSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._bus = bus_of(settings.line)
        self._figures = AnswerFigures()
        self._asker = Asker(settings.name, settings.timeout_s, _late_answer_s(settings))
        self._is_open = False

    @property
    def place(self) -> str:
        """Return where the device is: host and port, or the serial port."""
        return self._bus.line.place

    async def open(self) -> None:
        """Connect, or join those who are connected. Raise ConnectionLost."""
        await self.close()
        await self._bus.join(self, self._asker)
        self._is_open = True

    async def read(self, block: RegisterBlock) -> list[int]:
        """Return the block's registers, or bits as 0 and 1; exactly `block.count` of them.

        Raise ExceptionAnswer, NoAnswer, ConnectionLost or StrangeAnswer. After each of them the next read may be
        tried at once: the connection is opened again when it has to be.
        """
        if not self._is_open:
            raise ConnectionLost(f"{self.name}: the connection to {self.place} is closed")
        request = ReadRequest(self._settings.unit_id, block.table, block.address, block.count)
        self._figures.requests_total += 1
        try:
            return await self._cells(request)
        except ExceptionAnswer as answer:
            self._figures.count_exception(answer.code)
            raise
        except NoAnswer:
            self._figures.timeouts_total += 1
            raise
        except StrangeAnswer as answer:
            self._figures.count_strange(answer.message.removeprefix(f"{self.name}: "), answer.hint)
            raise

    def rest(self) -> None:
        """Say that a pass is over: a line that is to be closed after reading is closed, unless others wait for it."""
        self._bus.rest()

    async def close(self) -> None:
        """Leave the line; the last one closes it. May be called at any time, also twice."""
        self._is_open = False
        self._bus.leave(self)

    def figures(self) -> Mapping[str, object]:
        """Return what the device's answers have been like, by the names in docs/CLI_OUTPUT.md."""
        return {**self._figures.values(), "connections_total": self._bus.connections_total}

    def problem(self) -> SourceProblem | None:
        """Return that many answers are of no use, while others are; a device that is lost is a problem of its own."""
        return self._figures.problem() if self._is_open else None

    async def _cells(self, request: ReadRequest) -> list[int]:
        cells, took_s = await self._bus.ask(request, self._asker)
        self._figures.count_answer(took_s)
        return cells


def _late_answer_s(settings: ModbusSettings) -> float:
    return 2 * settings.timeout_s if settings.late_answer_s is None else settings.late_answer_s
