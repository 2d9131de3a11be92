from __future__ import annotations

import asyncio

import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.health.supervision import RESTART_MAX_S, WELL_AFTER_S, Supervision
from edge_agent.status.failed_parts import FRESH_S, part_problems


class Failing:
    """Runs for `lasts_s` and fails, so many times; then it ends well."""

    def __init__(self, clock: FakeClock, times: int, *, lasts_s: float = 0.0) -> None:
        self.starts: list[float] = []
        self.told: list[str] = []
        self._clock = clock
        self._times = times
        self._lasts_s = lasts_s

    async def run(self) -> None:
        self.starts.append(self._clock.monotonic_s())
        if self._times:
            self._times -= 1
            self._clock.advance(self._lasts_s)
            raise ZeroDivisionError("division by zero")

    async def note_fault(self, what: str) -> None:
        self.told.append(what)


def supervision(clock: FakeClock) -> Supervision:
    return Supervision(clock, jitter=lambda: 1.0)


async def test_a_part_that_fails_is_started_again_less_and_less_often(clock: FakeClock) -> None:
    part = Failing(clock, 12)
    await supervision(clock).start("uplink", part.run)
    waits = [later - earlier for earlier, later in zip(part.starts, part.starts[1:], strict=False)]
    assert len(part.starts) == 13
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == RESTART_MAX_S


async def test_after_it_ran_well_for_a_while_it_is_started_again_soon(clock: FakeClock) -> None:
    part = Failing(clock, 12, lasts_s=WELL_AFTER_S + 1)
    watching = supervision(clock)
    await watching.start("uplink", part.run)
    assert part.starts[-1] - part.starts[-2] < WELL_AFTER_S + 3
    (failure,) = watching.failures
    assert (failure.times, failure.total) == (1, 12), "each is the first of a new series"


async def test_what_was_in_work_is_made_good_before_the_next_start(clock: FakeClock) -> None:
    part = Failing(clock, 2)
    await supervision(clock).start("rig pipeline", part.run, after_failure=part.note_fault)
    assert part.told == ["ZeroDivisionError: division by zero"] * 2


async def test_a_failure_while_making_good_does_not_end_the_part_either(clock: FakeClock) -> None:
    async def fails_too(_what: str) -> None:
        raise KeyError("gone")

    part = Failing(clock, 1)
    await supervision(clock).start("rig pipeline", part.run, after_failure=fails_too)
    assert len(part.starts) == 2


async def test_the_traceback_goes_to_the_log_and_one_line_to_the_status(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    watching = supervision(clock)
    await watching.start("uplink", Failing(clock, 3).run)
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert len(tracebacks) == 1, "the same one again says nothing new"
    (problem,) = part_problems(watching.failures, now_ns=clock.now_ns())
    assert problem["what"] == "uplink failed unexpectedly, 3 times: ZeroDivisionError: division by zero"
    assert problem["since"] is not None
    assert "journalctl" in problem["do"]
    clock.advance(FRESH_S)
    assert part_problems(watching.failures, now_ns=clock.now_ns()) == []


async def test_a_text_from_outside_cannot_forge_a_line_or_fill_the_screen(clock: FakeClock) -> None:
    async def hostile() -> None:
        raise ValueError("\x1b[2J\nall is well" + "x" * 10_000)

    watching = supervision(clock)
    assert not await watching.attempt("uplink", hostile)
    (failure,) = watching.failures
    assert failure.what.isprintable()
    assert len(failure.what) <= 200


async def test_of_a_group_the_failure_within_is_named(clock: FakeClock) -> None:
    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Failing(clock, 1).run())

    watching = supervision(clock)
    assert not await watching.attempt("uplink", group)
    assert not await watching.attempt("uplink", group), "the first one's cancellation is its own"
    assert watching.failures[0].what == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("is_swallowed", [False, True])
async def test_cancellation_passes(clock: FakeClock, *, is_swallowed: bool) -> None:
    is_running = asyncio.Event()

    async def waits() -> None:
        is_running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            if is_swallowed:
                raise OSError("the link broke") from exc
            raise

    watching = supervision(clock)
    task = watching.start("uplink", waits)
    await is_running.wait()
    watching.is_stopping = True
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    assert watching.failures == ()


async def test_what_a_callback_of_the_loop_raises_is_counted(clock: FakeClock) -> None:
    watching = supervision(clock)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(watching.on_loop_error)
    loop.call_soon(lambda: 1 // 0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert [failure.part for failure in watching.failures] == ["a callback"]


async def test_a_task_of_a_library_that_ended_badly_is_logged_and_is_no_problem(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    watching = supervision(clock)
    context = {
        "message": "Task exception was never retrieved",
        "exception": OSError("gone"),
        "future": asyncio.Future(),
    }
    watching.on_loop_error(asyncio.get_running_loop(), context)
    assert watching.failures == ()
    assert "never retrieved" in caplog.text
