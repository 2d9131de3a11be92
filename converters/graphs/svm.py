"""Scalers + OneClassSVM or two-class SVC as a few matrix products.

Constraints
- The score is -decision_function of a OneClassSVM, and the margin towards the anomalous class of an SVC; both draw
  their line at 0. Asked for a probability, an SVC's score is Platt's sigmoid of the margin with the two parameters the
  source fitted. scikit-learn's predict_proba approximates that sigmoid by an iteration that stops at an error of
  0.0025 and so differs from it by up to a few thousandths.
- |z - s|^2 of the RBF kernel is taken apart into |z|^2 - 2 z s + |s|^2, so that one product serves every support
  vector. What cancels there costs digits in float32, so the fastest of three precisions is taken that holds
  MAX_DIFFERENCE with a margin on sample rows around the support vectors; parity then proves it.
- Values are moved to the scaler's centre before anything is multiplied: sensors stand far from zero.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC, OneClassSVM

from converters.errors import UnsupportedModelError
from converters.graphs.anomalous_class import binary_sign
from converters.graphs.converted import NO_SPLIT_FEATURES, NO_SPLIT_VALUES, ConvertedModel, SourceScore
from converters.graphs.scaling import Scaling
from converters.graphs.source_rows import as_fitted
from converters.graphs.svm_graph import EXACT, FASTEST_FIRST, KERNELS, SupportVectorMachine, machine_graph
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.errors import BundleError

MAX_DIFFERENCE: Final = 1e-5

_SAMPLE_ROWS: Final = 4_000
_SAMPLE_SHARE: Final = 0.5
"""Of MAX_DIFFERENCE: parity's 100,000 rows find up to 1.7 times what the sample does."""


def convert_one_class_svm(scaling: Scaling, machine: OneClassSVM) -> ConvertedModel:
    """Return the graph of -decision_function. Raises UnsupportedModelError for a kernel that has no graph here."""
    ours = _machine(machine, scaling, sign=-1.0)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(-machine.decision_function(as_fitted(machine, scaling.transform(rows))), np.float64)

    return _converted(ours, source_score, own_threshold=0.0)


def convert_svc(
    scaling: Scaling, machine: SVC, *, anomalous_class: object = None, as_probability: bool = False
) -> ConvertedModel:
    """Return the graph of the margin towards the anomalous class, or of its probability.

    Raises UnsupportedModelError for a foreign kernel, more than two classes, a class that must be named, or a
    probability the source was not fitted for.
    """
    sign = binary_sign(machine.classes_, anomalous_class)
    platt = _platt(machine, sign) if as_probability else None
    ours = _machine(machine, scaling, sign=sign, platt=platt)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        margin = sign * machine.decision_function(as_fitted(machine, scaling.transform(rows)))
        if platt is None:
            return np.asarray(margin, np.float64)
        with np.errstate(over="ignore"):  # exp overflows to infinity where the probability is 0
            return np.asarray(1.0 / (1.0 + np.exp(-(platt[0] * margin + platt[1]))), np.float64)

    return _converted(ours, source_score, own_threshold=0.0 if platt is None else 0.5)


def _platt(machine: SVC, sign: float) -> tuple[float, float]:
    a, b = machine._probA, machine._probB  # the public names warn since scikit-learn 1.9 and go in 1.11
    if not len(a):
        raise UnsupportedModelError(
            "this SVC was fitted without probability=True, so it has no probability",
            hint='leave output = "probability" out of the card: the margin is scored, with 0 as threshold',
        )
    # P(classes_[1]) = 1 / (1 + exp(a * margin - b)); turned round, margin and probability change sign together.
    return float(-a[0]), float(b[0]) * sign


def _machine(
    machine: Any, scaling: Scaling, *, sign: float, platt: tuple[float, float] | None = None
) -> SupportVectorMachine:
    if machine.kernel not in KERNELS:
        raise UnsupportedModelError(
            f"{type(machine).__name__} with the kernel {machine.kernel!r} has no graph here; "
            f"known: {', '.join(KERNELS)}",
            hint="fit it with one of these kernels",
        )
    if not isinstance(machine.support_vectors_, np.ndarray):
        raise UnsupportedModelError(f"{type(machine).__name__} was fitted on a sparse matrix", hint="fit it on rows")
    centre, slope = scaling.affine()
    return SupportVectorMachine(
        kernel=machine.kernel,
        vectors=np.asarray(machine.support_vectors_, np.float64),
        coefficients=sign * np.asarray(machine.dual_coef_, np.float64).reshape(-1),
        intercept=sign * float(machine.intercept_[0]),
        gamma=float(machine._gamma),  # gamma="scale" and "auto" as numbers; there is no public name for it
        coef0=float(machine.coef0),
        degree=int(machine.degree),
        centre=centre,
        slope=slope,
        platt=platt,
    )


def _converted(machine: SupportVectorMachine, source_score: SourceScore, *, own_threshold: float) -> ConvertedModel:
    graph = machine_graph(machine)
    if machine.kernel == "rbf":
        graph = _fastest_that_holds(machine, source_score)
    return ConvertedModel(
        graph,
        source_score,
        NO_SPLIT_FEATURES,
        NO_SPLIT_VALUES,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
        own_threshold=own_threshold,
        seen=machine.vectors / machine.slope + machine.centre,
    )


def _fastest_that_holds(machine: SupportVectorMachine, source_score: SourceScore) -> bytes:
    rows = _sample_rows(machine)
    expected = source_score(rows.astype(np.float64))
    for precision in FASTEST_FIRST:
        graph = machine_graph(machine, rbf=precision)
        if precision is EXACT or _holds(graph, rows, expected):
            break
    return graph


def _sample_rows(machine: SupportVectorMachine) -> NDArray[np.float32]:
    """Support vectors in raw units, moved by half their spread."""
    rng = np.random.default_rng(0)
    vectors = machine.vectors[rng.integers(len(machine.vectors), size=_SAMPLE_ROWS)]
    moved = vectors + 0.5 * rng.standard_normal(vectors.shape) * machine.vectors.std(axis=0)
    return np.asarray(moved / machine.slope + machine.centre, np.float32)


def _holds(graph: bytes, rows: NDArray[np.float32], expected: NDArray[np.float64]) -> bool:
    model = OnnxModel(graph, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=rows.shape[1])
    try:
        got = model.score(rows)
    except BundleError:  # no finite score: too little range for this model
        return False
    difference = np.abs(got - expected) / np.maximum(1.0, np.abs(expected))
    return bool(difference.max() <= _SAMPLE_SHARE * MAX_DIFFERENCE)
