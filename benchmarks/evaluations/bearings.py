"""Bearings run to failure: hours of warning and false alarms per day of the shipped anomaly models.

Each recipe is trained on the data as `edge-convert train` does (split, threshold and alarm rule are in its manifest);
a set whose recordings are not there is named and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from converters.bundle.writer import BundleContent
from converters.training import femto_two_axes, ims_one_class_svm, ims_vibration
from edge_agent.errors import RecordingError

RECIPES: Final[dict[str, Callable[[Path], BundleContent]]] = {
    ims_vibration.NAME: ims_vibration.build,
    ims_one_class_svm.NAME: ims_one_class_svm.build,
    femto_two_axes.NAME: femto_two_axes.build,
}
_SAID: Final = ("lead_time", "run_h", "alarms_per_day", "healthy_days", "healthy_hours", "last_day", "last_tenth")


def evaluate(data: Path) -> Iterator[str]:
    """Lines per model. Raises RecordingError if there is no run at all."""
    missing = []
    for name, build in RECIPES.items():
        try:
            manifest = build(data).manifest
        except RecordingError as exc:
            missing.append(exc)
            yield f"{name}: left out, {exc.message}"
            continue
        yield f"{name}: {manifest.split}"
        yield from (
            f"  {metric:<64}{value:>9.2f}"
            for metric, value in manifest.metrics.items()
            if any(word in metric for word in _SAID)
        )
    if len(missing) == len(RECIPES):
        raise missing[0]
