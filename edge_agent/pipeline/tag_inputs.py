"""From the newest readings of tags to the features of one row, for each family a tag model may ask for. Pure.

Constraints
- Whoever calls has found every tag of `tags` read, good and fresh; a beat on which one was not is not taken.
- A history is sampled on the model's own step. Lags never span a gap of more steps than the settings allow: over a
  longer one the history begins again, and over a clock that was set back as well.
- The features come from the model's extractor, the one its golden vectors went through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_agent.core.quality import CENTRAL_QUALITY
from edge_agent.core.tags import Reading
from edge_agent.dsp.catalog import CATALOG
from edge_agent.dsp.families.calendar_terms import day_and_second
from edge_agent.dsp.families.tag_history import histories, lags_of
from edge_agent.dsp.family_base.family import FamilyInput
from edge_agent.errors import ConfigurationError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.settings import TagModelSettings

VALUE: Final = "value"
"""The one input of a model over a single tag."""

_OF_ONE_TAG: Final = frozenset({FamilyInput.HISTORY, FamilyInput.TIMED_READING})


class TagInput(Protocol):
    """Turns readings into one row of features."""

    def take(self, latest: Mapping[str, Reading], now_ns: int) -> NDArray[np.float64] | str:
        """Return features in the model's order, (n_features,), or why there are none yet."""
        ...


def input_of(model: ScoringModel) -> FamilyInput:
    """Return what the rows of this model's family are made from."""
    return CATALOG.family(model.spec.extractor).takes


def inputs_wanted(model: ScoringModel) -> tuple[str, ...]:
    """Return the names a tag model's settings must give, as inputs or constants."""
    return (VALUE,) if input_of(model) in _OF_ONE_TAG else model.feature_names


def tag_input(settings: TagModelSettings, model: ScoringModel) -> TagInput:
    """Return what prepares this model's rows. Raises ConfigurationError where settings and model do not fit."""
    match input_of(model):
        case FamilyInput.HISTORY:
            return HistoryInput(settings, model)
        case FamilyInput.TIMED_READING:
            return ForecastInput(settings, model)
        case _:
            return SnapshotInput(settings, model)


class SnapshotInput:
    """Several tags as they are now, and constants."""

    def __init__(self, settings: TagModelSettings, model: ScoringModel) -> None:
        self._inputs = settings.inputs
        self._constants = settings.constants
        self._names = model.feature_names

    def take(self, latest: Mapping[str, Reading], now_ns: int) -> NDArray[np.float64] | str:
        """See `TagInput.take`."""
        return np.array([self._value(name, latest) for name in self._names])

    def _value(self, name: str, latest: Mapping[str, Reading]) -> float:
        if name in self._constants:
            return self._constants[name]
        return _value_of(latest[self._inputs[name]])


class HistoryInput:
    """One tag now and at the steps before. Takes a reading at every beat, scored or not."""

    def __init__(self, settings: TagModelSettings, model: ScoringModel) -> None:
        step_s = float(model.spec.parameters.get("step_s", settings.interval_s))
        if abs(settings.interval_s - step_s) > 1e-6 * step_s:
            raise ConfigurationError(
                f"tag_models {settings.name!r}: interval_s is {settings.interval_s:g}, but {model.name} was trained on"
                f" readings {step_s:g} s apart",
                hint=f"set interval_s = {step_s:g}",
            )
        self._tag = _only_tag(settings)
        self._model = model
        self._step_ns = round(step_s * 1e9)
        self._longest_ns = round((settings.max_gap_steps + 1.5) * step_s * 1e9)
        self._n_lags = lags_of(model.spec)
        self._readings: deque[tuple[float, float]] = deque(maxlen=self._n_lags + 1)
        self._newest_ns: int | None = None

    def take(self, latest: Mapping[str, Reading], now_ns: int) -> NDArray[np.float64] | str:
        """See `TagInput.take`."""
        self._drop_outdated(now_ns)
        reading = latest[self._tag]
        self._readings.append((_value_of(reading), CENTRAL_QUALITY[reading.quality]))
        self._newest_ns = now_ns
        values, qualities = zip(*self._readings, strict=True)
        row = _extracted(self._model, histories(values, qualities, n_lags=self._n_lags)[-1])
        if row is None:
            return f"{self._tag} has a history of {len(self._readings)} of {self._n_lags + 1} readings"
        return row

    def _drop_outdated(self, now_ns: int) -> None:
        if self._newest_ns is None:
            return
        since_ns = now_ns - self._newest_ns
        if not 0 <= since_ns <= self._longest_ns:
            self._readings.clear()
        elif since_ns < self._step_ns // 2:
            self._readings.pop()  # a beat caught up after a late one: still the same step


class ForecastInput:
    """One tag and the instant it was read, on our clock."""

    def __init__(self, settings: TagModelSettings, model: ScoringModel) -> None:
        self._tag = _only_tag(settings)
        self._model = model

    def take(self, latest: Mapping[str, Reading], now_ns: int) -> NDArray[np.float64] | str:
        """See `TagInput.take`."""
        reading = latest[self._tag]
        row = _extracted(self._model, [*day_and_second(reading.received_time_ns), _value_of(reading)])
        return f"{self._tag} has a value that is beyond float32" if row is None else row


def _extracted(model: ScoringModel, samples: ArrayLike) -> NDArray[np.float64] | None:
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which no extractor lets pass
        rows = np.asarray(samples, np.float64).astype(np.float32)
    values, is_usable = model.extract(rows[np.newaxis, np.newaxis])
    return values[0, 0].astype(np.float64) if is_usable[0, 0] else None


def _only_tag(settings: TagModelSettings) -> str:
    if set(settings.inputs) != {VALUE}:
        raise ConfigurationError(
            f"tag_models {settings.name!r} must have exactly the input {VALUE!r}",
            hint=f'a model over one tag: inputs = {{ {VALUE} = "<tag>" }}',
        )
    return settings.inputs[VALUE]


def _value_of(reading: Reading) -> float:
    if reading.value is None:  # the caller has refused BAD readings before
        raise ValueError(f"{reading.tag.name} has no value")
    return reading.value
