"""Every marked key exactly once through everything that can break; and a judge that would notice if not.

CHAOS_SEED replays a run's faults; `make chaos` runs for as long as one likes.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from tests.chaos.databases import DATABASES
from tests.chaos.faults import FAULTS
from tests.chaos.oracle import Key, judge, value_of
from tests.chaos.run import chaos

SECONDS = 60.0
MARKED: list[Key] = [(f"s-{n}", 1_000 + n) for n in range(10)]
ARRIVED = [(key, value_of(*key)) for key in MARKED]


def test_judge_is_content_with_every_key_once():
    verdict = judge(MARKED, ARRIVED)
    assert verdict.is_good
    assert (verdict.marked, verdict.arrived, verdict.unmarked) == (10, 10, 0)


def test_judge_notices_a_lost_key():
    verdict = judge(MARKED, ARRIVED[1:])
    assert not verdict.is_good
    assert verdict.lost == MARKED[:1]


def test_judge_notices_a_key_that_arrived_twice():
    verdict = judge(MARKED, [*ARRIVED, ARRIVED[3]])
    assert not verdict.is_good
    assert verdict.doubled == [MARKED[3]]


def test_judge_notices_another_value():
    verdict = judge(MARKED, [(MARKED[0], 0.5), *ARRIVED[1:]])
    assert not verdict.is_good
    assert verdict.damaged == [MARKED[0]]


def test_judge_lets_a_durable_key_arrive_without_its_mark():
    verdict = judge(MARKED[1:], ARRIVED)
    assert verdict.is_good
    assert verdict.unmarked == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["postgresql", pytest.param("timescaledb", marks=pytest.mark.root)])
async def test_every_marked_key_arrives_exactly_once_and_intact(database: str, tmp_path: Path):
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1 << 31)))
    print(f"CHAOS_SEED={seed}")
    async with DATABASES[database]() as server:
        report = await chaos(server, tmp_path, seed=seed, seconds=SECONDS)
    print(json.dumps(report.as_json()))
    assert report.verdict is not None
    assert report.verdict.is_good, report.as_json()
    assert set(report.faults) == {fault.name for fault in FAULTS}
    assert report.verdict.marked > 1_000
    assert (report.dead_letters, report.ledger_differs) == (0, 0)
