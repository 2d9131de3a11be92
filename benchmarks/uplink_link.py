"""How much of a simulated link the uplink uses after an outage, while new data keep coming, in virtual time.

Constraints
- The product's own uplink and outbox; link, central and clock are simulated (`_link`, `_virtual_time`).
- The baseline is what the link can carry by itself (`LinkShape.possible_bytes_per_s`): seconds per megabyte of bodies,
  with eight requests of the largest body on their way. Time counts from the first answer after the outage.
- `largest` of some cases is a smaller bound on the records of a request than the product's 20,000, on both sides of the
  comparison, so that a link of hours is simulated in seconds.
- Time-outs are set as somebody would on such a link: 60 s to connect and 120 s to answer where the round trip is 3 s or
  the bandwidth 1 kbit/s, twice that at 20 s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from benchmarks._drain import Case, Drained, drain
from benchmarks._link import LinkShape
from benchmarks.harness import LINK_PREFIX, Comparison, benchmark

_HOUR_S: Final = 3_600.0
_KBIT: Final = 125.0  # bytes a second

_PATIENT: Final = (60.0, 120.0)
_VERY_PATIENT: Final = (120.0, 300.0)


def _case(
    name: str,
    kbit_s: float,
    rtt_s: float,
    loss: float = 0.0,
    *,
    rows: int,
    waiting: int,
    live_every_s: float = 1.0,
    outage_s: float = 60.0,
    timeouts: tuple[float, float] = (5.0, 30.0),
    largest: int = 20_000,
) -> Case:
    shape = LinkShape(kbit_s * _KBIT, rtt_s, loss, outage_s, *timeouts)
    return Case(name, shape, rows, waiting, live_every_s, most_records=largest)


CASES: Final = (
    _case("1kbit.20ms", 1, 0.02, rows=20, waiting=2_000, live_every_s=300, timeouts=_PATIENT, outage_s=_HOUR_S),
    _case("1kbit.20s", 1, 20.0, rows=20, waiting=3_000, live_every_s=300, timeouts=_VERY_PATIENT),
    _case("10kbit.600ms", 10, 0.6, rows=100, waiting=1_600, live_every_s=10, outage_s=336 * _HOUR_S),
    _case("64kbit.20ms", 64, 0.02, rows=200, waiting=1_500),
    _case("64kbit.3s", 64, 3.0, rows=200, waiting=4_000, timeouts=_PATIENT),
    _case("64kbit.1s.loss5", 64, 1.0, 0.05, rows=200, waiting=3_000),
    _case("1mbit.300ms", 1_000, 0.3, rows=1_000, waiting=1_000, outage_s=10.0),
    _case("1mbit.3s", 1_000, 3.0, rows=500, waiting=6_000, timeouts=_PATIENT, largest=2_000),
    _case("1mbit.100ms.loss20", 1_000, 0.1, 0.2, rows=1_000, waiting=3_000, live_every_s=5, largest=5_000),
    _case("10mbit.50ms.loss1", 10_000, 0.05, 0.01, rows=500, waiting=4_000, largest=1_000),
    _case("100mbit.300ms", 100_000, 0.3, rows=1_000, waiting=1_500, largest=1_000),
    _case("1gbit.20ms", 1e6, 0.02, rows=1_000, waiting=1_500, largest=1_000, outage_s=24 * _HOUR_S),
    _case("1gbit.20s", 1e6, 20.0, rows=500, waiting=1_500, live_every_s=20, largest=500, timeouts=_VERY_PATIENT),
)


def compared(found: Drained) -> Comparison:
    """Seconds for a megabyte of bodies, and what live data had of it."""
    ours, possible = found.bytes_per_s, found.case.possible_bytes_per_s
    also = {
        "kbit_s": ours / _KBIT,
        "possible_kbit_s": possible / _KBIT,
        "live_median_s": found.live_median_s,
        "live_p95_s": found.live_p95_s,
        "in_flight": float(found.in_flight),
    }
    return Comparison((1e6 / ours,), (1e6 / possible,), also)


def _benchmark_of(case: Case) -> Callable[[], Comparison]:
    def run() -> Comparison:
        logging.getLogger("cloud_sync").setLevel(logging.CRITICAL)  # the outage is meant
        return compared(drain(case))

    return run


for _each in CASES:
    benchmark(f"{LINK_PREFIX}{_each.name}", unit="s/MB")(_benchmark_of(_each))
