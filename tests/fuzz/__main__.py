"""`make fuzz`: any number of inputs into any door; one JSON object per door."""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from pathlib import Path

from tests.fuzz.door import fuzz
from tests.fuzz.doors import DOORS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make fuzz", description="What nobody would send on purpose, into every door."
    )
    parser.add_argument("--door", choices=DOORS, action="append", help="default: all")
    parser.add_argument("--inputs", type=int, help="into each door; default 10,000")
    parser.add_argument("--seconds", type=float, help="for each door, instead of a number of inputs, or as a bound")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input; to see one again")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where findings are kept; default .fuzz")
    options = parser.parse_args()
    inputs = options.inputs or (None if options.seconds else 10_000)
    logging.disable(logging.CRITICAL)  # what the doors log is not what this is about, and slow
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    is_good = True
    for name in options.door or DOORS:
        found = fuzz(
            DOORS[name],
            seed=options.seed,
            first=options.first,
            inputs=inputs,
            seconds=options.seconds or float("inf"),
            folder=options.keep,
        )
        print(json.dumps(found.as_json()), flush=True)
        for finding in found.unexpected[:3]:
            print(finding, file=sys.stderr, flush=True)
        is_good = is_good and not found.unexpected
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
