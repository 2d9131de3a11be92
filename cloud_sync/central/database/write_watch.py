"""Whether the database takes what it is given: a server that answers questions may still refuse every write.

Constraints
- Known from what became of the last batch, not from a probe: on a full disk a row may fit into a page that is there
  already, while the batches that have to extend a table are refused.
- The message goes to gateways: it names no host, no user and no statement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloud_sync.central.errors import AWAY

_REFUSALS: Final = {
    "53100": "the central's database has no free space; nothing was stored",
    "25006": "the central's database is read-only; nothing was stored",
    "42501": "the central's user may not write to its database; nothing was stored",
    "58030": "the central's database cannot write to its disk; nothing was stored",
}
"""By SQLSTATE: what another try does not mend, and somebody at the central must."""

FRESH_S: Final = 120.0
"""Gateways that are refused come back within `central.backoff_max_s`, 60 s: after twice that nobody has tried."""


@dataclass(frozen=True, slots=True)
class WriteFailure:
    """The last batch that was not stored, when it was the newest one."""

    reason: str
    age_s: float

    @property
    def is_fresh(self) -> bool:
        return self.age_s < FRESH_S


class WriteWatch:
    """Remembers what became of the last batch."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._refused: tuple[str, float] | None = None

    def stored(self) -> None:
        self._refused = None

    def failed(self, reason: str) -> None:
        """Remember a refusal to write, nothing else: a server that is away is seen by asking it anything."""
        if reason != AWAY:
            self._refused = (reason, self._monotonic_s())

    @property
    def failure(self) -> WriteFailure | None:
        if self._refused is None:
            return None
        reason, at_s = self._refused
        return WriteFailure(reason, self._monotonic_s() - at_s)


def public_reason(error: BaseException) -> str:
    """Return what a gateway is told of an error of the database."""
    return _REFUSALS.get(getattr(error, "sqlstate", None) or "", AWAY)
