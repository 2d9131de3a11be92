"""The `edge-convert` command's door: what the workshop needs may not be installed, and that is said in words."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line."""
    try:
        from converters.cli import run as run_commands
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] in ("converters", "edge_agent", "cloud_sync"):
            raise
        print(
            f"edge-convert: {exc.name} is not installed; a gateway and the demo do without the workshop\n"
            "  in a checkout: make install LOCK=requirements-convert.lock;"
            " elsewhere: pip install 'smart-maintenance-edge[convert]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from exc
    run_commands()
