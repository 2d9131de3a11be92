"""What the central said about a batch, from JSON, the same over HTTPS and MQTT.

Constraints
- Only a well-formed answer about this very batch, after COMMIT, is a settlement.
- An answer that is none is an error with a name; nothing in it is guessed.
- What is passed on of its texts is one printable line each: they end in the log, on a terminal and in a row.
"""

from __future__ import annotations

import math
from typing import Any, Final

from cloud_sync.errors import GatewayIdInUseError, TransientSyncError
from cloud_sync.host.printable import printable
from cloud_sync.records import Refusal, Settlement
from cloud_sync.strict_json import parse_json
from cloud_sync.twins import notice_of

MAX_ANSWER_BYTES: Final = 8_000_000
"""20,000 refusals, as many as one request has records, of 400 bytes each. Of an answer that is longer nothing is
believed, and the next request is smaller."""

MAX_RETRY_AFTER_S: Final = 3_600.0  # a central that asks for more is mistaken, not busy
DETAIL_CHARS: Final = 500
CODE_CHARS: Final = 100
KEY_HINT: Final = "put this gateway's key into central.api_key_file, or the credential central-api-key, and restart"
_MOST_RECORDS: Final = 10_000_000  # of one batch, whatever made it: a count beyond is no count
_FAULTS: Final = 20
_SCALARS: Final = (str, int, float, type(None))
_NO_DETAIL: Final = "no detail given"


def settlement_of(answer: bytes, *, batch_id: str, hint: str | None = None) -> Settlement:
    """Return what an answer settles. Raises TransientSyncError, with `hint`, unless it settles this batch."""
    if answer.lstrip()[:1] == b"<":
        raise TransientSyncError(f"the answer does not settle batch {batch_id}: it is a web page", hint=hint)
    if not answer.strip():
        raise TransientSyncError(f"the answer does not settle batch {batch_id}: it is empty", hint=hint)
    try:
        return _settlement(parse_json(answer, max_bytes=MAX_ANSWER_BYTES), batch_id)
    except KeyError as exc:
        reason = f"it lacks {exc}"
    except (TypeError, ValueError) as exc:
        reason = str(exc)
    raise TransientSyncError(
        f"the answer does not settle batch {batch_id}: {printable(reason, limit=DETAIL_CHARS)}", hint=hint
    )


def document_in(answer: bytes) -> dict[str, Any]:
    """Return the object that an answer is; an empty one when it is none, such as a proxy's page."""
    try:
        said = parse_json(answer, max_bytes=MAX_ANSWER_BYTES)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def in_use(said: dict[str, Any], *, retry_after_s: float | None) -> GatewayIdInUseError | None:
    """Return the error of an answer that holds this box back; None when it does not say which box has the id."""
    notice, free_in_s = notice_of(said.get("twin")), said.get("free_in_s")
    if notice is None:
        return None
    is_number = isinstance(free_in_s, int | float) and not isinstance(free_in_s, bool) and math.isfinite(free_in_s)
    return GatewayIdInUseError(notice, free_in_s=free_in_s if is_number else None, retry_after_s=retry_after_s)


def detail_in(said: dict[str, Any]) -> str:
    """Return the central's own words when there are any: a text, or the faults of a request outside its schema."""
    match said.get("detail"):
        case str(detail):
            return printable(detail, limit=DETAIL_CHARS)
        case [*faults]:
            return printable("; ".join(filter(None, map(_fault, faults[:_FAULTS]))), limit=DETAIL_CHARS) or _NO_DETAIL
        case _:
            return _NO_DETAIL


def shown(value: object) -> str:
    """Return a value as a message names it; of a list or an object only that it is one, however deep it goes."""
    return printable(repr(value), limit=CODE_CHARS) if isinstance(value, _SCALARS) else f"a {type(value).__name__}"


def _fault(one: object) -> str | None:
    match one:
        case {"loc": [*places], "msg": str(message)}:
            return f"{'.'.join(str(place) for place in places if isinstance(place, str | int))}: {message}"
        case _:
            return None


def _settlement(said: dict[str, Any], batch_id: str) -> Settlement:
    if said["committed"] is not True:
        raise ValueError("it does not say committed")
    if said["batch_id"] != batch_id:
        raise ValueError(f"it is about batch {shown(said['batch_id'])}")
    if not isinstance(said["rejected"], list):
        raise TypeError("rejected is not a list")
    refused = tuple(_refusal(item) for item in said["rejected"])
    if len({refusal.index for refusal in refused}) != len(refused):
        raise ValueError("it refuses the same position twice")
    return Settlement(_count(said["accepted"]), _count(said["duplicates"]), refused, notice_of(said.get("twin")))


def _refusal(item: dict[str, Any]) -> Refusal:
    code, detail = item["code"], item["detail"]
    if not (isinstance(code, str) and isinstance(detail, str)):
        raise TypeError("a refusal's code and detail are texts")
    return Refusal(_count(item["index"]), printable(code, limit=CODE_CHARS), printable(detail, limit=DETAIL_CHARS))


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_RECORDS:
        raise ValueError(f"{shown(value)} is not a count")
    return value
