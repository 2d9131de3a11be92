"""The driver of another package: what it yields is checked before anything is computed from it.

Constraints
- Only what a source's settings announce comes through: its own tags, its own channels. A tag that is not announced
  could have the row name of another source.
- A reading that is no finite number is BAD, with what it was as its status: it costs no other reading.
- Whatever else is wrong is a DeviceRejectedError that names the driver, so it costs this source only.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Final

from cloud_sync.host.printable import printable, quoted
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.installed_parts import in_words
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import KeepAlive, Reading, Scan, TextReading
from edge_agent.drivers.base import Driver, Item
from edge_agent.drivers.report import SourceReport
from edge_agent.errors import DeviceRejectedError
from edge_agent.settings import SourceSettings, WaveformSettings

_HINT: Final = "update the package it comes from; docs/how-to/add-a-driver.md says what a driver must yield"
_NEVER_NS: Final = 2**63
"""In the year 2262: the outbox's times end there."""


class CheckedDriver:
    """A driver of another package as the supervisor sees it."""

    def __init__(self, driver: Driver, settings: SourceSettings) -> None:
        self.name = settings.name
        self._driver = driver
        self._who = f"{settings.name}: driver {settings.type!r} ({settings.driver})"
        self._tags = {tag.name for tag in settings.all_tags}
        self._channels = len(settings.channels) if isinstance(settings, WaveformSettings) else None

    async def open(self) -> None:
        """Acquire the device. Raise TransientDriverError or DeviceRejectedError."""
        with self._no_exit():
            await self._driver.open()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what is read. Raise DeviceRejectedError for what is no item of this source."""
        with self._no_exit():
            async with contextlib.aclosing(self._driver.stream()) as items:  # type: ignore[type-var]
                async for item in items:
                    yield self._checked(item)

    async def close(self) -> None:
        """Give up what is held."""
        with self._no_exit():
            await self._driver.close()

    def report(self) -> SourceReport:
        """Return what the driver reports; nothing when it has no `report`, or gives something else."""
        report = getattr(self._driver, "report", None)
        found = report() if callable(report) else None
        return found if isinstance(found, SourceReport) else SourceReport()

    @contextlib.contextmanager
    def _no_exit(self) -> Iterator[None]:
        """Let no `sys.exit` through: it would end the event loop, and all sources with it."""
        try:
            yield
        except SystemExit as exc:
            raise DeviceRejectedError(f"{self._who} raises {in_words(exc)}", hint=_HINT) from exc

    def _checked(self, item: object) -> Item:
        if isinstance(item, Gap):
            return self._gap(item)
        if isinstance(item, KeepAlive) and self._channels is None:
            return self._keep_alive(item)
        wanted = Scan if self._channels is None else SampleBlock
        if not isinstance(item, wanted):
            raise self._refused(f"yields {quoted(item)}, where a {wanted.__name__} or Gap belongs")
        if item.source != self.name:
            raise self._refused(f"yields a {wanted.__name__} of the source {quoted(item.source)}")
        return self._block(item) if isinstance(item, SampleBlock) else self._scan(item)

    def _gap(self, gap: Gap) -> Gap:
        if not (
            isinstance(gap.cause, GapCause)
            and isinstance(gap.subject, str)
            and isinstance(gap.detail, str)
            and _is_time(gap.start_ns)
            and _is_time(gap.end_ns)
        ):
            raise self._refused(f"yields {quoted(gap)}, which has no such subject, cause or time")
        return gap

    def _block(self, block: SampleBlock) -> SampleBlock:
        if block.n_channels != self._channels:
            raise self._refused(f"yields {block.n_channels} channels, and the source has {self._channels}")
        if not block.n_samples:
            raise self._refused("yields a block without samples")
        if not _is_number(block.sample_rate_hz):
            raise self._refused(f"yields a block with the sample rate {quoted(block.sample_rate_hz)}")
        if not (_is_time(block.start_ns) and _is_time(block.end_ns)):
            raise self._refused(f"yields a block that starts at {quoted(block.start_ns)} ns")
        if block.gap_before is not None:
            self._gap(block.gap_before)
        return replace(block, start_ns=int(block.start_ns), sample_rate_hz=float(block.sample_rate_hz))

    def _scan(self, scan: Scan) -> Scan:
        if not isinstance(scan.readings, tuple) or not all(isinstance(one, Reading) for one in scan.readings):
            raise self._refused("yields a Scan whose readings are no tuple of Reading")
        if not isinstance(scan.texts, tuple) or not all(isinstance(one, TextReading) for one in scan.texts):
            raise self._refused("yields a Scan whose texts are no tuple of TextReading")
        return replace(
            scan,
            readings=tuple(self._reading(one) for one in scan.readings),
            texts=tuple(self._text(one) for one in scan.texts),
        )

    def _text(self, reading: TextReading) -> TextReading:
        if getattr(reading.tag, "name", None) not in self._tags:
            raise self._refused(f"yields a text of {quoted(reading.tag)}, which is no tag of this source")
        if not isinstance(reading.text, str) or not _is_time(reading.received_time_ns):
            raise self._refused(f"yields {quoted(reading)}, which has no such text or time")
        return replace(reading, text=printable(reading.text), received_time_ns=int(reading.received_time_ns))

    def _keep_alive(self, item: KeepAlive) -> KeepAlive:
        names = item.tags if isinstance(item.tags, frozenset) else None
        if item.source != self.name or names is None or not names <= self._tags or not _is_time(item.received_time_ns):
            raise self._refused(f"yields {quoted(item)}, which confirms no tags of this source, or at no time")
        return item

    def _reading(self, reading: Reading) -> Reading:
        name = getattr(reading.tag, "name", None)
        if name not in self._tags:
            raise self._refused(f"yields a reading of {quoted(name)}, which is no tag of this source")
        times = (reading.received_time_ns, reading.source_time_ns or 0)
        if not all(_is_time(time_ns) for time_ns in times):
            raise self._refused(f"yields a reading of {name} with the time {quoted(reading.time_ns)} ns")
        value, source_time = reading.value, reading.source_time_ns
        if value is None or _is_number(value):
            return reading._replace(  # of NumPy's numbers the outbox takes only some
                value=None if value is None else float(value),
                source_time_ns=None if source_time is None else int(source_time),
                received_time_ns=int(reading.received_time_ns),
            )
        status = f"its driver gives {quoted(value)}, which is no value"
        return reading._replace(value=None, quality=Quality.BAD, status=status)

    def _refused(self, what: str) -> DeviceRejectedError:
        return DeviceRejectedError(f"{self._who} {what}", hint=_HINT)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _is_time(time_ns: Any) -> bool:
    return isinstance(time_ns, Integral) and 0 <= int(time_ns) < _NEVER_NS
