"""A line over one tag, and scans for it."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Scan, Tag
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.sensor_health.tags import TagCheck
from edge_agent.pipeline.tags import TagLine

START_NS = 1_700_000_000_000_000_000
TEMPERATURE = Tag("press-3.temperature", "K", "temperature")


def at(seconds: float, value: float | None, *, quality: Quality | None = None, tag: Tag = TEMPERATURE) -> Scan:
    quality = quality if quality is not None else Quality.BAD if value is None else Quality.GOOD
    time_ns = START_NS + round(seconds * 1e9)
    return Scan("plc", (Reading(tag, value, quality, None, time_ns, "" if value is not None else "exception 2"),))


def tag_line(*, deadband: float = 0.0, checks: Mapping[str, TagCheck] | None = None) -> TagLine:
    return TagLine(
        "plc", deadbands={"press-3.temperature": deadband}, heartbeat_s=60.0,
        recorder=Recorder(is_clock_synced=lambda: True), checks=checks or {},
    )  # fmt: skip
