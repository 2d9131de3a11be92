"""What the driver of another package yields is checked; what it may yield comes through as it is."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.core.tags import Reading, Scan, Tag, TextReading
from edge_agent.drivers.checked import CheckedDriver
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.synthetic.settings import SyntheticSettings
from edge_agent.errors import DeviceRejectedError

NOW_NS = 1_700_000_000_000_000_000
SAMPLES = SyntheticSettings(type="synthetic", name="rig", asset="rig-1", channels=[{"point": "x"}])
TAGS = ModbusSettings(
    type="modbus",
    name="press",
    host="192.0.2.1",
    poll_groups=[{"interval_s": 1, "tags": [{"name": "press.t", "unit": "degC", "address": 0}]}],
)


class Yielding:
    """Yields what it was given."""

    name = "yielding"

    def __init__(self, *items: Any) -> None:
        self._items = items

    async def open(self) -> None: ...

    async def stream(self) -> AsyncIterator[Any]:
        for item in self._items:
            if isinstance(item, BaseException):
                raise item
            yield item

    async def close(self) -> None: ...


async def through(settings: Any, *items: Any) -> list[Any]:
    return [item async for item in CheckedDriver(Yielding(*items), settings).stream()]


def reading(value: Any = 1.5, *, name: str = "press.t", at_ns: Any = NOW_NS) -> Reading:
    return Reading(Tag(name, "degC", "temperature"), value, Quality.GOOD, None, at_ns)


def block(**changes: Any) -> SampleBlock:
    samples = read_only(np.zeros((1, 10), np.float32))
    given = {"source": "rig", "block_index": 0, "start_ns": NOW_NS, "sample_rate_hz": 1000.0, "unit": "m/s2"}
    return SampleBlock(**(given | {"samples": samples} | changes))


async def test_what_is_right_comes_through() -> None:
    gap = Gap("press", GapCause.DEVICE_LOST, NOW_NS, NOW_NS)
    assert await through(TAGS, scan := Scan("press", (reading(),)), gap) == [scan, gap]
    (same,) = await through(SAMPLES, block())
    assert same.start_ns == NOW_NS


async def test_numbers_of_numpy_become_numbers() -> None:
    (scan,) = await through(TAGS, Scan("press", (reading(np.float32(1.5), at_ns=np.int64(NOW_NS)),)))
    (one,) = scan.readings
    assert [type(one.value), type(one.received_time_ns)] == [float, int]
    assert one == reading()


@pytest.mark.parametrize("value", [math.nan, math.inf, "high", [1.0]])
async def test_a_value_that_is_no_number_is_bad_and_costs_no_other_reading(value: Any) -> None:
    (scan,) = await through(TAGS, Scan("press", (reading(value), reading(2.0))))
    wrong, right = scan.readings
    assert (wrong.value, wrong.quality, right) == (None, Quality.BAD, reading(2.0))
    assert wrong.status.startswith("its driver gives ")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (None, "yields None, where a Scan or Gap belongs"),
        (block(), "where a Scan or Gap belongs"),
        (Scan("rig", ()), "of the source 'rig'"),
        (Scan("press", [reading()]), "no tuple of Reading"),  # type: ignore[arg-type]
        (Scan("press", (1.0,)), "no tuple of Reading"),  # type: ignore[arg-type]
        (Scan("press", (reading(name="rig-1.x.rms"),)), "'rig-1.x.rms', which is no tag of this source"),
        (Scan("press", (reading(at_ns=10**30),)), "press.t with the time 10000"),
        (Scan("press", (reading(at_ns=1.5),)), "press.t with the time 1.5 ns"),
        (Gap("press", "gone", NOW_NS, NOW_NS), "no such subject, cause or time"),  # type: ignore[arg-type]
        (Gap("press", GapCause.STALE, -1, NOW_NS), "no such subject, cause or time"),
    ],
)
async def test_what_is_no_item_of_tags_rejects_the_source(item: object, said: str) -> None:
    with pytest.raises(DeviceRejectedError, match=r"^press: driver 'modbus'") as refused:
        await through(TAGS, item)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Scan("rig", ()), "where a SampleBlock or Gap belongs"),
        (lambda: block(samples=read_only(np.zeros((3, 10), np.float32))), "3 channels, and the source has 1"),
        (lambda: block(samples=read_only(np.zeros((1, 0), np.float32))), "without samples"),
        (lambda: block(sample_rate_hz=math.inf), "the sample rate inf"),
        (lambda: block(start_ns=10**30), "a block that starts at 10000"),
        (lambda: block(source="other"), "of the source 'other'"),
    ],
)
async def test_what_is_no_item_of_samples_rejects_the_source(make: Callable[[], object], said: str) -> None:
    with pytest.raises(DeviceRejectedError, match=r"^rig: driver 'synthetic'") as refused:
        await through(SAMPLES, make())
    assert said in refused.value.message


async def test_a_driver_that_exits_does_not_end_the_agent() -> None:
    with pytest.raises(DeviceRejectedError, match="raises SystemExit: 7"):
        await through(TAGS, SystemExit(7))


async def test_a_text_comes_through_made_printable() -> None:
    one = reading().tag
    (scan,) = await through(TAGS, Scan("press", (), (TextReading(one, "M8\x1b[31m", NOW_NS),)))
    assert [text.text for text in scan.texts] == ["M8\\x1b[31m"]


@pytest.mark.parametrize(
    "text",
    [
        TextReading(Tag("other.tag", "", "general"), "M8", NOW_NS),
        TextReading(reading().tag, 8, NOW_NS),
        TextReading(reading().tag, "M8", -1),
        "M8",
    ],
)
async def test_what_is_no_text_of_this_source_rejects_it(text: Any) -> None:
    with pytest.raises(DeviceRejectedError):
        await through(TAGS, Scan("press", (), (text,)))
