"""What a command of `edge-central` prints: one JSON line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any


def print_lines(found: Iterable[Mapping[str, Any]]) -> None:
    """Print each as a line of JSON, times in RFC 3339."""
    for one in found:
        print(json.dumps(one, default=_text))


def _text(value: object) -> str:
    assert isinstance(value, datetime)  # noqa: S101 (the only type of theirs that JSON has not)
    return value.isoformat()
