"""A fingerprint of what was delivered, per sensor and hour, the same on both sides: pure, no database.

    hash(row)       = the first 8 bytes of SHA-256("<sensor_id>|<time_us>"), big-endian, without its lowest bit
    value_hash(row) = the same of "<sensor_id>|<time_us>|", then value and quality as IEEE 754, 8 bytes each, big-endian
    hash(hour)      = the sum of its rows' hashes, modulo 2^63; value_hash likewise

The sum does not depend on the order of rows, and a row counted twice changes it. Equal count and equal hash
mean equal keys, equal value_hash means that every bit of values and qualities is equal as well; two different sets
agree by chance once in 2^63. A side may know the keys of an hour only: then keys are what is compared.

On the wire (hashes are 16 hexadecimal digits, since not every JSON reader keeps 63 bits of a number):

    {"gateway_id": "gw-7", "hours": [{"sensor_id": "pump-07.de-x.rms", "hour_us": 1700000000000000, "count": 60,
      "min_us": 1700000000000000, "max_us": 1700003540000000, "hash": "01a2b3c4d5e6f708",
      "value_hash": "0a1b2c3d4e5f6071"}]}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import RowColumns
from cloud_sync.host.printable import printable
from cloud_sync.strict_json import parse_json

if TYPE_CHECKING:
    from hashlib import _Hash

HOUR_US: Final = 3_600_000_000
MODULUS: Final = 1 << 63
MAX_DIGEST_BYTES: Final = 32_000_000
"""9,000 sensors, with 24 hours to a question and 150 bytes to an hour."""
_MOST_VALUES: Final = 14 * MAX_DIGEST_BYTES // 150
_HASH: Final = re.compile(r"[0-7][0-9a-f]{15}")

HourKey = tuple[str, int]
"""A sensor_id, and the start of an hour in microseconds since the epoch (UTC)."""


@dataclass(frozen=True, slots=True)
class HourDigest:
    """The rows of one sensor in one hour: how many, their first and last time (us), their hashes (0..2^63-1).

    Two are equal when they are of the same keys; whether of the same values, `agrees_with` returns.
    """

    count: int
    min_us: int
    max_us: int
    hash: int
    value_hash: int | None = field(default=None, compare=False)
    """None: of at least one row only the key is known."""

    def plus(self, other: HourDigest) -> HourDigest:
        """Return the digest of both sets of rows together."""
        values = (self.value_hash, other.value_hash)
        return HourDigest(
            self.count + other.count,
            min(self.min_us, other.min_us),
            max(self.max_us, other.max_us),
            (self.hash + other.hash) % MODULUS,
            None if None in values else sum(one for one in values if one is not None) % MODULUS,
        )

    def agrees_with(self, other: HourDigest) -> bool:
        """Return whether both have the same keys, and the same values where both sides know them."""
        return self == other and (self.value_hash == other.value_hash or None in (self.value_hash, other.value_hash))


@dataclass(frozen=True, slots=True)
class Difference:
    """An hour on which the two sides do not agree; None where a side has no rows at all."""

    sensor_id: str
    hour_us: int
    ours: HourDigest | None
    theirs: HourDigest | None


def hour_of(time_us: int) -> int:
    """Return the start of the hour (UTC) that holds this moment, both in microseconds since the epoch."""
    return time_us - time_us % HOUR_US


def digest_columns(
    sensor_ids: Sequence[str],
    of_row: NDArray[np.int64],
    times: NDArray[np.int64],
    values: NDArray[np.float64] | None = None,
    qualities: NDArray[np.float64] | None = None,
) -> dict[HourKey, HourDigest]:
    """Return the digests of rows in any order: row n is of sensor `sensor_ids[of_row[n]]`, at `times[n]` (us).

    With values and qualities they cover these as well. Sorted by sensor and time, so that an hour is a slice.
    """
    if not len(times):
        return {}
    numbers: dict[str, int] = {}
    of_row = np.array([numbers.setdefault(sensor_id, len(numbers)) for sensor_id in sensor_ids])[of_row]
    order = np.lexsort((times, of_row))
    of_row, times = of_row[order], times[order]
    hour_us = times - times % HOUR_US
    is_of_next = _changes(of_row)
    starts = np.flatnonzero(is_of_next | _changes(hour_us))
    sensors = list(numbers)
    firsts = np.flatnonzero(is_of_next)
    bits = None if values is None or qualities is None else _bits(values[order], qualities[order])
    named = [sensors[number] for number in of_row[firsts].tolist()]
    keys, whole = _hashes(named, firsts.tolist(), times.tolist(), bits)
    ends = np.append(starts[1:], len(times))
    columns = (of_row[starts], hour_us[starts], ends - starts, times[starts], times[ends - 1], _sums(keys, starts))
    value_sums = [None] * len(starts) if whole is None else _sums(whole, starts).tolist()
    return {
        (sensors[number], hour): HourDigest(count, min_us, max_us, total, value_sum)
        for number, hour, count, min_us, max_us, total, value_sum in zip(
            *(column.tolist() for column in columns), value_sums, strict=True
        )
    }


def digest_rows(rows: RowColumns) -> dict[HourKey, HourDigest]:
    """Return the digests of whole rows, their values among them."""
    sensor_ids = [one.sensor_id for one in rows.series]
    return digest_columns(sensor_ids, rows.of_row, rows.time_us, rows.value, rows.quality)


def add_digests(hours: dict[HourKey, HourDigest], more: Mapping[HourKey, HourDigest]) -> None:
    """Add the rows of `more` to `hours`, in place."""
    for place, one in more.items():
        so_far = hours.get(place)
        hours[place] = one if so_far is None else so_far.plus(one)


def differences(ours: Mapping[HourKey, HourDigest], theirs: Mapping[HourKey, HourDigest]) -> list[Difference]:
    """Return every hour on which the sides differ, in order of sensor and hour."""
    both = ((*place, ours.get(place), theirs.get(place)) for place in sorted(ours.keys() | theirs.keys()))
    return [
        Difference(sensor_id, hour_us, one, other)
        for sensor_id, hour_us, one, other in both
        if one is None or other is None or not one.agrees_with(other)
    ]


def encode_digests(gateway_id: str, hours: Mapping[HourKey, HourDigest]) -> bytes:
    """Encode digests as they travel."""
    listed = [
        {"sensor_id": sensor_id, "hour_us": hour_us, "count": one.count, "min_us": one.min_us, "max_us": one.max_us,
         "hash": f"{one.hash:016x}"} | ({} if one.value_hash is None else {"value_hash": f"{one.value_hash:016x}"})
        for (sensor_id, hour_us), one in hours.items()
    ]  # fmt: skip
    return json.dumps({"gateway_id": gateway_id, "hours": listed}, separators=(",", ":")).encode()


def decode_digests(body: bytes) -> dict[HourKey, HourDigest]:
    """Return the digests in an answer. Raises ValueError when it is not one."""
    try:
        document = parse_json(body, max_bytes=MAX_DIGEST_BYTES, max_values=_MOST_VALUES)
        return dict(map(_hour, document["hours"]))
    except (KeyError, TypeError) as exc:
        raise ValueError(f"these are no digests: {printable(exc, limit=200)}") from exc


def _hour(one: dict[str, Any]) -> tuple[HourKey, HourDigest]:
    sensor_id = one["sensor_id"]
    if not isinstance(sensor_id, str):
        raise TypeError("a sensor_id that is none")
    hour_us, count, min_us, max_us = (_number(one[name]) for name in ("hour_us", "count", "min_us", "max_us"))
    if count < 1:
        raise TypeError("an hour without rows")
    return (sensor_id, hour_us), HourDigest(
        count, min_us, max_us, _digits(one["hash"]), _digits(one["value_hash"]) if "value_hash" in one else None
    )


def _digits(text: str) -> int:
    if not _HASH.fullmatch(text):
        raise TypeError("a hash that is none")
    return int(text, 16)


def _number(value: object) -> int:
    if type(value) is not int or not -MODULUS <= value < MODULUS:
        raise TypeError("a number that is none of 64 bits")
    return value


def _changes(column: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a number is another than the one before it; the first is."""
    changes = np.ones(len(column), np.bool_)
    np.not_equal(column[1:], column[:-1], out=changes[1:])
    return changes


def _hashes(
    sensors: Sequence[str], firsts: Sequence[int], times: Sequence[int], bits: Sequence[bytes] | None
) -> tuple[NDArray[np.uint64], NDArray[np.uint64] | None]:
    """Return hash(row) of every row, and value_hash(row) when its bits are there; what rows share is hashed once."""
    texts = str(times)[1:-1].encode().split(b", ")  # all at once: a third of the time of one by one
    keys, whole = [], []
    for sensor_id, start, stop in zip(sensors, firsts, [*firsts[1:], len(texts)], strict=True):
        begin = _begun(sensor_id)
        for number in range(start, stop):
            hasher = begin()
            hasher.update(texts[number])
            keys.append(hasher.digest())
            if bits is not None:
                hasher.update(bits[number])
                whole.append(hasher.digest())
    return _numbers(keys), None if bits is None else _numbers(whole)


def _numbers(digests: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(digests), ">u8")[::4].astype(np.uint64) >> np.uint64(1)


def _sums(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    return np.add.reduceat(hashes, starts) % np.uint64(MODULUS)  # 2^63 divides the 2^64 at which it wraps


def _bits(values: NDArray[np.float64], qualities: NDArray[np.float64]) -> list[bytes]:
    """What follows a row's key: a bar, and both as big-endian doubles."""
    rows = np.empty(len(values), np.dtype([("bar", "S1"), ("value", ">f8"), ("quality", ">f8")]))
    rows["bar"], rows["value"], rows["quality"] = b"|", values, qualities
    text, size = rows.tobytes(), rows.dtype.itemsize
    return [text[at : at + size] for at in range(0, len(text), size)]


@lru_cache(maxsize=4_096)
def _begun(sensor_id: str) -> Callable[[], _Hash]:
    """Return a maker of hashers that have had the part of the key before the time."""
    return hashlib.sha256(f"{sensor_id}|".encode()).copy
