"""The kinds of models there are converters for, and the one door through which all of them go.

A kind is found by the package and the name of its class, so that a library is imported only when a model of it comes
along. Another kind is one more `add_kind` with a function from (Scaling, model, ScoreOptions) to ConvertedModel; one
whose rows need their own measuring (times, not numbers) brings that too.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModelError
from converters.graphs.converted import ConvertedModel, SourceScore
from converters.graphs.scaling import Scaling
from converters.graphs.sklearn_pipelines import first_estimator, is_lag_transformer, lag_feature_names, unpack
from converters.proof import parity
from edge_agent.bundles.manifest import ParityFigures
from edge_agent.dsp.families import tag_forecast

Task = Literal["anomaly_detection", "classification", "forecasting"]


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What a score should mean where a kind leaves a choice."""

    anomalous_class: int | str | bool | None = None
    higher_is_anomalous: bool = True
    output: Literal["decision", "probability"] = "decision"


Convert = Callable[[Scaling, Any, ScoreOptions], ConvertedModel]
Measure = Callable[[ConvertedModel, Any, float], ParityFigures]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model. `options` names the fields of ScoreOptions it knows; `libraries` are distributions.

    `inputs` are the features of a kind that takes no others. `measure` (graph, model, threshold) takes the place of
    `converters.proof.parity.measure`.
    """

    package: str
    name: str
    task: Task
    converter: str
    libraries: tuple[str, ...]
    options: frozenset[str]
    convert: Convert
    inputs: tuple[str, ...] = ()
    measure: Measure | None = None


FOREIGN_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Of reading attributes and calling methods of somebody else's object; no EdgeError is one of them."""

KINDS: Final[dict[tuple[str, str], Kind]] = {}


def add_kind(kind: Kind) -> None:
    """Register a kind. Raises ValueError when it is known already."""
    key = (kind.package, kind.name)
    if key in KINDS:
        raise ValueError(f"{kind.package}.{kind.name} is registered already")
    KINDS[key] = kind


def kind_of(model: Any) -> Kind:
    """Return the kind of a bare model. Raises UnsupportedModelError that lists the known ones."""
    package = type(model).__module__.partition(".")[0]
    kind = KINDS.get((package, type(model).__name__))
    if kind is None:
        known = ", ".join(sorted(f"{known.package}.{known.name}" for known in KINDS.values()))
        raise UnsupportedModelError(
            f"there is no converter for {package}.{type(model).__name__}; there are: {known}", hint=_hint(model)
        )
    return kind


def convert(model: Any, *, feature_names: Sequence[str], options: ScoreOptions | None = None) -> ConvertedModel:
    """Convert a fitted model, or a pipeline of scalers and a model, to one graph over raw features in the order named.

    Raises
    ------
    UnsupportedModelError
        Unknown kind (lists the known ones), a step that has no exact graph (names it), features that do not fit the
        model, an option the kind does not know, or a model that is not fitted.
    """
    names, options = tuple(feature_names), options or ScoreOptions()
    check_known_order(model, names)
    scaling, last = unpack(model, len(names))
    kind = kind_of(last)
    _check_options(kind, options)
    _check_inputs(kind, last, names)
    _check_answers_once(kind, last)
    with _as_refusal(kind):
        converted = kind.convert(scaling, last, options)
    return replace(converted, source_score=_guarded(kind, converted.source_score))


def compare(
    model: Any,
    converted: ConvertedModel,
    rows: NDArray[np.float64],
    *,
    threshold: float,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> ParityFigures:
    """Compare graph and source, as the kind measures it.

    `rows` and `advance` as in `converters.proof.parity.measure`.

    Raises BundleError when they differ too much.
    """
    _, last = unpack(model, rows.shape[1])
    own = kind_of(last).measure
    if own is None:
        return parity.measure(converted, rows, threshold=threshold, advance=advance)
    return own(converted, last, threshold)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """The model in words, for the manifest."""

    kind: str
    task: Task
    converter: str
    hyperparameters: dict[str, float | int | str | bool | None]
    libraries: dict[str, str]


def describe(model: Any, n_features: int) -> SourceDescription:
    """Return what the manifest says about the source. Raises UnsupportedModelError as `convert`."""
    scaling, last = unpack(model, n_features)
    kind = kind_of(last)
    with _as_refusal(kind):
        parameters = _parameters(last)
    plain = {name: value for name, value in sorted(parameters.items()) if _is_plain(value)}
    return SourceDescription(
        kind=" + ".join([*scaling.names, kind.name]),
        task=kind.task,
        converter=kind.converter,
        hyperparameters=plain,
        libraries={name: _installed(name) for name in kind.libraries},
    )


def _is_plain(value: Any) -> bool:
    """Whether a manifest can hold it: JSON knows no infinity and no NaN."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, int | str | bool | None)


def _parameters(model: Any) -> dict[str, Any]:
    """What it says itself; of a Prophet, what its constructor was given, which it keeps under the same names."""
    if hasattr(model, "get_params"):
        return dict(model.get_params())
    if kind_of(model).name == "Booster":
        return dict(model.params)
    return {name: getattr(model, name, None) for name in inspect.signature(type(model)).parameters}


def names_of(model: Any) -> tuple[str, ...]:
    """Return the names the model's columns had in training, in their order; none where it knows none."""
    first = first_estimator(model)
    if is_lag_transformer(first):
        return lag_feature_names(first)
    if hasattr(first, "feature_name"):  # a Booster
        names = [str(name) for name in first.feature_name()]
    else:
        names = [str(name) for name in getattr(first, "feature_names_in_", ())]
    return () if all(re.fullmatch(r"Column_\d+", name) for name in names) else tuple(names)


def takes_fixed_inputs(model: Any, n_features: int) -> bool:
    """Return whether it is of a kind that takes certain features, in a certain order, and no others."""
    return bool(kind_of(unpack(model, n_features)[1]).inputs)


def check_known_order(model: Any, names: Sequence[str]) -> None:
    """Raise UnsupportedModelError where the model knows these very names in another order."""
    trained_on = names_of(model)
    if sorted(trained_on) == sorted(names) and trained_on != tuple(names):
        raise UnsupportedModelError(
            f"the features are named in another order than in training: {', '.join(trained_on)}",
            hint="put them in the order of training; the model tells its columns apart by position",
        )


def _check_answers_once(kind: Kind, model: Any) -> None:
    n_outputs = getattr(model, "n_outputs_", 1)
    if n_outputs != 1:
        raise UnsupportedModelError(
            f"this {kind.name} answers {n_outputs} questions at once (it was fitted on {n_outputs} columns of labels); "
            "a score has room for one",
            hint="fit one model per column of labels, and convert each",
        )


@contextlib.contextmanager
def _as_refusal(kind: Kind) -> Iterator[None]:
    """What a foreign object raises when it is not what its class's name says: of another version, or half of it."""
    try:
        yield
    except FOREIGN_ERRORS as exc:
        reason = (str(exc).strip().splitlines() or [""])[0]
        raise UnsupportedModelError(
            f"this {kind.name} cannot be read with the libraries installed here: {type(exc).__name__}: {reason}",
            hint="save it again with their versions, or install those it was saved with",
        ) from exc


def _guarded(kind: Kind, source_score: SourceScore) -> SourceScore:
    def score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        with _as_refusal(kind):
            return source_score(rows)

    return score


def _check_options(kind: Kind, options: ScoreOptions) -> None:
    for field in fields(ScoreOptions):
        if getattr(options, field.name) != field.default and field.name not in kind.options:
            raise UnsupportedModelError(
                f"{field.name} says nothing about a {kind.name}", hint=f"leave {field.name} out of [score]"
            )


def _check_inputs(kind: Kind, model: Any, names: tuple[str, ...]) -> None:
    if not kind.inputs:
        _check_width(kind, model, len(names))
    elif names != kind.inputs:
        raise UnsupportedModelError(
            f"a {kind.name} takes {', '.join(kind.inputs)}, not {', '.join(names)}",
            hint=f'[features]: family = "{tag_forecast.NAME}", with these names in this order',
        )


def _check_width(kind: Kind, model: Any, n_features: int) -> None:
    width = model.num_feature() if kind.name == "Booster" else getattr(model, "n_features_in_", None)
    if width is None and not hasattr(model, "support_vectors_"):  # an SVM with a kernel of one's own does not say
        raise UnsupportedModelError(f"this {kind.name} is not fitted", hint="fit it, save it and try again")
    if width is not None and width != n_features:
        raise UnsupportedModelError(
            f"the {kind.name} was fitted on {width} features, {n_features} are named",
            hint="name exactly the model's inputs, in its order",
        )


def _hint(model: Any) -> str:
    if hasattr(model, "best_estimator_"):
        return "save its best_estimator_ instead of the search"
    return "train one of these, or write a converter (docs/CONVERTING.md)"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _isolation_forest(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.isolation_forest import convert_isolation_forest

    return convert_isolation_forest(scaling, model)


def _random_forest(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.random_forest import convert_random_forest

    return convert_random_forest(scaling, model, anomalous_class=options.anomalous_class)


def _elliptic_envelope(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.elliptic_envelope import convert_elliptic_envelope

    return convert_elliptic_envelope(scaling, model)


def _gradient_boosting(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.boosted_trees import convert_gradient_boosting

    return convert_gradient_boosting(scaling, model, anomalous_class=options.anomalous_class)


def _hist_gradient_boosting(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.boosted_trees import convert_hist_gradient_boosting

    return convert_hist_gradient_boosting(scaling, model, anomalous_class=options.anomalous_class)


def _one_class_svm(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.svm import convert_one_class_svm

    return convert_one_class_svm(scaling, model)


def _svc(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.svm import convert_svc

    as_probability = options.output == "probability"
    return convert_svc(scaling, model, anomalous_class=options.anomalous_class, as_probability=as_probability)


def _lightgbm_classifier(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.lightgbm_trees import convert_lightgbm_classifier

    return convert_lightgbm_classifier(scaling, model, anomalous_class=options.anomalous_class)


def _lightgbm_regressor(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.lightgbm_trees import convert_lightgbm_regressor

    return convert_lightgbm_regressor(scaling, model, higher_is_anomalous=options.higher_is_anomalous)


def _booster(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.lightgbm_trees import convert_booster

    return convert_booster(scaling, model, higher_is_anomalous=options.higher_is_anomalous)


def _prophet(scaling: Scaling, model: Any, options: ScoreOptions) -> ConvertedModel:
    from converters.graphs.prophet_graph import convert_prophet

    if scaling.steps:
        raise UnsupportedModelError(
            f"a {scaling.names[0]} stands in front of the Prophet, which takes time and value as they are",
            hint="save the Prophet alone",
        )
    return convert_prophet(model)


def _measure_prophet(converted: ConvertedModel, model: Any, threshold: float) -> ParityFigures:
    from converters.proof.prophet_parity import measure_prophet

    return measure_prophet(converted, model, threshold=threshold)


def _add_built_in() -> None:
    anomaly: Task = "anomaly_detection"
    classes: Task = "classification"
    named, either = frozenset({"anomalous_class"}), frozenset({"higher_is_anomalous"})
    sklearn, gbm = ("scikit-learn", "numpy"), ("lightgbm", "numpy")
    forests, trees = "converters.graphs.isolation_forest", "converters.graphs.lightgbm_trees"
    add_kind(Kind("sklearn", "IsolationForest", anomaly, forests, sklearn, frozenset(), _isolation_forest))
    add_kind(Kind("sklearn", "OneClassSVM", anomaly, "converters.graphs.svm", sklearn, frozenset(), _one_class_svm))
    add_kind(
        Kind(
            "sklearn",
            "RandomForestClassifier",
            classes,
            "converters.graphs.random_forest",
            sklearn,
            named,
            _random_forest,
        )
    )
    boosted, elliptic = "converters.graphs.boosted_trees", "converters.graphs.elliptic_envelope"
    add_kind(Kind("sklearn", "GradientBoostingClassifier", classes, boosted, sklearn, named, _gradient_boosting))
    add_kind(
        Kind("sklearn", "HistGradientBoostingClassifier", classes, boosted, sklearn, named, _hist_gradient_boosting)
    )
    add_kind(Kind("sklearn", "EllipticEnvelope", anomaly, elliptic, sklearn, frozenset(), _elliptic_envelope))
    add_kind(Kind("sklearn", "SVC", classes, "converters.graphs.svm", sklearn, named | {"output"}, _svc))
    add_kind(Kind("lightgbm", "LGBMClassifier", classes, trees, gbm, named, _lightgbm_classifier))
    add_kind(Kind("lightgbm", "LGBMRegressor", anomaly, trees, gbm, either, _lightgbm_regressor))
    add_kind(Kind("lightgbm", "Booster", classes, trees, gbm, either, _booster))
    add_kind(
        Kind(
            "prophet",
            "Prophet",
            "forecasting",
            "converters.graphs.prophet_graph",
            ("prophet", "numpy", "pandas"),
            frozenset(),
            _prophet,
            inputs=tag_forecast.LAYOUT,
            measure=_measure_prophet,
        )
    )


_add_built_in()
