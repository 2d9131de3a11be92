"""Every request has an id, one log line and one count; around the whole application.

The caller's X-Request-ID is taken when it is a plain short word, otherwise one is made; the answer carries it, but for
a batch that was stored for a caller who named none: a gateway on a metered link, which pays for each byte.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from cloud_sync.central.logs import request_id
from cloud_sync.central.metrics import Metrics
from cloud_sync.host.printable import printable

logger = logging.getLogger(__name__)

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_HEADER: Final = b"x-request-id"
_STORED: Final = 200
_PATH_CHARS: Final = 200
_PLAIN: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_QUIET: Final = frozenset({"/health", "/metrics"})
"""Asked every few seconds by machines; logged only when they fail."""


class RequestLog:
    """ASGI middleware. What the application adds to the log (gateway, counts) is in `request.state.log_fields`."""

    def __init__(self, app: _App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        named = _taken(scope["headers"])
        current = named or str(uuid.uuid4())
        log_fields: dict[str, object] = {}
        scope.setdefault("state", {})["log_fields"] = log_fields
        status = 500  # what the server answers when the application raises

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if named is not None or status != _STORED or scope["method"] != "POST":
                    message["headers"] = [*message["headers"], (_HEADER, current.encode())]
            await send(message)

        started_s = time.monotonic()
        token = request_id.set(current)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._log_answer(scope, status, time.monotonic() - started_s, log_fields)
            request_id.reset(token)

    def _log_answer(self, scope: _Scope, status: int, seconds: float, log_fields: dict[str, object]) -> None:
        self._metrics.requests.add(str(status))
        level = logging.DEBUG if scope["path"] in _QUIET and status < 400 else logging.INFO
        path = printable(scope["path"], limit=_PATH_CHARS)
        fields = {"method": scope["method"], "path": path, "status": status, "seconds": round(seconds, 6)}
        logger.log(level, "answered", extra={"fields": fields | log_fields})


def _taken(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The caller's own id; anything odd in it could forge a log line."""
    sent = next((value for name, value in headers if name == _HEADER), b"")
    return sent.decode() if _PLAIN.fullmatch(sent) else None
