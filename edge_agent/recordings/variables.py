"""Numbers and texts by name, as MATLAB, HDF5 and NumPy files hold them: which are channels, and what says their rate.

Constraints
- A rate is a single number with a name that means one; a time vector gives it too. A number that may be a rate, and
  does not say so, is asked about.
- Whole numbers beside a scale are not multiplied: whether it multiplies or divides is not in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import RecordingError
from edge_agent.recordings.overrides import Overrides
from edge_agent.recordings.preamble import Rate, agreed, rate_of_pair
from edge_agent.recordings.recording import Content, usable_rate
from edge_agent.recordings.table import Table
from edge_agent.recordings.units import kind_of, known_unit, unit_in_name
from edge_agent.recordings.waveform import content_of, is_time_name

Variables = dict[str, Any]
"""Arrays of numbers; a text is a text, and anything else is a text that says what it is."""

_CWRU: Final = re.compile(r"^X(\d+)_(DE|FE|BA)_time$")
_CWRU_ORDER: Final = ("DE", "FE", "BA")
_MIN_SAMPLES: Final = 16  # shorter vectors are parameters, not waveforms
_SCALE_NAME: Final = re.compile(r"(?i)scale|gain|factor|sensitivity|calib|lsb|slope|resolution")
_MAY_BE_RATE: Final = re.compile(r"(?i)freq|rate|samp|hz|^f$|^sf$|^fq$")
_SPEED: Final = re.compile(r"(?i)rpm|speed|shaft|rot|rev|load|torque|bpf|cutoff|line|mains")
_NUMBER_AND_UNIT: Final = re.compile(r"\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([A-Za-z/]*)\s*")
_MIN_RATE_HZ: Final = 100.0
_FASTER_THAN_A_SHAFT_HZ: Final = 1000.0
"""One public data set calls the shaft's speed rate."""
_UNIT_NAME: Final = re.compile(r"(?i)(^|[._@])units?(_string)?$|(^|[._@])einheit$")


def content_of_variables(found: Mapping[str, Any], name: str, overrides: Overrides) -> Content:
    """Return one channel per vector, or per column of a matrix. Raises RecordingError for what cannot be told."""
    rate = _rate(found, name, overrides)
    cwru = _cwru_channels(found, name)
    vectors = {key: _column_of(value) for key, value in cwru.items()} or _vectors(found, name)
    chosen = _chosen(vectors, found, name, overrides)
    if rate is None and not overrides.rate_hz:
        _ask_about_rate(found, chosen, name)
    _refuse_scaled(found, chosen, name, overrides)
    table = Table(
        name,
        tuple(_as_column(values) for values in chosen.values()),
        names=tuple(chosen),
        units=tuple(_unit_of(key, found) for key in chosen),
        rate_hz=None if rate is None else usable_rate(rate.hz, name),
        rate_words="" if rate is None else rate.words,
        integers=frozenset(i for i, values in enumerate(chosen.values()) if values.dtype.kind in "iu"),
    )
    return content_of(table, replace(overrides, columns=()) if overrides.columns and not cwru else overrides)


def _leaf(path: str) -> str:
    return re.split(r"[./@]", re.sub(r"[{(]\d+[})]", "", path))[-1]


def _rate(found: Mapping[str, Any], name: str, overrides: Overrides) -> Rate | None:
    rates: list[Rate] = []
    for key, value in found.items():
        number, unit = _number_and_unit(value)
        if number is None and _is_few_alike(value):
            number = float(value.reshape(-1)[0])  # one rate per channel
        if number is None:
            continue
        hz = rate_of_pair(_leaf(key), number, unit)
        if hz is not None:
            rates.append(Rate(hz, f"{key} = {number:g}"))
        elif rate_of_pair(_leaf(key), 1.0) is not None:
            usable_rate(number, name)
    return agreed(rates, name, given_hz=overrides.rate_hz)


def _single(value: Any) -> float | None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size == 1:
        return float(value.reshape(-1)[0])
    return None


def _is_few_alike(value: Any) -> bool:
    is_few = isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and 1 < value.size < _MIN_SAMPLES
    return is_few and bool((value == value.reshape(-1)[0]).all())


def _number_and_unit(value: Any) -> tuple[float | None, str]:
    """A single number, or a text that holds one: "25.6 kHz"."""
    if isinstance(value, str) and (match := _NUMBER_AND_UNIT.fullmatch(value)) is not None:
        return float(match.group(1)), match.group(2)
    return _single(value), ""


def _cwru_channels(found: Mapping[str, Any], name: str) -> dict[str, NDArray[Any]]:
    records: dict[str, dict[str, NDArray[Any]]] = {}
    for key, value in found.items():
        if (match := _CWRU.match(key)) and isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            records.setdefault(match.group(1), {})[match.group(2)] = value
    if not records:
        return {}
    record = _record_of(records, name)
    return {position: record[position] for position in _CWRU_ORDER if position in record}


def _record_of(records: Mapping[str, dict[str, NDArray[Any]]], name: str) -> dict[str, NDArray[Any]]:
    """Some of these files hold a neighbour's record too; the file's number says which is meant."""
    if len(records) == 1:
        return next(iter(records.values()))
    number = re.match(r"\d+", name)
    meant = [record for key, record in records.items() if number and int(key) == int(number.group())]
    if not meant:
        raise RecordingError(f"{name} holds several records: {', '.join(sorted(records))}", hint="save them one by one")
    return meant[0]


def _vectors(found: Mapping[str, Any], name: str) -> dict[str, NDArray[Any]]:
    """Every vector, and every column of a matrix, that is long enough for a waveform."""
    vectors: dict[str, NDArray[Any]] = {}
    for key, value in found.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiucmM" or value.size < _MIN_SAMPLES:
            continue
        array = np.squeeze(value)
        if array.ndim > 2:
            raise RecordingError(
                f"{name}: {key} has the shape {' x '.join(map(str, array.shape))}; a recording is channels by samples",
                hint="save each recording of it in a file of its own",
            )
        if array.ndim < 1 or max(array.shape) < _MIN_SAMPLES:
            continue
        rows = array[np.newaxis] if array.ndim == 1 else array if array.shape[0] <= array.shape[1] else array.T
        names = [key] if len(rows) == 1 else [f"{key}_{i}" for i in range(1, len(rows) + 1)]
        vectors.update(zip(names, rows, strict=True))
    return vectors


def _column_of(value: NDArray[Any]) -> NDArray[Any]:
    return value.reshape(-1)


def _chosen(
    vectors: Mapping[str, NDArray[Any]], found: Mapping[str, Any], name: str, overrides: Overrides
) -> dict[str, NDArray[Any]]:
    """The vectors that belong together, or those a person named with what gives their time."""
    if overrides.columns:
        return _named(vectors, overrides.columns, name)
    if not vectors:
        raise RecordingError(
            f"{name}: no variable in it is a waveform (found: {_listed(found)})",
            hint="save the samples as a vector of numbers, with their rate as fs",
        )
    if len({values.size for values in vectors.values()}) > 1:
        lengths = ", ".join(f"{key}: {values.size}" for key, values in vectors.items())
        raise RecordingError(
            f"{name}: its waveforms differ in length ({lengths[:300]})",
            hint="--columns says which to take (setting `columns` of a replay source), or save them in files of "
            "their own",
        )
    for key, values in vectors.items():
        if values.dtype.kind == "c":
            raise RecordingError(
                f"{name}: {key} holds complex numbers", hint="save the signal itself, or its real part"
            )
    return dict(vectors)


def _named(vectors: Mapping[str, NDArray[Any]], words: tuple[str, ...], name: str) -> dict[str, NDArray[Any]]:
    chosen: dict[str, NDArray[Any]] = {}
    names = list(vectors)
    for word in words:
        alike = [key for key in names if key == word] or [key for key in names if _leaf(key).lower() == word.lower()]
        if not alike and word.isdigit() and 1 <= int(word) <= len(names):
            alike = [names[int(word) - 1]]
        if len(alike) != 1:
            raise RecordingError(
                f"{name} has no waveform {word!r}", hint=f"its waveforms are: {', '.join(names)[:300]}"
            )
        chosen[alike[0]] = vectors[alike[0]]
    if len({values.size for values in chosen.values()}) > 1:
        raise RecordingError(f"{name}: the named waveforms differ in length", hint="score them one by one")
    return chosen


def _listed(found: Mapping[str, Any]) -> str:
    def overrides(key: str, value: Any) -> str:
        return f"{key}, {value}" if isinstance(value, str) and value.startswith("a ") else key

    return ", ".join(overrides(key, value) for key, value in sorted(found.items()))[:300] or "nothing"


def _ask_about_rate(found: Mapping[str, Any], chosen: Mapping[str, NDArray[Any]], name: str) -> None:
    """A number that may be the rate is neither taken nor passed over."""
    for key, value in found.items():
        number = _single(value)
        leaf = _leaf(key)
        if number is None or number < _MIN_RATE_HZ or key in chosen:
            continue
        if _SPEED.search(leaf) or (leaf.lower() == "rate" and number < _FASTER_THAN_A_SHAFT_HZ):
            continue
        if _MAY_BE_RATE.search(leaf):
            raise RecordingError(
                f"{name}: {key} = {number:g} may be its sampling rate; the name does not tell",
                hint=f"--rate {number:g} says so (setting `sample_rate_hz` of a replay source), or call it fs",
            )


def _refuse_scaled(
    found: Mapping[str, Any], chosen: Mapping[str, NDArray[Any]], name: str, overrides: Overrides
) -> None:
    if overrides.unit is not None or not any(values.dtype.kind in "iu" for values in chosen.values()):
        return
    for key, value in found.items():
        if _single(value) is not None and _SCALE_NAME.search(_leaf(key)):
            raise RecordingError(
                f"{name}: its samples are whole numbers, and {key} = {_single(value):g} stands beside them",
                hint="save the samples in their unit, scaled; --unit takes them as they are",
            )


def _unit_of(path: str, found: Mapping[str, Any]) -> str:
    """From a text called unit beside the vector, or below it, or from the vector's own name."""
    base = re.sub(r"_\d+$", "", path)
    parent = base.rpartition(".")[0]
    for key, value in found.items():
        if isinstance(value, str) and _UNIT_NAME.search(key):
            owner = _UNIT_NAME.sub("", key)
            if owner in (path, base, parent, ""):
                return known_unit(value) or value.strip()
    return unit_in_name(_leaf(path)) or _unit_of_nobody(path, found)


def _unit_of_nobody(path: str, found: Mapping[str, Any]) -> str:
    """The one unit that texts like y_units say, which belong to no variable by their names."""
    overrides = {
        unit
        for key, value in found.items()
        if isinstance(value, str)
        and (owner := re.sub(r"(?i)_?(units?|einheit)$", "", key)) != key
        and owner not in found
        and (unit := known_unit(value)) is not None
        and kind_of(unit) != "time"
    }
    return overrides.pop() if len(overrides) == 1 and not is_time_name(_leaf(path)) else ""


def _as_column(values: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged numbers
        return values if values.dtype.kind in "mM" else values.astype(np.float64)
