"""A backlog that grows while the central takes what is sent: when it is a problem, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloud_sync.outbox.store import Depth
from cloud_sync.outbox.tables import Waiting
from cloud_sync.uplink.congestion import Measured
from cloud_sync.uplink.sender import LinkState, UplinkState
from edge_agent.settings import CentralSettings
from edge_agent.status.backlog_growth import (
    LEAST_BYTES,
    WINDOW_S,
    Growth,
    GrowthWatch,
    describe_pace,
    growth_problems,
    is_withheld,
)

ONLINE = UplinkState(LinkState.ONLINE, since_ns=0, measured=Measured(1_000.0, 0.2, 4_096, 2))
EMPTY = Depth(0, 0, 0, 4_096, None, None, dead_letters=0)
GROWTH = Growth(0, made_per_s=30.0, taken_per_s=10.0, sent_bytes_per_s=1_000.0, waiting_bytes=2_000_000)


def central(**more: Any) -> CentralSettings:
    return CentralSettings(url="https://central.example", **more)


def watch(steps: list[tuple[float, int]], *, links: dict[int, LinkState] | None = None) -> Growth | None:
    """Looks at a backlog of so many bytes at such times; 10 records a second are taken, and what is left grows."""
    watched, found = GrowthWatch(), None
    for number, (now_s, waiting) in enumerate(steps):
        depth = replace(EMPTY, by_class=(("reading", Waiting(1, waiting // 100, waiting)),))
        taken = int(10 * now_s)
        counters = {"appended": taken + waiting // 100, "accepted": taken, "duplicates": 0, "refused": 0}
        link = (links or {}).get(number, LinkState.ONLINE)
        uplink = replace(ONLINE, link=link, sent_bytes_total=int(500 * now_s))
        found = watched.look(depth, counters, uplink, now_s=now_s, now_ns=int(now_s * 1e9))
    return found


def minutes(count: int, *, per_minute: int, first: int = 2 * LEAST_BYTES) -> list[tuple[float, int]]:
    return [(60.0 * n, first + n * per_minute) for n in range(count)]


def test_growth_over_ten_minutes_is_told_with_its_rates():
    found = watch(minutes(11, per_minute=12_000))
    assert found is not None
    assert found.since_ns == 0
    assert found.taken_per_s == pytest.approx(10.0)
    assert found.made_per_s == pytest.approx(12.0)
    assert found.sent_bytes_per_s == pytest.approx(500.0)


@pytest.mark.parametrize(
    "steps",
    [
        minutes(10, per_minute=12_000),
        minutes(30, per_minute=0),
        minutes(30, per_minute=-1_000),
        minutes(30, per_minute=10, first=100),
        [(60.0 * n, 2 * LEAST_BYTES + (n % 2) * 50_000) for n in range(31)],
    ],
    ids=["too short", "level", "shrinks", "too little", "swings"],
)
def test_what_is_no_growth_is_not_told(steps: list[tuple[float, int]]):
    assert watch(steps) is None


def test_an_outage_begins_the_ten_minutes_again():
    steps = minutes(21, per_minute=12_000)
    assert watch(steps, links={12: LinkState.OFFLINE}) is None
    found = watch(minutes(24, per_minute=12_000), links={12: LinkState.OFFLINE})
    assert found is not None
    assert found.since_ns == 13 * 60 * 10**9


def test_growth_is_told_on_while_it_lasts():
    found = watch(minutes(100, per_minute=12_000))
    assert found is not None
    assert found.since_ns >= (99 * 60 - WINDOW_S - 60) * 1e9


def test_a_thin_link_is_told_with_what_it_carries_and_what_is_made():
    (found,) = growth_problems(GROWTH, ONLINE, central())
    assert "2.0 MB wait" in found["what"]
    assert "about 8 kbit/s are delivered, the sources make 24 kbit/s" in found["what"]
    assert "report.interval_s" in found["do"]


def test_a_long_round_trip_is_told_with_its_time_and_the_setting_that_helps():
    slow = replace(ONLINE, measured=Measured(1_000.0, 3.2, 4_096, 2))
    (found,) = growth_problems(GROWTH, slow, central(batches_in_flight=2))
    assert "each request takes 3.2 s" in found["what"]
    assert "central.batches_in_flight (now 2, at most 8)" in found["do"]
    (found,) = growth_problems(GROWTH, slow, central())
    assert "outbox.flush_interval_s" in found["do"]


def test_a_rate_that_was_set_is_the_cause_while_it_is_used_up():
    (found,) = growth_problems(GROWTH, ONLINE, central(max_kbit_s=8.5))
    assert "central.max_kbit_s lets 8.5 kbit/s through" in found["what"]
    (found,) = growth_problems(GROWTH, ONLINE, central(max_kbit_s=1_000))
    assert "max_kbit_s" not in found["what"]


def test_nothing_that_grows_is_no_problem():
    assert growth_problems(None, ONLINE, central()) == []


@pytest.mark.parametrize(
    ("gate", "is_so"),
    [
        ({"sends": "everything", "is_quiet": False, "next_reading_s": 0}, False),
        ({"sends": "newest", "is_quiet": False, "next_reading_s": 0}, True),
        ({"sends": "everything", "is_quiet": True, "next_reading_s": 0}, True),
        ({"sends": "everything", "is_quiet": False, "next_reading_s": 300}, True),
    ],
)
def test_what_is_withheld_on_purpose_is_no_growth(gate: dict[str, Any], is_so: bool):
    assert is_withheld({"link": gate}) is is_so


def test_pace_is_described_in_units_for_people_and_unknown_before_it_is_measured():
    assert describe_pace(ONLINE) == {
        "rate_kbit_s": 8.0, "floor_s": 0.2, "request_bytes": 4_096, "backlog_requests": 2,
    }  # fmt: skip
    assert set(describe_pace(UplinkState(LinkState.STARTING, since_ns=0)).values()) == {None}
