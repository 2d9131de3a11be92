"""Tables that a person answers for, read from TOML: zones of vibration severity and geometries of bearings.

The shipped files say whose values they hold. A plant's own file has the same shape and takes their place; whatever is
wrong with it is a ConfigurationError that names the file, the entry and the field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_agent.dsp.machines.bearing import BearingGeometry
from edge_agent.dsp.machines.severity import MachineGroup
from edge_agent.errors import ConfigurationError, SignalError

SEVERITY_ZONES_FILE: Final = Path(__file__).with_name("severity_zones.toml")
BEARINGS_FILE: Final = Path(__file__).with_name("bearings.toml")

SCHEMA_VERSION: Final = 1

T = TypeVar("T")

_Fields = Mapping[str, type]

_GROUP_FIELDS: Final[_Fields] = {
    "name": str, "description": str, "a_b_mm_s": float, "b_c_mm_s": float, "c_d_mm_s": float,
    "low_hz": float, "high_hz": float, "source": str, "edition": str, "note": str,
}  # fmt: skip
_BEARING_FIELDS: Final[_Fields] = {
    "name": str, "n_rollers": int, "ball_diameter": float, "pitch_diameter": float, "contact_angle_deg": float,
    "unit": str, "source": str, "note": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownBearing:
    """A bearing by its designation, with whose geometry it is; `unit` is that of the diameters."""

    name: str
    geometry: BearingGeometry
    unit: str
    source: str
    note: str


def read_machine_groups(path: Path = SEVERITY_ZONES_FILE) -> dict[str, MachineGroup]:
    """Return groups by name, in the order of the file. Raises ConfigurationError."""
    return _entries(path, "group", _GROUP_FIELDS, lambda fields: MachineGroup(**fields))


def read_bearings(path: Path = BEARINGS_FILE) -> dict[str, KnownBearing]:
    """Return bearings by designation, in the order of the file. Raises ConfigurationError."""
    return _entries(path, "bearing", _BEARING_FIELDS, _bearing)


def _bearing(fields: Mapping[str, Any]) -> KnownBearing:
    geometry = BearingGeometry(
        fields["n_rollers"], fields["ball_diameter"], fields["pitch_diameter"], fields["contact_angle_deg"]
    )
    return KnownBearing(fields["name"], geometry, fields["unit"], fields["source"], fields["note"])


def _entries(path: Path, table: str, fields: _Fields, build: Callable[[dict[str, Any]], T]) -> dict[str, T]:
    document = _document(path)
    _refuse_unknown(set(document) - {"schema_version", table}, path, "this file")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ConfigurationError(f"schema_version must be {SCHEMA_VERSION}", where=str(path))
    entries = document.get(table)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError(f"there is no [[{table}]] in it", where=str(path))
    built: dict[str, T] = {}
    for number, entry in enumerate(entries, start=1):
        checked = _checked(entry, fields, path, f"{table} {number}")
        name = checked["name"]
        if name in built:
            raise ConfigurationError(f"{table} {name} is in it twice", where=str(path))
        try:
            built[name] = build(checked)
        except SignalError as exc:
            raise ConfigurationError(f"{table} {name}: {exc.message}", hint=exc.hint, where=str(path)) from exc
    return built


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"{path.name} cannot be read: {exc.strerror or exc}", where=str(path)) from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(f"{path.name} is not TOML: {exc}", where=str(path)) from exc


def _checked(entry: Mapping[str, Any], fields: _Fields, path: Path, which: str) -> dict[str, Any]:
    _refuse_unknown(set(entry) - set(fields), path, which)
    missing = [name for name in fields if name not in entry]
    if missing:
        raise ConfigurationError(f"{which} lacks {', '.join(missing)}", where=str(path))
    return {name: _typed(entry[name], kind, path, f"{which}: {name}") for name, kind in fields.items()}


def _typed(value: Any, kind: type, path: Path, which: str) -> Any:
    """A whole number is a fine decimal; a bool is no number; a text must say something."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or value == "":
        words = {str: "a text", int: "a whole number", float: "a number"}
        raise ConfigurationError(f"{which} must be {words[kind]}, not {value!r}", where=str(path))
    return value


def _refuse_unknown(unknown: set[str], path: Path, which: str) -> None:
    if unknown:
        raise ConfigurationError(f"{which} has unknown fields: {', '.join(sorted(unknown))}", where=str(path))
