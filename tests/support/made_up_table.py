"""A table with the maintenance table's columns and its defect: ten rows that come back, a label that alternates."""

from __future__ import annotations

import csv
from pathlib import Path

from converters.training import pump_maintenance


def made_up_table(data: Path, *, n_rows: int) -> Path:
    """Writes it where the recipe looks under `data`."""
    folder = data / "sensor_maintenance"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sensor_maintenance_data.csv"
    measured = [column for _, _, column in pump_maintenance.FEATURES]
    header = [
        *measured,
        *pump_maintenance.LEAKING_NUMBERS,
        *pump_maintenance.LEAKING_WORDS,
        pump_maintenance.LABEL,
        pump_maintenance.OTHER_LABEL,
    ]
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(header)
        for row in range(n_rows):
            status = pump_maintenance.ANOMALOUS if row % 2 else "Operational"
            numbers = [100 + 7 * column + row % 10 for column in range(len(measured))]
            words = ["Corrective" if row % 2 else "Preventive"] * len(pump_maintenance.LEAKING_WORDS)
            writer.writerow(
                [*numbers, *([row % 3] * len(pump_maintenance.LEAKING_NUMBERS)), *words, status, int(row % 3 == 0)]
            )
    return path
