"""A server's data values as readings of the configured tags."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from asyncua import ua

from edge_agent.core.clock import Clock
from edge_agent.core.quality import EXACT_MAX, Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.drivers.opcua.decoding.enumerations import Words
from edge_agent.drivers.opcua.decoding.mapping import to_reading, utc_ns
from edge_agent.drivers.opcua.decoding.number import Number, number_in
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.row_time import Arrival, RowTimes, on_our_clock

_CODE_MASK: Final = 0xFFFF0000  # without the flag bits
_GOOD: Final = Quality.GOOD
_NUMBERS: Final = frozenset({float, int, bool})


class Values:
    """Makes readings; a node is known by its handle, its index in the settings.

    `words` holds those of enumerations, by handle: what the server said when it was connected.
    """

    def __init__(self, settings: OpcUaSettings, clock: Clock) -> None:
        self.tags = tuple(Tag(node.name, node.unit, node.sensor_type) for node in settings.nodes)
        self.times = RowTimes(
            choice=settings.time,
            choices={node.name: node.time for node in settings.nodes if node.time is not None},
            bound_s=settings.time_bound_s + settings.interval_s,
            late_s=settings.interval_s,
        )
        self.words: dict[int, Words] = {}
        self._nodes = settings.nodes
        self._scalings = tuple((node.scale, node.offset) if not node.indexes else None for node in settings.nodes)
        self._clock = clock

    def reading(self, handle: int, data_value: Any, received_time_ns: int) -> Reading:
        """Return one value as a reading."""
        return self._good_number(handle, data_value, received_time_ns) or self._any(
            handle, data_value, received_time_ns
        )

    def _good_number(self, handle: int, data_value: Any, received_time_ns: int) -> Reading | None:
        """Return what nearly every value is: good, a scalar number, with a time that is its own; None for the others.

        It is what `_any` returns for such a value, at a fraction of the cost.
        """
        variant, status, scaling = data_value.Value, data_value.StatusCode, self._scalings[handle]
        if variant is None or scaling is None or (status is not None and status.value):
            return None
        raw = variant.Value
        if type(raw) not in _NUMBERS or not -EXACT_MAX <= raw <= EXACT_MAX:
            return None
        number = raw * scaling[0] + scaling[1]
        if not isfinite(number):
            return None
        tag, source_time, server_time = self.tags[handle], data_value.SourceTimestamp, data_value.ServerTimestamp
        source_ns = self._ours_ns(source_time)
        server_ns = source_ns if server_time == source_time else self._ours_ns(server_time)
        time_ns = self.times.plain_time_ns(tag.name, (raw, "", 0), received_time_ns, source_ns, server_ns)
        if time_ns is None:
            return None
        words = self.words.get(handle)
        word = words.get(raw, "") if words is not None and isinstance(raw, int) else ""
        return Reading(tag, number, _GOOD, time_ns, received_time_ns, _GOOD_IN_WORDS, word)

    def _ours_ns(self, time: datetime | None) -> int | None:
        """Return a time of the server's on our clock; None when there is none, or our clock is not known."""
        at_ns = utc_ns(time)
        return None if at_ns is None else self._clock.of_utc(at_ns)

    def _any(self, handle: int, data_value: Any, received_time_ns: int) -> Reading:
        tag, code = self.tags[handle], status_code(data_value)
        number = self._number(handle, data_value)
        source_ns, is_source_known = on_our_clock(utc_ns(data_value.SourceTimestamp), self._clock.of_utc)
        server_ns, is_server_known = on_our_clock(utc_ns(data_value.ServerTimestamp), self._clock.of_utc)
        is_known = is_source_known and is_server_known
        arrival = Arrival((number.raw, number.detail, code), received_time_ns, source_ns, server_ns, is_known)
        return to_reading(
            tag,
            number=number,
            status_code=code,
            status=code_in_words(code),
            stamp=self.times.stamp(tag.name, arrival),
            received_time_ns=received_time_ns,
            word=self._word(handle, number),
        )

    def take_publish_time(self, time: datetime | None, received_time_ns: int) -> None:
        """Take when the server says it sent a notification: its clock, also while no value changes."""
        sent_ns, is_known = on_our_clock(utc_ns(time), self._clock.of_utc)
        self.times.take_message_time(sent_ns, received_time_ns, is_clock_known=is_known)

    def _number(self, handle: int, data_value: Any) -> Number:
        node, value = self._nodes[handle], data_value.Value.Value if data_value.Value is not None else None
        return number_in(value, index=node.indexes, parse=node.parse, scale=node.scale, offset=node.offset)

    def _word(self, handle: int, number: Number) -> str:
        words = self.words.get(handle)
        return "" if words is None or not isinstance(number.raw, int) else words.get(number.raw, "")


def status_code(data_value: Any) -> int:
    """Return the value's StatusCode; none is good."""
    return data_value.StatusCode.value if data_value.StatusCode is not None else 0


def code_name(code: int) -> str:
    """Return the name of a StatusCode: "BadNodeIdUnknown"."""
    return str(ua.StatusCode(code & _CODE_MASK).name)


@lru_cache(maxsize=256)
def code_in_words(code: int) -> str:
    """Return a StatusCode as the specification writes it: "0x80340000 BadNodeIdUnknown"."""
    return f"0x{code:08X} {code_name(code)}"


_GOOD_IN_WORDS: Final = code_in_words(0)
