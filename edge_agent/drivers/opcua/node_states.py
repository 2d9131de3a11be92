"""How each configured node is, and the gaps that a state leads to."""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading
from edge_agent.drivers.opcua.mapping import says_overflow
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.values import Values, code_in_words, status_code
from edge_agent.drivers.report import TagReport, TagState

_GONE_CODES: Final = frozenset(
    {ua.StatusCodes.BadNodeIdUnknown, ua.StatusCodes.BadNodeIdInvalid, ua.StatusCodes.BadAttributeIdInvalid}
)
_CODE_MASK: Final = 0xFFFF0000  # without the flag bits


class NodeStates:
    """The states of one server's nodes, by handle. `refused` holds why the server has no such node for us."""

    def __init__(self, settings: OpcUaSettings, values: Values, clock: Clock) -> None:
        self.refused: dict[int, str] = {}
        self._settings = settings
        self._values = values
        self._clock = clock
        self._gone: set[int] = set()

    def reset(self) -> None:
        """Forget what was gone: the nodes are asked for anew."""
        self._gone.clear()

    def reports(self) -> dict[str, TagReport]:
        """Return the states by tag name."""
        return {
            self._values.tags[handle].name: TagReport(TagState.REFUSED, reason, status_code=reason)
            for handle, reason in self.refused.items()
        }

    def refusal_gaps(self) -> list[Gap]:
        """Return a gap for each node that is refused."""
        return [self._refusal_gap(handle, reason) for handle, reason in self.refused.items()]

    def refusal_readings(self) -> tuple[Reading, ...]:
        """Return a BAD reading for each node that is refused: `status` names what ails each tag by its newest one."""
        now_ns = self._clock.now_ns()
        return tuple(
            Reading(self._values.tags[handle], None, Quality.BAD, None, now_ns, self._refusal(handle, reason))
            for handle, reason in self.refused.items()
        )

    def take(self, handle: int, data_value: Any, at_ns: int) -> list[Gap]:
        """Take a node's value; return what its status means besides good or bad.

        The node is gone (said once), or the server's queue overflowed.
        """
        code = status_code(data_value)
        gaps: list[Gap] = []
        if says_overflow(code):
            name, source = self._values.tags[handle].name, self._settings.name
            detail = f"{source}: the server's queue for {name} was full; raise queue_size or publish more often"
            gaps.append(Gap(name, GapCause.QUEUE_FULL, at_ns, at_ns, detail))
        is_gone = code & _CODE_MASK in _GONE_CODES
        if is_gone and handle not in self._gone:
            gaps.append(self._refusal_gap(handle, code_in_words(code)))
        (self._gone.add if is_gone else self._gone.discard)(handle)
        return gaps

    def _refusal_gap(self, handle: int, reason: str) -> Gap:
        now_ns, name = self._clock.now_ns(), self._values.tags[handle].name
        node_id = self._settings.nodes[handle].address
        detail = f'{self._settings.name} has no usable node "{node_id}" for {name}: {reason}'
        return Gap(name, GapCause.DEVICE_REJECTED, now_ns, now_ns, detail)

    def _refusal(self, handle: int, reason: str) -> str:
        return f'the server has no usable node "{self._settings.nodes[handle].address}": {reason}'
