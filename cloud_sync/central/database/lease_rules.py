"""Who may send under a gateway id: from what is known of the lease and of the sender alone. Knows no database.

| the sender | while the holder is heard | once it was silent for its lease |
|---|---|---|
| is the holder | renews | renews |
| is a later start of the holder's installation | takes it: a restart | takes it |
| is another installation | is held: `duplicate` | takes it: `replaced` |
| has the holder's start number and is another run, or was held back before | is held: `clone` | takes it: `restored` |
| is an earlier start of the holder's installation | is held: `older` | takes it: `restored` |

A later start counts as a restart only while nobody knows of a second live box with this installation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cloud_sync.twins import Sender


class SenderKind(StrEnum):
    """How a sender stands to the holder."""

    HOLDER = "holder"
    FIRST = "first"
    RESTARTED = "restarted"
    REPLACED = "replaced"
    RESTORED = "restored"
    DUPLICATE = "duplicate"
    CLONE = "clone"
    OLDER = "older"


HELD: Final = frozenset((SenderKind.DUPLICATE, SenderKind.CLONE, SenderKind.OLDER))
QUIET: Final = frozenset((SenderKind.HOLDER, SenderKind.FIRST, SenderKind.RESTARTED))
"""What happens every day, and is told to nobody."""


@dataclass(frozen=True, slots=True)
class Held:
    """The lease as it stands."""

    instance: str
    incarnation: int
    run: str
    expired: bool = False


def judge(held: Held | None, sender: Sender, *, is_known: bool = False, is_contested: bool = False) -> SenderKind:
    """Return how the sender stands to the lease; what is in `HELD` may not send now.

    `is_known`: its run was held back before, or had the lease and lost it, so it is no later start. `is_contested`: two
    live boxes have this installation, so a later start may be of either.
    """
    if held is None:
        return SenderKind.FIRST
    if sender.run == held.run:
        return SenderKind.HOLDER
    if sender.instance != held.instance:
        return SenderKind.REPLACED if held.expired else SenderKind.DUPLICATE
    if sender.incarnation > held.incarnation and not is_known and (held.expired or not is_contested):
        return SenderKind.RESTARTED
    if held.expired:
        return SenderKind.RESTORED
    return SenderKind.OLDER if sender.incarnation < held.incarnation else SenderKind.CLONE
