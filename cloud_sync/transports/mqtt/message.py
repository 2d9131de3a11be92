"""A message as it is delivered, a will as it is left, and the name of a batch whose correlation data did not travel.

That name is a digest of the batch's bytes, made at both ends of what each of them has. So an answer under MQTT 3.1.1 is
about exactly those bytes, whichever versions of the protocol the two speak with the broker.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cloud_sync import wire

_HEX_DIGITS: Final = 32
_GZIP: Final = b"\x1f\x8b"  # RFC 1952, 2.3.1


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


def name_of_content(body: bytes) -> str:
    """Return what an answer about these bytes calls them: 128 bits of their SHA-256."""
    return f"sha256-{hashlib.sha256(body).hexdigest()[:_HEX_DIGITS]}"


def encoding_of_content(body: bytes) -> str:
    """Return the content encoding of a body that says none: a form that is known by its first bytes, or else zstd.

    zstd is what gateways send; what is none is refused as that.
    """
    if body.startswith(_GZIP):
        return "gzip"
    return "identity" if body.startswith(b"{") or wire.is_binary(body) else "zstd"
