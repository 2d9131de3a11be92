"""A stop ends, whatever hangs: tasks, threads, the event loop itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from cloud_sync.host.stop_signals import StopSignals
from cloud_sync.host.stopping import HURRY_STEP_S, Patience, run_bounded, unless_stopped
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
DEADLINE_S = 60.0
FOR_EVER_S = 3600.0


async def deaf(times: int) -> None:
    """Takes that many cancellations for nothing, as a library may."""
    while True:
        try:
            await asyncio.sleep(FOR_EVER_S)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def begun(task: asyncio.Task[None]) -> asyncio.Task[None]:
    await asyncio.sleep(0)
    return task


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = await begun(asyncio.create_task(deaf(1), name="press PLC"))
    assert await Patience().cancel("ending the sources", [task], DEADLINE_S)
    assert task.cancelled()
    assert "cancelled again: press PLC" in caplog.text


async def test_a_task_that_never_ends_is_given_up_by_name(caplog: pytest.LogCaptureFixture) -> None:
    task = await begun(asyncio.create_task(deaf(3), name="press PLC"))
    assert not await Patience().cancel("ending the sources", [task], 0.1)
    assert "ending the sources: given up after 0 s: press PLC" in caplog.text
    assert await Patience().cancel("again", [task], DEADLINE_S)


async def test_a_step_that_fails_or_hangs_is_said_and_passed(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise RuntimeError("no such thing")

    assert not await Patience().finish("the last word", fails(), DEADLINE_S)
    assert not await Patience().finish("delivering", asyncio.sleep(FOR_EVER_S), 0.1)
    assert "the last word failed at the stop: no such thing" in caplog.text
    assert "delivering: not done within 0.1 s" in caplog.text


async def test_once_hurried_no_wait_takes_longer_than_a_look(caplog: pytest.LogCaptureFixture) -> None:
    hurried = asyncio.Event()
    patience = Patience(hurried)
    waiting = asyncio.create_task(patience.finish("delivering", asyncio.sleep(FOR_EVER_S), FOR_EVER_S))
    await asyncio.sleep(0)
    hurried.set()
    assert not await waiting
    assert not await patience.finish("closing", asyncio.sleep(FOR_EVER_S), FOR_EVER_S)
    assert HURRY_STEP_S < 1


async def test_time_in_which_the_process_stood_still_is_not_taken_off_a_bound() -> None:
    """As after SIGSTOP: minutes pass between two looks, and what was waited for had no chance."""
    five_minutes_each_look = itertools.count(0, 300)
    patience = Patience(monotonic_s=lambda: float(next(five_minutes_each_look)))
    assert await patience.finish("storing", asyncio.sleep(0.6), 6.0)


async def test_what_a_stop_meets_is_waited_for_no_longer_than_its_bound() -> None:
    stop = asyncio.Event()
    assert await unless_stopped(stop, asyncio.sleep(0, "built"), within_s=0) == ("built",)
    stop.set()
    assert await unless_stopped(stop, asyncio.sleep(FOR_EVER_S), within_s=0) is None
    with pytest.raises(RuntimeError, match="refused"):
        await unless_stopped(stop, _refused(), within_s=DEADLINE_S)


async def _refused() -> None:
    raise RuntimeError("refused")


def test_a_call_in_a_thread_that_hangs_does_not_hold_the_end(caplog: pytest.LogCaptureFixture) -> None:
    release, threads = threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        release.wait(DEADLINE_S)

    async def work() -> str:
        hanging = asyncio.ensure_future(asyncio.to_thread(hang))
        while not threads:
            await asyncio.wait([hanging], timeout=0)
        return "done"

    try:
        assert run_bounded(work()) == "done"
        assert not release.is_set()
    finally:
        release.set()
        for thread in threads:
            thread.join(DEADLINE_S)


PROGRAM = """
import asyncio, logging, sys, threading, time
from cloud_sync.host.stop_signals import StopSignals
from cloud_sync.host.stopping import leave, run_bounded
logging.basicConfig(level=logging.INFO, format="%(message)s")
signals = StopSignals(within_s=float(sys.argv[2]), hurry_s=0.5).listen()

async def polite():
    signals.attach()
    print("up", flush=True)
    await signals.asked.wait()
    print("asked", flush=True)
    await signals.hurried.wait()

async def stuck():
    signals.attach()
    signals.step = "ending the sources"
    print("up", flush=True)
    time.sleep(3600)

async def hung_thread():
    signals.attach()
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
    print("up", flush=True)
    await signals.asked.wait()

run_bounded(globals()[sys.argv[1]]())
leave(0)
"""


def program(kind: str, *, within_s: float) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind, str(within_s)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = child.communicate(timeout=DEADLINE_S)
    return child.returncode, errors


def test_the_first_order_asks_the_second_hurries_and_a_hang_up_changes_nothing() -> None:
    child = program("polite", within_s=DEADLINE_S)
    child.send_signal(signal.SIGHUP)
    child.send_signal(signal.SIGINT)
    assert child.stdout is not None
    assert child.stdout.readline() == "asked\n"
    child.send_signal(signal.SIGTERM)
    code, errors = ended(child)
    assert code == 0
    assert "SIGHUP changes nothing" in errors
    assert "SIGTERM again" in errors


@pytest.mark.parametrize("orders", [1, 2])
def test_a_loop_that_hangs_in_a_call_is_ended_all_the_same_and_its_step_is_named(orders: int) -> None:
    child = program("stuck", within_s=1.0 if orders == 1 else FOR_EVER_S)
    for _ in range(orders):
        child.send_signal(signal.SIGTERM)
        time.sleep(0.1)  # two of a kind at once are one to the kernel
    code, errors = ended(child)
    assert code == 1
    assert "the stop does not end by itself; ended here, at: ending the sources" in errors


def test_a_thread_that_hangs_at_the_end_does_not_keep_the_process() -> None:
    child = program("hung_thread", within_s=FOR_EVER_S)
    child.send_signal(signal.SIGTERM)
    code, errors = ended(child)
    assert code == 0
    assert "ending without waiting for 1 calls" in errors


def test_handlers_are_as_before_once_it_is_left() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    with StopSignals(within_s=FOR_EVER_S):
        os.kill(os.getpid(), signal.SIGHUP)
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(-1) == -1
