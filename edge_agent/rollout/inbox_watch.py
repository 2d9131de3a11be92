"""The inbox of bundles as the running agent looks at it: in another thread, with its errors kept for the status.

Knows no champion and no shadow run; an item is handed back to whoever reports it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from edge_agent.bundles.install import install, sweep
from edge_agent.bundles.store import bundle_store
from edge_agent.core.clock import Clock
from edge_agent.errors import BundleError
from edge_agent.rollout.inbox import Inbox, InboxItem, RefusedItem
from edge_agent.settings import ModelSettings


class InboxWatch:
    """Without `models.inbox` it has nothing to do."""

    def __init__(self, settings: ModelSettings, *, clock: Clock, log: Callable[[str, str], None]) -> None:
        self.refused: tuple[RefusedItem, ...] = ()
        self.error: str | None = None
        self._dir = settings.dir
        self._clock = clock
        self._log = log
        store = bundle_store(settings)
        put_in_place = partial(install, store=store)
        self._inbox = Inbox(settings.inbox, put_in_place, keys_dir=store.keys) if settings.inbox else None

    async def tidy(self) -> None:
        """Remove what a killed installation left. Before the first `take_in`."""
        if self._inbox is None:
            return  # nobody installs here; the folder may belong to somebody else
        try:
            await asyncio.to_thread(sweep, self._dir)
        except BundleError as exc:
            self._log("warning", exc.message)

    async def take_in(self, *, time: str) -> Sequence[InboxItem]:
        """Return what came to rest since the last look. `time` is RFC 3339."""
        if self._inbox is None:
            return ()
        look = partial(self._inbox.look, now_s=self._clock.monotonic_s(), time=time)
        try:
            items = await asyncio.to_thread(look)
            self.refused = await asyncio.to_thread(self._inbox.refused)
        except BundleError as exc:
            if self.error != exc.message:
                self._log("error", f"{exc.message}{f'; {exc.hint}' if exc.hint else ''}")
            self.error = exc.message
            return ()
        self.error = None
        return items
