"""What becomes of readings whose clock was wrong: stamped right before they are sent, or marked."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.sqlite_file import Work
from cloud_sync.outbox.store import Outbox
from edge_agent.health.clock_quality import KernelClock
from edge_agent.health.clock_watch import MADE_US, ClockState
from tests.support.box_clock import NOON_2027_S, BoxClock, Gateway, errors_s

HOUR_S = 3_600.0
TOLERANCE_S = 0.001


@pytest.fixture
def clock() -> BoxClock:
    return BoxClock()


async def started(folder: Path, clock: BoxClock, **more: float) -> Gateway:
    gateway = Gateway(folder, clock, **more)
    await gateway.start()
    return gateway


@pytest.mark.parametrize("wall_s", [300.0, NOON_2027_S - 2 * HOUR_S, NOON_2027_S + 2 * HOUR_S, 4.07e9])
async def test_readings_from_before_the_first_synchronisation_are_sent_with_their_true_times(
    tmp_path: Path, clock: BoxClock, wall_s: float
):
    clock.boot(wall_s=wall_s)
    gateway = await started(tmp_path, clock)
    taken = await gateway.measure(5)
    rows, (announced,) = gateway.deliver()
    assert rows == []
    assert "not synchronised since the boot" in announced.body["text"]
    clock.synchronise()
    taken += await gateway.measure(3)
    rows, (mended,) = gateway.deliver()
    assert sorted(row.value for row in rows) == taken
    assert max(map(abs, errors_s(rows))) < TOLERANCE_S
    assert {row.quality for row in rows} == {1.0}
    assert "what was stamped meanwhile is mended" in mended.body["text"]
    assert abs(mended.time_us / 1e6 - clock.true_s) < 5
    gateway.stop()


async def test_a_clock_that_turns_out_right_changes_no_reading(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s + 5)
    gateway = await started(tmp_path, clock)
    await gateway.measure(2)
    clock.synchronise()
    await gateway.measure(2)
    rows, events = gateway.deliver()
    assert max(map(abs, errors_s(rows))) < TOLERANCE_S
    assert [event.body["text"] for event in events][1:] == ["the clock is synchronised, and was right before"]
    gateway.stop()


async def test_a_clock_that_is_set_by_hand_mends_with_the_quality_of_one_that_is_not_synchronised(
    tmp_path: Path, clock: BoxClock
):
    clock.boot(wall_s=300.0)
    gateway = await started(tmp_path, clock)
    await gateway.measure(3)
    clock.set_by_hand(0.5)
    await gateway.wait(20)
    rows, _ = gateway.deliver()
    assert errors_s(rows) == pytest.approx([0.5] * 3, abs=TOLERANCE_S)
    assert {row.quality for row in rows} == {0.5}
    gateway.stop()


async def test_without_a_time_service_a_possible_time_is_sent_after_the_hold_and_marked(
    tmp_path: Path, clock: BoxClock
):
    clock.boot(wall_s=clock.true_s + 5 - 3)
    gateway = await started(tmp_path, clock, hold_s=60.0)
    await gateway.measure(10, every_s=10.0)
    gateway.deliver()
    assert gateway.keeper.watch.state is ClockState.HELD, "the central was not in reach: nothing was to be gained"
    gateway.is_online = True
    await gateway.measure(7, every_s=10.0)
    rows, _ = gateway.deliver()
    assert len(rows) == 17
    assert {row.quality for row in rows} == {0.5}
    assert errors_s(rows) == pytest.approx([-3.0] * 17, abs=TOLERANCE_S)
    gateway.stop()


@pytest.mark.parametrize("wall_s", [300.0, MADE_US / 1e6 - 60, 4.07e9])
async def test_an_impossible_time_is_never_sent(tmp_path: Path, clock: BoxClock, wall_s: float):
    clock.boot(wall_s=wall_s)
    gateway = await started(tmp_path, clock, hold_s=10.0)
    gateway.is_online = True
    await gateway.measure(12)
    assert gateway.deliver()[0] == []
    assert not gateway.keeper.health().is_possible
    assert gateway.keeper.health().held_records == 12
    gateway.stop()


async def test_a_time_before_the_newest_record_is_impossible(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s)
    clock.synchronise()
    before = await started(tmp_path, clock)
    await before.measure(3)
    before.stop()
    clock.boot(wall_s=clock.true_s - HOUR_S)
    gateway = await started(tmp_path, clock)
    assert not gateway.keeper.health().is_possible
    gateway.stop()


async def test_runs_of_one_boot_are_mended_by_a_later_run_of_it(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=300.0)
    first = await started(tmp_path, clock)
    taken = await first.measure(3)
    first.stop()
    clock.set_by_hand(-7 * HOUR_S)
    second = await started(tmp_path, clock)
    taken += await second.measure(3)
    clock.synchronise()
    taken += await second.measure(1)
    rows, _ = second.deliver()
    assert [row.value for row in sorted(rows, key=lambda row: row.time_us)] == taken
    assert max(map(abs, errors_s(rows))) < TOLERANCE_S
    second.stop()


async def test_a_boot_that_ended_before_any_synchronisation_is_placed_between_its_bounds_and_marked(
    tmp_path: Path, clock: BoxClock
):
    clock.boot(wall_s=clock.true_s)
    clock.synchronise()
    first = await started(tmp_path, clock)
    await first.measure(3)
    newest_s = clock.true_s
    first.deliver()
    first.stop()
    unsure = []
    for _ in range(2):
        clock.boot(wall_s=300.0, after_s=HOUR_S)
        again = await started(tmp_path, clock)
        unsure += await again.measure(4)
        again.stop()
    clock.boot(wall_s=300.0, after_s=HOUR_S)
    last = await started(tmp_path, clock)
    clock.synchronise()
    await last.measure(1)
    rows, events = last.deliver()
    marked = [row for row in rows if row.value in unsure]
    assert [row.value for row in sorted(marked, key=lambda row: row.time_us)] == unsure
    assert {row.quality for row in marked} == {0.3}
    assert all(newest_s <= row.time_us / 1e6 <= clock.booted_s for row in marked)
    bounded = [event.body for event in events if "not_before_us" in event.body]
    assert [body["not_after_us"] / 1e6 for body in bounded] == [clock.booted_s] * 2
    assert all(body["not_before_us"] / 1e6 == pytest.approx(newest_s, abs=1) for body in bounded)
    last.stop()


async def test_a_clock_that_was_right_and_is_set_back_loses_no_reading_and_doubles_no_key(
    tmp_path: Path, clock: BoxClock
):
    clock.boot(wall_s=clock.true_s + 60)
    clock.kernel = KernelClock(is_synced=True)
    gateway = await started(tmp_path, clock)
    await gateway.measure(10)
    clock.synchronise()  # a minute back
    taken = await gateway.measure(30, every_s=4.0)
    rows, events = gateway.deliver()
    times = [row.time_us for row in rows]
    assert len(rows) == 40
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert errors_s(rows)[-1] == pytest.approx(0.0, abs=TOLERANCE_S)
    off = [row for row, error_s in zip(rows, errors_s(rows), strict=True) if row.value in taken and error_s > 1.5]
    assert {row.quality for row in off[1:]} == {0.5}
    assert any("set while readings were sent by it" in event.body["text"] for event in events)
    gateway.stop()


async def test_a_leap_second_leaves_times_in_order(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s)
    clock.synchronise()
    gateway = await started(tmp_path, clock)
    await gateway.measure(20, every_s=0.1)
    clock.wall_off_s, clock.kernel = -1.0, KernelClock(is_synced=True, is_leaping=True)
    await gateway.measure(30, every_s=0.1)
    rows, events = gateway.deliver()
    times = [row.time_us for row in rows]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert errors_s(rows)[-1] == pytest.approx(-1.0, abs=TOLERANCE_S)
    assert "a leap second" in events[-1].body["text"]
    gateway.stop()


async def test_a_clock_that_was_right_is_not_followed_to_1970(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s)
    clock.synchronise()
    gateway = await started(tmp_path, clock)
    await gateway.measure(3)
    clock.set_by_hand(-clock.true_s)
    await gateway.measure(3)
    assert gateway.keeper.health().not_believed_us is not None
    clock.synchronise()
    await gateway.measure(3)
    assert gateway.keeper.health().not_believed_us is None
    rows, _ = gateway.deliver()
    assert len(rows) == 9
    assert max(map(abs, errors_s(rows))) < TOLERANCE_S
    gateway.stop()


async def test_times_beyond_2038_are_times_like_others(tmp_path: Path):
    clock = BoxClock(2.0**31 - 2)
    clock.boot(wall_s=300.0, after_s=0.0)
    gateway = await started(tmp_path, clock)
    taken = await gateway.measure(5)
    clock.synchronise()
    taken += await gateway.measure(5)
    rows, _ = gateway.deliver()
    assert sorted(row.value for row in rows) == taken
    assert max(map(abs, errors_s(rows))) < TOLERANCE_S
    gateway.stop()


async def test_what_was_right_in_this_boot_stays_so_when_its_time_service_is_gone(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=clock.true_s)
    clock.synchronise()
    first = await started(tmp_path, clock)
    await first.measure(1)
    first.stop()
    clock.kernel = KernelClock(is_synced=False)
    second = await started(tmp_path, clock)
    assert second.keeper.watch.state is ClockState.KNOWN
    assert not second.keeper.is_trusted()
    second.stop()


async def test_a_clock_that_was_a_year_ahead_and_is_set_right_by_hand_is_possible_after_the_next_boot(
    tmp_path: Path, clock: BoxClock
):
    clock.boot(wall_s=clock.true_s + 300 * 86_400)
    first = await started(tmp_path, clock, hold_s=1.0)
    first.is_online = True
    await first.measure(3)
    assert first.keeper.watch.state is ClockState.GIVEN_UP
    clock.set_by_hand()
    await first.measure(2)
    first.stop()
    clock.boot(wall_s=clock.true_s + 60)
    second = await started(tmp_path, clock)
    assert second.keeper.health().is_possible
    second.stop()


class FullDisk(Outbox):
    """Reads, and takes nothing while it `is_full`."""

    is_full = True

    def change(self, work: Work) -> None:
        if self.is_full:
            raise OutboxUnavailableError("the disk is full", reason="full")
        super().change(work)


async def test_a_disk_that_refuses_at_the_start_is_asked_again(tmp_path: Path, clock: BoxClock):
    clock.boot(wall_s=300.0)
    gateway = Gateway(tmp_path, clock, outbox=FullDisk)
    await gateway.start()
    assert gateway.keeper.watch.state is ClockState.HELD
    assert isinstance(gateway.outbox, FullDisk)
    gateway.outbox.is_full = False
    await gateway.keeper.look()
    _, (announced,) = gateway.deliver()
    assert "not synchronised" in announced.body["text"]
    gateway.stop()
