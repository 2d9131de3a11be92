"""The payload of a Sparkplug B message (protobuf; Sparkplug 3.0.0, 6.4) as plain values.

Only what a reader needs is declared: names, aliases, times, types, values and their quality. Everything else a
payload may hold (data sets, templates, metadata) is skipped by protobuf's own rules.

The only file that imports protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_MESSAGES: Final = {
    "Payload": {
        "timestamp": (1, "TYPE_UINT64", ""),
        "metrics": (2, "TYPE_MESSAGE", "Metric"),
        "seq": (3, "TYPE_UINT64", ""),
    },
    "Metric": {
        "name": (1, "TYPE_BYTES", ""),
        "alias": (2, "TYPE_UINT64", ""),
        "timestamp": (3, "TYPE_UINT64", ""),
        "datatype": (4, "TYPE_UINT32", ""),
        "is_historical": (5, "TYPE_BOOL", ""),
        "is_null": (7, "TYPE_BOOL", ""),
        "properties": (9, "TYPE_MESSAGE", "PropertySet"),
        "int_value": (10, "TYPE_UINT32", ""),
        "long_value": (11, "TYPE_UINT64", ""),
        "float_value": (12, "TYPE_FLOAT", ""),
        "double_value": (13, "TYPE_DOUBLE", ""),
        "boolean_value": (14, "TYPE_BOOL", ""),
        "string_value": (15, "TYPE_BYTES", ""),
    },
    "PropertySet": {"keys": (1, "TYPE_BYTES", "*"), "values": (2, "TYPE_MESSAGE", "PropertyValue")},
    "PropertyValue": {"int_value": (3, "TYPE_UINT32", ""), "long_value": (4, "TYPE_UINT64", "")},
}
"""Field numbers of sparkplug_b.proto. Texts are taken as bytes, so that one that is no UTF-8 costs its metric only."""

_VALUES: Final = ("int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value")
_SIGNED_BITS: Final = {1: 8, 2: 16, 3: 32, 4: 64}
"""Int8 to Int64 travel as unsigned two's complement."""

GOOD: Final = 192
"""The value of the property Quality when there is none: OPC's own, kept by Sparkplug."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `value` is None when it is null or of a type that is no single value; `time_ms` UTC, 1970."""

    name: str | None
    alias: int | None
    time_ms: int | None
    value: float | int | bool | str | None
    is_null: bool
    is_historical: bool
    quality: int = GOOD


@dataclass(frozen=True, slots=True)
class Payload:
    """What one message says. `seq` is its number, 0 to 255; None in a death certificate."""

    seq: int | None
    metrics: tuple[Metric, ...]


def decode(payload: bytes) -> Payload:
    """Return the payload. Raise ValueError when these bytes are none."""
    message: Any = _payload_class()()
    try:
        message.ParseFromString(payload)
    except DecodeError as exc:
        raise ValueError("the message is no Sparkplug B payload") from exc
    time_ms = message.timestamp if message.HasField("timestamp") else None
    seq = message.seq if message.HasField("seq") else None
    return Payload(seq, tuple(_metric(each, time_ms) for each in message.metrics))


def encode(payload: Payload) -> bytes:
    """Return the bytes of a payload: for a simulated edge node. Numbers travel as doubles, integers as Int64."""
    message: Any = _payload_class()()
    if payload.seq is not None:
        message.seq = payload.seq
    for metric in payload.metrics:
        each = message.metrics.add()
        _fill(each, metric)
    encoded: bytes = message.SerializeToString()
    return encoded


def _fill(message: Any, metric: Metric) -> None:
    for name, value in (("alias", metric.alias), ("timestamp", metric.time_ms)):
        if value is not None:
            setattr(message, name, value)
    if metric.name is not None:
        message.name = metric.name.encode()
    message.is_null, message.is_historical = metric.is_null, metric.is_historical
    match metric.value:
        case bool():
            message.datatype, message.boolean_value = 11, metric.value
        case int():
            message.datatype, message.long_value = 4, metric.value % 2**64
        case float():
            message.datatype, message.double_value = 10, metric.value
        case str():
            message.datatype, message.string_value = 12, metric.value.encode()
    if metric.quality != GOOD:
        message.properties.keys.append(b"Quality")
        message.properties.values.add().int_value = metric.quality


def _metric(message: Any, time_ms: int | None) -> Metric:
    return Metric(
        name=_text(message.name) if message.HasField("name") else None,
        alias=message.alias if message.HasField("alias") else None,
        time_ms=message.timestamp if message.HasField("timestamp") else time_ms,
        value=None if message.is_null else _value(message),
        is_null=message.is_null,
        is_historical=message.is_historical,
        quality=next(_qualities(message), GOOD),
    )


def _value(message: Any) -> float | int | bool | str | None:
    given = next((name for name in _VALUES if message.HasField(name)), None)
    if given is None:
        return None
    value = getattr(message, given)
    if given == "string_value":
        return _text(value)
    bits = _SIGNED_BITS.get(message.datatype)
    if bits is None or given not in ("int_value", "long_value"):
        return value  # type: ignore[no-any-return]
    narrow: int = value % 2**bits
    return narrow - 2**bits if narrow >= 2 ** (bits - 1) else narrow


def _qualities(message: Any) -> Iterator[int]:
    for key, value in zip(message.properties.keys, message.properties.values, strict=False):
        if key == b"Quality":
            yield value.int_value if value.HasField("int_value") else value.long_value


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


@cache
def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, of) in fields.items():
            field = message.field.add(name=field_name, number=number, type=_FIELD.Type.Value(kind))
            field.label = _FIELD.LABEL_REPEATED if of and of != "PropertySet" else _FIELD.LABEL_OPTIONAL
            if kind == "TYPE_MESSAGE":
                field.type_name = f".sparkplug.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))
