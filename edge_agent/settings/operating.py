"""How the agent knows whether a machine runs."""

from __future__ import annotations

from pydantic import Field, model_validator

from edge_agent.settings.sources import Name, Strict, TagName


class OperatingStateSettings(Strict):
    """Whether a machine is stopped, starting up or running, from a tag or from how strong a signal is.

    While it does not run nothing of it is scored, and nothing is an alarm. Without this table it always runs.
    """

    asset: Name = Field(description="The machine; one table each.")
    running_tag: TagName | None = Field(None, description="A tag that says it: a speed, a current, a contact.")
    running_source: Name | None = Field(
        None, description="Or a source of samples on the machine: the rms of its strongest channel, without the mean."
    )
    running_above: float = Field(
        0.0, ge=0, description="It runs above this magnitude of the tag, or rms in the source's unit."
    )
    stopped_below: float | None = Field(
        None, ge=0, description="It stops at or below this; default running_above, of an rms 80 % of it."
    )
    start_up_s: float = Field(0.0, ge=0, le=86_400, description="It starts up for so long before it is judged.")
    max_age_s: float = Field(
        10.0, gt=0, description="By a value older than this it is not known: the machine is judged as if it ran."
    )

    @model_validator(mode="after")
    def _is_known_by_one_thing(self) -> OperatingStateSettings:
        if (self.running_tag is None) == (self.running_source is None):
            raise ValueError("give running_tag or running_source, one of them")
        if self.running_source is not None and self.running_above == 0:
            raise ValueError("running_source needs running_above: a signal is never without noise")
        if self.stopped_below is not None and self.stopped_below > self.running_above:
            raise ValueError("stopped_below must not be above running_above, else the state chatters")
        return self

    @property
    def stops_at(self) -> float:
        """Return the level at or below which it stops."""
        if self.stopped_below is not None:
            return self.stopped_below
        return self.running_above if self.running_tag is not None else 0.8 * self.running_above
