"""NI TDMS, through npTDMS, in a process of its own."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from edge_agent.recordings.errors import MAX_VALUES, refused_as, too_long
from edge_agent.recordings.preamble import rate_of_pair

_MOST_CHANNELS: Final = 512


def read_tdms(data: bytes, name: str) -> list[dict[str, Any]]:
    """Read of each channel: name, unit, scaled values, seconds between samples or None.

    Runs in the parser's process. Raises RecordingError.
    """
    import nptdms

    with refused_as("TDMS", name):
        file = nptdms.TdmsFile.read(io.BytesIO(data))
        channels = [channel for group in file.groups() for channel in group.channels()][:_MOST_CHANNELS]
        if sum(len(channel) for channel in channels) > MAX_VALUES:
            raise too_long(name)
        several = len({channel.group_name for channel in channels}) > 1
        above = {group.name: (group.properties, file.properties) for group in file.groups()}
        parts = [_channel(channel, several, above[channel.group_name]) for channel in channels if len(channel)]
        return [part for part in parts if part["values"].dtype.kind in "biufM"]


def _channel(channel: Any, several_groups: bool, above: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = np.asarray(channel[:])
    properties = channel.properties
    step = properties.get("wf_increment") or _step_said([properties, *above])
    return {
        "name": f"{channel.group_name}.{channel.name}" if several_groups else channel.name,
        "unit": str(properties.get("unit_string", "") or properties.get("NI_UnitDescription", "")),
        "values": values,
        "step_s": float(step) if step else None,
    }


def _step_said(properties: Sequence[Mapping[str, Any]]) -> float | None:
    """From a rate among the properties of the channel, its group or the file."""
    for own in properties:
        for key, value in own.items():
            is_number = isinstance(value, int | float | np.number)
            if is_number and (rate_hz := rate_of_pair(key, float(value))) is not None:
                return 1.0 / rate_hz
    return None
