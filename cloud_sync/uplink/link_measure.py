"""What the answers say of the link: the rate at which it delivers, and the time of a request that carries little.

Pure arithmetic; times are seconds of a monotonic clock that the caller hands in. The rate is the delivery rate of BBR
(Cheng, Cardwell, Yeganeh, Jacobson: draft-cheng-iccrg-delivery-rate-estimation), the floor its windowed minimum, which
LEDBAT (RFC 6817) calls base delay; a request stands where they have a packet.

Constraints
- A rate never comes out higher than the link was: what was answered is divided by the longer of the times in which it
  was sent and in which it was answered.
- A request that had less to carry than it was allowed says nothing against a higher rate, and a small one is not
  credited with a large one that came in while it was in flight.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

RATE_ANSWERS: Final = 16
"""The rate is the highest among so many answers: two round trips at eight requests in flight."""

FLOOR_WINDOW_S: Final = 600.0
FLOOR_WINDOW_FLOORS: Final = 100.0
"""The floor is the lowest in the longer of these: a route that became longer is found out, and looking for it takes a
fiftieth of the time."""

_LARGER: Final = 1.5
_LEAST_S: Final = 1e-4  # of a clock that stands still


@dataclass(slots=True)
class Flight:
    """One request in flight."""

    body_bytes: int
    is_full: bool
    is_backlog: bool
    is_lone: bool
    """With old records, alone on purpose: to see the floor."""
    sent_s: float
    first_sent_s: float
    delivered_before: int
    delivered_s: float
    shows_floor: bool
    """It carries little, and nothing of ours fills the link meanwhile."""
    is_probe: bool
    """It was sent to see whether the link is there again."""
    largest_beside: int = 0
    """Of the bodies that were answered meanwhile."""


class DeliveryRate:
    """Bytes a second that are delivered when there is enough to send; None before the first answer."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=RATE_ANSWERS)
        self._first_sent_s = 0.0
        self._delivered_s = 0.0
        self._delivered = 0
        self.flying: list[Flight] = []

    @property
    def bytes_per_s(self) -> float | None:
        return max(self._samples, default=None)

    def take_off(
        self,
        body_bytes: int,
        *,
        is_full: bool,
        is_backlog: bool,
        is_lone: bool,
        shows_floor: bool,
        is_probe: bool,
        now_s: float,
    ) -> Flight:
        """Note a request that goes out now."""
        if not self.flying:
            self._first_sent_s = self._delivered_s = now_s
        flight = Flight(
            body_bytes,
            is_full=is_full,
            is_backlog=is_backlog,
            is_lone=is_lone,
            sent_s=now_s,
            first_sent_s=self._first_sent_s,
            delivered_before=self._delivered,
            delivered_s=self._delivered_s,
            shows_floor=shows_floor,
            is_probe=is_probe,
        )
        self.flying.append(flight)
        return flight

    def land(self, flight: Flight, *, now_s: float) -> None:
        """Count what its answer shows to be delivered, and measure the rate by it."""
        self.lose(flight)
        self._delivered += flight.body_bytes
        self._delivered_s = now_s
        self._first_sent_s = flight.sent_s
        for other in self.flying:
            other.largest_beside = max(other.largest_beside, flight.body_bytes)
        if _LARGER * flight.body_bytes < flight.largest_beside:
            return  # most of that one was in flight before
        took_s = max(flight.sent_s - flight.first_sent_s, now_s - flight.delivered_s, _LEAST_S)
        rate = (self._delivered - flight.delivered_before) / took_s
        if flight.is_full or rate > (self.bytes_per_s or 0.0):
            self._samples.append(rate)

    def lose(self, flight: Flight) -> None:
        """Count it as no longer in flight."""
        self.flying = [other for other in self.flying if other is not flight]

    def forget(self) -> None:
        """Start over: it is another link."""
        self._samples.clear()


class Floor:
    """Seconds from the first byte of a small request to its answer, on a link that nothing of ours fills."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque()  # ascending in both
        self.noted_s: float | None = None
        """When it was measured last."""

    @property
    def seconds(self) -> float | None:
        return self._samples[0][1] if self._samples else None

    @property
    def window_s(self) -> float:
        return max(FLOOR_WINDOW_S, FLOOR_WINDOW_FLOORS * (self.seconds or 0.0))

    def note(self, took_s: float, *, now_s: float) -> None:
        """Add one measurement; those older than the window are forgotten."""
        self.noted_s = now_s
        while self._samples and self._samples[-1][1] >= took_s:
            self._samples.pop()
        self._samples.append((now_s, took_s))
        window_s = self.window_s
        while now_s - self._samples[0][0] > window_s:
            self._samples.popleft()

    def is_stale(self, *, now_s: float) -> bool:
        """Return whether it should be measured again, before the window forgets the last one."""
        return self.noted_s is None or now_s - self.noted_s > self.window_s / 2

    def forget(self) -> None:
        """Start over."""
        self._samples.clear()
        self.noted_s = None
