"""What status says of the clock."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.health.clock_keeper import ClockHealth
from edge_agent.health.clock_watch import ClockState
from edge_agent.status.clock import clock_problems, describe_clock
from edge_agent.status.fields import in_utc

HELD = ClockHealth(
    is_synced=False, state=ClockState.HELD, wall_us=300_000_000, is_possible=False, up_s=7_800.0, running_s=7_750.0,
    held_records=1_204, hold_left_s=600.0, not_believed_us=None, off_us=0,
)  # fmt: skip
KNOWN = replace(HELD, is_synced=True, state=ClockState.KNOWN, is_possible=True, held_records=0)


def test_an_impossible_clock_is_a_problem_at_once_with_what_waits_and_what_helps():
    (problem,) = clock_problems(replace(HELD, running_s=1.0))
    assert problem["what"] == (
        "the clock: not synchronised since the boot 2 h 10 min ago and says 1970-01-01T00:05:00Z, which cannot be; "
        "1204 records held until they can be stamped right"
    )
    assert "by hand" in problem["do"]


def test_a_possible_clock_has_a_minute_to_be_synchronised():
    possible = replace(HELD, is_possible=True)
    assert clock_problems(replace(possible, running_s=30.0)) == []
    (problem,) = clock_problems(possible)
    assert problem["what"].endswith("for 10 min more with the central in reach")


def test_a_right_clock_is_nothing_to_talk_of():
    assert clock_problems(KNOWN) == []
    assert describe_clock(KNOWN)["message"] is None
    assert describe_clock(KNOWN)["do"] is None


def test_a_site_without_a_time_service_is_told_but_not_degraded():
    given_up = replace(KNOWN, is_synced=False, state=ClockState.GIVEN_UP)
    assert clock_problems(given_up) == []
    assert describe_clock(given_up)["message"] == "not synchronised: quality is capped at 0.5"


def test_a_step_that_is_not_followed_is_a_problem():
    (problem,) = clock_problems(replace(KNOWN, not_believed_us=-5_000_000_000_000))
    assert "set by -5000000 s without being synchronised" in problem["what"]


TWO_HOURS_US = 7_200_000_000
CONTRADICTED = replace(HELD, off_central_us=TWO_HOURS_US, within_us=900_000, differs_since_us=1_800_000_000_000_000)


def test_a_clock_that_the_central_contradicts_is_a_problem_at_once_that_says_by_how_much_since_when_and_what_next():
    (problem,) = clock_problems(replace(CONTRADICTED, running_s=1.0))
    assert problem["what"] == (
        "the clock: not synchronised, and this box's clock is 2.0 h ahead of the central's; 1204 records held until "
        "they can be stamped right; unless it is set right within 10 min, they get the central's times"
    )
    assert problem["since"] == "2027-01-15T08:00:00.000Z"
    assert "by hand" in problem["do"]


def test_times_that_are_the_centrals_stay_a_problem():
    centrals = replace(CONTRADICTED, state=ClockState.CENTRALS, held_records=0, off_central_us=-TWO_HOURS_US)
    (problem,) = clock_problems(centrals)
    assert problem["what"] == (
        "the clock: this box's clock is 2.0 h behind the central's, and nobody sets it: times are the central's, "
        "within 1 s, quality is capped at 0.5"
    )


def test_a_clock_that_agrees_is_no_problem_and_says_how_well():
    agrees = replace(KNOWN, is_synced=False, state=ClockState.GIVEN_UP, off_central_us=-400_000, within_us=900_000)
    agrees = replace(agrees, agrees=True)
    assert clock_problems(agrees) == []
    assert describe_clock(agrees)["message"] == (
        "not synchronised, and agrees with the central's within 2 s: quality is capped at 0.5"
    )
    assert describe_clock(agrees)["off_central_s"] == -0.4


def test_a_synchronised_clock_that_the_central_contradicts_is_not_the_only_one_that_may_be_wrong():
    (problem,) = clock_problems(replace(KNOWN, off_central_us=TWO_HOURS_US, is_far_off=True))
    assert problem["what"] == "the clock: synchronised, and this box's clock is 2.0 h ahead of the central's"
    assert problem["do"].startswith("one of the two is wrong")


def test_instants_of_the_agents_own_clock_are_shown_in_utc():
    part = {"since": "1970-01-01T00:05:00.000Z", "name": "since", "tags": [{"time": None}]}
    shown = in_utc(part, lambda time_us: time_us + 1_800_000_000_000_000)
    assert shown == {"since": "2027-01-15T08:05:00.000Z", "name": "since", "tags": [{"time": None}]}
