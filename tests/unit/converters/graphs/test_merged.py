"""Models over the same rows in one graph give what each gives alone."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM

from converters.errors import UnsupportedModelError
from converters.graphs.converted import ConvertedModel
from converters.graphs.merged import MERGED_OUTPUT, MergedModels, merge
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from converters.kinds import convert
from edge_agent.bundles.onnx_runtime import MergedOnnxModel, OnnxModel
from edge_agent.errors import BundleError, SignalError

WIDTH = 4
ROWS = np.random.default_rng(1).standard_normal((200, WIDTH)) * [1, 10, 0.1, 100]
LABELS = (ROWS[:, 0] * ROWS[:, 1] > 0).astype(int)


def rows(n: int) -> NDArray[np.float32]:
    return ROWS[:n].astype(np.float32)


@pytest.fixture(scope="module")
def models() -> dict[str, ConvertedModel]:
    names = [f"tag_{index}" for index in range(WIDTH)]
    sources = {
        "forest": IsolationForest(n_estimators=10, random_state=0),
        "classes": RandomForestClassifier(n_estimators=10, random_state=0),
        "margin": SVC(),
        "novelty": OneClassSVM(nu=0.1),
    }
    return {
        name: convert(make_pipeline(StandardScaler(), model).fit(ROWS, LABELS), feature_names=names)
        for name, model in sources.items()
    }


@pytest.fixture(scope="module")
def merged(models: dict[str, ConvertedModel]) -> MergedModels:
    return merge(models)


@pytest.mark.parametrize("n", [1, 7, 200])
def test_each_line_is_bit_for_bit_what_the_model_gives_alone(
    models: dict[str, ConvertedModel], merged: MergedModels, n: int
) -> None:
    scores = merged.open().score(rows(n))
    assert (scores.dtype, scores.shape) == (np.float32, (len(models), n))
    for name, line in zip(merged.names, scores, strict=True):
        alone = OnnxModel(models[name].onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=WIDTH)
        np.testing.assert_array_equal(line, alone.score(rows(n)))


def test_no_rows_have_no_scores(merged: MergedModels) -> None:
    assert merged.open().score(np.empty((0, WIDTH), np.float32)).shape == (4, 0)


def test_one_input_and_one_output_whatever_the_number_of_models(merged: MergedModels) -> None:
    graph = onnx.load_from_string(merged.onnx).graph
    assert [entry.name for entry in graph.input] == [INPUT_NAME]
    assert [entry.name for entry in graph.output] == [MERGED_OUTPUT]


def test_rows_are_checked_as_for_one_model(merged: MergedModels) -> None:
    opened = merged.open()
    with pytest.raises(BundleError, match="rows of 4 features"):
        opened.score(np.zeros((1, 5), np.float32))
    bad = rows(3)
    bad[2, 1] = np.nan
    with pytest.raises(SignalError, match="feature 1 of row 2 is not finite"):
        opened.score(bad)


def test_another_number_of_models_than_named_is_refused(merged: MergedModels) -> None:
    two = MergedOnnxModel(
        merged.onnx, input_name=INPUT_NAME, output_name=MERGED_OUTPUT, names=["a", "b"], n_features=WIDTH
    )
    with pytest.raises(BundleError, match=r"scores of shape \(4, 1\), not \(2, 1\)"):
        two.score(rows(1))


def test_models_over_other_features_are_not_merged(models: dict[str, ConvertedModel]) -> None:
    narrow = convert(IsolationForest(n_estimators=2).fit(ROWS[:, :2]), feature_names=["a", "b"])
    with pytest.raises(UnsupportedModelError, match="'narrow': 2"):
        merge({**models, "narrow": narrow})


def test_same_models_give_the_same_bytes(models: dict[str, ConvertedModel], merged: MergedModels) -> None:
    assert merge(models).onnx == merged.onnx
