"""What may go over the link now, asked before each request. An ordinary link lets everything go.

The sender asks `withheld`, `backlog_wait_s` and `trimmed`, and tells what it took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cloud_sync.records import RecordClass
from cloud_sync.uplink.scheduler import LoadLimits


class Gate(Protocol):
    def withheld(self) -> frozenset[RecordClass]:
        """Return the classes of records that wait."""
        ...

    def backlog_wait_s(self) -> float:
        """Return how long older readings wait before it is asked again; 0 when they may go."""
        ...

    def trimmed(self, limits: LoadLimits) -> LoadLimits:
        """Return what of these limits one request may use."""
        ...

    def record_taken(self, of: RecordClass | None) -> None:
        """Hear that records of this class go now; None: nothing waits that may go."""
        ...

    def record_last_call(self) -> None:
        """Hear that the agent stops: what was only collected may go."""
        ...


class GateOfLinks:
    """The gate of those of several links that are metered; over the others everything goes."""

    def __init__(self, metered: Gate, is_metered: Callable[[], bool]) -> None:
        self._metered = metered
        self._is_metered = is_metered
        self._open = OpenGate()

    def withheld(self) -> frozenset[RecordClass]:
        return self._now().withheld()

    def backlog_wait_s(self) -> float:
        return self._now().backlog_wait_s()

    def trimmed(self, limits: LoadLimits) -> LoadLimits:
        return self._now().trimmed(limits)

    def record_taken(self, of: RecordClass | None) -> None:
        self._now().record_taken(of)

    def record_last_call(self) -> None:
        self._metered.record_last_call()

    def _now(self) -> Gate:
        return self._metered if self._is_metered() else self._open


class OpenGate:
    """Everything may go at once."""

    def withheld(self) -> frozenset[RecordClass]:
        return frozenset()

    def backlog_wait_s(self) -> float:
        return 0.0

    def trimmed(self, limits: LoadLimits) -> LoadLimits:
        return limits

    def record_taken(self, of: RecordClass | None) -> None: ...

    def record_last_call(self) -> None: ...
