"""A message as it is delivered and a will as it is left, in words of ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker delivered. `mid` is what `Link.acknowledge` wants."""

    topic: str
    payload: bytes
    mid: int = 0
    qos: int = 1
    response_topic: str | None = None
    correlation: bytes | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    sender: str | None = None
    retain: bool = False

    @property
    def has_no_properties(self) -> bool:
        """Return whether nothing but topic and payload came: one of the two ends, or the broker, speaks MQTT 3.1.1."""
        named = (self.response_topic, self.correlation, self.content_type, self.content_encoding)
        return all(value is None for value in named)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when we are gone."""

    topic: str
    payload: bytes
    retain: bool = True
