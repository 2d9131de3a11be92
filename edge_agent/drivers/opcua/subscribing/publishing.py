"""The publish requests of a session: so many are always with the server, and each answer is handed on in order.

The library's own loop keeps one request, gives up in silence when the server has no subscription, and tries everything
else once a second for ever. Here each end is said.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asyncua import Client, ua
from asyncua.ua.uaerrors import UaStructParsingError

from edge_agent.drivers.opcua.client import translated
from edge_agent.drivers.opcua.decoding.mapping import utc_ns
from edge_agent.drivers.opcua.decoding.values import code_name
from edge_agent.errors import DriverError

AHEAD: Final = 2  # one waits with the server while the answer to the other is on its way
MOST_AHEAD: Final = 10

NONE_LEFT: Final = "the server has no subscription of ours any more"
_NONE_LEFT: Final = frozenset({ua.StatusCodes.BadNoSubscription, ua.StatusCodes.BadSubscriptionIdInvalid})


class Publishing:
    """Keeps publish requests with one server until the session ends; `run` is the owner's task.

    Between `pause` and `go_on` none is sent: while there is no subscription, the server would answer each at once.
    """

    def __init__(
        self,
        client: Client,
        where: tuple[str, str],
        *,
        take: Callable[[Any], Awaitable[bool]],
        none_left: Callable[[str], Awaitable[None]],
        lost: Callable[[str], Awaitable[None]],
    ) -> None:
        """Ask with `client`; `where` is source and endpoint, for messages.

        `take` gets each answer and returns whether it is to be acknowledged; `none_left` hears that the session lives
        and has no subscription; `lost` that it does not.
        """
        self._client = client
        self._where = where
        self._take = take
        self._none_left = none_left
        self._lost = lost
        self._unconfirmed: list[Any] = []
        self._ahead = AHEAD
        self._may_ask = asyncio.Event()
        self._pauses = 0

    def pause(self) -> None:
        """Send no more; what is asked already is still handed on, but that nothing is left is not."""
        self._may_ask.clear()
        self._pauses += 1

    def go_on(self, n_subscriptions: int) -> None:
        """Send, for so many subscriptions."""
        self._ahead = min(MOST_AHEAD, AHEAD + n_subscriptions - 1)
        self._may_ask.set()

    async def run(self) -> None:
        """Ask until the session ends or the task is cancelled."""
        asked: deque[tuple[asyncio.Task[Any], int]] = deque()
        try:
            is_going_on = True
            while is_going_on:
                if not asked:
                    await self._may_ask.wait()
                while self._may_ask.is_set() and len(asked) < self._ahead:
                    task = asyncio.create_task(self._ask(), name=f"{self._where[0]} publish")
                    asked.append((task, self._pauses))
                is_going_on = await self._answered(*asked[0])
                asked.popleft()
        finally:
            for task, _ in asked:
                task.cancel()
            await asyncio.gather(*(task for task, _ in asked), return_exceptions=True)

    async def _ask(self) -> Any:
        confirmed, self._unconfirmed = self._unconfirmed, []
        return await self._client.uaclient.session.publish(confirmed)

    async def _answered(self, asked: asyncio.Task[Any], pauses: int) -> bool:
        """Wait for one answer; return whether to go on. `pauses`: so many there were when it was asked."""
        try:
            with translated(*self._where):
                await self._hand_on(_dated(await asked), pauses)
        except DriverError as exc:
            cause = exc.__cause__
            if isinstance(cause, UaStructParsingError):
                return True  # a message nobody can read: its number will be missed
            return await self._goes_on_after(cause.code if isinstance(cause, ua.UaStatusCodeError) else 0, exc, pauses)
        return True

    async def _goes_on_after(self, code: int, exc: DriverError, pauses: int) -> bool:
        if code == ua.StatusCodes.BadTimeout:
            return True
        if code == ua.StatusCodes.BadTooManyPublishRequests and self._ahead > 1:
            self._ahead -= 1
            return True
        if code in _NONE_LEFT:
            await self._end(f"{NONE_LEFT}: {code_name(code)}", pauses)
            return True
        cause = exc.__cause__
        await self._lost(str(cause) if isinstance(cause, OSError) and str(cause) else exc.message)
        return False

    async def _hand_on(self, result: Any, pauses: int) -> None:
        if not result.SubscriptionId:
            await self._end(NONE_LEFT, pauses)
        elif await self._take(result):
            self._unconfirmed.append(
                ua.SubscriptionAcknowledgement(
                    SubscriptionId=result.SubscriptionId, SequenceNumber=result.NotificationMessage.SequenceNumber
                )
            )

    async def _end(self, reason: str, pauses: int) -> None:
        if pauses == self._pauses:
            self.pause()
            await self._none_left(reason)


def _dated(response: Any) -> Any:
    """Return what a publish answer brings, with when it was sent: some servers say that in its header alone."""
    result = response.Parameters
    if utc_ns(result.NotificationMessage.PublishTime) is None:
        result.NotificationMessage.PublishTime = response.ResponseHeader.Timestamp
    return result
