"""The central's answer to a batch, as JSON, the same over HTTP and MQTT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cloud_sync.central.database.shares import TurnedAwayError
from cloud_sync.central.errors import AWAY, CentralError, DatabaseAwayError
from cloud_sync.host.printable import printable
from cloud_sync.records import Refusal, Settlement
from cloud_sync.row_rules import MAX_DETAIL_CHARS
from cloud_sync.twins import Notice, notice_fields

GIVEN_IN_FULL: Final = 100
"""Refusals of one code in one answer: 100,000 of them then take 6 MB and not 30."""
RETRY_AFTER_S: Final = 2  # a PostgreSQL that restarts is back within a second or two


def not_stored(error: CentralError) -> str:
    """Return what a gateway is told: never the message for the log, which may name hosts and users."""
    return error.public_message if isinstance(error, DatabaseAwayError) else AWAY


def too_fast(gateway_id: str) -> str:
    """Return what a gateway is told that has used up what it may send."""
    return f"gateway {gateway_id} sends too fast"


def turned_away(gateway_id: str, error: TurnedAwayError) -> str:
    """Return what a gateway is told for whose request there is no place."""
    if error.is_own_doing:
        return f"gateway {gateway_id} has too many requests here at the same time; nothing was stored"
    return "the central has more to do than it can; nothing was stored"


def settled(batch_id: str, settlement: Settlement, notice: Notice | None = None) -> dict[str, Any]:
    """Return the answer after COMMIT: every row and event accounted for, and the notice of another box.

    Of many refusals with one code the first are given in full, the others by the position of the first.
    """
    return {
        "batch_id": batch_id,
        "committed": True,
        "accepted": settlement.accepted,
        "duplicates": settlement.duplicates,
        "rejected": _rejected(settlement.refused),
        **({} if notice is None else {"twin": notice_fields(notice)}),
    }


def _rejected(refusals: Sequence[Refusal]) -> list[dict[str, Any]]:
    given: dict[str, list[int]] = {}
    listed = []
    for refusal in refusals:
        alike = given.setdefault(refusal.code, [])
        is_in_full = len(alike) < GIVEN_IN_FULL
        if is_in_full:
            alike.append(refusal.index)
        detail = printable(refusal.detail, limit=MAX_DETAIL_CHARS) if is_in_full else f"as position {alike[0]}"
        listed.append({"index": refusal.index, "code": refusal.code, "detail": detail})
    return listed
