"""Log records as JSON, one object a line, with the same keys in every program."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from cloud_sync.host.printable import printable, printable_lines, printable_tree


class JsonFormatter(logging.Formatter):
    """Keys: time, level, logger, message, those of `context`, those of `extra={"fields": ...}`, and traceback."""

    def __init__(self, context: Callable[[], Mapping[str, object]] = dict) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line that holds no control character."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        line |= printable_tree(self._context()) | printable_tree(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = printable_lines(self.formatException(record.exc_info))
        return json.dumps(line, default=str)
