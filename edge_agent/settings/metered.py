"""A link whose bytes cost: what is collected, how much may be used, and the hours in which it is left alone."""

from __future__ import annotations

from datetime import time
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from edge_agent.settings.sources import Strict

LEAST_BUDGET_BYTES: Final = 10_000
"""One new connection over TLS with one request takes up to 5 kB."""


class MeteredSettings(Strict):
    """What `link_profile = "metered"` does; each of these can be given, none has to be (docs/METERED_LINKS.md)."""

    send_interval_s: float = Field(
        1_800.0,
        gt=0,
        le=86_400,
        description="Readings are collected so long for one request. Events go at once; what is durable stays so.",
    )
    idle_s: float = Field(
        3_600.0, gt=0, description="A connection that carries nothing is kept so long, where the other side keeps it."
    )
    mqtt_keepalive_s: int = Field(
        300, ge=10, le=65_535, description="A ping so often while nothing is sent; routers of mobile networks forget."
    )
    backoff_max_s: float = Field(
        300.0, gt=0, description="Longest wait between two tries, where central.backoff_max_s is less."
    )
    poll_every_s: float = Field(
        86_400.0,
        gt=0,
        description="Questions that carry no data (reconciliation, index of models) are asked no more often.",
    )


class BudgetSettings(Strict):
    """How many bytes the link to the central may carry: both directions, TLS, headers (docs/METERED_LINKS.md)."""

    bytes_per_day: int | None = Field(None, description="None: no bound for a day.")
    bytes_per_month: int | None = Field(None, description="None: no bound for a month.")
    reserve_share: float = Field(
        0.1, ge=0, le=0.9, description="Kept for events: readings wait once the rest of the budget is used."
    )
    calendar: Literal["local", "utc"] = Field("local", description="Whose midnight ends a day and a month.")
    month_starts_on: int = Field(1, ge=1, le=28, description="Day of the month on which the tariff begins again.")

    @field_validator("bytes_per_day", "bytes_per_month")
    @classmethod
    def _something_can_be_sent(cls, value: int | None) -> int | None:
        if value is not None and value <= 0:
            raise ValueError(
                f"a budget of {value} would send no reading at all, and none is no limit: give the bytes of the "
                "tariff, or remove the setting; for hours without traffic there is central.quiet_hours"
            )
        if value is not None and value < LEAST_BUDGET_BYTES:
            raise ValueError(
                f"{value} bytes do not last for one connection over TLS with one request (up to 5,000 bytes); "
                f"give at least {LEAST_BUDGET_BYTES}, or remove the setting"
            )
        return value

    @model_validator(mode="after")
    def _has_a_bound(self) -> BudgetSettings:
        if self.bytes_per_day is None and self.bytes_per_month is None:
            raise ValueError("needs bytes_per_day or bytes_per_month; without a limit remove the table")
        return self


class QuietHoursSettings(Strict):
    """Hours in which the link is left alone, by this box's own time of day."""

    start: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Their first minute, such as 22:00.")
    end: str = Field(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="The first minute after them; earlier than start: on the next day.",
    )
    allow: Literal["events", "nothing"] = Field(
        "events", description="What is sent all the same: alarms, gaps and other events, or nothing."
    )

    @model_validator(mode="after")
    def _is_a_span(self) -> QuietHoursSettings:
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start}: that is no time, or all day; give two times")
        return self

    @property
    def span(self) -> tuple[time, time]:
        """Return both as times of day."""
        return time.fromisoformat(self.start), time.fromisoformat(self.end)
