"""Asking one device: a request brings cells, fails alone, or the device is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.polling.failures import UNREACHABLE, UNREACHABLE_HINT, Failure
from edge_agent.drivers.modbus.polling.liveness import Liveness
from edge_agent.drivers.modbus.polling.read_sizes import ReadSizes
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.transport.answers import ConnectionLost, ExceptionAnswer, NoAnswer, StrangeAnswer
from edge_agent.errors import TransientDriverError


class BlockReader(Protocol):
    """The connection to a device, as far as asking needs it."""

    async def read(self, block: RegisterBlock) -> list[int]:
        """Return the cells of a block. Raise ExceptionAnswer, NoAnswer, or another TransientDriverError."""


class Failed(Exception):  # noqa: N818  (what became of a request, told inside this package)
    """A request brought no cells; the device is there."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.status)
        self.failure = failure


class Unit:
    """Asks one unit. `requests` gives all that are made of it now.

    A device that leaves two questions in a row without an answer is lost; the second is one that it answered before,
    if there is one. A gateway that says it does not reach the unit is no answer either. After an answer that is damaged
    or of another kind the same is asked once more before that: noise on a line comes and goes.
    """

    def __init__(
        self,
        settings: ModbusSettings,
        place: str,
        reader: BlockReader,
        requests: Callable[[], Sequence[RegisterBlock]],
    ) -> None:
        self.liveness = Liveness()
        self.sizes = ReadSizes()
        self.silent_total = 0
        self.unanswered_total = 0
        self.unreachable: Failure | None = None
        self.silence = Failure.silence(settings.timeout_s)
        self._source = f"{settings.name}: "
        self._who = f"{settings.name}: unit {settings.unit_id} behind {place}"
        self._reader = reader
        self._requests = requests

    async def read(self, block: RegisterBlock) -> list[int]:
        """Return the cells of a block. Raise Failed, or TransientDriverError when the device is lost."""
        lost: TransientDriverError
        try:
            return await self._answer_or_again(block)
        except NoAnswer as error:
            failure, lost = self.silence, error
        except (StrangeAnswer, ConnectionLost) as error:
            failure, lost = Failure.unusable(error.message.removeprefix(self._source), error.hint), error
        except _Unreachable as answer:
            failure, lost = answer.failure, self._unreachable_error(answer.failure)
        question = self.liveness.question_after(block, self._requests())
        cells = await self._is_there(question, lost)
        if question is block and cells is not None:
            return cells
        raise Failed(failure)

    async def _answer_or_again(self, block: RegisterBlock) -> list[int]:
        """Return the cells, of a second answer when the first was strange. Raise as `_answer` does."""
        try:
            return await self._answer(block)
        except StrangeAnswer as strange:
            try:
                return await self._answer(block)
            except (TransientDriverError, _Unreachable):
                raise strange from None

    async def _answer(self, block: RegisterBlock) -> list[int]:
        """Return the cells. Raise Failed, _Unreachable, or what the connection raises."""
        try:
            cells = await self._reader.read(block)
        except ExceptionAnswer as answer:
            failure = Failure.of(answer)
            if answer.code in UNREACHABLE:
                raise _Unreachable(failure) from None
            self._is_answered(block)
            raise Failed(failure) from None
        except NoAnswer:
            self.silent_total += 1
            self.unanswered_total += 1
            raise
        except StrangeAnswer:
            self.unanswered_total += 1
            raise
        self._is_answered(block)
        self.sizes.answered(block)
        return cells

    async def _is_there(self, question: RegisterBlock, lost: TransientDriverError) -> list[int] | None:
        """Return the cells of a second question, None for an exception. Raise `lost` when nothing answers it either."""
        try:
            return await self._answer(question)
        except Failed:
            return None
        except (TransientDriverError, _Unreachable) as second:
            self.liveness.lost()
            self.unreachable = second.failure if isinstance(second, _Unreachable) else None
            raise lost from None

    def _is_answered(self, block: RegisterBlock) -> None:
        self.liveness.answered(block)
        self.unreachable = None

    def _unreachable_error(self, failure: Failure) -> TransientDriverError:
        return TransientDriverError(f"{self._who} does not answer: {failure.status}", hint=UNREACHABLE_HINT)


class _Unreachable(Exception):  # noqa: N818
    """A gateway says that it does not reach the unit."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.status)
        self.failure = failure
