"""NI TDMS, through npTDMS, in a process of its own."""

from __future__ import annotations

import io
import struct
from typing import Any, Final

import numpy as np

from edge_agent.errors import RecordingError

_MAX_VALUES: Final = 2**27
_MOST_CHANNELS: Final = 512


def read_tdms(data: bytes, name: str) -> list[dict[str, Any]]:
    """Of each channel: name, unit, scaled values, seconds between samples or None, start in ns or None.

    Runs in the parser's process. Raises RecordingError.
    """
    import nptdms

    try:
        file = nptdms.TdmsFile.read(io.BytesIO(data))
        channels = [channel for group in file.groups() for channel in group.channels()][:_MOST_CHANNELS]
        if sum(len(channel) for channel in channels) > _MAX_VALUES:
            raise RecordingError(f"{name} is too long to be held in memory", hint="cut it into shorter files")
        several = len({channel.group_name for channel in channels}) > 1
        parts = [_channel(channel, several) for channel in channels if len(channel)]
        return [part for part in parts if part["values"].dtype.kind in "biufM"]
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        OSError,
        IndexError,
        OverflowError,
        AttributeError,
        struct.error,
    ) as exc:
        raise RecordingError(
            f"{name} cannot be read as TDMS: {exc}", hint="the file may be cut off or damaged; copy it again"
        ) from exc


def _channel(channel: Any, several_groups: bool) -> dict[str, Any]:
    values = np.asarray(channel[:])
    properties = channel.properties
    step = properties.get("wf_increment")
    start = properties.get("wf_start_time")
    return {
        "name": f"{channel.group_name}.{channel.name}" if several_groups else channel.name,
        "unit": str(properties.get("unit_string", "") or properties.get("NI_UnitDescription", "")),
        "values": values,
        "step_s": float(step) if step else None,
        "start_ns": int(np.datetime64(start, "ns").astype(np.int64)) if start is not None else None,
    }
