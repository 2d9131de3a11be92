"""What the central keeps, and how its jobs are to run: settings, and what follows from them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloud_sync.central.database.migrations import Features

RETENTION_DAYS: Final = 180
PAUSE_S: Final = 15.0


class Job(StrEnum):
    RETENTION = "retention"
    HOURLY = "hourly"
    READING_INDEX = "reading_index"


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How the jobs are to run. `retention_days` None: 180, but nothing in adopted tables; 0: keep everything."""

    retention_days: int | None = None
    pause_s: float = PAUSE_S
    every_s: tuple[tuple[Job, float], ...] = (
        (Job.RETENTION, 3_600.0), (Job.HOURLY, 60.0), (Job.READING_INDEX, 3_600.0),
    )  # fmt: skip
    rows_per_step: int = 5_000
    hours_per_step: int = 200

    def days(self, features: Features) -> int:
        """Return how many days of rows our own job keeps in this database; 0 keeps everything."""
        if self.retention_days is not None:
            return self.retention_days
        return RETENTION_DAYS if features.own_retention and not features.adopted else 0

    def oldest_kept(self, features: Features, now: datetime) -> datetime | None:
        """Return the time before which rows are deleted, by our job or by TimescaleDB's policy; None: never."""
        days = self.days(features)
        kept = [timedelta(days=days)] if days else []
        kept += [features.kept_by_policy] if features.kept_by_policy is not None else []
        return whole_hour(now - min(kept)) if kept else None


def whole_hour(moment: datetime) -> datetime:
    """Return its beginning, so that no hour of the roll-up is ever half there."""
    return moment.replace(minute=0, second=0, microsecond=0)
