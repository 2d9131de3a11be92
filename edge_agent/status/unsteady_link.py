"""A link that comes and goes: each time it is back before that is a problem, and all the same little gets through."""

from __future__ import annotations

from typing import Any, Final

from cloud_sync.uplink.sender import UplinkState
from edge_agent.status.fields import problem

WINDOW_S: Final = 600.0
LEAST_OUTAGES: Final = 5
"""A central that is restarted, or one that is moved, is away once or twice."""

_LOOK_AT_IT: Final = "look at the line: cable, signal of the modem, what else uses it"


def unsteady_problem(uplink: UplinkState, now_ns: int) -> dict[str, Any] | None:
    """Return what is wrong with a link that was lost again and again within ten minutes, by a clock in nanoseconds."""
    lately = [one for one in uplink.outages if 0 <= now_ns - one.since_ns <= WINDOW_S * 1e9]
    if len(lately) < LEAST_OUTAGES:
        return None
    first, last = lately[0], lately[-1]
    what = f"the link to the central comes and goes: lost {len(lately)} times in 10 minutes, last by: {last.error}"
    return problem(what, first.since_ns, last.hint or _LOOK_AT_IT)
