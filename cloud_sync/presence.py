"""This box under its gateway id: who it is, and what the central knows of another box with the same id.

One for all transports of a gateway. Before `begin` nobody is said to send, as by an agent that knows no instances.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cloud_sync.twins import About, Notice, Sender, sender_text

logger = logging.getLogger(__name__)

REPEATED_WITHIN_S: Final = 30.0
"""Of two centrals that share a gateway, one may know of its twin ten seconds before the other: so long silence about
a twin is not its end."""

_WORDS: Final = {
    About.HELD: "held back: this gateway id is in use by another box (%s): %s",
    About.TWIN: "another box sends with this gateway id (%s): %s",
    About.TOOK_OVER: "this box took over the gateway id of another one (%s): %s",
}


@dataclass(frozen=True, slots=True)
class ReceivedNotice:
    """A notice; since when the central gives it, and when it was given last by a monotonic clock."""

    notice: Notice
    since_ns: int
    last_s: float


class Presence:
    """Takes the notices out of answers, and names the sender in every request."""

    def __init__(
        self,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._text: str | None = None
        self._sent_at_s = monotonic_s()
        self.sender: Sender | None = None
        self.twin: ReceivedNotice | None = None
        """Another box: the one that has the id while this one is held back, or one that is held back for this one."""
        self.took_over: ReceivedNotice | None = None
        """Whose place this box took in this run."""

    def begin(self, sender: Sender) -> None:
        """Send from now on as this start of this installation."""
        self.sender = sender
        self._text = sender_text(sender)

    @property
    def is_held_back(self) -> bool:
        """Return whether another box has the id: then an empty batch asks first whether that has changed."""
        return self.twin is not None and self.twin.notice.about is About.HELD

    @property
    def idle_s(self) -> float:
        """Return how long ago the last request was made, in seconds."""
        return self._monotonic_s() - self._sent_at_s

    def line(self) -> str | None:
        """Return what goes with a request that is made now; None before `begin`."""
        self._sent_at_s = self._monotonic_s()
        return self._text

    def record_notice(self, notice: Notice | None) -> None:
        """Keep the notice of another box that an answer of the central has; None: it has none."""
        if notice is None:
            self._forget()
        elif notice.about is About.TOOK_OVER:
            self._forget()
            self.took_over = self._received(self.took_over, notice)
        else:
            self.twin = self._received(self.twin, notice)
        if self.sender is not None:
            rival = "" if self.twin is None else self.twin.notice.other.run
            self._text = sender_text(replace(self.sender, rival=rival))

    def _received(self, before: ReceivedNotice | None, notice: Notice) -> ReceivedNotice:
        now_s = self._monotonic_s()
        if before is not None and before.notice.about is notice.about and before.notice.other.run == notice.other.run:
            return ReceivedNotice(notice, before.since_ns, now_s)
        logger.warning(_WORDS[notice.about], notice.kind, notice.other)
        return ReceivedNotice(notice, self._now_ns(), now_s)

    def _forget(self) -> None:
        twin = self.twin
        if twin is None:
            return
        if self.is_held_back or self._monotonic_s() - twin.last_s >= REPEATED_WITHIN_S:
            logger.info("no other box sends with this gateway id any more")
            self.twin = None
