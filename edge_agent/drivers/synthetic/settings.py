"""The settings of a formula in place of a sensor."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from edge_agent.settings.sources import BLOCK_MEANING, WaveformSettings


class SyntheticSettings(WaveformSettings):
    """A formula in place of a sensor: sine, noise, and impulses that repeat."""

    driver: ClassVar[str] = "edge_agent.drivers.synthetic.driver:SyntheticDriver"

    type: Literal["synthetic"] = Field(description="Says which kind of source this is.")
    unit: str = Field("g", description="Unit of the samples.")
    sample_rate_hz: int = Field(20_480, ge=100, description="Must be the rate the model was trained at.")
    frequency_hz: float = Field(29.7, ge=0, description="Of the sine: a shaft at 1,782 rpm.")
    amplitude: float = Field(0.1, description="Of the sine, in `unit`.")
    noise: float = Field(0.02, ge=0, description="Standard deviation of white noise.")
    impulse_hz: float = Field(0.0, ge=0, description="Impulses per second, as of a bearing fault; 0 is healthy.")
    impulse_amplitude: float = Field(0.0, description="Of each impulse, in `unit`.")
    seed: int = Field(0, ge=0, description="The same seed gives the same noise, sample for sample.")
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)

    @property
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`."""
        return self.unit
