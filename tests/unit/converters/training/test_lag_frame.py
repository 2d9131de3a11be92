"""The platform's lag transformer before a model: lags are the agent's business, the min-max scaling the graph's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import OneClassSVM

from converters.errors import UnsupportedModelError
from converters.kinds import convert, describe
from converters.proof.parity import measure
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import feature_ids
from edge_agent.dsp.families.tag_history import NAME, TagHistoryExtractor, histories

N_LAGS = 3
NAMES = (*(f"value_lag_{lag}" for lag in range(1, N_LAGS + 1)), "value", "quality")


class SensorFeatureTransformer(TransformerMixin, BaseEstimator):
    """What the platform's transformer does, under its name and with its attributes."""

    def __init__(self, n_lags: int = N_LAGS, scale_columns: tuple[str, ...] = ("value", "quality")) -> None:
        self.n_lags = n_lags
        self.scale_columns = scale_columns
        self.scaler = MinMaxScaler()

    def fit(self, table: pd.DataFrame, y: object = None) -> SensorFeatureTransformer:
        self.scaler.fit(table[list(self.scale_columns)])
        return self

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        lags = {f"value_lag_{lag}": table["value"].shift(lag).ffill().bfill() for lag in range(1, self.n_lags + 1)}
        scaled = self.scaler.transform(table[list(self.scale_columns)])
        return pd.DataFrame(lags | {f"{name}_scaled": scaled[:, i] for i, name in enumerate(self.scale_columns)})


def series(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return pd.DataFrame({"value": 20 + rng.standard_normal(n).cumsum(), "quality": rng.uniform(0.8, 1.0, n)})


def raw_rows(table: pd.DataFrame) -> NDArray[np.float64]:
    """The model's inputs as the agent's feature family computes them, histories filled with their first value."""
    spec = FeatureSpec(NAME, feature_ids(NAME, *NAMES), parameters={"n_lags": N_LAGS, "step_s": 60.0})
    inputs = histories(table["value"].to_numpy(), table["quality"].to_numpy(), n_lags=N_LAGS)
    values, is_usable = TagHistoryExtractor(spec).extract(np.asarray(inputs, np.float32)[np.newaxis])
    assert is_usable.all()
    return values[0].astype(np.float64)


def fitted(*steps: object) -> Pipeline:
    return make_pipeline(SensorFeatureTransformer(), *steps).fit(series())


@pytest.mark.parametrize(
    "steps",
    [
        (IsolationForest(n_estimators=20, random_state=0),),
        (StandardScaler(), IsolationForest(n_estimators=20, random_state=0)),
        (StandardScaler(), OneClassSVM(nu=0.1)),
    ],
    ids=["forest", "scaled again, forest", "scaled again, svm"],
)
def test_graph_takes_raw_lags_and_agrees_with_the_pipeline(steps: tuple[object, ...]) -> None:
    pipeline, rows = fitted(*steps), raw_rows(series())
    model = convert(pipeline, feature_names=NAMES)
    assert model.own_threshold is not None
    assert measure(model, rows, threshold=model.own_threshold, min_rows=10_000).verdict_flips == 0


def test_source_score_of_the_agents_rows_is_that_of_the_whole_series() -> None:
    pipeline = fitted(IsolationForest(n_estimators=20, random_state=0))
    model = convert(pipeline, feature_names=NAMES)
    table = series().astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(model.source_score(raw_rows(table)), -pipeline.score_samples(table))


def test_description_says_that_lags_and_scaling_were_in_front() -> None:
    assert describe(fitted(IsolationForest(n_estimators=2)), len(NAMES)).kind == "lags, MinMaxScaler + IsolationForest"


def test_other_features_than_the_transformer_makes_are_refused_with_the_right_ones() -> None:
    pipeline = fitted(IsolationForest(n_estimators=2))
    with pytest.raises(UnsupportedModelError, match="makes 5 columns, 4 features are named") as refused:
        convert(pipeline, feature_names=NAMES[:4])
    assert refused.value.hint == f"name them in this order: {', '.join(NAMES)}"
    with pytest.raises(UnsupportedModelError, match="another order than in training"):
        convert(pipeline, feature_names=NAMES[::-1])


def test_transformer_that_kept_more_columns_is_refused() -> None:
    pipeline = fitted(IsolationForest(n_estimators=2))
    pipeline[0]._feature_names = ["temperature", "value_lag_1", "value_scaled"]
    with pytest.raises(UnsupportedModelError, match="gave the columns temperature"):
        convert(pipeline, feature_names=NAMES)
