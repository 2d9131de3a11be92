"""What the central says about a batch, as JSON, the same over HTTP and MQTT."""

from __future__ import annotations

from typing import Any, Final

from cloud_sync.central.errors import CentralError, DatabaseAwayError
from cloud_sync.central.writing import AWAY
from cloud_sync.records import Settlement

RETRY_AFTER_S: Final = 2  # a PostgreSQL that restarts is back within a second or two


def not_stored(error: CentralError) -> str:
    """What a gateway is told: never the message for the log, which may name hosts and users."""
    return error.told if isinstance(error, DatabaseAwayError) else AWAY


def too_fast(gateway_id: str) -> str:
    """What a gateway is told that has used up what it may send."""
    return f"gateway {gateway_id} sends too fast"


def settled(batch_id: str, settlement: Settlement) -> dict[str, Any]:
    """The answer after COMMIT: every row and event is accounted for."""
    return {
        "batch_id": batch_id,
        "committed": True,
        "accepted": settlement.accepted,
        "duplicates": settlement.duplicates,
        "rejected": [{"index": r.index, "code": r.code, "detail": r.detail} for r in settlement.refused],
    }
