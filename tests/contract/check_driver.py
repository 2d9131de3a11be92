"""What every driver of a device must do, as checks over a bench.

A bench is a device that the checks can take away; a test parametrises over CHECKS:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_driver_contract(check, bench):
        await check(bench)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import UnionType
from typing import Protocol

import pytest

from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import Scan
from edge_agent.drivers.base import Driver, Item
from edge_agent.drivers.report import SourceReport
from edge_agent.errors import DriverError, TransientDriverError

CANCEL_DEADLINE_S = 1.0  # drivers/base.py: cancellation passes through within a second
PAUSE_S = 0.3
LOSS_DEADLINE_S = 20.0  # generous: a bench sets short time-outs


class Bench(Protocol):
    """A device that answers, and a factory for drivers of it. `where` is what a message names: "127.0.0.1:502"."""

    @property
    def where(self) -> str: ...

    def driver(self) -> Driver: ...

    async def vanish(self) -> None:
        """Cut every connection and listen no more."""

    async def come_back(self) -> None:
        """Listen on the same port again."""

    def mute(self) -> None:
        """Keep the connections, accept new ones, answer nothing."""

    def garble(self) -> None:
        """Answer with random bytes from now on, also on new connections, until it comes back."""

    def halve(self) -> None:
        """Send the first half of each answer from now on, and never the rest."""

    async def until_read_is_pending(self) -> None:
        """Return once a driver, muted, waits for an answer."""


async def yields_scans_of_its_own_name(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    scan = await _first_scan(driver)
    await driver.close()
    assert scan.source == driver.name
    assert scan.readings


async def an_absent_device_is_transient_and_named(bench: Bench) -> None:
    await bench.vanish()
    driver = bench.driver()
    with pytest.raises(TransientDriverError) as caught:
        await driver.open()
    await driver.close()
    assert bench.where in caught.value.message
    assert caught.value.hint


async def a_lost_device_ends_the_stream_as_transient(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    await bench.vanish()
    with pytest.raises(TransientDriverError) as caught:
        await _drain(stream)
    await driver.close()
    assert bench.where in caught.value.message


async def a_mute_device_ends_the_stream_as_transient(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    bench.mute()
    with pytest.raises(TransientDriverError):
        await _drain(stream)
    await driver.close()


async def the_same_driver_opens_again_after_a_loss(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    await bench.vanish()
    with pytest.raises(TransientDriverError):
        await _drain(stream)
    await bench.come_back()
    await driver.open()
    scan = await _first_scan(driver)
    await driver.close()
    assert scan.readings


async def a_cancelled_read_ends_within_a_second(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    bench.mute()
    reading = asyncio.create_task(_drain(stream))
    await bench.until_read_is_pending()
    await _assert_cancels(reading)
    await driver.close()


async def a_cancelled_open_ends_within_a_second(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    await driver.close()
    bench.mute()
    opening = asyncio.create_task(_open_and_read(driver))
    await bench.until_read_is_pending()
    await _assert_cancels(opening)
    await driver.close()


async def close_may_be_called_at_any_time(bench: Bench) -> None:
    driver = bench.driver()
    await driver.close()
    await driver.open()
    await driver.close()
    await driver.close()
    await driver.open()
    await bench.vanish()
    await driver.close()
    await driver.close()


async def nothing_keeps_running_after_close(bench: Bench) -> None:
    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    await stream.aclose()
    await driver.close()
    await bench.vanish()
    left = asyncio.all_tasks() - before
    if left:
        _, left = await asyncio.wait(left, timeout=LOSS_DEADLINE_S)
    assert not left
    for thread in set(threading.enumerate()) - threads:
        if not thread.name.startswith("asyncio_"):  # the loop's own pool, which stays
            await asyncio.to_thread(thread.join, LOSS_DEADLINE_S)
            assert not thread.is_alive()


async def garbage_ends_the_stream_and_is_no_value(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    bench.garble()
    with pytest.raises(DriverError):
        await _drain(stream)
    await driver.close()


async def half_answers_end_the_stream_as_transient(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    bench.halve()
    with pytest.raises(TransientDriverError):
        await _drain(stream)
    await driver.close()


async def a_device_that_only_sends_garbage_is_named(bench: Bench) -> None:
    bench.garble()
    driver = bench.driver()
    with pytest.raises(DriverError) as caught:
        await _open_and_read(driver)
    await driver.close()
    assert bench.where in caught.value.message


async def it_reads_on_after_garbage(bench: Bench) -> None:
    driver = bench.driver()
    bench.garble()
    for _ in range(3):
        with pytest.raises(DriverError):
            await _open_and_read(driver)
        await driver.close()
    await bench.vanish()
    await bench.come_back()
    await driver.open()
    await _first(driver, Scan | SampleBlock)  # a node that is refused is a gap before it
    await driver.close()


async def a_consumer_that_pauses_loses_no_connection(bench: Bench) -> None:
    driver = bench.driver()
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    await asyncio.sleep(PAUSE_S)
    async with asyncio.timeout(LOSS_DEADLINE_S):
        await anext(stream)
    await stream.aclose()
    await driver.close()


async def its_report_is_there_at_any_time(bench: Bench) -> None:
    driver = bench.driver()
    assert isinstance(driver.report(), SourceReport)
    await driver.open()
    await anext(driver.stream())
    assert isinstance(driver.report(), SourceReport)
    await driver.close()
    assert isinstance(driver.report(), SourceReport)


LYING: frozenset[str] = frozenset(
    {
        "garbage_ends_the_stream_and_is_no_value",
        "half_answers_end_the_stream_as_transient",
        "a_device_that_only_sends_garbage_is_named",
        "it_reads_on_after_garbage",
    }
)
"""Checks that ask for a protocol: any bytes are samples to a device that has none."""

CHECKS: tuple[Callable[[Bench], Awaitable[None]], ...] = (
    yields_scans_of_its_own_name,
    an_absent_device_is_transient_and_named,
    a_lost_device_ends_the_stream_as_transient,
    a_mute_device_ends_the_stream_as_transient,
    the_same_driver_opens_again_after_a_loss,
    a_cancelled_read_ends_within_a_second,
    a_cancelled_open_ends_within_a_second,
    close_may_be_called_at_any_time,
    nothing_keeps_running_after_close,
    garbage_ends_the_stream_and_is_no_value,
    half_answers_end_the_stream_as_transient,
    a_device_that_only_sends_garbage_is_named,
    it_reads_on_after_garbage,
    a_consumer_that_pauses_loses_no_connection,
    its_report_is_there_at_any_time,
)


async def _first_scan(driver: Driver) -> Scan:
    scan = await _first(driver, Scan)
    assert isinstance(scan, Scan)
    return scan


async def _first(driver: Driver, kind: type | UnionType) -> Item:
    async with asyncio.timeout(LOSS_DEADLINE_S):
        async for item in driver.stream():
            if isinstance(item, kind):
                return item
    raise AssertionError(f"the stream ended without a {kind}")


async def _drain(stream) -> list[Item]:
    async with asyncio.timeout(LOSS_DEADLINE_S):
        return [item async for item in stream]


async def _open_and_read(driver: Driver) -> None:
    await driver.open()
    await _drain(driver.stream())


async def _assert_cancels(task: asyncio.Task) -> None:
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=CANCEL_DEADLINE_S)
    assert task in done, "still running a second after it was cancelled"
    assert task.cancelled(), "cancellation was swallowed or turned into something else"
