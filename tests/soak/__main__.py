"""`make soak`: the whole pipeline for hours, with faults of the link now and then; does anything grow?

Exit status: 0 when nothing grows and every key is at the central once, 1 when something does or a row is missing, 2
when the run was too short to say.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_agent.demo.stack import prepare_folders
from tests.soak.report import Sample, as_json, as_table, slopes, verdict_of
from tests.soak.slopes import Verdict
from tests.soak.stack import SoakStack

EXIT_STATUS = {Verdict.FLAT: 0, Verdict.GROWS: 1, Verdict.UNDECIDED: 2}


async def soak(stack: SoakStack, options: argparse.Namespace, samples_file: Path) -> dict[str, Any]:
    """Run for so long, write each sample down at once, then count keys and look at the slopes."""
    samples: list[Sample] = []
    async with stack.running():
        failing = asyncio.create_task(stack.fail_now_and_then(random.Random(options.seed)))
        began_s = time.monotonic()
        try:
            with samples_file.open("w") as file:
                while time.monotonic() - began_s < options.hours * 3_600.0:
                    await asyncio.sleep(options.every)
                    samples.append({"at_s": round(time.monotonic() - began_s, 2), **await stack.sample()})
                    file.write(json.dumps(samples[-1]) + "\n")
                    file.flush()
        finally:
            failing.cancel()
            await asyncio.wait([failing])
            stack.put_right()
        counted, _ = await stack.finish()
    return {"samples": samples, "audit": counted}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description="The whole pipeline for hours: does anything grow?")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two samples")
    parser.add_argument("--warm-up", type=float, help="seconds that are not counted; default: a third, at most an hour")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="of the link's faults")
    parser.add_argument("--samples", type=Path, default=Path("build/soak.jsonl"), help="where the samples are written")
    parser.add_argument("--again", type=Path, help="no run: judge the samples of a file")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    report = _judge_again(options) if options.again else _run(options)
    print(json.dumps(report["json"]) if options.json else report["text"])
    return report["status"]


def _run(options: argparse.Namespace) -> dict[str, Any]:
    print(f"seed {options.seed}: {options.hours:g} h; samples in {options.samples}", file=sys.stderr, flush=True)
    options.samples.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/var/tmp") as folder:
        folders = prepare_folders(Path(folder), None)
        stack = SoakStack(folders)
        try:
            run = asyncio.run(soak(stack, options, options.samples))
        finally:
            shutil.rmtree(folders.runtime_dir, ignore_errors=True)
    return _report(run["samples"], options, {"faults": dict(stack.faults), "audit": asdict(run["audit"])})


def _judge_again(options: argparse.Namespace) -> dict[str, Any]:
    samples = [json.loads(line) for line in options.again.read_text().splitlines()]
    return _report(samples, options, {})


def _report(samples: list[Sample], options: argparse.Namespace, run: dict[str, Any]) -> dict[str, Any]:
    lasted_s = samples[-1]["at_s"] if samples else 0.0
    warm_up_s = options.warm_up if options.warm_up is not None else min(lasted_s / 3.0, 3_600.0)
    found = slopes(samples, warm_up_s=warm_up_s)
    verdict = verdict_of(found)
    is_whole = all(run["audit"][name] == 0 for name in ("lost", "duplicated")) if run else True
    document = {
        "hours": round(lasted_s / 3_600.0, 3), "warm_up_s": round(warm_up_s, 1), "samples": len(samples),
        "verdict": verdict, "slopes": as_json(found), **run,
    }  # fmt: skip
    text = "\n".join([as_table(found), *(f"{name}: {value}" for name, value in run.items()), f"verdict: {verdict}"])
    return {"json": document, "text": text, "status": EXIT_STATUS[verdict] if is_whole else 1}


if __name__ == "__main__":
    sys.exit(main())
