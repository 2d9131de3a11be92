"""`make chaos`: runs of any length in every world, against either database; one JSON object per run."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.databases import DATABASES
from tests.chaos.oracle import Report
from tests.chaos.run import SCENARIOS, chaos


async def run(world: str, database: str, *, seed: int, seconds: float) -> Report:
    print(f"seed {seed}: {world} against {database} for {seconds:g} s", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with DATABASES[database]() as server:
            return await chaos(SCENARIOS[world], server, Path(folder), seed=seed, seconds=seconds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Faults until told otherwise, then the judge.")
    parser.add_argument("--world", choices=[*SCENARIOS, "all"], default="all", help="what is broken; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long things break in each world")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CHAOS_SEED", random.randrange(1 << 31))))
    parser.add_argument("--database", choices=DATABASES, action="append", help="default: all that can run here")
    options = parser.parse_args()
    worlds = SCENARIOS if options.world == "all" else [options.world]
    usable = [name for name in DATABASES if name == "postgresql" or os.geteuid() == 0]
    is_good = True
    for world in worlds:
        for database in options.database or usable:
            report = asyncio.run(run(world, database, seed=options.seed, seconds=options.seconds))
            print(json.dumps(report.as_json()), flush=True)
            if not report.is_good:
                is_good = False
                print(f"failed; again with: {report.replay}", file=sys.stderr)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
