"""A Modbus TCP device as a source of scans: read only, one connection, one request at a time.

Constraints
- Only the four read functions (1 to 4) are ever sent.
- A request is answered in full or not at all: a short answer, a wrong function or a late answer drops the socket,
  and so does a cancelled read, because the answer still to come would be taken for the next one's.
- A register the device does not have costs that tag only: its block is split until it stands alone.
- Retrying a lost device is the supervisor's; pymodbus neither retries nor reconnects here.

The only file that imports pymodbus.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
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
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import Reading, Scan, Tag
from edge_agent.drivers.base import Item
from edge_agent.drivers.modbus.codec import bad_reading, decode, reading
from edge_agent.drivers.modbus.plan import FixedRate, RegisterBlock, block_of, plan_blocks, split
from edge_agent.drivers.modbus.settings import ModbusSettings, PollGroupSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.drivers.report import SourceReport, TagReport, TagState
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError

RETRY_REJECTED_S: Final = 300.0  # a register that was refused may appear with a new PLC program: minutes, not scans

FUNCTION_CODES: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
EXCEPTION_TEXTS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
REJECTIONS: Final = frozenset({1, 2, 3})  # the same question will get the same answer

_NO_ANSWER_HINT: Final = "the device is off, busy, or allows fewer connections; check unit_id and timeout_s too"

TRANSLATION: Final[dict[type[ModbusException], type[DriverError]]] = {
    ConnectionException: TransientDriverError,
    ModbusIOException: TransientDriverError,
    ParameterException: DeviceRejectedError,
    NoSuchIdException: DeviceRejectedError,
    NotImplementedException: DeviceRejectedError,
    MessageRegisterException: DeviceRejectedError,
}


@dataclass(frozen=True, slots=True)
class ModbusStats:
    """`overruns_total` counts the scans that were due while an earlier one was still running."""

    overruns_total: int
    rejected_tags: tuple[str, ...]


@dataclass(slots=True)
class _Group:
    """A poll group's working plan: the blocks that are read, and the tags the device refused."""

    schedule: FixedRate
    order: tuple[str, ...]
    blocks: list[RegisterBlock]
    refused: dict[str, ModbusTagSettings] = field(default_factory=dict)
    reports: dict[str, TagReport] = field(default_factory=dict)
    retry_refused_s: float = 0.0


class _ExceptionAnswer(Exception):  # noqa: N818  (it is an answer, named as the protocol names it)
    """The device answered with an exception code instead of data."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    @property
    def status(self) -> str:
        return f"exception {self.code} {EXCEPTION_TEXTS.get(self.code, 'unknown')}"


class ModbusDriver:
    """Reads the poll groups of one device, each at its own fixed rate, and yields one Scan per pass.

    A tag the device refuses is yielded once as a BAD reading and once as a Gap (DEVICE_REJECTED), when it is
    found out; it is asked for again every `RETRY_REJECTED_S`. Until then it is absent from the scans.
    An exception that may pass (busy, gateway time-out) makes BAD readings in every scan that meets it.
    """

    def __init__(self, settings: ModbusSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._place = f"{settings.host}:{settings.port}"
        self._tags = {tag.name: _tag(tag) for group in settings.poll_groups for tag in group.tags}
        self._plans = [self._plan(group) for group in settings.poll_groups]
        self._groups: list[_Group] = []
        self._client: AsyncModbusTcpClient | None = None
        self._overruns_total = 0

    async def open(self) -> None:
        """Connect. Raise TransientDriverError."""
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
            raise TransientDriverError(
                f"{self.name}: no connection to the Modbus device at {self._place}",
                hint="check that the device is on, host and port are right, and it allows one more connection",
            )
        self._client = client

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what each pass of a poll group brings, for ever. Raise DriverError when the device is lost."""
        self._groups = self._start_groups()
        while True:
            group = min(self._groups, key=lambda group: group.schedule.due_s)
            wait_s = group.schedule.due_s - self._clock.monotonic_s()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            for item in await self._pass(group):
                yield item
            self._overruns_total += group.schedule.advance(self._clock.monotonic_s())

    async def close(self) -> None:
        """Close the connection."""
        self._drop()

    def report(self) -> SourceReport:
        """Return the tags the device refuses, and its scans that were due while an earlier one ran."""
        refused = {name: group.reports[name] for group in self._groups for name in group.refused}
        return SourceReport(refused, figures={"slow_scans_total": self._overruns_total})

    def stats(self) -> ModbusStats:
        """Return what was read since the driver was made, and the tags that are refused now."""
        return ModbusStats(
            self._overruns_total,
            tuple(name for group in self._groups for name in group.refused),
        )

    def _plan(self, group: PollGroupSettings) -> tuple[RegisterBlock, ...]:
        return plan_blocks(group.tags, max_registers=self._settings.max_registers, max_hole=self._settings.max_hole)

    def _start_groups(self) -> list[_Group]:
        now_s = self._clock.monotonic_s()
        return [
            _Group(
                FixedRate(start_s=now_s, interval_s=settings.interval_s),
                tuple(tag.name for tag in settings.tags),
                list(blocks),
            )
            for settings, blocks in zip(self._settings.poll_groups, self._plans, strict=True)
        ]

    async def _pass(self, group: _Group) -> list[Item]:
        """Read every block of the group once: at most one Scan, then the gaps that were found."""
        known_refused = frozenset(group.refused)
        readings: dict[str, Reading] = {}
        todo, group.blocks = group.blocks + self._retries_due(group), []
        while todo:
            block = todo.pop(0)
            try:
                cells = await self._read(block)
            except _ExceptionAnswer as answer:
                parts = split(block) if answer.code in REJECTIONS else ()
                todo[:0] = parts
                if not parts:
                    self._take_exception(group, block, answer, readings)
            else:
                group.blocks.append(block)
                self._take_cells(group, block, cells, readings)
        return self._items(group, readings, known_refused)

    def _retries_due(self, group: _Group) -> list[RegisterBlock]:
        now_s = self._clock.monotonic_s()
        if not group.refused or now_s < group.retry_refused_s:
            return []
        group.retry_refused_s = now_s + RETRY_REJECTED_S
        return [block_of([tag]) for tag in group.refused.values()]

    def _items(self, group: _Group, readings: dict[str, Reading], known_refused: frozenset[str]) -> list[Item]:
        still_refused = known_refused & group.refused.keys()
        in_order = tuple(readings[name] for name in group.order if name in readings and name not in still_refused)
        items: list[Item] = [Scan(self.name, in_order)] if in_order else []
        items += [self._refusal_gap(readings[name]) for name in group.refused if name not in known_refused]
        return items

    def _refusal_gap(self, refused: Reading) -> Gap:
        at_ns = refused.received_time_ns
        detail = f"{self.name} at {self._place} refuses {refused.tag.name}: {refused.status}"
        return Gap(refused.tag.name, GapCause.DEVICE_REJECTED, at_ns, at_ns, detail)

    def _take_cells(self, group: _Group, block: RegisterBlock, cells: list[int], readings: dict[str, Reading]) -> None:
        now_ns = self._clock.now_ns()
        for tag in block.tags:
            group.refused.pop(tag.name, None)
            start = tag.address - block.address
            value = decode(tag, cells[start : start + tag.width])
            readings[tag.name] = reading(self._tags[tag.name], value, now_ns)

    def _take_exception(
        self, group: _Group, block: RegisterBlock, answer: _ExceptionAnswer, readings: dict[str, Reading]
    ) -> None:
        now_ns = self._clock.now_ns()
        for tag in block.tags:
            readings[tag.name] = bad_reading(self._tags[tag.name], answer.status, now_ns)
        if answer.code not in REJECTIONS:
            group.blocks.append(block)
            return
        if not group.refused:
            group.retry_refused_s = self._clock.monotonic_s() + RETRY_REJECTED_S
        for tag in block.tags:
            known = group.reports.get(tag.name) if tag.name in group.refused else None
            group.refused[tag.name] = tag
            since_ns = now_ns if known is None else known.since_ns
            group.reports[tag.name] = TagReport(TagState.REFUSED, answer.status, since_ns, exception=answer.code)

    async def _read(self, block: RegisterBlock) -> list[int]:
        """Return the block's registers, or bits as 0 and 1; exactly `block.count` of them."""
        client = self._client
        if client is None:
            raise TransientDriverError(f"{self.name}: the connection to {self._place} is closed")
        is_settled = False
        try:
            with self._translated():
                answer = await _request(client, block, self._settings.unit_id)
            check_cancelled()
            cells = self._checked(block, answer)
            is_settled = True
        except _ExceptionAnswer:
            is_settled = True
            raise
        finally:
            if not is_settled:
                self._drop()
        return cells

    def _checked(self, block: RegisterBlock, answer: ModbusPDU) -> list[int]:
        """Return the cells of an answer that fits the request; refuse every other."""
        if answer.isError():
            raise _ExceptionAnswer(answer.exception_code)
        is_bits = block.table in ("coil", "discrete")
        cells = [int(bit) for bit in answer.bits] if is_bits else list(answer.registers)
        # Bits come in whole bytes: the last byte is filled up.
        expected = -(-block.count // 8) * 8 if is_bits else block.count
        if answer.function_code != FUNCTION_CODES[block.table] or len(cells) != expected:
            raise TransientDriverError(
                f"{self.name}: {self._place} answered {len(cells)} cells of function {answer.function_code} where "
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
            raise TransientDriverError(f"{self.name}: {self._place}: {exc}") from exc

    def _what_happened(self, exc: ModbusException) -> str:
        if isinstance(exc, ConnectionException) or self._client is None or not self._client.connected:
            return f"{self._place} closed the connection"
        return f"no usable answer from {self._place} within {self._settings.timeout_s:g} s: {exc}"


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


def _tag(settings: ModbusTagSettings) -> Tag:
    return Tag(settings.name, settings.unit, settings.sensor_type)
