"""Lag features of one tag: what it is now and what it was some readings ago. Raw values; scaling is the model's.

Constraints
- Its "samples" are histories, shape (n_channels, n_histories, 2 (n_lags + 1)): the values oldest first, then their
  qualities (0..1) oldest first. A reading from before the history began is NaN in both halves.
- A history of k < n_lags + 1 readings has the first of them in place of every older one. The platform's
  SensorFeatureTransformer gives the same when it sees a whole series at once: a lag that is not known yet is filled
  from the column's next row, and that is the series' first value. Given only the readings so far, it leaves the lags
  beyond the first reading empty; the value filled in here is nevertheless one that is known by then.
- The transformer fills a value missing in the middle with the one before, and shifts rows whatever time lies between
  them. Here a hole after the first reading makes the history unusable: a missing value is a gap, never a guess.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Extracted, FamilyInput, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.errors import SignalError

NAME: Final = "tag_history"
MAX_LAGS: Final = 24
"""The longest history a formula is registered for; the platform's longest is 12."""

FIRST_VALUE: Final = "first_value"
WHOLE: Final = "whole"
STARTS: Final = (FIRST_VALUE, WHOLE)
"""How a short history is treated: filled with its first value, or not usable until it is whole."""

_PARAMETERS: Final = ("n_lags", "start", "step_s")
_SOURCE: Final = "platform SensorFeatureTransformer: shift per sensor, filled forward, then backward"
_START: Final = "at the start the first known one"


def _lags(name: str, unit: str, what: str) -> tuple[Formula, ...]:
    return tuple(
        Formula(NAME, f"{name}_lag_{k}", 1, unit, f"{what} {k} readings before; {_START}", _SOURCE, 0.0)
        for k in range(1, MAX_LAGS + 1)
    )


FORMULAS: Final = (
    Formula(NAME, "value", 1, "signal", "the newest reading", _SOURCE, 0.0),
    Formula(NAME, "quality", 1, "", "its quality, 0..1", _SOURCE, 0.0),
    *_lags("value", "signal", "the value"),
    *_lags("quality", "", "the quality of the value"),
)


class TagHistoryExtractor:
    """Lags of histories. Parameters: `n_lags`; `start`, one of STARTS; `step_s`, the time between two readings.

    `step_s` is for whoever collects the readings: arithmetic on a history does not need it.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        parameters = Parameters(NAME, spec.parameters, known=_PARAMETERS)
        parameters.positive("step_s")
        self._width = lags_of(spec) + 1
        self._needs_whole = parameters.choice("start", FIRST_VALUE, known=STARTS) == WHOLE
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = [self._column(feature.name) for feature in spec.features]

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`. Not usable: no newest reading, or a hole after the first one."""
        if samples.ndim != 3 or samples.shape[-1] != 2 * self._width:
            raise SignalError(
                f"these histories have shape {samples.shape}; this extractor takes (n_channels, n_histories,"
                f" {2 * self._width}): {self._width} values, oldest first, then their qualities"
            )
        halves = np.stack([samples[..., : self._width], samples[..., self._width :]], axis=-2)
        is_known = np.isfinite(halves).all(axis=-2)
        first = np.argmax(is_known, axis=-1)[..., np.newaxis]
        is_since_first = np.arange(self._width) >= first
        is_usable = (is_known == is_since_first).all(axis=-1)
        if self._needs_whole:
            is_usable &= is_known.all(axis=-1)
        at_first = np.take_along_axis(halves, first[..., np.newaxis], axis=-1)
        filled = np.where(is_since_first[..., np.newaxis, :], halves, at_first).reshape(samples.shape)
        values = filled[..., self._columns].astype(np.float32)
        values[~is_usable] = np.nan
        return values, np.asarray(is_usable, dtype=np.bool_)

    def _column(self, name: str) -> int:
        kind, _, lag = name.partition("_lag_")
        back = int(lag) if lag else 0
        if back >= self._width:
            raise SignalError(f"{name} needs n_lags of at least {back}, the spec says {self._width - 1}")
        return (1 if kind == "value" else 2) * self._width - 1 - back


def lags_of(spec: FeatureSpec) -> int:
    """Return how many readings before the newest one a history of this spec holds. Raises SignalError."""
    parameters = Parameters(NAME, {"n_lags": spec.parameters.get("n_lags", 0)}, known=("n_lags",))
    n_lags = parameters.whole("n_lags", at_least=1)
    if n_lags > MAX_LAGS:
        raise SignalError(f"{NAME}: n_lags must be {MAX_LAGS} at most, not {n_lags}")
    return n_lags


def histories(values: ArrayLike, qualities: ArrayLike, *, n_lags: int) -> NDArray[np.float32]:
    """Return one history per reading of an unbroken series: (n,) values and qualities -> (n, 2 (n_lags + 1)).

    Each holds its reading and what came before it, nothing later.
    """
    padding = np.full(n_lags, np.nan, np.float32)
    halves = [
        np.lib.stride_tricks.sliding_window_view(np.concatenate([padding, np.asarray(half, np.float32)]), n_lags + 1)
        for half in (values, qualities)
    ]
    return np.concatenate(halves, axis=1)


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="History of one tag",
    about="What the platform's lag transformer makes of a scalar sensor; scaling is in the graph.",
    build=TagHistoryExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    takes=FamilyInput.HISTORY,
)
