"""Digests of keys alone, as a central makes them: tests have rows without values."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cloud_sync.digest import HourDigest, HourKey, digest_columns


def digest_keys(keys: Iterable[tuple[str, int]]) -> dict[HourKey, HourDigest]:
    """Return the digests of (sensor_id, time_us) keys in any order."""
    keys = list(keys)
    times = np.array([time_us for _, time_us in keys], np.int64)
    return digest_columns([sensor_id for sensor_id, _ in keys], np.arange(len(keys)), times)
