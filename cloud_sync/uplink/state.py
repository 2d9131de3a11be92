"""What is known of the link to the central, and how it is used. Plain values.

Knows what each failure makes of the link; sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cloud_sync.errors import CredentialsError, OutboxError, SyncError, TransientSyncError
from cloud_sync.outbox.store import Depth
from cloud_sync.records import RecordClass, Settlement
from cloud_sync.uplink.congestion import Measured
from cloud_sync.uplink.pacing import MAX_RECORDS
from cloud_sync.uplink.scheduler import LIVE_BLOCKS

HELD_HINT: Final = (
    "nothing is given up while it fits: mend what the reason names, at the central or in this gateway's file; "
    "it is asked again by itself. Afterwards: edge-agent outbox dead-letters, and requeue"
)


class LinkState(StrEnum):
    STARTING = "starting"
    ONLINE = "online"
    OFFLINE = "offline"  # no usable answer; trying again
    REFUSED = "refused"  # our credentials are not accepted
    REFUSES_ALL = "refuses_all"  # it answers, and takes nothing of a class of records: they are held
    BLOCKED = "blocked"  # our own disk does not let us settle


OUTAGES_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Outage:
    """A link that delivered was lost: when, and with which words."""

    since_ns: int
    error: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class UplinkState:
    """`since_ns` is when this link state began; `error` and `hint` say why it is not online."""

    link: LinkState
    since_ns: int
    accepted_total: int = 0
    duplicates_total: int = 0
    refused_total: int = 0
    batches_total: int = 0
    sent_bytes_total: int = 0
    failures: int = 0
    last_settled_ns: int | None = None
    error: str | None = None
    hint: str | None = None
    measured: Measured | None = None
    outages: tuple[Outage, ...] = ()
    """The newest, at most `OUTAGES_KEPT`; one that is over is one too, a central that is busy is none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How the link is used."""

    backoff_max_s: float
    live_weight: float = 3.0
    in_flight: int = 8
    """At most; more than two with old records only while more of them deliver more."""
    max_bytes_per_s: float | None = None
    """For the backlog; what is live is charged to it, and does not wait."""
    stagger_s: float = 0.0
    """After an outage the backlog waits for a random part of this."""
    live_blocks: int = LIVE_BLOCKS
    """So many of the newest are live; what is older is backlog, and goes in requests of its own."""
    coalesce_records: int = MAX_RECORDS
    answer_timeout_s: float = 30.0
    """The transport's; a body is kept so small that it travels in less."""


def checked(settlement: Settlement, count: int) -> Settlement:
    """Return an answer that fits the batch. Raises TransientSyncError: another one settles nothing."""
    positions = {refusal.index for refusal in settlement.refused}
    fits = len(positions) == len(settlement.refused) and all(0 <= position < count for position in positions)
    if fits and min(settlement.accepted, settlement.duplicates) >= 0 and len(settlement) == count:
        return settlement
    raise TransientSyncError(
        f"the central's answer accounts for {len(settlement)} records, the batch has {count}",
        hint="the address may belong to another service; check central.url",
    )


def _link_after(exc: SyncError) -> LinkState:
    if isinstance(exc, CredentialsError):
        return LinkState.REFUSED
    if isinstance(exc, OutboxError):
        return LinkState.BLOCKED
    return LinkState.OFFLINE


def failed(state: UplinkState, exc: SyncError, *, now_ns: int) -> UplinkState:
    """Return what is known of the link after this failure."""
    link = _link_after(exc)
    return replace(
        state,
        link=link,
        since_ns=state.since_ns if state.link is link else now_ns,
        # A limit that lets some records through at a time is no outage: its back-off does not grow.
        failures=1 if isinstance(exc, TransientSyncError) and exc.made_progress else state.failures + 1,
        error=exc.full_message,
        hint=exc.hint,
        outages=_with(state, exc, now_ns) if link is LinkState.OFFLINE else state.outages,
    )


def _with(state: UplinkState, exc: SyncError, now_ns: int) -> tuple[Outage, ...]:
    is_busy = isinstance(exc, TransientSyncError) and (exc.made_progress or exc.retry_after_s is not None)
    if state.link is not LinkState.ONLINE or is_busy:
        return state.outages
    return (*state.outages, Outage(now_ns, exc.full_message, exc.hint))[-OUTAGES_KEPT:]


def words_of_held(held: Mapping[RecordClass, str], depth: Depth) -> str | None:
    """Return in words what is held, each class with its last reason; None when nothing is."""
    waiting = {name: of_class.records for name, of_class in depth.by_class}
    words = (
        f"the central refuses every {of.value}: {waiting.get(of.value, 0)} wait, the last reason: {reason}"
        for of, reason in held.items()
    )
    return "; ".join(words) or None
