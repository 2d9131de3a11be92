"""What is said at the root when a command fails: one line and what to do, and the exit code. Never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cloud_sync.host.terminal import OutputError
from edge_agent.errors import ConfigurationError, EdgeError

EXIT_DEGRADED: Final = 1
EXIT_CONFIGURATION: Final = 3
_PLACES: Final = 4
"""Of this program's own, that led to what nobody foresaw: enough for whoever mends it."""


def end_in_words(command: Callable[[], object]) -> None:
    """Run a command. Raises SystemExit for its end and for every failure, which is said on standard error first."""
    try:
        try:
            command()
        finally:
            sys.stdout.flush()  # here, where a failure can still be said
    except ConfigurationError as exc:
        _print_error(exc)
        sys.exit(EXIT_CONFIGURATION)
    except EdgeError as exc:
        _print_error(exc)
        sys.exit(EXIT_DEGRADED)
    except BrokenPipeError:
        # The reader (`| head`) has gone; nothing is left to say to it.
        _drop_output()
        sys.exit(EXIT_DEGRADED)
    except OutputError as exc:
        _drop_output()
        _print_error(
            EdgeError(f"what this command prints cannot be written: {exc.strerror}", hint="where does it go to?")
        )
        sys.exit(EXIT_DEGRADED)
    except Exception as exc:  # noqa: BLE001 - nobody is left below to catch it; the agent's parts are supervised
        _print_error(_unexpected(exc))
        sys.exit(EXIT_DEGRADED)


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unexpected(exc: Exception) -> EdgeError:
    """In one line, with the places that led there."""
    # Imported here: `status` answers at once, and needs none of it.
    import traceback

    from edge_agent.health.supervision import in_one_line

    here = Path(__file__).resolve()
    package = str(here.parents[1])
    ours = [f for f in traceback.extract_tb(exc.__traceback__) if f.filename.startswith(package)]
    frames = [f for f in ours if f.filename != str(here)]
    places = ", ".join(f"{f.filename.removeprefix(package).lstrip('/')}:{f.lineno}" for f in frames[-_PLACES:])
    return EdgeError(
        f"it failed unexpectedly: {in_one_line(exc)}", hint=f"at {places}; send this to whoever maintains the agent"
    )


def _print_error(exc: EdgeError) -> None:
    print(f"edge-agent: {exc.message}", file=sys.stderr)
    if exc.hint:
        print(f"  {exc.hint}", file=sys.stderr)
