"""What a driver knows of its source beyond what it yields: how each tag is, what is wrong, what it measured.

`status` asks for it; it costs the driver nothing until then. Pure values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class TagState(StrEnum):
    """How one configured tag is."""

    WAITING = "waiting"  # asked for, and no value has come yet
    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"
    REFUSED = "refused"  # the device does not have it, or does not let it be read: somebody has to change something
    NOT_TAKEN = "not_taken"  # the device's limits leave no place for it
    SILENT = "silent"  # asked for and not answered, while the device answers other requests


@dataclass(frozen=True, slots=True)
class TagReport:
    """A tag that is not as its newest reading says. `detail` is why, in words; `since_ns` on the agent's clock.

    `status_code` is OPC UA's, "0x80340000 BadNodeIdUnknown"; `exception` is Modbus's exception code. `do`: what to do
    about it, when the driver knows better than what is said of every tag in this state.
    """

    state: TagState
    detail: str = ""
    since_ns: int | None = None
    status_code: str | None = None
    exception: int | None = None
    do: str | None = None


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """What is wrong with a source although it is read: `what`, since when, and what to do."""

    what: str
    since_ns: int | None = None
    do: str | None = None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """How a source is. `tags` holds, by name, those whose state their newest reading does not show.

    `time_skew_s`: the device's clock minus ours; None while it is not known. `figures`: what the driver counts and
    measures, by the names docs/CLI_OUTPUT.md gives them; JSON values.
    """

    tags: Mapping[str, TagReport] = field(default_factory=dict)
    problems: tuple[SourceProblem, ...] = ()
    time_skew_s: float | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
