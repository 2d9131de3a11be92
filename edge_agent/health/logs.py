"""Log records for systemd's journal: plain text for people, or one JSON object a line."""

from __future__ import annotations

import logging
import sys
from typing import Literal

from cloud_sync.host.json_logs import JsonFormatter
from cloud_sync.host.printable import printable, printable_lines


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name of the library)
        record.message = printable(record.message)  # one record is one line, but for a traceback
        return super().formatMessage(record)


def set_up_logging(level: str, style: Literal["console", "json"]) -> None:
    """Log to standard error alone, from `level` on; libraries from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter("%(levelname)-7s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("edge_agent").setLevel(level.upper())
    # A lost device is logged once, by us; these libraries would log every attempt.
    for noisy in ("pymodbus", "asyncua", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
