"""The driver contract on an accelerometer of the kernel: a tree of files, and a FIFO that is fed in real time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.drivers.iio.driver import IioDriver
from edge_agent.drivers.iio.settings import IioSettings
from tests.contract.check_driver import CHECKS, LYING
from tests.peers.iio_tree import IioTree

RATE_HZ = 400
SCANS_ONLY = {"yields_scans_of_its_own_name", "the_same_driver_opens_again_after_a_loss"}


class IioBench:
    """A chip that measures while its buffer is on, as the kernel would hand it over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree = IioTree(folder)
        self._is_mute = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._feeding = threading.Thread(target=self._feed)
        self._feeding.start()

    @property
    def where(self) -> str:
        return "adxl345"

    def driver(self) -> IioDriver:
        places = {"sysfs_dir": str(self._tree.sysfs), "dev_dir": str(self._tree.dev), "silent_after_s": 1.5}
        points = [{"point": "x"}, {"point": "y"}, {"point": "z"}]
        source = {"type": "iio", "name": "acc", "asset": "pump-1", "device": "adxl345", "sample_rate_hz": RATE_HZ}
        return IioDriver(IioSettings.model_validate({**source, **places, "channels": points}), SystemClock())

    async def vanish(self) -> None:
        with self._lock:
            self._tree.unplug()

    async def come_back(self) -> None:
        with self._lock:
            shutil.rmtree(self._folder / "gone")
            self._tree.plug_in()

    def mute(self) -> None:
        self._is_mute = True

    def garble(self) -> None:
        raise AssertionError("any bytes are samples")

    halve = garble

    async def until_read_is_pending(self) -> None:
        await asyncio.sleep(0.05)

    def close(self) -> None:
        self._ended.set()
        self._feeding.join()
        self._tree.close()

    def _feed(self) -> None:
        while not self._ended.wait(0.05):
            with self._lock, contextlib.suppress(AssertionError, OSError):
                if not self._is_mute and self._tree.get("buffer/enable") == "1":
                    newest_ns = time.time_ns()
                    times = [newest_ns - (19 - scan) * 1_000_000_000 // RATE_HZ for scan in range(20)]
                    self._tree.write_scans([(scan, -scan, 1000) for scan in range(20)], times)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[IioBench]:
    made = IioBench(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check.__name__ not in SCANS_ONLY | LYING],
    ids=lambda check: check.__name__,
)
async def test_driver_contract(check: Any, bench: IioBench) -> None:
    await check(bench)
