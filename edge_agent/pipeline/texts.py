"""Texts of tags (a recipe, a serial number, a message) as annotations: one when a text is another. Pure.

Constraints
- Annotations are never given up on a full disk, so a text that changes all the time is told at most every
  `MIN_INTERVAL_NS`; the next one counts the changes between that were not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_sync.records import Event
from edge_agent.core.tags import TextReading
from edge_agent.pipeline.recorder import Recorder

MIN_INTERVAL_NS: Final = 10_000_000_000


@dataclass(slots=True)
class _Told:
    """What was told last of one tag, when, and the changes since that were not."""

    text: str
    at_ns: int
    changes_untold: int = 0


class TextLog:
    """The newest text of each tag of one source, and what was told of it."""

    def __init__(self, recorder: Recorder) -> None:
        self.latest: dict[str, TextReading] = {}
        self._told: dict[str, _Told] = {}
        self._recorder = recorder

    def take(self, reading: TextReading) -> list[Event]:
        """Return the annotation of a text that is new: the first one, and each that is another than the one before."""
        name, at_ns = reading.tag.name, reading.received_time_ns
        before, self.latest[name] = self.latest.get(name), reading
        told = self._told.get(name)
        if told is None:
            self._told[name] = _Told(reading.text, at_ns)
            return [self._annotation(reading, {})]
        told.changes_untold += before is not None and before.text != reading.text
        if not told.changes_untold or 0 <= at_ns - told.at_ns < MIN_INTERVAL_NS:
            return []
        between = told.changes_untold - (told.text != reading.text)
        self._told[name] = _Told(reading.text, at_ns)
        return [self._annotation(reading, {"before": told.text, **({"changes_between": between} if between else {})})]

    def _annotation(self, reading: TextReading, more: dict[str, object]) -> Event:
        body = {"tag": reading.tag.name, "text": reading.text, **more}
        return self._recorder.annotation(reading.tag.name, reading.received_time_ns, body)
