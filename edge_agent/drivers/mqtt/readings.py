"""Messages of plain topics and Sparkplug B nodes as readings of the configured tags. Pure: knows no connection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import EXACT_MAX, Quality, exact_digits
from edge_agent.core.tags import Reading, Tag
from edge_agent.drivers.mqtt.plain_payload import FieldValue, find, number_of, parse
from edge_agent.drivers.mqtt.settings import MqttSettings, MqttTagSettings
from edge_agent.drivers.mqtt.sparkplug_payload import Metric, decode
from edge_agent.drivers.mqtt.sparkplug_session import NAMESPACE, EdgeNode, filter_of, topic_of
from edge_agent.drivers.row_time import Arrival, RowTimes, TimeOf, on_our_clock

_QUALITIES: Final = {192: Quality.GOOD, 500: Quality.UNCERTAIN}
"""Sparkplug's: 192 good, 500 stale, 0 bad; what is none of them counts as bad."""

_KEPT_SOMETIME: Final = "kept by the edge node: when it was measured is not known"


class TagReadings:
    """Turns messages into readings. `of_utc` gives a publisher's time on our clock, None while that is not known."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        of_utc: Callable[[int], int | None] = lambda utc_ns: utc_ns,
    ) -> None:
        tags = settings.tags
        self.undecodable_total = 0
        self.times = RowTimes(choice=settings.time, bound_s=settings.time_bound_s, whose="the publisher")
        self._source = settings.name
        self._of_utc = of_utc
        self._tags = {tag.name: Tag(tag.name, tag.unit, tag.sensor_type) for tag in tags}
        self._of_topic: dict[str, list[MqttTagSettings]] = {}
        self._of_metric: dict[tuple[str, str], list[MqttTagSettings]] = {}
        self.nodes: dict[str, EdgeNode] = {}
        for tag in tags:
            if tag.topic is not None:
                self._of_topic.setdefault(tag.topic, []).append(tag)
            elif tag.sparkplug is not None and tag.metric is not None:
                self._of_metric.setdefault((tag.sparkplug, tag.metric), []).append(tag)
                self.nodes.setdefault(_node_of(tag.sparkplug), EdgeNode())

    @property
    def filters(self) -> dict[str, list[str]]:
        """Return every topic filter to subscribe to, with the names of the tags that depend on it."""
        filters = {topic: [tag.name for tag in tags] for topic, tags in self._of_topic.items()}
        for (address, _), tags in self._of_metric.items():
            filters.setdefault(filter_of(address), []).extend(tag.name for tag in tags)
        return filters

    @property
    def confirmed(self) -> frozenset[str]:
        """Return the tags whose edge node reports by exception and lives: what it does not send has not changed."""
        alive = {address for node in self.nodes.values() for address in node.alive}
        return frozenset(tag.name for (address, _), tags in self._of_metric.items() for tag in tags if address in alive)

    @property
    def unborn(self) -> dict[str, str]:
        """Return the tags of which neither birth nor death certificate came so far, and their address."""
        seen = {address for node in self.nodes.values() for address in (*node.alive, *node.dead)}
        return {
            tag.name: address for (address, _), tags in self._of_metric.items() for tag in tags if address not in seen
        }

    def forget(self) -> None:
        """Begin again: a new connection knows nothing of what was published before it."""
        self.nodes = {name: EdgeNode() for name in self.nodes}

    def take(self, topic: str, payload: bytes, *, is_retained: bool, now_ns: int) -> tuple[list[Reading], list[Gap]]:
        """Return what one message says of the tags: their readings, and the gap of messages that never came."""
        if topic in self._of_topic:
            return list(self._plain(self._of_topic[topic], payload, is_retained=is_retained, now_ns=now_ns)), []
        return self._sparkplug(topic, payload, now_ns) if topic.startswith(NAMESPACE) else ([], [])

    def stale(self, name: str, seconds: float, now_ns: int) -> Reading:
        """Return the BAD reading of a tag whose messages stopped."""
        return Reading(self._tags[name], None, Quality.BAD, None, now_ns, f"no message for {seconds:g} s")

    def _plain(
        self, tags: list[MqttTagSettings], payload: bytes, *, is_retained: bool, now_ns: int
    ) -> Iterator[Reading]:
        try:
            document = parse(payload)
        except ValueError as exc:
            self.undecodable_total += 1
            yield from (self._bad(tag.name, str(exc), now_ns) for tag in tags)
            return
        for tag in tags:
            found = find(document, tag.value_field, tag.time_field)
            quality, status = Quality.GOOD, ""
            if is_retained and found.time_ns is None:
                quality, status = Quality.UNCERTAIN, "retained by the broker: when it was measured is not known"
            yield self._reading(tag, found, quality, status, now_ns)

    def _sparkplug(self, topic: str, payload: bytes, now_ns: int) -> tuple[list[Reading], list[Gap]]:
        place = topic_of(topic)
        node = self.nodes.get(f"{place.group}/{place.node}") if place is not None else None
        if place is None or node is None:
            return [], []
        try:
            update = node.take(place, decode(payload))
        except ValueError as exc:
            self.undecodable_total += 1
            detail = f"{self._source}: {topic}: {exc}"
            return [], [Gap(self._source, GapCause.DISCONTINUITY, now_ns, now_ns, detail, 1)]
        readings = [
            self._reading(tag, *_of_metric(metric), now_ns, is_historical=metric.is_historical)
            for address, name, metric in update.values
            for tag in self._of_metric.get((address, name), ())
        ]
        readings += [
            self._bad(tag.name, f"{address} is offline: its death certificate came", now_ns)
            for address in update.died
            for (of, _), tags in self._of_metric.items()
            if of == address
            for tag in tags
        ]
        return readings, self._missed(place.address, update.missed, now_ns)

    def _missed(self, address: str, missed: int, now_ns: int) -> list[Gap]:
        if not missed:
            return []
        detail = f"{self._source}: {missed} messages of {address} never came (sequence number)"
        return [Gap(self._source, GapCause.DISCONTINUITY, now_ns, now_ns, detail, missed)]

    def _reading(
        self,
        tag: MqttTagSettings,
        found: FieldValue,
        quality: Quality,
        status: str,
        now_ns: int,
        *,
        is_historical: bool = False,
    ) -> Reading:
        if found.number is None or quality is Quality.BAD:
            bad = self._bad(tag.name, found.why or status, now_ns)
            return bad._replace(is_historical=is_historical)
        value = float(found.number * tag.scale + tag.offset)
        if not math.isfinite(value):
            bad = self._bad(tag.name, f"{found.number:g}, which scale and offset make {value}", now_ns)
            return bad._replace(is_historical=is_historical)
        if isinstance(found.number, int) and abs(found.number) > EXACT_MAX:
            quality, status = Quality.UNCERTAIN, exact_digits(found.number)
        source_ns, is_known = on_our_clock(found.time_ns, self._of_utc)
        if is_historical:  # kept by the edge node while its link was away: old on purpose
            return self._kept(tag, value, quality, source_ns if is_known else None, now_ns, status)
        arrival = Arrival((value, quality), now_ns, source_ns, is_clock_known=is_known)
        stamp = self.times.stamp(tag.name, arrival)
        if stamp.is_ahead:
            quality = Quality.UNCERTAIN
        said = "; ".join(words for words in (status, stamp.detail) if words)
        time_ns = None if stamp.of is TimeOf.GATEWAY else stamp.time_ns
        return Reading(self._tags[tag.name], value, quality, time_ns, now_ns, said)

    def _kept(
        self, tag: MqttTagSettings, value: float, quality: Quality, kept_ns: int | None, now_ns: int, status: str
    ) -> Reading:
        if kept_ns is None:
            quality, status = Quality.UNCERTAIN, _KEPT_SOMETIME
        return Reading(self._tags[tag.name], value, quality, kept_ns, now_ns, status, is_historical=True)

    def _bad(self, name: str, why: str, now_ns: int) -> Reading:
        return Reading(self._tags[name], None, Quality.BAD, None, now_ns, why)


def names_by_filter(filters: Mapping[str, list[str]], refused: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of refused topic filters, and why."""
    return {name: why for topic, why in refused.items() for name in filters[topic]}


def _of_metric(metric: Metric) -> tuple[FieldValue, Quality, str]:
    time_ns = None if metric.time_ms is None else metric.time_ms * 1_000_000
    quality = _QUALITIES.get(metric.quality, Quality.BAD)
    status = "" if quality is Quality.GOOD else f"Sparkplug quality {metric.quality}"
    number = None if isinstance(metric.value, str) else number_of(metric.value)
    why = "" if number is not None else "the metric is null" if metric.is_null else "the metric is no finite number"
    return FieldValue(number, why, time_ns), quality, status


def _node_of(address: str) -> str:
    return "/".join(address.split("/")[:2])
