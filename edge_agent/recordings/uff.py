"""Universal File Format, data set 58 (functions at nodes), through pyuff, in the parser's process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_agent.errors import RecordingError
from edge_agent.recordings.errors import refused_as

_TIME_RESPONSE: Final = 1
_AXIS_TIME: Final = 17


def read_uff(data: bytes, name: str) -> list[dict[str, Any]]:
    """Read of each time signal: name, unit, values, seconds between samples. Raises RecordingError."""
    import pyuff

    # pyuff reads files that have a name, and nothing else.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.uff"
        path.write_bytes(data)
        with refused_as("a universal file", name, Exception):  # all that pyuff raises itself
            file = pyuff.UFF(str(path))
            kinds = [int(kind) for kind in file.get_set_types()]
            sets = [file.read_sets(number) for number, kind in enumerate(kinds) if kind == 58]
    if not sets:
        others = ", ".join(map(str, sorted(set(kinds)))) or "none"
        raise RecordingError(
            f"{name} is a universal file without a data set 58 (its sets: {others})",
            hint="export the time signals as UFF58",
        )
    return [_signal(part, number, name) for number, part in enumerate(sets, start=1)]


def _signal(part: dict[str, Any], number: int, name: str) -> dict[str, Any]:
    if part.get("func_type") != _TIME_RESPONSE or part.get("abscissa_spec_data_type", _AXIS_TIME) not in (
        0,
        _AXIS_TIME,
    ):
        raise RecordingError(
            f"{name}: data set {number} is no time signal (function type {part.get('func_type')})",
            hint="export the time signals: a spectrum has no windows",
        )
    values = np.asarray(part["data"])
    if values.dtype.kind == "c":
        raise RecordingError(f"{name}: data set {number} holds complex numbers", hint="export the time signals")
    x = np.asarray(part.get("x", ()), np.float64)
    step = float(part.get("abscissa_inc") or 0.0) or (float((x[-1] - x[0]) / (len(x) - 1)) if len(x) > 1 else 0.0)
    return {
        "name": _text(part.get("ordinate_axis_lab")) or _text(part.get("rsp_ent_name")) or f"ch{number}",
        "unit": _text(part.get("ordinate_axis_units_lab")),
        "values": values.astype(np.float64),
        "step_s": step or None,
        "x": None if part.get("abscissa_spacing", 1) == 1 else x,
    }


def _text(value: Any) -> str:
    text = str(value or "").strip()
    return "" if text.upper() in ("NONE", "NONE NONE") else text
