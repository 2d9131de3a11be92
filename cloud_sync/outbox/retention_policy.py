"""What is given up first when the outbox has reached a bound, and how that is reported: pure policy.

Constraints
- Events are never given up.
- Readings are thinned to every second one per series, the oldest first, before any of them is dropped; the newer half
  of the space stays as it was recorded.
- Everything given up is reported to the central as a gap event with a cause, a span and a count.

Does not know SQLite.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from cloud_sync.records import Batch, Event, EventKind, Row

US_PER_DAY: Final = 86_400_000_000
RESERVE_SHARE: Final = 16
"""One part in 16 of the bound is for events and for what settling itself needs."""
SLACK_SHARE: Final = 64
MOST_SLACK_BYTES: Final = 256_000
"""A little more is given up than asked for, so that the next flushes find space; 1/4 MB is a second's work."""


class LossCause(StrEnum):
    """Why readings are missing at the central; the causes of our gap events."""

    THINNED = "thinned"
    EVICTED = "evicted"
    DAMAGED = "damaged"


class Limit(StrEnum):
    """What ends the space of readings, by the name of its setting."""

    BYTES = "max_bytes"
    DISK_FLOOR = "min_free_bytes"


class EvictionStep(StrEnum):
    THIN = "thin"  # the oldest that are still whole
    DROP = "drop"  # the oldest


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of the file, and microseconds of age of a reading (None: any age).

    `disk_bytes`: what the file may hold before the disk's free space is at its floor; None when there is no floor.
    """

    max_bytes: int
    max_age_us: int | None = None
    disk_bytes: int | None = None

    def on_disk(self, disk_bytes: int, *, used_bytes: int) -> Bounds:
        """Return them with the disk floor. Below it the outbox stops growing; its backlog does not pay for others."""
        return replace(self, disk_bytes=max(disk_bytes, used_bytes))

    def own_bytes(self, *, has_readings: bool) -> int:
        """Return the bound that nothing passes; the last part of it is for events."""
        return self.max_bytes - self.max_bytes // RESERVE_SHARE if has_readings else self.max_bytes

    def bytes_for(self, *, has_readings: bool) -> int:
        """Return the bytes from which on readings are given up for an append."""
        own = self.own_bytes(has_readings=has_readings)
        return own if self.disk_bytes is None else min(own, self.disk_bytes)

    @property
    def reading_bytes(self) -> int:
        """Return up to where readings fill the file; the rest is for events."""
        return self.bytes_for(has_readings=True)

    @property
    def limit(self) -> Limit:
        """Return which of the two bounds counts for readings now."""
        return Limit.BYTES if self.reading_bytes == self.own_bytes(has_readings=True) else Limit.DISK_FLOOR

    @property
    def slack_bytes(self) -> int:
        return min(MOST_SLACK_BYTES, self.max_bytes // SLACK_SHARE)

    def expired_before_us(self, now_us: int) -> int | None:
        """Return the time before which readings are of no use to the central any more."""
        return None if self.max_age_us is None else now_us - self.max_age_us


def next_step(*, thinned_bytes: int, whole_bytes: int) -> EvictionStep | None:
    """Return what to do for space, by the bytes of thinned and of whole readings. None when there are none."""
    if thinned_bytes + whole_bytes == 0:
        return None
    return EvictionStep.THIN if thinned_bytes < whole_bytes else EvictionStep.DROP


@dataclass(frozen=True, slots=True)
class Loss:
    """Records given up: first and last time (UTC, microseconds), and how many; None when nobody can know."""

    start_us: int
    end_us: int
    count: int | None

    def plus(self, other: Loss) -> Loss:
        known = self.count is not None and other.count is not None
        total = (self.count or 0) + (other.count or 0)
        return Loss(min(self.start_us, other.start_us), max(self.end_us, other.end_us), total if known else None)


def loss_of(rows: list[Row]) -> Loss | None:
    if not rows:
        return None
    times = [row.time_us for row in rows]
    return Loss(min(times), max(times), len(rows))


def loss_event(cause: LossCause, loss: Loss, *, subject: str, now_us: int, detail: str) -> Event:
    body: dict[str, object] = {
        "cause": cause.value, "start_us": loss.start_us, "end_us": loss.end_us, "detail": detail,
    }  # fmt: skip
    if loss.count is not None:
        body["count"] = loss.count
    return Event(uuid.uuid4().hex, EventKind.GAP, subject, now_us, body)


@dataclass(slots=True)
class Thinner:
    """Keeps every second row of each series, also across blocks that hold one row of it each."""

    _skips_next: dict[str, bool] = field(default_factory=dict)

    def thin(self, batch: Batch) -> tuple[Batch, Loss | None]:
        """Return what is kept, and what is not."""
        kept: list[Row] = []
        lost: list[Row] = []
        for row in batch.rows:
            name = row.series.sensor_id
            skips = self._skips_next.get(name, False)
            (lost if skips else kept).append(row)
            self._skips_next[name] = not skips
        return Batch(batch.gateway_id, tuple(kept), batch.events), loss_of(lost)
