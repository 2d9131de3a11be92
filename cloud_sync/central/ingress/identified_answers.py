"""Every answer says that it is this central's, with a proof for whoever shows a key and a challenge.

Around the whole application: answers of the router, of a refused body and of a rate limit are answers like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from cloud_sync.answer_proof import CHALLENGE_HEADER, IDENTITY_HEADER, identity_header

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[_Message]], _Send], Awaitable[None]]

_NAME: Final = IDENTITY_HEADER.lower().encode()
_KEY: Final = b"x-api-key"
_CHALLENGE: Final = CHALLENGE_HEADER.lower().encode()


class IdentifyAnswers:
    """ASGI middleware. An answer goes out as one piece; one in several pieces carries the header without a proof."""

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[_Message]], send: _Send
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = headers_of_question(scope["headers"])
        start: _Message | None = None

        async def send_identified(message: _Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                key, challenge = ("", "") if message.get("more_body") else asked
                value = identity_header(key, challenge, status=start["status"], body=message.get("body", b""))
                start["headers"] = [*start["headers"], (_NAME, value.encode())]
                await send(start)
                start = None
            await send(message)

        await self._app(scope, receive, send_identified)


def headers_of_question(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Return the key and the challenge of a request, empty when it shows none."""
    shown = {name: value.decode("latin-1").strip() for name, value in headers if name in (_KEY, _CHALLENGE)}
    return shown.get(_KEY, ""), shown.get(_CHALLENGE, "")
