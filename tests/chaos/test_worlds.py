"""Every marked key exactly once through everything that can break, in five runs.

CHAOS_SEED replays a run's faults; `make chaos` runs for as long as one likes.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from tests.chaos.databases import DATABASES
from tests.chaos.run import SCENARIOS, chaos

# Two minutes in all, so that the whole suite stays bearable; each world has the time for every kind of fault once,
# and the newest roads have some to spare.
SHARES = [
    ("https", "postgresql", 20.0),
    pytest.param("https", "timescaledb", 20.0, marks=pytest.mark.root),
    ("mqtt", "postgresql", 30.0),
    ("agent", "postgresql", 35.0),
    ("balanced", "postgresql", 20.0),
]


@pytest.mark.timeout(900)  # a minute or two alone; with the machine at load 25 the MQTT world took six
@pytest.mark.parametrize(("world", "database", "seconds"), SHARES)
async def test_every_marked_key_arrives_exactly_once_and_intact(
    world: str, database: str, seconds: float, tmp_path: Path
):
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1 << 31)))
    print(f"CHAOS_SEED={seed}")
    async with DATABASES[database]() as server:
        report = await chaos(SCENARIOS[world], server, tmp_path, seed=seed, seconds=seconds)
    print(json.dumps(report.as_json()))
    assert report.is_good, f"{report.as_json()}; again with: {report.replay}"
    kinds = {fault.name for fault in SCENARIOS[world].faults if os.geteuid() == 0 or not fault.needs_disk}
    assert set(report.faults) == kinds
    assert report.verdict is not None
    assert report.verdict.marked > 1_000
