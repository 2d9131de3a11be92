"""Channels that each carry their own name, unit and step, as TDMS and UFF58 hold them, and the columns of Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import RecordingError
from edge_agent.recordings.errors import no_samples
from edge_agent.recordings.overrides import Overrides, channels_named
from edge_agent.recordings.recording import usable_rate
from edge_agent.recordings.table import Table
from edge_agent.recordings.units import known_unit, unit_in_name

Signals = Sequence[Mapping[str, Any]]
_AGREE_WITHIN: Final = 1e-6


def table_of_series(parts: Signals, name: str, overrides: Overrides) -> Table:
    """Return signals as columns. Raises RecordingError when lengths or steps differ and nobody chose."""
    chosen = _chosen(parts, name, overrides)
    if not chosen:
        raise no_samples(name)
    lengths = {len(part["values"]) for part in chosen}
    steps = {part["step_s"] for part in chosen if part.get("step_s")}
    if len(lengths) > 1 or (steps and max(steps) - min(steps) > _AGREE_WITHIN * max(steps)):
        each = ", ".join(f"{part['name']}: {len(part['values'])}{_rate_words(part)}" for part in chosen)
        raise RecordingError(
            f"{name}: its channels differ in length or rate ({each[:300]})",
            hint="--columns says which to take (setting `columns` of a replay source)",
        )
    columns = [_column(part) for part in chosen]
    names = [str(part["name"]) for part in chosen]
    units = [_unit(part) for part in chosen]
    if (x := chosen[0].get("x")) is not None:
        columns, names, units = [np.asarray(x, np.float64), *columns], ["time", *names], ["s", *units]
    step = next(iter(steps), None)
    return Table(
        name,
        tuple(columns),
        names=tuple(names),
        units=tuple(units),
        rate_hz=usable_rate(rounded_rate(1 / step), name) if step else None,
        rate_words=f"a step of {step:g} s" if step else "",
        integers=frozenset(
            i for i, part in enumerate(chosen) if part.get("is_integer") or _dtype(part["values"]) in "iu"
        ),
    )


def _dtype(values: Any) -> str:
    return values.dtype.kind if isinstance(values, np.ndarray) else "U"


def _chosen(parts: Signals, name: str, overrides: Overrides) -> Signals:
    if not overrides.columns:
        return parts
    names = [str(part["name"]) for part in parts]
    return [parts[place] for place in channels_named(overrides.columns, names, name)]


def _rate_words(part: Mapping[str, Any]) -> str:
    return f" at {1 / part['step_s']:g} Hz" if part.get("step_s") else ""


def rounded_rate(rate_hz: float) -> float:
    """Round the rate of a step that is written with five to seven digits: 4.88281e-05 s is 20,480 Hz."""
    if not np.isfinite(rate_hz):
        return rate_hz  # refused by name, as every impossible rate is
    nearest = float(round(rate_hz))
    return nearest if nearest and abs(nearest - rate_hz) < 2e-5 * rate_hz else rate_hz


def _column(part: Mapping[str, Any]) -> NDArray[Any]:
    values = part["values"]
    if not isinstance(values, np.ndarray):
        return np.array(values, dtype=np.str_)
    return values.astype("datetime64[ns]") if values.dtype.kind == "M" else values.astype(np.float64)


def _unit(part: Mapping[str, Any]) -> str:
    unit = str(part.get("unit") or "").strip()
    return (known_unit(unit) or unit) if unit else unit_in_name(str(part["name"]))
