"""The rule of the zones; whose limits they are is data and has its own tests."""

import dataclasses

import pytest

from edge_agent.dsp.machines.severity import MachineGroup, Zone, zone_of
from edge_agent.errors import SignalError

GROUP = MachineGroup("ours", "a fan", 1.4, 2.8, 4.5, 10.0, 1000.0, "a contract", "2026", "agreed")


@pytest.mark.parametrize(
    ("velocity", "zone"),
    [(0.0, "A"), (1.39, "A"), (1.4, "B"), (2.79, "B"), (2.8, "C"), (4.49, "C"), (4.5, "D"), (1e6, "D")],
)
def test_a_velocity_on_a_boundary_is_in_the_worse_zone(velocity, zone):
    assert zone_of(velocity, GROUP) == zone
    assert zone_of(velocity, GROUP) is Zone(zone)


@pytest.mark.parametrize("velocity", [-0.1, float("nan"), float("inf")])
def test_what_is_no_rms_has_no_zone(velocity):
    with pytest.raises(SignalError, match="a number from 0 up"):
        zone_of(velocity, GROUP)


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"a_b_mm_s": 0.0}, "must rise from above 0"),
        ({"b_c_mm_s": 1.4}, "must rise"),
        ({"c_d_mm_s": 2.0}, "must rise"),
        ({"c_d_mm_s": float("inf")}, "must rise"),
        ({"a_b_mm_s": float("nan")}, "must rise"),
        ({"low_hz": 0.0}, "ours: the band must rise"),
        ({"high_hz": 10.0}, "the band must rise from above 0, not 10 to 10 Hz"),
    ],
)
def test_limits_that_do_not_rise_are_refused(limits, named):
    with pytest.raises(SignalError, match=named):
        dataclasses.replace(GROUP, **limits)
