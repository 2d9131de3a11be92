"""Scalers + OneClassSVM or two-class SVC as a few matrix products.

Constraints
- The score is -decision_function of a OneClassSVM, and the margin towards the anomalous class of an SVC; both draw
  their line at 0. Asked for a probability, an SVC's score is Platt's sigmoid of the margin with the two parameters the
  source fitted. scikit-learn's predict_proba approximates that sigmoid by an iteration that stops at an error of
  0.0025 and so differs from it by up to a few thousandths.
- |z - s|^2 of the RBF kernel is taken apart into |z|^2 - 2 z s + |s|^2, so that one product serves every support
  vector. What cancels there would cost digits in float32, so the cheapest of three precisions is taken that holds
  MAX_DIFFERENCE on trial rows around the support vectors; parity then proves it.
- Values are moved to the scaler's centre before anything is multiplied: sensors stand far from zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.svm import SVC, OneClassSVM

from converters.converted import NO_SPLIT_FEATURES, NO_SPLIT_VALUES, ConvertedModel, SourceScore
from converters.polarity import binary_sign
from converters.refusals import UnsupportedModelError
from converters.scaling import Scaling
from converters.source_rows import as_fitted
from converters.tree_ensemble import INPUT_NAME, OUTPUT_NAME, serialised
from edge_agent.scoring.runtime import OnnxModel

MAX_DIFFERENCE: Final = 1e-5
KERNELS: Final = ("rbf", "linear", "poly", "sigmoid")

_TRIAL_ROWS: Final = 4_000
_TRIAL_SHARE: Final = 0.2
"""Of MAX_DIFFERENCE: the trial's rows are few, and parity has 100,000."""

_FAR: Final = 1e18
"""No float32 square of what is clipped here overflows, and at this distance every RBF kernel is 0 already."""


@dataclass(frozen=True, slots=True, eq=False)
class _Machine:
    """sign * (coefficients . kernel(z, vectors) + intercept), z = (x - centre) * slope; then perhaps a sigmoid.

    `platt` are (a, b) of 1 / (1 + exp(-(a * margin + b))), or None.
    """

    kernel: str
    vectors: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float
    gamma: float
    coef0: float
    degree: int
    centre: NDArray[np.float64]
    slope: NDArray[np.float64]
    platt: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class _Precision:
    """Types of the kernel's argument and of the kernel's sum."""

    argument: type[np.floating]
    total: type[np.floating]


_PRECISIONS: Final = (
    _Precision(np.float32, np.float32),
    _Precision(np.float64, np.float32),
    _Precision(np.float64, np.float64),
)
_EXACT: Final = _PRECISIONS[-1]


def convert_one_class_svm(scaling: Scaling, machine: OneClassSVM) -> ConvertedModel:
    """The graph of -decision_function. Raises UnsupportedModelError for a kernel that has no graph here."""
    ours = _machine(machine, scaling, sign=-1.0)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(-machine.decision_function(as_fitted(machine, scaling.transform(rows))), np.float64)

    return _converted(ours, source_score, own_threshold=0.0)


def convert_svc(
    scaling: Scaling, machine: SVC, *, anomalous_class: object = None, as_probability: bool = False
) -> ConvertedModel:
    """The graph of the margin towards the anomalous class, or of its probability.

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
    if not len(machine.probA_):
        raise UnsupportedModelError(
            "this SVC was fitted without probability=True, so it has no probability",
            hint='leave output = "probability" out of the card: the margin is scored, with 0 as threshold',
        )
    # P(classes_[1]) = 1 / (1 + exp(a * margin - b)); turned round, margin and probability change sign together.
    return float(-machine.probA_[0]), float(machine.probB_[0]) * sign


def _machine(machine: Any, scaling: Scaling, *, sign: float, platt: tuple[float, float] | None = None) -> _Machine:
    if machine.kernel not in KERNELS:
        raise UnsupportedModelError(
            f"{type(machine).__name__} with the kernel {machine.kernel!r} has no graph here; "
            f"known: {', '.join(KERNELS)}",
            hint="fit it with one of these kernels",
        )
    if not isinstance(machine.support_vectors_, np.ndarray):
        raise UnsupportedModelError(f"{type(machine).__name__} was fitted on a sparse matrix", hint="fit it on rows")
    centre, slope = scaling.affine()
    return _Machine(
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


def _converted(machine: _Machine, source_score: SourceScore, *, own_threshold: float) -> ConvertedModel:
    rows = _trial_rows(machine)
    expected = source_score(rows.astype(np.float64))
    for precision in _PRECISIONS:
        graph = _graph(machine, precision)
        if precision is _EXACT or _holds(graph, rows, expected):
            break
    return ConvertedModel(
        graph,
        source_score,
        NO_SPLIT_FEATURES,
        NO_SPLIT_VALUES,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
        own_threshold=own_threshold,
    )


def _trial_rows(machine: _Machine) -> NDArray[np.float32]:
    """Support vectors in raw units, moved by half their spread."""
    rng = np.random.default_rng(0)
    vectors = machine.vectors[rng.integers(len(machine.vectors), size=_TRIAL_ROWS)]
    moved = vectors + 0.5 * rng.standard_normal(vectors.shape) * machine.vectors.std(axis=0)
    return np.asarray(moved / machine.slope + machine.centre, np.float32)


def _holds(graph: bytes, rows: NDArray[np.float32], expected: NDArray[np.float64]) -> bool:
    model = OnnxModel(graph, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=rows.shape[1])
    difference = np.abs(model.score(rows) - expected) / np.maximum(1.0, np.abs(expected))
    return bool(difference.max() <= _TRIAL_SHARE * MAX_DIFFERENCE)


class _Builder:
    """Nodes in order; each call adds one and names its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, kind: type[np.floating]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(values, kind).reshape(np.shape(values)), name)
        )
        return name

    def cast(self, name: str, before: type[np.floating], after: type[np.floating]) -> str:
        to = TensorProto.DOUBLE if after is np.float64 else TensorProto.FLOAT
        return name if before is after else self.node("Cast", name, to=to)


def _graph(machine: _Machine, precision: _Precision) -> bytes:
    build = _Builder()
    if precision.argument is np.float32:
        far = [build.constant(bound, np.float32) for bound in (-_FAR, _FAR)]
        x = build.node("Clip", INPUT_NAME, *far)
    else:
        x = build.cast(INPUT_NAME, np.float32, np.float64)
    moved = build.node("Sub", x, build.constant(machine.centre, precision.argument))
    score = _SUMS[machine.kernel](build, machine, moved, precision)
    if machine.platt is not None:
        score = _sigmoid(build, score, machine.platt, precision.total)
    if machine.kernel in ("linear", "poly") and machine.platt is None:
        # These grow with the input; past the range of float32 there would be no score at all.
        bound = float(np.finfo(np.float32).max)
        ends = [build.constant(end, precision.total) for end in (-bound, bound)]
        score = build.node("Clip", score, *ends)
    score = build.cast(score, precision.total, np.float32)
    build.nodes.append(helper.make_node("Identity", [score], [OUTPUT_NAME]))
    return serialised(build.nodes, build.constants, machine.vectors.shape[1])


def _rbf(build: _Builder, machine: _Machine, moved: str, precision: _Precision) -> str:
    kind, slope = precision.argument, machine.slope
    products = machine.vectors * slope * (2.0 * machine.gamma)
    lengths = -machine.gamma * np.sum(machine.vectors**2, axis=1)
    own = build.node(
        "MatMul", build.node("Mul", moved, moved), build.constant(-machine.gamma * slope[:, None] ** 2, kind)
    )
    across = build.node("Gemm", moved, build.constant(products.T, kind), build.constant(lengths, kind))
    return _weighted(build, machine, "Exp", build.node("Add", across, own), precision)


def _linear(build: _Builder, machine: _Machine, moved: str, precision: _Precision) -> str:
    weights = (machine.coefficients @ machine.vectors) * machine.slope
    total = build.node("MatMul", moved, build.constant(weights, precision.argument))
    total = build.cast(total, precision.argument, precision.total)
    return build.node("Add", total, build.constant(np.array([machine.intercept]), precision.total))


def _sigmoid_kernel(build: _Builder, machine: _Machine, moved: str, precision: _Precision) -> str:
    return _weighted(build, machine, "Tanh", _dot_products(build, machine, moved, precision), precision)


def _poly(build: _Builder, machine: _Machine, moved: str, precision: _Precision) -> str:
    argument = _dot_products(build, machine, moved, precision)
    argument = build.cast(argument, precision.argument, precision.total)
    powers = build.node("Pow", argument, build.constant(np.array([float(machine.degree)]), precision.total))
    return _total(build, machine, powers, precision)


def _dot_products(build: _Builder, machine: _Machine, moved: str, precision: _Precision) -> str:
    """gamma * z . s + coef0 for every support vector."""
    kind = precision.argument
    products = machine.vectors * machine.slope * machine.gamma
    return build.node(
        "Gemm", moved, build.constant(products.T, kind), build.constant(np.full(len(products), machine.coef0), kind)
    )


def _weighted(build: _Builder, machine: _Machine, function: str, argument: str, precision: _Precision) -> str:
    kernel = build.node(function, build.cast(argument, precision.argument, precision.total))
    return _total(build, machine, kernel, precision)


def _total(build: _Builder, machine: _Machine, kernel: str, precision: _Precision) -> str:
    total = build.node("MatMul", kernel, build.constant(machine.coefficients, precision.total))
    return build.node("Add", total, build.constant(np.array([machine.intercept]), precision.total))


def _sigmoid(build: _Builder, margin: str, platt: tuple[float, float], kind: type[np.floating]) -> str:
    scaled = build.node("Mul", margin, build.constant(np.array([platt[0]]), kind))
    return build.node("Sigmoid", build.node("Add", scaled, build.constant(np.array([platt[1]]), kind)))


_SUMS: Final[dict[str, Callable[[_Builder, _Machine, str, _Precision], str]]] = {
    "rbf": _rbf,
    "linear": _linear,
    "poly": _poly,
    "sigmoid": _sigmoid_kernel,
}
