"""A gap: an interval for which we have no honest value, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GapCause(StrEnum):
    """Why something is missing. One word each, stable: they are synced and counted."""

    DEVICE_LOST = "device_lost"
    DEVICE_REJECTED = "device_rejected"
    BAD_QUALITY = "bad_quality"
    STALE = "stale"
    OVERFLOW = "overflow"  # the sound driver dropped samples
    QUEUE_FULL = "queue_full"  # we did: the pipeline was slower than the source
    DISCONTINUITY = "discontinuity"  # the source jumped: sequence number, sample clock
    INVALID_SAMPLES = "invalid_samples"  # NaN, infinity
    SENSOR_FAULT = "sensor_fault"  # the value cannot be one: flat line, clipping, out of range, stuck
    MODEL_REFUSED = "model_refused"
    EVICTED = "evicted"
    THINNED = "thinned"
    DAMAGED = "damaged"  # the outbox file was; what could not be saved is counted
    CLOCK_SET_BACK = "clock_set_back"  # rows are withheld until the clock passes the newest one
    AT_REST = "at_rest"  # the machine does not turn: what is a multiple of its speed is not there
    AGENT_STOPPED = "agent_stopped"
    AGENT_FAULT = "agent_fault"  # a part of the agent failed at this, and was started again
    END_OF_RECORDING = "end_of_recording"


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing usable from `subject` between `start_ns` and `end_ns` (UTC, ns since the epoch).

    `subject` is a source or tag name. `count` is how many samples or values are missing, when known.
    """

    subject: str
    cause: GapCause
    start_ns: int
    end_ns: int
    detail: str = ""
    count: int | None = None


class GapSpan:
    """A gap of one subject that may still be open: emitted once when it begins and once when it ends."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._first: Gap | None = None
        self._count = 0

    @property
    def since_ns(self) -> int | None:
        """Return when the open gap began; None while there is none."""
        return None if self._first is None else self._first.start_ns

    @property
    def cause(self) -> GapCause | None:
        """Return the cause of the open gap; None while there is none."""
        return None if self._first is None else self._first.cause

    @property
    def detail(self) -> str:
        """Return why the open gap began; empty while there is none."""
        return "" if self._first is None else self._first.detail

    def begin(self, cause: GapCause, start_ns: int, detail: str, *, count: int = 0) -> Gap | None:
        """Return the gap's first announcement (of no length yet), or None while it is open already."""
        self._count += count
        if self._first is not None:
            return None
        self._first = Gap(self._subject, cause, start_ns, start_ns, detail)
        return self._first

    def end(self, end_ns: int) -> Gap | None:
        """Return the whole gap, or None when none was open."""
        first, count = self._first, self._count
        self._first, self._count = None, 0
        if first is None:
            return None
        return Gap(self._subject, first.cause, first.start_ns, end_ns, first.detail, count or None)
