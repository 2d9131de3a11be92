"""A wait goes on while something happens, and ends when nothing does."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from tests.support.patience import Patience, cpu_seconds

BUSY = "print('begun', flush=True)\nwhile True: pass"


async def test_what_is_done_is_not_waited_for():
    await Patience(0.0).until(lambda: True, "nothing")


async def test_nothing_that_happens_ends_a_wait_and_says_of_what():
    with pytest.raises(TimeoutError, match="a row that never comes"):
        await Patience(0.01).until(lambda: False, "a row that never comes")


async def test_progress_prolongs_a_wait():
    count = itertools.count()
    patience = Patience(0.0, lambda: next(count))
    assert [patience.is_over for _ in range(100)] == [False] * 100


async def test_progress_without_end_is_ended():
    count = itertools.count()
    with pytest.raises(TimeoutError):
        await Patience(60.0, lambda: next(count), at_most_s=0.2).until(lambda: False, "an end")


async def test_a_process_that_works_is_waited_for():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        before = cpu_seconds(busy.pid)
        await Patience(30.0).until(lambda: cpu_seconds(busy.pid) > before + 0.05, "work")
        busy.kill()
    assert cpu_seconds(busy.pid) == 0.0
    assert cpu_seconds(os.getpid()) > 0.0
