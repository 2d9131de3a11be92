"""The connection to one Modbus device: asks for blocks, checks the answers. Only the four read functions exist here.

Constraints
- A request is answered in full or not at all: a short answer, a wrong function or a late answer drops the socket,
  and so does a cancelled read, because the answer still to come would be taken for the next one's.
- Retrying is the caller's; pymodbus neither retries nor reconnects here.

The only file that imports pymodbus.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Iterator
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import (
    ConnectionException,
    MessageRegisterException,
    ModbusException,
    ModbusIOException,
    NoSuchIdException,
    NotImplementedException,
    ParameterException,
)
from pymodbus.pdu import ModbusPDU

from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.clock import Clock
from edge_agent.drivers.modbus.answers import ConnectionLost, ExceptionAnswer, NoAnswer, StrangeAnswer
from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.errors import DeviceRejectedError, DriverError

FUNCTION_CODES: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

_NO_ANSWER_HINT: Final = "the device is off, busy, or allows fewer connections; check unit_id and timeout_s too"

TRANSLATION: Final[dict[type[ModbusException], type[DriverError]]] = {
    ConnectionException: ConnectionLost,
    ModbusIOException: NoAnswer,
    ParameterException: DeviceRejectedError,
    NoSuchIdException: DeviceRejectedError,
    NotImplementedException: DeviceRejectedError,
    MessageRegisterException: DeviceRejectedError,
}


class Connection:
    """One device's connection, of the source that `settings` describes. Nothing is open before `open`."""

    def __init__(self, settings: ModbusSettings, clock: Clock) -> None:
        self.name = settings.name
        self.place = f"{settings.host}:{settings.port}"
        self._settings = settings
        self._client: AsyncModbusTcpClient | None = None

    async def open(self) -> None:
        """Connect. Raise ConnectionLost."""
        await self.close()
        client = AsyncModbusTcpClient(
            self._settings.host,
            port=self._settings.port,
            name=self.name,
            timeout=self._settings.timeout_s,
            retries=0,
            reconnect_delay=0,
        )
        with self._translated():
            is_connected = await client.connect()
        if not is_connected:
            raise ConnectionLost(
                f"{self.name}: no connection to the Modbus device at {self.place}",
                hint="check that the device is on, host and port are right, and it allows one more connection",
            )
        self._client = client

    async def read(self, block: RegisterBlock) -> list[int]:
        """Return the block's registers, or bits as 0 and 1; exactly `block.count` of them.

        Raise ExceptionAnswer, NoAnswer, ConnectionLost or StrangeAnswer.
        """
        client = self._client
        if client is None:
            raise ConnectionLost(f"{self.name}: the connection to {self.place} is closed")
        is_settled = False
        try:
            with self._translated():
                answer = await _request(client, block, self._settings.unit_id)
            check_cancelled()
            cells = self._checked(block, answer)
            is_settled = True
        except ExceptionAnswer:
            is_settled = True
            raise
        finally:
            if not is_settled:
                self._drop()
        return cells

    async def close(self) -> None:
        """Close the connection. May be called at any time, also twice."""
        self._drop()

    def _checked(self, block: RegisterBlock, answer: ModbusPDU) -> list[int]:
        """Return the cells of an answer that fits the request; refuse every other."""
        if answer.isError():
            raise ExceptionAnswer(answer.exception_code)
        is_bits = block.table in ("coil", "discrete")
        cells = [int(bit) for bit in answer.bits] if is_bits else list(answer.registers)
        # Bits come in whole bytes: the last byte is filled up.
        expected = -(-block.count // 8) * 8 if is_bits else block.count
        if answer.function_code != FUNCTION_CODES[block.table] or len(cells) != expected:
            raise StrangeAnswer(
                f"{self.name}: {self.place} answered {len(cells)} cells of function {answer.function_code} where "
                f"{expected} of function {FUNCTION_CODES[block.table]} were asked for"
            )
        return cells[: block.count]

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Let only our errors out of this block."""
        try:
            yield
        except ModbusException as exc:
            ours = next((ours for theirs, ours in TRANSLATION.items() if isinstance(exc, theirs)), DriverError)
            raise ours(f"{self.name}: {self._what_happened(exc)}", hint=_NO_ANSWER_HINT) from exc
        except OSError as exc:
            raise ConnectionLost(f"{self.name}: {self.place}: {exc}") from exc

    def _what_happened(self, exc: ModbusException) -> str:
        if isinstance(exc, ConnectionException) or self._client is None or not self._client.connected:
            return f"{self.place} closed the connection"
        return f"no usable answer from {self.place} within {self._settings.timeout_s:g} s: {exc}"


def _request(client: AsyncModbusTcpClient, block: RegisterBlock, unit_id: int) -> Awaitable[ModbusPDU]:
    match block.table:
        case "coil":
            return client.read_coils(block.address, count=block.count, device_id=unit_id)
        case "discrete":
            return client.read_discrete_inputs(block.address, count=block.count, device_id=unit_id)
        case "holding":
            return client.read_holding_registers(block.address, count=block.count, device_id=unit_id)
        case "input":
            return client.read_input_registers(block.address, count=block.count, device_id=unit_id)
