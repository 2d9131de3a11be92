"""How each configured node is, and the gaps that a state leads to.

Constraints
- A node that the server refuses, or has no place for, costs that tag only, and is named with what to do.
- A gap says a refusal once, when it is found; a BAD reading shows it for as long as it lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading
from edge_agent.drivers.opcua.decoding.mapping import quality_of, says_overflow
from edge_agent.drivers.opcua.decoding.values import Values, code_in_words, status_code
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.report import TagReport, TagState

_CODE_MASK: Final = 0xFFFF0000  # without the flag bits
_REFUSALS: Final[Mapping[int, str]] = {
    ua.StatusCodes.BadNodeIdUnknown: "the server has no node {node}",
    ua.StatusCodes.BadNodeIdInvalid: "the server cannot have a node {node}",
    ua.StatusCodes.BadAttributeIdInvalid: "{node} has no value at the server: it is an object or a method",
    ua.StatusCodes.BadNotReadable: "{node} may not be read at the server",
    ua.StatusCodes.BadUserAccessDenied: "the server does not let this user read {node}",
    ua.StatusCodes.BadIndexRangeInvalid: "{node} has no such index at the server",
}
_LIMITS: Final[Mapping[int, str]] = {
    ua.StatusCodes.BadTooManyMonitoredItems: "the server has no place for {node}",
    ua.StatusCodes.BadTooManyOperations: "the server has no place for {node}",
    ua.StatusCodes.BadOutOfMemory: "the server has no memory for {node}",
    ua.StatusCodes.BadMonitoredItemFilterUnsupported: "the server cannot watch {node} for changes",
    ua.StatusCodes.BadMonitoredItemFilterInvalid: "the server cannot watch {node} for changes",
}
_QUALITIES: Final = {Quality.GOOD: TagState.GOOD, Quality.UNCERTAIN: TagState.UNCERTAIN, Quality.BAD: TagState.BAD}


@dataclass(frozen=True, slots=True)
class _State:
    state: TagState
    since_ns: int
    code: int | None = None
    detail: str = ""


class NodeStates:
    """The states of one server's nodes, by handle."""

    def __init__(self, settings: OpcUaSettings, values: Values, clock: Clock) -> None:
        self._settings = settings
        self._values = values
        self._clock = clock
        now_ns = clock.now_ns()
        self._states = [_State(TagState.WAITING, now_ns) for _ in settings.nodes]
        self._watched: set[int] = set()

    @property
    def not_watched(self) -> tuple[int, ...]:
        """Return the handles of the nodes that the server did not take: they are asked for again now and then."""
        return tuple(
            handle
            for handle, known in enumerate(self._states)
            if handle not in self._watched and known.state is not TagState.WAITING
        )

    def reports(self) -> dict[str, TagReport]:
        """Return the states by tag name."""
        return {tag.name: _report(known) for tag, known in zip(self._values.tags, self._states, strict=True)}

    def ask(self, handles: Iterable[int]) -> None:
        """Take the nodes as asked for: the server took them, and their values will come."""
        now_ns = self._clock.now_ns()
        for handle in handles:
            self._watched.add(handle)
            self._states[handle] = _State(TagState.WAITING, now_ns)

    def refuse(self, codes: Mapping[int, int], unresolved: Mapping[int, str]) -> list[Gap]:
        """Keep why nodes are not taken: the server's StatusCode, or our reason. Return a gap for each that is news."""
        self._watched -= codes.keys() | unresolved.keys()
        gaps = [self._refusal(handle, *self._words(handle, code), code) for handle, code in codes.items()]
        gaps += [self._refusal(handle, TagState.REFUSED, why, None) for handle, why in unresolved.items()]
        return [gap for gap in gaps if gap is not None]

    def bad_readings(self) -> tuple[Reading, ...]:
        """Return a BAD reading for each node that is not watched: `status` shows a tag by its newest one."""
        now_ns = self._clock.now_ns()
        return tuple(
            Reading(self._values.tags[handle], None, Quality.BAD, None, now_ns, self._states[handle].detail)
            for handle in self.not_watched
        )

    def take(self, handle: int, data_value: Any, reading: Reading) -> list[Gap]:
        """Take a node's value; return what its status means besides good or bad.

        The node is gone or may not be read any more (said once), or the server's queue overflowed.
        """
        code, before = status_code(data_value), self._states[handle]
        if before.code == code == 0 and before.state is TagState.GOOD and reading.quality is Quality.GOOD:
            return []
        gaps = [self._overflow_gap(handle, reading.received_time_ns)] if says_overflow(code) else []
        if code & _CODE_MASK in _REFUSALS:
            gap = self._refusal(handle, *self._words(handle, code), code)
            return gaps if gap is None else [*gaps, gap]
        state, detail = self._state_of(handle, code, data_value, reading)
        if (state, code, detail) != (before.state, before.code, before.detail):
            since_ns = before.since_ns if state is before.state else reading.received_time_ns
            self._states[handle] = _State(state, since_ns, code, detail)
        return gaps

    def _state_of(self, handle: int, code: int, data_value: Any, reading: Reading) -> tuple[TagState, str]:
        value = data_value.Value.Value if data_value.Value is not None else None
        is_number = value is None or isinstance(value, (bool, int, float))
        if reading.quality is Quality.BAD and quality_of(code) is not Quality.BAD and not is_number:
            why = reading.status.partition(", but ")[2] or f"the value is a {type(value).__name__}, not a number"
            return TagState.REFUSED, f"{self._node(handle)}: {why}"
        return _QUALITIES[reading.quality], reading.status if reading.quality is Quality.BAD else ""

    def _refusal(self, handle: int, state: TagState, detail: str, code: int | None) -> Gap | None:
        """Keep it, and return its gap when this node was not refused before."""
        before, now_ns = self._states[handle], self._clock.now_ns()
        since_ns = before.since_ns if before.state is state else now_ns
        self._states[handle] = _State(state, since_ns, code, detail)
        if before.state is state:
            return None
        name = self._values.tags[handle].name
        return Gap(name, GapCause.DEVICE_REJECTED, now_ns, now_ns, f"{self._settings.name}: {name}: {detail}")

    def _words(self, handle: int, code: int) -> tuple[TagState, str]:
        """Return the state that a StatusCode stands for, and the code in words."""
        kind = code & _CODE_MASK
        state = TagState.NOT_TAKEN if kind in _LIMITS else TagState.REFUSED
        words = _LIMITS.get(kind) or _REFUSALS.get(kind) or "the server does not take {node}"
        return state, f"{words.replace('{node}', self._node(handle))}: {code_in_words(code)}"

    def _overflow_gap(self, handle: int, at_ns: int) -> Gap:
        name, source = self._values.tags[handle].name, self._settings.name
        detail = f"{source}: the server's queue for {name} was full; raise queue_size or publish more often"
        return Gap(name, GapCause.QUEUE_FULL, at_ns, at_ns, detail)

    def _node(self, handle: int) -> str:
        return f'"{self._settings.nodes[handle].address}"'


def _report(known: _State) -> TagReport:
    code = None if known.code is None else code_in_words(known.code)
    is_of_wrong_type = known.state is TagState.REFUSED and known.code is not None and not _is_bad(known.code)
    do = "correct index or parse of this node, or choose another node" if is_of_wrong_type else None
    return TagReport(known.state, known.detail, known.since_ns, status_code=code, do=do)


def _is_bad(code: int) -> bool:
    return quality_of(code) is Quality.BAD
