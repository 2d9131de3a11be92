"""The numbers in an IIO buffer."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from edge_agent.drivers.iio.scan_format import FormatError, ScanElement, ScanLayout, parse_type


def layout(*types: str) -> ScanLayout:
    return ScanLayout([ScanElement(f"e{n}", n, parse_type(text)) for n, text in enumerate(types)])


@pytest.mark.parametrize(
    ("kind", "stored", "value"),
    [
        ("le:s12/16>>4", struct.pack("<H", 0xFFF5), -1),
        ("le:s12/16>>4", struct.pack("<H", 0x7FF5), 2047),
        ("le:u12/16>>4", struct.pack("<H", 0xFFF5), 4095),
        ("be:s20/32>>12", struct.pack(">I", 0x80000FFF), -524_288),
        ("be:s20/32>>12", struct.pack(">I", 0x00001FFF), 1),
        ("le:s24/32>>0", struct.pack("<I", 0xAA800000), -8_388_608),
        ("le:s16/16", struct.pack("<h", -300), -300),
        ("be:u8/8>>0", b"\xff", 255),
        ("le:s64/64>>0", struct.pack("<q", -5), -5),
        ("be:u63/64>>1", struct.pack(">Q", 14), 7),
        ("le:f32/32>>0", struct.pack("<f", 1.5), 1.5),
    ],
)
def test_a_number_is_what_its_type_says(kind: str, stored: bytes, value: float) -> None:
    one = layout(kind)
    assert one.numbers(one.scans(stored), "e0").tolist() == [value]


def test_each_element_is_aligned_to_its_own_size_and_the_scan_to_the_largest() -> None:
    scan = layout("le:s16/16>>0", "be:s20/32>>12", "le:u8/8>>0", "le:s64/64>>0")
    data = (
        struct.pack("<h2x", -7) + struct.pack(">I", 3 << 12) + struct.pack("<B7x", 200) + struct.pack("<q", 2**60 + 1)
    )
    scans = scan.scans(data * 3 + b"rest")
    assert scan.size == 24
    assert len(scans) == 3
    assert [scan.numbers(scans, f"e{n}")[2] for n in range(3)] == [-7, 3, 200]
    assert ScanLayout([ScanElement("timestamp", 0, parse_type("le:s64/64>>0"))]).timestamps_ns(
        np.array([(2**60 + 1,)], dtype=[("timestamp", "<u8", (1,))])
    ).tolist() == [2**60 + 1]  # fmt: skip


def test_a_repeated_element_takes_all_its_numbers_place_and_is_read_number_by_number() -> None:
    scan = layout("le:s16/16X3>>0", "le:u8/8>>0")
    scans = scan.scans(struct.pack("<3hB5x", 1, -2, 3, 9) * 2)
    assert scan.size == 12
    assert [scan.numbers(scans, "e0", repeat)[1] for repeat in range(3)] == [1, -2, 3]


@pytest.mark.parametrize(
    "text", ["", "le:s12", "le:s17/16>>0", "le:s12/16>>5", "le:s0/16", "le:s12/12>>0", "le:f8/8", "xe:s8/8"]
)
def test_a_type_that_is_none_is_named(text: str) -> None:
    with pytest.raises(FormatError):
        parse_type(text)
