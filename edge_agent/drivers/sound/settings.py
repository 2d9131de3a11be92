"""The settings of a microphone."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from edge_agent.settings.sources import BLOCK_MEANING, WaveformSettings


class MicrophoneSettings(WaveformSettings):
    """A sound device used as a microphone. Only features leave the box."""

    driver: ClassVar[str] = "edge_agent.drivers.sound.microphone:MicrophoneDriver"

    type: Literal["microphone"] = Field(description="Says which kind of source this is.")
    device: str | None = Field(None, description="Part of the device's name (never its number); none is the default.")
    sample_rate_hz: int = Field(16_000, ge=1_000, le=384_000, description="Must be the rate the model was trained at.")
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)

    @property
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`; empty, since it is sound."""
        return ""

    @property
    def is_sound(self) -> bool:
        """Return that it is."""
        return True
