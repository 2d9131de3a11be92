"""What every driver promises.

Constraints
- A driver reads. It has no means to write to a device.
- `open` acquires and raises TransientDriverError or DeviceRejectedError, never a library's own error.
- `stream` yields until the device is lost (TransientDriverError), the recording ends (it returns), or
  the task is cancelled; cancellation passes through within a second, also during a pending read.
- What cannot be read is yielded as a Gap with its cause; never a default value, never a zero.
- A device that confirms unchanged values, instead of sending them again, is yielded as a KeepAlive.
- `close` never raises and may be called at any time, also twice.
- A driver does not retry a lost device: its supervisor does, with back-off, and records the gap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from edge_agent.core.gaps import Gap
from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import KeepAlive, Scan
from edge_agent.drivers.report import SourceReport

Item = SampleBlock | Scan | KeepAlive | Gap


class Driver(Protocol):
    """One source. `name` is the source's name in the configuration."""

    name: str

    async def open(self) -> None:
        """Acquire the device. Raise TransientDriverError or DeviceRejectedError."""

    def stream(self) -> AsyncIterator[Item]:
        """Yield what is read. Raise TransientDriverError when the device is lost; return when a recording ends."""

    async def close(self) -> None:
        """Give up what is held. Raise nothing, also when called twice."""

    def report(self) -> SourceReport:
        """Return how the source is, from memory: asked for whenever somebody looks at `status`."""
