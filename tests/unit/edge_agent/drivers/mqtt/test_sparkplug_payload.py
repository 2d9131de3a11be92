"""Sparkplug B payloads: what a reader makes of the bytes."""

from __future__ import annotations

import pytest

from edge_agent.drivers.mqtt.sparkplug_payload import Metric, Payload, decode, encode


def test_a_payload_comes_back_as_it_was() -> None:
    payload = Payload(
        3,
        (
            Metric("count", 1, 5, -7, is_null=False, is_historical=False),
            Metric(None, 2, 6, 2.5, is_null=False, is_historical=True, quality=0),
            Metric("name", 3, 7, "x", is_null=False, is_historical=False),
            Metric("on", 4, 7, True, is_null=False, is_historical=False),
            Metric("none", 4, 7, None, is_null=True, is_historical=False),
        ),
    )
    assert decode(encode(payload)) == payload


@pytest.mark.parametrize(
    ("hexadecimal", "value"),
    [
        # datatype 1 (Int8), int_value 251; datatype 3 (Int32), int_value 2^32 - 2; datatype 5 (UInt8), int_value 251
        ("1207 0a0161 2001 50fb01", -5),
        ("120a 0a0161 2003 50feffffff0f", -2),
        ("1207 0a0161 2005 50fb01", 251),
    ],
)
def test_integers_have_the_sign_of_their_type(hexadecimal: str, value: int) -> None:
    raw = bytes.fromhex(hexadecimal)
    raw = raw[:1] + bytes([len(raw) - 2]) + raw[2:]
    (metric,) = decode(raw).metrics
    assert (metric.name, metric.value) == ("a", value)


def test_the_time_of_the_message_is_that_of_metrics_without_one() -> None:
    (metric,) = decode(bytes.fromhex("0807 12030a0161")).metrics
    assert metric.time_ms == 7


@pytest.mark.parametrize("payload", [b"\xff\xff", b"21.5", b'{"a": 1}', b"\x12\xff"])
def test_other_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="no Sparkplug B payload"):
        decode(payload)
