"""A server's data values as readings of the configured tags."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from asyncua import ua

from edge_agent.core.clock import Clock
from edge_agent.core.tags import Reading, Tag
from edge_agent.drivers.opcua.mapping import to_reading
from edge_agent.drivers.opcua.settings import OpcUaSettings

_CODE_MASK: Final = 0xFFFF0000  # without the flag bits


class Values:
    """Makes readings; a node is known by its handle, its index in the settings."""

    def __init__(self, settings: OpcUaSettings, clock: Clock) -> None:
        self.tags = tuple(Tag(node.name, node.unit, node.sensor_type) for node in settings.nodes)
        self._clock = clock

    def reading(self, handle: int, data_value: Any, received_time_ns: int) -> Reading:
        """Return one value as a reading."""
        source_time: datetime | None = data_value.SourceTimestamp
        code = status_code(data_value)
        return to_reading(
            self.tags[handle],
            value=data_value.Value.Value if data_value.Value is not None else None,
            status_code=code,
            status_name=code_name(code),
            source_time=source_time,
            received_time_ns=received_time_ns,
            of_utc=self._clock.of_utc,
        )


def status_code(data_value: Any) -> int:
    """Return the value's StatusCode; none is good."""
    return data_value.StatusCode.value if data_value.StatusCode is not None else 0


def code_name(code: int) -> str:
    """Return the name of a StatusCode: "BadNodeIdUnknown"."""
    return str(ua.StatusCode(code & _CODE_MASK).name)


def code_in_words(code: int) -> str:
    """Return a StatusCode as the specification writes it: "0x80340000 BadNodeIdUnknown"."""
    return f"0x{code:08X} {code_name(code)}"
