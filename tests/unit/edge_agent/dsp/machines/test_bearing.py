"""Kinematics against published figures, and bearings that cannot be."""

import pytest

from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.machines.bearing import BearingGeometry, FaultLine, orders_from
from edge_agent.errors import SignalError

KNOWN = ("n_rollers", "ball_diameter", "pitch_diameter", "contact_angle_deg", "bpfo_order", "bpfi_order", "bsf_order",
         "ftf_order")  # fmt: skip


def orders(**parameters: float | str) -> dict[FaultLine, float]:
    return orders_from(Parameters("envelope", parameters, known=KNOWN))


def test_a_6205_at_1800_rpm_has_the_lines_of_the_textbook():
    bearing = BearingGeometry(9, 7.938, 38.5)
    lines_hz = {line.value: 30.0 * bearing.order(line) for line in FaultLine}
    assert lines_hz == {
        "bpfo": pytest.approx(107.17, abs=0.01),
        "bpfi": pytest.approx(162.83, abs=0.01),
        "bsf": pytest.approx(69.66, abs=0.01),
        "ftf": pytest.approx(11.91, abs=0.01),
    }


def test_every_roller_passes_once_per_cage_turn_relative_to_each_race():
    bearing = BearingGeometry(16, 0.331, 2.815, 15.17)
    assert bearing.order(FaultLine.BPFO) == pytest.approx(16 * bearing.order(FaultLine.FTF))
    assert bearing.order(FaultLine.BPFI) == pytest.approx(16 * (1 - bearing.order(FaultLine.FTF)))


def test_the_unit_of_the_diameters_does_not_matter():
    inches, millimetres = BearingGeometry(9, 0.3126, 1.537), BearingGeometry(9, 0.3126 * 25.4, 1.537 * 25.4)
    for line in FaultLine:
        assert inches.order(line) == pytest.approx(millimetres.order(line))


@pytest.mark.parametrize(
    ("geometry", "named"),
    [
        ((0, 1.0, 5.0, 0.0), "at least 1 roller, not 0"),
        ((9, 5.0, 5.0, 0.0), "a ball of 5 does not fit a pitch diameter of 5"),
        ((9, 38.5, 7.9, 0.0), "does not fit"),
        ((9, 0.0, 5.0, 0.0), "ball diameter must be above 0"),
        ((9, 1.0, -5.0, 0.0), "pitch diameter must be above 0"),
        ((9, float("nan"), 5.0, 0.0), "ball diameter must be above 0, not nan"),
        ((9, 1.0, float("inf"), 0.0), "pitch diameter must be above 0, not inf"),
        ((9, 1.0, 5.0, 90.0), "contact angle is from 0 to below 90"),
        ((9, 1.0, 5.0, -1.0), "contact angle"),
        ((9, 1.0, 5.0, float("nan")), "contact angle"),
    ],
)
def test_an_impossible_bearing_is_refused_by_name(geometry, named):
    with pytest.raises(SignalError, match=named):
        BearingGeometry(*geometry)


def test_orders_come_from_the_geometry_and_a_given_order_wins():
    got = orders(n_rollers=9, ball_diameter=7.938, pitch_diameter=38.5, bpfo_order=3.585)
    assert got[FaultLine.BPFO] == 3.585
    assert got[FaultLine.BPFI] == pytest.approx(162.83 / 30, abs=1e-3)
    assert orders(bsf_order=2.3) == {FaultLine.BSF: 2.3}
    assert orders() == {}


def test_a_geometry_goes_through_a_specs_parameters_unchanged():
    bearing = BearingGeometry(16, 0.331, 2.815, 15.17)
    assert orders(**bearing.parameters()) == {line: bearing.order(line) for line in FaultLine}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"n_rollers": 9}, "needs the parameter ball_diameter"),
        ({"n_rollers": 9.5, "ball_diameter": 1, "pitch_diameter": 5}, "n_rollers must be a whole number"),
        ({"n_rollers": 0, "ball_diameter": 1, "pitch_diameter": 5}, "n_rollers must be a whole number of at least 1"),
        ({"n_rollers": 9, "ball_diameter": "7.9", "pitch_diameter": 38}, "ball_diameter must be a number, not '7.9'"),
        ({"bpfo_order": 0}, "bpfo_order must be above 0"),
        ({"bpfo_order": True}, "bpfo_order must be a number, not True"),
    ],
)
def test_parameters_that_make_no_bearing_are_refused_by_name(parameters, named):
    with pytest.raises(SignalError, match=named):
        orders(**parameters)
