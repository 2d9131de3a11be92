"""The Modbus driver against a hand-written device on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from edge_agent.core.clock import FakeClock, SystemClock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Scan
from edge_agent.drivers.base import Item
from edge_agent.drivers.modbus.driver import ModbusDriver
from edge_agent.drivers.modbus.polling.block_plan import LONGEST_WAIT_S
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.report import TagState
from edge_agent.drivers.supervisor import Supervisor
from edge_agent.errors import TransientDriverError
from tests.peers.scripted_modbus import Memory, Request, bit_answer, exception, register_answer, scripted_device

DEADLINE_S = 10.0


def uint16(address: int, table: str = "holding") -> dict:
    data_type = "bool" if table in ("coil", "discrete") else "uint16"
    return {"name": f"m.{table}-{address}", "unit": "", "table": table, "address": address, "data_type": data_type}


def settings(port: int, *groups: dict, **more) -> ModbusSettings:
    place = {"type": "modbus", "name": "mill", "host": "127.0.0.1", "port": port, "timeout_s": 0.5}
    return ModbusSettings.model_validate({**place, "poll_groups": list(groups), **more})


async def collect(driver: ModbusDriver, scans: int) -> list:
    """Everything the driver yields up to its `scans`-th scan."""
    items = []
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        async for item in driver.stream():
            items.append(item)
            scans -= isinstance(item, Scan)
            if not scans:
                break
    await driver.close()
    return items


def values(scan: Scan) -> dict[str, float | None]:
    return {reading.tag.name: reading.value for reading in scan.readings}


async def test_a_pass_reads_all_four_tables_in_the_order_of_the_configuration():
    tags = [uint16(3, "coil"), uint16(7), uint16(2, "input"), uint16(9, "discrete"), uint16(6)]
    memory = Memory({2: 22, 6: 66, 7: 77}, {3: True, 9: False})
    async with scripted_device(memory) as device:
        driver = ModbusDriver(settings(device.port, {"tags": tags}), FakeClock())
        (scan,) = await collect(driver, 1)
    assert [(reading.tag.name, reading.value) for reading in scan.readings] == [
        ("m.coil-3", 1.0), ("m.holding-7", 77.0), ("m.input-2", 22.0), ("m.discrete-9", 0.0), ("m.holding-6", 66.0),
    ]  # fmt: skip
    assert {request.function for request in device.requests} == {1, 2, 3, 4}


async def test_only_read_functions_are_ever_sent_whatever_the_device_answers():
    tags = [uint16(address, table) for table in ("holding", "input", "coil", "discrete") for address in (0, 1, 40)]
    turns = iter(range(10_000))
    memory = Memory({0: 1, 1: 2}, {0: True})

    def moody(request: Request) -> bytes:
        answers = [memory(request), exception(request.function, 6), exception(request.function, 1)]
        return answers[next(turns) % 3]

    async with scripted_device(moody) as device:
        driver = ModbusDriver(settings(device.port, {"tags": tags}), FakeClock())
        await collect(driver, 8)
    assert len(device.requests) > 8
    assert {request.function for request in device.requests} <= {1, 2, 3, 4}


async def test_a_register_that_does_not_exist_costs_that_tag_only_and_is_told_once():
    tags = [uint16(address) for address in (0, 1, 2, 3, 20, 21)]
    memory = Memory({0: 10, 1: 11, 3: 13, 20: 30, 21: 31})  # 2 is missing, and so is the hole
    async with scripted_device(memory) as device:
        driver = ModbusDriver(settings(device.port, {"tags": tags}), FakeClock())
        items = await collect(driver, 3)
        stats = driver.stats()
    scans = [item for item in items if isinstance(item, Scan)]
    gaps = [item for item in items if isinstance(item, Gap)]
    healthy = {"m.holding-0": 10, "m.holding-1": 11, "m.holding-3": 13, "m.holding-20": 30, "m.holding-21": 31}
    assert values(scans[0]) == {**healthy, "m.holding-2": None}
    bad = next(reading for reading in scans[0].readings if reading.value is None)
    assert (bad.quality, bad.status) == (Quality.BAD, "exception 2 illegal data address")
    assert [values(scan) for scan in scans[1:]] == [healthy, healthy]
    assert [(gap.subject, gap.cause) for gap in gaps] == [("m.holding-2", GapCause.DEVICE_REJECTED)]
    assert "exception 2" in gaps[0].detail
    assert stats.rejected_tags == ("m.holding-2",)


async def test_a_refused_register_is_asked_for_again_rarely_and_comes_back_when_it_appears():
    memory = Memory({0: 10})
    clock = FakeClock()
    group = {"interval_s": 1.0, "tags": [uint16(0), uint16(1)]}
    async with scripted_device(memory) as device:
        driver = ModbusDriver(settings(device.port, group), clock)
        await driver.open()
        stream = driver.stream()
        scans = [await anext(stream)]
        assert isinstance(await anext(stream), Gap)
        before = len(device.requests)
        scans += [await anext(stream) for _ in range(10)]
        assert [(r.address, r.count) for r in device.requests[before:]] == [(0, 1)] * 10
        memory.registers[1] = 11
        clock.advance(LONGEST_WAIT_S)
        scans += [await anext(stream) for _ in range(2)]
        await driver.close()
    assert values(scans[-1]) == {"m.holding-0": 10, "m.holding-1": 11}
    assert driver.stats().rejected_tags == ()


@pytest.mark.parametrize("n_busy", [1, 4])
async def test_a_busy_device_is_asked_again_gives_bad_readings_then_and_keeps_its_connection(n_busy: int):
    busy = iter([True] * n_busy)
    memory = Memory({5: 55})

    def script(request: Request) -> bytes:
        return exception(request.function, 6) if next(busy, False) else memory(request)

    async with scripted_device(script) as device:
        driver = ModbusDriver(settings(device.port, {"tags": [uint16(5)]}), FakeClock())
        first, second = await collect(driver, 2)
    (reading,) = first.readings
    bad = (None, "exception 6 server device busy")
    assert (reading.value, reading.status) == (bad if n_busy == 4 else (55, ""))
    assert values(second) == {"m.holding-5": 55}
    assert device.connections_total == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: register_answer(request.function, [1] * (request.count - 1)),
        lambda request: register_answer(request.function, [1] * (request.count + 1)),
        lambda request: register_answer(request.function, []),
        lambda request: register_answer(4, [1] * request.count),
        lambda request: bit_answer(1, [True] * request.count),
    ],
    ids=["one register short", "one too many", "empty", "another table", "bits for registers"],
)
async def test_an_answer_that_does_not_fit_the_question_is_refused_and_drops_the_connection(answer):
    async with scripted_device(answer) as device:
        driver = ModbusDriver(settings(device.port, {"tags": [uint16(0), uint16(1)]}), FakeClock())
        with pytest.raises(TransientDriverError, match=f"127.0.0.1:{device.port}"):
            await collect(driver, 1)
        async with asyncio.timeout(DEADLINE_S):
            await device.hung_up.wait()
        await driver.close()


async def test_a_late_answer_is_never_taken_for_the_next_ones():
    """Two questions are not answered: the device is lost, and found again with what it holds then."""
    memory = Memory({0: 10})
    silent = iter([True, True])

    def script(request: Request) -> bytes | None:
        return None if next(silent, False) else memory(request)

    async with scripted_device(script) as device:
        driver = ModbusDriver(settings(device.port, {"tags": [uint16(0)]}, timeout_s=0.1), FakeClock())
        with pytest.raises(TransientDriverError, match=r"within 0\.1 s"):
            await collect(driver, 1)
        memory.registers[0] = 20
        (scan,) = await collect(driver, 1)
        assert device.connections_total == 2
    assert values(scan) == {"m.holding-0": 20}


async def test_a_stream_that_was_never_opened_says_the_connection_is_closed():
    driver = ModbusDriver(settings(502, {"tags": [uint16(0)]}), FakeClock())
    with pytest.raises(TransientDriverError, match="is closed"):
        await anext(driver.stream())


async def test_poll_groups_keep_their_own_rates_on_one_connection():
    fast = {"interval_s": 1.0, "tags": [uint16(0)]}
    slow = {"interval_s": 5.0, "tags": [uint16(50)]}
    async with scripted_device(Memory({0: 1, 50: 2})) as device:
        driver = ModbusDriver(settings(device.port, fast, slow), FakeClock())
        items = await collect(driver, 24)
    assert device.connections_total == 1
    # Twenty seconds on a clock that moves only by waiting: both groups at 0, 5, 10 and 15.
    assert [r.address for r in device.requests] == [0, 50, 0, 0, 0, 0] * 4
    assert len(items) == 24


async def test_scans_are_stamped_on_a_grid_that_does_not_drift():
    clock = FakeClock()
    start_ns = clock.now_ns()

    def slow(request: Request) -> bytes:
        clock.advance(0.3)
        return register_answer(request.function, [1])

    async with scripted_device(slow) as device:
        driver = ModbusDriver(settings(device.port, {"interval_s": 1.0, "tags": [uint16(0)]}), clock)
        items = await collect(driver, 5)
        assert driver.stats().overruns_total == 0
    stamps = [(item.readings[0].received_time_ns - start_ns) / 1e9 for item in items]
    assert stamps == pytest.approx([0.3, 1.3, 2.3, 3.3, 4.3])


async def test_a_device_slower_than_its_interval_makes_overruns_not_a_backlog():
    clock = FakeClock()

    def very_slow(request: Request) -> bytes:
        clock.advance(2.5)
        return register_answer(request.function, [1])

    async with scripted_device(very_slow) as device:
        driver = ModbusDriver(settings(device.port, {"interval_s": 1.0, "tags": [uint16(0)]}), clock)
        await collect(driver, 4)
        assert len(device.requests) == 4
        # Each pass runs over two points of the grid; the fourth's are counted when the next is due.
        assert driver.stats().overruns_total == 6


async def test_a_cancelled_read_leaves_no_socket_behind():
    async with scripted_device(lambda request: None) as device:
        driver = ModbusDriver(settings(device.port, {"tags": [uint16(0)]}, timeout_s=60), SystemClock())
        await driver.open()
        reading = asyncio.create_task(anext(driver.stream()))
        async with asyncio.timeout(DEADLINE_S):
            while not device.requests:
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            await driver.close()
            await device.hung_up.wait()
        assert reading.cancelled()


async def test_a_device_that_hangs_up_is_said_to_have_hung_up():
    def hang_up(request: Request) -> bytes | None:
        raise ConnectionResetError

    async with scripted_device(hang_up) as device:
        driver = ModbusDriver(settings(device.port, {"tags": [uint16(0)]}, timeout_s=0.2), FakeClock())
        with pytest.raises(TransientDriverError, match=f"127.0.0.1:{device.port} closed the connection"):
            await collect(driver, 1)


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_that_meets_an_answer_ends_the_source(turns: int) -> None:
    """`asyncio.wait_for` of Python 3.11 drops one that comes up to two turns of the loop after the answer."""
    memory = Memory(dict.fromkeys(range(0, 300, 100), 7))

    def answered(request: Request) -> bytes | None:
        if len(device.requests) == 4:  # in the middle of the second scan, which reads three blocks
            _after(turns, source.cancel)
        return memory(request)

    async with scripted_device(answered) as device:
        groups = {"interval_s": 0.01, "tags": [uint16(address) for address in memory.registers]}
        driver = ModbusDriver(settings(device.port, groups), SystemClock())
        source = asyncio.create_task(
            Supervisor(driver, deliver=_take_nothing, clock=SystemClock(), log=lambda *_: None).run()
        )
        await asyncio.wait([source], timeout=DEADLINE_S)
        assert source.cancelled()
        assert len(device.requests) <= 5, "no more is asked than what was on its way"


def _after(turns: int, call: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_soon(*((_after, turns - 1, call) if turns else (call,)))


async def _take_nothing(_item: Item) -> None: ...


def without_input_registers(memory: Memory) -> Callable[[Request], bytes | None]:
    """A device that leaves one table without an answer, as many do instead of an exception."""
    return lambda request: None if request.function == 4 else memory(request)


async def test_a_table_that_is_never_answered_costs_its_own_tags_only():
    tags = [uint16(0), uint16(1), uint16(0, "input"), uint16(1, "input")]
    async with scripted_device(without_input_registers(Memory({0: 10, 1: 11}))) as device:
        driver = ModbusDriver(settings(device.port, {"tags": tags, "interval_s": 0.01}, timeout_s=0.05), SystemClock())
        items = await collect(driver, 12)
        report = driver.report()
    scans = [item for item in items if isinstance(item, Scan)]
    assert all(values(scan).items() >= {"m.holding-0": 10, "m.holding-1": 11}.items() for scan in scans)
    assert {tag: known.state for tag, known in report.tags.items()} == dict.fromkeys(
        ("m.input-0", "m.input-1"), TagState.SILENT
    )
    assert {item.subject for item in items if isinstance(item, Gap)} == {"m.input-0", "m.input-1"}
    assert len([request for request in device.requests if request.function == 4]) < 8


async def test_a_range_that_closes_the_connection_costs_its_own_tags_only():
    memory = Memory(dict.fromkeys(range(40), 7))

    def script(request: Request) -> bytes | None:
        if request.address + request.count > 20:
            raise ConnectionResetError
        return memory(request)

    tags = [uint16(address) for address in range(40)]
    async with scripted_device(script) as device:
        driver = ModbusDriver(settings(device.port, {"tags": tags, "interval_s": 0.01}, timeout_s=0.2), SystemClock())
        # A first read of all is not answered at all: found out with one tag after the other, over new connections.
        for _ in range(8):
            with contextlib.suppress(TransientDriverError):
                items = await collect(driver, 60)
                break
        report = driver.report()
    (*_, last) = [item for item in items if isinstance(item, Scan)]
    assert values(last) == {f"m.holding-{address}": 7.0 for address in range(20)}
    assert "closed the connection" in report.tags["m.holding-39"].detail


async def test_a_rarely_read_device_is_looked_into_between_its_scans():
    clock = FakeClock()
    script = without_input_registers(Memory(dict.fromkeys(range(3), 7)))

    def slow(request: Request) -> bytes | None:
        clock.advance(3.0 if request.function == 4 else 0.01)
        return script(request)

    tags = [uint16(0), *(uint16(address, "input") for address in range(3))]
    async with scripted_device(slow) as device:
        group = {"tags": tags, "interval_s": 300.0}
        driver = ModbusDriver(settings(device.port, group, timeout_s=0.05), clock)
        await collect(driver, 2)
    asked = [(request.address, request.count) for request in device.requests if request.function == 4]
    assert {(0, 1), (2, 1)} < set(asked), "the ends of what is silent, before the next scan"


async def test_report_counts_and_measures_what_was_asked():
    memory = Memory({0: 10})
    async with scripted_device(memory) as device:
        driver = ModbusDriver(settings(device.port, {"tags": [uint16(0), uint16(1)]}), FakeClock())
        await collect(driver, 3)
        figures = driver.report().figures
    assert figures["requests_total"] == len(device.requests)
    assert figures["exceptions_by_code"] == {"2": 2}
    assert figures["longest_reads_learnt"] == {}
    assert figures["slow_scans_total"] == 0
