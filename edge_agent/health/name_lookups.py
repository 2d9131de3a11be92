"""Names of hosts looked up in threads of their own, so that a dead name server delays nothing but those who ask it.

The resolver of the C library cannot be cancelled: with a name server that does not answer, a look-up holds its thread
for 10 to 60 s, also when whoever asked has long given up. asyncio makes it in the few threads (4 cores: 8) that the
outbox is written and read in. A central, a broker and some devices by name, each tried again, would fill them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any, Final

MOST: Final = 16
"""At a time. One more is refused at once, as a name server that is away would, and tried again by whoever wanted it."""

_FOUND = list[Any]


def look_up_apart(loop: asyncio.AbstractEventLoop) -> None:
    """Make this loop look names up in threads that keep neither its own work nor the end of the process waiting."""
    loop.getaddrinfo = _Lookups(loop).look_up  # type: ignore[method-assign]


class _Lookups:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._under_way = 0

    async def look_up(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> _FOUND:
        """Resolve a name as the loop's own method does, with its parameters. Raises OSError."""
        if self._under_way >= MOST:
            raise socket.gaierror(socket.EAI_AGAIN, f"{MOST} look-ups of names are still without an answer")
        answer: asyncio.Future[_FOUND] = self._loop.create_future()
        self._under_way += 1

        def run() -> None:
            try:
                found: _FOUND | Exception = list(socket.getaddrinfo(host, port, family, type, proto, flags))
            except (OSError, UnicodeError) as exc:  # the second of a name that no resolver takes
                found = exc
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._end, answer, found)

        threading.Thread(target=run, name="name look-up", daemon=True).start()
        return await answer

    def _end(self, answer: asyncio.Future[_FOUND], found: _FOUND | Exception) -> None:
        self._under_way -= 1
        if answer.done():  # whoever asked has given up
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        elif isinstance(found, Exception):
            answer.set_exception(socket.gaierror(socket.EAI_NONAME, str(found)))
        else:
            answer.set_result(found)
