"""The size of a request and how many are in flight, against links that are arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cloud_sync.uplink.congestion import FIRST_BYTES, LEAST_TIME_S, MAX_BODY_BYTES, CongestionControl


@dataclass
class Link:
    """One request after the other over a link of so many bytes a second and such a round trip."""

    bytes_per_s: float
    rtt_s: float
    control: CongestionControl = field(
        default_factory=lambda: CongestionControl(max_in_flight=8, answer_timeout_s=120.0)
    )
    now_s: float = 0.0

    def deliver(self, count: int = 1, *, body_bytes: int | None = None) -> None:
        """So many pairs of requests, each with as much as it may carry, that go out together."""
        for _ in range(count):
            size = body_bytes or self.control.body_bytes(is_backlog=True, now_s=self.now_s)
            pair = self.control.backlog_slots(now_s=self.now_s)
            flights = [
                self.control.record_sent(size, is_full=True, is_backlog=True, now_s=self.now_s) for _ in range(pair)
            ]
            for flight in flights:
                self.now_s += size / self.bytes_per_s
                self.control.record_answered(flight, now_s=self.now_s + self.rtt_s)
            self.now_s += self.rtt_s

    def fail(self, *, may_be_size: bool, body_bytes: int | None = None) -> None:
        size = body_bytes or self.control.body_bytes(is_backlog=True, now_s=self.now_s)
        flight = self.control.record_sent(size, is_full=True, is_backlog=True, now_s=self.now_s)
        self.now_s += 30.0
        self.control.record_failed(flight, may_be_size=may_be_size)

    @property
    def size(self) -> int:
        return self.control.measured.request_bytes


@pytest.mark.parametrize("rtt_s", [0.02, 0.3, 0.6, 3.0, 10.0])
def test_size_follows_throughput_whatever_the_latency(rtt_s: float):
    link = Link(100_000.0, rtt_s)
    link.deliver(60)
    seconds = link.size / link.bytes_per_s
    assert max(LEAST_TIME_S, rtt_s) * 0.7 <= seconds <= 3 * max(LEAST_TIME_S, rtt_s)


@pytest.mark.parametrize("rtt_s", [0.3, 3.0])
def test_outage_costs_nothing_of_the_size(rtt_s: float):
    link = Link(100_000.0, rtt_s)
    link.deliver(60)
    before = link.size
    link.fail(may_be_size=True)
    for _ in range(1_000):
        assert link.control.body_bytes(is_backlog=True, now_s=link.now_s) == 1
        link.fail(may_be_size=True)
    link.deliver(3)
    assert link.control.body_bytes(is_backlog=True, now_s=link.now_s) >= 0.9 * before


@pytest.mark.parametrize("failures", [1, 11])
def test_what_says_nothing_about_size_changes_nothing(failures: int):
    link = Link(100_000.0, 0.3)
    link.deliver(60)
    before = link.size
    for _ in range(failures):
        link.fail(may_be_size=False)
    link.deliver(3)
    assert link.control.body_bytes(is_backlog=True, now_s=link.now_s) >= 0.9 * before


def test_size_that_fails_while_a_small_one_gets_through_is_halved_and_comes_back_by_steps():
    link = Link(1_000_000.0, 0.02)
    link.deliver(60)
    before = link.size
    link.fail(may_be_size=True)
    link.deliver(2)
    assert link.size <= before // 2
    sizes = []
    for _ in range(6):
        link.deliver(1)
        sizes.append(link.size)
    assert sizes == sorted(sizes)
    assert sizes[0] < before
    assert sizes[-1] >= 0.9 * before


def test_link_that_takes_only_small_bodies_is_found_and_kept_to():
    link, limit, failed = Link(1_000_000.0, 0.02), 50_000, 0
    for _ in range(400):
        if link.control.body_bytes(is_backlog=True, now_s=link.now_s) > limit:
            link.fail(may_be_size=True)
            failed += 1
        else:
            link.deliver()
    assert failed <= 80
    assert link.size >= limit / 2 - 1


def test_slower_link_after_an_outage_is_learnt_again():
    link = Link(1_000_000.0, 0.02)
    link.deliver(60)
    link.fail(may_be_size=True)
    link.fail(may_be_size=False)
    link.bytes_per_s, link.rtt_s = 1_000.0, 3.0
    link.deliver(2, body_bytes=500)
    assert link.control.body_bytes(is_backlog=True, now_s=link.now_s) <= FIRST_BYTES


def test_body_travels_in_half_of_the_answer_timeout_at_most():
    link = Link(1_000.0, 0.5, CongestionControl(max_in_flight=2, answer_timeout_s=4.0))
    link.deliver(40)
    assert link.size / link.bytes_per_s <= 2.0


def test_body_never_passes_its_bound():
    link = Link(125e6, 1.0)
    link.deliver(60)
    assert link.size == MAX_BODY_BYTES


def test_blocks_that_shrink_when_they_are_joined_are_joined_further():
    control = CongestionControl(max_in_flight=8, answer_timeout_s=30.0)
    for _ in range(40):
        control.count_coalesced(10_000, 2_500)
    assert control.parts_bytes(is_backlog=True, now_s=0.0) == pytest.approx(
        4 * control.body_bytes(is_backlog=True, now_s=0.0), rel=0.1
    )


def test_live_has_slots_of_its_own_and_a_backlog_never_the_last_one():
    for most in range(2, 9):
        link = Link(1e9, 10.0, CongestionControl(max_in_flight=most, answer_timeout_s=120.0))
        link.deliver(60)
        backlog, live = link.control.backlog_slots(now_s=link.now_s), link.control.live_slots(has_backlog=True)
        assert 1 <= live <= 2
        assert backlog + live <= most


def test_more_requests_go_while_more_deliver_more_and_no_longer():
    long, narrow = Link(1e9, 10.0), Link(10_000.0, 0.1)
    long.deliver(150)
    narrow.deliver(200)
    assert long.control.measured.in_flight == 7
    assert narrow.control.measured.in_flight <= 3
