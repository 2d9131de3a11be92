"""A clock that nobody synchronises, beside the time that the central says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.health.clock_quality import KernelClock
from edge_agent.health.clock_watch import ClockState
from tests.support.box_clock import NOON_2027_S, BoxClock, Gateway, errors_s

HOUR_S = 3_600.0
DAY_S = 86_400.0
WITHIN_S = 0.2


@pytest.fixture
def clock() -> BoxClock:
    return BoxClock()


async def started(folder: Path, clock: BoxClock, **more: float) -> Gateway:
    gateway = Gateway(folder, clock, **more)
    await gateway.start()
    return gateway


async def let_go(folder: Path, clock: BoxClock, *, off_s: float = 0.0) -> Gateway:
    """One whose clock agreed with the central's."""
    clock.boot(wall_s=clock.true_s + 5 + off_s)
    gateway = await started(folder, clock)
    gateway.hear_central()
    await gateway.measure(1)
    assert gateway.keeper.watch.state is ClockState.GIVEN_UP
    return gateway


@pytest.mark.parametrize("off_s", [0.0, 4.0, -4.0])
async def test_a_clock_that_agrees_with_the_centrals_holds_nothing(tmp_path: Path, clock: BoxClock, off_s: float):
    clock.boot(wall_s=clock.true_s + 5 + off_s)
    gateway = await started(tmp_path, clock)
    await gateway.measure(2)
    assert gateway.deliver()[0] == []
    gateway.hear_central()
    await gateway.measure(1)
    rows, (agreed,) = gateway.deliver()
    assert errors_s(rows) == pytest.approx([off_s] * 3, abs=0.001)
    assert {row.quality for row in rows} == {0.5}
    assert "the clock is not synchronised, and agrees with the central's within" in agreed.body["text"]
    gateway.stop()


@pytest.mark.parametrize("wall_s", [300.0, NOON_2027_S - 2 * HOUR_S, NOON_2027_S + 2 * HOUR_S, NOON_2027_S + 2 * DAY_S])
async def test_a_clock_that_the_central_contradicts_is_held_and_gets_the_centrals_time_when_nobody_sets_it(
    tmp_path: Path, clock: BoxClock, wall_s: float
):
    clock.boot(wall_s=wall_s)
    gateway = await started(tmp_path, clock, hold_s=60.0)
    gateway.hear_central()
    await gateway.measure(5, every_s=10.0)
    gateway.hear_central()
    assert gateway.deliver()[0] == []
    assert not gateway.keeper.health().is_possible
    await gateway.measure(5, every_s=10.0)
    rows, events = gateway.deliver()
    assert len(rows) == 10
    assert max(map(abs, errors_s(rows))) < WITHIN_S
    assert {row.quality for row in rows} == {0.5}
    assert "times are the central's, within" in events[-1].body["text"]
    assert gateway.keeper.watch.state is ClockState.CENTRALS
    gateway.stop()


@pytest.mark.parametrize("off_s", [2 * HOUR_S, -2 * HOUR_S])
async def test_a_clock_that_is_set_right_while_held_mends_at_once(tmp_path: Path, clock: BoxClock, off_s: float):
    clock.boot(wall_s=clock.true_s + 5 + off_s)
    gateway = await started(tmp_path, clock)
    gateway.hear_central()
    await gateway.measure(3)
    clock.set_by_hand(0.3)
    await gateway.measure(2)
    rows, events = gateway.deliver()
    assert errors_s(rows) == pytest.approx([0.3] * 5, abs=0.001)
    assert "set by hand" in events[-1].body["text"]
    gateway.stop()


async def test_a_clock_that_is_set_wrong_by_hand_is_held_on(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=300.0)
    gateway = await started(tmp_path, clock)
    gateway.hear_central()
    await gateway.measure(2)
    clock.set_by_hand(HOUR_S)
    await gateway.measure(20)
    assert gateway.deliver()[0] == []
    clock.synchronise()
    await gateway.measure(1)
    rows, _ = gateway.deliver()
    assert len(rows) == 23
    assert max(map(abs, errors_s(rows))) < 0.001
    gateway.stop()


async def test_a_synchronised_clock_is_never_overruled(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s + 5)
    clock.kernel = KernelClock(is_synced=True)
    gateway = await started(tmp_path, clock, hold_s=10.0)
    for _ in range(5):
        gateway.hear_central(off_s=HOUR_S)
        await gateway.measure(5)
    rows, events = gateway.deliver()
    assert (len(rows), events) == (25, [])
    assert max(map(abs, errors_s(rows))) < 0.001
    health = gateway.keeper.health()
    assert (health.state, health.is_far_off) == (ClockState.KNOWN, True)
    assert health.off_central_us == pytest.approx(-HOUR_S * 1e6, abs=1e6)
    gateway.stop()


async def test_the_centrals_times_are_left_when_the_clock_is_set_right(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s + HOUR_S)
    gateway = await started(tmp_path, clock, hold_s=5.0)
    gateway.hear_central()
    await gateway.measure(10)
    assert gateway.keeper.watch.state is ClockState.CENTRALS
    clock.set_by_hand()
    await gateway.measure(2)
    assert gateway.keeper.watch.state is ClockState.GIVEN_UP
    clock.synchronise()
    await gateway.measure(2)
    assert gateway.keeper.watch.state is ClockState.KNOWN
    rows, _ = gateway.deliver()
    assert max(map(abs, errors_s(rows))) < WITHIN_S
    gateway.stop()


async def test_the_centrals_times_stay_with_the_centrals_clock_when_that_is_set(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s + HOUR_S)
    gateway = await started(tmp_path, clock, hold_s=5.0)
    gateway.hear_central(off_s=-DAY_S)
    await gateway.measure(10)
    gateway.hear_central()
    await gateway.measure(3)
    rows, _ = gateway.deliver()
    assert errors_s(rows)[0] == pytest.approx(-DAY_S, abs=1)
    assert abs(errors_s(rows)[-1]) < WITHIN_S
    gateway.stop()


@pytest.mark.parametrize("off_s", [2 * HOUR_S, -2 * HOUR_S, 2 * DAY_S])
async def test_a_clock_that_agreed_is_not_followed_away_from_the_centrals(
    tmp_path: Path, clock: BoxClock, off_s: float
):
    gateway = await let_go(tmp_path, clock)
    clock.set_by_hand(off_s)
    await gateway.measure(10)
    assert gateway.keeper.health().not_believed_us == pytest.approx(off_s * 1e6)
    clock.set_by_hand()
    await gateway.measure(1)
    assert gateway.keeper.health().not_believed_us is None
    rows, _ = gateway.deliver()
    assert max(map(abs, errors_s(rows))) < 0.001
    gateway.stop()


async def test_a_step_that_the_central_vouches_for_is_followed_however_far(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s - 2 * DAY_S)
    clock.kernel = KernelClock(is_synced=True)
    gateway = await started(tmp_path, clock)
    gateway.hear_central()
    await gateway.measure(2)
    clock.set_by_hand()
    await gateway.measure(2)
    rows, _ = gateway.deliver()
    assert abs(errors_s(rows)[-1]) < 0.001
    gateway.stop()


async def test_times_that_went_without_any_answer_get_the_centrals_once_several_contradict(
    tmp_path: Path, clock: BoxClock
):
    clock.boot(wall_s=clock.true_s + 5 + 3 * DAY_S)
    gateway = await started(tmp_path, clock, hold_s=3.0)
    gateway.is_online = True
    await gateway.measure(5)
    assert gateway.keeper.watch.state is ClockState.GIVEN_UP
    for _ in range(5):
        gateway.hear_central()
        await gateway.measure(2)
    rows, _ = gateway.deliver()
    assert errors_s(rows)[0] == pytest.approx(3 * DAY_S, abs=1)
    assert abs(errors_s(rows)[-1]) < WITHIN_S
    gateway.stop()


async def test_whoever_never_holds_is_told_and_nothing_else(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s + 5 + HOUR_S)
    gateway = await started(tmp_path, clock, hold_s=0.0)
    for _ in range(5):
        gateway.hear_central()
        await gateway.measure(2)
    assert gateway.keeper.health().is_far_off
    rows, _ = gateway.deliver()
    assert errors_s(rows) == pytest.approx([HOUR_S] * 10, abs=0.001)
    gateway.stop()


async def test_a_central_that_says_1970_says_nothing(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s + 5)
    gateway = await started(tmp_path, clock, hold_s=60.0)
    gateway.hear_central(off_s=300.0 - clock.true_s)
    await gateway.measure(7, every_s=10.0)
    assert gateway.keeper.watch.state is ClockState.GIVEN_UP
    assert gateway.keeper.health().off_central_us is None
    gateway.stop()


async def test_a_slow_link_leaves_the_central_uncertain_and_agrees_within_that(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s + 5 + 12.0)
    gateway = await started(tmp_path, clock)
    gateway.hear_central(takes_s=20.0)
    await gateway.measure(1)
    rows, (announced, agreed) = gateway.deliver()
    assert len(rows) == 1
    assert "held until it is right" in announced.body["text"]
    assert "within 22.0 s" in agreed.body["text"]
    gateway.stop()
