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
    SENSOR_FAULT = "sensor_fault"  # flat line, clipping
    MODEL_REFUSED = "model_refused"
    EVICTED = "evicted"
    AGENT_STOPPED = "agent_stopped"
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
