"""What happens to models, reported: an event `model_report` for the centre, and a line in the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from cloud_sync.columns import Record
from edge_agent.core.clock import Clock
from edge_agent.errors import BundleError
from edge_agent.pipeline.recorder import Recorder
from edge_agent.rollout.inbox import InboxItem
from edge_agent.rollout.rollout import Rollout


class ModelReports:
    """`put` takes the events, `log` the lines (level, text)."""

    def __init__(
        self,
        *,
        clock: Clock,
        recorder: Recorder,
        put: Callable[[Sequence[Record]], Awaitable[None]],
        log: Callable[[str, str], None],
    ) -> None:
        self._clock = clock
        self._recorder = recorder
        self._put = put
        self._log = log

    async def emit(self, state: str, name: str, version: str | None, **more: str) -> None:
        """Emit a change; what is empty in `more` is left out."""
        body = {"state": state, "model": name, "model_version": version, **{k: v for k, v in more.items() if v}}
        words = f"model {name} {version or ''}".rstrip() + f": {state.replace('_', ' ')}"
        reason = more.get("reason")
        level = "warning" if state in ("refused", "rolled_back") else "info"
        self._log(level, f"{words}{f': {reason}' if reason else ''}")
        await self._put([self._recorder.report(name, self._clock.now_ns(), body)])

    async def emit_inbox_item(self, item: InboxItem) -> None:
        """Emit what became of an entry of the inbox; a copy of what is here already is no news."""
        if item.installed is None:
            await self.emit("refused", item.entry, None, reason=item.reason)
        elif item.installed.is_new:
            await self.emit("installed", item.installed.name, item.installed.version, entry=item.entry)

    def record_error(self, rollout: Rollout, exc: BundleError) -> None:
        """Keep why the files cannot be followed; logged once, until it is another reason."""
        if rollout.error != exc.message:
            self._log("error", f"model {rollout.name}: {exc.message}{f'; {exc.hint}' if exc.hint else ''}")
        rollout.error = exc.message
