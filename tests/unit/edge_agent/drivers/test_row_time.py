"""Whose clock a row's time is of, and what is said of a device's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.quality import Quality
from edge_agent.core.tags import KeepAlive, Reading, Scan, Tag
from edge_agent.drivers.row_time import AHEAD_S, Arrival, RowTimes, TimeOf, duration_in_words
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.tags import TagLine
from tests.support.blocks import rows_in

START_NS = 1_700_000_000_000_000_000
HOUR = 3_600.0
DAY = 86_400.0


def ns(seconds: float | None) -> int | None:
    return None if seconds is None else START_NS + round(seconds * 1e9)


def arrival(at: float, content: object, source: float | None = None, server: float | None = None) -> Arrival:
    """A value received `at`, with the times it says, in seconds after the start."""
    return Arrival(content, START_NS + round(at * 1e9), ns(source), ns(server))


def stamped(times: RowTimes, *arrivals: Arrival) -> list[tuple[float, str]]:
    stamps = [times.stamp("p.t", each) for each in arrivals]
    return [(round((stamp.time_ns - START_NS) / 1e9, 6), stamp.of.value) for stamp in stamps]


def test_a_source_time_that_moves_with_the_value_is_the_rows() -> None:
    assert stamped(RowTimes(), arrival(10, 1, 9.6), arrival(11, 2, 10.6)) == [(9.6, "source"), (10.6, "source")]


@pytest.mark.parametrize(
    "off_s", [3 * HOUR, -3 * HOUR, 2 * DAY, -30 * DAY, -1_400 * DAY, -1e10, AHEAD_S + 1], ids=lambda off: f"{off:g}"
)
def test_a_source_time_outside_the_bound_is_the_servers_or_ours(off_s) -> None:
    with_server = [arrival(at, at, at + off_s, at - 0.1) for at in (10, 11)]
    assert stamped(RowTimes(), *with_server) == [(9.9, "server"), (10.9, "server")]
    without = [arrival(at, at, at + off_s, at + off_s) for at in (10, 11)]
    assert stamped(RowTimes(), *without) == [(10, "gateway"), (11, "gateway")]


def test_an_old_value_that_stands_has_the_time_it_came() -> None:
    times = RowTimes()
    stamp = times.stamp("p.t", arrival(10, 33, -30 * DAY))
    assert (stamp.time_ns, stamp.of) == (ns(10), TimeOf.GATEWAY)
    assert stamp.detail == "the source's time is 30 days behind"
    assert times.problems() == (), "nothing is wrong with a tag that does not change"


def test_a_source_time_that_stands_while_the_value_changes_is_not_its_time() -> None:
    frozen = [arrival(at, at, -2.0) for at in (10, 11, 12)]
    assert stamped(RowTimes(), *frozen) == [(-2.0, "source"), (11, "gateway"), (12, "gateway")]
    assert RowTimes().stamp("p.t", frozen[0]).detail == ""


def test_a_frozen_time_is_named_in_the_detail() -> None:
    times = RowTimes()
    times.stamp("p.t", arrival(10, 1, 9))
    assert times.stamp("p.t", arrival(11, 2, 9)).detail == "the source's time does not move with the value"
    assert times.stamp("p.t", arrival(12, 2, 9)).detail == "", "the same value again is no other"


def test_values_of_one_message_with_one_time_are_a_microsecond_apart_in_order() -> None:
    together = [arrival(10, value, 9.5) for value in (3, 1, 2)]
    assert stamped(RowTimes(), *together) == [(9.5, "source"), (9.500001, "source"), (9.500002, "source")]


def test_a_clock_that_is_set_back_costs_no_order() -> None:
    rows = stamped(RowTimes(), arrival(10, 1, 12), arrival(11, 2, 11), arrival(13, 3, 12.9))
    assert rows == [(12, "source"), (12.000001, "gateway"), (12.9, "source")]


@pytest.mark.parametrize(
    ("choice", "row"),
    [("source", (200.0, "source")), ("server", (150.0, "server")), ("gateway", (10.0, "gateway"))],
)
def test_a_clock_that_a_site_chose_is_taken_within_the_bound(choice, row) -> None:
    assert stamped(RowTimes(choice=choice), arrival(10, 1, 200, 150)) == [row]
    assert stamped(RowTimes(choice="gateway", choices={"p.t": choice}), arrival(10, 1, 200, 150)) == [row]
    assert stamped(RowTimes(choice=choice, bound_s=60), arrival(10, 1, 200, 150)) == [(10.0, "gateway")]


def test_a_row_later_than_its_value_came_is_said_to_be() -> None:
    times = RowTimes(choice="source")
    assert times.stamp("p.t", arrival(10, 1, 200)).is_ahead
    assert times.stamp("p.t", arrival(11, 2, 11)).is_ahead, "rows only go forward"
    assert not RowTimes().stamp("p.t", arrival(10, 1, 12)).is_ahead


@pytest.mark.parametrize("off_s", [3 * HOUR, -3 * HOUR, 2 * DAY, -1e10])
def test_a_skew_is_measured_and_is_the_servers(off_s) -> None:
    times = RowTimes()
    stamped(times, *(arrival(at, at, at + off_s) for at in range(10)))
    assert times.skew.seconds() == off_s
    (found,) = times.problems()
    assert found.what.startswith("the clock of the server is ")
    assert found.since_ns == ns(1)
    assert found.do is not None
    assert "set the clock of the server" in found.do


def test_one_jump_of_a_clock_is_no_skew() -> None:
    times = RowTimes()
    stamped(times, *(arrival(at, at, at + (HOUR if at == 7 else 0)) for at in range(20)))
    assert times.skew.seconds() == 0
    assert times.problems() == ()


def test_a_clock_that_was_set_right_is_no_problem_any_longer() -> None:
    times = RowTimes()
    stamped(times, *(arrival(at, at, at + 3 * HOUR) for at in range(10)))
    assert times.problems()
    stamped(times, *(arrival(at, at, at) for at in range(10, 30)))
    assert times.problems() == ()


def test_a_server_whose_values_stand_shows_its_clock_by_its_messages() -> None:
    times = RowTimes()
    assert times.skew.seconds() is None
    for at in range(3):
        times.take_message_time(ns(at + HOUR), START_NS + at * 1_000_000_000)
    times.take_message_time(None, START_NS)
    assert times.skew.seconds() == HOUR
    assert "2 h" not in times.problems()[0].what
    assert "60 min ahead of this gateway's" in times.problems()[0].what


def test_while_our_own_clock_is_not_known_none_is_believed_and_the_difference_is_shown() -> None:
    times = RowTimes()
    for at in range(10):
        unknown = arrival(at, at, at + 3 * HOUR)._replace(is_clock_known=False)
        assert times.stamp("p.t", unknown).of is TimeOf.GATEWAY
    assert times.skew.seconds() == 3 * HOUR
    (found,) = times.problems()
    assert found.what == (
        "the clock of the server is 3 h ahead of this gateway's, which is not synchronised yet; "
        "tags whose rows have another clock's time: 1"
    )
    stamped(times, *(arrival(at, at, at) for at in range(10, 14)))
    assert times.skew.seconds() == 0, "what was measured before is of another clock"
    assert times.problems() == ()


def test_some_tags_with_another_clock_are_named() -> None:
    times = RowTimes()
    for at in range(20):
        for tag, off_s in (("p.a", 0.0), ("p.b", 0.0), ("p.c", 0.0), ("p.d", 3 * HOUR), ("p.e", -30 * DAY)):
            times.stamp(tag, arrival(at, at, at + off_s))
    (found,) = times.problems()
    assert found.what == (
        "the times that the server gives 2 of its tags are not used: first p.d (3 h ahead), p.e (30 days behind)"
    )


@pytest.mark.parametrize(
    ("off_s", "words"),
    [
        (-3 * HOUR, "the times that the server gives 1 of its tags are not used: first p.t (3 h behind)"),
        (-200, "the times of most values of the server are 3 min behind, and its own clock is right"),
    ],
)
def test_values_with_another_clock_than_the_servers_own_do_not_make_its_clock_wrong(off_s, words) -> None:
    times = RowTimes()
    for at in range(10):
        times.take_message_time(ns(at), START_NS + at * 1_000_000_000)
        times.stamp("p.t", arrival(at, at, at + off_s))
    assert times.skew.seconds() == off_s
    (found,) = times.problems()
    assert found.what == words
    assert found.do == "set the clock of the devices behind these tags, or give them a time server (NTP)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.02, "20 ms"),
        (7.4, "7 s"),
        (119, "119 s"),
        (600, "10 min"),
        (3 * HOUR, "3 h"),
        (DAY, "24 h"),
        (2e9, "63 years"),
    ],
)
def test_a_duration_in_its_largest_unit(seconds, words) -> None:
    assert duration_in_words(seconds) == words


TAG = Tag("p.t", "", "general")
offsets = st.one_of(
    st.none(), st.floats(-10, 10), st.floats(-1e10, 1e10), st.sampled_from([0.0, -7_200.0, 4.9, 86_399.0])
)
values = st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1e-7, 0.5, 70.0]), offsets, offsets, st.booleans())


@given(st.sampled_from(["auto", "source", "server", "gateway"]), st.lists(values, max_size=30))
def test_no_value_is_lost_for_its_time_and_times_only_grow(choice, sequence) -> None:
    times = RowTimes(choice=choice, bound_s=DAY if choice != "auto" else 300.0)
    line = TagLine("plc", deadbands={"p.t": 0.0}, heartbeat_s=60.0, recorder=Recorder(is_clock_synced=lambda: True))
    at, changes, last, rows = 0.0, 0, None, []
    for value, later_s, source_off, server_off, has_keep_alive in sequence:
        at += later_s
        if has_keep_alive:
            line.push(KeepAlive("plc", START_NS + round(at * 1e9), frozenset({"p.t"})))
        said = (None if off is None else at + off for off in (source_off, server_off))
        stamp = times.stamp("p.t", arrival(at, value, *said))
        changes += value != last
        last = value
        source_ns = None if stamp.of is TimeOf.GATEWAY else stamp.time_ns
        reading = Reading(TAG, float(value), Quality.GOOD, source_ns, START_NS + round(at * 1e9))
        rows += rows_in(line.push(Scan("plc", (reading,))))
    assert len({row.time_us for row in rows}) == len(rows)
    assert [row.time_us for row in rows] == sorted(row.time_us for row in rows)
    assert len(rows) >= changes
    if choice == "auto":
        assert all(START_NS // 1000 - 310_000_000 <= row.time_us <= START_NS // 1000 + (at + 6) * 1e6 for row in rows)


@given(st.sampled_from(["auto", "source", "server", "gateway"]), st.lists(values, max_size=30))
def test_the_short_way_to_a_time_finds_what_the_long_way_does(choice, sequence) -> None:
    long, short = RowTimes(choice=choice), RowTimes(choice=choice)
    at = 0.0
    for value, later_s, source_off, server_off, _ in sequence:
        at += later_s
        said = (None if off is None else at + off for off in (source_off, server_off))
        came = arrival(at, value, *said)
        stamp = long.stamp("p.t", came)
        found_ns = short.plain_time_ns("p.t", value, came.received_ns, came.source_ns, came.server_ns)
        if found_ns is not None:
            of = TimeOf.SERVER if came.source_ns is None else TimeOf.SOURCE
            assert stamp == (found_ns, of, "", False)
        else:
            assert short.stamp("p.t", came) == stamp
        assert (short.problems(), short.skew.seconds()) == (long.problems(), long.skew.seconds())


@pytest.mark.parametrize(("source_s", "server_s"), [(10.6, None), (10.6, 10.9), (None, 10.6)])
def test_the_short_way_is_taken_where_a_time_moves(source_s, server_s) -> None:
    times = RowTimes()
    times.stamp("p.t", arrival(10, 1, 9.6, 9.6))
    came = arrival(11, 2, source_s, server_s)
    assert times.plain_time_ns("p.t", 2, came.received_ns, came.source_ns, came.server_ns) == ns(10.6)
