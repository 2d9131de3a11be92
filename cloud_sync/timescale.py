"""From the times of a gateway's steady clock to UTC: pure arithmetic over batches.

A steady clock counts on from what the wall clock read when the agent began; it has no steps. How far it is from UTC is
known once the wall clock is right, and may change: the wall clock is set, a second leaps. A `Timescale` knows what each
steady time is in UTC.

Constraints
- Steady times in order are in order in UTC too, and no two become one: a wall clock that is set back is followed by
  letting UTC run at a `PACE`th of its speed until it is caught up with.

Times are microseconds. Does not know who learns how far it is off, nor how a block is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import ColumnBatch
from cloud_sync.records import Event

Times = NDArray[np.int64]

PACE: Final = 10
"""While a wall clock that was set back is caught up with: readings half a millisecond apart still differ."""
FAR_BACK_US: Final = 86_400_000_000
"""Beyond a day nothing is caught up with: no central takes times so far ahead, so none of them is in use."""
SHOWN_ERROR_US: Final = 1_000_000
"""While a time is further than this from UTC its quality is capped."""
_ALWAYS_US: Final = -(2**60)
_PIECES: Final = 16
"""Steps remembered, the first among them: what is in the pipeline is seconds old."""


@dataclass(frozen=True, slots=True)
class Piece:
    """From `from_us` on UTC is `by_us` later, but never before `least_us` plus a `PACE`th of what has passed since."""

    from_us: int
    by_us: int
    least_us: int

    def utc_us(self, times: Times) -> Times:
        return np.maximum(times + self.by_us, self.least_us + (times - self.from_us) // PACE)


@dataclass(frozen=True, slots=True)
class Timescale:
    """What the times of one run of an agent are in UTC. The run began at `began_us`."""

    began_us: int
    pieces: tuple[Piece, ...] = field(default=())

    @property
    def by_us(self) -> int:
        """Return how much later UTC is than the steady clock, once the newest step is caught up with."""
        return self.pieces[-1].by_us if self.pieces else 0

    @property
    def is_identity(self) -> bool:
        return all(piece.by_us == 0 for piece in self.pieces)

    def known(self, by_us: int) -> Timescale:
        """Return the scale on which all times of the run are `by_us` later."""
        return Timescale(self.began_us, (Piece(_ALWAYS_US, by_us, _ALWAYS_US + by_us),))

    def stepped(self, at_us: int, by_us: int) -> Timescale:
        """Return the scale that is `by_us` later from the steady time `at_us` on, never back in UTC by up to a day."""
        before_us = self.utc_us(at_us)
        least_us = before_us + 1 if before_us - at_us - by_us <= FAR_BACK_US else at_us + by_us
        kept = self.pieces if len(self.pieces) < _PIECES else (self.pieces[0], *self.pieces[2:])
        return replace(self, pieces=(*kept, Piece(at_us, by_us, least_us)))

    def utc_us(self, time_us: int) -> int:
        return int(self.to_utc(np.array([time_us], np.int64))[0])

    def to_utc(self, times: Times) -> Times:
        """Return these steady times in UTC."""
        utc = times
        for piece in self.pieces:
            utc = np.where(times >= piece.from_us, piece.utc_us(times), utc)
        return utc

    def is_off(self, times: Times) -> NDArray[np.bool_]:
        """Return whether each is further than `SHOWN_ERROR_US` from UTC, while a step back is caught up with."""
        if not self.pieces:
            return np.zeros(len(times), np.bool_)
        newest = self.pieces[-1]
        return (times >= newest.from_us) & (newest.utc_us(times) - times - newest.by_us > SHOWN_ERROR_US)


def batch_in_utc(
    batch: ColumnBatch, scale: Timescale, *, quality_cap: float = 1.0, off_cap: float = 1.0
) -> ColumnBatch:
    """Return the batch with its times in UTC.

    No quality is above `quality_cap`, nor above `off_cap` where the time is off.
    """
    rows = batch.rows
    if len(rows):
        quality = np.minimum(rows.quality, np.where(scale.is_off(rows.time_us), min(off_cap, quality_cap), quality_cap))
        rows = replace(rows, time_us=scale.to_utc(rows.time_us), quality=quality)
    events = tuple(_event_in_utc(event, scale.utc_us) for event in batch.events)
    return ColumnBatch(batch.gateway_id, rows, events)


def _event_in_utc(event: Event, utc_us: Callable[[int], int]) -> Event:
    return replace(event, time_us=utc_us(event.time_us), body=body_in_utc(event.body, utc_us))


def body_in_utc(body: Mapping[str, Any], utc_us: Callable[[int], int]) -> dict[str, Any]:
    """Return an event's body with its times in UTC: the whole numbers whose names end in `_us`."""
    return {key: _in_utc(item, utc_us, key) for key, item in body.items()}


def _in_utc(value: Any, utc_us: Callable[[int], int], name: str) -> Any:
    if isinstance(value, Mapping):
        return body_in_utc(value, utc_us)
    if isinstance(value, list | tuple):
        return [_in_utc(item, utc_us, name) for item in value]
    is_time = name.endswith("_us") and isinstance(value, int) and not isinstance(value, bool)
    return utc_us(value) if is_time else value
