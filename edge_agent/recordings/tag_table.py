"""Tables of tags: which column is which input of a model, and when each row was. Pure.

Constraints
- A column is found by its name: as the model writes it, without its unit, or as one value of a column of texts
  (Type with L, M and H is type_l, type_m, type_h).
- Its unit must be the model's, or become it by a factor. What is missing is named with the names nearest to it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId
from edge_agent.errors import RecordingError
from edge_agent.recordings.overrides import Overrides
from edge_agent.recordings.table import Table
from edge_agent.recordings.units import factor_between, known_unit, unit_in_name, without_bracket
from edge_agent.recordings.waveform import is_time_name, times_of_rows

_UNIT_WORDS: Final = {"%": "percent", "degC": "c", "m/s2": "m_s2", "mm/s": "mm_s"}


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """One input of a model: its name, the column it is taken from, and its values, NaN where there is none."""

    name: str
    column: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TableTimes:
    """`ns` of each row; since 1970 UTC when `is_dated`, else since some begin."""

    ns: NDArray[np.int64]
    is_dated: bool


def table_times(table: Table, overrides: Overrides) -> TableTimes | None:
    """Return when each row was; None without a time column. Raises RecordingError for times that go back."""
    found = times_of_rows(table, overrides)
    if found is None:
        return None
    ns, is_dated = found
    back = np.flatnonzero(np.diff(ns) < 0)
    if back.size:
        at = table.where(int(back[0]) + 1)
        raise RecordingError(f"{table.name}, {at}: the time column runs back there", hint="sort the rows by time")
    return TableTimes(ns, is_dated)


def inputs_of(table: Table, wanted: Sequence[FeatureId]) -> list[Input]:
    """Return the model's inputs, in its order. Raises RecordingError naming every one that is missing."""
    found = [_input(table, feature) for feature in wanted]
    missing = [feature.name for feature, entry in zip(wanted, found, strict=True) if entry is None]
    if missing:
        raise RecordingError(
            f"{table.name} has no column for {', '.join(_with_nearest(table, name) for name in missing)}",
            hint=f"name them so in the header; the model takes {', '.join(feature.name for feature in wanted)}",
        )
    return [entry for entry in found if entry is not None]


def only_value(table: Table, overrides: Overrides) -> list[Input]:
    """Return the one column of a model over a single tag, or those a person named: each by itself.

    Raises RecordingError where there are several and nobody chose.
    """
    names = [_name(table, column) for column in range(len(table.columns))]
    is_undated = not table.of_kind("Mm")
    numeric = [
        column
        for column in table.of_kind("f")
        if _key(names[column]) != "quality" and not (is_undated and is_time_name(names[column]))
    ]
    if overrides.columns:
        chosen = [_chosen(table, word, numeric) for word in overrides.columns]
    else:
        called = [column for column in numeric if _key(_name(table, column)) == "value"]
        chosen = called or numeric
        if len(chosen) != 1:
            told = ", ".join(names[column] for column in chosen) or "none"
            raise RecordingError(
                f"{table.name} has {len(chosen)} columns of numbers, and the model looks at one tag",
                hint=f"--columns NAME says which: {told[:300]}",
            )
    return [Input("value", _name(table, column), table.columns[column]) for column in chosen]


def quality_of(table: Table) -> NDArray[np.float64] | None:
    """Return the column called quality, 0 to 1, if there is one."""
    return next((table.columns[i] for i in table.of_kind("f") if _key(_name(table, i)) == "quality"), None)


def _chosen(table: Table, word: str, numeric: Sequence[int]) -> int:
    for column in numeric:
        if word in (_name(table, column), _bare(_name(table, column)), str(column + 1)):
            return column
    names = ", ".join(_name(table, column) for column in numeric)
    raise RecordingError(f"{table.name} has no column {word!r}", hint=f"its columns of numbers are: {names[:300]}")


def _name(table: Table, column: int) -> str:
    return table.name_of(column) or f"column {column + 1}"


def _key(name: str) -> str:
    """Letters and figures in lower case, one _ between: "Torque [Nm]" is torque_nm."""
    text = name.lower().replace("%", "percent").replace("\u00b2", "2").replace("\u00b0", "")
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def _bare(name: str) -> str:
    return without_bracket(name) or name


def _base(feature: FeatureId) -> str:
    """The input's name without its unit: torque_nm is torque."""
    for ending in (_UNIT_WORDS.get(feature.unit, ""), _key(feature.unit)):
        if ending and feature.name.endswith(f"_{ending}"):
            return feature.name.removesuffix(f"_{ending}")
    return feature.name


def _input(table: Table, feature: FeatureId) -> Input | None:
    names = [_name(table, column) for column in range(len(table.columns))]
    wanted = _key(feature.name)
    for keys, key in (
        (names, feature.name),
        ([_key(name) for name in names], wanted),
        ([_key(_bare(name)) for name in names], wanted),
        ([_key(_bare(name)) for name in names], _base(feature)),
    ):
        for column, found in enumerate(keys):
            if found == key and table.columns[column].dtype.kind == "f":
                return Input(feature.name, names[column], _in_unit(table, column, feature))
    return _one_of_texts(table, feature, names)


def _in_unit(table: Table, column: int, feature: FeatureId) -> NDArray[np.float64]:
    values: NDArray[np.float64] = table.columns[column]
    unit = table.unit(column) or unit_in_name(_name(table, column))
    if not unit or not feature.unit or known_unit(unit) is None:
        return values
    factor = factor_between(unit, feature.unit)
    if factor is None:
        raise RecordingError(
            f"{table.name}: {table.label(column)} is in {unit}, {feature.name} is in {feature.unit}",
            hint="convert the column, or correct its header",
        )
    return values if factor == 1.0 else values * factor


def _one_of_texts(table: Table, feature: FeatureId, names: Sequence[str]) -> Input | None:
    for column in table.of_kind("U"):
        name, texts = names[column], table.columns[column].tolist()
        if feature.name.startswith(f"{_key(name)}_"):
            word = feature.name.removeprefix(f"{_key(name)}_")
            return Input(feature.name, name, np.array([_key(text) == word for text in texts], np.float64))
    return None


def _with_nearest(table: Table, name: str) -> str:
    by_key = {_key(column): column for column in table.names if column}
    by_key |= {_key(_bare(column)): column for column in table.names if column}
    near = difflib.get_close_matches(name, by_key, n=2, cutoff=0.6)
    told = " or ".join(dict.fromkeys(repr(by_key[key]) for key in near))
    return f"{name} (nearest: {told})" if told else name
