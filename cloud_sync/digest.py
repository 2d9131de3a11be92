"""A fingerprint of what was delivered, per sensor and hour, the same on both sides: pure, no database.

    hash(row)  = the first 8 bytes of SHA-256("<sensor_id>|<time_us>"), big-endian, without its lowest bit
    hash(hour) = the sum of its rows' hashes, modulo 2^63

The sum does not depend on the order of rows, and a row counted twice changes it. Equal count and equal hash
mean equal keys; two different sets of keys agree by chance once in 2^63.

On the wire (`hash` is 16 hexadecimal digits, since not every JSON reader keeps 63 bits of a number):

    {"gateway_id": "gw-7", "hours": [{"sensor_id": "pump-07.de-x.rms", "hour_us": 1700000000000000, "count": 60,
      "min_us": 1700000000000000, "max_us": 1700003540000000, "hash": "01a2b3c4d5e6f708"}]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

HOUR_US: Final = 3_600_000_000
MODULUS: Final = 1 << 63

HourKey = tuple[str, int]
"""A sensor_id, and the start of an hour in microseconds since the epoch (UTC)."""


@dataclass(frozen=True, slots=True)
class HourDigest:
    """The rows of one sensor in one hour: how many, their first and last time (us), their hash (0..2^63-1)."""

    count: int
    min_us: int
    max_us: int
    hash: int

    def plus(self, other: HourDigest) -> HourDigest:
        """The digest of both sets of rows together."""
        return HourDigest(
            self.count + other.count,
            min(self.min_us, other.min_us),
            max(self.max_us, other.max_us),
            (self.hash + other.hash) % MODULUS,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """An hour on which the two sides do not agree; None where a side has no rows at all."""

    sensor_id: str
    hour_us: int
    ours: HourDigest | None
    theirs: HourDigest | None


def key_hash(sensor_id: str, time_us: int) -> int:
    """The 63-bit hash of one row's key."""
    digest = hashlib.sha256(f"{sensor_id}|{time_us}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def hour_of(time_us: int) -> int:
    """The start of the hour (UTC) that holds this moment, both in microseconds since the epoch."""
    return time_us - time_us % HOUR_US


def digest_keys(keys: Iterable[tuple[str, int]]) -> dict[HourKey, HourDigest]:
    """The digests of (sensor_id, time_us) keys in any order. Memory follows the hours, not the keys."""
    hours: dict[HourKey, HourDigest] = {}
    for sensor_id, time_us in keys:
        place = (sensor_id, hour_of(time_us))
        one = HourDigest(1, time_us, time_us, key_hash(sensor_id, time_us))
        so_far = hours.get(place)
        hours[place] = one if so_far is None else so_far.plus(one)
    return hours


def differences(ours: Mapping[HourKey, HourDigest], theirs: Mapping[HourKey, HourDigest]) -> list[Difference]:
    """Every hour on which the sides differ, in order of sensor and hour."""
    return [
        Difference(sensor_id, hour_us, ours.get((sensor_id, hour_us)), theirs.get((sensor_id, hour_us)))
        for sensor_id, hour_us in sorted(ours.keys() | theirs.keys())
        if ours.get((sensor_id, hour_us)) != theirs.get((sensor_id, hour_us))
    ]


def encode_digests(gateway_id: str, hours: Mapping[HourKey, HourDigest]) -> bytes:
    """Digests as they travel."""
    listed = [
        {"sensor_id": sensor_id, "hour_us": hour_us, "count": one.count, "min_us": one.min_us, "max_us": one.max_us,
         "hash": f"{one.hash:016x}"}
        for (sensor_id, hour_us), one in hours.items()
    ]  # fmt: skip
    return json.dumps({"gateway_id": gateway_id, "hours": listed}, separators=(",", ":")).encode()


def decode_digests(body: bytes) -> dict[HourKey, HourDigest]:
    """The digests in an answer. Raises ValueError when it is not one."""
    try:
        return {
            (str(one["sensor_id"]), int(one["hour_us"])): HourDigest(
                int(one["count"]), int(one["min_us"]), int(one["max_us"]), int(one["hash"], 16)
            )
            for one in json.loads(body)["hours"]
        }
    except (KeyError, TypeError) as exc:
        raise ValueError(f"these are no digests: {exc!r}") from exc
