"""Run the suite with every test at the end of a year, which ends an hour, a day and a month as well.

    [YEARS_AHEAD=2] python -m tests.support.year_end [PYTEST ARGUMENTS]

Years ahead find fixed dates that are compared with today's. Each worker has a wall clock of its own. It stands at half
a minute before midnight while a test is set up, and at `LEAD_S` before midnight when its body begins, so that the year
ends inside it. Monotonic time is the machine's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.chaos.wall_clock import WallClock

WORKERS = 2
LEAD_S = 0.03
_SET_UP_S = 30.0
_COLLECTED_S = 60.0
_FOLDER = "YEAR_END_FOLDER"


def midnight(now: datetime) -> datetime:
    """Return the next 1 January, 00:00 UTC, or one so many years ahead."""
    return datetime(now.year + 1 + int(os.environ.get("YEARS_AHEAD", "0")), 1, 1, tzinfo=UTC)


class YearEnd:
    """A plugin of one worker process, whose clock lies in `folder`."""

    def __init__(self, clock: WallClock, midnight: datetime) -> None:
        self._clock = clock
        self._midnight = midnight

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        self._clock.set_to(self._midnight - timedelta(seconds=_SET_UP_S))
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        self._clock.set_to(self._midnight - timedelta(seconds=LEAD_S))
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        clock = WallClock(Path(os.environ[_FOLDER]), Path(os.environ["WALL_CLOCK_FILE"]).name)
        config.pluginmanager.register(YearEnd(clock, midnight(clock.true_time())))


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clocks = [WallClock(folder, f"worker-{number}") for number in range(WORKERS)]
        for clock in clocks:
            clock.set_to(midnight(clock.true_time()) - timedelta(seconds=_COLLECTED_S))
        workers = [f"--tx=popen//env:WALL_CLOCK_FILE={clock.environment['WALL_CLOCK_FILE']}" for clock in clocks]
        options = ["-p", "tests.support.year_end", "--dist=loadscope", "--no-loadscope-reorder", *workers]
        command = [sys.executable, "-m", "pytest", *options, *arguments]
        return subprocess.run(command, env=os.environ | clocks[0].environment | {_FOLDER: name}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
