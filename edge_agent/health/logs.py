"""Log lines for the journal: plain text for people, or one JSON object per line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from cloud_sync.host.printable import printable, printable_lines


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": printable(record.getMessage()),
        }
        if record.exc_info:
            document["traceback"] = printable_lines(self.formatException(record.exc_info))
        return json.dumps(document)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name of the library)
        record.message = printable(record.message)  # one record is one line, but for a traceback
        return super().formatMessage(record)


def set_up_logging(level: str, style: Literal["console", "json"]) -> None:
    """One handler on standard error. Libraries may speak from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter("%(levelname)-7s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("edge_agent").setLevel(level.upper())
    # Each lost device is said once, by us; these libraries would say it at every attempt.
    for noisy in ("pymodbus", "asyncua", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
