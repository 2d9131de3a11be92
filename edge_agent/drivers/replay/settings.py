"""The settings of recordings in place of a sensor."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from edge_agent.settings.sources import WaveformSettings


class ReplaySettings(WaveformSettings):
    """Recordings in place of a sensor: a file, or a folder played in name order."""

    driver: ClassVar[str] = "edge_agent.drivers.replay.driver:ReplayDriver"

    type: Literal["replay"] = Field(description="Says which kind of source this is.")
    stands_for: Literal["accelerometer", "microphone"] = Field(description="What the recordings are treated as.")
    path: Path = Field(description="A recording, or a folder of them.")
    unit: str = Field(
        "g", description="Unit the samples are played in; files in another one are converted, or refused."
    )
    recorded_unit: str | None = Field(None, description="Unit of the numbers in the files, whatever their header says.")
    sample_rate_hz: float | None = Field(None, gt=0, description="For formats that do not carry their rate.")
    columns: tuple[str, ...] = Field((), description="Columns that are channels: names, or numbers from 1 as text.")
    decimal: Literal["comma", "point"] | None = Field(None, description="Decimal sign of texts that leave it open.")
    pace: float = Field(1.0, ge=0, le=10_000, description="1 is real time, 10 ten times faster, 0 no waiting at all.")
    repeat: bool = Field(False, description="Start over after the last recording.")

    @property
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`; empty for sound."""
        return "" if self.is_sound else self.unit

    @property
    def is_sound(self) -> bool:
        """Return whether the recordings are those of a microphone."""
        return self.stands_for == "microphone"

    @property
    def is_recording(self) -> bool:
        """Return that it is."""
        return True
