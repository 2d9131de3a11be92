"""How much one gateway may send: token buckets for rows and for requests. Pure; time is handed in.

A bucket may go into debt by one batch, since a batch's rows are only known once it was read; whoever is in
debt waits until it is paid. So a batch of any size passes at some time, and the average holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from cloud_sync.central.lru import Lru
from cloud_sync.token_bucket import TokenBucket

KEPT: Final = 10_000
"""Gateways whose buckets are kept; a plant has hundreds."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Per gateway; None does not limit. The defaults let one box drain a day's backlog at full speed."""

    rows_per_s: float | None = 20_000.0
    row_burst: float = 1_000_000.0
    requests_per_s: float | None = 50.0
    request_burst: float = 500.0


@dataclass(slots=True)
class _Buckets:
    rows: TokenBucket | None
    requests: TokenBucket | None


@dataclass(slots=True)
class RateLimiter:
    """The buckets of the gateways that sent last: a broker without access lists lets names through that nobody has."""

    limits: RateLimits
    _gateways: Lru[str, _Buckets] = field(default_factory=lambda: Lru(KEPT))

    def admit(self, gateway_id: str, *, now_s: float) -> int:
        """Return 0 and count the request when it may come in, otherwise the whole seconds to wait, for Retry-After."""
        buckets = self._of(gateway_id, now_s)
        wait_s = max(
            (bucket.wait_s(now_s=now_s, wanted=1) for bucket in (buckets.rows, buckets.requests) if bucket is not None),
            default=0.0,
        )
        if wait_s > 0:
            return math.ceil(wait_s)
        if buckets.requests is not None:
            buckets.requests.take(1, now_s=now_s)
        return 0

    def count_rows(self, gateway_id: str, rows: int, *, now_s: float) -> None:
        """Count the rows of a request that was let in."""
        bucket = self._of(gateway_id, now_s).rows
        if bucket is not None:
            bucket.take(rows, now_s=now_s)

    def _of(self, gateway_id: str, now_s: float) -> _Buckets:
        buckets = self._gateways.get(gateway_id)
        if buckets is None:
            limits = self.limits
            buckets = _Buckets(
                _bucket(limits.rows_per_s, limits.row_burst, now_s),
                _bucket(limits.requests_per_s, limits.request_burst, now_s),
            )
            self._gateways.put(gateway_id, buckets)
        return buckets


def _bucket(rate: float | None, burst: float, now_s: float) -> TokenBucket | None:
    return None if rate is None else TokenBucket(rate, burst, now_s=now_s)
