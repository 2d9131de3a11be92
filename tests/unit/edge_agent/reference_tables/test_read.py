"""The shipped tables are complete and say whose they are; a plant's own file is checked to the last field."""

import pytest

from edge_agent.dsp.machines.bearing import FaultLine
from edge_agent.dsp.machines.severity import zone_of
from edge_agent.errors import ConfigurationError
from edge_agent.reference_tables.read import (
    BEARINGS_FILE,
    SEVERITY_ZONES_FILE,
    read_bearings,
    read_machine_groups,
)

ZONES = SEVERITY_ZONES_FILE.read_text(encoding="utf-8")
BEARINGS = BEARINGS_FILE.read_text(encoding="utf-8")


def test_the_shipped_groups_are_those_of_part_3_and_say_what_to_replace_them_by():
    groups = read_machine_groups()
    assert list(groups) == [
        "20816-3.group-1.rigid",
        "20816-3.group-1.flexible",
        "20816-3.group-2.rigid",
        "20816-3.group-2.flexible",
    ]
    for group in groups.values():
        assert "20816-3" in group.source
        assert "not checked" in group.edition
        assert "replace by your own standard's values" in group.note
        assert (group.low_hz, group.high_hz) == (10.0, 1000.0)


def test_three_millimetres_a_second_is_another_zone_in_each_of_two_groups():
    groups = read_machine_groups()
    assert zone_of(3.0, groups["20816-3.group-1.flexible"]) == "A"
    assert zone_of(3.0, groups["20816-3.group-2.rigid"]) == "C"


def test_the_shipped_bearings_have_the_lines_their_recordings_show():
    bearings = read_bearings()
    drive_end = bearings["SKF 6205-2RS"].geometry
    assert 1797 / 60 * drive_end.order(FaultLine.BPFO) == pytest.approx(107.4, abs=0.05)
    assert 1797 / 60 * drive_end.order(FaultLine.BPFI) == pytest.approx(162.2, abs=0.05)
    ims = bearings["Rexnord ZA-2115"].geometry
    assert 2000 / 60 * ims.order(FaultLine.BPFO) == pytest.approx(236.4, abs=0.05)
    for bearing in bearings.values():
        assert bearing.source
        assert bearing.unit == "in"


def test_a_plants_own_limits_take_the_place_of_ours(tmp_path):
    own = tmp_path / "zones.toml"
    own.write_text(ZONES.replace("a_b_mm_s = 1.4", "a_b_mm_s = 1"), encoding="utf-8")
    assert read_machine_groups(own)["20816-3.group-2.rigid"].a_b_mm_s == 1.0


@pytest.mark.parametrize(
    ("ours", "theirs", "named"),
    [
        ("schema_version = 1", "schema_version = 2", "schema_version must be 1"),
        ("schema_version = 1", "", "schema_version must be 1"),
        ("[[group]]", "[[groups]]", "unknown fields: groups"),
        ("a_b_mm_s = 1.4", "", "group 3 lacks a_b_mm_s"),
        ("a_b_mm_s = 1.4", 'a_b_mm_s = "1.4"', "group 3: a_b_mm_s must be a number, not '1.4'"),
        ("a_b_mm_s = 1.4", "a_b_mm_s = true", "must be a number, not True"),
        ("a_b_mm_s = 1.4", "a_b_mm_s = 2.9", "20816-3.group-2.rigid: .* must rise"),
        ("a_b_mm_s = 1.4", "a_b_mm_s = nan", "must rise"),
        ("a_b_mm_s = 1.4", "a_b_mm_s = 1.4\nhysteresis = 3", "unknown fields: hysteresis"),
        ("group-1.rigid", "group-1.flexible", "20816-3.group-1.flexible is in it twice"),
        ('source = "ISO 10816-3, replaced by ISO 20816-3"', 'source = ""', "source must be a text"),
        ("schema_version", "schema version", "is not TOML"),
    ],
)
def test_a_wrong_zone_file_is_refused_by_entry_and_field(tmp_path, ours, theirs, named):
    assert ours in ZONES
    wrong = tmp_path / "zones.toml"
    wrong.write_text(ZONES.replace(ours, theirs), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=named) as refusal:
        read_machine_groups(wrong)
    assert refusal.value.where == str(wrong)


@pytest.mark.parametrize(
    ("ours", "theirs", "named"),
    [
        ("n_rollers = 9", "n_rollers = 9.0", "n_rollers must be a whole number"),
        ("n_rollers = 9", "n_rollers = 0", "SKF 6205-2RS: a bearing has at least 1 roller"),
        ("ball_diameter = 0.3126", "ball_diameter = 3.126", "does not fit"),
    ],
)
def test_a_wrong_bearing_file_is_refused_by_entry_and_field(tmp_path, ours, theirs, named):
    wrong = tmp_path / "bearings.toml"
    wrong.write_text(BEARINGS.replace(ours, theirs), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=named):
        read_bearings(wrong)


def test_a_file_that_is_not_there_not_text_or_empty_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read: No such file"):
        read_bearings(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        read_bearings(binary)
    empty = tmp_path / "empty.toml"
    empty.write_text("schema_version = 1\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"there is no \[\[bearing\]\]"):
        read_bearings(empty)
