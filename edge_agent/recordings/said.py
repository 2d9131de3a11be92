"""What a person says about recordings, where their files say nothing, something else, or too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DecimalSign = Literal[".", ","]
DECIMAL_SIGNS: Final[dict[str, DecimalSign]] = {"comma": ",", "point": "."}


@dataclass(frozen=True, slots=True)
class Said:
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


NOTHING_SAID: Final = Said()
