"""What the world of the whole agent stands on: a clock that is really set, and values that say which they are."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.plant import NumberedPlant, number_of, tag_name, value_of_reading
from tests.chaos.wall_clock import WallClock
from tests.peers.scripted_modbus import Request

ASK = """
import sys, threading, time
for _ in sys.stdin:
    began_s = time.monotonic()
    time.sleep(0.001)
    threading.Event().wait(0.001)
    print(int(time.time()), time.time_ns() // 10**9, time.monotonic() >= began_s, flush=True)
"""


@pytest.mark.parametrize("year", [1970, 2026, 2099])
def test_a_child_sees_the_clock_that_was_set_and_waits_as_before(tmp_path: Path, year: int):
    clock = WallClock(tmp_path)
    moment = datetime(year, 6, 1, tzinfo=UTC)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", ASK]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=clock.environment) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("before it is set\n")
        child.stdin.flush()
        child.stdout.readline()
        clock.set_to(moment)
        child.stdin.write("now\n")
        child.stdin.close()
        seconds, as_nanoseconds, is_monotonic = child.stdout.readline().split()
    assert datetime.fromtimestamp(int(seconds), UTC).date() == moment.date()
    assert abs(int(seconds) - int(as_nanoseconds)) <= 1
    assert is_monotonic == "True"


def test_a_reading_says_its_number_and_no_other_tags():
    value = value_of_reading(tag_name(3), 41)
    assert number_of(tag_name(3), value) == 41
    assert number_of(tag_name(4), value) is None
    assert number_of(tag_name(3), value + 1.0) is None


def test_every_read_of_the_plant_is_another_number():
    plant = NumberedPlant()
    answers = {plant(Request(3, 0, 32)) for _ in range(3)}
    assert len(answers) == 3
    assert list(plant.handed) == [1, 2, 3]


def test_a_question_for_a_part_is_no_reading_and_has_no_number_of_one():
    plant = NumberedPlant()
    answers = {plant(Request(3, 0, count)) for count in (32, 4, 32)}
    assert len(answers) == 3
    assert list(plant.handed) == [1, 3]


def test_a_mute_plant_gives_out_no_number():
    plant = NumberedPlant()
    plant.is_mute = True
    assert plant(Request(3, 0, 4)) is None
    assert not plant.handed
