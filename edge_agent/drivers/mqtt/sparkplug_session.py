"""What the messages of a Sparkplug B edge node mean: births name metrics, data updates them, deaths end them. Pure.

A reader sees no more than is published: an alias means nothing before the birth certificate that names it, and this
reader asks for none, since a rebirth request is a command to the plant.

Sparkplug 3.0.0: certificates 5.4 to 5.9, sequence numbers 6.4.6, aliases 6.4.6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edge_agent.drivers.mqtt.sparkplug_payload import Metric, Payload

NAMESPACE: Final = "spBv1.0"
_BDSEQ: Final = "bdSeq"
_SEQUENCE_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Topic:
    """Where a message came: `kind` is NBIRTH, NDATA, NDEATH, or the same with D for a device."""

    group: str
    kind: str
    node: str
    device: str | None

    @property
    def address(self) -> str:
        """Return group/edge node, or group/edge node/device."""
        return f"{self.group}/{self.node}" if self.device is None else f"{self.group}/{self.node}/{self.device}"


def topic_of(text: str) -> Topic | None:
    """Return the parts of a Sparkplug B topic of births, data and deaths; None for any other."""
    levels = text.split("/")
    if len(levels) not in (4, 5) or levels[0] != NAMESPACE or levels[2][1:] not in ("BIRTH", "DATA", "DEATH"):
        return None
    device = levels[4] if len(levels) == 5 else None
    if levels[2][0] != ("N" if device is None else "D"):
        return None
    return Topic(levels[1], levels[2], levels[3], device)


def filter_of(address: str) -> str:
    """Return the topic filter of everything that the edge node of this address publishes."""
    group, node = address.split("/")[:2]
    return f"{NAMESPACE}/{group}/+/{node}/#"


@dataclass(frozen=True, slots=True)
class Update:
    """What one message changed: (address, name, metric) in order, addresses that died, messages that never came."""

    values: tuple[tuple[str, str, Metric], ...] = ()
    died: tuple[str, ...] = ()
    missed: int = 0


@dataclass(slots=True)
class EdgeNode:
    """One edge node with its devices, as far as its messages tell.

    `alive` holds the addresses with a birth; `dead` those whose death came after it, or before any.
    """

    alive: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    unknown_aliases_total: int = 0
    _names: dict[str, dict[int, str]] = field(default_factory=dict)
    _bdseq: object = None
    _next_seq: int | None = None

    def take(self, topic: Topic, payload: Payload) -> Update:
        """Take one message in, and return what it changed."""
        match topic.kind:
            case "NDEATH":
                return self._node_death(topic, payload)
            case "NBIRTH":
                return self._node_birth(topic, payload)
        missed = self._missed(payload.seq)
        match topic.kind:
            case "DBIRTH":
                return Update(self._born(topic.address, payload), missed=missed)
            case "DDEATH":
                return Update(died=self._end([topic.address]), missed=missed)
        return Update(self._values(topic.address, payload), missed=missed)

    def _node_birth(self, topic: Topic, payload: Payload) -> Update:
        """Begin a session: what was known of the one before is void."""
        before = [address for address in self.alive if address != topic.address]
        died = self._end(before)
        self._names.clear()
        self._next_seq = None if payload.seq is None else (payload.seq + 1) % _SEQUENCE_LENGTH
        values = self._born(topic.address, payload)
        self._bdseq = next((each.value for each in payload.metrics if each.name == _BDSEQ), None)
        return Update(values, died)

    def _node_death(self, topic: Topic, payload: Payload) -> Update:
        bdseq = next((each.value for each in payload.metrics if each.name == _BDSEQ), None)
        if None not in (bdseq, self._bdseq) and bdseq != self._bdseq:
            return Update()  # the will of a session before this one
        self._next_seq = None
        return Update(died=self._end([*self.alive, topic.address]))

    def _born(self, address: str, payload: Payload) -> tuple[tuple[str, str, Metric], ...]:
        self.alive.add(address)
        self.dead.discard(address)
        self._names[address] = {
            each.alias: each.name for each in payload.metrics if each.alias is not None and each.name is not None
        }
        return self._values(address, payload)

    def _end(self, addresses: list[str]) -> tuple[str, ...]:
        self.alive.difference_update(addresses)
        self.dead.update(addresses)
        for address in addresses:
            self._names.pop(address, None)
        return tuple(dict.fromkeys(addresses))

    def _values(self, address: str, payload: Payload) -> tuple[tuple[str, str, Metric], ...]:
        names = self._names.get(address, {})
        found: list[tuple[str, str, Metric]] = []
        for metric in payload.metrics:
            name = metric.name if metric.name is not None else names.get(-1 if metric.alias is None else metric.alias)
            if name is None:
                self.unknown_aliases_total += 1
            else:
                found.append((address, name, metric))
        return tuple(found)

    def _missed(self, seq: int | None) -> int:
        expected, self._next_seq = self._next_seq, None if seq is None else (seq + 1) % _SEQUENCE_LENGTH
        return 0 if None in (expected, seq) else ((seq or 0) - (expected or 0)) % _SEQUENCE_LENGTH
