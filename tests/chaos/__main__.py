"""`make chaos`: a run of any length, against either database; one JSON object per run."""

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
from tests.chaos.run import chaos


async def run(database: str, *, seed: int, seconds: float) -> bool:
    print(f"CHAOS_SEED={seed} against {database} for {seconds:g} s", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with DATABASES[database]() as server:
            report = await chaos(server, Path(folder), seed=seed, seconds=seconds)
    print(json.dumps(report.as_json()), flush=True)
    assert report.verdict is not None
    return report.verdict.is_good


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Faults until told otherwise, then the judge.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long things break")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CHAOS_SEED", random.randrange(1 << 31))))
    parser.add_argument("--database", choices=DATABASES, action="append", help="default: all that can run here")
    options = parser.parse_args()
    usable = [name for name in DATABASES if name == "postgresql" or os.geteuid() == 0]
    verdicts = [
        asyncio.run(run(name, seed=options.seed, seconds=options.seconds)) for name in options.database or usable
    ]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
