"""Named quantities of a plant, and one value of one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from edge_agent.core.quality import Quality

_BAD: Final = Quality.BAD


@dataclass(frozen=True, slots=True)
class Tag:
    """One named quantity: `press-3.hydraulics.temperature`. The name is also the central's sensor_id."""

    name: str
    unit: str
    sensor_type: str


class _ReadingFields(NamedTuple):
    tag: Tag
    value: float | None
    quality: Quality
    source_time_ns: int | None
    received_time_ns: int
    status: str
    word: str
    is_historical: bool


class Reading(_ReadingFields):
    """One tag's value with its quality and two times.

    `source_time_ns` is when the device says it happened (OPC UA SourceTimestamp), or None when it does not say or
    is not believed; `received_time_ns` is when we got it, on our clock. Both UTC, ns since the epoch.
    `status` is the protocol's own word, kept raw ("0x00000000 Good", "exception 2"). `word` is what the number means
    when the tag's numbers have words ("auto"). `is_historical`: kept by the device while it was away; it is a value of
    its own time or none.
    A BAD reading has no value: `value` is None exactly then.

    A tuple with names, not a dataclass: one is made for every value that comes, and a tuple takes a third of the time.
    `_replace` gives a changed one.
    """

    __slots__ = ()

    def __new__(
        cls,
        tag: Tag,
        value: float | None,
        quality: Quality,
        source_time_ns: int | None,
        received_time_ns: int,
        status: str = "",
        word: str = "",
        is_historical: bool = False,
    ) -> Self:
        """Raise ValueError when a value and a BAD quality come together, or neither of them."""
        if (value is None) is not (quality is _BAD):
            raise ValueError("a reading has a value exactly when its quality is not BAD")
        return tuple.__new__(cls, (tag, value, quality, source_time_ns, received_time_ns, status, word, is_historical))

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]  # mypy gives it a form of its own
        """Make one of its fields: `_replace` comes through here, so what it changes is checked as well."""
        return cls(*iterable)

    @property
    def time_ns(self) -> int:
        """Return the time this value is keyed by: the device's when it gives one, else ours."""
        return self.received_time_ns if self.source_time_ns is None else self.source_time_ns


@dataclass(frozen=True, slots=True)
class TextReading:
    """What a tag that is text says: a serial number, a recipe. A bad one is a Reading, which says why."""

    tag: Tag
    text: str
    received_time_ns: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Readings that arrived together from one device: a Modbus pass, an OPC UA notification."""

    source: str
    readings: tuple[Reading, ...]
    texts: tuple[TextReading, ...] = ()

    @classmethod
    def of(cls, source: str, found: Iterable[Reading | TextReading]) -> Scan:
        """Return numbers and texts as one scan, each in their order."""
        every = tuple(found)
        readings = tuple([one for one in every if isinstance(one, Reading)])
        if len(readings) == len(every):
            return cls(source, readings)
        return cls(source, readings, tuple([one for one in every if isinstance(one, TextReading)]))


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The device confirms that the newest values of `tags` still hold: nothing changed up to `received_time_ns`.

    An OPC UA subscription sends one when no value changed. `tags` are names; a tag without a value yet, or whose
    newest one is BAD, is not confirmed by it.
    """

    source: str
    received_time_ns: int
    tags: frozenset[str]
