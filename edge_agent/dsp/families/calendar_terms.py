"""Terms of an instant, UTC. Its "samples" are whole days since 1970-01-01 and whole seconds of that day.

Constraints
- One float32 cannot hold a time of today (its steps are over two minutes); a day number and a second of the day are
  exact in it, so an instant is cut to its second and travels as these two.
- UTC has no summer time: a model of a shift that follows local time sees it move twice a year.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Extracted, FamilyInput, FeatureFamily, Formula
from edge_agent.errors import SignalError

NAME: Final = "calendar"
SECONDS_PER_DAY: Final = 86_400
MAX_DAYS: Final = 2**24
"""Whole numbers up to here are exact in float32; 45,000 years."""

_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday, which is 3 when Monday is 0."""

_SOURCE: Final = "proleptic Gregorian calendar, UTC without leap seconds (POSIX time)"


def _formula(name: str, unit: str, definition: str, rtol: float) -> Formula:
    return Formula(NAME, name, 1, unit, definition, _SOURCE, rtol)


FORMULAS: Final = (
    _formula("day_number", "d", "floor(t / 86400), t in whole seconds since 1970-01-01", 0.0),
    _formula("second_of_day", "s", "t - 86400 day_number", 0.0),
    _formula("hour", "h", "floor(second_of_day / 3600), 0..23", 0.0),
    _formula("day_of_week", "", "(day_number + 3) mod 7, Monday is 0", 0.0),
    _formula("day_sin", "", "sin(2 pi second_of_day / 86400)", 1e-6),
    _formula("day_cos", "", "cos(2 pi second_of_day / 86400)", 1e-6),
    _formula("week_sin", "", "sin(2 pi (day_of_week + second_of_day / 86400) / 7)", 1e-6),
    _formula("week_cos", "", "cos(2 pi (day_of_week + second_of_day / 86400) / 7)", 1e-6),
)


def day_and_second(time_ns: int) -> tuple[int, int]:
    """Return whole days since 1970-01-01 UTC and whole seconds of that day, of a time in ns since the epoch."""
    return divmod(time_ns // 1_000_000_000, SECONDS_PER_DAY)


def is_instant(days: Samples, seconds: Samples) -> NDArray[np.bool_]:
    """Return where a pair is one that `day_and_second` can give: whole, and the second within its day."""
    with np.errstate(invalid="ignore"):
        whole = (np.floor(days) == days) & (np.floor(seconds) == seconds)
        inside = (np.abs(days) <= MAX_DAYS) & (seconds >= 0) & (seconds < SECONDS_PER_DAY)
    return np.asarray(whole & inside, dtype=np.bool_)


class CalendarExtractor:
    """Terms of instants, shape (n_channels, n_instants, 2): day number and second of the day."""

    def __init__(self, spec: FeatureSpec) -> None:
        if spec.parameters:
            raise SignalError(f"{NAME} takes no parameters, not {', '.join(spec.parameters)}")
        names = [formula.name for formula in FORMULAS]
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = [names.index(feature.name) for feature in spec.features]

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`. What is not a whole day and a second within it is not usable."""
        if samples.ndim != 3 or samples.shape[-1] != 2:
            raise SignalError(
                f"these instants have shape {samples.shape}; {NAME} takes (n_channels, n_instants, 2):"
                " day number and second of the day"
            )
        is_usable = is_instant(samples[..., 0], samples[..., 1])
        sound = np.where(is_usable[..., np.newaxis], samples, 0.0).astype(np.float64)
        values = _terms(sound[..., 0], sound[..., 1])[..., self._columns].astype(np.float32)
        values[~is_usable] = np.nan
        return values, is_usable


def _terms(day: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """All terms in the order of FORMULAS, (..., 8)."""
    weekday = np.mod(day + _EPOCH_WEEKDAY, 7.0)
    of_day = 2.0 * np.pi * second / SECONDS_PER_DAY
    of_week = 2.0 * np.pi * (weekday + second / SECONDS_PER_DAY) / 7.0
    hour = np.floor(second / 3600.0)
    terms = [day, second, hour, weekday, np.sin(of_day), np.cos(of_day), np.sin(of_week), np.cos(of_week)]
    return np.stack(terms, axis=-1)


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Calendar",
    about="Terms of an instant, UTC.",
    build=CalendarExtractor,
    formulas=FORMULAS,
    takes=FamilyInput.INSTANT,
)
