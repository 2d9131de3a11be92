"""What `score` says of one file's scores, be they of the windows of a recording or of the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

VERDICT_FRACTION: Final = 0.5
"""A file is called anomalous when more than half of what was scored in it is."""


def summary_of(scores: NDArray[np.floating], threshold: float) -> dict[str, Any]:
    """Return the fields of docs/CLI_OUTPUT.md that sum up one file's scores; None where there are none."""
    n = len(scores)
    fraction = int(np.count_nonzero(scores > threshold)) / n if n else None
    return {
        "anomalous_fraction": fraction,
        "score_mean": float(scores.mean(dtype=np.float64)) if n else None,
        "score_max": float(scores.max()) if n else None,
        "threshold": threshold,
        "verdict": "unknown" if fraction is None else "anomalous" if fraction > VERDICT_FRACTION else "normal",
    }


def file_column(line: Mapping[str, Any]) -> str:
    """Return the file's path, 40 signs wide: of a longer one its end."""
    name = line["file"] if len(line["file"]) <= 40 else "…" + line["file"][-39:]
    return f"{name:40}"
