"""An accelerometer of the kernel: files and a FIFO in place of sysfs and the node, and a clock that we move."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.iio.driver import IioDriver
from edge_agent.drivers.iio.settings import IioSettings
from edge_agent.drivers.registry import build_driver
from edge_agent.errors import DeviceRejectedError, TransientDriverError
from tests.peers.iio_tree import SCALE, IioTree

RATE_HZ = 400
CHUNK = 40
PERIOD_NS = 1_000_000_000 // RATE_HZ
DEADLINE_S = 60.0


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[IioTree]:
    made = IioTree(tmp_path)
    yield made
    made.close()


def settings(tree: IioTree, **more: Any) -> IioSettings:
    place = {"type": "iio", "name": "acc", "asset": "pump-1", "sample_rate_hz": RATE_HZ, "unit": "m/s2"}
    places = {"sysfs_dir": str(tree.sysfs), "dev_dir": str(tree.dev), "silent_after_s": 30}
    points = [{"point": "x"}, {"point": "y"}, {"point": "z"}]
    return IioSettings.model_validate({**place, **places, "channels": points, **more})


class Kernel:
    """Feeds a ramp: scan n is (n, -n, 1000 + n), at its time, and moves the clock."""

    def __init__(self, tree: IioTree, clock: FakeClock, *, true_hz: float = RATE_HZ) -> None:
        self.tree, self.clock, self.true_hz, self.count = tree, clock, true_hz, 0

    async def feed(self, scans: int = CHUNK, *, lost: int = 0) -> None:
        """Write scans, `lost` missing ones before them, and wait until they are read."""
        self.count += lost
        numbers = range(self.count, self.count + scans)
        self.count += scans
        self.clock.advance((scans + lost) / self.true_hz)
        self.tree.write_scans(
            [(n % 30_000, -(n % 30_000), 1000) for n in numbers], [round(n * 1e9 / self.true_hz) for n in numbers]
        )
        while self.tree.unread:
            await asyncio.sleep(0.001)

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds * self.true_hz / CHUNK)):
            await self.feed()


async def collect(driver: IioDriver, into: list[SampleBlock]) -> None:
    async with aclosing(driver.stream()) as stream:
        async for block in stream:
            assert isinstance(block, SampleBlock)
            into.append(block)


async def started(driver: IioDriver) -> tuple[list[SampleBlock], asyncio.Task[None]]:
    blocks: list[SampleBlock] = []
    await driver.open()
    return blocks, asyncio.create_task(collect(driver, blocks))


async def until(blocks: list[SampleBlock], count: int) -> None:
    while len(blocks) < count:
        await asyncio.sleep(0.001)


async def ended(driver: IioDriver, task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await driver.close()
    await driver.close()


def made(given: IioSettings, clock: FakeClock) -> IioDriver:
    driver = build_driver(given, clock)
    assert isinstance(driver, IioDriver)
    return driver


async def test_every_scan_is_delivered_once_in_the_sources_unit(tree: IioTree) -> None:
    clock = FakeClock()
    driver = made(settings(tree), clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        await Kernel(tree, clock).run(4)
        await until(blocks, 20)
        await ended(driver, task)
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    np.testing.assert_allclose(np.diff(samples[0]), SCALE, rtol=1e-3)
    np.testing.assert_array_equal(samples[1], -samples[0])
    assert set(samples[2].tolist()) == {np.float32(1000 * SCALE)}
    assert {block.gap_before for block in blocks} == {None}
    assert {(block.unit, block.sample_rate_hz, block.n_samples) for block in blocks} == {("m/s2", 400.0, CHUNK)}
    assert abs(blocks[-1].end_ns - clock.now_ns()) <= 100_000_000


async def test_what_is_written_is_the_buffer_and_the_rate_and_closing_switches_it_off(tree: IioTree) -> None:
    tree.put(**{"sampling_frequency": "100.000000", "scan_elements/in_accel_y_en": "1", "buffer/enable": "1"})
    before = {str(file.relative_to(tree.device)): file.read_text() for file in tree.device.rglob("*") if file.is_file()}
    driver = made(settings(tree, channels=[{"point": "z", "device_channel": "accel_z"}]), FakeClock())
    await driver.open()
    after = {name: (tree.device / name).read_text() for name in before}
    await driver.close()
    assert {name: text.strip() for name, text in after.items() if text != before[name]} == {
        "sampling_frequency": "400",
        "scan_elements/in_accel_y_en": "0",
        "scan_elements/in_accel_z_en": "1",
        "scan_elements/in_timestamp_en": "1",
        "buffer/length": "800",
        "buffer/watermark": "40",
        "buffer/enable": "1",
    }
    assert tree.get("buffer/enable") == "0"


async def test_scans_that_the_kernel_dropped_are_a_gap_of_their_number(tree: IioTree) -> None:
    clock = FakeClock()
    driver = made(settings(tree), clock)
    kernel = Kernel(tree, clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        await kernel.run(2)
        seen = len(blocks)
        await kernel.feed(lost=55)
        await kernel.run(1)
        await until(blocks, seen + 10)
        await ended(driver, task)
    gaps = [block.gap_before for block in blocks if block.gap_before is not None]
    assert [(gap.cause, gap.count) for gap in gaps] == [(GapCause.OVERFLOW, 55)]
    assert gaps[0].end_ns - gaps[0].start_ns == pytest.approx(55 * PERIOD_NS, abs=5_000_000)
    figures = driver.report().figures
    assert (figures["overflows_total"], figures["missing_samples_total"]) == (1, 55)


@pytest.mark.parametrize("true_hz", [376.0, 424.0])
async def test_a_chip_that_is_off_by_six_per_cent_loses_nothing_and_its_rate_is_a_problem(
    tree: IioTree, true_hz: float
) -> None:
    clock = FakeClock()
    driver = made(settings(tree), clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        await Kernel(tree, clock, true_hz=true_hz).run(15)
        await until(blocks, 100)
        await ended(driver, task)
    report = driver.report()
    assert {block.gap_before for block in blocks} == {None}
    assert report.figures["measured_rate_hz"] == pytest.approx(true_hz, rel=1e-3)
    assert f"frequencies are off by {100 * (true_hz / 400 - 1):+.1f} %" in report.problems[0].what
    assert abs(blocks[-1].start_ns + CHUNK / true_hz * 1e9 - clock.now_ns()) < 110_000_000


async def test_units_offsets_types_and_one_axis_of_its_own_scale(tmp_path: Path) -> None:
    tree, clock = IioTree(tmp_path, axes={"accel_x": "be:s20/32>>12"}, has_timestamp=False), FakeClock()
    tree.put(in_accel_x_scale="0.5", in_accel_x_offset="-4")
    driver = made(settings(tree, unit="g", channels=[{"point": "x", "scale": 2.0}]), clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        while not blocks:
            clock.advance(0.1)
            tree.write((-100 << 12 & 0xFFFFFFFF).to_bytes(4, "big") * CHUNK)
            await asyncio.sleep(0.005)
        await ended(driver, task)
    tree.close()
    np.testing.assert_allclose(blocks[0].samples, -104 * 0.5 / 9.80665 * 2.0, rtol=1e-6)
    (shown,) = driver.report().figures["scales"]
    assert shown == {"point": "x", "device_channel": "accel_x", "factor": 0.101972, "origin": "driver"}


async def test_a_device_that_is_unplugged_is_lost_and_found_again_under_another_number(
    tree: IioTree, tmp_path: Path
) -> None:
    clock = FakeClock()
    driver = made(settings(tree, device="adxl345"), clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        await Kernel(tree, clock).run(2)
        await until(blocks, 5)
        tree.unplug()
        with pytest.raises(
            TransientDriverError, match=r"adxl345 \(iio:device0\) was unplugged, or its driver unloaded"
        ):
            await task
        await driver.close()
        with pytest.raises(TransientDriverError, match=r"'adxl345' is not there \(accelerometers: none\)"):
            await driver.open()
        back = IioTree(tmp_path, number=3)
        again, task = await started(driver)
        await Kernel(back, clock).run(2)
        await until(again, 1)
        await ended(driver, task)
        back.close()
    assert again[0].gap_before is not None
    assert again[0].gap_before.detail == "the source was opened again"
    assert again[0].block_index == blocks[-1].block_index + 1


async def test_a_device_that_gives_nothing_is_lost_and_cancelling_passes_while_it_is_waited_for(tree: IioTree) -> None:
    driver = made(settings(tree, silent_after_s=0.05), FakeClock())
    patient = made(settings(tree), FakeClock())
    async with asyncio.timeout(DEADLINE_S):
        _, task = await started(driver)
        with pytest.raises(TransientDriverError, match=r"has been silent for 0.05 s"):
            await task
        await driver.close()
        _, task = await started(patient)
        await asyncio.sleep(0.01)
        await ended(patient, task)
    assert task.cancelled()


@pytest.mark.parametrize(
    ("files", "more", "words"),
    [
        ({}, {"sample_rate_hz": 333}, r"does not sample at 333 Hz; it does 100, 200, 400, 800 Hz"),
        ({"sampling_frequency_available": "[1 1 50]"}, {"sample_rate_hz": 100}, r"it does 1 to 50 Hz"),
        ({}, {"device": "bma"}, r"'bma' is not there \(accelerometers: adxl345 \(iio:device0\)\)"),
        ({}, {"device": 7}, r"device 7 is not there"),
        ({}, {"channels": [{"point": "x", "device_channel": "accel_w"}]}, r"has no accel_w; it has accel_x"),
        ({}, {"channels": [{"point": f"p{n}"} for n in range(4)]}, r"has no 4 channels; it has accel_x"),
        ({"in_accel_scale": "what"}, {}, r"does not say the scale of accel_x"),
        ({"in_accel_scale": "nan"}, {}, r"does not say the scale of accel_x"),
        ({"scan_elements/in_accel_x_type": "le:s99/16>>0"}, {}, r"cannot be read: accel_x \(le:s99/16>>0\)"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused_with_what_the_device_has(
    tree: IioTree, files: dict[str, str], more: dict[str, Any], words: str
) -> None:
    tree.put(**files)
    driver = made(settings(tree, **more), FakeClock())
    with pytest.raises((DeviceRejectedError, TransientDriverError), match=words):
        await driver.open()
    await driver.close()


async def test_two_accelerometers_are_told_apart_by_folder_number_and_label(tree: IioTree, tmp_path: Path) -> None:
    other = IioTree(tmp_path, number=1)
    other.put(label="drive end")
    with pytest.raises(
        DeviceRejectedError, match=r"several fit \(adxl345 \(iio:device0\), drive end \(iio:device1\)\)"
    ):
        await made(settings(tree), FakeClock()).open()
    for wanted in ("iio:device1", 1, "drive end", "DRIVE"):
        driver = made(settings(tree, device=wanted), FakeClock())
        await driver.open()
        await driver.close()
        assert driver.report().figures["device"] == "drive end (iio:device1)"
    other.close()


async def test_a_device_without_a_buffer_and_a_system_without_any_are_told_in_words(tmp_path: Path) -> None:
    tree = IioTree(tmp_path, axes={})
    tree.put(in_accel_x_raw="3")
    with pytest.raises(DeviceRejectedError, match="has no buffer, so it gives no waveform"):
        await made(settings(tree), FakeClock()).open()
    tree.unplug()
    with pytest.raises(TransientDriverError, match=r"\(the only one\) is not there \(accelerometers: none\)"):
        await made(settings(tree), FakeClock()).open()


async def test_garbage_in_the_buffer_is_numbers_and_ends_in_no_error_of_ours(tree: IioTree) -> None:
    clock, random = FakeClock(), np.random.default_rng(5)
    driver = made(settings(tree), clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        while len(blocks) < 30:
            clock.advance(0.1)
            tree.write(random.bytes(int(random.integers(1, 2000))))
            await asyncio.sleep(0.002)
        await ended(driver, task)
    assert all(np.isfinite(block.samples).all() for block in blocks)
    starts = [block.start_ns for block in blocks]
    assert starts == sorted(starts)


async def test_a_wall_clock_that_was_set_is_no_lost_sample(tree: IioTree) -> None:
    clock = FakeClock()
    driver = made(settings(tree), clock)
    kernel = Kernel(tree, clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        await kernel.run(2)
        kernel.count += 1000 * RATE_HZ  # the kernel's stamps are of the wall clock
        await kernel.run(1)
        await until(blocks, 15)
        await ended(driver, task)
    assert {block.gap_before for block in blocks} == {None}
    assert driver.report().figures["missing_samples_total"] == 0


async def test_a_device_without_a_trigger_is_told_which_there_are_and_how_to_set_one(tree: IioTree) -> None:
    (tree.sysfs / "trigger0").mkdir()
    (tree.sysfs / "trigger0" / "name").write_text("timer-400\n")
    tree.put(**{"trigger/current_trigger": ""})
    (tree.device / "buffer" / "enable").unlink()
    (tree.device / "buffer" / "enable").mkdir()  # as the kernel, it takes no 1
    with pytest.raises(DeviceRejectedError, match=r"needs a trigger and has none \(triggers: timer-400\)") as caught:
        await made(settings(tree), FakeClock()).open()
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"as root: echo timer-400 > {tree.device}/trigger/current_trigger")


async def test_it_may_be_closed_and_asked_at_any_time_and_leaves_no_thread(tree: IioTree) -> None:
    clock, before = FakeClock(), set(threading.enumerate())
    driver = made(settings(tree), clock)
    assert driver.report().figures["device"] is None
    await driver.close()
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(3):
            blocks, task = await started(driver)
            await Kernel(tree, clock).run(2)
            await until(blocks, 1)
            await ended(driver, task)
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("asyncio_"):  # the loop's own pool, which stays
            await asyncio.to_thread(thread.join, DEADLINE_S)
            assert not thread.is_alive()
    assert tree.get("buffer/enable") == "0"


async def test_half_a_scan_waits_for_its_other_half(tree: IioTree) -> None:
    clock = FakeClock()
    driver = made(settings(tree, silent_after_s=0.2), clock)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        tree.write(b"\x00" * 7)
        with pytest.raises(TransientDriverError, match="has been silent"):
            await task
        await driver.close()
    assert blocks == []


async def test_a_busy_box_that_reads_late_makes_no_gap_of_it(tree: IioTree) -> None:
    clock, random = FakeClock(), np.random.default_rng(11)
    driver = made(settings(tree), clock)
    kernel = Kernel(tree, clock, true_hz=408.0)
    async with asyncio.timeout(DEADLINE_S):
        blocks, task = await started(driver)
        for _ in range(50):  # nothing is read for up to 0.4 s, and then all of it
            await kernel.feed(CHUNK * int(random.integers(1, 5)))
        await until(blocks, 20)
        await ended(driver, task)
    assert {block.gap_before for block in blocks} == {None}
