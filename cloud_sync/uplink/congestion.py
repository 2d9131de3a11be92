"""How much goes into one request, and how many of them are in flight: a congestion control.

Model-based like BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016): a request
carries what the link delivers in a time that follows the link's own floor, so its size follows throughput, and never
latency. Failures that the size may be guilty of lower a ceiling by half, answers raise it by steps (AIMD: Chiu and
Jain, 1989); when a request of one block then fails as well the link was away, and the halving is undone, as Eifel does
(RFC 3522).

Constraints
- A size is proven before it is used: rate times time is what was delivered in that time before.
- What says nothing about size (nobody there, a key, a busy central) changes nothing.
- Live data has requests of its own; a backlog never takes the last one, unless there is only one.

Pure arithmetic; times are seconds of a monotonic clock that the caller hands in. docs/decisions/0015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cloud_sync.uplink.link_measure import DeliveryRate, Flight, Floor
from cloud_sync.uplink.parallel import Parallel

LEAST_TIME_S: Final = 0.5
"""Live data waits for at most the requests in flight; at half a second each nobody notices."""

FIRST_BYTES: Final = 4_096
"""The first request of a run, and the least that is aimed at: the 600 bytes around a body stay a small part."""

MAX_BODY_BYTES: Final = 1_000_000
"""An ordinary body limit of a reverse proxy."""

BETA: Final = 0.5
STEP: Final = 0.1
"""Of the size that failed: up again with each full request that is answered."""

OTHER_LINK: Final = 3.0
"""So many times the floor there was before a failure: it is another link now."""

_WARM_UP: Final = 2
"""Requests after a failure of which the first makes the connection and the second shows the floor."""
_TIMEOUT_SHARE: Final = 0.7
"""Of the central's time to answer, for bodies: a rate may fall while they travel."""
_LEAST_SHRINK: Final = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of the link, for people. None: not measured yet."""

    rate_bytes_per_s: float | None = None
    floor_s: float | None = None
    request_bytes: int = FIRST_BYTES
    in_flight: int = 1


class CongestionControl:
    """Tell it of each request and its end; ask it what the next one may carry, and whether there may be one."""

    def __init__(self, *, max_in_flight: int, answer_timeout_s: float) -> None:
        self._max_in_flight = max_in_flight
        self._answer_timeout_s = answer_timeout_s
        self._rate = DeliveryRate()
        self._floor = Floor()
        self._floor_before_s: float | None = None
        self._parallel = Parallel(max(1, max_in_flight - 1))
        self._ceiling = float(MAX_BODY_BYTES)
        self._step = 0.0
        self._undo: float | None = None
        self._warm_up = _WARM_UP
        self._after_failure = False
        self._shrink = 1.0

    # ---- what the next request may be

    def body_bytes(self, *, is_backlog: bool, now_s: float) -> int:
        """Return how many bytes the next request may carry."""
        if self._after_failure:
            return 1  # one stored block, whatever its size
        if is_backlog and self._is_measuring(now_s):
            return min(FIRST_BYTES, self._target())
        return self._target()

    def parts_bytes(self, *, is_backlog: bool, now_s: float) -> int:
        """Return the same for stored blocks, which shrink when they are coalesced."""
        return max(1, int(self.body_bytes(is_backlog=is_backlog, now_s=now_s) / self._shrink))

    def backlog_slots(self, *, now_s: float) -> int:
        """Return how many requests with old records may be in flight; one while the floor is measured."""
        return 1 if self._is_measuring(now_s) else self._parallel.number

    def live_slots(self, *, has_backlog: bool) -> int:
        """Return how many with new records may be: two, so that one goes while the other waits for its answer."""
        left = self._max_in_flight - self._parallel.number if has_backlog else self._max_in_flight
        return max(1, min(2, left))

    def slots(self, *, now_s: float) -> int:
        """Return how many of both together, when they have to share."""
        return min(self._max_in_flight, self.backlog_slots(now_s=now_s) + 1)

    @property
    def measured(self) -> Measured:
        return Measured(self._rate.bytes_per_s, self._floor.seconds, self._target(), self._parallel.number)

    # ---- what became of the others

    def record_sent(self, body_bytes: int, *, is_full: bool, is_backlog: bool, now_s: float) -> Flight:
        """Return the flight of a request that goes out. `is_full`: it carries as much as it may."""
        is_small = body_bytes <= FIRST_BYTES
        is_quiet = is_small and not any(other.body_bytes > FIRST_BYTES for other in self._rate.flying)
        if not is_small:
            for other in self._rate.flying:
                other.shows_floor = other.is_lone
        is_lone = is_backlog and self._is_measuring(now_s)
        return self._rate.take_off(
            body_bytes,
            is_full=is_full,
            is_backlog=is_backlog,
            is_lone=is_lone,
            shows_floor=is_quiet or is_lone,
            is_probe=self._after_failure,
            now_s=now_s,
        )

    def record_answered(self, flight: Flight, *, now_s: float) -> None:
        """Learn from an answer, whatever it said of the records."""
        self._rate.land(flight, now_s=now_s)
        if flight.shows_floor:
            self._floor.note(now_s - flight.sent_s, now_s=now_s)
        self._undo, self._after_failure = None, False
        if self._warm_up:
            self._end_warm_up()
        elif flight.is_lone:
            self._parallel.pause()
        elif flight.is_backlog:
            self._parallel.note(flight.body_bytes, is_full=flight.is_full, now_s=now_s)
        if flight.is_full and flight.body_bytes >= 0.5 * self._ceiling:
            self._ceiling = min(float(MAX_BODY_BYTES), self._ceiling + self._step)

    def record_failed(self, flight: Flight, *, may_be_size: bool) -> None:
        """Learn from a failure. `may_be_size`: the request was in flight, and a smaller one might have got through."""
        self.record_gone(flight)
        self._warm_up = _WARM_UP
        if flight.is_probe:
            if self._undo is not None:
                self._ceiling, self._undo = self._undo, None
            return
        if self._after_failure:
            return  # it went out beside the one that failed first
        self._after_failure = True
        self._floor_before_s = self._floor.seconds or self._floor_before_s
        self._floor.forget()
        self._parallel.rest()
        if may_be_size:
            self._undo = self._ceiling
            self._step = STEP * flight.body_bytes
            self._ceiling = max(1.0, min(self._ceiling, BETA * flight.body_bytes))

    def record_gone(self, flight: Flight) -> None:
        """Forget a request that will have no answer that says anything of the link."""
        self._rate.lose(flight)

    def count_coalesced(self, parts_bytes: int, body_bytes: int) -> None:
        """Learn how much blocks shrink when they become one body."""
        ratio = max(_LEAST_SHRINK, body_bytes / parts_bytes)
        self._shrink = max(ratio, 0.75 * self._shrink + 0.25 * ratio)

    # ----

    def _target(self) -> int:
        """What the link delivers in the time that one request shall take; never more than the ceiling."""
        rate, floor_s = self._rate.bytes_per_s, self._floor.seconds or 0.0
        if rate is None:
            wanted = float(FIRST_BYTES)
        else:
            time_s = max(LEAST_TIME_S, self._parallel.floors * floor_s)
            bearable_s = _TIMEOUT_SHARE * max(0.0, self._answer_timeout_s - floor_s) / self._parallel.number
            wanted = min(max(float(FIRST_BYTES), rate * time_s), rate * bearable_s)
        return max(1, math.floor(min(wanted, self._ceiling, MAX_BODY_BYTES)))

    def _is_measuring(self, now_s: float) -> bool:
        """Whether the backlog goes in one small request, which shows the floor."""
        return self._warm_up > 0 or self._floor.is_stale(now_s=now_s)

    def _end_warm_up(self) -> None:
        self._warm_up -= 1
        before_s, now_s = self._floor_before_s, self._floor.seconds
        if self._warm_up or before_s is None or now_s is None:
            return
        if now_s > OTHER_LINK * before_s:
            self._rate.forget()
            self._parallel.forget()
        self._floor_before_s = None
