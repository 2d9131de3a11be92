"""Condition features of one source: shared windows, reports, speeds from tags, gaps that never become numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.columns import Record
from cloud_sync.records import Event, EventKind, Row
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.core.tags import Reading, Tag
from edge_agent.drivers.synthetic.settings import SyntheticSettings
from edge_agent.errors import BundleError, ConfigurationError
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.condition.plan import check_rows, indicators_of
from edge_agent.pipeline.recorder import Recorder
from edge_agent.rollout.hot_swap import check_fit
from edge_agent.settings import TableSettings
from tests.support.blocks import rows_in
from tests.support.mean_model import mean_model
from tests.support.waveform_lines import line_of

RATE_HZ = 5_000
START_NS = 1_700_000_000_000_000_000
SPEED = Tag("rig-1.speed", "1/min", "general")
ORDERS = {"family": "orders", "shaft_tag": SPEED.name, "shaft_tag_scale": 1 / 60, "features": ["order_1", "order_2"]}


def source_of(*indicators: dict[str, Any], **more: Any) -> SyntheticSettings:
    given = {
        "type": "synthetic", "name": "rig", "asset": "rig-1", "sample_rate_hz": RATE_HZ, "unit": "m/s2",
        "channels": [{"point": "x"}, {"point": "y"}], "indicators": list(indicators), **more,
    }  # fmt: skip
    return SyntheticSettings.model_validate(given)


class Plant:
    """A line, the readings it may ask for, and a clock; two channels of sines, `y` twice as strong."""

    def __init__(self, *indicators: dict[str, Any], interval_s: float = 1.0, reports_gaps: bool = True) -> None:
        self.latest: dict[str, Reading] = {}
        self.now_ns = START_NS
        source = source_of(*indicators)
        self.line = IndicatorLine(
            source="rig", asset="rig-1", points=("x", "y"), sensor_type="vibration", signal_unit="m/s2",
            indicators=indicators_of(source, TableSettings()), interval_s=interval_s,
            recorder=Recorder(is_clock_synced=lambda: True), latest=lambda: self.latest,
            now_ns=lambda: self.now_ns, reports_gaps=reports_gaps,
        )  # fmt: skip
        self._index = 0

    def read_speed(self, rpm: float | None, quality: Quality = Quality.GOOD) -> None:
        quality = Quality.BAD if rpm is None else quality
        self.latest[SPEED.name] = Reading(SPEED, rpm, quality, None, self.now_ns, "exception 2")

    def second(self, hz: float = 25.0, amplitude: float = 1.0, rate_hz: int = RATE_HZ) -> list[Record]:
        """One second of signal in one block."""
        time_s = np.arange(rate_hz) / rate_hz
        wave = amplitude * np.sin(2 * np.pi * hz * time_s)
        samples = np.stack([wave, 2 * wave]).astype(np.float32)
        block = SampleBlock("rig", self._index, self.now_ns, rate_hz, "m/s2", read_only(samples))
        self._index += 1
        self.now_ns += 1_000_000_000
        return self.line.push(block)


def rows(records: list[Record], sensor_id: str) -> list[Row]:
    return [row for row in rows_in(records) if row.series.sensor_id == sensor_id]


def gaps(records: list[Record]) -> list[tuple[str, str]]:
    told = [r for r in records if isinstance(r, Event) and r.kind is EventKind.GAP]
    return [(event.subject, str(event.body["cause"])) for event in told]


def test_a_feature_is_reported_once_an_interval_as_its_mean_and_where_it_matters_its_highest() -> None:
    plant = Plant({"family": "time_domain", "features": ["rms", "peak"]}, interval_s=3.0)
    records = [record for amplitude in (1, 2, 3, 4) for record in plant.second(amplitude=amplitude)]
    (rms,) = rows(records, "rig-1.x.rms")
    (highest,) = rows(records, "rig-1.y.peak_max")
    assert rms.value == pytest.approx(2.5 / np.sqrt(2), rel=1e-5)
    assert highest.value == pytest.approx(8.0, rel=1e-5)
    assert not rows(records, "rig-1.x.rms_max")
    assert rms.time_us == START_NS // 1000 + 4_000_000


def test_a_row_names_family_version_and_parameters() -> None:
    plant = Plant({"family": "velocity", "parameters": {"low_hz": 20}}, interval_s=0.5)
    records = plant.second() + plant.second()
    metadata = rows(records, "rig-1.x.velocity_rms")[0].series.metadata
    assert metadata["family"] == "velocity"
    assert metadata["formula_version"] == 1
    assert metadata["parameters"] == {"low_hz": 20, "signal_unit": "m/s2"}
    assert rows(records, "rig-1.x.velocity_rms")[0].series.unit == "mm/s"


def test_velocity_is_what_the_sine_says() -> None:
    plant = Plant({"family": "velocity"}, interval_s=0.5)
    records = [record for _ in range(3) for record in plant.second(hz=159.0, amplitude=10 * np.sqrt(2))]
    assert rows(records, "rig-1.x.velocity_rms")[0].value == pytest.approx(10.0 * 159.155 / 159.0, rel=1e-3)


def test_indicators_of_one_window_and_hop_share_a_windower_and_others_have_their_own() -> None:
    plant = Plant({"family": "velocity"}, {"family": "time_domain"}, {"family": "orders", "shaft_hz": 25.0, "hop_s": 2})
    plant.second()
    assert len(plant.line._cuts) == 2


def test_an_indicator_can_be_of_some_points_only() -> None:
    plant = Plant({"family": "time_domain", "points": ["y"], "features": ["rms"]}, interval_s=0.5)
    records = plant.second() + plant.second()
    assert rows(records, "rig-1.y.rms")[0].value == pytest.approx(np.sqrt(2), rel=1e-5)
    assert not rows(records, "rig-1.x.rms")


def test_the_speed_of_a_tag_places_the_orders() -> None:
    plant = Plant(ORDERS, interval_s=0.5)
    plant.read_speed(1_500.0)  # 25 Hz
    records = plant.second() + plant.second()
    assert rows(records, "rig-1.x.order_1")[0].value == pytest.approx(1.0, rel=0.01)
    assert rows(records, "rig-1.y.order_2")[0].value < 0.01


def test_an_uncertain_speed_lowers_the_quality_of_the_row() -> None:
    plant = Plant(ORDERS, interval_s=0.5)
    plant.read_speed(1_500.0, Quality.UNCERTAIN)
    (row, *_) = rows(plant.second() + plant.second(), "rig-1.x.order_1")
    assert row.quality == 0.4


@pytest.mark.parametrize(
    ("rpm", "older_s", "cause"), [(1_500.0, 11, "stale"), (None, 0, "bad_quality"), (0.0, 0, "at_rest")]
)
def test_a_speed_that_is_none_is_a_gap_and_no_number(rpm: float | None, older_s: int, cause: str) -> None:
    plant = Plant(ORDERS, {"family": "time_domain", "features": ["rms"]}, interval_s=0.5)
    plant.read_speed(rpm)
    plant.now_ns += older_s * 1_000_000_000
    records = plant.second() + plant.second()
    assert not rows(records, "rig-1.x.order_1")
    assert rows(records, "rig-1.x.rms"), "what needs no speed goes on"
    assert gaps(records) == [("rig.orders", cause)]
    plant.read_speed(1_500.0)
    after = plant.second() + plant.second()
    assert gaps(after) == [("rig.orders", cause)], "its end is told"
    assert rows(after, "rig-1.x.order_1")


def test_a_gap_that_changes_its_cause_is_told_as_two() -> None:
    plant = Plant(ORDERS)
    records = plant.second()
    plant.read_speed(0.0)
    records += plant.second()
    assert gaps(records) == [("rig.orders", "stale"), ("rig.orders", "stale"), ("rig.orders", "at_rest")]


def test_a_flat_line_is_a_fault_of_the_point_and_no_number() -> None:
    plant = Plant({"family": "time_domain"}, interval_s=0.5)
    records = plant.second(amplitude=0.0) + plant.second(amplitude=0.0)
    assert not rows_in(records)
    assert gaps(records) == [("rig-1.x.time_domain", "sensor_fault"), ("rig-1.y.time_domain", "sensor_fault")]


def test_a_speed_too_low_for_the_window_is_not_called_a_fault_of_the_sensor() -> None:
    plant = Plant({**ORDERS, "points": ["x"]})
    plant.read_speed(90.0)  # 1.5 turns in a window
    records = plant.second()
    assert gaps(records) == [("rig-1.x.orders", "invalid_samples")]
    (event,) = [r for r in records if isinstance(r, Event)]
    assert event.body["detail"] == "orders is not defined for windows of 1 s at a speed of 1.5 Hz"


@settings(max_examples=30)
@given(st.lists(st.integers(1, 4_000), min_size=1, max_size=12))
def test_the_same_samples_in_other_blocks_give_the_same_rows(lengths: list[int]) -> None:
    indicators = ({"family": "velocity", "window_s": 0.5}, {"family": "time_domain", "window_s": 0.3, "hop_s": 0.1})
    samples = np.random.default_rng(3).standard_normal((2, sum(lengths))).astype(np.float32)
    told = []
    for cuts in (lengths, [sum(lengths)]):
        plant, at, records = Plant(*indicators, interval_s=0.4), 0, []
        for index, length in enumerate(cuts):
            start_ns = START_NS + at * 200_000  # 5,000 samples a second
            part = read_only(samples[:, at : at + length].copy())
            records += plant.line.push(SampleBlock("rig", index, start_ns, RATE_HZ, "m/s2", part))
            at += length
        records += plant.line.flush()
        told.append(sorted((row.series.sensor_id, row.time_us, row.value) for row in rows_in(records)))
    assert told[0] == told[1]


def test_a_rate_at_which_the_band_cannot_be_had_is_a_gap_until_it_can_again() -> None:
    plant = Plant({"family": "velocity"}, {"family": "time_domain"}, interval_s=0.5)
    slow = plant.second(rate_hz=1_000) + plant.second(rate_hz=1_000)
    assert gaps(slow) == [("rig.velocity", "invalid_samples")]
    assert not rows(slow, "rig-1.x.velocity_rms")
    assert rows(slow, "rig-1.x.rms")
    assert rows(plant.second() + plant.second(), "rig-1.x.velocity_rms")


def test_a_gap_of_the_stream_is_told_once_and_by_the_models_line_where_there_is_one() -> None:
    lost = Gap("rig", GapCause.DEVICE_LOST, START_NS, START_NS + 5, "no answer")
    indicators = ({"family": "velocity"}, {"family": "time_domain", "window_s": 0.5})
    assert gaps(Plant(*indicators).line.push(lost)) == [("rig", "device_lost")]
    assert gaps(Plant(*indicators, reports_gaps=False).line.push(lost)) == []
    plant = Plant(*indicators)
    plant.second()
    plant._index += 3
    assert gaps(plant.second()) == [("rig", "queue_full")]


def test_severity_in_zone_d_is_an_alarm_event_with_group_and_edition() -> None:
    plant = Plant({"family": "velocity", "zones": "20816-3.group-2.rigid", "zone_reports": 2}, interval_s=0.5)
    records = [record for _ in range(5) for record in plant.second(hz=25.0, amplitude=5.0)]
    alarms = [r for r in records if isinstance(r, Event) and r.kind is EventKind.ALARM]
    assert [(a.subject, a.body["state"], a.body["zone"]) for a in alarms] == [
        ("rig-1.x", "raised", "D"), ("rig-1.y", "raised", "D"),
    ]  # fmt: skip
    assert alarms[0].body["velocity_rms_mm_s"] == pytest.approx(22.5, rel=0.01)
    assert alarms[0].body["group"] == "20816-3.group-2.rigid"


def test_a_stop_reports_what_is_begun_and_ends_the_gaps() -> None:
    plant = Plant(ORDERS, {"family": "time_domain", "features": ["rms"]}, interval_s=60.0)
    plant.second()
    records = plant.line.flush()
    assert len(rows(records, "rig-1.x.rms")) == 1
    assert gaps(records) == [("rig.orders", "stale")]


@pytest.mark.parametrize(
    ("indicator", "words"),
    [
        ({"family": "nonsense"}, "no feature family nonsense"),
        ({"family": "tag_history"}, "tag_history is no family of windows"),
        ({"family": "vibration_two_axes", "features": ["h_rms"]}, "takes several channels at once"),
        ({"family": "mfcc_mean"}, "mfcc_mean has no default features"),
        ({"family": "velocity", "features": ["speed"]}, "no feature speed"),
        ({"family": "velocity", "window_s": 0.1}, "too short for velocity"),
        ({"family": "velocity", "zones": "pumps"}, "no machine group is called 'pumps'"),
        ({"family": "velocity", "zones": "20816-3.group-2.rigid", "parameters": {"low_hz": 2}}, "low_hz is 2"),
        ({"family": "velocity", "zones": "20816-3.group-2.rigid", "features": ["displacement_rms"]}, "zones are"),
        ({"family": "envelope", "bearing": "SKF 1", "shaft_hz": 25}, "no bearing is called 'SKF 1'"),
        ({"family": "envelope", "bearing": "SKF 6205-2RS"}, "the shaft's speed is not given"),
        ({"family": "orders"}, "the shaft's speed is not given"),
        ({"family": "envelope", "parameters": {"band_low_hz": 500, "band_high_hz": 3000}}, "cannot be had at 5000"),
        (
            {"family": "envelope", "bearing": "SKF 6205-2RS", "shaft_hz": 25, "parameters": {"n_rollers": 9}},
            "bearing and n_rollers both say the geometry",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_by_source_and_indicator(indicator: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        indicators_of(source_of({"family": "time_domain"}, indicator), TableSettings())
    assert f"sources 'rig', indicator 2 ({indicator['family']})" in refused.value.message
    assert words in refused.value.message


def test_a_plants_own_tables_take_the_place_of_the_shipped_ones(tmp_path: Any) -> None:
    file = tmp_path / "bearings.toml"
    file.write_text(
        'schema_version = 1\n[[bearing]]\nname = "B1"\nn_rollers = 8\nball_diameter = 7.0\npitch_diameter = 38.0\n'
        'contact_angle_deg = 0.0\nunit = "mm"\nsource = "data sheet"\nnote = "gearbox"\n',
        encoding="utf-8",
    )
    band = {"band_low_hz": 500, "band_high_hz": 2000}
    wanted = {"family": "envelope", "bearing": "B1", "shaft_hz": 25.0, "parameters": band}
    (indicator,) = indicators_of(source_of(wanted), TableSettings(bearings_file=file))
    assert indicator.orders["bpfo"] == pytest.approx(4 * (1 - 7 / 38))  # type: ignore[index]
    with pytest.raises(ConfigurationError, match="no bearing is called 'SKF 6205-2RS'"):
        indicators_of(source_of({**wanted, "bearing": "SKF 6205-2RS"}), TableSettings(bearings_file=file))


def test_two_writers_of_one_row_are_refused_and_a_prefix_or_other_points_part_them() -> None:
    rms = {"family": "time_domain", "features": ["rms"]}
    both = source_of(rms, {**rms, "window_s": 0.5})
    with pytest.raises(ConfigurationError, match=r"indicator 1 .* and indicator 2 .* both write rig-1\.x\.rms"):
        check_rows(both, indicators_of(both, TableSettings()))
    scored = source_of(rms, model="m")
    with pytest.raises(ConfigurationError, match=r"the model m and indicator 1 .* both write rig-1\.x\.rms"):
        check_rows(scored, indicators_of(scored, TableSettings()), ["rms"])
    for parted in (
        source_of(rms, {**rms, "prefix": "slow"}),
        source_of({**rms, "points": ["x"]}, {**rms, "points": ["y"]}),
    ):
        check_rows(parted, indicators_of(parted, TableSettings()))


def test_a_new_version_of_a_model_does_not_write_the_rows_of_an_indicator() -> None:
    plant = Plant({"family": "time_domain", "features": ["mean", "peak"]})
    line = line_of(mean_model(), indicators=plant.line)
    check_fit([line], mean_model(names=("rms",)))
    with pytest.raises(BundleError, match="would both write mean"):
        check_fit([line], mean_model())
