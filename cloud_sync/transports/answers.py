"""What the central said about a batch, from JSON, the same whichever way it came.

Constraints
- Only a well-formed answer about this very batch, after COMMIT, is a settlement.
- An answer that is none is an error with a name; nothing in it is guessed.
"""

from __future__ import annotations

import json
from typing import Any, Final

from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Refusal, Settlement

MAX_ANSWER_BYTES: Final = 32_000_000  # 100,000 refusals with their reasons
MAX_RETRY_AFTER_S: Final = 3_600.0  # a central that asks for more is mistaken, not busy
DETAIL_CHARS: Final = 500


def settlement_of(answer: bytes, *, batch_id: str, hint: str | None = None) -> Settlement:
    """What an answer says. Raises TransientSyncError, with `hint`, unless it settles this batch."""
    try:
        return _settlement(json.loads(answer), batch_id)
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise TransientSyncError(
            f"the answer does not settle batch {batch_id}: {exc or type(exc).__name__}", hint=hint
        ) from exc


def _settlement(said: dict[str, Any], batch_id: str) -> Settlement:
    if said["committed"] is not True:
        raise ValueError("it does not say committed")
    if said["batch_id"] != batch_id:
        raise ValueError(f"it is about batch {said['batch_id']!r}")
    refused = tuple(_refusal(item) for item in said["rejected"])
    if len({refusal.index for refusal in refused}) != len(refused):
        raise ValueError("it refuses the same position twice")
    return Settlement(_count(said["accepted"]), _count(said["duplicates"]), refused)


def _refusal(item: dict[str, Any]) -> Refusal:
    code, detail = item["code"], item["detail"]
    if not (isinstance(code, str) and isinstance(detail, str)):
        raise TypeError("a refusal's code and detail are texts")
    return Refusal(_count(item["index"]), code, detail)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
