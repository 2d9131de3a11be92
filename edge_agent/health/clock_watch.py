"""Whether the wall clock is right, and what follows when it changes: pure, told of time by whoever looks.

A clock that was not synchronised since the boot is not known to be right: without a battery it starts in 1970 or when
it was last saved, and with one it may be hours off. What is stamped meanwhile is held, until

- the kernel says that it is synchronised, or somebody has set it: then it is known how far it was off;
- the central says its time, and the clock agrees with it: then it goes as it is, with less quality;
- it could have been sent for `hold_s`: then it goes as it is when the central says no time and the clock is at least
  possible, and by the central's time, also with less quality, when the clock contradicts that.

A clock that is impossible (before this program was made, before the newest record, or not what the central's says) is
never given up on. A clock that was right and is set is followed; set by more than a day, or away from the central's,
only once it is synchronised there. The kernel's word counts more than the central's.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from cloud_sync.outbox.clock_tables import Epoch
from cloud_sync.transports.central_time import CentralClock
from edge_agent.health.clock_quality import KernelClock
from edge_agent.health.steady_clock import SteadyClock

_MICROSECONDS: Final = 1_000_000
DAY_US: Final = 86_400 * _MICROSECONDS
MADE_US: Final = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * _MICROSECONDS
"""No clock before it is right: this program was not made yet. Raised with releases."""
_LONGEST_AWAY_US: Final = 366 * DAY_US
_LONGEST_SERVICE_US: Final = 15 * 366 * DAY_US
_BEHIND_US: Final = 60 * _MICROSECONDS  # a slow battery clock may be so far behind the newest record
_STEP_US: Final = 20_000  # steps of NTP begin at 0.1 s; below it is how the two clocks are read
_SAME_CLOCK_US: Final = _MICROSECONDS
_SET_BY_HAND_US: Final = 10 * _MICROSECONDS
_SETTLED_S: Final = 15.0
"""A clock that was set counts as right when it was not set again for so long: what sets it in steps has then ended."""
_AGREES_US: Final = 5 * _MICROSECONDS
"""A clock agrees with the central's when it is no further from it than this and what that is uncertain by."""
_FAR_OFF_US: Final = 60 * _MICROSECONDS
_PERSISTS_ANSWERS: Final = 3
"""A clock that was let go is called far off when so many answers of the central in a row say so."""
_LEAP_US: Final = (900_000, 1_100_000)


class ClockState(StrEnum):
    KNOWN = "known"
    HELD = "held"  # nobody knows; what is stamped waits
    GIVEN_UP = "given_up"  # nobody knows, and nothing waits for it any more
    CENTRALS = "centrals"  # it is wrong, and times are the central's


class ChangeKind(StrEnum):
    SYNCHRONISED = "synchronised"  # while held or given up
    SET = "set"  # by somebody, while held
    GIVEN_UP = "given_up"
    AGREES = "agrees"  # with the central's; `step_us` is what was mended
    CENTRALS = "centrals"  # the central's time is taken; `step_us` is how much later that is than the clock
    STEPPED = "stepped"  # while it was known
    LEAPT = "leapt"
    NOT_BELIEVED = "not_believed"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to the clock; `step_us` is by how much it was set.

    Within `within_us` it agrees with the central's, or the central's is known.
    """

    kind: ChangeKind
    step_us: int = 0
    within_us: int = 0


class ClockWatch:
    """Of one run of an agent."""

    def __init__(self, steady: SteadyClock, *, boot_id: str, hold_s: float) -> None:
        self.state = ClockState.GIVEN_UP
        self.epoch: Epoch | None = None
        self.is_set_by_hand = False
        self.not_believed_us: int | None = None
        """By how much the clock was set, while that is not followed."""
        self.held_s = 0.0
        """For how long what is held could have been sent."""
        self._steady = steady
        self._boot_id = boot_id
        self.hold_s = hold_s
        self.central: CentralClock | None = None
        """The central's clock, as far as it has said its time."""
        self.differs_since_us: int | None = None
        """Since when the clock contradicts the central's, by the central's time."""
        self._differs_from_answer = 0
        self._newest_us: int | None = None
        self._wall_us = steady.offset_us  # wall clock minus time since boot
        self._set_at_s = steady.monotonic_s()
        self._looked_s = steady.monotonic_s()

    @property
    def wall_us(self) -> int:
        """Return what the wall clock says, UTC or not."""
        return self._steady.boottime_ns() // 1000 + self._wall_us

    @property
    def known_offset_us(self) -> int:
        """Return UTC minus the time since boot, as far as known."""
        return self._steady.offset_us + self._steady.scale.by_us

    @property
    def is_possible(self) -> bool:
        """Return False for a wall clock that cannot be right: the central says another time, or, while that says none,
        absurd or before the newest record.
        """
        if self.central is not None:
            return self.agrees and not self.is_before_made
        return not self.is_absurd and self.wall_us >= (self._newest_us or 0) - _BEHIND_US

    @property
    def is_absurd(self) -> bool:
        """Return True for a wall clock that nobody sets on purpose: before this program was made, or years ahead."""
        newest_us = self._newest_us
        latest_us = MADE_US + _LONGEST_SERVICE_US if newest_us is None else max(newest_us, MADE_US) + _LONGEST_AWAY_US
        return not MADE_US <= self.wall_us <= latest_us

    @property
    def is_before_made(self) -> bool:
        """Return True for a wall clock that stands before this program was made."""
        return self.wall_us < MADE_US

    @property
    def off_central_us(self) -> int | None:
        """Return how much later the wall clock is than the central's; None while the central has said no time."""
        return None if self.central is None else self._wall_us - self.central.offset_us

    @property
    def agrees(self) -> bool:
        """Return whether the wall clock says what the central's says, as far as that is known."""
        return self.central is not None and _is_near(self._wall_us, self.central, _AGREES_US)

    @property
    def is_far_off(self) -> bool:
        """Return whether times that are sent now have been contradicted by several answers of the central."""
        central = self.central
        return (
            central is not None
            and self.differs_since_us is not None
            and central.answers - self._differs_from_answer >= _PERSISTS_ANSWERS
        )

    @property
    def not_before_us(self) -> int:
        """Return the earliest time it can be, whatever the clock says."""
        return max(MADE_US, self._newest_us or 0)

    def begin(self, kernel: KernelClock, *, known: tuple[str, int] | None, newest_us: int | None) -> None:
        """Start from `known`, the boot whose clock was right last, and `newest_us`, the newest record's time in UTC."""
        self._newest_us = newest_us
        self._wall_us = self._steady.wall_offset_us()
        was_right = known is not None and known[0] == self._boot_id and abs(known[1] - self._wall_us) <= _SAME_CLOCK_US
        if self._is_synchronised(kernel) or was_right:
            self._know()
        elif self.hold_s > 0:
            self.state = ClockState.HELD
            began_us, offset_us = self._steady.scale.began_us, self._steady.offset_us
            self.epoch = Epoch(uuid.uuid4().hex, self._boot_id, offset_us, began_us, self.not_before_us)
            self._steady.is_known = False

    def look(self, kernel: KernelClock, *, is_online: bool, central: CentralClock | None = None) -> Change | None:
        """See what the clock does; at most once in a second.

        `is_online`: the central answers. `central`: what time it says; one from before this program was made is none.
        """
        now_s = self._steady.monotonic_s()
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        step_us = self._steady.wall_offset_us() - self._wall_us
        if abs(step_us) > _STEP_US:
            self._wall_us += step_us
            self._set_at_s = now_s
        self._compare(central)
        if self.state is ClockState.HELD:
            self.held_s += elapsed_s if is_online else 0.0
            return self._look_while_held(kernel, now_s)
        return self._look_while_counting(kernel)

    def _look_while_held(self, kernel: KernelClock, now_s: float) -> Change | None:
        by_us = self._wall_us - self._steady.offset_us
        if self._is_synchronised(kernel):
            self._know()
            return Change(ChangeKind.SYNCHRONISED, by_us)
        if self.central is not None:
            return self._look_beside_the_central(self.central, by_us)
        is_set = abs(by_us) >= _SET_BY_HAND_US and now_s - self._set_at_s >= _SETTLED_S
        if is_set and not self.is_absurd:
            self._know()
            self.is_set_by_hand = True
            return Change(ChangeKind.SET, by_us)
        if self.held_s >= self.hold_s and self.is_possible:
            self._know()
            self.state = ClockState.GIVEN_UP
            return Change(ChangeKind.GIVEN_UP, by_us)
        return None

    def _look_beside_the_central(self, central: CentralClock, by_us: int) -> Change | None:
        """While held: right as soon as it agrees; by the central's time when nobody has set it by the end."""
        if self.is_possible:
            self._know()
            is_set = abs(by_us) >= _SET_BY_HAND_US
            self.is_set_by_hand, self.state = is_set, ClockState.KNOWN if is_set else ClockState.GIVEN_UP
            return Change(ChangeKind.SET if is_set else ChangeKind.AGREES, by_us, self._agrees_within_us(central))
        if self.held_s < self.hold_s:
            return None
        self._know_by(central.offset_us)
        self.state = ClockState.CENTRALS
        return Change(ChangeKind.CENTRALS, central.offset_us - self._wall_us, central.within_us)

    def _agrees_within_us(self, central: CentralClock) -> int:
        return abs(self._wall_us - central.offset_us) + central.within_us

    def _look_by_the_central(self, central: CentralClock) -> Change | None:
        """While times are the central's: until the clock is set right, they stay with the central's."""
        if self.is_possible:
            step_us, self.state = self._wall_us - self.known_offset_us, ClockState.GIVEN_UP
            self._follow(self._wall_us)
            return Change(ChangeKind.AGREES, step_us, self._agrees_within_us(central))
        if not _is_near(self.known_offset_us, central, _AGREES_US):
            return self._take_the_centrals(central)
        return None

    def _take_the_centrals(self, central: CentralClock) -> Change:
        self.state = ClockState.CENTRALS
        self._follow(central.offset_us)
        return Change(ChangeKind.CENTRALS, central.offset_us - self._wall_us, central.within_us)

    def _compare(self, central: CentralClock | None) -> None:
        """Note what the central says, and since when that is not what the times of this box are."""
        now_us = self._steady.boottime_ns() // 1000
        if central is None or now_us + central.offset_us < MADE_US:
            return
        self.central = central
        is_let_go = self.state in (ClockState.KNOWN, ClockState.GIVEN_UP)
        if self.agrees if not is_let_go else _is_near(self.known_offset_us, self.central, _FAR_OFF_US):
            self.differs_since_us = None
        elif self.differs_since_us is None:
            self.differs_since_us, self._differs_from_answer = now_us + central.offset_us, central.answers

    def _look_while_counting(self, kernel: KernelClock) -> Change | None:
        step_us = self._wall_us - self.known_offset_us
        is_synced = self._is_synchronised(kernel)
        if not is_synced and self.central is not None and self.hold_s > 0:
            if self.state is ClockState.CENTRALS:
                return self._look_by_the_central(self.central)
            if self.state is ClockState.GIVEN_UP and self.is_far_off:
                return self._take_the_centrals(self.central)
        was_known, self.state = self.state is ClockState.KNOWN, ClockState.KNOWN if is_synced else self.state
        self.is_set_by_hand = self.is_set_by_hand and not is_synced
        if abs(step_us) <= _STEP_US:
            self.not_believed_us = None
            return Change(ChangeKind.SYNCHRONISED) if is_synced and not was_known else None
        if not is_synced and not self._is_believed(is_far=was_known and abs(step_us) > DAY_US):
            is_news = self.not_believed_us is None
            self.not_believed_us = step_us
            return Change(ChangeKind.NOT_BELIEVED, step_us) if is_news else None
        self.not_believed_us = None
        self._follow(self._wall_us)
        if kernel.is_leaping and _LEAP_US[0] <= abs(step_us) <= _LEAP_US[1]:
            return Change(ChangeKind.LEAPT, step_us)
        return Change(ChangeKind.STEPPED, step_us)

    def _is_believed(self, *, is_far: bool) -> bool:
        """Whether a clock that was set is followed, though not synchronised; `is_far`: by more than anybody would."""
        central = self.central
        if central is None or self.hold_s == 0:
            return not self.is_absurd and not is_far
        if self.agrees:
            return not self.is_before_made
        is_led_away = _is_near(self.known_offset_us, central, _FAR_OFF_US) and not _is_near(
            self._wall_us, central, _FAR_OFF_US
        )
        return not self.is_absurd and not is_far and not is_led_away

    def _is_synchronised(self, kernel: KernelClock) -> bool:
        """Also the kernel's word does not count for a time before this program was made."""
        return kernel.is_synced and self.wall_us >= MADE_US

    def _know(self) -> None:
        """Take all times of this run to be as far off as the clock says now."""
        self._know_by(self._wall_us)

    def _know_by(self, offset_us: int) -> None:
        """Take UTC to be so much later than the time since boot, for all times of this run."""
        by_us = offset_us - self._steady.offset_us
        self._steady.scale = self._steady.scale.known(by_us if abs(by_us) > _STEP_US else 0)
        self.state, self._steady.is_known = ClockState.KNOWN, True

    def _follow(self, wall_us: int) -> None:
        """From now on; what was stamped before stays."""
        by_us = wall_us - self._steady.offset_us
        if abs(by_us - self._steady.scale.by_us) > _STEP_US:
            self._steady.scale = self._steady.scale.stepped(self._steady.now_ns() // 1000, by_us)


def _is_near(offset_us: int, central: CentralClock, limit_us: int) -> bool:
    return abs(offset_us - central.offset_us) <= limit_us + central.within_us
