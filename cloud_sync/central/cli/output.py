"""How a command of `edge-central` ends: results as one JSON line each, an error as one line and an exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine, Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import typer

from cloud_sync.central.errors import CentralError, UsageError


def print_lines(found: Iterable[Mapping[str, Any]]) -> None:
    """Print each as a line of JSON, times in RFC 3339."""
    for one in found:
        print(json.dumps(one, default=_text))


def run_to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work; what goes wrong ends the program with one line, code 2 for a wrong command line, else 1."""
    try:
        asyncio.run(work)
    except CentralError as exc:
        fail(exc)
    except OSError as exc:
        fail(UsageError(str(exc)))


def fail(error: CentralError) -> NoReturn:
    """End the program with one line for the person who typed."""
    hint = f" ({error.hint})" if error.hint else ""
    print(f"edge-central: {error.message}{hint}", file=sys.stderr)
    raise typer.Exit(2 if isinstance(error, UsageError) else 1)


def _text(value: object) -> str:
    assert isinstance(value, datetime)  # noqa: S101 (the only type of theirs that JSON has not)
    return value.isoformat()
