"""What a broker permits: what it announced, what is configured, and what its refusals have taught.

Constraints
- The narrowest of the three holds. What was taught is forgotten after FORGET_AFTER_S: a broker may be mended.
- Nothing teaches that less than FLOOR_BYTES fit: cut to single rows, a batch would end among the refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloud_sync.transports.mqtt.options import ProtocolOptions

FLOOR_BYTES: Final = 16_384
"""A broker that takes less has no place for batches; one row with its series has under 1,000 bytes."""
FORGET_AFTER_S: Final = 3_600.0
UNLIMITED: Final = 65_535
"""MQTT's own bound on what may be in flight, and what holds when a broker announces none."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What a CONNACK says (MQTT 5, 3.2.2.3); the defaults are what silence means, and all that MQTT 3.1.1 has."""

    max_packet_bytes: int | None = None
    receive_maximum: int = UNLIMITED
    max_qos: int = 2
    retains: bool = True
    topic_aliases: int = 0

    @property
    def nonsense(self) -> tuple[str, str] | None:
        """Return in words a limit that leaves no place for a batch, and what to allow instead."""
        if self.max_packet_bytes is not None and self.max_packet_bytes < FLOOR_BYTES:
            return (
                f"announces packets of up to {self.max_packet_bytes} bytes; a batch needs {FLOOR_BYTES}",
                f"let messages have {FLOOR_BYTES} bytes or more (mosquitto: max_packet_size)",
            )
        if self.max_qos < 1:
            return (
                "announces that it delivers at most once (QoS 0), so a lost batch would never be noticed",
                "permit QoS 1 (mosquitto: max_qos)",
            )
        return None


class Lessons:
    """Where a broker refused what it had announced. Kept beyond a connection, by whoever makes them."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._learned_s = float("-inf")
        self._packet_bytes: int | None = None
        self._in_flight = UNLIMITED
        self._max_qos = 2
        self._retains = True
        self._aliases = True
        self._suspect_bytes: int | None = None

    @property
    def retains(self) -> bool:
        """Return whether retained messages may be tried; a will is, before the broker announced anything."""
        return self._retains or self._is_old

    def packet_refused(self, size: int) -> bool:
        """Learn that a packet of this size is too large for the broker. Return False when no batch could be smaller."""
        if size <= FLOOR_BYTES:
            return False
        self._learn()
        self._packet_bytes = max(FLOOR_BYTES, min(size - 1, self._packet_bytes or size))
        return True

    def packet_cut_off(self, size: int) -> bool:
        """Learn that the connection ended, without a reason, while a packet of this size was in flight.

        True when this is the second time in a row that something of that size met it: it is too large.
        """
        if size <= FLOOR_BYTES:
            return False
        if self._suspect_bytes is None or size < self._suspect_bytes:
            self._suspect_bytes = size
            return False
        self._suspect_bytes = None
        return self.packet_refused(size)

    def packet_taken(self, size: int) -> None:
        """Learn that one of this size was acknowledged."""
        if self._suspect_bytes is not None and size >= self._suspect_bytes:
            self._suspect_bytes = None

    def too_many_in_flight(self, had: int) -> None:
        self._learn()
        self._in_flight = max(1, had // 2)

    def qos_refused(self) -> None:
        self._learn()
        self._max_qos = 1

    def retain_refused(self) -> None:
        self._learn()
        self._retains = False

    def alias_refused(self) -> None:
        self._learn()
        self._aliases = False

    def limits(self, options: ProtocolOptions, announced: Announced, *, max_in_flight: int) -> Limits:
        """Return what holds for a connection that begins now."""
        if self._is_old:
            self._forget()
        bounds = [n for n in (options.max_packet_bytes, announced.max_packet_bytes, self._packet_bytes) if n]
        return Limits(
            packet_bytes=min(bounds, default=None),
            in_flight=min(max_in_flight, announced.receive_maximum, self._in_flight),
            qos=min(options.qos, announced.max_qos, self._max_qos),
            retains=announced.retains and self._retains,
            aliases=announced.topic_aliases if self._aliases else 0,
        )

    @property
    def _is_old(self) -> bool:
        return self._now_s() - self._learned_s > FORGET_AFTER_S

    def _learn(self) -> None:
        self._learned_s = self._now_s()

    def _forget(self) -> None:
        self._packet_bytes, self._in_flight, self._max_qos = None, UNLIMITED, 2
        self._retains = self._aliases = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for one connection. `packet_bytes` None: no bound."""

    packet_bytes: int | None = None
    in_flight: int = UNLIMITED
    qos: int = 1
    retains: bool = True
    aliases: int = 0
