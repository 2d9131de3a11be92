"""The uplink at simulated links in virtual time: it uses them, does not swing, and never dies."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks._drain import BYTES_OF_ROW, Case, Drained, drain
from benchmarks._link import REQUEST_BYTES, LinkShape

LARGEST = 500
"""Records of a request, on both sides of the comparison: a link of hours takes a second."""


def drained(kbit_s: float, rtt_s: float, loss: float = 0.0, *, outage_s: float = 60.0, waiting: int = 400) -> Drained:
    shape = LinkShape(kbit_s * 125, rtt_s, loss, outage_s, connect_timeout_s=120.0, answer_timeout_s=300.0)
    rows = int(min(LARGEST // 2, max(20, kbit_s)))
    case = Case("drawn", shape, rows, waiting, live_every_s=1.0, most_records=LARGEST)
    flush_s = (rows * BYTES_OF_ROW + REQUEST_BYTES) / (0.1 * case.possible_bytes_per_s)  # a tenth of what it carries
    return drain(replace(case, live_every_s=max(2.0, 2 * rtt_s, flush_s)))


def quarters(found: Drained) -> list[int]:
    """Bytes of each quarter of the drain."""
    first_s, last_s = found.sizes[0][0], found.sizes[-1][0]
    quarter_s = (last_s - first_s) / 4
    return [
        sum(size for at_s, size in found.sizes if first_s + n * quarter_s <= at_s < first_s + (n + 1) * quarter_s)
        for n in range(4)
    ]


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    kbit_s=st.sampled_from([1.0, 9.6, 64.0, 1_000.0, 100_000.0, 1e6]),
    rtt_s=st.sampled_from([0.02, 0.3, 3.0, 20.0]),
    loss=st.sampled_from([0.0, 0.01, 0.2]),
    outage_s=st.sampled_from([3.0, 600.0, 20_000.0]),
)
def test_no_link_is_ever_given_up(kbit_s: float, rtt_s: float, loss: float, outage_s: float):
    """A drain that stands still would end in an error of the virtual clock, or never."""
    found = drained(kbit_s, rtt_s, loss, outage_s=outage_s, waiting=100)
    assert sum(size for _, size in found.sizes) > 0
    assert found.utilisation > 0.1


@pytest.mark.parametrize(("kbit_s", "rtt_s"), [(9.6, 0.6), (100.0, 0.3), (1_000.0, 3.0), (1e6, 0.02)])
def test_link_without_losses_is_used_and_the_rate_does_not_swing(kbit_s: float, rtt_s: float):
    found = drained(kbit_s, rtt_s, waiting=1_500)
    assert found.utilisation >= 0.8
    _, *later = quarters(found)
    assert min(later) >= 0.75 * max(later)


def test_days_of_outage_leave_the_size_as_it_was():
    short, long = (drained(64.0, 3.0, outage_s=outage_s, waiting=200) for outage_s in (10.0, 2 * 86_400.0))
    assert long.bytes_per_s == pytest.approx(short.bytes_per_s, rel=0.1)


def test_live_data_do_not_wait_behind_the_backlog():
    found = drained(64.0, 0.3, waiting=800)
    in_order = itertools.pairwise(at_s for at_s, _ in found.sizes)
    assert all(before <= after for before, after in in_order)
    assert found.live_median_s <= 2.0
