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


def collecting(**environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def names(process: subprocess.Popen[str]) -> list[str]:
    said, errors = process.communicate()
    assert process.returncode == 0, said[-2_000:] + errors
    return [line for line in said.splitlines() if "::" in line]


@pytest.mark.timeout(600)
def test_names_do_not_depend_on_time_zone_order_or_hash_seed(tmp_path: Path):
    clock = WallClock(tmp_path)
    clock.step_s(A_YEAR_S + 1)
    here = collecting(TZ="UTC", PYTHONHASHSEED="1")
    there = collecting(TZ="Pacific/Auckland", PYTHONHASHSEED="2", **clock.environment)
    with here, there:
        one, other = names(here), names(there)
    assert len(one) > 1_000
    assert one == other
    assert len(set(one)) == len(one)
