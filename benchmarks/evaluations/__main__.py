"""Command line of the evaluations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.evaluations import bearings, cwru, ims, sensors, sound
from edge_agent.errors import EdgeError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluations", description=cwru.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in (("cwru", cwru), ("ims", ims), ("bearings", bearings), ("sound", sound), ("sensors", sensors)):
        command = commands.add_parser(name, description=module.__doc__, help=(module.__doc__ or "").splitlines()[0])
        command.add_argument("data", type=Path, help="folder with the recordings")
        command.set_defaults(run=module.evaluate)
    options = parser.parse_args(arguments)
    try:
        for line in options.run(options.data):
            print(line)
    except EdgeError as exc:
        print(exc.message + (f" ({exc.hint})" if exc.hint else ""), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
