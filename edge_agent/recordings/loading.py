"""One door to every recording format. The bytes decide which it is; the name only confirms or adds.

Constraints
- Everything that can be wrong with a file is a RecordingError with the file's name in it and what to do.
- A file's own sampling rate wins over a given one; formats without a rate need a given one.
- Samples come in the unit that is wanted: converted where the file's measures the same, refused where it does not.
- At most 512 MiB unpacked: a recording is held in memory as a whole.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from edge_agent.core.samples import read_only
from edge_agent.errors import RecordingError
from edge_agent.recordings.errors import MAX_BYTES, too_large
from edge_agent.recordings.formats import format_of
from edge_agent.recordings.overrides import NO_OVERRIDES, Overrides, channels_named
from edge_agent.recordings.recording import Content, Recording, usable_rate
from edge_agent.recordings.table import Table
from edge_agent.recordings.units import factor_between, known_unit

_CHUNK_BYTES: Final = 2**20
IMS_NAME: Final = re.compile(r"^(\d{4})\.(\d\d)\.(\d\d)\.(\d\d)\.(\d\d)\.(\d\d)(?:\.gz)?$")


def load_recording(
    path: Path | str, *, sample_rate_hz: float | None = None, overrides: Overrides = NO_OVERRIDES
) -> Recording:
    """Read a whole recording into memory.

    `sample_rate_hz` is for formats that do not carry their rate (text, most .mat files); `overrides` is all else that a
    person knows about it.
    Raises RecordingError: unreadable, empty, cut off, unknown format, not a number, no rate known, or another unit.
    """
    path = Path(path)
    if overrides.near_hz is None and sample_rate_hz is not None:
        overrides = replace(overrides, rate_hz=sample_rate_hz)
    given_hz = sample_rate_hz if sample_rate_hz is not None else overrides.near_hz
    data = _unpacked(_bytes_of(path), path.name)
    form = format_of(data, path.name, _ending(path))
    content = _in_wanted_unit(form.content(data, path.name, overrides), path.name, overrides)
    if overrides.columns and len(content.channel_names) > len(overrides.columns):
        content = _picked(content, overrides.columns, path.name)
    rate_hz = content.rate_hz if content.rate_hz is not None else given_hz
    if rate_hz is None:
        raise RecordingError(
            f"{path.name} does not say its sampling rate",
            hint="--rate says the rate it was recorded at (setting `sample_rate_hz` of a replay source)",
        )
    return Recording(
        path=path,
        samples=content.samples,
        sample_rate_hz=usable_rate(rate_hz, path.name),
        rate_source="given" if content.rate_hz is None else "file",
        channel_names=content.channel_names,
        given_rate_hz=given_hz,
        unit=content.units[0] if content.units else "",
        start_ns=_start_ns(path.name) or content.start_ns,
        starts=content.starts,
        notes=content.notes,
    )


def load_table(path: Path | str, *, overrides: Overrides = NO_OVERRIDES) -> Table:
    """Read a table of tags: a text or Parquet file with named columns. Raises RecordingError."""
    path = Path(path)
    data = _unpacked(_bytes_of(path), path.name)
    return format_of(data, path.name, _ending(path)).rows(data, path.name, overrides)


def _ending(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _picked(content: Content, words: Sequence[str], name: str) -> Content:
    """The channels a person named, of a format without columns of its own."""
    places = channels_named(words, content.channel_names, name)
    return replace(
        content,
        samples=read_only(np.ascontiguousarray(content.samples[places])),
        channel_names=tuple(content.channel_names[place] for place in places),
        units=tuple(content.units[place] for place in places) if content.units else (),
    )


def _in_wanted_unit(content: Content, name: str, overrides: Overrides) -> Content:
    """The same samples in the unit that is wanted, or in the one that a person says they have."""
    units = (overrides.unit,) * len(content.channel_names) if overrides.unit is not None else content.units
    if overrides.wanted_unit is None or not any(units):
        return replace(content, units=_common(units))
    factors = []
    for place, unit in enumerate(units):
        factor = 1.0 if not unit else factor_between(unit, overrides.wanted_unit)
        if factor is None:
            raise _other_unit(content.channel_names[place], unit, name, overrides.wanted_unit)
        factors.append(factor)
    if all(factor == 1.0 for factor in factors):
        return replace(content, units=(overrides.wanted_unit,))
    made = sorted(
        {f"{unit} to {overrides.wanted_unit}" for unit, factor in zip(units, factors, strict=True) if factor != 1.0}
    )
    scaled = content.samples * np.array(factors, np.float64)[:, np.newaxis]
    return replace(
        content,
        samples=read_only(np.ascontiguousarray(scaled, np.float32)),
        units=(overrides.wanted_unit,),
        notes=(*content.notes, f"converted from {', '.join(made)}"),
    )


def _common(units: Sequence[str]) -> tuple[str, ...]:
    """The unit all channels have; empty when they differ or say nothing."""
    return (next(iter(set(units))),) if len(set(units)) == 1 else ()


def _other_unit(channel: str, unit: str, name: str, wanted: str) -> RecordingError:
    as_they_are = f"--unit {wanted} (setting `recorded_unit`) takes the numbers as they are"
    hint = "--columns says which columns to take"
    if unit == "counts":
        hint = "multiply by the converter's scale first"
    elif known_unit(unit) in ("V", "mV", "uV"):
        hint = "divide by the sensor's sensitivity first (100 mV/g: volts times 10)"
    return RecordingError(f"{name}: {channel} is in {unit}, {wanted} is wanted", hint=f"{hint}; {as_they_are}")


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise too_large(path.name)
        data = path.read_bytes()
    except OSError as exc:
        raise RecordingError(f"{path.name} cannot be read: {exc.strerror or exc}", hint=f"looked at {path}") from exc
    if not data:
        raise RecordingError(f"{path.name} is empty", hint="the recorder or the copy was stopped before it began")
    return data


def _unpacked(data: bytes, name: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    out = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                out += chunk
                if len(out) > MAX_BYTES:
                    raise too_large(name)
    except EOFError as exc:
        raise RecordingError(
            f"{name} is cut off: its {len(data)} bytes end before the packed data does", hint="copy the file again"
        ) from exc
    except (OSError, zlib.error) as exc:
        raise RecordingError(f"{name} is damaged and cannot be unpacked: {exc}", hint="copy the file again") from exc
    if not out:
        raise RecordingError(f"{name} is empty once unpacked")
    return bytes(out)


def _start_ns(name: str) -> int | None:
    if (match := IMS_NAME.match(name)) is None:
        return None
    try:
        start = datetime(*(int(part) for part in match.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return int(start.timestamp()) * 1_000_000_000
