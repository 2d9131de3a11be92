"""Gaps of a stream of samples: which are worth an event, and what samples without a signal are called."""

from __future__ import annotations

from typing import Final

from edge_agent.core.gaps import Gap, GapCause

UNUSABLE: Final = "samples are constant or not finite; check cable, mounting and power of the sensor"


def is_news(gap: Gap, last: Gap | None) -> bool:
    """Return False for a seam between two recordings, which is no fault, and for a jump that is already known.

    A device that comes back jumps, and so does what a stage sees after a fault: that hole is `last`.
    """
    if gap.cause is GapCause.END_OF_RECORDING:
        return False
    is_known = (
        last is not None and last.cause in (GapCause.DEVICE_LOST, GapCause.AGENT_FAULT) and gap.start_ns <= last.end_ns
    )
    return not (gap.cause is GapCause.DISCONTINUITY and is_known)
