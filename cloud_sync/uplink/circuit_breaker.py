"""The circuit breaker against a central that refuses everything: its records are held, and are no dead letters.

Constraints
- After `PATIENCE` refusals in a row of one class of records no more of them become dead letters, until the central is
  known to take others of that class.
- A record that is refused both before and after the central took others is bad by itself, and is not held.

Counts only; `probe` asks. Does not know the outbox nor a transport.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cloud_sync.records import NO_EVENTS, RecordClass, Refusal, Settlement

PATIENCE: Final = 3
"""Blocks refused altogether, or single records of a block that was halved, without one that was taken between them."""
_MOST_SUSPECTS: Final = 1_000


class NothingTakenError(Exception):
    """Of this class nothing is taken any more; never leaves the uplink."""

    def __init__(self, of: RecordClass, reason: str) -> None:
        super().__init__(reason)
        self.of = of
        self.reason = reason


@dataclass(slots=True)
class CircuitBreaker:
    """`held` are the classes that are held, each with the central's last reason."""

    held: dict[RecordClass, str] = field(default_factory=dict)
    _refused_in_a_row: dict[RecordClass, int] = field(default_factory=dict)
    _taken: dict[RecordClass, int] = field(default_factory=dict)
    _suspects: dict[str, int] = field(default_factory=dict)

    def record_answer(self, of: RecordClass, answer: Settlement) -> None:
        """Close it for this class when something was taken, or was there already."""
        if answer.accepted or answer.duplicates:
            self._taken[of] = self._taken.get(of, 0) + 1
            self._refused_in_a_row.pop(of, None)
            self.held.pop(of, None)

    def count_refused(self, of: RecordClass, number: int = 1) -> bool:
        """Count refusals, and return whether they are too many in a row to go on without asking."""
        self._refused_in_a_row[of] = self._refused_in_a_row.get(of, 0) + number
        return self._refused_in_a_row[of] >= PATIENCE

    def hold(self, nothing: NothingTakenError) -> None:
        self.held[nothing.of] = nothing.reason

    def suspect(self, of: RecordClass, batch_id: str) -> None:
        """Remember a batch that was refused altogether while nothing else was known to be taken."""
        self._suspects.setdefault(batch_id, self._taken.get(of, 0))
        if len(self._suspects) > _MOST_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    def is_suspect(self, batch_id: str) -> bool:
        """Return whether it was refused so before: then it can be no probe."""
        return batch_id in self._suspects

    def are_bad_by_themselves(self, of: RecordClass, batch_ids: Iterable[str]) -> bool:
        """Return whether the central took others since each of these was suspected, and refuses them still."""
        now = self._taken.get(of, 0)
        return all(self._suspects.get(batch_id, now) < now for batch_id in batch_ids)


def refused_altogether(answer: Settlement) -> Refusal | None:
    """Return the first refusal, when nothing was taken. Having no place for events says nothing of others."""
    told = [refusal for refusal in answer.refused if refusal.code != NO_EVENTS]
    return told[0] if told and not answer.accepted and not answer.duplicates else None
