"""A spectrum and a level, drawn with characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

COLUMNS: Final = 64
_ROWS: Final = 4
_RANGE_DB: Final = 64.0
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


def draw_spectrum(frequencies: NDArray[np.float64], amplitude: NDArray[np.float64]) -> list[str]:
    """Return rows of characters and an axis: amplitude in dB below the largest, over linear frequency."""
    if len(amplitude) < 2:
        return ["(too few samples for a spectrum)"]
    parts = [part.max() for part in np.array_split(amplitude[1:], min(COLUMNS, len(amplitude) - 1))]
    top = max(parts)
    if not top > 0:
        return ["(nothing but one value)"]
    eighths = [_eighths(part / top) for part in parts]
    rows = ["".join(_EIGHTHS[min(8, max(0, each - 8 * row))] for each in eighths) for row in reversed(range(_ROWS))]
    left, middle, right = "0", f"{frequencies[-1] / 2:g}", f"{frequencies[-1]:g} Hz"
    half = len(parts) // 2
    axis = left + middle.rjust(half - len(left) + len(middle) // 2) + " "
    below = [f"└{'─' * len(parts)}", f" {axis}{right.rjust(len(parts) - len(axis))}"]
    return [f"│{row}".rstrip() for row in rows] + below


def _eighths(share: float) -> int:
    db = 20.0 * math.log10(max(share, 1e-12))
    return max(0, round((1.0 + db / _RANGE_DB) * 8 * _ROWS))


def meter_line(points: Sequence[str], shares: Sequence[float], width: int) -> str:
    """Return a bar for each channel; a share of 1 is its top, each further tenth of the bar 6 dB less."""
    room = max(5, min(20, width // max(1, len(points)) - 14))
    return "  ".join(f"{point[:8]} {_bar(share, room)}" for point, share in zip(points, shares, strict=True))[:width]


def _bar(share: float, room: int) -> str:
    full = 1.0 + 20.0 * math.log10(max(share, 1e-9)) / 60.0
    filled = max(0, min(room, round(full * room)))
    return "█" * filled + "·" * (room - filled)
