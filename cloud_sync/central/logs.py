"""Log records of the central: JSON, each with the request it belongs to."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Final

from cloud_sync.host.json_logs import JsonFormatter

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The request that is being answered; None outside of requests."""


def json_formatter() -> JsonFormatter:
    """Return the formatter that adds the current request's id."""
    return JsonFormatter(context=_request_fields)


def log_as_json() -> None:
    """Write every log record of this process as JSON to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def _request_fields() -> dict[str, object]:
    current = request_id.get()
    return {} if current is None else {"request_id": current}
