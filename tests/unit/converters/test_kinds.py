"""Each kind of model through one door: its graph agrees with its source; what has no graph is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, OneClassSVM

from converters.errors import UnsupportedModelError
from converters.graphs.converted import ConvertedModel
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from converters.kinds import KINDS, ScoreOptions, convert, describe
from converters.proof.parity import measure, parity_rows
from edge_agent.bundles.onnx_runtime import OnnxModel

WIDTH = 5
NAMES = tuple(f"tag_{index}" for index in range(WIDTH))
LOW_IS_BAD = ScoreOptions(higher_is_anomalous=False)


def training_rows(n: int = 500) -> NDArray[np.float64]:
    """Correlated columns with scales from 1e-3 to 1e3, some far from zero."""
    rng = np.random.default_rng(3)
    scales = 10.0 ** np.linspace(-3, 3, WIDTH)
    offsets = scales * np.array([0, 1, -1000, 3, 100])
    return rng.standard_normal((n, WIDTH)) @ rng.standard_normal((WIDTH, WIDTH)) * scales + offsets


ROWS = training_rows()
MOVED = (ROWS[:, 0] - ROWS[:, 0].mean()) * (ROWS[:, 1] - ROWS[:, 1].mean())
LABELS = (np.median(MOVED) < MOVED).astype(int)
WITH_GAPS = np.where(np.random.default_rng(4).random(ROWS.shape) < 0.1, np.nan, ROWS)


def gbm(kind: type = lightgbm.LGBMClassifier, **options: Any) -> Any:
    return kind(n_estimators=30, min_child_samples=5, n_jobs=1, verbose=-1, **options)


def booster(**parameters: Any) -> lightgbm.Booster:
    data = lightgbm.Dataset(ROWS, LABELS.astype(float), params={"verbose": -1})
    return lightgbm.train({"verbose": -1, "num_threads": 1, **parameters}, data, num_boost_round=20)


def fitted(*steps: Any, target: Any = LABELS) -> Pipeline:
    return make_pipeline(*steps).fit(ROWS, target)


def converted(model: Any, options: ScoreOptions | None = None) -> ConvertedModel:
    return convert(model, feature_names=NAMES, options=options)


CASES: dict[str, tuple[Callable[[], Any], ScoreOptions]] = {
    "isolation forest": (
        lambda: fitted(StandardScaler(), IsolationForest(n_estimators=20, random_state=0)),
        ScoreOptions(),
    ),
    "isolation forest alone": (lambda: IsolationForest(n_estimators=20, random_state=0).fit(ROWS), ScoreOptions()),
    "random forest": (lambda: fitted(RobustScaler(), RandomForestClassifier(20, random_state=0)), ScoreOptions()),
    "one-class svm": (lambda: fitted(StandardScaler(), OneClassSVM(nu=0.1)), ScoreOptions()),
    "one-class svm, linear": (lambda: fitted(StandardScaler(), OneClassSVM(kernel="linear", nu=0.1)), ScoreOptions()),
    "one-class svm, poly": (lambda: fitted(MinMaxScaler(), OneClassSVM(kernel="poly", coef0=1.0)), ScoreOptions()),
    "one-class svm, sigmoid": (
        lambda: fitted(StandardScaler(), OneClassSVM(kernel="sigmoid", gamma=0.1, nu=0.3)),
        ScoreOptions(),
    ),
    "svc": (lambda: fitted(StandardScaler(), SVC()), ScoreOptions()),
    "svc, large C": (lambda: fitted(RobustScaler(), SVC(C=1_000.0)), ScoreOptions()),
    "svc, class 0": (lambda: fitted(MinMaxScaler(), SVC()), ScoreOptions(anomalous_class=0)),
    "svc, linear": (lambda: fitted(StandardScaler(), SVC(kernel="linear")), ScoreOptions()),
    "lightgbm": (lambda: fitted(StandardScaler(), gbm()), ScoreOptions()),
    "lightgbm alone": (lambda: gbm().fit(ROWS, LABELS), ScoreOptions()),
    "lightgbm, class 0": (lambda: fitted(MinMaxScaler(), gbm()), ScoreOptions(anomalous_class=0)),
    "lightgbm regression": (lambda: fitted(RobustScaler(), gbm(lightgbm.LGBMRegressor)), ScoreOptions()),
    "lightgbm regression, low is bad": (
        lambda: fitted(StandardScaler(), gbm(lightgbm.LGBMRegressor), target=100 + 5 * LABELS),
        LOW_IS_BAD,
    ),
    "lightgbm poisson, low is bad": (
        lambda: fitted(StandardScaler(), gbm(lightgbm.LGBMRegressor, objective="poisson")),
        LOW_IS_BAD,
    ),
    "lightgbm forest": (
        lambda: fitted(gbm(boosting_type="rf", subsample=0.7, subsample_freq=1)),
        ScoreOptions(),
    ),
    "booster": (lambda: booster(objective="binary"), ScoreOptions()),
    "booster, low is bad": (lambda: booster(objective="cross_entropy"), LOW_IS_BAD),
    "gradient boosting": (
        lambda: fitted(StandardScaler(), GradientBoostingClassifier(n_estimators=30, random_state=0)),
        ScoreOptions(),
    ),
    "gradient boosting, class 0": (
        lambda: GradientBoostingClassifier(n_estimators=20, init="zero", subsample=0.7, random_state=0).fit(
            ROWS, LABELS
        ),
        ScoreOptions(anomalous_class=0),
    ),
    "gradient boosting, exponential": (
        lambda: fitted(RobustScaler(), GradientBoostingClassifier(n_estimators=20, loss="exponential", random_state=0)),
        ScoreOptions(),
    ),
    "histogram boosting": (
        lambda: fitted(StandardScaler(), HistGradientBoostingClassifier(max_iter=30)),
        ScoreOptions(),
    ),
    "histogram boosting, class 0, string classes": (
        lambda: HistGradientBoostingClassifier(max_iter=20).fit(ROWS, np.where(LABELS > 0, "worn", "fine")),
        ScoreOptions(anomalous_class="fine"),
    ),
    "histogram boosting, trained with gaps": (
        lambda: HistGradientBoostingClassifier(max_iter=20).fit(WITH_GAPS, LABELS),
        ScoreOptions(),
    ),
    "isolation forest, trained with gaps": (
        lambda: IsolationForest(n_estimators=20, random_state=0).fit(WITH_GAPS),
        ScoreOptions(),
    ),
    "elliptic envelope": (lambda: EllipticEnvelope(random_state=0).fit(ROWS), ScoreOptions()),
    "elliptic envelope, scaled": (
        lambda: fitted(RobustScaler(), EllipticEnvelope(random_state=0, store_precision=False)),
        ScoreOptions(),
    ),
    "three scalers": (
        lambda: fitted(RobustScaler(), MinMaxScaler((-2, 3)), StandardScaler(), gbm()),
        ScoreOptions(),
    ),
    "three scalers and svm": (
        lambda: fitted(
            MaxAbsScaler(), RobustScaler(with_scaling=False), StandardScaler(with_mean=False), OneClassSVM()
        ),
        ScoreOptions(),
    ),
    "clipping scaler and trees": (
        lambda: fitted(MinMaxScaler(clip=True), RandomForestClassifier(10, random_state=0)),
        ScoreOptions(),
    ),
    "pipeline in a pipeline": (
        lambda: fitted(make_pipeline(RobustScaler(), "passthrough"), IsolationForest(n_estimators=10, random_state=0)),
        ScoreOptions(),
    ),
}


def line_of(model: ConvertedModel) -> float:
    """Its own threshold, or a number near the middle of its scores that no row stands on."""
    return model.own_threshold if model.own_threshold is not None else float(np.median(model.source_score(ROWS))) + 1e-4


@pytest.mark.parametrize("case", CASES)
def test_graph_agrees_with_its_source(case: str) -> None:
    make, options = CASES[case]
    model = converted(make(), options)
    figures = measure(model, ROWS, threshold=line_of(model), min_rows=10_000)
    assert figures.rows >= 10_000
    assert figures.verdict_flips == 0
    assert figures.max_abs_difference <= model.max_difference


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (lambda: fitted(StandardScaler(), OneClassSVM(nu=0.1)), 1e-5),
        (lambda: fitted(StandardScaler(), SVC()), 1e-5),
        (lambda: fitted(RobustScaler(), MinMaxScaler(), gbm()), 4e-6),
        (lambda: fitted(RobustScaler(), GradientBoostingClassifier(n_estimators=50)), 4e-6),
        (lambda: fitted(StandardScaler(), HistGradientBoostingClassifier(max_iter=50)), 4e-6),
        (lambda: fitted(RobustScaler(), EllipticEnvelope()), 1e-5),
    ],
    ids=["one-class svm", "svc", "lightgbm", "gradient boosting", "histogram boosting", "elliptic envelope"],
)
def test_graph_agrees_on_a_hundred_thousand_rows(model: Callable[[], Any], limit: float) -> None:
    graph = converted(model())
    figures = measure(graph, ROWS, threshold=line_of(graph))
    assert figures.rows >= 100_000
    assert figures.verdict_flips == 0
    assert figures.max_abs_difference <= limit


def test_svc_probability_is_the_sigmoid_of_the_margin_and_near_the_sources_own() -> None:
    with pytest.warns(FutureWarning, match="probability"):  # scikit-learn will drop it; models of today have it
        source = fitted(StandardScaler(), SVC(probability=True, random_state=0))
    model = converted(source, ScoreOptions(output="probability"))
    figures = measure(model, ROWS, threshold=0.5, min_rows=10_000)
    assert figures.verdict_flips == 0
    assert np.abs(model.source_score(ROWS) - source.predict_proba(ROWS)[:, 1]).max() < 0.02
    turned = converted(source, ScoreOptions(anomalous_class=0, output="probability"))
    np.testing.assert_allclose(turned.source_score(ROWS), 1 - model.source_score(ROWS), atol=1e-12)
    assert measure(turned, ROWS, threshold=0.5, min_rows=10_000).verdict_flips == 0


@pytest.mark.parametrize(
    ("source", "score"),
    [
        (lambda: fitted(StandardScaler(), OneClassSVM(nu=0.1)), lambda p: -p.decision_function(ROWS)),
        (lambda: fitted(StandardScaler(), SVC()), lambda p: p.decision_function(ROWS)),
        (lambda: fitted(StandardScaler(), gbm()), lambda p: p.predict_proba(ROWS)[:, 1]),
        (lambda: fitted(StandardScaler(), gbm(lightgbm.LGBMRegressor)), lambda p: p.predict(ROWS)),
        (lambda: fitted(GradientBoostingClassifier(n_estimators=9)), lambda p: p.predict_proba(ROWS)[:, 1]),
        (lambda: fitted(HistGradientBoostingClassifier(max_iter=9)), lambda p: p.predict_proba(ROWS)[:, 1]),
        (lambda: fitted(EllipticEnvelope()), lambda p: np.sqrt(-p.score_samples(ROWS))),
    ],
    ids=[
        "one-class svm",
        "svc",
        "lightgbm",
        "lightgbm regression",
        "gradient boosting",
        "histogram boosting",
        "elliptic envelope",
    ],
)
def test_source_score_is_what_the_pipeline_itself_gives(
    source: Callable[[], Any], score: Callable[[Any], NDArray[np.float64]]
) -> None:
    pipeline = source()
    np.testing.assert_array_equal(converted(pipeline).source_score(ROWS), score(pipeline))


@pytest.mark.parametrize(
    ("machine", "first", "casts"),
    [
        (OneClassSVM(nu=0.9, gamma=1e-6), "Clip", 2),
        (OneClassSVM(nu=0.9, gamma=3.0), "Cast", 4),
        (SVC(C=1e5), "Cast", 2),
    ],
    ids=["exponent and exponential in float32", "exponential in float32", "all in float64"],
)
def test_rbf_kernel_takes_the_fastest_precision_that_holds(machine: Any, first: str, casts: int) -> None:
    model = converted(fitted(StandardScaler(), machine))
    nodes = [node.op_type for node in onnx.load_from_string(model.onnx).graph.node]
    assert (nodes[0], nodes.count("Cast")) == (first, casts)
    assert measure(model, ROWS, threshold=0.0, min_rows=10_000).verdict_flips == 0


def test_outlier_scores_higher_in_a_one_class_svm() -> None:
    model = converted(fitted(StandardScaler(), OneClassSVM(nu=0.1)))
    rows = np.stack([ROWS.mean(axis=0), ROWS.mean(axis=0) + 20 * ROWS.std(axis=0)]).astype(np.float32)
    runtime = OnnxModel(model.onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=WIDTH)
    normal, far = runtime.score(rows)
    assert normal < 0 < far


def test_lightgbm_is_one_tree_operator_whatever_stands_in_front() -> None:
    model = converted(fitted(RobustScaler(), MinMaxScaler(), gbm()))
    nodes = [node.op_type for node in onnx.load_from_string(model.onnx).graph.node]
    assert nodes == ["TreeEnsembleRegressor", "Sigmoid", "Reshape"]


def test_model_without_splits_is_tried_on_both_sides_of_its_threshold() -> None:
    model = converted(fitted(StandardScaler(), OneClassSVM(nu=0.1)))
    rows = parity_rows(model, ROWS, threshold=0.0, min_rows=5_000)
    scores = model.source_score(rows.astype(np.float64))
    near = np.abs(scores) < 1e-3
    assert (scores[near] > 0).sum() > 100
    assert (scores[near] < 0).sum() > 100


def test_random_forest_of_named_classes_scores_the_one_named() -> None:
    labels = np.array(["good", "worn", "broken"])[np.arange(len(ROWS)) % 3]
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)).fit(ROWS, labels)
    model = converted(forest, ScoreOptions(anomalous_class="broken"))
    np.testing.assert_array_equal(model.source_score(ROWS), forest.predict_proba(ROWS)[:, 0])
    assert measure(model, ROWS, threshold=0.455, min_rows=10_000).verdict_flips == 0


def test_pipeline_fitted_on_a_table_is_scored_under_its_columns_names() -> None:
    pipeline = make_pipeline(StandardScaler(), IsolationForest(n_estimators=10, random_state=0))
    pipeline.fit(pd.DataFrame(ROWS, columns=list(NAMES)))
    assert measure(converted(pipeline), ROWS, threshold=0.4567, min_rows=5_000).verdict_flips == 0
    with pytest.raises(UnsupportedModelError, match="another order than in training: tag_0, tag_1"):
        convert(pipeline, feature_names=NAMES[::-1])


IN_STEPS = np.where(np.arange(WIDTH) == 0, np.arange(len(ROWS))[:, None] % 4, ROWS)


def without(model: Any, attribute: str) -> Any:
    """As it comes from a file of another version."""
    model.fit(ROWS, LABELS)
    delattr(model, attribute)
    return model


def led_astray() -> Any:
    """A file that was changed: its source would follow the tree in C, for ever."""
    model = HistGradientBoostingClassifier(max_iter=2).fit(ROWS, LABELS)
    model._predictors[0][0].nodes["left"][0] = 0
    return model


def within_itself() -> Any:
    model = Pipeline([("only", None)])
    model.steps = [("only", model)]
    return model


def beyond_its_features(model: Any) -> Any:
    fitted(model)
    if isinstance(model, HistGradientBoostingClassifier):
        model._predictors[0][0].nodes["feature_idx"][0] = 120
    else:
        model.estimators_[0].tree_.feature[0] = 120
    return model


class Unfamiliar:
    """A model nobody has a converter for."""


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (lambda: Unfamiliar(), ScoreOptions(), "there is no converter for .*Unfamiliar; there are: .*lightgbm.Booster"),
        (lambda: ROWS, ScoreOptions(), "there is no converter for numpy.ndarray"),
        (lambda: None, ScoreOptions(), "the pipeline ends without a model"),
        (lambda: Pipeline([]), ScoreOptions(), "the pipeline ends without a model"),
        (lambda: Pipeline([StandardScaler()]), ScoreOptions(), "no pairs of a name and a step"),
        (lambda: within_itself(), ScoreOptions(), "pipelines 16 deep, or itself"),
        (lambda: beyond_its_features(RandomForestClassifier(2)), ScoreOptions(), "a feature it does not have"),
        (lambda: beyond_its_features(IsolationForest(n_estimators=2)), ScoreOptions(), "a feature it does not have"),
        (
            lambda: beyond_its_features(HistGradientBoostingClassifier(max_iter=2)),
            ScoreOptions(),
            "a feature it does not have",
        ),
        (lambda: led_astray(), ScoreOptions(), "a tree of this model leads out of itself"),
        (
            lambda: fitted(ExtraTreesClassifier(n_estimators=2)),
            ScoreOptions(),
            "no converter for sklearn.ExtraTrees",
        ),
        (
            lambda: fitted(RandomForestClassifier(2), target=np.stack([LABELS, 1 - LABELS], axis=1)),
            ScoreOptions(),
            "RandomForestClassifier answers 2 questions at once",
        ),
        (lambda: fitted(RandomForestClassifier(2), target=LABELS * 0), ScoreOptions(), "knows one class only, 0"),
        (
            lambda: fitted(RandomForestClassifier(2), target=np.arange(len(ROWS)) % 3),
            ScoreOptions(),
            r"the classes are \[0, 1, 2\].*must be named",
        ),
        (
            lambda: fitted(GradientBoostingClassifier(n_estimators=2), target=np.arange(len(ROWS)) % 3),
            ScoreOptions(anomalous_class=2),
            "tells 3 classes apart",
        ),
        (
            lambda: fitted(GradientBoostingClassifier(n_estimators=2, init=RandomForestClassifier(2))),
            ScoreOptions(),
            "begins with what a RandomForestClassifier says",
        ),
        (
            lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(IN_STEPS, LABELS),
            ScoreOptions(),
            "splits on categories",
        ),
        (
            lambda: fitted(MinMaxScaler(clip=True), EllipticEnvelope()),
            ScoreOptions(),
            "clips its values",
        ),
        (lambda: EllipticEnvelope(), ScoreOptions(), "this EllipticEnvelope is not fitted"),
        (lambda: without(HistGradientBoostingClassifier(max_iter=2), "_predictors"), ScoreOptions(), "cannot be read"),
        (lambda: without(GradientBoostingClassifier(n_estimators=2), "init_"), ScoreOptions(), "cannot be read"),
        (lambda: without(RandomForestClassifier(2), "estimators_"), ScoreOptions(), "cannot be read .*AttributeError"),
        (
            lambda: fitted(PCA(3), IsolationForest(n_estimators=2)),
            ScoreOptions(),
            "step 'pca' of the pipeline is a PCA",
        ),
        (
            lambda: Pipeline(
                [
                    ("columns", ColumnTransformer([("s", StandardScaler(), [0, 1])])),
                    ("m", IsolationForest(n_estimators=2)),
                ]
            ),
            ScoreOptions(),
            "step 'columns' of the pipeline is a ColumnTransformer",
        ),
        (lambda: IsolationForest(), ScoreOptions(), "this IsolationForest is not fitted"),
        (lambda: fitted(StandardScaler()), ScoreOptions(), "no converter for sklearn.StandardScaler"),
        (
            lambda: IsolationForest(n_estimators=2).fit(ROWS[:, :3]),
            ScoreOptions(),
            "was fitted on 3 features, 5 are named",
        ),
        (
            lambda: fitted(StandardScaler(), OneClassSVM()),
            ScoreOptions(anomalous_class=1),
            "anomalous_class says nothing",
        ),
        (lambda: fitted(StandardScaler(), SVC()), ScoreOptions(output="probability"), "without probability=True"),
        (lambda: fitted(StandardScaler(), SVC()), ScoreOptions(anomalous_class=7), "knows no class 7"),
        (
            lambda: fitted(SVC(), target=np.arange(len(ROWS)) % 3),
            ScoreOptions(anomalous_class=2),
            "tells 3 classes apart",
        ),
        (lambda: fitted(SVC(), target=LABELS * 2), ScoreOptions(), r"the classes are \[0, 2\].*must be named"),
        (
            lambda: fitted(SVC(kernel=lambda a, b: a @ b.T)),
            ScoreOptions(),
            "SVC with the kernel .* has no graph here; known: rbf, linear",
        ),
        (lambda: fitted(MinMaxScaler(clip=True), OneClassSVM()), ScoreOptions(), "a scaler clips its values"),
        (lambda: booster(objective="multiclass", num_class=3), ScoreOptions(), "tells 3 classes apart"),
        (lambda: booster(objective="regression", reg_sqrt=True), ScoreOptions(), "objective 'regression sqrt'"),
        (lambda: booster(objective="regression", linear_tree=True), ScoreOptions(), "linear leaves"),
    ],
)
def test_what_has_no_graph_is_refused_by_name(model: Callable[[], Any], options: ScoreOptions, words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=words) as refused:
        convert(model(), feature_names=NAMES, options=options)
    assert refused.value.hint or "StandardScaler" in refused.value.message


def test_search_is_refused_with_a_word_about_its_best_model() -> None:
    search = GridSearchCV(RandomForestClassifier(2), {"max_depth": [1]}, cv=2).fit(ROWS, LABELS)
    with pytest.raises(UnsupportedModelError) as refused:
        converted(search)
    assert refused.value.hint == "save its best_estimator_ instead of the search"


def test_categorical_split_is_refused_with_the_features_name() -> None:
    rows = ROWS.copy()
    rows[:, 3] = np.arange(len(rows)) % 7
    labels = (rows[:, 3] == 4).astype(int)
    model = gbm(min_data_per_group=1, cat_smooth=0.0).fit(
        rows, labels, categorical_feature=[3], feature_name=list(NAMES)
    )
    with pytest.raises(UnsupportedModelError, match="feature tag_3 is split by categories"):
        converted(model)


def test_zero_taken_for_missing_is_refused_where_it_changes_the_way() -> None:
    rows = np.random.default_rng(0).standard_normal(ROWS.shape)
    rows[::3, 0] = 0.0
    labels = ((rows[:, 0] > 1.0) | (rows[:, 0] == 0.0)).astype(float)
    data = lightgbm.Dataset(rows, labels, params={"verbose": -1, "zero_as_missing": True})
    model = lightgbm.train({"verbose": -1, "objective": "regression", "zero_as_missing": True}, data, 20)
    with pytest.raises(UnsupportedModelError, match="takes zero for missing"):
        converted(model)


def test_description_names_scalers_model_and_plain_hyperparameters() -> None:
    told = describe(fitted(RobustScaler(), MinMaxScaler(), OneClassSVM(nu=0.1)), WIDTH)
    assert told.kind == "RobustScaler + MinMaxScaler + OneClassSVM"
    assert told.hyperparameters["nu"] == 0.1
    assert set(told.libraries) == {"scikit-learn", "numpy"}


def test_description_leaves_out_what_json_cannot_hold() -> None:
    told = describe(fitted(SVC(C=np.inf, tol=1e-2, gamma="auto")), WIDTH)
    assert "C" not in told.hyperparameters
    assert told.hyperparameters["tol"] == 1e-2


def test_every_known_kind_is_converted_in_a_case_above() -> None:
    tried = {type(make()[-1] if isinstance(make(), Pipeline) else make()).__name__ for make, _ in CASES.values()}
    assert {kind.name for kind in KINDS.values() if not kind.inputs} <= tried  # Prophet: test_prophet_convert


def test_same_model_gives_the_same_bytes() -> None:
    source = fitted(StandardScaler(), SVC())
    assert converted(source).onnx == converted(source).onnx


def test_a_model_that_lost_one_of_its_parameters_is_refused() -> None:
    model = without(HistGradientBoostingClassifier(max_iter=2), "l2_regularization")
    with pytest.raises(UnsupportedModelError, match="cannot be read with the libraries installed here: AttributeError"):
        describe(model, WIDTH)
