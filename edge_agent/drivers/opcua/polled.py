"""Nodes of a server that are read at an interval, where it has no subscriptions: same values, states, confirmations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncua import Client, ua

from edge_agent.core.clock import Clock
from edge_agent.drivers.opcua.client import translated
from edge_agent.drivers.opcua.server_limits import CallSize, ServerLimits, read
from edge_agent.drivers.opcua.session import ANSWER_TIMEOUT_S
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscribing.notices import Lost, Notice, Notification
from edge_agent.errors import DriverError


class Polled:
    """Nodes read in passes. A value that is as it was is confirmed, not handed over again."""

    def __init__(
        self,
        client: Client,
        settings: OpcUaSettings,
        limits: ServerLimits,
        clock: Clock,
        hand: Callable[[Notice], Awaitable[None]],
    ) -> None:
        """Read with `client`; `hand` takes each notice, in order."""
        self._client = client
        self._settings = settings
        self._clock = clock
        self._hand = hand
        self._size = CallSize(limits.nodes_per_read)
        self._requests: dict[int, Any] = {}
        self._newest: dict[int, Any] = {}
        self._read_ns = clock.now_ns()
        self._passes_total = 0
        self._late_total = 0

    async def watch(self, node_ids: Mapping[int, Any]) -> dict[int, int]:
        """Read these nodes, too, by handle. None is refused here: its value says so, at each pass."""
        for handle, node_id in node_ids.items():
            self._requests[handle] = ua.ReadValueId(NodeId=node_id, AttributeId=ua.AttributeIds.Value)
        return {}

    async def run(self) -> None:
        """Hand over a notice for each pass, until one fails or the task is cancelled."""
        now_s = asyncio.get_running_loop().time
        due_s = now_s()
        while True:
            try:
                with translated(self._settings.name, self._settings.endpoint):
                    notice = await self._pass()
            except DriverError as exc:
                await self._hand(Lost(exc.message))
                return
            await self._hand(notice)
            due_s += self._settings.polling_interval_ms / 1_000
            if due_s < now_s():  # the passes it is late for are left out
                self._late_total += 1
                due_s = now_s()
            await asyncio.sleep(due_s - now_s())

    def silent_in_s(self) -> float:
        """Return in how many seconds nothing will have come for too long."""
        interval_s = self._settings.polling_interval_ms / 1_000
        n_calls = 1 + len(self._requests) // self._size.most
        return max(self._settings.silent_after_s, 2 * interval_s) + n_calls * ANSWER_TIMEOUT_S

    def silence(self, *, answers: bool) -> Notice:
        """Return what it means that nothing came for so long; `answers`: the server does, in the session."""
        what = "answers, but not to the reads of all nodes" if answers else "does not answer"
        return Lost(f"no pass over the nodes came to its end: the server {what}")

    def forget(self) -> None:
        """Hand over every value at the next pass, as if it were new."""
        self._newest.clear()

    def figures(self) -> dict[str, object]:
        """Return what was done: passes, and those that took longer than the interval."""
        return {"passes_total": self._passes_total, "late_passes_total": self._late_total}

    async def _pass(self) -> Notification:
        """Return what changed since the pass before, and what did not. Raise the library's errors."""
        requests = dict(self._requests)  # while it waits for the answers, `watch` may add more
        values = await read(self._client, self._size, tuple(requests.values()))
        self._passes_total += 1
        changed: list[tuple[int, Any]] = []
        confirmed: list[int] = []
        for handle, value in zip(requests, values, strict=True):
            if handle in self._newest and is_same(self._newest[handle], value):
                confirmed.append(handle)
            else:
                self._newest[handle] = value
                changed.append((handle, value))
        since_ns, self._read_ns = self._read_ns, self._clock.now_ns()
        return Notification(self._read_ns, since_ns, tuple(changed), frozenset(confirmed))


def is_same(before: Any, now: Any) -> bool:
    """Return whether two data values are one: value, status and the source's time; the server's time moves always."""
    parts = ((data.SourceTimestamp, data.StatusCode, data.Value) for data in (before, now))
    return next(parts) == next(parts)
