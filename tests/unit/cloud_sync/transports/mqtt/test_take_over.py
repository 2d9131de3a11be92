"""Two clients of one name: when it is told, and how long it is best to stay away. On a clock of the test's."""

from __future__ import annotations

from cloud_sync.transports.mqtt.take_over import LONGEST_AWAY_S, LONGEST_ON_SUSPICION_S, TakeOver, TakeOvers


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def lost_after(clock: Clock, rivals: TakeOvers, lasted_s: float, *, is_certain: bool = False) -> TakeOver | None:
    rivals.record_connected()
    clock.now_s += lasted_s
    return rivals.record_lost(is_certain=is_certain, is_unexplained=not is_certain)


def test_what_the_broker_says_is_certain_at_once_and_the_absence_grows():
    clock = Clock()
    rivals = TakeOvers(now_s=clock, jitter=lambda: 1.0)
    away_s = []
    for times in range(1, 8):
        told = lost_after(clock, rivals, 5.0, is_certain=True)
        assert told is not None
        assert (told.times, told.is_certain) == (times, True)
        assert rivals.away_for_s == told.stays_away_s
        away_s.append(told.stays_away_s)
        clock.now_s += told.stays_away_s
        assert rivals.away_for_s == 0
    assert away_s == [15.0, 30.0, 60.0, 120.0, 240.0, LONGEST_AWAY_S, LONGEST_AWAY_S]


def test_silence_is_suspicious_when_it_follows_soon_three_times_in_a_row():
    clock = Clock()
    rivals = TakeOvers(now_s=clock, jitter=lambda: 1.0)
    told = [lost_after(clock, rivals, 1.0) for _ in range(6)]
    assert told[:2] == [None, None]
    assert [each.stays_away_s for each in told[2:] if each] == [15.0, 30.0, 60.0, LONGEST_ON_SUSPICION_S]
    assert rivals.total == 4


def test_a_connection_that_held_is_no_suspicion():
    clock = Clock()
    rivals = TakeOvers(now_s=clock)
    for _ in range(5):
        assert lost_after(clock, rivals, 1.0) is None
        assert lost_after(clock, rivals, 1.0) is None
        assert lost_after(clock, rivals, 2 * LONGEST_ON_SUSPICION_S + 1) is None
    assert rivals.away_for_s == 0


def test_both_are_told_though_one_stays_away_first():
    """Each sign-in of one puts the other one out; who hears of it stays away, and comes back."""
    clock = Clock()
    boxes = {name: TakeOvers(now_s=clock, jitter=lambda: 1.0) for name in "ab"}
    told = set()
    back_at_s = {"a": clock.now_s, "b": clock.now_s + 1.0}
    holder = None
    for _ in range(12):
        comes = min(back_at_s, key=lambda name: back_at_s[name])
        clock.now_s = max(clock.now_s, back_at_s.pop(comes))
        if holder is not None:
            lost = boxes[holder].record_lost(is_certain=False, is_unexplained=True)
            told |= {holder} if lost else set()
            back_at_s[holder] = clock.now_s + (lost.stays_away_s if lost else 0.5)
        boxes[comes].record_connected()
        holder = comes
    assert told == {"a", "b"}


def test_a_line_that_breaks_is_no_suspicion():
    clock = Clock()
    rivals = TakeOvers(now_s=clock)
    for _ in range(10):
        rivals.record_connected()
        clock.now_s += 1.0
        assert rivals.record_lost(is_certain=False, is_unexplained=False) is None


def test_a_broker_that_was_away_in_between_was_killed_and_not_taken_over():
    clock = Clock()
    rivals = TakeOvers(now_s=clock)
    for _ in range(10):
        assert lost_after(clock, rivals, 1.0) is None
        rivals.record_failed_sign_in()


def test_after_a_long_peace_the_count_begins_again():
    clock = Clock()
    rivals = TakeOvers(now_s=clock)
    lost_after(clock, rivals, 1.0, is_certain=True)
    again = lost_after(clock, rivals, 86_400.0, is_certain=True)
    assert again is not None
    assert again.times == 1
