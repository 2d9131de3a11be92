"""What a broker publishes, listened to for a while: topics with their numbers, Sparkplug B nodes with their metrics."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_sync.errors import SyncError
from cloud_sync.transports.mqtt.link import Link
from cloud_sync.transports.mqtt.message import Message
from edge_agent.drivers.mqtt.driver import IN_FLIGHT, broker_of, client_id_of, options_of, translated
from edge_agent.drivers.mqtt.plain_payload import number_of, parse, time_of
from edge_agent.drivers.mqtt.settings import MqttSettings
from edge_agent.drivers.mqtt.sparkplug_payload import Metric, decode
from edge_agent.drivers.mqtt.sparkplug_session import NAMESPACE, EdgeNode, topic_of

MOST_PLACES: Final = 2_000
"""So many values are listed; a broker may carry any number of topics."""
_MOST_DEPTH: Final = 6
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9_-]+")


@dataclass(slots=True)
class BrokerValue:
    """Where a number is: a topic and a field, or a Sparkplug address and a metric. `newest` is its newest value."""

    topic: str
    field: str
    is_sparkplug: bool = False
    count: int = 0
    newest: float | int | None = None
    is_retained_only: bool = True
    time_field: str | None = None


@dataclass(slots=True)
class BrokerSurvey:
    """What came in the time of listening. `other_topics` are those without a number, and the kind of their messages."""

    messages_total: int = 0
    places: dict[tuple[str, str], BrokerValue] = field(default_factory=dict)
    other_topics: dict[str, str] = field(default_factory=dict)
    left_out_total: int = 0
    unknown_aliases_total: int = 0
    _nodes: dict[str, EdgeNode] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Take one message in."""
        self.messages_total += 1
        if message.topic.startswith(f"{NAMESPACE}/"):
            self._take_sparkplug(message)
        else:
            self._take_plain(message)

    def _take_plain(self, message: Message) -> None:
        try:
            document = parse(message.payload)
        except ValueError:
            self._no_number(message.topic, f"{len(message.payload)} bytes that are no text")
            return
        fields = dict(_numbers(document))
        if not fields:
            self._no_number(message.topic, "no number")
        time_field = next((name for name in _time_fields(document)), None)
        for name, number in fields.items():
            if name != time_field:
                self._count(BrokerValue(message.topic, name, time_field=time_field), number, is_retained=message.retain)

    def _take_sparkplug(self, message: Message) -> None:
        topic = topic_of(message.topic)
        if topic is None:
            return
        node = self._nodes.setdefault(f"{topic.group}/{topic.node}", EdgeNode())
        try:
            update = node.take(topic, decode(message.payload))
        except ValueError as exc:
            self._no_number(message.topic, str(exc))
            return
        self.unknown_aliases_total = sum(node.unknown_aliases_total for node in self._nodes.values())
        for address, name, metric in update.values:
            if (number := _number(metric)) is not None:
                self._count(BrokerValue(address, name, is_sparkplug=True), number, is_retained=message.retain)

    def _count(self, place: BrokerValue, number: float | int, *, is_retained: bool) -> None:
        key = (place.topic, place.field)
        if key not in self.places and len(self.places) >= MOST_PLACES:
            self.left_out_total += 1
            return
        known = self.places.setdefault(key, place)
        known.count += 1
        known.newest = number
        known.is_retained_only = known.is_retained_only and is_retained

    def _no_number(self, topic: str, why: str) -> None:
        if len(self.other_topics) < MOST_PLACES:
            self.other_topics[topic] = why


async def listen(settings: MqttSettings, filters: tuple[str, ...], seconds: float) -> BrokerSurvey:
    """Return what is published below these topic filters within `seconds`. Raise DriverError."""
    heard = BrokerSurvey()
    lost: asyncio.Future[SyncError] = asyncio.get_running_loop().create_future()

    def on_message(message: Message) -> None:
        link.acknowledge(message)
        heard.take(message)

    def on_lost(error: SyncError) -> None:
        if not lost.done():
            lost.set_result(error)

    link = Link(
        broker_of(settings), client_id=client_id_of(settings), on_message=on_message, on_lost=on_lost,
        max_in_flight=IN_FLIGHT, connection=options_of(settings),
    )  # fmt: skip
    try:
        with translated(settings.name):
            await link.open()
            for topic in filters:
                await link.subscribe(topic)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    raise await lost
    finally:
        await link.close()
    return heard


def tags_of(heard: BrokerSurvey) -> list[dict[str, Any]]:
    """Return the settings of a tag for every place that was found, with names that differ."""
    names: dict[str, int] = {}
    return [_tag(place, names) for place in heard.places.values()]


def _tag(place: BrokerValue, names: dict[str, int]) -> dict[str, Any]:
    levels = [_NOT_A_NAME.sub("-", part.lower()).strip("-_") for part in f"{place.topic}/{place.field}".split("/")]
    parts = [level for level in levels if level] or ["value"]
    name = ".".join([parts[-2] if len(parts) > 1 else "broker", parts[-1]])[:150]
    names[name] = names.get(name, 0) + 1
    if names[name] > 1:
        name = f"{name}-{names[name]}"
    tag: dict[str, Any] = {"name": name, "unit": ""}
    if place.is_sparkplug:
        return tag | {"sparkplug": place.topic, "metric": place.field}
    tag |= {"topic": place.topic}
    tag |= {"value_field": place.field} if place.field else {}
    return tag | ({"time_field": place.time_field} if place.time_field else {})


def _number(metric: Metric) -> float | int | None:
    return None if isinstance(metric.value, str) else number_of(metric.value)


def _numbers(document: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, float | int]]:
    """Return the numbers of a message with their paths; names with a point cannot be paths."""
    children: Mapping[str, object] = {}
    if isinstance(document, dict):
        children = {name: value for name, value in document.items() if name and "." not in name}
    elif isinstance(document, list):
        children = {str(index): value for index, value in enumerate(document[:16])}
    elif (number := number_of(document)) is not None:
        yield path, number
    if depth < _MOST_DEPTH:
        for name, value in children.items():
            yield from _numbers(value, f"{path}.{name}" if path else name, depth + 1)


def _time_fields(document: object) -> Iterator[str]:
    """Return names at the top of a message that hold a time, by their name and their value."""
    if not isinstance(document, dict):
        return
    for name, value in document.items():
        if name.lower() in ("ts", "time", "timestamp", "t", "_timestamp", "datetime") and "." not in name:
            with contextlib.suppress(ValueError):
                time_of(value)
                yield name
