"""Keeps the steady clock's scale true, and has what was stamped before mended in the outbox.

Constraints
- Nothing is sent with a time that may yet be mended; what is decided is durable before anything is sent by it.
- Whatever happens to the clock is told to the central, once, by an event with the right time.
- A disk that refuses stops nothing: what was decided is tried again each second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from cloud_sync.columns import RowColumns
from cloud_sync.errors import OutboxError
from cloud_sync.outbox.clock_tables import Epoch
from cloud_sync.outbox.epoch_placement import BoundedBoot, place_epochs
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.outbox.writer import Stamping
from cloud_sync.records import Batch, Event, EventKind
from cloud_sync.transports.central_time import CentralTime
from edge_agent.core.clock import instant
from edge_agent.core.quality import UNSYNCED_CLOCK_CAP
from edge_agent.health.clock_quality import ClockQuality
from edge_agent.health.clock_watch import Change, ChangeKind, ClockState, ClockWatch
from edge_agent.health.steady_clock import SteadyClock

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
_MENDED_AT_ONCE: Final = 32
"""Blocks in one transaction: some ten milliseconds, and a log that fits into the disk reserve."""
_CHECKED: Final = (ChangeKind.STEPPED, ChangeKind.AGREES, ChangeKind.CENTRALS)
"""After these no record is newer than now: the clock was set, or somebody else says so."""
_BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


def this_boot() -> str:
    """Return the kernel's name of this boot; one that never comes again where it has none."""
    try:
        return _BOOT_ID_FILE.read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class ClockHealth:
    """How the clock is. `wall_us` is what it says, `off_us` by how much it was behind when the agent began, if known;
    `hold_left_s` of the central in reach until what is held goes; `not_believed_us` is a step not followed.

    `off_central_us` is how much later it is than the central's clock, which is known `within_us`; `is_far_off`: times
    that are sent have been contradicted by several answers, since `differs_since_us`, by the central's time.
    """

    is_synced: bool
    state: ClockState
    wall_us: int
    is_possible: bool
    up_s: float
    running_s: float
    held_records: int
    hold_left_s: float
    not_believed_us: int | None
    off_us: int
    off_central_us: int | None = None
    within_us: int = 0
    agrees: bool = False
    is_far_off: bool = False
    differs_since_us: int | None = None


class ClockKeeper:
    """One per agent. `begin` once the outbox is open, then `run`."""

    def __init__(
        self,
        steady: SteadyClock,
        quality: ClockQuality,
        outbox: Outbox,
        *,
        gateway_id: str,
        hold_s: float,
        boot_id: str,
        is_online: Callable[[], bool],
        record_rows: Callable[[RowColumns], None] | None = None,
        central_time: CentralTime | None = None,
    ) -> None:
        self.watch = ClockWatch(steady, boot_id=boot_id, hold_s=hold_s)
        self.last_seen_us: int | None = None
        """The time of the newest record from before this run, UTC, as far as known."""
        self._steady = steady
        self._quality = quality
        self._outbox = outbox
        self._gateway_id = gateway_id
        self._boot_id = boot_id
        self._is_online = is_online
        self._central_time = central_time or CentralTime()
        self._held_records = 0
        self._began_s = steady.monotonic_s()
        self._record_rows = record_rows
        self._to_note: list[Callable[[], None]] = []
        self._waiting: list[Callable[[], Awaitable[None]]] = []

    def stamping(self) -> Stamping:
        """Return how what is made durable now gets its time."""
        if self.watch.state is ClockState.HELD:
            return Stamping(epoch=self.watch.epoch)
        cap = UNSYNCED_CLOCK_CAP if self.watch.state is not ClockState.KNOWN and not self._quality() else 1.0
        return Stamping(self._steady.scale, quality_cap=cap, off_cap=UNSYNCED_CLOCK_CAP)

    def is_trusted(self) -> bool:
        """Return whether readings may have their full quality: the clock is right, or is set right later."""
        return self.watch.state is ClockState.HELD or self._quality()

    @property
    def began_us(self) -> int:
        """Return when this run began, UTC, as far as known."""
        return self._steady.scale.utc_us(self._steady.scale.began_us)

    @property
    def is_utc(self) -> bool:
        """Return whether the agent's own clock shows UTC, as far as known."""
        return self._steady.scale.is_identity

    async def begin(self) -> None:
        """Find out what is known of the clock. Raises OutboxError."""
        records = await asyncio.to_thread(self._outbox.held.clock_records)
        self.last_seen_us = (await asyncio.to_thread(self._outbox.counters))["last_append_us"] or None
        self.watch.begin(self._quality.look(), known=records.known, newest_us=self.last_seen_us)
        is_held = self.watch.state is ClockState.HELD
        self._to_note.append(self._announce if is_held else partial(self._settle, None))
        try:
            await self._record_all()
        except OutboxError as exc:
            _log_unrecorded(exc)

    async def run(self, on_change: Callable[[], None] = lambda: None) -> None:
        """Look at the clock each second until cancelled; `on_change` when something may be sent that was held."""
        while True:
            try:
                if await self.look():
                    on_change()
            except OutboxError as exc:
                _log_unrecorded(exc)
            await self._steady.sleep(LOOK_EVERY_S)

    async def look(self) -> bool:
        """Look once, and do what follows. True when blocks were mended. Raises OutboxError."""
        central = self._central_time.clock
        change = self.watch.look(self._quality.look(), is_online=self._is_online(), central=central)
        if change is not None:
            logger.warning("%s", _in_words(change))
            self._to_note.append(partial(self._settle, change))
        await self._record_all()
        while self._waiting and self.watch.state is not ClockState.HELD:
            await self._waiting[0]()
            del self._waiting[0]
        was_mended = False
        while await asyncio.to_thread(self._outbox.held.mend, _MENDED_AT_ONCE, record_rows=self._record_rows):
            was_mended = True
        return was_mended

    async def when_known(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work now, or once this run's times are no longer held."""
        if self.watch.state is ClockState.HELD:
            self._waiting.append(work)
        else:
            await work()

    def record_utc(self, event: Event) -> None:
        """Make an event durable whose times are UTC already. Raises OutboxError."""
        self._outbox.append([NewBlock.of(Batch(self._gateway_id, events=(event,)))])

    def health(self) -> ClockHealth:
        """Return how the clock is, for the status."""
        watch = self.watch
        with contextlib.suppress(OutboxError):  # which is said elsewhere
            self._held_records = self._outbox.held.records()
        return ClockHealth(
            is_synced=self._quality(),
            state=watch.state,
            wall_us=watch.wall_us,
            is_possible=watch.is_possible,
            up_s=self._steady.boottime_ns() / 1e9,
            running_s=self._steady.monotonic_s() - self._began_s,
            held_records=self._held_records,
            hold_left_s=max(0.0, watch.hold_s - watch.held_s),
            not_believed_us=watch.not_believed_us,
            off_us=self._steady.scale.by_us,
            off_central_us=watch.off_central_us,
            within_us=0 if watch.central is None else watch.central.within_us,
            agrees=watch.agrees,
            is_far_off=watch.is_far_off,
            differs_since_us=watch.differs_since_us,
        )

    async def _record_all(self) -> None:
        """In order; what the disk refuses stays for the next time."""
        while self._to_note:
            await asyncio.to_thread(self._to_note[0])
            del self._to_note[0]

    def _settle(self, change: Change | None) -> None:
        """Note what is known now, and tell of the change."""
        if change is not None and change.kind is ChangeKind.NOT_BELIEVED:
            self._outbox.held.decide((), events=[self._annotation(_in_words(change))])
            return
        records = self._outbox.held.clock_records()
        here = (self._boot_id, self.watch.known_offset_us)
        known = here if self.watch.state is ClockState.KNOWN else None
        others = [records.known] if records.known is not None and records.known[0] != self._boot_id else []
        still_open = [epoch for epoch in records.epochs if epoch.by_us is None]
        last_us = self._outbox.held.last_times() if still_open else {}
        found = place_epochs(still_open, last_us, [*others, here])
        own_id = None if self.watch.epoch is None else self.watch.epoch.id
        earlier_us = [last_us.get(e.id, e.began_us) + (e.by_us or 0) for e in found.epochs if e.id != own_id]
        if earlier_us:
            self.last_seen_us = max([self.last_seen_us or 0, *earlier_us])
        decided = [self._with_quality(epoch) for epoch in found.epochs]
        events = [self._annotation(_bounds_in_words(one), *_bounds(one)) for one in found.bounded]
        if change is not None:
            events.append(self._annotation(_in_words(change)))
        if decided or events or (known is not None and known != records.known):
            is_set = known is not None or (change is not None and change.kind in _CHECKED)
            now_us = self._steady.to_utc(self._steady.now_ns()) // 1000
            self._outbox.held.decide(decided, known=known, events=events, not_after_us=now_us if is_set else None)

    def _with_quality(self, epoch: Epoch) -> Epoch:
        """Of a boot whose clock was never synchronised no reading claims more than an unsynchronised clock allows."""
        is_right = self.watch.state is ClockState.KNOWN and not self.watch.is_set_by_hand
        if is_right or epoch.quality_cap is not None:
            return epoch
        return replace(epoch, quality_cap=UNSYNCED_CLOCK_CAP)

    def _announce(self) -> None:
        """Sent although the time is not known: only its answer says that the central is in reach."""
        says = instant(self.watch.wall_us, "seconds")
        text = (
            f"the clock is not synchronised since the boot and says {says}; what is measured is held until it is right"
        )
        self._outbox.held.decide((), events=[self._block(text, self.watch.not_before_us, {})])

    def _annotation(self, text: str, *bounds: tuple[str, int]) -> NewBlock:
        return self._block(text, self._steady.to_utc(self._steady.now_ns()) // 1000, dict(bounds))

    def _block(self, text: str, time_us: int, more: dict[str, int]) -> NewBlock:
        event = Event(uuid.uuid4().hex, EventKind.ANNOTATION, self._gateway_id, time_us, {"text": text, **more})
        return NewBlock.of(Batch(self._gateway_id, events=(event,)))


def _log_unrecorded(exc: OutboxError) -> None:
    logger.warning("what is known of the clock cannot be recorded yet: %s", exc.message)


def _bounds(one: BoundedBoot) -> Sequence[tuple[str, int]]:
    return [
        ("start_us", one.start_us), ("end_us", one.end_us),
        ("not_before_us", one.not_before_us), ("not_after_us", one.not_after_us),
    ]  # fmt: skip


def _bounds_in_words(one: BoundedBoot) -> str:
    return (
        f"the box was switched off before its clock was ever right: when the readings from "
        f"{instant(one.start_us, 'seconds')} to {instant(one.end_us, 'seconds')} were taken is only known to lie "
        f"between {instant(one.not_before_us, 'seconds')} and {instant(one.not_after_us, 'seconds')}"
    )


def _in_words(change: Change) -> str:
    by, within = how_far(change.step_us), f"{change.within_us / 1e6:.1f} s"
    match change.kind:
        case ChangeKind.SYNCHRONISED if abs(change.step_us) < 1_000_000:
            return "the clock is synchronised, and was right before"
        case ChangeKind.SYNCHRONISED:
            return f"the clock is synchronised; it was {by}, and what was stamped meanwhile is mended"
        case ChangeKind.SET:
            return f"the clock was set by hand; it was {by}, and what was stamped meanwhile is mended"
        case ChangeKind.GIVEN_UP:
            return "the clock was not synchronised in time: readings go as they are, with less quality"
        case ChangeKind.AGREES:
            return (
                f"the clock is not synchronised, and agrees with the central's within {within}: readings go as they "
                "are, with less quality"
            )
        case ChangeKind.CENTRALS:
            return (
                f"the clock is {beside_the_centrals(-change.step_us)} and nobody sets it: times are the central's, "
                f"within {within}, and readings go with less quality"
            )
        case ChangeKind.LEAPT:
            return f"a leap second: the clock was {by}"
        case ChangeKind.STEPPED:
            back = "; until it has caught up, times are close together and marked" if change.step_us < 0 else ""
            return f"the clock was set while readings were sent by it; it was {by}{back}"
        case ChangeKind.NOT_BELIEVED:
            return (
                f"the clock was set by {change.step_us / 1e6:+.0f} s without being synchronised, which is not followed"
            )


def beside_the_centrals(off_us: int) -> str:
    """Return in words how much later than the central's a clock is."""
    return f"{how_far(-off_us)}{' of' if off_us > 0 else ''} the central's"


def how_far(step_us: int) -> str:
    """Return it in words: a clock that is set forth was behind."""
    seconds = abs(step_us) / 1e6
    far = (
        f"{seconds:.1f} s"
        if seconds < 120
        else f"{seconds / 3600:.1f} h"
        if seconds < 172_800
        else f"{seconds / 86_400:.0f} days"
    )
    return f"{far} {'behind' if step_us > 0 else 'ahead'}"
