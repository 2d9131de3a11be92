"""What a person says about recordings, where their files say nothing, something else, or too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.errors import RecordingError

DecimalSign = Literal[".", ","]
DECIMAL_SIGNS: Final[dict[str, DecimalSign]] = {"comma": ",", "point": "."}


@dataclass(frozen=True, slots=True)
class Overrides:
    """`rate_hz`: of files that carry none. `expected_rate_hz`: what a model was trained at; taken for such files too,
    and a hint for time columns. `unit`: of the samples, whatever the file says. `wanted_unit`: what they shall be in.
    `columns`: names, or numbers from 1 as the file has them. `decimal`: the sign, where a file leaves it open.
    """

    rate_hz: float | None = None
    expected_rate_hz: float | None = None
    unit: str | None = None
    wanted_unit: str | None = None
    columns: tuple[str, ...] = ()
    decimal: DecimalSign | None = None

    @property
    def near_hz(self) -> float | None:
        return self.rate_hz if self.rate_hz is not None else self.expected_rate_hz


NO_OVERRIDES: Final = Overrides()


def channels_named(words: Sequence[str], names: Sequence[str], file: str) -> list[int]:
    """Return the places of the channels that a person named, or numbered from 1. Raises RecordingError."""
    places = []
    for word in words:
        if word in names:
            places.append(names.index(word))
        elif word.isdigit() and 1 <= int(word) <= len(names):
            places.append(int(word) - 1)
        else:
            raise RecordingError(f"{file} has no channel {word!r}", hint=f"its channels are: {', '.join(names)[:300]}")
    return places
