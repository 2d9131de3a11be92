"""How we speak to a broker, whatever its address: protocol version, delivery, bounds and names.

A value that a broker announces in its CONNACK, or teaches by a refusal, narrows these (`limits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ProtocolVersion = Literal["5", "3.1.1"]
StateMessages = Literal["retained", "plain", "off"]

KEEP_ALIVE_S: Final = 30


@dataclass(frozen=True, slots=True)
class ProtocolOptions:
    """`max_packet_bytes` is for brokers that do not announce theirs; None: what they announce, or no bound.

    `keep_alive_s` None: the link's own choice. `client_id` None: one made of the gateway's name. `state_messages` off:
    no will and no state topic. `share` is the name under which the central's instances share the batches; None is for a
    broker without shared subscriptions.
    """

    version: ProtocolVersion = "5"
    qos: Literal[1, 2] = 1
    keep_alive_s: int | None = None
    max_packet_bytes: int | None = None
    topic_prefix: str = ""
    client_id: str | None = None
    state_messages: StateMessages = "retained"
    share: str | None = "central"

    @property
    def has_properties(self) -> bool:
        """Return whether reasons, response topics and correlation data travel: not before MQTT 5."""
        return self.version == "5"

    @property
    def name(self) -> str:
        return f"MQTT {self.version}"


def wrong_prefix(prefix: str) -> str | None:
    """Return what is wrong with a topic prefix, in words, or None."""
    if not prefix:
        return None
    if prefix.startswith("$"):
        return "topics that begin with $ are the broker's own"
    if "" in prefix.split("/"):
        return "it begins or ends with / or has an empty level"
    if set(prefix) & {"+", "#"} or not prefix.isprintable():
        return "it holds +, # or a control character"
    return None
