"""What reaches the stream of a server: values and confirmations, or that nothing comes any more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Notification:
    """New values, (handle, data value) pairs, and the handles of the nodes whose newest value is confirmed.

    `missed` notifications between `since_ns`, when the message before this one came, and this one never came.
    `sent_time` is the server's clock when it sent this; None when it does not say.
    """

    received_time_ns: int
    since_ns: int
    values: tuple[tuple[int, Any], ...] = ()
    confirmed: frozenset[int] = frozenset()
    missed: int = 0
    sent_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Subscriptions, by id, are no more, while the session may live."""

    reason: str
    ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection or the session is no more. `is_cut`: the connection was ended; a new one may find the session."""

    reason: str
    is_cut: bool = False


Notice = Notification | Ended | Lost
