"""The names of tests: two processes that collect at different times and places must agree on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.wall_clock import WallClock
from tests.support.databases import REPOSITORY

A_YEAR_S = 366 * 86_400.0


def names_elsewhere(environment: dict[str, str]) -> list[str]:
    """The names of all tests, as another process collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.timeout(600)
def test_names_do_not_depend_on_time_zone_day_or_hash_seed(request: pytest.FixtureRequest, tmp_path: Path):
    """This process has collected them, here and now: all of them in a run of the whole suite."""
    clock = WallClock(tmp_path)
    clock.step_s(A_YEAR_S + 1)
    there = names_elsewhere({"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "2", **clock.environment})
    here = [item.nodeid for item in request.session.items]
    assert len(there) > 1_000
    assert len(set(there)) == len(there)
    assert set(here) <= set(there)
    if len(here) == len(there):
        assert here == there
