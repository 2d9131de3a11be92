"""Log lines as JSON objects, each with the request it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from cloud_sync.host.printable import printable, printable_lines, printable_tree

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The request that is being answered; None outside of requests."""


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, request_id when there is one, and `extra={"fields": ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line |= printable_tree(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = printable_lines(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """From now on every log line of this process is JSON on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
